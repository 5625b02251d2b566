"""Boots a Debian in an emulated machine and collects what `guest/drive.py` reports."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from debian import MissingError
from installing import ROOT, run
from page import blocks

if TYPE_CHECKING:
    from debian import Debian

GUEST: Final = Path(__file__).parent / "guest"
LIMIT_S: Final = 1800
"""An idle host needs some six minutes, a busy one twice as long: an emulated machine boots, and boots another."""

_KERNEL_OPTIONS: Final = (
    "root=/dev/vda rw console=ttyS0 panic=-1 mitigations=off nopti systemd.firstboot=no "
    "systemd.default_timeout_start_sec=300"
)


def prepare(system: Debian) -> None:
    """Add what drives the system once it is booted."""
    root = system.root
    check = root / "check"
    check.mkdir(exist_ok=True)
    shutil.copy(GUEST / "drive.py", check)
    (check / "person.sh").write_text(f"set -eux\n{blocks('Install')[2]}")
    (check / "tcp.ini").write_text(blocks("Serve TCP too", "ini")[0])
    (check / "tcp.sh").write_text(blocks("Serve TCP too")[1].replace("sudo ", ""))
    units = root / "etc/systemd/system"
    shutil.copy(GUEST / "check.service", units)
    wants = units / "graphical.target.wants"
    wants.mkdir(exist_ok=True)
    (wants / "check.service").unlink(missing_ok=True)
    (wants / "check.service").symlink_to("/etc/systemd/system/check.service")
    # Not a first boot, which would enable every unit there is.
    (root / "etc/machine-id").write_text(f"{1:032x}\n")


def boot(system: Debian, work: Path) -> dict[str, dict[str, Any]]:
    """Every step's report, by its name. Raises `MissingError`, and `AssertionError` with the console's last lines."""
    qemu, processor = _emulator()
    prepare(system)
    system.disk(work / "disk", "5G")
    (kernel,) = (system.root / "boot").glob("vmlinuz-*")
    (initrd,) = (system.root / "boot").glob("initrd.img-*")
    command = [
        *("setpriv", "--pdeathsig", "KILL", str(qemu), "-cpu", processor),
        *("-machine", "q35", "-accel", "tcg,thread=multi,tb-size=512", "-smp", "2"),
        *("-m", "3072", "-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"),
        *("-kernel", str(kernel), "-initrd", str(initrd), "-append", _KERNEL_OPTIONS),
        *("-serial", f"file:{work}/console"),
        *("-blockdev", f"driver=file,node-name=root,cache.no-flush=on,filename={work}/disk"),
        *(
            "-device",
            "virtio-blk-pci,drive=root",
            "-object",
            "rng-random,id=rng,filename=/dev/urandom",
        ),
        *("-device", "virtio-rng-pci,rng=rng", "-device", "virtio-serial-pci"),
        *("-chardev", f"file,id=result,path={work}/result"),
        *("-device", "virtserialport,chardev=result,name=result"),
    ]
    ended = "it ended"
    try:
        run(*command, timeout=LIMIT_S)
    except subprocess.TimeoutExpired:
        ended = f"it did not end within {LIMIT_S} s"
    (work / "disk").unlink()
    console = (work / "console").read_text(errors="replace")
    result = (work / "result").read_text(errors="replace")
    if kept := os.environ.get("THAWD_TEST_KEEP"):
        Path(kept).write_text(console + result)
    reports = [json.loads(line) for line in result.splitlines()]
    assert reports, f"{ended} and reported nothing:\n{console[-5000:]}"
    assert reports[-1]["step"] == "end", f"{ended} after {result}\n{console[-5000:]}"
    return {report["step"]: report for report in reports}


def _emulator() -> tuple[Path, str]:
    """QEMU, and a processor that it emulates rightly: with KVM in the guest, where it can. Raises `MissingError`."""
    spec = importlib.util.spec_from_file_location(
        "nested_build", ROOT / "tests/machine/nested/build.py"
    )
    nested = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(nested)
    try:
        return nested.qemu_10() / "qemu-system-x86_64", "EPYC-v4,+svm,+npt"
    except nested.MissingError as missing:
        found = shutil.which("qemu-system-x86_64")
        if found is None:
            raise MissingError("qemu-system-x86_64 is not installed") from missing
        return Path(found), "max,-svm"
