using Thaw.Bootstrap;

namespace Thaw.Tests.Bootstrap;

internal static class Invocations
{
    public static Invocation Of(
        string id, string? traceId = null, string? tenant = null, string? client = null, string? identity = null, string? invocation = null) =>
        new(id, DateTimeOffset.UtcNow.AddSeconds(3), "arn", traceId, client, identity, tenant, invocation, []);
}
