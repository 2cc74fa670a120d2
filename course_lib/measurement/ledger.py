"""The results ledger: every number the course reports, with its spread, seeds, hardware and command."""

import html
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock

LEDGER = Path(__file__).with_name("ledger.json")


@dataclass(frozen=True)
class Result:
    """One reported number. `value` is the mean over `seeds`, `spread` the sample standard deviation (0 if exact).

    `band` is how far a repetition may lie from `value` on other hardware before it counts as a contradiction.
    """

    key: str
    claim: str
    quantity: str
    value: float
    unit: str
    spread: float = 0.0
    band: float = 0.0
    seeds: tuple[int, ...] = ()
    hardware: str = "any: exact"
    command: str = ""

    def __str__(self) -> str:
        spread = f" ± {self.spread:.2g}" if self.spread else ""
        return f"{self.value:.4g}{spread} {self.unit}".rstrip()


@dataclass(frozen=True)
class Claim:
    """What the article asserts, in our words, and what the measurements say of it."""

    id: str
    statement: str
    verdict: str


class LedgerError(LookupError):
    """The ledger has no such number, or a measurement contradicts the one it has."""


def results(path: Path = LEDGER) -> dict[str, Result]:
    """All reported numbers by key."""
    rows = json.loads(path.read_text())["results"]
    return {row["key"]: Result(**{**row, "seeds": tuple(row["seeds"])}) for row in rows}


def claims(path: Path = LEDGER) -> dict[str, Claim]:
    """All verdicts by the claim's number."""
    return {row["id"]: Claim(**row) for row in json.loads(path.read_text())["claims"]}


def result(key: str, path: Path = LEDGER) -> Result:
    """One reported number. Raises LedgerError for an unknown key."""
    found = results(path)
    if key not in found:
        raise LedgerError(f"the ledger has no result {key!r}; it has: {', '.join(sorted(found))}")
    return found[key]


def confirm(key: str, value: float, path: Path = LEDGER) -> None:
    """Print how a number measured just now compares with the ledger's.

    Raises LedgerError when it lies outside the band: then the ledger, or the code, is wrong.
    """
    known = result(key, path)
    if not abs(value - known.value) <= known.band:
        raise LedgerError(
            f"{known.quantity}: measured {value:.4g}, but the ledger holds {known} (band {known.band:g}). "
            f"Measure again with: {known.command}"
        )
    band = f", with a band of ± {known.band:g}" if known.band else ""
    print(f"{known.quantity}: {f'{value:.4g} {known.unit}'.rstrip()}. The ledger holds {known}{band}.")


def record(new: Sequence[Result], verdicts: Sequence[Claim] = (), path: Path = LEDGER) -> None:
    """Put results and verdicts into the ledger, replacing those of the same key. The file is never half-written."""
    with FileLock(path.with_suffix(".lock")):  # two runs at once would each write the other's rows away
        content = json.loads(path.read_text())
        known = {row["id"]: row for row in content["claims"]} | {claim.id: asdict(claim) for claim in verdicts}
        content["claims"] = [known[key] for key in sorted(known)]
        rows = {row["key"]: row for row in content["results"]} | {entry.key: asdict(entry) for entry in new}
        content["results"] = [rows[key] for key in sorted(rows)]
        partial = path.with_suffix(f".{os.getpid()}.partial")
        partial.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
        os.replace(partial, path)


class ClaimsTable:
    """The closing table of a chapter: claim, verdict, and each number with its spread."""

    def __init__(self, *ids: str, path: Path = LEDGER):
        known, numbers = claims(path), results(path).values()
        self.rows = [(known[i], [r for r in numbers if r.claim == i]) for i in ids]

    def __str__(self) -> str:
        lines = []
        for claim, numbers in self.rows:
            lines += [f"{claim.id}  {claim.statement}", f"     Verdict: {claim.verdict}"]
            lines += [f"     {r.quantity}: {r}" for r in numbers]
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        head = "<tr><th>claim</th><th>verdict</th><th>measured</th></tr>"
        return f"<table>{head}{''.join(self._row(*row) for row in self.rows)}</table>"

    @staticmethod
    def _row(claim: Claim, numbers: list[Result]) -> str:
        measured = "<br>".join(html.escape(f"{r.quantity}: {r}") for r in numbers)
        words = [f"<b>{claim.id}</b> {html.escape(claim.statement)}", html.escape(claim.verdict), measured]
        return "<tr>" + "".join(f'<td style="text-align:left; vertical-align:top">{w}</td>' for w in words) + "</tr>"
