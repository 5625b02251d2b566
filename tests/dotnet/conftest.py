"""Fixtures of .NET's tests."""

from __future__ import annotations

from typing import TYPE_CHECKING

import process_bed
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from agent_bed import Bed


@pytest.fixture
def launch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Bed]]:
    """Start a command under an agent, with variables: `launch(executed("App.dll"), DOTNET_gcServer="1")`."""
    with process_bed.launching(tmp_path, monkeypatch) as launch:
        yield launch
