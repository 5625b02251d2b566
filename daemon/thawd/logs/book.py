"""Functions' logs: one append-only file a version, newline-delimited JSON, bounded, with followers.

A line is `{"timestamp": "2026-11-23T07:00:00.000Z", "stream": "2026/11/23/[1]<32 hex>", "message": "..."}`: what
CloudWatch Logs keeps of a Lambda log event.
"""

from __future__ import annotations

import json
import secrets
from collections import deque
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, TextIO

import structlog
import trio
from attrs import define, field

from thawd.catalog.models import LATEST

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_log = structlog.get_logger()

_LATEST_S: Final = 253_402_300_799.0
"""The end of year 9999, the last time that a timestamp can spell. A guest may claim any."""

_FOLLOWER_LINES: Final = 1000
"""Lines a slow follower may fall behind before it loses some."""


def new_stream_name(version: str, now: datetime) -> str:
    """A log stream's name as Lambda builds it: date, version, 32 hex digits."""
    return f"{now:%Y/%m/%d}/[{version}]{secrets.token_hex(16)}"


def _timestamp(at_s: float) -> str:
    when = datetime.fromtimestamp(min(max(at_s, 0.0), _LATEST_S), UTC)
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@define
class LogBook:
    """All functions' logs under one directory; a file is turned over at `retention_bytes` and one old one kept."""

    directory: Path
    retention_bytes: int = 16 << 20
    lost: int = 0
    """Lines that could not be written: the disk is full, or refuses. They reach followers all the same."""
    _failing: bool = False
    _files: dict[Path, TextIO] = field(factory=dict)
    _followers: dict[Path, list[trio.MemorySendChannel[str]]] = field(factory=dict)

    def path(self, function_name: str, version: str) -> Path:
        """The file of a version's log."""
        return self.directory / function_name / f"{version.replace(LATEST, 'LATEST')}.ndjson"

    def write(
        self, function_name: str, version: str, stream: str, message: str, *, at_s: float
    ) -> None:
        """Append one line; `at_s` in seconds since the epoch.

        Never raises for what the disk refuses: a log that cannot be written costs lines, and neither an invocation nor
        a publish.
        """
        path = self.path(function_name, version)
        entry = {"timestamp": _timestamp(at_s), "stream": stream, "message": message}
        line = json.dumps(entry)
        try:
            self._append(path, line)
        except OSError as error:
            self.lost += 1
            if not self._failing:
                self._failing = True
                _log.error("logbook.cannot_write", path=str(path), reason=str(error))
        else:
            if self._failing:
                self._failing = False
                _log.info("logbook.writes_again", lines_lost=self.lost)
        for follower in self._followers.get(path, ()):
            try:
                follower.send_nowait(line)
            except trio.WouldBlock:
                pass  # a follower that does not read loses lines, not the function its log
            except trio.BrokenResourceError:
                pass

    def tail(self, function_name: str, version: str, lines: int) -> list[str]:
        """The last lines of a version's log, oldest first, each one JSON object."""
        kept: deque[str] = deque(maxlen=max(0, lines))
        path = self.path(function_name, version)
        for part in (path.with_suffix(".1.ndjson"), path):
            if part.exists():
                with part.open(encoding="utf-8") as file:
                    kept.extend(line.rstrip("\n") for line in file)
        return list(kept)

    @contextmanager
    def follow(self, function_name: str, version: str) -> Iterator[trio.MemoryReceiveChannel[str]]:
        """Lines written from now on."""
        path = self.path(function_name, version)
        send, receive = trio.open_memory_channel[str](_FOLLOWER_LINES)
        followers = self._followers.setdefault(path, [])
        followers.append(send)
        try:
            yield receive
        finally:
            followers.remove(send)
            send.close()
            receive.close()

    def forget(self, function_name: str) -> None:
        """Close the files of a function that was deleted. Its log stays on disk, as it does in Lambda."""
        for path in [path for path in self._files if path.parent.name == function_name]:
            self._files.pop(path).close()

    def close(self) -> None:
        """Close every file."""
        for file in self._files.values():
            file.close()
        self._files.clear()

    def _append(self, path: Path, line: str) -> None:
        file = self._open(path)
        try:
            file.write(line + "\n")
            file.flush()
            if file.tell() > self.retention_bytes:
                self._files.pop(path).close()
                path.rename(path.with_suffix(".1.ndjson"))
        except OSError:
            # What its buffer holds would be tried again with the next line.
            self._files.pop(path, None)
            with suppress(OSError):
                file.close()
            raise

    def _open(self, path: Path) -> TextIO:
        file = self._files.get(path)
        if file is None:
            path.parent.mkdir(parents=True, exist_ok=True)
            file = self._files[path] = path.open("a", encoding="utf-8")
        return file


@define
class EnvironmentLog:
    """The log of one execution environment: one stream of one version, and the tail that `LogType: Tail` returns.

    Without a book nothing is kept: of machines that are no part of the service.
    """

    _book: LogBook | None
    function_name: str
    version: str
    stream: str
    _tail: deque[str] | None = None

    def write(self, message: str, *, at_s: float) -> None:
        """Append one line; `at_s` in seconds since the epoch."""
        if self._tail is not None:
            self._tail.append(message)
        if self._book is not None:
            self._book.write(self.function_name, self.version, self.stream, message, at_s=at_s)

    def start_tail(self) -> None:
        """Begin to keep lines for `LogType: Tail`."""
        self._tail = deque(maxlen=1000)

    def take_tail(self) -> bytes:
        """The last 4 KiB of what was written since `start_tail` (Lambda API, `X-Amz-Log-Result`)."""
        kept, self._tail = self._tail or deque(), None
        return "".join(line + "\n" for line in kept).encode()[-4096:]
