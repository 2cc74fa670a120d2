"""A convolutional LSTM that takes a whole line of pixels at every step: what the recurrent layers have in common."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from course_lib.models.masks import MaskedConv2d


class LineLSTM(nn.Module):
    """The state-to-state half of a recurrent layer, for `directions` independent LSTMs side by side.

    [o, f, i, g] = K_ss * h_{t-1} + inputs_t
    c_t = sigmoid(f) c_{t-1} + sigmoid(i) tanh(g),    h_t = sigmoid(o) tanh(c_t)

    K_ss has `taps` taps along the line and no mask, since the whole line before is past; h and c begin at 0.
    Lines are [directions, channels, line, batch]: each gate is then one block of memory, three times as fast.
    Source: van den Oord et al. (2016), arXiv 1601.06759, section 3.1, equation 3.
    """

    def __init__(self, width: int, taps: int, directions: int = 1):
        super().__init__()
        bound = (taps * width) ** -0.5
        self.taps, self.width = taps, width
        self.state = nn.Parameter(torch.empty(directions, 4 * width, taps * width).uniform_(-bound, bound))

    def forward(
        self, inputs: Float[Tensor, "steps directions four_width line batch"]
    ) -> Float[Tensor, "steps directions width line batch"]:
        """h_t for every line, one step after another."""
        _, directions, _, line, batch = inputs.shape
        h = c = inputs.new_zeros(directions, self.width, line, batch)
        states = []
        for gates in inputs.unbind():
            h, c = self.step(gates, self.window(h), c, self.state)
            states.append(h)
        return torch.stack(states)

    def window(
        self, h: Float[Tensor, "directions width line batch"]
    ) -> Float[Tensor, "directions taps_times_width line batch"]:
        """For each place of the line the states around it: the taps of K_ss, centred, or half a place early if even."""
        line, padded = h.shape[2], F.pad(h, (0, 0, self.taps // 2, (self.taps - 1) // 2))
        return torch.cat([padded[:, :, tap : tap + line] for tap in range(self.taps)], dim=1)

    @staticmethod
    def step(
        inputs: Float[Tensor, "directions four_width line batch"],
        window: Float[Tensor, "directions taps_times_width line batch"],
        c: Float[Tensor, "directions width line batch"],
        weight: Float[Tensor, "directions four_width taps_times_width"],
    ) -> tuple[Float[Tensor, "directions width line batch"], Float[Tensor, "directions width line batch"]]:
        """h_t and c_t, from K_is * x_t, the windows of h_{t-1}, c_{t-1}, and K_ss as a matrix."""
        gates = torch.baddbmm(inputs.flatten(2), weight, window.flatten(2)).view(inputs.shape)
        o, f, i, g = gates.chunk(4, dim=1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c


class RecurrentLayer(nn.Module):
    """h + widen(LSTM(h)): a trunk of 2 * width channels, `width` per gate, and mask B on all that sees the present.

    A code z enters as a bias in every gate, at every pixel.
    Source: van den Oord et al. (2016), arXiv 1601.06759, section 3.3 and figure 5.
    """

    def __init__(self, width: int, colours: int, code_size: int, taps: int, directions: int):
        super().__init__()
        self.width, self.colours, self.directions = width, colours, directions
        self.here = MaskedConv2d("B", 2 * width, directions * 4 * width, 1, colours)
        self.code = nn.Linear(code_size, directions * 4 * width, bias=False) if code_size else None
        self.lstm = LineLSTM(width, taps, directions)
        self.widen = MaskedConv2d("B", width, 2 * width, 1, colours)

    def present(
        self, h: Float[Tensor, "batch trunk height width"], z: Float[Tensor, "batch code"] | None
    ) -> Float[Tensor, "batch gates height width"]:
        """What the pixel itself and the code send to the gates, grouped by colour, then direction, then gate."""
        gates = self.here(h)
        return gates if self.code is None else gates + self.code(z)[:, :, None, None]

    def by_direction(
        self, gates: Float[Tensor, "batch gates height width"]
    ) -> Float[Tensor, "directions four_width height width batch"]:
        """The same numbers in the order of LineLSTM: by direction, then gate, then colour; the batch last."""
        groups = gates.unflatten(1, (self.colours, self.directions, 4, self.width // self.colours))
        return groups.permute(2, 3, 1, 4, 5, 6, 0).flatten(1, 3)
