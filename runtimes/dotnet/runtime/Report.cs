using System.Buffers.Binary;
using System.Text;

namespace Thaw.Runtime;

/// <summary>What became of a fixer.</summary>
internal enum Result : byte
{
    Renewed = 0,
    Skipped = 1,
    Failed = 2,
    Absent = 3,
}

/// <summary>OPENED, FROZEN or THAWED, written item by item into one buffer.</summary>
/// <remarks>From the first item on that does not fit all are left out, and the report is marked as cut.</remarks>
internal sealed class Report
{
    public const string Reporter = "Thaw.Runtime";
    public const ushort NoHooks = 2;
    private const ushort Cut = 1;
    private const byte Essential = 0x80;
    private const int ItemHead = 12;

    private readonly byte[] buffer = new byte[Records.Largest];
    private int at;
    private ushort flags;

    private enum Item : byte
    {
        None = 0,
        Fixer = 1,
        Hook = 2,
        Note = 3,
        Language = 4,
    }

    /// <summary>Begin anew. A report says first who reports.</summary>
    public void Begin(Kind kind, string reporter, string version)
    {
        buffer[0] = Records.Version;
        buffer[1] = (byte)kind;
        at = Records.HeadSize + 8;
        flags = 0;
        Add(Item.Language, 0, 0, reporter, version, "");
    }

    public void AddFixer(string name, string version, Result result, bool essential, ulong us, string detail) =>
        Add(Item.Fixer, (byte)((byte)result | (essential ? Essential : 0)), us, name, version, detail);

    public void AddHook(string name, ulong us, bool ok) =>
        Add(Item.Hook, (byte)(ok ? Result.Renewed : Result.Failed), us, name, "", "");

    public void AddNote(string text) => Add(Item.Note, 0, 0, "", "", text);

    /// <summary>The whole record; <paramref name="us"/> is what thawd's own part took. Valid until the next Begin.</summary>
    public ReadOnlySpan<byte> End(ulong us, ushort more = 0)
    {
        BinaryPrimitives.WriteUInt16BigEndian(buffer.AsSpan(2), (ushort)(flags | more));
        BinaryPrimitives.WriteUInt32BigEndian(buffer.AsSpan(4), (uint)(at - Records.HeadSize));
        BinaryPrimitives.WriteUInt64BigEndian(buffer.AsSpan(Records.HeadSize), us);
        return buffer.AsSpan(0, at);
    }

    private void Add(Item kind, byte result, ulong us, string name, string version, string detail)
    {
        var begin = at;
        var text = begin + ItemHead;
        if (flags != 0 || !Text(ref text, 6, name) || !Text(ref text, 8, version) || !Text(ref text, 10, detail))
        {
            flags = Cut;
            return;
        }
        buffer[begin] = (byte)kind;
        buffer[begin + 1] = result;
        BinaryPrimitives.WriteUInt32BigEndian(buffer.AsSpan(begin + 2), (uint)Math.Min(us, uint.MaxValue));
        at = text;
    }

    /// <summary>Append a text, and its length at this place in the item's head. False if it does not fit.</summary>
    private bool Text(ref int position, int lengthAt, string text)
    {
        if (position > buffer.Length)
            return false;
        // A name may come from the function's code: half a surrogate pair becomes U+FFFD.
        var room = buffer.AsSpan(position);
        var size = Encoding.UTF8.GetByteCount(text);
        if (size > ushort.MaxValue)
        {
            text = text[..(ushort.MaxValue / 3)];
            size = Encoding.UTF8.GetByteCount(text);
        }
        if (size > room.Length)
            return false;
        Encoding.UTF8.GetBytes(text, room);
        BinaryPrimitives.WriteUInt16BigEndian(buffer.AsSpan(at + lengthAt), (ushort)size);
        position += size;
        return true;
    }
}
