using System.Buffers.Binary;
using System.Reflection;
using System.Text;

namespace Thaw.Runtime;

/// <summary>Kinds of what the agent renews in the frozen process's memory (docs/runtime-protocol.md, BOOK).</summary>
internal enum Shape : byte
{
    None = 0,

    /// <summary>Objects of four random 64-bit words.</summary>
    FourWords = 1,

    /// <summary>Objects of one.</summary>
    OneWord = 2,

    /// <summary>Generators of classes that derive from Random: counted, and reported.</summary>
    Derived = 3,

    /// <summary>OpenSSL's generators, wherever they are.</summary>
    OpenSsl = 4,
}

/// <summary>One type whose objects the agent renews. <paramref name="Type"/> is null for OpenSSL's.</summary>
internal readonly record struct Generators(Shape Shape, Type? Type)
{
    /// <summary>A type whose state is so many words, or nothing if this version keeps something else in it.</summary>
    public static IEnumerable<Generators> Of(IEnumerable<Type> types, int words) =>
        from type in types
        where Words(type).Length == words && Fields(type).Length == words
        select new Generators(words == 4 ? Shape.FourWords : Shape.OneWord, type);

    public static FieldInfo[] Words(Type type) =>
        Array.FindAll(Fields(type), field => field.FieldType == typeof(ulong));

    private static FieldInfo[] Fields(Type type) =>
        type.GetFields(BindingFlags.NonPublic | BindingFlags.Public | BindingFlags.Instance);
}

/// <summary>
/// The record that names to the agent the types of generators without a seed. It finds their objects by the address that
/// each begins with, that of its type, which never changes, while the function is frozen.
/// </summary>
internal sealed class Book
{
    private const int EntryHead = 12;

    /// <summary>A generator of ours. An agent that does not find it cannot be trusted to find the others.</summary>
    private readonly object canary = Implementation(new Random());

    public byte[] Record(IReadOnlyList<(string Name, Generators Generators)> entries)
    {
        var names = entries.Select(entry => Encoding.UTF8.GetBytes(entry.Name)).ToArray();
        var record = new byte[Records.HeadSize + 40 + names.Sum(name => EntryHead + name.Length)];
        record[0] = Records.Version;
        record[1] = (byte)Kind.Book;
        BinaryPrimitives.WriteUInt32BigEndian(record.AsSpan(4), (uint)(record.Length - Records.HeadSize));
        var at = Records.HeadSize;
        // Where nothing is looked for by type, there is no search to be proved.
        if (entries.Any(entry => entry.Generators.Type is not null))
            Canary(record.AsSpan(at));
        at += 40;
        for (var index = 0; index < names.Length; index++)
        {
            var (shape, type) = entries[index].Generators;
            record[at] = (byte)shape;
            BinaryPrimitives.WriteUInt16BigEndian(record.AsSpan(at + 2), (ushort)names[index].Length);
            BinaryPrimitives.WriteUInt64BigEndian(record.AsSpan(at + 4), type is null ? 0 : Address(type));
            names[index].CopyTo(record, at + EntryHead);
            at += EntryHead + names[index].Length;
        }
        return record;
    }

    private void Canary(Span<byte> target)
    {
        BinaryPrimitives.WriteUInt64BigEndian(target, Address(canary.GetType()));
        var words = Generators.Words(canary.GetType());
        for (var index = 0; index < words.Length; index++)
            BinaryPrimitives.WriteUInt64BigEndian(target[(8 + (8 * index))..], (ulong)words[index].GetValue(canary)!);
    }

    private static object Implementation(Random random) =>
        typeof(Random).GetField("_impl", BindingFlags.NonPublic | BindingFlags.Instance)!.GetValue(random)!;

    private static ulong Address(Type type) => (ulong)type.TypeHandle.Value;
}
