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
      collector    task           frees what nothing needs
      servers      nursery        one task a listener, one a connection

Start-up is a handshake: `task_status.started()` comes when every listener accepts. At the end the order is reversed:
no new connections; requests and invocations, those included whose client has gone, get `limits.drain_seconds`; what
has not ended then is answered with 503; machines are killed and files closed.

Few things may end the tree before that: an error of the start (settings, lock, listeners, catalog, engine); a listening
socket that fails for another reason than a lack of descriptors; a bug of ours outside of the guarded tasks. Guarded are a
machine's life (`fleet.pool`), a publish, an invocation, a guest's reader (`guest.session`), a request and a connection:
whatever one of them raises is its own end alone, and is logged. A log line that cannot be written is lost and counted.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import AsyncExitStack, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

import structlog
import trio
from attrs import frozen

from thawd.api.app import build
from thawd.api.core import Core
from thawd.catalog.store import Catalog
from thawd.code.bundles import BundleStore
from thawd.collect import Collector
from thawd.config import TcpAddress, UnixAddress
from thawd.engines.select import select_engine
from thawd.environments.host import Host
from thawd.environments.start import start
from thawd.errors import CatalogError, ConfigError
from thawd.fleet.fleet import open_fleet
from thawd.http import Guard, Server, open_tcp_listener, open_unix_listener
from thawd.images.store import ImageStore
from thawd.invoke.invoker import open_invoker
from thawd.logs.book import LogBook
from thawd.nurseries import helpers
from thawd.publish.publisher import open_publisher
from thawd.reserve import MACHINE_BYTES, Reserve
from thawd.snapshots.base import BaseSnapshots
from thawd.snapshots.store import SnapshotStore
from thawd.telemetry.recent import RECENT
from thawd.telemetry.systemd import activated_sockets

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator

    from thawd.config import Address, Config
    from thawd.engines.machine import Engine

_log = structlog.get_logger()

_EMULATION_FACTOR: Final = 20
"""Emulated processors are 20 to 50 times slower than real ones (measured): by this the function's processor time is
divided before it counts for an init's limit, so that what initialises within it on Lambda does so here."""


@frozen
class Serving:
    """A daemon that accepts clients: its parts, and the addresses that it was given (a port, where it asked for any)."""

    core: Core
    addresses: tuple[Address, ...]


class Select(Protocol):
    """Finds the engine of this host."""

    async def __call__(
        self, *, runtime_directory: Path, preference: str, cache_file: Path, images: ImageStore
    ) -> Engine:
        """See `thawd.engines.select.select_engine`."""


async def run(
    config: Config,
    *,
    select: Select = select_engine,
    open_images: Callable[[Path], ImageStore] = ImageStore,
    task_status: trio.TaskStatus[Serving] = trio.TASK_STATUS_IGNORED,
) -> None:
    """Serve until cancelled, then drain. Raises `ThawError` when the daemon cannot start.

    `thawd.testing` gives another `select` and another `open_images`.

    Once it serves the tree is shielded from the cancellation that ends it: a request under way needs its machine, and
    machines are tasks of the same tree. It ends by itself, from the listeners inwards.
    """
    stop = trio.Event()
    async with trio.open_nursery() as nursery:
        build = partial(_build, config, select, open_images, stop)
        task_status.started(await nursery.start(_tree, build))
        try:
            await trio.sleep_forever()
        finally:
            stop.set()


async def _tree(
    build: Callable[[Callable[[Serving], None]], Awaitable[None]],
    *,
    task_status: trio.TaskStatus[Serving],
) -> None:
    with trio.CancelScope() as scope:

        def started(serving: Serving) -> None:
            scope.shield = True
            task_status.started(serving)

        await build(started)


