namespace Thaw.Bootstrap;

/// <summary>The heap's limit.</summary>
internal static class Memory
{
    /// <summary>Let the heap grow to MemorySize, and not to a share of what the machine or its control group has.</summary>
    public static void Limit(int mib)
    {
        if (mib <= 0)
            return;
        AppContext.SetData("GCHeapHardLimit", (ulong)mib << 20);
        try
        {
            GC.RefreshMemoryLimit();
        }
        catch (InvalidOperationException)
        {
            // It is below what is in use already, or the user has fixed the heap's ranges. The control group holds it still.
        }
    }
}
