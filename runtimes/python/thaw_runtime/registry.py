"""The fixers: their interface, how they are found, and how they run before the snapshot and after the restore.

A library's fixer is a module in `fixers/` **named as the library is imported**, with a `fixer = SomeFixer()` in it.
It is loaded when the library is first imported and not before. A module whose name begins with an underscore belongs
to no library (`_openssl`, `_libc`) and is loaded for the freeze of every function. There is no list to edit.
"""

from __future__ import annotations

import gc
import os
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Literal

from thaw_runtime import atfork, leftovers, plain, provenance
from thaw_runtime.bundle import Bundle
from thaw_runtime.diagnosis import Diagnosis
from thaw_runtime.draw import Draw
from thaw_runtime.imports import PostImport

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from types import ModuleType

EX_SOFTWARE: Final = 70
"""The exit status of a process that cannot be made unique (sysexits.h)."""
Result = Literal["ok", "skipped", "failed", "absent"]
_FOLDER: Final = os.path.join(os.path.dirname(os.path.abspath(__file__)), "fixers")


class ThawFailed(Exception):
    """This process could not be made unique; it must not serve invocations."""


class Unsupported(Exception):
    """The library is here, but not built as this fixer expects it."""


class Absent(Exception):
    """There is nothing in this process that this fixer would renew."""


class Context:
    """A fixer's input at freeze: the objects it asked for, and the notes for the report."""

    def __init__(self, instances: dict[type, list[Any]]) -> None:
        self._instances = instances
        self.notes: list[str] = []

    def instances(self, *kinds: type) -> list[Any]:
        """All live objects of these classes, which `Fixer.collects` named."""
        return [found for kind in kinds for found in self._instances.get(kind, ())]

    def note(self, text: str) -> None:
        """Something a person should know that no fixer changes."""
        self.notes.append(text)


class Fixer:
    """One library's state that repeats in clones, and how it is renewed.

    `freeze` looks for the state and prepares; it may take its time. `thaw` renews it; it runs in every clone before
    anything else of the function does, with everything it touches cold, and imports nothing.
    """

    essential: bool = False
    """A failure of this one kills the machine: going on would repeat keys or ids."""
    versions: tuple[str, str] | None = None
    """First and last version of the library it was tested with. Others are tried too, and reported."""
    rehearsed: bool = True
    """Is `thaw` run once before the snapshot as well? Not where it does something that others see (a new connection)."""
    after: str = ""
    """The module whose import `tap` follows; the library's top-level module unless given."""

    def tap(self, module: ModuleType) -> None:
        """Early hooks, right after the import of `after`: for what cannot be seen any more at freeze."""

    def untap(self) -> None:
        """Take the early hooks back, at the end of freeze."""

    def collects(self) -> tuple[type, ...]:
        """Classes whose live objects `freeze` wants to see (one pass over the heap serves all fixers)."""
        return ()

    def freeze(self, context: Context) -> None:
        """Before the snapshot. Raises `Absent`, `Unsupported`."""

    def remark(self, context: Context) -> None:
        """After `freeze`: notes that have to be looked for. An error of it is counted and stops nothing."""

    def thaw(self, draw: Draw) -> str | None:
        """After the restore. The returned text is the report's detail."""
        raise NotImplementedError

    def thaw_thread(self, draw: Draw) -> None:
        """The same for what a library keeps for each thread: called in every other thread, before its next line.

        Only for threads that live in the snapshot; the main thread has had `thaw`. It runs wherever the thread
        happens to be, several threads' in any order, so it takes no lock and changes nothing of other threads'.
        """


