"""How each model of the zoo is built, from which data, and by which objective: all that is needed to train it again."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from course_lib.data import digits, mnist
from course_lib.data.uci_digits import INK_LEVEL
from course_lib.measurement.information import information
from course_lib.measurement.likelihood import exact_nll, exact_nll_per_image, iwae_nll, summary
from course_lib.models.pixelcnn import PixelCNN
from course_lib.models.vae import VAE, pixelcnn_vae
from course_lib.objectives.infovae import InfoVAE
from course_lib.objectives.likelihood import negative_log_likelihood
from course_lib.training.fit import Plan

BUILDERS: dict[str, Callable[..., nn.Module]] = {"PixelCNN": PixelCNN, "pixelcnn_vae": pixelcnn_vae}


@dataclass(frozen=True)
class Recipe:
    """One model: `builder` and `arguments` make it, `train_images` and `objective` and `plan` train it.

    `evaluate` returns the measurements that the card carries.
    """

    purpose: str
    builder: str
    arguments: dict
    data: str
    objective_name: str
    objective: Callable
    plan: Plan
    train_images: Callable[[], Tensor]
    evaluate: Callable[[nn.Module], dict]

    def build(self) -> nn.Module:
        """The untrained model, its weights drawn from the plan's seed."""
        with torch.random.fork_rng():
            torch.manual_seed(self.plan.seed)
            return BUILDERS[self.builder](**self.arguments)


def binary_digits(split: str) -> Tensor:
    """The black and white digits of one split: [n, 1, 8, 8]."""
    return getattr(digits(binary=True), split).images


def evaluate_pixelcnn_mnist(model: PixelCNN) -> dict:
    """NLL of the 10,000 test images, of their first 500 for a quick repetition, and of the validation images."""
    splits, binarisation = mnist(), "dynamic binarisation, seed 0"
    test = exact_nll_per_image(model, splits.test.images, seed=0)
    return {
        "nll_test": vars(summary(test, "exact", binarisation)),
        "nll_test_first_500": vars(summary(test[:500], "exact", binarisation)),
        "nll_validation": vars(exact_nll(model, splits.validation.images, seed=0)),
    }


def evaluate_digits_vae(model: VAE) -> dict:
    """NLL and information on the test digits."""
    x, generator = binary_digits("test"), torch.Generator().manual_seed(0)
    nll = iwae_nll(model, x, samples=500, generator=generator, binarisation=DIGITS_BINARISATION)
    return {"nll_test": vars(nll), "information_test": vars(information(model, x, generator))}


DIGITS_BINARISATION = f"ink above grey level {INK_LEVEL}"
PUZZLE = dict(image_shape=(1, 8, 8), code_size=8, hidden=256, width=16, depth=6, kernel=3, first_kernel=7)


def puzzle(name: str, objective: InfoVAE) -> Recipe:
    """One of the two models of chapter 00: same data, same architecture, same budget, another objective."""
    return Recipe(
        purpose="chapter 00, the puzzle",
        builder="pixelcnn_vae",
        arguments=PUZZLE,
        data=f"digits, {DIGITS_BINARISATION}",
        objective_name=name,
        objective=objective,
        plan=Plan(steps=1000, batch_size=128),
        train_images=lambda: binary_digits("train"),
        evaluate=evaluate_digits_vae,
    )


def mnist_recipe(field: str, first_kernel: int, depth: int) -> Recipe:
    """A plain PixelCNN on MNIST, whose field is set by its first filter and its depth."""
    return Recipe(
        purpose=f"chapter 02, a plain PixelCNN at the papers' picture size, {field} field",
        builder="PixelCNN",
        arguments=dict(image_shape=(1, 28, 28), width=32, depth=depth, kernel=3, first_kernel=first_kernel),
        data="mnist, dynamic binarisation, 50,000 training images",
        objective_name="maximum likelihood",
        objective=negative_log_likelihood,
        plan=Plan(steps=10_000, batch_size=50, bf16=True),
        train_images=lambda: mnist().train.images,
        evaluate=evaluate_pixelcnn_mnist,
    )


RECIPES: dict[str, Recipe] = {
    "pixelcnn_mnist": mnist_recipe("wide", first_kernel=27, depth=8),
    "pixelcnn_mnist_narrow": mnist_recipe("narrow", first_kernel=7, depth=7),
    "puzzle_a": puzzle("InfoVAE, alpha 0.6, lambd 50, MMD", InfoVAE(alpha=0.6, lambd=50.0)),
    "puzzle_b": puzzle("ELBO", InfoVAE()),
}
