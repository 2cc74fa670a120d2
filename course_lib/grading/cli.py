"""The command-line grader: notebooks in, one table and one JSON file out, and a CSV file if asked for."""

import argparse
import contextlib
import csv
import io
import json
import os
import secrets
import signal
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path

from course_lib.grading.grader import Report, grade_whatever_happens
from course_lib.grading.journal import Journal, course_version, fingerprint, journal_of
from course_lib.grading.judging import Verdict
from course_lib.grading.supervision import Limits

ROOT = Path(__file__).resolve().parents[2]


def main(argv: Sequence[str]) -> int:
    """Grades; 0 for full marks in every notebook, 1 otherwise, 2 for a call that makes no sense."""
    try:
        options = parser().parse_args(argv)
    except SystemExit as error:
        return int(error.code or 0)
    try:
        paths = notebooks(options.paths)
        for target in filter(None, (options.json, options.csv)):
            writable(target)
    except (FileNotFoundError, OSError) as error:
        print(f"grade: {error}", file=sys.stderr)
        return 2
    hide = not_for_answers(paths, [target for target in (options.json, options.csv) if target])
    limits = Limits(options.seconds, options.memory, options.total or 10 * options.seconds, hidden=hide)
    settings = {"exercise": options.exercise, "limits": [limits.seconds, limits.memory, limits.total]}
    settings["version"] = course_version(Path(__file__).parent)
    try:
        journal = Journal(options.json, settings, options.seed, draw_seed=lambda: secrets.randbits(31))
    except OSError as error:
        print(f"grade: {error}", file=sys.stderr)
        return 2
    done = False
    try:
        reports = grade_all(paths, limits, journal, options.exercise, options.jobs)
        print("\n".join(table(reports)))
        write_json(options.json, reports, journal.seed)
        if options.csv:
            write_csv(options.csv, reports)
        done = True
    except KeyboardInterrupt:
        kept = f"{len(journal.known)} of {len(paths)} notebooks are graded and kept"
        print(f"grade: interrupted; {kept}. The same command goes on from there", file=sys.stderr)
        return 130
    finally:
        journal.close(done)
    return 0 if all(report["full"] for report in reports) else 1


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(prog="grade", description="Grade notebooks, or folders of them.")
    made.add_argument("paths", nargs="+", metavar="PATH", help="a notebook (.ipynb) or a folder")
    made.add_argument("--json", type=Path, default=Path("grades.json"), metavar="FILE", help="default: grades.json")
    made.add_argument("--csv", type=Path, metavar="FILE", help="a table for a spreadsheet as well, a row a notebook")
    made.add_argument("--seconds", type=positive, default=60.0, help="for one cell, or for one task (default 60)")
    made.add_argument("--total", type=positive, help="seconds for a whole notebook (default: 10 times --seconds)")
    made.add_argument("--memory", type=megabytes, default=2048, metavar="MB", help="for one notebook (default 2048)")
    made.add_argument("--jobs", type=jobs, default=max(1, (os.cpu_count() or 2) // 2), help="notebooks at a time")
    made.add_argument(
        "--exercise", default="", metavar="NN", help="grade as this exercise, whatever a notebook looks like"
    )
    made.add_argument("--seed", type=int, help="of the random cases (default: a fresh one, kept in the JSON file)")
    return made


def positive(text: str) -> float:
    value = float(text)
    if not 0 < value < 1e6:
        raise ValueError(text)
    return value


def megabytes(text: str) -> int:
    return max(int(text), 512)


def jobs(text: str) -> int:
    return max(int(text), 1)


def notebooks(paths: Sequence[str]) -> list[Path]:
    """The notebooks named and those in folders named, without checkpoints; FileNotFoundError where there are none."""
    found: list[Path] = []
    for path in map(Path, paths):
        if not path.exists():
            raise FileNotFoundError(f"there is no {path}")
        if path.is_file() and path.suffix != ".ipynb":
            raise FileNotFoundError(f"{path} is not a notebook (.ipynb)")
        path = path.resolve()
        inside = [path] if path.is_file() else sorted(path.rglob("*.ipynb"))
        kept = [p for p in inside if p.is_file() and (p == path or not hidden(p.relative_to(path)))]
        if not kept:
            raise FileNotFoundError(f"there are no notebooks in {path}")
        found += kept
    return list(dict.fromkeys(found))


def not_for_answers(paths: Sequence[Path], results: Sequence[Path]) -> tuple[Path, ...]:
    """What no answer may read: the folders of the hand-ins, or where something needed lies below, the files; and the
    results, finished or not."""
    needed = [ROOT / "course_lib", Path(tempfile.gettempdir()), *map(Path, (sys.prefix, sys.base_prefix, *sys.path))]
    needed = [place.resolve() for place in needed]
    secret = {place for result in results for place in (result.resolve(), journal_of(result))}
    for folder in {path.parent for path in paths}:
        if any(folder == place or folder in place.parents for place in needed):
            secret.update(file for file in folder.iterdir() if file.suffix in (".ipynb", ".py") and file.is_file())
        else:
            secret.add(folder)
    return tuple(sorted(secret))


def hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def grade_all(paths: list[Path], limits: Limits, journal: Journal, exercise: str, jobs: int) -> list[dict]:
    """The reports in the order of the paths, several notebooks at a time; those in the journal are not graded again.

    An interruption ends every worker; what was graded until then is in the journal.
    """
    keys = {path: fingerprint(path) for path in paths}
    left = [path for path in paths if keys[path] not in journal.known]
    if len(left) < len(paths):
        print(f"going on: {len(paths) - len(left)} of {len(paths)} notebooks are graded already", file=sys.stderr)
    with ThreadPoolExecutor(jobs) as pool:
        futures = {path: pool.submit(grade_whatever_happens, path, limits, journal.seed, exercise) for path in left}
        try:
            for future in as_completed(futures.values()):
                report = future.result()
                journal.add(keys[report.path], as_data(report))
        except BaseException:
            limits.stop.set()
            with patience():
                pool.shutdown(cancel_futures=True)
            raise
    return [journal.known[keys[path]] for path in paths]


@contextlib.contextmanager
def patience() -> Iterator[None]:
    """A second Ctrl-C does not cut short what the first one began: workers still have to be ended."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def table(reports: Sequence[dict]) -> list[str]:
    """One row for each notebook, with its troubles and its tasks beneath it."""
    rows = [("notebook", "score", "message")]
    for report in reports:
        notes = report["messages"] or ["full marks" if report["full"] else ""]
        rows.append((shown(Path(report["path"])), f"{report['score']} / {report['points']}", notes[0]))
        rows += [("", "", note) for note in notes[1:]]
        rows += [(f"  {t['id']}", f"{t['score']} / {t['points']}", t["message"]) for t in report["tasks"]]
    rows = [tuple(map(one_line, row)) for row in rows]
    widths = [max(len(row[i]) for row in rows) for i in (0, 1)]
    return [f"{a:<{widths[0]}}  {b:>{widths[1]}}  {c}".rstrip() for a, b, c in rows]


def one_line(text: str) -> str:
    """Text that cannot paint the terminal, begin a row of its own, or fail to be printed."""
    return "".join(c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text)


def shown(path: Path) -> str:
    """The path from the current folder where that is shorter."""
    return min(str(path), os.path.relpath(path), key=len)


def message(verdict: Verdict) -> str:
    """The headline, and the diagnosis in a sentence; where there is none, what differs. One line."""
    first = verdict.detail[0] if verdict.status in ("wrong", "error") and verdict.detail else ""
    reason = verdict.told or first
    return one_line(" ".join(f"{verdict.headline}{' (' * bool(reason)}{reason.strip()}{')' * bool(reason)}".split()))


def as_data(report: Report) -> dict:
    """A report as plain data for the JSON file."""
    tasks = [
        {
            "id": v.task.id,
            "score": v.score,
            "points": v.task.points,
            "status": v.status,
            "diagnosis": v.diagnosis,
            "message": message(v),
            "detail": list(v.detail),
        }
        for v in report.verdicts
    ]
    return {
        "path": str(report.path),
        "exercise": report.exercise,
        "score": report.score,
        "points": report.points,
        "full": report.full,
        "messages": list(report.messages),
        "tasks": tasks,
    }


def writable(path: Path) -> None:
    """OSError where the results could not be written: better known before the grading than after it."""
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: --json names a file, such as {path / 'grades.json'}")
    if not path.resolve().parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.resolve().parent} to write {path.name} into")
    with tempfile.TemporaryFile(dir=path.resolve().parent):
        pass


def write_json(path: Path, reports: Sequence[dict], seed: int) -> None:
    """All of it, as data."""
    write(path, json.dumps({"version": 1, "seed": seed, "notebooks": list(reports)}, indent=1))


def write_csv(path: Path, reports: Sequence[dict]) -> None:
    """A row for each notebook, a column for each task that occurs, for a spreadsheet.

    Names and messages come from learners: one that begins like a formula gets an apostrophe, so that it is none.
    """
    ids = sorted({task["id"] for report in reports for task in report["tasks"]})
    lines = io.StringIO()
    rows = csv.writer(lines, lineterminator="\n")
    rows.writerow(["folder", "notebook", "exercise", "score", "points", *ids, "message"])
    for report in reports:
        place, scores = Path(report["path"]), {task["id"]: task["score"] for task in report["tasks"]}
        said = "; ".join(report["messages"])
        told = [place.parent.name, place.name, report["exercise"], report["score"], report["points"]]
        rows.writerow(map(harmless, [*told, *(scores.get(i, "") for i in ids), said]))
    write(path, lines.getvalue())


def harmless(cell: object) -> object:
    if not isinstance(cell, str):
        return cell
    return f"'{one_line(cell)}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else one_line(cell)


def write(path: Path, text: str) -> None:
    """Writes beside the target and renames, so that a reader never meets half a file."""
    descriptor, draft = tempfile.mkstemp(dir=path.resolve().parent, prefix=".grades-", suffix=path.suffix)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except BaseException:
        Path(draft).unlink(missing_ok=True)
        raise


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
