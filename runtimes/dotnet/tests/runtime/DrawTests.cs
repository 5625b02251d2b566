using Thaw.Runtime;
using Xunit;

namespace Thaw.Tests.Runtime;

public class DrawTests
{
    /// <summary>The key stream of RFC 8439, appendix A.1: key, nonce and counter of zeros, the first two blocks.</summary>
    [Fact]
    public void ItsStreamIsTheStandards()
    {
        var draw = new Draw(new byte[64]);
        draw.Next();
        Assert.StartsWith("76b8e0ada0f13d90405d6ae55386bd28bdd219b8a08ded1aa836efcc8b770dc7", Hex(draw), StringComparison.Ordinal);
        draw.Next();
        Assert.StartsWith("9f07e7be5551387a98ba977c732d080dcb0f29a048e3656912c6533e32ee7aed", Hex(draw), StringComparison.Ordinal);
    }

    [Fact]
    public void BothHalvesOfTheSecretCount()
    {
        var streams = new HashSet<string>();
        foreach (var index in new[] { 0, 31, 32, 63 })
        {
            var secret = new byte[64];
            secret[index] = 1;
            var draw = new Draw(secret);
            draw.Next();
            streams.Add(Hex(draw));
        }
        // A byte of one half and the same of the other are one key: they are combined.
        Assert.Equal(2, streams.Count);
    }

    [Fact]
    public void TheSameSecretTwiceDrawsOtherBytes()
    {
        var first = new byte[100];
        var second = new byte[100];
        new Draw(new byte[64]).Fill(first);
        new Draw(new byte[64]).Fill(second);
        Assert.NotEqual(first, second);
    }

    private static string Hex(Draw draw) => Convert.ToHexString(draw.Block).ToLowerInvariant();
}
