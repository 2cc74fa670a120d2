"""The steps to a VLAE, one at a time: a decoder alone, the same with a code, and with a flow for the code's prior."""

import torch

from course_lib.measurement.likelihood import exact_nll_per_image, summary
from course_lib.measurement.report import report
from course_lib.models.gated import GatedPixelCNN
from course_lib.models.vae import VAE
from course_lib.objectives.infovae import elbo
from course_lib.objectives.likelihood import negative_log_likelihood
from course_lib.objectives.warm_up import KLWarmUp
from course_lib.training.fit import Loss, Plan
from course_lib.zoo.recipes.recipe import DIGITS_BINARISATION, SEEDS, Recipe, binary_digits

NARROW = 1
DECODER = dict(image_shape=(1, 8, 8), width=16, depth=2, kernel=5, first_kernel=7)
CODE = dict(code_size=8, hidden=32, conditioning="maps")
WARM_UP = 200
KINDS = {
    "alone": ("GatedPixelCNN", {}, "maximum likelihood"),
    "code": ("gated_vae", CODE, "ELBO"),
    "warm": ("gated_vae", CODE, f"ELBO, the rate's weight grows over {WARM_UP} steps"),
    "flow": (
        "gated_vlae",
        CODE | dict(flow_hidden=64, flow_layers=4),
        f"ELBO, the rate's weight grows over {WARM_UP} steps",
    ),
}


def evaluate_alone(model: GatedPixelCNN) -> dict:
    """The exact NLL of the test digits."""
    nll = summary(exact_nll_per_image(model, binary_digits("test"), seed=0), "exact", DIGITS_BINARISATION)
    return {"nll_nats": nll.nats, "nll_standard_error": nll.standard_error}


def evaluate_with_code(model: VAE) -> dict:
    """The whole report on the test digits."""
    return report(model, binary_digits("test"), torch.Generator().manual_seed(0), samples=100).as_dict()


def objective_of(step: str) -> Loss:
    """The likelihood without a code, the ELBO with one, and where the step is warm the ELBO with a warm-up."""
    if step == "alone":
        return negative_log_likelihood
    return KLWarmUp(elbo(), WARM_UP) if step in ("warm", "flow") else elbo()


def step_to_vlae(step: str, field: int | None, seed: int) -> Recipe:
    """One step, a key of KINDS, with the decoder's filters cut to the field."""
    builder, arguments, objective_name = KINDS[step]
    return Recipe(
        purpose=f"chapter 06, {step}: a step to the variational lossy autoencoder",
        builder=builder,
        arguments=DECODER | arguments | dict(field=field),
        data=f"digits, {DIGITS_BINARISATION}",
        objective_name=objective_name,
        objective=lambda: objective_of(step),
        plan=Plan(steps=600, batch_size=64, learning_rate=4e-3, warm_up=50, seed=seed),
        train_images=lambda: binary_digits("train"),
        evaluate=evaluate_alone if step == "alone" else evaluate_with_code,
    )


def name_of(step: str, field: int | None, seed: int) -> str:
    """The name in the zoo, such as vlae/flow_narrow_0."""
    return f"vlae/{step}_{'full' if field is None else 'narrow'}_{seed}"


STEPS = tuple((step, NARROW) for step in KINDS) + (("alone", None), ("code", None))
RECIPES = {name_of(step, field, seed): step_to_vlae(step, field, seed) for step, field in STEPS for seed in SEEDS}
