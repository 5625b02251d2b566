using Amazon.Lambda.Core;

namespace Thaw.Bootstrap;

/// <summary>
/// The logger in a <see cref="Context"/>. The other members of the interface have default implementations that end in these.
/// </summary>
internal sealed class Logger(Log log) : ILambdaLogger
{
    public void Log(string message) => Console.Write(message);

    public void LogLine(string message) => log.Write(Level.Information, message);

    public void Log(string level, string message) => log.Write(Levels.Parse(level), message);

    public void Log(string level, string message, params object?[] args) => log.Write(Levels.Parse(level), message, null, args);

    public void Log(string level, Exception exception, string message, params object?[] args) =>
        log.Write(Levels.Parse(level), message, exception, args);
}
