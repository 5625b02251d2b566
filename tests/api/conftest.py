"""A daemon that real clients talk to, and the service model that every answer is held against.

The daemon is the real HTTP server, API and catalog over loopback TCP, with a stand-in for the machines: it runs
handlers in this process. `THAWD_TEST_ENDPOINT=http://127.0.0.1:PORT` runs the same tests against a live daemon.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import io
import json
import os
import re
import threading
import traceback
import types
import zipfile
from queue import SimpleQueue
from typing import TYPE_CHECKING

import boto3
import botocore.config
import pytest
import trio
from attrs import frozen

from thawd.api import app
from thawd.api.core import Core
from thawd.catalog.models import State
from thawd.catalog.store import Catalog
from thawd.errors import BundleError, CatalogError
from thawd.http import serve
from thawd.invoke.outcome import Answered, NotRun, Outcome, Reason
from thawd.logs.book import LogBook

if TYPE_CHECKING:
    from pathlib import Path

FUNCTION = """
INIT = object()

def handler(event, context):
    if "raise" in event:
        raise ValueError(event["raise"])
    print("a line of the function")
    return {"event": event, "version": context.function_version, "arn": context.invoked_function_arn}
"""

ROLE = "arn:aws:iam::000000000000:role/test"


def zipped(source: str) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(zipfile.ZipInfo("app.py"), source)
    return buffer.getvalue()


# ---------------------------------------------------------------------------------------------------------------------
# The stand-in


@frozen
class StoredZip:
    code_sha256_base64: str
    zip_size: int


@frozen
class ZipFolder:
    """Bundles without disk images."""

    folder: Path

    async def add(self, data: bytes) -> StoredZip:
        if not zipfile.is_zipfile(io.BytesIO(data)):
            raise BundleError(
                "Could not unzip uploaded file. Please check your file, then try to upload again."
            )
        digest = hashlib.sha256(data)
        (self.folder / digest.hexdigest()).write_bytes(data)
        return StoredZip(base64.b64encode(digest.digest()).decode(), len(data))

    def find_zip(self, code_sha256: str) -> Path:
        return self.folder / base64.b64decode(code_sha256).hex()

    def load(self, version) -> types.ModuleType:
        with zipfile.ZipFile(self.find_zip(version.code.sha256)) as archive:
            module = types.ModuleType("app")
            exec(archive.read("app.py"), module.__dict__)  # noqa: S102 - the test's own function
        return module


class Images:
    """An image store with one image."""

    def list(self) -> list:
        return [types.SimpleNamespace(runtime="python3.13")]


class Collector:
    """Collects nothing."""

    def nudge(self) -> None:
        pass


@frozen
class StandIn:
    """Publisher and invoker: "initialises" a version by importing it, and runs its handler here."""

    nursery: trio.Nursery
    catalog: Catalog
    zips: ZipFolder

    def publish(self, version) -> None:
        self.nursery.start_soon(self._publish, version)

    async def _publish(self, version) -> None:
        await trio.sleep(0.05)
        state, reason, code = State.ACTIVE, None, None
        try:
            self.zips.load(version)
        except Exception as error:
            state, code = State.FAILED, "FunctionError"
            reason = f"An error occurred during function initialization. {error!r}"
        try:
            self.catalog.set_state(
                version.function_name, version.version, state, reason=reason, reason_code=code
            )
        except CatalogError:
            return  # deleted meanwhile

    async def forget(self, *_) -> None:
        await trio.lowlevel.checkpoint()

    async def invoke(self, invocation) -> Outcome:
        await trio.lowlevel.checkpoint()
        version = invocation.version
        if version.state is not State.ACTIVE:
            return NotRun(reason=Reason(version.state.lower()))
        context = types.SimpleNamespace(
            function_version=version.version,
            invoked_function_arn=invocation.invoked_arn,
            aws_request_id=invocation.request_id,
        )
        log = f"START RequestId: {invocation.request_id} Version: {version.version}\n"
        error = None
        try:
            result = self.zips.load(version).handler(json.loads(invocation.payload), context)
        except Exception as raised:
            error = "Unhandled"
            result = {
                "errorMessage": str(raised),
                "errorType": type(raised).__name__,
                "requestId": invocation.request_id,
                "stackTrace": traceback.format_tb(raised.__traceback__),
            }
        else:
            log += "a line of the function\n"
        log += f"END RequestId: {invocation.request_id}\n"
        return Answered(
            payload=json.dumps(result).encode(),
            function_error=error,
            executed_version=version.version,
            log_tail=log.encode() if invocation.log_tail else b"",
        )


async def _run_daemon(folder: Path, started: SimpleQueue) -> None:
    zips = ZipFolder(folder)
    with Catalog.open(folder / "catalog.db") as catalog:
        async with trio.open_nursery() as nursery:
            stand_in = StandIn(nursery, catalog, zips)
            api = app.build(
                Core(
                    catalog=catalog,
                    bundles=zips,
                    publisher=stand_in,
                    logs=LogBook(folder / "logs"),
                    invoker=stand_in,
                    images=Images(),
                    collector=Collector(),
                    host=None,
                    fleet=None,
                )
            )
            [listener] = await trio.open_tcp_listeners(0, host="127.0.0.1")
            port = listener.socket.getsockname()[1]

            async def run(task_status):
                await serve(listener, api, render_error=api.refuse, task_status=task_status)

            server = await nursery.start(run)
            stop = trio.Event()
            started.put((f"http://127.0.0.1:{port}", trio.lowlevel.current_trio_token(), stop))
            await stop.wait()
            await server.shutdown(1)
            nursery.cancel_scope.cancel()


@pytest.fixture(scope="session")
def endpoint(tmp_path_factory):
    """The URL of a running daemon."""
    if live := os.environ.get("THAWD_TEST_ENDPOINT"):
        yield live
        return
    started: SimpleQueue = SimpleQueue()
    folder = tmp_path_factory.mktemp("daemon")
    thread = threading.Thread(target=trio.run, args=(_run_daemon, folder, started))
    thread.start()
    url, token, stop = started.get(timeout=10)
    yield url
    token.run_sync_soon(stop.set)
    thread.join(timeout=10)
    assert not thread.is_alive()


# ---------------------------------------------------------------------------------------------------------------------
# The service model


def check_shape(shape, value, path="answer"):
    """Assert that a JSON value is what a shape of the model allows, with no member it does not know."""
    kinds = {
        "string": str,
        "integer": int,
        "long": int,
        "boolean": bool,
        "structure": dict,
        "map": dict,
        "list": list,
    }
    assert isinstance(value, kinds[shape.type_name]), f"{path}: {value!r}"
    if shape.type_name == "structure":
        body = {
            name: member
            for name, member in shape.members.items()
            if "location" not in member.serialization
        }
        assert value.keys() <= body.keys(), f"{path}: {value.keys() - body.keys()}"
        for name, item in value.items():
            if item is not None:  # AWS sends what is unset as null
                check_shape(body[name], item, f"{path}.{name}")
    elif shape.type_name == "map":
        for name, item in value.items():
            check_shape(shape.key, name, f"{path} key")
            check_shape(shape.value, item, f"{path}[{name}]")
    elif shape.type_name == "list":
        for index, item in enumerate(value):
            check_shape(shape.member, item, f"{path}[{index}]")
    elif shape.type_name == "string":
        limits = shape.metadata
        assert limits.get("min", 0) <= len(value) <= limits.get("max", 1 << 30), path
        assert value in limits.get("enum", [value]), f"{path}: {value!r}"
        pattern = limits.get("pattern")
        if pattern and r"\p{" not in pattern:
            assert re.fullmatch(pattern, value), f"{path}: {value!r} is not {pattern}"


def check_answer(operation_model, response_dict, **_):
    """Assert that an answer is one the model knows for its operation (botocore event `before-parse`)."""
    status, headers, body = (response_dict[key] for key in ("status_code", "headers", "body"))
    assert re.fullmatch("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", headers["x-amzn-RequestId"])
    if status < 300:
        output = operation_model.output_shape
        if output is None or operation_model.has_streaming_output or status == 204:
            return
        value = json.loads(body)
        if operation_model.name != "GetFunctionCodeSigningConfig":  # has no config, as in Lambda
            for name in output.required_members:
                assert name in value
        check_shape(output, value)
        return
    code = headers["x-amzn-ErrorType"]
    value = json.loads(body)
    if code == "ValidationException":
        assert (status, {"message"}) == (400, value.keys())
        return
    [shape] = [shape for shape in operation_model.error_shapes if shape.name == code]
    assert status == shape.metadata["error"]["httpStatusCode"]
    assert value["Type"] in {"User", "Service"}
    check_shape(shape, value, code)


# ---------------------------------------------------------------------------------------------------------------------
# What tests use


@pytest.fixture(scope="session")
def boto(endpoint):
    """A boto3 Lambda client whose every answer is checked against the model."""
    client = boto3.client(
        "lambda",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="any",
        aws_secret_access_key="any",
        config=botocore.config.Config(
            retries={"total_max_attempts": 1}, parameter_validation=False, read_timeout=180
        ),
    )
    client.meta.events.register("before-parse.lambda", check_answer)
    yield client
    client.close()


@pytest.fixture
def name(request, boto):
    """The name of a function that is gone when the test ends."""
    name = re.sub("[^a-zA-Z0-9-_]", "-", request.node.name)[:50]
    yield name
    with contextlib.suppress(boto.exceptions.ResourceNotFoundException):
        boto.delete_function(FunctionName=name)


@pytest.fixture
def function(boto, name):
    """A function with SnapStart on; returns its name."""
    create(boto, name)
    return name


def create(boto, name, source=FUNCTION, **more):
    return boto.create_function(
        **{
            "FunctionName": name,
            "Runtime": "python3.13",
            "Handler": "app.handler",
            "Role": ROLE,
            "Code": {"ZipFile": zipped(source)},
            "SnapStart": {"ApplyOn": "PublishedVersions"},
            **more,
        }
    )


@pytest.fixture
def make(boto):
    """`make(name, source, **members)`: CreateFunction with everything that is required."""
    return lambda name, source=FUNCTION, **more: create(boto, name, source, **more)


@pytest.fixture
def published(boto, function):
    """A function with an Active version 1; returns its name."""
    boto.publish_version(FunctionName=function)
    wait(boto, "published_version_active", FunctionName=function, Qualifier="1")
    return function


def wait(boto, waiter_name, **kwargs):
    waiter = boto.get_waiter(waiter_name)
    waiter.config.delay = 0.1
    waiter.wait(**kwargs)


@pytest.fixture
def wait_for(boto):
    """`wait_for(waiter, **kwargs)`: botocore's waiter, polling faster."""
    return lambda waiter_name, **kwargs: wait(boto, waiter_name, **kwargs)


@pytest.fixture
def zip_of():
    return zipped
