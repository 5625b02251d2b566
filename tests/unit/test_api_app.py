"""Operations without sockets: what real clients do not send, and what happens when things end half way."""

from __future__ import annotations

import base64
import json
import threading
from pathlib import Path

import pytest
import trio
from attrs import define, field, frozen
from hypothesis import given
from hypothesis import strategies as st
from stand_ins import core
from structlog.testing import capture_logs

from thawd.api import invocations
from thawd.api.app import build
from thawd.api.errors import ApiError
from thawd.catalog.models import State
from thawd.catalog.store import Catalog
from thawd.errors import BundleError, PackageRefused, StorageError
from thawd.http import Request, RequestRefused
from thawd.invoke.outcome import Answered, NotRun, Reason
from thawd.logs.book import LogBook


@frozen
class Body:
    data: list[bytes]

    async def receive(self):
        return self.data.pop() if self.data else b""

    def let_go(self, size):
        pass


@frozen
class Bundle:
    code_sha256_base64: str = "c2hh"
    zip_size: int = 3


@frozen
class Upload:
    code_sha256_base64: str = "c2hh"
    size: int = 3


@define
class Fakes:
    """Bundles, publisher and invoker in one, with everything they were asked."""

    catalog: Catalog
    asked: list = field(factory=list)
    bundle_error: Exception | None = None
    not_run: NotRun | None = None
    forgetting: trio.Event | None = None

    async def add(self, _):
        await trio.lowlevel.checkpoint()
        if self.bundle_error:
            raise self.bundle_error
        return Bundle()

    async def receive(self, pieces):
        self.asked.append(("receive", b"".join([piece async for piece in pieces])))
        if self.bundle_error:
            raise self.bundle_error
        return Upload()

    async def adopt(self, code_sha256):
        await trio.lowlevel.checkpoint()
        self.asked.append(("adopt", code_sha256))
        if self.bundle_error:
            raise self.bundle_error
        return Bundle()

    def find_zip(self, _):
        raise StorageError("gone", hint="Update the function's code again")

    def publish(self, version):
        self.asked.append(("publish", version.function_name, version.version))

    async def forget(self, name, version=None):
        if self.forgetting is not None:
            self.forgetting.set()
            await trio.sleep(1)
        self.asked.append(("forget", name, version))

    async def invoke(self, invocation):
        if self.not_run:
            return self.not_run
        self.asked.append(invocation)
        return Answered(payload=invocation.payload, function_error=None, executed_version="1")


@pytest.fixture
def fakes(tmp_path):
    with Catalog.open(tmp_path / "c.db") as catalog:
        yield Fakes(catalog)


@pytest.fixture
def call(fakes, tmp_path):
    """Makes a request and returns status, headers and body, parsed if it is JSON."""
    app = build(
        core(
            catalog=fakes.catalog,
            bundles=fakes,
            logs=LogBook(tmp_path / "logs"),
            publisher=fakes,
            invoker=fakes,
            health=lambda: {"engine": "fake"},
            recent_log=lambda: [{"event": "daemon.ready", "took_ms": 1.5}],
            statistics=lambda: {"bundle": Bundle(), "paths": {Path("/a"), Path("/a")}},
        )
    )

    async def call(method, target, body=b"", **headers):
        path, _, query = target.partition("?")
        request = Request(
            id="the-request-id",
            method=method,
            raw_path=path,
            raw_query=query,
            headers={
                name.replace("_", "-").lower().encode(): value.encode()
                for name, value in headers.items()
            },
            body_limit=1000,
            source=Body([body if isinstance(body, bytes) else json.dumps(body).encode()]),
        )
        answer = await app(request)
        sent = {name.lower(): value for name, value in answer.headers}
        assert sent["x-amzn-requestid"] == "the-request-id"
        if sent.get("content-type") == "application/json":
            return answer.status, sent, json.loads(answer.body)
        return answer.status, sent, answer.body

    return call


FUNCTIONS = "/2015-03-31/functions"
CREATE = {
    "FunctionName": "f",
    "Runtime": "python3.13",
    "Handler": "app.handler",
    "Role": "arn:aws:iam::000000000000:role/r",
    "Code": {"ZipFile": base64.b64encode(b"zip").decode()},
    "SnapStart": {"ApplyOn": "PublishedVersions"},
}


