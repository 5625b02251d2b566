"""Running the programs that images are made with."""

from __future__ import annotations

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
    "xz": "xz-utils",
    "tar": "tar",
    "ldconfig": "libc-bin",
}
"""The Debian package that brings each tool."""

_OUTPUT: Final = 1500
"""Characters of a failed tool's output that are shown."""


async def run(
    argv: Sequence[str | Path],
    *,
    cwd: Path | None = None,
    env: Mapping[str, str] | None = None,
) -> bytes:
    """Run a tool; returns its standard output. Raises `ImageError` with what it said when it fails."""
    name = Path(argv[0]).name
    try:
        done = await trio.run_process(
            [str(part) for part in argv],
            capture_stdout=True,
            capture_stderr=True,
            check=False,
            cwd=cwd,
            env=env,
            stdin=subprocess.DEVNULL,
        )
    except FileNotFoundError:
        package = PACKAGES.get(name, name)
        raise ImageError(
            f"{name} is not installed", hint=f"Install it: apt-get install {package}"
        ) from None
    if done.returncode:
        said = (done.stderr or done.stdout).decode(errors="replace").strip()
        raise ImageError(f"{name} failed with status {done.returncode}: {said[-_OUTPUT:]}")
    return done.stdout
