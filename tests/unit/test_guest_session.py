"""The host's end of the channel against an agent played by the test over an in-memory stream."""

from __future__ import annotations

import re
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import TYPE_CHECKING

import pytest
import structlog.testing
import trio
from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st
from trio.testing import lockstep_stream_pair, memory_stream_pair, wait_all_tasks_blocked

from thaw_agent import wire
from thawd.errors import GuestError, MachineDied
from thawd.guest.failures import InitFailure, RestoreFailure, RuntimeExited
from thawd.guest.lines import Kept, LogLine
from thawd.guest.session import SIGN_OF_LIFE_S, GuestSession, open_session

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from thawd.guest.invocation import GuestInvocation

INVOKE = wire.Invoke(request_id="r", deadline_ms=1, function_arn="arn")
RESTORE = wire.Restore(
    generation=1, clock_ns=1, entropy="00" * 64, hostname="h", machine_id="0" * 32, boot_id="b"
)


@define
class Guest:
    """The agent's end: frames in, bytes out."""

    stream: trio.abc.Stream
    decoder: wire.Decoder = field(factory=wire.Decoder)
    frames: list[wire.Frame] = field(factory=list)

    async def next(self) -> wire.Frame:
        while not self.frames:
            self.frames += self.decoder.feed(await self.stream.receive_some())
        return self.frames.pop(0)

    async def send(self, *parts: bytes) -> None:
        await self.stream.send_all(b"".join(parts))

    async def greet(self) -> None:
        hello = wire.Hello.decode((await self.next()).payload)
        await self.send(wire.SYNC, wire.Hello(role="guest", nonce=hello.nonce).encode())


@asynccontextmanager
async def connected(
    last_words: str = "",
) -> AsyncIterator[tuple[GuestSession, Guest, list[LogLine]]]:
    host_end, guest_end = memory_stream_pair()
    lines: list[LogLine] = []

    async def said() -> str:
        await trio.lowlevel.checkpoint()
        return last_words

    async with open_session(host_end, on_log=lines.append, last_words=said) as session:
        yield session, Guest(guest_end), lines


async def test_hello_waits_for_the_answer_to_its_own_nonce() -> None:
    """An agent's unasked greeting, or one meant for an earlier host, is not taken for the answer."""
    async with connected() as (session, guest, _), trio.open_nursery() as nursery:
        await guest.send(wire.SYNC, wire.Hello(role="guest", nonce="stale").encode())
        nursery.start_soon(guest.greet)

        hello = await session.hello()

    assert hello.role == "guest"
    assert hello.nonce != "stale"


async def test_another_protocol_version_is_refused_with_the_way_out() -> None:
    async def answer() -> None:
        hello = wire.Hello.decode((await guest.next()).payload)
        await guest.send(
            wire.SYNC, wire.Hello(role="guest", nonce=hello.nonce, version=99).encode()
        )

    async with connected() as (session, guest, _), trio.open_nursery() as nursery:
        nursery.start_soon(answer)
        with pytest.raises(GuestError, match="thaw image build"):
            await session.hello()


async def test_bytes_before_the_first_sync_are_dropped() -> None:
    """A clone may first deliver the rest of what its template was sending."""
    async with connected() as (session, guest, _), trio.open_nursery() as nursery:
        await guest.send(b"half a frame of somebody else")
        nursery.start_soon(guest.greet)

        await session.hello()


async def test_restore_failure_carries_what_the_hook_posted() -> None:
    async def answer() -> None:
        await guest.greet()
        assert (await guest.next()).kind is wire.Kind.RESTORE
        failed = wire.RestoreFailed(
            error_type="Runtime.AfterRestoreError", message="boom", body="{}"
        )
        await guest.send(failed.encode(), wire.Exited(code=65, reason="exit status 65").encode())

    async with connected() as (session, guest, _), trio.open_nursery() as nursery:
        nursery.start_soon(answer)
        with pytest.raises(RestoreFailure, match="boom") as caught:
            await session.restore(RESTORE)

    assert caught.value.error_type == "Runtime.AfterRestoreError"


