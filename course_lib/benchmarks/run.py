"""Run the benchmarks: python course.py bench [NAME ...]; a table each, and JSON in runs/bench unless --to says else."""

import argparse
from collections.abc import Callable, Iterator
from pathlib import Path

import torch

from course_lib.benchmarks.information import information_meter
from course_lib.benchmarks.objectives import objectives
from course_lib.benchmarks.recording import ledger_rows
from course_lib.benchmarks.report import Report
from course_lib.benchmarks.sampling import naive_in_full, sampling
from course_lib.benchmarks.training import training, training_bf16
from course_lib.measurement.ledger import record
from course_lib.zoo.train import RUNS

BENCHMARKS: dict[str, Callable[[str, int], Iterator[Report]]] = {
    "training": training,
    "training_bf16": training_bf16,
    "objectives": objectives,
    "sampling": sampling,
    "information": information_meter,
    "naive_in_full": naive_in_full,
}
LONG = ("naive_in_full",)


def main(argv: list[str]) -> int:
    """Run the named benchmarks, or all but the long ones, and print and save each as soon as it is there."""
    parser = argparse.ArgumentParser(prog="course.py bench", description=__doc__)
    parser.add_argument("name", nargs="*", help=f"which: {', '.join(BENCHMARKS)}; all but {LONG[0]} if none is named")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--calls", type=int, default=5, help="how often each way is timed, in turn with the others")
    parser.add_argument("--to", type=Path, default=RUNS / "bench", help="folder for the JSON files")
    parser.add_argument(
        "--record", action="store_true", help="write the speeds into the ledger, with the device's name"
    )
    options = parser.parse_args(argv)
    unknown = [name for name in options.name if name not in BENCHMARKS]
    if unknown or options.calls < 1:
        parser.error(f"unknown: {', '.join(unknown)}" if unknown else "--calls must be at least 1")
    for name in options.name or [name for name in BENCHMARKS if name not in LONG]:
        for report in BENCHMARKS[name](options.device, options.calls):
            print(f"{report}\nsaved in {report.save(options.to)}\n", flush=True)
            if options.record:
                record(ledger_rows(report, name))
    return 0
