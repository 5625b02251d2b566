"""The cost of the fixers after a restore: microseconds by fixer, warm, in this very interpreter.

    python -m thaw_runtime.cost [--repeat N] [MODULE ...]

imports the modules, as a function would, and prints JSON: the median of N thaws by fixer, and their sum. A first
thaw in a clone costs more, since every page it writes to is copied first (3 to 4 ms for everything together where
the warm sum is 0.4 ms): those pages belong into the restore's prefetch list.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from statistics import median
from time import perf_counter_ns
from typing import TYPE_CHECKING

from thaw_runtime.draw import Draw
from thaw_runtime.registry import Registry

if TYPE_CHECKING:
    from collections.abc import Sequence


def measure(modules: Sequence[str], *, repeat: int = 50) -> dict[str, float]:
    """Median microseconds by fixer for a process that has imported these modules, and `total` for all of thaw().

    Installs the taps in the calling process; meant for a process of its own. Raises `ImportError` for a module that
    is not there, and `ThawFailed` as `Registry.freeze` does.
    """
    registry = Registry()
    registry.start()
    for module in modules:
        __import__(module)
    registry.freeze()
    by_fixer: dict[str, list[int]] = {}
    totals: list[float] = []
    for _ in range(repeat):
        draw = Draw(os.urandom(64))
        began = perf_counter_ns()
        registry.thaw(draw)
        totals.append((perf_counter_ns() - began) / 1000)
        for entry in registry.report():
            if entry["result"] == "ok":
                by_fixer.setdefault(entry["name"], []).append(entry["us"])
    return {name: median(times) for name, times in by_fixer.items()} | {"total": median(totals)}


def main() -> None:
    """See the module."""
    parser = argparse.ArgumentParser(prog="python -m thaw_runtime.cost")
    parser.add_argument("modules", nargs="*", default=["random", "ssl", "uuid"], metavar="MODULE")
    parser.add_argument("--repeat", type=int, default=50, metavar="N")
    options = parser.parse_args()
    json.dump(measure(options.modules, repeat=options.repeat), sys.stdout, indent=2)
    print()  # noqa: T201 - a command's output


if __name__ == "__main__":
    main()
