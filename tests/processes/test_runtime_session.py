"""The way of one runtime process: entry, hooks outermost, control messages, refusal when something is wrong."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Self

import pytest

from thaw_agent import control as agent_side
from thaw_runtime import protocol
from thaw_runtime.control import Control, ControlError

ROOT = Path(__file__).parents[2]
RUNTIME = ROOT / "runtimes" / "python"
PTH = (RUNTIME / "thaw_runtime.pth").read_text()

# AWS's registry, reduced to what snapshot_restore_py 1.0.0 does.
REGISTRY = """
_before, _after = [], []
def register_before_snapshot(func, *args, **kwargs):
    _before.append((func, args, kwargs))
    return func
def register_after_restore(func, *args, **kwargs):
    _after.append((func, args, kwargs))
    return func
def get_before_snapshot(): return _before
def get_after_restore(): return _after
"""

# The runtime interface client, reduced to the order in which awslambdaric 4 does things.
CLIENT = """
import os, sys
exec(sys.argv[1])                      # the .pth line
exec(sys.argv[2])                      # the function's module
from snapshot_restore_py import get_after_restore, get_before_snapshot
before = get_before_snapshot()
while before:
    func, args, kwargs = before.pop()
    func(*args, **kwargs)
print("restore/next", flush=True)
sys.stdin.readline()
for func, args, kwargs in get_after_restore():
    func(*args, **kwargs)
print("invocation/next", flush=True)
"""

FUNCTION = """
import random
from snapshot_restore_py import register_after_restore, register_before_snapshot
order = []
@register_before_snapshot
def close(): order.append("close"); print("close", flush=True)
@register_before_snapshot
def flush(): print("flush", flush=True)
@register_after_restore
def connect(): print("connect", flush=True)
register_after_restore(print, "warm", flush=True)
assert close.__name__ == "close"
assert "THAW_CONTROL_FD" not in os.environ
"""


class Runtime:
    """A runtime process with this test as its agent."""

    def __init__(
        self,
        tmp_path: Path,
        function: str,
        *,
        start: dict | None,
        initialization: str = "snap-start",
        registry: str = REGISTRY,
        **variables: str,
    ) -> None:
        (tmp_path / "snapshot_restore_py.py").write_text(registry)
        self.agent, child = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.agent.settimeout(10)
        if start is not None:
            self.agent.send(
                agent_side.start(start.get("skip_fixers", ()), trace=start.get("trace", False))
            )
        with child:
            self.process = subprocess.Popen(
                [sys.executable, "-c", CLIENT, PTH, function],
                pass_fds=[child.fileno()],
                env={
                    "PATH": os.environ["PATH"],
                    "PYTHONPATH": f"{tmp_path}:{RUNTIME}",
                    "AWS_LAMBDA_INITIALIZATION_TYPE": initialization,
                    "THAW_CONTROL_FD": str(child.fileno()),
                    **variables,
                },
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )

    def receive(self) -> tuple[int, dict]:
        """The next report: its kind, and what it says."""
        kind, flags, body = agent_side.split(self.agent.recv(1 << 18))
        return kind, agent_side.report(flags, body)

    def answer_restore_next(self) -> tuple[str, str]:
        return self.process.communicate("\n", timeout=20)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.communicate()
        self.agent.close()


THAW = agent_side.thaw(1, 0, b"\x5a" * 64)


@pytest.mark.parametrize(
    ("start", "said"),
    [
        ({"trace": True}, True),
        ({"trace": True, "skip_fixers": ["*"]}, False),
        ({"trace": False}, False),
    ],
)
def test_what_every_clone_shares_is_told_to_who_asks_and_not_at_each_publish(tmp_path, start, said):
    with Runtime(tmp_path, "", start=start) as runtime:
        kind = None
        while kind != agent_side.FROZEN:
            data = runtime.agent.recv(1 << 18)
            kind, flags, body = agent_side.split(data)
        notes = agent_side.report(flags, body)["notes"]

    assert any(note.startswith("the secret of hash()") for note in notes) == said
    assert any(note.startswith("the addresses of code") for note in notes) == said


def test_hooks_run_inside_ours_and_are_timed(tmp_path):
    """freeze() is last before the snapshot, thaw() first after it, and the reports carry every hook's time."""
    with Runtime(tmp_path, FUNCTION, start={"skip_fixers": [], "trace": False}) as runtime:
        first, frozen = runtime.receive()
        runtime.agent.send(THAW)
        out, err = runtime.answer_restore_next()
        second, thawed = runtime.receive()

    assert err == ""
    assert out.split() == ["flush", "close", "restore/next", "connect", "warm", "invocation/next"]
    assert (first, second) == (protocol.FROZEN, protocol.THAWED)
    assert frozen["runtime"] == "thaw_runtime"
    assert [h["name"] for h in frozen["hooks"]] == ["__main__.flush", "__main__.close"]
    assert [h["name"] for h in thawed["hooks"]] == ["__main__.connect", "builtins.print"]
    assert all(h["ok"] and h["us"] >= 0 for h in thawed["hooks"])
    results = {f["name"]: f["result"] for f in thawed["fixers"]}
    assert results["random"] == "ok"


