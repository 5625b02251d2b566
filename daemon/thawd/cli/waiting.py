"""Waiting for a function or version, as Lambda's waiters do: by asking for its state."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from .client import Client
    from .terminal import Terminal

_FIRST_DELAY_S: Final = 0.02
_LONGEST_DELAY_S: Final = 0.5
"""Lambda's API offers nothing but asking. The delay grows with what was waited for already, so that it never adds
more than a fifth."""


def until_settled(
    client: Client,
    terminal: Terminal,
    name: str,
    qualifier: str | None,
    title: str,
    *,
    sleep: Callable[[float], None] = time.sleep,
) -> dict[str, Any]:
    """Show progress until `State` is not Pending and no update is in progress; returns the configuration then."""
    with terminal.progress(title) as progress:
        while True:
            configuration = client.get_configuration(name, qualifier)
            state = configuration.get("State") or "Active"
            update = configuration.get("LastUpdateStatus")
            if state != "Pending" and update != "InProgress":
                return configuration
            progress.update(configuration.get("StateReason") or state)
            sleep(min(_LONGEST_DELAY_S, max(_FIRST_DELAY_S, progress.elapsed_s / 5)))
