using System.Reflection;
using System.Text.Json;
using Amazon.Lambda.Core;

namespace Thaw.Bootstrap;

/// <summary>
/// What is not public in the function's Amazon.Lambda.Core, or not in every release of it: reached by reflection. Releases
/// without it lose the feature and nothing else.
/// </summary>
internal static class CoreAssembly
{
    private const BindingFlags Hidden =
        BindingFlags.Static | BindingFlags.Instance | BindingFlags.NonPublic | BindingFlags.Public;

    private static readonly Lazy<Action<string?>?> TraceId = new(() => Core
        .GetType("Amazon.Lambda.Core.LambdaTraceProvider")?
        .GetMethod("SetCurrentTraceId", Hidden, [typeof(string)])?
        .CreateDelegate<Action<string?>>());

    private static Assembly Core => typeof(ILambdaContext).Assembly;

    /// <summary>Whether the package has no Amazon.Lambda.Core: the first use of one of its types failed.</summary>
    public static bool IsMissing(Exception error) =>
        error is FileNotFoundException { FileName: { } name } && name.StartsWith("Amazon.Lambda.Core,", StringComparison.Ordinal);

    /// <summary>What <c>LambdaTraceProvider</c> tells of the current invocation.</summary>
    public static void SetTraceId(string? traceId) => TraceId.Value?.Invoke(traceId);

    /// <summary>Let the static <c>LambdaLogger</c> write to the log.</summary>
    public static void ConnectLog(Log log)
    {
        if (Core.GetType("Amazon.Lambda.Core.LambdaLogger") is not { } logger)
            return;
        void Set(string name, Delegate action)
        {
            if (logger.GetField(name, Hidden) is { } field && field.FieldType.IsInstanceOfType(action))
                field.SetValue(null, action);
        }
        Set("_loggingAction", (string message) => log.Write(null, message));
        Set(
            "_loggingWithLevelAction",
            (string level, string message, object[] args) => log.Write(Levels.Parse(level), message, null, args));
        Set(
            "_loggingWithLevelAndExceptionAction",
            (string level, Exception error, string message, object[] args) => log.Write(Levels.Parse(level), message, error, args));
        ConnectOptions(logger, log);
    }

    /// <summary>Take the registered hooks, in the order of registration. False if this Core has none (before 2.5.0).</summary>
    public static bool TakeHooks(Action<Func<ValueTask>> before, Action<Func<ValueTask>> after)
    {
        if (Core.GetType("Amazon.Lambda.Core.SnapshotRestore") is not { } registry)
            return false;
        // Internal, but fixed: the runtime client in Lambda's images is compiled against them and meets every release.
        foreach (var (name, take) in new[]
        {
            ("CopyBeforeSnapshotCallbacksToRegistry", before),
            ("CopyAfterRestoreCallbacksToRegistry", after),
        })
        {
            var copy = registry.GetMethod(name, Hidden, [typeof(Action<Func<ValueTask>>)])
                ?? throw new MissingMethodException(registry.FullName, name);
            copy.CreateDelegate<Action<Action<Func<ValueTask>>>>()(take);
        }
        return true;
    }

    /// <summary>
    /// Let <c>LambdaResponseStreamFactory</c> make streams of <paramref name="begin"/>, which is given the response's prelude.
    /// </summary>
    public static void ConnectStreams(Func<byte[], ResponseStream> begin)
    {
        const string Namespace = "Amazon.Lambda.Core.ResponseStreaming";
        var stream = Core.GetType($"{Namespace}.ILambdaResponseStream");
        // Not in 3.0, the first release with streams.
        var implementation = Core.GetType($"{Namespace}.ImplLambdaResponseStream");
        var set = Core.GetType($"{Namespace}.LambdaResponseStreamFactory")?.GetMethod("SetLambdaResponseStream", Hidden);
        if (stream is null || implementation is null || set is null)
            return;
        var factory = Activator.CreateInstance(
            typeof(ResponseStreamFactory<>).MakeGenericType(stream), implementation, begin)!;
        var make = factory.GetType().GetMethod(nameof(ResponseStreamFactory<>.Make))!;
        set.Invoke(null, [make.CreateDelegate(set.GetParameters()[0].ParameterType, factory)]);
    }

    /// <summary>From 3.1 on a function may say how <c>{@name}</c> is written.</summary>
    private static void ConnectOptions(Type logger, Log log)
    {
        if (logger.GetMethod("SetConfigureStructuredLoggingAction", Hidden) is not { } set)
            return;
        var options = set.GetParameters()[0].ParameterType.GenericTypeArguments[0];
        var take = new Action<object?>(given =>
        {
            if (options.GetProperty("OverrideSerializerOptions")?.GetValue(given) is JsonSerializerOptions json)
                log.JsonOptions = json;
        });
        // A delegate of a method that takes any object is one of a method that takes these options.
        set.Invoke(null, [take.Method.CreateDelegate(typeof(Action<>).MakeGenericType(options), take.Target)]);
    }
}
