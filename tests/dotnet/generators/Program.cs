using System.Reflection;
using System.Text;
using System.Text.Json;
using Generators;

// What is asked for: HOOKS=none is a client that knows nothing of SnapStart; LATE a hook that is registered too late;
// LOAD allocates all the time on two threads; COLLECT collects everything all the time, until the restore; HEAP keeps so
// many MiB alive; DRIVERS loads those of databases, which takes an emulated processor long; CHILD starts that Python,
// through .NET and through the C library, which says what it was given.
const BindingFlags Internal = BindingFlags.Static | BindingFlags.NonPublic;
var api = new Uri($"http://{Environment.GetEnvironmentVariable("AWS_LAMBDA_RUNTIME_API")}/2018-06-01/runtime/");
using var client = new HttpClient(new SocketsHttpHandler { UseProxy = false }) { Timeout = Timeout.InfiniteTimeSpan };

var collecting = true;
var kept = new List<byte[]>();
for (var index = 0; index < int.Parse(Environment.GetEnvironmentVariable("HEAP") ?? "0"); index++)
    for (var part = 0; part < 256; part++)
        kept.Add(new byte[4096]);
for (var thread = 0; thread < (Environment.GetEnvironmentVariable("LOAD") is null ? 0 : 2); thread++)
    new Thread(Allocate) { IsBackground = true }.Start();
if (Environment.GetEnvironmentVariable("DRIVERS") is not null)
    Drivers.Load();
Threads.Draw();
if (Environment.GetEnvironmentVariable("CHILD") is { } python)
    Drivers.Start(python);
GC.Collect(2, GCCollectionMode.Forced, blocking: true, compacting: true);
if (Environment.GetEnvironmentVariable("COLLECT") is not null)
    new Thread(Collect) { IsBackground = true }.Start();

var snapStart = Environment.GetEnvironmentVariable("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start";
if (snapStart && Environment.GetEnvironmentVariable("HOOKS") != "none")
{
    var hooks = Type.GetType("Amazon.Lambda.Core.SnapshotRestore, Amazon.Lambda.Core", throwOnError: true)!;
    if (Environment.GetEnvironmentVariable("LATE") is not null)
        Drivers.RegisterLate();
    Stack<Func<ValueTask>> before = new();
    Queue<Func<ValueTask>> after = new();
    hooks.GetMethod("CopyBeforeSnapshotCallbacksToRegistry", Internal)!.Invoke(null, [(Action<Func<ValueTask>>)before.Push]);
    hooks.GetMethod("CopyAfterRestoreCallbacksToRegistry", Internal)!.Invoke(null, [(Action<Func<ValueTask>>)after.Enqueue]);
    while (before.TryPop(out var hook))
        await Guarded(hook, "init/error");
    Get("restore/next");
    collecting = false;
    while (after.TryDequeue(out var hook))
        await Guarded(hook, "restore/error");
}
while (true)
{
    var (id, _) = Get("invocation/next");
    Post($"invocation/{id}/response", JsonSerializer.Serialize(Threads.Draw()));
}

async Task Guarded(Func<ValueTask> hook, string route)
{
    try
    {
        await hook();
    }
    catch (Exception error)
    {
        Post(route, JsonSerializer.Serialize(new { errorType = error.GetType().Name, errorMessage = error.Message }));
        Environment.Exit(0);
    }
}

(string Id, string Body) Get(string route)
{
    using var response = client.Send(new HttpRequestMessage(HttpMethod.Get, new Uri(api, route)));
    response.EnsureSuccessStatusCode();
    using var body = new StreamReader(response.Content.ReadAsStream());
    var id = response.Headers.TryGetValues("Lambda-Runtime-Aws-Request-Id", out var ids) ? ids.First() : "";
    return (id, body.ReadToEnd());
}

void Post(string route, string body)
{
    using var content = new StringContent(body, Encoding.UTF8, "application/json");
    using var response = client.Send(new HttpRequestMessage(HttpMethod.Post, new Uri(api, route)) { Content = content });
    response.EnsureSuccessStatusCode();
}

static void Allocate()
{
    while (true)
        GC.KeepAlive(new byte[100]);
}

void Collect()
{
    while (collecting)
    {
        GC.Collect(2, GCCollectionMode.Forced, blocking: true, compacting: true);
        Thread.Sleep(1); // or nothing else would get on
    }
}
