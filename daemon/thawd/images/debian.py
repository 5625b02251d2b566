"""Packages of Debian, or of an archive like it, as a tree of files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from thawd.errors import ImageError

from .tools import run

if TYPE_CHECKING:
    from thawd.runtimes import Archive

_MIRROR: Final = "http://deb.debian.org/debian"
_SECURITY: Final = "http://deb.debian.org/debian-security"
_EXPIRED: Final = " is expired "
"""In what apt says of a list whose Valid-Until has passed."""
_KEYRING: Final = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


async def unpack(archive: Archive, packages: tuple[str, ...], target: Path) -> None:
    """Unpack an archive's packages with their dependencies, today's security updates among them.

    The environment's THAWD_MIRROR and THAWD_SECURITY_MIRROR name other mirrors of Debian; with THAWD_EXPIRED_MIRROR a list
    of packages is taken whose time is over, as that of a snapshot of a moving suite is. Raises `ImageError`.

    No maintainer script runs, so nothing is missed by `chrootless`, the one mode that needs neither root nor user
    namespaces (which Ubuntu 24.04 forbids). It writes a tar file, because the tree has device nodes in it.
    """
    tarball = target.with_suffix(".tar")
    if archive.keyring and not Path(archive.keyring).exists():
        raise ImageError(
            f"there is no {archive.keyring}, which the packages of {archive.suite} are signed with",
            hint=f"Install it: apt-get install {archive.keyring_package}",
        )
    tarball = target.with_suffix(".tar")
    try:
        await run(_command(archive, packages, tarball))
    except ImageError as error:
        if _EXPIRED not in error.message:
            raise
        raise ImageError(
            f"the mirror's list of {archive.suite}'s packages is too old:\n{error.message}",
            hint="Name another one (THAWD_MIRROR), or take this one as it is: THAWD_EXPIRED_MIRROR=1",
        ) from error
    target.mkdir()
    # Owner and permissions as for any user, so that root builds what others build; mkfs.erofs gives all to root.
    options = ["--no-same-owner", "--no-same-permissions", "--exclude=./dev/*"]
    await run(["tar", "-xf", tarball, "-C", target, *options])
    tarball.unlink()


def _command(archive: Archive, packages: tuple[str, ...], tarball: Path) -> list[str | Path]:
    suite, components = archive.suite, " ".join(archive.components)
    mirror = archive.mirror or os.environ.get("THAWD_MIRROR", _MIRROR)
    security = archive.security_mirror or os.environ.get("THAWD_SECURITY_MIRROR", _SECURITY)
    keyring = Path(archive.keyring) if archive.keyring else _KEYRING
    return [
        "mmdebstrap",
        "--mode=chrootless",
        "--variant=extract",
        f"--include={','.join(packages)}",
        '--aptopt=APT::Install-Recommends "false"',
        '--aptopt=Acquire::Languages "none"',
        *(
            ['--aptopt=Acquire::Check-Valid-Until "false"']
            if os.environ.get("THAWD_EXPIRED_MIRROR")
            else []
        ),
        *(
            f"--dpkgopt=path-exclude=/usr/share/{name}/*"
            for name in ("man", "doc", "locale", "info")
        ),
        # apt trusts only the keys of the host's own system by itself.
        *([f"--keyring={keyring}"] if keyring.exists() else []),
        suite,
        tarball,
        f"deb {mirror} {suite} {components}",
        f"deb {mirror} {suite}-updates {components}",
        f"deb {security} {suite}-security {components}",
    ]
