using System.Reflection;

namespace Thaw.Runtime.Fixers;

/// <summary>
/// UUIDNext: each thread fetches random bytes in advance, for many UUIDs, which clones would give out alike. What is left of
/// them is passed over, and the next UUID fetches new ones.
/// </summary>
internal sealed class UuidNext : Fixer
{
    private readonly List<(FieldInfo Threads, FieldInfo Batch, FieldInfo Used)> found = [];

    public override string Name => "uuidnext";

    public override string Library => "UUIDNext";

    public override bool Essential => true;

    public override bool Find(Loaded loaded)
    {
        found.Clear();
        foreach (var type in loaded.Types(Library, "UUIDNext.Tools.PrefetchedRandomNumberGenerator"))
        {
            var owner = type.Assembly.GetType("UUIDNext.Tools.RandomNumberGeneratorPolyfill")
                ?? throw new TypeLoadException("UUIDNext.Tools.RandomNumberGeneratorPolyfill");
            found.Add((Field(owner, "_prefetchRng", Statics), Field(type, "_randomBatch", Instances), Field(type, "index", Instances)));
        }
        return found.Count > 0;
    }

    public override string Renew(Draw draw)
    {
        var passed = 0;
        foreach (var (threads, batch, used) in found)
        {
            foreach (var generator in OfEveryThread(threads.GetValue(null)))
            {
                used.SetValue(generator, ((byte[])batch.GetValue(generator)!).Length);
                passed++;
            }
        }
        return $"{passed} threads";
    }
}
