"""Exercise 05: mixtures of Gaussians, how far they are from a Gaussian, and the posterior of probabilistic PCA."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from course_lib.grading.comparing import compare
from course_lib.grading.task import Case, Mistake, Task, case

SOLUTION = "solutions/05_gaussian_mixtures, under the same heading."
NEGLIGIBLE = 1e-9


def close(case: Case, output: Any, expected: Any) -> str | None:
    """As `compare`, but numbers are as good as tensors without axes, any float dtype will do, and so does 1e-17 for 0.

    Only by absolute difference can a KL of zero be held against one of 1e-17.
    """
    if isinstance(expected, tuple) and isinstance(output, (tuple, list)) and len(output) == len(expected):
        said = [close(case, got, want) for got, want in zip(output, expected, strict=True)]
        return next((f"value {i + 1}: {text}" for i, text in enumerate(said) if text), None)
    output = as_like(output, expected)
    if isinstance(output, Tensor) and isinstance(expected, Tensor) and output.is_complex() and expected.is_complex():
        return close(case, (output.real, output.imag), (expected.real, expected.imag))
    return None if negligible(output, expected) else compare(case, output, expected)


def as_like(output: Any, expected: Any) -> Any:
    """A number, or a real tensor of another float dtype, in the form that was expected."""
    if not isinstance(expected, Tensor) or not expected.is_floating_point():
        return output
    if isinstance(output, float) and expected.dim() == 0:
        return expected.new_tensor(output)
    return output.to(expected.dtype) if isinstance(output, Tensor) and output.is_floating_point() else output


def close_in_kind(case: Case, output: Any, expected: Any) -> str | None:
    """As `close`, and the dtype counts too: float32 belongs where the arguments are float32, and digits to match."""
    return close(case, output, singly(expected) if case.kind == "single" else expected) or wrong_dtype(output, expected)


def singly(value: Any) -> Any:
    if isinstance(value, (tuple, list)):
        return tuple(singly(part) for part in value)
    return value.float() if isinstance(value, Tensor) else value


def wrong_dtype(output: Any, expected: Any) -> str | None:
    """What to say of an answer that is `close`, in another dtype."""
    if isinstance(expected, (tuple, list)):
        said = [wrong_dtype(got, want) for got, want in zip(output, expected, strict=True)]
        return next((f"value {i + 1}: {text}" for i, text in enumerate(said) if text), None)
    want, got = (str(value.dtype).removeprefix("torch.") for value in (expected, output))
    return f"the dtype should be {want}, as that of the arguments, and it is {got}" if want != got else None


def negligible(output: Any, expected: Any) -> bool:
    if not isinstance(output, Tensor) or not isinstance(expected, Tensor):
        return False
    if output.shape != expected.shape or output.dtype != expected.dtype:
        return False
    return bool(((output - expected).abs() < NEGLIGIBLE).all())


def doubles(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def normal(generator: torch.Generator, *shape: int) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=torch.float64)


def some_mixture(generator: torch.Generator, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """Weights, means and variances of k components, no two alike."""
    weights = torch.softmax(normal(generator, k), 0)
    return weights, 2 * normal(generator, k), torch.exp(0.7 * normal(generator, k))


SMALL = (doubles(0.25, 0.75), doubles(-1, 2), doubles(1, 4))
TWO_WIDTHS = "components N(-1, 1) and N(2, 4), the second three times as heavy"


# Moments


def moments(weights: Tensor, means: Tensor, variances: Tensor) -> tuple[Tensor, Tensor]:
    """sum_k w_k m_k, and sum_k w_k (s_k^2 + (m_k - mean)^2)."""
    mean = weights @ means
    return mean, weights @ (variances + (means - mean) ** 2)


def moments_cases(generator: torch.Generator) -> Iterator[Case]:
    yield case(*SMALL, about=TWO_WIDTHS)
    yield case(doubles(1), doubles(0.7), doubles(2.5), about="a single component")
    for k in (3, 5):
        yield case(*some_mixture(generator, k))
    weights, _, variances = some_mixture(generator, 3)
    yield case(weights, torch.full_like(weights, 1.5), variances, about="all means agree")
    weights, means, variances = some_mixture(generator, 4)
    yield case(weights, means + 1e6, variances, kind="far", about="means a million away from zero")


def compare_moments(case: Case, output: Any, expected: Any) -> str | None:
    """Far from zero, two variances that both lost their digits are alike, whatever digits are left."""
    if case.kind == "far" and lost(case, output) and lost(case, expected):
        return None
    return close(case, output, expected)


def lost(case: Case, output: Any) -> bool:
    """Whether the variance is off by rounding: wrong, and yet near."""
    if not isinstance(output, (tuple, list)) or len(output) != 2:
        return False
    right = moments(*case.calls[0])
    off = abs(float(output[1]) - float(right[1]))
    return close(case, tuple(output), right) is not None and off < 2e-3


def spread(centre: Callable, within: Callable, between: Callable) -> Callable:
    """Moments from other parts: centre(w, m), within(w, v), between(w, m, centre)."""

    def answer(weights: Tensor, means: Tensor, variances: Tensor) -> tuple[Tensor, Tensor]:
        mean = centre(weights, means)
        return mean, within(weights, variances) + between(weights, means, mean)

    return answer


def dot(weights: Tensor, values: Tensor) -> Tensor:
    return weights @ values


def squares(weights: Tensor, means: Tensor, mean: Tensor) -> Tensor:
    return weights @ (means - mean) ** 2


def nothing(*_: Tensor) -> float:
    return 0.0


WITHIN_ONLY = (
    "the variance is the average of the components' own. Components that lie apart spread the mixture further: an x is "
    "also far from the mean because its component is. (A weighted sum of the differences from the mean is 0, and so is "
    "its square. The squares are what is to be summed.)"
)
SECOND_MOMENT = (
    "this is E x^2, the mean square around zero. A variance is measured around the mean: what is still to be taken off?"
)
MEAN_UNWEIGHTED = (
    "the mean is the plain average of the components' means, as if all were picked equally often. Each counts by its "
    "weight."
)
WEIGHTS_SQUARED = (
    "in the spread of the means, the weights have come inside the square. What is averaged is (m_k - mean)^2, and a "
    "weight says how often it counts: it stands before the square."
)
MOMENTS_MISTAKES = (
    Mistake("within_only", WITHIN_ONLY, spread(dot, dot, nothing)),
    Mistake(
        "between_only",
        "the variance is that of the components' means alone, as if every component were a single point. What spreads "
        "x within its component?",
        spread(dot, nothing, squares),
    ),
    Mistake("second_moment", SECOND_MOMENT, spread(dot, dot, lambda w, m, _: w @ m**2)),
    Mistake(
        "mean_not_squared",
        "from E x^2 the mean itself is taken off. What belongs there has the unit of a variance.",
        spread(dot, dot, lambda w, m, mean: w @ m**2 - mean),
    ),
    Mistake(
        "squares_of_the_wrong_order",
        "the weighted sum of the m_k^2 is missing, the square of the weighted sum is there in its place with a plus: "
        "the square of a mean is not the mean of the squares.",
        spread(dot, dot, lambda w, m, mean: mean**2),
    ),
    Mistake(
        "cancellation",
        "the formula is right and its digits are gone. E x^2 minus the square of the mean takes two numbers of a "
        "million million from each other to find one near 1, and floats carry 16 digits. Take the mean off first, then "
        "square.",
        spread(dot, dot, lambda w, m, mean: w @ m**2 - mean**2),
    ),
    Mistake(
        "variance_for_deviation",
        "the variances are squared again, as if they were standard deviations. The third argument holds s_k^2.",
        spread(dot, lambda w, v: w @ v**2, squares),
    ),
    Mistake(
        "deviations_averaged",
        "the standard deviations are averaged where the variances belong: variances add up, their roots do not.",
        spread(dot, lambda w, v: w @ v.sqrt(), squares),
    ),
    Mistake(
        "deviations_averaged",
        "the standard deviations are averaged and the average is squared. Variances add up, their roots do not.",
        spread(dot, lambda w, v: (w @ v.sqrt()) ** 2, squares),
    ),
    Mistake(
        "sum_for_mixture",
        "this is the variance of a weighted sum of independent variables, with squared weights. A mixture adds no "
        "variables: it picks one of the components, and w_k says how often.",
        spread(dot, lambda w, v: w**2 @ v, nothing),
    ),
    Mistake(
        "sum_for_mixture",
        "the weights of the variances are squared, as for a weighted sum of independent variables. A mixture picks a "
        "component: its variance counts as often as it is picked.",
        spread(dot, lambda w, v: w**2 @ v, squares),
    ),
    Mistake(
        "weights_ignored",
        "all components count alike. Each counts as often as it is picked: w_k of the time.",
        spread(lambda w, m: m.mean(), lambda w, v: v.mean(), lambda w, m, mean: ((m - mean) ** 2).mean()),
    ),
    Mistake(
        "weights_ignored",
        "all components count alike. Each counts as often as it is picked: w_k of the time.",
        spread(lambda w, m: m.mean(), lambda w, v: v.mean(), lambda w, m, mean: m.var() if len(m) > 1 else math.nan),
    ),
    Mistake(
        "means_unweighted",
        "the mean is right; the spread of the means around it counts all components alike, and not by their weights.",
        spread(dot, dot, lambda w, m, mean: ((m - mean) ** 2).mean()),
    ),
    Mistake(
        "means_unweighted",
        "the mean is right; the spread of the means is what torch's var gives. It knows no weights (and divides by one "
        "less than the number of components).",
        spread(dot, dot, lambda w, m, mean: m.var() if len(m) > 1 else m.var(correction=0)),
    ),
    Mistake(
        "means_unweighted",
        "the mean is right; the spread of the means is that of a plain list of numbers, around its own average. It "
        "counts all components alike, and not by their weights.",
        spread(dot, dot, lambda w, m, mean: m.var(correction=0)),
    ),
    *(
        Mistake("mean_unweighted", MEAN_UNWEIGHTED, rule)
        for rule in (
            lambda w, m, v: (m.mean(), moments(w, m, v)[1]),
            spread(lambda w, m: m.mean(), dot, squares),
            spread(lambda w, m: m.mean(), dot, lambda w, m, mean: ((m - mean) ** 2).mean()),
        )
    ),
    Mistake(
        "mean_unweighted",
        "the mean is the sum of the components' means, without their weights: each counts as often as it is picked.",
        lambda w, m, v: (m.sum(), moments(w, m, v)[1]),
    ),
    Mistake(
        "widths_unweighted",
        "the mean is right; of the variance, the part within the components is their plain average. Each component's "
        "own variance counts as often as it is picked: w_k of the time.",
        spread(dot, lambda w, v: v.mean(), squares),
    ),
    Mistake("weights_squared", WEIGHTS_SQUARED, spread(dot, dot, lambda w, m, mean: ((w * (m - mean)) ** 2).sum())),
    Mistake("weights_squared", WEIGHTS_SQUARED, spread(dot, dot, lambda w, m, mean: ((w * m - mean) ** 2).sum())),
    Mistake(
        "wrong_centre",
        "the means are held against their unweighted average. The centre is the mean of the mixture, which the weights "
        "decide.",
        spread(dot, dot, lambda w, m, _: w @ (m - m.mean()) ** 2),
    ),
    Mistake(
        "divided_by_count",
        "a weighted mean divides nothing more: the weights sum to 1 already. Sum over the components.",
        lambda w, m, v: tuple(part / len(w) for part in moments(w, m, v)),
    ),
    Mistake(
        "divided_by_count",
        "the mean is divided by the number of components, though the weights sum to 1 already. Sum over them.",
        spread(lambda w, m: (w * m).mean(), dot, squares),
    ),
    Mistake(
        "divided_by_count",
        "the mean is right; the variance is divided by the number of components, though the weights sum to 1 already.",
        lambda w, m, v: (moments(w, m, v)[0], moments(w, m, v)[1] / len(w)),
    ),
    Mistake(
        "deviation_returned",
        "the second value is the standard deviation. The contract asks for the variance.",
        lambda w, m, v: (moments(w, m, v)[0], moments(w, m, v)[1].sqrt()),
    ),
    Mistake(
        "order_of_values",
        "the two values are exchanged: first the mean, then the variance.",
        lambda w, m, v: moments(w, m, v)[::-1],
    ),
)


# Log-probability


def parts(x: Tensor, means: Tensor, variances: Tensor) -> Tensor:
    """log N(x_i; m_k, s_k^2), [n, k]."""
    return -0.5 * (math.log(2 * math.pi) + variances.log() + (x[:, None] - means) ** 2 / variances)


def mixture_log_prob(x: Tensor, weights: Tensor, means: Tensor, variances: Tensor) -> Tensor:
    """log sum_k w_k N(x; m_k, s_k^2)."""
    return (weights.log() + parts(x, means, variances)).logsumexp(1)


def log_prob_cases(generator: torch.Generator) -> Iterator[Case]:
    yield case(doubles(0, 1, 3), *SMALL, about=TWO_WIDTHS)
    yield case(doubles(0.5), doubles(1), doubles(-0.3), doubles(0.2), about="one point, a single component")
    for n, k in ((5, 3), (1, 4)):
        yield case(2 * normal(generator, n), *some_mixture(generator, k))
    yield case(2 * normal(generator, 4), *some_mixture(generator, 4), about="as many points as components")
    yield case(doubles(1000, -2000, 300), *SMALL, kind="far", about="far out")
    narrow = doubles(0.1, 0.9), doubles(-1, 1), doubles(1e-6, 2e-6)
    yield case(doubles(0.1, -0.2), *narrow, kind="far", about="between two narrow peaks")
    alike = doubles(0.25, 0.75), doubles(0, 0), doubles(1, 1)
    yield case(doubles(60, -50), *alike, kind="far", about="far out, where two components are equally near")
    apart = doubles(0.25, 0.75), doubles(-2, 2), doubles(1e-3, 1e-3)
    yield case(doubles(0), *apart, kind="far", about="halfway between two narrow peaks")


def compare_log_probs(case: Case, output: Any, expected: Any) -> str | None:
    """Far out, two answers that both stop at a floor are alike, wherever it is; so are two that both fall far below."""
    if case.kind == "far" and forgiven(case, output) and forgiven(case, expected):
        return None
    if case.kind == "far" and sunk(case, expected):
        return None if sunk(case, output) else "not so far below"
    return None if single(output, expected) else close(case, output, expected)


def single(output: Any, expected: Any) -> bool:
    """Whether two answers agree as far as single precision can tell: that of a constant, say, or of the whole sum."""
    if not isinstance(output, Tensor) or output.shape != expected.shape or not output.is_floating_point():
        return False
    return torch.allclose(output.double(), expected.double(), rtol=1e-6, atol=1e-6)


def forgiven(case: Case, output: Any) -> bool:
    """Whether a finite log-probability stands where a far lower one belongs."""
    right = mixture_log_prob(*case.calls[0])
    if not isinstance(output, Tensor) or output.shape != right.shape or not output.is_floating_point():
        return False
    return bool((output.isfinite() & (output > -1000) & (output > right + 1000)).all())


def sunk(case: Case, output: Any) -> bool:
    """Whether a finite number stands for minus infinity."""
    right = mixture_log_prob(*case.calls[0])
    if not isinstance(output, Tensor) or output.shape != right.shape or not output.is_floating_point():
        return False
    return bool((output.isfinite() & (output < 100 * right)).all())


def density(x: Tensor, weights: Tensor, means: Tensor, variances: Tensor) -> Tensor:
    """p(x) as it is written, which underflows."""
    return parts(x, means, variances).exp() @ weights


def patched(x: Tensor, weights: Tensor, means: Tensor, variances: Tensor) -> Tensor:
    """The logarithm of the density, and where that is 0 the largest of the terms."""
    p, terms = density(x, weights, means, variances), weights.log() + parts(x, means, variances)
    return torch.where(p > 0, p.log(), terms.amax(1))


def by_parts(log_part: Callable) -> Callable:
    """The stable sum, with another log N(x; m, v), given x [n, 1]."""

    def answer(x: Tensor, weights: Tensor, means: Tensor, variances: Tensor) -> Tensor:
        return (weights.log() + log_part(x[:, None], means, variances)).logsumexp(1)

    return answer


def half_square(x: Tensor, means: Tensor, variances: Tensor) -> Tensor:
    return -0.5 * (x - means) ** 2 / variances


def gaussian_of(mean_and_variance: Callable) -> Callable:
    """log of a single Gaussian in place of the mixture."""

    def answer(x: Tensor, weights: Tensor, means: Tensor, variances: Tensor) -> Tensor:
        mean, variance = mean_and_variance(weights, means, variances)
        return parts(x, mean.reshape(1), variance.reshape(1))[:, 0]

    return answer


LOG_2_PI = math.log(2 * math.pi)
DEVIATION = (
    "the variances are taken for standard deviations: s_k^2 is squared again. Some library functions, torch's Normal "
    "among them, ask for the standard deviation."
)
NORMALISER = (
    "each Gaussian is not divided by its whole normaliser, the square root of 2 pi s_k^2: so the densities do not "
    "integrate to 1, and components of different widths weigh in wrongly against each other."
)
ONE_GAUSSIAN = (
    "this is the log-density of a single Gaussian. A mixture adds the densities of its components: its graph can have "
    "as many peaks as there are components."
)
FORGIVEN = (
    "far out, a small number is added to the density or stands in for it: so an x that costs thousands of nats, or "
    "millions, is let off with far fewer. Stay in log space, where nothing has to be added: look for a logsumexp."
)
LOG_PROB_MISTAKES = (
    Mistake(
        "underflow",
        "near the components this is right; far out each density is smaller than the smallest float, their sum is 0, "
        "and log 0 is minus infinity. Add the densities without leaving log space: look for a logsumexp.",
        lambda x, w, m, v: density(x, w, m, v).log(),
    ),
    Mistake(
        "underflow",
        "near the components this is right; far out each density is smaller than the smallest float, and what the "
        "logarithm of 0 was replaced by is no log-density. Add the densities without leaving log space: look for a "
        "logsumexp.",
        lambda x, w, m, v: density(x, w, m, v).log().nan_to_num(neginf=-1e12),
    ),
    Mistake(
        "largest_far_out",
        "near the components this is right; far out, where the density underflows, only the densest component counts. "
        "Two can be equally dense there. A logsumexp adds all of them, near and far, without a case for each.",
        patched,
    ),
    *(Mistake("forgiven", FORGIVEN, lambda *a, e=10.0**-n: (density(*a) + e).log()) for n in range(4, 14)),
    *(Mistake("forgiven", FORGIVEN, lambda *a, e=10.0**-n: density(*a).clamp(min=e).log()) for n in range(3, 9)),
    Mistake(
        "mean_of_logs",
        "the logarithms are averaged. The densities are what is averaged, by the weights; the logarithm comes last.",
        lambda x, w, m, v: parts(x, m, v) @ w,
    ),
    Mistake(
        "weights_forgotten",
        "the components are added up without their weights, so the density integrates to their number.",
        lambda x, w, m, v: parts(x, m, v).logsumexp(1),
    ),
    Mistake(
        "weights_equal",
        "every component has the weight 1/K, whatever its own weight is.",
        lambda x, w, m, v: parts(x, m, v).logsumexp(1) - math.log(len(w)),
    ),
    Mistake(
        "weights_not_logged",
        "the weights are added to the log-densities as they are. In log space a factor w becomes a term log w.",
        lambda x, w, m, v: (w + parts(x, m, v)).logsumexp(1),
    ),
    Mistake(
        "weights_outside",
        "the log-densities are multiplied by the weights. In log space a factor w becomes a term log w.",
        lambda x, w, m, v: (w * parts(x, m, v)).logsumexp(1),
    ),
    Mistake(
        "weights_as_logits",
        "the weights go through a softmax. They are probabilities already.",
        lambda x, w, m, v: mixture_log_prob(x, w.softmax(0), m, v),
    ),
    Mistake("variance_for_deviation", DEVIATION, lambda x, w, m, v: mixture_log_prob(x, w, m, v**2)),
    Mistake(
        "deviation_for_variance",
        "the square is divided by s_k where s_k^2 belongs: the third of the parameters is the variance already, and "
        "its root was taken once too often.",
        lambda x, w, m, v: mixture_log_prob(x, w, m, v.sqrt()),
    ),
    Mistake(
        "log_variances",
        "the variances are exponentiated, as if they were log-variances.",
        lambda x, w, m, v: mixture_log_prob(x, w, m, v.exp()),
    ),
    Mistake("normaliser", NORMALISER, by_parts(half_square)),
    Mistake("normaliser", NORMALISER, by_parts(lambda x, m, v: half_square(x, m, v) - 0.5 * v.log())),
    Mistake("normaliser", NORMALISER, by_parts(lambda x, m, v: half_square(x, m, v) - 0.5 * LOG_2_PI)),
    Mistake(
        "normaliser",
        "the normaliser takes a root too many: 2 pi stands before the variance s_k^2, and one root covers both.",
        by_parts(lambda x, m, v: half_square(x, m, v) - 0.5 * LOG_2_PI - 0.25 * v.log()),
    ),
    Mistake(
        "normaliser",
        "the normaliser is 2 pi s_k^2 without its root: in log space, half of its logarithm belongs there.",
        by_parts(lambda x, m, v: half_square(x, m, v) - LOG_2_PI - v.log()),
    ),
    Mistake(
        "normaliser",
        "the normaliser is s_k^2 times the root of 2 pi: the root belongs over the variance as well.",
        by_parts(lambda x, m, v: half_square(x, m, v) - 0.5 * LOG_2_PI - v.log()),
    ),
    Mistake(
        "normaliser",
        "the normaliser is multiplied by instead of divided by: in log space it is taken off.",
        by_parts(lambda x, m, v: half_square(x, m, v) + 0.5 * LOG_2_PI + 0.5 * v.log()),
    ),
    Mistake(
        "half_missing",
        "the one half in the exponent of the Gaussian is missing.",
        by_parts(lambda x, m, v: 2 * half_square(x, m, v) - 0.5 * LOG_2_PI - 0.5 * v.log()),
    ),
    Mistake(
        "one_gaussian",
        ONE_GAUSSIAN + " This one has the mean and the variance of the mixture.",
        gaussian_of(moments),
    ),
    Mistake("one_gaussian", ONE_GAUSSIAN, gaussian_of(lambda w, m, v: (w @ m, w @ v))),
    Mistake("one_gaussian", ONE_GAUSSIAN, gaussian_of(lambda w, m, v: (w @ m, w**2 @ v))),
    Mistake(
        "largest_only",
        "only the component that is densest at x counts. The others add to it, little or much.",
        lambda x, w, m, v: (w.log() + parts(x, m, v)).amax(1),
    ),
    Mistake(
        "responsibilities",
        "this has been normalised over the components: it asks which of them made x, and not how probable x is.",
        lambda x, w, m, v: (w.log() + parts(x, m, v)).log_softmax(1),
    ),
    Mistake(
        "not_summed",
        "this is one value for each component and point: the sum over the components is missing.",
        lambda x, w, m, v: w.log() + parts(x, m, v),
    ),
    Mistake(
        "points_added",
        "the points are added up. Each x has a density of its own: [n].",
        lambda *a: mixture_log_prob(*a).sum(),
    ),
    Mistake(
        "points_added",
        "the points are averaged. Each x has a density of its own: [n].",
        lambda *a: mixture_log_prob(*a).mean(),
    ),
    Mistake(
        "wrong_axis",
        "the sum runs over the points and leaves the components. It belongs over the components, one value for each x.",
        lambda x, w, m, v: (w.log() + parts(x, m, v)).logsumexp(0),
    ),
    Mistake(
        "axes_kept",
        "the sum has left its axis behind, with length one. One number for each x: [n].",
        lambda *a: mixture_log_prob(*a)[:, None],
    ),
    Mistake("sign_flipped", "the sign: this is -log p(x).", lambda *a: -mixture_log_prob(*a)),
    Mistake(
        "density", "this is p(x), not its logarithm. Far out it underflows to 0.", lambda *a: mixture_log_prob(*a).exp()
    ),
    Mistake(
        "bits",
        "these are bits. The contract asks for nats: natural logarithms.",
        lambda *a: mixture_log_prob(*a) / math.log(2),
    ),
)


# KL to the matched Gaussian


def require_whole(p: Tensor, step: Tensor) -> None:
    """ValueError where a grid misses part of the mixture, or falls between its peaks."""
    total = float(p.sum() * step)
    if abs(total - 1) > 1e-6:
        raise ValueError(f"the density sums to {total:.8f} on this grid: make it wider or finer")


def on_grid(rule: Callable, target: Callable = moments, guard: Callable = require_whole) -> Callable:
    """A KL with its own rule(log_p, log_g, step), its own target Gaussian or another guard."""

    def answer(weights: Tensor, means: Tensor, variances: Tensor, x: Tensor) -> Tensor:
        mean, variance = target(weights, means, variances)
        log_p, step = mixture_log_prob(x, weights, means, variances), x[1] - x[0]
        guard(log_p.exp(), step)
        return rule(log_p, parts(x, mean.reshape(1), variance.reshape(1))[:, 0], step)

    return answer


def divergence(log_p: Tensor, log_g: Tensor, step: Tensor) -> Tensor:
    """sum_i p(x_i) (log p(x_i) - log g(x_i)) step."""
    return (log_p.exp() * (log_p - log_g)).sum() * step


def kl_to_matched(weights: Tensor, means: Tensor, variances: Tensor, x: Tensor) -> Tensor:
    """KL(p, g), g the Gaussian of p's mean and variance, as a sum over the grid x."""
    return on_grid(divergence)(weights, means, variances, x)


