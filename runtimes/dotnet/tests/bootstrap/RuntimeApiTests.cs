using System.Text;
using Thaw.Bootstrap;
using Xunit;

namespace Thaw.Tests.Bootstrap;

public class RuntimeApiTests
{
    [Fact]
    public void AnInvocationHasWhatItsHeadersSayInAnyCase()
    {
        using var server = new FakeRuntimeApi(FakeRuntimeApi.Answer(
            200,
            "{\"é\":1}",
            "lambda-runtime-aws-request-id: r1\r\nLambda-Runtime-Deadline-Ms: 1700000000123\r\n"
                + "Lambda-Runtime-Invoked-Function-Arn: arn\r\nLAMBDA-RUNTIME-TRACE-ID:Root=1\r\n"
                + "Lambda-Runtime-Client-Context: {\"custom\":{\"a\":\"é\"}}\r\nLambda-Runtime-Aws-Tenant-Id: t\r\n"));
        using var api = new RuntimeApi(server.Address);
        var invocation = api.Next();

        Assert.Equal("r1", invocation.RequestId);
        Assert.Equal(1_700_000_000_123, invocation.Deadline.ToUnixTimeMilliseconds());
        Assert.Equal("arn", invocation.FunctionArn);
        Assert.Equal("Root=1", invocation.TraceId);
        Assert.Equal("{\"custom\":{\"a\":\"é\"}}", invocation.ClientContext);
        Assert.Equal("t", invocation.TenantId);
        Assert.Null(invocation.CognitoIdentity);
        Assert.Equal("{\"é\":1}", Encoding.UTF8.GetString(invocation.Body));
        Assert.StartsWith("GET /2018-06-01/runtime/invocation/next HTTP/1.1\r\n", server.Requests[0], StringComparison.Ordinal);
        Assert.Contains("\r\nAccept: application/json\r\n", server.Requests[0], StringComparison.Ordinal);
    }

    [Fact]
    public void EverythingGoesOverOneConnection()
    {
        var next = FakeRuntimeApi.Answer(200, "", "Lambda-Runtime-Aws-Request-Id: r1\r\nLambda-Runtime-Invocation-Id: i1\r\n");
        using var server = new FakeRuntimeApi(
            FakeRuntimeApi.Answer(200, "pong"),
            FakeRuntimeApi.Answer(200, "pong"),
            FakeRuntimeApi.Answer(204),
            next,
            FakeRuntimeApi.Answer(202),
            next,
            FakeRuntimeApi.Answer(202, "{\"status\":\"OK\"}"));
        using var api = new RuntimeApi(server.Address);
        api.Rehearse();
        api.RestoreNext();
        var invocation = api.Next();
        api.Respond(invocation, "{}"u8);
        api.ReportError(api.Next(), new InvalidOperationException("no tea"));

        Assert.Equal(
            [
                "GET /ping", "POST /ping", "GET /2018-06-01/runtime/restore/next", "GET /2018-06-01/runtime/invocation/next",
                "POST /2018-06-01/runtime/invocation/r1/response", "GET /2018-06-01/runtime/invocation/next",
                "POST /2018-06-01/runtime/invocation/r1/error",
            ],
            server.Requests.Select(request => request.Split(" HTTP/1.1")[0]));
        Assert.Contains("\r\nLambda-Runtime-Invocation-Id: i1\r\n", server.Requests[4], StringComparison.Ordinal);
        Assert.Contains("\r\nContent-Type: application/json\r\n", server.Requests[4], StringComparison.Ordinal);
        Assert.EndsWith("\r\n\r\n{}", server.Requests[4], StringComparison.Ordinal);
        var error = server.Requests[6];
        Assert.Contains("\r\nLambda-Runtime-Function-Error-Type: InvalidOperationException\r\n", error, StringComparison.Ordinal);
        Assert.Contains("\r\nLambda-Runtime-Function-XRay-Error-Cause: {\"working_directory\":", error, StringComparison.Ordinal);
        Assert.Contains("\r\nContent-Type: application/vnd.aws.lambda.error+json\r\n", error, StringComparison.Ordinal);
    }

