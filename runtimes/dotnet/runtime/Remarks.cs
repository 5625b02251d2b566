using System.Diagnostics;
using System.Reflection;

namespace Thaw.Runtime;

/// <summary>What a person who publishes should know, and no fixer changes. It only reports, so it never fails a publish.</summary>
internal static class Remarks
{
    private const BindingFlags Anything = BindingFlags.Instance | BindingFlags.Static | BindingFlags.Public | BindingFlags.NonPublic;

    private static readonly string[] Registering = ["RegisterBeforeSnapshot", "RegisterAfterRestore"];
    private static readonly string[] NeverAwaited = ["Microsoft.FSharp.Control.FSharpAsync", "System.Threading.Tasks.ValueTask"];

    /// <summary>Assembly, type and method; of an executable the assembly alone.</summary>
    private static readonly string[] Handler =
        (Environment.GetEnvironmentVariable("_HANDLER") ?? "").Split("::", StringSplitOptions.TrimEntries);

    public static List<string> Of(Loaded loaded, CoreHooks hooks)
    {
        List<string> notes = [];
        Guarded(notes, () => hooks.TooLate().Select(name =>
            $"the hook {name} was registered while hooks were running, which is too late: it will not run. Register it in the constructor"));
        Guarded(notes, () => Scripts(loaded));
        Guarded(notes, () => NotAwaited(loaded));
        Guarded(notes, () => DataProtection(loaded));
        Guarded(notes, () => OpenTelemetry(loaded));
        Guarded(notes, () => DebugBuild(loaded));
        return notes;
    }

    /// <summary>PowerShell's host reads the script, which lies beside the assembly, at each invocation, and not before.</summary>
    private static IEnumerable<string> Scripts(Loaded loaded)
    {
        if (!loaded.Has("Amazon.Lambda.PowerShellHost"))
            return [];
        return from assembly in loaded.All(Handler[0])
               where assembly.Location.Length > 0
               from path in Directory.EnumerateFiles(Path.GetDirectoryName(assembly.Location)!, "*.ps1")
               let text = File.ReadAllText(path)
               where Registering.Any(name => text.Contains(name, StringComparison.OrdinalIgnoreCase))
               select $"{Path.GetFileName(path)} registers a hook, but a script is read at an invocation, so it will not run. "
                   + "Register it in a module (.psm1), as a static method of a class";
    }

    /// <summary>Results that a class library's host takes for data, as AWS's does, and so does not wait for.</summary>
    private static IEnumerable<string> NotAwaited(Loaded loaded) =>
        from assembly in Handler.Length == 3 ? loaded.All(Handler[0]) : []
        from method in assembly.GetType(Handler[1])?.GetMethods(Anything) ?? []
        where method.Name == Handler[2]
        let result = Array.Find(NeverAwaited, name => method.ReturnType.FullName?.StartsWith(name, StringComparison.Ordinal) == true)
        where result is not null
        select $"the handler {method.Name} returns {result[(result.LastIndexOf('.') + 1)..]}, which nobody waits for: its result is lost. "
            + "Let it return Task (in F#: task { }, or Async.StartAsTask)";

    private static IEnumerable<string> DataProtection(Loaded loaded) =>
        loaded.Has("Microsoft.AspNetCore.DataProtection")
            ? ["the key of Data Protection, if it was made already, is in the snapshot and the same in all clones, so that each reads the others' cookies"]
            : [];

    /// <summary>Resources are built once, with their providers, and exporters keep them as bytes.</summary>
    private static IEnumerable<string> OpenTelemetry(Loaded loaded) =>
        loaded.Has("OpenTelemetry")
            ? ["the service.instance.id that OpenTelemetry gives a resource is the same in all clones, so that their metrics become one series. "
                + "To tell clones apart, build the providers in an after-restore hook, with AddService(..., serviceInstanceId: Guid.NewGuid().ToString())"]
            : [];

    /// <summary>The function's own assembly: that of its handler, or the program's.</summary>
    private static IEnumerable<string> DebugBuild(Loaded loaded) =>
        loaded.All(Handler[0]).Append(Assembly.GetEntryAssembly())
            .Where(each => each?.GetCustomAttribute<DebuggableAttribute>()?.IsJITOptimizerDisabled == true)
            .Select(each => $"{each!.GetName().Name} is a Debug build, which is slower in every clone: publish it with -c Release");

    private static void Guarded(List<string> notes, Func<IEnumerable<string>> look)
    {
        try
        {
            notes.AddRange(look());
        }
        catch (Exception error)
        {
            notes.Add($"a report could not be made: {error.Message}");
        }
    }
}
