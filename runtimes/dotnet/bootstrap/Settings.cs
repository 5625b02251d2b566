using static System.Environment;

namespace Thaw.Bootstrap;

/// <summary>What Lambda says in environment variables; read once, before anything of the function runs.</summary>
internal sealed record Settings
{
    public required string RuntimeApi { get; init; }
    public string Handler { get; init; } = "";
    public bool SnapStart { get; init; }
    public bool RunOnce { get; init; }
    public string FunctionName { get; init; } = "";
    public string FunctionVersion { get; init; } = "";

    /// <summary>MemorySize in MiB; 0 when it is not known.</summary>
    public int MemoryMiB { get; init; }
    public bool LimitHeap { get; init; } = true;

    /// <summary>Null under SnapStart, as on Lambda: the log stream of a snapshot is nobody's.</summary>
    public string? LogGroup { get; init; }
    public string? LogStream { get; init; }

    /// <summary>Where log records go as frames; without it they go to standard output as lines.</summary>
    public int? TelemetryDescriptor { get; init; }
    public Level LogLevel { get; init; } = Level.Information;
    public LogFormat LogFormat { get; init; } = LogFormat.Text;

    /// <summary>Whether frames say that they hold JSON. The service's setting, whatever the handler's own format is.</summary>
    public bool JsonFrames { get; init; }

    public static Settings FromEnvironment() => new()
    {
        RuntimeApi = GetEnvironmentVariable("AWS_LAMBDA_RUNTIME_API") ?? "",
        Handler = GetEnvironmentVariable("_HANDLER") ?? "",
        SnapStart = GetEnvironmentVariable("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start",
        RunOnce = IsTrue("AWS_LAMBDA_DOTNET_DEBUG_RUN_ONCE"),
        FunctionName = GetEnvironmentVariable("AWS_LAMBDA_FUNCTION_NAME") ?? "",
        FunctionVersion = GetEnvironmentVariable("AWS_LAMBDA_FUNCTION_VERSION") ?? "",
        MemoryMiB = int.TryParse(GetEnvironmentVariable("AWS_LAMBDA_FUNCTION_MEMORY_SIZE"), out var mib) ? mib : 0,
        LimitHeap = !IsTrue("AWS_LAMBDA_DOTNET_DISABLE_MEMORY_LIMIT_CHECK"),
        LogGroup = GetEnvironmentVariable("AWS_LAMBDA_LOG_GROUP_NAME"),
        LogStream = GetEnvironmentVariable("AWS_LAMBDA_LOG_STREAM_NAME"),
        TelemetryDescriptor = int.TryParse(GetEnvironmentVariable("_LAMBDA_TELEMETRY_LOG_FD"), out var descriptor)
            ? descriptor
            : null,
        LogLevel = Levels.Configured(First("AWS_LAMBDA_HANDLER_LOG_LEVEL", "AWS_LAMBDA_LOG_LEVEL")) ?? Level.Information,
        LogFormat = Format(First("AWS_LAMBDA_HANDLER_LOG_FORMAT", "AWS_LAMBDA_LOG_FORMAT")),
        JsonFrames = Format(GetEnvironmentVariable("AWS_LAMBDA_LOG_FORMAT")) == LogFormat.Json,
    };

    private static LogFormat Format(string? name) => name?.ToUpperInvariant() switch
    {
        "JSON" => LogFormat.Json,
        "UNFORMATTED" => LogFormat.Unformatted,
        _ => LogFormat.Text,
    };

    private static bool IsTrue(string name) =>
        string.Equals(GetEnvironmentVariable(name), "true", StringComparison.OrdinalIgnoreCase);

    private static string? First(string name, string otherwise) =>
        GetEnvironmentVariable(name) is { Length: > 0 } value ? value : GetEnvironmentVariable(otherwise);
}
