"""Exercises made from solutions: one source for both.

Three rules turn a solution into an exercise. What stands between BEGIN SOLUTION and END SOLUTION becomes a
NotImplementedError; what stands between BEGIN HIDDEN TESTS and END HIDDEN TESTS goes; a cell tagged solution-only goes.
The marks are nbgrader's own.
"""

import re
from pathlib import Path

import nbformat

from course_lib.notebooks.execute import name_cells
from course_lib.notebooks.pairs import notebook_of, read_notebook

CELL = re.compile(r"^(?=# %%)", re.MULTILINE)
MARK = re.compile(r"### (BEGIN|END) (SOLUTION|HIDDEN TESTS)$", re.MULTILINE)


def between(name: str) -> re.Pattern:
    """From the line of a BEGIN mark to that of its END, the indentation of the first as group 1."""
    return re.compile(rf"^([ \t]*)### BEGIN {name}\n.*?^[ \t]*### END {name}\n", re.MULTILINE | re.DOTALL)


def make_exercise(source_text: str) -> str:
    """The percent-format text of an exercise from that of its solution; ValueError where a mark has no partner."""
    head, *cells = CELL.split(source_text.rstrip("\n") + "\n")
    kept = [cell for cell in cells if "solution-only" not in cell.partition("\n")[0]]
    text = head + "".join(kept)
    text = between("SOLUTION").sub(r'\1raise NotImplementedError("your code here")\n', text)
    text = between("HIDDEN TESTS").sub("", text)
    if left := MARK.search(text):
        raise ValueError(f"a mark without its partner: {left[0]}")
    return text


def write_exercises(root: Path) -> list[Path]:
    """Writes exercises/NN_name.py and the unrun .ipynb for every solutions/NN_name.py under root; returns the files."""
    (root / "exercises").mkdir(exist_ok=True)
    written = []
    for solution in sorted((root / "solutions").glob("*.py")):
        exercise = root / "exercises" / solution.name
        text = make_exercise(solution.read_text(encoding="utf-8"))
        exercise.write_text(text, encoding="utf-8", newline="\n")
        notebook = read_notebook(exercise)
        name_cells(notebook)
        notebook_of(exercise).write_text(nbformat.writes(notebook) + "\n", encoding="utf-8", newline="\n")
        written += [exercise, notebook_of(exercise)]
    return written
