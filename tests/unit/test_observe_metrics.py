"""Metrics: counted, and rendered as Prometheus text."""

from __future__ import annotations

import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from thawd.observe.metrics import Metrics


@pytest.fixture
def metrics():
    return Metrics()


def test_the_text_format(metrics):
    restores = metrics.counter("thawd_restores_total", "Machines restored.", labels=("version",))
    restores.inc(version="1")
    restores.inc(2, version="2")
    metrics.gauge("thawd_machines", "Machines\nnow.").watch(lambda: 2.5)
    seconds = metrics.histogram("thawd_restore_seconds", "Restore.", buckets=(0.1, 1))
    seconds.observe(0.1)
    seconds.observe(7)

    assert (
        metrics.render()
        == """\
# HELP thawd_restores_total Machines restored.
# TYPE thawd_restores_total counter
thawd_restores_total{version="1"} 1
thawd_restores_total{version="2"} 2
# HELP thawd_machines Machines\\nnow.
# TYPE thawd_machines gauge
thawd_machines 2.5
# HELP thawd_restore_seconds Restore.
# TYPE thawd_restore_seconds histogram
thawd_restore_seconds_bucket{le="0.1"} 1
thawd_restore_seconds_bucket{le="1"} 1
thawd_restore_seconds_bucket{le="+Inf"} 2
thawd_restore_seconds_sum 7.1
thawd_restore_seconds_count 2
"""
    )


@given(st.text())
def test_any_label_value_survives_the_format(value):
    metrics = Metrics()
    metrics.gauge("g", "", labels=("l",)).set(1, l=value)
    line = metrics.render().split("\n", 2)[2]
    escaped = re.fullmatch(r'g\{l="((?:[^"\\\n]|\\["\\n])*)"\} 1\n', line)

    assert escaped is not None
    unescape = {r"\n": "\n", r"\"": '"', r"\\": "\\"}
    assert value == re.sub(r"\\.", lambda found: unescape[found[0]], escaped[1])


@given(st.lists(st.floats(0, 100)), st.lists(st.floats(0, 100), min_size=1, unique=True))
def test_buckets_are_cumulative_and_end_with_all(values, bounds):
    metrics = Metrics()
    histogram = metrics.histogram("h", "", buckets=sorted(bounds))
    for value in values:
        histogram.observe(value)
    found = {
        float(bound.replace("+Inf", "inf")): int(count)
        for bound, count in re.findall(r'h_bucket\{le="(.*)"\} (\d+)', metrics.render())
    }

    if values:
        assert {b: sum(v <= b for v in values) for b in [*bounds, math.inf]} == found
    assert len(values) == histogram.count()


def test_the_same_name_is_the_same_metric(metrics):
    assert metrics.counter("a_total", "x") is metrics.counter("a_total", "x")
    with pytest.raises(ValueError, match="exists with another type"):
        metrics.counter("a_total", "x", labels=("l",))


def test_misuse_is_refused(metrics):
    counter = metrics.counter("a_total", "x", labels=("l",))
    with pytest.raises(ValueError, match="cannot go down"):
        counter.inc(-1, l="v")
    with pytest.raises(TypeError, match="takes labels"):
        counter.inc(m="v")
    with pytest.raises(ValueError, match="ends in _total"):
        metrics.counter("a", "x")
    with pytest.raises(ValueError, match="no name"):
        metrics.gauge("a-b", "x")
    with pytest.raises(ValueError, match="must grow"):
        metrics.histogram("h", "x", buckets=(2, 1))


def test_values_can_be_read_back_and_series_removed(metrics):
    gauge = metrics.gauge("g", "x", labels=("l",))
    gauge.set(3, l="a")
    gauge.watch(lambda: 4, l="b")

    assert [gauge.value(l=label) for label in "abc"] == [3, 4, 0]
    gauge.remove(l="a")
    assert 'l="a"' not in metrics.render()