@pytest.fixture
async def function(call):
    status, *_ = await call("POST", FUNCTIONS, CREATE)
    assert status == 201


async def test_an_unknown_path_is_lambdas_unknown_operation(call):
    status, headers, body = await call("GET", "/nope")

    assert (status, headers["x-amzn-errortype"]) == (404, "UnknownOperationException")
    assert body == {"Type": "User", "message": "Not Found"}


async def test_health_and_statistics_are_plain_json(call, function):
    _, _, health = await call("GET", "/thaw/v1/health")
    _, _, statistics = await call("GET", "/thaw/v1/statistics")

    assert (health["status"], health["engine"], health["runtimes"]) == (
        "ok",
        "fake",
        ["python3.13"],
    )
    assert statistics["catalog"]["functions"] == 1
    assert statistics["bundle"]["zip_size"] == 3
    assert statistics["paths"] == ["/a"]


async def test_the_daemons_last_events_are_told(call):
    status, _, body = await call("GET", "/thaw/v1/log")

    assert (status, body) == (200, {"events": [{"event": "daemon.ready", "took_ms": 1.5}]})


async def test_a_bundle_error_is_the_clients(call, fakes):
    fakes.bundle_error = BundleError("Unzipped size must be smaller than 262144000 bytes")
    status, headers, body = await call("POST", FUNCTIONS, CREATE)

    assert (status, headers["x-amzn-errortype"]) == (400, "InvalidParameterValueException")
    assert body["message"] == "Unzipped size must be smaller than 262144000 bytes"
    assert fakes.catalog.functions() == []


LARGE_UNZIPPED = "Unzipped size must be smaller than 262144000 bytes"


async def test_what_lambda_refuses_too_is_refused_in_its_words_and_ours_go_to_the_log(call, fakes):
    fakes.bundle_error = PackageRefused(LARGE_UNZIPPED, hint="It is 300 MB")
    with capture_logs() as logged:
        status, _, body = await call("POST", FUNCTIONS, CREATE)

    assert (status, body["message"]) == (400, LARGE_UNZIPPED)
    assert [(line["reason"], line["hint"]) for line in logged] == [(LARGE_UNZIPPED, "It is 300 MB")]


@pytest.mark.parametrize(
    ("method", "path", "operation"),
    [
        ("POST", FUNCTIONS, "CreateFunction"),
        ("PUT", f"{FUNCTIONS}/f/code", "UpdateFunctionCode"),
    ],
)
async def test_a_request_with_too_much_code_is_refused_as_aws_does_and_the_log_says_the_way_round(
    call, function, method, path, operation
):
    with capture_logs() as logged:
        status, headers, body = await call(method, path, bytes(70_167_212))

    assert (status, headers["x-amzn-errortype"]) == (413, "RequestEntityTooLargeException")
    assert body["message"] == (
        f"Request must be smaller than 70167211 bytes for the {operation} operation"
    )
    (line,) = logged
    assert "thaw function create" in line["hint"]
    assert "/thaw/v1/code" in line["hint"]


