"""The steps around a snapshot in their order, each timed. A step that fails raises: the machine must not be used.

While the function's cgroup is frozen nothing of it can run, neither in the template nor in a clone. So what does not
differ between clones is done once, in the template; what is left for every clone is what makes it somebody of its own.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, TypeAlias

from . import identity, sockets

if TYPE_CHECKING:
    from thaw_agent import wire
    from thaw_agent.cgroup import Cgroup
    from thaw_agent.system import System

Step: TypeAlias = tuple[str, Callable[[], object]]


class StepError(Exception):
    """A step went wrong: `name` says which, `took` how long those before it took."""

    def __init__(self, name: str, error: BaseException, took: dict[str, int]) -> None:
        super().__init__(f"the guest's step {name} failed: {error}")
        self.name = name
        self.took = took


def identity_steps(
    system: System, message: wire.Init | wire.Restore, *, reseed: bool = True
) -> list[Step]:
    """Clock, entropy, names: what every start from a shared snapshot needs, the base snapshot included.

    The clock comes first: OpenSSL's generators reseed when it jumps. Entropy comes before any process may draw.
    """
    steps: list[Step] = [("clock", lambda: system.set_clock(message.clock_ns))]
    if reseed:
        steps.append(("entropy", lambda: system.add_entropy(bytes.fromhex(message.entropy))))
    steps.append(
        (
            "identity",
            lambda: identity.assume(
                system,
                hostname=message.hostname,
                machine_id=message.machine_id,
                boot_id=message.boot_id,
            ),
        )
    )
    return steps


def standstill(
    system: System,
    function: Cgroup,
    ended: list[str],
    *,
    api_port: int,
    search: Callable[[], object] | None = None,
) -> list[Step]:
    """Before the snapshot: stop the function, and end its connections, which no clone could go on with.

    Their far ends are added to `ended`. `search` looks for the generators in its memory.
    """
    return [
        ("freeze", function.freeze),
        # Before the connections: it may have to let the function run once more.
        *([("search", search)] if search is not None else []),
        (
            "sockets",
            lambda: ended.extend(sockets.shut(system, function.processes(), api_port=api_port)),
        ),
    ]


def run(steps: Sequence[Step]) -> dict[str, int]:
    """Run steps in order; microseconds by name. Raises `StepError` at the first that fails."""
    took: dict[str, int] = {}
    for name, step in steps:
        began = time.perf_counter_ns()
        try:
            step()
        except (OSError, ValueError) as error:
            raise StepError(name, error, took) from error
        took[name] = (time.perf_counter_ns() - began) // 1000
    return took
