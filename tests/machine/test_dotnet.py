"""Functions in .NET in real machines: published, restored and invoked, and what is refused."""

from __future__ import annotations

import json
import re
import shutil
import time
import zipfile
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dotnet_bed as bed
import pytest
import thaw_dotnet_assemblies as assemblies
import trio
from live import EMULATED, Daemon, call, create, last_log, publish, running

from thawd.images.store import ImageStore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from thawd.cli.client import Client

IMAGES = Path(__file__).parents[2] / ".cache" / "state" / "images"
NATIVE = b"""#!/usr/bin/python3
import http.client, json, os
api = http.client.HTTPConnection(os.environ["AWS_LAMBDA_RUNTIME_API"])
def ask(method, path, body=None):
    api.request(method, "/2018-06-01/runtime/" + path, body)
    answer = api.getresponse()
    return answer.headers, answer.read()
if os.environ["AWS_LAMBDA_INITIALIZATION_TYPE"] == "snap-start":
    ask("GET", "restore/next")
while True:
    headers, event = ask("GET", "invocation/next")
    ask("POST", "invocation/" + headers["Lambda-Runtime-Aws-Request-Id"] + "/response", event)
"""
"""In the stead of a program that was compiled ahead of time: no code of thawd runs in either."""

pytestmark = bed.needs_sdk


def there(version: str) -> bool:
    """Whether this machine has these frameworks."""
    return any(
        list(root.glob(f"shared/Microsoft.AspNetCore.App/{version}.*"))
        for root in assemblies.roots()
    )


RUNTIMES = {"dotnet10": "10.0", "dotnet8": "8.0"}


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    """A daemon with the images of those .NETs that are here."""

    async def ensure() -> None:
        for runtime, version in RUNTIMES.items():
            if there(version):
                await ImageStore(IMAGES).ensure(runtime)

    trio.run(ensure)
    settings = f"{EMULATED}[limits]\nrestore_limit_s = 15\n"
    with running(tmp_path_factory.mktemp("state"), IMAGES, settings) as daemon:
        yield daemon


@pytest.fixture(scope="module")
def client(daemon: Daemon) -> Iterator[Client]:
    with daemon.client() as client:
        yield client


def make(
    client: Client, name: str, code: Path | bytes, handler: str, **more: Any
) -> dict[str, Any]:
    """Create and publish; the configuration the version ends with."""
    data = code if isinstance(code, bytes) else bed.zipped(code)
    given = {"Runtime": "dotnet10", "Handler": handler, "MemorySize": 512, **more}
    create(client, name, data, **given)
    return publish(client, name, within_s=600)


def native() -> bytes:
    """A package with an executable that no code of thawd runs in."""
    data = BytesIO()
    with zipfile.ZipFile(data, "w") as archive:
        entry = zipfile.ZipInfo("native")
        entry.external_attr = 0o755 << 16
        archive.writestr(entry, NATIVE)
    return data.getvalue()


def notes(daemon: Daemon, name: str) -> list[str]:
    """What version 1's snapshot says for the person who published it."""
    (path,) = (daemon.state / "snapshots").glob(f"**/{name}/1/manifest.json")
    said: list[str] = json.loads(path.read_text())["about"]["report"]["notes"]
    return said


def clone(client: Client, name: str) -> dict[str, Any]:
    """The answer of a clone of its own."""
    (answer,) = client.start(name, "1", "restore", ["{}"])["answers"]
    assert answer["error_type"] is None, answer
    value: dict[str, Any] = json.loads(answer["payload"])
    return value


def test_the_example_greets_and_each_clone_has_an_id_of_its_own(client: Client) -> None:
    published = make(
        client,
        "hello",
        bed.published(bed.EXAMPLES / "hello"),
        "Hello::Hello.Function::FunctionHandler",
    )
    assert published["State"] == "Active", published["StateReason"]
    first = call(client, "hello", Name="Ada")
    others = [clone(client, "hello") for _ in range(2)]

    assert first["Message"] == "Hello, Ada!"
    assert len({first["Id"], *(other["Id"] for other in others)}) == 3
    assert {other["PreparedBy"] for other in others} == {first["PreparedBy"]}
    log = last_log(client, "hello")
    assert any("info\tgreeting Ada" in line for line in log), log


