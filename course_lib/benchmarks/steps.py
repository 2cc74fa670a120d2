"""The unit of work that training consists of."""

import torch
from torch import nn

from course_lib.benchmarks.timing import Work
from course_lib.data.noise import uniform
from course_lib.training.fit import Loss

SHAPE = (1, 28, 28)


def step_of(model: nn.Module, objective: Loss, batch: int, device: str) -> Work:
    """One step on `batch` random binary images of the papers' size: loss, gradients, Adam, and what plays against."""
    x = (uniform((batch, *SHAPE), torch.Generator().manual_seed(0), like=torch.empty(0)) < 0.2).float().to(device)
    model, generator = model.to(device), torch.Generator().manual_seed(1)
    optimiser = torch.optim.Adam(model.parameters())

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        objective(model, x, generator)["loss"].backward()
        optimiser.step()
        if hasattr(objective, "after_step"):
            objective.after_step()

    return step
