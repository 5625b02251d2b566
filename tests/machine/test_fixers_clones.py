"""Real clones, all sources: nothing that the fixers claim occurs in two of eight; without fixers everything does.

The sources are those of tests/libraries, here in machines whose kernel is cloned as well.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from live import FUNCTIONS, create, publish

if TYPE_CHECKING:
    from live import Daemon

ROOT = Path(__file__).parents[2]
VENDOR = ROOT / ".cache" / "vendor"
CLONES = 8
AT_ONCE = 3

STANDARD = ("stdlib", "mailbox", "wipe_on_fork")
LIBRARIES = {
    "numpy": "numpy",
    "cryptography": "cryptography",
    "uuid_utils": "uuid_utils",
    "faker": "faker",
    "crypto": "pycryptodome",
    "bson": "pymongo",
    "nats": "nats-py",
    "celery": "celery",
    "sentry_sdk": "sentry-sdk",
}

KERNEL = {
    "os.urandom", "secrets", "uuid4", "SystemRandom", "Fernet key", "get_random_bytes", "ECC key",
    "task id", "kombu's uuid", "event id",
}  # fmt: skip
"""Sources that ask the kernel at every call: the agent has reseeded it, with fixers or without."""


def function(folder: Path, modules: tuple[str, ...], *, vendored: Path | None = None) -> Path:
    """A code bundle with these sources."""
    shutil.copytree(FUNCTIONS / "sources", folder)
    for module in modules:
        shutil.copy(ROOT / "tests" / "libraries" / f"sources_{module}.py", folder)
    if vendored is not None:
        shutil.copytree(vendored, folder, dirs_exist_ok=True)
    return folder


def vendor(*packages: str) -> Path:
    """The packages as pip installs them for the guest's interpreter; kept in .cache. Skips without a package index."""
    target = VENDOR / "-".join(packages)
    if not target.is_dir():
        fresh = target.with_suffix(".new")
        shutil.rmtree(fresh, ignore_errors=True)
        command = [
            sys.executable, "-m", "pip", "install", "--quiet", "--target", str(fresh), "--only-binary=:all:",
            "--python-version", "3.13", "--implementation", "cp", "--abi", "cp313", "--abi", "abi3", "--abi", "none",
            "--platform", "manylinux_2_28_x86_64", "--platform", "manylinux2014_x86_64", *packages,
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            pytest.skip(f"no wheels for the guest: {done.stderr.strip()[-300:]}")
        fresh.rename(target)
    return target


def clones_of(daemon: Daemon, name: str) -> list[dict[str, list[str]]]:
    """What eight restores of version 1 answer."""

    def one(_: int) -> dict[str, list[str]]:
        with daemon.client() as client:
            trial = client.start(name, "1", "restore", ["{}"])
            (answer,) = trial["answers"]
            assert answer["error_type"] is None, answer
            return json.loads(answer["payload"])

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(one, range(CLONES)))


def shared(clones: list[dict[str, list[str]]], name: str) -> set[str]:
    """Values of one source that two clones both gave."""
    seen: set[str] = set()
    twice: set[str] = set()
    for said in clones:
        twice |= set(said[name]) & seen
        seen |= set(said[name])
    return twice


def check(daemon: Daemon, name: str, folder: Path, modules: tuple[str, ...]) -> None:
    """Publish with and without fixers, restore eight of each, compare."""
    with daemon.client() as client:
        for kind, skip in (("on", ""), ("off", "*")):
            variables = {"SOURCES": " ".join(modules), "THAW_SKIP_FIXERS": skip}
            create(client, f"{name}-{kind}", folder, environment=variables, MemorySize=512)
            published = publish(client, f"{name}-{kind}")
            assert published["State"] == "Active", published.get("StateReason")
    renewed, left = clones_of(daemon, f"{name}-on"), clones_of(daemon, f"{name}-off")

    kept = {source for source in renewed[0] if ": kept: " in source}
    assert {s for s in renewed[0] if shared(renewed, s)} == kept
    assert all(said[source] == renewed[0][source] for said in renewed for source in kept)
    unique = {source for source in left[0] if not shared(left, source)}
    assert unique == {source for source in left[0] if source.partition(": ")[2] in KERNEL}


def test_the_standard_library_shares_nothing(daemon: Daemon, tmp_path: Path) -> None:
    """Eight clones, every source of the standard library; the same with fixers off finds them all."""
    check(daemon, "sources", function(tmp_path / "code", STANDARD), STANDARD)


def test_libraries_share_nothing(daemon: Daemon, tmp_path: Path) -> None:
    """The same for compiled libraries with generators of their own, in one function."""
    modules = tuple(LIBRARIES)
    folder = function(tmp_path / "code", modules, vendored=vendor(*LIBRARIES.values()))
    check(daemon, "libraries", folder, modules)


def test_other_threads_share_nothing(daemon: Daemon, tmp_path: Path) -> None:
    """The same in a thread that waits in C for its work, as a web framework's pool does: the snapshot holds it."""
    folder = function(
        tmp_path / "code", ("threads",), vendored=vendor("uuid_utils", "cryptography")
    )
    check(daemon, "threads", folder, ("threads",))


def test_child_processes_share_nothing(daemon: Daemon, tmp_path: Path) -> None:
    """A program and a fork that live in the snapshot, with hooks of their own."""
    check(daemon, "children", function(tmp_path / "code", ("children",)), ("children",))


@pytest.mark.long
def test_a_tracer_shares_nothing(daemon: Daemon, tmp_path: Path) -> None:
    """ddtrace, whose threads run from its import on."""
    folder = function(tmp_path / "code", ("ddtrace", "threads"), vendored=vendor("ddtrace"))
    check(daemon, "tracer", folder, ("ddtrace", "threads"))
