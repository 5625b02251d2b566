"""Two processors, four loops that read random bytes from before the snapshot until after the restore.

This is where a clone is weakest: a processor that runs user code goes on with it the moment the machine does, while the
other one has yet to renew the kernel's generator. With one processor the agent could come first by luck.
"""

from __future__ import annotations

import base64
import json
import mmap
import struct
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
import trio
from attrs import frozen
from live import FUNCTIONS

from thawd.catalog.models import ApplyOn, Code, FunctionVersion
from thawd.cli.packing import bundle
from thawd.code.bundles import BundleStore
from thawd.engines.qemu.command import Platform
from thawd.engines.qemu.engine import QemuEngine
from thawd.environments.host import Host
from thawd.environments.restore import restored
from thawd.environments.snapshot import Taken, take_snapshot
from thawd.environments.trial import hand
from thawd.images.store import ImageStore
from thawd.logs.book import LogBook
from thawd.snapshots.base import BaseSnapshots
from thawd.snapshots.store import SnapshotStore

if TYPE_CHECKING:
    from uuid import UUID

CLONES = 4
BEFORE, AFTER = 100, 20_000
MAGIC = b"spins on random:"
SPINS = ("getrandom, process", "vdso, process", "getrandom, thread", "ssl, thread")
FROM_THE_KERNEL = SPINS[:3]
VERSION = FunctionVersion(
    function_name="spin",
    version="1",
    runtime="python3.13",
    handler="app.handler",
    code=Code(sha256="", size=0),
    role="",
    memory_mib=256,
    timeout_s=600,
    snap_start=ApplyOn.PUBLISHED_VERSIONS,
)


@frozen
class Clone:
    """What the loops of one clone read, by loop: before the machine stood still for its snapshot, and after."""

    before: dict[str, list[bytes]]
    after: dict[str, list[bytes]]


@frozen
class Seen:
    renewed: list[Clone]
    left: list[Clone]
    """Clones whose kernel nobody renewed."""


@pytest.fixture(scope="module")
def seen(images: Path) -> Seen:
    with tempfile.TemporaryDirectory(prefix="thaw-spin-") as folder:
        return trio.run(observe, Path(folder), images)


async def observe(folder: Path, images: Path) -> Seen:
    store, bundles = SnapshotStore(folder / "snapshots"), BundleStore(folder / "code")
    store.prepare()
    bundles.prepare()
    (folder / "run").mkdir()
    code = await bundles.add(bundle(FUNCTIONS / "spin"))
    engine = await QemuEngine.find(Platform.TCG, runtime_directory=folder / "run")
    image_store = ImageStore(images)
    logs = LogBook(folder / "logs")
    host = Host(
        engine=engine,
        snapshots=store,
        bases=BaseSnapshots(store, engine, image_store, folder / "placeholder", 120.0, vcpus=2),
        images=image_store,
        ready_disk=lambda _: bundles.ready_disk(code.code_sha256_base64),
        logs=logs,
        region="us-east-1",
        restore_limit_s=30.0,
    )
    generation_id = uuid4()
    async with store.scratch() as scratch:
        taken = await take_snapshot(host, VERSION, scratch, generation_id=generation_id)
        renewed = [await clone(host, taken) for _ in range(CLONES)]
        # A clone with its template's generation id gives the kernel no reason to renew its generator by itself.
        left = [await clone(host, taken, generation_id) for _ in range(2)]
    logs.close()
    return Seen(renewed, left)


async def clone(host: Host, taken: Taken, generation_id: UUID | None = None) -> Clone:
    """One restore; without a renewal of the kernel's generator if it has the template's `generation_id`."""
    event = {"counts": counts(taken.snapshot.memory), "before": BEFORE, "after": AFTER}
    async with restored(
        host,
        VERSION,
        snapshot=taken.snapshot,
        reseed_kernel=generation_id is None,
        generation_id=generation_id,
    ) as environment:
        (answer,) = await hand(environment, [json.dumps(event).encode()], region="us-east-1")
    assert answer.error_type is None, answer.payload
    said = json.loads(answer.payload)
    return Clone(
        before={name: reads(said[name]["before"]) for name in SPINS},
        after={name: reads(said[name]["after"]) for name in SPINS},
    )


def counts(memory: Path) -> tuple[int, ...]:
    """How often each loop had read when the machine stood still: the function's own counters, in the snapshot."""
    with memory.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as bytes_:
        found, at = [], bytes_.find(MAGIC)
        while at >= 0:
            if at % mmap.PAGESIZE == 0:  # not the literal in the program
                found.append(at + len(MAGIC))
            at = bytes_.find(MAGIC, at + 1)
        (place,) = found
        return struct.unpack_from(f"{len(SPINS)}Q", bytes_, place)


def reads(text: str) -> list[bytes]:
    data = base64.b64decode(text)
    return [data[at : at + 8] for at in range(0, len(data), 8)]


def repeated(clones: list[Clone], spins: tuple[str, ...]) -> int:
    """Reads after the restore that an earlier clone, or another loop, has read too."""
    values = [value for clone in clones for name in spins for value in clone.after[name]]
    return len(values) - len(set(values))


def test_the_loops_ran_across_the_snapshot(seen: Seen) -> None:
    """All clones have read the same until the machine stood still, and each has gone on from there."""
    first, *others = seen.renewed + seen.left

    for name in SPINS:
        assert len(set(first.before[name])) == BEFORE
        assert all(other.before[name] == first.before[name] for other in others)
        assert all(len(clone.after[name]) == AFTER for clone in (first, *others))


def test_no_read_of_a_clone_is_anothers(seen: Seen) -> None:
    assert repeated(seen.renewed, FROM_THE_KERNEL) == 0


def test_a_kernel_that_is_not_renewed_is_found_out(seen: Seen) -> None:
    assert repeated(seen.left, FROM_THE_KERNEL) > 0


def test_no_read_of_openssl_in_another_thread_is_anothers(seen: Seen) -> None:
    assert repeated(seen.renewed, ("ssl, thread",)) == 0
