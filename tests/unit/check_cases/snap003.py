# case: bad: numpy generator
import numpy as np

rng = np.random.default_rng()  # expect: SNAP003
# case: bad: in a class attribute and in a default argument
import random


class Picker:
    rng = random.Random()  # expect: SNAP003


def pick(options, rng=random.Random()):  # expect: SNAP003
    return rng.choice(options)


# case: bad: wrapped, seeded with None
import random
from numpy.random import PCG64, Generator

generator = Generator(PCG64())  # expect: SNAP003
plain = random.Random(None)  # expect: SNAP003
# case: bad: Faker, inside an object
from faker import Faker


class Samples:
    def __init__(self):
        self.fake = Faker()


samples = Samples()  # expect: SNAP003
# case: good: made where it is used
import random


def handler(event, context):
    return random.Random().random()


# case: good: the kernel's generator has no state
import random

rng = random.SystemRandom()
# case: good: seeded again after restore
import random
from snapshot_restore_py import register_after_restore

rng = random.Random()
register_after_restore(rng.seed)
# case: good: made again after restore
import numpy as np
from snapshot_restore_py import register_after_restore

rng = np.random.default_rng()


@register_after_restore
def renew():
    global rng
    rng = np.random.default_rng()


# case: good: reproducible on purpose
import numpy as np

sample = np.random.default_rng(42)


def handler(event, context):
    return {"sample": sample.normal(), "memory": hex(id(sample))}
