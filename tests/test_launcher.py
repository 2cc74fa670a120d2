"""course.py: an environment is whole or absent, whatever happens on the way, and every failure says what to do."""

import ast
import importlib.util
import os
import shutil
import signal
import socket
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PARTS = ["course.py", "pyproject.toml", "constraints.txt", "course_lib/__init__.py", "course_lib/__main__.py"]
POSIX_ONLY = pytest.mark.skipif(os.name == "nt", reason="signals to other processes are POSIX")
DISK_FULL = "ERROR: Could not install packages due to an OSError: [Errno 28] No space left on device"
NO_NETWORK = "WARNING: Retrying after connection broken by 'NewConnectionError(...)': /simple/hatchling/"

# The real pip, started from here because making a venv takes longer than all the rest.
PIP_WITHOUT_VENV = """
[_, pip] = course.build_commands(cpu=False)
course.build_commands = lambda cpu: [[sys.executable, *pip[1:], "--dry-run"]]
"""
# Stands for venv and pip: an environment with a Python and a file that says which build it came from.
QUICK_BUILD = "import pathlib, sys; p = pathlib.Path('.venv/bin'); p.mkdir(parents=True); (p / 'python').touch()"
SLOW_BUILD = """
import pathlib, subprocess, sys, time
pathlib.Path(".venv").mkdir()
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
pathlib.Path("child").write_text(str(child.pid))
time.sleep(60)
"""


@pytest.fixture
def checkout(tmp_path):
    """A folder with what course.py needs of the checkout."""
    for part in PARTS:
        (tmp_path / part).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / part, tmp_path / part)
    return tmp_path


