"""What a device can do at best, measured, and how much arithmetic a piece of work is."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch.utils.flop_counter import FlopCounterMode

from course_lib.benchmarks.timing import Work, seconds_of

# Larger products are no faster; on a CPU they only take longer.
SIZES = {"cpu": (512, 1024, 2048), "cuda": (4096, 8192, 16384)}
MEBIBYTES = {"cpu": 256, "cuda": 4096}


@dataclass(frozen=True)
class Ceilings:
    """The most that a device has done: floating-point operations a second, and bytes read and written a second."""

    flops: float
    bytes: float
    dtype: torch.dtype

    def __str__(self) -> str:
        return (
            f"The ceilings, measured in the same run: {self.flops / 1e9:.4g} GFLOP/s in the best of the large matrix "
            f"products in {str(self.dtype).removeprefix('torch.')}, and {self.bytes / 1e9:.4g} GB/s read and written "
            "in copying."
        )

    @classmethod
    def of(cls, device: str, dtype: torch.dtype, calls: int) -> "Ceilings":
        """Both ceilings, the best of `calls` calls each."""
        return cls(matmul_ceiling(device, dtype, calls), copy_ceiling(device, calls), dtype)


def matmul_ceiling(device: str, dtype: torch.dtype, calls: int, sizes: tuple[int, ...] | None = None) -> float:
    """max over n of 2 n^3 / seconds for the product of two n x n matrices, in FLOP/s."""
    with _precision_of_convolutions():
        return max(2 * n**3 / _best(_product(n, device, dtype), device, calls) for n in sizes or SIZES[_kind(device)])


def _product(n: int, device: str, dtype: torch.dtype) -> Work:
    a = torch.ones(n, n, device=device, dtype=dtype)
    return lambda: a @ a


def copy_ceiling(device: str, calls: int, mebibytes: int | None = None) -> float:
    """2 x size / seconds of copying a large block into another, in bytes/s: each byte is read, and written."""
    size = (mebibytes or MEBIBYTES[_kind(device)]) * 2**20
    source = torch.ones(size, device=device, dtype=torch.uint8)
    target = source.clone()  # its pages are there before the clock runs
    return 2 * size / _best(lambda: target.copy_(source), device, calls)


def _best(work: Work, device: str, calls: int) -> float:
    seconds_of(work, device)
    return min(seconds_of(work, device) for _ in range(calls))


def _kind(device: str) -> str:
    return device.split(":")[0]


@contextlib.contextmanager
def _precision_of_convolutions() -> Iterator[None]:
    """TF32 in matrix products if convolutions may use it: a ceiling must not be of slower arithmetic than the work."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32
    try:
        yield
    finally:
        torch.backends.cuda.matmul.allow_tf32 = before


def arithmetic(work: Work) -> int:
    """The floating-point operations of one call, a multiplication and an addition being two.

    Of convolutions and matrix products alone, forward and backward; a masked tap is counted, since it is computed.
    """
    with FlopCounterMode(display=False) as counter:
        work()
    return counter.get_total_flops()
