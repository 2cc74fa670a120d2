"""What the divergences read between N(0, v I) and N(0, I), exactly: what their samples are held against."""

import math

import numpy as np

from course_lib.objectives.mmd import SCALES

NODES = 100


def mean_rbf(dim: int, bandwidth: float, variance: float) -> float:
    """E exp(-|a - b|^2 / h) for a - b ~ N(0, variance I): (1 + 2 variance / h)^(-dim/2)."""
    return (1 + 2 * variance / bandwidth) ** (-dim / 2)


def mmd_rbf(dim: int, v: float, bandwidth: float) -> float:
    """MMD^2 of N(0, v I) from N(0, I), kernel exp(-|a - b|^2 / h): m(2 v) + m(2) - 2 m(1 + v), m as in `mean_rbf`."""
    within = mean_rbf(dim, bandwidth, 2 * v) + mean_rbf(dim, bandwidth, 2)
    return within - 2 * mean_rbf(dim, bandwidth, 1 + v)


def mmd_imq(dim: int, v: float) -> float:
    """MMD^2 of N(0, v I) from N(0, I) with the library's kernel of several widths C = 2 s dim.

    C / (C + u) = integral of exp(-t - t u / C) over t > 0: RBF kernels of bandwidth C / t, summed by Gauss-Laguerre.
    """
    t, weights = np.polynomial.laguerre.laggauss(NODES)
    widths = [2 * scale * dim for scale in SCALES]
    values = [w * mmd_rbf(dim, v, width / at) for width in widths for at, w in zip(t, weights, strict=True)]
    return float(sum(values)) / len(widths)


def null_deviation(dim: int, bandwidth: float, n: int) -> float:
    """Standard deviation of the U-statistic of MMD^2 when both samples of n are from N(0, I), RBF kernel.

    With k centred at its means, k' = k - E_b k - E_a k + E k, all pairs are uncorrelated, so the variance is
    4 E k'^2 (1 / (n (n - 1)) + 1 / n^2), and E k'^2 = E k^2 - 2 E_a (E_b k)^2 + (E k)^2. Source: Gretton et al.
    (2012), JMLR 13, section 4.2, there in the limit.
    """
    h = bandwidth
    square, mean = mean_rbf(dim, h / 2, 2), mean_rbf(dim, h, 2)
    projected = (1 + 2 / h) ** (-dim) * (1 + 4 / (h + 2)) ** (-dim / 2)
    return math.sqrt(4 * (square - 2 * projected + mean**2) * (1 / (n * (n - 1)) + 1 / n**2))


def stein_rbf(dim: int, v: float, bandwidth: float) -> float:
    """KSD^2 of N(0, v I) from N(0, I), kernel exp(-|a - b|^2 / h).

    It is E (s_q - s_p)(a) . (s_q - s_p)(b) k(a, b) for a, b ~ q, and s_q - s_p = (1 - 1/v) z, so
    (1 - 1/v)^2 (1 + 4 v / h)^(-dim/2) dim 2 v^2 / (h + 4 v).
    """
    spread = dim * 2 * v**2 / (bandwidth + 4 * v)
    return (1 - 1 / v) ** 2 * mean_rbf(dim, bandwidth, 2 * v) * spread


def kl_scaled(dim: int, v: float) -> float:
    """KL(N(0, v I), N(0, I)) = dim/2 (v - 1 - log v), in nats."""
    return dim / 2 * (v - 1 - math.log(v))
