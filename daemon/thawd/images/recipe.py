"""What an image is made of: the recipe file, and the sources of ours that go into it."""

from __future__ import annotations

import hashlib
import importlib.util
import tomllib
from pathlib import Path
from typing import Final

import cattrs
from attrs import evolve, frozen

from thawd.errors import ImageError

_FORMAT: Final = "3"
"""Of the slow part's building code: raised when it makes something else of the same recipe."""

_BUILDERS: Final = ("build.py", "initramfs.py", "kernel.py")
"""The quick part's building code: what is changed there makes another image by itself."""


@frozen(kw_only=True)
class Recipe:
    """A recipe file. `directory` holds it and the files it needs."""

    runtime: str
    suite: str
    python: str
    packages: tuple[str, ...]
    kernel: str
    busybox: str
    modules: tuple[str, ...]
    python_packages: tuple[str, ...]
    remove: tuple[str, ...]
    directory: Path = Path()
    digest: str = ""
    """Identifies everything that goes in, as it was on disk: recipe, agent, runtime, building code."""

    @property
    def system_digest(self) -> str:
        """Identifies the slow part, which has nothing of ours in it: Debian, kernel, PyPI."""
        parts = [
            _FORMAT,
            self.suite,
            self.python,
            self.kernel,
            self.busybox,
            self.packages,
            self.python_packages,
            self.remove,
        ]
        return hashlib.sha256(repr(parts).encode()).hexdigest()


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
    """The recipe of a runtime. Raises `ImageError`."""
    path = _directory() / "recipe.toml"
    try:
        recipe = cattrs.structure(
            {**tomllib.loads(path.read_text()), "directory": path.parent}, Recipe
        )
    except (OSError, ValueError, cattrs.BaseValidationError) as error:
        raise ImageError(f"{path} cannot be read: {error}", hint="Install thawd again") from error
    if recipe.runtime != runtime:
        raise ImageError(
            f"there is no image recipe for {runtime}", hint=f"There is one for {recipe.runtime}"
        )
    return evolve(recipe, digest=_digest(recipe))


def _digest(recipe: Recipe) -> str:
    digest = hashlib.sha256(recipe.system_digest.encode())
    here = Path(__file__).parent
    files = [(here, here / name) for name in _BUILDERS]
    for tree in (recipe.directory, package("thaw_agent"), package("thaw_runtime")):
        files += [(tree, path) for path in source_files(tree)]
    for tree, path in files:
        content = path.read_bytes()
        digest.update(f"{path.relative_to(tree)}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def _directory() -> Path:
    """Where the recipe is: in the installed package, or in the source tree."""
    ours = package("thawd")
    installed = ours / "_runtimes"
    runtimes = installed if installed.is_dir() else ours.parents[1] / "runtimes"
    return runtimes / "python/image"
