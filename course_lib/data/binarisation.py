"""From grey levels to black and white."""

import torch
from jaxtyping import Float
from torch import Tensor

from .noise import uniform


def binarise(images: Float[Tensor, "*shape"], generator: torch.Generator) -> Float[Tensor, "*shape"]:
    """Dynamic binarisation: each pixel is 1 with probability equal to its grey level, anew at every call.

        b ~ Bernoulli(grey),  b = 1[u < grey],  u ~ Uniform[0, 1)

    images: grey levels in [0, 1], any shape. Returns zeros and ones of the same shape, dtype and device.
    generator: the only source of chance. Its device makes the draw, so a CPU generator gives the same
    pixels wherever the images live.
    Raises TypeError without a generator or for images that are not floating point, ValueError outside [0, 1].
    Source: Salakhutdinov and Murray 2008, section 4; Burda et al. 2016, arXiv 1509.00519, section 5.
    """
    _require_grey_levels(images)
    return (uniform(images.shape, generator, like=images) < images).to(images.dtype)


def threshold(images: Float[Tensor, "*shape"], level: float = 0.5) -> Float[Tensor, "*shape"]:
    """Ones where a grey level is above `level`, zeros elsewhere: the same black and white at every call.

    images: grey levels in [0, 1], any shape. Returns the same shape, dtype and device. Raises as `binarise` does.
    """
    _require_grey_levels(images)
    return (images > level).to(images.dtype)


def _require_grey_levels(images: Tensor) -> None:
    if not images.is_floating_point():
        raise TypeError(f"grey levels are floating point in [0, 1], got {images.dtype}: divide 8-bit images by 255.0")
    if not bool(((images >= 0) & (images <= 1)).all()):
        raise ValueError(
            f"grey levels lie in [0, 1], these run from {images.min().item():.4g} to {images.max().item():.4g}"
        )
