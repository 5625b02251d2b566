"""A generator that notices a fork as BoringSSL and AWS-LC do: by a page that the kernel empties in the child."""

import mmap
import os

WIPE_ON_FORK = 18

page = mmap.mmap(-1, mmap.PAGESIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
page.madvise(WIPE_ON_FORK)
state = [0]


def draw():
    if page[0] == 0:
        page[0] = 1
        state[0] = int.from_bytes(os.urandom(8), "little")
    # Not one of Python's generators, which have fixers of their own.
    state[0] = (state[0] * 6364136223846793005 + 1442695040888963407) % 2**64
    return state[0]


def sources():
    return {"generator that waits for a wiped page": draw}
