"""What has been graded so far, kept on disk while a grading runs, so that one which was cut off can be taken up."""

import hashlib
import json
import os
import threading
from pathlib import Path

from filelock import FileLock, Timeout


class JournalError(OSError):
    """The journal belongs to another grading; the text says what to do."""


class Journal:
    """A line for each graded notebook beside the results file, and the settings they were graded with.

    A notebook counts as graded if its path and every byte of it are the same. A torn last line is no line. Raises
    JournalError where the file is of other settings, or in the hands of another process.
    """

    def __init__(self, results: Path, settings: dict, seed: int | None, draw_seed):
        self.path = journal_of(results)
        self.lock = FileLock(f"{self.path}.lock")
        self.writing = threading.Lock()
        try:
            self.lock.acquire(timeout=0)
        except Timeout as error:
            raise JournalError(
                f"another grading is at work on {results}; wait for it, or name another --json"
            ) from error
        try:
            self.seed, self.known = self._read(results, settings, seed)
            if self.seed is None:
                self.seed = draw_seed() if seed is None else seed
                self._append({"settings": settings, "seed": self.seed})
        except BaseException:
            self.lock.release()
            raise

    def _read(self, results: Path, settings: dict, seed: int | None) -> tuple[int | None, dict[str, dict]]:
        """The seed and the reports of an unfinished grading, if there is one of these settings."""
        rows = _rows(self.path)
        if not rows:
            self.path.unlink(missing_ok=True)
            return None, {}
        head, *lines = rows
        if head.get("settings") != settings or seed not in (None, head.get("seed")):
            raise JournalError(
                f"{self.path.name} holds {len(lines)} results of an unfinished grading with other options or another "
                f"version of the course. Finish it with those, name another --json, or delete {self.path}"
            )
        return head["seed"], {line["notebook"]: line["report"] for line in lines}

    def add(self, notebook: str, report: dict) -> None:
        """Keeps the report on one notebook, on disk before this returns."""
        with self.writing:
            self.known[notebook] = report
            self._append({"notebook": notebook, "report": report})

    def _append(self, row: dict) -> None:
        torn = self.path.exists() and not self.path.read_bytes().endswith(b"\n")
        with self.path.open("a", encoding="utf-8") as file:
            file.write("\n" * torn + json.dumps(row) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def close(self, done: bool) -> None:
        """Lets go of the journal; one that is finished, or holds nothing yet, is deleted."""
        done = done or not self.known
        if done:
            self.path.unlink(missing_ok=True)
        self.lock.release()
        if done:
            Path(self.lock.lock_file).unlink(missing_ok=True)


def journal_of(results: Path) -> Path:
    """Where the results stand until they are complete."""
    return results.resolve().with_name(f".{results.name}.unfinished")


def _rows(path: Path) -> list[dict]:
    """The whole lines of a journal."""
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return []
    rows = []
    for line in text.splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:
            continue
    return [row for row in rows if isinstance(row, dict)]


def fingerprint(path: Path) -> str:
    """A notebook by its path and its bytes."""
    try:
        content = path.read_bytes()
    except OSError as error:
        content = repr(error).encode()
    return f"{path} {hashlib.sha256(content).hexdigest()}"


def course_version(folder: Path) -> str:
    """A fingerprint of the code that grades."""
    files = sorted(folder.rglob("*.py"))
    return hashlib.sha256(b"".join(file.read_bytes() for file in files)).hexdigest()[:16]
