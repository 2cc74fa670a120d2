"""Values, cases and differences as short text that reads the same on every machine."""

import inspect
from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import Any

import torch
from torch import Tensor

from course_lib.grading.plain import Other
from course_lib.grading.specs import Generator, Leaf, Model
from course_lib.grading.task import Case, Task

LARGEST_GRID = 9
MOST_ELEMENTS = 120
MOST_LINES, LONGEST_LINE = 200, 200


def number(value: Any, digits: int = 6) -> str:
    """A number in at most so many digits; whole floats as whole."""
    if isinstance(value, bool):
        return str(value)
    return f"{value:.{digits}g}" if isinstance(value, float) else str(value)


def kind_of(value: Any) -> str:
    """What a value is, in a few words: its shape and dtype, or its class."""
    if isinstance(value, Leaf):
        return kind_of(value.tensor) + " with a gradient"
    if isinstance(value, Tensor):
        return f"tensor {list(value.shape)} {str(value.dtype).removeprefix('torch.')}"
    if isinstance(value, Other):
        return value.name
    return "None" if value is None else type(value).__name__


def grids(value: Tensor, digits: int = 6) -> list[str]:
    """The rows of a small tensor, one grid for each leading index, columns aligned; 1 x 1 grids form a larger one."""
    while value.dim() > 2 and value.shape[-2:] == (1, 1):
        value = value[..., 0, 0]
    cells = [number(v, digits) for v in value.flatten().tolist()]
    width = max((len(cell) for cell in cells), default=0)
    columns = value.shape[-1] if value.dim() else 1
    rows = [" ".join(c.rjust(width) for c in cells[i : i + columns]) for i in range(0, len(cells), columns)]
    height = value.shape[-2] if value.dim() > 1 else 1
    return [row for i, row in enumerate(rows) for row in ([""] if i and i % height == 0 else []) + [row]]


def lines(value: Any, digits: int = 6) -> list[str]:
    """A value as lines: a grid where it is small, else its kind and its range."""
    if isinstance(value, Generator):
        return [f"generator seeded with {value.seed}"]
    if isinstance(value, Leaf):
        return lines(value.tensor, digits)
    if isinstance(value, Model):
        return [value.words]
    if isinstance(value, (list, tuple)) and any(isinstance(part, Tensor) for part in value):
        return [line for part in value for line in lines(part, digits)]
    if isinstance(value, Other):
        return [value.name]
    if isinstance(value, dict) and value:
        return [f"{key}: {line}" for key, part in value.items() for line in lines(part, digits)]
    if not isinstance(value, Tensor):
        return [number(value, digits) if isinstance(value, (bool, int, float)) else repr(value)[:200]]
    if value.numel() == 0:
        return [kind_of(value)]
    if value.numel() <= MOST_ELEMENTS and (value.dim() == 0 or value.shape[-1] <= LARGEST_GRID):
        return grids(value, digits)
    low, high = value.to(torch.float64).aminmax()
    return [f"{kind_of(value)}, from {number(low.item(), digits)} to {number(high.item(), digits)}"]


def parameters(reference: Callable) -> list[str]:
    return list(inspect.signature(reference).parameters)


def show_call(task: Task, case: Case) -> list[str]:
    """The call of a case; arguments that take more than one line stand beneath it."""
    names, short, long = parameters(task.reference), [], []
    for name, argument in zip(names, case.calls[0], strict=False):
        text = lines(argument)
        if len(text) == 1 and len(text[0]) < 40:
            short.append(f"{name}={text[0]}")
        else:
            short.append(name)
            long += [f"  {name}, {kind_of(argument)}:", *(f"    {line}" for line in text)]
    about = [f"  ({case.about})"] if case.about else []
    return [f"  {task.function}({', '.join(short)})", *about, *long]


def side_by_side(blocks: Sequence[list[str]], titles: Sequence[str]) -> list[str]:
    """Blocks of lines as titled columns."""
    columns = [
        [title, *(line[:LONGEST_LINE] for line in block[:MOST_LINES])]
        for title, block in zip(titles, blocks, strict=True)
    ]
    widths = [max(map(len, column)) + 4 for column in columns]
    rows = zip_longest(*columns, fillvalue="")
    return [("  " + "".join(f"{c:<{w}}" for c, w in zip(row, widths, strict=True))).rstrip() for row in rows]
