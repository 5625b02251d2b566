"""Room for machines, as arithmetic: limits, the memory budget, and who goes first."""

from __future__ import annotations

from attrs import define
from hypothesis import given
from hypothesis import strategies as st

from thawd.fleet.admission import EXPECTED_BYTES, Admission, Place, first_to_go

MIB = 1 << 20
_SIZES = st.lists(st.integers(0, 300), max_size=12)


@given(sizes=_SIZES, most=st.integers(1, 6), budget=st.none() | st.integers(1, 1000))
def test_neither_limit_is_ever_passed_but_by_one_machine_alone(
    sizes: list[int], most: int, budget: int | None
) -> None:
    admission = Admission(most, budget and budget * MIB)
    taken = [place for size in sizes if (place := admission.take(size * MIB)) is not None]

    assert admission.machines == len(taken) <= most
    if budget is not None and len(taken) > 1:
        assert sum(place.bytes for place in taken) <= budget * MIB
    assert len(taken) >= bool(sizes), "one machine always has room"


@given(sizes=_SIZES, expected=st.integers(1, 300), leave=st.integers(0, 12))
def test_room_is_lacking_until_enough_leave_and_there_when_they_are_gone(
    sizes: list[int], expected: int, leave: int
) -> None:
    admission = Admission(6, 600 * MIB)
    taken = [place for size in sizes if (place := admission.take(size * MIB)) is not None]
    for place in taken[:leave]:
        place.leaving = True
    assert admission.leaving == len(taken[:leave])
    lacks = admission.lacks([expected * MIB])
    for place in taken[:leave]:
        admission.give_back(place)

    assert lacks == (admission.take(expected * MIB) is None)


def test_a_machine_that_has_grown_leaves_less_room() -> None:
    admission = Admission(10, 300 * MIB)
    place = admission.take()
    assert place is not None
    assert place.bytes == EXPECTED_BYTES
    place.bytes = 250 * MIB

    assert admission.take() is None
    assert not admission.lacks(), "alone it may have more than its share"
    assert admission.lacks([EXPECTED_BYTES])


def test_a_place_is_given_back_once() -> None:
    """Places are told apart by themselves and not by their size."""
    admission = Admission(2)
    first, second = admission.take(), admission.take()
    assert isinstance(first, Place)
    assert first is not second
    admission.give_back(first)
    assert admission.machines == 1


@define
class Resting:
    uses: int
    used_at: float


def test_stock_that_nobody_used_goes_first_then_what_rested_longest() -> None:
    old, new = Resting(3, 10.0), Resting(1, 20.0)
    stock, newer_stock = Resting(0, 30.0), Resting(0, 40.0)

    assert first_to_go([new, newer_stock, old, stock]) is stock
    assert first_to_go([new, old]) is old
    assert first_to_go([]) is None
