import numpy as np
from scipy import interpolate, optimize, stats

curve = interpolate.CubicSpline([0, 1, 2, 3], [0, 1, 4, 9])
normal = stats.norm(loc=5, scale=2)


def handler(event, context):
    least = optimize.minimize_scalar(lambda x: (x - 2) ** 2)
    return [round(float(curve(1.5)), 6), round(float(least.x), 6), round(float(normal.cdf(5)), 6)]


def unique():
    return {"variates": np.asarray(normal.rvs(4)).tolist()}
