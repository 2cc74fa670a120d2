"""The warm-up of chapter 00: how check and hint behave."""

import math

import torch

from course_lib.grading.task import Mistake, Task, case


def nats_to_bits(nats):
    """bits = nats / ln 2, for a float or a tensor."""
    return nats / math.log(2)


def cases(generator: torch.Generator):
    yield case(math.log(2), about="one fair coin toss: ln 2 = 0.693147 nats")
    yield case(1.0)
    yield case(2.5)
    yield case(
        torch.rand(3, generator=generator, dtype=torch.float64) * 1000, about="a code length for each of 3 images"
    )


ROUNDED = (0.7, 0.69, 0.693, 0.6931, 0.6932, 0.69315, 0.693147)
MULTIPLIED = (
    "the factor ln 2 is there, on the wrong side. A bit is smaller than a nat, so a length in bits is the larger one."
)
FEW_DIGITS = "the factor is right, and rounded to a few digits of ln 2: math.log(2) has them all."
TASKS = (
    Task(
        id="00.nats_to_bits",
        title="From nats to bits",
        points=1,
        difficulty=1,
        minutes=2,
        cases=cases,
        reference=nats_to_bits,
        mistakes=(
            *(Mistake("multiplied", MULTIPLIED, lambda nats, factor=f: nats * factor) for f in (math.log(2), *ROUNDED)),
            *(Mistake("rounded_constant", FEW_DIGITS, lambda nats, factor=f: nats / factor) for f in ROUNDED),
            *(
                Mistake("rounded_constant", FEW_DIGITS, lambda nats, factor=f: nats * factor)
                for f in (1.44, 1.443, 1.4427)
            ),
            Mistake(
                "log10",
                "a logarithm to base 10 gives units of decimal digits. Which base do bits have?",
                lambda nats: nats / math.log(10),
            ),
            Mistake(
                "log2_of_nats",
                "this is the logarithm of the length. The length is already a logarithm, of a probability; "
                "changing its base only changes its unit.",
                lambda nats: torch.log2(nats) if isinstance(nats, torch.Tensor) else math.log2(nats),
            ),
            Mistake(
                "divided_by_two",
                "a halving. Two is the base of the logarithm, not the size of the unit.",
                lambda nats: nats / 2,
            ),
            Mistake(
                "rounded",
                "the number is rounded. A code length need not be a whole number of bits.",
                lambda nats: (
                    torch.round(nats / math.log(2)) if isinstance(nats, torch.Tensor) else round(nats / math.log(2))
                ),
            ),
        ),
        hints=(
            "One fair coin toss is 1 bit, and ln 2 = 0.693 nats. What turns 0.693 into 1?",
            "bits = nats / ln 2, because log2(p) = ln(p) / ln(2).",
            "def nats_to_bits(nats):\n    return nats / math.log(...)",
        ),
    ),
)

SOLUTION = "the folded cell under this exercise in chapters/00_start_here."
