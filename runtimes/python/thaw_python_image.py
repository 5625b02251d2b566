"""Python's part of the image build: Python in /var/lang, packages of PyPI in /var/runtime as wheels, with byte code."""

from __future__ import annotations

import importlib.util
import sys
from typing import TYPE_CHECKING, Final

from thawd.errors import ImageError
from thawd.images.hook import Found

if TYPE_CHECKING:
    from thawd.images.hook import Build

_RUNTIME: Final = "var/runtime"
_LANG: Final = "var/lang"


async def fetch(build: Build) -> None:
    """PyPI packages for the guest's Python, wheels only."""
    if importlib.util.find_spec("pip") is None:
        raise ImageError(
            "pip is not installed beside thawd; it fetches the guest's Python packages",
            hint=f"Install it: {sys.executable} -m ensurepip",
        )
    await build.run(
        [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-compile",
            f"--target={build.fetched / 'site'}",
            f"--python-version={build.settings['version']}",
            "--implementation=cp",
            "--platform=manylinux_2_28_x86_64",
            "--platform=manylinux2014_x86_64",
            "--only-binary=:all:",
            *build.settings["packages"],
        ]
    )


async def install(build: Build) -> Found:
    """Put them in their place, compiled."""
    await _move_to_lang(build)
    for path in sorted((build.fetched / "site").iterdir()):
        path.rename(build.root / _RUNTIME / path.name)
    await build.compile([_RUNTIME])
    said = await build.guest_python(["--version"])
    packages = {}
    for info in sorted((build.root / _RUNTIME).glob("*.dist-info")):
        name, _, version = info.name.removesuffix(".dist-info").rpartition("-")
        packages[name.replace("_", "-")] = version
    return Found(version=said.decode().removeprefix("Python ").strip(), packages=packages)


async def finish(build: Build) -> None:
    """Compile our own."""
    await build.compile([f"{_RUNTIME}/thaw_runtime"])


async def _move_to_lang(build: Build) -> None:
    """Python's files to where Lambda has them; where Debian has them are links, for the agent.

    One file each, not a copy: agent and function share the pages of interpreter and libraries, and on an emulated
    processor its translation.
    """
    name = f"python{build.settings['version']}"
    programs, libraries = build.root / _LANG / "bin", build.root / _LANG / "lib"
    programs.mkdir(parents=True)
    libraries.mkdir()
    # An interpreter finds its library from where it really is, so this cannot be a symbolic link.
    (programs / name).hardlink_to(build.root / "usr/bin" / name)
    for link in ("python3", "python"):
        (programs / link).symlink_to(name)
    for folder in (name, "python3"):
        before = build.root / "usr/lib" / folder
        before.rename(libraries / folder)
        before.symlink_to(f"../../{_LANG}/lib/{folder}")
    # Code knows its file's name: where the function imports it from, which then need not put the names right.
    await build.compile([f"{_LANG}/lib/{name}", f"{_LANG}/lib/python3"])
