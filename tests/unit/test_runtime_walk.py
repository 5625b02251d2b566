"""What only reports meets the world's objects: it runs none of their code, it ends, and it stops no publish."""

from __future__ import annotations

import contextlib
import datetime as dt
import enum
import functools
import gc
import json
import random
import socket
import sys
import threading
import time
import types
import uuid
import weakref
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from thaw_runtime import callsite, diagnosis, held, leftovers, plain, provenance
from thaw_runtime import registry as registry_module
from thaw_runtime.bundle import Bundle
from thaw_runtime.diagnosis import Budget, Diagnosis
from thaw_runtime.hooks import TimedHook
from thaw_runtime.recording import Recorder
from thaw_runtime.registry import Fixer, Registry

# Hostile objects


class Endless(BaseException):
    """Ends what would go on for ever."""


class Trap:
    """Counts the calls of the function's code, once it is armed."""

    def __init__(self) -> None:
        self.armed = False
        self.calls: list[str] = []

    def override(self, name: str, base: type, act: str):
        original = getattr(base, name, None)

        def method(*args, **kwargs):
            if not self.armed:
                if original is not None:
                    return original(*args, **kwargs)
                if name == "__getattr__":
                    raise AttributeError(args[1])
                return NotImplemented
            self.calls.append(name)
            if len(self.calls) > 1000:
                raise Endless
            if act == "raise":
                raise RuntimeError(name)
            if act == "exit":
                raise SystemExit(name)
            if act == "recurse":
                return method(*args, **kwargs)
            return iter(int, 1) if act == "endless" else object()

        return method


METHODS = (
    "__eq__", "__ne__", "__lt__", "__gt__", "__hash__", "__iter__", "__len__", "__bool__", "__getattribute__", "__getattr__",
    "__repr__", "__str__", "__format__", "__contains__", "__getitem__", "__reversed__", "__int__", "__index__", "__float__",
    "__bytes__", "__buffer__", "__call__", "__next__", "__get__", "__length_hint__", "__dir__", "__sizeof__", "__missing__",
    "__fspath__", "__reduce__", "__reduce_ex__", "__copy__", "__deepcopy__", "__await__", "__enter__", "__abs__", "__rsub__",
    "keys", "items", "values", "get", "copy", "isoformat", "timestamp", "utcoffset", "astimezone", "replace", "startswith",
    "encode", "hex", "bit_length", "to_bytes", "is_integer", "decode", "strip", "partition",
)  # fmt: skip
PROPERTIES = (
    "__class__", "__dict__", "__module__", "__name__", "__wrapped__", "__file__", "__spec__", "int", "year",
    "tzinfo", "microsecond", "__defaults__", "__self__", "__func__", "__weakref__",
)  # fmt: skip
METACLASS = (
    "__eq__", "__hash__", "__instancecheck__", "__subclasscheck__", "__getattribute__", "__getattr__", "__repr__", "__bool__",
    "__len__", "__iter__", "__contains__", "__dir__",
)  # fmt: skip
META_PROPERTIES = (
    "__mro__",
    "__name__",
    "__module__",
    "__dict__",
    "__flags__",
    "__class__",
    "__bases__",
)
BASES = (
    object, str, int, float, bytes, bytearray, list, tuple, dict, set, frozenset, dt.datetime, dt.date, dt.timedelta, dt.tzinfo,
    uuid.UUID, Exception, types.ModuleType, types.SimpleNamespace, functools.partial, random.Random, enum.IntFlag,
    threading.local,
)  # fmt: skip


