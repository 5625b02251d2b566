"""Installing thawd as a user does, away from the source tree."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from attrs import frozen

ROOT = Path(__file__).parents[2]


def run(*command: str | Path, **options: object) -> str:
    """Both outputs of a command that must succeed."""
    done = subprocess.run(
        list(map(str, command)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        stdin=subprocess.DEVNULL,
        text=True,
        check=False,
        **options,
    )
    said = done.stdout[-5000:]
    assert done.returncode == 0, f"{command[0]} ended with {done.returncode}:\n{said}"
    return done.stdout


def pip(*arguments: str | Path) -> str:
    """This environment's pip, which can work on another one."""
    return run(sys.executable, "-m", "pip", "--disable-pip-version-check", *arguments)


@frozen
class Installed:
    """A fresh environment with the wheel in it, and an empty folder to work in, away from the source tree."""

    prefix: Path
    work: Path

    def call(self, program: str, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run one of its programs, as a user would who has no source tree."""
        hidden = {"PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "THAWD_CONFIG", "THAW_SOCKET"}
        environment = {name: value for name, value in os.environ.items() if name not in hidden}
        return subprocess.run(
            [str(self.prefix / "bin" / program), *map(str, arguments)],
            cwd=self.work,
            env={**environment, "HOME": str(self.work)},
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )


def environment(prefix: Path, *wanted: str | Path) -> None:
    """A fresh virtual environment with these in it, installed by our own pip."""
    run(sys.executable, "-m", "venv", "--without-pip", prefix)
    pip("--python", prefix / "bin/python", "install", "--quiet", *wanted)
