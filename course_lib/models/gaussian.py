"""What an encoder answers: the diagonal Gaussian, or its limit without any noise."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from course_lib.data.noise import normal


@dataclass
class DiagonalGaussian:
    """N(mu, diag(exp(log_var))), one per image. `log_var` is the log of the variance, not of the standard deviation."""

    mu: Float[Tensor, "batch code"]
    log_var: Float[Tensor, "batch code"]

    def sample(self, generator: torch.Generator) -> Float[Tensor, "batch code"]:
        """z = mu + exp(log_var / 2) * e with e ~ N(0, I): differentiable in mu and log_var.

        Source: Kingma and Welling (2014), arXiv 1312.6114, section 2.4.
        """
        return self.mu + (self.log_var / 2).exp() * normal(self.mu.shape, generator, like=self.mu)

    def log_prob(self, z: Float[Tensor, "... code"]) -> Float[Tensor, "..."]:
        """log N(z; mu, exp(log_var)) in nats, summed over the dimensions of the code."""
        square = (z - self.mu) ** 2 / self.log_var.exp()
        return -0.5 * (square + self.log_var + math.log(2 * math.pi)).sum(-1)

    def kl_per_dimension(self) -> Float[Tensor, "batch code"]:
        """KL(q_d, N(0, 1)) = 1/2 (mu_d^2 + var_d - 1 - log var_d), in nats, for each dimension of the code.

        Source: Kingma and Welling (2014), arXiv 1312.6114, appendix B.
        """
        return 0.5 * (self.mu**2 + self.log_var.exp() - 1 - self.log_var)

    def kl_to_standard_normal(self) -> Float[Tensor, " batch"]:
        """KL(q, N(0, I)), the sum over the dimensions of the code, in nats per image."""
        return self.kl_per_dimension().sum(-1)


@dataclass
class PointCode:
    """q(z|x) with all its mass at mu: a deterministic encoder. It can be drawn from, but has no density."""

    mu: Float[Tensor, "batch code"]

    def sample(self, generator: torch.Generator) -> Float[Tensor, "batch code"]:
        """z = mu; the generator is left as it was."""
        return self.mu

    def log_prob(self, z: Float[Tensor, "... code"]) -> Float[Tensor, "..."]:
        """Raises ValueError: a point has no density."""
        raise ValueError(_NO_DENSITY)

    def kl_to_standard_normal(self) -> Float[Tensor, " batch"]:
        """Raises ValueError: the KL is infinite."""
        raise ValueError(_NO_DENSITY)


_NO_DENSITY = (
    "a deterministic code has no density, and its rate KL(q(z|x), p(z)) is infinite: train it with InfoVAE and "
    "alpha = 1, which leaves the rate out (a Wasserstein autoencoder, arXiv 1711.01558), or use a Gaussian encoder"
)