async def test_a_zip_over_50_mb_is_refused_as_aws_does(call):
    # Put together by hand: the zip, of zeros, in base64.
    before, after = json.dumps({**CREATE, "Code": {"ZipFile": "@"}}).encode().split(b"@")
    zipped = b"A" * (52_428_801 * 4 // 3)
    assert len(zipped) % 4 == 0
    status, headers, body = await call("POST", FUNCTIONS, before + zipped + after)

    assert (status, headers["x-amzn-errortype"]) == (413, "RequestEntityTooLargeException")
    assert body["message"] == "Zipped size must be smaller than 52428800 bytes"


async def test_an_upload_becomes_code_by_its_digest(call, fakes):
    status, _, uploaded = await call("POST", "/thaw/v1/code", b"zip")

    assert (status, uploaded) == (201, {"CodeSha256": "c2hh", "CodeSize": 3})

    named = {"S3Bucket": "thaw", "S3Key": "c2hh"}
    created, _, shape = await call("POST", FUNCTIONS, {**CREATE, "Code": named})
    updated, *_ = await call("PUT", f"{FUNCTIONS}/f/code", named)

    assert (created, shape["CodeSha256"], updated) == (201, "c2hh", 200)
    assert fakes.asked == [("receive", b"zip"), ("adopt", "c2hh"), ("adopt", "c2hh")]


async def test_an_upload_is_refused_in_full_words(call, fakes):
    fakes.bundle_error = PackageRefused(LARGE_UNZIPPED, hint="It is 300 MB")
    status, _, body = await call("POST", "/thaw/v1/code", b"zip")

    assert (status, body["message"]) == (400, f"{LARGE_UNZIPPED}. It is 300 MB")


async def test_an_upload_larger_than_anything_unzipped_could_be_is_refused_before_it_is_read(call):
    status, headers, body = await call("POST", "/thaw/v1/code", b"", content_length="400000000")

    assert (status, headers["x-amzn-errortype"]) == (413, "RequestEntityTooLargeException")
    assert "262144000" in body["message"]


@pytest.mark.parametrize(
    "named",
    [
        {"S3Bucket": "thaw"},
        {"S3Bucket": "thaw", "S3Key": "c2hh", "S3ObjectVersion": "1"},
        {"S3Bucket": "thaw", "S3Key": "c2hh", "ZipFile": "emlw"},
        {"S3Bucket": "mine", "S3Key": "c2hh"},
    ],
)
async def test_code_that_lies_elsewhere_is_refused_with_the_ways_round(call, fakes, named):
    status, _, body = await call("POST", FUNCTIONS, {**CREATE, "Code": named})

    assert (status, fakes.asked) == (400, [])
    assert "S3Bucket" in body["message"]
    if named["S3Bucket"] == "mine":
        assert "ZipFile only" in body["message"]
        assert "POST the zip to /thaw/v1/code" in body["message"]


@pytest.mark.parametrize("text", ["%%%", "YQ", "Y Q=="])
async def test_a_zip_that_is_not_base64_is_refused(call, text):
    status, _, body = await call("POST", FUNCTIONS, {**CREATE, "Code": {"ZipFile": text}})

    assert (status, body["message"]) == (400, "ZipFile is not base64")


async def test_a_snapstart_version_is_handed_to_the_publisher_once(call, fakes, function):
    for _ in range(2):
        status, _, body = await call("POST", f"{FUNCTIONS}/f/versions")

        assert (status, body["Version"], body["State"]) == (201, "1", "Pending")
        assert body["LastUpdateStatus"] is None
    assert fakes.asked == [("publish", "f", "1")]


async def test_deletion_frees_what_the_version_had(call, fakes, function):
    await call("POST", f"{FUNCTIONS}/f/versions")
    fakes.asked.clear()
    await call("DELETE", f"{FUNCTIONS}/f?Qualifier=1")
    await call("DELETE", f"{FUNCTIONS}/f")

    assert fakes.asked == [("forget", "f", "1"), ("forget", "f", None)]


async def test_a_client_that_leaves_in_a_deletion_leaves_nothing_behind(
    call, fakes, function, autojump_clock
):
    fakes.forgetting = trio.Event()
    async with trio.open_nursery() as nursery:
        nursery.start_soon(call, "DELETE", f"{FUNCTIONS}/f")
        await fakes.forgetting.wait()
        nursery.cancel_scope.cancel()

    assert fakes.asked == [("forget", "f", None)]


async def test_an_invocation_reaches_the_core_whole(call, fakes, function):
    await call("POST", f"{FUNCTIONS}/f/versions")
    fakes.catalog.set_state("f", "1", State.ACTIVE)
    context = {"client": {"app_title": "ü"}}
    await call(
        "POST",
        f"{FUNCTIONS}/f%3A1/invocations",
        b'{"a": 1}',
        X_Amz_Client_Context=base64.b64encode(json.dumps(context).encode()).decode(),
        X_Amz_Log_Type="Tail",
    )
    invocation = fakes.asked[-1]

    assert invocation.version == fakes.catalog.version("f", "1")
    assert invocation.payload == b'{"a": 1}'
    assert json.loads(invocation.client_context) == context
    assert invocation.invoked_arn.endswith(":function:f:1")
    assert (invocation.qualifier, invocation.log_tail) == ("1", True)
    assert invocation.request_id == "the-request-id"


async def test_no_payload_is_an_empty_object(call, function):
    assert (await call("POST", f"{FUNCTIONS}/f/invocations"))[2] == {}


async def test_throttling_says_when_and_why(call, fakes, function):
    fakes.not_run = NotRun(reason=Reason.THROTTLED)
    status, headers, body = await call("POST", f"{FUNCTIONS}/f/invocations")

    assert (status, headers["retry-after"]) == (429, "1")
    assert body["Reason"] == "ConcurrentInvocationLimitExceeded"


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        (Reason.PENDING, (409, "ResourceConflictException")),
        (Reason.NOT_READY, (409, "SnapStartNotReadyException")),
        (Reason.FAILED, (409, "ResourceConflictException")),
        (Reason.DELETED, (404, "ResourceNotFoundException")),
        (Reason.THROTTLED, (429, "TooManyRequestsException")),
        (Reason.RESTORE_TIMEOUT, (408, "SnapStartTimeoutException")),
        (Reason.RESTORE_FAILED, (400, "SnapStartException")),
        (Reason.SYSTEM, (500, "ServiceException")),
        (Reason.STOPPING, (503, "ServiceException")),
    ],
)
async def test_why_an_invocation_was_not_run_has_lambdas_name_and_status(
    call, fakes, function, reason, expected
):
    fakes.not_run = NotRun(reason=reason, detail="The cause.")

    status, headers, _ = await call("POST", f"{FUNCTIONS}/f/invocations")

    assert (status, headers["x-amzn-errortype"]) == expected