def kl_cases(generator: torch.Generator) -> Iterator[Case]:
    yield case(*SMALL, grid(-20, 25, 0.25), about=TWO_WIDTHS)
    alike = doubles(0.25, 0.75), doubles(1, 1), doubles(2, 2)
    yield case(*alike, grid(-20, 22, 0.25), about="both components are N(1, 2)", kind="agree")
    for k in (3, 4):
        mixture = some_mixture(generator, k)
        yield case(*mixture, fitting(mixture))
    yield case(*SMALL, grid(-150, 170, 0.25), about="a grid so wide that the density underflows at its ends")
    yield case(*SMALL, grid(-20, 2, 0.25), about="a grid that ends in the middle of the mixture")
    yield case(*SMALL, grid(-20, 10, 0.25), about="a grid that misses two parts in 100,000 of the mixture")
    spikes = doubles(0.5, 0.5), doubles(-2, 2), doubles(0.01, 0.01)
    yield case(*spikes, grid(-9.5, 9.5, 1.0), about="a grid whose points all fall between the peaks")
    yield case(*spikes, grid(-10, 10, 1.0), about="a grid with one point on each peak and none on its slopes")


def grid(low: float, high: float, step: float) -> Tensor:
    return low + step * torch.arange(round((high - low) / step) + 1, dtype=torch.float64)


