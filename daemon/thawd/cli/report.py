"""What a stranger needs to help, in one file, and nothing that is nobody's business.

Taken from a list of what may be told, never from everything less what was thought of: no event, payload, log line,
environment variable or credential of a function, no name of one, no address. Paths lose the names of this machine and
its users.
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import socket
import sys
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import attrs
from attrs import frozen

from thawd import __version__
from thawd.config import TcpAddress
from thawd.errors import ThawError

from .client import Client
from .diagnosis import as_json

if TYPE_CHECKING:
    from collections.abc import Callable

    from thawd.config import Address, Config

    from .diagnosis import Finding, Host

_PACKAGES: Final = ("attrs", "cattrs", "h11", "httpx", "rich", "structlog", "trio")
_FOLDERS: Final = ("images", "code", "snapshots", "logs")
_TOLD_OF_IMAGES: Final = (
    "runtime", "digest", "kernel_version", "language_version", "packages", "size_bytes", "built_at",
)  # fmt: skip
_TOLD_OF_HEALTH: Final = ("status", "version", "runtimes", "engine", "engine_identity")
_UNTOLD_SETTINGS: Final = frozenset(
    {"listen", "allowed_hosts", "account_id", "region", "functions"}
)
_BY_FUNCTION: Final = frozenset({"pools"})
"""Statistics whose members' names are functions'."""
_HOMES: Final = re.compile(r"(/home/)[^/\s]+")
_NOBODYS: Final = frozenset(
    {"", "localhost", "root", "thawd", "nobody", "/", "/usr", "000000000000"}
)
"""Names that say nothing of whose machine this is."""


def report(host: Host, findings: list[Finding]) -> dict[str, Any]:
    """Everything, as JSON has it. What cannot be had is said in its place."""
    shape = {
        "report": "thaw doctor",
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": _versions(),
        "system": _system(host),
        "findings": as_json(findings),
        "settings": _or_reason(lambda: _settings(host.config)),
        "engine_probe": _or_reason(lambda: _probe(host.config)),
        "images": _or_reason(lambda: _images(host.config)),
        "disk": _or_reason(lambda: _disk(host.config)),
        "daemon": _or_reason(lambda: _daemon(host)),
    }
    scrubbed: dict[str, Any] = _Scrubber.of(host).scrub(shape)
    return scrubbed


def write(path: Path, shape: dict[str, Any]) -> None:
    """Write a report for its owner to read first. Raises `OSError`."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(json.dumps(shape, indent=1) + "\n")


def _or_reason(part: Callable[[], Any]) -> Any:
    """A part of the report, or why it is missing: a report of what is broken must come out of a broken machine."""
    try:
        return part()
    except ThawError as error:
        return {"missing": error.message}
    except Exception as error:  # noqa: BLE001 - one part is not the report
        return {"missing": f"{type(error).__name__}: {getattr(error, 'strerror', None) or ''}"}


