"""Invoke: an event in, the function's answer out."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from typing import TYPE_CHECKING, Final, NoReturn

from attrs import define

from thawd.http import Request, RequestRefused, Response, Router
from thawd.invoke.outcome import Invocation, NotRun

from .errors import ApiError, invalid_content, invalid_parameter, not_run
from .offload import off_the_loop
from .tracing import trace_of
from .validation import Violations

if TYPE_CHECKING:
    from .context import Api

PAYLOAD_LIMIT: Final = 6_291_456
"""Bytes of an event (Lambda quotas: 6 MB)."""
_CLIENT_CONTEXT_LIMIT: Final = 3583
"""Bytes of `X-Amz-Client-Context`, in base64 (Lambda API, Invoke)."""
_FIRST_BYTES: Final = range(0xC2, 0xF5)
"""Bytes that may begin a character of several (RFC 3629)."""
_TYPES: Final = ("Event", "RequestResponse", "DryRun")
_LOG_TYPES: Final = ("None", "Tail")


@define(eq=False)
class Invocations:
    """The operations that run functions."""

    _api: Api

    def route(self, router: Router) -> None:
        """Add the operations to a router."""
        router.add("POST", "/2015-03-31/functions/{name}/invocations", self.invoke)

    async def invoke(self, request: Request) -> Response:
        """Invoke. The answer's request id is the invocation's."""
        api = self._api
        ref = api.ref(request)
        kind = request.header("X-Amz-Invocation-Type") or "RequestResponse"
        log_type = request.header("X-Amz-Log-Type") or "None"
        if kind not in _TYPES or log_type not in _LOG_TYPES:
            violations = Violations()
            violations.enum("invocationType", kind, _TYPES)
            violations.enum("logType", log_type, _LOG_TYPES)
            violations.check()
        for header in ("X-Amz-Tenant-Id", "X-Amz-Durable-Execution-Name"):
            if request.header(header):
                raise invalid_parameter(f"thawd does not support {header}")
        try:
            payload = await request.read(limit=PAYLOAD_LIMIT)
        except RequestRefused as refusal:
            if refusal.status == 413:
                raise ApiError(
                    "RequestTooLargeException",
                    413,
                    f"Request must be smaller than {PAYLOAD_LIMIT} bytes for the InvokeFunction operation",
                ) from None
            raise
        version = api.version(ref, name_latest=True)
        client_context = _client_context(request.header("X-Amz-Client-Context"))
        payload = await off_the_loop(_event, payload)
        if kind == "DryRun":
            return Response(204)
        if kind == "Event":
            raise invalid_parameter(
                "Asynchronous invocation (InvocationType Event) is not supported yet: use RequestResponse"
            )
        arn = api.arns.arn(ref.name, ref.qualifier)
        trace = trace_of(request.header("X-Amzn-Trace-Id"))
        outcome = await api.core.invoker.invoke(
            Invocation(
                version=version,
                qualifier=ref.qualifier,
                invoked_arn=arn,
                request_id=request.id,
                payload=payload,
                trace_id=trace,
                client_context=client_context,
                log_tail=log_type == "Tail",
            )
        )
        if isinstance(outcome, NotRun):
            raise not_run(outcome, arn)
        headers = [
            ("Content-Type", "application/json"),
            ("X-Amz-Executed-Version", outcome.executed_version),
            ("X-Amzn-Trace-Id", trace),
            # Of a proxy of AWS's; 0 is what it always says.
            ("x-amzn-Remapped-Content-Length", "0"),
        ]
        if outcome.function_error:
            headers.append(("X-Amz-Function-Error", outcome.function_error))
        if log_type == "Tail":
            headers.append(("X-Amz-Log-Result", b64encode(outcome.log_tail).decode("ascii")))
        return Response(200, outcome.payload, headers)


def _event(payload: bytes) -> bytes:
    """The event a function gets: what was sent if that is JSON, an empty object if nothing was (as in Lambda).

    Raises `ApiError`.
    """
    if not payload:
        return b"{}"
    try:
        # Numbers are the function's: their digits are not turned into values, which costs more than all the rest.
        json.loads(payload.decode(), parse_constant=_not_json, parse_int=len, parse_float=len)
    except (ValueError, RecursionError) as error:
        raise invalid_content(
            f"Could not parse payload into json: {_said(error, payload)}"
        ) from None
    return payload


def _said(error: Exception, payload: bytes) -> str:
    """What is wrong with an event, and where, as AWS's parser (Jackson) says it; its columns count bytes."""
    match error:
        case UnicodeDecodeError():
            at = error.start
            # The byte that cannot begin a character, or that cannot go on with one.
            if payload[at] in _FIRST_BYTES and error.end < len(payload):
                at, kind = error.end, "middle"
            elif payload[at] in _FIRST_BYTES:
                return "Unexpected end-of-input in a character" + _place(payload, at)
            else:
                kind = "start"
            return f"Invalid UTF-8 {kind} byte 0x{payload[at]:02x}" + _place(payload, at)
        case json.JSONDecodeError():
            return error.msg + _place(payload, len(error.doc[: error.pos].encode()))
        case RecursionError():
            return "Document nesting depth exceeds the maximum allowed"
        case _:
            return str(error)


def _place(payload: bytes, at: int) -> str:
    line = payload.count(b"\n", 0, at) + 1
    # The column behind the byte, counted from 1.
    column = at - (payload.rfind(b"\n", 0, at) + 1) + 2
    source = "REDACTED (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled)"
    return f"\n at [Source: {source}; line: {line}, column: {column}]"


def _not_json(name: str) -> NoReturn:
    raise ValueError(f"{name} is not JSON")


def _client_context(header: str | None) -> str:
    """The client context as JSON text; empty if there is none. Raises `ApiError`."""
    if not header:
        return ""
    if len(header) > _CLIENT_CONTEXT_LIMIT:
        raise invalid_parameter(
            f"Client context must be at most {_CLIENT_CONTEXT_LIMIT} bytes of base64"
        )
    try:
        text = b64decode(header, validate=True).decode()
        valid = isinstance(json.loads(text), dict)
    except (ValueError, RecursionError):
        valid = False
    if not valid:
        raise ApiError(
            "InvalidRequestContentException",
            400,
            "Client context must be a valid Base64-encoded JSON object.",
        )
    return text
