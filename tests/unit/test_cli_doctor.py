"""`thaw doctor`: each lack found, each with a way out."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest
from attrs import define, field

from thaw_agent import wire
from thawd import config
from thawd.cli import diagnosis
from thawd.cli.diagnosis import Finding, Host, Status
from thawd.cli.main import main
from thawd.config import Config
from thawd.engines import probe
from thawd.engines.testing import FakeEngine


@define
class FakeImages:
    """An image store with one image of each of `runtimes`."""

    runtimes: list[str] = field(factory=list)

    def __call__(self, _directory):
        return self

    def list(self):
        return [SimpleNamespace(runtime=runtime) for runtime in self.runtimes]


@pytest.fixture(autouse=True)
def images(monkeypatch):
    fake = FakeImages(["python3.13"])
    monkeypatch.setitem(sys.modules, "thawd.images.store", SimpleNamespace(ImageStore=fake))
    return fake


@pytest.fixture
def host(tmp_path):
    """A machine on which all is well, made of files."""
    root = tmp_path / "root"
    for path, content in {
        "proc/meminfo": "MemTotal: 8192000 kB\nMemAvailable: 6144000 kB\nSwapTotal: 0 kB\n",
        "dev/kvm": "",
    }.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(content)
    tools = tmp_path / "bin"
    tools.mkdir()
    host = Host(
        Config(
            state_directory=tmp_path / "state",
            runtime_directory=Path("/run/t"),
            memory_budget_mib=1024,
        ),
        tmp_path / "none.sock",
        {"PATH": str(tools)},
        root,
    )
    install(host, "qemu-system-x86_64", "QEMU emulator version 7.2.9 (Debian)")
    install(host, "mmdebstrap", "mmdebstrap 1.3.5")
    install(host, "mkfs.erofs", "mkfs.erofs 1.5")
    return host


def install(host: Host, tool: str, says: str) -> None:
    path = Path(host.environ["PATH"]) / tool
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)


def write(host: Host, path: str, content: str) -> None:
    (host.root / path).write_text(content)


def only(finder, host: Host) -> Finding:
    (finding,) = finder(host)
    return finding


def test_a_machine_on_which_all_is_well(host):
    findings = diagnosis.examine(host)

    assert [f.topic for f in findings if f.status is not Status.OK] == ["daemon"]


def test_whoever_has_a_lack_has_a_way_out(host):
    for tool in Path(host.environ["PATH"]).iterdir():
        tool.unlink()
    (host.root / "dev/kvm").unlink()
    write(host, "proc/meminfo", "MemTotal: 100 kB\nMemAvailable: 50 kB\nSwapTotal: 4096 kB\n")
    lacks = [f for f in diagnosis.examine(host) if f.status is not Status.OK]

    assert {f.topic for f in lacks} >= {
        "qemu", "kvm", "mmdebstrap", "mkfs.erofs", "memory", "swap", "daemon",
    }  # fmt: skip
    assert all(f.hint for f in lacks)


def test_a_machine_without_an_image(host, images):
    images.runtimes = []

    assert only(diagnosis.image, host).hint == "Build one: thaw image build"


@pytest.mark.parametrize(
    ("says", "status"),
    [
        ("QEMU emulator version 10.0.2 (Debian 1:10.0.2+ds-1)", Status.OK),
        ("QEMU emulator version 7.2.0", Status.OK),
        ("QEMU emulator version 6.2.0 (Debian 1:6.2+dfsg)", Status.FAIL),
        ("", Status.FAIL),
    ],
)
def test_qemu_versions(host, says, status):
    install(host, "qemu-system-x86_64", says)

    assert only(diagnosis.qemu, host).status is status


@pytest.mark.parametrize(
    ("engine", "present", "status"),
    [
        ("auto", True, Status.OK),
        ("auto", False, Status.WARN),
        ("qemu-kvm", False, Status.FAIL),
        ("qemu-tcg", False, Status.OK),
    ],
)
def test_kvm_matters_as_much_as_the_engine_needs_it(host, engine, present, status):
    settings = Config(state_directory=Path("/s"), runtime_directory=Path("/run/t"), engine=engine)
    if not present:
        (host.root / "dev/kvm").unlink()

    assert only(diagnosis.kvm, Host(settings, host.socket, {}, host.root)).status is status


@pytest.mark.parametrize(
    ("usable", "boot", "status", "says"),
    [
        (True, "this", Status.OK, "a guest was booted on it"),
        (
            False,
            "this",
            Status.WARN,
            "it did not work when it was tried: the guest did not come up",
        ),
        (False, "earlier", Status.OK, "is tried when the daemon starts"),
    ],
)
def test_the_probes_verdict_on_kvm_counts_until_the_next_boot(host, usable, boot, status, says):
    """As `thawd.engines.probe` writes it."""
    (host.root / "proc/sys/kernel/random").mkdir(parents=True)
    write(host, "proc/sys/kernel/random/boot_id", "this\n")
    host.config.state_directory.mkdir()
    probe._write(
        host.config.state_directory / "engine.json",
        {"engine": "qemu-kvm", "boot_id": boot},
        probe.Probe(engine="qemu-kvm", usable=usable, reason="the guest did not come up"),
    )
    finding = only(diagnosis.kvm, host)

    assert finding.status is status
    assert says in finding.detail
    assert ("thaw doctor --probe" in finding.hint) == (status is Status.WARN)


async def _agent(port, _machine):
    hello = wire.Hello.decode(wire.Decoder().feed(await port.receive_some())[0].payload)
    await port.send_all(wire.SYNC + wire.Hello(role="guest", nonce=hello.nonce).encode())


@pytest.fixture
def probing(host, monkeypatch, tmp_path):
    """A host on which `--probe` was said, with an engine whose guest is the test's."""
    (host.root / "proc/sys/kernel/random").mkdir(parents=True)
    write(
        host, "proc/sys/kernel/random/boot_id", Path("/proc/sys/kernel/random/boot_id").read_text()
    )
    host.config.state_directory.mkdir()
    engine = FakeEngine(name="qemu-kvm", guest=_agent)

    async def find(_runtime_directory, *, device):
        assert device == host.root / "dev/kvm"
        return engine

    image = SimpleNamespace(
        kernel=tmp_path / "k", initrd=tmp_path / "i", root=tmp_path / "r", digest="sha256:1"
    )
    monkeypatch.setattr("thawd.engines.qemu.find_kvm", find)
    monkeypatch.setattr(FakeImages, "list", lambda _: [image])
    host.probe = True
    return SimpleNamespace(host=host, engine=engine)


