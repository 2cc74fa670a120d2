"""Exercise 01: code lengths, conditionals, the chain rule, and the price of independence, on tables."""

import math
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor

from course_lib.grading.comparing import compare, difference
from course_lib.grading.task import Case, Mistake, Task, case

SOLUTION = "solutions/01_chain_rule, under the same heading."
CLOSE = 1e-6


# Tables


def double(values: list) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def random_table(pixels: int, generator: torch.Generator) -> Tensor:
    """A table [2] * pixels, positive everywhere, drawn evenly from all tables."""
    weights = 0.01 - torch.log1p(-torch.rand([2] * pixels, generator=generator, dtype=torch.float64))
    return weights / weights.sum()


def marginal(p: Tensor, seen: Iterable[int]) -> Tensor:
    """p(x_i for i in seen), with an axis of length one for each pixel that is not seen."""
    hidden = [i for i in range(p.dim()) if i not in [*seen]]
    return p.sum(hidden, keepdim=True) if hidden else p


def entropy(p: Tensor) -> Tensor:
    return -torch.xlogy(p, p).sum()


def pixels_of(p: Tensor) -> range:
    return range(p.dim())


def others(p: Tensor, pixel: int) -> list[int]:
    return [i for i in pixels_of(p) if i != pixel]


LEANING = double([[0.5, 0.2], [0.1, 0.2]])
HOLES = double([[0.5, 0.0], [0.25, 0.25]])
COPY = double([[0.5, 0.0], [0.0, 0.5]])
PARITY = double([[[0.25, 0.0], [0.0, 0.25]], [[0.0, 0.25], [0.25, 0.0]]])
"""Three pixels of which any two are independent fair coins: the third is 1 where one of the others is 1."""


def compare_numbers(case: Case, output: Any, expected: Any) -> str | None:
    """One number, as a float or a tensor, right to what float32 can tell; what is 0 up to rounding is 0."""
    want, got = (v.item() if isinstance(v, Tensor) and v.numel() == 1 else v for v in (expected, output))
    if not all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in (want, got)):
        return compare(case, got, want)
    close = math.isclose(got, want, rel_tol=1e-5, abs_tol=CLOSE) or (math.isnan(got) and math.isnan(want))
    return None if close else difference(double([got]), double([want]))


ADDED_WHERE = "a small number is added (or values are kept from falling below one) "


# Code length


def code_length(p: Tensor, model: Tensor) -> Tensor:
    """-sum_x p(x) log2 model(x), where 0 log 0 = 0."""
    return -torch.xlogy(p, model).sum() / math.log(2)


def length_cases(generator: torch.Generator) -> Iterator[Case]:
    yield case(double([0.75, 0.25]), double([0.5, 0.5]), about="one pixel, under a code for fair coins")
    yield case(double([0.5, 0.5]), double([0.25, 0.75]), about="one pixel, a fair coin")
    yield case(HOLES, torch.full((2, 2), 0.25, dtype=torch.float64), about="one state never occurs")
    for pixels in (2, 3, 4):
        yield case(random_table(pixels, generator), random_table(pixels, generator))
    yield case(HOLES, HOLES, about="one state never occurs, and the model knows")
    yield case(double([0.0, 1.0]), double([0.0, 1.0]), about="nothing is left to tell")
    yield case(double([0.75, 0.25]), double([1.0, 0.0]), about="the model holds impossible what occurs")
    yield case(HOLES, double([[0.5, 0.0], [0.5, 0.0]]), about="the model holds impossible what occurs")


def priced(log: Callable[[Tensor], Tensor]) -> Callable:
    """The code length with another logarithm."""
    return lambda p, model: -(p * log(model)).sum() / math.log(2)


def added(k: int) -> Callable[[Tensor], Tensor]:
    return lambda values: torch.log(values + 10.0**-k)


def clamped(k: int) -> Callable[[Tensor], Tensor]:
    return lambda values: torch.log(values.clamp(min=10.0**-k))


def clamped_on_both_sides(k: int) -> Callable[[Tensor], Tensor]:
    return lambda values: torch.log(values.clamp(10.0**-k, 1 - 10.0**-k))


FORGIVEN = (
    ADDED_WHERE + "before the logarithm. A model that holds impossible what occurs is forgiven: infinitely many bits "
    "become a few. Treat the states that never occur, p(x) = 0, on their own, and leave the logarithm alone."
)
INFINITY_LOST = (
    "the states to which the model gives 0 are left out. Where p gives 0 too, that is right; where p does not, an "
    "picture that occurs has no code at all, and the length is infinite. Whose zeros are to be left out?"
)
INFINITY_REPLACED = (
    "the infinity is replaced by the largest number there is. An infinite length is the right answer where the model "
    "gives 0 to what occurs: only 0 times infinity, where p(x) = 0, needs care."
)
LENGTH_MISTAKES = (
    Mistake(
        "nats",
        "these are nats: natural logarithms. The contract asks for bits, logarithms to the base 2.",
        lambda p, model: code_length(p, model) * math.log(2),
    ),
    Mistake(
        "wrong_base",
        "nats became bits with the wrong factor: one bit is ln 2 nats, so there are more bits than nats, not fewer.",
        lambda p, model: code_length(p, model) * math.log(2) ** 2,
    ),
    Mistake(
        "decimal",
        "the logarithm is to the base 10. Bits are logarithms to the base 2.",
        lambda p, model: code_length(p, model) * math.log10(2),
    ),
    Mistake(
        "exchanged",
        "p and model are exchanged. The pictures come from p, so p weighs them; the code was built for the model, so "
        "the model sets the lengths.",
        lambda p, model: code_length(model, p),
    ),
    Mistake(
        "excess",
        "this is what the wrong model costs beyond the entropy, a KL divergence. The whole length is asked for.",
        lambda p, model: code_length(p, model) - code_length(p, p),
    ),
    Mistake(
        "excess",
        "this is what the wrong model costs beyond the entropy, a KL divergence, and in nats. The whole length is "
        "asked for, in bits.",
        lambda p, model: (code_length(p, model) - code_length(p, p)) * math.log(2),
    ),
    Mistake(
        "excess",
        "this is the KL divergence, what the wrong model costs beyond the entropy, with its sign turned. The whole "
        "length is asked for, and a length is never negative.",
        lambda p, model: code_length(p, p) - code_length(p, model),
    ),
    Mistake(
        "sign_flipped",
        "the sign: the logarithm of a probability is never positive, a length never negative.",
        lambda p, model: -code_length(p, model),
    ),
    Mistake(
        "model_ignored",
        "this is the entropy of p: the length under the best code there is. The code is built for the model.",
        lambda p, model: code_length(p, p),
    ),
    Mistake(
        "p_ignored",
        "this is the entropy of the model: what the model's own pictures would cost. The pictures come from p.",
        lambda p, model: code_length(model, model),
    ),
    Mistake(
        "unweighted",
        "the lengths of all pictures are added up as they are. A picture that occurs seldom counts little: what is the "
        "weight of each?",
        lambda p, model: -torch.log2(model).sum(),
    ),
    Mistake(
        "unweighted",
        "this is the plain mean of the lengths of all pictures. A picture that occurs seldom counts little: what is "
        "the weight of each?",
        lambda p, model: -torch.log2(model).mean(),
    ),
    Mistake(
        "mean_over_states",
        "a mean over the states where a sum belongs. The weights p(x) make it an average already.",
        lambda p, model: code_length(p, model) / p.numel(),
    ),
    Mistake(
        "per_pixel",
        "these are bits per pixel: the length is divided by the number of pixels. Bits per picture are asked for.",
        lambda p, model: code_length(p, model) / p.dim(),
    ),
    Mistake(
        "states_left",
        "nothing is summed: this is what each state contributes. One number is asked for.",
        lambda p, model: -torch.xlogy(p, model) / math.log(2),
    ),
    Mistake(
        "log_of_mean",
        "the logarithm is taken last, of an average probability. Each picture has a length; the average of the lengths "
        "is asked for.",
        lambda p, model: -torch.log2((p * model).sum()),
    ),
    Mistake(
        "binary",
        "each state is treated as a coin of its own, which comes up or not: torch's binary_cross_entropy has a term "
        "for what did not happen as well. Exactly one of the states happens.",
        lambda p, model: torch.nn.functional.binary_cross_entropy(model, p, reduction="sum"),
    ),
    Mistake(
        "binary",
        "each state is treated as a coin of its own, which comes up or not: torch's binary_cross_entropy has a term "
        "for what did not happen as well. Exactly one of the states happens.",
        lambda p, model: torch.nn.functional.binary_cross_entropy(model, p, reduction="sum") / math.log(2),
    ),
    Mistake(
        "whole_bits",
        "the words are rounded up to whole bits. Coded many at a time, pictures can share bits; the length asked for "
        "is -log2 model(x) as it is.",
        lambda p, model: torch.where(p > 0, p * torch.ceil(-model.log2()), 0.0).sum(),
    ),
    Mistake(
        "softmax",
        "the model's probabilities went through a softmax: torch's cross_entropy expects logits, and gives nats.",
        lambda p, model: -(p.flatten() * model.flatten().log_softmax(0)).sum(),
    ),
    Mistake(
        "nan",
        "0 times the logarithm of 0 is NaN for a computer, and 0 here: a state that never occurs costs nothing. torch "
        "has a function for x log y that knows this; or leave those states out.",
        priced(torch.log),
    ),
    Mistake("infinity_lost", INFINITY_LOST, priced(lambda m: torch.where(m > 0, m.log(), 0.0))),
    Mistake("infinity_replaced", INFINITY_REPLACED, priced(lambda m: m.log().nan_to_num())),
    Mistake("infinity_replaced", INFINITY_REPLACED, priced(lambda m: m.log2().nan_to_num() * math.log(2))),
    Mistake("infinity_replaced", INFINITY_REPLACED, lambda p, model: -(p * model.log2()).nan_to_num().sum()),
    *(
        Mistake("added_before_log", FORGIVEN, priced(log(k)))
        for k in range(2, 21)
        for log in (added, clamped, clamped_on_both_sides)
    ),
    Mistake("added_before_log", FORGIVEN, priced(lambda m: torch.log(m + torch.finfo(m.dtype).eps))),
    Mistake("added_before_log", FORGIVEN, priced(lambda m: torch.log(m.clamp(min=torch.finfo(m.dtype).tiny)))),
)


