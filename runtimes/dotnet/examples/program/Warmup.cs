using Amazon.Lambda.Core;

namespace Orders;

/// <summary>A context for a call that no event made.</summary>
internal sealed class Warmup : ILambdaContext, ILambdaLogger
{
    public string AwsRequestId => "";

    public IClientContext ClientContext => null!;

    public string FunctionName => "";

    public string FunctionVersion => "";

    public ICognitoIdentity Identity => null!;

    public string InvokedFunctionArn => "";

    public ILambdaLogger Logger => this;

    public string LogGroupName => "";

    public string LogStreamName => "";

    public int MemoryLimitInMB => 0;

    public TimeSpan RemainingTime => TimeSpan.FromSeconds(10);

    public void Log(string message)
    {
    }

    public void LogLine(string message)
    {
    }
}
