"""Bounds on what a guest says: its numbers can be calculated with, its texts can be written down and shown.

The wire checks the types of a message's fields. A guest whose agent was taken over, or that passes on what user code
made up, may still claim any value of that type: a duration of 10^300 us, a report nested a thousand levels deep, half a
surrogate pair. With these bounds nothing above the channel has to think of that.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any, Final, TypeVar

from thaw_agent import wire

MOST: Final = 2**53
"""The largest number taken: beyond it JSON's readers lose digits, and floats overflow soon after."""
LONGEST_TEXT: Final = wire.MAX_PAYLOAD
LONGEST_CAUSE: Final = 4000
"""Characters of an error that is shown to a person."""
_FIRST_LINES: Final = 3
_LAST_LINES: Final = 12
_MOST_LINES: Final = 20
_DEEPEST: Final = 16
_MOST_MEMBERS: Final = 10_000
_NEVER_NEGATIVE: Final = ("_us", "_bytes")

_Message = TypeVar("_Message", bound=wire.Message)


def harmless(message: _Message) -> _Message:
    """A decoded message whose numbers are finite and bounded, whose texts are Unicode, whose depth is bounded."""
    values: dict[str, Any] = {}
    for name in message.__annotations__:
        value = plain(getattr(message, name))
        if name == "steps":
            value = {step: max(0, took) for step, took in value.items()}
        elif name.endswith(_NEVER_NEGATIVE):
            value = max(0, value)
        values[name] = value
    return type(message)(**values)


def plain(value: object, *, depth: int = _DEEPEST) -> Any:
    """A JSON value within the bounds above. Values that are too deep, or not JSON, become None."""
    match value:
        case None | bool():
            return value
        case int():
            return min(max(value, -MOST), MOST)
        case float():
            return min(max(value, -float(MOST)), float(MOST)) if math.isfinite(value) else None
        case str():
            return text(value)
        case list() | tuple() if depth:
            return [plain(item, depth=depth - 1) for item in value[:_MOST_MEMBERS]]
        case dict() if depth:
            members = list(value.items())[:_MOST_MEMBERS]
            return {text(str(key)): plain(item, depth=depth - 1) for key, item in members}
        case _:
            return None


def text(value: str, *, longest: int = LONGEST_TEXT) -> str:
    """Text that can be encoded as UTF-8 and is not longer than so many characters."""
    return value[:longest].encode(errors="replace").decode()


def cause(body: str | bytes, *, otherwise: str, error_type: str = "") -> str:
    """An error body that a runtime posted as one line for a person: type, message, last frame of the stack trace.

    Of an error that wraps others (.NET's `TargetInvocationException` says nothing but that there was one) the innermost
    is what happened: it stands there instead of the frame.

    The body is the function's: any bytes, any JSON. Without a message in it `otherwise` is used, without a type
    `error_type`.
    """
    try:
        shape = json.loads(body) if body else {}
    except (ValueError, RecursionError):
        shape = {}
    shape = plain(shape)
    if not isinstance(shape, dict):
        shape = {}
    kind = shape.get("errorType") or error_type
    message = shape.get("errorMessage") or otherwise
    trace = shape.get("stackTrace")
    last = f" ({str(trace[-1]).strip()})" if isinstance(trace, list) and trace else ""
    innermost = shape
    while isinstance(deeper := innermost.get("cause"), dict):
        innermost = deeper
    if innermost is not shape and (why := innermost.get("errorMessage")):
        last = f" Cause: {innermost.get('errorType') or 'an error'}: {why}"
    line = f"{kind}: {message}{last}" if kind else f"{message}{last}"
    return shortened(line)


def shortened(value: str, *, longest: int = LONGEST_CAUSE) -> str:
    """Text for a person: its beginning, which says what happened, and its end, which says why and where.

    What is longer than a screen (a traceback of a thousand calls, a whole page as a message) loses its middle.
    """
    lines = text(value).splitlines() or [""]
    if len(lines) > _MOST_LINES:
        left_out = len(lines) - _FIRST_LINES - _LAST_LINES
        lines[_FIRST_LINES:-_LAST_LINES] = [f"[... {left_out} lines left out ...]"]
        value = "\n".join(lines)
    if len(value) > longest:
        mark = f" [... {len(value) - longest} characters left out ...] "
        first = longest // 4
        value = f"{value[:first]}{mark}{value[first + len(mark) - longest :]}"
    return text(value, longest=longest)


_WANTS_NETWORK: Final = re.compile(
    r"""EAI_AGAIN | ENETUNREACH | EHOSTUNREACH
    | Temporary\ failure\ in\ name\ resolution | Name\ or\ service\ not\ known | getaddrinfo\ failed | [Nn]o\ such\ host
    | [Nn]etwork\ is\ (down|unreachable) | No\ route\ to\ host | [Hh]ost\ is\ unreachable
    | EndpointConnectionError | Could\ not\ connect\ to\ the\ endpoint\ URL | ConnectTimeout | NameResolutionError
    | gaierror | UnknownHostException | Could\ not\ contact\ DNS\ servers | Domain\ name\ not\ found
    | DNS\ resolution\ failed | failed\ to\ lookup\ address""",
    re.VERBOSE,
)
"""How the C library, Node.js, Java, Go and the clients of AWS and gRPC say that nothing beyond the machine answers."""

NO_NETWORK: Final = (
    "Guests have no network yet: nothing but 127.0.0.1 can be reached from a function. "
    "Let it start without: connect at first use, or leave that out where a variable says so (--env)"
)


def network_hint(*said: str) -> str:
    """`NO_NETWORK` when what a function said tells that it looked for a network; empty otherwise."""
    return NO_NETWORK if any(_WANTS_NETWORK.search(one) for one in said) else ""
