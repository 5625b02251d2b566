"""The engine on QEMU 10, on hosts whose own is older: what changes between versions is met here, not at a user's."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
SUITE = [HERE / "test_engine_conformance.py", HERE / "test_qemu.py"]
_spec = importlib.util.spec_from_file_location("nested_build", HERE / "nested" / "build.py")
build = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(build)


def test_the_conformance_suite_passes_on_qemu_10_by_emulation(images):
    try:
        directory = build.qemu_10()
    except build.MissingError as error:
        pytest.skip(str(error))
    if directory == Path(shutil.which("qemu-system-x86_64") or "").parent:
        pytest.skip("the host's own QEMU is 10 or newer: the suite itself has run on it")
    environment = os.environ | {"THAWD_TEST_QEMU": str(directory), "THAWD_TEST_ENGINES": "qemu-tcg"}
    suite = [sys.executable, "-m", "pytest", "-q", *map(str, SUITE)]
    result = subprocess.run(
        suite,
        env=environment,
        cwd=HERE.parents[1],
        capture_output=True,
        text=True,
        check=False,
        timeout=800,
    )

    assert result.returncode == 0, result.stdout[-6000:] + result.stderr[-2000:]
    assert "skipped" not in result.stdout
