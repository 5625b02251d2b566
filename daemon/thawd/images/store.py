"""The image store: guest images by digest, each complete or invisible.

Layout::

    <digest>/       vmlinux, initrd, root.erofs, manifest.json
    .system/<digest>/   Debian, kernel and PyPI packages unpacked: what a change of ours need not build again
    .new-*          being written; removed by the next build
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio
from attrs import define, field, frozen

from thawd.errors import ImageError

from .build import Progress, build_image, build_system
from .recipe import load

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

_MANIFEST: Final = "manifest.json"
_FILES: Final = ("vmlinux", "initrd", "root.erofs")
_NEW: Final = ".new-"
_SYSTEM: Final = ".system"


def _silent(_step: str, _fraction: float | None) -> None:
    """Progress for nobody."""


@frozen(kw_only=True)
class Image:
    """A guest image on disk: an ELF kernel, an initramfs, a read-only erofs root file system."""

    runtime: str
    digest: str
    kernel: Path
    initrd: Path
    root: Path
    kernel_version: str
    packages: dict[str, str]
    size_bytes: int
    built_at: float


@define
class ImageStore:
    """All images under one directory."""

    directory: Path
    _found: dict[str, Image] = field(factory=dict)

    def list(self) -> list[Image]:
        """Every image, the newest first."""
        images = []
        for manifest in self.directory.glob(f"[!.]*/{_MANIFEST}"):
            try:
                images.append(_read(manifest))
            except (OSError, ValueError, KeyError) as error:
                raise ImageError(
                    f"{manifest} cannot be read: {error}",
                    hint=f"Remove {manifest.parent} and build the image again",
                ) from error
        return sorted(images, key=lambda image: -image.built_at)

    def find(self, runtime: str) -> Image:
        """The image of a runtime: the one that is made of today's sources, else the newest.

        Its files' digests are checked when it is first asked for. Raises `ImageError`.
        """
        if runtime in self._found:
            return self._found[runtime]
        images = [image for image in self.list() if image.runtime == runtime]
        if not images:
            raise ImageError(
                f"no image for runtime {runtime}", hint=f"Build one: thaw image build {runtime}"
            )
        wanted = load(runtime).digest
        image = next((image for image in images if image.digest == wanted), images[0])
        _verify(image)
        self._found[runtime] = image
        return image

    async def ensure(self, runtime: str, *, progress: Progress = _silent) -> Image:
        """The image made of today's recipe and sources, built if it is not there. Raises `ImageError`."""
        digest = load(runtime).digest
        if not (self.directory / digest / _MANIFEST).exists():
            return await self.build(runtime, progress=progress)
        return self.find(runtime)

    async def build(self, runtime: str, *, progress: Progress = _silent) -> Image:
        """Build the image made of today's recipe and sources. Raises `ImageError`."""
        recipe = load(runtime)
        digest = recipe.digest
        self.directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        async with self._only_builder(progress):
            # What is built is read by other users in the guest, whatever umask this process was given.
            os.umask(0o022)
            for leftover in self.directory.glob(_NEW + "*"):
                await trio.to_thread.run_sync(shutil.rmtree, leftover)
            system = self.directory / _SYSTEM / recipe.system_digest[:16]
            if not system.exists():
                async with self._new() as new:
                    await build_system(recipe, new, progress)
                    system.parent.mkdir(exist_ok=True)
                    new.rename(system)
            async with self._new() as new:
                versions = await build_image(recipe, system, new, digest, progress)
                progress("syncing to disk", 0.97)
                manifest = {
                    "runtime": runtime,
                    "digest": digest,
                    "kernel_version": versions["kernel"],
                    "packages": versions["packages"],
                    "files": {name: _digest(new / name) for name in _FILES},
                }
                (new / _MANIFEST).write_text(json.dumps(manifest, indent=1))
                for name in (*_FILES, _MANIFEST):
                    _sync(new / name)
                target = self.directory / digest
                if target.exists():
                    shutil.rmtree(target)
                new.rename(target)
                _sync(self.directory)
        self._found.pop(runtime, None)
        return self.find(runtime)

    def remove(self, image: Image) -> None:
        """Remove an image, and the unpacked system if no image is left that could need it."""
        self._found.pop(image.runtime, None)
        grave = Path(tempfile.mkdtemp(prefix=_NEW, dir=self.directory))
        (self.directory / image.digest).rename(grave / "image")
        shutil.rmtree(grave)
        if not self.list():
            shutil.rmtree(self.directory / _SYSTEM, ignore_errors=True)

    @asynccontextmanager
    async def _new(self) -> AsyncIterator[Path]:
        """A directory to build in; what is left of it at the end is removed."""
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
            while True:
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    progress("waiting for another build", None)
                    await trio.sleep(
                        0.2
                    )  # the lock is another process's: there is nothing to be told by
            yield
        finally:
            os.close(descriptor)


def _read(manifest: Path) -> Image:
    data = json.loads(manifest.read_text())
    directory = manifest.parent
    return Image(
        runtime=data["runtime"],
        digest=data["digest"],
        kernel=directory / "vmlinux",
        initrd=directory / "initrd",
        root=directory / "root.erofs",
        kernel_version=data["kernel_version"],
        packages=data["packages"],
        size_bytes=sum((directory / name).stat().st_size for name in _FILES),
        built_at=manifest.stat().st_mtime,
    )


def _verify(image: Image) -> None:
    directory = image.kernel.parent
    expected = json.loads((directory / _MANIFEST).read_text())["files"]
    for name, digest in expected.items():
        if _digest(directory / name) != digest:
            raise ImageError(
                f"{directory / name} is not what was built",
                hint=f"Remove it and build again: thaw image remove {image.digest[:12]}; thaw image build",
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
