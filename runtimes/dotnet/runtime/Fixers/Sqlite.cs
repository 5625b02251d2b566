using System.Runtime.InteropServices;

namespace Thaw.Runtime.Fixers;

/// <summary>SQLite: pooled connections, and the generator behind <c>random()</c> and new row ids, which lives in native memory.</summary>
internal sealed unsafe class Sqlite : ConnectionPool
{
    private readonly List<nint> functions = [];

    public override string Name => "sqlite";

    public override string Library => "Microsoft.Data.Sqlite";

    protected override string Connection => "Microsoft.Data.Sqlite.SqliteConnection";

    public override bool Find(Loaded loaded)
    {
        functions.Clear();
        var paths = File.ReadLines("/proc/self/maps")
            .Where(line => Path.GetFileName(line) is "libe_sqlite3.so" || Path.GetFileName(line).StartsWith("libsqlite3.so", StringComparison.Ordinal))
            .Select(line => line[line.IndexOf('/', StringComparison.Ordinal)..]);
        foreach (var path in paths.Distinct())
            functions.Add(NativeLibrary.GetExport(NativeLibrary.Load(path), "sqlite3_randomness"));
        return base.Find(loaded) | (functions.Count > 0);
    }

    public override string Renew(Draw draw)
    {
        // Of no bytes: forget the state, and take a new one from the system at the next use.
        foreach (var function in functions)
            ((delegate* unmanaged<int, void*, void>)function)(0, null);
        return base.Renew(draw);
    }
}
