"""A mean over images, and how far chance may have moved it."""

import math
from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor


@dataclass(frozen=True)
class Mean:
    """A mean over images with its standard error, in nats per image."""

    value: float
    standard_error: float

    @classmethod
    def of(cls, values: Float[Tensor, " n"]) -> "Mean":
        """The mean of per-image values; one value alone has no spread, and a standard error of NaN."""
        error = float(values.std()) / math.sqrt(len(values)) if len(values) > 1 else math.nan
        return cls(float(values.mean()), error)

    def __str__(self) -> str:
        return f"{self.value:.2f} ± {self.standard_error:.2f} nats per image"
