"""Running the programs that images are made with."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Final

import trio

from thawd.errors import ImageError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PACKAGES: Final = {
    "mmdebstrap": "mmdebstrap",
    "mkfs.erofs": "erofs-utils",
    "zstd": "zstd",
    "tar": "tar",
    "ldconfig": "libc-bin",
}
"""The Debian package that brings each tool."""

_LINES: Final = 12
"""Last lines of a failed tool's output that are shown."""


async def run(argv: Sequence[str | Path], *, env: Mapping[str, str] | None = None) -> bytes:
    """Run a tool; returns its standard output.

    Its environment is `env`, by default ours. Raises `ImageError` when it is missing, and with what it said last
    when it fails.
    """
    program, *arguments = map(str, argv)
    name = Path(program).name
    found = shutil.which(program, path=_search_path())
    if found is None:
        raise ImageError(
            f"{name} is not installed",
            hint=f"Install it: apt-get install {PACKAGES.get(name, name)}",
        )
    done = await trio.run_process(
        [found, *arguments],
        capture_stdout=True,
        capture_stderr=True,
        check=False,
        env={**os.environ, "PATH": _search_path(), "LC_ALL": "C.UTF-8"} if env is None else env,
        stdin=subprocess.DEVNULL,
    )
    if done.returncode:
        said = (done.stderr or done.stdout).decode(errors="replace").strip()
        last = "\n".join(said.splitlines()[-_LINES:])
        raise ImageError(f"{name} failed with status {done.returncode}:\n{last}")
    return done.stdout


def _search_path() -> str:
    """PATH, and where Debian keeps ldconfig and mkfs.erofs, which an ordinary user's PATH leaves out."""
    return f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
