"""Calls that leave the code under check: what a library's function makes, opens, starts, ends or keeps."""

from __future__ import annotations

import builtins
import sys
from typing import TYPE_CHECKING, Final

from . import catalogue, containers, fetches
from .state import Arguments, Effect, Hook, Mode, Phase
from .values import (
    NAMESPACE,
    NONE,
    PARTIAL,
    UNKNOWN,
    Bound,
    Class,
    Function,
    Kind,
    Module,
    Origin,
    Thing,
    Value,
    const,
    contents,
    iterated,
    join,
    key_of,
    listed,
    text_of,
    variables,
    worded,
)

if TYPE_CHECKING:
    from thaw_check.findings import Location

    from .state import Interpreter
    from .values import Origins

_OPENERS: Final = {"open": 1, "io.open": 1, "codecs.open": 1, "gzip.open": 1, "bz2.open": 1, "lzma.open": 1,
                   "pathlib.Path().open": 0, "os.fdopen": 1}  # fmt: skip
"""Which argument is the mode."""
_RANDOM_DEVICES: Final = frozenset({"/dev/urandom", "/dev/random", "/dev/hwrng"})
_FILES_OF_KERNEL: Final = {
    **dict.fromkeys(_RANDOM_DEVICES, Kind.ENTROPY),
    "/proc/sys/kernel/random/uuid": Kind.UNIQUE,
    "/proc/sys/kernel/random/boot_id": Kind.IDENTITY,
    "/proc/sys/kernel/hostname": Kind.IDENTITY,
    "/etc/hostname": Kind.IDENTITY,
    "/etc/machine-id": Kind.IDENTITY,
}
"""What reading a file gives that is another in each environment."""
_CONNECT_WITH_HOST: Final = frozenset(
    {
        "smtplib.SMTP",
        "smtplib.SMTP_SSL",
        "ftplib.FTP",
        "imaplib.IMAP4",
        "imaplib.IMAP4_SSL",
        "poplib.POP3",
    }
)
_TALKERS: Final = frozenset(
    {"boto3", "botocore", "subprocess", "logging", "print", "len", "isinstance", "issubclass", "bool", "callable",
     "hasattr", "id", "any", "all", "range", "warnings", "structlog"}
)  # fmt: skip
"""Modules and built-ins whose answers do not contain what they were given."""
_TELLING: Final = frozenset(
    {"debug", "info", "warning", "error", "exception", "critical", "log", "write", "flush"}
)
_JOINING: Final = frozenset({"urllib.parse.urljoin", "os.path.join", "posixpath.join"})
_PARTIALS: Final = frozenset({"functools.partial", "functools.partialmethod"})
_IN_THREADS: Final = frozenset({"to_thread", "run_sync", "run_in_executor"})
"""Runners that take a function and never an awaitable."""
_STALE: Final = frozenset(
    {Kind.UNIQUE, Kind.ENTROPY, Kind.KEY, Kind.NUMBER, Kind.TIME, Kind.IDENTITY}
)
_GENERATORS: Final = frozenset({Kind.GENERATOR, Kind.STALE_SEED, Kind.FIXED_SEED})
_CLIENTS: Final = frozenset({"boto3.client", "boto3.resource", "boto3.Session().client", "boto3.session.Session().client",
                             "boto3.Session().resource", "boto3.session.Session().resource"})  # fmt: skip