@pytest.fixture
def course(checkout):
    """course.py of that folder as a module, its active environment put out of sight."""
    spec = importlib.util.spec_from_file_location("course_under_test", checkout / "course.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.environment_is_active = lambda: False
    module.python_of = lambda environment: environment / "bin" / "python"
    return module


def build_with(course, program):
    """Let `program` stand for venv and pip."""
    course.build_commands = lambda cpu: [[sys.executable, "-c", program]]


def complete(course, content="", cpu=False):
    """Put a complete environment in place, with a file to know it by."""
    (course.ENVIRONMENT / "bin").mkdir(parents=True)
    (course.ENVIRONMENT / "bin" / "python").touch()
    (course.ENVIRONMENT / "content").write_text(content)
    course.write_stamp(cpu)


def outdate(checkout):
    """Make any environment in place one that was built from other versions."""
    with (checkout / "constraints.txt").open("a") as file:
        file.write("zzz==1\n")


def start(checkout, setup="", verb="test", **options):
    """Start course.py on `verb` in a process of its own after the Python lines `setup`."""
    driver = f"""
import os, signal, sys
import course
course.environment_is_active = lambda: False
course.hand_over = lambda python, words: print("handed over") or 0
{textwrap.dedent(setup)}
sys.exit(course.main([{verb!r}]))
"""
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen([sys.executable, "-c", driver], cwd=checkout, **streams, **options)


def fake_build(program):
    """Return a `setup` for `start` that builds with `program`."""
    return f"course.build_commands = lambda cpu: [[sys.executable, '-c', {program!r}]]\n"


def leftovers(checkout):
    """Return the names of the environments in a checkout."""
    return sorted(path.name for path in checkout.glob(".venv*") if path.is_dir())


def is_running(pid):
    """Tell whether a process runs; one that ended and that nobody has waited for does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_for(condition, seconds=15):
    """Wait until `condition()` holds; fail if it takes longer than `seconds`."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)


# Which Python.


def test_course_py_still_parses_on_python_3_6():
    ast.parse((ROOT / "course.py").read_text(encoding="utf-8"), feature_version=(3, 6))


@pytest.mark.parametrize("version", [(3, 6, 15), (3, 10, 13)])
def test_too_old_a_python_is_named_beside_the_one_needed(course, version):
    with pytest.raises(course.CourseError, match=r"needs Python 3\.11 or newer, you have " + "%d.%d.%d" % version):
        course.require_python(version + ("final", 0))


def test_an_error_is_one_message_and_an_exit_code(course, capsys):
    course.OLDEST_PYTHON = (99, 0)
    assert course.main(["test"]) == 1
    assert capsys.readouterr().err.startswith("The course needs Python 99.0 or newer, you have 3.")


def test_a_verb_that_does_not_exist_lists_the_verbs_and_builds_nothing(course, checkout, capsys):
    build_with(course, "raise SystemExit('built')")
    assert course.main(["grad"]) == 2
    assert "no verb 'grad'" in (message := capsys.readouterr().err) and "refresh" in message
    assert leftovers(checkout) == []


# What stands in the way of a first build.


@pytest.mark.fault("no network, nothing installed")
def test_no_network_and_nothing_installed_says_so_and_leaves_nothing(checkout):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        index = f"http://127.0.0.1:{unused.getsockname()[1]}/simple"
        dead = {"PIP_INDEX_URL": index, "PIP_RETRIES": "0", "PIP_CONFIG_FILE": os.devnull}
        kept = {name: value for name, value in os.environ.items() if not name.startswith("PIP_")}
        process = start(checkout, PIP_WITHOUT_VENV, env={**kept, **dead})
        _, message = process.communicate(timeout=90)
    assert process.returncode == 1
    assert message.startswith("There is no network") and "Traceback" not in message
    assert leftovers(checkout) == [] and "hatchling" in (checkout / ".venv.log").read_text()


@pytest.mark.parametrize(
    "output, offline",
    [
        (NO_NETWORK, True),
        ("ERROR: No matching distribution found for hatchling==1.33.0", True),
        ("ERROR: No matching distribution found for torch==2.13.0", False),
        ("error: command 'gcc' failed", False),
    ],
)
def test_only_an_index_out_of_reach_counts_as_offline(course, output, offline):
    assert isinstance(course.explain(output), course.Offline) == offline


def test_too_little_space_is_seen_before_anything_is_built(course, checkout, monkeypatch, capsys):
    monkeypatch.setattr(course.shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(9e9, 8e9, 1e9))
    assert course.main(["test"]) == 1
    assert capsys.readouterr().err.startswith("The disk is full: only 1.0 GB are free")
    assert leftovers(checkout) == []


@pytest.mark.fault("the disk fills up under pip")
def test_a_disk_that_fills_up_under_pip_is_recognised(course, checkout, capsys):
    build_with(course, QUICK_BUILD + f"; sys.exit({DISK_FULL!r})")
    assert course.main(["test"]) == 1
    assert capsys.readouterr().err.startswith("The disk is full: pip could not write its files")
    assert leftovers(checkout) == []


def test_a_python_without_ensurepip_names_the_package_to_install(course, monkeypatch, capsys):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert course.main(["test"]) == 1
    assert "apt install python3-venv" in capsys.readouterr().err


@pytest.mark.fault("a read-only checkout")
def test_a_checkout_that_cannot_be_written_says_where_to_go(course, checkout, capsys):
    course.LOCK = checkout / "course.py" / "lock"
    assert course.main(["test"]) == 1
    assert capsys.readouterr().err.startswith(f"Cannot write in {checkout}")


def test_any_other_failure_names_the_file_with_the_full_output(course, checkout, capsys):
    build_with(course, "print('first'); print('last'); raise SystemExit(3)")
    assert course.main(["test"]) == 1
    assert str(checkout / ".venv.log") in capsys.readouterr().err
    assert (checkout / ".venv.log").read_text().split() == ["first", "last"]


# When it is built, and when not.


def test_the_second_run_builds_nothing(course):
    build_with(course, QUICK_BUILD)
    course.prepare_environment(cpu=False)
    build_with(course, "raise SystemExit('built again')")
    course.prepare_environment(cpu=False)


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt"])
def test_other_versions_make_the_environment_anew(course, checkout, name):
    complete(course, "old")
    assert course.is_current(cpu=False)
    (checkout / name).write_text("# other")
    assert not course.is_current(cpu=False)


def test_an_environment_whose_python_is_gone_is_not_current(course):
    complete(course)
    (course.ENVIRONMENT / "bin" / "python").unlink()
    assert not course.is_current(cpu=False)


def test_a_checkout_that_was_moved_is_not_current(course):
    complete(course)
    moved = course.ENVIRONMENT.with_name("moved")
    course.ENVIRONMENT.rename(moved)
    course.ENVIRONMENT = moved
    assert course.read_stamp() and not course.is_current(cpu=False)


def test_cpu_wheels_once_asked_for_are_kept_in_later_builds(course, checkout):
    asked = []
    course.build_commands = lambda cpu: asked.append(cpu) or [[sys.executable, "-c", QUICK_BUILD]]
    for cpu in (False, True, True, False):
        course.prepare_environment(cpu)
    outdate(checkout)
    course.prepare_environment(cpu=False)
    assert asked == [False, True, True]


def test_cpu_adds_pytorchs_index_and_is_no_word_of_the_verb(course):
    assert course.take_cpu_option(["test", "--cpu", "-x"]) == (["test", "-x"], True)
    assert course.CPU_WHEELS in course.build_commands(cpu=True)[-1]
    assert course.CPU_WHEELS not in course.build_commands(cpu=False)[-1]


@pytest.mark.fault("no network for a newer environment")
def test_an_update_without_network_goes_on_with_the_older_environment(course, checkout, capsys):
    complete(course, "old")
    outdate(checkout)
    build_with(course, f"raise SystemExit({NO_NETWORK!r})")
    course.works = lambda environment: True
    course.prepare_environment(cpu=False)
    assert "no network to bring .venv up to date" in capsys.readouterr().out
    assert (course.ENVIRONMENT / "content").read_text() == "old" and leftovers(checkout) == [".venv"]


def test_an_update_without_network_stops_where_the_older_environment_is_broken(course, checkout, capsys):
    complete(course, "old")
    outdate(checkout)
    build_with(course, f"raise SystemExit({NO_NETWORK!r})")
    assert course.main(["test"]) == 1
    assert capsys.readouterr().err.startswith("There is no network")


# Interrupted.


@POSIX_ONLY
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("before", ["old", None])
def test_stopped_while_pip_runs_the_former_state_is_back_and_no_child_runs(course, checkout, number, before):
    if before:
        complete(course, before)
        outdate(checkout)
    process = start(checkout, fake_build(SLOW_BUILD))
    wait_for(lambda: (checkout / "child").exists() and (checkout / "child").read_text())
    process.send_signal(number)
    _, message = process.communicate(timeout=20)
    assert process.returncode == 130 and message.strip() == "Stopped. Nothing half-made is left behind."
    assert leftovers(checkout) == ([".venv"] if before else [])
    assert not before or (checkout / ".venv" / "content").read_text() == before
    assert not is_running(int((checkout / "child").read_text()))


@pytest.mark.fault("killed while the environment is made")
@POSIX_ONLY
@pytest.mark.parametrize("before", ["old", None])
@pytest.mark.parametrize("step", ["rename", "build_step", "write_stamp", "shutil.rmtree"])
@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_at_any_step_the_next_run_ends_with_one_complete_environment(course, checkout, before, step, moment):
    if before:
        complete(course, before)
        outdate(checkout)
    kill = f"""
        from unittest import mock
        step = course.{step}
        def killed(*arguments, **options):
            if {moment == "after"}:
                step(*arguments, **options)
            os.kill(os.getpid(), signal.SIGKILL)
        course.{step} = killed
    """
    start(checkout, fake_build(QUICK_BUILD) + textwrap.dedent(kill)).communicate(timeout=20)
    process = start(checkout, fake_build(QUICK_BUILD))
    output, message = process.communicate(timeout=20)
    assert (process.returncode, message) == (0, "") and output.endswith("handed over\n")
    assert leftovers(checkout) == [".venv"] and course.is_current(cpu=False)


@pytest.mark.fault("two course.py at once")
@POSIX_ONLY
def test_a_second_course_py_waits_for_the_first(course, checkout):
    with course.locked():
        process = start(checkout, fake_build(QUICK_BUILD))
        assert process.stdout.readline().startswith("Another course.py is at work")
        assert leftovers(checkout) == []
    output, _ = process.communicate(timeout=20)
    assert process.returncode == 0 and output.endswith("handed over\n")


# An environment that is already active.


def test_the_environment_these_tests_run_in_satisfies_the_constraints(course):
    assert course.first_difference(course.project_requirements(), course.pinned_versions()) is None


def test_an_active_environment_that_satisfies_the_constraints_is_used_as_it_is(checkout):
    command = [sys.executable, "course.py", "test", "--version"]
    done = subprocess.run(command, cwd=checkout, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "pytest" in done.stdout + done.stderr
    assert leftovers(checkout) == []


@pytest.mark.parametrize("name", ["numpy", "tornado"])
def test_an_active_environment_that_differs_is_named_with_its_package(course, capsys, name):
    course.environment_is_active = lambda: True
    course.prepare_environment = lambda cpu: None
    pins = dict(course.pinned_versions(), **{name: "0.0.1"})
    course.pinned_versions = lambda: pins
    assert course.choose_environment(cpu=False) == course.python_of(course.ENVIRONMENT)
    assert f"The active environment has {name} " in (line := capsys.readouterr().out)
    assert "where the course needs 0.0.1, so .venv is used" in line


def test_a_package_that_is_missing_deep_down_is_a_difference(course):
    present = course.installed
    course.installed = lambda name: (None, []) if name == "tornado" else present(name)
    assert course.first_difference(course.project_requirements(), course.pinned_versions()) == "no tornado"


def test_a_local_label_such_as_cpu_is_no_difference(course):
    course.installed = lambda name: ("2.13.0+cpu", [])
    assert course.first_difference(["torch"], {"torch": "2.13.0"}) is None
    assert course.first_difference(["torch"], {"torch": "2.13.1"}).startswith("torch 2.13.0+cpu where")


def test_kernels_find_the_checkout_and_in_venv_nothing_else(course, checkout, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "elsewhere")
    assert course.search_path(course.python_of(course.ENVIRONMENT)) == str(checkout)
    assert course.search_path(Path(sys.executable)) == os.pathsep.join([str(checkout), "elsewhere"])
