using Thaw.Bootstrap;
using Xunit;

namespace Thaw.Tests.Bootstrap;

public class SettingsTests
{
    [Theory]
    [InlineData("WARN", Level.Warning)]
    [InlineData("warning", Level.Warning)]
    [InlineData("FATAL", Level.Critical)]
    [InlineData("debug", Level.Debug)]
    [InlineData("loud", null)]
    [InlineData("17", null)]
    [InlineData(null, null)]
    internal void LevelsHaveLambdasNamesAndDotnets(string? name, Level? level) => Assert.Equal(level, Levels.Configured(name));

    [Fact]
    public void AreThoseOfTheEnvironment()
    {
        var values = new Dictionary<string, string>
        {
            ["AWS_LAMBDA_RUNTIME_API"] = "127.0.0.1:9001",
            ["_HANDLER"] = "A::B::C",
            ["AWS_LAMBDA_INITIALIZATION_TYPE"] = "snap-start",
            ["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"] = "512",
            ["_LAMBDA_TELEMETRY_LOG_FD"] = "7",
            ["AWS_LAMBDA_LOG_FORMAT"] = "JSON",
            ["AWS_LAMBDA_HANDLER_LOG_FORMAT"] = "Unformatted",
            ["AWS_LAMBDA_LOG_LEVEL"] = "ERROR",
            ["AWS_LAMBDA_HANDLER_LOG_LEVEL"] = "",
        };
        foreach (var (name, value) in values)
            Environment.SetEnvironmentVariable(name, value);
        var settings = Settings.FromEnvironment();
        foreach (var name in values.Keys)
            Environment.SetEnvironmentVariable(name, null);

        Assert.Equal("127.0.0.1:9001", settings.RuntimeApi);
        Assert.Equal("A::B::C", settings.Handler);
        Assert.True(settings.SnapStart);
        Assert.Equal(512, settings.MemoryMiB);
        Assert.Equal(7, settings.TelemetryDescriptor);
        Assert.Equal(LogFormat.Unformatted, settings.LogFormat);
        Assert.True(settings.JsonFrames); // the frame says what the service was told, whatever the handler writes
        Assert.Equal(Level.Error, settings.LogLevel);
    }
}