def hostile_class(trap: Trap, recipe):
    base, methods, properties, meta, meta_properties, act = recipe
    metaclass = type(base)
    if (meta or meta_properties) and metaclass is type:
        names = {name: trap.override(name, type, act) for name in meta}
        for name in meta_properties:
            original = type.__dict__.get(name)

            def read(cls, name=name, original=original):
                if not trap.armed:
                    return original.__get__(cls) if original is not None else type(cls)
                return trap.override(name, object, act)(cls)

            names[name] = property(read)
        metaclass = type("Meta", (type,), names)
    body: dict = {name: trap.override(name, base, act) for name in methods}
    for name in properties:

        def value(self, name=name):
            if not trap.armed:
                return type(self) if name == "__class__" else {}
            return trap.override(name, object, act)(self)

        body[name] = property(value)
    if metaclass is enum.EnumType:
        for name in ("__getattribute__", "__get__", "__reduce_ex__", *PROPERTIES, "__new__"):
            body.pop(name, None)
        return base("Own", {"ONE": 1})
    return types.new_class("Hostile", (base,), {"metaclass": metaclass}, lambda ns: ns.update(body))


def instance(kind: type, base: type):
    arguments = {
        str: ("0123456789abcdef" * 2,), int: (int(time.time()),), float: (time.time(),), bytes: (b"bytes" * 4,),
        bytearray: (b"bytes" * 4,), list: ([1, "text"],), tuple: ((1, "text"),), dict: ({"a": 1},), set: ({1},),
        frozenset: ({1},), dt.datetime: (2026, 1, 2, 3, 4, 5, 6), dt.date: (2026, 1, 2), dt.timedelta: (1,),
        uuid.UUID: ("12345678123456781234567812345678",), Exception: ("text",), types.ModuleType: ("hostile",),
        functools.partial: (print,), enum.IntFlag: (1,),
    }  # fmt: skip
    return kind(*arguments.get(base, ()))


def places(value, name_key):
    """The object as a function may hold it."""

    def hidden():
        return value

    def default(argument=value, *, keyword=value):
        return argument, keyword

    class Holder:
        attribute = value

    for thing in (hidden, default, Holder):
        thing.__module__ = "hostile_app"
    holder = Holder()
    holder.__dict__.update(own=value)
    raised = ValueError(value)
    raised.note = value
    names = {
        "plain": value, "in_list": [[value], (value,)], "in_dict": {"key": value}, "hidden": hidden, "default": default,
        "Holder": Holder, "holder": holder, "partial": functools.partial(hidden), "raised": raised, "kind": type(value),
        "aware": None, "proxy": types.MappingProxyType({"a": value}), "method": holder.__init__,
    }  # fmt: skip
    if isinstance(value, dt.tzinfo):
        names["aware"] = dt.datetime.__new__(dt.datetime, 2026, 1, 2, 3, 4, 5, 6, value)
    with contextlib.suppress(TypeError):
        names["weak"] = weakref.proxy(value)
    try:
        names["in_set"], names["as_key"] = {value}, {value: 1, (value,): 2}
        cached = functools.lru_cache(maxsize=None)(lambda argument: argument)
        bounded = functools.lru_cache(maxsize=2)(lambda argument: argument)
        cached(value), bounded(value)
        names["cached"], names["bounded"] = cached, bounded
    except (TypeError, AttributeError, ValueError):
        pass
    names[name_key] = value
    return names


@st.composite
def hostile(draw):
    """A recipe for a hostile class: what it inherits from, what it overrides, what the overrides do."""
    return (
        draw(st.sampled_from(BASES)),
        draw(st.lists(st.sampled_from(METHODS), unique=True, max_size=len(METHODS))),
        draw(st.lists(st.sampled_from(PROPERTIES), unique=True, max_size=6)),
        draw(st.lists(st.sampled_from(METACLASS), unique=True)),
        draw(st.lists(st.sampled_from(META_PROPERTIES), unique=True)),
        draw(st.sampled_from(["raise", "exit", "recurse", "endless", "wrong"])),
    )


class Key(str):
    """A name in a namespace that has an `__eq__`."""

    trap: Trap
    __slots__ = ("trap",)

    def __eq__(self, other):
        if getattr(self, "trap", None) is not None and self.trap.armed:
            self.trap.calls.append("key")
            raise RuntimeError
        return str.__eq__(self, other)

    def __hash__(self):
        if getattr(self, "trap", None) is not None and self.trap.armed:
            self.trap.calls.append("key hash")
            raise RuntimeError
        return str.__hash__(self)


