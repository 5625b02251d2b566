using System.Buffers.Binary;
using System.Text;

namespace Thaw.Bootstrap;

/// <summary>
/// A log as frames on the telemetry descriptor: type, length and microseconds since 1970, big-endian, and then the text.
/// </summary>
internal sealed class FrameSink(Stream stream, bool json) : ILogSink
{
    /// <summary>Bytes of text in a frame, as Lambda's client cuts it; what is longer goes on in the next one.</summary>
    public const int Largest = 262_118;

    private const uint TextFrame = 0xa55a0003;
    private const uint JsonFrame = 0xa55a0002;
    private const int HeaderBytes = 16;

    private readonly object gate = new();

    public void Write(ReadOnlySpan<char> text)
    {
        // With room for the header in front: one write, so that no other process that holds the pipe gets between.
        var bytes = new byte[HeaderBytes + Encoding.UTF8.GetByteCount(text)];
        Encoding.UTF8.GetBytes(text, bytes.AsSpan(HeaderBytes));
        lock (gate)
        {
            var micros = (DateTime.UtcNow - DateTime.UnixEpoch).Ticks / TimeSpan.TicksPerMicrosecond;
            for (var at = HeaderBytes; at < bytes.Length;)
            {
                var length = Math.Min(Largest, bytes.Length - at);
                while (at + length < bytes.Length && (bytes[at + length] & 0xc0) == 0x80)
                    length--; // not within a character
                // The header overwrites the end of what is written already.
                var frame = bytes.AsSpan(at - HeaderBytes, HeaderBytes + length);
                BinaryPrimitives.WriteUInt32BigEndian(frame, json ? JsonFrame : TextFrame);
                BinaryPrimitives.WriteInt32BigEndian(frame[4..], length);
                BinaryPrimitives.WriteInt64BigEndian(frame[8..], micros);
                stream.Write(frame);
                at += length;
            }
        }
    }
}
