"""Notebooks on disk: pairs in step, outputs stored, chapters built alike, and a refresh that can be trusted."""

import base64
import json
import os
import re
import subprocess
from pathlib import Path

import jupytext
import nbformat
import pytest

from course_lib.notebooks import refresh as refresh_module
from course_lib.notebooks.pairs import KERNELSPEC, difference, notebook_of, read_notebook, unrun_cells
from course_lib.notebooks.refresh import ROOT, main

CHAPTERS = sorted((ROOT / "chapters").glob("*.py"))
SOLUTIONS = sorted((ROOT / "solutions").glob("*.py"))
EXERCISES = sorted((ROOT / "exercises").glob("*.py"))
RUN = CHAPTERS + SOLUTIONS
MOST_CELLS = 40
MOST_BYTES_OF_A_PICTURE = 60_000


def by_name(paths: list[Path]) -> list:
    return [pytest.param(path, id=path.relative_to(ROOT).as_posix()) for path in paths]


def code_cells(path: Path) -> list[nbformat.NotebookNode]:
    return [cell for cell in read_notebook(path).cells if cell.cell_type == "code"]


def outputs(path: Path) -> list[nbformat.NotebookNode]:
    return [output for cell in code_cells(notebook_of(path)) for output in cell.outputs]


def pictures(path: Path) -> list[nbformat.NotebookNode]:
    return [output for output in outputs(path) if "image/png" in output.get("data", {})]


def prose(cells: list[nbformat.NotebookNode]) -> str:
    return "\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def test_every_chapter_but_the_first_and_the_last_has_an_exercise():
    without = {"00_start_here.py", "09_full_scale.py"}
    assert {path.name for path in SOLUTIONS} == {path.name for path in CHAPTERS} - without
    assert [path.name for path in EXERCISES] == [path.name for path in SOLUTIONS]


@pytest.mark.parametrize("source", by_name(RUN + EXERCISES))
def test_pair_is_in_step(source):
    assert difference(source, notebook_of(source)) == ""


@pytest.mark.parametrize("source", by_name(RUN + EXERCISES))
def test_source_names_its_kernel(source):
    assert jupytext.read(source, fmt="py:percent").metadata.get("kernelspec") == KERNELSPEC


@pytest.mark.parametrize("source", by_name(RUN + EXERCISES))
def test_no_cell_ends_with_a_semicolon(source):
    assert [cell.source for cell in code_cells(source) if cell.source.rstrip().endswith(";")] == []


@pytest.mark.parametrize("source", by_name(RUN))
def test_every_cell_was_run_in_order(source):
    counts = [cell.execution_count for cell in code_cells(notebook_of(source))]
    assert counts == list(range(1, len(counts) + 1))


@pytest.mark.parametrize("source", by_name(RUN))
def test_no_stored_output_is_an_error(source):
    cells = [
        cell for cell in code_cells(notebook_of(source)) if "raises-exception" not in cell.metadata.get("tags", [])
    ]
    assert [o.evalue for cell in cells for o in cell.outputs if o.output_type == "error"] == []


@pytest.mark.parametrize("source", by_name(RUN))
def test_stored_outputs_name_no_folder_of_the_machine_that_made_them(source):
    text = json.dumps([cell.get("outputs") for cell in code_cells(notebook_of(source))])
    assert not re.search(r"ipykernel_\d|/tmp/|/home/|/root/|/Users/|C:\\\\", text)
    assert str(ROOT) not in text


@pytest.mark.parametrize("source", by_name(EXERCISES))
def test_exercise_is_stored_unrun(source):
    cells = code_cells(notebook_of(source))
    assert cells and all(cell.execution_count is None and not cell.outputs for cell in cells)


def test_exercises_are_what_the_solutions_make():
    assert refresh_module.check_exercises(ROOT) == []


@pytest.mark.parametrize("source", by_name(RUN))
def test_every_picture_carries_a_description_and_is_small(source):
    for output in pictures(source):
        assert output.metadata.get("image/png", {}).get("alt", "").strip(), output.data["text/plain"]
        assert len(base64.b64decode(output.data["image/png"])) < MOST_BYTES_OF_A_PICTURE


