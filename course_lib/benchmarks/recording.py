"""A benchmark's findings as rows of the ledger, each with the device's name."""

import re

from course_lib.benchmarks.report import Report, Row
from course_lib.measurement.ledger import Result


def ledger_rows(report: Report, benchmark: str) -> list[Result]:
    """One row for each line of the table and each column that the report has recorded."""
    return [_result(report, row, column, benchmark) for row in report.rows for column in report.recorded]


def _result(report: Report, row: Row, column: str, benchmark: str) -> Result:
    """The spread over the calls is that of a normal distribution with their quartiles, 0 where there are none.

    Another machine has another speed: the band is the value itself.
    """
    of, label = next(iter(row.items()))
    value = float(row[column])
    quartiles = [row.get(f"{column}, {share}", value) for share in ("25%", "75%")]
    return Result(
        key=".".join(["bench", report.name, *map(_slug, (report.hardware, str(label), column))]),
        claim="",
        quantity=f"{report.question}; {of} {label}: {column}",
        value=value,
        unit="",
        spread=(quartiles[1] - quartiles[0]) / 1.349,
        band=value,
        hardware=report.hardware,
        command=f"python course.py bench {benchmark}",
    )


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")
