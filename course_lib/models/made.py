"""MADE: one pass of a masked network gives, for every dimension, numbers that depend on earlier dimensions only."""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn


class MaskedLinear(nn.Linear):
    """y = (W * mask) x + b; the parameter W itself is left alone.

    Each unit has a degree, the number of leading dimensions it may know of. A connection is open where the degree
    of the unit above is at least that of the unit below, or, if `strict`, greater.
    """

    def __init__(self, below: Int[Tensor, " inputs"], above: Int[Tensor, " outputs"], strict: bool = False):
        super().__init__(len(below), len(above))
        open_where = above[:, None] > below if strict else above[:, None] >= below
        self.register_buffer("mask", open_where.float(), persistent=False)

    def forward(self, x: Float[Tensor, "... inputs"]) -> Float[Tensor, "... outputs"]:
        return F.linear(x, self.weight * self.mask, self.bias)


class MADE(nn.Module):
    """shift_i(z_<i) and log_scale_i(z_<i) for all i in one pass, by one hidden layer of `hidden` units.

    The last layer starts at zero, so that both are zero at first.
    Source: Germain, Gregor, Murray and Larochelle (2015), arXiv 1502.03509.
    """

    def __init__(self, code_size: int, hidden: int):
        super().__init__()
        inputs = torch.arange(1, code_size + 1)
        # Degree code_size would be of no use: no output may look at it.
        degrees = torch.arange(hidden) % max(1, code_size - 1) + 1
        self.first = MaskedLinear(inputs, degrees)
        self.last = MaskedLinear(degrees, inputs.repeat(2), strict=True)
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, z: Float[Tensor, "... code"]) -> tuple[Float[Tensor, "... code"], Float[Tensor, "... code"]]:
        """(shift, log_scale)."""
        return self.last(torch.tanh(self.first(z))).chunk(2, dim=-1)
