"""Exercise 08: a rate that is chosen, and the code that measures, compares and decides, graded whatever it finds."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from course_lib.grading.comparing import compare, compare_floats
from course_lib.grading.showing import kind_of
from course_lib.grading.specs import Leaf, Model
from course_lib.grading.task import Case, Mistake, Task, case

SOLUTION = "solutions/08_outstanding_questions, under the same heading."
INF, NAN = math.inf, math.nan


def doubles(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def draws(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def raising(answer: Callable) -> Callable:
    """The answer as a function of this file: where it raises, the judge reads the line that does."""
    return lambda *arguments: answer(*arguments)


# A rate that is chosen


def refuse_below_zero(nats: float) -> None:
    if nats < 0:
        raise ValueError("no rate lies below 0")


@dataclass(frozen=True)
class charge:  # noqa: N801  a family of answers, each with one part exchanged
    """last(mean of cost + on_cost * ... + gamma * off(rate, nats) + lambd * divergence)."""

    off: Callable[[Tensor, float], Tensor] = lambda rate, nats: (rate.mean() - nats).abs()
    make: Callable[..., Tensor] = lambda cost, off, divergence, gamma, lambd: (
        cost.mean() + gamma * off + lambd * divergence
    )
    last: Callable[[Tensor], Tensor] = lambda loss: loss
    refusing: Callable[[float], None] = refuse_below_zero

    def __call__(
        self, cost: Tensor, rate: Tensor, divergence: Tensor, nats: float, gamma: float, lambd: float
    ) -> Tensor:
        self.refusing(nats)
        return self.last(self.make(cost, self.off(rate, nats), divergence, gamma, lambd))


def target_rate(cost: Tensor, rate: Tensor, divergence: Tensor, nats: float, gamma: float, lambd: float) -> Tensor:
    """mean cost + gamma |mean rate - nats| + lambd divergence."""
    return charge()(cost, rate, divergence, nats, gamma, lambd)


def rate_cases(generator: torch.Generator) -> Iterator[Case]:
    one = doubles([90.0]), doubles([9.0]), doubles(0.5)
    yield case(*one, 6.0, 20.0, 3.0, about="one image, 3 nats above the target")
    yield case(
        doubles([90.0]), doubles([4.0]), doubles(0.5), 6.0, 20.0, 3.0, about="one image, 2 nats below the target"
    )
    both = doubles([80.0, 100.0]), doubles([2.0, 10.0]), doubles(0.25)
    yield case(*both, 6.0, 20.0, 100.0, about="one image below the target and one above, the mean at it")
    yield case(*both, 5.0, 2.0, 0.0, about="no price on the divergence")
    yield case(*both, 0.0, 4.0, 10.0, about="a target of 0 nats")
    for n in (3, 7):
        cost, rate = 90 + 5 * draws(generator, n), 5 + draws(generator, n).abs()
        yield case(cost, rate, draws(generator, 1)[0].abs() / 10, 5.3, 15.0, 50.0)
    yield case(doubles([-3.0, 5.0]), doubles([7.0, 1.0]), doubles(-0.01), 4.5, 8.0, 200.0, about="a cost below 0")
    single = torch.tensor([81.0, 92.0]), torch.tensor([4.0, 7.0]), torch.tensor(0.03)
    yield case(*single, 5.0, 20.0, 100.0, about="in float32")
    leaves = Leaf(doubles([80.0, 100.0])), Leaf(doubles([5.0, 11.0])), Leaf(doubles(0.25))
    yield case(*leaves, 6.0, 20.0, 3.0, about="the gradients in cost, rate and divergence, of one call")
    yield case(*one, -1.0, 20.0, 3.0, about="a target below 0 nats")


CUT = (
    "the numbers are right, and a gradient is missing: what is trained on them learns nothing from that part. "
    "Something on the way has left torch, or was detached."
)
MEAN_FIRST = (
    "each image is held to the target by itself. The average is what is chosen: an image that needs more nats than "
    "others may have them. Take the mean first, then the distance from the target."
)
RATE_MISTAKES = (
    Mistake("mean_of_absolute", MEAN_FIRST, charge(off=lambda rate, nats: (rate - nats).abs().mean())),
    Mistake(
        "one_loss_an_image",
        "a loss for each image is left. One number is asked for; and the distance from the target is that of the mean.",
        charge(off=lambda rate, nats: (rate - nats).abs(), make=lambda cost, off, v, g, b: cost + g * off + b * v),
    ),
    Mistake(
        "one_loss_an_image",
        "a loss for each image is left: the cost is still to be averaged.",
        charge(make=lambda cost, off, v, g, b: cost + g * off + b * v),
    ),
    Mistake(
        "squared",
        "the distance from the target is squared. Near the target a square pushes with next to nothing, and the rate "
        "settles beside it; the absolute value pushes with the whole of gamma until it is there.",
        charge(off=lambda rate, nats: (rate.mean() - nats).square()),
    ),
    Mistake(
        "squared",
        "the distances from the target are squared, image by image. It is the mean that has a target, and its absolute "
        "distance that is charged for.",
        charge(off=lambda rate, nats: (rate - nats).square().mean()),
    ),
    Mistake(
        "one_sided",
        "only a rate above the target is charged for. One below it is off as well: models of any lower rate pass, and "
        "are not compared at the same one.",
        charge(off=lambda rate, nats: (rate.mean() - nats).clamp(min=0)),
    ),
    Mistake(
        "one_sided",
        "only a rate below the target is charged for, as free bits would have it. One above it is off as well.",
        charge(off=lambda rate, nats: (nats - rate.mean()).clamp(min=0)),
    ),
    Mistake(
        "signed",
        "the difference keeps its sign: below the target it is a reward, and the lower the rate the better. That is a "
        "beta-VAE with gamma for its beta; the target has become a constant without a gradient.",
        charge(off=lambda rate, nats: rate.mean() - nats),
    ),
    Mistake(
        "signed",
        "the difference is taken as target minus rate, with its sign: the higher the rate the better, without an end.",
        charge(off=lambda rate, nats: nats - rate.mean()),
    ),
    Mistake(
        "distance_rewarded",
        "the distance from the target is subtracted: the loss is lower the further the rate lies from it.",
        charge(make=lambda cost, off, v, g, b: cost.mean() - g * off + b * v),
    ),
    Mistake(
        "divergence_rewarded",
        "the divergence is subtracted: codes would be paid for lying away from the prior.",
        charge(make=lambda cost, off, v, g, b: cost.mean() + g * off - b * v),
    ),
    Mistake(
        "gamma_on_cost",
        "gamma multiplies the cost. It is the weight of the distance from the target.",
        charge(make=lambda cost, off, v, g, b: g * cost.mean() + off + b * v),
    ),
    Mistake(
        "gamma_on_everything",
        "gamma multiplies the cost as well. It is the weight of the distance from the target alone.",
        charge(make=lambda cost, off, v, g, b: g * (cost.mean() + off) + b * v),
    ),
    Mistake(
        "weights_exchanged",
        "the two weights are exchanged: gamma belongs to the distance from the target, lambd to the divergence.",
        charge(make=lambda cost, off, v, g, b: cost.mean() + b * off + g * v),
    ),
    Mistake(
        "gamma_forgotten",
        "gamma is not in it. At weight 1 a nat of rate that saves more than a nat of cost is worth having beyond any "
        "target.",
        charge(make=lambda cost, off, v, g, b: cost.mean() + off + b * v),
    ),
    Mistake(
        "lambda_forgotten",
        "the divergence counts once, whatever lambd is.",
        charge(make=lambda cost, off, v, g, b: cost.mean() + g * off + v),
    ),
    Mistake(
        "divergence_forgotten",
        "the divergence is not in it. Then a rate can be paid by huddling all codes in one narrow spot: at the target, "
        "and telling next to nothing.",
        charge(make=lambda cost, off, v, g, b: cost.mean() + g * off),
    ),
    Mistake(
        "rate_for_distance",
        "the rate itself is charged for, and the target is not in it: that is a beta-VAE.",
        charge(off=lambda rate, nats: rate.mean()),
    ),
    Mistake(
        "rate_charged_twice",
        "the rate counts once more beside its distance from the target. Where the rate is chosen, that is all it pays.",
        lambda cost, rate, v, nats, g, b: charge()(cost, rate, v, nats, g, b) + rate.mean(),
    ),
    Mistake(
        "summed_over_batch",
        "sums over the images where means belong: the target is one of nats per image, and no batch is to change it.",
        charge(
            off=lambda rate, nats: (rate.sum() - nats).abs(),
            make=lambda cost, off, v, g, b: cost.sum() + g * off + b * v,
        ),
    ),
    Mistake(
        "summed_over_batch",
        "the costs are summed over the images, and the mean belongs there: else the target weighs less the larger the "
        "batch is.",
        charge(make=lambda cost, off, v, g, b: cost.sum() + g * off + b * v),
    ),
    Mistake("without_gradient", CUT, charge(last=lambda loss: loss.detach())),
    Mistake("without_gradient", CUT + " A float has no gradient.", charge(last=lambda loss: loss.item())),
    Mistake("without_gradient", CUT, charge(off=lambda rate, nats: (rate.detach().mean() - nats).abs())),
    Mistake("without_gradient", CUT, charge(make=lambda c, off, v, g, b: c.mean() + g * off + b * v.detach())),
    Mistake("without_gradient", CUT, charge(make=lambda c, off, v, g, b: c.detach().mean() + g * off + b * v)),
    Mistake(
        "target_not_refused",
        "a target below 0 nats is taken as it is. No rate lies there: the code would be driven to nothing, and the "
        "target never met. The contract wants a ValueError.",
        charge(refusing=lambda nats: None),
    ),
    Mistake(
        "zero_refused",
        "a target of 0 nats is refused. It can be met, by a code that says nothing: a model without a code, to compare "
        "with.",
        raising(charge(refusing=lambda nats: refuse_below_zero(nats if nats else -1.0))),
    ),
)


def compare_loss(case: Case, output: Any, expected: Any) -> str | None:
    """A float passes for a tensor of one number; gradients are compared as they are."""
    if not isinstance(expected, Tensor):
        return compare(case, output, expected)
    if isinstance(output, (int, float)) and not isinstance(output, bool):
        output = expected.new_tensor(output)
    said = compare(case, output, expected)
    return f"{said}: taken out of torch, and put back?" if said and said.startswith("the dtype") else said


# What a line reads off, on images that it has not seen


def no_change(*values: Tensor) -> tuple[Tensor, ...]:
    return values


def ones_first(codes: Tensor) -> Tensor:
    return torch.cat([torch.ones(len(codes), 1, dtype=codes.dtype), codes], 1)


def with_ones(codes: Tensor) -> Tensor:
    return torch.cat([codes, torch.ones(len(codes), 1, dtype=codes.dtype)], 1)


def least_squares(design: Tensor, factor: Tensor) -> Tensor:
    return torch.linalg.lstsq(design, factor[:, None], driver="gelsd").solution[:, 0]


def explained(test: Tensor, guess: Tensor, train: Tensor) -> Tensor:
    return 1 - (test - guess).square().sum() / (test - test.mean()).square().sum()


def refuse_constant(test: Tensor) -> None:
    if bool((test == test[0]).all()):
        raise ValueError("nothing varies, so nothing can be explained")


@dataclass(frozen=True)
class reading:  # noqa: N801  a family of answers, each with one part exchanged
    before: Callable[..., tuple[Tensor, ...]] = no_change
    design: Callable[[Tensor], Tensor] = with_ones
    solve: Callable[[Tensor, Tensor], Tensor] = least_squares
    score: Callable[[Tensor, Tensor, Tensor], Tensor] = explained
    refusing: Callable[[Tensor], None] = refuse_constant

    def __call__(self, train_codes: Tensor, train_factor: Tensor, test_codes: Tensor, test_factor: Tensor) -> float:
        self.refusing(test_factor)
        z, y, z_test, y_test = self.before(train_codes, train_factor, test_codes, test_factor)
        guess = self.design(z_test) @ self.solve(self.design(z), y)
        return float(self.score(y_test, guess, y))


def held_out_r2(train_codes: Tensor, train_factor: Tensor, test_codes: Tensor, test_factor: Tensor) -> float:
    """1 - SSE / SST on test, of a line with an intercept fitted on train; SST about the test mean."""
    return reading()(train_codes, train_factor, test_codes, test_factor)


def r2_cases(generator: torch.Generator) -> Iterator[Case]:
    line = doubles([[0.0], [1.0], [2.0]]), doubles([1.0, 2.0, 4.0])
    yield case(*line, doubles([[0.0], [2.0]]), doubles([2.0, 3.0]), about="three images to learn from, two to test on")
    yield case(*line, doubles([[3.0], [4.0]]), doubles([5.0, 7.0]), about="the two to test on lie elsewhere")
    exact = doubles([[0.0, 1.0], [1.0, 0.0], [2.0, 2.0], [3.0, 1.0]])
    yield case(
        *(exact, 2 * exact[:, 0] - exact[:, 1] + 5, exact[1:] + 1, 2 * exact[1:, 0] - exact[1:, 1] + 6),
        about="the factor is a linear function of the code, and 5",
    )
    flipped = doubles([[0.0], [1.0], [2.0], [3.0]])
    yield case(flipped, flipped[:, 0], flipped, -flipped[:, 0] + 3, about="what was learnt misleads")
    for n, m, dim, noise in ((20, 12, 2, 0.5), (30, 40, 3, 1.5), (12, 7, 4, 1.0)):
        way = draws(generator, dim)
        z, z_test = draws(generator, n, dim) + 1, 1.5 * draws(generator, m, dim) - 0.5
        y, y_test = (codes @ way + noise * draws(generator, len(codes)) + 4 for codes in (z, z_test))
        yield case(z, y, z_test, y_test, about=f"codes of {dim}, {n} images to learn from, {m} to test on")
    train, test = draws(generator, 7, 3), draws(generator, 4, 3)
    train[:, 1], test[:, 1] = 0.0, 0.0
    idle = train, train.sum(1) + draws(generator, 7) + 2, test, test.sum(1) + draws(generator, 4) + 2
    yield case(*idle, about="a dimension that has collapsed: it is 0 for every image")
    useless = draws(generator, 10, 3), draws(generator, 10), draws(generator, 12, 3), draws(generator, 12) + 1
    yield case(*useless, about="codes that have nothing to do with the factor")
    yield case(z, y, z_test, torch.full_like(y_test, 2.5), about="a factor that is the same in every test image")


def codes_centred(z: Tensor, y: Tensor, z_test: Tensor, y_test: Tensor) -> tuple[Tensor, ...]:
    return z - z.mean(0), y, z_test - z_test.mean(0), y_test


def brought_to_one(values: Tensor) -> Tensor:
    return (values - values.mean(0)) / values.std(0).clamp(min=1e-12)


def codes_standardised(z: Tensor, y: Tensor, z_test: Tensor, y_test: Tensor) -> tuple[Tensor, ...]:
    return brought_to_one(z), y, brought_to_one(z_test), y_test


def everything_standardised(*parts: Tensor) -> tuple[Tensor, ...]:
    return tuple(map(brought_to_one, parts))


def correlation_squared(test: Tensor, guess: Tensor, train: Tensor) -> Tensor:
    a, b = test - test.mean(), guess - guess.mean()
    return (a * b).sum().square() / (a.square().sum() * b.square().sum()).clamp(min=1e-300)


def spread_into_a_square(test: Tensor, guess: Tensor, train: Tensor) -> Tensor:
    return 1 - (test - guess[:, None]).square().sum() / (test - test.mean()).square().sum()


def halted(design: Tensor, factor: Tensor) -> Tensor:
    """What torch's default driver may make of a column of zeros: it stops there, and what comes after counts little.

    Written out: on some machines and days the driver is right.
    """
    q, r = torch.linalg.qr(design)
    idle = (r.diagonal().abs() < 1e-9).nonzero()
    rank = int(idle[0]) if len(idle) else len(r)
    return torch.linalg.pinv(r[:rank]) @ (q.T @ factor)[:rank]


def ridge(design: Tensor, factor: Tensor) -> Tensor:
    """As sklearn's Ridge does it: weight 1 on the slopes, none on the intercept, whose ones are the last column."""
    weights = torch.eye(design.shape[1], dtype=factor.dtype)
    weights[-1, -1] = 0.0
    return torch.linalg.solve(design.T @ design + weights, design.T @ factor)


