"""Where a run computes: on the CPU, on a GPU, or in several processes that share each batch."""

import contextlib
import logging
import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import nn

if TYPE_CHECKING:
    from lightning_fabric import Fabric


@dataclass(frozen=True)
class Placement:
    """The hardware of a run: not part of its plan, since the same plan may be carried out anywhere.

    accelerator: "cpu", "cuda", or "auto", which is a GPU where there is one. devices: how many, one process each; under
    torchrun it is torchrun that says how many. compile: let torch.compile translate the networks, which makes the
    first step slow and the others faster. Raises ValueError for hardware that is not there.
    """

    accelerator: str = "cpu"
    devices: int = 1
    compile: bool = False

    def __post_init__(self):
        if self.accelerator not in ("auto", "cpu", "cuda"):
            raise ValueError(f"accelerator is 'auto', 'cpu' or 'cuda', not {self.accelerator!r}")
        if self.devices < 1:
            raise ValueError(f"a run needs at least one device, not {self.devices}")
        if self.kind == "cuda" and torch.cuda.device_count() < self.devices:
            found = torch.cuda.device_count()
            raise ValueError(f"PyTorch finds {found} GPUs, not {self.devices}: ask for fewer, or for the CPU")

    @property
    def kind(self) -> str:
        """What "auto" stands for here: "cuda" or "cpu"."""
        return ("cuda" if torch.cuda.is_available() else "cpu") if self.accelerator == "auto" else self.accelerator

    @property
    def nodes(self) -> int:
        """How many machines: one, unless torchrun was started on several."""
        return int(os.environ.get("GROUP_WORLD_SIZE", 1))

    @property
    def processes(self) -> int:
        """How many there will be in all: under torchrun as many as it has started, else one for each device."""
        return int(os.environ.get("WORLD_SIZE", self.devices))

    def start(self, bf16: bool) -> "Fabric":
        """Fabric with the processes of the run: this program, started again for each further device.

        Fabric is imported here since few who import this want to train; a first fit costs hardly more for it.
        """
        from lightning_fabric import Fabric

        logging.getLogger("lightning_fabric").setLevel(logging.WARNING)
        precision = "bf16-mixed" if bf16 else "32-true"
        here = self.processes // self.nodes
        fabric = Fabric(accelerator=self.kind, devices=here, num_nodes=self.nodes, precision=precision)
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
