"""Chapter 09's models: every system the article names, at the papers' picture size, on static and dynamic MNIST."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Float
from torch import Tensor, nn

from course_lib.data import Split, binarise, mnist, mnist_static
from course_lib.measurement.aggregate import aggregate
from course_lib.measurement.codes import encode_all
from course_lib.measurement.information import information_of
from course_lib.measurement.likelihood import (
    distortion_per_image,
    exact_nll_per_image,
    iwae_log_prob,
    iwae_nll_from_few,
    summary,
)
from course_lib.measurement.mean import Mean
from course_lib.measurement.probe import probe_accuracy
from course_lib.models.vae import VAE
from course_lib.objectives.adversary import Adversary
from course_lib.objectives.divergence import Divergence
from course_lib.objectives.dynamic import DynamicBinarisation
from course_lib.objectives.infovae import InfoVAE, beta_vae, elbo
from course_lib.objectives.likelihood import negative_log_likelihood
from course_lib.objectives.mmd import MMD
from course_lib.objectives.stein import Stein
from course_lib.objectives.warm_up import KLWarmUp
from course_lib.training.fit import Loss, Plan
from course_lib.zoo.recipes.recipe import Recipe
from course_lib.zoo.recipes.static_mnist import flat, halves, shuffled

SHAPE, SAMPLES, FEW, QUICK = (1, 28, 28), 1000, 100, 500
CODE = dict(code_size=10, hidden=64)
GATED = dict(image_shape=SHAPE, width=16, depth=6, kernel=5, first_kernel=7)
WIDE = GATED | dict(width=24, first_kernel=27)
NARROW = dict(image_shape=SHAPE, width=16, depth=4, kernel=3, first_kernel=7, field=4)
MAPS = dict(code_size=32, hidden=64, conditioning="maps")
LSTM = dict(image_shape=SHAPE, width=16, depth=1, first_kernel=7)
FACTORISED = dict(image_shape=SHAPE, code_size=20, hidden=64)


@dataclass(frozen=True)
class Kind:
    """What one model is made of and how it learns: minutes on one CPU core, or an hour and a half."""

    purpose: str
    builder: str
    arguments: dict
    objective_name: str
    objective: Callable[[], Loss]
    steps: int = 12_000
    batch_size: int = 32
    learning_rate: float = 2e-3


def beta(value: float) -> Kind:
    """A beta-VAE with a factorised decoder."""
    return Kind("beta-VAE", "conv_vae", FACTORISED, f"beta-VAE, beta {value:g}", lambda: beta_vae(value), 12_000, 64)


def info(alpha: float, lambd: float, name: str, divergence: Callable[[], Divergence]) -> Kind:
    """InfoVAE with PixelVAE's decoder."""
    told = f"InfoVAE, alpha {alpha:g}, lambd {lambd:g}, {name}"
    return Kind("InfoVAE", "gated_vae", GATED | CODE, told, lambda: InfoVAE(alpha, lambd, divergence()))


def adversary() -> Adversary:
    """The one of chapter 07's headline."""
    return Adversary(CODE["code_size"], steps=3, learning_rate=2e-3)


KINDS: dict[str, Kind] = {
    "pixelcnn": Kind(
        "gated PixelCNN, no code", "GatedPixelCNN", GATED, "maximum likelihood", lambda: negative_log_likelihood
    ),
    "pixelcnn_wide": Kind(
        "gated PixelCNN, wider and of longer sight",
        "GatedPixelCNN",
        WIDE,
        "maximum likelihood",
        lambda: negative_log_likelihood,
        22_000,
    ),
    "row_lstm": Kind("Row LSTM", "RowLSTM", LSTM, "maximum likelihood", lambda: negative_log_likelihood, 12_000, 16),
    "diagonal_bilstm": Kind(
        "Diagonal BiLSTM", "DiagonalBiLSTM", LSTM, "maximum likelihood", lambda: negative_log_likelihood, 6000, 16
    ),
    "vae": Kind("VAE, factorised decoder", "conv_vae", FACTORISED, "ELBO", elbo, 24_000, 64),
    "beta_0.5": beta(0.5),
    "beta_2": beta(2.0),
    "beta_4": beta(4.0),
    "pixelvae": Kind("PixelVAE", "gated_vae", GATED | CODE, "ELBO", elbo),
    "info_mmd": info(0.5, 25.0, "MMD", MMD),
    "info_mmd_0.8": info(0.8, 100.0, "MMD", MMD),
    "info_adversary": info(0.5, 1.0, "adversary", adversary),
    "info_stein": info(0.5, 7.0, "Stein", Stein),
    "narrow": Kind(
        "VLAE's decoder alone", "GatedPixelCNN", NARROW, "maximum likelihood", lambda: negative_log_likelihood
    ),
    "narrow_code": Kind(
        "VLAE's decoder with a code",
        "gated_vae",
        NARROW | MAPS,
        "ELBO, the rate's weight grows over 1000 steps",
        lambda: KLWarmUp(elbo(), 1000),
    ),
    "vlae": Kind(
        "VLAE, flow prior",
        "gated_vlae",
        NARROW | MAPS | dict(flow_hidden=128, flow_layers=4),
        "ELBO, the rate's weight grows over 1000 steps",
        lambda: KLWarmUp(elbo(), 1000),
    ),
    "vlae_wide": Kind(
        "VLAE, flow prior, wider and of longer sight",
        "gated_vlae",
        NARROW | MAPS | dict(width=24, first_kernel=13, field=10, flow_hidden=128, flow_layers=4),
        "ELBO, the rate's weight grows over 1000 steps",
        lambda: KLWarmUp(elbo(), 1000),
        34_000,
    ),
}