def call(
    run: Interpreter, thing: Thing, arguments: Arguments, at: Location, module: Module
) -> Value:
    """The result of calling `thing`, whose name alone is known."""
    name, owner = thing.type, thing.owner
    method = name.rpartition(".")[2]
    holder = owner.ref if owner is not None and isinstance(owner.ref, Thing) else None
    state = run.state

    if method in {Phase.BEFORE.value, Phase.AFTER.value}:
        return register(run, Phase(method), arguments, at, module)
    if name.startswith("<") and not name.startswith(NAMESPACE):
        # `f.cache_clear()`, `f.cache.clear()`
        cached = holder.owner.ref if holder is not None and holder.owner else owner and owner.ref
        if isinstance(cached, Function) and state.mode is Mode.RESTORE and name != "<cache_info>":
            cached.cleared = True
        return UNKNOWN
    if name.startswith("str.") or name in _JOINING:
        given = [*([owner] if owner is not None else []), *arguments.all()]
        texts = [text_of(each) for value in given for each in (*iterated(value), value)]
        return worded("".join(texts), frozenset().union(*(contents(each) for each in given)))
    if name == PARTIAL:
        return _partially(run, thing, arguments, at, module)
    first = arguments.first()
    if method == "__new__" and first is not None and isinstance(first.ref, Class):
        return Value(ref=Thing(f"{first.ref.module.name}.{first.ref.name}()", cls=first.ref))
    if name in {"importlib.import_module", "importlib.reload"}:
        return _module(run, arguments, module)
    if name in catalogue.SEEDS:
        _seed_global(run, name, arguments, at)
        return UNKNOWN
    if name in catalogue.REAPED:
        state.effects = [
            e for e in state.effects if not e.origin.source.startswith(("os.", "pty."))
        ]
    if name in catalogue.RUNNERS or (holder is not None and method in catalogue.RUNNER_METHODS):
        return _ran(run, method, arguments, at, module)
    if state.mode is Mode.RESTORE:
        _call_back(run, name, arguments, at, module)
    for other in owner.others if owner is not None and state.mode is Mode.RESTORE else ():
        if isinstance(other, Thing):
            other.handled |= method not in _TELLING
    found = containers.method(state, holder, method, arguments) if holder is not None else None
    if found is not None and owner is not None:
        return found.plus(owner.origins)
    if holder is not None:
        handled = _method_of(run, holder, name, arguments, at=at, module=module)
        if handled is not None:
            return handled
    if method in catalogue.THROUGH_ENGINES:
        _use_engines(run, holder, arguments, name, at)
    if name in catalogue.LOCKS:
        _effect(run, Effect(Origin(Kind.FILE, name, at), "a lock"))
    result = _made(run, name, method, arguments, at)
    if result is not None:
        if holder is not None and not result.origins and isinstance(result.ref, Thing):
            result.ref.owner = owner
        return result
    if name in _PARTIALS and arguments.positional:
        attrs = {f"<{number}>": value for number, value in enumerate(arguments.positional)}
        return Value(ref=Thing(PARTIAL, attrs=attrs | arguments.keywords))
    if method == "map" and len(arguments.positional) > 1:
        function, *columns = arguments.positional
        rows = zip(*(iterated(each) or [UNKNOWN] for each in columns), strict=False)
        results = [run.apply(function, Arguments(row), at, module) for row in rows]
        if name == "map" or holder is not None:
            return listed(results, frozenset().union(*(each.origins for each in columns)))
    if method == "submit" and holder is not None and arguments.positional:
        rest = Arguments(arguments.positional[1:], arguments.keywords)
        result = run.apply(arguments.positional[0], rest, at, module)
        return Value(result.origins, Thing(f"{name}()", attrs={"<result>": result}))
    if holder is not None and method in {"read", "readline", "read_text", "read_bytes"}:
        path = text_of(holder.attrs.get("<file>", UNKNOWN))
        if path:
            return Value(frozenset({Origin(_FILES_OF_KERNEL[path], path, at)}))
    container = containers.made(name, arguments)
    if container is not None:
        return container
    if name == "pathlib.Path" and const(arguments.first() or UNKNOWN) in _FILES_OF_KERNEL:
        return Value(ref=Thing("pathlib.Path()", attrs={"<file>": arguments.positional[0]}))
    return _passed_on(thing, method, arguments)


def _call_back(
    run: Interpreter, name: str, arguments: Arguments, at: Location, module: Module
) -> None:
    """Whoever is given a function in a hook, a pool or a loop, will call it."""
    for number, value in enumerate(arguments.positional):
        if not isinstance(value.ref, Function | Bound):
            continue
        rest = arguments.positional[number + 1 :]
        if not name.endswith(".map"):
            run.apply(value, Arguments(rest), at, module)
            continue
        for row in zip(*(iterated(each) for each in rest), strict=False):
            run.apply(value, Arguments(row), at, module)


def _partially(
    run: Interpreter, thing: Thing, arguments: Arguments, at: Location, module: Module
) -> Value:
    """A call of what `functools.partial` made."""
    given = [value for name, value in thing.attrs.items() if name.startswith("<")]
    named = {name: value for name, value in thing.attrs.items() if not name.startswith("<")}
    all_ = Arguments(
        (*given[1:], *arguments.positional), named | arguments.keywords, arguments.rest
    )
    return run.apply(given[0], all_, at, module)


