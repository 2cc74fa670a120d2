"""Exercise 02 and the warm-up of chapter 00: right answers accepted, wrong ones told apart, one source for both."""

import json
import linecache
import re
from pathlib import Path

import pytest
import torch

from course_lib.grading.judging import direct, judge
from course_lib.grading.notebook import report
from course_lib.grading.tasks import exercise, find, known
from course_lib.notebooks.exercises import make_exercise, write_exercises
from course_lib.notebooks.pairs import read_notebook
from tests.grading_cases import chapter_00, exercise_02

ROOT = Path(__file__).parents[1]
SOLUTION = ROOT / "solutions" / "02_pixelrnn_pixelcnn.py"
RIGHT = {**chapter_00.RIGHT, **exercise_02.RIGHT}
WRONG = {**chapter_00.WRONG, **exercise_02.WRONG}
RIGHT_ANSWERS = [(task, answer) for task, answers in RIGHT.items() for answer in answers]
WRONG_ANSWERS = [(task, answer, name) for task, answers in WRONG.items() for answer, name in answers]


def verdict(task_id, answer, seed=0):
    return judge(find(task_id), direct(answer), torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("task_id", "answer"), RIGHT_ANSWERS)
def test_a_right_answer_written_differently_is_accepted(task_id, answer, seed):
    said = verdict(task_id, answer, seed)
    assert said.status == "right", report(said)


@pytest.mark.parametrize("seed", range(2))
@pytest.mark.parametrize(("task_id", "answer", "name"), WRONG_ANSWERS)
def test_a_wrong_answer_is_rejected_with_its_own_diagnosis(task_id, answer, name, seed):
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


def test_the_exercise_is_what_the_solution_makes(tmp_path):
    (tmp_path / "solutions").mkdir()
    (tmp_path / "solutions" / SOLUTION.name).write_bytes(SOLUTION.read_bytes())
    for path in write_exercises(tmp_path):
        assert path.read_bytes() == (ROOT / "exercises" / path.name).read_bytes()


def test_making_an_exercise_twice_gives_the_same_bytes(tmp_path):
    (tmp_path / "solutions").mkdir()
    (tmp_path / "solutions" / SOLUTION.name).write_bytes(SOLUTION.read_bytes())
    first = {path.name: path.read_bytes() for path in write_exercises(tmp_path)}
    assert {path.name: path.read_bytes() for path in write_exercises(tmp_path)} == first
    notebook = json.loads(first["02_pixelrnn_pixelcnn.ipynb"])
    code = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(cell["execution_count"] is None and cell["outputs"] == [] for cell in code)
    assert len({cell["id"] for cell in notebook["cells"]}) == len(notebook["cells"])


def test_nothing_of_the_solution_is_left_in_the_exercise():
    source = SOLUTION.read_text()
    made = make_exercise(source)
    for region in re.findall(r"### BEGIN SOLUTION\n(.*?)### END SOLUTION", source, re.DOTALL):
        assert region not in made
    assert made.count('raise NotImplementedError("your code here")') == len(exercise("02"))
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


def test_the_solution_has_full_marks(capsys):
    run(SOLUTION.read_text())
    told = capsys.readouterr().out
    assert [f"{task.id}: right" in told for task in exercise("02")] == [True] * 5
    assert "log p = " in told


def test_the_unsolved_exercise_runs_clean_and_says_so(capsys):
    run(make_exercise(SOLUTION.read_text()))
    told = capsys.readouterr().out
    assert [f"{task.id}: not started" in told for task in exercise("02")] == [True] * 5
    assert "waiting for a function above" in told


# nbgrader, version 3 of its cell metadata


def graded_cells():
    return [cell for cell in read_notebook(SOLUTION).cells if "nbgrader" in cell.metadata]


def test_cells_hold_valid_nbgrader_metadata():
    ids = [cell.metadata.nbgrader.grade_id for cell in graded_cells()]
    assert len(set(ids)) == len(ids)
    for cell in graded_cells():
        told = cell.metadata.nbgrader
        assert told.schema_version == 3
        assert re.fullmatch(r"[a-zA-Z0-9_\-]+", told.grade_id)
        assert {type(told[key]) for key in ("grade", "solution", "locked", "task")} == {bool}
        assert not told.task
        assert ("points" in told) == told.grade
        assert told.solution != told.grade, "either written by hand or checked by machine"
        assert told.locked == told.grade


def test_every_task_has_a_cell_to_write_in_and_a_locked_check_worth_its_points():
    cells = {cell.metadata.nbgrader.grade_id: cell for cell in graded_cells()}
    for task in exercise("02"):
        name = task.id.replace(".", "-")
        assert f"def {task.function}(" in cells[name].source
        check = cells[f"{name}-check"]
        assert check.metadata.nbgrader.points == task.points
        assert check.source.startswith(f'check("{task.id}", {task.function})\n')
        hidden = re.search(r"### BEGIN HIDDEN TESTS\n(.*?)\n### END HIDDEN TESTS", check.source, re.DOTALL)
        assert hidden[1] == f'check("{task.id}", {task.function}, strict=True)'


def test_points_minutes_and_difficulty_in_the_text_are_those_of_the_tasks():
    text = SOLUTION.read_text()
    for task in exercise("02"):
        points = f"{task.points} point{'s' if task.points > 1 else ''}"
        assert f"Difficulty {task.difficulty} of 5 · {points} · {task.minutes} minutes" in text
    points, minutes = (sum(getattr(task, name) for task in exercise("02")) for name in ("points", "minutes"))
    assert f"Five tasks, {points} points, {minutes} minutes." in text


def test_notebook_cells_hold_no_semicolon_at_the_end():
    for cell in read_notebook(SOLUTION).cells:
        assert not cell.source.rstrip().endswith(";")
