"""What every divergence between the aggregate q(z) and the prior p(z) has in common."""

from typing import Protocol

from jaxtyping import Float
from torch import Tensor


class Divergence(Protocol):
    """D(q(z), p(z)) from samples: zero on average when the two agree, in `unit`, differentiable in z.

    One that learns (an adversary) also has `learn(z, prior) -> None`, called after each step of the model with the
    codes and the prior's draws of that step, and `state_dict` and `load_state_dict`, so that a checkpoint holds it.
    """

    unit: str

    def __call__(self, z: Float[Tensor, "n code"], prior: Float[Tensor, "m code"]) -> Float[Tensor, ""]:
        """The divergence of the sample z of q(z) from the sample of p(z)."""
