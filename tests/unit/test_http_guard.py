"""Which hosts and origins a server takes requests of."""

from __future__ import annotations

import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from thawd.http import Guard, Request, RequestRefused, Response, open_tcp_listener, serve
from thawd.http.guard import host_name


class NoBody:
    async def receive(self):
        return b""


def allowed(guard=None, *, local_host="127.0.0.1", **headers):
    request = Request(
        id="r",
        method="POST",
        raw_path="/",
        raw_query="",
        headers={name.encode(): value.encode() for name, value in headers.items()},
        body_limit=0,
        local_host=local_host,
        source=NoBody(),
    )
    try:
        (guard or Guard()).check(request)
    except RequestRefused as error:
        refusal = error
    else:
        return True
    assert refusal.status == 403
    assert "allowed_hosts" in refusal.reason
    return False


@pytest.mark.parametrize(
    "host",
    ["localhost", "LocalHost:9000", "localhost.:1", "127.0.0.1:9000", "127.8.8.8", "[::1]:9000"],
)
def test_loopback_names_are_ours(host):
    assert allowed(host=host)


@pytest.mark.parametrize(
    "host",
    [
        "",
        "evil.example",
        "evil.example:9000",
        "localhost.evil.example",
        "127.0.0.1.evil.example",
        "192.0.2.7:9000",
        "localhost@evil.example",
        "evil.example, localhost",
        "localhost:port",
        "[::1",
        "2130706433",
        "0x7f000001",
    ],
)
def test_other_names_are_refused(host):
    assert not allowed(host=host)


def test_the_address_connected_to_counts():
    assert allowed(host="192.0.2.7:9000", local_host="192.0.2.7")
    assert allowed(host="[2001:db8::1]:9000", local_host="2001:db8::1")
    assert not allowed(host="192.0.2.8:9000", local_host="192.0.2.7")


def test_further_names_are_a_setting():
    guard = Guard(["Lambda.example.org", "192.0.2.9"])

    assert allowed(guard, host="lambda.example.org:9000")
    assert allowed(guard, host="192.0.2.9")
    assert not allowed(guard, host="other.example.org")


def test_a_unix_sockets_clients_may_say_any_host():
    assert allowed(host="thawd", local_host=None)
    assert allowed(host="evil.example", local_host=None)


@pytest.mark.parametrize(
    "origin",
    [
        "http://evil.example",
        "https://localhost.evil.example",
        "http://localhost:3000",
        "null",
        "file://",
        "chrome-extension://abcdef",
        "http://[",
        "",
    ],
)
@pytest.mark.parametrize("local_host", ["127.0.0.1", None])
def test_pages_of_other_sites_are_refused(origin, local_host):
    assert not allowed(host="localhost:9000", origin=origin, local_host=local_host)


def test_the_servers_own_pages_and_those_of_allowed_hosts_may():
    guard = Guard(["console.example.org"])

    assert allowed(host="localhost:9000", origin="http://localhost:9000")
    assert allowed(guard, host="localhost:9000", origin="https://console.example.org")
    assert allowed(guard, host="localhost:9000", origin="https://console.example.org:8443")


@given(st.text())
def test_no_text_breaks_the_reading_of_a_host(text):
    name = host_name(text)

    assert name is None or (name and name == name.lower() and "@" not in name)


async def test_a_servers_handler_is_not_asked_for_what_is_refused(nursery):
    async def app(request):
        return Response(200, (request.local_host or "").encode())

    listener = await open_tcp_listener("127.0.0.1", 0)
    await nursery.start(serve, listener, app)
    for host, status in ((b"evil.example", b"403"), (b"127.0.0.1:9000", b"200")):
        async with await trio.testing.open_stream_to_socket_listener(listener) as stream:
            await stream.send_all(b"POST / HTTP/1.0\r\nHost: " + host + b"\r\n\r\n")
            answer = b"".join([piece async for piece in stream])

        assert answer.startswith(b"HTTP/1.1 " + status)
    assert answer.endswith(b"127.0.0.1")
