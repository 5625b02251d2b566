using System.Reflection;

namespace Thaw.Runtime.Fixers;

/// <summary>
/// Ids of Application Insights' telemetry: numbers that are drawn in advance, by one generator for each part of their array.
/// </summary>
internal sealed class ApplicationInsights : Fixer
{
    private static readonly string[] State = ["lastX", "lastY", "lastZ", "lastW"];

    private readonly List<Ids> found = [];

    public override string Name => "applicationinsights";

    public override string Library => "Microsoft.ApplicationInsights";

    public override bool Find(Loaded loaded)
    {
        found.Clear();
        found.AddRange(
            loaded.Types(Library, "Microsoft.ApplicationInsights.Extensibility.Implementation.WeakConcurrentRandom").Select(type => new Ids(type)));
        return found.Count > 0;
    }

    public override string Renew(Draw draw)
    {
        foreach (var ids in found)
            ids.Renew(draw);
        return "ids";
    }

    private sealed class Ids(Type type)
    {
        // Makes them where nobody has: their seed is the time since the machine's start, which clones may share.
        private readonly PropertyInfo instance = type.GetProperty("Instance", Statics) ?? throw new MissingMemberException(type.FullName, "Instance");
        private readonly FieldInfo numbers = Field(type, "randomNumbers", Instances);
        private readonly FieldInfo parts = Field(type, "randomGemerators", Instances); // sic

        public void Renew(Draw draw)
        {
            var source = instance.GetValue(null)!;
            var all = (ulong[])numbers.GetValue(source)!;
            var generators = (object[])parts.GetValue(source)!;
            var size = all.Length / generators.Length;
            for (var index = 0; index < generators.Length; index++)
            {
                var kind = generators[index].GetType();
                foreach (var word in State)
                    Field(kind, word, Instances).SetValue(generators[index], (ulong)draw.Int64());
                var fill = kind.GetMethod("NextBatch") ?? throw new MissingMethodException(kind.FullName, "NextBatch");
                fill.Invoke(generators[index], [all, index * size, size]);
            }
        }
    }
}
