"""Show it all in a minute: an example function cold, restored and warm, and what two of its clones say."""

from __future__ import annotations

import base64
import json
import statistics
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from attrs import asdict, frozen

from thawd import runtimes
from thawd.errors import EngineError, ThawError

from .exits import Exit
from .own_daemon import default_state, ensure_image, own_daemon
from .packing import bundle
from .waiting import until_settled

if TYPE_CHECKING:
    import argparse

    from .client import Client
    from .terminal import Terminal

_FUNCTION: Final = "hello"
_EVENT: Final = json.dumps({"order": ["tea", "cake"]}).encode()
_SAID: Final = ("uuid4", "random", "time", "hostname")


@frozen(kw_only=True)
class Result:
    """The demo's measurements. Milliseconds, each the median of its runs; `clones` are two clones' answers."""

    engine: str
    cold_ms: float
    base_ms: float
    restore_ms: float
    warm_ms: float
    publish_ms: float
    restores: int
    clones: list[dict[str, Any]]


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "--json", metavar="FILE", type=Path, dest="json_file", help="write the figures there too"
    )
    parser.add_argument("--state", metavar="DIR", type=Path, help="keep images and snapshots there")
    parser.add_argument(
        "--restores", metavar="N", type=int, default=5, help="restores to take the median of"
    )
    parser.add_argument(
        "--function", metavar="DIR", type=Path, help="another function than the example"
    )


def run(arguments: argparse.Namespace, terminal: Terminal) -> int:
    """Image, daemon, function, figures, table; nothing is left running."""
    state = arguments.state or default_state()
    state.mkdir(parents=True, exist_ok=True)
    code = arguments.function or _example()
    ensure_image(state / "images", terminal)
    with tempfile.TemporaryDirectory(prefix="thaw-demo-") as runtime:
        with own_daemon(state, Path(runtime), terminal) as client:
            result = _measure(client, code, max(1, arguments.restores), terminal)
        ours = {"thawd.toml", "thawd.log"}
        left = sorted(
            path.name
            for path in Path(runtime).rglob("*")
            if not path.is_dir() and path.name not in ours
        )
        if left:
            raise EngineError(f"the daemon left {', '.join(left)} in its runtime directory")
    if arguments.json_file:
        arguments.json_file.write_text(json.dumps(asdict(result), indent=2) + "\n")
    _show(result, terminal)
    return Exit.OK


def _example() -> Path:
    """The usual language's example function."""
    path = runtimes.default().directory / "examples" / "hello"
    if path.is_dir():
        return path
    raise ThawError(
        "the example function is not installed", hint="Name a function: thaw demo --function DIR"
    )


def _measure(client: Client, code: Path, restores: int, terminal: Terminal) -> Result:
    if any(f["FunctionName"] == _FUNCTION for f in client.list_functions()):
        client.delete_function(_FUNCTION)
    client.create_function(
        {
            "FunctionName": _FUNCTION,
            "Runtime": runtimes.default().id,
            "Handler": "app.handler",
            "Role": "arn:aws:iam::000000000000:role/thaw-demo",
            "Code": {"ZipFile": base64.b64encode(bundle(code)).decode()},
            "MemorySize": 256,
            "Timeout": 60,
            "SnapStart": {"ApplyOn": "PublishedVersions"},
        }
    )
    until_settled(client, terminal, _FUNCTION, None, "creating the function")
    # The base snapshot is made once an image; publishing is measured without it.
    base = _starts(client, terminal, "starting from the base snapshot", None, how="base", count=2)[
        1:
    ]
    began = time.monotonic()
    version = client.publish_version(_FUNCTION)["Version"]
    published = until_settled(
        client, terminal, _FUNCTION, version, "publishing: init, hooks, snapshot"
    )
    publish_ms = (time.monotonic() - began) * 1e3
    if published["State"] != "Active":
        raise ThawError(f"publishing failed: {published.get('StateReason')}")
    cold = _starts(client, terminal, "cold boot, for comparison", version, how="cold", count=1)
    restored = _starts(client, terminal, "restoring", version, how="restore", count=restores)
    client.invoke(_FUNCTION, version, _EVENT)
    warm = [_timed_invoke(client, version) for _ in range(30)][5:]
    health = client.health()

    def p50(starts: list[dict[str, Any]]) -> float:
        return round(float(statistics.median(start["first_response_ms"] for start in starts)), 1)

    said = [json.loads(start["answers"][0]["payload"]) for start in (restored * 2)[:2]]
    return Result(
        engine=str(health.get("engine", "")),
        cold_ms=p50(cold),
        base_ms=p50(base),
        restore_ms=p50(restored),
        warm_ms=round(statistics.median(warm), 2),
        publish_ms=round(publish_ms, 1),
        restores=restores,
        clones=[{name: answer.get(name) for name in _SAID} for answer in said],
    )


def _starts(
    client: Client,
    terminal: Terminal,
    title: str,
    qualifier: str | None,
    *,
    how: str,
    count: int,
) -> list[dict[str, Any]]:
    """Start environments one after the other; each answers the event once and is discarded."""
    starts = []
    with terminal.progress(title) as progress:
        for number in range(count):
            progress.update(f"{number + 1} of {count}")
            start = client.start(_FUNCTION, qualifier, how, [_EVENT.decode()])
            (answer,) = start["answers"]
            if answer["error_type"]:
                raise ThawError(f"the function failed: {answer['payload']}")
            starts.append(start)
    return starts


def _timed_invoke(client: Client, version: str) -> float:
    began = time.perf_counter()
    answer = client.invoke(_FUNCTION, version, _EVENT)
    if answer.function_error:
        raise ThawError(f"the function failed: {answer.payload.decode(errors='replace')}")
    return (time.perf_counter() - began) * 1e3


def _show(result: Result, terminal: Terminal) -> None:
    def times(ms: float) -> str:
        return f"{result.cold_ms / ms:.1f}x" if ms else ""

    terminal.line()
    terminal.line(f"How long until the first response, on {result.engine}")
    terminal.table(
        ("", "p50 ms", "faster than cold", "what happens"),
        [
            (
                "cold boot",
                f"{result.cold_ms:.1f}",
                "",
                "kernel boots, Python starts, the function initialises",
            ),
            (
                "base snapshot",
                f"{result.base_ms:.1f}",
                times(result.base_ms),
                "booted guest restored, the function initialises",
            ),
            (
                "restore",
                f"{result.restore_ms:.1f}",
                times(result.restore_ms),
                "initialised function restored, made unique, hooks run",
            ),
            (
                "warm invoke",
                f"{result.warm_ms:.2f}",
                times(result.warm_ms),
                "the same machine again, through the Unix socket",
            ),
        ],
    )
    terminal.line(f"Publishing (init, hooks, snapshot) took {result.publish_ms:.0f} ms, once.")
    terminal.line()
    terminal.line("What two clones of one snapshot say")
    first, second = result.clones
    words = {
        "uuid4": "uuid.uuid4()",
        "random": "random.random()",
        "time": "time.time()",
        "hostname": "hostname",
    }
    terminal.table(
        ("", "clone 1", "clone 2", ""),
        [
            (
                words[name],
                str(first[name]),
                str(second[name]),
                "differ" if first[name] != second[name] else "THE SAME",
            )
            for name in _SAID
        ],
    )
