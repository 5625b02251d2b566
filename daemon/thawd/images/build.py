"""Building an image: packages and kernel first (slow, kept), then our own files (a second or two), then the seal.

The slow part is Debian's packages, the kernel and what the language fetches, put together to a root file system. The
quick part copies the agent and the language's files into it and seals it: a read-only file system and an initramfs.
"""

from __future__ import annotations

import json
import platform
import shutil
import uuid
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

import cattrs
import trio
from attrs import asdict, frozen

from thawd.errors import ImageError
from thawd.nurseries import together

from . import debian
from .hook import Build, Found, Hook
from .initramfs import archive
from .kernel import extract_kernel, extract_module
from .recipe import Recipe, package, source_files
from .tools import run

if TYPE_CHECKING:
    from pathlib import Path

Progress = Callable[[str, float | None], None]
"""Told of each step by name, and of the part that is done: 0 to 1, or None when it cannot be said."""

_BUSYBOX: Final = "usr/bin/busybox"
_AGENT: Final = "usr/lib/thaw/thaw_agent"
_ABOUT: Final = "etc/thaw/runtime.json"
"""Where the agent reads the language's settings (`thaw_agent.language`)."""

_USERS: Final = (
    "root:x:0:0:root:/root:/usr/sbin/nologin\nsbx_user1051:x:993:993::/tmp:/usr/sbin/nologin\n"
)
_GROUPS: Final = "root:x:0:\nsbx_user1051:x:993:\n"
"""Lambda's own user and number."""

_PROGRAMS: Final = {"sh": "bash", "awk": "gawk"}
"""Links in /usr/bin that maintainer scripts would make, to the programs that Lambda's own system (AL2023) has there."""

_EVERYBODYS: Final = ("tmp", "var/tmp")
"""Directories that the function's user may write to as well."""


@frozen(kw_only=True)
class Versions:
    """The versions in a system; the recipe names only the wanted ones."""

    kernel: str
    language: Found


async def build_system(recipe: Recipe, target: Path, progress: Progress) -> None:
    """The slow part, into the empty directory `target`: `root/`, `boot/`, `vmlinux`, `versions.json`.

    Needs no privileges. Raises `ImageError`.
    """
    if platform.machine() != "x86_64":
        raise ImageError(
            f"guest images are made for x86_64 only, this machine is {platform.machine()}",
            hint="Build on an x86_64 machine",
        )
    progress(f"Debian, kernel and {recipe.runtime.language} packages", 0.05)
    hook = Hook(recipe)
    base = recipe.base
    build = _build(recipe, target / "root", target / "fetched")
    build.fetched.mkdir()
    await together(
        lambda: debian.unpack(recipe.archive, recipe.packages, build.root),
        lambda: debian.unpack(base.archive, (base.kernel, base.busybox), target / "boot"),
        lambda: hook.fetch(build),
        failure=ImageError,
    )
    progress("putting the system together", 0.6)
    await _assemble(recipe, build.root)
    progress("compiling and installing", 0.7)
    await build.compile([f"usr/lib/python{recipe.python}", "usr/lib/python3"])
    found = await hook.install(build)
    await trio.to_thread.run_sync(shutil.rmtree, build.fetched)
    kernel = _only_kernel(target / "boot/boot")
    await extract_kernel(kernel, target / "vmlinux")
    versions = Versions(kernel=kernel.name.removeprefix("vmlinuz-"), language=found)
    (target / "versions.json").write_text(json.dumps(asdict(versions)))


async def build_image(recipe: Recipe, system: Path, target: Path, progress: Progress) -> Versions:
    """The quick part: the system and our own files, as the image's files in `target`. Returns the versions in it.

    Raises `ImageError`.
    """
    progress("adding the agent", 0.85)
    tree = target / "tree"
    # Hard links: nothing below changes a file of the system in place.
    await run(["cp", "-al", system / "root", tree])
    await _add_ours(recipe, tree, target / "fetched")
    progress("writing the file system", 0.9)
    await _seal(recipe, system, tree, target)
    return cattrs.structure(json.loads((system / "versions.json").read_text()), Versions)


