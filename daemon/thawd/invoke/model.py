"""One invocation, its outcome, and why one is refused: what the API hands to the invoker and gets back."""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from thawd.errors import ThawError

if TYPE_CHECKING:
    from thawd.catalog.models import FunctionVersion


@frozen(kw_only=True)
class Invocation:
    """An event on its way to one version of a function."""

    version: FunctionVersion
    qualifier: str | None
    """As the client gave it: a version, an alias, or nothing."""
    invoked_arn: str
    """What `context.invoked_function_arn` shows: with the qualifier, if one was given."""
    request_id: str
    payload: bytes
    """The event, JSON."""
    client_context: str = ""
    """JSON text, decoded from the client's base64; empty if none was sent."""
    log_tail: bool = False


@frozen(kw_only=True)
class Outcome:
    """How an invocation that ran has ended, well or with a function error."""

    payload: bytes
    function_error: str | None
    """`Unhandled` or `Handled` (Lambda API, `X-Amz-Function-Error`); None when it went well."""
    executed_version: str
    log_tail: bytes = b""
    """The last 4 KiB of the log, if it was asked for."""


class InvokeRefused(ThawError):
    """An invocation that was not run, or whose environment could not be made ready: a Lambda error to its client.

    `code` is Lambda's exception name, `status` the HTTP status.
    """

    def __init__(self, code: str, status: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.status = status
