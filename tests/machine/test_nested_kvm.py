"""KVM, proven on hosts that have none: the conformance suite runs in an emulated guest whose /dev/kvm works.

An AMD processor emulated by QEMU 10 or newer has SVM with nested paging; in that guest Debian's kernel offers KVM, and
Debian's QEMU runs on it the very command lines that thawd uses on real hardware. What is needed is built once into
`$THAWD_CACHE` or `.cache/` (a 100 MB download). Takes about two minutes.
"""

import importlib.util
import os
import re
import subprocess
from pathlib import Path

import pytest
from engine_bed import image_files

HERE = Path(__file__).parent
# Emulated twice: under load it took five minutes.
LIMIT_S = 600
"""The outer guest is ready after 4 s; a boot of the inner takes 9 s on an idle host, a restore 0.3 s."""
KERNEL_OPTIONS = (
    "console=ttyS0 quiet panic=-1 reboot=t mitigations=off nopti init_on_alloc=0 cryptomgr.notests "
    "audit=0 apparmor=0 selinux=0 lsm= tsc=reliable no_timer_check nokaslr"
)


def load(name, path):
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


build = load("nested_build", HERE / "nested" / "build.py")


@pytest.fixture(scope="module")
def qemu():
    try:
        return build.qemu_10()
    except build.MissingError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def outer_guest():
    try:
        return build.outer_guest()
    except build.MissingError as error:
        pytest.skip(str(error))


def run_outer_guest(qemu, outer_guest, disk, directory):
    """Run the outer guest to its end; returns what it wrote to its result port, and its console."""
    command = [
        str(qemu / "qemu-system-x86_64"),
        *("-nodefaults", "-no-user-config", "-nographic", "-no-reboot"),
        *("-accel", "tcg,thread=multi,tb-size=256", "-M", "q35", "-m", "2048"),
        # One processor: with two, the inner guest's restores take twice as long.
        *("-cpu", "EPYC-v4,+svm,+npt", "-smp", "1"),
        *("-kernel", str(outer_guest / "kernel"), "-initrd", str(outer_guest / "initrd")),
        *("-append", KERNEL_OPTIONS),
        *("-serial", f"file:{directory}/console"),
        *("-blockdev", f"driver=file,node-name=root,read-only=on,filename={outer_guest}/root"),
        *("-device", "virtio-blk-pci,drive=root"),
        *("-blockdev", f"driver=file,node-name=suite,read-only=on,filename={disk}"),
        *("-device", "virtio-blk-pci,drive=suite"),
        *("-device", "virtio-serial-pci,max_ports=2"),
        *("-chardev", f"file,id=result,path={directory}/result"),
        *("-device", "virtserialport,chardev=result,name=result"),
    ]
    with (directory / "stderr").open("w") as stderr:
        try:
            subprocess.run(
                ["setpriv", "--pdeathsig", "KILL", *command],
                stderr=stderr,
                check=False,
                timeout=LIMIT_S,
            )
        except subprocess.TimeoutExpired:
            stderr.write(f"the outer guest did not end within {LIMIT_S} s\n")
    return tuple(
        (directory / name).read_text(errors="replace") for name in ("result", "console", "stderr")
    )


def test_the_conformance_suite_passes_on_kvm(qemu, outer_guest, tmp_path):
    """Every promise of an engine holds on KVM with the microvm board, none skipped but by the board's nature."""
    kernel, initrd = image_files()
    disk = tmp_path / "suite"
    build.suite_disk(disk, kernel, initrd)
    result, console, stderr = run_outer_guest(qemu, outer_guest, disk, tmp_path)
    disk.unlink()
    if os.environ.get("THAWD_TEST_VERBOSE"):
        print(result)
    everything = f"{result}\n--- console:\n{console[-3000:]}\n--- QEMU:\n{stderr[-3000:]}"

    assert "conformance suite ended with 0" in result, everything
    assert "full binary ended with 0" in result, everything
    assert int(re.search(r"(\d+) passed", result)[1]) >= 25, everything
