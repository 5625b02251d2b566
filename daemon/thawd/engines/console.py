"""The last of what a machine wrote to its serial console."""

from __future__ import annotations

import re
from typing import Final

import trio
from attrs import define, field

_RECEIVE_BYTES: Final = 16 * 1024
_GAVE_UP: Final = re.compile(r"(?:BUG: |Oops: |Kernel panic - not syncing: )[^\n]*")
"""How Linux begins what it says of a fault of its own (fault.c, dumpstack.c and panic.c)."""
_LONGEST_WORDS: Final = 400


@define(eq=False)
class ConsoleLog:
    """Keeps the last `limit` bytes of a console, whatever the guest writes. Also holds what the VMM said on stderr."""

    limit: int = 64 * 1024
    ended: trio.Event = field(factory=trio.Event)
    _bytes: bytearray = field(factory=bytearray)

    def feed(self, data: bytes | bytearray) -> None:
        """Take what came."""
        self._bytes += data
        # Cut only when there is twice too much: each byte is moved at most once.
        if len(self._bytes) > 2 * self.limit:
            del self._bytes[: -self.limit]

    async def drain(self, source: trio.socket.SocketType) -> None:
        """Read the console until it ends; a console nobody reads stops its writer. Closes `source`."""
        try:
            with source:
                while data := await source.recv(_RECEIVE_BYTES):
                    self.feed(data)
        except OSError:
            pass  # a VMM that was killed with unread input resets its sockets
        finally:
            self.ended.set()

    def tail(self, limit: int | None = None) -> str:
        """The last bytes as text, lines ended by a line feed alone."""
        kept = bytes(self._bytes[-(limit or self.limit) :])
        return kept.decode(errors="replace").replace("\r\n", "\n")


def last_words(console: str) -> str:
    """Why the kernel gave up, by the end of its console: the fault, and what it made of it. Empty if it did not."""
    said = list(dict.fromkeys(_GAVE_UP.findall(console)))
    if not said or not said[-1].startswith("Kernel panic"):
        return ""
    return "; ".join(dict.fromkeys((said[0], said[-1])))[:_LONGEST_WORDS]
