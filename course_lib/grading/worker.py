"""The process in which a learner's code runs: cells and calls at the judge's command, answers as plain data.

Started as `python -P -m course_lib.grading.worker MEGABYTES FOLDER`, FOLDER being the one it may write to. The judge
speaks on standard input and listens on standard output; both are moved aside before any learner's code runs, so that
nothing printed mixes with the answers. Its first word names what else is hidden: the other hand-ins, the results.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from course_lib.grading.calling import call, tell
from course_lib.grading.framing import read_frame, write_frame
from course_lib.grading.plain import decode, encode
from course_lib.grading.sandbox import SECRET, confine
from course_lib.grading.task import Outcome

LARGEST_FILE = 256 * 2**20


def main(megabytes: int, folder: Path) -> None:
    """Serves the judge until it closes the line."""
    commands, replies = private_line()
    hidden = [Path(path) for path in decode(read_frame(commands))["hidden"]]
    limit_memory(megabytes)
    shell = make_shell()
    confine(folder, [*SECRET, *hidden])
    threading.Thread(target=outlive_nobody, args=(os.getppid(),), daemon=True).start()
    silence_checks()
    home = os.getpid()
    sys.path.insert(0, "")
    write_frame(replies, encode({"number": 0}))
    while (frame := read_frame(commands)) is not None:
        command = decode(frame)
        reply = answer(shell, command)
        if os.getpid() != home:
            os._exit(0)  # a child that a cell forked: it must not answer for its parent
        write_frame(replies, encode({"number": command["number"], **reply}))


def private_line() -> tuple[BinaryIO, BinaryIO]:
    """The judge's two pipes on descriptors of their own; 0, 1 and 2 lead nowhere from now on."""
    commands, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    return commands, replies


def outlive_nobody(judge: int) -> None:
    """Ends this process and its group once the judge is gone, even one that was killed."""
    while os.getppid() == judge:
        time.sleep(0.5)
    if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(1)


def limit_memory(megabytes: int) -> None:
    """A backstop on Linux for what grows faster than the judge looks: private memory, a gigabyte above the limit."""
    if sys.platform == "linux":
        import resource

        size = (megabytes + 1024) * 2**20
        resource.setrlimit(resource.RLIMIT_DATA, (size, size))
        resource.setrlimit(resource.RLIMIT_FSIZE, (LARGEST_FILE, LARGEST_FILE))


def silence_checks() -> None:
    """`check` and `hint` say nothing here, and the references cannot be imported."""
    import course_lib.grading as grading

    for module in (grading, grading.notebook):
        module.check = module.hint = lambda *arguments, **options: None
    sys.modules["course_lib.grading.tasks"] = None


def make_shell() -> Any:
    """IPython, so that magics work, without a history."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    class Shell(InteractiveShell):
        def enable_gui(self, gui=None):
            """There is no screen here; `%matplotlib inline` asks all the same."""

    settings = Config()
    settings.HistoryManager.enabled = False
    settings.InteractiveShell.colors = "nocolor"
    return Shell.instance(config=settings)


def answer(shell: Any, command: dict) -> dict:
    if command["do"] == "cell":
        return run_cell(shell, command["code"])
    return run_call(shell.user_ns.get(command["function"]), command["arguments"])


def run_cell(shell: Any, code: str) -> dict:
    """Runs one cell; the reply tells its exception, and the line of a syntax error."""
    result = shell.run_cell(code, store_history=False)
    error = result.error_before_exec or result.error_in_exec
    if error is None:
        return {}
    told = tell(error)
    line = error.lineno if isinstance(error, SyntaxError) else None
    return {"types": list(told.types), "message": told.message, "line": line}


def run_call(function: Callable | None, arguments: list) -> dict:
    """Calls the learner's function; the reply is its outcome as plain data."""
    if not callable(function):
        return {"missing": True}
    try:
        outcome = call(function, arguments)
    except KeyboardInterrupt as error:
        outcome = Outcome(error=tell(error, function))
    told = outcome.error
    error = vars(told) | {"types": list(told.types)} if told else None
    return {"value": outcome.value, "error": error, "changed": list(outcome.changed), "printed": outcome.printed}


if __name__ == "__main__":
    main(int(sys.argv[1]), Path(sys.argv[2]))
