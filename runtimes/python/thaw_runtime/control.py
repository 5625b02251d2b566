"""The runtime's end of the control descriptor: one JSON object a datagram (SOCK_SEQPACKET), to and from the agent.

From the agent: `start` (queued before the process starts) and `thaw` (queued before restore/next is answered).
To the agent: `frozen` and `thawed`, each with a report, and in a traced process `record`s in between.
"""

from __future__ import annotations

import json
import os
import select
from typing import Any, Final

_LARGEST_DATAGRAM: Final = 128 * 1024
"""Bytes. Well under Linux's default socket buffer (212,992), which bounds one SOCK_SEQPACKET datagram."""
_LARGEST_REPORT: Final = _LARGEST_DATAGRAM * 3 // 4
"""The agent keeps to the limit too, and measures a report with the spaces that JSON may have."""


class ControlError(Exception):
    """The agent did not say what it has to say at this point."""


class Control:
    """The descriptor, read and written with plain read(2) and write(2): one call is one datagram."""

    def __init__(self, descriptor: int) -> None:
        os.set_inheritable(descriptor, False)
        self._descriptor = descriptor
        self._poll = select.poll()
        self._poll.register(descriptor, select.POLLIN)

    def receive(self, kind: str, *, timeout_ms: int) -> dict[str, Any]:
        """The next datagram, which must be of this type. Raises `ControlError`."""
        if not self._poll.poll(timeout_ms):
            raise ControlError(f"the agent sent no {kind!r} message within {timeout_ms} ms")
        data = os.read(self._descriptor, _LARGEST_DATAGRAM)
        if not data:
            raise ControlError(f"the agent closed the control descriptor before {kind!r}")
        message = json.loads(data)
        if not isinstance(message, dict) or message.get("type") != kind:
            raise ControlError(f"expected {kind!r} from the agent, got {data[:80]!r}")
        return message

    def send(self, kind: str, report: dict[str, Any]) -> None:
        """One report. Hooks, then notes are cut if it would not fit into one datagram; the report says so."""
        data = _encode(kind, report)
        for key, kept in (("hooks", 64), ("notes", 0)):
            whole = list(report.get(key, ()))
            part, more = whole, [f"further {key} did not fit"]
            while len(data) > _LARGEST_REPORT and len(part) > kept:
                part = part[: len(part) // 2]
                notes = part if key == "notes" else list(report.get("notes", ()))
                said = {key: part, "notes": [*more, *notes]}
                data = _encode(kind, {**report, **said})
            if len(part) < len(whole):
                report = {**report, **said}
        os.write(self._descriptor, data)

    def record(self, record: dict[str, Any]) -> None:
        """One record of a traced process (`recording`)."""
        os.write(self._descriptor, json.dumps({"type": "record", "record": record}).encode())


def _encode(kind: str, report: dict[str, Any]) -> bytes:
    return json.dumps({"type": kind, "report": report}, separators=(",", ":")).encode()
