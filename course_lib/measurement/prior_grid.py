"""The likelihood of a VAE with a code of one or two numbers, by looking everywhere: no encoder is asked."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from course_lib.measurement.likelihood import NLL, log_prob_table, summary
from course_lib.models.priors import StandardNormal
from course_lib.models.vae import VAE

ROWS = 10_000


def prior_grid(code_size: int, side: int) -> Float[Tensor, "nodes code"]:
    """side^code_size codes of equal weight under N(0, I), in float64: Phi^-1((i + 1/2) / side) along each axis."""
    axis = torch.special.ndtri((torch.arange(side, dtype=torch.float64) + 0.5) / side)
    return torch.cartesian_prod(*[axis] * code_size).view(-1, code_size)


@torch.no_grad()
def prior_grid_nll(
    vae: VAE, x: Float[Tensor, "n colours height width"], side: int = 200, binarisation: str = "images as given"
) -> NLL:
    """-log p(x) with p(x) = E_p(z) p(x|z) as the mean over `prior_grid`, in nats per image.

    What importance sampling from q(z|x) misses where q is no posterior, a grid of the whole prior finds; what lies
    between its nodes it misses. Exact for a decoder that is smooth at its step: compare two sides.
    Raises ValueError for longer codes, a prior other than N(0, I), or no node.
    """
    if vae.code_size > 2 or not isinstance(vae.prior, StandardNormal) or side < 1:
        raise ValueError(
            "a grid of the prior needs a code of one or two numbers, the prior N(0, I) and at least one node a side, "
            f"got {vae.code_size}, {type(vae.prior).__name__} and {side}: take iwae_nll or ais for other models"
        )
    parts = prior_grid(vae.code_size, side).split(ROWS)
    log_p = torch.stack([log_prob_table(vae, x, codes).logsumexp(0) for codes in parts]).logsumexp(0)
    return summary(vae.code_size * math.log(side) - log_p, f"grid of {side} nodes a side", binarisation)
