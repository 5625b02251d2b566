""".NET's part of the image build: the frameworks of one major version in /var/lang/bin, and our assemblies in /var/runtime.

Where .NET comes from, the first that has the version: what THAWD_DOTNET_ROOT names (directories and archives
`aspnetcore-runtime-*.tar.gz`; nothing else is looked at then), what this machine has, Microsoft's download.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, Final

import httpx
import thaw_dotnet_assemblies as assemblies
import trio

from thawd.errors import ImageError
from thawd.images.hook import Found

if TYPE_CHECKING:
    from thawd.images.hook import Build

FEED: Final = "THAWD_DOTNET_FEED"
"""Environment variable: the download's address, for mirrors with the same layout."""

_FEED: Final = "https://builds.dotnet.microsoft.com/dotnet"
_ARCHIVE: Final = "aspnetcore-runtime-linux-x64.tar.gz"
"""Its name in Microsoft's list of releases."""

_FRAMEWORKS: Final = ("Microsoft.NETCore.App", "Microsoft.AspNetCore.App")
_ROOT: Final = "var/lang/bin"
_RUNTIME: Final = "var/runtime"
_LIBRARIES: Final = "usr/lib/x86_64-linux-gnu"
_REMOVE: Final = (
    "createdump",
    "libcoreclrtraceptprovider.so",  # wants LTTng
    "libmscordaccore.so",  # these two are a debugger's
    "libmscordbi.so",
)
"""What no function uses; 10 MB."""

_TIMEOUT_S: Final = 60.0


async def fetch(build: Build) -> None:
    """The frameworks, into `dotnet/` of `build.fetched`, and where they are from."""
    version: str = build.settings["version"]
    target = build.fetched / "dotnet"
    if named := assemblies.named():
        looked = await _first(named, version, build, target)
        if looked is None:
            raise _absent(version, f"{assemblies.ROOT} names {_list(named)}", named)
    else:
        places = assemblies.roots()
        looked = await _first(places, version, build, target)
        if looked is None:
            looked = await _download(version, build, target)
    (build.fetched / "origin").write_text(looked)


async def install(build: Build) -> Found:
    """Put them in their place, without what no function uses."""
    root = build.root / _ROOT
    root.parent.mkdir(parents=True, exist_ok=True)
    (build.fetched / "dotnet").rename(root)
    versions = {name: next((root / "shared" / name).iterdir()).name for name in _FRAMEWORKS}
    for name in _REMOVE:
        for path in root.rglob(name):
            path.unlink()
    origin = (build.fetched / "origin").read_text()
    await _libraries_there(build, origin)
    await build.compile([_RUNTIME])
    return Found(version=versions[_FRAMEWORKS[0]], packages=versions, origin=origin)


async def finish(build: Build) -> None:
    """Our assemblies, and the launcher compiled."""
    try:
        built = await trio.to_thread.run_sync(assemblies.ready, build.directory)
    except assemblies.SdkMissing as error:
        raise ImageError(
            f"this thawd has no {' and no '.join(f'{name}.dll' for name in assemblies.NAMES)}: it was made where there "
            f"was no .NET SDK, and here {error}",
            hint=f"Install dotnet-sdk-10.0, or name an SDK's directory: {assemblies.ROOT}=DIRECTORY",
        ) from error
    except (assemblies.BuildFailed, OSError) as error:
        raise ImageError(
            f"thawd's .NET assemblies cannot be built: {error}",
            hint=f"{assemblies.ROOT} names another .NET SDK",
        ) from error
    for name in assemblies.NAMES:
        target = build.root / _RUNTIME / f"{name}.dll"
        target.unlink(missing_ok=True)
        shutil.copyfile(built / target.name, target)
    await build.compile([_RUNTIME])


async def _first(places: list[Path], version: str, build: Build, target: Path) -> str | None:
    """Take the frameworks of the first of these places that has them; says where from."""
    for number, place in enumerate(places):
        if place.is_file():
            unpacked = build.fetched / f"archive-{number}"
            await _unpack(place, unpacked, build)
            if _take(unpacked, version, target):
                return str(place)
        elif await trio.to_thread.run_sync(_take, place, version, target):
            return str(place)
    return None


def _take(root: Path, version: str, target: Path) -> bool:
    """Copy a version's newest frameworks, the host that starts them and its resolver; False where one is missing."""
    muxer = root / "dotnet"
    parts = [_newest(root / "shared" / name, version) for name in _FRAMEWORKS]
    # A resolver starts frameworks older than itself.
    resolver = _newest(root / "host/fxr", version) or _newest(root / "host/fxr", "")
    found = [path for path in (*parts, resolver) if path is not None]
    if not muxer.exists() or len(found) <= len(parts):
        return False
    target.mkdir(parents=True)
    shutil.copy(os.path.realpath(muxer), target / "dotnet")
    for path in found:
        shutil.copytree(path, target / path.relative_to(root))
    for name in ("LICENSE.txt", "ThirdPartyNotices.txt"):
        if (root / name).exists():
            shutil.copy(root / name, target / name)
    return True


