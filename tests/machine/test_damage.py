"""What a version's machines are made of is damaged, lost or refused: it is made again, and the first caller is served.

The version keeps its number, and says that it is being restored for as long as it is.
"""

from __future__ import annotations

import json
import shutil
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest
from attrs import define, field
from live import Daemon, call, publish_everything, running

from thawd.cli.client import DaemonRefused

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from thawd.cli.client import Client

ACTIVE, RESTORING = ("Active", None), ("Pending", "Restoring")


@pytest.fixture(scope="module")
def lasting(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with a published function, whose files tests damage between two starts."""
    with running(tmp_path_factory.mktemp("lasting"), images) as daemon:
        publish_everything(daemon, "f")
        yield daemon


def snapshot(state: Path) -> Path:
    return state / "snapshots" / "functions" / "f" / "1"


def base(state: Path) -> Path:
    (path,) = (state / "snapshots" / "base").iterdir()
    return path


def flip(path: Path) -> None:
    """Change one bit of what a file holds."""
    path.chmod(0o600)
    with path.open("r+b") as file:
        # Past a hole at the start, if there is one; a code disk is nearly all hole.
        data = file.read(1 << 27).rstrip(b"\0")
        file.seek(len(data) - 1)
        file.write(bytes([data[-1] ^ 1]))


def lose(state: Path) -> None:
    shutil.rmtree(snapshot(state))


def flip_memory(state: Path) -> None:
    flip(snapshot(state) / "memory")


def cut_device_state(state: Path) -> None:
    path = snapshot(state) / "state"
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def spoil_manifest(state: Path) -> None:
    (snapshot(state) / "manifest.json").write_text("{")


def flip_code_disk(state: Path) -> None:
    for disk in (state / "code").glob("*.disk"):
        flip(disk)


def lose_code_disk(state: Path) -> None:
    for disk in (state / "code").glob("*.disk"):
        disk.unlink()


def spoil_base_and_lose(state: Path) -> None:
    flip(base(state) / "memory")
    lose(state)


def lose_everything_but_zips(state: Path) -> None:
    shutil.rmtree(state / "snapshots")
    lose_code_disk(state)


def another_engine(state: Path) -> None:
    """What is there after an upgrade of QEMU: the snapshot and its base are another engine's."""
    for path in (snapshot(state), base(state)):
        manifest = path / "manifest.json"
        said = json.loads(manifest.read_text())
        manifest.write_text(json.dumps({**said, "engine": "qemu-1.0 of another time"}))


MADE_AGAIN = [
    lose,
    flip_memory,
    cut_device_state,
    spoil_manifest,
    spoil_base_and_lose,
    lose_everything_but_zips,
    another_engine,
]


@define
class Watch:
    """What `GetFunctionConfiguration` says of a version, each time that it changes."""

    seen: list[tuple[str, str | None]] = field(factory=list)


@contextmanager
def watched(daemon: Daemon) -> Iterator[Watch]:
    watch, over = Watch(), threading.Event()

    def look() -> None:
        with daemon.client() as client:
            while not over.is_set():
                said = client.get_configuration("f", "1")
                now = (said["State"], said.get("StateReasonCode"))
                if watch.seen[-1:] != [now]:
                    watch.seen.append(now)
                time.sleep(0.01)

    thread = threading.Thread(target=look)
    thread.start()
    try:
        yield watch
    finally:
        over.set()
        thread.join()


def first_call(daemon: Daemon) -> tuple[dict[str, Any], list[tuple[str, str | None]]]:
    """The answer to the first invocation after a start, and the states that the version had meanwhile."""
    daemon.start()
    with watched(daemon) as watch, daemon.client() as client:
        answer = _answer(client)
        assert client.get_configuration("f", "1")["State"] == "Active"
    return answer, watch.seen


def _answer(client: Client) -> dict[str, Any]:
    """Asked again as the error says: on a busy machine a snapshot takes longer than an invocation waits for it."""
    for _ in range(20):
        try:
            return call(client, "f", do="surroundings")
        except DaemonRefused as refused:
            if refused.code != "SnapStartNotReadyException":
                raise
    raise AssertionError("the snapshot was not made again")


@pytest.mark.parametrize("damage", MADE_AGAIN)
def test_a_snapshot_that_cannot_be_used_is_made_again(
    lasting: Daemon, damage: Callable[[Path], None]
) -> None:
    lasting.stop()
    damage(lasting.state)

    answer, states = first_call(lasting)

    assert answer["version"] == "1"
    assert answer["environment"]["AWS_LAMBDA_INITIALIZATION_TYPE"] == "snap-start"
    assert [state for state in states if state != ACTIVE] == [RESTORING]
    assert states[-1] == ACTIVE
    assert lasting.statistics()["publisher"]["made_again"] == 1
    with lasting.client() as client:
        assert [one["Version"] for one in client.list_versions("f")] == ["$LATEST", "1"]


@pytest.mark.parametrize("damage", [flip_code_disk, lose_code_disk])
def test_a_code_disk_is_made_again_from_its_zip(
    lasting: Daemon, damage: Callable[[Path], None]
) -> None:
    """It is the same to the byte, so that the snapshot still fits to it."""
    lasting.stop()
    damage(lasting.state)

    answer, states = first_call(lasting)

    assert answer["version"] == "1"
    assert states == [ACTIVE]
    assert lasting.statistics()["publisher"]["made_again"] == 0


def test_a_damaged_base_snapshot_is_no_matter_to_what_was_made_of_it(lasting: Daemon) -> None:
    """It is made again for whoever needs it next."""
    lasting.stop()
    flip(base(lasting.state) / "memory")

    _, states = first_call(lasting)

    assert states == [ACTIVE]
    with lasting.client() as client:
        answer = call(client, "f", None, do="surroundings")
    assert answer["environment"]["AWS_LAMBDA_INITIALIZATION_TYPE"] == "on-demand"


def test_what_was_made_again_stays(lasting: Daemon) -> None:
    lasting.stop()
    lose(lasting.state)
    first_call(lasting)
    lasting.stop()

    _, states = first_call(lasting)

    assert states == [ACTIVE]
    assert lasting.statistics()["publisher"]["made_again"] == 0
