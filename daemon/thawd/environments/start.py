"""The ways in which an environment starts."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING

from thawd.errors import ThawError

from .init import cold, initialised
from .restore import restored

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from thawd.catalog.models import FunctionVersion

    from .environment import Environment
    from .host import Host


class How(StrEnum):
    """Ways to start an environment."""

    COLD = "cold"  # kernel boot, then init
    BASE = "base"  # restore of the base snapshot, then init: $LATEST, or no SnapStart
    RESTORE = "restore"  # restore of the version's own snapshot


def start(
    host: Host, version: FunctionVersion, how: How | None = None
) -> AbstractAsyncContextManager[Environment]:
    """The scope that starts this version; without `how`, the way it starts in service.

    Raises `ThawError` for a restore of a version without a snapshot, and what the start raises.
    """
    match how or (How.RESTORE if version.snapshotted else How.BASE):
        case How.COLD:
            return cold(host, version)
        case How.BASE:
            return initialised(host, version)
        case How.RESTORE:
            if not version.snapshotted:
                raise ThawError(
                    f"{version.function_name}:{version.version} has no snapshot",
                    hint="Turn SnapStart on and publish a version: thaw publish",
                )
            return restored(host, version)
