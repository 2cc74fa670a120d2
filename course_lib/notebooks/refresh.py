"""`python course.py refresh`: runs the notebooks and stores what they show."""

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import nbformat

from course_lib.notebooks.execute import CellFailed, execute
from course_lib.notebooks.exercises import write_exercises
from course_lib.notebooks.pairs import difference, notebook_of, read_notebook, unrun_cells

ROOT = Path(__file__).resolve().parents[2]
RUN_FOLDERS = ("chapters", "solutions")
FOLDERS = (*RUN_FOLDERS, "exercises")


class Refused(Exception):
    """Going on would destroy somebody's work, or the request makes no sense; the message says what to do."""


def main(argv: list[str], root: Path = ROOT) -> int:
    """The command line. 0: all well; 1: a notebook failed, was refused or is out of step; 2: unknown path."""
    options = _parser().parse_args(argv)
    try:
        sources = find_sources([Path(path) for path in options.paths], root)
    except Refused as error:
        print(error, file=sys.stderr)
        return 2
    if options.check:
        return _report(check(sources, root))
    return _report(refresh(sources, root, options.force))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="course.py refresh",
        description="Run chapters and solutions from their .py, store the outputs in their .ipynb, remake exercises.",
    )
    parser.add_argument("paths", nargs="*", metavar="PATH", help="notebooks or folders; all of them if left out")
    parser.add_argument("--check", action="store_true", help="run nothing, only say which .ipynb are out of step")
    parser.add_argument("--force", action="store_true", help="overwrite notebooks edited after their source")
    return parser


def _report(problems: list[str]) -> int:
    for problem in problems:
        print(f"\n{problem}", file=sys.stderr)
    return 1 if problems else 0


def find_sources(paths: list[Path], root: Path) -> list[Path]:
    """The .py of chapters and solutions meant by these paths, in order; all of them for no path.

    A .ipynb means the .py beside it; an exercise means its solution. Raises Refused for anything else.
    """
    every = [source for folder in RUN_FOLDERS for source in sorted((root / folder).glob("*.py"))]
    if not paths:
        return every
    wanted = {source for path in paths for source in _meant_by(path, root, every)}
    return [source for source in every if source in wanted]


def _meant_by(path: Path, root: Path, every: list[Path]) -> list[Path]:
    """The sources that one path of the command line stands for. Raises Refused."""
    full = path.resolve() if path.exists() else (root / path).resolve()
    if root.resolve() / "exercises" in (full, full.parent):
        full = root.resolve() / "solutions" / full.relative_to(root.resolve() / "exercises")
    found = [
        source for source in every if full in (source.resolve(), notebook_of(source).resolve(), source.parent.resolve())
    ]
    if not found:
        known = "\n".join(f"    {_name(source, root)}" for source in every)
        raise Refused(f"{path} is no chapter, solution or exercise. These can be refreshed:\n{known}")
    return found


