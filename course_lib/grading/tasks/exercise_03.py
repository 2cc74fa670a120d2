"""Exercise 03: reparameterisation, two gradient estimators, the KL in two ways, the distortion, and the real beta."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence
from torch.nn.functional import softplus

from course_lib.grading.comparing import compare
from course_lib.grading.specs import Leaf
from course_lib.grading.task import Case, Mistake, Task, case

SOLUTION = "solutions/03_vae, under the same heading."
LOG_2PI = math.log(2 * math.pi)
VARIANCE_9 = math.log(9)


# What the tasks share


def normal(generator: torch.Generator, *shape: int, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=generator, dtype=dtype)


def numbers(*values: float, shape: tuple[int, ...] = (1, 1)) -> Tensor:
    return torch.tensor(values, dtype=torch.float64).reshape(shape)


def loosely(case: Case, output: Any, expected: Any) -> str | None:
    """As `compare`, in whatever float dtype."""
    if isinstance(output, Tensor) and isinstance(expected, Tensor) and output.is_floating_point():
        output = output.to(expected.dtype)
    return compare(case, output, expected)


def judged(*leaves: str) -> Callable[[Case, Any, Any], str | None]:
    """Values loosely, gradients by the names of their leaves, and two calls by whether they agree first."""

    def differ(case: Case, output: Any, expected: Any) -> str | None:
        if case.kind in ("agree", "twice"):
            return two_calls(case, output, expected)
        if case.kind != "gradient" or not isinstance(output, list) or not isinstance(expected, list):
            return loosely(case, output, expected)
        said = [arrives(case, *row) for row in zip(leaves, output, expected, strict=True)]
        return next(filter(None, said), None)

    return differ


def arrives(case: Case, name: str, output: Tensor, expected: Tensor) -> str | None:
    if bool((output == 0).all()) and not bool((expected == 0).all()):
        return f"no gradient arrives at {name}: the value does not depend on it as far as autograd can see"
    said = compare(case, output, expected)
    return f"the gradient with respect to {name}: {said}" if said else None


def two_calls(case: Case, output: list, expected: list) -> str | None:
    """In a case "agree" the values do not count, only whether the second call repeats them."""
    same, theirs = (compare(case, calls[0], calls[1]) is None for calls in (output, expected))
    if same != theirs:
        return "two calls with the same eps gave different values"
    return loosely(case, output[0], expected[0]) if same and case.kind == "twice" else None


def twice(*arguments: Any, kind: str = "twice") -> Case:
    return Case((arguments, arguments), "called twice with the same arguments", kind)


def no_grad(answer: Callable) -> Callable:
    return lambda *arguments: answer(*arguments).detach()


def cut(answer: Callable, *positions: int) -> Callable:
    """The answer with some of its arguments cut off from their gradients."""
    return lambda *given: answer(*(a.detach() if i in positions else a for i, a in enumerate(given)))


DETACHED = (
    "the values are right, and they have lost their past: no gradient flows back through them, so the encoder would "
    "never learn. Something on the way (detach, .data, no_grad, numpy, item, a new tensor made of numbers) has cut it."
)


def changing(answer: Callable, position: int) -> Callable:
    """The right answer, by way of writing into one of its arguments."""

    def writes(*arguments: Any) -> Tensor:
        value = answer(*arguments)
        arguments[position].mul_(2)
        return value

    return writes


def in_place(answer: Callable, *positions: int) -> tuple[Mistake, ...]:
    said = (
        "the answer is right, and an argument was overwritten on the way. A method that ends in an underscore, or an "
        "operator such as *=, writes into the tensor that was passed in; whoever passed it still needs it."
    )
    return tuple(Mistake("changed_in_place", said, changing(answer, position)) for position in positions)


def squeezed(answer: Callable) -> Mistake:
    return Mistake(
        "squeezed",
        "the values are right, and where there is one image its axis is lost: an axis of length one was squeezed away. "
        "One number an image is asked for, however few the images.",
        lambda *arguments: answer(*arguments).squeeze(),
    )


def divided(answer: Callable) -> Mistake:
    return Mistake(
        "divided_by_batch",
        "every image's value is divided by the number of images. That belongs to the loss, a mean over the batch; here "
        "each image has a number of its own, whatever others stand beside it.",
        lambda first, *rest: answer(first, *rest) / len(first),
    )


def clamped(diagnosis: str, answer: Callable) -> tuple[Mistake, ...]:
    """The answer with log_var kept within bounds, from below and from above."""
    lows, highs = (2, 3, 4, 5, 6, 7, 8, 10, 12, 14, 15, 16, 18, 20, 25, 30, 40, 50), (2, 3, 4, 5, 6, 8, 10, 15, 20)
    bounds = [(-low, None) for low in lows] + [(None, high) for high in highs]
    return tuple(
        Mistake(
            "clamped",
            diagnosis,
            lambda mu, log_var, *rest, low=low, high=high: answer(mu, log_var.clamp(low, high), *rest),
        )
        for low, high in bounds
    )


# Reparameterisation


def reparameterise(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    """z = mu + exp(log_var / 2) eps."""
    return mu + torch.exp(0.5 * log_var) * eps


def noisy_cases(generator: torch.Generator, with_samples: bool) -> Iterator[Case]:
    """Codes and their noise: [batch, code], and [samples, batch, code] for the noise where there are samples."""

    def single(mu: float, log_var: float, eps: float) -> tuple[Tensor, ...]:
        return numbers(mu), numbers(log_var), numbers(eps, shape=(1, 1, 1) if with_samples else (1, 1))

    def drawn(batch: int, code: int, samples: int, dtype: torch.dtype = torch.float64) -> tuple[Tensor, ...]:
        noise = (samples, batch, code) if with_samples else (batch, code)
        codes = (normal(generator, batch, code, dtype=dtype) for _ in range(2))
        return *codes, normal(generator, *noise, dtype=dtype)

    yield twice(*single(1, VARIANCE_9, 2), kind="agree")
    yield case(*single(1, VARIANCE_9, 2), about="mean 1, variance 9, noise 2")
    if with_samples:
        yield case(*single(1, 0, -1), about="one sample, and it falls where the prior is denser than q")
    for sizes in ((2, 3, 5), (3, 1, 2), (1, 4, 3)):
        yield case(*drawn(*sizes))
    yield case(*single(0, -60, 2), about="a very narrow code: the standard deviation is exp(-30)")
    yield case(*single(0, 30, 2), about="a very wide code: the standard deviation is exp(15)")
    for sizes in ((3, 2, 1), (4, 4, 4), (2, 5, 3), (5, 2, 2), (1, 1, 2), (2, 2, 1)):
        yield twice(*drawn(*sizes))
    yield twice(*drawn(3, 2, 4, torch.float32))


def reparameterise_cases(generator: torch.Generator) -> Iterator[Case]:
    yield from noisy_cases(generator, with_samples=False)
    for batch, code in ((2, 3), (3, 2)):
        mu, log_var, eps = (normal(generator, batch, code) for _ in range(3))
        about = "the gradient of the sum of z with respect to mu, and below it with respect to log_var"
        yield case(Leaf(mu), Leaf(log_var), eps, kind="gradient", about=about)


OWN_NOISE = (
    "eps is not used: the function draws noise of its own, so two calls with the same eps differ. The noise comes in "
    "from outside; that is what makes z a plain function of mu and log_var."
)
WIDTH_BOUNDED = (
    "the width is kept within bounds: log_var is clamped, or a small number added to the variance or to its root. In "
    "training that may help; here z = mu + sigma * eps is asked for at any log_var, and exp needs no help."
)
LOG_OF_VARIANCE = "log_var is the logarithm of the variance, and the standard deviation is its square root: "
REPARAMETERISE_MISTAKES = (
    Mistake(
        "log_var_as_deviation",
        LOG_OF_VARIANCE + "here log_var itself multiplies the noise. It can be negative; a standard deviation cannot.",
        lambda mu, log_var, eps: mu + log_var * eps,
    ),
    Mistake(
        "never_exponentiated",
        LOG_OF_VARIANCE + "it is halved here, which is the logarithm of the standard deviation, and stays a logarithm.",
        lambda mu, log_var, eps: mu + log_var / 2 * eps,
    ),
    Mistake(
        "variance_for_deviation",
        "the noise is multiplied by the variance (or log_var was read as the log of the standard deviation). What does "
        "a half in the exponent do?",
        lambda mu, log_var, eps: mu + log_var.exp() * eps,
    ),
    Mistake(
        "half_outside",
        LOG_OF_VARIANCE + "here the half stands before the exponential, where it halves the variance.",
        lambda mu, log_var, eps: mu + log_var.exp() / 2 * eps,
    ),
    Mistake(
        "exponent_doubled",
        LOG_OF_VARIANCE + "log_var is doubled here, which squares the variance instead of taking its root.",
        lambda mu, log_var, eps: mu + torch.exp(2 * log_var) * eps,
    ),
    *(
        Mistake(
            "softplus",
            "softplus makes a number positive, and so would many functions. log_var is a logarithm, though, and what "
            "undoes a logarithm is the exponential.",
            lambda mu, log_var, eps, width=width: mu + width(log_var) * eps,
        )
        for width in (softplus, lambda v: softplus(v).sqrt(), lambda v: softplus(v / 2), lambda v: softplus(v) / 2)
    ),
    Mistake(
        "root_of_log_var",
        LOG_OF_VARIANCE + "here the root is taken of the size of the logarithm, as if it were the variance.",
        lambda mu, log_var, eps: mu + log_var.abs().sqrt() * eps,
    ),
    Mistake(
        "root_of_log_var",
        LOG_OF_VARIANCE + "here the root is taken of the logarithm, which is NaN wherever the variance is under 1.",
        lambda mu, log_var, eps: mu + log_var.sqrt() * eps,
    ),
    Mistake(
        "exponent_negative",
        "the sign of the exponent: the noise is divided by the standard deviation instead of multiplied.",
        lambda mu, log_var, eps: mu + torch.exp(-log_var / 2) * eps,
    ),
    Mistake(
        "noise_in_exponent",
        "the noise got into the exponent, by a bracket: only the log-variance is exponentiated.",
        lambda mu, log_var, eps: mu + torch.exp(log_var / 2 * eps),
    ),
    Mistake(
        "mean_scaled_too",
        "the mean is scaled along with the noise: a bracket encloses too much.",
        lambda mu, log_var, eps: (mu + eps) * torch.exp(log_var / 2),
    ),
    Mistake(
        "noise_subtracted",
        "the noise is subtracted. Its distribution is symmetric, so the samples would be as good; yet with the given "
        "eps this is another z than the contract's.",
        lambda mu, log_var, eps: mu - torch.exp(log_var / 2) * eps,
    ),
    Mistake("noise_missing", "this is the mean: there is no noise in it.", lambda mu, log_var, eps: mu + 0 * eps),
    Mistake(
        "mean_missing",
        "the noise has the right width, and zero mean: mu is not added.",
        lambda mu, log_var, eps: torch.exp(log_var / 2) * eps,
    ),
    Mistake(
        "width_missing",
        "the noise is added as it is: log_var plays no part.",
        lambda mu, log_var, eps: mu + eps,
    ),
    Mistake("own_noise", OWN_NOISE, lambda mu, log_var, eps: reparameterise(mu, log_var, torch.randn_like(eps))),
    Mistake("detached", DETACHED, no_grad(reparameterise)),
    Mistake(
        "detached",
        DETACHED,
        lambda mu, log_var, eps: torch.from_numpy(mu.numpy() + log_var.mul(0.5).exp().numpy() * eps.numpy()),
    ),
    Mistake(
        "width_detached",
        "the values are right, and the gradient arrives at mu alone: the standard deviation was cut off from log_var, "
        "so the encoder could never learn how wide its codes should be.",
        cut(reparameterise, 1),
    ),
    Mistake(
        "mean_detached",
        "the values are right, and the gradient arrives at log_var alone: mu was cut off on the way.",
        cut(reparameterise, 0),
    ),
    *clamped(WIDTH_BOUNDED, reparameterise),
    *(
        Mistake("clamped", WIDTH_BOUNDED, lambda mu, log_var, eps, k=k: mu + (log_var.exp() + 10.0**-k).sqrt() * eps)
        for k in range(3, 13)
    ),
    *(
        Mistake("clamped", WIDTH_BOUNDED, lambda mu, log_var, eps, k=k: mu + ((log_var / 2).exp() + 10.0**-k) * eps)
        for k in range(3, 13)
    ),
    *in_place(reparameterise, 0, 1, 2),
)


# The score function


def scored(of_mu: Callable, of_log_var: Callable, finish: Callable = lambda pair: pair) -> Callable:
    """f(z) times two scores, each a function of (z - mu, log_var)."""

    def answer(f_z: Tensor, z: Tensor, mu: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
        return finish(tuple(f_z[:, None] * part(z - mu, log_var) for part in (of_mu, of_log_var)))

    return answer


def score_of_mu(away: Tensor, log_var: Tensor) -> Tensor:
    return away / log_var.exp()


def score_of_log_var(away: Tensor, log_var: Tensor) -> Tensor:
    return 0.5 * (away**2 / log_var.exp() - 1)


right_scores = scored(score_of_mu, score_of_log_var)


def score_gradient(f_z: Tensor, z: Tensor, mu: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
    """f(z) (z - mu) / var and f(z) ((z - mu)^2 / var - 1) / 2, [samples, code] both."""
    return right_scores(f_z, z, mu, log_var)


def score_cases(generator: torch.Generator) -> Iterator[Case]:
    yield case(
        numbers(3, shape=(1,)),
        numbers(7),
        numbers(1, shape=(1,)),
        numbers(VARIANCE_9, shape=(1,)),
        about="one sample of one dimension: f = 3, z = 7, mean 1, variance 9",
    )
    sizes = ((2, 1, torch.float64), (3, 2, torch.float64), (1, 4, torch.float64), (3, 3, torch.float64))
    for samples, code, dtype in (*sizes, (5, 2, torch.float32), (4, 4, torch.float64)):
        f_z, mu, log_var = (normal(generator, n, dtype=dtype) for n in (samples, code, code))
        yield case(f_z, normal(generator, samples, code, dtype=dtype), mu, log_var)


def compare_pairs(case: Case, output: Any, expected: Any) -> str | None:
    """The two gradients by their names."""
    if not isinstance(output, (tuple, list)) or len(output) != 2 or not isinstance(expected, tuple):
        return compare(case, output, expected)
    for name, got, want in zip(("mu", "log_var"), output, expected, strict=True):
        if said := loosely(case, got, want):
            return f"the gradient with respect to {name}: {said}"
    return None


def other_width(name: str, diagnosis: str, variance: Callable) -> tuple[Mistake, ...]:
    """A wrong variance in the score of mu, in that of log_var, and in both."""

    def mu(away: Tensor, log_var: Tensor) -> Tensor:
        return away / variance(log_var)

    def log_var_(away: Tensor, log_var: Tensor) -> Tensor:
        return 0.5 * (away**2 / variance(log_var) - 1)

    pairs = ((mu, log_var_), (mu, score_of_log_var), (score_of_mu, log_var_))
    return tuple(Mistake(name, diagnosis, scored(*pair)) for pair in pairs)


def of_log_var(name: str, diagnosis: str, wrong: Callable) -> Mistake:
    return Mistake(name, diagnosis, scored(score_of_mu, wrong))


def finished(name: str, diagnosis: str, finish: Callable) -> Mistake:
    return Mistake(name, diagnosis, scored(score_of_mu, score_of_log_var, finish))


def each(change: Callable[[Tensor], Tensor]) -> Callable:
    return lambda pair: tuple(change(part) for part in pair)


def along_code(f_z: Tensor, z: Tensor, mu: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
    return tuple(f_z * part(z - mu, log_var) for part in (score_of_mu, score_of_log_var))


def density_differentiated(f_z: Tensor, z: Tensor, mu: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
    density = torch.exp(-0.5 * ((z - mu) ** 2 / log_var.exp() + log_var + LOG_2PI).sum(1))
    return score_gradient(f_z * density, z, mu, log_var)


def uncentred(in_mu: bool, in_log_var: bool) -> Callable:
    """Scores in which z stands where z - mu belongs."""

    def answer(f_z: Tensor, z: Tensor, mu: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
        parts = ((score_of_mu, in_mu), (score_of_log_var, in_log_var))
        return tuple(f_z[:, None] * part(z if wrong else z - mu, log_var) for part, wrong in parts)

    return answer


def halves_weighted(in_mu: bool, in_log_var: bool) -> Callable:
    """Gradients of log q of which only one is weighted by f."""

    def answer(f_z: Tensor, z: Tensor, mu: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
        weighted, bare = (score_gradient(f, z, mu, log_var) for f in (f_z, torch.ones_like(f_z)))
        return tuple((weighted if yes else bare)[i] for i, yes in enumerate((in_mu, in_log_var)))

    return answer


def f_on_square_only(half: float, constant: float) -> Callable:
    def answer(f_z: Tensor, z: Tensor, mu: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
        of_mu, _ = score_gradient(f_z, z, mu, log_var)
        return of_mu, half * f_z[:, None] * (z - mu) ** 2 / log_var.exp() - constant

    return answer


def standardised(f_z: Tensor, z: Tensor, mu: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
    away = f_z - f_z.mean()
    spread = ((away**2).sum() / (len(f_z) - 1)).sqrt()  # torch's std warns where there is one sample
    return score_gradient(away / (spread + 1e-8), z, mu, log_var)


def against_the_others(f_z: Tensor, z: Tensor, mu: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
    return score_gradient(f_z - (f_z.sum() - f_z) / max(len(f_z) - 1, 1), z, mu, log_var)


def centred(f_z: Tensor, z: Tensor, mu: Tensor, log_var: Tensor) -> tuple[Tensor, Tensor]:
    return score_gradient(f_z - f_z.mean(), z, mu, log_var)


NOT_CENTRED = (
    "z stands where the distance from the mean belongs: mu is not subtracted. What matters is how far z fell from the "
    "middle of q, not from 0."
)
SCORE_MISTAKES = (
    Mistake(
        "f_missing",
        "these are the scores, the gradients of log q, not yet weighted by f(z). Their mean is zero whatever f is.",
        lambda f_z, z, mu, log_var: score_gradient(torch.ones_like(f_z), z, mu, log_var),
    ),
    Mistake(
        "f_in_one_only",
        "the gradient with respect to log_var is not weighted by f(z); the one with respect to mu is. Both are f(z) "
        "times a gradient of log q(z).",
        halves_weighted(True, False),
    ),
    Mistake(
        "f_in_one_only",
        "the gradient with respect to mu is not weighted by f(z); the one with respect to log_var is. Both are f(z) "
        "times a gradient of log q(z).",
        halves_weighted(False, True),
    ),
    *(
        Mistake(
            "f_on_square_only",
            "in the second, f(z) weighs the square and not the constant beside it: a bracket. f(z) multiplies the "
            "whole gradient of log q(z).",
            f_on_square_only(half, constant),
        )
        for half, constant in ((0.5, 0.5), (0.5, 1.0), (1.0, 1.0))
    ),
    Mistake(
        "mu_halved",
        "the gradient with respect to mu is half as large as it should be: the derivative of the square brings a 2.",
        scored(lambda away, log_var: score_of_mu(away, log_var) / 2, score_of_log_var),
    ),
    Mistake(
        "mu_doubled",
        "the gradient with respect to mu is twice too large: the exponent of a Gaussian carries a half.",
        scored(lambda away, log_var: 2 * score_of_mu(away, log_var), score_of_log_var),
    ),
    *other_width(
        "variance_missing",
        "the distance from the mean is not divided by the variance. The exponent of a Gaussian is "
        "-(z - mu)^2 / (2 var); what is its derivative?",
        lambda log_var: torch.ones_like(log_var),
    ),
    *other_width(
        "variance_on_wrong_side",
        "the distance from the mean is multiplied by the variance; it belongs below the line. The narrower q is, the "
        "more a step of its mean changes.",
        lambda log_var: torch.exp(-log_var),
    ),
    *other_width(
        "deviation_for_variance",
        "a standard deviation stands where the variance belongs. The exponent of a Gaussian is -(z - mu)^2 / (2 var).",
        lambda log_var: torch.exp(log_var / 2),
    ),
    *other_width(
        "log_var_as_variance",
        "log_var is used as if it were the variance. It is the logarithm of it, and may be negative.",
        lambda log_var: log_var,
    ),
    *other_width(
        "log_var_as_log_deviation",
        "the variance is squared: log_var is read as the log of the standard deviation, or the division by the "
        "variance has got under the square.",
        lambda log_var: torch.exp(2 * log_var),
    ),
    Mistake(
        "sign_of_mu",
        "the gradient with respect to mu has the wrong sign. A z above the mean becomes more likely as the mean rises.",
        scored(lambda away, log_var: -score_of_mu(away, log_var), score_of_log_var),
    ),
    finished(
        "sign_flipped",
        "both have the opposite sign. This is the gradient itself; stepping against it is the optimiser's business.",
        each(torch.neg),
    ),
    of_log_var(
        "half_missing",
        "the second is twice too large: this is the gradient with respect to the log of the standard deviation, and "
        "log_var is twice that.",
        lambda away, log_var: 2 * score_of_log_var(away, log_var),
    ),
    of_log_var(
        "minus_one_missing",
        "the second lacks its -1. log q has a second term with log_var in it, from the normalising constant: without "
        "it the scores do not average to zero.",
        lambda away, log_var: 0.5 * away**2 / log_var.exp(),
    ),
    of_log_var(
        "minus_one_whole",
        "the half covers only the square: the normalising constant of a Gaussian holds log_var with a half as well.",
        lambda away, log_var: 0.5 * away**2 / log_var.exp() - 1,
    ),
    of_log_var(
        "one_added",
        "the sign of the 1 in the second. A wider Gaussian is lower, so log q falls by its normalising constant as "
        "log_var grows; only so do the scores average to zero.",
        lambda away, log_var: 0.5 * (away**2 / log_var.exp() + 1),
    ),
    of_log_var(
        "not_divided",
        "the second is too large by the variance: the distance is compared with the variance by a difference, and not "
        "divided by it.",
        lambda away, log_var: 0.5 * (away**2 - log_var.exp()),
    ),
    of_log_var(
        "sign_of_log_var",
        "the gradient with respect to log_var has the wrong sign. A z far out becomes more likely as q grows wider.",
        lambda away, log_var: -score_of_log_var(away, log_var),
    ),
    of_log_var(
        "by_variance",
        "the second is the gradient with respect to the variance. By the chain rule, that with respect to its "
        "logarithm is the variance times as large.",
        lambda away, log_var: score_of_log_var(away, log_var) / log_var.exp(),
    ),
    of_log_var(
        "by_deviation",
        "the second is the gradient with respect to the standard deviation. The chain rule takes you from there to "
        "log_var.",
        lambda away, log_var: 2 * score_of_log_var(away, log_var) / torch.exp(log_var / 2),
    ),
    of_log_var(
        "not_squared",
        "the second uses the distance from the mean without its square, or divides it by the wrong width: only the "
        "square of (z - mu) / sigma appears in log q.",
        lambda away, log_var: 0.5 * (away / torch.exp(log_var / 2) - 1),
    ),
    of_log_var(
        "half_and_one_missing",
        "the second is the bare square of (z - mu) / sigma. In log q it carries a half, and beside it stands the "
        "normalising constant, which depends on log_var too.",
        lambda away, log_var: away**2 / log_var.exp(),
    ),
    Mistake("not_centred", NOT_CENTRED, uncentred(True, True)),
    Mistake("not_centred", NOT_CENTRED, uncentred(True, False)),
    Mistake("not_centred", NOT_CENTRED, uncentred(False, True)),
    Mistake(
        "f_averaged",
        "the values f are averaged before they are multiplied: every sample then has the same weight, and what f says "
        "about each is lost. Sample by sample, its own f times its own score.",
        lambda f_z, z, mu, log_var: score_gradient(f_z.mean().expand_as(f_z), z, mu, log_var),
    ),
    Mistake(
        "along_code",
        "f(z) is multiplied along the wrong axis. There is one f for each sample, and the samples are the first axis "
        "of z, not the last: where there are as many samples as dimensions, nothing complains.",
        along_code,
    ),
    finished(
        "averaged",
        "the samples are averaged. Asked for is the estimate of each sample: its spread is what we want to see.",
        each(lambda part: part.mean(0)),
    ),
    finished(
        "summed_over_samples",
        "the samples are added up, as autograd does when they share one mu. Asked for is the estimate of each sample.",
        each(lambda part: part.sum(0)),
    ),
    finished(
        "divided_by_samples",
        "each estimate is divided by the number of samples, as the gradient of a mean would be.",
        each(lambda part: part / len(part)),
    ),
    finished(
        "summed_over_code",
        "the dimensions of the code are added up. Each has a mean and a log-variance of its own, and so a gradient.",
        each(lambda part: part.sum(1)),
    ),
    finished(
        "order_exchanged", "the two gradients come in the wrong order: first mu, then log_var.", lambda pair: pair[::-1]
    ),
    finished("mu_alone", "only the gradient with respect to mu comes back; two are asked for.", lambda pair: pair[0]),
    finished("stacked", "the two gradients come as one tensor; a tuple of two is asked for.", torch.stack),
    Mistake(
        "centred",
        "the mean of f is subtracted first. A baseline is a fine idea, and lowers the variance; but one that contains "
        "the sample itself adds a bias, and the contract asks for the plain estimate.",
        centred,
    ),
    Mistake(
        "centred",
        "f is standardised first, as is the habit with rewards. That scales the gradient and adds a bias, and a single "
        "sample has no spread to divide by; the contract asks for the plain estimate.",
        standardised,
    ),
    Mistake(
        "baseline",
        "the mean of the other samples is subtracted first: a good baseline, which adds no bias and lowers the "
        "variance. The contract asks for the plain estimate, though, whose variance is what we want to see.",
        against_the_others,
    ),
    Mistake(
        "density_differentiated",
        "this is f(z) times the gradient of q instead of log q. Samples of q already come as often as q says: divide "
        "by q, and the logarithm appears.",
        density_differentiated,
    ),
)


# The KL in closed form


def kl_terms(mu: Tensor, log_var: Tensor) -> Tensor:
    return 0.5 * (mu**2 + log_var.exp() - 1 - log_var)


def kl_to_prior(mu: Tensor, log_var: Tensor) -> Tensor:
    """Sum over the code of (mu^2 + var - 1 - log var) / 2."""
    return kl_terms(mu, log_var).sum(1)


def kl_cases(generator: torch.Generator) -> Iterator[Case]:
    yield case(numbers(1), numbers(VARIANCE_9), about="one image, one dimension: mean 1, variance 9")
    for batch, code, dtype in (
        (1, 2, torch.float64),
        (2, 3, torch.float64),
        (4, 1, torch.float64),
        (3, 3, torch.float64),
        (5, 2, torch.float32),
    ):
        yield case(normal(generator, batch, code, dtype=dtype), normal(generator, batch, code, dtype=dtype))
    at_prior = torch.stack([torch.zeros(2), torch.ones(2)]).double()
    yield case(at_prior, at_prior.clone(), about="the first image's q is the prior: it costs nothing")
    narrow = numbers(-40, 6, -33, 2, shape=(2, 2))
    yield case(numbers(0, 1, -2, 0, shape=(2, 2)), narrow, about="codes as narrow as exp(-20), and wide ones")
    yield case(numbers(0), numbers(-1600), about="a code so narrow that its width, exp(-800), is rounded to 0")
    for batch, code in ((2, 3), (3, 2)):
        leaves = (Leaf(normal(generator, batch, code)) for _ in range(2))
        about = "the gradient of the sum of all KLs with respect to mu, and below it with respect to log_var"
        yield case(*leaves, kind="gradient", about=about)


def from_terms(terms: Callable) -> Callable:
    return lambda mu, log_var: terms(mu, log_var).sum(1)


def kl_in_parts(mu: Tensor, of_variance: Tensor, of_logarithm: Tensor) -> Tensor:
    """The closed form with the two places where log_var stands told apart."""
    return 0.5 * (mu**2 + of_variance.exp() - 1 - of_logarithm).sum(1)


PART_DETACHED = (
    "the values are right, and one of the two places where log_var stands is cut off from its gradient: the encoder "
    "would be pulled to the wrong width."
)
SMALL = (*range(2, 13), 16, 20, 30, 38)
CLAMPED = (
    "log_var is clamped (or a small number added to the variance): a code that is almost a point then costs less than "
    "it does. The formula needs no protection, since log_var itself stands in it."
)
LOG_OF_EXP = (
    "the variance or its root is formed first and the logarithm taken after, as torch.distributions does too. Where "
    "log_var is very negative, its exponential is rounded to 0: the code's price comes out endless, or torch refuses "
    "the width. The logarithm of the variance is what you were given."
)
KL_MISTAKES = (
    Mistake(
        "mean_over_code",
        "a mean over the dimensions of the code where a sum belongs. Independent dimensions' KLs add up; a mean makes "
        "the code cheaper the more dimensions it has.",
        lambda mu, log_var: kl_terms(mu, log_var).mean(1),
    ),
    Mistake(
        "sum_over_batch",
        "the images are added up too. Each image has a rate of its own: the batch axis stays.",
        lambda mu, log_var: kl_terms(mu, log_var).sum(),
    ),
    Mistake(
        "mean_over_batch",
        "one number for the whole batch. Each image has a rate of its own; averaging comes later, in the loss.",
        lambda mu, log_var: kl_terms(mu, log_var).sum(1).mean(),
    ),
    Mistake(
        "mean_over_all",
        "one number for the whole batch, and a mean over the dimensions of the code too: sum over those, and leave "
        "the batch.",
        lambda mu, log_var: kl_terms(mu, log_var).mean(),
    ),
    Mistake("code_left", "nothing is summed: this is the KL of each dimension of the code.", kl_terms),
    Mistake(
        "wrong_axis",
        "the sum runs over the batch instead of the code: axis 0 is the batch.",
        lambda mu, log_var: kl_terms(mu, log_var).sum(0),
    ),
    Mistake(
        "axis_kept",
        "the sum has left its axis behind, with length one: [batch] is asked for.",
        lambda mu, log_var: kl_terms(mu, log_var).sum(1, keepdim=True),
    ),
    Mistake(
        "sign_flipped",
        "the sign: this is -KL, the term as it stands in the ELBO. A KL is never negative.",
        lambda mu, log_var: -kl_to_prior(mu, log_var),
    ),
    Mistake("half_missing", "the factor 1/2 is missing.", lambda mu, log_var: 2 * kl_to_prior(mu, log_var)),
    Mistake(
        "half_on_first",
        "the factor 1/2 covers only a part of the terms: a bracket.",
        from_terms(lambda mu, log_var: 0.5 * mu**2 + log_var.exp() - 1 - log_var),
    ),
    Mistake(
        "half_on_first",
        "the factor 1/2 covers only the first two terms: a bracket.",
        from_terms(lambda mu, log_var: 0.5 * (mu**2 + log_var.exp()) - 1 - log_var),
    ),
    Mistake(
        "one_whole",
        "the 1 has no half, and the other terms have: where q is the prior, the KL must be 0. What do you get there?",
        from_terms(lambda mu, log_var: 0.5 * (mu**2 + log_var.exp() - log_var) - 1),
    ),
    Mistake(
        "log_halved_twice",
        "log_var carries a half inside the bracket as well. log sigma^2 is what belongs there, and log_var is that "
        "already.",
        from_terms(lambda mu, log_var: 0.5 * (mu**2 + log_var.exp() - 1 - log_var / 2)),
    ),
    Mistake(
        "log_half_missing",
        "log sigma is half of log_var; here log_var stands in its place, without the half.",
        from_terms(lambda mu, log_var: 0.5 * (mu**2 + log_var.exp() - 1) - log_var),
    ),
    Mistake(
        "one_missing",
        "the -1 is missing: where q is the prior, the KL must be 0. What do you get there?",
        from_terms(lambda mu, log_var: 0.5 * (mu**2 + log_var.exp() - log_var)),
    ),
    Mistake(
        "one_per_image",
        "the 1 is subtracted once for each image; it belongs to every dimension of the code.",
        lambda mu, log_var: 0.5 * ((mu**2 + log_var.exp() - log_var).sum(1) - 1),
    ),
    Mistake(
        "one_added",
        "the sign of the 1: where q is the prior, the KL must be 0. What do you get there?",
        from_terms(lambda mu, log_var: 0.5 * (mu**2 + log_var.exp() + 1 - log_var)),
    ),
    Mistake(
        "log_sign",
        "the sign of log_var: a narrower code must cost more, and here it costs less.",
        from_terms(lambda mu, log_var: 0.5 * (mu**2 + log_var.exp() - 1 + log_var)),
    ),
    Mistake(
        "mean_not_squared",
        "mu enters without its square, so a code to the left of the prior would earn something.",
        from_terms(lambda mu, log_var: 0.5 * (mu + log_var.exp() - 1 - log_var)),
    ),
    Mistake(
        "mean_missing",
        "mu plays no part: a code far from the prior must cost more than one in its middle.",
        from_terms(lambda mu, log_var: 0.5 * (log_var.exp() - 1 - log_var)),
    ),
    Mistake(
        "variance_missing",
        "the variance itself is missing, only its logarithm is there: a code of endless width would cost less than "
        "nothing.",
        from_terms(lambda mu, log_var: 0.5 * (mu**2 - 1 - log_var)),
    ),
    Mistake(
        "log_missing",
        "log_var itself is missing, only its exponential is there: a code as narrow as you like would be cheap.",
        from_terms(lambda mu, log_var: 0.5 * (mu**2 + log_var.exp() - 1)),
    ),
    Mistake(
        "log_var_as_variance",
        "log_var is used as if it were the variance, and its logarithm is taken again.",
        from_terms(lambda mu, log_var: 0.5 * (mu**2 + log_var - 1 - log_var.log())),
    ),
    Mistake(
        "log_var_as_variance",
        "log_var is used as if it were the variance: it is never exponentiated.",
        from_terms(lambda mu, log_var: 0.5 * (mu**2 + log_var - 1 - log_var)),
    ),
    Mistake(
        "log_var_as_deviation",
        "log_var is used as if it were the standard deviation: it is squared for the variance.",
        from_terms(lambda mu, log_var: 0.5 * (mu**2 + log_var**2 - 1 - (log_var**2).log())),
    ),
    Mistake(
        "log_var_as_deviation",
        "log_var is used as if it were the standard deviation: it is squared for the variance.",
        from_terms(lambda mu, log_var: 0.5 * (mu**2 + log_var**2 - 1) - log_var.log()),
    ),
    Mistake(
        "log_var_as_deviation",
        "log_var is squared where the variance belongs. It is the variance's logarithm: what undoes a logarithm?",
        from_terms(lambda mu, log_var: 0.5 * (mu**2 + log_var**2 - 1 - log_var)),
    ),
    Mistake(
        "log_var_as_log_deviation",
        "log_var is read as the log of the standard deviation: the variance comes out squared.",
        from_terms(lambda mu, log_var: kl_terms(mu, 2 * log_var)),
    ),
    Mistake(
        "log_var_as_log_deviation",
        "the variance is exp(log_var); here it is squared once more.",
        from_terms(lambda mu, log_var: 0.5 * (mu**2 + torch.exp(2 * log_var) - 1 - log_var)),
    ),
    Mistake(
        "deviation_for_variance",
        "the standard deviation stands where the variance belongs.",
        from_terms(lambda mu, log_var: 0.5 * (mu**2 + torch.exp(log_var / 2) - 1 - log_var)),
    ),
    Mistake(
        "deviation_for_variance",
        "log_var is halved throughout: the KL of another Gaussian, whose variance is this one's standard deviation.",
        from_terms(lambda mu, log_var: kl_terms(mu, log_var / 2)),
    ),
    Mistake(
        "reversed",
        "this is KL(N(0, I), q): the two are exchanged. A KL is an average under its first argument, and the rate is "
        "an average under q.",
        from_terms(lambda mu, log_var: 0.5 * ((1 + mu**2) / log_var.exp() - 1 + log_var)),
    ),
    Mistake(
        "bits",
        "these are bits. The contract asks for nats: natural logarithms.",
        lambda mu, log_var: kl_to_prior(mu, log_var) / math.log(2),
    ),
    *(
        Mistake("clamped", CLAMPED, lambda mu, log_var, low=low: kl_to_prior(mu, log_var.clamp(min=-low)))
        for low in (4, 5, 6, 7, 8, 10, 12, 15, 20, 30, 50, 80, 100)
    ),
    *(
        Mistake("clamped", CLAMPED, lambda mu, log_var, k=k: kl_to_prior(mu, (log_var.exp() + 10.0**-k).log()))
        for k in SMALL
    ),
    *(
        Mistake(
            "clamped",
            CLAMPED,
            from_terms(lambda mu, log_var, k=k: 0.5 * (mu**2 + log_var.exp() - 1 - (log_var.exp() + 10.0**-k).log())),
        )
        for k in SMALL
    ),
    Mistake(
        "underflow",
        LOG_OF_EXP,
        from_terms(lambda mu, log_var: 0.5 * (mu**2 + log_var.exp() - 1 - log_var.exp().log())),
    ),
    Mistake(
        "underflow",
        LOG_OF_EXP,
        from_terms(lambda mu, log_var: kl_divergence(Normal(mu, torch.exp(log_var / 2)), Normal(0.0, 1.0))),
    ),
    squeezed(kl_to_prior),
    divided(kl_to_prior),
    Mistake("detached", DETACHED, no_grad(kl_to_prior)),
    Mistake("detached", DETACHED, lambda mu, log_var: torch.from_numpy(kl_to_prior(mu, log_var).numpy())),
    Mistake("width_detached", "the values are right, and no gradient arrives at log_var.", cut(kl_to_prior, 1)),
    Mistake("mean_detached", "the values are right, and no gradient arrives at mu.", cut(kl_to_prior, 0)),
    Mistake("part_detached", PART_DETACHED, lambda mu, log_var: kl_in_parts(mu, log_var, log_var.detach())),
    Mistake("part_detached", PART_DETACHED, lambda mu, log_var: kl_in_parts(mu, log_var.detach(), log_var)),
    *in_place(kl_to_prior, 0, 1),
)


# The KL by sampling


def log_normal(z: Tensor, mu: Tensor | float, log_var: Tensor) -> Tensor:
    """log N(z; mu, exp(log_var)) of each dimension."""
    return -0.5 * ((z - mu) ** 2 / log_var.exp() + log_var + LOG_2PI)


def sampled(ratio: Callable, reduce: Callable = lambda ratios: ratios.sum(2).mean(0)) -> Callable:
    """ratio(z, mu, log_var, eps) of each dimension, for z = mu + sigma eps, reduced to one number an image."""

    def answer(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
        return reduce(ratio(reparameterise(mu, log_var, eps), mu, log_var, eps))

    return answer


def log_ratio(z: Tensor, mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    return log_normal(z, mu, log_var) - log_normal(z, 0.0, torch.zeros_like(log_var))


sampled_reference = sampled(log_ratio)


def kl_by_sampling(mu: Tensor, log_var: Tensor, eps: Tensor) -> Tensor:
    """The mean over samples of log q(z) - log p(z), summed over the code."""
    return sampled_reference(mu, log_var, eps)


def sampling_cases(generator: torch.Generator) -> Iterator[Case]:
    return noisy_cases(generator, with_samples=True)


def reduced(name: str, diagnosis: str, reduce: Callable) -> Mistake:
    return Mistake(name, diagnosis, sampled(log_ratio, reduce))


def ratio(name: str, diagnosis: str, wrong: Callable) -> Mistake:
    return Mistake(name, diagnosis, sampled(wrong))


def prior(z: Tensor) -> Tensor:
    return -0.5 * (z**2 + LOG_2PI)


def densities_first(z: Tensor, mu: Tensor, log_var: Tensor, small: float) -> Tensor:
    """log q - log p by way of the densities, with a small number to keep the logarithm finite."""
    return torch.log(log_normal(z, mu, log_var).exp() + small) - torch.log(prior(z).exp() + small)


DENSITY_FIRST = (
    "the densities are computed first and their logarithms after. A density far from its centre is rounded to 0, whose "
    "logarithm is minus infinity, or that of whatever was added against it: write the logarithms down directly."
)
WIDTH_BOUNDED_TOO = (
    "log_var is clamped: a code that is almost a point, or a very wide one, then has another price than its own. The "
    "logarithms are finite for any log_var."
)
SAMPLING_MISTAKES = (
    Mistake(
        "closed_form",
        "this is the closed form, which has no use for eps. It is what the estimate comes to with endlessly many "
        "samples; asked for is the estimate from these.",
        lambda mu, log_var, eps: kl_to_prior(mu, log_var) + 0 * eps.sum((0, 2)),
    ),
    reduced(
        "sum_over_samples",
        "the samples are added up. The KL is an expectation: average over them.",
        lambda ratios: ratios.sum((0, 2)),
    ),
    reduced(
        "mean_over_code",
        "the dimensions of the code are averaged. log q(z) is a sum over them: average over the samples alone.",
        lambda ratios: ratios.mean((0, 2)),
    ),
    reduced(
        "means_exchanged",
        "sum and mean are exchanged: the samples (axis 0) are to be averaged, the dimensions of the code (axis 2) "
        "added up.",
        lambda ratios: ratios.sum(0).mean(1),
    ),
    reduced(
        "samples_left", "the samples are not averaged: one number an image is asked for.", lambda ratios: ratios.sum(2)
    ),
    reduced(
        "code_left", "the dimensions of the code are not added up: [batch] is asked for.", lambda ratios: ratios.mean(0)
    ),
    reduced(
        "axis_kept",
        "the mean has left its axis behind, with length one: [batch] is asked for.",
        lambda ratios: ratios.sum(2).mean(0, keepdim=True),
    ),
    reduced(
        "wrong_axis",
        "the average runs over the batch instead of the samples: the axes of eps are samples, batch, code.",
        lambda ratios: ratios.sum(2).mean(1),
    ),
    reduced(
        "wrong_axis",
        "the axes are mixed up: samples are axis 0, images axis 1, dimensions of the code axis 2. Average over the "
        "first, leave the second, add up the third.",
        lambda ratios: ratios.sum(0).mean(0),
    ),
    reduced(
        "wrong_axis",
        "the axes are mixed up: the images are added up and the dimensions of the code are left. Axis 1 is the batch.",
        lambda ratios: ratios.mean(0).sum(0),
    ),
    reduced(
        "averaged_over_all",
        "one number for the whole batch: each image has a KL of its own.",
        lambda ratios: ratios.sum(2).mean(),
    ),
    reduced(
        "averaged_over_all",
        "one number for the whole batch, and a mean over everything: average over the samples, add up the dimensions "
        "of the code, leave the images.",
        lambda ratios: ratios.mean(),
    ),
    reduced("averaged_over_all", "everything is added up into one number.", lambda ratios: ratios.sum()),
    reduced(
        "first_sample",
        "only the first sample counts.",
        lambda ratios: ratios.sum(2)[0],
    ),
    reduced(
        "sign_flipped",
        "the sign: this estimates -KL. Which density is the average taken under, and which of the two logarithms comes "
        "first?",
        lambda ratios: -ratios.sum(2).mean(0),
    ),
    reduced(
        "no_logarithm",
        "this is a mean of density ratios, or of their exponentials; the KL is the mean of the logarithm.",
        lambda ratios: ratios.sum(2).exp().mean(0),
    ),
    reduced(
        "log_of_mean",
        "this is the logarithm of a mean; the KL is the mean of a logarithm.",
        lambda ratios: ratios.sum(2).exp().mean(0).log(),
    ),
    reduced(
        "absolute",
        "absolute values are averaged. A single sample may well have p(z) above q(z), and its negative term belongs in "
        "the mean.",
        lambda ratios: ratios.sum(2).abs().mean(0),
    ),
    reduced(
        "other_estimator",
        "this estimator has the same mean and is never negative: a good one, yet another than the contract's plain "
        "mean of log q(z) - log p(z).",
        lambda ratios: ((-ratios.sum(2)).exp() - 1 + ratios.sum(2)).mean(0),
    ),
    *(
        reduced(
            "negative_cut",
            "what is below 0 is cut off. A KL is never negative, yet an estimate of it may be, and a single sample's "
            "term often is: to cut it off is to bias the mean.",
            cut_off,
        )
        for cut_off in (
            lambda ratios: ratios.sum(2).mean(0).clamp(min=0),
            lambda ratios: ratios.sum(2).clamp(min=0).mean(0),
            lambda ratios: ratios.clamp(min=0).sum(2).mean(0),
        )
    ),
    reduced(
        "absolute",
        "the size of the mean is returned, without its sign. A KL is never negative, yet an estimate of it may be.",
        lambda ratios: ratios.sum(2).mean(0).abs(),
    ),
    reduced("bits", "these are bits. The contract asks for nats.", lambda ratios: ratios.sum(2).mean(0) / math.log(2)),
    ratio(
        "log_det_missing",
        "log q lacks the term with log_var: a Gaussian's density grows as it narrows, since it must integrate to 1.",
        lambda z, mu, log_var, eps: -0.5 * (eps**2 + LOG_2PI) - prior(z),
    ),
    ratio(
        "log_half_missing",
        "log q holds log_var without its half: -log sigma is -log_var / 2.",
        lambda z, mu, log_var, eps: -0.5 * (eps**2 + LOG_2PI) - log_var - prior(z),
    ),
    ratio(
        "log_det_sign",
        "the sign of log_var in log q: a narrower Gaussian has the higher density at its middle.",
        lambda z, mu, log_var, eps: -0.5 * (eps**2 - log_var + LOG_2PI) - prior(z),
    ),
    ratio(
        "constant_in_one",
        "log(2 pi) stands in one of the two densities only. Keep it in both, or in neither: it cancels.",
        lambda z, mu, log_var, eps: log_normal(z, mu, log_var) + 0.5 * z**2,
    ),
    ratio(
        "constant_in_one",
        "log(2 pi) stands in one of the two densities only. Keep it in both, or in neither: it cancels.",
        lambda z, mu, log_var, eps: -0.5 * (eps**2 + log_var) - prior(z),
    ),
    ratio(
        "half_missing",
        "the factor 1/2 is missing in both exponents.",
        lambda z, mu, log_var, eps: -(eps**2) - log_var + z**2,
    ),
    ratio(
        "half_in_one",
        "log q has lost its factor 1/2, and log p has it.",
        lambda z, mu, log_var, eps: -(eps**2) - log_var + 0.5 * z**2,
    ),
    ratio(
        "half_in_one",
        "log p has lost its factor 1/2, and log q has it.",
        lambda z, mu, log_var, eps: -0.5 * (eps**2 + log_var) + z**2,
    ),
    ratio(
        "not_centred",
        "in log q, z stands where its distance from the mean belongs: q is centred at mu.",
        lambda z, mu, log_var, eps: log_normal(z, 0.0, log_var) - prior(z),
    ),
    ratio(
        "prior_at_noise",
        "the prior's density is taken at eps. It belongs at z, where q's is taken.",
        lambda z, mu, log_var, eps: log_normal(z, mu, log_var) - prior(eps),
    ),
    ratio(
        "densities_at_noise",
        "both densities are taken at eps. eps is the noise; the sample of q is mu + sigma eps.",
        lambda z, mu, log_var, eps: log_normal(eps, mu, log_var) - prior(eps),
    ),
    ratio(
        "reversed",
        "eps is taken as a sample of the prior: this estimates KL(p, q), the two exchanged.",
        lambda z, mu, log_var, eps: prior(eps) - log_normal(eps, mu, log_var),
    ),
    ratio(
        "prior_not_at_zero",
        "the prior is centred at mu. The prior knows nothing of the image: it is N(0, I) for all of them.",
        lambda z, mu, log_var, eps: log_normal(z, mu, log_var) - prior(z - mu),
    ),
    ratio(
        "no_logarithm",
        "densities are subtracted. The KL is the mean of the difference of their logarithms.",
        lambda z, mu, log_var, eps: log_normal(z, mu, log_var).exp() - prior(z).exp(),
    ),
    ratio(
        "weighted_twice",
        "the terms are multiplied by q's density. The samples already come as often as q says; their plain mean is the "
        "expectation.",
        lambda z, mu, log_var, eps: log_normal(z, mu, log_var).exp() * log_ratio(z, mu, log_var, eps),
    ),
    ratio(
        "square_missing",
        "log q lacks its square, ((z - mu) / sigma)^2 / 2: a sample far out in q has a low density there.",
        lambda z, mu, log_var, eps: 0.5 * (z**2 - log_var),
    ),
    ratio(
        "prior_missing",
        "only log q is there: this is the negative entropy of q, not yet compared with the prior.",
        lambda z, mu, log_var, eps: log_normal(z, mu, log_var),
    ),
    ratio(
        "posterior_missing",
        "only -log p(z) is there: a cross-entropy. What q itself would say of z is missing.",
        lambda z, mu, log_var, eps: -prior(z),
    ),
    ratio(
        "variance_for_deviation",
        "the sample is drawn too wide: the noise is multiplied by the variance instead of the standard deviation.",
        lambda z, mu, log_var, eps: log_ratio(mu + log_var.exp() * eps, mu, log_var, eps),
    ),
    ratio(
        "variance_for_deviation",
        "the variance is handed over where a standard deviation is expected, in the sample and in the density.",
        lambda z, mu, log_var, eps: log_ratio(mu + log_var.exp() * eps, mu, 2 * log_var, eps),
    ),
    ratio(
        "density_width",
        "the sample is right, and the density of q is that of another Gaussian: torch's Normal takes the standard "
        "deviation, not the variance.",
        lambda z, mu, log_var, eps: log_ratio(z, mu, 2 * log_var, eps),
    ),
    ratio(
        "density_width",
        "the sample is right, and in the density of q the distance from the mean is divided by the standard deviation "
        "instead of the variance.",
        lambda z, mu, log_var, eps: -0.5 * ((z - mu) ** 2 / torch.exp(log_var / 2) + log_var + LOG_2PI) - prior(z),
    ),
    ratio(
        "log_var_as_deviation",
        "log_var is used as if it were the standard deviation.",
        lambda z, mu, log_var, eps: log_ratio(mu + log_var * eps, mu, 2 * log_var.log(), eps),
    ),
    ratio(
        "no_noise",
        "the densities are taken at the mean: no sample was drawn.",
        lambda z, mu, log_var, eps: log_ratio(mu + 0 * eps, mu, log_var, eps),
    ),
    *(
        ratio(
            "underflow", DENSITY_FIRST, lambda z, mu, log_var, eps, small=small: densities_first(z, mu, log_var, small)
        )
        for small in (0.0, *(10.0**-k for k in range(4, 17)), 1e-20, 1e-30)
    ),
    *clamped(WIDTH_BOUNDED_TOO, kl_by_sampling),
    squeezed(kl_by_sampling),
    Mistake("own_noise", OWN_NOISE, lambda mu, log_var, eps: kl_by_sampling(mu, log_var, torch.randn_like(eps))),
    Mistake(
        "noise_averaged",
        "the noise is averaged before the densities are taken. The mean of a square is not the square of the mean: "
        "average the logarithms.",
        lambda mu, log_var, eps: kl_by_sampling(mu, log_var, eps.mean(0, keepdim=True)),
    ),
    *in_place(kl_by_sampling, 0, 1, 2),
)


# The distortion of a Gaussian decoder


def distortion_terms(x: Tensor, x_hat: Tensor, sigma: float) -> Tensor:
    return 0.5 * ((x - x_hat) / sigma) ** 2 + math.log(sigma) + 0.5 * LOG_2PI


def gaussian_distortion(x: Tensor, x_hat: Tensor, sigma: float) -> Tensor:
    """Sum over pixels of (x - x_hat)^2 / (2 sigma^2) + log sigma + log(2 pi) / 2."""
    return distortion_terms(x, x_hat, sigma).sum((1, 2, 3))


def distortion_cases(generator: torch.Generator) -> Iterator[Case]:
    pixel = (1, 1, 1, 1)
    yield case(numbers(1, shape=pixel), numbers(0, shape=pixel), 0.5, about="one pixel, off by 1")
    for shape, sigma, dtype in (
        ((1, 1, 1, 3), 2.0, torch.float64),
        ((3, 3, 2, 4), 0.3, torch.float64),
        ((2, 2, 5, 1), 1.5, torch.float64),
        ((3, 3, 3, 3), 1.0, torch.float64),
        ((4, 1, 8, 8), 0.25, torch.float32),
    ):
        yield case(*(torch.rand(shape, generator=generator, dtype=dtype) for _ in range(2)), sigma)
    x = torch.rand((2, 1, 2, 3), generator=generator, dtype=torch.float64)
    yield case(x, x.clone(), 0.1, about="a perfect reconstruction")
    near = x + 1e-5 * normal(generator, 2, 1, 2, 3)
    yield case(x, near, 1e-5, about="a decoder that is very sure: sigma = 0.00001")
    pixels = (1, 1, 1, 2)
    yield case(numbers(1, 0.5, shape=pixels), numbers(0, 0.5, shape=pixels), 0.01, about="off by a hundred sigmas")
    for shape in ((2, 1, 2, 3), (1, 2, 1, 2)):
        x, x_hat = (torch.rand(shape, generator=generator, dtype=torch.float64) for _ in range(2))
        about = "the gradient of the sum of all distortions with respect to x_hat"
        yield case(x, Leaf(x_hat), 0.4, kind="gradient", about=about)


def pixelwise(terms: Callable) -> Callable:
    """terms(squared error, sigma) of each pixel, summed over the pixels."""
    return lambda x, x_hat, sigma: terms((x - x_hat) ** 2, sigma).sum((1, 2, 3))


def off(name: str, diagnosis: str, terms: Callable) -> Mistake:
    return Mistake(name, diagnosis, pixelwise(terms))


def shaped(name: str, diagnosis: str, finish: Callable) -> Mistake:
    return Mistake(name, diagnosis, lambda x, x_hat, sigma: finish(distortion_terms(x, x_hat, sigma)))


def counting(count: Callable, log_sigma: Callable = math.log, log_2pi: Callable = math.log) -> Callable:
    """The scaled squared error, and count(x) times the constants of a pixel."""
    return lambda x, x_hat, sigma: (
        (0.5 * ((x - x_hat) / sigma) ** 2).sum((1, 2, 3)) + count(x) * (log_sigma(sigma) + 0.5 * log_2pi(2 * math.pi))
    )


def with_constants(errors: Callable) -> Callable:
    """errors(x - x_hat, sigma), and the constants of every pixel of an image."""
    return lambda x, x_hat, sigma: errors(x - x_hat, sigma) + x[0].numel() * (math.log(sigma) + 0.5 * LOG_2PI)


def once(constant: Callable) -> Callable:
    return lambda x, x_hat, sigma: (0.5 * ((x - x_hat) / sigma) ** 2).sum((1, 2, 3)) + constant(sigma)


def floored(smallest: float, add: bool) -> Callable:
    """The variance kept away from 0."""

    def terms(square: Tensor, sigma: float) -> Tensor:
        variance = sigma**2 + smallest if add else max(sigma**2, smallest)
        return 0.5 * (square / variance + math.log(variance) + LOG_2PI)

    return pixelwise(terms)


FLOORED = (
    "the variance is kept away from 0 (some loss functions of libraries do so unasked), so a decoder that is very sure "
    "is told another number than its own. Write the density out: nothing in it needs protection for sigma above 0."
)
UNDERFLOW = (
    "the density is computed first and its logarithm after. A density is rounded to 0 long before its logarithm is out "
    "of the ordinary, and log 0 is minus infinity: write the logarithm down directly."
)
DISTORTION_MISTAKES = (
    off(
        "constants_missing",
        "the constants are missing: log sigma and log(2 pi) / 2, for each pixel. They do not change the gradient while "
        "sigma stands still; but without them this is no code length, and no two sigmas can be compared.",
        lambda square, sigma: 0.5 * square / sigma**2,
    ),
    off(
        "log_2pi_missing",
        "log(2 pi) / 2 is missing, once for each pixel. Without it the density does not integrate to 1.",
        lambda square, sigma: 0.5 * square / sigma**2 + math.log(sigma),
    ),
    off(
        "log_sigma_missing",
        "log sigma is missing, once for each pixel: it is what stops the decoder from declaring an ever larger sigma.",
        lambda square, sigma: 0.5 * square / sigma**2 + 0.5 * LOG_2PI,
    ),
    Mistake(
        "constants_once",
        "the constants are added once for each image. Every pixel is a Gaussian of its own and brings its own.",
        once(lambda sigma: math.log(sigma) + 0.5 * LOG_2PI),
    ),
    Mistake(
        "constants_for_batch",
        "the constants are counted once for each pixel of the whole batch. Each image brings those of its own pixels "
        "and no other's.",
        counting(lambda x: x.numel()),
    ),
    Mistake(
        "constants_once",
        "the constants are counted once for each image of the batch. Each image brings those of its own pixels.",
        counting(len),
    ),
    Mistake(
        "constants_without_channels",
        "the constants are counted once for each place in the picture. Every channel has a pixel there, and each is a "
        "Gaussian of its own.",
        counting(lambda x: x.shape[2] * x.shape[3]),
    ),
    *(
        Mistake(
            "other_logarithm",
            "the constants are logarithms of another base than e, while the squared error is in nats.",
            counting(lambda x: x[0].numel(), *logarithms),
        )
        for logarithms in (
            (math.log10, math.log10),
            (math.log2, math.log2),
            (math.log10, math.log),
            (math.log2, math.log),
        )
    ),
    off(
        "log_variance_whole",
        "log sigma^2 stands without its half: it is twice log sigma.",
        lambda square, sigma: 0.5 * square / sigma**2 + 2 * math.log(sigma) + 0.5 * LOG_2PI,
    ),
    off(
        "half_on_square_only",
        "the half covers only the squared error: the constant of a Gaussian is log(2 pi sigma^2) / 2.",
        lambda square, sigma: 0.5 * square / sigma**2 + 2 * math.log(sigma) + LOG_2PI,
    ),
    off(
        "sigma_as_variance_in_log",
        "the constant is log(2 pi sigma^2) / 2; in this one sigma is not squared.",
        lambda square, sigma: 0.5 * square / sigma**2 + 0.5 * math.log(sigma) + 0.5 * LOG_2PI,
    ),
    off(
        "no_logarithm",
        "densities are added up. The distortion is -log of them: the pixels' densities multiply, their logarithms add.",
        lambda square, sigma: torch.exp(-0.5 * square / sigma**2 - math.log(sigma) - 0.5 * LOG_2PI),
    ),
    off(
        "log_2pi_whole",
        "log(2 pi) stands without its half: the constant is the logarithm of a root.",
        lambda square, sigma: 0.5 * square / sigma**2 + math.log(sigma) + LOG_2PI,
    ),
    off(
        "log_sigma_sign",
        "the sign of log sigma: a wider Gaussian is lower, so its -log is larger.",
        lambda square, sigma: 0.5 * square / sigma**2 - math.log(sigma) + 0.5 * LOG_2PI,
    ),
    off(
        "constants_sign",
        "both constants have the wrong sign: -log N is asked for, and the minus belongs to them too.",
        lambda square, sigma: 0.5 * square / sigma**2 - math.log(sigma) - 0.5 * LOG_2PI,
    ),
    off(
        "log_2pi_sign",
        "the sign of log(2 pi) / 2: -log N is asked for, and the constant is then added.",
        lambda square, sigma: 0.5 * square / sigma**2 + math.log(sigma) - 0.5 * LOG_2PI,
    ),
    off(
        "half_missing",
        "the squared error has lost its 1/2: the exponent of a Gaussian is (x - x_hat)^2 / (2 sigma^2).",
        lambda square, sigma: square / sigma**2 + math.log(sigma) + 0.5 * LOG_2PI,
    ),
    off(
        "half_doubled",
        "the squared error is halved once too often: the 2 got under the square with sigma, or a half stands before "
        "the bracket as well.",
        lambda square, sigma: square / (2 * sigma) ** 2 + math.log(sigma) + 0.5 * LOG_2PI,
    ),
    off(
        "sigma_not_squared",
        "the squared error is divided by sigma, not by its square.",
        lambda square, sigma: 0.5 * square / sigma + math.log(sigma) + 0.5 * LOG_2PI,
    ),
    off(
        "sigma_missing",
        "the squared error is not divided by sigma^2: this is right for sigma = 1 alone.",
        lambda square, sigma: 0.5 * square + math.log(sigma) + 0.5 * LOG_2PI,
    ),
    off(
        "sigma_missing",
        "sigma plays no part: this is right for sigma = 1 alone.",
        lambda square, sigma: 0.5 * square + 0.5 * LOG_2PI,
    ),
    off(
        "sigma_as_variance",
        "sigma is used as the variance throughout. It is the standard deviation; its square is the variance.",
        lambda square, sigma: 0.5 * (square / sigma + math.log(sigma) + LOG_2PI),
    ),
    off(
        "variance_as_deviation",
        "sigma is squared once too often: torch's Normal, and sigma itself, are standard deviations.",
        lambda square, sigma: 0.5 * square / sigma**4 + 2 * math.log(sigma) + 0.5 * LOG_2PI,
    ),
    off(
        "multiplied",
        "the squared error is multiplied by sigma^2. A surer decoder, with a smaller sigma, should mind errors more.",
        lambda square, sigma: 0.5 * square * sigma**2 + math.log(sigma) + 0.5 * LOG_2PI,
    ),
    off(
        "squared_error",
        "this is the bare squared error. To be a code length in nats it needs the scale 1 / (2 sigma^2) and two "
        "constants for each pixel.",
        lambda square, sigma: square,
    ),
    Mistake(
        "mean_squared_error",
        "this is the mean squared error: a mean over the pixels, without sigma and without constants.",
        lambda x, x_hat, sigma: ((x - x_hat) ** 2).mean((1, 2, 3)),
    ),
    Mistake(
        "mean_squared_error",
        "this is the mean squared error as torch gives it: one number for the batch, without sigma, without constants.",
        lambda x, x_hat, sigma: ((x - x_hat) ** 2).mean(),
    ),
    off(
        "not_squared",
        "the error is not squared: the exponent of a Gaussian holds the square of (x - x_hat) / sigma.",
        lambda square, sigma: 0.5 * square.sqrt() / sigma + math.log(sigma) + 0.5 * LOG_2PI,
    ),
    off(
        "not_squared",
        "sigma is squared, and the error is not: its absolute value stands where its square belongs.",
        lambda square, sigma: 0.5 * square.sqrt() / sigma**2 + math.log(sigma) + 0.5 * LOG_2PI,
    ),
    off(
        "not_squared",
        "the error is not squared, and the half is missing: this is the exponent of another distribution (Laplace's).",
        lambda square, sigma: square.sqrt() / sigma + math.log(sigma) + 0.5 * LOG_2PI,
    ),
    Mistake(
        "not_squared",
        "sigma is squared, and the error is not: errors of opposite sign cancel.",
        with_constants(lambda away, sigma: away.sum((1, 2, 3)) / (2 * sigma**2)),
    ),
    Mistake(
        "root_left",
        "a norm is the root of the sum of squares; the exponent holds the sum itself.",
        with_constants(lambda away, sigma: away.flatten(1).norm(dim=1) / (2 * sigma**2)),
    ),
    Mistake(
        "squared_after_sum",
        "the errors are added up before they are squared, so that those of opposite sign cancel: square each pixel's.",
        with_constants(lambda away, sigma: away.sum((1, 2, 3)) ** 2 / (2 * sigma**2)),
    ),
    shaped(
        "mean_over_pixels",
        "a mean over the pixels where a sum belongs. The pixels' densities multiply, so their logarithms add up; a "
        "mean silently multiplies beta by the number of pixels.",
        lambda terms: terms.mean((1, 2, 3)),
    ),
    Mistake(
        "mean_of_square_only",
        "the squared error is averaged over the pixels, while the constants are summed.",
        lambda x, x_hat, sigma: (
            (0.5 * ((x - x_hat) / sigma) ** 2).mean((1, 2, 3)) + x[0].numel() * (math.log(sigma) + 0.5 * LOG_2PI)
        ),
    ),
    Mistake(
        "mean_of_square_only",
        "the squared error is averaged, over the pixels and over the batch, while the constants are summed. One number "
        "an image is asked for.",
        with_constants(lambda away, sigma: (away**2).mean() / (2 * sigma**2)),
    ),
    Mistake(
        "sum_over_batch",
        "the squared errors of all images are added up, while the constants are those of one image: torch's reductions "
        "take in the batch as well.",
        with_constants(lambda away, sigma: (away**2).sum() / (2 * sigma**2)),
    ),
    shaped(
        "sum_over_batch",
        "the images of the batch are added up too: each has a distortion of its own.",
        lambda terms: terms.sum(),
    ),
    Mistake(
        "squared_error",
        "this is one number for the batch, the scaled squared error without constants. Each image has a distortion of "
        "its own, and every pixel brings log sigma and log(2 pi) / 2.",
        lambda x, x_hat, sigma: ((x - x_hat) ** 2).sum() / (2 * sigma**2),
    ),
    Mistake(
        "squared_error",
        "this is one number for the batch, the bare squared error. Each image has a distortion of its own, with the "
        "scale 1 / (2 sigma^2) and two constants for every pixel.",
        lambda x, x_hat, sigma: ((x - x_hat) ** 2).sum(),
    ),
    shaped(
        "mean_over_batch",
        "one number for the whole batch. Each image has a distortion of its own; averaging comes later, in the loss.",
        lambda terms: terms.sum((1, 2, 3)).mean(),
    ),
    shaped(
        "mean_over_all",
        "one number for the batch, and a mean over the pixels: a sum over the pixels of each image is asked for.",
        lambda terms: terms.mean(),
    ),
    shaped("pixels_left", "nothing is summed: this is the distortion of each pixel.", lambda terms: terms),
    shaped(
        "channels_left",
        "the channels are not summed over: the sum runs over the last two axes only.",
        lambda terms: terms.sum((2, 3)),
    ),
    shaped(
        "wrong_axes",
        "the sum runs over the last axis only: channels, rows and columns are to be added up.",
        lambda terms: terms.sum(3),
    ),
    shaped(
        "wrong_axes",
        "the sum runs over the batch, and leaves the pixels: axis 0 is the batch, and it stays.",
        lambda terms: terms.sum(0),
    ),
    shaped(
        "wrong_axes",
        "the sum runs over the channels only: rows and columns are to be added up too.",
        lambda terms: terms.sum(1),
    ),
    *(
        shaped(
            "negative_cut",
            "what is below 0 is cut off. A density, unlike a probability, may exceed 1, and its -log is then negative: "
            "a sure decoder that is right has a distortion below 0.",
            cut_off,
        )
        for cut_off in (
            lambda terms: terms.sum((1, 2, 3)).clamp(min=0),
            lambda terms: terms.clamp(min=0).sum((1, 2, 3)),
        )
    ),
    shaped(
        "absolute",
        "the size is returned, without its sign. A density, unlike a probability, may exceed 1, and its -log is then "
        "negative: a sure decoder that is right has a distortion below 0.",
        lambda terms: terms.sum((1, 2, 3)).abs(),
    ),
    squeezed(gaussian_distortion),
    divided(gaussian_distortion),
    shaped("first_channel", "only the first channel is counted.", lambda terms: terms[:, 0].sum((1, 2))),
    shaped(
        "axes_kept",
        "the sum has left its axes behind, with length one: [batch] is asked for.",
        lambda terms: terms.sum((1, 2, 3), keepdim=True),
    ),
    shaped(
        "sign_flipped",
        "the sign: this is log N, the log-likelihood. The distortion is what it costs, -log N.",
        lambda terms: -terms.sum((1, 2, 3)),
    ),
    shaped(
        "bits",
        "these are bits. The contract asks for nats: natural logarithms.",
        lambda terms: terms.sum((1, 2, 3)) / math.log(2),
    ),
    *(Mistake("variance_floored", FLOORED, floored(10.0**-k, add)) for k in range(4, 10) for add in (False, True)),
    Mistake("underflow", UNDERFLOW, lambda x, x_hat, sigma: -gaussian_distortion(x, x_hat, sigma).neg().exp().log()),
    shaped("underflow", UNDERFLOW, lambda terms: -terms.neg().exp().log().sum((1, 2, 3))),
    Mistake("detached", DETACHED.replace("encoder", "decoder"), no_grad(gaussian_distortion)),
    Mistake(
        "detached",
        DETACHED.replace("encoder", "decoder"),
        lambda x, x_hat, sigma: gaussian_distortion(x, torch.from_numpy(x_hat.numpy()), sigma),
    ),
    *in_place(gaussian_distortion, 0, 1),
)


# Which beta is it really?


def factor(reduction: str, count: int) -> float:
    """What a reduction multiplies each of `count` numbers by."""
    if reduction not in ("sum", "mean"):
        raise ValueError(f"a reduction is 'sum' or 'mean', not {reduction!r}")
    return 1.0 if reduction == "sum" else 1.0 / count


def implied_beta(
    kl_weight: float, sigma: float, error_reduction: str, kl_reduction: str, batch: int, pixels: int, code: int
) -> float:
    """kl_weight K / (2 sigma^2 E): E and K are what the reductions multiply every error and every KL by."""
    of_errors, of_kls = factor(error_reduction, batch * pixels), factor(kl_reduction, batch * code)
    return kl_weight * of_kls / (2 * sigma**2 * of_errors)


def beta_cases(generator: torch.Generator) -> Iterator[Case]:
    yield case(
        1.0, 1.0, "sum", "sum", 1, 1, 1, about="one image of one pixel, one dimension: nothing but the missing 1/2"
    )
    yield case(3.0, 1.0, "sum", "sum", 1, 1, 1)
    yield case(1.0, 2.0, "sum", "sum", 1, 1, 1)
    yield case(1.0, 1.0, "sum", "sum", 10, 64, 8, about="sums over everything, the batch included")
    yield case(1.0, 1.0, "mean", "mean", 1, 64, 1)
    yield case(1.0, 1.0, "mean", "mean", 10, 64, 8, about="means over everything, the batch included")
    yield case(1.0, 1.0, "mean", "sum", 10, 64, 8)
    yield case(1.0, 1.0, "sum", "mean", 10, 64, 8)
    for kinds in (("mean", "mean"), ("mean", "sum"), ("sum", "mean"), ("sum", "sum")):
        weight, sigma = (0.1 + torch.rand(2, generator=generator, dtype=torch.float64)).tolist()
        sizes = [2 + int(torch.randint(500, (), generator=generator)) for _ in range(3)]
        yield case(round(weight, 3), round(sigma, 3), *kinds, *sizes)
    for kinds in (("batchmean", "sum"), ("sum", "none")):
        yield case(1.0, 1.0, *kinds, 10, 64, 8, about="neither sum nor mean")


def counted(error: Callable, kl: Callable, scale: Callable = lambda sigma: 2 * sigma**2) -> Callable:
    """kl_weight K / (scale E), with E and K out of the counts that error(batch, pixels), kl(batch, code) give."""

    def answer(
        kl_weight: float, sigma: float, error_reduction: str, kl_reduction: str, batch: int, pixels: int, code: int
    ) -> float:
        of_errors, of_kls = (
            factor(error_reduction, error(batch, pixels)),
            factor(kl_reduction, kl(batch, code)),
        )
        return kl_weight * of_kls / (scale(sigma) * of_errors)

    return answer


def product(batch: int, n: int) -> int:
    return batch * n


def alone(batch: int, n: int) -> int:
    return n


def once_an_image(batch: int, n: int) -> int:
    return batch


def batch_once(kl_weight, sigma, error_reduction, kl_reduction, batch, pixels, code):
    """The batch cancelled where both are means, and counted where both are sums as well."""
    value = implied_beta(kl_weight, sigma, error_reduction, kl_reduction, 1, pixels, code)
    return value * batch


def other_reductions(kl_weight, sigma, error_reduction, kl_reduction, batch, pixels, code):
    swap = {"sum": "mean", "mean": "sum"}
    factor(error_reduction, 1), factor(kl_reduction, 1)
    return implied_beta(kl_weight, sigma, swap[error_reduction], swap[kl_reduction], batch, pixels, code)


def unguarded(kl_weight, sigma, error_reduction, kl_reduction, batch, pixels, code):
    reductions = (name if name in ("sum", "mean") else "sum" for name in (error_reduction, kl_reduction))
    return implied_beta(kl_weight, sigma, *reductions, batch, pixels, code)


def unguarded_as_mean(kl_weight, sigma, error_reduction, kl_reduction, batch, pixels, code):
    reductions = (name if name in ("sum", "mean") else "mean" for name in (error_reduction, kl_reduction))
    return implied_beta(kl_weight, sigma, *reductions, batch, pixels, code)


def raising(exception: type[Exception]) -> Callable:
    """The right numbers, and another exception for an unknown reduction."""

    def answer(*given: Any) -> float:
        try:
            return implied_beta(*given)
        except ValueError:
            raise exception("unknown") from None

    return answer


def scaled(name: str, diagnosis: str, scale: Callable) -> Mistake:
    return Mistake(name, diagnosis, counted(product, product, scale))


BATCH_IGNORED = (
    "the size of the batch is left out. A sum over everything grows with the batch and a mean does not: where one term "
    "is a sum and the other a mean, whichever is which, the batch does not cancel, and beta depends on it."
)
OTHER_EXCEPTION = (
    'the numbers are right, and a reduction that is neither "sum" nor "mean" does raise an exception, though another '
    "than the contract's: a ValueError, which says that a value is not one of those it may be. Check the words first."
)
UNGUARDED = (
    'the numbers are right, and a reduction that is neither "sum" nor "mean" goes through unnoticed. The contract asks '
    "for a ValueError: an unknown word taken for a known one is how such factors slip in."
)
BETA_MISTAKES = (
    scaled(
        "half_missing",
        "beta is twice too large: the program's squared error has no 1/2, and the Gaussian's has one. How much of the "
        "distortion is one unit of squared error?",
        lambda sigma: sigma**2,
    ),
    scaled(
        "half_on_wrong_side",
        "beta is four times too large: the 2 is there, on the wrong side.",
        lambda sigma: sigma**2 / 2,
    ),
    *(
        scaled(
            "constant_in_scale",
            "the normalising constant of the Gaussian got into the factor. Its logarithm is an added constant, which "
            "no gradient sees; only what stands before the square counts.",
            scale,
        )
        for scale in (
            lambda sigma: 2 * math.pi * sigma**2,
            lambda sigma: math.sqrt(2 * math.pi) * sigma,
            lambda sigma: 2 * sigma**2 * math.sqrt(2 * math.pi) * sigma,
        )
    ),
    scaled(
        "two_squared",
        "beta is half of what it should be: the 2 got under the square with sigma, or a half was counted twice.",
        lambda sigma: (2 * sigma) ** 2,
    ),
    scaled(
        "sigma_not_squared",
        "sigma enters without its square: the Gaussian's exponent is (x - x_hat)^2 / (2 sigma^2).",
        lambda sigma: 2 * sigma,
    ),
    scaled(
        "sigma_squared_twice",
        "sigma is squared once too often: it is the standard deviation, and its square, the variance, stands in the "
        "Gaussian's exponent.",
        lambda sigma: 2 * sigma**4,
    ),
    scaled(
        "sigma_missing", "sigma plays no part. The smaller it is, the dearer each squared error.", lambda sigma: 2.0
    ),
    scaled(
        "sigma_missing",
        "neither sigma nor the missing 1/2 plays a part: bare squared errors are held against nats.",
        lambda sigma: 1.0,
    ),
    scaled(
        "multiplied_by_variance",
        "2 sigma^2 stands on the wrong side. A decoder with a small sigma makes each error dear; a program that writes "
        "the bare squared error undervalues it, so its KL weighs the more.",
        lambda sigma: 1 / (2 * sigma**2),
    ),
    scaled(
        "multiplied_by_variance",
        "sigma^2 stands on the wrong side. A decoder with a small sigma makes each error dear; a program that writes "
        "the bare squared error undervalues it, so its KL weighs the more.",
        lambda sigma: 2 / sigma**2,
    ),
    Mistake(
        "mean_over_batch_only",
        "a mean is taken to divide by the batch alone, as if each image's errors and KLs had been added up before. A "
        "mean over all entries divides by the pixels too, or by the dimensions of the code.",
        counted(once_an_image, once_an_image),
    ),
    Mistake("batch_ignored", BATCH_IGNORED, counted(alone, alone)),
    Mistake(
        "batch_inverted",
        "the batch stands on the wrong side: a mean divides by the number of all entries, the batch times what one "
        "image has.",
        counted(lambda batch, n: n / batch, lambda batch, n: n / batch),
    ),
    Mistake(
        "batch_always_counted",
        "the batch is counted even where both terms are sums, or both means. Both then carry the same factor, and beta "
        "is a ratio: it cancels.",
        batch_once,
    ),
    Mistake(
        "batch_in_errors_only",
        "the batch is counted in the squared error and not in the KL: a reduction over everything takes in the batch "
        "in both.",
        counted(product, alone),
    ),
    Mistake(
        "batch_in_kl_only",
        "the batch is counted in the KL and not in the squared error: a reduction over everything takes in the batch "
        "in both.",
        counted(alone, product),
    ),
    Mistake(
        "error_mean_ignored",
        "the mean over the squared errors is treated as a sum. A mean shrinks them by their number, and the KL gains "
        "by it.",
        counted(lambda batch, n: 1, product),
    ),
    Mistake(
        "error_mean_ignored",
        "the mean over the squared errors is treated as a sum, and the batch is left out of the other.",
        counted(lambda batch, n: 1, alone),
    ),
    Mistake(
        "kl_mean_ignored",
        "the mean over the KLs is treated as a sum. A mean shrinks them by their number, the batch times the "
        "dimensions of the code.",
        counted(product, lambda batch, n: 1),
    ),
    Mistake(
        "kl_mean_ignored",
        "only the pixels count: the mean over the KLs is treated as a sum, and the batch is left out of the other.",
        counted(alone, lambda batch, n: 1),
    ),
    Mistake(
        "pixels_ignored",
        "the number of pixels plays no part. A mean over the pixels shrinks the squared error by that factor, and the "
        "KL gains by it.",
        counted(once_an_image, product),
    ),
    Mistake(
        "code_ignored",
        "the dimensions of the code play no part. A mean over them shrinks the KL by that factor.",
        counted(product, once_an_image),
    ),
    Mistake(
        "means_ignored",
        "the reductions play no part: everything is treated as a sum.",
        counted(lambda batch, n: 1, lambda batch, n: 1),
    ),
    Mistake(
        "always_means",
        "the reductions play no part: everything is treated as a mean.",
        lambda kl_weight, sigma, error_reduction, kl_reduction, *sizes: (
            implied_beta(kl_weight, sigma, "mean", "mean", *sizes)
            * factor(error_reduction, 1)
            * factor(kl_reduction, 1)
        ),
    ),
    Mistake(
        "roles_exchanged",
        "the two reductions are exchanged: that of the squared error is applied to the KL, and the other way round.",
        lambda kl_weight, sigma, error_reduction, kl_reduction, *sizes: implied_beta(
            kl_weight, sigma, kl_reduction, error_reduction, *sizes
        ),
    ),
    Mistake(
        "counts_exchanged",
        "pixels and dimensions of the code are exchanged: the squared error is a mean over pixels, the KL over the "
        "code.",
        lambda kl_weight, sigma, error_reduction, kl_reduction, batch, pixels, code: implied_beta(
            kl_weight, sigma, error_reduction, kl_reduction, batch, code, pixels
        ),
    ),
    Mistake(
        "pixels_inverted",
        "the factor of the squared error is upside down, and the batch is left out: a smaller squared error term makes "
        "the KL weigh more, not less.",
        counted(lambda batch, n: 1 / n, alone),
    ),
    Mistake(
        "pixels_inverted",
        "the factor of the squared error is upside down: a smaller squared error term makes the KL weigh more, not "
        "less.",
        counted(lambda batch, n: 1 / (batch * n), product),
    ),
    Mistake(
        "code_inverted",
        "the factor of the KL is upside down: a mean over the dimensions of the code makes the KL weigh less.",
        counted(product, lambda batch, n: 1 / (batch * n)),
    ),
    *(
        Mistake(
            "code_inverted",
            "the dimensions of the code stand on the wrong side: a mean over them makes the KL weigh less.",
            counted(*counts),
        )
        for counts in ((product, lambda batch, n: batch / n), (alone, lambda batch, n: 1 / n))
    ),
    Mistake(
        "means_inverted",
        "both factors are upside down: a mean makes its term smaller, by the number of things that it is a mean of.",
        counted(lambda batch, n: 1 / (batch * n), lambda batch, n: 1 / (batch * n)),
    ),
    Mistake(
        "sum_and_mean_exchanged",
        "sum and mean are exchanged: where a sum is taken, the number is divided.",
        other_reductions,
    ),
    Mistake(
        "inverse",
        "this is 1 / beta. Beta stands in front of the rate, once the distortion's own factor is 1.",
        lambda *given: 1 / implied_beta(*given),
    ),
    Mistake(
        "weight_inverted",
        "the weight of the KL stands below the line: a larger weight is a larger beta.",
        lambda kl_weight, *rest: implied_beta(1.0, *rest) / kl_weight,
    ),
    Mistake("weight_missing", "the weight of the KL plays no part.", lambda kl_weight, *rest: implied_beta(1.0, *rest)),
    Mistake(
        "weight_itself",
        "this is the program's own weight. It would be beta only if the rest of the loss were the distortion in nats.",
        lambda kl_weight, sigma, error_reduction, kl_reduction, *sizes: (
            kl_weight * factor(error_reduction, 1) * factor(kl_reduction, 1)
        ),
    ),
    Mistake("unknown_accepted", UNGUARDED, unguarded),
    Mistake("unknown_accepted", UNGUARDED, unguarded_as_mean),
    *(
        Mistake("other_exception", OTHER_EXCEPTION, raising(exception))
        for exception in (KeyError, AssertionError, UnboundLocalError, AttributeError, TypeError, Exception)
    ),
)


TASKS = (
    Task(
        id="03.reparameterise",
        title="A sample that gradients can pass through",
        points=1,
        difficulty=1,
        minutes=5,
        cases=reparameterise_cases,
        reference=reparameterise,
        mistakes=REPARAMETERISE_MISTAKES,
        compare=judged("mu", "log_var"),
        hints=(
            "Take a standard normal number. What do you do to it to make its standard deviation 2? And its mean 5?",
            "z = mu + sigma * eps, with sigma = exp(log_var / 2), since log_var = log(sigma^2) = 2 log(sigma).",
            "sigma = torch.exp(...)\nreturn ... + ... * eps",
        ),
    ),
    Task(
        id="03.score_gradient",
        title="The gradient that asks only for f(z)",
        points=3,
        difficulty=3,
        minutes=15,
        cases=score_cases,
        reference=score_gradient,
        mistakes=SCORE_MISTAKES,
        compare=compare_pairs,
        hints=(
            "Write log q(z) of one dimension as a function of mu and log_var. Three terms; which of them hold mu, and "
            "which log_var?",
            "log q = -(z - mu)^2 exp(-log_var) / 2 - log_var / 2 - log(2 pi) / 2. So d/dmu = (z - mu) / var, and "
            "d/dlog_var = ((z - mu)^2 / var - 1) / 2. Each is weighted by its sample's f(z).",
            "var = torch.exp(log_var)\nweight = f_z[:, None]  # [samples, 1]\n"
            "return weight * ..., weight * 0.5 * (... - 1)",
        ),
    ),
    Task(
        id="03.kl_to_prior",
        title="What a code costs, exactly",
        points=1,
        difficulty=1,
        minutes=10,
        cases=kl_cases,
        reference=kl_to_prior,
        mistakes=KL_MISTAKES,
        compare=judged("mu", "log_var"),
        hints=(
            "E log q and E log p, both under q, are known: what is E (z - mu)^2 under q, and what is E z^2?",
            "KL = sum over the code of (mu^2 + var - 1 - log var) / 2. Where q is the prior it is 0: a quick test.",
            "terms = mu**2 + ... - 1 - ...\nreturn 0.5 * terms.sum(dim=...)",
        ),
    ),
    Task(
        id="03.kl_by_sampling",
        title="What a code costs, by trying",
        points=2,
        difficulty=2,
        minutes=10,
        cases=sampling_cases,
        reference=kl_by_sampling,
        mistakes=SAMPLING_MISTAKES,
        compare=judged(),
        hints=(
            "You have a function that makes samples of q from eps. What are log q and log p at such a sample?",
            "z = mu + sigma eps. log q(z) - log p(z) = sum over the code of (z^2 - eps^2 - log_var) / 2, since "
            "(z - mu) / sigma = eps and the log(2 pi) cancel. Then the mean over the samples, axis 0.",
            "z = reparameterise(...)  # [samples, batch, code]\n"
            "log_q = -0.5 * (... + ...)\nlog_p = -0.5 * ...\nreturn (log_q - log_p).sum(dim=...).mean(dim=...)",
        ),
    ),
    Task(
        id="03.gaussian_distortion",
        title="What is left to say",
        points=2,
        difficulty=2,
        minutes=10,
        cases=distortion_cases,
        reference=gaussian_distortion,
        mistakes=DISTORTION_MISTAKES,
        compare=judged("x_hat"),
        hints=(
            "Write down the density of a single pixel and take -log of it. Three terms; how many pixels bring each?",
            "-log N = sum over channels and pixels of (x - x_hat)^2 / (2 sigma^2) + log sigma + log(2 pi) / 2.",
            "per_pixel = (x - x_hat) ** 2 / ... + math.log(...) + ...\nreturn per_pixel.sum(dim=...)",
        ),
    ),
    Task(
        id="03.implied_beta",
        title="Which beta is it really?",
        points=3,
        difficulty=3,
        minutes=15,
        cases=beta_cases,
        reference=implied_beta,
        mistakes=BETA_MISTAKES,
        hints=(
            "Write the loss for one batch as (a factor) * (the batch mean of the distortion) + (a factor) * (the batch "
            "mean of the rate) + a constant. Divide so that the first factor is 1; what stands in front of the rate?",
            "The mean distortion is, up to a constant, the sum of all squared errors over 2 sigma^2 batch; the mean "
            "rate is the sum of all KLs over batch. The loss is E * (all errors) + kl_weight K * (all KLs), where E is "
            "1 for a sum and 1 / (batch pixels) for a mean, and K is 1 or 1 / (batch code). So beta = kl_weight K / "
            "(2 sigma^2 E).",
            'if ... not in (...):\n    raise ValueError(...)\nof_errors = 1 if error_reduction == "sum" else ...\n'
            "of_kls = ...\nreturn kl_weight * ... / ...",
        ),
    ),
)