class Entry:
    """One loaded fixer and what became of it."""

    def __init__(self, name: str, fixer: Fixer | None) -> None:
        self.name = name
        self.fixer = fixer
        self.result: Result = "ok"
        self.detail = ""
        self.elapsed_us = 0
        self.stand_in = False
        """Was what has the library's name made by hand, and not by an import?"""
        self._version: str | None = None

    @property
    def essential(self) -> bool:
        """A fixer that could not even be loaded is taken for essential."""
        return self.fixer is None or self.fixer.essential

    @property
    def version(self) -> str:
        """The library's own, as it tells it once and for all; empty for what has none."""
        if self._version is None:
            module = plain.module_dict(plain.lookup(sys.modules, self.name))
            self._version = plain.shown(plain.text(plain.lookup(module, "__version__")) or "")
        return self._version

    def run(self, action: Callable[[], str | None]) -> None:
        """Do it, and keep result, detail and time."""
        began = time.perf_counter_ns()
        try:
            self.detail = action() or self.detail
        except Absent:
            self.result = "absent"
        except BaseException as error:
            # Of any kind: a module that only poses as the library may raise SystemExit from an attribute.
            self.fail(error)
        self.elapsed_us = (time.perf_counter_ns() - began) // 1000

    def fail(self, error: BaseException) -> None:
        """It could not be done. What a stand-in for a library lacks is no fault: there is nothing to renew."""
        module = plain.lookup(sys.modules, self.name)
        spec = plain.lookup(plain.module_dict(module), "__spec__")
        self.stand_in = module is not None and spec is None
        self.result = "absent" if self.stand_in else "failed"
        self.detail = plain.described(error)

    def report(self) -> dict[str, Any]:
        """This entry as the report has it."""
        return {
            "name": self.name.removeprefix("_"),
            "version": self.version,
            "result": self.result,
            "essential": self.essential,
            "us": self.elapsed_us,
            "detail": self.detail,
        }


class Registry:
    """The fixers of this process. `start()` early, `freeze()` before the snapshot, `thaw()` after the restore."""

    def __init__(self, skip: Iterable[str] = ()) -> None:
        self._skip = frozenset(skip)
        self._entries: dict[str, Entry] = {}
        names = modules_in(_FOLDER)
        self._always = [name for name in names if name.startswith("_")]
        self._by_library = [name for name in names if not name.startswith("_")]
        self._finder = PostImport()
        self.bundle = Bundle()
        self._notes: list[str] = []
        self.frozen = False
        self.diagnosis = Diagnosis()

    def start(self) -> None:
        """Watch for imports. Nothing is loaded for a library that is not imported."""
        if not self.is_off:
            provenance.start()
            atfork.start()
        self._finder.install()
        for name in self._by_library:
            self._finder.watch(name, partial(self._load_for, name))

    @property
    def is_off(self) -> bool:
        """Are all fixers left out?"""
        return "*" in self._skip

    @property
    def notes(self) -> list[str]:
        """Notes for a person: values that no fixer renews, and objects that the report could not look at."""
        stand_ins = [
            f"{entry.name} is a stand-in that no import made: nothing of it is renewed"
            for entry in self._entries.values()
            if entry.stand_in
        ]
        return [*self._notes, *stand_ins, *self.diagnosis.notes()]

    def freeze(self) -> None:
        """Find everything that will have to be renewed. Raises `ThawFailed` when an essential fixer cannot."""
        self.frozen = True
        self._finder.remove()
        for name in self._always:
            self._load(name)
        for name in self._by_library:
            # Namespace packages have no code whose end could be waited for.
            if name in sys.modules and name not in self._entries:
                self._load(name)
        active = self._active()
        context = Context(_live_objects(kind for _, fixer in active for kind in fixer.collects()))
        for entry, fixer in active:
            self._freeze_one(entry, fixer, context)
        with self.diagnosis.guard():
            self._remark(context)
        provenance.stop()
        atfork.stop()
        self._rehearse()
        self._raise_for_essentials()

    def thaw(self, draw: Draw) -> None:
        """Renew it. Raises `ThawFailed` when an essential fixer failed, after all have run."""
        for entry, fixer in self._active():
            entry.run(partial(fixer.thaw, draw))
        self._raise_for_essentials()

    @property
    def per_thread(self) -> bool:
        """Is there anything that each thread has to renew for itself?"""
        return any(type(fixer).thaw_thread is not Fixer.thaw_thread for _, fixer in self._active())

    def thaw_thread(self, draw: Draw) -> None:
        """Renew what libraries keep for the calling thread. Raises `ThawFailed`.

        Nothing is reported: the report is long gone when an idle worker comes to this.
        """
        for entry, fixer in self._active():
            try:
                fixer.thaw_thread(draw)
            except Exception as error:
                if entry.essential:
                    raise ThawFailed(
                        f"a thread could not be made unique ({entry.name}: {plain.described(error)})"
                    ) from error

    def thaw_thread_or_end(self, draw: Draw) -> None:
        """The same at a line of the function's own, where nothing may be raised: ends the process."""
        try:
            self.thaw_thread(draw.another())
        except Exception as error:
            os.write(2, f"thaw_runtime: {error}\n".encode(errors="replace"))
            os._exit(EX_SOFTWARE)

    def report(self) -> list[dict[str, Any]]:
        """Each fixer's result, in the order in which they run."""
        return [entry.report() for entry in self._entries.values()]

    def _rehearse(self) -> None:
        """Renew everything once before the snapshot.

        A fixer that cannot do its work fails the publish and not the restores. And a clone runs nothing for the
        first time: symbols are bound, pages are read (blake2b's first call took 8 ms of an emulated guest).
        """
        draw = Draw(os.urandom(64))
        for entry, fixer in self._active():
            if fixer.rehearsed:
                took = entry.elapsed_us
                entry.run(partial(fixer.thaw, draw))
                entry.elapsed_us += took

    def _remark(self, context: Context) -> None:
        """The reports. None of them can fail the publish: each is guarded by itself."""
        for entry, fixer in self._active():
            with self.diagnosis.guard():
                fixer.remark(context)
            with self.diagnosis.guard():
                if fixer.versions and entry.version and not _within(entry.version, fixer.versions):
                    first, last = fixer.versions
                    context.note(
                        f"{entry.name} {entry.version} is outside of what its fixer was tested with ({first} to {last})"
                    )
        self._notes = context.notes
        if provenance.recording():
            self._notes += leftovers.notes(self.bundle, self.diagnosis, self._by_library)
        self.bundle.forget()

    def _active(self) -> list[tuple[Entry, Fixer]]:
        entries = self._entries.values()
        return [(e, e.fixer) for e in entries if e.fixer is not None and e.result == "ok"]

    def _load_for(self, name: str, _library: ModuleType) -> None:
        self._load(name)

    def _load(self, name: str) -> None:
        if {"*", name.removeprefix("_")} & self._skip:
            entry = Entry(name, None)
            entry.result = "skipped"
            self._entries[name] = entry
            return
        try:
            fixer: Fixer = __import__(f"thaw_runtime.fixers.{name}", fromlist=["fixer"]).fixer
        except Exception as error:
            entry = self._entries[name] = Entry(name, None)
            entry.fail(error)
            return
        entry = self._entries[name] = Entry(name, fixer)
        if type(fixer).tap is not Fixer.tap:
            self._finder.watch(fixer.after or name, partial(self._tap, entry, fixer))

    def _tap(self, entry: Entry, fixer: Fixer, module: ModuleType) -> None:
        entry.run(lambda: fixer.tap(module))

    def _freeze_one(self, entry: Entry, fixer: Fixer, context: Context) -> None:
        def freeze() -> None:
            fixer.freeze(context)
            fixer.untap()

        entry.run(freeze)

    def _raise_for_essentials(self) -> None:
        failed = [e for e in self._entries.values() if e.result == "failed" and e.essential]
        if failed:
            causes = "; ".join(
                f"{entry.name.removeprefix('_')}: {entry.detail}" for entry in failed
            )
            raise ThawFailed(
                f"clones of this function would not be unique ({causes}). "
                "A fixer can be left out by its name in the function's variable THAW_SKIP_FIXERS."
            )


