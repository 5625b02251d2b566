"""What statements do: branches are all taken, loops run once, definitions and imports bind their names."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Final

from attrs import evolve, frozen

from . import catalogue
from .state import BUDGET, Arguments, Frame, Phase
from .values import (
    PARTIAL,
    UNKNOWN,
    Bound,
    Class,
    Const,
    Function,
    Kind,
    Module,
    Thing,
    Value,
    const,
    decided,
    slot_of,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .expressions import Evaluator
    from .scopes import Scopes
    from .state import Interpreter


@frozen
class Executor:
    """Follows statements for an interpreter. Never raises for any syntax tree."""

    run: Interpreter
    scopes: Scopes
    evaluator: Evaluator

    def block(self, statements: Iterable[ast.stmt], frame: Frame) -> None:
        """Follow statements in order."""
        for statement in statements:
            if self.statement(statement, frame):
                return

    def statement(self, node: ast.stmt, frame: Frame) -> bool:
        """Follow one statement. Returns whether those behind it are surely never reached."""
        if self.run.state.depth and self.run.state.spent > BUDGET:
            return False
        value = self.evaluator.value
        match node:
            case ast.Expr(value=inner):
                value(inner, frame)
            case ast.Assign(targets=targets, value=inner):
                for target in targets:
                    self.assign(
                        target, inner, value(inner, frame) if target is targets[0] else None, frame
                    )
            case ast.AnnAssign(target=target, value=inner) if inner is not None:
                self.assign(target, inner, value(inner, frame), frame)
            case ast.AugAssign(target=target, op=operator, value=inner):
                mixed = value(ast.BinOp(_as_load(target), operator, inner), frame)
                self.assign(target, None, mixed, frame)
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                self._function(node, frame)
            case ast.ClassDef():
                self._class(node, frame)
            case ast.Return(value=inner):
                frame.returns.append(value(inner, frame))
            case ast.If(test=test, body=body, orelse=orelse):
                tested = value(test, frame)
                taken = _decided(test)
                if taken is None:
                    taken = decided(tested)
                if taken is None:
                    taken = self._told(test, frame)
                if taken is not False:
                    self._maybe(body, frame)
                if taken is not True:
                    self._maybe(orelse, frame)
                leaves = isinstance(body[-1], ast.Return | ast.Raise)
                return leaves and taken is True
            case (
                ast.For(target=target, iter=source, body=body, orelse=orelse)
                | ast.AsyncFor(target=target, iter=source, body=body, orelse=orelse)
            ):
                for each in self.evaluator.rounds(source, frame):
                    self.assign(target, None, each, frame)
                    self.run.state.loops += 1
                    self._maybe(body, frame)
                    self.run.state.loops -= 1
                self._maybe(orelse, frame)
            case ast.While(test=test, body=body, orelse=orelse):
                value(test, frame)
                self._maybe(body, frame)
                self._maybe(orelse, frame)
            case ast.With() | ast.AsyncWith():
                self._with(node, frame)
            case (
                ast.Try(body=body, handlers=handlers, orelse=orelse, finalbody=final)
                | ast.TryStar(body=body, handlers=handlers, orelse=orelse, finalbody=final)
            ):
                self.block(body, frame)
                for handler in handlers:
                    self._maybe(handler.body, frame)
                self.block(orelse, frame)
                self.block(final, frame)
            case ast.Match(subject=subject, cases=cases):
                value(subject, frame)
                for case in cases:
                    self._maybe(case.body, frame)
            case ast.Import(names=names):
                self._import(names, frame)
            case ast.ImportFrom():
                self._import_from(node, frame)
            case ast.Global(names=declared):
                frame.globals.update(declared)
            case ast.Nonlocal(names=declared):
                frame.outer.update(declared)
            case ast.Delete(targets=targets):
                for target in targets:
                    self._delete(target, frame)
            case ast.Assert(test=test):
                value(test, frame)
            case ast.Raise(exc=exc):
                value(exc, frame)
        return False

    def _told(self, test: ast.expr, frame: Frame) -> bool | None:
        """Whether a variable is None, where that is sure: decorators ask it of the function that they are given."""
        match test:
            case ast.Compare(
                left=ast.Name() as name,
                ops=[ast.Is() | ast.IsNot() as operator],
                comparators=[ast.Constant(value=None)],
            ):
                ref = self.evaluator.value(name, frame).ref
                if isinstance(ref, Function | Class | Bound):
                    return isinstance(operator, ast.IsNot)
                if frame.is_function and isinstance(ref, Const) and ref.value is None:
                    return isinstance(operator, ast.Is)
        return None

    def _maybe(self, statements: list[ast.stmt], frame: Frame) -> None:
        self.run.state.conditional += 1
        self.block(statements, frame)
        self.run.state.conditional -= 1

    def _with(self, node: ast.With | ast.AsyncWith, frame: Frame) -> None:
        entered = []
        for item in node.items:
            opened = self.evaluator.value(item.context_expr, frame)
            at = frame.module.at(item.context_expr)
            entered.append((opened, at))
            opened = self.evaluator.entered(opened, at)
            if item.optional_vars is not None:
                # What a TemporaryDirectory names is gone when the block is.
                lasting = frozenset(o for o in opened.origins if o.kind is not Kind.TEMPORARY)
                self.assign(item.optional_vars, None, evolve(opened, origins=lasting), frame)
        self.block(node.body, frame)
        for opened, at in entered:
            self.evaluator.left(opened, at)
            if isinstance(opened.ref, Thing):
                self.run.state.end(opened.ref)

    # Targets

    def assign(
        self, target: ast.expr, source: ast.expr | None, value: Value | None, frame: Frame
    ) -> None:
        """`target = value`. `source` is the expression it came from, where there is one."""
        if value is None:
            value = self.evaluator.value(source, frame)
        match target:
            case ast.Name(id=name):
                self.scopes.store_name(name, value, frame, frame.module.at(target))
            case ast.Tuple(elts=targets) | ast.List(elts=targets):
                self._unpack(targets, source, value, frame)
            case ast.Starred(value=inner):
                self.assign(inner, None, value, frame)
            case ast.Attribute(value=base, attr=attr):
                self.scopes.store_attribute(
                    self.evaluator.value(base, frame),
                    attr,
                    value,
                    frame.module.at(target),
                    frame.module,
                )
            case ast.Subscript(value=base, slice=index):
                holder = self.evaluator.value(base, frame)
                key = const(self.evaluator.value(index, frame))
                held = holder.ref.attrs if isinstance(holder.ref, Thing) else {}
                self.scopes.store_attribute(
                    holder,
                    slot_of(key, held),
                    value,
                    frame.module.at(target),
                    frame.module,
                )

    def _delete(self, target: ast.expr, frame: Frame) -> None:
        match target:
            case ast.Name(id=name):
                self.scopes.forget_name(name, frame)
            case ast.Attribute(value=base, attr=attr):
                self.scopes.forget_attribute(self.evaluator.value(base, frame), attr)
            case ast.Subscript(value=base, slice=index):
                key = const(self.evaluator.value(index, frame))
                self.scopes.forget_attribute(self.evaluator.value(base, frame), slot_of(key))
            case ast.Tuple(elts=targets) | ast.List(elts=targets):
                for each in targets:
                    self._delete(each, frame)

    def _unpack(
        self, targets: list[ast.expr], source: ast.expr | None, value: Value, frame: Frame
    ) -> None:
        if isinstance(source, ast.Tuple | ast.List) and len(source.elts) == len(targets):
            # Evaluated for its effects already; once more for each part's own value.
            for target, part in zip(targets, source.elts, strict=True):
                self.assign(target, part, None, frame)
            return
        at = frame.module.at(targets[0]) if targets else frame.module.at(frame.module.tree)
        known = isinstance(value.ref, Thing) and value.ref.type == "list"
        starred = any(isinstance(target, ast.Starred) for target in targets)
        for number, target in enumerate(targets):
            index = Value(ref=Const(number)) if known and not starred else UNKNOWN
            self.assign(target, None, self.evaluator.element(value, index, at), frame)

    def _function(self, node: ast.FunctionDef | ast.AsyncFunctionDef, frame: Frame) -> None:
        value = self.evaluator.function(node, node.name, frame)
        function = value.ref
        assert isinstance(function, Function)  # noqa: S101 - by construction
        names = []
        for decorator in reversed(node.decorator_list):
            call = decorator if isinstance(decorator, ast.Call) else None
            outer = self.evaluator.value(decorator if call is None else call.func, frame)
            if isinstance(outer.ref, Thing):
                names.append(outer.ref.type)
            function.decorators = tuple(names)
            at = frame.module.at(decorator)
            if call is not None:
                arguments = self.evaluator.arguments(call, frame)
                _note_cache(function, outer, arguments)
                if _is_replaced(outer):
                    continue
                outer = self.run.apply(outer, arguments, at, frame.module)
            if not _is_replaced(outer) and _is_known(outer):
                result = self.run.apply(outer, Arguments((value,)), at, frame.module)
                value = result if result.ref is not None else value.plus(result.origins)
        self.scopes.store_name(node.name, value, frame, frame.module.at(node))

    def _class(self, node: ast.ClassDef, frame: Frame) -> None:
        cls = Class(node.name, frame.module)
        cls.bases = tuple(self.evaluator.value(base, frame) for base in node.bases)
        self.block(
            node.body,
            Frame(
                frame.module,
                cls.attrs,
                cls=cls,
                closure=(frame.names, *frame.closure) if frame.is_function else frame.closure,
            ),
        )
        value = Value(ref=cls)
        for decorator in reversed(node.decorator_list):
            outer = self.evaluator.value(decorator, frame)
            if _is_known(outer) and not _is_replaced(outer):
                result = self.run.apply(
                    outer, Arguments((value,)), frame.module.at(decorator), frame.module
                )
                value = result if isinstance(result.ref, Class) else value
        self.scopes.store_name(node.name, value, frame, frame.module.at(node))

    def _import(self, names: list[ast.alias], frame: Frame) -> None:
        for alias in names:
            top = alias.name.partition(".")[0]
            found = self.run.find_module(alias.name, frame.module)
            bound = found if alias.asname else self.run.find_module(top, frame.module)
            self._bind(
                alias.asname or top,
                Value(ref=bound or Thing(alias.name if alias.asname else top)),
                frame,
            )

    def _import_from(self, node: ast.ImportFrom, frame: Frame) -> None:
        name = node.module or ""
        if node.level:
            parts = frame.module.name.split(".")
            parts = parts[: len(parts) - node.level + frame.module.package]
            name = ".".join([*parts, *([name] if name else [])])
        source = self.run.find_module(name, frame.module) if name else None
        for alias in node.names:
            if alias.name == "*":
                self._import_all(name, source, frame)
                continue
            value = Value(ref=Thing(f"{name}.{alias.name}" if name else alias.name))
            if source is not None:
                self.run.state.reads.add((source.name, alias.name))
                value = source.env.get(alias.name) or Value(
                    ref=self.run.find_module(f"{source.name}.{alias.name}", frame.module)
                )
            elif node.level and not name:
                value = Value(ref=self.run.find_module(alias.name, frame.module))
            self._bind(alias.asname or alias.name, value, frame)

    def _import_all(self, name: str, source: Module | None, frame: Frame) -> None:
        if source is not None:
            for each, value in list(source.env.items()):
                if not each.startswith("_"):
                    self.run.state.reads.add((source.name, each))
                    self._bind(each, value, frame)
            return
        prefix = f"{name}."
        for known in (*catalogue.SOURCES, *catalogue.GENERATORS, *catalogue.SEEDS):
            rest = known.removeprefix(prefix)
            if known.startswith(prefix) and "." not in rest:
                self._bind(rest, Value(ref=Thing(known)), frame)

    def _bind(self, name: str, value: Value, frame: Frame) -> None:
        frame.names[name] = value
        if not frame.is_function and frame.cls is None:
            frame.module.imported.add(name)


_LIFETIMES: Final = frozenset(
    {"ttl", "timeout", "expire", "expiration_time", "max_age", "maxage", "stale_after", "seconds"}
)


def _note_cache(function: Function, decorator: Value, arguments: Arguments) -> None:
    """What a decorator's call says of the cache that it makes."""
    name = decorator.ref.type.lower() if isinstance(decorator.ref, Thing) else ""
    if "cache" not in name and "memo" not in name:
        return
    given = arguments.first() or arguments.keywords.get("cache")
    function.cache = given.ref if given is not None and isinstance(given.ref, Thing) else None
    made_of = function.cache.type if function.cache else ""
    function.lifetime = bool(
        _LIFETIMES & set(arguments.keywords)
        or "ttl" in name
        or "TTL" in made_of
        or "TLRU" in made_of
    )


