using Thaw.Runtime;
using Xunit;

namespace Thaw.Tests.Runtime;

public class RegistryTests
{
    private static readonly Draw Any = new(new byte[64]);

    [Fact]
    public void WhatIsFoundIsRehearsedAndRenewed()
    {
        var fixer = new Counting("a");
        var registry = new Registry([], [fixer]);
        registry.Freeze(new Loaded(), Any);
        Assert.Equal(1, fixer.Renewals);
        registry.Thaw(Any);
        Assert.Equal(2, fixer.Renewals);
        registry.ThrowIfFailed();
    }

    [Theory]
    [InlineData("a")]
    [InlineData("*")]
    public void WhatIsLeftOutIsNotTouchedAndNotNamedToTheAgent(string skip)
    {
        var fixer = new Counting("a");
        var registry = new Registry([skip], [fixer]);
        registry.Freeze(new Loaded(), Any);
        registry.Thaw(Any);
        Assert.Equal(0, fixer.Renewals);
        Assert.Empty(registry.Generators(new Loaded()));
    }

    [Fact]
    public void AnEssentialOneThatFailsFailsTheCloneAfterAllHaveRun()
    {
        var last = new Counting("z");
        var registry = new Registry([], [new Failing(essential: true), last]);
        registry.Freeze(new Loaded(), Any);
        var error = Assert.Throws<CloneNotUniqueException>(registry.ThrowIfFailed);
        Assert.Contains("failing: InvalidOperationException: no", error.Message, StringComparison.Ordinal);
        Assert.Contains("THAW_SKIP_FIXERS", error.Message, StringComparison.Ordinal);
        Assert.Equal(1, last.Renewals);
    }

    [Fact]
    public void AnotherThatFailsIsReportedOnly()
    {
        var registry = new Registry([], [new Failing(essential: false)]);
        registry.Freeze(new Loaded(), Any);
        registry.ThrowIfFailed();
    }

    [Fact]
    public void EveryFixerHasANameOfItsOwn()
    {
        var fixers = typeof(Fixer).Assembly.GetTypes().Where(type => type.IsSubclassOf(typeof(Fixer)) && !type.IsAbstract);
        var names = fixers.Select(type => ((Fixer)Activator.CreateInstance(type)!).Name).ToList();
        Assert.Equal(names.Distinct(), names);
        Assert.All(names, name => Assert.DoesNotContain(' ', name));
    }

    [Fact]
    public void TheGeneratorsOfThisRuntimeAreNamedToTheAgent()
    {
        var shapes = new Registry([]).Generators(new Loaded()).Select(each => (each.Name, each.Generators.Shape)).ToList();
        Assert.Contains(("random", Shape.FourWords), shapes);
        Assert.Contains(("random", Shape.Derived), shapes);
        Assert.Contains(("activity", Shape.FourWords), shapes);
        Assert.Contains(("openssl", Shape.OpenSsl), shapes);
    }

    private sealed class Counting(string name) : Fixer
    {
        public int Renewals { get; private set; }

        public override string Name => name;

        public override IEnumerable<Generators> Generators(Loaded loaded) => [new(Shape.OpenSsl, null)];

        public override bool Find(Loaded loaded) => true;

        public override string Renew(Draw draw)
        {
            Renewals++;
            return "";
        }
    }

    private sealed class Failing(bool essential) : Fixer
    {
        public override string Name => "failing";

        public override bool Essential => essential;

        public override bool Find(Loaded loaded) => true;

        public override string Renew(Draw draw) => throw new InvalidOperationException("no");
    }
}
