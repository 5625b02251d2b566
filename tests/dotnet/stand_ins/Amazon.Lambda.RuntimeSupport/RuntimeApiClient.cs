using System.Globalization;
using System.Net;
using System.Net.Http.Headers;
using System.Text.Json;
using Amazon.Lambda.Core;

namespace Amazon.Lambda.RuntimeSupport;

/// <summary>The Runtime API by HttpClient, as AWS's client has it.</summary>
internal sealed class RuntimeApiClient : IDisposable
{
    private readonly HttpClient http = new(new SocketsHttpHandler { UseProxy = false })
    {
        BaseAddress = new($"http://{Environment.GetEnvironmentVariable("AWS_LAMBDA_RUNTIME_API")}/2018-06-01/runtime/"),
        Timeout = TimeSpan.FromHours(12),
    };

    public void Dispose() => http.Dispose();

    public async Task RestoreNextAsync()
    {
        using var answer = await http.GetAsync("restore/next");
        answer.EnsureSuccessStatusCode();
    }

    public async Task<InvocationRequest> NextAsync()
    {
        using var answer = await http.GetAsync("invocation/next");
        answer.EnsureSuccessStatusCode();
        string Header(string name) => answer.Headers.TryGetValues($"Lambda-Runtime-{name}", out var values) ? values.First() : null;
        var context = new Context
        {
            AwsRequestId = Header("Aws-Request-Id"),
            InvokedFunctionArn = Header("Invoked-Function-Arn"),
            Deadline = DateTimeOffset.FromUnixTimeMilliseconds(long.Parse(Header("Deadline-Ms") ?? "0", CultureInfo.InvariantCulture)),
            TraceId = Header("Trace-Id"),
        };
        Environment.SetEnvironmentVariable("_X_AMZN_TRACE_ID", context.TraceId);
        return new() { InputStream = new MemoryStream(await answer.Content.ReadAsByteArrayAsync()), LambdaContext = context };
    }

    public async Task RespondAsync(string id, Stream response)
    {
        using var content = new StreamContent(response ?? Stream.Null);
        content.Headers.ContentType = new MediaTypeHeaderValue("application/json");
        using var answer = await http.PostAsync($"invocation/{id}/response", content);
        if (answer.StatusCode != HttpStatusCode.RequestEntityTooLarge)
            answer.EnsureSuccessStatusCode();
    }

    public async Task ReportAsync(string path, Exception error, string type = null)
    {
        using var request = new HttpRequestMessage(HttpMethod.Post, path);
        request.Content = new ByteArrayContent(JsonSerializer.SerializeToUtf8Bytes(Described(error)));
        request.Content.Headers.ContentType = new MediaTypeHeaderValue("application/vnd.aws.lambda.error+json");
        if (type is not null)
            request.Headers.Add("Lambda-Runtime-Function-Error-Type", type);
        using var answer = await http.SendAsync(request);
        answer.EnsureSuccessStatusCode();
    }

    private static Dictionary<string, object> Described(Exception error)
    {
        var described = new Dictionary<string, object> { ["errorType"] = error.GetType().Name, ["errorMessage"] = error.Message };
        if (error.StackTrace is { } stack)
            described["stackTrace"] = stack.Split('\n', StringSplitOptions.TrimEntries);
        if (error.InnerException is { } cause)
            described["cause"] = Described(cause);
        return described;
    }

    private sealed class Context : ILambdaContext, ILambdaLogger, IClientContext, ICognitoIdentity
    {
        public string AwsRequestId { get; init; }

        public IClientContext ClientContext => this;

        public string FunctionName => Environment.GetEnvironmentVariable("AWS_LAMBDA_FUNCTION_NAME");

        public string FunctionVersion => Environment.GetEnvironmentVariable("AWS_LAMBDA_FUNCTION_VERSION");

        public ICognitoIdentity Identity => this;

        public string InvokedFunctionArn { get; init; }

        public ILambdaLogger Logger => this;

        public string LogGroupName => Environment.GetEnvironmentVariable("AWS_LAMBDA_LOG_GROUP_NAME");

        public string LogStreamName => Environment.GetEnvironmentVariable("AWS_LAMBDA_LOG_STREAM_NAME");

        public int MemoryLimitInMB =>
            int.Parse(Environment.GetEnvironmentVariable("AWS_LAMBDA_FUNCTION_MEMORY_SIZE") ?? "0", CultureInfo.InvariantCulture);

        public DateTimeOffset Deadline { get; init; }

        public TimeSpan RemainingTime => Deadline - DateTimeOffset.UtcNow;

        public string TraceId { get; init; }

        IDictionary<string, string> IClientContext.Environment => new Dictionary<string, string>();

        public IClientApplication Client => null;

        public IDictionary<string, string> Custom => new Dictionary<string, string>();

        public string IdentityId => null;

        public string IdentityPoolId => null;

        public void Log(string message) => Console.Write(message);

        public void LogLine(string message) => Console.WriteLine(message);
    }
}
