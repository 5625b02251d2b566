"""A runtime that names its generators: what the agent does with them around a snapshot, and without hooks."""

from __future__ import annotations

import os
import socket
import struct

import pytest
from agent_bed import Bed

from thaw_agent import control, wire
from thaw_runtime import protocol

RUNTIME = "/2018-06-01/runtime"
TABLE = 0x7F3D_3703_2330
BASE = 0x7F3C_0000_0000
CANARY = (
    0x0123_4567_89AB_CDEF,
    0xFEDC_BA98_7654_3210,
    0x8000_0000_0000_0001,
    0x7FFF_FFFF_0000_0001,
)
FROZEN = protocol.report(protocol.FROZEN, 900, version="10.0")


def record(kind, flags, body):
    return struct.pack(">BBHI", 1, kind, flags, len(body)) + body


def opened(*, hooks):
    flags = 0 if hooks else control.NO_HOOKS
    return record(control.OPENED, flags, protocol.report(0, 0, version="10.0", notes=["n"])[8:])


BOOK = record(
    control.BOOK,
    0,
    struct.pack(">Q4Q", TABLE, *CANARY) + struct.pack(">BBHQ", 1, 0, 6, TABLE) + b"random",
)


class Memory:
    """The function's, with its one generator."""

    def __init__(self, calls):
        self.data = bytearray(struct.pack("<6Q", 0, TABLE, *CANARY))
        self.calls = calls
        self.fails = False
        self.closed = False

    def mappings(self):
        return []

    def chunks(self):
        self.calls.append("search")
        yield BASE, bytes(self.data)

    def read(self, address, size):
        return bytes(self.data[address - BASE : address - BASE + size]) if address >= BASE else b""

    def write(self, address, data):
        if self.fails:
            raise OSError("no memory there")
        self.calls.append("write")
        self.data[address - BASE : address - BASE + len(data)] = data

    def close(self):
        self.closed = True


@pytest.fixture
def bed(tmp_path):
    with Bed(tmp_path) as bed:
        yield bed


@pytest.fixture
def memory(bed, monkeypatch):
    memory = Memory(bed.system.calls)
    monkeypatch.setattr(bed.system, "memory_of", lambda _pid: memory, raising=False)
    return memory


@pytest.fixture
def runtime(bed, memory, monkeypatch):
    """The runtime's end of the control descriptor. The process that sends is this one, so it is the function's."""
    ends = []
    pair = socket.socketpair

    def remember(*args):
        made = pair(*args)
        ends.append(made[1].dup())
        return made

    monkeypatch.setattr("thaw_agent.supervisor.socket.socketpair", remember)
    bed.start("snap-start")
    monkeypatch.setattr(bed.agent._cgroup, "processes", lambda: [os.getpid()])
    yield ends[0]
    ends[0].close()


def frozen(bed, client, route="restore/next"):
    client.ask("GET", f"{RUNTIME}/{route}")
    return wire.SnapshotReady.decode(bed.take(wire.Kind.SNAPSHOT_READY).payload)


def names(report):
    return [(fixer["name"], fixer["detail"]) for fixer in report["fixers"]]


def test_they_are_found_while_it_is_frozen_and_renewed_before_it_is_thawed(bed, runtime, memory):
    runtime.send(opened(hooks=True))
    runtime.send(BOOK)
    runtime.send(FROZEN)
    client = bed.client()
    ready = frozen(bed, client)
    stopped = bed.system.calls.index("cgroup.freeze=1")
    assert stopped < bed.system.calls.index("search")
    bed.system.calls.clear()
    bed.restore()
    assert client.answer().status == 200
    runtime.send(protocol.report(protocol.THAWED, 7, version="10.0"))
    client.ask("GET", f"{RUNTIME}/invocation/next")
    restored = wire.Restored.decode(bed.take(wire.Kind.RESTORED).payload)

    calls = [one for one in bed.system.calls if one in {"entropy", "write", "cgroup.freeze=0"}]
    assert calls == ["entropy", "write", "cgroup.freeze=0"]
    assert struct.pack("<4Q", *CANARY) != memory.data[16:]
    assert names(ready.report) == names(restored.report) == [("random", "1 in memory")]
    assert {"search"} <= set(ready.steps)
    assert {"generators"} <= set(restored.steps)
    assert memory.closed


