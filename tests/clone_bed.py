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
import signal
import sys
import traceback

NEW_PID = 0x20000000
NEW_USER = 0x10000000
UNABLE = 77
LONGEST_S = 60
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
    # A library whose worker threads did not come along into the clone would wait for them for ever.
    signal.alarm(LONGEST_S)
    freeze_and_clone(options, libc)


def freeze_and_clone(options: argparse.Namespace, libc: ctypes.CDLL) -> None:
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

    clones = [run_in_clone(libc, clone) for _ in range(options.clones)]
    print(
        json.dumps(
            {
                "clones": [one["said"] for one in clones],
                "fixers": clones[-1]["fixers"],
                "notes": registry.notes,
            }
        )
    )


def run_in_clone(libc: ctypes.CDLL, function) -> dict:
    reader, writer = os.pipe()
    pid = libc.syscall(SYS_CLONE[platform.machine()], NEW_PID | signal.SIGCHLD, 0, 0, 0, 0)
    if pid == 0:
        signal.alarm(LONGEST_S // 2)
        try:
            answer = function()
        except BaseException:
            answer = {"error": traceback.format_exc()}
        os.write(writer, json.dumps(answer, default=str).encode())
        os._exit(0)
    os.close(writer)
    if pid < 0:
        sys.exit(f"clone: {os.strerror(ctypes.get_errno())}")
    with open(reader, "rb") as pipe:
        said = pipe.read()
    _, status = os.waitpid(pid, 0)
    answer = json.loads(said) if said else {"error": f"the clone ended with status {status}"}
    if "error" in answer:
        sys.exit(answer["error"])
    return answer


if __name__ == "__main__":
    main()
