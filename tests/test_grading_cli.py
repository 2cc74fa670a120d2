"""The command-line grader: every kind of notebook in one call, and none of them changes another's score."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import jupytext
import nbformat
import psutil
import pytest

from course_lib.grading.cli import main
from course_lib.grading.submission import read
from course_lib.grading.supervision import ending

ROOT = Path(__file__).parents[1]
SOLUTION = ROOT / "solutions" / "02_pixelrnn_pixelcnn.py"
LIMITS = ["--seconds", "5", "--memory", "900", "--jobs", "2"]


def hand_in(path: Path, functions: dict[str, str] | None = None, first: str = "", source: Path = SOLUTION) -> Path:
    """A notebook with full marks, but for the cells that define `functions`, and with a cell before all others."""
    notebook = jupytext.read(source, fmt="py:percent")
    for cell in notebook.cells:
        for name, code in (functions or {}).items():
            if f"def {name}(" in cell.source:
                cell.source = code
    notebook.cells = [nbformat.v4.new_code_cell(first)] * bool(first) + notebook.cells
    nbformat.write(notebook, path)
    return path


def grade(*arguments) -> tuple[int, dict]:
    """The exit code, and the reports by file name."""
    target = Path(arguments[0]).parent / "results.json"
    code = main([*map(str, arguments), "--json", str(target), *LIMITS])
    return code, {Path(report["path"]).name: report for report in json.loads(target.read_text())["notebooks"]}


def tasks(report: dict) -> dict[str, dict]:
    return {task["id"].partition(".")[2]: task for task in report["tasks"]}


LOOP = "while True:\n    pass"
ROWS = "def diagonal_scan(x, step):\n    return torch.stack([step(row, 0 * row, 0 * row) for row in x.unbind(2)], 2)"
ONE_PASS = "def sample(model, shape, generator):\n    return torch.bernoulli(model(torch.zeros(shape)).sigmoid())"
SEGFAULT = "import ctypes\ndef diagonal_scan(x, step):\n    ctypes.string_at(0)"
EATER = "hoard = []\nwhile True:\n    hoard.append(b'x' * 2**24)"


@pytest.fixture(scope="module")
def graded(tmp_path_factory):
    """All of them in one call: the exit code and the reports."""
    folder = tmp_path_factory.mktemp("handed in")
    hand_in(folder / "right.ipynb")
    hand_in(folder / "wrong.ipynb", {"diagonal_scan": ROWS, "sample": ONE_PASS})
    hand_in(folder / "unsolved.ipynb", source=ROOT / "exercises" / SOLUTION.name)
    hand_in(
        folder / "broken_cell.ipynb", {"diagonal_scan": "def diagonal_scan(x, step):\n    s = step(x\n    return s"}
    )
    (folder / "broken_file.ipynb").write_text('{"cells": [\n{"cell_type": "code"')
    hand_in(folder / "loops_in_a_cell.ipynb", first=LOOP)
    hand_in(
        folder / "loops_in_a_function.ipynb",
        {"sample": f"def sample(*a):\n    {LOOP}".replace("\n    p", "\n        p")},
    )
    hand_in(folder / "exits.ipynb", first="import os\nos._exit(3)")
    hand_in(folder / "segfault.ipynb", {"diagonal_scan": SEGFAULT})
    hand_in(folder / "eats_memory.ipynb", first=EATER)
    (folder / ".ipynb_checkpoints").mkdir()
    hand_in(folder / ".ipynb_checkpoints" / "right-checkpoint.ipynb")
    target = folder.parent / "results.json"
    code = main([str(folder), "--json", str(target), *LIMITS])
    reports = json.loads(target.read_text())["notebooks"]
    return code, {Path(report["path"]).stem: report for report in reports}


@pytest.mark.fault("notebooks that are broken, loop, crash or eat memory")
@pytest.mark.parametrize(
    ("name", "score", "messages"),
    [
        ("right", 14, []),
        ("wrong", 10, []),
        ("unsolved", 0, []),
        ("broken_cell", 12, ["cell 8 has a syntax error at line 2"]),
        ("broken_file", 0, ["broken notebook: no JSON from line 2 on"]),
        ("loops_in_a_cell", 14, ["cell 1 looped: stopped after 5 s"]),
        ("loops_in_a_function", 12, ["cell 15 looped: stopped after 5 s", "cell 16 looped: stopped after 5 s"]),
        ("exits", 14, ["cell 1 ended the process (exit code 3)"]),
        ("segfault", 12, ["cell 15 crashed (segmentation fault)"]),
        ("eats_memory", 14, ["cell 1 used more than 900 MB"]),
    ],
)
def test_every_kind_of_notebook_gets_its_score_and_message_in_one_call(graded, name, score, messages):
    report = graded[1][name]
    assert (report["score"], report["messages"]) == (score, messages), report
    assert report["points"] == (0 if name == "broken_file" else 14)


def test_one_call_with_a_bad_notebook_in_it_exits_with_1(graded):
    assert graded[0] == 1
    assert len(graded[1]) == 10, "checkpoints are no submissions"


def test_tasks_get_their_own_messages(graded):
    _, reports = graded
    assert tasks(reports["wrong"])["diagonal_scan"]["diagnosis"] == "no_memory"
    assert tasks(reports["wrong"])["sample"]["diagnosis"] == "one_pass"
    assert {task["message"] for task in reports["unsolved"]["tasks"]} == {"not started yet"}
    assert (
        tasks(reports["broken_cell"])["diagonal_scan"]["message"]
        == "no function diagonal_scan: cell 8 has a syntax error at line 2"
    )
    assert tasks(reports["loops_in_a_function"])["sample"]["message"] == "sample looped: stopped after 5 s"
    assert tasks(reports["segfault"])["diagonal_scan"]["message"] == "diagonal_scan crashed (segmentation fault)"


def test_a_known_mistake_is_told_in_a_sentence_and_not_by_its_inner_name(graded):
    told = tasks(graded[1]["wrong"])["diagonal_scan"]["message"]
    assert told == (
        "not yet: case 1 of 7 is wrong (every pixel begins from nothing: the states above and to the left are 0 "
        "throughout.)"
    )


def test_what_builds_on_an_endless_function_is_stopped_soon_and_told_why(tmp_path):
    endless = "def raster_mask(kind, kernel_size):\n    while True:\n        pass"
    _, reports = grade(hand_in(tmp_path / "endless.ipynb", {"raster_mask": endless}))
    told = tasks(reports["endless.ipynb"])
    assert told["raster_mask"]["message"] == "raster_mask looped: stopped after 5 s"
    message = "masked_conv2d looped: stopped after 2 s; it uses raster_mask, which looped too"
    assert told["masked_conv2d"]["message"] == message
    assert reports["endless.ipynb"]["score"] == 10


def test_what_calls_an_unwritten_function_is_told_which(tmp_path):
    unwritten = 'def raster_mask(kind, kernel_size):\n    raise NotImplementedError("your code here")'
    _, reports = grade(hand_in(tmp_path / "first_missing.ipynb", {"raster_mask": unwritten}))
    told = tasks(reports["first_missing.ipynb"])
    assert told["raster_mask"]["message"] == "not started yet"
    assert told["masked_conv2d"]["message"] == "not yet: it calls raster_mask, which is not written yet"


def test_no_process_is_left_behind(graded):
    assert not [
        p for p in psutil.Process().children(recursive=True) if "course_lib.grading.worker" in " ".join(p.cmdline())
    ]


FORGERY = """
import atexit, json, os, sys, torch
from course_lib import grading
print('{"score": 14}', flush=True)
os.write(1, b'{"score": 14}')
with open("results.json", "w") as file:
    json.dump({"notebooks": []}, file)
