"""The rate in three parts: what the code says, how its dimensions hang together, how each differs from the prior."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from course_lib.measurement.codes import Codes
from course_lib.measurement.information import pairwise_log_prob
from course_lib.models.gaussian import DiagonalGaussian


@dataclass(frozen=True)
class Decomposition:
    """rate = index_code + total_correlation + dimension_wise, in nats; `ceiling` = log N is that of `index_code`."""

    index_code: float
    total_correlation: float
    dimension_wise: float
    ceiling: float

    @property
    def rate(self) -> float:
        """The sampled rate, E log q(z|x) - log p(z)."""
        return self.index_code + self.total_correlation + self.dimension_wise

    def __str__(self) -> str:
        return (
            f"rate {self.rate:.2f} nats = index-code information {self.index_code:.2f} (ceiling {self.ceiling:.2f}) "
            f"+ total correlation {self.total_correlation:.2f} + dimension-wise KL {self.dimension_wise:.2f}"
        )


@torch.no_grad()
def decomposition(codes: Codes, block: int = 500) -> Decomposition:
    """The average KL in three parts, each by one draw z of every posterior, with q(z) the mixture of all N.

    E KL(q(z|x), p(z)) = E[log q(z|x) - log q(z)] + E[log q(z) - sum_d log q(z_d)] + E[sum_d log q(z_d) - log p(z)]

    No minibatch weights: the mixture is the whole data set. The parts are those of the finite set, so that near the
    ceiling log N the first is too small and the second too large. The last is a sum of KL(q(z_d), p(z_d)) where p(z)
    has independent dimensions. Raises ValueError for a deterministic encoder.
    Source: Chen et al. (2018), arXiv 1802.04942, equation 2.
    """
    codes.refuse_points("the rate")
    conditional = codes.q.log_prob(codes.z).mean()
    joint = aggregate_log_prob(codes.q, codes.z, block).mean()
    marginals = marginal_log_prob(codes, block).sum(1).mean()
    parts = (conditional - joint, joint - marginals, marginals - codes.log_prior.mean())
    return Decomposition(*(float(part) for part in parts), ceiling=math.log(len(codes)))


def aggregate_log_prob(q: DiagonalGaussian, z: Float[Tensor, "m code"], block: int = 500) -> Float[Tensor, " m"]:
    """log q(z) = log 1/N sum_j q(z|x_j) in nats, for the mixture of all N posteriors."""
    parts = [pairwise_log_prob(q, part).logsumexp(1) for part in z.split(block)]
    return torch.cat(parts) - math.log(len(q.mu))


def marginal_log_prob(codes: Codes, block: int = 500) -> Float[Tensor, "n code"]:
    """log q(z_d) = log 1/N sum_j q(z_d|x_j) in nats, of each code in each dimension on its own."""
    q, columns = codes.q, range(codes.z.shape[1])
    singles = [DiagonalGaussian(q.mu[:, [d]], q.log_var[:, [d]]) for d in columns]
    return torch.stack([aggregate_log_prob(singles[d], codes.z[:, [d]], block) for d in columns], dim=1)
