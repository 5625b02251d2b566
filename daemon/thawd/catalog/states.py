"""The state machine of a version: which state may follow which.

    Pending -> Active | Failed      its snapshot was made; its init failed, or no snapshot could be made
    Active -> Pending               its snapshot was refused or lost, and is being made again
    Pending -> Inactive             it could not be made again; the next start of the daemon and the next use try once more
    Inactive -> Pending             it is being made again

Failed is final: a version never changes, so its init would fail again. Publish another one.
"""

from __future__ import annotations

from typing import Final

from attrs import evolve

from .errors import StateConflict
from .models import FunctionVersion, State, UpdateStatus

FOLLOWERS: Final[dict[State, frozenset[State]]] = {
    State.PENDING: frozenset({State.ACTIVE, State.FAILED, State.INACTIVE}),
    State.ACTIVE: frozenset({State.PENDING}),
    State.INACTIVE: frozenset({State.PENDING}),
    State.FAILED: frozenset(),
}

_CREATING: Final = ("The function is being created.", "Creating")
RESTORING: Final = "Restoring"
"""StateReasonCode of a version whose snapshot is being made again (Lambda API, `StateReasonCode`)."""


def born(version: FunctionVersion) -> FunctionVersion:
    """A version that was just made, in its first state: Pending when a snapshot must be made for it, else Active.

    While Pending, `LastUpdateStatus` is null, as Lambda has it for SnapStart versions.
    """
    if version.snapshotted:
        reason, code = _CREATING
        return evolve(
            version,
            state=State.PENDING,
            state_reason=reason,
            state_reason_code=code,
            last_update_status=None,
            last_update_status_reason=None,
            last_update_status_reason_code=None,
        )
    return _active(version)


def moved(
    version: FunctionVersion,
    state: State,
    *,
    reason: str | None = None,
    reason_code: str | None = None,
) -> FunctionVersion:
    """The version in another state. Raises `StateConflict` if the step is not one of the machine's.

    A Failed version's `LastUpdateStatus` is Failed: tools that wait for it stop at once, with the reason.
    """
    if state not in FOLLOWERS[version.state]:
        raise StateConflict(version.function_name, version.version, version.state, state)
    match state:
        case State.ACTIVE:
            return _active(version)
        case State.FAILED:
            update: UpdateStatus | None = UpdateStatus.FAILED
        case State.PENDING:
            update = None
            if reason is None:
                reason, reason_code = "The function is being restored.", reason_code or RESTORING
        case State.INACTIVE:
            update = version.last_update_status
            if reason is None:
                reason, reason_code = "The function is idle.", reason_code or "Idle"
    failed = update is UpdateStatus.FAILED
    return evolve(
        version,
        state=state,
        state_reason=reason,
        state_reason_code=reason_code,
        last_update_status=update,
        last_update_status_reason=reason if failed else None,
        last_update_status_reason_code=reason_code if failed else None,
    )


def _active(version: FunctionVersion) -> FunctionVersion:
    return evolve(
        version,
        state=State.ACTIVE,
        state_reason=None,
        state_reason_code=None,
        last_update_status=UpdateStatus.SUCCESSFUL,
        last_update_status_reason=None,
        last_update_status_reason_code=None,
    )
