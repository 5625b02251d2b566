"""The daemon is killed at any moment of any act, under load: nothing acknowledged is lost, and nothing half done is left."""

from __future__ import annotations

import os
import random
from typing import TYPE_CHECKING

import pytest
from kill_bed import KINDS, Load
from live import running

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# What httpx leaves unclosed when nobody listens, which after a kill is so.
pytestmark = pytest.mark.filterwarnings("ignore:unclosed <socket:ResourceWarning")

KILLS = int(os.environ.get("THAW_KILLS", "200"))
SEED = int(os.environ.get("THAW_KILLS_SEED", "0"))
"""Where a machine has no half hour in one piece, several shorter runs with seeds of their own add up."""


@pytest.fixture
def load(images: Path, tmp_path: Path) -> Iterator[Load]:
    """A daemon as configured by default, under a load, that is to be killed. At the end it must leave nothing."""
    with running(tmp_path, images) as daemon:
        try:
            yield Load(daemon, random.Random(SEED))
        finally:
            # Shown where a test failed; the file goes with the folder.
            print(daemon.log[-20_000:])


def kill_and_check(load: Load, kills: int) -> None:
    """So many kills and more, until each kind of act was cut a fifth of so many times."""
    load.set_up()
    while load.kills < kills or min(load.cut[kind] for kind in KINDS) < kills // len(KINDS):
        load.kill_in(min(KINDS, key=lambda kind: load.cut[kind]))
        print(load.kills, dict(load.cut), dict(load.found), flush=True)
    load.check_all_answers()
    assert "Traceback" not in load.daemon.log


def test_a_kill_in_each_kind_of_act_loses_nothing(load: Load) -> None:
    kill_and_check(load, len(KINDS))


@pytest.mark.long
@pytest.mark.timeout(4 * 3600)
def test_hundreds_of_kills_lose_nothing(load: Load, proven) -> None:
    """No half version, no process that lives on, no function lost, no number given twice."""
    kill_and_check(load, KILLS)

    cut = ", ".join(f"{load.cut[kind]} in {kind}" for kind in KINDS)
    half = ", ".join(f"{count} left half-made {what}" for what, count in load.found.items())
    proven(f"{load.kills} SIGKILLs: {cut}", f"nothing lost, nothing left; {half}, all gone")
