"""A client for the QEMU Machine Protocol (QEMU, docs/interop/qmp-spec) on one connected Unix socket.

Several commands may be in flight; replies are told apart by id. Descriptors travel beside a command (`getfd`).
"""

from __future__ import annotations

import array
import json
import math
import socket
from contextlib import asynccontextmanager, contextmanager
from itertools import count
from typing import TYPE_CHECKING, Any, Final

import trio
from attrs import define, field, frozen

from thawd.engines.machine import ANSWER_S
from thawd.errors import EngineError, MachineDied
from thawd.nurseries import helpers

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

_RECEIVE_BYTES: Final = 64 * 1024
_MAX_LINE_BYTES: Final = 16 * 1024 * 1024
"""A message of this size is not QMP; the largest replies (`query-qmp-schema`) have some hundred KiB."""
_EVENT_BACKLOG: Final = 256


class QmpError(EngineError):
    """QEMU refused a command. `error_class` and `description` are QEMU's own words."""

    def __init__(self, command: str, error_class: str, description: str) -> None:
        super().__init__(f"QEMU refused {command}: {description}")
        self.command = command
        self.error_class = error_class
        self.description = description


class QmpProtocolError(EngineError):
    """The bytes that came are not QMP."""


class QmpSilence(MachineDied):
    """QEMU has not answered a command in time. The connection is of no use any more: replies would come out of step."""


@frozen
class Event:
    """Something QEMU said unasked, such as `STOP` or `MIGRATION`."""

    name: str
    data: dict[str, Any] = field(factory=dict)


@frozen
class Greeting:
    """QEMU's first words: its version as `--version` prints it, such as `10.0.2 (Debian 1:10.0.2+ds-2)`."""

    version: str


class MessageReader:
    """Bytes in, JSON objects out: one object a line (QMP: each ends with CR LF)."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes | bytearray) -> list[dict[str, Any]]:
        """Take bytes as they came, return the objects they complete. Raises `QmpProtocolError`."""
        searched = len(self._buffer)
        self._buffer += data
        if self._buffer.find(b"\n", searched) < 0:
            if len(self._buffer) > _MAX_LINE_BYTES:
                raise QmpProtocolError(f"a QMP line is longer than {_MAX_LINE_BYTES} bytes")
            return []
        *lines, rest = self._buffer.split(b"\n")
        self._buffer = rest
        return [_parse(line) for line in lines if line.strip()]


def _parse(line: bytearray) -> dict[str, Any]:
    try:
        message = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise QmpProtocolError(f"not a QMP message: {bytes(line[:200])!r}: {error}") from error
    if not isinstance(message, dict):
        raise QmpProtocolError(f"not a QMP object: {bytes(line[:200])!r}")
    return message


def parse_greeting(message: dict[str, Any]) -> Greeting:
    """The greeting in QEMU's first message. Raises `QmpProtocolError`."""
    try:
        version = message["QMP"]["version"]
        number = "{major}.{minor}.{micro}".format(**version["qemu"])
        package = version["package"]
    except (KeyError, TypeError) as error:
        raise QmpProtocolError(f"not a QMP greeting: {str(message)[:200]}") from error
    return Greeting(f"{number} ({package})" if package else number)


@define(eq=False)
class _Pending:
    command: str
    done: trio.Event = field(factory=trio.Event)
    reply: dict[str, Any] | None = None


