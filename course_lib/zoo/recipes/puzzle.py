"""The puzzle of chapter 00: same data, same architecture, same budget, another objective."""

import torch

from course_lib.measurement.information import information
from course_lib.measurement.likelihood import iwae_nll
from course_lib.models.vae import VAE
from course_lib.objectives.infovae import InfoVAE
from course_lib.training.fit import Plan
from course_lib.zoo.recipes.recipe import DIGITS_BINARISATION, Recipe, binary_digits

PUZZLE = dict(image_shape=(1, 8, 8), code_size=8, hidden=256, width=16, depth=6, kernel=3, first_kernel=7)


def evaluate_digits_vae(model: VAE) -> dict:
    """NLL and information on the test digits."""
    x, generator = binary_digits("test"), torch.Generator().manual_seed(0)
    nll = iwae_nll(model, x, samples=500, generator=generator, binarisation=DIGITS_BINARISATION)
    return {"nll_test": vars(nll), "information_test": vars(information(model, x, generator))}


def puzzle(name: str, objective: InfoVAE) -> Recipe:
    """One of the two models of the puzzle."""
    return Recipe(
        purpose="chapter 00, the puzzle",
        builder="pixelcnn_vae",
        arguments=PUZZLE,
        data=f"digits, {DIGITS_BINARISATION}",
        objective_name=name,
        objective=lambda: objective,
        plan=Plan(steps=1000, batch_size=128),
        train_images=lambda: binary_digits("train"),
        evaluate=evaluate_digits_vae,
    )


RECIPES = {
    "puzzle_a": puzzle("InfoVAE, alpha 0.6, lambd 50, MMD", InfoVAE(alpha=0.6, lambd=50.0)),
    "puzzle_b": puzzle("ELBO", InfoVAE()),
}
