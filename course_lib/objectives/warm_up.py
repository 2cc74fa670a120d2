"""KL warm-up: the code is free at first, and pays in full later."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from course_lib.objectives.objective import Objective, Terms, Wrapper


class KLWarmUp(Wrapper):
    """The weight of the rate times min(1, step / steps): linear, from 0 at step 0 to the whole at `steps`.

    For the ELBO it is a beta that grows from 0 to 1. For InfoVAE the weight of the rate, 1 - alpha, is scaled and
    that of the divergence is not: from the first step on q(z) is held to the prior, while each q(z|x) is free.
    Called without `.at(step)` it is the objective after the warm-up.
    Raises ValueError for fewer than one step, or for an objective without a rate.
    Source: Bowman et al. (2016), arXiv 1511.06349, section 3.1, there with a sigmoid; linear in Sønderby et al.
    (2016), arXiv 1602.02282.
    """

    def __init__(self, inner: Objective, steps: int):
        if steps < 1:
            raise ValueError(f"a warm-up of {steps} steps is none: choose at least 1, or leave KLWarmUp out")
        super().__init__(inner.warmed(1.0))
        self.steps = steps

    def __repr__(self) -> str:
        return f"KLWarmUp({self.inner!r}, steps={self.steps})"

    def __call__(
        self, model: nn.Module, x: Float[Tensor, "batch colours height width"], generator: torch.Generator
    ) -> Terms:
        """The terms of the inner objective with the whole weight."""
        return self.inner(model, x, generator)

    def at(self, step: int) -> Objective:
        """The inner objective with the share of the rate's weight that belongs to `step`."""
        return self.inner.at(step).warmed(min(1.0, step / self.steps))
