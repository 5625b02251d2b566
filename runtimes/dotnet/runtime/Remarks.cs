using System.Diagnostics;
using System.Reflection;

namespace Thaw.Runtime;

/// <summary>What a person who publishes should know, and no fixer changes. It only reports, so it never fails a publish.</summary>
internal static class Remarks
{
    private static readonly string[] Registering = ["RegisterBeforeSnapshot", "RegisterAfterRestore"];

    public static List<string> Of(Loaded loaded, CoreHooks hooks)
    {
        List<string> notes = [];
        Guarded(notes, () => hooks.TooLate().Select(name =>
            $"the hook {name} was registered while hooks were running, which is too late: it will not run. Register it in the constructor"));
        Guarded(notes, () => Scripts(loaded));
        Guarded(notes, () => DataProtection(loaded));
        Guarded(notes, () => DebugBuild(loaded));
        return notes;
    }

    /// <summary>PowerShell's host reads the script at each invocation, and not before.</summary>
    private static IEnumerable<string> Scripts(Loaded loaded)
    {
        if (!loaded.Has("Amazon.Lambda.PowerShellHost") || Environment.GetEnvironmentVariable("LAMBDA_TASK_ROOT") is not { } root)
            return [];
        return from path in Directory.EnumerateFiles(root, "*.ps1")
               let text = File.ReadAllText(path)
               where Registering.Any(name => text.Contains(name, StringComparison.OrdinalIgnoreCase))
               select $"{Path.GetFileName(path)} registers a hook, but a script is read at an invocation, so it will not run. "
                   + "Register it in a module (.psm1), as a static method of a class";
    }

    private static IEnumerable<string> DataProtection(Loaded loaded) =>
        loaded.Has("Microsoft.AspNetCore.DataProtection")
            ? ["the key of Data Protection, if it was made already, is in the snapshot and the same in all clones, so that each reads the others' cookies"]
            : [];

    /// <summary>The function's own assembly: that of its handler, or the program's.</summary>
    private static IEnumerable<string> DebugBuild(Loaded loaded)
    {
        var handler = Environment.GetEnvironmentVariable("_HANDLER")?.Split("::")[0].Trim() ?? "";
        return loaded.All(handler).Append(Assembly.GetEntryAssembly())
            .Where(each => each?.GetCustomAttribute<DebuggableAttribute>()?.IsJITOptimizerDisabled == true)
            .Select(each => $"{each!.GetName().Name} is a Debug build, which is slower in every clone: publish it with -c Release");
    }

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
