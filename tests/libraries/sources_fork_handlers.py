"""What was registered for fork(), where it only forgets or renews a value."""

import functools
import os
import random
import uuid


@functools.lru_cache
def identity():
    return uuid.uuid4().hex


seeded = random.Random(42)
os.register_at_fork(after_in_child=identity.cache_clear)
os.register_at_fork(after_in_child=seeded.seed)
unsafe = [0]
os.register_at_fork(after_in_child=lambda: unsafe.append(1))


def sources():
    return {
        "cached id": identity,
        "seeded": lambda: seeded.getrandbits(64),
        "kept: what is of no known kind": lambda: len(unsafe),
    }
