using System.Buffers.Binary;
using System.Text;
using Thaw.Bootstrap;
using Xunit;

namespace Thaw.Tests.Bootstrap;

public class FrameSinkTests
{
    [Theory]
    [InlineData(false, 0xa55a0003)]
    [InlineData(true, 0xa55a0002)]
    public void SaysTypeAndLengthAndTimeBeforeTheText(bool json, uint type)
    {
        var frame = Assert.Single(Frames("é\n", json));

        Assert.Equal(type, frame.Type);
        Assert.Equal("é\n", frame.Text);
        Assert.InRange(frame.Micros, DateTimeOffset.UtcNow.AddHours(-1).ToUnixTimeMilliseconds() * 1000, long.MaxValue);
    }

    [Fact]
    public void CutsWhatIsTooLongAndNoCharacter()
    {
        var text = "a" + new string('é', FrameSink.Largest) + "\n";
        var frames = Frames(text, json: false);

        Assert.Equal(text, string.Concat(frames.Select(frame => frame.Text)));
        Assert.All(frames, frame => Assert.InRange(Encoding.UTF8.GetByteCount(frame.Text), 1, FrameSink.Largest));
        Assert.Equal(3, frames.Count);
    }

    [Fact]
    public void WritesNothingForNothing() => Assert.Empty(Frames("", json: false));

    private static List<(uint Type, long Micros, string Text)> Frames(string text, bool json)
    {
        using var stream = new MemoryStream();
        new FrameSink(stream, json).Write(text);
        var bytes = stream.ToArray().AsSpan();
        var frames = new List<(uint Type, long Micros, string Text)>();
        while (!bytes.IsEmpty)
        {
            var length = BinaryPrimitives.ReadInt32BigEndian(bytes[4..]);
            frames.Add((
                BinaryPrimitives.ReadUInt32BigEndian(bytes),
                BinaryPrimitives.ReadInt64BigEndian(bytes[8..]),
                Encoding.UTF8.GetString(bytes[16..(16 + length)])));
            bytes = bytes[(16 + length)..];
        }
        return frames;
    }
}
