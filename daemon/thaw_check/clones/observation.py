"""Observations of each start and each clone: the input of `compare`, and of the page about hooks.

All of it is data that travels from the daemon, which runs the machines, to the command that judges (`exchange`).
"""

from __future__ import annotations

from typing import Any

from attrs import field, frozen


@frozen
class Tap:
    """One call of a source of randomness, time or identity, as the taps in the function's process recorded it."""

    source: str
    """`uuid.uuid4`."""
    at: str
    """The first frame of the user's code: `handler.py:5`."""
    value: str
    """The returned value as text; bytes in hexadecimal."""


@frozen
class Global:
    """A module's variable at the time of the snapshot."""

    name: str
    """`handler.INSTANCE_ID`."""
    value: str
    """As text; bytes in hexadecimal."""


@frozen
class Answer:
    """One clone's answer to one event."""

    response: Any = None
    """JSON's types."""
    error_type: str | None = None
    """Set when the handler raised; `response` is then the runtime's error."""
    logs: tuple[str, ...] = ()
    """Lines it logged meanwhile."""
    outbound: tuple[bytes, ...] = ()
    """Bytes that it sent, one item for each connection, in the order they were opened."""
    given: tuple[str, ...] = ()
    """Values that the test put in besides the event: request id, trace id, host name. In an answer they are echoes."""
    began_s: float | None = None
    """The guest's wall clock when the event came in, in seconds since 1970; None if it was not read."""
    ended_s: float | None = None


@frozen(kw_only=True)
class Hook:
    """One hook that ran. `ok` is False for one that raised; nothing after it ran then."""

    name: str
    us: int
    ok: bool = True


@frozen(kw_only=True)
class Fixer:
    """The result of one fixer: `ok`, `absent` (nothing to do), `skipped`, `failed`."""

    name: str
    result: str
    us: int = 0
    detail: str = ""
    version: str = ""
    essential: bool = False


@frozen(kw_only=True)
class Freeze:
    """A start up to its snapshot. `steps_us` are microseconds by step."""

    init_ms: float
    steps_us: dict[str, int] = field(factory=dict)
    hooks: tuple[Hook, ...] = ()
    """Before-snapshot hooks in the order in which they ran."""
    fixers: tuple[Fixer, ...] = ()
    notes: tuple[str, ...] = ()
    """Things that thawd leaves as they are, for a person to know."""
    connections: tuple[str, ...] = ()
    """Far ends of the TCP connections that were open: no clone can go on with them."""
    failure: str = ""
    """Why there is no snapshot: init or a before-snapshot hook failed."""


@frozen(kw_only=True)
class Wake:
    """One restore. `engine_ms` and `steps_us` split it; `runtime_ms` is the function's own part, hooks included."""

    took_ms: float = 0.0
    runtime_ms: float = 0.0
    engine_ms: dict[str, float] = field(factory=dict)
    steps_us: dict[str, int] = field(factory=dict)
    hooks: tuple[Hook, ...] = ()
    """After-restore hooks in the order in which they ran."""
    fixers: tuple[Fixer, ...] = ()
    clock_off_ms: int = 0
    """How far the clone's clock was behind before it was set."""
    failure: str = ""
    """Why the clone serves nothing: a hook failed, or took too long."""


@frozen
class Observation:
    """One clone: its answers to the events, in order, and the traces that it left."""

    answers: tuple[Answer, ...]
    files: tuple[str, ...] = ()
    """Names under /tmp afterwards."""
    draws: tuple[Tap, ...] = ()
    """Calls recorded after the restore. Two clones that draw the same large value share a generator, whether or not
    the value ever comes out."""
    wake: Wake = Wake()
    failure: str = ""
    """Why it did not answer all events: a time-out, or the process ended."""


@frozen
class ColdStart:
    """One init, and the clones restored from its snapshot: at least two."""

    clones: tuple[Observation, ...]
    taps: tuple[Tap, ...] = ()
    """Calls recorded during init."""
    globals: tuple[Global, ...] = ()
    freeze: Freeze = Freeze(init_ms=0.0)

    @property
    def failure(self) -> str:
        """The first failure of init, restores and invocations; empty when there was none."""
        failures = (
            self.freeze.failure,
            *(clone.wake.failure or clone.failure for clone in self.clones),
        )
        return next((failure for failure in failures if failure), "")


@frozen(kw_only=True)
class Observed:
    """A whole clone test, not yet judged."""

    engine: str
    events: tuple[Any, ...]
    """As every clone got them, in order; JSON's types."""
    starts: tuple[ColdStart, ...]
    kernel_cloned: bool = False
    """The worst case: the kernel's generator went on from the snapshot too."""
    fixers_off: bool = False
    """What AWS would give: nothing but the kernel was renewed."""

    @property
    def failure(self) -> str:
        """Why there is nothing to compare; empty when every clone ran."""
        return next((start.failure for start in self.starts if start.failure), "")
