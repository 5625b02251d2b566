"""A daemon for the length of one command: what `thaw demo` and `thaw check` work with where no service runs."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

from thawd import runtimes
from thawd.errors import DaemonUnreachable, ThawError

from .client import Client, check_socket

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .terminal import Terminal

_READY_WITHIN_S: Final = 120.0
_STOPPED_WITHIN_S: Final = 30.0


def default_state() -> Path:
    """Where images and snapshots are kept that no service owns."""
    cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "thawd"


def ensure_image(directory: Path, terminal: Terminal) -> None:
    """Build the guest image if it is not there."""
    import trio  # noqa: PLC0415 - not needed where a daemon answers

    from thawd.images.store import ImageStore  # noqa: PLC0415 - and on Windows it cannot be imported

    store = ImageStore(directory)
    runtime = runtimes.default().id
    with terminal.progress(f"guest image {runtime}") as progress:

        async def ensure() -> None:
            await store.ensure(runtime, progress=progress.update)

        trio.run(ensure)
        took_s = progress.elapsed_s
    terminal.note(f"guest image {runtime}: ready after {took_s:.1f} s")


@contextmanager
def own_daemon(state: Path, runtime: Path, terminal: Terminal) -> Iterator[Client]:
    """A daemon in `runtime`, with its client; stopped at the end. Its errors come with the end of its log."""
    socket = runtime / "thawd.sock"
    settings = runtime / "thawd.toml"
    # Its commands count and time starts: one in advance would be a start that nobody asked for, at the same time.
    settings.write_text(
        f"state_directory = {json.dumps(str(state.resolve()))}\n"
        f"runtime_directory = {json.dumps(str(runtime))}\n"
        "[pool]\nready = 0\n"
    )
    log = runtime / "thawd.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "thawd.cli",
                "daemon",
                "--config",
                str(settings),
                "--log-format",
                "logfmt",
            ],
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
        )
    try:
        with terminal.progress("daemon") as progress:
            while True:
                try:
                    check_socket(socket)
                    break
                except DaemonUnreachable:
                    if process.poll() is not None or progress.elapsed_s > _READY_WITHIN_S:
                        raise DaemonUnreachable(
                            "the daemon did not start", hint=f"Its log:\n{_tail(log)}"
                        ) from None
                progress.update("starting, probing for KVM")
                time.sleep(0.05)
        terminal.note(f"daemon: listening on {socket}")
        with Client(socket) as client:
            try:
                yield client
            except ThawError as error:
                error.hint = f"{error.hint}\nThe daemon's log:\n{_tail(log)}"
                raise
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(_STOPPED_WITHIN_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _tail(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-15:])
