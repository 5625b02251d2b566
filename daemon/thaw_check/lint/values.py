"""What the linter knows about a value: where it came from, and what can be reached through it.

Values lie in modules and modules are values, so the types of both stand here.
"""

from __future__ import annotations

import ast
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from attrs import define, evolve, field, frozen

from thaw_check.findings import Location

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from .ignores import Ignore


class Kind(Enum):
    """What makes a value hazardous in a snapshot."""

    UNIQUE = auto()
    """Promises to differ each time: a UUID, a token."""
    ENTROPY = auto()
    """Raw random bytes."""
    KEY = auto()
    NUMBER = auto()
    """Drawn from a pseudo-random generator."""
    TIME = auto()
    IDENTITY = auto()
    """Process id, host name, log stream: names of this environment."""
    SECRET = auto()
    LOOKUP = auto()
    """The answer of DNS, service discovery, a configuration store."""
    FETCHED = auto()
    """The answer of a server over HTTP: old only if it is a key or the like, which the name that holds it tells."""
    TEMPORARY = auto()
    """The name of a temporary file or directory."""
    REQUEST = auto()
    """Part of an event that a warm-up passed to the handler."""

    # The rest are held by an object, and do not survive being printed or computed with.
    GENERATOR = auto()
    """A pseudo-random generator that seeded itself."""
    STALE_SEED = auto()
    """A generator seeded with something that was unique once."""
    FIXED_SEED = auto()
    CONNECTION = auto()
    FILE = auto()
    BACKGROUND = auto()
    """A thread, timer or worker that runs."""
    PROCESS = auto()
    """A child process that runs."""


@frozen
class Origin:
    """One source of a hazard, seen from the code that keeps it.

    `at` is the place to report. `via` leads from there to the call itself, where functions lie between.
    """

    kind: Kind
    source: str
    """The resolved call: `uuid.uuid4`."""
    at: Location
    via: tuple[Location, ...] = ()

    def seen_from(self, call: Location) -> Origin:
        """The same hazard for a caller: it is the call there that brought it."""
        if call == self.at:
            return self
        return evolve(self, at=call, via=(self.at, *self.via)[:4])


Origins = frozenset[Origin]
NONE: Final[Origins] = frozenset()


@define(eq=False)
class Module:
    """A parsed file. `env` fills as the interpreter runs its module-level code."""

    name: str
    """Dotted, as other modules of the bundle import it."""
    path: str
    tree: ast.Module
    lines: tuple[str, ...]
    package: bool = False
    ignores: tuple[Ignore, ...] = ()
    checked: bool = True
    """False for a module that is only here to follow calls into it."""
    env: dict[str, Value] = field(factory=dict)
    imported: set[str] = field(factory=set)
    """Names in `env` that belong to another module."""
    renewed: set[str] = field(factory=set)
    """Globals that an after-restore hook assigns."""

    def at(self, node: ast.AST) -> Location:
        """Where `node` is. `ast` counts columns in bytes of UTF-8; people and editors count characters."""
        line = getattr(node, "lineno", 1)
        end_line = getattr(node, "end_lineno", None) or line
        return Location(
            self.path,
            line,
            self._column(line, getattr(node, "col_offset", 0)),
            end_line,
            self._column(end_line, getattr(node, "end_col_offset", None) or 0),
        )

    def _column(self, line: int, offset: int) -> int:
        text = self.lines[line - 1] if 0 < line <= len(self.lines) else ""
        if text.isascii():
            return offset + 1
        return len(text.encode()[:offset].decode(errors="replace")) + 1

    def ignored(self, rule: str, where: Location) -> Ignore | None:
        """The comment that accepts `rule` at `where`, if there is one."""
        last = max(where.line, where.end_line)
        return next((i for i in self.ignores if i.covers(rule, where.line, last)), None)


