"""The Lambda Runtime API (2018-06-01) as a runtime sees it: routes, answers, state machine.

Answers and states are those of AWS's own implementation (aws-lambda-runtime-interface-emulator, `rapid`). What happens
is told to an `Observer`, which is the agent.
"""

from __future__ import annotations

import json
import re
import time
from collections import deque
from typing import TYPE_CHECKING, Final, Protocol

from . import wire

if TYPE_CHECKING:
    from .http import Request

_BASE: Final = "/2018-06-01"
_JSON: Final = (("Content-Type", "application/json"),)
_OK: Final = b'{"status":"OK"}\n'
_ERROR_TYPE: Final = re.compile(r"(Runtime|Function)\.[A-Z][a-zA-Z]+")
_LONGEST_TYPE: Final = 1024
"""Characters of a response's content type. A header may be of 64 KB, a message to the host must fit its frame."""
_TOO_LARGE: Final = json.dumps(
    {
        "errorMessage": f"Response payload size exceeded maximum allowed payload size ({wire.MAX_BODY} bytes).",
        "errorType": "Function.ResponseSizeTooLarge",
    },
    separators=(",", ":"),
).encode()

STARTED: Final = "Started"
INIT_ERROR: Final = "InitError"
RESTORE_READY: Final = "RestoreReady"
RESTORING: Final = "Restoring"
RESTORE_ERROR: Final = "RestoreError"
READY: Final = "Ready"
RUNNING: Final = "Running"
RESPONSE_SENT: Final = "ResponseSent"

_RESULTS: Final = {"response": "InvocationResponse", "error": "InvocationErrorResponse"}
_MAY_ASK_NEXT: Final = frozenset({STARTED, RESTORING, READY, RESPONSE_SENT})


class Observer(Protocol):
    """Who is told what the runtime did."""

    def snapshot_ready(self) -> None:
        """The runtime finished its init and waits for the snapshot."""

    def ready(self) -> None:
        """The runtime asked for its first invocation, or its first one after a restore."""

    def responded(self, stream: int, body: bytes, content_type: str) -> None:
        """The runtime posted a response."""

    def failed(self, stream: int, body: bytes, error_type: str) -> None:
        """The runtime posted an invocation error, or a response over the limit."""

    def done(self, stream: int, duration_us: int) -> None:
        """The runtime asked for the next invocation after this one."""

    def init_failed(self, body: bytes, error_type: str) -> None:
        """The runtime posted an init error."""

    def restore_failed(self, body: bytes, error_type: str) -> None:
        """The runtime posted a restore error."""


class Event:
    """An invocation that waits for the runtime or runs in it."""

    __slots__ = ("began", "body", "duration_us", "request", "stream")

    def __init__(self, stream: int, request: wire.Invoke, body: bytes) -> None:
        self.stream = stream
        self.request = request
        self.body = body
        self.began = 0
        self.duration_us = 0


