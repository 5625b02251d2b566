using Amazon.Lambda.AspNetCoreServer;

namespace WebLibrary;

public class EntryPoint : APIGatewayHttpApiV2ProxyFunction
{
    private static int requests;

    public EntryPoint() =>
        Amazon.Lambda.Core.SnapshotRestore.RegisterBeforeSnapshot(() =>
        {
            // Registered after the hook of the base class, which makes the requests, so it runs before that.
            Console.WriteLine($"before after {requests} requests");
            return ValueTask.CompletedTask;
        });

    protected override void Init(IWebHostBuilder builder) =>
        builder.ConfigureLogging(logging => logging.SetMinimumLevel(LogLevel.Error)).Configure(app => app.Run(async context =>
        {
            requests++;
            await context.Response.WriteAsync($"{context.Request.Path} is number {requests}");
        }));

    protected override IEnumerable<HttpRequestMessage> GetBeforeSnapshotRequests() => [new(HttpMethod.Get, "/warm")];
}
