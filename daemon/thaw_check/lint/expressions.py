"""What an expression may yield."""

from __future__ import annotations

import ast
from typing import TYPE_CHECKING, Final

from attrs import evolve, frozen

from . import catalogue, foreign
from .state import BUDGET, Arguments, Frame, Mode
from .values import (
    DECIDED,
    ELEMENTS,
    NAMESPACE,
    NONE,
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
    const,
    contents,
    decided,
    inside,
    iterated,
    join,
    listed,
    slot_of,
    text_of,
    variables,
    worded,
)

if TYPE_CHECKING:
    from thaw_check.findings import Location

    from .state import Interpreter
    from .values import Origins

_CACHED_ATTRIBUTES: Final = frozenset(
    {"cached_property", "threaded_cached_property", "cachedproperty", "reify", "lazy_attribute", "lazyproperty"}
)  # fmt: skip
"""Last names of decorators whose result is kept in the object."""
_CACHE_ATTRIBUTES: Final = frozenset(
    {"cache_clear", "cache_info", "cache", "cache_close", "invalidate"}
)
_NO_INSTANT: Final = frozenset(
    {"tzinfo", "utcoffset", "tzname", "tm_gmtoff", "tm_zone", "tm_isdst"}
)
"""Parts of a time that do not tell the time."""


