using Thaw.Bootstrap;
using Xunit;

namespace Thaw.Tests.Bootstrap;

public class HandlerNameTests
{
    [Theory]
    [InlineData("A::N.T::M", "A", "N.T", "M")]
    [InlineData(" A :: N.T+Nested :: M ", "A", "N.T+Nested", "M")]
    [InlineData("A::N.T::Void M(System.String)", "A", "N.T", "Void M(System.String)")]
    public void HasThreePartsWithoutTheSpaceAround(string text, string assembly, string type, string method) =>
        Assert.Equal(new HandlerName(assembly, type, method), HandlerName.Parse(text));

    [Theory]
    [InlineData("")]
    [InlineData("A")]
    [InlineData("A::T")]
    [InlineData("A::T::")]
    [InlineData("::T::M")]
    [InlineData("A::T::M::X")]
    public void OfAnotherFormIsRefusedWithTheFormThatIsMeant(string text)
    {
        var error = Assert.Throws<LambdaValidationException>(() => HandlerName.Parse(text));

        Assert.Contains("'ASSEMBLY::TYPE::METHOD'", error.Message, StringComparison.Ordinal);
    }
}
