"""The AWS CLI against the daemon: the commands of AWS's own SnapStart guide."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest


@pytest.fixture
def aws(endpoint, tmp_path):
    """`aws("list-functions")`: run `aws lambda`, return what it printed as JSON."""
    environment = {
        "PATH": os.environ["PATH"],
        "HOME": str(tmp_path),
        "AWS_ACCESS_KEY_ID": "any",
        "AWS_SECRET_ACCESS_KEY": "any",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
        "AWS_MAX_ATTEMPTS": "1",
    }

    command = [sys.executable, "-W", "ignore", "-m", "awscli"]

    def run(*arguments, fails=False):
        done = subprocess.run(
            [*command, "lambda", *arguments, "--endpoint-url", endpoint],
            env=environment,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        if fails:
            assert done.returncode != 0
            return done.stderr.strip()
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout) if done.stdout.strip() else None

    return run


def test_a_function_lives_from_create_to_delete(aws, name, zip_of, tmp_path):
    package, output = tmp_path / "f.zip", tmp_path / "out.json"
    package.write_bytes(zip_of("def handler(event, context): return event"))
    of = ("--function-name", name)
    created = aws(
        "create-function",
        *of,
        *("--runtime", "python3.13"),
        *("--handler", "app.handler"),
        *("--role", "arn:aws:iam::000000000000:role/any"),
        *("--zip-file", f"fileb://{package}"),
        *("--snap-start", "ApplyOn=PublishedVersions"),
    )

    assert created["SnapStart"]["ApplyOn"] == "PublishedVersions"

    aws("wait", "function-active-v2", *of)
    version = aws("publish-version", *of)["Version"]
    aws("wait", "published-version-active", *of, "--qualifier", version)
    invoked = aws("invoke", *of, "--qualifier", version, "--payload", '{"a": [1]}', str(output))

    assert invoked["ExecutedVersion"] == version
    assert json.loads(output.read_text()) == {"a": [1]}

    updated = aws(
        "update-function-configuration",
        *of,
        "--timeout",
        "10",
        "--environment",
        "Variables={KEY=v}",
    )

    assert (updated["Timeout"], updated["Environment"]) == (10, {"Variables": {"KEY": "v"}})

    aws("wait", "function-updated-v2", *of)
    assert aws("get-function", *of, "--query", "Configuration.Timeout") == 10
    assert aws("list-versions-by-function", *of, "--query", "Versions[].Version") == [
        "$LATEST",
        version,
    ]
    assert name in aws("list-functions", "--query", "Functions[].FunctionName")

    aws("delete-function", *of)

    assert aws("get-function", *of, fails=True).endswith(
        "An error occurred (ResourceNotFoundException) when calling the GetFunction operation: "
        f"Function not found: arn:aws:lambda:us-east-1:000000000000:function:{name}"
    )