def modules_in(folder: str) -> list[str]:
    """Names of the Python modules in a folder, sorted, without `__init__`."""
    return sorted(
        name.removesuffix(".py")
        for name in os.listdir(folder)
        if name.endswith(".py") and name != "__init__.py"
    )


def _live_objects(kinds: Iterable[type]) -> dict[type, list[Any]]:
    """Live objects by the class that was asked for, subclasses' included: one pass over the heap."""
    wanted = tuple(dict.fromkeys(kinds))
    if not wanted:
        return {}
    if gc.get_freeze_count():
        # gc.freeze() hides objects from gc.get_objects(); the freeze that follows ours puts them back.
        gc.unfreeze()
    found: dict[type, list[Any]] = {kind: [] for kind in wanted}
    # By identity: a class may have a metaclass with an `__eq__` or a `__hash__`. The list keeps each class alive, and
    # so its identity its own.
    by_id = {id(kind): kind for kind in wanted}
    homes: dict[int, tuple[list[Any], ...]] = {}
    things = gc.get_objects()
    for thing in things:
        kind = type(thing)
        lists = homes.get(id(kind))
        if lists is None:
            bases = plain.mro(kind)
            lists = tuple(found[by_id[id(base)]] for base in bases if id(base) in by_id)
            homes[id(kind)] = lists
        for home in lists:
            home.append(thing)
    return found


def _within(version: str, tested: tuple[str, str]) -> bool:
    first, last = tested
    have = _numbers(version)
    newest = _numbers(last)
    return _numbers(first) <= have and have[: len(newest)] <= newest


def _numbers(version: str) -> tuple[int, ...]:
    numbers: list[int] = []
    for part in version.split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        numbers.append(int(digits))
    return tuple(numbers)
