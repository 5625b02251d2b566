"""Functions in PowerShell under our host: the class that AWS's module generates, with scripts and modules of each test's own."""

from __future__ import annotations

import json

import agent_bed
import dotnet_bed as bed
import pytest
from host_bed import frozen, reply, restored, texts

from thaw_agent import wire

pytestmark = [bed.needs_sdk, bed.needs_powershell]

HANDLER = "Prices::Prices.Bootstrap::ExecuteFunction"
HOOKS = """
class Hooks {
    static [string] $Log
    static [System.Threading.Tasks.ValueTask] Before() { return [Hooks]::Add('before') }
    static [System.Threading.Tasks.ValueTask] After() { return [Hooks]::Add('after') }
    static [System.Threading.Tasks.ValueTask] Add([string] $Text) {
        if ($env:FAIL -eq $Text) { throw "$Text failed" }
        [Hooks]::Log += ", $Text"
        return [System.Threading.Tasks.ValueTask]::CompletedTask
    }
}
[Hooks]::Log = 'imported'
$Type = [Func[System.Threading.Tasks.ValueTask]]
[Amazon.Lambda.Core.SnapshotRestore]::RegisterBeforeSnapshot([Hooks].GetMethod('Before').CreateDelegate($Type))
[Amazon.Lambda.Core.SnapshotRestore]::RegisterAfterRestore([Hooks].GetMethod('After').CreateDelegate($Type))
function Get-Log { [Hooks]::Log }
"""


def module(name, text, version="1.0.0"):
    """The files of a module."""
    folder = f"Modules/{name}/{version}"
    return {
        f"{folder}/{name}.psd1": f"@{{ RootModule = '{name}.psm1'; ModuleVersion = '{version}'; FunctionsToExport = '*' }}",
        f"{folder}/{name}.psm1": text,
    }


@pytest.fixture(scope="module")
def folder():
    return bed.published_powershell()


@pytest.fixture
def start(serve, folder, monkeypatch):
    """Start the host with this script and modules, or the example with its own; the bed it runs in."""
    monkeypatch.setattr(agent_bed, "PATIENCE_S", 30.0)  # PowerShell takes seconds to start

    def started(script=None, kind="on-demand", *, modules=None, **more):
        if script is not None:
            more["files"] = {"Prices.ps1": script, **(modules or {})}
            more["without"] = ["Modules"]
        return serve(folder, HANDLER, kind, **more)

    return started


def test_the_example_is_primed_and_renewed_by_hooks_of_its_module(start):
    machine = start(kind="snap-start", hooked=True)
    ready = frozen(machine)
    machine.restore()
    machine.take(wire.Kind.RESTORED)
    kind, body = reply(machine, {"items": ["tea", "coffee"]})
    machine.take(wire.Kind.DONE)
    answer = json.loads(body)

    assert (kind, answer["total"]) == (wire.Kind.RESPONSE, 5.5)
    assert not [note for note in ready.report["notes"] if "hook" in note]
    lines = texts(machine)
    assert any("Importing module ./Modules/Shop/1.0.0/Shop.psd1" in line for line in lines), lines
    assert lines[-1] == "request-1\tinfo\t[Information] - pricing tea, coffee"


def test_the_last_object_is_the_answer_a_string_as_it_is(start):
    machine = start(
        "'first'; if ($LambdaInput.Json) { @{ a = $LambdaInput.Json } } else { 'as it is' }"
    )
    machine.take(wire.Kind.INIT_DONE)
    _, text = reply(machine, {})
    machine.take(wire.Kind.DONE)
    _, json_text = reply(machine, {"Json": [1, 2]}, stream=2)

    assert text == b"as it is"
    assert json.loads(json_text) == {"a": [1, 2]}


def test_the_context_is_lambdas_and_variables_of_one_invocation_are_not_the_nexts(start):
    machine = start("\"$($LambdaContext.AwsRequestId) $kept\"; $kept = 'kept'")
    machine.take(wire.Kind.INIT_DONE)
    answers = []
    for stream in (1, 2):
        answers.append(reply(machine, {}, stream=stream)[1])
        machine.take(wire.Kind.DONE)

    assert answers == [b"request-1 ", b"request-2 "]


