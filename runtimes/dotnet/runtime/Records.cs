using System.Buffers.Binary;
using System.Text;

namespace Thaw.Runtime;

/// <summary>These bytes are not the record that is wanted.</summary>
internal sealed class MalformedException(string message) : Exception(message);

/// <summary>Kinds of records (docs/runtime-protocol.md).</summary>
internal enum Kind : byte
{
    None = 0,
    Start = 0x01,
    Thaw = 0x03,
    Frozen = 0x81,
    Thawed = 0x82,
    Record = 0x83,
    Book = 0x84,
    Opened = 0x85,
}

/// <summary>The records from the agent as bytes: the reading half of the runtime's side of docs/runtime-protocol.md.</summary>
internal static class Records
{
    public const int Largest = 128 * 1024;
    public const int HeadSize = 8;
    public const int EntropySize = 64;
    public const byte Version = 1;
    private const int EntropyAt = 16;

    /// <summary>The body of a record of this kind.</summary>
    /// <exception cref="MalformedException">It is not one.</exception>
    public static ReadOnlySpan<byte> Split(ReadOnlySpan<byte> data, Kind kind)
    {
        if (data.Length < HeadSize)
            throw new MalformedException($"a record has a head of {HeadSize} bytes, this has {data.Length}");
        if (data[0] != Version)
            throw new MalformedException($"a record of version {data[0]}, not {Version}");
        if (data[1] != (byte)kind)
            throw new MalformedException($"a record of kind {data[1]}, not {(byte)kind}");
        if (BinaryPrimitives.ReadUInt32BigEndian(data[4..]) != data.Length - HeadSize)
            throw new MalformedException($"a body of {data.Length - HeadSize} bytes, its head says another length");
        return data[HeadSize..];
    }

    /// <summary>The names in the body of START: fixers to leave out.</summary>
    /// <exception cref="MalformedException">A name is longer than its record.</exception>
    public static List<string> Names(ReadOnlySpan<byte> body)
    {
        List<string> names = [];
        while (!body.IsEmpty)
        {
            if (body.Length < 2 || body.Length - 2 < BinaryPrimitives.ReadUInt16BigEndian(body))
                throw new MalformedException("a name in START is longer than its record");
            var length = BinaryPrimitives.ReadUInt16BigEndian(body);
            names.Add(Encoding.UTF8.GetString(body.Slice(2, length)));
            body = body[(2 + length)..];
        }
        return names;
    }

    /// <summary>The 64 secret bytes in the body of THAW.</summary>
    /// <exception cref="MalformedException">There are fewer.</exception>
    public static ReadOnlySpan<byte> Entropy(ReadOnlySpan<byte> body)
    {
        if (body.Length < EntropyAt + EntropySize)
            throw new MalformedException($"THAW has {body.Length} bytes, {EntropyAt + EntropySize} are needed");
        return body.Slice(EntropyAt, EntropySize);
    }
}
