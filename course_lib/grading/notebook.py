"""`check` and `hint`, as a notebook uses them."""

import _thread
import contextlib
import signal
import threading
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch

from course_lib.grading import progress
from course_lib.grading.calling import call
from course_lib.grading.judging import Verdict, judge
from course_lib.grading.task import Outcome, Task

SECONDS = 1.5
_hinted: set[str] = set()


def check(task_id: str, answer: Callable, strict: bool = False) -> None:
    """Prints what the judge says of `answer`, the function itself; the same words at every run.

    With `strict`, says nothing of a right answer and raises AssertionError for any other.
    """
    task = _find(task_id)
    if task is None or not callable(answer):
        return _say(_misuse(task_id, task, answer), strict)
    with torch.random.fork_rng(devices=[]):
        verdict = judge(task, _patient(answer, task.slow), torch.Generator().manual_seed(zlib.crc32(task_id.encode())))
    if not strict:
        progress.note_check(task.id, verdict.status)
    if not (strict and verdict.status == "right"):
        _say("\n".join(report(verdict)), strict)


def hint(task_id: str) -> None:
    """Prints the next hint: a nudge, a formula, a skeleton, and then where the solution stands.

    In a new kernel first those once more that were opened before: to run a notebook again opens none.
    """
    task = _find(task_id)
    if task is None:
        return print(_misuse(task_id, task, None))
    opened = progress.hints_opened(task.id)
    if opened and task.id not in _hinted:
        print("\n\n".join(_hint(task, level) for level in range(1, opened + 1)))
    else:
        print(_hint(task, progress.note_hint(task.id)))
    _hinted.add(task.id)


def _hint(task: Task, level: int) -> str:
    names = ("nudge", "formula", "skeleton")
    if level <= len(task.hints):
        return f"{task.id}, hint {level} of {len(task.hints)} ({names[level - 1]}):\n{task.hints[level - 1]}"
    return f"{task.id}: that was the last hint. The solution, with its reasons, stands in {_solution(task)}"


@contextlib.contextmanager
def when_solved() -> Iterator[None]:
    """Lets a cell that needs an unwritten function wait for it, instead of failing."""
    try:
        yield
    except NotImplementedError:
        print("This cell is waiting for a function above that is not written yet.")


def report(verdict: Verdict) -> list[str]:
    """The verdict as lines to print."""
    task = verdict.task
    if verdict.status == "right":
        return [f"{task.id}: {verdict.headline}. {task.points} of {task.points} points."]
    if verdict.status == "not started":
        return [f'{task.id}: {verdict.headline}. Replace the NotImplementedError; hint("{task.id}") helps.']
    return [f"{task.id}: {verdict.headline}", *verdict.detail, f'  hint("{task.id}") opens a hint.']


def _say(text: str, strict: bool) -> None:
    if strict:
        raise AssertionError(text)
    print(text)


def _find(task_id: str) -> Task | None:
    # Only here, so that a process which runs answers can do without the references.
    from course_lib.grading.tasks import find

    return find(task_id)


def _solution(task: Task) -> str:
    from course_lib.grading.tasks import solution

    return solution(task)


def _misuse(task_id: str, task: Task | None, answer: Any) -> str:
    if task is None:
        from course_lib.grading.tasks import known

        return f"There is no task {task_id!r}. The tasks are: {', '.join(known())}."
    kind = "the answer it gave" if answer is not None else "None"
    return f'check takes the function itself, not {kind}: check("{task_id}", {task.function}), without brackets.'


def _patient(answer: Callable, slow: str) -> Callable[[Sequence[Any]], Outcome]:
    """Calls the answer as long as all its calls together stay within the time limit."""
    clock = _Clock(SECONDS)

    def ask(arguments: Sequence[Any]) -> Outcome:
        try:
            with clock:
                return call(answer, arguments)
        except KeyboardInterrupt:
            if not clock.rang:
                raise
            return Outcome(stopped=f"did not answer within {SECONDS:g} s: {slow}")

    return ask


class _Clock:
    """Interrupts the main thread, again and again, once the time spent inside the `with` blocks is used up."""

    def __init__(self, seconds: float):
        self.left, self.rang, self.lock = seconds, False, threading.Lock()

    def __enter__(self) -> None:
        self.start, self.done = time.monotonic(), threading.Event()
        self.main = threading.current_thread() is threading.main_thread()
        if self.main:
            # A process started in the background ignores SIGINT, and an endless answer would never end.
            self.before = signal.signal(signal.SIGINT, signal.default_int_handler)
            threading.Thread(target=self._watch, args=(self.done,), daemon=True).start()

    def __exit__(self, *_: object) -> None:
        try:
            with self.lock:
                self.done.set()
        finally:
            # The last ring may arrive while the lock is waited for.
            self.done.set()
            if self.main:
                signal.signal(signal.SIGINT, self.before or signal.SIG_DFL)
        self.left -= time.monotonic() - self.start

    def _watch(self, done: threading.Event) -> None:
        done.wait(max(self.left, 0.0))
        while not done.is_set():
            with self.lock:
                if not done.is_set():
                    self.rang = True
                    _interrupt()
            done.wait(0.1)


def _interrupt() -> None:
    """KeyboardInterrupt in the main thread; a real signal, where there are signals, also ends a sleep."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
    else:
        _thread.interrupt_main()