def larger(kind: Kind) -> Kind:
    """The same for a GPU. Only the gated stacks that see all the past grow deeper: a narrow field has no use for it.

    The Diagonal BiLSTM gets the seven layers of 16 of van den Oord et al. (2016), arXiv 1601.06759. An LSTM's
    steps wait for one another, so it takes fewer.
    """
    if "LSTM" in kind.builder:
        width = 64 if kind.builder == "RowLSTM" else 16
        plan, grown = dict(steps=50_000, batch_size=64), dict(width=width, depth=7)
    else:
        plan = dict(steps=100_000, batch_size=128)
        grown = dict(width=64) if "field" in kind.arguments else dict(width=64, depth=12)
        grown = dict(hidden=128) if kind.builder == "conv_vae" else grown
    return replace(kind, arguments=kind.arguments | grown, learning_rate=1e-3, **plan)


@dataclass(frozen=True)
class Data:
    """One binarisation of MNIST: what is trained on, what is tested on, and how the objective takes it."""

    told: str
    train: Callable[[], Tensor]
    test: Callable[[], Split]
    objective: Callable[[Loss], Loss]


def dynamic_test() -> Split:
    """The test images of MNIST in one binarisation, in the order of `shuffled`."""
    test = shuffled(mnist().test)
    return Split(binarise(test.images, torch.Generator().manual_seed(0)), test.labels)


DATA = {
    "static": Data(
        "static binarisation", lambda: mnist_static().train.images, lambda: shuffled(mnist_static().test), lambda o: o
    ),
    "dynamic": Data(
        "dynamic binarisation, test seed 0",
        lambda: mnist().train.images,
        dynamic_test,
        lambda o: o if o is negative_log_likelihood else DynamicBinarisation(o),
    ),
}


def evaluate(model: nn.Module, data: Data) -> dict:
    """The NLL on the 10,000 test images, exact or by IWAE; of a VAE also the rest. And what a test can repeat soon:
    the NLL, or for a VAE the ELBO, of the first QUICK images."""
    test, generator = data.test(), torch.Generator().manual_seed(0)
    if not isinstance(model, VAE):
        nats = exact_nll_per_image(model, test.images, seed=0)
        return {"nll": vars(summary(nats, "exact", data.told)), "quick": quick(model, test.images)}
    codes = encode_all(model, test.images, generator)
    return {
        "information": vars(information_of(codes)),
        "rate": vars(Mean.of(codes.rate)),
        "distortion": vars(Mean.of(distortion_per_image(model, test.images, codes.z))),
        "aggregate": flat(aggregate(codes, model.prior, generator)),
        "probe": vars(probe_accuracy(model, *halves(test))),
        "probe_drawn": vars(probe_accuracy(model, *halves(test), torch.Generator().manual_seed(0))),
        "nll": vars(iwae_nll_from_few(model, test.images, FEW, SAMPLES, generator, data.told)),
        "quick": quick(model, test.images),
    }


def quick(model: nn.Module, images: Float[Tensor, "n 1 28 28"]) -> float:
    """The mean of `per_image` over the first QUICK images."""
    return float(per_image(model, images[:QUICK]).mean())


def per_image(model: nn.Module, images: Float[Tensor, "n 1 28 28"]) -> Float[Tensor, " n"]:
    """-log p(x) in nats, exact or, for a VAE, its bound with K = 1, the ELBO."""
    if not isinstance(model, VAE):
        return exact_nll_per_image(model, images, seed=0)
    return -iwae_log_prob(model, images, 1, torch.Generator().manual_seed(0)).double()


def full_scale(data: str, about: Kind) -> Recipe:
    """One kind of model on one of DATA."""
    source = DATA[data]
    return Recipe(
        purpose=f"chapter 09, {about.purpose}",
        builder=about.builder,
        arguments=about.arguments,
        data=f"MNIST, {source.told}, 50,000 training images",
        objective_name=about.objective_name,
        objective=lambda: source.objective(about.objective()),
        plan=Plan(about.steps, about.batch_size, about.learning_rate, bf16=True),
        train_images=source.train,
        evaluate=lambda model: evaluate(model, source),
        stored=torch.float16,
    )


ONCE = {"pixelcnn_wide", "vlae_wide", "info_mmd_0.8"}
"""What larger fields and chapter 07's alpha come to in a long training is told on one binarisation, the static."""
KINDS_OF = {"static": KINDS, "dynamic": {name: kind for name, kind in KINDS.items() if name not in ONCE}}
SHARE = {"static": 1.0, "dynamic": 0.5}
"""Of each kind's steps, how many two CPU cores could pay for on each binarisation."""
LONGER = {"static/vlae": 36_000}
"""The model that came nearest to its bar, and so was trained longer than its kind."""


def planned(data: str, kind: str) -> Recipe:
    """The recipe for two CPU cores."""
    steps = LONGER.get(f"{data}/{kind}", int(SHARE[data] * KINDS[kind].steps))
    return full_scale(data, replace(KINDS[kind], steps=steps))


RECIPES = {f"{data}/{kind}": planned(data, kind) for data in DATA for kind in KINDS_OF[data]}
GPU = {f"{data}/{kind}.gpu": full_scale(data, larger(about)) for data in DATA for kind, about in KINDS_OF[data].items()}
