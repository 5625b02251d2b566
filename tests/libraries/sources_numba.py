"""numba: compiled code's own generators, as `np.random` and as `random`."""

import random

import numba
import numpy as np


@numba.njit
def with_numpy():
    return np.random.randint(0, 2**62)


@numba.njit
def with_random():
    return random.getrandbits(62)


def sources():
    return {"np.random": lambda: int(with_numpy()), "random": lambda: int(with_random())}
