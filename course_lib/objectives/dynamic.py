"""Grey images in, black and white images learnt."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from course_lib.data.binarisation import binarise
from course_lib.objectives.objective import Objective, Terms, Wrapper


class DynamicBinarisation(Wrapper):
    """The inner objective on grey images that are binarised anew at each call; see `course_lib.data.binarise`."""

    def __call__(
        self, model: nn.Module, x: Float[Tensor, "batch colours height width"], generator: torch.Generator
    ) -> Terms:
        """The terms on b ~ Bernoulli(x). Raises ValueError for grey levels outside [0, 1]."""
        return self.inner(model, binarise(x, generator), generator)

    def at(self, step: int) -> Objective:
        """Binarisation before the inner objective's schedule."""
        return DynamicBinarisation(self.inner.at(step))

    def warmed(self, share: float) -> Objective:
        """Binarisation before the inner objective with `share` of its rate's weight."""
        return DynamicBinarisation(self.inner.warmed(share))