async def test_init_failure_wins_over_the_exit_that_follows_it() -> None:
    async def answer() -> None:
        await guest.greet()
        await guest.next()
        failed = wire.InitFailed(error_type="Runtime.ImportModuleError", message="no module")
        await guest.send(failed.encode(), wire.Exited(code=1, reason="exit status 1").encode())

    init = wire.Init(
        function_name="f",
        function_version="1",
        handler="a.b",
        runtime="python3.13",
        memory_mib=128,
        initialization_type="snap-start",
        clock_ns=0,
        entropy="",
        hostname="",
        machine_id="",
        boot_id="",
    )
    async with connected() as (session, guest, _), trio.open_nursery() as nursery:
        nursery.start_soon(answer)
        await session.hello()
        with pytest.raises(InitFailure) as caught:
            await session.init(init)

    assert caught.value.error_type == "Runtime.ImportModuleError"


async def test_interleaved_invocations_each_get_their_own_response() -> None:
    async with connected() as (session, guest, _):
        await guest.send(wire.SYNC)
        first = await session.invoke(INVOKE, b"1")
        second = await session.invoke(INVOKE, b"2")
        await guest.send(
            wire.Response().encode(stream=second.stream),
            wire.Response().encode(stream=first.stream),
            wire.encode(wire.Kind.PAYLOAD, b"sec", stream=second.stream),
            wire.encode(wire.Kind.PAYLOAD, b"first", stream=first.stream, end=True),
            wire.encode(wire.Kind.PAYLOAD, b"ond", stream=second.stream, end=True),
            wire.Done(duration_us=5).encode(stream=second.stream),
        )

        assert (await first.reply()).body == b"first"
        assert (await second.reply()).body == b"second"
        assert (await second.done()).duration_us == 5


async def test_a_large_event_arrives_whole() -> None:
    event = bytes(range(256)) * 8000

    async def take() -> None:
        body = b""
        assert (await guest.next()).kind is wire.Kind.PING
        assert (await guest.next()).kind is wire.Kind.INVOKE
        while True:
            frame = await guest.next()
            body += frame.payload
            if frame.end:
                break
        assert body == event

    async with connected() as (session, guest, _), trio.open_nursery() as nursery:
        nursery.start_soon(guest.greet)
        await session.hello()
        nursery.start_soon(take)
        await session.invoke(INVOKE, event)


async def test_an_event_is_taken_when_the_agent_answers_what_came_before_it() -> None:
    """In one write with the event, so that nobody waits for it; told before anything that the invocation writes."""
    order: list[str] = []
    async with connected() as (session, guest, _):
        guest.decoder.feed(wire.SYNC)
        invocation = await session.invoke(INVOKE, b"e", on_taken=lambda: order.append("taken"))
        ping = await guest.next()
        assert (await guest.next()).kind is wire.Kind.INVOKE
        session.lines.pass_on = lambda line: order.append(line.text)
        line = wire.encode_log(b"line", wire.LogSource.STDOUT, timestamp_us=1, stream=1)
        await guest.send(wire.SYNC, wire.encode(wire.Kind.PONG, ping.payload), line)
        await invocation.taken()
        await guest.stream.aclose()

        assert order == ["taken", "line"]
        await invocation.taken()  # what happens later does not change it
        with pytest.raises(MachineDied):
            await invocation.reply()


@pytest.mark.parametrize("event", [b"", bytes(4 << 20)], ids=["small", "larger than any buffer"])
async def test_an_agent_that_is_silent_does_not_take_an_event(
    autojump_clock: trio.testing.MockClock, event: bytes
) -> None:
    taken: list[bool] = []
    host_end, guest_end = lockstep_stream_pair() if event else memory_stream_pair()
    async with open_session(host_end) as session:
        began = trio.current_time()

        async def hand_over() -> None:
            invocation = await session.invoke(INVOKE, event, on_taken=lambda: taken.append(True))
            await invocation.taken()

        with pytest.raises(MachineDied, match="silent"):
            await hand_over()

        assert trio.current_time() - began == SIGN_OF_LIFE_S
        assert session.ended.is_set()
        assert taken == []
    await guest_end.aclose()


