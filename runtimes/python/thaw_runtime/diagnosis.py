"""Reporting, kept apart from protecting.

A fixer that fails stops the publish, since clones would be equal. A note that cannot be made stops nothing: it is made
inside of `Diagnosis.guard`, and within a `Budget`. The walk itself runs none of the function's code and has no reason
to fail (`plain`); the guard is the last line. Errors that it caught are counted, and the report says so.
"""

from __future__ import annotations

from time import monotonic
from typing import TYPE_CHECKING, Final

from thaw_runtime import plain

if TYPE_CHECKING:
    from types import TracebackType

_OBJECTS: Final = 100_000
_SECONDS: Final = 3.0
"""Of the guest's time. On a processor of its own a walk over a function with pandas, Flask and botocore takes 0.1 s."""
_BETWEEN_LOOKS: Final = 64
"""Objects between two looks at the clock."""
_NAMED: Final = 5


class Budget:
    """How much of the function's memory one walk may look at."""

    def __init__(self, objects: int = _OBJECTS, seconds: float = _SECONDS) -> None:
        self._left = objects
        # By name since this module's import: a function that stops the clock does not stop this one.
        self._end = monotonic() + seconds
        self.spent = False

    def take(self) -> bool:
        """One object more? Once False, always False."""
        self._left -= 1
        if self._left < 0 or (self._left % _BETWEEN_LOOKS == 0 and monotonic() > self._end):
            self.spent = True
        return not self.spent


class Diagnosis:
    """Guards what only reports, and remembers what that left out."""

    def __init__(self) -> None:
        self.caught = 0
        self._errors: dict[str, None] = {}
        self._cuts: dict[str, dict[str, None]] = {}

    def guard(self) -> _Guard:
        """A context that swallows and counts whatever is raised in it."""
        return _Guard(self)

    def cut(self, what: str, where: str) -> None:
        """Note that something was not seen whole: the limit, and the place."""
        self._cuts.setdefault(what, {})[where] = None

    def notes(self) -> list[str]:
        """Notes about the report itself; none, as a rule."""
        notes = []
        for what, places in self._cuts.items():
            named = ", ".join([*places][:_NAMED])
            more = f" and {len(places) - _NAMED} more" if len(places) > _NAMED else ""
            notes.append(f"{named}{more}: {what}; this report is not complete")
        if self.caught:
            errors = "1 error" if self.caught == 1 else f"{self.caught} errors"
            notes.append(
                f"thaw_runtime met {errors} while it made this report ({', '.join(self._errors)}), so that it is not "
                "complete; what makes clones unique is not concerned. Please report this as a fault of thawd"
            )
        return notes

    def _catch(self, kind: type[BaseException], traceback: TracebackType | None) -> None:
        self.caught += 1
        if len(self._errors) < _NAMED:
            self._errors[f"{plain.type_name(kind)} at {plain.place(traceback)}"] = None


class _Guard:
    def __init__(self, diagnosis: Diagnosis) -> None:
        self._diagnosis = diagnosis

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if kind is not None:
            self._diagnosis._catch(kind, traceback)
        return True