def _module(run: Interpreter, arguments: Arguments, module: Module) -> Value:
    first = arguments.first() or UNKNOWN
    if isinstance(first.ref, Module):  # reload
        if run.state.mode is Mode.RESTORE:
            first.ref.renewed.update(first.ref.env)
        return first
    name = const(first)
    return run.module_named(name, module) if isinstance(name, str) else UNKNOWN


def _ran(
    run: Interpreter, method: str, arguments: Arguments, at: Location, module: Module
) -> Value:
    """What an awaitable or a function gives, when an event loop or a thread runs it."""
    given = arguments.positional[1:] if method == "run_in_executor" else arguments.positional
    if not given:
        return UNKNOWN
    first, *rest = given
    called = isinstance(first.ref, Function | Bound) or _is_partial(first)
    if not called and method not in _IN_THREADS:
        return first
    if method in {"async_to_sync", "sync_to_async"}:
        return first
    return run.apply(first, Arguments(tuple(rest)), at, module)


def _is_partial(value: Value) -> bool:
    return isinstance(value.ref, Thing) and value.ref.type == PARTIAL


def _use_engines(
    run: Interpreter, holder: Thing | None, arguments: Arguments, name: str, at: Location
) -> None:
    """What is given a database engine connects through it, and the engine keeps the connection."""
    waiting = [value.ref for value in arguments.all()]
    waiting += (
        [holder]
        if holder is not None and holder.type.startswith(("sqlalchemy", "sqlmodel"))
        else []
    )
    for _ in range(10):
        ref = waiting.pop() if waiting else None
        if not isinstance(ref, Thing):
            continue
        if ref.type.removesuffix("()") in catalogue.ENGINES and run.state.mode is Mode.INIT:
            ref.held.add(Origin(Kind.CONNECTION, name, at))
        waiting += [
            value.ref for key, value in ref.attrs.items() if key.startswith("<") or key == "bind"
        ]


def register(
    run: Interpreter, phase: Phase, arguments: Arguments, at: Location, module: Module
) -> Value:
    """`register_after_restore(function, *arguments)`, also as a decorator (snapshot_restore_py 1.0)."""
    function = arguments.first() or arguments.keywords.get("func") or UNKNOWN
    rest = Arguments(
        arguments.positional[1:],
        {key: value for key, value in arguments.keywords.items() if key != "func"},
        arguments.rest,
    )
    if run.state.mode is Mode.INIT:
        run.state.hooks.append(Hook(phase, function, rest, module, at))
    return function


def _effect(run: Interpreter, effect: Effect) -> None:
    if run.state.mode is Mode.INIT:
        run.state.effects.append(effect)


def _seed_global(run: Interpreter, name: str, arguments: Arguments, at: Location) -> None:
    family = catalogue.SEEDS[name]
    state = run.state
    if state.mode is Mode.RESTORE:
        state.reseeded.add(family)
        return
    kind = seeded_with(arguments)
    if kind is None:
        return
    if kind is Kind.FIXED_SEED and state.mode is Mode.INIT:
        state.fixed.add(family)
    _effect(run, Effect(Origin(kind, name, at), f"the global generator of {family}", family=family))


def seeded_with(arguments: Arguments) -> Kind | None:
    """What the seed makes of a generator: GENERATOR without one, None if nobody can tell."""
    values = [*arguments.positional, *arguments.keywords.values()]
    if arguments.rest != UNKNOWN:
        values.append(arguments.rest)
    if not values:
        return Kind.GENERATOR
    if any(origin.kind in _STALE for origin in arguments.origins()):
        return Kind.STALE_SEED
    constants = [const(value) for value in values]
    if all(constant is None for constant in constants):
        return Kind.GENERATOR
    if all(constant is not ... for constant in constants):
        return Kind.FIXED_SEED
    return None


