using Amazon.Lambda.Core;
using Thaw.Bootstrap;
using Xunit;

namespace Thaw.Tests.Bootstrap;

public class ContextTests
{
    private static readonly Settings Settings = new()
    {
        RuntimeApi = "",
        FunctionName = "f",
        FunctionVersion = "3",
        MemoryMiB = 512,
        LogGroup = "/aws/lambda/f",
        LogStream = "2026/01/01/[3]abc",
    };

    [Fact]
    public void HasWhatTheHeadersAndTheEnvironmentSay()
    {
        ILambdaContext context = new Context(Invocations.Of("r", "Root=1", "tenant"), Settings, new NoLogger(), new Serializer());

        Assert.Equal("r", context.AwsRequestId);
        Assert.Equal("arn", context.InvokedFunctionArn);
        Assert.Equal("f", context.FunctionName);
        Assert.Equal("3", context.FunctionVersion);
        Assert.Equal(512, context.MemoryLimitInMB);
        Assert.Equal("/aws/lambda/f", context.LogGroupName);
        Assert.Equal("2026/01/01/[3]abc", context.LogStreamName);
        Assert.Equal("Root=1", context.TraceId);
        Assert.Equal("tenant", context.TenantId);
        Assert.IsType<Serializer>(context.Serializer);
        Assert.InRange(context.RemainingTime, TimeSpan.FromSeconds(-60), TimeSpan.FromSeconds(3));
    }

    [Theory]
    [InlineData(null)]
    [InlineData("")]
    [InlineData("{}")]
    [InlineData("[]")]
    [InlineData("no JSON")]
    public void WithoutAClientAndAnIdentityBothAreEmptyAndNotNull(string? header)
    {
        ILambdaContext context = new Context(Invocations.Of("r", client: header, identity: header), Settings, new NoLogger(), null);

        Assert.Empty(context.ClientContext.Custom);
        Assert.Empty(context.ClientContext.Environment);
        Assert.Null(context.ClientContext.Client);
        Assert.Null(context.Identity.IdentityId);
        Assert.Null(context.Identity.IdentityPoolId);
    }

    [Fact]
    public void ReadsTheClientAndTheIdentity()
    {
        var client = """
            {"client": {"app_title": "t", "app_package_name": "p", "app_version_code": "1", "app_version_name": "n", "installation_id": "i"},
             "custom": {"a": "é", "n": 1}, "env": {"b": "c"}}
            """;
        var identity = """{"cognitoIdentityId": "id", "cognitoIdentityPoolId": "pool"}""";
        ILambdaContext context = new Context(Invocations.Of("r", client: client, identity: identity), Settings, new NoLogger(), null);

        Assert.Equal("é", context.ClientContext.Custom["a"]);
        Assert.Equal("1", context.ClientContext.Custom["n"]);
        Assert.Equal("c", context.ClientContext.Environment["b"]);
        Assert.Equal(["t", "p", "1", "n", "i"], [
            context.ClientContext.Client.AppTitle,
            context.ClientContext.Client.AppPackageName,
            context.ClientContext.Client.AppVersionCode,
            context.ClientContext.Client.AppVersionName,
            context.ClientContext.Client.InstallationId,
        ]);
        Assert.Equal("id", context.Identity.IdentityId);
        Assert.Equal("pool", context.Identity.IdentityPoolId);
    }
}
