"""The clone test's way through machines, on the fake engine; and what its page says of hooks, steps and failures."""

from __future__ import annotations

import json
from functools import partialmethod
from typing import TYPE_CHECKING, Any

import pytest
from core import running_core, version

from thaw_check.clones import ColdStart, Observed, Verdict, compare, exchange
from thaw_check.clones.observation import Freeze
from thaw_check.clones.page import findings, sections
from thawd.catalog.models import ApplyOn
from thawd.cli.clones import report_of
from thawd.clonetest.observe import observe_clones
from thawd.environments.host import Host
from thawd.guest.lines import Kept
from thawd.guest.testing import Exit, FakeFunction, HandlerError
from thawd.logs.book import LogBook

if TYPE_CHECKING:
    from pathlib import Path

    from trio.testing import MockClock

EVENTS = [{}, {"n": 1}]


def wide(number: object) -> str:
    """128 bits that a number stands for."""
    return f"{int(str(number)) * 0x9E3779B97F4A7C15F39CC0605CEDC835 % 2**128:032x}"


async def kept_and_fresh(event: bytes, request: Any, memory: dict[str, object]) -> bytes:
    """A value of the init, which clones share, and one of the invocation."""
    memory["calls"] = int(str(memory.get("calls", 0))) + 1
    return json.dumps({"id": wide(memory["init"]), "constant": "tea"}).encode()


def told(phase: str) -> list[dict[str, object]]:
    return {
        "init": [
            {"kind": "global", "name": "app.ID", "value": "x"},
            {"kind": "tap", "source": "uuid.uuid4", "at": "app.py:3", "value": "y"},
        ],
        "restore": [{"kind": "tap", "source": "os.urandom", "at": "app.py:9", "value": "z"}],
        "invoke": [
            {"kind": "sent", "connection": 1, "data": b"world".hex()},
            {"kind": "sent", "connection": 0, "data": b"hel".hex()},
            {"kind": "sent", "connection": 0, "data": b"lo".hex()},
            {"kind": "files", "names": ["a", "b/c"]},
        ],
    }[phase]


async def observed(
    tmp_path: Path, function: FakeFunction, events: list[Any] = EVENTS, **options: Any
) -> Observed:
    async with running_core(tmp_path, function) as core:
        seen = await observe_clones(core.host, version(), events, **options)
        assert core.messages() == [], "a check is no part of the version's log"
        assert not list((tmp_path / "snapshots").glob(".new-*"))
        assert core.snapshots.function_versions() == []
    return seen


