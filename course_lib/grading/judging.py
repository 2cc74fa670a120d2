"""The judge: puts the cases to an answer, holds the outcomes against the reference, and names the mistake.

The judge never runs the answer itself. It is handed a function from arguments to an `Outcome`; whether that calls a
function next door or asks a process behind a pipe is not its business.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from course_lib.grading.calling import call
from course_lib.grading.comparing import compare
from course_lib.grading.showing import kind_of, lines, parameters, show_call, side_by_side
from course_lib.grading.specs import Generator
from course_lib.grading.task import Case, Error, Mistake, Outcome, Task

Answer = Callable[[Sequence[Any]], Outcome]


@dataclass(frozen=True)
class Verdict:
    """What the judge says: status is right, wrong, error, not started or stopped; diagnosis names a known mistake.

    `told` is the diagnosis' first sentence.
    """

    task: Task
    status: str
    headline: str
    detail: tuple[str, ...] = ()
    diagnosis: str = ""
    told: str = ""

    @property
    def score(self) -> int:
        return self.task.points if self.status == "right" else 0


def judge(task: Task, answer: Answer, generator: torch.Generator) -> Verdict:
    """The verdict on an answer, from as many cases as the task makes out of the generator."""
    cases = list(task.cases(generator))
    outcomes = []
    for case in cases:
        outcomes.append(ask(answer, case))
        if outcomes[-1].stopped:
            return Verdict(task, "stopped", outcomes[-1].stopped, tuple(show_call(task, case)))
        if (unfinished := outcomes[-1].error) and is_placeholder(unfinished):
            return waiting(task, unfinished.unfinished)
    expected = [ask(direct(task.reference), case) for case in cases]
    wrong = [i for i in range(len(cases)) if disagreement(task, cases[i], outcomes[i], expected[i])]
    if not wrong:
        return Verdict(task, "right", f"right on all {len(cases)} cases")
    mistake = recognise(task, cases, outcomes, expected)
    return explain(task, cases, wrong[0], outcomes[wrong[0]], expected[wrong[0]], mistake)


def is_placeholder(error: Error) -> bool:
    """Whether an exception says that something is still to be written; torch's own say what it cannot compute."""
    return "NotImplementedError" in error.types and not re.search("not implemented for|Could not run", error.message)


def waiting(task: Task, unfinished: str) -> Verdict:
    """The verdict on an answer that is not written, or that calls a function which is not."""
    if unfinished in ("", task.function):
        return Verdict(task, "not started", "not started yet")
    return Verdict(task, "error", f"not yet: it calls {unfinished}, which is not written yet")


def direct(function: Callable) -> Answer:
    return lambda arguments: call(function, arguments)


def ask(answer: Answer, case: Case) -> Outcome:
    """The outcome of a case; several calls give the list of their values, or the first outcome that is no value."""
    outcomes = []
    for arguments in case.calls:
        outcomes.append(answer(arguments))
        if outcomes[-1].error or outcomes[-1].stopped:
            return outcomes[-1]
    if len(outcomes) == 1:
        return outcomes[0]
    changed = tuple(sorted({i for outcome in outcomes for i in outcome.changed}))
    return replace(outcomes[0], value=[outcome.value for outcome in outcomes], changed=changed)


def disagreement(task: Task, case: Case, outcome: Outcome, expected: Outcome) -> str | None:
    """What is wrong with an outcome, or None."""
    if expected.error:
        return (
            None if outcome.error and expected.error.type in outcome.error.types else f"a {expected.error.type} belongs"
        )
    if outcome.error:
        return f"{outcome.error.type}: {outcome.error.message}" if outcome.error.message else outcome.error.type
    said = values_differ(task, case, outcome.value, expected.value)
    if said is None and outcome.changed != expected.changed:
        names = [parameters(task.reference)[i] for i in outcome.changed]
        return f"the argument {' and '.join(names)} was changed in place: whoever passed it in still needs it"
    return said


def values_differ(task: Task, case: Case, output: Any, expected: Any) -> str | None:
    try:
        return (task.compare or compare)(case, output, expected)
    except Exception as error:  # noqa: BLE001  an answer can be anything; the judge must go on
        return f"the answer, {kind_of(output)}, could not be compared ({type(error).__name__})"


