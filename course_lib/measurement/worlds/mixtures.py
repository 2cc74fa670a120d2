"""When Gaussians add up to a Gaussian: finite mixtures never do unless they agree, the right infinite one does."""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from course_lib.measurement.worlds.discrete import DiscreteWorld, require_probabilities
from course_lib.measurement.worlds.linear_gaussian import Gaussian
from course_lib.measurement.worlds.quadrature import gaussian_table, gaussian_world, grid
from course_lib.models.gaussian import DiagonalGaussian


@dataclass(frozen=True)
class Mixture:
    """p(x) = sum_k w_k N(x; m_k, S_k), in one or two dimensions: a Gaussian only if all components agree.

    Along any direction phi(t) = E exp(itx) = sum_k w_k exp(i m_k t - s_k^2 t^2 / 2). The narrowest decide its tail:
    phi(t) exp(min s_k^2 t^2 / 2) nears a finite sum of waves w_k exp(i m_k t), which never dies down. The Gaussian of
    the same moments has the variance E s_k^2 + Var m_k >= min s_k^2, and the same tail only where all agree.
    In x it is the widest component that decides the tail, which the Gaussian's may exceed or fall short of.
    Raises ValueError for weights that do not sum to 1.
    """

    weights: Float[Tensor, " k"]
    means: Float[Tensor, "k d"]
    covs: Float[Tensor, "k d d"]

    def __post_init__(self):
        require_probabilities(self.weights, "the weights of a mixture")

    def log_prob(self, x: Float[Tensor, "batch d"]) -> Float[Tensor, " batch"]:
        """log sum_k w_k N(x; m_k, S_k), in nats."""
        return (self._log_parts(x) + self.weights.log()).logsumexp(1)

    def _log_parts(self, x: Float[Tensor, "batch d"]) -> Float[Tensor, "batch k"]:
        """log N(x; m_k, S_k)."""
        return torch.stack([Gaussian(m, S).log_prob(x) for m, S in zip(self.means, self.covs, strict=True)], 1)

    def matched_gaussian(self) -> Gaussian:
        """The Gaussian with the same mean E m_k and covariance E S_k + Cov m_k: of all Gaussians the nearest in KL."""
        mean = self.weights @ self.means
        off = self.means - mean
        return Gaussian(mean, torch.einsum("k,kij->ij", self.weights, self.covs + off[:, :, None] * off[:, None, :]))

    def kl_to(self, other: Gaussian) -> Float[Tensor, ""]:
        """KL(p, other) in nats, by a sum over a grid: exact to about 1e-12 for components of like width."""
        x, cell = self._grid()
        log_p = self.log_prob(x)
        return (log_p.exp() * (log_p - other.log_prob(x))).sum() * cell

    def information(self) -> Float[Tensor, ""]:
        """I(k;x) = sum_k w_k KL(N(m_k, S_k), p) in nats: what x tells of its component. As exact as `kl_to`."""
        x, cell = self._grid()
        log_parts = self._log_parts(x)
        return (self.weights * log_parts.exp() * (log_parts - self.log_prob(x)[:, None])).sum() * cell

    def _grid(self) -> tuple[Float[Tensor, "nodes d"], float]:
        """Nodes from 9 standard deviations before the first component to 9 after the last, 1/5 of the least apart."""
        s = torch.stack([S.diagonal().sqrt() for S in self.covs])
        steps = [float(torch.linalg.eigvalsh(self.covs).min()) ** 0.5 / 5] * s.shape[1]
        low, high = (self.means - 9 * s).min(0).values, (self.means + 9 * s).max(0).values
        axes = [torch.arange(float(a), float(b), h, dtype=s.dtype) for a, b, h in zip(low, high, steps, strict=True)]
        return torch.cartesian_prod(*axes).view(-1, len(axes)), math.prod(steps)


def shifted_copies(s: float, count: int) -> Mixture:
    """`count` equal Gaussians N(m_k, s^2), with m_k at the middle quantiles of N(0, 1 - s^2): nearer N(0, 1) the more.

    No finite number gets there; `infinite_mixture_log_prob` does. Raises ValueError unless s lies between 0 and 1.
    """
    _require_narrow(s)
    middle = (torch.arange(count).double() + 0.5) / count
    m = (1 - s**2) ** 0.5 * torch.special.ndtri(middle)
    return Mixture(torch.full_like(m, 1 / count), m[:, None], torch.full_like(m, s**2)[:, None, None])


def quadrature_copies(s: float, count: int) -> Mixture:
    """`count` Gaussians N(m_k, s^2), placed and weighted by the Gauss-Hermite rule for N(0, 1 - s^2).

    Its moments are those of N(0, 1) up to the order 2 count - 1, so that few components come near, where
    `shifted_copies` needs many. For s near 1 KL(p, N(0, 1)) is (1 - s^2)^(2 count) / (2 binomial(2 count, count)).
    Raises ValueError unless s lies between 0 and 1. Source: Golub and Welsch (1969), Math. Comp. 23(106).
    """
    _require_narrow(s)
    nodes, weights = (torch.from_numpy(part) for part in np.polynomial.hermite_e.hermegauss(count))
    m = (1 - s**2) ** 0.5 * nodes
    return Mixture(weights / weights.sum(), m[:, None], torch.full_like(m, s**2)[:, None, None])


def infinite_mixture_log_prob(x: Float[Tensor, " batch"], s: float) -> Float[Tensor, " batch"]:
    """log of the integral of N(x; m, s^2) N(m; 0, 1 - s^2) over m, by a sum over a grid: it is log N(x; 0, 1).

    Each component is narrower than the whole, and no two agree: yet all of them together are Gaussian exactly.
    Raises ValueError unless s lies between 0 and 1.
    """
    _require_narrow(s)
    r = (1 - s**2) ** 0.5
    m = grid(step=min(s, r) / 5)[:, None]
    component = DiagonalGaussian(m, torch.full_like(m, 2 * math.log(s)))
    weight = DiagonalGaussian(torch.zeros_like(m), torch.full_like(m, 2 * math.log(r)))
    return (component.log_prob(x[:, None, None]) + weight.log_prob(m)).logsumexp(1) + math.log(m[1] - m[0])


def _require_narrow(s: float) -> None:
    if not 0 < s < 1:
        raise ValueError(f"a component is narrower than the whole, N(0, 1): choose s between 0 and 1, not {s:g}")


def world_of_posteriors(
    q: DiagonalGaussian, data: Float[Tensor, " images"], z: Float[Tensor, " nodes"]
) -> DiscreteWorld:
    """A world in which the posterior of every image of the data is the Gaussian that q gives it, on a grid of z.

    p(x = k|z) = c data_k q(z|k) / p(z), with the largest c that keeps their sum within 1. What is left over goes to
    one more state, the last, which the data never show: its posterior is no Gaussian, and makes up the prior.
    Raises ValueError for a q as wide as the prior, of which no share fits under it.
    """
    if (q.log_var >= 0).any():
        raise ValueError("each q(z|x) must be narrower than the prior, with log_var below 0")
    table = (data[:, None] * gaussian_table(q, z)).T
    prior = gaussian_world(z, torch.zeros(len(z), 0)).log_prior.exp()
    shown = table / prior[:, None]
    shown = shown / shown.sum(1).max()
    rest = 1 - shown.sum(1, keepdim=True)
    return DiscreteWorld(prior.log(), torch.cat([shown, rest.clamp(min=0)], 1).log())
