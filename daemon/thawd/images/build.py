"""Building an image: Debian, kernel and PyPI packages first (slow, kept), then what is ours (a second or two)."""

from __future__ import annotations

import importlib.util
import json
import os
import platform
import shutil
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final

import cattrs
import trio
from attrs import asdict, frozen

from thawd.errors import ImageError
from thawd.nurseries import together

from .initramfs import archive
from .kernel import extract_kernel, extract_module
from .recipe import Recipe, package, source_files
from .tools import run

if TYPE_CHECKING:
    from collections.abc import Sequence

Progress = Callable[[str, float | None], None]
"""Told of each step by name, and of the part that is done: 0 to 1, or None when it cannot be said."""

_MIRROR: Final = "http://deb.debian.org/debian"
_SECURITY: Final = "http://deb.debian.org/debian-security"
_KEYRING: Final = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_BUSYBOX: Final = "usr/bin/busybox"
_LIBRARIES: Final = "usr/lib/x86_64-linux-gnu"
_AGENT: Final = "usr/lib/thaw"
_RUNTIME: Final = "var/runtime"
_START_UP: Final = "usr/lib/python3/dist-packages"

_USERS: Final = (
    "root:x:0:0:root:/root:/usr/sbin/nologin\nsbx_user1051:x:993:993::/tmp:/usr/sbin/nologin\n"
)
_GROUPS: Final = "root:x:0:\nsbx_user1051:x:993:\n"
"""Lambda's own user and number."""

_EVERYBODYS: Final = ("tmp", "var/tmp")
"""Directories that the function's user may write to as well."""


@frozen(kw_only=True)
class Versions:
    """What a system was found to consist of; the recipe says only what was wanted."""

    kernel: str
    python: str
    packages: dict[str, str]
    """PyPI packages by name."""


async def build_system(recipe: Recipe, target: Path, progress: Progress) -> None:
    """The slow part, into the empty directory `target`: `root/`, `boot/`, `vmlinux`, `versions.json`.

    Needs no privileges. The environment's THAWD_MIRROR and THAWD_SECURITY_MIRROR name other Debian mirrors.
    Raises `ImageError`.
    """
    if platform.machine() != "x86_64":
        raise ImageError(
            f"guest images are made for x86_64 only, this machine is {platform.machine()}",
            hint="Build on an x86_64 machine",
        )
    progress("Debian, kernel and Python packages", 0.05)
    root = target / "root"
    await together(
        lambda: _debian(recipe.suite, recipe.packages, root),
        lambda: _debian(recipe.suite, (recipe.kernel, recipe.busybox), target / "boot"),
        lambda: _python_packages(recipe, target / "site"),
        failure=ImageError,
    )
    progress("putting the system together", 0.6)
    for name in ("bin", "sbin", "lib", "lib64"):
        if not (root / name).exists():
            (root / name).symlink_to(f"usr/{name}")
    for name in recipe.remove:
        _remove(root / name)
    for name in ("proc", "sys", "dev", "run", "root", "opt", "var/task", "etc", *_EVERYBODYS):
        (root / name).mkdir(parents=True, exist_ok=True)
    for name in _EVERYBODYS:
        (root / name).chmod(0o1777)
    (target / "site").rename(root / _RUNTIME)
    for name, text in {
        "passwd": _USERS,
        "group": _GROUPS,
        "hostname": "thaw\n",
        "hosts": "127.0.0.1 localhost\n",
        "machine-id": "",
        "resolv.conf": "",
        "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
    }.items():
        (root / "etc" / name).write_text(text)
    _certificates(root)
    await run(["ldconfig", "-r", root])
    progress("compiling Python files", 0.7)
    await _compile(root, recipe, [f"usr/lib/python{recipe.python}", "usr/lib/python3", _RUNTIME])
    kernel = _only_kernel(target / "boot/boot")
    await extract_kernel(kernel, target / "vmlinux")
    said = await _guest_python(root, recipe, ["--version"])
    versions = Versions(
        kernel=kernel.name.removeprefix("vmlinuz-"),
        python=said.decode().removeprefix("Python ").strip(),
        packages=_python_versions(root),
    )
    (target / "versions.json").write_text(json.dumps(asdict(versions)))