    [Fact]
    public void InitErrorsHaveATypeOnlyWhenAHookFailed()
    {
        using var server = new FakeRuntimeApi(FakeRuntimeApi.Answer(202), FakeRuntimeApi.Answer(202), FakeRuntimeApi.Answer(202));
        using var api = new RuntimeApi(server.Address);
        api.ReportInitError(new InvalidOperationException("x"));
        api.ReportInitError(new InvalidOperationException("x"), "Runtime.BeforeSnapshotError");
        api.ReportRestoreError(new InvalidOperationException("x"));

        Assert.DoesNotContain("Error-Type", server.Requests[0], StringComparison.Ordinal);
        Assert.Contains("Error-Type: Runtime.BeforeSnapshotError\r\n", server.Requests[1], StringComparison.Ordinal);
        Assert.Contains("/restore/error HTTP/1.1", server.Requests[2], StringComparison.Ordinal);
        Assert.Contains("Error-Type: Runtime.AfterRestoreError\r\n", server.Requests[2], StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(64 * 1024)]
    [InlineData((64 * 1024) + 1)]
    [InlineData(6 * 1024 * 1024)]
    public void AResponseOfAnySizeArrivesWhole(int size)
    {
        using var server = new FakeRuntimeApi(FakeRuntimeApi.Answer(202));
        using var api = new RuntimeApi(server.Address);
        api.Respond(Invocations.Of("r"), Encoding.ASCII.GetBytes(new string('x', size)));

        Assert.Equal(new string('x', size), server.Requests[0].Split("\r\n\r\n")[1]);
    }

    [Fact]
    public void AResponseThatIsTooLargeIsNoEndOfTheProcess()
    {
        using var server = new FakeRuntimeApi(FakeRuntimeApi.Answer(413, "{\"errorType\":\"RequestEntityTooLarge\"}"));
        using var api = new RuntimeApi(server.Address);

        api.Respond(Invocations.Of("r"), "{}"u8);
    }

    [Theory]
    [InlineData(403, """{"errorMessage":"not now","errorType":"InvalidStateTransition"}""", "InvalidStateTransition: not now")]
    [InlineData(500, "no JSON", "500: no JSON")]
    public void OtherAnswersAreErrorsThatSayWhatCame(int status, string body, string said)
    {
        using var server = new FakeRuntimeApi(FakeRuntimeApi.Answer(status, body));
        using var api = new RuntimeApi(server.Address);

        Assert.Contains(said, Assert.Throws<RuntimeApiException>(api.Next).Message, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")] // no request id
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: two\r\n\r\n{}")]
    [InlineData("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n")]
    [InlineData("SSH-2.0-x\r\n\r\n")]
    [InlineData("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n{}")] // ends early
    [InlineData("")]
    public void AnswersThatAreNoneAreErrorsToo(string answer)
    {
        using var server = new FakeRuntimeApi(answer);
        using var api = new RuntimeApi(server.Address);

        Assert.Throws<RuntimeApiException>(api.Next);
    }

    [Theory]
    [InlineData("")]
    [InlineData("nonsense")]
    [InlineData("127.0.0.1:1")]
    public void AnAddressWhereNobodyListensIsAnError(string address) =>
        Assert.Throws<RuntimeApiException>(() => new RuntimeApi(address));

    [Fact]
    public async Task AStreamIsSentInChunksAfterItsPrelude()
    {
        using var server = new FakeRuntimeApi(FakeRuntimeApi.Answer(202));
        using var api = new RuntimeApi(server.Address);
        var stream = new ResponseStream(api.BeginStream(Invocations.Of("r")), "{\"statusCode\":201}"u8.ToArray());
        await stream.WriteAsync([1, (byte)'a', (byte)'b'], 1, 2, default);
        await stream.WriteAsync([], 0, 0, default);
        stream.End(null);

        Assert.Equal(2, stream.BytesWritten);
        await Assert.ThrowsAsync<InvalidOperationException>(() => stream.WriteAsync([1], 0, 1, default));
        Assert.Contains("\r\nLambda-Runtime-Function-Response-Mode: streaming\r\n", server.Requests[0], StringComparison.Ordinal);
        Assert.EndsWith(
            "\r\n\r\n1A\r\n{\"statusCode\":201}\0\0\0\0\0\0\0\0\r\n2\r\nab\r\n0\r\n\r\n", server.Requests[0], StringComparison.Ordinal);
    }

    [Fact]
    public async Task AnErrorInTheMiddleOfAStreamGoesIntoItsTrailers()
    {
        using var server = new FakeRuntimeApi(FakeRuntimeApi.Answer(202));
        using var api = new RuntimeApi(server.Address);
        var stream = new ResponseStream(api.BeginStream(Invocations.Of("r")), []);
        await stream.WriteAsync([(byte)'a'], 0, 1, default);
        stream.End(new InvalidOperationException("no tea"));

        var trailers = server.Requests[0].Split("\r\n0\r\n")[1];
        Assert.True(stream.HasError);
        Assert.StartsWith("Lambda-Runtime-Function-Error-Type: InvalidOperationException\r\n", trailers, StringComparison.Ordinal);
        var body = trailers.Split("Error-Body: ")[1].Trim();
        Assert.Contains("no tea", Encoding.UTF8.GetString(Convert.FromBase64String(body)), StringComparison.Ordinal);
    }
}
