"""What codes look like before an image is seen: p(z)."""

import math
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor, nn

from course_lib.data.noise import normal


class Prior(Protocol):
    """A density over codes that can be evaluated and drawn from."""

    def log_prob(self, z: Float[Tensor, "... code"]) -> Float[Tensor, "..."]:
        """log p(z) in nats, summed over the dimensions of the code."""

    def sample(self, count: int, generator: torch.Generator, like: Tensor) -> Float[Tensor, "count code"]:
        """`count` draws of z, with the dtype and the device of `like`."""


class StandardNormal(nn.Module):
    """p(z) = N(0, I)."""

    def __init__(self, code_size: int):
        super().__init__()
        self.code_size = code_size

    def log_prob(self, z: Float[Tensor, "... code"]) -> Float[Tensor, "..."]:
        """log N(z; 0, I) in nats, summed over the dimensions of the code."""
        return standard_normal_log_prob(z)

    def sample(self, count: int, generator: torch.Generator, like: Tensor) -> Float[Tensor, "count code"]:
        """`count` draws of z, with the dtype and the device of `like`."""
        return normal((count, self.code_size), generator, like)


def standard_normal_log_prob(z: Float[Tensor, "... code"]) -> Float[Tensor, "..."]:
    """log N(z; 0, I) in nats, summed over the dimensions of the code."""
    return -0.5 * (z**2 + math.log(2 * math.pi)).sum(-1)
