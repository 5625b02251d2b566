"""How many machines may run, and which of them goes when another is needed. Arithmetic only: no task, no clock.

A machine has a `Place` from before it starts until it is gone. Places are counted against the limit on machines, and
the memory of their machines against the budget. A machine that is leaving still holds its place, but counts as room that
will come: nobody need evict another one for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol, TypeVar

from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

EXPECTED_BYTES: Final = 64 << 20
"""Memory of its own that a machine is counted with before it is measured: 20 to 55 MiB were seen."""


class Resting(Protocol):
    """An environment that may be evicted, as far as the choice looks at it."""

    uses: int
    used_at: float


_Resting = TypeVar("_Resting", bound=Resting)


@define(eq=False)
class Place:
    """Room for one machine. `bytes` is the memory it is counted with: expected at first, measured later."""

    bytes: int = EXPECTED_BYTES
    leaving: bool = False
    """Whether the machine is on its way out."""


@define(eq=False)
class Admission:
    """The places of all machines. At most `max_machines`, and no more memory than `budget_bytes` (None: no limit).

    One machine is always admitted, however much memory it takes: a version that alone is over the budget can be used,
    by itself.
    """

    max_machines: int
    budget_bytes: int | None = None
    _places: set[Place] = field(factory=set)

    @property
    def machines(self) -> int:
        """Places taken, those of machines on their way out included."""
        return len(self._places)

    @property
    def leaving(self) -> int:
        """Places whose machines are on their way out."""
        return sum(place.leaving for place in self._places)

    def take(self, expected_bytes: int = EXPECTED_BYTES) -> Place | None:
        """A place for a machine that will have so much memory of its own; None when there is no room for it now."""
        used = sum(place.bytes for place in self._places)
        if not self._fits(len(self._places) + 1, used + expected_bytes):
            return None
        place = Place(expected_bytes)
        self._places.add(place)
        return place

    def give_back(self, place: Place) -> None:
        """The machine is gone."""
        self._places.remove(place)

    def lacks(self, expected: Sequence[int] = ()) -> bool:
        """Whether room is missing for these machines (bytes of each), also when all that leave are gone.

        Without an argument: whether the machines that stay have outgrown the budget.
        """
        staying = [place.bytes for place in self._places if not place.leaving]
        return not self._fits(len(staying) + len(expected), sum(staying) + sum(expected))

    def _fits(self, machines: int, size: int) -> bool:
        if machines > self.max_machines:
            return False
        return self.budget_bytes is None or machines <= 1 or size <= self.budget_bytes


def first_to_go(resting: Iterable[_Resting]) -> _Resting | None:
    """The environment to evict: one that was never used if there is one, else the one that has rested longest."""
    return min(resting, key=lambda one: (one.uses > 0, one.used_at), default=None)