@pytest.mark.parametrize("marker", ["x", "e30=", base64.b64encode(b'["a"]').decode(), "W10="])
async def test_a_marker_that_no_list_gave_is_refused(call, marker):
    status, _, body = await call("GET", f"{FUNCTIONS}?Marker={marker}")

    assert status == 400
    assert "Marker" in body["message"]


@pytest.mark.parametrize(
    ("size", "status"), [("0", 400), ("x", 400), ("10001", 400), ("10000", 200)]
)
async def test_page_sizes_have_limits(call, size, status):
    assert (await call("GET", f"{FUNCTIONS}?MaxItems={size}"))[0] == status


async def test_all_versions_of_all_functions_are_listed_on_request(call, fakes, function):
    await call("POST", f"{FUNCTIONS}/f/versions")
    _, _, body = await call("GET", f"{FUNCTIONS}?FunctionVersion=ALL")

    assert [item["FunctionArn"].rpartition(":")[2] for item in body["Functions"]] == [
        "$LATEST",
        "1",
    ]


async def test_a_missing_zip_is_our_fault_and_says_what_to_do(call, function):
    status, headers, body = await call("GET", "/thaw/v1/functions/f/code")

    assert (status, headers["x-amzn-errortype"]) == (500, "ServiceException")
    assert "Update the function's code" in body["Message"]


async def test_a_body_too_large_for_the_operation_is_413(call, function):
    big = json.dumps({"Description": "x" * (2 << 20)}).encode()
    status, headers, _ = await call(
        "POST", f"{FUNCTIONS}/f/versions", big, Content_Length=str(len(big))
    )

    assert (status, headers["x-amzn-errortype"]) == (413, "RequestEntityTooLargeException")


async def test_what_http_refuses_has_lambdas_form():
    with Catalog.open(Path(":memory:")) as catalog:
        fakes = Fakes(catalog)
        app = build(
            core(
                catalog=catalog,
                bundles=fakes,
                logs=LogBook(Path("unused")),
                publisher=fakes,
                invoker=fakes,
            )
        )
        answer = app.refuse(RequestRefused(405, headers=[("Allow", "GET")]), "an-id")

    assert answer.status == 405
    assert {("Allow", "GET"), ("x-amzn-RequestId", "an-id")} <= set(answer.headers)


SURROGATE = b'"\\ud800"'


@pytest.mark.parametrize(
    "text", [SURROGATE, b'"a\\u0000b"', b'"\xed\xa0\x80"', b'"\xff"', b"9" * 5000, b"[" * 100_000]
)
@pytest.mark.parametrize("member", [b"Description", b"Environment", b"Unknown"])
async def test_values_that_cannot_be_kept_are_refused_whatever_member_has_them(
    call, function, text, member
):
    if member == b"Environment":
        text = b'{"Variables": {"A": %s}}' % text
    body = b'{"%s": %s}' % (member, text)
    status, headers, _ = await call("PUT", f"{FUNCTIONS}/f/configuration", body)

    assert (status, headers["x-amzn-errortype"]) == (400, "InvalidRequestContentException")


