"""The Diagonal BiLSTM's layer: it reads a picture from both upper corners at once, a diagonal at every step."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from course_lib.models.line_lstm import RecurrentLayer


def skew(x: Float[Tensor, "... height width"]) -> Float[Tensor, "... height diagonals"]:
    """Row r moved r places to the right, zeros elsewhere: column t of the result is the diagonal row + column = t.

    diagonals = height + width - 1. Source: van den Oord et al. (2016), arXiv 1601.06759, section 3.2, figure 3.
    """
    height, width = x.shape[-2:]
    # Rows of width + height, cut again into rows one shorter: each row then begins one place later than the last.
    return F.pad(x, (0, height)).flatten(-2)[..., :-height].unflatten(-1, (height, height + width - 1))


def unskew(x: Float[Tensor, "... height diagonals"]) -> Float[Tensor, "... height width"]:
    """The inverse of `skew`."""
    height, width = x.shape[-2], x.shape[-1] - x.shape[-2] + 1
    return F.pad(x.flatten(-2), (0, height)).unflatten(-1, (height, height + width))[..., :width]


class DiagonalLayer(RecurrentLayer):
    """Input-to-state 1 x 1, mask B; state-to-state 2 x 1 on the diagonal before: the pixels above and to the side.

    One LSTM comes from the top left, one from the top right. What the second knows of a pixel is handed to the
    pixel below, since in its own row it has seen the future. height + width - 1 steps, both directions in each.
    Source: van den Oord et al. (2016), arXiv 1601.06759, section 3.2 and table 1.
    """

    def __init__(self, width: int, colours: int, code_size: int):
        super().__init__(width, colours, code_size, taps=2, directions=2)

    def steps(self, height: int, width: int) -> int:
        """How many LSTM steps wait for one another in this layer."""
        return height + width - 1

    def forward(
        self, h: Float[Tensor, "batch trunk height width"], z: Float[Tensor, "batch code"] | None
    ) -> Float[Tensor, "batch trunk height width"]:
        gates = self.by_direction(self.present(h, z)).movedim(-1, 2)
        gates = torch.stack([gates[0], gates[1].flip(-1)])
        # Zeros outside the picture keep the states there at zero, so that every row begins from nothing.
        diagonals = skew(gates).permute(4, 0, 1, 3, 2)
        states = unskew(self.lstm(diagonals).permute(1, 4, 2, 3, 0))
        from_left, from_right = states[0], states[1].flip(-1)
        return h + self.widen(from_left + F.pad(from_right[:, :, :-1], (0, 0, 1, 0)))

    def walker(self, count: int, height: int, width: int, z: Float[Tensor, "count code"] | None):
        """A function of (row, column, h) with h [count, trunk, 1, 1], asked in raster order: this layer, one pixel.

        It keeps all states, with a margin of zeros above and before. Once a row is full the LSTM from the right
        runs through it, for the row below: every state is computed once.
        """
        states, cells = self.widen.weight.new_zeros(2, 2, height + 1, width + 1, self.width, count)
        waiting = [None] * width

        def advance(direction, row, column, gates):
            beside = cells[direction, row + 1, column][None, :, None]
            window = torch.cat([states[direction, row, column + 1], states[direction, row + 1, column]])
            weight = self.lstm.state[direction : direction + 1]
            state, cell = self.lstm.step(gates, window[None, :, None], beside, weight)
            states[direction, row + 1, column + 1] = state[0, :, 0]
            cells[direction, row + 1, column + 1] = cell[0, :, 0]

        def walk(row, column, h):
            gates = self.by_direction(self.present(h, z)).squeeze(2)
            waiting[width - 1 - column] = gates[1:]
            advance(0, row, column, gates[:1])
            if column == width - 1:
                for place in range(width):
                    advance(1, row, place, waiting[place])
            both = states[0, row + 1, column + 1] + states[1, row, width - column]
            return h + self.widen(both.T[:, :, None, None])

        return walk
