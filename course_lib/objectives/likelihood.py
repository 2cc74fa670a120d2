"""Maximum likelihood: what a model without a code minimises."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from course_lib.data import binarise
from course_lib.objectives.objective import Terms


def negative_log_likelihood(
    model: nn.Module, x: Float[Tensor, "batch colours height width"], generator: torch.Generator
) -> Terms:
    """nll = -mean_batch log p(x), in nats per image. Grey images are binarised afresh at every call (dynamic)."""
    nll = -model.log_prob(binarise(x, generator)).mean()
    return {"loss": nll, "nll": nll}