# Conditionals


def conditional(p: Tensor, pixel: int, given: list[int]) -> Tensor:
    """p(x_pixel, x_given) / p(x_given), at every state."""
    return (marginal(p, [pixel, *given]) / marginal(p, given)).expand(p.shape)


def conditional_cases(generator: torch.Generator) -> Iterator[Case]:
    yield case(double([[0.1, 0.2], [0.3, 0.4]]), 1, [], about="two pixels, nothing given")
    yield case(double([[0.1, 0.2], [0.3, 0.4]]), 1, [0], about="two pixels, the first given")
    yield case(double([[0.1, 0.2], [0.3, 0.4]]), 0, [1], about="two pixels, the second given")
    yield case(double([0.75, 0.25]), 0, [], about="one pixel")
    for pixel, given in ((0, [2]), (1, []), (2, [1]), (1, [2, 0])):
        yield case(random_table(3, generator), pixel, given)
    for pixel, given in ((2, [3, 0]), (3, [1]), (1, [0, 2, 3]), (0, [3, 1])):
        yield case(random_table(4, generator), pixel, given)
    yield case(double([[0.0, 0.0], [0.25, 0.75]]), 1, [0], about="the first pixel is never 0")
    yield case(double([[[0.0, 0.5], [0.25, 0.0]], [[0.0] * 2, [0.25, 0.0]]]), 1, [2, 0], about="some states are 0")
    yield case(random_table(3, generator).float(), 2, [0], about="in float32")


def over_hidden(p: Tensor, pixel: int, given: list[int]) -> Tensor:
    """p(x_pixel, x_given), by a sum over a list of axes that may be empty."""
    return p.sum([i for i in pixels_of(p) if i != pixel and i not in given], keepdim=True)


def without_keepdim(p: Tensor, pixel: int, given: list[int]) -> Tensor:
    """Both sums with their axes gone, divided as they then happen to fit each other."""
    hidden = [i for i in pixels_of(p) if i != pixel and i not in given]
    return p.sum(hidden) / p.sum([*hidden, pixel])


def averaged(p: Tensor, pixel: int, given: list[int]) -> Tensor:
    """p(x_pixel | all others), averaged evenly over what is not given."""
    hidden = [i for i in pixels_of(p) if i != pixel and i not in given]
    full = p / p.sum(pixel, keepdim=True)
    return (full.mean(hidden, keepdim=True) if hidden else full).expand(p.shape)


def at_one(p: Tensor, pixel: int, given: list[int]) -> Tensor:
    ones = conditional(p, pixel, given).select(pixel, 1)
    return ones.unsqueeze(pixel).expand(p.shape)


def from_the_end(p: Tensor, pixel: int, given: list[int]) -> Tensor:
    last = p.dim() - 1
    return conditional(p, last - pixel, [last - i for i in given])


def changing(answer: Callable, change: Callable[[list[int], tuple], None]) -> Callable:
    """The answer, with its last argument, a list, changed in place: change(list, the arguments before it)."""

    def changed(*arguments: Any) -> Any:
        value = answer(*arguments[:-1], [*arguments[-1]])
        change(arguments[-1], arguments[:-1])
        return value

    return changed


LIST_CHANGED = (
    "the answer is right, and the list that was passed in is another one afterwards. It belongs to whoever called, "
    "who may ask with it again. Make a new list instead of changing this one."
)


LIST_CHANGES = (
    lambda given, before: given.append(before[-1]),
    lambda given, before: given.sort(),
    lambda given, before: given.clear(),
)


def along(axis: int, table: Tensor) -> Tensor:
    return table / table.sum(axis, keepdim=True)


def over_all(table: Tensor) -> Tensor:
    return table / table.sum()


def compare_tables(case: Case, output: Any, expected: Any) -> str | None:
    """As ever, without a guess at a mean: a table that is halved may have been divided by many a thing."""
    said = compare(case, output, expected)
    return said and said.removesuffix(": a mean where a sum belongs?")


def added_below(k: int) -> Callable:
    """The conditional with a small number under the line, added or as a floor."""
    return lambda p, pixel, given: (marginal(p, [pixel, *given]) / (marginal(p, given) + 10.0**-k)).expand(p.shape)


def floor_below(k: int) -> Callable:
    return lambda p, pixel, given: (marginal(p, [pixel, *given]) / marginal(p, given).clamp(min=10.0**-k)).expand(
        p.shape
    )


