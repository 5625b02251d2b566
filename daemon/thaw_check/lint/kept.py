"""From what the interpreter saw to findings: everything that a module's globals still reach is in the snapshot."""

from __future__ import annotations

import ast
import re
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from attrs import define, evolve, field

from thaw_check.findings import Finding, Location

from . import catalogue, fetches
from .foreign import is_builtin
from .interpreter import is_handler
from .rules import RULES
from .state import Phase
from .values import Bound, Class, Function, Kind, Module, Origin, Thing, Value

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from .interpreter import Run

_DEPTH: Final = 6
_CACHED_KINDS: Final = frozenset(
    {Kind.UNIQUE, Kind.ENTROPY, Kind.KEY, Kind.NUMBER, Kind.TIME, Kind.IDENTITY, Kind.SECRET}
)
_ONCE_KINDS: Final = frozenset({Kind.UNIQUE, Kind.NUMBER, Kind.TIME, Kind.IDENTITY})
_RULE_OF: Final = {
    Kind.UNIQUE: "SNAP001", Kind.ENTROPY: "SNAP010", Kind.KEY: "SNAP010", Kind.NUMBER: "SNAP002", Kind.GENERATOR: "SNAP003",
    Kind.STALE_SEED: "SNAP004", Kind.TIME: "SNAP005", Kind.IDENTITY: "SNAP006", Kind.CONNECTION: "SNAP007",
    Kind.BACKGROUND: "SNAP008", Kind.PROCESS: "SNAP008", Kind.SECRET: "SNAP009", Kind.TEMPORARY: "SNAP011", Kind.FILE: "SNAP012",
    Kind.LOOKUP: "SNAP016", Kind.REQUEST: "SNAP017", Kind.FIXED_SEED: "SNAP018",
}  # fmt: skip
_CACHES: Final = frozenset(
    {"cache", "lru_cache", "alru_cache", "cached", "cachedmethod", "lfu_cache", "rr_cache", "fifo_cache", "memoize", "memoized"}
)  # fmt: skip
"""Last names of decorators that keep results, without end unless a lifetime is given."""
_CACHE: Final = re.compile(
    r"(?:^|_)(?:cache|cached|memo|memoize|memoized)(?:_|$)|^ttl_cache$|cache_on_arguments"
)
_WORD: Final = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


class _Place(Enum):
    GLOBAL = auto()
    CLASS = auto()
    DEFAULT = auto()


@define(eq=False)
class _Kept:
    """A path from a module's globals to a value."""

    module: Module
    name: str
    """The global it begins with."""
    target: str
    value: Value
    place: _Place
    direct: bool
    """Whether the global itself is the value."""
    thing: Thing | None = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.thing = self.value.ref if isinstance(self.value.ref, Thing) else None


def findings(run: Run, modules: Iterable[Module]) -> Iterator[tuple[Module, Finding]]:
    """All findings of a finished run, with the module each is about. One call is one finding, wherever it is kept."""
    modules = list(modules)
    checked = {module.path: module for module in modules}
    merged: dict[tuple[str, Location], Finding] = {}
    for module in modules:
        for finding in (*_kept_in(module, run), *_late_hooks(run, module)):
            _merge(merged, finding)
    for finding in (*_effects(run), *_cached(run), *_hooks(run)):
        _merge(merged, finding)
    for finding in merged.values():
        if finding.where is not None and finding.where.path in checked:
            yield checked[finding.where.path], finding


def _merge(merged: dict[tuple[str, Location], Finding], finding: Finding) -> None:
    assert finding.where is not None  # noqa: S101 - the linter always knows where
    known = merged.setdefault((finding.rule, finding.where), finding)
    if finding.target and finding.target not in known.target.split(", "):
        targets = f"{known.target}, {finding.target}" if known.target else finding.target
        message = known.message
        if known.message.endswith(f"in `{known.target}`"):
            message = f"{known.message}, `{finding.target}`"
        merged[finding.rule, finding.where] = evolve(known, target=targets, message=message)


