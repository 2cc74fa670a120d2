"""A code of a rate that is chosen beforehand, so that models can be compared at the same one."""

import torch
from jaxtyping import Float
from torch import Tensor

from course_lib.data.binarisation import binarise
from course_lib.models.vae import VAE
from course_lib.objectives.gather import whole_batch
from course_lib.objectives.mmd import MMD
from course_lib.objectives.objective import Objective, Terms
from course_lib.objectives.reconstruction import Cost, Pixels


class TargetRate(Objective):
    """loss = cost + gamma |rate - nats| + lambd MMD^2(q(z), p(z)), with `cost` what a reconstruction is charged for.

    Where the cost falls by less than gamma for a nat of rate, the rate comes to lie at `nats`, so that costs in units
    of their own are compared fairly. At lambd = 0 a code that its decoder has no use for pays its rate by an aggregate
    unlike the prior, huddled in one place for instance: rate is not information. Grey images are binarised anew at each
    call before they are encoded. Raises ValueError for negative nats or lambd, and for a gamma of 0 or less.
    Source: Burgess et al. (2018), arXiv 1804.03599, equation 8, where lambd = 0.
    """

    def __init__(self, nats: float, gamma: float = 20.0, lambd: float = 200.0, cost: Cost | None = None):
        if not (nats >= 0 and gamma > 0 and lambd >= 0):
            raise ValueError(
                f"a rate is 0 nats or more, its weight gamma above 0, and lambd not below; got {nats:g}, {gamma:g} and "
                f"{lambd:g}"
            )
        self.nats, self.gamma, self.lambd, self.cost = nats, gamma, lambd, cost or Pixels()

    def __repr__(self) -> str:
        return f"TargetRate({self.nats:g}, gamma={self.gamma:g}, lambd={self.lambd:g}, cost={self.cost!r})"

    def __call__(self, vae: VAE, x: Float[Tensor, "batch colours height width"], generator: torch.Generator) -> Terms:
        """Loss, cost, rate and divergence."""
        seen = binarise(x, generator)
        q = vae.encode(seen)
        z = q.sample(generator)
        cost, rate = self.cost(vae.decoder, x, seen, z).mean(), vae.rate(q, z).mean()
        loss = cost + self.gamma * (whole_batch(rate[None]).mean() - self.nats).abs()
        apart = self._divergence(vae, z, generator)
        return {"loss": loss + self.lambd * apart, "cost": cost, "rate": rate, "divergence": apart}

    @staticmethod
    def _divergence(vae: VAE, z: Tensor, generator: torch.Generator) -> Tensor:
        with torch.autocast(z.device.type, enabled=False):
            z = z.to(torch.promote_types(z.dtype, torch.float32))
            return MMD()(whole_batch(z), whole_batch(vae.prior.sample(len(z), generator, like=z)))

    def after_step(self) -> None:
        """A cost that plays against the decoder learns here."""
        self.cost.after_step()

    def state_dict(self) -> dict:
        """The cost's."""
        return self.cost.state_dict()

    def load_state_dict(self, state: dict) -> None:
        """Take up the state that `state_dict` gave."""
        self.cost.load_state_dict(state)
