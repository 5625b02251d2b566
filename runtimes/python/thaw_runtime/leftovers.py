"""Values that no fixer touches and a person should know of: reported at freeze, never changed.

Values that the function keeps (an instance id made at import, the time it started) are the function's own, and only
its author can say whether clones may share them. They are found by provenance: the value of a global in the
function's own modules was given out by os.urandom during this init, or is the time of this init.

All of this only reports, so it runs guarded and within a budget (`diagnosis`), and runs no code of the function's
(`plain`).
"""

from __future__ import annotations

import gc
import sys
from typing import TYPE_CHECKING, Any, Final

from thaw_runtime import plain, provenance
from thaw_runtime.diagnosis import Budget

if TYPE_CHECKING:
    from thaw_runtime.bundle import Bundle
    from thaw_runtime.diagnosis import Diagnosis

SHARED_BY_ALL: Final = (
    "the secret of hash(), and so the order of sets of strings, is the same in every clone",
    "the addresses of code and objects are the same in every clone: publish again from time to time",
)

_MOST: Final = 40
"""Globals that the report names."""
_MOST_GLOBALS: Final = 20_000
"""Of one module."""
_MOST_HANDLERS: Final = 1000
_HANDLED: Final = frozenset(
    {"Crypto.PublicKey.RSA", "uuid_utils", "_uuid_utils", "uuid_utils._uuid_utils"}
)
"""Renewed by a fixer. The standard library's own are not looked at: what of them repeats has a fixer too, and the rest,
run in a live process, would declare its threads dead and its locks free."""
_QUARTER_S: Final = 900
_QUARTERS: Final = range(-24 * 4, 24 * 4 + 1)


def notes(bundle: Bundle, diagnosis: Diagnosis) -> list[str]:
    """All of it. Raises nothing."""
    found: list[str] = []
    with diagnosis.guard():
        cached_values(bundle, diagnosis, found)
    with diagnosis.guard():
        found += fork_handlers()
    return [*found, *SHARED_BY_ALL]


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


def fork_handlers() -> list[str]:
    """Libraries that repair themselves after fork() and get no such call after a restore.

    os.register_at_fork() has no reader. `threading` registered one function whose list of companions the garbage
    collector can point to. They are not called: many of them assume that all other threads are gone.
    """
    threading = plain.module_dict(plain.lookup(sys.modules, "threading"))
    known = plain.lookup(threading, "_after_fork")
    if known is None:
        return []
    modules: set[str] = set()
    for referrer in gc.get_referrers(known):
        if type(referrer) is list:
            for handler in (plain.members(referrer, _MOST_HANDLERS) or ())[:_MOST_HANDLERS]:
                if callable(handler):
                    modules.add(plain.origin(handler)[0])
    return [
        f"{name} repairs itself after fork() and is not called after a restore: it may hold state that clones share"
        for name in sorted(modules - _HANDLED - {""})
        if name.partition(".")[0] not in {"thaw_runtime", *sys.stdlib_module_names}
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
