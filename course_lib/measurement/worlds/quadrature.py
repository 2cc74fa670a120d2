"""Integrals over z as sums on a fine grid, so that a model with a code of one or two numbers is solved by tables.

On a grid of step h the sum h sum_i f(z_i) of a smooth f that vanishes at both ends converges faster than any power
of h: with h a third of the narrowest Gaussian's standard deviation it is exact to machine precision.
"""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from course_lib.measurement.likelihood import log_prob_table
from course_lib.measurement.worlds.discrete import DiscreteWorld
from course_lib.models.gaussian import DiagonalGaussian
from course_lib.models.priors import standard_normal_log_prob
from course_lib.models.vae import VAE


def grid(reach: float = 12.0, step: float = 0.005) -> Float[Tensor, " nodes"]:
    """-reach, ..., -step, 0, step, ..., reach, in float64."""
    half = round(reach / step)
    return torch.arange(-half, half + 1, dtype=torch.float64) * step


def plane(reach: float = 5.0, step: float = 0.1) -> Float[Tensor, "nodes 2"]:
    """The nodes of a square grid, for codes of two numbers; the second number moves first."""
    side = grid(reach, step)
    return torch.cartesian_prod(side, side)


def gaussian_world(
    z: Float[Tensor, " nodes"] | Float[Tensor, "nodes 2"], log_likelihood: Float[Tensor, "nodes states"]
) -> DiscreteWorld:
    """The world of z ~ N(0, I) on the nodes of a grid, with log p(x|z) given at each node for each state."""
    return DiscreteWorld(standard_normal_log_prob(_columns(z)) + math.log(_cell(z)), log_likelihood)


def gaussian_table(
    q: DiagonalGaussian, z: Float[Tensor, " nodes"] | Float[Tensor, "nodes 2"]
) -> Float[Tensor, "states nodes"]:
    """q(z|x) on the nodes of a grid, one row for each x.

    Raises ValueError for codes that are longer or shorter than the grid's nodes, and where a row does not sum to 1
    because the Gaussian is too narrow or far.
    """
    nodes = _columns(z)
    if q.mu.shape[1] != nodes.shape[1]:
        raise ValueError(f"this grid solves codes of {nodes.shape[1]} number(s), not of {q.mu.shape[1]}")
    mu, log_var = q.mu.double(), q.log_var.double()
    table = DiagonalGaussian(mu[:, None], log_var[:, None]).log_prob(nodes).exp() * _cell(z)
    if (table.sum(1) - 1).abs().max() > 1e-6:
        raise ValueError("a Gaussian is too narrow for the grid, or leaves it: take a smaller step or a wider reach")
    # Without the smallest floats: half of one would round to zero in q(z), and its logarithm to -inf.
    return table * (table > 1e-300)


def solved_world(
    vae: VAE, x: Float[Tensor, "states colours height width"], z: Float[Tensor, " nodes"] | Float[Tensor, "nodes 2"]
) -> DiscreteWorld:
    """p(z) and p(x|z) of a VAE with a code of one or two numbers and the prior N(0, I), on the images x."""
    return gaussian_world(z, log_prob_table(vae, x, _columns(z)))


@torch.no_grad()
def solve(
    vae: VAE, x: Float[Tensor, "states colours height width"], z: Float[Tensor, " nodes"] | Float[Tensor, "nodes 2"]
) -> tuple[DiscreteWorld, Float[Tensor, "states nodes"]]:
    """`solved_world`, and the encoder as a table q(z|x)."""
    return solved_world(vae, x, z), gaussian_table(vae.encode(x), z)


def _columns(z: Tensor) -> Float[Tensor, "nodes code"]:
    return z.view(len(z), -1)


def _cell(z: Tensor) -> float:
    """What one node stands for: the step, or its square."""
    return float((z[1] - z[0]).norm()) ** _columns(z).shape[1]
