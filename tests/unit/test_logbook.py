"""The log book: what a function may keep, whole lines whatever the disk does, readers and followers."""

from __future__ import annotations

import errno
import json
import os
from typing import TYPE_CHECKING

import pytest
import trio
from core import running_core, version
from hypothesis import given
from hypothesis import strategies as st

from thawd.catalog.models import LATEST
from thawd.logs import book as logbook
from thawd.logs.book import EnvironmentLog, LogBook

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

KIB = 1024


@pytest.fixture
def book(tmp_path: Path) -> Iterator[LogBook]:
    book = LogBook(tmp_path / "logs", retention_bytes=64 * KIB)
    yield book
    book.close()


def say(book: LogBook, *messages: str, name: str = "f", number: str = "1") -> None:
    for message in messages:
        book.write(name, number, "stream", message, at_s=0)


def heard(book: LogBook, lines: int = 1000, *, name: str = "f", number: str = "1") -> list[str]:
    return [json.loads(line)["message"] for line in book.tail(name, number, lines)]


def size_of(book: LogBook, name: str = "f") -> int:
    return sum(path.stat().st_size for path in (book.directory / name).iterdir())


def test_a_line_is_what_cloudwatch_keeps_of_an_event(book: LogBook) -> None:
    book.write("f", LATEST, "2026/01/01/[$LATEST]00", "a\tü\n\udcff", at_s=1.5)

    (line,) = book.tail("f", LATEST, 10)
    assert json.loads(line) == {
        "timestamp": "1970-01-01T00:00:01.500Z",
        "stream": "2026/01/01/[$LATEST]00",
        "message": "a\tü\n\udcff",
    }
    assert book.path("f", LATEST).name == "LATEST.ndjson"


@pytest.mark.parametrize("at_s", [-1e30, 0.0, 2.0**64 / 1e6, 1e300, float("inf")])
def test_any_time_can_be_written(book: LogBook, at_s: float) -> None:
    book.write("f", "1", "stream", "x", at_s=at_s)

    assert heard(book) == ["x"]


def test_a_function_keeps_so_much_with_all_its_versions_and_the_newest_lines(book: LogBook) -> None:
    for number in range(3000):
        say(book, f"{number} {'x' * 100}", number=str(1 + number % 7))
        assert size_of(book) <= book.retention_bytes

    assert size_of(book) > book.retention_bytes // 2
    for number in range(2995, 3000):
        assert heard(book, 1, number=str(1 + number % 7))[-1].startswith(str(max(0, number)))


def test_what_an_older_daemon_left_counts(book: LogBook) -> None:
    """0.1.0 kept two files a version, of any size."""
    folder = book.directory / "f"
    folder.mkdir(parents=True)
    line = '{"timestamp": "", "stream": "", "message": "old"}\n'
    for name in ("1.ndjson", "1.1.ndjson", "2.ndjson", "2.1.ndjson"):
        (folder / name).write_text(line * 1000)

    say(book, "new", number="2")

    assert size_of(book) <= book.retention_bytes
    assert heard(book, 1, number="2") == ["new"]


def test_another_functions_log_makes_no_room(book: LogBook) -> None:
    say(book, "kept", name="quiet")
    for _ in range(2000):
        say(book, "x" * 100)

    assert heard(book, name="quiet") == ["kept"]


def test_a_message_larger_than_what_may_be_kept_is_cut(book: LogBook) -> None:
    say(book, "\0" * 256 * KIB, "\U0001f600" * 64 * KIB, "after")

    assert size_of(book) <= book.retention_bytes
    assert [len(message) for message in heard(book)] == [KIB, KIB, len("after")]


def test_a_tail_crosses_files_and_gives_the_last_lines_oldest_first(book: LogBook) -> None:
    say(book, *(f"{number} {'x' * 100}" for number in range(250)))

    assert len(list((book.directory / "f").iterdir())) > 3
    told = heard(book, 200)
    assert [int(message.split()[0]) for message in told] == list(range(50, 250))
    assert heard(book, 1)[0].startswith("249 ")
    assert heard(book, 0) == heard(book, -1) == []


def test_a_tail_reads_a_bounded_part_of_a_long_log(tmp_path: Path) -> None:
    book = LogBook(tmp_path, retention_bytes=1 << 30)
    say(book, *(["x" * 200 * KIB] * 30))

    told = heard(book)
    book.close()
    assert 0 < len(told) * 200 * KIB <= 4 << 20


