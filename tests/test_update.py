"""An update from upstream never overwrites a learner's work."""

import os
import shutil
import subprocess

import pytest

from course_lib.notebooks import update

NAME = "exercises/01_chain_rule.ipynb"
ME = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.org"]


def git(folder, *arguments):
    subprocess.run(["git", "-C", str(folder), *ME, *arguments], check=True, capture_output=True)


def commit(folder, name, text):
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)
    git(folder, "add", "-A")
    git(folder, "commit", "-m", "a change")


@pytest.fixture
def upstream(tmp_path):
    folder = tmp_path / "upstream"
    subprocess.run(["git", "init", "-q", "-b", "main", str(folder)], check=True)
    commit(folder, NAME, "version 1")
    commit(folder, "exercises/02_pixels.ipynb", "version 1")
    return folder


@pytest.fixture
def mine(upstream, tmp_path):
    subprocess.run(["git", "clone", "-q", str(upstream), str(tmp_path / "mine")], check=True)
    return tmp_path / "mine"


def kept(folder):
    return {path.name: path.read_text() for path in (folder / "exercises" / "mine").glob("*")}


def test_a_begun_exercise_that_is_new_upstream_is_kept_beside_the_new_one(upstream, mine, capsys):
    (mine / NAME).write_text("my work")
    (mine / "exercises/02_pixels.ipynb").write_text("more work")
    commit(upstream, NAME, "version 2")
    assert update.main([], mine) == 0
    told = capsys.readouterr().out
    assert (mine / NAME).read_text() == "version 2"
    assert (mine / "exercises/02_pixels.ipynb").read_text() == "more work", "what did not change upstream stays"
    assert list(kept(mine).values()) == ["my work"]
    assert f"{NAME} is new; yours is kept as exercises/mine/01_chain_rule." in told


def test_twice_keeps_both(upstream, mine):
    for i in (2, 3):
        (mine / NAME).write_text(f"my work before version {i}")
        os.utime(mine / NAME, (i * 1e6, i * 1e6))
        commit(upstream, NAME, f"version {i}")
        assert update.main([], mine) == 0
    assert sorted(kept(mine).values()) == ["my work before version 2", "my work before version 3"]


def test_nothing_new_changes_nothing(mine, capsys):
    (mine / NAME).write_text("my work")
    assert update.main([], mine) == 0
    assert "newest version" in capsys.readouterr().out
    assert (mine / NAME).read_text() == "my work" and kept(mine) == {}


@pytest.mark.fault("an update without a network")
def test_without_a_network_nothing_changes(upstream, mine, capsys):
    (mine / NAME).write_text("my work")
    shutil.rmtree(upstream)
    assert update.main([], mine) == 1
    assert "cannot be reached, so nothing was changed" in capsys.readouterr().out
    assert (mine / NAME).read_text() == "my work"


@pytest.mark.fault("an update with a file of one's own in the way")
def test_a_file_of_ones_own_in_the_way_stops_the_update_and_the_work_is_back_in_its_place(upstream, mine, capsys):
    (mine / NAME).write_text("my work")
    (mine / "exercises/09_new.ipynb").write_text("a notebook of mine")
    commit(upstream, NAME, "version 2")
    commit(upstream, "exercises/09_new.ipynb", "the course's")
    assert update.main([], mine) == 1
    assert "exercises/09_new.ipynb" in capsys.readouterr().out
    assert (mine / NAME).read_text() == "my work"
    assert (mine / "exercises/09_new.ipynb").read_text() == "a notebook of mine"


def test_commits_of_ones_own_are_left_alone(upstream, mine, capsys):
    commit(mine, NAME, "my work, committed")
    commit(upstream, NAME, "version 2")
    assert update.main([], mine) == 1
    assert "git pull --no-rebase" in capsys.readouterr().out
    assert (mine / NAME).read_text() == "my work, committed"


def test_a_download_is_told_what_to_do(mine, capsys):
    shutil.rmtree(mine / ".git")
    assert update.main([], mine) == 1
    assert "beside it, never over it" in capsys.readouterr().out


@pytest.mark.fault("an update on a full disk")
def test_a_full_disk_changes_nothing(upstream, mine, monkeypatch, capsys):
    (mine / NAME).write_text("my work")
    commit(upstream, NAME, "version 2")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(update.shutil, "copy2", full)
    assert update.main([], mine) == 1
    assert "could not be copied aside" in capsys.readouterr().out
    assert (mine / NAME).read_text() == "my work"
