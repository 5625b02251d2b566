namespace Thaw.Runtime.Fixers;

/// <summary>Trace and span ids of Datadog's tracer: one generator for each thread.</summary>
internal sealed class DatadogIds : Fixer
{
    public override string Name => "datadog";

    public override string Library => "Datadog.Trace";

    public override IEnumerable<Generators> Generators(Loaded loaded) =>
        Runtime.Generators.Of(loaded.Types(Library, "Datadog.Trace.Util.RandomIdGenerator"), 4);
}
