"""What a command says, and where: results on standard output, everything else on standard error."""

from __future__ import annotations

import json
import shutil
import signal
import sys
import threading
import time
from contextlib import contextmanager, nullcontext
from typing import TYPE_CHECKING, Any, Final, TextIO

from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_STYLES: Final = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33"}

PROGRESS_AFTER_S: Final = 0.3
"""Nothing is shown for work that ends sooner: a line that flashes by is noise."""

TICK_S: Final = 0.1


@define(eq=False)
class Terminal:
    """The two streams of one command. `json` asks for one JSON value on `out` and nothing else there."""

    out: TextIO
    err: TextIO
    json: bool = False
    color: bool = False
    ticks: bool = False
    """Whether progress goes on by itself while the command waits in one call."""
    _clock: Callable[[], float] = time.monotonic

    @classmethod
    def standard(cls, environ: Mapping[str, str]) -> Terminal:
        """This process's own streams; colour only on a terminal and without NO_COLOR (no-color.org)."""
        color = (
            sys.stdout.isatty() and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
        )
        # Only the main thread may have the alarm that makes it tick.
        ticks = threading.current_thread() is threading.main_thread()
        return cls(sys.stdout, sys.stderr, color=color, ticks=ticks)

    def style(self, text: str, *styles: str) -> str:
        """`text` in colour, where there is colour."""
        if not self.color or not text:
            return text
        return f"\x1b[{';'.join(_STYLES[style] for style in styles)}m{text}\x1b[0m"

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
        """Columns as wide as their widest cell; columns whose cells are all numbers stand right."""
        widths = [max(len(str(row[i])) for row in (headers, *rows)) for i in range(len(headers))]
        numeric = [
            all(row[i].replace(".", "", 1).isdigit() for row in rows) for i in range(len(headers))
        ]
        for number, row in enumerate((headers, *rows)):
            cells = [
                cell.rjust(width) if right else cell.ljust(width)
                for cell, width, right in zip(row, widths, numeric, strict=True)
            ]
            text = "  ".join(cells).rstrip()
            self.line(self.style(text, "bold") if number == 0 else text)

    @contextmanager
    def progress(self, title: str) -> Iterator[Progress]:
        """Show that work goes on until the scope ends; call `update` on what is yielded whenever there is news."""
        progress = Progress(self.err, title, self.err.isatty(), self._clock)
        try:
            with _alarm(progress.show) if self.ticks else nullcontext():
                yield progress
        finally:
            progress.clear()


@contextmanager
def _alarm(action: Callable[[], None]) -> Iterator[None]:
    """Call `action` every `TICK_S`, whatever the main thread waits for.

    A signal needs neither thread nor event loop, and Python goes on with an interrupted system call by itself (PEP 475).
    """
    before = signal.signal(signal.SIGALRM, lambda *_: action())
    signal.setitimer(signal.ITIMER_REAL, PROGRESS_AFTER_S, TICK_S)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


@define(eq=False)
class Progress:
    """One line on a terminal, rewritten in place; elsewhere one plain line for each new step."""

    _stream: TextIO
    title: str
    _rewrite: bool
    _clock: Callable[[], float]
    _started: float = field(init=False)
    _step: str = field(default="", init=False)
    _fraction: float | None = field(default=None, init=False)
    _told: str = field(default="", init=False)
    _writing: bool = field(default=False, init=False)

    def __attrs_post_init__(self) -> None:
        self._started = self._clock()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the work began."""
        return self._clock() - self._started

    def update(self, step: str, fraction: float | None = None) -> None:
        """The work is now at `step`; `fraction` (0 to 1) where an end is in sight."""
        self._step, self._fraction = step, fraction
        self.show()

    def show(self) -> None:
        """Show how it stands. Does nothing while it is at it: an alarm may come at any moment."""
        if self._writing or self.elapsed_s < PROGRESS_AFTER_S:
            return
        self._writing = True
        if self._rewrite:
            percent = "" if self._fraction is None else f" {self._fraction:4.0%}"
            line = f"{self._line()}{percent}  {self.elapsed_s:.1f} s"
            # A line that wraps cannot be rewritten.
            self._write("\r" + line[: shutil.get_terminal_size().columns - 1] + "\x1b[K")
            self._told = line
        elif self._told != self._line():
            self._told = self._line()
            self._write(self._told + "\n")
        self._writing = False

    def clear(self) -> None:
        """Take the line away."""
        if self._rewrite and self._told:
            self._write("\r\x1b[K")
            self._told = ""

    def _line(self) -> str:
        return f"{self.title}: {self._step}" if self._step else self.title

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()
