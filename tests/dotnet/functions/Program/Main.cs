using System.Diagnostics;
using System.Globalization;

var api = new HttpClient { BaseAddress = new($"http://{Environment.GetEnvironmentVariable("AWS_LAMBDA_RUNTIME_API")}/2018-06-01/runtime/") };
api.Timeout = Timeout.InfiniteTimeSpan;
var random = new Random();
if (Environment.GetEnvironmentVariable("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start")
    (await api.GetAsync(new Uri("restore/next", UriKind.Relative))).EnsureSuccessStatusCode();
if (Environment.GetEnvironmentVariable("FAIL") == "restore")
{
    using var error = new StringContent("""{"errorType": "NoRoute", "errorMessage": "the database is gone"}""");
    error.Headers.Add("Lambda-Runtime-Function-Error-Type", "Runtime.AfterRestoreError");
    await api.PostAsync(new Uri("restore/error", UriKind.Relative), error);
    return;
}
while (true)
{
    var next = await api.GetAsync(new Uri("invocation/next", UriKind.Relative));
    var id = next.Headers.GetValues("Lambda-Runtime-Aws-Request-Id").Single();
    using var activity = new Activity("answer").Start();
    var answer = $$"""
        {"runtime": "{{Environment.Version}}", "hooks": "{{Environment.GetEnvironmentVariable("DOTNET_STARTUP_HOOKS")}}",
         "random": "{{random.NextInt64().ToString(CultureInfo.InvariantCulture)}}", "culture": "{{CultureInfo.CurrentCulture.Name}}",
         "now_s": {{Seconds(DateTime.UtcNow)}}, "activity_s": {{Seconds(activity.StartTimeUtc)}}}
        """;
    await api.PostAsync(new Uri($"invocation/{id}/response", UriKind.Relative), new StringContent(answer));
}

static string Seconds(DateTime time) => (time - DateTime.UnixEpoch).TotalSeconds.ToString(CultureInfo.InvariantCulture);
