using Microsoft.AspNetCore.Http.Features;

namespace Amazon.Lambda.AspNetCoreServer.Internal;

/// <summary>A response that is kept whole: what waits for its beginning runs when the application is done.</summary>
internal sealed class ResponseFeature : HttpResponseFeature
{
    private readonly List<Func<Task>> starting = [];
    private readonly List<Func<Task>> completed = [];

    public override void OnStarting(Func<object, Task> callback, object state) => starting.Add(() => callback(state));

    public override void OnCompleted(Func<object, Task> callback, object state) => completed.Add(() => callback(state));

    public Task StartingAsync() => EachAsync(starting);

    public Task CompletedAsync() => EachAsync(completed);

    private static async Task EachAsync(List<Func<Task>> callbacks)
    {
        foreach (var callback in callbacks)
            await callback();
    }
}