@frozen
class Evaluator:
    """Evaluates expressions for an interpreter. Never raises for any syntax tree."""

    run: Interpreter

    def value(self, node: ast.expr | None, frame: Frame) -> Value:
        """What `node` may yield."""
        if node is None:
            return UNKNOWN
        state = self.run.state
        state.spent += state.depth > 0
        if state.depth and state.spent > BUDGET:
            return UNKNOWN
        match node:
            case ast.Constant(value=constant):
                return Value(ref=Const(constant))
            case ast.Name(id=name):
                return self.name(name, frame)
            case ast.Attribute(value=base, attr=attr):
                return self.attribute(
                    self.value(base, frame), attr, frame.module.at(node), frame.module
                )
            case ast.Call():
                return self.call(node, frame)
            case ast.Subscript(value=base, slice=index):
                holder, key = self.value(base, frame), self.value(index, frame)
                if isinstance(holder.ref, Thing) and holder.ref.type == "sys.modules":
                    return self.run.module_named(const(key), frame.module)
                return self.element(holder, key, frame.module.at(node))
            case ast.BinOp(left=left, op=operator, right=right):
                return self._binary(self.value(left, frame), operator, self.value(right, frame))
            case ast.UnaryOp(op=operator, operand=operand):
                return self._unary(operator, self.value(operand, frame))
            case ast.BoolOp(values=values):
                return join([self.value(each, frame) for each in values])
            case ast.Compare(left=left, ops=operators, comparators=others):
                sides = [self.value(each, frame) for each in (left, *others)]
                return _compared(sides, operators)
            case ast.IfExp(test=test, body=body, orelse=orelse):
                truth = decided(self.value(test, frame))
                ways = {True: [body], False: [orelse], None: [body, orelse]}[truth]
                return join([self.value(way, frame) for way in ways])
            case ast.JoinedStr(values=values):
                parts = [self.value(each, frame) for each in values]
                return worded(
                    "".join(text_of(each) for each in parts),
                    NONE.union(*(contents(each) for each in parts)),
                )
            case ast.FormattedValue(value=inner):
                return Value(contents(self.value(inner, frame)))
            case ast.Dict(keys=keys, values=values):
                return self._dict(keys, values, frame)
            case ast.List(elts=elements) | ast.Set(elts=elements) | ast.Tuple(elts=elements):
                return self._display(elements, frame)
            case ast.ListComp() | ast.SetComp() | ast.GeneratorExp() | ast.DictComp():
                return self._comprehension(node, frame)
            case ast.Lambda():
                return self.function(node, "<lambda>", frame)
            case ast.NamedExpr(target=target, value=inner):
                value = self.value(inner, frame)
                if isinstance(target, ast.Name):
                    frame.names[target.id] = value
                return value
            case ast.Starred(value=inner):
                return self.value(inner, frame)
            case ast.Await(value=inner):
                return self.value(inner, frame)
            case ast.YieldFrom(value=inner):
                value = self.value(inner, frame)
                frame.returns.append(value)
                return UNKNOWN
            case ast.Yield(value=inner):
                frame.returns.append(
                    Value(ref=Thing("list", attrs={"[*]": self.value(inner, frame)}))
                )
                return UNKNOWN
        return UNKNOWN

    # Names

    def name(self, name: str, frame: Frame) -> Value:
        """What a variable holds."""
        if name == "__name__":
            return Value(ref=Const(frame.module.name))
        if name not in frame.globals:
            if name in frame.names:
                return frame.names[name]
            for names in frame.closure:
                if name in names:
                    return names[name]
        if name in frame.module.env:
            return frame.module.env[name]
        if foreign.is_builtin(name):
            return Value(ref=Thing(name))
        return UNKNOWN

    def attribute(self, base: Value, attr: str, at: Location, module: Module) -> Value:
        """`base.attr`."""
        if base.others:
            return join([self.attribute(each, attr, at, module) for each in base.each()])
        match base.ref:
            case Module() as target:
                self.run.state.reads.add((target.name, attr))
                if attr in target.env:
                    return target.env[attr]
                submodule = self.run.find_module(f"{target.name}.{attr}", module)
                return Value(ref=submodule)
            case Class() as cls:
                for each in cls.lineage():
                    if attr in each.attrs:
                        return self._unbound(each.attrs[attr], base)
                return Value(ref=Thing(f"{cls.foreign_base() or cls.name}.{attr}", owner=base))
            case Super(cls=cls, receiver=receiver):
                for each in cls.lineage()[1:]:
                    if attr in each.attrs:
                        return self._of_instance(each.attrs[attr], receiver, at, module)
                return Value(
                    ref=Thing(f"{cls.foreign_base() or 'object'}().{attr}", owner=receiver)
                )
            case Function() as function if attr in _CACHE_ATTRIBUTES:
                return Value(ref=Thing(f"<{attr}>", owner=Value(ref=function)))
            case Module() | Class() | Thing() if attr == "__dict__":
                return Value(ref=Thing(NAMESPACE, owner=base))
            case Const(value=str()):
                return Value(base.origins, Thing(f"str.{attr}", owner=base))
            case Function() | Bound():
                return UNKNOWN
            case Thing() as thing:
                return self._of_thing(base, thing, attr, at, module)
        return Value(base.origins)

    def _of_thing(
        self, base: Value, thing: Thing, attr: str, at: Location, module: Module
    ) -> Value:
        origins = base.origins
        if attr in _NO_INSTANT:
            origins = frozenset(origin for origin in origins if origin.kind is not Kind.TIME)
        if (thing.type, attr) in catalogue.HOST_NAME_OF:
            return Value(frozenset({Origin(Kind.IDENTITY, f"{thing.type}.{attr}", at)}))
        if attr in thing.attrs:
            return thing.attrs[attr].plus(origins)
        if thing.cls is not None:
            for each in thing.cls.lineage():
                if attr in each.attrs:
                    return self._of_instance(each.attrs[attr], base, at, module)
        prefix = (
            thing.type
            if thing.cls is None
            else f"{thing.cls.foreign_base() or thing.type.removesuffix('()')}()"
        )
        child = Value(ref=Thing(f"{prefix}.{attr}", owner=base))
        # Kept, so that what is stored in `app.config` is found there again.
        thing.attrs[attr] = child
        return child.plus(origins)

    def _of_instance(self, found: Value, receiver: Value, at: Location, module: Module) -> Value:
        if not isinstance(found.ref, Function):
            return found
        decorators = found.ref.decorators
        if "staticmethod" in decorators:
            return found
        bound = Bound(found.ref, receiver)
        cached = any(name.rpartition(".")[2] in _CACHED_ATTRIBUTES for name in decorators)
        if cached or "property" in decorators:
            value = self.run.apply(Value(ref=bound), Arguments(), at, module)
            if cached and isinstance(receiver.ref, Thing) and self.run.state.mode is Mode.INIT:
                receiver.ref.attrs[found.ref.name] = value
            return value
        return Value(found.origins, bound)

    def _unbound(self, found: Value, cls: Value) -> Value:
        if isinstance(found.ref, Function) and "classmethod" in found.ref.decorators:
            return Value(found.origins, Bound(found.ref, cls))
        return found

    def element(self, base: Value, index: Value, at: Location) -> Value:
        """`base[index]`."""
        if base.others:
            return join([self.element(each, index, at) for each in base.each()])
        thing = base.ref
        if not isinstance(thing, Thing):
            return base if isinstance(thing, Class) else Value(base.origins)
        own = self._own(base, "__getitem__", Arguments((index,)), at)
        if own is not base:
            return own
        key = const(index)
        if thing.type == "os.environ":
            return foreign.environment(key, at)
        if thing.type == NAMESPACE and thing.owner is not None:
            return variables(thing.owner).get(str(key), UNKNOWN)
        if slot_of(key) in thing.attrs:
            return thing.attrs[slot_of(key)].plus(base.origins)
        if isinstance(key, str) and key.lower().endswith("token") and key != "NextToken":
            # Of what was looked up, the part that lets its holder in.
            base = Value(frozenset(_as_secret(origin) for origin in base.origins), thing)
        if found := inside(thing):
            return join(found).plus(base.origins)
        return Value(base.origins, Thing(f"{thing.type}[]", owner=base))

    # Operators and displays

    def _binary(self, left: Value, operator: ast.operator, right: Value) -> Value:
        ours, theirs = contents(left), contents(right)
        if isinstance(operator, ast.Sub) and _has_time(ours) and _has_time(theirs):
            # A difference of two times is a duration.
            return Value(
                frozenset(origin for origin in ours | theirs if origin.kind is not Kind.TIME)
            )
        both = [each.ref.type for each in (left, right) if isinstance(each.ref, Thing)]
        if both == ["list", "list"] and isinstance(operator, ast.Add):
            return listed([*iterated(left), *iterated(right)], left.origins | right.origins)
        return worded(text_of(left) + text_of(right), ours | theirs)

    def _unary(self, operator: ast.unaryop, operand: Value) -> Value:
        if isinstance(operator, ast.Not):
            truth = decided(operand)
            return UNKNOWN if truth is None else Value(ref=Thing(DECIDED[not truth]))
        constant = const(operand)
        if isinstance(operator, ast.USub) and isinstance(constant, int | float):
            return Value(ref=Const(-constant))
        return Value(operand.origins)

    def _dict(self, keys: list[ast.expr | None], values: list[ast.expr], frame: Frame) -> Value:
        attrs: dict[str, Value] = {}
        for key, node in zip(keys, values, strict=True):
            value = self.value(node, frame)
            if key is None:
                attrs |= value.ref.attrs if isinstance(value.ref, Thing) else {"[*]": value}
                continue
            constant = const(self.value(key, frame))
            name = slot_of(constant, attrs)
            attrs[name] = join([attrs[name], value]) if name == "[*]" and name in attrs else value
        return Value(ref=Thing("dict", attrs=attrs))

    def _display(self, elements: list[ast.expr], frame: Frame) -> Value:
        found: list[Value] = []
        for node in elements:
            value = self.value(node, frame)
            found += iterated(value) or [value] if isinstance(node, ast.Starred) else [value]
        return listed(found)

    def _comprehension(
        self, node: ast.ListComp | ast.SetComp | ast.GeneratorExp | ast.DictComp, frame: Frame
    ) -> Value:
        inner = Frame(
            frame.module,
            {},
            function=frame.function,
            receiver=frame.receiver,
            closure=(frame.names, *frame.closure),
            globals=frame.globals,
            returns=frame.returns,
        )
        found: list[Value] = []

        def follow(generators: list[ast.comprehension]) -> None:
            if not generators:
                if isinstance(node, ast.DictComp):
                    key = const(self.value(node.key, inner))
                    pairs.append((key, self.value(node.value, inner)))
                else:
                    value = self.value(node.elt, inner)
                    starred = isinstance(node.elt, ast.Starred)
                    found.extend(iterated(value) or [value] if starred else [value])
                return
            first, *rest = generators
            for each in self.rounds(first.iter, inner):
                self.run.assign(first.target, each, inner)
                for test in first.ifs:
                    self.value(test, inner)
                follow(rest)

        pairs: list[tuple[object, Value]] = []
        follow(node.generators)
        if not isinstance(node, ast.DictComp):
            return listed(found)
        attrs: dict[str, Value] = {}
        for key, value in pairs:
            name = slot_of(key, attrs)
            attrs[name] = join([attrs[name], value]) if name in attrs else value
        return Value(ref=Thing("dict", attrs=attrs))

    def rounds(self, source: ast.expr, frame: Frame) -> list[Value]:
        """What a loop over `source` meets: a few elements one by one, or all as one."""
        value = self._own(
            self.value(source, frame), "__iter__", Arguments(), frame.module.at(source)
        )
        state = self.run.state
        found = iterated(value)
        if found and len(found) <= (ELEMENTS if state.loops == 0 else 4 if state.loops == 1 else 1):
            return found
        return [join(found) if found else self.element(value, UNKNOWN, frame.module.at(source))]

    def _own(self, value: Value, method: str, arguments: Arguments, at: Location) -> Value:
        """What an object's own `method` gives, where its class is known to have one; otherwise the object."""
        cls = value.ref.cls if isinstance(value.ref, Thing) else None
        if cls is None or not any(method in each.attrs for each in cls.lineage()):
            return value
        bound = self.attribute(value, method, at, cls.module)
        return self.run.apply(bound, arguments, at, cls.module)

    def entered(self, value: Value, at: Location) -> Value:
        """What `with value as` binds."""
        for method in ("__enter__", "__aenter__"):
            found = self._own(value, method, Arguments(), at)
            if found is not value:
                return found
        return value

    def left(self, value: Value, at: Location) -> None:
        """What the end of a `with` block does of the object's own."""
        nothing = Arguments((UNKNOWN, UNKNOWN, UNKNOWN))
        for method in ("__exit__", "__aexit__"):
            self._own(value, method, nothing, at)

    # Calls

    def call(self, node: ast.Call, frame: Frame) -> Value:
        """A call, with its arguments evaluated."""
        at = frame.module.at(node)
        if isinstance(node.func, ast.Name):
            special = self._special(node, frame)
            if special is not None:
                return special
        callee = self.value(node.func, frame)
        arguments = self.arguments(node, frame)
        hooks = self.run.state.hooks
        before = len(hooks)
        result = self.run.apply(callee, arguments, at, frame.module)
        if len(hooks) > before and node.args and isinstance(node.args[0], ast.Call):
            hooks[-1] = evolve(hooks[-1], called=self._returns_nothing(node.args[0].func, frame))
        return result

    def _returns_nothing(self, node: ast.expr, frame: Frame) -> str:
        """The name of the function that `node` is, if calling it gives nothing that could be registered."""
        function = self.value(node, frame).ref
        if not isinstance(function, Function) or isinstance(function.node, ast.Lambda):
            return ""
        returns = any(
            isinstance(each, ast.Return) and each.value is not None
            for each in ast.walk(function.node)
        )
        return "" if returns else function.name

    def arguments(self, node: ast.Call, frame: Frame) -> Arguments:
        """What a call passes, evaluated."""
        positional, rest = [], []
        keywords = {}
        for argument in node.args:
            given = self.value(argument.value, frame) if isinstance(argument, ast.Starred) else None
            if given is not None and 0 < len(iterated(given)) <= ELEMENTS:
                positional += iterated(given)
            elif given is not None:
                rest.append(Value(contents(given)))
            else:
                positional.append(self.value(argument, frame))
        for keyword in node.keywords:
            value = self.value(keyword.value, frame)
            if keyword.arg is not None:
                keywords[keyword.arg] = value
            elif isinstance(value.ref, Thing) and value.ref.type == "dict":
                keywords |= {
                    key[2:-2]: each for key, each in value.ref.attrs.items() if key.startswith("['")
                }
            else:
                rest.append(Value(contents(value)))
        return Arguments(tuple(positional), keywords, join(rest))

    def _special(self, node: ast.Call, frame: Frame) -> Value | None:
        """Built-in functions that reach around the syntax."""
        match node:
            case ast.Call(func=ast.Name(id="super"), args=[]) if (
                frame.receiver is not None and frame.cls
            ):
                return Value(ref=Super(frame.cls, frame.receiver))
            case ast.Call(
                func=ast.Name(id="getattr"), args=[base, ast.Constant(value=str(attr)), *_]
            ):
                return self.attribute(
                    self.value(base, frame), attr, frame.module.at(node), frame.module
                )
            case ast.Call(func=ast.Name(id="setattr"), args=[base, name, inner]):
                key = const(self.value(name, frame))
                self.run.store_attribute(
                    self.value(base, frame),
                    key if isinstance(key, str) else "<?>",
                    self.value(inner, frame),
                    frame.module.at(node),
                    frame.module,
                )
                return UNKNOWN
            case ast.Call(func=ast.Name(id="delattr"), args=[base, name]):
                key = const(self.value(name, frame))
                self.run.forget_attribute(self.value(base, frame), str(key))
                return UNKNOWN
            case ast.Call(func=ast.Name(id="globals"), args=[]):
                return Value(ref=Thing(NAMESPACE, owner=Value(ref=frame.module)))
            case ast.Call(func=ast.Name(id="vars"), args=[base]):
                return Value(ref=Thing(NAMESPACE, owner=self.value(base, frame)))
            case ast.Call(func=ast.Name(id="__import__"), args=[ast.Constant(value=str(name)), *_]):
                return Value(ref=self.run.find_module(name, frame.module) or Thing(name))
        return None

    def function(
        self, node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda, name: str, frame: Frame
    ) -> Value:
        """A new function: its defaults are evaluated now, its body is not."""
        closure = (frame.names, *frame.closure) if frame.is_function else frame.closure
        function = Function(
            node, frame.module, name, closure, owner=frame.cls if not frame.is_function else None
        )
        named = [*node.args.posonlyargs, *node.args.args]
        pairs = list(zip(reversed(named), reversed(node.args.defaults), strict=False))
        pairs += [
            (arg, default)
            for arg, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
            if default
        ]
        for arg, default in pairs:
            function.defaults[arg.arg] = self.value(default, frame)
        if self.run.state.mode is Mode.INIT:
            self.run.state.functions.append(function)
        origins: Origins = NONE
        if frame.is_function:
            # A closure keeps the variables it reads.
            read = {each.id for each in ast.walk(node) if isinstance(each, ast.Name)}
            origins = NONE.union(
                *(contents(frame.names[each]) for each in read if each in frame.names)
            )
        return Value(origins, function)


def _as_secret(origin: Origin) -> Origin:
    return evolve(origin, kind=Kind.SECRET) if origin.kind is Kind.LOOKUP else origin


def _has_time(origins: Origins) -> bool:
    return any(origin.kind is Kind.TIME for origin in origins)


def _compared(sides: list[Value], operators: list[ast.cmpop]) -> Value:
    """A comparison: only that of the kind of initialisation has a known result, which is "snap-start"."""
    if len(operators) != 1 or "AWS_LAMBDA_INITIALIZATION_TYPE" not in map(text_of, sides):
        return UNKNOWN
    other = sides[text_of(sides[0]) == "AWS_LAMBDA_INITIALIZATION_TYPE"]
    kinds = [const(each) for each in iterated(other) or [other]]
    if not all(isinstance(kind, str) for kind in kinds):
        return UNKNOWN
    equal = isinstance(operators[0], ast.Eq | ast.In)
    if not equal and not isinstance(operators[0], ast.NotEq | ast.NotIn):
        return UNKNOWN
    return Value(ref=Thing(DECIDED[("snap-start" in kinds) is equal]))
