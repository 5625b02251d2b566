"""A made-up language, from its folder to answers of clones: image, publish, restore."""

from __future__ import annotations

import json
import zipfile
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trio
from live import create, publish, running

from thawd import runtimes
from thawd.images.store import ImageStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from thawd.cli.client import Client

LANGUAGES = Path(__file__).parent / "languages"
IMAGES = Path(__file__).parents[2] / ".cache" / "state" / "other-language"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    """A daemon that knows the language by a setting, with its image alone."""

    async def ensure() -> None:
        await ImageStore(IMAGES).ensure("tiny1")

    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(runtimes.DIRECTORIES, str(LANGUAGES))
        trio.run(ensure)
        with (
            running(tmp_path_factory.mktemp("state"), IMAGES) as daemon,
            daemon.client() as client,
        ):
            yield client


def code() -> bytes:
    data = BytesIO()
    with zipfile.ZipFile(data, "w") as file:
        file.writestr("greeting.txt", "Good morning,\n")
    return data.getvalue()


def greet(client: Client, name: str, version: str | None) -> dict[str, str]:
    (answer,) = client.start(
        name, version, "restore" if version else "base", [json.dumps({"name": "Ada"})]
    )["answers"]
    assert answer["error_type"] is None, answer
    said: dict[str, str] = json.loads(answer["payload"])
    return said


def test_its_functions_publish_restore_and_answer(client: Client) -> None:
    create(client, "tiny", code(), Runtime="tiny1", Handler="greeting.txt")
    published = publish(client, "tiny")
    assert published["State"] == "Active", published["StateReason"]
    clones = [greet(client, "tiny", "1") for _ in range(2)]

    assert [clone["greeting"] for clone in clones] == ["Good morning, Ada"] * 2
    assert clones[0]["version"] == "1.0 with 256 MB"
    assert clones[0]["token"] != clones[1]["token"]
    assert greet(client, "tiny", None)["greeting"] == "Good morning, Ada"


def test_without_its_report_no_snapshot_is_taken(client: Client) -> None:
    create(
        client,
        "silent",
        code(),
        environment={"TINY_SILENT": "1"},
        Runtime="tiny1",
        Handler="greeting.txt",
    )
    published = publish(client, "silent")

    assert published["State"] == "Failed"
    assert "tiny did not say what it froze" in published["StateReason"]
