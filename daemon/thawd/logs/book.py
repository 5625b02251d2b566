"""Functions' logs: append-only files, newline-delimited JSON, bounded for each function, with followers.

A line is `{"timestamp": "2026-11-23T07:00:00.000Z", "stream": "2026/11/23/[1]<32 hex>", "message": "..."}`: what
CloudWatch Logs keeps of a Lambda log event. A version writes `<version>.ndjson`; a file that has its size is turned over
to `<version>.<n>.ndjson`, and the files of a function that were not written for longest go first.

The log of a function that was deleted stays, as it does in Lambda. All such functions together may keep as much as one
that is there; the collector sees to it (`of_deleted`, `remove`).
"""

from __future__ import annotations

import errno
import json
import os
import re
import secrets
from collections import OrderedDict, deque
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog
import trio
from attrs import define, field, frozen

from thawd.catalog.models import LATEST

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from thawd.reserve import Reserve

_log = structlog.get_logger()

_LATEST_S: Final = 253_402_300_799.0
"""The end of year 9999, the last time that a timestamp can spell. A guest may claim any."""

_FOLLOWER_LINES: Final = 1000
"""Lines a slow follower may fall behind before it loses some."""

_MOST_OPEN: Final = 64
"""Files held open; the one not written for longest is closed for another."""

_PARTS: Final = 8
"""A file has its size at this part of what a function may keep: so much is lost at once when the oldest goes."""

_CUT: Final = 64
"""A message that would fill a quarter of what a function may keep is cut to this part of it, counted in characters:
JSON spells one in at most 12 bytes."""

_BLOCK: Final = 64 * 1024
_TAIL_BYTES: Final = 4 << 20
"""Bytes of a log that `tail` reads at most: it does so on the loop."""

_TAIL: Final = 4096
"""Bytes that `LogType: Tail` returns (Lambda API, `X-Amz-Log-Result`)."""

_Key = tuple[str, str]


def new_stream_name(version: str, now: datetime) -> str:
    """A log stream's name as Lambda builds it: date, version, 32 hex digits."""
    return f"{now:%Y/%m/%d}/[{version}]{secrets.token_hex(16)}"


def _timestamp(at_s: float) -> str:
    when = datetime.fromtimestamp(min(max(at_s, 0.0), _LATEST_S), UTC)
    return when.isoformat(timespec="milliseconds").replace("+00:00", "Z")


@frozen(kw_only=True)
class LogBookStatistics:
    """Files held open, and lines that could not be written so far."""

    open_files: int
    lost: int


@define(eq=False)
class _File:
    descriptor: int
    size: int


