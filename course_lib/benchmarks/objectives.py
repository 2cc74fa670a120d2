"""What the divergence of InfoVAE adds to a training step."""

from collections.abc import Iterator

import torch

from course_lib.benchmarks.report import Report, ratios
from course_lib.benchmarks.steps import SHAPE, step_of
from course_lib.benchmarks.timing import Work, side_by_side
from course_lib.models.encoders import ConvEncoder
from course_lib.models.gated import GatedPixelCNN
from course_lib.models.vae import VAE
from course_lib.objectives.adversary import Adversary
from course_lib.objectives.infovae import InfoVAE, elbo
from course_lib.objectives.mmd import MMD
from course_lib.objectives.stein import Stein
from course_lib.zoo.train import hardware

CODE, BATCH = 32, 128
DIVERGENCES = {
    "MMD, IMQ": lambda: MMD("imq"),
    "MMD, RBF": lambda: MMD("rbf"),
    "Stein": Stein,
    "adversary": lambda: Adversary(CODE),
}


def objective_step(divergence: str | None, device: str = "cpu", batch: int = BATCH) -> Work:
    """One step of the gated VAE under the ELBO (None) or an InfoVAE with the named divergence."""
    torch.manual_seed(0)
    decoder = GatedPixelCNN(SHAPE, width=32, depth=6, code_size=CODE)
    objective = elbo() if divergence is None else InfoVAE(0.8, 50.0, DIVERGENCES[divergence]())
    return step_of(VAE(ConvEncoder(SHAPE, CODE), decoder, CODE), objective, batch, device)


def objectives(device: str, calls: int) -> Iterator[Report]:
    """The ELBO's step against InfoVAE's, for each divergence."""
    ways = {"ELBO": objective_step(None, device)}
    ways |= {f"InfoVAE, {name}": objective_step(name, device) for name in DIVERGENCES}
    rows = ratios(side_by_side(ways, calls, device), "ELBO", column="objective")
    question = f"one step of a gated VAE, batch {BATCH}, 28 x 28, width 32, 7 layers, {CODE} code dimensions"
    yield Report("objectives", question, hardware(device), rows)
