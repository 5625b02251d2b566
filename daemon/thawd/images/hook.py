"""The interface of a language's own building code (`build` in its runtime.toml).

That file is a Python module with any of three functions, which the build calls in this order. It may import its
neighbours::

    async def fetch(build: Build) -> None       # the slow part: downloads, into build.fetched; build.root is not there yet
    async def install(build: Build) -> Found    # from there into build.root, which has Debian's packages
    async def finish(build: Build) -> None      # the quick part: the language's `copy` is in build.root

`fetch` and `install` are run again only when the language's packages, settings or building code change. The same
input must make the same files, but for newer versions of packages. All three raise `ImageError`.
"""

from __future__ import annotations

import importlib.util
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from attrs import field, frozen

from thawd.errors import ImageError

from .tools import run

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from .recipe import Recipe

_LIBRARIES: Final = "usr/lib/x86_64-linux-gnu"


@frozen(kw_only=True)
class Found:
    """The versions that a language was built with; its settings name only the wanted ones."""

    version: str = ""
    packages: dict[str, str] = field(factory=dict)
    """Versions by name."""

    origin: str = ""
    """Where it was taken from, when that differs from machine to machine; for whoever builds."""


@frozen(kw_only=True)
class Build:
    """One image being built. Nothing in `root` may be changed in place by `finish`: files there have other links."""

    root: Path
    """The image's root file system."""

    fetched: Path
    """A directory of the language's own, gone after `install`."""

    directory: Path
    """The language's own, as it is on this machine."""

    settings: Mapping[str, Any]
    """`image.settings` of the runtime."""

    _python: str = field(alias="python")

    async def run(
        self, argv: Sequence[str | Path], *, env: Mapping[str, str] | None = None
    ) -> bytes:
        """Run a program of the host; returns its standard output. Raises `ImageError`."""
        return await run(argv, env=env)

    async def guest_python(self, arguments: Sequence[str | Path]) -> bytes:
        """Run the guest's own Python through its own loader, which needs neither root nor chroot."""
        return await run(
            [
                self.root / "usr/lib64/ld-linux-x86-64.so.2",
                "--library-path",
                self.root / _LIBRARIES,
                self.root / f"usr/bin/python{self._python}",
                *arguments,
            ],
            env={"PYTHONHOME": str(self.root / "usr"), "LANG": "C.UTF-8"},
        )

    async def compile(self, folders: Sequence[str]) -> None:
        """Byte code of the guest's Python for everything in these folders of `root`.

        Unchecked: the image has no times, and a .pyc that is checked against one would be compiled at every import.
        """
        options = ["-q", "-f", "--invalidation-mode=unchecked-hash", f"-s{self.root}", "-p/"]
        await self.guest_python(
            ["-S", "-m", "compileall", *options, *(self.root / folder for folder in folders)]
        )


class Hook:
    """A language's building code, loaded; what it does not have is nothing to do. Raises `ImageError`."""

    def __init__(self, recipe: Recipe) -> None:
        self._module: Any = None
        path = recipe.hook
        if path is None:
            return
        spec = importlib.util.spec_from_file_location(
            f"thawd_image_of_{recipe.runtime.language}", path
        )
        if spec is None or spec.loader is None:
            raise ImageError(f"{path} is no Python file", hint="`build` names the language's code")
        self._module = importlib.util.module_from_spec(spec)
        try:
            with _importable(path.parent):
                spec.loader.exec_module(self._module)
        except Exception as error:
            raise ImageError(
                f"{path} cannot be used: {error!r}", hint="It is the language's building code"
            ) from error

    async def fetch(self, build: Build) -> None:
        """See the module."""
        if hasattr(self._module, "fetch"):
            await self._module.fetch(build)

    async def install(self, build: Build) -> Found:
        """See the module."""
        if hasattr(self._module, "install"):
            found: Found = await self._module.install(build)
            return found
        return Found()

    async def finish(self, build: Build) -> None:
        """See the module."""
        if hasattr(self._module, "finish"):
            await self._module.finish(build)


@contextmanager
def _importable(directory: Path) -> Iterator[None]:
    """Let modules of this directory be imported."""
    sys.path.insert(0, str(directory))
    try:
        yield
    finally:
        sys.path.remove(str(directory))
