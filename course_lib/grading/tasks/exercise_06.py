"""Exercise 06: decoders that see the past and the code, and the instruments that tell whether the code speaks."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib.grading.comparing import compare
from course_lib.grading.specs import Leaf
from course_lib.grading.task import Case, Mistake, Task, case
from course_lib.grading.tasks.exercise_04 import distributions, doubles, logs, one_differs

SOLUTION = "solutions/06_autoregressive_decoders, under the same heading."
INF = math.inf
BITS = "these are bits. The contract asks for nats: natural logarithms."
EPS = tuple(10.0**-k for k in (3, 4, 5, 6, 7, 8, 9, 10, 12, 15, 16, 20, 30, 37, 38, 40, 45, 100, 300, 307, 308))
"""What people add lest a logarithm become infinite."""


def near(*names: str) -> Callable[[Case, Any, Any], str | None]:
    """A comparison in any float dtype, zero within rounding; `names` are those of several values."""

    def differ(case: Case, output: Any, expected: Any) -> str | None:
        if not isinstance(expected, (tuple, list)):
            return one_value(case, output, expected)
        if not isinstance(output, (tuple, list)) or len(output) != len(expected):
            return compare(case, output, expected)
        if isinstance(expected, list):  # gradients: an answer may compute in single precision
            output, expected = ([value.float() for value in values] for values in (output, expected))
        said = [one_value(case, got, want) for got, want in zip(output, expected, strict=True)]
        return next((f"{name}: {text}" for name, text in zip(names, said, strict=False) if text), None)

    return differ


def one_value(case: Case, output: Any, expected: Any) -> str | None:
    floating = isinstance(expected, Tensor) and expected.is_floating_point()
    return one_differs(case, output, expected) if floating else compare(case, output, expected)


def normal(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64)


# The first layer


def before_centre(k: int) -> Tensor:
    """1 strictly before the centre in raster order."""
    return (torch.arange(k * k) < k * k // 2).double().view(k, k)


def up_to_centre(k: int) -> Tensor:
    return (torch.arange(k * k) <= k * k // 2).double().view(k, k)


def everything(k: int) -> Tensor:
    return torch.ones(k, k, dtype=torch.float64)


def painted(z: Tensor, paint: Tensor) -> Tensor:
    """maps[b, m, row, column] = sum_c z[b, c] paint[c, m, row, column]."""
    return torch.einsum("bc,cmhw->bmhw", z, paint)


def layer(
    image: Callable[[int], Tensor] = before_centre,
    code: Callable[[int], Tensor] = everything,
    paint_with: Callable[[Tensor, Tensor], Tensor] = painted,
) -> Callable:
    """The first layer with a mask for the image's channel, one for those of the maps, and maps made in some way."""

    def answer(x: Tensor, z: Tensor, weight: Tensor, paint: Tensor) -> Tensor:
        k, maps = weight.shape[-1], weight.shape[1] - 1
        mask = torch.stack([image(k), *[code(k)] * maps]).to(weight.dtype)
        return F.conv2d(torch.cat([x, paint_with(z, paint)], 1), weight * mask, padding=k // 2)

    return answer


first_layer_reference = layer()


def first_layer(x: Tensor, z: Tensor, weight: Tensor, paint: Tensor) -> Tensor:
    """A convolution that sees the past of the image and all of the maps painted by z."""
    return first_layer_reference(x, z, weight, paint)


def first_layer_cases(generator: torch.Generator) -> Iterator[Case]:
    one = torch.ones(1, 1, dtype=torch.float64)
    square = torch.ones(1, 1, 2, 2, dtype=torch.float64)
    ones = torch.ones(1, 2, 3, 3, dtype=torch.float64)
    counted = torch.arange(1.0, 19.0, dtype=torch.float64).view(1, 2, 3, 3)
    about = "the image is blank, the map is 1 everywhere and so are the weights: what the code alone says"
    yield case(0 * square, one, ones, square, about=about)
    dot = torch.zeros(1, 1, 3, 3, dtype=torch.float64)
    dot[0, 0, 1, 1] = 1
    yield case(dot, 0 * one, counted, 0 * dot, about="one pixel of ink and a code of 0: who sees that pixel?")
    yield case(0 * dot, one, counted, dot, about="no ink, and the code paints one place: who sees that place?")
    for sizes in (
        (1, 1, 1, 1, 2, 2, 1),
        (1, 1, 1, 1, 3, 4, 3),
        (2, 3, 2, 2, 4, 3, 3),
        (3, 2, 3, 2, 3, 5, 5),
        (2, 2, 1, 3, 2, 3, 1),
    ):
        yield case(*layer_tensors(generator, *sizes))
    single = (t.float() for t in layer_tensors(generator, 2, 2, 2, 1, 4, 4, 3))
    yield case(*single, about="in float32")
    x, z, weight, paint = layer_tensors(generator, 1, 2, 1, 1, 2, 2, 3)
    about = "the gradients of the sum of all outputs: without them nothing can be trained"
    yield case(x, Leaf(z), Leaf(weight), Leaf(paint), about=about)


def layer_tensors(
    generator: torch.Generator, batch: int, code: int, maps: int, out: int, height: int, width: int, k: int
) -> tuple[Tensor, ...]:
    x = (torch.rand((batch, 1, height, width), generator=generator) < 0.5).double()
    shapes = (batch, code), (out, 1 + maps, k, k), (code, maps, height, width)
    return x, *(normal(generator, *shape) for shape in shapes)


def rows_above(k: int) -> Tensor:
    return (torch.arange(k) < k // 2).double()[:, None].expand(k, k)


def corner(k: int) -> Tensor:
    """Above and not to the right, and left of the centre."""
    return before_centre(k) * (torch.arange(k) <= k // 2)


def upside_down(k: int) -> Tensor:
    return before_centre(k).flip(0, 1)


def centre_only(k: int) -> Tensor:
    return up_to_centre(k) - before_centre(k)


def by_columns(k: int) -> Tensor:
    """Raster order of another script: column after column."""
    return before_centre(k).T


def right_open(k: int) -> Tensor:
    """Above the centre, and the whole row of the centre but itself."""
    return before_centre(k) + right_of_centre(k)


def below_open(k: int) -> Tensor:
    return before_centre(k) + (torch.arange(k) > k // 2).double()[:, None]


def right_of_centre(k: int) -> Tensor:
    return (1 - up_to_centre(k)) * (torch.arange(k) == k // 2)[:, None]


def mask_of_one_output(inputs: slice) -> Callable:
    """The mask lies on the first output in place of the first input."""

    def answer(x: Tensor, z: Tensor, weight: Tensor, paint: Tensor) -> Tensor:
        k, mask = weight.shape[-1], torch.ones_like(weight)
        mask[0, inputs] = before_centre(k).to(weight.dtype)
        return F.conv2d(torch.cat([x, painted(z, paint)], 1), weight * mask, padding=k // 2)

    return answer


def maps_before_image(masked: int) -> Callable:
    """Maps first and the image last, with the mask on the channel `masked`."""

    def answer(x: Tensor, z: Tensor, weight: Tensor, paint: Tensor) -> Tensor:
        k, mask = weight.shape[-1], torch.ones_like(weight)
        mask[:, masked] = before_centre(k).to(weight.dtype)
        return F.conv2d(torch.cat([painted(z, paint), x], 1), weight * mask, padding=k // 2)

    return answer


def layer_on(change: Callable) -> Callable:
    return lambda *tensors: first_layer(*change(*tensors))


def overwritten(data: bool) -> Callable:
    def answer(x: Tensor, z: Tensor, weight: Tensor, paint: Tensor) -> Tensor:
        mask = before_centre(weight.shape[-1]).to(weight.dtype)
        (weight.data if data else weight)[:, 0] *= mask
        return first_layer(x, z, weight, paint)

    return answer


def without_padding(x: Tensor, z: Tensor, weight: Tensor, paint: Tensor) -> Tensor:
    edge = weight.shape[-1] // 2
    whole = first_layer(x, z, weight, paint)
    return whole[:, :, edge : whole.shape[2] - edge, edge : whole.shape[3] - edge]


def refuses_small(x: Tensor, z: Tensor, weight: Tensor, paint: Tensor) -> Tensor:
    mask = torch.ones_like(weight)
    mask[:, 0] = before_centre(weight.shape[-1]).to(weight.dtype)
    return F.conv2d(torch.cat([x, painted(z, paint)], 1), weight * mask)


def padded_by_one(x: Tensor, z: Tensor, weight: Tensor, paint: Tensor) -> Tensor:
    mask = torch.ones_like(weight)
    mask[:, 0] = before_centre(weight.shape[-1]).to(weight.dtype)
    return F.conv2d(torch.cat([x, painted(z, paint)], 1), weight * mask, padding=1)


SCRAMBLED = (
    "z and paint are multiplied, and then the numbers are laid out in another order than they stand in: paint is "
    "[code, maps, height, width], and a `view` or `reshape` with the sizes in another order mixes up places and maps."
)
LEAKS = " The likelihood will look wonderful, and is not one: a pixel that sees itself or its future need not be told."
LAYER_MISTAKES = (
    Mistake(
        "code_through_the_mask",
        "the code goes through the causal mask with the image. So the first pixel, which has no past, sees nothing of "
        "z, and every other pixel sees the maps above and left of it alone. z is no pixel: it is known before the "
        "first of them, and every pixel may see all of it. Which channels of the weights need a mask?",
        layer(code=before_centre),
    ),
    Mistake(
        "code_through_mask_b",
        "the code goes through mask B: each pixel sees the map at its own place and at those before, and nothing of "
        "the rest. z is known before the first pixel, so no mask belongs to its channels at all.",
        layer(code=up_to_centre),
    ),
    Mistake("nothing_masked", "no mask at all: each pixel sees itself and its future." + LEAKS, layer(everything)),
    Mistake(
        "image_sees_itself",
        "the image's channel has mask B: each pixel sees itself." + LEAKS + " Mask B is for the layers after the "
        "first, whose centre holds no pixel any more.",
        layer(up_to_centre),
    ),
    Mistake(
        "maps_masked_instead",
        "the mask lies on the wrong channels: the maps are masked, and of the image everything is seen." + LEAKS,
        layer(everything, before_centre),
    ),
    *(
        Mistake("future_for_past", "the mask shows what comes after the centre, and hides the past.", layer(shown))
        for shown in (upside_down, lambda k: 1 - before_centre(k))
    ),
    Mistake(
        "columns_for_rows",
        "the mask goes column by column: rows and columns are exchanged. Raster order goes row by row.",
        layer(by_columns),
    ),
    *(
        Mistake(
            "future_seen_in_part", f"{part} is still seen. All of that comes later in raster order." + LEAKS, answer
        )
        for part, answer in (
            ("what lies to the right of the centre in its own row", layer(right_open)),
            ("what lies in the rows below the centre", layer(below_open)),
            ("all but the centre: what lies to its right and below", layer(lambda k: 1 - centre_only(k))),
            ("the centre, and what lies to its right,", layer(lambda k: up_to_centre(k) + right_of_centre(k))),
        )
    ),
    Mistake(
        "mask_b_everywhere",
        "mask B lies over all channels: of the image a pixel sees itself, and of the maps only what comes before it "
        "and its own place. The image needs mask A; z is no pixel, and its maps need no mask.",
        layer(up_to_centre, up_to_centre),
    ),
    Mistake(
        "code_through_the_mask",
        "the code goes through a mask with the image, and that mask leaves the right-hand side of the centre's row "
        "open. z is known before the first pixel, so its channels need no mask; the image's pixels on the right come "
        "later.",
        layer(right_open, right_open),
    ),
    *(
        Mistake(
            "mask_of_one_output",
            "the mask lies on the wrong axis: on output 0, where input 0 is meant. The weights are [out, inputs, k, "
            "k], and every output sees the image through input 0.",
            mask_of_one_output(inputs),
        )
        for inputs in (slice(None), slice(1))
    ),
    Mistake(
        "code_not_multiplied",
        "the maps are the same for every z: paint is summed over the numbers of the code, and z does not come in.",
        layer(paint_with=lambda z, paint: painted(torch.ones_like(z), paint)),
    ),
    Mistake(
        "mean_over_the_code",
        "the maps are a mean over the numbers of the code. They are a sum.",
        layer(paint_with=lambda z, paint: painted(z, paint) / len(paint)),
    ),
    Mistake(
        "own_row_hidden",
        "the mask hides the whole row of the centre, the pixels on the left with it. They are past too.",
        layer(rows_above),
    ),
    Mistake(
        "upper_right_hidden",
        "the mask hides what is above and to the right. In raster order whole rows come before: their right half too.",
        layer(corner),
    ),
    Mistake(
        "own_place_only",
        "of the maps only what lies at the centre of the kernel is used. The other weights of these channels count "
        "too: without a mask, the whole kernel.",
        layer(code=centre_only),
    ),
    *(
        Mistake(
            "maps_before_image",
            "the maps stand before the image. Channel 0 of the weights belongs to the image, the others to the maps.",
            maps_before_image(masked),
        )
        for masked in (0, -1)
    ),
    Mistake(
        "code_forgotten",
        "the code does not come in: this is what the image alone gives.",
        layer(paint_with=lambda z, paint: 0 * painted(z, paint)),
    ),
    Mistake(
        "image_forgotten",
        "the image does not come in: this is what the code alone gives. A decoder that sees no pixel is a factorised "
        "one.",
        layer(image=lambda k: 0 * everything(k)),
    ),
    Mistake(
        "one_code_for_all",
        "the first image's code is used for all images.",
        layer_on(lambda x, z, weight, paint: (x, z[:1].expand_as(z), weight, paint)),
    ),
    Mistake(
        "codes_averaged",
        "the codes of a batch are averaged, or the image's own is lost in a sum over the batch. Each image has a code "
        "of its own.",
        layer_on(lambda x, z, weight, paint: (x, z.mean(0).expand_as(z), weight, paint)),
    ),
    Mistake(
        "codes_averaged",
        "the codes of a batch are summed. Each image has a code of its own.",
        layer_on(lambda x, z, weight, paint: (x, z.sum(0).expand_as(z), weight, paint)),
    ),
    Mistake(
        "place_lost",
        "the maps say the same at every place: an average over them. That is what a bias can do; a map says where.",
        layer_on(lambda x, z, w, paint: (x, z, w, paint.mean((2, 3), keepdim=True).expand_as(paint))),
    ),
    *(
        Mistake("maps_scrambled", SCRAMBLED, layer(paint_with=mixed))
        for mixed in (
            lambda z, paint: (z @ paint.reshape(-1, len(paint)).T).view(-1, *paint.shape[1:]),
            lambda z, paint: (z @ paint.flatten(1)).view(len(z), *paint.shape[2:], paint.shape[1]).permute(0, 3, 1, 2),
            lambda z, paint: (
                (z @ paint.flatten(1)).view(len(z), paint.shape[1], paint.shape[3], paint.shape[2]).transpose(2, 3)
            ),
        )
    ),
    *(
        Mistake(
            "picture_shrinks",
            "the picture has become smaller than it was: zeros belong around it, half a kernel on each side.",
            shrunk,
        )
        for shrunk in (without_padding, refuses_small)
    ),
    *(
        Mistake(
            "weights_overwritten",
            "the mask is written into the weights themselves. They belong to the optimiser, and under autograd such a "
            "write fails or goes unnoticed. Multiply into a new tensor.",
            overwritten(data),
        )
        for data in (False, True)
    ),
    Mistake(
        "gradients_cut",
        "the values are right, and no gradient comes through to the weights, the code or the maps: something is "
        "detached, or computed under no_grad. Nothing could be trained so.",
        lambda *tensors: first_layer(*(t.detach() for t in tensors)),
    ),
    *(
        Mistake(
            "gradients_cut",
            f"the values are right, and no gradient comes through to {names[i]}: it is detached, or made anew from its "
            "numbers. So it could not be trained.",
            lambda *tensors, i=i: first_layer(*(t.detach() if j == i else t for j, t in enumerate(tensors))),
        )
        for names in ({1: "the code", 2: "the weights", 3: "the maps"},)
        for i in names
    ),
    Mistake(
        "padding_fixed",
        "the zeros around the picture are those of a kernel of size 3, whatever its size is: half a kernel belongs on "
        "each side.",
        padded_by_one,
    ),
)


# One bit


def mean_of(p: Tensor, values: Tensor) -> Tensor:
    """sum p values, where what has probability 0 counts nothing."""
    return torch.where(p > 0, p * values, 0.0).sum()


def left_open(q: Tensor) -> Tensor:
    """H(x|z): what is still open about the image once its code is known."""
    joint = q / 2
    return mean_of(joint, joint.sum(0).log() - joint.log())


def rate_of(q: Tensor, prior: Tensor) -> Tensor:
    """E KL(q(z|x), p(z)) over the two images."""
    return mean_of(q / 2, q.log() - prior.log())


def aggregate_gap(q: Tensor, prior: Tensor) -> Tensor:
    aggregate = q.mean(0)
    return mean_of(aggregate, aggregate.log() - prior.log())


def told(q: Tensor) -> Tensor:
    """I(x;z) of two images equally often shown."""
    return math.log(2) - left_open(q)


def one_bit(pixels: int, q: Tensor, prior: Tensor, autoregressive: bool) -> tuple[Tensor, Tensor]:
    """(distortion, rate): independent pixels pay H(x|z) each, autoregressive ones pay it once."""
    return (1 if autoregressive else pixels) * left_open(q), rate_of(q, prior)


def one_bit_cases(generator: torch.Generator) -> Iterator[Case]:
    fair = doubles([0.5, 0.5])
    silent, speaks = doubles([[0.5, 0.5], [0.5, 0.5]]), doubles([[0.9, 0.1], [0.2, 0.8]])
    yield case(1, silent, fair, False, about="an empty code, and a single pixel")
    yield case(3, silent, fair, False, about="an empty code, and three pixels that are drawn independently")
    yield case(3, silent, fair, True, about="an empty code, and three pixels that see those before")
    yield case(2, speaks, fair, False, about="a code that speaks")
    yield case(2, speaks, fair, True, about="the same code, with a decoder that does not need it")
    yield case(4, speaks, doubles([0.7, 0.3]), False, about="a prior that the codes do not add up to")
    sure = doubles([[1.0, 0.0], [0.0, 1.0]])
    yield case(5, sure, fair, False, about="a code of its own for each image")
    for pixels, codes, autoregressive in ((1, 3, True), (10, 5, False), (784, 4, True), (784, 2, False)):
        yield case(pixels, distributions(generator, 2, codes), distributions(generator, codes), autoregressive)
    q, prior = distributions(generator, 2, 3).float(), distributions(generator, 3).float()
    yield case(6, q, prior, False, about="in float32")
    unused = doubles([[0.7, 0.3, 0.0], [0.0, 1.0, 0.0]])
    yield case(3, unused, doubles([0.5, 0.3, 0.2]), False, about="a code that no image uses")
    rare = doubles([[1 - 1e-9, 1e-9], [0.5, 0.5]])
    yield case(1000, rare, doubles([0.6, 0.4]), False, about="a code that one image uses very rarely")
    excluded = doubles([[0.7, 0.3, 0.0], [0.2, 0.0, 0.8]])
    yield case(3, excluded, doubles([0.6, 0.4, 0.0]), True, about="a code that the prior excludes is used")


def of_bit(distortion: Callable | None = None, rate: Callable | None = None) -> Callable:
    """Another distortion(pixels as charged, q, prior, autoregressive), another rate(pixels, q, prior)."""

    def answer(pixels: int, q: Tensor, prior: Tensor, autoregressive: bool) -> tuple[Tensor, Tensor]:
        right = one_bit(pixels, q, prior, autoregressive)
        charged = 1 if autoregressive else pixels
        return (
            distortion(charged, q, prior, pixels) if distortion else right[0],
            rate(pixels, q, prior) if rate else right[1],
        )

    return answer


def zeros_multiplied(q: Tensor) -> Tensor:
    posterior = q / q.sum(0)
    return -(q / 2 * posterior.log()).sum()


def added_before(eps: float) -> Callable:
    def answer(pixels: int, q: Tensor, prior: Tensor, autoregressive: bool) -> tuple[Tensor, Tensor]:
        posterior = q / (q.sum(0) + eps)
        distortion = -(q / 2 * (posterior + eps).log()).sum()
        rate = (q / 2 * ((q + eps).log() - (prior + eps).log())).sum()
        return (1 if autoregressive else pixels) * distortion, rate

    return answer


def clamped_before(eps: float) -> Callable:
    def answer(pixels: int, q: Tensor, prior: Tensor, autoregressive: bool) -> tuple[Tensor, Tensor]:
        q, prior = q.clamp(min=eps), prior.clamp(min=eps)
        distortion = -(q / 2 * (q / q.sum(0)).log()).sum()
        return (1 if autoregressive else pixels) * distortion, (q / 2 * (q / prior).log()).sum()

    return answer


def unused_divided(eps: float) -> Callable:
    """Zeros are taken care of in the logarithms, or a little is added to them; the division is not."""

    def answer(pixels: int, q: Tensor, prior: Tensor, autoregressive: bool) -> tuple[Tensor, Tensor]:
        posterior = q / q.sum(0)
        distortion = -torch.where(posterior == 0, 0.0, q / 2 * (posterior + eps).log()).sum()
        rate = (q / 2 * ((q + eps).log() - (prior + eps).log())).sum() if eps else rate_of(q, prior)
        return (1 if autoregressive else pixels) * distortion, rate

    return answer


def naive_bit(pixels: int, q: Tensor, prior: Tensor, autoregressive: bool) -> tuple[Tensor, Tensor]:
    return (1 if autoregressive else pixels) * zeros_multiplied(q), (q / 2 * (q / prior).log()).sum()


def summed_without_nan(pixels: int, q: Tensor, prior: Tensor, autoregressive: bool) -> tuple[Tensor, Tensor]:
    """Terms of both sums without NaN and without infinities."""
    distortion = (q / 2 * (q / q.sum(0)).log()).nan_to_num(0.0, 0.0, 0.0).sum()
    rate = (q / 2 * (q / prior).log()).nan_to_num(0.0, 0.0, 0.0).sum()
    return -(1 if autoregressive else pixels) * distortion, rate


ZEROS = (
    "0 log 0 is computed as 0 times minus infinity, which is NaN. A code that an image never uses counts nothing: "
    "decide where q is 0 before that product is formed."
)
UNUSED = (
    "q(x|z) is formed for a code that no image uses: q(z) is 0, and 0 / 0 is NaN. Such a code never comes to the "
    "decoder, and counts nothing: leave it out before you divide, or choose afterwards where q is 0."
)
HALVES = "both images are counted in full. Each is shown half of the time, so each mean has the weight 1/2."
BAYES = (
    "the distortion uses q(z|x), how probable the code is for the image. The decoder stands on the other side: knowing "
    "z, how probable is the image? That is q(x|z), by Bayes' rule: both images are shown equally often."
)
BIT_MISTAKES = (
    Mistake(
        "autoregressive_charged_for_all",
        "the autoregressive decoder pays for every pixel. It sees the first pixel when it comes to the second, and in "
        "this world the first tells all: only the first one costs anything.",
        of_bit(lambda charged, q, prior, pixels: pixels * left_open(q)),
    ),
    Mistake(
        "independent_charged_once",
        "the independent pixels pay once for all of them. Each is drawn from p(x_i|z) without a look at the others, "
        "and pays for what z leaves open anew.",
        of_bit(lambda charged, q, prior, pixels: left_open(q)),
    ),
    Mistake(
        "decoders_exchanged",
        "the two decoders are exchanged: it is the independent pixels that pay each.",
        lambda pixels, q, prior, flag: one_bit(pixels, q, prior, not flag),
    ),
    Mistake(
        "autoregressive_free",
        "the autoregressive decoder pays nothing. Its first pixel has nobody to look at but the code, and pays what "
        "that leaves open.",
        lambda pixels, q, prior, flag: (0 * q.sum(), rate_of(q, prior)) if flag else one_bit(pixels, q, prior, flag),
    ),
    *(
        Mistake(
            "loss_for_distortion",
            "this is the loss, or what it comes to where the codes add up to the prior. The distortion is its part "
            "that the decoder pays: what z leaves open, once or for every pixel.",
            answer,
        )
        for answer in (
            of_bit(lambda n, q, prior, _: n * left_open(q) + rate_of(q, prior)),
            lambda pixels, q, prior, flag: (
                (0 * q.sum() + math.log(2), rate_of(q, prior)) if flag else one_bit(pixels, q, prior, flag)
            ),
        )
    ),
    Mistake(
        "images_left",
        "the rate has a value for each of the two images. It is their mean.",
        of_bit(rate=lambda n, q, prior: torch.where(q > 0, q * (q.log() - prior.log()), 0.0).sum(1)),
    ),
    Mistake("bayes_forgotten", BAYES, of_bit(lambda n, q, prior, _: n * mean_of(q / 2, -q.log()))),
    Mistake(
        "joint_for_conditional",
        "the distortion takes the logarithm of q(x, z), the joint. Known is z, so the joint is to be divided by q(z).",
        of_bit(lambda n, q, prior, _: n * mean_of(q / 2, -(q / 2).log())),
    ),
    Mistake(
        "prior_for_aggregate",
        "q(x|z) is formed with the prior: q(z|x) / 2 divided by p(z). What makes it sum to 1 over the images is q(z), "
        "the mean of both rows of q.",
        of_bit(lambda n, q, prior, _: n * mean_of(q / 2, -(q / 2 / prior).log())),
    ),
    Mistake(
        "codes_weighed_alike",
        "what each code leaves open is averaged over the codes as if all were used equally often. The weights are "
        "q(z).",
        of_bit(
            lambda n, q, prior, _: (
                n * mean_of(q / q.sum(0).where(q.sum(0) > 0, 1.0), q.sum(0).log() - q.log()) / q.shape[1]
            )
        ),
    ),
    Mistake(
        "codes_weighed_by_the_prior",
        "what each code leaves open is averaged with the weights p(z). The codes that come to the decoder are drawn "
        "from q, so the weights are q(z).",
        of_bit(
            lambda n, q, prior, _: n * mean_of(prior * q / q.sum(0).where(q.sum(0) > 0, 1.0), q.sum(0).log() - q.log())
        ),
    ),
    Mistake(
        "code_ignored",
        "the distortion is that of a decoder which does not look at z: log 2. The best decoder uses what z tells.",
        of_bit(lambda n, q, prior, _: n * (math.log(2) + 0 * q.sum())),
    ),
    Mistake(
        "information_for_distortion",
        "the first number is I(x;z), what the code tells. The distortion is what it leaves open: log 2 less that.",
        of_bit(lambda n, q, prior, _: n * told(q)),
    ),
    Mistake(
        "information_for_distortion",
        "the first number is I(x;z), what the code tells. The distortion is what it leaves open, log 2 less that, and "
        "independent pixels pay it each.",
        of_bit(lambda n, q, prior, _: told(q)),
    ),
    Mistake(
        "rate_without_entropy",
        "the rate is -E log p(z) alone, a cross-entropy. A KL divergence compares: log q(z|x) - log p(z).",
        of_bit(rate=lambda n, q, prior: mean_of(q / 2, -prior.log())),
    ),
    Mistake(
        "rate_without_prior",
        "the rate is E log q(z|x) alone: the prior is missing. A KL divergence compares: log q(z|x) - log p(z).",
        of_bit(rate=lambda n, q, prior: mean_of(q / 2, q.log())),
    ),
    Mistake(
        "rate_only_of_the_independent",
        "the autoregressive decoder's rate is 0. The rate is the encoder's: what the code costs, whoever reads it.",
        lambda pixels, q, prior, flag: (one_bit(pixels, q, prior, flag)[0], rate_of(q, prior) * (not flag)),
    ),
    Mistake(
        "closed_form_split",
        "the two add up to the right loss, and neither is what was asked for: log 2 + (n - 1) H(x|z) is no distortion, "
        "and KL(q(z), p(z)) no rate. The rate pays for the information too.",
        of_bit(
            lambda n, q, prior, _: math.log(2) + (n - 1) * left_open(q), lambda n, q, prior: aggregate_gap(q, prior)
        ),
    ),
    Mistake(
        "one_pixel_too_few",
        "the independent pixels pay n - 1 times. That factor stands in the loss because I(x;z) = log 2 - H(x|z) has "
        "taken one away; the distortion by itself has all n.",
        of_bit(lambda n, q, prior, pixels: (n - 1) * left_open(q)),
    ),
    Mistake(
        "rate_is_information",
        "the rate is I(x;z) alone. It also pays for what the codes together miss the prior by, KL(q(z), p(z)).",
        of_bit(rate=lambda n, q, prior: told(q)),
    ),
    Mistake(
        "rate_of_the_aggregate",
        "the rate is KL(q(z), p(z)), that of both images together. It is the mean of one KL for each image.",
        of_bit(rate=lambda n, q, prior: aggregate_gap(q, prior)),
    ),
    Mistake(
        "rate_reversed",
        "the rate has its arguments exchanged: KL(p(z), q(z|x)) instead of KL(q(z|x), p(z)).",
        of_bit(rate=lambda n, q, prior: mean_of(prior.expand_as(q) / 2, prior.log() - q.log())),
    ),
    Mistake(
        "rate_per_pixel",
        "the rate is charged for every pixel. The code is sent once for the whole image.",
        of_bit(rate=lambda n, q, prior: n * rate_of(q, prior)),
    ),
    Mistake(
        "mean_over_pixels",
        "the distortion is a mean over the pixels. It is summed over them, and so grows with their number: that is "
        "what makes n play the part of 1 / beta.",
        of_bit(lambda n, q, prior, pixels: n * left_open(q) / pixels),
    ),
    Mistake("images_summed", HALVES, lambda *given: tuple(2 * value for value in one_bit(*given))),
    Mistake("images_summed", HALVES, of_bit(rate=lambda n, q, prior: 2 * rate_of(q, prior))),
    Mistake("images_summed", HALVES, of_bit(lambda n, q, prior, _: 2 * n * left_open(q))),
    *(Mistake("unused_code", UNUSED, unused_divided(eps)) for eps in (0.0, *EPS)),
    Mistake("zero_log_zero", ZEROS, naive_bit),
    Mistake("zero_log_zero", ZEROS, of_bit(lambda n, q, prior, _: n * zeros_multiplied(q))),
    Mistake("zero_log_zero", ZEROS, of_bit(rate=lambda n, q, prior: (q / 2 * (q / prior).log()).sum())),
    *(
        Mistake(
            "nan_hidden",
            "0 log 0 has made a sum NaN, and the finished sum is replaced. With it everything else in that sum is "
            "lost. Decide for each code before you sum: what has probability 0 counts 0.",
            answer,
        )
        for answer in (
            lambda *given: tuple(value.nan_to_num() for value in naive_bit(*given)),
            lambda *given: tuple(value.nan_to_num(posinf=INF) for value in naive_bit(*given)),
        )
    ),
    Mistake(
        "infinities_forgotten",
        "an infinite cost is counted as 0, along with the NaN of 0 log 0. Where an image uses a code that the prior "
        "excludes the rate is truly infinite.",
        summed_without_nan,
    ),
    *(
        Mistake(
            "added_before_log",
            "a small number is added to a probability before its log (or the probability is kept from falling below "
            "it). Nothing has to be added: what has probability 0 counts 0, and where an image uses a code that the "
            "prior excludes the rate is truly infinite.",
            answer(eps),
        )
        for eps in EPS
        for answer in (added_before, clamped_before)
    ),
    Mistake(
        "sum_returned",
        "this is distortion and rate in one number. The contract asks for both.",
        lambda *given: sum(one_bit(*given)),
    ),
    Mistake("exchanged", "distortion and rate stand in the wrong order.", lambda *given: one_bit(*given)[::-1]),
    Mistake("bits", BITS, lambda *given: tuple(value / math.log(2) for value in one_bit(*given))),
    Mistake(
        "sign_flipped",
        "the sign of the distortion: a cost is positive.",
        lambda *given: (-one_bit(*given)[0], one_bit(*given)[1]),
    ),
)


# The information meter


def mixture(log_q: Tensor, own: bool) -> Tensor:
    """log of the mean of q(z_i|x_j) over all j, or over all j but i."""
    n = len(log_q)
    if own:
        return log_q.logsumexp(1) - math.log(n)
    others = log_q.masked_fill(torch.eye(n, dtype=torch.bool), -INF)
    return others.logsumexp(1) - math.log(n - 1)


def information(log_q: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """(lower, upper, ceiling) of I(x;z) from the table of log q(z_i|x_j)."""
    n = len(log_q)
    if n < 2:
        raise ValueError("information is measured among images: at least two are needed")
    own = log_q.diagonal()
    lower, upper = ((own - mixture(log_q, kept)).mean() for kept in (True, False))
    return lower, upper, log_q.new_tensor(math.log(n))


def information_cases(generator: torch.Generator) -> Iterator[Case]:
    yield case(logs([[0.8, 0.2], [0.4, 0.6]]), about="two images")
    yield case(logs([[0.5, 0.5, 0.5], [0.2, 0.2, 0.2], [0.9, 0.9, 0.9]]), about="a code that says nothing")
    yield case(doubles([[2.0, 0.5, -1.0], [0.0, 1.0, 3.0], [-2.0, 0.5, 0.0]]), about="densities may exceed 1")
    for n in (3, 5, 8):
        yield case(2 * normal(generator, n, n) + 3 * torch.eye(n, dtype=torch.float64))
    yield case((normal(generator, 6, 6) + 2 * torch.eye(6)).float(), about="in float32")
    alone = doubles([[5.0, -40.0, -60.0], [-50.0, 6.0, -45.0], [-70.0, -55.0, 4.0]])
    yield case(alone, about="posteriors that hardly overlap: the upper bound leaves the ceiling far below")
    far = doubles([[-2000.0, -2001.0, -2003.0], [-1502.0, -1500.0, -1501.0], [-10.0, -12.0, -11.0]])
    yield case(far, about="log-densities of long codes: each row has a size of its own")
    yield case(doubles([[2000.0, 1999.0], [-3000.0, -2999.0]]), about="and of sharp ones")
    excluded = doubles([[0.0, -INF, -1.0], [-2.0, 0.0, -INF], [-INF, -0.5, 0.5]])
    yield case(excluded, about="some codes are impossible for some images")
    yield case(doubles([[0.0, -INF], [-INF, 0.0]]), about="no code is possible for another image")
    unlucky = doubles([[-1.0, 0.5, -1.0], [0.0, -1.0, 1.0], [-2.0, 0.5, -1.0]])
    yield case(unlucky, about="by chance each code suits another image better than its own")
    yield case(doubles([[0.3]]), about="a single image")


def meter(
    lower: Callable[[Tensor], Tensor] | None = None,
    upper: Callable[[Tensor], Tensor] | None = None,
    ceiling: Callable[[Tensor], Any] | None = None,
) -> Callable:
    """Another lower or upper bound for each image, then averaged; another ceiling."""

    def answer(log_q: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        right = information(log_q)
        return (
            lower(log_q).mean() if lower else right[0],
            upper(log_q).mean() if upper else right[1],
            log_q.new_tensor(ceiling(log_q)) if ceiling else right[2],
        )

    return answer


def own_of(log_q: Tensor) -> Tensor:
    return log_q.diagonal()


def gain(kept: bool) -> Callable[[Tensor], Tensor]:
    """log q(z_i|x_i) - log q(z_i) with x_i's own posterior in the mixture or without it."""
    return lambda log_q: own_of(log_q) - mixture(log_q, kept)


def both(change: Callable[[Callable[[Tensor], Tensor], bool], Callable[[Tensor], Tensor]]) -> Callable:
    return meter(change(gain(True), True), change(gain(False), False))


def probabilities(shift: Callable[[Tensor], Any] = lambda log_q: 0.0, eps: float = 0.0) -> Callable:
    """Both bounds by way of the densities themselves."""

    def one(log_q: Tensor, kept: bool) -> Tensor:
        log_q = log_q - shift(log_q)
        p, n = log_q.exp(), len(log_q)
        total = p.sum(1) if kept else p.sum(1) - p.diagonal()
        return own_of(log_q) - (total / (n if kept else n - 1) + eps).log()

    return meter(lambda log_q: one(log_q, True), lambda log_q: one(log_q, False))


def density_emptied(log_q: Tensor) -> Tensor:
    """The upper gain by densities, of which the image's own is multiplied by 0."""
    others = log_q.exp() * (1 - torch.eye(len(log_q), dtype=log_q.dtype))
    return own_of(log_q) - (others.sum(1) / (len(log_q) - 1)).log()


def finite_mean(log_q: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    lower, _, ceiling = information(log_q)
    values = gain(False)(log_q)
    return lower, values[values.isfinite()].mean(), ceiling


def asserted(answer: Callable, holds: Callable) -> Callable:
    """The right answer, with an assert where the contract asks for a ValueError."""

    def checked(*given: Any) -> Any:
        assert holds(*given)
        return answer(*given)

    return checked


def emptied(log_q: Tensor, value: float) -> Tensor:
    return log_q.masked_fill(torch.eye(len(log_q), dtype=torch.bool), value)


def upper_from(table: Callable[[Tensor], Tensor]) -> Callable:
    return meter(upper=lambda log_q: own_of(log_q) - table(log_q).logsumexp(1) + math.log(len(log_q) - 1))


def diagonal_overwritten(log_q: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    answer = information(log_q)
    log_q.fill_diagonal_(-INF)
    return answer


def no_refusal(log_q: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    return information(log_q) if len(log_q) > 1 else tuple(log_q.new_tensor(value) for value in (0.0, INF, 0.0))


UNDERFLOW = (
    "the densities themselves are formed, and exp(-2000) is exactly 0 on a computer, exp(2000) infinite: the logarithm "
    "of their sum is then no number. Stay in logarithms: there is a function for the log of a sum of exponentials."
)
EMPTIED = (
    "to leave the image itself out, its log-density is replaced by a number that still counts: 0 is the logarithm of "
    "density 1. What number is the logarithm of density 0?"
)
ASSERTED = (
    "an assert raises an AssertionError, and the contract asks for a ValueError. Asserts are notes to oneself: Python "
    "leaves them out when it is told to optimise."
)
COUNTS = (
    "the mixtures are sums, and should be means: a mean over N, or over the N - 1 others, adds the log of that count "
    "to the bound."
)
INFORMATION_MISTAKES = (
    Mistake(
        "wrong_axis",
        "the mixture is summed along the wrong axis: for one image over all codes. q(z_i) is a sum over the images "
        "x_j with z_i held fast: along row i.",
        lambda log_q: information(log_q.T),
    ),
    *(
        Mistake(
            "wrong_axis",
            "one of the two mixtures is summed along the wrong axis: for one image over all codes. q(z_i) is a sum "
            "over the images x_j with z_i held fast: along row i.",
            answer,
        )
        for answer in (
            meter(lambda log_q: gain(True)(log_q.T)),
            meter(upper=lambda log_q: gain(False)(log_q.T)),
        )
    ),
    *(
        Mistake(
            "cut_off_at_zero",
            "a bound that is negative by chance is replaced by 0. Both are bounds on average over data sets, and only "
            "if they are left as they come out.",
            answer,
        )
        for answer in (
            lambda log_q: (lambda lo, up, top: (lo.clamp(min=0), up.clamp(min=0), top))(*information(log_q)),
            lambda log_q: (lambda lo, up, top: (lo.clamp(min=0), up, top))(*information(log_q)),
            lambda log_q: (lambda lo, up, top: (lo, up.clamp(min=0), top))(*information(log_q)),
        )
    ),
    Mistake(
        "count_forgotten",
        COUNTS,
        meter(
            lambda log_q: gain(True)(log_q) - math.log(len(log_q)),
            lambda log_q: gain(False)(log_q) - math.log(len(log_q) - 1),
        ),
    ),
    Mistake("count_forgotten", COUNTS, meter(lambda log_q: gain(True)(log_q) - math.log(len(log_q)))),
    Mistake("count_forgotten", COUNTS, meter(upper=lambda log_q: gain(False)(log_q) - math.log(len(log_q) - 1))),
    Mistake(
        "count_of_all_for_others",
        "the upper bound divides by N. Without the image itself there are N - 1 posteriors in the mean.",
        meter(upper=lambda log_q: gain(False)(log_q) + math.log(len(log_q) / (len(log_q) - 1))),
    ),
    Mistake(
        "count_of_others_for_all",
        "the lower bound divides by N - 1. With the image itself there are N posteriors in the mean.",
        meter(lambda log_q: gain(True)(log_q) - math.log(len(log_q) / (len(log_q) - 1))),
    ),
    Mistake(
        "count_subtracted",
        "the log of the count has the wrong sign. The mean is the sum divided by the count; and q(z) itself is "
        "subtracted.",
        meter(
            lambda log_q: gain(True)(log_q) - 2 * math.log(len(log_q)),
            lambda log_q: gain(False)(log_q) - 2 * math.log(len(log_q) - 1),
        ),
    ),
    Mistake(
        "own_left_in",
        "the image's own posterior is still in the mixture of the upper bound. Leave it out, and the other N - 1 stay.",
        meter(upper=gain(True)),
    ),
    Mistake(
        "own_left_in",
        "the upper bound divides by N - 1 and still sums over all N: the image's own posterior is to be left out of "
        "the sum too.",
        meter(upper=lambda log_q: own_of(log_q) - log_q.logsumexp(1) + math.log(len(log_q) - 1)),
    ),
    Mistake(
        "own_left_out_of_both",
        "the image's own posterior is left out of both mixtures. The lower bound has it.",
        meter(gain(False)),
    ),
    Mistake("diagonal_still_counts", EMPTIED, upper_from(lambda log_q: emptied(log_q, 0.0))),
    Mistake(
        "diagonal_still_counts", EMPTIED, upper_from(lambda log_q: log_q * (1 - torch.eye(len(log_q)).to(log_q.dtype)))
    ),
    *(
        Mistake(
            "diagonal_only_made_small",
            "to leave the image itself out, its log-density is made very small. Where all others are smaller still it "
            "counts after all. The logarithm of 0 is minus infinity, and torch can work with it.",
            upper_from(lambda log_q, small=small: emptied(log_q, -small)),
        )
        for small in (10.0, 20.0, 50.0, 100.0, 700.0, 999.0, 1e3, 1e4, 1e5, 1e6, 1e8, 1e9, 1e10, 1e12, 1e20, 1e30, 1e38)
    ),
    Mistake(
        "logarithms_averaged",
        "the mean of the logarithms log q(z_i|x_j) stands where the logarithm of the mean belongs. q(z) is a mixture: "
        "densities are averaged.",
        meter(
            lambda log_q: own_of(log_q) - log_q.mean(1),
            lambda log_q: own_of(log_q) - (log_q.sum(1) - own_of(log_q)) / (len(log_q) - 1),
        ),
    ),
    Mistake("underflow", UNDERFLOW, probabilities()),
    Mistake("underflow", UNDERFLOW, meter(upper=density_emptied)),
    Mistake("underflow", UNDERFLOW, meter(lambda log_q: own_of(log_q) - log_q.exp().mean(1).log(), density_emptied)),
    Mistake(
        "one_maximum_for_all",
        "one number, the largest of the whole table, is taken from all the logarithms. Each row has a size of its own, "
        "and the others underflow still.",
        probabilities(lambda log_q: log_q.max()),
    ),
    Mistake(
        "own_subtracted",
        "the image's own density is subtracted from the sum over all. Where it is nearly all of the sum, no digit of "
        "the others is left. Leave it out before you sum.",
        probabilities(lambda log_q: log_q.amax(1, keepdim=True)),
    ),
    Mistake(
        "own_subtracted",
        "the image's own density is subtracted from the sum over all. Where it is nearly all of the sum, no digit of "
        "the others is left. Leave it out before you sum.",
        probabilities(lambda log_q: own_of(log_q)[:, None]),
    ),
    *(
        Mistake(
            "added_before_log",
            "a small number is added to a density before its log. Log-densities of long codes lie far below it, and "
            "then that number decides alone. Stay in logarithms, and nothing has to be added.",
            probabilities(eps=eps),
        )
        for eps in EPS
    ),
    Mistake(
        "clipped_at_the_ceiling",
        "the upper bound is cut off at log N. An upper bound may exceed it, and where posteriors hardly overlap it "
        "does: only what is measured from below ends at log N. Cut off, it claims what nobody has measured.",
        lambda log_q: (lambda lo, up, top: (lo, torch.minimum(up, top), top))(*information(log_q)),
    ),
    Mistake(
        "infinity_replaced",
        "an infinite upper bound is replaced by a number. It is true: where no other image could have sent this code, "
        "N images say nothing about how much more the code tells.",
        lambda log_q: tuple(value.nan_to_num() for value in information(log_q)),
    ),
    Mistake(
        "infinity_left_out",
        "images with an infinite upper bound are left out of the mean. It is true: where no other image could have "
        "sent this code, N images say nothing about how much more the code tells, and the mean is infinite too.",
        finite_mean,
    ),
    Mistake(
        "own_forgotten",
        "only the mixture is there, -log q(z). The information compares it with log q(z_i|x_i), on the diagonal.",
        meter(lambda log_q: -mixture(log_q, True), lambda log_q: -mixture(log_q, False)),
    ),
    Mistake(
        "any_for_own",
        "where log q(z_i|x_i) belongs, the mean of the whole table stands. A code was drawn from the posterior of its "
        "own image: those pairs lie on the diagonal.",
        meter(
            lambda log_q: log_q.mean() - mixture(log_q, True),
            lambda log_q: log_q.mean() - mixture(log_q, False),
        ),
    ),
    Mistake(
        "largest_for_own",
        "where log q(z_i|x_i) belongs, the largest of each row stands. Another image's posterior may well give the "
        "code more density; the pairs that belong together lie on the diagonal.",
        meter(
            lambda log_q: log_q.amax(1) - mixture(log_q, True),
            lambda log_q: log_q.amax(1) - mixture(log_q, False),
        ),
    ),
    Mistake(
        "images_summed",
        "the values of all images are summed. The information is their mean.",
        lambda log_q: (lambda lo, up, top: (len(log_q) * lo, len(log_q) * up, top))(*information(log_q)),
    ),
    Mistake(
        "images_left",
        "there is a value for each image. The information is their mean, one number.",
        lambda log_q: (gain(True)(log_q), gain(False)(log_q), information(log_q)[2]),
    ),
    Mistake(
        "sign_flipped",
        "the sign: log q(z) is to be taken from log q(z|x), not the other way round.",
        both(lambda made, _: lambda log_q: -made(log_q)),
    ),
    Mistake(
        "bounds_exchanged",
        "lower and upper bound are exchanged. With its own posterior in it the mixture is larger, and the bound lower.",
        lambda log_q: (lambda lo, up, top: (up, lo, top))(*information(log_q)),
    ),
    Mistake(
        "ceiling_is_a_count",
        "the ceiling is log N, in nats. This is N.",
        meter(ceiling=len),
    ),
    Mistake(
        "ceiling_of_the_others",
        "the ceiling belongs to the lower bound, whose mixture holds all N: with one term alone it is log N.",
        meter(ceiling=lambda log_q: math.log(len(log_q) - 1)),
    ),
    Mistake(
        "ceiling_of_the_table",
        "the ceiling is the log of the number of entries in the table. It is that of the number of images.",
        meter(ceiling=lambda log_q: math.log(log_q.numel())),
    ),
    Mistake("ceiling_in_bits", "the ceiling is in bits: " + BITS, meter(ceiling=lambda log_q: math.log2(len(log_q)))),
    Mistake("bits", BITS, lambda log_q: tuple(value / math.log(2) for value in information(log_q))),
    Mistake(
        "table_overwritten",
        "the diagonal of the table that was handed in is overwritten. Whoever passed it in still needs it: work on a "
        "copy.",
        diagonal_overwritten,
    ),
    Mistake(
        "single_image_accepted",
        "a single image is measured. Without others there is nothing to tell it from: the contract asks for a "
        "ValueError.",
        no_refusal,
    ),
    Mistake(
        "assert_for_error",
        ASSERTED,
        asserted(information, lambda log_q: len(log_q) > 1),
    ),
)


# The plane


def dominated(rate: Tensor, distortion: Tensor) -> Tensor:
    """True where another model is no worse in both and better in one."""
    no_worse = (rate[:, None] <= rate) & (distortion[:, None] <= distortion)
    better = (rate[:, None] < rate) | (distortion[:, None] < distortion)
    return (no_worse & better).any(0)


def read_plane(
    rate: Tensor, distortion: Tensor, information: Tensor, beta: float
) -> tuple[Tensor, Tensor, Tensor, int]:
    """(bound on the NLL, aggregate gap, dominated, the model that beta chooses)."""
    if bool((information > rate + 0.1).any()):
        raise ValueError("information cannot exceed the rate: one of the two is measured wrongly")
    chosen = int((distortion + beta * rate).argmin())
    return rate + distortion, rate - information, dominated(rate, distortion), chosen


def plane_cases(generator: torch.Generator) -> Iterator[Case]:
    two = doubles([1.0, 3.0]), doubles([96.0, 93.0]), doubles([0.8, 2.5])
    yield case(*two, 1.0, about="two models: one says little, one says more")
    three = doubles([1.0, 3.0, 6.0]), doubles([96.0, 93.0, 91.0]), doubles([0.8, 2.5, 5.0])
    yield case(*three, 2.0, about="one more, where a nat of rate costs two of distortion")
    level = doubles([1.0, 3.0]), doubles([95.0, 93.0]), doubles([1.0, 2.9])
    yield case(*level, 0.5, about="two models of one and the same ELBO, where a nat of rate costs half")
    nobody = doubles([2.0]), doubles([90.0]), doubles([0.0])
    yield case(*nobody, 1.0, about="a single model: its rate is 2 nats, and its code says nothing")
    ties = doubles([1.0, 1.0, 2.0, 4.0]), doubles([95.0, 94.0, 94.0, 93.5]), doubles([0.5, 0.7, 1.9, 3.0])
    yield case(*ties, 0.1, about="models that agree in rate, or in distortion")
    dear = doubles([1.0, 3.0, 6.0]), doubles([94.0, 90.0, 90.5]), doubles([0.8, 2.6, 5.5])
    yield case(*dear, 1.0, about="the model of the highest rate has not the least distortion")
    same = doubles([1.5, 1.5, 3.0]), doubles([90.0, 90.0, 80.0]), doubles([1.0, 1.2, 2.0])
    yield case(*same, 1.0, about="two models in the same place")
    for n in (3, 6, 9):
        rate = 8 * torch.rand(n, generator=generator, dtype=torch.float64)
        distortion = 97 - 1.5 * rate + 2 * normal(generator, n)
        fraction = torch.rand(n, generator=generator, dtype=torch.float64)
        beta = float(3 * torch.rand((), generator=generator) ** 2)
        yield case(rate, distortion, rate * fraction, beta)
    yield case(*(t.float() for t in ties), 3.0, about="in float32")
    for excess in (0.05, 0.09):
        about = "information above the rate within what is measured"
        yield case(two[0], two[1], doubles([1 + excess, 2.5]), 1.0, about=about)
    yield case(two[0], two[1], doubles([1.5, 2.5]), 1.0, about="more information than the rate pays for")
    yield case(two[0], two[1], doubles([0.5, 3.15]), 1.0, about="a little more than the rate pays for, and than chance")


def plane(
    bound: Callable | None = None,
    gap: Callable | None = None,
    worse: Callable | None = None,
    chosen: Callable | None = None,
) -> Callable:
    """read_plane with one answer made otherwise, from (rate, distortion, information, beta)."""

    def answer(*given: Any) -> tuple:
        return tuple(
            make(*given) if make else value
            for make, value in zip((bound, gap, worse, chosen), read_plane(*given), strict=True)
        )

    return answer


def compared(worse: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]) -> Callable:
    """Dominated by a rule worse(rate of the other, own rate, distortion of the other, own distortion)."""
    return plane(worse=lambda r, d, i, beta: worse(r[:, None], r, d[:, None], d).any(0))


def least(of: Callable) -> Callable:
    return plane(chosen=lambda *given: int(of(*given).argmin()))


def unchecked(r: Tensor, d: Tensor, i: Tensor, beta: float) -> tuple:
    return r + d, r - i, dominated(r, d), int((d + beta * r).argmin())


def strictly_checked(r: Tensor, d: Tensor, i: Tensor, beta: float) -> tuple:
    if bool((i > r).any()):
        raise ValueError("information above the rate")
    return unchecked(r, d, i, beta)


def checked(refuse: Callable[[Tensor, Tensor], Tensor]) -> Callable:
    """A refusal by another rule, refuse(rate, information), true for each model or for all."""

    def answer(r: Tensor, d: Tensor, i: Tensor, beta: float) -> tuple:
        if bool(refuse(r, i).any()):
            raise ValueError("information above the rate")
        return unchecked(r, d, i, beta)

    return answer


def by_two_others(worse: Callable, lower: Callable) -> Callable:
    """Some model is better in distortion and some, perhaps another one, in rate."""
    return plane(worse=lambda r, d, i, beta: worse(d[:, None], d).any(0) & lower(r[:, None], r).any(0))


STRICT = (
    "a model counts as dominated only where another one is strictly better in both. It is enough to be no worse in "
    "both and better in one."
)
PLANE_MISTAKES = (
    Mistake(
        "information_for_rate_in_the_bound",
        "the bound is distortion plus information. It is distortion plus rate: what the aggregate misses the prior by "
        "is paid for as well.",
        plane(bound=lambda r, d, i, beta: d + i),
    ),
    Mistake(
        "beta_in_the_bound",
        "the bound on the NLL has beta in it. beta says what was minimised; log p(x) does not know of it, and is "
        "bounded by rate + distortion with weight 1 each.",
        plane(bound=lambda r, d, i, beta: d + beta * r),
    ),
    Mistake(
        "elbo_for_bound",
        "this is the ELBO, -(rate + distortion). The NLL is -log p(x), and is bounded from above by rate + distortion.",
        plane(bound=lambda r, d, i, beta: -(r + d)),
    ),
    Mistake(
        "rate_subtracted",
        "the rate is subtracted from the distortion. Both are costs, and add up.",
        plane(bound=lambda r, d, i, beta: d - r),
    ),
    Mistake("distortion_for_bound", "the bound lacks the rate.", plane(bound=lambda r, d, i, beta: d)),
    Mistake(
        "gap_reversed",
        "the aggregate gap has the wrong sign: it is a KL divergence, and what is left of the rate.",
        plane(gap=lambda r, d, i, beta: i - r),
    ),
    Mistake(
        "gap_of_the_bound",
        "this gap is distortion less information. The rate is what falls into information and aggregate gap.",
        plane(gap=lambda r, d, i, beta: d - i),
    ),
    Mistake(
        "rate_for_gap", "the gap is the whole rate: the information is part of it.", plane(gap=lambda r, d, i, b: r)
    ),
    Mistake(
        "gap_as_a_share",
        "this is a share of the rate. The gap is a difference, in nats.",
        plane(gap=lambda r, d, i, b: i / r),
    ),
    Mistake(
        "gap_as_a_share",
        "this is a share of the rate. The gap is a difference, in nats.",
        plane(gap=lambda r, d, i, b: 1 - i / r),
    ),
    Mistake("dominated_strictly", STRICT, compared(lambda r, own_r, d, own_d: (r < own_r) & (d < own_d))),
    Mistake(
        "dominated_by_itself",
        "a model counts as dominated by one in the same place: itself, to begin with. One of the two has to be "
        "strictly better.",
        compared(lambda r, own_r, d, own_d: (r <= own_r) & (d <= own_d)),
    ),
    Mistake(
        "equal_distortion_missed",
        "a model is overlooked that is dominated by one of the same distortion and lower rate.",
        compared(lambda r, own_r, d, own_d: (r <= own_r) & (d < own_d)),
    ),
    Mistake(
        "equal_rate_missed",
        "a model is overlooked that is dominated by one of the same rate and lower distortion.",
        compared(lambda r, own_r, d, own_d: (r < own_r) & (d <= own_d)),
    ),
    Mistake(
        "either_is_enough",
        "a model counts as dominated where another is better in rate or in distortion. The other has to be no worse "
        "in both; where each is better in one, neither dominates.",
        compared(lambda r, own_r, d, own_d: (r < own_r) | (d < own_d)),
    ),
    Mistake(
        "dominates",
        "True stands where the model dominates another one. Asked for is where it is dominated.",
        compared(lambda r, own_r, d, own_d: (r >= own_r) & (d >= own_d) & ((r > own_r) | (d > own_d))),
    ),
    Mistake(
        "not_dominated",
        "True and False are exchanged: these are the models that nobody dominates.",
        plane(worse=lambda r, d, i, beta: ~dominated(r, d)),
    ),
    Mistake(
        "dominated_by_the_elbo",
        "every model but that of the best ELBO counts as dominated. A model of a lower ELBO may still be the best at "
        "its rate.",
        plane(worse=lambda r, d, i, beta: (r + d) > (r + d).min()),
    ),
    *(
        Mistake(
            "dominated_by_two",
            "one model is better in distortion and another one in rate: neither of them alone is no worse in both. Ask "
            "both questions of one and the same model, and only then whether there is any.",
            by_two_others(worse, lower),
        )
        for worse, lower in (
            (torch.lt, torch.le),
            (torch.le, torch.lt),
            (torch.lt, torch.lt),
        )
    ),
    *(
        Mistake(
            "bound_of_all",
            "this is one bound for all models together. Each model has one of its own, for its own -log p(x).",
            plane(bound=one),
        )
        for one in (
            lambda r, d, i, beta: (r + d).min(),
            lambda r, d, i, beta: (r + d).max(),
            lambda r, d, i, beta: (r + d).mean(),
        )
    ),
    Mistake(
        "dominated_as_numbers",
        "dominated holds numbers, 0 and 1. The contract asks for True and False, a boolean tensor.",
        plane(worse=lambda r, d, i, beta: dominated(r, d).to(r.dtype)),
    ),
    Mistake(
        "more_rate_is_better",
        "a higher rate counts as the better one. In the loss a rate is a cost, as the distortion is.",
        compared(lambda r, own_r, d, own_d: (r >= own_r) & (d <= own_d) & ((r > own_r) | (d < own_d))),
    ),
    *(
        Mistake(
            "information_in_dominance",
            "whether a model is dominated is judged by its information. The plane has rate and distortion for its "
            "axes, and both are costs; what the code tells does not enter there.",
            plane(worse=worse),
        )
        for worse in (
            lambda r, d, i, beta: dominated(-i, d),
            lambda r, d, i, beta: dominated(i, d),
            lambda r, d, i, beta: dominated(-i, r + d),
        )
    ),
    Mistake(
        "all_but_the_chosen",
        "every model but the chosen one counts as dominated. Another price on the rate would choose another model; "
        "dominated is one that some other beats at any price.",
        plane(worse=lambda r, d, i, beta: d + beta * r > (d + beta * r).min()),
    ),
    Mistake(
        "gap_cut_off",
        "a gap that is negative by chance is replaced by 0, or has lost its sign. It is what is left of the rate, as "
        "it is measured.",
        plane(gap=lambda r, d, i, beta: (r - i).clamp(min=0)),
    ),
    Mistake(
        "gap_cut_off",
        "a gap that is negative by chance is replaced by 0, or has lost its sign. It is what is left of the rate, as "
        "it is measured.",
        plane(gap=lambda r, d, i, beta: (r - i).abs()),
    ),
    Mistake(
        "least_rate_chosen",
        "chosen is the model of the least rate. The distortion counts too.",
        least(lambda r, d, i, beta: r),
    ),
    Mistake(
        "least_distortion_chosen",
        "chosen is the model of the least distortion. The rate has its price.",
        least(lambda r, d, i, beta: d),
    ),
    Mistake(
        "first_always_chosen",
        "the first model is chosen, whatever the losses are: in a sorted list the least loss comes first, and which "
        "model it belongs to is lost.",
        plane(chosen=lambda r, d, i, beta: 0),
    ),
    Mistake(
        "neighbour_only",
        "each model is compared with the next one in the list. Any other may dominate it.",
        plane(
            worse=lambda r, d, i, beta: torch.cat(
                [(r[1:] <= r[:-1]) & (d[1:] <= d[:-1]) & ((r[1:] < r[:-1]) | (d[1:] < d[:-1])), torch.tensor([False])]
            )
        ),
    ),
    Mistake(
        "beta_on_distortion",
        "beta multiplies the distortion, or divides the rate. It is the price of a nat of rate.",
        least(lambda r, d, i, beta: beta * d + r),
    ),
    Mistake(
        "beta_forgotten",
        "beta is not used: chosen is the model of the best ELBO, as for beta = 1.",
        least(lambda r, d, i, beta: r + d),
    ),
    Mistake(
        "beta_on_information",
        "beta multiplies the information. The loss knows the rate alone: it cannot tell information from what the "
        "aggregate misses the prior by.",
        least(lambda r, d, i, beta: d + beta * i),
    ),
    Mistake(
        "worst_chosen",
        "chosen is the model of the largest D + beta R. It is a loss: the least is chosen.",
        least(lambda r, d, i, beta: -(d + beta * r)),
    ),
    Mistake(
        "beta_earned",
        "the rate is subtracted, as if it were earned. In the loss it is a cost.",
        least(lambda r, d, i, b: d - b * r),
    ),
    Mistake(
        "value_for_model",
        "this is the least loss. Asked for is the number of the model that has it, counted from 0.",
        plane(chosen=lambda r, d, i, beta: float((d + beta * r).min())),
    ),
    Mistake(
        "counted_from_one",
        "the number of the chosen model is counted from 1. Python counts from 0.",
        plane(chosen=lambda r, d, i, beta: int((d + beta * r).argmin()) + 1),
    ),
    Mistake(
        "impossible_accepted",
        "a model is accepted whose information exceeds its rate. No encoder does that: the rate is information plus a "
        "KL divergence. One of the two is measured wrongly, and the contract asks for a ValueError.",
        unchecked,
    ),
    Mistake(
        "chance_refused",
        "a model is refused whose information exceeds its rate by less than 0.1 nats. Both are measured, and so much "
        "may be chance.",
        strictly_checked,
    ),
    *(
        Mistake(
            "too_much_for_chance",
            "a model is accepted whose information exceeds its rate by more than the 0.1 nats that the contract calls "
            "chance, or by a share of the rate. The limit is 0.1 nats, however large the rate is.",
            checked(refuse),
        )
        for refuse in (
            lambda r, i: i - r > 0.3,
            lambda r, i: i - r > 0.2,
            lambda r, i: i > 1.1 * r,
            lambda r, i: i - r > 0.1 * r,
        )
    ),
    Mistake(
        "gap_refused",
        "a model is refused whose rate and information lie apart by more than 0.1 nats in either direction. A rate "
        "above the information is no fault: that difference is the aggregate gap.",
        checked(lambda r, i: (r - i).abs() > 0.1),
    ),
    Mistake(
        "assert_for_error",
        ASSERTED,
        asserted(unchecked, lambda r, d, i, beta: bool((i <= r + 0.1).all())),
    ),
)


# Bits back


def bits_back(log_prior: Tensor, log_likelihood: Tensor, log_q: Tensor) -> tuple[Tensor, Tensor]:
    """(net bits of each image, bits that must be there at the beginning)."""
    put, taken = -(log_prior + log_likelihood) / math.log(2), -log_q / math.log(2)
    net = put - taken
    return net, (taken - (net.cumsum(0) - net)).amax().clamp(min=0)


def bits_back_cases(generator: torch.Generator) -> Iterator[Case]:
    about = "p(z) = 1/4, p(x|z) = 1/8, and the encoder took z with probability 1/2"
    yield case(logs([0.25]), logs([0.125]), logs([0.5]), about=about)
    yield case(logs([0.25]), logs([0.125]), logs([1.0]), about="the same, from an encoder that is sure")
    about = "two images, and the pile suffices for the second"
    yield case(logs([0.25, 0.5]), logs([0.125, 0.25]), logs([0.25, 0.5]), about=about)
    about = "a second image whose code was a rare one"
    yield case(logs([0.5, 1 / 128]), logs([0.5, 0.25]), logs([0.5, 1 / 256]), about=about)
    about = "two images so well explained that the pile shrinks"
    chain = logs([0.5, 0.5, 0.25]), logs([1.0, 1.0, 0.5]), logs([0.25, 0.125, 0.125])
    yield case(*chain, about=about)
    last = logs([1 / 16, 1 / 8, 1 / 2])
    longer = (torch.cat([part, last[i : i + 1]]) for i, part in enumerate(chain))
    yield case(*longer, about=f"{about}, and one more that puts more there than was missing")
    for n in (1, 3, 6, 12):
        log_prior, log_likelihood, log_q = (-3 * normal(generator, n).abs() for _ in range(3))
        yield case(log_prior, log_likelihood, 1.5 * log_q)
    single = ((-2 * normal(generator, 5).abs()).float() for _ in range(3))
    yield case(*single, about="in float32")
    digits = -2 - normal(generator, 4).abs(), -900 + 10 * normal(generator, 4), -1 - normal(generator, 4).abs()
    yield case(*digits, about="images of many pixels")


def pile(net: Callable | None = None, needed: Callable | None = None) -> Callable:
    """Bits back with net(put, taken) or needed(put, taken) made otherwise, in bits."""

    def answer(log_prior: Tensor, log_likelihood: Tensor, log_q: Tensor) -> tuple:
        right = bits_back(log_prior, log_likelihood, log_q)
        put, taken = -(log_prior + log_likelihood) / math.log(2), -log_q / math.log(2)
        return net(put, taken) if net else right[0], needed(put, taken) if needed else right[1]

    return answer


def from_parts(change: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor, Tensor]]) -> Callable:
    return lambda *given: bits_back(*change(*given))


NOT_RETURNED = (
    "the bits that choose z are not given back. The receiver who knows x and z knows q(z|x) too, and recovers the very "
    "bits that z was chosen with: they are not lost, and belong off the bill."
)
BITS_BACK_MISTAKES = (
    Mistake(
        "nothing_given_back",
        NOT_RETURNED,
        pile(lambda put, taken: put, lambda put, taken: put.new_zeros(())),
    ),
    Mistake("nothing_given_back", NOT_RETURNED, pile(lambda put, taken: put)),
    Mistake(
        "given_back_twice",
        "the bits that choose z are paid on top. They are taken from the pile, and so make the message shorter by "
        "what they would otherwise take up.",
        pile(lambda put, taken: put + taken),
    ),
    Mistake(
        "prior_forgotten",
        "the code z itself costs nothing here. It is sent too, in -log p(z).",
        from_parts(lambda p, ell, q: (0 * p, ell, q)),
    ),
    Mistake(
        "likelihood_forgotten",
        "this is the cost of the code alone: log q(z|x) - log p(z). The image is sent as well.",
        from_parts(lambda p, ell, q: (p, 0 * ell, q)),
    ),
    Mistake(
        "sign_flipped",
        "the sign: a length is -log p. This is how much the pile shrinks.",
        pile(lambda put, taken: taken - put),
    ),
    Mistake(
        "nats",
        "these are nats. The contract asks for bits here, since bits are what is taken and put.",
        lambda *given: tuple(value * math.log(2) for value in bits_back(*given)),
    ),
    *(
        Mistake("nats", "one of the two is in nats. The contract asks for bits: nats divided by log 2.", answer)
        for answer in (
            pile(net=lambda put, taken: (put - taken) * math.log(2)),
            lambda *given: (lambda net, needed: (net, needed * math.log(2)))(*bits_back(*given)),
        )
    ),
    *(
        Mistake(
            "probabilities_formed",
            "the probabilities themselves are formed: that of an image of many pixels is 0 as a float, and its "
            "logarithm minus infinity. Logarithms are handed in, and logarithms are enough.",
            answer,
        )
        for answer in (
            lambda p, ll, q: bits_back(p, ll.exp().log(), q),
            lambda p, ll, q: (bits_back(p, ll.exp().log(), q)[0], bits_back(p, ll, q)[1]),
        )
    ),
    Mistake(
        "last_image_only",
        "the bits at the beginning are those that the last image misses. An earlier one may have missed more.",
        pile(needed=lambda put, taken: (taken - ((put - taken).cumsum(0) - (put - taken)))[-1].clamp(min=0)),
    ),
    Mistake(
        "decimal_digits",
        "these are decimal digits: the logarithm to base 10 was taken. Bits have base 2.",
        lambda *given: tuple(value * math.log10(2) for value in bits_back(*given)),
    ),
    Mistake(
        "multiplied_for_divided",
        "nats are turned into bits the wrong way. A bit is log 2 = 0.69 nats, so there are more bits than nats.",
        lambda *given: tuple(value * math.log(2) ** 2 for value in bits_back(*given)),
    ),
    Mistake(
        "put_before_taken",
        "for the bits at the beginning each image puts its bits on the pile before it takes any. It is the other way "
        "round: z has to be chosen first, and only then is there anything to send.",
        pile(needed=lambda put, taken: (taken - put).cumsum(0).amax().clamp(min=0)),
    ),
    *(
        Mistake(
            "looked_at_after_the_put",
            "what an image takes is held against the pile that this image has already put on and taken from. It takes "
            "from the pile as the images before it have left it.",
            pile(needed=needed),
        )
        for needed in (
            lambda put, taken: (taken - (put - taken).cumsum(0)).amax(),
            lambda put, taken: (taken - (put - taken).cumsum(0)).amax().clamp(min=0),
        )
    ),
    *(
        Mistake(
            "lowest_between_images",
            "the pile is looked at only between one image and the next. It is lowest within an image: after its bits "
            "are taken and before any are put.",
            pile(needed=needed),
        )
        for needed in (
            lambda put, taken: (put - taken).cumsum(0).amin().abs(),
            lambda put, taken: -(put - taken).cumsum(0).amin(),
        )
    ),
    Mistake(
        "net_cut_off",
        "a negative net length is replaced by 0. An image that takes more than it puts makes the pile shrink, and that "
        "is part of the account.",
        pile(net=lambda put, taken: (put - taken).clamp(min=0)),
    ),
    *(
        Mistake(
            "bits_rounded",
            "the bits are rounded up to whole ones. A long chain shares its bits, and what counts are the lengths as "
            "they come: fractions of a bit included.",
            answer,
        )
        for answer in (
            lambda *given: tuple(value.ceil() for value in bits_back(*given)),
            pile(net=lambda put, taken: (put - taken).ceil()),
            pile(net=lambda put, taken: put.ceil() - taken.ceil()),
            pile(needed=lambda put, taken: (taken - ((put - taken).cumsum(0) - (put - taken))).amax().ceil()),
            pile(
                lambda put, taken: put.ceil() - taken.ceil(),
                lambda put, taken: (taken - ((put - taken).cumsum(0) - (put - taken))).amax().ceil(),
            ),
        )
    ),
    Mistake(
        "elbo_for_length",
        "the net length is the ELBO, in nats and negative. A length is minus that, in bits.",
        pile(net=lambda put, taken: (taken - put) * math.log(2)),
    ),
    Mistake(
        "first_image_only",
        "only the first image's bits are there at the beginning. A later one may want more than the pile holds by "
        "then.",
        pile(needed=lambda put, taken: taken[0]),
    ),
    Mistake(
        "largest_taken",
        "the bits at the beginning are the most that any image takes. By the time a later one takes them the images "
        "before have put something on the pile, or have made it shrink.",
        pile(needed=lambda put, taken: taken.amax()),
    ),
    Mistake(
        "all_taken",
        "the bits at the beginning are what all images take together. What the earlier ones put on the pile is there "
        "for the later ones.",
        pile(needed=lambda put, taken: taken.sum()),
    ),
    Mistake(
        "nothing_needed",
        "no bits at the beginning. The first image has to choose its z before anything is on the pile.",
        pile(needed=lambda put, taken: put.new_zeros(())),
    ),
    Mistake(
        "last_image_first",
        "the images are gone through from the last to the first, as the receiver does. The sender's pile starts at the "
        "first.",
        pile(needed=lambda put, taken: math.log(2) * bits_back(-put.flip(0), 0 * put, -taken.flip(0))[1]),
    ),
    Mistake(
        "end_only",
        "the bits at the beginning are those that are missing at the end. The pile must not run out on the way either.",
        pile(needed=lambda put, taken: (taken - put).sum().clamp(min=0)),
    ),
    Mistake(
        "taken_not_counted",
        "what the earlier images took from the pile is not counted, only what they put there.",
        pile(needed=lambda put, taken: (taken - (put.cumsum(0) - put)).amax().clamp(min=0)),
    ),
    Mistake(
        "each_image_alone",
        "the bits at the beginning are the most that one image, by itself, takes from the pile on balance. What counts "
        "is the running balance of all images so far.",
        pile(needed=lambda put, taken: (taken - put).amax().clamp(min=0)),
    ),
    Mistake(
        "height_of_the_pile",
        "this is how high the pile grows. Asked for is how much must be there beforehand, so that it never runs out.",
        pile(needed=lambda put, taken: (put - taken).cumsum(0).amax().clamp(min=0)),
    ),
    Mistake(
        "images_summed",
        "the net lengths of all images are summed. Each image has one of its own.",
        pile(net=lambda put, taken: (put - taken).sum()),
    ),
    Mistake(
        "images_averaged",
        "the net lengths are averaged over the images. Each image has one of its own.",
        pile(net=lambda put, taken: (put - taken).mean()),
    ),
    Mistake(
        "running_total",
        "the net lengths are a running total. Each image's own is asked for; the total serves for the bits at the "
        "beginning.",
        pile(net=lambda put, taken: (put - taken).cumsum(0)),
    ),
    Mistake(
        "needed_of_each",
        "there is a number of bits at the beginning for each image. The most that is ever missing is asked for, one "
        "number for the whole chain.",
        pile(needed=lambda put, taken: taken - ((put - taken).cumsum(0) - (put - taken))),
    ),
    Mistake("exchanged", "the two values stand in the wrong order.", lambda *given: bits_back(*given)[::-1]),
)


# The flow


def flow_parts(z: Tensor, *weights: Tensor, strictly: Callable[[Tensor], Tensor] = lambda w: w.tril(-1)) -> tuple:
    """(shift, log_scale), each from the entries of z before its own."""
    shift_weight, shift_bias, scale_weight, scale_bias = weights
    return z @ strictly(shift_weight).T + shift_bias, z @ strictly(scale_weight).T + scale_bias


def gaussian(e: Tensor) -> Tensor:
    return -0.5 * (e**2 + math.log(2 * math.pi)).sum(-1)


def flow_log_prob(
    z: Tensor, shift_weight: Tensor, shift_bias: Tensor, scale_weight: Tensor, scale_bias: Tensor
) -> Tensor:
    """log N(e; 0, I) - sum of log-scales, with e = (z - shift) exp(-log_scale)."""
    shift, log_scale = flow_parts(z, shift_weight, shift_bias, scale_weight, scale_bias)
    return gaussian((z - shift) * (-log_scale).exp()) - log_scale.sum(-1)


def flow_cases(generator: torch.Generator) -> Iterator[Case]:
    zero, none = doubles([[0.0]]), doubles([0.0])
    yield case(doubles([[1.5]]), zero, doubles([1.0]), zero, none, about="one number, of mean 1 and scale 1")
    yield case(doubles([[3.0]]), zero, doubles([1.0]), zero, logs([2.0]), about="one number, of mean 1 and scale 2")
    about = "one number: nothing comes before it, so the weights play no part"
    yield case(doubles([[3.0]]), doubles([[5.0]]), doubles([1.0]), doubles([[0.7]]), logs([2.0]), about=about)
    pair = doubles([[1.0, 2.0]])
    lower, upper, zeros = doubles([[0.0, 0.0], [0.5, 0.0]]), doubles([[0.0, 3.0], [0.0, 0.0]]), doubles([0.0, 0.0])
    yield case(pair, lower, zeros, 0 * lower, zeros, about="the second number's mean is half the first")
    yield case(pair, 0 * lower, zeros, lower, zeros, about="the second number's log-scale is half the first")
    yield case(pair, upper, zeros, upper, zeros, about="weights that look ahead play no part")
    for n, code in ((1, 3), (4, 2), (3, 3), (5, 4)):
        yield case(*flow_tensors(generator, n, code))
    yield case(*(t.float() for t in flow_tensors(generator, 3, 3)), about="in float32")
    far = doubles([[300.0, -400.0], [0.0, 500.0]]), lower, zeros, 0 * lower, logs([2.0, 0.5])
    yield case(*far, about="codes far out, where the density itself is 0 as a float")
    steep = doubles([[0.0, 0.0], [25.0, 0.0]])
    yield case(doubles([[1.0, 8.0]]), 0 * lower, zeros, steep, zeros, about="a log-scale of 25")
    yield case(doubles([[-1.0, 1e-11]]), 0 * lower, zeros, steep, zeros, about="a log-scale of -25")
    z, *weights = flow_tensors(generator, 2, 3)
    yield case(Leaf(z), *map(Leaf, weights), about="the gradients of the sum: the prior is to be trained")


def flow_tensors(generator: torch.Generator, n: int, code: int) -> tuple[Tensor, ...]:
    square, line = (code, code), (code,)
    shapes = ((n, code), square, line, square, line)
    return tuple(size * normal(generator, *shape) for size, shape in zip((1, 1, 1, 0.3, 0.5), shapes, strict=True))


def flow(
    make: Callable[[Tensor, Tensor, Tensor], Tensor], strictly: Callable[[Tensor], Tensor] = lambda w: w.tril(-1)
) -> Callable:
    """Another log-density from (z, shift, log_scale), or another mask of the weights."""
    return lambda z, *weights: make(z, *flow_parts(z, *weights, strictly=strictly))


def density(z: Tensor, shift: Tensor, log_scale: Tensor) -> Tensor:
    return gaussian((z - shift) * (-log_scale).exp()) - log_scale.sum(-1)


def from_noise_before(z: Tensor, shift_weight: Tensor, shift_bias: Tensor, scale_weight: Tensor, scale_bias: Tensor):
    """The entries of e that come before take the place of those of z."""
    e, log_det = torch.zeros_like(z), torch.zeros_like(z[:, 0])
    for i in range(z.shape[1]):
        shift, log_scale = (
            e.clone() @ w.tril(-1)[i] + b[i] for w, b in ((shift_weight, shift_bias), (scale_weight, scale_bias))
        )
        unit = torch.eye(z.shape[1], dtype=z.dtype)[i]
        e = e + unit * ((z[:, i] - shift) * (-log_scale).exp())[:, None]
        log_det = log_det - log_scale
    return gaussian(e) + log_det


AHEAD = (
    "the numbers of the code see what comes after them. Number i may depend on those before it alone, j < i: otherwise "
    "the Jacobian is no triangle, and its determinant not the product that you use."
)
CONSTANT = (
    "the constant of the Gaussian is missing, log(2 pi) / 2 for each number of the code. As a loss it would do; it is "
    "no log-density, and nothing could be compared with it."
)
FLOW_MISTAKES = (
    Mistake(
        "determinant_forgotten",
        "this is log N(e; 0, I), without the change of variables: a term for the log-scales is missing. A scale of 2 "
        "spreads z over twice the room, so its density is half as high. Without that term the densities do not "
        "integrate to 1, and training would run off to scales without end.",
        flow(lambda z, b, s: gaussian((z - b) * (-s).exp())),
    ),
    Mistake(
        "determinant_sign",
        "the log-determinant has the wrong sign. A large scale spreads z over more room, so its density is lower. Try "
        "one number and a scale of 2: it is to be the log-density of N(0, 4).",
        flow(lambda z, b, s: gaussian((z - b) * (-s).exp()) + s.sum(-1)),
    ),
    Mistake(
        "scale_inverted",
        "z - shift is multiplied by the scale, where it is to be divided by it: e is the noise that z comes from, and "
        "z = shift + scale e.",
        flow(lambda z, b, s: gaussian((z - b) * s.exp()) - s.sum(-1)),
    ),
    Mistake(
        "direction_reversed",
        "z - shift is multiplied by the scale and the log-scales are added: a density, and that of a flow whose scales "
        "are the inverse of these. z = shift + scale e.",
        flow(lambda z, b, s: gaussian((z - b) * s.exp()) + s.sum(-1)),
    ),
    Mistake(
        "noise_for_code",
        "this is the density at shift + scale z: z is used as if it were the noise. Given is z, and sought the e that "
        "it comes from.",
        flow(lambda z, b, s: gaussian(b + s.exp() * z) - s.sum(-1)),
    ),
    Mistake(
        "noise_for_code",
        "this is the density at shift + scale z: z is used as if it were the noise. Given is z, and sought the e that "
        "it comes from.",
        flow(lambda z, b, s: gaussian(b + s.exp() * z) + s.sum(-1)),
    ),
    Mistake(
        "log_scale_as_variance",
        "the log-scale is taken for a log-variance: halved. It is the logarithm of the scale itself.",
        flow(lambda z, b, s: density(z, b, s / 2)),
    ),
    Mistake(
        "log_scale_halved_once",
        "the log-scale is halved in one of its two places, as one would a log-variance. It is the logarithm of the "
        "scale.",
        flow(lambda z, b, s: gaussian((z - b) * (-s).exp()) - 0.5 * s.sum(-1)),
    ),
    Mistake(
        "log_scale_halved_once",
        "the log-scale is halved in one of its two places, as one would a log-variance. It is the logarithm of the "
        "scale.",
        flow(lambda z, b, s: gaussian((z - b) * (-s / 2).exp()) - s.sum(-1)),
    ),
    Mistake(
        "log_scale_as_scale",
        "the log-scale is used as the scale itself, without exp.",
        flow(lambda z, b, s: gaussian((z - b) / s) - s.abs().log().sum(-1)),
    ),
    Mistake(
        "log_scale_as_scale",
        "the log-scale is used as the scale itself, without exp.",
        flow(lambda z, b, s: gaussian((z - b) / s) - s.sum(-1)),
    ),
    Mistake(
        "scale_for_log_scale",
        "the scales are subtracted, where their logarithms belong.",
        flow(lambda z, b, s: gaussian((z - b) * (-s).exp()) - s.exp().sum(-1)),
    ),
    Mistake("shift_added", "the shift is added: e = (z - shift) / scale.", flow(lambda z, b, s: density(z, -b, s))),
    Mistake(
        "shift_after_scale",
        "z is divided by the scale first, and the shift subtracted afterwards. It belongs to z: z = shift + scale e.",
        flow(lambda z, b, s: gaussian(z * (-s).exp() - b) - s.sum(-1)),
    ),
    Mistake(
        "shift_alone_divided",
        "only the shift is divided by the scale: a division binds tighter than the minus. It is z - shift as a whole "
        "that is divided.",
        flow(lambda z, b, s: gaussian(z - b * (-s).exp()) - s.sum(-1)),
    ),
    Mistake(
        "scale_forgotten",
        "the log-scales play no part: neither is z - shift divided by the scale nor is the determinant there.",
        flow(lambda z, b, s: gaussian(z - b)),
    ),
    *(
        Mistake(
            "log_scale_cut_off",
            "the log-scale is kept within limits. That is a habit of training, and changes the density: the contract "
            "asks for this flow, exact far out as well.",
            flow(lambda z, b, s, low=low, high=high: density(z, b, s.clamp(low, high))),
        )
        for limit in (1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 10.0, 15.0, 20.0)
        for low, high in ((-limit, limit), (-limit, None), (None, limit))
    ),
    *(
        Mistake(
            "added_to_the_scale",
            "a small number is added to the scale. exp is never 0, so nothing has to be added; and where a scale is "
            "smaller still, that number decides alone.",
            flow(make),
        )
        for eps in (1e-12, 1e-10, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5, 1e-4, 1e-3)
        for make in (
            lambda z, b, s, eps=eps: gaussian((z - b) / (s.exp() + eps)) - s.sum(-1),
            lambda z, b, s, eps=eps: gaussian((z - b) / (s.exp() + eps)) - (s.exp() + eps).log().sum(-1),
        )
    ),
    *(
        Mistake(
            "one_matrix_unmasked",
            "only one of the two matrices is masked. Shift and log-scale both may depend on the numbers before alone, "
            "j < i.",
            answer,
        )
        for answer in (
            lambda z, b_w, b, s_w, s: density(z, z @ b_w.T + b, z @ s_w.tril(-1).T + s),
            lambda z, b_w, b, s_w, s: density(z, z @ b_w.tril(-1).T + b, z @ s_w.T + s),
        )
    ),
    *(
        Mistake("bias_forgotten", "a bias plays no part: b^0 or s^0 is missing.", answer)
        for answer in (
            lambda z, b_w, b, s_w, s: flow_log_prob(z, b_w, 0 * b, s_w, s),
            lambda z, b_w, b, s_w, s: flow_log_prob(z, b_w, b, s_w, 0 * s),
            lambda z, b_w, b, s_w, s: flow_log_prob(z, b_w, 0 * b, s_w, 0 * s),
        )
    ),
    Mistake(
        "code_for_noise",
        "the Gaussian is evaluated at z, where the noise e belongs.",
        flow(lambda z, b, s: gaussian(z) - s.sum(-1)),
    ),
    Mistake(
        "scale_only_in_determinant",
        "z - shift is not divided by the scale, and yet its determinant is there.",
        flow(lambda z, b, s: gaussian(z - b) - s.sum(-1)),
    ),
    *(
        Mistake("looks_ahead", AHEAD, flow(density, mask))
        for mask in (lambda w: w, lambda w: w.triu(1), lambda w: w.triu())
    ),
    Mistake(
        "sees_itself",
        "the mask keeps the diagonal: each number of the code sees itself. Then the scale is no derivative any more, "
        "and the determinant another one. Number i sees those before it, j < i.",
        flow(density, lambda w: w.tril()),
    ),
    Mistake(
        "weights_transposed",
        "the weights are read the other way round. weight[i, j] is the weight of z_j in the shift of number i; z has "
        "a code in each row.",
        flow(density, lambda w: w.tril(-1).T),
    ),
    Mistake(
        "weights_transposed",
        "the weights are read the other way round. weight[i, j] is the weight of z_j in the shift of number i; z has "
        "a code in each row.",
        flow(density, lambda w: w.T.tril(-1)),
    ),
    Mistake(
        "weights_forgotten",
        "the weights play no part: shift and log-scale are those of a diagonal Gaussian. What sets a flow apart is "
        "that they depend on the numbers before.",
        flow(density, lambda w: 0 * w),
    ),
    Mistake(
        "noise_before_for_code_before",
        "shift and log-scale are computed from the noise e before, where z belongs. That is a flow too, and another "
        "one: an inverse autoregressive flow, which is fast to draw from and slow to evaluate.",
        from_noise_before,
    ),
    Mistake(
        "constant_missing", CONSTANT, flow(lambda z, b, s: density(z, b, s) + z.shape[-1] * math.log(2 * math.pi) / 2)
    ),
    Mistake(
        "constant_whole",
        "the constant of the Gaussian is log(2 pi) for each number of the code, and should be half of it: the 1/2 "
        "belongs to both.",
        flow(lambda z, b, s: density(z, b, s) - z.shape[-1] * math.log(2 * math.pi) / 2),
    ),
    Mistake(
        "constant_once",
        "the constant of the Gaussian is there once for the code, and belongs to each of its numbers.",
        flow(lambda z, b, s: density(z, b, s) + (z.shape[-1] - 1) * math.log(2 * math.pi) / 2),
    ),
    Mistake(
        "half_forgotten",
        "the factor 1/2 before the square is missing.",
        flow(lambda z, b, s: density(z, b, s) - 0.5 * (((z - b) * (-s).exp()) ** 2).sum(-1)),
    ),
    Mistake("sign_flipped", "the sign: this is -log p(z), a loss.", flow(lambda z, b, s: -density(z, b, s))),
    Mistake(
        "density",
        "this is p(z). The contract asks for its logarithm, which stays a number where the density is 0 as a float.",
        flow(lambda z, b, s: density(z, b, s).exp()),
    ),
    Mistake(
        "density_formed",
        "the density is formed before its logarithm is taken: far out it is 0 as a float, and its logarithm minus "
        "infinity. Stay in logarithms.",
        flow(lambda z, b, s: density(z, b, s).exp().log()),
    ),
    Mistake(
        "mean_over_the_code",
        "the numbers of the code are averaged. Logarithms of independent factors add up: a sum.",
        flow(lambda z, b, s: density(z, b, s) / z.shape[-1]),
    ),
    Mistake(
        "codes_put_together",
        "all codes are put together into one number. Each has a log-density of its own.",
        flow(lambda z, b, s: density(z, b, s).sum()),
    ),
    Mistake(
        "codes_put_together",
        "all codes are put together into one number. Each has a log-density of its own.",
        flow(lambda z, b, s: density(z, b, s).mean()),
    ),
    Mistake(
        "summed_over_the_batch",
        "the sum runs over the codes of the batch, and there is a value left for each number. Each code has one "
        "log-density, the sum over its own numbers.",
        flow(lambda z, b, s: (-0.5 * (((z - b) * (-s).exp()) ** 2 + math.log(2 * math.pi)) - s).sum(0)),
    ),
    Mistake(
        "determinant_of_all_codes",
        "the log-determinant is summed over all codes. Each code has its own.",
        flow(lambda z, b, s: gaussian((z - b) * (-s).exp()) - s.sum()),
    ),
    Mistake(
        "numbers_left",
        "there is a value for each number of the code. They are to be summed.",
        flow(lambda z, b, s: -0.5 * (((z - b) * (-s).exp()) ** 2 + math.log(2 * math.pi)) - s),
    ),
    Mistake("bits", BITS, flow(lambda z, b, s: density(z, b, s) / math.log(2))),
    Mistake(
        "gradients_cut",
        "the values are right, and no gradient comes through: something is detached, or computed under no_grad.",
        lambda *tensors: flow_log_prob(*(t.detach() for t in tensors)),
    ),
)


TASKS = (
    Task(
        id="06.first_layer",
        title="Past pixels and the whole code",
        points=2,
        difficulty=3,
        minutes=10,
        cases=first_layer_cases,
        reference=first_layer,
        mistakes=LAYER_MISTAKES,
        hints=(
            "Two things come in, and only one of them has a future. First make the maps, then put them beside the "
            "image, then ask of each channel of the weights whether it needs a mask.",
            "mask[o, 0] is mask A; mask[o, m] = 1 throughout for m > 0. The maps are a sum over the numbers of the "
            "code: 'bc,cmhw->bmhw' in einsum's words.",
            "maps = torch.einsum(...)   # [batch, maps, height, width]\n"
            "mask = torch.ones_like(weight)\n"
            "mask[:, 0] = ...   # 1 before the centre in raster order\n"
            "return F.conv2d(torch.cat([x, maps], dim=1), ..., padding=...)",
        ),
        compare=near("z", "weight", "paint"),
    ),
    Task(
        id="06.one_bit",
        title="One bit, two decoders",
        points=2,
        difficulty=3,
        minutes=10,
        cases=one_bit_cases,
        reference=one_bit,
        mistakes=BIT_MISTAKES,
        hints=(
            "First: you are told z. How probable is each of the two images? Then: what does that leave open, on "
            "average? Last: how many pixels have to pay for it?",
            "q(x|z) = q(z|x) / 2 / q(z), q(z) = (q(z|0) + q(z|1)) / 2; H(x|z) = -sum_x,z q(x, z) log q(x|z). "
            "Distortion is n H(x|z), or H(x|z) once; the rate is the mean of two KL divergences.",
            "joint = q / 2   # [2, codes], q(x, z)\n"
            "left_open = torch.where(joint > 0, joint * (...), 0.0).sum()\n"
            "rate = torch.where(q > 0, ..., 0.0).sum() / 2\n"
            "return (... if autoregressive else ...), rate",
        ),
        compare=near("distortion", "rate"),
    ),
    Task(
        id="06.information",
        title="The information meter",
        points=2,
        difficulty=3,
        minutes=10,
        cases=information_cases,
        reference=information,
        mistakes=INFORMATION_MISTAKES,
        hints=(
            "Each code has been drawn from one posterior, which stands on the diagonal. What the information compares "
            "it with is a mean over a row; one bound keeps the diagonal in that mean, the other leaves it out.",
            "lower = mean_i [log q(z_i|x_i) - logsumexp_j log q(z_i|x_j) + log N]; for the upper bound j runs over the "
            "others, and N - 1 takes the place of N. The log of 0 is minus infinity.",
            "own = log_q.diagonal()\n"
            "lower = own - (... - math.log(n))\n"
            "others = log_q.masked_fill(torch.eye(n, dtype=torch.bool), ...)\n"
            "upper = own - (...)\n"
            "return lower.mean(), upper.mean(), torch.tensor(...)",
        ),
        compare=near("lower", "upper", "ceiling"),
    ),
    Task(
        id="06.read_plane",
        title="Reading the rate-distortion plane",
        points=2,
        difficulty=2,
        minutes=10,
        cases=plane_cases,
        reference=read_plane,
        mistakes=PLANE_MISTAKES,
        hints=(
            "Four answers, and each is a line or two. For the third, compare every model with every other: give one of "
            "the two an axis of its own.",
            "NLL <= R + D; R = I + KL(q(z), p(z)); j dominates i where R_j <= R_i and D_j <= D_i, and R_j < R_i or "
            "D_j < D_i; beta chooses the least D + beta R.",
            "no_worse = (rate[:, None] <= rate) & (...)   # [j, i]: j against i\n"
            "better = (...) | (...)\n"
            "dominated = (no_worse & better).any(dim=...)\n"
            "chosen = int((...).argmin())",
        ),
        compare=near("bound", "aggregate gap", "dominated", "chosen"),
    ),
    Task(
        id="06.bits_back",
        title="Bits back",
        points=2,
        difficulty=3,
        minutes=15,
        cases=bits_back_cases,
        reference=bits_back,
        mistakes=BITS_BACK_MISTAKES,
        hints=(
            "Follow the pile by hand for two images: take, put, take, put. At which moments is it lowest?",
            "put_t = -log2 p(z_t) - log2 p(x_t|z_t), taken_t = -log2 q(z_t|x_t), net_t = put_t - taken_t. Before image "
            "t takes, the pile has grown by net_1 + ... + net_(t-1): what is still missing then?",
            "put, taken = ..., ...   # in bits\n"
            "net = put - taken\n"
            "grown_before = net.cumsum(0) - net\n"
            "missing = ...\n"
            "return net, missing.max()",
        ),
        compare=near("net", "needed at the beginning"),
    ),
    Task(
        id="06.flow_log_prob",
        title="A prior that is an autoregressive flow",
        points=2,
        difficulty=2,
        minutes=10,
        cases=flow_cases,
        reference=flow_log_prob,
        mistakes=FLOW_MISTAKES,
        hints=(
            "Given its predecessors, each number of the code is a Gaussian: shift is its mean, exp(log_scale) its "
            "standard deviation. You know that log-density.",
            "log p(z) = sum_i [log N(e_i; 0, 1) - log_scale_i], e_i = (z_i - shift_i) exp(-log_scale_i). A strictly "
            "lower triangle keeps the weights with j < i; torch has a word for it.",
            "shift = z @ (...).T + shift_bias\nlog_scale = ...\ne = ...\nreturn (-0.5 * (...) - ...).sum(dim=-1)",
        ),
        compare=near("z", "shift_weight", "shift_bias", "scale_weight", "scale_bias"),
    ),
)
