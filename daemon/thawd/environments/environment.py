"""An execution environment: one machine with one initialised function in it, from its start to its retirement."""

from __future__ import annotations

import math
from enum import StrEnum
from typing import TYPE_CHECKING

import trio
from attrs import define, field, frozen

if TYPE_CHECKING:
    from collections.abc import Callable

    from thaw_agent import wire
    from thawd.catalog.models import FunctionVersion
    from thawd.engines.machine import Machine
    from thawd.guest.lines import LogLine
    from thawd.guest.session import GuestSession
    from thawd.logs.book import EnvironmentLog


class Stage(StrEnum):
    """Where in its life an environment is. Ready and idle ones are paused."""

    READY = "ready"
    LEASED = "leased"
    IDLE = "idle"
    RETIRED = "retired"


@frozen(kw_only=True)
class Start:
    """How an environment came up. Durations in milliseconds.

    `how` is `restore` (from the version's snapshot), `init` (from the base snapshot) or `cold` (from kernel boot).
    `runtime_ms` is the function's own part: runtime load and after-restore hooks, or the init.
    `steps_us` are the guest agent's own steps in microseconds, `report` is thaw_runtime's account of its fixers,
    `clock_off_ms` how far a clone's clock was behind when it woke.
    """

    how: str
    took_ms: float
    runtime_ms: float
    steps_us: dict[str, int] = field(factory=dict)
    engine_ms: dict[str, float] = field(factory=dict)
    report: dict[str, object] = field(factory=dict)
    clock_off_ms: int = 0

    @property
    def billed_ms(self) -> int:
        """What Lambda bills of the start, rounded up to 1 ms."""
        return math.ceil(self.runtime_ms)


@define(eq=False)
class Environment:
    """One execution environment. Owned by the pool task that started it; `retire()` ends that task's scope."""

    id: str
    generation: int
    version: FunctionVersion
    machine: Machine
    session: GuestSession
    log: EnvironmentLog
    start: Start
    init_left: wire.Init | None = None
    """The init that its first invocation has to do, because the one before was over its limit (`init.finish_init`)."""
    stage: Stage = Stage.READY
    uses: int = 0
    reusable: bool = False
    """Set during a lease, when the invocation left it fit for another one."""
    paused: bool = False
    retired: trio.Event = field(factory=trio.Event)
    rested: trio.Event = field(factory=trio.Event)
    """Set while it rests; a new event at each lease."""
    taken: trio.Event = field(factory=trio.Event)
    """Set while it is leased; a new event each time it is returned."""
    reason: str = ""
    used_at: float = 0.0

    @property
    def healthy(self) -> bool:
        """Whether it can take an invocation."""
        return not self.session.ended.is_set() and not self.retired.is_set()

    def listen(self, take: Callable[[LogLine], None]) -> None:
        """Send the guest's log lines to `take` instead of the version's log."""
        self.session.lines.pass_on = take

    async def pause(self) -> None:
        """Stop its processors until `resume`."""
        if not self.paused:
            await self.machine.pause()
            self.paused = True

    async def resume(self) -> None:
        """Let its processors run."""
        if self.paused:
            await self.machine.resume()
            self.paused = False

    def retire(self, reason: str) -> None:
        """End its life: the task that owns it kills the machine. Idempotent."""
        if not self.retired.is_set():
            self.reason = reason
            self.stage = Stage.RETIRED
            self.retired.set()
