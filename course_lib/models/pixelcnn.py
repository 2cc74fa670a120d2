"""PixelCNN for binary images: every conditional p(x_i | x_<i) from one pass of a masked convolutional network."""

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from tqdm.auto import tqdm

from course_lib.models.masks import MaskedConv2d


class ResidualBlock(nn.Module):
    """x + g(x): narrow to half the channels, look around with one masked k x k convolution, widen again.

    Source: van den Oord et al. (2016), arXiv 1601.06759, figure 5. A code z enters as a bias at every pixel.
    """

    def __init__(self, width: int, kernel_size: int, colours: int, code_size: int):
        super().__init__()
        self.narrow = MaskedConv2d("B", 2 * width, width, 1, colours)
        self.look = MaskedConv2d("B", width, width, kernel_size, colours)
        self.widen = MaskedConv2d("B", width, 2 * width, 1, colours)
        self.code = nn.Linear(code_size, width, bias=False) if code_size else None

    def forward(self, h: Float[Tensor, "batch c height width"], z: Float[Tensor, "batch code"] | None) -> Tensor:
        look = self.look(F.relu(self.narrow(F.relu(h))))
        if self.code is not None:
            look = look + self.code(z)[:, :, None, None]
        return h + self.widen(F.relu(look))


class PixelCNN(nn.Module):
    """log p(x | z) = sum_i log p(x_i | x_<i, z), each factor Bernoulli, in raster order and R, G, B within a pixel.

    The first layer has mask A and a `first_kernel` filter; `depth` residual blocks follow, each with one mask-B
    filter of size `kernel`; two 1 x 1 layers give one logit per pixel and colour. The field reaches
    first_kernel // 2 + depth * (kernel // 2) rows up. Source: van den Oord et al. (2016), arXiv 1601.06759.

    Arguments: image_shape (colours, height, width); width, the channels inside a block (the trunk has twice as
    many), a multiple of the colours; code_size, the length of z, or 0 for a model without a code.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        width: int = 32,
        depth: int = 5,
        kernel: int = 3,
        first_kernel: int | None = None,
        code_size: int = 0,
    ):
        super().__init__()
        colours = image_shape[0]
        self.image_shape, self.code_size = tuple(image_shape), code_size
        self.first = MaskedConv2d("A", colours, 2 * width, first_kernel or kernel, colours)
        self.blocks = nn.ModuleList(ResidualBlock(width, kernel, colours, code_size) for _ in range(depth))
        self.hidden = MaskedConv2d("B", 2 * width, 2 * width, 1, colours)
        self.last = MaskedConv2d("B", 2 * width, colours, 1, colours)

    def forward(
        self, x: Float[Tensor, "batch colours height width"], z: Float[Tensor, "batch code"] | None = None
    ) -> Float[Tensor, "batch colours height width"]:
        """Logits of p(x_i = 1 | x_<i, z) for all pixels at once. Pixels 0 and 1 enter as -1 and 1."""
        self._check_code(x, z)
        h = self.first(2 * x - 1)
        for block in self.blocks:
            h = block(h, z)
        return self.last(F.relu(self.hidden(F.relu(h))))

    def log_prob(
        self, x: Float[Tensor, "batch colours height width"], z: Float[Tensor, "batch code"] | None = None
    ) -> Float[Tensor, " batch"]:
        """log p(x | z) in nats per image: summed over pixels and colours.

        Raises ValueError for images of another shape, or with pixels other than 0 and 1.
        """
        self._check_images(x)
        logits = self(x, z).to(x.dtype)
        return -F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(dim=(1, 2, 3))

    @torch.no_grad()
    def sample(
        self, count: int, generator: torch.Generator, z: Tensor | None = None, progress: bool = False
    ) -> Float[Tensor, "count colours height width"]:
        """The naive loop: one full pass of the network per pixel and colour, each drawn from what stands before it.

        One uniform number per pixel and image is drawn from `generator`, pixel by pixel, so two models with the
        same generator state share their noise.
        """
        colours, height, width = self.image_shape
        x = next(self.parameters()).new_zeros(count, *self.image_shape)
        places = [(r, c, k) for r in range(height) for c in range(width) for k in range(colours)]
        for r, c, k in tqdm(places, desc="pixels", disable=not progress):
            p = torch.sigmoid(self(x, z)[:, k, r, c])
            u = torch.rand(count, generator=generator, device=generator.device).to(p)
            x[:, k, r, c] = (u < p).to(x)
        return x

    def _check_images(self, x: Tensor) -> None:
        if tuple(x.shape[1:]) != self.image_shape:
            raise ValueError(f"expected images of shape [batch, {self.image_shape}], got {tuple(x.shape)}")
        if not ((x == 0) | (x == 1)).all():
            raise ValueError("pixels must be 0 or 1: binarise grey images first, with course_lib.data.binarise")

    def _check_code(self, x: Tensor, z: Tensor | None) -> None:
        if self.code_size and (z is None or z.shape != (len(x), self.code_size)):
            got = None if z is None else tuple(z.shape)
            raise ValueError(
                f"this model is conditioned on a code: pass z of shape {(len(x), self.code_size)}, got {got}"
            )
        if not self.code_size and z is not None:
            raise ValueError("this model has no code: build it with code_size > 0 to condition it on z")