@given(
    sizes=st.lists(st.integers(0, 3000), max_size=60),
    wanted=st.integers(0, 70),
    block=st.integers(1, 200),
)
def test_a_tail_is_the_end_of_the_log_however_it_is_read(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[int], wanted: int, block: int
) -> None:
    book = LogBook(tmp_path_factory.mktemp("logs"), retention_bytes=8 << 20)
    messages = [f"{number}" + "x" * size for number, size in enumerate(sizes)]
    say(book, *messages)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(logbook, "_BLOCK", block)

        assert heard(book, wanted) == (messages[-wanted:] if wanted else [])
    book.close()


def test_a_tail_of_what_never_logged_or_is_no_version_is_empty(book: LogBook) -> None:
    say(book, "x")
    (book.directory / "secret.ndjson").write_text('{"message": "no"}\n')

    assert heard(book, number="2") == heard(book, name="g") == []
    assert heard(book, number="../secret") == heard(book, number=".*") == []


def half_write(descriptor: int, data: bytes) -> int:
    return _write(descriptor, data[: len(data) // 2])


def half_write_then_refuse(descriptor: int, data: bytes) -> int:
    _write(descriptor, data[: len(data) // 2])
    raise OSError(errno.ENOSPC, "full")


_write = os.write


@pytest.mark.parametrize("fault", [half_write, half_write_then_refuse])
@pytest.mark.parametrize("cut", [True, False])
def test_half_a_line_is_never_read_and_spoils_no_other(
    book: LogBook, monkeypatch: pytest.MonkeyPatch, fault: object, *, cut: bool
) -> None:
    """Whether it can be cut off at once or not."""

    def refuse(*_: object) -> None:
        raise OSError(errno.EIO, "broken")

    say(book, "before")
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", fault)
        if not cut:
            patch.setattr(os, "ftruncate", refuse)
        say(book, "lost", "lost too")
        assert heard(book) == ["before"]
    say(book, "after")

    assert heard(book) == ["before", "after"]
    assert book.lost == 2
    assert book.path("f", "1").read_bytes().count(b"\n") == 2


def test_half_a_line_of_a_daemon_that_died_is_cut_off(book: LogBook) -> None:
    say(book, "before")
    book.close()
    with book.path("f", "1").open("ab") as file:
        file.write(b'{"timestamp": "2026')

    assert heard(book) == ["before"]
    say(book, "after")
    assert heard(book) == ["before", "after"]


def test_no_error_of_the_file_system_leaves_the_log_book(
    book: LogBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, "read-only")

    say(book, "before")
    for call in ("write", "open", "rename", "unlink", "mkdir", "ftruncate", "scandir"):
        with monkeypatch.context() as patch:
            patch.setattr(os, call, refuse)
            for number in range(900):
                say(book, "x" * 100, number=str(number % 3))
        book.forget("f")
        with monkeypatch.context() as patch:
            patch.setattr(os, call, refuse)
            say(book, "x", name=call)
    say(book, "after")

    assert heard(book, 1) == ["after"]
    assert size_of(book) <= book.retention_bytes


def test_lines_reach_followers_also_when_the_disk_takes_none(
    book: LogBook, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "write", half_write_then_refuse)
    with book.follow("f", "1") as news:
        say(book, "x")

        assert json.loads(news.receive_nowait())["message"] == "x"


def test_a_follower_hears_its_version_and_loses_lines_when_it_does_not_read(book: LogBook) -> None:
    with book.follow("f", "1") as news, book.follow("f", "2") as others:
        for number in range(1500):
            say(book, str(number))
        told = [json.loads(news.receive_nowait())["message"] for _ in range(1000)]

        assert told == [str(number) for number in range(1000)]
        for channel in (news, others):
            with pytest.raises(trio.WouldBlock):
                channel.receive_nowait()
    assert book._followers == {}
    say(book, "nobody follows")


def test_few_files_are_open_however_many_versions_log(book: LogBook) -> None:
    for turn in range(2):
        for number in range(200):
            say(book, str(turn), number=str(number))
            assert book.statistics().open_files <= 64

    assert heard(book, number="0") == heard(book, number="199") == ["0", "1"]


async def test_a_deleted_functions_files_are_closed(
    tmp_path: Path, autojump_clock: trio.abc.Clock
) -> None:
    async with running_core(tmp_path) as core:
        await core.publisher.make_snapshot(version())
        assert core.logs.statistics().open_files == 1

        await core.publisher.forget("f", "1")
        assert core.logs.statistics().open_files == 1
        await core.publisher.forget("f")
        assert core.logs.statistics().open_files == 0


def test_a_tail_of_an_invocation_is_its_last_4_kib_whatever_a_line_weighs(book: LogBook) -> None:
    log = EnvironmentLog(book, "f", "1", "stream")
    log.start_tail()
    for _ in range(2000):
        log.write("x" * 200 * KIB if _ == 1999 else "y", at_s=0)

    assert log.take_tail() == b"x" * 4095 + b"\n"
    assert log.take_tail() == b""
