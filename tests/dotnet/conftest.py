"""Fixtures of .NET's tests."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import host_bed
import process_bed
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from agent_bed import Bed
    from host_bed import HostBed


@pytest.fixture
def launch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Bed]]:
    """Start a command under an agent, with variables: `launch(executed("App.dll"), DOTNET_gcServer="1")`."""
    with process_bed.launching(tmp_path, monkeypatch) as launch:
        yield launch


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., HostBed]]:
    """Start a class library as `host_bed.start` does: `serve(folder, "Shop::Shop.Function::Handle", "snap-start")`."""
    with contextlib.ExitStack() as beds:

        def serve(folder: Path, handler: str, kind: str = "on-demand", **more: Any) -> HostBed:
            return beds.enter_context(host_bed.start(tmp_path, folder, handler, kind, **more))

        yield serve
