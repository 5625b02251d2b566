"""Where an assignment goes: into a function's variables, a module's globals, a class, an object.

In an after-restore hook nothing is stored; it is noted what the hook renews.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from attrs import frozen

from . import values
from .state import Misuse, Mode
from .values import Class, Kind, Module, Thing, Value, join, key_of

if TYPE_CHECKING:
    from thaw_check.findings import Location

    from .state import Frame, State


@frozen
class Scopes:
    """Stores values, as the mode of `state` wants it."""

    state: State

    def store_name(self, name: str, value: Value, frame: Frame, at: Location) -> None:
        """Assign a variable, where its scope says that it lives."""
        if frame.is_function and name not in frame.globals:
            names = (
                next((n for n in frame.closure if name in n), frame.names)
                if name in frame.outer
                else frame.names
            )
            self._put(names, name, value, weak=self.state.conditional > frame.base)
            frame.assigned.setdefault(name, at)
            return
        if frame.cls is not None and not frame.is_function and name not in frame.globals:
            self._put(frame.cls.attrs, name, value, weak=self.state.conditional > 0)
            return
        self._store_global(frame.module, name, value, at)

    def _store_global(self, module: Module, name: str, value: Value, at: Location) -> None:
        if self.state.mode is Mode.INIT:
            self._put(module.env, name, value, weak=self.state.conditional > 0)
            module.imported.discard(name)
        elif self.state.mode is Mode.RESTORE:
            self._note_reopened(module.env.get(name), value, name, at, module)
            module.renewed.add(name)

    def store_attribute(
        self, base: Value, name: str, value: Value, at: Location, module: Module
    ) -> None:
        """`base.name = value`, or an element of it."""
        restoring = self.state.mode is Mode.RESTORE
        for each in base.each() if base.others else ():
            self.store_attribute(each, name, value, at, module)
        match base.ref if not base.others else None:
            case Thing(type=values.NAMESPACE, owner=Value() as owner):
                self.store_attribute(owner, key_of(name), value, at, module)
            case Module() as target:
                self._store_global(target, name, value, at)
            case Class() as cls:
                if restoring:
                    cls.renewed.add(name)
                elif self.state.mode is Mode.INIT:
                    self._put(cls.attrs, name, value, weak=self.state.conditional > 0)
            case Thing() as thing:
                if restoring and name == "<?>":
                    thing.renewed.update(thing.attrs)
                elif restoring and name.startswith("[*"):
                    # By a key that is not known, or by a slice: of a loop over all of them, most likely.
                    thing.renewed.update(each for each in thing.attrs if each.startswith("["))
                elif restoring:
                    self._note_reopened(thing.attrs.get(name), value, name, at, module)
                    thing.renewed.add(name)
                elif self.state.mode is Mode.INIT:
                    self._put(
                        thing.attrs, name, value, weak=self.state.conditional > 0 or name == "[*]"
                    )

    def forget_name(self, name: str, frame: Frame) -> None:
        """`del name`."""
        if frame.is_function and name not in frame.globals:
            frame.names.pop(name, None)
        elif frame.cls is not None and not frame.is_function and name not in frame.globals:
            frame.cls.attrs.pop(name, None)
        else:
            self.forget_attribute(Value(ref=frame.module), name)

    def forget_attribute(self, base: Value, name: str) -> None:
        """`del base.name`, or an element of it: after restore it will be made anew, or is missed."""
        for ref in base.refs():
            match ref:
                case Thing(type=values.NAMESPACE, owner=Value() as owner):
                    self.forget_attribute(owner, key_of(name))
                case Module(env=names) | Class(attrs=names) | Thing(attrs=names):
                    if self.state.mode is Mode.RESTORE:
                        ref.renewed.add(name)
                    elif self.state.mode is Mode.INIT and not self.state.conditional:
                        names.pop(name, None)

    def _put(self, names: dict[str, Value], name: str, value: Value, *, weak: bool) -> None:
        names[name] = join([names[name], value]) if weak and name in names else value

    def _note_reopened(
        self, old: Value | None, new: Value, name: str, at: Location, module: Module
    ) -> None:
        """An after-restore hook that opens what was left open in the snapshot."""
        if (
            old is None
            or not isinstance(old.ref, Thing)
            or not isinstance(new.ref, Thing)
            or old.ref.handled
        ):
            return
        for origin in sorted(old.ref.held, key=lambda held: held.source):
            if origin.kind in {Kind.CONNECTION, Kind.FILE} and any(
                o.kind is origin.kind for o in new.ref.held
            ):
                self.state.misuses.append(
                    Misuse(
                        module, at,
                        f"`{name}` is opened again after restore, but no hook closes the one opened at init",
                        origin.source, name,
                    )
                )  # fmt: skip
                return
