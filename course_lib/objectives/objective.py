"""The contract of an objective, and of one that wraps another."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

Terms = dict[str, Float[Tensor, ""]]


class Objective:
    """What training minimises: called with a model, a batch and a generator, it answers named terms with "loss".

    Terms are in nats per image, summed over pixels and code dimensions and averaged over the batch; a divergence
    keeps its own unit. The other methods do nothing unless an objective has a schedule or something that learns.
    """

    def __call__(
        self, model: nn.Module, x: Float[Tensor, "batch colours height width"], generator: torch.Generator
    ) -> Terms:
        """The terms on one batch."""
        raise NotImplementedError

    def at(self, step: int) -> "Objective":
        """The objective as its schedule has it at `step`, counted from 0."""
        return self

    def warmed(self, share: float) -> "Objective":
        """The same objective with `share` of its rate's weight. Raises ValueError if it has no rate."""
        raise ValueError(f"{type(self).__name__} has no rate to warm up: wrap an ELBO, InfoVAE or FreeBits")

    def after_step(self) -> None:
        """Called after the model's optimiser has stepped: what plays against the model learns here."""

    def state_dict(self) -> dict:
        """What a checkpoint must hold besides the model."""
        return {}

    def load_state_dict(self, state: dict) -> None:
        """Take up the state that `state_dict` gave."""


class Wrapper(Objective):
    """An objective that changes another, `inner`, and leaves its learning to it."""

    def __init__(self, inner: Objective):
        self.inner = inner

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.inner!r})"

    def after_step(self) -> None:
        """The inner objective's."""
        self.inner.after_step()

    def state_dict(self) -> dict:
        """The inner objective's."""
        return self.inner.state_dict()

    def load_state_dict(self, state: dict) -> None:
        """The inner objective's."""
        self.inner.load_state_dict(state)
