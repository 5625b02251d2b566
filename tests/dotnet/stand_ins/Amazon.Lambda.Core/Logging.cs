using System;
using System.Text.Json;

namespace Amazon.Lambda.Core
{
    public interface ILambdaLogger
    {
        void Log(string message);

        void LogLine(string message);

#if CORE_2_0
        void Log(string level, string message) => LogLine(message);

        void Log(LogLevel level, string message) => Log(level.ToString(), message);

        void LogTrace(string message) => Log(nameof(LogLevel.Trace), message);

        void LogDebug(string message) => Log(nameof(LogLevel.Debug), message);

        void LogInformation(string message) => Log(nameof(LogLevel.Information), message);

        void LogWarning(string message) => Log(nameof(LogLevel.Warning), message);

        void LogError(string message) => Log(nameof(LogLevel.Error), message);

        void LogCritical(string message) => Log(nameof(LogLevel.Critical), message);

        void Log(string level, string message, params object[] args) => Log(level, message, args);

        void Log(string level, Exception exception, string message, params object[] args)
        {
            Log(level, message, args);
            Log(level, exception.ToString(), args);
        }

        void LogInformation(string message, params object[] args) => Log(nameof(LogLevel.Information), message, args);

        void LogWarning(string message, params object[] args) => Log(nameof(LogLevel.Warning), message, args);

        void LogError(string message, params object[] args) => Log(nameof(LogLevel.Error), message, args);

        void LogError(Exception exception, string message, params object[] args) =>
            Log(nameof(LogLevel.Error), exception, message, args);

        void LogCritical(Exception exception, string message, params object[] args) =>
            Log(nameof(LogLevel.Critical), exception, message, args);
#endif
    }

#if CORE_2_0
    public enum LogLevel
    {
        Trace,
        Debug,
        Information,
        Warning,
        Error,
        Critical,
    }
#endif

    public static class LambdaLogger
    {
        // A runtime sets these three by reflection.
        private static Action<string> _loggingAction = Console.WriteLine;

        public static void Log(string message) => _loggingAction(message);

#if CORE_2_5_1
        private static Action<string, string, object[]> _loggingWithLevelAction =
            (level, message, args) => Console.WriteLine($"{level}: {message} {string.Join(' ', args)}");

        private static Action<string, Exception, string, object[]> _loggingWithLevelAndExceptionAction =
            (level, exception, message, args) => Console.WriteLine($"{level}: {message} {string.Join(' ', args)}\n{exception}");

        public static void Log(string level, string message, params object[] args) =>
            _loggingWithLevelAction(level, message, args);

        public static void Log(LogLevel level, string message, params object[] args) => Log(level.ToString(), message, args);

        public static void Log(string level, Exception exception, string message, params object[] args) =>
            _loggingWithLevelAndExceptionAction(level, exception, message, args);

        public static void Log(LogLevel level, Exception exception, string message, params object[] args) =>
            Log(level.ToString(), exception, message, args);
#endif

#if CORE_3_1
        private static StructuredLoggingOptions early;
        private static Action<StructuredLoggingOptions> configure = options => early = options;

        public static void ConfigureStructuredLogging(StructuredLoggingOptions options) => configure(options);

        internal static void SetConfigureStructuredLoggingAction(Action<StructuredLoggingOptions> action)
        {
            configure = action;
            if (early is not null)
                action(early);
        }
#endif
    }

#if CORE_3_1
    public class StructuredLoggingOptions
    {
        public JsonSerializerOptions OverrideSerializerOptions { get; set; }
    }
#endif

#if CORE_2_8
    public class LambdaTraceProvider
    {
        private static string current;

        public static string CurrentTraceId => current ?? Environment.GetEnvironmentVariable("_X_AMZN_TRACE_ID");

        internal static void SetCurrentTraceId(string traceId) => current = traceId;
    }
#endif
}
