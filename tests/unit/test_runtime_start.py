"""Who takes the control descriptor: the runtime, and no wrapper in Python that only starts it."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from thaw_runtime.start import DESCRIPTOR, RUNTIME

PROGRAM = f"import thaw_runtime.start, os; print(os.environ.get({DESCRIPTOR!r}))"


@pytest.mark.parametrize(
    ("arguments", "left"),
    [
        (["/var/lang/bin/python3.13", RUNTIME], True),
        (["/var/lang/bin/python3.13", "-X", "importtime", RUNTIME], True),
        ([], False),
    ],
)
def test_a_wrapper_leaves_it_to_the_runtime(arguments, left):
    read, write = os.pipe()
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        env={**os.environ, DESCRIPTOR: str(read), "PYTHONPATH": os.pathsep.join(sys.path)},
        pass_fds=[read],
        capture_output=True,
        text=True,
        check=True,
    )
    os.close(read)
    os.close(write)

    assert done.stdout.strip() == (str(read) if left else "None")
