"""Where an image's .NET comes from, and what is said when it comes from nowhere."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import tarfile
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import pytest
import thaw_dotnet_assemblies as assemblies
import thaw_dotnet_image as image

from thawd.errors import ImageError
from thawd.images.hook import Build

FRAMEWORKS = ("Microsoft.NETCore.App", "Microsoft.AspNetCore.App")


def install(root: Path, *versions: str, resolver: str | None = None) -> Path:
    """As much of an installation as an image takes."""
    root.mkdir(parents=True, exist_ok=True)
    (root / "dotnet").write_text("the host")
    for version in versions:
        for name in FRAMEWORKS:
            folder = root / "shared" / name / version
            folder.mkdir(parents=True)
            (folder / f"{name}.dll").write_text(version)
    fxr = root / "host/fxr" / (resolver or versions[-1])
    fxr.mkdir(parents=True)
    (fxr / "libhostfxr.so").write_text("resolver")
    return root


def archived(root: Path) -> bytes:
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode="w:gz") as archive:
        archive.add(root, ".")
    return data.getvalue()


@pytest.fixture(autouse=True)
def nothing_here(monkeypatch, tmp_path):
    """A machine without .NET, whatever this one has."""
    for name in (assemblies.ROOT, "DOTNET_ROOT", image.FEED):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setattr(assemblies, "_PLACES", ())
    on_path(monkeypatch, None)


def on_path(monkeypatch: pytest.MonkeyPatch, dotnet: Path | None) -> None:
    """Let this be the `dotnet` that PATH leads to."""
    which = shutil.which

    def found(name: str, **more: str) -> str | None:
        if name != "dotnet":
            return which(name, **more)
        return str(dotnet) if dotnet else None

    monkeypatch.setattr(shutil, "which", found)


@pytest.fixture
def build(tmp_path):
    fetched = tmp_path / "fetched"
    fetched.mkdir()
    return Build(
        root=tmp_path / "root",
        fetched=fetched,
        directory=tmp_path,
        settings={"version": "10.0"},
        python="3.13",
    )


class Feed(BaseHTTPRequestHandler):
    """Microsoft's download, as far as it is asked."""

    files: ClassVar[dict[str, bytes]] = {}

    def do_GET(self):
        body = self.files.get(self.path)
        self.send_response(200 if body is not None else 404)
        self.send_header("Content-Length", str(len(body or b"")))
        self.end_headers()
        self.wfile.write(body or b"")

    def log_message(self, *_):
        pass


@pytest.fixture
def feed(monkeypatch, tmp_path):
    """A server with a release; returns its files by path."""
    archive = archived(install(tmp_path / "released", "10.0.12"))
    path = "/dotnet/aspnetcore/Runtime/10.0.12/aspnetcore-runtime-10.0.12-linux-x64.tar.gz"
    listing = {
        "releases": [
            {"aspnetcore-runtime": None},  # a release of the SDK alone
            {
                "aspnetcore-runtime": {
                    "version": "10.0.12",
                    "files": [
                        {"name": "aspnetcore-runtime-linux-arm64.tar.gz", "url": "x", "hash": "y"},
                        {
                            "name": "aspnetcore-runtime-linux-x64.tar.gz",
                            "url": f"https://builds.dotnet.microsoft.com{path}",
                            "hash": hashlib.sha512(archive).hexdigest().upper(),
                        },
                    ],
                }
            },
        ]
    }
    files = {
        "/dotnet/release-metadata/10.0/releases.json": json.dumps(listing).encode(),
        path: archive,
    }
    monkeypatch.setattr(Feed, "files", files)
    with ThreadingHTTPServer(("127.0.0.1", 0), Feed) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv(image.FEED, f"http://127.0.0.1:{server.server_port}/dotnet")
        yield files
        server.shutdown()
        thread.join()


def taken(build: Build) -> dict[str, str]:
    root = build.fetched / "dotnet"
    return {
        path.relative_to(root).as_posix(): path.read_text()
        for path in root.rglob("*")
        if path.is_file()
    }


