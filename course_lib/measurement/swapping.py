"""What the decoder loses when it is given the code of another image."""

import torch
from jaxtyping import Float
from torch import Tensor

from course_lib.data.noise import uniform
from course_lib.measurement.likelihood import distortion_per_image
from course_lib.models.vae import VAE


def swapped_code_gap(
    vae: VAE,
    x: Float[Tensor, "n colours height width"],
    z: Float[Tensor, "n code"],
    generator: torch.Generator,
) -> Float[Tensor, " n"]:
    """-log p(x|z') + log p(x|z) per image, in nats: z ~ q(z|x) is the image's own code, z' that of another.

    Zero for a decoder that ignores its code, and not capped by log N. The partner is the next image in a random
    circle, so that none keeps its own. Raises ValueError for fewer than two images.
    """
    if len(x) < 2:
        raise ValueError(f"codes are swapped among images: at least two are needed, got {len(x)}")
    circle = uniform((len(x),), generator, like=z).argsort()
    swapped = torch.empty_like(z)
    swapped[circle] = z[circle.roll(1)]
    return distortion_per_image(vae, x, swapped) - distortion_per_image(vae, x, z)
