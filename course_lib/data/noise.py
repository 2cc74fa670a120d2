"""Chance, drawn from a generator that is passed down: the one place where random numbers enter the course."""

import torch
from jaxtyping import Float
from torch import Tensor


class Shard(torch.Generator):
    """The generator of one of `world` processes that share a batch.

    `normal` and `uniform` draw for the whole batch and hand each process its own rows, so that several processes
    together see the noise that one process would have seen with the joint batch.
    """

    def __new__(cls, seed: int, rank: int, world: int):
        # torch.Generator takes its arguments here, and knows none of these.
        return super().__new__(cls)

    def __init__(self, seed: int, rank: int, world: int):
        super().__init__()
        self.manual_seed(seed)
        self.rank, self.world = rank, world


def normal(shape: tuple[int, ...], generator: torch.Generator, like: Tensor) -> Float[Tensor, "*shape"]:
    """e ~ N(0, I), drawn where the generator lives, with the dtype and the device of `like`. TypeError without one."""
    return _rows(torch.randn, tuple(shape), generator, like.dtype).to(like.device)


def uniform(shape: tuple[int, ...], generator: torch.Generator, like: Tensor) -> Float[Tensor, "*shape"]:
    """u ~ Uniform[0, 1), drawn where the generator lives, as `normal` does."""
    return _rows(torch.rand, tuple(shape), generator, like.dtype).to(like.device)


def _rows(draw, shape: tuple[int, ...], generator: torch.Generator, dtype: torch.dtype) -> Tensor:
    if not isinstance(generator, torch.Generator):
        raise TypeError(
            f"chance needs a torch.Generator, got {type(generator).__name__}: pass torch.Generator().manual_seed(seed)"
        )
    world, rank = getattr(generator, "world", 1), getattr(generator, "rank", 0)
    joint = draw(world * shape[0], *shape[1:], generator=generator, device=generator.device, dtype=dtype)
    return joint[rank * shape[0] : (rank + 1) * shape[0]]
