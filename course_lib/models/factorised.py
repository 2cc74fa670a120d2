"""The factorised decoder: given the code, pixels know nothing of each other."""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from course_lib.models.autoregressive import Autoregressive, Step
from course_lib.models.checks import check_sizes
from course_lib.models.outputs import Output


class FactorisedDecoder(Autoregressive):
    """log p(x | z) = sum_i log p(x_i | z): whatever two pixels have in common must come through z.

    `network` makes the numbers of all pixels from z: "mlp" by two hidden layers of `hidden` units, "conv" by two
    transposed convolutions from `hidden` channels at a quarter of the size, "linear" as W z + b (`hidden` unused).
    A linear network with the output Gaussian(sigma) is the decoder of probabilistic PCA.
    Source: Kingma and Welling (2014), arXiv 1312.6114, appendix C; Tipping and Bishop (1999), JRSS B 61.
    Raises ValueError for an unknown network, and for a code_size or hidden under 1.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        code_size: int,
        network: str = "mlp",
        hidden: int = 128,
        output: Output | None = None,
    ):
        super().__init__(image_shape, code_size, output)
        if network not in NETWORKS:
            raise ValueError(f"network must be one of {', '.join(NETWORKS)}, not {network!r}")
        if code_size < 1:
            raise ValueError(f"a factorised decoder knows its image by the code alone: code_size >= 1, not {code_size}")
        check_sizes(1, hidden=hidden)
        colours, height, width = image_shape
        self.network = NETWORKS[network](code_size, hidden, (colours * self.output.size, height, width))

    def forward(
        self, x: Float[Tensor, "batch colours height width"], z: Float[Tensor, "batch code"] | None = None
    ) -> Float[Tensor, "batch colours_times_size height width"]:
        """The numbers that tell p(x_i | z), for all pixels at once; of x only the batch size and dtype matter."""
        self.check_code(x, z)
        return self.network(z).to(x.dtype)

    def stepper(self, x: Float[Tensor, "count colours height width"], z: Float[Tensor, "count code"] | None) -> Step:
        """The numbers of all pixels, computed once and handed out."""
        numbers = self(x, z).unflatten(1, (-1, self.output.size))
        return lambda row, column, colour: numbers[:, colour, :, row, column]


def _linear(code_size: int, hidden: int, shape: tuple[int, int, int]) -> nn.Module:
    return nn.Sequential(nn.Linear(code_size, torch.Size(shape).numel()), nn.Unflatten(1, shape))


def _mlp(code_size: int, hidden: int, shape: tuple[int, int, int]) -> nn.Module:
    layers = (nn.Linear(code_size, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU())
    return nn.Sequential(*layers, *_linear(hidden, hidden, shape))


def _conv(code_size: int, hidden: int, shape: tuple[int, int, int]) -> nn.Module:
    channels, half, quarter = shape[0], _halved(shape[1:]), _halved(_halved(shape[1:]))
    middle = max(1, hidden // 2)
    layers = (_doubling(hidden, middle, half), nn.ReLU(), _doubling(middle, channels, shape[1:]))
    return nn.Sequential(*_linear(code_size, hidden, (hidden, *quarter)), nn.ReLU(), *layers)


def _halved(size: tuple[int, int]) -> tuple[int, int]:
    return tuple(-(-side // 2) for side in size)


def _doubling(in_channels: int, out_channels: int, size: tuple[int, int]) -> nn.ConvTranspose2d:
    """From half the size, rounded up, to `size`. 4 is twice the stride: every pixel is reached by equally many taps."""
    odd = tuple(side % 2 for side in size)
    padding = tuple(1 + side for side in odd)
    return nn.ConvTranspose2d(in_channels, out_channels, 4, stride=2, padding=padding, output_padding=odd)


NETWORKS: dict[str, Callable[..., nn.Module]] = {"mlp": _mlp, "conv": _conv, "linear": _linear}