def _newest(directory: Path, version: str) -> Path | None:
    """The folder of the newest release of a version (`10.0`; empty: of any)."""
    wanted = f"{version}." if version else ""
    found = [path for path in directory.glob(f"{wanted}*") if path.is_dir()]
    return max(found, key=lambda path: assemblies.version_key(path.name), default=None)


async def _unpack(archive: Path, target: Path, build: Build) -> None:
    target.mkdir()
    # No device files and no paths upwards are made: tar refuses both from archives of others.
    options = ["--no-same-owner", "--no-same-permissions"]
    await build.run(["tar", "-xzf", archive, "-C", target, *options])


async def _download(version: str, build: Build, target: Path) -> str:
    """The newest release of a version from Microsoft, compared with the SHA-512 in its list of releases."""
    feed = os.environ.get(FEED, _FEED).rstrip("/")
    archive = build.fetched / _ARCHIVE
    try:
        async with httpx.AsyncClient(timeout=_TIMEOUT_S, follow_redirects=True) as client:
            listing = await client.get(f"{feed}/release-metadata/{version}/releases.json")
            listing.raise_for_status()
            release, address, wanted = _release(listing.content, version, feed)
            digest = hashlib.sha512()
            async with client.stream("GET", address) as answer:
                answer.raise_for_status()
                with archive.open("wb") as file:
                    async for piece in answer.aiter_raw():
                        digest.update(piece)
                        file.write(piece)
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        raise _absent(
            version, f"{feed} cannot be reached: {error!r}", assemblies.roots()
        ) from error
    if digest.hexdigest() != wanted:
        raise ImageError(
            f"{address} has not the SHA-512 that Microsoft's list of releases says",
            hint="Try again; if it stays so, something between Microsoft and this machine changes it",
        )
    unpacked = build.fetched / "download"
    await _unpack(archive, unpacked, build)
    archive.unlink()
    if not _take(unpacked, version, target):
        raise ImageError(f"{address} is not the ASP.NET Core runtime {release}")
    return address


def _release(listing: bytes, version: str, feed: str) -> tuple[str, str, str]:
    """The newest release with an archive for this machine: version, address below `feed`, SHA-512."""
    try:
        releases: list[dict[str, Any]] = json.loads(listing)["releases"]
        for release in releases:  # the newest first
            part = release.get("aspnetcore-runtime") or {}
            for file in part.get("files", ()):
                if file["name"] == _ARCHIVE:
                    return part["version"], _address(file["url"], feed), file["hash"].lower()
    except (ValueError, KeyError, TypeError, AttributeError, httpx.InvalidURL) as error:
        raise ImageError(
            f"{feed}/release-metadata/{version}/releases.json cannot be read: {error!r}",
            hint=f"{FEED} names another mirror",
        ) from error
    raise ImageError(f"{feed} has no {_ARCHIVE} of .NET {version}")


def _address(url: str, feed: str) -> str:
    """Where a file of Microsoft's is below `feed`: what follows /dotnet/ is the same in every mirror."""
    path = httpx.URL(url).path.partition("/dotnet/")[2]
    if not path or ".." in PurePosixPath(path).parts:
        raise ValueError(f"{url} is not below /dotnet/")
    return f"{feed}/{path}"


def _absent(version: str, why: str, places: list[Path]) -> ImageError:
    return ImageError(
        f"there is no .NET {version} here ({' and '.join(_FRAMEWORKS)}): {why}",
        hint=(
            f"Install aspnetcore-runtime-{version}, or name a directory or an aspnetcore-runtime-{version}.*-linux-x64.tar.gz: "
            f"{assemblies.ROOT}=PATH. Looked at: {_list(places)}"
        ),
    )


def _list(places: list[Path]) -> str:
    return ", ".join(map(str, places))


async def _libraries_there(build: Build, origin: str) -> None:
    """Refuse a .NET whose native code wants libraries that the image lacks, as distributions' builds may.

    Raises `ImageError`.
    """
    root = build.root / _ROOT
    loader = build.root / "usr/lib64/ld-linux-x86-64.so.2"
    missing: set[str] = set()
    for path in [root / "dotnet", *sorted(root.rglob("*.so"))]:
        said = await build.run(
            [loader, "--inhibit-cache", "--library-path", build.root / _LIBRARIES, path],
            env={"LD_TRACE_LOADED_OBJECTS": "1"},  # what ldd(1) sets: nothing of it is run
        )
        missing |= {
            line.split()[0] for line in said.decode().splitlines() if line.endswith("not found")
        }
    if missing:
        raise ImageError(
            f".NET of {origin} wants libraries that the image does not have: {', '.join(sorted(missing))}",
            hint=f"Take Microsoft's own build: {assemblies.ROOT}=aspnetcore-runtime-VERSION-linux-x64.tar.gz",
        )
