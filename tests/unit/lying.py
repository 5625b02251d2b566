"""A guest that speaks the protocol and lies: what it says, when, how often, and whether it says it to the end.

A `Script` is drawn by Hypothesis. It follows the honest order up to a drawn point, so that every stage of a machine's life
meets lies; the values in its messages may be anything of the right type from the beginning on.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import trio
from attrs import define, field, frozen
from hypothesis import strategies as st

from thaw_agent import wire

if TYPE_CHECKING:
    from thawd.engines.testing import FakeMachine

MOMENTS: Final = ("hello", "init", "restore", "invoke", "invoke again")
"""What a host asks for, in its order. Only a clone is asked to restore; only one of the base to init."""

_SAID: Final = (
    wire.Hello,
    wire.InitDone,
    wire.InitFailed,
    wire.SnapshotReady,
    wire.Restored,
    wire.RestoreFailed,
    wire.Response,
    wire.FunctionError,
    wire.Done,
    wire.Exited,
    wire.Fault,
)

# ---------------------------------------------------------------------------------------------------------------------
# Values

_FLOOD_BYTES: Final = 1 << 19
"""A flood has no more: examples are many."""
SIZES: Final = st.sampled_from([0, 1, 100, 5_000, 70_000, 250_000])
INTEGERS: Final = st.sampled_from(
    [0, 1, -1, 2**31, 2**53 + 1, 2**63, 2**64 - 1, 10**30, -(10**30), 10**400]
) | st.integers(0, 10**7)
_SIMPLE: Final = st.text(max_size=20) | st.sampled_from(["\0", "\n\r\t\x1b[2J", "é\U0001f600", ""])
TEXTS: Final = st.one_of(
    _SIMPLE,
    _SIMPLE,
    st.builds(lambda unit, size: unit * size, st.sampled_from(["x", "\0", "ü", "\n"]), SIZES),
)
ODD_TEXTS: Final = TEXTS | st.sampled_from(["\udcff", "\ud800x", "\udfff\ud800"])
"""Half surrogate pairs too, which JSON can spell."""


def _deep(depth: int, kind: str) -> Any:
    value: Any = 1
    for _ in range(depth):
        value = [value] if kind == "list" else {"": value}
    return value


JSON: Final = st.one_of(
    st.none() | st.booleans() | INTEGERS | ODD_TEXTS,
    st.sampled_from([float("nan"), float("inf"), -float("inf"), 1e308, -0.0]),
    st.builds(_deep, st.sampled_from([1, 15, 17, 400, 3000]), st.sampled_from(["list", "dict"])),
    st.dictionaries(_SIMPLE, INTEGERS | ODD_TEXTS, max_size=3),
    st.lists(INTEGERS | ODD_TEXTS, max_size=3),
    st.builds(lambda size: list(range(size // 8)), SIZES),
)
_ERRORS: Final = st.one_of(
    TEXTS,
    st.builds(
        lambda value: json.dumps(value, ensure_ascii=True)[:250_000],
        st.fixed_dictionaries({"errorType": JSON, "errorMessage": JSON, "stackTrace": JSON}),
    ),
    st.sampled_from(["[" * 100_000, '{"errorMessage": "\\udcff.txt"}', "9" * 5000, "nul", '"']),
)
_OF_KIND: Final = {
    "str": TEXTS,
    "int": INTEGERS,
    "int | None": st.none() | INTEGERS,
    "dict[str, int]": st.dictionaries(_SIMPLE, INTEGERS, max_size=3),
    "dict[str, Any]": st.dictionaries(_SIMPLE, JSON, max_size=3),
    "list[str]": st.lists(TEXTS, max_size=3),
}


def values(message: type[wire.Message], **fixed: Any) -> st.SearchStrategy[dict[str, Any]]:
    """A message's fields, each any value of its type."""
    fields = {name: _OF_KIND[kind] for name, kind in message.__annotations__.items()}
    if "body" in fields:
        fields["body"] = _ERRORS
    return st.fixed_dictionaries(
        {name: st.just(fixed[name]) if name in fixed else of for name, of in fields.items()}
    )


def spell(fields: dict[str, Any]) -> bytes:
    """Fields as JSON; one deeper than json.dumps() goes is a list of brackets."""
    try:
        return json.dumps(fields).encode()
    except RecursionError:
        return b'{"report":' + b"[" * 3000


# ---------------------------------------------------------------------------------------------------------------------
# Acts


