"""What a function finds inside is what it finds on Lambda. D1 to D9 are the rows of the table in docs/api.md."""

from __future__ import annotations

import base64
import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import httpx
import pytest
from live import FUNCTIONS, call, create, last_log, publish, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from live import Daemon

    from thawd.cli.client import Client

NO_SNAPSHOT = {"SnapStart": {"ApplyOn": "None"}}


@pytest.fixture(scope="module")
def inside(client: Client) -> str:
    create(client, "inside", FUNCTIONS / "inside")
    published = publish(client, "inside")
    assert published["State"] == "Active", published["StateReason"]
    return "inside"


@pytest.fixture(scope="module")
def seen(client: Client, inside: str) -> dict[str, Any]:
    found: dict[str, Any] = call(client, inside, do="look")
    return found


SLOW = {"endless": (200, 2), "over-both": (20, 5), "over-one": (12, 25)}
"""Functions by name: seconds of sleep in the init, and the time-out."""


@pytest.fixture(scope="module")
def ended(daemon: Daemon) -> Iterator[dict[str, tuple[str | None, Any, list[str]]]]:
    """How an invocation of each slow function ended: error, payload, log. All at once, for they only sleep."""

    def invoke(name: str) -> tuple[str | None, Any, list[str]]:
        sleep, timeout = SLOW[name]
        with daemon.client() as mine:
            environment = {"INIT_SLEEP": str(sleep)}
            code = FUNCTIONS / "inside"
            create(mine, name, code, environment=environment, Timeout=timeout, **NO_SNAPSHOT)
            answer = mine.invoke(name, None, b"{}")
            wait_until(lambda: "REPORT" in last_log(mine, name, "$LATEST")[-1], what="REPORT")
            log = last_log(mine, name, "$LATEST")
            return answer.function_error, json.loads(answer.payload), log

    with ThreadPoolExecutor() as pool:
        yield dict(zip(SLOW, pool.map(invoke, SLOW), strict=True))


@pytest.mark.parametrize("name", ["endless", "over-both"])
def test_d1_d2_an_init_over_its_limit_ends_under_the_functions_timeout(
    ended: dict[str, tuple[str | None, Any, list[str]]], name: str
) -> None:
    error, payload, log = ended[name]
    timeout = SLOW[name][1]

    assert (error, payload["errorType"]) == ("Unhandled", "Sandbox.Timedout")
    assert re.fullmatch(
        rf"RequestId: \S+ Error: Task timed out after {timeout}\.00 seconds",
        payload["errorMessage"],
    )
    (first, again) = [line for line in log if line.startswith("INIT_REPORT")]
    assert re.fullmatch(
        r"INIT_REPORT Init Duration: \d+\.\d\d ms\tPhase: init\tStatus: timeout", first
    )
    assert re.fullmatch(
        r"INIT_REPORT Init Duration: \d+\.\d\d ms\tPhase: invoke\tStatus: timeout", again
    )
    assert log[-1].endswith("Status: timeout")


def test_d2_an_init_that_begins_anew_has_the_functions_timeout(
    ended: dict[str, tuple[str | None, Any, list[str]]],
) -> None:
    error, payload, log = ended["over-one"]

    assert error is None, payload
    assert "initialised_at" in payload
    assert [line for line in log if line.startswith("INIT_REPORT") and "Phase: init" in line]
    (duration,) = re.findall(r"\tDuration: ([\d.]+) ms", log[-1])
    assert float(duration) > 12_000
    assert "Init Duration" not in log[-1]


def test_d3_there_is_a_shell_and_the_usual_programs(client: Client, inside: str) -> None:
    script = 'a=(x y); echo "${a[1]}" && ls -d /var/task && cat /etc/hostname | wc -l && env | grep -c ^PATH= | sed s/1/one/'
    done = call(client, inside, do="shell", command=script)

    assert (done["status"], done["err"]) == (0, "")
    assert done["out"].split() == ["y", "/var/task", "1", "one"]
    assert call(client, inside, do="system", command="true") == 0
    assert call(client, inside, do="system", command="exit 7") == 7
    programs = (
        "sh bash env cat ls cp mv rm mkdir head tail sort cut tr date sleep sed grep awk dirname"
    )
    found = call(client, inside, do="shell", command=f"for p in {programs}; do command -v $p; done")
    assert len(found["out"].split()) == len(programs.split())


