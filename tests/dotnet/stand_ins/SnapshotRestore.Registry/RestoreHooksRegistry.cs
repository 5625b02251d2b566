using System;
using System.Collections.Concurrent;
using System.Threading.Tasks;

// The name of this namespace hides the class Amazon.Lambda.Core.SnapshotRestore in every project that has the package.
namespace SnapshotRestore.Registry;

public class RestoreHooksRegistry
{
    private readonly ConcurrentStack<Func<ValueTask>> before = new();
    private readonly ConcurrentQueue<Func<ValueTask>> after = new();

    public RestoreHooksRegistry(Action<string> logger = null)
    {
    }

    public void RegisterBeforeSnapshot(Func<ValueTask> func) => before.Push(func);

    public void RegisterAfterRestore(Func<ValueTask> func) => after.Enqueue(func);

    public async Task InvokeBeforeSnapshotCallbacks()
    {
        while (before.TryPop(out var hook))
            await hook();
    }

    public async Task InvokeAfterRestoreCallbacks()
    {
        while (after.TryDequeue(out var hook))
            await hook();
    }
}
