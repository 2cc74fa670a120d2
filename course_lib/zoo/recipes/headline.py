"""Chapter 07's headline: one decoder and one budget on static MNIST, five objectives, three seeds; and other depths."""

from collections.abc import Callable

from course_lib.objectives.adversary import Adversary
from course_lib.objectives.infovae import InfoVAE, beta_vae, elbo
from course_lib.objectives.objective import Objective
from course_lib.objectives.stein import Stein
from course_lib.training.fit import Plan
from course_lib.zoo.recipes.recipe import SEEDS, Recipe
from course_lib.zoo.recipes.static_mnist import evaluate_vae_static_mnist, train_images

CODE, DEPTH, DEPTHS = 10, 4, (1, 2, 4, 8)
DECODER = dict(width=16, kernel=3, first_kernel=7)


def adversary() -> Adversary:
    """Three steps on each batch: one that learns more slowly is outrun, and the codes run off to infinity."""
    return Adversary(CODE, steps=3, learning_rate=2e-3)


OBJECTIVES: dict[str, tuple[str, Callable[[], Objective]]] = {
    "elbo": ("ELBO", elbo),
    "mmd": ("InfoVAE, alpha 0.8, lambd 100, MMD", lambda: InfoVAE(0.8, 100.0)),
    "adversary": ("InfoVAE, alpha 0.8, lambd 1, adversary", lambda: InfoVAE(0.8, 1.0, adversary())),
    "stein": ("InfoVAE, alpha 0.8, lambd 15, Stein", lambda: InfoVAE(0.8, 15.0, Stein())),
    "beta": ("beta-VAE, beta 0.2", lambda: beta_vae(0.2)),
}


def headline(objective: str, seed: int, depth: int = DEPTH) -> Recipe:
    """One objective of the five, from one seed; `depth` layers after the first, each seeing one pixel further."""
    name, make = OBJECTIVES[objective]
    return Recipe(
        purpose="chapter 07, the headline" + ("" if depth == DEPTH else f" at depth {depth}"),
        builder="gated_vae",
        arguments=dict(image_shape=(1, 28, 28), code_size=CODE, hidden=64, depth=depth, **DECODER),
        data="mnist_static, 50,000 training images",
        objective_name=name,
        objective=make,
        plan=Plan(steps=1200, batch_size=64, bf16=True, seed=seed),
        train_images=train_images,
        evaluate=evaluate_vae_static_mnist,
    )


def name_of(objective: str, seed: int, depth: int = DEPTH) -> str:
    """The name in the zoo: headline/elbo_0, or depth/elbo_8_0 for another depth than the headline's."""
    return f"headline/{objective}_{seed}" if depth == DEPTH else f"depth/{objective}_{depth}_{seed}"


CURVE = ("elbo", "mmd")
RECIPES = {name_of(name, seed): headline(name, seed) for name in OBJECTIVES for seed in SEEDS}
RECIPES |= {
    name_of(name, seed, depth): headline(name, seed, depth)
    for depth in DEPTHS
    if depth != DEPTH
    for name in CURVE
    for seed in SEEDS
}
