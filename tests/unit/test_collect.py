"""The collector frees what nobody needs: all of it, and nothing else."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from shutil import copyfile
from typing import TYPE_CHECKING

import pytest
import trio
from daemon_bed import Bed, bed

from thawd.guest.testing import FakeFunction
from thawd.logs.book import LogBook
from thawd.testing import FakeImages, zipped

if TYPE_CHECKING:
    from pathlib import Path

    from trio.testing import MockClock

    from thaw_agent import wire
    from thawd.testing import RunningDaemon

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


# ---------------------------------------------------------------------------------------------------------------------
# Code that the catalog never had


def set_aside(bed: Bed) -> int:
    return len(list((bed.directory / "code" / "unknown").glob("*.zip")))


def put_catalog(bed: Bed, source: Path) -> None:
    """Let another catalog lie in the state directory."""
    for file in bed.directory.glob("catalog.sqlite*"):
        file.unlink()
    copyfile(source, bed.directory / "catalog.sqlite")


async def answers(daemon: RunningDaemon, name: str) -> None:
    answer = await daemon.invoke(name, b"[1]")
    assert (answer.status_code, answer.content) == (200, b"[1]"), answer.text


async def test_code_beside_a_foreign_catalog_is_set_aside_and_taken_back_by_its_own(
    bed: Bed, autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with bed.daemon() as daemon:
        for number, name in enumerate(("f", "g")):
            await daemon.create(name, code(number))
            await daemon.publish(name)
    own = tmp_path / "own.sqlite"
    copyfile(bed.directory / "catalog.sqlite", own)
    other = Bed(tmp_path / "other", [])
    async with other.daemon() as daemon:
        await daemon.create("h", code(3))

    put_catalog(bed, other.directory / "catalog.sqlite")
    async with bed.daemon() as daemon:
        await daemon.create("mine", code(4))
        await daemon.update_code("mine", code(5))
        await trio.sleep(10_000)
        assert daemon.core.collector.statistics().packages == 1
    assert (packages(bed), set_aside(bed)) == (1, 2)
    [said] = bed.said("code.unknown")
    assert (said["packages"], said["log_level"]) == (2, "warning")
    assert said["set_aside"] == str(bed.directory / "code" / "unknown")
    assert "restore it and start" in said["hint"]

    put_catalog(bed, own)
    async with bed.daemon() as daemon:
        for name in ("f:1", "g:1", "f", "g"):
            await answers(daemon, name)
        await trio.sleep(10_000)
    assert len(bed.said("code.taken_back")) == 2
    assert (packages(bed), set_aside(bed)) == (2, 1)  # what `mine` had last


async def test_code_that_came_after_an_older_catalog_is_set_aside(
    bed: Bed, autojump_clock: MockClock, tmp_path: Path
) -> None:
    async with bed.daemon() as daemon:
        await daemon.create("f", code(1))
    older, newer = tmp_path / "older.sqlite", tmp_path / "newer.sqlite"
    copyfile(bed.directory / "catalog.sqlite", older)
    async with bed.daemon() as daemon:
        await daemon.create("g", code(2))
    copyfile(bed.directory / "catalog.sqlite", newer)

    put_catalog(bed, older)
    async with bed.daemon() as daemon:
        await answers(daemon, "f")
        await trio.sleep(10_000)
    assert (packages(bed), set_aside(bed)) == (1, 1)
    put_catalog(bed, newer)
    async with bed.daemon() as daemon:
        await answers(daemon, "g")
    assert (packages(bed), set_aside(bed)) == (2, 0)


async def test_a_stop_in_the_grace_leaves_nothing_for_ever(
    bed: Bed, autojump_clock: MockClock
) -> None:
    """What the catalog has had is freed, what was stored without a row is set aside."""
    async with bed.daemon() as daemon:
        await daemon.create("f", code(1))
        await daemon.update_code("f", code(2))
        await daemon.create("g", code(3))
        await daemon.delete("g")
        await daemon.core.bundles.add(zipped(code(4)))
    assert packages(bed) == 4

    async with bed.daemon() as daemon:
        assert (packages(bed), set_aside(bed)) == (3, 1)
        await trio.sleep(2 * GRACE_S)
        assert daemon.core.collector.statistics().packages == 2
    assert (packages(bed), set_aside(bed)) == (1, 1)
    async with bed.daemon():
        pass
    assert len(bed.said("code.unknown")) == 1


async def test_unknown_code_that_cannot_be_moved_stays_where_it_is(
    bed: Bed, autojump_clock: MockClock
) -> None:
    async with bed.daemon() as daemon:
        await daemon.create("f", code(1))
        await daemon.core.bundles.add(zipped(code(2)))
    (bed.directory / "code" / "unknown").write_text("in the way")

    async with bed.daemon() as daemon:
        await trio.sleep(10_000)
        assert packages(bed) == 2
        await daemon.update_code("f", code(3))
        await trio.sleep(2 * GRACE_S)
        assert packages(bed) == 2  # code(1) went
    assert len(bed.said("code.not_set_aside")) == 1


async def test_of_code_that_is_gone_the_catalog_keeps_no_record(
    bed: Bed, autojump_clock: MockClock
) -> None:
    async with bed.daemon() as daemon:
        for number in range(5):
            await daemon.update_code("f", code(number)) if number else await daemon.create("f")
            await trio.sleep(2 * GRACE_S)
        assert packages(bed) == 1
        [kept] = daemon.core.bundles.digests()
        catalog = daemon.core.catalog
        assert catalog.unknown_code({kept, "freed"}) == {"freed"}
    with closing(sqlite3.connect(bed.directory / "catalog.sqlite")) as database:
        assert database.execute("SELECT * FROM known_code").fetchall() == [(kept,)]


# ---------------------------------------------------------------------------------------------------------------------
# Base snapshots


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
