from __future__ import annotations

import os
import socket
import stat

import pytest
import trio
import trio.testing

from thawd.errors import ConfigError
from thawd.http import (
    Limits,
    PeerCredentials,
    RequestRefused,
    Response,
    open_unix_listener,
    serve,
)


class Client:
    """A raw connection: what goes over the wire is what the test says."""

    def __init__(self, stream):
        self.stream = stream
        self.received = b""

    async def send(self, data):
        await self.stream.send_all(data)

    async def until(self, marker):
        while marker not in self.received:
            piece = await self.stream.receive_some()
            assert piece, f"closed before {marker!r}: {self.received!r}"
            self.received += piece
        head, self.received = self.received.split(marker, 1)
        return head

    async def answer(self):
        """One answer with a Content-Length: status, headers, body."""
        head = (await self.until(b"\r\n\r\n")).decode()
        first, *lines = head.split("\r\n")
        headers = {k.lower(): v for k, v in (line.split(": ", 1) for line in lines)}
        length = int(headers.get("content-length", 0))
        while len(self.received) < length:
            piece = await self.stream.receive_some()
            assert piece
            self.received += piece
        body, self.received = self.received[:length], self.received[length:]
        return int(first.split()[1]), headers, body

    async def rest(self):
        """Everything up to the end of the connection."""
        while piece := await self.stream.receive_some():
            self.received += piece
        return self.received

    async def get(self, path="/"):
        await self.send(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        return await self.answer()


@pytest.fixture
def sock_path(tmp_path):
    return tmp_path / "s"


@pytest.fixture
async def start(nursery, sock_path):
    """Start a server on a Unix socket; returns it and a function that connects to it."""

    async def start(app, **limits):
        context = open_unix_listener(sock_path)
        listener = context.__enter__()
        contexts.append(context)

        async def run(task_status):
            await serve(listener, app, limits=Limits(**limits), task_status=task_status)

        server = await nursery.start(run)

        async def connect():
            stream = await trio.open_unix_socket(str(sock_path))
            streams.append(stream)
            return Client(stream)

        return server, connect

    contexts, streams = [], []
    yield start
    for stream in streams:
        await trio.aclose_forcefully(stream)
    for context in contexts:
        context.__exit__(None, None, None)


async def echo(request):
    return Response(200, await request.read(), [("Content-Type", "text/plain")])


def post(body, *headers):
    head = "\r\n".join(["POST / HTTP/1.1", "Host: x", f"Content-Length: {len(body)}", *headers])
    return head.encode() + b"\r\n\r\n" + body


async def test_one_connection_serves_many_requests(start):
    server, connect = await start(echo)
    client = await connect()
    for body in (b"one", b"", b"three" * 50_000):
        await client.send(post(body))

        assert (200, body) == (answer := await client.answer())[::2], answer[1]

    assert (
        server.statistics().connections_total,
        server.statistics().requests_total,
    ) == (1, 3)


async def test_pipelined_requests_are_answered_in_order(start):
    _, connect = await start(echo)
    client = await connect()
    await client.send(b"".join(post(b"%d" % i) for i in range(20)))

    assert [b"%d" % i for i in range(20)] == [(await client.answer())[2] for _ in range(20)]


async def test_a_chunked_request_body_is_read(start):
    _, connect = await start(echo)
    client = await connect()
    await client.send(
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    )

    assert (await client.answer())[2] == b"abcde"


async def test_a_body_that_declares_too_much_is_refused_at_once_and_the_client_can_read_why(start):
    _, connect = await start(echo, body_bytes=10)
    client = await connect()
    await client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
    status, headers, _ = await client.answer()

    assert (status, headers["connection"]) == (413, "close")

    await client.send(b"x" * 1_000_000)  # what a client that does not look up still sends is taken
    await client.stream.aclose()


async def test_a_chunked_body_that_grows_too_long_is_refused(start):
    _, connect = await start(echo, body_bytes=10)
    client = await connect()
    await client.send(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n")
    await client.send(b"8\r\n12345678\r\n" * 2)

    assert (await client.answer())[0] == 413


async def test_an_unread_body_does_not_become_the_next_request(start):
    async def ignore(request):
        return Response(200, b"ok")

    _, connect = await start(ignore)
    client = await connect()
    await client.send(post(b"GET /evil HTTP/1.1\r\nHost: x\r\n\r\n"))
    await client.answer()

    assert (await client.get())[2] == b"ok"


async def test_a_body_that_stalls_is_given_up(start, autojump_clock):
    _, connect = await start(echo, body_s=3)
    client = await connect()
    began = trio.current_time()
    await client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab")
    status, *_ = await client.answer()

    assert (status, trio.current_time() - began) == (408, 3)


async def test_a_client_that_waits_for_100_continue_gets_it_when_the_body_is_wanted(start):
    _, connect = await start(echo)
    client = await connect()
    await client.send(
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    )

    assert b"HTTP/1.1 100" in await client.until(b"\r\n\r\n")

    await client.send(b"ab")

    assert (await client.answer())[2] == b"ab"


async def test_a_client_that_waits_for_100_continue_is_refused_without_it(start):
    _, connect = await start(echo, body_bytes=1)
    client = await connect()
    await client.send(
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    )

    assert (await client.answer())[0] == 413


async def test_head_gets_the_length_without_the_body(start):
    async def app(request):
        return Response(200, b"12345")

    _, connect = await start(app)
    client = await connect()
    await client.send(b"HEAD / HTTP/1.1\r\nHost: x\r\n\r\nGET / HTTP/1.1\r\nHost: x\r\n\r\n")
    head = await client.until(b"\r\n\r\n")

    assert b"Content-Length: 5" in head
    assert (await client.answer())[2] == b"12345"


async def test_no_content_has_no_length(start):
    async def app(request):
        return Response(204)

    _, connect = await start(app)
    client = await connect()
    for _ in range(2):
        status, headers, _ = await client.get()

        assert status == 204
        assert "content-length" not in headers


async def test_a_streamed_answer_arrives_piece_by_piece(start):
    more = trio.Event()

    async def app(request):
        async def pieces():
            yield b"first"
            await more.wait()
            yield b"second"

        return Response(200, pieces())

    _, connect = await start(app)
    client = await connect()
    await client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    head = await client.until(b"first\r\n")

    assert b"chunked" in head.lower()

    more.set()
    await client.until(b"second\r\n0\r\n\r\n")


async def test_a_stream_that_fails_half_way_breaks_off(start):
    async def app(request):
        async def pieces():
            yield b"first"
            raise ValueError("boom")

        return Response(200, pieces())

    _, connect = await start(app)
    client = await connect()
    await client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")

    assert not (await client.rest()).endswith(b"0\r\n\r\n")


async def test_a_client_that_leaves_cancels_its_handler(start):
    started, cancelled = trio.Event(), trio.Event()

    async def app(request):
        started.set()
        try:
            await trio.sleep_forever()
        finally:
            cancelled.set()

    server, connect = await start(app)
    client = await connect()
    await client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    await started.wait()
    await client.stream.aclose()
    with trio.fail_after(2):
        await cancelled.wait()
    await trio.testing.wait_all_tasks_blocked()

    assert (server.statistics().connections, server.statistics().gone_total) == (0, 1)


async def test_a_client_that_leaves_ends_its_stream(start):
    closed = trio.Event()

    async def app(request):
        async def pieces():
            try:
                yield b"first"
                await trio.sleep_forever()
            finally:
                closed.set()

        return Response(200, pieces())

    _, connect = await start(app)
    client = await connect()
    await client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    await client.until(b"first")
    await client.stream.aclose()
    with trio.fail_after(2):
        await closed.wait()


async def test_a_client_that_does_not_read_is_given_up(start, autojump_clock):
    async def app(request):
        return Response(200, b"x" * (64 << 20))

    server, connect = await start(app, write_s=7)
    client = await connect()
    await client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    await trio.sleep(8)

    assert server.statistics().connections == 0


async def test_a_crash_is_a_500_and_the_connection_lives(start):
    async def app(request):
        if request.raw_path == "/crash":
            raise ZeroDivisionError
        return Response(200, b"ok")

    _, connect = await start(app)
    client = await connect()

    assert (await client.get("/crash"))[0] == 500
    assert (await client.get())[2] == b"ok"


async def test_a_handler_can_refuse(start):
    async def app(request):
        raise RequestRefused(405, headers=[("Allow", "GET")])

    _, connect = await start(app)
    status, headers, body = await (await connect()).get()

    assert (status, headers["allow"], body) == (405, "GET", b"Method Not Allowed\n")


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"nonsense\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\n\r\n", 400),  # no Host
        (b"GET / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nHost: x\r\nA: " + b"b" * 100_000 + b"\r\n\r\n", 431),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\0" * 100, 400),  # TLS
    ],
)
async def test_what_is_not_http_is_refused_and_the_connection_closed(start, data, status):
    _, connect = await start(echo, header_bytes=4096, linger_s=0.1)
    client = await connect()
    await client.send(data)

    assert status == (await client.answer())[0]
    assert await client.rest() == b""


