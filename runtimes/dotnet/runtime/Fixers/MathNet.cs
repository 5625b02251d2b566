using System.Reflection;
using System.Runtime.InteropServices;

namespace Thaw.Runtime.Fixers;

/// <summary>
/// The generators that Math.NET gives to who names none, its distributions among them: one for each thread. Those that a
/// function makes itself stay, as nothing tells a seed that was given from one that was drawn.
/// </summary>
internal sealed class MathNet : Fixer
{
    private readonly List<(FieldInfo Threads, FieldInfo Random)> systems = [];
    private readonly List<(FieldInfo Threads, FieldInfo State, FieldInfo Used)> twisters = [];

    public override string Name => "mathnet";

    public override string Library => "MathNet.Numerics";

    public override bool Find(Loaded loaded)
    {
        systems.Clear();
        twisters.Clear();
        systems.AddRange(
            from type in loaded.Types(Library, "MathNet.Numerics.Random.SystemRandomSource")
            select (Field(type, "DefaultInstance", Statics), Field(type, "_random", Instances)));
        twisters.AddRange(
            from type in loaded.Types(Library, "MathNet.Numerics.Random.MersenneTwister")
            select (Field(type, "DefaultInstance", Statics), Field(type, "_mt", Instances), Field(type, "_mti", Instances)));
        return systems.Count + twisters.Count > 0;
    }

    public override string Renew(Draw draw)
    {
        foreach (var (threads, random) in systems)
        {
            foreach (var source in OfEveryThread(threads.GetValue(null)))
                // An instance's field may be set although it is readonly.
                random.SetValue(source, new Random());
        }
        foreach (var (threads, state, used) in twisters)
        {
            foreach (var twister in OfEveryThread(threads.GetValue(null)))
            {
                var words = (uint[])state.GetValue(twister)!;
                draw.Fill(MemoryMarshal.AsBytes(words.AsSpan()));
                used.SetValue(twister, words.Length); // none is left of the last round
            }
        }
        return "defaults";
    }
}
