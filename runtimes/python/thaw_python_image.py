"""Python's part of the image build: packages of PyPI in /var/runtime, as wheels, with byte code."""

from __future__ import annotations

import importlib.util
import sys
from typing import TYPE_CHECKING, Final

from thawd.errors import ImageError
from thawd.images.hook import Found

if TYPE_CHECKING:
    from thawd.images.hook import Build

_RUNTIME: Final = "var/runtime"


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
    """Compile thaw_runtime."""
    await build.compile([f"{_RUNTIME}/thaw_runtime"])
