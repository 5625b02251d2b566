"""A folder as the read-only disk image that a machine mounts."""

from __future__ import annotations

import os
import subprocess
import uuid
from typing import TYPE_CHECKING, Final

from thawd.engines.machine import CODE_DISK_BYTES
from thawd.errors import BundleError, StorageError

if TYPE_CHECKING:
    from pathlib import Path

_LIMIT_S: Final = 120.0
"""For 250 MB: some 5 s on an idle processor. A tool that hangs must not keep the daemon from ending."""


def make_disk(tree: Path, disk: Path, digest: str) -> None:
    """The tree as an erofs image: everything root's, no times, an identifier of its content; same zip, same bytes.

    Padded, sparse, to the one size all code disks have. Raises `BundleError`, `OSError`.
    """
    identifier = str(uuid.UUID(digest[:32]))
    try:
        subprocess.run(
            ["mkfs.erofs", "-x-1", "--all-root", "-T0", f"-U{identifier}", disk, tree],
            check=True,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=_LIMIT_S,
        )
    except FileNotFoundError:
        raise BundleError(
            "mkfs.erofs is not installed", hint="apt-get install erofs-utils"
        ) from None
    except subprocess.TimeoutExpired:
        raise StorageError(f"the code disk was not made within {_LIMIT_S:g} s") from None
    except subprocess.CalledProcessError as error:
        # The tree was checked, so mkfs.erofs is stopped by its surroundings.
        raise StorageError(
            f"the code disk could not be made: {error.stderr.strip()[-500:]}",
            hint=f"Is there room on the file system of {disk.parent.parent}? Then try again",
        ) from error
    size = disk.stat().st_size
    if size > CODE_DISK_BYTES:
        raise BundleError(f"the code takes {size} bytes on disk, more than {CODE_DISK_BYTES}")
    os.truncate(disk, CODE_DISK_BYTES)
