"""A copied memory file has the same bytes and the same holes."""

import errno
import fcntl
import os

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from thawd.engines import memory_file
from thawd.engines.memory_file import copy_memory_file, create_memory_file

MIB = 1 << 20


def write(path, offset, data):
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(data)


def test_a_new_file_is_a_hole_only_its_owner_may_read(tmp_path):
    create_memory_file(tmp_path / "m", 64 * MIB)
    status = (tmp_path / "m").stat()

    assert (status.st_size, status.st_blocks, status.st_mode & 0o777) == (64 * MIB, 0, 0o600)


async def test_holes_stay_holes(tmp_path):
    source, target = tmp_path / "a", tmp_path / "b"
    create_memory_file(source, 256 * MIB)
    write(source, 100 * MIB, b"in the middle")
    source.chmod(0o400)
    await copy_memory_file(source, target)

    assert target.stat().st_size == 256 * MIB
    assert target.stat().st_blocks * 512 < 2 * MIB
    assert target.stat().st_mode & 0o777 == 0o600
    with target.open("rb") as file:
        file.seek(100 * MIB)
        assert file.read(13) == b"in the middle"


@pytest.mark.parametrize("missing", ["reflink", "copy_file_range"])
@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=15, deadline=None
)
@given(
    writes=st.lists(
        st.tuples(st.integers(0, 3 * MIB), st.binary(min_size=1, max_size=9000)), max_size=5
    )
)
def test_any_contents_are_copied_whatever_the_file_system_can(
    tmp_path_factory, monkeypatch, missing, writes
):
    def refuse(*_args):
        raise OSError(errno.EOPNOTSUPP, "not here")

    monkeypatch.setattr(fcntl, "ioctl", refuse)
    if missing == "copy_file_range":
        monkeypatch.setattr(os, "copy_file_range", refuse)
    directory = tmp_path_factory.mktemp("copy")
    source, target = directory / "a", directory / "b"
    create_memory_file(source, 4 * MIB)
    for offset, data in writes:
        write(source, offset, data)
    memory_file._copy(source, target)

    assert target.read_bytes() == source.read_bytes()


async def test_a_full_disk_is_the_callers_to_report(tmp_path, monkeypatch):
    def full(*_args):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(fcntl, "ioctl", full)
    create_memory_file(tmp_path / "a", MIB)
    with pytest.raises(OSError, match="No space"):
        await copy_memory_file(tmp_path / "a", tmp_path / "b")
