"""What the clone test sees of each clone: the input of `compare`."""

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
    """What it returned, as text; bytes in hexadecimal."""


@frozen
class Global:
    """A module's variable at the time of the snapshot."""

    name: str
    """`handler.INSTANCE_ID`."""
    value: str
    """As text; bytes in hexadecimal."""


@frozen
class Answer:
    """What one clone did with one event."""

    response: Any = None
    """JSON's types."""
    logs: tuple[str, ...] = ()
    """Lines it logged meanwhile."""
    outbound: tuple[bytes, ...] = ()
    """What it sent, one item a connection, in the order they were opened."""
    given: tuple[str, ...] = ()
    """What the test itself put in besides the event: request id, trace id, host name. Found again, it is an echo."""
    began_s: float | None = None
    """The guest's wall clock when the event came in, in seconds since 1970; None if nobody looked."""
    ended_s: float | None = None


@frozen
class Observation:
    """One clone: its answers to the events, in order, and what it left behind."""

    answers: tuple[Answer, ...]
    files: tuple[str, ...] = ()
    """Names under /tmp afterwards."""
    draws: tuple[Tap, ...] = ()
    """Calls recorded after the restore. Two clones that draw the same large value share a generator, whether or not
    the value ever comes out."""


@frozen
class ColdStart:
    """One init, and the clones restored from its snapshot: at least two."""

    clones: tuple[Observation, ...]
    taps: tuple[Tap, ...] = ()
    """Calls recorded during init."""
    globals: tuple[Global, ...] = field(default=())
