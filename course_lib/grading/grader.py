"""Grades one notebook: its code runs in workers, the score is decided here."""

import re
import time
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from course_lib.grading.judging import Verdict, judge
from course_lib.grading.plain import Other
from course_lib.grading.submission import Submission, Unreadable, read
from course_lib.grading.supervision import Limits, Lost, OutOfTime, Worker
from course_lib.grading.task import Error, Outcome, Task
from course_lib.grading.tasks import exercise as tasks_of

AFTER_A_LOOP = 2.0


@dataclass(frozen=True)
class Report:
    """What a notebook scored; messages are about the notebook and its cells, verdicts about its tasks."""

    path: Path
    exercise: str
    messages: tuple[str, ...]
    verdicts: tuple[Verdict, ...] = ()

    @property
    def score(self) -> int:
        return sum(verdict.score for verdict in self.verdicts)

    @property
    def points(self) -> int:
        return sum(verdict.task.points for verdict in self.verdicts)

    @property
    def full(self) -> bool:
        return bool(self.verdicts) and self.score == self.points


def grade(path: Path, limits: Limits, seed: int, exercise: str = "") -> Report:
    """The report on one notebook; whatever its code does, there is one, soon after `limits.total` seconds."""
    try:
        submission = read(path, exercise)
    except Unreadable as error:
        known = tasks_of(exercise) if exercise else ()
        return Report(path, exercise, (str(error),), tuple(Verdict(task, "stopped", str(error)) for task in known))
    if not submission.exercise:
        return Report(path, "", ("not an exercise of this course: none of its tasks is in it",))
    session = Session(submission, limits)
    try:
        verdicts = tuple(verdict_on(session, task, seed) for task in tasks_of(submission.exercise))
    finally:
        session.close()
    return Report(path, submission.exercise, tuple(session.messages()), verdicts)


def grade_whatever_happens(path: Path, limits: Limits, seed: int, exercise: str = "") -> Report:
    """`grade`; where it fails itself, a report of no points that says so, and the next notebook's turn."""
    try:
        return grade(path, limits, seed, exercise)
    except Exception as error:
        told = f"the grader failed on this notebook, so look at it by hand ({type(error).__name__}: {printable(error)})"
        return Report(path, exercise, (told[:300],))


def verdict_on(session: "Session", task: Task, seed: int) -> Verdict:
    """The verdict on one task, with cases from a seed of its own."""
    generator = torch.Generator().manual_seed(zlib.crc32(f"{seed} {task.id}".encode()))
    return judge(task, session.answer(task), generator)


