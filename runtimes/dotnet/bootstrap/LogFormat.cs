namespace Thaw.Bootstrap;

/// <summary>How a log record is written.</summary>
internal enum LogFormat
{
    /// <summary>Time, request id, level and message, with tabs between.</summary>
    Text,

    /// <summary>A JSON object.</summary>
    Json,

    /// <summary>The message alone.</summary>
    Unformatted,
}