def about(mean: Callable[[Tensor, Tensor], Tensor | float]) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    def score(test: Tensor, guess: Tensor, train: Tensor) -> Tensor:
        return 1 - (test - guess).square().sum() / (test - mean(test, train)).square().sum()

    return score


def variances_with_n_minus_1(test: Tensor, guess: Tensor, train: Tensor) -> Tensor:
    return 1 - (test - guess).square().mean() / test.var()


def residual_variance(test: Tensor, guess: Tensor, train: Tensor) -> Tensor:
    return 1 - (test - guess).var() / test.var()


def no_refusal(*values: Any) -> None:
    return None


def not_a_number(test: Tensor, guess: Tensor, train: Tensor) -> Tensor:
    return test.new_tensor(0.0) if bool((test == test[0]).all()) else explained(test, guess, train)


OWN_SCALE = (
    "train and test are brought to mean 0 each by itself. So a test image's code is read with another origin or "
    "another unit than those the line was learnt with, and a shift between the two is hidden. What is taken off, and "
    "by what one divides, is learnt on train and used for both."
)
SINGULAR = (
    "a dimension that has collapsed makes the normal equations singular, and the matrix has no inverse. Codes do have "
    "such dimensions. torch.linalg.lstsq, for one, finds a line all the same."
)
R2_MISTAKES = (
    Mistake(
        "no_intercept",
        "the line goes through 0: the intercept is missing. A factor need not be 0 where the code is.",
        reading(design=lambda codes: codes),
    ),
    Mistake(
        "measured_on_train",
        "this is the R^2 on the images that the line was fitted to, which can only flatter: with enough dimensions it "
        "nears 1 for codes that know nothing. Measure on the others.",
        reading(before=lambda z, y, z_test, y_test: (z, y, z, y)),
    ),
    Mistake(
        "fitted_on_test",
        "the line is fitted on the test images. Then nothing is held out, and codes of many dimensions look good "
        "whatever they say. Fit on train alone.",
        reading(before=lambda z, y, z_test, y_test: (z_test, y_test, z_test, y_test)),
    ),
    Mistake(
        "fitted_on_both",
        "the line is fitted on train and test together. A test image that was fitted to is not held out.",
        reading(before=lambda z, y, z_test, y_test: (torch.cat([z, z_test]), torch.cat([y, y_test]), z_test, y_test)),
    ),
    Mistake(
        "exchanged",
        "train and test are exchanged: the line is fitted on test, and measured on train.",
        reading(before=lambda z, y, z_test, y_test: (z_test, y_test, z, y)),
    ),
    Mistake(
        "squared_correlation",
        "this is the squared correlation of guess and truth. It forgives a guess that is off by a constant or a "
        "factor, and one that points the wrong way; on images not seen, the line has to hit: 1 - SSE / SST.",
        reading(score=correlation_squared),
    ),
    Mistake(
        "about_the_train_mean",
        "SST is taken about the mean of train. The spread to be explained is that of the test images, about their own "
        "mean; about another one it is larger, and the codes look better.",
        reading(score=about(lambda test, train: train.mean())),
    ),
    Mistake(
        "about_zero",
        "SST is taken about 0. A factor with a large mean is then explained by any guess near that mean.",
        reading(score=about(lambda test, train: 0.0)),
    ),
    Mistake(
        "about_the_guess",
        "SST is taken about the mean of the guesses. It is the spread of the test images about their own mean.",
        reading(score=lambda test, guess, train: about(lambda a, b: guess.mean())(test, guess, train)),
    ),
    Mistake(
        "spread_of_train",
        "SST is that of the train images, and SSE that of the test images: two sets, with other numbers of images.",
        reading(
            score=lambda test, guess, train: 1 - (test - guess).square().sum() / (train - train.mean()).square().sum()
        ),
    ),
    Mistake(
        "spread_explained",
        "this is the spread of the guesses over that of the factor. The two are alike only on the images that were "
        "fitted; on others a guess can be spread as the factor is, and wrong.",
        reading(
            score=lambda test, guess, train: (guess - test.mean()).square().sum() / (test - test.mean()).square().sum()
        ),
    ),
    Mistake(
        "not_divided",
        "SSE is not divided by SST: one minus a sum of squares has the factor's unit, and no limit below.",
        reading(score=lambda test, guess, train: 1 - (test - guess).square().sum()),
    ),
    Mistake(
        "mean_not_divided",
        "the mean squared error is not divided by the factor's spread: it has the factor's unit, and no limit below.",
        reading(score=lambda test, guess, train: 1 - (test - guess).square().mean()),
    ),
    Mistake(
        "mean_squared_error",
        "this is the mean squared error. What share of the spread is explained? 1 - SSE / SST.",
        reading(score=lambda test, guess, train: (test - guess).square().mean()),
    ),
    Mistake(
        "left_unexplained",
        "this is SSE / SST, the share that is left. One minus it is asked for.",
        reading(score=lambda test, guess, train: 1 - explained(test, guess, train)),
    ),
    Mistake(
        "n_minus_1",
        "a mean over m beside a variance over m - 1: the two sums are divided by different numbers, and a guess of "
        "the mean would score above 0.",
        reading(score=variances_with_n_minus_1),
    ),
    Mistake(
        "offset_forgiven",
        "a guess that is off by the same for all test images is forgiven. Either the variance of the errors stands "
        "where their squares belong, or the test images were brought to mean 0 by their own mean.",
        reading(score=residual_variance),
    ),
    Mistake("scaled_separately", OWN_SCALE, reading(before=codes_standardised)),
    Mistake("scaled_separately", OWN_SCALE, reading(before=everything_standardised)),
    Mistake("scaled_separately", OWN_SCALE, reading(before=codes_centred)),
    Mistake("scaled_separately", OWN_SCALE, reading(before=everything_standardised, design=lambda codes: codes)),
    Mistake(
        "spread_into_a_square",
        "a column meets a row: [m, 1] minus [m] is [m, m], every guess against every truth. Bring both to one shape.",
        reading(score=spread_into_a_square),
    ),
    Mistake(
        "kept_from_negative",
        "values below 0 are cut off. On images not seen a line can be worse than their mean, and a code that misleads "
        "is not the same as one that is of no use.",
        reading(score=lambda *parts: explained(*parts).clamp(min=0)),
    ),
    *(
        Mistake(
            "shrunk",
            "the weights are shrunk, as by ridge regression. The contract asks for least squares.",
            reading(
                solve=lambda design, y, a=a: torch.linalg.solve(
                    design.T @ design + a * torch.eye(design.shape[1], dtype=y.dtype), design.T @ y
                )
            ),
        )
        for a in (1.0, 0.1, 0.01, 0.001)
    ),
    Mistake(
        "shrunk",
        "the slopes are shrunk, as by ridge regression. The contract asks for least squares.",
        reading(solve=ridge),
    ),
    Mistake(
        "singular",
        SINGULAR,
        reading(solve=lambda design, y: torch.linalg.solve(design.T @ design, design.T @ y)),
    ),
    Mistake(
        "singular",
        SINGULAR,
        reading(solve=lambda design, y: torch.linalg.inv(design.T @ design) @ design.T @ y),
    ),
    *(
        Mistake(
            "default_driver",
            "a column of zeros has thrown the solver off. torch.linalg.lstsq by its default driver is not to be relied "
            'on where one stands; by driver="gelsd" it is.',
            reading(solve=halted, design=design),
        )
        for design in (with_ones, ones_first)
    ),
    Mistake(
        "default_driver",
        "a column of zeros has stopped the solver, for its matrix has not full rank. Codes do have such columns: "
        'driver="gelsd" takes them for what they are.',
        reading(solve=lambda design, y: torch.linalg.lstsq(design, y[:, None], driver="gels").solution[:, 0]),
    ),
    Mistake(
        "constant_not_refused",
        "a factor that is the same in every test image has no spread: x / 0 comes out. The contract wants a "
        "ValueError.",
        reading(refusing=no_refusal),
    ),
    Mistake(
        "constant_not_refused",
        "a factor that is the same in every test image has no spread to be explained, and a number is given for it all "
        "the same. The contract wants a ValueError.",
        reading(refusing=no_refusal, score=not_a_number),
    ),
)


