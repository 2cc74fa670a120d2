"""Free bits: a little information in each dimension of the code costs nothing."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor

from course_lib.models.gaussian import DiagonalGaussian
from course_lib.models.priors import StandardNormal
from course_lib.models.vae import VAE
from course_lib.objectives.gather import whole_batch
from course_lib.objectives.objective import Objective, Terms


@dataclass(frozen=True)
class FreeBits(Objective):
    """loss = distortion + sum_d max(floor, mean_batch KL_d), with KL_d = KL(q(z_d|x), p(z_d)) and `floor` in nats.

    The maximum is taken after the mean over the batch (of all processes), so single images may fall below the floor.
    The rate that is reported has no floor; floor = 0 is the ELBO. `warmth` as in `InfoVAE`.
    Raises ValueError for a negative floor. Source: Kingma et al. (2016), arXiv 1606.04934, appendix C.8.
    """

    floor: float
    warmth: float = 1.0

    def __post_init__(self):
        if not self.floor >= 0:
            raise ValueError(f"free bits of {self.floor:g} nats: KL is never negative, choose a floor of at least 0")

    def __call__(self, vae: VAE, x: Float[Tensor, "batch colours height width"], generator: torch.Generator) -> Terms:
        """Loss, distortion and rate. Raises ValueError unless q(z|x) is a diagonal Gaussian and the prior N(0, I)."""
        q = vae.encode(x)
        if not (isinstance(q, DiagonalGaussian) and isinstance(vae.prior, StandardNormal)):
            raise ValueError(
                "free bits need the KL of each dimension, known here for a diagonal Gaussian q(z|x) and the prior "
                f"N(0, I); got {type(q).__name__} and {type(vae.prior).__name__}: use InfoVAE or KLWarmUp instead"
            )
        distortion = -vae.decoder.log_prob(x, q.sample(generator)).mean()
        kl = q.kl_per_dimension()
        charged = whole_batch(kl).mean(0).clamp_min(self.floor).sum()
        return {"loss": distortion + self.warmth * charged, "distortion": distortion, "rate": kl.sum(1).mean()}

    def warmed(self, share: float) -> "FreeBits":
        """The same with `share` of the rate's weight, floor included."""
        return replace(self, warmth=share)
