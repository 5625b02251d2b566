"""Counters, gauges and histograms, rendered as Prometheus text (exposition format 0.0.4).

A few dozen lines in place of a client library: no globals, no threads, no multi-process files. Make each metric once, at
its owner's construction, and keep the object:

    restores = metrics.histogram("thawd_restore_seconds", "Restore to ready.", labels=("function",))
    restores.observe(0.0974, function="hello")
"""

from __future__ import annotations

import math
import re
from bisect import bisect_left
from typing import TYPE_CHECKING, Final, TypeVar

from attrs import define, field

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

CONTENT_TYPE: Final = "text/plain; version=0.0.4; charset=utf-8"

DURATION_BUCKETS_S: Final = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
    5.0,
    10.0,
    30.0,
    120.0,
)
"""From a warm invoke (1 ms) to the boot deadline (120 s)."""

_NAME: Final = re.compile(r"[a-zA-Z_][a-zA-Z0-9_]*")

Labels = tuple[str, ...]


def _escape(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")


def _number(value: float) -> str:
    if math.isinf(value):
        return "+Inf" if value > 0 else "-Inf"
    return str(int(value)) if value == int(value) and abs(value) < 2**53 else repr(float(value))


def _braces(names: Sequence[str], values: Sequence[str]) -> str:
    pairs = ",".join(
        f'{name}="{_escape(value)}"' for name, value in zip(names, values, strict=True)
    )
    return f"{{{pairs}}}" if pairs else ""


@define(eq=False)
class _Metric:
    name: str
    help: str
    label_names: tuple[str, ...]

    def _key(self, labels: dict[str, str]) -> Labels:
        if set(labels) != set(self.label_names):
            raise TypeError(f"{self.name} takes labels {self.label_names}, not {tuple(labels)}")
        return tuple(str(labels[name]) for name in self.label_names)


@define(eq=False)
class Counter(_Metric):
    """Only grows. Its name ends in `_total`."""

    _values: dict[Labels, float] = field(factory=dict, init=False)

    def inc(self, amount: float = 1, **labels: str) -> None:
        """Add `amount`. Raises `ValueError` when it is negative."""
        if amount < 0:
            raise ValueError(f"{self.name} is a counter: it cannot go down by {amount}")
        key = self._key(labels)
        self._values[key] = self._values.get(key, 0) + amount

    def value(self, **labels: str) -> float:
        """The count now."""
        return self._values.get(self._key(labels), 0)

    def _lines(self) -> Iterator[str]:
        for key, value in self._values.items():
            yield f"{self.name}{_braces(self.label_names, key)} {_number(value)}"


@define(eq=False)
class Gauge(_Metric):
    """Goes up and down: set by its owner, or read from it when somebody asks (`watch`)."""

    _values: dict[Labels, float | Callable[[], float]] = field(factory=dict, init=False)

    def set(self, value: float, **labels: str) -> None:
        """The value is now `value`."""
        self._values[self._key(labels)] = value

    def watch(self, read: Callable[[], float], **labels: str) -> None:
        """Call `read` at each rendering."""
        self._values[self._key(labels)] = read

    def remove(self, **labels: str) -> None:
        """Forget the series: what it described is gone."""
        self._values.pop(self._key(labels), None)

    def value(self, **labels: str) -> float:
        """The value now; 0 when never set."""
        value = self._values.get(self._key(labels), 0)
        return value() if callable(value) else value

    def _lines(self) -> Iterator[str]:
        for key, value in list(self._values.items()):
            number = value() if callable(value) else value
            yield f"{self.name}{_braces(self.label_names, key)} {_number(number)}"


@define(eq=False)
class _Distribution:
    counts: list[int]
    sum: float = 0.0


@define(eq=False)
class Histogram(_Metric):
    """Distribution of a quantity over fixed buckets; `buckets` are upper bounds, inclusive, growing."""

    buckets: tuple[float, ...]
    _series: dict[Labels, _Distribution] = field(factory=dict, init=False)

    def observe(self, value: float, **labels: str) -> None:
        """Count one observation."""
        key = self._key(labels)
        series = self._series.get(key)
        if series is None:
            series = self._series[key] = _Distribution([0] * (len(self.buckets) + 1))
        series.counts[bisect_left(self.buckets, value)] += 1
        series.sum += value

    def count(self, **labels: str) -> int:
        """Observations so far."""
        series = self._series.get(self._key(labels))
        return sum(series.counts) if series else 0

    def _lines(self) -> Iterator[str]:
        for key, series in self._series.items():
            total = 0
            for bound, count in zip((*self.buckets, math.inf), series.counts, strict=True):
                total += count
                labels = _braces((*self.label_names, "le"), (*key, _number(bound)))
                yield f"{self.name}_bucket{labels} {total}"
            plain = _braces(self.label_names, key)
            yield f"{self.name}_sum{plain} {_number(series.sum)}"
            yield f"{self.name}_count{plain} {total}"


_M = TypeVar("_M", Counter, Gauge, Histogram)


@define(eq=False)
class Metrics:
    """The metrics of one daemon. Asking again for a name gives the same metric; with another shape, `ValueError`."""

    _metrics: dict[str, Counter | Gauge | Histogram] = field(factory=dict, init=False)

    def counter(self, name: str, help: str, *, labels: Sequence[str] = ()) -> Counter:  # noqa: A002
        """A counter called `name`, which ends in `_total`."""
        if not name.endswith("_total"):
            raise ValueError(f"a counter's name ends in _total: {name}")
        return self._add(Counter(name, help, tuple(labels)))

    def gauge(self, name: str, help: str, *, labels: Sequence[str] = ()) -> Gauge:  # noqa: A002
        """A gauge called `name`."""
        return self._add(Gauge(name, help, tuple(labels)))

    def histogram(
        self,
        name: str,
        help: str,  # noqa: A002 - the format's own word
        *,
        labels: Sequence[str] = (),
        buckets: Sequence[float] = DURATION_BUCKETS_S,
    ) -> Histogram:
        """A histogram called `name`, named with its unit (`_seconds`, `_bytes`)."""
        if list(buckets) != sorted(set(buckets)) or not buckets:
            raise ValueError(f"buckets of {name} must grow: {buckets}")
        return self._add(Histogram(name, help, tuple(labels), tuple(buckets)))

    def _add(self, metric: _M) -> _M:
        for word in (metric.name, *metric.label_names):
            if not _NAME.fullmatch(word) or word == "le":
                raise ValueError(f"{word!r} is no name for a metric or label")
        present = self._metrics.get(metric.name)
        if present is None:
            self._metrics[metric.name] = metric
            return metric
        if type(present) is not type(metric) or present.label_names != metric.label_names:
            raise ValueError(f"{metric.name} exists with another type or other labels")
        return present

    def render(self) -> str:
        """All metrics as Prometheus text; serve it as `CONTENT_TYPE`."""
        lines: list[str] = []
        for metric in self._metrics.values():
            help_text = metric.help.replace("\\", r"\\").replace("\n", r"\n")
            lines.append(f"# HELP {metric.name} {help_text}")
            lines.append(f"# TYPE {metric.name} {type(metric).__name__.lower()}")
            lines.extend(metric._lines())  # noqa: SLF001 - same module
        return "".join(f"{line}\n" for line in lines)
