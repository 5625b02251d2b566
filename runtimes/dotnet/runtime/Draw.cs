using System.Buffers.Binary;
using System.Numerics;

namespace Thaw.Runtime;

/// <summary>Fresh bytes for the fixers, which no other clone has.</summary>
/// <remarks>
/// ChaCha20 (RFC 8439) under the agent's secret, combined with the kernel's bytes: either source alone makes the result
/// unique. Written out, because .NET's own ciphers and hashes are OpenSSL's, and a function that uses no OpenSSL must not
/// get one from us.
/// </remarks>
internal sealed unsafe class Draw
{
    private const int BlockSize = 64;

    private readonly uint[] state = new uint[16];
    private readonly byte[] block = new byte[BlockSize];
    private int used = BlockSize;

    /// <param name="secret">64 bytes.</param>
    public Draw(ReadOnlySpan<byte> secret)
    {
        ReadOnlySpan<uint> constants = [0x61707865, 0x3320646e, 0x79622d32, 0x6b206574];
        constants.CopyTo(state);
        // 32 bytes are the key; the rest, which is as secret, is mixed into it.
        for (var word = 0; word < 8; word++)
        {
            var first = BinaryPrimitives.ReadUInt32LittleEndian(secret[(4 * word)..]);
            var second = BinaryPrimitives.ReadUInt32LittleEndian(secret[(32 + (4 * word))..]);
            state[4 + word] = first ^ second;
        }
    }

    public void Fill(Span<byte> bytes)
    {
        fixed (byte* target = bytes)
        {
            for (nuint done = 0; done < (nuint)bytes.Length;)
            {
                var got = Native.RandomBytes(target + done, (nuint)bytes.Length - done, 0);
                if (got > 0)
                    done += (nuint)got;
            }
        }
        for (var index = 0; index < bytes.Length; index++)
        {
            if (used == BlockSize)
                Next();
            bytes[index] ^= block[used++];
        }
    }

    public long Int64()
    {
        Span<byte> bytes = stackalloc byte[8];
        Fill(bytes);
        return BinaryPrimitives.ReadInt64LittleEndian(bytes);
    }

    public int Int32() => (int)Int64();

    public short Int16() => (short)Int64();

    /// <summary>One block of the stream, at this counter.</summary>
    internal void Next()
    {
        Span<uint> x = stackalloc uint[16];
        state.CopyTo(x);
        for (var round = 0; round < 10; round++)
        {
            Quarter(x, 0, 4, 8, 12);
            Quarter(x, 1, 5, 9, 13);
            Quarter(x, 2, 6, 10, 14);
            Quarter(x, 3, 7, 11, 15);
            Quarter(x, 0, 5, 10, 15);
            Quarter(x, 1, 6, 11, 12);
            Quarter(x, 2, 7, 8, 13);
            Quarter(x, 3, 4, 9, 14);
        }
        for (var word = 0; word < 16; word++)
            BinaryPrimitives.WriteUInt32LittleEndian(block.AsSpan(4 * word), x[word] + state[word]);
        state[12]++;
        used = 0;
    }

    /// <summary>For tests: the block, whose stream is the standard's.</summary>
    internal ReadOnlySpan<byte> Block => block;

    private static void Quarter(Span<uint> x, int a, int b, int c, int d)
    {
        x[a] += x[b];
        x[d] = BitOperations.RotateLeft(x[d] ^ x[a], 16);
        x[c] += x[d];
        x[b] = BitOperations.RotateLeft(x[b] ^ x[c], 12);
        x[a] += x[b];
        x[d] = BitOperations.RotateLeft(x[d] ^ x[a], 8);
        x[c] += x[d];
        x[b] = BitOperations.RotateLeft(x[b] ^ x[c], 7);
    }
}
