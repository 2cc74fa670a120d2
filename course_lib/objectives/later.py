"""Training goes on: a schedule is taken up where it was left, not begun anew."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from course_lib.objectives.objective import Objective, Terms, Wrapper


class Later(Wrapper):
    """The inner objective for a model that has learnt for `steps` steps already: `.at(t)` is the inner's at steps + t.

    A warm-up that was over stays over, and one that was interrupted goes on. Called without `.at` it is the inner one.
    """

    def __init__(self, inner: Objective, steps: int):
        super().__init__(inner)
        self.steps = steps

    def __repr__(self) -> str:
        return f"Later({self.inner!r}, steps={self.steps})"

    def __call__(
        self, model: nn.Module, x: Float[Tensor, "batch colours height width"], generator: torch.Generator
    ) -> Terms:
        """The terms of the inner objective."""
        return self.inner(model, x, generator)

    def at(self, step: int) -> Objective:
        """The inner objective as its schedule has it `steps` later."""
        return self.inner.at(self.steps + step)
