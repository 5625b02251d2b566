using System.Text;
using System.Text.Json;
using Thaw.Bootstrap;
using Xunit;

namespace Thaw.Tests.Bootstrap;

public class ErrorReportTests
{
    [Fact]
    public void HasTypeMessageTraceAndCauseInThisOrder()
    {
        var report = Of(Thrown(new InvalidOperationException("no \"tea\"", Thrown(new TimeoutException("kettle")))));

        Assert.Equal(
            ["errorType", "errorMessage", "stackTrace", "cause"], report.EnumerateObject().Select(member => member.Name));
        Assert.Equal("InvalidOperationException", report.GetProperty("errorType").GetString());
        Assert.Equal("no \"tea\"", report.GetProperty("errorMessage").GetString());
        Assert.StartsWith("at Thaw.Tests", report.GetProperty("stackTrace")[0].GetString(), StringComparison.Ordinal);
        Assert.Equal("TimeoutException", report.GetProperty("cause").GetProperty("errorType").GetString());
    }

    [Fact]
    public void HasNoTraceOfWhatWasNeverThrown() =>
        Assert.False(Of(new InvalidOperationException("x")).TryGetProperty("stackTrace", out _));

    [Fact]
    public void NamesAllCausesOfAnAggregate()
    {
        var report = Of(new AggregateException(new TimeoutException("a"), new InvalidOperationException("b")));

        Assert.Equal(
            ["a", "b"], report.GetProperty("causes").EnumerateArray().Select(cause => cause.GetProperty("errorMessage").GetString()));
        Assert.Equal("a", report.GetProperty("cause").GetProperty("errorMessage").GetString());
    }

    [Fact]
    public void IsBoundedForAggregatesInAggregates()
    {
        Exception error = new TimeoutException("innermost");
        for (var depth = 0; depth < 10; depth++) // .NET's own message of it doubles each time
            error = new AggregateException(error, error);

        Assert.InRange(ErrorReport.Write(error).Length, 1, 256 * 1024);
    }

    [Fact]
    public void SaysSoWhenItIsTooLarge() => Assert.Equal(
        """{"errorMessage": "Exception exceeded maximum payload size of 256KB."}""",
        Encoding.UTF8.GetString(ErrorReport.Write(new InvalidOperationException(new string('x', 300_000))).Span));

    [Fact]
    public void CauseForXRayIsOneLineWithFrames()
    {
        var cause = XRayCause.Write(Thrown(new InvalidOperationException("no\ntéa")));
        var root = JsonDocument.Parse(cause).RootElement;
        var exception = root.GetProperty("exceptions")[0];

        Assert.All(cause, each => Assert.InRange(each, ' ', '~'));
        Assert.Equal(["working_directory", "exceptions", "paths"], root.EnumerateObject().Select(member => member.Name));
        Assert.Equal("InvalidOperationException", exception.GetProperty("type").GetString());
        Assert.Equal("no\ntéa", exception.GetProperty("message").GetString());
        Assert.Equal("ErrorReportTests.Thrown", exception.GetProperty("stack")[0].GetProperty("label").GetString());
    }

    private static JsonElement Of(Exception error) => JsonDocument.Parse(ErrorReport.Write(error)).RootElement;

    private static Exception Thrown(Exception error)
    {
        try
        {
            throw error;
        }
        catch (Exception thrown)
        {
            return thrown;
        }
    }
}