@pytest.mark.parametrize("source", by_name(CHAPTERS))
def test_chapter_fits_on_the_table(source):
    assert len(read_notebook(source).cells) < MOST_CELLS


@pytest.mark.parametrize("source", by_name(CHAPTERS))
def test_chapter_shows_two_figures_and_an_explorer(source):
    assert len(pictures(source)) >= 3
    assert any(output.data["text/plain"].startswith("Explorer(") for output in pictures(source))


@pytest.mark.parametrize("source", by_name(CHAPTERS))
def test_chapter_opens_with_objectives_minutes_prerequisites(source):
    opening = prose(read_notebook(source).cells[:3])
    for word in ("you will be able to", r"minutes\W+\d+", "prerequisites"):
        assert re.search(word, opening, re.IGNORECASE), f"the first three cells do not say {word!r}"


@pytest.mark.parametrize("source", by_name(SOLUTIONS))
def test_the_exercise_takes_the_minutes_that_its_chapter_says(source):
    chapter = (ROOT / "chapters" / source.name).read_text()
    opening, text = prose(read_notebook(source).cells[:3]), prose(read_notebook(source).cells)
    (said,) = re.findall(r"(\d+) more for the exercise", chapter)
    (stated,) = re.findall(r"points, (\d+) minutes", opening)
    assert said == stated and int(said) == sum(map(int, re.findall(r"· (\d+) minutes", text)))


@pytest.mark.parametrize("source", by_name(CHAPTERS))
def test_chapter_closes_with_claims_questions_references(source):
    cells = read_notebook(source).cells
    last_code = max(number for number, cell in enumerate(cells) if cell.cell_type == "code")
    assert cells[last_code].source.startswith("ClaimsTable(")
    headings = re.findall(r"^## (.+)$", prose(cells[last_code:]), re.MULTILINE)
    assert headings[0] == "Questions" and headings[-1] == "References"


@pytest.mark.parametrize("source", by_name(CHAPTERS))
def test_chapter_asks_three_to_five_questions_with_folded_answers(source):
    text = prose(read_notebook(source).cells)
    questions = re.split(r"^##+ .*questions?.*$", text, flags=re.IGNORECASE | re.MULTILINE)[-1]
    assert 3 <= questions.count("<details>") == questions.count("</details>") <= 5


@pytest.mark.parametrize("source", by_name(CHAPTERS))
def test_chapter_cites_papers_by_arxiv_id(source):
    references = re.split(
        r"^##+ .*references?.*$", prose(read_notebook(source).cells), flags=re.IGNORECASE | re.MULTILINE
    )
    assert re.search(r"arXiv[: ]\d{4}\.\d{4,5}", references[-1])


SAMPLE = """# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A sample

# %%
import os
import sys

from course_lib.figures import figure
from course_lib.widgets import Explorer, IntRange

print(os.path.basename(os.getcwd()), os.environ["OMP_NUM_THREADS"])
print("warned", file=sys.stderr)


# %%
def draw(depth):
    fig, ax = figure(fixed=True)
    ax.plot([0, depth])
    return fig


Explorer(draw, alt="A line.", depth=IntRange(1, 8, start=3))
"""
QUICK = SAMPLE.split("import os")[0] + "x = 1\nx\n"
FAILING = QUICK + "\n# %%\ny = 2\nx / 0\n"


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """An empty checkout whose exercises are its solutions with the answers taken out."""
    for folder in ("chapters", "solutions", "exercises"):
        (tmp_path / folder).mkdir()
    monkeypatch.setattr(refresh_module, "write_exercises", write_plain_exercises)
    return tmp_path


def write_plain_exercises(root: Path) -> list[Path]:
    """A stand-in for the real maker: x = 1 becomes x = None."""
    written = []
    for source in (root / "solutions").glob("*.py"):
        exercise = root / "exercises" / source.name
        exercise.write_text(source.read_text().replace("x = 1", "x = None"))
        notebook_of(exercise).write_text(nbformat.writes(read_notebook(exercise)))
        written += [exercise, notebook_of(exercise)]
    return written


def write(root: Path, name: str, text: str) -> Path:
    path = root / name
    path.write_text(text)
    return path


