"""An autoregressive decoder without convolutions: small enough to be trained many times over on small images."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from course_lib.models.autoregressive import Autoregressive
from course_lib.models.checks import check_sizes
from course_lib.models.made import MaskedLinear


class DenseAutoregressive(Autoregressive):
    """The logit of every pixel from ALL pixels before it and the code, by one hidden layer, for black and white images.

    h = tanh(W (2 x - 1) + U z),  logits = V h + C z: W and V are masked, so that logit i knows of x_<i only; U and C
    are not, so that every pixel may see the whole code. Its parameters grow with the square of the number of pixels.
    Raises ValueError for images of more than one colour, and for a size under 1.
    Source: Germain, Gregor, Murray and Larochelle (2015), arXiv 1502.03509, there without a code.
    """

    def __init__(self, image_shape: tuple[int, int, int], code_size: int = 0, hidden: int = 128):
        super().__init__(image_shape, code_size)
        check_sizes(1, hidden=hidden)
        if image_shape[0] != 1:
            raise ValueError(f"this decoder draws black and white images, [1, height, width]: got {tuple(image_shape)}")
        pixels = torch.arange(1, image_shape[1] * image_shape[2] + 1)
        degrees = torch.arange(hidden) % max(1, len(pixels) - 1) + 1
        self.first = MaskedLinear(pixels, degrees)
        self.last = MaskedLinear(degrees, pixels, strict=True)
        self.told = nn.Linear(code_size, hidden + len(pixels), bias=False) if code_size else None

    def forward(
        self, x: Float[Tensor, "batch 1 height width"], z: Float[Tensor, "batch code"] | None = None
    ) -> Float[Tensor, "batch 1 height width"]:
        """The logit of p(x_i = 1 | x_<i, z), for all pixels at once. Pixels 0 and 1 enter as -1 and 1."""
        self.check_code(x, z)
        hidden, direct = self.first((2 * x - 1).flatten(1)), 0.0
        if self.told:
            inside, direct = self.told(z).split((hidden.shape[1], x[0].numel()), dim=1)
            hidden = hidden + inside
        return (self.last(torch.tanh(hidden)) + direct).view_as(x)
