"""The codes of all images together, q(z) = E_x q(z|x), beside the prior."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from scipy.stats import ks_2samp
from torch import Tensor

from course_lib.data.noise import uniform
from course_lib.measurement.codes import Codes
from course_lib.models.priors import Prior
from course_lib.objectives.divergence import NullBand, null_band
from course_lib.objectives.mmd import MMD

LEVEL = 0.05
DRAWS = 10
"""Draws of the prior for each code, so that the Kolmogorov-Smirnov distance is noisy by its codes alone."""


@dataclass(frozen=True)
class Aggregate:
    """q(z) of a data set. mean, variance and ks hold one number per dimension of the code.

    mmd_squared: U-statistic against draws of the prior; null: what it reads when both are the prior.
    log_det_cov: of the exact covariance of the mixture; 0 for N(0, I), minus infinity for codes in a plane.
    ks: the largest distance between the cumulative distributions of z_d and of the prior's draws.
    ks_critical: what the largest of all ks stays under in 95% of cases if q(z) is the prior.
    """

    mean: tuple[float, ...]
    variance: tuple[float, ...]
    log_det_cov: float
    mmd_squared: float
    null: NullBand
    ks: tuple[float, ...]
    ks_critical: float

    def __str__(self) -> str:
        score = self.null.z_score(self.mmd_squared)
        return (
            f"MMD^2 {self.mmd_squared:.2g} kernel units, {score:.1f} sd from its {self.null}\n"
            f"log det Cov q(z) {self.log_det_cov:.2f} (0 for N(0, I)), "
            f"variances {min(self.variance):.2f} to {max(self.variance):.2f}\n"
            f"largest Kolmogorov-Smirnov distance {max(self.ks):.3f} (under {self.ks_critical:.3f} if q(z) is p(z))"
        )


@torch.no_grad()
def aggregate(codes: Codes, prior: Prior, generator: torch.Generator, mmd_samples: int = 1000) -> Aggregate:
    """q(z) of `codes` beside `prior`. MMD^2 sees at most `mmd_samples` of the codes, chosen by chance.

    Sources: Gretton et al. (2012), JMLR 13; Smirnov (1948), Annals of Mathematical Statistics 19.
    """
    z, covariance = codes.z, aggregate_covariance(codes)
    n, dim = z.shape
    like = next(prior.parameters(), z)
    draws = prior.sample(DRAWS * n, generator, like).to(z)
    some = uniform((n,), generator, like=z).argsort()[:mmd_samples]
    null = null_band(MMD(), len(some), dim, generator, prior=prior)
    return Aggregate(
        mean=tuple(codes.q.mu.mean(0).tolist()),
        variance=tuple(covariance.diagonal().tolist()),
        log_det_cov=float(torch.linalg.slogdet(covariance).logabsdet),
        mmd_squared=float(MMD()(z[some], draws[: len(some)])),
        null=null,
        ks=tuple(_kolmogorov_smirnov(z[:, d], draws[:, d]) for d in range(dim)),
        ks_critical=ks_critical(n, DRAWS * n, dim),
    )


def aggregate_covariance(codes: Codes) -> Float[Tensor, "code code"]:
    """Cov q(z) = Cov_x(mu(x)) + diag E_x var(x), by the law of total covariance.

    Exact for the mixture of the N posteriors, so divided by N, with no noise from drawing z.
    """
    return torch.cov(codes.q.mu.T, correction=0).view(2 * codes.z.shape[1:]) + codes.q.log_var.exp().mean(0).diag()


def _kolmogorov_smirnov(a: Float[Tensor, " n"], b: Float[Tensor, " m"]) -> float:
    return float(ks_2samp(a.cpu().numpy(), b.cpu().numpy(), method="asymp").statistic)


def ks_critical(n: int, m: int, dimensions: int) -> float:
    """sqrt(-log(a / 2) / 2) sqrt((n + m) / (n m)) with a = 0.05 / dimensions: for the largest of several distances.

    Smirnov's limit for many samples, with Bonferroni's correction. Source: Smirnov (1948), Ann. Math. Statist. 19.
    """
    return math.sqrt(-math.log(LEVEL / dimensions / 2) / 2 * (n + m) / (n * m))