def edit_notebook(path: Path, old: str, new: str) -> None:
    """What VS Code does without pairing: the .ipynb changes, later than its .py, which does not."""
    path.write_text(path.read_text().replace(old, new))
    later = notebook_of(path).with_suffix(".py").stat().st_mtime + 10
    os.utime(path, (later, later))


@pytest.fixture(scope="module")
def refreshed_twice(tmp_path_factory) -> tuple[Path, bytes, bytes]:
    """The sample, refreshed by its .py and again by its .ipynb: where it lies, and its bytes after each."""
    root = tmp_path_factory.mktemp("checkout")
    (root / "chapters").mkdir()
    notebook = notebook_of(write(root, "chapters/00_sample.py", SAMPLE))
    stored = []
    for path in ("chapters/00_sample.py", "chapters/00_sample.ipynb"):
        assert main([path], root) == 0
        stored.append(notebook.read_bytes())
    return notebook, *stored


def test_two_refreshes_give_equal_bytes(refreshed_twice):
    _, first, second = refreshed_twice
    assert first == second


def test_refreshed_notebook_keeps_pictures_and_drops_what_changes_between_runs(refreshed_twice):
    notebook, text, _ = refreshed_twice
    assert b'"chapters 1\\n"' in text and b'"image/png"' in text
    assert not any(word in text for word in (b"widget-view", b"widget-state", b"language_info", b"iopub", b"model_id"))
    assert unrun_cells(notebook) == []


def test_failing_cell_is_named_and_leaves_the_stored_notebook_alone(checkout, capsys):
    notebook = notebook_of(write(checkout, "chapters/00_sample.py", FAILING))
    notebook.write_text("stored")
    os.utime(notebook, (0, 0))
    assert main([], checkout) == 1
    told = capsys.readouterr().err
    assert "chapters/00_sample.py: cell 3 of 3, line 2: x / 0\n    ZeroDivisionError: division by zero" in told
    assert notebook.read_text() == "stored"
    assert sorted(path.name for path in notebook.parent.iterdir()) == ["00_sample.ipynb", "00_sample.py"]


def test_blank_lines_between_cells_survive_the_round_trip(checkout):
    """JupyterLab refuses to open a pair that differs by a blank line."""
    lines_after_a_cell = QUICK + "\n\n\n# %%\ndef f():\n    return x\n\n\n# %% [markdown]\n# The end.\n"
    source = write(checkout, "chapters/00_sample.py", lines_after_a_cell)
    assert main([], checkout) == 0
    assert difference(source, notebook_of(source)) == ""
    write(checkout, "chapters/00_sample.py", lines_after_a_cell.replace("\n\n\n# %%", "\n\n# %%"))
    assert difference(source, notebook_of(source)) != ""


def test_one_failure_does_not_keep_the_others_from_being_refreshed(checkout):
    write(checkout, "chapters/00_bad.py", FAILING)
    good = notebook_of(write(checkout, "chapters/01_good.py", QUICK))
    assert main([], checkout) == 1
    assert unrun_cells(good) == []


def test_edits_made_in_the_notebook_alone_are_not_overwritten(checkout, capsys):
    notebook = notebook_of(write(checkout, "chapters/00_sample.py", QUICK))
    main([], checkout)
    edit_notebook(notebook, "x = 1", "x = 111")
    assert main([], checkout) == 1
    told = capsys.readouterr().err
    assert "chapters/00_sample.ipynb holds edits that chapters/00_sample.py does not" in told
    assert "jupytext --to py:percent chapters/00_sample.ipynb" in told and "--force" in told
    assert "x = 111" in notebook.read_text()
    assert main(["--force"], checkout) == 0
    assert "x = 111" not in notebook.read_text()


@pytest.mark.fault("a refresh over a begun exercise")
def test_a_learners_work_in_an_exercise_is_not_overwritten(checkout, capsys):
    write(checkout, "solutions/02_sample.py", QUICK)
    assert main([], checkout) == 0
    exercise = checkout / "exercises" / "02_sample.ipynb"
    assert "x = None" in exercise.read_text()
    edit_notebook(exercise, "x = None", "x = 42")
    assert main(["exercises/02_sample.ipynb"], checkout) == 1
    assert "exercises/02_sample.ipynb holds edits that solutions/02_sample.py does not" in capsys.readouterr().err
    assert "x = 42" in exercise.read_text()


