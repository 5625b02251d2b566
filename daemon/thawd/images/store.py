"""The image store: guest images by digest, each complete or invisible.

Layout::

    <digest>/                     vmlinux, initrd, root.erofs, manifest.json
    .system/<runtime>-<digest>/   Debian, kernel and the language's packages, unpacked: kept when only our own files change
    .new-*                        being written; removed by the next build

An image's digest is of the content of its files. Its `sources` digest is of what it was made of: with Debian's updates the same
sources make another image one day, and the one from before stays what snapshots were made of.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio
from attrs import define, field, frozen

from thawd import runtimes
from thawd.errors import ImageError
from thawd.files import Damaged, reading_ours

from .build import Progress, Versions, build_image, build_system
from .recipe import load
from .tools import run

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from .recipe import Recipe

_MANIFEST: Final = "manifest.json"
_BEFORE: Final = "python_version"
"""A manifest with this member was written by thawd 0.1."""

_FILES: Final = ("vmlinux", "initrd", "root.erofs")
_NEW: Final = ".new-"
_SYSTEM: Final = ".system"
_LOCK_POLL_S: Final = 0.2


def _silent(_step: str, _fraction: float | None) -> None:
    """Progress that nobody watches."""


@frozen(kw_only=True)
class Image:
    """A guest image on disk: an ELF kernel, an initramfs, a read-only erofs root file system."""

    runtime: str
    digest: str
    """SHA-256 over the digests of its files, 64 hex digits."""

    sources: str
    """SHA-256 of what it was made of: the recipe, the agent and the language as they were."""

    log_name: str
    """The runtime's name in log lines (`python:3.13`)."""

    must_report: str
    """The language's part without whose report no snapshot is taken, if there is one."""

    kernel: Path
    initrd: Path
    root: Path
    kernel_version: str
    language_version: str
    packages: dict[str, str]
    """The language's packages in it: name to version."""

    origin: str
    """Where the language was taken from, when that differs from machine to machine."""

    size_bytes: int
    built_at: float
    """Seconds since the epoch."""


