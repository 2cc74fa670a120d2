"""The knob of chapter 06: decoders that see 0, 1, 2, 4 or all rows and columns, under the ELBO and under InfoVAE."""

from collections.abc import Callable

import torch

from course_lib.measurement.likelihood import iwae_nll
from course_lib.measurement.refit import refit
from course_lib.measurement.report import report
from course_lib.models.vae import VAE
from course_lib.objectives.infovae import InfoVAE, elbo
from course_lib.objectives.objective import Objective
from course_lib.training.fit import Plan
from course_lib.zoo.recipes.recipe import DIGITS_BINARISATION, SEEDS, Recipe, binary_digits

FIELDS, SAMPLES = (0, 1, 2, 4, None), 200
DECODER = dict(width=16, depth=4, kernel=3, first_kernel=7, conditioning="maps")
OBJECTIVES: dict[str, tuple[str, Callable[[], Objective]]] = {
    "elbo": ("ELBO", elbo),
    "infovae": ("InfoVAE, alpha 0.5, lambd 50, MMD", lambda: InfoVAE(0.5, 50.0)),
}


def evaluate_digits(model: VAE) -> dict:
    """The whole report on the test digits, and the IWAE bound through a q learnt again on the training digits."""
    x, generator = binary_digits("test"), torch.Generator().manual_seed(0)
    found = report(model, x, generator, samples=SAMPLES).as_dict()
    fitted = refit(model, binary_digits("train"), generator, steps=300)
    return found | {"nll_refitted_nats": iwae_nll(fitted, x, SAMPLES, generator).nats}


def knob(objective: str, field: int | None, seed: int) -> Recipe:
    """One decoder of the same depth and width, whose filters are cut to the field."""
    name, make = OBJECTIVES[objective]
    return Recipe(
        purpose=f"chapter 06, the decoder-strength knob at field {field_name(field)}",
        builder="gated_vae",
        arguments=dict(image_shape=(1, 8, 8), code_size=8, hidden=32, field=field, **DECODER),
        data=f"digits, {DIGITS_BINARISATION}",
        objective_name=name,
        objective=make,
        plan=Plan(steps=600, batch_size=128, seed=seed),
        train_images=lambda: binary_digits("train"),
        evaluate=evaluate_digits,
    )


def field_name(field: int | None) -> str:
    """0, 1, 2, 4 or "full"."""
    return "full" if field is None else str(field)


def name_of(objective: str, field: int | None, seed: int) -> str:
    """The name in the zoo, such as knob_digits/elbo_field4_0."""
    return f"knob_digits/{objective}_field{field_name(field)}_{seed}"


RECIPES = {name_of(o, field, seed): knob(o, field, seed) for o in OBJECTIVES for field in FIELDS for seed in SEEDS}
