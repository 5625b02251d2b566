using System.Globalization;
using Amazon.Lambda.Core;

namespace Amazon.Lambda.AspNetCoreServer.Internal;

/// <summary>The context of a request that no event made.</summary>
public class SnapStartEmptyLambdaContext : ILambdaContext, IClientContext, ICognitoIdentity
{
    public string AwsRequestId => "";

    public IClientContext ClientContext => this;

    public string FunctionName => Variable("AWS_LAMBDA_FUNCTION_NAME", "fallbackFunctionName");

    public string FunctionVersion => Variable("AWS_LAMBDA_FUNCTION_VERSION", "0");

    public ICognitoIdentity Identity => this;

    public string InvokedFunctionArn => "";

    public ILambdaLogger Logger => null;

    public string LogGroupName => Variable("AWS_LAMBDA_LOG_GROUP_NAME", "fallbackLogGroup");

    public string LogStreamName => Variable("AWS_LAMBDA_LOG_STREAM_NAME", "fallbackLogStream");

    public int MemoryLimitInMB => int.Parse(Variable("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", "128"), CultureInfo.InvariantCulture);

    public TimeSpan RemainingTime => TimeSpan.FromSeconds(5);

    public string IdentityId => null;

    public string IdentityPoolId => null;

    public IDictionary<string, string> Environment { get; } = new Dictionary<string, string>();

    public IClientApplication Client => null;

    public IDictionary<string, string> Custom { get; } = new Dictionary<string, string>();

    private static string Variable(string name, string otherwise) =>
        System.Environment.GetEnvironmentVariable(name) is { Length: > 0 } value ? value : otherwise;
}
