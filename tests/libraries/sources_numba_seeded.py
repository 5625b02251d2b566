"""numba: a seed that compiled code chose."""

import random

import numba
import numpy as np


@numba.njit
def seed():
    np.random.seed(42)


@numba.njit
def seeded():
    return np.random.random()


@numba.njit
def other():
    return random.random()


seed()


def sources():
    return {"kept: np.random": seeded, "random": other}
