"""Where a run computes: on the CPU, on a GPU, or in several processes that share each batch."""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Placement:
    """The hardware of a run: not part of its plan, since the same plan may be carried out anywhere.

    accelerator: "cpu", "cuda", or "auto", which is a GPU where there is one. devices: how many, one process each; under
    torchrun it is torchrun that says how many. compile: let torch.compile translate the networks, which makes the
    first step slow and the others faster. Raises ValueError for another accelerator or fewer than one device.
    """

    accelerator: str = "cpu"
    devices: int = 1
    compile: bool = False

    def __post_init__(self):
        if self.accelerator not in ("auto", "cpu", "cuda"):
            raise ValueError(f"accelerator is 'auto', 'cpu' or 'cuda', not {self.accelerator!r}")
        if self.devices < 1:
            raise ValueError(f"a run needs at least one device, not {self.devices}")

    @property
    def kind(self) -> str:
        """ "cpu" or "cuda"."""
        return ("cuda" if torch.cuda.is_available() else "cpu") if self.accelerator == "auto" else self.accelerator

    def start(self, bf16: bool):
        """A launched Fabric with the processes of the run, or for one process on the CPU an `OnlyProcess`."""
        devices = int(os.environ.get("LOCAL_WORLD_SIZE", self.devices))
        if (self.kind, devices) == ("cpu", 1):
            return OnlyProcess(bf16)
        return launched(self.kind, devices, bf16)


class OnlyProcess:
    """What the loop asks of Fabric, for one process on the CPU: importing Fabric takes as long as many a fit."""

    device, global_rank, world_size = torch.device("cpu"), 0, 1

    def __init__(self, bf16: bool):
        self.autocast = torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16)

    def setup_module(self, module: nn.Module) -> nn.Module:
        """The module, its forward in bfloat16 where that was asked for."""
        module.forward = self.autocast(module.forward)
        return module

    def backward(self, loss: Tensor) -> None:
        """The gradients of the loss."""
        loss.backward()

    def all_reduce(self, value: Tensor) -> Tensor:
        """The mean over all processes, of which there is one."""
        return value


def launched(accelerator: str, devices: int, bf16: bool):
    """Fabric with its processes: this program, started again for each further device unless torchrun did so."""
    from lightning_fabric import Fabric

    fabric = Fabric(accelerator=accelerator, devices=devices, precision="bf16-mixed" if bf16 else "32-true")
    fabric.launch()
    return fabric


@contextlib.contextmanager
def compiled(model: nn.Module) -> Iterator[None]:
    """The model's networks translated by torch.compile, in place: parameters, their names and methods stay.

    A model without a `forward` of its own, such as a VAE, is called by its parts, and these are translated.
    """
    parts = list(model.children()) if type(model).forward is nn.Module.forward else [model]
    for part in parts:
        part.compile()
    try:
        yield
    finally:
        for part in parts:
            part._compiled_call_impl = None