@pytest.mark.parametrize(
    ("wrapper", "shows"), [("importtime_wrapper", "flags"), ("python_wrapper", "variables")]
)
def test_d3_a_wrapper_script_as_aws_documents_it_starts_the_runtime(
    client: Client, wrapper: str, shows: str
) -> None:
    """Under SnapStart too: the runtime that it starts reports at freeze, whatever it is written in."""
    name = wrapper.replace("_", "-")
    environment = {"AWS_LAMBDA_EXEC_WRAPPER": f"/var/task/{wrapper}"}
    create(client, name, FUNCTIONS / "inside", environment=environment)
    published = publish(client, name)
    assert published["State"] == "Active", published["StateReason"]
    found = call(client, name, do="look")

    if shows == "flags":
        assert found["flags"] == {"importtime": True}
        assert any(
            "import time:" in line
            for line in (e["message"] for e in client.logs(name, version="1", lines=5000))
        )
    else:
        assert found["variables"]["WRAPPED"] == "by Python"


def test_d5_a_clients_trace_is_continued_and_answered(daemon: Daemon, inside: str) -> None:
    given = "Root=1-5bdb40ca-556d8b0c50dc66f0511bf520;Parent=53995c3f42cd8ad8;Sampled=1;Lineage=a87bd80c:1"
    with httpx.Client(
        transport=httpx.HTTPTransport(uds=str(daemon.socket)), base_url="http://d", timeout=60
    ) as http:
        path = f"/2015-03-31/functions/{inside}:1/invocations"
        answer = http.post(path, content=b'{"do": "trace"}', headers={"X-Amzn-Trace-Id": given})
        other = http.post(path, content=b'{"do": "trace"}')

    assert answer.json() == answer.headers["X-Amzn-Trace-Id"] == given
    assert other.json() == other.headers["X-Amzn-Trace-Id"]
    assert re.fullmatch(
        r"Root=1-[0-9a-f]{8}-[0-9a-f]{24};Parent=[0-9a-f]{16};Sampled=0", other.json()
    )
    assert answer.headers["x-amzn-Remapped-Content-Length"] == "0"


def test_d6_text_logs_have_no_variable(seen: dict[str, Any]) -> None:
    assert "AWS_LAMBDA_LOG_FORMAT" not in seen["variables"]


def test_d7_paths_locale_and_runtime_api(seen: dict[str, Any]) -> None:
    variables = seen["variables"]

    assert variables["LANG"] == "en_US.UTF-8"
    assert variables["PATH"] == "/var/lang/bin:/usr/local/bin:/usr/bin/:/bin:/opt/bin"
    assert variables["LD_LIBRARY_PATH"].startswith("/var/lang/lib:/lib64:/usr/lib64:/var/runtime:")
    assert variables["AWS_LAMBDA_RUNTIME_API"] == "169.254.100.1:9001"
    # SDKs take credentials over plain HTTP from loopback only.
    assert variables["AWS_CONTAINER_CREDENTIALS_FULL_URI"].startswith("http://127.0.0.1:9001/")


def test_d8_empty_lines_of_a_print_are_dropped(client: Client, inside: str) -> None:
    answer = client.invoke(inside, "1", b'{"do": "print"}', tail=True)

    lines = base64.b64decode(answer.log_tail).decode().splitlines()
    assert lines[1:3] == ["first", "second"]
    assert lines[3].startswith("END ")


def test_d9_limits(seen: dict[str, Any]) -> None:
    assert seen["limits"] == {
        "CORE": [10 << 30, 10 << 30],
        "MEMLOCK": [64 << 10, 64 << 10],
        "NOFILE": [1024, 1024],
        "NPROC": [742, 742],
    }


def test_d9_python_and_the_entry_are_where_lambda_has_them(seen: dict[str, Any]) -> None:
    assert seen["executable"] == "/var/lang/bin/python3.13"
    assert seen["prefix"] == "/var/lang"
    assert seen["library"] == "/var/lang/lib/python3.13/os.py"
    assert seen["path"][0] == "/var/task"
    assert seen["entrypoint"] is True
    assert seen["bootstrap"] is True


def test_d9_a_crash_leaves_no_core(client: Client, inside: str) -> None:
    """The limit is Lambda's, but /tmp is memory, and nobody would read it."""
    found = call(client, inside, do="crash")

    assert found == {"dumped": False, "files": []}


def test_a_program_may_use_the_processors_return_from_interrupts(
    client: Client, inside: str
) -> None:
    """The runtime of .NET 8 does so after every exception. Emulated with SMAP, the thread was gone."""
    assert call(client, inside, do="iret") == 42
