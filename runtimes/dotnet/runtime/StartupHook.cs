using System.Globalization;
using Thaw.Runtime;

/// <summary>
/// What <c>DOTNET_STARTUP_HOOKS</c> calls before <c>Main</c>; .NET fixes its name, and that it has no namespace.
/// </summary>
/// <remarks>
/// It does nothing in a process that the agent did not start, and next to nothing in one that will not be snapshotted.
/// In one that will be, a failure here must not pass unseen: clones would share their random numbers. So it ends the
/// process.
/// </remarks>
internal static class StartupHook
{
    private const string Hooks = "DOTNET_STARTUP_HOOKS";
    private const string Descriptor = "THAW_CONTROL_FD";
    private const int SoftwareError = 70; // sysexits.h

    public static void Initialize()
    {
        if (Environment.GetEnvironmentVariable(Descriptor) is not { } descriptor)
            return;
        try
        {
            // Child processes are other programs: they get neither the descriptor nor this hook, only the user's hooks.
            SetForChildren(Descriptor, null);
            SetForChildren(Hooks, WithoutOurs(Environment.GetEnvironmentVariable(Hooks)));
            var control = new Control(int.Parse(descriptor, CultureInfo.InvariantCulture));
            if (Environment.GetEnvironmentVariable("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start")
                Session.Open(control);
        }
        catch (Exception error)
        {
            // Thrown on, it would end the process too, but with a message about start-up hooks.
            Console.Error.WriteLine($"thaw: this process could not be made unique in its clones: {error}");
            Environment.Exit(SoftwareError);
        }
    }

    /// <summary>The user's own start-up hooks; null for none.</summary>
    internal static string? WithoutOurs(string? hooks)
    {
        var ours = typeof(StartupHook).Assembly.Location;
        var others = (hooks ?? "").Split(':').Where(path => path.Length > 0 && path != ours);
        return string.Join(':', others) is { Length: > 0 } rest ? rest : null;
    }

    private static void SetForChildren(string name, string? value)
    {
        Environment.SetEnvironmentVariable(name, value);
        // .NET keeps a copy of its own for the processes that it starts; this is for those that native code starts.
        _ = value is null ? Native.UnsetVariable(name) : Native.SetVariable(name, value, 1);
    }
}
