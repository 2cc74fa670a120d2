"""The Row LSTM's layer: it reads a picture from the top, a row at every step."""

from collections.abc import Callable

import torch
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
        self.left = nn.Linear(2 * width, 4 * width, bias=False)

    @staticmethod
    def steps(height: int, width: int) -> int:
        """How many LSTM steps wait for one another in this layer."""
        return height

    def forward(
        self, h: Float[Tensor, "trunk height width batch"], z: Float[Tensor, "batch code"] | None
    ) -> Float[Tensor, "trunk height width batch"]:
        gates = self.from_input(h, F.pad(h, (0, 0, 1, -1)), z)
        states = self.lstm(gates.movedim(1, 0)[:, None])
        return h + self.widen(states[:, 0].movedim(0, 1))

    def from_input(
        self,
        h: Float[Tensor, "trunk height width batch"],
        before: Float[Tensor, "trunk height width batch"],
        z: Float[Tensor, "batch code"] | None,
    ) -> Float[Tensor, "gates height width batch"]:
        """K_is * h + z: the two taps of the masked filter, `before` being h one pixel to the left."""
        present = self.from_present(h, z)
        return torch.addmm(present.flatten(1), self.left.weight, before.flatten(1)).view(present.shape)

    def walker(self, count: int, height: int, width: int, z: Float[Tensor, "count code"] | None) -> Callable:
        """A function of (row, column, h) with h [trunk, 1, 1, count], asked in raster order: the layer at one pixel.

        It keeps all states so far, in a margin of zeros, and the inputs of the row.
        """
        blank = self.lstm.state_to_state.new_zeros
        inputs = blank(width + 1, self.left.in_features, 1, 1, count)
        states, cells = blank(2, height + 1, width + 2, self.lstm.width, count)

        def walk(row, column, h):
            inputs[column + 1] = h
            gates = self.from_input(h, inputs[column], z).movedim(1, 0)
            window = states[row, column : column + 3].flatten(0, 1)[None, :, None]
            state, cell = self.lstm.step(gates, window, cells[row, column + 1][None, :, None], self.lstm.state_to_state)
            states[row + 1, column + 1], cells[row + 1, column + 1] = state[0, :, 0], cell[0, :, 0]
            return h + self.widen(state.movedim(0, 1))

        return walk
