"""A package of 185 MB published, against what its steps take by hand: `unzip`, `mkfs.erofs` and its own init, in one run."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sysconfig
import tempfile
import zipfile
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

from live import create, publish

from thawd.cli.packing import sent

if TYPE_CHECKING:
    from collections.abc import Iterator

    from thawd.cli.client import Client

SIZE = 185_000_000
"""Bytes unzipped: what aws-samples/bedrock-chat's backend is."""
NOISE = 60_000_000
"""Of them, those that hardly compress: models, libraries, pictures."""
BAR = 1.5
NAME = "large"
HANDLER = """\
import hashlib, pathlib

here = pathlib.Path(__file__).parent
compiled = 0
for path in sorted(here.glob("lib0/*.py")):
    if compiled < 1_000_000:
        compile(path.read_bytes(), str(path), "exec", dont_inherit=True)
        compiled += path.stat().st_size
MODEL = hashlib.sha256((here / "model.bin").read_bytes()).hexdigest()


def handler(event, context):
    return MODEL
"""


def measure(client: Client) -> dict[str, float]:
    """Seconds of each step, and `ratio`: all of ours to all by hand."""
    with tempfile.TemporaryDirectory(prefix="thaw-bench-large-") as folder:
        package = Path(folder) / "large.zip"
        _make(package)
        by_hand = _by_hand(package, Path(folder))
        began = perf_counter()
        create(client, NAME, b"", Code=sent(client, package), MemorySize=512)
        created = perf_counter()
        version = publish(client, NAME)
        published = perf_counter()
        assert version["State"] == "Active", version
        by_hand["init"] = _init_s(client, version["Version"])
    client.delete_function(NAME)
    ours = {"create": created - began, "publish": published - created}
    return {
        **{f"{step}, by hand": took_s for step, took_s in by_hand.items()},
        **ours,
        "ratio": sum(ours.values()) / sum(by_hand.values()),
    }


def _make(package: Path) -> None:
    """Sources as packages have them, and what does not compress."""
    with zipfile.ZipFile(package, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("app.py", HANDLER)
        archive.writestr("model.bin", os.urandom(NOISE))
        left = SIZE - NOISE
        for name, path in _sources():
            if left <= 0:
                break
            data = path.read_bytes()
            archive.writestr(name, data)
            left -= len(data)


def _sources() -> Iterator[tuple[str, Path]]:
    """This Python's own library, again and again under other names."""
    library = Path(sysconfig.get_path("stdlib"))
    found = [
        path
        for path in sorted(library.rglob("*.py"))
        if not {"site-packages", "dist-packages"} & set(path.parts)
    ]
    copy = 0
    while True:
        for path in found:
            yield f"lib{copy}/{path.relative_to(library).as_posix()}", path
        copy += 1


def _by_hand(package: Path, folder: Path) -> dict[str, float]:
    tree, disk = folder / "tree", folder / "disk"
    unzip = shutil.which("unzip")
    began = perf_counter()
    if unzip:
        subprocess.run([unzip, "-q", package, "-d", tree], check=True)
    else:
        with zipfile.ZipFile(package) as archive:
            archive.extractall(tree)
    unzipped = perf_counter()
    subprocess.run(
        ["mkfs.erofs", "-x-1", "--all-root", "-T0", disk, tree], check=True, capture_output=True
    )
    made = perf_counter()
    shutil.rmtree(tree)
    return {"unzip": unzipped - began, "mkfs.erofs": made - unzipped}


def _init_s(client: Client, version: str) -> float:
    """What the init itself took, by the version's own INIT_REPORT."""
    said = "\n".join(entry["message"] for entry in client.logs(NAME, version=version, lines=1000))
    found = re.search(r"INIT_REPORT Init Duration: ([\d.]+) ms", said)
    assert found is not None, said
    return float(found[1]) / 1e3


def show(result: dict[str, float]) -> None:
    """The table's last row: a package of 185 MB."""
    print("\na package of 185 MB")
    for step, took_s in result.items():
        if step != "ratio":
            print(f"{step:24} {took_s:8.1f} s")
    print(
        f"create and publish, to unzip, mkfs.erofs and init by hand: {result['ratio']:.2f} of {BAR}"
    )
