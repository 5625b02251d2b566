using Amazon.Lambda.Core;

namespace Thaw.Bootstrap;

/// <summary>What the handler gets beside its event.</summary>
/// <remarks>
/// Implements an interface of the function's own Core. Only implicitly: an explicit implementation of a member that an old
/// Core lacks would not load.
/// </remarks>
internal sealed class Context(Invocation invocation, Settings settings, ILambdaLogger logger, ILambdaSerializer? serializer)
    : ILambdaContext
{
    public string AwsRequestId => invocation.RequestId;

    /// <summary>Never null: without such a header it is an empty one, as on Lambda.</summary>
    public IClientContext ClientContext => field ??= Bootstrap.ClientContext.Parse(invocation.ClientContext);

    public string FunctionName => settings.FunctionName;

    public string FunctionVersion => settings.FunctionVersion;

    /// <summary>Never null, as the client's context.</summary>
    public ICognitoIdentity Identity => field ??= CognitoIdentity.Parse(invocation.CognitoIdentity);

    public string InvokedFunctionArn => invocation.FunctionArn;

    public ILambdaLogger Logger => logger;

    public string? LogGroupName => settings.LogGroup;

    public string? LogStreamName => settings.LogStream;

    public int MemoryLimitInMB => settings.MemoryMiB;

    public TimeSpan RemainingTime => invocation.Deadline - DateTimeOffset.UtcNow;

    public string TenantId => invocation.TenantId ?? "";

    public string TraceId => invocation.TraceId ?? "";

    public ILambdaSerializer? Serializer => serializer;
}
