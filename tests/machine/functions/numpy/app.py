import numpy as np

rng = np.random.default_rng()
seeded = np.random.default_rng(42)
TABLE = np.arange(10_000.0).reshape(100, 100)


def handler(event, context):
    a = np.array(event["matrix"], dtype=float)
    return {
        "determinant": float(np.linalg.det(a)),
        "sum": float((TABLE @ TABLE.T).trace()),
        "sample": rng.integers(0, 2**62, 4).tolist(),
        "legacy": np.random.randint(0, 2**62, 4).tolist(),
        "seeded": seeded.integers(0, 2**62, 4).tolist(),
    }
