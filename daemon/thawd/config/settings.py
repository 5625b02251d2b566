"""Every setting, with its default and the values that are accepted."""

from __future__ import annotations

import ipaddress
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from attrs import Attribute, Factory, field, frozen

from thawd.engines.registry import names as engine_names

from .places import SOCKET_NAME, private_directory

if TYPE_CHECKING:
    from collections.abc import Callable

SOCKET_PATH_LIMIT: Final = 107
"""Longest path of a Unix socket in bytes (unix(7): sun_path, less the closing zero)."""

RUNTIME_PATH_LIMIT: Final = 64
"""Longest runtime directory in bytes: the path of a socket in it has a limit."""

ENGINES: Final = ("auto", *engine_names())
LOG_LEVELS: Final = ("debug", "info", "warning", "error")
LOG_FORMATS: Final = ("auto", "console", "logfmt", "json", "journal")


class Refused(ValueError):
    """A setting's value is not accepted. `setting` is its name in its table."""

    def __init__(self, setting: str, reason: str) -> None:
        super().__init__(f"{setting}: {reason}")
        self.setting = setting
        self.reason = reason


def _at_least(low: float) -> Callable[[Any, Attribute[Any], float], None]:
    def check(_: Any, attribute: Attribute[Any], value: float) -> None:
        if not value >= low:
            raise Refused(attribute.name, f"{value!r} is too small. Accepted: {low:g} or more")

    return check


def _one_of(*accepted: str) -> Callable[[Any, Attribute[Any], str], None]:
    def check(_: Any, attribute: Attribute[Any], value: str) -> None:
        if value not in accepted:
            raise Refused(
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
    """Restored, paused machines kept ready for each version in use, as far as there is room. 0: on demand only."""

    idle_seconds: float = field(default=300.0, validator=_at_least(0))
    """How long a used machine stays paused for reuse, and a ready one after the last invocation, in seconds."""

    max_machines: int = field(default=64, validator=_at_least(1))
    """Most machines at one time, of every kind. Invocations that find none for 30 s are throttled (HTTP 429)."""

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

    drain_seconds: float = field(default=10.0, validator=_at_least(0))
    """Requests and invocations may go on this long when the daemon is told to stop, in seconds."""

    log_retention_mib: int = field(default=64, validator=_at_least(1))
    """Log lines kept for each function, and for all deleted functions together, in MiB; the oldest go first."""


@frozen(kw_only=True)
class LogConfig:
    """The daemon's own log, on standard error."""

    level: str = field(default="info", validator=_one_of(*LOG_LEVELS))
    """Least severe event shown."""

    format: str = field(default="auto", validator=_one_of(*LOG_FORMATS))
    """`auto`: console on a terminal, journal under systemd, else logfmt."""


@frozen(kw_only=True)
class FunctionConfig:
    """Settings of one function that Lambda's API does not have."""

    skip_fixers: tuple[str, ...] = ()
    """Fixers that its clones go without, by name; `*` is all of them. Holds for versions published from now on."""


def _memory_share_mib() -> int:
    """Half of the machine's memory in MiB: the rest is for the page cache, which serves every snapshot's pages."""
    return max(256, os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2 // (1 << 20))


def _check_account(_: Any, attribute: Attribute[Any], value: str) -> None:
    if not (len(value) == 12 and value.isascii() and value.isdigit()):
        raise Refused(attribute.name, f"{value!r} is not an account. Accepted: 12 digits")


def _check_hosts(_: Any, attribute: Attribute[Any], value: tuple[str, ...]) -> None:
    for host in value:
        if not host or any(not (c.isascii() and (c.isalnum() or c in "-._")) for c in host):
            raise Refused(
                attribute.name,
                f"{host!r} is not a host. Accepted: a name or an IPv4 address, such as lambda.example.org",
            )


def _check_region(_: Any, attribute: Attribute[Any], value: str) -> None:
    if not value or not all(c.isascii() and (c.isalnum() or c == "-") for c in value):
        raise Refused(
            attribute.name, f"{value!r} is not a region. Accepted: a name such as us-east-1"
        )


def _check_runtime_directory(_: Any, attribute: Attribute[Any], value: Path) -> None:
    if len(os.fsencode(value)) > RUNTIME_PATH_LIMIT:
        raise Refused(
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
    """The daemon's socket and records of running machines. Short, private, empty after a restart."""

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

    allowed_hosts: tuple[str, ...] = field(default=(), validator=_check_hosts)
    """Further host names by which clients on TCP call this machine, and hosts whose web pages may use the API."""

    region: str = field(default="us-east-1", validator=_check_region)
    """The region functions are told they run in, also in their ARNs."""

    account_id: str = field(default="000000000000", validator=_check_account)
    """The account in ARNs."""

    engine: str = field(default="auto", validator=_one_of(*ENGINES))
    """The engine that runs machines. `auto` boots a probe once: KVM when it works, else emulation (TCG)."""

    memory_budget_mib: int = field(factory=_memory_share_mib, validator=_at_least(64))
    """Memory that all machines may have for themselves, in MiB, as measured (`Private_Dirty`)."""

    vcpus: int = field(default=1, validator=_at_least(1))
    """Virtual processors of each machine. A snapshot has those that it was taken with."""

    pool: PoolConfig = field(factory=PoolConfig)
    limits: LimitsConfig = field(factory=LimitsConfig)
    log: LogConfig = field(factory=LogConfig)
    functions: dict[str, FunctionConfig] = field(factory=dict)

    def __attrs_post_init__(self) -> None:
        if not self.listen:
            raise Refused("listen", "is empty. Accepted: at least one address")
        for address in self.listen:
            if isinstance(address, TcpAddress) and not (self.allow_remote or address.loopback):
                raise Refused(
                    "listen",
                    f"{address} can be reached from other machines, and the API has no authentication. "
                    "Accepted: unix:/absolute/path, tcp:127.0.0.1:PORT; "
                    "or set allow_remote = true if a firewall stands before it",
                )
            if (
                isinstance(address, UnixAddress)
                and len(os.fsencode(address.path)) > SOCKET_PATH_LIMIT
            ):
                raise Refused(
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
            private_directory(directory)
