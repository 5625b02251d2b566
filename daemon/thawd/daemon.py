"""The daemon's whole tree: what starts, in which order, and who owns whom. Read this first.

From the outside in, each owning what is below it::

    run()
      state directory lock        one daemon a state directory
      listeners                   first, so that clients wait instead of failing
      catalog                     SQLite, closed last
      engine                      probed and chosen once
      fleet        nursery        every machine in service is a task of it
      publisher    nursery        every version that is being published
      invoker      nursery        every invocation under way
      servers      nursery        one task a listener, one a connection

Start-up is a handshake: `task_status.started()` comes when every listener accepts. At the end the order is reversed:
no new connections, requests and invocations get `_DRAIN_S` seconds, then machines are killed and files closed.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import AsyncExitStack, contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import structlog
import trio

from thawd.api.app import App, build
from thawd.api.core import Core
from thawd.catalog.models import Code, FunctionVersion, State
from thawd.catalog.store import Catalog
from thawd.check.clones import exchange
from thawd.check.observe import observe
from thawd.config import TcpAddress, UnixAddress
from thawd.engines.select import select_engine
from thawd.errors import ConfigError
from thawd.fleet.fleet import open_fleet
from thawd.fleet.start import Starter
from thawd.http import Server, open_unix_listener, serve
from thawd.images.store import ImageStore
from thawd.invoke.invoker import as_refusals, open_invoker
from thawd.invoke.trial import How, Trial, try_start
from thawd.observe.logbook import LogBook
from thawd.observe.systemd import activated_sockets
from thawd.publish.bundle import BundleStore
from thawd.publish.publisher import Publisher, open_publisher
from thawd.snapshots.base import BaseSnapshots
from thawd.snapshots.store import SnapshotStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from thawd.config import Config

_log = structlog.get_logger()

_DRAIN_S: Final = 5.0
"""How long requests may go on after the daemon was told to stop."""

_EMULATION_FACTOR: Final = 20.0
"""Emulated processors are 20 to 50 times slower than real ones (measured): Lambda's 10 s for an init on demand is
stretched by this, so that what initialises there does so here."""


async def run(
    config: Config, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED
) -> None:
    """Serve until cancelled, then drain. Raises `ThawError` when the daemon cannot start.

    Once it serves the tree is shielded from the cancellation that ends it: a request under way needs its machine, and
    machines are tasks of the same tree. It ends by itself, from the listeners inwards.
    """
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        await nursery.start(_tree, config, stop)
        task_status.started()
        try:
            await trio.sleep_forever()
        finally:
            stop.set()


async def _tree(config: Config, stop: trio.Event, *, task_status: trio.TaskStatus[None]) -> None:
    with trio.CancelScope() as scope:

        def serving() -> None:
            scope.shield = True
            task_status.started()

        await _build(config, stop, serving)


async def _build(config: Config, stop: trio.Event, serving: Callable[[], None]) -> None:
    config.create_directories()
    state = config.state_directory
    async with AsyncExitStack() as stack:
        stack.enter_context(_only_daemon(state / "lock"))
        # Before anything that takes long (the first start boots a guest to see whether KVM works): whoever comes
        # meanwhile waits in the socket's queue instead of being told that there is no daemon.
        doors = await stack.enter_async_context(AsyncExitStack())
        listeners = await _listen(config, doors)
        catalog = stack.enter_context(Catalog.open(state / "catalog.sqlite"))
        snapshots = SnapshotStore(state / "snapshots")
        snapshots.prepare()
        bundles = BundleStore(state / "code")
        bundles.prepare()
        images = ImageStore(config.images_directory)
        if not images.list():
            # Serving begins all the same: images are built while the daemon runs, too.
            _log.warning("image.none", directory=str(images.directory), hint="thaw image build")
        logs = LogBook(state / "logs", config.limits.log_retention_mib << 20)
        stack.callback(logs.close)
        engine = await select_engine(
            runtime_directory=config.runtime_directory,
            preference=config.engine,
            cache_file=state / "engine.json",
            images=images,
        )
        emulated = "tcg" in engine.name

        def find_disk(code: Code) -> Path:
            return bundles.find(code.sha256).disk

        starter = Starter(
            engine=engine,
            snapshots=snapshots,
            bases=BaseSnapshots(
                snapshots,
                engine,
                images,
                state / "empty-code-disk",
                config.limits.boot_deadline_s,
                vcpus=config.vcpus,
            ),
            images=images,
            find_disk=find_disk,
            logs=logs,
            region=config.region,
            restore_limit_s=config.limits.restore_limit_s,
            boot_deadline_s=config.limits.boot_deadline_s,
            init_limit_factor=_EMULATION_FACTOR if emulated else 1.0,
            skip_fixers={name: one.skip_fixers for name, one in config.functions.items()},
        )
        fleet = await stack.enter_async_context(
            open_fleet(
                starter.start,
                max_machines=config.pool.max_machines,
                ready_target=config.pool.ready,
                idle_s=config.pool.idle_seconds,
                budget_bytes=config.memory_budget_mib << 20,
            )
        )
        publisher = await stack.enter_async_context(
            open_publisher(starter, catalog, fleet, concurrency=config.pool.publish_concurrency)
        )
        invoker = await stack.enter_async_context(open_invoker(fleet))
        _recover(catalog, publisher, starter)

        async def trial(
            version: FunctionVersion, how: str, events: list[bytes], pings: int
        ) -> Trial:
            with as_refusals(version):
                return await try_start(starter, version, How(how), events, pings=pings)

        async def clones(
            version: FunctionVersion, events: list[Any], *, kernel_cloned: bool, fixers_off: bool
        ) -> dict[str, Any]:
            return exchange.as_json(
                await observe(
                    starter, version, events, kernel_cloned=kernel_cloned, fixers_off=fixers_off
                )
            )

        app = build(
            Core(
                catalog=catalog,
                bundles=bundles,
                logs=logs,
                try_start=trial,
                observe=clones,
                find_zip=lambda code: bundles.find(code.sha256).zip,
                publisher=publisher,
                invoker=invoker,
                runtimes=lambda: tuple(image.runtime for image in images.list()),
                region=config.region,
                account_id=config.account_id,
                health=lambda: {"engine": engine.name, "engine_identity": engine.identity},
                statistics=lambda: {"fleet": fleet.statistics(), "invoker": invoker.statistics()},
            )
        )
        async with doors:
            await _serve(listeners, app, stop, serving)


def _recover(catalog: Catalog, publisher: Publisher, starter: Starter) -> None:
    """Bring catalog and disk together after a stop at any point.

    A version that was being published starts again; snapshots without a row are removed; a row whose snapshot is gone
    becomes Failed with the reason.
    """
    known: set[tuple[str, str]] = set()
    for version in catalog.all_versions():
        if not version.snapshotted:
            continue
        known.add((version.function_name, version.version))
        path = starter.snapshots.version_path(version.function_name, version.version)
        if version.state is State.ACTIVE and not starter.snapshots.exists(path):
            reason = "The snapshot is gone from disk. Publish the version again."
            _log.error(
                "version.snapshot_lost", function=version.function_name, version=version.version
            )
            catalog.set_state(
                version.function_name,
                version.version,
                State.INACTIVE,
                reason=reason,
                reason_code="Restoring",
            )
    publisher.sweep(known)
    for version in catalog.interrupted():
        _log.info("version.resumed", function=version.function_name, version=version.version)
        publisher.publish(version)


async def _listen(config: Config, doors: AsyncExitStack) -> list[trio.SocketListener]:
    """Sockets on every address, those that systemd holds for us included; `doors` closes ours."""
    passed = [sock for _, sock in activated_sockets(os.environ)]
    listeners = [trio.SocketListener(trio.socket.from_stdlib_socket(sock)) for sock in passed]
    names = {str(sock.getsockname()) for sock in passed}
    for address in config.listen:
        match address:
            case UnixAddress(path):
                if str(path) not in names:
                    path.parent.mkdir(parents=True, exist_ok=True)
                    listeners.append(doors.enter_context(open_unix_listener(path)))
            case TcpAddress(host, port):
                for listener in await trio.open_tcp_listeners(port, host=host):
                    listeners.append(await doors.enter_async_context(listener))
    return listeners


async def _serve(
    listeners: list[trio.SocketListener], app: App, stop: trio.Event, serving: Callable[[], None]
) -> None:
    """Accept until told to stop, then let requests end."""
    async with trio.open_nursery() as nursery:
        servers: list[Server] = [
            await nursery.start(partial(serve, listener, app, render_error=app.refuse))
            for listener in listeners
        ]
        serving()
        await stop.wait()
        for server in servers:
            nursery.start_soon(server.shutdown, _DRAIN_S)


@contextmanager
def _only_daemon(path: Path) -> Iterator[None]:
    """Hold the state directory's lock. Raises `ConfigError` when another daemon has it."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ConfigError(
                f"another thawd works in {path.parent}",
                hint="Stop it, or give this one another state_directory",
            ) from None
        yield
    finally:
        with suppress(OSError):
            os.close(descriptor)
