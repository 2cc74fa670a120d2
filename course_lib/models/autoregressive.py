"""The contract of every conditional model p(x | z): all numbers in one pass, and pixels drawn one after another."""

import itertools
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn
from tqdm.auto import tqdm

from course_lib.data.noise import uniform
from course_lib.models.checks import check_image_shape, check_images, check_sizes
from course_lib.models.outputs import Bernoulli, Output

Step = Callable[[int, int, int], Float[Tensor, "count size"]]


class Autoregressive(nn.Module):
    """log p(x | z) = sum_i log p(x_i | x_<i, z), in raster order, and in the order R, G, B within a pixel.

    A subclass defines `forward`, and `stepper` where it can compute one pixel without computing the others again.
    image_shape is (colours, height, width); code_size the length of z, or 0 for a model without a code;
    output the distribution of a pixel's value (Bernoulli if left out).
    Raises ValueError for another image_shape, and for a negative code_size.
    """

    def __init__(self, image_shape: tuple[int, int, int], code_size: int = 0, output: Output | None = None):
        super().__init__()
        check_image_shape(image_shape)
        check_sizes(0, code_size=code_size)
        self.image_shape, self.code_size, self.output = tuple(image_shape), code_size, output or Bernoulli()

    def forward(
        self, x: Float[Tensor, "batch colours height width"], z: Float[Tensor, "batch code"] | None = None
    ) -> Float[Tensor, "batch colours_times_size height width"]:
        """The numbers that tell p(x_i | x_<i, z), for all pixels at once; for binary images the logits."""
        raise NotImplementedError

    def log_prob(
        self, x: Float[Tensor, "batch colours height width"], z: Float[Tensor, "batch code"] | None = None
    ) -> Float[Tensor, " batch"]:
        """log p(x | z) in nats per image: summed over pixels and colours.

        Raises ValueError for images of another shape, of whole numbers, or with values that the output cannot take.
        """
        check_images(x, self.image_shape)
        self.output.check(x)
        return self.output.log_prob(self(x, z).to(x.dtype), x).sum(dim=(1, 2, 3))

    @torch.no_grad()
    def sample(
        self,
        count: int,
        generator: torch.Generator,
        z: Float[Tensor, "count code"] | None = None,
        progress: bool = False,
        cached: bool = True,
    ) -> Float[Tensor, "count colours height width"]:
        """Images drawn pixel by pixel, each from what stands before it.

        With `cached` each pixel computes only what is new, where the model can; without, the whole network runs
        anew for every pixel and colour. One uniform number per pixel and image is drawn from `generator`, pixel by
        pixel, so the two ways draw the same images, and two models with the same generator state share their noise.
        Raises ValueError for a negative count, and for a code that does not fit.
        """
        check_sizes(0, count=count)
        colours, height, width = self.image_shape
        x = next(self.parameters()).new_zeros(count, *self.image_shape)
        step = self.stepper(x, z) if cached else self.naive_stepper(x, z)
        places = list(itertools.product(range(height), range(width), range(colours)))
        for row, column, colour in tqdm(places, desc="pixels", disable=not progress):
            numbers = step(row, column, colour)
            x[:, colour, row, column] = self.output.draw(numbers, uniform((count,), generator, like=numbers))
        return x

    def stepper(self, x: Float[Tensor, "count colours height width"], z: Float[Tensor, "count code"] | None) -> Step:
        """A function of (row, column, colour), asked in raster order while x fills up: the numbers for that pixel."""
        return self.naive_stepper(x, z)

    def naive_stepper(
        self, x: Float[Tensor, "count colours height width"], z: Float[Tensor, "count code"] | None
    ) -> Step:
        """The whole network at every step."""
        size = self.output.size
        return lambda row, column, colour: self(x, z)[:, colour * size : (colour + 1) * size, row, column]

    def check_code(self, x: Float[Tensor, "batch colours height width"], z: Float[Tensor, "batch code"] | None) -> None:
        """Raises ValueError when z is missing, of another shape or dtype, or given to a model without a code."""
        if self.code_size and (z is None or z.shape != (len(x), self.code_size)):
            got = None if z is None else tuple(z.shape)
            raise ValueError(
                f"this model is conditioned on a code: pass z of shape {(len(x), self.code_size)}, got {got}"
            )
        if self.code_size and z.dtype != (own := next(self.parameters()).dtype):
            raise ValueError(f"z is {z.dtype} and the model's weights are {own}: pass z.to({own})")
        if not self.code_size and z is not None:
            raise ValueError("this model has no code: build it with code_size > 0 to condition it on z")
