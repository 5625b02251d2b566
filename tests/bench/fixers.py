"""What making a process unique again costs, by fixer: warm on this machine's Python, and for the first time in a clone.

The first thaw in a clone copies every page that it writes to, on an emulated processor or a real one.
"""

from __future__ import annotations

import importlib.util
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from live import create, publish
from test_fixers_clones import LIBRARIES, vendor

if TYPE_CHECKING:
    from thawd.cli.client import Client

BAR_US = 1000
"""What all fixers together may take, warm."""
FUNCTION = Path(__file__).parent / "functions" / "imports"
STANDARD = ("random", "ssl", "uuid", "tempfile", "email.generator", "sqlite3", "multiprocessing")
FOREIGN = (
    "botocore.session",
    "numpy.random",
    "cryptography.fernet",
    "uuid_utils",
    "faker",
    "Crypto.Random",
    "bson",
    "nats.nuid",
    "celery",
    "kombu.common",
    "sentry_sdk",
)
"""botocore is in the guest image; the others are put beside the function."""


def warm() -> dict[str, float]:
    """Median microseconds by fixer, and `total`, with those modules that are installed here."""
    found = [name for name in FOREIGN if importlib.util.find_spec(name.partition(".")[0])]
    command = [sys.executable, "-m", "thaw_runtime.cost", *STANDARD, *found]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return json.loads(done.stdout)


def in_clones(client: Client, clones: int) -> dict[str, float]:
    """Median microseconds by fixer, and `total`, of the first thaw in clones of one snapshot."""
    modules = [*STANDARD, FOREIGN[0]]
    with tempfile.TemporaryDirectory(prefix="thaw-bench-") as folder:
        code = shutil.copytree(FUNCTION, Path(folder) / "code")
        try:
            shutil.copytree(vendor(*LIBRARIES.values()), code, dirs_exist_ok=True)
            modules += FOREIGN[1:]
        except pytest.skip.Exception as reason:
            print(f"in clones: the standard library and botocore alone, {reason}", file=sys.stderr)
        variables = {"MODULES": " ".join(modules)}
        create(client, "imports", code, environment=variables, MemorySize=512)
    published = publish(client, "imports")
    assert published["State"] == "Active", published
    times: dict[str, list[float]] = {}
    for _ in range(clones):
        start = client.start("imports", "1", "restore", ["{}"])["start"]
        for fixer in start["report"]["fixers"]:
            if fixer["result"] == "ok":
                times.setdefault(fixer["name"], []).append(fixer["us"])
        times.setdefault("total", []).append(start["steps_us"]["thaw_runtime"])
    return {name: statistics.median(values) for name, values in times.items()}
