"""The function's control group: its limits, its freezer, what it used (cgroup v2)."""

from __future__ import annotations

import os
import select
import time
from typing import Final

from . import system

ROOT: Final = "/sys/fs/cgroup"
_PIDS: Final = 1024
_FREEZE_WITHIN_S: Final = 5.0


class Cgroup:
    """One group, all of the function's processes in it."""

    def __init__(self, path: str = f"{ROOT}/function") -> None:
        self.path = path
        self.peak_bytes = 0

    def create(self, *, memory_mib: int) -> None:
        """Make it, with its limits. /tmp is memory here, so its size must be in `memory_mib`."""
        system.write(f"{ROOT}/cgroup.subtree_control", "+memory +pids")
        os.makedirs(self.path, exist_ok=True)
        system.write(f"{self.path}/memory.max", str(memory_mib << 20))
        system.write(f"{self.path}/memory.oom.group", "1")
        system.write(f"{self.path}/pids.max", str(_PIDS))

    def join(self) -> None:
        """Put the calling process into it."""
        system.write(f"{self.path}/cgroup.procs", "0")

    def processes(self) -> list[int]:
        """The process ids in it."""
        return [int(line) for line in system.read(f"{self.path}/cgroup.procs").split()]

    def freeze(self) -> None:
        """Stop every process in it, and wait until the kernel says that all stand. Raises `TimeoutError`."""
        system.write(f"{self.path}/cgroup.freeze", "1")
        self._wait_for("frozen 1")

    def thaw(self) -> None:
        """Let its processes run. They need not run yet when this returns."""
        system.write(f"{self.path}/cgroup.freeze", "0")

    def sample(self) -> int:
        """Most bytes seen in use so far, page cache and /tmp not counted, as Lambda's Max Memory Used."""
        try:
            fields = dict(line.split() for line in system.read(f"{self.path}/memory.stat").splitlines())
            current = int(system.read(f"{self.path}/memory.current"))
        except (OSError, ValueError):
            return self.peak_bytes
        # `file` holds shared memory and tmpfs too.
        self.peak_bytes = max(self.peak_bytes, current - int(fields.get("file", "0")))
        return self.peak_bytes

    def _wait_for(self, wanted: str) -> None:
        descriptor = os.open(f"{self.path}/cgroup.events", os.O_RDONLY | os.O_CLOEXEC)
        try:
            poll = select.poll()
            poll.register(descriptor, select.POLLPRI)
            end = time.monotonic() + _FREEZE_WITHIN_S
            while wanted not in os.pread(descriptor, 4096, 0).decode():
                if time.monotonic() > end:
                    raise TimeoutError(f"the function's processes did not reach the state {wanted!r}")
                poll.poll(100)
        finally:
            os.close(descriptor)
