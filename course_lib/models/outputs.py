"""What a pixel may be: the distribution of one value, given the numbers that the network puts out for it."""

from typing import Protocol

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


class Output(Protocol):
    """The distribution of a pixel's value in [0, 1], told by `size` numbers for each pixel and colour.

    A network puts out [batch, colours * size, height, width], grouped by colour: first all numbers of red.
    """

    size: int

    def check(self, x: Float[Tensor, "batch colours height width"]) -> None:
        """Raises ValueError, saying what to do, for values that cannot occur."""

    def log_prob(
        self,
        numbers: Float[Tensor, "batch colours_times_size height width"],
        x: Float[Tensor, "batch colours height width"],
    ) -> Float[Tensor, "batch colours height width"]:
        """log p(x_i) in nats, for each pixel and colour."""

    def draw(self, numbers: Float[Tensor, "count size"], u: Float[Tensor, " count"]) -> Float[Tensor, " count"]:
        """The value whose place in the cumulative distribution is u, for one pixel and colour of each image."""


class Bernoulli:
    """Black or white, 1 or 0: p(x_i = 1) = sigmoid(logit). One number, the logit."""

    size = 1

    def check(self, x: Float[Tensor, "batch colours height width"]) -> None:
        """Raises ValueError for values other than 0 and 1."""
        if not ((x == 0) | (x == 1)).all():
            raise ValueError("pixels must be 0 or 1: binarise grey images first, with course_lib.data.binarise")

    def log_prob(
        self, numbers: Float[Tensor, "batch colours height width"], x: Float[Tensor, "batch colours height width"]
    ) -> Float[Tensor, "batch colours height width"]:
        """log p(x_i) = x_i log sigmoid(logit) + (1 - x_i) log sigmoid(-logit), in nats."""
        return -F.binary_cross_entropy_with_logits(numbers, x, reduction="none")

    def draw(self, numbers: Float[Tensor, "count 1"], u: Float[Tensor, " count"]) -> Float[Tensor, " count"]:
        """1 where u < sigmoid(logit), else 0."""
        return (u < torch.sigmoid(numbers[:, 0])).to(numbers)
