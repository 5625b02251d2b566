using Amazon.Lambda.Core;

namespace Thaw.Bootstrap;

/// <summary>One invocation after another, for ever.</summary>
internal sealed class Loop : IDisposable
{
    private readonly Handler handler;
    private readonly Settings settings;
    private readonly RuntimeApi api;
    private readonly Log log;
    private readonly ILambdaLogger logger;
    private readonly ResponseBuffer output = new(); // one for all invocations, as large as the largest response so far
    private Invocation? current;
    private ResponseStream? stream;

    public Loop(Handler handler, Settings settings, RuntimeApi api, Log log)
    {
        this.handler = handler;
        this.settings = settings;
        this.api = api;
        this.log = log;
        logger = new Logger(log);
        CoreAssembly.ConnectStreams(Begin);
    }

    /// <summary>Returns only where one invocation was asked for.</summary>
    public void Run()
    {
        do
            Serve(api.Next());
        while (!settings.RunOnce);
    }

    public void Dispose() => output.Dispose();

    private void Serve(Invocation invocation)
    {
        log.Begin(invocation);
        Environment.SetEnvironmentVariable("_X_AMZN_TRACE_ID", invocation.TraceId);
        CoreAssembly.SetTraceId(invocation.TraceId);
        output.SetLength(0);
        stream = null;
        current = invocation;
        Exception? failure = null;
        try
        {
            using var input = new MemoryStream(invocation.Body, writable: false);
            handler.Invoke(input, new Context(invocation, settings, logger, handler.Serializer), output);
        }
        catch (Exception error)
        {
            failure = error;
            log.Write(Level.Error, null, error);
        }
        current = null;
        if (stream is not null)
            stream.End(failure); // what the handler returned beside it is left, as on Lambda
        else if (failure is not null)
            api.ReportError(invocation, failure);
        else
            api.Respond(invocation, output.GetBuffer().AsSpan(0, (int)output.Length));
    }

    private ResponseStream Begin(byte[] prelude)
    {
        if (current is not { } invocation)
            throw new InvalidOperationException("a response stream can be made within an invocation of the handler only");
        if (stream is not null)
            throw new InvalidOperationException("a response stream can be made once in an invocation");
        return stream = new ResponseStream(api.BeginStream(invocation), prelude);
    }
}
