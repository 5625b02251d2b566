"""The entry: imported by a .pth line in the guest's interpreter, before the function's first line.

It does nothing at all in a process that has nothing to do with a function's runtime (no THAW_CONTROL_FD), and
next to nothing in one that will not be snapshotted. A child process of a function takes part in its snapshot (`child`).
In a process that will be snapshotted, a failure here must not pass unseen: clones
would share their random numbers. So the publish is made to fail, at freeze if that can still be registered, else by
ending the process now.
"""

from __future__ import annotations

import os
import sys
from functools import partial
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from thaw_runtime.children import Children
    from thaw_runtime.registry import Registry

DESCRIPTOR: Final = "THAW_CONTROL_FD"
SKIP: Final = "THAW_SKIP_FIXERS"
"""A function's own opt-out, among its environment variables: names of fixers, or `*`, with commas or spaces."""
PARENT: Final = "THAW_PARENT"
"""`children.VARIABLE`, without its imports."""
RUNTIME: Final = "/var/runtime/bootstrap.py"
"""The runtime's own script."""
_START_MESSAGE_MS: Final = 1_000
_EX_SOFTWARE: Final = 70


taken = ""
"""The number of the descriptor, once it is out of the environment."""


def start() -> None:
    """Take the control descriptor out of the environment and, for snap-start, set up the session."""
    global taken
    if RUNTIME in sys.argv[1:]:
        return  # a wrapper in Python: the runtime is what it will start, or become
    descriptor = os.environ.pop(DESCRIPTOR, None)
    if descriptor is None:
        if PARENT in os.environ:
            _join(os.environ[PARENT])
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

    from thaw_runtime.children import Children
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
    children = Children(registry.bundle)
    session = Session(control, registry, recorder, children)
    session.register(snapshot_restore_py)
    try:
        registry.start()
        children.start()
        if not registry.is_off:
            invitation = children.invite([*left_out, *own])
            os.register_at_fork(after_in_child=partial(_forked, registry, children, invitation))
    except Exception as error:
        _tell(f"thaw_runtime could not watch this process: {error!r}")
        session.refuse(f"thaw_runtime could not watch this process: {error!r}")
    if recorder is not None:
        # After the fixers' own taps, which have to see the calls as the function makes them. It only reports.
        with recorder.diagnosis.guard():
            recorder.start()


def _join(invitation: str) -> None:
    try:
        from thaw_runtime.child import join

        join(invitation)
    except Exception as error:
        # The child's program is its own: it is named in the report as one that is not renewed.
        _tell(f"thaw_runtime could not start in a child process: {error!r}")


def _forked(registry: Registry, children: Children, invitation: str) -> None:
    from thaw_runtime.child import forked

    children.leave()
    forked(registry, invitation)


def _tell(text: str) -> None:
    # The descriptor, not sys.stderr: at this point of the interpreter's start there may be none.
    os.write(2, f"{text}\n".encode())
    sys.stderr.flush()


start()
