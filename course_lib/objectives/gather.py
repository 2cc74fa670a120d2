"""One batch out of the rows that several processes hold."""

import torch
import torch.distributed as dist
from jaxtyping import Float
from torch import Tensor


def whole_batch(z: Float[Tensor, "rows code"]) -> Float[Tensor, "batch code"]:
    """The rows of all processes, in their order, with gradients; z itself where one process trains alone.

    A statistic of the joint batch, such as MMD^2 or the maximum in free bits, is not the mean of the processes'
    own statistics. Computed from `whole_batch` by each of P processes, its gradient reaches each row P times, once
    from every process; averaging over processes, as DistributedDataParallel does, leaves the one-process gradient.
    Each process must hold the same number of rows.
    """
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return z
    # Not there in every build of PyTorch, and not needed by one process.
    from torch.distributed.nn.functional import all_gather

    return torch.cat(all_gather(z.contiguous()))