class Session:
    """A notebook's cells in a worker. What kills the worker is left out of the next one."""

    def __init__(self, submission: Submission, limits: Limits):
        self.submission, self.limits = submission, limits
        self.deadline = time.monotonic() + limits.total
        self.worker: Worker | None = None
        self.fatal: dict[int, str] = {}
        self.failed: dict[int, str] = {}
        self.looped: set[str] = set()
        self.over = ""

    def answer(self, task: Task) -> Callable[[Sequence[Any]], Outcome]:
        """The learner's function as the judge sees it; all calls of one task together have the time of one cell.

        A task that builds on a function which never ended is given less.
        """
        cause = self.endless_part(task)
        seconds = min(AFTER_A_LOOP, self.limits.seconds) if cause else self.limits.seconds
        left, told = [seconds], f"{seconds:g} s" + (f"; it uses {cause}, which looped too" if cause else "")

        def ask(arguments: Sequence[Any]) -> Outcome:
            start = time.monotonic()
            outcome = self.call(task.function, arguments, left[0], told)
            left[0] = max(left[0] - (time.monotonic() - start), 0.01)
            return outcome

        self.ready()
        return ask

    def endless_part(self, task: Task) -> str:
        """A function that ran out of time and that this task's cell calls, by itself or through another task's."""
        names, seen = [task.function], set()
        others = {other.function for other in tasks_of(task.exercise)}
        while names:
            seen.add(name := names.pop())
            text = " ".join(cell for cell in self.submission.cells if defines(name, cell))
            called = others & set(re.findall(r"\b(\w++)[ \t]*+\(", text)) - {task.function}
            if called & self.looped:
                return min(called & self.looped)
            names += called - seen
        return ""

    def ready(self) -> None:
        """Starts a worker and runs the cells, as often as it takes to find those that kill it."""
        while self.worker is None and not self.over:
            cell = None
            try:
                self.worker = Worker(self.limits, self.deadline)
                for cell in self.harmless():
                    self.run(cell)
            except OutOfTime as error:
                self.lose()
                self.over = str(error)
            except Lost as error:
                self.lose()
                if cell is None:
                    self.over = f"could not be started: the grader's process {error}"
                else:
                    self.fatal[cell] = str(error)

    def harmless(self) -> list[int]:
        return [cell for cell in range(len(self.submission.cells)) if cell not in self.fatal]

    def run(self, cell: int) -> None:
        """Runs one cell; an exception in it is noted and stops nothing."""
        reply = self.worker.ask({"do": "cell", "code": self.submission.cells[cell]}, self.limits.seconds)
        self.failed.pop(cell, None)
        if reply.get("types"):
            self.failed[cell] = trouble(reply, self.limits)

    def call(self, function: str, arguments: Sequence[Any], seconds: float, told: str) -> Outcome:
        if self.worker is None:
            return Outcome(stopped=f"not graded: the notebook {self.over}")
        command = {"do": "call", "function": function, "arguments": list(arguments)}
        try:
            reply = self.worker.ask(command, seconds)
        except Lost as error:
            self.lose()
            if "looped" not in str(error):
                return Outcome(stopped=f"{function} {error}")
            self.looped.add(function)
            return Outcome(stopped=f"{function} looped: stopped after {told}")
        return (
            Outcome(stopped=self.absent(function))
            if reply.get("missing") is True
            else outcome_of(reply, len(arguments))
        )

    def absent(self, function: str) -> str:
        """Why a function is not there: the trouble of the cell that would define it, if there is one."""
        cell = self.culprit(function)
        if cell is None:
            return f"no function {function} in the notebook"
        return f"no function {function}: cell {cell + 1} {self.troubles()[cell]}"

    def culprit(self, name: str) -> int | None:
        """The cell that would have defined a name and came to grief."""
        return next((cell for cell in self.troubles() if defines(name, self.submission.cells[cell])), None)

    def troubles(self) -> dict[int, str]:
        return dict(sorted({**self.failed, **self.fatal}.items()))

    def messages(self) -> list[str]:
        """The trouble of each cell, without those that only miss what a broken cell would have defined."""
        return [f"cell {cell + 1} {text}" for cell, text in self.troubles().items() if not self.follows(text)]

    def follows(self, text: str) -> bool:
        name = re.match(r"raised NameError: name '(\w+)' is not defined", text)
        return name is not None and self.culprit(name[1]) is not None

    def lose(self) -> None:
        if self.worker is not None:
            self.worker.close()
        self.worker = None

    close = lose


def defines(name: str, cell: str) -> bool:
    return bool(re.search(rf"^[ \t]*+(async )?(def|class) {name}\b|^{name} *=", cell, re.MULTILINE))


def trouble(reply: dict, limits: Limits) -> str:
    """What went wrong in a cell, to follow on "cell 3"."""
    error = error_of(reply)
    if "SyntaxError" in error.types:
        line = reply.get("line")
        return "has a syntax error" + (f" at line {line}" if isinstance(line, int) else "")
    if "MemoryError" in error.types or "can't allocate memory" in error.message:
        return f"used more than {limits.memory} MB"
    return f"raised {' '.join(error.type.split())}" + (
        f": {error.message.splitlines()[0][:120]}" if error.message.strip() else ""
    )


def error_of(told: Any) -> Error:
    """An exception from what a worker says of it, every part brought to its type."""
    types = told.get("types") if isinstance(told, dict) else None
    names = tuple(printable(name) for name in types) if isinstance(types, list) else ("Exception",)
    texts = [told.get(key) if isinstance(told, dict) else "" for key in ("message", "line", "unfinished")]
    return Error(names, *(printable(text) if isinstance(text, str) else "" for text in texts))


def outcome_of(reply: dict, arguments: int) -> Outcome:
    """An outcome from a worker's reply, every part brought to its type: nothing in it is taken on trust."""
    changed = reply.get("changed")
    changed = [i for i in changed if type(i) is int and 0 <= i < arguments] if isinstance(changed, list) else ()
    changed = tuple(sorted(set(changed)))
    told = reply.get("error")
    error = error_of(told) if isinstance(told, dict) else None
    return Outcome(reply.get("value", Other("nothing")), error, changed, printed="")


def printable(text: object) -> str:
    """Text without control characters, so that no notebook can paint the terminal."""
    return "".join(c if c.isprintable() or c == "\n" else " " for c in str(text))[:1000]
