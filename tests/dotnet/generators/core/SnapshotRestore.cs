using System.Collections.Concurrent;

namespace Amazon.Lambda.Core;

public static class SnapshotRestore
{
    private static readonly ConcurrentQueue<Func<ValueTask>> BeforeSnapshotRegistry = new();
    private static readonly ConcurrentQueue<Func<ValueTask>> AfterRestoreRegistry = new();

    public static void RegisterBeforeSnapshot(Func<ValueTask> beforeSnapshotAction) => BeforeSnapshotRegistry.Enqueue(beforeSnapshotAction);

    public static void RegisterAfterRestore(Func<ValueTask> afterRestoreAction) => AfterRestoreRegistry.Enqueue(afterRestoreAction);

    internal static void CopyBeforeSnapshotCallbacksToRegistry(Action<Func<ValueTask>> restoreHooksRegistrationMethod) => Drain(BeforeSnapshotRegistry, restoreHooksRegistrationMethod);

    internal static void CopyAfterRestoreCallbacksToRegistry(Action<Func<ValueTask>> restoreHooksRegistrationMethod) => Drain(AfterRestoreRegistry, restoreHooksRegistrationMethod);

    private static void Drain(ConcurrentQueue<Func<ValueTask>> queue, Action<Func<ValueTask>> register)
    {
        while (queue.TryDequeue(out var hook))
            register(hook);
    }
}
