using Shop;

// An executable: its handler is the assembly's name, `Shop`. With `dotnet run`, outside of Lambda, Kestrel serves it.
var builder = WebApplication.CreateSlimBuilder(args);
builder.Services.AddAWSLambdaHosting(LambdaEventSource.HttpApi);
builder.Services.AddSingleton<Orders>();

// Before the snapshot the whole application answers this request, five times: what it loads and compiles for that is in
// the snapshot. So let it be one that has no effect.
builder.Services.AddAWSLambdaBeforeSnapshotRequest(new HttpRequestMessage(HttpMethod.Get, "/menu"));

var app = builder.Build();
app.MapGet("/menu", (Orders orders) => orders.Menu);
app.MapPost("/orders", (Order order, Orders orders) =>
    orders.Take(order) is { } receipt ? Results.Ok(receipt) : Results.NotFound());

// Before Run, which serves and does not return. The whole name: SnapshotRestore alone is a namespace here.
var shop = app.Services.GetRequiredService<Orders>();
Amazon.Lambda.Core.SnapshotRestore.RegisterBeforeSnapshot(() =>
{
    // It was registered before the hook of the request above is, so it runs after that.
    shop.Close();
    return ValueTask.CompletedTask;
});
Amazon.Lambda.Core.SnapshotRestore.RegisterAfterRestore(() =>
{
    shop.Open(till: Random.Shared.Next(1_000_000));
    return ValueTask.CompletedTask;
});

app.Run();