async def _assemble(recipe: Recipe, root: Path) -> None:
    """Make of Debian's files a root file system: links, directories, users, certificates, the loader's cache."""
    for name in ("bin", "sbin", "lib", "lib64"):
        if not (root / name).exists():
            (root / name).symlink_to(f"usr/{name}")
    for name, program in _PROGRAMS.items():
        (root / "usr/bin" / name).unlink(missing_ok=True)
        (root / "usr/bin" / name).symlink_to(program)
    for name in recipe.remove:
        _remove(root / name)
    made = ("proc", "sys", "dev", "run", "root", "opt", "var/task", "var/runtime", "etc")
    for name in (*made, *_EVERYBODYS):
        (root / name).mkdir(parents=True, exist_ok=True)
        (root / name).chmod(0o755)  # some packages keep theirs to themselves
    for name in _EVERYBODYS:
        (root / name).chmod(0o1777)
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


async def _add_ours(recipe: Recipe, tree: Path, fetched: Path) -> None:
    """Add the agent, the language's settings for it, and the language's own files."""
    _copy(package("thaw_agent"), tree / _AGENT)
    for source, place in recipe.runtime.image.copy.items():
        _copy(recipe.runtime.directory / source, tree / place)
    about = tree / _ABOUT
    about.parent.mkdir(parents=True, exist_ok=True)
    about.unlink(missing_ok=True)
    about.write_text(recipe.runtime.baked())
    build = _build(recipe, tree, fetched)
    await build.compile([_AGENT])
    await Hook(recipe).finish(build)


async def _seal(recipe: Recipe, system: Path, tree: Path, target: Path) -> None:
    """The three files of an image, made of the tree, which is gone afterwards."""
    # By default the file system's UUID is drawn at random; two builds of one thing shall be one file.
    identifier = str(uuid.UUID(recipe.digest[:32]))
    root = target / "root.erofs"
    await run(["mkfs.erofs", "-x-1", "--all-root", "-T0", f"-U{identifier}", root, tree])
    await trio.to_thread.run_sync(shutil.rmtree, tree)
    modules = recipe.base.modules
    files: dict[str, tuple[int, bytes]] = {
        "init": (0o755, (recipe.base.directory / "init").read_bytes()),
        "bin/busybox": (0o755, (system / "boot" / _BUSYBOX).read_bytes()),
        "modules/order": (0o644, "".join(f"{name}\n" for name in modules).encode()),
    }
    for name in modules:
        module = extract_module(system / "boot/usr/lib/modules", name)
        files[f"modules/{name}.ko"] = (0o644, module)
    (target / "initrd").write_bytes(archive(files))
    # A link: images that differ in our sources share one kernel, on disk and in the page cache.
    (target / "vmlinux").hardlink_to(system / "vmlinux")


def _build(recipe: Recipe, root: Path, fetched: Path) -> Build:
    return Build(
        root=root,
        fetched=fetched,
        directory=recipe.runtime.directory,
        settings=recipe.runtime.image.settings,
        python=recipe.python,
    )


def _certificates(root: Path) -> None:
    """The bundle that ca-certificates' own script would have made."""
    folder = root / "etc/ssl/certs"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "ca-certificates.crt").open("wb") as bundle:
        for path in sorted((root / "usr/share/ca-certificates/mozilla").glob("*.crt")):
            bundle.write(path.read_bytes())


def _copy(source: Path, target: Path) -> None:
    """Copy a file, or the files of a directory; an older copy is removed first."""
    _remove(target)
    for path in source_files(source):
        copy = target / path.relative_to(source)
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, copy)
        # Programs stay programs; otherwise the umask decides, as for any file.
        if path.stat().st_mode & 0o100:
            copy.chmod(0o755)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _only_kernel(boot: Path) -> Path:
    kernels = list(boot.glob("vmlinuz-*"))
    if len(kernels) != 1:
        raise ImageError(f"the kernel package holds {len(kernels)} kernels, not one")
    return kernels[0]
