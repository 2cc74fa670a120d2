"""A notebook as handed in: its code cells, and which exercise it is."""

import json
import re
from dataclasses import dataclass
from pathlib import Path

from course_lib.grading import tasks

LARGEST = 64 * 2**20


class Unreadable(Exception):
    """The file is no notebook that can be read; the text says why."""


@dataclass(frozen=True)
class Submission:
    """The code cells of a notebook in order, and the number of its exercise ("02"), empty if it is none of ours."""

    path: Path
    cells: tuple[str, ...]
    exercise: str


def read(path: Path, exercise: str = "") -> Submission:
    """Reads a notebook; the exercise is told by its contents where it is not given. Unreadable for a broken file."""
    if path != path.resolve():
        raise Unreadable("a link, not a notebook: hand in the file itself")
    try:
        if path.stat().st_size > LARGEST:
            raise Unreadable(f"larger than {LARGEST // 2**20} MB: clear its outputs and hand it in again")
        notebook = json.loads(path.read_text(encoding="utf-8"))
    except json.JSONDecodeError as error:
        raise Unreadable(f"broken notebook: no JSON from line {error.lineno} on") from error
    except (UnicodeDecodeError, RecursionError, ValueError) as error:
        raise Unreadable("broken notebook: not JSON text") from error
    except OSError as error:
        raise Unreadable(f"cannot be read: {error.strerror}") from error
    cells = code_cells(notebook)
    try:
        return Submission(path, cells, exercise or which_exercise(path, cells, grade_ids(notebook)))
    except RecursionError as error:
        raise Unreadable("broken notebook: nested too deep") from error


def code_cells(notebook: object) -> tuple[str, ...]:
    """The sources of the code cells; Unreadable where the file has no cells."""
    if not isinstance(notebook, dict) or not isinstance(notebook.get("cells"), list):
        raise Unreadable("broken notebook: it has no cells")
    cells = [cell for cell in notebook["cells"] if isinstance(cell, dict) and cell.get("cell_type") == "code"]
    return tuple(source(cell.get("source", "")) for cell in cells)


def source(text: object) -> str:
    return "".join(map(str, text)) if isinstance(text, list) else str(text)


def grade_ids(notebook: dict) -> str:
    return " ".join(re.findall(r'"grade_id": *"([^"]*)"', json.dumps(notebook)))


def which_exercise(path: Path, cells: tuple[str, ...], ids: str) -> str:
    """The exercise of which most tasks can be seen, by a check, a function or a grade id; failing that, by file name.

    Only the number is taken from the notebook, never the list of its tasks: a deleted cell does not shrink the total.
    """
    text = "\n".join(cells)
    seen = {number: sum(mentions(task, text, ids) for task in tasks.exercise(number)) for number in tasks.numbers()}
    best = max(seen, key=lambda number: (seen[number], path.name.startswith(number)))
    if seen[best]:
        return best
    return next((number for number in tasks.numbers() if path.name.startswith(f"{number}_")), "")


def mentions(task: tasks.Task, text: str, ids: str) -> bool:
    defined = re.search(rf"^(def|class) {task.function}\b|^{task.function} *=", text, re.MULTILINE)
    return bool(defined) or f'"{task.id}"' in text or f"'{task.id}'" in text or task.id.replace(".", "-") in ids.split()
