"""The Diagonal BiLSTM's layer: it reads a picture from both upper corners at once, a diagonal at every step."""

from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from course_lib.models.line_lstm import RecurrentLayer


def skew(x: Float[Tensor, "*other height width batch"]) -> Float[Tensor, "*other height diagonals batch"]:
    """Row r moved r places to the right, zeros elsewhere: column t of the result is the diagonal row + column = t.

    diagonals = height + width - 1. Source: van den Oord et al. (2016), arXiv 1601.06759, section 3.2, figure 3.
    """
    height, width = x.shape[-3:-1]
    # Rows of width + height, cut again into rows one shorter: each row then begins one place later than the last.
    joined = F.pad(x, (0, 0, 0, height)).flatten(-3, -2)
    return joined[..., :-height, :].unflatten(-2, (height, height + width - 1))


def unskew(x: Float[Tensor, "*other height diagonals batch"]) -> Float[Tensor, "*other height width batch"]:
    """The inverse of `skew`."""
    height, width = x.shape[-3], x.shape[-2] - x.shape[-3] + 1
    return F.pad(x.flatten(-3, -2), (0, 0, 0, height)).unflatten(-2, (height, height + width))[..., :width, :]


class DiagonalLayer(RecurrentLayer):
    """Input-to-state 1 x 1, mask B; state-to-state 2 x 1 on the diagonal before: the pixels above and to the side.

    One LSTM comes from the top left, one from the top right. What the second knows of a pixel is handed to the
    pixel below, since in its own row it has seen the future. height + width - 1 steps, both directions in each.
    Source: van den Oord et al. (2016), arXiv 1601.06759, section 3.2 and table 1.
    """

    def __init__(self, width: int, colours: int, code_size: int):
        super().__init__(width, colours, code_size, taps=2, directions=2)

    @staticmethod
    def steps(height: int, width: int) -> int:
        """How many LSTM steps wait for one another in this layer."""
        return height + width - 1

    def forward(
        self, h: Float[Tensor, "trunk height width batch"], z: Float[Tensor, "batch code"] | None
    ) -> Float[Tensor, "trunk height width batch"]:
        from_left, from_right = self.from_present(h, z).chunk(2)
        # Zeros outside the picture keep the states there at zero, so that every row begins from nothing.
        diagonals = skew(torch.stack([from_left, from_right.flip(-2)])).movedim(3, 0)
        from_left, from_right = unskew(self.lstm(diagonals).movedim(0, 3))
        a_row_down = F.pad(from_right.flip(-2), (0, 0, 0, 0, 1, -1))
        return h + self.widen(from_left + a_row_down)

    def walker(self, count: int, height: int, width: int, z: Float[Tensor, "count code"] | None) -> Callable:
        """A function of (row, column, h) with h [trunk, 1, 1, count], asked in raster order: the layer at one pixel.

        It keeps all states so far, in a margin of zeros. Once a row is full, the LSTM from the right runs through
        it, for the row below; its columns are counted from the right.
        """
        states, cells = self.lstm.state_to_state.new_zeros(2, 2, height + 1, width + 1, self.lstm.width, count)
        waiting = [None] * width

        def advance(direction, row, column, gates):
            window = torch.cat([states[direction, row, column + 1], states[direction, row + 1, column]])
            beside, weight = cells[direction, row + 1, column], self.lstm.state_to_state[direction]
            state, cell = self.lstm.step(gates[None], window[None, :, None], beside[None, :, None], weight[None])
            states[direction, row + 1, column + 1] = state[0, :, 0]
            cells[direction, row + 1, column + 1] = cell[0, :, 0]

        def walk(row, column, h):
            from_left, waiting[width - 1 - column] = self.from_present(h, z).squeeze(1).chunk(2)
            advance(0, row, column, from_left)
            if column == width - 1:
                for place, from_right in enumerate(waiting):
                    advance(1, row, place, from_right)
            both = states[0, row + 1, column + 1] + states[1, row, width - column]
            return h + self.widen(both[:, None, None])

        return walk
