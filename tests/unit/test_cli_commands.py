"""The commands that talk to the daemon, against a fake one on a real Unix socket."""

from __future__ import annotations

import base64
import io
import json
import os
import socketserver
import sys
import threading
import zipfile
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from attrs import define, field

from thawd import config
from thawd.cli import client as client_module
from thawd.cli import waiting
from thawd.cli.main import main

CODE = "def lambda_handler(event, context):\n    return event\n"


@define
class FakeDaemon:
    """Enough of Lambda's API to hold functions and versions; records what it was asked."""

    functions: dict = field(factory=dict)
    versions: dict = field(factory=dict)
    log: list = field(factory=list)
    requests: list = field(factory=list)
    uploads: dict = field(factory=dict)
    pending_polls: int = 0
    """How often a new version says Pending before it settles."""
    fail_publish: bool = False
    reason_code: str = "FunctionError"
    why: str = ""
    """Follows Lambda's sentence in the StateReason of a version that fails."""
    answer: tuple = (200, {}, b'{"ok": true}')
    """What an invocation gives: status, headers, body."""

    def refuse(self, status: int, code: str, message: str) -> tuple:
        body = json.dumps({"Type": "User", "Message": message}).encode()
        return status, {"x-amzn-ErrorType": code}, body

    def handle(self, method: str, target: str, headers, body: bytes) -> tuple:
        parts = urlsplit(target)
        query = {key: values[0] for key, values in parse_qs(parts.query).items()}
        path = parts.path.split("/")[1:]
        self.requests.append((method, parts.path, query, dict(headers), body))
        if path == ["thaw", "v1", "code"]:
            assert headers["content-type"] == "application/zip"
            self.uploads["dXA="] = len(body)
            return 201, {}, b'{"CodeSha256": "dXA=", "CodeSize": 1}'
        if path[0] == "thaw":
            lines = self.log[-int(query["lines"]) :]
            text = "".join(json.dumps(line) + "\n" for line in lines)
            return 200, {"content-type": "application/x-ndjson"}, text.encode()
        name = unquote(path[2]) if len(path) > 2 else None
        if name is None:
            return self._all(method, query, body)
        if name not in self.functions:
            return self.refuse(
                404,
                "ResourceNotFoundException",
                f"Function not found: arn:aws:lambda:us-east-1:000000000000:function:{name}",
            )
        return self._one(method, name, (path[3:] or [""])[0], query, body)

    def _all(self, method, query, body):
        if method == "GET":
            # Two pages, so that a client that reads only the first is found out.
            names = sorted(self.functions)
            start = int(query.get("Marker", "0"))
            page = {"Functions": [self.functions[name] for name in names[start : start + 1]]}
            if start + 1 < len(names):
                page["NextMarker"] = str(start + 1)
            return 200, {}, json.dumps(page).encode()
        request = json.loads(body)
        name = request["FunctionName"]
        if name in self.functions:
            return self.refuse(409, "ResourceConflictException", f"Function already exist: {name}")
        self.functions[name] = {
            "MemorySize": 128,
            "Timeout": 3,
            "Description": "",
            **request,
            "Version": "$LATEST",
            "State": "Active",
            "LastUpdateStatus": "Successful",
            "CodeSize": self._size(request["Code"]),
            "CodeSha256": "c2hh",
            "LastModified": "2026-01-02T03:04:05.000+0000",
            "RevisionId": "r1",
        }
        del self.functions[name]["Code"]
        return 201, {}, json.dumps(self.functions[name]).encode()

    def _size(self, code):
        if "S3Key" in code:
            assert code == {"S3Bucket": "thaw", "S3Key": code["S3Key"]}
            return self.uploads[code["S3Key"]]
        return len(base64.b64decode(code["ZipFile"]))

    def _one(self, method, name, what, query, body):
        function = self.functions[name]
        versions = self.versions.setdefault(name, {})
        qualifier = query.get("Qualifier")
        if what == "invocations":
            return self.answer
        if what == "versions" and method == "GET":
            listed = [{"Version": v} for v in ("$LATEST", *versions)]
            return 200, {}, json.dumps({"Versions": listed}).encode()
        if what == "versions":
            number = str(len(versions) + 1)
            version = {
                **function,
                "Version": number,
                "State": "Pending",
                "polls": self.pending_polls,
            }
            versions[number] = {**version, **json.loads(body), "LastUpdateStatus": None}
            return 201, {}, json.dumps(versions[number]).encode()
        if what == "code":
            function["CodeSha256"] = "bmV3"
            return 200, {}, json.dumps(function).encode()
        if method == "PUT":
            function.update(json.loads(body))
            return 200, {}, json.dumps(function).encode()
        if method == "DELETE":
            del self.functions[name]
            return 204, {}, b""
        found = versions.get(qualifier, function)
        self._settle(found)
        document = found if what == "configuration" else {"Configuration": found}
        return 200, {}, json.dumps(document).encode()

    def _settle(self, version):
        if version.get("State") != "Pending":
            return
        if version["polls"] > 0:
            version["polls"] -= 1
        elif self.fail_publish:
            version.update(
                State="Failed",
                StateReasonCode=self.reason_code,
                StateReason=f"An error occurred during function initialization.{self.why}",
            )
        else:
            version.update(
                State="Active",
                SnapStart={"ApplyOn": "PublishedVersions", "OptimizationStatus": "On"},
            )