# Compared at the same information


def outside(information: Tensor, at: float) -> bool:
    return at < float(information.min()) or at > float(information.max())


def refuse_outside(information: Tensor, at: float) -> None:
    if outside(information, at):
        raise ValueError(f"measured from {information.min():g} to {information.max():g}, and {at:g} lies outside")


def between_neighbours(x: Tensor, y: Tensor, at: float) -> float:
    """On the line through the two points beside `at`, those at an end for what lies beyond it; x ascending."""
    if len(x) == 1:
        return float(y[0])
    i = int(torch.searchsorted(x[1:-1].contiguous(), at))
    return float(y[i] + (y[i + 1] - y[i]) * (at - x[i]) / (x[i + 1] - x[i]))


def ascending(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    order = x.argsort()
    return x[order], y[order]


@dataclass(frozen=True)
class matched:  # noqa: N801  a family of answers, each with one part exchanged
    read: Callable[[Tensor, Tensor, float], float] = between_neighbours
    order: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]] = ascending
    refusing: Callable[[Tensor, float], None] = refuse_outside

    def __call__(self, information: Tensor, accuracy: Tensor, at: float) -> float:
        self.refusing(information, at)
        return float(self.read(*self.order(information, accuracy), at))


def at_matched_information(information: Tensor, accuracy: Tensor, at: float) -> float:
    """The accuracy at so much information, on straight lines between measured points."""
    return matched()(information, accuracy, at)


def matched_cases(generator: torch.Generator) -> Iterator[Case]:
    two = doubles([2.0, 4.0]), doubles([0.3, 0.7])
    yield case(*two, 2.5, about="two models, at a quarter of the way")
    yield case(*two, 2.0, about="exactly where one was measured")
    yield case(doubles([4.0, 2.0]), doubles([0.7, 0.3]), 2.5, about="the same two, the other one first")
    bend = doubles([1.0, 3.0, 8.0]), doubles([0.2, 0.6, 0.65])
    yield case(*bend, 2.5, about="three models, at a point of the first stretch")
    yield case(*bend, 4.0, about="three models, at a point whose two nearest lie both below it")
    yield case(*bend, 7.0, about="three models, at a point of the second stretch")
    yield case(*bend, 8.0, about="the largest that was measured")
    mixed = doubles([5.0, 1.0, 7.0, 2.0]), doubles([0.5, 0.45, 0.8, 0.1])
    for at in (1.5, 4.0, 5.5):
        yield case(*mixed, at, about="four models, not in order, and not always better with more information")
    for n in (4, 6):
        x = torch.randperm(12, generator=generator)[:n].double() + 0.25
        y = torch.rand(n, generator=generator, dtype=torch.float64)
        yield case(x, y, float(0.3 * x.min() + 0.7 * x.max()))
    yield case(*bend, 0.5, about="below everything that was measured, from 1 to 8 nats")
    yield case(*bend, 8.5, about="above everything that was measured, from 1 to 8 nats")
    yield case(doubles([3.0]), doubles([0.5]), 3.1, about="one model, and not at its information")
    yield case(doubles([3.0]), doubles([0.5]), 3.0, about="one model, at its information")


def nearest(x: Tensor, y: Tensor, at: float) -> Tensor:
    return y[(x - at).abs().argmin()]


def last_below(x: Tensor, y: Tensor, at: float) -> Tensor:
    return y[max(int((x <= at).sum()) - 1, 0)]


def first_above(x: Tensor, y: Tensor, at: float) -> Tensor:
    return y[min(int((x < at).sum()), len(y) - 1)]


def middle_of_neighbours(x: Tensor, y: Tensor, at: float) -> Tensor:
    return y[x == at][0] if bool((x == at).any()) else (last_below(x, y, at) + first_above(x, y, at)) / 2


def one_line_through_all(x: Tensor, y: Tensor, at: float) -> Tensor:
    if len(x) == 1:
        return y[0]
    slope = ((x - x.mean()) * (y - y.mean())).sum() / (x - x.mean()).square().sum()
    return y.mean() + slope * (at - x.mean())


def from_end_to_end(x: Tensor, y: Tensor, at: float) -> float:
    return between_neighbours(x[[0, -1]], y[[0, -1]], at) if len(x) > 1 else float(y[0])


def held_at_the_ends(x: Tensor, y: Tensor, at: float) -> float:
    return between_neighbours(x, y, min(max(at, float(x[0])), float(x[-1])))


def share_from_above(x: Tensor, y: Tensor, at: float) -> float:
    low, high = last_below(x, y, at), first_above(x, y, at)
    return float(low + high) - between_neighbours(x, y, at)


