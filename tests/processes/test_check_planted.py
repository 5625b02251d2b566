"""Functions with planted bugs: linter and clones find each where it is and nothing else, and what is put right is clean.

The clones here are forked processes, with the runtime's own ears and fixers in them. What real machines show of the same
functions is in tests/machine/test_check_planted.py.
"""

from __future__ import annotations

import functools
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from thaw_check.clones import Verdict, compare, exchange, findings
from thaw_check.findings import Level
from thaw_check.lint import lint_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from thaw_check.findings import Finding

PYTHON = Path(__file__).parents[2] / "runtimes" / "python"
EXAMPLES = PYTHON / "examples" / "check"
BAD = ("planted", "aws_docs")
FIXED = ("planted_fixed", "aws_docs_fixed")
MARK = re.compile(r"# bug: ([\w-]+)$")
RULES = {
    Verdict.VALUE: "CLONE001",
    Verdict.GENERATOR: "CLONE002",
    Verdict.TIME: "CLONE003",
}
HIDDEN_BY_FORK = {"global-generator", "seed"}
"""`random` seeds its global generator anew in a child of fork(), and in no restored machine."""

COLD_START = """
import io, json, os, socket, sys, tempfile, time
from contextlib import redirect_stdout

runtime, skip, *events = sys.argv[1:]
events = [json.loads(event) for event in events]
sys.path[:0] = [runtime, os.environ["LAMBDA_TASK_ROOT"]]
from thaw_runtime.draw import Draw
from thaw_runtime.recording import Recorder
from thaw_runtime.registry import Registry

host = ""
def rename():
    global host
    host = "host-" + os.urandom(6).hex()
socket.gethostname = lambda: host  # each machine has its own
records = []

def taken(kind, *names):
    return [{name: r[name] for name in names} for r in records if r["kind"] == kind]

def files():
    root = tempfile.gettempdir()
    return sorted(
        os.path.relpath(os.path.join(folder, name), root) for folder, _, names in os.walk(root) for name in names
    )

def answer(event):
    records_before, lines, began_s = len(records), io.StringIO(), time.time()
    with redirect_stdout(lines):
        response = json.loads(json.dumps(app.handler(event, None)))
    sent = {}
    for record in records[records_before:]:
        if record["kind"] == "sent":
            sent[record["connection"]] = sent.get(record["connection"], "") + record["data"]
    return {
        "response": response, "logs": lines.getvalue().splitlines(), "outbound": [sent[n] for n in sorted(sent)],
        "began_s": began_s, "ended_s": time.time(),
    }

def observe():
    rename()
    records.clear()
    registry.thaw(Draw(os.urandom(64)))
    for hook, args, kwargs in hooks.get_after_restore():
        hook(*args, **kwargs)
    answers = [answer(event) for event in events]
    return {
        "answers": answers, "files": files(),
        "draws": taken("tap", "source", "at", "value"),
    }

def clone():
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            observed = json.dumps(observe()).encode()
            with open(writer, "wb") as pipe:
                pipe.write(observed)
            os._exit(0)
        finally:
            sys.excepthook(*sys.exc_info())
            os._exit(1)
    os.close(writer)
    with open(reader, "rb") as pipe:
        said = pipe.read()
    assert os.waitpid(pid, 0)[1] == 0
    # One folder is every clone's /tmp here: what this one left in it is not the next one's.
    for name in set(files()) - kept:
        os.remove(os.path.join(tempfile.gettempdir(), name))
    time.sleep(0.02)  # to the millisecond, clones do not run at the same time
    return json.loads(said)

rename()
registry, recorder = Registry(skip=skip.split()), Recorder(records.append)
registry.start()
recorder.start()
import app
import snapshot_restore_py as hooks
for hook, args, kwargs in reversed(hooks.get_before_snapshot()):
    hook(*args, **kwargs)
recorder.keep_globals()
registry.freeze()
start = {"taps": taken("tap", "source", "at", "value"), "globals": taken("global", "name", "value")}
kept = set(files())
print(json.dumps({**start, "clones": [clone(), clone()]}))
"""
"""One init, and two clones of it that get the same events: a cold start as `exchange` has it."""


