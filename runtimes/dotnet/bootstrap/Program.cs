using System.Runtime.CompilerServices;

namespace Thaw.Bootstrap;

/// <summary>
/// Runs a class-library handler:
/// <c>dotnet exec --depsfile F.deps.json --runtimeconfig F.runtimeconfig.json Thaw.Bootstrap.dll F::Type::Method</c>.
/// </summary>
/// <remarks>
/// With that command line .NET finds assemblies in the function's own folder, so the interfaces that are implemented here are
/// those of the function's own copy of Amazon.Lambda.Core, whichever version it has.
/// </remarks>
internal static class Program
{
    private const int Reported = 1;
    private const int SoftwareError = 70; // sysexits.h

    private static int Main(string[] arguments)
    {
        var settings = Settings.FromEnvironment();
        var log = new Log(LogSinks.Open(settings), settings);
        log.TakeConsole();
        try
        {
            using var api = new RuntimeApi(settings.RuntimeApi);
            return Run(arguments.FirstOrDefault() ?? settings.Handler, settings, api, log);
        }
        catch (RuntimeApiException error)
        {
            // There is nobody left to tell.
            log.Write(Level.Critical, null, error);
            return SoftwareError;
        }
    }

    private static int Run(string handler, Settings settings, RuntimeApi api, Log log)
    {
        if (settings.LimitHeap)
            Memory.Limit(settings.MemoryMiB);
        try
        {
            // Up to here no type of Amazon.Lambda.Core was touched.
            return RunWithCore(handler, settings, api, log);
        }
        catch (FileNotFoundException error) when (CoreAssembly.IsMissing(error))
        {
            api.ReportInitError(new LambdaValidationException(
                "the package has no Amazon.Lambda.Core, which every handler of a class library needs: "
                    + "add the package of that name to the project"));
            return Reported;
        }
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static int RunWithCore(string name, Settings settings, RuntimeApi api, Log log)
    {
        Handler handler;
        try
        {
            CoreAssembly.ConnectLog(log);
            handler = Handler.Load(name); // the constructor runs on the main thread, as on Lambda
        }
        catch (Exception error) when (!CoreAssembly.IsMissing(error))
        {
            log.Write(Level.Error, null, error);
            api.ReportInitError(error);
            return Reported;
        }
        using var loop = new Loop(handler, settings, api, log);
        if (settings.SnapStart)
        {
            api.Rehearse();
            if (!SnapStart.Run(api, log))
                return Reported;
        }
        loop.Run();
        return 0;
    }
}
