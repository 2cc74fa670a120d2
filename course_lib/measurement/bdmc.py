"""Bidirectional Monte Carlo: log p(x) bounded from both sides, on images that the model drew."""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from course_lib.measurement.ais import AIS, forward, log_mean_exp
from course_lib.measurement.annealing import Annealing, bridge, find_steps, walk
from course_lib.measurement.mean import Mean
from course_lib.models.vae import VAE


@dataclass(frozen=True)
class BDMC:
    """Images drawn by the model, with a lower and an upper bound (each in expectation) of log p(x) in nats."""

    x: Float[Tensor, "images colours height width"]
    forward: AIS
    upper: Float[Tensor, " images"]

    @property
    def lower(self) -> Float[Tensor, " images"]:
        """The forward chains' log-mean-exp."""
        return self.forward.log_prob

    @property
    def gap(self) -> Float[Tensor, " images"]:
        """upper - lower, in expectation the error of the two together: neither is further from log p(x) than this."""
        return self.upper - self.lower

    def __str__(self) -> str:
        gap = Mean.of(self.gap)
        return (
            f"log p(x) between {float(self.lower.mean()):.3f} and {float(self.upper.mean()):.3f} nats: gap "
            f"{gap.value:.3f} ± {gap.standard_error:.3f} over {len(self.gap)} images drawn by the model "
            f"(BDMC {self.forward.annealing})"
        )


@torch.no_grad()
def bdmc(
    vae: VAE, count: int, generator: torch.Generator, annealing: Annealing = Annealing(), progress: bool = False
) -> BDMC:
    """`count` images z ~ p(z), x ~ p(x|z), and log p(x) bounded from both sides.

    Below by AIS. Above because z is an exact draw from p(z|x): the same chains run backwards from there have
    E[1/w] = 1/p(x), so that -log 1/K sum_k 1/w_k is in expectation an upper bound. All reverse chains of an image
    start at its one z. The gap tells how good AIS is on the model's own images, with these settings.
    Source: Grosse, Ghahramani and Adams (2015), arXiv 1511.02543.
    """
    z = vae.prior.sample(count, generator, like=next(vae.parameters()))
    x = vae.decoder.sample(count, generator, z)
    steps = find_steps(vae, x, annealing, generator, progress)
    lower = forward(vae, x, steps, annealing, generator, progress)
    path, bar = bridge(vae, x, annealing.start, annealing.chains), dict(desc="backwards", disable=not progress)
    z, betas = z.repeat_interleave(annealing.chains, 0), annealing.betas()[::-1]
    inverse, _ = walk(path, z, betas, steps.flip(0), annealing, generator, **bar)
    return BDMC(x, lower, -log_mean_exp(inverse))
