using Microsoft.AspNetCore.Hosting.Server;
using Microsoft.AspNetCore.Http.Features;

namespace Amazon.Lambda.AspNetCoreServer.Internal;

/// <summary>A server of ASP.NET Core that listens nowhere: it is handed its requests.</summary>
public class LambdaServer : IServer
{
    /// <summary>Runs the application on a request, and then, while its context lives, what makes the response.</summary>
    internal Func<IFeatureCollection, Func<Exception, Task>, Task> Process { get; private set; }

    public IFeatureCollection Features { get; } = new FeatureCollection();

    public virtual Task StartAsync<TContext>(IHttpApplication<TContext> application, CancellationToken cancellationToken)
    {
        Process = async (request, answer) =>
        {
            var context = application.CreateContext(request);
            Exception failed = null;
            try
            {
                await application.ProcessRequestAsync(context);
            }
            catch (Exception error)
            {
                failed = error;
            }
            try
            {
                await answer(failed);
            }
            finally
            {
                application.DisposeContext(context, failed);
            }
        };
        return Task.CompletedTask;
    }

    public virtual Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;

    public void Dispose() => GC.SuppressFinalize(this);
}