def _method_of(
    run: Interpreter,
    holder: Thing,
    name: str,
    arguments: Arguments,
    *,
    at: Location,
    module: Module,
) -> Value | None:
    """A method of an object: None where nothing is known about it."""
    state = run.state
    parent, _, method = name.rpartition(".")
    if holder.type == NAMESPACE:
        return _of_namespace(run, holder, method, arguments, at=at, module=module)
    if state.mode is Mode.RESTORE and method not in _TELLING:
        holder.handled = True
        if (
            method in {"clear", "update", "load", "reload", "refresh", "reset"}
            or method in catalogue.STORES
        ):
            holder.renewed.update(holder.attrs)
    maker = parent.removesuffix("()")
    ended = method in catalogue.ENDS or (
        method in catalogue.WAITED_FOR and catalogue.SOURCES.get(maker) is Kind.PROCESS
    )
    if ended and (holder.held or "(" in holder.type):
        # A method of an object, that is: `os.path.join` ends nothing.
        state.end(holder)
        return UNKNOWN
    if any(origin.kind in _GENERATORS for origin in holder.held):
        return _draw(run, holder, name, arguments, at)
    if method in catalogue.STARTS.get(maker, ()):
        kind = Kind.PROCESS if maker.startswith(catalogue.PROCESSES) else Kind.BACKGROUND
        _effect(run, Effect(Origin(kind, f"{maker}.{method}", at), "", holder))
        if method in {"submit", "map"}:
            return None  # what it gives is what its function does
        return Value(ref=Thing(f"{parent}.{method}()"))
    client = _connecting(holder, method)
    if client is not None:
        if state.mode is Mode.INIT:
            client.held.add(Origin(Kind.CONNECTION, f"{maker}.{method}", at))
        elif state.mode is Mode.RESTORE:
            client.handled = True
        return Value(ref=Thing(f"{parent}.{method}()", owner=Value(ref=holder)))
    if maker in catalogue.LOCK_OBJECTS and method == "acquire":
        holder.held.add(Origin(Kind.FILE, f"{maker}.acquire", at))
        return UNKNOWN
    if method in catalogue.PARTS_OF_CONNECTION and any(
        origin.kind is Kind.CONNECTION for origin in holder.held
    ):
        return Value(ref=Thing(f"{parent}.{method}()", attrs={"<of>": Value(ref=holder)}))
    if method == "addHandler":  # the logger is found again by its name, whoever holds it
        for value in arguments.positional:
            if isinstance(value.ref, Thing):
                for origin in value.ref.held:
                    _effect(run, Effect(origin, "", value.ref))
    if method in catalogue.STORES or method.startswith(("set_", "add_", "register_")):
        store(run, holder, arguments)
    return None


def _of_namespace(
    run: Interpreter,
    holder: Thing,
    method: str,
    arguments: Arguments,
    *,
    at: Location,
    module: Module,
) -> Value:
    """A method of `vars(x)`."""
    owner = holder.owner or UNKNOWN
    first = arguments.first()
    match method:
        case "update" | "setdefault":
            given = dict(arguments.keywords)
            if first is not None and isinstance(first.ref, Thing):
                given |= {key_of(slot): value for slot, value in first.ref.attrs.items()}
            for name, value in given.items():
                run.store_attribute(owner, name, value, at, module)
        case "pop" if first is not None:
            run.forget_attribute(owner, str(const(first)))
        case "clear":
            for name in list(owner.ref.attrs) if isinstance(owner.ref, Thing) else ():
                run.forget_attribute(owner, name)
        case "get" if first is not None:
            return variables(owner).get(str(const(first)), UNKNOWN)
    return UNKNOWN


def _connecting(holder: Thing, method: str) -> Thing | None:
    """The client that a method of `holder` connects to its server, if it does."""
    maker = holder.type.removesuffix("()")
    if method in catalogue.CONNECTS.get(maker, ()):
        return holder
    if maker in catalogue.AT_ANY_COMMAND and holder.type.endswith("()"):
        known = method in catalogue.QUIET or method in catalogue.ENDS or method.startswith("_")
        return None if known else holder
    client: Thing | None = holder
    for _ in range(5):
        if client is None or method in catalogue.BENEATH.get(client.type.removesuffix("()"), ()):
            return client
        owner = client.owner
        client = owner.ref if owner is not None and isinstance(owner.ref, Thing) else None
    return None


def _draw(
    run: Interpreter, holder: Thing, name: str, arguments: Arguments, at: Location
) -> Value | None:
    """A method of a generator."""
    parent, _, method = name.rpartition(".")
    fixed = all(origin.kind is Kind.FIXED_SEED for origin in holder.held)
    if method in {"seed", "manual_seed", "seed_instance"}:
        kind = seeded_with(arguments)
        if run.state.mode is Mode.INIT:
            holder.held.clear()
            if kind is not None:
                holder.held.add(Origin(kind, f"{parent.removesuffix('()')}.{method}", at))
        return UNKNOWN
    if method in catalogue.GENERATOR_FAMILY:
        return Value(ref=Thing(parent, held={Origin(o.kind, o.source, at) for o in holder.held}))
    if fixed:
        return UNKNOWN
    return Value(
        frozenset({Origin(Kind.NUMBER, f"{parent.removesuffix('()')}.{method}", at)}),
        Thing("drawn()"),
    )


