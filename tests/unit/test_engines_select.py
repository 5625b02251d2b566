"""The engine is chosen by booting, once; what cannot boot is not chosen."""

import json
import math
from types import SimpleNamespace

import pytest
import trio

from thaw_agent import wire
from thawd.engines import probe
from thawd.engines.probe import remembered_probe
from thawd.engines.qemu.command import Platform
from thawd.engines.select import choose
from thawd.engines.testing import FakeEngine
from thawd.errors import EngineError


async def agent(port, _machine):
    decoder = wire.Decoder()
    async for data in port:
        for frame in decoder.feed(data):
            hello = wire.Hello.decode(frame.payload)
            answer = wire.Hello(role="guest", nonce=hello.nonce)
            await port.send_all(wire.SYNC + answer.encode())


async def dying_agent(port, machine):
    await port.receive_some()
    machine.console = "KVM internal error"
    machine.die(-6)


async def babbling_agent(port, _machine):
    await port.send_all(wire.SYNC + b"x" * 100)
    await trio.sleep_forever()


@pytest.fixture
def host(tmp_path):
    """A host with /dev/kvm, an image and both engines; `find` gives them out."""
    image = SimpleNamespace(
        kernel=tmp_path / "k", initrd=tmp_path / "i", root=tmp_path / "r", digest="sha256:1"
    )
    engines = {
        Platform.KVM: FakeEngine(name="qemu-kvm", identity="kvm 1", guest=agent),
        Platform.TCG: FakeEngine(name="qemu-tcg", identity="tcg 1"),
    }
    kvm = tmp_path / "kvm"
    kvm.touch()

    async def find(platform):
        return engines[platform]

    async def select(preference="auto", **changes):
        arguments = {
            "find": find,
            "image": image,
            "cache_file": tmp_path / "state" / "engine.json",
            "kvm": kvm,
        }
        return (await choose(preference, **(arguments | changes))).name

    return SimpleNamespace(
        select=select, engines=engines, image=image, cache=tmp_path / "state" / "engine.json"
    )


async def test_kvm_that_boots_a_guest_is_used(host):
    assert await host.select() == "qemu-kvm"


@pytest.mark.parametrize(
    "guest", [dying_agent, babbling_agent, FakeEngine().guest], ids=["dies", "babbles", "silent"]
)
async def test_kvm_that_opens_but_does_not_work_is_not_used(autojump_clock, host, guest):
    host.engines[Platform.KVM].guest = guest

    assert await host.select() == "qemu-tcg"
    with pytest.raises(EngineError, match="KVM does not work here"):
        await host.select("qemu-kvm")


async def test_the_reason_names_what_the_console_said(host):
    host.engines[Platform.KVM].guest = dying_agent
    found = await remembered_probe(host.engines[Platform.KVM], host.image, cache_file=host.cache)

    assert not found.usable
    assert "KVM internal error" in found.reason


async def test_a_silent_guest_is_given_up_at_the_deadline(autojump_clock, host):
    host.engines[Platform.KVM].delay("boot", math.inf)
    began = trio.current_time()
    await host.select()

    assert trio.current_time() - began == pytest.approx(probe.DEADLINE_S, abs=0.1)


async def test_the_verdict_is_remembered(host):
    await host.select()
    await host.select()
    assert host.engines[Platform.KVM].started == 1
    host.engines[Platform.KVM].guest = dying_agent
    host.engines[Platform.KVM].identity = "kvm 2"

    assert await host.select() == "qemu-tcg"
    assert await host.select() == "qemu-tcg"
    assert host.engines[Platform.KVM].started == 2


@pytest.mark.parametrize("damage", ["", "[]", '{"key": 1}', "\xff"])
async def test_a_damaged_memory_is_no_memory(host, damage):
    host.cache.parent.mkdir()
    host.cache.write_text(damage)

    assert await host.select() == "qemu-kvm"
    assert json.loads(host.cache.read_text())["probe"]["usable"] is True


async def test_nothing_of_the_probe_is_left(host):
    await host.select()

    assert [path.name for path in host.cache.parent.iterdir()] == ["engine.json"]


async def test_without_a_device_nothing_is_booted(host, tmp_path):
    assert await host.select(kvm=tmp_path / "none") == "qemu-tcg"
    with pytest.raises(EngineError, match="cannot be opened"):
        await host.select("qemu-kvm", kvm=tmp_path / "none")
    assert host.engines[Platform.KVM].started == 0


async def test_without_an_image_only_a_named_engine_is_trusted(host):
    assert await host.select(image=None) == "qemu-tcg"
    assert await host.select("qemu-kvm", image=None) == "qemu-kvm"


async def test_emulation_is_taken_without_a_probe(host):
    assert await host.select("qemu-tcg") == "qemu-tcg"
    assert host.engines[Platform.TCG].started == 0
