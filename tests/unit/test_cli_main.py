"""The command line's frame: finding a command, failing well, showing progress."""

from __future__ import annotations

import argparse
import importlib
import io
import threading

import pytest

from thawd import __version__
from thawd.cli import main as main_module
from thawd.cli import terminal as terminal_module
from thawd.cli.arguments import FunctionName, assignment, function_name, plain_function_name
from thawd.cli.client import DaemonRefused, SocketForbidden
from thawd.cli.main import COMMANDS, main, status_of
from thawd.cli.terminal import Terminal
from thawd.errors import (
    BundleError,
    ConfigError,
    DaemonUnreachable,
    EngineError,
    ImageError,
    ThawError,
)


@pytest.fixture
def thaw(capsys):
    def run(*argv):
        try:
            status = main(list(argv))
        except SystemExit as left:
            status = left.code
        out, err = capsys.readouterr()
        return status, out, err

    return run


class TestFindingACommand:
    def test_version(self, thaw):
        assert thaw("--version") == (0, f"thaw {__version__}\n", "")

    def test_nothing_is_help_and_a_usage_error(self, thaw):
        status, out, err = thaw()

        assert (status, out) == (64, "")
        assert all(name in err for name in COMMANDS)

    def test_a_misspelt_command(self, thaw):
        assert thaw("pubilsh") == (
            64,
            "",
            "thaw: no command 'pubilsh'; did you mean publish?. See: thaw --help\n",
        )

    def test_something_else(self, thaw):
        status, _, err = thaw("qqq")

        assert status == 64
        assert "there are: function, publish, " in err

    @pytest.mark.parametrize("argv", [["invoke"], ["invoke", "f", "--nope"], ["logs", "f:", "-t"]])
    def test_wrong_arguments(self, thaw, argv):
        status, out, err = thaw(*argv)

        assert (status, out) == (64, "")
        assert err.startswith(f"thaw {argv[0]}: ")
        assert err.endswith(f". See: thaw {argv[0]} --help\n")

    @pytest.mark.parametrize("name", COMMANDS)
    def test_every_command_has_help(self, thaw, name):
        """And so a module with the two functions that `main` calls, and a sentence that says what it does."""
        status, out, _ = thaw(name, "--help")

        assert status == 0
        assert out.startswith(f"usage: thaw {name}")
        module = importlib.import_module(f"thawd.cli.{name}")
        assert (module.__doc__ or "").splitlines()[0] in out


class TestFailing:
    @pytest.mark.parametrize(
        ("error", "status"),
        [
            (ThawError("x"), 70),
            (ConfigError("x"), 78),
            (BundleError("x"), 65),
            (ImageError("x"), 69),
            (EngineError("x"), 69),
            (DaemonUnreachable("x"), 69),
            (SocketForbidden("x"), 77),
            (DaemonRefused(400, "InvalidParameterValueException", "x"), 65),
            (DaemonRefused(404, "ResourceNotFoundException", "x"), 66),
            (DaemonRefused(409, "ResourceConflictException", "x"), 75),
            (DaemonRefused(429, "TooManyRequestsException", "x"), 75),
            (DaemonRefused(500, "ServiceException", "x"), 70),
        ],
    )
    def test_statuses(self, error, status):
        assert status_of(error) == status

    @pytest.mark.parametrize(
        ("error", "status", "says"),
        [
            (ThawError("cause", hint="Way out"), 70, "thaw: cause. Way out\n"),
            (KeyboardInterrupt(), 130, "\n"),
            (
                FileNotFoundError(2, "No such file or directory", "x.zip"),
                66,
                "thaw: x.zip: No such file or directory\n",
            ),
            (PermissionError(13, "Permission denied", "/x"), 77, "thaw: /x: Permission denied\n"),
            (OSError(5, "Input/output error"), 74, "thaw: Input/output error\n"),
            (OSError(9, "Bad file descriptor", 7), 74, "thaw: Bad file descriptor\n"),
        ],
    )
    def test_what_a_person_sees(self, thaw, monkeypatch, error, status, says):
        def fail(*_):
            raise error

        monkeypatch.setattr(main_module, "_dispatch", fail)

        assert thaw("x") == (status, "", says)


class TestArguments:
    @pytest.mark.parametrize(
        ("text", "found"),
        [
            ("f", FunctionName("f")),
            ("f:3", FunctionName("f", "3")),
            ("f:$LATEST", FunctionName("f", "$LATEST")),
            ("arn:aws:lambda:us-east-1:000000000000:function:f:live", FunctionName("f", "live")),
        ],
    )
    def test_function_names(self, text, found):
        assert function_name(text) == found

    @pytest.mark.parametrize("text", ["", ":3", "f:"])
    def test_what_is_no_function_name(self, text):
        with pytest.raises(argparse.ArgumentTypeError):
            function_name(text)

    def test_a_version_where_none_belongs(self):
        with pytest.raises(argparse.ArgumentTypeError, match="names a version"):
            plain_function_name("f:3")

    def test_assignments(self):
        assert assignment("K=a=b") == ("K", "a=b")
        assert assignment("K=") == ("K", "")
        for text in ("K", "=v"):
            with pytest.raises(argparse.ArgumentTypeError):
                assignment(text)


