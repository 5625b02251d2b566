"""The packages that people bundle, in machines: published, restored, used, and different in every clone.

Several are in a bundle, as functions have them. A dozen packages are in CI; `./dev test --long` takes all, and writes
what it has seen into docs/packages.md. What needs no machine is in tests/packages.
"""

from __future__ import annotations

import json
import re
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bundles
import pytest
from catalogue import IN_CI, IN_MACHINES
from live import create, publish

from thaw_check.clones import exchange
from thaw_check.findings import Level
from thawd.cli.clones import report_of
from thawd.cli.packing import packed, sent

if TYPE_CHECKING:
    from collections.abc import Callable

    from live import Daemon

    from thawd.cli.client import Client

    Proven = Callable[[str, str], None]

DOCUMENT = Path(__file__).parents[2] / "docs" / "packages.md"
# A publish and eight clones took 100 s on emulated processors that others kept busy.
pytestmark = pytest.mark.timeout(1800)
CLONES = 8
CLONES_IN_CI = 4
AT_ONCE = 3


@pytest.fixture(scope="session")
def site() -> bundles.Site:
    return bundles.site()


def make(client: Client, name: str, folder: Path) -> None:
    """Create the function as `thaw` does, which uploads what is too large for the request."""
    with packed(folder) as code:
        create(client, name, b"", Code=sent(client, code), MemorySize=1024, Timeout=300)


def clones_of(daemon: Daemon, name: str, count: int) -> list[dict[str, Any]]:
    """What restores of version 1 answer, each once."""

    def one(_: int) -> dict[str, Any]:
        with daemon.client() as client:
            (answer,) = client.start(name, "1", "restore", ["{}"])["answers"]
            assert answer["error_type"] is None, answer
            return json.loads(answer["payload"])

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(one, range(count)))


def check(daemon: Daemon, site: bundles.Site, group: str, count: int) -> None:
    """Publish a group's bundle, restore it `count` times, compare."""
    name = f"packages-{group}".replace("_", "-")
    with daemon.client() as client:
        with site.bundle(name, *IN_MACHINES[group]) as folder:
            make(client, name, folder)
        published = publish(client, name)
        assert published["State"] == "Active", published["StateReason"]
        clones = clones_of(daemon, name, count)
        client.delete_function(name)

    for package in IN_MACHINES[group]:
        said = [clone[f"use_{package}"] for clone in clones]
        assert said[0]["answer"]
        assert all(one["answer"] == said[0]["answer"] for one in said), package
        for source in said[0]["unique"]:
            values = [json.dumps(one["unique"][source]) for one in said]
            assert len(set(values)) == count, f"{package}: {source} repeats: {values}"


@pytest.mark.parametrize("group", IN_CI)
def test_the_most_bundled_packages_publish_and_their_clones_differ(
    daemon: Daemon, site: bundles.Site, group: str
) -> None:
    """In the runtime's thread, and in one that lived when the snapshot was taken."""
    check(daemon, site, group, CLONES_IN_CI)


def test_what_clones_share_is_looked_for_in_a_bundle_of_packages(
    daemon: Daemon, site: bundles.Site
) -> None:
    """A clone test of enum flags, `datetime.min`, Flask's `request`, requests and pandas finds no error."""
    packages = ("requests", "flask", "orjson", "pandas")
    with daemon.client() as client:
        with site.bundle("packages-clones", *packages) as folder:
            make(client, "packages-clones", folder)
        seen = exchange.from_json(client.clones("packages-clones", None, ["{}", "{}"]))
        client.delete_function("packages-clones")

    report = report_of("packages-clones", seen)
    assert [] == [finding.message for finding in report.findings if finding.level is Level.ERROR]


@pytest.mark.long
@pytest.mark.parametrize("group", IN_MACHINES)
def test_all_packages_publish_and_their_clones_differ(
    daemon: Daemon, site: bundles.Site, group: str, proven: Proven
) -> None:
    """The same with all of them; docs/packages.md says which versions were seen."""
    check(daemon, site, group, CLONES)

    text = DOCUMENT.read_text()
    for package in IN_MACHINES[group]:
        row = f"| {package} | {site.versions(package)} | machines |"
        text = re.sub(rf"^\| {package} \|.*$", row, text, flags=re.MULTILINE)
    DOCUMENT.write_text(text)
    proven(f"{CLONES} clones", f"{len(IN_MACHINES[group])} packages; no value repeats")