NUMBER_FOR_NAN = (
    "where x_given never occurs, the answer is a number. It cannot be known there, and the contract has nan: 0 / 0 "
    "gives it by itself. A nan that is replaced, or a small number under the line that keeps it away, hides from a "
    "later step that the question made no sense."
)
DROPPED = (
    "the axes of the pixels that were summed out are gone: the table is smaller, and what is left of it no longer "
    "lines up with p. The contract asks for the shape of p: the answer read off at every state, whatever the hidden "
    "pixels are. Torch can keep an axis that it sums over, with length one."
)
SUM_OVER_NOTHING = (
    "right wherever a pixel is summed out, wrong where none is: torch takes an empty list of axes to mean all of them, "
    "so a sum over no pixel became the sum of the whole table, 1."
)
DTYPE = "the numbers are right, their dtype is not: the contract asks for that of p."
CONDITIONAL_MISTAKES = (
    Mistake(
        "not_divided",
        "this is p(x_pixel, x_given), both together. A conditional is that, divided by the probability of what is "
        "given.",
        lambda p, pixel, given: marginal(p, [pixel, *given]).expand(p.shape),
    ),
    Mistake(
        "only_given",
        "this is p(x_given), what stands under the line. Above it belongs p(x_pixel, x_given).",
        lambda p, pixel, given: marginal(p, given).expand(p.shape),
    ),
    Mistake(
        "given_ignored",
        "this is p(x_pixel): what is given makes no difference to it.",
        lambda p, pixel, given: marginal(p, [pixel]).expand(p.shape),
    ),
    Mistake(
        "turned_round",
        "this is p(x_given | x_pixel): it is divided by the probability of the pixel. Divide by the probability of "
        "what is known.",
        lambda p, pixel, given: (marginal(p, [pixel, *given]) / marginal(p, [pixel])).expand(p.shape),
    ),
    Mistake(
        "upside_down",
        "the fraction is upside down: a conditional probability is never above 1.",
        lambda p, pixel, given: 1 / conditional(p, pixel, given),
    ),
    Mistake(
        "divided_by_wrong",
        "it is divided by the product of p(x_pixel) and p(x_given). Only what is given belongs under the line.",
        lambda p, pixel, given: (marginal(p, [pixel, *given]) / marginal(p, given) / marginal(p, [pixel])).expand(
            p.shape
        ),
    ),
    Mistake(
        "all_others_given",
        "this is p(x_pixel | all others). The pixels that are not given are unknown: sum over their values, above the "
        "line and below it.",
        lambda p, pixel, given: p / p.sum(pixel, keepdim=True),
    ),
    Mistake(
        "nothing_summed_above",
        "the pixels that are neither asked for nor given are summed out below the line, and not above it.",
        lambda p, pixel, given: p / marginal(p, given),
    ),
    Mistake(
        "hidden_for_given",
        "the given pixels are summed out, and the others are kept. To know a pixel is to keep its axis; to sum over an "
        "axis is to forget the pixel.",
        lambda p, pixel, given: conditional(p, pixel, [i for i in others(p, pixel) if i not in given]),
    ),
    Mistake(
        "averaged",
        "p(x_pixel | all others) is averaged evenly over the values of the hidden pixels. Not all of these are equally "
        "probable: sum first, above the line and below it, and divide then.",
        averaged,
    ),
    Mistake(
        "mean_for_sum",
        "a mean over the hidden pixels where a sum belongs: the lines above and below average over different numbers "
        "of states, and every value is off by a factor.",
        lambda p, pixel, given: conditional(p, pixel, given) * 2,
    ),
    Mistake(
        "mean_for_sum",
        "a mean over the hidden pixels where a sum belongs, on one side of the line.",
        lambda p, pixel, given: conditional(p, pixel, given) / 2 ** (p.dim() - 1 - len(given)),
    ),
    Mistake(
        "only_one_given",
        "only one of the given pixels counts.",
        lambda p, pixel, given: conditional(p, pixel, given[:1]),
    ),
    Mistake(
        "only_one_given",
        "only one of the given pixels counts.",
        lambda p, pixel, given: conditional(p, pixel, given[-1:]),
    ),
    Mistake(
        "given_cut",
        "only those of the given pixels count that have a smaller number than the pixel asked for. Any other pixel may "
        "be given, before it or after it.",
        lambda p, pixel, given: conditional(p, pixel, [i for i in given if i < pixel]),
    ),
    Mistake(
        "given_cut",
        "only those of the given pixels count that have a larger number than the pixel asked for. Any other pixel may "
        "be given, before it or after it.",
        lambda p, pixel, given: conditional(p, pixel, [i for i in given if i > pixel]),
    ),
    Mistake(
        "raster_past",
        "all pixels of a smaller number are taken for given, whatever `given` holds.",
        lambda p, pixel, given: conditional(p, pixel, [*range(pixel)]),
    ),
    Mistake(
        "normalised_over_all",
        "p(x_pixel, x_given) is divided by its sum over the whole table. A conditional is divided by p(x_given): for "
        "each value of what is given its own sum, over the pixel alone.",
        lambda p, pixel, given: over_all(marginal(p, [pixel, *given]).expand(p.shape)),
    ),
    Mistake(
        "complement",
        "this is 1 minus the probability: that the pixel has the value it does not have in the state.",
        lambda p, pixel, given: 1 - conditional(p, pixel, given),
    ),
    *(
        Mistake(
            "wrong_axis",
            "p(x_pixel, x_given) is divided by its sum over one and the same axis, whatever the pixel. What is given "
            "stays; the sum runs over the values of the pixel that is asked for.",
            lambda p, pixel, given, axis=axis: along(axis, marginal(p, [pixel, *given])).expand(p.shape),
        )
        for axis in (0, -1)
    ),
    *(Mistake("list_changed", LIST_CHANGED, changing(conditional, change)) for change in LIST_CHANGES),
    Mistake(
        "one_is_one",
        "this is the probability that the pixel is 1, at every state. Where the state has a 0 there, the probability "
        "of 0 is asked for.",
        at_one,
    ),
    Mistake(
        "one_is_one",
        "this is the probability that the pixel is 0, at every state. Where the state has a 1 there, the probability "
        "of 1 is asked for.",
        lambda p, pixel, given: at_one(p.flip(pixel), pixel, given),
    ),
    Mistake(
        "from_the_end",
        "the pixels are counted from the wrong end: pixel 0 is the first axis of the table.",
        from_the_end,
    ),
    Mistake(
        "sum_over_nothing",
        SUM_OVER_NOTHING,
        lambda p, pixel, given: (over_hidden(p, pixel, given) / marginal(p, given)).expand(p.shape),
    ),
    Mistake(
        "sum_over_nothing",
        SUM_OVER_NOTHING,
        lambda p, pixel, given: (
            over_hidden(p, pixel, given) / over_hidden(p, pixel, given).sum(pixel, keepdim=True)
        ).expand(p.shape),
    ),
    Mistake(
        "axes_of_length_one",
        "the probabilities are right, and the axes of the hidden pixels have length one. The contract asks for the "
        "shape of p: the answer read off at every state, whatever the hidden pixels are.",
        lambda p, pixel, given: marginal(p, [pixel, *given]) / marginal(p, given),
    ),
    Mistake(
        "given_summed",
        "it is divided by the sum over the pixels that are given. A sum over an axis forgets the pixel: p(x_given) is "
        "the sum over all pixels that are not given.",
        lambda p, pixel, given: p / p.sum(given, keepdim=True),
    ),
    Mistake("axes_dropped", DROPPED, without_keepdim),
    Mistake(
        "axes_dropped",
        DROPPED,
        lambda p, pixel, given: (marginal(p, [pixel, *given]) / marginal(p, given)).squeeze(),
    ),
    Mistake(
        "log",
        "this is the logarithm of the probability. The probability itself is asked for.",
        lambda p, pixel, given: conditional(p, pixel, given).log(),
    ),
    Mistake("dtype", DTYPE, lambda p, pixel, given: conditional(p, pixel, given).float()),
    Mistake("dtype", DTYPE, lambda p, pixel, given: conditional(p, pixel, given).double()),
    *(
        Mistake(
            "number_for_nan", NUMBER_FOR_NAN, lambda p, pixel, given, v=v: conditional(p, pixel, given).nan_to_num(v)
        )
        for v in (0.0, 0.5, 1.0)
    ),
    *(
        Mistake("number_for_nan", NUMBER_FOR_NAN, below(k))
        for k in range(3, 21)
        for below in (added_below, floor_below)
    ),
)


# The chain


CARRIED_OVER = (
    *("turned_round", "sum_over_nothing", "averaged", "one_is_one", "from_the_end", "nothing_summed_above"),
    *("axes_of_length_one", "axes_dropped", "given_summed", "complement"),
    *("given_cut", "wrong_axis"),
)
"""Mistakes of `conditional` that show in a chain, and that no other mistake of the chain looks like."""


def require_order(p: Tensor, order: list[int]) -> None:
    if sorted(order) != [*pixels_of(p)]:
        raise ValueError(f"an order names each of {p.dim()} pixels exactly once, got {order}")


def steps(given: Callable[[list[int], int], list[int]], rule: Callable = conditional) -> Callable:
    """The chain with other pixels given at step k: given(order, k)."""

    def answer(p: Tensor, order: list[int]) -> Tensor:
        require_order(p, order)
        return torch.stack([rule(p, pixel, given(order, k)) for k, pixel in enumerate(order)])

    return answer


def before(order: list[int], k: int) -> list[int]:
    return order[:k]


chain_reference = steps(before)


def chain(p: Tensor, order: list[int]) -> Tensor:
    """Row k: p(x_order[k] | x_order[0], ..., x_order[k-1])."""
    return chain_reference(p, order)


def chain_cases(generator: torch.Generator) -> Iterator[Case]:
    for order in ([0, 1], [1, 0]):
        yield case(double([[0.1, 0.2], [0.3, 0.4]]), order, about="two pixels")
    yield case(double([0.75, 0.25]), [0], about="one pixel")
    for order in ([0, 1, 2], [2, 0, 1], [1, 2, 0]):
        yield case(random_table(len(order), generator), order)
    for order in ([2, 0, 3, 1], [0, 1, 2, 3], torch.randperm(4, generator=generator).tolist()):
        yield case(random_table(len(order), generator), order)
    yield case(double([[0.0, 0.0], [0.25, 0.75]]), [0, 1], about="the first pixel is never 0")
    yield case(random_table(3, generator).float(), [1, 2, 0], about="in float32")
    pair = double([[0.1, 0.2], [0.3, 0.4]])
    for order, about in (
        ([0], "a pixel is missing"),
        ([0, 0], "one pixel stands twice, the other is missing"),
        ([0, 1, 0], "a pixel stands twice"),
        ([0, 2], "there is no pixel 2"),
    ):
        yield case(pair, order, about=f"no order of the two pixels: {about}")


def reordered(change: Callable[[list[int]], list[int]]) -> Callable:
    """The chain in an order made from the one that is asked for."""

    def answer(p: Tensor, order: list[int]) -> Tensor:
        require_order(p, order)
        return chain(p, change(order))

    return answer


def inverse(order: list[int]) -> list[int]:
    return [order.index(i) for i in range(len(order))]


def finished(change: Callable[[Tensor, list[int]], Any]) -> Callable:
    """The right rows, with something done to them: change(rows, order)."""
    return lambda p, order: change(chain(p, order), order)


