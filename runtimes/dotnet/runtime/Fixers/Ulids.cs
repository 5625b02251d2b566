namespace Thaw.Runtime.Fixers;

/// <summary>Ulid (Cysharp): a generator of one word for each thread, beside a <see cref="Random"/>.</summary>
internal sealed class Ulids : Fixer
{
    public override string Name => "ulid";

    public override string Library => "Ulid";

    public override IEnumerable<Generators> Generators(Loaded loaded) =>
        Runtime.Generators.Of(loaded.Types(Library, "System.XorShift64"), 1);
}
