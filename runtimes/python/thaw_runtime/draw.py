"""Fresh bytes for the fixers, which no other clone has."""

from __future__ import annotations

import os
from hashlib import blake2b
from typing import Final

_BLOCK: Final = 64


class Draw:
    """Keyed BLAKE2b in counter mode: the key is the host's entropy, the text the kernel's.

    Either source alone makes the result unique, so a kernel whose generator was cloned (no VMGENID, no reseed) or a
    host that sent the same bytes twice does no harm as long as not both happen.
    """

    def __init__(self, entropy: bytes) -> None:
        if len(entropy) < _BLOCK:
            raise ValueError(f"{len(entropy)} bytes of entropy where {_BLOCK} are needed")
        self._key = entropy[:_BLOCK]
        self._text = os.urandom(32)
        self._count = 0

    def __call__(self, size: int) -> bytes:
        """The next `size` bytes."""
        out = b""
        while len(out) < size:
            self._count += 1
            out += blake2b(
                self._count.to_bytes(8, "big") + self._text,
                key=self._key,
                digest_size=min(_BLOCK, size - len(out)),
            ).digest()
        return out

    def another(self) -> Draw:
        """One with the same key and a text of its own, for another thread: a draw is not to be shared by two."""
        return Draw(self._key)

    def integer(self, size: int) -> int:
        """The next `size` bytes as one number."""
        return int.from_bytes(self(size), "big")
