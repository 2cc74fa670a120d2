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
def information(vae: VAE, x: Tensor, generator: torch.Generator, block: int = 200) -> Information:
    """I(x;z) = E log q(z|x) - log q(z), with q(z) the mixture of all N posteriors of `x`, in blocks of its rows.

    The mixture with x's own posterior in it bounds I(x;z) from below, the one without it (leave one out) from above.
    Raises ValueError for fewer than two images. Source: Poole et al. (2019), arXiv 1905.06922, section 2.
    """
    n = len(x)
    if n < 2:
        raise ValueError(f"mutual information is measured among images: at least two are needed, got {n}")
    q = vae.encode(x)
    z = q.sample(generator)
    rows = torch.arange(n, device=x.device).split(block)
    gains = [_gains(pairwise_log_prob(q, z[part]), part) for part in rows]
    lower, upper = (float(torch.cat(sides).mean()) for sides in zip(*gains, strict=True))
    return Information(lower, upper, math.log(n))


def _gains(pairs: Float[Tensor, "b n"], own_columns: Tensor) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
    """log q(z|x) - log q(z) for each row, with x's own posterior in the mixture and without it."""
    n = pairs.shape[1]
    own = pairs.gather(1, own_columns[:, None])
    others = pairs.scatter(1, own_columns[:, None], -math.inf)
    own = own.squeeze(1)
    return own - pairs.logsumexp(1) + math.log(n), own - others.logsumexp(1) + math.log(n - 1)


def pairwise_log_prob(q: DiagonalGaussian, z: Float[Tensor, "b code"]) -> Float[Tensor, "b n"]:
    """Entry [i, j] is log q(z_i | x_j), in float64."""
    z = z.double()[:, None, :]
    return DiagonalGaussian(q.mu.double()[None], q.log_var.double()[None]).log_prob(z)
