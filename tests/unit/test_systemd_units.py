"""The units: accepted by systemd, confined, and in step with each other."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

UNITS = Path(__file__).parents[2] / "systemd"

EXPOSURE_LIMIT = 10
"""Tenths, as `--threshold` takes it: 1.0 is "OK" on systemd's scale from 0 (safe) to 10. It is 0.8 with systemd 252 and 257."""


def tool(name: str) -> str:
    path = shutil.which(name)
    if path is None:
        pytest.skip(f"{name} is not installed (Debian: systemd)")
    return path


@pytest.fixture
def root(tmp_path):
    """A file system with our units installed as systemd/README.md says, for the tools' --root."""
    units = tmp_path / "etc/systemd/system"
    units.mkdir(parents=True)
    for unit in UNITS.glob("thawd.*"):
        shutil.copy(unit, units)
    for kind in ("sysusers.d", "tmpfiles.d"):
        shutil.copytree(UNITS / kind, tmp_path / "etc" / kind)
    program = tmp_path / "opt/thawd/bin/thaw"
    program.parent.mkdir(parents=True)
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    shipped = Path("/usr/lib/systemd/system")
    if shipped.is_dir():
        shutil.copytree(shipped, tmp_path / "usr/lib/systemd/system", symlinks=True)
    return tmp_path


def run(*command: str | Path) -> str:
    """Both outputs of a command that must succeed."""
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env={"PATH": "/usr/bin:/bin"}
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.mark.parametrize("unit", ["thawd.service", "thawd.socket"])
def test_systemd_accepts_the_unit_without_a_word(root, unit):
    """A misspelt directive is only a warning to systemd, so any output about our units fails."""
    said = run(tool("systemd-analyze"), "verify", f"--root={root}", "--man=no", unit)

    assert [line for line in said.splitlines() if "thawd" in line] == []


def test_verify_would_notice_a_misspelling(root):
    unit = root / "etc/systemd/system/thawd.service"
    unit.write_text(unit.read_text().replace("ProtectHome=", "ProtectHoem="))
    done = subprocess.run(
        [tool("systemd-analyze"), "verify", f"--root={root}", "--man=no", "thawd.service"],
        capture_output=True,
        text=True,
        check=False,
    )

    assert "ProtectHoem" in done.stderr


def test_the_service_is_confined(root):
    said = run(
        tool("systemd-analyze"),
        "security",
        "--offline=true",
        f"--root={root}",
        "--no-pager",
        f"--threshold={EXPOSURE_LIMIT}",
        "thawd.service",
    )

    assert "Overall exposure level for thawd.service" in said
    assert "Unknown" not in said


def system_calls(names: str) -> set[str]:
    """What a value of SystemCallFilter= names: system calls, and systemd's sets of them (`@mount`)."""
    listed = run(tool("systemd-analyze"), "--no-pager", "syscall-filter")
    sets = {
        block.splitlines()[0]: re.findall(r"^ +([@\w]+)$", block, re.MULTILINE)
        for block in re.split(r"\n(?=@)", listed)
    }

    def members(name: str) -> set[str]:
        return set().union(*map(members, sets[name])) if name in sets else {name}

    return set().union(*map(members, names.split()))


def test_the_filter_lets_a_machine_start():
    """setpriv, which is between the daemon and each VMM, calls capset without any capability to set."""
    allowed: set[str] = set()
    for line in re.findall(
        r"^SystemCallFilter=(.*)$", (UNITS / "thawd.service").read_text(), re.MULTILINE
    ):
        named = system_calls(line.removeprefix("~"))
        allowed = allowed - named if line.startswith("~") else allowed | named

    assert {"capget", "capset", "prctl", "execve", "seccomp", "memfd_create"} <= allowed
    assert (
        allowed & {"mount", "chroot", "bpf", "setuid", "keyctl", "reboot", "init_module"} == set()
    )


def test_the_user_and_its_directories(root):
    """Made as an installation makes them, in a root of its own."""
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\n")
    run(tool("systemd-sysusers"), f"--root={root}", "thawd.conf")
    passwd = (root / "etc/passwd").read_text()
    groups = (root / "etc/group").read_text()

    assert re.search(r"^thawd:x:\d+:\d+:.*:/var/lib/thawd:.*nologin$", passwd, re.MULTILINE)
    assert re.search(r"^kvm:x:\d+:thawd$", groups, re.MULTILINE)
    done = subprocess.run(
        [tool("systemd-tmpfiles"), f"--root={root}", "--create", "--dry-run", "thawd.conf"],
        capture_output=True,
        text=True,
        check=False,
    )
    if "--dry-run" in done.stderr:
        # Before systemd 256; then it must really make them, which takes root to change owners.
        done = subprocess.run(
            [tool("systemd-tmpfiles"), f"--root={root}", "--create", "thawd.conf"],
            capture_output=True,
            text=True,
            check=False,
        )
        if "ermi" not in done.stderr:  # "Operation not permitted", "Permission denied"
            assert (root / "run/thawd").stat().st_mode & 0o777 == 0o750
            assert (root / "var/lib/thawd").stat().st_mode & 0o777 == 0o700
    assert "Unknown" not in done.stderr


def test_the_socket_is_where_the_daemon_and_its_clients_look():
    from thawd.config import SOCKET_NAME, SYSTEM_RUNTIME_DIRECTORY, SYSTEM_STATE_DIRECTORY

    socket = (UNITS / "thawd.socket").read_text()
    service = (UNITS / "thawd.service").read_text()

    assert f"ListenStream={SYSTEM_RUNTIME_DIRECTORY / SOCKET_NAME}\n" in socket
    assert f"RuntimeDirectory={SYSTEM_RUNTIME_DIRECTORY.name}\n" in service
    assert f"StateDirectory={SYSTEM_STATE_DIRECTORY.name}\n" in service


def test_systemd_waits_for_the_drain():
    from thawd.cli.daemon import STOP_MARGIN_S
    from thawd.config import LimitsConfig

    service = (UNITS / "thawd.service").read_text()

    assert f"TimeoutStopSec={LimitsConfig().drain_seconds + STOP_MARGIN_S:g}\n" in service


def test_the_instructions_install_every_file():
    instructions = (UNITS / "README.md").read_text()
    files = [path for path in UNITS.rglob("thawd.*") if path.is_file()]

    assert len(files) == 4
    for path in files:
        assert f"systemd/{path.relative_to(UNITS)}" in instructions
