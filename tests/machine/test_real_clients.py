"""boto3 and the AWS CLI, unmodified, against a daemon with real machines behind it."""

from __future__ import annotations

import base64
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import boto3
import pytest
from botocore.config import Config
from live import FUNCTIONS

from thawd.cli.packing import bundle

if TYPE_CHECKING:
    from pathlib import Path

    from live import Daemon

ROLE = "arn:aws:iam::000000000000:role/test"


@pytest.fixture(scope="module")
def endpoint(daemon: Daemon, tcp_port: int) -> str:
    return f"http://127.0.0.1:{tcp_port}"


@pytest.fixture(scope="module")
def aws(endpoint: str) -> Any:
    return boto3.client(
        "lambda",
        endpoint_url=endpoint,
        region_name="us-east-1",
        aws_access_key_id="any",
        aws_secret_access_key="any",
        config=Config(retries={"max_attempts": 0}, read_timeout=120),
    )


def test_boto3_creates_publishes_waits_invokes_and_deletes(aws: Any) -> None:
    name = "from-boto3"
    created = aws.create_function(
        FunctionName=name,
        Runtime="python3.13",
        Role=ROLE,
        Handler="app.handler",
        Code={"ZipFile": bundle(FUNCTIONS / "everything")},
        SnapStart={"ApplyOn": "PublishedVersions"},
        Timeout=20,
    )
    assert created["SnapStart"] == {"ApplyOn": "PublishedVersions", "OptimizationStatus": "Off"}
    aws.get_waiter("function_active_v2").wait(FunctionName=name)

    published = aws.publish_version(FunctionName=name)
    assert (published["Version"], published["State"]) == ("1", "Pending")
    with pytest.raises(aws.exceptions.ResourceConflictException, match="Pending"):
        aws.invoke(FunctionName=name, Qualifier="1")
    waiter = aws.get_waiter("published_version_active")
    waiter.wait(FunctionName=name, Qualifier="1", WaiterConfig={"Delay": 1, "MaxAttempts": 90})
    ready = aws.get_function(FunctionName=name, Qualifier="1")["Configuration"]
    assert ready["SnapStart"]["OptimizationStatus"] == "On"
    assert aws.publish_version(FunctionName=name)["Version"] == "1"  # nothing has changed

    answer = aws.invoke(
        FunctionName=name, Qualifier="1", Payload=b'{"do": "print"}', LogType="Tail"
    )
    log = base64.b64decode(answer["LogResult"]).decode()
    assert (answer["StatusCode"], answer["ExecutedVersion"], answer["Payload"].read()) == (
        200,
        "1",
        b"null",
    )
    assert "to standard output" in log
    assert "Restore Duration" in log

    failed = aws.invoke(FunctionName=name, Qualifier="1", Payload=b'{"do": "raise"}')
    assert failed["FunctionError"] == "Unhandled"
    assert json.loads(failed["Payload"].read())["errorType"] == "KeyError"
    assert aws.invoke(FunctionName=name, InvocationType="DryRun")["StatusCode"] == 204

    aws.update_function_configuration(FunctionName=name, Description="changed")
    aws.get_waiter("function_updated_v2").wait(FunctionName=name)
    assert [v["Version"] for v in aws.list_versions_by_function(FunctionName=name)["Versions"]] == [
        "$LATEST",
        "1",
    ]
    aws.delete_function(FunctionName=name)
    with pytest.raises(aws.exceptions.ResourceNotFoundException):
        aws.get_function(FunctionName=name)


def test_the_aws_cli_creates_publishes_waits_and_invokes(endpoint: str, tmp_path: Path) -> None:
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "any",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": endpoint,
    }

    def aws(*words: str) -> Any:
        command = [sys.executable, "-m", "awscli", "--output", "json", "lambda", *words]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else None

    (tmp_path / "code.zip").write_bytes(bundle(FUNCTIONS / "everything"))
    name = ("--function-name", "from-cli")
    aws(
        "create-function",
        *name,
        *("--runtime", "python3.13", "--handler", "app.handler", "--role", ROLE),
        *(
            "--zip-file",
            f"fileb://{tmp_path}/code.zip",
            "--snap-start",
            "ApplyOn=PublishedVersions",
        ),
        *("--timeout", "20"),
    )
    aws("wait", "function-active-v2", *name)
    version = aws("publish-version", *name)["Version"]
    aws("wait", "published-version-active", *name, "--qualifier", version)

    out = tmp_path / "out.json"
    answer = aws("invoke", *name, "--qualifier", version, str(out))
    assert answer == {"StatusCode": 200, "ExecutedVersion": "1"}
    assert json.loads(out.read_text())["order"] == ["before 2", "before 1", "after 1", "after 2"]
    assert "from-cli" in {f["FunctionName"] for f in aws("list-functions")["Functions"]}
    aws("delete-function", *name)
