"""What version 0.1.0 left is served by real machines: its versions are made again from their code."""

from __future__ import annotations

from pathlib import Path
from shutil import copytree

from live import call, running, wait_until

BEFORE = Path(__file__).parents[1] / "fixtures" / "0.1.0"
PLACES = ("state_directory", "runtime_directory", "images_directory", "listen")


def test_a_state_directory_of_0_1_0_serves_its_versions_again(images: Path, tmp_path: Path) -> None:
    state = tmp_path / "state"
    copytree(BEFORE / "state", state)
    lines = (BEFORE / "thawd.toml").read_text().splitlines(keepends=True)
    settings = "".join(line for line in lines if not line.startswith(PLACES))
    with running(state, images, settings) as daemon:
        with daemon.client() as client:
            wait_until(
                lambda: client.get_configuration("hello", "1")["State"] == "Active",
                seconds=150,
                what="the version is made again",
            )
            assert call(client, "hello", a=1) == {"event": {"a": 1}, "version": "1"}
            assert client.get_configuration("broken", "1")["State"] == "Failed"
        assert "version.made_again" in daemon.log