def unchecked(accepts: Callable[[Tensor, list[int]], bool], notices: bool) -> Callable:
    """The chain that raises only where `accepts` does not hold; a pixel that is there twice is certain.

    `notices`: whether torch complains of a pixel that there is not.
    """

    def answer(p: Tensor, order: list[int]) -> Tensor:
        if not accepts(p, order):
            raise ValueError("order")
        if notices and max(order) >= p.dim():
            raise IndexError("Dimension out of range")
        return torch.stack([conditional(p, pixel, order[:k]) for k, pixel in enumerate(order)])

    return answer


def pixel_k(p: Tensor, order: list[int]) -> Tensor:
    require_order(p, order)
    return torch.stack([conditional(p, k, [i for i in order[:k] if i != k]) for k in range(len(order))])


def raising(error: type[Exception]) -> Callable:
    """The chain that raises something else where a ValueError belongs."""

    def answer(p: Tensor, order: list[int]) -> Tensor:
        try:
            return chain(p, order)
        except ValueError:
            raise error from None

    return answer


NO_CHECK = (
    "an order that does not name every pixel exactly once goes by without an exception. The contract asks for a "
    "ValueError there, raised, not printed: compare the order with what it is a rearrangement of."
)
PART_CHECK = (
    "some orders that are none get through. It takes two things: every pixel is there, and none is there twice. A "
    "rearrangement, once sorted, is always the same list."
)
HALF_CHECKS = (
    lambda p, order: len(order) == p.dim(),
    lambda p, order: len({*order}) == len(order),
    lambda p, order: {*order} == {*pixels_of(p)},
    lambda p, order: len({*order}) == p.dim(),
    lambda p, order: len({*order}) == len(order) == p.dim(),
)
CHAIN_MISTAKES = (
    Mistake(
        "marginals",
        "each row is p(x_pixel) alone. From the second step on, the pixels before it are known: the product of these "
        "rows is the model of independent pixels.",
        steps(lambda order, k: []),
    ),
    Mistake(
        "previous_only",
        "each pixel is given only the one just before it. Nothing says that it forgets all earlier ones: the chain "
        "rule conditions on the whole past.",
        steps(lambda order, k: order[k - 1 : k]),
    ),
    Mistake(
        "first_only",
        "each pixel is given only the first one of the order. The chain rule conditions on the whole past.",
        steps(lambda order, k: order[: min(k, 1)]),
    ),
    Mistake(
        "one_too_few",
        "each pixel is given its past but for the pixel just before it: a slice a[:n] ends before n.",
        steps(lambda order, k: order[: max(k - 1, 0)]),
    ),
    Mistake(
        "one_too_few",
        "each step is given one pixel too few, and the first is given all but one: a[:-1] does not count from zero.",
        steps(lambda order, k: [i for i in order[: k - 1] if i != order[k]]),
    ),
    Mistake(
        "itself_given",
        "each pixel is given itself, and then it is certain: probability 1. A slice a[:n] ends before n.",
        finished(lambda rows, order: torch.where(rows.isnan(), rows, 1.0)),
    ),
    Mistake(
        "future_given",
        "each pixel is given those that come after it in the order. The rows multiply to p, as any chain's do; but it "
        "is the chain of the reversed order.",
        steps(lambda order, k: order[k + 1 :]),
    ),
    Mistake(
        "others_given",
        "each pixel is given all others, before and after. These rows do not multiply to p: task 6 is about them.",
        steps(lambda order, k: order[:k] + order[k + 1 :]),
    ),
    Mistake(
        "raster_past",
        "the pixels are taken in the order asked for, and each is given those of a smaller number. What is known at "
        "step k is what the order has named before.",
        steps(lambda order, k: [*range(order[k])]),
    ),
    Mistake(
        "raster_past",
        "the pixels are taken in the order asked for, and step k is given pixels 0 to k - 1. What is known at step k "
        "is what the order has named before.",
        steps(lambda order, k: [i for i in range(k) if i != order[k]]),
    ),
    Mistake(
        "pixel_k",
        "step k is about pixel k instead of the pixel that the order names there.",
        pixel_k,
    ),
    Mistake(
        "pixel_k",
        "step k is about pixel k instead of the pixel that the order names there.",
        lambda p, order: require_order(p, order) or torch.stack([conditional(p, k, order[:k]) for k in range(p.dim())]),
    ),
    *(
        Mistake(
            "cut_at_pixel",
            "the order is cut at the number of the pixel, where it is to be cut at the number of the step. Pixel i "
            "comes at some step k, seldom at step i: what is known then is what stands before it in the order.",
            answer,
        )
        for answer in (
            steps(lambda order, k: order[: order[k]]),
            steps(lambda order, k: [i for i in order[: order[k]] if i != order[k]]),
        )
    ),
    Mistake(
        "order_ignored",
        "the order makes no difference: these are the rows of the order 0, 1, 2, ...",
        reordered(sorted),
    ),
    Mistake(
        "order_ignored",
        "the order makes no difference: these are the rows of 0, 1, 2, ... To compare with a sorted list, make a new "
        "one: a list that is sorted in place has lost its order, for whoever called as well.",
        changing(reordered(sorted), lambda order, before: order.sort()),
    ),
    *(
        Mistake("list_changed", LIST_CHANGED, changing(chain, change))
        for change in (list.clear, list.sort, list.reverse, list.pop)
        for change in [lambda order, before, change=change: change(order)]
    ),
    Mistake(
        "backwards",
        "the order is walked from its end.",
        reordered(lambda order: order[::-1]),
    ),
    Mistake(
        "inverse_order",
        "the order is read the other way round: order[k] names the pixel of step k, not the step of pixel k.",
        reordered(inverse),
    ),
    Mistake(
        "rows_by_pixel",
        "the right conditionals, and each stands in the row of its pixel. Row k belongs to step k.",
        finished(lambda rows, order: rows[inverse(order)]),
    ),
    Mistake(
        "beginnings",
        "each row is the probability of a whole beginning, p(x_order[0], ..., x_order[k]). The chain needs the ratio "
        "of one to the one before.",
        steps(before, lambda p, pixel, given: marginal(p, [pixel, *given]).expand(p.shape)),
    ),
    Mistake(
        "products",
        "each row is the product of the conditionals so far. The conditionals themselves are asked for.",
        finished(lambda rows, order: rows.cumprod(0)),
    ),
    Mistake(
        "multiplied",
        "the rows are multiplied already: that is p again. The rows themselves are asked for, one for each step.",
        finished(lambda rows, order: rows.prod(0)),
    ),
    Mistake(
        "logs",
        "these are logarithms, which add up to log p. The probabilities are asked for, which multiply to p.",
        finished(lambda rows, order: rows.log()),
    ),
    Mistake(
        "first_missing",
        "the first step is missing: its pixel has no past, and a probability all the same.",
        finished(lambda rows, order: rows[1:]),
    ),
    Mistake(
        "last_missing",
        "the last step is missing: range(n) already stops before n.",
        finished(lambda rows, order: rows[:-1]),
    ),
    Mistake(
        "not_stacked",
        "the rows are right, and come in a Python list or tuple. The contract asks for one tensor: torch can stack "
        "them.",
        finished(lambda rows, order: [*rows]),
    ),
    Mistake(
        "joined",
        "the rows are joined end to end along the first pixel's axis. They need an axis of their own, the first, which "
        "counts the steps.",
        finished(lambda rows, order: rows.flatten(0, 1)),
    ),
    Mistake(
        "permuted",
        "the table itself has been put in the order, and then the rows lie in another order than p: their axis i is "
        "no longer pixel i.",
        lambda p, order: require_order(p, order) or chain(p.permute(order), [*pixels_of(p)]),
    ),
    Mistake(
        "stacked_last",
        "the rows are right, and stand along the last axis. The first axis counts the steps.",
        finished(lambda rows, order: rows.movedim(0, -1)),
    ),
    Mistake("dtype", DTYPE, finished(lambda rows, order: rows.float())),
    Mistake("dtype", DTYPE, finished(lambda rows, order: rows.double())),
    Mistake("number_for_nan", NUMBER_FOR_NAN, finished(lambda rows, order: rows.nan_to_num(0.0))),
    *(
        Mistake(
            "other_exception",
            "an order that does not name every pixel exactly once is refused, but with another exception. The contract "
            "asks for a ValueError, so that whoever calls can tell what is wrong.",
            raising(error),
        )
        for error in (AssertionError, IndexError, KeyError, RuntimeError, TypeError, Exception)
    ),
    *(Mistake("order_accepted", NO_CHECK, unchecked(lambda p, order: True, notices)) for notices in (True, False)),
    *(
        Mistake("order_half_checked", PART_CHECK, unchecked(accepts, notices))
        for accepts in HALF_CHECKS
        for notices in (True, False)
    ),
    *(
        Mistake(
            "conditional_wrong",
            "these rows are built on conditionals that are not right. If they come from your `conditional`, its own "
            "check says more.",
            steps(before, mistake.answer),
        )
        for mistake in CONDITIONAL_MISTAKES
        if mistake.name in CARRIED_OVER
    ),
)


