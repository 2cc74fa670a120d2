"""Hamiltonian Monte Carlo: moves that leave a density over codes exactly invariant."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from course_lib.data.noise import normal, uniform

LogDensity = Callable[[Float[Tensor, "batch code"]], Float[Tensor, " batch"]]
Gradient = Callable[[Float[Tensor, "batch code"]], Float[Tensor, "batch code"]]
JITTER = 0.2


def gradient_of(log_density: LogDensity) -> Gradient:
    """z -> d log_density / d z. Only z is differentiated: the parameters of the model gather no gradient."""

    def gradient(z: Float[Tensor, "batch code"]) -> Float[Tensor, "batch code"]:
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            return torch.autograd.grad(log_density(z).sum(), z)[0]

    return gradient


def leapfrog(
    gradient: Gradient,
    z: Float[Tensor, "batch code"],
    p: Float[Tensor, "batch code"],
    step: Float[Tensor, "batch _"],
    leapfrogs: int,
) -> tuple[Float[Tensor, "batch code"], Float[Tensor, "batch code"]]:
    """`leapfrogs` times: p += step/2 grad(z), z += step p, p += step/2 grad(z). Returns the new position and momentum.

    Reversible (negate p and the way leads back) and volume-preserving; log_density(z) - |p|^2 / 2 is kept up to an
    error of order step^2. Source: Neal (2011), MCMC using Hamiltonian dynamics, arXiv 1206.1901.
    """
    p = p + step / 2 * gradient(z)
    for rest in reversed(range(leapfrogs)):
        z = z + step * p
        p = p + (step if rest else step / 2) * gradient(z)
    return z, p


def transition(
    log_density: LogDensity,
    z: Float[Tensor, "batch code"],
    step: Float[Tensor, "batch _"],
    leapfrogs: int,
    generator: torch.Generator,
) -> tuple[Float[Tensor, "batch code"], Float[Tensor, " batch"]]:
    """One move of each chain: p ~ N(0, I), leapfrog to (z', p'), z' kept with probability min(1, exp(H - H')).

    H = |p|^2 / 2 - log_density(z). Returns the codes and these probabilities. A step of its own for each dimension
    is the same as rescaling the codes by it. Steps are varied by up to 20% at random, whatever z is: else a
    trajectory that closes on itself would go nowhere. Source: Neal (2011), arXiv 1206.1901.
    """
    p = normal(z.shape, generator, like=z)
    step = step * (1 + JITTER * (2 * uniform((len(z), 1), generator, like=z) - 1))
    z_new, p_new = leapfrog(gradient_of(log_density), z, p, step, leapfrogs)
    gain = log_density(z_new) - log_density(z) + (p**2 - p_new**2).sum(-1) / 2
    # A diverged trajectory has no energy that is a number: it is refused.
    acceptance = gain.clamp(max=0).exp().nan_to_num(0)
    moves = uniform((len(z),), generator, like=z) < acceptance
    return torch.where(moves[:, None], z_new, z), acceptance
