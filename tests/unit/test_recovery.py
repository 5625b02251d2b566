"""Catalog and disk are brought together at a start, and whenever a snapshot turns out to be damaged."""

from __future__ import annotations

import json
import math
import sqlite3
from shutil import copytree, rmtree
from typing import TYPE_CHECKING, Any

import pytest
import trio
from daemon_bed import Bed, bed

from thawd.catalog.store import Catalog
from thawd.errors import CatalogError, EngineError, MachineDied, SnapshotError
from thawd.guest.testing import FakeFunction
from thawd.snapshots import store

if TYPE_CHECKING:
    from pathlib import Path

    from trio.testing import MockClock

    from thawd.catalog.models import FunctionVersion
    from thawd.testing import RunningDaemon

__all__ = ["bed"]


async def published(daemon: RunningDaemon, name: str = "f") -> None:
    await daemon.create(name)
    assert (await daemon.publish(name))["State"] == "Active"


async def answers(daemon: RunningDaemon, name: str = "f:1") -> None:
    answer = await daemon.invoke(name, b'{"a": 1}')
    assert (answer.status_code, answer.content) == (200, b'{"a": 1}'), answer.text


def damage(path: Path) -> None:
    data = bytearray(path.read_bytes() or b"?")
    data[0] ^= 1
    path.chmod(0o600)
    path.write_bytes(data)


# ---------------------------------------------------------------------------------------------------------------------
# At the start


async def test_a_version_that_was_being_published_is_published_again(
    bed: Bed, autojump_clock: MockClock
) -> None:
    bed.function = FakeFunction(init_s=math.inf)
    async with bed.daemon() as daemon:
        await daemon.create("f")
        daemon.core.publisher.publish(daemon.core.catalog.publish_version("f")[0])
        await trio.sleep(1)
    bed.function = FakeFunction()

    async with bed.daemon() as daemon:
        pending = await daemon.configuration("f", "1")
        assert (pending["State"], pending["StateReasonCode"]) == ("Pending", "Creating")
        assert (await daemon.settled("f", "1"))["State"] == "Active"
        await answers(daemon)


@pytest.mark.parametrize("how", ["gone", "without a manifest", "another engine"])
async def test_a_version_whose_snapshot_cannot_be_used_is_made_again_under_its_number(
    bed: Bed, autojump_clock: MockClock, how: str
) -> None:
    async with bed.daemon() as daemon:
        await published(daemon)
        before = await daemon.configuration("f", "1")
    match how:
        case "gone":
            rmtree(bed.snapshot("f"))
        case "without a manifest":
            (bed.snapshot("f") / "manifest.json").unlink()
        case _:
            bed.engine_identity = "fake 2"

    async with bed.daemon() as daemon:
        restoring = await daemon.configuration("f", "1")
        assert (restoring["State"], restoring["StateReasonCode"]) == ("Pending", "Restoring")
        assert restoring["StateReason"].startswith("Its snapshot is being made again: ")
        await answers(daemon)
        assert await daemon.settled("f", "1") == before
    [entry] = bed.said("version.made_again")
    assert ("fake 1" in entry["reason"]) is (how == "another engine")

    # It is made once.
    async with bed.daemon() as daemon:
        assert (await daemon.configuration("f", "1"))["State"] == "Active"
        await answers(daemon)
    assert len(bed.said("version.made_again")) == 1


async def test_what_cannot_be_made_again_is_inactive_and_tried_at_every_use(
    bed: Bed, autojump_clock: MockClock
) -> None:
    async with bed.daemon() as daemon:
        await published(daemon)
    bed.engine_identity = "fake 2"
    bed.function = FakeFunction(init_error="ConnectionError")

    async with bed.daemon() as daemon:
        inactive = await daemon.settled("f", "1")
        assert (inactive["State"], inactive["StateReasonCode"]) == ("Inactive", "Restoring")
        assert "could not be made again" in inactive["StateReason"]
        assert "ConnectionError: init went wrong" in inactive["StateReason"]
        refused = await daemon.invoke("f:1")
        assert refused.status_code == 409
        assert refused.headers["x-amzn-errortype"] == "SnapStartNotReadyException"
        assert "ConnectionError" in refused.text
        assert bed.function.inits == 2
        bed.function.init_error = ""
        await answers(daemon)
        assert (await daemon.configuration("f", "1"))["State"] == "Active"


