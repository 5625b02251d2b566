"""The daemon's core on a fake engine: everything real but the VMM and the guest."""

from __future__ import annotations

from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from attrs import define, frozen

from thawd.catalog.models import ApplyOn, Code, FunctionVersion, State
from thawd.code.bundles import Disk
from thawd.engines.testing import FakeEngine
from thawd.environments.host import Host
from thawd.environments.start import start
from thawd.fleet.fleet import Fleet, open_fleet
from thawd.guest.testing import FakeFunction
from thawd.invoke.invoker import Invoker, open_invoker
from thawd.invoke.outcome import Invocation
from thawd.logs.book import LogBook
from thawd.publish.publisher import Publisher, open_publisher
from thawd.snapshots.base import BaseSnapshots
from thawd.snapshots.store import SnapshotStore
from thawd.testing import FakeImages

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

    import trio

    from thawd.catalog.store import Catalog
    from thawd.engines.testing import FakeMachine

CODE = Code(sha256="sha", size=1)


@define
class States:
    """A catalog of states only."""

    seen: dict[tuple[str, str], tuple[State, str | None, str | None]]

    def set_state(
        self,
        function_name: str,
        version: str,
        state: State,
        *,
        reason: str | None = None,
        reason_code: str | None = None,
    ) -> None:
        self.seen[function_name, version] = (state, reason, reason_code)


async def ready_disk(sha256: str) -> Disk:
    return Disk(Path(f"disk-{sha256}"), f"digest of {sha256}")


@frozen(kw_only=True)
class Core:
    engine: FakeEngine
    function: FakeFunction
    host: Host
    snapshots: SnapshotStore
    fleet: Fleet
    publisher: Publisher
    invoker: Invoker
    states: Catalog | States
    logs: LogBook

    def messages(self, version: str = "1") -> list[str]:
        import json

        return [json.loads(line)["message"] for line in self.logs.tail("f", version, 1000)]


def version(
    number: str = "1",
    *,
    snap_start: ApplyOn = ApplyOn.PUBLISHED_VERSIONS,
    state: State = State.ACTIVE,
    timeout_s: int = 3,
) -> FunctionVersion:
    return FunctionVersion(
        function_name="f",
        version=number,
        runtime="python3.13",
        handler="app.handler",
        code=CODE,
        role="arn:aws:iam::000000000000:role/r",
        snap_start=snap_start,
        state=state,
        timeout_s=timeout_s,
        revision_id="r1",
    )


def invocation(of: FunctionVersion, payload: bytes = b"{}", *, tail: bool = False) -> Invocation:
    return Invocation(
        version=of,
        qualifier=None,
        invoked_arn="arn:f",
        request_id="00000000-0000-4000-8000-000000000000",
        payload=payload,
        log_tail=tail,
    )


@asynccontextmanager
async def running_core(
    tmp_path: Path,
    function: FakeFunction | None = None,
    *,
    max_machines: int = 8,
    ready_target: int = 0,
    idle_s: float = 300,
    capacity_wait_s: float = 30,
    budget_bytes: int | None = None,
    skip_fixers: Mapping[str, tuple[str, ...]] | None = None,
    states: Catalog | States | None = None,
    guest: Callable[[trio.abc.Stream, FakeMachine], Awaitable[None]] | None = None,
    log_bytes: int = 16 << 20,
    ready_disk: Callable[[str], Awaitable[Disk]] = ready_disk,
) -> AsyncIterator[Core]:
    """`states` may be a real catalog; `guest` plays every machine's agent instead of `function`'s."""
    function = function or FakeFunction()
    engine = FakeEngine(guest=guest or function.guest)
    store = SnapshotStore(tmp_path / "snapshots")
    store.prepare()
    images = FakeImages()
    logs = LogBook(tmp_path / "logs", log_bytes)
    host = Host(
        engine=engine,
        snapshots=store,
        bases=BaseSnapshots(store, engine, images, tmp_path / "placeholder"),
        images=images,
        ready_disk=ready_disk,
        logs=logs,
        region="us-east-1",
        skip_fixers=skip_fixers or {},
    )
    states = States({}) if states is None else states
    async with (
        open_fleet(
            partial(start, host),
            max_machines=max_machines,
            ready_target=ready_target,
            idle_s=idle_s,
            budget_bytes=budget_bytes,
        ) as fleet,
        open_publisher(host, store, states, fleet, concurrency=2) as publisher,
        open_invoker(fleet, publisher.make_again, capacity_wait_s=capacity_wait_s) as invoker,
    ):
        yield Core(
            engine=engine,
            function=function,
            host=host,
            snapshots=store,
            fleet=fleet,
            publisher=publisher,
            invoker=invoker,
            states=states,
            logs=logs,
        )
    logs.close()
    assert engine.machines == [], "a machine outlived its scope"
