using Amazon.Lambda.Core;
using Amazon.Lambda.Serialization.SystemTextJson;

[assembly: LambdaSerializer(typeof(DefaultLambdaJsonSerializer))]

namespace Hello;

public record Request(string? Name);

public record Greeting(string Message, string Id, string PreparedBy);

/// <summary>Publish it, and each clone answers with another id and with the environment that was prepared at publish.</summary>
public class Function
{
    // Made once, at publish: every clone begins with it.
    private readonly string prepared = $"init at {DateTime.UtcNow:O}";
    private string id = "";

    public Function()
    {
        Amazon.Lambda.Core.SnapshotRestore.RegisterBeforeSnapshot(() =>
        {
            Console.WriteLine("before the snapshot: load, connect, prepare");
            return ValueTask.CompletedTask;
        });
        Amazon.Lambda.Core.SnapshotRestore.RegisterAfterRestore(() =>
        {
            id = Guid.NewGuid().ToString();
            return ValueTask.CompletedTask;
        });
    }

    public Greeting FunctionHandler(Request request, ILambdaContext context)
    {
        context.Logger.LogInformation("greeting {name}", request.Name ?? "nobody");
        return new($"Hello, {request.Name ?? "world"}!", id, prepared);
    }
}
