"""The floor plan: an import never runs upward."""

import ast
from pathlib import Path

import pytest

import course_lib

FLOORS = [
    "data",
    "models",
    "objectives",
    "measurement",
    "training",
    "zoo",
    "benchmarks",
    "experiments",
    "figures",
    "widgets",
    "grading",
    "notebooks",
]
ROOT = Path(course_lib.__file__).parent
FILES = [path for floor in FLOORS for path in sorted((ROOT / floor).rglob("*.py"))]


def floors_imported(path: Path) -> set[str]:
    """The floors that a file imports from, relative imports resolved."""
    package = path.relative_to(ROOT.parent).with_suffix("").parts
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = list(package[: len(package) - node.level]) if node.level else []
            module = ".".join(base + ([node.module] if node.module else []))
            found.update(f"{module}.{alias.name}" for alias in node.names)
    parts = [name.split(".") for name in found if name.startswith("course_lib.")]
    return {part[1] for part in parts if len(part) > 1 and part[1] in FLOORS}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_imports_never_run_upward(path):
    floor = FLOORS.index(path.relative_to(ROOT).parts[0])
    upward = {name for name in floors_imported(path) if FLOORS.index(name) > floor}
    assert not upward, f"{path.name} on floor {FLOORS[floor]!r} imports from {sorted(upward)}"


def test_the_check_resolves_imports_to_floors():
    sample = ROOT / "zoo" / "train.py"
    assert {"training", "zoo"} <= floors_imported(sample)


def test_every_folder_of_the_library_is_a_floor():
    folders = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert folders == set(FLOORS)
