"""Run thawd in the foreground, until SIGTERM or Ctrl-C.

Under systemd it reports readiness and feeds the watchdog.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import TYPE_CHECKING, Final, TypeVar

import structlog
import trio

from thawd import __version__
from thawd.config import load
from thawd.errors import ThawError
from thawd.telemetry import log as logs
from thawd.telemetry.systemd import Notifier

from .exits import Exit

if TYPE_CHECKING:
    import argparse

    from thawd.config import Config

    from .terminal import Terminal


_E = TypeVar("_E", bound=Exception)

STOP_MARGIN_S: Final = 30.0
"""For machines to end and files to close after the drain; systemd kills a service that takes longer."""


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument("--log-level", choices=("debug", "info", "warning", "error"))
    parser.add_argument("--log-format", choices=("auto", "console", "logfmt", "json", "journal"))


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Everything about the process; the daemon itself is `thawd.daemon`."""
    config = load(arguments.config, os.environ)
    json_format = "json" if terminal.json else None
    logs.configure(
        arguments.log_level or config.log.level,
        arguments.log_format or json_format or config.log.format,
    )
    os.umask(0o077)  # snapshots hold a function's memory, secrets included
    notifier = Notifier.from_environment(os.environ)
    failure: Exception | None = None
    try:
        trio.run(_serve, config, notifier)
    except* ThawError as group:
        # A cause and a way out need no traceback. There is one error: the first failure cancels all else.
        failure = _first(group)
    except* OSError as group:
        # Not foreseen, or it would have a way out: the log must show where it happened.
        structlog.get_logger().error("daemon.failed", exc_info=group)
        failure = _first(group)
    finally:
        notifier.close()
    if failure is not None:
        raise failure  # here, outside of `except*`: early 3.11 releases (Debian 12) wrap what is raised inside it
    return Exit.OK


def _first(group: BaseExceptionGroup[_E]) -> _E:
    inner = group.exceptions[0]
    return _first(inner) if isinstance(inner, BaseExceptionGroup) else inner


async def _serve(config: Config, notifier: Notifier) -> None:
    """The outermost nursery: it owns the daemon's tree, the watchdog and the wait for a signal.

    A signal cancels the tree, and every scope in it cleans up: machines end, sockets go. A second one ends the process
    there and then: machines die with it, and the next start clears up.
    """
    from thawd import daemon  # noqa: PLC0415 - it imports every part; `thaw daemon --help` needs none

    log = structlog.get_logger()
    tree = trio.CancelScope()
    with trio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
        async with trio.open_nursery() as outer:

            async def stop_on_signal() -> None:
                async for number in signals:
                    name = signal.Signals(number).name
                    if tree.cancel_called:
                        log.warning("daemon.ended_at_once", signal=name)
                        _end_at_once(number)
                    log.info(
                        "daemon.stopping", signal=name, drain_seconds=config.limits.drain_seconds
                    )
                    notifier.stopping(config.limits.drain_seconds + STOP_MARGIN_S)
                    tree.cancel()

            outer.start_soon(stop_on_signal)
            with tree:
                async with trio.open_nursery() as nursery:
                    serving = await nursery.start(daemon.run, config)
                    # Not the settings': systemd may have passed sockets, and port 0 is any port.
                    addresses = [str(address) for address in serving.addresses]
                    log.info("daemon.ready", version=__version__, listen=" ".join(addresses))
                    notifier.ready(f"Serving on {', '.join(addresses)}")
                    nursery.start_soon(notifier.watchdog)
            outer.cancel_scope.cancel()


def _end_at_once(number: int) -> None:
    """End the process without waiting for a thread, a disk or a machine."""
    sys.stdout.flush()
    os._exit(128 + number)
