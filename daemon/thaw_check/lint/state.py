"""What one run of the interpreter remembers: where it is, what it may still spend, what it saw happen."""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Final, Protocol

from attrs import define, field, frozen

from .values import UNKNOWN, Class, Function, Module, Origin, Thing, Value, contents

if TYPE_CHECKING:
    import ast

    from thaw_check.findings import Location

    from .values import Origins

DEPTH: Final = 8
"""Calls followed into each other."""
BUDGET: Final = 60_000
"""Expressions evaluated in calls from one module; further calls are not followed. Its own level is always read whole."""


class Mode(Enum):
    """Which part of a function's life is being followed."""

    INIT = auto()
    """Module level, and before-snapshot hooks: what is stored now is in the snapshot."""
    RESTORE = auto()
    """After-restore hooks: what is stored now makes up for what init stored."""
    DRY = auto()
    """Only the result is wanted."""


class Phase(Enum):
    """The two kinds of hook."""

    BEFORE = "register_before_snapshot"
    AFTER = "register_after_restore"


@frozen
class Arguments:
    """The values a call passes."""

    positional: tuple[Value, ...] = ()
    keywords: dict[str, Value] = field(factory=dict)
    rest: Value = UNKNOWN
    """What `*` and `**` bring."""

    def all(self) -> tuple[Value, ...]:
        """Each value that goes in."""
        return (*self.positional, *self.keywords.values(), self.rest)

    def origins(self) -> Origins:
        """Every hazard that goes in."""
        return frozenset().union(*(contents(value) for value in self.all()))

    def first(self) -> Value | None:
        """The first positional argument."""
        return self.positional[0] if self.positional else None

    def __bool__(self) -> bool:
        return bool(self.positional or self.keywords or self.rest.origins or self.rest.ref)


@frozen
class Hook:
    """A registered hook."""

    phase: Phase
    function: Value
    arguments: Arguments
    module: Module
    at: Location
    called: str = ""
    """The function whose result was registered, where the code reads `register(function())`."""


@frozen
class Effect:
    """Something that init set going and that is there without a name holding it."""

    origin: Origin
    target: str
    thing: Thing | None = None
    """Whose method ended would end it."""
    family: str = ""
    """For seeds: which library's global generator."""


@frozen
class Misuse:
    """A hook that does not do what it seems to."""

    module: Module
    at: Location
    message: str
    what: str
    target: str = ""


@define(eq=False)
class State:
    """The memory of a run over all modules of a bundle."""

    mode: Mode = Mode.INIT
    conditional: int = 0
    """How many branches and loops surround the present statement: above 0, a store adds and does not replace."""
    loops: int = 0
    """How many loops surround it."""
    depth: int = 0
    spent: int = 0
    active: list[Function] = field(factory=list)
    functions: list[Function] = field(factory=list)
    executed: set[int] = field(factory=set)
    """ids of function nodes that init ran."""
    hooks: list[Hook] = field(factory=list)
    effects: list[Effect] = field(factory=list)
    misuses: list[Misuse] = field(factory=list)
    reseeded: set[str] = field(factory=set)
    """Families whose global generator an after-restore hook seeds."""
    fixed: set[str] = field(factory=set)
    """Families that init seeded with a constant: what they draw is no accident."""
    reads: set[tuple[str, str]] = field(factory=set)
    """(module, name) that another module reads."""
    shadows: dict[tuple[str, str], Location] = field(factory=dict)
    """(module, global) that an after-restore hook assigns only as a local variable."""

    def end(self, thing: Thing) -> None:
        """What `thing` held or ran is closed."""
        if self.mode is Mode.INIT:
            thing.held.clear()
            self.effects = [effect for effect in self.effects if effect.thing is not thing]
        elif self.mode is Mode.RESTORE:
            thing.handled = True


@define(eq=False)
class Frame:
    """One execution of a module, class body or function."""

    module: Module
    names: dict[str, Value]
    """Its variables: for a module its `env`, for a class its attributes."""
    function: Function | None = None
    cls: Class | None = None
    receiver: Value | None = None
    """`self` in a method."""
    closure: tuple[dict[str, Value], ...] = ()
    globals: set[str] = field(factory=set)
    outer: set[str] = field(factory=set)
    """Names declared `nonlocal`."""
    returns: list[Value] = field(factory=list)
    base: int = 0
    """`State.conditional` when it began."""
    assigned: dict[str, Location] = field(factory=dict)
    """Local variables and where they were first assigned."""

    @property
    def is_function(self) -> bool:
        """Whether its variables end with it."""
        return self.function is not None


class Interpreter(Protocol):
    """What expressions and foreign calls need of the interpreter."""

    state: State

    def call(
        self,
        function: Function,
        arguments: Arguments,
        at: Location | None,
        receiver: Value | None = None,
    ) -> Value:
        """Follow a call of a function whose source is known."""

    def apply(self, callee: Value, arguments: Arguments, at: Location, module: Module) -> Value:
        """Call whatever `callee` is."""

    def store_attribute(
        self, base: Value, name: str, value: Value, at: Location, module: Module
    ) -> None:
        """`base.name = value`, or an element of it."""

    def forget_attribute(self, base: Value, name: str) -> None:
        """`del base.name`, or an element of it."""

    def module_named(self, name: object, importer: Module) -> Value:
        """What `sys.modules[name]` is in `importer`."""

    def assign(self, target: ast.expr, value: Value, frame: Frame) -> None:
        """`target = value`, also where several are unpacked."""

    def find_module(self, name: str, importer: Module) -> Module | None:
        """The module of the bundle that `importer` means by the dotted `name`, run; or None."""
