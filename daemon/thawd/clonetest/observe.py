"""The clone test's machines: cold starts, clones of each, the same events to all. `thaw_check.clones` judges them.

Every cold start is a snapshot of its own in a scratch directory; nothing of it enters the catalog, the pool or the
version's log. One machine runs at a time: clones that compete for processors would differ in their clocks alone.
"""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

import trio
from attrs import evolve

from thaw_agent import wire
from thaw_check.clones import Answer, ColdStart, Global, Observation, Observed, Tap
from thaw_check.clones.observation import Fixer, Freeze, Hook, Wake
from thawd.environments import trial
from thawd.environments.limits import StartTimeout
from thawd.environments.restore import restored
from thawd.environments.snapshot import Taken, take_snapshot
from thawd.guest.failures import InitFailure, RestoreFailure, RuntimeExited
from thawd.guest.lines import Kept
from thawd.guest.said import cause, network_hint, shortened
from thawd.invoke.run import exit_message

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from uuid import UUID

    from thawd.catalog.models import FunctionVersion
    from thawd.environments.host import Host
    from thawd.errors import ThawError
    from thawd.guest.lines import LogLine

_EVERYTHING: Final = ("*",)
"""Of `skip_fixers`: no fixer runs."""
_AGE_S: Final = 2.5
"""How old a snapshot is before it is restored: a time in whole seconds must tell init from now."""
_FUNCTIONS_FAULT: Final = (InitFailure, RestoreFailure, RuntimeExited, StartTimeout)


async def observe_clones(
    host: Host,
    version: FunctionVersion,
    events: Sequence[Any],
    *,
    starts: int = 2,
    clones: int = 2,
    kernel_cloned: bool = False,
    fixers_off: bool = False,
) -> Observed:
    """Run a clone test.

    Args:
        host: What machines are started with.
        version: What to test; its configuration and code, whether or not it is published.
        events: JSON's types. Every clone gets all of them, in this order.
        starts: Cold starts, each with a snapshot of its own.
        clones: Restores of each.
        kernel_cloned: Do not renew the kernel's random generator: the worst case.
        fixers_off: Renew nothing in the function's process: what AWS would give.

    Raises:
        ThawError: A machine, an image or the guest failed. A fault of the function itself is an observation.
    """
    if fixers_off:
        host = evolve(host, skip_fixers={version.function_name: _EVERYTHING})
    observed = []
    for _ in range(starts):
        observed.append(
            await _cold_start(host, version, events, clones, kernel_cloned=kernel_cloned)
        )
        if observed[-1].failure:
            break
    return Observed(
        engine=host.engine.name,
        events=tuple(events),
        starts=tuple(observed),
        kernel_cloned=kernel_cloned,
        fixers_off=fixers_off,
    )


async def _cold_start(
    host: Host,
    version: FunctionVersion,
    events: Sequence[Any],
    clones: int,
    *,
    kernel_cloned: bool,
) -> ColdStart:
    heard = _Heard()
    # A clone with its template's generation id gives the kernel no reason to renew its generator by itself.
    generation_id = uuid4() if kernel_cloned else None
    async with host.snapshots.scratch() as scratch:
        try:
            taken = await take_snapshot(
                host,
                version,
                scratch,
                trace=True,
                generation_id=generation_id,
                listener=heard.listen,
            )
        except _FUNCTIONS_FAULT as error:
            return ColdStart((), freeze=Freeze(init_ms=0.0, failure=_told(error)))
        await trio.sleep(_AGE_S)
        by_clone = [_Heard() for _ in range(clones)]
        seen = [
            await _clone(host, version, taken, events, each, generation_id=generation_id)
            for each in by_clone
        ]
    ready = taken.ready
    freeze = Freeze(
        init_ms=ready.duration_us / 1e3,
        steps_us=ready.steps,
        hooks=_hooks(ready.report),
        fixers=_fixers(ready.report),
        notes=(*taken.notes, *_incomplete(heard.lost + sum(each.lost for each in by_clone))),
        connections=tuple(ready.connections),
    )
    return ColdStart(tuple(seen), heard.taps(), heard.globals(), freeze)