def test_without_the_hosts_entropy_nothing_goes_on(tmp_path):
    """A thaw() that finds no message, because the agent is gone, raises before any user hook runs."""
    with Runtime(tmp_path, FUNCTION, start={}) as runtime:
        runtime.receive()
        runtime.agent.close()
        out, err = runtime.answer_restore_next()

    assert "connect" not in out
    assert "ControlError" in err
    assert runtime.process.returncode == 1


def test_short_entropy_is_refused(tmp_path):
    """Fewer than 64 bytes from the host do not count as entropy; the hook raises."""
    short = bytes([protocol.VERSION, protocol.THAW, 0, 0, 0, 0, 0, 17]) + bytes(17)
    with Runtime(tmp_path, FUNCTION, start={}) as runtime:
        runtime.receive()
        runtime.agent.send(short)
        out, err = runtime.answer_restore_next()

    assert "connect" not in out
    assert "80 are needed" in err


def test_opt_out_is_by_name(tmp_path):
    """A skipped fixer is reported as skipped and leaves its library alone; the others run."""
    with Runtime(tmp_path, FUNCTION, start={"skip_fixers": ["random"]}) as runtime:
        _, frozen = runtime.receive()

    results = {f["name"]: f["result"] for f in frozen["fixers"]}
    assert results["random"] == "skipped"
    assert set(results.values()) != {"skipped"}


def test_a_function_opts_out_by_its_own_variable(tmp_path):
    """THAW_SKIP_FIXERS in the function's environment does what the agent's message does."""
    with Runtime(tmp_path, FUNCTION, start={}, THAW_SKIP_FIXERS="random, libc") as runtime:
        _, frozen = runtime.receive()

    skipped = {f["name"] for f in frozen["fixers"] if f["result"] == "skipped"}
    assert skipped == {"random", "libc"}


def test_a_process_without_the_variable_imports_nothing(tmp_path):
    """The .pth line costs other Python processes one look into the environment."""
    code = f"{PTH}\nimport sys\nassert not [m for m in sys.modules if m.startswith('thaw')]"

    subprocess.run([sys.executable, "-I", "-c", code], check=True, env={})


def test_on_demand_needs_nothing(tmp_path):
    """Without a snapshot nothing is tapped and no hook is registered, but the variable is gone all the same."""
    function = """
import random, snapshot_restore_py
assert "THAW_CONTROL_FD" not in os.environ
assert not snapshot_restore_py._before
assert "thaw_runtime.registry" not in sys.modules
"""
    with Runtime(tmp_path, function, start={}, initialization="on-demand") as runtime:
        out, err = runtime.answer_restore_next()

    assert err == ""
    assert "invocation/next" in out


def test_children_get_neither_the_variable_nor_the_descriptor(tmp_path):
    """A program that the function starts cannot read the agent's messages in its stead."""
    function = """
import subprocess
fd = int(sys.modules["thaw_runtime.start"].taken)
subprocess.run(["python3", "-c", f'''
import os
assert "THAW_CONTROL_FD" not in os.environ
try:
    os.fstat({fd})
except OSError:
    pass
else:
    raise SystemExit("inherited")
'''], check=True, close_fds=False)
"""
    with Runtime(tmp_path, function, start={}) as runtime:
        kind, _ = runtime.receive()

    assert kind == protocol.FROZEN