# Total correlation


def marginal_entropies(p: Tensor) -> Tensor:
    return torch.stack([entropy(marginal(p, [i])) for i in pixels_of(p)])


def total_correlation(p: Tensor) -> Tensor:
    """sum_i H(x_i) - H(x), in nats."""
    return marginal_entropies(p).sum() - entropy(p)


def correlation_cases(generator: torch.Generator) -> Iterator[Case]:
    yield case(LEANING, about="two pixels that lean on each other")
    yield case(double([[0.1, 0.3], [0.15, 0.45]]), about="two independent pixels")
    yield case(double([0.75, 0.25]), about="one pixel: nothing to lean on")
    yield case(random_table(2, generator))
    yield case(random_table(3, generator))
    yield case(random_table(4, generator))
    yield case(COPY, about="two pixels, always equal")
    yield case(HOLES, about="one state never occurs")
    yield case(PARITY, about="any two are independent fair coins; the third is 1 where exactly one of them is")
    yield case(double([[0.0, 0.0], [0.0, 1.0]]), about="one state always occurs")


def independent(p: Tensor) -> Tensor:
    """prod_i p(x_i)."""
    return torch.stack([marginal(p, [i]).expand(p.shape) for i in pixels_of(p)]).prod(0)


def divergence(p: Tensor, q: Tensor) -> Tensor:
    """KL(p, q), with 0 log 0 = 0."""
    return (torch.xlogy(p, p) - torch.xlogy(p, q)).sum()


def pairs(p: Tensor) -> Tensor:
    """The sum of the mutual informations of all pairs."""
    both = [marginal(p, [i, j]) for i in pixels_of(p) for j in range(i)]
    return torch.stack([p.new_zeros(()), *(total_correlation(pair.squeeze()) for pair in both)]).sum()


def rest_entropies(p: Tensor) -> Tensor:
    """H of all pixels but one, for each that is left out."""
    return torch.stack([entropy(p.sum(i)) for i in pixels_of(p)])


def by_logs(log: Callable[[Tensor], Tensor]) -> Callable:
    """sum_i H(x_i) - H(x) with another logarithm."""

    def answer(p: Tensor) -> Tensor:
        singles = [-(m * log(m)).sum() for m in (marginal(p, [i]) for i in pixels_of(p))]
        return torch.stack(singles).sum() + (p * log(p)).sum()

    return answer


def ones_only(p: Tensor) -> Tensor:
    ones = torch.stack([p.select(i, 1).sum() for i in pixels_of(p)])
    return entropy(ones) - entropy(p)


NAN = (
    "0 times the logarithm of 0 is NaN for a computer, and 0 here: what never occurs adds nothing. (The same NaN comes "
    "from 1 - m where m is 1 up to rounding: its logarithm does not exist.) torch has a function for x log y that "
    "knows this; or leave those states out."
)
NAN_REPLACED = (
    "a NaN is replaced by 0 when it is too late. A state that never occurs makes NaN of the term it stands in, that "
    "term of its sum, and the whole sum is then lost with it. Only the one term is 0."
)


ADDED_AND_SEEN = (
    ADDED_WHERE + "before the logarithm, and large enough to be seen in the answer. Only what never occurs needs care, "
    "and there the term is 0."
)


def nan_for_zero(p: Tensor) -> Tensor:
    return by_logs(torch.log)(p).nan_to_num()


def nan_for_zero_in_each(p: Tensor) -> Tensor:
    """The same with each entropy by itself."""
    single = torch.stack([marginal(p, [i]).flatten() for i in pixels_of(p)])
    return -(single * single.log()).sum(1).nan_to_num().sum() + (p * p.log()).sum().nan_to_num()


def by_ratio(k: int) -> Callable:
    return lambda p: (p * (p / independent(p) + 10.0**-k).log()).sum()


def by_two_logs(k: int) -> Callable:
    return lambda p: (p * ((p + 10.0**-k) / (independent(p) + 10.0**-k)).log()).sum()


IN_BITS = "these are bits. The contract asks for nats: natural logarithms."
CORRELATION_MISTAKES = (
    Mistake("bits", IN_BITS, lambda p: total_correlation(p) / math.log(2)),
    Mistake(
        "sign_flipped",
        "the sign: independent pixels never cost less than the truth, so it is never negative.",
        lambda p: -total_correlation(p),
    ),
    Mistake(
        "joint_entropy",
        "this is H(x), the entropy of the whole. It is only one of the two parts.",
        entropy,
    ),
    Mistake(
        "marginal_entropies",
        "this is the sum of the pixels' entropies, what independent pixels cost in all. What the truth costs is to be "
        "taken off.",
        lambda p: marginal_entropies(p).sum(),
    ),
    Mistake(
        "entropies_left",
        "nothing is summed: there is a number for each pixel. One number is asked for.",
        lambda p: marginal_entropies(p) - entropy(p),
    ),
    Mistake(
        "entropies_added",
        "the two parts are added: H(x) is to be taken off. Check the sign that each entropy carries.",
        lambda p: marginal_entropies(p).sum() + entropy(p),
    ),
    Mistake(
        "taken_off_often",
        "H(x) is taken off for each pixel. It is what the picture costs, once: take it off the sum.",
        lambda p: marginal_entropies(p).sum() - p.dim() * entropy(p),
    ),
    *(
        Mistake(
            "units_mixed",
            f"one part is in bits, the other in nats: {part} has been divided by ln 2. The contract asks for nats.",
            lambda p, one=one, two=two: marginal_entropies(p).sum() / one - entropy(p) / two,
        )
        for part, one, two in (("the first", math.log(2), 1), ("the second", 1, math.log(2)))
    ),
    Mistake(
        "mean_over_pixels",
        "the mean of the pixels' entropies where their sum belongs: independent pixels are paid for one by one.",
        lambda p: marginal_entropies(p).mean() - entropy(p),
    ),
    Mistake(
        "per_pixel",
        "this is the price per pixel: it is divided by the number of pixels. Nats per picture are asked for.",
        lambda p: total_correlation(p) / p.dim(),
    ),
    Mistake(
        "per_state",
        "a mean over the states where a sum belongs. The weights p(x) make it an average already.",
        lambda p: total_correlation(p) / p.numel(),
    ),
    Mistake(
        "ones_only",
        "of each pixel only -m log m is counted, with m the probability of a 1. A pixel that is 0 costs something "
        "too: an entropy has a term for each value.",
        ones_only,
    ),
    Mistake(
        "read_off_at_states",
        "p(x_i) read off at every state stands there many times, once for each value of the other pixels. The entropy "
        "of a pixel has one term for each of its two values.",
        lambda p: sum(entropy(marginal(p, [i]).expand(p.shape)) for i in pixels_of(p)) - entropy(p),
    ),
    Mistake(
        "axis_forgotten",
        "a sum over axis i forgets pixel i and keeps all others: these are the entropies of all pixels but one. For "
        "p(x_i), sum over the others.",
        lambda p: rest_entropies(p).sum() - entropy(p),
    ),
    Mistake(
        "sum_over_nothing",
        "right wherever a pixel is summed out, wrong for a picture of one pixel: torch takes an empty list of axes to "
        "mean all of them, so a sum over no pixel became the sum of the whole table, 1.",
        lambda p: total_correlation(p) - (entropy(p) if p.dim() == 1 else 0),
    ),
    Mistake(
        "dual",
        "the entropies in the sum are of each pixel given all others. Independent pixels know nothing of each other: "
        "each costs the entropy of its own marginal.",
        lambda p: entropy(p) - (entropy(p) - rest_entropies(p)).sum(),
    ),
    Mistake(
        "dual",
        "the entropies in the sum are of each pixel given all others. Independent pixels know nothing of each other: "
        "each costs the entropy of its own marginal.",
        lambda p: (entropy(p) - rest_entropies(p)).sum() - entropy(p),
    ),
    Mistake(
        "pairs",
        "this adds up what each pair of pixels shares. Three pixels can share what no two of them do; and what is "
        "shared by all is counted more than once.",
        pairs,
    ),
    Mistake(
        "divergence_reversed",
        "this is the divergence the other way round, weighed by the product of the marginals. The pictures come from "
        "p, so p weighs them.",
        lambda p: divergence(independent(p), p),
    ),
    Mistake(
        "unweighted",
        "the logarithms of all states are added up as they are. A state that occurs seldom counts little: what is the "
        "weight of each?",
        lambda p: (p.log() - independent(p).log()).sum(),
    ),
    Mistake(
        "fair_coins",
        "p is held against fair coins. The best independent pixels have the marginals of p.",
        lambda p: p.dim() * math.log(2) - entropy(p),
    ),
    Mistake(
        "states_left",
        "nothing is summed: this is what each state contributes. One number is asked for.",
        lambda p: torch.xlogy(p, p) - torch.xlogy(p, independent(p)),
    ),
    *(
        Mistake(
            "one_for_all",
            "the entropy of one pixel is taken for that of every pixel. Each has its own marginal.",
            lambda p, i=i: p.dim() * marginal_entropies(p)[i] - entropy(p),
        )
        for i in (0, -1)
    ),
    *(
        Mistake(
            "pixel_missing",
            f"the {which} pixel is missing from the sum: independent pixels are all paid for.",
            lambda p, left=left: marginal_entropies(p)[left].sum() - entropy(p),
        )
        for which, left in (("last", slice(None, -1)), ("first", slice(1, None)))
    ),
    Mistake(
        "first_two_only",
        "only the first two pixels are in the sum. There may be any number of them.",
        lambda p: marginal_entropies(p)[:2].sum() - entropy(p),
    ),
    *(Mistake("nan_replaced", NAN_REPLACED, answer) for answer in (nan_for_zero, nan_for_zero_in_each)),
    Mistake("nan", NAN, by_logs(torch.log)),
    Mistake("nan", NAN, lambda p: (p * (p / independent(p)).log()).sum()),
    Mistake("nan", NAN, lambda p: (p * (p.log() - independent(p).log())).sum()),
    *(
        Mistake(
            "added_before_log",
            ADDED_AND_SEEN,
            answer,
        )
        for k in range(3, 6)
        for answer in (
            *(by_logs(log(k)) for log in (added, clamped_on_both_sides)),
            *(by_ratio(k), by_two_logs(k)),
        )
    ),
    Mistake("added_before_log", ADDED_AND_SEEN, by_logs(added(6))),
    Mistake("always_zero", "this is always 0: an entropy is held against itself.", lambda p: entropy(p) * 0),
)


