"""All binary images of a size, with a probability for each: the chain rule and the price of independence, exactly."""

import math
from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from course_lib.data.noise import uniform
from course_lib.models.autoregressive import Autoregressive

MOST_PIXELS = 16


def all_images(shape: tuple[int, int, int]) -> Float[Tensor, "states colours height width"]:
    """Every binary image of (colours, height, width), in float64; state number s holds the binary digits of s.

    Raises ValueError for more than 16 pixels: 2^16 images are the most that are worth listing.
    """
    pixels = math.prod(shape)
    if pixels > MOST_PIXELS:
        raise ValueError(f"2^{pixels} images are too many to list: take a shape of at most {MOST_PIXELS} pixels")
    digits = torch.arange(pixels - 1, -1, -1)
    return ((torch.arange(2**pixels)[:, None] >> digits) & 1).double().view(-1, *shape)


def random_table(pixels: int, generator: torch.Generator) -> Float[Tensor, " states"]:
    """A joint table p(x) drawn evenly from all tables: exponential numbers, normalised (a flat Dirichlet)."""
    weights = -torch.log1p(-uniform((2**pixels,), generator, like=torch.empty(0, dtype=torch.float64)))
    return weights / weights.sum()


def pixels_of(p: Float[Tensor, " states"]) -> int:
    """n, for a table of the 2^n images of n pixels. Raises ValueError for anything but a table of probabilities."""
    n = round(math.log2(max(1, p.numel())))
    if p.shape != (2**n,) or (p < 0).any() or abs(float(p.sum()) - 1) > 1e-9:
        raise ValueError("a joint table holds one probability for each of 2^n images, and they sum to 1")
    return n


def marginal(p: Float[Tensor, " states"], seen: Sequence[int]) -> Float[Tensor, " states"]:
    """p(x_i for i in seen), read off at each state: the sum over all values of the other pixels."""
    n = pixels_of(p)
    hidden = [i for i in range(n) if i not in seen]
    table = p.view([2] * n)
    return (table.sum(hidden, keepdim=True) if hidden else table).expand(table.shape).flatten()


def chain(p: Float[Tensor, " states"], order: Sequence[int]) -> Float[Tensor, "pixels states"]:
    """Row k: p(x_order[k] | x_order[0], ..., x_order[k-1]) at each state. The product of the rows is p(x).

    A prefix that cannot occur has no conditional; there the row is nan. Raises ValueError if `order` skips a pixel.
    """
    if sorted(order) != list(range(pixels_of(p))):
        raise ValueError(f"an order names each of the {pixels_of(p)} pixels once, got {list(order)}")
    prefixes = torch.stack([marginal(p, order[:k]) for k in range(len(order) + 1)])
    return prefixes[1:] / prefixes[:-1]


def code_length(p: Float[Tensor, " states"], model: Float[Tensor, " states"]) -> Float[Tensor, ""]:
    """-sum_x p(x) log2 model(x), in bits per image: what images of p cost under a code built for `model`."""
    return -torch.xlogy(p, model).sum() / math.log(2)


def entropy(p: Float[Tensor, "... states"]) -> Float[Tensor, "..."]:
    """H = -sum_x p(x) log p(x), in nats per image."""
    return -torch.xlogy(p, p).sum(-1)


def factorised(p: Float[Tensor, " states"]) -> Float[Tensor, " states"]:
    """The best model with independent pixels, prod_i p(x_i): no other has a shorter code for p."""
    return torch.stack([marginal(p, [i]) for i in range(pixels_of(p))]).prod(0)


def total_correlation(p: Float[Tensor, " states"]) -> Float[Tensor, ""]:
    """sum_i H(x_i) - H(x), in nats: what the best factorised model pays beyond the entropy.

    Source: Watanabe (1960), IBM Journal of Research and Development 4(1).
    """
    zero_and_one = torch.stack([marginal(p, [i])[[0, -1]] for i in range(pixels_of(p))])
    return entropy(zero_and_one).sum() - entropy(p)


def conditional_total_correlation(joint: Float[Tensor, "codes states"]) -> Float[Tensor, ""]:
    """sum_z p(z) TC(x | z) for a joint table p(z, x), in nats: what independent pixels cost once z is known."""
    parts = [p_z * total_correlation(row / p_z) for row in joint for p_z in [row.sum()] if p_z > 0]
    return torch.stack(parts).sum()


def full_conditionals(p: Float[Tensor, " states"]) -> Float[Tensor, "pixels states"]:
    """Row i: p(x_i | all other pixels) at each state, and 0 where the others cannot occur."""
    everything = range(pixels_of(p))
    rows = [p / marginal(p, [j for j in everything if j != i]) for i in everything]
    return torch.stack(rows).nan_to_num(0.0)


def dual_total_correlation(p: Float[Tensor, " states"]) -> Float[Tensor, ""]:
    """H(x) - sum_i H(x_i | all others), in nats. Source: Han (1978), Information and Control 36(2)."""
    return entropy(p) + torch.xlogy(p, full_conditionals(p)).sum()


@torch.no_grad()
def table_of(model: Autoregressive, z: Float[Tensor, " code"] | None = None) -> Float[Tensor, " states"]:
    """p(x | z) of a model of binary images, for every image of its shape, and one code z if it takes one."""
    x = all_images(model.image_shape).to(next(model.parameters()))
    codes = None if z is None else z.to(x).expand(len(x), -1)
    return model.log_prob(x, codes).double().exp()
