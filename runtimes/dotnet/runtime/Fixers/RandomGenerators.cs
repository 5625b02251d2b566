namespace Thaw.Runtime.Fixers;

/// <summary>
/// Every <see cref="Random"/> that nobody gave a seed, <see cref="Random.Shared"/>'s of each thread among them: the type of
/// the state tells. <c>new Random(42)</c> has another one, and keeps its seed.
/// </summary>
internal sealed class RandomGenerators : Fixer
{
    public override string Name => "random";

    public override IEnumerable<Generators> Generators(Loaded loaded) =>
    [
        .. Runtime.Generators.Of(State("XoshiroImpl"), 4),
        // Of a class that derives from Random: whether its seed was given or drawn cannot be told.
        // The first name is that of .NET 8.
        .. State("Net5CompatDerivedImpl", "CompatDerivedImpl").Select(type => new Generators(Shape.Derived, type)),
    ];

    private static IEnumerable<Type> State(params string[] names) =>
        names.Select(name => typeof(Random).Assembly.GetType($"System.Random+{name}")).OfType<Type>();
}
