"""uuid: the node, clock sequence and last time stamps of version 1, 6 and 7.

uuid1() is libuuid's, whose node and clock sequence are drawn once a process: two clones asked within 100 ns of
guest time give the same id. Python's own version takes a new clock sequence each time; here it gets a new node too,
random and with the multicast bit, as RFC 9562 section 6.10 asks. uuid4() has no state but the kernel's.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any, Final

from thaw_runtime.registry import Context, Fixer, Unsupported

if TYPE_CHECKING:
    from thaw_runtime.draw import Draw

_MULTICAST: Final = 1 << 40


class UuidFixer(Fixer):
    """Sets the module's private state; libuuid's is not reachable and no longer used."""

    essential = True

    def freeze(self, context: Context) -> None:
        """Check that the private names are the ones we know."""
        if not all(
            hasattr(uuid, name) for name in ("_generate_time_safe", "_node", "_last_timestamp")
        ):
            raise Unsupported("uuid keeps its node elsewhere in this Python")

    def thaw(self, draw: Draw) -> str | None:
        """A new node, and no memory of time stamps given out (3.14 counts within them)."""
        module: Any = uuid
        module._generate_time_safe = None
        module._last_timestamp = None
        module._node = draw.integer(6) | _MULTICAST
        for name, value in (
            ("_last_timestamp_v6", None),
            ("_last_timestamp_v7", None),
            ("_last_counter_v7", 0),
        ):
            if hasattr(module, name):
                setattr(module, name, value)
        return None


fixer = UuidFixer()
