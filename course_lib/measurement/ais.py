"""log p(x) by annealed importance sampling."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from course_lib.measurement.annealing import Annealing, bridge, find_steps, walk
from course_lib.measurement.likelihood import NLL, summary
from course_lib.models.vae import VAE


@dataclass(frozen=True)
class AIS:
    """The log-weights of all chains, whose log-mean-exp is in expectation a lower bound of log p(x), in nats."""

    log_weights: Float[Tensor, "images chains"]
    acceptance: Float[Tensor, " images"]
    annealing: Annealing

    @property
    def log_prob(self) -> Float[Tensor, " images"]:
        """log p(x) = log 1/K sum_k w_k, per image."""
        return log_mean_exp(self.log_weights)

    @property
    def standard_error(self) -> Float[Tensor, " images"]:
        """The spread over chains, std(w) / (mean(w) sqrt(K)), per image; NaN for one chain.

        It is blind to what no chain has found, such as a second mode of the posterior: see `bdmc`.
        """
        w = (self.log_weights - self.log_prob[:, None]).exp()
        return w.std(dim=1) / w.shape[1] ** 0.5

    def nll(self, binarisation: str) -> NLL:
        """The mean of -log p(x), with its standard error over the images."""
        return summary(-self.log_prob, f"AIS {self.annealing}", binarisation)

    def __str__(self) -> str:
        error, acceptance = float(self.standard_error.mean()), float(self.acceptance.mean())
        return (
            f"log p(x) = {float(self.log_prob.mean()):.3f} nats per image ({len(self.log_prob)} images; for one image "
            f"± {error:.3f} over chains, acceptance {acceptance:.2f}; AIS {self.annealing})"
        )


@torch.no_grad()
def ais(
    vae: VAE,
    x: Float[Tensor, "images colours height width"],
    generator: torch.Generator,
    annealing: Annealing = Annealing(),
    block: int = 100,
    progress: bool = False,
) -> AIS:
    """log p(x) per image, by annealing from q(z|x) or p(z) to p(x, z), `block` images and their chains at a time.

        w = prod_t f_(b_(t+1))(z_t) / f_(b_t)(z_t),  E[w] = p(x),  log p(x) >= E log 1/K sum_k w_k

    Any prior and decoder with log_prob will do; the model is only read. The step sizes are found in a preliminary
    run and then frozen (`find_steps`). With no distributions between start and end this is importance sampling.
    Source: Neal (2001), Annealed importance sampling, arXiv physics/9803008; for decoders Wu et al. (2017),
    arXiv 1611.04273.
    """
    parts = []
    for part in x.split(block):
        steps = find_steps(vae, part, annealing, generator, progress)
        parts.append(forward(vae, part, steps, annealing, generator, progress))
    return AIS(torch.cat([p.log_weights for p in parts]), torch.cat([p.acceptance for p in parts]), annealing)


def forward(
    vae: VAE,
    x: Float[Tensor, "images colours height width"],
    steps: Float[Tensor, "distributions images"],
    annealing: Annealing,
    generator: torch.Generator,
    progress: bool,
) -> AIS:
    """One run from the start to p(x, z), with given step sizes."""
    path = bridge(vae, x, annealing.start, annealing.chains)
    z, bar = path.draw(generator), dict(desc="annealing", disable=not progress)
    return AIS(*walk(path, z, annealing.betas(), steps, annealing, generator, **bar), annealing)


def log_mean_exp(log_weights: Float[Tensor, "images chains"]) -> Float[Tensor, " images"]:
    """log 1/K sum_k exp(log w_k)."""
    return log_weights.logsumexp(1) - math.log(log_weights.shape[1])