def store(run: Interpreter, holder: Thing, arguments: Arguments) -> None:
    """`holder` keeps what it is given."""
    if run.state.mode is not Mode.INIT:
        return
    for key, value in arguments.keywords.items():
        _add(holder, f"[{key!r}]", value)
    for value in (*arguments.positional, arguments.rest):
        if isinstance(value.ref, Thing) and value.ref.type == "dict":
            for key, element in value.ref.attrs.items():
                _add(holder, key, element)
        else:
            _add(holder, "[*]", value)


def _add(holder: Thing, key: str, value: Value) -> None:
    if value.origins or isinstance(value.ref, Thing):
        old = holder.attrs.get(key)
        holder.attrs[key] = join([old, value]) if old is not None else value


def _made(
    run: Interpreter, name: str, method: str, arguments: Arguments, at: Location
) -> Value | None:
    """What a catalogued call makes, or None."""
    if name in _CLIENTS or (method in {"client", "resource"} and ".Session(" in name):
        service = const(arguments.first() or arguments.keywords.get("service_name") or UNKNOWN)
        kept = frozenset(o for o in arguments.origins() if o.kind is Kind.SECRET)
        return Value(kept, Thing(f"boto3.client({service if isinstance(service, str) else '?'})"))
    if name in catalogue.GENERATORS:
        return _generator(name, arguments, at)
    if name in {"os.environ.get", "os.getenv"}:
        return environment(const(arguments.first() or UNKNOWN), at)
    fetched = fetches.answer(name, arguments, at)
    if fetched is not None:
        return fetched
    if name in _OPENERS:
        return _opened(name, arguments, at)
    if name in _CONNECT_WITH_HOST and arguments:
        return Value(ref=Thing(f"{name}()", held={Origin(Kind.CONNECTION, name, at)}))
    if name in catalogue.SHELLS and text_of(arguments.first() or UNKNOWN).rstrip().endswith("&"):
        _effect(run, Effect(Origin(Kind.PROCESS, name, at), ""))
        return UNKNOWN
    kind = catalogue.SOURCES.get(name) or (catalogue.METHODS.get(method) if "." in name else None)
    if kind is None or _excused(run, name, kind, arguments):
        return None
    decrypts = [arguments.keywords.get(key, UNKNOWN) for key in ("WithDecryption", "decrypt")]
    if kind is Kind.LOOKUP and any(const(each) is True for each in decrypts):
        kind = Kind.SECRET
    origin = Origin(kind, name, at)
    if kind in {Kind.BACKGROUND, Kind.PROCESS}:
        thing = Thing(f"{name}()")
        _effect(run, Effect(origin, "", thing))
        return Value(ref=thing)
    if kind in {Kind.CONNECTION, Kind.FILE}:
        secrets = frozenset(o for o in arguments.origins() if o.kind is Kind.SECRET)
        return Value(secrets, Thing(f"{name}()", held={origin}))
    return Value(frozenset({origin}), Thing(f"{name}()"))


def _excused(run: Interpreter, name: str, kind: Kind, arguments: Arguments) -> bool:
    given = len(arguments.positional)
    match name:
        case "time.strftime":
            return given > 1
        case "time.asctime" | "time.ctime" | "time.localtime" | "time.gmtime":
            return given > 0 and const(arguments.positional[0]) is not None
        case "sqlite3.connect":
            return const(arguments.first() or UNKNOWN) in {":memory:", ""}
        case "psycopg_pool.ConnectionPool":
            return const(arguments.keywords.get("open", UNKNOWN)) is False
        case "ldap3.Connection":
            return const(arguments.keywords.get("auto_bind", UNKNOWN)) in {..., False}
        case "random.choice" | "random.shuffle" | "random.sample" | "random.choices":
            pass
        case "signal.alarm" | "signal.setitimer":
            return 0 in [const(value) for value in arguments.positional]
    if name.startswith("os.spawn"):
        mode = (arguments.first() or UNKNOWN).ref
        return isinstance(mode, Thing) and mode.type == "os.P_WAIT"
    if name.startswith("logging."):
        return const(arguments.keywords.get("delay", UNKNOWN)) is True
    if name in catalogue.ONLY_WITHOUT_ARGUMENTS and given:
        return True
    return kind is Kind.NUMBER and name.rpartition(".")[0] in run.state.fixed


