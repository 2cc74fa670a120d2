"""Maximum mean discrepancy: how far two sets of samples are from having one source."""

import torch
from jaxtyping import Float
from torch import Tensor

SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)


def imq_kernel(a: Float[Tensor, "n code"], b: Float[Tensor, "m code"]) -> Float[Tensor, "n m"]:
    """k(a, b) = mean_s C_s / (C_s + |a - b|^2) with C_s = 2 s dim, over the scales s: between 0 and 1.

    2 dim is the expected |a - b|^2 for two draws from N(0, I).
    Source: Tolstikhin et al. (2018), arXiv 1711.01558, section 4.
    """
    squares = torch.cdist(a, b, compute_mode="donot_use_mm_for_euclid_dist") ** 2
    widths = [2 * scale * a.shape[1] for scale in SCALES]
    return sum(width / (width + squares) for width in widths) / len(widths)


def mmd_squared(a: Float[Tensor, "n code"], b: Float[Tensor, "m code"]) -> Float[Tensor, ""]:
    """The U-statistic of MMD^2: unbiased, so it is zero on average (and at times negative) when the sources agree.

    mean_{i != j} k(a_i, a_j) + mean_{i != j} k(b_i, b_j) - 2 mean_{ij} k(a_i, b_j), in kernel units.
    Raises ValueError with fewer than two samples on a side. Source: Gretton et al. (2012), JMLR 13, lemma 6.
    """
    if min(len(a), len(b)) < 2:
        raise ValueError(f"the U-statistic needs two samples on each side, got {len(a)} and {len(b)}")
    return _mean_off_diagonal(imq_kernel(a, a)) + _mean_off_diagonal(imq_kernel(b, b)) - 2 * imq_kernel(a, b).mean()


def _mean_off_diagonal(k: Float[Tensor, "n n"]) -> Float[Tensor, ""]:
    n = len(k)
    return (k.sum() - k.diagonal().sum()) / (n * (n - 1))
