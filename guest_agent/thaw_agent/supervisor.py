"""The function's runtime process: its files, its user, its environment, its end."""

from __future__ import annotations

import contextlib
import os
import resource
import socket
from collections.abc import Callable
from typing import Final

from . import credentials, system, wire
from .cgroup import Cgroup

UID: Final = 993
GID: Final = 993
"""Lambda's own user, `sbx_user1051`."""
TASK_ROOT: Final = "/var/task"
RUNTIME_DIR: Final = "/var/runtime"
_CODE_DISK: Final = "/dev/vdb"
_CODE_MOUNT: Final = "/run/thaw/code"

_RESERVED: Final = frozenset({"_HANDLER", "THAW_CONTROL_FD"})
"""Beside every name that begins with AWS_LAMBDA_ or LAMBDA_: a function's own variables never replace these."""

_SIGNALS: Final = {
    1: "hangup",
    2: "interrupt",
    3: "quit",
    4: "illegal instruction",
    6: "aborted",
    7: "bus error",
    8: "floating point exception",
    9: "killed",
    11: "segmentation fault",
    13: "broken pipe",
    15: "terminated",
}
"""Go's words for signals, which Lambda's messages have."""


def environment(init: wire.Init, *, api: str, token: str) -> dict[str, str]:
    """A function's environment variables (Lambda, defined runtime environment variables; the SnapStart differences).

    `api` is `host:port` of the Runtime API and of the credentials endpoint, `token` opens the latter.
    """
    values = {
        "PATH": "/usr/local/bin:/usr/bin:/bin:/opt/bin",
        "LD_LIBRARY_PATH": f"{RUNTIME_DIR}:{RUNTIME_DIR}/lib:{TASK_ROOT}:{TASK_ROOT}/lib:/opt/lib",
        "LANG": "en_US.UTF-8",
        "LC_CTYPE": "C.UTF-8",
        "TZ": ":UTC",
        "PWD": TASK_ROOT,
        "SHLVL": "0",
        "PYTHONPATH": RUNTIME_DIR,
        "AWS_XRAY_CONTEXT_MISSING": "LOG_ERROR",
        "AWS_XRAY_DAEMON_ADDRESS": "169.254.100.1:2000",
        "_AWS_XRAY_DAEMON_ADDRESS": "169.254.100.1",
        "_AWS_XRAY_DAEMON_PORT": "2000",
    }
    # Whatever the user set wins over the above, and loses against what follows.
    values.update({name: value for name, value in init.environment.items() if not _is_reserved(name)})
    values |= {
        "AWS_LAMBDA_RUNTIME_API": api,
        "_HANDLER": init.handler,
        "AWS_REGION": init.region,
        "AWS_DEFAULT_REGION": init.region,
        "AWS_EXECUTION_ENV": f"AWS_Lambda_{init.runtime}",
        "AWS_LAMBDA_FUNCTION_NAME": init.function_name,
        "AWS_LAMBDA_FUNCTION_VERSION": init.function_version,
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(init.memory_mib),
        "AWS_LAMBDA_INITIALIZATION_TYPE": init.initialization_type,
        "AWS_LAMBDA_LOG_FORMAT": init.log_format,
        "LAMBDA_TASK_ROOT": TASK_ROOT,
        "LAMBDA_RUNTIME_DIR": RUNTIME_DIR,
    }
    if init.initialization_type == "snap-start":
        values["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = f"http://{api}{credentials.PATH}"
        values["AWS_CONTAINER_AUTHORIZATION_TOKEN"] = token
    else:
        values["AWS_LAMBDA_LOG_GROUP_NAME"] = init.log_group
        values["AWS_LAMBDA_LOG_STREAM_NAME"] = init.log_stream
        given = init.credentials or {}
        for name, member in (
            ("AWS_ACCESS_KEY_ID", "AccessKeyId"),
            ("AWS_SECRET_ACCESS_KEY", "SecretAccessKey"),
            ("AWS_SESSION_TOKEN", "Token"),
        ):
            if member in given:
                values[name] = given[member]
    return values


def _is_reserved(name: str) -> bool:
    return name.startswith(("AWS_LAMBDA_", "LAMBDA_")) or name in _RESERVED


def command(init: wire.Init) -> list[str]:
    """What runs the handler: the language's official runtime interface client."""
    if init.runtime.startswith("python"):
        return ["/usr/bin/python3", "-m", "awslambdaric", init.handler]
    raise ValueError(f"this image has no runtime {init.runtime}")


def mount_code() -> None:
    """The function's disk: `task` becomes /var/task, `opt` /opt, both read-only."""
    os.makedirs(_CODE_MOUNT, exist_ok=True)
    system.mount(_CODE_DISK, _CODE_MOUNT, "erofs", read_only=True)
    for name, target in (("task", TASK_ROOT), ("opt", "/opt")):
        if os.path.isdir(f"{_CODE_MOUNT}/{name}"):
            os.makedirs(target, exist_ok=True)
            system.bind(f"{_CODE_MOUNT}/{name}", target)


class Runtime:
    """The runtime process. `logs(descriptor, source)` gets its pipes, `control` is our end of its socket."""

    def __init__(self, pid: int, control: socket.socket) -> None:
        self.pid = pid
        self.control = control

    @classmethod
    def start(
        cls,
        argv: list[str],
        variables: dict[str, str],
        cgroup: Cgroup | None,
        logs: Callable[[int, wire.LogSource], None],
        *,
        directory: str = TASK_ROOT,
    ) -> Runtime:
        """Fork and run `argv` as the function's user in its cgroup; without a cgroup (tests) as ourselves."""
        out, err, telemetry = (os.pipe() for _ in range(3))
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        variables = {
            **variables,
            "_LAMBDA_TELEMETRY_LOG_FD": str(telemetry[1]),
            "THAW_CONTROL_FD": str(theirs.fileno()),
        }
        pid = os.fork()
        if pid == 0:
            try:
                os.setsid()
                os.dup2(os.open("/dev/null", os.O_RDONLY), 0)
                os.dup2(out[1], 1)
                os.dup2(err[1], 2)
                os.set_inheritable(telemetry[1], True)
                theirs.set_inheritable(True)
                if cgroup is not None:
                    cgroup.join()
                    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))
                    resource.setrlimit(resource.RLIMIT_NPROC, (742, 742))
                    system.no_new_privileges()
                    os.setgroups([])
                    os.setresgid(GID, GID, GID)
                    os.setresuid(UID, UID, UID)
                os.umask(0o022)
                os.chdir(directory)
                os.execve(argv[0], argv, variables)
            except BaseException as error:  # noqa: BLE001 - a forked child must not return into the agent
                with contextlib.suppress(OSError):
                    os.write(2, f"thaw_agent: cannot start {argv[0]}: {error}\n".encode())
            os._exit(127)
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


def exited(status: int, *, max_memory_bytes: int = 0) -> wire.Exited:
    """A wait status as the message for the host."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        reason = "signal: " + _SIGNALS.get(number, f"signal {number}")
        if os.WCOREDUMP(status):
            reason += " (core dumped)"
        return wire.Exited(signal=number, reason=reason, max_memory_bytes=max_memory_bytes)
    code = os.WEXITSTATUS(status)
    return wire.Exited(code=code, reason=f"exit status {code}" if code else "", max_memory_bytes=max_memory_bytes)
