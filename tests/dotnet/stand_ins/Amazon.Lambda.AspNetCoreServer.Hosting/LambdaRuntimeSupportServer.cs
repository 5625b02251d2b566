using Amazon.Lambda.APIGatewayEvents;
using Amazon.Lambda.AspNetCoreServer.Internal;
using Amazon.Lambda.Core;
using Amazon.Lambda.RuntimeSupport;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.Extensions.DependencyInjection;

namespace Amazon.Lambda.AspNetCoreServer.Hosting.Internal;

/// <summary>The server whose start is the loop of events: the application's own start never ends.</summary>
public class APIGatewayHttpApiV2LambdaRuntimeSupportServer(IServiceProvider services) : LambdaServer
{
    public override async Task StartAsync<TContext>(IHttpApplication<TContext> application, CancellationToken cancellationToken)
    {
        await base.StartAsync(application, cancellationToken);
        var handler = new MinimalApi(services);
        var wrapper = HandlerWrapper.GetHandlerWrapper<APIGatewayHttpApiV2ProxyRequest, APIGatewayHttpApiV2ProxyResponse>(
            handler.FunctionHandlerAsync, services.GetRequiredService<ILambdaSerializer>());
        using var bootstrap = new LambdaBootstrap(wrapper);
        await bootstrap.RunAsync(CancellationToken.None);
    }

    private sealed class MinimalApi : APIGatewayHttpApiV2ProxyFunction
    {
        private readonly IEnumerable<BeforeSnapshotRequest> requests;

        public MinimalApi(IServiceProvider services)
            : base(services)
        {
            requests = services.GetServices<BeforeSnapshotRequest>();
            IncludeUnhandledExceptionDetailInResponse =
                services.GetRequiredService<HostingOptions>().IncludeUnhandledExceptionDetailInResponse;
        }

        protected override IEnumerable<HttpRequestMessage> GetBeforeSnapshotRequests() =>
            requests.Select(request => request.Message);
    }
}
