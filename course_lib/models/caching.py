"""Masked layers one row or one pixel at a time: what is known already is kept, and only what is new is computed.

Features stand with their channels last, so that what a pixel sees in its own row lies in one piece of memory and a
layer at a pixel is one product of matrices. Nothing here is differentiated.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from course_lib.models.masks import MaskedConv2d


def by_colour(y: Float[Tensor, "*place c"], colours: int, halves: int = 1) -> Float[Tensor, "*place colours part"]:
    """The channels of each colour together, where `halves` parts (of a gate) stand, each with all colours."""
    return y.unflatten(-1, (halves, colours, -1)).transpose(-3, -2).flatten(-2)


def cells_of(
    y: Float[Tensor, "count columns c"], colours: int, halves: int = 1
) -> list[tuple[Float[Tensor, "count part"], ...]]:
    """One row as a list, [column][colour]."""
    return [cell.unbind(1) for cell in by_colour(y, colours, halves).unbind(1)]


class RowsAbove:
    """A convolution over the last rows that were pushed, zeros before the first: the vertical part of a masked filter.

    weight is [out, in, rows, 2 radius + 1]; with no rows at all, only the bias is left.
    """

    def __init__(self, weight: Float[Tensor, "out in rows k"], bias: Float[Tensor, " out"], count: int, columns: int):
        self.radius, self.columns, self.bias = weight.shape[3] // 2, columns, bias.detach()
        self.weight = weight.detach().contiguous(memory_format=torch.channels_last)
        self.cells = weight.new_zeros(count, weight.shape[2], columns + 2 * self.radius, weight.shape[1])

    def push(self, row: Float[Tensor, "count columns in"]) -> None:
        """One row further down: the oldest row is forgotten."""
        if self.cells.shape[1]:
            self.cells[:, :-1] = self.cells[:, 1:].clone()
            self.cells[:, -1, self.radius : self.radius + self.columns] = row

    def look(self) -> Float[Tensor, "count columns out"]:
        """The convolution, for one row."""
        if not self.cells.shape[1]:
            return self.bias.expand(len(self.cells), self.columns, -1)
        return F.conv2d(self.cells.permute(0, 3, 1, 2), self.weight, self.bias)[:, :, 0].transpose(1, 2)


class OwnRow:
    """A masked filter of 1 x taps that ends at the present pixel: the horizontal part, asked pixel by pixel.

    `slots[column][colour]` is where the input at a pixel is to be written, [count, in / colours], before `look`.
    Colours that are not written yet may hold anything finite: the mask has set their weights to zero.
    """

    def __init__(
        self, weight: Float[Tensor, "outputs inputs taps"], colours: int, count: int, columns: int = 1, halves: int = 1
    ):
        size, taps = weight.shape[1:]
        flat = by_colour(weight.detach().permute(2, 1, 0).flatten(0, 1), colours, halves)
        self.weights = [part.contiguous() for part in flat.unbind(1)]
        self.cells = weight.new_zeros(count, taps - 1 + columns, size)
        self.patches = self.cells.flatten(1).unfold(1, taps * size, size).unbind(1)
        self.slots = [cell.chunk(colours, 1) for cell in self.cells[:, taps - 1 :].unbind(1)]

    def row(self) -> Float[Tensor, "count columns in"]:
        """The whole row, as far as it is written."""
        return self.cells[:, -len(self.slots) :]

    def look(self, column: int, colour: int, start: Float[Tensor, "count part"]) -> Float[Tensor, "count part"]:
        """start + filter * row at this pixel, for the channels of one colour."""
        return torch.addmm(start, self.patches[column], self.weights[colour])


class Pointwise:
    """A masked 1 x 1 layer with its bias, at one pixel; colours already computed at this pixel are kept."""

    def __init__(self, layer: MaskedConv2d, colours: int, count: int):
        self.own = OwnRow(layer.masked()[:, :, 0], colours, count)
        self.bias, self.slots = by_colour(layer.bias.detach(), colours).unbind(0), self.own.slots[0]

    def look(self, colour: int) -> Float[Tensor, "count part"]:
        """What the layer puts out for one colour, once the input's slot of that colour is written."""
        return self.own.look(0, colour, self.bias[colour])


class Head:
    """The last two 1 x 1 layers, each after a ReLU: from the features of a pixel to the numbers of one colour."""

    def __init__(self, hidden: Pointwise, last: Pointwise):
        self.layers = (hidden, last)

    def __call__(self, h: Float[Tensor, "count part"], colour: int) -> Float[Tensor, "count size"]:
        for layer in self.layers:
            torch.clamp(h, min=0, out=layer.slots[colour])
            h = layer.look(colour)
        return h


class Image:
    """What a stepper reads of the image that fills up: pixels 0 and 1 as -1 and 1, or nothing at all (field 0)."""

    def __init__(self, x: Float[Tensor, "count colours height width"], seen: bool):
        self.x, self.scale = x, float(seen)

    def row(self, row: int) -> Float[Tensor, "count columns colours"]:
        """A finished row; the row above the first is padding."""
        return ((2 * self.x[:, :, row] - 1) * self.scale if row >= 0 else 0 * self.x[:, :, 0]).transpose(1, 2)

    def newest(self, own: OwnRow, row: int, column: int, colour: int) -> None:
        """Write down the value drawn last, unless it stands in the row above."""
        colour, column = (colour - 1, column) if colour else (self.x.shape[1] - 1, column - 1)
        if column >= 0:
            own.slots[column][colour][:, 0] = (2 * self.x[:, colour, row, column] - 1) * self.scale
