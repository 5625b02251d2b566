using Amazon.Lambda.Core;

namespace Reports;

/// <summary>An id that is made anew after the restore: as AWS's sample has it, and as it was meant.</summary>
public class Ids
{
    private Guid sample = Guid.NewGuid();
    private Guid meant = Guid.NewGuid();

    public Ids() =>
        SnapshotRestore.RegisterAfterRestore(() =>
        {
            sample = new Guid();
            meant = Guid.NewGuid();
            return ValueTask.CompletedTask;
        });

    public Dictionary<string, Guid> Handle() => new() { ["sample"] = sample, ["meant"] = meant };
}
