"""Exercise 04: the ELBO in a world of tables, in both its arrangements, and what its gap is made of."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from course_lib.grading.comparing import compare, difference
from course_lib.grading.task import Case, Mistake, Task, case

SOLUTION = "solutions/04_elbo_two_ways, under the same heading."
INF = math.inf
SINGLE, DOUBLE = 1e-4, 1e-6
"""Tolerances: the latter lets a constant of single precision, log K say, pass in an answer of double precision."""

CUTS = (
    *(10.0, 20.0, 50.0, 100.0, 200.0, 300.0, 500.0, 700.0, 708.0, 999.0, 1000.0, 2000.0, 5000.0, 9999.0),
    *(10.0**k for k in (4, 5, 6, 7, 8, 9, 10, 12, 15, 20, 30, 38, 99, 100, 300)),
    *(torch.finfo(dtype).max for dtype in (torch.float32, torch.float64)),
)
"""Where people cut logarithms off, with a minus: what they take for infinitely much."""
TINY = tuple(
    10.0**-k
    for k in (*range(4, 21), 24, 25, 30, 32, 35, 36, 37, 38, 40, 45, 50, 60, 80, 99, 100, 200)
    + (*range(299, 309), 310, 320, 323)
)
"""What people add lest a logarithm become infinite, down to the smallest that a double holds."""

Table = Callable[[Tensor, Tensor, Tensor], Any]


# Comparing, and the tables of the cases


@dataclass(frozen=True)
class OneOf:
    """What a mistake that draws may answer: for each image any of its column in `choices`, [choices, states]."""

    choices: Tensor

    def holds(self, output: Any) -> bool:
        if isinstance(output, OneOf):
            return True
        if not isinstance(output, Tensor) or output.shape != self.choices.shape[1:]:
            return False
        tolerance = SINGLE if torch.float32 in (output.dtype, self.choices.dtype) else DOUBLE
        return bool(torch.isclose(output.double(), self.choices.double(), tolerance, tolerance).any(0).all())


def near(*names: str) -> Callable[[Case, Any, Any], str | None]:
    """A comparison in any float dtype, zero within rounding; `names` are those of several values."""

    def differ(case: Case, output: Any, expected: Any) -> str | None:
        if isinstance(expected, OneOf):
            return None if expected.holds(output) else "none of these"
        if not isinstance(expected, tuple):
            return one_differs(case, output, expected)
        if not isinstance(output, (tuple, list)) or len(output) != len(expected):
            return compare(case, output, expected)
        said = [one_differs(case, got, want) for got, want in zip(output, expected, strict=True)]
        return next((f"{name}: {text}" for name, text in zip(names, said, strict=True) if text), None)

    return differ


def one_differs(case: Case, output: Any, expected: Tensor) -> str | None:
    """What differs, each number held to its own size: a mean size would make all alike beside a huge one."""
    if expected.dim() == 0 and isinstance(output, float):
        output = expected.new_tensor(output)
    if (
        not isinstance(output, Tensor)
        or output.dtype not in (torch.float32, torch.float64)
        or output.shape != expected.shape
    ):
        return compare(case, output, expected)
    tolerance = SINGLE if torch.float32 in (output.dtype, expected.dtype) else DOUBLE
    got, want = output.detach().double(), expected.double()
    if torch.allclose(got, want, rtol=tolerance, atol=tolerance, equal_nan=True):
        return None
    return difference(got, want)


def doubles(values: Any) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def logs(values: Any) -> Tensor:
    return doubles(values).log()


def distributions(generator: torch.Generator, *shape: int) -> Tensor:
    """Rows of probabilities, none of them close to another."""
    return (1.5 * torch.randn(shape, generator=generator, dtype=torch.float64)).softmax(-1)


def likelihoods(generator: torch.Generator, codes: int, states: int, scale: float = 1.5) -> Tensor:
    """Logarithms of p(x|z), for some of all x."""
    return -4 - scale * torch.randn((codes, states), generator=generator, dtype=torch.float64).abs()


def with_zeros(q: Tensor) -> Tensor:
    """Rows of q in which one code after another has probability 0."""
    q = q.clone()
    q[range(len(q)), [i % q.shape[1] for i in range(len(q))]] = 0
    return q / q.sum(1, keepdim=True)


# What all of them are made of


def under(q: Tensor, values: Tensor) -> Tensor:
    """sum_z q(z) values(z), where what q gives nothing counts nothing."""
    return torch.where(q > 0, q * values, 0.0).sum(-1)


def bounded(log_joint: Tensor, q: Tensor) -> Tensor:
    """sum_z q(z) (log p(x, z) - log q(z)) over the last axis."""
    return under(q, log_joint - q.log())


def evidence(log_prior: Tensor, log_likelihood: Tensor) -> Tensor:
    return (log_prior + log_likelihood.T).logsumexp(1)


BITS = "these are bits. The contract asks for nats: natural logarithms."
ZERO_LOG_ZERO = (
    "0 log 0 is computed as 0 times minus infinity, which is NaN. A code that q gives no probability takes no part in "
    "the mean: decide where q is 0 before that product is formed, and let those codes count 0."
)
NO_NUMBERS = (
    "infinities are replaced by large numbers along with the NaN. They are true here: q puts probability on a code "
    "that cannot produce the image. Only the codes with q = 0 need care."
)
ADDED = (
    "a small number is added to a probability before its log (or the probability is kept from falling below it). That "
    "shifts every value a little. Nothing has to be added: what has probability 0 counts 0, and all else has a log."
)
Q_KEPT_FROM_ZERO = (
    "q is kept away from 0, so a code that q excludes takes part after all. Where that code cannot produce the image, "
    "even a little of it costs infinitely much. What has probability 0 is to count 0."
)
NOT_TRANSPOSED = (
    "the table of likelihoods is read the wrong way round. It is [codes, states], and what belongs to an image is one "
    "column of it; q has an image in each row. Where there are as many codes as states, nothing complains."
)
PRIOR_ALONG_STATES = (
    "the prior is added along the wrong axis. log_likelihood is [codes, states], and a vector that is added to it "
    "without further ado runs along the last axis, the states. Where there are as many of each, nothing complains."
)
MEAN_OVER_CODES = (
    "a mean over the codes where a sum belongs. The probabilities q(z|x) are the weights of the mean already; another "
    "division by the number of codes is one too many."
)
CUT = (
    "logarithms are cut off at a large negative number. What lies below is then no longer what it was, and minus "
    "infinity, which is true where a code cannot produce an image, is no longer infinite. Nothing has to be cut: what "
    "has probability 0 is to count 0, and all else can stay as it is."
)
NAN_HIDDEN = (
    "0 log 0 has made a sum NaN, and the finished sum is replaced. With it everything else in that sum is lost. Decide "
    "for each code before you sum: what has probability 0 counts 0."
)
ONE_CODE = (
    "the value of a single code stands where the mean belongs: a code that is drawn, or picked. With finitely many "
    "codes the mean under q can be had exactly, as a sum with the weights q(z|x)."
)
EVIDENCE_OVER_IMAGES = (
    "log p(x) is summed along the wrong axis: over the images, with one number left for each code. p(x) is a sum over "
    "the codes, one for each image."
)
EVIDENCE_WITHOUT_PRIOR = (
    "log p(x) is the log of the sum of p(x|z), and the prior is missing from it: p(x) = sum_z p(z) p(x|z)."
)
EVIDENCE_OF_THE_BEST = (
    "the largest log p(x, z) stands where log p(x) belongs. p(x) is the sum over all codes: the others count too."
)
ONE_NUMBER = "the images are put together into one number. Each image has a value of its own: [states]."


# The posterior


def posterior(log_prior: Tensor, log_likelihood: Tensor) -> Tensor:
    """p(z|x) = p(z) p(x|z) / p(x), rows over the codes."""
    return (log_prior + log_likelihood.T).softmax(1)


def posterior_cases(generator: torch.Generator) -> Iterator[Case]:
    likely = "prior 0.7 and 0.3; the codes give the image 0.1 and 0.5"
    yield case(logs([0.7, 0.3]), logs([[0.1], [0.5]]), about=likely)
    both = "prior 0.7 and 0.3; of two images the first code gives 0.1 and 0.4, the second 0.5 and 0.2"
    yield case(logs([0.7, 0.3]), logs([[0.1, 0.4], [0.5, 0.2]]), about=both)
    for codes, states in ((3, 3), (4, 2), (1, 2), (3, 5)):
        yield case(distributions(generator, codes).log(), likelihoods(generator, codes, states))
    yield case(distributions(generator, 3).log().float(), likelihoods(generator, 3, 4).float(), about="in float32")
    far = doubles([[-2000.0, -3001.0], [-2001.0, -3000.0]])
    yield case(logs([0.5, 0.5]), far, about="log-likelihoods of whole images")
    apart = doubles([[-10.0, -2000.0], [-11.0, -2001.0], [-13.0, -2002.0]])
    yield case(logs([0.5, 0.3, 0.2]), apart, about="one image is much more probable than the other")
    rare = doubles([-2000.0, 0.0])
    yield case(rare, doubles([[-5.0], [-2003.0]]), about="a code of prior exp(-2000), and an image only it explains")
    yield case(logs([0.5, 0.3, 0.2]), logs([[0.3, 0.0], [0.0, 0.2], [0.1, 0.4]]), about="some images are impossible")
    yield case(logs([0.5, 0.5]), doubles([[-6000.0], [-6001.0]]), about="a larger image")
    yield case(logs([0.5, 0.5]), doubles([[-720.0, -800.0], [-721.0, -801.0]]), about="smaller ones")
    yield case(logs([0.5, 0.3, 0.2]), doubles([[-20000.0], [-20001.0], [-INF]]), about="one code cannot produce it")


def exponentials(eps: float = 0.0, shift: Callable[[Tensor], Any] = lambda joint: 0.0) -> Callable:
    """p(z|x) by way of the probabilities themselves, after a shift, with a little something in the denominator."""

    def answer(log_prior: Tensor, log_likelihood: Tensor) -> Tensor:
        joint = log_prior + log_likelihood.T
        joint = (joint - shift(joint)).exp()
        return joint / (joint.sum(1, keepdim=True) + eps)

    return answer


def from_clamped(smallest: float) -> Callable:
    def answer(log_prior: Tensor, log_likelihood: Tensor) -> Tensor:
        joint = (log_prior + log_likelihood.T).exp().clamp(min=smallest)
        return joint / joint.sum(1, keepdim=True)

    return answer


def nan_replaced(by: Callable[[Tensor], Any]) -> Callable:
    """Bayes' rule by way of the probabilities, and by(log_prior) where 0 / 0 has made a NaN of it."""

    def answer(log_prior: Tensor, log_likelihood: Tensor) -> Tensor:
        p = exponentials()(log_prior, log_likelihood)
        return torch.where(p.isnan(), torch.as_tensor(by(log_prior), dtype=p.dtype), p)

    return answer


def per_code_first(normalise: Callable[[Tensor], Tensor]) -> Callable:
    """Bayes' rule with a likelihood that has been made to sum to 1 over the images."""
    return lambda log_prior, ll: (log_prior + normalise(ll).T).softmax(1)


def cut_at(smallest: float) -> Callable[[Tensor], Tensor]:
    return lambda logarithms: logarithms.clamp(min=-smallest)


def infinite_at(smallest: float) -> Callable[[Tensor], Tensor]:
    return lambda logarithms: logarithms.nan_to_num(neginf=-smallest)