def fitting(mixture: tuple[Tensor, Tensor, Tensor]) -> Tensor:
    """A grid that holds a mixture and its matched Gaussian, in steps of a quarter of the least deviation."""
    _, means, variances = mixture
    (mean, variance), s = moments(*mixture), variances.sqrt()
    centres, widths = torch.cat([means, mean[None]]), torch.cat([s, variance.sqrt()[None]])
    return grid(float((centres - 10 * widths).min()), float((centres + 10 * widths).max()), float(s.min()) / 4)


def unguarded(*_: Tensor) -> None:
    """Any grid will do."""


def guarded_below(p: Tensor, step: Tensor) -> None:
    if p.sum() * step < 1 - 1e-6:
        raise ValueError("too little")


def guarded_above(p: Tensor, step: Tensor) -> None:
    if p.sum() * step > 1 + 1e-6:
        raise ValueError("too much")


def refused(*_: Tensor) -> None:
    raise ValueError("any grid")


def refused_with(kind: type[Exception]) -> Callable:
    """A guard that finds the right grids bad, and raises another exception."""

    def guard(p: Tensor, step: Tensor) -> None:
        try:
            require_whole(p, step)
        except ValueError:
            raise kind("bad grid") from None

    return guard


def loosely_guarded(p: Tensor, step: Tensor) -> None:
    if abs(p.sum() * step - 1) > 1e-3:
        raise ValueError("far off 1")


def by_bad_step(weights: Tensor, means: Tensor, variances: Tensor, x: Tensor) -> Tensor:
    return kl_to_matched(weights, means, variances, x) * (len(x) - 1) / len(x)


def from_the_grid(x_moments: Callable) -> Callable:
    """A Gaussian that has the moments of the grid, not of the mixture on it."""

    def answer(weights: Tensor, means: Tensor, variances: Tensor, x: Tensor) -> Tensor:
        return on_grid(divergence, target=lambda *_: x_moments(x))(weights, means, variances, x)

    return answer


def log_of_density(p: Tensor, g: Tensor, step: Tensor) -> Tensor:
    return (p.exp() * (p.exp().log() - g)).sum() * step


def log_of_ratio(p: Tensor, g: Tensor, step: Tensor) -> Tensor:
    return (p.exp() * (p.exp() / g.exp()).log()).sum() * step


def added_to_p(smallest: float) -> Callable:
    return lambda p, g, step: (p.exp() * ((p.exp() + smallest).log() - g)).sum() * step


def added_to_ratio(smallest: float) -> Callable:
    return lambda p, g, step: (p.exp() * ((p.exp() + smallest) / (g.exp() + smallest)).log()).sum() * step


def standard(weights: Tensor, *_: Tensor) -> tuple[Tensor, Tensor]:
    return weights.new_zeros(()), weights.new_ones(())