def as_in_numpy(x: Tensor, y: Tensor, at: float) -> float:
    """np.interp searches as though x ascended, whether it does or not."""
    import numpy as np

    return float(np.interp(at, x.numpy(), y.numpy()))


def neighbours_in_the_list(x: Tensor, y: Tensor, at: float) -> float:
    """The first two that stand side by side in the list, in that order, and have `at` between them."""
    for i in range(len(x) - 1):
        if x[i] <= at <= x[i + 1]:
            return between_neighbours(x[i : i + 2], y[i : i + 2], at)
    raise ValueError("not between any two")


def either_way_round(x: Tensor, y: Tensor, at: float) -> float:
    """The first two that stand side by side in the list, in whatever order, and have `at` between them."""
    for i in range(len(x) - 1):
        if min(x[i], x[i + 1]) <= at <= max(x[i], x[i + 1]):
            return float(y[i] + (y[i + 1] - y[i]) * (at - x[i]) / (x[i + 1] - x[i]))
    return float(y[0])


def two_nearest(x: Tensor, y: Tensor, at: float) -> float:
    return between_neighbours(*ascending(*(v[(x - at).abs().argsort()[:2]] for v in (x, y))), at)


def two_nearest_of_two(x: Tensor, y: Tensor, at: float) -> float:
    """The same, and one point does not do."""
    i, j = (x - at).abs().argsort()[[0, 1]].tolist()
    return float(y[i] + (y[j] - y[i]) * (at - x[i]) / (x[j] - x[i]))


def exchanged_axes(x: Tensor, y: Tensor, at: float) -> float:
    return held_at_the_ends(*ascending(y, x), at) if len(x) > 1 else float(x[0])


def refuse_ends(information: Tensor, at: float) -> None:
    if not float(information.min()) < at < float(information.max()):
        raise ValueError("outside")


def refuse_below(information: Tensor, at: float) -> None:
    refuse_outside(information, min(at, float(information.max())))


def refuse_above(information: Tensor, at: float) -> None:
    refuse_outside(information, max(at, float(information.min())))


def need_two(information: Tensor, at: float) -> None:
    refuse_outside(information, at)
    if len(information) < 2:
        raise ValueError("two points are needed")


UNSORTED = (
    "the points are taken in the order in which they were given. A line between two models that are neighbours in a "
    "list, and not in information, is no line through what was measured. Sort first, both together."
)
OUTSIDE = (
    "what lies outside of what was measured is answered all the same: along the last line, with NaN, or with the "
    "accuracy at the end, as numpy.interp does it in silence. Nobody knows how a curve goes on: the contract wants a "
    "ValueError."
)
MATCHED_MISTAKES = (
    Mistake("unsorted", UNSORTED, matched(read=as_in_numpy, order=lambda x, y: (x, y))),
    Mistake("unsorted", UNSORTED, matched(read=between_neighbours, order=lambda x, y: (x, y))),
    Mistake("unsorted", UNSORTED, raising(matched(read=neighbours_in_the_list, order=lambda x, y: (x, y)))),
    Mistake("unsorted", UNSORTED, matched(read=either_way_round, order=lambda x, y: (x, y))),
    Mistake(
        "sorted_apart",
        "information and accuracy are sorted each for itself: a model's accuracy goes to another one's information.",
        matched(order=lambda x, y: (x.sort().values, y.sort().values)),
    ),
    Mistake(
        "sorted_apart",
        "information is sorted and accuracy is left as it was: a model's accuracy goes to another one's information.",
        matched(order=lambda x, y: (x.sort().values, y)),
    ),
    Mistake(
        "sorted_by_accuracy",
        "the points are sorted by accuracy. The neighbours wanted are neighbours in information; and more information "
        "is not always more accuracy.",
        matched(read=as_in_numpy, order=lambda x, y: ascending(y, x)[::-1]),
    ),
    Mistake(
        "nearest",
        "the nearest model's accuracy is taken as it is. Then two models are compared at two informations, which is "
        "what was to be avoided.",
        matched(read=nearest),
    ),
    *(
        Mistake(
            "two_nearest",
            "the line goes through the two nearest points, and they may lie on one side: of 1, 3 and 8 nats, 4 is "
            "nearest to 3 and to 1. Then the line is carried on beyond both. Wanted are the next below and the next "
            "above.",
            matched(read=read),
        )
        for read in (two_nearest, two_nearest_of_two)
    ),
    Mistake(
        "last_below",
        "the accuracy of the next model below is taken as it is, without the way from there to the next one above.",
        matched(read=last_below),
    ),
    Mistake(
        "first_above",
        "the accuracy of the next model above is taken as it is, without the way to there from the next one below.",
        matched(read=first_above),
    ),
    Mistake(
        "middle_of_neighbours",
        "the two neighbours are averaged, wherever between them the point lies. The nearer counts more.",
        matched(read=middle_of_neighbours),
    ),
    Mistake(
        "share_from_above",
        "the two neighbours' shares are exchanged: at a quarter of the way, three quarters belong to the first.",
        matched(read=share_from_above),
    ),
    Mistake(
        "averaged",
        "the mean over all models is returned, whatever the information.",
        matched(read=lambda x, y, at: y.mean()),
    ),
    Mistake(
        "one_line_through_all",
        "one straight line is fitted to all points. Accuracy need not grow in proportion; only between two neighbours "
        "is it taken to.",
        matched(read=one_line_through_all),
    ),
    Mistake(
        "from_end_to_end",
        "the line goes from the first to the last point, past what was measured between.",
        matched(read=from_end_to_end),
    ),
    Mistake(
        "axes_exchanged",
        "the axes are exchanged: this is the information at an accuracy. Information is given, accuracy is asked for.",
        matched(read=exchanged_axes),
    ),
    Mistake(
        "axes_exchanged",
        "the axes are exchanged: the range that is asked about is that of the accuracies. Information is given.",
        lambda information, accuracy, at: at_matched_information(accuracy, information, at),
    ),
    Mistake("answered_outside", OUTSIDE, matched(refusing=no_refusal)),
    *(
        Mistake(
            f"answered_{side}",
            f"what lies {side} everything that was measured is answered all the same, and only the other side is "
            "refused. The contract wants a ValueError for both.",
            matched(refusing=refusing),
        )
        for side, refusing in (("below", refuse_above), ("above", refuse_below))
    ),
    Mistake(
        "ends_refused",
        "a point exactly at the end is refused. It was measured.",
        raising(matched(refusing=refuse_ends)),
    ),
    Mistake(
        "single_point_refused",
        "one model is refused even where it was measured. Nothing has to be drawn between there.",
        raising(matched(refusing=need_two)),
    ),
)


# An experiment with two arms

Run = Callable[[str, int], float]
Report = dict[str, Any]


def refuse_few(seeds: Sequence[int]) -> None:
    if len(seeds) < 2 or len(set(seeds)) < len(seeds):
        raise ValueError("two different seeds or more")


def variance(values: Tensor, less: int = 1) -> Tensor:
    """NaN for a single value; torch's own would warn, in the middle of what a check says."""
    return (values - values.mean()).square().sum() / (len(values) - less)


def spread(values: Tensor) -> Tensor:
    return variance(values).sqrt()


def spread_of_all(values: Tensor) -> Tensor:
    return variance(values, 0).sqrt()


