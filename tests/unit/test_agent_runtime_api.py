"""The Runtime API's answers (Lambda Runtime API 2018-06-01; AWS's `rapid` for states), and its state machine."""

from __future__ import annotations

import json

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from thaw_agent import wire
from thaw_agent.runtime_api import Event, RuntimeApi

BASE = "/2018-06-01/runtime"
OK = b'{"status":"OK"}\n'
TYPE = "lambda-runtime-function-error-type"


class Request:
    """A request that keeps its answer."""

    def __init__(self, method, path, body=b"", headers=None):
        self.method = method
        self.path = path
        self.body = bytearray(body)
        self.headers = headers or {}
        self.too_large = False
        self.gone = False
        self.answers = []

    def answer(self, status, body=b"", headers=()):
        self.answers.append((status, bytes(body), dict(headers)))

    @property
    def status(self):
        """Status of the one answer; None while there is none."""
        assert len(self.answers) <= 1, "answered twice"
        return self.answers[0][0] if self.answers else None

    @property
    def json(self):
        assert self.answers[0][2]["Content-Type"] == "application/json"
        return json.loads(self.answers[0][1])


class Recorder:
    """An observer that keeps what it is told."""

    def __init__(self):
        self.said = []
        self.api = None

    def snapshot_ready(self):
        self.said.append(("snapshot_ready",))

    def ready(self):
        self.said.append(("ready",))

    def responded(self, stream, body, content_type):
        self.said.append(("responded", stream, body, content_type))

    def failed(self, stream, body, error_type):
        self.said.append(("failed", stream, body, error_type))

    def done(self, stream, duration_us):
        assert self.api.stream == stream, "the last log lines would go to nobody"
        assert duration_us >= 0
        self.said.append(("done", stream))

    def init_failed(self, body, error_type):
        self.said.append(("init_failed", body, error_type))

    def restore_failed(self, body, error_type):
        self.said.append(("restore_failed", body, error_type))


def event(stream=1, body=b"{}", **members):
    values = {
        "request_id": f"id-{stream}",
        "deadline_ms": 1_900_000_000_000,
        "function_arn": "arn:aws:lambda:us-east-1:000000000000:function:orders:live",
    }
    return Event(stream, wire.Invoke(**{**values, **members}), body)


class Bed:
    """An API with its observer; requests by name."""

    def __init__(self, *, snap_start=False):
        self.observer = Recorder()
        self.api = self.observer.api = RuntimeApi(self.observer, snap_start=snap_start)

    @property
    def said(self):
        return self.observer.said

    def ask(self, method, path, body=b"", headers=None, *, too_large=False):
        request = Request(method, path, body, headers)
        request.too_large = too_large
        assert self.api.handle(request) is True
        return request

    def next(self):
        return self.ask("GET", f"{BASE}/invocation/next")

    def restore_next(self):
        return self.ask("GET", f"{BASE}/restore/next")

    def respond(self, stream=1, body=b"1", **options):
        return self.ask("POST", f"{BASE}/invocation/id-{stream}/response", body, **options)

    def fail(self, stream=1, body=b"{}", **options):
        return self.ask("POST", f"{BASE}/invocation/id-{stream}/error", body, **options)

    def init_error(self, body=b"{}", **options):
        return self.ask("POST", f"{BASE}/init/error", body, **options)

    def restore_error(self, body=b"{}", **options):
        return self.ask("POST", f"{BASE}/restore/error", body, **options)


def in_state(state):
    """An API brought to a state the way a runtime does it."""
    bed = Bed(snap_start=state in {"RestoreReady", "Restoring", "RestoreError"})
    if state == "InitError":
        bed.init_error()
    elif state in {"RestoreReady", "Restoring", "RestoreError"}:
        bed.restore_next()
        if state != "RestoreReady":
            bed.api.release()
        if state == "RestoreError":
            bed.restore_error()
    elif state != "Started":
        bed.next()
        if state != "Ready":
            bed.api.invoke(event())
        if state == "ResponseSent":
            bed.respond()
    assert bed.api.state == state
    bed.said.clear()
    return bed


