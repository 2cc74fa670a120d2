"""A worker process seen from the judge: asked one thing at a time, watched, and ended with all its children."""

import contextlib
import os
import queue
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from course_lib.grading.framing import LONGEST, read_frame, write_frame
from course_lib.grading.plain import decode, encode

ROOT = Path(__file__).resolve().parents[2]
START_SECONDS = 120.0
LOOK_EVERY = 0.03


class Lost(Exception):
    """The worker is gone, or had to be ended; the text says why, to follow on "cell 3" or a function's name."""


class OutOfTime(Lost):
    """The notebook has used all the time it has."""


@dataclass
class Limits:
    """Seconds for one cell or one task, seconds for the whole notebook, megabytes; `stop` ends everything.

    `hidden` are paths that no answer may read: hand-ins and results.
    """

    seconds: float = 60.0
    memory: int = 2048
    total: float = 600.0
    stop: threading.Event = field(default_factory=threading.Event)
    hidden: tuple[Path, ...] = ()


class Worker:
    """One process that runs learner's code, in a folder of its own, until `deadline` (time.monotonic)."""

    def __init__(self, limits: Limits, deadline: float):
        self.limits, self.deadline, self.number = limits, deadline, 0
        self.family: dict[int, psutil.Process] = {}
        self.scratch = tempfile.mkdtemp(prefix="grade-")
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "course_lib.grading.worker", str(limits.memory), self.scratch],
            cwd=self.scratch,
            env=self._environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            self._exchange(encode({"hidden": [str(path) for path in self._hidden()]}), START_SECONDS)
        except BaseException:
            self.close()
            raise

    def _hidden(self) -> list[Path]:
        """What the limits name, and the folders of other workers, those to come included."""
        folder = Path(self.scratch).parent
        others = [path for path in folder.glob("grade-*") if str(path) != self.scratch]
        return [*self.limits.hidden, *others, folder / "grade-to-come"]

    def _environment(self) -> dict[str, str]:
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        own = {"MPLBACKEND": "Agg", "OMP_NUM_THREADS": "1", "IPYTHONDIR": self.scratch, "MPLCONFIGDIR": self.scratch}
        own |= {"TMPDIR": self.scratch, "TEMP": self.scratch, "TMP": self.scratch}
        given = {name: value for name, value in os.environ.items() if name not in ("PWD", "OLDPWD")}
        return {**given, **own, "PYTHONPATH": os.pathsep.join(paths), "PYTHONDONTWRITEBYTECODE": "1"}

    def ask(self, command: dict, seconds: float) -> dict:
        """The reply to a command; Lost where none comes."""
        self.number += 1
        return self._exchange(encode({**command, "number": self.number}), seconds)

    def close(self) -> None:
        """Ends the process, its group, and every child it was ever seen with."""
        self._relatives()
        if hasattr(os, "killpg"):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self.process.pid, signal.SIGKILL)
        for relative in [*self.family.values()]:
            with contextlib.suppress(psutil.Error):
                relative.kill()
        self.process.kill()
        self.process.wait()
        remove(Path(self.scratch))

    def _exchange(self, frame: bytes, seconds: float) -> dict:
        box: queue.Queue = queue.Queue()
        threading.Thread(target=self._talk, args=(frame, box), daemon=True).start()
        end = time.monotonic() + seconds
        while True:
            try:
                reply = box.get(timeout=LOOK_EVERY)
            except queue.Empty:
                self._look(end, seconds)
                continue
            self._look_at_memory()
            return self._checked(reply)

    def _talk(self, frame: bytes, box: queue.Queue) -> None:
        try:
            write_frame(self.process.stdin, frame)
            data = read_frame(self.process.stdout, LONGEST)
            box.put(None if data is None else decode(data))
        except (OSError, ValueError) as error:
            box.put(error)

    def _checked(self, reply: object) -> dict:
        number = reply.get("number") if isinstance(reply, dict) else None
        if type(number) is int and number == self.number:
            return reply
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.process.wait(1.0)
        raise Lost(
            ending(self.process.poll()) if reply is None or isinstance(reply, OSError) else "gave no readable answer"
        )

    def _look(self, end: float, seconds: float) -> None:
        """Raises Lost where the time or the memory is used up."""
        now = time.monotonic()
        if self.limits.stop.is_set():
            raise OutOfTime("was stopped")
        if now > self.deadline:
            raise OutOfTime(f"was stopped: the notebook has used its {self.limits.total:g} s")
        if now > end:
            raise Lost(f"looped: stopped after {seconds:g} s")
        self._look_at_memory()

    def _look_at_memory(self) -> None:
        used = 0
        for process in self._relatives():
            with contextlib.suppress(psutil.Error):
                used += process.memory_info().rss
        if used > self.limits.memory * 2**20:
            raise Lost(f"used more than {self.limits.memory} MB")

    def _relatives(self) -> list[psutil.Process]:
        """The process and its descendants, those that have left it included."""
        with contextlib.suppress(psutil.Error):
            root = self.family.setdefault(self.process.pid, psutil.Process(self.process.pid))
            self.family.update({child.pid: child for child in root.children(recursive=True)})
        return [process for process in self.family.values() if process.is_running()]


def remove(folder: Path) -> None:
    """Deletes a folder, also one so deep that Python cannot walk it."""
    try:
        shutil.rmtree(folder, ignore_errors=True)
    except RecursionError:
        with contextlib.suppress(OSError):
            subprocess.run(["rm", "-rf", str(folder)], capture_output=True)


def ending(code: int | None) -> str:
    """How a process ended, from its return code."""
    if code is None:
        return "closed its line to the grader"
    if code < 0:
        return f"crashed ({(signal.strsignal(-code) or f'signal {-code}').lower()})"
    return f"ended the process (exit code {code})" if code < 256 else f"crashed (code {code:#x})"
