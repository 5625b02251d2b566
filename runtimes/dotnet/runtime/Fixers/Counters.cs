using System.Reflection;

namespace Thaw.Runtime.Fixers;

/// <summary>Static counters that begin at a time or at a random number, and go on alike in every clone.</summary>
internal abstract class Counters : Fixer
{
    private readonly List<FieldInfo> counters = [];

    public override bool Rehearsed => false;

    /// <summary>How far from zero a counter begins anew.</summary>
    protected virtual long Mask => 0x0FFF_FFFF_FFFF_FFFF;

    protected abstract IEnumerable<(string Assembly, string Type, string Field)> Known { get; }

    public override bool Find(Loaded loaded)
    {
        counters.Clear();
        counters.AddRange(
            from known in Known
            from type in loaded.Types(known.Assembly, known.Type)
            select Field(type, known.Field, Statics));
        return counters.Count > 0;
    }

    public override string Renew(Draw draw)
    {
        foreach (var counter in counters)
        {
            var value = draw.Int64() & Mask;
            counter.SetValue(null, counter.FieldType == typeof(int) ? (object)(int)value : value);
        }
        return "set";
    }
}