@pytest.mark.fault("a damaged notebook")
@pytest.mark.parametrize(
    "content", ['{"cells": [', "", "{}", '{"cells": 3, "nbformat": 4, "nbformat_minor": 5, "metadata": {}}']
)
def test_a_damaged_notebook_is_told_kept_and_remade_when_asked(checkout, capsys, content):
    source = write(checkout, "chapters/00_sample.py", QUICK)
    exercise = checkout / "exercises" / "02_sample.ipynb"
    write(checkout, "solutions/02_sample.py", QUICK)
    assert main([], checkout) == 0
    for damaged in (exercise, notebook_of(source)):
        damaged.write_text(content)
    assert main(["--check"], checkout) == 1
    assert "00_sample.ipynb is damaged" in capsys.readouterr().err
    assert main([], checkout) == 1
    assert exercise.read_text() == notebook_of(source).read_text() == content
    assert main(["--force"], checkout) == 0
    for renewed in (exercise, notebook_of(source)):
        assert difference(renewed.with_suffix(".py"), renewed) == ""


def commit(checkout: Path) -> None:
    author = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "-A"], [*author, "commit", "-qm", "course"]):
        subprocess.run(["git", *command], cwd=checkout, check=True)


def test_edits_in_a_chapters_notebook_are_kept_beside_it_when_its_source_is_newer(checkout):
    source = write(checkout, "chapters/00_sample.py", QUICK)
    main([], checkout)
    commit(checkout)
    edit_notebook(notebook_of(source), "x = 1", "x = 111")
    os.utime(notebook_of(source), (0, 0))
    assert main([], checkout) == 0
    assert "x = 111" not in notebook_of(source).read_text()
    (kept,) = (checkout / "chapters" / ".ipynb_checkpoints").iterdir()
    assert "x = 111" in kept.read_text()


@pytest.mark.fault("a newer solution under a begun exercise")
def test_a_learners_work_survives_a_newer_solution_from_upstream(checkout, capsys):
    """After a pull the solution is the newer file; the last commit still tells that the exercise was begun."""
    solution = write(checkout, "solutions/02_sample.py", QUICK)
    main([], checkout)
    commit(checkout)
    exercise = checkout / "exercises" / "02_sample.ipynb"
    edit_notebook(exercise, "x = None", "x = 42")
    write(checkout, "solutions/02_sample.py", QUICK.replace("x = 1", "x = 1  # explained"))
    os.utime(exercise, (solution.stat().st_mtime - 100,) * 2)
    assert main([], checkout) == 1
    assert "exercises/02_sample.ipynb holds edits" in capsys.readouterr().err
    assert "x = 42" in exercise.read_text()


def test_unknown_path_is_refused_with_the_known_ones(checkout, capsys):
    write(checkout, "chapters/00_sample.py", QUICK)
    assert main(["chapters/99_nothing.py"], checkout) == 2
    told = capsys.readouterr().err
    assert "chapters/99_nothing.py is no chapter, solution or exercise" in told and "chapters/00_sample.py" in told


@pytest.mark.parametrize(
    ("fault", "told"),
    [
        (lambda notebook: notebook.unlink(), "has no .ipynb yet"),
        (lambda notebook: edit_notebook(notebook, "x = 1", "x = 2"), "and its .ipynb differ"),
        (
            lambda notebook: edit_notebook(notebook, '"execution_count": 1', '"execution_count": null'),
            "cells [2] not run",
        ),
        (
            lambda notebook: (notebook.parents[1] / "exercises" / "02_sample.py").unlink(),
            "is not what solutions/ makes",
        ),
    ],
    ids=["missing", "drifted", "unrun", "exercise"],
)
def test_check_sees_every_fault_and_runs_nothing(checkout, capsys, fault, told):
    notebook = notebook_of(write(checkout, "solutions/02_sample.py", QUICK))
    main([], checkout)
    fault(notebook)
    before = {path: path.read_bytes() for path in checkout.rglob("*.*")}
    assert main(["--check"], checkout) == 1
    assert told in capsys.readouterr().err
    assert {path: path.read_bytes() for path in checkout.rglob("*.*")} == before