@define(eq=False)
class Thing:
    """An object, as far as its type and contents are known.

    `type` is the dotted name of what it is (`boto3.client`) or, with `()` behind it, of what returned it.
    """

    type: str
    cls: Class | None = None
    attrs: dict[str, Value] = field(factory=dict)
    """By attribute name; elements stand under `[0]`, `['key']` or `[*]`; what a wrapper wraps, under `<...>`."""
    held: set[Origin] = field(factory=set)
    renewed: set[str] = field(factory=set)
    """Which `attrs` an after-restore hook assigns."""
    owner: Value | None = None
    """Of a method or attribute: the object it was looked up on."""
    handled: bool = False
    """Whether an after-restore hook called a method of it: what is held is taken care of."""


@define(eq=False)
class Function:
    """A function or lambda of the code under check."""

    node: ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda
    module: Module
    name: str
    closure: tuple[dict[str, Value], ...] = ()
    """The enclosing functions' variables, innermost first."""
    owner: Class | None = None
    """The class whose method this is."""
    defaults: dict[str, Value] = field(factory=dict)
    decorators: tuple[str, ...] = ()
    """Resolved names."""
    cleared: bool = False
    """Whether an after-restore hook clears its cache."""
    cache: Thing | None = None
    """The object that its cache was made of."""
    lifetime: bool = False
    """Whether what is cached is forgotten after a while."""


@define(eq=False)
class Class:
    """A class of the code under check."""

    name: str
    module: Module
    attrs: dict[str, Value] = field(factory=dict)
    bases: tuple[Value, ...] = ()
    renewed: set[str] = field(factory=set)

    def lineage(self) -> list[Class]:
        """This class and its known bases, nearest first. Not the C3 order: near enough to find a method."""
        found: list[Class] = []
        waiting: list[Class] = [self]
        while waiting and len(found) < 20:
            cls = waiting.pop(0)
            if cls not in found:
                found.append(cls)
                waiting += [base.ref for base in cls.bases if isinstance(base.ref, Class)]
        return found

    def foreign_base(self) -> str:
        """The dotted name of the first base whose source is not at hand, or an empty string."""
        for cls in self.lineage():
            for base in cls.bases:
                if isinstance(base.ref, Thing) and base.ref.type != "object":
                    return base.ref.type
        return ""


@frozen
class Bound:
    """A method with its object. `after` names the class behind which `super()` looks."""

    function: Function
    receiver: Value


@frozen
class Super:
    """What `super()` gives in a method of `cls`."""

    cls: Class
    receiver: Value


@frozen
class Const:
    """A value written in the source."""

    value: object


Ref = Thing | Function | Class | Module | Bound | Super | Const


@frozen
class Value:
    """What an expression may yield: the hazards in it, and the object, if it is known."""

    origins: Origins = NONE
    ref: Ref | None = None
    others: tuple[Ref, ...] = ()
    """Further objects that it may be instead."""

    def plus(self, origins: Origins) -> Value:
        """The same object with more hazards in it."""
        return evolve(self, origins=self.origins | origins) if origins - self.origins else self

    def each(self) -> list[Value]:
        """One value for each object that it may be."""
        if not self.others:
            return [self]
        return [Value(self.origins, ref) for ref in (self.ref, *self.others)]

    def refs(self) -> tuple[Ref, ...]:
        """Each object that it may be."""
        return self.others if self.ref is None else (self.ref, *self.others)


UNKNOWN: Final = Value()


def decided(value: Value) -> bool | None:
    """Which branch init takes on `value`, where that is sure."""
    if isinstance(value.ref, Thing) and not value.others:
        return {kind: truth for truth, kind in DECIDED.items()}.get(value.ref.type)
    return None


def const(value: Value) -> object:
    """The constant that `value` is, or Ellipsis."""
    return value.ref.value if isinstance(value.ref, Const) else ...