def cut_joint(cut: Callable[[Tensor], Tensor]) -> Callable:
    return lambda log_prior, ll: cut(log_prior + ll.T).softmax(1)


def cut_likelihood(cut: Callable[[Tensor], Tensor]) -> Callable:
    return lambda log_prior, ll: (log_prior + cut(ll.T)).softmax(1)


def from_likelihoods_first(log_prior: Tensor, log_likelihood: Tensor) -> Tensor:
    joint = log_prior.exp() * log_likelihood.T.softmax(1)
    return joint / joint.sum(1, keepdim=True)


UNDERFLOW = (
    "exp(-2000) is exactly 0 on a computer, and 0 / 0 is NaN. The images are that improbable, and yet their posterior "
    "is an ordinary one: it depends on differences of logarithms alone. What may be taken from all the logarithms of "
    "one image without changing its posterior?"
)
KEPT_FROM_ZERO = (
    "probabilities, or their logarithms, are kept from falling below some number. All codes of an improbable image are "
    "at that number, and come out equally probable; and beside them a code that is impossible comes out possible. Stay "
    "in logarithms, and nothing has to be kept from anything: the exponential of minus infinity is 0."
)
POSTERIOR_MISTAKES = (
    Mistake(
        "prior_twice",
        "the prior is counted twice. It belongs in once, beside the likelihood.",
        lambda log_prior, ll: (2 * log_prior + ll.T).softmax(1),
    ),
    Mistake(
        "prior_forgotten",
        "the prior is not in it: this is the likelihood, normalised over the codes. By Bayes' rule p(z|x) is "
        "proportional to p(z) p(x|z).",
        lambda log_prior, ll: ll.T.softmax(1),
    ),
    Mistake(
        "likelihood_forgotten",
        "this is the prior for every image: the image itself is not in it.",
        lambda log_prior, ll: log_prior.softmax(0).expand(ll.shape[1], -1),
    ),
    Mistake(
        "normalised_over_states",
        "normalised over the images: each code's values sum to 1. The posterior is a distribution over the codes, one "
        "for each image, so for each image the codes sum to 1.",
        lambda log_prior, ll: (log_prior + ll.T).softmax(0),
    ),
    Mistake(
        "normalised_over_all",
        "the whole table sums to 1. The posterior is a distribution over the codes for each image on its own.",
        lambda log_prior, ll: (log_prior + ll.T).flatten().softmax(0).view(ll.T.shape),
    ),
    Mistake(
        "transposed",
        "the numbers are right and laid out as [codes, states]. The contract asks for [states, codes]: an image in "
        "each row, as in the q of an encoder.",
        lambda log_prior, ll: posterior(log_prior, ll).T,
    ),
    Mistake(
        "wrong_way_round",
        "normalised over the images, and laid out as [codes, states]. In a table [codes, states] the codes lie along "
        "the first axis.",
        lambda log_prior, ll: (log_prior + ll.T).softmax(0).T,
    ),
    Mistake(
        "prior_along_states",
        PRIOR_ALONG_STATES,
        lambda log_prior, ll: (log_prior + ll).softmax(0).T,
    ),
    Mistake(
        "prior_along_states",
        PRIOR_ALONG_STATES + " And the rows of the answer are to be the images.",
        lambda log_prior, ll: (log_prior + ll).softmax(0),
    ),
    Mistake(
        "not_transposed",
        NOT_TRANSPOSED,
        lambda log_prior, ll: (log_prior + ll).softmax(1),
    ),
    Mistake(
        "prior_not_in_the_sum",
        "the rows do not sum to 1: the likelihood is normalised first, and the prior multiplied afterwards. Both "
        "belong into what is normalised.",
        lambda log_prior, ll: log_prior.exp() * ll.T.softmax(1),
    ),
    Mistake(
        "joint",
        "this is p(x, z) = p(z) p(x|z), not yet divided by p(x), its sum over the codes.",
        lambda log_prior, ll: (log_prior + ll.T).exp(),
    ),
    Mistake(
        "log_joint",
        "this is log p(z) + log p(x|z): neither normalised, nor a probability yet.",
        lambda log_prior, ll: log_prior + ll.T,
    ),
    Mistake(
        "log_posterior",
        "this is log p(z|x). The contract asks for the probabilities.",
        lambda log_prior, ll: (log_prior + ll.T).log_softmax(1),
    ),
    Mistake(
        "prior_as_logarithm",
        "log p(z) is used where p(z) belongs: a logarithm multiplies the likelihood. Logarithms are added to "
        "logarithms.",
        lambda log_prior, ll: log_prior * ll.exp().T / (log_prior * ll.exp().T).sum(1, keepdim=True),
    ),
    Mistake(
        "logarithms_normalised",
        "the logarithms themselves are divided by their sum. It is the probabilities, their exponentials, that are to "
        "sum to 1.",
        lambda log_prior, ll: (log_prior + ll.T) / (log_prior + ll.T).sum(1, keepdim=True),
    ),
    Mistake(
        "prior_added_as_probability",
        "p(z), a probability, is added to log p(x|z), a logarithm. The sum of a probability and a logarithm is "
        "neither.",
        lambda log_prior, ll: (log_prior.exp() + ll.T).softmax(1),
    ),
    Mistake(
        "best_code_only",
        "all probability is on the code that explains the image best. The posterior keeps the others, as probable as "
        "they are.",
        lambda log_prior, ll: torch.eye(len(ll), dtype=ll.dtype)[posterior(log_prior, ll).argmax(1)],
    ),
    Mistake(
        "number_of_the_code",
        "this is the number of the likeliest code. The posterior gives every code a probability: [states, codes].",
        lambda log_prior, ll: (log_prior + ll.T).argmax(1),
    ),
    Mistake(
        "logarithms_multiplied",
        "log p(z) and log p(x|z) are multiplied. Probabilities are; of a product of probabilities the logarithm is a "
        "sum.",
        lambda log_prior, ll: (log_prior * ll.T).softmax(1),
    ),
    *(
        Mistake(
            "normalised_over_images_first",
            "the likelihood of each code is made to sum to 1 over the images, before the prior comes in. The images "
            "here are some of all possible ones, and a code that has little for any of them is to lose by it. "
            "Normalise once, over the codes.",
            answer,
        )
        for answer in (
            per_code_first(lambda ll: ll.log_softmax(1)),
            per_code_first(lambda ll: ll.softmax(1).log()),
            lambda p, ll: (lambda joint: joint / joint.sum(1, keepdim=True))(p.exp() * ll.softmax(1).T),
        )
    ),
    Mistake(
        "infinity_as_zero",
        "minus infinity is replaced by 0, and 0 is the logarithm of 1: a code that cannot produce the image has become "
        "one that is sure to. The exponential of minus infinity is 0, as it should be.",
        lambda p, ll: infinite_at(0.0)(p + ll.T).softmax(1),
    ),
    *(
        Mistake("kept_from_zero", KEPT_FROM_ZERO, make(cut(c)))
        for make in (cut_joint, cut_likelihood)
        for cut in (cut_at, infinite_at)
        for c in CUTS
        if c <= 10000
    ),
    Mistake("underflow", UNDERFLOW, exponentials()),
    *(
        Mistake("nan_replaced", UNDERFLOW + " Replacing the NaN only hides that.", nan_replaced(by))
        for by in (lambda p: 0.0, lambda p: 1 / len(p), lambda p: p.softmax(0))
    ),
    Mistake(
        "underflow",
        "log p(x) is computed by way of exp: exp(-2000) is exactly 0 on a computer, and its log is minus infinity. "
        "There is a function that computes the log of a sum of exponentials in one go.",
        lambda log_prior, ll: (log_prior + ll.T - (log_prior + ll.T).exp().sum(1, keepdim=True).log()).exp(),
    ),
    Mistake(
        "one_maximum_for_all",
        "one number, the largest of the whole table, is taken from all the logarithms. An image that is much less "
        "probable than another still underflows: each image needs its own.",
        exponentials(shift=lambda joint: joint.max()),
    ),
    Mistake(
        "maximum_over_images",
        "from each code its largest value over the images is taken. That changes the posterior: only what is taken "
        "from all codes of one image alike cancels.",
        exponentials(shift=lambda joint: joint.amax(0)),
    ),
    Mistake(
        "prior_after_normalising",
        "the likelihood is normalised before the prior comes in. Where the likelihood is all on a code of tiny prior, "
        "both codes underflow. Add the logarithms first and normalise once.",
        from_likelihoods_first,
    ),
    *(
        Mistake(
            "added_to_the_sum",
            "a small number keeps the division by p(x) from failing, and the rows no longer sum to 1: where p(x) is "
            "smaller than that number, it is the number that decides. Stay in logarithms.",
            exponentials(10.0**-k),
        )
        for k in range(4, 21)
    ),
    *(Mistake("kept_from_zero", KEPT_FROM_ZERO, from_clamped(10.0**-k)) for k in range(4, 21)),
)


# The ELBO


def elbo(log_prior: Tensor, log_likelihood: Tensor, q: Tensor) -> Tensor:
    """sum_z q(z|x) (log p(x|z) + log p(z) - log q(z|x))."""
    return bounded(log_prior + log_likelihood.T, q)


def elbo_cases(generator: torch.Generator) -> Iterator[Case]:
    likely = "prior 0.8 and 0.2; the codes give the image 0.1 and 0.6"
    world = logs([0.8, 0.2]), logs([[0.1], [0.6]])
    yield case(*world, doubles([[0.5, 0.5]]), about=likely)
    yield case(*world, posterior(*world), about=f"{likely}; q is the posterior")
    yield case(*world, doubles([[0.0, 1.0]]), about=f"{likely}; q is sure of the second code")
    for codes, states in ((3, 3), (4, 2), (2, 5), (1, 2)):
        world = distributions(generator, codes).log(), likelihoods(generator, codes, states)
        yield case(*world, distributions(generator, states, codes))
    world = distributions(generator, 3).log(), likelihoods(generator, 3, 4)
    yield case(*(t.float() for t in world), distributions(generator, 4, 3).float(), about="in float32")
    q = with_zeros(distributions(generator, 3, 4))
    yield case(distributions(generator, 4).log(), likelihoods(generator, 4, 3), q, about="each image excludes a code")
    far = doubles([[-2000.0, -3000.0], [-1000.0, -3001.0]])
    yield case(logs([0.5, 0.5]), far, doubles([[0.25, 0.75], [0.5, 0.5]]), about="log-likelihoods of whole images")
    rare = doubles([[0.9999, 0.0001]])
    about = "q gives little to a code that explains nothing: that costs something all the same"
    yield case(logs([0.5, 0.5]), doubles([[-1.0], [-3000.0]]), rare, about=about)
    yield from impossible_cases()


def impossible_cases() -> Iterator[Case]:
    """Images that some codes cannot produce: first q knows, then it does not."""
    world = logs([0.5, 0.3, 0.2]), logs([[0.3, 0.0], [0.0, 0.2], [0.1, 0.4]])
    knows = doubles([[0.6, 0.0, 0.4], [0.0, 1.0, 0.0]])
    yield case(*world, knows, about="the second code cannot produce the first image, nor the first code the second")
    careless = doubles([[0.6, 0.0, 0.4], [0.5, 0.5, 0.0]])
    yield case(*world, careless, about="the same, and q expects the second image of a code that cannot produce it")


