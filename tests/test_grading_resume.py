"""A folder of submissions: several at a time, taken up again after a kill, and a table for a spreadsheet."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import psutil
import pytest

from course_lib.grading import cli
from course_lib.grading.cli import main
from course_lib.grading.grader import grade
from course_lib.grading.journal import Journal, JournalError

ROOT = Path(__file__).parents[1]
RIGHT = (
    "import torch\ndef code_length(p, model):\n    return -torch.xlogy(p, model).sum() / torch.log(torch.tensor(2.0))"
)
WRONG = RIGHT.replace("2.0", "10.0")
OPTIONS = ["--exercise", "01", "--seconds", "20"]


def hand_in(folder: Path, **answers: str) -> list[Path]:
    folder.mkdir(exist_ok=True)
    for name, answer in answers.items():
        nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(answer)]), folder / f"{name}.ipynb")
    return sorted(folder.iterdir())


def reports(target: Path) -> list[dict]:
    return json.loads(target.read_text())["notebooks"]


@pytest.mark.fault("the grader is interrupted")
def test_after_an_interruption_what_was_graded_is_kept_and_not_graded_again(tmp_path, monkeypatch, capsys):
    hand_in(tmp_path / "class", a=RIGHT, b=WRONG, c=RIGHT)
    arguments = [str(tmp_path / "class"), "--json", str(tmp_path / "grades.json"), "--jobs", "1", *OPTIONS]
    graded = []

    def counted(path, *more):
        if len(graded) == 2:
            raise KeyboardInterrupt
        graded.append(path.stem)
        return grade(path, *more)

    monkeypatch.setattr(cli, "grade_whatever_happens", counted)
    assert main(arguments) == 130
    assert "2 of 3 notebooks are graded and kept" in capsys.readouterr().err
    assert not (tmp_path / "grades.json").exists()
    monkeypatch.setattr(
        cli, "grade_whatever_happens", lambda path, *more: (graded.append(path.stem), grade(path, *more))[1]
    )
    assert main(arguments) == 1
    assert "going on: 2 of 3 notebooks are graded already" in capsys.readouterr().err
    assert graded == ["a", "b", "c"]
    assert [report["score"] for report in reports(tmp_path / "grades.json")] == [1, 0, 1]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["class", "grades.json"]


@pytest.mark.fault("the grader is killed between notebooks")
@pytest.mark.skipif(sys.platform == "win32", reason="signals")
def test_a_grading_that_was_killed_ends_with_the_result_of_one_that_was_not(tmp_path):
    folder = tmp_path / "class"
    hand_in(folder, **{f"s{i}": (RIGHT, WRONG, "import torch")[i % 3] for i in range(6)})
    command = [sys.executable, "-m", "course_lib.grading.cli", str(folder), *OPTIONS, "--jobs", "2", "--seed", "7"]
    whole, cut = ([*command, "--json", str(tmp_path / name)] for name in ("whole.json", "cut.json"))
    subprocess.run(whole, cwd=ROOT, stdout=subprocess.DEVNULL)
    journal = tmp_path / ".cut.json.unfinished"
    grader = psutil.Popen(cut, cwd=ROOT, stdout=subprocess.DEVNULL)
    while not (journal.exists() and journal.read_text().count("\n") >= 3):
        assert grader.poll() is None
        time.sleep(0.02)
    grader.send_signal(signal.SIGKILL)
    grader.wait()
    kept = journal.read_text().count('"report"')
    assert 2 <= kept < 6
    done = subprocess.run(cut, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    assert f"going on: {kept} of 6" in done.stderr
    assert reports(tmp_path / "cut.json") == reports(tmp_path / "whole.json")


def test_a_notebook_that_was_changed_meanwhile_is_graded_again(tmp_path):
    notebooks = hand_in(tmp_path / "class", a=WRONG)
    journal = Journal(tmp_path / "grades.json", {"version": "1"}, 3, draw_seed=None)
    journal.add(cli.fingerprint(notebooks[0]), {"score": 0})
    before = cli.fingerprint(notebooks[0])
    hand_in(tmp_path / "class", a=RIGHT)
    assert before in journal.known and cli.fingerprint(notebooks[0]) not in journal.known
    journal.close(done=False)


@pytest.mark.fault("a torn line of the grading journal")
def test_a_torn_line_is_no_report_and_spoils_none_after_it(tmp_path):
    opened = dict(results=tmp_path / "grades.json", settings={"version": "1"}, seed=None, draw_seed=lambda: 5)
    journal = Journal(**opened)
    journal.add("a", {"score": 1})
    journal.close(done=False)
    with journal.path.open("a") as file:
        file.write('{"notebook": "b", "report": {"sco')
    journal = Journal(**opened)
    assert (journal.seed, journal.known) == (5, {"a": {"score": 1}})
    journal.add("c", {"score": 2})
    journal.close(done=False)
    journal = Journal(**opened)
    assert journal.known == {"a": {"score": 1}, "c": {"score": 2}}
    journal.close(done=True)
    assert list(tmp_path.iterdir()) == []


def test_other_options_or_another_grader_are_refused_and_nothing_is_lost(tmp_path):
    results = tmp_path / "grades.json"
    journal = Journal(results, {"version": "1"}, 5, draw_seed=None)
    journal.add("a", {"score": 1})
    with pytest.raises(JournalError, match="another grading is at work"):
        Journal(results, {"version": "1"}, 5, draw_seed=None)
    journal.close(done=False)
    for settings, seed in (({"version": "2"}, 5), ({"version": "1"}, 6)):
        with pytest.raises(JournalError, match="holds 1 results of an unfinished grading"):
            Journal(results, settings, seed, draw_seed=None)
    journal = Journal(results, {"version": "1"}, None, draw_seed=None)
    assert (journal.seed, journal.known) == (5, {"a": {"score": 1}})
    journal.close(done=True)


def test_the_spreadsheet_has_a_row_a_notebook_a_column_a_task_and_no_formulas(tmp_path):
    hand_in(tmp_path / "class", **{"right": RIGHT, "=cmd|'calc'!A0": f"raise ValueError('x')\n{RIGHT}"})
    table = tmp_path / "grades.csv"
    arguments = [str(tmp_path / "class"), "--json", str(tmp_path / "grades.json"), "--csv", str(table), *OPTIONS]
    assert main(arguments) == 1
    rows = list(csv.DictReader(table.open(newline="", encoding="utf-8")))
    assert [row["notebook"] for row in rows] == ["'=cmd|'calc'!A0.ipynb", "right.ipynb"]
    assert [(row["score"], row["01.code_length"], row["01.chain"]) for row in rows] == [
        ("0", "0", "0"),
        ("1", "1", "0"),
    ]
    assert rows[0]["message"] == "cell 1 raised ValueError: x"
    assert {row["folder"] for row in rows} == {"class"}
    assert list(rows[0])[:5] == ["folder", "notebook", "exercise", "score", "points"]


@pytest.mark.skipif(sys.platform == "win32" or os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_told_before_anything_is_graded(tmp_path, capsys):
    notebooks = hand_in(tmp_path / "class", a=RIGHT)
    (tmp_path / "class").chmod(0o500)
    assert main([str(notebooks[0]), "--json", str(tmp_path / "class" / "grades.json"), *OPTIONS]) == 2
    assert "Permission denied" in capsys.readouterr().err