@frozen
class Say:
    """A frame, whole; `stream` None is that of the invocation under way."""

    kind: int
    payload: bytes
    stream: int | None = 0
    end: bool = False
    times: int = 1


@frozen
class Bytes:
    """Bytes that are no frame."""

    data: bytes


@frozen
class Half:
    """The beginning of a frame."""

    of: Say
    cut: int


@frozen
class Wait:
    """Nothing, for some seconds."""

    seconds: float


@frozen
class HangUp:
    """The end of the channel, of the VMM with `code`."""

    code: int | None = None


@frozen
class Silence:
    """Nothing, for ever."""


Act = Say | Bytes | Half | Wait | HangUp | Silence

STREAMS: Final = st.sampled_from([0, None, None, 1, 2, 2**32 - 1])


def _log_line(time_us: int, source: int, text: bytes) -> bytes:
    return (wire.LOG_HEADER.pack(time_us, source) + text)[: wire.MAX_PAYLOAD]


LINES: Final = st.builds(
    _log_line,
    st.sampled_from([0, 1, 10**15, 2**63, 2**64 - 1]) | st.integers(0, 2**64 - 1),
    st.sampled_from([1, 2, 3, 4, 5, 6]),
    st.one_of(
        st.binary(max_size=50),
        st.builds(bytes, SIZES),
        st.sampled_from([b"\xff\xfe\x80", "\U0001f600".encode()[:3], b'{"level": NaN}', b"\n" * 9]),
    ),
)
LOGS: Final = st.builds(
    Say, st.just(50), LINES, STREAMS, times=st.sampled_from([1, 1, 1, 3, 70, 400])
)
"""Lines and floods of them. They end nobody."""

_messages: Final = st.sampled_from(_SAID).flatmap(
    lambda message: st.builds(
        Say, st.just(int(message.KIND)), values(message).map(spell), STREAMS, st.booleans()
    )
)
_BODIES: Final = st.builds(
    Say,
    st.just(31),
    st.builds(bytes, SIZES),
    STREAMS,
    st.booleans(),
    st.sampled_from([1, 1, 2, 30]),
)
_STRANGE: Final = st.builds(
    Say,
    st.integers(0, 255) | st.sampled_from([int(kind) for kind in wire.Kind]),
    st.one_of(
        st.binary(max_size=30),
        JSON.map(lambda value: spell({"nonce": value, "duration_us": value, "report": value})),
        st.sampled_from([b"", b"{}", b"[]", b"null", b'{"duration_us":' + b"9" * 5000 + b"}"]),
        st.builds(bytes, st.just(300_000)),
    ),
    STREAMS,
    st.booleans(),
    st.sampled_from([1, 1, 20]),
)
FRAMES: Final = st.one_of(_messages, _messages, _BODIES, _STRANGE, LOGS)
ACTS: Final[st.SearchStrategy[Act]] = st.one_of(
    FRAMES,
    FRAMES,
    FRAMES,
    st.builds(Half, FRAMES, st.integers(0, 40)),
    st.builds(Bytes, st.binary(max_size=40) | st.just(wire.SYNC) | st.just(wire.SYNC[:5])),
    st.builds(Wait, st.sampled_from([0.0, 0.01, 1.0, 9.99, 100.0])),
    st.builds(HangUp, st.sampled_from([None, 0, 1, -9])),
    st.just(Silence()),
)


@frozen
class Moment:
    """What is done when the host asks: acts before its honest answer, whether there is one, acts after it."""

    before: tuple[Act, ...] = ()
    honest: bool = True
    after: tuple[Act, ...] = ()


@frozen
class Script:
    """All that one lying function does."""

    moments: dict[str, Moment]
    ready: dict[str, Any]
    done: dict[str, Any]
    restored: dict[str, Any]
    response: dict[str, Any]
    finished: dict[str, Any]
    body: bytes

    @property
    def lies(self) -> bool:
        """Whether it does anything that an honest one does not, but for values."""
        return any(moment != Moment() for moment in self.moments.values())


def _moment(*, lying: bool) -> st.SearchStrategy[Moment]:
    if not lying:
        harmless = st.lists(LOGS, max_size=1).map(tuple)
        return st.builds(Moment, harmless, st.just(True), harmless)
    return st.builds(
        Moment,
        st.lists(ACTS, max_size=3).map(tuple),
        st.booleans(),
        st.lists(ACTS, max_size=3).map(tuple),
    )


