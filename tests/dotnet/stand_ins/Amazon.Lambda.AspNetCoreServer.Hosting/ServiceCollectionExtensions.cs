using System.Text.Json.Serialization;
using Amazon.Lambda.AspNetCoreServer.Hosting;
using Amazon.Lambda.AspNetCoreServer.Hosting.Internal;
using Amazon.Lambda.Core;
using Amazon.Lambda.Serialization.SystemTextJson;
using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.Extensions.DependencyInjection.Extensions;

namespace Microsoft.Extensions.DependencyInjection;

public enum LambdaEventSource
{
    RestApi,
    HttpApi,
    ApplicationLoadBalancer,
    WebsocketApi,
}

public static class ServiceCollectionExtensions
{
    public static IServiceCollection AddAWSLambdaHosting(
        this IServiceCollection services, LambdaEventSource eventSource, Action<HostingOptions> configure = null) =>
        Host(services, eventSource, null, configure);

    public static IServiceCollection AddAWSLambdaHosting<T>(
        this IServiceCollection services,
        LambdaEventSource eventSource,
        SourceGeneratorLambdaJsonSerializer<T> serializer,
        Action<HostingOptions> configure = null)
        where T : JsonSerializerContext => Host(services, eventSource, serializer, configure);

    public static IServiceCollection AddAWSLambdaBeforeSnapshotRequest(
        this IServiceCollection services, HttpRequestMessage beforeSnapStartRequest) =>
        services.AddSingleton(new BeforeSnapshotRequest(beforeSnapStartRequest));

    /// <summary>Outside of Lambda nothing: Kestrel serves the application.</summary>
    private static IServiceCollection Host(
        IServiceCollection services, LambdaEventSource source, ILambdaSerializer serializer, Action<HostingOptions> configure)
    {
        if (string.IsNullOrEmpty(Environment.GetEnvironmentVariable("AWS_LAMBDA_FUNCTION_NAME")))
            return services;
        if (source is not LambdaEventSource.HttpApi)
            throw new NotSupportedException($"This stand-in for AWS's package has no {source}.");
        var options = new HostingOptions();
        configure?.Invoke(options);
        services.TryAddSingleton(options);
        services.TryAddSingleton(serializer ?? options.Serializer ?? new DefaultLambdaJsonSerializer());
        services.RemoveAll<IServer>();
        return services.AddSingleton<IServer, APIGatewayHttpApiV2LambdaRuntimeSupportServer>();
    }
}
