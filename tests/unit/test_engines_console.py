"""What a guest's console tells of the guest's end."""

import pytest

from thawd.engines.console import ConsoleLog, last_words

FAULT = """\
[   27.408767] BUG: unable to handle page fault for address: 00007ffe1344be90
[   27.426286] #PF: supervisor read access in user mode
[   27.432001] Oops: Oops: 0001 [#1] PREEMPT SMP NOPTI
[   27.448498] RSP: 002b:00007ffe1344be90 EFLAGS: 00000202
[   27.474065] Kernel panic - not syncing: Fatal exception
[   27.474066] Kernel Offset: disabled
"""


@pytest.mark.parametrize(
    ("console", "words"),
    [
        (
            FAULT,
            "BUG: unable to handle page fault for address: 00007ffe1344be90; Kernel panic - not syncing: Fatal exception",
        ),
        (
            "[    1.0] Kernel panic - not syncing: System is deadlocked on memory\n",
            "Kernel panic - not syncing: System is deadlocked on memory",
        ),
        ("[    1.0] BUG: sleeping function called from invalid context\n", ""),
        ("[    1.0] reboot: Power down\n", ""),
        ("", ""),
    ],
    ids=["fault", "panic", "goes on", "ends", "silent"],
)
def test_a_kernel_that_gave_up_says_why(console, words):
    assert last_words(console) == words


def test_last_words_are_bounded_whatever_a_guest_writes():
    assert len(last_words(FAULT + "Kernel panic - not syncing: " + "x" * 10_000)) <= 400


def test_only_the_end_of_a_console_is_kept():
    log = ConsoleLog(limit=100)
    for number in range(100):
        log.feed(b"line %d\r\n" % number)

    assert log.tail().endswith("line 98\nline 99\n")
    assert len(log.tail()) <= 100