@define
class LogBook:
    """All functions' logs under one directory: of each function, at most `retention_bytes` with all its versions."""

    directory: Path
    retention_bytes: int = 16 << 20
    reserve: Reserve | None = None
    """Given up when a line finds no room: this is where a full disk is noticed first."""
    lost: int = 0
    """Lines that could not be written: the disk is full, or refuses. They reach followers all the same."""
    _failing: bool = False
    _files: OrderedDict[_Key, _File] = field(factory=OrderedDict)
    _used: dict[str, int] = field(factory=dict)
    """Bytes on disk by function; of those that were written to since the start."""
    _followers: dict[_Key, list[trio.MemorySendChannel[str]]] = field(factory=dict)

    def statistics(self) -> LogBookStatistics:
        """Figures of this moment."""
        return LogBookStatistics(open_files=len(self._files), lost=self.lost)

    def path(self, function_name: str, version: str) -> Path:
        """The file that a version's lines go to now."""
        return self.directory / function_name / f"{_stem(version)}.ndjson"

    def write(
        self, function_name: str, version: str, stream: str, message: str, *, at_s: float
    ) -> None:
        """Append one line; `at_s` in seconds since the epoch.

        Never raises for what the disk refuses: a log that cannot be written costs lines, and neither an invocation nor
        a publish.
        """
        key = (function_name, version)
        entry = {"timestamp": _timestamp(at_s), "stream": stream, "message": message}
        line = json.dumps(entry)
        if len(line) > self.retention_bytes // 4:
            entry["message"] = message[: self.retention_bytes // _CUT]
            line = json.dumps(entry)
        try:
            self._append(key, line.encode() + b"\n")
        except OSError as error:
            self.lost += 1
            if not self._failing:
                self._failing = True
                if self.reserve is not None:
                    self.reserve.give_up()
                _log.error("logbook.cannot_write", path=str(self.path(*key)), reason=str(error))
        else:
            if self._failing:
                self._failing = False
                if self.reserve is not None:
                    self.reserve.lay_in()
                _log.info("logbook.writes_again", lines_lost=self.lost)
        for follower in self._followers.get(key, ()):
            try:
                follower.send_nowait(line)
            except trio.WouldBlock:
                pass  # a follower that does not read loses lines, not the function its log
            except trio.BrokenResourceError:
                pass

    def tail(self, function_name: str, version: str, lines: int) -> list[str]:
        """The last lines of a version's log, oldest first, each one JSON object. Reads 4 MiB at most."""
        found: deque[bytes] = deque()
        room = _TAIL_BYTES
        for part in reversed(self._parts(function_name, version)):
            wanted = lines - len(found)
            if wanted <= 0 or room <= 0:
                break
            # A part that cannot be read, or that goes meanwhile, is missing in the answer.
            with suppress(OSError):
                read, last = _last_lines(part, wanted, room)
                room -= read
                found.extendleft(reversed(last))
        return [line.decode(errors="replace") for line in found]

    @contextmanager
    def follow(self, function_name: str, version: str) -> Iterator[trio.MemoryReceiveChannel[str]]:
        """Lines written from now on."""
        key = (function_name, version)
        send, receive = trio.open_memory_channel[str](_FOLLOWER_LINES)
        followers = self._followers.setdefault(key, [])
        followers.append(send)
        try:
            yield receive
        finally:
            followers.remove(send)
            if not followers and self._followers.get(key) is followers:
                del self._followers[key]
            send.close()
            receive.close()

    def forget(self, function_name: str) -> None:
        """Close the files of a function that was deleted. Its log stays on disk until room is needed (`of_deleted`)."""
        for key in [key for key in self._files if key[0] == function_name]:
            self._close(key)
        self._used.pop(function_name, None)

    def of_deleted(self, names: Iterable[str]) -> list[tuple[str, Path]]:
        """Files that must go so that the logs of these deleted functions fit, with their function; oldest first.

        Reads directories only, and may be called in a thread.
        """
        found = [(*part, name) for name in names for part in self._of_function(name)]
        used = sum(size for _, _, size, _ in found)
        too_many = []
        for _, part, size, name in sorted(found):
            if used <= self.retention_bytes:
                break
            too_many.append((name, part))
            used -= size
        return too_many

    def remove(self, function_name: str, part: Path) -> None:
        """Remove a file of a function's log, and its folder with the last one. Raises `OSError`."""
        self._remove(part)
        self._used.pop(function_name, None)
        with suppress(OSError):
            part.parent.rmdir()

    def close(self) -> None:
        """Close every file."""
        for key in list(self._files):
            self._close(key)

    def _append(self, key: _Key, data: bytes) -> None:
        name = key[0]
        file = self._open(key)
        if file.size and file.size + len(data) > self.retention_bytes // _PARTS:
            self._turn_over(key)
            file = self._open(key)
        if self._used[name] + len(data) > self.retention_bytes:
            self._make_room(key, len(data))
        try:
            _write_all(file.descriptor, data)
        except OSError:
            # Half a line may be there. What cannot be cut off now is when the file is opened again.
            with suppress(OSError):
                os.ftruncate(file.descriptor, file.size)
            self._close(key)
            self._used.pop(name, None)
            raise
        file.size += len(data)
        self._used[name] += len(data)

    def _open(self, key: _Key) -> _File:
        file = self._files.get(key)
        if file is not None:
            self._files.move_to_end(key)
        else:
            while len(self._files) >= _MOST_OPEN:
                self._close(next(iter(self._files)))
            path = self.path(*key)
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                size = os.fstat(descriptor).st_size
                whole = _end_of_last_line(descriptor, size)
                if (
                    whole < size
                ):  # of a daemon that died, or a disk that was full, in the middle of a line
                    os.ftruncate(descriptor, whole)
            except BaseException:
                os.close(descriptor)
                raise
            file = self._files[key] = _File(descriptor, whole)
        if key[0] not in self._used:
            self._used[key[0]] = sum(size for _, _, size in self._of_function(key[0]))
        return file

    def _close(self, key: _Key) -> None:
        # An error of close() says nothing that write() has not said.
        with suppress(OSError):
            os.close(self._files.pop(key).descriptor)

    def _turn_over(self, key: _Key) -> None:
        self._close(key)
        path = self.path(*key)
        last = max((_part_number(part) for part in self._parts(*key)), default=0)
        path.rename(path.with_name(f"{path.stem}.{last + 1}.ndjson"))

    def _make_room(self, key: _Key, size: int) -> None:
        """Remove the files of a function that were not written for longest, but for the one to be written."""
        name, writing = key[0], self.path(*key)
        parts = self._of_function(name)
        used = sum(part_size for _, _, part_size in parts)
        most = self.retention_bytes - self.retention_bytes // _PARTS
        for _, part, part_size in sorted(parts):
            if used + size <= most:
                break
            if part == writing:
                continue
            self._remove(part)
            used -= part_size
        self._used[name] = used

    def _remove(self, part: Path) -> None:
        for key in [key for key in self._files if self.path(*key) == part]:
            self._close(key)
        part.unlink(missing_ok=True)

    def _of_function(self, function_name: str) -> list[tuple[int, Path, int]]:
        """(time of the last write, path, bytes) of each file of a function's log."""
        found = []
        with suppress(FileNotFoundError), os.scandir(self.directory / function_name) as entries:
            for entry in entries:
                with suppress(FileNotFoundError):
                    status = entry.stat(follow_symlinks=False)
                    found.append((status.st_mtime_ns, Path(entry.path), status.st_size))
        return found

    def _parts(self, function_name: str, version: str) -> list[Path]:
        """The files of a version's log, oldest first."""
        ours = re.compile(rf"{re.escape(_stem(version))}(\.[0-9]+)?\.ndjson")
        try:
            parts = [
                part
                for part in (self.directory / function_name).iterdir()
                if ours.fullmatch(part.name)
            ]
        except OSError:
            return []
        return sorted(parts, key=lambda part: _part_number(part) or float("inf"))


def _stem(version: str) -> str:
    return version.replace(LATEST, "LATEST")


def _part_number(path: Path) -> int:
    """How manieth part of its version's log was turned over to this file; 0 for the one that is written."""
    _, _, number = path.stem.partition(".")
    return int(number or 0)


def _write_all(descriptor: int, data: bytes) -> None:
    if os.write(descriptor, data) < len(data):  # no room for the rest of it
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _end_of_last_line(descriptor: int, size: int) -> int:
    """Where the last whole line of a file ends."""
    end = size
    while end > 0:
        start = max(0, end - _BLOCK)
        found = os.pread(descriptor, end - start, start).rfind(b"\n")
        if found >= 0:
            return start + found + 1
        end = start
    return 0


def _last_lines(path: Path, wanted: int, most_bytes: int) -> tuple[int, list[bytes]]:
    """So many lines from the end of a file, and how many bytes were read for them."""
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        start = end = os.fstat(descriptor).st_size
        data, block = b"", _BLOCK
        while start > 0 and len(data) < most_bytes and data.count(b"\n") <= wanted:
            start = max(0, start - block, end - most_bytes)
            data = os.pread(descriptor, end - start - len(data), start) + data
            block *= 2
    finally:
        os.close(descriptor)
    # What follows the last newline was not written to its end; what comes before the first may begin further up.
    *lines, _half = data.split(b"\n")
    if start > 0:
        lines = lines[1:]
    return len(data), [line for line in lines if line.startswith(b"{")][-wanted:]


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
            self._tail.append(message[-_TAIL:])
        if self._book is not None:
            self._book.write(self.function_name, self.version, self.stream, message, at_s=at_s)

    def start_tail(self) -> None:
        """Begin to keep lines for `LogType: Tail`."""
        self._tail = deque(maxlen=1000)

    def take_tail(self) -> bytes:
        """The last 4 KiB of what was written since `start_tail`."""
        kept, self._tail = self._tail or deque(), None
        return "".join(line + "\n" for line in kept).encode()[-_TAIL:]