async def test_a_large_event_may_take_its_time_once_the_agent_has_shown_life(
    autojump_clock: trio.testing.MockClock,
) -> None:
    host_end, guest_end = lockstep_stream_pair()
    event = bytes(1 << 20)
    decoder = wire.Decoder()
    decoder.feed(wire.SYNC)

    async def read_slowly() -> None:
        frames: list[wire.Frame] = []
        while not frames or not frames[-1].end:
            new = decoder.feed(await guest_end.receive_some(64 << 10))
            for ping in (frame for frame in new if frame.kind is wire.Kind.PING):
                await guest_end.send_all(wire.SYNC + wire.encode(wire.Kind.PONG, ping.payload))
            frames += new
            await trio.sleep(1)

    async with open_session(host_end) as session, trio.open_nursery() as nursery:
        nursery.start_soon(read_slowly)
        invocation = await session.invoke(INVOKE, event)
        await invocation.taken()
        assert trio.current_time() > SIGN_OF_LIFE_S


async def test_log_lines_arrive_with_their_invocation() -> None:
    async with connected() as (_, guest, lines):
        line = wire.encode_log(b"caf\xc3\xa9", wire.LogSource.STDERR, timestamp_us=7, stream=3)
        await guest.send(wire.SYNC, line)
        await wait_all_tasks_blocked()

    assert [LogLine(timestamp_us=7, source=wire.LogSource.STDERR, text="café", stream=3)] == lines


@pytest.mark.parametrize(
    ("last_words", "expected"),
    [
        (
            wire.SYNC + wire.Exited(code=None, signal=9, reason="signal: killed").encode(),
            RuntimeExited,
        ),
        (wire.SYNC + wire.Fault(message="traceback").encode(), GuestError),
        (wire.SYNC + b"garbage that is no frame", GuestError),
        (b"", MachineDied),
    ],
)
async def test_whatever_ends_the_channel_fails_everyone_who_waits(
    last_words: bytes, expected: type[Exception]
) -> None:
    """Exit, fault, garbage and end of file: the running invocation, the next one and a ping all learn it."""
    async with connected() as (session, guest, _):
        running = await session.invoke(INVOKE, b"")
        if last_words:
            await guest.send(last_words)
        await guest.stream.aclose()

        with pytest.raises(expected):
            await running.reply()
        with pytest.raises(expected):
            await running.done()
        with pytest.raises((GuestError, MachineDied)):
            await session.invoke(INVOKE, b"")
        with pytest.raises((GuestError, MachineDied)):
            await session.ping()
        assert session.ended.is_set()


async def test_of_an_agents_fault_clients_get_one_line_and_the_daemons_log_all() -> None:
    fault = wire.Fault(message="OSError: full\n  File x.py", trace="Traceback ...")
    async with connected() as (session, guest, _):
        with structlog.testing.capture_logs() as logged:
            await guest.send(wire.SYNC, fault.encode())
            await session.ended.wait()

        assert str(session.failure()) == "the guest agent failed: OSError: full"
    (entry,) = [one for one in logged if one["event"] == "guest.agent_failed"]
    assert (entry["reason"], entry["trace"]) == (fault.message, fault.trace)


async def test_late_frames_of_a_forgotten_invocation_are_dropped() -> None:
    async with connected() as (session, guest, _):
        invocation = await session.invoke(INVOKE, b"")
        session.forget(invocation)
        await guest.send(
            wire.SYNC,
            wire.Response().encode(stream=invocation.stream),
            wire.encode(wire.Kind.PAYLOAD, b"late", stream=invocation.stream, end=True),
        )
        await wait_all_tasks_blocked()

        assert not session.ended.is_set()


async def test_the_scope_raises_the_callers_error_unwrapped() -> None:
    """Callers tell failures apart by class, so no exception group may stand around them."""
    with pytest.raises(KeyError):
        async with connected():
            raise KeyError


async def started(session: GuestSession, guest: Guest) -> GuestInvocation:
    await guest.send(wire.SYNC)
    return await session.invoke(INVOKE, b"1")


@pytest.mark.parametrize(
    ("frames", "why"),
    [
        ((wire.Response(), wire.Response()), "a second response"),
        ((wire.Response(), wire.FunctionError(error_type="E")), "a second response"),
        ((wire.Response(), b"1", b"2"), "goes on after its end"),
        ((b"1",), "without a head"),
        ((wire.Done(duration_us=1),), "done without a response"),
        ((wire.Response(), wire.Done(duration_us=1)), "done without a response"),
    ],
)
async def test_an_answer_out_of_order_ends_the_session(
    frames: tuple[wire.Message | bytes, ...], why: str
) -> None:
    async with connected() as (session, guest, _):
        under_way = await started(session, guest)
        for frame in frames:
            if isinstance(frame, bytes):
                await guest.send(*wire.encode_body(frame, stream=under_way.stream))
            else:
                await guest.send(frame.encode(stream=under_way.stream))

        with pytest.raises(GuestError, match=why):
            await under_way.done()


