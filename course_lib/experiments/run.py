"""python course.py measure [NAME ...] runs the experiments behind the ledger and records what they find."""

import argparse
import dataclasses
from collections.abc import Callable, Iterator
from importlib import import_module
from pkgutil import iter_modules
from types import ModuleType

import course_lib.experiments
from course_lib.measurement.ledger import Claim, Result, record


def chapters() -> list[ModuleType]:
    """The modules that hold experiments, one for each chapter."""
    names = sorted(module.name for module in iter_modules(course_lib.experiments.__path__))
    return [import_module(f"course_lib.experiments.{name}") for name in names if name.startswith("chapter_")]


def experiments() -> dict[str, Callable[[], Iterator[Result]]]:
    """Every experiment by name."""
    return {name: run for chapter in chapters() for name, run in chapter.EXPERIMENTS.items()}


def verdicts() -> list[Claim]:
    """What every chapter says of the claims it tests."""
    return [claim for chapter in chapters() for claim in chapter.CLAIMS]


def verdicts_beside(experiment: str) -> list[Claim]:
    """What the chapter of an experiment says: another's may have changed since a long run began."""
    return [claim for chapter in chapters() if experiment in chapter.EXPERIMENTS for claim in chapter.CLAIMS]


def main(argv: list[str]) -> int:
    """Run the named experiments, or all, and record each result as soon as it is there, with its chapter's verdicts."""
    known = experiments()
    parser = argparse.ArgumentParser(prog="course.py measure", description=__doc__)
    parser.add_argument("name", nargs="*", help=f"which: {', '.join(known)}; all if none is named")
    options = parser.parse_args(argv)
    unknown = [name for name in options.name if name not in known]
    if unknown:
        parser.error(f"unknown: {', '.join(unknown)}; choose from {', '.join(known)}")
    for name in options.name or known:
        for found in known[name]():
            command = f"python course.py measure {name}"
            found = dataclasses.replace(
                found, command=command, value=round(found.value, 6), spread=round(found.spread, 6)
            )
            record([found], verdicts_beside(name))
            print(f"{found.key}: {found}")
    return 0
