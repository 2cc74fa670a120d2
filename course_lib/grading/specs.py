"""Arguments that are not plain data: described here, built fresh where the answer runs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from course_lib.grading.counted import CountedStep, counted_layers
from course_lib.grading.runs import CodedRuns, Runs


@dataclass(frozen=True)
class Generator:
    """A `torch.Generator` on the CPU, seeded."""

    seed: int

    def build(self) -> torch.Generator:
        return torch.Generator().manual_seed(self.seed)


@dataclass(frozen=True)
class Leaf:
    """A tensor whose gradient is asked for: a call with leaves is told by the gradients of the sum of its value."""

    tensor: Tensor

    def build(self) -> Tensor:
        return self.tensor.clone().requires_grad_()


@dataclass(frozen=True)
class Model:
    """A model or a part of one, of a known kind, made from the tensors that define it."""

    kind: str
    tensors: dict[str, Tensor]

    def build(self) -> Any:
        return MODELS[self.kind](**self.tensors)

    @property
    def words(self) -> str:
        return WORDS.get(self.kind, f"a model with {self.kind} logits")


def constant_logits(logits: Tensor) -> Callable[[Tensor], Tensor]:
    """A model whose logits [1, height, width] do not depend on the picture."""
    return lambda x: logits.expand(len(x), *logits.shape).clone()


def parity_logits(weights: Tensor, offset: Tensor, scale: Tensor) -> Callable[[Tensor], Tensor]:
    """logit_i = scale_i (2 ((sum_j w_ij [x_j > 1/2] + offset_i) mod 2) - 1), pixels i, j in raster order.

    With w strictly lower triangular and a scale of 40 every pixel is a function of the earlier ones, up to exp(-40).
    """

    def logits(x: Tensor) -> Tensor:
        bits = (x.reshape(len(x), -1) > 0.5).to(torch.int64)
        odd = (bits @ weights.T + offset) % 2
        return (scale * (2 * odd - 1)).to(torch.float32).reshape(x.shape)

    return logits


MODELS: dict[str, Callable] = {
    "constant": constant_logits,
    "parity": parity_logits,
    "step": CountedStep,
    "layers": counted_layers,
    "runs": Runs,
    "coded runs": CodedRuns,
}
WORDS = {
    "step": "a step that counts its calls",
    "layers": "layers that count their calls",
    "runs": "an experiment",
    "coded runs": "an experiment that makes codes",
}


def build(argument: Any) -> Any:
    """The argument itself, copied, or what its spec describes."""
    if isinstance(argument, Tensor):
        return argument.clone()
    if isinstance(argument, (list, tuple)):
        return type(argument)(build(part) for part in argument)
    if isinstance(argument, dict):
        return {key: build(part) for key, part in argument.items()}
    return argument.build() if isinstance(argument, (Generator, Leaf, Model)) else argument
