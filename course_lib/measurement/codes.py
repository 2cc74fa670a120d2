"""The codes of a whole data set: their posteriors, one draw of each, what each costs, and which dimensions are used."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from course_lib.models.gaussian import DiagonalGaussian, PointCode
from course_lib.models.vae import VAE

ACTIVE = 0.01
POINT = -23.0
"""A log-variance below this, a standard deviation under 1e-5, counts as a point: float32 codes near 3 step by 2e-7."""


@dataclass(frozen=True)
class Codes:
    """q(z|x) of N images, with one draw z of each, all in float64; a point has the log-variance minus infinity.

    rate: KL(q(z|x), p(z)) per image, infinite for points. log_prior: log p(z). Both in nats.
    """

    q: DiagonalGaussian
    z: Float[Tensor, "n code"]
    rate: Float[Tensor, " n"]
    log_prior: Float[Tensor, " n"]

    def __len__(self) -> int:
        return len(self.z)

    def __getitem__(self, rows: Int[Tensor, " rows"] | slice) -> "Codes":
        """The codes of some of the images."""
        q = DiagonalGaussian(self.q.mu[rows], self.q.log_var[rows])
        return Codes(q, self.z[rows], self.rate[rows], self.log_prior[rows])

    @property
    def deterministic(self) -> bool:
        """True when the encoder answers points, not densities: then log q(z|x), and so the rate, is not finite."""
        return bool((self.q.log_var < POINT).any())

    def refuse_points(self, wanted: str) -> None:
        """Raises ValueError, naming what was `wanted`, when the encoder is deterministic."""
        if self.deterministic:
            raise ValueError(
                f"this encoder answers points (standard deviations under 1e-5): {wanted} has no finite value; "
                "measure an encoder that answers a Gaussian"
            )


@torch.no_grad()
def encode_all(
    vae: VAE, x: Float[Tensor, "n colours height width"], generator: torch.Generator, batch_size: int = 1000
) -> Codes:
    """Every image encoded, in batches. The noise is drawn once for all images, so batches do not change the draw.

    The codes lie where the images are, or on the CPU if that device has no float64 (Apple's mps).
    Raises ValueError for an encoder whose answers are not finite.
    """
    answers = [vae.encode(part) for part in x.split(batch_size)]
    mu, log_var = torch.cat([q.mu for q in answers]), torch.cat([_log_var(q) for q in answers])
    _refuse_not_finite(mu, log_var)
    z = DiagonalGaussian(mu, log_var).sample(generator)
    parts = zip(mu.split(batch_size), log_var.split(batch_size), z.split(batch_size), strict=True)
    costs = [_costs(vae, DiagonalGaussian(mu, log_var), z) for mu, log_var, z in parts]
    rate, log_prior = (torch.cat(column) for column in zip(*costs, strict=True))
    mu, log_var, z, rate, log_prior = map(_double, (mu, log_var, z, rate, log_prior))
    return Codes(DiagonalGaussian(mu, log_var), z, rate, log_prior)


def _log_var(q: DiagonalGaussian | PointCode) -> Tensor:
    return torch.full_like(q.mu, -math.inf) if isinstance(q, PointCode) else q.log_var


def _refuse_not_finite(mu: Tensor, log_var: Tensor) -> None:
    """Minus infinity is the log-variance of a point, and no fault."""
    wrong = ~(mu.isfinite() & (log_var < math.inf)).all(1)
    if wrong.any():
        raise ValueError(
            f"the encoder's answer to {int(wrong.sum())} of {len(mu)} images is not finite: look for NaN in the "
            "images; if there is none, train again with a lower learning rate"
        )


def _costs(vae: VAE, q: DiagonalGaussian, z: Tensor) -> tuple[Tensor, Tensor]:
    """The rate, infinite for points, and log p(z)."""
    points = q.log_var.isneginf().any(1)
    return vae.rate(q, z).masked_fill(points, math.inf), vae.prior.log_prob(z)


def _double(values: Tensor) -> Tensor:
    return (values.cpu() if values.device.type == "mps" else values).double()


def active_units(codes: Codes) -> Bool[Tensor, " code"]:
    """True for the dimensions whose mean moves with the image: Var_x(E_q[z_d]) > 0.01.

    Source: Burda et al. (2016), arXiv 1509.00519, section 5.2.
    """
    return codes.q.mu.var(0) > ACTIVE


def rate_per_dimension(codes: Codes) -> Float[Tensor, " code"]:
    """E_x KL(q(z_d|x), N(0, 1)) in nats, which sums to the rate if p(z) = N(0, I)."""
    return codes.q.kl_per_dimension().mean(0)
