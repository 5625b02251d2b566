"""Bundles of the packages in requirements.txt: installed once for the guest's Python, and taken apart by RECORD.

requirements.txt is the one table of versions: the whole closure, pinned. It is installed into .cache/packages, and a
bundle is made of links to the files of one package and of all that it requires, as `pip install --target` would put
them beside a function.
"""

from __future__ import annotations

import csv
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from importlib.metadata import Distribution, distributions
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from catalogue import PACKAGES
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CACHE = ROOT / ".cache" / "packages"
REQUIREMENTS = HERE / "requirements.txt"
FUNCTIONS = HERE / "functions"
BUNDLES = CACHE / "bundles"
GUEST = {
    "python_version": "3.13", "python_full_version": "3.13.5", "implementation_name": "cpython",
    "platform_python_implementation": "CPython", "sys_platform": "linux", "platform_system": "Linux",
    "platform_machine": "x86_64", "os_name": "posix",
}  # fmt: skip


def site() -> Site:
    """All packages, installed now if the table has changed; other processes wait meanwhile."""
    digest = hashlib.sha256(REQUIREMENTS.read_bytes()).hexdigest()[:16]
    folder = CACHE / f"site-{digest}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            for old in [*CACHE.glob("site-*"), *CACHE.glob("new-*")]:
                shutil.rmtree(old)
            fresh = CACHE / "new-site"
            _install(fresh)
            fresh.rename(folder)
    return Site(folder)


def _install(folder: Path) -> None:
    # --no-deps: the table has them all, and pip would ask the host's Python which of them the guest's needs.
    command = [
        sys.executable, "-m", "pip", "install", "--quiet", "--target", str(folder), "--no-deps", "--no-compile",
        "--only-binary=:all:", "--python-version=3.13", "--implementation=cp", "--abi=cp313", "--abi=abi3",
        "--abi=none", "--platform=manylinux_2_28_x86_64", "--platform=manylinux_2_17_x86_64",
        "--platform=manylinux2014_x86_64", "-r", str(REQUIREMENTS),
    ]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no packages for the guest: {done.stderr.strip()[-300:]}")


class Site:
    """What is installed, by name."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._known: dict[str, Distribution] = {
            canonicalize_name(found.metadata["Name"]): found
            for found in distributions(path=[str(folder)])
        }

    def versions(self, package: str) -> str:
        """What a package of the catalogue is installed as: `fastapi 0.165.0, mangum 0.22.0`."""
        names = [Requirement(one).name for one in PACKAGES[package]]
        return ", ".join(f"{name} {self._known[canonicalize_name(name)].version}" for name in names)

    @contextmanager
    def bundle(self, name: str, *packages: str) -> Iterator[Path]:
        """A folder with functions for these packages (`catalogue`), the packages, and all that they require."""
        folder = BUNDLES / name
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        try:
            requirements = [one for package in packages for one in PACKAGES[package]]
            for required in sorted(self.closure(requirements)):
                self._link(self._known[required], folder)
            for module in ("app", "local", *(f"use_{package}" for package in packages)):
                shutil.copy2(FUNCTIONS / f"{module}.py", folder)
            yield folder
        finally:
            shutil.rmtree(folder)

    def closure(self, requirements: Iterable[str]) -> set[str]:
        """Names of these packages and of all that they require in the guest. Raises KeyError for one that is missing."""
        found: set[tuple[str, str]] = set()
        waiting = [Requirement(one) for one in requirements]
        while waiting:
            requirement = waiting.pop()
            name = canonicalize_name(requirement.name)
            for extra in ("", *requirement.extras):
                if (name, extra) in found:
                    continue
                found.add((name, extra))
                for text in self._known[name].requires or ():
                    needed = Requirement(text)
                    if needed.marker is None:
                        if not extra:
                            waiting.append(needed)
                    elif needed.marker.evaluate({**GUEST, "extra": extra}) and (
                        not extra or not needed.marker.evaluate({**GUEST, "extra": ""})
                    ):
                        waiting.append(needed)
        return {name for name, _ in found}

    def _link(self, distribution: Distribution, folder: Path) -> None:
        record = distribution.read_text("RECORD")
        assert record is not None, distribution
        for path, *_ in csv.reader(record.splitlines()):
            source, target = self.folder / path, folder / path
            if path.startswith(("/", "..")) or not source.is_file():
                continue  # scripts, which --target puts elsewhere
            target.parent.mkdir(parents=True, exist_ok=True)
            if not target.exists():
                os.link(source, target)
