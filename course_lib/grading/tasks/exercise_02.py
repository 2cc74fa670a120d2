"""Exercise 02: masks, a masked convolution, the two gated stacks, a scan along diagonals, and two samplers."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib.grading.comparing import compare
from course_lib.grading.specs import Generator, Leaf, Model
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


def raster_mask(kind: str, kernel_size: int) -> Tensor:
    return {"A": mask_a, "B": mask_b}[kind](kernel_size)


def mask_cases(generator: torch.Generator) -> Iterator[Case]:
    for kernel_size in (3, 1, 5):
        for kind in "AB":
            yield case(kind, kernel_size)
    for kind in "AB":
        yield case(kind, 7 + 2 * int(torch.randint(5, (), generator=generator)))
    for kind in "AB":
        yield case(kind, 17 + 2 * int(torch.randint(20, (), generator=generator)))
    for kind in "AB":
        yield case(kind, 4, about="an even kernel has no centre")


def by_kind(for_a, for_b):
    return lambda kind, kernel_size: (for_a if kind == "A" else for_b)(kernel_size)


def mask_mistakes() -> Iterator[Mistake]:
    """Each wrong mask in both kinds, and in one of them alone."""
    for a, b in zip(wrong_masks(mask_a, 0), wrong_masks(mask_b, 1), strict=True):
        for pair in ((a.answer, b.answer), (mask_a, b.answer), (a.answer, mask_b)):
            yield Mistake(a.name, a.diagnosis, by_kind(*pair))


def wrong_masks(right, centre: int) -> tuple[Mistake, ...]:
    """The mistakes of either mask, as functions of the kernel's size; `centre` is 1 where the centre is visible."""
    c = slice(None)
    return (
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


MASK_MISTAKES = (
    Mistake(
        "always_b",
        "kind A shows the centre, as kind B does. In the first layer the centre is the very pixel to be predicted: a "
        "model that sees it copies it.",
        by_kind(mask_b, mask_b),
    ),
    Mistake(
        "always_a",
        "kind B hides the centre, as kind A does. After the first layer the centre holds features of the past alone, "
        "and a layer that hides them loses what the layer before found.",
        by_kind(mask_a, mask_a),
    ),
    Mistake(
        "kinds_swapped",
        "A and B are exchanged. Which of the two may see the centre?",
        by_kind(mask_b, mask_a),
    ),
    Mistake(
        "added_everywhere",
        "for kind B, 1 is added to every entry of mask A. Only the entry at the centre is to change.",
        by_kind(mask_a, lambda k: mask_a(k) + 1),
    ),
    *mask_mistakes(),
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


def later_colours_hidden(out: int, into: int, k: int, kind: str, colours: int) -> Tensor:
    """The rule of B applied to earlier pixels, in either kind."""
    later = ordered(groups(out, colours), groups(into, colours), "B").float()[:, :, None, None]
    return visible(out, into, k, kind, colours) * later


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
    pair = torch.tensor([[1.0, 100.0], [10.0, 1000.0]], dtype=torch.float64).reshape(1, 2, 1, 2)
    for kind in "AB":
        ones, about = torch.ones(2, 2, 3, 3).double(), "two pixels, and two colours only: red 1, 100, green 10, 1000"
        yield case(pair, ones, torch.zeros(2).double(), kind, 2, about=about)
    for kind in "AB":
        yield conv_case(generator, kind, 1, (2, 2, 3), (1, 3, 4), about="grey, two maps in and two out")
        yield conv_case(
            generator, kind, 3, (6, 3, 3), (2, 4, 3), about="maps 0, 1 out belong to red, 2, 3 to green, ..."
        )
        yield conv_case(
            generator, kind, 3, (6, 9, 5), (2, 5, 6), about="maps 0, 1, 2 in belong to red, 3, 4, 5 to green"
        )
    tensors = [torch.randn(size, generator=generator).double() for size in ((2, 1, 3, 4), (2, 1, 3, 3), (2,))]
    yield case(*map(Leaf, tensors), "B", 1, about="the gradients in x, weight and bias")


CONV_MISTAKES = (
    Mistake(
        "weight_changed",
        "the answer is right, and the weight that was passed in has been multiplied by the mask in place. "
        "The optimiser "
        "owns those numbers; make a masked copy instead of writing into them.",
        in_place,
    ),
    Mistake(
        "weight_detached",
        "the pictures come out right, and no gradient reaches the weight: .data, .detach() or torch.no_grad cut it "
        "off. Such a layer never learns.",
        lambda x, weight, bias, kind, colours: masked_conv2d(x, weight.detach(), bias, kind, colours),
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
    *(
        Mistake(
            "colours_everywhere",
            "the order of the colours is applied to the whole past. It matters at the centre alone: of an earlier "
            "pixel, every colour is known.",
            convolved(mask),
        )
        for mask in (colours_everywhere, later_colours_hidden)
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
    *(
        Mistake(
            "colours_without_groups",
            "the colour of a map is not that of the contract: of n maps, map j belongs to colour j * colours // n. "
            "Dividing j by the number of colours fits only where each colour happens to have that many maps.",
            convolved(at_centre(lambda o, i, kind, c, of=of: ordered(of(o, c), of(i, c), kind))),
        )
        for of in (
            lambda n, colours: torch.arange(n) // colours,
            lambda n, colours: (torch.arange(n) // colours).clamp(max=colours - 1),
        )
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


# Two stacks


def gate(y: Tensor) -> Tensor:
    """tanh(first half of the maps) sigmoid(second half)."""
    signal, door = y.chunk(2, dim=1)
    return signal.tanh() * door.sigmoid()


def rows_above(v: Tensor, weight: Tensor, kind: str) -> Tensor:
    """The vertical filter: its lowest row lies on the row above (A) or on the row itself (B)."""
    rows, side, shift = weight.shape[2], weight.shape[3] // 2, int(kind == "A")
    return F.conv2d(F.pad(v, (side, side, rows - 1 + shift, -shift)), weight)


def own_row(h: Tensor, weight: Tensor, kind: str) -> Tensor:
    """The horizontal filter: its last tap lies on the pixel to the left (A) or on the pixel itself (B)."""
    taps, shift = weight.shape[3], int(kind == "A")
    return F.conv2d(F.pad(h, (taps - 1 + shift, -shift)), weight)


def linked(a: Tensor, own: Tensor, link: Tensor) -> tuple[Tensor, Tensor]:
    """Both stacks before their gates: a, and b = own + link a."""
    return a, own + F.conv2d(a, link)


def gated(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    return gate(a), gate(b)


def two_stacks(up=rows_above, across=own_row, join=linked, finish=gated):
    """gated_layer with one of its steps done in another way."""

    def answer(v: Tensor, h: Tensor, vertical: Tensor, horizontal: Tensor, link: Tensor, kind: str):
        return finish(*join(up(v, vertical, kind), across(h, horizontal, kind), link))

    return answer


gated_reference = two_stacks()


def gated_layer(v: Tensor, h: Tensor, vertical: Tensor, horizontal: Tensor, link: Tensor, kind: str) -> tuple:
    """a = vertical * v, b = horizontal * h + link a, (gate(a), gate(b))."""
    return gated_reference(v, h, vertical, horizontal, link, kind)


def impulse(height: int, width: int, row: int, column: int) -> Tensor:
    picture = torch.zeros(1, 1, height, width, dtype=torch.float64)
    picture[0, 0, row, column] = 1
    return picture


def signal_of_ones(rows: int, columns: int) -> Tensor:
    """Two maps: the signal adds up all that the filter sees, the door is half open."""
    weight = torch.zeros(2, 1, rows, columns, dtype=torch.float64)
    weight[0] = 1
    return weight


def gated_cases(generator: torch.Generator) -> Iterator[Case]:
    picture, filters = impulse(3, 3, 1, 1), (signal_of_ones(1, 3), signal_of_ones(1, 1))
    alone, one = torch.zeros(2, 2, 1, 1).double(), "one white pixel; v and h are the picture"
    yield case(picture, picture, *filters, alone, "A", about=f"{one}; no link")
    yield case(picture, picture, *filters, alone, "B", about="one feature that is not 0; no link")
    yield case(picture, picture, *filters, torch.eye(2).double()[:, :, None, None], "A", about=f"{one}; the link is 1")

    def normal(*shape: int) -> Tensor:
        return torch.randn(shape, generator=generator, dtype=torch.float64)

    for kind, batch, into, maps, (rows, columns, taps), (height, width) in (
        ("A", 2, 1, 2, (2, 3, 3), (4, 5)),
        ("B", 1, 3, 3, (2, 3, 2), (5, 4)),
        ("B", 3, 2, 2, (3, 5, 3), (6, 7)),
        ("A", 1, 3, 2, (3, 3, 1), (6, 4)),
    ):
        weights = normal(2 * maps, into, rows, columns), normal(2 * maps, into, 1, taps)
        pictures = normal(batch, into, height, width), normal(batch, into, height, width)
        about = f"batch of {batch}, {into} maps in, {maps} out, filters {rows} x {columns} and 1 x {taps}"
        yield case(*pictures, *weights, normal(2 * maps, 2 * maps, 1, 1), kind, about=about)
    leaves = normal(2, 1, 3, 3), normal(2, 1, 3, 3), normal(2, 1, 2, 3), normal(2, 1, 1, 2), normal(2, 2, 1, 1)
    yield case(*map(Leaf, leaves), "A", about="the gradients in v, h, vertical, horizontal and link")


def as_kind(step, change):
    """A step done as if for another kind: change(kind)."""
    return lambda x, weight, kind: step(x, weight, change(kind))


def other_kind(kind: str) -> str:
    return "B" if kind == "A" else "A"


def padded(rows_before, columns_before, step=rows_above):
    """A filter with zeros before it, and the rest of the zeros behind it: both are functions of (size, shift)."""

    def answer(x: Tensor, weight: Tensor, kind: str) -> Tensor:
        (rows, columns), shift = weight.shape[2:], int(kind == "A")
        top, left = rows_before(rows, shift), columns_before(columns, shift)
        return F.conv2d(F.pad(x, (left, columns - 1 - left, top, rows - 1 - top)), weight)

    return answer


def rows_kept(v: Tensor, weight: Tensor, kind: str) -> Tensor:
    """The vertical filter with all that comes out, for kind A a row too many."""
    side = weight.shape[3] // 2
    return F.conv2d(F.pad(v, (side, side, weight.shape[2] - int(kind == "B"), 0)), weight)


def columns_kept(h: Tensor, weight: Tensor, kind: str) -> Tensor:
    return F.conv2d(F.pad(h, (weight.shape[3] - int(kind == "B"), 0)), weight)


def moved_twice(v: Tensor, weight: Tensor, kind: str) -> Tensor:
    """The vertical filter, for kind A two rows too high in place of one."""
    v = F.pad(v, (0, 0, 1, -1)) if kind == "A" else v
    return rows_above(v, weight, kind)


def moved_twice_left(h: Tensor, weight: Tensor, kind: str) -> Tensor:
    return own_row(F.pad(h, (1, -1)) if kind == "A" else h, weight, kind)


def turned(step):
    return lambda x, weight, kind: step(x, weight.flip(2, 3), kind)


def gated_by(make) -> Any:
    return lambda a, b: (make(a), make(b))


def halves(make, dim: int = 1) -> Any:
    """Another gate, make(first half, second half)."""

    def other(y: Tensor) -> Tensor:
        first, second = y.chunk(2, dim)
        return make(first, second)

    return gated_by(other)


def interleaved(y: Tensor) -> Tensor:
    return y[:, ::2].tanh() * y[:, 1::2].sigmoid()


def down_a_row(y: Tensor) -> Tensor:
    return F.pad(y, (0, 0, 1, -1))


def with_residual(of_kind: str):
    """gated_layer with h added to h', in layers of the given kinds."""

    def answer(v: Tensor, h: Tensor, vertical: Tensor, horizontal: Tensor, link: Tensor, kind: str):
        above, past = gated_layer(v, h, vertical, horizontal, link, kind)
        return above, past + h if kind in of_kind else past

    return answer


def one_input(which: int):
    """gated_layer with v in the place of h, or h in the place of v."""

    def answer(v: Tensor, h: Tensor, vertical: Tensor, horizontal: Tensor, link: Tensor, kind: str):
        return gated_layer(*((v, h)[which],) * 2, vertical, horizontal, link, kind)

    return answer


VERTICAL_LEAK = (
    "kind A, the vertical stack: the lowest row of the filter lies on the row itself, where it should lie one row "
    "higher. In the first layer that row is the picture, and the pixel to be predicted stands in it, with its right "
    "neighbours."
)
HORIZONTAL_LEAK = (
    "kind A, the horizontal stack: the last tap lies on the pixel itself, which is what is to be predicted. It should "
    "lie one place further to the left."
)
VERTICAL_DRIFT = (
    "kind B, the vertical stack: the filter is moved up by one row here too. From the second layer on, row i of v "
    "tells of the rows above alone, so it may be read; a shift in every layer adds up, and leaves gaps in the field."
)
HORIZONTAL_DRIFT = (
    "kind B, the horizontal stack: the filter is moved to the left here too. From the second layer on, h at a pixel "
    "tells of its past alone, so it may be read; a shift in every layer adds up."
)
NOT_THE_GATE = "tanh of the first half of the maps times the sigmoid of the second half is asked for."
NOT_CROPPED = (
    "for kind A a row or a column too many comes out. A filter that is moved back by one needs one more of zeros "
    "before the picture, and no longer sees the last row, or the last column: leave out what it makes of it."
)
ALWAYS_A, ALWAYS_B = (lambda kind: "A"), (lambda kind: "B")
GATED_MISTAKES = (
    Mistake(
        "link_detached",
        "the pictures come out right, and on its way through the link the gradient is cut off: what the horizontal "
        "stack needs to know, the vertical one never learns.",
        lambda v, h, vertical, horizontal, link, kind: (
            gated_layer(v, h, vertical, horizontal, link, kind)[:1]
            + gated_layer(v.detach(), h, vertical.detach(), horizontal, link, kind)[1:]
        ),
    ),
    Mistake("vertical_sees_its_row", VERTICAL_LEAK, two_stacks(up=as_kind(rows_above, ALWAYS_B))),
    Mistake("horizontal_sees_itself", HORIZONTAL_LEAK, two_stacks(across=as_kind(own_row, ALWAYS_B))),
    Mistake(
        "always_b",
        "kind A is treated like kind B: both filters reach what they should stop short of, the row itself and the "
        "pixel itself. In the first layer v and h are the picture, so a logit would see its own pixel.",
        two_stacks(as_kind(rows_above, ALWAYS_B), as_kind(own_row, ALWAYS_B)),
    ),
    Mistake(
        "vertical_too_high",
        "kind A, the vertical stack: the filter is moved up by two rows, and misses the row just above. One row of "
        "zeros more than for kind B moves it by one; leaving out the last row that comes out is part of the same move.",
        two_stacks(up=moved_twice),
    ),
    Mistake(
        "horizontal_too_far_left",
        "kind A, the horizontal stack: the filter is moved to the left by two, and misses the pixel next door. One "
        "column of zeros more than for kind B moves it by one; leaving out the last column is part of the same move.",
        two_stacks(across=moved_twice_left),
    ),
    Mistake("vertical_shifted_always", VERTICAL_DRIFT, two_stacks(up=as_kind(rows_above, ALWAYS_A))),
    Mistake("horizontal_shifted_always", HORIZONTAL_DRIFT, two_stacks(across=as_kind(own_row, ALWAYS_A))),
    Mistake(
        "always_a",
        "kind B is treated like kind A: both filters are moved, in every layer. From the second layer on v and h tell "
        "of the past alone, so both may be read where they stand; shifts in every layer add up.",
        two_stacks(as_kind(rows_above, ALWAYS_A), as_kind(own_row, ALWAYS_A)),
    ),
    Mistake(
        "kinds_swapped",
        "A and B are exchanged. Which of the two is for the first layer, where v and h are the picture?",
        two_stacks(as_kind(rows_above, other_kind), as_kind(own_row, other_kind)),
    ),
    *(
        Mistake(
            "rows_below_visible",
            "the vertical filter hangs over the row from both sides, as an ordinary convolution does, and sees rows "
            "below. All its rows of zeros belong above the picture.",
            two_stacks(up=padded(top, lambda columns, shift: columns // 2)),
        )
        for top in (
            lambda rows, shift: rows // 2,
            lambda rows, shift: (rows - 1) // 2,
            lambda rows, shift: 0,
            lambda rows, shift: rows // 2 + shift,
            lambda rows, shift: rows - 1 + shift - rows // 2,
        )
    ),
    *(
        Mistake(
            "right_visible",
            "the horizontal filter sees pixels to the right. All its zeros belong to the left of the picture.",
            two_stacks(across=padded(lambda rows, shift: 0, left)),
        )
        for left in (
            lambda taps, shift: taps // 2,
            lambda taps, shift: (taps - 1) // 2,
            lambda taps, shift: 0,
            lambda taps, shift: taps // 2 + shift,
            lambda taps, shift: taps - 1 + shift - taps // 2,
        )
    ),
    *(
        Mistake(
            "blind_spot",
            "the vertical filter is moved to one side, so that it sees nothing of the upper right: the blind spot is "
            "back. The rows above are past from end to end; let the filter reach equally far to both sides.",
            two_stacks(up=padded(lambda rows, shift: rows - 1 + shift, left)),
        )
        for left in (lambda columns, shift: columns - 1, lambda columns, shift: columns - 1 + shift)
    ),
    Mistake(
        "kernel_flipped",
        "the filters are turned round, as a convolution in mathematics does it. In torch, conv2d does not turn them.",
        two_stacks(turned(rows_above), turned(own_row)),
    ),
    Mistake(
        "unpadded",
        "the outputs of the two filters differ in shape, or from the picture: zeros are missing around it. How many "
        "on which side?",
        two_stacks(*[lambda x, weight, kind: F.conv2d(x, weight)] * 2),
    ),
    *(
        Mistake("not_cropped", NOT_CROPPED, two_stacks(up, across))
        for up, across in ((rows_kept, own_row), (rows_above, columns_kept), (rows_kept, columns_kept))
    ),
    Mistake(
        "link_forgotten",
        "the two stacks do not meet: the link is missing, and h never hears of the rows above.",
        two_stacks(join=lambda a, own, link: (a, own)),
    ),
    Mistake(
        "link_after_gate",
        "the link does not fit what it is given: it takes all 2c maps of a, before the gate. After the gate there are "
        "c, and v has not been through the vertical filter.",
        two_stacks(join=lambda a, own, link: (a, own + F.conv2d(gate(a), link))),
    ),
    *(
        Mistake(
            "link_after_gate",
            "the link is given what has been through the gate, doubled so that it fits. It takes all 2c maps of a, "
            "before the gate.",
            two_stacks(join=lambda a, own, link, twice=twice: (a, own + F.conv2d(twice(gate(a)), link))),
        )
        for twice in (lambda y: y.repeat(1, 2, 1, 1), lambda y: y.repeat_interleave(2, 1))
    ),
    *(
        Mistake(
            "own_row_in_vertical",
            "what the horizontal stack knows is added to a. The link runs one way: the vertical stack is to hear of "
            "the rows above alone.",
            two_stacks(join=join),
        )
        for join in (
            lambda a, own, link: (a + own, own + F.conv2d(a, link)),
            lambda a, own, link: (a + own + F.conv2d(a, link), own + F.conv2d(a, link)),
        )
    ),
    Mistake(
        "link_backwards",
        "the link runs from the horizontal stack to the vertical one. The horizontal one may hear of everything the "
        "vertical one knows; the other way round, what lies to the left at one place reaches places that must not "
        "know it, in the layers that follow.",
        two_stacks(join=lambda a, own, link: (a + F.conv2d(own, link), own)),
    ),
    Mistake(
        "link_both_ways",
        "the link is added to both stacks. The vertical stack is to hear of the rows above alone.",
        two_stacks(join=lambda a, own, link: (a + F.conv2d(own, link), own + F.conv2d(a, link))),
    ),
    *(
        Mistake(
            "vertical_linked_to_itself",
            "the link is added to the vertical stack too, or instead of its own output: v' is gate(a), without it.",
            two_stacks(join=join),
        )
        for join in (
            lambda a, own, link: (a + F.conv2d(a, link), own + F.conv2d(a, link)),
            lambda a, own, link: (F.conv2d(a, link), own + F.conv2d(a, link)),
        )
    ),
    Mistake(
        "link_shifted",
        "what the link brings is moved down by a row on its way, so h misses the row just above. Here a tells of "
        "the rows above already: the shift has happened in the vertical filter.",
        two_stacks(join=lambda a, own, link: (a, own + F.conv2d(down_a_row(a), link))),
    ),
    Mistake(
        "link_transposed",
        "the link is applied the wrong way round: its first axis is out, its second is in.",
        two_stacks(join=lambda a, own, link: (a, own + F.conv2d(a, link.transpose(0, 1)))),
    ),
    Mistake(
        "link_without_weights",
        "a is added as it stands: the link has weights, a matrix that mixes its maps at each pixel.",
        two_stacks(join=lambda a, own, link: (a, own + a)),
    ),
    Mistake(
        "own_row_forgotten",
        "h' is made of the link alone: the horizontal filter's output is not added.",
        two_stacks(join=lambda a, own, link: (a, F.conv2d(a, link))),
    ),
    Mistake(
        "halves_exchanged",
        "the halves of the gate are exchanged: the first half of the maps is the signal (tanh), the second half the "
        "door (sigmoid).",
        two_stacks(finish=halves(lambda first, second: first.sigmoid() * second.tanh())),
    ),
    Mistake(
        "halves_interleaved",
        "signals and doors take turns among the maps. The contract has them as two halves.",
        two_stacks(finish=gated_by(interleaved)),
    ),
    *(
        Mistake(
            "split_along_another_axis",
            "the halves are cut along another axis than that of the maps: the axes are batch, maps, rows, columns.",
            two_stacks(finish=halves(lambda first, second: first.tanh() * second.sigmoid(), dim)),
        )
        for dim in (0, 2, 3)
    ),
    *(
        Mistake(name, f"{said} {NOT_THE_GATE}", two_stacks(finish=halves(make)))
        for name, said, make in (
            ("no_tanh", "the tanh is missing.", lambda first, second: first * second.sigmoid()),
            ("no_sigmoid", "the sigmoid is missing.", lambda first, second: first.tanh() * second),
            ("sigmoid_twice", "both halves go through a sigmoid.", lambda a, b: a.sigmoid() * b.sigmoid()),
            ("tanh_twice", "both halves go through a tanh.", lambda a, b: a.tanh() * b.tanh()),
            ("added", "the two halves are added.", lambda a, b: a.tanh() + b.sigmoid()),
            ("signal_only", "the door is missing: the second half is not used.", lambda a, b: a.tanh()),
            ("one_half_twice", "the first half is used twice.", lambda a, b: a.tanh() * a.sigmoid()),
            ("one_half_twice", "the second half is used twice.", lambda a, b: b.tanh() * b.sigmoid()),
            ("relu", "a ReLU stands in the place of the tanh.", lambda a, b: a.relu() * b.sigmoid()),
            ("not_gated", "the two halves are multiplied as they are.", lambda a, b: a * b),
        )
    ),
    Mistake(
        "not_gated", f"nothing goes through a gate: these are a and b. {NOT_THE_GATE}", two_stacks(finish=lambda *y: y)
    ),
    Mistake(
        "one_gate_for_all",
        "each half of b is gated by the wrong stack, or v' and h' share a door. Each stack has a gate of its own.",
        two_stacks(finish=lambda a, b: (gate(a), b.chunk(2, 1)[0].tanh() * a.chunk(2, 1)[1].sigmoid())),
    ),
    Mistake(
        "outputs_exchanged",
        "the two outputs are exchanged: v' comes first, h' second.",
        two_stacks(finish=lambda a, b: (gate(b), gate(a))),
    ),
    *(
        Mistake(
            "residual_added",
            "h is added to h'. Deep networks do that, and this contract leaves it to whoever stacks the layers.",
            with_residual(of_kind),
        )
        for of_kind in ("AB", "B")
    ),
    Mistake(
        "stacks_exchanged",
        "each filter is applied to the other stack's features: the vertical one belongs on v, the horizontal one on h.",
        lambda v, h, *rest: gated_layer(h, v, *rest),
    ),
    Mistake("v_for_h", "the horizontal filter is applied to v. It belongs on h.", one_input(0)),
    Mistake("h_for_v", "the vertical filter is applied to h. It belongs on v.", one_input(1)),
)


# Diagonals


def diagonal(t: int, height: int, width: int) -> Tensor:
    """The rows of the pixels with row + column = t."""
    return torch.arange(max(0, t - width + 1), min(t, height - 1) + 1)


def scan(above=(1, 0), left=(0, 1), times=lambda height, width: height + width - 1, finish=lambda s: s):
    """diagonal_scan, with neighbours this far up and to the left, another number of diagonals, another last line."""

    def answer(x: Tensor, step) -> Tensor:
        height, width = x.shape[2:]
        states = x.new_zeros(*x.shape[:2], height + 2, width + 2)
        for t in range(times(height, width)):
            i = diagonal(t, height, width)
            j = t - i
            neighbours = (states[:, :, i + 2 - up, j + 2 - back] for up, back in (above, left))
            states[:, :, i + 2, j + 2] = step(x[:, :, i, j], *neighbours)
        return finish(states)[:, :, 2:, 2:] if finish.__name__ == "<lambda>" else finish(states)

    return answer


scan_reference = scan()


def diagonal_scan(x: Tensor, step) -> Tensor:
    """s[i, j] = step(x[i, j], s[i-1, j], s[i, j-1]), all pixels of a diagonal i + j = t in one call."""
    return scan_reference(x, step)


def steps(mix: Tensor, height: int, width: int) -> Model:
    return Model("step", {"mix": mix, "limit": torch.tensor(height + width - 1)})


def scan_cases(generator: torch.Generator) -> Iterator[Case]:
    ones, about = torch.ones(3, 1, 1).double(), "step(x, above, left) = x + above + left"
    yield case(torch.ones(1, 1, 2, 2).double(), steps(ones, 2, 2), about=about)
    yield case(torch.ones(1, 1, 2, 4).double(), steps(ones, 2, 4), about=about)
    weights = torch.tensor([1.0, 10.0, 100.0]).double().view(3, 1, 1)
    yield case(impulse(3, 3, 0, 0), steps(weights, 3, 3), about="step(x, above, left) = x + 10 above + 100 left")
    for batch, channels, height, width in ((2, 2, 4, 3), (1, 3, 3, 5), (3, 1, 1, 4), (2, 2, 5, 1)):
        mix = torch.randn(3, channels, channels, generator=generator, dtype=torch.float64)
        x = torch.randn(batch, channels, height, width, generator=generator, dtype=torch.float64)
        yield case(x, steps(mix, height, width), about="x, above and left are mixed by a matrix each")


def as_square(side: int):
    """diagonal_scan with one side of the picture for both."""

    def answer(x: Tensor, step) -> Tensor:
        n = x.shape[side]
        states = F.pad(torch.zeros_like(x), (1, 0, 1, 0))
        for t in range(2 * n - 1):
            i = diagonal(t, n, n)
            j = t - i
            states[:, :, i + 1, j + 1] = step(x[:, :, i, j], states[:, :, i, j + 1], states[:, :, i + 1, j])
        return states[:, :, 1:, 1:]

    return answer


def pixel_by_pixel(x: Tensor, step) -> Tensor:
    states = F.pad(torch.zeros_like(x), (1, 0, 1, 0))
    for i, j in pixels(x.shape):
        states[:, :, i + 1, j + 1] = step(x[:, :, i, j], states[:, :, i, j + 1], states[:, :, i + 1, j])
    return states[:, :, 1:, 1:]


def by_rows(x: Tensor, step) -> Tensor:
    """A row at every step; the state to the left is 0."""
    states = F.pad(torch.zeros_like(x), (0, 0, 1, 0))
    for i in range(x.shape[2]):
        states[:, :, i + 1] = step(x[:, :, i], states[:, :, i], torch.zeros_like(x[:, :, i]))
    return states[:, :, 1:]


def by_columns(x: Tensor, step) -> Tensor:
    states = F.pad(torch.zeros_like(x), (1, 0))
    for j in range(x.shape[3]):
        states[..., j + 1] = step(x[..., j], torch.zeros_like(x[..., j]), states[..., j])
    return states[..., 1:]


def one_step(x: Tensor, step) -> Tensor:
    return step(x, torch.zeros_like(x), torch.zeros_like(x))


def of_inputs(x: Tensor, step) -> Tensor:
    """The neighbours' inputs in the place of their states."""
    return step(x, F.pad(x, (0, 0, 1, -1)), F.pad(x, (1, -1)))


def mirrored(x: Tensor, step) -> Tensor:
    return diagonal_scan(x.flip(3), step).flip(3)


def skewed(states: Tensor) -> Tensor:
    """The states as they stand in the skewed picture, row r moved r places to the right."""
    states = states[:, :, 2:, 2:]
    height, width = states.shape[2:]
    out = states.new_zeros(*states.shape[:2], height, height + width - 1)
    for row in range(height):
        out[:, :, row, row : row + width] = states[:, :, row]
    return out


def with_margin(states: Tensor) -> Tensor:
    return states[:, :, 1:, 1:]


NOT_ALL = (
    "the loop ends too soon: the last diagonals are never reached. From row + column = 0 in one corner to the other "
    "corner, how many values does row + column take?"
)
TOO_MANY = (
    "step is called too often, pixel after pixel perhaps. All pixels with the same row + column are ready at the same "
    "time: none of them waits for another, so one call can serve them all."
)
WRONG_NEIGHBOUR = (
    "a wrong neighbour is read. Of the pixel (i, j), the one above is (i - 1, j) and the one to the left is "
    "(i, j - 1); both lie on the diagonal before."
)
SCAN_MISTAKES = (
    Mistake("too_many_steps", TOO_MANY, pixel_by_pixel),
    Mistake(
        "neighbours_exchanged",
        "above and left are exchanged: step takes x, then the state above, then the state to the left.",
        scan(above=(0, 1), left=(1, 0)),
    ),
    Mistake(
        "row_at_once",
        "the state to the left counts as 0. It has to be there first: that rules out a whole row at once (the Row "
        "LSTM's bargain, by which it has so few steps), and diagonals that run the wrong way.",
        by_rows,
    ),
    Mistake(
        "column_at_once",
        "the state above counts as 0, or one is read that is not there yet. It has to be there first: that rules out a "
        "whole column at once, and diagonals that run the wrong way. Along the right ones, row + column stays the "
        "same.",
        by_columns,
    ),
    Mistake(
        "no_memory",
        "every pixel begins from nothing: the states above and to the left are 0 throughout. Either they are not read, "
        "or they are not there yet, because the loop starts at the wrong end.",
        one_step,
    ),
    Mistake(
        "inputs_for_states",
        "step is given what stands in the picture above and to the left, x, and not the states there. A state carries "
        "on what it has heard; an input knows of its own pixel alone.",
        of_inputs,
    ),
    *(
        Mistake("wrong_neighbour", WRONG_NEIGHBOUR, scan(above=above, left=left))
        for above, left in (
            ((1, 1), (0, 1)),
            ((1, 0), (1, 1)),
            ((1, 1), (1, 1)),
            ((1, 0), (1, 0)),
            ((0, 1), (0, 1)),
            ((2, 0), (0, 1)),
            ((1, 0), (0, 2)),
            ((1, 1), (1, 0)),
            ((0, 1), (1, 1)),
        )
    ),
    *(
        Mistake("last_diagonals_missing", NOT_ALL, scan(times=times))
        for times in (
            lambda height, width: height + width - 2,
            lambda height, width: max(height, width),
            lambda height, width: min(height, width),
        )
    ),
    *(
        Mistake(
            "square_assumed",
            "the number of diagonals is computed from one side alone, as if the picture were square.",
            scan(times=times),
        )
        for times in (
            lambda height, width: min(2 * height - 1, height + width - 1),
            lambda height, width: min(2 * width - 1, height + width - 1),
            lambda height, width: height,
            lambda height, width: width,
        )
    ),
    *(
        Mistake(
            "square_assumed",
            "the picture is taken to be square: one of its sides serves for both. Height and width are two numbers.",
            as_square(side),
        )
        for side in (2, 3)
    ),
    Mistake(
        "from_the_right",
        "this scan comes from the upper right: it reads the neighbour on the right. A Diagonal BiLSTM has one of those "
        "too; asked for is the one from the upper left.",
        mirrored,
    ),
    Mistake(
        "left_skewed",
        "the answer is still skewed, row r moved r places to the right. Asked for are the states in the picture's own "
        "shape.",
        scan(finish=skewed),
    ),
    Mistake(
        "margin_left",
        "a margin of zeros is still around the states. Asked for is the picture's own shape.",
        scan(finish=with_margin),
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
    logits = torch.linspace(-2, 2, 9).view(1, 3, 3)
    coins = "independent pixels with logits -2, -1.5, ..., 2"
    yield case(Model("constant", {"logits": logits}), (1000, 1, 3, 3), seed(), kind="frequencies", about=coins)
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
        return binary(output, expected) or frequencies(case, output, expected)
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


def frequencies(case: Case, output: Tensor, expected: Tensor) -> str | None:
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
        often = f"is 1 in {got[i, i]:.0%} of the samples, and should be 1 with probability {chances(case)[i]:.2f}"
        return f"pixel {place_of(i, output)} {often}"
    if said := too_steep(case, got.diagonal(), want.diagonal()):
        return said
    if excess.max() > 0:
        i, j = divmod(int(excess.argmax()), len(excess))
        a, b = (place_of(k, output) for k in (i, j))
        return f"pixels {a} and {b} each have the right frequency, and do not go together as the model says"
    return None


def too_steep(case: Case, got: Tensor, want: Tensor) -> str | None:
    """Whether all pixels together are 1 more steeply with their logits, or less, in one batch than in the other.

    z = sum l (got - want) / sqrt(sum l^2 2 p (1 - p) / n), of standard deviation 1 for two batches of one model, is
    far off where one has 1.25 l or 0.8 l for l. For models whose logits do not depend on the picture.
    """
    model, (n, *_) = case.calls[0][:2]
    if not (isinstance(model, Model) and model.kind == "constant"):
        return None
    logits, p = model.tensors["logits"].double().flatten(), (got + want) / 2
    off = (logits * (got - want)).sum() / (logits**2 * 2 * (p * (1 - p)).clamp(min=0.01) / n).sum().sqrt()
    if abs(off) < 5:
        return None
    return f"likely pixels come out too {'often' if off > 0 else 'seldom'}: the chance of a 1 is sigmoid(l), l as it is"


def chances(case: Case) -> Tensor:
    """The probability of 1 for each pixel of a small picture, by all pictures that there are."""
    model, shape = case.calls[0][0], case.calls[0][1][1:]
    pictures = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * math.prod(shape)).reshape(-1, *shape)
    logits = told(model.build(), pictures) if model.kind == "layers" else model.build()(pictures)
    p = F.logsigmoid((2 * pictures - 1) * logits).double().flatten(1).sum(1).exp()
    return p @ pictures.double().flatten(1)


def told(layers, rows: Tensor) -> Tensor:
    """The logits of given rows, by the sampler that is made to draw them."""
    logits = []

    def draw(logit: Tensor, _: None) -> Tensor:
        logits.append(logit)
        return rows[:, len(logits) - 1]

    kept(draw=draw)(layers, tuple(rows.shape), None)
    return torch.stack(logits, 1)


def place_of(pixel: int, images: Tensor) -> list[int]:
    """Row and column of a pixel, or its place alone where the images are rows: [batch, width]."""
    return [pixel // images.shape[-1], pixel % images.shape[-1]] if images.dim() > 2 else [pixel]


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


def redrawn(model, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
    x = torch.zeros(shape)
    for _ in pixels(shape):
        x = bernoulli(model(x), generator)
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
RESEEDED = (
    "every seed gives the same picture: a seed is set inside the function. It was chosen by whoever made the generator."
)
ONE_DRAW = "one uniform number serves every pixel, so the pixels move together. Draw a new one for each pixel."


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def drawing_mistakes(with_draw) -> tuple[Mistake, ...]:
    """Wrong ways to draw pixels from logits: with_draw(draw) is a sampler that draws by draw(logits, generator)."""
    return (
        Mistake(
            "thresholded",
            "the likelier value is taken each time, nothing is drawn. That gives the same picture again and again: the "
            "mode of each step, not a sample.",
            with_draw(lambda logits, g: (logits > 0).float()),
        ),
        Mistake(
            "thresholded",
            "the probability is rounded, nothing is drawn. That gives the same picture again and again.",
            with_draw(lambda logits, g: (logits >= 0).float()),
        ),
        Mistake(
            "sigmoid_twice",
            "the sigmoid is taken twice: even the surest pixel then comes out wrong one time in four.",
            with_draw(lambda logits, g: bernoulli(torch.sigmoid(logits), g)),
        ),
        Mistake("no_sigmoid", NO_SIGMOID, with_draw(lambda logits, g: torch.bernoulli(logits, generator=g))),
        Mistake(
            "no_sigmoid",
            NO_SIGMOID,
            with_draw(lambda logits, g: (torch.rand(logits.shape, generator=g) < logits).float()),
        ),
        Mistake(
            "flipped",
            "zeros and ones are exchanged: a uniform number is below p with probability p, and above it with "
            "probability 1 - p.",
            with_draw(lambda logits, g: bernoulli(-logits, g)),
        ),
        Mistake(
            "probabilities",
            "the picture holds probabilities. A sample is drawn from them: each pixel is 0 or 1.",
            with_draw(lambda logits, g: torch.sigmoid(logits)),
        ),
        Mistake(
            "global_generator",
            "the generator that was passed in is not used. Random functions of torch take it as `generator=`; without "
            "it they draw from a global stream that everything else draws from too.",
            with_draw(lambda logits, _: torch.bernoulli(torch.sigmoid(logits))),
        ),
        Mistake(
            "one_draw_per_pixel",
            "one uniform number serves the whole batch, so all its images move together. Draw one for each image.",
            with_draw(lambda logits, g: (torch.rand((), generator=g) < torch.sigmoid(logits)).float()),
        ),
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
        "sides_swapped",
        "row and column are exchanged in the indices: a picture is indexed [image, channel, row, column]. In a square "
        "one that draws column after column, and in another one it runs over the edge.",
        filled(order=lambda shape: [(j, i) for i, j in pixels(shape)]),
    ),
    Mistake(
        "redrawn",
        "the whole picture is drawn anew at every step, so a pixel that others were drawn from does not stay. Each "
        "pixel is drawn once, and then holds.",
        redrawn,
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
    *drawing_mistakes(lambda draw: filled(draw=draw)),
    Mistake("reseeded", RESEEDED, lambda model, shape, generator: filled()(model, shape, seeded(0))),
    Mistake("one_draw_for_all", ONE_DRAW, one_draw_for_all),
)


# Cached sampling


def moved_on(old: Tensor, new: Tensor, first: bool) -> Tensor:
    """A window with its oldest entry dropped and the newest at its end."""
    return torch.cat([old[..., 1:], new[..., None]], 2)


def kept(
    window=moved_on,
    seen=lambda window, first: window[..., 1:],
    fed=lambda pixel, logit: pixel,
    draw=bernoulli,
    start: float = 0.0,
):
    """sample_cached with other windows, another part of them seen, another thing fed back, another way to draw.

    The windows are one longer than a layer's taps, so that `seen` may also hold back the newest entry.
    """

    def answer(layers, shape: tuple[int, int], generator: torch.Generator) -> Tensor:
        x, pixel = torch.zeros(shape), torch.full((shape[0], 1), start)
        windows = [torch.zeros(shape[0], layer.channels, layer.taps + 1) for layer in layers]
        for place in range(shape[1]):
            h = pixel
            for i, layer in enumerate(layers):
                windows[i] = window(windows[i], h, i == 0)
                h = layer(seen(windows[i], i == 0))
            x[:, place] = draw(h[:, 0], generator)
            pixel = fed(x[:, [place]], h[:, :1])
        return x

    return answer


cached_reference = kept()


def sample_cached(layers, shape: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Pixel after pixel along a row; each layer is asked once for each place, from a window that it keeps."""
    return cached_reference(layers, shape, generator)


def from_scratch(layers, shape: tuple[int, int], generator: torch.Generator) -> Tensor:
    """Every layer at every place again, for each pixel."""
    x = torch.zeros(shape)
    for place in range(shape[1]):
        h = F.pad(x, (1, -1))[:, None]
        for layer in layers:
            windows = F.pad(h, (layer.taps - 1, 0)).unfold(2, layer.taps, 1)
            h = torch.stack([layer(windows[:, :, j]) for j in range(shape[1])], 2)
        x[:, place] = bernoulli(h[:, 0, place], generator)
    return x


def alternating(width: int) -> Model:
    """One layer with one tap: 40 where the last pixel is 0, -40 where it is 1."""
    weight, bias, scale = torch.full((1, 1, 1), -100.0), torch.full((1,), 50.0), torch.tensor(40.0)
    return Model("layers", {"limit": torch.tensor(width), "weight0": weight, "bias0": bias, "scale0": scale})


def stack_of(generator: torch.Generator, width: int, sizes: Sequence[tuple[int, int, int]], steep: float, last: float):
    """Layers of random whole weights and half biases, both times `steep`; sizes are (channels in, out, taps).

    A sum of these is never 0, so steep layers answer -1 or 1 and the last one -last or last.
    """
    tensors = {"limit": torch.tensor(width)}
    for i, (into, out, taps) in enumerate(sizes):
        tensors[f"weight{i}"] = steep * torch.randint(-3, 4, (out, into, taps), generator=generator)
        tensors[f"bias{i}"] = steep * (torch.randint(-2, 2, (out,), generator=generator) + 0.5)
        tensors[f"scale{i}"] = torch.tensor(last if i == len(sizes) - 1 else 1.0)
    return Model("layers", tensors)


def decided_stack(generator: torch.Generator, shape: tuple[int, int], sizes: Sequence[tuple[int, int, int]]) -> Model:
    """A stack whose pixels follow from one another, and with which no wrong window draws the right row."""
    while True:
        stack = stack_of(generator, shape[1], sizes, steep=50.0, last=40.0)
        row = row_of(cached_reference, stack, shape)
        if 0.2 < row.mean() < 0.8 and not any(torch.equal(row, row_of(other, stack, shape)) for other in WINDOWS):
            return stack


def rules(stack: Model) -> str:
    """What two layers of one channel and two taps say, to be followed by hand."""
    said = []
    for i in range(2):
        (older, newer), bias = (
            (stack.tensors[f"weight{i}"] / 50).flatten().tolist(),
            float(stack.tensors[f"bias{i}"]) / 50,
        )
        said.append(f"layer {i} says {'40 ' if i else ''}sign({older:g} older {newer:+g} newest {bias:+g})")
    return ", ".join(said)


def row_of(answer, stack: Model, shape: tuple[int, int]) -> Tensor:
    return answer(stack.build(), shape, seeded(0))


def sticky_stack(width: int) -> Model:
    """Each pixel tends to be like the two before it, with logits from -0.2 to 1.8."""
    values = {"weight0": [[[100.0]]], "bias0": [-50.0], "scale0": 1.0}
    values |= {"weight1": [[[0.2, 0.6]]], "bias1": [0.7], "scale1": 2.0}
    return Model("layers", {name: torch.tensor(value) for name, value in (values | {"limit": width}).items()})


def cached_cases(generator: torch.Generator) -> Iterator[Case]:
    def seed() -> Generator:
        return Generator(int(torch.randint(2**31, (), generator=generator)))

    about = "one layer of one tap, which says the opposite of the last pixel: 1, 0, 1, 0"
    yield case(alternating(4), (1, 4), seed(), kind="decided", about=about)
    decided = "the logits are 40 or -40: every pixel is decided by the earlier ones"
    shape, sizes = (1, 9), ((1, 1, 2), (1, 1, 2))
    stack = decided_stack(generator, shape, sizes)
    yield case(stack, shape, seed(), kind="decided", about=rules(stack))
    shape, sizes = (2, 16), ((1, 3, 3), (3, 2, 2), (2, 1, 3))
    about = f"3 layers of 3, 2, 3 taps and 1, 3, 2 channels; {decided}"
    yield case(decided_stack(generator, shape, sizes), shape, seed(), kind="decided", about=about)
    about = "each pixel tends to be like the two before it"
    yield case(sticky_stack(4), (1000, 4), seed(), kind="frequencies", about=about)
    first, other = seed(), seed()
    coin = stack_of(generator, 20, ((1, 1, 1),), steep=1.0, last=0.0)
    calls = tuple((coin, (3, 20), which) for which in (first, first, other))
    yield Case(calls, kind="seeds", about="the same seed twice, then another one")


def zeroed(old: Tensor, new: Tensor, first: bool) -> Tensor:
    """A window that holds the newest entry, and nothing before it."""
    return torch.cat([torch.zeros_like(old[..., 1:]), new[..., None]], 2)


def mostly(window, other, for_first: bool):
    """One rule for the first layer or for the layers after it, and another for the rest."""
    return lambda *state: (window if state[-1] == for_first else other)(*state)


def newest_seen(window: Tensor, first: bool) -> Tensor:
    return window[..., 1:]


def newest_held_back(window: Tensor, first: bool) -> Tensor:
    return window[..., :-1]


def newest_first(window: Tensor, first: bool) -> Tensor:
    return window[..., 1:].flip(2)


WINDOWS = (
    *(kept(window=window) for window in (zeroed, mostly(zeroed, moved_on, True), mostly(zeroed, moved_on, False))),
    *(
        kept(seen=seen)
        for seen in (
            newest_held_back,
            mostly(newest_held_back, newest_seen, True),
            mostly(newest_held_back, newest_seen, False),
            newest_first,
        )
    ),
    kept(fed=lambda pixel, logit: 0 * pixel),
)
RECOMPUTED = (
    "a layer is asked again for a place that it has been asked for already, or is asked for each image by itself. What "
    "it said of an earlier place still holds: it depends on pixels that are drawn, and they do not change. Each layer "
    "needs no more than one call for each place, for the whole batch."
)
NO_MEMORY = (
    "a window holds the newest entry alone, zeros before it: what the layer was shown at earlier places is not kept. "
    "Every layer needs a window of its own that lives on from pixel to pixel."
)
CACHED_MISTAKES = (
    Mistake("recomputed", RECOMPUTED, from_scratch),
    *(Mistake("no_memory", NO_MEMORY, answer) for answer in WINDOWS[:3]),
    Mistake(
        "newest_held_back",
        "every window ends one place too early: for pixel j the newest entry of the first is pixel j - 1, and of each "
        "further one what the layer before has just said.",
        WINDOWS[3],
    ),
    Mistake(
        "pixel_held_back",
        "the first layer's window ends one place too early: when pixel j is to be drawn, pixel j - 1 is there, and "
        "belongs at the end of the window.",
        WINDOWS[4],
    ),
    Mistake(
        "feature_held_back",
        "from the second layer on, the windows end one place too early. What the layer before has just said is made of "
        "the past alone, so the next one may use it at once: these layers have mask B.",
        WINDOWS[5],
    ),
    Mistake(
        "newest_first",
        "the windows run backwards: the newest entry belongs at the end, as in a picture read from the left.",
        WINDOWS[6],
    ),
    Mistake(
        "not_fed_back",
        "the drawn pixels never reach the first layer, whose window stays at zero. Each pixel drawn is the newest "
        "entry for the next.",
        WINDOWS[7],
    ),
    Mistake(
        "probability_fed_back",
        "a probability goes into the first layer's window. What has been drawn goes there, 0 or 1: the picture is made "
        "of that.",
        kept(fed=lambda pixel, logit: torch.sigmoid(logit)),
    ),
    Mistake(
        "logit_fed_back",
        "the logit goes into the first layer's window. What has been drawn goes there, 0 or 1.",
        kept(fed=lambda pixel, logit: logit),
    ),
    *(
        Mistake(
            "signs_fed_back",
            "the drawn pixel goes into the first layer's window as -1 or 1. These layers read it as it is, 0 or 1.",
            kept(fed=lambda pixel, logit: 2 * pixel - 1, start=start),
        )
        for start in (0.0, -1.0)
    ),
    *drawing_mistakes(lambda draw: kept(draw=draw)),
    Mistake("reseeded", RESEEDED, lambda layers, shape, generator: sample_cached(layers, shape, seeded(0))),
    *(
        Mistake("dtype", WHOLE, lambda *arguments, dtype=dtype: sample_cached(*arguments).to(dtype))
        for dtype in (torch.int64, torch.int32, torch.uint8, torch.bool)
    ),
    *(
        Mistake(
            "axes_left",
            "the shape: one number for each image and place is asked for, [batch, width].",
            lambda *arguments, change=change: change(sample_cached(*arguments)),
        )
        for change in (lambda x: x[:, None], lambda x: x[..., None], lambda x: x.T, lambda x: x[:, None, None])
    ),
)


TASKS = (
    Task(
        id="02.raster_mask",
        title="Masks A and B",
        points=1,
        difficulty=1,
        minutes=10,
        cases=mask_cases,
        reference=raster_mask,
        mistakes=MASK_MISTAKES,
        hints=(
            "Read the k x k window like a page. Which entries have you read before you come to the one in the middle?",
            "With c = k // 2: mask[i, j] = 1 if i < c, or if i == c and j < c; else 0. B adds [c, c]. No middle, no "
            "mask: ValueError.",
            "if kernel_size % 2 == 0:\n    raise ValueError(...)\nmask = torch.zeros(kernel_size, kernel_size)\n"
            "mask[..., :] = 1    # the rows above\nmask[..., ...] = 1  # the row of the centre, up to it\n"
            "mask[..., ...] = float(kind == ...)\nreturn mask",
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
            "out, into, k, _ = weight.shape\nmask = raster_mask('A', k).repeat(out, into, 1, 1)\n"
            "colour_out = torch.arange(out) * colours // out\ncolour_in = ...\n"
            "seen = colour_in[None, :] ... colour_out[:, None]\nmask[:, :, k // 2, k // 2] = seen.float()\n"
            "return F.conv2d(x, ..., bias, padding=...)",
        ),
    ),
    Task(
        id="02.gated_layer",
        title="Two stacks, and a gate",
        points=3,
        difficulty=3,
        minutes=20,
        cases=gated_cases,
        reference=gated_layer,
        mistakes=GATED_MISTAKES,
        hints=(
            "Zeros around the picture can be put on one side alone: that moves a filter. On which row should its "
            "lowest row lie for B, and how many rows of zeros above does that take? For A it is one more, and one row "
            "too many then comes out at the bottom.",
            "vertical, r x k: k // 2 columns of zeros on both sides, r - 1 rows above (A: r rows, and the last row "
            "left out). horizontal, 1 x t: t - 1 columns of zeros on the left (A: t, and the last column left out). "
            "b = horizontal * h + link a; gate(y) = tanh(first half) sigmoid(second half) along axis 1.",
            "shift = 1 if kind == 'A' else 0\nrows, columns = vertical.shape[2:]\n"
            "a = F.conv2d(F.pad(v, (..., ..., rows - 1 + shift, -shift)), vertical)\n"
            "b = F.conv2d(F.pad(h, (..., ...)), horizontal) + F.conv2d(..., link)\n"
            "signal, door = a.chunk(2, dim=...)\n...",
        ),
    ),
    Task(
        id="02.diagonal_scan",
        title="A recurrent layer, a diagonal at a time",
        points=2,
        difficulty=3,
        minutes=15,
        cases=scan_cases,
        reference=diagonal_scan,
        mistakes=SCAN_MISTAKES,
        hints=(
            "Which pixel can be computed first? Which two next, both at once? Write row + column into each pixel of a "
            "small picture.",
            "For t = 0 ... height + width - 2: the pixels (i, t - i) with 0 <= i < height and 0 <= t - i < width. "
            "Their neighbours (i - 1, t - i) and (i, t - i - 1) are done. A row and a column of zeros around the "
            "states stand for what lies outside.",
            "s = F.pad(torch.zeros_like(x), (1, 0, 1, 0))\nfor t in range(...):\n"
            "    i = torch.arange(max(0, ...), min(t + 1, ...))\n    j = t - i\n"
            "    s[:, :, i + 1, j + 1] = step(x[:, :, i, j], s[:, :, ..., ...], s[:, :, ..., ...])\nreturn s[..., ...]",
        ),
    ),
    Task(
        id="02.sample",
        title="A sampler, pixel by pixel",
        points=2,
        difficulty=2,
        minutes=10,
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
    Task(
        id="02.sample_cached",
        title="A sampler that remembers",
        points=3,
        difficulty=3,
        minutes=15,
        cases=cached_cases,
        reference=sample_cached,
        mistakes=CACHED_MISTAKES,
        compare=compare_samples,
        hints=(
            "What a layer said at place j - 1 depends on pixels before j - 1. Does it change when a later pixel is "
            "drawn? So what does each layer need to remember between two pixels?",
            "Each layer keeps a window [batch, channels, taps], zeros at first. At every place, for each layer in "
            "turn: drop the window's oldest entry, append the newest (layer 0: the pixel drawn last, 0 before the "
            "first; others: what the layer before has just said), call the layer. Draw from the last one's answer.",
            "windows = [torch.zeros(shape[0], layer.channels, layer.taps) for layer in layers]\n"
            "x, pixel = torch.zeros(shape), torch.zeros(shape[0], 1)\nfor j in range(...):\n    h = pixel\n"
            "    for i, layer in enumerate(layers):\n"
            "        windows[i] = torch.cat([windows[i][:, :, ...], ...], dim=2)\n        h = layer(...)\n"
            "    pixel = torch.bernoulli(..., generator=generator)\n    x[:, j] = ...\nreturn x",
        ),
        slow="is a loop endless, or are the images drawn one after another? One call of a layer serves them all.",
    ),
)
