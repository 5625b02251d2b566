using System.Reflection;
using System.Security.Claims;
using System.Text.Encodings.Web;
using Amazon.Lambda.Core;
using Microsoft.AspNetCore.Authentication;
using Microsoft.AspNetCore.Http.Features;
using Microsoft.Extensions.Options;
using Web;

// Development checks that no service of a request is taken from the root, and has the page of exceptions.
var builder = WebApplication.CreateBuilder(new WebApplicationOptions
{
    Args = args,
    EnvironmentName = Environment.GetEnvironmentVariable("ENVIRONMENT") ?? "Development",
});
builder.Logging.SetMinimumLevel(Microsoft.Extensions.Logging.LogLevel.Error);
builder.Services.AddAWSLambdaHosting(
    LambdaEventSource.HttpApi, options => options.IncludeUnhandledExceptionDetailInResponse = true);
builder.Services.AddHttpContextAccessor();
builder.Services.AddAuthentication("token").AddScheme<AuthenticationSchemeOptions, Tokens>("token", null);
builder.Services.AddAuthorization();
builder.Services.AddScoped<Visit>();
builder.Services.AddAWSLambdaBeforeSnapshotRequest(new HttpRequestMessage(HttpMethod.Get, "/draw") { Headers = { { "Authorization", "Ada" } } });
if (Environment.GetEnvironmentVariable("WARM_UP") is { } path)
    builder.Services.AddAWSLambdaBeforeSnapshotRequest(new HttpRequestMessage(HttpMethod.Get, path));

var app = builder.Build();
var random = new Random();
var contexts = new List<string>();
app.UseAuthentication();
app.UseAuthorization();
app.Use(async (context, next) =>
{
    context.Response.OnStarting(() =>
    {
        context.Response.Headers["X-Started"] = "yes";
        return Task.CompletedTask;
    });
    await next();
});
app.MapGet("/draw", (HttpContext context, Visit visit) =>
{
    var lambda = context.Items.TryGetValue("LambdaContext", out var one) ? (ILambdaContext?)one : null;
    contexts.Add(lambda?.AwsRequestId ?? "none");
    return new Dictionary<string, object?>
    {
        ["user"] = context.User.Identity?.Name,
        ["visit"] = visit.Path,
        ["contexts"] = contexts,
        ["request"] = lambda?.AwsRequestId,
        ["trace"] = context.TraceIdentifier,
        ["counter"] = new HttpRequestIdentifierFeature().TraceIdentifier,
        ["connection"] = Kestrel.NextConnection(),
        ["random"] = $"{random.NextInt64():x}",
        ["shared"] = $"{Random.Shared.NextInt64():x}",
        ["guid"] = Guid.NewGuid(),
        ["activity"] = System.Diagnostics.ActivitySpanId.CreateRandom().ToHexString(),
    };
}).RequireAuthorization();
app.MapPost("/echo/{*rest}", async (HttpContext context, string rest) =>
{
    using var body = new StreamReader(context.Request.Body);
    var request = context.Request;
    return new Dictionary<string, object?>
    {
        ["method"] = request.Method,
        ["scheme"] = request.Scheme,
        ["host"] = request.Host.Value,
        ["base"] = request.PathBase.Value,
        ["path"] = request.Path.Value,
        ["rest"] = rest,
        ["query"] = request.Query.ToDictionary(each => each.Key, each => each.Value.ToArray()),
        ["cookies"] = request.Cookies.ToDictionary(each => each.Key, each => each.Value),
        ["header"] = request.Headers["X-Many"].ToArray(),
        ["length"] = request.ContentLength,
        ["from"] = $"{context.Connection.RemoteIpAddress}",
        ["port"] = context.Connection.RemotePort,
        ["body"] = await body.ReadToEndAsync(),
    };
});
app.MapGet("/cookies", (HttpContext context) =>
{
    context.Response.Cookies.Append("a", "1");
    context.Response.Cookies.Append("b", "2");
    context.Response.Headers["X-Many"] = new[] { "one", "two" };
    return Results.Text("set");
});
app.MapGet("/bytes", () => Results.Bytes([0, 255, 1], "application/octet-stream"));
app.MapGet("/nothing", () => Results.NoContent());
app.MapGet("/fails", string () => throw new InvalidOperationException("no tea"));

Amazon.Lambda.Core.SnapshotRestore.RegisterBeforeSnapshot(() =>
{
    Console.WriteLine($"before after {contexts.Count} requests");
    return ValueTask.CompletedTask;
});
Amazon.Lambda.Core.SnapshotRestore.RegisterAfterRestore(() =>
{
    Console.WriteLine("after");
    return ValueTask.CompletedTask;
});
app.Run();

namespace Web
{
    /// <summary>A service of one request.</summary>
    internal sealed class Visit(IHttpContextAccessor accessor)
    {
        public string? Path => accessor.HttpContext?.Request.Path;
    }

    /// <summary>Who says a name is let in.</summary>
    internal sealed class Tokens(
        IOptionsMonitor<AuthenticationSchemeOptions> options, ILoggerFactory logger, UrlEncoder encoder)
        : AuthenticationHandler<AuthenticationSchemeOptions>(options, logger, encoder)
    {
        protected override Task<AuthenticateResult> HandleAuthenticateAsync() =>
            Task.FromResult(Request.Headers.Authorization.ToString() is { Length: > 0 } name
                ? AuthenticateResult.Success(new(
                    new ClaimsPrincipal(new ClaimsIdentity([new Claim(ClaimTypes.Name, name)], "token")), "token"))
                : AuthenticateResult.NoResult());
    }

    /// <summary>The counter of Kestrel's connections: it is registered, though it does not serve.</summary>
    internal static class Kestrel
    {
        private static readonly MethodInfo Next = Assembly.Load("Microsoft.AspNetCore.Server.Kestrel.Transport.Sockets")
            .GetType("Microsoft.AspNetCore.Connections.CorrelationIdGenerator", throwOnError: true)!
            .GetMethod("GetNextId", BindingFlags.Static | BindingFlags.Public)!;

        public static string NextConnection() => (string)Next.Invoke(null, null)!;
    }
}
