"""Zip files from strangers: what is allowed comes out as it went in, everything else is refused and leaves nothing."""

from __future__ import annotations

import io
import os
import stat
import struct
import warnings
import zipfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from thawd.code.unpack import NOT_A_ZIP, unpack
from thawd.errors import BundleError


def make(
    *entries: tuple[str, bytes] | tuple[str, bytes, int], method: int = zipfile.ZIP_DEFLATED
) -> io.BytesIO:
    buffer = io.BytesIO()
    with warnings.catch_warnings(), zipfile.ZipFile(buffer, "w", method) as archive:
        warnings.simplefilter("ignore")  # of duplicate names, which is what some tests want
        for name, data, *mode in entries:
            info = zipfile.ZipInfo("x")
            info.filename = info.orig_filename = name
            info.create_system = 3
            info.compress_type = method
            info.external_attr = (mode[0] if mode else stat.S_IFREG | 0o644) << 16
            archive.writestr(info, data)
    buffer.seek(0)
    return buffer


def test_files_folders_modes_and_inside_links_come_out(tmp_path: Path) -> None:
    source = make(
        ("app.py", b"print()"),
        ("bin/tool", b"#!", stat.S_IFREG | 0o700),
        ("lib/", b"", stat.S_IFDIR | 0o755),
        ("lib/current", b"../app.py", stat.S_IFLNK | 0o777),
    )

    assert unpack(source, tmp_path) == 9

    assert (tmp_path / "app.py").read_bytes() == b"print()"
    assert stat.S_IMODE((tmp_path / "app.py").stat().st_mode) == 0o644
    assert stat.S_IMODE((tmp_path / "bin/tool").stat().st_mode) == 0o755
    assert (tmp_path / "lib/current").resolve() == tmp_path / "app.py"


def test_modes_do_not_depend_on_the_umask(tmp_path: Path) -> None:
    """The daemon runs with 077; the function's user must read its code all the same."""
    before = os.umask(0o077)
    try:
        unpack(make(("a/b/app.py", b"")), tmp_path)
    finally:
        os.umask(before)

    modes = [stat.S_IMODE((tmp_path / name).stat().st_mode) for name in ("a", "a/b", "a/b/app.py")]
    assert modes == [0o755, 0o755, 0o644]


@pytest.mark.parametrize(
    "name",
    ["../x", "a/../../x", "/etc/passwd", "a\\..\\x", "C:/x", "a/..", "x" * 300],
)
def test_names_that_lead_elsewhere_are_refused(tmp_path: Path, name: str) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()

    with pytest.raises(BundleError, match="unsafe name"):
        unpack(make((name, b"x")), inside)

    assert list(tmp_path.rglob("*")) == [inside]


@pytest.mark.parametrize("target", ["/etc/passwd", "../../etc/passwd", "a/../../../x", ""])
def test_links_that_lead_out_are_refused(tmp_path: Path, target: str) -> None:
    with pytest.raises(BundleError, match="link"):
        unpack(make(("d/link", target.encode(), stat.S_IFLNK | 0o777)), tmp_path)


def test_a_link_that_leads_out_through_another_link_is_refused(tmp_path: Path) -> None:
    """As text, `here/here/../..` ends where it began; followed, it ends two folders further up."""
    here = ("here", b".", stat.S_IFLNK | 0o777)
    out = ("out", b"here/here/../..", stat.S_IFLNK | 0o777)

    for entries in ((here, out), (out, here)):
        inside = tmp_path / entries[0][0]
        inside.mkdir()
        with pytest.raises(BundleError, match="leads out"):
            unpack(make(*entries), inside)


def test_paths_deeper_than_can_be_removed_again_are_refused(tmp_path: Path) -> None:
    """shutil.rmtree recurses: a tree of a thousand folders would stay, and stop every later start of the daemon."""
    with pytest.raises(BundleError, match="too many folders"):
        unpack(make(("d/" * 1200 + "x", b"")), tmp_path)

    assert list(tmp_path.iterdir()) == []


def test_folders_that_are_only_implied_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("thawd.code.unpack._NODES_LIMIT", 50)
    entries = [(f"{number}/" + "d/" * 20 + "x", b"") for number in range(3)]

    with pytest.raises(BundleError, match="more than 50 files and folders"):
        unpack(make(*entries), tmp_path)

    assert len(list(tmp_path.rglob("*"))) <= 50


def test_a_list_of_entries_beyond_all_bounds_is_refused_before_it_is_read(tmp_path: Path) -> None:
    """A million entries in one zip of 47 MB would be half a gigabyte of Python objects."""
    entry = struct.pack("<4s6H3L5H2L", b"PK\x01\x02", *([0] * 9), 1, *([0] * 6)) + b"a"
    count = 100_001
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, len(entry) * count, 0, 0)

    with pytest.raises(BundleError, match="more than 100000 files and folders"):
        unpack(io.BytesIO(entry * count + end), tmp_path)


def test_a_name_in_the_old_encoding_is_no_overlap(tmp_path: Path) -> None:
    """Zips without the UTF-8 flag have names of code page 437, whose letters are one byte each."""
    raw = make(("caf_.py", b"data"), ("tea.py", b"data"), method=zipfile.ZIP_STORED).getvalue()

    assert unpack(io.BytesIO(raw.replace(b"caf_.py", b"caf\x82.py")), tmp_path) == 8
    assert sorted(path.name for path in tmp_path.iterdir()) == ["café.py", "tea.py"]