UNDERFLOW_OF_P = (
    "far out p(x) is 0 as a float, and 0 times log 0, or the logarithm of 0 / 0, is NaN. The log-densities are finite "
    "there: take their difference, and p from log p, not the other way round."
)
ADDED_TO_P = (
    "a small number is added to the densities before the logarithm. It shifts the KL: where p and g are small, it is "
    "what is compared. The log-densities are finite everywhere, and nothing has to be added to them."
)
WRONG_TARGET = (
    "the KL is taken to a Gaussian that is not the matched one: the matched Gaussian has the mean of the mixture and "
    "its whole variance, within the components and between them."
)
NOT_A_DENSITY = (
    "the sum is not multiplied by the distance between two points of the grid. p is a density: p(x) times that "
    "distance is the probability near x, and the finer the grid, the larger the sum without it."
)
OTHER_EXCEPTION = (
    "the bad grids are found, and refused by another exception than the ValueError of the contract. A caller who wants "
    "to try a wider grid has to know what to catch; and an assert is not even run under python -O."
)
KL_MISTAKES = (
    Mistake(
        "unguarded",
        "on a good grid this is right; a grid that misses part of the mixture is let through. Such a grid gives some "
        "number as well, and nobody would know: hold the sum of p(x_i) times the step against 1, and raise the "
        "ValueError of the contract wherever it is off.",
        on_grid(divergence, guard=unguarded),
    ),
    Mistake(
        "good_grid_refused",
        "this grid is good, and your test refuses it. The sum of p(x_i) times the step is 1 on it to within 1e-6, if "
        "p is the density of the mixture. Does the step come in, and the 1e-6? A sum of floats is hardly ever 1 "
        "exactly.",
        on_grid(divergence, guard=refused),
    ),
    *(
        Mistake("other_exception", OTHER_EXCEPTION, on_grid(divergence, guard=refused_with(kind)))
        for kind in (AssertionError, RuntimeError, Exception)
    ),
    Mistake(
        "guarded_on_one_side",
        "a grid can also find too much: points that sit on narrow peaks and skip their slopes sum to more than 1. The "
        "sum may be off 1 on either side.",
        on_grid(divergence, guard=guarded_below),
    ),
    Mistake(
        "guarded_on_one_side",
        "a grid can also find too little: one that ends too early, or steps over the peaks, sums to less than 1. The "
        "sum may be off 1 on either side.",
        on_grid(divergence, guard=guarded_above),
    ),
    Mistake(
        "guard_too_loose",
        "a grid that misses a little of the mixture passes. The contract lets the sum be off 1 by 1e-6 and no more: a "
        "tail that is cut off counts little in p, and all the more in log p - log g.",
        on_grid(divergence, guard=loosely_guarded),
    ),
    Mistake(
        "reversed",
        "this is KL(g, p): the two have changed places. The average of log p - log g is taken under p, the mixture.",
        on_grid(lambda p, g, dx: (g.exp() * (g - p)).sum() * dx),
    ),
    Mistake(
        "wrong_average",
        "the difference log p - log g is averaged under g. It belongs under p, the mixture.",
        on_grid(lambda p, g, dx: (g.exp() * (p - g)).sum() * dx),
    ),
    Mistake("step_forgotten", NOT_A_DENSITY, on_grid(lambda p, g, dx: divergence(p, g, 1.0))),
    Mistake(
        "mean_over_grid",
        "a mean over the points of the grid, where an integral belongs: a sum times the distance between two points.",
        on_grid(lambda p, g, dx: (p.exp() * (p - g)).mean()),
    ),
    Mistake(
        "mean_over_grid",
        "log p - log g is averaged over the grid, all points alike. Each counts by its density p(x_i), times the step.",
        on_grid(lambda p, g, dx: (p - g).mean()),
    ),
    Mistake(
        "step_off_by_one",
        "the step is a little too small: n points have n - 1 gaps between them.",
        by_bad_step,
    ),
    Mistake(
        "not_weighted",
        "log p - log g is added up as it is. Each point counts by its density p(x_i).",
        on_grid(lambda p, g, dx: (p - g).sum() * dx),
    ),
    Mistake(
        "sign_flipped",
        "the sign: a KL is never negative. It is the average of log p - log g, under p.",
        on_grid(lambda p, g, dx: -divergence(p, g, dx)),
    ),
    Mistake(
        "cross_entropy",
        "this is the cross-entropy, the average of -log g: the entropy of p has not been taken off.",
        on_grid(lambda p, g, dx: -(p.exp() * g).sum() * dx),
    ),
    Mistake(
        "entropy",
        "this is the entropy of p, or its negative: g does not come in.",
        on_grid(lambda p, g, dx: -(p.exp() * p).sum() * dx),
    ),
    Mistake(
        "entropy",
        "this is the negative entropy of p: g does not come in.",
        on_grid(lambda p, g, dx: (p.exp() * p).sum() * dx),
    ),
    Mistake(
        "absolute",
        "the absolute value of log p - log g is averaged. A KL lets the two signs cancel where they do.",
        on_grid(lambda p, g, dx: (p.exp() * (p - g).abs()).sum() * dx),
    ),
    Mistake(
        "total_variation",
        "this measures how far the densities lie apart, not their logarithms.",
        on_grid(lambda p, g, dx: 0.5 * (p.exp() - g.exp()).abs().sum() * dx),
    ),
    Mistake(
        "symmetric",
        "both directions are added up (or averaged). The contract asks for one: KL(p, g), under the mixture.",
        on_grid(lambda p, g, dx: divergence(p, g, dx) + divergence(g, p, dx)),
    ),
    Mistake(
        "symmetric",
        "both directions are averaged. The contract asks for one: KL(p, g), under the mixture.",
        on_grid(lambda p, g, dx: 0.5 * (divergence(p, g, dx) + divergence(g, p, dx))),
    ),
    Mistake(
        "bits",
        "these are bits. The contract asks for nats: natural logarithms.",
        on_grid(lambda p, g, dx: divergence(p, g, dx) / math.log(2)),
    ),
    *(
        Mistake("underflow", UNDERFLOW_OF_P, on_grid(rule, guard=guard))
        for rule in (log_of_density, log_of_ratio)
        for guard in (require_whole, unguarded)
    ),
    *(
        Mistake("added_before_log", ADDED_TO_P, on_grid(rule, guard=guard))
        for n in range(4, 10)
        for rule in (added_to_p(10.0**-n), added_to_ratio(10.0**-n))
        for guard in (require_whole, unguarded)
    ),
    Mistake("wrong_target", WRONG_TARGET, on_grid(divergence, target=lambda w, m, v: (w @ m, w @ v))),
    Mistake(
        "wrong_target",
        WRONG_TARGET + " Here the spread between the means is all there is of it.",
        on_grid(divergence, target=lambda w, m, v: (w @ m, squares(w, m, w @ m).clamp(min=1e-12))),
    ),
    Mistake("wrong_target", WRONG_TARGET + " Here it is N(0, 1).", on_grid(divergence, target=standard)),
    Mistake(
        "wrong_target",
        WRONG_TARGET + " Here the variance was squared again, as if it were a standard deviation.",
        on_grid(divergence, target=lambda w, m, v: (moments(w, m, v)[0], moments(w, m, v)[1] ** 2)),
    ),
    Mistake(
        "wrong_target",
        WRONG_TARGET + " Here it has the standard deviation where the variance belongs.",
        on_grid(divergence, target=lambda w, m, v: (moments(w, m, v)[0], moments(w, m, v)[1].sqrt())),
    ),
    Mistake(
        "moments_of_grid",
        "the Gaussian has the mean and the variance of the grid's points. They are only the places at which the "
        "mixture is looked at.",
        from_the_grid(lambda x: (x.mean(), x.var())),
    ),
    Mistake(
        "not_summed",
        "this is one value for each point of the grid: the sum is missing.",
        on_grid(lambda p, g, dx: p.exp() * (p - g) * dx),
    ),
    Mistake(
        "not_summed",
        "this is one value for each point of the grid: the sum, and the step it is multiplied by, are missing.",
        on_grid(lambda p, g, dx: p.exp() * (p - g)),
    ),
)


# Characteristic function


def waves(t: Tensor, means: Tensor, variances: Tensor) -> tuple[Tensor, Tensor]:
    """Size exp(-s_k^2 t^2 / 2) and angle m_k t of each component's term, [n, k]."""
    t = t[:, None]
    return torch.exp(-0.5 * variances * t**2), means * t


def characteristic_function(t: Tensor, weights: Tensor, means: Tensor, variances: Tensor) -> tuple[Tensor, Tensor]:
    """Real and imaginary part of sum_k w_k exp(i m_k t - s_k^2 t^2 / 2)."""
    size, angle = waves(t, means, variances)
    return (size * angle.cos()) @ weights, (size * angle.sin()) @ weights


def characteristic_cases(generator: torch.Generator) -> Iterator[Case]:
    yield case(doubles(0, 1, -2), *SMALL, about=TWO_WIDTHS)
    yield case(doubles(1.5), doubles(1), doubles(0.4), doubles(0.6), about="one point, a single component")
    for n, k in ((5, 3), (1, 4)):
        yield case(normal(generator, n), *some_mixture(generator, k))
    yield case(normal(generator, 4), *some_mixture(generator, 4), about="as many points as components")
    widths = doubles(0.125, 0.875), doubles(0.5, -1), doubles(0.09, 4)
    yield case(doubles(5, 8), *widths, about="so far out that one component is left")


def by_waves(size: Callable, angle: Callable) -> Callable:
    """The sum of size(t, v) (cos angle(t, m) + i sin angle(t, m)), t being [n, 1]."""

    def answer(t: Tensor, weights: Tensor, means: Tensor, variances: Tensor) -> tuple[Tensor, Tensor]:
        s, a = size(t[:, None], variances), angle(t[:, None], means)
        return (s * a.cos()) @ weights, (s * a.sin()) @ weights

    return answer


def bell(t: Tensor, variances: Tensor) -> Tensor:
    return torch.exp(-0.5 * variances * t**2)


def turned(t: Tensor, means: Tensor) -> Tensor:
    return means * t


def wave_of(mean_and_variance: Callable) -> Callable:
    """The characteristic function of a single Gaussian in place of the mixture."""

    def answer(t: Tensor, weights: Tensor, means: Tensor, variances: Tensor) -> tuple[Tensor, Tensor]:
        mean, variance = mean_and_variance(weights, means, variances)
        size, angle = torch.exp(-0.5 * variance * t**2), mean * t
        return size * angle.cos(), size * angle.sin()

    return answer


def changed_pair(change: Callable) -> Callable:
    """The right answer, changed: change(real, imaginary, weights)."""
    return lambda t, w, m, v: change(*characteristic_function(t, w, m, v), w)


def right_waves(t: Tensor, means: Tensor, variances: Tensor) -> tuple[Tensor, Tensor]:
    return bell(t, variances), turned(t, means)


def mixed_parts(cosine: Callable, sine: Callable) -> Callable:
    """Real and imaginary part, each with a size and angle of its own: cosine(t, m, v) and sine(t, m, v)."""

    def answer(t: Tensor, weights: Tensor, means: Tensor, variances: Tensor) -> tuple[Tensor, Tensor]:
        (c_size, c_angle), (s_size, s_angle) = (f(t[:, None], means, variances) for f in (cosine, sine))
        return (c_size * c_angle.cos()) @ weights, (s_size * s_angle.sin()) @ weights

    return answer


def by_waves_of(both: Callable) -> Callable:
    return mixed_parts(both, both)


def weighted_parts(t: Tensor, weights: Tensor, means: Tensor, variances: Tensor) -> tuple[Tensor, Tensor]:
    """The terms of the components, [n, k], not summed."""
    size, angle = waves(t, means, variances)
    return weights * size * angle.cos(), weights * size * angle.sin()


def real_wave(final: Callable) -> Callable:
    """sum_k w_k exp(m_k t - s_k^2 t^2 / 2), without i, made a pair by `final`."""

    def answer(t: Tensor, weights: Tensor, means: Tensor, variances: Tensor) -> tuple[Tensor, Tensor]:
        return final(torch.exp(means * t[:, None] - 0.5 * variances * t[:, None] ** 2) @ weights)

    return answer


def zero_beside(real: Tensor) -> tuple[Tensor, Tensor]:
    return real, torch.zeros_like(real)


def twice(real: Tensor) -> tuple[Tensor, Tensor]:
    return real, real


def real_and_imaginary(real: Tensor) -> tuple[Tensor, Tensor]:
    return real.real, real.imag


def generating(t: Tensor, weights: Tensor, means: Tensor, variances: Tensor) -> tuple[Tensor, Tensor]:
    real = torch.exp(means * t[:, None] + 0.5 * variances * t[:, None] ** 2) @ weights
    return real, torch.zeros_like(real)


def density_at(t: Tensor, weights: Tensor, means: Tensor, variances: Tensor) -> tuple[Tensor, Tensor]:
    real = density(t, weights, means, variances)
    return real, torch.zeros_like(real)


