# case: bad: the clock
import random
import time

random.seed(time.time())  # expect: SNAP004
# case: bad: the process id, through a variable
import os
import numpy as np

seed = os.getpid() * 7  # expect: SNAP006
np.random.seed(seed)  # expect: SNAP004
# case: bad: a generator of its own
import random
import time

rng = random.Random(int(time.time() * 1000))  # expect: SNAP004
# case: bad: the kernel's randomness does not help
import os
import random


def reseed():
    random.seed(os.urandom(16))  # expect: SNAP004


reseed()
# case: good: no seed
import random

random.random()
# case: good: seeded again after restore
import os
import random
from snapshot_restore_py import register_after_restore

random.seed(os.urandom(16))


@register_after_restore
def reseed():
    random.seed(os.urandom(16))


# case: good: seeded in the handler
import random
import time


def handler(event, context):
    random.seed(time.time())
    return random.random()


# case: good: nobody can tell what the setting is
import os
import random

random.seed(os.environ["SEED"])
