from __future__ import annotations

import errno
import os
import socket
import stat

import pytest
import trio
import trio.testing
from attrs import define

from thawd.errors import ConfigError
from thawd.http import (
    Limits,
    PeerCredentials,
    RequestRefused,
    Response,
    Server,
    open_tcp_listener,
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


async def test_a_chunk_that_announces_more_than_could_ever_be_held_is_not_waited_for(
    start, autojump_clock
):
    _, connect = await start(echo)
    client = await connect()
    began = trio.current_time()
    await client.send(
        b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n"
    )

    assert (await client.answer())[0] == 413
    assert trio.current_time() == began


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


# ---------------------------------------------------------------------------------------------------------------------
# Clients that end, go, or take their time


async def test_a_client_that_ends_its_side_gets_its_answer(start):
    more = trio.Event()

    async def app(request):
        await more.wait()
        return Response(200, b"late")

    _, connect = await start(app)
    client = await connect()
    await client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    await client.stream.send_eof()
    await trio.testing.wait_all_tasks_blocked()
    more.set()

    assert (await client.answer())[::2] == (200, b"late")
    assert await client.rest() == b""


async def test_pipelined_requests_before_the_end_are_all_answered(start):
    _, connect = await start(echo)
    client = await connect()
    await client.send(post(b"a") + post(b"b"))
    await client.stream.send_eof()

    assert [b"a", b"b"] == [(await client.answer())[2] for _ in range(2)]


async def test_a_client_that_ends_its_side_and_then_leaves_cancels_its_handler(start):
    started, cancelled = trio.Event(), trio.Event()

    async def app(request):
        started.set()
        try:
            await trio.sleep_forever()
        finally:
            cancelled.set()

    _, connect = await start(app)
    client = await connect()
    await client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    await client.stream.send_eof()
    await started.wait()
    await trio.testing.wait_all_tasks_blocked()

    assert not cancelled.is_set()

    await client.stream.aclose()
    with trio.fail_after(2):
        await cancelled.wait()


async def test_a_body_that_ends_too_early_is_refused(start):
    _, connect = await start(echo)
    client = await connect()
    await client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nab")
    await client.stream.send_eof()

    assert (await client.answer())[0] == 400


async def test_a_body_that_trickles_is_given_up_though_it_never_pauses(start, autojump_clock):
    _, connect = await start(echo, body_s=10, body_rate=100)
    client = await connect()
    began = trio.current_time()
    await client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
    with trio.move_on_after(100):
        while trio.current_time() - began < 50:
            try:
                await client.send(b"x")
            except trio.BrokenResourceError:
                break
            await trio.sleep(1)

    assert 10 <= trio.current_time() - began < 20
    assert (await client.answer())[0] == 408


async def test_a_body_that_takes_long_at_a_fair_rate_is_read(start, autojump_clock):
    _, connect = await start(echo, body_s=3, body_rate=100)
    client = await connect()
    await client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\n")
    for _ in range(20):
        await client.send(b"x" * 250)
        await trio.sleep(2)

    assert (await client.answer())[::2] == (200, b"x" * 5000)


async def test_time_that_the_handler_takes_is_not_the_clients(start, autojump_clock):
    async def app(request):
        pieces = 0
        async for _ in request.stream():
            pieces += 1
            await trio.sleep(20)
        return Response(200, b"%d" % pieces)

    _, connect = await start(app, body_s=3, body_rate=100)
    client = await connect()
    await client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n")
    for _ in range(3):
        await client.send(b"x")
        await trio.sleep(20)

    assert (await client.answer())[0] == 200


async def test_length_and_chunks_together_are_refused_and_the_connection_closed(start):
    _, connect = await start(echo, linger_s=0.1)
    client = await connect()
    await client.send(
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    )
    status, headers, _ = await client.answer()

    assert (status, headers["connection"]) == (400, "close")
    assert await client.rest() == b""


# ---------------------------------------------------------------------------------------------------------------------
# Room


async def test_connections_that_are_idle_make_room_the_longest_first(start, autojump_clock):
    server, connect = await start(echo, connections=3)
    clients = []
    for _ in range(10):
        clients.append(await connect())
        assert (await clients[-1].get())[0] == 200
        await trio.sleep(0.1)

    assert [await client.rest() for client in clients[:7]] == [b""] * 7
    assert [(await client.get())[0] for client in clients[7:]] == [200] * 3
    assert server.statistics().evicted_total == 7


async def test_bodies_that_trickle_make_room_and_are_told(start, autojump_clock):
    server, connect = await start(echo, connections=3)
    slow = [await connect() for _ in range(3)]
    for client in slow:
        await client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n\r\nx")
    await trio.sleep(2)
    new = await connect()

    assert (await new.get())[0] == 200

    told = [(await client.answer())[0] for client in slow if await _ended(client)]

    assert told == [503]
    assert server.statistics().connections == 3


async def _ended(client):
    """Whether the server has said anything to a client, or closed."""
    with trio.move_on_after(0.1) as scope:
        client.received += await client.stream.receive_some()
    return not scope.cancelled_caught


async def test_headers_that_trickle_make_room(start, autojump_clock):
    _, connect = await start(echo, connections=2)
    for _ in range(2):
        await (await connect()).send(b"GET / HTTP/1.1\r\nHo")
    await trio.sleep(2)

    assert (await (await connect()).get())[0] == 200


async def test_clients_that_do_not_take_their_answer_make_room(start, autojump_clock):
    async def app(request):
        return Response(200, b"x" * (8 << 20) if request.raw_path == "/big" else b"small")

    _, connect = await start(app, connections=2)
    for _ in range(2):
        await (await connect()).send(b"GET /big HTTP/1.1\r\nHost: x\r\n\r\n")
    await trio.sleep(2)

    assert (await (await connect()).get())[2] == b"small"


async def test_bodies_have_a_budget_over_all_connections(start):
    started, finish = trio.Event(), trio.Event()

    async def app(request):
        body = await request.read()
        started.set()
        await finish.wait()
        return Response(200, b"%d" % len(body))

    server, connect = await start(app, held_bytes=100, linger_s=0.1)
    first, second, third = await connect(), await connect(), await connect()
    await first.send(post(b"x" * 80))
    await started.wait()
    await second.send(post(b"x" * 30))
    status, headers, _ = await second.answer()

    assert (status, headers["retry-after"]) == (503, "1")
    assert server.statistics().held_bytes == 80

    await third.send(post(b"x" * 20))
    await trio.testing.wait_all_tasks_blocked()
    finish.set()

    assert [(await client.answer())[2] for client in (first, third)] == [b"80", b"20"]

    await trio.testing.wait_all_tasks_blocked()

    assert server.statistics().held_bytes == 0


async def test_a_slow_body_gives_its_share_of_the_budget_to_a_faster_one(start, autojump_clock):
    server, connect = await start(echo, held_bytes=100)
    slow = await connect()
    await slow.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n" + b"x" * 80)
    await trio.sleep(2)
    fast = await connect()
    await fast.send(post(b"y" * 60))

    assert (await fast.answer())[::2] == (200, b"y" * 60)
    assert (await slow.answer())[0] == 503
    assert server.statistics().held_bytes == 0


async def test_a_body_that_is_put_away_piece_by_piece_may_be_larger_than_what_all_may_hold(start):
    async def app(request):
        size = 0
        async for piece in request.stream(limit=100_000, kept=False):
            assert server.statistics().held_bytes == len(piece)
            size += len(piece)
        return Response(200, b"%d" % size)

    server, connect = await start(app, held_bytes=5000)
    client = await connect()
    for _ in range(2):
        await client.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 90000\r\n\r\n")
        for _ in range(90):
            await client.send(b"x" * 1000)
            await trio.testing.wait_all_tasks_blocked()

        assert (await client.answer())[2] == b"90000"
    assert server.statistics().held_bytes == 0


async def test_a_body_that_holds_nothing_is_not_ended_for_one_that_needs_room(
    start, autojump_clock
):
    async def app(request):
        kept = request.raw_path != "/away"
        return Response(200, b"".join([p async for p in request.stream(kept=kept)]))

    _, connect = await start(app, held_bytes=100)
    slow, large = await connect(), await connect()
    await slow.send(b"POST /away HTTP/1.1\r\nHost: x\r\nContent-Length: 99\r\n\r\n" + b"x" * 80)
    await trio.sleep(2)
    await large.send(post(b"y" * 101))

    assert (await large.answer())[0] == 503

    await slow.send(b"x" * 19)

    assert (await slow.answer())[::2] == (200, b"x" * 99)


async def test_a_client_waits_while_there_is_no_descriptor_for_it(
    nursery, sock_path, autojump_clock
):
    @define
    class Scarce:
        """A listener that finds no descriptor free at first."""

        listener: trio.SocketListener
        failures: int = 3

        async def accept(self):
            if self.failures:
                self.failures -= 1
                raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
            return await self.listener.accept()

        async def __aenter__(self):
            return self

        async def __aexit__(self, *_):
            await self.listener.aclose()

    with open_unix_listener(sock_path) as listener:
        scarce = Scarce(listener)
        await nursery.start(serve, scarce, echo)
        async with await trio.open_unix_socket(str(sock_path)) as stream:
            assert (await Client(stream).get())[0] == 200
        assert scarce.failures == 0


async def test_one_server_counts_over_all_its_listeners(nursery, tmp_path):
    server = Server(limits=Limits(connections=2))
    with (
        open_unix_listener(tmp_path / "a") as one,
        open_unix_listener(tmp_path / "b") as other,
    ):
        await nursery.start(server.serve, [one, other], echo)
        for name in ("a", "b", "a"):
            stream = await trio.open_unix_socket(str(tmp_path / name))
            nursery.start_soon(_close_at_the_end, stream)
            assert (await Client(stream).get())[0] == 200

        assert (server.statistics().connections, server.statistics().evicted_total) == (2, 1)

        await server.shutdown(1)


async def _close_at_the_end(stream):
    try:
        await trio.sleep_forever()
    finally:
        await trio.aclose_forcefully(stream)


# ---------------------------------------------------------------------------------------------------------------------
# The end


async def test_shutdown_tells_those_that_it_could_not_wait_for(start, autojump_clock):
    async def app(request):
        await trio.sleep_forever()

    server, connect = await start(app)
    client = await connect()
    await client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    await trio.testing.wait_all_tasks_blocked()
    await server.shutdown(4)
    status, headers, body = await client.answer()

    assert (status, headers["connection"]) == (503, "close")
    assert b"stopping" in body


async def test_shutdown_does_not_wait_for_an_answer_without_end(start, autojump_clock):
    async def app(request):
        async def pieces():
            yield b"first"
            await trio.sleep_forever()

        return Response(200, pieces(), endless=True)

    server, connect = await start(app)
    client = await connect()
    await client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    await client.until(b"first\r\n")
    began = trio.current_time()
    await server.shutdown(60)

    assert trio.current_time() == began
    assert await client.rest() == b"0\r\n\r\n"


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


class TestTcpListener:
    async def test_a_port_that_is_taken_is_told_with_the_way_out(self):
        async with await open_tcp_listener("127.0.0.1", 0) as listener:
            port = listener.socket.getsockname()[1]

            with pytest.raises(ConfigError, match=rf"tcp:127\.0\.0\.1:{port}: .*in use\. Stop"):
                await open_tcp_listener("127.0.0.1", port)

    async def test_an_address_of_another_machine_is_told(self):
        with pytest.raises(ConfigError, match="Choose an address of this machine"):
            await open_tcp_listener("192.0.2.1", 9000)

    async def test_a_unit_that_may_not_open_tcp_names_the_socket_unit(self, monkeypatch):
        """RestrictAddressFamilies=AF_UNIX makes socket(2) say EAFNOSUPPORT."""

        async def refuse(port, *, host):
            raise OSError(errno.EAFNOSUPPORT, "no")

        monkeypatch.setattr(trio, "open_tcp_listeners", refuse)

        with pytest.raises(ConfigError, match=r"socket unit open the port.*systemd/README\.md"):
            await open_tcp_listener("127.0.0.1", 9000)
