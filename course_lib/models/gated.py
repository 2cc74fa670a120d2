"""Gated PixelCNN: two stacks of convolutions, one for the rows above and one for the own row, and no blind spot."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from course_lib.models.autoregressive import Autoregressive, Step
from course_lib.models.caching import Head, Image, OwnRow, Pointwise, RowsAbove, cells_of
from course_lib.models.checks import check_sizes
from course_lib.models.conditioning import CodeMaps, by_bias, plus, row_of
from course_lib.models.masks import MaskedConv2d, causal_mask, layer_radii
from course_lib.models.outputs import Output


class HorizontalConv2d(nn.Conv2d):
    """A filter of 1 x (radius + 1): the own row up to the centre, where the colours are masked.

    Its outputs are two halves, for the tanh and for the sigmoid of a gate; each half holds all colours.
    """

    def __init__(self, kind: str, in_channels: int, width: int, radius: int, colours: int):
        super().__init__(in_channels, 2 * width, (1, radius + 1), bias=False)
        mask = causal_mask(kind, width, in_channels, 2 * radius + 1, colours)[:, :, radius : radius + 1, : radius + 1]
        self.register_buffer("mask", mask.repeat(2, 1, 1, 1), persistent=False)

    def masked(self) -> Float[Tensor, "out in 1 taps"]:
        """The weight with the mask on."""
        return self.weight * self.mask

    def forward(self, h: Float[Tensor, "batch in height width"]) -> Float[Tensor, "batch out height width"]:
        return F.conv2d(F.pad(h, (self.kernel_size[1] - 1, 0)), self.masked())


class VerticalConv2d(nn.Conv2d):
    """All rows above up to `radius`, `radius` columns to both sides; kind "B" adds the own row, "A" does not.

    The stack it makes up has the convention that v in row i tells of the rows above i alone, so its own row is past.
    """

    def __init__(self, kind: str, in_channels: int, out_channels: int, radius: int):
        rows = radius + 1 if kind == "B" else max(radius, 1)
        super().__init__(in_channels, out_channels, (rows, 2 * radius + 1))
        self.edges = (radius, radius) + ((rows - 1, 0) if kind == "B" else (rows, -1))

    def forward(self, v: Float[Tensor, "batch in height width"]) -> Float[Tensor, "batch out height width"]:
        return super().forward(F.pad(v, self.edges))


class GatedLayer(nn.Module):
    """One layer of both stacks; v tells of the rows above, h of all the past.

    a = V * v,  b = H * h + link(a),  v' = gate(a),  h' = h + mix(gate(b));  in the first layer (kind "A") without h +.
    The link from vertical to horizontal is taken before the gate. A code adds to a and to b.
    Source: van den Oord et al. (2016), arXiv 1606.05328, figure 2 and equation 4.
    """

    def __init__(self, kind: str, in_channels: int, width: int, radius: int, colours: int, code_size: int):
        super().__init__()
        self.residual = kind == "B"
        self.vertical = VerticalConv2d(kind, in_channels, 2 * width, radius)
        self.link = nn.Conv2d(2 * width, 2 * width, 1)
        self.horizontal = HorizontalConv2d(kind, in_channels, width, radius, colours)
        self.mix = MaskedConv2d("B", width, width, 1, colours)
        self.code = nn.Linear(code_size, 4 * width, bias=False) if code_size else None

    def forward(
        self,
        v: Float[Tensor, "batch in height width"],
        h: Float[Tensor, "batch in height width"],
        context: Float[Tensor, "batch c rows columns"] | None,
    ) -> tuple[Float[Tensor, "batch width height columns"], Float[Tensor, "batch width height columns"]]:
        for_a, for_b = (None, None) if context is None else context.chunk(2, dim=1)
        a = plus(self.vertical(v), for_a)
        b = plus(self.link(a) + self.horizontal(h), for_b)
        mixed = self.mix(gate(b))
        return gate(a), h + mixed if self.residual else mixed


def gate(y: Float[Tensor, "..."], dim: int = 1) -> Float[Tensor, "..."]:
    """tanh(first half) sigmoid(second half). Source: van den Oord et al. (2016), arXiv 1606.05328, equation 2."""
    signal, door = y.chunk(2, dim)
    return signal.tanh() * door.sigmoid()


class GatedPixelCNN(Autoregressive):
    """log p(x | z) = sum_i log p(x_i | x_<i, z) by two stacks of gated layers: every past pixel in reach is seen.

    The first layer has mask A and a `first_kernel` filter, `depth` layers with mask B and `kernel` filters follow, then
    two 1 x 1 layers. Source: van den Oord et al. (2016), arXiv 1606.05328.

    Arguments: image_shape (colours, height, width); width, the channels of each stack, a multiple of the colours;
    field, how many rows above and columns to each side are seen (None: first_kernel // 2 + depth * (kernel // 2);
    0: no pixel at all); code_size, the length of z, or 0 for a model without a code; conditioning, "bias" (z adds a
    bias in every gate, the same at all pixels) or "maps" (feature maps beside the image: z may say where). Without a
    field a bias says the same at every pixel, so a model that sees nothing wants maps.
    Raises ValueError for an even kernel, and for a field that the kernels cannot reach.
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
        radii = layer_radii(field, kernel if first_kernel is None else first_kernel, kernel, depth)
        first = GatedLayer("A", colours, width, radii[0], colours, bias_size)
        rest = (GatedLayer("B", width, width, radius, colours, bias_size) for radius in radii[1:])
        self.layers = nn.ModuleList([first, *rest])
        self.maps = CodeMaps(code_size, image_shape, 4 * width) if code_size > bias_size else None
        self.hidden = MaskedConv2d("B", width, width, 1, colours)
        self.last = MaskedConv2d("B", width, colours * self.output.size, 1, colours)
        self.seen = sum(radii) > 0

    def forward(
        self, x: Float[Tensor, "batch colours height width"], z: Float[Tensor, "batch code"] | None = None
    ) -> Float[Tensor, "batch colours_times_size height width"]:
        """The numbers that tell p(x_i | x_<i, z), for all pixels at once. Pixels 0 and 1 enter as -1 and 1."""
        self.check_code(x, z)
        v = h = (2 * x - 1) * self.seen
        for layer, context in zip(self.layers, self.contexts(z), strict=True):
            v, h = layer(v, h, context)
        return self.last(F.relu(self.hidden(F.relu(h))))

    def contexts(self, z: Float[Tensor, "batch code"] | None) -> list[Float[Tensor, "batch c rows columns"] | None]:
        """What the code adds to both stacks before the gates, layer by layer: one number a channel, or a map."""
        biases = [layer.code(z)[:, :, None, None] if layer.code else None for layer in self.layers]
        return [self.maps(z), *biases[1:]] if self.maps else biases

    def stepper(self, x: Float[Tensor, "count colours height width"], z: Float[Tensor, "count code"] | None) -> Step:
        """The vertical stack a row at a time, the horizontal stack a pixel at a time; see `Autoregressive.stepper`."""
        self.check_code(x, z)
        return CachedGated(self, x, z)


