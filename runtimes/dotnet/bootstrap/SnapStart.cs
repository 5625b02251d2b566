namespace Thaw.Bootstrap;

/// <summary>
/// The two phases around the snapshot. Before-hooks run last in, first out; after-hooks first in, first out; the first failure
/// ends a phase.
/// </summary>
internal static class SnapStart
{
    /// <summary>Returns in a clone. False if a hook failed, which has been reported.</summary>
    public static bool Run(RuntimeApi api, Log log)
    {
        var before = new Stack<Func<ValueTask>>();
        var after = new Queue<Func<ValueTask>>();
        if (!CoreAssembly.TakeHooks(before.Push, after.Enqueue))
            log.Write(
                Level.Error,
                "Failed to retrieve snapshot hooks from Amazon.Lambda.Core.SnapshotRestore, "
                    + "this can be fixed by updating the version of Amazon.Lambda.Core");
        try
        {
            while (before.TryPop(out var hook))
                Wait(hook());
            api.RestoreNext();
        }
        catch (Exception error) when (error is not RuntimeApiException)
        {
            log.Write(Level.Error, "Failed to invoke before snapshot hooks", error);
            api.ReportInitError(error, "Runtime.BeforeSnapshotError");
            return false;
        }
        try
        {
            while (after.TryDequeue(out var hook))
                Wait(hook());
        }
        catch (Exception error)
        {
            log.Write(Level.Error, "Failed to invoke after restore callables", error);
            api.ReportRestoreError(error);
            return false;
        }
        return true;
    }

    private static void Wait(ValueTask hook)
    {
        if (hook.IsCompleted)
            hook.GetAwaiter().GetResult();
        else
            hook.AsTask().GetAwaiter().GetResult();
    }
}
