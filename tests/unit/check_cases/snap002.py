# case: bad: a number
import random

SHARD = random.randint(0, 9)  # expect: SNAP002
# case: bad: shuffled order in a comprehension, numpy
import numpy as np
from random import choice

ORDER = [choice("abc") for _ in range(3)]  # expect: SNAP002
WEIGHTS = np.random.rand(3)  # expect: SNAP002
# case: bad: arithmetic, and a generator used up at init
import random

JITTER_S = 1.0 + random.random() * 5  # expect: SNAP002
OFFSET = random.Random().randrange(60)  # expect: SNAP002
# case: bad: in an object's attribute
import random


class Backoff:
    def __init__(self):
        self.base = random.uniform(0.5, 1.5)


policy = Backoff()  # expect: SNAP002
# case: good: drawn in the handler
import random


def handler(event, context):
    return random.choice(event["options"])


# case: good: drawn from a fixed seed, so not by chance
import random


def table():
    rng = random.Random(7)
    return [rng.random() for _ in range(10)]


TABLE = table()
# case: good: drawn again after restore
import random
from snapshot_restore_py import register_after_restore

SHARD = random.randint(0, 9)


@register_after_restore
def spread():
    global SHARD
    SHARD = random.randint(0, 9)


# case: good: used within init
import random
import time


def connect():
    for attempt in range(3):
        time.sleep(random.random())
    return True


READY = connect()
