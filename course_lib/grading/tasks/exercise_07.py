"""Exercise 07: the InfoVAE objective from its parts, three divergences, and five models told apart by measurements."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from course_lib.grading.comparing import compare, difference
from course_lib.grading.specs import Leaf, Model
from course_lib.grading.task import Case, Mistake, Task, case

SOLUTION = "solutions/07_infovae, under the same heading."
INF, NAN = math.inf, math.nan


# Comparing, and what the cases are made of


def doubles(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def draws(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def near(*names: str) -> Callable[[Case, Any, Any], str | None]:
    """A comparison that takes a float for a tensor of one number; `names` are those of several values."""

    def differ(case: Case, output: Any, expected: Any) -> str | None:
        if isinstance(expected, list):  # gradients
            return compare(case, output, expected)
        if not isinstance(expected, tuple):
            return one_differs(case, output, expected)
        if not isinstance(output, (tuple, list)) or len(output) != len(expected):
            return compare(case, output, expected)
        said = [one_differs(case, got, want) for got, want in zip(output, expected, strict=True)]
        return next((f"{name}: {text}" for name, text in zip(names, said, strict=True) if text), None)

    return differ


def one_differs(case: Case, output: Any, expected: Tensor) -> str | None:
    """What differs, each number held to its own size, with room for the rounding of large sums."""
    if expected.dim() == 0 and isinstance(output, (int, float)) and not isinstance(output, bool):
        output = expected.new_tensor(output)
    if not isinstance(output, Tensor) or output.dtype != expected.dtype or output.shape != expected.shape:
        return compare(case, output, expected)
    tolerance = 1e-4 if expected.dtype == torch.float32 else 1e-7
    got, want = output.detach().double(), expected.double()
    if torch.allclose(got, want, rtol=tolerance, atol=tolerance / 10, equal_nan=True):
        return None
    return difference(got, want)


BITS = "these are bits. The contract asks for nats: natural logarithms."
NO_GRADIENT = (
    "the number is right, and it has no gradient in z: an encoder that is trained on it learns nothing. Something on "
    "the way has left torch, or was detached."
)


# The loss


def refuse(alpha: float, lambd: float) -> None:
    if 1 - alpha < 0 or alpha + lambd - 1 < 0:
        raise ValueError("a rate or a divergence would be maximised")


def weighted(weight: float, term: Tensor) -> Tensor | float:
    return weight * term if weight != 0 else 0.0


def infovae_loss(distortion: Tensor, rate: Tensor, divergence: Tensor, alpha: float, lambd: float) -> Tensor:
    """distortion + (1 - alpha) rate + (alpha + lambd - 1) D, with what has no weight left out."""
    refuse(alpha, lambd)
    return distortion.mean() + weighted(1 - alpha, rate.mean()) + weighted(alpha + lambd - 1, divergence)


def loss_cases(generator: torch.Generator) -> Iterator[Case]:
    one = doubles([90.0]), doubles([8.0]), doubles(0.5)
    yield case(*one, 0.25, 3.0, about="one image, alpha 0.25, lambd 3")
    yield case(*one, 0.0, 1.0, about="the ELBO")
    yield case(*one, -1.0, 2.0, about="a beta-VAE of beta 2")
    yield case(*one, 1.0, 10.0, about="alpha 1: no price on the rate")
    yield case(*one, 0.5, 0.75, about="alpha 0.5, lambd 0.75: both weights lie below 1")
    yield case(doubles([80.0, 100.0, 75.0]), doubles([5.0, 11.0, 2.0]), doubles(-0.002), 0.8, 50.0)
    for n in (2, 5):
        distortion, rate = 90 + 5 * draws(generator, n), 8 + draws(generator, n).abs()
        yield case(distortion, rate, draws(generator, 1)[0].abs() / 10, 0.5, 20.0)
    single = torch.tensor([81.0, 92.0]), torch.tensor([4.0, 6.0]), torch.tensor(0.03)
    yield case(*single, 0.5, 100.0, about="in float32")
    yield case(*one, 1.5, 10.0, about="alpha 1.5: what is the weight of the rate?")
    yield case(*one, 0.25, 0.5, about="alpha 0.25, lambd 0.5: what is the weight of the divergence?")
    yield case(*one, -2.0, 1.0, about="alpha -2, lambd 1: what is the weight of the divergence?")
    yield case(*one, 0.5, -1.0, about="alpha 0.5, lambd -1: what is the weight of the divergence?")
    points = doubles([70.0, 72.0]), doubles([INF, INF]), doubles(0.25)
    yield case(*points, 1.0, 2.0, about="an encoder without noise: its rate is infinite, and has no weight")
    yield case(*points, 0.5, 2.0, about="an infinite rate that has a weight: so is the loss")
    unknown = doubles([70.0, 72.0]), doubles([5.0, 6.0]), doubles(NAN)
    yield case(*unknown, 0.75, 0.25, about="a beta-VAE that did not measure the divergence, which has no weight")
    yield case(*unknown, 0.75, 2.0, about="a divergence that is not a number, and has a weight: nor is the loss")
    leaves = Leaf(doubles([80.0, 100.0])), Leaf(doubles([5.0, 11.0])), Leaf(doubles(0.25))
    yield case(*leaves, 0.25, 3.0, about="the gradients in distortion, rate and divergence")


def loss(make: Callable[..., Tensor], refusing: Callable[[float, float], None] = refuse) -> Callable:
    """An answer that refuses and then puts the terms together by make(distortion, rate, divergence, a, l)."""

    def answer(distortion: Tensor, rate: Tensor, divergence: Tensor, alpha: float, lambd: float) -> Tensor:
        refusing(alpha, lambd)
        return make(distortion, rate, divergence, alpha, lambd)

    return answer


def put_together(d: Tensor, r: Tensor, v: Tensor, a: float, b: float) -> Tensor:
    return d.mean() + weighted(a, r.mean()) + weighted(b, v)


def refuses(alpha_limit: float, weight_limit: float, least: bool = False) -> Callable[[float, float], None]:
    def check(alpha: float, lambd: float) -> None:
        weight = alpha + lambd - 1
        if alpha > alpha_limit or weight < weight_limit or (least and (alpha == alpha_limit or weight == weight_limit)):
            raise ValueError("out of range")

    return check


def refuses_outside_the_unit_interval(alpha: float, lambd: float) -> None:
    if not 0 <= alpha <= 1 or alpha + lambd - 1 < 0:
        raise ValueError("alpha must lie between 0 and 1")


def refuses_a_negative_lambda(alpha: float, lambd: float) -> None:
    if alpha > 1 or lambd < 0:
        raise ValueError("lambd must not be negative")


def mean_of_terms(d: Tensor, r: Tensor, v: Tensor, a: float, b: float) -> Tensor:
    return put_together(d, r, v, 1 - a, a + b - 1)


def finite(term: Tensor) -> Tensor:
    return term if bool(term.isfinite()) else torch.zeros_like(term)


CUT = (
    "the numbers are right, and a gradient is missing: what is trained on them learns nothing from that part. "
    "Something on the way has left torch, or was detached."
)
SWALLOWED = (
    "a term that is infinite or not a number is left out, or made finite, where it has a weight too. That hides a run "
    "that has gone wrong. Only a weight of 0 leaves a term out."
)
LOSS_MISTAKES = (
    Mistake("without_gradient", CUT, loss(lambda *parts: mean_of_terms(*parts).detach())),
    Mistake("without_gradient", CUT, loss(lambda d, r, v, a, b: mean_of_terms(d.detach(), r, v, a, b))),
    Mistake("without_gradient", CUT, loss(lambda d, r, v, a, b: mean_of_terms(d, r.detach(), v, a, b))),
    Mistake("without_gradient", CUT, loss(lambda d, r, v, a, b: mean_of_terms(d, r, v.detach(), a, b))),
    Mistake(
        "not_finite_swallowed",
        SWALLOWED,
        loss(lambda d, r, v, a, b: put_together(d, finite(r.mean()), finite(v), 1 - a, a + b - 1)),
    ),
    Mistake(
        "not_finite_swallowed",
        SWALLOWED,
        loss(
            lambda d, r, v, a, b: (
                d.mean() + ((1 - a) * r.mean()).nan_to_num() + ((a + b - 1) * v).nan_to_num()  # inf becomes 1.8e308
            )
        ),
    ),
    Mistake(
        "alpha_on_the_rate",
        "the rate is weighted by alpha. Its weight is 1 - alpha: at alpha = 1 it costs nothing any more.",
        loss(lambda d, r, v, a, b: put_together(d, r, v, a, a + b - 1)),
    ),
    Mistake(
        "lambda_alone",
        "the divergence is weighted by lambd alone. Part of the rate is a divergence of the aggregate already: what is "
        "to be added to it is alpha + lambd - 1, which for the ELBO is nothing.",
        loss(lambda d, r, v, a, b: put_together(d, r, v, 1 - a, b)),
    ),
    Mistake(
        "rate_at_full_price",
        "the rate counts in full. Of its price alpha is taken off: 1 - alpha is left.",
        loss(lambda d, r, v, a, b: put_together(d, r, v, 1, a + b - 1)),
    ),
    Mistake(
        "weights_exchanged",
        "the two weights are exchanged: 1 - alpha belongs to the rate, alpha + lambd - 1 to the divergence.",
        loss(lambda d, r, v, a, b: put_together(d, r, v, a + b - 1, 1 - a)),
    ),
    Mistake(
        "divergence_weight_of_other_sign",
        "1 - alpha - lambd stands where alpha + lambd - 1 belongs. That is the weight in the objective that is "
        "maximised; a loss is minimised, and the aggregate would be driven away from the prior.",
        loss(lambda d, r, v, a, b: put_together(d, r, v, 1 - a, 1 - a - b)),
    ),
    Mistake(
        "alpha_forgotten_in_the_divergence",
        "the weight of the divergence is lambd - 1: alpha is missing. What is taken off the rate at alpha is to be "
        "added here, or the aggregate is held less firmly the larger alpha is.",
        loss(lambda d, r, v, a, b: put_together(d, r, v, 1 - a, b - 1)),
    ),
    Mistake(
        "rate_sign",
        "the rate is subtracted: an encoder would be paid for moving its codes away from the prior.",
        loss(lambda d, r, v, a, b: put_together(d, r, v, a - 1, a + b - 1)),
    ),
    Mistake(
        "distortion_sign",
        "the distortion enters with a minus. It is -log p(x|z) already, something to be made small.",
        loss(lambda d, r, v, a, b: put_together(-d, r, v, 1 - a, a + b - 1)),
    ),
    Mistake(
        "maximised",
        "this is the objective that is maximised. A loss is minimised: every sign is the other way round.",
        loss(lambda d, r, v, a, b: -put_together(d, r, v, 1 - a, a + b - 1)),
    ),
    Mistake(
        "divergence_forgotten",
        "the divergence is not in it: this is a beta-VAE with beta = 1 - alpha, whatever lambd is.",
        loss(lambda d, r, v, a, b: put_together(d, r, v, 1 - a, 0)),
    ),
    Mistake(
        "rate_forgotten",
        "the rate is not in it: this is alpha = 1, a Wasserstein autoencoder, whatever alpha is.",
        loss(lambda d, r, v, a, b: put_together(d, r, v, 0, a + b - 1)),
    ),
    Mistake(
        "summed_over_batch",
        "a sum over the images where a mean belongs. The divergence is one number for the whole batch, so a sum makes "
        "it count less, the larger the batch is.",
        loss(lambda d, r, v, a, b: d.sum() + weighted(1 - a, r.sum()) + weighted(a + b - 1, v)),
    ),
    Mistake(
        "summed_over_batch",
        "a sum over the images where a mean belongs, and with the sum the divergence has been counted once for each "
        "image. The scale of a loss is not to depend on the size of the batch.",
        loss(lambda d, r, v, a, b: (d + weighted(1 - a, r) + weighted(a + b - 1, v)).sum()),
    ),
    Mistake(
        "divided_by_batch",
        "the divergence is divided by the number of images. It is one number for the whole batch already.",
        loss(lambda d, r, v, a, b: put_together(d, r, v / len(d), 1 - a, a + b - 1)),
    ),
    Mistake(
        "one_loss_an_image",
        "a loss for each image is left. One number is asked for, the mean over the batch.",
        loss(lambda d, r, v, a, b: d + weighted(1 - a, r) + weighted(a + b - 1, v)),
    ),
    Mistake(
        "nothing_refused",
        "settings that would maximise the rate or the divergence are computed all the same, or mended in silence. A "
        "rate has no upper limit, so the former run ends in infinities, and the latter is not what was asked for: the "
        "contract wants a ValueError.",
        loss(lambda d, r, v, a, b: put_together(d, r, v, 1 - a, a + b - 1), lambda alpha, lambd: None),
    ),
    Mistake(
        "rate_not_refused",
        "with alpha over 1 the weight of the rate, 1 - alpha, is negative, and it would be maximised. The divergence's "
        "weight is not the only one that can go wrong.",
        loss(mean_of_terms, refuses(INF, 0)),
    ),
    Mistake(
        "divergence_not_refused",
        "where alpha + lambd - 1 is negative the divergence would be maximised, and that is to be refused too. Public "
        "code has shipped with such defaults.",
        loss(mean_of_terms, refuses(1, -INF)),
    ),
    Mistake(
        "lambda_refused_instead",
        "the sign of lambd is looked at. What must not be negative is the whole weight, alpha + lambd - 1: it can be "
        "negative with a positive lambd.",
        loss(mean_of_terms, refuses_a_negative_lambda),
    ),
    Mistake(
        "alpha_kept_in_the_unit_interval",
        "a negative alpha is refused. It maximises nothing: it is a rate of more than full price, a beta-VAE with beta "
        "over 1. Only a negative weight is to be refused.",
        loss(mean_of_terms, refuses_outside_the_unit_interval),
    ),
    Mistake(
        "zero_refused",
        "a weight of exactly 0 is refused, and with it the ELBO, where the divergence has none, or alpha = 1. Nothing "
        "is maximised there.",
        loss(mean_of_terms, refuses(1, 0, least=True)),
    ),
    Mistake(
        "zero_times_infinity",
        "0 times infinity is NaN, and so is 0 times NaN. A term of weight 0 is to be left out, not multiplied by 0: an "
        "encoder without noise has an infinite rate, and at alpha = 1 that does not matter.",
        loss(lambda d, r, v, a, b: d.mean() + (1 - a) * r.mean() + (a + b - 1) * v),
    ),
    Mistake(
        "rate_zero_times_infinity",
        "the divergence is left out where it has no weight, and the rate is not: 0 times infinity is NaN.",
        loss(lambda d, r, v, a, b: d.mean() + (1 - a) * r.mean() + weighted(a + b - 1, v)),
    ),
    Mistake(
        "divergence_zero_times_nan",
        "the rate is left out where it has no weight, and the divergence is not: 0 times NaN is NaN.",
        loss(lambda d, r, v, a, b: d.mean() + weighted(1 - a, r.mean()) + (a + b - 1) * v),
    ),
)


# The maximum mean discrepancy


def squares_of(a: Tensor, b: Tensor) -> Tensor:
    return ((a[:, None] - b) ** 2).sum(2)


def rbf(a: Tensor, b: Tensor, bandwidth: float) -> Tensor:
    return torch.exp(-squares_of(a, b) / bandwidth)


def off_diagonal(k: Tensor) -> Tensor:
    return (k.sum() - k.diagonal().sum()) / (len(k) * (len(k) - 1))


def two_of_each(z: Tensor, prior: Tensor) -> None:
    if min(len(z), len(prior)) < 2:
        raise ValueError("two on each side")


def mmd_squared(z: Tensor, prior: Tensor) -> Tensor:
    """The U-statistic with k(a, b) = exp(-|a - b|^2 / dim)."""
    two_of_each(z, prior)
    dim = z.shape[1]
    return off_diagonal(rbf(z, z, dim)) + off_diagonal(rbf(prior, prior, dim)) - 2 * rbf(z, prior, dim).mean()


def mmd_cases(generator: torch.Generator) -> Iterator[Case]:
    yield case(doubles([[0.0], [1.0]]), doubles([[0.0], [2.0]]), about="codes of one number: 0 and 1, against 0 and 2")
    yield case(doubles([[0.0, 0.0], [1.0, 1.0]]), doubles([[0.0, 1.0], [1.0, 0.0]]), about="codes of two numbers")
    yield case(draws(generator, 3, 2), draws(generator, 3, 2))
    yield case(1.5 * draws(generator, 3, 4) + 1, draws(generator, 5, 4), about="3 codes, 5 draws of the prior")
    yield case(draws(generator, 40, 8), draws(generator, 40, 8), about="both from the prior")
    yield case(draws(generator, 40, 8) * 0.5**0.5, draws(generator, 40, 8), about="Cov q(z) = 0.5 I")
    yield case(draws(generator, 40, 20) + 0.5, draws(generator, 30, 20), about="the mean moved by 0.5")
    same = draws(generator, 4, 2)
    yield case(same, same.clone(), about="the very same sample twice: the U-statistic is negative, and so it should be")
    yield case(draws(generator, 4, 3).float(), draws(generator, 4, 3).float(), about="in float32")
    yield case(Leaf(draws(generator, 3, 2)), draws(generator, 4, 2), about="the gradient in z, of one call")
    yield case(doubles([[0.5, 1.0]]), draws(generator, 4, 2), about="a single code: there is no pair of two codes")
    yield case(draws(generator, 4, 2), doubles([[0.5, 1.0]]), about="a single draw of the prior")


Kernel = Callable[[Tensor, Tensor], Tensor]


def plain_kernel(a: Tensor, b: Tensor) -> Tensor:
    return rbf(a, b, a.shape[1])


def mmd(
    kernel: Kernel = plain_kernel,
    within: Callable[[Tensor], Tensor] = off_diagonal,
    cross: float = 2.0,
    refusing: Callable[[Tensor, Tensor], None] = two_of_each,
    last: Callable[[Tensor], Tensor] = lambda value: value,
    between: Callable[[Tensor], Tensor] = lambda k: k.mean(),
) -> Callable:
    """An answer with one or two parts exchanged."""

    def answer(z: Tensor, prior: Tensor) -> Tensor:
        refusing(z, prior)
        value = within(kernel(z, z)) + within(kernel(prior, prior)) - cross * between(kernel(z, prior))
        return last(value)

    return answer


def wide(a: Tensor, b: Tensor) -> Tensor:
    return rbf(a, b, a.shape[1] ** 2)


def not_squared(a: Tensor, b: Tensor) -> Tensor:
    return torch.exp(-(squares_of(a, b) + 1e-20).sqrt() / a.shape[1])


def inverse_multiquadric(a: Tensor, b: Tensor) -> Tensor:
    return a.shape[1] / (a.shape[1] + squares_of(a, b))


def whole_mean(k: Tensor) -> Tensor:
    return k.mean()


def diagonal_out_of_n_squared(k: Tensor) -> Tensor:
    return (k.sum() - k.diagonal().sum()) / len(k) ** 2


def by_n_times_n_minus_1(k: Tensor) -> Tensor:
    return k.sum() / (len(k) * (len(k) - 1))


def diagonal_out_of_cross(k: Tensor) -> Tensor:
    n, m = k.shape
    return k.masked_fill(torch.eye(n, m, dtype=torch.bool), 0.0).sum() / (n * m - min(n, m))


def root_squared(a: Tensor, b: Tensor) -> Tensor:
    return torch.exp(-(squares_of(a, b).sqrt() ** 2) / a.shape[1])


def with_one_n(z: Tensor, prior: Tensor, cross: bool = True) -> Tensor:
    """The number of codes is taken for that of the draws as well, in the cross term only if `cross`."""
    two_of_each(z, prior)
    n, k = len(z), plain_kernel(prior, prior)
    among_draws = (k.sum() - k.diagonal().sum()) / (n * (n - 1))
    between = plain_kernel(z, prior)
    return off_diagonal(plain_kernel(z, z)) + among_draws - 2 * (between.sum() / n**2 if cross else between.mean())


def nobody(z: Tensor, prior: Tensor) -> None:
    return None


BANDWIDTH = (
    "the bandwidth is dim squared: the squared distance is divided by the number of dimensions twice. The kernel is "
    "then nearly 1 for every pair, and sees a mean that has moved, if at all, but not a covariance."
)
DIAGONAL = (
    "the pairs of a code with itself are in the mean. Their kernel is 1 whatever the codes are, so the statistic is "
    "positive on average even where both samples have one source: a floor that looks like signal."
)
CROSS = (
    "the pairs of a code with a draw of the prior count once. |mu_q - mu_p|^2 has two such terms; with one of them "
    "the value is near the mean kernel itself, never near 0."
)
MMD_MISTAKES = (
    Mistake(
        "as_found",
        "this is what was found, unchanged. It has three faults: one in the kernel, one in which pairs count, one in "
        "how the three means are put together.",
        mmd(wide, whole_mean, 1.0, nobody),
    ),
    Mistake("bandwidth_squared", BANDWIDTH, mmd(wide)),
    Mistake("diagonal_kept", DIAGONAL, mmd(within=whole_mean)),
    Mistake(
        "diagonal_kept", DIAGONAL + " With one code, it is not even refused.", mmd(within=whole_mean, refusing=nobody)
    ),
    Mistake("cross_once", CROSS, mmd(cross=1.0)),
    Mistake("two_faults_left_bandwidth_diagonal", BANDWIDTH + " And " + DIAGONAL, mmd(wide, whole_mean)),
    Mistake(
        "two_faults_left_bandwidth_diagonal", BANDWIDTH + " And " + DIAGONAL, mmd(wide, whole_mean, refusing=nobody)
    ),
    Mistake("two_faults_left_bandwidth_cross", BANDWIDTH + " And " + CROSS, mmd(wide, cross=1.0)),
    Mistake("two_faults_left_diagonal_cross", DIAGONAL + " And " + CROSS, mmd(within=whole_mean, cross=1.0)),
    Mistake(
        "two_faults_left_diagonal_cross",
        DIAGONAL + " And " + CROSS,
        mmd(within=whole_mean, cross=1.0, refusing=nobody),
    ),
    Mistake(
        "cross_added",
        "the cross term is added: what two different samples have in common is to be taken away.",
        mmd(cross=-2.0),
    ),
    Mistake(
        "sign_flipped",
        "the sign: this is minus MMD^2. An encoder that minimises it flees from the prior.",
        mmd(last=lambda value: -value),
    ),
    Mistake(
        "divided_by_n_squared",
        "the pairs of a code with itself are left out of the sum, and counted in the number it is divided by. There "
        "are n (n - 1) pairs of two different codes.",
        mmd(within=diagonal_out_of_n_squared),
    ),
    Mistake(
        "diagonal_in_the_sum",
        "the sum is over all n^2 pairs, those of a code with itself included, and is divided by n (n - 1).",
        mmd(within=by_n_times_n_minus_1),
    ),
    Mistake(
        "sums_for_means",
        "sums of kernels where means belong: the value grows with the square of the number of codes, and with unequal "
        "numbers does not even compare.",
        mmd(within=lambda k: k.sum() - k.diagonal().sum(), between=lambda k: k.sum()),
    ),
    Mistake(
        "diagonal_out_of_the_cross_term",
        "pairs are left out of the cross term too. Code i and draw i are two different points of two different "
        "samples: all these pairs count.",
        mmd(between=diagonal_out_of_cross),
    ),
    Mistake(
        "kept_from_negative",
        "negative values are cut off. An unbiased estimate of 0 is negative half of the time, and without those its "
        "mean is not 0 any more; nor is there a gradient where it was cut.",
        mmd(last=lambda value: value.clamp(min=0)),
    ),
    Mistake(
        "kept_from_negative",
        "the absolute value is taken. An unbiased estimate of 0 is negative half of the time, and turned over its mean "
        "is not 0 any more.",
        mmd(last=lambda value: value.abs()),
    ),
    Mistake(
        "square_root",
        "this is MMD, the square root, which is NaN whenever the unbiased estimate is negative. MMD^2 is asked for.",
        mmd(last=lambda value: value.sqrt()),
    ),
    *(
        Mistake(
            "square_root",
            "this is MMD, the square root of what is asked for; and what was negative has been made positive first, so "
            "that it is not 0 on average where there is nothing to see.",
            mmd(last=last),
        )
        for last in (lambda value: value.clamp(min=0).sqrt(), lambda value: value.abs().sqrt())
    ),
    *(
        Mistake(
            "one_n_for_both",
            "the number of codes is used for the draws of the prior as well. The two samples may differ in size: "
            "n (n - 1) pairs of codes, m (m - 1) of draws, n m between them.",
            lambda z, prior, cross=cross: with_one_n(z, prior, cross),
        )
        for cross in (True, False)
    ),
    Mistake(
        "root_of_zero",
        "the values are right and the gradient is NaN: a square root has an infinite slope at 0, where a code meets "
        "itself, and squaring it again does not help. Sum the squares, without a root between.",
        mmd(root_squared),
    ),
    Mistake(
        "not_squared",
        "the distance is not squared: the kernel is exp(-|a - b|^2 / dim).",
        mmd(not_squared),
    ),
    Mistake(
        "bandwidth_of_one",
        "the bandwidth is 1, whatever the dimension. |a - b|^2 grows like the dimension, so with many of them the "
        "kernel is 0 for every pair.",
        mmd(lambda a, b: rbf(a, b, 1.0)),
    ),
    Mistake(
        "bandwidth_doubled",
        "the bandwidth is 2 dim: the contract's kernel is exp(-|a - b|^2 / dim), without the 2 of a Gaussian density.",
        mmd(lambda a, b: rbf(a, b, 2.0 * a.shape[1])),
    ),
    Mistake(
        "another_kernel",
        "this is the inverse multiquadric kernel, a good one. The contract asks for exp(-|a - b|^2 / dim).",
        mmd(inverse_multiquadric),
    ),
    Mistake(
        "prior_left_out",
        "the pairs of two draws of the prior are missing. They do not depend on the codes, so the gradient is right "
        "and the value is not: it is not 0 where the samples agree.",
        lambda z, prior: mmd_squared(z, prior) - off_diagonal(plain_kernel(prior, prior)),
    ),
    Mistake("without_gradient", NO_GRADIENT, lambda z, prior: mmd_squared(z.detach(), prior)),
    Mistake(
        "single_code_not_refused",
        "with one code on a side there is no pair of two different ones, and 0 / 0 comes out. The contract asks for a "
        "ValueError.",
        mmd(refusing=nobody),
    ),
)


# The adversary


def adversary_terms(t_codes: Tensor, t_prior: Tensor) -> tuple[Tensor, Tensor]:
    """E_q[T], and the cross-entropy of telling codes from draws of the prior, each side with weight 1/2."""
    return t_codes.mean(), (F.softplus(-t_codes).mean() + F.softplus(t_prior).mean()) / 2


def adversary_cases(generator: torch.Generator) -> Iterator[Case]:
    yield case(doubles([1.0]), doubles([-2.0]), about="one logit of a code, one of a draw of the prior")
    yield case(doubles([0.0, 0.0]), doubles([0.0, 0.0]), about="a discriminator that has no idea")
    yield case(draws(generator, 3), draws(generator, 3))
    yield case(draws(generator, 2) + 1, draws(generator, 6) - 1, about="2 codes, 6 draws of the prior")
    yield case(2 * draws(generator, 5), draws(generator, 1))
    leaves = Leaf(draws(generator, 2)), Leaf(draws(generator, 3))
    yield case(*leaves, about="gradients in T at the codes and at the draws: of the divergence, then of the loss")
    yield case(draws(generator, 3).float(), draws(generator, 3).float(), about="in float32")
    yield case(doubles([-1000.0, 3.0]), doubles([2000.0, -1.0]), about="a discriminator that is sure, and wrong")
    yield case(doubles([-1000.0, 3.0]), doubles([1.0, -1.0]), about="sure, and wrong, of a code alone")
    yield case(doubles([1000.0, 3.0]), doubles([-2000.0, -1.0]), about="a discriminator that is sure, and right")


def cross_entropy(t_codes: Tensor, t_prior: Tensor) -> Tensor:
    return adversary_terms(t_codes, t_prior)[1]


def log_of_sigmoid(t: Tensor) -> Tensor:
    return torch.sigmoid(t).log()


def pooled(t_codes: Tensor, t_prior: Tensor) -> Tensor:
    return torch.cat([F.softplus(-t_codes), F.softplus(t_prior)]).mean()


def terms(estimate: Callable | None = None, learns: Callable | None = None) -> Callable:
    """(divergence, loss), one of them exchanged."""

    def answer(q: Tensor, p: Tensor) -> tuple[Tensor, Tensor]:
        return (estimate(q, p) if estimate else q.mean()), (learns(q, p) if learns else cross_entropy(q, p))

    return answer


LABELS = (
    'the labels of the loss are exchanged. T is the logit of "this came from q(z)": it should be large on the codes, '
    "and a loss falls where that is so."
)
ADVERSARY_MISTAKES = (
    Mistake("without_gradient", CUT, terms(lambda q, p: q.detach().mean())),
    Mistake("without_gradient", CUT, terms(learns=lambda q, p: cross_entropy(q, p).detach())),
    Mistake("without_gradient", CUT, terms(lambda q, p: q.detach().mean(), lambda q, p: cross_entropy(q, p).detach())),
    Mistake("without_gradient", CUT, terms(learns=lambda q, p: cross_entropy(q.detach(), p))),
    Mistake("without_gradient", CUT, terms(learns=lambda q, p: cross_entropy(q, p.detach()))),
    *(
        Mistake(
            "generator_s_loss",
            "the divergence is what a GAN's generator is trained on, made of log-sigmoids of T. The estimate of "
            "KL(q(z), p(z)) is simpler: T itself is log q(z) / p(z) at its best.",
            terms(estimate),
        )
        for estimate in (lambda q, p: F.softplus(-q).mean(), lambda q, p: -F.softplus(q).mean())
    ),
    Mistake(
        "kept_from_negative",
        "the divergence is cut off at 0. An estimate of a KL may be negative, before the discriminator has learnt or "
        "by chance; where it is cut, the encoder gets no gradient.",
        terms(lambda q, p: q.mean().clamp(min=0)),
    ),
    Mistake(
        "one_minus_logit",
        "1 - t is taken inside the sigmoid. It is the probability that is subtracted from 1: 1 - sigmoid(t), which is "
        "sigmoid(-t).",
        terms(learns=lambda q, p: (F.softplus(-q).mean() - F.logsigmoid(1 - p).mean()) / 2),
    ),
    Mistake("labels_exchanged", LABELS, terms(learns=lambda q, p: cross_entropy(-q, -p))),
    Mistake(
        "both_signs",
        'T is taken for the logit of "this came from the prior": in both numbers its sign is the other way round.',
        lambda q, p: (-q.mean(), cross_entropy(-q, -p)),
    ),
    Mistake(
        "divergence_sign",
        "the divergence has the other sign. T estimates log q(z) / p(z), whose mean over the codes is the KL "
        "divergence; minimising its negative would drive the two apart.",
        terms(lambda q, p: -q.mean()),
    ),
    Mistake(
        "difference_of_means",
        "the mean of T over the prior is taken off, which makes it a distance of another kind (a critic's, as in a "
        "Wasserstein GAN). KL(q(z), p(z)) is the mean over the codes alone.",
        terms(lambda q, p: q.mean() - p.mean()),
    ),
    Mistake(
        "over_the_prior",
        "the divergence is the mean of T over the prior's draws. KL(q(z), p(z)) is a mean under q, over the codes.",
        terms(lambda q, p: p.mean()),
    ),
    Mistake(
        "over_both",
        "the divergence is the mean of T over codes and draws together. KL(q(z), p(z)) is a mean under q alone.",
        terms(lambda q, p: torch.cat([q, p]).mean()),
    ),
    Mistake(
        "probability_for_logit",
        "the mean probability stands where the mean logit belongs. log q(z) / p(z) is the logit itself.",
        terms(lambda q, p: torch.sigmoid(q).mean()),
    ),
    Mistake(
        "log_probability_for_logit",
        "the mean of log sigmoid(T) stands where the mean of T belongs. The former is log q / (q + p), never above 0; "
        "the KL divergence wants log q / p.",
        terms(lambda q, p: F.logsigmoid(q).mean()),
    ),
    Mistake(
        "fooling_loss",
        "the divergence is the loss by which a GAN's generator fools its discriminator, the mean of softplus(T). It "
        "has its minimum elsewhere than at 0, and is no estimate of the KL divergence.",
        terms(lambda q, p: F.softplus(q).mean()),
    ),
    Mistake(
        "jensen_shannon",
        "the divergence is log 2 minus the loss: a bound on the Jensen-Shannon divergence, an honest number too. Asked "
        "for is the estimate of KL(q(z), p(z)).",
        terms(lambda q, p: math.log(2) - cross_entropy(q, p)),
    ),
    Mistake(
        "loss_sign",
        "the loss has the other sign: it is the mean log-probability of the right answer, which is to be maximised.",
        terms(learns=lambda q, p: -cross_entropy(q, p)),
    ),
    Mistake(
        "loss_doubled",
        "the two halves of the loss are added without the 1/2. A discriminator that has no idea should pay log 2.",
        terms(learns=lambda q, p: 2 * cross_entropy(q, p)),
    ),
    Mistake(
        "pooled",
        "the mean is over codes and draws together, so the larger sample has more to say. Each side counts 1/2.",
        terms(learns=pooled),
    ),
    Mistake(
        "codes_only",
        "the loss is that of the codes alone: without the draws of the prior, the best T is plus infinity.",
        terms(learns=lambda q, p: F.softplus(-q).mean()),
    ),
    Mistake(
        "prior_only",
        "the loss is that of the draws of the prior alone: without the codes, the best T is minus infinity.",
        terms(learns=lambda q, p: F.softplus(p).mean()),
    ),
    Mistake(
        "underflow",
        "sigmoid(-1000) is exactly 0 on a computer, and its log minus infinity. A discriminator that is sure and wrong "
        "pays 1000 nats, not infinitely many: torch has the logarithm of a sigmoid as a function of its own.",
        terms(learns=lambda q, p: -(log_of_sigmoid(q).mean() + log_of_sigmoid(-p).mean()) / 2),
    ),
    Mistake(
        "underflow",
        "1 - sigmoid(40) is exactly 0 on a computer, and its log minus infinity. 1 - sigmoid(t) is sigmoid(-t), and "
        "torch has the logarithm of a sigmoid as a function of its own.",
        terms(learns=lambda q, p: -(log_of_sigmoid(q).mean() + (1 - torch.sigmoid(p)).log().mean()) / 2),
    ),
    Mistake(
        "underflow_half",
        "the draws of the prior go by way of 1 - sigmoid, which is exactly 0 for large logits. 1 - sigmoid(t) is "
        "sigmoid(-t), and its logarithm can be had without forming it.",
        terms(learns=lambda q, p: (F.softplus(-q).mean() - (1 - torch.sigmoid(p)).log().mean()) / 2),
    ),
    *(
        Mistake(
            "kept_from_zero",
            "a small number keeps the logarithm from infinity. What costs 1000 nats then costs a few dozen, and its "
            "gradient is gone: the discriminator learns nothing where it is most wrong.",
            terms(
                learns=lambda q, p, e=e: (
                    -((torch.sigmoid(q) + e).log().mean() + (torch.sigmoid(-p) + e).log().mean()) / 2
                )
            ),
        )
        for e in (1e-6, 1e-7, 1e-8, 1e-10, 1e-12)
    ),
    *(
        Mistake(
            "capped",
            "the loss is capped: what costs 1000 nats costs a hundred. That is what a cross-entropy of probabilities "
            "does; there is one of logits.",
            terms(
                learns=lambda q, p, most=most: (
                    -(log_of_sigmoid(q).clamp(min=-most).mean() + log_of_sigmoid(-p).clamp(min=-most).mean()) / 2
                )
            ),
        )
        for most in (100.0, 50.0)
    ),
    Mistake(
        "capped",
        "the loss is capped: what costs 1000 nats costs a hundred. That is what a cross-entropy of probabilities "
        "does; there is one of logits.",
        terms(
            learns=lambda q, p: (
                (
                    F.binary_cross_entropy(torch.sigmoid(q), torch.ones_like(q))
                    + F.binary_cross_entropy(torch.sigmoid(p), torch.zeros_like(p))
                )
                / 2
            )
        ),
    ),
    Mistake(
        "sigmoid_twice",
        "the sigmoid is taken twice: what goes into a loss that expects logits is a probability already.",
        terms(learns=lambda q, p: cross_entropy(torch.sigmoid(q), torch.sigmoid(p))),
    ),
    Mistake("bits", BITS, lambda q, p: tuple(term / math.log(2) for term in adversary_terms(q, p))),
    Mistake(
        "exchanged",
        "the two numbers are exchanged: the divergence comes first, then the discriminator's loss.",
        lambda q, p: adversary_terms(q, p)[::-1],
    ),
    Mistake(
        "summed",
        "sums where means belong: the loss and the divergence are not to grow with the batch.",
        lambda q, p: (q.sum(), (F.softplus(-q).sum() + F.softplus(p).sum()) / 2),
    ),
)


# Stein's direction


def stein_direction(z: Tensor) -> Tensor:
    """phi_i = mean over j other than i of k_ij s(z_j) + grad_{z_j} k_ij, with s(z) = -z, k_ij = exp(-u_ij / dim)."""
    return stein()(z)


@dataclass(frozen=True)
class stein:  # noqa: N801  a family of answers, each with one part exchanged
    score: float = -1.0
    pull: float = 1.0
    push: float = 1.0
    itself: bool = False
    over_n: bool = False
    own_score: bool = False
    total: bool = False
    power: int = 1
    double: float = 2.0
    width: float = 1.0
    last: float = 1.0
    refuses: bool = True

    def __call__(self, z: Tensor) -> Tensor:
        n, dim = z.shape
        if self.refuses and n < 2:
            raise ValueError("two codes")
        k = rbf(z, z, self.width * dim**self.power)
        if not self.itself:
            k = k - torch.diag(k.diagonal())
        s = self.score * z
        pull = k.sum(1, keepdim=True) * s if self.own_score else k @ s
        push = self.double / (self.width * dim**self.power) * (k.sum(1, keepdim=True) * z - k @ z)
        count = 1 if self.total else n if self.over_n else n - 1
        return self.last * (self.pull * pull + self.push * push) / count


def stein_cases(generator: torch.Generator) -> Iterator[Case]:
    yield case(doubles([[0.0], [1.0]]), about="two codes of one number")
    yield case(doubles([[1.0, 0.0], [0.0, 2.0], [-1.0, -1.0]]), about="three codes of two numbers")
    yield case(doubles([[1.5, -0.5], [1.5, -0.5]]), about="two codes on one spot: nothing drives them apart")
    for n, dim in ((3, 3), (5, 2), (4, 6)):
        yield case(1.3 * draws(generator, n, dim) + 0.4)
    yield case(draws(generator, 4, 2).float(), about="in float32")
    yield case(100 + draws(generator, 3, 2), about="codes far from the prior")
    yield case(doubles([[0.5, 1.0]]), about="a single code: there is no other to hear from")


STEIN_MISTAKES = (
    Mistake(
        "push_sign",
        "the second term has the other sign: it draws the codes together. The gradient is taken in z_j, and points "
        "from there towards z_i: for z_i that is away from z_j.",
        stein(push=-1.0),
    ),
    Mistake(
        "score_sign",
        "the score has the other sign. log N(z; 0, I) falls with the distance from 0, so its gradient points inwards.",
        stein(score=1.0),
    ),
    Mistake(
        "direction_flipped",
        "every code is moved the other way: this raises KL(q(z), p(z)). It would do as a gradient; asked for is the "
        "direction to go.",
        stein(last=-1.0),
    ),
    Mistake(
        "pull_only",
        "the second term, the gradient of the kernel, is missing. Without it nothing keeps the codes apart, and all of "
        "them go to the mode of the prior.",
        stein(push=0.0),
    ),
    Mistake(
        "push_only",
        "the score is missing: the codes drive each other apart, and nothing tells them where the prior is.",
        stein(pull=0.0),
    ),
    Mistake(
        "own_score",
        "each code is moved by its own score. It is to be moved by the scores of the others, s(z_j), each by how near "
        "it is: that is what makes it a direction for the distribution and not for one code.",
        stein(own_score=True),
    ),
    Mistake(
        "itself_kept",
        "the pair of a code with itself is in the mean. Its kernel is 1 and its push is 0, so it adds a pull to the "
        "mode; in many dimensions, where no other code is near, little else is left, and the codes settle too close "
        "to 0.",
        stein(itself=True, over_n=True),
    ),
    Mistake(
        "itself_in_the_sum",
        "the pair of a code with itself is in the sum, and is not counted in the number it is divided by. Its kernel "
        "is 1 and its push is 0, so that it adds a pull to the mode.",
        stein(itself=True),
    ),
    Mistake(
        "bandwidth_doubled",
        "the bandwidth is 2 dim: the contract's kernel is exp(-|a - b|^2 / dim), without the 2 of a Gaussian density.",
        stein(width=2.0),
    ),
    *(
        Mistake(
            "gradient_in_both_arguments",
            "the gradient of the kernel counts twice: z_j and z_i are one tensor to autograd, which has added the "
            "gradients in both arguments. Wanted is the one in z_j, with z_i held fast.",
            stein(push=push),
        )
        for push in (2.0, -2.0)
    ),
    Mistake(
        "divided_by_n",
        "the pair of a code with itself is left out of the sum and counted in the number it is divided by: n - 1 "
        "others are left.",
        stein(over_n=True),
    ),
    Mistake(
        "summed",
        "a sum over the other codes where a mean belongs.",
        stein(total=True),
    ),
    Mistake(
        "factor_two",
        "the 2 of the square is missing: the gradient of |z_j - z_i|^2 in z_j is 2 (z_j - z_i).",
        stein(double=1.0),
    ),
    Mistake(
        "bandwidth_in_the_gradient",
        "the bandwidth is missing from the gradient of the kernel. It stands in the exponent, so the chain rule brings "
        "1 / dim down with it.",
        lambda z: stein_direction(z) + (z.shape[1] - 1) * stein(pull=0.0)(z),
    ),
    Mistake(
        "bandwidth_squared",
        "the bandwidth is dim squared. The kernel is exp(-|a - b|^2 / dim).",
        stein(power=2),
    ),
    Mistake(
        "bandwidth_of_one",
        "the bandwidth is 1. The kernel is exp(-|a - b|^2 / dim).",
        stein(power=0),
    ),
    Mistake(
        "single_code_not_refused",
        "with one code there is no other, and 0 / 0 comes out. The contract asks for a ValueError.",
        stein(refuses=False),
    ),
)


# Does a prediction look ahead?


def changes(logits: Callable[[Tensor], Tensor], x: Tensor, flipped: Tensor) -> Tensor:
    """Entry [j, i]: the logit of pixel i in the j-th of `flipped` minus that in x."""
    before = logits(x.expand(len(flipped), *x.shape[1:])).flatten(1)
    return logits(flipped.reshape(-1, *x.shape[1:])).flatten(1) - before


def one_flip_each(x: Tensor) -> Tensor:
    pixels = x.flatten()
    eye = torch.eye(len(pixels), dtype=x.dtype)
    return pixels * (1 - eye) + (1 - pixels) * eye


def causality_leak(logits: Callable[[Tensor], Tensor], x: Tensor) -> float:
    """max over i and j >= i of |logit_i(x with x_j flipped) - logit_i(x)|."""
    return float(changes(logits, x, one_flip_each(x)).abs().tril().max())


def parity(weights: list[list[int]] | Tensor, offset: list[int] | Tensor, scale: list[float] | Tensor) -> Model:
    whole = [torch.as_tensor(values, dtype=torch.int64) for values in (weights, offset)]
    return Model("parity", dict(weights=whole[0], offset=whole[1], scale=torch.as_tensor(scale).float()))


def picture(*rows: list[int]) -> Tensor:
    return torch.tensor([[rows]], dtype=torch.float32)


def leak_cases(generator: torch.Generator) -> Iterator[Case]:
    two = picture([1, 0])
    sees = [0, 0], [1.5, 2.0]
    yield case(parity([[0, 1], [0, 0]], *sees), two, about="the first pixel's prediction depends on the second pixel")
    yield case(parity([[0, 0], [1, 0]], *sees), two, about="the second pixel's depends on the first: as it should")
    yield case(parity([[0, 0], [0, 1]], *sees), two, about="the second pixel's depends on the second pixel itself")
    yield case(parity([[1, 0], [0, 0]], *sees), two, about="the first pixel's depends on the first pixel itself")
    yield case(
        Model("constant", {"logits": torch.tensor([[[0.5, -2.0]]])}), two, about="predictions that look at nothing"
    )
    past = [[0, 0, 0, 0], [1, 0, 0, 0], [0, 1, 0, 0], [1, 0, 1, 0]]
    square = picture([0, 1], [1, 0])
    steps = [0, 1, 0, 1], [3.0, 1.0, 2.0, 5.0]
    yield case(parity(past, *steps), square, about="2 x 2 pixels, each depends on earlier ones alone")
    ahead = [row[:] for row in past]
    ahead[1][3] = ahead[0][2] = ahead[0][3] = 1
    yield case(parity(ahead, *steps), square, about="2 x 2 pixels; the first two look at later ones as well")
    small = [0, 0, 0, 0], [0.25, 0.5, 0.125, 7.0]
    yield case(parity([[0, 0, 1, 1], [0, 0, 0, 0], [1, 0, 0, 0], [1, 1, 1, 0]], *small), square, about="a small leak")
    for height, width in ((1, 5), (3, 2), (2, 4)):
        size = height * width
        weights = torch.randint(0, 2, (size, size), generator=generator)
        scale = torch.rand(size, generator=generator) + 0.5
        image = torch.randint(0, 2, (1, 1, height, width), generator=generator).float()
        yield case(parity(weights, torch.zeros(size), scale), image)
        yield case(parity(weights.tril(-1), torch.ones(size), scale), image, about="a causal one")


Change = Callable[[Tensor], Tensor]


def leak(
    pick: Change = torch.tril,
    last: Change = torch.max,
    size: Change = torch.abs,
    flips: Change = one_flip_each,
) -> Callable:
    """An answer with one part exchanged."""
    return lambda logits, x: float(last(pick(size(changes(logits, x, flips(x))))))


def set_to(value: float) -> Change:
    def flips(x: Tensor) -> Tensor:
        eye = torch.eye(x.numel(), dtype=torch.bool)
        return x.flatten().repeat(x.numel(), 1).masked_fill(eye, value)

    return flips


def nudged(x: Tensor) -> Tensor:
    return x.flatten() + 0.01 * torch.eye(x.numel())


def from_here_on(x: Tensor) -> Tensor:
    """Row j: all pixels from j on are flipped at once."""
    ahead = torch.ones(x.numel(), x.numel(), dtype=x.dtype).triu()
    return x.flatten() * (1 - ahead) + (1 - x.flatten()) * ahead


def in_columns(logits: Callable[[Tensor], Tensor], x: Tensor) -> float:
    """Pixels in the order of columns: down the first, then down the next."""
    order = torch.arange(x.numel()).view(x.shape[2:]).T.flatten()
    return float(changes(logits, x, one_flip_each(x))[order][:, order].abs().tril().max())


def largest_average(logits: Callable[[Tensor], Tensor], x: Tensor) -> float:
    """For each flipped pixel the mean over what must not move, and the largest of them."""
    moved = changes(logits, x, one_flip_each(x)).abs().tril()
    return float((moved.sum(1) / torch.arange(1, x.numel() + 1)).max())


def average_of_pairs(logits: Callable[[Tensor], Tensor], x: Tensor) -> float:
    moved = changes(logits, x, one_flip_each(x)).abs().tril()
    return float(moved.sum() / (x.numel() * (x.numel() + 1) / 2))


def by_gradient(logits: Callable[[Tensor], Tensor], x: Tensor) -> float:
    x = x.clone().requires_grad_()
    rows = [torch.autograd.grad(logits(x).flatten()[i], x)[0].flatten() for i in range(x.numel())]
    return float(torch.stack(rows).abs().triu().max())


def of_probabilities(logits: Callable[[Tensor], Tensor], x: Tensor) -> float:
    return causality_leak(lambda images: logits(images).sigmoid(), x)


def last_pixel_only(logits: Callable[[Tensor], Tensor], x: Tensor) -> float:
    return float(changes(logits, x, one_flip_each(x)[-1:]).abs().max())


LEAK_MISTAKES = (
    Mistake(
        "present_allowed",
        "a prediction that looks at its own pixel is let through. That is the worst of all leaks, for then there is "
        "nothing left to predict: j = i counts.",
        leak(lambda moved: moved.tril(-1)),
    ),
    Mistake(
        "present_only",
        "only the pixel itself is looked at. Later ones must not matter either: every j from i on.",
        leak(lambda moved: moved.diag()),
    ),
    Mistake(
        "past_for_future",
        "the past is taken for the future: what is reported is how much a prediction moves with itself and the pixels "
        "before it. Where the flipped pixel numbers the rows, look at the columns before it.",
        leak(torch.triu),
    ),
    Mistake(
        "past_for_future",
        "the past is taken for the future: what is reported is how much a prediction moves with the pixels before it. "
        "That it does is the point of the model.",
        leak(lambda moved: moved.triu(1)),
    ),
    Mistake(
        "past_counted",
        "the past is counted as well. A prediction may move with every earlier pixel: only j from i on is a leak.",
        leak(lambda moved: moved),
    ),
    Mistake("summed", "the changes are summed. The largest of them is asked for.", leak(last=torch.sum)),
    Mistake("averaged", "the changes are averaged. The largest of them is asked for.", leak(last=torch.mean)),
    *(
        Mistake("averaged", "the changes are averaged. The largest of them is asked for.", answer)
        for answer in (largest_average, average_of_pairs)
    ),
    Mistake(
        "in_columns",
        "the pixels are taken column by column. Raster order is that of reading: along the first row, then the next.",
        in_columns,
    ),
    Mistake(
        "all_flipped_at_once",
        "several pixels are flipped at once, and what they do can cancel. Flip one at a time.",
        leak(torch.diag, flips=from_here_on),
    ),
    Mistake(
        "sign_kept",
        "the changes keep their signs, so that one that lowers a logit is no leak, or they cancel. Take their size.",
        leak(size=lambda moved: moved),
    ),
    Mistake(
        "squared",
        "the changes are squared. Their size is asked for, in the unit of a logit.",
        leak(size=torch.square),
    ),
    Mistake(
        "set_to_zero",
        "pixels are set to 0, and those that are 0 already are not changed by that. Flip each.",
        leak(flips=set_to(0.0)),
    ),
    Mistake(
        "set_to_one",
        "pixels are set to 1, and those that are 1 already are not changed by that. Flip each.",
        leak(flips=set_to(1.0)),
    ),
    Mistake(
        "nudged",
        "nothing is ever found to move. Are the pixels moved a little instead of flipped? These pictures are black and "
        "white, and a network may well look at nothing else than on which side of a half a pixel lies.",
        leak(flips=nudged),
    ),
    Mistake(
        "by_gradient",
        "this takes a gradient, and a prediction can depend on a pixel without one: by a step. Flipping the pixel "
        "proves it either way.",
        by_gradient,
    ),
    Mistake(
        "of_probabilities",
        "the logits are turned into probabilities first. A leak then vanishes where the model is sure, since a sigmoid "
        "is flat there.",
        of_probabilities,
    ),
    Mistake(
        "last_pixel_only",
        "only the last pixel is flipped. Every pixel can be looked at too early.",
        last_pixel_only,
    ),
)


# The diagnosis

Numbers = dict[str, float]
WORDS = ("collapsed", "over-regularised", "leaking", "exploding", "healthy")
ROUNDING, WORSE, LITTLE, AT_CEILING = 1e-3, 2.5, 1.0, 0.75
"""Where the reference draws its lines; no case lies near one. Logits, nats, nats, nats."""


def diagnose(measured: Numbers) -> str:
    """One of WORDS, from the measurements alone."""
    return by_rules()(measured)


def by_rules(
    leaks: Callable[[Numbers], bool] = lambda m: m["leak"] > ROUNDING,
    worse: Callable[[Numbers], bool] = lambda m: m["nll"] > m["nll_without_code"] + WORSE,
    little: Callable[[Numbers], bool] = lambda m: m["information"] < LITTLE,
    full: Callable[[Numbers], bool] = lambda m: m["ceiling"] - m["information"] < AT_CEILING,
    first: Callable[[Numbers], str | None] = lambda m: None,
) -> Callable[[Numbers], str]:
    """The questions in their order, one of them exchanged, or another one asked `first`."""

    def answer(m: Numbers) -> str:
        if leaks(m) or first(m):
            return "leaking" if leaks(m) else first(m)
        if worse(m):
            return "exploding" if full(m) else "over-regularised"
        return "collapsed" if little(m) else "healthy"

    return answer


NAMES = (
    *("information", "ceiling", "rate", "distortion", "nll", "nll_without_code", "swapped_code_gap"),
    *("largest_mean", "largest_variance", "log_det_cov", "leak"),
)


def numbers(*values: float) -> Numbers:
    return dict(zip(NAMES, values, strict=True))


OTHER_SEEDS: tuple[tuple[str, Numbers], ...] = (
    ("over-regularised", numbers(0.08, 5.52, 0.08, 25.25, 24.77, 19.13, 0.62, 0.01, 1, -0.03, 0)),
    ("healthy", numbers(4.09, 5.52, 5.33, 14.22, 18.05, 19.13, 15.06, 0.06, 1.09, -0.35, 0)),
    ("leaking", numbers(0, 5.52, 0, 0, 0, 19.13, 0, 0, 1, 0, 24.7892)),
    ("collapsed", numbers(0.24, 5.52, 0.23, 19.34, 19.45, 19.13, 0.56, 0.03, 0.98, -0.23, 0)),
    ("exploding", numbers(5.52, 5.52, 67.96, 9.58, 74.61, 19.13, 53.67, 4.6, 6.81, 8.35, 0)),
)
"""The lab's five recipes trained from another seed, 1, and measured as the lab's own are."""

MADE_UP = (
    ("leaking", numbers(0.02, 5.52, 0.03, 16.0, 16.0, 19.1, 0.1, 0.05, 1.02, -0.02, 0.4), "a mask that lets little by"),
    ("leaking", numbers(4.1, 5.52, 5.2, 14.1, 18.0, 19.1, 16.0, 0.05, 1.1, -0.1, 0.06), "else it looks well"),
    ("leaking", numbers(5.52, 5.52, 60.0, 8.0, 61.0, 19.1, 50.0, 3.1, 8.2, 9.1, 2.5), "two things are wrong"),
    ("leaking", numbers(0.03, 5.52, 0.05, 25.0, 25.0, 19.1, 0.2, 0.05, 1.0, -0.1, 0.9), "two things are wrong"),
    ("healthy", numbers(3.9, 5.52, 5.0, 14.0, 18.2, 19.1, 15.0, 0.05, 1.1, -0.1, 4e-6), "rounding moves its logits"),
    ("collapsed", numbers(0.05, 5.52, 0.1, 19.0, 19.1, 19.1, 0.1, 0.05, 1.0, -0.1, 9e-6), "rounding moves its logits"),
    ("collapsed", numbers(0.03, 5.52, 3.1, 19.1, 19.2, 19.1, 0.1, 2.4, 1.1, -0.2, 0.0), "all codes lie on one spot"),
    ("healthy", numbers(3.88, 3.91, 6.0, 13.0, 18.3, 19.1, 17.0, 0.2, 1.2, -0.3, 0.0), "measured on 50 images"),
    ("exploding", numbers(3.91, 3.91, 64.0, 9.0, 70.0, 19.1, 60.0, 3.9, 8.5, 9.4, 0.0), "measured on 50 images"),
    ("healthy", numbers(9.0, 9.21, 13.0, 67.0, 79.5, 87.5, 60.0, 0.1, 1.1, -0.4, 0.0), "MNIST, 10,000 images"),
    ("collapsed", numbers(0.2, 9.21, 0.2, 87.4, 87.6, 87.5, 0.4, 0.03, 1.0, -0.1, 0.0), "MNIST, 10,000 images"),
    ("over-regularised", numbers(1.9, 9.21, 1.9, 120, 121, 87.5, 9.0, 0.03, 1.0, -0.1, 0.0), "MNIST, 10,000 images"),
    (
        "over-regularised",
        numbers(0.02, 5.52, 27.0, 25.0, 29.0, 19.1, 0.1, 2.9, 1.0, -0.1, 0.0),
        "all codes on one spot",
    ),
    ("over-regularised", numbers(0.3, 5.52, 8.0, 24.8, 25.6, 19.1, 0.6, 1.6, 1.0, -0.1, 0.0), "nearly on one spot"),
    ("exploding", numbers(3.9, 3.91, 14.6, 9.1, 29.3, 19.1, 30.0, 0.9, 1.9, 2.2, 0.0), "measured on 50 images"),
    ("exploding", numbers(5.5, 5.52, 31.0, 21.0, 41.0, 19.1, 3.2, 0.2, 1.1, 0.1, 0.0), "a decoder that listens little"),
    ("over-regularised", numbers(0.3, 5.52, 0.3, 24.6, 24.8, 19.1, 7.5, 0.1, 1.0, -0.1, 0.0), "it hangs on every word"),
    ("over-regularised", numbers(0.9, 5.52, 2.0, 18.6, 24.9, 19.1, 3.0, 1.4, 1.0, -0.1, 0.0), "a little is said"),
    ("collapsed", numbers(0.45, 5.52, 0.5, 18.9, 19.3, 19.1, 0.5, 0.05, 1.0, -0.1, 0.0), "a little is said"),
    ("healthy", numbers(1.6, 5.52, 1.8, 17.3, 18.9, 19.1, 6.0, 0.05, 1.0, -0.1, 0.0), "not much is said"),
    ("over-regularised", numbers(0.02, 5.52, 0.02, 25.0, 25.0, 19.1, 0.1, 0.01, 1.0, -0.01, 0.0), "it says nothing"),
    (
        "exploding",
        numbers(5.52, 5.52, 32.2, 9.0, 38.9, 19.1, 68.0, 0.08, 1.19, 0.01, 0.0),
        "an aggregate like the prior",
    ),
)
"""What to call them, and why each is there: what holds the one number that would mislead."""


def of_the_lab() -> list[Numbers]:
    """What the five cards say, each with the yardstick beside it."""
    from course_lib.zoo import card

    yardstick = card("lab/without_code")["measurements"]["nll"]
    return [card(f"lab/{letter}")["measurements"] | {"nll_without_code": yardstick} for letter in "abcde"]


def some_patient(generator: torch.Generator, word: str) -> Numbers:
    """Made up within the ranges of the contract."""

    def between(low: float, high: float) -> float:
        return low + (high - low) * torch.rand((), generator=generator).item()

    yardstick, ceiling = between(15, 100), between(5, 9.2)
    information = {
        "collapsed": between(0, 0.5),
        "over-regularised": between(0, 2),
        "exploding": ceiling - between(0, 0.4),
        "healthy": between(1.8, ceiling - 1),
        "leaking": between(0, ceiling),
    }[word]
    worse = {"collapsed": (-0.5, 1.2), "healthy": (-5, 1.2), "leaking": (-14, 10)}.get(word, (5, 40))
    nll = yardstick + between(*worse)
    rate = information + (between(20, 80) if word == "exploding" else between(0, 2))
    gap = 4 * information if word != "collapsed" else information
    spread = between(1.1, 9) if word == "exploding" else between(1.0, 1.2)
    leak = between(0.05, 20) if word == "leaking" else between(0, 1e-5)
    distortion = nll - information
    found = (information, ceiling, rate, distortion, nll, yardstick, gap, between(0, 0.2), spread, 3 * math.log(spread))
    return numbers(*(round(value, 3) for value in found), leak)


def diagnose_cases(generator: torch.Generator) -> Iterator[Case]:
    for letter, measured in zip("abcde", of_the_lab(), strict=True):
        yield case({name: measured[name] for name in NAMES}, about=f"the lab's model {letter}")
    for word, measured in OTHER_SEEDS:
        yield case(measured, about="one of the same kinds as the lab's, trained from another seed")
    for word, measured, about in MADE_UP:
        yield case(measured, about=f"made up: {about}")
    for word in WORDS:
        for _ in range(3):
            yield case(some_patient(generator, word), about="made up within the ranges of the contract")


def compare_words(case: Case, output: Any, expected: Any) -> str | None:
    if isinstance(output, str) and output not in WORDS:
        return f"{output!r} is none of the five words: {', '.join(WORDS)}"
    return compare(case, output, expected)


def seldom(word: str, when: Callable[[Numbers], bool]) -> Callable[[Numbers], str | None]:
    return lambda m: word if when(m) else None


DIAGNOSE_MISTAKES = (
    Mistake(
        "leak_by_likelihood",
        "a leak is looked for in the NLL. An NLL that is too good to be true is a clue, but a small leak leaves it "
        "plausible, and where more is wrong it can even be bad. The proof is a prediction that moves: `leak`.",
        by_rules(leaks=lambda m: m["nll"] < m["nll_without_code"] - 10),
    ),
    Mistake(
        "leak_never",
        "a leak is overlooked. Ask first whether the decoder's predictions move with pixels they must not see: if "
        "they do, its log_prob is no likelihood, and no other number that contains it means what it says.",
        by_rules(leaks=lambda m: False),
    ),
    Mistake(
        "leak_with_good_likelihood_only",
        "a leak is accepted as such only where the NLL is low as well. One proof is enough: a decoder that looks ahead "
        "is leaking, however bad it is.",
        by_rules(leaks=lambda m: m["leak"] > ROUNDING and m["nll"] < m["nll_without_code"]),
    ),
    Mistake(
        "leak_asked_last",
        "something else is asked before the leak. A decoder that leaks has a log_prob that is no likelihood: until "
        "that is ruled out, NLL and distortion prove nothing.",
        lambda m: (
            by_rules(leaks=lambda m: False)(m)
            if diagnose(m) != "leaking"
            else {"healthy": "leaking"}.get(by_rules(leaks=lambda m: False)(m), by_rules(leaks=lambda m: False)(m))
        ),
    ),
    Mistake(
        "rounding_taken_for_a_leak",
        "a logit that moves by a few millionths is called a leak. In float32 rounding does that: leave it some room.",
        by_rules(leaks=lambda m: m["leak"] > 0),
    ),
    Mistake(
        "rounding_taken_for_a_leak",
        "a logit that moves by a few millionths is called a leak. In float32 rounding does that: leave it more room.",
        by_rules(leaks=lambda m: m["leak"] > 1e-6),
    ),
    *(
        Mistake(
            "small_leak_overlooked",
            "only a large leak is called one. A logit that moves by a few hundredths has seen what it must not.",
            by_rules(leaks=lambda m, least=least: m["leak"] > least),
        )
        for least in (0.3, 0.8, 1.0, 5.0)
    ),
    Mistake(
        "rate_for_information",
        "the rate is taken for the information. It is only an upper bound: codes that all lie on one spot beside the "
        "prior have a rate, and tell nothing.",
        by_rules(little=lambda m: m["rate"] < LITTLE),
    ),
    Mistake(
        "rate_for_information",
        "the rate is taken for the information, wherever that is asked for. It is only an upper bound: codes that all "
        "lie on one spot beside the prior have a rate, and tell nothing.",
        by_rules(little=lambda m: m["rate"] < LITTLE, full=lambda m: m["ceiling"] - m["rate"] < AT_CEILING),
    ),
    *(
        Mistake(
            "silence_parted_by_information",
            "of two silent codes, collapsed and over-regularised, one is told from the other by how little it says. "
            "Either can say less. What tells them apart is how well the images are predicted.",
            by_rules(
                first=lambda m, line=line: (
                    None
                    if m["information"] >= LITTLE
                    else "over-regularised"
                    if m["information"] < line
                    else "collapsed"
                )
            ),
        )
        for line in (0.05, 0.1, 0.15, 0.2)
    ),
    *(
        Mistake(
            "quiet_bar_too_low",
            "a code that says a few tenths of a nat is called healthy. By the contract at most 0.5 is next to nothing.",
            by_rules(little=lambda m, line=line: m["information"] < line),
        )
        for line in (0.1, 0.2, 0.3, 0.4)
    ),
    *(
        Mistake(
            "quiet_bar_too_high",
            "a code that says 1.5 nats or more is called collapsed. By the contract it speaks.",
            by_rules(little=lambda m, line=line: m["information"] < line),
        )
        for line in (2.0, 3.0)
    ),
    Mistake(
        "quiet_means_collapsed",
        "every code that says little is called collapsed. Look at what the silence costs: where the images are "
        "predicted as well without a code it is missed by nobody; where they are predicted far worse, the decoder "
        "needed what the regulariser has squeezed out.",
        by_rules(first=seldom("collapsed", lambda m: m["information"] < LITTLE)),
    ),
    Mistake(
        "quiet_means_collapsed",
        "every code that says little is called collapsed, before anything else is asked. A decoder that leaks needs no "
        "code either; and one that predicts far worse than without a code was kept from using it.",
        lambda m: "collapsed" if m["information"] < LITTLE else diagnose(m),
    ),
    Mistake(
        "quiet_means_over_regularised",
        "every code that says little is called over-regularised. Where the images are predicted as well without a "
        "code, it is missed by nobody: that is a collapse.",
        by_rules(first=seldom("over-regularised", lambda m: m["information"] < LITTLE)),
    ),
    Mistake(
        "ceiling_means_exploding",
        "information at its ceiling is taken for an explosion. With few images any good code is there: log N is a "
        "limit of the meter. What tells the two apart is whether the images are predicted well.",
        by_rules(first=seldom("exploding", lambda m: m["ceiling"] - m["information"] < AT_CEILING)),
    ),
    Mistake(
        "ceiling_means_exploding",
        "information at its ceiling is taken for an explosion, before anything else is asked. With few images any good "
        "code is there: log N is a limit of the meter. And a leak is to be asked for first of all.",
        lambda m: "exploding" if m["ceiling"] - m["information"] < AT_CEILING else diagnose(m),
    ),
    Mistake(
        "rate_means_exploding",
        "a rate over some number of nats is called an explosion. What is much for 64 pixels is little for 784: what "
        "tells is whether it buys anything, that is, how well the images are predicted.",
        by_rules(first=seldom("exploding", lambda m: m["rate"] > 10)),
    ),
    *(
        Mistake(
            "large_rate_means_exploding",
            "where the images are predicted badly, a large rate is called an explosion. It is only an upper bound on "
            "the information: codes that all lie on one spot far from the prior have one too, and tell nothing. Ask "
            "for the information, and for its ceiling.",
            by_rules(full=full),
        )
        for full in (
            lambda m: m["rate"] > m["ceiling"],
            *(lambda m, line=line: m["rate"] > line for line in (10, 15, 20, 25)),
            *(lambda m, line=line: m["rate"] - m["information"] > line for line in (5, 10, 20)),
        )
    ),
    Mistake(
        "spread_means_exploding",
        "an explosion is looked for in the spread of the codes. Their variance may well be 1, as the prior's: it is "
        "enough that each posterior shrinks to a point, so that codes do not overlap. Look at what they say and cost.",
        by_rules(full=lambda m: m["largest_variance"] > 2.5),
    ),
    Mistake(
        "spread_means_exploding",
        "an explosion is looked for in log det Cov. It may well be 0, as the prior's: it is enough that each posterior "
        "shrinks to a point, so that codes do not overlap. Look at what they say and cost.",
        by_rules(full=lambda m: m["log_det_cov"] > 3),
    ),
    *(
        Mistake(
            "spread_means_exploding",
            "an explosion is looked for in where the codes lie. Their mean may well be 0, as the prior's: it is enough "
            "that each posterior shrinks to a point, so that codes do not overlap. Look at what they say and cost.",
            by_rules(full=lambda m, line=line: m["largest_mean"] > line),
        )
        for line in (0.5, 1.0, 2.0)
    ),
    Mistake(
        "distortion_means_exploding",
        "an explosion is looked for in the distortion: whether it lies below the NLL without a code. An exploded code "
        "may leave it on either side, and so may one that is squeezed out. Ask for the information, and its ceiling.",
        by_rules(full=lambda m: m["distortion"] < m["nll_without_code"]),
    ),
    *(
        Mistake(
            "listening_means_exploding",
            "an explosion is looked for in the swapped-code gap. It tells how much the decoder minds another code, "
            "and a code that says little can be minded much. Look at the information, and at its ceiling.",
            by_rules(full=lambda m, line=line: m["swapped_code_gap"] > line),
        )
        for line in (5, 10, 20)
    ),
    *(
        Mistake(
            "information_without_its_ceiling",
            "the information is held against a fixed number of nats. What is at the ceiling with 50 images, 3.9 nats, "
            "is far from it with 10,000: compare it with `ceiling`.",
            by_rules(full=lambda m, line=line: m["information"] > line),
        )
        for line in (4.0, 4.5, 5.0, 5.4)
    ),
    Mistake(
        "likelihood_without_a_yardstick",
        "the NLL is held against a fixed number of nats. What is bad for pictures of 64 pixels is splendid for those "
        "of 784: compare it with `nll_without_code`.",
        by_rules(worse=lambda m: m["nll"] > 22),
    ),
    Mistake(
        "distortion_for_likelihood",
        "the distortion is taken for the NLL. It leaves out what the code costs, and so is best of all where the codes "
        "have exploded.",
        by_rules(worse=lambda m: m["distortion"] > m["nll_without_code"] + WORSE),
    ),
    Mistake(
        "never_exploding",
        "one that has exploded is called over-regularised, for both predict badly. Bad predictions "
        "have two causes, a code that may say too little and one that says everything without any order.",
        by_rules(full=lambda m: False),
    ),
    Mistake(
        "never_over_regularised",
        "one that is over-regularised is called exploding, for both predict badly. Bad predictions "
        "have two causes, a code that may say too little and one that says everything without any order.",
        by_rules(full=lambda m: True),
    ),
    Mistake(
        "likelihood_never_asked",
        "nobody asks how well the images are predicted. Without that a code that is not needed and one that is "
        "squeezed out look alike, and so do one that speaks well and one that says everything without any order.",
        by_rules(worse=lambda m: False),
    ),
    Mistake(
        "exchanged",
        "collapsed and over-regularised are exchanged. Collapsed: the decoder does as well without a code. "
        "Over-regularised: it does not, and is kept from using one.",
        lambda m: {"collapsed": "over-regularised", "over-regularised": "collapsed"}.get(diagnose(m), diagnose(m)),
    ),
    Mistake(
        "always_healthy",
        "one that is ill is called healthy. Of the lab's five models one is well.",
        lambda m: "healthy",
    ),
    Mistake(
        "always_collapsed",
        "one that is not collapsed is called so. Of the lab's five models one is.",
        lambda m: "collapsed",
    ),
)


TASKS = (
    Task(
        id="07.infovae_loss",
        title="The loss from its parts",
        points=2,
        difficulty=2,
        minutes=10,
        cases=loss_cases,
        reference=infovae_loss,
        mistakes=LOSS_MISTAKES,
        hints=(
            "Write down the two weights first, each under a name. What must be true of both before anything is "
            "computed? And when should a term not be touched at all?",
            "loss = mean distortion + (1 - alpha) mean rate + (alpha + lambd - 1) D. A ValueError where a weight is "
            "negative; a term whose weight is 0 does not enter.",
            "on_rate, on_divergence = ..., ...\nif ... < 0 or ... < 0:\n    raise ValueError(...)\n"
            "loss = distortion.mean()\nif on_rate > 0:\n    loss = loss + ...\n...\nreturn loss",
        ),
        compare=near(),
    ),
    Task(
        id="07.mmd_squared",
        title="Three faults in one MMD",
        points=2,
        difficulty=3,
        minutes=15,
        cases=mmd_cases,
        reference=mmd_squared,
        mistakes=MMD_MISTAKES,
        hints=(
            "Check the pieces one by one on codes of one or two numbers, by hand. By what is the squared distance "
            "divided in all? What is the kernel of a code with itself, and does it belong? If both samples are the "
            "same, what should the three means come to?",
            "MMD^2 = mean_{i != j} k(z_i, z_j) + mean_{i != j} k(p_i, p_j) - 2 mean_{ij} k(z_i, p_j), with "
            "k(a, b) = exp(-|a - b|^2 / dim) and |a - b|^2 a sum over the dimensions.",
            "def kernel(a, b):\n    squares = ...          # [n, m], summed over the dimensions\n"
            "    return torch.exp(-squares / ...)\n\ndef among(k):              # the mean over pairs i != j\n"
            "    n = len(k)\n    return (k.sum() - ...) / (...)\n\n"
            "return among(...) + among(...) - ... * kernel(z, prior).mean()",
        ),
        compare=near(),
    ),
    Task(
        id="07.adversary_terms",
        title="The adversary's two numbers",
        points=2,
        difficulty=2,
        minutes=10,
        cases=adversary_cases,
        reference=adversary_terms,
        mistakes=ADVERSARY_MISTAKES,
        hints=(
            "Two players, two numbers. The encoder is told by how much the codes give themselves away, on average; the "
            "discriminator by how surprised it was, on each side.",
            "E_q[T] = mean over codes of T. loss = -1/2 mean_q log sigmoid(T) - 1/2 mean_p log sigmoid(-T), where "
            "1 - sigmoid(t) = sigmoid(-t).",
            "divergence = ...\non_codes = -torch.nn.functional.logsigmoid(...).mean()\n"
            "on_prior = -torch.nn.functional.logsigmoid(...).mean()\nreturn divergence, (... + ...) / 2",
        ),
        compare=near("the divergence", "the loss"),
    ),
    Task(
        id="07.stein_direction",
        title="Stein's direction",
        points=2,
        difficulty=3,
        minutes=15,
        cases=stein_cases,
        reference=stein_direction,
        mistakes=STEIN_MISTAKES,
        hints=(
            "Take two codes on a line, 0 and 1, and ask for each which way the other sends it: towards the prior, by "
            "the other's score; and away from the other. Both shrink with the distance.",
            "k_ij = exp(-|z_i - z_j|^2 / dim), s(z_j) = -z_j, and grad_{z_j} k_ij = (2 / dim) k_ij (z_i - z_j). "
            "phi_i = sum_{j != i} [k_ij s(z_j) + grad_{z_j} k_ij] / (n - 1).",
            "difference = z[:, None] - z               # [i, j, dim]: z_i - z_j\n"
            "k = ...                                  # [i, j], 0 where i = j\n"
            "pull = ...                               # sum_j k_ij s(z_j)\n"
            "push = (... * k[..., None] * difference).sum(...)\nreturn (pull + push) / ...",
        ),
        compare=near(),
    ),
    Task(
        id="07.causality_leak",
        title="Does a prediction look ahead?",
        points=1,
        difficulty=2,
        minutes=10,
        cases=leak_cases,
        reference=causality_leak,
        mistakes=LEAK_MISTAKES,
        hints=(
            "Flip one pixel, and see which predictions move. Those of later pixels may. All others may not.",
            "Of the pixels in raster order: max over j, and over i up to j, of |logit_i(x with x_j flipped) - "
            "logit_i(x)|. The height and width can be flattened away, before and after.",
            "before = logits(x).flatten()\nworst = 0.0\nfor j in range(x.numel()):\n    flipped = x.clone()\n"
            "    ...                                 # one pixel of the copy\n"
            "    moved = (logits(flipped).flatten() - before)...\n    worst = max(worst, float(moved[...].max()))\n"
            "return worst",
        ),
    ),
    Task(
        id="07.diagnose",
        title="Five models, five words",
        points=3,
        difficulty=3,
        minutes=20,
        cases=diagnose_cases,
        reference=diagnose,
        mistakes=DIAGNOSE_MISTAKES,
        hints=(
            "Put the questions in an order: first the one without whose answer the other numbers mean nothing. Then "
            "the one that parts good from bad, then what made the bad ones bad, and whether the good ones speak.",
            "Leak beyond rounding? If not: is the NLL far above that of a decoder without a code? If it is, the "
            "information is either at its ceiling or nearly nothing, and these are two different diseases. If it is "
            "not, does the code say anything?",
            'if measured["leak"] > ...:\n    return "leaking"\nif measured["nll"] > measured[...] + ...:\n'
            '    return ... if ... else ...\nreturn ... if measured["information"] < ... else ...',
        ),
        compare=compare_words,
    ),
)
