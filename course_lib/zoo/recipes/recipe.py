"""What a recipe is, and the kinds of model it can name."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from course_lib.data import digits
from course_lib.data.uci_digits import INK_LEVEL
from course_lib.models.gated import GatedPixelCNN
from course_lib.models.pixelcnn import PixelCNN
from course_lib.models.pixelrnn import DiagonalBiLSTM, RowLSTM
from course_lib.models.vae import conv_vae, gated_vae, gated_vlae, pixelcnn_vae
from course_lib.training.fit import Loss, Plan

BUILDERS: dict[str, Callable[..., nn.Module]] = {
    "PixelCNN": PixelCNN,
    "GatedPixelCNN": GatedPixelCNN,
    "RowLSTM": RowLSTM,
    "DiagonalBiLSTM": DiagonalBiLSTM,
    "conv_vae": conv_vae,
    "pixelcnn_vae": pixelcnn_vae,
    "gated_vae": gated_vae,
    "gated_vlae": gated_vlae,
}
SEEDS = (0, 1, 2)
DIGITS_BINARISATION = f"ink above grey level {INK_LEVEL}"


@dataclass(frozen=True)
class Recipe:
    """One model: `builder` and `arguments` make it, `train_images` and `objective` and `plan` train it.

    `objective` makes the loss anew for every run, since an adversary learns; `evaluate` returns the measurements that
    the card carries. Weights are rounded to `stored` before they are measured: the card tells of those on disk.
    """

    purpose: str
    builder: str
    arguments: dict
    data: str
    objective_name: str
    objective: Callable[[], Loss]
    plan: Plan
    train_images: Callable[[], Tensor]
    evaluate: Callable[[nn.Module], dict]
    stored: torch.dtype = torch.float32

    def build(self) -> nn.Module:
        """The untrained model, its weights drawn from the plan's seed."""
        with torch.random.fork_rng():
            torch.manual_seed(self.plan.seed)
            return BUILDERS[self.builder](**self.arguments)


def binary_digits(split: str) -> Tensor:
    """The black and white digits of one split: [n, 1, 8, 8]."""
    return getattr(digits(binary=True), split).images
