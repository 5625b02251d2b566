"""One start on trial: bring up an environment in a given way, hand it events, tell how long each step took, discard it.

`thaw demo`, `thaw check` and the benchmarks measure starts this way, without a pool between. The function itself answers
the events, and only steps of ordinary invocations are measured.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import trio
from attrs import frozen

from thaw_agent import wire
from thawd.guest.lines import Kept

from .init import finish_init
from .start import How, start

if TYPE_CHECKING:
    from collections.abc import Sequence

    from thawd.catalog.models import FunctionVersion
    from thawd.engines.machine import Translations
    from thawd.guest.lines import LogLine

    from .environment import Environment, Start
    from .host import Host


@frozen(kw_only=True)
class Answer:
    """The function's answer to one event. `took_ms` from sending the event to the whole response.

    `began_s` and `ended_s` are the wall clock around it, in seconds since 1970.
    """

    payload: bytes
    error_type: str | None
    took_ms: float
    began_s: float
    ended_s: float
    log: tuple[str, ...] = ()
    records: tuple[str, ...] = ()
    """Of a traced function: JSON objects, one for each thing that it did meanwhile."""
    lost: int = 0
    """Lines and records that were more than a trial keeps."""


@frozen(kw_only=True)
class Trial:
    """One start. `first_response_ms` runs from the beginning of the start to the response to the first event."""

    how: How
    first_response_ms: float
    start: Start
    answers: tuple[Answer, ...]
    pings_ms: tuple[float, ...] = ()
    """Bare frames of 100 bytes there and back, afterwards: the floor of an invocation."""
    private_bytes: int = 0
    """Memory that this machine shares with no other, paused after its last event (/proc, smaps)."""
    translated_up: Translations | None = None
    """What an emulated processor had translated when the environment was up; None on a real one."""
    translated: Translations | None = None
    """The same after the last event."""


async def try_start(
    host: Host,
    version: FunctionVersion,
    how: How,
    events: Sequence[bytes],
    *,
    pings: int = 0,
) -> Trial:
    """Start one environment, hand it the events one after the other, and end it.

    Raises what the start raises (`InitFailure`, `RestoreFailure`, `StartTimeout`, `EngineError`).
    """
    if how is How.BASE:
        # The base snapshot is made once for an image, so it is not a part of this start.
        await host.ensure_base(version)
    began = trio.current_time()
    async with start(host, version, how) as environment:
        up_ms = (trio.current_time() - began) * 1e3
        translated_up = await environment.machine.translations()
        answers = await hand(environment, events, region=host.region)
        translated = await environment.machine.translations()
        pings_ms: list[float] = []
        for _ in range(pings):
            sent = trio.current_time()
            await environment.session.ping(bytes(100))
            pings_ms.append((trio.current_time() - sent) * 1e3)
        await environment.pause()
        return Trial(
            how=how,
            first_response_ms=up_ms + answers[0].took_ms if answers else up_ms,
            start=environment.start,
            answers=tuple(answers),
            pings_ms=tuple(pings_ms),
            private_bytes=environment.machine.statistics().private_bytes,
            translated_up=translated_up,
            translated=translated,
        )


async def hand(environment: Environment, events: Sequence[bytes], *, region: str) -> list[Answer]:
    """Hand a running environment events, one after the other, each when the runtime asks for it.

    Raises `RuntimeExited`, `GuestError`, `MachineDied`, and `trio.TooSlowError` after the function's time-out.
    """
    version = environment.version
    kept = Kept()
    write = environment.session.lines.pass_on

    def keep(line: LogLine) -> None:
        kept.keep(line)
        write(line)

    environment.listen(keep)
    answers: list[Answer] = []
    await finish_init(environment)
    for number, event in enumerate(events):
        kept.clear()
        began_s, sent = time.time(), trio.current_time()
        with trio.fail_after(version.timeout_s):
            guest = await environment.session.invoke(
                wire.Invoke(
                    request_id=f"00000000-0000-4000-8000-{number:012d}",
                    deadline_ms=round((began_s + version.timeout_s) * 1e3),
                    function_arn=f"arn:aws:lambda:{region}:000000000000:function:{version.function_name}",
                    clock_ns=time.time_ns(),
                ),
                event,
            )
            reply = await guest.reply()
            took_ms = (trio.current_time() - sent) * 1e3
            await guest.done()
        record = wire.LogSource.RECORD
        answers.append(
            Answer(
                payload=reply.body,
                error_type=reply.error_type,
                took_ms=took_ms,
                began_s=began_s,
                ended_s=time.time(),
                log=tuple(line.text for line in kept.lines if line.source is not record),
                records=tuple(line.text for line in kept.lines if line.source is record),
                lost=kept.lost,
            )
        )
    environment.listen(write)
    return answers
