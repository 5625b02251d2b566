using System.Diagnostics;
using System.Reflection;

namespace Thaw.Runtime;

/// <summary>This process's part in one snapshot and its restores.</summary>
/// <remarks>
/// <see cref="Freeze"/> is the last before-snapshot hook and <see cref="Thaw"/> the first after-restore hook. A function
/// without hooks is renewed by the agent alone, by what this process said when it began and whenever it loaded a library
/// with generators.
/// </remarks>
internal sealed class Session
{
    private const int StartMs = 1_000;
    private const int ThawMs = 5_000; // the agent queues it before it lets this process run

    private readonly Control control;
    private readonly Registry registry;
    private readonly HashSet<string> libraries;
    private readonly CoreHooks hooks;
    private readonly Book book = new();
    private readonly Report report = new();

    private Session(Control control, IEnumerable<string> skip, CoreHooks hooks)
    {
        this.control = control;
        this.hooks = hooks;
        registry = new Registry(skip);
        libraries = [.. registry.Libraries.Where(name => name.Length > 0)];
    }

    public static void Open(Control control)
    {
        var skip = Records.Names(control.Receive(Kind.Start, StartMs));
        if (Environment.GetEnvironmentVariable("THAW_SKIP_FIXERS") is { } own)
            skip.AddRange(own.Split([',', ' '], StringSplitOptions.RemoveEmptyEntries));
        // What draws trace ids, of HttpClient too: named from the beginning, as a function without hooks says no more.
        _ = Assembly.Load("System.Diagnostics.DiagnosticSource");
        var hooks = CoreHooks.Find();
        var session = new Session(control, skip, hooks);
        if (hooks.WhyNone.Length == 0)
            hooks.Register(session.Freeze, session.Thaw);
        session.SendBook();
        AppDomain.CurrentDomain.AssemblyLoad += session.OnLoad;
        session.SendOpened();
    }

    private static string RuntimeVersion => Environment.Version.ToString();

    private ValueTask Freeze()
    {
        var began = Stopwatch.GetTimestamp();
        AppDomain.CurrentDomain.AssemblyLoad -= OnLoad;
        var loaded = new Loaded();
        registry.Freeze(loaded, Rehearse());
        var notes = Remarks.Of(loaded, hooks);
        // What is garbage now would be in the snapshot, and the first collection of each clone would copy its pages.
        GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
        SendBook();
        Begin(Kind.Frozen);
        foreach (var note in notes)
            report.AddNote(note);
        control.Send(report.End(Elapsed(began)));
        registry.ThrowIfFailed();
        return default;
    }

    private ValueTask Thaw()
    {
        var draw = new Draw(Records.Entropy(control.Receive(Kind.Thaw, ThawMs)));
        var began = Stopwatch.GetTimestamp();
        registry.Thaw(draw);
        Begin(Kind.Thawed);
        control.Send(report.End(Elapsed(began)));
        // An exception from here makes the runtime client post restore/error, and the machine is killed.
        registry.ThrowIfFailed();
        return default;
    }

    /// <summary>What a clone does first, done once before: it is loaded, compiled and known to work.</summary>
    private Draw Rehearse()
    {
        Span<byte> record = stackalloc byte[Records.HeadSize + 80];
        record.Clear();
        record[0] = Records.Version;
        record[1] = (byte)Kind.Thaw;
        record[7] = 80;
        var draw = new Draw(Records.Entropy(Records.Split(record, Kind.Thaw)));
        registry.Thaw(draw);
        Begin(Kind.Thawed);
        report.End(0);
        return draw;
    }

    private void SendOpened()
    {
        report.Begin(Kind.Opened, Report.Reporter, RuntimeVersion);
        var hasHooks = hooks.WhyNone.Length == 0;
        if (!hasHooks)
            report.AddNote($"{hooks.WhyNone}: counters, connection pools and credentials that were cached are not renewed");
        control.Send(report.End(0, hasHooks ? (ushort)0 : Report.NoHooks));
    }

    private void SendBook() => control.Send(book.Record(registry.Generators(new Loaded())));

    private void Begin(Kind kind)
    {
        report.Begin(kind, Report.Reporter, RuntimeVersion);
        registry.AddTo(report);
    }

    private void OnLoad(object? sender, AssemblyLoadEventArgs loaded)
    {
        if (!libraries.Contains(loaded.LoadedAssembly.GetName().Name ?? ""))
            return;
        try
        {
            SendBook();
        }
        catch (Exception error)
        {
            Console.Error.WriteLine($"thaw: {loaded.LoadedAssembly.GetName().Name} could not be looked at: {error.Message}");
        }
    }

    private static ulong Elapsed(long began) => (ulong)((Stopwatch.GetTimestamp() - began) * 1_000_000 / Stopwatch.Frequency);
}