async def _build(
    config: Config,
    select: Select,
    open_images: Callable[[Path], ImageStore],
    stop: trio.Event,
    started: Callable[[Serving], None],
) -> None:
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
        _check_belongs(catalog, snapshots, bundles)
        images = open_images(config.images_directory)
        if not images.list():
            # Serving begins all the same: images are built while the daemon runs, too.
            _log.warning("image.none", directory=str(images.directory), hint="thaw image build")
        reserve = Reserve(state / "reserve", MACHINE_BYTES)
        await trio.to_thread.run_sync(reserve.lay_in)
        logs = LogBook(state / "logs", config.limits.log_retention_mib << 20, reserve)
        stack.callback(logs.close)
        engine = await select(
            runtime_directory=config.runtime_directory,
            preference=config.engine,
            cache_file=state / "engine.json",
            images=images,
        )
        bases = BaseSnapshots(
            snapshots,
            engine,
            images,
            state / "empty-code-disk",
            config.limits.boot_deadline_s,
            vcpus=config.vcpus,
        )
        host = Host(
            engine=engine,
            snapshots=snapshots,
            bases=bases,
            images=images,
            ready_disk=bundles.ready_disk,
            logs=logs,
            region=config.region,
            restore_limit_s=config.limits.restore_limit_s,
            boot_deadline_s=config.limits.boot_deadline_s,
            slow_down=_EMULATION_FACTOR if engine.emulated else 1,
            skip_fixers={name: one.skip_fixers for name, one in config.functions.items()},
        )
        fleet = await stack.enter_async_context(
            open_fleet(
                partial(start, host),
                max_machines=config.pool.max_machines,
                ready_target=config.pool.ready,
                idle_s=config.pool.idle_seconds,
                budget_bytes=config.memory_budget_mib << 20,
            )
        )
        publisher = await stack.enter_async_context(
            open_publisher(
                host, snapshots, catalog, fleet, concurrency=config.pool.publish_concurrency
            )
        )
        invoker = await stack.enter_async_context(
            open_invoker(fleet, publisher.make_again, reserve=reserve)
        )
        collector = Collector(catalog, bundles, snapshots, bases, logs, reserve, fleet.code_in_use)
        collector.sort_code()  # first: what was set aside may be what a version is made again from
        publisher.recover()
        tasks = await stack.enter_async_context(helpers())
        tasks.start_soon(collector.run)
        tasks.start_soon(bundles.tidy)

        server = Server(guard=Guard(config.allowed_hosts))
        core = Core(
            catalog=catalog,
            bundles=bundles,
            logs=logs,
            images=images,
            host=host,
            fleet=fleet,
            publisher=publisher,
            invoker=invoker,
            collector=collector,
            region=config.region,
            account_id=config.account_id,
            health=lambda: {"engine": engine.name, "engine_identity": engine.identity},
            recent_log=RECENT.events,
            statistics=lambda: {
                "fleet": fleet.statistics(),
                "invoker": invoker.statistics(),
                "publisher": publisher.statistics(),
                "collector": collector.statistics(),
                "catalog": catalog.statistics(),
                "http": server.statistics(),
                "logs": logs.statistics(),
            },
        )
        app = build(core)
        async with doors, trio.open_nursery() as nursery:
            await nursery.start(partial(server.serve, listeners, app, render_error=app.refuse))
            names = [listener.socket.getsockname() for listener in listeners]
            started(Serving(core, tuple(_address(name) for name in names)))
            await stop.wait()
            nursery.start_soon(server.shutdown, config.limits.drain_seconds)
            nursery.start_soon(invoker.drain, config.limits.drain_seconds)


def _check_belongs(catalog: Catalog, snapshots: SnapshotStore, bundles: BundleStore) -> None:
    """Refuse an empty catalog beside what an earlier one knew: the file was lost, not the functions.

    Raises `CatalogError`. Started all the same, everything else here would be nobody's, and swept away.
    """
    versions, packages = len(snapshots.function_versions()), len(bundles.digests())
    if catalog.is_new() and (versions or packages):
        raise CatalogError(
            f"The catalog {catalog.path} is empty, and beside it lie the code of {packages} packages and the snapshots "
            f"of {versions} versions",
            hint=f"Restore it from a backup. To start afresh, move {snapshots.directory} and {bundles.directory} away",
        )


async def _listen(config: Config, doors: AsyncExitStack) -> list[trio.SocketListener]:
    """Sockets on every address, those that systemd holds for us included; `doors` closes ours."""
    passed = [sock for _, sock in activated_sockets(os.environ)]
    listeners = [trio.SocketListener(trio.socket.from_stdlib_socket(sock)) for sock in passed]
    names = [sock.getsockname() for sock in passed]
    for address in config.listen:
        match address:
            case UnixAddress(path):
                if str(path) not in names:
                    listeners.append(doors.enter_context(open_unix_listener(path)))
            case TcpAddress(host, port):
                if (host, port) not in [name[:2] for name in names]:
                    listener = await open_tcp_listener(host, port)
                    listeners.append(await doors.enter_async_context(listener))
    return listeners


def _address(name: str | bytes | tuple[str, int]) -> Address:
    """A socket's own name as an address."""
    return (
        UnixAddress(Path(os.fsdecode(name)))
        if isinstance(name, str | bytes)
        else TcpAddress(*name[:2])
    )


@contextmanager
def _only_daemon(path: Path) -> Iterator[None]:
    """Hold the state directory's lock. Raises `ConfigError` when another daemon has it, or it cannot be written."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise ConfigError(
            f"the state directory {path.parent} cannot be written: {error.strerror}",
            hint=f"See `findmnt -T {path.parent}` and `df {path.parent}`, or choose another state_directory",
        ) from error
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