def _name(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()


def refresh(sources: list[Path], root: Path, force: bool) -> list[str]:
    """Runs the sources and remakes the exercises; prints a line for each and returns what went wrong."""
    problems = []
    for source in sources:
        start = time.perf_counter()
        try:
            refresh_one(source, root, force)
        except (CellFailed, Refused) as error:
            problems.append(str(error))
            print(f"FAILED  {_name(source, root)}", flush=True)
        else:
            print(f"{time.perf_counter() - start:5.1f} s {_name(notebook_of(source), root)}", flush=True)
    if any(source.parent.name == "solutions" for source in sources):
        problems += remake_exercises(root, force)
    return problems


def refresh_one(source: Path, root: Path, force: bool = False) -> None:
    """Runs one .py and puts the result in place of its .ipynb, or raises CellFailed or Refused and leaves it alone."""
    target = notebook_of(source)
    if not force and _edited_after(target, source) and difference(source, target):
        raise Refused(_edited_message(target, source, root))
    nb = read_notebook(source)
    try:
        execute(nb, source.parent)
    except CellFailed as error:
        raise CellFailed(f"{_name(source, root)}: {error}\nThe stored notebook was left as it was.") from None
    if _differs_from_last_commit(target, root) and difference(source, target):
        keep_copy(target, root)
    replace_file(target, nbformat.writes(nb) + "\n")


def keep_copy(target: Path, root: Path) -> None:
    """Puts a notebook that holds what neither its source nor git does where git does not look, and says so."""
    kept = target.parent / ".ipynb_checkpoints" / f"{target.stem}-before-refresh-{time.time():.0f}.ipynb"
    kept.parent.mkdir(exist_ok=True)
    shutil.copy2(target, kept)
    print(f"  what {_name(target, root)} held is kept in {_name(kept, root)}", flush=True)


def _edited_after(path: Path, source: Path) -> bool:
    return path.exists() and path.stat().st_mtime > source.stat().st_mtime


def _differs_from_last_commit(path: Path, root: Path) -> bool:
    """Whether git tracks the file and sees a change in it: a pull may have made its source the newer of the two."""
    try:
        command = ["git", "status", "--porcelain", "--", str(path)]
        return "M" in subprocess.run(command, cwd=root, capture_output=True, text=True).stdout[:2]
    except OSError:
        return False


def _edited_message(target: Path, source: Path, root: Path) -> str:
    name, origin = _name(target, root), _name(source, root)
    if target.parent.name == "exercises":
        keep = "To keep them, copy the file elsewhere first."
    else:
        keep = f"To keep them, bring them into {origin}: jupytext --to py:percent {name}"
    return (
        f"{name} holds edits that {origin} does not, and a refresh would lose them.\n{keep}\n"
        f"To drop them, refresh with --force."
    )


def replace_file(target: Path, text: str) -> None:
    """Writes beside the target and then takes its place: readers see the old file or the new, never half of one."""
    beside = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        beside.write_text(text, encoding="utf-8", newline="\n")
        os.replace(beside, target)
    finally:
        beside.unlink(missing_ok=True)


def fresh_exercises(root: Path, folder: Path) -> list[Path]:
    """The exercises as the solutions of `root` make them, written under `folder` and not into the checkout."""
    shutil.copytree(root / "solutions", folder / "solutions", ignore=shutil.ignore_patterns("*.ipynb", ".*"))
    (folder / "exercises").mkdir()
    return sorted(write_exercises(folder))


def remake_exercises(root: Path, force: bool) -> list[str]:
    """Puts fresh exercises in place, except where a learner worked in them; returns those refusals."""
    problems = []
    with tempfile.TemporaryDirectory() as folder:
        for fresh in fresh_exercises(root, Path(folder)):
            old = root / "exercises" / fresh.name
            solution = root / "solutions" / f"{fresh.stem}.py"
            begun = _edited_after(old, solution) or _differs_from_last_commit(old, root)
            if not force and begun and difference(fresh, old):
                problems.append(_edited_message(old, solution, root))
                continue
            replace_file(old, fresh.read_text(encoding="utf-8"))
            print(f" remade {_name(old, root)}", flush=True)
    return problems


def check(sources: list[Path], root: Path) -> list[str]:
    """What is out of step, one sentence each; runs nothing."""
    problems = [problem for source in sources if (problem := _check_pair(source, root))]
    if any(source.parent.name == "solutions" for source in sources):
        problems += check_exercises(root)
    return problems


def _check_pair(source: Path, root: Path) -> str:
    """What is wrong with a chapter or solution and its .ipynb; empty if nothing is."""
    name, target = _name(source, root), notebook_of(source)
    if not target.exists():
        return f"{name} has no .ipynb yet: python course.py refresh {name}"
    if found := difference(source, target):
        return f"{name} and its .ipynb differ:\n{found}"
    if cells := unrun_cells(target):
        return f"{_name(target, root)} was saved with cells {cells} not run: python course.py refresh {name}"
    return ""


def check_exercises(root: Path) -> list[str]:
    """Exercises that are not what their solutions make, byte for byte."""
    with tempfile.TemporaryDirectory() as folder:
        fresh = {path.name: path.read_bytes() for path in fresh_exercises(root, Path(folder))}
    stored = {path.name: path.read_bytes() for path in (root / "exercises").glob("*") if path.is_file()}
    wrong = [name for name in sorted(fresh.keys() | stored.keys()) if fresh.get(name) != stored.get(name)]
    return [f"exercises/{name} is not what solutions/ makes: python course.py refresh solutions" for name in wrong]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
