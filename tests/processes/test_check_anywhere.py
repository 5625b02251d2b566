"""`thaw check` where there is no Linux: the linter and its reports need nothing that Windows and macOS lack."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from thaw_check.report import FORMATS
from thawd.cli import clones
from thawd.cli.main import COMMANDS, main
from thawd.errors import DaemonUnreachable

EXAMPLES = Path(__file__).parents[2] / "runtimes" / "python" / "examples" / "check"

WITHOUT_UNIX = """
import json, os, signal, socket, sys

blocked = set(json.loads(sys.argv[1]))

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in blocked:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)

sys.meta_path.insert(0, Blocker())
for name in blocked:
    sys.modules.pop(name, None)
for module, names in {
    os: "chown fchown fork forkpty getegid geteuid getgid getgroups getloadavg getpgid getuid initgroups memfd_create "
        "mkfifo openpty pidfd_open posix_spawn pread preadv pwrite register_at_fork sched_getaffinity sendfile setsid "
        "setuid statvfs sysconf uname wait4 waitid",
    signal: "SIGALRM SIGCHLD SIGHUP SIGKILL SIGPIPE SIGQUIT SIGUSR1 SIGUSR2 alarm getitimer pthread_sigmask setitimer "
        "sigwait",
    socket: "AF_NETLINK AF_PACKET AF_UNIX AF_VSOCK CMSG_LEN SCM_RIGHTS SO_PEERCRED",
}.items():
    for name in names.split():
        if hasattr(module, name):
            delattr(module, name)
"""
"""The start of a Python program: from here on it has no module named in its first argument, and what is Unix's is gone."""

UNIX = ("_posixshmem", "fcntl", "grp", "pty", "pwd", "readline", "resource", "syslog", "termios", "tty")  # fmt: skip


def run(code: str, *argv: str, blocked: tuple[str, ...] = UNIX) -> tuple[int, str, str]:
    """Status, output and errors of `code` on a system without what is `blocked`."""
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT_UNIX + code, json.dumps(blocked), *argv],
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    return ended.returncode, ended.stdout, ended.stderr


def thaw(*argv: str) -> tuple[int, str, str]:
    return run("from thawd.cli.main import main\nsys.exit(main(sys.argv[2:]))", *argv)


def _words(err: str) -> list[str]:
    """Standard error without progress, which a busy machine shows and an idle one does not."""
    return [line for line in err.splitlines() if not line.startswith("checking ")]


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("subject", ["planted", "planted_fixed"])
def test_a_lint_says_the_same_everywhere(
    subject: str, form: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    here, there = tmp_path / "here.xml", tmp_path / "there.xml"
    argv = ("check", str(EXAMPLES / subject), "--format", form, "--junit")
    status = main([*argv, str(here)])
    said = capsys.readouterr()

    there_status, there_out, there_err = thaw(*argv, str(there))

    assert (status, said.out) == (there_status, there_out)
    assert _words(said.err) == _words(there_err)
    assert here.read_bytes() == there.read_bytes()


@pytest.mark.parametrize("argv", [("--help",), ("--version",), ("check", "--help")])
def test_help_is_there_everywhere(argv: tuple[str, ...]) -> None:
    status, out, err = thaw(*argv)

    assert (status, err) == (0, "")
    assert "thaw" in out


def test_clones_need_linux_and_the_error_says_what_is_missing() -> None:
    status, out, err = thaw("check", str(EXAMPLES / "planted"), "--clones")

    assert (status, out) == (69, "")
    assert err == (
        "thaw: The clone test needs Linux, and Python on this system has no fcntl, os.fork, os.geteuid, socket.AF_UNIX. "
        "Run it on the machine where thawd runs. thaw check PATH, without --clones, runs everywhere\n"
    )


def test_a_function_cannot_be_asked_for_either() -> None:
    status, _, err = thaw("check", "absent")

    assert status == 66
    assert err.startswith("thaw: no file absent, and no function to ask for: The clone test needs")


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "check"])
def test_the_other_commands_say_that_they_need_linux(name: str) -> None:
    status, _, err = thaw(name, "x")

    assert status == 69
    assert err.startswith(f"thaw: thaw {name} needs Linux, and Python on this system has no fcntl")


def test_no_daemon_is_started_where_none_can_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def connect(_arguments: object) -> None:
        raise DaemonUnreachable("nobody there")

    (tmp_path / "app.py").write_text("def handler(event, context): ...\n")
    monkeypatch.setattr(clones, "connect", connect)
    monkeypatch.setattr("thawd.cli.system.sys.platform", "darwin")

    assert main(["check", str(tmp_path), "--clones"]) == 69
    assert "needs Linux, and this system is darwin. Run it" in capsys.readouterr().err


def test_thaw_check_is_importable_alone() -> None:
    code = """
import importlib, pkgutil
import thaw_check
for module in pkgutil.walk_packages(thaw_check.__path__, "thaw_check."):
    importlib.import_module(module.name)
    print(module.name)
"""
    status, out, err = run(code, blocked=(*UNIX, "thawd", "thaw_agent", "thaw_runtime"))

    assert (status, err) == (0, "")
    assert "thaw_check.lint.linter" in out.split()
