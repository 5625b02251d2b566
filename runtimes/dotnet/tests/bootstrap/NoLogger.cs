using Amazon.Lambda.Core;

namespace Thaw.Tests.Bootstrap;

internal sealed class NoLogger : ILambdaLogger
{
    public void Log(string message)
    {
    }

    public void LogLine(string message)
    {
    }
}
