"""Run as a program by the guest's Python: one function's snapshot and its clones, in a process.

    bed.py MODULE [--clones N]

What the guest does, in its order: thaw_runtime watches, the function's module is imported, the handler runs once (as
who warms a function up does), hooks, freeze. Then come the clones (tests/clone_bed.py): each is renewed and says what
the module's `unique()` gives. At last this very process is renewed, and the handler runs once more. Clones have no
threads but the one, and many clients need theirs, so no handler runs in them, and nothing at all where a module says
that it is `THREADED`: machines show what it gives (test_machines.py). Prints JSON.
"""

from __future__ import annotations

import argparse
import fcntl
import gc
import importlib
import json
import logging
import os
import socket
import struct
import sys
import time

from clone_bed import run_in_clone

SIOCSIFFLAGS = 0x8914
IFF_UP = 1


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("module")
    parser.add_argument("--clones", type=int, default=8)
    parser.add_argument("--off", action="store_true", help="no fixers")
    options = parser.parse_args()
    raise_loopback()
    # What functions print is not the answer.
    answer = os.dup(1)
    os.dup2(2, 1)
    said = json.dumps(published(options), default=str)
    with os.fdopen(answer, "w") as out:
        out.write(said)
        out.flush()
        # Without a farewell: a client's clean-up at exit may wait for a server that is not there.
        os._exit(0)


def raise_loopback() -> None:
    """A network namespace of its own has a loopback interface, and it is down."""
    with socket.socket() as any_socket:
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", IFF_UP))


def published(options: argparse.Namespace) -> dict[str, object]:
    from snapshot_restore_py import get_after_restore, get_before_snapshot

    from thaw_runtime.draw import Draw
    from thaw_runtime.recording import Recorder
    from thaw_runtime.registry import Registry

    registry = Registry(skip=["*"] if options.off else [])
    registry.start()
    recorded: list[dict[str, object]] = []
    recorder = Recorder(recorded.append)
    recorder.start()
    # As awslambdaric does, which has a handler at the root logger before the function is imported.
    logging.getLogger().addHandler(logging.StreamHandler())
    began = time.monotonic()
    module = importlib.import_module(options.module)
    imported_s = time.monotonic() - began
    before = module.handler({}, None)
    unique = getattr(module, "unique", dict)
    if getattr(module, "THREADED", False):
        unique = dict
    unique()
    for function, args, kwargs in reversed(get_before_snapshot()):
        function(*args, **kwargs)
    gc.collect()
    began = time.monotonic()
    recorder.keep_globals()
    registry.freeze()
    frozen_s = time.monotonic() - began

    def clone() -> dict[str, object]:
        registry.thaw(Draw(os.urandom(64)))
        return {"said": [unique(), unique()]}

    clones = [run_in_clone(clone)["said"] for _ in range(options.clones)]
    registry.thaw(Draw(os.urandom(64)))
    for function, args, kwargs in get_after_restore():
        function(*args, **kwargs)
    return {
        "before": before,
        "after": module.handler({}, None),
        "clones": clones,
        "caught": registry.diagnosis.caught + recorder.diagnosis.caught,
        "notes": [*registry.notes, *recorder.diagnosis.notes()],
        "fixers": registry.report(),
        "own": sorted(name for name, _ in recorder._bundle.own_modules()),
        "imported_s": imported_s,
        "frozen_s": frozen_s,
        "records": len(recorded),
        "modules": len(sys.modules),
    }


if __name__ == "__main__":
    main()
