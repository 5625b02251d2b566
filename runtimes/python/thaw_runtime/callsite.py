"""The source expressions of a call's arguments: read from the caller's bytecode, without running anything.

`Random(42)` in the source is meant to be reproducible whatever 42 happens to equal, and `Random(f"{time.time()}")` is
meant to be unique although a text tells nothing. Python keeps the source range of every instruction (PEP 657); the
instructions inside the call's own range are its arguments.
"""

from __future__ import annotations

import builtins
import sys
from enum import Enum
from types import CodeType, FrameType, ModuleType
from typing import Any, Final

from thaw_runtime import plain


class Origin(Enum):
    """Where a seed came from, as far as the call's own expression shows it."""

    LITERAL = "literal"  # constants only
    VOLATILE = "volatile"  # the expression asks the clock, the kernel or the process id
    UNKNOWN = "unknown"  # variables and other calls: the value itself must tell


_VOLATILE: Final = {
    "time": (
        "time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "process_time",
        "process_time_ns", "thread_time", "thread_time_ns", "clock_gettime", "clock_gettime_ns",
    ),
    "os": ("urandom", "getrandom", "getpid", "times"),
    "uuid": ("uuid1", "uuid4", "uuid6", "uuid7", "uuid8"),
    "secrets": ("randbits", "randbelow", "choice", "token_bytes", "token_hex", "token_urlsafe", "SystemRandom"),
    "random": ("SystemRandom",),
    "threading": ("get_ident", "get_native_id"),
}  # fmt: skip
_VOLATILE_CLASS_METHODS: Final = {"datetime": ("now", "utcnow", "today")}
_LARGEST_CODE: Final = 256 * 1024
"""Bytes of bytecode. A larger module body is generated data; its expressions are not looked at."""


def origin(frame: FrameType) -> Origin:
    """Classify the arguments of the call that this frame is executing. Never raises for odd code."""
    try:
        return _origin(frame)
    except (AttributeError, IndexError, KeyError, ValueError, TypeError):
        return Origin.UNKNOWN


def location(frame: FrameType) -> str:
    """File and line, as in `app.py:12`, for a person who looks for it."""
    file = plain.text(frame.f_code.co_filename) or "?"
    return plain.shown(f"{file.rpartition('/')[2]}:{frame.f_lineno}")


def _origin(frame: FrameType) -> Origin:
    roots, volatile, conditional = 0, False, False
    target: Any = None
    for name, argument in _instructions_of_call(frame.f_code, frame.f_lasti):
        if name in ("LOAD_ATTR", "LOAD_METHOD"):
            owner, target = target, _member(target, argument)
            volatile = volatile or _is_volatile(target) or _is_volatile_method(owner, argument)
        elif name in ("LOAD_NAME", "LOAD_GLOBAL", "LOAD_FAST", "LOAD_DEREF"):
            roots += 1
            target = _variable(frame, argument)
            volatile = volatile or _is_volatile(target)
        elif "JUMP" in name:
            # `Random(int(os.environ["SEED"]) if ... else time.time_ns())`: which branch ran is not known here.
            conditional = True
        elif name.startswith(("LOAD_CONST", "LOAD_SMALL_INT")):
            target = None
        elif name.startswith(("LOAD_", "BUILD_", "IMPORT_", "MAKE_", "YIELD", "SEND")):
            roots += 1
            target = None
        elif name.startswith(("CALL", "BINARY")):
            target = None
    if volatile and not conditional:
        return Origin.VOLATILE
    # The first root is the callee.
    return Origin.LITERAL if roots <= 1 and not conditional else Origin.UNKNOWN


def _instructions_of_call(code: CodeType, last: int) -> list[tuple[str, str]]:
    from opcode import opname

    raw = code.co_code
    if len(raw) > _LARGEST_CODE:
        raise ValueError("generated code")
    positions = list(code.co_positions())
    call = positions[last // 2]
    if None in call:
        raise ValueError("no positions (python -X no_debug_ranges)")
    start, stop = (call[0], call[2]), (call[1], call[3])
    found: list[tuple[str, str]] = []
    extended = 0
    for index in range(0, last, 2):
        name, argument = opname[raw[index]], raw[index + 1] | extended
        extended = argument << 8 if name == "EXTENDED_ARG" else 0
        line, end_line, column, end_column = positions[index // 2]
        if None in (line, end_line, column, end_column):
            continue
        if (line, column) < start or (end_line, end_column) > stop:
            continue
        if name in ("CACHE", "EXTENDED_ARG", "RESUME", "PRECALL", "PUSH_NULL", "NOP"):
            continue
        found.append((name, _operand(code, name, argument)))
    return found


def _operand(code: CodeType, name: str, argument: int) -> str:
    if name == "LOAD_GLOBAL" or (name == "LOAD_ATTR" and sys.version_info >= (3, 12)):
        return code.co_names[argument >> 1]
    if name in ("LOAD_NAME", "LOAD_ATTR", "LOAD_METHOD"):
        return code.co_names[argument]
    if name in ("LOAD_FAST", "LOAD_DEREF"):
        # Since 3.11 both index one array of locals, cells and free variables.
        cells = [cell for cell in code.co_cellvars if cell not in code.co_varnames]
        return (*code.co_varnames, *cells, *code.co_freevars)[argument]
    return ""


def _variable(frame: FrameType, name: str) -> Any:
    local = frame.f_locals
    if type(local) is _PROXY:
        if name in local:
            return local[name]
    elif plain.is_a(local, dict):  # in a class's body the scope is whatever its metaclass prepared
        found = plain.lookup(local, name, _NOTHING)
        if found is not _NOTHING:
            return found
    for scope in (frame.f_globals, vars(builtins)):
        found = plain.lookup(scope, name, _NOTHING)
        if found is not _NOTHING:
            return found
    return None


def _member(owner: Any, name: str) -> Any:
    """An attribute of a module or class. Of nothing else: an instance's attribute may run code."""
    if plain.is_a(owner, ModuleType):
        return plain.lookup(plain.module_dict(owner), name)
    if plain.is_a(owner, type):
        return plain.class_lookup(owner, name)
    return None


def _is_volatile(value: Any) -> bool:
    if value is None:
        return False
    for module_name, names in _VOLATILE.items():
        module = plain.module_dict(sys.modules.get(module_name))
        if any(value is plain.lookup(module, name) for name in names):
            return True
    return False


def _is_volatile_method(owner: Any, name: str) -> bool:
    return (
        plain.is_a(owner, type)
        and plain.type_module(owner) == "datetime"
        and name in _VOLATILE_CLASS_METHODS.get(plain.type_name(owner), ())
    )


def _proxy() -> type | None:
    kind = type(sys._getframe().f_locals)
    return kind if kind is not dict else None


_NOTHING: Final = object()
_PROXY: Final = _proxy()
"""Since Python 3.13 a function's local variables are a view of its frame, which compares names in C."""