def test_the_example_of_an_executable_is_warm_and_each_clone_has_its_own_till(
    client: Client,
) -> None:
    published = make(client, "orders", bed.published(bed.EXAMPLES / "program"), "Orders")
    assert published["State"] == "Active", published["StateReason"]
    answers = [call(client, "orders", Items=["tea", "coffee"])]
    (answer,) = client.start("orders", "1", "restore", ['{"Items": ["tea"]}'])["answers"]
    answers.append(json.loads(answer["payload"]))

    assert [each["Total"] for each in answers] == [5.5, 2.5]
    assert len({each["Till"] for each in answers}) == 2
    assert len({each["Id"] for each in answers}) == 2


def test_an_executables_hooks_run_in_order_around_the_snapshot_and_its_clones_differ(
    client: Client,
) -> None:
    published = make(
        client, "executable", bed.published(bed.FUNCTIONS / "Executable"), "Executable"
    )
    assert published["State"] == "Active", published["StateReason"]
    first = call(client, "executable", Say="tea")
    log = [line.rpartition("\t")[2] for line in last_log(client, "executable")]
    clones = [first, *(clone(client, "executable") for _ in range(2))]

    assert [line for line in log if line in {"after 1", "after 2", "tea"}] == [
        *("after 1", "after 2"),
        "tea",
    ]
    assert first.get("Hooks") is None  # nothing of ours is left for its children
    for source in ("Random", "Shared"):
        assert len({one[source] for one in clones}) == 3, source


def fetch(client: Client, name: str, method: str, path: str, **members: Any) -> dict[str, Any]:
    """The response of a clone of its own to an HTTP API's event."""
    event = json.dumps(bed.http_event(method, path, **members))
    (answer,) = client.start(name, "1", "restore", [event])["answers"]
    assert answer["error_type"] is None, answer
    response: dict[str, Any] = json.loads(answer["payload"])
    return response


def test_the_example_of_a_minimal_api_answers_and_each_clone_has_its_own_till(
    client: Client,
) -> None:
    published = make(client, "shop", bed.published(bed.EXAMPLES / "minimal-api"), "Shop")
    assert published["State"] == "Active", published["StateReason"]
    least = {"rawPath": "/menu", "requestContext": {"http": {"method": "GET", "path": "/menu"}}}
    menu = call(client, "shop", version="2.0", **least)  # the event of docs/dotnet.md
    order = {"headers": {"content-type": "application/json"}, "body": '{"item":"tea","count":2}'}
    answers = [fetch(client, "shop", "POST", "/orders", **order) for _ in range(2)]
    unknown = fetch(client, "shop", "POST", "/orders", **order | {"body": '{"item":"salt"}'})

    assert (menu["statusCode"], json.loads(menu["body"])) == (200, {"tea": 2.5, "coffee": 3})
    receipts = [json.loads(answer["body"]) for answer in answers]
    assert [receipt["total"] for receipt in receipts] == [5, 5]
    assert len({receipt["till"] for receipt in receipts} | {"closed"}) == 3
    assert len({receipt["id"] for receipt in receipts}) == 2
    assert unknown["statusCode"] == 404


def test_a_minimal_api_is_warm_and_its_clones_differ(client: Client) -> None:
    """With authentication, the accessor of contexts and scopes that are checked."""
    published = make(client, "web", bed.published(bed.FUNCTIONS / "Web"), "Web")
    assert published["State"] == "Active", published["StateReason"]
    clones = []
    for _ in range(3):
        response = fetch(client, "web", "GET", "/draw", headers={"Authorization": "Ada"})
        assert response["statusCode"] == 200, response
        clones.append(json.loads(response["body"]))

    assert all(one["contexts"] == ["none"] * 5 + [one["request"]] for one in clones)
    for source in ("counter", "connection", "random", "shared", "guid", "activity"):
        assert len({one[source] for one in clones}) == 3, source