@pytest.fixture(scope="module")
def watching():
    """Provenance as in an init; the clock's slack makes the time stamps in hostile objects unique."""
    provenance._recording, provenance._started_s = True, time.time()
    yield
    provenance.stop()


@pytest.fixture
def alone(monkeypatch):
    """What all other tests have left in this process is out of the walks' sight: each example would pass it again."""
    gc.freeze()
    monkeypatch.setattr(gc, "get_freeze_count", lambda: 0)
    yield
    gc.unfreeze()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])
@given(recipe=hostile())
@pytest.mark.usefixtures("watching", "alone")
def test_no_code_of_the_functions_runs_and_the_walk_ends(recipe, tmp_path, monkeypatch):
    """Whatever an object overrides, nothing that reports asks it; each walk is bounded, and none needs its guard."""
    trap = Trap()
    kind = hostile_class(trap, recipe)
    try:
        value = instance(kind, recipe[0])
    except (TypeError, ValueError, AttributeError):
        return  # its overrides of the construction itself are such that none can exist
    key = Key("__file__ ")
    key.trap = trap
    module = types.ModuleType("hostile_app")
    module.__file__ = str(tmp_path / "hostile_app.py")
    names = places(value, key)
    vars(module).update(names)
    monkeypatch.setenv("LAMBDA_TASK_ROOT", str(tmp_path))
    bundle, watched, walk = Bundle(), Diagnosis(), Budget(objects=5000, seconds=60)
    here = sys._getframe()
    modules = {"hostile_app": module, "hostile_posing": value}
    try:
        sys.modules.update(modules)
        trap.armed = True
        notes = leftovers.notes(bundle, watched)
        found = list(held.held(bundle, watched, walk))
        for name, thing in names.items():
            held.as_text(thing)
            provenance.value_is_unique(thing)
            plain.attributes(thing, 10)
            plain.origin(thing)
            callsite._member(thing, "attribute")
            callsite._is_volatile(thing)
            callsite._is_volatile_method(thing, "now")
            assert type(name) in (str, Key)
        registry_module._live_objects([Exception, Fixer])
        # TimedHook keeps a hook's name; who compares it with others would ask its `__eq__`.
        TimedHook(value, [])
        callsite.origin(here)
    finally:
        trap.armed = False
        for name in modules:
            sys.modules.pop(name, None)
    assert trap.calls == []
    assert (watched.caught, walk.spent) == (0, False)
    assert all(type(note) is str for note in [*notes, *watched.notes()])
    assert json.dumps(found)
    assert {str} >= {type(part) for pair in found for part in pair}


def test_the_scope_of_a_class_body_is_not_asked(watching):
    """A metaclass may prepare any mapping for the names in a class's body: enum's has rules of its own."""
    asked = []

    class Scope(dict):
        def __contains__(self, name):
            asked.append(name)
            return dict.__contains__(self, name)

        def get(self, *_):
            asked.append("get")

    class Meta(type):
        @classmethod
        def __prepare__(cls, *_):
            return Scope()

        def __new__(cls, name, bases, names):
            return type.__new__(cls, name, bases, dict(names))

    def origin(_seed):
        return callsite.origin(sys._getframe(1))

    class Made(metaclass=Meta):
        clock = time
        where = origin(clock.time())

    assert Made.where is callsite.Origin.VOLATILE
    assert asked == []


# Bounds, and the last line


def test_a_dict_that_another_thread_never_leaves_alone_ends(watching):
    """Sizes change while it is read: it is read again a few times, then taken as empty."""
    ends = threading.Event()
    data = {n: n for n in range(1000)}

    def change():
        while not ends.is_set():
            data[len(data)] = 0
            data.popitem()

    thread = threading.Thread(target=change)
    thread.start()
    try:
        for _ in range(200):
            assert len(plain.entries(data, 500)) in (0, 500)
    finally:
        ends.set()
        thread.join()


