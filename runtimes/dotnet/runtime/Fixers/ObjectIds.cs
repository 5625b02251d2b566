namespace Thaw.Runtime.Fixers;

/// <summary>
/// MongoDB's <c>ObjectId</c>: a time in seconds, five bytes of the process that cannot be set once they are compiled into
/// code, and this counter of 24 bits.
/// </summary>
internal sealed class ObjectIds : Counters
{
    public override string Name => "mongodb";

    public override string Library => "MongoDB.Bson";

    public override bool Essential => true;

    protected override long Mask => 0x00FF_FFFF;

    protected override IEnumerable<(string Assembly, string Type, string Field)> Known =>
        [(Library, "MongoDB.Bson.ObjectId", "__staticIncrement")];
}
