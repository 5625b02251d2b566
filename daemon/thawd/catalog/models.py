"""The catalog's values: functions and their versions, in Lambda's words.

One class serves `$LATEST` and published versions: a published version is a copy of `$LATEST`, and only its state ever
changes.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

from attrs import field, frozen

LATEST: Final = "$LATEST"


class State(StrEnum):
    """Life of a version (Lambda API, `State`)."""

    PENDING = "Pending"
    ACTIVE = "Active"
    INACTIVE = "Inactive"
    FAILED = "Failed"


class UpdateStatus(StrEnum):
    """Life of the last change to `$LATEST` (Lambda API, `LastUpdateStatus`)."""

    IN_PROGRESS = "InProgress"
    SUCCESSFUL = "Successful"
    FAILED = "Failed"


class ApplyOn(StrEnum):
    """Whether publishing takes a snapshot (Lambda API, `SnapStart.ApplyOn`)."""

    PUBLISHED_VERSIONS = "PublishedVersions"
    NONE = "None"


@frozen(kw_only=True)
class Code:
    """A function's deployment package.

    `sha256` is the base64 digest of the zip, as Lambda shows it (`CodeSha256`); `size` its bytes. The bundle store holds
    the zip and the disk image made of it under the hex digest.
    """

    sha256: str
    size: int


@frozen(kw_only=True)
class FunctionVersion:
    """One version of a function: `$LATEST` or a published one, with the configuration frozen into it."""

    function_name: str
    version: str
    runtime: str
    handler: str
    code: Code
    role: str
    description: str = ""
    timeout_s: int = 3
    memory_mib: int = 128
    ephemeral_mib: int = 512
    environment: dict[str, str] = field(factory=dict)
    architectures: tuple[str, ...] = ("x86_64",)
    snap_start: ApplyOn = ApplyOn.NONE
    log_format: str = "Text"
    log_group: str = ""
    application_log_level: str = ""
    """Kept and shown (Lambda API, `ApplicationLogLevel`). No line is dropped by it."""
    system_log_level: str = ""
    tracing_mode: str = "PassThrough"
    revision_id: str = ""
    last_modified: str = ""
    state: State = State.ACTIVE
    state_reason: str | None = None
    state_reason_code: str | None = None
    last_update_status: UpdateStatus | None = None
    last_update_status_reason: str | None = None
    last_update_status_reason_code: str | None = None

    @property
    def published(self) -> bool:
        """Whether this is a numbered version."""
        return self.version != LATEST

    @property
    def snapshotted(self) -> bool:
        """Whether this version starts from its own snapshot: published, with SnapStart on."""
        return self.published and self.snap_start is ApplyOn.PUBLISHED_VERSIONS


@frozen(kw_only=True)
class Function:
    """The part of a function that is not frozen into its versions."""

    name: str
    tags: dict[str, str] = field(factory=dict)
