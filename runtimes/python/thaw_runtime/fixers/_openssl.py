"""OpenSSL: every copy in the process, the system's, the ones that wheels bring, and static ones.

A clone continues its generators: keys, nonces of TLS and ECDHE key shares would be the same in every clone. A copy
that exports RAND_add is given fresh bytes through it, which reseeds all of its generators, those of other threads
too. A copy that exports nothing is found by structure (`thaw_runtime.drbg`) and made to reseed itself.
`cryptography`'s copy has a door of its own, see fixers/cryptography.py.
"""

from __future__ import annotations

import ctypes
import os
import sys
from typing import TYPE_CHECKING, Any

from thaw_runtime import drbg, native
from thaw_runtime.registry import Absent, Context, Fixer, Unsupported

if TYPE_CHECKING:
    from thaw_runtime.draw import Draw


class OpenSslFixer(Fixer):
    """RAND_add with host entropy where it is exported, a poked reseed time where not."""

    essential = True

    def __init__(self) -> None:
        self._add: list[Any] = []
        self._addresses: list[int] = []

    def freeze(self, context: Context) -> None:
        """Find all copies. Raises `Unsupported` for one that nothing is known to renew."""
        libraries = native.libraries()
        exported = native.functions("RAND_add", libraries)
        for function in exported.values():
            function.argtypes = (ctypes.c_char_p, ctypes.c_int, ctypes.c_double)
            function.restype = None
            # A copy that nobody has used yet sets itself up at this call: a millisecond that no clone shall pay.
            function(os.urandom(32), 32, 0.0)
            self._add.append(function)
        self._find_hidden([path for path in libraries if path not in exported], context)
        if not self._add and not self._addresses:
            raise Absent

    def _find_hidden(self, candidates: list[str], context: Context) -> None:
        reached = "cryptography.hazmat.bindings._rust"
        skip = getattr(sys.modules.get(reached), "__file__", None)
        copies = drbg.versions(path for path in candidates if path != skip)
        first, last = drbg.KNOWN
        for path, version in copies.items():
            if version[0] >= 3 and not first <= version <= last:
                raise Unsupported(
                    f"{path} holds OpenSSL {version[0]}.{version[1]}, whose structures are not known"
                )
            if version[0] < 3:
                context.note(
                    f"{path} holds OpenSSL {version[0]}.{version[1]} without RAND_add: not renewed"
                )
        known = [path for path, version in copies.items() if first <= version <= last]
        if known:
            self._addresses = [generator.address for generator in drbg.find(known)]

    def thaw(self, draw: Draw) -> str | None:
        """With no entropy claimed (0.0): the bytes are mixed in, and OpenSSL asks the kernel for its own as well."""
        for add in self._add:
            add(draw(32), 32, 0.0)
        for address in self._addresses:
            drbg.poke(address)
        return f"RAND_add in {len(self._add)}, {len(self._addresses)} generators by structure"


fixer = OpenSslFixer()
