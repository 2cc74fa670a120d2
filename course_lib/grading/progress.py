"""What a learner has solved and which hints were opened: kept in one file on this computer, and sent nowhere.

The file is `.progress.json` in the course's folder, or, where that cannot be written to, `.infovae-course.json` in the
user's home. COURSE_PROGRESS names another, and `off` keeps nothing. It goes by the tasks' ids, so that neither the name
of a notebook nor the order of its cells matters. Nothing here raises on account of the disk: a check is worth more.
"""

import contextlib
import json
import os
import tempfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
OFF = "off"


def place() -> Path | None:
    """The file, or None where nothing is to be kept."""
    named = os.environ.get("COURSE_PROGRESS", "")
    if named:
        return None if named == OFF else Path(named).expanduser()
    beside = ROOT / ".progress.json"
    return beside if os.access(ROOT, os.W_OK) else Path.home() / ".infovae-course.json"


def known(path: Path | None = None) -> dict[str, dict]:
    """What is kept, by task: `solved` (a date, or absent), `now` (the last verdict), `checks`, `hints`.

    A file that cannot be read counts as empty; it is set aside, not overwritten, when something is noted next.
    """
    path = path or place()
    return (path and read(path)) or {}


def read(path: Path) -> dict[str, dict] | None:
    """The rows of a file, none where there is no file; None where it is there and cannot be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return {str(task): dict(row) for task, row in content["tasks"].items()}
    except FileNotFoundError:
        return {}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def note_check(task: str, status: str) -> None:
    """Keeps the verdict of a check. Once solved a task stays solved."""
    with changed(task) as row:
        row["checks"] = count(row, "checks") + 1
        row["now"] = status
        if status == "right":
            row.setdefault("solved", date.today().isoformat())


def note_hint(task: str) -> int:
    """Opens one more hint of a task, and returns which one."""
    opened = 1
    with changed(task) as row:
        opened = row["hints"] = count(row, "hints") + 1
    return opened


def hints_opened(task: str) -> int:
    """How many hints of a task are open, by this kernel or an earlier one."""
    return count((_here | known()).get(task, {}), "hints")


def count(row: dict, name: str) -> int:
    value = row.get(name, 0)
    return value if isinstance(value, int) and value >= 0 else 0


_here: dict[str, dict] = {}


@contextlib.contextmanager
def changed(task: str) -> Iterator[dict]:
    """The row of a task, to be changed and then written; where that fails it lasts as long as this process."""
    path = place()
    with contextlib.ExitStack() as held:
        if path:
            with contextlib.suppress(OSError):
                held.enter_context(lock(path))
        rows = {**_here, **known(path)} if path else dict(_here)
        row = rows.setdefault(task, {})
        yield row
        _here[task] = row
        if path:
            with contextlib.suppress(OSError):
                write(path, rows)


def lock(path: Path):
    """Held while the file is read and written: two kernels may check at once. Waits a second at most."""
    from filelock import FileLock

    path.parent.mkdir(parents=True, exist_ok=True)
    return FileLock(f"{path}.lock", timeout=1)


def write(path: Path, rows: dict[str, dict]) -> None:
    """Beside the target, then renamed. A file that is there and cannot be read is kept under another name."""
    if read(path) is None:
        os.replace(path, path.with_name(f"{path.name}.unreadable"))
    descriptor, draft = tempfile.mkstemp(dir=path.parent, prefix=".progress-", suffix=".json")
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump({"version": 1, "tasks": rows}, file, indent=1)
    os.replace(draft, path)


# python course.py progress


def main(argv: list[str]) -> int:
    """Prints what is done. 2 for arguments: there are none."""
    if argv:
        print("progress takes no arguments: python course.py progress")
        return 2
    print("\n".join(report(known())))
    return 0


def report(rows: dict[str, dict]) -> list[str]:
    """A line for each exercise and for each of its tasks that was tried, and what could come next."""
    from course_lib.grading.tasks import exercise, numbers

    lines, ahead = [], []
    for number in numbers():
        tasks = exercise(number)
        solved = [task for task in tasks if rows.get(task.id, {}).get("solved")]
        points = f"{sum(t.points for t in solved)} of {sum(t.points for t in tasks)} points"
        bar = "".join("#" if task in solved else "." for task in tasks)
        lines.append(f"{number}  {bar:<8}{len(solved)} of {len(tasks)} tasks, {points}")
        lines += [f"      {task.function:<32}{told(rows[task.id])}" for task in tasks if task.id in rows]
        ahead += [task for task in tasks if task not in solved]
    where = place()
    after = [f"next: {ahead[0].id}, {ahead[0].title} (about {ahead[0].minutes} minutes)"] if ahead else ["all done"]
    return [*lines, "", *after, f"kept in {where}" if where else "COURSE_PROGRESS=off: nothing is kept"]


def told(row: dict) -> str:
    """A task's history in words."""
    parts = [f"solved {row['solved']}" if row.get("solved") else "not solved yet"]
    if row.get("solved") and row.get("now", "right") != "right":
        parts.append(f"since changed: {row['now']}")
    parts += [f"{count(row, 'checks')} checks"] if count(row, "checks") != 1 else ["1 check"]
    parts += [f"{count(row, 'hints')} hints"] if count(row, "hints") > 1 else ["1 hint"] * count(row, "hints")
    return ", ".join(parts)
