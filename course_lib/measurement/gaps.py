"""What the ELBO loses: to the family of q, and to the encoder that must answer for every image."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from course_lib.measurement.ais import ais
from course_lib.measurement.likelihood import summary
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
        approximation, amortisation = summary(self.approximation, "", ""), summary(self.amortisation, "", "")
        return (
            f"approximation gap {approximation.nats:.3f} ± {approximation.standard_error:.3f}, amortisation gap "
            f"{amortisation.nats:.3f} ± {amortisation.standard_error:.3f} nats per image ({amortisation.images} images)"
        )


def gaps(
    vae: VAE,
    x: Float[Tensor, "images colours height width"],
    generator: torch.Generator,
    log_prob: Float[Tensor, " images"] | None = None,
    steps: int = 500,
    samples: int = 1000,
) -> Gaps:
    """log p(x) - ELBO[q] = approximation gap + amortisation gap, per image, both ELBOs with the same noise.

    log_prob is found by AIS, with its default settings, if left out. Each ELBO is the mean of `samples` draws, so a
    gap that is truly zero scatters about it. Source: Cremer, Li and Duvenaud (2018), arXiv 1801.03558, section 3.
    """
    if log_prob is None:
        log_prob = ais(vae, x, generator).log_prob
    with torch.no_grad():
        q = vae.encode(x)
    best = best_gaussian(vae, x, q, generator, steps)
    elbos = [elbo(vae, x, one, generator.clone_state(), samples) for one in (best, q)]
    return Gaps(log_prob.double(), *elbos)


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

    `draws` codes a step and a cosine decay to zero average the noise out. Only mu and log_var get gradients.
    """
    mu, log_var = (t.detach().clone().requires_grad_() for t in (start.mu, start.log_var))
    optimiser = torch.optim.Adam([mu, log_var], lr=learning_rate)
    decay = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    rows = x.repeat_interleave(draws, 0)
    for _ in range(steps):
        optimiser.zero_grad()
        q = DiagonalGaussian(mu.repeat_interleave(draws, 0), log_var.repeat_interleave(draws, 0))
        (-_elbo_draw(vae, rows, q, generator).sum() / draws).backward(inputs=[mu, log_var])
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
    """E_q log p(x|z) - KL(q, p(z)) in nats per image, the mean over `draws` codes."""
    return sum(_elbo_draw(vae, x, q, generator).double() for _ in range(draws)) / draws


def _elbo_draw(vae: VAE, x: Tensor, q: DiagonalGaussian, generator: torch.Generator) -> Float[Tensor, " images"]:
    """log p(x|z) - rate for one draw of z; the rate in closed form where there is one."""
    z = q.sample(generator)
    return vae.decoder.log_prob(x, z) - vae.rate(q, z)
