using System.Reflection;

namespace Thaw.Runtime.Fixers;

/// <summary>
/// NewId (MassTransit): its worker is the network card's address, which clones share, and its clock stood still with them.
/// So each clone gets a worker and a process of its own.
/// </summary>
internal sealed class NewIds : Fixer
{
    /// <summary>Worker and process, and the halves of them that are kept for Guids.</summary>
    private static readonly string[] Parts = ["_c", "_d", "_gb", "_gc"];

    private readonly List<(FieldInfo Holder, FieldInfo[] Parts)> found = [];

    public override string Name => "newid";

    public override string Library => "NewId";

    public override bool Essential => true;

    public override bool Rehearsed => false;

    public override bool Find(Loaded loaded)
    {
        found.Clear();
        foreach (var type in loaded.Types(Library, "MassTransit.NewId"))
        {
            var generator = type.Assembly.GetType("MassTransit.NewIdGenerator") ?? throw new TypeLoadException("MassTransit.NewIdGenerator");
            found.Add((Field(type, "_generator", Statics), Array.ConvertAll(Parts, part => Field(generator, part, Instances))));
        }
        return found.Count > 0;
    }

    public override string Renew(Draw draw)
    {
        foreach (var (holder, parts) in found)
        {
            // A generator that the function has set is its own affair.
            if (holder.GetValue(null) is not { } generator || !parts[0].DeclaringType!.IsInstanceOfType(generator))
                continue;
            foreach (var part in parts)
                // An instance's field may be set although it is readonly.
                part.SetValue(generator, part.FieldType == typeof(short) ? (object)draw.Int16() : draw.Int32());
        }
        return "worker and process";
    }
}
