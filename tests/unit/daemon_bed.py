"""The whole daemon on pretended machines, one start after the other on one state directory."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
import structlog
from attrs import define, field

from thawd.engines.testing import FakeEngine
from thawd.guest.testing import FakeFunction
from thawd.testing import RunningDaemon, running_daemon, without_threads

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path


@define
class Bed:
    """Starts daemons; `engine_identity` and `function` are those of the next start."""

    directory: Path
    events: list[dict[str, Any]]
    """What the daemon's own log has said."""
    function: FakeFunction = field(factory=FakeFunction)
    engine_identity: str = "fake 1"
    settings: dict[str, Any] = field(factory=lambda: {"pool": {"ready": 0}})

    @asynccontextmanager
    async def daemon(self, **options: Any) -> AsyncIterator[RunningDaemon]:
        """One start of the daemon."""
        engine = FakeEngine(guest=self.function.guest, identity=self.engine_identity)
        async with running_daemon(
            self.directory,
            self.function,
            engine=engine,
            **{"settings": self.settings, **options},
        ) as daemon:
            yield daemon

    def said(self, event: str) -> list[dict[str, Any]]:
        """The entries of the daemon's log with this event."""
        return [entry for entry in self.events if entry["event"] == event]

    def snapshot(self, name: str, version: str = "1") -> Path:
        """Where a version's snapshot is."""
        return self.directory / "snapshots" / "functions" / name / version


@pytest.fixture
def bed(tmp_path: Path) -> Iterator[Bed]:
    """A state directory. The test itself asks for `autojump_clock`: pytest-trio looks nowhere else."""
    with structlog.testing.capture_logs() as events, without_threads():
        yield Bed(tmp_path / "state", events)
        assert [entry for entry in events if entry["event"].endswith(".crashed")] == []
