"""Integrals over one number z as sums on a fine grid, so that a model with a code of one number is solved by tables.

On a grid of step h the sum h sum_i f(z_i) of a smooth f that vanishes at both ends converges faster than any power
of h: with h a third of the narrowest Gaussian's standard deviation it is exact to machine precision.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from course_lib.measurement.worlds.discrete import DiscreteWorld
from course_lib.models.gaussian import DiagonalGaussian
from course_lib.models.priors import standard_normal_log_prob
from course_lib.models.vae import VAE


def grid(reach: float = 12.0, step: float = 0.005) -> Float[Tensor, " nodes"]:
    """-reach, ..., -step, 0, step, ..., reach, in float64."""
    half = round(reach / step)
    return torch.arange(-half, half + 1, dtype=torch.float64) * step


def gaussian_world(z: Float[Tensor, " nodes"], log_likelihood: Float[Tensor, "nodes states"]) -> DiscreteWorld:
    """The world of z ~ N(0, 1) on the nodes of a grid, with log p(x|z) given at each node for each state."""
    return DiscreteWorld(standard_normal_log_prob(z[:, None]) + math.log(z[1] - z[0]), log_likelihood)


def gaussian_table(q: DiagonalGaussian, z: Float[Tensor, " nodes"]) -> Float[Tensor, "states nodes"]:
    """q(z|x) on the nodes of a grid, one row for each x, for codes of one number.

    Raises ValueError for longer codes, and where a row does not sum to 1 because the Gaussian is too narrow or far.
    """
    if q.mu.shape[1] != 1:
        raise ValueError(f"a grid solves codes of one number, not of {q.mu.shape[1]}")
    mu, log_var = q.mu.double(), q.log_var.double()
    table = DiagonalGaussian(mu[:, None], log_var[:, None]).log_prob(z[None, :, None]).exp() * (z[1] - z[0])
    if (table.sum(1) - 1).abs().max() > 1e-6:
        raise ValueError("a Gaussian is too narrow for the grid, or leaves it: take a smaller step or a wider reach")
    # Without the smallest floats: half of one would round to zero in q(z), and its logarithm to -inf.
    return table * (table > 1e-300)


@torch.no_grad()
def solve(
    vae: VAE, x: Float[Tensor, "states colours height width"], z: Float[Tensor, " nodes"]
) -> tuple[DiscreteWorld, Float[Tensor, "states nodes"]]:
    """The world and the table q(z|x) of a VAE with a code of one number and the prior N(0, 1), on the images x."""
    codes = z[:, None].to(x)
    columns = [vae.decoder.log_prob(image.expand(len(z), *image.shape), codes).double() for image in x]
    return gaussian_world(z, torch.stack(columns, 1)), gaussian_table(vae.encode(x), z)
