"""The InfoVAE objective, with the ELBO and the beta-VAE as its special cases."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from course_lib.models.vae import VAE
from course_lib.objectives.mmd import mmd_squared


@dataclass(frozen=True)
class InfoVAE:
    """loss = distortion + (1 - alpha) rate + (alpha + lambd - 1) D(q(z), p(z)), to be minimised.

    alpha = 0, lambd = 1 is the ELBO; alpha + lambd = 1 is a beta-VAE with beta = 1 - alpha.
    D compares samples of the aggregate q(z) with samples of the prior. Its default is MMD^2, in kernel units.
    Raises ValueError when alpha + lambd - 1 < 0: the divergence would be maximised.
    Source: Zhao, Song and Ermon (2019), arXiv 1706.02262, equation 6.
    """

    alpha: float = 0.0
    lambd: float = 1.0
    divergence: Callable[[Tensor, Tensor], Tensor] = mmd_squared

    def __post_init__(self):
        if self.weight < 0:
            raise ValueError(
                f"alpha + lambd - 1 = {self.weight:g} is negative, so the divergence would be maximised: "
                f"choose lambd of at least {1 - self.alpha:g}"
            )

    @property
    def weight(self) -> float:
        """The weight of the divergence, alpha + lambd - 1."""
        return self.alpha + self.lambd - 1

    def __call__(self, vae: VAE, x: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
        """Terms in nats per image, averaged over the batch: loss, distortion, rate and, where it counts, divergence."""
        q = vae.encode(x)
        z = q.sample(generator)
        distortion, rate = -vae.decoder.log_prob(x, z).mean(), vae.rate(q, z).mean()
        terms = {"loss": distortion + (1 - self.alpha) * rate, "distortion": distortion, "rate": rate}
        if self.weight > 0:
            prior = vae.prior.sample(len(z), generator, like=z)
            terms["divergence"] = self.divergence(z, prior)
            terms["loss"] = terms["loss"] + self.weight * terms["divergence"]
        return terms
