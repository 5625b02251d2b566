"""AWS's own Python client, unmodified, as a process under the agent: on demand and with SnapStart."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
from agent_bed import Bed

from thaw_agent import wire

pytest.importorskip("awslambdaric", reason="pip install awslambdaric snapshot-restore-py")
pytest.importorskip("snapshot_restore_py")

ROOT = Path(__file__).parents[2]
HANDLER = """
import os, sys
print("init runs")

def handler(event, context):
    print("event", event["n"])
    if event.get("raise"):
        raise ValueError("no tea")
    if event.get("exit"):
        sys.stdout.flush()
        os._exit(event["exit"])
    return {"n": event["n"], "arn": context.invoked_function_arn, "cwd": os.getcwd(),
            "control": os.environ.get("THAW_CONTROL_FD"), "random": random.random()}

import random
"""
HOOKS = """
from snapshot_restore_py import register_after_restore, register_before_snapshot
ran = []

@register_before_snapshot
def first():
    print("before 1")

@register_before_snapshot
def second():
    print("before 2")

@register_after_restore
def third():
    print("after 1")
    {after}

@register_after_restore
def fourth():
    print("after 2")
"""


def client(init):
    """The client by the interpreter of these tests, entered by thaw_runtime as a guest's interpreter is."""
    program = (
        "import thaw_runtime.start, runpy, sys; sys.argv = ['awslambdaric', sys.argv[1]]; "
        "runpy.run_module('awslambdaric', run_name='__main__', alter_sys=True)"
    )
    return [sys.executable, "-c", program, init.handler]


@pytest.fixture
def start(tmp_path):
    """Start a function of this code; the bed it runs in."""
    beds = []

    def started(code, kind, **members):
        bed = Bed(tmp_path, client)
        beds.append(bed)
        (tmp_path / "var/task/app.py").write_text(code)
        path = f"{tmp_path}/var/task:{ROOT}/runtimes/python"
        bed.start(kind, environment={"PYTHONPATH": path}, **members)
        return bed

    yield started
    for bed in beds:
        bed.close()


def reply(bed, event, stream=1):
    """Invoke and wait for the answer: its kind and value."""
    bed.invoke(json.dumps(event).encode(), stream=stream)
    kinds = (wire.Kind.RESPONSE, wire.Kind.ERROR)
    bed.until(lambda: any(frame.kind in kinds for frame in bed.frames))
    head = next(frame for frame in bed.frames if frame.kind in kinds)
    return head.kind, json.loads(bed.body())


class TestOnDemand:
    def test_init_then_invocations_with_their_logs(self, start, tmp_path):
        bed = start(HANDLER, "on-demand")
        bed.take(wire.Kind.INIT_DONE)
        kind, answer = reply(bed, {"n": 1}, stream=4)
        bed.take(wire.Kind.DONE)

        assert kind is wire.Kind.RESPONSE
        assert answer["n"] == 1
        assert answer["arn"].endswith(":orders:7")
        assert answer["cwd"] == f"{tmp_path}/var/task"
        assert answer["control"] is None
        assert [(stream, text) for stream, _, text in bed.logs()] == [
            (0, "init runs"),
            (4, "event 1"),
        ]

    def test_an_exception_is_the_functions_error_and_its_log_is_framed(self, start):
        bed = start(HANDLER, "on-demand")
        bed.take(wire.Kind.INIT_DONE)
        kind, answer = reply(bed, {"n": 1, "raise": True})
        bed.take(wire.Kind.DONE)
        framed = [text for _, source, text in bed.logs() if source is wire.LogSource.TELEMETRY_TEXT]

        assert kind is wire.Kind.ERROR
        assert (answer["errorType"], answer["errorMessage"]) == ("ValueError", "no tea")
        assert framed[0].startswith("[ERROR] ValueError: no tea\nTraceback")

    def test_an_exit_in_the_handler_comes_after_what_it_printed(self, start):
        bed = start(HANDLER, "on-demand")
        bed.take(wire.Kind.INIT_DONE)
        bed.invoke(b'{"n": 1, "exit": 3}')
        exited = wire.Exited.decode(bed.take(wire.Kind.EXITED).payload)

        assert exited.reason == "exit status 3"
        assert bed.logs()[-1][2] == "event 1"

    def test_code_that_cannot_be_imported_fails_the_init_with_awss_error(self, start):
        bed = start("import nothing_of_the_kind", "on-demand")
        failed = wire.InitFailed.decode(bed.take(wire.Kind.INIT_FAILED).payload)
        exited = wire.Exited.decode(bed.take(wire.Kind.EXITED).payload)

        assert failed.error_type == "Runtime.ImportModuleError"
        assert failed.message == (
            "Unable to import module 'app': No module named 'nothing_of_the_kind'"
        )
        assert json.loads(failed.body)["errorType"] == "Runtime.ImportModuleError"
        assert exited.code == 1