# Conditional total correlation


def rows_of(joint: Tensor) -> list[tuple[Tensor, Tensor]]:
    """(p(z), p(x | z)) for each z that occurs."""
    return [(p_z, row / p_z) for row in joint for p_z in [row.sum()] if p_z > 0]


def weighted(joint: Tensor, price: Callable[[Tensor], Tensor]) -> Tensor:
    return torch.stack([p_z * price(row) for p_z, row in rows_of(joint)]).sum()


def conditional_total_correlation(joint: Tensor) -> Tensor:
    """sum_z p(z) TC(x | z), in nats."""
    return weighted(joint, total_correlation)


def random_joint(codes: int, pixels: int, generator: torch.Generator) -> Tensor:
    """p(z, x) with codes of very different probabilities."""
    weights = torch.arange(1, codes + 1, dtype=torch.float64) ** 2
    return torch.stack([w / weights.sum() * random_table(pixels, generator) for w in weights])


def conditional_correlation_cases(generator: torch.Generator) -> Iterator[Case]:
    agreeing = double([[0.4, 0.1], [0.1, 0.4]])
    yield case(torch.stack([0.25 * LEANING, 0.75 * agreeing]), about="two codes, p(z) = 1/4 and 3/4; two pixels")
    yield case(torch.stack([0.25 * COPY, 0.75 * double([[0.25] * 2] * 2)]), about="two codes, p(z) = 1/4 and 3/4")
    explained = torch.stack([double([[0.25, 0.0], [0.0, 0.0]]), double([[0.0, 0.0], [0.0, 0.75]])])
    yield case(explained, about="the code says what both pixels are")
    yield case(PARITY, about="independent pixels; the code says whether they differ")
    yield case(LEANING[None], about="a single code")
    yield case(random_joint(3, 2, generator), about="three codes, two pixels")
    yield case(random_joint(2, 3, generator), about="two codes, three pixels")
    yield case(random_joint(5, 4, generator), about="five codes, four pixels")
    yield case(random_joint(3, 1, generator), about="three codes, one pixel")
    yield case(torch.stack([0.25 * LEANING, 0.75 * HOLES]), about="two codes; one state never occurs with the second")
    never = torch.stack([0.25 * LEANING, 0.25 * agreeing, 0 * LEANING, 0.5 * COPY])
    yield case(never, about="four codes, of which the third never occurs")


def explained_by_code(joint: Tensor) -> Tensor:
    return total_correlation(joint.sum(0)) - conditional_total_correlation(joint)


def each_code(joint: Tensor) -> Tensor:
    return torch.stack([total_correlation(row) for _, row in rows_of(joint)])


def raw(weigh: bool) -> Callable:
    """The rows p(z, x) used as they are, as if each summed to 1."""

    def answer(joint: Tensor) -> Tensor:
        return torch.stack([(row.sum() if weigh else 1) * total_correlation(row) for row in joint]).sum()

    return answer


def raw_from_ones(weigh: bool) -> Callable:
    """The same with each pixel's entropy from m and 1 - m."""

    def price(row: Tensor) -> Tensor:
        ones = torch.stack([row.select(i, 1).sum() for i in pixels_of(row)])
        return entropy(ones) + entropy(1 - ones) - entropy(row)

    return lambda joint: torch.stack([(row.sum() if weigh else 1) * price(row) for row in joint]).sum()


def nan_for_what_never_occurs(joint: Tensor) -> Tensor:
    """0 / 0 is NaN, and NaN it stays."""
    p_z = joint.flatten(1).sum(1)
    return conditional_total_correlation(joint) if (p_z > 0).all() else joint.new_tensor(math.nan)


def mixed_with_codes(joint: Tensor) -> Tensor:
    return total_correlation(joint.reshape(joint.shape[0], -1))


def until_empty(joint: Tensor) -> Tensor:
    """The codes before the first one that never occurs."""
    seen = (joint.flatten(1).sum(1) > 0).cumprod(0).bool()
    return weighted(joint[seen], total_correlation)


def lost_with_empty(joint: Tensor) -> Tensor:
    return nan_for_what_never_occurs(joint).nan_to_num()


def price_by_divergence(row: Tensor) -> Tensor:
    return divergence(row, independent(row))


def added_to_code(k: int, price: Callable) -> Callable:
    """Each row divided by p(z) and a little more."""
    return lambda joint: torch.stack([row.sum() * price(row / (row.sum() + 10.0**-k)) for row in joint]).sum()


def shared_out(price: Callable, weigh: bool) -> Callable:
    """The price of p(z | x), of the codes that occur."""

    def answer(joint: Tensor) -> Tensor:
        rows = [(row.sum() if weigh else 1, part) for row, part in zip(joint, joint / joint.sum(0), strict=True)]
        return torch.stack([p_z * price(row) for p_z, row in rows if p_z > 0]).sum()

    return answer


def normalised_in_place(answer: Callable) -> Callable:
    """The answer, with each row that occurs divided by p(z) in the table itself."""

    def changed(joint: Tensor) -> Tensor:
        value = answer(joint)
        for row in joint:
            row /= row.sum() if row.sum() > 0 else 1
        return value

    return changed


