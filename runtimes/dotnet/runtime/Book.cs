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
    private const int CanaryWords = 4;
    private const int CanarySize = 8 + (8 * CanaryWords);
    private const int EntryHead = 12;

    /// <summary>A generator of ours. An agent that does not find it cannot be trusted to find the others.</summary>
    private readonly object canary = Implementation(new Random());

    public byte[] Record(IEnumerable<(string Name, Generators Generators)> entries)
    {
        var all = entries.Select(each => (each.Generators.Shape, Address(each.Generators.Type), each.Name)).ToList();
        // Where nothing is looked for by type, there is no search to be proved.
        return all.Exists(each => each.Shape != Shape.OpenSsl)
            ? Record(Address(canary.GetType()), State(), all)
            : Record(0, new ulong[CanaryWords], all);
    }

    internal static byte[] Record(ulong canaryTable, ulong[] canary, List<(Shape Shape, ulong Table, string Name)> entries)
    {
        var names = entries.ConvertAll(entry => Encoding.UTF8.GetBytes(entry.Name));
        var record = new byte[Records.HeadSize + CanarySize + names.Sum(name => EntryHead + name.Length)];
        record[0] = Records.Version;
        record[1] = (byte)Kind.Book;
        BinaryPrimitives.WriteUInt32BigEndian(record.AsSpan(4), (uint)(record.Length - Records.HeadSize));
        var at = record.AsSpan(Records.HeadSize);
        BinaryPrimitives.WriteUInt64BigEndian(at, canaryTable);
        for (var index = 0; index < CanaryWords; index++)
            BinaryPrimitives.WriteUInt64BigEndian(at[(8 + (8 * index))..], canary[index]);
        at = at[CanarySize..];
        foreach (var ((shape, table, _), name) in entries.Zip(names))
        {
            at[0] = (byte)shape;
            BinaryPrimitives.WriteUInt16BigEndian(at[2..], (ushort)name.Length);
            BinaryPrimitives.WriteUInt64BigEndian(at[4..], table);
            name.CopyTo(at[EntryHead..]);
            at = at[(EntryHead + name.Length)..];
        }
        return record;
    }

    private ulong[] State() => Array.ConvertAll(Generators.Words(canary.GetType()), word => (ulong)word.GetValue(canary)!);

    private static object Implementation(Random random) =>
        typeof(Random).GetField("_impl", BindingFlags.NonPublic | BindingFlags.Instance)!.GetValue(random)!;

    private static ulong Address(Type? type) => type is null ? 0 : (ulong)type.TypeHandle.Value;
}
