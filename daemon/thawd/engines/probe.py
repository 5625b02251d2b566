"""Whether an engine works on this host: found out by booting a guest, and remembered."""

from __future__ import annotations

import json
import os
import platform
import secrets
import time
from contextlib import contextmanager
from pathlib import Path
from shutil import rmtree
from time import perf_counter
from typing import TYPE_CHECKING, Final

import structlog
import trio
from attrs import asdict, frozen

from thaw_agent import wire
from thawd.engines.machine import CODE_DISK_BYTES, Engine, MachineSpec
from thawd.errors import EngineError
from thawd.files import Damaged, reading_ours

if TYPE_CHECKING:
    from collections.abc import Iterator

    from thawd.images.store import Image

_log = structlog.get_logger()

DEADLINE_S: Final = 10.0
"""For a boot to the agent's first word: about 1 s with hardware virtualisation, 5 s by emulation. KVM that takes longer is not
worth using. Where /dev/kvm exists but executes instructions one by one in software, the guest is silent for minutes
(seen on hosts that are virtual machines)."""
_MEMORY_MIB: Final = 256
RETRY_S: Final = 600.0
"""How long a failure is believed. It may be the host's at that moment: busy, still booting, a module not yet loaded.
Long enough that a daemon that restarts again and again does not wait for the probe each time."""


@frozen(kw_only=True)
class Probe:
    """The verdict on one engine. `reason` says why it is not usable, `at_s` when (seconds since 1970)."""

    engine: str
    usable: bool
    reason: str = ""
    took_s: float = 0.0
    at_s: float = 0.0


async def boot_probe(
    engine: Engine, image: Image, *, scratch: Path, deadline_s: float = DEADLINE_S
) -> Probe:
    """Boot `image` and wait for its agent's greeting, then throw the machine away. Never raises `EngineError`."""
    started = perf_counter()
    reason = ""
    console = ""
    with _placeholder(scratch) as code, trio.move_on_after(deadline_s) as limit:
        spec = MachineSpec(
            kernel=image.kernel,
            initrd=image.initrd,
            root=image.root,
            memory_mib=_MEMORY_MIB,
        )
        try:
            async with engine.boot(spec, code=code, scratch=scratch) as machine:
                try:
                    await _greet(machine.channel())
                finally:
                    console = machine.console_tail()[-300:].strip()
        except (EngineError, wire.WireError) as error:
            reason = str(error)
        except trio.BrokenResourceError as error:
            reason = f"the machine ended: {error}"
    if limit.cancelled_caught:
        reason = f"the guest did not come up within {deadline_s:g} s"
    if reason and console and console not in reason:
        reason += f"; its console ends with {console!r}"
    return Probe(
        engine=engine.identity,
        usable=not reason,
        reason=reason,
        took_s=round(perf_counter() - started, 2),
        at_s=time.time(),
    )


async def _greet(channel: trio.abc.Stream) -> None:
    greeting = wire.Hello(role="host", nonce=secrets.token_hex(8), software="thawd probe")
    await channel.send_all(wire.SYNC + greeting.encode())
    decoder = wire.Decoder()
    async for data in channel:
        if any(frame.kind is wire.Kind.HELLO for frame in decoder.feed(data)):
            return
    raise EngineError("the machine ended before its agent said a word")


@contextmanager
def _placeholder(scratch: Path) -> Iterator[Path]:
    path = scratch / "empty-code-disk"
    with path.open("wb") as file:
        file.truncate(CODE_DISK_BYTES)
    try:
        yield path
    finally:
        path.unlink()


async def remembered_probe(engine: Engine, image: Image, *, cache_file: Path) -> Probe:
    """The verdict on an engine, from `cache_file` if this host boot has one, else probed now and written there.

    It holds for one boot of the host, its kernel, the engine's identity and the image; a failure for `RETRY_S` alone.
    """
    key = _key(engine, image)
    known = _recall(cache_file, key)
    if known is not None:
        return known
    scratch = cache_file.parent / "engine-probe"
    # Left by a probe that was killed with its daemon.
    rmtree(scratch, ignore_errors=True)
    scratch.mkdir(mode=0o700, parents=True)
    try:
        _log.info("engine.probing", engine=engine.name, deadline_s=DEADLINE_S)
        found = await boot_probe(engine, image, scratch=scratch)
    finally:
        rmtree(scratch, ignore_errors=True)
    _log.info(
        "engine.probed",
        engine=engine.name,
        usable=found.usable,
        reason=found.reason,
        took_s=found.took_s,
    )
    remember(engine, image, found, cache_file=cache_file)
    return found


def remember(engine: Engine, image: Image, found: Probe, *, cache_file: Path) -> None:
    """Let the next selection of an engine believe this verdict. Raises `OSError`."""
    _write(cache_file, _key(engine, image), found)


def _key(engine: Engine, image: Image) -> dict[str, str]:
    return {
        "engine": engine.identity,
        "image": image.digest,
        "kernel": platform.release(),
        "boot_id": Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
    }


def _recall(cache_file: Path, key: dict[str, str]) -> Probe | None:
    try:
        with reading_ours():
            data = json.loads(cache_file.read_bytes())
            found = Probe(**data["probe"]) if data["key"] == key else None
            if found is None or found.usable:
                return found
            # A clock that was set back puts it into the future: it must not be believed for longer then.
            return found if 0 <= time.time() - found.at_s < RETRY_S else None
    except (OSError, Damaged):
        return None  # a cache that cannot be read is no cache


def _write(cache_file: Path, key: dict[str, str], found: Probe) -> None:
    temporary = cache_file.with_name(f".{cache_file.name}.new")
    temporary.write_text(json.dumps({"key": key, "probe": asdict(found)}, indent=2) + "\n")
    os.replace(temporary, cache_file)  # noqa: PTH105  the two are beside each other on purpose
