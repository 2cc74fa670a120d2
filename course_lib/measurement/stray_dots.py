"""Noise that a measure of contrast takes for detail: black pixels that stand alone."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor


def stray_dots(images: Float[Tensor, "n 1 height width"]) -> float:
    """How many black pixels have no black one above, below, left or right of them, on average over pictures."""
    cross = images.new_tensor([[0, 1, 0], [1, 0, 1], [0, 1, 0]])[None, None]
    alone = images * (F.conv2d(images, cross, padding=1) == 0)
    return float(alone.sum(dim=(1, 2, 3)).double().mean())
