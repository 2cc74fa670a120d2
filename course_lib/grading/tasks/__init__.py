"""The tasks of every exercise, found by their ids."""

from importlib import import_module
from pkgutil import iter_modules

from course_lib.grading.task import Task


def modules() -> list[str]:
    """The names of the modules that hold tasks, in order."""
    return sorted(module.name for module in iter_modules(__path__))


def known() -> list[str]:
    """Every task id, in order."""
    return [task.id for name in modules() for task in import_module(f"{__name__}.{name}").TASKS]


def exercise(number: str) -> tuple[Task, ...]:
    """All tasks of one exercise ("02"), in order; empty where there is none."""
    names = [name for name in modules() if name.endswith(f"_{number}")]
    return tuple(task for name in names for task in import_module(f"{__name__}.{name}").TASKS)


def numbers() -> list[str]:
    """The numbers of all exercises."""
    return sorted({name.rpartition("_")[2] for name in modules()})


def find(task_id: str) -> Task | None:
    """The task of that id, or None."""
    if not isinstance(task_id, str):
        return None
    return next((task for task in exercise(task_id.partition(".")[0]) if task.id == task_id), None)


def solution(task: Task) -> str:
    """Where the solution of a task stands, in words."""
    module = import_module(f"{__name__}.{next(n for n in modules() if n.endswith('_' + task.exercise))}")
    return module.SOLUTION
