"""Child processes of the function: known by the line that started them, renewed where they take part, else named."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from test_runtime_session import PTH, THAW, Runtime

from thaw_runtime import children as children_module
from thaw_runtime.bundle import Bundle
from thaw_runtime.children import Children, descendants

CHILD = """
import random, sys
from snapshot_restore_py import register_after_restore, register_before_snapshot
said = []
register_before_snapshot(said.append, "close")
register_before_snapshot(said.append, "flush")
register_after_restore(said.append, "connect")
{more}
print("ready", flush=True)
sys.stdin.readline()
import os
print(*said, "thaw_runtime.registry" in sys.modules, "THAW_PARENT" in os.environ, flush=True)
"""
FUNCTION = """
import subprocess, sys
CHILD = {child!r}
child = subprocess.Popen([sys.executable, "-c", CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True{options})
child.stdout.readline()
from snapshot_restore_py import register_after_restore
def ask():
    child.stdin.write("\\n"); child.stdin.flush()
    print("child:", child.stdout.readline().strip(), flush=True)
register_after_restore(ask)
"""


def function(*, more: str = "", options: str = "", start: str = PTH) -> str:
    return FUNCTION.format(child=start + CHILD.format(more=more), options=options)


def notes_of(frozen: dict) -> list[str]:
    return [note for note in frozen["notes"] if note.startswith("a child process")]


def test_a_child_freezes_thaws_and_runs_its_hooks_with_the_function(tmp_path):
    """Its before-snapshot hooks last registered first, as the function's, and its after-restore hooks before those."""
    with Runtime(tmp_path, function(), start={}) as runtime:
        _, frozen = runtime.receive()
        runtime.agent.send(THAW)
        out, err = runtime.answer_restore_next()

    assert err == ""
    assert "child: flush close connect True False" in out
    (note,) = notes_of(frozen)
    assert "its generators are renewed" in note
    assert "<string>:4" in note


def test_a_child_that_cannot_renew_itself_ends_the_restore(tmp_path):
    """It took part in the snapshot, so nobody may use it as it was."""
    child = function(more="def fail(): raise OSError('no route')\nregister_after_restore(fail)")
    with Runtime(tmp_path, child, start={}) as runtime:
        runtime.receive()
        runtime.agent.send(THAW)
        out, err = runtime.answer_restore_next()

    assert "ChildFailed" in err
    assert "no route" in err
    assert "child:" not in out


@pytest.mark.parametrize(
    ("child", "why"),
    [
        ({"start": ""}, ""),
        ({"options": ", env={}"}, ""),
        ({"more": "def fail(): raise OSError('busy')\nregister_before_snapshot(fail)"}, "busy"),
    ],
    ids=["without the package", "with an environment of its own", "that fails at its freeze"],
)
def test_a_child_that_takes_no_part_is_named(tmp_path, child, why):
    """The publish goes on: the report says which line started it."""
    folders = [str(tmp_path), str(Path(children_module.__file__).parents[1])]
    source = function(**({"start": f"import sys; sys.path += {folders}; {PTH}"} | child))
    with Runtime(tmp_path, source, start={}) as runtime:
        _, frozen = runtime.receive()
        runtime.agent.send(THAW)
        out, err = runtime.answer_restore_next()

    assert err == ""
    assert "connect" not in out.partition("child:")[2]
    (note,) = notes_of(frozen)
    assert "nothing in it is renewed" in note
    assert "<string>:4" in note
    assert why in note


def test_a_forked_child_takes_part_with_hooks_of_its_own(tmp_path):
    """Hooks that it has from its parent run in the parent, and not once more."""
    forking = """
import os, random
from snapshot_restore_py import register_after_restore
register_after_restore(print, "the parent's", flush=True)
asked, asks = os.pipe()
answered, answers = os.pipe()
if os.fork() == 0:
    said = []
    register_after_restore(said.append, "its own")
    os.write(answers, b"ready")
    os.read(asked, 1)
    os.write(answers, repr(said).encode())
    os._exit(0)
os.read(answered, 5)
def ask():
    os.write(asks, b"x")
    print("child:", os.read(answered, 100).decode(), flush=True)
register_after_restore(ask)
"""
    with Runtime(tmp_path, forking, start={}) as runtime:
        _, frozen = runtime.receive()
        runtime.agent.send(THAW)
        out, err = runtime.answer_restore_next()

    assert err == ""
    assert "child: ['its own']" in out
    assert out.count("the parent's") == 1
    (note,) = notes_of(frozen)
    assert "its generators are renewed" in note
    assert "<string>:7" in note


def test_a_fork_does_not_keep_the_door_open(tmp_path):
    """A program that starts after the freeze finds nobody to take part with."""
    forking = """
import os, subprocess, sys, time
variables = dict(os.environ)
alive, end = os.pipe()
if os.fork() == 0:
    os.close(end)
    os.read(alive, 1)
    os._exit(0)
from snapshot_restore_py import register_after_restore
def late():
    subprocess.run([sys.executable, "-c", "import thaw_runtime.start, os; print('threads', len(os.listdir('/proc/self/task')))"], env=variables)
register_after_restore(late)
"""
    with Runtime(tmp_path, forking, start={}) as runtime:
        runtime.receive()
        runtime.agent.send(THAW)
        out, err = runtime.answer_restore_next()

    assert err == ""
    assert "threads 1" in out


def test_with_all_fixers_left_out_children_are_named_and_left_alone(tmp_path):
    with Runtime(tmp_path, function(), start={"skip_fixers": ["*"]}) as runtime:
        _, frozen = runtime.receive()
        runtime.agent.send(THAW)
        out, _ = runtime.answer_restore_next()

    assert "connect" not in out
    (note,) = notes_of(frozen)
    assert "nothing in it is renewed" in note


def test_what_has_ended_is_not_named_and_all_is_as_it_was():
    """Functions of the standard library are back after freeze, in `subprocess` too."""
    fork, taken = os.fork, subprocess._fork_exec
    known = Children(Bundle())
    known.start()
    try:
        subprocess.run([sys.executable, "-c", ""], check=True)
    finally:
        notes = known.freeze()

    assert [note for note in notes if __name__ in note] == []
    assert os.fork is fork
    assert subprocess._fork_exec is taken


def test_children_of_children_are_known():
    shell = subprocess.Popen(["sh", "-c", "sleep 60 & wait"])
    try:
        end = time.monotonic() + 10
        # Between fork and exec the child is still called as its parent.
        found = descendants(shell.pid)
        while [each.name for each in found] != ["sleep"]:
            assert time.monotonic() < end
            time.sleep(0.01)
            found = descendants(shell.pid)

        assert [(each.parent, each.name) for each in found] == [(shell.pid, "sleep")]
        assert shell.pid in [each.pid for each in descendants(os.getpid())]
    finally:
        for each in descendants(shell.pid):
            os.kill(each.pid, 9)
        shell.kill()
        shell.wait()
