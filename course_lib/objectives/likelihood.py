"""Maximum likelihood: what a model without a code minimises."""

import torch
from torch import Tensor, nn

from course_lib.data import binarise


def negative_log_likelihood(model: nn.Module, x: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
    """nll = -mean_batch log p(x), in nats per image. Grey images are binarised afresh at every call (dynamic)."""
    nll = -model.log_prob(binarise(x, generator)).mean()
    return {"loss": nll, "nll": nll}