def test_each_stream_is_a_line_with_its_name(start):
    machine = start(
        "$VerbosePreference = $DebugPreference = 'Continue'\n"
        "Write-Host host; Write-Verbose verbose; Write-Debug debug; Write-Warning warning; 'done'"
    )
    machine.take(wire.Kind.INIT_DONE)
    reply(machine, {})
    machine.take(wire.Kind.DONE)

    assert texts(machine)[-4:] == [
        "request-1\tinfo\t[Information] - host",
        "request-1\tinfo\t[Verbose] - verbose",
        "request-1\tinfo\t[Debug] - debug",
        "request-1\tinfo\t[Warning] - warning",
    ]


@pytest.mark.parametrize(
    ("script", "error", "message"),
    [
        ("throw @{ Exception = 'NoTea'; Message = 'none left' }", "NoTea", "none left"),
        ("throw 'NoCoffee'", "NoCoffee", "NoCoffee"),
        ("throw 'of two words'", "RuntimeException", "of two words"),
        ("[int]::Parse('x')", "FormatException", None),
        ("Get-Item /nowhere", "ParentContainsErrorRecordException", None),
        ("Write-Error 'not the end'; 'answer'", "WriteErrorException", "not the end"),
    ],
)
def test_what_a_script_fails_with_is_the_error_and_the_next_event_is_served(
    start, script, error, message
):
    machine = start(f"if ($LambdaInput.Fail) {{ {script} }} else {{ 'fine' }}")
    machine.take(wire.Kind.INIT_DONE)
    kind, body = reply(machine, {"Fail": True})
    machine.take(wire.Kind.DONE)
    said = json.loads(body)

    assert kind is wire.Kind.ERROR
    assert said["errorType"] == error
    assert message in {said["errorMessage"], None}
    assert reply(machine, {}, stream=2) == (wire.Kind.RESPONSE, b"fine")


def test_the_handler_variable_names_a_function_of_the_script(start):
    machine = start(
        'function Greet($Event, $Context) { "Hello, $($Event.Name), from $($Context.FunctionName)" }',
        variables={"AWS_POWERSHELL_FUNCTION_HANDLER": "Greet"},
    )
    machine.take(wire.Kind.INIT_DONE)

    assert reply(machine, {"Name": "Ada"})[1] == b"Hello, Ada, from orders"


def test_hooks_of_a_module_run_on_both_sides_of_the_snapshot(start):
    machine = start("Get-Log", "snap-start", modules=module("Hooks", HOOKS))
    restored(machine)

    assert reply(machine, {})[1] == b"imported, before, after"


@pytest.mark.parametrize(
    ("phase", "failed", "error"),
    [
        ("before", wire.InitFailed, "Runtime.BeforeSnapshotError"),
        ("after", wire.RestoreFailed, "Runtime.AfterRestoreError"),
    ],
)
def test_a_hook_of_a_module_that_throws_fails_its_phase(start, phase, failed, error):
    machine = start(
        "Get-Log", "snap-start", modules=module("Hooks", HOOKS), variables={"FAIL": phase}
    )
    if phase == "after":
        machine.take(wire.Kind.SNAPSHOT_READY)
        machine.restore()
    kind = wire.Kind.INIT_FAILED if phase == "before" else wire.Kind.RESTORE_FAILED
    said = failed.decode(machine.take(kind).payload)

    assert said.error_type == error
    assert f"{phase} failed" in said.message


def test_of_several_versions_of_a_module_the_highest_is_imported(start):
    machine = start(
        "Get-Version",
        modules=module("Own", "function Get-Version { 'nine' }", "1.9.0")
        | module("Own", "function Get-Version { 'ten' }", "1.10.0"),
    )
    machine.take(wire.Kind.INIT_DONE)

    assert reply(machine, {})[1] == b"ten"


def test_a_module_that_fails_fails_the_init(start):
    machine = start("'never'", "snap-start", modules=module("Broken", "throw 'no database'"))
    failed = wire.InitFailed.decode(machine.take(wire.Kind.INIT_FAILED).payload)

    assert "no database" in json.dumps(json.loads(failed.body))


def test_a_hook_in_the_script_is_named_in_the_publish_note(start):
    """The script is read at an invocation: the hook would be registered when nobody takes hooks any more."""
    machine = start(
        "[Amazon.Lambda.Core.SnapshotRestore]::RegisterAfterRestore({ 'never' }); 'answer'",
        "snap-start",
        hooked=True,
    )
    notes = frozen(machine).report["notes"]

    assert [note for note in notes if note.startswith("Prices.ps1 registers a hook")]
