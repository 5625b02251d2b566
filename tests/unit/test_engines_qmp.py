"""The QMP client against a fake QEMU that speaks the real protocol on a real socket pair."""

import array
import json
import os
import socket
from contextlib import asynccontextmanager

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

from thawd.engines.machine import ANSWER_S
from thawd.engines.qemu.qmp import (
    Event,
    MessageReader,
    QmpError,
    QmpProtocolError,
    QmpSilence,
    connect_qmp,
    parse_greeting,
)
from thawd.errors import MachineDied

GREETING = {
    "QMP": {
        "version": {"qemu": {"micro": 22, "minor": 2, "major": 7}, "package": "Debian 1:7.2"},
        "capabilities": ["oob"],
    }
}


class FakeQemu:
    """QEMU's end of the monitor. Refuses commands before `qmp_capabilities`, as QEMU does."""

    def __init__(self, connection):
        self.connection = connection
        self.reader = MessageReader()
        self.commands = []
        self.descriptors = []
        self.answers = {}
        self.held = None

    async def send(self, message):
        await self.connection.send(json.dumps(message).encode() + b"\r\n")

    async def event(self, name, **data):
        await self.send(
            {"event": name, "data": data, "timestamp": {"seconds": 1, "microseconds": 2}}
        )

    async def serve(self):
        await self.send(GREETING)
        command_mode = False
        while True:
            data, ancillary, _, _ = await self.connection.recvmsg(65536, socket.CMSG_SPACE(64))
            for _, _, raw in ancillary:
                fds = array.array("i")
                fds.frombytes(raw)
                self.descriptors += fds
            if not data:
                return
            for message in self.reader.feed(data):
                name = message["execute"]
                self.commands.append((name, message.get("arguments", {})))
                if name == "qmp_capabilities":
                    command_mode = True
                answer = self.answers.get(name, {"return": {}})
                if not command_mode:
                    answer = {
                        "error": {"class": "CommandNotFound", "desc": "Expecting capabilities"}
                    }
                if answer == "hold":
                    self.held = message
                elif answer == "die":
                    self.connection.close()
                    return
                else:
                    await self.send(answer | {"id": message["id"]})


@asynccontextmanager
async def connected():
    ours, theirs = trio.socket.socketpair()
    qemu = FakeQemu(theirs)
    with theirs:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(qemu.serve)
            async with connect_qmp(ours) as client:
                yield client, qemu
            nursery.cancel_scope.cancel()


async def test_the_greeting_names_the_version_as_the_command_line_does():
    async with connected() as (client, _):
        assert client.greeting.version == "7.2.22 (Debian 1:7.2)"


async def test_commands_carry_arguments_with_hyphens_and_return_the_value():
    async with connected() as (client, qemu):
        qemu.answers["query-status"] = {"return": {"status": "running"}}

        assert await client.execute("query-status", max_bandwidth=5) == {"status": "running"}
        assert qemu.commands[-1] == ("query-status", {"max-bandwidth": 5})


async def test_a_refusal_has_qemus_own_words():
    async with connected() as (client, qemu):
        qemu.answers["cont"] = {
            "error": {"class": "GenericError", "desc": "Resetting the VM is required"}
        }
        with pytest.raises(QmpError, match="refused cont: Resetting") as refused:
            await client.execute("cont")

        assert (refused.value.error_class, refused.value.description) == (
            "GenericError",
            "Resetting the VM is required",
        )


async def test_replies_find_their_command_in_any_order():
    async with connected() as (client, qemu):
        qemu.answers |= {"slow": "hold", "fast": {"return": "fast"}}
        results = []

        async def run(name):
            results.append(await client.execute(name))

        async with trio.open_nursery() as nursery:
            nursery.start_soon(run, "slow")
            while qemu.held is None:
                await trio.lowlevel.checkpoint()
            await run("fast")
            await qemu.send({"return": "slow", "id": qemu.held["id"]})

        assert results == ["fast", "slow"]


async def test_a_cancelled_commands_late_reply_is_thrown_away():
    async with connected() as (client, qemu):
        qemu.answers["slow"] = "hold"
        async with trio.open_nursery() as nursery:
            nursery.start_soon(client.execute, "slow")
            while qemu.held is None:
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()
        await qemu.send({"return": "late", "id": qemu.held["id"]})

        assert await client.execute("query-status") == {}


async def test_a_descriptor_arrives_beside_its_command():
    async with connected() as (client, qemu):
        reading, writing = os.pipe()
        try:
            await client.execute("getfd", descriptor=writing, fdname="x")
            os.write(qemu.descriptors[0], b"through")

            assert os.read(reading, 10) == b"through"
        finally:
            for fd in (reading, writing, *qemu.descriptors):
                os.close(fd)


async def test_every_subscriber_gets_the_events_of_its_time():
    async with connected() as (client, qemu):
        with client.events() as first:
            await qemu.event("STOP")
            assert await first.receive() == Event("STOP")
            with client.events() as second:
                await qemu.event("MIGRATION", status="completed")

                assert await first.receive() == await second.receive()


