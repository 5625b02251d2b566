"""pyarrow: compute.random, which takes a seed too."""

import pyarrow.compute as pc


def sources():
    return {
        "compute.random": lambda: pc.random(2).to_pylist(),
        "kept: a chosen seed": lambda: pc.random(2, initializer=42).to_pylist(),
    }
