using System.Reflection;
using System.Text.Json;
using Amazon.Lambda.Core;
using Amazon.Lambda.Serialization.SystemTextJson;

[assembly: LambdaSerializer(typeof(DefaultLambdaJsonSerializer))]

namespace Library;

public record Event(string? Say, string? Throw, int Exit, int Megabytes);

/// <summary>Does what its event says.</summary>
public class Function
{
    private readonly int constructed = Environment.CurrentManagedThreadId;
    private int calls;

    public Function()
    {
        Console.WriteLine("constructed");
        if (Environment.GetEnvironmentVariable("FAIL") == "constructor")
            throw new InvalidOperationException("no database");
#if HOOKS
        Hook("1");
        Hook("2");
#endif
    }

    public object Handle(Event request, ILambdaContext context)
    {
        if (request.Say is { } text)
        {
            Console.WriteLine(text);
            Console.Error.WriteLine($"{text} on error");
            context.Logger.LogLine($"{text} by the logger");
            LambdaLogger.Log($"{text} by the static one");
#if LEVELS
            context.Logger.LogWarning("{text} with a {kind}", text, "warning");
#endif
#if TRACES
            LambdaLogger.Log(LogLevel.Debug, "left out");
#endif
        }
        if (request.Throw is { } message)
            throw new InvalidOperationException(message, new TimeoutException("of the kettle"));
        if (request.Exit > 0)
            Environment.Exit(request.Exit);
        return new Dictionary<string, object?>
        {
            ["calls"] = ++calls,
            ["sameThread"] = constructed == Environment.CurrentManagedThreadId,
            ["request"] = context.AwsRequestId,
            ["function"] = $"{context.FunctionName}:{context.FunctionVersion}",
            ["memory"] = context.MemoryLimitInMB,
            ["heap"] = GC.GetGCMemoryInfo().TotalAvailableMemoryBytes >> 20,
            ["group"] = context.LogGroupName,
            ["identity"] = context.Identity.IdentityId,
            ["custom"] = context.ClientContext.Custom,
            ["trace"] = Environment.GetEnvironmentVariable("_X_AMZN_TRACE_ID"),
            ["remaining"] = context.RemainingTime > TimeSpan.Zero,
            ["types"] = Types(),
            ["big"] = request.Megabytes > 0 ? new string('x', request.Megabytes << 20) : null,
#if TRACES
            ["traced"] = LambdaTraceProvider.CurrentTraceId,
#endif
        };
    }

    public Stream Echo(Stream input) => input;

    public async Task Nothing()
    {
        await Task.Yield();
        Console.WriteLine("nothing was asked");
    }

#if STREAMS
    public string Streams(Event request)
    {
        using var stream = Amazon.Lambda.Core.ResponseStreaming.LambdaResponseStreamFactory.CreateStream();
        using var writer = new StreamWriter(stream);
        writer.Write("{\"streamed\":");
        writer.Flush();
        if (request.Throw is { } message)
            throw new InvalidOperationException(message);
        writer.Write("true}");
        return "left";
    }
#endif

    /// <summary>What libraries do that look for handlers everywhere: every type of every assembly must load.</summary>
    private static bool Types()
    {
        foreach (var assembly in AppDomain.CurrentDomain.GetAssemblies())
            assembly.GetTypes();
        return true;
    }

#if HOOKS
    private static void Hook(string name)
    {
        var fails = Environment.GetEnvironmentVariable("FAIL");
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
#endif
}
