"""An autoregressive decoder without convolutions: small enough to be trained many times over on small images."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from course_lib.models.autoregressive import Autoregressive
from course_lib.models.checks import check_sizes
from course_lib.models.made import MaskedLinear
from course_lib.models.outputs import Output


class DenseAutoregressive(Autoregressive):
    """The numbers of every pixel from ALL values before it and the code, by one hidden layer.

    h = tanh(W (2 x - 1) + U z),  numbers = V h + C z: W and V are masked, so that those of value i know of x_<i only
    (by row, then column, then colour); U and C are not, so that every pixel may see the whole code. Its parameters
    grow with the square of the number of pixels. Raises ValueError for a size under 1.
    Source: Germain, Gregor, Murray and Larochelle (2015), arXiv 1502.03509, there without a code.
    """

    def __init__(
        self, image_shape: tuple[int, int, int], code_size: int = 0, hidden: int = 128, output: Output | None = None
    ):
        super().__init__(image_shape, code_size, output)
        check_sizes(1, hidden=hidden)
        colours, height, width = image_shape
        turns = 1 + torch.arange(colours * height * width).view(height, width, colours).permute(2, 0, 1)
        numbers = turns.repeat_interleave(self.output.size, dim=0).flatten()
        degrees = torch.arange(hidden) % max(1, turns.numel() - 1) + 1
        self.first = MaskedLinear(turns.flatten(), degrees)
        self.last = MaskedLinear(degrees, numbers, strict=True)
        self.told = nn.Linear(code_size, hidden + len(numbers), bias=False) if code_size else None

    def forward(
        self, x: Float[Tensor, "batch colours height width"], z: Float[Tensor, "batch code"] | None = None
    ) -> Float[Tensor, "batch colours_times_size height width"]:
        """The numbers that tell p(x_i | x_<i, z), for all pixels at once. Values 0 and 1 enter as -1 and 1."""
        self.check_code(x, z)
        hidden, direct = self.first((2 * x - 1).flatten(1)), 0.0
        if self.told:
            inside, direct = self.told(z).tensor_split((hidden.shape[1],), dim=1)
            hidden = hidden + inside
        return (self.last(torch.tanh(hidden)) + direct).unflatten(1, (-1, *self.image_shape[1:]))
