"""Whether a .py and the .ipynb beside it still hold the same cells."""

from pathlib import Path

import jupytext
from jupytext.compare import compare
from nbformat import NotebookNode

FORMAT = "py:percent"
# Jupytext's own keys remember blank lines between cells: without them JupyterLab takes the .ipynb for an edited one.
JUPYTEXT_CELL_METADATA = ("cell_marker", "lines_to_next_cell", "lines_to_end_of_cell_marker")
KEPT_CELL_METADATA = ("tags", "nbgrader", *JUPYTEXT_CELL_METADATA)
KERNELSPEC = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}


def read_notebook(path: Path) -> NotebookNode:
    """A .py (percent format) or an .ipynb, with the metadata that both can hold and no other."""
    nb = jupytext.read(path, fmt=FORMAT if path.suffix == ".py" else None)
    nb.metadata = NotebookNode(kernelspec=nb.metadata.get("kernelspec", NotebookNode(KERNELSPEC)))
    for cell in nb.cells:
        cell.metadata = NotebookNode({k: v for k, v in cell.metadata.items() if k in KEPT_CELL_METADATA})
    return nb


def difference(expected: Path, actual: Path) -> str:
    """How two notebooks differ as .py, outputs and notebook metadata aside; empty if they do not.

    JupyterLab compares a pair in this way before it opens an .ipynb that is newer than its .py, and refuses if they
    differ. (`jupytext.compare.compare_notebooks` is content where JupyterLab is not: it overlooks blank lines.) A
    damaged `actual` differs.
    """
    ours = read_notebook(expected)
    try:
        theirs = read_notebook(actual)
    except (ValueError, KeyError, AttributeError, TypeError) as error:
        return f"{actual.name} is damaged: {error!r}"
    theirs.metadata = ours.metadata
    return compare(
        jupytext.writes(theirs, FORMAT), jupytext.writes(ours, FORMAT), actual.name, expected.name, return_diff=True
    )


def notebook_of(source: Path) -> Path:
    """chapters/02_x.py -> chapters/02_x.ipynb."""
    return source.with_suffix(".ipynb")


def unrun_cells(path: Path) -> list[int]:
    """Numbers, from 1 and counting every cell, of the code cells of an .ipynb that were saved without being run."""
    cells = enumerate(read_notebook(path).cells, start=1)
    return [number for number, cell in cells if cell.cell_type == "code" and cell.execution_count is None]
