"""One grey pixel that one code explains, or two: where the best Gaussian, and one rule for all pictures, fall short."""

import math
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from course_lib.measurement.gaps import Gaps
from course_lib.measurement.worlds.discrete import DiscreteWorld
from course_lib.measurement.worlds.quadrature import gaussian_table, gaussian_world, grid
from course_lib.models.gaussian import DiagonalGaussian

PICTURES = torch.tensor([0.0, 0.5, 1.0, 1.5, 2.0], dtype=torch.float64)


def hump_world(
    pictures: Float[Tensor, " pictures"], humps: int, sigma: float = 0.4
) -> tuple[DiscreteWorld, Float[Tensor, " nodes"]]:
    """Pictures of one grey pixel, z ~ N(0, 1), on a grid: x | z ~ N(z, sigma^2), or N(|z|, sigma^2) with two humps.

    In the second world z and -z make the same picture, so that the posterior has a hump on either side.
    """
    z = grid(reach=8.0, step=0.02)
    mean = z if humps == 1 else z.abs()
    off = (pictures - mean[:, None]) / sigma
    return gaussian_world(z, -0.5 * off**2 - math.log(sigma * math.sqrt(2 * math.pi))), z


def gaussian_family() -> DiagonalGaussian:
    """What the encoder of a hump world may answer: means -2, -1.975, ..., 2.5, deviations 0.1, 0.12, ..., 1."""
    means, deviations = torch.arange(-80, 101).double() / 40, torch.arange(5, 51).double() / 50
    members = torch.cartesian_prod(means, deviations)
    return DiagonalGaussian(members[:, :1], 2 * members[:, 1:].log())


def elbos(world: DiscreteWorld, members: Float[Tensor, "members nodes"]) -> Float[Tensor, "members pictures"]:
    """sum_z q(z) (log p(z) + log p(x|z) - log q(z)) of every member of a family, for every picture."""
    return members @ world.log_joint().T + torch.special.entr(members).sum(1, keepdim=True)


def best_members(humps: int) -> tuple[Gaps, DiagonalGaussian, DiagonalGaussian]:
    """The gaps of a hump world's pictures, the best Gaussian for each, and the best straight-line encoder's answers.

    That encoder, N(a x, s^2), is a VAE's in small: one rule, a and s, for all pictures.
    """
    world, z = hump_world(PICTURES, humps)
    family = gaussian_family()
    best, member = elbos(world, gaussian_table(family, z)).max(0)
    line = max((_straight_line(a / 20, s / 50) for a in range(25) for s in range(5, 51)), key=_mean_elbo(world, z))
    own = elbos(world, gaussian_table(line, z)).diagonal()
    return Gaps(world.log_prob(), best, own), DiagonalGaussian(family.mu[member], family.log_var[member]), line


def _straight_line(a: float, s: float) -> DiagonalGaussian:
    mu = a * PICTURES[:, None]
    return DiagonalGaussian(mu, torch.full_like(mu, 2 * math.log(s)))


def _mean_elbo(world: DiscreteWorld, z: Tensor) -> Callable[[DiagonalGaussian], float]:
    return lambda q: float(elbos(world, gaussian_table(q, z)).diagonal().mean())
