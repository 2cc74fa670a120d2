"""How well a model predicts images it has never seen: nll = -log p(x), in nats per image."""

import math
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn

from course_lib.data import binarise
from course_lib.models.vae import VAE


@dataclass(frozen=True)
class NLL:
    """Mean negative log-likelihood with the standard error of that mean over the images."""

    nats: float
    standard_error: float
    images: int
    estimator: str
    binarisation: str

    def __str__(self) -> str:
        return (
            f"NLL {self.nats:.2f} ± {self.standard_error:.2f} nats per image "
            f"({self.images} images, {self.estimator}, {self.binarisation})"
        )


@torch.no_grad()
def exact_nll_per_image(
    model: nn.Module, images: Float[Tensor, "n colours height width"], seed: int, batch_size: int = 250
) -> Float[Tensor, " n"]:
    """-log p(x) of a model whose likelihood is tractable, on one dynamic binarisation drawn from `seed`, in nats."""
    x = binarise(images, torch.Generator().manual_seed(seed))
    return torch.cat([-model.log_prob(part) for part in x.split(batch_size)]).double()


def exact_nll(model: nn.Module, images: Tensor, seed: int) -> NLL:
    """The mean of `exact_nll_per_image`, with its standard error."""
    return summary(exact_nll_per_image(model, images, seed), "exact", f"dynamic binarisation, seed {seed}")


@torch.no_grad()
def iwae_log_prob(vae: VAE, x: Tensor, samples: int, generator: torch.Generator) -> Float[Tensor, " batch"]:
    """log 1/K sum_k p(x|z_k) p(z_k) / q(z_k|x) with z_k ~ q(z|x): in expectation a lower bound of log p(x), in nats.

    K = 1 gives the ELBO, and the bound tightens with K. Source: Burda et al. (2016), arXiv 1509.00519, equation 8.
    """
    q = vae.encode(x)
    weights = []
    for _ in range(samples):
        z = q.sample(generator)
        weights.append(vae.decoder.log_prob(x, z) + vae.prior.log_prob(z) - q.log_prob(z))
    return torch.stack(weights).logsumexp(0) - math.log(samples)


def iwae_nll(vae: VAE, x: Tensor, samples: int, generator: torch.Generator, binarisation: str) -> NLL:
    """-log p(x) of binary images by the importance-weighted bound with K = `samples`: an upper bound on average."""
    return summary(-iwae_log_prob(vae, x, samples, generator).double(), f"IWAE bound, K = {samples}", binarisation)


def summary(nats: Float[Tensor, " images"], estimator: str, binarisation: str) -> NLL:
    """The mean of per-image values, with its standard error."""
    return NLL(float(nats.mean()), float(nats.std() / len(nats) ** 0.5), len(nats), estimator, binarisation)