def about(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((EXAMPLES / name / "bugs.json").read_text())
    return found


def planted(name: str) -> list[dict[str, Any]]:
    return [*about(name)["bugs"], *about(name)["aws_only"]]


def marked(name: str) -> list[tuple[int, str]]:
    """Lines and the bugs in them, as the source's comments mark them."""
    lines = (EXAMPLES / name / "app.py").read_text().splitlines()
    return [(n, found[1]) for n, line in enumerate(lines, 1) if (found := MARK.search(line))]


@pytest.mark.parametrize("name", BAD)
def test_the_linter_finds_each_bug_in_its_line_and_nothing_else(name: str) -> None:
    rules = {bug["name"]: bug["lint"] for bug in planted(name)}
    expected = [(line, rule) for line, bug in marked(name) for rule in rules[bug]]
    found = [(f.where.line, f.rule) for f in lint_path(EXAMPLES / name).findings if f.where]

    assert sorted(expected) == sorted(found)
    assert len(found) >= 8


@pytest.mark.parametrize("name", FIXED)
def test_what_is_put_right_has_no_finding_and_none_accepted(name: str) -> None:
    report = lint_path(EXAMPLES / name)

    assert () == report.findings
    assert () == report.suppressed


@pytest.mark.parametrize("name", BAD)
def test_marks_and_list_agree(name: str) -> None:
    bugs = planted(name)

    assert sorted(bug["name"] for bug in bugs) == sorted(bug for _, bug in marked(name))
    assert all(bug["lint"] or bug["clone"] for bug in bugs), "a bug that nothing could find"
    assert not any(bug["fixers_repair"] for bug in about(name)["bugs"])
    assert all(bug["fixers_repair"] for bug in about(name)["aws_only"])
    assert [] == marked(f"{name}_fixed")


@pytest.mark.parametrize("name", BAD)
def test_it_and_its_twin_run_without_a_snapshot_and_answer_alike(name: str, tmp_path: Path) -> None:
    code = "import app, json; print(json.dumps(sorted(app.handler({}, None))))"
    bad, fixed = (
        json.loads(run(each, tmp_path, "-c", code).splitlines()[-1])
        for each in (name, f"{name}_fixed")
    )

    assert bad == fixed
    assert len(bad) > 10


@pytest.mark.parametrize("fixers", [True, False], ids=["fixers", "no-fixers"])
@pytest.mark.parametrize("name", BAD)
def test_clones_show_each_bug_and_nothing_else(name: str, *, fixers: bool, tmp_path: Path) -> None:
    """Every bug with the fixers on too: none of them is what a fixer could repair."""
    found = errors(name, about(name)["events"], tmp_path, fixers=fixers)
    bugs = about(name)["bugs"]
    expected = bugs if fixers else planted(name)

    missed = {
        bug["name"]
        for bug in expected
        if bug["clone"] and not any(shows(finding, bug) for finding in found)
    }
    assert missed - HIDDEN_BY_FORK == set()
    assert [f.message for f in found if not any(shows(f, bug) for bug in expected)] == []
    assert len(found) >= len([bug for bug in bugs if bug["clone"]])


@pytest.mark.parametrize("name", BAD)
def test_clones_of_what_is_put_right_share_nothing(name: str, tmp_path: Path) -> None:
    """Without fixers, as on AWS."""
    found = errors(f"{name}_fixed", about(name)["events"], tmp_path, fixers=False)

    assert [finding.message for finding in found] == []


def errors(name: str, events: list[Any], folder: Path, *, fixers: bool) -> list[Finding]:
    """What the clone test's judgement calls an error."""
    texts = [json.dumps(event) for event in events] * 2
    arguments = (str(PYTHON), "" if fixers else "*", *texts)
    with environment_of_a_snapshot() as environment:
        starts = [
            json.loads(run(name, folder, "-c", COLD_START, *arguments, **environment))
            for _ in range(2)
        ]
    observed = exchange.from_json(
        {"engine": "fork", "events": [json.loads(text) for text in texts], "starts": starts}
    )
    found = findings(compare(observed.events, observed.starts))
    return [finding for finding in found if finding.level is Level.ERROR]


def shows(finding: Finding, bug: dict[str, Any]) -> bool:
    """Whether a finding is what a bug must show as."""
    expected = bug["clone"]
    return (
        expected is not None
        and finding.rule == RULES[expected["verdict"]]
        and (finding.what == expected["path"] or finding.what.startswith(f"{expected['path']} "))
    )


def run(name: str, folder: Path, *arguments: str, **environment: str) -> str:
    """What Python prints in an environment as a function has it, with a /tmp of its own."""
    temporary = folder / "tmp"
    temporary.mkdir()
    try:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=EXAMPLES / name,
            env={
                "LAMBDA_TASK_ROOT": str(EXAMPLES / name),
                "PATH": os.environ["PATH"],
                "PYTHONDONTWRITEBYTECODE": "1",
                "TMPDIR": str(temporary),
                **environment,
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    finally:
        shutil.rmtree(temporary)
    assert done.returncode == 0, done.stderr
    return done.stdout


class Endpoint(BaseHTTPRequestHandler):
    """Gives out credentials, others each time."""

    def __init__(self, *arguments: Any, token: str) -> None:
        self.token = token
        super().__init__(*arguments)

    def do_GET(self) -> None:
        body = json.dumps({"AccessKeyId": f"ASIA{secrets.token_hex(8).upper()}"}).encode()
        self.send_response(200 if self.headers["Authorization"] == self.token else 404)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def environment_of_a_snapshot() -> Iterator[dict[str, str]]:
    """The variables that tell of a snapshot, and the endpoint for credentials that they lead to."""
    token = secrets.token_hex(16)
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Endpoint, token=token)) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        address = f"127.0.0.1:{server.server_port}"
        try:
            yield {
                "AWS_LAMBDA_INITIALIZATION_TYPE": "snap-start",
                "AWS_LAMBDA_RUNTIME_API": address,
                "AWS_CONTAINER_CREDENTIALS_FULL_URI": f"http://{address}/credentials",
                "AWS_CONTAINER_AUTHORIZATION_TOKEN": token,
            }
        finally:
            server.shutdown()
            thread.join()
