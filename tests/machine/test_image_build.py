"""A real guest image: what is in its files, that two builds make the same, that it comes up."""

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

import pytest
import trio

from thawd import runtimes
from thawd.engines.qemu.command import Platform
from thawd.engines.qemu.engine import QemuEngine
from thawd.images import recipe
from thawd.images.build import build_image
from thawd.images.store import ImageStore
from thawd.snapshots.base import BaseSnapshots
from thawd.snapshots.store import SnapshotStore

RUNTIME = "python3.13"
ABSENT = {
    *("_overlapped", "_winapi", "_wmi", "msvcrt", "nt", "winreg", "winsound"),  # Windows
    *("_ios_support", "_scproxy"),  # Apple
    *("_tkinter", "tkinter", "turtle", "turtledemo", "idlelib"),  # windows on a screen
    *("ensurepip", "pydoc_data", "_gdbm"),  # an installer, texts, packages of their own in Debian
}
"""Standard library modules that are not in the image."""

UNCHECKED = 1
"""A .pyc's flags when it is never compared with its source (PEP 552)."""


@pytest.fixture(scope="module")
def store(images):
    return ImageStore(images)


@pytest.fixture(scope="module")
def image(store):
    return store.find(RUNTIME)


@pytest.fixture(scope="module")
def tree(image, tmp_path_factory):
    """The root file system, checked and unpacked."""
    target = tmp_path_factory.mktemp("image") / "root"
    subprocess.run(
        ["fsck.erofs", f"--extract={target}", "--no-preserve-owner", image.root],
        check=True,
        capture_output=True,
        env={**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin"},
    )
    yield target
    shutil.rmtree(target)


def in_guest_python(tree, program):
    """What a program prints under the image's Python, with the image's libraries and no other."""
    done = subprocess.run(
        [
            tree / "usr/lib64/ld-linux-x86-64.so.2",
            "--inhibit-cache",
            "--library-path",
            tree / "usr/lib/x86_64-linux-gnu",
            tree / "usr/bin/python3.13",
            "-c",
            program,
        ],
        env={"PYTHONHOME": str(tree / "usr"), "PYTHONPATH": str(tree / "var/runtime")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_standard_library_imports_but_for_what_is_meant_to_be_absent(tree, image):
    program = """
import importlib, json, platform, sys
failed = []
for name in sys.stdlib_module_names - {"antigravity", "this"}:
    try:
        importlib.import_module(name)
    except ImportError:
        failed.append(name)
print(json.dumps([platform.python_version(), sorted(failed)]))
"""
    version, failed = json.loads(in_guest_python(tree, program))

    assert version == image.language_version
    assert set(failed) == ABSENT


def test_the_packages_lambda_brings_are_there(tree, image):
    program = """
import awslambdaric.bootstrap, boto3, runtime_client, snapshot_restore_py, ssl, zoneinfo
print(boto3.__version__)
"""

    assert in_guest_python(tree, program).strip() == image.packages["boto3"]
    assert (tree / "etc/ssl/certs/ca-certificates.crt").stat().st_size > 100_000
    assert (tree / "usr/share/zoneinfo/Europe/Berlin").exists()


def test_every_file_of_python_is_compiled_and_never_checked_against_its_source(tree):
    folders = ("usr/lib/thaw", "var/runtime", "usr/lib/python3.13", "usr/lib/python3")
    # A script's byte code is never read.
    script = tree / "var/runtime/bootstrap.py"
    found = [path for folder in folders for path in (tree / folder).rglob("*.py")]
    sources = [path for path in found if path != script]
    assert len(sources) > 500
    for source in sources:
        compiled = source.parent / "__pycache__" / f"{source.stem}.cpython-313.pyc"
        assert compiled.exists(), source
        assert int.from_bytes(compiled.read_bytes()[4:8], "little") == UNCHECKED, source


def test_nothing_tells_where_it_was_built(tree):
    compiled = tree / "usr/lib/thaw/thaw_agent/__pycache__/wire.cpython-313.pyc"
    assert b"/usr/lib/thaw/thaw_agent/wire.py" in compiled.read_bytes()
    for path in tree.rglob("*.pyc"):
        assert b"/.new-" not in path.read_bytes(), path
    assert not (tree / "etc/apt").exists()
    assert (tree / "etc/machine-id").read_bytes() == b""


def test_the_agent_and_the_language_are_todays(tree):
    runtime = runtimes.find(RUNTIME)
    copied = {recipe.package("thaw_agent"): tree / "usr/lib/thaw/thaw_agent"}
    for name, place in runtime.image.copy.items():
        copied[runtime.directory / name] = tree / place
    for source, place in copied.items():
        files = recipe.source_files(source)
        assert files
        for file in files:
            assert file.read_bytes() == (place / file.relative_to(source)).read_bytes()
    assert (tree / "etc/thaw/runtime.json").read_text() == runtime.baked()


def test_the_functions_user_can_read_all_and_write_only_where_all_may(tree):
    for path in tree.rglob("*"):
        if path.is_symlink():
            continue
        mode = path.stat().st_mode
        assert mode & 0o4 or path.parent == tree / "root", path
        assert not mode & 0o2 or path in {tree / "tmp", tree / "var/tmp"}, path


def test_the_kernel_is_the_one_that_is_named(image):
    kernel = image.kernel.read_bytes()

    assert kernel.startswith(b"\x7fELF")
    assert f"Linux version {image.kernel_version} ".encode() in kernel


async def test_the_same_sources_make_the_same_files(images, image):
    wanted = recipe.load(RUNTIME)
    system = images / ".system" / f"{RUNTIME}-{wanted.system_digest[:16]}"
    if image.sources != wanted.digest:
        pytest.skip("sources changed while the tests ran")
    # In the store's own file system, as builds are: they link files.
    with tempfile.TemporaryDirectory(prefix=".test-", dir=images) as directory:
        again = Path(directory)
        await build_image(wanted, system, again, lambda *_: None)
        for path in (image.kernel, image.initrd, image.root):
            assert (again / path.name).read_bytes() == path.read_bytes(), path.name


async def test_it_comes_up_with_the_agent_answering(store, tmp_path):
    with tempfile.TemporaryDirectory(prefix="thaw-test-") as runtime:
        engine = await QemuEngine.find(Platform.TCG, runtime_directory=Path(runtime))
        snapshots = SnapshotStore(tmp_path / "snapshots")
        snapshots.directory.mkdir()
        bases = BaseSnapshots(snapshots, engine, store, tmp_path / "placeholder")
        with trio.fail_after(240):
            snapshot = await bases.ensure(RUNTIME, 256)

    assert snapshot.spec.root == store.find(RUNTIME).root
    assert snapshot.memory.stat().st_size == 256 << 20
