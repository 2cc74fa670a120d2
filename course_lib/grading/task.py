"""What a task is: its cases, its reference, and the mistakes it knows."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch


@dataclass(frozen=True)
class Case:
    """One question put to an answer: the arguments of one call, or of several that belong together.

    Arguments are plain data or specs (see `specs`), so that a case can be sent to another process.
    """

    calls: tuple[tuple, ...]
    about: str = ""
    kind: str = ""


def case(*arguments: Any, about: str = "", kind: str = "") -> Case:
    """A case of a single call."""
    return Case((arguments,), about, kind)


@dataclass(frozen=True)
class Mistake:
    """A wrong answer we have met before, and what to say to the one who gives it."""

    name: str
    diagnosis: str
    answer: Callable


@dataclass(frozen=True)
class Error:
    """An exception, told: its class and base classes by name, its message, and the learner's line that raised it.

    `unfinished` names the function that says it is not written yet, where that is one which the answer calls.
    """

    types: tuple[str, ...]
    message: str
    line: str = ""
    unfinished: str = ""

    @property
    def type(self) -> str:
        return self.types[0] if self.types else "Exception"


@dataclass(frozen=True)
class Outcome:
    """What came of one case: a value, an exception, or no answer at all.

    `changed` holds the positions of the arguments that were modified in place; `stopped` says why no answer came.
    """

    value: Any = None
    error: Error | None = None
    changed: tuple[int, ...] = ()
    stopped: str = ""
    printed: str = ""


@dataclass(frozen=True)
class Task:
    """One thing to write: `id` is the exercise and the function, "02.raster_mask"; hints are nudge, formula, skeleton.

    `cases(generator)` yields cases, smallest first. `compare(case, output, expected)` returns what differs, or None.
    `slow` is what to ask the learner whose answer did not come in time.
    """

    id: str
    title: str
    points: int
    difficulty: int
    minutes: int
    cases: Callable[[torch.Generator], Iterable[Case]]
    reference: Callable
    mistakes: tuple[Mistake, ...]
    hints: tuple[str, str, str]
    compare: Callable[[Case, Any, Any], str | None] | None = None
    slow: str = "does a loop never end?"

    @property
    def exercise(self) -> str:
        return self.id.partition(".")[0]

    @property
    def function(self) -> str:
        return self.id.partition(".")[2]