async def test_unread_events_do_not_stop_replies():
    async with connected() as (client, qemu):
        with client.events():
            for _ in range(1000):
                await qemu.event("STOP")

            assert await client.execute("query-status") == {}


async def test_the_end_of_the_connection_ends_commands_and_events():
    async with connected() as (client, qemu):
        qemu.answers["quit"] = "die"
        with client.events() as events:
            with pytest.raises(MachineDied, match="during quit"):
                await client.execute("quit")
            with pytest.raises(MachineDied):
                await client.execute("query-status")

            assert [event async for event in events] == []
        with client.events() as later:
            assert [event async for event in later] == []


async def test_a_silent_qemu_is_found_by_the_deadline_of_a_command(autojump_clock):
    async with connected() as (client, qemu):
        qemu.answers["cont"] = "hold"
        began = trio.current_time()
        with pytest.raises(QmpSilence, match="did not answer cont within 5 s"):
            await client.execute("cont")

        assert trio.current_time() - began == pytest.approx(ANSWER_S)
        with pytest.raises(MachineDied):
            await client.execute("query-status")


async def test_a_command_may_be_given_longer(autojump_clock):
    async with connected() as (client, qemu):
        qemu.answers["migrate"] = "hold"

        async def answer():
            await trio.sleep(2 * ANSWER_S)
            await qemu.send({"return": "done", "id": qemu.held["id"]})

        async with trio.open_nursery() as nursery:
            nursery.start_soon(answer)

            assert await client.execute("migrate", limit_s=3 * ANSWER_S) == "done"


async def test_a_silent_qemu_ends_all_that_wait_for_it(autojump_clock):
    async with connected() as (client, qemu):
        qemu.answers |= {"stop": "hold", "query-status": "hold"}
        errors = []

        async def wait_for(command, limit_s):
            try:
                await client.execute(command, limit_s=limit_s)
            except MachineDied as error:
                errors.append(type(error))

        with client.events() as events:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(wait_for, "query-status", 1000)
                nursery.start_soon(wait_for, "stop", 1)

            assert [event async for event in events] == []
        assert trio.current_time() < 1000
        assert errors == [QmpSilence, MachineDied]


async def test_a_qemu_that_does_not_even_read_is_found_too(autojump_clock):
    ours, theirs = trio.socket.socketpair()
    with theirs:
        await theirs.send(json.dumps(GREETING).encode() + b"\n")
        reader = MessageReader()
        async with trio.open_nursery() as nursery:

            async def enter():
                while not (messages := reader.feed(await theirs.recv(65536))):
                    pass
                await theirs.send(
                    json.dumps({"return": {}, "id": messages[0]["id"]}).encode() + b"\n"
                )

            nursery.start_soon(enter)
            async with connect_qmp(ours) as client:
                with pytest.raises(QmpSilence):
                    await client.execute("device_add", text="x" * (8 << 20))


async def test_qemu_that_dies_before_its_greeting_is_a_death():
    ours, theirs = trio.socket.socketpair()
    theirs.close()
    with pytest.raises(MachineDied):
        async with connect_qmp(ours):
            pass


async def test_a_command_qemu_could_not_parse_fails_instead_of_waiting():
    async with connected() as (client, qemu):
        qemu.answers["odd"] = "hold"
        with pytest.RaisesGroup(pytest.RaisesExc(MachineDied, match="did not understand")):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(client.execute, "odd")
                while qemu.held is None:
                    await trio.lowlevel.checkpoint()
                await qemu.send({"error": {"class": "GenericError", "desc": "JSON parse error"}})


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=3,
)
messages = st.lists(st.dictionaries(st.text(), json_values, max_size=3), max_size=6)


@settings(max_examples=40)
@given(messages, st.data())
def test_messages_survive_any_split_of_their_bytes(sent, data):
    stream = b"".join(json.dumps(message).encode() + b"\r\n" for message in sent)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    reader = MessageReader()
    received = []
    for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True):
        received += reader.feed(stream[start:end])

    assert received == sent


@settings(max_examples=40)
@given(st.binary())
def test_any_bytes_are_messages_or_a_protocol_error(data):
    try:
        received = MessageReader().feed(data + b"\n")
    except QmpProtocolError:
        return

    assert all(isinstance(message, dict) for message in received)


@settings(max_examples=40)
@given(json_values.filter(lambda v: isinstance(v, dict)))
def test_only_a_greeting_is_a_greeting(message):
    with pytest.raises(QmpProtocolError):
        parse_greeting(message)


def test_an_endless_line_is_refused(monkeypatch):
    monkeypatch.setattr("thawd.engines.qemu.qmp._MAX_LINE_BYTES", 100)
    with pytest.raises(QmpProtocolError, match="longer"):
        MessageReader().feed(b"x" * 101)