async def test_an_idle_connection_is_closed(start, autojump_clock):
    _, connect = await start(echo, idle_s=30)
    client = await connect()
    await client.get()
    began = trio.current_time()

    assert await client.rest() == b""
    assert trio.current_time() - began == 30


async def test_headers_that_trickle_in_are_given_up(start, autojump_clock):
    _, connect = await start(echo, header_s=10, idle_s=60)
    client = await connect()
    with trio.move_on_after(60):
        for letter in b"GET / HTTP/1.1\r\nHost: very-slow-indeed":
            try:
                await client.send(bytes([letter]))
            except trio.BrokenResourceError:
                break
            await trio.sleep(1)

    assert (await client.answer())[0] == 408


async def test_http_1_0_gets_its_answer_and_the_end(start):
    _, connect = await start(echo)
    client = await connect()
    await client.send(b"POST / HTTP/1.0\r\nContent-Length: 2\r\n\r\nab")

    assert (await client.rest()).endswith(b"\r\n\r\nab")


async def test_absolute_targets_and_queries_are_split(start):
    async def app(request):
        text = f"{request.raw_path} {request.query_value('a')} {request.query_value('none')}"
        return Response(200, text.encode())

    _, connect = await start(app)
    client = await connect()

    assert (await client.get("http://x/p%20q?a=b%20c&z"))[2] == b"/p%20q b c None"


