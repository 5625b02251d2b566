using System.Globalization;
using System.Text;
using System.Text.Json;

namespace Thaw.Bootstrap;

/// <summary>The Lambda Runtime API (2018-06-01): its routes, on one connection that is opened before the snapshot and kept.</summary>
internal sealed class RuntimeApi(string address) : IDisposable
{
    private const string Routes = "/2018-06-01/runtime/";
    private const string ErrorType = "application/vnd.aws.lambda.error+json";
    private const int LargestCause = 32 * 1024; // characters; the agent takes heads of 64 KiB, and each may be of three bytes

    private static readonly string UserAgent = $"thaw-dotnet/{Environment.Version}";

    private readonly HttpConnection connection = new(address);

    /// <summary>Blocks until there is an event.</summary>
    public Invocation Next() => Read(Get("invocation/next"));

    /// <summary>Blocks while the snapshot is taken; returns in a clone.</summary>
    public void RestoreNext() => Get("restore/next");

    public void Respond(Invocation invocation, ReadOnlySpan<byte> response)
    {
        var path = $"{Routes}invocation/{invocation.RequestId}/response";
        // 413: the response is too large, of which the service tells the caller. The next one may fit.
        var answer = Post(path, response, "application/json", InvocationId(invocation));
        if (answer.Status is not (202 or 413))
            Check(answer, path);
    }

    public void ReportError(Invocation invocation, Exception error)
    {
        var cause = XRayCause.Write(error);
        var more = new StringBuilder(ErrorTypeHeader(ErrorReport.NameOf(error))).Append(InvocationId(invocation));
        if (cause.Length <= LargestCause)
            more.Append("Lambda-Runtime-Function-XRay-Error-Cause: ").Append(cause).Append("\r\n");
        Report($"{Routes}invocation/{invocation.RequestId}/error", error, more.ToString());
    }

    public void ReportInitError(Exception error, string? type = null) =>
        Report($"{Routes}init/error", error, ErrorTypeHeader(type));

    public void ReportRestoreError(Exception error) =>
        Report($"{Routes}restore/error", error, ErrorTypeHeader("Runtime.AfterRestoreError"));

    /// <summary>Begin a response whose body follows in chunks (<see cref="ResponseStream"/>).</summary>
    public HttpConnection BeginStream(Invocation invocation)
    {
        var head = Head("POST", $"{Routes}invocation/{invocation.RequestId}/response")
            .Append("Content-Type: application/vnd.awslambda.http-integration-response\r\n")
            .Append("Lambda-Runtime-Function-Response-Mode: streaming\r\n")
            .Append("Transfer-Encoding: chunked\r\n")
            .Append("Trailer: Lambda-Runtime-Function-Error-Type, Lambda-Runtime-Function-Error-Body\r\n")
            .Append(InvocationId(invocation))
            .Append("\r\n");
        connection.Send(head.ToString(), default);
        return connection;
    }

    /// <summary>
    /// Run the path that a clone takes from its restore to its first response, so that it is compiled in the snapshot:
    /// requests of both kinds to a route that answers everything, and an event's headers.
    /// </summary>
    public void Rehearse()
    {
        connection.Send(Head("GET", "/ping").Append("\r\n").ToString(), default);
        var answer = connection.Receive();
        Read(answer with
        {
            Head = "HTTP/1.1 200 OK\r\nLambda-Runtime-Aws-Request-Id: 0\r\nLambda-Runtime-Deadline-Ms: 0\r\n"
                + "Lambda-Runtime-Trace-Id: Root=0\r\nContent-Length: 0",
        });
        Post("/ping", "{}"u8, "application/json", "");
    }

    public void Dispose() => connection.Dispose();

    private static Invocation Read(HttpAnswer answer)
    {
        string? Of(string name) => answer.Header(name);
        return new(
            Of("Lambda-Runtime-Aws-Request-Id")
                ?? throw new RuntimeApiException("invocation/next was answered without a request id"),
            DateTimeOffset.FromUnixTimeMilliseconds(
                long.TryParse(Of("Lambda-Runtime-Deadline-Ms"), NumberStyles.None, CultureInfo.InvariantCulture, out var ms) ? ms : 0),
            Of("Lambda-Runtime-Invoked-Function-Arn") ?? "",
            Of("Lambda-Runtime-Trace-Id"),
            Of("Lambda-Runtime-Client-Context"),
            Of("Lambda-Runtime-Cognito-Identity"),
            Of("Lambda-Runtime-Aws-Tenant-Id"),
            Of("Lambda-Runtime-Invocation-Id"),
            answer.Body);
    }

    private HttpAnswer Get(string route)
    {
        var path = Routes + route;
        connection.Send(Head("GET", path).Append("Accept: application/json\r\n\r\n").ToString(), default);
        return Check(connection.Receive(), path);
    }

    private HttpAnswer Post(string path, ReadOnlySpan<byte> body, string type, string more)
    {
        var head = Head("POST", path)
            .Append("Content-Type: ").Append(type).Append("\r\n")
            .Append("Content-Length: ").Append(body.Length).Append("\r\n")
            .Append(more)
            .Append("\r\n");
        connection.Send(head.ToString(), body);
        return connection.Receive();
    }

    private void Report(string path, Exception error, string more) =>
        Check(Post(path, ErrorReport.Write(error).Span, ErrorType, more), path);

    private StringBuilder Head(string method, string path) =>
        new StringBuilder(512)
            .Append(method).Append(' ').Append(path).Append(" HTTP/1.1\r\nHost: ").Append(connection.Host)
            .Append("\r\nUser-Agent: ").Append(UserAgent).Append("\r\n");

    private static string ErrorTypeHeader(string? type) =>
        type is null ? "" : $"Lambda-Runtime-Function-Error-Type: {type}\r\n";

    private static string InvocationId(Invocation invocation) =>
        invocation.InvocationId is { } id ? $"Lambda-Runtime-Invocation-Id: {id}\r\n" : "";

    private static HttpAnswer Check(HttpAnswer answer, string path)
    {
        if (answer.Status is 200 or 202 or 204)
            return answer;
        throw new RuntimeApiException($"{path} was answered with {answer.Status}: {Said(answer.Body)}");
    }

    /// <summary>An error's type and message, if the body is of that form.</summary>
    private static string Said(byte[] body)
    {
        try
        {
            using var document = JsonDocument.Parse(body);
            return $"{document.RootElement.Text("errorType")}: {document.RootElement.Text("errorMessage")}";
        }
        catch (JsonException)
        {
            return Encoding.UTF8.GetString(body);
        }
    }
}