@define
class ImageStore:
    """All images under one directory."""

    directory: Path
    _found: dict[str, Image] = field(factory=dict)

    def list(self) -> list[Image]:
        """Every image, the newest first. Raises `ImageError` when one cannot be read."""
        images = []
        for manifest in self.directory.glob(f"[!.]*/{_MANIFEST}"):
            try:
                with reading_ours():
                    images.append(_read(manifest))
            except (OSError, Damaged) as error:
                raise ImageError(
                    f"{manifest} cannot be read: {error!r}",
                    hint=f"Remove {manifest.parent} and build the image again: thaw image build",
                ) from error
        return sorted(images, key=lambda image: -image.built_at)

    def built(self) -> tuple[str, ...]:
        """The runtimes that there are images of, each once. Raises `ImageError`."""
        return tuple(sorted({image.runtime for image in self.list()}))

    def find(self, runtime: str) -> Image:
        """The image of a runtime: the newest made of today's sources, else the newest.

        Its files' digests are checked when it is first asked for, which takes some 0.2 s; afterwards it is the same
        image for as long as it exists, whatever is built beside it. Raises `ImageError`.
        """
        known = self._found.get(runtime)
        if known is not None and known.root.exists():
            return known
        images = [image for image in self.list() if image.runtime == runtime]
        if not images:
            raise ImageError(
                f"no image for runtime {runtime}", hint=f"Build one: thaw image build {runtime}"
            )
        image = _made_of(images, load(runtime)) or images[0]
        _verify(image)
        self._found[runtime] = image
        return image

    async def ensure(
        self, runtime: str, *, progress: Progress = _silent, fresh: bool = False
    ) -> Image:
        """The image made of today's recipe and sources, built if it is not there.

        `fresh` builds it in any case, of Debian's packages as they are now. Raises `ImageError`.
        """
        if fresh or _made_of(self.list(), load(runtime)) is None:
            return await self.build(runtime, progress=progress, fresh=fresh)
        self._found.pop(runtime, None)  # may be of sources from before
        return self.find(runtime)

    async def build(
        self, runtime: str, *, progress: Progress = _silent, fresh: bool = False
    ) -> Image:
        """Build the image made of today's recipe and sources.

        Debian's and the language's packages are those of the last build of the same recipe, unless `fresh`.
        One process builds at a time, others wait. Raises `ImageError`.
        """
        load(runtime)  # refuses an unknown runtime before anything is made
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        async with self._only_builder(progress):
            if not fresh and _made_of(self.list(), load(runtime)) is not None:
                return self.find(runtime)  # built by whom we waited for
            with _umask(0o022):
                for leftover in self.directory.glob(f"{_NEW}*"):
                    await trio.to_thread.run_sync(shutil.rmtree, leftover)
                system = await self._system(load(runtime), progress, fresh=fresh)
                recipe = load(runtime)  # sources may have changed meanwhile: these go in
                async with self._new() as new:
                    versions = await build_image(recipe, system, new, progress)
                    progress("syncing to disk", 0.97)
                    await trio.to_thread.run_sync(self._commit, new, recipe, versions)
        self._found.pop(runtime, None)
        return self.find(runtime)

    def remove(self, image: Image) -> None:
        """Remove an image, and the unpacked packages if no image is left that could need them."""
        self._found.pop(image.runtime, None)
        with tempfile.TemporaryDirectory(
            prefix=_NEW, dir=self.directory, ignore_cleanup_errors=True
        ) as grave:
            (self.directory / image.digest).rename(Path(grave, "image"))
        if not self.list():
            shutil.rmtree(self.directory / _SYSTEM, ignore_errors=True)

    async def _system(self, recipe: Recipe, progress: Progress, *, fresh: bool) -> Path:
        """The recipe's unpacked packages, from the cache unless they are not there or shall be `fresh`."""
        systems = self.directory / _SYSTEM
        system = systems / f"{recipe.runtime.id}-{recipe.system_digest[:16]}"
        if fresh or not system.exists():
            async with self._new() as new:
                await build_system(recipe, new, progress)
                systems.mkdir(exist_ok=True)
                # Thousands of small files: one sync of the file system is quicker than one of each.
                await run(["sync", "--file-system", new])
                # Earlier recipes' have no further use: images hold their own links to what they need.
                for number, before in enumerate(systems.glob(f"{recipe.runtime.id}-*")):
                    before.rename(new.parent / f"before-{number}")
                new.rename(system)
                _sync(systems)
        return system

    def _commit(self, new: Path, recipe: Recipe, versions: Versions) -> None:
        """Make what was built an image of the store."""
        files = {name: _digest(new / name) for name in _FILES}
        digest = hashlib.sha256(json.dumps(files).encode()).hexdigest()
        manifest = {
            "runtime": recipe.runtime.id,
            "digest": digest,
            "sources": recipe.digest,
            "kernel_version": versions.kernel,
            "language_version": versions.language.version,
            "packages": versions.language.packages,
            "origin": versions.language.origin,
            "log_name": recipe.runtime.log_name,
            "must_report": recipe.runtime.must_report,
            "files": files,
        }
        (new / _MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n")
        for path in (*(new / name for name in (*_FILES, _MANIFEST)), new):
            _sync(path)
        target = self.directory / digest
        if target.exists():
            # The very same files, and machines may be running on the old ones: only the manifest is replaced.
            (new / _MANIFEST).replace(target / _MANIFEST)
            _sync(target)
        else:
            new.rename(target)
        _sync(self.directory)

    @asynccontextmanager
    async def _new(self) -> AsyncIterator[Path]:
        """A directory to build in, with a parent of its own; what is left of both at the end is removed."""
        outer = Path(tempfile.mkdtemp(prefix=_NEW, dir=self.directory))
        inner = outer / "new"
        inner.mkdir()
        try:
            yield inner
        finally:
            with trio.CancelScope(shield=True):
                await trio.to_thread.run_sync(lambda: shutil.rmtree(outer, ignore_errors=True))

    @asynccontextmanager
    async def _only_builder(self, progress: Progress) -> AsyncIterator[None]:
        """Hold the store's lock; another process that builds is waited for."""
        descriptor = os.open(self.directory / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            if not _locked(descriptor):
                progress("waiting for another build", None)
                # It is another process's, whose end nothing tells of.
                while not _locked(descriptor):  # noqa: ASYNC110
                    await trio.sleep(_LOCK_POLL_S)
            yield
        finally:
            os.close(descriptor)


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _umask(mask: int) -> Iterator[None]:
    """Build under this umask: other users in the guest read what a process with a private one wrote.

    It is the whole process's. So only commands build (`thaw image build`, `thaw demo`), never a daemon that serves.
    """
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def _made_of(images: list[Image], recipe: Recipe) -> Image | None:
    """The first of these that is made of today's sources."""
    return next((image for image in images if image.sources == recipe.digest), None)


def _read(manifest: Path) -> Image:
    data = json.loads(manifest.read_text())
    directory = manifest.parent
    if _BEFORE in data:
        # The first version knew one language only, and did not write these down.
        of = runtimes.find(data["runtime"])
        data |= {"log_name": of.log_name, "must_report": of.must_report}
        data["language_version"] = data[_BEFORE]
    return Image(
        runtime=data["runtime"],
        digest=data["digest"],
        sources=data["sources"],
        log_name=data["log_name"],
        must_report=data["must_report"],
        kernel=directory / "vmlinux",
        initrd=directory / "initrd",
        root=directory / "root.erofs",
        kernel_version=data["kernel_version"],
        language_version=data["language_version"],
        packages=data["packages"],
        origin=data.get("origin", ""),  # not of images from before
        size_bytes=sum((directory / name).stat().st_size for name in _FILES),
        built_at=manifest.stat().st_mtime,
    )


def _verify(image: Image) -> None:
    """Raise `ImageError` when a file is not what was built."""
    directory = image.kernel.parent
    expected = json.loads((directory / _MANIFEST).read_text())["files"]
    for name in _FILES:
        if _digest(directory / name) != expected[name]:
            raise ImageError(
                f"{directory / name} is not what was built",
                hint=f"Build it again: thaw image remove {image.digest[:12]}; thaw image build {image.runtime}",
            )


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
