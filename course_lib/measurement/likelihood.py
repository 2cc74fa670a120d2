"""How well a model predicts images it has never seen: nll = -log p(x), in nats per image."""

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from course_lib.data import binarise
from course_lib.measurement.mean import Mean
from course_lib.models.factorised import FactorisedDecoder
from course_lib.models.outputs import Bernoulli
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


def exact_nll(model: nn.Module, images: Float[Tensor, "n colours height width"], seed: int) -> NLL:
    """The mean of `exact_nll_per_image`, with its standard error."""
    return summary(exact_nll_per_image(model, images, seed), "exact", f"dynamic binarisation, seed {seed}")


@torch.no_grad()
def iwae_log_prob(
    vae: VAE, x: Float[Tensor, "batch colours height width"], samples: int, generator: torch.Generator, rows: int = 250
) -> Float[Tensor, " batch"]:
    """log 1/K sum_k p(x|z_k) p(z_k) / q(z_k|x) with z_k ~ q(z|x): in expectation a lower bound of log p(x), in nats.

    K = 1 gives the ELBO, and the bound tightens with K. `rows` images are decoded at once: several draws of few
    images, or one draw of a part of many. Raises ValueError for K < 1, or a deterministic encoder.
    Source: Burda et al. (2016), arXiv 1509.00519, equation 8.
    """
    if samples < 1:
        raise ValueError(f"the bound averages over K = samples draws of the code: at least one, got {samples}")
    return torch.cat([_iwae_of(vae, part, samples, generator, rows) for part in x.split(rows)])


def _iwae_of(vae: VAE, x: Tensor, samples: int, generator: torch.Generator, rows: int) -> Float[Tensor, " batch"]:
    q, at_once = vae.encode(x), max(1, rows // len(x))
    log_weights = []
    for first in range(0, samples, at_once):
        z = torch.stack([q.sample(generator) for _ in range(min(at_once, samples - first))])
        log_joint = vae.decoder.log_prob(_repeated(x, len(z)), z.flatten(0, 1)) + vae.prior.log_prob(z.flatten(0, 1))
        log_weights.append(log_joint.view(len(z), len(x)) - q.log_prob(z))
    return torch.cat(log_weights).logsumexp(0) - math.log(samples)


def _repeated(x: Tensor, times: int) -> Tensor:
    return x.expand(times, *x.shape).flatten(0, 1)


def iwae_nll(
    vae: VAE,
    x: Float[Tensor, "n colours height width"],
    samples: int,
    generator: torch.Generator,
    binarisation: str = "images as given",
) -> NLL:
    """-log p(x) by the importance-weighted bound with K = `samples`: an upper bound on average."""
    return summary(-iwae_log_prob(vae, x, samples, generator).double(), f"IWAE bound, K = {samples}", binarisation)


def iwae_nll_from_few(
    vae: VAE,
    x: Float[Tensor, "n colours height width"],
    few: int,
    samples: int,
    generator: torch.Generator,
    binarisation: str = "images as given",
) -> NLL:
    """-log p(x) over all of x, with K = `samples` for the first `few` alone, which must be a random choice of them:

        mean over all of -ELBO(x)  -  mean over the few of (bound(x) - ELBO(x))

    What the bound gains on the ELBO differs much less among images than -log p(x) does, so that few are enough. The
    standard error joins those of the two means. Raises ValueError for fewer than two, or more than there are.
    Source: Cochran (1977), Sampling Techniques, chapter 7, the difference estimator.
    """
    by_elbo, gained = elbo_and_gain(vae, x, few, samples, generator)
    whole, part = Mean.of(by_elbo), Mean.of(gained)
    error = math.hypot(whole.standard_error, part.standard_error)
    told = f"IWAE bound, K = {samples} on {few} images, K = 1 on all"
    return NLL(whole.value - part.value, error, len(x), told, binarisation)


def elbo_and_gain(
    vae: VAE, x: Float[Tensor, "n colours height width"], few: int, samples: int, generator: torch.Generator
) -> tuple[Float[Tensor, " n"], Float[Tensor, " few"]]:
    """-ELBO of every image, and by how much -ELBO exceeds the bound with K = `samples` for the first `few`; in nats.

    Raises ValueError for fewer than two, or more than there are.
    """
    if not 2 <= few <= len(x):
        raise ValueError(f"few must lie between 2 and the {len(x)} images; got {few}")
    by_elbo = -iwae_log_prob(vae, x, 1, generator).double()
    return by_elbo, by_elbo[:few] + iwae_log_prob(vae, x[:few], samples, generator).double()


@torch.no_grad()
def distortion_per_image(
    vae: VAE, x: Float[Tensor, "n colours height width"], z: Float[Tensor, "n code"], batch_size: int = 250
) -> Float[Tensor, " n"]:
    """-log p(x|z), in nats, one code for each image, in batches."""
    pairs = zip(x.split(batch_size), z.to(x).split(batch_size), strict=True)
    return torch.cat([-vae.decoder.log_prob(images, codes) for images, codes in pairs]).double()


@torch.no_grad()
def log_prob_table(
    vae: VAE, x: Float[Tensor, "n colours height width"], z: Float[Tensor, "codes code"]
) -> Float[Tensor, "codes n"]:
    """log p(x_i|z_k) in nats, in float64: every code with every image.

    A factorised decoder of black and white pixels decodes each code once, whatever the images: with its logits l_k the
    entry is x_i' l_k - sum log(1 + exp(l_k)). Any other decoder is asked about each pair.
    """
    z, decoder = z.to(x), vae.decoder
    if not (isinstance(decoder, FactorisedDecoder) and isinstance(decoder.output, Bernoulli)):
        pairs = [decoder.log_prob(image.expand(len(z), *image.shape), z) for image in x]
        return torch.stack(pairs, 1).double()
    decoder.output.check(x)
    logits = decoder(x[:1].expand(len(z), *x.shape[1:]), z).flatten(1).double()
    return logits @ x.flatten(1).double().T - F.softplus(logits).sum(1, keepdim=True)


def summary(nats: Float[Tensor, " images"], estimator: str, binarisation: str) -> NLL:
    """The mean of per-image values, with its standard error."""
    mean = Mean.of(nats)
    return NLL(mean.value, mean.standard_error, len(nats), estimator, binarisation)
