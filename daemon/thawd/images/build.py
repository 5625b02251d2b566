"""Building an image: Debian, kernel and PyPI packages first (slow, kept), then what is ours (a second or two)."""

from __future__ import annotations

import json
import os
import shutil
import sys
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import trio

from thawd.errors import ImageError

from .initramfs import archive
from .kernel import extract_kernel, extract_module
from .recipe import Recipe, package, source_files
from .tools import run

Progress = Callable[[str, float | None], None]

_MIRROR: Final = "http://deb.debian.org/debian"
_KEYRING: Final = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_BUSYBOX: Final = ("/usr/bin/busybox", "/bin/busybox")
_LIBRARIES: Final = "usr/lib/x86_64-linux-gnu"
_AGENT: Final = "usr/lib/thaw"
_RUNTIME: Final = "var/runtime"
_START_UP: Final = "usr/lib/python3/dist-packages"

_USERS: Final = (
    "root:x:0:0:root:/root:/usr/sbin/nologin\nsbx_user1051:x:993:993::/tmp:/usr/sbin/nologin\n"
)
_GROUPS: Final = "root:x:0:\nsbx_user1051:x:993:\n"
"""Lambda's own user and number."""


async def build_system(recipe: Recipe, target: Path, progress: Progress) -> None:
    """The slow part, into the empty directory `target`: `root/`, `kernel/`, `vmlinux`, `versions.json`."""
    progress("Debian, kernel and Python packages", 0.05)
    root = target / "root"
    async with trio.open_nursery() as nursery:
        nursery.start_soon(_debian, recipe.suite, recipe.packages, root)
        nursery.start_soon(_debian, recipe.suite, (recipe.kernel,), target / "kernel")
        nursery.start_soon(_python_packages, recipe, target / "site")
    progress("putting the system together", 0.6)
    for name in ("bin", "sbin", "lib", "lib64"):
        if not (root / name).exists():
            (root / name).symlink_to(f"usr/{name}")
    for name in recipe.remove:
        shutil.rmtree(root / name, ignore_errors=True)
    for name in ("proc", "sys", "dev", "tmp", "run", "root", "opt", "var/task", "var/tmp", "etc"):
        (root / name).mkdir(parents=True, exist_ok=True)
    (target / "site").rename(root / _RUNTIME)
    for name, text in {
        "passwd": _USERS,
        "group": _GROUPSS,
        "hostname": "thaw\n",
        "hosts": "127.0.0.1 localhost\n",
        "machine-id": "",
        "resolv.conf": "",
        "nsswitch.conf": "passwd: files\ngroup: files\nhosts: files dns\n",
    }.items():
        (root / "etc" / name).write_text(text)
    await _certificates(root)
    await run([_tool("ldconfig"), "-r", root])
    progress("compiling Python files", 0.7)
    await _compile(root, recipe, [f"usr/lib/python{recipe.python}", "usr/lib/python3", _RUNTIME])
    (kernel,) = sorted((target / "kernel/boot").glob("vmlinuz-*"))
    await extract_kernel(kernel, target / "vmlinux")
    versions = {"kernel": kernel.name.removeprefix("vmlinuz-"), "packages": _python_versions(root)}
    (target / "versions.json").write_text(json.dumps(versions))


async def build_image(
    recipe: Recipe, system: Path, target: Path, digest: str, progress: Progress
) -> dict[str, Any]:
    """The quick part: the system and what is ours, as the image's files in `target`. Returns the versions in it."""
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
    identifier = str(uuid.UUID(digest[:32]))
    root = target / "root.erofs"
    await run(["mkfs.erofs", "-x-1", "--all-root", "-T0", f"-U{identifier}", root, tree])
    await trio.to_thread.run_sync(shutil.rmtree, tree)
    files: dict[str, tuple[int, bytes]] = {
        "init": (0o755, (recipe.directory / "init").read_bytes()),
        "bin/busybox": (0o755, _busybox().read_bytes()),
        "modules/order": (0o644, "".join(f"{name}\n" for name in recipe.modules).encode()),
    }
    for name in recipe.modules:
        files[f"modules/{name}.ko"] = (
            0o644,
            await extract_module(system / "kernel/usr/lib/modules", name),
        )
    (target / "initrd").write_bytes(archive(files))
    shutil.copyfile(system / "vmlinux", target / "vmlinux")
    versions: dict[str, Any] = json.loads((system / "versions.json").read_text())
    return versions


async def _debian(suite: str, packages: tuple[str, ...], target: Path) -> None:
    """Unpack Debian packages with their dependencies; no maintainer script runs."""
    tarball = target.with_suffix(".tar")
    keyring = [f"--keyring={_KEYRING}"] if _KEYRING.exists() else []
    await run(
        [
            "mmdebstrap",
            "--variant=extract",
            f"--include={','.join(packages)}",
            '--aptopt=APT::Install-Recommends "false"',
            '--aptopt=Acquire::Languages "none"',
            *(
                f"--dpkgopt=path-exclude=/usr/share/{name}/*"
                for name in ("man", "doc", "locale", "info")
            ),
            *keyring,
            suite,
            tarball,
            os.environ.get("THAWD_MIRROR", _MIRROR),
        ]
    )
    target.mkdir()
    # As ourselves, without device nodes: mkfs.erofs makes everything root's.
    await run(["tar", "-xf", tarball, "-C", target, "--no-same-owner", "--exclude=./dev/*"])
    tarball.unlink()


async def _python_packages(recipe: Recipe, target: Path) -> None:
    """PyPI packages for the guest's Python, wheels only."""
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


async def _certificates(root: Path) -> None:
    """The bundle that ca-certificates' own script would have made."""
    folder = root / "etc/ssl/certs"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "ca-certificates.crt").open("wb") as bundle:
        for path in sorted((root / "usr/share/ca-certificates/mozilla").glob("*.crt")):
            bundle.write(path.read_bytes())


async def _compile(root: Path, recipe: Recipe, folders: list[str]) -> None:
    """Byte code for the guest, made by the guest's own Python through its own loader: needs neither root nor chroot.

    Unchecked: the image has no times, and a .pyc that is checked against one would be compiled at every import.
    """
    python = f"usr/bin/python{recipe.python}"
    await run(
        [
            root / "usr/lib64/ld-linux-x86-64.so.2",
            "--library-path",
            root / _LIBRARIES,
            root / python,
            "-S",
            "-m",
            "compileall",
            "-q",
            "-f",
            "--invalidation-mode=unchecked-hash",
            "-s",
            root,
            "-p",
            "/",
            *(root / folder for folder in folders),
        ],
        env={"PYTHONHOME": str(root / "usr"), "PATH": os.environ.get("PATH", "")},
    )


def _copy_sources(source: Path, target: Path) -> None:
    shutil.rmtree(target, ignore_errors=True)
    for path in source_files(source):
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)


def _python_versions(root: Path) -> dict[str, str]:
    found = {}
    for info in sorted((root / _RUNTIME).glob("*.dist-info")):
        name, _, version = info.name.removesuffix(".dist-info").rpartition("-")
        found[name.replace("_", "-")] = version
    return found


def _busybox() -> Path:
    for path in map(Path, _BUSYBOX):
        if path.exists():
            return path
    raise ImageError("busybox is not installed", hint="Install it: apt-get install busybox-static")


def _tool(name: str) -> str:
    """A program that may lie outside of an ordinary user's PATH."""
    return shutil.which(name) or f"/usr/sbin/{name}"
