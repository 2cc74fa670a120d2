"""Autoencoding a single bit: n pixels that are all 0 or all 1, and how many it takes before a code pays.

Source: Rui Shu (2017), "Autoencoding a Single Bit" (blog post).
"""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from course_lib.measurement.worlds.account import Account
from course_lib.measurement.worlds.discrete import kl
from course_lib.measurement.worlds.quadrature import gaussian_table, gaussian_world, grid
from course_lib.models.gaussian import DiagonalGaussian

DATA = torch.tensor([0.5, 0.5], dtype=torch.float64)


@dataclass(frozen=True)
class OneBit:
    """x is n zeros or n ones, each half of the time; q(z|0) = N(-mu, s^2), q(z|1) = N(mu, s^2); p(z) = N(0, 1).

    p(x|z) = prod_i p(x_i|z) has independent pixels, and is the best one for q: p(x_i = 1|z) = q(x = 1|z), which is
    sigmoid(2 mu z / s^2). So distortion = n H(x|z), and with rate = I(x;z) + KL(q(z), p(z)), I(x;z) = log 2 - H(x|z):

        loss = distortion + rate = log 2 + (n - 1) H(x|z) + KL(q(z), p(z)).

    The KL is that of the aggregate, a mixture of both Gaussians. n - 1 weighs what z leaves open against it, so that
    at n = 1 nothing beats an empty code. An autoregressive decoder pays H(x|z) once: log 2, with z unused, for all n.
    Raises ValueError for n < 1 or s that is not positive.
    """

    pixels: int
    mu: float
    s: float

    def __post_init__(self):
        if not (self.pixels >= 1 and self.s > 0):
            raise ValueError(f"at least one pixel and a positive s are needed, got n = {self.pixels}, s = {self.s:g}")

    def account(self) -> Account:
        """All terms in nats per image, by sums over a grid of z."""
        z, q = grid(), _posteriors(self.mu, self.s)
        logit = 2 * self.mu * z / self.s**2
        log_likelihood = self.pixels * torch.stack([F.logsigmoid(-logit), F.logsigmoid(logit)], 1)
        return gaussian_world(z, log_likelihood).account(gaussian_table(q, z), DATA)


def _posteriors(mu: float, s: float) -> DiagonalGaussian:
    """q(z|0) and q(z|1)."""
    means = torch.tensor([[-mu], [mu]], dtype=torch.float64)
    return DiagonalGaussian(means, torch.full_like(means, 2 * math.log(s)))


def loss(pixels: float, q: DiagonalGaussian) -> Float[Tensor, ""]:
    """log 2 + (n - 1) H(x|z) + KL(q(z), p(z)) in nats, for any two Gaussians; differentiable. n need not be whole."""
    z = grid()
    table = gaussian_table(q, z)
    aggregate = DATA @ table
    information = DATA @ kl(table, aggregate.log())
    log_prior = gaussian_world(z, torch.zeros(len(z), 2).double()).log_prior
    return math.log(2) + (pixels - 1) * (math.log(2) - information) + kl(aggregate, log_prior)


def best(pixels: float) -> OneBit:
    """The q of least loss, with mu = r cos(angle) and s = r sin(angle): r^2 is the second moment of q(z).

    From a code that is apart, by steps of r and the angle, each half as long once none of them lowers the loss.
    Raises ValueError for n < 1. At n = 1 the best code is empty, mu = 0 and s = 1; above 1 no longer, but only just.
    """
    empty = OneBit(pixels, 0.0, 1.0)
    if pixels == 1:
        return empty
    r, angle, step = 1.0, 0.4, 0.1
    while step > 1e-8:
        around = [(r + i * step, angle + j * step) for i, j in ((0, 0), (1, 0), (-1, 0), (0, 1), (0, -1))]
        values = torch.stack([loss(pixels, _posteriors(*_from_polar(*place))) for place in around])
        nearest = int(values.argmin())
        (r, angle), step = around[nearest], step if nearest else step / 2
    return OneBit(pixels, *_from_polar(r, angle))


def _from_polar(r: float, angle: float) -> tuple[float, float]:
    return r * math.cos(angle), r * math.sin(angle)
