"""Settings: defaults that need no file, a TOML file, and nothing else.

`load()` finds the file (`--config`, then `$THAWD_CONFIG`, then /etc/thawd/thawd.toml if there is one), checks it strictly
and returns a frozen `Config`. What is wrong is reported with the setting's full name and what would be accepted,
not only the first mistake. docs/configuration.md lists every setting; a test keeps it complete.
"""

from __future__ import annotations

import difflib
import ipaddress
import os
import stat
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import cattrs
from attrs import Attribute, Factory, field, fields, frozen, has
from cattrs.errors import (
    AttributeValidationNote,
    BaseValidationError,
    ClassValidationError,
    ForbiddenExtraKeysError,
    IterableValidationNote,
)
from cattrs.gen import make_dict_structure_fn

from .engines.registry import names as engine_names
from .errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

SYSTEM_FILE: Final = Path("/etc/thawd/thawd.toml")
SYSTEM_STATE_DIRECTORY: Final = Path("/var/lib/thawd")
SYSTEM_RUNTIME_DIRECTORY: Final = Path("/run/thawd")
SOCKET_NAME: Final = "thawd.sock"

SOCKET_PATH_LIMIT: Final = 107
"""Longest path of a Unix socket in bytes (unix(7): sun_path, less the closing zero)."""

RUNTIME_PATH_LIMIT: Final = 64
"""Longest runtime directory in bytes: each machine's sockets lie in a directory of their own below it."""

ENGINES: Final = ("auto", *engine_names())
LOG_LEVELS: Final = ("debug", "info", "warning", "error")
LOG_FORMATS: Final = ("auto", "console", "logfmt", "json", "journal")


class _Refused(ValueError):
    """A setting's value is not accepted. `setting` is its name in its table."""

    def __init__(self, setting: str, reason: str) -> None:
        super().__init__(f"{setting}: {reason}")
        self.setting = setting
        self.reason = reason


def _at_least(low: float) -> Callable[[Any, Attribute[Any], float], None]:
    def check(_: Any, attribute: Attribute[Any], value: float) -> None:
        if not value >= low:
            raise _Refused(attribute.name, f"{value!r} is too small. Accepted: {low:g} or more")

    return check


def _one_of(*accepted: str) -> Callable[[Any, Attribute[Any], str], None]:
    def check(_: Any, attribute: Attribute[Any], value: str) -> None:
        if value not in accepted:
            raise _Refused(
                attribute.name, f"{value!r} is not accepted. Accepted: {', '.join(accepted)}"
            )

    return check


@frozen
class UnixAddress:
    """A Unix socket to listen on."""

    path: Path

    def __str__(self) -> str:
        return f"unix:{self.path}"


