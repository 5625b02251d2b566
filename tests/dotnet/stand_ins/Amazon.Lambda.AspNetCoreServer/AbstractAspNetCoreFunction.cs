using Amazon.Lambda.AspNetCoreServer.Internal;
using Amazon.Lambda.Core;
using Amazon.Lambda.Serialization.SystemTextJson;
using Microsoft.AspNetCore.Hosting;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Http;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;

namespace Amazon.Lambda.AspNetCoreServer;

/// <summary>Runs an application on events: an event becomes features, and features become a response.</summary>
public abstract class AbstractAspNetCoreFunction<TREQUEST, TRESPONSE>
{
    public const string LAMBDA_CONTEXT = "LambdaContext";
    public const string LAMBDA_REQUEST_OBJECT = "LambdaRequestObject";

    /// <summary>How often each request runs before the snapshot.</summary>
    private const int Rounds = 5;

    private readonly IServiceProvider services;
    private readonly LambdaServer server;
    private readonly ILogger logger;

    /// <summary>For class libraries, which bring no host: it is made and started here.</summary>
    protected AbstractAspNetCoreFunction()
        : this(null)
    {
    }

    /// <summary>For what has a host, which starts by itself.</summary>
    protected AbstractAspNetCoreFunction(IServiceProvider hostedServices)
    {
        services = hostedServices ?? Start();
        server = (LambdaServer)services.GetRequiredService<IServer>();
        logger = services.GetRequiredService<ILoggerFactory>().CreateLogger(GetType());
        Core.SnapshotRestore.RegisterBeforeSnapshot(WarmUpAsync);
    }

    public bool IncludeUnhandledExceptionDetailInResponse { get; set; }

    [LambdaSerializer(typeof(DefaultLambdaJsonSerializer))]
    public virtual Task<TRESPONSE> FunctionHandlerAsync(TREQUEST request, ILambdaContext lambdaContext) =>
        RunAsync(request, lambdaContext, new() { [LAMBDA_CONTEXT] = lambdaContext, [LAMBDA_REQUEST_OBJECT] = request });

    protected virtual void Init(IWebHostBuilder builder)
    {
    }

    protected virtual IEnumerable<HttpRequestMessage> GetBeforeSnapshotRequests() => [];

    protected abstract void MarshallRequest(IFeatureCollection features, TREQUEST lambdaRequest);

    protected abstract TRESPONSE MarshallResponse(IHttpResponseFeature response, Stream body, Exception failed);

    private protected abstract Task<TREQUEST> ConvertAsync(HttpRequestMessage message);

    private IServiceProvider Start()
    {
        var host = Host.CreateDefaultBuilder()
            .ConfigureWebHostDefaults(Init)
            .ConfigureServices(services => services.RemoveAll<IServer>().AddSingleton<IServer, LambdaServer>())
            .Build();
        host.Start();
        return host.Services;
    }

    private async ValueTask WarmUpAsync()
    {
        foreach (var message in GetBeforeSnapshotRequests())
        {
            var request = await ConvertAsync(message);
            for (var round = 0; round < Rounds; round++)
                await RunAsync(request, new SnapStartEmptyLambdaContext(), []);
        }
    }

    private async Task<TRESPONSE> RunAsync(TREQUEST request, ILambdaContext context, Dictionary<object, object> items)
    {
        await using var scope = services.CreateAsyncScope();
        var features = new FeatureCollection();
        var response = new ResponseFeature();
        using var body = new MemoryStream();
        features.Set<IHttpRequestFeature>(new HttpRequestFeature());
        features.Set<IHttpConnectionFeature>(new HttpConnectionFeature());
        features.Set<IHttpResponseFeature>(response);
        features.Set<IHttpResponseBodyFeature>(new StreamResponseBodyFeature(body));
        features.Set<IHttpRequestIdentifierFeature>(new RequestIdentifierFeature());
        features.Set<IItemsFeature>(new ItemsFeature { Items = items });
        features.Set<IServiceProvidersFeature>(new ProvidedServices { RequestServices = scope.ServiceProvider });
        MarshallRequest(features, request);
        TRESPONSE made = default;
        await server.Process(features, async failed =>
        {
            if (failed is not null)
            {
                logger.LogError(failed, "Unknown error responding to request");
                response.StatusCode = 500;
            }
            await response.StartingAsync();
            made = MarshallResponse(response, body, failed);
            await response.CompletedAsync();
        });
        return made;
    }

    private sealed class ProvidedServices : IServiceProvidersFeature
    {
        public IServiceProvider RequestServices { get; set; }
    }
}
