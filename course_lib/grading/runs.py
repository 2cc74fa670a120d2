"""Experiments with an arm and a seed, for answers that are to run each once, and none before it is time."""

import torch
from torch import Tensor

ARMS = ("a", "b")


class OnceEach:
    """Something that may be run once for each arm and seed, `limit` times in all; RuntimeError for any more.

    Raises ValueError for an arm other than "a" and "b".
    """

    def __init__(self, limit: Tensor):
        self.limit, self.made = int(limit), set()

    def begin(self, arm: str, seed: int) -> int:
        """Notes the run and returns the arm's number."""
        if arm not in ARMS:
            raise ValueError(f"the arms are 'a' and 'b', not {arm!r}")
        if (arm, seed) in self.made:
            raise RuntimeError(f"({arm!r}, {seed}) was run twice: each is to be run once")
        if len(self.made) >= self.limit:
            raise RuntimeError(f"({arm!r}, {seed}) was one run too many: {self.limit} are enough")
        self.made.add((arm, seed))
        return ARMS.index(arm)


def draws(seed: int, *shape: int) -> Tensor:
    """Standard normal numbers, the same for the same seed, whatever sign the seed has."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(int(seed) % 2**31), dtype=torch.float64)


class Runs(OnceEach):
    """run(arm, seed) = level of the arm + shared * (a number of the seed) + own * (one of seed and arm), in 16ths."""

    def __init__(self, levels: Tensor, shared: Tensor, own: Tensor, limit: Tensor):
        super().__init__(limit)
        self.levels, self.shared, self.own = levels.tolist(), float(shared), float(own)

    def __call__(self, arm: str, seed: int) -> float:
        which = self.begin(arm, seed)
        of_seed, *of_arms = draws(7919 * seed + 1, 3).tolist()
        value = self.levels[which] + self.shared * of_seed + self.own * of_arms[which]
        return round(16 * value) / 16  # so that differences are exact


class CodedRuns(OnceEach):
    """codes(arm, seed): {"train": (codes, factor), "test": (codes, factor)}, each arm with a noise of its own.

    The factor is the same for all runs; on the test images its mean lies elsewhere, and its spread.
    """

    def __init__(self, noise: Tensor, sizes: Tensor, limit: Tensor):
        super().__init__(limit)
        self.noise, self.sizes = noise.tolist(), sizes.tolist()

    def __call__(self, arm: str, seed: int) -> dict[str, tuple[Tensor, Tensor]]:
        noise = self.noise[self.begin(arm, seed)]
        n, m, dim = self.sizes
        factor = 3 + draws(5, n + m)
        factor[n:] = 1.4 * factor[n:] - 0.5
        found = draws(104729 * seed + ARMS.index(arm), n + m + 1, dim)
        codes = factor[:, None] * (1 + 0.2 * found[-1]) + noise * found[:-1]
        return {"train": (codes[:n], factor[:n].clone()), "test": (codes[n:], factor[n:].clone())}
