"""The function's control group: its limits, its freezer, what it used (cgroup v2)."""

from __future__ import annotations

import os
import select
import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .system import System

ROOT: Final = "/sys/fs/cgroup"
FUNCTION: Final = f"{ROOT}/function"
_PIDS: Final = 1024
_STATISTICS: Final = 40
"""Words of memory.stat that are looked at: `file` and `file_mapped` are among the first dozen lines."""
_FREEZE_WITHIN_S: Final = 5.0


class Cgroup:
    """One group, all of the function's processes in it."""

    def __init__(self, system: System) -> None:
        self._system = system
        self._most_bytes = 0

    def create(self, *, memory_mib: int) -> None:
        """Make it, with its limits. /tmp is memory here, so its size must be in `memory_mib`."""
        write = self._system.write
        write(f"{ROOT}/cgroup.subtree_control", "+memory +pids")
        self._system.make_directory(FUNCTION)
        write(f"{FUNCTION}/memory.max", str(memory_mib << 20))
        # Whoever meets the limit takes the whole function along: half a runtime would hang until its time-out.
        write(f"{FUNCTION}/memory.oom.group", "1")
        write(f"{FUNCTION}/pids.max", str(_PIDS))

    def join(self) -> None:
        """Put the calling process into it."""
        self._system.write(f"{FUNCTION}/cgroup.procs", "0")

    def processes(self) -> list[int]:
        """The process ids in it."""
        return [int(line) for line in self._system.read(f"{FUNCTION}/cgroup.procs").split()]

    def freeze(self) -> None:
        """Stop every process in it, and wait until the kernel says that all stand. Raises `TimeoutError`."""
        self._system.write(f"{FUNCTION}/cgroup.freeze", "1")
        self._wait_until_frozen()

    def thaw(self) -> None:
        """Let its processes run. They need not run yet when this returns."""
        self._system.write(f"{FUNCTION}/cgroup.freeze", "0")

    def most_bytes(self) -> int:
        """Most memory seen in use so far: Lambda's Max Memory Used. What is only cached, and /tmp, is not counted.

        `memory.peak` would count both, so this is the greatest of what was in use each time somebody asked.
        """
        read = self._system.read
        try:
            words = read(f"{FUNCTION}/memory.stat").split(None, _STATISTICS)
            statistics = dict(zip(words[::2], words[1::2], strict=False))
            # `file` is page cache, shared memory and tmpfs together; what is mapped of it is in use.
            cached = int(statistics["file"]) - int(statistics["file_mapped"])
            now = int(read(f"{FUNCTION}/memory.current")) - cached
        except (OSError, ValueError, KeyError):
            return self._most_bytes
        self._most_bytes = max(self._most_bytes, now)
        return self._most_bytes

    def processor_us(self) -> int:
        """Processor time that its processes have used, in microseconds; 0 when the kernel does not tell."""
        try:
            words = self._system.read(f"{FUNCTION}/cpu.stat").split(None, 2)
            return int(words[1]) if words[0] == "usage_usec" else 0
        except (OSError, ValueError, IndexError):
            return 0

    def _wait_until_frozen(self) -> None:
        path = self._system.path(f"{FUNCTION}/cgroup.events")
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            poll = select.poll()
            poll.register(descriptor, select.POLLPRI)
            end = time.monotonic() + _FREEZE_WITHIN_S
            while b"frozen 1" not in os.pread(descriptor, 4096, 0):
                left_ms = (end - time.monotonic()) * 1000
                if left_ms <= 0:
                    raise TimeoutError("the function's processes could not be frozen")
                poll.poll(left_ms)
        finally:
            os.close(descriptor)
