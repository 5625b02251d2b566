namespace Thaw.Runtime.Fixers;

/// <summary>Trace and span ids of <c>Activity</c>, and so of OpenTelemetry: one generator for each thread.</summary>
internal sealed class ActivityIds : Fixer
{
    public override string Name => "activity";

    public override string Library => "System.Diagnostics.DiagnosticSource";

    public override IEnumerable<Generators> Generators(Loaded loaded) =>
        Runtime.Generators.Of(loaded.Types(Library, "System.Diagnostics.RandomNumberGenerator"), 4);
}
