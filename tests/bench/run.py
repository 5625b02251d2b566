"""`./dev bench`: what starts, invocations and fixers cost, side by side in one run; JSON and a plot.

Every round does each kind once, so that a machine whose speed drifts drifts for all of them; ratios are taken within a
round. Absolute times say something about this machine only.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from pathlib import Path
from time import perf_counter

import trio

sys.path.insert(0, str(Path(__file__).parents[1] / "machine"))

import fixers
from live import Daemon, create, publish

from thawd.images.store import ImageStore

ROOT = Path(__file__).parents[2]
EVENT = json.dumps({"order": ["tea", "cake"]})
KINDS = ("cold", "base", "restore")
WARM = 40
PINGS = 200


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--restores", type=int, default=5, help="restores in each round")
    parser.add_argument("--output", type=Path, default=ROOT / "bench-results")
    parser.add_argument("--engine", default="auto")
    arguments = parser.parse_args()
    images = ROOT / ".cache/state/images"
    trio.run(lambda: ImageStore(images).ensure("python3.13"))
    with tempfile.TemporaryDirectory(prefix="thaw-bench-") as folder:
        settings = f'engine = "{arguments.engine}"\n[pool]\nready = 0\n'
        daemon = Daemon(Path(folder) / "state", Path(folder) / "run", images, settings).start()
        try:
            result = measure(daemon, arguments.rounds, arguments.restores)
            with daemon.client() as client:
                result["fixers_us"] = {
                    "warm": fixers.warm(),
                    "first in a clone": fixers.in_clones(client, arguments.restores),
                }
        finally:
            daemon.stop()
    arguments.output.mkdir(exist_ok=True)
    (arguments.output / "starts.json").write_text(json.dumps(result, indent=1) + "\n")
    plot(result, arguments.output / "starts.png")
    show(result)


def measure(daemon: Daemon, rounds: int, restores: int) -> dict[str, object]:
    samples: dict[str, list[float]] = {kind: [] for kind in (*KINDS, "warm", "ping")}
    ratios: dict[str, list[float]] = {}
    steps: list[dict[str, object]] = []
    private: list[int] = []
    with daemon.client() as client:
        create(client, "hello", ROOT / "runtimes/python/examples/hello", Timeout=60)
        client.start(
            "hello", None, "base", [EVENT]
        )  # makes the base snapshot, which is no part of a start
        began = perf_counter()
        published = publish(client, "hello")
        publish_ms = (perf_counter() - began) * 1e3
        assert published["State"] == "Active", published
        for number in range(rounds):
            print(f"round {number + 1} of {rounds}", file=sys.stderr)
            this: dict[str, float] = {}
            for kind in KINDS:
                times = []
                for _ in range(restores if kind == "restore" else 1):
                    pings = PINGS if kind == "restore" else 0
                    trial = client.start("hello", "1", kind, [EVENT], pings=pings)
                    times.append(trial["first_response_ms"])
                    samples["ping"] += trial["pings_ms"]
                    if kind == "restore":
                        steps.append(
                            {
                                "engine_ms": trial["start"]["engine_ms"],
                                "steps_us": trial["start"]["steps_us"],
                            }
                        )
                        private.append(trial["private_bytes"])
                samples[kind] += times
                this[kind] = statistics.median(times)
            warm = []
            for _ in range(WARM):
                began = perf_counter()
                client.invoke("hello", "1", EVENT.encode())
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
        engine = client.health()["engine_identity"]
    return {
        "engine": engine,
        "publish_ms": publish_ms,
        "p50_ms": {kind: statistics.median(values) for kind, values in samples.items()},
        "ratios": {name: statistics.median(values) for name, values in ratios.items()},
        "private_mib": statistics.median(private) / (1 << 20),
        "samples_ms": samples,
        "restore_steps": steps,
    }


def show(result: dict) -> None:
    print(f"engine: {result['engine']}")
    for kind, value in result["p50_ms"].items():
        print(f"{kind:8} p50 {value:10.2f} ms")
    for name, value in result["ratios"].items():
        print(f"{name:14} {value:8.1f}x")
    print(
        f"publish  {result['publish_ms']:.0f} ms; private memory of a paused clone {result['private_mib']:.1f} MiB"
    )
    warm, clone = result["fixers_us"].values()
    print(f"\n{'fixer':16} {'warm us':>10} {'first in a clone us':>20}")
    for name in sorted(clone | warm, key=lambda name: (name == "total", name)):
        print(f"{name:16} {_whole(warm.get(name)):>10} {_whole(clone.get(name)):>20}")
    print(f"warm, all of them: {warm['total'] / fixers.BAR_US:.0%} of {fixers.BAR_US} us")


def _whole(number: float | None) -> str:
    return "-" if number is None else f"{number:.0f}"


def plot(result: dict, target: Path) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    kinds = list(result["p50_ms"])
    figure, (axes, below) = plt.subplots(2, figsize=(7, 8), height_ratios=(3, 5))
    axes.boxplot(
        [result["samples_ms"][kind] for kind in kinds], orientation="horizontal", showfliers=False
    )
    axes.set_yticks(range(1, len(kinds) + 1), kinds)
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
