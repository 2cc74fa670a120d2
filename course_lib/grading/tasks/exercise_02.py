"""Exercise 02: masks, a masked convolution, the likelihood of an image, and a sampler."""

from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib.grading.comparing import compare
from course_lib.grading.specs import Generator, Model
from course_lib.grading.task import Case, Mistake, Task, case

SOLUTION = "solutions/02_pixelrnn_pixelcnn, under the same heading."


# Masks


def odd(kernel_size: int) -> int:
    if kernel_size % 2 == 0:
        raise ValueError(f"a kernel of even size {kernel_size} has no centre")
    return kernel_size


def mask_a(kernel_size: int) -> Tensor:
    """1 strictly before the centre in raster order."""
    n = odd(kernel_size) ** 2
    return (torch.arange(n) < n // 2).float().reshape(kernel_size, kernel_size)


def mask_b(kernel_size: int) -> Tensor:
    """1 before the centre in raster order, and at it."""
    n = odd(kernel_size) ** 2
    return (torch.arange(n) <= n // 2).float().reshape(kernel_size, kernel_size)


def drawn(kernel_size: int, *blocks: tuple[slice, slice]) -> Tensor:
    """A mask with ones in the given blocks."""
    mask = torch.zeros(odd(kernel_size), kernel_size)
    for rows, columns in blocks:
        mask[rows, columns] = 1
    return mask


def triangles() -> list:
    """Upper and lower triangles, with the diagonal and without."""
    return [
        lambda k, cut=cut, first=first: cut(torch.ones(odd(k), k), diagonal=first)
        for cut, first in ((torch.tril, 0), (torch.tril, -1), (torch.triu, 0), (torch.triu, 1))
    ]


def row_off(shift: int, centre: int):
    """The raster mask of a centre that lies `shift` rows away."""
    return lambda k: drawn(
        k,
        (slice(0, max(k // 2 + shift, 0)), slice(None)),
        (slice(max(k // 2 + shift, 0), max(k // 2 + shift + 1, 0)), slice(0, k // 2 + centre)),
    )


def mask_cases(generator: torch.Generator) -> Iterator[Case]:
    for kernel_size in (3, 1, 5, 7):
        yield case(kernel_size)
    yield case(9 + 2 * int(torch.randint(4, (), generator=generator)))
    yield case(4, about="an even kernel has no centre")
    yield case(2, about="an even kernel has no centre")


def mask_mistakes(right, other, centre: int) -> tuple[Mistake, ...]:
    """The mistakes both masks know; `centre` is 1 where the centre is visible."""
    c = slice(None)
    return (
        Mistake("centre_hidden" if centre else "centre_visible", OTHER[centre], other),
        Mistake(
            "transposed",
            "rows and columns are exchanged: whole columns to the left are visible, and the row only above. "
            "Raster order "
            "runs along a row first; the first index of a tensor picks the row.",
            lambda k: right(k).T,
        ),
        Mistake(
            "future_visible",
            "the mask is turned round: it shows the pixels after the centre, so the model would read what it is "
            "to predict.",
            lambda k: right(k).flip(0, 1),
        ),
        Mistake(
            "inverted",
            "zeros and ones are exchanged: what may be seen is hidden, and what may not be seen is visible.",
            lambda k: 1 - right(k),
        ),
        Mistake(
            "centre_row_hidden",
            "the pixels to the left of the centre, in its own row, are hidden. They come earlier in raster order, and "
            "they are the best predictors there are: the nearest ones.",
            lambda k: drawn(k, (slice(0, k // 2), c), (slice(k // 2, k // 2 + centre), slice(k // 2, k // 2 + 1))),
        ),
        Mistake(
            "centre_row_hidden",
            "the whole row of the centre is hidden. Part of it comes earlier in raster order: look at each entry "
            "of that "
            "row and ask whether its pixel is known yet.",
            lambda k: drawn(k, (slice(0, k // 2), c)),
        ),
        Mistake(
            "centre_row_visible",
            "the whole row of the centre is visible, so the pixels to the right are too. They come later.",
            lambda k: drawn(k, (slice(0, k // 2 + 1), c)),
        ),
        Mistake(
            "row_too_high",
            "the mask is off by a row: it stops one row above where it should. Check what k // 2 is, and which rows a "
            "slice that ends there takes in.",
            row_off(-1, centre),
        ),
        Mistake(
            "row_too_low",
            "the mask is off by a row: the row below the centre has come in. Check what k // 2 is, and which rows a "
            "slice that ends there takes in.",
            row_off(1, centre),
        ),
        Mistake(
            "one_too_far_right",
            "the pixel to the right of the centre is visible. A slice a[:n] ends before n.",
            lambda k: drawn(k, (slice(0, k // 2), c), (slice(k // 2, k // 2 + 1), slice(0, k // 2 + 2))),
        ),
        Mistake(
            "rows_above_hidden",
            "only the row of the centre is there. The rows above it come earlier in raster order as well, all of them.",
            lambda k: drawn(k, (slice(k // 2, k // 2 + 1), slice(0, k // 2 + centre))),
        ),
        Mistake(
            "upper_right_hidden",
            "above the centre, only the left part is visible. A row above is over before the centre's row begins: its "
            "right end is in the past too.",
            lambda k: (
                drawn(k, (slice(0, k // 2), slice(0, k // 2 + 1)), (slice(k // 2, None), slice(0, 0)))
                + drawn(k, (slice(k // 2, k // 2 + 1), slice(0, k // 2 + centre)))
            ),
        ),
        Mistake(
            "upper_right_hidden",
            "the mask is a rectangle in the upper left. A row above is over before the centre's row begins: its right "
            "end is in the past too.",
            lambda k: drawn(k, (slice(0, k // 2 + 1), slice(0, k // 2 + centre))),
        ),
        *(
            Mistake(
                "triangle",
                "this is a triangle. The past in raster order is not one: it is whole rows, then a part of one row.",
                wrong,
            )
            for wrong in triangles()
        ),
        Mistake(
            "all_visible",
            "every entry is 1: nothing is hidden, neither the future nor what lies beyond the centre.",
            lambda k: torch.ones(odd(k), k),
        ),
        Mistake(
            "centre_off",
            "the centre is taken one row and one column too far. Counted from 0, the middle of 3 entries is 1 and the "
            "middle of 5 is 2: which of k // 2 and (k + 1) // 2 gives that?",
            lambda k: drawn(
                k,
                (slice(0, (k + 1) // 2), c),
                (slice((k + 1) // 2, (k + 1) // 2 + 1), slice(0, (k + 1) // 2 + centre)),
            ),
        ),
        Mistake(
            "boolean",
            "the pattern is right, its dtype is not: a mask that multiplies weights is float32, not True and False.",
            lambda k: right(k).bool(),
        ),
        Mistake(
            "integer",
            "the pattern is right, its dtype is not: a mask that multiplies weights is float32, not whole numbers.",
            lambda k: right(k).long(),
        ),
        Mistake(
            "extra_axes",
            "the pattern is right, with axes of length one before it. The contract asks for [k, k].",
            lambda k: right(k)[None, None],
        ),
        Mistake(
            "even_accepted",
            "an even kernel has no centre, and the contract asks for a ValueError there: `raise ValueError(...)` "
            "before "
            "anything is built.",
            lambda k: right(k if k % 2 else k + 1),
        ),
    )


ADDED_EVERYWHERE = Mistake(
    "added_everywhere",
    "1 is added to every entry of mask A. Only the entry at the centre is to change.",
    lambda k: mask_a(k) + 1,
)
OTHER = (
    "the centre is visible, which is mask B. In the first layer the centre is the very pixel to be predicted: a model "
    "that sees it copies it.",
    "the centre is hidden, which is mask A. After the first layer the centre holds features of the past alone, and a "
    "layer that hides them loses what the layer before found.",
)


# Masked convolution


def visible(out_channels: int, in_channels: int, kernel_size: int, kind: str, colours: int) -> Tensor:
    """The mask [out, in, k, k]: spatial past everywhere, and at the centre the earlier colours."""
    mask = mask_a(kernel_size).expand(out_channels, in_channels, -1, -1).clone()
    of_out = torch.arange(out_channels) * colours // out_channels
    of_in = torch.arange(in_channels) * colours // in_channels
    centre = of_in[None] < of_out[:, None] if kind == "A" else of_in[None] <= of_out[:, None]
    mask[:, :, kernel_size // 2, kernel_size // 2] = centre.float()
    return mask


def masked_conv2d(x: Tensor, weight: Tensor, bias: Tensor, kind: str, colours: int) -> Tensor:
    """conv2d(x, weight * mask) + bias, of the same height and width as x."""
    mask = visible(*weight.shape[:3], kind, colours).to(weight.dtype)
    return F.conv2d(x, weight * mask, bias, padding=weight.shape[-1] // 2)


def convolved(mask):
    """masked_conv2d with another mask: mask(out, in, k, kind, colours)."""

    def answer(x: Tensor, weight: Tensor, bias: Tensor, kind: str, colours: int) -> Tensor:
        masked = weight * mask(*weight.shape[:3], kind, colours).to(weight.dtype)
        return F.conv2d(x, masked, bias, padding=weight.shape[-1] // 2)

    return answer


def plain(kind_of_centre):
    """A mask alike for all channels; kind_of_centre(kind) says whether the centre is seen."""

    def mask(out: int, into: int, k: int, kind: str, colours: int) -> Tensor:
        return (mask_b(k) if kind_of_centre(kind) else mask_a(k)).expand(out, into, -1, -1)

    return mask


def at_centre(rule):
    """A mask whose centre is rule(colour of out, colour of in, kind), with channels grouped by `group`."""

    def mask(out: int, into: int, k: int, kind: str, colours: int) -> Tensor:
        full = mask_a(k).expand(out, into, -1, -1).clone()
        full[:, :, k // 2, k // 2] = rule(out, into, kind, colours).float()
        return full

    return mask


def groups(n: int, colours: int) -> Tensor:
    return torch.arange(n) * colours // n


def ordered(of_out: Tensor, of_in: Tensor, kind: str) -> Tensor:
    return of_in[None] < of_out[:, None] if kind == "A" else of_in[None] <= of_out[:, None]


def exchanged(out: int, into: int, kind: str, colours: int) -> Tensor:
    """The rule laid out as [in, out]; torch complains where it does not fit."""
    return ordered(groups(out, colours), groups(into, colours), kind).T.expand(out, into)


def in_by_out(out: int, into: int, kind: str, colours: int) -> Tensor:
    return ordered(groups(out, colours), torch.arange(into) * colours // out, kind)


def out_by_in(out: int, into: int, kind: str, colours: int) -> Tensor:
    return ordered(torch.arange(out) * colours // into, groups(into, colours), kind)


OTHER_SIDE = (
    "the colours of one side are computed from the number of maps on the other. In j * colours // n, n counts the maps "
    "of the side that j counts: outputs for outputs, inputs for inputs."
)


def colours_everywhere(out: int, into: int, k: int, kind: str, colours: int) -> Tensor:
    """The rule of the centre applied to the whole past."""
    centre = ordered(groups(out, colours), groups(into, colours), kind).float()[:, :, None, None]
    return mask_a(k) * centre + (mask_b(k) - mask_a(k)) * centre


def in_place(x: Tensor, weight: Tensor, bias: Tensor, kind: str, colours: int) -> Tensor:
    weight *= visible(*weight.shape[:3], kind, colours).to(weight.dtype)
    return F.conv2d(x, weight, bias, padding=weight.shape[-1] // 2)


def unpadded(x: Tensor, weight: Tensor, bias: Tensor, kind: str, colours: int) -> Tensor:
    return F.conv2d(x, weight * visible(*weight.shape[:3], kind, colours).to(weight.dtype), bias)


def padded_by_one(x: Tensor, weight: Tensor, bias: Tensor, kind: str, colours: int) -> Tensor:
    return F.conv2d(x, weight * visible(*weight.shape[:3], kind, colours).to(weight.dtype), bias, padding=1)


def without_bias(x: Tensor, weight: Tensor, bias: Tensor, kind: str, colours: int) -> Tensor:
    return masked_conv2d(x, weight, torch.zeros_like(bias), kind, colours)


def flipped(x: Tensor, weight: Tensor, bias: Tensor, kind: str, colours: int) -> Tensor:
    return F.conv2d(
        x,
        (weight * visible(*weight.shape[:3], kind, colours).to(weight.dtype)).flip(2, 3),
        bias,
        padding=weight.shape[-1] // 2,
    )


def conv_case(
    generator: torch.Generator, kind: str, colours: int, sizes: tuple[int, int, int], image: tuple[int, ...], **words
):
    """Random numbers from the generator: sizes are (out, in, k), image is (batch, height, width)."""
    out, into, k = sizes
    batch, height, width = image

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    return case(normal(batch, into, height, width), normal(out, into, k, k), normal(out), kind, colours, **words)


def conv_cases(generator: torch.Generator) -> Iterator[Case]:
    x = torch.arange(1, 10, dtype=torch.float64).reshape(1, 1, 3, 3)
    for kind in "AB":
        yield case(x, torch.ones(1, 1, 3, 3).double(), torch.zeros(1).double(), kind, 1, about="grey: one colour")
    pixel = torch.tensor([1.0, 10.0, 100.0], dtype=torch.float64).reshape(1, 3, 1, 1)
    for kind in "AB":
        ones = torch.ones(3, 3, 1, 1).double()
        yield case(pixel, ones, torch.zeros(3).double(), kind, 3, about="one pixel: red 1, green 10, blue 100")
    for kind in "AB":
        yield conv_case(generator, kind, 1, (2, 2, 3), (1, 3, 4), about="grey, two maps in and two out")
        yield conv_case(
            generator, kind, 3, (6, 3, 3), (2, 4, 3), about="maps 0, 1 out belong to red, 2, 3 to green, ..."
        )
        yield conv_case(
            generator, kind, 3, (6, 9, 5), (2, 5, 6), about="maps 0, 1, 2 in belong to red, 3, 4, 5 to green"
        )


CONV_MISTAKES = (
    Mistake(
        "weight_changed",
        "the answer is right, and the weight that was passed in has been multiplied by the mask in place. "
        "The optimiser "
        "owns those numbers; make a masked copy instead of writing into them.",
        in_place,
    ),
    Mistake("no_mask", "no weight is hidden: this is an ordinary convolution.", convolved(lambda *a: torch.ones(()))),
    Mistake(
        "kinds_swapped",
        "A and B are exchanged. Which of the two may see the pixel's own colour?",
        convolved(lambda o, i, k, kind, c: visible(o, i, k, "B" if kind == "A" else "A", c)),
    ),
    Mistake(
        "always_a",
        "kind B is treated like kind A: at the centre it sees earlier colours only.",
        convolved(lambda o, i, k, kind, c: visible(o, i, k, "A", c)),
    ),
    Mistake(
        "always_b",
        "kind A is treated like kind B: at the centre it sees its own colour, which is what it is to predict.",
        convolved(lambda o, i, k, kind, c: visible(o, i, k, "B", c)),
    ),
    Mistake(
        "a_closed",
        "B is right. In kind A the centre is hidden for all colours; but green may see the red of its own pixel, and "
        "blue may see both.",
        convolved(at_centre(lambda o, i, kind, c: ordered(groups(o, c), groups(i, c), kind) & (kind == "B"))),
    ),
    Mistake(
        "b_open",
        "A is right. In kind B the centre is wholly open: red sees green and blue. B lets a colour see itself and the "
        "earlier ones, not the later ones.",
        convolved(at_centre(lambda o, i, kind, c: ordered(groups(o, c), groups(i, c), kind) | (kind == "B"))),
    ),
    Mistake(
        "colours_ignored",
        "the centre is treated alike for all colours: hidden for A and visible for B. With three colours, "
        "green may see "
        "the red of its own pixel even in A, and red may not see the green even in B.",
        convolved(plain(lambda kind: kind == "B")),
    ),
    Mistake(
        "colours_everywhere",
        "the order of the colours is applied to the whole past. It matters at the centre alone: of an earlier pixel, "
        "every colour is known.",
        convolved(colours_everywhere),
    ),
    Mistake(
        "colours_reversed",
        "the order of the colours runs the wrong way, or out and in are exchanged in the mask: blue sees "
        "nothing and red "
        "sees the others. The first axis of the weight is out, the second is in.",
        convolved(at_centre(lambda o, i, kind, c: ordered(-groups(o, c), -groups(i, c), kind))),
    ),
    Mistake(
        "axes_exchanged",
        "out and in are exchanged in the mask of the centre: it is laid out as [in, out]. The first axis of the weight "
        "is out, the second is in; where there are as many of each, nothing complains.",
        convolved(at_centre(exchanged)),
    ),
    Mistake(
        "colours_fixed",
        "the number of colours is taken to be 3 throughout. It is an argument: grey pictures have one colour, and all "
        "their maps belong to it.",
        convolved(at_centre(lambda o, i, kind, c: ordered(groups(o, 3), groups(i, 3), kind))),
    ),
    Mistake("groups_of_other_side", OTHER_SIDE, convolved(at_centre(in_by_out))),
    Mistake("groups_of_other_side", OTHER_SIDE, convolved(at_centre(out_by_in))),
    Mistake(
        "colours_interleaved",
        "the colours take turns: maps 0, 3, 6 belong to red. The contract has them in contiguous groups: of six maps, "
        "0 and 1 belong to red.",
        convolved(at_centre(lambda o, i, kind, c: ordered(torch.arange(o) % c, torch.arange(i) % c, kind))),
    ),
    Mistake(
        "channels_for_colours",
        "the numbers of the maps are compared instead of their colours. Two maps of one colour have different numbers.",
        convolved(at_centre(lambda o, i, kind, c: ordered(torch.arange(o), torch.arange(i), kind))),
    ),
    Mistake(
        "past_hidden",
        "the row of the centre is hidden, apart from the centre: the pixels to the left are missing.",
        convolved(lambda o, i, k, kind, c: visible(o, i, k, kind, c) * (1 - left(k))),
    ),
    Mistake(
        "future_visible",
        "the mask lets the whole row of the centre through, so the pixels to the right are seen.",
        convolved(lambda o, i, k, kind, c: (visible(o, i, k, kind, c) + left(k).flip(1)).clamp(max=1)),
    ),
    Mistake(
        "unpadded",
        "the picture has shrunk: without padding a kernel of size k loses k - 1 rows and columns. How many "
        "zeros on each "
        "side keep the size?",
        unpadded,
    ),
    Mistake(
        "padded_by_one",
        "one row of padding fits a kernel of size 3 and no other. Express the padding in terms of k.",
        padded_by_one,
    ),
    Mistake("bias_forgotten", "the bias is not added.", without_bias),
    Mistake(
        "kernel_flipped",
        "the masked kernel is turned round, as a convolution in mathematics is. In torch, conv2d does not turn it; the "
        "masks are drawn for that.",
        flipped,
    ),
)


def left(kernel_size: int) -> Tensor:
    """1 at the entries to the left of the centre in its own row."""
    c = kernel_size // 2
    return drawn(kernel_size, (slice(c, c + 1), slice(0, c)))


# Likelihood


def log_likelihood(logits: Tensor, x: Tensor) -> Tensor:
    """sum_i x_i log sigmoid(l_i) + (1 - x_i) log sigmoid(-l_i)."""
    return (x * F.logsigmoid(logits) + (1 - x) * F.logsigmoid(-logits)).sum(dim=(1, 2, 3))


def likelihood_cases(generator: torch.Generator) -> Iterator[Case]:
    logits = torch.tensor([0.0, 2.0, -1.0]).reshape(1, 1, 1, 3)
    yield case(logits, torch.tensor([1.0, 1.0, 0.0]).reshape(1, 1, 1, 3), about="one image of three pixels")
    for shape in ((2, 1, 2, 2), (3, 3, 2, 4), (4, 1, 5, 5)):
        logits = 2 * torch.randn(shape, generator=generator, dtype=torch.float64)
        yield case(logits, torch.randint(2, shape, generator=generator).double())
    extreme = torch.tensor([3000.0, -3000.0, 3000.0, -3000.0]).reshape(2, 1, 1, 2)
    yield case(
        extreme, torch.tensor([1.0, 0.0, 0.0, 1.0]).reshape(2, 1, 1, 2), about="very sure: once right, once wrong"
    )


def compare_likelihoods(case: Case, output: Any, expected: Any) -> str | None:
    """As any tensor, in whatever float dtype."""
    if isinstance(output, Tensor) and output.is_floating_point():
        output = output.to(expected.dtype)
    return compare(case, output, expected)


def from_probabilities(smallest: float, log=torch.log):
    """The likelihood by way of sigmoid and log, with probabilities kept away from 0 and 1."""

    def answer(logits: Tensor, x: Tensor) -> Tensor:
        p = torch.sigmoid(logits).clamp(smallest, 1 - smallest)
        return (x * log(p) + (1 - x) * log(1 - p)).sum(dim=(1, 2, 3))

    return answer


def added_inside(smallest: float):
    def answer(logits: Tensor, x: Tensor) -> Tensor:
        p = torch.sigmoid(logits)
        return (x * torch.log(p + smallest) + (1 - x) * torch.log(1 - p + smallest)).sum(dim=(1, 2, 3))

    return answer


def chosen(logits: Tensor, x: Tensor) -> Tensor:
    p = torch.sigmoid(logits)
    return torch.log(torch.where(x > 0.5, p, 1 - p)).sum(dim=(1, 2, 3))


CLAMPED = (
    "the probabilities are kept away from 0 and 1 by hand, so a model that is very sure and wrong is forgiven: its "
    "thousands of nats are cut to a few dozen. Stay in log space, where nothing has to be cut: look for a logsigmoid."
)
ADDED = (
    "a small number is added to the probabilities before the log (or they are kept from falling below it). It shifts "
    "every value a little, and a model that is very sure and wrong is forgiven: its thousands of nats are cut to a few "
    "dozen. Stay in log space, where nothing has to be added: look for a logsigmoid."
)
UNDERFLOW = (
    "sigmoid gives exactly 0 or 1 for a large logit, and log 0 is minus infinity (times zero: NaN). Compute the "
    "logarithm of the sigmoid in one step, without the probability in between."
)
LIKELIHOOD_MISTAKES = (
    Mistake(
        "mean_over_pixels",
        "a mean over the pixels where a sum belongs. The chain rule multiplies the pixels' probabilities, so their "
        "logarithms add up; a mean silently rescales every number that is compared with this one.",
        lambda logits, x: log_likelihood(logits, x) / logits[0].numel(),
    ),
    Mistake(
        "sum_over_batch",
        "the images of the batch are added up too. Each image has a likelihood of its own: the batch axis stays.",
        lambda logits, x: log_likelihood(logits, x).sum(),
    ),
    Mistake(
        "mean_over_all",
        "one number for the whole batch, and a mean at that: log p(x) is a sum over the pixels of each image.",
        lambda logits, x: -F.binary_cross_entropy_with_logits(logits, x),
    ),
    Mistake(
        "mean_loss",
        "this is the loss as torch gives it: one positive number, the mean over all pixels of the batch. Asked for is "
        "log p(x), the sum over the pixels of each image, with the other sign.",
        F.binary_cross_entropy_with_logits,
    ),
    Mistake(
        "mean_loss",
        "a mean over the pixels, with the sign of a loss. Asked for is log p(x): a sum, and never positive.",
        lambda logits, x: -log_likelihood(logits, x) / logits[0].numel(),
    ),
    Mistake(
        "axes_kept",
        "the sum has left its axes behind, with length one. One number for each image is asked for: [batch].",
        lambda logits, x: log_likelihood(logits, x)[:, None, None, None],
    ),
    Mistake(
        "one_minus_log",
        "the 1 - is outside the logarithm: log(1 - p) is asked for where a pixel is 0, not 1 - log p.",
        lambda logits, x: (x * F.logsigmoid(logits) + (1 - x) * (1 - F.logsigmoid(logits))).sum(dim=(1, 2, 3)),
    ),
    Mistake(
        "channels_left",
        "the channels are not summed over: the sum runs over the last two axes only.",
        lambda logits, x: (x * logits - F.softplus(logits)).sum(dim=(2, 3)),
    ),
    Mistake(
        "first_channel",
        "only the first channel is counted.",
        lambda logits, x: (x * logits - F.softplus(logits))[:, 0].sum(dim=(1, 2)),
    ),
    Mistake(
        "pixels_left",
        "nothing is summed: this is the log-likelihood of each pixel.",
        lambda logits, x: x * logits - F.softplus(logits),
    ),
    Mistake(
        "sign_flipped",
        "the sign: this is the loss, -log p(x). A log-probability of a binary image is never positive.",
        lambda logits, x: -log_likelihood(logits, x),
    ),
    Mistake(
        "bits",
        "these are bits. The contract asks for nats: natural logarithms.",
        lambda logits, x: log_likelihood(logits, x) / torch.log(torch.tensor(2.0)),
    ),
    Mistake(
        "sigmoid_twice",
        "the sigmoid is taken twice: the function that was fed probabilities expects logits and applies a "
        "sigmoid itself.",
        lambda logits, x: log_likelihood(torch.sigmoid(logits), x),
    ),
    Mistake(
        "ones_only",
        "only the pixels that are 1 are counted. A pixel that is 0 was predicted too, with probability 1 - p.",
        lambda logits, x: (x * F.logsigmoid(logits)).sum(dim=(1, 2, 3)),
    ),
    Mistake(
        "zeros_and_ones_swapped",
        "the probabilities of 0 and 1 are exchanged: sigmoid(logit) is read as the probability of 0 instead of 1.",
        lambda logits, x: log_likelihood(-logits, x),
    ),
    Mistake(
        "probability",
        "this is p(x), not its logarithm. For 784 pixels it would underflow.",
        lambda logits, x: log_likelihood(logits, x).exp(),
    ),
    Mistake(
        "no_logarithm",
        "probabilities are added up. The chain rule multiplies them: their logarithms are what adds up.",
        lambda logits, x: torch.where(x > 0.5, torch.sigmoid(logits), torch.sigmoid(-logits)).sum(dim=(1, 2, 3)),
    ),
    Mistake(
        "softmax",
        "a softmax over the pixels makes them compete for one unit of probability. Here each pixel is a coin "
        "of its own.",
        lambda logits, x: (x.flatten(1) * F.log_softmax(logits.flatten(1), dim=1)).sum(dim=1),
    ),
    Mistake("underflow", UNDERFLOW, from_probabilities(0.0)),
    Mistake("underflow", UNDERFLOW, chosen),
    *(Mistake("clamped", CLAMPED, from_probabilities(10.0**-k)) for k in range(4, 8)),
    *(Mistake("added_before_log", ADDED, added_inside(10.0**-k)) for k in range(4, 21)),
    Mistake(
        "library_clamps",
        "binary_cross_entropy clamps: torch cuts its logarithms at -100, so a pixel that should cost 3000 nats costs "
        "100. It has a relative that takes logits instead of probabilities, and cuts nothing.",
        lambda logits, x: -F.binary_cross_entropy(torch.sigmoid(logits), x, reduction="none").sum(dim=(1, 2, 3)),
    ),
    Mistake(
        "library_clamps",
        "torch's Bernoulli(probs) clamps: it keeps probabilities away from 0 and 1, so a pixel that should cost 3000 "
        "nats costs a few dozen. It takes logits too, by name, and then cuts nothing.",
        lambda logits, x: torch.distributions.Bernoulli(torch.sigmoid(logits)).log_prob(x).sum(dim=(1, 2, 3)),
    ),
    Mistake(
        "overflow",
        "exp of a large logit is infinite, and log(1 + exp(l)) with it. Look for a softplus or a logsigmoid.",
        lambda logits, x: (x * logits - torch.log(1 + torch.exp(logits))).sum(dim=(1, 2, 3)),
    ),
)


# Sampling


def pixels(shape: tuple[int, ...]) -> list[tuple[int, int]]:
    return [(i, j) for i in range(shape[2]) for j in range(shape[3])]


def bernoulli(logits: Tensor, generator: torch.Generator) -> Tensor:
    return torch.bernoulli(torch.sigmoid(logits), generator=generator)


def filled(order=pixels, draw=bernoulli):
    """The raster loop, with another order or another way to draw."""

    def answer(model, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        x = torch.zeros(shape)
        for i, j in order(shape):
            x[:, :, i, j] = draw(model(x)[:, :, i, j], generator)
        return x

    return answer


sample_reference = filled()


def sample(model, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    """x_i ~ Bernoulli(sigmoid(model(x)_i)), pixel after pixel in raster order."""
    return sample_reference(model, shape, generator)


def parity_model(shape: tuple[int, ...], generator: torch.Generator, fair: int = 0) -> Model:
    """A model that decides each pixel by the earlier ones; the first `fair` pixels are fair coins.

    Every pixel leans on the one before it and on the one above it, so that no wrong order goes unseen.
    """
    n, width = shape[2] * shape[3], shape[3]
    weights = torch.randint(2, (n, n), generator=generator).tril(-1)
    weights[range(1, n), range(n - 1)] = 1
    weights[range(width, n), range(n - width)] = 1
    offset = torch.randint(2, (n,), generator=generator)
    offset[0] = 1
    scale = torch.full((n,), 40.0)
    scale[:fair] = 0
    return Model("parity", {"weights": weights, "offset": offset, "scale": scale})


def sample_cases(generator: torch.Generator) -> Iterator[Case]:
    def seed() -> Generator:
        return Generator(int(torch.randint(2**31, (), generator=generator)))

    decided = "a model whose logits are 40 or -40: every pixel is decided by the earlier ones"
    for shape in ((1, 1, 2, 2), (2, 1, 3, 4), (2, 1, 5, 3)):
        yield case(parity_model(shape, generator), shape, seed(), kind="decided", about=decided)
    logits = torch.tensor([[[0.0, 2.0], [-2.0, 0.5]]])
    coins = "independent pixels with logits 0, 2, -2, 0.5"
    yield case(Model("constant", {"logits": logits}), (1000, 1, 2, 2), seed(), kind="frequencies", about=coins)
    shape = (500, 1, 3, 3)
    mixed = "three fair coins, and six pixels decided by them"
    yield case(parity_model(shape, generator, fair=3), shape, seed(), kind="frequencies", about=mixed)
    first, other = seed(), seed()
    coin = Model("constant", {"logits": torch.zeros(1, 4, 5)})
    calls = tuple((coin, (3, 1, 4, 5), which) for which in (first, first, other))
    yield Case(calls, kind="seeds", about="the same seed twice, then another one")


def compare_samples(case: Case, output: Any, expected: Any) -> str | None:
    """Samples are judged by what the generator cannot change: decided pixels, frequencies, and which runs agree."""
    if case.kind == "decided":
        return binary(output, expected) or compare(case, output, expected)
    if case.kind == "frequencies":
        return binary(output, expected) or frequencies(output, expected)
    said = [binary(got, want) for got, want in zip(output, expected, strict=True)]
    return next(filter(None, said), None) or repeats(output, expected)


def binary(output: Any, expected: Tensor) -> str | None:
    """What is wrong with the shape, dtype or values of samples that should be 0 and 1."""
    shaped = compare(
        Case(()), output.new_zeros(output.shape) if isinstance(output, Tensor) else output, torch.zeros_like(expected)
    )
    if shaped or not bool(((expected == 0) | (expected == 1)).all()):
        return shaped
    return None if bool(((output == 0) | (output == 1)).all()) else "a sample holds values other than 0 and 1"


def frequencies(output: Tensor, expected: Tensor) -> str | None:
    """Means of pixels and of products of two pixels, within six standard errors of the difference of two samples.

    The batches are small, so that a loop over the images is in time too; so each mean has a standard error of its own.
    """
    got, want = (t.flatten(1).double() for t in (output, expected))
    got, want = got.T @ got / len(got), want.T @ want / len(want)
    both = (got + want) / 2
    excess = (got - want).abs() - 6 * (2 * (both * (1 - both)).clamp(min=0.01) / len(output)) ** 0.5
    alone = excess.diagonal()
    if alone.max() > 0:
        i = int(alone.argmax())
        place = [i // output.shape[3], i % output.shape[3]]
        return f"pixel {place} is 1 in {got[i, i]:.0%} of the samples, and should be in {want[i, i]:.0%}"
    if excess.max() > 0:
        i, j = divmod(int(excess.argmax()), len(excess))
        a, b = ([k // output.shape[3], k % output.shape[3]] for k in (i, j))
        return f"pixels {a} and {b} each have the right frequency, and do not go together as the model says"
    return None


def repeats(output: list[Tensor], expected: list[Tensor]) -> str | None:
    same, other = (torch.equal(output[0], output[i]) for i in (1, 2))
    wanted = tuple(torch.equal(expected[0], expected[i]) for i in (1, 2))
    if (same, other) == wanted:
        return None
    return "two runs with the same seed differ" if not same else "two runs with different seeds agree"


def one_pass(model, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return bernoulli(model(torch.zeros(shape)), generator)


def not_fed_back(model, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    x, drawn = torch.zeros(shape), torch.zeros(shape)
    for i, j in pixels(shape):
        drawn[:, :, i, j] = bernoulli(model(x)[:, :, i, j], generator)
    return drawn


def row_by_row(model, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    x = torch.zeros(shape)
    for i in range(shape[2]):
        x[:, :, i] = bernoulli(model(x)[:, :, i], generator)
    return x


def one_draw_for_all(model, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    u = torch.rand(shape[:2], generator=generator)
    return filled(draw=lambda logits, _: (u < torch.sigmoid(logits)).float())(model, shape, generator)


def reseeded(model, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return filled()(model, shape, torch.Generator().manual_seed(0))


def probabilities(model, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    return filled(draw=lambda logits, _: torch.sigmoid(logits))(model, shape, generator)


def wrong_orders() -> list:
    """Rows from the bottom up, and by columns from another corner than the first.

    Left out are rows from the right end, the same as a row at once, and raster order backwards, the same as one pass.
    """

    def order(down: int, across: int, by_columns: bool):
        def places(shape: tuple[int, ...]) -> list[tuple[int, int]]:
            rows, columns = range(shape[2])[::down], range(shape[3])[::across]
            return [(i, j) for j in columns for i in rows] if by_columns else [(i, j) for i in rows for j in columns]

        return places

    return [order(-1, 1, False), order(1, -1, True), order(-1, 1, True), order(-1, -1, True)]


def first_image_only(model, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    x = torch.zeros(shape)
    for i, j in pixels(shape):
        x[0, 0, i, j] = bernoulli(model(x)[0, 0, i, j], generator)
    return x


def converted(dtype: torch.dtype):
    return lambda model, shape, generator: filled()(model, shape, generator).to(dtype)


NO_SIGMOID = (
    "the logits are used as if they were probabilities. A logit is any real number; the sigmoid makes a probability "
    "of it."
)
ONE_PASS = (
    "the pixels do not see the pixels drawn before them. Each pixel needs its own look at the picture as "
    "it stands, with "
    "everything drawn so far written into it. That needs three things: the model inside the loop; each drawn pixel put "
    "into the very tensor that the model is shown next; and a loop that starts at the first pixel, since one that runs "
    "backwards asks for every pixel before its past is there."
)
READING_ORDER = (
    "the pixels are not visited in reading order: some come before the pixels they depend on. Raster order starts at "
    "the top left, runs along the row to the right, and goes down to the next row: which loop is the outer one, and "
    "where does each of them start?"
)
WHOLE = (
    "the picture is right, its dtype is not: the contract asks for float32. A network multiplies "
    "pixels by weights, and weights are floats."
)
SAMPLE_MISTAKES = (
    Mistake("one_pass", ONE_PASS, one_pass),
    Mistake("one_pass", ONE_PASS, not_fed_back),
    Mistake(
        "row_by_row",
        "a whole row is drawn at once, or from its right end. Each pixel depends on those to its left too.",
        row_by_row,
    ),
    Mistake(
        "column_order",
        "the pixels are visited column after column. The model was built for raster order: along a row, then "
        "the next row.",
        filled(order=lambda shape: [(i, j) for j in range(shape[3]) for i in range(shape[2])]),
    ),
    *(Mistake("reading_order", READING_ORDER, filled(order=order)) for order in wrong_orders()),
    Mistake(
        "return_in_loop",
        "the function ends after the first pixel: its last line stands inside the inner loop, two steps too far right.",
        filled(order=lambda shape: pixels(shape)[:1]),
    ),
    Mistake(
        "return_in_loop",
        "the function ends after the first row: its last line stands inside the outer loop, a step too far right.",
        filled(order=lambda shape: pixels(shape)[: shape[3]]),
    ),
    Mistake(
        "first_image_only",
        "only the first image of the batch is drawn, the others stay empty. A colon in place of the first index takes "
        "in the whole batch.",
        first_image_only,
    ),
    *(Mistake("dtype", WHOLE, converted(dtype)) for dtype in (torch.int64, torch.int32, torch.uint8, torch.bool)),
    Mistake(
        "sides_swapped",
        "height and width are exchanged: the loops go over the wrong axes of a picture that is not square.",
        filled(order=lambda shape: [(i, j) for i in range(shape[3]) for j in range(shape[2])]),
    ),
    Mistake(
        "last_skipped",
        "the last row and the last column are never drawn: range(n) already stops before n.",
        filled(order=lambda shape: [(i, j) for i, j in pixels(shape) if i < shape[2] - 1 and j < shape[3] - 1]),
    ),
    Mistake(
        "first_skipped",
        "the loops begin at 1: the first row and the first column are never drawn.",
        filled(order=lambda shape: [(i, j) for i, j in pixels(shape) if i and j]),
    ),
    Mistake(
        "first_skipped",
        "the first pixel is never drawn. It has no past, and it has a probability all the same.",
        filled(order=lambda shape: pixels(shape)[1:]),
    ),
    Mistake(
        "thresholded",
        "the likelier value is taken each time, nothing is drawn. That gives the same picture again and "
        "again: the mode of "
        "each step, not a sample.",
        filled(draw=lambda logits, g: (logits > 0).float()),
    ),
    Mistake(
        "thresholded",
        "the probability is rounded, nothing is drawn. That gives the same picture again and again.",
        filled(draw=lambda logits, g: (logits >= 0).float()),
    ),
    Mistake(
        "sigmoid_twice",
        "the sigmoid is taken twice: even the surest pixel then comes out wrong one time in four.",
        filled(draw=lambda logits, g: bernoulli(torch.sigmoid(logits), g)),
    ),
    Mistake("no_sigmoid", NO_SIGMOID, filled(draw=lambda logits, g: torch.bernoulli(logits, generator=g))),
    Mistake(
        "no_sigmoid",
        NO_SIGMOID,
        filled(draw=lambda logits, g: (torch.rand(logits.shape, generator=g) < logits).float()),
    ),
    Mistake(
        "flipped",
        "zeros and ones are exchanged: a uniform number is below p with probability p, and above it with "
        "probability 1 - p.",
        filled(draw=lambda logits, g: bernoulli(-logits, g)),
    ),
    Mistake(
        "probabilities",
        "the picture holds probabilities. A sample is drawn from them: each pixel is 0 or 1.",
        probabilities,
    ),
    Mistake(
        "global_generator",
        "the generator that was passed in is not used. Random functions of torch take it as `generator=`; "
        "without it they "
        "draw from a global stream that everything else draws from too.",
        filled(draw=lambda logits, _: torch.bernoulli(torch.sigmoid(logits))),
    ),
    Mistake(
        "reseeded",
        "every seed gives the same picture: a seed is set inside the function. It was chosen by whoever made "
        "the generator.",
        reseeded,
    ),
    Mistake(
        "one_draw_for_all",
        "one uniform number serves every pixel, so the pixels move together. Draw a new one for each pixel.",
        one_draw_for_all,
    ),
    Mistake(
        "one_draw_per_pixel",
        "one uniform number serves the whole batch, so all its images move together. Draw one for each image.",
        filled(draw=lambda logits, g: (torch.rand((), generator=g) < torch.sigmoid(logits)).float()),
    ),
)


TASKS = (
    Task(
        id="02.mask_a",
        title="Mask A: strictly the past",
        points=1,
        difficulty=1,
        minutes=5,
        cases=mask_cases,
        reference=mask_a,
        mistakes=mask_mistakes(mask_a, mask_b, centre=0),
        hints=(
            "Read the k x k window like a page. Which entries have you read before you come to the one in the middle?",
            "With c = k // 2: mask[i, j] = 1 if i < c, or if i == c and j < c; else 0. No middle, no mask: ValueError.",
            "if kernel_size % 2 == 0:\n    raise ValueError(...)\nmask = torch.zeros(kernel_size, kernel_size)\n"
            "mask[..., :] = 1    # the rows above\nmask[..., ...] = 1  # the row of the centre, up to it\nreturn mask",
        ),
    ),
    Task(
        id="02.mask_b",
        title="Mask B: the past and the centre",
        points=1,
        difficulty=1,
        minutes=5,
        cases=mask_cases,
        reference=mask_b,
        mistakes=(*mask_mistakes(mask_b, mask_a, centre=1), ADDED_EVERYWHERE),
        hints=(
            "One entry differs from mask A. Can you use the function you have already written?",
            "mask B = mask A + 1 at [c, c], with c = k // 2.",
            "mask = mask_a(kernel_size)\nmask[..., ...] = 1\nreturn mask",
        ),
    ),
    Task(
        id="02.masked_conv2d",
        title="A masked convolution, colours included",
        points=3,
        difficulty=3,
        minutes=20,
        cases=conv_cases,
        reference=masked_conv2d,
        mistakes=CONV_MISTAKES,
        hints=(
            "Build one mask of the weight's own shape, [out, in, k, k]. Away from the centre it is mask A for "
            "every pair of "
            "channels; only its entries at [c, c] need thought.",
            "mask[o, i, c, c] = 1 if colour(i) < colour(o), for B also if they are equal, with colour(j) = "
            "j * colours // n, where n counts the channels on that side. Then conv2d(x, weight * mask, bias) "
            "with k // 2 "
            "rows and columns of zeros on each side.",
            "out, into, k, _ = weight.shape\nmask = mask_a(k).repeat(out, into, 1, 1)\n"
            "colour_out = torch.arange(out) * colours // out\ncolour_in = ...\n"
            "seen = colour_in[None, :] ... colour_out[:, None]\nmask[:, :, k // 2, k // 2] = seen.float()\n"
            "return F.conv2d(x, ..., bias, padding=...)",
        ),
    ),
    Task(
        id="02.log_likelihood",
        title="How likely is this image?",
        points=2,
        difficulty=2,
        minutes=10,
        cases=likelihood_cases,
        reference=log_likelihood,
        mistakes=LIKELIHOOD_MISTAKES,
        compare=compare_likelihoods,
        hints=(
            "Write down log p of a single pixel, once for x = 1 and once for x = 0. Which function of the logit "
            "is each, "
            "and what does torch call its logarithm?",
            "log p(x) = sum over pixels and channels of x log sigmoid(l) + (1 - x) log sigmoid(-l), and 1 - "
            "sigmoid(l) = "
            "sigmoid(-l).",
            "per_pixel = x * F.logsigmoid(...) + (1 - x) * F.logsigmoid(...)\nreturn per_pixel.sum(dim=...)",
        ),
    ),
    Task(
        id="02.sample",
        title="A sampler, pixel by pixel",
        points=3,
        difficulty=2,
        minutes=15,
        cases=sample_cases,
        reference=sample,
        mistakes=SAMPLE_MISTAKES,
        hints=(
            "Begin with an empty picture. What do you know before the first pixel, and what before the second?",
            "for each pixel (i, j) in raster order: p = sigmoid(model(x)[:, :, i, j]), then x[:, :, i, j] ~ "
            "Bernoulli(p).",
            "x = torch.zeros(shape)\nfor i in range(...):\n    for j in range(...):\n"
            "        logits = model(x)[:, :, i, j]\n"
            "        x[:, :, i, j] = torch.bernoulli(..., generator=generator)\nreturn x",
        ),
        compare=compare_samples,
        slow="is a loop endless, or are the images drawn one after another? One call of the model serves them all.",
    ),
)
