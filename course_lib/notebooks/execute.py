"""Running a notebook so that two runs leave the same bytes."""

import hashlib
import os
import re
from collections import Counter
from pathlib import Path

from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
from nbformat import NotebookNode

CELL_SECONDS = 300
WIDGET_VIEW = "application/vnd.jupyter.widget-view+json"
ANSI_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
LINE_IN_CELL = re.compile(r"Cell In\[\d+\], line (\d+)")


class CellFailed(Exception):
    """A cell raised, took too long, or took its kernel down; the message says which and where."""


def execute(nb: NotebookNode, folder: Path) -> None:
    """Runs every cell of nb in a fresh kernel in `folder`, as JupyterLab and nbval do, and stores the outputs in nb.

    One thread, as in the tests: the thread count moves the last digits of a sum. Raises CellFailed.
    """
    at = 0

    def remember(cell: NotebookNode, cell_index: int) -> None:
        nonlocal at
        at = cell_index

    client = NotebookClient(
        nb,
        timeout=CELL_SECONDS,
        record_timing=False,
        coalesce_streams=True,
        extra_arguments=["--IPKernelApp.log_level=40"],
        on_cell_start=remember,
        resources={"metadata": {"path": str(folder)}},
    )
    try:
        client.execute(
            env=os.environ | {"OMP_NUM_THREADS": "1", "COURSE_PROGRESS": "off", "PYDEVD_DISABLE_FILE_VALIDATION": "1"}
        )
    except (CellExecutionError, CellTimeoutError, DeadKernelError) as error:
        raise CellFailed(_what_failed(nb, at, error)) from None
    make_reproducible(nb)


def make_reproducible(nb: NotebookNode) -> None:
    """Drops what differs from run to run, and names cells by what they say."""
    nb.metadata.pop("widgets", None)
    nb.metadata.pop("language_info", None)
    for cell in nb.cells:
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(WIDGET_VIEW, None)
    name_cells(nb)


def name_cells(nb: NotebookNode) -> None:
    """Cell ids from the text of the cell and its turn among equals: stable when other cells come or go."""
    seen = Counter()
    for cell in nb.cells:
        text = f"{cell.cell_type}\n{cell.source}"
        cell.id = hashlib.sha256(f"{text}\n{seen[text]}".encode()).hexdigest()[:12]
        seen[text] += 1


def _what_failed(nb: NotebookNode, at: int, error: Exception) -> str:
    """Cell number (from 1, counting every cell), line, source line, and the error."""
    where = f"cell {at + 1} of {len(nb.cells)}"
    if isinstance(error, CellTimeoutError):
        return f"{where} ran longer than {CELL_SECONDS} s"
    if isinstance(error, DeadKernelError):
        return f"{where} took the kernel down"
    line = _failing_line(nb.cells[at])
    source = nb.cells[at].source.splitlines()[line - 1].strip()
    return f"{where}, line {line}: {source}\n    {error.ename}: {ANSI_COLOUR.sub('', error.evalue)}"


def _failing_line(cell: NotebookNode) -> int:
    """The line of the cell, from 1, at which its error left; 1 if the traceback does not say."""
    for output in cell.outputs:
        if output.output_type == "error":
            found = LINE_IN_CELL.search(ANSI_COLOUR.sub("", "\n".join(output.traceback)))
            return int(found[1]) if found else 1
    return 1
