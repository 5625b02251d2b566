"""Other threads stand still between freeze and thaw, and go on afterwards."""

from __future__ import annotations

import sys
import threading
import time

import pytest

from thaw_runtime.gate import Gate

pytestmark = pytest.mark.skipif(
    not hasattr(sys, "monitoring"), reason="sys.monitoring came with Python 3.12"
)


class Spinner(threading.Thread):
    """Counts until it is told to end."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.count = 0
        self.go_on = True

    def run(self) -> None:
        while self.go_on:
            self.count += 1


def test_a_thread_stops_at_its_next_line_and_goes_on_when_the_gate_opens() -> None:
    spinner = Spinner()
    spinner.start()
    gate = Gate()
    gate.close()
    time.sleep(0.05)
    stood = spinner.count
    time.sleep(0.05)
    assert spinner.count == stood

    gate.open()
    deadline = time.monotonic() + 10
    while spinner.count == stood and time.monotonic() < deadline:
        time.sleep(0.01)
    spinner.go_on = False
    spinner.join(10)
    assert spinner.count > stood
    assert all(sys.monitoring.get_tool(number) is None for number in range(6))


def test_without_other_threads_nothing_is_watched() -> None:
    gate = Gate()
    if threading.active_count() > 1:
        pytest.skip("the test runner has threads of its own")
    gate.close()
    assert all(sys.monitoring.get_tool(number) is None for number in range(6))
    gate.open()
