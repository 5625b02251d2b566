"""Builds what the nested test runs on: a newer QEMU, and a guest that has KVM, QEMU, Python and pytest.

Built once and kept in a cache directory; everything comes from Debian's archive and this project's own environment.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import lzma
import os
import re
import shutil
import subprocess
from pathlib import Path

HERE = Path(__file__).parent
PROJECT = HERE.parents[2]
MIRROR = "http://deb.debian.org/debian"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
QEMU_PACKAGES = ("qemu-system-x86", "qemu-system-common", "qemu-system-data", "seabios")
ROOT_PACKAGES = (
    "python3",
    "qemu-system-x86",
    "util-linux",
    "busybox-static",
    "linux-image-cloud-amd64",
)
SUITE = ("test_engine_conformance.py", "test_qemu.py")
MODULES = ("virtio_blk", "irqbypass", "kvm", "kvm-amd")
DISTRIBUTIONS = (
    *("trio", "attrs", "structlog", "outcome", "sniffio", "sortedcontainers", "idna"),
    *("pytest", "pytest-trio", "pluggy", "iniconfig", "packaging", "pygments"),
)
"""What the conformance suite imports; all of it pure Python, so that it runs on the guest's Python too."""


class MissingError(Exception):
    """Something this host lacks; the text says what."""


def cache_directory() -> Path:
    """Where built things are kept."""
    path = Path(os.environ.get("THAWD_CACHE") or PROJECT / ".cache")
    path.mkdir(parents=True, exist_ok=True)
    return path


def need(tool: str, package: str) -> None:
    """Raises `MissingError` when a tool is not installed."""
    if shutil.which(tool) is None:
        raise MissingError(f"{tool} is not installed: apt install {package}")


def run(*command: str | Path, **options: object) -> None:
    """Run a command; its output is in the error when it fails."""
    result = subprocess.run(  # noqa: PLW1510  checked below, with the output
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        **options,
    )
    if result.returncode:
        raise RuntimeError(
            f"{command[0]} failed with {result.returncode}:\n{result.stdout[-3000:]}"
        )


