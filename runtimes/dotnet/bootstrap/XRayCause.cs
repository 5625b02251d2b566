using System.Buffers;
using System.Diagnostics;
using System.Text;
using System.Text.Json;

namespace Thaw.Bootstrap;

/// <summary>An exception as X-Ray takes it, in one line for a header: where it was thrown, frame by frame.</summary>
internal static class XRayCause
{
    public static string Write(Exception error)
    {
        var frames = error.StackTrace is null ? [] : new StackTrace(error, fNeedFileInfo: true).GetFrames();
        var buffer = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(buffer)) // escapes everything beyond ASCII
        {
            json.WriteStartObject();
            json.WriteString("working_directory", Directory.GetCurrentDirectory());
            json.WriteStartArray("exceptions");
            WriteException(json, error, frames);
            json.WriteEndArray();
            json.WriteStartArray("paths");
            foreach (var path in frames.Select(frame => frame.GetFileName()).OfType<string>().Distinct())
                json.WriteStringValue(path);
            json.WriteEndArray();
            json.WriteEndObject();
        }
        return Encoding.UTF8.GetString(buffer.WrittenSpan);
    }

    private static void WriteException(Utf8JsonWriter json, Exception error, StackFrame[] frames)
    {
        json.WriteStartObject();
        json.WriteString("type", error.GetType().Name);
        json.WriteString("message", error.Message);
        if (frames.Length > 0)
        {
            json.WriteStartArray("stack");
            foreach (var frame in frames)
                WriteFrame(json, frame);
            json.WriteEndArray();
        }
        json.WriteEndObject();
    }

    private static void WriteFrame(Utf8JsonWriter json, StackFrame frame)
    {
        json.WriteStartObject();
        if (frame.GetFileName() is { } path)
            json.WriteString("path", path);
        var method = frame.GetMethod();
        json.WriteString("label", method?.DeclaringType is { } type ? $"{type.Name}.{method.Name}" : method?.Name ?? "");
        if (frame.GetFileName() is not null)
            json.WriteNumber("line", frame.GetFileLineNumber());
        json.WriteEndObject();
    }
}
