"""`./dev bench`: what starts, invocations and fixers cost, side by side in one run; JSON and a plot.

Every round does each kind once, so that a machine whose speed drifts drifts for all of them; ratios are taken within a
round. Absolute times say something about this machine only. On an emulated processor the blocks of code that it had to
translate until the first response are counted as well: they hardly depend on what else the machine does.

The functions are those of `runtimes/*/bench/*.toml` (`cases.py`).
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

import trio

sys.path.insert(0, str(Path(__file__).parents[1] / "machine"))
sys.path.insert(0, str(Path(__file__).parents[1] / "dotnet"))
sys.path.insert(0, str(Path(__file__).parents[2] / "runtimes/dotnet"))

import cases
import dotnet_bed
import fixers
import publishing
from live import Daemon, create, publish

from thawd.images.store import ImageStore

if TYPE_CHECKING:
    from thawd.cli.client import Client

ROOT = Path(__file__).parents[2]
KINDS = ("cold", "base", "restore")
WARM = 40
PINGS = 200
BASELINE = "python-hello"
"""Whose warm call, with AWS's own client, those of other languages are compared with."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--restores", type=int, default=5, help="restores in each round")
    parser.add_argument("--output", type=Path, default=ROOT / "bench-results")
    parser.add_argument("--engine", default="auto")
    parser.add_argument("--case", action="append", help="measure this one only; may be repeated")
    arguments = parser.parse_args()
    chosen = [case for case in cases.find() if not arguments.case or case.name in arguments.case]
    if not chosen:
        parser.error(f"there is no case {arguments.case}")
    code = {case.name: built(case) for case in chosen}
    chosen = [case for case in chosen if code[case.name] is not None]
    images = ROOT / ".cache/state/images"
    # python3.13 is the fixers' runtime.
    for runtime in {"python3.13", *(case.runtime for case in chosen)}:
        trio.run(ImageStore(images).ensure, runtime)
    with tempfile.TemporaryDirectory(prefix="thaw-bench-") as folder:
        # A start in advance would run beside the one that is measured.
        settings = f'engine = "{arguments.engine}"\n[pool]\nready = 0\n'
        daemon = Daemon(Path(folder) / "state", Path(folder) / "run", images, settings).start()
        try:
            with daemon.client() as client:
                result = {
                    "engine": client.health()["engine_identity"],
                    "cases": {
                        case.name: measure(
                            client, case, code[case.name], arguments.rounds, arguments.restores
                        )
                        | {"publish_steps_us": steps(daemon, case)}
                        for case in chosen
                    },
                    "fixers_us": {
                        "warm": fixers.warm(),
                        "first in a clone": fixers.in_clones(client, arguments.restores),
                    },
                    "large_package_s": publishing.measure(client),
                }
        finally:
            daemon.stop()
    arguments.output.mkdir(exist_ok=True)
    (arguments.output / "starts.json").write_text(json.dumps(result, indent=1) + "\n")
    plot(result, arguments.output / "starts.png")
    show(result)


def built(case: cases.Case) -> Path | None:
    """The folder of a case's function: where `code` is a .NET project, what the SDK makes of it. None without an SDK."""
    if not any(case.code.glob("*.*proj")):
        return case.code
    if dotnet_bed.sdk() is None:
        print(f"{case.name}: not measured, there is no .NET 10 SDK", file=sys.stderr)
        return None
    return dotnet_bed.published(case.code)


def steps(daemon: Daemon, case: cases.Case) -> dict[str, int]:
    """What the guest did to bring the published function to a standstill, in microseconds."""
    manifest = daemon.state / "snapshots/functions" / case.name / "1" / "manifest.json"
    return json.loads(manifest.read_bytes())["about"]["steps_us"]


def measure(
    client: Client, case: cases.Case, code: Path, rounds: int, restores: int
) -> dict[str, object]:
    samples: dict[str, list[float]] = {kind: [] for kind in (*KINDS, "warm", "ping")}
    ratios: dict[str, list[float]] = {}
    starts: dict[str, list[dict[str, object]]] = {kind: [] for kind in KINDS}
    create(
        client,
        case.name,
        code,
        Runtime=case.runtime,
        Handler=case.handler,
        MemorySize=case.memory_mib,
        Timeout=60,
    )
    # Makes the base snapshot, which is no part of a start.
    client.start(case.name, None, "base", [case.event])
    began = perf_counter()
    published = publish(client, case.name)
    publish_ms = (perf_counter() - began) * 1e3
    assert published["State"] == "Active", published
    for number in range(rounds):
        print(f"{case.name}: round {number + 1} of {rounds}", file=sys.stderr)
        this: dict[str, float] = {}
        for kind in KINDS:
            times = []
            for _ in range(restores if kind == "restore" else 1):
                pings = PINGS if kind == "restore" else 0
                trial = client.start(case.name, "1", kind, [case.event], pings=pings)
                times.append(trial["first_response_ms"])
                samples["ping"] += trial["pings_ms"]
                starts[kind].append(trial)
            samples[kind] += times
            this[kind] = statistics.median(times)
        warm = []
        for _ in range(WARM):
            began = perf_counter()
            client.invoke(case.name, "1", case.event.encode())
            warm.append((perf_counter() - began) * 1e3)
        samples["warm"] += warm[5:]
        this["warm"] = statistics.median(warm[5:])
        this["ping"] = statistics.median(samples["ping"][-PINGS:])
        for above, below in (
            ("cold", "restore"),
            ("cold", "base"),
            ("base", "restore"),
            ("warm", "ping"),
        ):
            ratios.setdefault(f"{above}/{below}", []).append(this[above] / this[below])
    private = [start["private_bytes"] for start in starts["restore"]]
    return {
        "runtime": case.runtime,
        "publish_ms": publish_ms,
        "p50_ms": {kind: statistics.median(values) for kind, values in samples.items()},
        "ratios": {name: statistics.median(values) for name, values in ratios.items()},
        "private_mib": statistics.median(private) / (1 << 20),
        "blocks": {kind: blocks(trials) for kind, trials in starts.items()},
        "samples_ms": samples,
        "restore_steps": [
            {name: start["start"][name] for name in ("engine_ms", "steps_us")}
            for start in starts["restore"]
        ],
    }


