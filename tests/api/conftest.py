"""A daemon that real clients talk to, and the service model that every answer is held against.

The daemon is the real one over loopback TCP; its machines are pretended, and run handlers in this process. `THAWD_TEST_ENDPOINT=http://127.0.0.1:PORT` runs the same tests against a live daemon.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING

import boto3
import botocore.config
import pytest
import trio

from thawd.testing import PythonFunction, running_daemon, zipped

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


async def _run_daemon(folder: Path, started: SimpleQueue) -> None:
    settings = {"listen": ["tcp:127.0.0.1:0"]}
    async with running_daemon(folder, PythonFunction(init_s=0.05), settings=settings) as daemon:
        stop = trio.Event()
        started.put((daemon.url, trio.lowlevel.current_trio_token(), stop))
        await stop.wait()


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
