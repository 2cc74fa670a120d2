"""How a code z enters a masked network: as a bias in every layer, or as feature maps beside the image."""

from jaxtyping import Float
from torch import Tensor, nn

MAPS = 4


class CodeMaps(nn.Module):
    """z -> linear -> 4 maps of the image's size -> 1 x 1 convolution -> `channels`, added to what the first layer sees.

    The weights that join the maps to the layer carry no mask: z is no pixel, so every pixel, the first one included,
    may see all of it. A map can say different things at different places, which a bias cannot.
    Source: van den Oord et al. (2016), arXiv 1606.05328, equation 5 (there in every layer).
    """

    def __init__(self, code_size: int, image_shape: tuple[int, int, int], channels: int):
        super().__init__()
        self.size = tuple(image_shape[1:])
        self.paint = nn.Linear(code_size, MAPS * self.size[0] * self.size[1])
        self.join = nn.Conv2d(MAPS, channels, 1, bias=False)

    def forward(self, z: Float[Tensor, "batch code"]) -> Float[Tensor, "batch channels height width"]:
        return self.join(self.paint(z).unflatten(1, (MAPS, *self.size)))


def by_bias(conditioning: str) -> bool:
    """True for "bias", False for "maps". Raises ValueError for any other word."""
    if conditioning not in ("bias", "maps"):
        raise ValueError(f"a code enters as 'bias' (in every layer) or as 'maps' (beside it), not {conditioning!r}")
    return conditioning == "bias"


def plus(y: Float[Tensor, "..."], context: Float[Tensor, "..."] | None) -> Float[Tensor, "..."]:
    """y + context, or y where no code enters."""
    return y if context is None else y + context


def row_of(context: Float[Tensor, "batch c rows columns"] | None, row: int) -> Float[Tensor, "batch cells c"] | None:
    """What the code adds to one row, for each of its pixels, or one bias for them all."""
    return None if context is None else context[:, :, row if context.shape[2] > 1 else 0].transpose(1, 2)
