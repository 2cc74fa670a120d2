"""Calling an answer with fresh arguments and telling what came of it, wherever the answer lives."""

import contextlib
import io
import linecache
import traceback
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from course_lib.grading.specs import Leaf, build
from course_lib.grading.task import Error, Outcome

PRINTED = 400


def call(answer: Callable, arguments: Sequence[Any]) -> Outcome:
    """Calls `answer` with copies of the arguments; exceptions are told, never raised, except KeyboardInterrupt."""
    built = [build(argument) for argument in arguments]
    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            leaves = [new for new, old in zip(built, arguments, strict=True) if isinstance(old, Leaf)]
            value = told_by_gradients(answer(*built), leaves)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # noqa: BLE001  SystemExit in an answer must not end the kernel
        return Outcome(error=tell(error, answer), printed=printed.getvalue()[:PRINTED])
    changed = tuple(i for i, (new, old) in enumerate(zip(built, arguments, strict=True)) if not unchanged(new, old))
    return Outcome(value=value, changed=changed, printed=printed.getvalue()[:PRINTED])


def told_by_gradients(value: Any, leaves: Sequence[Tensor]) -> Any:
    """The gradient of the value's sum for each leaf, zeros where it does not depend on one; without leaves, the value.

    Of several values, the gradients of the first, then those of the next; a number has none.
    A graph cannot be sent to another process. Its gradients can.
    """
    if leaves and isinstance(value, (tuple, list)):
        return [gradient for part in value for gradient in gradients_of(part, leaves)]
    return gradients_of(value, leaves) if leaves and isinstance(value, Tensor) else value


def gradients_of(value: Any, leaves: Sequence[Tensor]) -> list[Tensor]:
    if not isinstance(value, Tensor) or not value.requires_grad:
        return [torch.zeros_like(leaf) for leaf in leaves]
    graph = dict(allow_unused=True, materialize_grads=True, retain_graph=True)
    return list(torch.autograd.grad(value.sum(), leaves, **graph))


def unchanged(new: Any, old: Any) -> bool:
    """True where an argument still holds what it held: a tensor its numbers, a list or a dict its members."""
    if isinstance(old, Tensor):
        return new.shape == old.shape and new.dtype == old.dtype and torch.equal(new.nan_to_num(), old.nan_to_num())
    if isinstance(old, dict):
        return new.keys() == old.keys() and all(unchanged(new[key], old[key]) for key in old)
    if isinstance(old, (list, tuple)):
        return len(new) == len(old) and all(map(unchanged, new, old))
    return new == old if isinstance(old, (int, float, str)) else True


def tell(error: BaseException, answer: Callable | None = None) -> Error:
    """The exception as data, with the last line of the answer's own file that took part."""
    types = tuple(base.__name__ for base in type(error).__mro__)
    try:
        message = str(error)
    except Exception:  # noqa: BLE001  a learner's exception may not print
        message = ""
    unfinished = unfinished_function(error, answer) if isinstance(error, NotImplementedError) else ""
    return Error(types, message[:1000], last_line(error, answer), unfinished)


def unfinished_function(error: BaseException, answer: Callable | None) -> str:
    """The function in which the exception was raised, empty where that is the answer itself."""
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    code = frames[-1].f_code if frames else None
    return "" if code in (None, getattr(answer, "__code__", None)) else code.co_name


def last_line(error: BaseException, answer: Callable | None) -> str:
    home = getattr(getattr(answer, "__code__", None), "co_filename", None)
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename == home]
    if not frames:
        return ""
    return f"line {frames[-1].lineno}: {linecache.getline(home, frames[-1].lineno).strip()}"
