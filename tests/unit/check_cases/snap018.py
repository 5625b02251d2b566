# case: bad: the global generators
import random

import numpy as np

random.seed(42)  # expect: SNAP018
np.random.seed(0)  # expect: SNAP018
# case: bad: jitter from a fixed sequence
import random
import time

rng = random.Random(7)  # expect: SNAP018


def retry(call):
    time.sleep(rng.random())
    return call()


# case: bad: ids from it, in an object
import random

SEED = 1234


class Ids:
    def __init__(self):
        self._rng = random.Random(SEED)

    def request_id(self):
        return "%032x" % self._rng.getrandbits(128)


ids = Ids()  # expect: SNAP018
# case: good: reproducible by intent
import random

import numpy as np

sample = np.random.default_rng(42)


def split(rows):
    order = list(rows)
    random.Random(42).shuffle(order)
    return order, sample.permutation(len(order))


# case: good: no seed
import random


def handler(event, context):
    return random.random()


# case: good: seeded anew after restore
import random
from snapshot_restore_py import register_after_restore

random.seed(42)


@register_after_restore
def reseed():
    random.seed()
