"""What the ELBO loses: to the family of q, and to the encoder that must answer for every image."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from course_lib.measurement.ais import ais
from course_lib.measurement.mean import Mean
from course_lib.models.gaussian import DiagonalGaussian
from course_lib.models.vae import VAE


@dataclass(frozen=True)
class Gaps:
    """log p(x), the ELBO of the best diagonal Gaussian q*, and that of the encoder's q: nats for each image."""

    log_prob: Float[Tensor, " images"]
    best_elbo: Float[Tensor, " images"]
    elbo: Float[Tensor, " images"]

    @property
    def approximation(self) -> Float[Tensor, " images"]:
        """log p(x) - ELBO[q*] = KL(q*, p(z|x)): no diagonal Gaussian does better."""
        return self.log_prob - self.best_elbo

    @property
    def amortisation(self) -> Float[Tensor, " images"]:
        """ELBO[q*] - ELBO[q]: what one encoder for all images loses against a q for each."""
        return self.best_elbo - self.elbo

    def __str__(self) -> str:
        approximation, amortisation = Mean.of(self.approximation), Mean.of(self.amortisation)
        return (
            f"approximation gap {approximation.value:.3f} ± {approximation.standard_error:.3f}, amortisation gap "
            f"{amortisation.value:.3f} ± {amortisation.standard_error:.3f} nats per image ({len(self.elbo)} images)"
        )


def gaps(
    vae: VAE,
    x: Float[Tensor, "images colours height width"],
    generator: torch.Generator,
    log_prob: Float[Tensor, " images"] | None = None,
    steps: int = 500,
    samples: int = 500,
) -> Gaps:
    """log p(x) - ELBO[q] = approximation gap + amortisation gap, per image, both ELBOs with the same noise.

    log_prob is found by AIS, with its default settings, if left out. Each ELBO is the mean of `samples` draws, so a
    gap that is truly zero scatters about it. Source: Cremer, Li and Duvenaud (2018), arXiv 1801.03558, section 3.
    """
    if log_prob is None:
        log_prob = ais(vae, x, generator).log_prob
    with torch.no_grad():
        q = vae.encode(x)
    same_noise = generator.clone_state()
    of_encoder = elbo(vae, x, q, generator, samples)
    best = best_gaussian(vae, x, q, generator, steps)
    return Gaps(log_prob.double(), elbo(vae, x, best, same_noise, samples), of_encoder)


@torch.enable_grad()
def best_gaussian(
    vae: VAE,
    x: Float[Tensor, "images colours height width"],
    start: DiagonalGaussian,
    generator: torch.Generator,
    steps: int = 500,
    draws: int = 8,
    learning_rate: float = 0.05,
) -> DiagonalGaussian:
    """q*: for each image the diagonal Gaussian of greatest ELBO, by Adam on (mu, log_var) from `start`.

    The gradient goes through z alone: that through the parameters of log q(z) is zero on average, and only noise
    (Roeder, Wu and Duvenaud 2017, arXiv 1703.09194). `draws` codes a step, and a cosine decay to zero.
    """
    mu, log_var = (t.detach().clone().requires_grad_() for t in (start.mu, start.log_var))
    optimiser = torch.optim.Adam([mu, log_var], lr=learning_rate)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    rows = x.repeat_interleave(draws, 0)
    for _ in range(steps):
        optimiser.zero_grad()
        q = DiagonalGaussian(mu.repeat_interleave(draws, 0), log_var.repeat_interleave(draws, 0))
        still = DiagonalGaussian(q.mu.detach(), q.log_var.detach())
        loss = -_log_weight(vae, rows, still, q.sample(generator)).sum() / draws
        loss.backward(inputs=[mu, log_var])
        optimiser.step()
        decay.step()
    return DiagonalGaussian(mu.detach(), log_var.detach())


@torch.no_grad()
def elbo(
    vae: VAE,
    x: Float[Tensor, "images colours height width"],
    q: DiagonalGaussian,
    generator: torch.Generator,
    draws: int,
) -> Float[Tensor, " images"]:
    """E_q log p(x|z) + log p(z) - log q(z|x) in nats per image, the mean over `draws` codes.

    Where q is near the posterior all draws are alike, which no closed form of the rate achieves.
    Raises ValueError for no draw at all.
    """
    if draws < 1:
        raise ValueError(f"an ELBO is the mean over draws of the code: at least one, got {draws}")
    return sum(_log_weight(vae, x, q, q.sample(generator)).double() for _ in range(draws)) / draws


def _log_weight(vae: VAE, x: Tensor, q: DiagonalGaussian, z: Float[Tensor, "batch code"]) -> Float[Tensor, " batch"]:
    return vae.decoder.log_prob(x, z) + vae.prior.log_prob(z) - q.log_prob(z)
