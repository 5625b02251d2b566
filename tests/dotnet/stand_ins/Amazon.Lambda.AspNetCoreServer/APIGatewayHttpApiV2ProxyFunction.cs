using System.Globalization;
using System.Net;
using System.Text;
using Amazon.Lambda.APIGatewayEvents;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Primitives;

namespace Amazon.Lambda.AspNetCoreServer;

/// <summary>Events of HTTP APIs, payload format 2.0.</summary>
public abstract class APIGatewayHttpApiV2ProxyFunction
    : AbstractAspNetCoreFunction<APIGatewayHttpApiV2ProxyRequest, APIGatewayHttpApiV2ProxyResponse>
{
    /// <summary>Content types and encodings whose bytes do not go as text.</summary>
    private static readonly HashSet<string> Binary = new(StringComparer.Ordinal)
    {
        "application/octet-stream", "image/png", "image/gif", "image/jpeg", "image/jpg", "image/x-icon", "application/zip",
        "application/pdf", "application/x-protobuf", "application/wasm", "gzip", "deflate", "br",
    };

    private static readonly Uri Nowhere = new("http://localhost");

    protected APIGatewayHttpApiV2ProxyFunction()
    {
    }

    protected APIGatewayHttpApiV2ProxyFunction(IServiceProvider hostedServices)
        : base(hostedServices)
    {
    }

    protected override void MarshallRequest(IFeatureCollection features, APIGatewayHttpApiV2ProxyRequest lambdaRequest)
    {
        var context = lambdaRequest.RequestContext;
        var request = features.Get<IHttpRequestFeature>();
        request.Scheme = "https";
        request.Method = context.Http.Method;
        request.QueryString = string.IsNullOrEmpty(lambdaRequest.RawQueryString) ? null : $"?{lambdaRequest.RawQueryString}";
        request.RawTarget = lambdaRequest.RawPath + request.QueryString;
        var path = Uri.UnescapeDataString(context.Http.Path);
        request.Path = path.StartsWith('/') ? path : $"/{path}";
        request.PathBase = null;
        if (!string.IsNullOrWhiteSpace(context.Stage) && request.Path.StartsWith($"/{context.Stage}", StringComparison.Ordinal))
        {
            request.PathBase = $"/{context.Stage}";
            request.Path = request.Path[request.PathBase.Length..];
        }
        foreach (var (name, value) in lambdaRequest.Headers ?? new Dictionary<string, string>())
            request.Headers[name] = new StringValues(value?.Split(','));
        if (!request.Headers.ContainsKey("Host"))
            request.Headers.Host = context.DomainName;
        if (lambdaRequest.Cookies is { } cookies)
            request.Headers.Cookie = string.Join("; ", cookies);
        var body = lambdaRequest.Body ?? "";
        var bytes = lambdaRequest.IsBase64Encoded ? Convert.FromBase64String(body) : Encoding.UTF8.GetBytes(body);
        request.Body = new MemoryStream(bytes);
        if (!request.Headers.ContainsKey("Content-Length"))
            request.Headers.ContentLength = bytes.Length;
        features.Set<IHttpRequestBodyDetectionFeature>(new Body { CanHaveBody = bytes.Length > 0 });

        var connection = features.Get<IHttpConnectionFeature>();
        if (IPAddress.TryParse(context.Http.SourceIp, out var address))
            connection.RemoteIpAddress = address;
        // Written as REST APIs have it; HTTP APIs write it small, so they give no port.
        if (lambdaRequest.Headers?.TryGetValue("X-Forwarded-Port", out var port) is true)
            connection.RemotePort = int.Parse(port, CultureInfo.InvariantCulture);
    }

    protected override APIGatewayHttpApiV2ProxyResponse MarshallResponse(
        IHttpResponseFeature response, Stream body, Exception failed)
    {
        var made = new APIGatewayHttpApiV2ProxyResponse
        {
            StatusCode = response.StatusCode,
            Headers = new Dictionary<string, string>(),
        };
        foreach (var (name, values) in response.Headers)
        {
            if (name.Equals("Set-Cookie", StringComparison.OrdinalIgnoreCase))
                made.Cookies = values.ToArray();
            else
                made.Headers[name] = string.Join(",", values.ToArray());
        }
        if (StringValues.IsNullOrEmpty(response.Headers.ContentType))
            made.Headers["Content-Type"] = null;
        if (failed is not null && IncludeUnhandledExceptionDetailInResponse)
            made.Headers["ErrorType"] = failed.GetType().Name;
        var bytes = ((MemoryStream)body).ToArray();
        made.IsBase64Encoded = Binary.Contains(response.Headers.ContentEncoding.ToString())
            || Binary.Contains(response.Headers.ContentType.ToString().Split(';')[0].Trim());
        made.Body = made.IsBase64Encoded ? Convert.ToBase64String(bytes) : Encoding.UTF8.GetString(bytes);
        return made;
    }

    private protected override async Task<APIGatewayHttpApiV2ProxyRequest> ConvertAsync(HttpRequestMessage message)
    {
        if (message.RequestUri is not { IsAbsoluteUri: false } relative)
            throw new ArgumentException("RequestUri must be relative.", nameof(message));
        message.RequestUri = new Uri(Nowhere, relative); // so a message cannot be used twice
        return new()
        {
            Body = message.Content is null ? "" : await message.Content.ReadAsStringAsync(),
            Headers = message.Headers.ToDictionary(
                header => header.Key, header => header.Value.FirstOrDefault(), StringComparer.OrdinalIgnoreCase),
            RawPath = message.RequestUri.AbsolutePath,
            RawQueryString = message.RequestUri.Query.TrimStart('?'),
            RequestContext = new()
            {
                Http = new() { Method = message.Method.ToString(), Path = message.RequestUri.AbsolutePath },
            },
        };
    }

    private sealed class Body : IHttpRequestBodyDetectionFeature
    {
        public bool CanHaveBody { get; init; }
    }
}