class RuntimeApi:
    """State of one runtime process. `snap_start` mounts the restore routes."""

    def __init__(self, observer: Observer, *, snap_start: bool) -> None:
        self._observer = observer
        self._snap_start = snap_start
        self.state = STARTED
        self._next: Request | None = None
        self._restore: Request | None = None
        self._waiting: deque[Event] = deque()
        self._current: Event | None = None
        self._finished: Event | None = None

    @property
    def stream(self) -> int:
        """The stream of the running invocation, or of the one whose runtime has not come back yet; 0 for none."""
        event = self._current or self._finished
        return event.stream if event is not None else wire.MACHINE_STREAM

    @property
    def asks_for_events(self) -> bool:
        """Whether the runtime is blocked in `invocation/next`."""
        return self._next is not None

    def invoke(self, event: Event) -> None:
        """Hand an event to the runtime, or keep it until the runtime asks."""
        self._waiting.append(event)
        self._deliver()

    def release(self) -> None:
        """Answer the blocked `restore/next`: the clone is unique, user code may go on."""
        self.state = RESTORING
        request, self._restore = self._restore, None
        if request is not None:
            request.answer(200)
        elif self._next is not None:
            # A runtime without hooks, snapshotted in invocation/next: it has nothing to do before its first event.
            self.state = READY
            self._observer.ready()
            self._deliver()

    def handle(self, request: Request) -> bool:
        """Answer a request, now or later; False for a path that is not of this API."""
        path = request.path.partition("?")[0]
        if path == "/ping":
            request.answer(200, b"pong")
            return True
        if not path.startswith(_BASE + "/runtime/"):
            return False
        route = path[len(_BASE) + len("/runtime/") :]
        if request.method == "GET" and route == "invocation/next":
            self._ask_next(request)
        elif request.method == "GET" and route == "restore/next" and self._snap_start:
            self._ask_restore(request)
        elif request.method == "POST" and route == "init/error":
            self._init_error(request)
        elif request.method == "POST" and route == "restore/error" and self._snap_start:
            self._restore_error(request)
        elif request.method == "POST" and route.startswith("invocation/"):
            return self._post(request, route.split("/"))
        else:
            return False
        return True

    # GET --------------------------------------------------------------------------------------------------------------

    def _ask_next(self, request: Request) -> None:
        if self.state not in _MAY_ASK_NEXT:
            self._forbid(request, READY)
            return
        before, self.state = self.state, READY
        self._next = request
        finished = self._finished
        if finished is not None:
            # Still the running one while the observer takes its last log lines.
            self._observer.done(finished.stream, finished.duration_us)
            self._finished = None
        if before == STARTED and self._snap_start:
            # A runtime that skips restore/next is taken as ready for the snapshot too.
            self.state = RESTORE_READY
            self._observer.snapshot_ready()
        elif before in {STARTED, RESTORING}:
            self._observer.ready()
        self._deliver()

    def _ask_restore(self, request: Request) -> None:
        if self.state != STARTED:
            self._forbid(request, RESTORE_READY)
            return
        self.state = RESTORE_READY
        self._restore = request
        self._observer.snapshot_ready()

    def _deliver(self) -> None:
        if self.state != READY or not self._waiting or self._next is None:
            return
        if self._next.gone:
            self._next = None
            return
        event = self._waiting.popleft()
        invoke = event.request
        headers = [
            ("Content-Type", "application/json"),
            ("Lambda-Runtime-Aws-Request-Id", invoke.request_id),
            ("Lambda-Runtime-Deadline-Ms", str(invoke.deadline_ms)),
            ("Lambda-Runtime-Invoked-Function-Arn", invoke.function_arn),
        ]
        if invoke.trace_id:
            headers.append(("Lambda-Runtime-Trace-Id", invoke.trace_id))
        if invoke.client_context:
            headers.append(("Lambda-Runtime-Client-Context", invoke.client_context))
        if invoke.cognito_identity:
            headers.append(("Lambda-Runtime-Cognito-Identity", invoke.cognito_identity))
        request, self._next = self._next, None
        self._current = event
        self.state = RUNNING
        event.began = time.monotonic_ns()
        request.answer(200, event.body, tuple(headers))

    # POST -------------------------------------------------------------------------------------------------------------

    def _post(self, request: Request, parts: list[str]) -> bool:
        """`invocation/{id}/response` and `invocation/{id}/error`."""
        if len(parts) != 3 or parts[2] not in _RESULTS:
            return False
        event = self._current or self._finished
        # The id is looked at before the state, as AWS's own does.
        if event is None or parts[1] != event.request.request_id:
            _error(request, 400, "InvalidRequestID", "Invalid request ID")
            return True
        if self.state != RUNNING:
            self._forbid(request, _RESULTS[parts[2]])
            return True
        event.duration_us = (time.monotonic_ns() - event.began) // 1000
        self.state = RESPONSE_SENT
        self._current, self._finished = None, event
        if request.too_large:
            self._observer.failed(event.stream, _TOO_LARGE, "Function.ResponseSizeTooLarge")
            message = f"Exceeded maximum allowed payload size ({wire.MAX_BODY} bytes)."
            _error(request, 413, "RequestEntityTooLarge", message)
            return True
        # The host first: somebody waits for this response, and the runtime's answer can wait for that.
        if parts[2] == "response":
            kind = request.headers.get("content-type", "application/json")[:_LONGEST_TYPE]
            self._observer.responded(event.stream, bytes(request.body), kind)
        else:
            self._observer.failed(
                event.stream, bytes(request.body), _error_type(request, "Function.Unknown")
            )
        request.answer(202, _OK, _JSON)
        return True

    def _init_error(self, request: Request) -> None:
        if self.state == RESTORING:
            self._restore_error(request)
            return
        if self.state != STARTED:
            self._forbid(request, INIT_ERROR)
            return
        self.state = INIT_ERROR
        self._observer.init_failed(_error_body(request), _error_type(request, "Runtime.Unknown"))
        request.answer(202, _OK, _JSON)

    def _restore_error(self, request: Request) -> None:
        if self.state != RESTORING:
            self._forbid(request, RESTORE_ERROR)
            return
        self.state = RESTORE_ERROR
        self._observer.restore_failed(_error_body(request), _error_type(request, "Runtime.Unknown"))
        request.answer(202, _OK, _JSON)

    def _forbid(self, request: Request, wanted: str) -> None:
        message = f"State transition from {self.state} to {wanted} failed for runtime. Error: State transition is not allowed"
        _error(request, 403, "InvalidStateTransition", message)


def _error(request: Request, status: int, kind: str, message: str) -> None:
    body = json.dumps({"errorMessage": message, "errorType": kind}, separators=(",", ":"))
    request.answer(status, body.encode(), _JSON)


def _error_body(request: Request) -> bytes:
    return _TOO_LARGE if request.too_large else bytes(request.body)


def _error_type(request: Request, otherwise: str) -> str:
    """The error-type header, if it has the documented form."""
    given = request.headers.get("lambda-runtime-function-error-type", "")
    return given if _ERROR_TYPE.fullmatch(given) else otherwise
