"""Debian packages as a tree of files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from .tools import run

_MIRROR: Final = "http://deb.debian.org/debian"
_SECURITY: Final = "http://deb.debian.org/debian-security"
_KEYRING: Final = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


async def unpack(suite: str, packages: tuple[str, ...], target: Path) -> None:
    """Unpack Debian packages with their dependencies, today's security updates among them.

    The environment's THAWD_MIRROR and THAWD_SECURITY_MIRROR name other mirrors. Raises `ImageError`.

    No maintainer script runs, so nothing is missed by `chrootless`, the one mode that needs neither root nor user
    namespaces (which Ubuntu 24.04 forbids). It writes a tar file, because the tree has device nodes in it.
    """
    tarball = target.with_suffix(".tar")
    mirror = os.environ.get("THAWD_MIRROR", _MIRROR)
    security = os.environ.get("THAWD_SECURITY_MIRROR", _SECURITY)
    await run(
        [
            "mmdebstrap",
            "--mode=chrootless",
            "--variant=extract",
            f"--include={','.join(packages)}",
            '--aptopt=APT::Install-Recommends "false"',
            '--aptopt=Acquire::Languages "none"',
            *(
                f"--dpkgopt=path-exclude=/usr/share/{name}/*"
                for name in ("man", "doc", "locale", "info")
            ),
            # Where the host is no Debian, apt does not trust Debian's keys by itself.
            *([f"--keyring={_KEYRING}"] if _KEYRING.exists() else []),
            suite,
            tarball,
            f"deb {mirror} {suite} main",
            f"deb {mirror} {suite}-updates main",
            f"deb {security} {suite}-security main",
        ]
    )
    target.mkdir()
    # Owner and permissions as for any user, so that root builds what others build; mkfs.erofs gives all to root.
    options = ["--no-same-owner", "--no-same-permissions", "--exclude=./dev/*"]
    await run(["tar", "-xf", tarball, "-C", target, *options])
    tarball.unlink()
