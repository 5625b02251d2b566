"""Functions as people deploy them, dependencies in the bundle: published, restored, invoked."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from live import FUNCTIONS, call, create, publish

if TYPE_CHECKING:
    from thawd.cli.client import Client

CACHE = Path(__file__).parents[2] / ".cache" / "bundles"


def bundle_of(name: str, tmp_path: Path, *requirements: str) -> Path:
    """A function's folder with its dependencies for the guest's Python, from PyPI; downloaded once."""
    key = hashlib.sha256(" ".join(requirements).encode()).hexdigest()[:16]
    packages = CACHE / key
    if not packages.exists():
        work = CACHE / f"{key}.new"
        shutil.rmtree(work, ignore_errors=True)
        command = [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--quiet",
            "--no-compile",
            f"--target={work}",
        ]
        command += ["--python-version=3.13", "--implementation=cp", "--only-binary=:all:"]
        command += ["--platform=manylinux_2_28_x86_64", "--platform=manylinux2014_x86_64"]
        done = subprocess.run(
            [*command, *requirements], capture_output=True, text=True, check=False
        )
        if done.returncode:
            pytest.skip(
                f"PyPI does not give {', '.join(requirements)}: {done.stderr.strip()[-300:]}"
            )
        work.rename(packages)
    code = tmp_path / name
    shutil.copytree(packages, code)
    shutil.copytree(FUNCTIONS / name, code, dirs_exist_ok=True)
    return code


def ready(client: Client, name: str, code: Path) -> None:
    create(client, name, code, MemorySize=512, Timeout=60)
    published = publish(client, name)
    assert published["State"] == "Active", published["StateReason"]


def test_numpy(client: Client, tmp_path: Path) -> None:
    """And its generators: what nobody seeded is each clone's own, what the user seeded is the same in all."""
    ready(client, "numpy", bundle_of("numpy", tmp_path, "numpy==2.3.5"))
    event = json.dumps({"matrix": [[2, 0], [0, 3]]})

    clones = [
        json.loads(client.start("numpy", "1", "restore", [event])["answers"][0]["payload"])
        for _ in range(3)
    ]

    assert [round(clone["determinant"]) for clone in clones] == [6, 6, 6]
    for source in ("sample", "legacy"):
        values = [tuple(clone[source]) for clone in clones]
        assert len(set(values)) == 3, f"{source} repeats: {values}"
    assert len({tuple(clone["seeded"]) for clone in clones}) == 1


def test_powertools_and_boto3(client: Client, tmp_path: Path) -> None:
    """aws-lambda-powertools' router, logger and metrics; boto3 from the image signs with the clone's credentials."""
    ready(client, "powertools", bundle_of("powertools", tmp_path, "aws-lambda-powertools==3.23.0"))
    event = {
        "path": "/orders/17",
        "httpMethod": "GET",
        "headers": {},
        "queryStringParameters": None,
        "multiValueHeaders": {},
        "requestContext": {"requestId": "r", "stage": "prod"},
        "resource": "/orders/{number}",
        "body": None,
        "isBase64Encoded": False,
    }

    answer = call(client, "powertools", **event)

    assert answer["statusCode"] == 200
    assert json.loads(answer["body"]) == {"order": "17", "tables": "dynamodb", "signed": True}
    lines = [entry["message"] for entry in client.logs("powertools", version="1", lines=20)]
    records = [json.loads(line) for line in lines if line.startswith("{")]
    assert any(
        record.get("message") == "looked up" and record.get("cold_start") for record in records
    )
    assert any("_aws" in record for record in records)


def test_fastapi_through_mangum(client: Client, tmp_path: Path) -> None:
    requirements = ("fastapi==0.121.0", "mangum==0.19.0")
    ready(client, "fastapi", bundle_of("fastapi", tmp_path, *requirements))
    event = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": "/items/4",
        "rawQueryString": "",
        "headers": {"content-type": "application/json", "host": "x"},
        "requestContext": {
            "http": {
                "method": "POST",
                "path": "/items/4",
                "sourceIp": "127.0.0.1",
                "protocol": "HTTP/1.1",
            },
            "requestId": "r",
            "stage": "$default",
        },
        "body": json.dumps({"name": "tea", "price": 3.0}),
        "isBase64Encoded": False,
    }

    for _ in range(2):
        answer = call(client, "fastapi", **event)
        assert answer["statusCode"] == 200
        assert json.loads(answer["body"]) == {"number": 4, "name": "TEA", "gross": 3.57}