class TestRoutes:
    def test_ping(self):
        assert Bed().ask("GET", "/ping").answers == [(200, b"pong", {})]

    @pytest.mark.parametrize(
        ("method", "path"),
        [
            ("GET", "/"),
            ("GET", "/2018-06-01/runtime"),
            ("GET", "/2018-06-02/runtime/invocation/next"),
            ("POST", f"{BASE}/invocation/next"),
            ("GET", f"{BASE}/invocation/id-1/response"),
            ("POST", f"{BASE}/invocation/id-1"),
            ("POST", f"{BASE}/invocation/id-1/other"),
            ("POST", f"{BASE}/invocation/id-1/response/more"),
            ("GET", f"{BASE}/init/error"),
            ("GET", f"{BASE}/restore/next"),
            ("POST", f"{BASE}/restore/error"),
            ("GET", "/2021-04-23/credentials"),
        ],
    )
    def test_other_paths_are_not_this_apis(self, method, path):
        request = Request(method, path)

        assert Bed(snap_start=False).api.handle(request) is False
        assert request.status is None

    def test_a_query_is_no_part_of_the_path(self):
        bed = Bed()
        bed.ask("GET", f"{BASE}/invocation/next?a=1")

        assert bed.said == [("ready",)]


class TestNext:
    def test_it_blocks_until_there_is_an_event(self):
        bed = Bed()
        request = bed.next()
        before = request.status
        bed.api.invoke(event(body=b"tea"))

        assert before is None
        assert request.answers == [
            (
                200,
                b"tea",
                {
                    "Content-Type": "application/json",
                    "Lambda-Runtime-Aws-Request-Id": "id-1",
                    "Lambda-Runtime-Deadline-Ms": "1900000000000",
                    "Lambda-Runtime-Invoked-Function-Arn": (
                        "arn:aws:lambda:us-east-1:000000000000:function:orders:live"
                    ),
                },
            )
        ]

    @pytest.mark.parametrize(
        ("member", "header"),
        [
            ("trace_id", "Lambda-Runtime-Trace-Id"),
            ("client_context", "Lambda-Runtime-Client-Context"),
            ("cognito_identity", "Lambda-Runtime-Cognito-Identity"),
        ],
    )
    def test_what_the_caller_sent_is_there_and_only_then(self, member, header):
        bed = Bed()
        request = bed.next()
        bed.api.invoke(event(**{member: '{"a": "b"}'}))

        optional = {name for name in request.answers[0][2] if name.startswith("Lambda-Runtime")}
        assert request.answers[0][2][header] == '{"a": "b"}'
        assert len(optional) == 4

    def test_events_come_in_their_order(self):
        bed = Bed()
        for stream in (1, 2, 3):
            bed.api.invoke(event(stream, str(stream).encode()))
        seen = []
        for stream in (1, 2, 3):
            seen.append(bed.next().answers[0][1])
            bed.respond(stream)

        assert seen == [b"1", b"2", b"3"]

    def test_an_event_is_kept_for_a_runtime_that_lost_its_connection(self):
        bed = Bed()
        bed.next().gone = True
        bed.api.invoke(event())
        state = bed.api.state
        again = bed.next()

        assert state == "Ready"
        assert again.status == 200
        assert bed.said == [("ready",)]


class TestResults:
    def test_a_response(self):
        bed = in_state("Running")
        done = bed.respond(body=b"tea", headers={"content-type": "text/plain"})

        assert done.answers == [(202, OK, {"Content-Type": "application/json"})]
        assert bed.said == [("responded", 1, b"tea", "text/plain")]

    def test_an_error(self):
        bed = in_state("Running")
        done = bed.fail(body=b'{"errorType": "E"}', headers={TYPE: "Function.Timeout"})

        assert done.answers == [(202, OK, {"Content-Type": "application/json"})]
        assert bed.said == [("failed", 1, b'{"errorType": "E"}', "Function.Timeout")]

    @pytest.mark.parametrize("route", ["response", "error"])
    @pytest.mark.parametrize(
        ("state", "given"),
        [("Running", "other"), ("ResponseSent", "other"), ("Ready", "id-1"), ("Started", "id-1")],
    )
    def test_another_request_id(self, route, state, given):
        bed = in_state(state)
        answer = bed.ask("POST", f"{BASE}/invocation/{given}/{route}")

        assert answer.status == 400
        assert answer.json == {
            "errorMessage": "Invalid request ID",
            "errorType": "InvalidRequestID",
        }
        assert bed.said == []
        assert bed.api.state == state

    @pytest.mark.parametrize("route", ["response", "error"])
    def test_too_large(self, route):
        bed = in_state("Running")
        answer = bed.ask("POST", f"{BASE}/invocation/id-1/{route}", too_large=True)

        assert answer.status == 413
        assert answer.json == {
            "errorMessage": "Exceeded maximum allowed payload size (6291556 bytes).",
            "errorType": "RequestEntityTooLarge",
        }
        ((said, stream, body, error_type),) = bed.said
        assert (said, stream, error_type) == ("failed", 1, "Function.ResponseSizeTooLarge")
        assert json.loads(body)["errorType"] == error_type
        assert bed.next().status is None

    def test_done_is_said_when_the_runtime_comes_back(self):
        bed = in_state("ResponseSent")
        streams = [bed.api.stream]
        bed.next()
        streams.append(bed.api.stream)

        assert bed.said == [("done", 1)]
        assert streams == [1, wire.MACHINE_STREAM]


