"""The daemon's own log: structlog, one line an event, on standard error.

An event is a name with fields (`machine.restored version=3 restore_ms=97.4`), so that every format carries the same
facts: `console` for eyes, `logfmt` for files, `json` for collectors, `journal` for systemd, which reads the severity
from a `<6>` before the line (sd-daemon(3)) and stamps the time itself.
"""

from __future__ import annotations

import logging
import os
import sys
from typing import TYPE_CHECKING, Final, TextIO

import structlog

if TYPE_CHECKING:
    from collections.abc import Mapping

    from structlog.typing import EventDict, Processor, WrappedLogger

_TRACEBACKS: Final = structlog.processors.ExceptionRenderer(
    # Local variables hold credentials, events and entropy: none of them belongs in a log.
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)

_SYSLOG_PRIORITY: Final = {
    "critical": 2,
    "error": 3,
    "exception": 3,
    "warning": 4,
    "warn": 4,
    "info": 6,
    "debug": 7,
}


def choose_format(asked: str, stream: TextIO, environ: Mapping[str, str]) -> str:
    """What `auto` means for `stream`: journal under systemd, console on a terminal, else logfmt."""
    if asked != "auto":
        return asked
    if _is_journal(stream, environ):
        return "journal"
    return "console" if stream.isatty() else "logfmt"


def configure(
    level: str = "info",
    format: str = "auto",  # noqa: A002 - the setting's name
    *,
    stream: TextIO | None = None,
    environ: Mapping[str, str] = os.environ,
) -> None:
    """Set up structlog for this process.

    Args:
        level: debug, info, warning or error: the least severe event shown.
        format: auto, console, logfmt, json or journal.
        stream: where lines go; standard error when not given.
        environ: read for JOURNAL_STREAM and NO_COLOR.
    """
    stream = stream or sys.stderr
    chosen = choose_format(format, stream, environ)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            *_rendering(chosen, colors=stream.isatty() and not environ.get("NO_COLOR")),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[level.upper()]
        ),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        # Loggers made at import, before this call, must obey it too.
        cache_logger_on_first_use=False,
    )


def _rendering(chosen: str, *, colors: bool) -> list[Processor]:
    if chosen == "console":
        return [
            structlog.processors.TimeStamper(fmt="%H:%M:%S.%f", utc=False),
            structlog.dev.ConsoleRenderer(
                colors=colors,
                pad_event_to=24,
                exception_formatter=structlog.dev.plain_traceback,
            ),
        ]
    stamp = structlog.processors.TimeStamper(fmt="iso", utc=True)
    if chosen == "json":
        return [
            stamp,
            _TRACEBACKS,
            structlog.processors.JSONRenderer(default=str),
        ]
    logfmt = structlog.processors.LogfmtRenderer(
        key_order=["timestamp", "level", "event"] if chosen == "logfmt" else ["event"],
        drop_missing=True,
    )
    if chosen == "logfmt":
        return [stamp, structlog.processors.format_exc_info, _plain_values, logfmt]
    return [structlog.processors.format_exc_info, _Journal(logfmt)]


def _plain_values(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    """Logfmt's keys have no spaces and its booleans are words everybody reads."""
    return {
        key.replace(" ", "_"): str(value).lower() if isinstance(value, bool) else value
        for key, value in event.items()
    }


class _Journal:
    """`<6>machine.restored version=3`: the name first, no time and no level in words, for the journal has both."""

    def __init__(self, logfmt: Processor) -> None:
        self._logfmt = logfmt

    def __call__(self, logger: WrappedLogger, method: str, event: EventDict) -> str:
        event = dict(_plain_values(logger, method, event))
        event.pop("level", None)
        name = str(event.pop("event", ""))
        trace = event.pop("exception", None)
        fields = str(self._logfmt(logger, method, event)) if event else ""
        priority = f"<{_SYSLOG_PRIORITY.get(method, 6)}>"
        # The journal takes each line as an entry of its own: each needs the severity.
        lines = [f"{name} {fields}".rstrip(), *(str(trace).splitlines() if trace else ())]
        return "\n".join(priority + line for line in lines)


def _is_journal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether `stream` is the journal's own socket: JOURNAL_STREAM is its device and inode (systemd.exec(5))."""
    named = environ.get("JOURNAL_STREAM", "")
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):
        return False
    return named == f"{status.st_dev}:{status.st_ino}"
