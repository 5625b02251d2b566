"""The agent's HTTP server against raw sockets: what clients send in pieces, ahead, too much of, or wrongly."""

from __future__ import annotations

import contextlib
import errno
import socket
import time
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from thaw_agent import http
from thaw_agent.loop import Loop

LIMIT = 100_000
PATIENCE_S = 10.0


class Bed:
    """A server, stepped by the test, that answers with what it was asked, or keeps what is asked of /later."""

    def __init__(self, **limits):
        self.loop = Loop()
        self.server = http.Server(
            self.loop, ("127.0.0.1", 0), self.handle, body_limit=LIMIT, **limits
        )
        self.requests = []
        self.later = []
        self.clients = []

    def handle(self, request):
        self.requests.append(request)
        if request.path == "/later":
            self.later.append(request)
        else:
            request.answer(200, f"{request.method} {request.path} {len(request.body)}".encode())

    def client(self):
        client = Client(self)
        self.clients.append(client)
        return client

    def until(self, condition):
        end = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < end, "waited in vain"
            self.loop.turn(0.01)

    def settle(self):
        for _ in range(3):
            self.loop.turn(0.0)

    def close(self):
        for client in self.clients:
            client.socket.close()
        self.server.close()
        self.loop.close()


class Client:
    def __init__(self, bed):
        self.bed = bed
        self.socket = socket.create_connection(("127.0.0.1", bed.server.port))
        self.socket.setblocking(False)
        self.got = b""
        self.ended = False
        bed.until(lambda: bed.server.connections)

    @classmethod
    def unheard(cls, bed):
        """One that does not wait until the server has it: it may not get a place."""
        client = cls.__new__(cls)
        client.bed, client.got, client.ended = bed, b"", False
        client.socket = socket.create_connection(("127.0.0.1", bed.server.port))
        client.socket.setblocking(False)
        bed.clients.append(client)
        bed.settle()
        return client

    def send(self, data):
        view = memoryview(data)
        while view:
            with contextlib.suppress(BlockingIOError):
                view = view[self.socket.send(view) :]
            self.bed.settle()

    def receive(self):
        try:
            while data := self.socket.recv(1 << 16):
                self.got += data
            self.ended = True
        except BlockingIOError:
            pass
        except ConnectionResetError:
            self.ended = True

    def until(self, condition):
        def come():
            self.receive()
            return condition()

        self.bed.until(come)

    def answers(self, count):
        """So many answers: status and body of each."""
        found = []

        def parse():
            head, end, rest = self.got.partition(b"\r\n\r\n")
            if end:
                length = next(
                    (
                        int(x.split(b":")[1])
                        for x in head.split(b"\r\n")
                        if x.startswith(b"Content-L")
                    ),
                    0,
                )
                if len(rest) >= length:
                    found.append((int(head.split()[1]), rest[:length]))
                    self.got = rest[length:]
            return len(found) == count

        self.until(parse)
        return found


@pytest.fixture
def bed():
    bed = Bed()
    yield bed
    bed.close()


@pytest.fixture
def client(bed):
    return bed.client()


