"""A command's output: results on standard output, everything else on standard error."""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from contextlib import contextmanager
from io import TextIOWrapper
from typing import TYPE_CHECKING, Any, Final, TextIO

from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from rich.live import Live

# rich is imported where it draws: it takes 100 ms, and most commands print a line or JSON.

PROGRESS_AFTER_S: Final = 0.3
"""Nothing is shown for work that ends sooner: a line that flashes by is noise."""

_UNBOUNDED: Final = 1 << 20
"""Columns, where no screen limits them."""


@define(eq=False)
class Terminal:
    """The two streams of one command. `json` asks for one JSON value on `out` and nothing else there."""

    out: TextIO
    err: TextIO
    json: bool = False
    color: bool = False

    @classmethod
    def standard(cls, environ: Mapping[str, str]) -> Terminal:
        """This process's own streams; colour only on a terminal and without NO_COLOR (no-color.org)."""
        if os.name == "nt" and isinstance(sys.stdout, TextIOWrapper) and not sys.stdout.isatty():
            # A pipe has the system's code page there, which not every source fits in; JSON is UTF-8 everywhere.
            sys.stdout.reconfigure(encoding="utf-8")
        color = (
            sys.stdout.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
        )
        return cls(sys.stdout, sys.stderr, color=color)

    def style(self, text: str, *styles: str) -> str:
        """`text` in colour, where there is colour."""
        if not self.color or not text:
            return text
        from rich.color import ColorSystem  # noqa: PLC0415
        from rich.style import Style  # noqa: PLC0415

        return Style.parse(" ".join(styles)).render(text, color_system=ColorSystem.STANDARD)

    def line(self, text: str = "") -> None:
        """A line of the result."""
        print(text, file=self.out)

    def note(self, text: str) -> None:
        """A line for the person, not for the pipe."""
        print(text, file=self.err, flush=True)

    def value(self, value: Any) -> None:
        """The result as JSON."""
        print(json.dumps(value, indent=2, ensure_ascii=False, default=str), file=self.out)

    def table(self, headers: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
        """Columns as wide as their widest cell; columns whose cells are all numbers stand right.

        A terminal that is too narrow gets folded cells. Elsewhere a row is a line, however long.
        """
        from rich.console import Console  # noqa: PLC0415
        from rich.table import Table  # noqa: PLC0415
        from rich.text import Text  # noqa: PLC0415

        console = Console(
            file=self.out,
            force_terminal=self.out.isatty(),
            color_system="standard" if self.color else None,
            width=None if self.out.isatty() else _UNBOUNDED,
        )
        table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="bold")
        for number, header in enumerate(headers):
            numeric = all(row[number].replace(".", "", 1).isdigit() for row in rows)
            table.add_column(Text(header), justify="right" if numeric else "left", overflow="fold")
        for row in rows:
            table.add_row(*map(Text, row))
        with console.capture() as drawn:
            console.print(table)
        for line in drawn.get().rstrip("\n").split("\n"):
            self.line(line.rstrip())

    @contextmanager
    def progress(self, title: str) -> Iterator[Progress]:
        """Show that work goes on until the scope ends; call `update` on what is yielded whenever there is news."""
        progress = Progress(self.err, title)
        # A thread of its own shows it: the command may wait in one long call.
        timer = threading.Timer(PROGRESS_AFTER_S, progress.show)
        timer.daemon = True
        timer.start()
        try:
            yield progress
        finally:
            timer.cancel()
            timer.join()
            progress.clear()


@define(eq=False)
class Progress:
    """One line on a terminal, redrawn in place; elsewhere one plain line for each new step."""

    _stream: TextIO
    title: str
    _started: float = field(factory=time.monotonic, init=False)
    _step: str = field(default="", init=False)
    _fraction: float | None = field(default=None, init=False)
    _shown: bool = field(default=False, init=False)
    _told: str = field(default="", init=False)
    _live: Live | None = field(default=None, init=False)
    _lock: threading.Lock = field(factory=threading.Lock, init=False)
    """The timer's thread shows the first line, the command's own thread the others."""

    @property
    def elapsed_s(self) -> float:
        """Seconds since the work began."""
        return time.monotonic() - self._started

    def update(self, step: str, fraction: float | None = None) -> None:
        """The work is now at `step`; `fraction` (0 to 1) where an end is in sight."""
        with self._lock:
            self._step, self._fraction = step, fraction
            if self._shown:
                self._draw()

    def show(self) -> None:
        """Show how it stands, and from now on each step."""
        with self._lock:
            self._shown = True
            if self._stream.isatty() and os.environ.get("TERM") != "dumb":
                self._live = _live(self._stream, self._line)
                self._live.start()
            self._draw()

    def clear(self) -> None:
        """Take the line away."""
        if self._live is not None:
            self._live.stop()

    def _draw(self) -> None:
        if self._live is not None:
            self._live.refresh()
        elif self._told != self._text():
            self._told = self._text()
            print(self._told, file=self._stream, flush=True)

    def _text(self) -> str:
        return f"{self.title}: {self._step}" if self._step else self.title

    def _line(self) -> str:
        percent = "" if self._fraction is None else f" {self._fraction:4.0%}"
        return f"{self._text()}{percent}  {self.elapsed_s:.1f} s"


def _live(stream: TextIO, line: Callable[[], str]) -> Live:
    """What `line` returns, redrawn ten times a second from `start()` to `stop()`, which takes it away."""
    from rich.console import Console  # noqa: PLC0415
    from rich.live import Live  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    return Live(
        console=Console(file=stream, force_terminal=True, color_system=None),
        get_renderable=lambda: Text(line(), no_wrap=True, overflow="crop"),
        refresh_per_second=10,
        transient=True,
        # The result may go to a pipe while this is on the terminal.
        redirect_stdout=False,
        redirect_stderr=False,
    )
