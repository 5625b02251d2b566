"""The parts of an image: those of every image, those of the runtime's language, and the agent."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Final

import cattrs
from attrs import evolve, frozen

from thawd import runtimes
from thawd.errors import ImageError
from thawd.runtimes import Archive

if TYPE_CHECKING:
    from thawd.runtimes import Runtime

_FORMAT: Final = "6"
"""Of the slow part's building code: raised when it makes another system of the same recipe."""

_BUILDERS: Final = ("build.py", "initramfs.py", "kernel.py", "hook.py")
"""The quick part's building code: a change there makes another image by itself."""


@frozen(kw_only=True)
class Base:
    """The file base/recipe.toml, for every image. `directory` holds it and the initramfs's /init."""

    suite: str
    python: str
    packages: tuple[str, ...]
    kernel: str
    busybox: str
    modules: tuple[str, ...]
    remove: tuple[str, ...]
    directory: Path = Path()

    @property
    def archive(self) -> Archive:
        """Where the kernel comes from, and every package unless the runtime has an archive of its own."""
        return Archive(suite=self.suite, python=self.python)


@frozen(kw_only=True)
class Recipe:
    """The image of one runtime."""

    base: Base
    runtime: Runtime
    digest: str = ""
    """Identifies everything that goes in, as it was on disk: recipe, agent, language, building code."""

    @property
    def packages(self) -> tuple[str, ...]:
        """Debian packages."""
        return (*self.base.packages, *self.runtime.image.packages)

    @property
    def archive(self) -> Archive:
        """Where they come from."""
        return self.runtime.image.archive or self.base.archive

    @property
    def python(self) -> str:
        """The agent's interpreter, which is the archive's python3."""
        return self.archive.python

    @property
    def remove(self) -> tuple[str, ...]:
        """Files and directories of the packages that the image does without."""
        base = (name.replace("{python}", self.python) for name in self.base.remove)
        return (*base, *self.runtime.image.remove)

    @property
    def hook(self) -> Path | None:
        """The language's own building code."""
        name = self.runtime.image.build
        return self.runtime.directory / name if name else None

    @property
    def system_digest(self) -> str:
        """Identifies the slow part, which has nothing of the agent in it: Debian, kernel, the language's packages."""
        parts = [
            _FORMAT,
            self.base.suite,
            self.archive,
            self.base.kernel,
            self.base.busybox,
            self.packages,
            self.remove,
            json.dumps(self.runtime.image.settings, sort_keys=True, default=str),
            self.hook.read_bytes() if self.hook else b"",
        ]
        return hashlib.sha256(repr(parts).encode()).hexdigest()


def source_files(tree: Path) -> list[Path]:
    """The files of a source tree, caches left out, in a fixed order. A file is a tree of itself."""
    if tree.is_file():
        return [tree]
    found = (path for path in tree.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return sorted(found)


def package(name: str) -> Path:
    """The directory of one of our packages."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ImageError(f"the package {name} is not installed", hint="Install thawd again")
    return Path(spec.origin).parent


def load(runtime: str) -> Recipe:
    """The recipe of a runtime's image. Raises `ImageError`."""
    path = _base() / "recipe.toml"
    try:
        base = cattrs.structure({**tomllib.loads(path.read_text()), "directory": path.parent}, Base)
    except (OSError, ValueError, cattrs.BaseValidationError) as error:
        raise ImageError(f"{path} cannot be read: {error}", hint="Install thawd again") from error
    recipe = Recipe(base=base, runtime=runtimes.find(runtime))
    try:
        return evolve(recipe, digest=_digest(recipe))
    except OSError as error:
        raise ImageError(
            f"what the image of {runtime} is made of cannot be read: {error}",
            hint=f"See {recipe.runtime.directory / runtimes.FILE}",
        ) from error


def _digest(recipe: Recipe) -> str:
    digest = hashlib.sha256(recipe.system_digest.encode())
    here = Path(__file__).parent
    directory = recipe.runtime.directory
    files = [(here, here / name) for name in _BUILDERS]
    files += [(directory, directory / runtimes.FILE)]
    for tree in (recipe.base.directory, package("thaw_agent")):
        files += [(tree, path) for path in source_files(tree)]
    for name in sorted({*recipe.runtime.image.copy, *recipe.runtime.image.sources}):
        found = source_files(directory / name)
        if not found:
            raise FileNotFoundError(f"there is no {directory / name}")
        files += [(directory, path) for path in found]
    for tree, path in files:
        content = path.read_bytes()
        digest.update(f"{path.relative_to(tree)}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def _base() -> Path:
    return Path(__file__).parent / "base"
