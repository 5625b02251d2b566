"""The packages that people bundle, each used as people use it, in the guest's Python: the freeze reports it all.

Each function of functions/ uses its package at init and in the handler. No machine is started (test_machines.py does).
"""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from bundles import FUNCTIONS
from catalogue import IN_MACHINES, PACKAGES

DOCUMENT = Path(__file__).parents[2] / "docs" / "packages.md"
LIMIT_OF_ONE_CONTAINER = "more than 200 members"
"""What a traced function holds is looked at to this limit, which botocore's and celery's tables exceed."""


def repeated(clones: list[list[dict[str, object]]]) -> set[str]:
    """Names of what two clones both said."""
    seen: set[tuple[str, str]] = set()
    twice: set[str] = set()
    for calls in clones:
        said = {(name, json.dumps(value)) for call in calls for name, value in call.items()}
        twice |= {name for name, _ in said & seen}
        seen |= said
    return twice


@pytest.mark.parametrize("package", PACKAGES)
def test_a_function_that_uses_it_freezes_and_its_clones_differ(site, guest, package):
    with site.bundle(package, package) as bundle:
        done = guest.run(bundle, "/tmp/bed/packages/bed.py", f"use_{package}")
    assert done.returncode == 0, done.stderr[-3000:]
    said = json.loads(done.stdout)

    assert said["before"]
    assert said["before"] == said["after"]
    assert said["caught"] == 0, said["notes"]
    assert [
        n for n in said["notes"] if "not complete" in n and LIMIT_OF_ONE_CONTAINER not in n
    ] == []
    assert [n for n in said["notes"] if "was made unique at init" in n] == []
    assert {fixer["result"] for fixer in said["fixers"]} <= {"ok", "absent"}, said["fixers"]
    assert set() == repeated(said["clones"])
    # Nothing that was installed is taken for the function's own.
    assert set(said["own"]) <= {f"use_{package}", "local"}


def test_without_fixers_clones_do_not_differ(site, guest):
    """The test above can fail."""
    with site.bundle("numpy-off", "numpy") as bundle:
        done = guest.run(bundle, "/tmp/bed/packages/bed.py", "use_numpy", "--off")
    said = json.loads(done.stdout)

    assert repeated(said["clones"]) == {"generator", "global"}


def test_every_function_is_in_the_catalogue():
    assert {path.stem for path in FUNCTIONS.glob("use_*.py")} == {
        f"use_{name}" for name in PACKAGES
    }
    assert len(PACKAGES) == 60


def test_every_package_is_in_one_bundle_for_machines():
    assert sorted(PACKAGES) == sorted(name for group in IN_MACHINES.values() for name in group)


@pytest.mark.long
def test_the_document_names_the_versions_of_today(site):
    rows = re.findall(r"^\| (\w+) \| (.*\d.*?) \| .*\|$", DOCUMENT.read_text(), flags=re.MULTILINE)

    assert dict(rows) == {package: site.versions(package) for package in PACKAGES}
