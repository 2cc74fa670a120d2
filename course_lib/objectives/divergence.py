"""What every divergence between the aggregate q(z) and the prior p(z) has in common."""

from dataclasses import dataclass
from typing import Protocol

import torch
from jaxtyping import Float
from torch import Tensor

from course_lib.models.priors import Prior, StandardNormal


class Divergence(Protocol):
    """D(q(z), p(z)) from samples: zero on average when the two agree, in `unit`, differentiable in z.

    One that learns (an adversary) also has `learn(z, prior) -> None`, called after each step of the model with the
    codes and the prior's draws of that step, and `state_dict` and `load_state_dict`, so that a checkpoint holds it.
    One that knows its prior other than by samples has `check_prior(prior) -> None`, which refuses a wrong one.
    """

    unit: str

    def __call__(self, z: Float[Tensor, "n code"], prior: Float[Tensor, "m code"]) -> Float[Tensor, ""]:
        """The divergence of the sample z of q(z) from the sample of p(z)."""


@dataclass(frozen=True)
class NullBand:
    """What a divergence reads when there is nothing to see: both samples of `n` from the prior, in `dim` dimensions."""

    mean: float
    standard_deviation: float
    n: int
    dim: int
    repeats: int
    unit: str

    def z_score(self, value: float | Float[Tensor, ""]) -> float:
        """(value - mean) / standard deviation: how far a reading on n samples lies outside the band."""
        return (float(value) - self.mean) / self.standard_deviation

    def __str__(self) -> str:
        return (
            f"null band {self.mean:.2g} ± {self.standard_deviation:.2g} {self.unit} "
            f"({self.n} samples, {self.dim} dimensions, {self.repeats} repeats)"
        )


def null_band(
    divergence: Divergence,
    n: int,
    dim: int,
    generator: torch.Generator,
    repeats: int = 50,
    prior: Prior | None = None,
) -> NullBand:
    """Mean and standard deviation of `divergence` over `repeats` pairs of samples from `prior` (N(0, I) if left out).

    An adversary reads with the discriminator it has. Raises ValueError for fewer than two repeats.
    """
    if repeats < 2:
        raise ValueError(f"a spread needs at least two repeats, got {repeats}")
    prior = prior or StandardNormal(dim)
    like = next(prior.parameters(), torch.empty(0, device=generator.device))
    draws = ([prior.sample(n, generator, like) for _ in range(2)] for _ in range(repeats))
    readings = torch.stack([divergence(*pair) for pair in draws]).double()
    return NullBand(float(readings.mean()), float(readings.std()), n, dim, repeats, divergence.unit)
