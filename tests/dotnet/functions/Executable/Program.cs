using Amazon.Lambda.Core;
using Amazon.Lambda.RuntimeSupport;
using Amazon.Lambda.Serialization.SystemTextJson;
using Executable;

// FAIL names what fails: main, init, refuse, before 1, after 1.
var fails = Environment.GetEnvironmentVariable("FAIL");
var random = new Random();

foreach (var name in new[] { "1", "2" })
{
    Amazon.Lambda.Core.SnapshotRestore.RegisterBeforeSnapshot(async () =>
    {
        await Task.Yield();
        if (fails == $"before {name}")
            throw new InvalidOperationException("cache is cold");
        Console.WriteLine($"before {name}");
    });
    Amazon.Lambda.Core.SnapshotRestore.RegisterAfterRestore(() =>
    {
        if (fails == $"after {name}")
            throw new InvalidOperationException("no route");
        Console.WriteLine($"after {name}");
        return ValueTask.CompletedTask;
    });
}
if (fails == "main")
    throw new InvalidOperationException("no database");
// Every pool thread that may serve has drawn: otherwise its generator is new in each clone.
await Task.WhenAll(Enumerable.Range(0, 16).Select(_ => Task.Run(() => Random.Shared.NextInt64())));

await LambdaBootstrapBuilder
    .Create<Request, Response>(Handle, new DefaultLambdaJsonSerializer())
    .UseBootstrapHandler(() =>
    {
        Console.WriteLine("init");
        if (fails == "init")
            throw new InvalidOperationException("no cache");
        return Task.FromResult(fails != "refuse");
    })
    .Build()
    .RunAsync();
Console.WriteLine("after RunAsync");

async Task<Response> Handle(Request request, ILambdaContext context)
{
    await Task.Yield();
    if (request.Say is { } text)
    {
        Console.WriteLine(text);
        Console.Error.WriteLine($"{text} on error");
        context.Logger.LogLine($"{text} by the logger");
    }
    if (request.Throw is { } message)
        throw new InvalidOperationException(message, new TimeoutException("of the kettle"));
    return new(
        context.AwsRequestId,
        context.RemainingTime > TimeSpan.Zero,
        Environment.GetEnvironmentVariable("_X_AMZN_TRACE_ID"),
        $"{random.NextInt64():x}",
        $"{Random.Shared.NextInt64():x}",
        Environment.GetEnvironmentVariable("DOTNET_STARTUP_HOOKS"));
}

namespace Executable
{
    public record Request(string? Say, string? Throw);

    public record Response(string Id, bool Remaining, string? Trace, string Random, string Shared, string? Hooks);
}
