using Amazon.Lambda.Core;
using Amazon.Lambda.Serialization.SystemTextJson;

[assembly: LambdaSerializer(typeof(DefaultLambdaJsonSerializer))]

namespace Reports;

/// <summary>Calls its handler ten times before the snapshot, as AWS's samples do, with a context that no event made.</summary>
public class Primed
{
    private int calls;

    public Primed() =>
        SnapshotRestore.RegisterBeforeSnapshot(async () =>
        {
            for (var call = 0; call < 10; call++)
                await Handle("prime", new NoContext());
        });

    public async Task<string> Handle(string text, ILambdaContext context)
    {
        await Task.Yield();
        context.Logger.LogInformation($"{text} for {context.AwsRequestId}");
        return $"{text} {++calls}";
    }

    private sealed class NoContext : ILambdaContext, ILambdaLogger
    {
        public string AwsRequestId => "nobody";

        public IClientContext ClientContext => null!;

        public string FunctionName => "";

        public string FunctionVersion => "";

        public ICognitoIdentity Identity => null!;

        public string InvokedFunctionArn => "";

        public ILambdaLogger Logger => this;

        public string LogGroupName => "";

        public string LogStreamName => "";

        public int MemoryLimitInMB => 0;

        public TimeSpan RemainingTime => TimeSpan.FromSeconds(5);

        public void Log(string message) => Console.WriteLine(message);

        public void LogLine(string message) => Console.WriteLine(message);
    }
}
