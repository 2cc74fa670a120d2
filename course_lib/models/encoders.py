"""Encoders: networks that read an image and answer q(z|x)."""

from jaxtyping import Float
from torch import Tensor, nn

from course_lib.models.checks import check_image_shape, check_images, check_sizes
from course_lib.models.gaussian import DiagonalGaussian, PointCode


class Encoder(nn.Module):
    """q(z|x) = N(mu(x), diag(exp(log_var(x)))), or the point mu(x) if `deterministic`.

    `features` turn images into `width` numbers each; a last linear layer makes mu, and log_var where there is one.
    Raises ValueError for an image_shape other than (colours, height, width), for a size under 1, and, when called,
    for images of another shape.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        features: tuple[nn.Module, ...],
        width: int,
        code_size: int,
        deterministic: bool,
    ):
        super().__init__()
        check_sizes(1, code_size=code_size)
        self.image_shape = tuple(image_shape)
        last = nn.Linear(width, code_size if deterministic else 2 * code_size)
        self.layers, self.deterministic = nn.Sequential(*features, last), deterministic

    def forward(self, x: Float[Tensor, "batch colours height width"]) -> DiagonalGaussian | PointCode:
        """One Gaussian, or one point, for each image, as precise as the images. Pixels 0 and 1 enter as -1 and 1."""
        check_images(x, self.image_shape)
        numbers = self.layers(2 * x - 1).to(x.dtype)
        return PointCode(numbers) if self.deterministic else DiagonalGaussian(*numbers.chunk(2, dim=-1))


class MLPEncoder(Encoder):
    """Two hidden layers of `hidden` units that see all pixels at once."""

    def __init__(
        self, image_shape: tuple[int, int, int], code_size: int, hidden: int = 128, deterministic: bool = False
    ):
        check_image_shape(image_shape)
        check_sizes(1, hidden=hidden)
        pixels = image_shape[0] * image_shape[1] * image_shape[2]
        layers = (nn.Linear(pixels, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU())
        super().__init__(image_shape, (nn.Flatten(), *layers), hidden, code_size, deterministic)


class ConvEncoder(Encoder):
    """Two 3 x 3 convolutions of stride 2: from [colours, h, w] to [hidden, ceil(h / 4), ceil(w / 4)], for any size."""

    def __init__(
        self, image_shape: tuple[int, int, int], code_size: int, hidden: int = 64, deterministic: bool = False
    ):
        check_image_shape(image_shape)
        check_sizes(1, hidden=hidden)
        colours, height, width = image_shape
        half = max(1, hidden // 2)
        halve = nn.Conv2d(colours, half, 3, stride=2, padding=1)
        quarter = nn.Conv2d(half, hidden, 3, stride=2, padding=1)
        features = (halve, nn.ReLU(), quarter, nn.ReLU(), nn.Flatten())
        super().__init__(image_shape, features, hidden * -(-height // 4) * -(-width // 4), code_size, deterministic)
