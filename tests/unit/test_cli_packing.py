"""Packing a function: the same files, the same bytes."""

from __future__ import annotations

import io
import os
import stat
import zipfile

import pytest

from thawd.cli.packing import bundle, sent
from thawd.errors import BundleError


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "f"
    (root / "pkg").mkdir(parents=True)
    (root / "app.py").write_text("x = 1\n")
    (root / "pkg" / "a.py").write_text("y = 2\n")
    (root / "run.sh").write_text("#!/bin/sh\n")
    (root / "run.sh").chmod(0o755)
    return root


def entries(content: bytes) -> dict[str, int]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {info.filename: info.external_attr >> 16 for info in archive.infolist()}


def test_names_and_modes(folder):
    (folder / "app.py").chmod(0o600)  # a private umask must not lock the function's user out

    assert entries(bundle(folder)) == {
        "app.py": stat.S_IFREG | 0o644,
        "pkg/a.py": stat.S_IFREG | 0o644,
        "run.sh": stat.S_IFREG | 0o755,
    }


def test_times_do_not_change_the_bytes(folder):
    before = bundle(folder)
    os.utime(folder / "app.py", (10**9, 10**9))

    assert bundle(folder) == before


def test_content_does(folder):
    before = bundle(folder)
    (folder / "app.py").write_text("x = 2\n")

    assert bundle(folder) != before


def test_what_tools_leave_is_left_out(folder):
    (folder / "pkg" / "__pycache__").mkdir()
    (folder / "pkg" / "__pycache__" / "a.cpython-313.pyc").write_bytes(b"")
    (folder / ".git").mkdir()
    (folder / ".git" / "config").write_text("")
    (folder / "old.pyc").write_bytes(b"")

    assert set(entries(bundle(folder))) == {"app.py", "pkg/a.py", "run.sh"}


def test_a_zip_is_taken_as_it_is(folder, tmp_path):
    content = bundle(folder)
    (tmp_path / "f.zip").write_bytes(content)

    assert bundle(tmp_path / "f.zip") == content


def test_a_single_file(folder):
    assert set(entries(bundle(folder / "app.py"))) == {"app.py"}


def test_a_link_inside_becomes_a_file(folder):
    (folder / "again.py").symlink_to("app.py")

    with zipfile.ZipFile(io.BytesIO(bundle(folder))) as archive:
        assert archive.read("again.py") == b"x = 1\n"


@pytest.mark.parametrize(
    ("make", "complaint"),
    [
        (lambda root: (root / "x").symlink_to("/etc/hostname"), "outside of the function's folder"),
        (lambda root: (root / "x").symlink_to("pkg"), "is a link to a folder"),
        (lambda root: (root / "x").symlink_to("nowhere"), "is no regular file"),
        (lambda root: os.mkfifo(root / "x"), "is no regular file"),
    ],
)
def test_what_cannot_be_packed_is_named(folder, make, complaint):
    make(folder)

    with pytest.raises(BundleError, match=complaint):
        bundle(folder)


def test_nothing_to_pack(tmp_path):
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.zip").write_text("no")

    with pytest.raises(BundleError, match="holds no files"):
        bundle(tmp_path / "empty")
    with pytest.raises(BundleError, match="There is no"):
        bundle(tmp_path / "missing")
    with pytest.raises(BundleError, match="is not a zip file"):
        bundle(tmp_path / "bad.zip")


def test_a_folder_over_the_limit_is_refused_with_its_size_before_it_is_packed(folder):
    with (folder / "pkg" / "model.bin").open("wb") as file:
        file.truncate(300_000_000)

    with pytest.raises(BundleError) as caught:
        bundle(folder)

    assert caught.value.message == "Unzipped size must be smaller than 262144000 bytes"
    assert "It is 300000022 bytes (300.0 MB). The largest: pkg (300.0 MB)" == caught.value.hint


def test_a_zip_over_the_limit_is_refused_with_its_size(tmp_path):
    with zipfile.ZipFile(tmp_path / "f.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.bin", b"")
        archive.filelist[0].file_size = 262_144_001  # as the list at its end has it

    with pytest.raises(BundleError, match=r"It is 262144001 bytes \(262.1 MB\)"):
        bundle(tmp_path / "f.zip")


def test_a_small_zip_goes_with_the_request_and_a_large_one_before_it(tmp_path):
    class Client:
        def upload_code(self, path):
            return f"digest of {path.name}"

    zip_file = tmp_path / "f.zip"
    zip_file.write_bytes(b"zip")

    assert sent(Client(), zip_file) == {"ZipFile": "emlw"}

    with zip_file.open("wb") as file:
        file.truncate(60_000_000)

    assert sent(Client(), zip_file) == {"S3Bucket": "thaw", "S3Key": "digest of f.zip"}
