using System.Text;

namespace Thaw.Bootstrap;

/// <summary>A log as lines of a stream, for a Runtime API without a telemetry descriptor.</summary>
internal sealed class StreamSink(Stream stream) : ILogSink
{
    private readonly object gate = new();

    public void Write(ReadOnlySpan<char> text)
    {
        var bytes = new byte[Encoding.UTF8.GetByteCount(text)];
        Encoding.UTF8.GetBytes(text, bytes);
        lock (gate)
        {
            stream.Write(bytes);
            stream.Flush();
        }
    }
}
