using System.Collections;
using System.Reflection;
using System.Runtime.Loader;

namespace Thaw.Runtime;

/// <summary>SnapStart's hooks in the function's own <c>Amazon.Lambda.Core</c>, whatever its version, by reflection.</summary>
/// <remarks>
/// Core keeps what is registered in two queues, which the runtime client empties once, after the init. It runs the hooks
/// before the snapshot last in, first out, and those after the restore first in, first out. Registered before any code of
/// the function runs, ours are the last before the snapshot and the first after the restore.
/// </remarks>
internal sealed class CoreHooks
{
    private const string Core = "Amazon.Lambda.Core";
    private const string Hooks = "Amazon.Lambda.Core.SnapshotRestore";

    /// <summary>Core's private fields, which only tell what came too late: where they are missing, nothing is told.</summary>
    private static readonly string[] Queues = ["BeforeSnapshotRegistry", "AfterRestoreRegistry"];

    private readonly Type? hooks;

    private CoreHooks(Type? hooks, string why)
    {
        this.hooks = hooks;
        WhyNone = why;
    }

    /// <summary>A sentence for the person who publishes, where the function has no hooks; empty if it has.</summary>
    public string WhyNone { get; }

    public static CoreHooks Find()
    {
        try
        {
            var core = AssemblyLoadContext.Default.LoadFromAssemblyName(new AssemblyName(Core));
            return core.GetType(Hooks) is { } hooks
                ? new CoreHooks(hooks, "")
                : new CoreHooks(null, $"the function's {Core} has no SnapStart hooks (2.5.0 is the first that has)");
        }
        catch (FileNotFoundException)
        {
            return new CoreHooks(null, $"the function brings no {Core}, so it has no SnapStart hooks");
        }
    }

    public void Register(Func<ValueTask> before, Func<ValueTask> after)
    {
        Call("RegisterBeforeSnapshot", before);
        Call("RegisterAfterRestore", after);
    }

    /// <summary>Hooks that were registered after the runtime client had emptied the queues: none of them will run.</summary>
    public IEnumerable<string> TooLate() =>
        from name in Queues
        let queue = hooks?.GetField(name, BindingFlags.Static | BindingFlags.NonPublic)?.GetValue(null) as IEnumerable
        where queue is not null
        from hook in queue.OfType<Delegate>()
        select $"{hook.Method.DeclaringType?.FullName}.{hook.Method.Name}";

    private void Call(string method, Func<ValueTask> hook)
    {
        var register = hooks!.GetMethod(method, [typeof(Func<ValueTask>)]) ?? throw new MissingMethodException(Hooks, method);
        register.Invoke(null, BindingFlags.DoNotWrapExceptions, null, [hook], null);
    }
}
