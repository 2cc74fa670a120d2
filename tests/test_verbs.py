"""python -m course_lib VERB: each verb reaches its work, and a taken port is told in time."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest

from course_lib import __main__ as verbs

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture
def taken_port():
    """A port that another program listens on."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.fixture
def served(monkeypatch):
    """The (port, options) that JupyterLab would have been started with."""
    calls = []
    monkeypatch.setattr(verbs, "run_jupyterlab", lambda *call: calls.append(call) or 0)
    return calls


def test_help_gives_each_verb_a_line(capsys):
    assert verbs.main(["--help"]) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line.startswith("  ")]
    assert listed == ["lab", "test", "grade", "progress", "update", "refresh", "train", "measure", "bench"]


def test_the_verbs_can_be_listed_before_any_package_is_installed():
    program = f"import sys; sys.path.insert(0, {str(ROOT)!r}); import course_lib.__main__"
    subprocess.run([sys.executable, "-S", "-c", program], check=True, timeout=30)


def test_a_verb_that_lives_elsewhere_gets_its_arguments_and_returns_its_code(monkeypatch):
    monkeypatch.setattr(verbs.importlib, "import_module", lambda name: type(sys)(name))
    module = type(sys)("grader")
    module.main = lambda argv: len(argv)
    monkeypatch.setattr(verbs.importlib, "import_module", {"course_lib.grading.cli": module}.get)
    assert verbs.main(["grade", "a.ipynb", "b.ipynb"]) == 2


@pytest.mark.fault("two JupyterLabs ask for one port")
def test_a_port_that_was_asked_for_and_is_taken_names_a_free_one(taken_port, served, capsys):
    assert verbs.main(["lab", "--port", str(taken_port)]) == 1
    message = capsys.readouterr().err
    free = int(message.split("--port ")[1])
    assert f"Port {taken_port} is taken" in message and verbs.is_free(free) and served == []


@pytest.mark.fault("two JupyterLabs at once")
def test_without_a_port_the_next_free_one_is_taken_and_said(taken_port, served, capsys, monkeypatch):
    monkeypatch.setattr(verbs, "FIRST_PORT", taken_port)
    assert verbs.main(["lab", "--no-browser"]) == 0
    [(port, options)] = served
    assert port > taken_port and options == ["--no-browser"]
    assert f"on port {port}" in capsys.readouterr().out


def test_lab_serves_the_checkout(tmp_path):
    port = verbs.first_free_port(9300)
    command = [
        sys.executable,
        "-m",
        "course_lib",
        "lab",
        "--no-browser",
        "--port",
        str(port),
        "--IdentityProvider.token=",
    ]
    environ = dict(os.environ, HOME=str(tmp_path), JUPYTER_RUNTIME_DIR=str(tmp_path))
    with subprocess.Popen(
        command, cwd=ROOT, env=environ, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL
    ) as server:
        try:
            assert "course.py" in fetch(f"http://127.0.0.1:{port}/api/contents?type=directory")
            assert "JupyterLab" in fetch(f"http://127.0.0.1:{port}{verbs.START_PAGE}")
        finally:
            server.send_signal(signal.SIGTERM)


def fetch(address, seconds=60):
    """Return the page at `address`, waiting for the server to come up."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            with urllib.request.urlopen(address) as page:
                return page.read().decode()
        except urllib.error.URLError:
            assert time.monotonic() < deadline, "no answer"
            time.sleep(0.2)


def test_test_runs_every_file_strictly_in_parallel_and_passes_arguments_on(monkeypatch):
    calls = []
    monkeypatch.setattr(pytest, "main", lambda arguments: calls.append(arguments) or 0)
    monkeypatch.chdir(ROOT)
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "2")
    assert verbs.main(["test", "-k", "mask"]) == 0
    assert os.environ["OMP_NUM_THREADS"] == os.environ["MKL_NUM_THREADS"] == "1"
    [arguments] = calls
    assert arguments[-2:] == ["-k", "mask"] and "--nbval" in arguments and "loadfile" in arguments
    assert int(arguments[arguments.index("-n") + 1]) >= 2