def blocks(trials: list[dict[str, Any]]) -> dict[str, Any] | None:
    """Blocks translated until the environment was up and until its first response, and how many trials lost count.

    None on a real processor. A trial lost count when the emulator threw its translations away meanwhile.
    """
    counted = [trial for trial in trials if trial["translated"] is not None]
    if not counted:
        return None
    kept = [
        trial
        for trial in counted
        if not trial["translated_up"]["flushed"] and not trial["translated"]["flushed"]
    ]
    up = [trial["translated_up"]["blocks"] for trial in kept]
    response = [trial["translated"]["blocks"] for trial in kept]
    return {
        "up": statistics.median(up) if kept else None,
        "first_response": statistics.median(response) if kept else None,
        "samples": response,
        "lost_count": len(counted) - len(kept),
    }


def show(result: dict) -> None:
    print(f"engine: {result['engine']}")
    for name, case in result["cases"].items():
        print(f"\n{name} ({case['runtime']})")
        print(f"{'':14} {'p50 ms':>10} {'blocks: up':>12} {'first response':>15}")
        for kind, value in case["p50_ms"].items():
            counted = case["blocks"].get(kind)
            up, response = (counted["up"], counted["first_response"]) if counted else (None, None)
            print(f"{kind:14} {value:10.2f} {_whole(up):>12} {_whole(response):>15}")
            if counted and counted["lost_count"]:
                print(f"{'':14} {counted['lost_count']} not counted: translations were thrown away")
        for ratio, value in case["ratios"].items():
            print(f"{ratio:14} {value:10.1f}x")
        print(
            f"publish {case['publish_ms']:.0f} ms; private memory of a paused clone {case['private_mib']:.1f} MiB"
        )
        for step, us in case["publish_steps_us"].items():
            print(f"{step:14} {us / 1e3:10.1f} ms of it: {us / 1e3 / case['publish_ms']:.1%}")
    warm = {name: case["p50_ms"]["warm"] for name, case in result["cases"].items()}
    if BASELINE in warm:
        for name in warm.keys() - {BASELINE}:
            print(f"a warm call of {name} / {BASELINE}: {warm[name] / warm[BASELINE]:.2f}x")
    warm, clone = result["fixers_us"].values()
    print(f"\n{'fixer':16} {'warm us':>10} {'first in a clone us':>20}")
    for name in sorted(clone | warm, key=lambda name: (name == "total", name)):
        print(f"{name:16} {_whole(warm.get(name)):>10} {_whole(clone.get(name)):>20}")
    print(f"warm, all of them: {warm['total'] / fixers.BAR_US:.0%} of {fixers.BAR_US} us")
    publishing.show(result["large_package_s"])


def _whole(number: float | None) -> str:
    return "-" if number is None else f"{number:.0f}"


def plot(result: dict, target: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    rows = [
        (f"{kind}, {name}", times)
        for name, case in result["cases"].items()
        for kind, times in case["samples_ms"].items()
    ]
    figure, (axes, below) = plt.subplots(
        2, figsize=(7, 5.5 + len(rows) / 2), height_ratios=(len(rows) / 2, 5)
    )
    axes.boxplot([times for _, times in rows], orientation="horizontal", showfliers=False)
    axes.set_yticks(range(1, len(rows) + 1), [label for label, _ in rows])
    axes.set_xscale("log")
    axes.set_xlabel("milliseconds to the first response (ping: one frame there and back)")
    axes.set_title(result["engine"], fontsize=8)
    axes.grid(axis="x", alpha=0.3)
    clone = result["fixers_us"]["first in a clone"]
    names = sorted(clone, key=clone.__getitem__)
    for offset, (label, times) in zip((-0.2, 0.2), result["fixers_us"].items(), strict=True):
        places = [number + offset for number in range(len(names))]
        below.barh(places, [times.get(name, 0) for name in names], height=0.4, label=label)
    below.axvline(fixers.BAR_US, color="grey", linestyle="--", label="bar for the warm total")
    below.set_yticks(range(len(names)), names)
    below.set_xscale("log")
    below.set_xlabel("microseconds to make a process unique again, by fixer")
    below.legend(fontsize=8)
    below.grid(axis="x", alpha=0.3)
    figure.tight_layout()
    figure.savefig(target, dpi=120)


if __name__ == "__main__":
    main()