@frozen
class TcpAddress:
    """A TCP address to listen on. `host` is a literal IP address; port 0 lets the kernel choose."""

    host: str
    port: int

    @property
    def loopback(self) -> bool:
        """Whether only this machine can reach the address."""
        return ipaddress.ip_address(self.host).is_loopback

    def __str__(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"tcp:{host}:{self.port}"


Address = UnixAddress | TcpAddress


def parse_address(text: str) -> Address:
    """Read `unix:/path`, a bare absolute path, `tcp:127.0.0.1:PORT` or `tcp:[::1]:PORT`. Raises `ValueError`."""
    if text.startswith("/"):
        return UnixAddress(Path(text))
    scheme, _, rest = text.partition(":")
    if scheme == "unix" and rest.startswith("/"):
        return UnixAddress(Path(rest))
    if scheme == "tcp":
        host, _, port = rest.rpartition(":")
        host = {"localhost": "127.0.0.1"}.get(host, host.removeprefix("[").removesuffix("]"))
        try:
            address = TcpAddress(str(ipaddress.ip_address(host)), int(port))
        except ValueError:
            pass
        else:
            if 0 <= address.port <= 65535:
                return address
    raise ValueError(
        f"{text!r} is not an address. Accepted: unix:/absolute/path, tcp:127.0.0.1:PORT, tcp:[::1]:PORT"
    )


@frozen(kw_only=True)
class PoolConfig:
    """How many machines are kept."""

    ready: int = field(default=1, validator=_at_least(0))
    """Restored machines each active version keeps ready, paused, before anyone asks. 0 restores on demand only."""

    idle_seconds: float = field(default=300.0, validator=_at_least(0))
    """How long a used machine stays paused for reuse, in seconds."""

    max_machines: int = field(default=64, validator=_at_least(1))
    """Most machines at one time, over all versions. Invocations above it are throttled (HTTP 429)."""

    publish_concurrency: int = field(
        factory=lambda: max(1, (os.cpu_count() or 1) // 2), validator=_at_least(1)
    )
    """Versions initialised and snapshotted at the same time; more wait in Pending."""


@frozen(kw_only=True)
class LimitsConfig:
    """Deadlines and sizes."""

    boot_deadline_s: float = field(default=120.0, validator=_at_least(1))
    """Kernel start to the agent's first frame, in seconds. An emulated CPU (TCG) on a busy machine needs tens."""

    restore_limit_s: float = field(default=10.0, validator=_at_least(0.1))
    """Restore to ready, after-restore hooks included, in seconds. Over: SnapStartTimeoutException."""

    log_retention_mib: int = field(default=64, validator=_at_least(1))
    """Log lines kept for each function, in MiB; the oldest go first."""


@frozen(kw_only=True)
class LogConfig:
    """The daemon's own log, on standard error."""

    level: str = field(default="info", validator=_one_of(*LOG_LEVELS))
    """Least severe event shown."""

    format: str = field(default="auto", validator=_one_of(*LOG_FORMATS))
    """`auto`: console on a terminal, journal under systemd, else logfmt."""


@frozen(kw_only=True)
class FunctionConfig:
    """What Lambda's API has no word for, of one function."""

    skip_fixers: tuple[str, ...] = ()
    """Fixers that its clones go without, by name; `*` is all of them. Holds for versions published from now on."""


def _memory_share_mib() -> int:
    """Half of the machine's memory in MiB: the rest is for the page cache, which serves every snapshot's pages."""
    return max(256, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2 // (1 << 20))


def _check_account(_: Any, attribute: Attribute[Any], value: str) -> None:
    if not (len(value) == 12 and value.isascii() and value.isdigit()):
        raise _Refused(attribute.name, f"{value!r} is not an account. Accepted: 12 digits")


def _check_region(_: Any, attribute: Attribute[Any], value: str) -> None:
    if not value or not all(c.isascii() and (c.isalnum() or c == "-") for c in value):
        raise _Refused(
            attribute.name, f"{value!r} is not a region. Accepted: a name such as us-east-1"
        )


def _check_runtime_directory(_: Any, attribute: Attribute[Any], value: Path) -> None:
    if len(os.fsencode(value)) > RUNTIME_PATH_LIMIT:
        raise _Refused(
            attribute.name,
            f"{value} is too long for the sockets below it. "
            f"Accepted: a path of at most {RUNTIME_PATH_LIMIT} bytes",
        )


@frozen(kw_only=True)
class Config:
    """All settings of the daemon, complete: nothing later reads the environment or a file."""

    state_directory: Path
    """Catalog, images, code and snapshots. Must be one file system, private to the daemon's user."""

    runtime_directory: Path = field(validator=_check_runtime_directory)
    """The daemon's socket and those of running machines. Short, private, empty after a restart."""

    images_directory: Path = field(
        default=Factory(lambda self: self.state_directory / "images", takes_self=True)
    )
    """Guest images."""

    listen: tuple[Address, ...] = field(
        default=Factory(
            lambda self: (UnixAddress(self.runtime_directory / SOCKET_NAME),), takes_self=True
        )
    )
    """Where the API is served. The Unix socket's file mode is who may use it."""

    allow_remote: bool = False
    """Accept TCP addresses other than loopback in `listen`. The API has no authentication: anyone who reaches it runs
    code here."""

    region: str = field(default="us-east-1", validator=_check_region)
    """The region functions are told they run in, also in their ARNs."""

    account_id: str = field(default="000000000000", validator=_check_account)
    """The account in ARNs."""

    engine: str = field(default="auto", validator=_one_of(*ENGINES))
    """What runs machines. `auto` boots a probe once: KVM when it works, else emulation (TCG)."""

    memory_budget_mib: int = field(factory=_memory_share_mib, validator=_at_least(64))
    """Memory all machines together may use, in MiB, as measured (PSS)."""

    vcpus: int = field(default=1, validator=_at_least(1))
    """Virtual processors of each machine. A snapshot has those that it was taken with."""

    pool: PoolConfig = field(factory=PoolConfig)
    limits: LimitsConfig = field(factory=LimitsConfig)
    log: LogConfig = field(factory=LogConfig)
    functions: dict[str, FunctionConfig] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        if not self.listen:
            raise _Refused("listen", "is empty. Accepted: at least one address")
        for address in self.listen:
            if isinstance(address, TcpAddress) and not (self.allow_remote or address.loopback):
                raise _Refused(
                    "listen",
                    f"{address} can be reached from other machines, and the API has no authentication. "
                    "Accepted: unix:/absolute/path, tcp:127.0.0.1:PORT; "
                    "or set allow_remote = true if a firewall stands before it",
                )
            if (
                isinstance(address, UnixAddress)
                and len(os.fsencode(address.path)) > SOCKET_PATH_LIMIT
            ):
                raise _Refused(
                    "listen",
                    f"{address.path} is too long. Accepted: a path of at most {SOCKET_PATH_LIMIT} bytes",
                )

    @property
    def socket(self) -> Path:
        """The Unix socket clients use: the first in `listen`, or the default place when only TCP is served."""
        for address in self.listen:
            if isinstance(address, UnixAddress):
                return address.path
        return self.runtime_directory / SOCKET_NAME

    def create_directories(self) -> None:
        """Make the state, image and runtime directories, mode 0700, where they do not exist.

        Raises `ConfigError` when one cannot be made, or exists but could be another user's: a directory in /tmp is a
        name anyone can take first.
        """
        for directory in (self.state_directory, self.images_directory, self.runtime_directory):
            _private_directory(directory)


def _private_directory(directory: Path) -> None:
    try:
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        owners = {
            directory.lstat().st_uid,
            directory.stat().st_uid,
        }  # of a link, and of what it names
        mode = stat.S_IMODE(directory.stat().st_mode)
    except OSError as error:
        raise ConfigError(
            f"{directory} cannot be created: {error.strerror or error}",
            hint="Choose another directory in the configuration, or start thawd as a user who may write there",
        ) from error
    strangers = owners - {os.geteuid(), 0}
    if strangers:
        raise ConfigError(
            f"{directory} belongs to another user (uid {strangers.pop()})",
            hint="Remove it, or configure a directory of your own",
        )
    if mode & stat.S_IWOTH:
        raise ConfigError(
            f"{directory} can be written by everyone",
            hint=f"Make it private: chmod 700 {directory}",
        )


# ---------------------------------------------------------------------------------------------------------------------
# Defaults


def default_state_directory(environ: Mapping[str, str]) -> Path:
    """Where state lies when no file says so: systemd's STATE_DIRECTORY, /var/lib/thawd for root, else XDG's place."""
    if given := environ.get("STATE_DIRECTORY"):
        return Path(given.split(":")[0])
    if os.geteuid() == 0:
        return SYSTEM_STATE_DIRECTORY
    if base := environ.get("XDG_STATE_HOME"):
        return Path(base) / "thawd"
    return Path(environ.get("HOME") or Path.home()) / ".local" / "state" / "thawd"


def default_runtime_directory(environ: Mapping[str, str]) -> Path:
    """Where sockets lie when no file says so: systemd's RUNTIME_DIRECTORY, /run/thawd for root, XDG's place, /tmp."""
    if given := environ.get("RUNTIME_DIRECTORY"):
        return Path(given.split(":")[0])
    if os.geteuid() == 0:
        return SYSTEM_RUNTIME_DIRECTORY
    if base := environ.get("XDG_RUNTIME_DIR"):
        return Path(base) / "thawd"
    return Path(f"/tmp/thawd-{os.geteuid()}")  # noqa: S108 - owner and mode are checked when it is made


# ---------------------------------------------------------------------------------------------------------------------
# The file


def load(path: Path | None, environ: Mapping[str, str]) -> Config:
    """Read the settings.

    Args:
        path: `--config`; then the file must exist. Without it `$THAWD_CONFIG` (must exist too), then
            /etc/thawd/thawd.toml if present, then defaults only.
        environ: the environment (`os.environ`).

    Raises:
        ConfigError: names the file, every setting that is wrong, and what is accepted.
    """
    if path is None and environ.get("THAWD_CONFIG"):
        path = Path(environ["THAWD_CONFIG"])
    if path is None:
        if not SYSTEM_FILE.exists():
            return from_mapping({}, environ)
        path = SYSTEM_FILE
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise ConfigError(
            f"There is no configuration file {path}",
            hint="Correct --config or $THAWD_CONFIG; no file is needed for the defaults",
        ) from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path} cannot be read: {error}") from error
    try:
        settings = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"{path} is not TOML: {error}") from error
    return from_mapping(settings, environ, source=path)


def from_mapping(
    settings: Mapping[str, Any], environ: Mapping[str, str], *, source: Path | None = None
) -> Config:
    """Check parsed TOML and fill in the defaults. Relative paths are taken from the folder of `source`.

    Raises `ConfigError` as `load` does.
    """
    base = source.parent if source else Path.cwd()
    complete = {
        "state_directory": str(default_state_directory(environ)),
        "runtime_directory": str(default_runtime_directory(environ)),
        **settings,
    }
    try:
        return _converter(base).structure(complete, Config)
    except ClassValidationError as error:
        problems = list(_problems(error, ()))
        where = source or "the configuration"
        listing = "".join(f"\n  {problem}" for problem in problems)
        raise ConfigError(
            f"{where} cannot be used:{listing}\nAll settings: docs/configuration.md"
        ) from error


_T = TypeVar("_T")


def _converter(base: Path) -> cattrs.Converter:
    """A converter that takes TOML's types as they are: no "5" for 5, no true for 1."""
    converter = cattrs.Converter(forbid_extra_keys=True)

    def exactly(kind: type[_T], name: str) -> Callable[[Any, Any], _T]:
        def structure(value: Any, _: Any) -> _T:
            if type(value) is not kind:
                raise TypeError(f"{value!r} is {_article(value)}. Accepted: {name}")
            return value

        return structure

    converter.register_structure_hook(bool, exactly(bool, "true or false"))
    converter.register_structure_hook(int, exactly(int, "a whole number"))
    converter.register_structure_hook(str, exactly(str, "a string"))

    def number(value: Any, _: Any) -> float:
        if type(value) not in {int, float}:
            raise TypeError(f"{value!r} is {_article(value)}. Accepted: a number")
        return float(value)

    def directory(value: Any, _: Any) -> Path:
        if not isinstance(value, str) or not value:
            raise TypeError(f"{value!r} is {_article(value)}. Accepted: a path")
        return base / Path(value).expanduser()

    def strings(value: Any, example: str) -> tuple[str, ...]:
        if not (isinstance(value, list) and all(isinstance(item, str) for item in value)):
            raise TypeError(f"{value!r} is not a list of strings. Accepted: {example}")
        return tuple(value)

    def addresses(value: Any, _: Any) -> tuple[Address, ...]:
        return tuple(parse_address(item) for item in strings(value, '["unix:/path", ...]'))

    def table(kind: Any, inner: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
        def structure(value: Any, _: Any) -> Any:
            if not isinstance(value, dict):
                raise TypeError(f"{value!r} is {_article(value)}. Accepted: a table")
            return inner(value, kind)

        return structure

    converter.register_structure_hook_factory(
        has,
        lambda kind: table(
            kind, make_dict_structure_fn(kind, converter, _cattrs_forbid_extra_keys=True)
        ),
    )
    converter.register_structure_hook(float, number)
    converter.register_structure_hook(Path, directory)
    converter.register_structure_hook_func(lambda t: t == tuple[Address, ...], addresses)
    converter.register_structure_hook_func(
        lambda t: t == tuple[str, ...], lambda value, _: strings(value, '["random", ...]')
    )
    # Last: it is made of what is registered by then.
    by_name = dict[str, FunctionConfig]
    converter.register_structure_hook_func(
        lambda t: t == by_name, table(by_name, converter.get_structure_hook(by_name))
    )
    return converter


def _article(value: object) -> str:
    names = {
        bool: "a boolean",
        int: "a whole number",
        float: "a number with a fraction",
        str: "a string",
        list: "a list",
        dict: "a table",
    }
    return names.get(type(value), f"a {type(value).__name__}")


def _problems(error: BaseValidationError, table: tuple[str, ...]) -> Iterator[str]:
    """One line for each thing that is wrong, settings named in full (`pool.ready`)."""
    for problem in error.exceptions:
        name = next(
            (
                note.name if isinstance(note, AttributeValidationNote) else str(note.index)
                for note in getattr(problem, "__notes__", ())
                if isinstance(note, AttributeValidationNote | IterableValidationNote)
            ),
            None,
        )
        if isinstance(problem, BaseValidationError):
            yield from _problems(problem, (*table, name) if name else table)
        elif isinstance(problem, ForbiddenExtraKeysError):
            known = [attribute.name for attribute in fields(problem.cl)]
            for extra in sorted(problem.extra_fields):
                near = difflib.get_close_matches(extra, known, n=1)
                advice = f"Did you mean {near[0]}?" if near else f"Accepted: {', '.join(known)}"
                yield f"{'.'.join((*table, extra))}: unknown setting. {advice}"
        elif isinstance(problem, _Refused):
            yield f"{'.'.join((*table, problem.setting))}: {problem.reason}"
        else:
            yield f"{'.'.join((*table, name or '?'))}: {problem}"
