"""The unit of work that training consists of."""

import torch
from torch import nn

from course_lib.benchmarks.timing import Work
from course_lib.data.noise import uniform
from course_lib.training.fit import Loss

SHAPE = (1, 28, 28)


def step_of(model: nn.Module, objective: Loss, batch: int, device: str, dtype: torch.dtype = torch.float32) -> Work:
    """One step on `batch` random binary images of the papers' size: loss, gradients, Adam, and what plays against.

    In the memory format in which the zoo is trained; with dtype bfloat16 under autocast, as a plan with bf16 is.
    """
    x = (uniform((batch, *SHAPE), torch.Generator().manual_seed(0), like=torch.empty(0)) < 0.2).float().to(device)
    model = model.to(device, memory_format=torch.channels_last)
    generator, low = torch.Generator().manual_seed(1), dtype == torch.bfloat16
    optimiser = torch.optim.Adam(model.parameters())

    def step() -> None:
        optimiser.zero_grad(set_to_none=True)
        with torch.autocast(x.device.type, torch.bfloat16, enabled=low):
            loss = objective(model, x, generator)["loss"]
        loss.backward()
        optimiser.step()
        if hasattr(objective, "after_step"):
            objective.after_step()

    return step
