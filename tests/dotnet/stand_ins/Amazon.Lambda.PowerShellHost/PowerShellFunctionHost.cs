using System.Management.Automation;
using System.Text;
using Amazon.Lambda.Core;

namespace Amazon.Lambda.PowerShellHost;

/// <summary>
/// Base class of the one that AWS's PowerShell module generates. Modules are imported in the constructor; the script is read
/// and run at each invocation.
/// </summary>
public abstract class PowerShellFunctionHost
{
    public const string POWERSHELL_FUNCTION_ENV = "AWS_POWERSHELL_FUNCTION_HANDLER";

    private const string Head = """
        Param([string]$LambdaInputString, [Amazon.Lambda.Core.ILambdaContext]$LambdaContext)
        $LambdaInput = ConvertFrom-Json -InputObject $LambdaInputString

        """;

    private readonly ExceptionManager exceptions = new();
    private readonly PowerShell shell = PowerShell.Create();
    private readonly PSDataCollection<PSObject> output = [];
    private readonly string file;
    private readonly StringBuilder early = new(); // lines of the init, which wait for the first invocation's logger
    private ILambdaLogger logger;
    private Exception failure;
    private string script;

    protected PowerShellFunctionHost()
    {
        Listen(shell.Streams.Verbose, "Verbose");
        Listen(shell.Streams.Debug, "Debug");
        Listen(shell.Streams.Information, "Information");
        Listen(shell.Streams.Warning, "Warning");
        Listen(shell.Streams.Error, "Error");
        if (Directory.Exists("./Modules"))
            foreach (var folder in Directory.GetDirectories("./Modules"))
                Import(folder);
        if (failure is not null)
        {
            Console.WriteLine(early);
            throw failure;
        }
        PowerShellFunctionName = Environment.GetEnvironmentVariable(POWERSHELL_FUNCTION_ENV);
        if (!string.IsNullOrEmpty(PowerShellFunctionName))
            early.AppendLine($"Configured to call function {PowerShellFunctionName} from the PowerShell script.");
    }

    protected PowerShellFunctionHost(string powerShellScriptFileName)
        : this() => file = powerShellScriptFileName;

    /// <summary>A function of the script that is called with input and context once the script has run.</summary>
    public virtual string PowerShellFunctionName { get; set; }

    public Stream ExecuteFunction(Stream inputStream, ILambdaContext context)
    {
        failure = null;
        if (logger is null)
        {
            logger = context.Logger;
            if (early.Length > 0)
                logger.Log(early.ToString());
        }
        using var reader = new StreamReader(inputStream);
        Run(reader.ReadToEnd(), context);
        if (failure is not null || shell.InvocationStateInfo.State == PSInvocationState.Failed)
            throw exceptions.DetermineExceptionToThrow(failure ?? shell.InvocationStateInfo.Reason);
        return new MemoryStream(Encoding.UTF8.GetBytes(Result()));
    }

    protected virtual string LoadScript(string input, ILambdaContext context)
    {
        if (script is not null)
            return script;
        if (string.IsNullOrEmpty(file) || !File.Exists(file))
            throw new LambdaPowerShellException($"Failed to find PowerShell script {file}.");
        return script = File.ReadAllText(file);
    }

    private void Run(string input, ILambdaContext context)
    {
        shell.Commands.Clear();
        shell.Streams.ClearStreams();
        shell.Runspace.ResetRunspaceState();
        output.Clear();
        var own = LoadScript(input, context);
        var onLambda = !string.IsNullOrEmpty(Environment.GetEnvironmentVariable("LAMBDA_TASK_ROOT"));
        var temporary = onLambda ? "/tmp" : Path.GetTempPath();
        if (onLambda && string.IsNullOrEmpty(Environment.GetEnvironmentVariable("HOME")))
            Environment.SetEnvironmentVariable("HOME", $"{temporary}/home");
        var whole = new StringBuilder(Head);
        foreach (var variable in new[] { "TEMP", "TMP", "TMPDIR" })
            whole.AppendLine($"$env:{variable}=\"{temporary}\"");
        whole.Append(own);
        if (!string.IsNullOrEmpty(PowerShellFunctionName))
            whole.AppendLine().AppendLine($"{PowerShellFunctionName} $LambdaInput $LambdaContext");
        shell.AddScript(whole.ToString()).AddParameter("LambdaInputString", input).AddParameter("LambdaContext", context);
        Wait(shell.BeginInvoke<PSObject, PSObject>(null, output));
    }

    /// <summary>The last object of the pipeline: a string as it is, another one as JSON.</summary>
    private string Result()
    {
        if (output.LastOrDefault() is not { } last)
            return "";
        if (last.BaseObject is string text)
            return text;
        shell.Commands.Clear();
        shell.Runspace.ResetRunspaceState();
        shell.AddScript("Param([PSObject]$Response) ConvertTo-Json $Response").AddParameter("Response", last);
        return shell.Invoke().FirstOrDefault()?.BaseObject as string ?? "";
    }

    /// <summary>Modules/Name/Version/Name.psd1, of several versions the highest.</summary>
    private void Import(string folder)
    {
        var name = Path.GetFileName(folder);
        var newest = Directory.GetDirectories(folder)
            .OrderByDescending(each => Version.TryParse(Path.GetFileName(each), out var version) ? version : new(0, 0, 0))
            .FirstOrDefault();
        if (newest is null)
            return;
        var manifest = Path.Combine(newest, $"{name}.psd1");
        if (!File.Exists(manifest) && Directory.GetFiles(newest, "*.psd1") is [var only])
            manifest = only;
        if (!File.Exists(manifest))
        {
            early.AppendLine($"Unable to determine psd1 file for {name} ({Path.GetFileName(newest)})");
            return;
        }
        early.AppendLine($"Importing module {manifest}");
        Wait(shell.AddScript($"Import-Module \"{manifest}\"").BeginInvoke());
    }

    private static void Wait(IAsyncResult running)
    {
        while (!running.IsCompleted)
            running.AsyncWaitHandle.WaitOne(500);
    }

    private void Listen<T>(PSDataCollection<T> stream, string name) =>
        stream.DataAdding += (_, added) =>
        {
            var text = added.ItemAdded?.ToString();
            if (!string.IsNullOrEmpty(text))
            {
                if (logger is null)
                    early.AppendLine($"[{name}] - {text}");
                else
                    logger.LogLine($"[{name}] - {text}");
            }
            if (added.ItemAdded is ErrorRecord { Exception: { } error })
                failure = error;
        };
}
