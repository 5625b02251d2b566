"""A clone's identity: host name, machine id, boot id, entropy, credentials. New for every start."""

from __future__ import annotations

import secrets
import string
import uuid
from datetime import UTC, datetime, timedelta
from typing import Final

from attrs import field, frozen

_CREDENTIALS_LIFE: Final = timedelta(hours=12)
_KEY_ALPHABET: Final = string.ascii_uppercase + "234567"
_SECRET_ALPHABET: Final = string.ascii_letters + string.digits + "+/"


def placeholder_credentials(now: datetime) -> dict[str, str]:
    """Credentials of the right form that open nothing.

    A Lambda function always has credentials, and SDK clients sign with them.
    """
    return {
        "AccessKeyId": "ASIA" + "".join(secrets.choice(_KEY_ALPHABET) for _ in range(16)),
        "SecretAccessKey": "".join(secrets.choice(_SECRET_ALPHABET) for _ in range(40)),
        "Token": secrets.token_urlsafe(48),
        "Expiration": (now + _CREDENTIALS_LIFE)
        .isoformat(timespec="seconds")
        .replace("+00:00", "Z"),
    }


@frozen(kw_only=True)
class Identity:
    """One clone's own values. `entropy` is 64 bytes in hex, from the host's kernel."""

    id: str = field(factory=lambda: secrets.token_hex(6))
    entropy: str = field(factory=lambda: secrets.token_hex(64), repr=False)
    machine_id: str = field(factory=lambda: secrets.token_hex(16))
    boot_id: str = field(factory=lambda: str(uuid.uuid4()))
    credentials: dict[str, str] = field(
        factory=lambda: placeholder_credentials(datetime.now(UTC)), repr=False
    )

    @property
    def hostname(self) -> str:
        """The guest's host name: short, and another in every clone."""
        return f"thaw-{self.id}"