def _kept_in(module: Module, run: Run) -> Iterator[Finding]:
    hazardous: set[str] = set()
    for kept in _reachable(module):
        for finding in _of(kept, run):
            hazardous.add(kept.name)
            yield finding
    for name in sorted(hazardous):
        shadow = run.state.shadows.get((module.name, name))
        if shadow is not None:
            message = (
                f"`{name}` is assigned in an after-restore hook that does not declare it global"
            )
            yield _finding("SNAP015", shadow, message, "global", name)


def _finding(
    rule: str,
    at: Location,
    message: str,
    what: str,
    target: str = "",
    *,
    related: tuple[Location, ...] = (),
) -> Finding:
    known = RULES[rule]
    return Finding(rule, known.level, message, known.why, known.fix, at, what, target, related)


def _reachable(module: Module) -> Iterator[_Kept]:
    seen: set[int] = set()
    for name, value in list(module.env.items()):
        if name not in module.imported or isinstance(value.ref, Thing):
            if name in module.renewed:
                continue
            # What another module made is that module's; but what was stored in a library's object is reported here.
            value = Value(ref=value.ref) if name in module.imported else value  # noqa: PLW2901
            yield from _within(
                _Kept(module, name, name, value, _Place.GLOBAL, direct=True), seen, 0
            )


def _within(kept: _Kept, seen: set[int], depth: int) -> Iterator[_Kept]:
    for other in kept.value.others:
        alone = _Kept(
            kept.module, kept.name, kept.target, Value(ref=other), kept.place, direct=False
        )
        yield from _within(alone, seen, depth)
    yield kept
    ref = kept.value.ref
    if depth > _DEPTH or ref is None or id(ref) in seen:
        return
    inner: list[tuple[str, Value, _Place]] = []
    match ref:
        case Thing():
            seen.add(id(ref))
            inner = [(n, v, kept.place) for n, v in ref.attrs.items() if n not in ref.renewed]
        case Bound(receiver=receiver):
            inner = [("", receiver, kept.place)]
        case Class(module=owner) if owner is kept.module:
            seen.add(id(ref))
            inner = [(n, v, _Place.CLASS) for n, v in ref.attrs.items() if n not in ref.renewed]
        case Function(module=owner) if owner is kept.module:
            seen.add(id(ref))
            inner = [(f"({n}=)", v, _Place.DEFAULT) for n, v in ref.defaults.items()]
    for name, value, place in inner:
        yield from _within(
            _Kept(kept.module, kept.name, _joined(kept.target, name), value, place, direct=False),
            seen,
            depth + 1,
        )


def _joined(target: str, name: str) -> str:
    if name.startswith("<") or not name:
        return target
    if name.startswith("[*"):
        return f"{target}[...]"
    return target + name if name[0] in "[(" else f"{target}.{name}"


def _of(kept: _Kept, run: Run) -> Iterator[Finding]:
    origins = {origin for origin in kept.value.origins if not _used_up(origin, kept, run)}
    if kept.thing is not None and not kept.thing.handled:
        origins |= {o for o in kept.thing.held if o.kind is not Kind.FIXED_SEED or _spreads(kept)}
    together: dict[tuple[str, int], list[Origin]] = {}
    for origin in sorted(origins, key=lambda o: (o.at, o.source, o.via)):
        together.setdefault((_rule(origin.kind, kept), origin.at.line), []).append(origin)
    for (rule, _), group in together.items():
        yield _kept_finding(rule, group, kept)


def _kept_finding(rule: str, group: list[Origin], kept: _Kept) -> Finding:
    """One finding for what one line puts into one place."""
    sources = list(dict.fromkeys(origin.source for origin in group))
    named = ", ".join(f"`{source}`" for source in sources)
    message = f"{RULES[rule].summary}: {named} in `{kept.target}`"
    if rule == "SNAP017":
        message = (
            f"{RULES[rule].summary}: what `{kept.target}` holds came with the event of this call"
        )
    related = tuple(dict.fromkeys(place for origin in group for place in origin.via))
    return _finding(rule, group[0].at, message, ", ".join(sources), kept.target, related=related)


