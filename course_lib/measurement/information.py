"""How much a code says about its image, measured on a whole data set."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from course_lib.models.gaussian import DiagonalGaussian
from course_lib.models.vae import VAE


@dataclass(frozen=True)
class Information:
    """I(x;z) under q, in nats: between `lower` and `upper`, and never measurable beyond `ceiling` = log N."""

    lower: float
    upper: float
    ceiling: float

    def __str__(self) -> str:
        return f"I(x;z) between {self.lower:.2f} and {self.upper:.2f} nats (ceiling log N = {self.ceiling:.2f})"


@torch.no_grad()
def information(vae: VAE, x: Tensor, generator: torch.Generator) -> Information:
    """I(x;z) = E log q(z|x) - log q(z), with q(z) the mixture of all N posteriors of `x`.

    The mixture with x's own posterior in it bounds I(x;z) from below, the one without it (leave one out) from above.
    Source: Poole et al. (2019), arXiv 1905.06922, section 2.
    """
    q = vae.encode(x)
    z = q.sample(generator)
    pairs = pairwise_log_prob(q, z)
    own, n = pairs.diagonal(), len(x)
    others = pairs.masked_fill(torch.eye(n, dtype=torch.bool, device=x.device), -math.inf)
    lower = (own - pairs.logsumexp(1) + math.log(n)).mean()
    upper = (own - others.logsumexp(1) + math.log(n - 1)).mean()
    return Information(float(lower), float(upper), math.log(n))


def pairwise_log_prob(q: DiagonalGaussian, z: Float[Tensor, "n code"]) -> Float[Tensor, "n n"]:
    """Entry [i, j] is log q(z_i | x_j), in float64."""
    z = z.double()[:, None, :]
    return DiagonalGaussian(q.mu.double()[None], q.log_var.double()[None]).log_prob(z)
