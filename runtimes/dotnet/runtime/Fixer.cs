using System.Reflection;
using System.Runtime.CompilerServices;

namespace Thaw.Runtime;

/// <summary>Something in a process that would repeat in clones, and how it is renewed. One class a file, in Fixers/.</summary>
/// <remarks>
/// <see cref="Generators"/> is for the agent, which renews them while the function is frozen. <see cref="Find"/> and
/// <see cref="Renew"/> are for state that only the process itself can reach. Every class in this assembly that derives
/// from this one is used; there is no list to edit.
/// </remarks>
internal abstract class Fixer
{
    protected const BindingFlags Statics = BindingFlags.Static | BindingFlags.Public | BindingFlags.NonPublic;
    protected const BindingFlags Instances = BindingFlags.Instance | BindingFlags.Public | BindingFlags.NonPublic;

    /// <summary>The name by which it is reported and can be left out (THAW_SKIP_FIXERS).</summary>
    public abstract string Name { get; }

    /// <summary>The assembly whose version is reported.</summary>
    public virtual string Library => "";

    /// <summary>A clone in which it failed must not run: it would repeat keys or ids.</summary>
    public virtual bool Essential => false;

    /// <summary>
    /// Is <see cref="Renew"/> run once before the snapshot as well? Not where it reads static fields of a type that the
    /// function may not have used yet: that would run the type's static constructor, whose random numbers all clones
    /// would then share.
    /// </summary>
    public virtual bool Rehearsed => true;

    /// <summary>Types whose objects the agent renews.</summary>
    public virtual IEnumerable<Generators> Generators(Loaded loaded) => [];

    /// <summary>Before the snapshot: prepare, and say whether there is anything to renew in the process.</summary>
    public virtual bool Find(Loaded loaded) => false;

    /// <summary>In each clone, before anything of the function's own. Says what was done.</summary>
    public virtual string Renew(Draw draw) => "";

    /// <summary>Compile what <see cref="Renew"/> of a fixer that is not rehearsed needs, so that no clone does.</summary>
    public void Practise(Draw draw)
    {
        RuntimeHelpers.PrepareMethod(GetType().GetMethod(nameof(Renew))!.MethodHandle);
        _ = draw.Int64() + draw.Int32() + draw.Int16();
        var practice = new Practice();
        foreach (var field in typeof(Practice).GetFields(Statics | Instances))
            field.SetValue(field.IsStatic ? null : practice, field.GetValue(field.IsStatic ? null : practice));
    }

    /// <exception cref="MissingFieldException">This version of the library has no such field.</exception>
    protected static FieldInfo Field(Type type, string name, BindingFlags flags) =>
        type.GetField(name, flags) ?? throw new MissingFieldException(type.FullName, name);

    /// <summary>The value that each thread has in a <see cref="ThreadLocal{T}"/>, which tells no one else's by itself.</summary>
    /// <exception cref="MissingMemberException">This version of .NET has no way to them.</exception>
    protected static IEnumerable<object> OfEveryThread(object? local)
    {
        if (local is null)
            return [];
        var values = local.GetType().GetProperty("ValuesForDebugDisplay", Instances)
            ?? throw new MissingMemberException(local.GetType().FullName, "ValuesForDebugDisplay");
        // None for a thread that is at it just now.
        return values.GetValue(local) is IEnumerable<object?> all ? all.OfType<object>() : [];
    }

    /// <summary>Fields of the kinds that fixers set.</summary>
    private sealed class Practice
    {
#pragma warning disable CS0169, CS0414, CA1823, IDE0044, IDE0051 // set by reflection alone
        private static long staticLong;
        private static int staticInt;
        private static object? staticObject;
        private readonly int number;
        private readonly short half;
#pragma warning restore CS0169, CS0414, CA1823, IDE0044, IDE0051
    }
}