async def test_a_name_of_a_member_is_text_too(call, function):
    body = b'{"Environment": {"Variables": {%s: "x"}}}' % SURROGATE

    assert (await call("PUT", f"{FUNCTIONS}/f/configuration", body))[0] == 400


async def test_whole_surrogate_pairs_and_other_escapes_are_text(call, function):
    body = b'{"Description": "\\ud83d\\ude00 \\u00fc \\\\ud800"}'
    status, _, shown = await call("PUT", f"{FUNCTIONS}/f/configuration", body)

    assert (status, shown["Description"]) == (200, "\U0001f600 \u00fc \\ud800")


@pytest.mark.parametrize(
    ("event", "accepted"),
    [
        (b"9" * 100_000, True),
        (b"1e999999", True),
        (b'"\\ud800"', True),
        (b"[" * 1_000_000, False),
        (b"NaN", False),
        (b'"\xff"', False),
        (b'"x" ' * 100_000, False),
    ],
)
async def test_an_event_is_any_json_and_its_numbers_are_the_functions(
    call, fakes, function, event, accepted
):
    fakes.not_run = NotRun(reason=Reason.THROTTLED)
    status, *_ = await call("POST", f"{FUNCTIONS}/f/invocations", event)

    assert status == (429 if accepted else 400)


async def test_a_large_body_is_read_while_others_are_served(call, function, monkeypatch):
    """Whoever reads it does so in a thread."""
    readers = set()
    loads = json.loads

    def note(*arguments, **options):
        readers.add(threading.current_thread() is threading.main_thread())
        return loads(*arguments, **options)

    monkeypatch.setattr(json, "loads", note)
    for size, on_the_loop in ((10, True), (1 << 20, False)):
        readers.clear()
        await call("POST", f"{FUNCTIONS}/f/invocations", b'"%s"' % (b"x" * size))

        assert on_the_loop in readers


class TestLogs:
    @pytest.mark.parametrize(
        ("query", "status"),
        [
            ("", 200),
            ("version=$LATEST", 200),
            ("version=1", 404),
            ("Qualifier=1", 404),
            ("version=..%2F..%2Fsecret", 400),
            ("version=%00", 400),
            ("version=%ff%fe", 400),
            ("version=" + "a" * 5000, 400),
            ("version=" + "1" * 5000, 400),
            ("lines=" + "9" * 5000, 400),
            ("lines=-1", 400),
            ("lines=10001", 400),
        ],
    )
    async def test_a_version_is_one_that_exists_and_never_a_path(
        self, call, function, query, status
    ):
        assert (await call("GET", f"/thaw/v1/functions/f/logs?{query}"))[0] == status

    async def test_a_published_version_has_one(self, call, function):
        await call("POST", f"{FUNCTIONS}/f/versions")

        assert (await call("GET", "/thaw/v1/functions/f/logs?version=1"))[0] == 200
        assert (await call("GET", "/thaw/v1/functions/f:1/logs"))[0] == 200


@pytest.mark.parametrize(
    ("event", "message"),
    [
        (b'"\x87', "Invalid UTF-8 start byte 0x87\n at [Source: {}; line: 1, column: 3]"),
        (
            b'{\n"a": "\xc3("}',
            "Invalid UTF-8 middle byte 0x28\n at [Source: {}; line: 2, column: 9]",
        ),
        (
            b"{",
            "Expecting property name enclosed in double quotes\n at [Source: {}; line: 1, column: 3]",
        ),
    ],
)
async def test_d4_an_event_that_is_not_json_is_refused_in_awss_words(
    call, function, event, message
):
    source = "REDACTED (`StreamReadFeature.INCLUDE_SOURCE_IN_LOCATION` disabled)"
    status, headers, body = await call("POST", f"{FUNCTIONS}/f/invocations", event)

    assert (status, headers["x-amzn-errortype"]) == (400, "InvalidRequestContentException")
    assert body["message"] == (
        "Could not parse request body into json: Could not parse payload into json: "
        + message.format(source)
    )


@given(st.binary(max_size=30))
def test_d4_whatever_the_bytes_are_they_are_json_or_refused(event):
    try:
        assert invocations._event(event) in {event, b"{}"}
    except ApiError as refused:
        prefix = "Could not parse request body into json: Could not parse payload into json: "
        assert refused.message.startswith(prefix)  # noqa: PT017
        refused.message.encode()