def _rule(kind: Kind, kept: _Kept) -> str:
    words = _words(kept.target)
    if kind is Kind.ENTROPY:
        if words & catalogue.ID_WORDS and not words & catalogue.KEY_WORDS:
            kind = Kind.UNIQUE
    elif kind is Kind.UNIQUE and words & catalogue.KEY_WORDS:
        kind = Kind.ENTROPY
    if kept.place is not _Place.GLOBAL and kind in _ONCE_KINDS:
        return "SNAP014"
    if kind is Kind.FETCHED:
        kind = fetches.kind_of(words) or Kind.LOOKUP
    return _RULE_OF[kind]


def _words(text: str) -> set[str]:
    return {word.lower() for word in _WORD.findall(text)}


def _used_up(origin: Origin, kept: _Kept, run: Run) -> bool:
    """Whether there is nothing to report.

    A stopwatch: a time that init itself reads again, and that nothing else can. An answer over HTTP that does not look
    like something that gets old.
    """
    if origin.kind is Kind.FETCHED:
        return fetches.kind_of(_words(kept.target)) is None
    if (
        origin.kind is not Kind.TIME
        or not kept.direct
        or (kept.module.name, kept.name) in run.state.reads
    ):
        return False
    during, later = _reads(kept.module.tree)
    return kept.name in during and kept.name not in later


def _reads(tree: ast.Module) -> tuple[set[str], set[str]]:
    """Names read while the module is imported, and names read in functions."""
    during: set[str] = set()
    later: set[str] = set()
    waiting: list[tuple[ast.AST, bool]] = [(tree, False)]
    while waiting:
        node, inside = waiting.pop()
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
            (later if inside else during).add(node.id)
        deeper = inside or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        waiting += [(child, deeper) for child in ast.iter_child_nodes(node)]
    return during, later


def _spreads(kept: _Kept) -> bool:
    """Whether a generator with a fixed seed is used where environments should differ: for ids, jitter, keys."""
    if _words(kept.target) & catalogue.SPREAD_WORDS:
        return True
    last = kept.target.rpartition(".")[2]
    return any(words & catalogue.SPREAD_WORDS for words in _contexts(kept.module.tree, last))


def _contexts(tree: ast.Module, name: str) -> Iterator[set[str]]:
    """For each use of `name` in a function, the names around it: what is assigned, passed, returned or called."""
    waiting: list[tuple[ast.AST, frozenset[str], bool]] = [(tree, frozenset(), False)]
    while waiting:
        node, words, inside = waiting.pop()
        more: set[str] = set()
        match node:
            case ast.Name(id=used) | ast.Attribute(attr=used) if used == name:
                if inside:
                    yield set(words)
                continue
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                words, inside = frozenset(_words(node.name)), True
            case (
                ast.Assign(targets=[ast.Name(id=target) | ast.Attribute(attr=target)])
                | ast.keyword(arg=str(target))
            ):
                more = _words(target)
            case ast.AnnAssign(target=ast.Name(id=target) | ast.Attribute(attr=target)):
                more = _words(target)
            case ast.Call(func=ast.Name(id=called) | ast.Attribute(attr=called)) if not is_builtin(
                called
            ):
                more = _words(called)
            case ast.Dict(keys=keys, values=values):
                for key, value in zip(keys, values, strict=True):
                    own = (
                        key.value
                        if isinstance(key, ast.Constant) and isinstance(key.value, str)
                        else ""
                    )
                    waiting.append((value, words | _words(own), inside))
                continue
        waiting += [(child, words | more, inside) for child in ast.iter_child_nodes(node)]


def _effects(run: Run) -> Iterator[Finding]:
    for effect in run.state.effects:
        if effect.family in run.state.reseeded or (
            effect.thing is not None and effect.thing.handled
        ):
            continue
        origin = effect.origin
        rule = _RULE_OF[origin.kind]
        target = f" ({effect.target})" if effect.target else ""
        message = f"{RULES[rule].summary}: `{origin.source}`{target}"
        if origin.kind is Kind.PROCESS:
            message = f"A child process is started at init, which no hook and no fixer reaches: `{origin.source}`"
        yield _finding(rule, origin.at, message, origin.source, effect.target, related=origin.via)


