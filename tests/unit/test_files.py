"""A full disk is told as one, whatever failed because of it."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING

import pytest
import trio

from thawd import files
from thawd.errors import EngineError
from thawd.files import telling_a_full_disk

if TYPE_CHECKING:
    from pathlib import Path


def engine_error(number: int | None) -> EngineError:
    error = EngineError("cannot copy the memory", hint="somewhere that is gone by now")
    error.__cause__ = None if number is None else OSError(number, "no")
    return error


FULL = [
    OSError(errno.ENOSPC, "no"),
    OSError(errno.EDQUOT, "no"),
    engine_error(errno.ENOSPC),  # also where there is room, but not for all of it
]
OTHER = [OSError(errno.EIO, "no"), engine_error(errno.EIO), engine_error(None), trio.TooSlowError()]


@pytest.mark.parametrize("error", FULL, ids=repr)
def test_an_error_of_a_full_disk_names_the_file_system(tmp_path: Path, error: Exception) -> None:
    full = pytest.raises(EngineError, match="no space left on the file system of")
    with full as told, telling_a_full_disk(tmp_path):
        raise error
    assert f"`df -h {tmp_path}`" in told.value.hint


@pytest.mark.parametrize("error", OTHER, ids=repr)
def test_another_error_stays_what_it_is(tmp_path: Path, error: Exception) -> None:
    with pytest.raises(type(error)) as told, telling_a_full_disk(tmp_path):
        raise error
    assert told.value is error


@pytest.mark.parametrize("error", [engine_error(None), trio.TooSlowError()], ids=repr)
def test_what_a_full_disk_makes_of_a_machine_is_told_as_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    monkeypatch.setattr(files, "is_full", lambda _path: True)
    with pytest.raises(EngineError, match="no space left"), telling_a_full_disk(tmp_path):
        raise error
