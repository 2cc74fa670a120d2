"""The files that say what the course is made of agree with one another and with what is installed."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from packaging.specifiers import SpecifierSet

import course

ROOT = Path(__file__).resolve().parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def run(*command, cwd=ROOT):
    """Run a Python module of this environment and return what it did."""
    command = [sys.executable, "-m", *map(str, command)]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=120)


def test_every_installed_package_the_course_depends_on_is_pinned_as_installed():
    pins = course.pinned_versions()
    closure = dict(course.installed_closure(course.project_requirements()))
    assert len(closure) > 100
    assert {name: version.split("+")[0] for name, version in closure.items()} == {name: pins[name] for name in closure}


def test_constraints_are_sorted_exact_and_pin_torch_without_a_label():
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    names = [course.canonical(line.split("==")[0]) for line in lines]
    assert names == sorted(set(names))
    assert "torch==2.13.0" in lines


def test_every_pinned_package_runs_on_the_oldest_python_that_the_course_promises():
    """Not on 3.11 as a whole alone: a system's own Python is often its .2, and a package may ask for .5."""
    oldest = PYPROJECT["project"]["requires-python"].removeprefix(">=") + ".0"
    wanted = {name: metadata.metadata(name)["Requires-Python"] for name in course.pinned_versions() if installed(name)}
    assert len(wanted) > 100
    assert {name: asks for name, asks in wanted.items() if asks and oldest not in SpecifierSet(asks)} == {}


def installed(name):
    """Some pins are for other systems."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def test_the_build_tool_is_pinned_to_the_version_in_the_constraints():
    assert PYPROJECT["build-system"]["requires"] == [f"hatchling=={course.pinned_versions()['hatchling']}"]


def test_environment_yml_takes_every_version_from_the_constraints():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    python, pip, section = environment["dependencies"]
    assert python.startswith("python=3.1") and pip == "pip"
    assert section == {"pip": ["-c constraints.txt", "-e ."]}


def test_environment_yml_s_pip_part_resolves_to_what_is_installed(tmp_path):
    if subprocess.run([sys.executable, "-m", "pip", "--version"], capture_output=True).returncode:
        pytest.skip("pip is not installed in this environment")
    section = yaml.safe_load((ROOT / "environment.yml").read_text())["dependencies"][-1]["pip"]
    shutil.copy(ROOT / "constraints.txt", tmp_path)
    (tmp_path / "requirements.txt").write_text("\n".join(section))
    offline = ["--dry-run", "--no-index", "--no-build-isolation", "--disable-pip-version-check"]
    done = run("pip", "install", *offline, "-r", tmp_path / "requirements.txt")
    assert done.returncode == 0, done.stdout + done.stderr
    would_install = [line for line in done.stdout.splitlines() if line.startswith("Would install")]
    assert would_install in ([], ["Would install course-lib-" + PYPROJECT["project"]["version"]])


def test_the_wheel_holds_the_weights_their_cards_and_jupyterlabs_defaults(tmp_path):
    done = run("hatchling", "build", "-t", "wheel", "-d", tmp_path)
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        names = set(wheel.namelist())
        [defaults] = [
            name
            for name in names
            if name.endswith("etc/jupyter/labconfig/default_setting_overrides.json") and ".data/" in name
        ]
        settings = json.loads(wheel.read(defaults))
    assert settings["@jupyterlab/apputils-extension:notification"] == {"fetchNews": "false", "checkForUpdates": False}
    assert settings["@jupyter-widgets/jupyterlab-manager:plugin"] == {"saveState": True}
    zoo = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "course_lib" / "zoo").rglob("*")
        if path.suffix in (".safetensors", ".json")
    }
    assert zoo <= names


@pytest.mark.parametrize("command", [["check"], ["format", "--check"]])
def test_ruff_has_nothing_to_say(command):
    done = run("ruff", *command, ".")
    assert done.returncode == 0, done.stdout


def test_the_readme_s_example_runs_and_reports(capsys):
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"```python\n(.*?)```", text, flags=re.DOTALL)
    assert "steps=400" in example
    exec(example.replace("steps=400", "steps=2"), {})
    assert "nats per image" in capsys.readouterr().out


def test_every_floor_the_readme_names_is_there():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    floors = re.findall(r"^\| `(\w+)` \|", text, flags=re.MULTILINE)
    assert len(floors) >= 6 and all((ROOT / "course_lib" / floor / "__init__.py").exists() for floor in floors)
