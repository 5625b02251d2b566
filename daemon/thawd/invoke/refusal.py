"""Outcomes of invocations that were not run: by the error of their start, or by the state of their version."""

from __future__ import annotations

from typing import TYPE_CHECKING

from thawd.catalog.errors import FunctionNotFound
from thawd.catalog.models import FunctionVersion, State
from thawd.catalog.states import RESTORING
from thawd.environments.limits import StartTimeout
from thawd.fleet.pool import Deleted, NoCapacity
from thawd.guest.failures import RestoreFailure, RuntimeExited
from thawd.invoke.outcome import NotRun, Reason

if TYPE_CHECKING:
    from thawd.errors import ThawError


def refusal_of(error: ThawError, version: FunctionVersion) -> NotRun:
    """The error of a start or a lease as an outcome."""
    match error:
        case NoCapacity():
            return NotRun(reason=Reason.THROTTLED, detail=str(error))
        case Deleted() | FunctionNotFound():
            return NotRun(reason=Reason.DELETED, detail=str(error))
        case StartTimeout() if version.snapshotted:
            return NotRun(reason=Reason.RESTORE_TIMEOUT, detail=str(error))
        case RestoreFailure() | RuntimeExited():
            body = getattr(error, "body", "")
            return NotRun(reason=Reason.RESTORE_FAILED, detail=body or str(error))
        case _:
            return NotRun(reason=Reason.SYSTEM, detail=str(error))


def refusal_by_state(version: FunctionVersion) -> NotRun | None:
    """Why a version in this state cannot be run; None if it can, perhaps after its snapshot was made again."""
    match version.state:
        case State.PENDING if not needs_snapshot(version):
            return NotRun(reason=Reason.PENDING)
        case State.FAILED:
            return NotRun(reason=Reason.FAILED, detail=version.state_reason or "")
        case _:
            return None


def needs_snapshot(version: FunctionVersion) -> bool:
    """Whether a version has served before and its snapshot is being made again, or has to be."""
    restoring = version.state is State.PENDING and version.state_reason_code == RESTORING
    return restoring or version.state is State.INACTIVE
