"""Cached against naive sampling, and both against the floor: one forward pass over the full images."""

import statistics
from collections.abc import Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from course_lib.benchmarks.report import Report, Row, spread
from course_lib.benchmarks.steps import SHAPE
from course_lib.benchmarks.timing import seconds_of, side_by_side
from course_lib.models.autoregressive import Autoregressive
from course_lib.models.gated import GatedPixelCNN
from course_lib.models.pixelcnn import PixelCNN
from course_lib.models.pixelrnn import DiagonalBiLSTM, RowLSTM
from course_lib.zoo.train import hardware

PIXELS = SHAPE[1] * SHAPE[2]
MODELS = {
    "GatedPixelCNN, 7 layers, 64 channels": lambda: GatedPixelCNN(SHAPE, width=64, depth=6),
    "PixelCNN, 7 blocks, 64 channels": lambda: PixelCNN(SHAPE, width=64, depth=7),
    "RowLSTM, 2 layers, 16 channels": lambda: RowLSTM(SHAPE, width=16, depth=2),
    "DiagonalBiLSTM, 2 layers, 16 channels": lambda: DiagonalBiLSTM(SHAPE, width=16, depth=2),
}
BATCHES = (1, 4, 16, 64, 256)


def sampling(device: str, calls: int) -> Iterator[Report]:
    """Every model at every batch size."""
    for index, (name, build) in enumerate(MODELS.items()):
        torch.manual_seed(0)
        model = build().to(device).eval()
        rows = [_row(model, count, device, calls) for count in BATCHES]
        note = (
            "A naive sample runs the network over the full images once a pixel, whatever stands in them, "
            f"so it is reckoned as {PIXELS} forward passes; the floor is one."
        )
        yield Report(f"sampling_{index}", f"{name}, images of 28 x 28", hardware(device), rows, (note,), ("images/s",))


@torch.inference_mode()
def _row(model: Autoregressive, count: int, device: str, calls: int) -> Row:
    x = torch.zeros(count, *SHAPE, device=device)
    ways = {
        "pass": lambda: model(x),
        "cached": lambda: model.sample(count, torch.Generator().manual_seed(0)),
    }
    timings = side_by_side(ways, calls, device)
    one_pass, cached = timings["pass"], timings["cached"]
    return {
        "images": count,
        "one pass, s": one_pass.median,
        "naive, s": PIXELS * one_pass.median,
        "cached, s": cached.median,
        **spread("naive / cached", tuple(PIXELS * ratio for ratio in one_pass.times(cached))),
        "cached / floor": statistics.median(cached.times(one_pass)),
        **spread("images/s", tuple(count / seconds for seconds in cached.seconds)),
    }


@torch.inference_mode()
def naive_in_full(device: str, calls: int) -> Iterator[Report]:
    """The naive loop run to its end, once, to hold the reckoning above against: 64 images of the gated model."""
    torch.manual_seed(0)
    model = next(iter(MODELS.values()))().to(device).eval()
    drawn, seconds = {}, {}
    model(torch.zeros(64, *SHAPE, device=device))
    for cached in (True, False):
        seconds[cached] = seconds_of(lambda cached=cached: drawn.update({cached: _draw(model, cached)}), device)
    rows = [{"cached, s": seconds[True], "naive, s": seconds[False], "naive / cached": seconds[False] / seconds[True]}]
    same = f"Pixels that differ: {int((drawn[True] != drawn[False]).sum())} of {drawn[True].numel()}."
    yield Report("sampling_in_full", "64 images, the naive loop run to its end", hardware(device), rows, (same,))


def _draw(model: Autoregressive, cached: bool) -> Float[Tensor, "64 colours height width"]:
    return model.sample(64, torch.Generator().manual_seed(0), cached=cached, progress=not cached)