def qemu_version(binary: Path | str) -> int:
    """Major version, 0 when there is none."""
    try:
        text = subprocess.run(
            [binary, "--version"], capture_output=True, text=True, check=True
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return 0
    found = re.search(r"version (\d+)", text)
    return int(found[1]) if found else 0


def qemu_10() -> Path:
    """The directory of QEMU 10 or newer: the host's, or Debian 12's backport unpacked into the cache.

    Older versions emulate SVM wrongly: guests in the guest crash (seen with 7.2). Raises `MissingError`.
    """
    installed = shutil.which("qemu-system-x86_64")
    if installed and qemu_version(installed) >= 10:
        return Path(installed).parent
    unpacked = cache_directory() / "qemu-10"
    binaries = unpacked / "usr" / "bin"
    if qemu_version(binaries / "qemu-system-x86_64") >= 10:
        return binaries
    release = Path("/etc/os-release").read_text()
    if "VERSION_CODENAME=bookworm" not in release:
        raise MissingError(
            "QEMU 10 or newer is needed, and only for Debian 12 is it known where to get it"
        )
    need("apt-get", "apt")
    need("dpkg", "dpkg")
    _download_qemu(unpacked)
    if qemu_version(binaries / "qemu-system-x86_64") < 10:
        raise MissingError(
            "the unpacked QEMU does not run; install the host's qemu-system-x86 for its libraries"
        )
    return binaries


def _download_qemu(target: Path) -> None:
    """Unpack the packages beside the system's, which stay as they are."""
    work = target.with_name("qemu-10.new")
    shutil.rmtree(work, ignore_errors=True)
    shutil.rmtree(target, ignore_errors=True)
    apt = work / "apt"
    for name in ("lists/partial", "cache/archives/partial"):
        (apt / name).mkdir(parents=True)
    (apt / "sources.list").write_text(
        f"deb [signed-by={KEYRING}] {MIRROR} bookworm-backports main\n"
    )
    options = [
        *(
            "-o",
            f"Dir::Etc::SourceList={apt}/sources.list",
            "-o",
            "Dir::Etc::SourceParts=/dev/null",
        ),
        *("-o", f"Dir::State={apt}", "-o", f"Dir::Cache={apt}/cache"),
        *("-o", "Dir::State::status=/var/lib/dpkg/status", "-o", "APT::Sandbox::User=root"),
    ]
    run("apt-get", *options, "update")
    run("apt-get", *options, "download", *QEMU_PACKAGES, cwd=work)
    for package in work.glob("*.deb"):
        run("dpkg", "-x", package, work)
        package.unlink()
    shutil.rmtree(apt)
    work.rename(target)


def outer_guest() -> Path:
    """A directory with `root` (ext4), `kernel` and `initrd` of the outer guest. Raises `MissingError`."""
    for tool, package in (
        ("mmdebstrap", "mmdebstrap"),
        ("mke2fs", "e2fsprogs"),
        ("cpio", "cpio"),
        ("ldconfig", "libc-bin"),
    ):
        need(tool, package)
    recipe = Path(__file__).read_bytes() + (HERE / "init").read_bytes()
    versions = "".join(importlib.metadata.version(name) for name in DISTRIBUTIONS)
    key = hashlib.sha256(recipe + versions.encode()).hexdigest()[:16]
    target = cache_directory() / f"nested-{key}"
    if not target.exists():
        work = target.with_name(target.name + ".new")
        shutil.rmtree(work, ignore_errors=True)
        work.mkdir()
        _build_guest(work)
        work.rename(target)
    return target


def _copy_distributions(target: Path) -> None:
    for name in DISTRIBUTIONS:
        for file in importlib.metadata.files(name) or ():
            if file.parts[0] == ".." or file.suffix == ".pyc":
                continue
            if file.suffix == ".so":
                raise MissingError(f"{name} is not pure Python: {file}")
            (target / file).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(str(file.locate()), target / file)


def _build_guest(work: Path) -> None:
    """In mmdebstrap's hooks, since there we are root even where the caller is not."""
    site = work / "site"
    _copy_distributions(site)
    extracted = work / "extracted"
    extracted.mkdir()
    hooks = [
        'for d in bin sbin lib lib64; do [ -e "$1/$d" ] || ln -s usr/$d "$1/$d"; done',
        'mkdir -p "$1/proc" "$1/sys" "$1/dev" "$1/tmp" "$1/run" "$1/sut"',
        f'cp -r {site} "$1/site"',
        'ldconfig -r "$1"',
        'chroot "$1" python3 -m compileall -q -f -j2 --invalidation-mode unchecked-hash /usr/lib/python3.13 /site',
        f'cp "$1"/boot/vmlinuz-* {work}/kernel && chmod 644 {work}/kernel',
        f'cp "$1/usr/bin/busybox" {extracted}/',
        *(
            f"""find "$1/usr/lib/modules" -name '{module}.ko*' -exec cp {{}} {extracted}/ ';'"""
            for module in MODULES
        ),
        # The kernel and its other modules are not read in the guest.
        'rm -rf "$1/boot" "$1/usr/lib/modules" "$1/usr/share/doc" "$1/usr/share/locale"',
        f'truncate -s 800M {work}/root && mke2fs -q -F -t ext4 -O ^has_journal -d "$1" {work}/root',
    ]
    run(
        *("mmdebstrap", "--variant=extract", f"--include={','.join(ROOT_PACKAGES)}", "--format=null"),
        *('--aptopt=APT::Install-Recommends "false"', '--aptopt=Acquire::Languages "none"'),
        *("--dpkgopt=path-exclude=/usr/share/man/*", f"--keyring={KEYRING}"),
        *(f"--extract-hook={hook}" for hook in hooks),
        *("trixie", "-", MIRROR),
    )  # fmt: skip
    _build_initrd(work, extracted)
    shutil.rmtree(site)
    shutil.rmtree(extracted)


def _build_initrd(work: Path, extracted: Path) -> None:
    tree = work / "tree"
    (tree / "bin").mkdir(parents=True)
    (tree / "modules").mkdir()
    shutil.copy(HERE / "init", tree / "init")
    (tree / "init").chmod(0o755)
    shutil.copy(extracted / "busybox", tree / "bin")
    for module in MODULES:
        (packed,) = extracted.glob(f"{module}.ko*")
        data = packed.read_bytes()
        (tree / "modules" / f"{module}.ko").write_bytes(
            lzma.decompress(data) if packed.suffix == ".xz" else data
        )
    with (work / "initrd").open("wb") as initrd:
        names = "\n".join(str(path.relative_to(tree)) for path in sorted(tree.rglob("*")))
        subprocess.run(
            ["cpio", "-o", "-H", "newc", "--quiet", "--owner=0:0"],
            input=names.encode(),
            stdout=initrd,
            cwd=tree,
            check=True,
        )
    shutil.rmtree(tree)


def suite_disk(path: Path, kernel: Path, initrd: Path) -> None:
    """The disk with what is tested now: our packages, the suite, and the inner guest."""
    tree = path.with_suffix(".tree")
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(PROJECT / "daemon" / "thawd", tree / "packages" / "thawd", ignore=ignore)
    shutil.copytree(
        PROJECT / "guest_agent" / "thaw_agent", tree / "packages" / "thaw_agent", ignore=ignore
    )
    (tree / "tests" / "machine").mkdir(parents=True)
    for name in ("engine_bed.py", *SUITE):
        shutil.copy(HERE.parent / name, tree / "tests" / "machine")
    # The other machine tests' fixtures need a daemon, and with it packages that the outer guest does not have.
    (tree / "tests" / "machine" / "conftest.py").write_text("from engine_bed import *\n")
    shutil.copytree(HERE.parent / "guest", tree / "tests" / "machine" / "guest")
    (tree / "guest").mkdir()
    shutil.copy(kernel, tree / "guest" / "kernel")
    shutil.copy(initrd, tree / "guest" / "initrd")
    shutil.copy(HERE / "run", tree / "run")
    with path.open("wb") as disk:
        disk.truncate(256 << 20)
    run("mke2fs", "-q", "-F", "-t", "ext4", "-O", "^has_journal", "-d", tree, path)
    shutil.rmtree(tree)
