"""The function's runtime process: its files, its command, its user, its end."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
from typing import TYPE_CHECKING, Final

from . import wire
from .environment import TASK_ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

    from .cgroup import Cgroup
    from .system import System

UID: Final = 993
GID: Final = 993
"""Lambda's own user, `sbx_user1051`."""
_CODE_DISK: Final = "/dev/vdb"
_CODE_MOUNT: Final = "/run/thaw/code"
_CANNOT_RUN: Final = 127

_SIGNALS: Final = {
    1: "hangup",
    2: "interrupt",
    3: "quit",
    4: "illegal instruction",
    5: "trace/breakpoint trap",
    6: "aborted",
    7: "bus error",
    8: "floating point exception",
    9: "killed",
    10: "user defined signal 1",
    11: "segmentation fault",
    12: "user defined signal 2",
    13: "broken pipe",
    14: "alarm clock",
    15: "terminated",
    16: "stack fault",
    24: "CPU time limit exceeded",
    25: "file size limit exceeded",
    26: "virtual timer expired",
    27: "profiling timer expired",
    29: "I/O possible",
    30: "power failure",
    31: "bad system call",
}
"""Go's words for the signals that end a process, which Lambda's messages have (syscall, zerrors_linux_amd64.go)."""


def mount_code(system: System) -> None:
    """The function's disk: `task` becomes /var/task, `opt` /opt, both read-only."""
    system.make_directory(_CODE_MOUNT)
    system.mount(_CODE_DISK, _CODE_MOUNT, "erofs", read_only=True)
    for name, target in (("task", TASK_ROOT), ("opt", "/opt")):
        if os.path.isdir(system.path(f"{_CODE_MOUNT}/{name}")):
            system.make_directory(target)
            system.bind(f"{_CODE_MOUNT}/{name}", target, read_only=True)


class Runtime:
    """The runtime process: `control` is our end of its socket to the agent."""

    def __init__(self, pid: int, control: socket.socket) -> None:
        self.pid = pid
        self.control = control

    @classmethod
    def start(
        cls,
        system: System,
        argv: list[str],
        variables: dict[str, str],
        cgroup: Cgroup,
        logs: Callable[[int, wire.LogSource], None],
        *,
        first_message: bytes,
    ) -> Runtime:
        """Fork and run `argv` as the function's user in its cgroup, in /var/task. `logs` gets its pipes.

        `first_message` waits for it on the control socket. That the program cannot be run is seen as its end, with
        status 127 and a line on its standard error.
        """
        out, err, telemetry = (os.pipe() for _ in range(3))
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        # The kernel says with each record which process sent it: its memory is where the address book looks.
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        ours.send(first_message)
        variables = {
            **variables,
            "_LAMBDA_TELEMETRY_LOG_FD": str(telemetry[1]),
            "THAW_CONTROL_FD": str(theirs.fileno()),
        }
        pid = os.fork()
        if pid == 0:
            try:
                # Python ignores these two, and what is ignored stays so across an exec.
                signal.signal(signal.SIGPIPE, signal.SIG_DFL)
                signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
                os.setsid()
                os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
                os.dup2(out[1], 1)
                os.dup2(err[1], 2)
                os.set_inheritable(telemetry[1], True)
                theirs.set_inheritable(True)
                cgroup.join()
                system.become(UID, GID)
                os.umask(0o022)
                os.chdir(system.path(TASK_ROOT))
                os.execve(argv[0], argv, variables)  # noqa: S606 - what a supervisor is for
            except BaseException as error:  # noqa: BLE001 - a forked child must not return into the agent
                with contextlib.suppress(OSError):
                    os.write(2, f"thaw_agent: cannot start {argv[0]}: {error}\n".encode())
            os._exit(_CANNOT_RUN)
        theirs.close()
        for pipe, source in (
            (out, wire.LogSource.STDOUT),
            (err, wire.LogSource.STDERR),
            (telemetry, wire.LogSource.TELEMETRY_TEXT),
        ):
            os.close(pipe[1])
            logs(pipe[0], source)
        ours.setblocking(False)
        return cls(pid, ours)


def exited(status: int, *, max_memory_bytes: int) -> wire.Exited:
    """A wait status as the message for the host."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        reason = "signal: " + _SIGNALS.get(number, f"signal {number}")
        if os.WCOREDUMP(status):
            reason += " (core dumped)"
        return wire.Exited(signal=number, reason=reason, max_memory_bytes=max_memory_bytes)
    code = os.WEXITSTATUS(status)
    reason = f"exit status {code}" if code else ""
    return wire.Exited(code=code, reason=reason, max_memory_bytes=max_memory_bytes)