class TestErrorType:
    @pytest.mark.parametrize(
        ("given", "valid"),
        [
            ("Runtime.ImportModuleError", True),
            ("Function.Ab", True),
            ("Function.A", False),
            ("Function.aB", False),
            ("Function.A1", False),
            ("Function.AB.C", False),
            ("Extension.Crash", False),
            ("xRuntime.Error", False),
            ("Runtime.Error\n", False),
            ("", False),
            (None, False),
        ],
    )
    def test_the_header_has_the_documented_form_or_is_unknown(self, given, valid):
        headers = {} if given is None else {TYPE: given}
        running, starting, restoring = in_state("Running"), Bed(), in_state("Restoring")
        running.fail(headers=headers)
        starting.init_error(headers=headers)
        restoring.restore_error(headers=headers)

        assert running.said[0][-1] == (given if valid else "Function.Unknown")
        assert starting.said[0][-1] == (given if valid else "Runtime.Unknown")
        assert restoring.said[0][-1] == (given if valid else "Runtime.Unknown")


# What AWS calls the state that the request would have led to, and from where it is let in.
WANTED = {
    "next": ("Ready", {"Started", "Restoring", "Ready", "ResponseSent"}),
    "restore_next": ("RestoreReady", {"Started"}),
    "init_error": ("InitError", {"Started", "Restoring"}),
    "restore_error": ("RestoreError", {"Restoring"}),
    "respond": ("InvocationResponse", {"Running"}),
    "fail": ("InvocationErrorResponse", {"Running"}),
}
STATES = [
    "Started",
    "InitError",
    "RestoreReady",
    "Restoring",
    "RestoreError",
    "Ready",
    "Running",
    "ResponseSent",
]


class TestTransitions:
    @pytest.mark.parametrize("state", STATES)
    @pytest.mark.parametrize("call", WANTED)
    def test_what_is_not_allowed_is_forbidden_in_awss_words_and_changes_nothing(self, call, state):
        bed = in_state(state)
        bed.api._snap_start = True
        wanted, allowed = WANTED[call]
        needs_event = call in {"respond", "fail"} and state not in {"Running", "ResponseSent"}
        answer = getattr(bed, call)()

        if state in allowed:
            assert answer.status in {None, 202}
            return
        if needs_event:
            # The request id is looked at first.
            assert answer.status == 400
        else:
            assert answer.status == 403
            assert answer.json == {
                "errorMessage": (
                    f"State transition from {state} to {wanted} failed for runtime. "
                    "Error: State transition is not allowed"
                ),
                "errorType": "InvalidStateTransition",
            }
        assert bed.api.state == state
        assert bed.said == []

    @pytest.mark.parametrize("route", ["init_error", "restore_error"])
    def test_an_init_error_while_restoring_is_a_restore_error(self, route):
        bed = in_state("Restoring")
        answer = getattr(bed, route)(b"{}", headers={TYPE: "Runtime.AfterRestoreError"})

        assert answer.answers == [(202, OK, {"Content-Type": "application/json"})]
        assert bed.said == [("restore_failed", b"{}", "Runtime.AfterRestoreError")]
        assert bed.api.state == "RestoreError"


class TestSnapshot:
    def test_restore_next_blocks_and_is_answered_with_nothing(self):
        bed = Bed(snap_start=True)
        request = bed.restore_next()
        before, said = request.status, list(bed.said)
        bed.api.release()

        assert before is None
        assert said == [("snapshot_ready",)]
        assert request.answers == [(200, b"", {})]
        assert bed.said == said
        bed.next()
        assert bed.said == [*said, ("ready",)]

    def test_a_runtime_that_skips_it_is_snapshotted_waiting_for_its_first_event(self):
        bed = Bed(snap_start=True)
        request = bed.next()
        said = list(bed.said)
        bed.api.release()
        released = list(bed.said)
        before = request.status
        bed.api.invoke(event())

        assert said == [("snapshot_ready",)]
        assert released == [*said, ("ready",)]
        assert before is None
        assert request.status == 200

    def test_an_event_that_came_before_the_release_is_not_forgotten(self):
        bed = Bed(snap_start=True)
        request = bed.next()
        bed.api.invoke(event())
        frozen = request.status
        bed.api.release()

        assert frozen is None
        assert request.status == 200