def recognise(task: Task, cases: list[Case], outcomes: list[Outcome], expected: list[Outcome]) -> Mistake | None:
    """The known mistake that answers like this one on every case.

    Failing that, the one most like it among those alike on the first failing case and on half of all failing cases.
    A mistake that is wrong where this answer is right, over three times as often as both are alike, is another one.
    """
    fails = [bool(disagreement(task, *row)) for row in zip(cases, outcomes, expected, strict=True)]
    first, best, most = fails.index(True), None, sum(fails) / 2
    for mistake in task.mistakes:
        if not similar(task, cases[first], outcomes[first], ask(direct(mistake.answer), cases[first]), expected[first]):
            continue
        theirs = [ask(direct(mistake.answer), case) for case in cases]
        alike = [similar(task, *row) for row in zip(cases, outcomes, theirs, expected, strict=True)]
        if all(alike):
            return mistake
        common = sum(a for a, f in zip(alike, fails, strict=True) if f)
        apart = len(alike) - sum(fails) - (sum(alike) - common)
        if common >= most and 3 * common >= apart:
            best, most = mistake, common + 0.5
    return best


def similar(task: Task, case: Case, outcome: Outcome, theirs: Outcome, expected: Outcome) -> bool:
    """Whether two outcomes look like the same mistake; where an exception belongs, only what was raised counts."""
    if outcome.error or theirs.error or expected.error:
        return gist(outcome, expected) == gist(theirs, expected) or both_refused(outcome.error, theirs.error)
    return outcome.changed == theirs.changed and values_differ(task, case, outcome.value, theirs.value) is None


def both_refused(error: Error | None, theirs: Error | None) -> bool:
    """Whether both raised one class of exception by a `raise` of their own: the words in it are everyone's own."""
    if error is None or theirs is None or error.type != theirs.type:
        return False
    return all(re.search(r"\braise\b", told.line) for told in (error, theirs))


def gist(outcome: Outcome, expected: Outcome) -> tuple[str, str]:
    """An exception's class and message without its numbers; shapes that do not fit are told in too many ways."""
    if outcome.error is None:
        return ("", "")
    message = re.sub(r"\d+", "", outcome.error.message)[:60]
    if re.search("expanded size|must match|shape mismatch|broadcast", message):
        message = "shapes"
    return (outcome.error.type, "" if expected.error else message)


def explain(
    task: Task, cases: list[Case], i: int, outcome: Outcome, expected: Outcome, mistake: Mistake | None
) -> Verdict:
    """The verdict on a wrong answer: what differs, the smallest case that shows it, and the mistake if it is known."""
    said = disagreement(task, cases[i], outcome, expected)
    status = "error" if outcome.error and not expected.error else "wrong"
    detail = [f"  {said}", *show_call(task, cases[i])]
    if status == "error":
        detail += [f"  raised at {outcome.error.line}"] if outcome.error.line else []
    else:
        detail += answers(cases[i], outcome, expected)
    detail += [f"  it printed: {outcome.printed.strip()}"] if outcome.printed.strip() else []
    detail += [f"  What happened: {mistake.diagnosis}"] if mistake else []
    verb = "raised an exception" if status == "error" else "is wrong"
    headline = f"not yet: case {i + 1} of {len(cases)} {verb}"
    if mistake is None:
        return Verdict(task, status, headline, tuple(detail))
    return Verdict(task, status, headline, tuple(detail), mistake.name, re.split(r"(?<=[.?])\s", mistake.diagnosis)[0])


def answers(case: Case, outcome: Outcome, expected: Outcome) -> list[str]:
    """Expected and got, in two columns, none where they are alike; of several calls what came of each."""
    if len(case.calls) > 1 and isinstance(outcome.value, list):
        titles = [", ".join([f"run {i}", *seeds(arguments)]) for i, arguments in enumerate(case.calls, 1)]
        return side_by_side([lines(value) for value in outcome.value], titles)
    for digits in (6, 9, 12, 17):
        want = [f"a {expected.error.type}"] if expected.error else lines(expected.value, digits)
        got = [outcome.error.type] if outcome.error else lines(outcome.value, digits)
        if want != got:
            break
    if want == got and kind_of(expected.value) != kind_of(outcome.value):
        want, got = [kind_of(expected.value)], [kind_of(outcome.value)]
    return side_by_side([want, got], ("expected", "got")) if want != got else []


def seeds(arguments: Sequence[Any]) -> list[str]:
    return [f"seed {argument.seed}" for argument in arguments if isinstance(argument, Generator)]