def test_without_the_canary_no_snapshot_is_taken(bed, runtime, memory):
    memory.data[16:24] = bytes(8)
    runtime.send(BOOK)
    runtime.send(FROZEN)
    bed.client().ask("GET", f"{RUNTIME}/restore/next")
    failed = wire.InitFailed.decode(bed.take(wire.Kind.INIT_FAILED).payload)

    assert failed.error_type == "Sandbox.Failure"
    assert "clones would not be unique" in failed.message
    assert "THAW_SKIP_FIXERS=random" in failed.message


def test_one_that_cannot_be_renewed_fails_the_clone_which_stays_frozen(bed, runtime, memory):
    runtime.send(BOOK)
    runtime.send(FROZEN)
    frozen(bed, bed.client())
    memory.fails = True
    bed.restore()
    failed = wire.RestoreFailed.decode(bed.take(wire.Kind.RESTORE_FAILED).payload)

    assert failed.error_type == "Sandbox.Failure"
    assert "cgroup.freeze=0" not in bed.system.calls


def test_a_process_that_is_not_the_functions_is_not_searched(bed, runtime, memory, monkeypatch):
    monkeypatch.setattr(bed.agent._cgroup, "processes", lambda: [1])
    runtime.send(BOOK)
    runtime.send(FROZEN)
    bed.client().ask("GET", f"{RUNTIME}/restore/next")
    failed = wire.InitFailed.decode(bed.take(wire.Kind.INIT_FAILED).payload)

    assert f"process {os.getpid()}" in failed.message
    assert "search" not in bed.system.calls


def test_the_last_book_counts(bed, runtime, memory):
    runtime.send(BOOK)
    runtime.send(record(control.BOOK, 0, bytes(40)))
    runtime.send(FROZEN)
    ready = frozen(bed, bed.client())

    assert ready.report["fixers"] == []
    assert "search" not in bed.system.calls


def test_a_function_without_hooks_is_renewed_too_and_its_first_word_is_its_report(
    bed, runtime, memory
):
    runtime.send(BOOK)
    runtime.send(opened(hooks=False))
    ready = frozen(bed, bed.client(), "invocation/next")
    bed.restore()
    restored = wire.Restored.decode(bed.take(wire.Kind.RESTORED).payload)

    assert ready.report["notes"] == ["n"]
    assert names(ready.report) == names(restored.report) == [("random", "1 in memory")]
    assert struct.pack("<4Q", *CANARY) != memory.data[16:]


def test_hooks_that_nobody_called_are_noted(bed, runtime, memory):
    """A client that is older than SnapStart asks for its first event, whatever hooks there are."""
    runtime.send(opened(hooks=True))
    ready = frozen(bed, bed.client(), "invocation/next")

    assert ready.report["notes"][0] == "n"
    assert "no hook was called" in ready.report["notes"][1]


def test_hooks_that_were_called_without_a_word_are_no_report(bed, runtime, memory):
    """The daemon takes no snapshot without one: what was to be last before the snapshot did not run."""
    runtime.send(opened(hooks=True))

    assert frozen(bed, bed.client()).report == {}


def test_what_was_said_before_the_runtime_opened_is_replaced(bed, runtime, memory):
    """By the program that became it: the launcher of a native executable."""
    runtime.send(protocol.report(protocol.FROZEN, 1, version="", notes=["nothing is renewed"]))
    runtime.send(opened(hooks=False))

    assert frozen(bed, bed.client(), "invocation/next").report["notes"] == ["n"]


@pytest.mark.parametrize("data", [BOOK, opened(hooks=False)], ids=["book", "opened"])
def test_neither_is_heard_in_a_clone(bed, runtime, memory, data):
    runtime.send(FROZEN)
    client = bed.client()
    frozen(bed, client)
    bed.restore()
    assert client.answer().status == 200
    runtime.send(data)
    runtime.send(protocol.report(protocol.THAWED, 7, version="10.0"))
    client.ask("GET", f"{RUNTIME}/invocation/next")
    restored = wire.Restored.decode(bed.take(wire.Kind.RESTORED).payload)

    assert restored.report["refused"] == 1
