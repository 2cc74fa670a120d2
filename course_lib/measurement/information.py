"""How much a code says about its image, measured on a whole data set."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from course_lib.data.noise import uniform
from course_lib.measurement.codes import Codes, encode_all
from course_lib.models.gaussian import DiagonalGaussian
from course_lib.models.vae import VAE

MARGIN = 1.0
"""Nats. A lower bound nearer than this to log N, or bounds further apart than this, resolve nothing.

So wherever it is called resolved the lower bound falls short of the truth by a nat at most, give or take the chance in
the upper bound: half a nat and more is common within two nats of log N.
"""


@dataclass(frozen=True)
class Information:
    """I(x;z) under q, in nats: at least `lower`, at most the smaller of `upper` and `rate`, measurable up to `ceiling`.

    lower: the mixture of all N posteriors stands for q(z). upper: all but x's own, leave one out. ceiling: log N.
    rate: E KL(q(z|x), p(z)), an upper bound that costs nothing. standard_error: of `lower`, over the images.
    """

    lower: float
    upper: float
    ceiling: float
    rate: float = math.inf
    standard_error: float = math.nan

    @property
    def at_most(self) -> float:
        """The smaller of the two upper bounds, infinite if neither is a number; chance may put it under `lower`."""
        bounds = [bound for bound in (self.upper, self.rate) if not math.isnan(bound)]
        return max(self.lower, min(bounds, default=math.inf))

    @property
    def resolved(self) -> bool:
        """False at a ceiling: `lower` within 1 nat of log N, or the bounds more than 1 nat apart."""
        return self.ceiling - self.lower > MARGIN and self.at_most - self.lower <= MARGIN

    def __str__(self) -> str:
        ceiling = f"(ceiling log N = {self.ceiling:.2f})"
        if self.resolved:
            return f"I(x;z) between {self.lower:.2f} and {self.at_most:.2f} nats {ceiling}"
        return f"I(x;z) not resolved: at least {self.lower:.2f} nats {ceiling}, at most {self.at_most:.4g}"


def information(
    vae: VAE, x: Float[Tensor, "n colours height width"], generator: torch.Generator, block: int = 500
) -> Information:
    """I(x;z) = E log q(z|x) - log q(z), with q(z) the mixture of all N posteriors of `x`, in blocks of its rows.

    Raises ValueError for fewer than two images, or a deterministic encoder.
    Source: Poole et al. (2019), arXiv 1905.06922, section 2.
    """
    return information_of(encode_all(vae, x, generator), block)


def information_of(codes: Codes, block: int = 500) -> Information:
    """I(x;z) of codes at hand.

    lower = E log q(z_i|x_i) - log 1/N sum_j q(z_i|x_j)             which cannot exceed log N
    upper = E log q(z_i|x_i) - log 1/(N-1) sum_{j != i} q(z_i|x_j)

    Both are bounds on average over data sets. Raises as `information` does. Source: as there.
    """
    n = len(codes)
    if n < 2:
        raise ValueError(f"mutual information is measured among images: at least two are needed, got {n}")
    codes.refuse_points("the information")
    rows = torch.arange(n, device=codes.z.device).split(block)
    gains = [_gains(pairwise_log_prob(codes.q, codes.z[part]), part) for part in rows]
    lower, upper = (torch.cat(sides) for sides in zip(*gains, strict=True))
    error = float(lower.std()) / math.sqrt(n)
    return Information(float(lower.mean()), float(upper.mean()), math.log(n), float(codes.rate.mean()), error)


def _gains(pairs: Float[Tensor, "b n"], own_columns: Tensor) -> tuple[Float[Tensor, " b"], Float[Tensor, " b"]]:
    """log q(z|x) - log q(z) for each row, with x's own posterior in the mixture and without it."""
    n = pairs.shape[1]
    own = pairs.gather(1, own_columns[:, None])
    lower = own.squeeze(1) - pairs.logsumexp(1) + math.log(n)
    others = pairs.scatter_(1, own_columns[:, None], -math.inf)
    return lower, own.squeeze(1) - others.logsumexp(1) + math.log(n - 1)


def pairwise_log_prob(q: DiagonalGaussian, z: Float[Tensor, "b code"]) -> Float[Tensor, "b n"]:
    """Entry [i, j] is log q(z_i | x_j), in float64, by two matrix products.

    log N(z; mu, var) = -1/2 [z^2 . 1/var - 2 z . mu/var + mu^2 . 1/var + sum log var + code log 2 pi]

    The squares cancel, which costs digits where posteriors are sharp: with 32 dimensions of codes of size 3, up to
    3e-5 nats at a standard deviation of 1e-4, and 4e-3 at 1e-5. Codes are centred, so that an offset costs nothing.
    """
    centre = q.mu.double().mean(0)
    z, mu, log_var = z.double() - centre, q.mu.double() - centre, q.log_var.double()
    precision = (-log_var).exp()
    constant = (mu**2 * precision + log_var + math.log(2 * math.pi)).sum(1)
    return torch.addmm(constant, z**2, precision.T).addmm_(z, (mu * precision).T, alpha=-2).mul_(-0.5)


@dataclass(frozen=True)
class Curve:
    """I(x;z) measured among the first K of the images in a random order, for growing K."""

    points: dict[int, Information]

    @property
    def slope(self) -> float:
        """d lower / d log K between the last two sizes: near 1 where every posterior is alone, 0 where all is seen."""
        before, last = list(self.points.values())[-2:]
        return (last.lower - before.lower) / (last.ceiling - before.ceiling)

    def __str__(self) -> str:
        rows = [f"{k:>7,} images: {found}" for k, found in self.points.items()]
        return "\n".join([*rows, f"slope against log K: {self.slope:.2f} (1: saturated, 0: resolved)"])


def information_curve(
    codes: Codes, generator: torch.Generator, sizes: tuple[int, ...] = (100, 300, 1000, 3000, 10_000)
) -> Curve:
    """I(x;z) among K of the images, for each K in `sizes` below N and for N itself: grows like log K when saturated.

    The subsets are nested. Raises ValueError when fewer than two sizes remain, or as `information` does.
    """
    n = len(codes)
    sizes = [*(size for size in sorted(sizes) if size < n), n]
    if len(sizes) < 2:
        raise ValueError(f"a curve needs a size below the number of images, {n}: pass smaller sizes")
    order = uniform((n,), generator, like=codes.z).argsort()
    return Curve({size: information_of(codes[order[:size]]) for size in sizes})