async def build_image(recipe: Recipe, system: Path, target: Path, progress: Progress) -> Versions:
    """The quick part: the system and what is ours, as the image's files in `target`. Returns the versions in it.

    Raises `ImageError`.
    """
    progress("adding the agent", 0.85)
    tree = target / "tree"
    # Hard links: nothing below changes a file of the system in place.
    await run(["cp", "-al", system / "root", tree])
    _copy_sources(package("thaw_agent"), tree / _AGENT / "thaw_agent")
    _copy_sources(package("thaw_runtime"), tree / _RUNTIME / "thaw_runtime")
    start_up = tree / _START_UP / "thaw_runtime.pth"
    start_up.unlink(missing_ok=True)
    shutil.copyfile(recipe.directory / "thaw_runtime.pth", start_up)
    await _compile(tree, recipe, [f"{_AGENT}/thaw_agent", f"{_RUNTIME}/thaw_runtime"])
    progress("writing the file system", 0.9)
    # By default the file system's UUID is drawn at random; two builds of one thing shall be one file.
    identifier = str(uuid.UUID(recipe.digest[:32]))
    root = target / "root.erofs"
    await run(["mkfs.erofs", "-x-1", "--all-root", "-T0", f"-U{identifier}", root, tree])
    await trio.to_thread.run_sync(shutil.rmtree, tree)
    files: dict[str, tuple[int, bytes]] = {
        "init": (0o755, (recipe.directory / "init").read_bytes()),
        "bin/busybox": (0o755, (system / "boot" / _BUSYBOX).read_bytes()),
        "modules/order": (0o644, "".join(f"{name}\n" for name in recipe.modules).encode()),
    }
    for name in recipe.modules:
        files[f"modules/{name}.ko"] = (
            0o644,
            await extract_module(system / "boot/usr/lib/modules", name),
        )
    (target / "initrd").write_bytes(archive(files))
    # A link: images that differ in our sources share one kernel, on disk and in the page cache.
    (target / "vmlinux").hardlink_to(system / "vmlinux")
    return cattrs.structure(json.loads((system / "versions.json").read_text()), Versions)


async def _debian(suite: str, packages: tuple[str, ...], target: Path) -> None:
    """Unpack Debian packages with their dependencies, today's security updates among them.

    No maintainer script runs, so nothing is missed by `chrootless`, the one mode that needs neither root nor user
    namespaces (which Ubuntu 24.04 forbids). It writes a tar file, because the tree has device nodes in it.
    """
    tarball = target.with_suffix(".tar")
    mirror = os.environ.get("THAWD_MIRROR", _MIRROR)
    security = os.environ.get("THAWD_SECURITY_MIRROR", _SECURITY)
    await run(
        [
            "mmdebstrap",
            "--mode=chrootless",
            "--variant=extract",
            f"--include={','.join(packages)}",
            '--aptopt=APT::Install-Recommends "false"',
            '--aptopt=Acquire::Languages "none"',
            *(
                f"--dpkgopt=path-exclude=/usr/share/{name}/*"
                for name in ("man", "doc", "locale", "info")
            ),
            # Where the host is no Debian, apt does not trust Debian's keys by itself.
            *([f"--keyring={_KEYRING}"] if _KEYRING.exists() else []),
            suite,
            tarball,
            f"deb {mirror} {suite} main",
            f"deb {mirror} {suite}-updates main",
            f"deb {security} {suite}-security main",
        ]
    )
    target.mkdir()
    # Owner and permissions as for any user, so that root builds what others build; mkfs.erofs gives all to root.
    options = ["--no-same-owner", "--no-same-permissions", "--exclude=./dev/*"]
    await run(["tar", "-xf", tarball, "-C", target, *options])
    tarball.unlink()


async def _python_packages(recipe: Recipe, target: Path) -> None:
    """PyPI packages for the guest's Python, wheels only."""
    if importlib.util.find_spec("pip") is None:
        raise ImageError(
            "pip is not installed beside thawd; it fetches the guest's Python packages",
            hint=f"Install it: {sys.executable} -m ensurepip",
        )
    await run(
        [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-compile",
            f"--target={target}",
            f"--python-version={recipe.python}",
            "--implementation=cp",
            "--platform=manylinux_2_28_x86_64",
            "--platform=manylinux2014_x86_64",
            "--only-binary=:all:",
            *recipe.python_packages,
        ]
    )


def _certificates(root: Path) -> None:
    """The bundle that ca-certificates' own script would have made."""
    folder = root / "etc/ssl/certs"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "ca-certificates.crt").open("wb") as bundle:
        for path in sorted((root / "usr/share/ca-certificates/mozilla").glob("*.crt")):
            bundle.write(path.read_bytes())


async def _compile(root: Path, recipe: Recipe, folders: Sequence[str]) -> None:
    """Byte code for the guest, for everything in these folders.

    Unchecked: the image has no times, and a .pyc that is checked against one would be compiled at every import.
    """
    options = ["-q", "-f", "--invalidation-mode=unchecked-hash", f"-s{root}", "-p/"]
    await _guest_python(
        root, recipe, ["-S", "-m", "compileall", *options, *(root / folder for folder in folders)]
    )


async def _guest_python(root: Path, recipe: Recipe, arguments: Sequence[str | Path]) -> bytes:
    """Run the guest's own Python through its own loader, which needs neither root nor chroot."""
    return await run(
        [
            root / "usr/lib64/ld-linux-x86-64.so.2",
            "--library-path",
            root / _LIBRARIES,
            root / f"usr/bin/python{recipe.python}",
            *arguments,
        ],
        env={"PYTHONHOME": str(root / "usr"), "LANG": "C.UTF-8"},
    )


def _copy_sources(source: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    for path in source_files(source):
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _python_versions(root: Path) -> dict[str, str]:
    found = {}
    for info in sorted((root / _RUNTIME).glob("*.dist-info")):
        name, _, version = info.name.removesuffix(".dist-info").rpartition("-")
        found[name.replace("_", "-")] = version
    return found


def _only_kernel(boot: Path) -> Path:
    kernels = list(boot.glob("vmlinuz-*"))
    if len(kernels) != 1:
        raise ImageError(f"the kernel package holds {len(kernels)} kernels, not one")
    return kernels[0]
