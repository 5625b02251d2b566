"""Reads random bytes without a pause, from its init until some time after a restore, and keeps what it read.

Two processes and two threads read, each into a ring of its own. How many reads each has kept is in the first page of
the shared memory, after MAGIC, where the host finds it in a snapshot.
"""

import base64
import ctypes
import mmap
import os
import socket
import ssl
import threading
import time

MAGIC = b"spins on random:"
PAGE = 4096
READ = 8
RING = 1 << 16
AFTERWARDS = 20_001  # the first may have been answered before the machine stood still
LOOK_EVERY = 64

libc = ctypes.CDLL(None)
template = socket.gethostname()


def from_the_vdso():
    buffer = ctypes.create_string_buffer(READ)
    libc.getrandom(buffer, READ, 0)
    return buffer.raw


SPINS = {
    # name: what it reads, whether in a process of its own
    "getrandom, process": (lambda: os.getrandom(READ), True),
    "vdso, process": (from_the_vdso, True),
    "getrandom, thread": (lambda: os.getrandom(READ), False),
    "ssl, thread": (lambda: ssl.RAND_bytes(READ), False),
}

shared = mmap.mmap(-1, PAGE + len(SPINS) * RING * READ)
shared[: len(MAGIC)] = MAGIC
counters = memoryview(shared)[len(MAGIC) : len(MAGIC) + 8 * len(SPINS)].cast("Q")
finished = memoryview(shared)[PAGE // 2 : PAGE // 2 + len(SPINS)]


def place(number, count):
    return PAGE + (number * RING + count % RING) * READ


def spin(number, read):
    count, end = 0, None
    while count != end:
        at = place(number, count)
        shared[at : at + READ] = read()
        count += 1
        counters[number] = count
        if end is None and count % LOOK_EVERY == 0 and socket.gethostname() != template:
            end = count + AFTERWARDS  # restored
    finished[number] = 1


for number, (read, forked) in enumerate(SPINS.values()):
    if forked and os.fork() == 0:
        try:
            spin(number, read)
        finally:
            os._exit(0)
for number, (read, forked) in enumerate(SPINS.values()):
    if not forked:
        threading.Thread(target=spin, args=(number, read), daemon=True).start()


def handler(event, context):
    """The reads before and after those numbers that the event gives, base64 of 8 bytes each."""
    while not all(finished):
        time.sleep(0.05)
    return {
        name: {
            "before": reads(number, event["counts"][number] - event["before"], event["before"]),
            "after": reads(number, event["counts"][number] + 1, event["after"]),
        }
        for number, name in enumerate(SPINS)
    }


def reads(number, first, many):
    joined = b"".join(shared[at : at + READ] for at in map(lambda n: place(number, n), range(first, first + many)))
    return base64.b64encode(joined).decode()