def test_a_probe_is_made_when_it_is_asked_for_and_remembered(probing):
    asked = only(diagnosis.kvm, probing.host)
    probing.host.probe = False
    later = only(diagnosis.kvm, probing.host)

    assert (asked.status, later.status) == (Status.OK, Status.OK)
    assert "was booted on it now" in asked.detail
    assert later.detail == "a guest was booted on it"
    assert probing.engine.started == 1


def test_a_probe_that_fails_is_a_lack_with_its_reason(probing):
    async def dies(_port, machine):
        machine.console = "KVM internal error"
        machine.die(-6)

    probing.engine.guest = dies
    finding = only(diagnosis.kvm, probing.host)

    assert finding.status is Status.WARN
    assert "KVM internal error" in finding.detail
    assert finding.hint


def test_a_verdict_that_cannot_be_kept_is_told_all_the_same(probing):
    probing.host.config.state_directory.rmdir()
    finding = only(diagnosis.kvm, probing.host)

    assert finding.status is Status.WARN
    assert "was booted on it now" in finding.detail
    assert "the daemon does not learn of it" in finding.detail


def test_without_an_image_nothing_is_probed(probing, monkeypatch):
    monkeypatch.setattr(FakeImages, "list", lambda _: [])

    assert only(diagnosis.kvm, probing.host).hint == "Build one: thaw image build"
    assert probing.engine.started == 0


@pytest.mark.parametrize(
    ("available_mib", "status"),
    [(4000, Status.OK), (600, Status.WARN), (100, Status.FAIL)],
)
def test_memory_against_the_budget(host, available_mib, status):
    write(host, "proc/meminfo", f"MemTotal: 8192000 kB\nMemAvailable: {available_mib * 1024} kB\n")

    assert next(diagnosis.memory(host)).status is status


@pytest.mark.parametrize(
    ("device", "status"),
    [("/dev/zram0", Status.OK), ("/dev/dm-1", Status.OK), ("/dev/sda2", Status.WARN)],
)
def test_swap_on_a_plain_disk_would_take_secrets(host, device, status):
    write(
        host, "proc/meminfo", "MemTotal: 8192000 kB\nMemAvailable: 6144000 kB\nSwapTotal: 4096 kB\n"
    )
    write(host, "proc/swaps", f"Filename Type Size Used Priority\n{device} partition 4096 0 -2\n")

    assert list(diagnosis.memory(host))[1].status is status


def test_the_command(tmp_path, monkeypatch, capsys):
    """On this machine, whatever it has: lines for people, the same findings as JSON."""
    monkeypatch.setattr(config.places, "SYSTEM_FILE", tmp_path / "none")
    monkeypatch.setenv("THAW_SOCKET", str(tmp_path / "none.sock"))
    status = main(["doctor"])
    text = capsys.readouterr().out
    assert main(["doctor", "--json"]) == status
    findings = json.loads(capsys.readouterr().out)

    assert status == any(finding["status"] == "fail" for finding in findings)
    assert {"python", "qemu", "disk", "daemon"} <= {finding["topic"] for finding in findings}
    assert "warn  daemon" in text
    assert "-> Start it: thaw daemon" in text
