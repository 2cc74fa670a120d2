"""Squared distances between codes."""

import torch
from jaxtyping import Float
from torch import Tensor


def squared_distances(a: Float[Tensor, "n code"], b: Float[Tensor, "m code"]) -> Float[Tensor, "n m"]:
    """|a_i - b_j|^2 = |a_i|^2 + |b_j|^2 - 2 a_i . b_j, after the mean of b is taken from both.

    One matrix product. Its error is a few units in the last place of |a_i|^2 + |b_j|^2, which centring keeps small.
    Raises ValueError unless both hold codes of the same length, one a row.
    """
    if a.ndim != 2 or a.shape[1:] != b.shape[1:]:
        raise ValueError(
            f"two tables of codes of one length are compared, [n, code] and [m, code]: got {list(a.shape)} and "
            f"{list(b.shape)}"
        )
    centre = b.mean(0)
    a, b = a - centre, b - centre
    return torch.addmm((a * a).sum(1)[:, None] + (b * b).sum(1), a, b.T, alpha=-2).clamp_min(0)
