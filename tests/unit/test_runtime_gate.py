"""Other threads stand still between freeze and thaw, and go on afterwards."""

from __future__ import annotations

import queue
import sys
import threading
import time
from _thread import get_ident

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


def test_a_gate_that_is_opened_twice_raises_nothing_into_a_thread_that_passes() -> None:
    """Each that passes takes the lock for a moment: the second opening must not take that for a closed gate."""
    spinner = Spinner()
    spinner.start()
    gate = Gate()
    gate.close()
    gate.open()

    with gate._lock:  # a thread passes
        gate.open()

    spinner.go_on = False
    spinner.join(10)


def test_without_other_threads_nothing_is_watched() -> None:
    gate = Gate()
    if threading.active_count() > 1:
        pytest.skip("the test runner has threads of its own")
    gate.close()
    assert all(sys.monitoring.get_tool(number) is None for number in range(6))
    gate.open()


def watched() -> bool:
    return any(sys.monitoring.get_tool(number) is not None for number in range(6))


class Worker(threading.Thread):
    """Waits for its queue in C, as a pool's worker does; says in which order things happened in it."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.work: queue.SimpleQueue[object] = queue.SimpleQueue()
        self.said: list[str] = []
        self.start()
        wait_until(lambda: sys._current_frames()[self.ident].f_code.co_name == "run")

    def run(self) -> None:
        while True:
            # One line: what follows the C function's return is a call, and not a new line.
            if [self.work.get(), self.said.append("drew")][0] is None:
                return

    def renew(self) -> None:
        self.said.append("renewed" if get_ident() == self.ident else "renewed another")

    def give(self, work: object = 1) -> None:
        count = len(self.said)
        self.work.put(work)
        wait_until(lambda: len(self.said) > count and self.said[-1] == "drew")


def wait_until(condition) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)


def test_an_idle_worker_renews_its_own_before_its_next_call_and_once() -> None:
    worker = Worker()
    gate = Gate()
    gate.close(per_thread=True)
    gate.open(worker.renew)
    assert gate.waits

    worker.give()
    worker.give()
    worker.give(None)
    worker.join(10)

    assert worker.said == ["renewed", "drew", "drew", "drew"]
    assert not gate.waits
    assert not watched()


def test_a_worker_that_got_work_while_the_gate_was_closed_renews_first() -> None:
    worker = Worker()
    gate = Gate()
    gate.close(per_thread=True)
    worker.work.put(1)
    time.sleep(0.05)
    assert worker.said == []

    gate.open(worker.renew)
    wait_until(lambda: worker.said)
    worker.give(None)
    worker.join(10)

    assert worker.said[:2] == ["renewed", "drew"]
    assert not watched()


def test_every_thread_renews_its_own() -> None:
    workers = [Worker() for _ in range(5)]
    spinner = Spinner()
    spinner.start()
    renewed: list[int] = []
    gate = Gate()
    gate.close(per_thread=True)
    gate.open(lambda: renewed.append(get_ident()))
    for worker in workers:
        worker.give(None)
        worker.join(10)
    wait_until(lambda: len(renewed) == 6)
    spinner.go_on = False
    spinner.join(10)

    assert sorted(renewed) == sorted(thread.ident for thread in (*workers, spinner))
    assert not watched()


def test_threads_that_began_after_the_restore_renew_nothing() -> None:
    worker = Worker()
    gate = Gate()
    gate.close(per_thread=True)
    gate.open(worker.renew)

    young = Worker()
    young.give(None)
    young.join(10)
    worker.give(None)
    worker.join(10)

    assert young.said == ["drew"]
    assert worker.said == ["renewed", "drew"]


def test_while_a_worker_idles_what_others_call_is_not_watched_twice() -> None:
    """The first call of a function tells that it is not the worker's; from then on it costs nothing."""
    worker = Worker()
    gate = Gate()
    gate.close(per_thread=True)
    gate.open(worker.renew)
    events: list[object] = []
    tool = next(n for n in range(6) if sys.monitoring.get_tool(n) == "thaw_runtime")
    ours = sys.monitoring.register_callback(tool, sys.monitoring.events.PY_START, None)

    def counted(*args: object) -> object:
        if args[0] is often.__code__:
            events.append(args)
        return ours(*args)

    sys.monitoring.register_callback(tool, sys.monitoring.events.PY_START, counted)

    def often() -> None: ...

    for _ in range(100):
        often()
    worker.give(None)
    worker.join(10)

    assert len(events) == 1
    assert worker.said == ["renewed", "drew"]


def test_a_loop_in_c_that_calls_python_renews_at_the_first_call() -> None:
    """As an event loop written in C does: its next line of Python is a new function's."""
    said: list[str] = []
    work: queue.SimpleQueue[object] = queue.SimpleQueue()

    def handle(_: object) -> None:
        said.append("drew")

    def loop() -> None:
        # get() and the calls of handle() come from list(), in C.
        list(map(handle, iter(work.get, None)))

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    wait_until(lambda: sys._current_frames()[thread.ident].f_code is loop.__code__)
    gate = Gate()
    gate.close(per_thread=True)
    gate.open(lambda: said.append("renewed"))
    for one in (1, 2, None):
        work.put(one)
    thread.join(10)

    assert said == ["renewed", "drew", "drew"]
    assert not watched()
