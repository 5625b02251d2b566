using System.Text.Json.Serialization;
using Amazon.Lambda.Core;
using Amazon.Lambda.RuntimeSupport;
using Amazon.Lambda.Serialization.SystemTextJson;
using Orders;

// An executable: its handler is the assembly's name, `Orders`. What is above RunAsync is its init.
var prices = new Dictionary<string, decimal> { ["tea"] = 2.5m, ["coffee"] = 3m };
var till = "";

Receipt Handle(Order order, ILambdaContext context)
{
    context.Logger.LogInformation($"{order.Items.Count} items at till {till}");
    return new(order.Items.Sum(item => prices.GetValueOrDefault(item)), till, Guid.NewGuid());
}

// The whole name: in a project with RuntimeSupport, SnapshotRestore alone is a namespace.
Amazon.Lambda.Core.SnapshotRestore.RegisterBeforeSnapshot(() =>
{
    // Once through the handler: what it loads and compiles is then in the snapshot.
    Handle(new(["tea"]), new Warmup());
    return ValueTask.CompletedTask;
});
Amazon.Lambda.Core.SnapshotRestore.RegisterAfterRestore(() =>
{
    till = $"till {Random.Shared.Next(1_000_000)}";
    return ValueTask.CompletedTask;
});

await LambdaBootstrapBuilder
    .Create<Order, Receipt>(Handle, new SourceGeneratorLambdaJsonSerializer<Json>())
    .Build()
    .RunAsync();

namespace Orders
{
    public record Order(List<string> Items);

    public record Receipt(decimal Total, string Till, Guid Id);

    [JsonSerializable(typeof(Order))]
    [JsonSerializable(typeof(Receipt))]
    public partial class Json : JsonSerializerContext;
}