async def test_one_connection_too_many_is_told_so_while_all_are_being_served(start):
    started, finish = trio.Event(), trio.Event()

    async def app(request):
        started.set()
        await finish.wait()
        return Response(200)

    server, connect = await start(app, connections=1, linger_s=0.1)
    first = await connect()
    await first.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    await started.wait()
    status, headers, _ = await (await connect()).answer()

    assert (status, headers["retry-after"]) == (503, "1")

    finish.set()

    assert (await first.answer())[0] == 200
    assert server.statistics().refused_total == 1


async def test_unix_peers_are_known(start):
    seen: list[PeerCredentials] = []

    async def app(request):
        seen.append(request.peer)
        return Response(200)

    _, connect = await start(app)
    await (await connect()).get()

    assert [PeerCredentials(os.getpid(), os.getuid(), os.getgid())] == seen


async def test_shutdown_lets_a_running_request_end_and_closes_idle_connections(start):
    finish = trio.Event()
    started = trio.Event()

    async def app(request):
        if request.raw_path == "/slow":
            started.set()
            await finish.wait()
        return Response(200, b"done")

    server, connect = await start(app)
    idle, busy = await connect(), await connect()
    await idle.get()
    await busy.send(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
    await started.wait()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(server.shutdown, 5)

        assert await idle.rest() == b""

        finish.set()
        status, headers, body = await busy.answer()

    assert (status, headers["connection"], body) == (200, "close", b"done")
    assert server.statistics().connections == 0


async def test_shutdown_cancels_what_has_not_ended_at_the_deadline(start, autojump_clock):
    started, cancelled = trio.Event(), trio.Event()

    async def app(request):
        started.set()
        try:
            await trio.sleep_forever()
        finally:
            cancelled.set()

    server, connect = await start(app)
    await (await connect()).send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    await started.wait()
    began = trio.current_time()
    await server.shutdown(4)

    assert cancelled.is_set()
    assert trio.current_time() - began == 4


async def test_tcp_works_as_well(nursery):
    [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
    await nursery.start(serve, listener, echo)
    client = Client(await trio.testing.open_stream_to_socket_listener(listener))
    await client.send(post(b"over tcp").replace(b"Host: x", b"Host: localhost"))

    assert (await client.answer())[2] == b"over tcp"

    await client.stream.aclose()


class TestUnixListener:
    def test_the_socket_has_its_mode_and_is_gone_at_the_end(self, sock_path):
        with open_unix_listener(sock_path, mode=0o600):
            mode = stat.S_IMODE(sock_path.stat().st_mode)

        assert mode == 0o600
        assert not sock_path.exists()

    def test_a_dead_daemons_socket_is_replaced(self, sock_path):
        dead = socket.socket(socket.AF_UNIX)
        dead.bind(str(sock_path))
        dead.close()

        with open_unix_listener(sock_path):
            assert sock_path.is_socket()

    def test_a_live_daemons_socket_is_left_alone(self, sock_path):
        with open_unix_listener(sock_path):
            with (
                pytest.raises(ConfigError, match="Another daemon"),
                open_unix_listener(sock_path),
            ):
                pass

            assert sock_path.is_socket()

    def test_a_file_in_the_way_is_not_removed(self, sock_path):
        sock_path.write_text("mine")

        with pytest.raises(ConfigError, match="Cannot listen"), open_unix_listener(sock_path):
            pass

        assert sock_path.read_text() == "mine"

    def test_a_successors_socket_is_not_removed(self, sock_path):
        with open_unix_listener(sock_path):
            sock_path.unlink()
            successor = socket.socket(socket.AF_UNIX)
            successor.bind(str(sock_path))

        assert sock_path.is_socket()

        successor.close()
