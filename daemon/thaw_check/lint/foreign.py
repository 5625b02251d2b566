"""Calls that leave the code under check: what a library's function makes, opens, starts, ends or keeps."""

from __future__ import annotations

import builtins
from typing import TYPE_CHECKING, Final

from . import catalogue
from .state import Arguments, Effect, Hook, Mode, Phase
from .values import (
    NONE,
    UNKNOWN,
    Bound,
    Function,
    Kind,
    Module,
    Origin,
    Thing,
    Value,
    const,
    contents,
    join,
)

if TYPE_CHECKING:
    from thaw_check.findings import Location

    from .state import Interpreter
    from .values import Origins

_OPENERS: Final = {"open": 1, "io.open": 1, "codecs.open": 1, "gzip.open": 1, "bz2.open": 1, "lzma.open": 1,
                   "pathlib.Path().open": 0, "os.fdopen": 1}  # fmt: skip
"""Which argument is the mode."""
_RANDOM_DEVICES: Final = frozenset({"/dev/urandom", "/dev/random", "/dev/hwrng"})
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
_HTTP: Final = frozenset({"requests", "httpx", "urllib3", "urllib", "aiohttp"})
"""Clients whose answers do not contain what they were sent."""
_TALKERS: Final = frozenset(
    {"boto3", "botocore", "subprocess", "logging", "print", "len", "isinstance", "issubclass", "bool", "callable",
     "hasattr", "id", "any", "all", "range", "warnings", "structlog"}
)  # fmt: skip
"""Modules and built-ins whose answers do not contain what they were given."""
_TELLING: Final = frozenset(
    {"debug", "info", "warning", "error", "exception", "critical", "log", "write", "flush"}
)
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
    if name == "<cache_clear>":
        if state.mode is Mode.RESTORE and owner is not None and isinstance(owner.ref, Function):
            owner.ref.cleared = True
        return UNKNOWN
    if name in catalogue.SEEDS:
        _seed_global(run, name, arguments, at)
        return UNKNOWN
    if holder is not None:
        handled = _method_of(run, holder, name, arguments, at)
        if handled is not None:
            return handled
    if name in catalogue.LOCKS:
        _effect(run, Effect(Origin(Kind.FILE, name, at), "a lock"))
    result = _made(run, name, method, arguments, at)
    if result is not None:
        if holder is not None and not result.origins and isinstance(result.ref, Thing):
            result.ref.owner = owner
        return result
    if name == "functools.partial" and arguments.positional:
        return arguments.positional[0].plus(arguments.origins())
    if name == "map" and arguments.positional:
        inner = tuple(Value(contents(value)) for value in arguments.positional[1:])
        return Value(
            ref=Thing(
                "list",
                attrs={"[*]": run.apply(arguments.positional[0], Arguments(inner), at, module)},
            )
        )
    return _passed_on(name, method, owner, arguments)


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
    run: Interpreter, holder: Thing, name: str, arguments: Arguments, at: Location
) -> Value | None:
    """A method of an object: None where nothing is known about it."""
    state = run.state
    parent, _, method = name.rpartition(".")
    if state.mode is Mode.RESTORE and method not in _TELLING:
        holder.handled = True
        if (
            method in {"clear", "update", "load", "reload", "refresh", "reset"}
            or method in catalogue.STORES
        ):
            holder.renewed.update(holder.attrs)
    if method in catalogue.ENDS and (holder.held or "(" in holder.type):
        # A method of an object, that is: `os.path.join` ends nothing.
        state.end(holder)
        return UNKNOWN
    if any(origin.kind in _GENERATORS for origin in holder.held):
        return _draw(run, holder, name, arguments, at)
    maker = parent.removesuffix("()")
    if method in catalogue.STARTS.get(maker, ()):
        _effect(run, Effect(Origin(Kind.BACKGROUND, f"{maker}.{method}", at), "", holder))
        return Value(ref=Thing(f"{parent}.{method}()"))
    if method in catalogue.CONNECTS.get(maker, ()):
        if state.mode is Mode.INIT:
            holder.held.add(Origin(Kind.CONNECTION, f"{maker}.{method}", at))
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
    if name in _OPENERS:
        return _opened(name, arguments, at)
    if name in _CONNECT_WITH_HOST and arguments:
        return Value(ref=Thing(f"{name}()", held={Origin(Kind.CONNECTION, name, at)}))
    kind = catalogue.SOURCES.get(name) or (catalogue.METHODS.get(method) if "." in name else None)
    if kind is None or _excused(run, name, kind, arguments):
        return None
    if kind is Kind.LOOKUP and const(arguments.keywords.get("WithDecryption", UNKNOWN)) is True:
        kind = Kind.SECRET
    origin = Origin(kind, name, at)
    if kind is Kind.BACKGROUND:
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
    return Value(frozenset({Origin(kind, f"os.environ[{variable!r}]", at)})) if kind else UNKNOWN


def _passed_on(name: str, method: str, owner: Value | None, arguments: Arguments) -> Value:
    """An unknown function: its result may be made of its arguments, and of the object it belongs to."""
    root = name.partition(".")[0].partition("(")[0]
    origins: Origins = NONE
    if root not in _TALKERS:
        origins = arguments.origins()
        if owner is not None:
            origins |= (
                owner.origins
                if isinstance(owner.ref, Thing) and "()" not in owner.ref.type
                else contents(owner)
            )
    if root in _HTTP:
        # Whoever shows this token is told the environment's credentials.
        origins = frozenset(o for o in origins if o.source == catalogue.CREDENTIALS_TOKEN)
    thing = Thing(f"{name}()")
    constructs = method[:1].isupper() or (name in catalogue.WRAPPERS)
    if constructs:
        for number, value in enumerate(arguments.all()):
            if isinstance(value.ref, Thing | Bound):
                thing.attrs[f"<{number}>"] = value
    for key in ("default_factory", "factory"):
        if key in arguments.keywords:
            thing.attrs["<factory>"] = arguments.keywords[key]
    return Value(origins, thing)


def is_builtin(name: str) -> bool:
    """Whether Python itself defines this name."""
    return hasattr(builtins, name)
