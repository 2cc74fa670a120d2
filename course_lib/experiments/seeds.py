"""What repeated runs say together."""

import torch

from course_lib.measurement.ledger import Result
from course_lib.zoo.recipes.recipe import SEEDS


def over_seeds(key: str, quantity: str, values: list[float], band: float, **about) -> Result:
    """The result of one run for each of SEEDS: their mean, with the sample standard deviation as its spread."""
    found = torch.tensor(values, dtype=torch.float64)
    about = dict(claim="", seeds=SEEDS) | about
    return Result(key, quantity=quantity, value=float(found.mean()), spread=float(found.std()), band=band, **about)