def own_module(monkeypatch, tmp_path, **names):
    module = types.ModuleType("walked_app")
    module.__file__ = str(tmp_path / "walked_app.py")
    vars(module).update(names)
    monkeypatch.setitem(sys.modules, "walked_app", module)
    monkeypatch.setenv("LAMBDA_TASK_ROOT", str(tmp_path))
    return Bundle()


def test_a_walk_ends_with_its_budget_of_objects_and_says_so(monkeypatch, tmp_path):
    """Containers, depth and the whole are bounded; each cut is a note."""
    wide = [[[f"text {n}" for n in range(300)] for _ in range(20)] for _ in range(20)]
    bundle = own_module(monkeypatch, tmp_path, wide=wide)
    watched, budget = Diagnosis(), Budget(objects=2000, seconds=60)

    found = list(held.held(bundle, watched, budget))

    assert (len(found) < 2000, budget.spent, watched.caught) == (True, True, 0)
    assert any("too many objects" in note for note in watched.notes())
    assert any("more than 200 members" in note for note in watched.notes())


def test_a_walk_ends_with_its_time_and_says_so(monkeypatch, tmp_path):
    """The clock is looked at every few objects, not only between globals."""
    bundle = own_module(monkeypatch, tmp_path, many=[[n] * 100 for n in range(200)])
    ticks = iter(range(10**6))
    monkeypatch.setattr(diagnosis, "monotonic", lambda: float(next(ticks)))
    watched, budget = Diagnosis(), Budget(objects=10**6, seconds=5)

    list(held.held(bundle, watched, budget))

    assert budget.spent
    assert next(ticks) < 20
    assert any("too many objects" in note for note in watched.notes())


def test_more_unique_globals_than_are_named_are_told(monkeypatch, tmp_path, watching):
    """The list of names ends, and the report says that it does."""
    names = {f"started_{n}": time.time() for n in range(60)}
    bundle, watched = own_module(monkeypatch, tmp_path, **names), Diagnosis()

    found: list[str] = []
    leftovers.cached_values(bundle, watched, found)

    assert len(found) == 40
    assert watched.notes() == [
        "the function: more than 40 globals that were made unique; this report is not complete"
    ]


@pytest.mark.usefixtures("alone")
@pytest.mark.parametrize("error", [RecursionError, SystemExit, KeyboardInterrupt, MemoryError])
def test_a_fault_of_the_report_is_counted_and_noted_and_stops_nothing(monkeypatch, error):
    """The last line. What could still be reported is."""

    def fail(*_):
        raise error("mine")

    monkeypatch.setattr(leftovers, "cached_values", fail)
    monkeypatch.setattr(leftovers, "fork_handlers", lambda _fixed: ["a library repairs itself"])
    monkeypatch.setattr(registry_module.provenance, "start", lambda: None)
    monkeypatch.setattr(registry_module.provenance, "recording", lambda: True)
    registry = Registry()
    registry.start()

    registry.freeze()

    assert registry.diagnosis.caught == 1
    assert (
        f"1 error while it made this report ({error.__name__} at test_runtime_walk.py"
        in (registry.notes[-1])
    )
    assert "a library repairs itself" in registry.notes


def test_a_fixers_remark_may_fail_and_its_freeze_may_not():
    """The two are separate calls: one is guarded and counted, the other stops the publish."""

    class Remarks(Fixer):
        essential = True

        def remark(self, context):
            raise ValueError

        def thaw(self, draw):
            return "done"

    registry = Registry(skip=["*"])
    entry = registry_module.Entry("remarks", Remarks())
    registry._entries["remarks"] = entry

    registry.freeze()

    assert (entry.result, entry.detail, registry.diagnosis.caught) == ("ok", "done", 1)


def test_an_error_that_cannot_be_told_is_told_by_its_class():
    """An essential fixer's failure is a failure, whatever its error does when it is asked for its text."""

    class Odd(Exception):
        def __str__(self):
            raise RuntimeError

    assert plain.described(Odd()) == "Odd"
    assert plain.described(OSError("gone")) == "OSError: gone"


# The ears of the clone test