class Screen(io.StringIO):
    """A terminal."""

    def isatty(self) -> bool:
        return True


class TestTerminal:
    @pytest.fixture(autouse=True)
    def screen_that_moves_its_cursor(self, monkeypatch):
        monkeypatch.setenv("TERM", "xterm")

    def test_progress_on_a_terminal_is_one_line_that_goes_away(self):
        screen = Screen()
        with Terminal(io.StringIO(), screen).progress("Building [x]") as progress:
            progress.show()
            progress.update("packages", 0.25)
            progress.update("kernel " * 100)

        drawn = screen.getvalue()
        assert "Building [x]: packages  25%  " in drawn
        assert "Building [x]: kernel kernel " in drawn
        assert drawn.count("\n") == 1, "a line that wraps cannot be redrawn"
        assert drawn.endswith("\n\x1b[?25h\r\x1b[1A\x1b[2K")

    @pytest.mark.parametrize("stream", [Screen, io.StringIO])
    def test_progress_elsewhere_is_one_line_a_step(self, stream, monkeypatch):
        monkeypatch.setenv("TERM", "dumb")
        plain = stream()
        with Terminal(io.StringIO(), plain).progress("Building") as progress:
            progress.update("Debian")
            progress.show()
            for step in ("packages", "packages", "kernel"):
                progress.update(step)

        assert plain.getvalue() == "Building: Debian\nBuilding: packages\nBuilding: kernel\n"

    @pytest.mark.parametrize("stream", [Screen, io.StringIO])
    def test_progress_shows_while_the_command_waits_in_one_call(self, stream, monkeypatch):
        """The step is told early, before anything is worth showing; then comes one long call."""
        monkeypatch.setattr(terminal_module, "PROGRESS_AFTER_S", 0.01)
        shown = threading.Event()

        class Seen(stream):
            def write(self, text: str) -> int:
                if "Invoking f: waiting" in text:
                    shown.set()
                return super().write(text)

        with Terminal(io.StringIO(), Seen()).progress("Invoking f") as progress:
            progress.update("waiting")
            assert shown.wait(60)

    @pytest.mark.parametrize("stream", [Screen, io.StringIO])
    def test_quick_work_shows_nothing(self, stream, monkeypatch):
        monkeypatch.setattr(terminal_module, "PROGRESS_AFTER_S", 3600)
        shown = stream()
        with Terminal(io.StringIO(), shown).progress("x") as progress:
            progress.update("y")

        assert shown.getvalue() == ""

    def test_colour_only_where_it_is_wanted(self, monkeypatch):
        monkeypatch.setattr("sys.stdout", Screen())

        assert Terminal.standard({"TERM": "xterm"}).style("x", "red") == "\x1b[31mx\x1b[0m"
        assert Terminal.standard({"NO_COLOR": "1"}).style("x", "red") == "x"
        assert Terminal.standard({"TERM": "dumb"}).style("x", "red") == "x"
        monkeypatch.setattr("sys.stdout", io.StringIO())
        assert Terminal.standard({}).style("x", "red") == "x"

    def test_programs_on_windows_get_utf_8(self, monkeypatch):
        pipe = io.TextIOWrapper(io.BytesIO(), encoding="cp1252")
        monkeypatch.setattr("sys.stdout", pipe)
        monkeypatch.setattr("os.name", "nt")
        Terminal.standard({}).line("日本")

        assert pipe.encoding == "utf-8"

    def test_tables(self):
        out = io.StringIO()
        Terminal(out, io.StringIO()).table(("A", "NUMBER"), [("xyz", "1"), ("x", "10")])

        assert out.getvalue() == "A    NUMBER\nxyz       1\nx        10\n"

    def test_a_table_elsewhere_has_one_line_a_row_however_long(self):
        out = io.StringIO()
        Terminal(out, io.StringIO()).table(("A", "[B]"), [("x" * 300, "[red]y")])

        assert out.getvalue() == f"A{' ' * 301}[B]\n{'x' * 300}  [red]y\n"

    def test_a_table_on_a_terminal_has_a_bold_head_and_folds(self, monkeypatch):
        monkeypatch.setenv("COLUMNS", "20")
        screen = Screen()
        Terminal(screen, io.StringIO(), color=True).table(("A", "B"), [("x" * 30, "y")])
        head, *rows = screen.getvalue().splitlines()

        assert head.startswith("\x1b[1mA")
        assert [len(row) for row in rows] == [20, 13]
