"""PixelCNN: every conditional p(x_i | x_<i) from one pass of a masked convolutional network."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from course_lib.models.autoregressive import Autoregressive, Step
from course_lib.models.caching import Head, Image, OwnRow, Pointwise, RowsAbove, cells_of
from course_lib.models.checks import check_sizes
from course_lib.models.conditioning import CodeMaps, by_bias, plus, row_of
from course_lib.models.masks import MaskedConv2d, layer_radii
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

    def forward(
        self, h: Float[Tensor, "batch c height width"], z: Float[Tensor, "batch code"] | None
    ) -> Float[Tensor, "batch c height width"]:
        look = self.look(F.relu(self.narrow(F.relu(h))))
        if self.code is not None:
            look = look + self.code(z)[:, :, None, None]
        return h + self.widen(F.relu(look))


class PixelCNN(Autoregressive):
    """log p(x | z) = sum_i log p(x_i | x_<i, z), in raster order and R, G, B within a pixel.

    The first layer has mask A and a `first_kernel` filter; `depth` residual blocks follow, each with one mask-B
    filter of size `kernel`; two 1 x 1 layers put out the numbers of each pixel and colour.
    Source: van den Oord et al. (2016), arXiv 1601.06759.

    Arguments: image_shape (colours, height, width); width, the channels inside a block (the trunk has twice as
    many), a multiple of the colours; field, how many rows above and columns to each side are seen, as far as the
    blind spot lets them (None: first_kernel // 2 + depth * (kernel // 2); 0: no pixel at all); code_size, the length
    of z, or 0 for a model without a code; conditioning, "bias" (z adds a bias in every block, the same at all
    pixels) or "maps" (feature maps beside the image: z may say where). Without a field a bias says the same at every
    pixel, so a model that sees nothing wants maps.
    Raises ValueError for even kernels, and for a field that the kernels cannot reach.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        width: int = 32,
        depth: int = 5,
        kernel: int = 3,
        first_kernel: int | None = None,
        field: int | None = None,
        code_size: int = 0,
        conditioning: str = "bias",
        output: Output | None = None,
    ):
        super().__init__(image_shape, code_size, output)
        check_sizes(1, width=width)
        colours, bias_size = image_shape[0], code_size if by_bias(conditioning) else 0
        first, *radii = layer_radii(field, kernel if first_kernel is None else first_kernel, kernel, depth)
        self.seen = first > 0
        self.first = MaskedConv2d("A", colours, 2 * width, 2 * first + 1, colours)
        self.blocks = nn.ModuleList(ResidualBlock(width, 2 * radius + 1, colours, bias_size) for radius in radii)
        self.maps = CodeMaps(code_size, image_shape, 2 * width) if code_size > bias_size else None
        self.hidden = MaskedConv2d("B", 2 * width, 2 * width, 1, colours)
        self.last = MaskedConv2d("B", 2 * width, colours * self.output.size, 1, colours)

    def forward(
        self, x: Float[Tensor, "batch colours height width"], z: Float[Tensor, "batch code"] | None = None
    ) -> Float[Tensor, "batch colours_times_size height width"]:
        """The numbers that tell p(x_i | x_<i, z), for all pixels at once. Pixels 0 and 1 enter as -1 and 1."""
        self.check_code(x, z)
        h = plus(self.first((2 * x - 1) * self.seen), self.maps(z) if self.maps else None)
        for block in self.blocks:
            h = block(h, z)
        return self.last(F.relu(self.hidden(F.relu(h))))

    def stepper(self, x: Float[Tensor, "count colours height width"], z: Float[Tensor, "count code"] | None) -> Step:
        """Rows above once a row, the own row a pixel at a time; see `Autoregressive.stepper`.

        A network whose masks were opened looks ahead, so it has nothing to keep: it is run whole.
        """
        self.check_code(x, z)
        ahead = any(layer.looks_ahead() for layer in self.modules() if isinstance(layer, MaskedConv2d))
        return self.naive_stepper(x, z) if ahead else CachedPixelCNN(self, x, z)


class CachedPixelCNN:
    """A `Step`: the layers of a PixelCNN with what they know of the rows above and of their own row."""

    @torch.no_grad()
    def __init__(
        self,
        model: PixelCNN,
        x: Float[Tensor, "count colours height width"],
        z: Float[Tensor, "count code"] | None,
    ):
        count, colours, _, columns = x.shape
        self.image = Image(x, model.seen)
        self.first = CachedConv(model.first, model.maps(z) if model.maps else None, count, columns, colours)
        self.blocks = [CachedBlock(block, z, count, columns, colours) for block in model.blocks]
        self.head = Head(*(Pointwise(layer, colours, count) for layer in (model.hidden, model.last)))

    def __call__(self, row: int, column: int, colour: int) -> Float[Tensor, "count size"]:
        if (column, colour) == (0, 0):
            self.first.begin(row, self.image.row(row - 1))
            for block in self.blocks:
                block.look.begin(row, block.look.own.row())
        self.image.newest(self.first.own, row, column, colour)
        h = self.first.pixel(column, colour)
        for block in self.blocks:
            h = block.pixel(h, column, colour)
        return self.head(h, colour)


class CachedBlock:
    """A ResidualBlock at one pixel."""

    def __init__(
        self, block: ResidualBlock, z: Float[Tensor, "count code"] | None, count: int, columns: int, colours: int
    ):
        bias = block.code(z)[:, :, None, None] if block.code else None
        self.narrow, self.widen = (Pointwise(layer, colours, count) for layer in (block.narrow, block.widen))
        self.look = CachedConv(block.look, bias, count, columns, colours)

    def pixel(self, h: Float[Tensor, "count part"], column: int, colour: int) -> Float[Tensor, "count part"]:
        """h + g(h), for the channels of one colour."""
        torch.clamp(h, min=0, out=self.narrow.slots[colour])
        torch.clamp(self.narrow.look(colour), min=0, out=self.look.own.slots[column][colour])
        torch.clamp(self.look.pixel(column, colour), min=0, out=self.widen.slots[colour])
        return h + self.widen.look(colour)


class CachedConv:
    """A MaskedConv2d: its rows above are looked at once a row, its own row pixel by pixel."""

    def __init__(
        self,
        layer: MaskedConv2d,
        context: Float[Tensor, "count c rows cells"] | None,
        count: int,
        columns: int,
        colours: int,
    ):
        radius, weight = layer.kernel_size[0] // 2, layer.masked()
        self.context, self.colours = context, colours
        self.above = RowsAbove(weight[:, :, :radius], layer.bias, count, columns)
        self.own = OwnRow(weight[:, :, radius, : radius + 1], colours, count, columns)

    def begin(self, row: int, finished: Float[Tensor, "count columns in"]) -> None:
        """A new row, once the one above it is `finished`; above the first stand zeros, which is padding."""
        self.above.push(finished)
        self.starts = cells_of(plus(self.above.look(), row_of(self.context, row)), self.colours)

    def pixel(self, column: int, colour: int) -> Float[Tensor, "count part"]:
        """The convolution at one pixel, for the channels of one colour."""
        return self.own.look(column, colour, self.starts[column][colour])