def test_the_example_in_fsharp_draws_other_tickets_in_each_clone(client: Client) -> None:
    published = make(
        client,
        "raffle",
        bed.published(bed.EXAMPLES / "fsharp"),
        "Raffle::Raffle.Function::FunctionHandler",
    )
    assert published["State"] == "Active", published["StateReason"]
    assert call(client, "raffle", Buyer="Ada")["Buyer"] == "Ada"
    first, second = (clone(client, "raffle") for _ in range(2))

    assert first["Number"] != second["Number"]
    assert first["Booth"] != second["Booth"]


@bed.needs_powershell
def test_the_example_in_powershell_has_another_till_in_each_clone(
    daemon: Daemon, client: Client
) -> None:
    published = make(
        client,
        "prices",
        bed.published_powershell(),
        "Prices::Prices.Bootstrap::ExecuteFunction",
        Timeout=90,
    )
    assert published["State"] == "Active", published["StateReason"]
    answers = []
    for _ in range(2):
        (said,) = client.start("prices", "1", "restore", ['{"items": ["tea", "coffee"]}'])[
            "answers"
        ]
        answers.append(json.loads(said["payload"]))

    assert [answer["total"] for answer in answers] == [5.5, 5.5]
    assert answers[0]["till"] != answers[1]["till"]
    assert answers[0]["number"] != answers[1]["number"]
    assert not any("hook" in note for note in notes(daemon, "prices"))


def test_clients_of_awss_sdk_sign_with_the_clones_own_credentials(client: Client) -> None:
    handler = "Clients::Clients.Function::Handle"
    published = make(client, "clients", bed.published(bed.FUNCTIONS / "Clients"), handler)
    assert published["State"] == "Active", published["StateReason"]
    first, second = (clone(client, "clients") for _ in range(2))

    assert first["before"] == second["before"]
    said = (first["before"], first["now"], second["now"])
    assert all(each["s3"] == each["dynamodb"] and each["s3"].startswith("ASIA") for each in said)
    assert len({each["s3"] for each in said}) == 3


@pytest.mark.parametrize("runtime", RUNTIMES)
def test_a_program_of_each_version_runs_and_is_renewed(client: Client, runtime: str) -> None:
    version = RUNTIMES[runtime]
    if not there(version):
        pytest.skip(f"there is no .NET {version} here")
    folder = bed.published(bed.FUNCTIONS / "Program", Net=f"net{version}")
    published = make(client, f"program-{runtime}", folder, "Program", Runtime=runtime)
    assert published["State"] == "Active", published["StateReason"]
    first, second = (clone(client, f"program-{runtime}") for _ in range(2))

    assert first["runtime"].startswith(f"{version}.")
    assert first["random"] != second["random"]
    assert first["hooks"] == ""  # nothing of ours is left for its children


def test_clock_and_start_of_an_activity_are_right_however_old_the_snapshot_is(
    client: Client,
) -> None:
    """Reported of a tracer whose clock is a start and the time since, which stands still in a snapshot."""
    folder = bed.published(bed.FUNCTIONS / "Program", Net="net10.0")
    published = make(client, "clock", folder, "Program")
    assert published["State"] == "Active", published["StateReason"]
    time.sleep(2)
    # The second event: what the first one compiles is not between the sending and the clock.
    _, answer = client.start("clock", "1", "restore", ["{}", "{}"])["answers"]
    said = json.loads(answer["payload"])

    for clock in ("now_s", "activity_s"):
        assert answer["began_s"] - 0.05 <= said[clock] <= answer["ended_s"] + 0.05


def test_the_function_without_a_version_uses_no_snapshot_and_its_log_says_so(
    client: Client,
) -> None:
    """Reported as a snapshot that is never restored: the requests went to the function itself."""
    published = make(client, "unqualified", native(), "native")
    assert published["State"] == "Active", published["StateReason"]
    call(client, "unqualified", None, n=1)
    latest = last_log(client, "unqualified", "$LATEST")
    call(client, "unqualified", "1", n=1)
    version = last_log(client, "unqualified", "1")

    assert any(re.search(r"^START RequestId: \S+ Version: \$LATEST", line) for line in latest)
    assert not any(line.startswith("RESTORE_START") for line in latest)
    assert any(re.search(r"^START RequestId: \S+ Version: 1", line) for line in version)
    assert any(line.startswith("RESTORE_START") for line in version)


