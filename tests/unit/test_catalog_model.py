"""The catalog against a plain dictionary: any sequence of calls, with crashes in between."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import Any

import pytest
from attrs import evolve
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from thawd.catalog import states
from thawd.catalog.errors import FunctionExists, FunctionNotFound, StaleRevision, StateConflict
from thawd.catalog.models import LATEST, ApplyOn, Code, FunctionVersion, State, UpdateStatus
from thawd.catalog.store import Catalog

names = st.sampled_from(["a", "b", "A-b_1"])
numbers = st.integers(1, 6).map(str)


STEPS = {
    (State.PENDING, State.ACTIVE),
    (State.PENDING, State.FAILED),
    (State.PENDING, State.INACTIVE),
    (State.ACTIVE, State.PENDING),
    (State.INACTIVE, State.PENDING),
}
"""A snapshot is made, or made again; nothing else happens to a version."""


class CatalogMachine(RuleBasedStateMachine):
    """`self.model` is {name: {version: FunctionVersion}}; `self.used` the highest number ever given by name.

    `self.ever` holds the names of all functions that there have been.
    """

    @initialize()
    def begin(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="thawd-catalog-"))
        self.path = self.directory / "catalog.db"
        self.catalog = Catalog.open(self.path)
        self.model: dict[str, dict[str, FunctionVersion]] = {}
        self.used: dict[str, int] = {}
        self.ever: set[str] = set()
        self.of_latest: dict[tuple[str, str], Any] = {}

    def teardown(self) -> None:
        if hasattr(self, "catalog"):
            self.catalog.close()
            shutil.rmtree(self.directory)

    def expect(self, error: type[Exception] | None, call: Any) -> Any:
        if error is None:
            return call()
        with pytest.raises(error) as caught:
            call()
        assert type(caught.value) is error
        return None

    @rule(name=names, snap=st.sampled_from(ApplyOn))
    def create(self, name: str, snap: ApplyOn) -> None:
        draft = FunctionVersion(
            function_name=name,
            version=LATEST,
            runtime="python3.13",
            handler="app.handler",
            role="r",
            code=Code(sha256="c0", size=1),
            snap_start=snap,
        )
        error = FunctionExists if name in self.model else None
        made = self.expect(error, lambda: self.catalog.create_function(draft))
        if made is not None:
            assert made.state is State.ACTIVE
            self.model[name] = {LATEST: made}
            self.ever.add(name)

    @rule(name=names, timeout=st.integers(1, 3), stale=st.booleans(), snap=st.sampled_from(ApplyOn))
    def update(self, name: str, timeout: int, stale: bool, snap: ApplyOn) -> None:  # noqa: FBT001
        known = self.model.get(name)
        error = FunctionNotFound if known is None else StaleRevision if stale else None
        revision = "stale" if stale else known[LATEST].revision_id if known else None
        changed = self.expect(
            error,
            lambda: self.catalog.update_latest(
                name,
                lambda version: evolve(version, timeout_s=timeout, snap_start=snap),
                revision_id=revision,
            ),
        )
        if changed is not None:
            assert known is not None
            assert changed.revision_id != known[LATEST].revision_id
            known[LATEST] = changed

    @rule(name=names)
    def publish(self, name: str) -> None:
        known = self.model.get(name)
        error = FunctionNotFound if known is None else None
        result = self.expect(error, lambda: self.catalog.publish_version(name))
        if result is None or known is None:
            return
        version, new = result
        latest = known[LATEST]
        last = max((int(number) for number in known if number != LATEST), default=None)
        same = (
            last is not None
            and known[str(last)].state is not State.FAILED
            and (known[str(last)].timeout_s, known[str(last)].snap_start)
            == (latest.timeout_s, latest.snap_start)
        )
        assert new is not same
        if same:
            assert version == known[str(last)]
            return
        self.used[name] = self.used.get(name, 0) + 1
        assert version.version == str(self.used[name])
        assert (version.state is State.PENDING) == (latest.snap_start is ApplyOn.PUBLISHED_VERSIONS)
        known[version.version] = version

    @rule(name=names, number=numbers, state=st.sampled_from(State))
    def move(self, name: str, number: str, state: State) -> None:
        current = self.model.get(name, {}).get(number)
        error = (
            FunctionNotFound
            if current is None
            else None
            if (current.state, state) in STEPS
            else StateConflict
        )
        moved = self.expect(
            error,
            lambda: self.catalog.set_state(
                name, number, state, reason="why", reason_code=states.RESTORING
            ),
        )
        if moved is not None:
            assert current is not None
            shown = (moved.state, moved.state_reason, moved.state_reason_code)
            if state is State.ACTIVE:
                assert shown == (state, None, None)
            else:
                assert shown == (state, "why", states.RESTORING)
            # A tool that waits for an update stops at Failed, and only there.
            assert moved.last_update_status is {
                State.ACTIVE: UpdateStatus.SUCCESSFUL,
                State.FAILED: UpdateStatus.FAILED,
            }.get(state)
            assert moved.revision_id == current.revision_id
            self.model[name][number] = moved

    @rule(name=names, number=numbers)
    def delete_version(self, name: str, number: str) -> None:
        error = None if name in self.model else FunctionNotFound
        deleted = self.expect(error, lambda: self.catalog.delete_version(name, number))
        if name in self.model:
            assert deleted is (self.model[name].pop(number, None) is not None)

    @rule(name=names)
    def delete_function(self, name: str) -> None:
        error = None if name in self.model else FunctionNotFound
        self.expect(error, lambda: self.catalog.delete_function(name))
        self.model.pop(name, None)

    @rule()
    def crash(self) -> None:
        """What lies on disk at this moment is all that a daemon killed now leaves to the next."""
        copy = self.path.with_name("copy.db")
        for suffix in ("", "-wal"):
            source = Path(f"{self.path}{suffix}")
            if source.exists():
                shutil.copy(source, f"{copy}{suffix}")
        self.catalog.close()
        for leftover in self.directory.glob("catalog.db*"):
            leftover.unlink()
        self.path = self.path.with_name(f"catalog.db.{len(self.path.name)}")
        for suffix in ("", "-wal"):
            source = Path(f"{copy}{suffix}")
            if source.exists():
                source.rename(f"{self.path}{suffix}")
        self.catalog = Catalog.open(self.path)

    @invariant()
    def same(self) -> None:
        if not hasattr(self, "catalog"):
            return
        everything = [
            version
            for _, versions in sorted(self.model.items())
            for _, version in sorted(
                versions.items(), key=lambda item: 0 if item[0] == LATEST else int(item[0])
            )
        ]

        assert everything == self.catalog.all_versions(limit=1000)
        assert [v for v in everything if v.version == LATEST] == self.catalog.functions(limit=1000)
        assert self.catalog.is_new() is not bool(self.ever)
        assert self.catalog.deleted_functions() == self.ever - self.model.keys()
        for name in ("a", "b", "A-b_1"):
            for number in range(1, 9):
                given = number <= self.used.get(name, 0)
                assert self.catalog.gave_number(name, str(number)) is given
        for version in everything:
            assert version == self.catalog.version(version.function_name, version.version)


TestCatalogMachine = CatalogMachine.TestCase
TestCatalogMachine.settings = settings(
    max_examples=25,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
