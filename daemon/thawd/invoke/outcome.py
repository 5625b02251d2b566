"""An invocation, and every way in which it can end, as values.

Nothing here knows of HTTP: the API turns an outcome into a status and AWS's words. A queue of events can decide by the same
values whether to try again.
"""

from __future__ import annotations

import json
from enum import StrEnum
from typing import TYPE_CHECKING

from attrs import frozen

if TYPE_CHECKING:
    from thawd.catalog.models import FunctionVersion


@frozen(kw_only=True)
class Invocation:
    """An event on its way to one version of a function."""

    version: FunctionVersion
    qualifier: str | None
    """The client's own: a version, or None."""
    invoked_arn: str
    """What `context.invoked_function_arn` shows: with the qualifier, if one was given."""
    request_id: str
    payload: bytes
    """The event, JSON."""
    trace_id: str = ""
    """X-Ray's trace header; empty: none."""
    client_context: str = ""
    """JSON text, decoded from the client's base64; empty if none was sent."""
    log_tail: bool = False


@frozen(kw_only=True)
class Answered:
    """The function was run, and ended well or with an error of its own."""

    payload: bytes
    function_error: str | None
    """`Unhandled` or `Handled` (Lambda API, `X-Amz-Function-Error`); None when it went well."""
    executed_version: str
    log_tail: bytes = b""
    """The last 4 KiB of the log, if it was asked for."""


class Reason(StrEnum):
    """Why an invocation was not run."""

    PENDING = "pending"
    """The version is being made for the first time."""
    NOT_READY = "not_ready"
    """The version's snapshot is being made again, or could not be."""
    FAILED = "failed"
    """The version's init failed when it was published."""
    DELETED = "deleted"
    """The function or the version was deleted while the invocation waited."""
    THROTTLED = "throttled"
    """No machine became free in time, or too much waits already."""
    RESTORE_TIMEOUT = "restore_timeout"
    RESTORE_FAILED = "restore_failed"
    """An after-restore hook failed."""
    SYSTEM = "system"
    """An engine, a machine, an image or the daemon itself failed: not the function."""
    STOPPING = "stopping"
    """The daemon stops."""


@frozen(kw_only=True)
class NotRun:
    """The function was not run, or its environment could not be made ready.

    `detail` is a sentence of ours, or the function's own error body where one of its hooks failed.
    """

    reason: Reason
    detail: str = ""


Outcome = Answered | NotRun


def function_error(invocation: Invocation, error_type: str, message: str) -> Answered:
    """An error in the form that the platform gives a function: `RequestId: ... Error: ...`."""
    text = f"RequestId: {invocation.request_id} Error: {message}"
    body = json.dumps({"errorType": error_type, "errorMessage": text}, separators=(",", ":"))
    return failed(invocation, body.encode())


def failed(invocation: Invocation, body: bytes) -> Answered:
    """A function error with this body."""
    return Answered(
        payload=body,
        function_error="Unhandled",
        executed_version=invocation.version.version,
    )
