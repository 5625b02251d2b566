using Amazon.Lambda.Core;
using SnapshotRestore.Registry;

namespace Amazon.Lambda.RuntimeSupport;

public delegate Task<InvocationResponse> LambdaBootstrapHandler(InvocationRequest invocation);

public delegate Task<bool> LambdaBootstrapInitializer();

public class InvocationRequest
{
    public Stream InputStream { get; internal set; }

    public ILambdaContext LambdaContext { get; internal set; }
}

public class InvocationResponse(Stream outputStream)
{
    public Stream OutputStream { get; } = outputStream;
}

/// <summary>Runs an executable's handler: the order of its calls is that of AWS's client.</summary>
public class LambdaBootstrap : IDisposable
{
    private readonly RuntimeApiClient client = new();
    private readonly LambdaBootstrapHandler handler;
    private readonly LambdaBootstrapInitializer initializer;

    public LambdaBootstrap(LambdaBootstrapHandler handler, LambdaBootstrapInitializer initializer = null)
    {
        this.handler = handler;
        this.initializer = initializer;
        LogWriter.Install();
    }

    public LambdaBootstrap(HandlerWrapper handlerWrapper, LambdaBootstrapInitializer initializer = null)
        : this(handlerWrapper.Handler, initializer)
    {
    }

    public async Task RunAsync(CancellationToken cancellationToken = default)
    {
        var snapStart = Environment.GetEnvironmentVariable("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start";
        if (initializer is not null && !await InitializeAsync(snapStart))
            return;
        if (snapStart && !await SnapshotAsync())
            return;
        while (!cancellationToken.IsCancellationRequested)
            await InvokeOnceAsync();
    }

    public void Dispose() => client.Dispose();

    private async Task<bool> InitializeAsync(bool snapStart)
    {
        try
        {
            return await initializer();
        }
        catch (Exception error)
        {
            await client.ReportAsync("init/error", error);
            if (snapStart)
                Environment.Exit(1);
            throw;
        }
    }

    private async Task<bool> SnapshotAsync()
    {
        var registry = new RestoreHooksRegistry();
        Core.SnapshotRestore.CopyBeforeSnapshotCallbacksToRegistry(registry.RegisterBeforeSnapshot);
        Core.SnapshotRestore.CopyAfterRestoreCallbacksToRegistry(registry.RegisterAfterRestore);
        try
        {
            await registry.InvokeBeforeSnapshotCallbacks();
            await client.RestoreNextAsync();
        }
        catch (Exception error)
        {
            Console.Error.WriteLine($"Failed to invoke before snapshot hooks: {error}");
            await client.ReportAsync("init/error", error, "Runtime.BeforeSnapshotError");
            return false;
        }
        try
        {
            await registry.InvokeAfterRestoreCallbacks();
        }
        catch (Exception error)
        {
            Console.Error.WriteLine($"Failed to invoke after restore callables: {error}");
            await client.ReportAsync("restore/error", error, "Runtime.AfterRestoreError");
            return false;
        }
        return true;
    }

    private async Task InvokeOnceAsync()
    {
        var invocation = await client.NextAsync();
        var id = LogWriter.RequestId = invocation.LambdaContext.AwsRequestId;
        InvocationResponse response;
        try
        {
            response = await handler(invocation);
        }
        catch (Exception error)
        {
            Console.Error.WriteLine(error);
            await client.ReportAsync($"invocation/{id}/error", error, error.GetType().Name);
            return;
        }
        await client.RespondAsync(id, response?.OutputStream);
    }
}