class TestSnapStart:
    def test_hooks_run_around_the_snapshot_in_awss_order(self, start):
        bed = start(HOOKS.format(after="") + HANDLER, "snap-start")
        ready = wire.SnapshotReady.decode(bed.take(wire.Kind.SNAPSHOT_READY).payload)
        before = [text for _, _, text in bed.logs()]
        bed.restore()
        restored = wire.Restored.decode(bed.take(wire.Kind.RESTORED).payload)
        after = [text for _, _, text in bed.logs()]
        _, answer = reply(bed, {"n": 2})

        assert before == ["init runs", "before 2", "before 1"]
        assert after == ["after 1", "after 2"]
        assert answer["n"] == 2
        assert {hook["name"] for hook in ready.report["hooks"]} == {"app.first", "app.second"}
        assert [hook["name"] for hook in restored.report["hooks"]] == ["app.third", "app.fourth"]
        assert restored.steps["hooks"] == sum(hook["us"] for hook in restored.report["hooks"])
        assert {"clock", "entropy", "identity", "thaw", "thaw_runtime"} <= restored.steps.keys()

    def test_a_before_snapshot_hook_that_fails_fails_the_init(self, start):
        code = HOOKS.format(after="").replace('print("before 1")', 'raise OSError("cache is cold")')
        bed = start(code + HANDLER, "snap-start")
        failed = wire.InitFailed.decode(bed.take(wire.Kind.INIT_FAILED).payload)
        exited = wire.Exited.decode(bed.take(wire.Kind.EXITED).payload)

        assert failed.error_type == "Runtime.BeforeSnapshotError"
        assert failed.message == "cache is cold"
        assert exited.code == 64

    def test_an_after_restore_hook_that_fails_fails_the_restore(self, start):
        bed = start(HOOKS.format(after='raise OSError("no route")') + HANDLER, "snap-start")
        bed.take(wire.Kind.SNAPSHOT_READY)
        bed.restore()
        failed = wire.RestoreFailed.decode(bed.take(wire.Kind.RESTORE_FAILED).payload)
        exited = wire.Exited.decode(bed.take(wire.Kind.EXITED).payload)

        assert (failed.error_type, failed.message) == ("Runtime.AfterRestoreError", "no route")
        assert exited.code == 65
        assert wire.Kind.RESTORED not in bed.kinds()

    def test_no_keys_are_in_the_environment_but_a_way_to_them(self, start):
        code = (
            "import os\ndef handler(event, context):\n"
            "    return {name: os.environ.get(name) for name in event['names']}"
        )
        names = ["AWS_ACCESS_KEY_ID", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "_X_AMZN_TRACE_ID"]
        bed = start(code, "snap-start")
        bed.take(wire.Kind.SNAPSHOT_READY)
        bed.restore()
        bed.take(wire.Kind.RESTORED)
        _, answer = reply(bed, {"names": names})

        port = bed.agent.server.port
        assert answer == {
            "AWS_ACCESS_KEY_ID": None,
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://127.0.0.1:{port}/2021-04-23/credentials",
            "_X_AMZN_TRACE_ID": None,
        }
