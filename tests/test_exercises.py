"""Every exercise: right answers accepted, wrong ones told apart, one source for it and its solution."""

import json
import linecache
import re
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules

import pytest
import torch

from course_lib.grading.judging import direct, judge
from course_lib.grading.notebook import report
from course_lib.grading.tasks import exercise, find, known, numbers
from course_lib.notebooks.exercises import make_exercise, write_exercises
from course_lib.notebooks.pairs import read_notebook
from tests import grading_cases

ROOT = Path(__file__).parents[1]
SOLUTIONS = sorted((ROOT / "solutions").glob("*.py"))
CASES = [import_module(f"tests.grading_cases.{module.name}") for module in iter_modules(grading_cases.__path__)]
RIGHT = {task: answers for module in CASES for task, answers in module.RIGHT.items()}
WRONG = {task: answers for module in CASES for task, answers in module.WRONG.items()}
RIGHT_ANSWERS = [(task, answer) for task, answers in RIGHT.items() for answer in answers]
WRONG_ANSWERS = [(task, answer, name) for task, answers in WRONG.items() for answer, name in answers]


each_solution = pytest.mark.parametrize("solution", SOLUTIONS, ids=[path.stem for path in SOLUTIONS])


def tasks_of(solution: Path):
    return exercise(solution.name[:2])


def test_every_exercise_has_tasks_and_every_task_an_exercise():
    assert {path.name[:2] for path in SOLUTIONS} | {"00"} == set(numbers())
    assert all(4 <= len(tasks_of(path)) <= 6 for path in SOLUTIONS)
    assert set(RIGHT) == set(WRONG) == set(known())


def verdict(task_id, answer, seed=0):
    return judge(find(task_id), direct(answer), torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("task_id", "answer"), RIGHT_ANSWERS)
def test_a_right_answer_written_differently_is_accepted(task_id, answer, seed, record_property):
    record_property("right", task_id)
    said = verdict(task_id, answer, seed)
    assert said.status == "right", report(said)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(("task_id", "answer", "name"), WRONG_ANSWERS)
def test_a_wrong_answer_is_rejected_with_its_own_diagnosis(task_id, answer, name, seed, record_property):
    record_property("wrong", task_id)
    said = verdict(task_id, answer, seed)
    assert said.score == 0
    assert said.diagnosis == name, report(said)


@pytest.mark.parametrize("task", [find(task_id) for task_id in known()], ids=known())
def test_every_mistake_the_library_knows_is_wrong_and_recognised_as_itself(task):
    for mistake in task.mistakes:
        assert verdict(task.id, mistake.answer).diagnosis == mistake.name


def in_words(answer) -> str:
    """A wrong answer by its name, or as the line of source that makes it."""
    parts = [answer, *(cell.cell_contents for cell in answer.__closure__ or () if callable(cell.cell_contents))]
    for part in parts:
        if part.__name__ == "<lambda>":
            line = linecache.getline(part.__code__.co_filename, part.__code__.co_firstlineno).strip()
            return re.sub(r'^\(|, "\w+"\),$', "", line)
    maker, _, inner = answer.__qualname__.partition(".")
    return f"{maker}({', '.join(part.__name__ for part in parts[1:])})" if inner else maker


def test_every_task_has_five_wrong_answers_and_two_right_ones(capsys):
    rows = [("task", "wrong answer", "diagnosis")]
    rows += [(task_id, in_words(answer), name) for task_id, answer, name in WRONG_ANSWERS]
    widths = [max(len(row[i]) for row in rows) for i in range(3)]
    with capsys.disabled():
        print()
        for row in rows:
            print("  ".join(f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True)).rstrip())
        print(f"{len(known())} tasks, {len(WRONG_ANSWERS)} wrong answers, {len(RIGHT_ANSWERS)} right ones")
    for task_id in known():
        assert len({name for _, name in WRONG[task_id]}) >= 5
        assert len(RIGHT[task_id]) >= 2


def test_a_diagnosis_never_gives_code_away():
    for task_id in known():
        for mistake in find(task_id).mistakes:
            assert len(mistake.diagnosis) > 20
            assert not re.search(r"\breturn\b|\bmask\[|F\.\w+\(", mistake.diagnosis), mistake.name


# One source


def made_in(folder: Path) -> dict[str, bytes]:
    """All exercises, made from the solutions in a folder of their own."""
    (folder / "solutions").mkdir(exist_ok=True)
    for solution in SOLUTIONS:
        (folder / "solutions" / solution.name).write_bytes(solution.read_bytes())
    return {path.name: path.read_bytes() for path in write_exercises(folder)}


