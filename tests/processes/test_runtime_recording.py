"""What a traced function's process tells: who asked for what, what is held, what was sent; and nothing is changed."""

from __future__ import annotations

import json
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

RUNTIME = Path(__file__).parents[2] / "runtimes" / "python"

BED = """
import json, sys
sys.path.insert(0, {runtime!r})
sys.path.insert(0, {root!r})
from thaw_runtime.recording import Recorder
records = []
recorder = Recorder(records.append)
recorder.start()
import app
recorder.keep_globals()
at_freeze = len(records)
answer = app.handler({{}}) if hasattr(app, "handler") else None
print(json.dumps([records[:at_freeze], records[at_freeze:], answer]))
"""


def traced(folder: Path, source: str, **files: str) -> tuple[list[dict[str, Any]], ...]:
    """Records up to the freeze, those of one call afterwards, and what the handler returned."""
    (folder / "app.py").write_text(textwrap.dedent(source))
    for name, text in files.items():
        (folder / f"{name}.py").write_text(textwrap.dedent(text))
    done = subprocess.run(
        [sys.executable, "-c", BED.format(runtime=str(RUNTIME), root=str(folder))],
        env={
            "LAMBDA_TASK_ROOT": str(folder),
            "PATH": "/usr/bin:/bin",
            "AWS_LAMBDA_RUNTIME_API": "169.254.100.1:9001",
            "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://127.0.0.1:9001/2021-04-23/credentials",
        },
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    before, after, answer = json.loads(done.stdout)
    return before, after, answer


def values(records: list[dict[str, Any]], kind: str, key: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for record in records:
        if record["kind"] == kind:
            found.setdefault(record[key], []).append(record["value"])
    return found


def test_taps_name_the_source_the_line_and_the_value(tmp_path: Path) -> None:
    before, after, answer = traced(
        tmp_path,
        """
        import random, secrets, time, uuid
        from os import urandom
        ID = str(uuid.uuid4())
        KEY = secrets.token_hex(16)
        STARTED = time.time()
        NONCE = urandom(12)
        own = random.Random()
        JITTER = own.random()
        def handler(event):
            return random.getrandbits(64)
        """,
    )
    taps = {record["source"]: record for record in before if record["kind"] == "tap"}
    held = values(before, "global", "name")
    assert taps["uuid.uuid4"]["at"] == "app.py:4"
    assert taps["uuid.uuid4"]["value"] == held["app.ID"][0]
    assert taps["secrets.token_hex"]["value"] == held["app.KEY"][0]
    assert taps["time.time"]["value"] == held["app.STARTED"][0]
    assert taps["os.urandom"]["value"] == held["app.NONCE"][0]
    assert taps["random.Random.random"]["value"] == held["app.JITTER"][0]
    assert [(r["source"], r["at"], r["value"]) for r in after if r["kind"] == "tap"] == [
        ("random.getrandbits", "app.py:11", str(answer))
    ]


def test_a_library_that_asks_is_named_by_the_users_line_that_led_there(tmp_path: Path) -> None:
    before, *_ = traced(
        tmp_path,
        """
        import helper
        VALUE = helper.make()
        """,
        helper="""
        import uuid
        def make():
            return uuid.uuid4()
        """,
    )
    (tap,) = [record for record in before if record["kind"] == "tap"]
    assert tap["at"] == "helper.py:4"
    assert set(values(before, "global", "name")) == {"app.VALUE"}


def test_globals_are_found_where_they_hide(tmp_path: Path) -> None:
    before, *_ = traced(
        tmp_path,
        """
        import functools, uuid
        CONFIG = {"ids": [uuid.uuid4()]}
        class Service:
            name = uuid.uuid4().hex
            def __init__(self):
                self.token = uuid.uuid4().hex
        service = Service()
        @functools.cache
        def instance():
            return uuid.uuid4().hex
        @functools.lru_cache(maxsize=4)
        def bounded():
            return uuid.uuid4().hex
        instance(); bounded()
        def default(value=uuid.uuid4().hex):
            return value
        def make():
            hidden = uuid.uuid4().hex
            return lambda: hidden
        closure = make()
        """,
    )
    named = values(before, "global", "name")
    made = {r["value"].replace("-", "") for r in before if r["kind"] == "tap"}
    for name in (
        "app.CONFIG['ids'][0]", "app.Service.name", "app.service.token", "app.instance (cached)",
        "app.bounded (cached)", "app.default (default 0)", "app.closure (variable hidden)",
    ):  # fmt: skip
        assert name in named, named
        assert named[name][0].replace("-", "") in made


def test_what_is_sent_to_the_agent_is_not_told(tmp_path: Path) -> None:
    """Neither to its Runtime API nor to its credentials endpoint, whose token every clone has."""
    _, after, _ = traced(
        tmp_path,
        """
        import os, socket
        def listening():
            server = socket.create_server(("127.0.0.1", 0))
            return server, f"127.0.0.1:{server.getsockname()[1]}"
        (api, at), (keys, at_keys), (other, at_other) = listening(), listening(), listening()
        recorder = __import__("__main__").recorder
        assert recorder._ours == {"169.254.100.1:9001", "127.0.0.1:9001"}, recorder._ours
        recorder._ours = {at, at_keys}
        def handler(event):
            for place in (at, at_keys, at_other):
                host, port = place.split(":")
                with socket.create_connection((host, int(port))) as client:
                    client.sendall(b"to " + place.encode())
            return at_other
        """,
    )

    assert len([record for record in after if record["kind"] == "sent"]) == 1


def test_what_is_sent_is_told_once_by_connection(tmp_path: Path) -> None:
    _, after, _ = traced(
        tmp_path,
        """
        import socket
        def handler(event):
            server = socket.create_server(("127.0.0.1", 0))
            client = socket.create_connection(server.getsockname())
            accepted, _ = server.accept()
            client.sendall(b"question")
            accepted.send(b"answer")
            client.sendmsg([b"thank ", b"you"])
            for each in (client, accepted, server):
                each.close()
        """,
    )
    sent = [(r["connection"], bytes.fromhex(r["data"])) for r in after if r["kind"] == "sent"]
    assert sent == [(0, b"question"), (1, b"answer"), (0, b"thank you")]


def test_tapped_functions_behave_as_before(tmp_path: Path) -> None:
    *_, answer = traced(
        tmp_path,
        """
        import copy, pickle, random, secrets, tempfile, time, uuid
        class Clock:
            now = time.time          # a builtin does not bind as a method
        class Own(random.Random):
            def random(self):
                return 0.5
        def handler(event):
            seeded = random.Random(42)
            return [
                isinstance(Clock().now(), float),
                pickle.loads(pickle.dumps(time.time)) is time.time,
                copy.deepcopy(uuid.uuid4) is uuid.uuid4,
                seeded.random(), seeded.randint(1, 10**9), seeded.choice("abcdef"),
                Own().random(), 0 <= Own().randrange(10) < 10,
                time.time.__name__, len(secrets.token_urlsafe(8)),
                len(tempfile.mktemp()) > 8,
            ]
        """,
    )
    import random

    seeded = random.Random(42)
    assert answer == [
        True, True, True, seeded.random(), seeded.randint(1, 10**9), seeded.choice("abcdef"), 0.5, True, "time", 11, True,
    ]  # fmt: skip