def _versions() -> dict[str, str]:
    found = {"thawd": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "not installed"
    return found


def _system(host: Host) -> dict[str, Any]:
    release = re.search(r'^PRETTY_NAME="?([^"\n]*)', host.read("/etc/os-release"), re.MULTILINE)
    cpu = host.read("/proc/cpuinfo")
    model = re.search(r"^model name\s*:\s*(.*)$", cpu, re.MULTILINE)
    flags = re.search(r"^flags\s*:\s*(.*)$", cpu, re.MULTILINE)
    has = set(flags[1].split()) if flags else set()
    return {
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "kernel_build": platform.version(),
        "distribution": release[1] if release else "",
        "processors": os.cpu_count(),
        "processor": model[1] if model else "",
        "virtualisation": sorted(has & {"vmx", "svm", "hypervisor"}),
        "libc": " ".join(platform.libc_ver()),
        "memory": host.read("/proc/meminfo").splitlines()[:3],
    }


def _settings(config: Config) -> dict[str, Any]:
    told = attrs.asdict(config, filter=lambda attribute, _: attribute.name not in _UNTOLD_SETTINGS)
    plain: dict[str, Any] = json.loads(json.dumps(told, default=str))
    return {
        **plain,
        "listen": [_kind(address) for address in config.listen],
        "allowed_hosts": len(config.allowed_hosts),
        "functions": len(config.functions),
    }


def _kind(address: Address) -> str:
    if isinstance(address, TcpAddress):
        return "tcp, loopback" if address.loopback else "tcp"
    return "unix"


def _probe(config: Config) -> dict[str, Any]:
    record = json.loads((config.state_directory / "engine.json").read_text())
    return {
        "of": {name: record["key"].get(name) for name in ("engine", "image", "kernel")},
        "found": record["probe"],
    }


def _images(config: Config) -> list[dict[str, Any]]:
    from thawd.images.store import ImageStore  # noqa: PLC0415 - `thaw doctor --help` needs no store

    return [
        {name: getattr(image, name, None) for name in _TOLD_OF_IMAGES}
        for image in ImageStore(config.images_directory).list()
    ]


def _disk(config: Config) -> dict[str, Any]:
    state = config.state_directory
    there = next(path for path in (state, *state.parents) if path.exists())
    usage = shutil.disk_usage(there)
    return {
        "file_system": _file_system(there),
        "free_mib": usage.free >> 20,
        "total_mib": usage.total >> 20,
        "used_mib": {
            name: sum(_allocated(path) for path in (state / name).rglob("*")) >> 20
            for name in _FOLDERS
        },
    }


def _allocated(path: Path) -> int:
    try:
        return path.lstat().st_blocks * 512
    except OSError:
        return 0  # gone meanwhile


def _file_system(path: Path) -> str:
    """The type of the file system that a path is on."""
    best, kind = -1, ""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, mounted, found, *_ = line.split()
        if path.resolve().is_relative_to(mounted) and len(mounted) >= best:
            best, kind = len(mounted), found
    return kind


def _daemon(host: Host) -> dict[str, Any]:
    with Client(host.socket) as client:
        health = client.health()
        return {
            "health": {name: health[name] for name in _TOLD_OF_HEALTH if name in health},
            "statistics": _figures(client.statistics()),
            "log": client.recent_log(),
        }


def _figures(value: Any, *, named: bool = True) -> Any:
    """Numbers by name; without `named` the names are functions', and a number stands for each."""
    if isinstance(value, dict):
        return {
            name if named else f"#{number}": _figures(item, named=name not in _BY_FUNCTION)
            for number, (name, item) in enumerate(value.items(), 1)
        }
    if isinstance(value, list):
        return len(value)
    return value if value is None or isinstance(value, bool | int | float) else "(text)"


@frozen
class _Scrubber:
    """Takes the names of this machine, its users and its owners out of texts."""

    _replacements: tuple[tuple[re.Pattern[str], str], ...]

    @classmethod
    def of(cls, host: Host) -> _Scrubber:
        """For what a report of this host could name."""
        config = host.config
        environ = host.environ
        named = {
            str(host.socket): "<socket>",
            str(config.socket): "<socket>",
            str(config.images_directory): "<images_directory>",
            str(config.state_directory): "<state_directory>",
            str(config.runtime_directory): "<runtime_directory>",
            sys.prefix: "<python>",
            sys.base_prefix: "<base python>",
            str(Path.home()): "~",
            environ.get("HOME", ""): "~",
            socket.gethostname(): "<host>",
            socket.gethostname().partition(".")[0]: "<host>",
            **{environ.get(name, ""): "<user>" for name in ("USER", "LOGNAME", "SUDO_USER")},
            **dict.fromkeys(config.allowed_hosts, "<allowed host>"),
            **dict.fromkeys(config.functions, "<function>"),
            config.account_id: "<account>",
        }
        # The longest first: a folder in the home directory before the home directory.
        return cls(
            tuple(
                (re.compile(rf"(?<![\w-]){re.escape(name)}(?![\w-])"), stand_in)
                for name, stand_in in sorted(named.items(), key=lambda item: -len(item[0]))
                if name not in _NOBODYS
            )
        )

    def scrub(self, value: Any) -> Any:
        """A JSON value with every text in it scrubbed."""
        match value:
            case str():
                for pattern, stand_in in self._replacements:
                    value = pattern.sub(stand_in, value)
                return _HOMES.sub(r"\1<user>", value)
            case dict():
                return {name: self.scrub(item) for name, item in value.items()}
            case list() | tuple():
                return [self.scrub(item) for item in value]
        return value
