# Imported once, at publish. A hook is a static method of a class: a script block has no runspace where hooks run.
# Static properties get their values below, and not in the class: a hook that is the first to need those waits for itself.
using namespace System.Threading.Tasks

class Shop {
    static [guid] $Till

    static [ValueTask] Prime() {
        # What this loads and compiles is in the snapshot. In a PowerShell of its own: the host's own waits for an event.
        $shell = [powershell]::Create()
        $shell.AddScript('ConvertFrom-Json ''{"items": ["tea"]}'' | ForEach-Object { Write-Host $_.items; Get-Random } | ConvertTo-Json').Invoke()
        $shell.Dispose()
        return [ValueTask]::CompletedTask
    }

    static [ValueTask] Renew() {
        [Shop]::Till = [guid]::NewGuid()
        return [ValueTask]::CompletedTask
    }
}

# Made at publish, and so the same in every clone until Renew has run.
[Shop]::Till = [guid]::NewGuid()

function Hook([string] $Method) {
    [Shop].GetMethod($Method).CreateDelegate([Func[ValueTask]])
}

[Amazon.Lambda.Core.SnapshotRestore]::RegisterBeforeSnapshot((Hook Prime))
[Amazon.Lambda.Core.SnapshotRestore]::RegisterAfterRestore((Hook Renew))

function Get-Till {
    [Shop]::Till
}
