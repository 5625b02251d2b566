"""Whether a machine can run thawd: one function a finding, each with the way out."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from attrs import define, field, frozen

from thawd import __version__
from thawd.errors import DaemonUnreachable, EngineError

from .client import Client, DaemonRefused, SocketForbidden

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from thawd.config import Config
    from thawd.engines.probe import Probe
    from thawd.images.store import Image

OLDEST_QEMU: Final = (7, 2)
"""Debian 12's: the oldest the snapshot recipe (x-ignore-shared) was tested with."""

IMAGE_BUILD_MIB: Final = 2048
"""Disk space a build takes at its height, packages and intermediate trees included."""

TOOL_TIMEOUT_S: Final = 10

_EMULATION: Final = "thawd works by emulation, 20 to 50 times slower"
_NO_KVM: Final = (
    "Nested virtualisation may be off or emulated by the host; engine = qemu-tcg ends the probing"
)


class Status(StrEnum):
    """How bad a finding is. Only `fail` stops thawd from working."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@frozen
class Finding:
    """One line of `thaw doctor`: what, how it is, and what to do about it."""

    topic: str
    status: Status
    detail: str
    hint: str = ""


def ok(topic: str, detail: str) -> Finding:
    """Nothing to do."""
    return Finding(topic, Status.OK, detail)


def warn(topic: str, detail: str, hint: str) -> Finding:
    """It works, but less well."""
    return Finding(topic, Status.WARN, detail, hint)


def fail(topic: str, detail: str, hint: str) -> Finding:
    """It does not work."""
    return Finding(topic, Status.FAIL, detail, hint)


@define
class Host:
    """The machine that is looked at. `root` is / but for tests. With `probe` a guest is booted on KVM now."""

    config: Config
    socket: Path
    environ: Mapping[str, str]
    root: Path = field(factory=lambda: Path("/"))
    probe: bool = False

    def which(self, tool: str) -> str | None:
        """Path of an executable."""
        return shutil.which(tool, path=self.environ.get("PATH", os.defpath))

    def read(self, path: str) -> str:
        """A file of /proc or /sys; empty when it is not there."""
        try:
            return (self.root / path.lstrip("/")).read_text()
        except OSError:
            return ""


def _version(tool: str) -> str:
    """First line of `tool --version`; empty when it does not answer."""
    try:
        done = subprocess.run(
            [tool, "--version"], capture_output=True, text=True, timeout=TOOL_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return next(iter((done.stdout or done.stderr).strip().splitlines()), "")


def python(_: Host) -> Iterator[Finding]:
    """The interpreter (the distribution asks for 3.11, so this cannot be older)."""
    yield ok("python", f"{sys.version.split()[0]} ({sys.executable})")


def qemu(host: Host) -> Iterator[Finding]:
    """The virtual machine monitor."""
    tool = host.which("qemu-system-x86_64")
    if tool is None:
        yield fail("qemu", "qemu-system-x86_64 is not installed", "apt install qemu-system-x86")
        return
    text = _version(tool)
    found = re.search(r"version (\d+)\.(\d+)[.\d]*", text)
    if found is None:
        yield fail(
            "qemu", f"{tool} --version says nothing", "apt install --reinstall qemu-system-x86"
        )
    elif (int(found[1]), int(found[2])) < OLDEST_QEMU:
        yield fail(
            "qemu", f"{found[0]} is too old", "7.2 or newer is needed: Debian 12, Ubuntu 24.04"
        )
    else:
        yield ok("qemu", f"{found[0]} ({tool})")
    if small := host.which("qemu-system-x86_64-microvm"):
        yield ok("qemu microvm", small)


def kvm(host: Host) -> Iterator[Finding]:
    """The hardware's virtualisation. That /dev/kvm opens does not say that it works: the engine's probe does."""
    device = host.root / "dev/kvm"
    if host.config.engine == "qemu-tcg":
        yield ok("kvm", "not used (engine = qemu-tcg)")
        return
    bad = fail if host.config.engine == "qemu-kvm" else warn
    if not device.exists():
        yield bad(
            "kvm",
            f"no {device}; {_EMULATION}",
            "Switch virtualisation on in the firmware, or nested virtualisation for a virtual machine",
        )
    elif not os.access(device, os.R_OK | os.W_OK):
        yield bad(
            "kvm",
            f"you may not open {device}; {_EMULATION}",
            "sudo usermod -aG kvm $USER, then log in again",
        )
    else:
        yield _tried_now(host, bad) if host.probe else _verdict(host, bad)


def _verdict(host: Host, bad: Callable[[str, str, str], Finding]) -> Finding:
    """The daemon's verdict on KVM, for which it booted a guest (`thawd.engines.probe`), if it is of this boot."""
    try:
        record = json.loads((host.config.state_directory / "engine.json").read_text())
        probed_since_boot = (
            record["key"]["boot_id"] == host.read("/proc/sys/kernel/random/boot_id").strip()
        )
        usable, reason = record["probe"]["usable"], record["probe"]["reason"]
    except (OSError, ValueError, KeyError, TypeError):
        probed_since_boot = False
    if not probed_since_boot:
        return ok("kvm", "/dev/kvm opens; whether it works is tried when the daemon starts")
    if usable:
        return ok("kvm", "a guest was booted on it")
    return bad(
        "kvm",
        f"it did not work when it was tried: {reason}; {_EMULATION}",
        f"Try it again: thaw doctor --probe. {_NO_KVM}",
    )


