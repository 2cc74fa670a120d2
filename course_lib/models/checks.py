"""What no model can be built from, or fed with, refused by name."""

from numbers import Integral

from jaxtyping import Float
from torch import Tensor


def check_sizes(least: int, **sizes: int) -> None:
    """Raises ValueError for a size, given under its name, that is not a whole number of at least `least`."""
    for name, size in sizes.items():
        if not isinstance(size, Integral) or size < least:
            raise ValueError(f"{name} must be a whole number, {least} or more; got {size!r}")


def check_image_shape(image_shape: tuple[int, int, int]) -> None:
    """Raises ValueError for anything but (colours, height, width)."""
    sides = image_shape if isinstance(image_shape, tuple | list) else ()
    if len(sides) != 3 or not all(isinstance(side, Integral) and side > 0 for side in sides):
        raise ValueError(
            f"image_shape is (colours, height, width), (1, 28, 28) for MNIST; got {image_shape!r}: "
            "of a batch of images it is tuple(x.shape[1:])"
        )


def check_images(x: Float[Tensor, "batch colours height width"], image_shape: tuple[int, int, int]) -> None:
    """Raises ValueError for images of another shape, or of whole numbers."""
    if tuple(x.shape[1:]) != image_shape:
        raise ValueError(f"expected images of shape [batch, {image_shape}], got {tuple(x.shape)}")
    if not x.is_floating_point():
        raise ValueError(f"pixels must be floating-point numbers, got {x.dtype}: use x.float()")
