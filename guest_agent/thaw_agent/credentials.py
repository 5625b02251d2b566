"""The container-credentials endpoint: SDKs in the guest get what the last INIT or RESTORE brought.

On loopback, because botocore takes an http URI for loopback and two fixed addresses only.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .http import Request

PATH: Final = "/2021-04-23/credentials"


class Credentials:
    """The credentials of this clone. The token is in the snapshot and the same in every clone; what it opens is not."""

    def __init__(self) -> None:
        self._token = ""
        self._body = b""

    def new_token(self) -> str:
        """A new token, which alone opens from now on. To be asked for once the kernel's generator is our own."""
        self._token = os.urandom(16).hex()
        return self._token

    def replace(self, credentials: dict[str, str] | None) -> None:
        """From now on these are given out; None: none are."""
        self._body = json.dumps(credentials).encode() if credentials is not None else b""

    def handle(self, request: Request) -> bool:
        """Answer a request; False for a path that is not this endpoint's."""
        if request.path != PATH or request.method != "GET":
            return False
        given = request.headers.get("authorization")
        if not self._body or not given or given != self._token:
            request.answer(404, b"cannot get credentials for the provided token")
        else:
            request.answer(200, self._body, (("Content-Type", "application/json"),))
        return True
