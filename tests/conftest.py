"""An exercise that a learner has begun is the learner's: it is not compared with what is stored."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
os.environ["COURSE_PROGRESS"] = "off"  # what tests solve, no learner has solved


def begun_exercises() -> set[str]:
    """The names, without ending, of the exercises that differ from the last commit; none outside a git checkout."""
    try:
        command = ["git", "diff", "--name-only", "HEAD", "--", "exercises"]
        found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return set()
    return {Path(line).stem for line in found.stdout.splitlines()}


def pytest_collection_modifyitems(items):
    begun = begun_exercises()
    for item in items:
        for stem in begun:
            if "exercises" in item.nodeid and (stem in item.nodeid or "what_the_solutions_make" in item.nodeid):
                reason = f"exercises/{stem} differs from the last commit: it is taken for a learner's work"
                item.add_marker(pytest.mark.skip(reason=reason))
