"""How two values differ, in one sentence that helps."""

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor

from course_lib.grading.showing import kind_of, number
from course_lib.grading.task import Case

RTOL = {torch.float64: 1e-7, torch.float32: 1e-4}


def compare(case: Case, output: Any, expected: Any) -> str | None:
    """What differs between output and expected: kind, shape, dtype, then values; None where nothing does."""
    if output is None and expected is not None:
        return "the function returned None: is a `return` missing?"
    if isinstance(expected, Tensor):
        return compare_tensors(output, expected)
    if isinstance(expected, (tuple, list)):
        return compare_sequences(case, output, expected)
    if isinstance(expected, (int, float)) and not isinstance(expected, bool):
        return compare_floats(output, expected)
    return None if type(output) is type(expected) and output == expected else f"expected {expected!r}"


def compare_sequences(case: Case, output: Any, expected: tuple | list) -> str | None:
    if not isinstance(output, (tuple, list)):
        return f"{len(expected)} values were expected, and one {kind_of(output)} came back"
    if len(output) != len(expected):
        return f"{len(expected)} values were expected, and {len(output)} came back"
    said = [compare(case, got, want) for got, want in zip(output, expected, strict=True)]
    return next((f"value {i + 1}: {text}" for i, text in enumerate(said) if text), None)


def compare_floats(output: Any, expected: float) -> str | None:
    if isinstance(output, Tensor) and output.numel() == 1:
        output = output.item()
    if isinstance(output, bool) or not isinstance(output, (int, float)):
        return f"a number was expected, and {kind_of(output)} came back"
    return compare_values(*torch.tensor([[output], [expected]], dtype=torch.float64), 1e-6)


def compare_tensors(output: Any, expected: Tensor) -> str | None:
    if not isinstance(output, Tensor):
        return f"a torch tensor was expected, and {kind_of(output)} came back"
    if output.shape != expected.shape:
        return f"the shape should be {list(expected.shape)}, and it is {list(output.shape)}"
    if output.dtype != expected.dtype:
        want, got = (str(value.dtype).removeprefix("torch.") for value in (expected, output))
        return f"the dtype should be {want}, and it is {got}"
    return compare_values(output.detach().double(), expected.detach().double(), RTOL.get(expected.dtype, 0.0))


def compare_values(output: Tensor, expected: Tensor, rtol: float) -> str | None:
    """None where |output - expected| <= rtol (|expected| + typical size of expected), or both are the same infinity."""
    finite = expected[expected.isfinite()].abs()
    size = finite.mean().item() if len(finite) else 0.0
    close = expected.isfinite() & ((output - expected).abs() <= rtol * (expected.abs() + size))
    close |= (output == expected) | (output.isnan() & expected.isnan())
    return None if bool(close.all()) else difference(output, expected)


def difference(output: Tensor, expected: Tensor) -> str:
    """The most telling thing about a difference in values."""
    return not_finite(output, expected) or constant_factor(output, expected) or largest(output, expected)


def not_finite(output: Tensor, expected: Tensor) -> str | None:
    for name, test in (("NaN", torch.isnan), ("infinite", torch.isinf)):
        count = int((test(output) & ~test(expected)).sum())
        if count:
            return f"{count} of {output.numel()} values are {name}"
    return None


def constant_factor(output: Tensor, expected: Tensor) -> str | None:
    """Says so where output = factor * expected throughout, for a factor that has a name."""
    solid = expected.abs() > 1e-12
    if not bool(solid.any()) or not torch.allclose(output[~solid], expected[~solid]):
        return None
    ratios = output[solid] / expected[solid]
    factor = ratios.mean().item()
    if not torch.allclose(ratios, ratios.mean().expand_as(ratios), rtol=1e-4) or factor == 0 or len(ratios) < 2:
        return None
    if math.isclose(factor, 1, rel_tol=1e-3):
        return None
    if math.isclose(factor, -1, rel_tol=1e-4):
        return "every value has the opposite sign"
    return f"every value is {number(factor)} times what it should be{reason(factor)}"


def reason(factor: float) -> str:
    if math.isclose(abs(factor), 1 / math.log(2), rel_tol=1e-3) or math.isclose(abs(factor), math.log(2), rel_tol=1e-3):
        return ": ln 2 lies between nats and bits"
    inverse = 1 / abs(factor)
    if inverse > 1.5 and math.isclose(inverse, round(inverse), rel_tol=1e-3):
        return f", a division by {round(inverse)}: a mean where a sum belongs?"
    return ""


def largest(output: Tensor, expected: Tensor) -> str:
    """Where the largest difference lies, and how many values differ."""
    gap = (output - expected).abs().nan_to_num(nan=math.inf)
    where = int(gap.argmax())
    index = [int(i) for i in np.unravel_index(where, gap.shape)]  # torch's own imports sympy: three seconds
    got, want = output.flatten()[where].item(), expected.flatten()[where].item()
    if gap.numel() == 1:
        return "{} is not {}".format(*told_apart(got, want))
    count = max(int((gap > 1e-6 * (1 + expected.abs())).sum()), 1)
    place = "the largest difference is at {}: {} where {} belongs".format(index, *told_apart(got, want))
    return f"{count} of {gap.numel()} values differ; {place}"


def told_apart(got: float, want: float) -> tuple[str, str]:
    """Two different numbers in as many digits as it takes to see that they differ."""
    pairs = [(number(got, digits), number(want, digits)) for digits in (6, 9, 12, 17)]
    return next((pair for pair in pairs if pair[0] != pair[1]), pairs[-1])