def test_a_self_contained_program_in_one_file_runs_and_is_renewed(client: Client) -> None:
    dotnet = bed.sdk()
    assert dotnet is not None
    if not list(dotnet.parent.glob("packs/Microsoft.NETCore.App.Runtime.linux-x64/10.0.*")):
        pytest.skip("there is no runtime pack of .NET 10 here")
    folder = bed.published(
        bed.FUNCTIONS / "Program",
        "--runtime=linux-x64",
        "--self-contained",
        PublishSingleFile="true",
    )
    published = make(client, "single", folder, "Program")
    assert published["State"] == "Active", published["StateReason"]

    assert len({clone(client, "single")["random"] for _ in range(2)}) == 2


def test_a_program_of_native_code_runs_and_its_snapshot_says_what_is_not_renewed(
    daemon: Daemon, client: Client
) -> None:
    published = make(client, "native", native(), "native")
    assert published["State"] == "Active", published["StateReason"]

    assert call(client, "native", n=1) == {"n": 1}
    assert any("Native AOT" in note for note in notes(daemon, "native"))


def test_where_start_up_hooks_are_switched_off_the_snapshot_says_that_nothing_is_renewed(
    daemon: Daemon, client: Client, tmp_path: Path
) -> None:
    task = tmp_path / "task"
    shutil.copytree(bed.published(bed.FUNCTIONS / "Library", CoreVersion="3.2.0"), task)
    config = json.loads((task / "Library.runtimeconfig.json").read_text())
    properties = config["runtimeOptions"].setdefault("configProperties", {})
    properties["System.StartupHookProvider.IsSupported"] = False
    (task / "Library.runtimeconfig.json").write_text(json.dumps(config))
    published = make(client, "unhooked", task, "Library::Library.Function::Handle")
    assert published["State"] == "Active", published["StateReason"]

    assert clone(client, "unhooked")["calls"] == 1
    (note,) = [note for note in notes(daemon, "unhooked") if "switched off" in note]
    assert "nothing in its process is renewed" in note


def test_a_debug_build_is_only_noted(daemon: Daemon, client: Client) -> None:
    folder = bed.published(bed.FUNCTIONS / "Library", configuration="Debug", CoreVersion="3.2.0")
    published = make(client, "debug", folder, "Library::Library.Function::Handle")
    assert published["State"] == "Active", published["StateReason"]

    assert any("Debug" in note for note in notes(daemon, "debug"))


@pytest.mark.parametrize(
    ("name", "handler", "spoil", "said"),
    [
        (
            "no-config",
            "Library::Library.Function::Handle",
            lambda task: (task / "Library.runtimeconfig.json").unlink(),
            "GenerateRuntimeConfigurationFiles",
        ),
        (
            "other-framework",
            "Library::Library.Function::Handle",
            lambda task: (task / "Library.runtimeconfig.json").write_text(
                '{"runtimeOptions": {"framework": {"name": "Microsoft.NETCore.App", "version": "9.0.0"}}}'
            ),
            "the image of this runtime has Microsoft.NETCore.App 10.",
        ),
        (
            "no-method",
            "Library::Library.Function::Nowhere",
            lambda _task: None,
            "has no method Nowhere. It has Handle",
        ),
    ],
)
def test_what_cannot_run_is_refused_at_publish_with_the_way_out(  # noqa: PLR0917 - a row of the table
    client: Client, tmp_path: Path, name: str, handler: str, spoil: Any, said: str
) -> None:
    task = tmp_path / "task"
    shutil.copytree(bed.published(bed.FUNCTIONS / "Library", CoreVersion="3.2.0"), task)
    spoil(task)
    published = make(client, name, task, handler)

    assert published["State"] == "Failed"
    assert said in published["StateReason"]
