"""After a restore the first use of every pool succeeds: its connections are dead and it knows.

Each server is a real one on loopback, or speaks as much of the protocol as the client needs.
"""

from __future__ import annotations

import importlib.util
import json
import os
import socketserver
import struct
import subprocess
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


class Web(BaseHTTPRequestHandler):
    """Keeps connections open, answers everything with an empty JSON object."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    do_POST = do_GET  # noqa: N815 - the base class asks for this name

    def log_message(self, *_: object) -> None:
        """Quiet."""


class Redis(socketserver.StreamRequestHandler):
    """RESP2: arrays of bulk strings in; PING, GET and the client's introduction out."""

    def handle(self) -> None:
        while line := self.rfile.readline():
            words = []
            for _ in range(int(line[1:])):
                length = int(self.rfile.readline()[1:])
                words.append(self.rfile.read(length + 2)[:-2])
            answer = {b"PING": b"+PONG\r\n", b"GET": b"$5\r\nvalue\r\n"}
            self.wfile.write(answer.get(words[0].upper(), b"+OK\r\n"))


class Postgres(socketserver.StreamRequestHandler):
    """Protocol 3.0: trust authentication, every query gives one row with one text (or nothing for SET, BEGIN...)."""

    def handle(self) -> None:
        while True:
            length, code = struct.unpack(">II", self._exactly(8))
            self._exactly(length - 8)
            if code not in {80877103, 80877104}:  # SSLRequest, GSSENCRequest
                break
            self.wfile.write(b"N")
        self._send(b"R", struct.pack(">I", 0))
        for name, value in (
            (b"client_encoding", b"UTF8"),
            (b"server_version", b"16.0"),
            (b"standard_conforming_strings", b"on"),
        ):
            self._send(b"S", name + b"\0" + value + b"\0")
        self._send(b"K", struct.pack(">II", 1, 2))
        self._send(b"Z", b"I")
        query = b""
        while True:
            kind = self.rfile.read(1)
            if not kind or kind == b"X":
                return
            (length,) = struct.unpack(">I", self._exactly(4))
            body = self._exactly(length - 4)
            if kind == b"Q":
                query = body
                if self._gives_rows(query):
                    self._describe(query)
                self._execute(query)
                self._send(b"Z", b"T" if self._begun else b"I")
            elif kind == b"P":
                query = body.split(b"\0")[1]
                self._send(b"1", b"")
            elif kind == b"B":
                self._send(b"2", b"")
            elif kind == b"D":
                self._describe(query)
            elif kind == b"E":
                self._execute(query)
            elif kind == b"S":
                self._send(b"Z", b"T" if self._begun else b"I")

    _begun = False

    def _gives_rows(self, query: bytes) -> bool:
        return query.strip().lower().startswith((b"select", b"show"))

    def _describe(self, query: bytes) -> None:
        if self._gives_rows(query):
            self._send(
                b"T", struct.pack(">H", 1) + b"v\0" + struct.pack(">IHIhih", 0, 0, 25, -1, -1, 0)
            )
        else:
            self._send(b"n", b"")

    def _execute(self, query: bytes) -> None:
        text = query.strip(b"\0 ").lower()
        if self._gives_rows(query):
            value = (
                b"PostgreSQL 16.0"
                if b"version" in text
                else b"read committed"
                if b"show" in text
                else b"one"
            )
            self._send(b"D", struct.pack(">HI", 1, len(value)) + value)
            self._send(b"C", b"SELECT 1\0")
        elif not text:
            self._send(b"I", b"")
        else:
            self._begun = text.startswith(b"begin")
            self._send(b"C", text.split()[0].upper() + b"\0")

    def _send(self, kind: bytes, body: bytes) -> None:
        self.wfile.write(kind + struct.pack(">I", len(body) + 4) + body)

    def _exactly(self, size: int) -> bytes:
        data = self.rfile.read(size)
        if len(data) != size:
            raise ConnectionResetError
        return data


