"""Follows what a bundle's modules do when they are imported, and what their snapshot hooks do.

This is no execution: branches are all taken, loops run once, values are only where they came from. What can be reached
from a module's globals afterwards is what a snapshot would hold.
"""

from __future__ import annotations

import ast
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from attrs import define, evolve, field

from . import foreign
from .expressions import Evaluator
from .scopes import Scopes
from .state import BUDGET, DEPTH, Arguments, Frame, Mode, Phase, State
from .statements import Executor
from .values import (
    UNKNOWN,
    Bound,
    Class,
    Const,
    Function,
    Kind,
    Module,
    Origin,
    Super,
    Thing,
    Value,
    contents,
    join,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from thaw_check.findings import Location

_EVENT: Final = frozenset({"event", "evt", "_event", "payload", "request"})
_CONTEXT: Final = frozenset({"context", "ctx", "_context", "_ctx", "_", "__"})
_AFTER_INIT: Final = {
    "__post_init__": Arguments(),
    "__attrs_post_init__": Arguments(),
    "model_post_init": Arguments((UNKNOWN,)),
}
"""Methods that a written-out `__init__` of dataclasses, attrs and pydantic ends with, and what it gives them."""


@define(eq=False)
class Run:
    """One pass over the modules of a bundle. Holds to `state.Interpreter`."""

    _find: Callable[[str, Module], Module | None]
    """Finds a module of the bundle by name, as a given module would import it."""
    state: State = field(factory=State)
    too_deep: list[Location] = field(factory=list)
    """Statements and hooks that could not be followed to their end."""
    _evaluator: Evaluator = field(init=False)
    _scopes: Scopes = field(init=False)
    _executor: Executor = field(init=False)
    _loaded: set[int] = field(factory=set)

    def __attrs_post_init__(self) -> None:
        self._evaluator = Evaluator(self)
        self._scopes = Scopes(self.state)
        self._executor = Executor(self, self._scopes, self._evaluator)

    # Modules and hooks

    def load(self, module: Module) -> None:
        """Follow a module's import, once."""
        if id(module) in self._loaded:
            return
        self._loaded.add(id(module))
        with self._afresh():
            frame = Frame(module, module.env)
            for statement in module.tree.body:
                try:
                    self._executor.statement(statement, frame)
                except RecursionError:
                    self.too_deep.append(module.at(statement))

    @contextmanager
    def _afresh(self) -> Iterator[None]:
        """A piece of code that runs by itself, whatever happens in it."""
        state = self.state
        before = state.mode, state.conditional, state.depth, state.spent, state.active
        loops = state.loops
        state.conditional, state.depth, state.spent, state.active, state.loops = 0, 0, 0, [], 0
        try:
            yield
        finally:
            state.mode, state.conditional, state.depth, state.spent, state.active = before
            state.loops = loops

    def run_hooks(self) -> None:
        """What happens around the snapshot: the hooks, in Lambda's order (before: last in, first out)."""
        before = [hook for hook in reversed(self.state.hooks) if hook.phase is Phase.BEFORE]
        after = [hook for hook in self.state.hooks if hook.phase is Phase.AFTER]
        for mode, hooks in ((Mode.INIT, before), (Mode.RESTORE, after)):
            for hook in hooks:
                with self._afresh():
                    self.state.mode = mode
                    try:
                        self.apply(hook.function, hook.arguments, hook.at, hook.module)
                    except RecursionError:
                        self.too_deep.append(hook.at)

    def result_of(self, function: Function) -> Value:
        """What `function` may return, called with nobody knows what."""
        with self._afresh():
            self.state.mode = Mode.DRY
            try:
                return self.call(
                    function,
                    Arguments(),
                    None,
                    Value(ref=Thing("self")) if function.owner else None,
                )
            except RecursionError:
                return UNKNOWN

    def find_module(self, name: str, importer: Module) -> Module | None:
        """The bundle's module of that name, followed; None if it is none of the bundle's."""
        module = self._find(name, importer)
        if module is not None and self.state.mode is Mode.INIT:
            self.load(module)
        return module

    def store_attribute(
        self, base: Value, name: str, value: Value, at: Location, module: Module
    ) -> None:
        """`base.name = value`, or an element of it."""
        self._scopes.store_attribute(base, name, value, at, module)

    def forget_attribute(self, base: Value, name: str) -> None:
        """`del base.name`, or an element of it."""
        self._scopes.forget_attribute(base, name)

    def module_named(self, name: object, importer: Module) -> Value:
        """What `sys.modules[name]` is in `importer`."""
        if name == importer.name:
            return Value(ref=importer)
        return Value(ref=self.find_module(name, importer)) if isinstance(name, str) else UNKNOWN

    def assign(self, target: ast.expr, value: Value, frame: Frame) -> None:
        """`target = value`, also where several are unpacked."""
        self._executor.assign(target, None, value, frame)

    # Calls

    def apply(self, callee: Value, arguments: Arguments, at: Location, module: Module) -> Value:
        """Call whatever `callee` is."""
        if callee.others:
            return join([self.apply(each, arguments, at, module) for each in callee.each()])
        match callee.ref:
            case Function() as function:
                return self.call(function, arguments, at).plus(callee.origins)
            case Bound(function=function, receiver=receiver):
                return self.call(function, arguments, at, receiver)
            case Class() as cls:
                return self._instance(cls, arguments, at, module)
            case Thing(cls=Class()) as thing:
                method = self._evaluator.attribute(callee, "__call__", at, module)
                if isinstance(method.ref, Bound):
                    return self.apply(method, arguments, at, module)
                return foreign.call(self, thing, arguments, at, module)
            case Thing() as thing:
                return foreign.call(self, thing, arguments, at, module)
            case Super() | Module() | Const():
                return UNKNOWN
        return Value(callee.origins | arguments.origins())

    def call(
        self,
        function: Function,
        arguments: Arguments,
        at: Location | None,
        receiver: Value | None = None,
    ) -> Value:
        """Follow a call of a function whose source is known."""
        state = self.state
        if self.state.depth >= DEPTH or function in state.active or state.spent > BUDGET:
            return Value(arguments.origins())
        frame = Frame(
            function.module,
            {},
            function,
            function.owner,
            receiver,
            function.closure,
            base=state.conditional,
        )
        self._bind_parameters(function, arguments, at, receiver, frame)
        if state.mode is Mode.INIT:
            state.executed.add(id(function.node))
        state.active.append(function)
        state.depth += 1
        if isinstance(function.node, ast.Lambda):
            result = self._evaluator.value(function.node.body, frame)
        else:
            self._executor.block(function.node.body, frame)
            result = join(frame.returns)
        if state.spent > BUDGET:
            result = result.plus(arguments.origins())  # followed half-way
        state.depth -= 1
        state.active.pop()
        if state.mode is Mode.RESTORE and state.depth == 0:
            self._note_shadows(function, frame)
        if at is None:
            return result
        seen: set[int] = set()
        if receiver is not None:
            _seen_from(receiver, function, at, seen)
        return _seen_from(result, function, at, seen)

    def _bind_parameters(
        self,
        function: Function,
        arguments: Arguments,
        at: Location | None,
        receiver: Value | None,
        frame: Frame,
    ) -> None:
        names = [arg.arg for arg in (*function.node.args.posonlyargs, *function.node.args.args)]
        given = list(arguments.positional)
        if receiver is not None:
            given.insert(0, receiver)
        warm_up = (
            at is not None
            and receiver is None
            and self.state.mode is Mode.INIT
            and is_handler(function)
        )
        for number, name in enumerate(names):
            if number < len(given):
                value = given[number]
            else:
                value = (
                    arguments.keywords.get(name) or function.defaults.get(name) or arguments.rest
                )
            if warm_up and number < 2 and at is not None:
                value = value.plus(frozenset({Origin(Kind.REQUEST, function.name, at)}))
            frame.names[name] = value
        for arg in function.node.args.kwonlyargs:
            frame.names[arg.arg] = (
                arguments.keywords.get(arg.arg) or function.defaults.get(arg.arg) or arguments.rest
            )
        if function.node.args.vararg:
            extra = join([*given[len(names) :], arguments.rest])
            frame.names[function.node.args.vararg.arg] = Value(
                ref=Thing("list", attrs={"[*]": extra})
            )
        if function.node.args.kwarg:
            known = {*names, *(arg.arg for arg in function.node.args.kwonlyargs)}
            attrs = {
                f"[{key!r}]": value for key, value in arguments.keywords.items() if key not in known
            }
            frame.names[function.node.args.kwarg.arg] = Value(ref=Thing("dict", attrs=attrs))

    def _instance(self, cls: Class, arguments: Arguments, at: Location, module: Module) -> Value:
        made = self._made_by_new(cls, arguments, at)
        initialiser = self._evaluator.attribute(made, "__init__", at, module)
        if isinstance(initialiser.ref, Bound):
            self.apply(initialiser, arguments, at, module)
            return made
        thing = made.ref
        assert isinstance(thing, Thing)  # noqa: S101 - as made above
        thing.attrs.pop("__init__", None)
        for number, value in enumerate(arguments.positional):
            thing.attrs[f"<{number}>"] = value
        thing.attrs |= arguments.keywords
        for name, value in cls.attrs.items():
            factory = value.ref.attrs.get("<factory>") if isinstance(value.ref, Thing) else None
            if factory is not None and name not in arguments.keywords:
                thing.attrs[name] = self.apply(factory, Arguments(), at, module)
        for name, given in _AFTER_INIT.items():
            last = self._evaluator.attribute(made, name, at, module)
            if isinstance(last.ref, Bound):
                self.apply(last, given, at, module)
            else:
                thing.attrs.pop(name, None)
        return made.plus(contents(arguments.rest))

    def _made_by_new(self, cls: Class, arguments: Arguments, at: Location) -> Value:
        """The object before `__init__`: the one that the class's own `__new__` gives, of several the last."""
        maker = next((e.attrs["__new__"] for e in cls.lineage() if "__new__" in e.attrs), UNKNOWN)
        found: list[Thing] = []
        if isinstance(maker.ref, Function):
            refs = self.call(maker.ref, arguments, at, Value(ref=cls)).refs()
            found = [ref for ref in refs if isinstance(ref, Thing) and ref.cls is cls]
        return Value(ref=found[-1] if found else Thing(f"{cls.module.name}.{cls.name}()", cls=cls))

    def _note_shadows(self, function: Function, frame: Frame) -> None:
        """A hook that assigns what looks like a global, without saying so."""
        parameters = {arg.arg for arg in ast.walk(function.node.args) if isinstance(arg, ast.arg)}
        for name, at in frame.assigned.items():
            if name in function.module.env and name not in parameters:
                self.state.shadows.setdefault((function.module.name, name), at)


def is_handler(function: Function) -> bool:
    """Whether this looks like a Lambda handler: by its parameters or by its name."""
    if function.owner is not None or isinstance(function.node, ast.Lambda):
        return False
    names = [arg.arg for arg in (*function.node.args.posonlyargs, *function.node.args.args)]
    if function.name in {"handler", "lambda_handler"}:
        return bool(names)
    return len(names) >= 2 and names[0] in _EVENT and names[1] in _CONTEXT


def _seen_from(
    value: Value, function: Function, at: Location, seen: set[int], depth: int = 4
) -> Value:
    """`value` as the caller at `at` sees it: what `function` itself made, the call made."""
    moved = evolve(
        value, origins=frozenset(_moved(origin, function, at) for origin in value.origins)
    )
    for thing in value.refs():
        if isinstance(thing, Thing) and id(thing) not in seen and depth:
            seen.add(id(thing))
            thing.held = {_moved(origin, function, at) for origin in thing.held}
            for name, inner in list(thing.attrs.items()):
                thing.attrs[name] = _seen_from(inner, function, at, seen, depth - 1)
    return moved if moved.origins != value.origins else value


def _moved(origin: Origin, function: Function, at: Location) -> Origin:
    if origin.at.path == function.module.path and function.node.lineno <= origin.at.line <= (
        function.node.end_lineno or 0
    ):
        return origin.seen_from(at)
    return origin
