"""Maximum mean discrepancy: how far two sets of samples are from having one source."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from course_lib.objectives.distances import squared_distances

SCALES = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
Kernel = Callable[[Float[Tensor, "n code"], Float[Tensor, "m code"]], Float[Tensor, "n m"]]


def imq_kernel(a: Float[Tensor, "n code"], b: Float[Tensor, "m code"]) -> Float[Tensor, "n m"]:
    """k(a, b) = mean_s C_s / (C_s + |a - b|^2) with C_s = 2 s dim, over the scales s: between 0 and 1.

    2 dim is the expected |a - b|^2 for two draws from N(0, I). Differentiable once.
    Source: Tolstikhin et al. (2018), arXiv 1711.01558, section 4.
    """
    squares = squared_distances(a, b)
    with torch.no_grad():  # the slope by hand, -C / (C + u)^2, takes half the time that recording every scale would
        k, slope = torch.zeros_like(squares), torch.zeros_like(squares)
        for width in (2 * scale * a.shape[1] for scale in SCALES):
            inverse = (squares + width).reciprocal_()
            k.add_(inverse, alpha=width / len(SCALES))
            slope.addcmul_(inverse, inverse, value=-width / len(SCALES))
    return k + slope * (squares - squares.detach())


def rbf_kernel(
    a: Float[Tensor, "n code"], b: Float[Tensor, "m code"], bandwidth: float | None = None
) -> Float[Tensor, "n m"]:
    """k(a, b) = exp(-|a - b|^2 / bandwidth), with bandwidth = dim if left out: between 0 and 1.

    |a - b|^2 grows like dim; a bandwidth of dim^2 makes the kernel flat, and blind to the covariance of the codes.
    Raises ValueError for a bandwidth that is not positive.
    """
    squares = squared_distances(a, b)
    bandwidth = a.shape[1] if bandwidth is None else bandwidth
    if not bandwidth > 0:
        raise ValueError(f"a bandwidth is a squared distance and positive, got {bandwidth:g}: dim is a good one")
    return torch.exp(-squares / bandwidth)


KERNELS: dict[str, Kernel] = {"imq": imq_kernel, "rbf": rbf_kernel}


def mmd_squared(
    a: Float[Tensor, "n code"], b: Float[Tensor, "m code"], kernel: Kernel = imq_kernel
) -> Float[Tensor, ""]:
    """The U-statistic of MMD^2: unbiased, so it is zero on average (and at times negative) when the sources agree.

    mean_{i != j} k(a_i, a_j) + mean_{i != j} k(b_i, b_j) - 2 mean_{ij} k(a_i, b_j), in kernel units.
    Raises ValueError with fewer than two samples on a side. Source: Gretton et al. (2012), JMLR 13, lemma 6.
    """
    if min(len(a), len(b)) < 2:
        raise ValueError(
            f"the U-statistic needs two samples on each side, got {len(a)} and {len(b)}: take a batch of two or more"
        )
    return mean_off_diagonal(kernel(a, a)) + mean_off_diagonal(kernel(b, b)) - 2 * kernel(a, b).mean()


def mean_off_diagonal(k: Float[Tensor, "n n"]) -> Float[Tensor, ""]:
    """mean_{i != j} k_ij."""
    n = len(k)
    return (k.sum() - k.diagonal().sum()) / (n * (n - 1))


@dataclass(frozen=True)
class MMD:
    """MMD^2 by its U-statistic, with the kernel "imq" (several widths at once) or "rbf" (one bandwidth, dim).

    Raises ValueError for a kernel of another name.
    """

    kernel: str = "imq"
    unit: ClassVar[str] = "kernel units"

    def __post_init__(self):
        if self.kernel not in KERNELS:
            raise ValueError(f"no kernel {self.kernel!r}: choose one of {', '.join(KERNELS)}")

    def __call__(self, z: Float[Tensor, "n code"], prior: Float[Tensor, "m code"]) -> Float[Tensor, ""]:
        """MMD^2 of the sample z of q(z) from the sample of p(z); see `mmd_squared`."""
        return mmd_squared(z, prior, KERNELS[self.kernel])
