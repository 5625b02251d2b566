using Xunit;

namespace Thaw.Tests.Runtime;

public class StartupHookTests
{
    private static readonly string Ours = typeof(StartupHook).Assembly.Location;

    [Fact]
    public void HasTheNameThatDotnetLooksFor() =>
        Assert.NotNull(typeof(StartupHook).Assembly.GetType("StartupHook")!.GetMethod("Initialize", []));

    [Fact]
    public void ChildProcessesGetTheUsersHooksAlone()
    {
        Assert.Null(StartupHook.WithoutOurs(Ours));
        Assert.Null(StartupHook.WithoutOurs(null));
        Assert.Equal("/opt/a.dll:b", StartupHook.WithoutOurs($"{Ours}:/opt/a.dll:b"));
    }

    /// <summary>A function that uses no OpenSSL would get its start-up time, and its state in the snapshot, from us.</summary>
    [Fact]
    public void NothingOfItIsBuiltOnOpenSsl() =>
        Assert.DoesNotContain(
            typeof(StartupHook).Assembly.GetReferencedAssemblies(),
            assembly => assembly.Name!.StartsWith("System.Security.Cryptography", StringComparison.Ordinal) || assembly.Name == "System.Net.Security");
}
