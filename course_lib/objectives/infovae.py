"""The InfoVAE objective, with the ELBO and the beta-VAE as its special cases."""

from dataclasses import dataclass, field, replace

import torch
from jaxtyping import Float
from torch import Tensor

from course_lib.models.gaussian import DiagonalGaussian, PointCode
from course_lib.models.vae import VAE
from course_lib.objectives.divergence import Divergence
from course_lib.objectives.gather import whole_batch
from course_lib.objectives.mmd import MMD
from course_lib.objectives.objective import Objective, Terms


@dataclass(frozen=True)
class InfoVAE(Objective):
    """loss = distortion + (1 - alpha) rate + (alpha + lambd - 1) D(q(z), p(z)), to be minimised.

    alpha = 0, lambd = 1 is the ELBO; alpha + lambd = 1 is a beta-VAE with beta = 1 - alpha; alpha = 1 is a Wasserstein
    autoencoder (Tolstikhin et al. 2018, arXiv 1711.01558), and the only one that trains an encoder without noise.
    D compares samples of the aggregate q(z) with samples of the prior, in its own unit; MMD^2 if left out.
    `warmth` is the share of the rate's weight that counts, 1 but for `KLWarmUp`.
    Raises ValueError when 1 - alpha or alpha + lambd - 1 is negative: a rate or a divergence would be maximised.
    Source: Zhao, Song and Ermon (2019), arXiv 1706.02262.
    """

    alpha: float = 0.0
    lambd: float = 1.0
    divergence: Divergence = MMD()
    warmth: float = 1.0
    _codes: list = field(default_factory=list, repr=False, compare=False)

    def __post_init__(self):
        if not self.alpha <= 1:
            raise ValueError(
                f"beta = 1 - alpha = {1 - self.alpha:g} is negative, so the rate, which has no upper limit, would be "
                "maximised: choose beta of at least 0, that is alpha of at most 1"
            )
        if not self.weight >= 0:
            raise ValueError(
                f"alpha + lambd - 1 = {self.weight:g} is negative, so the divergence would be maximised: "
                f"choose lambd of at least {1 - self.alpha:g}"
            )

    @property
    def weight(self) -> float:
        """The weight of the divergence, alpha + lambd - 1, without its rounding error."""
        return round(self.alpha + self.lambd - 1, 12)

    def __call__(self, vae: VAE, x: Float[Tensor, "batch colours height width"], generator: torch.Generator) -> Terms:
        """Loss, distortion, rate (where q(z|x) has a density) and divergence (where it counts), over the batch.

        Raises ValueError for an encoder without noise when alpha < 1: its rate is infinite.
        """
        q = vae.encode(x)
        z = q.sample(generator)
        terms = {"loss": -vae.decoder.log_prob(x, z).mean()}
        terms["distortion"] = terms["loss"]
        if self.alpha < 1 or not isinstance(q, PointCode):
            terms |= self._rate(vae, q, z, terms["loss"])
        if self.weight > 0:
            terms["divergence"] = self._divergence(vae, z, generator)
            terms["loss"] = terms["loss"] + self.weight * terms["divergence"]
        return terms

    def _rate(self, vae: VAE, q: DiagonalGaussian, z: Tensor, loss: Tensor) -> Terms:
        rate, weight = vae.rate(q, z).mean(), self.warmth * (1 - self.alpha)
        return {"rate": rate, "loss": loss + weight * rate if weight > 0 else loss}

    def _divergence(self, vae: VAE, z: Tensor, generator: torch.Generator) -> Tensor:
        """D on the codes of all processes, in float32 at least: half precision has no digits for small differences."""
        z = z.to(torch.promote_types(z.dtype, torch.float32))
        if hasattr(self.divergence, "check_prior"):
            self.divergence.check_prior(vae.prior)
        with torch.autocast(z.device.type, enabled=False):
            z, prior = whole_batch(z), whole_batch(vae.prior.sample(len(z), generator, like=z))
            if hasattr(self.divergence, "learn"):
                self._codes[:] = [z.detach(), prior.detach()]
            return self.divergence(z, prior)

    def warmed(self, share: float) -> "InfoVAE":
        """The same with `share` of the rate's weight; the divergence keeps its own."""
        return replace(self, warmth=share)

    def after_step(self) -> None:
        """A divergence that learns does so once, from the last batch's codes and draws of the prior."""
        if self._codes:
            self.divergence.learn(*self._codes)
            self._codes.clear()

    def state_dict(self) -> dict:
        """The state of a divergence that learns."""
        return {"divergence": self.divergence.state_dict()} if hasattr(self.divergence, "learn") else {}

    def load_state_dict(self, state: dict) -> None:
        """Take up the state of a divergence that learns."""
        if hasattr(self.divergence, "learn"):
            self.divergence.load_state_dict(state["divergence"])


def elbo() -> InfoVAE:
    """loss = distortion + rate. Source: Kingma and Welling (2014), arXiv 1312.6114."""
    return InfoVAE(alpha=0.0, lambd=1.0)


def beta_vae(beta: float) -> InfoVAE:
    """loss = distortion + beta rate. Raises ValueError for beta < 0. Source: Higgins et al. (2017), ICLR."""
    return InfoVAE(alpha=1 - beta, lambd=beta)
