"""`thaw image`, over a store that is pretended."""

from __future__ import annotations

import importlib
import json
import sys
from types import SimpleNamespace

import pytest
from attrs import define, evolve, field, frozen

from thawd import config
from thawd.cli.main import main
from thawd.errors import ImageError


@frozen(kw_only=True)
class FakeImage:
    runtime: str
    digest: str
    kernel: object
    initrd: object
    root: object
    language_version: str = "3.13.1"
    origin: str = ""


@define
class FakeStore:
    """Two images; what is built or removed is recorded."""

    images: list
    calls: list = field(factory=list)

    def __call__(self, directory):
        self.calls.append(directory)
        return self

    def list(self):
        return list(self.images)

    async def ensure(self, runtime, *, progress, fresh=False):
        if runtime != "python3.13":
            raise ImageError(f"no recipe for runtime {runtime}", hint="There is python3.13")
        progress("packages", 0.5)
        return self.images[0]

    def remove(self, image):
        self.images.remove(image)


@pytest.fixture
def store(tmp_path, monkeypatch):
    file = tmp_path / "part"
    file.write_bytes(bytes(1_000_000))

    def image(digest):
        return FakeImage(runtime="python3.13", digest=digest, kernel=file, initrd=file, root=file)

    fake = FakeStore([image("aa11" * 16), image("aa22" * 16)])
    module = SimpleNamespace(ImageStore=fake, Image=FakeImage)
    monkeypatch.setitem(sys.modules, "thawd.images.store", module)
    monkeypatch.delitem(sys.modules, "thawd.cli.image", raising=False)
    monkeypatch.setattr(config.places, "SYSTEM_FILE", tmp_path / "none")
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path))
    yield fake
    sys.modules.pop("thawd.cli.image", None)
    importlib.invalidate_caches()


def test_build(store, capsys, tmp_path):
    assert main(["image", "build"]) == 0
    assert capsys.readouterr().out.startswith("python3.13: image aa11aa11aa11 is ready (")
    assert store.calls == [tmp_path / "images"]


def test_build_says_where_a_language_was_taken_from(store, capsys):
    store.images[0] = evolve(store.images[0], origin="/usr/share/dotnet")

    assert main(["image", "build"]) == 0
    assert capsys.readouterr().out.endswith("3.13.1 is from /usr/share/dotnet\n")


def test_a_runtime_without_a_recipe(store, capsys):
    assert main(["image", "build", "cobol"]) == 69
    assert capsys.readouterr().err == ("thaw: no recipe for runtime cobol. There is python3.13\n")


def test_list(store, capsys):
    assert main(["image", "list"]) == 0
    assert capsys.readouterr().out == (
        "DIGEST        RUNTIME     MB\naa11aa11aa11  python3.13   3\naa22aa22aa22  python3.13   3\n"
    )
    assert main(["image", "list", "--json"]) == 0
    assert [image["Bytes"] for image in json.loads(capsys.readouterr().out)] == [3_000_000] * 2


def test_an_empty_store_says_what_to_do(store, capsys):
    store.images.clear()

    assert main(["image", "list"]) == 0
    assert capsys.readouterr().err == "No images. Build one: thaw image build\n"


def test_remove_by_the_beginning_of_a_digest(store, capsys):
    assert main(["image", "remove", "aa2"]) == 0
    assert capsys.readouterr().out == "Removed aa22aa22aa22 (python3.13)\n"
    assert [image.digest[:4] for image in store.images] == ["aa11"]


@pytest.mark.parametrize(("digest", "says"), [("aa", "more than one image"), ("b", "no image b")])
def test_remove_only_what_is_meant(store, capsys, digest, says):
    assert main(["image", "remove", digest]) == 69
    assert says in capsys.readouterr().err
    assert len(store.images) == 2
