"""What version 0.1.0 left opens: a state directory and a thawd.toml that its own code made."""

from __future__ import annotations

import json
import tomllib
from pathlib import Path
from shutil import copytree
from typing import TYPE_CHECKING

import pytest
import trio
from attrs import fields, has
from daemon_bed import Bed, bed

from thawd.config import Config, load
from thawd.testing import FUNCTIONS, PythonFunction

if TYPE_CHECKING:
    from trio.testing import MockClock

__all__ = ["bed"]

BEFORE = Path(__file__).parents[1] / "fixtures" / "0.1.0"
SETTINGS = tomllib.loads((BEFORE / "thawd.toml").read_text())


@pytest.fixture
def upgraded(bed: Bed) -> Bed:
    """The bed on a copy of that state directory, with its settings; machines and places are the test's."""
    copytree(BEFORE / "state", bed.directory)
    places = {"state_directory", "runtime_directory", "images_directory", "listen"}
    bed.settings = {name: value for name, value in SETTINGS.items() if name not in places}
    bed.function = PythonFunction()
    return bed


def test_every_setting_of_0_1_0_is_accepted_under_its_name() -> None:
    config = load(BEFORE / "thawd.toml", {})

    def check(of: object, said: dict[str, object]) -> None:
        for name, value in said.items():
            read = getattr(of, name)
            if has(type(read)):
                assert isinstance(value, dict)
                check(read, value)
            elif name not in {"listen", "functions"}:
                assert str(read) == str(value) or read == value

    check(config, SETTINGS)
    assert [str(address) for address in config.listen] == SETTINGS["listen"]
    assert config.functions["hello"].skip_fixers == ("mailbox",)
    # Whatever was added since has a default.
    assert {one.name for one in fields(Config)} >= SETTINGS.keys()


async def test_functions_and_their_settings_are_there(
    upgraded: Bed, autojump_clock: MockClock
) -> None:
    async with upgraded.daemon() as daemon:
        listed = (await daemon.client.get(FUNCTIONS)).json()["Functions"]
        assert [one["FunctionName"] for one in listed] == ["broken", "hello", "plain"]
        hello = (await daemon.client.get(f"{FUNCTIONS}/hello")).json()
        shown = hello["Configuration"]
        assert hello["Tags"] == {"team": "blue"}
        assert shown["Environment"] == {"Variables": {"GREETING": "grüß"}}
        assert (shown["Description"], shown["MemorySize"], shown["Timeout"]) == ("second", 256, 30)
        assert shown["FunctionArn"] == "arn:aws:lambda:eu-central-1:123456789012:function:hello"
        answer = await daemon.invoke("plain", b"[1]")
        assert answer.json() == {"event": [1], "version": "$LATEST"}


async def test_versions_are_made_again_under_their_numbers(
    upgraded: Bed, autojump_clock: MockClock
) -> None:
    async with upgraded.daemon() as daemon:
        restoring = await daemon.configuration("hello", "1")
        assert (restoring["State"], restoring["StateReasonCode"]) == ("Pending", "Restoring")
        for number, description, memory in (("1", "first", 128), ("2", "second", 256)):
            answer = await daemon.invoke(f"hello:{number}", b"[1]")
            assert answer.json() == {"event": [1], "version": number}
            active = await daemon.settled("hello", number)
            assert (active["State"], active["Description"], active["MemorySize"]) == (
                "Active",
                description,
                memory,
            )
    assert len(upgraded.said("version.made_again")) == 2
    assert upgraded.said("snapshot.unknown") == upgraded.said("snapshot.swept") == []
    # And once only.
    async with upgraded.daemon() as daemon:
        assert (await daemon.invoke("hello:1")).status_code == 200
    assert len(upgraded.said("version.made_again")) == 2


async def test_an_engine_that_takes_the_old_snapshots_finds_them_damaged_at_first_use(
    upgraded: Bed, autojump_clock: MockClock
) -> None:
    """The same QEMU, another daemon: what is cut off is found out then."""
    manifest = upgraded.snapshot("hello") / "manifest.json"
    upgraded.engine_identity = json.loads(manifest.read_text())["engine"]

    async with upgraded.daemon() as daemon:
        assert (await daemon.configuration("hello", "1"))["State"] == "Active"
        assert (await daemon.invoke("hello:1", b"[1]")).json()["version"] == "1"
    [entry] = upgraded.said("version.made_again")
    assert "not what was written" in entry["reason"]


async def test_a_failed_version_stays_and_numbers_go_on(
    upgraded: Bed, autojump_clock: MockClock
) -> None:
    async with upgraded.daemon() as daemon:
        failed = await daemon.configuration("broken", "1")
        assert (failed["State"], failed["StateReasonCode"]) == ("Failed", "FunctionError")
        assert "not today" in failed["StateReason"]
        assert (await daemon.publish("hello"))["Version"] == "2"  # nothing has changed since
        await daemon.update_code("hello", "def handler(event, context): return 3")
        assert (await daemon.publish("hello"))["Version"] == "3"
        await daemon.create("gone")
        assert (await daemon.publish("gone"))["Version"] == "2"


async def test_logs_are_read(upgraded: Bed, autojump_clock: MockClock) -> None:
    async with upgraded.daemon() as daemon:
        for name, number, words in (("hello", "1", "RESTORE_START"), ("broken", "1", "not today")):
            logs = await daemon.client.get(
                f"/thaw/v1/functions/{name}/logs", params={"version": number, "lines": "50"}
            )
            messages = [json.loads(line)["message"] for line in logs.text.splitlines()]
            assert any(words in message for message in messages)


async def test_what_was_left_behind_is_freed(upgraded: Bed, autojump_clock: MockClock) -> None:
    async with upgraded.daemon() as daemon:
        await trio.sleep(100)
        statistics = daemon.core.collector.statistics()
        assert statistics.packages == 2  # of `gone`, and of `broken` before its update
        assert statistics.base_snapshots == 2
    assert len(list((upgraded.directory / "code").glob("*.zip"))) == 3


async def test_a_catalog_of_0_1_0_beside_code_of_another_takes_nothing_along(
    upgraded: Bed, autojump_clock: MockClock
) -> None:
    code = upgraded.directory / "code"
    for path in code.glob("*.zip"):
        path.unlink()
    (code / f"{'ab' * 32}.zip").write_bytes(b"somebody's")
    async with upgraded.daemon() as daemon:
        await daemon.create("new")
        await trio.sleep(10_000)
        assert daemon.core.collector.statistics().packages == 0
    [kept] = (code / "unknown").iterdir()
    assert kept.read_bytes() == b"somebody's"
