"""Engines register themselves; one is chosen by booting, once; what cannot boot is not chosen."""

import json
import math
from types import SimpleNamespace

import pytest
import trio

from thaw_agent import wire
from thawd.config.settings import ENGINES
from thawd.engines import probe
from thawd.engines.probe import remembered_probe
from thawd.engines.qemu import find_kvm
from thawd.engines.qemu.command import Platform
from thawd.engines.registry import Offer, names
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
    """A host with an image and two engines: one on the processor's own virtualisation, one by emulation."""
    image = SimpleNamespace(
        kernel=tmp_path / "k", initrd=tmp_path / "i", root=tmp_path / "r", digest="sha256:1"
    )
    real = FakeEngine(name="real", identity="real 1", guest=agent)
    emulated = FakeEngine(name="emulated", identity="emulated 1", emulated=True)
    missing = set()

    def offer(engine):
        async def find(_runtime_directory):
            if engine in missing:
                raise EngineError(f"{engine.name} is not installed")
            return engine

        return Offer(name=engine.name, rank=1, find=find)

    async def select(preference="auto", **changes):
        arguments = {
            "runtime_directory": tmp_path,
            "image": image,
            "cache_file": tmp_path / "state" / "engine.json",
        }
        engines = [offer(real), offer(emulated)]
        return (await choose(preference, engines, **(arguments | changes))).name

    return SimpleNamespace(
        select=select,
        real=real,
        emulated=emulated,
        missing=missing,
        image=image,
        cache=tmp_path / "state" / "engine.json",
    )


async def test_kvm_that_boots_a_guest_is_used(host):
    assert await host.select() == "real"


@pytest.mark.parametrize(
    "guest", [dying_agent, babbling_agent, FakeEngine().guest], ids=["dies", "babbles", "silent"]
)
async def test_kvm_that_opens_but_does_not_work_is_not_used(autojump_clock, host, guest):
    host.real.guest = guest

    assert await host.select() == "emulated"
    with pytest.raises(EngineError, match="real does not work here"):
        await host.select("real")


async def test_the_reason_names_what_the_console_said(host):
    host.real.guest = dying_agent
    found = await remembered_probe(host.real, host.image, cache_file=host.cache)

    assert not found.usable
    assert "KVM internal error" in found.reason


async def test_a_silent_guest_is_given_up_at_the_deadline(autojump_clock, host):
    host.real.delay("boot", math.inf)
    began = trio.current_time()
    await host.select()

    assert trio.current_time() - began == pytest.approx(probe.DEADLINE_S, abs=0.1)


async def test_the_verdict_is_remembered(host):
    await host.select()
    await host.select()
    assert host.real.started == 1
    host.real.guest = dying_agent
    host.real.identity = "real 2"

    assert await host.select() == "emulated"
    assert await host.select() == "emulated"
    assert host.real.started == 2


async def test_a_failure_is_believed_for_minutes_only(host, monkeypatch):
    host.real.guest = dying_agent
    now = SimpleNamespace(time=lambda: 1_000_000.0)
    monkeypatch.setattr(probe, "time", now)
    assert await host.select() == "emulated"
    host.real.guest = agent
    now.time = lambda: 1_000_000.0 + probe.RETRY_S - 1
    assert await host.select() == "emulated"
    assert host.real.started == 1
    now.time = lambda: 1_000_000.0 + probe.RETRY_S

    assert await host.select() == "real"


async def test_a_failure_that_says_no_time_is_not_believed(host):
    """As 0.1.0 wrote it."""
    host.real.guest = dying_agent
    await host.select()
    record = json.loads(host.cache.read_text())
    del record["probe"]["at_s"]
    host.cache.write_text(json.dumps(record))
    host.real.guest = agent

    assert await host.select() == "real"


async def test_a_success_is_believed_for_the_hosts_boot(host, monkeypatch):
    await host.select()
    monkeypatch.setattr(probe, "time", SimpleNamespace(time=lambda: 2e12))
    await host.select()

    assert host.real.started == 1


async def test_a_later_verdict_takes_the_place_of_an_earlier_one(host, tmp_path):
    host.real.guest = dying_agent
    await host.select()
    host.real.guest = agent
    found = await probe.boot_probe(host.real, host.image, scratch=tmp_path)
    probe.remember(host.real, host.image, found, cache_file=host.cache)

    assert await host.select() == "real"


@pytest.mark.parametrize("damage", ["", "[]", '{"key": 1}', "\xff"])
async def test_a_damaged_memory_is_no_memory(host, damage):
    host.cache.parent.mkdir()
    host.cache.write_text(damage)

    assert await host.select() == "real"
    assert json.loads(host.cache.read_text())["probe"]["usable"] is True


async def test_nothing_of_the_probe_is_left(host):
    await host.select()

    assert [path.name for path in host.cache.parent.iterdir()] == ["engine.json"]


async def test_what_is_not_there_is_passed_over_unless_it_was_named(host):
    host.missing.add(host.real)

    assert await host.select() == "emulated"
    with pytest.raises(EngineError, match="real is not installed"):
        await host.select("real")
    host.missing.add(host.emulated)
    with pytest.raises(EngineError, match="emulated is not installed"):
        await host.select()


async def test_kvm_without_its_device_is_not_found(tmp_path):
    with pytest.raises(EngineError, match="none cannot be opened"):
        await find_kvm(tmp_path, device=tmp_path / "none")


def test_the_registered_engines_are_those_of_the_configuration():
    assert (
        names() == ("qemu-kvm", "qemu-tcg") == tuple(p.value for p in (Platform.KVM, Platform.TCG))
    )
    assert ("auto", *names()) == ENGINES


async def test_without_an_image_only_a_named_engine_is_trusted(host):
    assert await host.select(image=None) == "emulated"
    assert await host.select("real", image=None) == "real"


async def test_emulation_is_taken_without_a_probe(host):
    assert await host.select("emulated") == "emulated"
    assert host.emulated.started == 0
