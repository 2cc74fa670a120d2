"""Two things that concern all tests: an exercise that a learner has begun, and the tables after the last test.

An exercise that a learner has begun is the learner's: it is not compared with what is stored.
"""

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


def pytest_configure(config):
    config.addinivalue_line("markers", "fault(name): something goes wrong, and nothing may be lost")


def pytest_collection_modifyitems(items):
    for item in items:
        item.user_properties += [("fault", mark.args[0]) for mark in item.iter_markers("fault")]
    begun = begun_exercises()
    for item in items:
        for stem in begun:
            if "exercises" in item.nodeid and (stem in item.nodeid or "what_the_solutions_make" in item.nodeid):
                reason = f"exercises/{stem} differs from the last commit: it is taken for a learner's work"
                item.add_marker(pytest.mark.skip(reason=reason))


# The tables: what a test puts down with record_property reaches this process from whichever it ran in.


def pytest_terminal_summary(terminalreporter):
    reports = [r for kind in ("passed", "failed") for r in terminalreporter.stats.get(kind, []) if r.when == "call"]
    noted = [(name, value, report.passed) for report in reports for name, value in report.user_properties]
    for name, table in sorted((name, value) for name, value, _ in noted if name.startswith("table: ")):
        terminalreporter.section(name.removeprefix("table: "))
        terminalreporter.write_line(table)
    if rows := tallied(noted, ("right", "wrong")):
        terminalreporter.section("answers to every task")
        terminalreporter.write_line(f"{'task':<36}right, accepted  wrong, rejected with its own diagnosis")
        for task, (right, wrong) in rows.items():
            terminalreporter.write_line(f"{task:<36}{right:>15}  {wrong}")
    if rows := tallied(noted, ("fault",)):
        terminalreporter.section("faults")
        for fault, (outcome,) in rows.items():
            terminalreporter.write_line(f"{fault:<60}{outcome}")
        lost = sum(1 for name, _, passed in noted if name == "fault" and not passed)
        terminalreporter.write_line(f"faults tried: {len(rows)}, something lost: {lost}")


def tallied(noted, kinds):
    """For every value noted under one of the kinds, "passed/tried" for each kind."""
    values = sorted({value for name, value, _ in noted if name in kinds})
    count = {value: [[0, 0] for _ in kinds] for value in values}
    for name, value, passed in noted:
        if name in kinds:
            cell = count[value][kinds.index(name)]
            cell[0] += passed
            cell[1] += 1
    return {value: [f"{passed}/{tried}" for passed, tried in cells] for value, cells in count.items()}
