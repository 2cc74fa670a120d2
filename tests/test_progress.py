"""What a learner has done is kept on the learner's disk: through restarts, accidents and two kernels at once."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from course_lib.grading import check, hint, notebook, progress

ROOT = Path(__file__).parents[1]
RIGHT = "lambda nats: nats / __import__('math').log(2)"


@pytest.fixture
def file(tmp_path, monkeypatch):
    monkeypatch.setattr(progress, "_here", {})
    monkeypatch.setattr(notebook, "_hinted", set())
    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path / "progress.json"))
    return tmp_path / "progress.json"


def in_a_new_kernel(code: str, file: Path) -> str:
    """What a fresh process prints."""
    before = "from course_lib.grading import check, hint\n"
    environment = os.environ | {"COURSE_PROGRESS": str(file), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", before + code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def shown(capsys) -> str:
    assert progress.main([]) == 0
    return capsys.readouterr().out


def test_a_solved_task_stays_solved_through_a_restart_and_a_later_slip(file, capsys):
    in_a_new_kernel(f"check('00.nats_to_bits', {RIGHT})", file)
    assert "nats_to_bits                    solved 2" in shown(capsys)
    in_a_new_kernel("check('00.nats_to_bits', lambda nats: nats)", file)
    told = shown(capsys)
    assert "solved 2" in told and "since changed: wrong, 2 checks" in told
    assert told.startswith("00  #")


def test_a_new_kernel_shows_the_hints_that_are_open_and_the_next_call_opens_one_more(file, capsys):
    assert "hint 1 of 3 (nudge)" in in_a_new_kernel("hint('02.raster_mask')", file)
    for _ in range(2):  # to run the notebook again opens none
        again = in_a_new_kernel("hint('02.raster_mask')", file)
        assert "hint 1 of 3 (nudge)" in again and "hint 2" not in again
    more = in_a_new_kernel("hint('02.raster_mask')\nhint('02.raster_mask')", file)
    assert "hint 1 of 3" in more and "hint 2 of 3 (formula)" in more and "hint 3" not in more
    both = in_a_new_kernel("hint('02.raster_mask')", file)
    assert "hint 1 of 3" in both and "hint 2 of 3" in both and "hint 3" not in both
    assert "raster_mask                     not solved yet, 0 checks, 2 hints" in shown(capsys)


def test_the_next_task_is_the_first_that_is_not_solved(file, capsys):
    assert "next: 00." in shown(capsys)
    in_a_new_kernel(f"check('00.nats_to_bits', {RIGHT})", file)
    assert "next: 01.code_length" in shown(capsys)


@pytest.mark.fault("a damaged progress file")
def test_what_cannot_be_read_is_set_aside_and_not_overwritten(file, capsys):
    file.write_text('{"version": 1, "tasks": {"01.chain": {"sol')
    assert "0 of" in shown(capsys)
    check("00.nats_to_bits", lambda nats: nats)
    assert file.with_name("progress.json.unreadable").read_text().endswith('{"sol')
    assert json.loads(file.read_text())["tasks"]["00.nats_to_bits"]["checks"] == 1


@pytest.mark.parametrize("content", ["[]", '{"tasks": 3}', '{"tasks": {"00.nats_to_bits": 5}}', "\x00"])
def test_a_file_of_any_other_kind_neither_stops_a_check_nor_the_report(file, capsys, content):
    file.write_text(content)
    check("00.nats_to_bits", lambda nats: nats)
    assert "not yet" in capsys.readouterr().out
    assert "1 check" in shown(capsys)


@pytest.mark.fault("progress on a read-only disk")
def test_on_a_disk_that_takes_nothing_checks_and_hints_work_as_ever(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(progress, "_here", {})
    monkeypatch.setattr(notebook, "_hinted", set())
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("COURSE_PROGRESS", str(tmp_path / "file" / "progress.json"))  # a file is no folder
    check("00.nats_to_bits", lambda nats: nats)
    for told in ("hint 1 of", "hint 2 of"):
        hint("00.nats_to_bits")
        assert told in capsys.readouterr().out


@pytest.mark.fault("progress on a full disk")
def test_a_full_disk_leaves_the_file_as_it_was(file, monkeypatch):
    check("00.nats_to_bits", lambda nats: nats)
    before = file.read_bytes()

    def full(*_, **__):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(json, "dump", full)
    check("00.nats_to_bits", lambda nats: nats)
    assert file.read_bytes() == before


@pytest.mark.fault("two kernels at once")
def test_two_kernels_at_once_lose_nothing(file):
    code = "for _ in range(20):\n    note_hint('02.raster_mask')"
    before = "from course_lib.grading.progress import note_hint\n"
    environment = os.environ | {"COURSE_PROGRESS": str(file), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", before + code]
    kernels = [subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL) for _ in range(2)]
    assert [kernel.wait() for kernel in kernels] == [0, 0]
    assert json.loads(file.read_text())["tasks"]["02.raster_mask"]["hints"] == 40


def test_off_keeps_nothing(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("COURSE_PROGRESS", "off")
    check("00.nats_to_bits", lambda nats: nats)
    assert progress.place() is None and progress.known() == {}
    assert "nothing is kept" in shown(capsys)


def test_strict_checks_of_a_grader_are_no_progress(file):
    with pytest.raises(AssertionError):
        check("00.nats_to_bits", lambda nats: nats, strict=True)
    assert not file.exists()


def test_the_file_lies_in_the_course_and_in_no_commit(monkeypatch):
    monkeypatch.delenv("COURSE_PROGRESS")
    assert progress.place() in (ROOT / ".progress.json", Path.home() / ".infovae-course.json")
    assert "/.progress.json" in (ROOT / ".gitignore").read_text()
