"""Values that no fixer touches and a person should know of: reported at freeze, never changed.

Values that the function keeps (an instance id made at import, the time it started) are the function's own, and only
its author can say whether clones may share them. They are found by provenance: the value of a global in the
function's own modules was given out by os.urandom during this init, or is the time of this init.

All of this only reports, so it runs guarded and within a budget (`diagnosis`), and runs no code of the function's
(`plain`).
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from thaw_runtime import atfork, plain, provenance
from thaw_runtime.diagnosis import Budget

if TYPE_CHECKING:
    from collections.abc import Iterable

    from thaw_runtime.bundle import Bundle
    from thaw_runtime.diagnosis import Diagnosis

SHARED_BY_ALL: Final = (
    "the secret of hash(), and so the order of sets of strings, is the same in every clone",
    "the addresses of code and objects are the same in every clone: publish again from time to time",
)
"""What is true of each function: for who asks what clones share (`thaw check`), not for each publish."""

_MOST: Final = 40
"""Globals that the report names."""
_MOST_GLOBALS: Final = 20_000
"""Of one module."""
_QUARTER_S: Final = 900
_QUARTERS: Final = range(-24 * 4, 24 * 4 + 1)


def notes(bundle: Bundle, diagnosis: Diagnosis, fixed: Iterable[str] = ()) -> list[str]:
    """All of it; `fixed` are the libraries that have a fixer. Raises nothing."""
    found: list[str] = []
    with diagnosis.guard():
        cached_values(bundle, diagnosis, found)
    with diagnosis.guard():
        found += fork_handlers(fixed)
    return found


def cached_values(bundle: Bundle, diagnosis: Diagnosis, found: list[str]) -> None:
    """Globals of the function's modules that hold a unique value made before the snapshot, added to `found`."""
    budget = Budget()
    for module_name, module in bundle.own_modules():
        entries = plain.entries(plain.module_dict(module), _MOST_GLOBALS + 1)
        if len(entries) > _MOST_GLOBALS:
            diagnosis.cut(f"more than {_MOST_GLOBALS} globals", plain.shown(module_name))
        for key, value in entries[:_MOST_GLOBALS]:
            name = plain.text(key)
            if name is None or name.startswith("__"):
                continue
            if not budget.take():
                diagnosis.cut("too many globals to look at all of them", "the function")
                return
            with diagnosis.guard():
                if not _is_unique(value):
                    continue
                if len(found) >= _MOST:
                    diagnosis.cut(
                        f"more than {_MOST} globals that were made unique", "the function"
                    )
                    return
                found.append(
                    f"{plain.shown(f'{module_name}.{name}')} was made unique at init and is the same in every clone: "
                    "make it in an after-restore hook, or in the handler"
                )


def fork_handlers(fixed: Iterable[str]) -> list[str]:
    """Libraries that repair themselves after fork() and get no such call after a restore.

    Those of libraries with a fixer are its business, and those that are safe to call are called
    (`fixers/_fork_handlers.py`).
    """
    modules = {
        plain.origin(handler)[0] for handler in atfork.handlers() if not atfork.is_safe(handler)
    }
    return [
        f"{name} repairs itself after fork() and is not called after a restore: it may hold state that clones share"
        for name in sorted(modules - {""})
        if name.partition(".")[0] not in {"thaw_runtime", *sys.stdlib_module_names, *fixed}
    ]


def _is_unique(value: Any) -> bool:
    if plain.scalar(value, 1) is not None or plain.is_a(value, int):
        return provenance.value_is_unique(value)
    # uuid.UUID and datetime, without importing them here.
    number = plain.uuid(value)
    if number is not None:
        return provenance.value_is_unique(number)
    moment = plain.moment(value)
    return moment is not None and _is_now(*moment)


def _is_now(moment: Any, zone: Any) -> bool:
    """Was this datetime read from the clock during this init?"""
    if zone is None:
        try:
            return provenance.value_is_unique(moment.timestamp())
        except (ValueError, OverflowError, OSError):  # datetime.min has no time stamp
            return False
    # Whatever the zone's offset may be: all that are in use are quarters of an hour. A time of the clock has
    # microseconds, and a date at midnight has none.
    if moment.microsecond == 0:
        return False
    as_utc = (moment - type(moment)(1970, 1, 1)).total_seconds()
    return any(provenance.value_is_unique(as_utc + _QUARTER_S * n) for n in _QUARTERS)