class Server(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True
    block_on_close = False


@pytest.fixture
def socket_path(tmp_path, monkeypatch):
    """Where commands look for the daemon, and no settings from this machine."""
    monkeypatch.setattr(config.places, "SYSTEM_FILE", tmp_path / "none.toml")
    monkeypatch.delenv("THAWD_CONFIG", raising=False)
    path = tmp_path / "t.sock"
    monkeypatch.setenv("THAW_SOCKET", str(path))
    return path


@pytest.fixture
def daemon(socket_path):
    fake = FakeDaemon()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def _serve(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            status, headers, answer = fake.handle(self.command, self.path, self.headers, body)
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        do_GET = do_POST = do_PUT = do_DELETE = _serve  # noqa: N815

        def address_string(self) -> str:
            return "unix"

        def log_message(self, *_) -> None:
            pass

    server = Server(str(socket_path), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield fake
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture
def code(tmp_path):
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "lambda_function.py").write_text(CODE)
    return folder


@pytest.fixture
def thaw(capsys):
    """Run a command; gives status, standard output, standard error."""

    def run(*argv):
        capsys.readouterr()
        try:
            status = main([str(word) for word in argv])
        except SystemExit as left:
            status = left.code
        out, err = capsys.readouterr()
        return status, out, err

    return run


@pytest.fixture
def hello(daemon, code, thaw):
    """A daemon that has one function."""
    assert thaw("function", "create", "hello", "--code", code)[0] == 0
    daemon.requests.clear()
    return daemon


class TestFunction:
    def test_code_too_large_for_a_request_is_uploaded_and_then_named(self, daemon, code, thaw):
        (code / "model.bin").write_bytes(os.urandom(5 << 20))
        created = thaw("function", "create", "hello", "--code", code)
        updated = thaw("function", "update", "hello", "--code", code)

        assert [created[0], updated[0]] == [0, 0], (created, updated)
        assert daemon.uploads["dXA="] > 5 << 20
        puts = [json.loads(body) for method, *_, body in daemon.requests if method == "PUT"]
        assert puts == [{"S3Bucket": "thaw", "S3Key": "dXA="}]

    def test_create_sends_the_whole_function(self, daemon, code, thaw):
        status, out, err = thaw(
            "function", "create", "hello", "--code", code, "--memory", 256, "--timeout", 9,
            "--env", "A=1", "--env", "B=x=y",
        )  # fmt: skip

        method, path, _, _, body = daemon.requests[0]
        request = json.loads(body)
        archive = zipfile.ZipFile(io.BytesIO(base64.b64decode(request.pop("Code")["ZipFile"])))
        assert (status, err) == (0, "")
        assert out == "Created hello. Next: thaw publish hello\n"
        assert (method, path) == ("POST", "/2015-03-31/functions")
        assert archive.read("lambda_function.py").decode() == CODE
        assert request == {
            "FunctionName": "hello",
            "Handler": "lambda_function.lambda_handler",
            "Runtime": "python3.13",
            "Role": "arn:aws:iam::000000000000:role/thaw",
            "MemorySize": 256,
            "Timeout": 9,
            "SnapStart": {"ApplyOn": "PublishedVersions"},
            "Environment": {"Variables": {"A": "1", "B": "x=y"}},
        }

    def test_snapstart_can_be_left_off(self, daemon, code, thaw):
        thaw("function", "create", "hello", "--code", code, "--no-snapstart")

        assert json.loads(daemon.requests[0][4])["SnapStart"] == {"ApplyOn": "None"}

    @pytest.mark.usefixtures("hello")
    def test_create_twice_is_refused_in_the_daemons_words_with_a_way_out(self, code, thaw):
        status, out, err = thaw("function", "create", "hello", "--code", code)

        assert (status, out) == (75, "")
        assert err == (
            "thaw: Function already exist: hello. Change it: thaw function update NAME --code PATH\n"
        )

    @pytest.mark.usefixtures("hello")
    def test_list_reads_every_page(self, code, thaw):
        thaw("function", "create", "other", "--code", code, "--no-snapstart")

        assert thaw("function", "list")[1] == (
            "NAME   RUNTIME     HANDLER                         MEMORY MB  TIMEOUT S  SNAPSTART  MODIFIED\n"
            "hello  python3.13  lambda_function.lambda_handler        128          3  on         2026-01-02 03:04:05\n"
            "other  python3.13  lambda_function.lambda_handler        128          3  off        2026-01-02 03:04:05\n"
        )
        assert [f["FunctionName"] for f in json.loads(thaw("function", "list", "--json")[1])] == [
            "hello",
            "other",
        ]

    @pytest.mark.usefixtures("daemon")
    def test_an_empty_list_says_what_to_do(self, thaw):
        assert thaw("function", "list") == (
            0,
            "",
            "No functions. Create one: thaw function create NAME --code FOLDER\n",
        )

    @pytest.mark.usefixtures("hello")
    def test_get(self, thaw):
        status, out, _ = thaw("function", "get", "hello")

        assert status == 0
        assert "handler     lambda_function.lambda_handler\n" in out
        assert (
            json.loads(thaw("function", "get", "hello", "--json")[1])["Configuration"]["Timeout"]
            == 3
        )

    def test_update_changes_only_what_is_given(self, hello, thaw):
        thaw("function", "update", "hello", "--memory", 512)

        puts = [json.loads(body) for method, *_, body in hello.requests if method == "PUT"]
        assert puts == [{"MemorySize": 512}]

    def test_update_keeps_the_other_variables(self, hello, thaw):
        """Lambda's API replaces the environment; the command line adds to it and takes from it."""
        thaw("function", "update", "hello", "--env", "A=1", "--env", "B=2")
        status, _, _ = thaw("function", "update", "hello", "--env", "C=3", "--unset-env", "A")

        assert status == 0
        assert hello.functions["hello"]["Environment"] == {"Variables": {"B": "2", "C": "3"}}
        assert json.loads(hello.requests[-2][4])["RevisionId"] == "r1"

    @pytest.mark.usefixtures("hello")
    def test_a_variable_that_is_not_there_cannot_be_removed(self, thaw):
        status, _, err = thaw("function", "update", "hello", "--unset-env", "A")

        assert status == 70
        assert err == "thaw: hello has no variable A. See: thaw function get hello\n"

    def test_update_of_nothing_is_a_usage_error(self, hello, thaw):
        status, _, err = thaw("function", "update", "hello")

        assert status == 64
        assert "nothing to change" in err
        assert hello.requests == []

    def test_delete(self, hello, thaw):
        assert thaw("function", "delete", "hello") == (0, "Deleted hello\n", "")
        assert hello.functions == {}


class TestPublish:
    @pytest.fixture(autouse=True)
    def no_delay(self, monkeypatch):
        monkeypatch.setattr(waiting, "_FIRST_DELAY_S", 0.0)

    def test_it_waits_until_the_version_is_active(self, hello, thaw):
        hello.pending_polls = 3
        status, out, err = thaw("publish", "hello", "--description", "first")

        assert (status, err) == (0, "")
        assert out.startswith("hello:1 is Active, snapshotted (")
        assert out.endswith(" s). Next: thaw invoke hello:1\n")
        assert hello.versions["hello"]["1"]["Description"] == "first"
        assert [r[2] for r in hello.requests if r[1].endswith("configuration")] == [
            {"Qualifier": "1"}
        ] * 4

    def test_new_code_goes_first(self, hello, code, thaw):
        thaw("publish", "hello", "--code", code)

        changes = [(method, path) for method, path, *_ in hello.requests if method != "GET"]
        assert changes == [
            ("PUT", "/2015-03-31/functions/hello/code"),
            ("POST", "/2015-03-31/functions/hello/versions"),
        ]

    def test_a_failure_shows_the_reason_and_the_log(self, hello, thaw):
        hello.fail_publish = True
        hello.log = [
            {"timestamp": "t", "stream": "s", "message": "INIT_START Runtime Version: x\n"},
            {"timestamp": "t", "stream": "s", "message": "ZeroDivisionError: division by zero\n"},
        ]
        status, out, err = thaw("publish", "hello")

        assert (status, out) == (1, "")
        assert err == (
            "thaw: hello:1: Failed (FunctionError): An error occurred during function initialization.\n"
            "Its initialisation said:\n"
            "  INIT_START Runtime Version: x\n"
            "  ZeroDivisionError: division by zero\n"
            "Correct it and publish again: thaw publish hello --code PATH\n"
        )
        assert hello.requests[-1][2] == {"lines": "20", "follow": "false", "version": "1"}

    def test_a_handler_that_is_not_found_may_be_named_wrongly(self, hello, thaw):
        hello.fail_publish = True
        hello.why = " Runtime.HandlerNotFound: Handler 'x' missing on module 'app'"
        _, _, err = thaw("publish", "hello")

        assert err.splitlines()[-1] == (
            "If the handler's name is wrong: thaw function update hello --handler HANDLER; thaw publish hello. "
            "If the code is: thaw publish hello --code PATH"
        )

    def test_what_is_not_the_codes_fault_does_not_ask_for_other_code(self, hello, thaw):
        hello.fail_publish = True
        hello.reason_code = "InternalError"
        hello.log = [{"message": "INIT_START Runtime Version: x"}]
        _, _, err = thaw("publish", "hello")

        assert "Its initialisation said" not in err
        assert err.splitlines()[-1] == "When that is put right, publish again: thaw publish hello"

    def test_of_a_log_whose_messages_are_tracebacks_the_last_lines_are_shown(self, hello, thaw):
        hello.fail_publish = True
        calls = "".join(f"  line {number}\n" for number in range(1000))
        hello.log = [
            {"message": f"Traceback (most recent call last):\n{calls}RecursionError: deep"}
        ]
        _, _, err = thaw("publish", "hello")

        assert len(err.splitlines()) == 24
        assert "  RecursionError: deep\n  All of it: thaw logs hello:1\n" in err

    def test_an_init_that_wanted_a_network_gets_told_that_there_is_none(self, hello, thaw):
        hello.fail_publish = True
        hello.why = " gaierror: [Errno -3] Temporary failure in name resolution (app.py, line 3)"
        _, _, by_reason = thaw("publish", "hello")
        hello.why = " SystemExit: 1"
        hello.log = [{"message": "getaddrinfo EAI_AGAIN example.com"}]
        _, _, by_log = thaw("publish", "hello")
        hello.log = [{"message": "no such key: network"}]
        _, _, neither = thaw("publish", "hello")

        told = "Guests have no network yet: nothing but 127.0.0.1 can be reached"
        assert [told in err for err in (by_reason, by_log, neither)] == [True, True, False]

    def test_what_was_noticed_of_the_snapshot_is_told(self, hello, thaw):
        hello.log = [
            {"message": "SNAPSHOT_NOTE app.SEED was made unique at init"},
            {"message": "SNAPSHOT_REPORT is what the function printed"},
        ]
        status, out, err = thaw("publish", "hello")

        assert (status, err) == (0, "thaw: note: app.SEED was made unique at init\n")
        assert "hello:1 is Active" in out
        as_json = json.loads(thaw("publish", "hello", "--json")[1])
        assert as_json["Notes"] == ["app.SEED was made unique at init"]

    def test_a_failure_as_json_has_the_log_in_it(self, hello, thaw):
        hello.fail_publish = True
        hello.log = [{"timestamp": "t", "stream": "s", "message": "no"}]
        status, out, _ = thaw("publish", "hello", "--json")

        assert status == 1
        assert json.loads(out)["State"] == "Failed"
        assert json.loads(out)["InitLog"] == hello.log

    def test_versions(self, hello, thaw):
        thaw("publish", "hello")
        hello.fail_publish = True
        thaw("publish", "hello", "--description", "broken")
        size = hello.functions["hello"]["CodeSize"]

        reason = "Failed (FunctionError): An error occurred during function initialization."
        lines = thaw("versions", "hello")[1].splitlines()
        assert [line.split() for line in lines[1:3]] == [
            ["$LATEST", "Active", "no", str(size), "2026-01-02", "03:04:05"],
            ["1", "Active", "yes", str(size), "2026-01-02", "03:04:05"],
        ]
        assert reason in lines[3]
        assert lines[3].endswith("broken")


class TestInvoke:
    def test_the_payload_goes_to_standard_output_alone(self, hello, thaw):
        log = base64.b64encode(b"START\nREPORT RequestId: 1\n").decode()
        hello.answer = (
            200,
            {"X-Amz-Executed-Version": "1", "X-Amz-Log-Result": log},
            b'{"a": "\xc3\xa9"}',
        )
        result = thaw("invoke", "hello:1", "--payload", '{"k": 1}', "--tail")

        method, path, query, headers, body = hello.requests[0]
        assert result == (0, '{"a": "é"}\n', "START\nREPORT RequestId: 1\n")
        assert (method, path) == ("POST", "/2015-03-31/functions/hello/invocations")
        assert (query, body) == ({"Qualifier": "1"}, b'{"k": 1}')
        assert headers["X-Amz-Invocation-Type"] == "RequestResponse"
        assert headers["X-Amz-Log-Type"] == "Tail"

    def test_a_function_error_is_status_one(self, hello, thaw):
        hello.answer = (200, {"X-Amz-Function-Error": "Unhandled"}, b'{"errorType": "KeyError"}')
        status, out, err = thaw("invoke", "hello")

        assert (status, out) == (1, '{"errorType": "KeyError"}\n')
        assert err == "thaw: hello failed (Unhandled). Its log: thaw logs 'hello:$LATEST'\n"

    def test_json_holds_everything(self, hello, thaw):
        log = base64.b64encode(b"REPORT\n").decode()
        hello.answer = (200, {"X-Amz-Executed-Version": "$LATEST", "X-Amz-Log-Result": log}, b"[1]")
        status, out, _ = thaw("invoke", "hello", "--json", "--tail")

        assert status == 0
        assert json.loads(out) == {
            "StatusCode": 200,
            "ExecutedVersion": "$LATEST",
            "FunctionError": None,
            "Payload": [1],
            "Log": ["REPORT"],
        }

    def test_payload_from_file_and_standard_input(self, hello, thaw, tmp_path, monkeypatch):
        (tmp_path / "event.json").write_text("[2]")
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b"[3]")))
        thaw("invoke", "hello", "--payload", f"@{tmp_path}/event.json")
        thaw("invoke", "hello", "--payload", "-")
        thaw("invoke", "hello")

        assert [request[4] for request in hello.requests] == [b"[2]", b"[3]", b"{}"]

    def test_dry_run(self, hello, thaw):
        hello.answer = (204, {}, b"")

        assert thaw("invoke", "hello", "--dry-run") == (0, "", "")
        assert hello.requests[0][3]["X-Amz-Invocation-Type"] == "DryRun"

    @pytest.mark.parametrize(
        ("payload", "status", "complaint"),
        [
            ("{k: 1}", 65, "the payload is not JSON: Expecting property name"),
            ("@/does/not/exist", 66, "there is no file /does/not/exist"),
        ],
    )
    def test_a_bad_payload_never_reaches_the_function(
        self, hello, thaw, payload, status, complaint
    ):
        got, _, err = thaw("invoke", "hello", "--payload", payload)

        assert got == status
        assert complaint in err
        assert hello.requests == []

    @pytest.mark.parametrize(
        ("refusal", "status", "says"),
        [
            (
                (429, "TooManyRequestsException", "Rate Exceeded."),
                75,
                "thaw: Rate Exceeded. Try again, or raise pool.max_machines in the configuration\n",
            ),
            (
                (
                    409,
                    "ResourceConflictException",
                    "The function is in the following state: Pending",
                ),
                75,
                "thaw: The function is in the following state: Pending\n",
            ),
            ((413, "RequestTooLargeException", "too large"), 65, "thaw: too large\n"),
            ((500, "ServiceException", "broken"), 70, "thaw: broken\n"),
        ],
    )
    def test_a_refusal_has_its_own_status(self, hello, thaw, refusal, status, says):
        hello.answer = hello.refuse(*refusal)

        assert thaw("invoke", "hello") == (status, "", says)

    @pytest.mark.usefixtures("daemon")
    def test_an_unknown_function_is_told_with_the_way_out(self, thaw):
        status, _, err = thaw("invoke", "nope")

        assert status == 66
        assert err.startswith("thaw: Function not found: arn:aws:lambda:")
        assert err.endswith(":function:nope. See what there is: thaw function list\n")


