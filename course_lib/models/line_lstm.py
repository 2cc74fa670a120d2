"""What the recurrent layers of PixelRNN have in common: an LSTM that takes a whole line of pixels at every step.

Pictures are [channels, height, width, batch] here: all channels of a pixel mix in one matrix product, and each gate is
one block of memory.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from course_lib.models.masks import causal_mask


class MaskedMix(nn.Linear):
    """A 1 x 1 convolution with mask B; its output is `blocks` times `width` channels, each block with all colours."""

    def __init__(self, in_channels: int, width: int, colours: int, blocks: int = 1):
        super().__init__(in_channels, blocks * width)
        mask = causal_mask("B", width, in_channels, 1, colours)[:, :, 0, 0].repeat(blocks, 1)
        self.register_buffer("mask", mask, persistent=False)

    def forward(self, h: Float[Tensor, "in height width batch"]) -> Float[Tensor, "out height width batch"]:
        mixed = torch.addmm(self.bias[:, None], self.weight * self.mask, h.flatten(1))
        return mixed.unflatten(1, h.shape[1:])


class LineLSTM(nn.Module):
    """The state-to-state half of a recurrent layer, for `directions` independent LSTMs side by side.

    [o, f, i, g] = K_ss * h_{t-1} + inputs_t
    c_t = sigmoid(f) c_{t-1} + sigmoid(i) tanh(g),    h_t = sigmoid(o) tanh(c_t)

    K_ss has `taps` taps along the line and no mask, since the whole line before is past; h and c begin at 0.
    Source: van den Oord et al. (2016), arXiv 1601.06759, section 3.1, equation 3.
    """

    def __init__(self, width: int, taps: int, directions: int):
        super().__init__()
        bound = (taps * width) ** -0.5
        self.taps, self.width = taps, width
        self.state_to_state = nn.Parameter(torch.empty(directions, 4 * width, taps * width).uniform_(-bound, bound))

    def forward(
        self, inputs: Float[Tensor, "steps directions four_width line batch"]
    ) -> Float[Tensor, "steps directions width line batch"]:
        """h_t for every line, one step after another."""
        _, directions, _, line, batch = inputs.shape
        h = c = inputs.new_zeros(directions, self.width, line, batch)
        states = []
        for gates in inputs.unbind():
            h, c = self.step(gates, self.window(h), c, self.state_to_state)
            states.append(h)
        return torch.stack(states)

    def window(
        self, h: Float[Tensor, "directions width line batch"]
    ) -> Float[Tensor, "directions taps_times_width line batch"]:
        """What the taps of K_ss see at each place of the line: before, here and after, or before and here if two."""
        shifts = [self.taps // 2 - tap for tap in range(self.taps)]
        return torch.cat([F.pad(h, (0, 0, shift, -shift)) if shift else h for shift in shifts], dim=1)

    @staticmethod
    def step(
        inputs: Float[Tensor, "directions four_width line batch"],
        window: Float[Tensor, "directions taps_times_width line batch"],
        c: Float[Tensor, "directions width line batch"],
        weight: Float[Tensor, "directions four_width taps_times_width"],
    ) -> tuple[Float[Tensor, "directions width line batch"], Float[Tensor, "directions width line batch"]]:
        """h_t and c_t, from inputs_t, the windows of h_{t-1}, c_{t-1}, and K_ss as a matrix."""
        gates = torch.baddbmm(inputs.flatten(2), weight, window.flatten(2)).view(inputs.shape)
        o, f, i, g = gates.chunk(4, dim=1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        return torch.sigmoid(o) * torch.tanh(c), c


class RecurrentLayer(nn.Module):
    """h + widen(LSTM(h)): a trunk of 2 * width channels, `width` in an LSTM, and mask B on all that sees the present.

    A code z enters as a bias in every gate, at every pixel.
    Source: van den Oord et al. (2016), arXiv 1601.06759, section 3.3 and figure 5.
    """

    def __init__(self, width: int, colours: int, code_size: int, taps: int, directions: int):
        super().__init__()
        self.present = MaskedMix(2 * width, width, colours, blocks=4 * directions)
        self.code = nn.Linear(code_size, 4 * directions * width, bias=False) if code_size else None
        self.lstm = LineLSTM(width, taps, directions)
        self.widen = MaskedMix(width, 2 * width, colours)

    def from_present(
        self, h: Float[Tensor, "trunk height width batch"], z: Float[Tensor, "batch code"] | None
    ) -> Float[Tensor, "gates height width batch"]:
        """What the pixel itself and the code send to the gates of all directions."""
        gates = self.present(h)
        return gates if self.code is None else gates + self.code(z).T[:, None, None]
