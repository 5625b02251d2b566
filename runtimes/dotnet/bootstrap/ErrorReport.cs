using System.Buffers;
using System.Text.Encodings.Web;
using System.Text.Json;

namespace Thaw.Bootstrap;

/// <summary>An exception as Lambda reports it: <c>errorType</c>, <c>errorMessage</c>, <c>stackTrace</c>, and what caused it.</summary>
internal static class ErrorReport
{
    private const int MostBytes = 256 * 1024;
    private const int MostExceptions = 64; // nested aggregates name each cause twice

    private static readonly JsonWriterOptions Options = new()
    {
        Indented = true,
        Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping, // it is a body of JSON, not a piece of HTML
    };

    /// <summary>The name of an exception's class without its namespace, fit for a header.</summary>
    public static string NameOf(Exception error)
    {
        var name = error.GetType().Name;
        // PowerShell makes classes with any name that a script throws.
        return name.AsSpan().IndexOfAnyInRange('\0', '\x1f') < 0 ? name : string.Concat(name.Where(each => each >= ' '));
    }

    /// <summary>The report as JSON in UTF-8.</summary>
    public static ReadOnlyMemory<byte> Write(Exception error)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(buffer, Options))
        {
            var left = MostExceptions;
            Write(json, error, ref left);
        }
        return buffer.WrittenCount <= MostBytes
            ? buffer.WrittenMemory
            : """{"errorMessage": "Exception exceeded maximum payload size of 256KB."}"""u8.ToArray();
    }

    private static void Write(Utf8JsonWriter json, Exception error, ref int left)
    {
        left--;
        json.WriteStartObject();
        json.WriteString("errorType", error.GetType().Name);
        json.WriteString("errorMessage", error.Message);
        if (error.StackTrace is { } trace)
        {
            json.WriteStartArray("stackTrace");
            foreach (var line in trace.Split('\n', StringSplitOptions.TrimEntries | StringSplitOptions.RemoveEmptyEntries))
                json.WriteStringValue(line);
            json.WriteEndArray();
        }
        if (error.InnerException is { } cause && left > 0)
        {
            json.WritePropertyName("cause");
            Write(json, cause, ref left);
        }
        if (error is AggregateException { InnerExceptions: var causes } && left > 0)
        {
            json.WriteStartArray("causes");
            foreach (var each in causes)
            {
                if (left <= 0)
                    break;
                Write(json, each, ref left);
            }
            json.WriteEndArray();
        }
        json.WriteEndObject();
    }
}
