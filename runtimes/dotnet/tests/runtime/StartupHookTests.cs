using Xunit;

namespace Thaw.Tests.Runtime;

public class StartupHookTests
{
    [Fact]
    public void HasTheNameThatDotnetLooksFor() =>
        Assert.NotNull(typeof(StartupHook).Assembly.GetType("StartupHook")!.GetMethod("Initialize", []));
}
