"""How much a model of binary pixels leaves to chance."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from course_lib.models.autoregressive import Autoregressive
from course_lib.models.outputs import Bernoulli


@torch.no_grad()
def undecided(
    decoder: Autoregressive,
    x: Float[Tensor, "batch colours height width"],
    z: Float[Tensor, "batch code"] | None = None,
) -> Float[Tensor, " batch"]:
    """sum_i H(x_i | x_<i, z) of a decoder of binary pixels, on given images, in nats per image.

    H = softplus(l) - l sigmoid(l) for a pixel of logit l. Zero where every pixel is settled by what came before it.
    Raises ValueError for pixels that are not black or white.
    """
    if not isinstance(decoder.output, Bernoulli):
        raise ValueError("the entropy of a pixel is measured here for black and white: the decoder's output is another")
    logits = decoder(x, z)
    return (F.softplus(logits) - logits * torch.sigmoid(logits)).sum(dim=(1, 2, 3))