def summed(make: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Table:
    """An answer from what is summed over the codes: make(log_prior, log p(x|z) as [states, codes], q)."""
    return lambda log_prior, ll, q: make(log_prior, ll.T, q).sum(1)


def weighted(make: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Table:
    """An answer that is the mean under q of something, with 0 log 0 = 0."""
    return lambda log_prior, ll, q: under(q, make(log_prior, ll.T, q))


def without_nan(log_prior: Tensor, ll: Tensor, q: Tensor) -> Tensor:
    return (q * (log_prior + ll - q.log())).nan_to_num()


def finite_only(log_prior: Tensor, ll: Tensor, q: Tensor) -> Tensor:
    return (q * (log_prior + ll - q.log())).nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)


ZERO_TIMES_INFINITY = (
    "0 log 0 is taken care of, and another product is not: q is 0 where log p(x|z) is minus infinity, and 0 times that "
    "is NaN too. What q gives no probability counts 0, whatever it would have cost."
)
INFINITY_FORGOTTEN = (
    "an infinite cost is counted as 0. Where q is 0 that is right; where it is not, q expects an image of a code that "
    "cannot produce it, and the value is truly infinite."
)


FILLS = (
    lambda values: values.nan_to_num(),
    lambda values: values.nan_to_num(posinf=INF, neginf=-INF),
    lambda values: values.nan_to_num(0.0, 0.0, 0.0),
)
"""What becomes of a NaN and of an infinity in sums that are finished."""


def low_cuts() -> Iterator[Callable[[Tensor], Tensor]]:
    """Everything below a number that whole images reach cut off."""
    yield from (cut_at(c) for c in CUTS if c <= 2000)


def cuts() -> Iterator[Callable[[Tensor], Tensor]]:
    """Everything below a number cut off; minus infinity alone replaced, where that is another thing."""
    yield from (cut_at(c) for c in CUTS)
    yield from (infinite_at(c) for c in (50.0, 100.0, 500.0, 1000.0))


def guarded(log_joint: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """The terms of the ELBO, 0 where q is 0, from another log p(x, z)."""
    return lambda p, ll, q: torch.where(q > 0, q * (log_joint(p, ll) - q.log()), 0.0)


def naive(log_prior: Tensor, ll: Tensor, q: Tensor) -> Tensor:
    return (q * (log_prior + ll.T - q.log())).sum(1)


def each(log_prior: Tensor, ll: Tensor, q: Tensor) -> Tensor:
    """log p(x, z) - log q(z|x), [codes, states]: what one code alone would give."""
    return (log_prior + ll.T - q.log()).T


def zero_mistakes(of: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]) -> tuple[Mistake, ...]:
    """What goes wrong around q = 0; `of(products summed over codes, log_prior, log_likelihood, q)` makes the answer."""

    def made(make: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Table:
        return lambda log_prior, ll, q: of(make(log_prior, ll.T, q).sum(1), log_prior, ll, q)

    return (
        Mistake("zero_log_zero", ZERO_LOG_ZERO, made(lambda p, ll, q: q * (p + ll - q.log()))),
        Mistake("zero_times_infinity", ZERO_TIMES_INFINITY, made(lambda p, ll, q: q * (p + ll) - torch.xlogy(q, q))),
        *(
            Mistake("nan_hidden", NAN_HIDDEN, lambda p, ll, q, fill=fill: of(fill(naive(p, ll, q)), p, ll, q))
            for fill in FILLS
        ),
        Mistake("one_code", ONE_CODE, lambda p, ll, q: OneOf(torch.stack([of(v, p, ll, q) for v in each(p, ll, q)]))),
        *(Mistake("cut_off", CUT, made(guarded(lambda p, ll, cut=cut: p + cut(ll)))) for cut in cuts()),
        *(Mistake("cut_off", CUT, made(guarded(lambda p, ll, cut=cut: cut(p + ll)))) for cut in cuts()),
        Mistake("infinities_replaced", NO_NUMBERS, made(without_nan)),
        Mistake("infinities_forgotten", INFINITY_FORGOTTEN, made(finite_only)),
        *(Mistake("q_kept_from_zero", Q_KEPT_FROM_ZERO, made(kept_from_zero(10.0**-k))) for k in range(3, 21)),
        *(Mistake("added_before_log", ADDED, made(added_to_q(10.0**-k))) for k in range(3, 6)),
    )


def without_rare(smallest: float) -> Table:
    return lambda p, ll, q: torch.where(q > smallest, q * (p + ll.T - q.log()), 0.0).sum(1)


def kept_from_zero(smallest: float) -> Callable:
    def make(log_prior: Tensor, ll: Tensor, q: Tensor) -> Tensor:
        q = q.clamp(min=smallest)
        return q * (log_prior + ll - q.log())

    return make


def added_to_q(smallest: float) -> Callable:
    return lambda log_prior, ll, q: q * (log_prior + ll - (q + smallest).log())


def reversed_rate(log_prior: Tensor, ll: Tensor, q: Tensor) -> Tensor:
    """Reconstruction minus KL(p(z), q(z|x))."""
    return under(q, ll.T) - under(log_prior.exp().expand_as(q), log_prior - q.log())


ELBO_MISTAKES = (
    *zero_mistakes(lambda total, *_: total),
    *(
        Mistake(
            "small_dropped",
            "codes of small probability are left out, not only those of probability 0. A code that explains nothing "
            "can cost thousands of nats, and a little of that is still a lot.",
            without_rare(10.0**-k),
        )
        for k in range(1, 5)
    ),
    Mistake(
        "all_pairs",
        "the result is [states, states]: a matrix product has put the q of every image to the likelihoods of every "
        "image. Only those that belong together are wanted.",
        lambda p, ll, q: q @ ll - under(q, q.log() - p),
    ),
    Mistake(
        "all_pairs",
        "the result is [states, states]: a matrix product has put the q of every image to the likelihoods of every "
        "image. Only those that belong together are wanted.",
        lambda p, ll, q: q @ ll - under(q, q.log() - p)[:, None],
    ),
    Mistake(
        "summed_over_images",
        "the sum is over the images, and one number for each code is left. The mean under q is over the codes: the "
        "last axis of q.",
        lambda p, ll, q: torch.where(q > 0, q * (p + ll.T - q.log()), 0.0).sum(0),
    ),
    Mistake(
        "sign_flipped",
        "the sign: this is the loss, -ELBO, as one minimises it. The ELBO is a lower bound of log p(x).",
        lambda *tables: -elbo(*tables),
    ),
    Mistake(
        "entropy_flipped",
        "the sign of log q: it is to be taken away, and here it is added. In the ELBO, an undecided q is worth "
        "something.",
        weighted(lambda p, ll, q: p + ll + q.log()),
    ),
    Mistake(
        "rate_flipped",
        "the sign of the KL term: it is added to the reconstruction, and a code would be paid for what it costs.",
        weighted(lambda p, ll, q: ll - p + q.log()),
    ),
    Mistake(
        "entropy_forgotten",
        "log q(z|x) is missing: this is the mean of log p(x, z), which is best for a q that is sure of one code.",
        weighted(lambda p, ll, q: p + ll),
    ),
    Mistake(
        "prior_forgotten",
        "the prior is missing: nothing holds q to p(z). The rate compares q(z|x) with it.",
        weighted(lambda p, ll, q: ll - q.log()),
    ),
    Mistake(
        "rate_forgotten",
        "only the reconstruction is there, E_q log p(x|z): the rate is missing.",
        weighted(lambda p, ll, q: ll),
    ),
    Mistake(
        "likelihood_forgotten",
        "only the rate is there, with a minus: the image is not in it.",
        weighted(lambda p, ll, q: p - q.log() + 0 * ll.nan_to_num()),
    ),
    Mistake(
        "rate_reversed",
        "the KL term has its arguments exchanged: KL(p(z), q(z|x)) is infinite as soon as q "
        "excludes a code. The codes are drawn from q, so the mean is under q.",
        reversed_rate,
    ),
    Mistake(
        "log_of_the_mean",
        "the logarithm is outside the mean: log E_q p(x|z). The ELBO holds E_q log p(x|z), which is less.",
        lambda log_prior, ll, q: (q * ll.T.exp()).sum(1).log() - under(q, q.log() - log_prior),
    ),
    Mistake(
        "evidence",
        "this is log p(x), whatever q is. The ELBO equals it for one q only, the posterior.",
        lambda log_prior, ll, q: evidence(log_prior, ll),
    ),
    Mistake(
        "mean_under_prior",
        "the reconstruction is averaged over codes drawn from the prior. The codes come from q(z|x).",
        lambda log_prior, ll, q: under(log_prior.exp(), ll.T) - under(q, q.log() - log_prior),
    ),
    Mistake(
        "negative_gap",
        "this is -KL(q(z|x), p(z|x)): log p(z|x) stands where log p(x, z) belongs, and log p(x) has gone with it.",
        lambda *tables: -posterior_gap(*tables),
    ),
    *(
        Mistake(
            "rate_of_all_images",
            "the rate is put together over the images, and the same number is taken away from all. Each image has a "
            "rate of its own.",
            weighted_rate,
        )
        for weighted_rate in (
            lambda p, ll, q: under(q, ll.T) - under(q, q.log() - p).sum(),
            lambda p, ll, q: under(q, ll.T) - under(q, q.log() - p).mean(),
        )
    ),
    Mistake(
        "without_weights",
        "the terms of all codes are added up with equal weight: log p(x, z) - log q(z|x) is to be averaged under q.",
        summed(lambda p, ll, q: p + ll - q.log()),
    ),
    Mistake(
        "codes_left",
        "nothing is summed: these are the terms of each code. One number for each image is asked for.",
        lambda log_prior, ll, q: torch.where(q > 0, q * (log_prior + ll.T - q.log()), 0.0),
    ),
    Mistake("mean_over_codes", MEAN_OVER_CODES, lambda p, ll, q: elbo(p, ll, q) / q.shape[1]),
    Mistake("images_summed", ONE_NUMBER, lambda *tables: elbo(*tables).sum()),
    Mistake("images_summed", ONE_NUMBER, lambda *tables: elbo(*tables).mean()),
    Mistake(
        "axes_kept",
        "the sum has left its axis behind, with length one. One number for each image is asked for: [states].",
        lambda *tables: elbo(*tables)[:, None],
    ),
    Mistake("bits", BITS, lambda *tables: elbo(*tables) / math.log(2)),
    Mistake("not_transposed", NOT_TRANSPOSED, lambda p, ll, q: bounded(p + ll, q)),
    Mistake("prior_along_states", PRIOR_ALONG_STATES, lambda p, ll, q: bounded((p + ll).T, q)),
    Mistake(
        "probability_for_logarithm",
        "p(x|z) stands where log p(x|z) belongs: the reconstruction term is the mean of the logarithm.",
        weighted(lambda p, ll, q: p + ll.exp() - q.log()),
    ),
    Mistake(
        "prior_as_probability",
        "p(z) stands where log p(z) belongs. The argument is a logarithm already.",
        weighted(lambda p, ll, q: p.exp() + ll - q.log()),
    ),
    Mistake(
        "logarithm_of_logarithm",
        "the argument log_prior is a logarithm already; here its logarithm is taken once more.",
        weighted(lambda p, ll, q: p.log() + ll - q.log()),
    ),
)


# The other arrangement


def posterior_gap(log_prior: Tensor, log_likelihood: Tensor, q: Tensor) -> Tensor:
    """KL(q(z|x), p(z|x)) = log p(x) - ELBO."""
    return evidence(log_prior, log_likelihood) - elbo(log_prior, log_likelihood, q)


def gap_cases(generator: torch.Generator) -> Iterator[Case]:
    likely = "prior 0.8 and 0.2; the codes give the image 0.1 and 0.6, so the posterior is 0.4 and 0.6"
    world = logs([0.8, 0.2]), logs([[0.1], [0.6]])
    yield case(*world, doubles([[0.5, 0.5]]), about=likely)
    yield from elbo_cases(generator)


def log_posterior(log_prior: Tensor, log_likelihood: Tensor) -> Tensor:
    return (log_prior + log_likelihood.T).log_softmax(1)


def against(make: Callable[[Tensor, Tensor], Tensor]) -> Table:
    """An answer from q and log p(z|x), both [states, codes]: make of both, summed over the codes."""
    return lambda log_prior, ll, q: make(q, log_posterior(log_prior, ll)).sum(1)


def with_posterior(change: Callable[[Tensor], Tensor]) -> Table:
    """KL(q, p) by way of the probabilities p(z|x), which are changed before their log is taken."""
    return lambda p, ll, q: under(q, q.log() - change(posterior(p, ll)).log())


def kept_above(smallest: float) -> Callable[[Tensor], Tensor]:
    return lambda p: p.clamp(min=smallest)


def raised_by(smallest: float) -> Callable[[Tensor], Tensor]:
    return lambda p: p + smallest


def halfway(q: Tensor, p: Tensor) -> Tensor:
    middle = (p + q) / 2
    return (divergence(q, middle) + divergence(p, middle)) / 2


def symmetric(q: Tensor, log_p: Tensor) -> Tensor:
    return (q - log_p.exp()) * (q.log() - log_p)


GAP_SMALL = (
    "p(z|x) is kept away from 0 before its log is taken, and a q that relies on a very improbable code is forgiven: "
    "hundreds of nats are cut to a few dozen. log p(z|x) can be had without forming p(z|x), and then nothing needs "
    "keeping."
)
GAP_UNDERFLOW = (
    "p(z|x) is formed first, and exp(-1000) is exactly 0 on a computer: its log is minus infinity, where -1000 "
    "belongs. Stay in logarithms: log p(z|x) = log p(z) + log p(x|z) - log p(x), and none of the three is infinite."
)
GAP_MISTAKES = (
    *zero_mistakes(lambda total, log_prior, ll, q: evidence(log_prior, ll) - total),
    Mistake("evidence_without_prior", EVIDENCE_WITHOUT_PRIOR, lambda p, ll, q: ll.logsumexp(0) - elbo(p, ll, q)),
    Mistake("evidence_over_images", EVIDENCE_OVER_IMAGES, lambda p, ll, q: (p + ll.T).logsumexp(0) - elbo(p, ll, q)),
    *(
        Mistake(
            "nan_hidden",
            NAN_HIDDEN,
            lambda p, ll, q, fill=fill: fill((q * (q.log() - log_posterior(p, ll))).sum(1)),
        )
        for fill in (*FILLS, lambda values: values.nan_to_num(posinf=0.0))
    ),
    Mistake("evidence_of_the_best", EVIDENCE_OF_THE_BEST, lambda p, ll, q: (p + ll.T).amax(1) - elbo(p, ll, q)),
    Mistake(
        "evidence_added_in_logarithms",
        "the logarithms log p(x, z) are added up where log p(x) belongs. It is the logarithm of a sum of "
        "probabilities.",
        lambda p, ll, q: (p + ll.T).sum(1) - elbo(p, ll, q),
    ),
    Mistake("not_transposed", NOT_TRANSPOSED, lambda p, ll, q: (p + ll).logsumexp(1) - elbo(p, ll, q)),
    *(
        Mistake("infinities_forgotten", INFINITY_FORGOTTEN, answer)
        for answer in (
            lambda p, ll, q: under(q, (q.log() - log_posterior(p, ll)).nan_to_num(posinf=0.0, neginf=0.0)),
            lambda p, ll, q: under(q, q.log() - log_posterior(p, ll).nan_to_num(neginf=0.0)),
            lambda p, ll, q: posterior_gap(p, ll, q).nan_to_num(posinf=0.0),
        )
    ),
    *(
        Mistake("cut_off", CUT, lambda p, ll, q, cut=cut: under(q, q.log() - cut(log_posterior(p, ll))))
        for cut in cuts()
    ),
    *(Mistake("cut_off", CUT, lambda p, ll, q, cut=cut: posterior_gap(p, cut(ll), q)) for cut in low_cuts()),
    Mistake(
        "jensen_shannon",
        "this is the divergence of q and the posterior from their mixture. What the ELBO loses is KL(q(z|x), p(z|x)), "
        "straight.",
        lambda p, ll, q: halfway(q, posterior(p, ll)),
    ),
    Mistake(
        "kl_reversed",
        "the arguments are exchanged: this is KL(p(z|x), q(z|x)), the mean under p. The ELBO's gap is the mean under "
        "q, from which the codes are drawn.",
        against(lambda q, log_p: torch.where(log_p.exp() > 0, log_p.exp() * (log_p - q.log()), 0.0)),
    ),
    Mistake(
        "symmetrised",
        "both directions of the divergence are added up. What the ELBO loses is one of them, KL(q(z|x), p(z|x)).",
        against(symmetric),
    ),
    Mistake(
        "sign_flipped",
        "the sign: a KL divergence is never negative. The ELBO lies below log p(x), and the gap is by how much.",
        lambda *tables: -posterior_gap(*tables),
    ),
    Mistake(
        "rate",
        "this is the rate, KL(q(z|x), p(z)), of the first arrangement. The second compares q with the posterior.",
        lambda p, ll, q: under(q, q.log() - p),
    ),
    Mistake("elbo", "this is the ELBO. Asked for is how far it lies below log p(x).", elbo),
    Mistake("negative_elbo", "this is -ELBO: log p(x) is missing, which is not 0.", lambda *tables: -elbo(*tables)),
    Mistake(
        "evidence",
        "this is log p(x). The gap is what remains of it when the ELBO is taken away.",
        lambda p, ll, q: evidence(p, ll),
    ),
    Mistake(
        "cross_entropy",
        "log q(z|x) is missing: this is the mean of -log p(z|x), which is not 0 for the posterior itself.",
        lambda p, ll, q: -under(q, log_posterior(p, ll)),
    ),
    Mistake(
        "prior_forgotten",
        "q is compared with the normalised likelihood: the prior is missing from the posterior.",
        lambda p, ll, q: under(q, q.log() - ll.T.log_softmax(1)),
    ),
    Mistake(
        "posterior_over_states",
        "the posterior is normalised over the images: log p(x) is a sum over the codes, one for each image.",
        lambda p, ll, q: under(q, q.log() - (p + ll.T).log_softmax(0)),
    ),
    Mistake(
        "evidence_averaged",
        "log p(x) is taken as the mean of log p(x|z) under the prior. It is the logarithm of the mean: the log is "
        "outside.",
        lambda p, ll, q: under(p.exp(), ll.T) - elbo(p, ll, q),
    ),
    Mistake(
        "without_weights",
        "the terms of all codes are added up with equal weight: log q(z|x) - log p(z|x) is to be averaged under q.",
        against(lambda q, log_p: q.log() - log_p),
    ),
    Mistake(
        "absolute_difference",
        "this adds up the differences of probabilities. A KL divergence is a mean of differences of logarithms.",
        against(lambda q, log_p: (q - log_p.exp()).abs()),
    ),
    Mistake(
        "squared_difference",
        "this adds up squared differences of probabilities. A KL divergence is a mean of differences of logarithms.",
        against(lambda q, log_p: (q - log_p.exp()) ** 2),
    ),
    Mistake(
        "codes_left",
        "nothing is summed: these are the terms of each code. One number for each image is asked for.",
        lambda p, ll, q: torch.where(q > 0, q * (q.log() - log_posterior(p, ll)), 0.0),
    ),
    Mistake("mean_over_codes", MEAN_OVER_CODES, lambda p, ll, q: posterior_gap(p, ll, q) / q.shape[1]),
    Mistake("images_summed", ONE_NUMBER, lambda *tables: posterior_gap(*tables).sum()),
    Mistake("images_summed", ONE_NUMBER, lambda *tables: posterior_gap(*tables).mean()),
    Mistake("images_summed", ONE_NUMBER, lambda *tables: posterior_gap(*tables).sum() / tables[2].numel()),
    Mistake("bits", BITS, lambda *tables: posterior_gap(*tables) / math.log(2)),
    Mistake("not_transposed", NOT_TRANSPOSED, lambda p, ll, q: (p + ll).logsumexp(1) - bounded(p + ll, q)),
    Mistake("prior_along_states", PRIOR_ALONG_STATES, lambda p, ll, q: posterior_gap(0 * p, p + ll, q)),
    Mistake("posterior_underflows", GAP_UNDERFLOW, with_posterior(lambda p: p)),
    Mistake("posterior_underflows", GAP_UNDERFLOW, lambda p, ll, q: under(q, (q / posterior(p, ll)).log())),
    Mistake(
        "evidence_underflows",
        "log p(x) is computed by way of exp: exp(-2000) is exactly 0 on a computer, and its log is minus infinity. "
        "There is a function that computes the log of a sum of exponentials in one go.",
        lambda p, ll, q: (p + ll.T).exp().sum(1).log() - elbo(p, ll, q),
    ),
    *(Mistake("posterior_kept_from_zero", GAP_SMALL, with_posterior(kept_above(10.0**-k))) for k in range(3, 31)),
    *(Mistake("posterior_kept_from_zero", GAP_SMALL, with_posterior(raised_by(10.0**-k))) for k in range(3, 31)),
)


# The surgery


def surgery(q: Tensor, data: Tensor, prior: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The mean KL(q(z|x), p(z)); I(x; z) = mean KL(q(z|x), q(z)); KL(q(z), p(z))."""
    return accounted(q, data, prior, data @ q)


def accounted(q: Tensor, data: Tensor, prior: Tensor, q_z: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The three terms with a given aggregate q(z)."""
    rate = under(data, divergence(q, prior))
    return rate, under(data, divergence(q, q_z)), divergence(q_z, prior)


def divergence(p: Tensor, other: Tensor) -> Tensor:
    """KL(p, other) over the last axis."""
    return under(p, p.log() - other.log())


def surgery_cases(generator: torch.Generator) -> Iterator[Case]:
    fair = doubles([0.5, 0.5])
    yield case(doubles([[0.9, 0.1], [0.2, 0.8]]), doubles([0.25, 0.75]), doubles([0.6, 0.4]))
    own, shared = doubles([[1.0, 0.0], [0.0, 1.0]]), doubles([[1.0, 0.0], [1.0, 0.0]])
    yield case(own, fair, fair, about="each image has a code of its own")
    yield case(shared, fair, fair, about="both images have the same code")
    for states, codes in ((3, 3), (2, 5), (4, 3), (1, 2)):
        yield case(*(distributions(generator, *shape) for shape in ((states, codes), (states,), (codes,))))
    q = with_zeros(distributions(generator, 4, 3))
    yield case(q, doubles([0.5, 0.2, 0.0, 0.3]), doubles([0.3, 0.5, 0.2]), about="an image that is never shown")
    yield case(own, doubles([0.0, 1.0]), fair, about="an image that is never shown has a code of its own")
    alone = doubles([[0.0, 0.0, 1.0], [0.9, 0.1, 0.0], [0.2, 0.8, 0.0]])
    shown, about = doubles([0.0, 0.25, 0.75]), "the same, and two images that are shown"
    yield case(alone, shown, doubles([0.5, 0.3, 0.2]), about=about)
    yield case(alone, shown, doubles([0.6, 0.4, 0.0]), about=f"{about}; the prior excludes the code of the first")
    unused = doubles([[0.7, 0.3, 0.0], [0.1, 0.9, 0.0]])
    yield case(unused, doubles([0.3, 0.7]), doubles([0.2, 0.3, 0.5]), about="a code that is never used")
    yield case(unused, doubles([0.3, 0.7]), doubles([0.6, 0.4, 0.0]), about="a code that neither prior nor q knows")
    about = "q uses a code that the prior excludes"
    yield case(unused, doubles([0.3, 0.7]), doubles([0.0, 0.4, 0.6]), about=about)


Terms = tuple[Tensor, Tensor, Tensor]


def terms(change: Callable[[Tensor, Tensor, Tensor], Terms]) -> Table:
    """An answer that makes something else of the right three terms."""
    return lambda q, data, prior: change(*surgery(q, data, prior))


def with_aggregate(make: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Table:
    """An answer with another q(z): make(q, data, prior)."""
    return lambda q, data, prior: accounted(q, data, prior, make(q, data, prior))


def with_divergence(kl: Callable[[Tensor, Tensor], Tensor]) -> Table:
    """An answer that sums other products than p (log p - log f) over the codes."""

    def answer(q: Tensor, data: Tensor, prior: Tensor) -> Terms:
        q_z = data @ q
        rate, information = (data @ kl(q, other.expand_as(q)).sum(1) for other in (prior, q_z))
        return rate, information, kl(q_z, prior).sum()

    return answer


def with_information(information: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Table:
    def answer(q: Tensor, data: Tensor, prior: Tensor) -> Terms:
        rate, _, gap = surgery(q, data, prior)
        return rate, information(q, data, prior), gap

    return answer


def with_gap(gap: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Table:
    def answer(q: Tensor, data: Tensor, prior: Tensor) -> Terms:
        return *surgery(q, data, prior)[:2], gap(q, data, prior)

    return answer


def unfinished(fill: Callable[[Tensor], Tensor], rows: bool) -> Table:
    """An answer that minds no zero, and fills in afterwards: in the KL of each image, or in the means of them."""

    def kl(p: Tensor, f: Tensor) -> Tensor:
        value = (p * (p.log() - f.log())).sum(-1)
        return fill(value) if rows else value

    def answer(q: Tensor, data: Tensor, prior: Tensor) -> Terms:
        values = data @ kl(q, prior), data @ kl(q, data @ q), kl(data @ q, prior)
        return values if rows else tuple(fill(value) for value in values)

    return answer


def known_to_prior(q: Tensor, data: Tensor, prior: Tensor) -> Terms:
    """The sums over the codes that the prior does not exclude."""
    known = prior > 0
    return surgery(q[:, known], data, prior[known])


def unshown_in_rate(q: Tensor, data: Tensor, prior: Tensor) -> Terms:
    return data @ divergence(q, prior), *surgery(q, data, prior)[1:]


def unshown(q: Tensor, data: Tensor, prior: Tensor) -> Terms:
    return data @ divergence(q, prior), data @ divergence(q, data @ q), divergence(data @ q, prior)


def gap_by_difference(q: Tensor, data: Tensor, prior: Tensor) -> Tensor:
    rate, information, _ = accounted(q, data, prior, q.mean(0))
    return rate - information


def raised_log(smallest: float) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda p, f: p * ((p + smallest).log() - (f + smallest).log())


def raised_ratio(smallest: float) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda p, f: p * (p / (f + smallest) + smallest).log()


def clamped_log(smallest: float) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda p, f: p.clamp(min=smallest) * (p.clamp(min=smallest).log() - f.clamp(min=smallest).log())


UNWEIGHTED = (
    "the images all count alike in q(z). The data say how often each image is shown: q(z) = sum_x data(x) q(z|x), a "
    "weighted mean of the rows of q."
)
SURGERY_ADDED = (
    "a small number is added to the probabilities before their log (or they are kept from falling below it). It shifts "
    "every value a little, and where q uses a code that the prior excludes, a cost that is infinite becomes a few "
    "dozen nats. Treat the codes of probability 0 apart instead: they count 0."
)
UNSHOWN = (
    "an image that is never shown spoils the mean: one of its KL divergences is infinite, for its code is one that no "
    "image shown has, or that the prior excludes; and 0 times infinity is NaN. 0 log 0 = 0 holds for the data as well: "
    "what is never shown counts nothing, whatever it would have cost."
)
SURGERY_INFINITY = (
    "an infinite cost is counted as 0: codes that the prior excludes are left out, and q uses them. The rate and the "
    "aggregate gap are truly infinite there. What counts 0 is what q gives no probability."
)
SURGERY_MISTAKES = (
    Mistake("unshown_image", UNSHOWN, unshown),
    Mistake("unshown_image", UNSHOWN, unshown_in_rate),
    *(
        Mistake("nan_hidden", NAN_HIDDEN, unfinished(fill, rows))
        for fill in (*FILLS, lambda values: values.nan_to_num(posinf=0.0))
        for rows in (False, True)
    ),
    *(
        Mistake("nan_hidden", UNSHOWN + " Replacing the NaN loses the images that are shown as well.", answer)
        for answer in (
            lambda *tables: tuple(value.nan_to_num() for value in unshown(*tables)),
            lambda *tables: tuple(value.nan_to_num(posinf=INF) for value in unshown(*tables)),
        )
    ),
    Mistake(
        "infinities_forgotten",
        SURGERY_INFINITY,
        with_divergence(lambda p, f: torch.where((p > 0) & (f > 0), p * (p.log() - f.log()), 0.0)),
    ),
    Mistake("infinities_forgotten", SURGERY_INFINITY, known_to_prior),
    Mistake(
        "infinities_forgotten",
        SURGERY_INFINITY,
        terms(lambda *values: tuple(value.nan_to_num(posinf=0.0) for value in values)),
    ),
    Mistake("mean_over_codes", MEAN_OVER_CODES, lambda q, d, p: tuple(v / len(p) for v in surgery(q, d, p))),
    Mistake(
        "prior_not_used",
        "the prior is taken to be uniform. It is an argument.",
        lambda q, data, prior: surgery(q, data, torch.full_like(prior, 1 / len(prior))),
    ),
    Mistake(
        "prior_as_logarithm",
        "the argument prior holds p(z) itself, and it is used as if it were log p(z): its logarithm is still to be "
        "taken.",
        lambda q, data, prior: surgery(q, data, prior.exp()),
    ),
    Mistake(
        "joint_for_conditional",
        "inside the logarithm stands data(x) q(z|x), the joint, where q(z|x) belongs. The data weigh the means; the "
        "distributions that are compared are those of z given x.",
        lambda q, data, prior: (
            divergence(q * data[:, None], prior).sum(),
            divergence(q * data[:, None], data @ q).sum(),
            divergence(data @ q, prior),
        ),
    ),
    Mistake("zero_log_zero", ZERO_LOG_ZERO, with_divergence(lambda p, f: p * (p.log() - f.log()))),
    Mistake("zero_log_zero", ZERO_LOG_ZERO, with_divergence(lambda p, f: p * (p / f).log())),
    Mistake(
        "prior_zero_times_infinity",
        "0 log 0 is taken care of for q, and 0 times log p(z) is not: where neither q nor the prior knows a code, that "
        "is 0 times minus infinity, NaN. What q gives no probability counts 0, whatever it would have cost.",
        with_divergence(lambda p, f: torch.xlogy(p, p) - p * f.log()),
    ),
    Mistake(
        "infinities_replaced",
        NO_NUMBERS.replace("cannot produce the image", "the prior excludes"),
        with_divergence(lambda p, f: (p * (p.log() - f.log())).nan_to_num()),
    ),
    Mistake(
        "difference_of_infinities",
        "the information is computed as rate minus aggregate gap. Where q uses a code that the prior excludes, both "
        "are infinite, and their difference is NaN; the information never asks the prior and is finite.",
        terms(lambda rate, information, gap: (rate, rate - gap, gap)),
    ),
    Mistake(
        "difference_of_infinities",
        "the aggregate gap is computed as rate minus information. That is right as long as both are right; here the "
        "information is NaN or infinite.",
        terms(lambda rate, information, gap: (rate, rate - gap, rate - (rate - gap))),
    ),
    Mistake("unweighted_aggregate", UNWEIGHTED, with_aggregate(lambda q, data, prior: q.mean(0))),
    Mistake("unweighted_aggregate", UNWEIGHTED, with_gap(lambda q, d, prior: divergence(q.mean(0), prior))),
    Mistake("unweighted_aggregate", UNWEIGHTED, with_gap(gap_by_difference)),
    Mistake(
        "aggregate_not_normalised",
        "q(z) does not sum to 1: the rows of q are added up, not averaged. Each row counts as much as the data say.",
        with_aggregate(lambda q, data, prior: q.sum(0)),
    ),
    Mistake(
        "data_as_uniform",
        "the data are not used: every image counts alike. They say how often each image is shown, and all three terms "
        "are means over them.",
        lambda q, data, prior: surgery(q, torch.full_like(data, 1 / len(data)), prior),
    ),
    Mistake(
        "data_as_uniform",
        "q(z) is weighted by the data, and the means of the KL divergences are not: every image counts alike in them.",
        lambda q, data, prior: (
            divergence(q, prior).mean(),
            divergence(q, data @ q).mean(),
            divergence(data @ q, prior),
        ),
    ),
    Mistake(
        "data_as_uniform",
        "the information is a plain mean over the images, each counted alike. The data say how often each is shown.",
        with_information(lambda q, data, prior: divergence(q, data @ q).mean()),
    ),
    Mistake(
        "data_as_uniform",
        "the rate is a plain mean over the images, each counted alike. The data say how often each is shown.",
        lambda q, data, prior: (divergence(q, prior).mean(), *surgery(q, data, prior)[1:]),
    ),
    Mistake(
        "logarithms_averaged",
        "q(z) is a mean of logarithms, turned back by exp. The aggregate is the mean of the probabilities themselves.",
        with_aggregate(lambda q, data, prior: (data @ q.log()).exp()),
    ),
    Mistake(
        "prior_for_aggregate",
        "the prior stands where q(z) belongs, and the information has become the rate. q(z) is what the codes of all "
        "images look like together; only in a perfect model is it the prior.",
        with_aggregate(lambda q, data, prior: prior),
    ),
    Mistake(
        "prior_for_aggregate",
        "the information is measured against the prior, and has become the rate. It is measured against q(z).",
        terms(lambda rate, information, gap: (rate, rate, gap)),
    ),
    Mistake(
        "gap_reversed",
        "the aggregate gap has its arguments exchanged: KL(p(z), q(z)). It is the mean under q(z), like the rate, of "
        "which it is a part.",
        with_gap(lambda q, data, prior: divergence(prior, data @ q)),
    ),
    Mistake(
        "information_reversed",
        "the information has its arguments exchanged: KL(q(z), q(z|x)), averaged. The mean is under q(z|x).",
        with_information(lambda q, data, prior: under(data, divergence((data @ q).expand_as(q), q))),
    ),
    Mistake(
        "all_reversed",
        "every KL divergence has its arguments exchanged. The first argument is the one whose mean is taken.",
        lambda q, data, prior: (
            under(data, divergence(prior.expand_as(q), q)),
            under(data, divergence((data @ q).expand_as(q), q)),
            divergence(prior, data @ q),
        ),
    ),
    Mistake(
        "rate_reversed",
        "the rate has its arguments exchanged: KL(p(z), q(z|x)). The mean is under q(z|x).",
        lambda q, data, prior: (under(data, divergence(prior.expand_as(q), q)), *surgery(q, data, prior)[1:]),
    ),
    Mistake(
        "entropy_of_the_aggregate",
        "the information is taken as the entropy of q(z). That is its ceiling; what remains undecided about z once x "
        "is known, the mean entropy of q(z|x), has to be taken away.",
        with_information(lambda q, data, prior: -under(data @ q, (data @ q).log())),
    ),
    Mistake(
        "conditional_entropy",
        "the information is taken as the mean entropy of q(z|x): that is what is left undecided about z when x is "
        "known.",
        with_information(lambda q, data, prior: -under(data, under(q, q.log()))),
    ),
    Mistake(
        "information_added",
        "the information is the sum of the rate and the aggregate gap. It is the other way about: the rate is the sum "
        "of the other two.",
        terms(lambda rate, information, gap: (rate, rate + gap, gap)),
    ),
    Mistake(
        "information_negative",
        "the sign of the information: it is never negative.",
        terms(lambda rate, information, gap: (rate, -information, gap)),
    ),
    Mistake(
        "last_two_exchanged",
        "the information and the aggregate gap are exchanged. The order is rate, information, aggregate gap.",
        terms(lambda rate, information, gap: (rate, gap, information)),
    ),
    Mistake(
        "rate_last",
        "the order: the contract asks for rate, information, aggregate gap, and here the rate comes last.",
        terms(lambda rate, information, gap: (information, gap, rate)),
    ),
    Mistake(
        "images_left",
        "rate and information are not averaged: they are one number for each image. The contract asks for the means "
        "over the data.",
        lambda q, data, prior: (divergence(q, prior), divergence(q, data @ q), divergence(data @ q, prior)),
    ),
    Mistake(
        "images_left",
        "the rate is not averaged: it is one number for each image. The contract asks for the mean over the data.",
        lambda q, data, prior: (divergence(q, prior), *surgery(q, data, prior)[1:]),
    ),
    Mistake(
        "images_summed",
        "the KL divergences of the images are added up without the data. A mean over the data weighs each image by "
        "how often it is shown.",
        lambda q, data, prior: (divergence(q, prior).sum(), divergence(q, data @ q).sum(), divergence(data @ q, prior)),
    ),
    Mistake(
        "images_summed",
        "the rows of q are added up, and so are the KL divergences: all without the data. A mean over the data weighs "
        "each image by how often it is shown.",
        lambda q, data, prior: (divergence(q, prior).sum(), divergence(q, q.sum(0)).sum(), divergence(q.sum(0), prior)),
    ),
    Mistake("bits", BITS, terms(lambda *values: tuple(value / math.log(2) for value in values))),
    *(
        Mistake("added_before_log", SURGERY_ADDED, with_divergence(make(10.0**-k)))
        for make in (raised_log, raised_ratio, clamped_log)
        for k in range(4, 21)
    ),
)


# The importance-weighted bound


def iwae_bound(log_weights: Tensor) -> Tensor:
    """log (1/K) sum_k w_k for each image."""
    return log_weights.logsumexp(0) - math.log(len(log_weights))


def iwae_cases(generator: torch.Generator) -> Iterator[Case]:
    yield case(logs([[0.5], [0.1]]), about="two samples of one image, with weights 0.5 and 0.1")
    yield case(logs([[0.5, 0.2], [0.1, 0.6]]), about="two images")
    for samples, batch in ((3, 3), (5, 2), (1, 3), (2, 4)):
        yield case(-3 + 2 * torch.randn((samples, batch), generator=generator, dtype=torch.float64))
    yield case((-3 + torch.randn((4, 3), generator=generator)).float(), about="in float32")
    yield case(doubles([[-2000.0, -3000.0], [-2001.0, -3000.0], [-2004.0, -3001.0]]), about="whole images")
    yield case(doubles([[-10.0, -2000.0], [-11.0, -2003.0]]), about="one image is much more probable than the other")
    yield case(doubles([[1000.0, 2.0], [1001.0, -1.0]]), about="densities can be large: a weight of exp(1000)")
    yield case(doubles([[-20000.0, 15000.0], [-20001.0, 15002.0]]), about="larger images")
    some = doubles([[-1.0, -INF], [-INF, -2.0], [-3.0, -INF]])
    yield case(some, about="some codes cannot produce the image: their weight is 0")


def shifted(shift: Callable[[Tensor], Any]) -> Callable[[Tensor], Tensor]:
    """The bound by way of exp, with something taken out before and put back afterwards."""
    return lambda w: (w - shift(w)).exp().mean(0).log() + shift(w)


def shifted_in_place(log_weights: Tensor) -> Tensor:
    largest = log_weights.amax(0)
    log_weights -= largest
    return log_weights.exp().mean(0).log() + largest


def clamped_sum(smallest: float) -> Callable[[Tensor], Tensor]:
    return lambda w: w.exp().mean(0).clamp(min=smallest).log()


def raised_sum(smallest: float) -> Callable[[Tensor], Tensor]:
    return lambda w: (w.exp().mean(0) + smallest).log()


def possible_only(log_weights: Tensor) -> Tensor:
    count = log_weights.isfinite().sum(0).to(log_weights.dtype)
    return log_weights.logsumexp(0) - count.log()


IWAE_UNDERFLOW = (
    "exp(-2000) is exactly 0 on a computer, and exp(1000) is infinite: the weights cannot be formed. What can be taken "
    "from all log-weights of one image, and given back at the end?"
)
IWAE_ADDED = (
    "a small number is added to the mean weight before its log (or it is kept from falling below it), and every "
    "improbable image gets the same bound: the log of that number. Log-weights of whole images lie around -100 and "
    "far below: stay in logarithms."
)
IWAE_MISTAKES = (
    Mistake(
        "count_off_by_one",
        "the sum is divided by one less than the number of samples. That is for variances; this is a plain mean.",
        lambda w: w.logsumexp(0) - math.log(max(len(w) - 1, 1)),
    ),
    Mistake(
        "count_in_bits",
        "the logarithm of the count has base 2, and all else is in nats.",
        lambda w: w.logsumexp(0) - math.log2(len(w)),
    ),
    Mistake(
        "shift_not_given_back",
        "the largest log-weight has been taken out before exp, and never put back. That is the part of the bound that "
        "tells images apart.",
        lambda w: iwae_bound(w) - w.amax(0),
    ),
    Mistake(
        "mean_of_the_logs",
        "this is the mean of the log-weights: the ELBO, estimated from K samples. The bound is the log of the mean, "
        "which is never less.",
        lambda w: w.mean(0),
    ),
    Mistake(
        "sum_of_the_logs",
        "the log-weights are added up: that is the log of the product of the weights. The bound is the log of their "
        "mean.",
        lambda w: w.sum(0),
    ),
    Mistake(
        "sum_for_mean",
        "this is the log of the sum of the weights: the division by the number of samples is missing. Without it the "
        "bound grows with every sample, and passes log p(x).",
        lambda w: w.logsumexp(0),
    ),
    Mistake(
        "divided_outside",
        "the log of the sum is divided by the number of samples. The mean is inside the logarithm: there the division "
        "is a subtraction.",
        lambda w: w.logsumexp(0) / len(w),
    ),
    Mistake(
        "count_not_in_log",
        "the number of samples itself is taken away. A division by K inside the logarithm is a subtraction of log K "
        "outside.",
        lambda w: w.logsumexp(0) - len(w),
    ),
    Mistake(
        "count_added",
        "log K is added: the sum has been multiplied by the number of samples instead of divided by it.",
        lambda w: w.logsumexp(0) + math.log(len(w)),
    ),
    Mistake(
        "count_of_images",
        "the log of the batch size is taken away. The mean is over the samples: log_weights is [samples, batch].",
        lambda w: w.logsumexp(0) - math.log(w.shape[1]),
    ),
    Mistake(
        "count_of_all",
        "the log of the number of all entries is taken away. The mean is over the samples of one image.",
        lambda w: w.logsumexp(0) - math.log(w.numel()),
    ),
    Mistake(
        "wrong_axis",
        "the mean is over the images: log_weights is [samples, batch], and the samples lie along the first axis.",
        lambda w: w.logsumexp(1) - math.log(w.shape[1]),
    ),
    Mistake(
        "wrong_axis",
        "the sum is over the images, the count that of the samples. log_weights is [samples, batch], and the samples "
        "lie along the first axis.",
        lambda w: w.logsumexp(1) - math.log(len(w)),
    ),
    Mistake(
        "best_sample",
        "this is the largest log-weight alone. The bound is the log of the mean of all weights.",
        lambda w: w.amax(0),
    ),
    Mistake(
        "weighted_mean",
        "the log-weights are averaged by their normalised weights. That appears in the bound's gradient; the bound is "
        "the log of the plain mean of the weights.",
        lambda w: (w.softmax(0) * w).sum(0),
    ),
    Mistake("images_averaged", ONE_NUMBER.replace("[states]", "[batch]"), lambda w: iwae_bound(w).mean()),
    Mistake("images_averaged", ONE_NUMBER.replace("[states]", "[batch]"), lambda w: iwae_bound(w).sum()),
    Mistake(
        "images_averaged",
        "the mean is over samples and images at once. Each image has a bound of its own: [batch].",
        lambda w: w.flatten().logsumexp(0) - math.log(w.numel()),
    ),
    Mistake(
        "axes_kept",
        "the mean has left its axis behind, with length one. The contract asks for [batch].",
        lambda w: iwae_bound(w)[None],
    ),
    Mistake(
        "sign_flipped", "the sign: this is a loss. Asked for is the bound on log p(x) itself.", lambda w: -iwae_bound(w)
    ),
    Mistake("bits", BITS, lambda w: iwae_bound(w) / math.log(2)),
    Mistake("no_logarithm", "this is the mean weight. Its logarithm is asked for.", lambda w: w.exp().mean(0)),
    Mistake(
        "log_weights_changed",
        "the answer is right, and the log-weights that were passed in have been shifted in place. Whoever passed them "
        "in still needs them.",
        shifted_in_place,
    ),
    Mistake("underflow", IWAE_UNDERFLOW, shifted(lambda w: 0.0)),
    Mistake(
        "one_maximum_for_all",
        "one number, the largest of the whole table, is taken from all log-weights. An image that is much less "
        "probable than another still underflows: each image needs its own.",
        shifted(lambda w: w.max()),
    ),
    Mistake(
        "shifted_by_the_mean",
        "the mean is taken out before exp. With a weight of 0 among them the mean of the log-weights is minus "
        "infinity; the largest of them is safe, and lets nothing overflow.",
        shifted(lambda w: w.mean(0)),
    ),
    Mistake(
        "zeros_not_counted",
        "samples of weight 0 are left out of the count. They are samples like the others: a mean over the successful "
        "ones only is too large.",
        possible_only,
    ),
    Mistake(
        "logarithm_of_a_logarithm",
        "the log-weights are averaged and the logarithm of that is taken. They are logarithms already: the weights, "
        "whose mean is asked for, are their exponentials.",
        lambda w: w.mean(0).log(),
    ),
    Mistake(
        "infinity_as_zero",
        "a log-weight of minus infinity is replaced by 0, and 0 is the logarithm of 1: a sample of weight 0 has become "
        "one of weight 1.",
        lambda w: iwae_bound(w.nan_to_num(neginf=0.0)),
    ),
    Mistake(
        "underflow",
        IWAE_UNDERFLOW + " Replacing the infinity by a number only hides that.",
        lambda w: w.exp().mean(0).log().nan_to_num(),
    ),
    *(Mistake("kept_from_zero", IWAE_ADDED, make(smallest)) for make in (clamped_sum, raised_sum) for smallest in TINY),
    *(
        Mistake("kept_from_zero", IWAE_ADDED, lambda w, make=make, of=of: make(of(torch.finfo(w.dtype)))(w))
        for make in (clamped_sum, raised_sum)
        for of in (lambda info: info.eps, lambda info: info.tiny)
    ),
    *(
        Mistake(
            "cut_off",
            "the log-weights are cut off at a large number. Those of whole images lie beyond any that you choose, and "
            "come out alike. What is the same in all log-weights of one image can be taken out and given back at the "
            "end.",
            lambda w, make=make, c=c: make(w.clamp(-c, high(c))),
        )
        for make, largest in ((iwae_bound, 10000.0), (shifted(lambda w: 0.0), 708.0))
        for high in (lambda c: c, lambda c: INF)
        for c in CUTS
        if c <= largest
    ),
)


# The two gaps


def split_gap(log_prior: Tensor, log_likelihood: Tensor, q: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor]:
    """log p(x) - max_c ELBO(x; c), and max_c ELBO(x; c) - ELBO(x; q)."""
    best = of_candidates(log_prior, log_likelihood, candidates).amax(1)
    return evidence(log_prior, log_likelihood) - best, best - elbo(log_prior, log_likelihood, q)


def of_candidates(log_prior: Tensor, log_likelihood: Tensor, candidates: Tensor) -> Tensor:
    """The ELBO of every candidate for every image, [states, candidates]."""
    return bounded((log_prior + log_likelihood.T)[:, None], candidates)


def split_cases(generator: torch.Generator) -> Iterator[Case]:
    likely = "prior 0.8 and 0.2; the codes give the image 0.1 and 0.6"
    world = logs([0.8, 0.2]), logs([[0.1], [0.6]])
    three = doubles([[0.9, 0.1], [0.5, 0.5], [0.2, 0.8]])
    yield case(*world, three[:1], three, about=likely)
    yield case(*world, doubles([[1.0, 0.0]]), torch.eye(2).double(), about=f"{likely}; the family is sure of one code")
    world = logs([0.49, 0.02, 0.49]), logs([[0.1], [0.1], [0.1]])
    third = 1 / 3
    family = doubles([[0.98, 0.01, 0.01], [third, third, third]])
    yield case(*world, family[1:], family, about="the posterior has two peaks")
    for codes, states, members in ((3, 3, 3), (4, 2, 5), (2, 5, 3), (3, 6, 9)):
        world = distributions(generator, codes).log(), likelihoods(generator, codes, states)
        yield case(*world, *chosen_from(generator, distributions(generator, members, codes), states))
    world = distributions(generator, 3).log(), likelihoods(generator, 3, 4)
    family = with_zeros(distributions(generator, 5, 3))
    yield case(*world, *chosen_from(generator, family, 4), about="each candidate excludes a code")
    far = logs([0.5, 0.5]), doubles([[-2000.0, -3000.0], [-1000.0, -3001.0]])
    family = doubles([[0.75, 0.25], [0.25, 0.75]])
    yield case(*far, family, family, about="log-likelihoods of whole images")
    world = logs([0.5, 0.3, 0.2]), logs([[0.3, 0.0], [0.0, 0.2], [0.1, 0.4]])
    family = torch.cat([torch.eye(3).double(), doubles([[0.5, 0.0, 0.5]])])
    yield case(*world, family[[3, 1]], family, about="some codes cannot produce some images")
    about = "the same, and the encoder is sure of a code that cannot produce the second image"
    yield case(*world, family[[3, 0]], family, about=about)


def chosen_from(generator: torch.Generator, candidates: Tensor, states: int) -> tuple[Tensor, Tensor]:
    """An encoder that picks a candidate for each image by chance, and the candidates."""
    return candidates[torch.randint(len(candidates), (states,), generator=generator)], candidates


def chosen_by(score: Callable[[Tensor, Tensor, Tensor], Tensor]) -> Callable:
    """The gaps where each image takes the candidate of largest score(log_prior, log_likelihood, candidates)."""

    def answer(log_prior: Tensor, ll: Tensor, q: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor]:
        best = candidates[score(log_prior, ll, candidates).argmax(1)]
        mine, theirs = elbo(log_prior, ll, q), elbo(log_prior, ll, best)
        return evidence(log_prior, ll) - theirs, theirs - mine

    return answer


def gaps_from(make: Callable[[Tensor, Tensor, Tensor], tuple[Tensor, Tensor]]) -> Callable:
    """Another split from log p(x), the ELBOs [states, candidates], and the ELBO of q."""
    return lambda p, ll, q, family: make(evidence(p, ll), of_candidates(p, ll, family), elbo(p, ll, q))


def to_posterior(measure: Callable[[Tensor, Tensor], Tensor]) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """A score: minus measure(p(z|x) as [states, 1, codes], candidates)."""
    return lambda p, ll, family: -measure(posterior(p, ll)[:, None], family)


def one_for_all(scores: Tensor) -> Tensor:
    return scores[:, scores.sum(0).argmax()]


def between(log_prior: Tensor, ll: Tensor, q: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor]:
    best = candidates[of_candidates(log_prior, ll, candidates).argmax(1)]
    return split_gap(log_prior, ll, q, candidates)[0], divergence(q, best)


def through_posterior(log_prior: Tensor, ll: Tensor, q: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor]:
    log_p = posterior(log_prior, ll).log()
    best = under(candidates, candidates.log() - log_p[:, None]).amin(1)
    return best, under(q, q.log() - log_p) - best


def with_nan(log_prior: Tensor, ll: Tensor, q: Tensor, candidates: Tensor) -> tuple[Tensor, Tensor]:
    joint = log_prior + ll.T
    best = (candidates * (joint[:, None] - candidates.log())).sum(2).amax(1)
    return evidence(log_prior, ll) - best, best - (q * (joint - q.log())).sum(1)


def wrongly_laid(change: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]) -> Callable:
    return lambda p, ll, q, family: split_gap(*change(p, ll), q, family)


AMORTISATION_TOTAL = (
    "the amortisation gap is the whole of the encoder's gap, from log p(x) down to its ELBO. It is what the encoder "
    "loses against the best of the family; the rest no member of the family could have saved."
)
SPLIT_MISTAKES = (
    Mistake(
        "candidate_with_image",
        "each candidate is put to the image of the same number, and nothing is chosen. All candidates are to be tried "
        "on every image, and the best of them taken.",
        lambda p, ll, q, family: (evidence(p, ll) - elbo(p, ll, family), elbo(p, ll, family) - elbo(p, ll, q)),
    ),
    Mistake(
        "evidence_without_prior",
        EVIDENCE_WITHOUT_PRIOR,
        lambda p, ll, q, family: (
            ll.logsumexp(0) - of_candidates(p, ll, family).amax(1),
            split_gap(p, ll, q, family)[1],
        ),
    ),
    Mistake(
        "evidence_over_images",
        EVIDENCE_OVER_IMAGES,
        lambda p, ll, q, family: (
            (p + ll.T).logsumexp(0) - of_candidates(p, ll, family).amax(1),
            split_gap(p, ll, q, family)[1],
        ),
    ),
    Mistake(
        "best_averaged",
        "the ELBOs are averaged over the images before the largest is sought. Each image has its own best candidate, "
        "and its own two gaps.",
        gaps_from(lambda log_p, all_elbos, mine: (log_p - all_elbos.mean(0).max(), all_elbos.mean(0).max() - mine)),
    ),
    Mistake(
        "best_averaged",
        "the largest ELBO of each image is found, and then averaged over the images. Each image has its own best "
        "candidate, and its own two gaps.",
        gaps_from(lambda log_p, all_elbos, mine: (log_p - all_elbos.amax(1).mean(), all_elbos.amax(1).mean() - mine)),
    ),
    Mistake(
        "infinities_forgotten",
        "an ELBO of minus infinity is replaced by 0, and 0 is larger than any other here: a candidate that expects the "
        "image of a code that cannot produce it has become the best.",
        gaps_from(
            lambda log_p, all_elbos, mine: (
                log_p - all_elbos.nan_to_num(neginf=0.0).amax(1),
                all_elbos.nan_to_num(neginf=0.0).amax(1) - mine,
            )
        ),
    ),
    Mistake(
        "infinities_forgotten",
        "the amortisation gap is infinite where the encoder expects the image of a code that cannot produce it, and it "
        "is replaced by 0.",
        lambda *tables: tuple(gap.nan_to_num(posinf=0.0) for gap in split_gap(*tables)),
    ),
    Mistake(
        "infinities_replaced",
        "the amortisation gap is infinite where the encoder expects the image of a code that cannot produce it, and it "
        "is replaced by a large number.",
        lambda *tables: tuple(gap.nan_to_num() for gap in split_gap(*tables)),
    ),
    Mistake(
        "approximation_negative",
        "the sign of the approximation gap: the best candidate's ELBO lies below log p(x), and the gap says by how "
        "much.",
        gaps_from(lambda log_p, all_elbos, mine: (all_elbos.amax(1) - log_p, all_elbos.amax(1) - mine)),
    ),
    Mistake(
        "chosen_by_overlap",
        "the candidate is chosen by the sum of its probabilities times the posterior's. That favours the one that is "
        "surest of the likeliest code; what counts is the ELBO.",
        chosen_by(lambda p, ll, family: posterior(p, ll) @ family.T),
    ),
    Mistake(
        "one_value_for_all",
        "one ELBO, the largest of all candidates and all images, serves every image. The best is sought for each image "
        "on its own, over the candidates alone.",
        gaps_from(lambda log_p, all_elbos, mine: (log_p - all_elbos.max(), all_elbos.max() - mine)),
    ),
    Mistake(
        "number_of_the_candidate",
        "the number of the best candidate stands where its ELBO belongs: argmax says where, and max says how much.",
        gaps_from(lambda log_p, all_elbos, mine: (log_p - all_elbos.argmax(1), all_elbos.argmax(1) - mine)),
    ),
    Mistake(
        "first_candidate",
        "the first candidate serves for the best. All of them are to be tried.",
        gaps_from(lambda log_p, all_elbos, mine: (log_p - all_elbos[:, 0], all_elbos[:, 0] - mine)),
    ),
    Mistake(
        "mean_candidate",
        "the candidates are averaged into one distribution. Each image may take the best of them as it stands.",
        lambda p, ll, q, family: split_gap(p, ll, q, family.mean(0)[None]),
    ),
    Mistake("zero_log_zero", ZERO_LOG_ZERO, with_nan),
    Mistake(
        "one_candidate_for_all",
        "one candidate, the best on average, serves all images. Each image may take its own best: what is lost by one "
        "answer for many images is amortisation, not the family's fault.",
        gaps_from(lambda log_p, all_elbos, mine: (log_p - one_for_all(all_elbos), one_for_all(all_elbos) - mine)),
    ),
    Mistake(
        "exchanged",
        "the two gaps are exchanged. The approximation gap, that of the family, comes first.",
        lambda *tables: split_gap(*tables)[::-1],
    ),
    Mistake(
        "worst_candidate",
        "the worst candidate is taken: the smallest ELBO, or the largest gap. The best one has the largest ELBO.",
        gaps_from(lambda log_p, all_elbos, mine: (log_p - all_elbos.amin(1), all_elbos.amin(1) - mine)),
    ),
    Mistake(
        "mean_candidate",
        "the ELBOs of the candidates are averaged. Each image may take the best of them.",
        gaps_from(lambda log_p, all_elbos, mine: (log_p - all_elbos.mean(1), all_elbos.mean(1) - mine)),
    ),
    Mistake(
        "amortisation_is_total",
        AMORTISATION_TOTAL,
        gaps_from(lambda log_p, all_elbos, mine: (log_p - all_elbos.amax(1), log_p - mine)),
    ),
    Mistake(
        "approximation_is_total",
        "the approximation gap is that of the encoder's q. It is that of the best candidate, which the encoder may "
        "have missed.",
        gaps_from(lambda log_p, all_elbos, mine: (log_p - mine, all_elbos.amax(1) - mine)),
    ),
    Mistake(
        "encoder_is_best",
        "the encoder's q is taken for the best of its family: all of its gap is put down to the family, and none to "
        "the encoder. Has another candidate a larger ELBO?",
        gaps_from(lambda log_p, all_elbos, mine: (log_p - mine, 0 * mine)),
    ),
    Mistake(
        "posterior_is_best",
        "the posterior is taken for the best candidate. It is no member of the family, unless it happens to stand in "
        "the table: the family's best falls short by the approximation gap.",
        gaps_from(lambda log_p, all_elbos, mine: (0 * mine, log_p - mine)),
    ),
    Mistake(
        "amortisation_negative",
        "the sign of the amortisation gap: the encoder's q is one of the candidates, so the best of them is at least "
        "as good, and the gap is never negative.",
        gaps_from(lambda log_p, all_elbos, mine: (log_p - all_elbos.amax(1), mine - all_elbos.amax(1))),
    ),
    Mistake(
        "both_negative",
        "the sign of both: a gap says how far a lower bound lies below what it bounds.",
        gaps_from(lambda log_p, all_elbos, mine: (all_elbos.amax(1) - log_p, mine - all_elbos.amax(1))),
    ),
    Mistake(
        "distance_between",
        "the amortisation gap is taken as the KL divergence from the encoder's q to the best candidate. It is a "
        "difference of two ELBOs: both are compared with the posterior, never with each other.",
        between,
    ),
    Mistake(
        "elbos",
        "these are the ELBOs of the best candidate and of q. A gap is a difference of two of three numbers: log p(x) "
        "and these.",
        gaps_from(lambda log_p, all_elbos, mine: (all_elbos.amax(1), mine)),
    ),
    Mistake(
        "chosen_by_reversed_kl",
        "the candidate is chosen by KL(p(z|x), q(z)), the mean under the posterior. The ELBO's gap is KL(q(z), "
        "p(z|x)), and where the family is too narrow the two choose differently.",
        chosen_by(to_posterior(divergence)),
    ),
    Mistake(
        "chosen_by_distance",
        "the candidate is chosen by the distance of its probabilities from the posterior's. Nearest in that sense need "
        "not be best: what counts is the ELBO.",
        chosen_by(to_posterior(lambda p, family: (p - family).abs().sum(-1))),
    ),
    Mistake(
        "chosen_by_distance",
        "the candidate is chosen by the squared distance of its probabilities from the posterior's. Nearest in that "
        "sense need not be best: what counts is the ELBO.",
        chosen_by(to_posterior(lambda p, family: (p - family).pow(2).sum(-1))),
    ),
    Mistake(
        "chosen_by_rate",
        "the candidate is chosen by its rate: the nearest to the prior, whatever the image is.",
        chosen_by(lambda p, ll, family: -divergence(family, p.exp()).expand(ll.shape[1], -1)),
    ),
    Mistake(
        "chosen_by_reconstruction",
        "the candidate is chosen by its reconstruction term alone. Its rate counts too: the best has the largest ELBO.",
        chosen_by(lambda p, ll, family: under(family, ll.T[:, None])),
    ),
    Mistake(
        "best_image",
        "the best is sought along the wrong axis: for each candidate the image that suits it. Asked for is the best "
        "candidate of each image.",
        gaps_from(lambda log_p, all_elbos, mine: (log_p - all_elbos.amax(0), all_elbos.amax(0) - mine)),
    ),
    Mistake(
        "candidates_left",
        "the approximation gap is that of every candidate: [states, candidates]. The best of them is asked for.",
        gaps_from(lambda log_p, all_elbos, mine: (log_p[:, None] - all_elbos, all_elbos - mine[:, None])),
    ),
    Mistake("images_summed", ONE_NUMBER, lambda *tables: tuple(gap.mean() for gap in split_gap(*tables))),
    Mistake("images_summed", ONE_NUMBER, lambda *tables: tuple(gap.sum() for gap in split_gap(*tables))),
    Mistake("bits", BITS, lambda *tables: tuple(gap / math.log(2) for gap in split_gap(*tables))),
    Mistake("not_transposed", NOT_TRANSPOSED, wrongly_laid(lambda p, ll: (p, ll.T))),
    Mistake("prior_along_states", PRIOR_ALONG_STATES, wrongly_laid(lambda p, ll: (0 * p, p + ll))),
    Mistake("posterior_underflows", GAP_UNDERFLOW, through_posterior),
    Mistake(
        "evidence_underflows",
        "log p(x) is computed by way of exp: exp(-2000) is exactly 0 on a computer, and its log is minus infinity. "
        "There is a function that computes the log of a sum of exponentials in one go.",
        lambda p, ll, q, family: (
            (p + ll.T).exp().sum(1).log() - of_candidates(p, ll, family).amax(1),
            split_gap(p, ll, q, family)[1],
        ),
    ),
)


TASKS = (
    Task(
        id="04.posterior",
        title="What the code must have been",
        points=2,
        difficulty=2,
        minutes=10,
        cases=posterior_cases,
        reference=posterior,
        mistakes=POSTERIOR_MISTAKES,
        hints=(
            "Bayes' rule multiplies and divides; with logarithms in hand you add and subtract. Which axis of the "
            "answer holds the codes, and over which does it sum to 1?",
            "log p(z|x) = log p(z) + log p(x|z) - log sum_z' exp(log p(z') + log p(x|z')), and the last term is a "
            "logsumexp over the codes. exp, then divided by its sum, has a name in torch.",
            "log_joint = log_prior + ...   # [states, codes]: turn log_likelihood round first\n"
            "return log_joint.softmax(...)   # over which axis?",
        ),
        compare=near(),
    ),
    Task(
        id="04.elbo",
        title="The ELBO, by summing",
        points=2,
        difficulty=2,
        minutes=10,
        cases=elbo_cases,
        reference=elbo,
        mistakes=ELBO_MISTAKES,
        hints=(
            "An expectation under q(z|x) is a sum over the codes with the weights q(z|x). Three logarithms are to be "
            "averaged. What does a code of weight 0 contribute?",
            "ELBO(x) = sum_z q(z|x) (log p(x|z) + log p(z) - log q(z|x)), over the z with q(z|x) > 0.",
            "log_joint = log_prior + log_likelihood.T   # [states, codes], as q\n"
            "terms = q * (log_joint - q.log())\n"
            "return torch.where(q > 0, ..., 0.0).sum(...)",
        ),
        compare=near(),
    ),
    Task(
        id="04.posterior_gap",
        title="The other arrangement",
        points=2,
        difficulty=2,
        minutes=10,
        cases=gap_cases,
        reference=posterior_gap,
        mistakes=GAP_MISTAKES,
        hints=(
            "There are two ways: compare q with the posterior, code by code; or compare the ELBO with log p(x). One of "
            "them is two lines long once your `elbo` is written.",
            "KL(q(z|x), p(z|x)) = log p(x) - ELBO(x), and log p(x) = logsumexp over z of log p(z) + log p(x|z).",
            "evidence = (log_prior + log_likelihood.T).logsumexp(...)   # [states]\n"
            "return evidence - elbo(log_prior, log_likelihood, q)",
        ),
        compare=near(),
    ),
    Task(
        id="04.surgery",
        title="What the rate pays for",
        points=2,
        difficulty=3,
        minutes=15,
        cases=surgery_cases,
        reference=surgery,
        mistakes=SURGERY_MISTAKES,
        hints=(
            "All three are KL divergences, so write that one first, with its care for zeros. Then ask of each: which "
            "two distributions, and is there a mean over the data?",
            "q(z) = sum_x data(x) q(z|x); rate = sum_x data(x) KL(q(z|x), prior); information = sum_x data(x) "
            "KL(q(z|x), q(z)); aggregate gap = KL(q(z), prior).",
            "def kl(p, f):   # over the last axis\n"
            "    return torch.where(p > 0, ..., 0.0).sum(-1)\n\n"
            "shown = data > 0   # what is never shown counts nothing, not even infinitely much\n"
            "q, data = q[shown], data[shown]\n"
            "aggregate = data @ q   # [codes]\n"
            "rate = data @ kl(q, ...)\n"
            "information = data @ kl(q, ...)\n"
            "return rate, information, kl(...)",
        ),
        compare=near("rate", "information", "aggregate gap"),
    ),
    Task(
        id="04.iwae_bound",
        title="Closer, with more samples",
        points=1,
        difficulty=2,
        minutes=5,
        cases=iwae_cases,
        reference=iwae_bound,
        mistakes=IWAE_MISTAKES,
        hints=(
            "A mean is a sum divided by a count. You know the log of a sum of exponentials; what becomes of the "
            "division?",
            "log (1/K) sum_k w_k = logsumexp over k of log w_k, less log K.",
            "samples = len(log_weights)\nreturn log_weights.logsumexp(...) - ...",
        ),
        compare=near(),
    ),
    Task(
        id="04.split_gap",
        title="Whose fault is the gap?",
        points=3,
        difficulty=3,
        minutes=15,
        cases=split_cases,
        reference=split_gap,
        mistakes=SPLIT_MISTAKES,
        hints=(
            "Three numbers for each image lie above one another: log p(x), the ELBO of the best candidate, the ELBO of "
            "q. The two gaps are the distances between them. Your `elbo` gives the last two, one candidate at a time.",
            "approximation(x) = log p(x) - max_c ELBO(x; c) = min_c KL(c, p(z|x)); amortisation(x) = max_c ELBO(x; c) "
            "- ELBO(x; q).",
            "elbos = torch.stack([elbo(..., candidate.expand(...)) for candidate in candidates])   # "
            "[candidates, states]\n"
            "best = elbos.amax(...)\n"
            "approximation = ...   # from log p(x) down to best\n"
            "amortisation = ...   # from best down to the encoder's\n"
            "return approximation, amortisation",
        ),
        compare=near("approximation gap", "amortisation gap"),
    ),
)