def _tried_now(host: Host, bad: Callable[[str, str, str], Finding]) -> Finding:
    """Boot a guest on KVM, and remember the verdict for the daemon's next start."""
    # A guest is booted when it is asked for only; all else needs no engine.
    import trio  # noqa: PLC0415

    from thawd.engines.probe import boot_probe, remember  # noqa: PLC0415
    from thawd.engines.qemu import find_kvm  # noqa: PLC0415
    from thawd.images.store import ImageStore  # noqa: PLC0415

    async def try_it(image: Image, folder: Path) -> tuple[Probe, str]:
        engine = await find_kvm(folder, device=host.root / "dev/kvm")
        found = await boot_probe(engine, image, scratch=folder)
        try:
            remember(engine, image, found, cache_file=host.config.state_directory / "engine.json")
        except OSError as error:
            return found, str(error)
        return found, ""

    try:
        images = ImageStore(host.config.images_directory).list()
        if not images:
            return warn(
                "kvm", "not tried: there is no image to boot", "Build one: thaw image build"
            )
        with TemporaryDirectory(prefix="thaw-probe-") as folder:
            found, lost = trio.run(try_it, images[0], Path(folder))
    except EngineError as error:
        return bad("kvm", f"{error.message}; {_EMULATION}", error.hint or _NO_KVM)
    except OSError as error:
        return warn("kvm", f"it cannot be tried: {error}", "Run as the daemon's user")
    if not found.usable:
        return bad("kvm", f"it does not work: {found.reason}; {_EMULATION}", _NO_KVM)
    booted = f"a guest was booted on it now, in {found.took_s:g} s"
    if lost:
        return warn(
            "kvm",
            f"{booted}; the daemon does not learn of it: {lost}",
            "Run as the daemon's user",
        )
    return ok("kvm", f"{booted}; a daemon that works by emulation takes it when it is restarted")


def image_tools(host: Host) -> Iterator[Finding]:
    """What `thaw image build` runs."""
    packages = {"mmdebstrap": "mmdebstrap", "mkfs.erofs": "erofs-utils"}
    for tool, package in packages.items():
        path = host.which(tool)
        if path is None:
            yield warn(
                tool, "not installed; guest images cannot be built here", f"apt install {package}"
            )
        else:
            yield ok(tool, _version(path) or path)


