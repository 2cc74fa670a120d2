"""Images per second in training, against the device's ceiling, and peak memory, at the papers' picture size."""

import statistics
from collections.abc import Iterator

import torch
from torch import nn

from course_lib.benchmarks.ceilings import Ceilings, arithmetic
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


def training_step(name: str, device: str = "cpu", batch: int = BATCH, dtype: torch.dtype = torch.float32) -> Work:
    """One step of a named model."""
    torch.manual_seed(0)
    objective = negative_log_likelihood if name in ALONE else elbo()
    return step_of((ALONE | WITH_CODE)[name](), objective, batch, device, dtype)


def training(device: str, calls: int) -> Iterator[Report]:
    """Every model in turn, side by side, in float32."""
    yield _report("training", device, calls, torch.float32)


def training_bf16(device: str, calls: int) -> Iterator[Report]:
    """The same in bfloat16."""
    yield _report("training_bf16", device, calls, torch.bfloat16)


def _report(report: str, device: str, calls: int, dtype: torch.dtype) -> Report:
    names, ceilings = [*ALONE, *WITH_CODE], Ceilings.of(device, dtype, calls)
    timings = side_by_side({name: training_step(name, device, BATCH, dtype) for name in names}, calls, device)
    rows = [_row(name, timings[name], timings["PixelCNN"], device, ceilings) for name in names]
    question = f"one step on {BATCH} images of 28 x 28, {str(dtype).removeprefix('torch.')}"
    return Report(report, question, hardware(device), rows, (str(ceilings),), ("images/s", "share of the ceiling"))


def _row(name: str, timing: Timing, reference: Timing, device: str, ceilings: Ceilings) -> Row:
    flops = arithmetic(training_step(name, device, BATCH, ceilings.dtype))
    return {
        "model": name,
        **spread("images/s", tuple(BATCH / s for s in timing.seconds)),
        "times PixelCNN's seconds": statistics.median(timing.times(reference)),
        "GFLOP/image": flops / BATCH / 1e9,
        "GFLOP/s": flops / timing.median / 1e9,
        "share of the ceiling": flops / timing.median / ceilings.flops,
        "peak MiB": peak_memory(training_step, name, device, BATCH, ceilings.dtype, device=device),
    }
