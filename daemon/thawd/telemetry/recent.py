"""The last events of the daemon's log, as far as a stranger may see them: for `thaw doctor --report`.

An event's fields hold what functions said, names of functions and paths. What is kept is what is known to be none of
these: the event's name, numbers, a few words of our own, and of an exception its type and where our code was.
"""

from __future__ import annotations

import re
import sys
import traceback
from collections import deque
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from attrs import define, field

if TYPE_CHECKING:
    from structlog.typing import EventDict, WrappedLogger

_MOST: Final = 200
_NAME: Final = re.compile(r"[a-z0-9_.]{1,60}")
_WORD: Final = re.compile(r"[A-Za-z0-9_.:-]{1,40}")
_WORDS: Final = frozenset(
    {"engine", "state", "signal", "method", "runtime", "waited_for", "level", "how", "status"}
)
"""Fields whose values are words of ours."""
_OURS: Final = ("engine.", "base.", "image.", "daemon.")
"""Events whose `reason` is ours or the VMM's; elsewhere it may be the function's."""
_REASON: Final = 500
_FRAMES: Final = 12


@define(eq=False)
class Recent:
    """A structlog processor that passes every event on as it is."""

    _kept: deque[dict[str, Any]] = field(factory=lambda: deque(maxlen=_MOST))

    def __call__(self, _: WrappedLogger, __: str, event: EventDict) -> EventDict:
        """Keep what may be told of an event."""
        self._kept.append(tellable(event))
        return event

    def events(self) -> list[dict[str, Any]]:
        """The last events, oldest first."""
        return list(self._kept)


RECENT: Final = Recent()
"""This process's; its log is one, too."""


def tellable(event: EventDict) -> dict[str, Any]:
    """Of one event, what a stranger may see."""
    name = str(event.get("event", ""))
    told: dict[str, Any] = {
        "at": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "event": name if _NAME.fullmatch(name) else "?",
    }
    for key, value in event.items():
        if key in {"event", "exc_info"} or not _NAME.fullmatch(key):
            continue
        if (
            value is None
            or isinstance(value, bool | int | float)
            or (key in _WORDS and isinstance(value, str) and _WORD.fullmatch(value))
        ):
            told[key] = value
        elif key == "reason" and name.startswith(_OURS):
            told[key] = str(value)[:_REASON]
    if error := _error(event.get("exc_info")):
        told["exception"] = _told(error)
    return told


def _error(exc_info: object) -> BaseException | None:
    """The exception that an event's `exc_info` stands for (as in `logging`)."""
    match exc_info:
        case BaseException():
            return exc_info
        case (_, BaseException() as error, TracebackType() | None):
            return error
    return sys.exc_info()[1] if exc_info else None


def _told(error: BaseException) -> dict[str, Any]:
    """An exception's type and frames: its message may be anybody's."""
    kinds = [type(error).__name__]
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
        kinds.append(type(error).__name__)
    frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
    return {
        "type": " of ".join(kinds),
        "frames": [
            f"{'/'.join(Path(frame.filename).parts[-2:])}:{frame.lineno} {frame.name}"
            for frame in frames
        ],
    }
