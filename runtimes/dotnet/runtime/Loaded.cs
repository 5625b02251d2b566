using System.Reflection;

namespace Thaw.Runtime;

/// <summary>The assemblies that the function has loaded, at the time of asking. Nothing is loaded to look at it.</summary>
internal sealed class Loaded
{
    private readonly ILookup<string, Assembly> byName =
        AppDomain.CurrentDomain.GetAssemblies().Where(each => !each.IsDynamic).ToLookup(each => each.GetName().Name ?? "");

    public bool Has(string assembly) => byName.Contains(assembly);

    /// <summary>Each assembly of the name.</summary>
    public IEnumerable<Assembly> All(string assembly) => byName[assembly];

    /// <summary>This type in each assembly of the name: there may be several copies, in several load contexts.</summary>
    /// <remarks>To find a type does not run its static constructor; to read one of its static fields does.</remarks>
    public IEnumerable<Type> Types(string assembly, string type) =>
        byName[assembly].Select(each => each.GetType(type)).OfType<Type>();

    /// <summary>The version that an assembly gives of itself; empty if it is not loaded.</summary>
    public string Version(string assembly) =>
        byName[assembly].Select(each => each.GetName().Version?.ToString(3)).FirstOrDefault() ?? "";
}