def test_a_runtime_that_cannot_be_protected_ends(tmp_path):
    """Without AWS's hook registry there is no way to thaw: the process ends, and with it the publish."""
    with Runtime(tmp_path, FUNCTION, start={}, registry="raise ImportError('gone')") as runtime:
        out, err = runtime.answer_restore_next()

    assert runtime.process.returncode == 70
    assert "clones would not be unique" in err
    assert out == ""


def test_a_failed_essential_fixer_fails_the_publish(tmp_path):
    """freeze() raises, which the runtime client turns into Runtime.BeforeSnapshotError."""
    function = FUNCTION + "\nrandom.Random.__mro__[1]\ndel random._inst\n"
    with Runtime(tmp_path, function, start={}) as runtime:
        _, frozen = runtime.receive()
        _, err = runtime.answer_restore_next()

    failed = [f["name"] for f in frozen["fixers"] if f["result"] == "failed"]
    assert failed == ["random"]
    assert "would not be unique" in err


def test_hooks_that_are_odd_objects_are_called_and_not_asked(tmp_path):
    """A callable whose attributes and comparisons raise is a hook like any other, at both ends."""
    function = (
        FUNCTION
        + """
class Odd:
    def __init__(self, text): object.__setattr__(self, "text", text)
    def __getattr__(self, name): raise RuntimeError(name)
    def __eq__(self, other): raise RuntimeError("compared")
    __hash__ = None
    def __call__(self): print(self.text, flush=True)
register_before_snapshot(Odd("odd-close"))
register_after_restore(Odd("odd-connect"))
"""
    )
    with Runtime(tmp_path, function, start={}) as runtime:
        _, frozen = runtime.receive()
        runtime.agent.send(THAW)
        out, err = runtime.answer_restore_next()
        _, thawed = runtime.receive()

    assert err == ""
    assert "odd-close" in out
    assert "odd-connect" in out
    assert frozen["hooks"][0]["name"] == "__main__.Odd"
    assert thawed["hooks"][-1]["name"] == "__main__.Odd"


def test_a_failed_hook_is_reported_and_stays_the_users(tmp_path):
    """The user's exception passes unchanged; the frozen report never comes, so the agent does not wait for it."""
    function = FUNCTION + "\n@register_before_snapshot\ndef bad(): raise KeyError('mine')\n"
    with Runtime(tmp_path, function, start={}) as runtime:
        _, err = runtime.answer_restore_next()

    assert "KeyError: 'mine'" in err
    assert "restore/next" not in err


@pytest.mark.parametrize(
    "message", [b"", b"[]", agent_side.start([], trace=False), THAW[:-1], THAW + b"x"]
)
def test_odd_messages_are_errors(message):
    """Whatever else than the expected datagram arrives is an error, never taken for the expected one."""
    agent, runtime = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with agent, runtime:
        control = Control(runtime.fileno())
        agent.send(message) if message else agent.close()

        with pytest.raises(ControlError):
            control.thaw(timeout_ms=100)


def test_a_report_always_fits_one_datagram():
    """Notes are cut before the datagram would be refused, and it says that they were."""
    report = protocol.report(protocol.FROZEN, 1, version="3", notes=["x" * 1000] * 1000)
    agent, runtime = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with agent, runtime:
        Control(runtime.fileno()).send(report)
        _, flags, body = agent_side.split(agent.recv(1 << 20))

    notes = agent_side.report(flags, body)["notes"]
    assert 100 < len(notes) < 1000
    assert notes[-1] == "further notes did not fit"


def test_a_report_of_very_many_hooks_fits_too():
    """A function that registers thousands is reported with some of them, and not refused."""
    hooks = [{"name": f"app.hook_{n}", "us": 1, "ok": True} for n in range(10_000)]

    report = protocol.report(protocol.FROZEN, 1, version="3", hooks=hooks)

    _, flags, body = agent_side.split(report)
    assert len(report) <= protocol.LARGEST
    assert 100 < len(agent_side.report(flags, body)["hooks"]) < 10_000
