using Microsoft.Win32.SafeHandles;

namespace Thaw.Bootstrap;

/// <summary>Opens the log that Lambda's settings name.</summary>
internal static class LogSinks
{
    public static ILogSink Open(Settings settings)
    {
        if (settings.TelemetryDescriptor is not { } descriptor)
            return new StreamSink(Console.OpenStandardOutput());
        // Open for the life of the process. No buffer: what a function logged is out even if it is killed.
        var handle = new SafeFileHandle(descriptor, ownsHandle: true);
        return new FrameSink(new FileStream(handle, FileAccess.Write, bufferSize: 0), settings.JsonFrames);
    }
}
