using System.Reflection;

namespace Thaw.Runtime.Fixers;

/// <summary>
/// A database driver's pools of connections: the agent shuts the connections before the snapshot, and clones open their
/// own. The driver's own method empties the pools, before the snapshot, where it can still say good-bye, and in each clone.
/// </summary>
internal abstract class ConnectionPool : Fixer
{
    private readonly List<MethodInfo> clear = [];

    protected abstract string Connection { get; }

    public override bool Find(Loaded loaded)
    {
        clear.Clear();
        clear.AddRange(loaded.Types(Library, Connection).Select(type => type.GetMethod("ClearAllPools", Type.EmptyTypes)).OfType<MethodInfo>());
        return clear.Count > 0;
    }

    public override string Renew(Draw draw)
    {
        foreach (var method in clear)
            method.Invoke(null, BindingFlags.DoNotWrapExceptions, null, null, null);
        return "pools cleared";
    }
}
