"""What users of AWS's service reported, each as a test that needs no machine. Others are beside what they belong to."""

from __future__ import annotations

import contextlib
import json
import socket
import struct
import threading
from typing import Self

import dotnet_bed as bed
import host_bed
import pytest
from agent_bed import Bed
from host_bed import frozen, reply, texts

from thaw_agent import wire

pytestmark = bed.needs_sdk


@pytest.fixture(scope="module")
def folder():
    return bed.published(bed.FUNCTIONS / "Reports")


@pytest.fixture
def start(serve, folder):
    """Start one of the small functions with SnapStart; the bed it runs in."""

    def started(name, **variables):
        handler = f"Reports::Reports.{name}::Handle"
        return serve(folder, handler, "snap-start", variables=variables, hooked=True)

    return started


@pytest.mark.parametrize("core", bed.CORES)
def test_a_function_that_scans_the_types_of_all_assemblies_loads_with_any_core(serve, core):
    """MediatR and AutoMapper do; a type of the host that needs a newer Core ended them."""
    library = bed.published(bed.FUNCTIONS / "Library", CoreVersion=core)
    machine = serve(library, "Library::Library.Function::Handle")
    machine.take(wire.Kind.INIT_DONE)
    kind, body = reply(machine, {})

    assert kind is wire.Kind.RESPONSE
    assert json.loads(body)["types"]


def test_a_handler_can_be_primed_by_ten_calls_with_a_context_of_the_functions_own(start):
    machine = start("Primed")
    frozen(machine)
    machine.restore()
    machine.take(wire.Kind.RESTORED)

    assert reply(machine, "call")[1] == b'"call 11"'
    machine.take(wire.Kind.DONE)
    lines = texts(machine)
    assert len([line for line in lines if line.endswith("prime for nobody")]) == 10
    assert lines[-1] == "request-1\tinfo\tcall for request-1"


def test_an_instance_id_that_opentelemetry_made_is_reported(start):
    notes = frozen(start("Traced")).report["notes"]

    assert any("service.instance.id" in note and "after-restore hook" in note for note in notes)


def test_a_client_of_somebody_elses_fails_its_restore_by_restore_error(tmp_path):
    """The two routes are in no public description of the Runtime API."""
    folder = bed.published(bed.FUNCTIONS / "Program", Net="net10.0")
    command = [str(bed.sdk()), "exec", str(folder / "Program.dll")]
    with Bed(tmp_path, lambda _init: command) as machine:
        variables = {"FAIL": "restore", "HOME": str(tmp_path)}
        machine.start("snap-start", runtime="dotnet10", environment=variables)
        machine.take(wire.Kind.SNAPSHOT_READY)
        machine.restore()
        failed = wire.RestoreFailed.decode(machine.take(wire.Kind.RESTORE_FAILED).payload)

    assert failed.error_type == "Runtime.AfterRestoreError"
    assert failed.message == "the database is gone"


def test_a_pool_of_npgsql_opens_a_new_connection_after_the_restore(start):
    """Its pruning stands still with the snapshot: it hands out the old connection, which is dead."""
    with Postgres() as server:
        machine = start("Database", DATABASE=server.where)
        frozen(machine)
        server.forget()  # as the agent does, which ends the template's connections in every clone
        machine.restore()
        machine.take(wire.Kind.RESTORED)

        assert reply(machine, {}) == (wire.Kind.RESPONSE, b"2")


def test_that_pool_hands_out_the_dead_connection_when_its_fixer_is_left_out(start):
    with Postgres() as server:
        machine = start("Database", DATABASE=server.where, THAW_SKIP_FIXERS="npgsql")
        frozen(machine)
        server.forget()
        machine.restore()
        machine.take(wire.Kind.RESTORED)
        kind, body = reply(machine, {})

        assert kind is wire.Kind.ERROR
        assert json.loads(body)["errorType"] == "NpgsqlException"


def test_the_sample_id_by_new_guid_is_all_zeros_and_ours_is_not(start):
    """AWS's sample of a hook renews its id by `new Guid()`. What was meant is `Guid.NewGuid()`."""
    machine = start("Ids")
    frozen(machine)
    machine.restore()
    machine.take(wire.Kind.RESTORED)
    said = json.loads(reply(machine, {})[1])

    assert said["sample"] == "00000000-0000-0000-0000-000000000000"
    assert said["meant"] != said["sample"]


@pytest.mark.parametrize(
    ("word", "instead"),
    [("RegisterAfterSnapshot", "RegisterAfterRestore"), ("new Guid()", "Guid.NewGuid()")],
)
def test_neither_examples_nor_messages_repeat_the_slips_of_awss_pages(word, instead):
    """There is no RegisterAfterSnapshot, and `new Guid()` makes no id."""
    texts = [
        path.read_text()
        for folder in (bed.EXAMPLES, host_bed.RUNTIME / "runtime", host_bed.RUNTIME / "bootstrap")
        for path in folder.rglob("*")
        if path.suffix in {".cs", ".fs", ".ps1", ".psm1"}
    ]

    assert not [text for text in texts if word in text]
    assert [text for text in texts if instead in text]


class Postgres:
    """A server that answers every question with the number of the connection that it was asked on."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._connections: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._listen)]

    @property
    def where(self) -> str:
        """The connection string. Types are not asked for, and no encryption."""
        port = self._listener.getsockname()[1]
        return (
            f"Host=127.0.0.1;Port={port};Username=me;Password=none;Database=shop;SSL Mode=Disable;"
            "GSS Encryption Mode=Disable;Server Compatibility Mode=NoTypeLoading;Timeout=10"
        )

    def forget(self) -> None:
        """End the connections that there are."""
        for connection in self._connections:
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self.forget()
        for thread in self._threads:
            thread.join()
        for each in (self._listener, *self._connections):
            each.close()

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self._connections.append(connection)
                number = len(self._connections)
                thread = threading.Thread(target=self._serve, args=(connection, number))
                self._threads.append(thread)
                thread.start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        column = b"connection\0" + struct.pack(">IHIhih", 0, 0, 23, 4, -1, 1)  # a binary int4
        answers = {
            b"P": _message(b"1"),
            b"B": _message(b"2"),
            b"D": _message(b"T", struct.pack(">H", 1) + column),
            b"E": _message(b"D", struct.pack(">HII", 1, 4, number)) + _message(b"C", b"SELECT 1\0"),
            b"S": _message(b"Z", b"I"),
            b"Q": _message(b"C", b"DISCARD ALL\0") + _message(b"Z", b"I"),
        }
        with contextlib.suppress(OSError), connection.makefile("rb") as sent:
            sent.read(struct.unpack(">I", sent.read(4))[0] - 4)
            connection.sendall(
                _message(b"R", bytes(4))
                + _message(b"S", b"server_version\x0017.0\0")
                + _message(b"S", b"client_encoding\0UTF8\0")
                + _message(b"K", bytes(8))
                + _message(b"Z", b"I")
            )
            while (kind := sent.read(1)) in answers:
                sent.read(struct.unpack(">I", sent.read(4))[0] - 4)
                connection.sendall(answers[kind])


def _message(kind: bytes, body: bytes = b"") -> bytes:
    return kind + struct.pack(">I", len(body) + 4) + body
