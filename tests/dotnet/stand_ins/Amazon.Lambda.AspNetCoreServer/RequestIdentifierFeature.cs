using Microsoft.AspNetCore.Http.Features;

namespace Amazon.Lambda.AspNetCoreServer.Internal;

/// <summary>The trace id of the invocation, or else ASP.NET Core's counter.</summary>
internal sealed class RequestIdentifierFeature : IHttpRequestIdentifierFeature
{
    private string given;

    public string TraceIdentifier
    {
        get => given
            ?? (Environment.GetEnvironmentVariable("_X_AMZN_TRACE_ID") is { Length: > 0 } traced
                ? traced
                : given = new HttpRequestIdentifierFeature().TraceIdentifier);
        set => given = value;
    }
}