PRODUCT = (
    "this is the characteristic function of a single Gaussian: the exponents are averaged before the exponential. "
    "Averages of exponents multiply the components' functions, as for a sum of independent variables; a mixture "
    "picks one component, and averages the functions themselves."
)
WRONG_WIDTH = (
    "the size of a component's term falls as exp(-s_k^2 t^2 / 2), with the variance s_k^2 and the square of t; one of "
    "the three is not as it should be."
)
I_FORGOTTEN = (
    "the i before m_k t is missing: the exponential is real, and m_k t lets it grow or fall where it should turn. A "
    "size that turns has a real and an imaginary part."
)
CHARACTERISTIC_MISTAKES = (
    Mistake(
        "conjugated",
        "the imaginary part has the opposite sign: this is the mean of exp(-itx), and asked for is that of exp(itx).",
        changed_pair(lambda real, imaginary, w: (real, -imaginary)),
    ),
    Mistake(
        "half_missing",
        "the size falls as exp(-s_k^2 t^2): the one half in the exponent is missing.",
        by_waves(lambda t, v: torch.exp(-v * t**2), turned),
    ),
    Mistake(
        "variance_for_deviation",
        "the variances are squared again, as if they were standard deviations. The fourth argument holds s_k^2.",
        by_waves(lambda t, v: torch.exp(-0.5 * v**2 * t**2), turned),
    ),
    Mistake("wrong_width", WRONG_WIDTH, by_waves(lambda t, v: torch.exp(-0.5 * v.sqrt() * t**2), turned)),
    Mistake("wrong_width", WRONG_WIDTH, by_waves(lambda t, v: torch.exp(-0.5 * v * t), turned)),
    Mistake("wrong_width", WRONG_WIDTH, by_waves(lambda t, v: torch.exp(-0.5 * v * t.abs()), turned)),
    Mistake(
        "inverted_width",
        "t^2 is divided by the variance, as in the density. In t it is the other way round: the narrower a component, "
        "the wider its characteristic function.",
        by_waves(lambda t, v: torch.exp(-0.5 * t**2 / v), turned),
    ),
    Mistake(
        "growing",
        "the size grows with t: the sign in the exponent is the wrong one. No characteristic function exceeds 1.",
        by_waves(lambda t, v: torch.exp(0.5 * v * t**2), turned),
    ),
    Mistake(
        "width_forgotten",
        "only the means have come in: this is the characteristic function of points without any width.",
        by_waves(lambda t, v: torch.ones_like(t * v), turned),
    ),
    Mistake(
        "normalised",
        "the terms are divided by the root of 2 pi s_k^2, as densities are. At t = 0 the mean of exp(itx) is 1.",
        by_waves(lambda t, v: bell(t, v) / (2 * math.pi * v).sqrt(), turned),
    ),
    Mistake(
        "cycles",
        "t is taken to count whole turns, with a factor 2 pi in the angle. Asked for is the mean of exp(itx).",
        by_waves(bell, lambda t, m: 2 * math.pi * m * t),
    ),
    Mistake(
        "angle_without_t",
        "the angle is m_k at every t. It is m_k t: at t = 0 nothing turns.",
        by_waves(bell, lambda t, m: m * torch.ones_like(t)),
    ),
    Mistake(
        "generating_function",
        "this is the moment generating function, the mean of exp(tx): the i is missing. Its square is -1, which is why "
        "the variance makes a characteristic function fall.",
        generating,
    ),
    *(Mistake("i_forgotten", I_FORGOTTEN, real_wave(final)) for final in (zero_beside, twice, real_and_imaginary)),
    Mistake(
        "i_everywhere",
        "i stands before the whole exponent, and belongs before m_k t alone. So the second term turns where it should "
        "make the size fall.",
        by_waves_of(lambda t, m, v: (torch.ones_like(t * v), m * t - 0.5 * v * t**2)),
    ),
    Mistake(
        "size_in_one_part",
        "the real part is right; the sine lacks its size exp(-s_k^2 t^2 / 2). Size times cosine, and size times sine.",
        mixed_parts(right_waves, lambda t, m, v: (torch.ones_like(t * v), m * t)),
    ),
    Mistake(
        "size_in_one_part",
        "the imaginary part is right; the cosine lacks its size exp(-s_k^2 t^2 / 2). Size times cosine, and size "
        "times sine.",
        mixed_parts(lambda t, m, v: (torch.ones_like(t * v), m * t), right_waves),
    ),
    Mistake(
        "angle_without_t",
        "the real part is right; the angle in the sine is m_k at every t. It is m_k t: at t = 0 nothing turns.",
        mixed_parts(right_waves, lambda t, m, v: (bell(t, v), m.expand_as(t * v))),
    ),
    Mistake(
        "angle_without_t",
        "the imaginary part is right; the angle in the cosine is m_k at every t. It is m_k t: at t = 0 nothing turns.",
        mixed_parts(lambda t, m, v: (bell(t, v), m.expand_as(t * v)), right_waves),
    ),
    Mistake("density", "this is the density of the mixture, with t in the place of x.", density_at),
    Mistake("product", PRODUCT, wave_of(lambda w, m, v: (w @ m, w @ v))),
    Mistake("product", PRODUCT, wave_of(lambda w, m, v: (w @ m, w**2 @ v))),
    Mistake("product", PRODUCT, wave_of(lambda w, m, v: (m.sum(), v.sum()))),
    Mistake(
        "matched",
        "this is the characteristic function of the matched Gaussian: same mean, same variance, and another "
        "distribution.",
        wave_of(moments),
    ),
    Mistake(
        "weights_forgotten",
        "the components are added up without their weights: at t = 0 their number comes out, and 1 belongs.",
        lambda t, w, m, v: characteristic_function(t, torch.ones_like(w), m, v),
    ),
    Mistake(
        "weights_equal",
        "every component has the weight 1/K, whatever its own weight is.",
        lambda t, w, m, v: characteristic_function(t, torch.full_like(w, 1 / len(w)), m, v),
    ),
    Mistake(
        "weights_forgotten",
        "the real part is right; in the imaginary one the components are added up without their weights.",
        lambda t, w, m, v: (
            characteristic_function(t, w, m, v)[0],
            characteristic_function(t, torch.ones_like(w), m, v)[1],
        ),
    ),
    Mistake(
        "divided_by_count",
        "the sum is divided by the number of components, though the weights sum to 1 already. At t = 0, 1 belongs.",
        changed_pair(lambda real, imaginary, w: (real / len(w), imaginary / len(w))),
    ),
    Mistake(
        "wrong_axis",
        "the sum runs over the points t and leaves the components. It belongs over the components, one value for each "
        "t.",
        lambda t, w, m, v: tuple(part.sum(0) for part in weighted_parts(t, w, m, v)),
    ),
    Mistake(
        "points_added",
        "everything is added up, the points t as well. Each t has a value of its own: [n].",
        changed_pair(lambda real, imaginary, w: (real.sum(), imaginary.sum())),
    ),
    Mistake(
        "axes_kept",
        "the sum has left its axis behind, with length one. One number for each t: [n].",
        changed_pair(lambda real, imaginary, w: (real[:, None], imaginary[:, None])),
    ),
    Mistake(
        "polar",
        "these are the size and the angle. Asked for are the real and the imaginary part.",
        changed_pair(lambda real, imaginary, w: (torch.hypot(real, imaginary), torch.atan2(imaginary, real))),
    ),
    Mistake(
        "polar",
        "the first value is the size of the complex number. Asked for are its real and its imaginary part.",
        changed_pair(lambda real, imaginary, w: (torch.hypot(real, imaginary), imaginary)),
    ),
    Mistake(
        "order_of_values",
        "the two values are exchanged: first the real part, then the imaginary one.",
        changed_pair(lambda real, imaginary, w: (imaginary, real)),
    ),
    Mistake(
        "imaginary_zero",
        "the imaginary part is zero throughout. It is so for a mixture that is symmetric about 0, and for no other.",
        changed_pair(lambda real, imaginary, w: (real, torch.zeros_like(imaginary))),
    ),
    Mistake(
        "real_only",
        "this is the real part alone. The imaginary part is asked for as well, as a second tensor.",
        changed_pair(lambda real, imaginary, w: real),
    ),
    Mistake(
        "one_complex_tensor",
        "the numbers are right, as one complex tensor. Asked for are two real ones: its real and its imaginary part.",
        changed_pair(lambda real, imaginary, w: torch.complex(real, imaginary)),
    ),
    Mistake(
        "two_columns",
        "the numbers are right, as two columns of one tensor. Asked for is a pair of tensors [n].",
        changed_pair(lambda real, imaginary, w: torch.stack([real, imaginary], dim=1)),
    ),
    Mistake(
        "not_summed",
        "these are the terms of the components: the sum over them, by their weights, is missing.",
        weighted_parts,
    ),
)


# The posterior of pPCA


def eye_like(matrix: Tensor) -> Tensor:
    return torch.eye(len(matrix), dtype=matrix.dtype)


def inner(W: Tensor, variance: float) -> Tensor:
    """M = W^T W + sigma^2 I."""
    gram = W.T @ W
    return gram + variance * eye_like(gram)


def gain(W: Tensor, sigma: float) -> Tensor:
    """K = M^-1 W^T."""
    return torch.linalg.solve(inner(W, sigma**2), W.T)


def ppca_posterior(W: Tensor, b: Tensor, sigma: float, x: Tensor) -> tuple[Tensor, Tensor]:
    """M^-1 W^T (x - b) and sigma^2 M^-1."""
    return (x - b) @ gain(W, sigma).T, sigma**2 * torch.linalg.inv(inner(W, sigma**2))


def posterior_cases(generator: torch.Generator) -> Iterator[Case]:
    W, b, x = doubles(2, 1)[:, None], doubles(1, -1), doubles(2, 3)[None]
    yield case(W, b, 3.0, x, about="two pixels, a code of one number, one image")
    for n, pixels, code, sigma in ((4, 3, 2, 0.5), (2, 5, 3, 1.5)):
        yield some_posterior(generator, n, pixels, code, sigma)
    yield some_posterior(generator, 3, 3, 3, 0.7, about="a code as long as the image, and as many images")
    yield some_posterior(generator, 2, 2, 3, 0.8, about="a code longer than the image")
    single = some_posterior(generator, 3, 4, 2, 0.6).calls[0]
    yield case(*(a.float() if isinstance(a, Tensor) else a for a in single), about="float32", kind="single")


def some_posterior(generator: torch.Generator, n: int, pixels: int, code: int, sigma: float, **words) -> Case:
    W, b, x = normal(generator, pixels, code), normal(generator, pixels), 2 * normal(generator, n, pixels)
    return case(W, b, sigma, x, **words)


def inferred(mean: Callable | None = None, covariance: Callable | None = None) -> Callable:
    """The posterior with another mean(W, b, sigma, x) or another covariance(W, sigma)."""

    def answer(W: Tensor, b: Tensor, sigma: float, x: Tensor) -> tuple[Tensor, Tensor]:
        right = ppca_posterior(W, b, sigma, x)
        return mean(W, b, sigma, x) if mean else right[0], covariance(W, sigma) if covariance else right[1]

    return answer


