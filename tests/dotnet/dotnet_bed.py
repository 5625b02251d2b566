"""Functions in .NET for tests: built with the SDK that is here, against AWS's packages or our stand-ins for them."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import shutil
import subprocess
import tempfile
import zipfile
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import thaw_dotnet_assemblies as assemblies

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parents[2]
CACHE: Final = ROOT / ".cache" / "dotnet-tests"
STAND_INS: Final = Path(__file__).parent / "stand_ins"
FUNCTIONS: Final = Path(__file__).parent / "functions"
EXAMPLES: Final = ROOT / "runtimes" / "dotnet" / "examples"
PACKAGES: Final = "THAWD_LAMBDA_PACKAGES"
"""Environment variable: a folder with AWS's own packages, which are then taken instead of the stand-ins."""


def _cores() -> tuple[str, ...]:
    """Releases of Amazon.Lambda.Core that there are: without levels, without hooks, with them, today's."""
    if not (given := os.environ.get(PACKAGES)):
        return ("1.2.0", "2.4.0", "2.5.0", "3.2.0")
    names = [path.stem for path in Path(given).glob("Amazon.Lambda.Core.[0-9]*.nupkg")]
    return tuple(sorted(name.removeprefix("Amazon.Lambda.Core.") for name in names))


CORES: Final = _cores()


def sdk() -> Path | None:
    """The `dotnet` of this machine's SDK, if there is one."""
    try:
        return assemblies.find_sdk()
    except assemblies.SdkMissing:
        return None


needs_sdk = pytest.mark.skipif(
    sdk() is None and not os.environ.get("CI"),
    reason=f"no .NET 10 SDK: install one, or name its directory in {assemblies.ROOT}",
)
"""A CI without an SDK fails, and does not pass by skipping."""


def _has_powershell() -> bool:
    program = sdk()
    return program is not None and (
        bool(os.environ.get(PACKAGES))
        or (program.parent / "sdk/NuGetFallbackFolder/microsoft.powershell.sdk").is_dir()
    )


needs_powershell = pytest.mark.skipif(
    not _has_powershell(),
    reason="no package Microsoft.PowerShell.SDK beside the .NET SDK",
)
"""Of 100 MB, which few SDKs have beside them."""


@functools.cache
def packages() -> Path:
    """A folder of packages that functions are built against."""
    if given := os.environ.get(PACKAGES):
        return Path(given).resolve()
    target = CACHE / f"packages-{_digest(STAND_INS)}"
    if not target.is_dir():
        with _new(target) as new:
            dotnet("build", STAND_INS, "pack.proj", f"-p:Feed={new}", cache=_installed(target))
    return target


def published(
    project: Path, *arguments: str, configuration: str = "Release", **properties: str
) -> Path:
    """The folder that `dotnet publish` makes of a project, made once for the same sources and arguments."""
    feed = packages()
    named = [f"-p:{name}={value}" for name, value in properties.items()]
    key = repr((_digest(project), _name(feed), arguments, configuration, named))
    target = CACHE / f"{project.name}-{hashlib.sha256(key.encode()).hexdigest()[:16]}"
    if not target.is_dir():
        with _new(target) as new:
            dotnet(
                "publish",
                project,
                f"--configuration={configuration}",
                f"--output={new}",
                f"-p:RestoreSources={feed}",
                *arguments,
                *named,
                cache=_installed(feed),
            )
    return target


def published_powershell() -> Path:
    """The example in PowerShell, for Linux alone as `dotnet lambda package` makes it: a third of its size."""
    return published(EXAMPLES / "powershell", "--runtime=linux-x64", "--self-contained=false")


def zipped(folder: Path) -> bytes:
    """A package as `dotnet lambda package` makes it: the files of the folder at the top, with their permissions."""
    data = BytesIO()
    with zipfile.ZipFile(data, "w", zipfile.ZIP_DEFLATED, strict_timestamps=False) as archive:
        for path in sorted(folder.rglob("*")):
            archive.write(path, path.relative_to(folder))
    return data.getvalue()


def http_event(
    method: str,
    path: str,
    *,
    query: str = "",
    headers: dict[str, str] | None = None,
    cookies: list[str] | None = None,
    body: str | None = None,
    base64: bool = False,
    stage: str = "$default",
) -> dict[str, Any]:
    """An event of an HTTP API, payload format 2.0."""
    event = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": query,
        "headers": headers or {},
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "api-1",
            "domainName": "api.example",
            "http": {
                "method": method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.1",
                "userAgent": "tests",
            },
            "requestId": "gateway-1",
            "routeKey": "$default",
            "stage": stage,
            "time": "29/Nov/2026:07:00:00 +0000",
            "timeEpoch": 1795935600000,
        },
        "isBase64Encoded": base64,
    }
    if cookies is not None:
        event["cookies"] = cookies
    if body is not None:
        event["body"] = body
    return event


def dotnet(verb: str, project: Path, *arguments: str, cache: Path) -> None:
    """Run the SDK on a copy of a project, so that nothing is written beside the sources."""
    program = sdk()
    assert program is not None, "there is no .NET SDK"
    with tempfile.TemporaryDirectory(prefix="thaw-dotnet-") as work:
        source = Path(work, "source", project.name)
        shutil.copytree(project, source)
        shared = project.parent / "Directory.Build.props"
        if shared.exists():
            shutil.copy(shared, source.parent)
        done = subprocess.run(
            [
                program,
                verb,
                *arguments,
                f"-p:ArtifactsPath={work}/artifacts",
                "-nodeReuse:false",
                "-nologo",
            ],
            cwd=source,
            env={**assemblies.build_environment(Path(work)), "NUGET_PACKAGES": str(cache)},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout


def _installed(feed: Path) -> Path:
    """Where packages of a feed are unpacked. Never the user's own: the stand-ins have the names of AWS's."""
    return CACHE / f"nuget-{_name(feed)}"


@functools.cache
def _name(feed: Path) -> str:
    """Another one for other packages: those in a folder that was given may be made anew, with the same versions."""
    return feed.name if feed.parent == CACHE else f"given-{_digest(feed)}"


def _digest(directory: Path) -> str:
    of = hashlib.sha256()
    for path in sorted(directory.rglob("*")):
        if path.is_file():
            of.update(f"{path.relative_to(directory)}\0{path.stat().st_size}\0".encode())
            of.update(path.read_bytes())
    return of.hexdigest()[:16]


@contextlib.contextmanager
def _new(target: Path) -> Iterator[Path]:
    """A folder that gets its name when it is complete; of several processes that make it, one wins."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as outer:
        new = Path(outer, "new")
        new.mkdir()
        yield new
        if not target.is_dir():
            new.rename(target)
