using System.Reflection;
using System.Text;
using Amazon.Lambda.Core;
using Thaw.Bootstrap;
using Xunit;

[assembly: LambdaSerializer(typeof(Thaw.Tests.Bootstrap.Serializer))]

namespace Thaw.Tests.Bootstrap;

public class HandlerTests
{
    private const string Namespace = "Thaw.Tests.Bootstrap";

    [Theory]
    [InlineData("Shapes::Text", "\"a\"", "\"\\u003Ca\\u003E\"")]
    [InlineData("Shapes::WithContext", "\"a\"", "\"a request-1\"")]
    [InlineData("Shapes::ContextAlone", "{}", "\"function-1\"")]
    [InlineData("Shapes::NoParameter", "{}", "\"nothing\"")]
    [InlineData("Shapes::Static", "\"a\"", "\"aa\"")]
    [InlineData("Shapes::Private", "\"a\"", "\"a\"")]
    [InlineData("Shapes::Nothing", "\"a\"", "")]
    [InlineData("Shapes::TaskAlone", "\"a\"", "")]
    [InlineData("Shapes::TaskOfText", "\"a\"", "\"a\"")]
    [InlineData("Shapes::TaskOfOwnClass", "\"a\"", "\"a\"")]
    [InlineData("Shapes::Streams", "as it is", "as it is")]
    [InlineData("Shapes::StreamOfOwnClass", "", "\u0001\u0002\u0003")]
    [InlineData("Shapes::TaskOfStream", "as it is", "as it is")]
    [InlineData("Shapes::NoStream", "", "")]
    [InlineData("Shapes::Number", "1", "2")]
    [InlineData("Shapes::Records", "{\"Name\":\"a\",\"Age\":1}", "{\"Name\":\"a\",\"Age\":1}")]
    [InlineData("Shapes::Records", "null", "null")]
    [InlineData("Shapes::OfBase", "3", "3")]
    [InlineData("Shapes::OwnSerializer", "a", "A")]
    [InlineData("Shapes::System.String Overloaded(Int32)", "3", "\"number\"")]
    [InlineData("Shapes+Nested::Text", "\"a\"", "\"nested a\"")]
    [InlineData("AbstractShape::Static", "", "\"static\"")]
    [InlineData("StructShape::Text", "\"a\"", "\"struct a\"")]
    public void OfEveryShapeIsCalledWithItsEventAndAnswers(string name, string input, string output) =>
        Assert.Equal(output, Invoke(Load(name), input));

    [Theory]
    [InlineData("NoSuchType::Run", "has no type")]
    [InlineData("Shapes::NoSuchMethod", "has no method NoSuchMethod. It has ")]
    [InlineData("GenericShape`1::NoSuchMethod", "It has Run")]
    [InlineData("Shapes::Overloaded", "System.String Overloaded(Int32)")]
    [InlineData("Shapes::AsyncVoid", "async void")]
    [InlineData("Shapes::Params", "params")]
    [InlineData("Shapes::Generic", "is generic")]
    [InlineData("Shapes::Three", "more than two parameters")]
    [InlineData("Shapes::SecondIsNoContext", "not ILambdaContext")]
    [InlineData("AbstractShape::Abstract", "is abstract")]
    [InlineData("AbstractShape::Instance", "abstract class")]
    [InlineData("GenericShape`1::Run", "generic type")]
    public void ThatCannotBeCalledIsRefusedWithTheReason(string name, string reason)
    {
        var error = Assert.Throws<LambdaValidationException>(() => Load(name));

        Assert.Contains(reason, error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void OfAnAssemblyThatIsNotThereIsRefused()
    {
        var error = Assert.Throws<LambdaValidationException>(() => Handler.Load("NoSuchAssembly::T::M"));

        Assert.Contains("NoSuchAssembly", error.Message, StringComparison.Ordinal);
        Assert.NotNull(error.InnerException);
    }

    [Fact]
    public void WithoutASerializerIsRefusedWithTheAttributeThatIsMissing()
    {
        // Of an assembly without the attribute.
        var error = Assert.Throws<LambdaValidationException>(() => Handler.Load("System.Private.CoreLib::System.String::IsNullOrEmpty"));

        Assert.Contains("LambdaSerializer", error.Message, StringComparison.Ordinal);
    }

    [Fact]
    public void IsConstructedOnceOnTheCallingThread()
    {
        var before = Shapes.Constructed;
        var handler = Load("Shapes::Text");
        Invoke(handler, "\"a\"");
        Invoke(handler, "\"b\"");

        Assert.Equal(before + 1, Shapes.Constructed);
    }

    [Fact]
    public void ConstructorsErrorsComeWrappedAsOnLambda()
    {
        Assert.IsType<InvalidOperationException>(
            Assert.Throws<TargetInvocationException>(() => Load("Shapes+FailingConstructor::Run")).InnerException);
        Assert.IsType<InvalidOperationException>(
            Assert.Throws<TypeInitializationException>(() => Load("Shapes+FailingStaticConstructor::Run")).InnerException);
        Assert.Throws<MissingMethodException>(() => Load("Shapes+NoConstructor::Number"));
    }

    [Theory]
    [InlineData("Shapes::Throws")]
    [InlineData("Shapes::ThrowsLater")]
    public void ErrorsOfTheMethodComeAsTheyWereThrown(string name)
    {
        var error = Assert.Throws<InvalidOperationException>(() => Invoke(Load(name), "\"no tea\""));

        Assert.Equal("no tea", error.Message);
        Assert.Contains(nameof(Shapes), error.StackTrace!.Split('\n')[0], StringComparison.Ordinal);
    }

    private static Handler Load(string name) => Handler.Load($"Thaw.Tests::{Namespace}.{name}");

    private static string Invoke(Handler handler, string input)
    {
        using var output = new ResponseBuffer();
        using var stream = new MemoryStream(Encoding.UTF8.GetBytes(input));
        var context = new Context(Invocations.Of("request-1"), new() { RuntimeApi = "", FunctionName = "function-1" }, new NoLogger(), null);
        handler.Invoke(stream, context, output);
        return Encoding.UTF8.GetString(output.GetBuffer(), 0, (int)output.Length);
    }
}