def right_covariance(W: Tensor, sigma: float) -> Tensor:
    return sigma**2 * torch.linalg.inv(inner(W, sigma**2))


def with_sigma(change: Callable) -> Callable:
    return lambda W, b, sigma, x: ppca_posterior(W, b, change(sigma), x)


def least_squares(W: Tensor, b: Tensor, sigma: float, x: Tensor) -> tuple[Tensor, Tensor]:
    """The posterior under a flat prior; the pseudo-inverse where there is no inverse."""
    return (x - b) @ torch.linalg.pinv(W).T, sigma**2 * torch.linalg.pinv(W.T @ W)


def identity(W: Tensor, size: int) -> Tensor:
    return torch.eye(size, dtype=W.dtype)


def gram_diagonal(W: Tensor, sigma: float) -> Tensor:
    return torch.diag((W.T @ W).diagonal() + sigma**2)


def by_columns(W: Tensor, M: Tensor, x: Tensor) -> Tensor:
    return torch.linalg.solve(M, W.T @ x.T).T


def by_rows(W: Tensor, M: Tensor, x: Tensor) -> Tensor:
    return x @ W @ torch.linalg.inv(M)


def by_outer(W: Tensor, M: Tensor, x: Tensor) -> Tensor:
    return x @ torch.linalg.inv(M) @ W


def with_inner(M: Callable, mean: Callable = by_columns) -> Callable:
    """The posterior with another M(W, sigma, x), and the mean of W, M and x - b."""

    def answer(W: Tensor, b: Tensor, sigma: float, x: Tensor) -> tuple[Tensor, Tensor]:
        inside = M(W, sigma, x)
        return mean(W, inside, x - b), sigma**2 * torch.linalg.inv(inside)

    return answer


def kept(values: Tensor) -> Tensor:
    return values


def off_by(W: Tensor, b: Tensor, x: Tensor) -> Tensor:
    return (x - b) @ W


SIGMA = (
    "sigma stands where its square belongs: it is a standard deviation, and in M and in the covariance its variance "
    "counts."
)
PRIOR_FORGOTTEN = (
    "the prior does not come in: this is least squares, the code that explains x best. p(z) = N(0, I) pulls it towards "
    "0, the harder the noisier x is: that is what the sigma^2 I in M does."
)
DO_NOT_FIT = (
    "two matrices do not fit. W is [pixels, code], and images are rows, [n, pixels]: write the shape beneath each "
    "factor, and see which one has to be transposed, or to change sides."
)
GRAM_OUTER = (
    "W W^T stands in M where W^T W belongs. W W^T is [pixels, pixels] and compares pixels; M compares the numbers of "
    "the code: [code, code]. (There is a form of the posterior with W W^T + sigma^2 I, and other factors around it.)"
)
GRAM_DIAGONAL = (
    "only the diagonal of W^T W has come into M. Columns of W that are not orthogonal explain the same pixels, and "
    "what one has explained the other need not: that stands beside the diagonal."
)
ADDED_EVERYWHERE = (
    "sigma^2 is added to every entry of W^T W. It belongs on the diagonal alone, times the identity: a number plus a "
    "matrix is added everywhere."
)
IDENTITY_SIZE = (
    "the identity in M has another size than W^T W, which is [code, code]. How many columns has W? That many numbers "
    "has the code."
)
DTYPE_LOST = (
    "the numbers are right, and for float32 arguments the result is float64. Something in double precision has come "
    "in, an identity perhaps, or a detour through numpy: the result has the dtype of the arguments."
)
COVARIANCE_ALONE = "the mean is right. "
POSTERIOR_MISTAKES = (
    Mistake("do_not_fit", DO_NOT_FIT, inferred(mean=lambda W, b, s, x: (x - b) @ gain(W, s))),
    *(
        Mistake("identity_size", IDENTITY_SIZE, with_inner(lambda W, s, x, f=f: W.T @ W + s**2 * identity(W, f(W, x))))
        for f in (lambda W, x: len(x), lambda W, x: len(W))
    ),
    Mistake("gram_outer", GRAM_OUTER, with_inner(lambda W, s, x: own_covariance(W, s))),
    Mistake("gram_outer", GRAM_OUTER, with_inner(lambda W, s, x: own_covariance(W, s), mean=by_rows)),
    Mistake("gram_outer", GRAM_OUTER, with_inner(lambda W, s, x: own_covariance(W, s), mean=by_outer)),
    Mistake(
        "gram_outer", GRAM_OUTER, with_inner(lambda W, s, x: W @ W.T + s**2 * identity(W, W.shape[1]), mean=by_rows)
    ),
    Mistake("gram_diagonal", GRAM_DIAGONAL, with_inner(lambda W, s, x: gram_diagonal(W, s))),
    Mistake("added_everywhere", ADDED_EVERYWHERE, with_inner(lambda W, s, x: W.T @ W + s**2)),
    *(
        Mistake(
            "sigma_not_squared",
            COVARIANCE_ALONE + "In the covariance, sigma stands where its square belongs: in M, before M^-1, or in "
            "both.",
            inferred(covariance=rule),
        )
        for rule in (
            lambda W, s: s**2 * torch.linalg.inv(inner(W, s)),
            lambda W, s: s * torch.linalg.inv(inner(W, s)),
        )
    ),
    Mistake(
        "sigma_not_squared",
        "the covariance is right. In the mean, sigma stands in M where its square belongs.",
        inferred(mean=lambda W, b, s, x: (x - b) @ gain(W, s**0.5).T),
    ),
    Mistake("sigma_not_squared", SIGMA, with_sigma(lambda sigma: sigma**0.5)),
    Mistake(
        "sigma_not_squared",
        SIGMA,
        lambda W, b, s, x: (ppca_posterior(W, b, s**0.5, x)[0], s**2 * torch.linalg.inv(inner(W, s))),
    ),
    Mistake(
        "sigma_not_squared",
        COVARIANCE_ALONE + "In the covariance, the factor before M^-1 is the variance of the noise.",
        inferred(covariance=lambda W, s: right_covariance(W, s) / s),
    ),
    Mistake(
        "sigma_squared_twice",
        "sigma is squared twice: it is a standard deviation, its square is the variance.",
        with_sigma(lambda sigma: sigma**2),
    ),
    Mistake(
        "noise_forgotten",
        COVARIANCE_ALONE + "The covariance is M^-1, and the variance of the noise is missing before it: without noise "
        "the posterior of a long enough x would be a point.",
        inferred(covariance=lambda W, s: right_covariance(W, s) / s**2),
    ),
    Mistake(
        "noise_divided",
        COVARIANCE_ALONE + "M^-1 is divided by sigma^2 and should be multiplied by it: more noise makes the code less "
        "certain.",
        inferred(covariance=lambda W, s: right_covariance(W, s) / s**4),
    ),
    Mistake(
        "precision",
        COVARIANCE_ALONE + "The second value is the precision, the inverse of the covariance.",
        inferred(covariance=lambda W, s: inner(W, s**2) / s**2),
    ),
    Mistake(
        "precision",
        COVARIANCE_ALONE
        + "M is not inverted in the covariance: the better x shows z, the larger W^T W and the smaller "
        "the covariance.",
        inferred(covariance=lambda W, s: inner(W, s**2)),
    ),
    Mistake(
        "precision",
        COVARIANCE_ALONE + "M is not inverted in the covariance, only multiplied by sigma^2: the better x shows z, the "
        "larger W^T W and the smaller the covariance.",
        inferred(covariance=lambda W, s: inner(W, s**2) * s**2),
    ),
    Mistake(
        "b_forgotten",
        "b has not been taken off: x = b says nothing about z, and its code has the mean 0.",
        inferred(mean=lambda W, b, s, x: x @ gain(W, s).T),
    ),
    Mistake(
        "b_forgotten",
        "b is added to x where it should be taken off.",
        inferred(mean=lambda W, b, s, x: (x + b) @ gain(W, s).T),
    ),
    Mistake(
        "b_replaced",
        "the average of the given images is taken off in the place of b. b belongs to the model: one image, or a few "
        "that are alike, can lie far from it, and that is what they say about z.",
        inferred(mean=lambda W, b, s, x: (x - x.mean(0)) @ gain(W, s).T),
    ),
    Mistake(
        "b_replaced",
        "the average of the given images is taken off as well as b. b alone belongs there: the posterior of an image "
        "does not depend on the other images.",
        inferred(mean=lambda W, b, s, x: (x - x.mean(0) - b) @ gain(W, s).T),
    ),
    Mistake("prior_forgotten", PRIOR_FORGOTTEN, least_squares),
    Mistake(
        "prior_forgotten",
        PRIOR_FORGOTTEN + " The covariance has it, the mean has not.",
        inferred(mean=lambda W, b, s, x: (x - b) @ torch.linalg.pinv(W).T),
    ),
    Mistake(
        "prior_not_scaled",
        "the identity is added to W^T W as it is. Prior and noise are weighed against each other: the larger sigma, "
        "the more the prior counts.",
        lambda W, b, s, x: (ppca_posterior(W, b, 1.0, x)[0], s**2 * torch.linalg.inv(inner(W, 1.0))),
    ),
    Mistake(
        "prior_not_scaled",
        "the identity is added to W^T W as it is, and sigma does not come in at all.",
        lambda W, b, s, x: ppca_posterior(W, b, 1.0, x),
    ),
    *(
        Mistake(
            "prior_not_scaled",
            COVARIANCE_ALONE + "In the covariance the identity is added to W^T W as it is. Prior and noise are weighed "
            "against each other: what the image says counts the less, the larger sigma.",
            inferred(covariance=rule),
        )
        for rule in (
            lambda W, s: torch.linalg.inv(inner(W, 1.0)),
            lambda W, s: s**2 * torch.linalg.inv(inner(W, 1.0)),
        )
    ),
    Mistake(
        "noise_counted_twice",
        "the covariance is right. In the mean, sigma^2 is counted twice: M^-1 W^T (x - b) is divided by sigma^2 once "
        "more.",
        inferred(mean=lambda W, b, s, x: (x - b) @ gain(W, s).T / s**2),
    ),
    Mistake(
        "noise_counted_twice",
        "the covariance is right. The mean is the covariance times W^T (x - b), and W^T (x - b) has still to be "
        "divided by the variance of the noise.",
        inferred(mean=lambda W, b, s, x: (x - b) @ gain(W, s).T * s**2),
    ),
    Mistake(
        "only_projected",
        "the covariance is right. The mean is W^T (x - b), a projection: M^-1 is missing, which makes a code of it.",
        inferred(mean=lambda W, b, s, x: off_by(W, b, x)),
    ),
    Mistake(
        "only_projected",
        "the covariance is right. The mean is W^T (x - b) divided by sigma^2: what is still missing is the covariance "
        "before it.",
        inferred(mean=lambda W, b, s, x: off_by(W, b, x) / s**2),
    ),
    Mistake(
        "diagonal",
        COVARIANCE_ALONE + "Of the covariance only the diagonal is there. Numbers of the code that explain the same "
        "pixels vary together, given x; only where the columns of W are orthogonal they do not.",
        inferred(covariance=lambda W, s: torch.diag(right_covariance(W, s).diagonal())),
    ),
    Mistake(
        "diagonal",
        COVARIANCE_ALONE + "Each entry of M's diagonal is inverted on its own, and the rest is left out. The inverse "
        "of a matrix is not made of the inverses of its entries.",
        inferred(covariance=lambda W, s: torch.diag(s**2 / inner(W, s**2).diagonal())),
    ),
    Mistake(
        "diagonal",
        COVARIANCE_ALONE + "The second value holds the variances alone: [code], where the matrix [code, code] belongs.",
        inferred(covariance=lambda W, s: right_covariance(W, s).diagonal()),
    ),
    Mistake(
        "entrywise_inverse",
        COVARIANCE_ALONE + "Each entry of M is inverted on its own. A matrix has an inverse as a whole.",
        inferred(covariance=lambda W, s: s**2 / inner(W, s**2)),
    ),
    Mistake(
        "entrywise_inverse",
        "something is divided by M with a slash, which divides entry by entry. A matrix has an inverse as a whole.",
        inferred(mean=lambda W, b, s, x: (x - b) @ W / inner(W, s**2)),
    ),
    Mistake(
        "prior_covariance",
        COVARIANCE_ALONE + "The covariance is that of the prior, I: as if x had said nothing.",
        inferred(covariance=lambda W, s: eye_like(W.T)),
    ),
    Mistake(
        "prior_covariance",
        COVARIANCE_ALONE + "The covariance is that of the prior, I: as if x had said nothing.",
        inferred(covariance=lambda W, s: torch.eye(W.shape[1])),
    ),
    Mistake(
        "noise_covariance",
        COVARIANCE_ALONE + "The covariance is sigma^2 I, the noise of x given z. Asked for is what is left unknown of "
        "z, given x.",
        inferred(covariance=lambda W, s: s**2 * eye_like(W.T)),
    ),
    Mistake(
        "marginal",
        "the covariance is that of x under the model, W W^T + sigma^2 I. Asked for is that of z, given x.",
        inferred(covariance=lambda W, s: W @ W.T + s**2 * eye_like(W)),
    ),
    Mistake(
        "factor_returned",
        COVARIANCE_ALONE + "The second value is a Cholesky factor, a root of the covariance. Asked for is the "
        "covariance.",
        inferred(covariance=lambda W, s: torch.linalg.cholesky(right_covariance(W, s))),
    ),
    Mistake(
        "one_for_each_image",
        "the numbers are right, and the covariance is repeated for each image. It does not depend on x: [code, code].",
        lambda W, b, s, x: (ppca_posterior(W, b, s, x)[0], right_covariance(W, s).expand(len(x), -1, -1)),
    ),
    Mistake(
        "transposed",
        "the means stand in columns, [code, n]. One row for each image is asked for: [n, code].",
        lambda W, b, s, x: (ppca_posterior(W, b, s, x)[0].T, right_covariance(W, s)),
    ),
    Mistake(
        "transposed",
        "W stands where its transpose belongs: W^T W is [code, code], and where the code is as long as the image "
        "nothing complains.",
        lambda W, b, s, x: ppca_posterior(W.T, b, s, x),
    ),
    *(
        Mistake("dtype_lost", DTYPE_LOST, lambda *a, to=to: tuple(f(v) for f, v in zip(to, ppca_posterior(*a))))
        for to in ((Tensor.double, Tensor.double), (kept, Tensor.double), (Tensor.double, kept))
    ),
    Mistake(
        "mean_only",
        "this is the mean alone. The covariance is asked for as well, as a second tensor.",
        lambda W, b, s, x: ppca_posterior(W, b, s, x)[0],
    ),
    Mistake(
        "order_of_values",
        "the two values are exchanged: first the means, then the covariance.",
        lambda W, b, s, x: ppca_posterior(W, b, s, x)[::-1],
    ),
)