ENDS_AT_EMPTY = (
    "the codes after one that never occurs are not counted. Such a code adds nothing itself, and is to be passed over; "
    "those behind it count as ever."
)
LOST_WITH_EMPTY = (
    "right wherever every code occurs; where one does not, the whole answer is 0. Only that code's part is 0. A NaN "
    "that is replaced after the sum comes too late, for it has taken the rest with it; and to leave the function at "
    "such a code leaves the others behind."
)
ADDED_TO_CODE = (
    "a small number is added to p(z) under the line, large enough to be seen: the rows no longer sum to 1. Leave out "
    "the codes that never occur, and divide the others by p(z) as it is."
)
SHARED_OUT = (
    "the table is divided by its sum over z, which is p(x): that makes p(z | x). Asked for is the price of p(x | z): "
    "each row divided by the sum of its own states, p(z)."
)
TWO_CODES = "the loop takes two codes, however many there are. Their number is the length of the first axis."
CODES_LEFT = "nothing is added up: there is a number for each code. One number is asked for, the average over z."
NOT_NORMALISED = (
    "the rows are used as they are. Row z holds p(z, x), which sums to p(z), not to 1: divide by that to have "
    "p(x | z), of which the correlation is taken."
)
CONDITIONAL_CORRELATION_MISTAKES = (
    Mistake(
        "summed_unweighted",
        "the codes are added up, however rare they are. Weigh each by its probability p(z).",
        lambda joint: each_code(joint).sum(),
    ),
    Mistake(
        "averaged_evenly",
        "this is the plain mean over the codes. A code that occurs seldom counts little: weigh each by p(z).",
        lambda joint: each_code(joint).mean(),
    ),
    Mistake(
        "averaged_evenly",
        "this is the plain mean over the codes. A code that occurs seldom counts little, and one that never occurs "
        "nothing: weigh each by p(z).",
        lambda joint: each_code(joint).sum() / len(joint),
    ),
    Mistake(
        "averaged_twice",
        "the weights p(z) make it an average already, and then it is divided by the number of codes as well.",
        lambda joint: conditional_total_correlation(joint) / len(joint),
    ),
    Mistake("codes_left", CODES_LEFT, each_code),
    Mistake(
        "codes_left",
        CODES_LEFT,
        lambda joint: torch.stack([p_z * total_correlation(row) for p_z, row in rows_of(joint)]),
    ),
    Mistake(
        "weighed_twice",
        "each price is weighed by p(z) twice. Once makes it an average over z.",
        lambda joint: torch.stack([p_z**2 * total_correlation(row) for p_z, row in rows_of(joint)]).sum(),
    ),
    Mistake(
        "conditional_entropy",
        "this is H(x | z), what the pixels cost together once z is known. It is only one of the two parts.",
        lambda joint: weighted(joint, entropy),
    ),
    Mistake(
        "conditional_entropies",
        "this is what independent pixels cost in all, once z is known. What the truth costs is to be taken off.",
        lambda joint: weighted(joint, lambda row: marginal_entropies(row).sum()),
    ),
    *(Mistake("not_normalised", NOT_NORMALISED, answer(weigh)) for answer in (raw, raw_from_ones) for weigh in (0, 1)),
    Mistake(
        "code_ignored",
        "this is TC(x), with z summed out first: what independence costs one who does not know z.",
        lambda joint: total_correlation(joint.sum(0)),
    ),
    Mistake(
        "code_as_pixel",
        "z is treated as one more variable among the pixels: this is the total correlation of z and x together. z is "
        "known; what is left is a price for each z, and their average.",
        total_correlation,
    ),
    Mistake(
        "information",
        "this is what z and x share, the mutual information I(x; z). Asked for is what the pixels still share once z "
        "is known.",
        mixed_with_codes,
    ),
    Mistake(
        "saved",
        "this is what knowing z saves, TC(x) - TC(x | z). Asked for is what is still to be paid.",
        explained_by_code,
    ),
    Mistake(
        "saved",
        "this is the negative of what knowing z saves. Asked for is what is still to be paid.",
        lambda joint: -explained_by_code(joint),
    ),
    Mistake(
        "code_last",
        "the last axis is taken for the code. In p(z, x) the code comes first.",
        lambda joint: conditional_total_correlation(joint.movedim(-1, 0)),
    ),
    Mistake(
        "first_code_only",
        "only the first code counts. Does the function end inside the loop, its last line a step too far right?",
        lambda joint: weighted(joint[:1], total_correlation),
    ),
    Mistake(
        "last_code_only",
        "only the last code counts: each turn of the loop replaces what the one before found.",
        lambda joint: weighted(joint[-1:], total_correlation),
    ),
    *(
        Mistake(
            "code_missing",
            f"the {which} code is not counted. The average is over all.",
            lambda joint, left=left: sum((p_z * total_correlation(row) for p_z, row in rows_of(joint[left])), 0.0),
        )
        for which, left in (("last", slice(None, -1)), ("first", slice(1, None)))
    ),
    Mistake("two_codes_only", TWO_CODES, lambda joint: weighted(joint[:2], total_correlation)),
    Mistake(
        "two_codes_only",
        TWO_CODES,
        lambda joint: weighted(torch.stack([joint[z] for z in (0, 1)]), total_correlation),
    ),
    Mistake("ends_at_empty_code", ENDS_AT_EMPTY, until_empty),
    Mistake("lost_with_empty_code", LOST_WITH_EMPTY, lost_with_empty),
    *(
        Mistake("added_to_code", ADDED_TO_CODE, added_to_code(k, price))
        for k in range(3, 7)
        for price in (total_correlation, price_by_divergence)
    ),
    *(
        Mistake("shared_out", SHARED_OUT, shared_out(price, weigh))
        for price in (total_correlation, price_by_divergence)
        for weigh in (True, False)
    ),
    Mistake(
        "table_changed",
        "the answer is right, and the table that was passed in is another one afterwards: its rows have been divided "
        "where they stand. It belongs to whoever called. Give the quotient a name of its own.",
        normalised_in_place(conditional_total_correlation),
    ),
    Mistake(
        "summed_unweighted",
        "the rows are divided where they stand, in the table that was passed in. After that each sums to 1, p(z) is "
        "gone, and with it the weight that each code is to have. Keep p(z), and leave the table as it is.",
        normalised_in_place(lambda joint: each_code(joint).sum()),
    ),
    Mistake("bits", IN_BITS, lambda joint: conditional_total_correlation(joint) / math.log(2)),
    Mistake(
        "sign_flipped",
        "the sign: whatever z is, independent pixels never cost less than the truth.",
        lambda joint: -conditional_total_correlation(joint),
    ),
    Mistake(
        "per_pixel",
        "this is the price per pixel: it is divided by the number of pixels. Nats per picture are asked for.",
        lambda joint: conditional_total_correlation(joint) / (joint.dim() - 1),
    ),
    Mistake(
        "nan",
        "a code that never occurs has p(z) = 0, and its row divided by that is NaN, which no weight takes away again. "
        "It counts nothing: leave it out.",
        nan_for_what_never_occurs,
    ),
    Mistake(
        "correlation_wrong",
        "0 times the logarithm of 0 is NaN for a computer, and 0 here. If the prices come from your "
        "`total_correlation`, its own check says more.",
        lambda joint: weighted(joint, by_logs(torch.log)),
    ),
    *(
        Mistake(
            "correlation_wrong",
            "a code that rules out some states costs 0 here. Only a code that never occurs adds nothing; of the others "
            "only the single terms do, 0 times the logarithm of 0; a NaN that is replaced later takes more with it. If "
            "the prices come from your `total_correlation`, its own check says more.",
            lambda joint, price=price: weighted(joint, price),
        )
        for price in (nan_for_zero, nan_for_zero_in_each)
    ),
    Mistake(
        "correlation_wrong",
        "right but for pictures of one pixel. If the prices come from your `total_correlation`, its own check says "
        "more.",
        lambda joint: weighted(joint, lambda row: total_correlation(row) - (entropy(row) if row.dim() == 1 else 0)),
    ),
    Mistake(
        "correlation_wrong",
        "the price of each code is not right. If it comes from your `total_correlation`, its own check says more.",
        lambda joint: weighted(joint, ones_only),
    ),
)


# The pseudo-likelihood


def full_conditionals(p: Tensor) -> Tensor:
    """Row i: p(x_i | all others)."""
    return torch.stack([p / p.sum(i, keepdim=True) for i in pixels_of(p)])


def pseudo_total(p: Tensor) -> Tensor:
    """sum_x prod_i p(x_i | all others)."""
    return full_conditionals(p).prod(0).sum()


def pseudo_cases(generator: torch.Generator) -> Iterator[Case]:
    yield case(LEANING, about="two pixels that lean on each other")
    yield case(double([[0.1, 0.3], [0.15, 0.45]]), about="two independent pixels")
    yield case(double([0.75, 0.25]), about="one pixel: there are no others")
    yield case(double([[0.49, 0.01], [0.01, 0.49]]), about="two pixels, nearly always equal")
    for pixels in (2, 3, 4, 5):
        yield case(random_table(pixels, generator))


def neighbours(p: Tensor) -> Tensor:
    """prod_i p(x_i | the pixels just before and after it), summed."""
    rows = [conditional(p, i, [j for j in (i - 1, i + 1) if j in pixels_of(p)]) for i in pixels_of(p)]
    return torch.stack(rows).prod(0).sum()


