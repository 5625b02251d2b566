using System.Runtime.InteropServices;

namespace Thaw.Runtime;

/// <summary>The few calls of the C library that thawd's part makes. None of them loads another library.</summary>
internal static unsafe partial class Native
{
    public const int SetDescriptorFlags = 2; // F_SETFD
    public const int CloseOnExec = 1; // FD_CLOEXEC
    public const short Readable = 1; // POLLIN
    public const int Interrupted = 4; // EINTR
    private const string C = "libc";

    [DllImport(C, EntryPoint = "fcntl", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    public static extern int ControlDescriptor(int descriptor, int command, int argument);

    [DllImport(C, EntryPoint = "poll", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    public static extern int Poll(PollDescriptor* descriptors, nuint count, int timeoutMs);

    [DllImport(C, EntryPoint = "read", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    public static extern nint Read(int descriptor, byte* data, nuint size);

    [DllImport(C, EntryPoint = "write", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    public static extern nint Write(int descriptor, byte* data, nuint size);

    /// <summary>getrandom(2): bytes of the kernel, which the agent has reseeded.</summary>
    [DllImport(C, EntryPoint = "getrandom", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    public static extern nint RandomBytes(byte* data, nuint size, uint flags);

    [DllImport(C, EntryPoint = "setenv", CharSet = CharSet.Ansi, BestFitMapping = false)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    public static extern int SetVariable(
        [MarshalAs(UnmanagedType.LPUTF8Str)] string name, [MarshalAs(UnmanagedType.LPUTF8Str)] string value, int overwrite);

    [DllImport(C, EntryPoint = "unsetenv", CharSet = CharSet.Ansi, BestFitMapping = false)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.SafeDirectories)]
    public static extern int UnsetVariable([MarshalAs(UnmanagedType.LPUTF8Str)] string name);

    [StructLayout(LayoutKind.Sequential)]
    public struct PollDescriptor
    {
        public int Descriptor;
        public short Events;
        public short Happened;
    }
}