PARTIAL: Final = "functools.partial()"
"""Its attributes are the function and what is given to it."""
DECIDED: Final = {True: "<true>", False: "<false>"}
"""The types of what a comparison with the kind of initialisation gives: init knows which branch it takes."""
NAMESPACE: Final = "<namespace>"
"""The type of what `vars(x)`, `x.__dict__` and `globals()` give: its owner's attributes are its elements."""
_ALTERNATIVES: Final = 8
"""Objects that one value may be; further ones are left out."""
ELEMENTS: Final = 16
"""Elements of a container that are told apart; further ones stand together under `[*]`."""


def join(values: list[Value]) -> Value:
    """What may be any of `values`. Objects count before constants."""
    if not values:
        return UNKNOWN
    if len(values) == 1:
        return values[0]
    origins = NONE.union(*(value.origins for value in values))
    refs = [ref for value in values for ref in value.refs()]
    objects: list[Ref] = []
    for ref in refs:
        if not isinstance(ref, Const) and not any(ref is other for other in objects):
            objects.append(ref)
    if objects:
        return Value(origins, objects[0], tuple(objects[1:_ALTERNATIVES]))
    same = refs and all(ref == refs[0] for ref in refs) and len(refs) == len(values)
    return Value(origins, refs[0] if same else None)


def contents(value: Value, depth: int = 3) -> Origins:
    """The hazards in `value` and in what it holds, without those that only an object can hold."""
    origins = value.origins
    for ref in value.refs():
        if isinstance(ref, Thing) and depth:
            for element in list(ref.attrs.values())[:50]:
                origins |= contents(element, depth - 1)
    return origins


def variables(value: Value) -> dict[str, Value]:
    """What `vars(value)` shows."""
    match value.ref:
        case Module(env=names) | Class(attrs=names) | Thing(attrs=names):
            return names
    return {}


def worded(text: str, origins: Origins = NONE) -> Value:
    """A string of which only a part is known: what a URL is for can be told from it."""
    if not text:
        return Value(origins)
    return Value(origins, Thing("str", attrs={"<text>": Value(ref=Const(text))}))


def text_of(value: Value) -> str:
    """As much of a string as is known."""
    if isinstance(value.ref, Thing) and value.ref.type == "str":
        value = value.ref.attrs.get("<text>", UNKNOWN)
    found = const(value)
    return found if isinstance(found, str) else ""


def key_of(slot: str) -> str:
    """The key of a slot, where it is a string."""
    return slot[2:-2] if slot[:2] in {"['", '["'} else slot


def slot_of(key: object, attrs: Collection[str] = ()) -> str:
    """The attribute under which a container holds `key`; for one that is not known, the next that is free."""
    if isinstance(key, str) or (isinstance(key, int) and not isinstance(key, bool)):
        return f"[{key!r}]"
    number = sum(name.startswith("[*") for name in attrs)
    return "[*]" if not 0 < number < ELEMENTS else f"[*{number}]"


def slots(found: Sequence[Value]) -> dict[str, Value]:
    """The attributes of a container that holds `found` in this order."""
    attrs = {f"[{number}]": value for number, value in enumerate(found[:ELEMENTS])}
    if len(found) > ELEMENTS:
        attrs["[*]"] = join(list(found[ELEMENTS:]))
    return attrs


def listed(found: Sequence[Value], origins: Origins = NONE) -> Value:
    """A list, tuple or set of `found`."""
    return Value(origins, Thing("list", attrs=slots(found)))


def inside(thing: Thing) -> list[Value]:
    """The elements of a container; of a dictionary, its values."""
    return [value for name, value in thing.attrs.items() if name.startswith("[")]


def keys(thing: Thing) -> list[Value]:
    """The keys of a dictionary, as far as they are known."""
    return [
        Value(ref=Const(ast.literal_eval(name[1:-1]))) if name[1] in "'\"" else UNKNOWN
        for name in thing.attrs
        if name.startswith("[")
    ]


def iterated(value: Value) -> list[Value]:
    """What a loop over `value` meets, one by one; empty if nobody can tell."""
    found: list[Value] = []
    for ref in value.refs():
        if isinstance(ref, Thing):
            found += keys(ref) if ref.type == "dict" else inside(ref)
    return [each.plus(value.origins) for each in found]