def test_a_file_is_never_written_through_a_link(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    source = make(("d", b"../out", stat.S_IFLNK | 0o777), ("d/x", b"owned"))

    with pytest.raises(BundleError):
        unpack(source, inside)

    assert list(outside.iterdir()) == []


@pytest.mark.parametrize("kind", [stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK])
def test_devices_and_the_like_are_refused(tmp_path: Path, kind: int) -> None:
    with pytest.raises(BundleError, match="no file, folder or link"):
        unpack(make(("dev", b"", kind | 0o644)), tmp_path)


def test_the_same_name_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="twice"):
        unpack(make(("a", b"1"), ("./a", b"2")), tmp_path)


@pytest.mark.parametrize("entries", [(("a", b"1"), ("a/b", b"2")), (("a/b", b"2"), ("a", b"1"))])
def test_a_name_that_is_file_and_folder_is_refused(
    tmp_path: Path, entries: tuple[tuple[str, bytes], ...]
) -> None:
    with pytest.raises(BundleError, match="both a file and a folder"):
        unpack(make(*entries), tmp_path)


def test_a_bomb_is_stopped_by_what_it_says(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="Unzipped size must be smaller"):
        unpack(make(("zeroes", bytes(1_000_000))), tmp_path, limit=999_999)


def test_a_bomb_that_lies_about_its_size_is_stopped(tmp_path: Path) -> None:
    """The size in the headers is set to 10; the data is a megabyte."""
    raw = bytearray(make(("zeroes", bytes(1_000_000))).getvalue())
    struct.pack_into("<I", raw, 22, 10)
    central = raw.index(b"PK\x01\x02")
    struct.pack_into("<I", raw, central + 24, 10)

    with pytest.raises(BundleError):
        unpack(io.BytesIO(raw), tmp_path, limit=1000)

    assert sum(path.stat().st_size for path in tmp_path.rglob("*") if path.is_file()) <= 1000


def test_overlapping_entries_are_refused(tmp_path: Path) -> None:
    """One kernel of data under two names, as the zip bombs without nesting have it."""
    raw = bytearray(make(("a", b"data"), ("b", b"data")).getvalue())
    second = raw.index(b"PK\x01\x02", raw.index(b"PK\x01\x02") + 1)
    struct.pack_into("<I", raw, second + 42, 0)

    with pytest.raises(BundleError):
        unpack(io.BytesIO(raw), tmp_path)


def test_encrypted_entries_are_refused(tmp_path: Path) -> None:
    raw = bytearray(make(("a", b"data")).getvalue())
    raw[6] |= 1
    raw[raw.index(b"PK\x01\x02") + 8] |= 1

    with pytest.raises(BundleError, match="encrypted"):
        unpack(io.BytesIO(raw), tmp_path)


def test_other_compressions_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="deflate"):
        unpack(make(("a", b"data"), method=zipfile.ZIP_BZIP2), tmp_path)


_segment = st.sampled_from(["a", "b", "..", ".", "", "c d", "ü", "x" * 20])
_paths = st.lists(_segment, min_size=1, max_size=4).map("/".join)
_modes = st.sampled_from(
    [stat.S_IFREG | 0o644, stat.S_IFLNK | 0o777, stat.S_IFDIR | 0o755, stat.S_IFIFO, 0]
)

# What a link of these contents leads to is sometimes another entry, sometimes outside.
_data = st.binary(max_size=40) | _paths.map(str.encode)


@settings(max_examples=100, deadline=None)
@given(entries=st.lists(st.tuples(_paths, _data, _modes), max_size=6))
def test_whatever_the_archive_nothing_is_written_outside(
    tmp_path_factory: pytest.TempPathFactory, entries: list[tuple[str, bytes, int]]
) -> None:
    """And every link that was made leads inside."""
    top = tmp_path_factory.mktemp("zip")
    inside = top / "a" / "inside"
    inside.mkdir(parents=True)
    try:
        unpack(make(*entries), inside)
    except BundleError:
        pass
    else:
        for path in inside.rglob("*"):
            if path.is_symlink():
                assert Path(os.path.realpath(path)).is_relative_to(inside)
    assert sorted(top.iterdir()) == [top / "a"]
    assert sorted((top / "a").iterdir()) == [inside]


@settings(max_examples=100, deadline=None)
@given(data=st.binary(max_size=200), cut=st.integers(0, 120), flip=st.integers(0, 119))
@example(data=b"", cut=0, flip=0)
def test_damaged_and_random_bytes_are_refused_or_read_never_worse(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, cut: int, flip: int
) -> None:
    good = bytearray(make(("app.py", data)).getvalue())
    good[flip % len(good)] ^= 0xFF
    for raw in (data, bytes(good), bytes(good[: len(good) - cut])):
        target = tmp_path_factory.mktemp("zip")
        try:
            unpack(io.BytesIO(raw), target)
        except BundleError:
            continue
        assert zipfile.is_zipfile(io.BytesIO(raw))
        # A checksum stands for the content, and none for its name.
        for path in target.rglob("*"):
            assert path.is_dir() or path.read_bytes() == data


def test_what_is_no_zip_gets_lambdas_words(tmp_path: Path) -> None:
    with pytest.raises(BundleError) as caught:
        unpack(io.BytesIO(b"not a zip"), tmp_path)

    assert caught.value.message == NOT_A_ZIP
