using System.Text.Json;
using Amazon.Lambda.Core;
using Thaw.Bootstrap;
using Xunit;

namespace Thaw.Tests.Bootstrap;

public class LogTests
{
    private readonly Sink sink = new();

    [Fact]
    public void TextRecordsHaveTimeRequestLevelAndMessage()
    {
        var log = new Log(sink, new() { RuntimeApi = "" });
        log.Write(Level.Information, "during init");
        log.Begin(Invocations.Of("r"));
        log.Write(Level.Warning, "{n} of {m}", null, [1, "two"]);
        log.Write(null, "always");

        Assert.Equal(["\tinfo\tduring init", "r\twarn\t1 of two", "r\ttrce\talways"], sink.Text.Split('\n')[..3].Select(WithoutTime));
    }

    [Fact]
    public void ErrorsFollowTheMessage()
    {
        var log = new Log(sink, new() { RuntimeApi = "", LogFormat = LogFormat.Unformatted });
        log.Write(Level.Error, "it failed", new InvalidOperationException("no tea"));
        log.Write(Level.Error, null, new InvalidOperationException("no milk"));

        Assert.Equal(
            "it failed\nSystem.InvalidOperationException: no tea\nSystem.InvalidOperationException: no milk\n", sink.Text);
    }

    [Fact]
    public void WhatIsBelowTheLevelIsLeftOutAndWhatHasNoLevelIsNot()
    {
        var log = new Log(sink, new() { RuntimeApi = "", LogFormat = LogFormat.Unformatted, LogLevel = Level.Error });
        log.Write(Level.Warning, "left out");
        log.Write(Levels.Parse("no such level"), "unknown");
        log.Write(Level.Critical, "critical");

        Assert.Equal("unknown\ncritical\n", sink.Text);
    }

    [Fact]
    public void JsonRecordsHaveTheArgumentsAsMembers()
    {
        var log = new Log(sink, new() { RuntimeApi = "", LogFormat = LogFormat.Json });
        log.Begin(Invocations.Of("r", "Root=1", "tenant"));
        log.Write(
            Level.Information,
            "{user} paid {total:N2} for {count} of {items}, {@whole} {none}",
            null,
            ["Ada", 1234.5m, 2, new[] { "a", "b" }, new { X = 1, Y = (string?)null }, null]);

        var record = JsonDocument.Parse(sink.Text).RootElement;
        Assert.Equal(
            "Ada paid 1,234.50 for 2 of {items}, { X = 1, Y =  } {none}", record.GetProperty("message").GetString());
        Assert.Equal("Information", record.GetProperty("level").GetString());
        Assert.Equal("r", record.GetProperty("requestId").GetString());
        Assert.Equal("tenant", record.GetProperty("tenantId").GetString());
        Assert.Equal("Root=1", record.GetProperty("traceId").GetString());
        Assert.Equal("Ada", record.GetProperty("user").GetString());
        Assert.Equal("1,234.50", record.GetProperty("total").GetString());
        Assert.Equal(2, record.GetProperty("count").GetInt32());
        Assert.Equal("""["a","b"]""", record.GetProperty("items").GetRawText());
        Assert.Equal("""{"X":1}""", record.GetProperty("whole").GetRawText());
        Assert.False(record.TryGetProperty("none", out _));
    }

    [Fact]
    public void JsonRecordsHaveErrorsInThreeMembers()
    {
        var log = new Log(sink, new() { RuntimeApi = "", LogFormat = LogFormat.Json });
        log.Write(Level.Error, null, new InvalidOperationException("no tea"));

        var record = JsonDocument.Parse(sink.Text).RootElement;
        Assert.Equal("System.InvalidOperationException", record.GetProperty("errorType").GetString());
        Assert.Equal("no tea", record.GetProperty("errorMessage").GetString());
        Assert.Equal("System.InvalidOperationException: no tea", record.GetProperty("stackTrace")[0].GetString());
        Assert.False(record.TryGetProperty("requestId", out _));
    }

    [Fact]
    public void ConsoleLinesAreRecordsAndTheRestIsAsItIs()
    {
        using var lines = new ConsoleLines(new(sink, new() { RuntimeApi = "" }), Level.Error);
        lines.Write("a");
        lines.Write('b');
        lines.Write("{0}c", 1);
        Assert.Equal("ab1c", sink.Text);

        lines.WriteLine("{0} {1}", 1, "x");
        lines.WriteLine(1.5);
        lines.WriteLine(true);
        lines.WriteLine((object?)null);
        lines.WriteLine();
        Assert.Equal(
            ["\tfail\t1 x", "\tfail\t1.5", "\tfail\tTrue", "\tfail\t", "\tfail\t"], sink.Text[4..].TrimEnd('\n').Split('\n').Select(WithoutTime));
    }

    [Fact]
    public void TheStaticLoggerOfCoreWritesToTheLog()
    {
        CoreAssembly.ConnectLog(new(sink, new() { RuntimeApi = "", LogFormat = LogFormat.Unformatted }));
        LambdaLogger.Log("plain");
        LambdaLogger.Log(LogLevel.Warning, "{a} argument", "an");
        LambdaLogger.Log(LogLevel.Error, new InvalidOperationException("no tea"), "with an error");

        Assert.Equal("plain\nan argument\nwith an error\nSystem.InvalidOperationException: no tea\n", sink.Text);
    }

    [Fact]
    public void AFunctionMaySetHowWholeObjectsAreWritten()
    {
        CoreAssembly.ConnectLog(new(sink, new() { RuntimeApi = "", LogFormat = LogFormat.Json }));
        LambdaLogger.ConfigureStructuredLogging(
            new() { OverrideSerializerOptions = new() { PropertyNamingPolicy = JsonNamingPolicy.KebabCaseLower } });
        LambdaLogger.Log(LogLevel.Information, "{@order}", new { ItemCount = 1 });

        Assert.Contains("""{"item-count":1}""", sink.Text, StringComparison.Ordinal);
    }

    private static string WithoutTime(string line)
    {
        Assert.Matches(@"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\t", line);
        return line[25..];
    }
}