async def test_of_a_machines_dotnet_the_newest_of_the_version_is_taken_and_nothing_else(
    build, monkeypatch, tmp_path
):
    root = install(tmp_path / "here", "8.0.34", "10.0.9", "10.0.12", "11.0.0")
    (root / "sdk").mkdir()
    monkeypatch.setenv("DOTNET_ROOT", str(root))
    await image.fetch(build)

    assert taken(build) == {
        "dotnet": "the host",
        "host/fxr/11.0.0/libhostfxr.so": "resolver",  # starts frameworks older than itself
        "shared/Microsoft.NETCore.App/10.0.12/Microsoft.NETCore.App.dll": "10.0.12",
        "shared/Microsoft.AspNetCore.App/10.0.12/Microsoft.AspNetCore.App.dll": "10.0.12",
    }
    assert (build.fetched / "origin").read_text() == str(root)


async def test_the_resolver_of_the_version_is_taken_where_there_is_one(
    build, monkeypatch, tmp_path
):
    root = install(tmp_path / "here", "10.0.12")
    install(root, "11.0.0")
    monkeypatch.setenv("DOTNET_ROOT", str(root))
    await image.fetch(build)

    assert "host/fxr/10.0.12/libhostfxr.so" in taken(build)


async def test_what_is_named_is_taken_before_what_the_machine_has(build, monkeypatch, tmp_path):
    monkeypatch.setenv("DOTNET_ROOT", str(install(tmp_path / "here", "10.0.12")))
    named = install(tmp_path / "named", "10.0.9")
    monkeypatch.setenv(assemblies.ROOT, f"{tmp_path / 'nothing'}:{named}")
    await image.fetch(build)

    assert (build.fetched / "origin").read_text() == str(named)


async def test_an_archive_can_be_named(build, monkeypatch, tmp_path):
    archive = tmp_path / "aspnetcore-runtime-10.0.12-linux-x64.tar.gz"
    archive.write_bytes(archived(install(tmp_path / "x", "10.0.12")))
    monkeypatch.setenv(assemblies.ROOT, str(archive))
    await image.fetch(build)

    assert "shared/Microsoft.AspNetCore.App/10.0.12/Microsoft.AspNetCore.App.dll" in taken(build)
    assert (build.fetched / "origin").read_text() == str(archive)


async def test_when_what_is_named_lacks_the_version_nothing_else_is_taken(
    build, feed, monkeypatch, tmp_path
):
    named = install(tmp_path / "named", "8.0.34")
    monkeypatch.setenv(assemblies.ROOT, str(named))
    with pytest.raises(ImageError, match=r"there is no \.NET 10\.0 here") as caught:
        await image.fetch(build)

    assert str(named) in caught.value.message
    assert caught.value.hint is not None
    assert "aspnetcore-runtime-10.0" in caught.value.hint


async def test_a_dotnet_without_aspnet_is_passed_over(build, feed, monkeypatch, tmp_path):
    root = install(tmp_path / "here", "10.0.12")
    (root / "shared/Microsoft.AspNetCore.App/10.0.12").rename(tmp_path / "away")
    monkeypatch.setenv("DOTNET_ROOT", str(root))
    await image.fetch(build)

    assert (build.fetched / "origin").read_text().endswith("10.0.12-linux-x64.tar.gz")


async def test_a_download_is_taken_when_it_has_the_listed_sum(build, feed):
    await image.fetch(build)

    assert "shared/Microsoft.NETCore.App/10.0.12/Microsoft.NETCore.App.dll" in taken(build)
    origin = (build.fetched / "origin").read_text()
    assert origin.endswith(
        "/dotnet/aspnetcore/Runtime/10.0.12/aspnetcore-runtime-10.0.12-linux-x64.tar.gz"
    )


async def test_a_download_of_another_sum_is_refused_and_not_unpacked(build, feed):
    (path,) = [path for path in feed if path.endswith(".gz")]
    feed[path] = feed[path] + b"x"
    with pytest.raises(ImageError, match="SHA-512"):
        await image.fetch(build)

    assert not (build.fetched / "dotnet").exists()
    assert not (build.fetched / "download").exists()


