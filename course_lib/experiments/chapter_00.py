"""Chapter 00: the two models of the puzzle, trained again."""

import dataclasses
from collections.abc import Iterator

import torch

from course_lib.experiments.seeds import SEEDS, over_seeds
from course_lib.measurement.information import information
from course_lib.measurement.ledger import Result
from course_lib.measurement.likelihood import iwae_nll
from course_lib.training.fit import fit
from course_lib.zoo.recipes import DIGITS_BINARISATION, RECIPES, binary_digits
from course_lib.zoo.train import hardware

CLAIMS = ()  # chapter 06 holds the verdict on C17


def puzzle() -> Iterator[Result]:
    """Chapter 00's two models, trained from three seeds each."""
    for name in ("puzzle_a", "puzzle_b"):
        found = [_puzzle_of(name, seed) for seed in SEEDS]
        for index, (key, quantity, band) in enumerate(PUZZLE_QUANTITIES):
            values = [row[index] for row in found]
            label = f"{quantity}, model {name[-1].upper()}"
            row = over_seeds(f"00.{name}.{key}", label, values, band, unit="nats per image", hardware=hardware("cpu"))
            yield dataclasses.replace(row, claim="C17")


PUZZLE_QUANTITIES = (("nll", "test NLL (IWAE, K = 200)", 0.6), ("information", "I(x;z), lower bound", 0.8))


def _puzzle_of(name: str, seed: int) -> tuple[float, float]:
    recipe = RECIPES[name]
    recipe = dataclasses.replace(recipe, plan=dataclasses.replace(recipe.plan, seed=seed))
    model, x, generator = recipe.build(), binary_digits("test"), torch.Generator().manual_seed(seed)
    fit(model, recipe.objective(), recipe.train_images(), recipe.plan, progress=False)
    return iwae_nll(model, x, 200, generator, DIGITS_BINARISATION).nats, information(model, x, generator).lower


EXPERIMENTS = {"00.puzzle": puzzle}