async def test_an_inactive_version_is_tried_at_the_next_start(
    bed: Bed, autojump_clock: MockClock
) -> None:
    async with bed.daemon() as daemon:
        await published(daemon)
    bed.engine_identity = "fake 2"
    bed.function = FakeFunction(init_error="ConnectionError")
    async with bed.daemon() as daemon:
        assert (await daemon.settled("f", "1"))["State"] == "Inactive"
    bed.function = FakeFunction()

    async with bed.daemon() as daemon:
        assert (await daemon.settled("f", "1"))["State"] == "Active"


async def test_a_failed_version_stays_failed(bed: Bed, autojump_clock: MockClock) -> None:
    bed.function = FakeFunction(init_error="ValueError")
    async with bed.daemon() as daemon:
        await daemon.create("f")
        failed = await daemon.publish("f")
        assert failed["State"] == "Failed"
    bed.function = FakeFunction()

    async with bed.daemon() as daemon:
        assert await daemon.configuration("f", "1") == failed
        assert (await daemon.publish("f"))["Version"] == "2"


async def test_snapshots_of_no_version_are_swept_or_set_aside_as_the_catalog_knows_them(
    bed: Bed, autojump_clock: MockClock
) -> None:
    """The one of a deleted version is a leftover; one that this catalog never knew is somebody's."""
    async with bed.daemon() as daemon:
        await published(daemon)
        await published(daemon, "other")
    copytree(bed.snapshot("f"), bed.snapshot("stranger", "7"))
    copytree(bed.snapshot("f"), bed.snapshot("f", "9"))
    with sqlite3.connect(bed.directory / "catalog.sqlite") as database:
        database.execute("PRAGMA foreign_keys = ON")
        database.execute("DELETE FROM functions WHERE name = 'other'")
    database.close()

    async with bed.daemon() as daemon:
        await answers(daemon)
    assert bed.snapshot("f").exists()
    assert not bed.snapshot("other").exists()
    assert not bed.snapshot("stranger", "7").exists()
    aside = sorted(
        path.name.rpartition("-")[0]
        for path in (bed.directory / "snapshots" / "unknown").iterdir()
        if (path / "manifest.json").exists()
    )
    assert aside == ["f-9", "stranger-7"]


@pytest.mark.parametrize("what", ["lost", "foreign"])
async def test_a_catalog_that_is_not_this_directorys_takes_nothing_along(
    bed: Bed, autojump_clock: MockClock, what: str, tmp_path: Path
) -> None:
    async with bed.daemon() as daemon:
        await published(daemon)
    for file in bed.directory.glob("catalog.sqlite*"):
        file.unlink()
    kept = [bed.snapshot("f") / "memory", *(bed.directory / "code").iterdir()]
    assert len(kept) > 3

    if what == "lost":
        with pytest.raises(CatalogError, match="is empty, and beside it lie") as caught:
            async with bed.daemon():
                pass
        assert "Restore it from a backup" in caught.value.hint
    else:
        # Another daemon's, with functions of its own.
        other = Bed(tmp_path / "other", [])
        async with other.daemon() as daemon:
            await daemon.create("g", "def handler(event, context): return 1")
            await daemon.delete("g")
        (other.directory / "catalog.sqlite").rename(bed.directory / "catalog.sqlite")
        async with bed.daemon():
            await trio.sleep(10_000)
        kept = [path.parent / "unknown" / path.name for path in kept[1:]]
        (aside,) = (bed.directory / "snapshots" / "unknown").iterdir()
        assert (aside / "memory").exists()
    assert all(path.exists() for path in kept)