# The covariance of the aggregate


def aggregate_covariance(W: Tensor, sigma: float, data_cov: Tensor) -> Tensor:
    """sigma^2 M^-1 + K S K^T, with K = M^-1 W^T."""
    K = gain(W, sigma)
    return right_covariance(W, sigma) + K @ data_cov @ K.T


def own_covariance(W: Tensor, sigma: float) -> Tensor:
    """W W^T + sigma^2 I, the covariance of x under the model."""
    return W @ W.T + sigma**2 * eye_like(W)


def aggregate_cases(generator: torch.Generator) -> Iterator[Case]:
    W = doubles(2, 1)[:, None]
    yield case(W, 3.0, torch.diag(doubles(4, 25)), about="two pixels, a code of one number")
    for pixels, code, sigma in ((3, 2, 0.5), (5, 3, 1.5)):
        yield case(normal(generator, pixels, code), sigma, some_covariance(generator, pixels))
    W = normal(generator, 4, 2)
    yield case(W, 0.7, own_covariance(W, 0.7), about="data as the model's own: W W^T + sigma^2 I")
    yield case(W, 0.7, torch.zeros(4, 4, dtype=torch.float64), about="data that are all alike: no covariance")
    yield case(normal(generator, 3, 3), 0.6, some_covariance(generator, 3), about="a code as long as the image")
    yield case(normal(generator, 2, 3), 0.8, some_covariance(generator, 2), about="a code longer than the image")
    yield case(
        normal(generator, 4, 2).float(), 0.6, some_covariance(generator, 4).float(), about="float32", kind="single"
    )


def some_covariance(generator: torch.Generator, size: int) -> Tensor:
    root = normal(generator, size, size + 2)
    return root @ root.T


def total(within: Callable | None = None, between: Callable | None = None) -> Callable:
    """within(W, sigma) + between(W, sigma, S), each the right one unless another is given."""

    def answer(W: Tensor, sigma: float, data_cov: Tensor) -> Tensor:
        K = gain(W, sigma)
        first = within(W, sigma) if within else right_covariance(W, sigma)
        return first + (between(W, sigma, data_cov) if between else K @ data_cov @ K.T)

    return answer


def none_of(W: Tensor, *_: Any) -> Tensor:
    return torch.zeros(W.shape[1], W.shape[1], dtype=W.dtype)


def means_vary(W: Tensor, sigma: float, S: Tensor) -> Tensor:
    """The covariance of the posterior means, K S K^T."""
    K = gain(W, sigma)
    return K @ S @ K.T


def by_cholesky(W: Tensor, sigma: float, S: Tensor) -> Tensor:
    root = gain(W, sigma) @ torch.linalg.cholesky(S)
    return root @ root.T


def as_images(within: Callable, correction: int) -> Callable:
    """The posterior means of S's rows, as if they were images, and the covariance of these means."""

    def answer(W: Tensor, sigma: float, data_cov: Tensor) -> Tensor:
        means = data_cov @ gain(W, sigma).T
        return within(W, sigma) + torch.cov(means.T, correction=correction)

    return answer


def by_inner(M: Callable) -> Callable:
    """sigma^2 M^-1 + K S K^T with K = M^-1 W^T and another M(W, sigma)."""

    def answer(W: Tensor, sigma: float, data_cov: Tensor) -> Tensor:
        inside = M(W, sigma)
        K = torch.linalg.solve(inside, W.T)
        return sigma**2 * torch.linalg.inv(inside) + K @ data_cov @ K.T

    return answer


def with_gain(K: Callable) -> Callable:
    """The second part with another gain K(W, sigma)."""
    return total(between=lambda W, s, S: K(W, s) @ S @ K(W, s).T)