def test_a_recorder_that_cannot_record_changes_nothing_for_the_function(tmp_path, monkeypatch):
    """The value comes back, and the error is counted."""
    monkeypatch.setenv("LAMBDA_TASK_ROOT", str(Path(__file__).parent))

    def emit(_record):
        raise OSError("the agent is gone")

    recorder = Recorder(emit)

    def tapped():
        return recorder.asked("source", lambda: "a value", (), {})

    assert tapped() == "a value"
    assert recorder.diagnosis.caught == 1


def test_sockets_with_an_equality_of_their_own_are_told_apart():
    """By identity; nor are a subclass's getpeername() and a buffer's `__buffer__` asked."""
    asked, records = [], []

    class Odd(socket.socket):
        def __eq__(self, other):
            asked.append("eq")
            return True

        __hash__ = None

        def getpeername(self):
            asked.append("getpeername")
            raise RuntimeError

        @property
        def family(self):
            asked.append("family")
            raise RuntimeError

    class Buffer(bytearray):
        def __buffer__(self, flags):
            asked.append("buffer")
            raise RuntimeError

        def __bytes__(self):
            asked.append("bytes")
            return b""

    recorder = Recorder(records.append)
    with Odd(socket.AF_INET) as one, Odd(socket.AF_INET) as other:
        recorder._keep_sent(one, Buffer(b"first"))
        recorder._keep_sent(other, [memoryview(b"sec"), b"ond"])
        recorder._keep_sent(one, b"third")

    assert [(r["connection"], bytes.fromhex(r["data"])) for r in records] == [
        (0, b"first"), (1, b"second"), (0, b"third"),
    ]  # fmt: skip
    assert asked == []


def test_hooks_are_named_and_known_without_being_asked():
    """A hook may be any callable; its name is read past whatever it overrides."""

    class Odd:
        def __getattr__(self, name):
            raise RuntimeError

        def __eq__(self, other):
            raise RuntimeError

        __hash__ = None

        def __call__(self):
            return 5

    report: list = []

    assert TimedHook(Odd(), report)() == 5
    assert report[0]["name"] == f"{__name__}.Odd"


# Whose module it is


def test_installed_packages_are_known_by_their_record(tmp_path, monkeypatch):
    """Not by py.typed, which a function's own package may have and which subfolders of a library have not."""
    info = tmp_path / "lib-1.0.dist-info"
    info.mkdir()
    info.joinpath("RECORD").write_text(
        'lib/__init__.py,sha256=x,1\nlib/deep/part.py,,\nsingle.py,,\n"odd,name.py",,\n../../bin/tool,,\n'
    )
    vendored = tmp_path / "vendor" / "other-2.dist-info"
    vendored.mkdir(parents=True)
    vendored.joinpath("RECORD").write_text("other/__init__.py,,\n")
    own = tmp_path / "own"
    own.mkdir()
    own.joinpath("py.typed").touch()
    monkeypatch.setenv("LAMBDA_TASK_ROOT", str(tmp_path))
    bundle = Bundle()

    libraries = ("lib/__init__.py", "lib/deep/part.py", "single.py", "odd,name.py", "vendor/other/__init__.py")  # fmt: skip
    users = ("app.py", "own/__init__.py", "lib/added.py", "vendor/mine.py", "other/__init__.py")

    assert [name for name in libraries if bundle.is_own(str(tmp_path / name))] == []
    assert [name for name in users if not bundle.is_own(str(tmp_path / name))] == []
    assert not bundle.is_own("/opt/python/app.py")
    assert not bundle.is_own(str(tmp_path / "venv/lib/site-packages/app.py"))


@given(st.binary(max_size=200))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_record_can_be_read(tmp_path, monkeypatch, content):
    """A damaged one lists nothing, and raises nothing."""
    info = tmp_path / "lib.dist-info"
    info.mkdir(exist_ok=True)
    info.joinpath("RECORD").write_bytes(content)
    monkeypatch.setenv("LAMBDA_TASK_ROOT", str(tmp_path))

    assert Bundle().is_own(str(tmp_path / "app.py")) in (True, False)
