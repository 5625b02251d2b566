using System.Buffers.Binary;
using System.Globalization;
using System.Text;
using Microsoft.Win32.SafeHandles;

namespace Amazon.Lambda.RuntimeSupport;

/// <summary>
/// The console of a function: a line is a record, with its time, request and level. Records are frames where Lambda gives
/// a descriptor for them.
/// </summary>
internal sealed class LogWriter(TextWriter plain, Stream frames, string level) : TextWriter
{
    private const uint TextFrame = 0xA55A0003;
    private const int Head = 16;

    /// <summary>The invocation that goes on; empty before the first.</summary>
    public static string RequestId { get; set; } = "";

    public override Encoding Encoding => Encoding.UTF8;

    public static void Install()
    {
        var frames = Environment.GetEnvironmentVariable("_LAMBDA_TELEMETRY_LOG_FD") is { Length: > 0 } descriptor
            ? new FileStream(
                new SafeFileHandle(int.Parse(descriptor, CultureInfo.InvariantCulture), ownsHandle: false), FileAccess.Write, 0)
            : null;
        Console.SetOut(new LogWriter(Console.Out, frames, "info"));
        Console.SetError(new LogWriter(Console.Error, frames, "fail"));
    }

    public override void Write(char value) => Write(value.ToString());

    public override void Write(string value)
    {
        if (frames is null)
        {
            plain.Write(value);
            return;
        }
        var text = Encoding.GetBytes(value ?? "");
        var frame = new byte[Head + text.Length];
        BinaryPrimitives.WriteUInt32BigEndian(frame, TextFrame);
        BinaryPrimitives.WriteInt32BigEndian(frame.AsSpan(4), text.Length);
        BinaryPrimitives.WriteInt64BigEndian(frame.AsSpan(8), (DateTime.UtcNow - DateTime.UnixEpoch).Ticks / TimeSpan.TicksPerMicrosecond);
        text.CopyTo(frame, Head);
        lock (frames)
        {
            frames.Write(frame);
        }
    }

    public override void WriteLine(string value) =>
        Write(string.Create(CultureInfo.InvariantCulture, $"{DateTime.UtcNow:yyyy-MM-ddTHH:mm:ss.fffZ}\t{RequestId}\t{level}\t{value}\n"));

    public override void WriteLine(object value) => WriteLine(value?.ToString());
}