async def _clone(
    host: Host,
    version: FunctionVersion,
    taken: Taken,
    events: Sequence[Any],
    heard: _Heard,
    *,
    generation_id: UUID | None,
) -> Observation:
    wake = Wake()
    try:
        async with restored(
            host,
            version,
            snapshot=taken.snapshot,
            reseed_kernel=generation_id is None,
            generation_id=generation_id,
            listener=heard.listen,
        ) as environment:
            start = environment.start
            wake = Wake(
                took_ms=start.took_ms,
                runtime_ms=start.runtime_ms,
                engine_ms=start.engine_ms,
                steps_us=start.steps_us,
                hooks=_hooks(start.report),
                fixers=_fixers(start.report),
                clock_off_ms=start.clock_off_ms,
            )
            bodies = [json.dumps(event).encode() for event in events]
            try:
                answers = await trial.hand(environment, bodies, region=host.region)
            except trio.TooSlowError:
                late = f"the handler did not answer within its Timeout of {version.timeout_s} s"
                return Observation((), wake=wake, failure=late)
            except RuntimeExited as exited:
                return Observation((), wake=wake, failure=exit_message(exited.exited))
    except _FUNCTIONS_FAULT as error:
        return Observation((), wake=evolve(wake, failure=_told(error)))
    given = tuple(f"00000000-0000-4000-8000-{number:012d}" for number in range(len(events)))
    return Observation(
        tuple(_answer(answer, number, given) for number, answer in enumerate(answers)),
        files=heard.files(),
        draws=heard.taps(),
        wake=wake,
    )


def _answer(answer: trial.Answer, number: int, given: Sequence[str]) -> Answer:
    sent: dict[int, bytes] = {}
    for record in map(_record, answer.records):
        match record:
            case {"kind": "sent", "connection": int(connection), "data": str(data)}:
                with suppress(ValueError):
                    sent[connection] = sent.get(connection, b"") + bytes.fromhex(data)
    return Answer(
        _value(answer.payload),
        error_type=answer.error_type,
        logs=answer.log,
        outbound=tuple(sent[connection] for connection in sorted(sent)),
        given=(given[number],),
        began_s=answer.began_s,
        ended_s=answer.ended_s,
    )


def _value(payload: bytes) -> Any:
    try:
        return json.loads(payload)
    except (ValueError, RecursionError):
        return payload.decode(errors="replace")


class _Heard:
    """A listener that keeps a traced guest's records."""

    def __init__(self) -> None:
        self._kept = Kept()

    def listen(self, line: LogLine) -> None:
        if line.source is wire.LogSource.RECORD:
            self._kept.keep(line)

    @property
    def _records(self) -> Iterator[dict[str, Any]]:
        return (_record(line.text) for line in self._kept.lines)

    @property
    def lost(self) -> int:
        """Records that were more than are kept."""
        return self._kept.lost

    def taps(self) -> tuple[Tap, ...]:
        return tuple(
            Tap(source, at, value)
            for record in self._records
            for source, at, value in _texts(record, "tap", "source", "at", "value")
        )

    def globals(self) -> tuple[Global, ...]:
        return tuple(
            Global(name, value)
            for record in self._records
            for name, value in _texts(record, "global", "name", "value")
        )

    def files(self) -> tuple[str, ...]:
        """As they were after the last event."""
        names: list[Any] = []
        for record in self._records:
            if record.get("kind") == "files":
                names = _list(record, "names")
        return tuple(map(str, names))


def _incomplete(lost: int) -> tuple[str, ...]:
    """What follows from the records that were kept is true, and may not be all."""
    if not lost:
        return ()
    return (
        f"{lost} records of what the function did were too much to keep: this report is not complete",
    )


def _record(line: str) -> dict[str, Any]:
    """A record as the guest wrote it. It comes from the function's own process, and may be anything."""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}


def _texts(record: dict[str, Any], kind: str, *names: str) -> Iterator[tuple[str, ...]]:
    """These members of a record of this kind, if it has them all."""
    values = tuple(record.get(name) for name in names)
    if record.get("kind") == kind and all(isinstance(value, str) for value in values):
        yield tuple(map(str, values))


def _hooks(report: dict[str, Any]) -> tuple[Hook, ...]:
    return tuple(
        Hook(name=str(hook.get("name")), us=_number(hook, "us"), ok=bool(hook.get("ok")))
        for hook in _members(report, "hooks")
    )


def _fixers(report: dict[str, Any]) -> tuple[Fixer, ...]:
    return tuple(
        Fixer(
            name=str(fixer.get("name")),
            result=str(fixer.get("result")),
            us=_number(fixer, "us"),
            detail=str(fixer.get("detail") or ""),
            version=str(fixer.get("version") or ""),
            essential=bool(fixer.get("essential")),
        )
        for fixer in _members(report, "fixers")
    )


def _members(report: dict[str, Any], name: str) -> list[dict[str, Any]]:
    return [member for member in _list(report, name) if isinstance(member, dict)]


def _number(record: dict[str, Any], name: str) -> int:
    value = record.get(name)
    return value if isinstance(value, int) else 0


def _list(report: dict[str, Any], name: str) -> list[Any]:
    value = report.get(name)
    return value if isinstance(value, list) else []


def _told(error: ThawError) -> str:
    """A function's own failure in a line, and what thawd knows of it; the error's body has type and message."""
    body = getattr(error, "body", "")
    told = cause(body, otherwise=str(error)) if body else shortened(str(error))
    hint = network_hint(told)
    return f"{told}. {hint}" if hint else told
