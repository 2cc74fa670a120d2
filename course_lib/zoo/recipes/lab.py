"""The diagnosis lab of exercise 07: five models, each with something right or wrong, and a decoder without a code."""

from collections.abc import Callable

import torch

from course_lib.measurement.aggregate import aggregate_covariance
from course_lib.measurement.codes import encode_all
from course_lib.measurement.information import information_of
from course_lib.measurement.likelihood import distortion_per_image, iwae_nll
from course_lib.measurement.receptive_field import causality_leak
from course_lib.measurement.swapping import swapped_code_gap
from course_lib.models.gated import GatedPixelCNN
from course_lib.models.vae import VAE, gated_vae
from course_lib.objectives.infovae import InfoVAE, beta_vae, elbo
from course_lib.objectives.likelihood import negative_log_likelihood
from course_lib.objectives.objective import Objective
from course_lib.training.fit import Loss, Plan
from course_lib.zoo.recipes.recipe import BUILDERS, DIGITS_BINARISATION, Recipe, binary_digits

DECODER = dict(image_shape=(1, 8, 8), width=8, depth=2, kernel=3, first_kernel=7)
SAMPLES = 500


def leaking_vae(**arguments) -> VAE:
    """A gated VAE with a fault on purpose: its first layer has mask B, so every pixel sees itself.

    Its `log_prob` is that of no distribution, for its factors do not multiply to a sum of 1 over the images; nor are
    its samples worth anything, since a pixel that is about to be drawn is still empty.
    """
    vae = gated_vae(**arguments)
    vae.decoder.layers[0].horizontal.mask.fill_(1.0)
    return vae


BUILDERS["leaking_vae"] = leaking_vae


def evaluate_lab(vae: VAE) -> dict[str, float]:
    """What the diagnosis is made from, on the test digits; nats per image where it is nats."""
    x, generator = binary_digits("test"), torch.Generator().manual_seed(0)
    codes = encode_all(vae, x, generator)
    found, covariance = information_of(codes), aggregate_covariance(codes)
    return {
        "information": found.lower,
        "ceiling": found.ceiling,
        "rate": found.rate,
        "distortion": float(distortion_per_image(vae, x, codes.z).mean()),
        "nll": iwae_nll(vae, x, SAMPLES, generator).nats,
        "swapped_code_gap": float(swapped_code_gap(vae, x, codes.z, generator).mean()),
        "largest_mean": float(codes.q.mu.mean(0).abs().max()),
        "largest_variance": float(covariance.diagonal().max()),
        "log_det_cov": float(torch.linalg.slogdet(covariance).logabsdet),
        "leak": causality_leak(
            lambda images: vae.decoder(images, codes.z[:1].to(images).expand(len(images), -1)), x[:1]
        ),
    }


def evaluate_without_code(model: GatedPixelCNN) -> dict[str, float]:
    """The exact NLL on the test digits, in nats per image."""
    with torch.no_grad():
        return {"nll": float(-model.log_prob(binary_digits("test")).double().mean())}


def lab(
    name: str,
    make: Callable[[], Objective],
    conditioning: str = "maps",
    field: int | None = None,
    builder: str = "gated_vae",
    seed: int = 0,
) -> Recipe:
    """One patient: the objective and the decoder are what differs."""
    arguments = dict(code_size=6, hidden=32, conditioning=conditioning, field=field, **DECODER)
    return recipe(builder, arguments, name, make, evaluate_lab, seed)


def recipe(builder: str, arguments: dict, name: str, make: Callable[[], Loss], evaluate: Callable, seed: int) -> Recipe:
    """What all six have in common."""
    return Recipe(
        purpose="exercise 07, the diagnosis lab",
        builder=builder,
        arguments=arguments,
        data=f"digits, {DIGITS_BINARISATION}",
        objective_name=name,
        objective=make,
        plan=Plan(steps=600, batch_size=64, learning_rate=4e-3, seed=seed),
        train_images=lambda: binary_digits("train"),
        evaluate=evaluate,
    )


PATIENTS: dict[str, Callable[[int], Recipe]] = {
    "a": lambda seed: lab("beta-VAE, beta 4", lambda: beta_vae(4.0), field=0, seed=seed),
    "b": lambda seed: lab("InfoVAE, alpha 0.7, lambd 50, MMD", lambda: InfoVAE(0.7, 50.0), seed=seed),
    "c": lambda seed: lab("ELBO", elbo, builder="leaking_vae", seed=seed),
    "d": lambda seed: lab("ELBO", elbo, conditioning="bias", seed=seed),
    "e": lambda seed: lab("beta-VAE, beta 0.001", lambda: beta_vae(0.001), seed=seed),
}
WITHOUT_CODE = recipe(
    "GatedPixelCNN", DECODER, "maximum likelihood", lambda: negative_log_likelihood, evaluate_without_code, seed=0
)
RECIPES = {f"lab/{letter}": patient(0) for letter, patient in PATIENTS.items()} | {"lab/without_code": WITHOUT_CODE}