def flood(lines: int, size: int) -> bytes:
    line = wire.encode_log(b"x" * size, wire.LogSource.STDOUT, timestamp_us=1, stream=0)
    return line * lines


async def test_a_burst_of_lines_is_kept_and_a_flood_is_cut_and_counted(
    autojump_clock: trio.abc.Clock,
) -> None:
    """16 MiB at once, then 1 MiB a second."""
    async with connected() as (session, guest, lines):
        await guest.send(wire.SYNC, flood(150, 100_000))
        await wait_all_tasks_blocked()
        assert (len(lines), session.lines.lost) == (150, 0)

        await guest.send(flood(100, 100_000))
        await wait_all_tasks_blocked()
        kept = len(lines)
        assert 160 <= kept < 180
        await trio.sleep(0.5)
        await guest.send(flood(1, 10))
        await wait_all_tasks_blocked()
        assert len(lines) == kept
        await trio.sleep(1)
        await guest.send(flood(1, 10))
        await wait_all_tasks_blocked()

        lost = 250 - kept + 1
        assert [f"{lost} log lines were lost: more than 1 MiB a second", "x" * 10] == [
            line.text for line in lines[kept:]
        ]
        assert session.lines.lost == lost


async def test_what_a_flood_lost_is_said_at_the_latest_when_the_guest_ends() -> None:
    async with connected() as (session, guest, lines):
        await guest.send(wire.SYNC, flood(200, 100_000))
        await guest.stream.aclose()
        await session.ended.wait()

    assert lines[-1].text == f"{session.lines.lost} log lines were lost: more than 1 MiB a second"


async def test_a_flood_gives_other_tasks_their_turn() -> None:
    async with connected() as (session, guest, lines):
        seen = [0]

        async def other() -> None:
            while not session.ended.is_set():
                await trio.lowlevel.checkpoint()
                seen.append(len(lines))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(other)
            await guest.send(wire.SYNC, flood(5000, 10))
            await guest.stream.aclose()

    assert max(after - before for before, after in pairwise(seen)) <= 128


@given(sizes=st.lists(st.integers(0, 500)), most=st.integers(0, 2000))
def test_no_more_lines_are_kept_than_fit_and_the_rest_is_counted(
    sizes: list[int], most: int
) -> None:
    kept = Kept(most)
    for size in sizes:
        kept.keep(LogLine(timestamp_us=0, source=wire.LogSource.STDOUT, text="x" * size, stream=0))

    assert sum(len(line.text) for line in kept.lines) <= most
    assert len(kept.lines) + kept.lost == len(sizes)
    kept.clear()
    assert (kept.lines, kept.lost) == ([], 0)


async def test_d8_empty_lines_are_dropped() -> None:
    lines: list[str] = []
    async with connected() as (session, guest, _):
        session.lines.pass_on = lambda line: lines.append(line.text)
        for source in (wire.LogSource.STDOUT, wire.LogSource.TELEMETRY_TEXT):
            for text in (b"", b"a\n\n\nb\n", b" "):
                await guest.send(wire.SYNC, wire.encode_log(text, source, timestamp_us=1, stream=1))
        await wait_all_tasks_blocked()

    assert lines == ["a", "b", " ", "a\n\n\nb\n", " "]


@pytest.mark.parametrize(
    ("last_words", "reason"),
    [
        ("BUG: page fault\ud800", "the guest's kernel failed: BUG: page fault?"),
        ("", "the machine closed its channel"),
    ],
)
async def test_a_machine_that_died_is_asked_what_its_kernel_said_last(
    last_words: str, reason: str
) -> None:
    async with connected(last_words) as (session, guest, _):
        await guest.stream.aclose()
        with pytest.raises(MachineDied, match=re.escape(reason) + "$"):
            await session.ping()
