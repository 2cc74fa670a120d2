"""Images per second and peak memory in training, for each model at the papers' picture size."""

import statistics
from collections.abc import Iterator

import torch
from torch import nn

from course_lib.benchmarks.report import Report, Row, spread
from course_lib.benchmarks.steps import SHAPE, step_of
from course_lib.benchmarks.timing import Timing, Work, peak_memory, side_by_side
from course_lib.models.encoders import ConvEncoder
from course_lib.models.factorised import FactorisedDecoder
from course_lib.models.gated import GatedPixelCNN
from course_lib.models.pixelcnn import PixelCNN
from course_lib.models.pixelrnn import DiagonalBiLSTM, RowLSTM
from course_lib.models.priors import FlowPrior
from course_lib.models.vae import VAE
from course_lib.objectives.infovae import elbo
from course_lib.objectives.likelihood import negative_log_likelihood
from course_lib.zoo.train import hardware

CODE, BATCH = 32, 32
ALONE = {
    "PixelCNN": lambda: PixelCNN(SHAPE, width=32, depth=7),
    "GatedPixelCNN": lambda: GatedPixelCNN(SHAPE, width=32, depth=6),
    "RowLSTM": lambda: RowLSTM(SHAPE, width=32, depth=2),
    "DiagonalBiLSTM": lambda: DiagonalBiLSTM(SHAPE, width=32, depth=2),
}
WITH_CODE = {
    "VAE, factorised": lambda: _vae(FactorisedDecoder(SHAPE, CODE, network="conv")),
    "VAE, GatedPixelCNN": lambda: _vae(GatedPixelCNN(SHAPE, width=32, depth=6, code_size=CODE)),
    "VAE, GatedPixelCNN, flow prior": lambda: _vae(
        GatedPixelCNN(SHAPE, width=32, depth=6, code_size=CODE), FlowPrior(CODE)
    ),
}


def _vae(decoder: nn.Module, prior: nn.Module | None = None) -> VAE:
    return VAE(ConvEncoder(SHAPE, CODE), decoder, CODE, prior)


def training_step(name: str, device: str = "cpu", batch: int = BATCH) -> Work:
    """One step of a named model."""
    torch.manual_seed(0)
    return step_of((ALONE | WITH_CODE)[name](), negative_log_likelihood if name in ALONE else elbo(), batch, device)


def training(device: str, calls: int) -> Iterator[Report]:
    """Every model in turn, side by side."""
    names = [*ALONE, *WITH_CODE]
    timings = side_by_side({name: training_step(name, device) for name in names}, calls, device)
    rows = [_row(name, timings[name], timings["PixelCNN"], device) for name in names]
    yield Report("training", f"one step on {BATCH} images of 28 x 28, float32", hardware(device), rows)


def _row(name: str, timing: Timing, reference: Timing, device: str) -> Row:
    return {
        "model": name,
        **spread("images/s", tuple(BATCH / s for s in timing.seconds)),
        "times PixelCNN's seconds": statistics.median(timing.times(reference)),
        "peak MiB": peak_memory(training_step, name, device, device=device),
    }