def _cached(run: Run) -> Iterator[Finding]:
    for function in list(run.state.functions):
        if not _keeps_results(function, run):
            continue
        filled = id(function.node) in run.state.executed
        kinds = _CACHED_KINDS | {Kind.LOOKUP} if filled else _CACHED_KINDS
        if filled and fetches.kind_of(_words(function.name)):
            kinds |= {Kind.FETCHED}
        result = run.result_of(function)
        for origin in sorted(result.origins, key=lambda o: (o.at, o.source)):
            if origin.kind in kinds and origin.at.path == function.module.path:
                message = f"{RULES['SNAP013'].summary}: `{function.name}` returns `{origin.source}`"
                yield _finding(
                    "SNAP013", origin.at, message, origin.source, function.name, related=origin.via
                )


def _keeps_results(function: Function, run: Run) -> bool:
    """Whether a cache holds what `function` gave, or may hold it, when the snapshot is taken."""
    names = [name.rpartition(".")[2].lower() for name in function.decorators]
    if any(name.endswith("property") for name in names):
        return False  # kept in its object, and found there
    if function.cleared or isinstance(function.node, ast.Lambda):
        return False
    if function.cache is not None and (function.cache.handled):
        return False
    if any(name.startswith("functools.") for name in function.decorators) or not function.lifetime:
        known = any(name in _CACHES for name in names)
    else:
        known = False
    # Of a cache with a lifetime, or one of unknown make, it matters only what init put there.
    filled = id(function.node) in run.state.executed
    return known or (filled and any(name in _CACHES or _CACHE.search(name) for name in names))


def _hooks(run: Run) -> Iterator[Finding]:
    for misuse in run.state.misuses:
        yield _finding("SNAP015", misuse.at, misuse.message, misuse.what, misuse.target)
    for hook in run.state.hooks:
        register = hook.phase.value
        if hook.called:
            if hook.function.ref is None:
                message = f"the hook is called here, and its result registered: pass `{hook.called}` itself"
                yield _finding("SNAP015", hook.at, message, register, hook.called)
            continue
        function = hook.function.ref
        given = len(hook.arguments.positional)
        if isinstance(function, Bound):
            function, given = function.function, given + 1
        if not isinstance(function, Function):
            continue
        if isinstance(function.node, ast.AsyncFunctionDef):
            message = f"`{function.name}` is async: it is called, but nobody awaits it"
            yield _finding("SNAP015", hook.at, message, register, function.name)
            continue
        missing = _missing(function, given, set(hook.arguments.keywords))
        if missing and not hook.arguments.rest.origins and hook.arguments.rest.ref is None:
            message = f"`{function.name}` will be called without {', '.join(f'`{name}`' for name in missing)}"
            yield _finding("SNAP015", hook.at, message, register, function.name)


def _missing(function: Function, given: int, keywords: set[str]) -> list[str]:
    arguments = function.node.args
    names = [arg.arg for arg in (*arguments.posonlyargs, *arguments.args)]
    wanted = names[given : len(names) - len(arguments.defaults)]
    wanted += [
        arg.arg
        for arg, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
        if default is None
    ]
    return [name for name in wanted if name not in keywords]


def _late_hooks(run: Run, module: Module) -> Iterator[Finding]:
    """Hooks registered in a handler, or in what only a handler calls: too late for the snapshot."""
    functions = {
        node.name: node
        for node in module.tree.body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    reached = [name for name, node in functions.items() if is_handler(Function(node, module, name))]
    for name in reached:
        called = {
            n.id for n in ast.walk(functions[name]) if isinstance(n, ast.Name) and n.id in functions
        }
        reached += [each for each in sorted(called) if each not in reached]
    for name in reached:
        if id(functions[name]) in run.state.executed:
            continue
        for node in ast.walk(functions[name]):
            for place, register in _registers(node):
                message = f"`{register}` in `{name}`, which runs after the snapshot"
                yield _finding("SNAP015", module.at(place), message, register, name)


def _registers(node: ast.AST) -> Iterator[tuple[ast.AST, str]]:
    """Where `node` registers a hook, and with which function."""
    places: list[tuple[ast.AST, ast.expr]] = []
    if isinstance(node, ast.Call):
        places = [(node, node.func)]
    elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
        places = [(decorator, decorator) for decorator in node.decorator_list]
    names = {phase.value for phase in Phase}
    for place, function in places:
        match function:
            case ast.Name(id=name) | ast.Attribute(attr=name) if name in names:
                yield place, name