@pytest.mark.parametrize(
    "listing",
    [
        b"no JSON",
        b"[]",
        b'{"releases": [{"aspnetcore-runtime": {"files": [{"name": "aspnetcore-runtime-linux-x64.tar.gz"}]}}]}',
        b'{"releases": [{"aspnetcore-runtime": {"version": "1", "files": [{"name": "aspnetcore-runtime-linux-x64.tar.gz", "url": "https://x/dotnet/../../etc/passwd", "hash": ""}]}}]}',
    ],
)
async def test_a_list_of_releases_that_is_none_is_refused(build, feed, listing):
    feed["/dotnet/release-metadata/10.0/releases.json"] = listing
    with pytest.raises(ImageError, match=r"releases\.json cannot be read"):
        await image.fetch(build)


async def test_without_any_the_refusal_says_where_it_was_looked_for_and_what_to_do(
    build, monkeypatch, tmp_path
):
    monkeypatch.setenv(image.FEED, "http://127.0.0.1:1/dotnet")
    monkeypatch.setenv("DOTNET_ROOT", str(tmp_path / "nothing"))
    with pytest.raises(ImageError, match="cannot be reached") as caught:
        await image.fetch(build)

    assert caught.value.hint is not None
    assert str(tmp_path / "nothing") in caught.value.hint
    assert assemblies.ROOT in caught.value.hint


async def test_without_an_sdk_and_without_built_assemblies_the_build_names_both(build):
    (build.root / "var/runtime").mkdir(parents=True)
    with pytest.raises(
        ImageError, match=r"no Thaw\.Bootstrap\.dll and no Thaw\.Runtime\.dll"
    ) as caught:
        await image.finish(build)

    assert "no .NET SDK 10.0" in caught.value.message
    assert caught.value.hint is not None
    assert "dotnet-sdk-10.0" in caught.value.hint


def test_places_are_named_ones_then_dotnet_root_then_the_path_then_the_usual(monkeypatch, tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "real/dotnet").write_text("")
    (tmp_path / "dotnet").symlink_to("real/dotnet")
    monkeypatch.setattr(assemblies, "_PLACES", ("/usual",))
    on_path(monkeypatch, tmp_path / "dotnet")
    found = assemblies.roots(
        {assemblies.ROOT: "/a:/b", "DOTNET_ROOT": "/c", "HOME": "/h", "PATH": "x"}
    )

    assert found == [
        Path("/a"), Path("/b"), Path("/c"), tmp_path / "real", Path("/usual"), Path("/h/.dotnet"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("smaller", "larger"),
    [
        ("10.0.9", "10.0.12"),
        ("8.0.34", "10.0.0"),
        ("10.0.0-rc.2", "10.0.0"),
        ("9.0.100", "10.0.100"),
    ],
)
def test_versions_are_compared_as_numbers(smaller, larger):
    assert assemblies.version_key(smaller) < assemblies.version_key(larger)


def test_an_sdk_too_old_to_build_them_is_passed_over(monkeypatch, tmp_path):
    for name, version in (("old", "8.0.400"), ("new", "10.0.100")):
        (tmp_path / name / "sdk" / version).mkdir(parents=True)
        (tmp_path / name / "sdk" / version / "dotnet.dll").write_text("")
        (tmp_path / name / "dotnet").write_text("")
    named = {assemblies.ROOT: f"{tmp_path}/old:{tmp_path}/new"}

    assert assemblies.find_sdk(named) == tmp_path / "new/dotnet"
    with pytest.raises(assemblies.SdkMissing):
        assemblies.find_sdk({assemblies.ROOT: f"{tmp_path}/old"})


def test_any_change_of_a_source_makes_other_assemblies(tmp_path):
    for name in assemblies._SOURCES:
        (tmp_path / name).write_text("x")
    before = assemblies.digest(tmp_path)
    (tmp_path / "bootstrap").unlink()
    (tmp_path / "bootstrap").mkdir()
    (tmp_path / "bootstrap/Program.cs").write_text("x")

    assert before != assemblies.digest(tmp_path)
