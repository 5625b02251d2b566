using System.Globalization;
using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Thaw.Bootstrap;

/// <summary>The function's log: formats records as Lambda's runtime client for .NET does.</summary>
internal sealed class Log(ILogSink sink, Settings settings)
{
    private volatile Invocation? current;

    /// <summary>How <c>{@name}</c> is written; a function may set its own.</summary>
    public JsonSerializerOptions JsonOptions { get; set; } = new() { DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull };

    /// <summary>Let the console write here: what goes to standard error is an error.</summary>
    public void TakeConsole()
    {
        Console.SetOut(new ConsoleLines(this, Level.Information));
        Console.SetError(new ConsoleLines(this, Level.Error));
    }

    /// <summary>From now on records are this invocation's.</summary>
    public void Begin(Invocation invocation) => current = invocation;

    /// <summary>One record. A null level is written as trace and never left out: what <c>LambdaLogger.Log</c> does.</summary>
    public void Write(Level? level, string? message, Exception? error = null, object?[]? args = null)
    {
        if (level < settings.LogLevel)
            return;
        var template = MessageTemplate.Parse(message ?? "", args ?? []);
        var text = settings.LogFormat == LogFormat.Json
            ? Json(level ?? Level.Trace, template, error)
            : Text(level ?? Level.Trace, template, error);
        sink.Write(text + "\n");
    }

    /// <summary>Text as it is, as <c>Console.Write</c> gives it.</summary>
    public void WriteRaw(ReadOnlySpan<char> text) => sink.Write(text);

    internal static string Time(DateTime time) => time.ToString("yyyy-MM-ddTHH:mm:ss.fffZ", CultureInfo.InvariantCulture);

    private string Text(Level level, MessageTemplate template, Exception? error)
    {
        var text = new StringBuilder();
        if (settings.LogFormat == LogFormat.Text)
        {
            text.Append(Time(DateTime.UtcNow)).Append('\t')
                .Append(current?.RequestId).Append('\t')
                .Append(level.Short()).Append('\t');
        }
        var message = template.Fill();
        text.Append(message);
        if (error is not null)
            text.Append(message.Length == 0 ? "" : "\n").Append(error);
        return text.ToString();
    }

    private string Json(Level level, MessageTemplate template, Exception? error)
    {
        using var buffer = new MemoryStream();
        using (var json = new Utf8JsonWriter(buffer))
        {
            json.WriteStartObject();
            json.WriteString("timestamp", Time(DateTime.UtcNow));
            json.WriteString("level", level.ToString());
            if (current is { } invocation)
            {
                json.WriteString("requestId", invocation.RequestId);
                if (!string.IsNullOrEmpty(invocation.TenantId))
                    json.WriteString("tenantId", invocation.TenantId);
                if (!string.IsNullOrEmpty(invocation.TraceId))
                    json.WriteString("traceId", invocation.TraceId);
            }
            json.WriteString("message", template.Fill());
            template.WriteProperties(json, JsonOptions);
            if (error is not null)
            {
                json.WriteString("errorType", error.GetType().FullName);
                json.WriteString("errorMessage", error.Message);
                json.WriteStartArray("stackTrace");
                foreach (var line in error.ToString().Split('\n', StringSplitOptions.TrimEntries))
                    json.WriteStringValue(line);
                json.WriteEndArray();
            }
            json.WriteEndObject();
        }
        return Encoding.UTF8.GetString(buffer.GetBuffer(), 0, (int)buffer.Length);
    }
}
