"""Stein's way: the prior known by its score alone, as a discrepancy and as a direction to move the codes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from course_lib.models.priors import Prior, StandardNormal
from course_lib.objectives.distances import squared_distances
from course_lib.objectives.mmd import mean_off_diagonal

Score = Callable[[Float[Tensor, "n code"]], Float[Tensor, "n code"]]
Triple = tuple[Float[Tensor, "n n"], Float[Tensor, "n n"], Float[Tensor, "n n"]]


def imq_of(u: Float[Tensor, "n n"], dim: int) -> Triple:
    """f(u) = (1 + u / width)^(-1/2) with width = dim / 2, and its first two derivatives, at squared distances u.

    Its tail is long enough to see codes that have gone far away, where an RBF kernel is zero.
    Source: Gorham and Mackey (2017), arXiv 1703.01717.
    """
    width = dim / 2
    base = 1 + u / width
    f = base.rsqrt()
    return f, -f / base / (2 * width), 3 * f / base**2 / (4 * width**2)


def rbf_of(u: Float[Tensor, "n n"], dim: int) -> Triple:
    """f(u) = exp(-u / dim) and its first two derivatives, at squared distances u."""
    f = torch.exp(-u / dim)
    return f, -f / dim, f / dim**2


KERNELS = {"imq": imq_of, "rbf": rbf_of}


def standard_normal_score(z: Float[Tensor, "n code"]) -> Float[Tensor, "n code"]:
    """grad log N(z; 0, I) = -z."""
    return -z


def score_of(prior: Prior) -> Score:
    """grad_z log p(z) of any prior, by differentiating its `log_prob`."""

    def score(z: Tensor) -> Tensor:
        with torch.enable_grad():
            z = z.detach().requires_grad_()
            return torch.autograd.grad(prior.log_prob(z).sum(), z)[0]

    return score


@dataclass(frozen=True)
class Stein:
    """The kernelised Stein discrepancy as value, Stein's variational direction as gradient.

    With the score s = grad log p and k(a, b) = f(|a - b|^2):

        phi(z_i) = mean_{j != i} [k(z_j, z_i) s(z_j) + grad_{z_j} k(z_j, z_i)]
        value    = KSD^2 = mean_{i != j} [s_i . s_j k + s_i . grad_j k + s_j . grad_i k + trace grad_i grad_j k]
        d value / d z_i = -phi(z_i) / n

    Moving every code by eps phi lowers KL(q(z), p(z)) by eps KSD^2 to first order: hence the unit, and one sign.
    The gradient is not that of the value, but minus the fastest way down KL. Both leave j = i out, so that they are
    zero on average where q(z) = p(z). Liu and Wang keep it in phi, which pulls each code to the mode: 128 codes of
    64 dimensions then settle at a standard deviation of about 0.5, not 1.
    The prior enters through `score`, -z for N(0, I) if left out, else `score_of(prior)`; the prior does not learn.
    Raises ValueError for an unknown kernel, for fewer than two codes, and in InfoVAE for a prior without its score.
    Source: Liu, Lee and Jordan (2016), arXiv 1602.03253; Liu and Wang (2016), arXiv 1608.04471; as the training
    signal of a network: Feng, Wang and Liu (2017), arXiv 1707.06626.
    """

    kernel: str = "imq"
    score: Score = field(default=standard_normal_score, repr=False)
    unit: ClassVar[str] = "nats per unit step"

    def __post_init__(self):
        if self.kernel not in KERNELS:
            raise ValueError(f"no kernel {self.kernel!r}: choose one of {', '.join(KERNELS)}")

    def check_prior(self, prior: Prior) -> None:
        """Raises ValueError when the score is that of N(0, I) and the prior is another."""
        if self.score is standard_normal_score and not isinstance(prior, StandardNormal):
            raise ValueError(f"the prior is {type(prior).__name__}, not N(0, I): pass Stein(score=score_of(prior))")

    def __call__(self, z: Float[Tensor, "n code"], prior: Float[Tensor, "m code"]) -> Float[Tensor, ""]:
        """KSD^2 of the sample z of q(z), with Stein's direction as its gradient. The prior's sample is not needed."""
        if len(z) < 2:
            raise ValueError(f"the U-statistic needs two codes, got {len(z)}: take a batch of two or more")
        value, phi = self.value_and_direction(z.detach())
        pull = -(phi * z).sum() / len(z)
        return value + (pull - pull.detach())

    @torch.no_grad()
    def value_and_direction(self, z: Float[Tensor, "n code"]) -> tuple[Float[Tensor, ""], Float[Tensor, "n code"]]:
        """KSD^2 and phi(z), written with f, f', f'' at u = |z_i - z_j|^2."""
        (n, dim), s, u = z.shape, self.score(z), squared_distances(z, z)
        f, slope, curvature = KERNELS[self.kernel](u, dim)
        own, across = (s * z).sum(1), s @ z.T
        towards = own[:, None] + own - across - across.T  # (s_i - s_j) . (z_i - z_j)
        value = mean_off_diagonal(f * (s @ s.T) - 2 * slope * (towards + dim) - 4 * curvature * u)
        phi = f.fill_diagonal_(0) @ s + 2 * (slope @ z - slope.sum(1)[:, None] * z)
        return value, phi / (n - 1)
