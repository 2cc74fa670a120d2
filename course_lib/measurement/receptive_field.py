"""Which input pixels an output depends on: measured, by gradient and by changing pixels."""

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float
from torch import Tensor

Network = Callable[[Float[Tensor, "batch c height width"]], Float[Tensor, "batch d height width"]]
Place = tuple[int, int, int]


def field_by_gradient(
    network: Network, x: Float[Tensor, "batch colours height width"], place: Place
) -> Float[Tensor, "colours height width"]:
    """sum_batch |d logit[place] / d x|: zero where the output at `place` (colour, row, column) cannot look.

    Exact zeros on the whole batch mean independence up to first order; `field_by_perturbation` needs no such caveat.
    """
    x = x.detach().clone().requires_grad_()
    colour, row, column = place
    (gradient,) = torch.autograd.grad(network(x)[:, colour, row, column].sum(), x)
    return gradient.abs().sum(0)


@torch.no_grad()
def field_by_perturbation(
    network: Network, x: Float[Tensor, "1 colours height width"], place: Place
) -> Float[Tensor, "colours height width"]:
    """|logit[place](x with x_i flipped) - logit[place](x)|, one flip x_i -> 1 - x_i for each entry i of the image.

    Raises ValueError for more than one image, and for pixels other than 0 and 1 (a grey one half flips to itself).
    """
    if len(x) != 1 or not ((x == 0) | (x == 1)).all():
        raise ValueError("field_by_perturbation flips the pixels of one image of zeros and ones")
    colour, row, column = place
    flipped = x.repeat(x[0].numel(), *[1] * x[0].ndim)
    flat = flipped.view(len(flipped), -1)
    flat.diagonal().copy_(1 - x.flatten())
    # Two batches of one size: in batches of different sizes one and the same image may round differently.
    before = network(x.expand_as(flipped))[:, colour, row, column]
    return (network(flipped)[:, colour, row, column] - before).abs().view(x.shape[1:])


@torch.no_grad()
def causality_leak(network: Network, x: Float[Tensor, "1 1 height width"]) -> float:
    """max over pixels i and j >= i of |logit_i(x with x_j flipped) - logit_i(x)|, for one binary image of one colour.

    0 up to rounding where each prediction depends on earlier pixels alone; otherwise the product of the predictions
    is no likelihood. Raises ValueError for another image.
    """
    if x.shape[:2] != (1, 1) or not ((x == 0) | (x == 1)).all():
        raise ValueError("causality_leak flips the pixels of one image of zeros and ones, of one colour")
    flipped = x.flatten().repeat(x.numel(), 1)
    flipped.diagonal().copy_(1 - x.flatten())
    batches = (x.expand(len(flipped), *x.shape[1:]), flipped.view(-1, *x.shape[1:]))
    before, after = (network(batch).flatten(1) for batch in batches)
    return float((after - before).abs().tril().max())  # row j, column i <= j


def is_past(shape: tuple[int, int, int], place: Place) -> Bool[Tensor, "colours height width"]:
    """True for the entries (colour, row, column) that come before `place`: by row, then column, then colour."""
    colours, height, width = shape
    order = torch.arange(height * width * colours).view(height, width, colours).permute(2, 0, 1)
    return order < order[place]


def plain_stack_field(window: int, first_kernel: int, kernel: int, layers: int) -> Bool[Tensor, "window window"]:
    """The past pixels that a stack of masked convolutions reaches from the centre of a window x window picture.

    By reachability: the taps of one layer after another, with no weights involved. Bool, [window, window].
    """
    seen = torch.zeros(window, window, dtype=torch.bool)
    seen[window // 2, window // 2] = True
    for size, kind in [(first_kernel, "A")] + [(kernel, "B")] * (layers - 1):
        seen = _one_layer_further(seen, size, kind)
    return seen


def _one_layer_further(seen: Tensor, size: int, kind: str) -> Tensor:
    half, further = size // 2, torch.zeros_like(seen)
    for row, column in seen.nonzero().tolist():
        further[max(0, row - half) : row, max(0, column - half) : column + half + 1] = True
        further[row, max(0, column - half) : column + (kind == "B")] = True
    return further
