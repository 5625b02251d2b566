using Amazon.Lambda.Core;
using Thaw.Bootstrap;
using Xunit;

namespace Thaw.Tests.Bootstrap;

public class SnapStartTests
{
    private readonly List<string> ran = [];

    [Fact]
    public void HooksRunLastFirstBeforeTheSnapshotAndFirstFirstAfterIt()
    {
        Register("1");
        Register("2");

        Assert.True(Run(out var requests));
        Assert.Equal(["before 2", "before 1", "after 1", "after 2"], ran);
        Assert.Equal(["GET /2018-06-01/runtime/restore/next"], requests);
    }

    [Fact]
    public void TheFirstBeforeHookThatFailsEndsTheInit()
    {
        Register("1");
        Register("2", failBefore: true);

        Assert.False(Run(out var requests));
        Assert.Equal(["before 2"], ran);
        Assert.Equal(["POST /2018-06-01/runtime/init/error"], requests);
    }

    [Fact]
    public void TheFirstAfterHookThatFailsEndsTheRestore()
    {
        Register("1", failAfter: true);
        Register("2");

        Assert.False(Run(out var requests));
        Assert.Equal(["before 2", "before 1", "after 1"], ran);
        Assert.Equal(["GET /2018-06-01/runtime/restore/next", "POST /2018-06-01/runtime/restore/error"], requests);
    }

    private void Register(string name, bool failBefore = false, bool failAfter = false)
    {
        SnapshotRestore.RegisterBeforeSnapshot(async () =>
        {
            ran.Add($"before {name}");
            await Task.Yield();
            if (failBefore)
                throw new InvalidOperationException("no tea");
        });
        SnapshotRestore.RegisterAfterRestore(() =>
        {
            ran.Add($"after {name}");
            return failAfter ? throw new InvalidOperationException("no tea") : ValueTask.CompletedTask;
        });
    }

    private static bool Run(out IEnumerable<string> requests)
    {
        using var server = new FakeRuntimeApi(FakeRuntimeApi.Answer(202), FakeRuntimeApi.Answer(202));
        using var api = new RuntimeApi(server.Address);
        var ok = SnapStart.Run(api, new Log(new Sink(), new() { RuntimeApi = "" }));
        requests = [.. server.Requests.Select(request => request.Split(" HTTP/1.1")[0])];
        return ok;
    }
}
