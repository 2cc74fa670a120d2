"""Arguments that no model can be built from, refused by name."""

from numbers import Integral


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
