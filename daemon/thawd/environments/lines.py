"""The platform's own lines in a function's log, byte for byte as Lambda writes them; tools parse them."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from thaw_agent import wire

if TYPE_CHECKING:
    from collections.abc import Callable

    from thawd.guest.lines import LogLine
    from thawd.logs.book import EnvironmentLog

    from .environment import Start


def into(log: EnvironmentLog) -> Callable[[LogLine], None]:
    """A sink that puts the guest's lines into an environment's log. Records of a traced function are not log lines."""

    def take(line: LogLine) -> None:
        if line.source is not wire.LogSource.RECORD:
            log.write(line.text, at_s=line.timestamp_us / 1e6)

    return take


def init_start_line(runtime_version: str) -> str:
    """The line before an init."""
    return f"INIT_START {runtime_version}"


def init_report_line(
    took_ms: float, *, phase: str = "init", status: str = "", error_type: str = ""
) -> str:
    """The line after an init; `phase` is `invoke` for one that was begun anew within an invocation."""
    ending = _ending(status, error_type)
    return f"INIT_REPORT Init Duration: {took_ms:.2f} ms\tPhase: {phase}{ending}"


SNAPSHOT_NOTE: Final = "SNAPSHOT_NOTE "
"""Begins a line of ours, not Lambda's: what a person should know of a snapshot that was made all the same."""


def snapshot_note_line(note: str) -> str:
    """What thaw_runtime or another language's part noticed while it froze the function."""
    return SNAPSHOT_NOTE + note


def restore_start_line(runtime_version: str) -> str:
    """The line before a restore."""
    return f"RESTORE_START {runtime_version}"


def restore_report_line(took_ms: float, *, status: str = "", error_type: str = "") -> str:
    """The line after a restore."""
    return f"RESTORE_REPORT Restore Duration: {took_ms:.2f} ms{_ending(status, error_type)}"


def _ending(status: str, error_type: str) -> str:
    ending = f"\tStatus: {status}" if status else ""
    return ending + (f"\tError Type: {error_type}" if error_type else "")


def start_line(request_id: str, version: str) -> str:
    """The line before an invocation's own."""
    return f"START RequestId: {request_id} Version: {version}"


def end_line(request_id: str) -> str:
    """The line after an invocation's own."""
    return f"END RequestId: {request_id}"


def timeout_line(request_id: str, timeout_s: float, *, at_s: float) -> str:
    """The line of an invocation that ran out of time."""
    at = datetime.fromtimestamp(at_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
    return f"{at} {request_id} Task timed out after {timeout_s:.2f} seconds"


def report_line(
    request_id: str,
    *,
    duration_ms: float,
    memory_mib: int,
    max_memory_bytes: int,
    start: Start | None,
    status: str = "",
    error_type: str = "",
) -> str:
    """The REPORT line. `start` is given for the first invocation of an environment only.

    Billed Duration is Duration rounded up to 1 ms plus Billed Restore Duration (Lambda, log format).
    """
    restored = start is not None and start.how == "restore"
    billed = math.ceil(duration_ms) + (start.billed_ms if start is not None and restored else 0)
    fields = [
        f"REPORT RequestId: {request_id}",
        f"Duration: {duration_ms:.2f} ms",
        f"Billed Duration: {billed} ms",
        f"Memory Size: {memory_mib} MB",
        # /tmp is memory here and allowed for on top: a function killed for its memory may have had more than its size.
        f"Max Memory Used: {min(memory_mib, math.ceil(max_memory_bytes / (1 << 20)))} MB",
    ]
    if start is not None and restored:
        fields += [
            f"Restore Duration: {start.took_ms:.2f} ms",
            f"Billed Restore Duration: {start.billed_ms} ms",
        ]
    elif start is not None and start.runtime_ms:
        # An init that began anew within the invocation is in its duration.
        fields.append(f"Init Duration: {start.runtime_ms:.2f} ms")
    line = "\t".join(fields) + "\t"
    if status:
        line += f"Status: {status}"
    if error_type:
        line += f"\tError Type: {error_type}"
    return line