async def test_what_the_catalog_refuses_at_the_start_waits_for_the_first_use(
    bed: Bed, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full disk ends no start."""
    async with bed.daemon() as daemon:
        await published(daemon)
    bed.engine_identity = "fake 2"

    write, full = Catalog.set_state, True

    def refuse(*arguments: Any, **more: Any) -> FunctionVersion:
        if full:
            raise CatalogError("The catalog cannot be written: database or disk is full")
        return write(*arguments, **more)

    monkeypatch.setattr(Catalog, "set_state", refuse)
    async with bed.daemon() as daemon:
        assert bed.said("version.not_recovered")
        full = False
        await answers(daemon)
        assert (await daemon.configuration("f", "1"))["State"] == "Active"


# ---------------------------------------------------------------------------------------------------------------------
# At the first use


@pytest.mark.parametrize("file", ["memory", "state"])
async def test_a_damaged_snapshot_is_made_again_once_for_all_who_wait(
    bed: Bed, autojump_clock: MockClock, file: str
) -> None:
    async with bed.daemon() as daemon:
        await published(daemon)
    damage(bed.snapshot("f") / file)
    bed.function = FakeFunction(init_s=5)

    async with bed.daemon() as daemon:
        assert (await daemon.configuration("f", "1"))["State"] == "Active"
        async with trio.open_nursery() as nursery:
            for _ in range(5):
                nursery.start_soon(answers, daemon)
            await trio.sleep(1)
            assert (await daemon.configuration("f", "1"))["StateReasonCode"] == "Restoring"
            nursery.start_soon(answers, daemon)
        assert bed.function.inits == 1
        assert daemon.core.publisher.statistics().made_again == 1
        assert (await daemon.configuration("f", "1"))["State"] == "Active"


async def test_who_waits_too_long_for_a_snapshot_is_told_to_come_again(
    bed: Bed, autojump_clock: MockClock
) -> None:
    async with bed.daemon() as daemon:
        await published(daemon)
    damage(bed.snapshot("f") / "state")
    bed.function = FakeFunction(init_s=100)

    async with bed.daemon() as daemon:
        refused = await daemon.invoke("f:1")
        assert (refused.status_code, refused.headers["x-amzn-errortype"]) == (
            409,
            "SnapStartNotReadyException",
        )
        assert "was not made again within 30 s" in refused.text
        # It goes on without him.
        assert (await daemon.settled("f", "1"))["State"] == "Active"
        await answers(daemon)


async def test_a_snapshot_that_the_engine_refuses_only_when_it_loads_it_is_made_again(
    bed: Bed, autojump_clock: MockClock
) -> None:
    async with bed.daemon() as daemon:
        await published(daemon)
        daemon.engine.fail("restore", SnapshotError("another processor"))
        await answers(daemon)
    [entry] = bed.said("version.made_again")
    assert "another processor" in entry["reason"]


@pytest.mark.parametrize("qualifier", [None, "1"])
async def test_a_version_deleted_while_it_is_made_again_is_gone(
    bed: Bed, autojump_clock: MockClock, qualifier: str | None
) -> None:
    async with bed.daemon() as daemon:
        await published(daemon)
    damage(bed.snapshot("f") / "state")
    bed.function = FakeFunction(init_s=20)

    async with bed.daemon() as daemon:
        statuses: list[int] = []

        async def wait_for_it() -> None:
            statuses.append((await daemon.invoke("f:1")).status_code)

        async with trio.open_nursery() as nursery:
            for _ in range(3):
                nursery.start_soon(wait_for_it)
            await trio.sleep(5)
            await daemon.delete("f", qualifier)
        assert statuses == [404] * 3
        assert not bed.snapshot("f").exists()
        assert daemon.core.publisher.statistics().publishing == 0
        if qualifier is None:
            daemon.function.init_s = 0
            await daemon.create("f")
            assert (await daemon.publish("f"))["Version"] == "2"


async def test_a_damaged_base_snapshot_is_made_again(bed: Bed, autojump_clock: MockClock) -> None:
    async with bed.daemon() as daemon:
        await published(daemon)
    [base] = (bed.directory / "snapshots" / "base").iterdir()
    damage(base / "memory")

    async with bed.daemon() as daemon:
        await answers(daemon, "f")
        assert (await daemon.publish("f"))["Version"] == "1"
    assert [entry["path"] for entry in bed.said("base.made_again")] == [str(base)]
    assert len(bed.said("base.made")) == 2


# ---------------------------------------------------------------------------------------------------------------------
# Damaged after it was proved


def lose_a_clone(daemon: RunningDaemon, how: str) -> None:
    """Let the next clone fail as one of damaged files does; the one after it is as it should be."""
    engine = daemon.engine
    match how:
        case "refused":
            engine.fail("restore", EngineError("Not a migration stream"))
        case "dead at its load":
            engine.fail("restore", MachineDied("QEMU has ended with code 1"))
        case "dead before its answer":
            engine.fail("resume", MachineDied("QEMU has ended with code 1"))
        case _:
            daemon.function.mute = True


LOSSES = ["refused", "dead at its load", "dead before its answer", "silent"]


@pytest.mark.parametrize("how", LOSSES)
async def test_a_snapshot_damaged_after_its_proof_is_made_again_once_a_start_failed(
    bed: Bed, autojump_clock: MockClock, how: str
) -> None:
    async with bed.daemon() as daemon:
        await published(daemon)
        await answers(daemon)
        await trio.sleep(10_000)  # its machine is gone
        damage(bed.snapshot("f") / "memory")
        lose_a_clone(daemon, how)
        await daemon.invoke("f:1")
        daemon.function.mute = False
        await answers(daemon)
        assert daemon.core.publisher.statistics().made_again == 1
        assert (await daemon.configuration("f", "1"))["State"] == "Active"
    [entry] = bed.said("version.made_again")
    assert "not what was written" in entry["reason"]


@pytest.mark.parametrize("how", LOSSES)
async def test_a_base_snapshot_damaged_after_its_proof_is_made_again_once_a_start_failed(
    bed: Bed, autojump_clock: MockClock, how: str
) -> None:
    async with bed.daemon() as daemon:
        await daemon.create("f")
        await answers(daemon, "f")
        await trio.sleep(10_000)
        [base] = (bed.directory / "snapshots" / "base").iterdir()
        damage(base / "memory")
        lose_a_clone(daemon, how)
        await daemon.invoke("f")
        daemon.function.mute = False
        await answers(daemon, "f")
    assert [entry["path"] for entry in bed.said("base.made_again")] == [str(base)]
    assert len(bed.said("base.made")) == 2


async def test_whole_snapshots_are_read_once_and_again_after_a_lost_machine_alone(
    bed: Bed, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[Path] = []
    monkeypatch.setattr(store, "_prove", lambda snapshot, _: read.append(snapshot.directory))
    async with bed.daemon() as daemon:
        await published(daemon)
    async with bed.daemon() as daemon:
        for error in ("", "", "its hook raised", "its hook raised", "", "", ""):
            daemon.function.restore_error = error
            await daemon.invoke("f:1")
            await trio.sleep(10_000)
        assert read == [bed.snapshot("f")]
        lose_a_clone(daemon, "refused")
        for _ in range(4):
            await daemon.invoke("f:1")
            await trio.sleep(10_000)
        assert read == 2 * [bed.snapshot("f")]
    assert bed.said("version.made_again") == []


async def test_a_code_disk_that_is_gone_is_made_again_and_the_snapshot_still_fits(
    bed: Bed, autojump_clock: MockClock
) -> None:
    async with bed.daemon() as daemon:
        await published(daemon)
    for disk in (bed.directory / "code").glob("*.disk"):
        disk.unlink()

    async with bed.daemon() as daemon:
        await answers(daemon)
    assert bed.said("version.made_again") == []


async def test_a_snapshot_is_not_restored_with_another_code_disk(
    bed: Bed, autojump_clock: MockClock
) -> None:
    """The guest remembers parts of the one that it was snapshotted with."""
    async with bed.daemon() as daemon:
        await published(daemon)
    path = bed.snapshot("f") / "manifest.json"
    manifest = json.loads(path.read_text())
    manifest["about"]["code_disk"] = "another"
    path.write_text(json.dumps(manifest))

    async with bed.daemon() as daemon:
        await answers(daemon)
    [entry] = bed.said("version.made_again")
    assert "another code disk" in entry["reason"]