def post(body, path="/x", *headers):
    lines = [f"POST {path} HTTP/1.1", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


def chunked(*chunks, path="/x", end=b"0\r\n\r\n"):
    head = f"POST {path} HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    return head + b"".join(b"%x\r\n%s\r\n" % (len(one), one) for one in chunks) + end


class TestRequests:
    def test_a_connection_is_kept(self, bed, client):
        for number in range(3):
            client.send(f"GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            assert client.answers(1) == [(200, f"GET /{number} 0".encode())]

        assert len(bed.server.connections) == 1

    def test_requests_sent_ahead_are_answered_in_their_order(self, client):
        client.send(post(b"a", "/1") + chunked(b"bc", b"d", path="/2") + b"GET /3 HTTP/1.1\r\n\r\n")

        assert client.answers(3) == [(200, b"POST /1 1"), (200, b"POST /2 3"), (200, b"GET /3 0")]

    def test_what_was_sent_ahead_of_a_late_answer_waits_for_it(self, bed, client):
        client.send(b"GET /later HTTP/1.1\r\n\r\nGET /next HTTP/1.1\r\n\r\n")
        bed.settle()
        seen = [request.path for request in bed.requests]
        bed.later[0].answer(200, b"late")

        assert seen == ["/later"]
        assert client.answers(2) == [(200, b"late"), (200, b"GET /next 0")]

    def test_header_names_have_no_case_and_values_no_blanks(self, bed, client):
        client.send(b"GET /x HTTP/1.1\r\nX-ONE:  a b \r\nx-two:c:d\r\nX-Latin: \xe9\r\n\r\n")
        client.answers(1)

        assert bed.requests[0].headers == {"x-one": "a b", "x-two": "c:d", "x-latin": "\xe9"}

    def test_an_answers_header_cannot_end_its_line(self, bed, client):
        client.send(b"GET /later HTTP/1.1\r\n\r\n")
        bed.settle()
        bed.later[0].answer(200, b"", (("X", "a\r\nInjected: 1\n"),))
        client.until(lambda: client.got.endswith(b"\r\n\r\n"))

        assert b"X: a  Injected: 1 \r\n" in client.got

    def test_a_large_answer_passes_whole_to_a_slow_reader(self, bed, client):
        body = bytes(range(256)) * 16_000
        client.send(b"GET /later HTTP/1.1\r\n\r\n")
        bed.settle()
        bed.later[0].answer(200, body)

        assert client.answers(1) == [(200, body)]

    @given(st.lists(st.integers(0, 10**6), max_size=40))
    @settings(max_examples=15)
    def test_any_cut_of_the_stream_gives_the_same_requests(self, cuts):
        data = (
            post(b"\r\n\r\nGET / HTTP", "/1")
            + chunked(
                b"a\r\n", b"0\r\n\r\n", path="/2", end=b"0;x=y\r\nTrailer: z\r\nMore: z\r\n\r\n"
            )
            + chunked(path="/3")
            + post(b"", "/4")
        )
        places = sorted({cut % len(data) for cut in cuts} | {0, len(data)})
        bed = Bed()
        try:
            client = bed.client()
            for start, end in pairwise(places):
                client.send(data[start:end])
            client.answers(4)
        finally:
            bed.close()

        assert [bytes(one.body) for one in bed.requests] == [
            b"\r\n\r\nGET / HTTP",
            b"a\r\n0\r\n\r\n",
            b"",
            b"",
        ]

    def test_byte_by_byte(self, client):
        for byte in chunked(b"ab", b"c", end=b"00\r\nTrailer: z\r\n\r\n"):
            client.send(bytes([byte]))

        assert client.answers(1) == [(200, b"POST /x 3")]


class TestExpect:
    def test_a_client_that_asks_is_told_to_go_on(self, client):
        request = post(b"body", "/x", "Expect: 100-Continue")
        client.send(request[:-4])
        client.until(lambda: client.got == b"HTTP/1.1 100 Continue\r\n\r\n")
        client.got = b""
        client.send(b"body")

        assert client.answers(1) == [(200, b"POST /x 4")]


class TestLimits:
    @pytest.mark.parametrize("length", [LIMIT, LIMIT + 1, 3 * LIMIT])
    def test_a_body_over_the_limit_is_thrown_away_and_said(self, bed, client, length):
        client.send(post(bytes(length)) + b"GET /next HTTP/1.1\r\n\r\n")
        client.answers(2)

        assert bed.requests[0].too_large is (length > LIMIT)
        assert len(bed.requests[0].body) == (0 if length > LIMIT else length)
        assert bed.requests[1].path == "/next"

    def test_so_is_a_chunked_one(self, bed, client):
        client.send(chunked(*[bytes(LIMIT // 4)] * 6) + b"GET /next HTTP/1.1\r\n\r\n")
        client.answers(2)

        assert [one.too_large for one in bed.requests] == [True, False]

    @pytest.mark.parametrize(
        ("data", "status"),
        [
            (b"GET /" + b"x" * 70_000, 431),
            (b"GET / HTTP/1.1\r\nX: " + b"x" * 70_000, 431),
            (chunked(end=b"1;" + b"x" * 70_000), 400),
            (chunked(end=b"0\r\n" + b"X: y\r\n" * 12_000), 431),
        ],
    )
    def test_a_head_without_end_is_refused(self, bed, client, data, status):
        client.send(data)

        assert client.answers(1) == [(status, b"")]
        assert bed.requests == []

    def test_a_flood_ahead_of_an_answer_ends_the_connection(self, bed, client):
        client.send(b"GET /later HTTP/1.1\r\n\r\n")
        bed.settle()
        client.send(b"x" * 70_000)
        client.until(lambda: client.ended)

        assert bed.later[0].gone


class TestNonsense:
    @pytest.mark.parametrize(
        "data",
        [
            b"\r\n\r\n",
            b"GET /\r\n\r\n",
            b"GET / HTTP/1.1 more\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length:\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: \xb2\r\n\r\n",
            b"POST / HTTP/1.1\r\nContent-Length: 9999999999999999\r\n\r\n",
            chunked(end=b"x\r\n\r\n"),
            chunked(end=b"-1\r\n\r\n"),
            chunked(end=b"-0\r\n\r\n"),
            chunked(end=b"+1\r\na\r\n0\r\n\r\n"),
            chunked(end=b"0x1\r\na\r\n0\r\n\r\n"),
            chunked(end=b"1_0\r\n0123456789abcdef\r\n0\r\n\r\n"),
            chunked(end=b"\r\n\r\n"),
            chunked(end=b"1\r\nab\r\n0\r\n\r\n"),
            chunked(end=b"1111111111111111\r\n"),
        ],
    )
    def test_what_is_no_http_is_answered_400_and_the_connection_ends(self, bed, client, data):
        client.send(data)

        assert client.answers(1) == [(400, b"")]
        client.until(lambda: client.ended)
        assert bed.requests == []
        assert not bed.server.connections

    def test_the_requests_before_it_are_answered(self, client):
        client.send(b"GET /good HTTP/1.1\r\n\r\nnonsense\r\n\r\nGET /after HTTP/1.1\r\n\r\n")

        assert client.answers(2) == [(200, b"GET /good 0"), (400, b"")]
        client.until(lambda: client.ended)

    @given(st.binary(max_size=100))
    @settings(max_examples=25)
    def test_any_bytes_leave_the_server_serving(self, data):
        bed = Bed()
        try:
            bed.client().send(data + b"\r\n\r\n")
            other = bed.client()
            other.send(b"GET /x HTTP/1.1\r\n\r\n")
            assert other.answers(1) == [(200, b"GET /x 0")]
        finally:
            bed.close()


class TestEnds:
    @pytest.mark.parametrize("head", [b"GET / HTTP/1.1\r\nConnection: Close", b"GET / HTTP/1.0"])
    def test_a_client_that_wants_it_has_its_connection_closed(self, bed, client, head):
        client.send(head + b"\r\n\r\nGET /after HTTP/1.1\r\n\r\n")

        assert client.answers(1) == [(200, b"GET / 0")]
        client.until(lambda: client.ended)
        assert len(bed.requests) == 1

    def test_a_client_that_went_during_its_poll_is_seen_and_answering_it_is_harmless(
        self, bed, client
    ):
        client.send(b"GET /later HTTP/1.1\r\n\r\n")
        bed.settle()
        before = bed.later[0].gone
        client.socket.close()
        bed.until(lambda: not bed.server.connections)
        bed.later[0].answer(200, b"to nobody")

        assert not before
        assert bed.later[0].gone

    def test_a_client_that_reset_during_a_large_answer_is_forgotten(self, bed, client):
        client.send(b"GET /later HTTP/1.1\r\n\r\n")
        bed.settle()
        bed.later[0].answer(200, bytes(8 << 20))
        client.socket.close()
        bed.until(lambda: not bed.server.connections)

        assert bed.later[0].gone

    def test_half_a_request_at_the_end_is_nothing(self, bed, client):
        client.send(post(b"abc")[:-1])
        client.socket.close()
        bed.until(lambda: not bed.server.connections)

        assert bed.requests == []

    def test_a_closed_server_has_closed_everything(self, bed, client):
        bed.server.close()
        client.until(lambda: client.ended)

        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", bed.server.port))
        bed.server = http.Server(bed.loop, ("127.0.0.1", 0), bed.handle, body_limit=LIMIT)


@pytest.fixture
def small():
    """A server that has little room."""
    bed = Bed(most_connections=3, most_bytes=2 * LIMIT)
    yield bed
    bed.close()


def poll(bed, client):
    """Let this client get a late answer, as a runtime does."""
    client.send(b"GET /later HTTP/1.1\r\n\r\n")
    bed.until(lambda: bed.later)
    bed.later.pop().answer(200)
    client.answers(1)


class TestRoom:
    """The clients are user code: whatever they keep open or half sent, the agent goes on and the runtime is served."""

    def test_one_connection_too_many_closes_that_which_was_idle_for_longest(self, small):
        first, second, third = (small.client() for _ in range(3))
        small.until(lambda: len(small.server.connections) == 3)
        first.send(b"GET /x HTTP/1.1\r\n\r\n")
        first.answers(1)
        fourth = small.client()
        second.until(lambda: second.ended)

        for client in (first, third, fourth):
            client.send(b"GET /y HTTP/1.1\r\n\r\n")
            assert client.answers(1) == [(200, b"GET /y 0")]
        assert len(small.server.connections) == 3

    def test_not_one_that_waits_for_its_answer_nor_the_runtimes(self, small):
        runtime = small.client()
        poll(small, runtime)
        waiting = small.client()
        waiting.send(b"GET /later HTTP/1.1\r\n\r\n")
        small.until(lambda: small.later)
        flood = [small.client() for _ in range(20)]
        for client in flood[:-1]:
            client.until(lambda client=client: client.ended)
        small.later.pop().answer(200, b"late")

        assert waiting.answers(1) == [(200, b"late")]
        runtime.send(b"GET /x HTTP/1.1\r\n\r\n")
        assert runtime.answers(1) == [(200, b"GET /x 0")]

    def test_when_all_wait_the_new_one_is_closed(self, small):
        waiting = [small.client() for _ in range(3)]
        for number, client in enumerate(waiting, start=1):
            client.send(b"GET /later HTTP/1.1\r\n\r\n")
            small.until(lambda number=number: len(small.later) == number)
        late = small.client()
        late.until(lambda: late.ended)
        small.later[0].answer(200, b"late")

        assert waiting[0].answers(1) == [(200, b"late")]

    def test_bodies_half_sent_are_bounded_together(self):
        bed = Bed(most_bytes=2 * LIMIT)
        try:
            flood = [bed.client() for _ in range(10)]
            for client in flood:
                client.send(post(bytes(LIMIT))[:-1])

            def ended():
                for client in flood:
                    client.receive()
                return sum(client.ended for client in flood) == 8

            bed.until(ended)
            last = bed.client()
            last.send(post(bytes(LIMIT)))

            assert last.answers(1) == [(200, b"POST /x %d" % LIMIT)]
            assert bed.server._bytes <= 2 * LIMIT
            for client in flood:
                client.socket.close()
            last.socket.close()
            bed.until(lambda: not bed.server.connections)
            assert bed.server._bytes == 0
        finally:
            bed.close()

    def test_more_than_all_may_hold_closes_even_the_last_one(self):
        bed = Bed(most_bytes=LIMIT // 2)
        try:
            client = bed.client()
            client.send(post(bytes(LIMIT))[:-1])
            client.until(lambda: client.ended)

            assert bed.server._bytes == 0
        finally:
            bed.close()

    def test_who_does_not_read_is_not_read(self, bed, client):
        """Pipelined requests whose answers nobody takes do not fill the agent's memory."""
        request = b"GET /" + b"x" * 60_000 + b" HTTP/1.1\r\n\r\n"
        sent = 0
        for _ in range(1500):
            with contextlib.suppress(BlockingIOError):
                sent += client.socket.send(request[sent % len(request) :])
            bed.loop.turn(0.0)
        taken, held = len(bed.requests), bed.server._bytes
        rest = memoryview(request[sent % len(request) :])

        def whole():
            nonlocal rest
            with contextlib.suppress(
                BlockingIOError
            ):  # there may be no room before answers are taken
                rest = rest[client.socket.send(rest) :]
            return not rest

        assert held < 1 << 20
        assert taken < sent // len(request)
        client.until(whole)
        client.until(lambda: client.got.count(b"HTTP/1.1 200") == 1 + sent // len(request))

    @pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
    def test_when_the_kernel_has_no_room_a_client_waits_and_an_idle_one_goes(
        self, bed, client, monkeypatch, number
    ):
        real, failures = http._listener(("127.0.0.1", 0)), [number] * 2

        class Listener:
            def accept(self):
                if failures:
                    raise OSError(failures.pop(), "no room")
                return real.accept()

            def __getattr__(self, name):
                return getattr(real, name)

        listener = Listener()
        bed.server._listeners.append(listener)
        bed.server._listen(listener)
        monkeypatch.setattr(bed.server, "port", real.getsockname()[1])
        late = bed.client()
        client.until(lambda: client.ended)
        late.send(b"GET /x HTTP/1.1\r\n\r\n")

        assert late.answers(1) == [(200, b"GET /x 0")]

    @given(
        st.lists(
            st.tuples(
                st.integers(0, 5),
                st.sampled_from(["get", "poll", "half", "answer", "close"]),
            ),
            max_size=40,
        )
    )
    @settings(max_examples=20, deadline=None)
    def test_whatever_clients_do_the_books_are_right(self, acts):
        bed = Bed(most_connections=3, most_bytes=2 * LIMIT)
        places = {}
        try:
            for place, act in acts:
                if act == "answer":
                    if bed.later:
                        bed.later.pop().answer(200, b"late")
                    continue
                if act == "close":
                    if place in places:
                        places.pop(place).socket.close()
                    bed.settle()
                    continue
                if place not in places:
                    places[place] = Client.unheard(bed)
                data = {
                    "get": b"GET /x HTTP/1.1\r\n\r\n",
                    "poll": b"GET /later HTTP/1.1\r\n\r\n",
                    "half": post(bytes(LIMIT))[:-1],
                }[act]
                with contextlib.suppress(OSError):
                    places[place].socket.send(data)
                bed.settle()
                connections = list(bed.server.connections)
                assert len(connections) <= 3
                assert bed.server._bytes == sum(one._held for one in connections) <= 2 * LIMIT
        finally:
            bed.close()


def test_it_listens_on_one_port_of_several_hosts():
    loop = Loop()
    asked = []
    server = http.Server(
        loop, ("127.0.0.1", 0), asked.append, body_limit=LIMIT, also=("127.0.0.2",)
    )
    clients = [socket.create_connection((host, server.port)) for host in ("127.0.0.1", "127.0.0.2")]
    for client in clients:
        client.sendall(b"GET /x HTTP/1.1\r\n\r\n")
    end = time.monotonic() + PATIENCE_S
    while len(asked) < 2:
        assert time.monotonic() < end, "waited in vain"
        loop.turn(0.01)
    for client in clients:
        client.close()
    server.close()
    loop.close()
