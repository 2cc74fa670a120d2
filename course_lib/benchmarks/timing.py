"""Timing ways of doing one thing side by side, in turn, so that a busy machine slows them all alike."""

import multiprocessing
import statistics
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import psutil
import torch

Work = Callable[[], object]


@dataclass(frozen=True)
class Timing:
    """Seconds of each call."""

    seconds: tuple[float, ...]

    @property
    def median(self) -> float:
        """The median over the calls."""
        return statistics.median(self.seconds)

    def times(self, other: "Timing") -> tuple[float, ...]:
        """How many times as long as `other` it took, call by call: what slows a machine for a while slows both."""
        return tuple(own / its for own, its in zip(self.seconds, other.seconds, strict=True))


def side_by_side(ways: dict[str, Work], calls: int, device: str = "cpu") -> dict[str, Timing]:
    """Every way once to warm up, then all in turn, `calls` times."""
    for work in ways.values():
        seconds_of(work, device)
    found = {name: [] for name in ways}
    for _ in range(calls):
        for name, work in ways.items():
            found[name].append(seconds_of(work, device))
    return {name: Timing(tuple(seconds)) for name, seconds in found.items()}


def seconds_of(work: Work, device: str = "cpu") -> float:
    """Seconds of one call, with a GPU's queue empty before and after it."""
    _wait_for(device)
    started = time.perf_counter()
    work()
    _wait_for(device)
    return time.perf_counter() - started


def _wait_for(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


def peak_memory(prepare: Callable[..., Work], *arguments, device: str = "cpu") -> float:
    """MiB that `prepare(*arguments)()` takes at its peak, above what the process holds before.

    On a CPU a fresh process does the work while a thread reads its resident set every millisecond, so `prepare` must
    be importable. On a GPU the allocator's own count is read.
    """
    if device.startswith("cuda"):
        return _peak_on_gpu(prepare(*arguments))
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_peak_on_cpu, (prepare, arguments, torch.get_num_threads()))


def _peak_on_gpu(work: Work) -> float:
    torch.cuda.synchronize()
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    work()
    torch.cuda.synchronize()
    return (torch.cuda.max_memory_allocated() - before) / 2**20


def _peak_on_cpu(prepare: Callable[..., Work], arguments: tuple, threads: int) -> float:
    torch.set_num_threads(threads)
    work, resident, done = prepare(*arguments), psutil.Process().memory_info, threading.Event()
    before, seen = resident().rss, []

    def watch() -> None:
        while not done.wait(0.001):
            seen.append(resident().rss)

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        work()
    finally:
        done.set()
        watcher.join()
    return (max([before, *seen]) - before) / 2**20
