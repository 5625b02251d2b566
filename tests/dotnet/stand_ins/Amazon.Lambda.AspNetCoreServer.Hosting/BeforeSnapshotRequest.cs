namespace Amazon.Lambda.AspNetCoreServer.Hosting.Internal;

/// <summary>A request that runs before the snapshot.</summary>
internal sealed record BeforeSnapshotRequest(HttpRequestMessage Message);
