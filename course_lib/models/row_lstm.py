"""The Row LSTM's layer: it reads a picture from the top, a row at every step."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from course_lib.models.line_lstm import RecurrentLayer


class RowLayer(RecurrentLayer):
    """Input-to-state: 3 x 1, mask B, for the whole image at once. State-to-state: 3 x 1 on the row above, no mask.

    `height` steps. Source: van den Oord et al. (2016), arXiv 1601.06759, section 3.1 and table 1.
    """

    def __init__(self, width: int, colours: int, code_size: int):
        super().__init__(width, colours, code_size, taps=3, directions=1)
        self.left = nn.Conv2d(2 * width, 4 * width, 1, bias=False)

    def steps(self, height: int, width: int) -> int:
        """How many LSTM steps wait for one another in this layer."""
        return height

    def forward(
        self, h: Float[Tensor, "batch trunk height width"], z: Float[Tensor, "batch code"] | None
    ) -> Float[Tensor, "batch trunk height width"]:
        gates = self.present(h, z) + self.left(F.pad(h, (1, 0))[..., :-1])
        rows = self.by_direction(gates).movedim(2, 0)
        return h + self.widen(self.lstm(rows).squeeze(1).permute(3, 1, 0, 2))

    def walker(self, count: int, height: int, width: int, z: Float[Tensor, "count code"] | None):
        """A function of (row, column, h) with h [count, trunk, 1, 1], asked in raster order: this layer, one pixel.

        It keeps the states of all pixels so far, with a margin of zeros on three sides, and nothing else is redone.
        """
        inputs = self.widen.weight.new_zeros(width + 1, count, 2 * self.width, 1, 1)
        states, cells = self.widen.weight.new_zeros(2, height + 1, width + 2, self.width, count)

        def walk(row, column, h):
            inputs[column + 1] = h
            gates = self.by_direction(self.present(h, z) + self.left(inputs[column])).squeeze(2)
            window = states[row, column : column + 3].reshape(1, -1, 1, count)
            state, cell = self.lstm.step(gates, window, cells[row, column + 1][None, :, None], self.lstm.state)
            states[row + 1, column + 1], cells[row + 1, column + 1] = state[0, :, 0], cell[0, :, 0]
            return h + self.widen(state.permute(3, 1, 0, 2))

        return walk
