"""PixelRNN: Row LSTM and Diagonal BiLSTM, whose states carry the whole of what they see from pixel to pixel."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from course_lib.models.autoregressive import Autoregressive, Step
from course_lib.models.checks import check_sizes
from course_lib.models.conditioning import CodeMaps, by_bias
from course_lib.models.diagonal_lstm import DiagonalLayer
from course_lib.models.line_lstm import MaskedMix, RecurrentLayer
from course_lib.models.masks import MaskedConv2d
from course_lib.models.outputs import Output
from course_lib.models.row_lstm import RowLayer


class PixelRNN(Autoregressive):
    """log p(x | z) = sum_i log p(x_i | x_<i, z), by a convolution with mask A, then `depth` LSTM layers.

    Two 1 x 1 layers give the numbers of each pixel. Use `RowLSTM` or `DiagonalBiLSTM`.
    Source: van den Oord, Kalchbrenner and Kavukcuoglu (2016), arXiv 1601.06759, sections 3.1 to 3.3, table 1.

    Arguments: image_shape (colours, height, width); width, the channels of an LSTM (the trunk has twice as many), a
    multiple of the colours; code_size, the length of z, or 0 for a model without a code; conditioning "bias" (z in
    every gate) or "maps" (z as maps of image size beside the first layer).
    Raises ValueError for another conditioning, without a layer, and for a first kernel without a centre or a past.
    """

    layer: type[RecurrentLayer]
    # Columns added on the right of the picture, for the layer's sake.
    blank = 0

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        width: int = 32,
        depth: int = 2,
        first_kernel: int = 7,
        code_size: int = 0,
        conditioning: str = "bias",
        output: Output | None = None,
    ):
        super().__init__(image_shape, code_size, output)
        check_sizes(1, width=width, depth=depth)
        if first_kernel < 3 or first_kernel % 2 == 0:
            raise ValueError(f"the first kernel must be odd, and at least 3 to see a past; got {first_kernel}")
        colours, bias = image_shape[0], by_bias(conditioning)
        self.first = MaskedConv2d("A", colours, 2 * width, first_kernel, colours)
        self.maps = CodeMaps(code_size, image_shape, 2 * width) if code_size and not bias else None
        self.layers = nn.ModuleList(self.layer(width, colours, code_size if bias else 0) for _ in range(depth))
        hidden = MaskedMix(2 * width, 2 * width, colours)
        last = MaskedMix(2 * width, colours * self.output.size, colours)
        self.head = nn.Sequential(nn.ReLU(), hidden, nn.ReLU(), last)

    @property
    def sequential_steps(self) -> int:
        """LSTM steps that must wait for one another when the likelihood of an image is computed, all layers."""
        _, height, width = self.image_shape
        return sum(layer.steps(height, width + self.blank) for layer in self.layers)

    def forward(
        self, x: Float[Tensor, "batch colours height width"], z: Float[Tensor, "batch code"] | None = None
    ) -> Float[Tensor, "batch colours_times_size height width"]:
        """The numbers that tell p(x_i | x_<i, z), for all pixels at once. Pixels 0 and 1 enter as -1 and 1."""
        self.check_code(x, z)
        h = self.first(F.pad(2 * x - 1, (0, self.blank)))
        if self.maps is not None:
            h = h + F.pad(self.maps(z), (0, self.blank))
        h = h.permute(1, 2, 3, 0).contiguous()
        for layer in self.layers:
            h = layer(h, z)
        return self.head(h[:, :, : x.shape[3]]).permute(3, 0, 1, 2)

    def stepper(self, x: Float[Tensor, "count colours height width"], z: Float[Tensor, "count code"] | None) -> Step:
        """One pixel at a time, from states that are kept: each is computed once, or once per colour."""
        self.check_code(x, z)
        (_, height, width), size = self.image_shape, self.output.size
        maps = 0 if self.maps is None else F.pad(self.maps(z), (0, self.blank))
        walks = [layer.walker(len(x), height, width + self.blank, z) for layer in self.layers]

        def trunk(row, column):
            h = masked_at(self.first, x, row, column)
            h = (h if self.maps is None else h + maps[:, :, row, column, None, None]).permute(1, 2, 3, 0)
            for walk in walks:
                h = walk(row, column, h)
            return h

        @torch.no_grad()
        def step(row, column, colour):
            if self.blank and row and column == colour == 0:
                trunk(row - 1, width)
            return self.head(trunk(row, column))[colour * size : (colour + 1) * size, 0, 0].T

        return step


def masked_at(
    conv: MaskedConv2d, x: Float[Tensor, "batch colours height width"], row: int, column: int
) -> Float[Tensor, "batch channels 1 1"]:
    """conv(2 x - 1) at one place alone, from the window around it; one column beyond the right edge is allowed."""
    half = conv.kernel_size[0] // 2
    top, left = max(0, row - half), max(0, column - half)
    window = 2 * x[:, :, top : row + 1, left : column + half + 1] - 1
    margins = (left - column + half, column + half + 1 - left - window.shape[3], top - row + half, 0)
    return F.conv2d(F.pad(window, margins), conv.masked(), conv.bias)


class RowLSTM(PixelRNN):
    """PixelRNN that reads a row at every step: `height` steps a layer, and a triangular field.

    With f = first_kernel // 2 and L = depth a pixel sees, in its own row, f + L places to the left; and d rows up
    the columns from -(d + f + L) to d + f - 1. The layers widen it to the left alone.
    """

    layer = RowLayer


class DiagonalBiLSTM(PixelRNN):
    """PixelRNN that reads a diagonal at every step, from both sides: height + width steps a layer, and all the past.

    The picture has a blank column on its right. Without it the last pixel of the row above would go unseen: the
    LSTM from the right begins at its place, where mask A hides it, and the pixel after it is in the next row.
    """

    layer, blank = DiagonalLayer, 1
