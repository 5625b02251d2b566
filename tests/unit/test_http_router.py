from __future__ import annotations

from urllib.parse import quote

import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from thawd.http import Request, RequestRefused, Response, Router


class NoBody:
    async def receive(self):
        return b""


def request(method, path):
    return Request(
        id="id",
        method=method,
        raw_path=path,
        raw_query="",
        headers={},
        body_limit=0,
        source=NoBody(),
    )


def answering(text):
    async def handler(request):
        return Response(200, f"{text} {request.params}".encode())

    return handler


@pytest.fixture
def router():
    router = Router()
    for method, template in [
        ("GET", "/functions"),
        ("POST", "/functions"),
        ("GET", "/functions/{name}"),
        ("GET", "/functions/special"),
        ("GET", "/functions/{name}/versions/{version}"),
        ("PUT", "/functions/{other}/code"),
    ]:
        router.add(method, template, answering(f"{method} {template}"))
    return router


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [
        ("GET", "/functions", "GET /functions {}"),
        ("GET", "/functions/", "GET /functions {}"),
        ("HEAD", "/functions", "GET /functions {}"),
        ("POST", "/functions", "POST /functions {}"),
        ("GET", "/functions/f%3A1", "GET /functions/{name} {'name': 'f:1'}"),
        ("GET", "/functions/a%2Fb", "GET /functions/{name} {'name': 'a/b'}"),
        ("GET", "/functions/special", "GET /functions/special {}"),
        (
            "GET",
            "/functions/special/versions/2",
            "GET /functions/{name}/versions/{version} {'name': 'special', 'version': '2'}",
        ),
        ("PUT", "/functions/f/code", "PUT /functions/{other}/code {'other': 'f'}"),
    ],
)
async def test_a_path_finds_its_handler(router, method, path, expected):
    assert expected == (await router(request(method, path))).body.decode()


@pytest.mark.parametrize("path", ["/", "/nope", "/functions/f/versions", "/functions//versions/1"])
async def test_no_route_is_404(router, path):
    with pytest.raises(RequestRefused) as caught:
        await router(request("GET", path))

    assert caught.value.status == 404


async def test_another_method_is_405_and_says_which(router):
    with pytest.raises(RequestRefused) as caught:
        await router(request("DELETE", "/functions"))

    assert caught.value.status == 405
    assert caught.value.headers == (("Allow", "GET, HEAD, POST"),)


async def test_bytes_that_are_no_text_are_400(router):
    with pytest.raises(RequestRefused) as caught:
        await router(request("GET", "/functions/%ff"))

    assert caught.value.status == 400


def test_a_route_is_given_once(router):
    with pytest.raises(ValueError, match="twice"):
        router.add("GET", "/functions/{another}", answering("x"))


@given(st.text(min_size=1))
def test_every_name_survives_the_way_through_a_path(name):
    router = Router()
    router.add("GET", "/functions/{name}/x", answering(""))
    found = request("GET", f"/functions/{quote(name, safe='')}/x")
    trio.run(router, found)

    assert {"name": name} == found.params
