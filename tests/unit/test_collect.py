"""The collector frees what nobody needs: all of it, and nothing else."""

from __future__ import annotations

import os
import time
from typing import TYPE_CHECKING

import pytest
import trio
from daemon_bed import Bed, bed

from thawd.guest.testing import FakeFunction
from thawd.logs.book import LogBook
from thawd.testing import FakeImages

if TYPE_CHECKING:
    from pathlib import Path

    from trio.testing import MockClock

    from thaw_agent import wire

__all__ = ["bed"]

GRACE_S = 45


def code(number: int) -> str:
    return f"def handler(event, context): return {number}\n"


def packages(bed: Bed) -> int:
    return len(list((bed.directory / "code").glob("*.zip")))


async def test_code_goes_after_its_grace_and_disk_and_digest_with_it(
    bed: Bed, autojump_clock: MockClock
) -> None:
    async with bed.daemon() as daemon:
        await daemon.create("f", code(1))
        await daemon.update_code("f", code(2))
        await trio.sleep(GRACE_S - 2)
        assert packages(bed) == 2
        await trio.sleep(4)
        assert packages(bed) == 1
        kinds = sorted(path.suffix for path in (bed.directory / "code").iterdir())
        assert kinds == [".digest", ".disk", ".zip"]
        assert daemon.core.collector.statistics().packages == 1


async def test_code_of_a_version_or_of_another_function_stays(
    bed: Bed, autojump_clock: MockClock
) -> None:
    async with bed.daemon() as daemon:
        await daemon.create("f", code(1))
        await daemon.publish("f")
        await daemon.update_code("f", code(2))
        await daemon.create("g", code(2))
        await daemon.delete("g")
        await trio.sleep(10_000)
        assert packages(bed) == 2
        await daemon.delete("f", "1")
        await trio.sleep(2 * GRACE_S)
        assert packages(bed) == 1


async def test_code_that_comes_back_in_its_grace_stays(bed: Bed, autojump_clock: MockClock) -> None:
    """A rollback, or two deployments of the same package one after the other."""
    async with bed.daemon() as daemon:
        await daemon.create("f", code(1))
        await daemon.update_code("f", code(2))
        await trio.sleep(GRACE_S / 2)
        await daemon.update_code("f", code(1))
        await trio.sleep(GRACE_S * 0.75)
        await daemon.update_code("f", code(2))
        await trio.sleep(GRACE_S * 0.75)
        assert packages(bed) == 2


async def test_code_of_a_running_machine_stays_until_it_ends(
    bed: Bed, autojump_clock: MockClock
) -> None:
    async def long(event: bytes, _request: wire.Invoke, _memory: dict[str, object]) -> bytes:
        await trio.sleep(500)
        return event

    bed.function = FakeFunction(handler=long)
    async with bed.daemon() as daemon:
        await daemon.create("f", code(1), Timeout=900)
        async with trio.open_nursery() as nursery:
            nursery.start_soon(daemon.invoke, "f")
            await trio.sleep(1)
            await daemon.update_code("f", code(2))
            await trio.sleep(400)
            assert packages(bed) == 2
        await trio.sleep(4000)
        assert packages(bed) == 1


async def test_nothing_goes_when_everything_looks_unneeded(
    bed: Bed, autojump_clock: MockClock
) -> None:
    """Another catalog's code, perhaps: it cannot be made again."""
    async with bed.daemon() as daemon:
        await daemon.create("f", code(1))
        await daemon.create("g", code(2))
        for name in ("f", "g"):
            await daemon.delete(name)
        await trio.sleep(10_000)
        assert packages(bed) == 2
        await daemon.create("h", code(3))
        await trio.sleep(10_000)
        assert packages(bed) == 1


@pytest.mark.parametrize("what", ["image", "engine"])
async def test_base_snapshots_of_an_image_or_engine_that_is_gone_go(
    bed: Bed, what: str, autojump_clock: MockClock
) -> None:
    async with bed.daemon() as daemon:
        await daemon.create("f")
        await daemon.invoke("f")
        await trio.sleep(10_000)
        assert daemon.core.collector.statistics().base_snapshots == 0
    [before] = (bed.directory / "snapshots" / "base").iterdir()
    images = FakeImages(digest="1" * 64 if what == "image" else "0" * 64)
    if what == "engine":
        bed.engine_identity = "fake 2"

    async with bed.daemon(images=images) as daemon:
        await daemon.invoke("f")
        assert daemon.core.collector.statistics().base_snapshots == 1
    [after] = (bed.directory / "snapshots" / "base").iterdir()
    assert after != before


# ---------------------------------------------------------------------------------------------------------------------
# Logs


def fill(book: LogBook, name: str, kib: int, *, at_s: float) -> Path:
    """A log of this size, last written at this time."""
    for _ in range(kib):
        book.write(name, "1", "stream", "x" * 960, at_s=at_s)
    for part in (book.directory / name).iterdir():
        os.utime(part, (at_s, at_s))
    return book.directory / name


def kept(folder: Path) -> int:
    return sum(part.stat().st_size for part in folder.rglob("*.ndjson"))


async def test_deleted_functions_keep_together_what_one_function_may_and_the_newest(
    bed: Bed, autojump_clock: MockClock
) -> None:
    bed.settings = {"limits": {"log_retention_mib": 1}}
    async with bed.daemon() as daemon:
        logs, now = daemon.core.logs, time.time()
        for name in ("first", "second", "third", "alive"):
            await daemon.create(name)
        folders = {
            name: fill(logs, name, 600, at_s=now - 100 + at)
            for at, name in enumerate(("first", "second", "third", "alive"))
        }
        stranger = fill(logs, "stranger", 600, at_s=now - 1000)
        for name in ("first", "second", "third"):
            await daemon.delete(name)
        await trio.sleep(1)

        assert not folders["first"].exists()
        assert kept(folders["second"]) + kept(folders["third"]) <= 1 << 20
        assert kept(folders["third"]) > 600 << 10
        assert 0 < kept(folders["second"]) < 600 << 10
        # Of functions that are there, and of names that this catalog never had, nothing goes.
        assert kept(folders["alive"]) > 600 << 10
        assert kept(stranger) > 600 << 10
        assert daemon.core.collector.statistics().log_files > 0
        assert logs.statistics().lost == 0


async def test_a_function_that_is_there_again_has_its_log_and_its_limit(
    bed: Bed, autojump_clock: MockClock
) -> None:
    bed.settings = {"limits": {"log_retention_mib": 1}}
    async with bed.daemon() as daemon:
        await daemon.create("f")
        folder = fill(daemon.core.logs, "f", 900, at_s=time.time())
        await daemon.delete("f")
        await daemon.create("f")
        fill(daemon.core.logs, "f", 900, at_s=time.time())
        await trio.sleep(10_000)
        assert 700 << 10 < kept(folder) <= 1 << 20


def test_a_file_that_is_written_can_be_removed_and_is_begun_again(tmp_path: Path) -> None:
    """A machine of a deleted function may still say something."""
    book = LogBook(tmp_path, 1 << 20)
    book.write("f", "1", "stream", "before", at_s=0)

    book.remove("f", book.path("f", "1"))
    assert not (tmp_path / "f").exists()
    book.write("f", "1", "stream", "after", at_s=0)

    assert [line for line in book.tail("f", "1", 10) if "after" in line] == book.tail("f", "1", 10)
    assert book.lost == 0
    book.close()
