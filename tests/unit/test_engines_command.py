"""QEMU's command lines: a clone's differs from its snapshot's only where it may."""

from pathlib import Path
from uuid import UUID

import pytest
from attrs import evolve

from thawd.engines.machine import MachineSpec
from thawd.engines.qemu.command import Platform, Wiring, command_line, quote
from thawd.engines.qemu.engine import host_processor

SPEC = MachineSpec(
    kernel=Path("/i/vmlinux"),
    initrd=Path("/i/initrd"),
    root=Path("/i/root"),
    memory_mib=256,
)
TEMPLATE = Wiring(
    memory=Path("/s/memory"),
    memory_shared=True,
    memory_read_only=False,
    code=Path("/c/code"),
    monitor=10,
    channel=11,
    console=12,
    generation=UUID(int=1),
    incoming=False,
)
CLONE = evolve(
    TEMPLATE, memory_shared=False, incoming=True, code=Path("/c/other"), generation=UUID(int=2)
)


def line(platform, wiring=TEMPLATE, spec=SPEC):
    return command_line(Path("/usr/bin/qemu"), platform, spec, wiring)


@pytest.mark.parametrize("platform", list(Platform))
def test_a_clone_differs_only_in_its_wiring(platform):
    template, clone = line(platform), line(platform, CLONE)
    changed = [new for old, new in zip(template, clone, strict=False) if old != new]

    assert [option.split(",")[0] for option in changed] == [
        "memory-backend-file",
        "driver=file",
        *(["vmgenid"] if platform is Platform.TCG else []),
    ]
    assert clone[len(template) :] == ["-incoming", "defer", "-S"]


@pytest.mark.parametrize("platform", list(Platform))
def test_the_sandbox_denies_everything_it_can(platform):
    command = line(platform)

    assert command[command.index("-sandbox") + 1] == (
        "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"
    )


def test_every_device_sits_on_the_boards_bus():
    assert "virtio-blk-pci,drive=code,serial=code" in line(Platform.TCG)
    assert not [option for option in line(Platform.KVM) if "-pci" in option]


def test_memory_is_mapped_as_asked():
    shared = next(o for o in line(Platform.KVM) if o.startswith("memory-backend-file"))
    private = next(
        o
        for o in line(Platform.KVM, evolve(CLONE, memory_read_only=True))
        if o.startswith("memory-backend-file")
    )

    assert shared == "memory-backend-file,id=ram,size=256M,mem-path=/s/memory,share=on"
    assert private.endswith("share=off,readonly=on,rom=off")


def test_commas_in_paths_do_not_separate():
    assert quote(Path("/a,b/c")) == "/a,,b/c"
    spec = evolve(SPEC, root=Path("/x,readonly=off"))

    assert "driver=file,node-name=root,read-only=on,filename=/x,,readonly=off" in line(
        Platform.TCG, spec=spec
    )


def test_the_images_own_kernel_options_follow_the_engines():
    command = line(Platform.KVM, spec=evolve(SPEC, command_line="thaw.debug=1"))

    assert command[command.index("-append") + 1] == f"{Platform.KVM.kernel_options} thaw.debug=1"


@pytest.mark.parametrize("platform", list(Platform))
def test_a_fault_in_the_guests_kernel_ends_the_machine(platform):
    options = platform.kernel_options.split()

    assert {"oops=panic", "panic=-1"} <= set(options)
    assert "-no-reboot" in line(platform)


def test_a_processors_features_count_only_under_kvm():
    info = "processor\t: 0\nmodel name\t: Xeon\nflags\t\t: fpu {}\n\nprocessor\t: 1\n"
    old, new = info.format("avx2"), info.format("avx512f")

    assert host_processor(old, flags=False) == host_processor(new, flags=False) == "Xeon"
    assert host_processor(old, flags=True) != host_processor(new, flags=True)
    assert host_processor("", flags=False) == "unknown processor"
