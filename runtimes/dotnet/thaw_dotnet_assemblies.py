"""Our two .NET assemblies, built with an SDK of the machine, or taken from the wheel that they were built into.

Standard library only: thawd's image build imports it, and so does the build of the wheel, where nothing is installed.
As a program it prints which `dotnet` would build them.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

ROOT: Final = "THAWD_DOTNET_ROOT"
"""Environment variable: .NET directories, and archives for the image build, separated as in PATH. They come first."""

BUILT: Final = "assemblies"
"""The folder beside this file that a wheel has them in."""

NAMES: Final = ("Thaw.Bootstrap", "Thaw.Runtime")
_SOURCES: Final = ("Directory.Build.props", ".editorconfig", "core", "bootstrap", "runtime")
_SDK: Final = 10
"""The SDK's major version, at least: of the language's version that the sources are written in."""
_PLACES: Final = ("/usr/share/dotnet", "/usr/lib/dotnet", "/usr/lib64/dotnet", "/opt/dotnet")
"""Where Microsoft's and the distributions' packages put .NET."""
_SAID: Final = 4000
"""Characters at the end of what a failed build printed."""


class SdkMissing(Exception):
    """There is no .NET SDK here that can build them."""

    def __init__(self) -> None:
        super().__init__(f"no .NET SDK {_SDK}.0 or newer was found (${ROOT}, $DOTNET_ROOT, $PATH)")


class BuildFailed(Exception):
    """The SDK did not build them; the text is what it said."""


def roots(environment: Mapping[str, str] = os.environ) -> list[Path]:
    """Where .NET may be on this machine, each place once: what is named, DOTNET_ROOT, PATH, the usual places."""
    found: list[Path] = [*named(environment)]
    if given := environment.get("DOTNET_ROOT"):
        found.append(Path(given))
    if program := shutil.which("dotnet", path=environment.get("PATH")):
        found.append(Path(os.path.realpath(program)).parent)
    found += [Path(place) for place in _PLACES]
    if home := environment.get("HOME"):
        found.append(Path(home, ".dotnet"))
    return list(dict.fromkeys(found))


def named(environment: Mapping[str, str] = os.environ) -> list[Path]:
    """What THAWD_DOTNET_ROOT names."""
    return [Path(part) for part in environment.get(ROOT, "").split(os.pathsep) if part]


def version_key(version: str) -> tuple[tuple[int, ...], bool]:
    """Orders versions; of one number a release comes after its previews."""
    number, _, preview = version.partition("-")
    return tuple(int(part) for part in re.findall(r"\d+", number)), not preview


def find_sdk(environment: Mapping[str, str] = os.environ) -> Path:
    """The `dotnet` program of the first place with an SDK that can build them. Raises `SdkMissing`."""
    for root in roots(environment):
        program = root / "dotnet"
        sdks = (path.parent.name for path in root.glob("sdk/*/dotnet.dll"))
        if program.exists() and any(version_key(name)[0][:1] >= (_SDK,) for name in sdks):
            return program
    raise SdkMissing


def sources(directory: Path) -> list[Path]:
    """The files that they are built from, in a fixed order."""
    found: list[Path] = []
    for name in _SOURCES:
        path = directory / name
        found += sorted(path.rglob("*")) if path.is_dir() else [path]
    return [path for path in found if path.is_file()]


def digest(directory: Path) -> str:
    """Of those files, 64 hex digits."""
    of = hashlib.sha256()
    for path in sources(directory):
        content = path.read_bytes()
        of.update(f"{path.relative_to(directory)}\0{len(content)}\0".encode())
        of.update(content)
    return of.hexdigest()


def build(directory: Path, target: Path, *, dotnet: Path) -> None:
    """Build them from the sources in `directory` into the folder `target`. Raises `BuildFailed`."""
    with tempfile.TemporaryDirectory(prefix="thaw-dotnet-") as work:
        # A copy: the SDK looks for files in every folder above a project, and writes beside it.
        copy = Path(work, "source")
        for path in sources(directory):
            place = copy / path.relative_to(directory)
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, place)
        projects = "".join(
            f'<Project Path="{name.removeprefix("Thaw.").lower()}/{name}.csproj" />'
            for name in NAMES
        )
        (copy / "Assemblies.slnx").write_text(f"<Solution>{projects}</Solution>")
        done = subprocess.run(
            [
                dotnet,
                "build",
                "Assemblies.slnx",
                "--configuration=Release",
                f"-p:ArtifactsPath={work}/artifacts",
                "-p:UseSharedCompilation=false",
                "-p:RunAnalyzers=false",  # `./dev lint` runs them
                "-nodeReuse:false",
                "-verbosity:quiet",
                "-nologo",
            ],
            env=build_environment(Path(work)),
            cwd=copy,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode:
            raise BuildFailed(done.stdout[-_SAID:])
        target.mkdir(parents=True, exist_ok=True)
        for name in NAMES:
            made = Path(work, "artifacts/bin", name, "release", f"{name}.dll")
            shutil.copyfile(made, target / made.name)


def ready(directory: Path) -> Path:
    """The folder with both, built once for these sources. Raises `SdkMissing`, `BuildFailed`, `OSError`."""
    shipped = directory / BUILT
    if shipped.is_dir():
        return shipped
    kept = _cache() / digest(directory)[:32]
    if not kept.is_dir():
        dotnet = find_sdk()
        kept.parent.mkdir(parents=True, exist_ok=True)
        with _alone(kept.parent), tempfile.TemporaryDirectory(dir=kept.parent) as work:
            if not kept.is_dir():
                new = Path(work, "new")
                build(directory, new, dotnet=dotnet)
                new.rename(kept)
    return kept


def _cache() -> Path:
    given = os.environ.get("XDG_CACHE_HOME")
    return Path(given or Path.home() / ".cache", "thawd", "dotnet-assemblies")


@contextlib.contextmanager
def _alone(directory: Path) -> Iterator[None]:
    """Hold the lock of a directory; another process that builds there is waited for."""
    descriptor = os.open(directory / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def build_environment(work: Path) -> dict[str, str]:
    """For a build that asks nothing, tells nobody and leaves no process behind that holds our pipes open.

    It writes to `work` what is of no use afterwards.
    """
    return {
        **os.environ,
        "TMPDIR": str(work),
        # A service's environment may have none, and the SDK wants to write there.
        "HOME": os.environ.get("HOME", str(work)),
        "DOTNET_CLI_TELEMETRY_OPTOUT": "1",
        "DOTNET_NOLOGO": "1",
        "DOTNET_SKIP_FIRST_TIME_EXPERIENCE": "1",
        "DOTNET_GENERATE_ASPNET_CERTIFICATE": "false",
        "DOTNET_CLI_USE_MSBUILD_SERVER": "0",
        "DOTNET_CLI_UI_LANGUAGE": "en",
        "MSBUILDDISABLENODEREUSE": "1",
        # Without ICU .NET stops at its first look at a culture, unless it is told to have none.
        **({} if _has_icu() else {"DOTNET_SYSTEM_GLOBALIZATION_INVARIANT": "1"}),
    }


def _has_icu() -> bool:
    return any(Path("/usr").glob("lib*/libicuuc.so.*")) or any(
        Path("/usr/lib").glob("*/libicuuc.so.*")
    )


if __name__ == "__main__":
    try:
        sys.stdout.write(f"{find_sdk()}\n")
    except SdkMissing as missing:
        sys.exit(f"{missing}")
