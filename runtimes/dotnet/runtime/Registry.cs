using System.Diagnostics;

namespace Thaw.Runtime;

/// <summary>This process could not be made unique; the machine must not serve invocations.</summary>
internal sealed class CloneNotUniqueException(string message) : Exception(message);

/// <summary>All fixers: which are left out, what is found for them before the snapshot, and how they run after the restore.</summary>
internal sealed class Registry
{
    private readonly HashSet<string> skip;
    private readonly Fixer[] fixers;
    private readonly Entry[] entries;

    public Registry(IEnumerable<string> skip)
        : this(skip, All())
    {
    }

    internal Registry(IEnumerable<string> skip, IEnumerable<Fixer> all)
    {
        this.skip = [.. skip];
        entries = [.. all.OrderBy(fixer => fixer.Name, StringComparer.Ordinal).Select(fixer => new Entry(fixer, IsSkipped(fixer.Name)))];
        fixers = [.. entries.Where(entry => !entry.IsSkipped).Select(entry => entry.Fixer)];
    }

    /// <summary>Libraries whose loading adds to what the agent is to renew.</summary>
    public IEnumerable<string> Libraries =>
        from fixer in fixers
        where fixer.GetType().GetMethod(nameof(Fixer.Generators))!.DeclaringType != typeof(Fixer)
        select fixer.Library;

    /// <summary>What the agent is to renew, by fixer.</summary>
    public List<(string Name, Generators Generators)> Generators(Loaded loaded) =>
        [.. from fixer in fixers from generators in fixer.Generators(loaded) select (fixer.Name, generators)];

    /// <summary>
    /// Find what is to be renewed, and renew it once: a fixer that cannot do its work fails the publish and not the
    /// restores, and a clone runs nothing for the first time.
    /// </summary>
    public void Freeze(Loaded loaded, Draw draw)
    {
        foreach (var entry in entries)
            entry.Freeze(loaded, draw);
    }

    /// <summary>Renew it, in a clone.</summary>
    public void Thaw(Draw draw)
    {
        foreach (var entry in entries)
            entry.Thaw(draw);
    }

    /// <exception cref="CloneNotUniqueException">An essential fixer failed.</exception>
    public void ThrowIfFailed()
    {
        foreach (var entry in entries)
        {
            if (entry.Result == Result.Failed && entry.Fixer.Essential)
            {
                var causes = entries.Where(each => each.Result == Result.Failed && each.Fixer.Essential).Select(each => $"{each.Fixer.Name}: {each.Detail}");
                throw new CloneNotUniqueException(
                    $"clones of this function would not be unique ({string.Join("; ", causes)}). "
                    + "A fixer can be left out by its name in the function's variable THAW_SKIP_FIXERS.");
            }
        }
    }

    public void AddTo(Report report)
    {
        foreach (var entry in entries)
        {
            if (entry.Result != Result.Absent)
                report.AddFixer(entry.Fixer.Name, entry.Version, entry.Result, entry.Fixer.Essential, entry.Us, entry.Detail);
        }
    }

    private bool IsSkipped(string name) => skip.Contains("*") || skip.Contains(name);

    private static IEnumerable<Fixer> All() =>
        from type in typeof(Fixer).Assembly.GetTypes()
        where type.IsSubclassOf(typeof(Fixer)) && !type.IsAbstract
        select (Fixer)Activator.CreateInstance(type)!;

    /// <summary>One fixer and what became of it.</summary>
    private sealed class Entry(Fixer fixer, bool isSkipped)
    {
        public Fixer Fixer => fixer;

        public bool IsSkipped => isSkipped;

        public Result Result { get; private set; } = isSkipped ? Result.Skipped : Result.Absent;

        public string Version { get; private set; } = "";

        public string Detail { get; private set; } = "";

        public ulong Us { get; private set; }

        public void Freeze(Loaded loaded, Draw draw)
        {
            if (isSkipped)
                return;
            var began = Stopwatch.GetTimestamp();
            try
            {
                Version = loaded.Version(fixer.Library);
                Result = fixer.Find(loaded) ? Result.Renewed : Result.Absent;
                if (Result == Result.Renewed && fixer.Rehearsed)
                    Detail = fixer.Renew(draw);
                else if (Result == Result.Renewed)
                    fixer.Practise(draw);
            }
            catch (Exception error)
            {
                Fail(error);
            }
            Us = Elapsed(began);
        }

        public void Thaw(Draw draw)
        {
            if (Result != Result.Renewed)
                return;
            var began = Stopwatch.GetTimestamp();
            try
            {
                Detail = fixer.Renew(draw);
            }
            catch (Exception error)
            {
                Fail(error);
            }
            Us = Elapsed(began);
        }

        private static ulong Elapsed(long began) => (ulong)((Stopwatch.GetTimestamp() - began) * 1_000_000 / Stopwatch.Frequency);

        private void Fail(Exception error)
        {
            Result = Result.Failed;
            Detail = $"{error.GetType().Name}: {error.Message}";
        }
    }
}