_TRANSPARENT: Final = ("staticmethod", "classmethod", "functools.", "contextlib.", "typing.")
"""Decorators after which a function, called as a decorator, still does what its body says."""


def _is_replaced(decorator: Value) -> bool:
    """Whether a function that is used as a decorator was made one by a library, in ways that nobody knows.

    Its parameters are then not what it seems: powertools' `lambda_handler_decorator` gives it the handler and an event.
    """
    function = decorator.ref.function if isinstance(decorator.ref, Bound) else decorator.ref
    return isinstance(function, Function) and not all(
        name.startswith(_TRANSPARENT) for name in function.decorators
    )


def _is_known(decorator: Value) -> bool:
    """Whether what the decorator does can be followed, or is a hook's registration."""
    if isinstance(decorator.ref, Thing):
        last = decorator.ref.type.rpartition(".")[2]
        return (
            decorator.ref.cls is not None
            or last in {phase.value for phase in Phase}
            or (decorator.ref.type == PARTIAL)
        )
    return isinstance(decorator.ref, Function | Bound | Class)


def _decided(test: ast.expr) -> bool | None:
    """Which branch init takes, where the test says so."""
    match test:
        case ast.Constant(value=value):
            return bool(value)
        case ast.Name(id="TYPE_CHECKING") | ast.Attribute(attr="TYPE_CHECKING"):
            return False
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            inner = _decided(operand)
            return None if inner is None else not inner
        case ast.BoolOp(op=ast.And(), values=values) if any(
            _decided(value) is False for value in values
        ):
            return False
        case ast.Compare(
            left=ast.Name(id="__name__"),
            ops=[ast.Eq()],
            comparators=[ast.Constant(value="__main__")],
        ):
            return False
        case ast.Compare(
            left=left,
            ops=[ast.Eq() | ast.NotEq() as operator],
            comparators=[ast.Constant(value="snap-start")],
        ):
            if any(
                isinstance(n, ast.Constant) and n.value == "AWS_LAMBDA_INITIALIZATION_TYPE"
                for n in ast.walk(left)
            ):
                return isinstance(operator, ast.Eq)
    return None


def _as_load(target: ast.expr) -> ast.expr:
    """A target read as an expression. The context of a node is not looked at."""
    return target
