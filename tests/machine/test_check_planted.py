"""`thaw check` on functions with planted bugs: every bug is found, nothing else is, and what is put right is clean.

The functions are in runtimes/python/examples/check, each with a bugs.json that says what linter and clones must show; the linter's
part is in tests/processes/test_check_planted.py.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from live import create

from thaw_check.clones import exchange
from thaw_check.findings import Level
from thawd.cli.clones import report_of

if TYPE_CHECKING:
    from thaw_check.findings import Finding
    from thawd.cli.client import Client

EXAMPLES = Path(__file__).parents[2] / "runtimes" / "python" / "examples" / "check"
FAILURES = {"HOOK001", "HOOK002", "HOOK003"}
RULES = {"value": "CLONE001", "generator": "CLONE002", "time": "CLONE003"}


def planted(name: str) -> dict[str, Any]:
    return json.loads((EXAMPLES / name / "bugs.json").read_text())


def errors(client: Client, name: str, events: list[Any], **modes: bool) -> list[Finding]:
    """What a clone test of an example calls an error."""
    function = name.replace("_", "-")
    create(client, function, EXAMPLES / name, Timeout=60)
    try:
        texts = [json.dumps(event) for event in events] * 2
        report = report_of(
            function, exchange.from_json(client.clones(function, None, texts, **modes))
        )
    finally:
        client.delete_function(function)
    assert not [finding for finding in report.findings if finding.rule in FAILURES]
    return [finding for finding in report.findings if finding.level is Level.ERROR]


def shows(finding: Finding, bug: dict[str, Any]) -> bool:
    """Whether a finding is what a bug must show as."""
    expected = bug["clone"]
    return (
        expected is not None
        and finding.rule == RULES[expected["verdict"]]
        and (finding.what == expected["path"] or finding.what.startswith(f"{expected['path']} "))
    )


def check(found: list[Finding], bugs: list[dict[str, Any]]) -> None:
    bugs = [bug for bug in bugs if bug["clone"] is not None]
    missed = [bug["name"] for bug in bugs if not any(shows(finding, bug) for finding in found)]
    false = [f.message for f in found if not any(shows(f, bug) for bug in bugs)]
    assert missed == []
    assert false == []


@pytest.mark.parametrize("name", ["planted", "aws_docs"])
def test_every_planted_bug_is_found_and_nothing_else(client: Client, name: str) -> None:
    about = planted(name)
    check(errors(client, name, about["events"]), about["bugs"])


@pytest.mark.parametrize("name", ["planted", "aws_docs"])
def test_without_fixers_it_shows_what_aws_would_give(client: Client, name: str) -> None:
    about = planted(name)
    check(errors(client, name, about["events"], fixers_off=True), about["bugs"] + about["aws_only"])


@pytest.mark.parametrize("name", ["planted", "aws_docs"])
def test_what_is_put_right_is_clean_on_aws_too(client: Client, name: str) -> None:
    events = planted(name)["events"]
    fixed = f"{name}_fixed"

    assert errors(client, fixed, events, fixers_off=True) == []


KERNEL_ALONE = b"""
import os
from snapshot_restore_py import register_after_restore

drawn = []

@register_after_restore
def draw():
    drawn.extend(os.urandom(16).hex() for _ in range(4))

def handler(event, context):
    return {"drawn": drawn, "one": os.getpid()}
"""


def test_the_worst_case_shows_what_hangs_on_the_kernel_alone(
    client: Client, tmp_path: Path
) -> None:
    """Fixers renew what lives in the process; without the kernel's renewal the first draws repeat all the same."""
    (tmp_path / "app.py").write_bytes(KERNEL_ALONE)
    create(client, "kernel-alone", tmp_path, Timeout=60)

    def shown(**modes: bool) -> set[str]:
        observed = exchange.from_json(client.clones("kernel-alone", None, ["{}"] * 2, **modes))
        report = report_of("kernel-alone", observed)
        return {finding.rule for finding in report.findings if finding.level is Level.ERROR}

    assert shown() == set()
    # The kernel reseeds by itself a second after the last time: on a busy host a clone may come to its hook too late.
    assert any(
        shown(kernel_cloned=True, fixers_off=True) & {"CLONE001", "CLONE002"} for _ in range(4)
    )
