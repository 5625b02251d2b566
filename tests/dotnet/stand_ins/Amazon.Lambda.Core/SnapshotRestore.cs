#if CORE_2_5
using System;
using System.Collections.Concurrent;
using System.Threading.Tasks;

namespace Amazon.Lambda.Core
{
    public static class SnapshotRestore
    {
        private static readonly ConcurrentQueue<Func<ValueTask>> BeforeSnapshotRegistry = new();
        private static readonly ConcurrentQueue<Func<ValueTask>> AfterRestoreRegistry = new();

        public static void RegisterBeforeSnapshot(Func<ValueTask> beforeSnapshotAction) =>
            BeforeSnapshotRegistry.Enqueue(beforeSnapshotAction);

        public static void RegisterAfterRestore(Func<ValueTask> afterRestoreAction) =>
            AfterRestoreRegistry.Enqueue(afterRestoreAction);

        internal static void CopyBeforeSnapshotCallbacksToRegistry(Action<Func<ValueTask>> register)
        {
            while (BeforeSnapshotRegistry.TryDequeue(out var hook))
                register?.Invoke(hook);
        }

        internal static void CopyAfterRestoreCallbacksToRegistry(Action<Func<ValueTask>> register)
        {
            while (AfterRestoreRegistry.TryDequeue(out var hook))
                register?.Invoke(hook);
        }
    }
}
#endif
