"""What an image is made of: the recipe file, and the sources of ours that go into it."""

from __future__ import annotations

import hashlib
import importlib.util
import tomllib
from pathlib import Path
from typing import Final

import cattrs
from attrs import frozen

from thawd.errors import ImageError

_FORMAT: Final = "2"
"""Of the building code itself: raised when the same recipe makes another image."""


@frozen(kw_only=True)
class Recipe:
    """A recipe file. `directory` holds it and the files it needs."""

    runtime: str
    suite: str
    python: str
    packages: tuple[str, ...]
    kernel: str
    modules: tuple[str, ...]
    python_packages: tuple[str, ...]
    remove: tuple[str, ...]
    directory: Path = Path()

    @property
    def system_digest(self) -> str:
        """Identifies the slow part, which has nothing of ours in it: Debian, kernel, PyPI."""
        parts = [
            _FORMAT,
            self.suite,
            self.kernel,
            *self.packages,
            *self.python_packages,
            *self.remove,
        ]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    @property
    def digest(self) -> str:
        """Identifies the whole image."""
        digest = hashlib.sha256(self.system_digest.encode())
        for tree in (self.directory, package("thaw_agent"), package("thaw_runtime")):
            for path in source_files(tree):
                digest.update(f"{path.relative_to(tree)}\0".encode())
                digest.update(path.read_bytes())
        return digest.hexdigest()


def source_files(tree: Path) -> list[Path]:
    """The files of a source tree, caches left out, in a fixed order."""
    found = (path for path in tree.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return sorted(found)


def package(name: str) -> Path:
    """The directory of one of our packages."""
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ImageError(f"the package {name} is not installed", hint="Install thawd again")
    return Path(spec.origin).parent


def load(runtime: str) -> Recipe:
    """The recipe of a runtime, from the source tree or the installed package. Raises `ImageError`."""
    here = Path(__file__).resolve().parent
    for directory in (here / "python", here.parents[2] / "runtimes/python/image"):
        path = directory / "recipe.toml"
        if path.exists():
            data = tomllib.loads(path.read_text())
            recipe = cattrs.structure({**data, "directory": directory}, Recipe)
            if recipe.runtime == runtime:
                return recipe
            raise ImageError(
                f"there is no image recipe for {runtime}", hint=f"There is one for {recipe.runtime}"
            )
    raise ImageError("the image recipes are not installed", hint="Install thawd again")
