"""How sharp pictures are, beside those of the data."""

from jaxtyping import Float
from torch import Tensor


def gradient_energy(images: Float[Tensor, "n colours height width"]) -> Float[Tensor, " n"]:
    """sum over pairs of neighbouring pixels, across and down, of (x_i - x_j)^2: in squared grey levels per image."""
    across, down = images.diff(dim=3), images.diff(dim=2)
    return (across**2).sum(dim=(1, 2, 3)) + (down**2).sum(dim=(1, 2, 3))


def sharpness(images: Float[Tensor, "n colours height width"], data: Float[Tensor, "m colours height width"]) -> float:
    """The mean gradient energy of `images` over that of `data`: 1 is as sharp as the data, less is blur, more is noise.

    Squares, because a blurred edge is as high as a sharp one: the sum of |x_i - x_j| along a row does not change.
    Pixels drawn independently of each other look sharp to it: for those, ask `course_lib.measurement.undecided`.
    Raises ValueError where the data are flat.
    """
    reference = float(gradient_energy(data).mean())
    if reference == 0:
        raise ValueError("the data have no edges to compare with: every image is flat")
    return float(gradient_energy(images).mean()) / reference
