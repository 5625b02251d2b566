"""A Debian with systemd, made once and kept: commands are run in it as its administrator, and it can be booted.

Needs root, for chroot(2) and mounts.
"""

from __future__ import annotations

import hashlib
import os
import shlex
import shutil
import socket
import subprocess
from pathlib import Path
from typing import Final

from attrs import frozen
from installing import ROOT, run

MIRROR: Final = "http://deb.debian.org/debian"
SECURITY: Final = "http://deb.debian.org/debian-security"
KEYRING: Final = "/usr/share/keyrings/debian-archive-keyring.gpg"
ADMINISTRATOR: Final = "alex"
SOURCES: Final = f"/home/{ADMINISTRATOR}/thawd"
"""Where the source tree lies in it."""

_PACKAGES: Final = (
    *("systemd", "systemd-sysv", "dbus", "udev", "sudo", "ca-certificates"),
    *("linux-image-cloud-amd64", "initramfs-tools"),
)
_KEPT: Final = (
    "PIP_INDEX_URL",
    "PIP_CERT",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "DEBIAN_FRONTEND",
)
"""Variables through which a host reaches its package servers."""

_ENTER: Final = """
mount -t proc proc "$1/proc"
mount --rbind /dev "$1/dev"
mount -t sysfs -o ro sys "$1/sys"
mount --bind "$2" "$1/var/cache/apt/archives"
chroot "$1" runuser -u "$3" -- bash -euxo pipefail -c "$4"
"""
"""This shell stays outside of the root: systemctl looks at process 1 to learn that it is in a chroot."""


class MissingError(Exception):
    """Something this host lacks; the text says what."""


def cache(name: str) -> Path:
    """A folder of the cache of built things."""
    path = Path(os.environ.get("THAWD_CACHE") or ROOT / ".cache") / "debian" / name
    path.mkdir(parents=True, exist_ok=True)
    return path


@frozen
class Debian:
    """A root file system."""

    root: Path

    def call(self, script: str) -> str:
        """Run lines of a shell as the administrator, in the source tree. Raises `AssertionError` with what they said.

        Its mounts and processes end with it.
        """
        environment = {
            "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/local/sbin:/usr/sbin:/sbin",
            "HOME": f"/home/{ADMINISTRATOR}",
            "USER": ADMINISTRATOR,
            "LANG": "C.UTF-8",
            **{name: os.environ[name] for name in _KEPT if name in os.environ},
            "DEBIAN_FRONTEND": "noninteractive",
        }
        if "PIP_CERT" in environment:
            shutil.copyfile(environment["PIP_CERT"], self.root / "etc/pip-cert.crt")
            environment["PIP_CERT"] = "/etc/pip-cert.crt"
        return run(
            *("unshare", "--mount", "--pid", "--fork", "--kill-child"),
            *("sh", "-euc", _ENTER, "sh", self.root, cache("archives"), ADMINISTRATOR),
            f"cd {SOURCES}\n{script}",
            env=environment,
        )

    def disk(self, path: Path, size: str) -> None:
        """The root as an ext4 disk image, a sparse file."""
        run("mke2fs", "-q", "-F", "-t", "ext4", "-d", self.root, path, size)


def make(suite: str, root: Path) -> Debian:
    """A fresh Debian in `root`, with the source tree in it and an administrator who may use sudo.

    Raises `MissingError`.
    """
    if os.geteuid() != 0:
        raise MissingError("root is needed, for chroot")
    for tool in ("mmdebstrap", "unshare", "mke2fs"):
        if shutil.which(tool, path="/usr/bin:/usr/sbin:/sbin:/bin") is None:
            raise MissingError(f"{tool} is not installed")
    root.mkdir()
    run("tar", "-xf", _base(suite), "-C", root)
    shutil.copyfile("/etc/resolv.conf", root / "etc/resolv.conf")
    (root / "etc/hosts").write_text(f"127.0.0.1 localhost {socket.gethostname()}\n")
    # What a person says to apt, and keeps for the next time.
    (root / "etc/apt/apt.conf.d/yes").write_text(
        'APT::Get::Assume-Yes "true";\nBinary::apt::APT::Keep-Downloaded-Packages "true";\n'
    )
    (root / "etc/sudoers.d/administrator").write_text(
        f'{ADMINISTRATOR} ALL=(ALL) NOPASSWD: ALL\nDefaults env_keep += "{" ".join(_KEPT)}"\n'
    )
    run("chroot", root, "useradd", "--create-home", "--shell", "/bin/bash", ADMINISTRATOR)
    _copy_sources(root / SOURCES.removeprefix("/"))
    run("chroot", root, "chown", "-R", f"{ADMINISTRATOR}:{ADMINISTRATOR}", SOURCES)
    return Debian(root)


def _copy_sources(target: Path) -> None:
    """What a checkout of this tree as it is now would have."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (target / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, target / name)


def _base(suite: str) -> Path:
    """The archive of a Debian as it is installed; made once."""
    key = hashlib.sha256(shlex.join(_PACKAGES).encode()).hexdigest()[:12]
    archive = cache("base") / f"{suite}-{key}.tar"
    if not archive.exists():
        new = archive.with_suffix(".new.tar")
        run(
            *("mmdebstrap", "--variant=minbase", f"--include={','.join(_PACKAGES)}"),
            *('--aptopt=APT::Install-Recommends "false"', f"--keyring={KEYRING}"),
            *(suite, new, f"deb {MIRROR} {suite} main", f"deb {MIRROR} {suite}-updates main"),
            f"deb {SECURITY} {suite}-security main",
        )
        new.rename(archive)
    return archive
