"""Twenty steps of an InfoVAE, shared by as many processes as there are.

torchrun --nproc-per-node 2 -m course_lib.experiments.shared_batch FILE
"""

import sys

import torch
from torch import Tensor

from course_lib.data import digits
from course_lib.models.vae import pixelcnn_vae
from course_lib.objectives.infovae import InfoVAE
from course_lib.training.fit import Fit, Plan
from course_lib.training.placement import Placement


def trained(placement: Placement) -> Tensor | None:
    """The parameters after the last step, one behind the other; None in all processes but the first."""
    torch.manual_seed(0)
    vae = pixelcnn_vae((1, 8, 8), code_size=4, hidden=32, width=8, depth=2)
    plan = Plan(steps=20, batch_size=64, warm_up=5)
    run = Fit(vae, InfoVAE(alpha=0.8, lambd=50.0), digits(binary=True).train.images, plan, placement=placement)
    run.run(progress=False)
    return torch.cat([p.detach().flatten() for p in vae.parameters()]) if run.fabric.global_rank == 0 else None


if __name__ == "__main__":
    weights = trained(Placement())
    if weights is not None:
        torch.save(weights, sys.argv[1])
