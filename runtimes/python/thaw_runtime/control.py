"""The runtime's end of the control descriptor: one record a datagram (SOCK_SEQPACKET), to and from the agent.

From the agent: START (queued before the process starts) and THAW (queued before restore/next is answered).
To the agent: FROZEN and THAWED, each a report, and in a traced process RECORDs in between.
"""

from __future__ import annotations

import json
import os
import select
from typing import Any

from thaw_runtime import protocol


class ControlError(Exception):
    """The agent did not send the record that is due at this point."""


class Control:
    """The descriptor, read and written with plain read(2) and write(2): one call is one datagram."""

    def __init__(self, descriptor: int) -> None:
        os.set_inheritable(descriptor, False)
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)

    def start(self, *, timeout_ms: int) -> tuple[list[str], bool]:
        """START: names of fixers to leave out, and whether to trace. Raises `ControlError`."""
        flags, body = self._receive(protocol.START, "START", timeout_ms)
        try:
            return protocol.names(body), bool(flags & protocol.TRACE)
        except protocol.Malformed as error:
            raise ControlError(str(error)) from error

    def thaw(self, *, timeout_ms: int) -> bytes:
        """THAW: 64 bytes that are this clone's secret. Raises `ControlError`."""
        _, body = self._receive(protocol.THAW, "THAW", timeout_ms)
        try:
            return protocol.entropy(body)
        except protocol.Malformed as error:
            raise ControlError(str(error)) from error

    def _receive(self, kind: int, name: str, timeout_ms: int) -> tuple[int, bytes]:
        if not self._poll.poll(timeout_ms):
            raise ControlError(f"the agent sent no {name} within {timeout_ms} ms")
        data = os.read(self._descriptor, protocol.LARGEST)
        if not data:
            raise ControlError(f"the agent closed the control descriptor before {name}")
        try:
            found, flags, body = protocol.split(data)
        except protocol.Malformed as error:
            raise ControlError(f"no {name} from the agent: {error}") from error
        if found != kind:
            raise ControlError(f"{name} was to come from the agent, not a record of kind {found}")
        return flags, body

    def send(self, report: bytes) -> None:
        """FROZEN or THAWED (`protocol.report`)."""
        os.write(self._descriptor, report)

    def record(self, record: dict[str, Any]) -> None:
        """One record of a traced process (`recording`)."""
        os.write(self._descriptor, protocol.record(json.dumps(record).encode()))
