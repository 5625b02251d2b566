namespace Thaw.Bootstrap;

/// <summary>Levels of log records, by .NET's names.</summary>
internal enum Level
{
    Trace,
    Debug,
    Information,
    Warning,
    Error,
    Critical,
}