def sample_error(differences: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return spread(differences) / max(len(differences), 1) ** 0.5


def same_seeds(run: Run, seeds: Sequence[int]) -> tuple[Tensor, Tensor]:
    a, b = ([run(arm, seed) for seed in seeds] for arm in ("a", "b"))
    return doubles(a), doubles(b)


@dataclass(frozen=True)
class harness:  # noqa: N801  a family of answers, each with one part exchanged
    measure: Callable[[Run, Sequence[int]], tuple[Tensor, Tensor]] = same_seeds
    centre: Callable[[Tensor], Tensor] = torch.mean
    error: Callable[[Tensor, Tensor, Tensor], Tensor] = sample_error
    sign: float = 1.0
    refusing: Callable[[Sequence[int]], None] = refuse_few
    early: bool = True

    def __call__(self, run: Run, seeds: Sequence[int]) -> Report:
        if self.early:
            self.refusing(seeds)
        a, b = self.measure(run, seeds)
        if not self.early:
            self.refusing(seeds)
        differences = self.sign * (b - a)
        error = self.error(differences, a, b)
        return {"differences": differences.tolist(), "mean": float(self.centre(differences)), "error": float(error)}


def paired(run: Run, seeds: Sequence[int]) -> Report:
    """Differences b - a on the same seeds, their mean and its standard error."""
    return harness()(run, seeds)


def runs(levels: tuple[float, float], shared: float, own: float, limit: int) -> Model:
    tensors = doubles(levels), doubles(shared), doubles(own), torch.tensor(limit)
    return Model("runs", dict(zip(("levels", "shared", "own", "limit"), tensors, strict=True)))


def told(model: Model, seeds: Sequence[int]) -> str:
    run = model.build()
    rows = (f"run({arm!r}, {seed}) = {run(arm, seed):g}" for seed in seeds for arm in ("a", "b"))
    return ", ".join(rows)


def paired_case(levels: tuple[float, float], shared: float, own: float, seeds: list[int]) -> Case:
    model = runs(levels, shared, own, 2 * len(seeds))
    return case(model, seeds, about=told(model, seeds) if len(seeds) < 4 else f"{len(seeds)} seeds")


def paired_cases(generator: torch.Generator) -> Iterator[Case]:
    yield paired_case((0.5, 0.75), 0.0, 0.3, [0, 1])
    yield paired_case((0.5, 0.75), 0.4, 0.3, [0, 1, 2])
    yield paired_case((0.8, 0.4), 0.8, 0.2, [3, 0, 11])
    yield paired_case((60.0, 61.0), 9.0, 1.0, [12, 7, 5, 30])
    for n in (5, 8):
        seeds = torch.randperm(1000, generator=generator)[:n].tolist()
        yield paired_case((0.3, 0.35), 0.2, 0.1, seeds)
    yield paired_case((0.3, 0.3), 0.0, 0.0, [4, 9, 2])
    closed = runs((0.5, 0.7), 0.0, 0.1, 0)
    yield case(runs((0.5, 0.7), 0.0, 0.1, 2), [5], about="one seed: no spread, and so no error")
    yield case(closed, [5], about="one seed: no spread, and so nothing to be run")
    yield case(closed, [], about="no seed at all")
    yield case(closed, [3, 8, 3], about="a seed that stands twice: nothing to be run, it would only repeat itself")


def other_seeds_for_b(run: Run, seeds: Sequence[int]) -> tuple[Tensor, Tensor]:
    step = max(seeds, default=0) + 1
    return doubles([run("a", s) for s in seeds]), doubles([run("b", s + step) for s in seeds])


def counted_on(run: Run, seeds: Sequence[int]) -> tuple[Tensor, Tensor]:
    """b takes up the count where a left it."""
    return doubles([run("a", s) for s in seeds]), doubles([run("b", s + len(seeds)) for s in seeds])


def next_seed_for_b(run: Run, seeds: Sequence[int]) -> tuple[Tensor, Tensor]:
    return doubles([run("a", s) for s in seeds]), doubles([run("b", s + 1) for s in seeds])


def counted_from_zero(run: Run, seeds: Sequence[int]) -> tuple[Tensor, Tensor]:
    return same_seeds(run, range(len(seeds)))


def first_seed_only(run: Run, seeds: Sequence[int]) -> tuple[Tensor, Tensor]:
    a = run("a", seeds[0]) if seeds else NAN
    return doubles([a] * len(seeds)), doubles([run("b", s) for s in seeds])


def sorted_seeds(run: Run, seeds: Sequence[int]) -> tuple[Tensor, Tensor]:
    return same_seeds(run, sorted(seeds))


def seeds_of_a_set(run: Run, seeds: Sequence[int]) -> tuple[Tensor, Tensor]:
    return same_seeds(run, list(set(seeds)))


def out_of_step(run: Run, seeds: Sequence[int]) -> tuple[Tensor, Tensor]:
    a, b = same_seeds(run, seeds)
    return a.sort().values, b.sort().values


def run_again(run: Run, seeds: Sequence[int]) -> tuple[Tensor, Tensor]:
    same_seeds(run, seeds)
    return same_seeds(run, seeds)


def run_again_b_first(run: Run, seeds: Sequence[int]) -> tuple[Tensor, Tensor]:
    a, b = ([run(arm, seed) for seed in seeds for _ in range(2)] for arm in ("b", "a"))
    return doubles(a), doubles(b)


def sizes_only(run: Run, seeds: Sequence[int]) -> tuple[Tensor, Tensor]:
    a, b = same_seeds(run, seeds)
    return torch.zeros_like(a), (b - a).abs()


def unpaired_error(differences: Tensor, a: Tensor, b: Tensor) -> Tensor:
    return ((variance(a) + variance(b)) / max(len(a), 1)).sqrt()


def by_root_n(measure: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    return lambda differences, a, b: measure(differences) / max(len(differences), 1) ** 0.5


def error_by_hand(differences: Tensor, a: Tensor, b: Tensor) -> Tensor:
    """In Python's own numbers, where a division by 0 is an exception."""
    values, n = differences.tolist(), len(differences)
    mean = sum(values) / n
    return doubles((sum((value - mean) ** 2 for value in values) / (n - 1) / n) ** 0.5)


def only_too_few(seeds: Sequence[int]) -> None:
    if len(seeds) < 2:
        raise ValueError("two seeds or more")


def only_none(seeds: Sequence[int]) -> None:
    if len(seeds) < 1:
        raise ValueError("a seed or more")


def none_or_repeated(seeds: Sequence[int]) -> None:
    if len(set(seeds)) < max(len(seeds), 1):
        raise ValueError("a seed or more, each once")


def only_repeated(seeds: Sequence[int]) -> None:
    if len(set(seeds)) < len(seeds):
        raise ValueError("each once")


def fewer_than_three(seeds: Sequence[int]) -> None:
    refuse_few(seeds)
    if len(seeds) < 3:
        raise ValueError("three seeds or more")


OTHER_SEEDS = (
    "the two arms do not have the same seeds. What a seed does to both of them, the start, the order of the images, "
    "the draw of the data, then stays in the difference, and can be larger than what is looked for."
)
TWICE = "a run is made twice. In earnest a run is a training: keep what it returned."
PAIRED_MISTAKES = (
    *(
        Mistake("other_seeds_for_b", OTHER_SEEDS, harness(measure=measure))
        for measure in (other_seeds_for_b, counted_on, next_seed_for_b)
    ),
    Mistake(
        "counted_from_zero",
        "the seeds are not those that were given: 0, 1, 2 and so on are run in their place.",
        harness(measure=counted_from_zero),
    ),
    Mistake(
        "first_seed_only",
        "one run of a serves for all seeds. Each run of b is to be held against the run of a on the same seed.",
        harness(measure=first_seed_only),
    ),
    Mistake(
        "seeds_reordered",
        "the differences come in the order of sorted seeds. They are to stand in the order in which seeds were given.",
        harness(measure=sorted_seeds),
    ),
    Mistake(
        "seeds_reordered",
        "the differences come in another order than the seeds. A set has an order of its own: it serves to find a seed "
        "that stands twice, and not to run through them.",
        harness(measure=seeds_of_a_set),
    ),
    Mistake(
        "out_of_step",
        "the results of each arm are sorted before they are subtracted: no difference is that of one seed any more.",
        harness(measure=out_of_step),
    ),
    Mistake("run_twice", TWICE, harness(measure=run_again)),
    Mistake("run_twice", TWICE, harness(measure=run_again_b_first)),
    Mistake(
        "sign",
        "the difference is a - b. Asked for is b - a: above 0 where b has more.",
        harness(sign=-1.0),
    ),
    Mistake(
        "without_sign",
        "the differences are taken without their sign. Then even two arms that are alike differ on average, for no "
        "difference can make up for another.",
        harness(measure=sizes_only),
    ),
    Mistake(
        "unpaired_error",
        "the error is made of the spread of a and that of b, as though they had nothing to do with each other. What a "
        "seed does to both falls out of a difference: the error is that of the differences.",
        harness(error=unpaired_error),
    ),
    Mistake(
        "population_spread",
        "the spread is divided by n. The mean was taken from the same few numbers, so it is n - 1: with three seeds "
        "the error would come out a fifth too small.",
        harness(error=by_root_n(spread_of_all)),
    ),
    Mistake(
        "deviation_for_error",
        "this is the standard deviation of the differences, how far one lies from another. The standard error of their "
        "mean is smaller by the root of n.",
        harness(error=lambda d, a, b: spread(d)),
    ),
    Mistake(
        "deviation_for_error",
        "this is the standard deviation of the differences, and of the population at that. The standard error of their "
        "mean is that of the sample, smaller by the root of n.",
        harness(error=lambda d, a, b: spread_of_all(d)),
    ),
    Mistake(
        "divided_by_n",
        "the standard deviation is divided by n, and by its root it should be.",
        harness(error=lambda d, a, b: spread(d) / max(len(d), 1)),
    ),
    Mistake(
        "variance_for_deviation",
        "the variance stands where the standard deviation belongs: its unit is the square of a difference's.",
        harness(error=by_root_n(variance)),
    ),
    Mistake(
        "variance_for_deviation",
        "this is the variance of the mean. Its root is the standard error.",
        harness(error=lambda d, a, b: variance(d) / max(len(d), 1)),
    ),
    Mistake(
        "root_of_n_minus_1",
        "the standard deviation of the sample is divided by the root of n - 1. The n - 1 is in the deviation already; "
        "what is left is the root of n.",
        harness(error=lambda d, a, b: spread(d) / max(len(d) - 1, 1) ** 0.5),
    ),
    Mistake(
        "error_of_one_arm",
        "the error is that of one arm's results. Asked for is that of the differences.",
        harness(error=lambda d, a, b: sample_error(b, a, b)),
    ),
    Mistake(
        "error_of_one_arm",
        "the error is that of one arm's results. Asked for is that of the differences.",
        harness(error=lambda d, a, b: sample_error(a, a, b)),
    ),
    *(
        Mistake(
            "two_errors",
            "the error is multiplied by two, or by 1.96. That is for the verdict to do; here the standard error itself "
            "is asked for.",
            harness(error=lambda d, a, b, times=times: times * sample_error(d, a, b)),
        )
        for times in (2.0, 1.96)
    ),
    Mistake("median", "the median of the differences stands where their mean belongs.", harness(centre=torch.median)),
    Mistake("summed", "the differences are summed, and not divided by their number.", harness(centre=torch.sum)),
    Mistake(
        "refused_too_late",
        "the seeds are refused when all is run, by you or by a function that happens to complain. A run in earnest "
        "takes long: refuse before the first.",
        harness(early=False),
    ),
    *(
        Mistake(
            "seeds_not_refused",
            "with fewer than two seeds there is no spread, and whatever stands for the error is made up: NaN, or "
            "worse, 0. And a seed that stands twice repeats itself. The contract wants a ValueError for both.",
            harness(refusing=refusing),
        )
        for refusing in (no_refusal, only_none)
    ),
    Mistake(
        "seeds_not_refused",
        "nothing is refused, and one seed ends in a division by 0. It has no spread, and a seed that stands twice "
        "repeats itself: a ValueError belongs to both, before the first run.",
        harness(refusing=no_refusal, error=error_by_hand),
    ),
    Mistake(
        "single_seed_not_refused",
        "one seed is not refused. It has no spread, and whatever stands for the error is made up.",
        harness(refusing=none_or_repeated),
    ),
    *(
        Mistake(
            "single_seed_not_refused",
            "one seed is not refused, and ends in a division by 0. It has no spread: a ValueError belongs, before the "
            "first run.",
            harness(refusing=refusing, error=error_by_hand),
        )
        for refusing in (none_or_repeated, only_repeated)
    ),
    Mistake(
        "repeated_seed_not_refused",
        "a seed that stands twice is not refused. Its second run repeats the first to the last digit: n grows, the "
        "error shrinks, and nothing was learnt.",
        harness(refusing=only_too_few),
    ),
    Mistake(
        "two_seeds_refused",
        "two seeds are refused. They are few, and they have a spread.",
        raising(harness(refusing=fewer_than_three)),
    ),
)


def compare_fields(case: Case, output: Any, expected: Any) -> str | None:
    """A dict by its fields, those beyond the contract's aside; numbers may be tensors, a list of them one tensor."""
    if not isinstance(output, dict):
        return compare(case, output, expected) if output is None else f"a dict was expected, and {kind_of(output)} came"
    missing = [name for name in expected if name not in output]
    if missing:
        return f"{' and '.join(map(repr, missing))}: not in the dict that came back"
    said = ((name, field_differs(case, output[name], want)) for name, want in expected.items())
    return next((f"{name}: {text}" for name, text in said if text), None)


def field_differs(case: Case, got: Any, want: Any) -> str | None:
    if isinstance(want, str):
        return compare(case, got, want)
    if isinstance(want, list):
        if not isinstance(got, (list, tuple, Tensor)):
            return f"a list of numbers was expected, and {kind_of(got)} came back"
        got = got.flatten().tolist() if isinstance(got, Tensor) else list(got)
        return compare(case, got, want)
    return None if isinstance(got, float) and math.isclose(got, want, abs_tol=1e-9) else compare_floats(got, want)


# What a difference is called

ANSWERS, FATES = ("a", "b", "open"), ("held", "failed", "open")
Pair = tuple[str, str]


def refuse_what_is_none(prediction: str, mean: float, error: float) -> None:
    if prediction not in ANSWERS:
        raise ValueError("a prediction is a, b or open")
    if not (math.isfinite(mean) and math.isfinite(error)):
        raise ValueError("a mean and an error are finite")


def clear(mean: float, error: float, least: float) -> bool:
    return abs(mean) > 2 * error and abs(mean) >= least


def fate_of(prediction: str, answer: str) -> str:
    if prediction == answer:
        return "held"
    return "open" if answer == "open" else "failed"


@dataclass(frozen=True)
class rule:  # noqa: N801  a family of answers, each with one part exchanged
    clear: Callable[[float, float, float], bool] = clear
    name: Callable[[float], str] = lambda mean: "b" if mean > 0 else "a"
    fate: Callable[[str, str], str] = fate_of
    refusing: Callable[[str, float, float], None] = refuse_what_is_none

    def __call__(self, prediction: str, mean: float, error: float, least: float) -> Pair:
        self.refusing(prediction, mean, error)
        answer = self.name(mean) if self.clear(mean, error, least) else "open"
        return answer, self.fate(prediction, answer)


def verdict(prediction: str, mean: float, error: float, least: float) -> Pair:
    """("a", "b" or "open"; "held", "failed" or "open")."""
    return rule()(prediction, mean, error, least)


def verdict_cases(generator: torch.Generator) -> Iterator[Case]:
    yield case("b", 0.5, 0.125, 0.25, about="four errors from 0, and twice what is asked for")
    yield case("b", -0.5, 0.125, 0.25, about="the same the other way")
    yield case("a", -0.5, 0.125, 0.25)
    yield case("a", 0.5, 0.125, 0.25)
    yield case("open", 0.5, 0.125, 0.25, about="nothing was expected to be seen")
    yield case("open", -0.5, 0.125, 0.25, about="nothing was expected to be seen")
    for prediction in ANSWERS:
        yield case(prediction, 0.5, 0.375, 0.25, about="more than an error and less than two from 0")
        yield case(prediction, -0.5, 0.375, 0.25, about="more than an error and less than two from 0")
    for prediction in ANSWERS:
        yield case(prediction, 0.125, 0.03125, 0.25, about="four errors from 0, and half of what is asked for")
        yield case(prediction, -0.125, 0.03125, 0.25, about="four errors from 0, and half of what is asked for")
    yield case("b", 0.125, 0.5, 0.25, about="neither")
    yield case("b", 0.5, 0.25, 0.25, about="exactly two errors")
    yield case("a", -0.4921875, 0.25, 0.25, about="a little less than two errors from 0")
    yield case("a", -0.25, 0.0625, 0.25, about="exactly the least that is asked for")
    yield case("b", 0.5, 0.1875, 0.25, about="more than two errors, and mean - 2 error is below the least")
    yield case("b", 0.25, 0.0, 0.25, about="an error of 0")
    yield case("open", 0.0, 0.0, 0.0, about="all is 0")
    yield case("b", 0.125, 0.03125, 0.0, about="every difference is asked for")
    for _ in range(6):
        mean, error, least, pick = torch.rand(4, generator=generator, dtype=torch.float64).tolist()
        yield case(ANSWERS[int(3 * pick)], round(2 * mean - 1, 2), round(error / 2, 2), round(least / 2, 2) + 0.001)
    yield case("b", NAN, NAN, 0.25, about="a run has failed, and its numbers are NaN")
    yield case("open", 0.5, NAN, 0.25, about="an error that is NaN")
    yield case("open", INF, 0.25, 0.25, about="a mean that is infinite")
    yield case("B", 0.5, 0.125, 0.25, about="a prediction that is none of the three")
    yield case("", 0.5, 0.125, 0.25, about="no prediction")


def fates(unclear: str = "open", unclear_held: str = "held", clear_unseen: str = "failed") -> Callable[[str, str], str]:
    """`unclear`: "a" or "b" was predicted, and it is open; the other two: "open" was predicted."""

    def fate(prediction: str, answer: str) -> str:
        if answer == "open":
            return unclear_held if prediction == "open" else unclear
        return clear_unseen if prediction == "open" else fate_of(prediction, answer)

    return fate


def only_predictions(prediction: str, mean: float, error: float) -> None:
    refuse_what_is_none(prediction, 0.0, 0.0)


def only_numbers(prediction: str, mean: float, error: float) -> None:
    refuse_what_is_none("open", mean, error)


def only_nan(prediction: str, mean: float, error: float) -> None:
    refuse_what_is_none(prediction, 0.0, NAN if math.isnan(mean) or math.isnan(error) else 0.0)


def only_mean(prediction: str, mean: float, error: float) -> None:
    refuse_what_is_none(prediction, mean, 0.0)


def in_the_direction_foreseen(prediction: str, mean: float, error: float, least: float) -> Pair:
    """A difference the other way than the one foreseen is never called."""
    refuse_what_is_none(prediction, mean, error)
    answer, _ = verdict(prediction, mean, error, least)
    answer = answer if prediction in (answer, "open") else "open"
    return answer, fate_of(prediction, answer)


def no_difference_is_open(prediction: str, mean: float, error: float, least: float) -> Pair:
    refuse_what_is_none(prediction, mean, error)
    answer = "b" if mean > 0 else "a"
    return answer, fate_of(prediction, answer) if clear(mean, error, least) else "open"


NOT_THE_OPPOSITE = (
    "a difference that is not clear is taken for a proof that there is none: a prediction of a or b is said to have "
    'failed. It has not been refuted, only not been decided. "open".'
)
VERDICT_MISTAKES = (
    Mistake(
        "least_ignored",
        "`least` is not asked for. With enough seeds any difference is clear, down to one that nobody would care for.",
        rule(clear=lambda mean, error, least: abs(mean) > 2 * error),
    ),
    Mistake(
        "error_ignored",
        "the error is not asked for. A large difference that the next three seeds may turn over is nothing yet.",
        rule(clear=lambda mean, error, least: abs(mean) >= least),
    ),
    Mistake(
        "one_error",
        "one standard error is held to be enough. Two were agreed on beforehand: a difference of nothing is beyond one "
        "of them very often.",
        rule(clear=lambda mean, error, least: abs(mean) > error and abs(mean) >= least),
    ),
    Mistake(
        "either_is_enough",
        "one of the two conditions is held to be enough. Both are: beyond chance, and of a size that matters.",
        rule(clear=lambda mean, error, least: abs(mean) > 2 * error or abs(mean) >= least),
    ),
    *(
        Mistake(
            "one_sided",
            "only b can win: a mean far below 0 is called open. Take its size for what is clear, and its sign for "
            "whose it is.",
            rule(clear=condition),
        )
        for condition in (
            lambda mean, error, least: mean > 2 * error and mean >= least,
            lambda mean, error, least: mean > 2 * error and abs(mean) >= least,
            lambda mean, error, least: abs(mean) > 2 * error and mean >= least,
        )
    ),
    Mistake(
        "one_sided",
        "only the side that was foreseen can win: a clear difference the other way is called open. That is what a "
        "prediction is for, that it can fail.",
        in_the_direction_foreseen,
    ),
    Mistake(
        "sides_exchanged",
        "a and b are exchanged. The mean is that of b - a: above 0 it is b's.",
        rule(name=lambda mean: "a" if mean > 0 else "b"),
    ),
    Mistake(
        "always_b",
        "whatever is clear is given to b. The sign of the mean says whose it is.",
        rule(name=lambda mean: "b"),
    ),
    Mistake(
        "never_open",
        "the answer is a or b even where nothing is clear, and only what became of the prediction is open.",
        no_difference_is_open,
    ),
    Mistake("open_means_equal", NOT_THE_OPPOSITE, rule(fate=fates(unclear="failed"))),
    Mistake(
        "open_means_equal",
        NOT_THE_OPPOSITE + ' And "open" that was foreseen has held.',
        rule(fate=fates(unclear="failed", unclear_held="open")),
    ),
    Mistake(
        "open_cannot_hold",
        'who foresaw "open" and found it foresaw rightly: "held". That not enough would be seen was the prediction.',
        rule(fate=fates(unclear_held="open")),
    ),
    Mistake(
        "open_cannot_fail",
        'who foresaw "open" and found a clear difference was wrong: "failed". Else "open" would be the prediction that '
        "risks nothing.",
        rule(fate=fates(clear_unseen="open")),
    ),
    Mistake(
        "open_cannot_fail",
        'whatever "open" foresees is called open. It is a prediction as the others are: it holds where nothing is '
        "clear, and fails where something is.",
        rule(fate=fates(unclear_held="open", clear_unseen="open")),
    ),
    Mistake(
        "never_failed",
        "no prediction ever fails: a clear difference the other way is called open. It is not, it has refuted it.",
        rule(fate=lambda prediction, answer: "held" if prediction == answer else "open"),
    ),
    Mistake(
        "always_held",
        "every prediction is said to have held, whatever was found.",
        rule(fate=lambda prediction, answer: "held"),
    ),
    Mistake(
        "prediction_returned",
        "the answer is what was foreseen. It is to come from the numbers alone.",
        lambda prediction, mean, error, least: (prediction, verdict(prediction, mean, error, least)[1]),
    ),
    Mistake(
        "pair_exchanged",
        "the two words are exchanged: first what the numbers say, then what became of the prediction.",
        lambda *numbers: verdict(*numbers)[::-1],
    ),
    Mistake(
        "one_point_nine_six",
        "1.96 errors are held to be enough. Two were agreed on; and 1.96 belongs to an error that is known, while this "
        "one is a guess from a few seeds.",
        rule(clear=lambda mean, error, least: abs(mean) > 1.96 * error and abs(mean) >= least),
    ),
    Mistake(
        "two_errors_are_enough",
        "a mean of exactly two errors counts as clear. More than two is what the rule says.",
        rule(clear=lambda mean, error, least: abs(mean) >= 2 * error and abs(mean) >= least),
    ),
    Mistake(
        "least_is_not_enough",
        "a mean of exactly `least` is not enough. At least so much is what the rule says.",
        rule(clear=lambda mean, error, least: abs(mean) > 2 * error and abs(mean) > least),
    ),
    Mistake(
        "least_beyond_the_error",
        "the two conditions are added up: the mean has to be two errors beyond `least`. A rule of its own, and a "
        "stricter one; this one asks that it be two errors from 0, and of a size of at least `least`.",
        rule(clear=lambda mean, error, least: abs(mean) - 2 * error >= least and abs(mean) > 2 * error),
    ),
    Mistake(
        "least_beyond_the_error",
        "the two conditions are added up: the mean has to be more than two errors beyond `least`. A rule of its own, "
        "and a stricter one; this one asks that it be two errors from 0, and of a size of at least `least`.",
        rule(clear=lambda mean, error, least: abs(mean) - 2 * error > least),
    ),
    Mistake(
        "nothing_refused",
        "numbers that are none and predictions that are none get a verdict. No comparison with NaN is true, so that a "
        'run that broke ends as an honest-looking "open". The contract wants a ValueError for both.',
        rule(refusing=no_refusal),
    ),
    Mistake(
        "nan_is_open",
        "a mean or an error that is no finite number gets a verdict. No comparison with NaN is true, so that a run "
        'that broke ends as an honest-looking "open". The contract wants a ValueError.',
        rule(refusing=only_predictions),
    ),
    Mistake(
        "nan_is_open",
        "an error that is no finite number gets a verdict, and the mean's alone is looked at. No comparison with NaN "
        'is true, so that a run that broke ends as an honest-looking "open".',
        rule(refusing=only_mean),
    ),
    Mistake(
        "infinite_not_refused",
        "NaN is refused, and an infinite number is not. A mean over seeds is infinite when one of the runs has failed.",
        rule(refusing=only_nan),
    ),
    Mistake(
        "prediction_not_refused",
        'a prediction that is none of "a", "b" and "open" gets a verdict. Whoever has not made one has nothing to hold '
        "or to fail.",
        rule(refusing=only_numbers),
    ),
)


def compare_verdicts(case: Case, output: Any, expected: Any) -> str | None:
    if not isinstance(output, (tuple, list)) or len(output) != 2:
        return compare(case, output, expected)
    if tuple(output) == tuple(expected):
        return None
    for what, words, got, want in zip(("the answer", "the fate"), (ANSWERS, FATES), output, expected, strict=True):
        if got not in words:
            return f"{what} is {got!r}, which is none of {', '.join(words)}"
        if got != want:
            return f"{what} should be {want!r}, and it is {got!r}"
    return None


# All of it at once

Coded = dict[str, tuple[Tensor, Tensor]]


def on_test(found: Coded) -> float:
    return held_out_r2(*found["train"], *found["test"])


def before_the_run(prediction: str) -> None:
    refuse_what_is_none(prediction, 0.0, 0.0)


@dataclass(frozen=True)
class trial:  # noqa: N801  a family of answers, each with one part exchanged
    measure: Callable[[Coded], float] = on_test
    compared: Callable[[Run, Sequence[int]], Report] = paired
    decide: Callable[[str, float, float, float], Pair] = verdict
    first: Callable[[str], None] = before_the_run
    says: Callable[[str, Report, Pair], str] = lambda prediction, found, decided: prediction

    def __call__(
        self, prediction: str, codes: Callable[[str, int], Coded], seeds: Sequence[int], least: float
    ) -> Report:
        self.first(prediction)
        found = self.compared(lambda arm, seed: self.measure(codes(arm, seed)), seeds)
        decided = self.decide(prediction, found["mean"], found["error"], least)
        said = self.says(prediction, found, decided)
        return {"prediction": said} | found | dict(zip(("answer", "fate"), decided, strict=True))


def put_to_the_test(prediction: str, codes: Callable[[str, int], Coded], seeds: Sequence[int], least: float) -> Report:
    """The prediction, what was measured on the test images, and what follows from it."""
    return trial()(prediction, codes, seeds, least)


def coded(noise: tuple[float, float], sizes: tuple[int, int, int], limit: int) -> Model:
    return Model("coded runs", dict(noise=doubles(noise), sizes=torch.tensor(sizes), limit=torch.tensor(limit)))


def trial_cases(generator: torch.Generator) -> Iterator[Case]:
    for prediction in ("b", "a", "open"):
        about = "b's codes have less noise"
        yield case(prediction, coded((0.9, 0.4), (20, 12, 2), 4), [0, 1], 0.05, about=about)
    for prediction in ("b", "a", "open"):
        yield case(
            prediction, coded((0.9, 0.8), (20, 12, 2), 6), [6, 1, 8], 0.05, about="two arms that are nearly as noisy"
        )
    yield case("b", coded((0.2, 0.9), (30, 20, 3), 8), [5, 2, 9, 4], 0.02, about="a's codes have less noise")
    large = coded((0.6, 0.2), (60, 200, 2), 12)
    yield case(
        "b", large, [11, 3, 7, 1, 20, 8], 0.5, about="a difference that is clear, and smaller than was asked for"
    )
    small = coded((0.45, 0.4), (60, 200, 2), 16)
    yield case(
        "b", small, [3, 1, 4, 15, 9, 2, 6, 5], 0.001, about="a small difference, and a smaller one was asked for"
    )
    for noise in ((0.8, 0.5), (0.5, 0.8), (0.7, 0.7)):
        seeds = torch.randperm(100, generator=generator)[:4].tolist()
        yield case("a", coded(noise, (25, 15, 3), 8), seeds, 0.03)
    closed = coded((0.9, 0.4), (20, 12, 2), 0)
    opened = coded((0.9, 0.4), (20, 12, 2), 6)
    yield case("", opened, [0, 1, 2], 0.05, about="no prediction")
    yield case("", closed, [0, 1, 2], 0.05, about="no prediction yet: nothing to be run")
    yield case("maybe", closed, [0, 1, 2], 0.05, about="a prediction that is none of the three: nothing to be run")
    yield case("b", closed, [0], 0.05, about="one seed: nothing to be run")


def apart_for_train_and_test(
    prediction: str, codes: Callable[[str, int], Coded], seeds: Sequence[int], least: float
) -> Report:
    """Every model is made twice, once for each of its two sets of codes."""
    before_the_run(prediction)

    def run(arm: str, seed: int) -> float:
        return held_out_r2(*codes(arm, seed)["train"], *codes(arm, seed)["test"])

    return {"prediction": prediction} | paired(run, seeds)


def both(found: Coded) -> tuple[Tensor, Tensor]:
    z, y = zip(found["train"], found["test"], strict=True)
    return torch.cat(z), torch.cat(y)


PART = "this is task {} again: "
TRIAL_MISTAKES = (
    Mistake(
        "measured_on_train",
        "the line is measured on the images that it was fitted to. Nothing held out, nothing shown: test is for that.",
        trial(measure=lambda found: held_out_r2(*found["train"], *found["train"])),
    ),
    Mistake(
        "fitted_on_test",
        "the line is fitted on the very images that it is measured on, the test images. Fit it on train.",
        trial(measure=lambda found: held_out_r2(*found["test"], *found["test"])),
    ),
    Mistake(
        "exchanged",
        "train and test are exchanged: the line is fitted on test and measured on train.",
        trial(measure=lambda found: held_out_r2(*found["test"], *found["train"])),
    ),
    Mistake(
        "pooled",
        "train and test are thrown together before the line is fitted: test images have been learnt from.",
        trial(measure=lambda found: held_out_r2(*both(found), *found["test"])),
    ),
    Mistake(
        "pooled",
        "train and test are thrown together, for the line and for the measurement: nothing is held out.",
        trial(measure=lambda found: held_out_r2(*both(found), *both(found))),
    ),
    Mistake(
        "squared_correlation",
        PART.format(2) + "a squared correlation stands where the R^2 of held-out images belongs.",
        trial(measure=lambda found: reading(score=correlation_squared)(*found["train"], *found["test"])),
    ),
    Mistake(
        "no_intercept",
        PART.format(2) + "the line has no intercept.",
        trial(measure=lambda found: reading(design=lambda codes: codes)(*found["train"], *found["test"])),
    ),
    Mistake("run_twice", TWICE, trial(compared=harness(measure=run_again))),
    Mistake("run_twice", TWICE, trial(compared=harness(measure=run_again_b_first))),
    Mistake(
        "run_twice",
        "every model is made twice, once for its train codes and once for its test codes. In earnest that is another "
        "training: make it once, and keep both.",
        apart_for_train_and_test,
    ),
    Mistake(
        "seeds_refused_too_late",
        "the seeds are looked at when models have been made from them, or not at all. Refuse before the first run.",
        trial(compared=harness(early=False)),
    ),
    *(
        Mistake("other_seeds_for_b", OTHER_SEEDS, trial(compared=harness(measure=measure)))
        for measure in (other_seeds_for_b, counted_on, next_seed_for_b)
    ),
    Mistake(
        "counted_from_zero",
        "the seeds are not those that were given: 0, 1, 2 and so on are run in their place.",
        trial(compared=harness(measure=counted_from_zero)),
    ),
    Mistake(
        "sign",
        "the differences are a - b, or the arms are exchanged. Asked for is b - a.",
        trial(compared=harness(sign=-1.0)),
    ),
    Mistake(
        "verdict_of_the_opposite",
        "the mean is right, and the verdict is that of its opposite: `verdict` wants the mean of b - a as it is.",
        trial(decide=lambda prediction, mean, error, least: verdict(prediction, -mean, error, least)),
    ),
    Mistake(
        "deviation_for_error",
        PART.format(4)
        + "the standard deviation of the differences stands where the standard error of their mean belongs.",
        trial(compared=harness(error=lambda d, a, b: spread(d))),
    ),
    Mistake(
        "population_spread",
        PART.format(4) + "the spread is divided by n where n - 1 belongs.",
        trial(compared=harness(error=by_root_n(spread_of_all))),
    ),
    Mistake(
        "unpaired_error",
        PART.format(4)
        + "the error is that of two arms which have nothing to do with each other. They share their seeds.",
        trial(compared=harness(error=unpaired_error)),
    ),
    Mistake(
        "least_ignored",
        "the verdict does not know of `least`: a difference that is clear and too small to matter is called a or b.",
        trial(decide=lambda prediction, mean, error, least: verdict(prediction, mean, error, 0.0)),
    ),
    Mistake(
        "error_ignored",
        "the verdict does not know of the error: a difference that may be chance is called a or b.",
        trial(decide=lambda prediction, mean, error, least: verdict(prediction, mean, 0.0, least)),
    ),
    Mistake(
        "prediction_written_afterwards",
        "the prediction that is reported is what was found, so it has always held. It was to be written down before, "
        "and to stand there as it was.",
        trial(
            decide=lambda prediction, *numbers: (verdict("open", *numbers)[0], "held"),
            says=lambda prediction, found, decided: decided[0],
        ),
    ),
    Mistake(
        "always_held",
        "every prediction is said to have held. One that failed is worth as much here, and more to know.",
        trial(decide=lambda *numbers: (verdict(*numbers)[0], "held")),
    ),
    Mistake(
        "open_means_equal",
        NOT_THE_OPPOSITE,
        trial(decide=rule(fate=fates(unclear="failed"))),
    ),
    Mistake(
        "run_before_the_prediction",
        "everything is run, and only then is it seen that there was no prediction. What comes after the numbers is "
        "none: refuse before the first run.",
        trial(first=lambda prediction: None),
    ),
    Mistake(
        "prediction_not_asked_for",
        "it runs without a prediction. What comes after the numbers is none: refuse before the first run.",
        trial(
            first=lambda prediction: None,
            decide=lambda prediction, *numbers: rule(refusing=only_numbers)(prediction, *numbers),
        ),
    ),
)


TASKS = (
    Task(
        id="08.target_rate",
        title="A rate that is chosen",
        points=2,
        difficulty=2,
        minutes=10,
        cases=rate_cases,
        reference=target_rate,
        mistakes=RATE_MISTAKES,
        hints=(
            "Three terms, each one number. What is held to the target: every image, or the average? And what should "
            "a rate pay that is too low?",
            "loss = mean cost + gamma |mean rate - nats| + lambd D. A ValueError for a target below 0.",
            "if nats < 0:\n    raise ValueError(...)\noff = (rate.mean() - ...)...\n"
            "return cost.mean() + ... * off + ...",
        ),
        compare=compare_loss,
    ),
    Task(
        id="08.held_out_r2",
        title="What a line reads off",
        points=2,
        difficulty=2,
        minutes=12,
        cases=r2_cases,
        reference=held_out_r2,
        mistakes=R2_MISTAKES,
        hints=(
            "Two sets of images, two jobs. From one the line is learnt, slopes and intercept; to the other it is only "
            "applied. What would you guess for a test image without any code, and how wrong would you be?",
            "w = argmin |[Z_train, 1] w - y_train|^2; R^2 = 1 - sum (y_test - [Z_test, 1] w)^2 / sum (y_test - mean "
            "y_test)^2. A ValueError where the last sum is 0.",
            "def design(codes):                 # a column of ones beside the codes\n    ...\n"
            'line = torch.linalg.lstsq(design(...), ...[:, None], driver="gelsd").solution\n'
            "guess = (design(...) @ line)[:, 0]\nerrors = ...\nspread = ...\n"
            "if spread == 0:\n    raise ValueError(...)\nreturn float(1 - errors / spread)",
        ),
    ),
    Task(
        id="08.at_matched_information",
        title="Compared at the same information",
        points=2,
        difficulty=2,
        minutes=10,
        cases=matched_cases,
        reference=at_matched_information,
        mistakes=MATCHED_MISTAKES,
        hints=(
            "Draw the points on paper, information to the right. Between which two does the point lie, and how far "
            "along? And what would you have to know to answer beyond the last one?",
            "With x_i <= at <= x_{i+1} neighbours in information: y_i + (y_{i+1} - y_i) (at - x_i) / (x_{i+1} - x_i). "
            "A ValueError for at < min x or at > max x.",
            "order = information.argsort()\nx, y = ..., ...\nif not x[0] <= at <= x[-1]:\n    raise ValueError(...)\n"
            "for i in range(len(x) - 1):\n    if ...:\n        return ...\nreturn ...       # one point, right there",
        ),
    ),
    Task(
        id="08.paired",
        title="Two arms, the same seeds",
        points=2,
        difficulty=2,
        minutes=12,
        cases=paired_cases,
        reference=paired,
        mistakes=PAIRED_MISTAKES,
        hints=(
            "One seed at a time: run both arms on it, and keep what one has more than the other. Only the list of "
            "these differences counts from there on.",
            "d_s = run(b, s) - run(a, s); mean = sum d_s / n; error = sqrt(sum (d_s - mean)^2 / (n - 1)) / sqrt(n).",
            "if len(seeds) < ... or len(set(seeds)) < ...:\n    raise ValueError(...)\n"
            "differences = [... for seed in seeds]\nmean = ...\n"
            "error = statistics.stdev(...) / ...\n"
            'return {"differences": differences, "mean": mean, "error": error}',
        ),
        compare=compare_fields,
    ),
    Task(
        id="08.verdict",
        title="A verdict agreed on beforehand",
        points=2,
        difficulty=2,
        minutes=10,
        cases=verdict_cases,
        reference=verdict,
        mistakes=VERDICT_MISTAKES,
        hints=(
            "Two questions, one after the other. What do the numbers say, whatever anyone foresaw? And what does that "
            "do to what was foreseen: three words against three words, nine pairs.",
            "clear: |mean| > 2 error and |mean| >= least. Clear and mean > 0: b; clear and mean < 0: a; else open. "
            "The same word: held. Open, and it was foreseen otherwise: open. All else: failed.",
            "if ...:                  # no prediction, or a number that is not finite\n    raise ValueError(...)\n"
            'answer = "open"\nif ...:                  # clear\n    answer = ...\n'
            "if ...:                  # the same word\n    return answer, ...\nreturn answer, ...",
        ),
        compare=compare_verdicts,
    ),
    Task(
        id="08.put_to_the_test",
        title="Predict, run, decide",
        points=3,
        difficulty=3,
        minutes=16,
        cases=trial_cases,
        reference=put_to_the_test,
        mistakes=TRIAL_MISTAKES,
        hints=(
            "Your own functions do the work: what is one run, as `paired` wants it? What has to be refused before the "
            "first of them?",
            "run(arm, seed) = held_out_r2 of codes(arm, seed), called once; then paired; then verdict on its mean and "
            "error. The report holds them all, and the prediction as it was made.",
            "if prediction not in (...):\n    raise ValueError(...)\n\ndef run(arm, seed):\n"
            "    found = codes(arm, seed)\n    return held_out_r2(*found[...], *found[...])\n\n"
            "measured = paired(run, seeds)\n"
            'answer, fate = verdict(...)\nreturn {"prediction": ..., **measured, "answer": ..., "fate": ...}',
        ),
        compare=compare_fields,
    ),
)