async def test_two_starts_two_clones_each_the_same_events(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    function = FakeFunction(handler=kept_and_fresh, records=told, log=("hello",))
    seen = await observed(tmp_path, function)

    assert function.inits == 2
    assert len(function.restores) == 4
    assert all(restore.reseed_kernel for restore in function.restores)
    assert [len(start.clones) for start in seen.starts] == [2, 2]
    assert [tap.source for tap in seen.starts[0].taps] == ["uuid.uuid4"]
    assert [each.name for each in seen.starts[0].globals] == ["app.ID"]
    clone = seen.starts[0].clones[0]
    assert [answer.outbound for answer in clone.answers] == [(b"hello", b"world")] * 2
    assert [answer.logs for answer in clone.answers] == [("hello",)] * 2
    assert clone.files == ("a", "b/c")
    assert [tap.at for tap in clone.draws] == ["app.py:9"]
    assert clone.wake.clock_off_ms == 40
    assert seen.starts[0].freeze.connections == ("10.0.0.5:5432",)

    (found,) = compare(seen.events, seen.starts).findings
    assert (found.path, found.verdict) == ("$.id", Verdict.VALUE)


async def test_records_that_are_none_are_no_harm(tmp_path: Path, autojump_clock: MockClock) -> None:
    function = FakeFunction(
        records=lambda _phase: [
            [], "x", 3, {}, {"kind": "tap"}, {"kind": "tap", "source": 1, "at": [], "value": {}},
            {"kind": "sent", "connection": "x", "data": 4}, {"kind": "sent", "connection": 1, "data": "zz"},
            {"kind": "files", "names": 3}, {"kind": "global", "name": "a"}, {"kind": ["tap"]},
        ]
    )  # fmt: skip
    seen = await observed(tmp_path, function)

    assert seen.starts[0].taps == seen.starts[0].globals == seen.starts[0].clones[0].files == ()


async def test_worst_case_and_without_fixers_reach_the_guest(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    skipped: list[object] = []

    async def look(event: bytes, request: Any, memory: dict[str, object]) -> bytes:
        skipped.append(memory["skip_fixers"])
        return b"{}"

    function = FakeFunction(handler=look)
    await observed(tmp_path, function, kernel_cloned=True, fixers_off=True)

    assert not any(restore.reseed_kernel for restore in function.restores)
    assert skipped == [["*"]] * 8


async def test_latest_can_be_tested_too(tmp_path: Path, autojump_clock: MockClock) -> None:
    async with running_core(tmp_path, FakeFunction()) as core:
        latest = version("$LATEST", snap_start=ApplyOn.NONE)
        assert len((await observe_clones(core.host, latest, EVENTS)).starts) == 2


@pytest.mark.parametrize(
    ("function", "rule", "said"),
    [
        (FakeFunction(init_error="ValueError"), "HOOK001", "ValueError: init went wrong"),
        (FakeFunction(restore_error="Runtime.HookError"), "HOOK002", "hook went wrong"),
        (FakeFunction(restore_s=60), "HOOK002", "did not end within 10 s"),
    ],
)
async def test_what_the_function_itself_does_wrong_is_a_finding(
    tmp_path: Path, autojump_clock: MockClock, function: FakeFunction, rule: str, said: str
) -> None:
    report = report_of("f", await observed(tmp_path, function))

    (found,) = [finding for finding in report.findings if finding.rule != "HOOK004"]
    assert found.rule == rule
    assert said in found.message
    assert report.failed


async def test_a_handler_that_hangs_is_a_finding(tmp_path: Path, autojump_clock: MockClock) -> None:
    import trio

    async def hang(event: bytes, request: Any, memory: dict[str, object]) -> bytes:
        await trio.sleep_forever()
        return b""

    report = report_of("f", await observed(tmp_path, FakeFunction(handler=hang)))

    (found,) = [finding for finding in report.findings if finding.rule != "HOOK004"]
    assert found.rule == "HOOK005"
    assert "Timeout of 3 s" in found.message


async def test_a_handler_that_ends_the_process_is_a_finding(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async def leave(event: bytes, request: Any, memory: dict[str, object]) -> bytes:
        raise Exit(3)

    seen = await observed(tmp_path, FakeFunction(handler=leave))
    report = report_of("f", seen)

    (found,) = [finding for finding in report.findings if finding.rule != "HOOK004"]
    assert found.rule == "HOOK005"
    assert "exit status 3" in found.message
    assert "1 cold start, 2 clones, 2 events each, on fake" in str(report.sections[0].lines)


async def test_a_handler_that_raises_is_said_once(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    async def fail(event: bytes, request: Any, memory: dict[str, object]) -> bytes:
        raise HandlerError("no such key")

    seen = await observed(tmp_path, FakeFunction(handler=fail))

    (found,) = [finding for finding in findings(seen) if finding.rule == "HOOK003"]
    assert "HandlerError: no such key" in found.message


async def test_the_page_tells_hooks_in_order_steps_and_fixers(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    def hook(name: str, *, ok: bool = True) -> dict[str, object]:
        return {"name": name, "us": 1500, "ok": ok}

    fixer = {
        "name": "random", "version": "", "result": "ok", "essential": True, "us": 200, "detail": "2 generators",
    }  # fmt: skip
    function = FakeFunction(
        freeze_report={"fixers": [fixer], "hooks": [hook("app.flush")], "notes": ["a note"]},
        thaw_report={"fixers": [fixer], "hooks": [hook("app.first"), hook("app.second")]},
    )
    seen = await observed(tmp_path, function)
    page = {section.title: section for section in sections(seen, None)}

    assert [row[:2] for row in page["Hooks, in the order they ran"].rows] == [
        ("before snapshot", "app.flush"), ("after restore", "app.first"), ("after restore", "app.second"),
    ]  # fmt: skip
    assert ("guest agent", "clock", "0.0") in page["Restore"].rows
    assert page["What thawd renewed in the function's process"].rows == (
        ("random", "ok", "0.20", "2 generators"),
    )
    stale = page["Stale and left as it is"].lines
    assert any("10.0.0.5:5432" in line for line in stale)
    assert any("40 ms" in line for line in stale)
    assert "a note" in stale


async def test_records_that_are_too_many_to_keep_are_told(
    tmp_path: Path, autojump_clock: MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Kept, "__init__", partialmethod(Kept.__init__, most=400))
    seen = await observed(tmp_path, FakeFunction(handler=kept_and_fresh, records=told))

    (note, *_) = seen.starts[0].freeze.notes
    assert note.endswith("this report is not complete")


async def test_observations_survive_the_way_to_the_command_line(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    seen = await observed(tmp_path, FakeFunction(handler=kept_and_fresh, records=told))

    assert exchange.from_json(json.loads(json.dumps(exchange.as_json(seen)))) == seen
    with pytest.raises(ValueError, match="no observations"):
        exchange.from_json({"starts": 3})


def test_the_log_of_a_check_is_nobodys(tmp_path: Path) -> None:
    book = LogBook(tmp_path)
    host = Host(
        engine=None, snapshots=None, bases=None, images=None, ready_disk=None, logs=book, region="",
    )  # fmt: skip
    host.open_log(version(), kept=False).write("line", at_s=0)

    assert list(book.tail("f", "1", 10)) == []


def test_an_end_within_the_function_is_named_once_whatever_port_the_kernel_chose() -> None:
    def start(*far: str) -> ColdStart:
        return ColdStart((), freeze=Freeze(init_ms=0.0, connections=far))

    database = "10.0.0.5:50051"
    seen = Observed(
        engine="fake",
        events=(),
        starts=(
            start(database, database, "127.0.0.1:50052", "127.0.0.1:40001", "127.0.0.1:40002"),
            start(database, "127.0.0.1:50052", "127.0.0.1:40003", "::1:60999"),
        ),
    )

    said = [found.what for found in findings(seen) if found.rule == "HOOK004"]
    assert said == [
        database,
        "127.0.0.1:50052",
        "127.0.0.1, within the function",
        "::1, within the function",
    ]
    (line,) = next(one for one in sections(seen, None) if one.title.startswith("Stale")).lines
    assert line == (
        "connections shut before the snapshot: 10.0.0.5:50051 (2 of them), 127.0.0.1:50052, "
        "127.0.0.1, within the function (2 of them), ::1, within the function"
    )


async def test_a_start_that_wanted_a_network_says_that_there_is_none(
    tmp_path: Path, autojump_clock: MockClock
) -> None:
    failed = FakeFunction(init_error="socket.gaierror")
    start, *_ = (await observed(tmp_path, failed)).starts

    assert "socket.gaierror: init went wrong" in start.freeze.failure
    assert "Guests have no network yet" in start.freeze.failure
