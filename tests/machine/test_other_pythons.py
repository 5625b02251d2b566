"""The Pythons beside the usual one, each from an archive that moves or is not Debian's: image, publish, clones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import trio
from live import FUNCTIONS, call, create, publish, running

from thawd import runtimes
from thawd.images.store import ImageStore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from thawd.cli.client import Client

pytestmark = [pytest.mark.long, pytest.mark.timeout(1800)]

IMAGES = Path(__file__).parents[2] / ".cache" / "state" / "images"
CLONES = 3


@pytest.fixture(scope="module", params=["python3.14", "python3.12"])
def runtime(request: pytest.FixtureRequest) -> str:
    """A runtime whose image is there, built if it has to be."""
    name: str = request.param
    archive = runtimes.find(name).image.archive
    if archive is not None and archive.keyring and not Path(archive.keyring).exists():
        pytest.skip(f"no {archive.keyring}: install {archive.keyring_package}")
    with pytest.MonkeyPatch.context() as patch:
        # What a mirror of a suite that moves says is soon out of date, if the mirror is slow.
        patch.setenv("THAWD_EXPIRED_MIRROR", "1")
        trio.run(ImageStore(IMAGES).ensure, name)
    return name


@pytest.fixture(scope="module")
def client(runtime: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    state = tmp_path_factory.mktemp(f"state-{runtime}")
    with running(state, IMAGES) as daemon, daemon.client() as client:
        yield client


def asked_of_a_clone(client: Client, name: str, do: str) -> Any:
    (answer,) = client.start(name, "1", "restore", [json.dumps({"do": do})])["answers"]
    assert answer["error_type"] is None, answer
    return json.loads(answer["payload"])


def test_its_clones_are_unique_and_their_inside_is_lambdas(
    runtime: str, client: Client, proven: Callable[[str, str], None]
) -> None:
    create(client, "everything", FUNCTIONS / "everything", Runtime=runtime)
    create(client, "inside", FUNCTIONS / "inside", Runtime=runtime)
    for name in ("everything", "inside"):
        published = publish(client, name)
        assert published["State"] == "Active", published["StateReason"]
    clones = [asked_of_a_clone(client, "everything", "unique") for _ in range(CLONES)]
    uuids = [asked_of_a_clone(client, "inside", "uuids") for _ in range(CLONES)]
    seen = call(client, "inside", do="look")

    for source in clones[0]:
        assert len({clone[source] for clone in clones}) == CLONES, f"{source} repeats"
    assert [len(set(kind)) for kind in zip(*uuids, strict=True)] == [CLONES] * len(uuids[0])
    assert len(uuids[0]) == (3 if runtime == "python3.14" else 0)
    assert call(client, "everything", do="who")["order"] == [
        "before 2",
        "before 1",
        "after 1",
        "after 2",
    ]
    assert runtime == f"python{seen['version'][0]}.{seen['version'][1]}"
    assert seen["executable"] == f"/var/lang/bin/{runtime}"
    assert seen["prefix"] == "/var/lang"
    assert call(client, "inside", do="shell", command="echo $0")["out"] == "/bin/sh\n"
    assert call(client, "everything", None, do="surroundings")["environment"][
        "AWS_EXECUTION_ENV"
    ] == (f"AWS_Lambda_{runtime}")
    proven(f"{CLONES} clones, {len(clones[0])} sources", "unique, hooks in order")