torch.allclose = torch.equal = lambda *a, **k: True
grading.check = lambda *a, **k: print("right")
class Yes(torch.Tensor):
    def __eq__(self, other):
        return torch.ones_like(self, dtype=torch.bool)
    __ne__ = __sub__ = abs = __eq__
atexit.register(os._exit, 0)
if os.fork() == 0:
    os.setsid()
    import time
    time.sleep(1000)
os.fork()
"""


@pytest.mark.skipif(sys.platform == "win32", reason="forks")
def test_forgeries_change_nothing(tmp_path, capsys):
    always = "def {0}(*a):\n    return torch.zeros(3, 3).as_subclass(Yes)"
    peeking = "from course_lib.grading.tasks.exercise_02 import diagonal_scan"
    functions = {name: always.format(name) for name in ("raster_mask", "masked_conv2d", "gated_layer")}
    functions |= {"diagonal_scan": peeking, "sample": "sys.exit(0)", "sample_cached": always.format("sample_cached")}
    hand_in(tmp_path / "forged.ipynb", functions, first=FORGERY)
    code, reports = grade(tmp_path / "forged.ipynb")
    assert code == 1
    assert reports["forged.ipynb"]["score"] == 0, reports
    test_no_process_is_left_behind(None)


@pytest.mark.fault("the grader is killed at its first notebook")
@pytest.mark.skipif(sys.platform == "win32", reason="signals")
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_a_grader_that_is_interrupted_or_killed_leaves_no_worker_and_no_half_written_file(tmp_path, how):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(f"raster_mask = 1\n{LOOP}")])
    nbformat.write(notebook, tmp_path / "endless.ipynb")
    command = [sys.executable, "-m", "course_lib.grading.cli", str(tmp_path), "--json", str(tmp_path / "grades.json")]
    # A test run in the background ignores interrupts, and what it starts would inherit that.
    heeding = dict(preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL))
    grader = psutil.Popen(command, cwd=ROOT, start_new_session=True, stderr=subprocess.DEVNULL, **heeding)
    workers = wait_for(lambda: [child for child in grader.children() if "course_lib.grading.worker" in child.cmdline()])
    grader.send_signal(how)
    assert grader.wait(60) == (130 if how == signal.SIGINT else -how)
    assert psutil.wait_procs(workers, timeout=20)[1] == []
    left = [path.name for path in tmp_path.iterdir() if not path.name.startswith(".grades.json.unfinished")]
    assert left == ["endless.ipynb"]


@pytest.mark.fault("results that cannot be written")
@pytest.mark.parametrize("place, told", [("", "is a folder"), ("missing/grades.json", "there is no folder")])
def test_results_that_could_not_be_written_are_refused_before_the_grading(tmp_path, capsys, place, told):
    hand_in(tmp_path / "right.ipynb")
    assert main([str(tmp_path / "right.ipynb"), "--json", str(tmp_path / place)]) == 2
    assert told in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["right.ipynb"]


def test_a_magic_in_a_cell_runs_as_in_a_notebook(tmp_path):
    hand_in(tmp_path / "magic.ipynb", first="%matplotlib inline\n%load_ext autoreload")
    code, reports = grade(tmp_path / "magic.ipynb")
    assert (code, reports["magic.ipynb"]["score"]) == (0, 14), reports


def wait_for(found):
    """What `found` finds, once it finds something."""
    for _ in range(1200):
        if result := found():
            return result
        time.sleep(0.05)
    raise TimeoutError


def test_deleting_checks_and_metadata_does_not_shrink_the_total(tmp_path):
    notebook = json.loads(hand_in(tmp_path / "renamed.ipynb").read_text())
    kept = [cell for cell in notebook["cells"] if "check(" not in "".join(cell["source"])]
    kept = [
        cell for cell in kept if not any(f"def {f}(" in "".join(cell["source"]) for f in ("sample", "diagonal_scan"))
    ]
    notebook["cells"] = [{**cell, "metadata": {}} for cell in kept]
    (tmp_path / "renamed.ipynb").write_text(json.dumps(notebook))
    code, reports = grade(tmp_path / "renamed.ipynb")
    assert (code, reports["renamed.ipynb"]["score"], reports["renamed.ipynb"]["points"]) == (1, 10, 14)
    assert tasks(reports["renamed.ipynb"])["sample"]["message"] == "no function sample in the notebook"


def test_full_marks_exit_with_0(tmp_path, capsys):
    code, reports = grade(hand_in(tmp_path / "right.ipynb"))
    assert code == 0
    assert reports["right.ipynb"]["full"]
    assert "14 / 14  full marks" in capsys.readouterr().out


def test_a_notebook_that_is_none_of_ours_scores_nothing(tmp_path, capsys):
    nbformat.write(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("1 + 1")]), tmp_path / "other.ipynb")
    code, reports = grade(tmp_path / "other.ipynb")
    assert code == 1
    assert "not an exercise of this course" in reports["other.ipynb"]["messages"][0]
    (tmp_path / "list.ipynb").write_text("[]")
    assert "has no cells" in grade(tmp_path / "list.ipynb")[1]["list.ipynb"]["messages"][0]


def test_a_call_that_makes_no_sense_exits_with_2(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("")
    for arguments in (
        ["nowhere.ipynb"],
        ["notes.txt"],
        ["."],
        [],
        [".", "--seconds", "-1"],
        [".", "--json", "no/such/f"],
    ):
        assert main(arguments) == 2, arguments
    assert not list(tmp_path.glob("*.json"))


def test_the_exercise_is_known_by_what_is_in_it(tmp_path):
    assert read(hand_in(tmp_path / "my attempt.ipynb")).exercise == "02"
    first = "from course_lib.grading import check\ncheck('00.nats_to_bits', None)"
    assert read(hand_in(tmp_path / "00_start.ipynb", first=first)).exercise == "02"


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="signals")
def test_the_end_of_a_process_is_told():
    assert ending(3) == "ended the process (exit code 3)"
    assert ending(-signal.SIGSEGV) == "crashed (segmentation fault)"
    assert ending(-signal.SIGKILL) == "crashed (killed)"
    assert ending(0xC0000005) == "crashed (code 0xc0000005)"
