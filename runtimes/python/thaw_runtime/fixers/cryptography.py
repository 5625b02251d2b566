"""cryptography: the OpenSSL that is linked into its Rust module and exports nothing.

Its cffi binding still carries RAND_add, for pyOpenSSL. AESGCM.generate_key(), EC and Ed25519 keys draw from this
copy; Fernet asks the kernel.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from thaw_runtime.registry import Absent, Context, Fixer, Unsupported

if TYPE_CHECKING:
    from thaw_runtime.draw import Draw


class CryptographyFixer(Fixer):
    """The same as for the other OpenSSLs, by another door."""

    essential = True
    versions = ("42.0", "50.0")

    def __init__(self) -> None:
        self._add: Any = None

    def freeze(self, context: Context) -> None:
        """Find the door. Nothing else renews this copy, so a version without it is refused."""
        if "cryptography.hazmat.bindings._rust" not in sys.modules:
            raise Absent
        from cryptography.hazmat.bindings.openssl.binding import Binding

        self._add = getattr(Binding.lib, "RAND_add", None)
        if self._add is None:
            raise Unsupported("this version of cryptography does not give access to RAND_add")

    def thaw(self, draw: Draw) -> str | None:
        """See fixers/_openssl.py."""
        self._add(draw(32), 32, 0.0)
        return None


fixer = CryptographyFixer()