@define(eq=False)
class QmpClient:
    """A connection in command mode. Made by `connect_qmp`, whose scope owns its reader task and its socket."""

    greeting: Greeting
    _socket: trio.socket.SocketType
    _ids: Iterator[int] = field(factory=count)
    _pending: dict[int, _Pending] = field(factory=dict)
    _subscribers: list[trio.MemorySendChannel[Event]] = field(factory=list)
    _sending: trio.Lock = field(factory=trio.Lock)
    _closed: str = ""

    async def execute(
        self,
        command: str,
        *,
        descriptor: int | None = None,
        limit_s: float = ANSWER_S,
        **arguments: Any,
    ) -> Any:
        """Run a command; returns what QEMU returned. Underscores in argument names become hyphens.

        `descriptor` is sent along, for `getfd`; it stays the caller's to close. When the caller is cancelled, the
        command may still run: its reply is thrown away. Raises `QmpError`, `MachineDied` when the connection ends
        before the reply, and `QmpSilence` when there is none within `limit_s`: the connection is closed then.
        """
        message: dict[str, Any] = {"execute": command, "id": next(self._ids)}
        if arguments:
            message["arguments"] = {
                name.replace("_", "-"): value for name, value in arguments.items()
            }
        pending = self._pending[message["id"]] = _Pending(command)
        try:
            if not self._closed:
                with trio.move_on_after(limit_s) as limit:
                    await self._send(json.dumps(message).encode() + b"\n", descriptor)
                    await pending.done.wait()
                if limit.cancelled_caught and pending.reply is None:
                    silence = f"QEMU did not answer {command} within {limit_s:g} s"
                    self._close(silence)
                    raise QmpSilence(silence)
        finally:
            del self._pending[message["id"]]
        if pending.reply is None:
            raise MachineDied(f"QEMU ended during {command}: {self._closed}")
        if (error := pending.reply.get("error")) is not None:
            raise QmpError(command, str(error.get("class", "")), str(error.get("desc", "")))
        return pending.reply["return"]

    @contextmanager
    def events(self) -> Iterator[trio.MemoryReceiveChannel[Event]]:
        """All events from now on. The channel ends with the connection.

        Events beyond a backlog of 256 are dropped for a subscriber that does not read them.
        """
        send, receive = trio.open_memory_channel[Event](_EVENT_BACKLOG)
        if self._closed:
            send.close()
        self._subscribers.append(send)
        try:
            yield receive
        finally:
            self._subscribers.remove(send)
            send.close()
            receive.close()

    async def read(self, reader: MessageReader, waiting: list[dict[str, Any]]) -> None:
        """Hand out replies and events until the connection ends. Run by `connect_qmp`."""
        reason = "the connection was closed"
        try:
            while True:
                for message in waiting:
                    self._dispatch(message)
                data = await self._socket.recv(_RECEIVE_BYTES)
                if not data:
                    return
                waiting = reader.feed(data)
        except OSError as error:
            reason = str(error)
        except QmpProtocolError as error:
            reason = error.message
        finally:
            self._close(reason)

    async def _send(self, data: bytes, descriptor: int | None) -> None:
        async with self._sending:
            if self._closed:
                return  # closed while we waited for the lock: the callers have been told
            rights = []
            if descriptor is not None:
                rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [descriptor]))]
            sent = 0
            try:
                sent = await self._socket.sendmsg([data], rights)
                while sent < len(data):
                    sent += await self._socket.send(data[sent:])
            except OSError as error:
                self._close(str(error))
            finally:
                if 0 < sent < len(data):
                    # Half a command went out and we were cancelled: nothing sensible can follow it.
                    self._close("a command was cut off half-way")

    def _dispatch(self, message: dict[str, Any]) -> None:
        if "event" in message:
            event = Event(str(message["event"]), message.get("data", {}))
            for subscriber in self._subscribers:
                try:
                    subscriber.send_nowait(event)
                except (trio.WouldBlock, trio.BrokenResourceError):
                    continue
        elif "return" in message or "error" in message:
            pending = self._pending.get(message.get("id", -1))
            if pending is not None:
                pending.reply = message
                pending.done.set()
            elif "id" not in message:
                # QEMU could not even parse a command, so it does not know which: all that wait would wait for ever.
                raise QmpProtocolError(f"QEMU did not understand: {message.get('error')}")
        else:
            raise QmpProtocolError(f"unknown QMP message: {str(message)[:200]}")

    def _close(self, reason: str) -> None:
        self._closed = self._closed or reason
        for subscriber in self._subscribers:
            subscriber.close()
        for pending in self._pending.values():
            pending.done.set()


@asynccontextmanager
async def connect_qmp(connection: trio.socket.SocketType) -> AsyncIterator[QmpClient]:
    """Greet QEMU over a connected socket and enter command mode. The socket is closed with the scope.

    Raises `QmpProtocolError`, and `MachineDied` when the connection ends first.
    """
    reader = MessageReader()
    with connection:
        messages: list[dict[str, Any]] = []
        while not messages:
            try:
                data = await connection.recv(_RECEIVE_BYTES)
            except OSError as error:
                raise MachineDied(f"QEMU ended before it said a word: {error}") from error
            if not data:
                raise MachineDied("QEMU ended before it said a word")
            messages = reader.feed(data)
        client = QmpClient(parse_greeting(messages.pop(0)), connection)
        async with helpers() as nursery:
            nursery.start_soon(client.read, reader, messages)
            # The caller's deadline is the one for the whole start.
            await client.execute("qmp_capabilities", limit_s=math.inf)
            yield client