TWO_PARTS = "The aggregate varies for two reasons: z varies for a given x, and its mean varies from x to x."
FACTORED = (
    "the covariance of the data is inverted, or taken apart by Cholesky. Neither can be done with data that do not "
    "vary in some direction, and neither is needed: a linear map K makes K S K^T of any covariance S."
)
ALWAYS_I = (
    "I comes out whatever the data are. It does for some, those that the model makes among them; asked for is the "
    "aggregate over the data that are given, with their covariance."
)
AS_IMAGES = (
    "the data's covariance S is treated as if its rows were images. S is all that is known of the images; the "
    "posterior mean is a linear map K of an image, and such a map makes K S K^T of the covariance."
)
AGGREGATE_MISTAKES = (
    Mistake("do_not_fit", DO_NOT_FIT, total(between=lambda W, s, S: gain(W, s).T @ S @ gain(W, s))),
    Mistake("within_only", f"only the covariance of each posterior is there. {TWO_PARTS}", total(between=none_of)),
    Mistake("between_only", f"only the covariance of the posterior means is there. {TWO_PARTS}", total(within=none_of)),
    Mistake("always_identity", ALWAYS_I, lambda W, s, S: aggregate_covariance(W, s, own_covariance(W, s))),
    Mistake("always_identity", ALWAYS_I, lambda W, s, S: torch.eye(W.shape[1])),
    Mistake(
        "noise_added_to_data",
        "sigma^2 I is added to the data's covariance. S is that of the images as they are, noise and all.",
        lambda W, s, S: aggregate_covariance(W, s, S + s**2 * eye_like(S)),
    ),
    Mistake(
        "noise_added_to_codes",
        "sigma^2 I is added on top. The noise lives among the pixels, and what it leaves unknown of z is in sigma^2 "
        "M^-1 already.",
        total(within=lambda W, s: right_covariance(W, s) + s**2 * eye_like(W.T)),
    ),
    *(
        Mistake("covariance_as_images", AS_IMAGES, as_images(within, correction))
        for within in (right_covariance, lambda W, s: 0.0)
        for correction in (0, 1)
    ),
    Mistake("covariance_as_images", AS_IMAGES, total(between=lambda W, s, S: S @ gain(W, s).T)),
    Mistake(
        "prior_for_posterior",
        "the covariance of the prior, I, is added where that of the posterior belongs: given x, less is left to vary.",
        total(within=lambda W, s: eye_like(W.T)),
    ),
    Mistake(
        "noise_for_posterior",
        "sigma^2 I is added, the noise of x given z. What belongs there is the covariance of z given x.",
        total(within=lambda W, s: s**2 * eye_like(W.T)),
    ),
    Mistake(
        "noise_forgotten",
        "the covariance of the posterior lacks the variance of the noise: M^-1 alone is there.",
        total(within=lambda W, s: right_covariance(W, s) / s**2),
    ),
    Mistake("sigma_not_squared", SIGMA, lambda W, s, S: aggregate_covariance(W, s**0.5, S)),
    Mistake(
        "sigma_not_squared",
        "in the covariance of the posterior, the factor before M^-1 is sigma. The variance of the noise belongs there.",
        total(within=lambda W, s: right_covariance(W, s) / s),
    ),
    Mistake(
        "sigma_squared_twice",
        "sigma is squared twice: it is a standard deviation, its square is the variance.",
        lambda W, s, S: aggregate_covariance(W, s**2, S),
    ),
    Mistake(
        "least_squares",
        "the codes are those of least squares, without the prior. The mean of the posterior is M^-1 W^T (x - b), drawn "
        "towards 0 by the sigma^2 I in M.",
        with_gain(lambda W, s: torch.linalg.pinv(W)),
    ),
    Mistake(
        "only_projected",
        "the data's covariance is projected by W^T alone. The posterior mean is M^-1 W^T (x - b): what does a linear "
        "map do to a covariance?",
        with_gain(lambda W, s: W.T),
    ),
    Mistake(
        "one_sided",
        "M^-1 stands on one side only. A linear map K makes K S K^T of a covariance S: it comes in twice, whole.",
        total(between=lambda W, s, S: gain(W, s) @ S @ W),
    ),
    Mistake(
        "one_sided",
        "M^-1 stands on one side only. A linear map K makes K S K^T of a covariance S: it comes in twice, whole.",
        total(between=lambda W, s, S: W.T @ S @ gain(W, s).T),
    ),
    Mistake(
        "one_sided",
        "the map from images to codes stands on one side of S only. A linear map K makes K S K^T of a covariance S.",
        total(between=lambda W, s, S: gain(W, s) @ S),
    ),
    Mistake(
        "noise_counted_twice",
        "sigma^2 is counted twice in the spread of the means: the posterior mean is M^-1 W^T (x - b), or the "
        "covariance sigma^2 M^-1 times W^T (x - b) / sigma^2.",
        with_gain(lambda W, s: s**2 * gain(W, s)),
    ),
    Mistake(
        "noise_counted_twice",
        "the spread of the means is divided by sigma^2. M^-1 W^T (x - b) is the posterior mean already.",
        with_gain(lambda W, s: gain(W, s) / s),
    ),
    Mistake("gram_diagonal", GRAM_DIAGONAL, by_inner(gram_diagonal)),
    Mistake("added_everywhere", ADDED_EVERYWHERE, by_inner(lambda W, s: W.T @ W + s**2)),
    Mistake("gram_outer", GRAM_OUTER, by_inner(own_covariance)),
    Mistake("identity_size", IDENTITY_SIZE, by_inner(lambda W, s: W.T @ W + s**2 * eye_like(W))),
    Mistake("sigma_not_squared", SIGMA, by_inner(lambda W, s: inner(W, s))),
    *(
        Mistake(
            "prior_not_scaled",
            "the identity is added to W^T W as it is. Prior and noise are weighed against each other: the larger "
            "sigma, the more the prior counts.",
            rule,
        )
        for rule in (by_inner(lambda W, s: inner(W, 1.0)), lambda W, s, S: aggregate_covariance(W, 1.0, S))
    ),
    Mistake("dtype_lost", DTYPE_LOST, lambda *a: aggregate_covariance(*a).double()),
    Mistake(
        "precision_of_data",
        "the inverse of the data's covariance has come in. A linear map K makes K S K^T of a covariance S.",
        total(between=lambda W, s, S: gain(W, s) @ torch.linalg.inv(S) @ gain(W, s).T),
    ),
    Mistake(
        "squared_data",
        "the data's covariance stands twice, or is squared. A linear map K makes K S K^T of a covariance S.",
        total(between=lambda W, s, S: gain(W, s) @ S @ S.T @ gain(W, s).T),
    ),
    Mistake(
        "data_ignored",
        "the data's covariance does not come in, as if it were I.",
        total(between=lambda W, s, S: gain(W, s) @ gain(W, s).T),
    ),
    Mistake(
        "data_diagonal",
        "only the diagonal of the data's covariance counts. Pixels vary together, and each number of the code "
        "is made of many.",
        total(between=lambda W, s, S: means_vary(W, s, torch.diag(S.diagonal()))),
    ),
    Mistake(
        "data_factored",
        FACTORED,
        total(between=lambda W, s, S: means_vary(W, s, torch.linalg.inv(torch.linalg.inv(S)))),
    ),
    Mistake("data_factored", FACTORED, total(between=by_cholesky)),
    Mistake(
        "codes_diagonal",
        "only the diagonal is there: the variance of each number of the code. Asked for is the whole matrix, "
        "covariances and all.",
        lambda W, s, S: torch.diag(aggregate_covariance(W, s, S).diagonal()),
    ),
    Mistake(
        "codes_diagonal",
        "these are the variances alone, one for each number of the code: [code]. Asked for is the whole matrix, "
        "[code, code].",
        lambda W, s, S: aggregate_covariance(W, s, S).diagonal(),
    ),
    Mistake(
        "subtracted",
        "one part is taken off the other. Variances of independent reasons add up.",
        total(between=lambda *a: -means_vary(*a)),
    ),
    Mistake(
        "picture_space",
        "this is a covariance of images, [pixels, pixels]: the aggregate lives among the codes.",
        lambda W, s, S: W @ aggregate_covariance(W, s, S) @ W.T + s**2 * eye_like(W),
    ),
    Mistake(
        "picture_space",
        "this is the covariance of x under the model, [pixels, pixels]. Asked for is the covariance of the codes.",
        lambda W, s, S: own_covariance(W, s),
    ),
    Mistake(
        "factor_returned",
        "this is a Cholesky factor, a root of the covariance. Asked for is the covariance.",
        lambda W, s, S: torch.linalg.cholesky(aggregate_covariance(W, s, S)),
    ),
)


TASKS = (
    Task(
        id="05.moments",
        title="The mean and the variance of a mixture",
        points=1,
        difficulty=1,
        minutes=5,
        cases=moments_cases,
        reference=moments,
        mistakes=MOMENTS_MISTAKES,
        hints=(
            "Draw in two steps: first a component, then x from it. Why does x lie away from the mean of the mixture? "
            "There are two reasons, and two terms.",
            "mean = sum_k w_k m_k, and variance = sum_k w_k (s_k^2 + (m_k - mean)^2): within the components, and "
            "between them.",
            "mean = ... (a weighted sum)\nvariance = (weights * (... + (...) ** 2)).sum()\nreturn mean, variance",
        ),
        compare=compare_moments,
    ),
    Task(
        id="05.mixture_log_prob",
        title="The log-density of a mixture",
        points=2,
        difficulty=2,
        minutes=10,
        cases=log_prob_cases,
        reference=mixture_log_prob,
        mistakes=LOG_PROB_MISTAKES,
        hints=(
            "Give x an axis of its own, so that all points meet all components: [n, 1] against [k] makes [n, k]. "
            "A factor w becomes a term log w; and a sum of exponentials has a logarithm that torch knows how to take.",
            "log sum_k exp(a_k) = a + log sum_k exp(a_k - a), for any number a. With the largest a_k for a, nothing "
            "that counts underflows. Here a_k is the logarithm of a whole term: of weight, root and exponential.",
            "log_parts = ...                   # [n, k], log N(x_i; m_k, s_k^2)\n"
            "return torch.logsumexp(... + log_parts, dim=...)",
        ),
        compare=compare_log_probs,
    ),
    Task(
        id="05.kl_to_matched",
        title="How far from Gaussian?",
        points=2,
        difficulty=2,
        minutes=10,
        cases=kl_cases,
        reference=kl_to_matched,
        mistakes=KL_MISTAKES,
        hints=(
            "Both functions above are of use: one gives g its mean and its variance, the other gives log p. And g is a "
            "mixture too, of one component.",
            "KL(p, g) = sum_i p(x_i) (log p(x_i) - log g(x_i)) dx, with dx = x_2 - x_1; and sum_i p(x_i) dx is 1 on a "
            "grid that holds the mixture.",
            "mean, variance = moments(...)\nlog_p = ...\nlog_g = ...\np = log_p.exp()\ndx = ...\n"
            "if ...:\n    raise ValueError(...)\nreturn (...).sum() * dx",
        ),
        compare=close,
    ),
    Task(
        id="05.characteristic_function",
        title="The characteristic function of a mixture",
        points=2,
        difficulty=2,
        minutes=10,
        cases=characteristic_cases,
        reference=characteristic_function,
        mistakes=CHARACTERISTIC_MISTAKES,
        hints=(
            "It is a mean, and the mean over a mixture is the weighted mean over its components. So add up terms, one "
            "for each component; each has a size and an angle.",
            "exp(c + i d) = exp(c) (cos d + i sin d), for real c and d: the size is exp(c), and the angle d. Which "
            "parts of i m_k t - s_k^2 t^2 / 2 are c and d?",
            "size = torch.exp(...)             # [n, k]\nangle = ...                       # [n, k]\n"
            "real = (weights * size * torch.cos(angle)).sum(...)\nimaginary = ...\nreturn real, imaginary",
        ),
        compare=close,
    ),
    Task(
        id="05.ppca_posterior",
        title="The posterior of probabilistic PCA",
        points=3,
        difficulty=3,
        minutes=20,
        cases=posterior_cases,
        reference=ppca_posterior,
        mistakes=POSTERIOR_MISTAKES,
        hints=(
            "log p(z|x) = log p(z) + log p(x|z) + a constant: two squares in z, whose sum is one square. In the "
            "logarithm of N(mean, C) the part with two factors z is -z^T C^-1 z / 2: compare, and read off C.",
            "With M = W^T W + sigma^2 I: the mean is M^-1 W^T (x - b), and the covariance sigma^2 M^-1. The images are "
            "rows, so the means are (x - b) W M^-1.",
            "M = ...                           # [code, code]\nmean = ...                        # [n, code]\n"
            "covariance = ...                  # [code, code]\nreturn mean, covariance",
        ),
        compare=close_in_kind,
    ),
    Task(
        id="05.aggregate_covariance",
        title="The covariance of the aggregate",
        points=2,
        difficulty=3,
        minutes=10,
        cases=aggregate_cases,
        reference=aggregate_covariance,
        mistakes=AGGREGATE_MISTAKES,
        hints=(
            "It is the first task again, with matrices: the mean of the covariances, and the covariance of the means. "
            "The posterior mean is a linear map of x.",
            "With K = M^-1 W^T and M = W^T W + sigma^2 I: sigma^2 M^-1 + K S K^T, for data of covariance S.",
            "M = ...\nK = torch.linalg.solve(M, ...)    # [code, pixels]\nwithin = ...\nbetween = K @ ... @ ...\n"
            "return within + between",
        ),
        compare=close_in_kind,
    ),
)