def test_the_exercises_are_what_the_solutions_make(tmp_path):
    for name, content in made_in(tmp_path).items():
        assert content == (ROOT / "exercises" / name).read_bytes()


def test_making_an_exercise_twice_gives_the_same_bytes(tmp_path):
    first = made_in(tmp_path)
    assert made_in(tmp_path) == first
    for name in (name for name in first if name.endswith(".ipynb")):
        notebook = json.loads(first[name])
        code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
        assert all(cell["execution_count"] is None and cell["outputs"] == [] for cell in code)
        assert len({cell["id"] for cell in notebook["cells"]}) == len(notebook["cells"])


@each_solution
def test_nothing_of_the_solution_is_left_in_the_exercise(solution):
    source = solution.read_text()
    made = make_exercise(source)
    for region in re.findall(r"### BEGIN SOLUTION\n(.*?)### END SOLUTION", source, re.DOTALL):
        assert region not in made
    assert made.count('raise NotImplementedError("your code here")') == len(tasks_of(solution))
    assert not re.search(r"BEGIN|END|strict=True|solution-only", made)


def test_a_mark_without_its_partner_is_refused():
    with pytest.raises(ValueError, match="partner"):
        make_exercise("# %%\ndef f():\n    ### BEGIN SOLUTION\n    return 1\n")


# Run as a learner would


def run(source: str) -> dict:
    """All cells of a notebook in one namespace."""
    names: dict = {}
    cells = [cell.source for cell in read_notebook_text(source).cells if cell.cell_type == "code"]
    exec("\n".join(cells), names)
    return names


def read_notebook_text(source: str):
    import jupytext

    return jupytext.reads(source, fmt="py:percent")


@each_solution
def test_the_solution_has_full_marks(solution, capsys):
    run(solution.read_text())
    told = capsys.readouterr().out
    assert [task.id for task in tasks_of(solution) if f"{task.id}: right" not in told] == []
    assert "waiting for a function above" not in told


@each_solution
def test_the_unsolved_exercise_runs_clean_and_says_so(solution, capsys):
    run(make_exercise(solution.read_text()))
    told = capsys.readouterr().out
    assert [task.id for task in tasks_of(solution) if f"{task.id}: not started" not in told] == []
    assert "waiting for a function above" in told


# nbgrader, version 3 of its cell metadata


def graded_cells(solution: Path):
    return [cell for cell in read_notebook(solution).cells if "nbgrader" in cell.metadata]


@each_solution
def test_cells_hold_valid_nbgrader_metadata(solution):
    ids = [cell.metadata.nbgrader.grade_id for cell in graded_cells(solution)]
    assert len(set(ids)) == len(ids)
    for cell in graded_cells(solution):
        told = cell.metadata.nbgrader
        assert told.schema_version == 3
        assert re.fullmatch(r"[a-zA-Z0-9_\-]+", told.grade_id)
        assert {type(told[key]) for key in ("grade", "solution", "locked", "task")} == {bool}
        assert not told.task
        assert ("points" in told) == told.grade
        assert told.solution != told.grade, "either written by hand or checked by machine"
        assert told.locked == told.grade


@each_solution
def test_every_task_has_a_cell_to_write_in_and_a_locked_check_worth_its_points(solution):
    cells = {cell.metadata.nbgrader.grade_id: cell for cell in graded_cells(solution)}
    for task in tasks_of(solution):
        name = task.id.replace(".", "-")
        assert f"def {task.function}(" in cells[name].source
        check = cells[f"{name}-check"]
        assert check.metadata.nbgrader.points == task.points
        assert check.source.startswith(f'check("{task.id}", {task.function})\n')
        hidden = re.search(r"### BEGIN HIDDEN TESTS\n(.*?)\n### END HIDDEN TESTS", check.source, re.DOTALL)
        assert hidden[1] == f'check("{task.id}", {task.function}, strict=True)'


@each_solution
def test_points_minutes_and_difficulty_in_the_text_are_those_of_the_tasks(solution):
    text, tasks = solution.read_text(), tasks_of(solution)
    for task in tasks:
        points = f"{task.points} point{'s' if task.points > 1 else ''}"
        assert f"Difficulty {task.difficulty} of 5 · {points} · {task.minutes} minutes" in text
    points, minutes = (sum(getattr(task, name) for task in tasks) for name in ("points", "minutes"))
    count = {4: "Four", 5: "Five", 6: "Six"}[len(tasks)]
    assert f"{count} tasks, {points} points, {minutes} minutes." in text


@each_solution
def test_notebook_cells_hold_no_semicolon_at_the_end(solution):
    for cell in read_notebook(solution).cells:
        assert not cell.source.rstrip().endswith(";")
