"""Run as a program: one process, cloned several times the way a snapshot clones it, and what each clone says.

A raw clone(2) into a new PID namespace copies memory and nothing else: no at-fork handler runs, and the process id
is 1 before and after, so that no library can notice. That is how a restored machine looks to a library; `os.fork()`
is not. Needs root, or user namespaces. Exits with 77 and the reason where neither is to be had.

    clone_bed.py SOURCES --clones 8 [--off] [--skip NAME]

SOURCES is a Python file with `sources()`, which returns callables by name; each is called once before the snapshot
(so that whatever state it has exists) and twice in every clone. The file is executed after the taps are in place, as
a function's code is. It may have `freeze()` and `thaw()` of its own, which run beside the fixers. Prints JSON: {"clones": [{name: [first, second]}], "fixers": [...], "notes": [...]}.
"""

from __future__ import annotations

import argparse
import ctypes
import json
import os
import platform
import select
import signal
import sys
import time
import traceback

NEW_PID = 0x20000000
NEW_USER = 0x10000000
UNABLE = 77
LONGEST_S = 60
KEEP_ON_FORK = 19
SYS_CLONE = {"x86_64": 56, "aarch64": 220}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("sources")
    parser.add_argument("--clones", type=int, default=8)
    parser.add_argument(
        "--off", action="store_true", help="no fixers: what every other system gives"
    )
    parser.add_argument("--skip", action="append", default=[])
    options = parser.parse_args()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(NEW_PID if os.geteuid() == 0 else NEW_PID | NEW_USER) != 0:
        print(f"no PID namespace to be had: {os.strerror(ctypes.get_errno())}", file=sys.stderr)
        sys.exit(UNABLE)
    # Made by hand: tempfile would import `random` before the taps are in place.
    os.environ["TMPDIR"] = f"{os.environ.get('TMPDIR', '/tmp')}/clone-bed-{os.getpid()}"
    os.mkdir(os.environ["TMPDIR"], 0o700)
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        import shutil

        shutil.rmtree(os.environ["TMPDIR"])
        sys.exit(os.waitstatus_to_exitcode(status))
    freeze_and_clone(options)


def freeze_and_clone(options: argparse.Namespace) -> None:
    from thaw_runtime.draw import Draw
    from thaw_runtime.registry import Registry

    registry = Registry(skip=["*"] if options.off else options.skip)
    registry.start()
    scope = {"__name__": "function", "__file__": options.sources}
    with open(options.sources) as file:
        exec(compile(file.read(), options.sources, "exec"), scope)
    sources = scope["sources"]()
    for source in sources.values():
        source()
    registry.freeze()
    before, after = scope.get("freeze"), scope.get("thaw")
    if not options.off and before:
        before()

    def clone() -> dict[str, object]:
        registry.thaw(Draw(os.urandom(64)))
        if not options.off and after:
            after()
        said = {name: [source(), source()] for name, source in sources.items()}
        return {"said": said, "fixers": registry.report()}

    clones = [run_in_clone(clone) for _ in range(options.clones)]
    print(
        json.dumps(
            {
                "clones": [one["said"] for one in clones],
                "fixers": clones[-1]["fixers"],
                "notes": registry.notes,
            }
        )
    )


def run_in_clone(function) -> dict:
    """What the function says in a clone of this process, which has the calling thread alone.

    A lock that another thread holds at that moment is held in the clone for ever. So nothing is cloned before the
    other threads sleep, and the interpreter's own lock is not let go on the way (PyDLL, not CDLL).
    """
    wait_for_other_threads()
    keep_what_fork_wipes()
    reader, writer = os.pipe()
    libc = ctypes.PyDLL(None, use_errno=True)
    pid = libc.syscall(SYS_CLONE[platform.machine()], NEW_PID | signal.SIGCHLD, 0, 0, 0, 0)
    if pid == 0:
        try:
            answer = function()
        except BaseException:
            answer = {"error": traceback.format_exc()}
        os.write(writer, json.dumps(answer, default=str).encode())
        os._exit(0)
    os.close(writer)
    if pid < 0:
        sys.exit(f"clone: {os.strerror(ctypes.get_errno())}")
    said = read_within(reader, LONGEST_S)
    if said is None:
        # The first process of a PID namespace takes no alarm that it has no handler for, but its parent's kill.
        os.kill(pid, signal.SIGKILL)
    os.close(reader)
    _, status = os.waitpid(pid, 0)
    if said is None:
        sys.exit(
            f"a clone said nothing in {LONGEST_S} s: it may wait for a thread that did not come along"
        )
    answer = json.loads(said) if said else {"error": f"the clone ended with status {status}"}
    if "error" in answer:
        sys.exit(answer["error"])
    return answer


def keep_what_fork_wipes() -> None:
    """A clone of a process gets those pages empty, and the libraries that wait for that notice. A machine's does not."""
    from thaw_runtime import native

    libc = ctypes.CDLL(None, use_errno=True)
    for page in native.wiped_on_fork():
        size = ctypes.c_size_t(page.stop - page.start)
        if libc.madvise(ctypes.c_void_p(page.start), size, KEEP_ON_FORK) != 0:
            sys.exit(f"madvise: {os.strerror(ctypes.get_errno())}")


def read_within(reader: int, seconds: float) -> bytes | None:
    """All that comes through a pipe until its end; None when that takes longer."""
    end, said = time.monotonic() + seconds, b""
    while select.select([reader], [], [], max(0, end - time.monotonic()))[0]:
        part = os.read(reader, 1 << 16)
        if not part:
            return said
        said += part
    return None


def wait_for_other_threads() -> None:
    """Return when no other thread of this process has run for some tens of milliseconds (for `LONGEST_S` at most)."""
    end, before = time.monotonic() + LONGEST_S, None
    while time.monotonic() < end:
        now = others()
        if now == before and all(state == "S" for state, *_ in now.values()):
            return
        before = now
        time.sleep(0.03)


def others() -> dict[str, list[str]]:
    """The other threads' state and how often each was switched in and out, by id."""
    # Not `get_native_id`: that is of the new PID namespace, and /proc is of the old one.
    ours = os.path.basename(os.readlink("/proc/thread-self"))
    found = {}
    for thread in os.listdir("/proc/self/task"):
        if thread == ours:
            continue
        with open(f"/proc/self/task/{thread}/status") as file:
            lines = dict(line.split(":\t", 1) for line in file)
        found[thread] = [lines["State"][0]] + [v for k, v in lines.items() if "switches" in k]
    return found


if __name__ == "__main__":
    main()