class Machine(RuleBasedStateMachine):
    """A runtime and a host that do anything in any order, against a model of what is promised to both."""

    snap_start = False

    def __init__(self):
        super().__init__()
        self.bed = Bed(snap_start=self.snap_start)
        self.state = "Started"
        self.polls = []
        self.restores = []
        self.sent = 0
        self.delivered = 0
        self.responded = 0

    def deliver(self):
        """What the model does when an event and a runtime are there."""
        if self.state == "Ready" and self.delivered < self.sent:
            poll = self.polls[-1]
            if poll.gone:
                return
            self.delivered += 1
            self.state = "Running"
            assert poll.status == 200
            assert poll.answers[0][1] == str(self.delivered).encode()

    def refused(self, request):
        assert request.status == 403
        assert request.json["errorType"] == "InvalidStateTransition"
        assert f"from {self.state} to" in request.json["errorMessage"]

    @rule()
    def host_invokes(self):
        self.sent += 1
        self.bed.api.invoke(event(self.sent, str(self.sent).encode()))
        self.deliver()

    @precondition(lambda self: self.state == "RestoreReady")
    @rule()
    def host_releases(self):
        self.bed.api.release()
        if self.restores:
            self.state = "Restoring"
            assert self.restores[-1].answers == [(200, b"", {})]
        else:
            self.state = "Ready"
            self.deliver()

    @rule()
    def runtime_asks_next(self):
        request = self.bed.next()
        if self.state not in WANTED["next"][1]:
            self.refused(request)
            return
        self.polls.append(request)
        self.state = "RestoreReady" if self.state == "Started" and self.snap_start else "Ready"
        self.deliver()

    @precondition(lambda self: self.state == "Ready")
    @rule()
    def runtime_loses_its_connection(self):
        self.polls[-1].gone = True

    @rule()
    def runtime_asks_restore(self):
        if not self.snap_start:
            assert self.bed.api.handle(Request("GET", f"{BASE}/restore/next")) is False
            return
        request = self.bed.restore_next()
        if self.state != "Started":
            self.refused(request)
            return
        self.restores.append(request)
        self.state = "RestoreReady"

    @rule(
        route=st.sampled_from(["response", "error"]),
        right=st.booleans(),
        too_large=st.booleans(),
    )
    def runtime_posts_a_result(self, route, right, too_large):
        known = self.state in {"Running", "ResponseSent"}
        name = f"id-{self.delivered}" if right else "another"
        request = self.bed.ask(
            "POST", f"{BASE}/invocation/{name}/{route}", b"r", too_large=too_large
        )
        if not (known and right):
            assert request.status == 400
        elif self.state != "Running":
            self.refused(request)
        else:
            assert request.status == (413 if too_large else 202)
            self.state = "ResponseSent"
            self.responded += 1

    @rule(where=st.sampled_from(["init", "restore"]))
    def runtime_posts_an_error(self, where):
        if where == "restore" and not self.snap_start:
            return
        request = self.bed.ask("POST", f"{BASE}/{where}/error", b"{}")
        if self.state == "Restoring":
            self.state = "RestoreError"
        elif self.state == "Started" and where == "init":
            self.state = "InitError"
        else:
            self.refused(request)
            return
        assert request.status == 202

    @invariant()
    def the_states_agree(self):
        assert self.bed.api.state == self.state

    @invariant()
    def nobody_is_answered_twice(self):
        for request in [*self.polls, *self.restores]:
            assert len(request.answers) <= 1

    @invariant()
    def the_host_hears_of_every_result_once_and_in_order(self):
        said = self.bed.said
        results = [one[1] for one in said if one[0] in {"responded", "failed"}]
        done = [one[1] for one in said if one[0] == "done"]
        assert results == list(range(1, self.responded + 1))
        assert done == results[: len(done)]
        assert len(results) - len(done) == (1 if self.state == "ResponseSent" else 0)

    @invariant()
    def what_happens_once_is_said_once(self):
        kinds = [one[0] for one in self.bed.said]
        for kind in ("snapshot_ready", "ready", "init_failed", "restore_failed"):
            assert kinds.count(kind) <= 1
        begun = {"Ready", "Running", "ResponseSent"}
        assert ("ready" in kinds) == (self.state in begun)
        reached = begun | {"RestoreReady", "Restoring", "RestoreError"}
        assert ("snapshot_ready" in kinds) == (self.snap_start and self.state in reached)

    @invariant()
    def log_lines_go_to_the_invocation_that_runs(self):
        running = self.state in {"Running", "ResponseSent"}
        assert self.bed.api.stream == (self.delivered if running else wire.MACHINE_STREAM)


class SnapStartMachine(Machine):
    snap_start = True


TestOnDemandMachine = Machine.TestCase
TestOnDemandMachine.settings = settings(max_examples=40, stateful_step_count=25)
TestSnapStartMachine = SnapStartMachine.TestCase
TestSnapStartMachine.settings = settings(max_examples=40, stateful_step_count=25)