class Server(socketserver.ThreadingTCPServer):
    """On a free port of loopback; a client that goes away is not news."""

    daemon_threads = True
    allow_reuse_address = True

    def handle_error(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def serve():
    """Start a server of a handler class and return its port."""
    running = []

    def start(handler: type) -> int:
        kind = ThreadingHTTPServer if handler is Web else Server
        server = kind(("127.0.0.1", 0), handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        running.append((server, thread))
        return server.server_address[1]

    yield start
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()


def need(*libraries: str) -> None:
    """Skip by name; nothing is imported into the test's own process."""
    for library in libraries:
        if importlib.util.find_spec(library) is None:
            pytest.skip(f"{library} is not installed (dependency group `fixers`)")


def through_a_restore(code: str, *options: str) -> dict:
    done = subprocess.run(
        [sys.executable, str(ROOT / "tests" / "pool_bed.py"), *options],
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT / "runtimes" / "python")},
        input=code,
        capture_output=True,
        text=True,
        check=False,
        timeout=50,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


HTTP_CLIENTS = {
    "requests": "import requests\ns = requests.Session()\ndef use(): return s.get('http://127.0.0.1:PORT/').text",
    "urllib3": (
        "import urllib3\np = urllib3.PoolManager(retries=False)\n"
        "def use(): return p.request('GET', 'http://127.0.0.1:PORT/').data.decode()"
    ),
    "httpx": "import httpx\nc = httpx.Client()\ndef use(): return c.get('http://127.0.0.1:PORT/').text",
    "boto3": (
        "import boto3\nfrom botocore.config import Config\n"
        "c = boto3.client('lambda', endpoint_url='http://127.0.0.1:PORT', region_name='us-east-1',\n"
        "  aws_access_key_id='a', aws_secret_access_key='b', config=Config(retries={'total_max_attempts': 1}))\n"
        "def use(): return str(c.list_functions()['ResponseMetadata']['HTTPStatusCode'])"
    ),
    "aiohttp": (
        "import aiohttp, asyncio\nloop = asyncio.new_event_loop()\n"
        "async def make(): return aiohttp.ClientSession()\n"
        "s = loop.run_until_complete(make())\n"
        "async def get():\n"
        "  async with s.get('http://127.0.0.1:PORT/') as r: return await r.text()\n"
        "def use(): return loop.run_until_complete(get())"
    ),
}


@pytest.mark.parametrize(("library", "code"), HTTP_CLIENTS.items(), ids=HTTP_CLIENTS.keys())
def test_http_clients_notice_by_themselves(serve, library, code):
    """A pooled HTTP connection whose socket was shut is replaced, with no retry configured and no fixer of ours."""
    need(library)

    result = through_a_restore(code.replace("PORT", str(serve(Web))), "--off")

    assert result["before"] == result["after"]


SQLALCHEMY = """
import sqlalchemy
engine = sqlalchemy.create_engine("postgresql+psycopg://u@127.0.0.1:PORT/d", pool_size=2, use_native_hstore=False,
                                  connect_args={"sslmode": "disable", "gssencmode": "disable"})
def use():
    with engine.connect() as connection:
        return connection.exec_driver_sql("select 'one'").scalar()
"""

PSYCOPG_POOL = """
import psycopg_pool
pool = psycopg_pool.ConnectionPool("host=127.0.0.1 port=PORT user=u dbname=d sslmode=disable gssencmode=disable",
                                   min_size=2, max_size=2, open=True)
pool.wait(10)
def use():
    with pool.connection(timeout=10) as connection:
        return connection.execute("select 'one'").fetchone()[0]
"""

REDIS = """
import redis
client = redis.Redis(port=PORT, protocol=2, retry=None)
def use(): return client.get("key").decode()
"""


@pytest.mark.parametrize(
    ("libraries", "code"),
    [(("sqlalchemy", "psycopg"), SQLALCHEMY), (("psycopg_pool", "psycopg"), PSYCOPG_POOL)],
    ids=["sqlalchemy", "psycopg_pool"],
)
def test_database_pools_are_told(serve, libraries, code):
    """The first query after a restore succeeds; without the fixer it fails on the dead connection."""
    need(*libraries)
    code = code.replace("PORT", str(serve(Postgres)))

    told, untold = through_a_restore(code), through_a_restore(code, "--off")

    assert (told["before"], told["after"]) == ("one", "one")
    assert told["fixers"][libraries[0]] == "ok"
    assert "error" in untold["after"]


def test_redis_pools_are_told(serve):
    """The first command after a restore succeeds, with no retry configured."""
    need("redis")

    result = through_a_restore(REDIS.replace("PORT", str(serve(Redis))))

    assert (result["before"], result["after"]) == ("value", "value")
    assert result["fixers"]["redis"] == "ok"


def test_sqlite_engines_keep_their_database():
    """A database in memory lives in its connection: that one must not be replaced."""
    need("sqlalchemy")
    code = """
import sqlalchemy
engine = sqlalchemy.create_engine("sqlite://")
with engine.begin() as c:
    c.exec_driver_sql("create table t (v)")
    c.exec_driver_sql("insert into t values ('one')")
def use():
    with engine.connect() as connection:
        return connection.exec_driver_sql("select v from t").scalar()
"""

    result = through_a_restore(code)

    assert (result["before"], result["after"]) == ("one", "one")


CREDENTIALS = """
import botocore.credentials, datetime
fetched = []
def fetch():
    fetched.append(1)
    expiry = datetime.datetime.now(datetime.timezone.utc) + datetime.timedelta(hours=6)
    return {"access_key": f"key{len(fetched)}", "secret_key": "s", "token": "t", "expiry_time": expiry.isoformat()}
c = botocore.credentials.RefreshableCredentials.create_from_metadata(fetch(), fetch, "test")
def use(): return c.get_frozen_credentials().access_key
"""


def test_cached_credentials_are_fetched_again():
    """What a clone signs with is its own, not what was fetched while publishing."""
    need("botocore")

    told, untold = through_a_restore(CREDENTIALS), through_a_restore(CREDENTIALS, "--off")

    assert (told["before"], told["after"]) == ("key1", "key2")
    assert untold["after"] == "key1"
