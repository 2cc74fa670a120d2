"""A benchmark's findings: printed as a table, kept as JSON."""

import json
import os
import statistics
from dataclasses import asdict, dataclass
from pathlib import Path

from course_lib.benchmarks.timing import Timing

Row = dict[str, str | float]


@dataclass(frozen=True)
class Report:
    """One benchmark: what was asked, on which machine, and a row for each way; which columns the ledger may take."""

    name: str
    question: str
    hardware: str
    rows: list[Row]
    notes: tuple[str, ...] = ()
    recorded: tuple[str, ...] = ()

    def __str__(self) -> str:
        head = list(self.rows[0])
        body = [[_cell(row[column]) for column in head] for row in self.rows]
        widths = [max(map(len, column)) for column in zip(head, *body, strict=True)]
        lines = ["  ".join(cell.rjust(w) for cell, w in zip(line, widths, strict=True)) for line in [head, *body]]
        return "\n".join([f"{self.name}: {self.question}", self.hardware, *lines, *self.notes])

    def save(self, folder: Path) -> Path:
        """Write NAME.json, whole or not at all; returns where."""
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / f"{self.name}.json"
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        os.replace(partial, path)
        return path


def ratios(timings: dict[str, Timing], reference: str, column: str = "way") -> list[Row]:
    """A row for each way: seconds, and how many times as long as the reference it takes, with the quartiles of both."""
    return [
        {column: name, **spread("seconds", t.seconds), **spread(f"times {reference}", t.times(timings[reference]))}
        for name, t in timings.items()
    ]


def spread(name: str, values: tuple[float, ...]) -> Row:
    """The median under `name`, and the quartiles beside it."""
    low, middle, high = statistics.quantiles(values, method="inclusive") if len(values) > 1 else 3 * values
    return {name: middle, f"{name}, 25%": low, f"{name}, 75%": high}


def _cell(value: str | float) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
