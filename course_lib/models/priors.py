"""What codes look like before an image is seen: p(z)."""

import math
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor, nn

from course_lib.data.noise import normal, uniform
from course_lib.models.checks import check_sizes
from course_lib.models.made import MADE


class Prior(Protocol):
    """A density over codes that can be evaluated and drawn from."""

    def log_prob(self, z: Float[Tensor, "... code"]) -> Float[Tensor, "..."]:
        """log p(z) in nats, summed over the dimensions of the code."""

    def sample(self, count: int, generator: torch.Generator, like: Float[Tensor, "..."]) -> Float[Tensor, "count code"]:
        """`count` draws of z, with the dtype and the device of `like`."""


class StandardNormal(nn.Module):
    """p(z) = N(0, I)."""

    def __init__(self, code_size: int):
        super().__init__()
        self.code_size = code_size

    def log_prob(self, z: Float[Tensor, "... code"]) -> Float[Tensor, "..."]:
        """log N(z; 0, I) in nats, summed over the dimensions of the code."""
        return standard_normal_log_prob(z)

    def sample(self, count: int, generator: torch.Generator, like: Float[Tensor, "..."]) -> Float[Tensor, "count code"]:
        """`count` draws of z, with the dtype and the device of `like`."""
        return normal((count, self.code_size), generator, like)


class UniformPrior(nn.Module):
    """p(z) uniform on a cube around 0 with variance 1 in each dimension: sides of 2 sqrt(3)."""

    def __init__(self, code_size: int):
        super().__init__()
        self.code_size, self.half = code_size, math.sqrt(3)

    def log_prob(self, z: Float[Tensor, "... code"]) -> Float[Tensor, "..."]:
        """-code log(2 sqrt(3)) in nats inside the cube, minus infinity outside."""
        inside = (z.abs() <= self.half).all(-1)
        height = torch.full_like(z[..., 0], -self.code_size * math.log(2 * self.half))
        return height.masked_fill(~inside, -math.inf)

    def sample(self, count: int, generator: torch.Generator, like: Float[Tensor, "..."]) -> Float[Tensor, "count code"]:
        """`count` draws of z, with the dtype and the device of `like`."""
        return self.half * (2 * uniform((count, self.code_size), generator, like) - 1)


class RingPrior(nn.Module):
    """p(z) = the mean of `count` Gaussians of one width, their centres evenly on a circle: for codes of two numbers.

    The radius is such that the variance in each dimension is 1: radius^2 / 2 + width^2 = 1.
    Raises ValueError for fewer than three Gaussians, whose variances differ, and a width outside (0, 1).
    """

    def __init__(self, count: int, width: float):
        super().__init__()
        check_sizes(3, count=count)
        if not 0 < width < 1:
            raise ValueError(f"a width between 0 and 1 leaves room for a circle of variance 1; got {width:g}")
        self.code_size, self.width = 2, width
        angle = 2 * math.pi * torch.arange(count) / count
        centres = math.sqrt(2 * (1 - width**2)) * torch.stack([angle.cos(), angle.sin()], 1)
        self.register_buffer("centres", centres, persistent=False)

    def log_prob(self, z: Float[Tensor, "... 2"]) -> Float[Tensor, "..."]:
        """log 1/count sum_c N(z; c, width^2 I) in nats."""
        scaled = (z[..., None, :] - self.centres.to(z)) / self.width
        each = standard_normal_log_prob(scaled) - 2 * math.log(self.width)
        return each.logsumexp(-1) - math.log(len(self.centres))

    def sample(self, count: int, generator: torch.Generator, like: Float[Tensor, "..."]) -> Float[Tensor, "count 2"]:
        """`count` draws of z, with the dtype and the device of `like`."""
        which = (uniform((count,), generator, like) * len(self.centres)).long()
        return self.centres.to(like)[which] + self.width * normal((count, 2), generator, like)


class FlowPrior(nn.Module):
    """p(z) by an autoregressive flow: z becomes noise e ~ N(0, I) in one pass, noise becomes z one dimension at a time.

    Each layer takes e_i = (z_i - shift_i(z_<i)) exp(-log_scale_i(z_<i)) and hands e on in reversed order, so that
    every dimension is first in some layer. It starts as N(0, I). For one dimension it stays a Gaussian.
    Source: Chen et al. (2017), arXiv 1611.02731, section 3.2; masks of Germain et al. (2015), arXiv 1502.03509.
    Raises ValueError for a size under 1.
    """

    def __init__(self, code_size: int, hidden: int = 64, layers: int = 4):
        super().__init__()
        check_sizes(1, code_size=code_size, hidden=hidden, layers=layers)
        self.code_size = code_size
        self.layers = nn.ModuleList(MADE(code_size, hidden) for _ in range(layers))

    def log_prob(self, z: Float[Tensor, "... code"]) -> Float[Tensor, "..."]:
        """log p(z) = log N(e; 0, I) + log |det de/dz|, in nats, summed over the dimensions of the code."""
        e, log_det = self.to_noise(z)
        return standard_normal_log_prob(e) + log_det

    def sample(self, count: int, generator: torch.Generator, like: Float[Tensor, "..."]) -> Float[Tensor, "count code"]:
        """`count` draws of z, with the dtype and the device of `like`, differentiable in the prior's parameters."""
        return self.from_noise(normal((count, self.code_size), generator, like))

    def to_noise(self, z: Float[Tensor, "... code"]) -> tuple[Float[Tensor, "... code"], Float[Tensor, "..."]]:
        """(e, log |det de/dz|): the noise that z comes from, and minus the sum of all log-scales."""
        log_det = torch.zeros_like(z[..., 0])
        for layer in self.layers:
            shift, log_scale = layer(z)
            z = ((z - shift) * (-log_scale).exp()).flip(-1)
            log_det = log_det - log_scale.sum(-1)
        return z, log_det

    def from_noise(self, e: Float[Tensor, "... code"]) -> Float[Tensor, "... code"]:
        """z whose noise is e: the inverse of `to_noise`."""
        for layer in reversed(self.layers):
            e = _invert(layer, e.flip(-1))
        return e


def _invert(layer: MADE, e: Float[Tensor, "... code"]) -> Float[Tensor, "... code"]:
    """z_i = shift_i(z_<i) + exp(log_scale_i(z_<i)) e_i, for i = 1, 2, ... in turn."""
    z, dimensions = torch.zeros_like(e), torch.arange(e.shape[-1], device=e.device)
    for i in dimensions:
        shift, log_scale = layer(z)
        z = torch.where(dimensions == i, shift + log_scale.exp() * e, z)
    return z


def standard_normal_log_prob(z: Float[Tensor, "... code"]) -> Float[Tensor, "..."]:
    """log N(z; 0, I) in nats, summed over the dimensions of the code."""
    return -0.5 * (z**2 + math.log(2 * math.pi)).sum(-1)