def image(host: Host) -> Iterator[Finding]:
    """The guest images that functions start from."""
    from thawd.images.store import ImageStore  # noqa: PLC0415 - `thaw doctor --help` needs no store

    directory = host.config.images_directory
    if directory.exists() and not os.access(directory, os.R_OK | os.X_OK):
        yield warn("image", f"you may not look into {directory}", "Run as the daemon's user")
        return
    runtimes = sorted({found.runtime for found in ImageStore(directory).list()})
    if runtimes:
        yield ok("image", ", ".join(runtimes))
    else:
        yield warn("image", f"none in {directory}", "Build one: thaw image build")


def memory(host: Host) -> Iterator[Finding]:
    """Memory there is, against the budget."""
    found = {
        name: int(kib) // 1024
        for name, kib in re.findall(r"^(\w+):\s+(\d+) kB", host.read("/proc/meminfo"), re.MULTILINE)
    }
    available = found.get("MemAvailable", 0)
    budget = host.config.memory_budget_mib
    detail = f"{available} MiB available of {found.get('MemTotal', 0)}, budget {budget} MiB"
    if available < 512:
        yield fail("memory", detail, "A first machine needs about 512 MiB: end something else")
    elif available < budget:
        yield warn(
            "memory", detail, "Lower memory_budget_mib, or the kernel may end machines for you"
        )
    else:
        yield ok("memory", detail)
    if found.get("SwapTotal", 0):
        devices = [line.split()[0] for line in host.read("/proc/swaps").splitlines()[1:]]
        plain = [name for name in devices if not Path(name).name.startswith(("zram", "dm-"))]
        if plain or not devices:
            yield warn(
                "swap",
                f"{found['SwapTotal']} MiB; memory of functions, with their secrets, can reach the disk",
                "swapoff -a, or zram or encrypted swap",
            )
            return
    yield ok("swap", "none on a plain disk")


def disk(host: Host) -> Iterator[Finding]:
    """Room for images and snapshots."""
    directory = host.config.state_directory
    there = next(path for path in (directory, *directory.parents) if path.exists())
    if not os.access(there, os.W_OK | os.X_OK):
        yield fail(
            "disk", f"{there} cannot be written", "Set state_directory, or run as the daemon's user"
        )
        return
    free_mib = shutil.disk_usage(there).free >> 20
    detail = f"{free_mib} MiB free for {directory}"
    if free_mib < IMAGE_BUILD_MIB // 4:
        yield fail("disk", detail, "Free some, or set state_directory to a larger file system")
    elif free_mib < IMAGE_BUILD_MIB:
        yield warn("disk", detail, f"Building a guest image takes up to {IMAGE_BUILD_MIB} MiB")
    else:
        yield ok("disk", detail)


def daemon(host: Host) -> Iterator[Finding]:
    """Whether the daemon answers, and whether it is the one that is installed."""
    try:
        with Client(host.socket) as client:
            version = client.health().get("version")
    except SocketForbidden as error:
        yield fail("daemon", error.message, error.hint)
    except DaemonUnreachable as error:
        yield warn("daemon", error.message, error.hint)
    except DaemonRefused as error:
        yield fail(
            "daemon",
            f"something else than thawd answers on {host.socket}: {error.message}",
            "Name the right socket with --socket",
        )
    else:
        if version == __version__:
            yield ok("daemon", f"{version} answers on {host.socket}")
        else:
            yield warn(
                "daemon",
                f"{version} answers on {host.socket}, {__version__} is installed",
                "Restart it: sudo systemctl restart thawd",
            )


FINDERS: Final[tuple[Callable[[Host], Iterator[Finding]], ...]] = (
    python,
    qemu,
    kvm,
    image_tools,
    image,
    memory,
    disk,
    daemon,
)


def examine(host: Host) -> list[Finding]:
    """All findings, in a fixed order."""
    return [finding for finder in FINDERS for finding in finder(host)]


def as_json(findings: list[Finding]) -> list[dict[str, Any]]:
    """Findings as plain values."""
    return [
        {"topic": f.topic, "status": str(f.status), "detail": f.detail, "hint": f.hint}
        for f in findings
    ]