@st.composite
def scripts(draw: st.DrawFn) -> Script:
    """Honest up to a point that is rather late."""
    begins = draw(st.sampled_from([0, 1, 2, 3, 3, 3, 4, 4, 4, 4, 4]))
    fixers = {"fixers": []}
    ready = draw(values(wire.SnapshotReady))
    return Script(
        moments={
            name: draw(_moment(lying=number >= begins)) for number, name in enumerate(MOMENTS)
        },
        # A Python function that says nothing of its fixers is refused: an honest thing to do to it.
        ready=ready | {"report": ready["report"] | fixers},
        done=draw(values(wire.InitDone)),
        restored=draw(values(wire.Restored)),
        response=draw(values(wire.Response)),
        finished=draw(values(wire.Done)),
        body=draw(st.binary(max_size=20) | st.builds(bytes, SIZES)),
    )


# ---------------------------------------------------------------------------------------------------------------------
# The guest


class _Gone(Exception):
    """The guest has ended its channel."""


@define(eq=False)
class LyingGuest:
    """Plays the agent of every machine of one function by a script."""

    script: Script
    inits: int = 0

    async def guest(self, port: trio.abc.Stream, machine: FakeMachine) -> None:
        """See `FakeEngine.guest`."""
        agent = _LyingAgent(self.script, port, machine)
        try:
            await agent.run()
        except (trio.BrokenResourceError, trio.ClosedResourceError, _Gone):
            return


@define(eq=False)
class _LyingAgent:
    _script: Script
    _port: trio.abc.Stream
    _machine: FakeMachine
    _decoder: wire.Decoder = field(factory=wire.Decoder)
    _stream: int = 0
    _nonce: str = ""
    _invocations: int = 0

    async def run(self) -> None:
        while data := await self._port.receive_some():
            for frame in self._decoder.feed(data):
                await self._take(frame)

    async def _take(self, frame: wire.Frame) -> None:
        script = self._script
        match frame.kind:
            case wire.Kind.HELLO:
                nonce = wire.Hello.decode(frame.payload).nonce
                hello = wire.SYNC + wire.Hello(role="guest", nonce=nonce).encode()
                await self._answer("hello", [Bytes(hello)])
            case wire.Kind.INIT:
                self._machine.memory["function"] = "liar"
                if wire.Init.decode(frame.payload).initialization_type == "snap-start":
                    answer = Say(int(wire.Kind.SNAPSHOT_READY), spell(script.ready))
                else:
                    answer = Say(int(wire.Kind.INIT_DONE), spell(script.done))
                await self._answer("init", [answer])
            case wire.Kind.RESTORE:
                await self._answer(
                    "restore", [Say(int(wire.Kind.RESTORED), spell(script.restored))]
                )
            case wire.Kind.INVOKE:
                self._stream = frame.stream
            case wire.Kind.PAYLOAD if frame.end:
                self._invocations += 1
                answer = [
                    Say(int(wire.Kind.RESPONSE), spell(script.response), None),
                    Say(int(wire.Kind.PAYLOAD), script.body, None, end=True),
                    Say(int(wire.Kind.DONE), spell(script.finished), None),
                ]
                await self._answer("invoke" if self._invocations == 1 else "invoke again", answer)
            case _:
                pass

    async def _answer(self, name: str, honest: list[Act]) -> None:
        moment = self._script.moments[name]
        for act in (*moment.before, *(honest if moment.honest else ()), *moment.after):
            await self._do(act)

    async def _do(self, act: Act) -> None:
        match act:
            case Say():
                frame = self._spelt(act)
                times = min(act.times, 1 + _FLOOD_BYTES // len(frame))
                await self._port.send_all(frame * times)
            case Bytes(data):
                await self._port.send_all(data)
            case Half(of, cut):
                await self._port.send_all(self._spelt(of)[:cut])
            case Wait(seconds):
                await trio.sleep(seconds)
            case HangUp(None):
                await self._port.aclose()
                raise _Gone
            case HangUp(code):
                self._machine.die(code or 0)
                raise _Gone
            case Silence():
                await trio.sleep_forever()

    def _spelt(self, act: Say) -> bytes:
        stream = self._stream if act.stream is None else act.stream
        head = wire.HEADER.pack(
            wire.MAGIC, act.kind, wire.END if act.end else 0, stream, len(act.payload)
        )
        return head + act.payload