PSEUDO_MISTAKES = (
    Mistake(
        "always_one",
        "this is 1 for every table. That is what a chain gives, where each pixel sees only those before it, and what "
        "independent pixels give. Here each pixel sees all others, those after it as well.",
        lambda p: chain(p, [*pixels_of(p)]).prod(0).sum(),
    ),
    Mistake(
        "sum_for_product",
        "the conditionals are added up. Of one state they are to be multiplied; only then comes the sum over states.",
        lambda p: full_conditionals(p).sum(),
    ),
    Mistake(
        "product_of_sums",
        "the sum over states is taken for each pixel, and the sums are multiplied. First the product over pixels, at "
        "each state; then the sum over states.",
        lambda p: full_conditionals(p).flatten(1).sum(1).prod(),
    ),
    Mistake(
        "product_of_sums",
        "the sum over pixels is taken at each state, and the sums are multiplied. First the product over pixels, at "
        "each state; then the sum over states.",
        lambda p: full_conditionals(p).sum(0).prod(),
    ),
    Mistake(
        "wrong_axis",
        "the product runs along an axis of the table, over the values of a pixel. The pixels are counted by the axis "
        "that the stack has added, the first.",
        lambda p: full_conditionals(p).prod(1).sum(),
    ),
    Mistake(
        "wrong_axis",
        "the product runs along an axis of the table, over the values of a pixel. The pixels are counted by the axis "
        "that the stack has added, the first.",
        lambda p: full_conditionals(p).prod(-1).sum(),
    ),
    Mistake(
        "axes_dropped",
        "the axis that is summed over is gone, and what is left lines up with other pixels than it should: each table "
        "is divided by a sum that is not its own. Torch can keep an axis that it sums over, with length one.",
        lambda p: torch.stack([p / p.sum(i) for i in pixels_of(p)]).prod(0).sum(),
    ),
    *(
        Mistake(
            "pixel_missing",
            f"the {which} pixel is missing from the product: all have a factor in it.",
            lambda p, left=left: full_conditionals(p)[left].prod(0).sum(),
        )
        for which, left in (("last", slice(None, -1)), ("first", slice(1, None)))
    ),
    Mistake(
        "no_product",
        "this is 2 to the power n - 1, whatever the table: the conditionals of a single pixel add up to that over all "
        "states, and their mean over the pixels does as well. At each state, multiply those of all pixels.",
        lambda p: full_conditionals(p).mean(0).sum(),
    ),
    Mistake(
        "product_of_all",
        "everything is multiplied, the states as well. First the product over pixels, at each state; then the sum over "
        "states.",
        lambda p: full_conditionals(p).prod(),
    ),
    Mistake(
        "weighted",
        "each state is weighed by p(x): an average. The sum over states needs no weights; would a model's "
        "probabilities, added up, have any?",
        lambda p: (p * full_conditionals(p).prod(0)).sum(),
    ),
    Mistake(
        "mean",
        "a mean over the states where a sum belongs.",
        lambda p: pseudo_total(p) / p.numel(),
    ),
    Mistake(
        "log",
        "this is the logarithm of the total. The total itself is asked for.",
        lambda p: pseudo_total(p).log(),
    ),
    Mistake(
        "pseudo_likelihood",
        "this is the average logarithm of the product, by which such models are trained. Asked for is the sum of the "
        "products themselves over all states.",
        lambda p: (p * full_conditionals(p).log().sum(0)).sum(),
    ),
    Mistake(
        "logs_summed",
        "the logarithms of the conditionals are added up and never turned back into probabilities.",
        lambda p: full_conditionals(p).log().sum(),
    ),
    Mistake(
        "excess",
        "this is by how much the total misses 1. The total itself is asked for.",
        lambda p: pseudo_total(p) - 1,
    ),
    Mistake(
        "itself_given",
        "each pixel is given itself too, and then it is certain: every product is 1, and the total counts the states.",
        lambda p: p.new_tensor(float(p.numel())),
    ),
    Mistake(
        "rest_given_pixel",
        "this is p(all others | x_i), the conditional turned round: it is divided by the probability of the pixel. "
        "Divide by the probability of the others.",
        lambda p: torch.stack([p / marginal(p, [i]) for i in pixels_of(p)]).prod(0).sum(),
    ),
    Mistake(
        "neighbours_only",
        "each pixel is given the one before it and the one after it. All others are given.",
        neighbours,
    ),
    Mistake(
        "states_left",
        "nothing is summed: this is the product at each state. One number is asked for.",
        lambda p: full_conditionals(p).prod(0),
    ),
    Mistake(
        "rows_left",
        "there is a number for each pixel: the product over the pixels is missing.",
        lambda p: full_conditionals(p).flatten(1).sum(1),
    ),
    Mistake(
        "conditional_wrong",
        "the conditionals are not right where no pixel is left to sum out. If they come from your `conditional`, its "
        "own check says more.",
        lambda p: torch.stack([1 / p.sum(i, keepdim=True).expand(p.shape) for i in pixels_of(p)]).prod(0).sum(),
    ),
)


TASKS = (
    Task(
        id="01.code_length",
        title="What does a picture cost?",
        points=1,
        difficulty=1,
        minutes=5,
        cases=length_cases,
        reference=code_length,
        mistakes=LENGTH_MISTAKES,
        hints=(
            "A picture to which the code gives probability 1/8 costs 3 bits. What does each picture cost, how often "
            "does it occur, and what is the average?",
            "L = - sum over x of p(x) log2 model(x). Where p(x) = 0 the term is 0, whatever the model says. "
            "torch.xlogy(x, y) is x log y with that rule, in nats.",
            "nats = -torch.xlogy(..., ...).sum()\nreturn nats / ...",
        ),
        compare=compare_numbers,
    ),
    Task(
        id="01.conditional",
        title="What is known of a pixel",
        points=2,
        difficulty=3,
        minutes=15,
        cases=conditional_cases,
        reference=conditional,
        mistakes=CONDITIONAL_MISTAKES,
        hints=(
            "To forget a pixel is to sum over its axis. Which pixels are forgotten in p(x_pixel, x_given), and which "
            "in p(x_given)? `keepdim=True` leaves an axis of length one, so that tables still fit each other.",
            "p(x_pixel | x_given) = p(x_pixel, x_given) / p(x_given): the table summed over all pixels that are "
            "neither, divided by the table summed over all that are not given. `expand` spreads it to the shape of p.",
            "hidden = [i for i in range(p.dim()) if ...]\nboth = p.sum(hidden, keepdim=True) if hidden else p\n"
            "known = both.sum(..., keepdim=True)\nreturn (... / ...).expand(...)",
        ),
        compare=compare_tables,
    ),
    Task(
        id="01.chain",
        title="One picture, any order",
        points=2,
        difficulty=2,
        minutes=10,
        cases=chain_cases,
        reference=chain,
        mistakes=CHAIN_MISTAKES,
        hints=(
            "At step k, which pixel is asked for, and which are known already? Your `conditional` does the rest.",
            "Row k is p(x_order[k] | x_order[0], ..., x_order[k-1]). An order is a rearrangement of 0, 1, ..., n - 1.",
            "if sorted(order) != ...:\n    raise ValueError(...)\nrows = [conditional(p, ..., ...) for k in ...]\n"
            "return torch.stack(rows)",
        ),
        compare=compare_tables,
    ),
    Task(
        id="01.total_correlation",
        title="The price of independence",
        points=2,
        difficulty=2,
        minutes=10,
        cases=correlation_cases,
        reference=total_correlation,
        mistakes=CORRELATION_MISTAKES,
        hints=(
            "What does the picture cost, in nats, when every pixel is paid for on its own? And what does it cost when "
            "nothing is wasted?",
            "TC = sum_i H(x_i) - H(x), with H = - sum p log p in nats and 0 log 0 = 0. It is the same as "
            "KL(p, prod_i p(x_i)). For p(x_i), sum over all axes but i.",
            "def entropy(q):\n    return -torch.xlogy(q, q).sum()\n\nmarginals = [... for i in range(p.dim())]\n"
            "return sum(entropy(m) for m in marginals) - ...",
        ),
        compare=compare_numbers,
    ),
    Task(
        id="01.conditional_total_correlation",
        title="The price of independence once z is known",
        points=2,
        difficulty=2,
        minutes=10,
        cases=conditional_correlation_cases,
        reference=conditional_total_correlation,
        mistakes=CONDITIONAL_CORRELATION_MISTAKES,
        hints=(
            "Fix one z. Its row of the table, made into a distribution, has a total correlation like any other. What "
            "is left is an average.",
            "sum over z of p(z) TC(x | z), where p(z) = sum over x of p(z, x) and p(x | z) = p(z, x) / p(z). A z with "
            "p(z) = 0 adds nothing.",
            "total = 0.0\nfor row in joint:\n    p_z = row.sum()\n    if ...:\n"
            "        total = total + ... * total_correlation(...)\nreturn total",
        ),
        compare=compare_numbers,
    ),
    Task(
        id="01.pseudo_total",
        title="Everyone looks at everyone",
        points=1,
        difficulty=1,
        minutes=5,
        cases=pseudo_cases,
        reference=pseudo_total,
        mistakes=PSEUDO_MISTAKES,
        hints=(
            "At one state, multiply what each pixel says of itself when it sees all others. Then add up over the "
            "states, as one would to check a model.",
            "T = sum over x of prod over i of p(x_i | x_j for all j other than i).",
            "rows = [conditional(p, i, [...]) for i in range(p.dim())]\nreturn torch.stack(rows).prod(...).sum()",
        ),
        compare=compare_numbers,
    ),
)
