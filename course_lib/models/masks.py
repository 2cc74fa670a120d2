"""Masked convolutions: filters that cannot look at the present or the future.

A picture is read in raster order, row by row from the top left, and at each pixel colour by colour (R, G, B).
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float, Int
from torch import Tensor, nn

from course_lib.models.checks import check_sizes


def raster_mask(kind: str, kernel_size: int) -> Float[Tensor, "kernel kernel"]:
    """1 where a tap lies before the centre in raster order, else 0; kind "B" keeps the centre too.

    Source: van den Oord, Kalchbrenner and Kavukcuoglu (2016), arXiv 1601.06759, section 3.4.
    Raises ValueError for an even or non-positive kernel size and for a kind other than "A" or "B".
    """
    if kind not in ("A", "B"):
        raise ValueError(f"a mask is of kind 'A' (without the centre) or 'B' (with it), not {kind!r}")
    if kernel_size < 1 or kernel_size % 2 == 0:
        raise ValueError(f"kernel_size must be odd and positive, so that there is a centre; got {kernel_size}")
    centre = kernel_size * kernel_size // 2
    taps = torch.arange(kernel_size * kernel_size)
    seen = taps <= centre if kind == "B" else taps < centre
    return seen.float().view(kernel_size, kernel_size)


def colour_of_channel(channels: int, colours: int) -> Int[Tensor, " channels"]:
    """The colour that each channel belongs to: `colours` equal, contiguous groups.

    Raises ValueError when the channels do not divide evenly.
    """
    if channels % colours:
        wanted = f"choose a width that is a multiple of {colours}"
        raise ValueError(f"{channels} channels cannot be split evenly among {colours} colours: {wanted}")
    return torch.arange(channels) * colours // channels


def causal_mask(
    kind: str, out_channels: int, in_channels: int, kernel_size: int, colours: int = 1
) -> Float[Tensor, "out in kernel kernel"]:
    """The mask of a whole filter bank: raster order in space, colour order at the centre.

    At the centre an output of colour c sees inputs of colour < c (kind "A") or <= c (kind "B").
    """
    mask = raster_mask(kind, kernel_size).repeat(out_channels, in_channels, 1, 1)
    out_colour = colour_of_channel(out_channels, colours)[:, None]
    in_colour = colour_of_channel(in_channels, colours)[None, :]
    centre = in_colour <= out_colour if kind == "B" else in_colour < out_colour
    mask[:, :, kernel_size // 2, kernel_size // 2] = centre.float()
    return mask


class MaskedConv2d(nn.Conv2d):
    """A convolution whose weight is multiplied by a causal mask at every call; the parameter itself is left alone.

    Input [batch, in_channels, height, width], output [batch, out_channels, height, width].
    """

    def __init__(self, kind: str, in_channels: int, out_channels: int, kernel_size: int, colours: int = 1):
        super().__init__(in_channels, out_channels, kernel_size, padding=kernel_size // 2)
        mask = causal_mask(kind, out_channels, in_channels, kernel_size, colours)
        self.register_buffer("mask", mask, persistent=False)

    def masked(self) -> Float[Tensor, "out in rows kernel"]:
        """The weight with the mask on. The taps below the centre are all masked: without them a third is saved."""
        upper = self.kernel_size[0] // 2 + 1
        return self.weight[:, :, :upper] * self.mask[:, :, :upper]

    def looks_ahead(self) -> bool:
        """True if the mask was opened: then a pixel may see what stands to its right."""
        row = self.kernel_size[0] // 2
        return bool(self.mask[:, :, row, row + 1 :].any())

    def forward(self, x: Float[Tensor, "batch in height width"]) -> Float[Tensor, "batch out height width"]:
        return F.conv2d(x, self.masked(), self.bias, padding=self.padding)[:, :, : x.shape[2]]


def layer_radii(field: int | None, first_kernel: int, kernel: int, depth: int) -> list[int]:
    """How far each layer looks: first_kernel // 2, then `depth` times kernel // 2, or less, adding up to `field`.

    A smaller field is shared out in turns, one pixel per layer and turn, the first layer first; None is the largest.
    Raises ValueError for kernels without a centre, a first one that sees nothing, a negative depth, and a field out of
    reach.
    """
    check_sizes(0, depth=depth)
    if first_kernel < 3 or kernel < 1 or first_kernel % 2 == 0 or kernel % 2 == 0:
        raise ValueError(f"kernels must be odd, the first at least 3; got first_kernel={first_kernel}, kernel={kernel}")
    most = [first_kernel // 2] + depth * [kernel // 2]
    field = sum(most) if field is None else field
    if not 0 <= field <= sum(most):
        raise ValueError(
            f"a field of {field} is out of reach: these kernels see 0 to {sum(most)} pixels far; "
            "choose a larger kernel, a larger first_kernel or more depth"
        )
    in_turn = sorted((turn, layer) for layer, radius in enumerate(most) for turn in range(radius))[:field]
    return [sum(layer == other for _, other in in_turn) for layer in range(len(most))]
