"""The container-credentials endpoint: SDKs in the guest get what the last INIT or RESTORE brought.

On loopback, because botocore takes an http URI for loopback and two fixed addresses only.
"""

from __future__ import annotations

import json
import secrets
from typing import Final

from .http import Request

PATH: Final = "/2021-04-23/credentials"


class Credentials:
    """The credentials of this clone. The token is in the snapshot and the same in every clone; what it opens is not."""

    def __init__(self) -> None:
        self.token = secrets.token_hex(16)
        self._body = b""

    def replace(self, credentials: dict[str, str] | None) -> None:
        """From now on these are given out; None: none are."""
        self._body = json.dumps(credentials).encode() if credentials is not None else b""

    def handle(self, request: Request) -> bool:
        """Answer a request; False for a path that is not this endpoint's."""
        if request.path != PATH or request.method != "GET":
            return False
        if request.headers.get("authorization") != self.token or not self._body:
            request.answer(404, b"cannot get credentials for the provided token")
        else:
            request.answer(200, self._body, (("Content-Type", "application/json"),))
        return True
