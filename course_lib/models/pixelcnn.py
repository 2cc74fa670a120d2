"""PixelCNN: every conditional p(x_i | x_<i) from one pass of a masked convolutional network."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from course_lib.models.autoregressive import Autoregressive
from course_lib.models.masks import MaskedConv2d
from course_lib.models.outputs import Output


class ResidualBlock(nn.Module):
    """x + g(x): narrow to half the channels, look around with one masked k x k convolution, widen again.

    Source: van den Oord et al. (2016), arXiv 1601.06759, figure 5. A code z enters as a bias at every pixel.
    """

    def __init__(self, width: int, kernel_size: int, colours: int, code_size: int):
        super().__init__()
        self.narrow = MaskedConv2d("B", 2 * width, width, 1, colours)
        self.look = MaskedConv2d("B", width, width, kernel_size, colours)
        self.widen = MaskedConv2d("B", width, 2 * width, 1, colours)
        self.code = nn.Linear(code_size, width, bias=False) if code_size else None

    def forward(self, h: Float[Tensor, "batch c height width"], z: Float[Tensor, "batch code"] | None) -> Tensor:
        look = self.look(F.relu(self.narrow(F.relu(h))))
        if self.code is not None:
            look = look + self.code(z)[:, :, None, None]
        return h + self.widen(F.relu(look))


class PixelCNN(Autoregressive):
    """log p(x | z) = sum_i log p(x_i | x_<i, z), in raster order and R, G, B within a pixel.

    The first layer has mask A and a `first_kernel` filter; `depth` residual blocks follow, each with one mask-B
    filter of size `kernel`; two 1 x 1 layers give one logit per pixel and colour. The field reaches
    first_kernel // 2 + depth * (kernel // 2) rows up. Source: van den Oord et al. (2016), arXiv 1601.06759.

    Arguments: image_shape (colours, height, width); width, the channels inside a block (the trunk has twice as
    many), a multiple of the colours; code_size, the length of z, or 0 for a model without a code.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        width: int = 32,
        depth: int = 5,
        kernel: int = 3,
        first_kernel: int | None = None,
        code_size: int = 0,
        output: Output | None = None,
    ):
        super().__init__(image_shape, code_size, output)
        colours = image_shape[0]
        self.first = MaskedConv2d("A", colours, 2 * width, first_kernel or kernel, colours)
        self.blocks = nn.ModuleList(ResidualBlock(width, kernel, colours, code_size) for _ in range(depth))
        self.hidden = MaskedConv2d("B", 2 * width, 2 * width, 1, colours)
        self.last = MaskedConv2d("B", 2 * width, colours * self.output.size, 1, colours)

    def forward(
        self, x: Float[Tensor, "batch colours height width"], z: Float[Tensor, "batch code"] | None = None
    ) -> Float[Tensor, "batch colours_times_size height width"]:
        """The numbers that tell p(x_i | x_<i, z), for all pixels at once. Pixels 0 and 1 enter as -1 and 1."""
        self.check_code(x, z)
        h = self.first(2 * x - 1)
        for block in self.blocks:
            h = block(h, z)
        return self.last(F.relu(self.hidden(F.relu(h))))
