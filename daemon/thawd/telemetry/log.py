"""The daemon's own log: structlog, one line an event, on standard error.

An event is a name with fields (`machine.restored version=3 restore_ms=97.4`), so that every format carries the same
facts: `console` for eyes, `logfmt` for files, `json` for collectors, `journal` for systemd, which reads the severity
from a `<6>` before the line (sd-daemon(3)) and stamps the time itself.
"""

from __future__ import annotations

import logging
import os
import select
import sys
from typing import TYPE_CHECKING, Final, TextIO

import structlog
from attrs import define, field

from .recent import RECENT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

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
            RECENT,
            *_rendering(chosen, colors=stream.isatty() and not environ.get("NO_COLOR")),
        ],
        wrapper_class=structlog.make_filtering_bound_logger(
            logging.getLevelNamesMapping()[level.upper()]
        ),
        logger_factory=_SinkFactory(_Sink.of(stream)),
        # Loggers made at import, before this call, must obey it too.
        cache_logger_on_first_use=False,
    )


_AT_ONCE: Final = select.PIPE_BUF
"""Bytes. A pipe that polls as writable takes this many without blocking (pipe(7))."""


@define(eq=False)
class _Sink:
    """Where lines go. A line that cannot be written is lost and counted: the log neither ends the daemon nor blocks it.

    The reader of a pipe may be gone or may not read, the disk may be full. After the next line that can be written
    another one says how many were lost.
    """

    _write: Callable[[bytes], None]
    lost: int = 0

    @classmethod
    def of(cls, stream: TextIO) -> _Sink:
        """A sink for a text stream; written by descriptor if it has one, so that nothing waits in a buffer."""
        try:
            return cls(_Descriptor(stream).write)
        except (OSError, ValueError):  # a stream in memory

            def write(line: bytes) -> None:
                stream.write(line.decode())

            return cls(write)

    def msg(self, message: str) -> None:
        """Write one event. Never raises for an error of the system."""
        try:
            self._write(_line(message))
        except (OSError, ValueError):
            self.lost += 1
            return
        if self.lost:
            count, self.lost = self.lost, 0
            self.msg(f"log.lines_lost count={count}")

    log = debug = info = warn = warning = msg
    err = error = critical = exception = fatal = failure = msg


@define(eq=False)
class _Descriptor:
    """A file, pipe, socket or terminal, written without ever waiting for it."""

    _stream: TextIO
    """Kept, for it closes the descriptor when it goes."""
    _number: int = field(init=False)
    _poll: select.poll = field(factory=select.poll, init=False)

    def __attrs_post_init__(self) -> None:
        self._number = self._stream.fileno()
        self._poll.register(self._number, select.POLLOUT)

    def write(self, line: bytes) -> None:
        """Write all of a line. Raises `OSError` when the system refuses, or would block."""
        while line:
            # The process that started the daemon shares the descriptor, so it stays blocking if it was.
            if not self._poll.poll(0):
                raise BlockingIOError("the log's reader does not read")
            line = line[os.write(self._number, line[:_AT_ONCE]) :]


def _line(message: str) -> bytes:
    # Half a surrogate pair, as os.fsdecode makes them, is written as an escape.
    return message.encode(errors="backslashreplace") + b"\n"


@define(eq=False)
class _SinkFactory:
    """Gives structlog the one sink, which counts, for every logger."""

    _sink: _Sink

    def __call__(self, *_: object) -> _Sink:
        return self._sink


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
