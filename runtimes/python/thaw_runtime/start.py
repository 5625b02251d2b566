"""The entry: imported by a .pth line in the guest's interpreter, before the function's first line.

It does nothing at all in a process that the agent did not start as a function's runtime (no THAW_CONTROL_FD), and
next to nothing in one that will not be snapshotted. In one that will, a failure here must not pass unseen: clones
would share their random numbers. So the publish is made to fail, at freeze if that can still be registered, else by
ending the process now.
"""

from __future__ import annotations

import os
import sys
from typing import Final

DESCRIPTOR: Final = "THAW_CONTROL_FD"
SKIP: Final = "THAW_SKIP_FIXERS"
"""A function's own opt-out, among its environment variables: names of fixers, or `*`, with commas or spaces."""
_START_MESSAGE_MS: Final = 1_000
_EX_SOFTWARE: Final = 70


taken = ""
"""The number of the descriptor, once it is out of the environment."""


def start() -> None:
    """Take the control descriptor out of the environment and, for snap-start, set up the session."""
    global taken
    descriptor = os.environ.pop(DESCRIPTOR, None)
    if descriptor is None:
        return
    taken = descriptor
    try:
        # Child processes are other programs: they get neither the variable nor the descriptor.
        os.set_inheritable(int(descriptor), False)
        if os.environ.get("AWS_LAMBDA_INITIALIZATION_TYPE") == "snap-start":
            _open_session(int(descriptor))
    except Exception as error:
        _tell(f"thaw_runtime could not start, so clones would not be unique: {error!r}")
        os._exit(_EX_SOFTWARE)


def _open_session(descriptor: int) -> None:
    import snapshot_restore_py

    from thaw_runtime.control import Control
    from thaw_runtime.hooks import Session
    from thaw_runtime.registry import Registry

    control = Control(descriptor)
    left_out, traced = control.start(timeout_ms=_START_MESSAGE_MS)
    own = os.environ.get(SKIP, "").replace(",", " ").split()
    registry = Registry(skip=[*left_out, *own])
    recorder = None
    if traced:
        from thaw_runtime.recording import Recorder

        recorder = Recorder(control.record)
    session = Session(control, registry, recorder)
    session.register(snapshot_restore_py)
    try:
        registry.start()
    except Exception as error:
        _tell(f"thaw_runtime could not watch this process: {error!r}")
        session.refuse(f"thaw_runtime could not watch this process: {error!r}")
    if recorder is not None:
        # After the fixers' own taps, which have to see the calls as the function makes them. It only reports.
        with recorder.diagnosis.guard():
            recorder.start()


def _tell(text: str) -> None:
    # The descriptor, not sys.stderr: at this point of the interpreter's start there may be none.
    os.write(2, f"{text}\n".encode())
    sys.stderr.flush()


start()
