"""Noise: what the linter says of 25 popular packages, as they are installed. Each finding is explained here.

The wheels are taken from `$THAW_CHECK_CORPUS`, else ~/.cache/thawd/check-corpus. To fill that folder:

    pip download --no-deps --only-binary :all: -d ~/.cache/thawd/check-corpus PACKAGE ...

Run with `-s` it prints the table of docs/lint.md.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from thaw_check.lint import lint_path

FOLDER = Path(
    os.environ.get("THAW_CHECK_CORPUS") or Path.home() / ".cache" / "thawd" / "check-corpus"
)
LINES_A_FINDING = 5_000
PACKAGES = (
    "aiohttp",
    "aws-lambda-powertools",
    "boto3",
    "botocore",
    "celery",
    "django",
    "elasticsearch",
    "fastapi",
    "flask",
    "httpx",
    "jinja2",
    "mangum",
    "numpy",
    "openai",
    "pandas",
    "pydantic",
    "pyjwt",
    "pymongo",
    "redis",
    "requests",
    "sentry-sdk",
    "sqlalchemy",
    "starlette",
    "urllib3",
    "werkzeug",
)
EXPLAINED = {
    ("openai", "openai/lib/bedrock.py", "SNAP010"): (
        "`_LEGACY_SIGNATURE_KEY = os.urandom(32)` on import: the key of all clones, and in the snapshot's file"
    ),
    ("pymongo", "bson/objectid.py", "SNAP014"): (
        "ObjectId's process id, counter and random part are attributes of the class: clones make the same primary keys"
    ),
    ("aiohttp", "aiohttp/_websocket/writer.py", "SNAP003"): (
        "`random=random.Random()` is a default argument: one generator masks the frames of all WebSockets in all clones"
    ),
    ("pydantic", "pydantic/v1/_hypothesis_plugin.py", "SNAP005"): (
        "`date.today()` bounds the dates of a test strategy on import: the day of the snapshot ever after"
    ),
}


def wheel_of(package):
    name = package.replace("-", "_")
    found = sorted(FOLDER.glob(f"{name}-*.whl")) if FOLDER.is_dir() else []
    if not found:
        pytest.skip(
            f"no wheel of {package} in {FOLDER} (pip download --no-deps -d {FOLDER} {package})"
        )
    return found[-1]


@pytest.mark.parametrize("package", PACKAGES)
def test_few_findings_and_each_explained(package):
    wheel = wheel_of(package)

    # A wheel lists all its files as an installed package's, which they are.
    report = lint_path(wheel, dependencies=True)
    print(
        f"| {package} {wheel.name.split('-')[1]} | {report.files} | {report.lines:,} | {len(report.findings)} |"
    )

    assert report.lines > 1_000
    wrong = [f for f in report.findings if (package, f.where.path, f.rule) not in EXPLAINED]
    assert len(wrong) * LINES_A_FINDING <= report.lines
    for finding in report.findings:
        assert (package, finding.where.path, finding.rule) in EXPLAINED, str(finding.where)
