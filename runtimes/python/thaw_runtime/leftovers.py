"""What no fixer touches, and a person should know of: reported at freeze, never changed.

Values that the function keeps (an instance id made at import, the time it started) are the function's own, and only
its author can say whether clones may share them. They are found by provenance: the value of a global in the
function's own modules was given out by os.urandom during this init, or is the time of this init.
"""

from __future__ import annotations

import gc
import os
import sys
from typing import TYPE_CHECKING, Any, Final

from thaw_runtime import provenance

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import ModuleType

SHARED_BY_ALL: Final = (
    "the secret of hash(), and so the order of sets of strings, is the same in every clone",
    "the addresses of code and objects are the same in every clone: publish again from time to time",
)

_MOST: Final = 40
_HANDLED: Final = frozenset(
    {"Crypto.PublicKey.RSA", "uuid_utils", "_uuid_utils", "uuid_utils._uuid_utils"}
)
"""Renewed by a fixer. The standard library's own are not looked at: what of them repeats has a fixer too, and the rest,
run in a live process, would declare its threads dead and its locks free."""


def cached_values() -> list[str]:
    """Globals of the function's modules that hold a unique value made before the snapshot."""
    found: list[str] = []
    for module in own_modules():
        for name, value in list(vars(module).items()):
            if name.startswith("__") or len(found) >= _MOST:
                continue
            if _is_unique(value):
                found.append(
                    f"{module.__name__}.{name} was made unique at init and is the same in every clone: "
                    "make it in an after-restore hook, or in the handler"
                )
    return found


def fork_handlers() -> list[str]:
    """Libraries that repair themselves after fork() and get no such call after a restore.

    os.register_at_fork() has no reader. `threading` registered one function whose list of companions the garbage
    collector can point to. They are not called: many of them assume that all other threads are gone.
    """
    threading: Any = sys.modules.get("threading")
    if threading is None or not hasattr(threading, "_after_fork"):
        return []
    handlers: list[Callable[..., Any]] = []
    for referrer in gc.get_referrers(threading._after_fork):
        if isinstance(referrer, list):
            handlers += [handler for handler in referrer if callable(handler)]
    modules = {str(getattr(handler, "__module__", None)) for handler in handlers}
    return [
        f"{name} repairs itself after fork() and is not called after a restore: it may hold state that clones share"
        for name in sorted(modules - _HANDLED - {"None"})
        if name.partition(".")[0] not in {"thaw_runtime", *sys.stdlib_module_names}
    ]


def own_modules() -> Iterator[ModuleType]:
    """The function's modules that were written for it."""
    roots = tuple(
        os.path.realpath(root) + "/"
        for root in (os.environ.get("LAMBDA_TASK_ROOT") or "/var/task",)
    )
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if (
            name != "__main__"
            and isinstance(file, str)
            and file.startswith(roots)
            and not is_library(file)
        ):
            yield module


def is_library(file: str) -> bool:
    """Was it installed into the bundle by pip (`pip install -t .`), rather than written for it?"""
    package = file.rpartition("/")[0]
    return "site-packages/" in file or "/opt/" in file or os.path.exists(f"{package}/py.typed")


def _is_unique(value: Any) -> bool:
    if isinstance(value, str | bytes | int | float) and not isinstance(value, bool):
        return provenance.value_is_unique(value)
    # uuid.UUID and datetime, without importing them here.
    kind = type(value)
    if (kind.__module__, kind.__name__) == ("uuid", "UUID"):
        return provenance.value_is_unique(value.int)
    if (kind.__module__, kind.__name__) == ("datetime", "datetime"):
        return provenance.value_is_unique(value.timestamp())
    return False