def _generator(name: str, arguments: Arguments, at: Location) -> Value:
    thing = Thing(f"{name}()")
    inherited = [
        origin
        for value in arguments.all()
        if isinstance(value.ref, Thing)
        for origin in value.ref.held
        if origin.kind in _GENERATORS
    ]
    if inherited:
        thing.held.update(inherited)
    else:
        kind = seeded_with(arguments) if name != "faker.Faker" else Kind.GENERATOR
        if kind is not None:
            thing.held.add(Origin(kind, name, at))
    return Value(ref=thing)


def _opened(name: str, arguments: Arguments, at: Location) -> Value:
    position = _OPENERS[name]
    mode = const(
        arguments.keywords.get("mode")
        or (arguments.positional[position] if len(arguments.positional) > position else UNKNOWN)
    )
    device = const(arguments.first() or UNKNOWN) in _RANDOM_DEVICES
    writes = isinstance(mode, str) and bool(set(mode) & set("wax+"))
    thing = Thing(f"{name}()")
    if const(arguments.first() or UNKNOWN) in _FILES_OF_KERNEL:
        thing.attrs["<file>"] = arguments.positional[0]
    if writes or device:
        thing.held.add(Origin(Kind.FILE, name, at))
    return Value(ref=thing)


def environment(variable: object, at: Location) -> Value:
    """The value of an environment variable."""
    kind = None
    if variable in catalogue.IDENTITY_VARIABLES:
        kind = Kind.IDENTITY
    elif variable in catalogue.SECRET_VARIABLES:
        kind = Kind.SECRET
    if kind is None:
        return worded(str(variable)) if isinstance(variable, str) else UNKNOWN
    return Value(frozenset({Origin(kind, f"os.environ[{variable!r}]", at)}))


def _passed_on(thing: Thing, method: str, arguments: Arguments) -> Value:
    """An unknown function: its result may be made of its arguments, and of the object it belongs to.

    What Python's own functions give is computed from what they are given. A library's may hold on to the objects
    themselves (an adapter its application), so that what is renewed in those is renewed in it.
    """
    name, owner = thing.type, thing.owner
    root = name.partition(".")[0].partition("(")[0]
    own = is_builtin(root) or root in sys.stdlib_module_names
    made = Thing(f"{name}()")
    origins: Origins = NONE
    if root in fetches.LIBRARIES:
        origins = fetches.came_with(arguments.origins() | (contents(owner) if owner else NONE))
    elif root in _TALKERS:
        if (
            owner is not None
            and isinstance(owner.ref, Thing)
            and owner.ref.type.endswith(("[]", "()"))
        ):
            origins |= owner.origins  # of an answer, not of the client
    else:
        for number, value in enumerate(arguments.all()):
            origins |= contents(value) if own else _computed(value, made, f"<{number}>")
        if owner is not None and not (isinstance(owner.ref, Thing) and "()" not in owner.ref.type):
            origins |= contents(owner) if own else _computed(owner, made, "<self>")
        elif owner is not None:
            origins |= owner.origins
    constructs = method[:1].isupper() or (name in catalogue.WRAPPERS)
    if constructs:
        for number, value in enumerate(arguments.all()):
            if any(isinstance(ref, Thing | Bound) for ref in value.refs()):
                made.attrs[f"<{number}>"] = value
    if name.endswith("()"):
        made.attrs["<self>"] = Value(ref=thing)  # what made this makes others: sessionmaker()()
    for key in ("default_factory", "factory"):
        if key in arguments.keywords:
            made.attrs["<factory>"] = arguments.keywords[key]
    return Value(origins, made)


def _computed(value: Value, holder: Thing, name: str) -> Origins:
    """What is in `value` itself or in plain containers; objects that hold more are kept by `holder`."""
    origins = value.origins
    for ref in value.refs():
        if not isinstance(ref, Thing) or not contents(Value(ref=ref)):
            continue
        if containers.is_container(ref):
            for slot, element in list(ref.attrs.items())[:50]:
                origins |= _computed(element, holder, f"{name}{slot}")
        else:
            holder.attrs[name] = Value(ref=ref)
    return origins


def is_builtin(name: str) -> bool:
    """Whether Python itself defines this name."""
    return hasattr(builtins, name)
