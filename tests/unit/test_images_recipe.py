"""What makes an image another one, and what does not."""

import shutil

import pytest

from thawd import runtimes
from thawd.errors import ImageError
from thawd.images import recipe as module
from thawd.images.recipe import load

RUNTIME = "python3.13"


@pytest.fixture
def sources(tmp_path, monkeypatch):
    """A copy of everything that goes into an image, to change."""
    shutil.copytree(module._base(), tmp_path / "base")
    shutil.copytree(module.package("thaw_agent"), tmp_path / "thaw_agent")
    python = runtimes.find(RUNTIME).directory
    shutil.copytree(python, tmp_path / "languages/python", ignore=lambda *_: ["examples"])
    monkeypatch.setattr(module, "_base", lambda: tmp_path / "base")
    monkeypatch.setattr(module, "package", lambda name: tmp_path / name)
    monkeypatch.setenv(runtimes.DIRECTORIES, str(tmp_path / "languages"))
    return tmp_path


@pytest.mark.parametrize(
    "path",
    [
        "thaw_agent/wire.py",
        "thaw_agent/restore/sequence.py",
        "languages/python/thaw_runtime/registry.py",
        "base/init",
        "base/recipe.toml",
        "languages/python/thaw_runtime.pth",
        "languages/python/runtime.toml",
        "languages/python/thaw_python_image.py",
    ],
)
def test_any_change_of_what_goes_in_makes_another_image(sources, path):
    before = load(RUNTIME).digest
    with (sources / path).open("a") as file:
        file.write("\n# changed\n")

    assert before != load(RUNTIME).digest


def test_the_agent_is_no_reason_to_fetch_debian_again(sources):
    before = load(RUNTIME)
    (sources / "thaw_agent/wire.py").write_text("")
    after = load(RUNTIME)

    assert before.system_digest == after.system_digest
    assert before.digest != after.digest


def test_another_package_version_is_a_reason(sources):
    before = load(RUNTIME).system_digest
    file = sources / "languages/python/runtime.toml"
    file.write_text(file.read_text().replace('"awslambdaric==', '"awslambdaric>='))

    assert before != load(RUNTIME).system_digest


def test_a_renamed_file_is_another_image(sources):
    before = load(RUNTIME).digest
    (sources / "thaw_agent/wire.py").rename(sources / "thaw_agent/wires.py")

    assert before != load(RUNTIME).digest


def test_what_python_caches_beside_its_sources_does_not_count(sources):
    before = load(RUNTIME).digest
    cache = sources / "thaw_agent/__pycache__"
    cache.mkdir(exist_ok=True)
    (cache / "other.cpython-311.pyc").write_bytes(b"compiled")

    assert before == load(RUNTIME).digest


def test_an_unknown_runtime_is_refused_and_the_known_named():
    with pytest.raises(ImageError) as caught:
        load("cobol1960")

    assert "there is no runtime cobol1960" == caught.value.message
    assert RUNTIME in caught.value.hint


@pytest.mark.parametrize("text", ["suite = ", 'suite = "trixie"', None])
def test_a_recipe_that_cannot_be_read_is_an_error_with_its_path(sources, text):
    file = sources / "base/recipe.toml"
    if text is None:
        file.unlink()
    else:
        file.write_text(text)

    with pytest.raises(ImageError, match=r"recipe\.toml cannot be read"):
        load(RUNTIME)


def test_a_file_of_the_language_that_is_not_there_is_named(sources):
    (sources / "languages/python/thaw_runtime.pth").unlink()

    with pytest.raises(ImageError, match=r"cannot be read: .*thaw_runtime\.pth"):
        load(RUNTIME)


def test_building_code_of_the_language_is_a_reason_to_fetch_again(sources):
    before = load(RUNTIME).system_digest
    (sources / "languages/python/thaw_python_image.py").write_text("")

    assert before != load(RUNTIME).system_digest


def test_a_runtime_with_an_archive_of_its_own_has_its_python_and_every_images_kernel():
    usual, other = load(RUNTIME), load("python3.12")

    assert (usual.archive.suite, usual.python) == ("trixie", "3.13")
    assert (other.archive.suite, other.python) == ("noble", "3.12")
    assert other.base == usual.base
    assert "usr/lib/python3.12/test" in other.remove
    assert usual.system_digest != other.system_digest