class TestLogs:
    @pytest.fixture
    def lines(self, hello):
        hello.log = [
            {"timestamp": f"2026-01-01T00:00:0{n}.000Z", "stream": "s", "message": f"line {n}\n"}
            for n in range(3)
        ]
        return hello

    def test_plain(self, lines, thaw):
        assert thaw("logs", "hello", "--lines", 2) == (0, "line 1\nline 2\n", "")
        assert lines.requests[0][1] == "/thaw/v1/functions/hello/logs"

    def test_timestamps_version_and_follow(self, lines, thaw):
        _, out, _ = thaw("logs", "hello:3", "-t", "--lines", 1, "--follow")

        assert out == "2026-01-01T00:00:02.000Z  line 2\n"
        assert lines.requests[0][2] == {"lines": "1", "follow": "true", "version": "3"}

    def test_json_is_one_object_a_line(self, lines, thaw):
        out = thaw("logs", "hello", "--json")[1]

        assert [json.loads(line) for line in out.splitlines()] == lines.log


class TestNoDaemon:
    def test_no_socket(self, socket_path, thaw):
        assert thaw("function", "list") == (
            69,
            "",
            f"thaw: The daemon is not running (no socket {socket_path}). Start it: thaw daemon\n",
        )

    def test_a_socket_that_nobody_serves(self, socket_path, thaw):
        """What a killed daemon leaves."""
        Server(str(socket_path), BaseHTTPRequestHandler).server_close()
        status, _, err = thaw("function", "list")

        assert status == 69
        assert "nobody listens on" in err

    def test_a_socket_of_others(self, socket_path, monkeypatch, thaw):
        import socket as socket_module

        class Forbidden(socket_module.socket):
            def connect(self, _):
                raise PermissionError(13, "Permission denied")

        monkeypatch.setattr(client_module.socket, "socket", Forbidden)
        status, _, err = thaw("function", "list")

        assert status == 77
        assert err == (
            f"thaw: You may not use {socket_path}. "
            "Join its group and log in again: sudo usermod -aG thawd $USER\n"
        )

    def test_a_daemon_that_hangs_up(self, socket_path, thaw):
        class Rude(socketserver.BaseRequestHandler):
            def handle(self):
                self.request.recv(1000)

        server = Server(str(socket_path), Rude)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        status, _, err = thaw("function", "list")
        server.shutdown()
        server.server_close()
        thread.join()

        assert status == 69
        assert "ended the connection" in err