class CachedGated:
    """A `Step`: the layers of a GatedPixelCNN with what they know of the rows above and of their own row."""

    @torch.no_grad()
    def __init__(
        self,
        model: GatedPixelCNN,
        x: Float[Tensor, "count colours height width"],
        z: Float[Tensor, "count code"] | None,
    ):
        count, colours, _, columns = x.shape
        contexts = model.contexts(z)
        self.image = Image(x, model.seen)
        self.layers = [CachedLayer(*pair, count, columns, colours) for pair in zip(model.layers, contexts, strict=True)]
        self.head = Head(*(Pointwise(layer, colours, count) for layer in (model.hidden, model.last)))

    def __call__(self, row: int, column: int, colour: int) -> Float[Tensor, "count size"]:
        if (column, colour) == (0, 0):
            v = self.image.row(row - 1)
            for layer in self.layers:
                v = layer.begin(row, v)
        self.image.newest(self.layers[0].horizontal, row, column, colour)
        h = self.layers[0].pixel(column, colour)
        for layer in self.layers[1:]:
            layer.horizontal.slots[column][colour].copy_(h)
            h = h + layer.pixel(column, colour)
        return self.head(h, colour)


class CachedLayer:
    """A GatedLayer that is asked row by row, and within a row pixel by pixel."""

    def __init__(
        self,
        layer: GatedLayer,
        context: Float[Tensor, "count c rows cells"] | None,
        count: int,
        columns: int,
        colours: int,
    ):
        self.context = (None, None) if context is None else context.chunk(2, dim=1)
        self.colours = colours
        self.vertical = RowsAbove(layer.vertical.weight, layer.vertical.bias, count, columns)
        self.link, self.link_bias = layer.link.weight.detach().flatten(1), layer.link.bias.detach()
        self.horizontal = OwnRow(layer.horizontal.masked()[:, :, 0], colours, count, columns, halves=2)
        self.mix = Pointwise(layer.mix, colours, count)

    def begin(self, row: int, v: Float[Tensor, "count columns in"]) -> Float[Tensor, "count columns width"]:
        """A new row: what the vertical stack adds to each of its pixels is kept, its own output returned."""
        self.vertical.push(v)
        a = plus(self.vertical.look(), row_of(self.context[0], row))
        b = plus(F.linear(a, self.link, self.link_bias), row_of(self.context[1], row))
        self.starts = cells_of(b, self.colours, halves=2)
        return gate(a, dim=2)

    def pixel(self, column: int, colour: int) -> Float[Tensor, "count part"]:
        """mix(gate(b)) at one pixel, for the channels of one colour."""
        b = self.horizontal.look(column, colour, self.starts[column][colour])
        self.mix.slots[colour].copy_(gate(b))
        return self.mix.look(colour)
