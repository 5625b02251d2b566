import numpy as np

weights = np.linspace(0, 1, 50)
generator = np.random.default_rng()


def handler(event, context):
    return float(np.round(weights @ weights, 6))


def unique():
    return {"generator": generator.random(), "global": np.random.random()}
