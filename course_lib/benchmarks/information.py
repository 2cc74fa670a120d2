"""The information meter on 10,000 codes against 10,000 posteriors."""

import math
from collections.abc import Iterator

import torch

from course_lib.benchmarks.report import Report, ratios
from course_lib.benchmarks.timing import Work, peak_memory, side_by_side
from course_lib.data.noise import normal
from course_lib.measurement.codes import Codes
from course_lib.measurement.information import information_of
from course_lib.models.gaussian import DiagonalGaussian
from course_lib.models.priors import StandardNormal
from course_lib.zoo.train import hardware

CODE, SIZES = 32, (1_000, 3_000, 10_000)


def meter(n: int, device: str = "cpu") -> Work:
    """One reading on n codes of a channel q(z|x) = N(mu, I / 4), without an encoder's cost."""
    generator, like = torch.Generator().manual_seed(0), torch.empty(0, device=device, dtype=torch.float64)
    q = DiagonalGaussian(normal((n, CODE), generator, like), torch.full((n, CODE), math.log(0.25)).to(like))
    z, prior = q.sample(generator), StandardNormal(CODE)
    codes = Codes(q, z, q.kl_to_standard_normal(), prior.log_prob(z))
    return lambda: information_of(codes)


def information_meter(device: str, calls: int) -> Iterator[Report]:
    """Seconds and memory by the number of images."""
    timings = side_by_side({f"{n:,} x {n:,}": meter(n, device) for n in SIZES}, calls, device)
    rows = ratios(timings, f"{SIZES[0]:,} x {SIZES[0]:,}", column="codes x posteriors")
    rows = [
        {**row, "peak MiB": peak_memory(meter, n, device, device=device)} for row, n in zip(rows, SIZES, strict=True)
    ]
    yield Report("information", f"I(x;z) of {CODE}-dimensional codes, both bounds", hardware(device), rows)
