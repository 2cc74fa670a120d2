"""Chapter 08's models of glyphs: what a decoder sees, and what a reconstruction is charged for, at a chosen rate."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from course_lib.data import Glyphs, Split, binarise, glyphs, threshold
from course_lib.measurement.codes import encode_all
from course_lib.measurement.factors import read_off
from course_lib.measurement.information import information_of
from course_lib.measurement.likelihood import distortion_per_image, iwae_nll
from course_lib.measurement.probe import probe_accuracy
from course_lib.measurement.sharpness import sharpness
from course_lib.models.encoders import ConvEncoder
from course_lib.models.factorised import FactorisedDecoder
from course_lib.models.vae import VAE, conv_vae
from course_lib.objectives.reconstruction import Cost, Features, FoundOut, Pixels, mean_picture
from course_lib.objectives.target_rate import TargetRate
from course_lib.training.fit import Plan, fit
from course_lib.zoo.recipes.recipe import Recipe

SHAPE, LETTERS = (1, 28, 28), "ABCEHKMRSX"
CODE, HIDDEN = 10, 24
SIZES = {"train": 8000, "probe": 2000, "test": 2000, "classifier": 4000}
GAMMA, LAMBD = 20.0, 1000.0
PLAN = Plan(steps=1500, batch_size=32)
INDEPENDENT = dict(builder="conv_vae", arguments=dict(image_shape=SHAPE, code_size=CODE, hidden=HIDDEN))
LOCAL = dict(
    builder="gated_vae",
    arguments=INDEPENDENT["arguments"] | dict(width=16, depth=1, kernel=3, first_kernel=3, conditioning="maps"),
)


@cache
def letters(split: str, texture: float | None = None) -> Glyphs:
    """Ten letters, each split of SIZES from a seed of its own: grey, or black and white with a texture from 0 to 1."""
    found = glyphs(SIZES[split], list(SIZES).index(split), texture or 0.0, LETTERS)
    return found if texture is None else Glyphs(threshold(found.images), found.factors, LETTERS)


def layers_of(encoder: ConvEncoder) -> nn.Module:
    """All layers of an encoder but the last, which makes the code."""
    return encoder.layers[:-1]


@cache
def untrained() -> nn.Module:
    """The layers as they are drawn."""
    torch.manual_seed(5)
    return layers_of(ConvEncoder(SHAPE, CODE, HIDDEN))


@cache
def own() -> nn.Module:
    """The layers of an encoder that learnt to code pixels."""
    torch.manual_seed(6)
    vae = conv_vae(SHAPE, CODE, HIDDEN)
    fit(vae, charged(8.0, Pixels), letters("train").images, PLAN, progress=False)
    return layers_of(vae.encoder)


@cache
def classifier() -> nn.Module:
    """A network that learnt to name letters, from labels: its answers, ten logits."""
    torch.manual_seed(7)
    network = ConvEncoder(SHAPE, len(LETTERS), HIDDEN, deterministic=True).layers
    optimiser, data = torch.optim.Adam(network.parameters(), 1e-3), letters("classifier")
    generator = torch.Generator().manual_seed(8)
    for _ in range(800):
        rows = torch.randint(len(data), (64,), generator=generator)
        optimiser.zero_grad()
        F.cross_entropy(network(2 * data.images[rows] - 1), data.factors["character"][rows]).backward()
        optimiser.step()
    return network


def features(name: str, network: Callable[[], nn.Module]) -> Cost:
    """The difference in a network's answers, each brought to variance 1 on training letters."""
    return Features(name, network(), letters("train").images[:1000])


COSTS: dict[str, Callable[[], Cost]] = {
    "pixels": Pixels,
    "random": lambda: features("untrained layers", untrained),
    "own": lambda: features("an encoder's layers", own),
    "classifier": lambda: features("a classifier's layers", lambda: classifier()[:-1]),
    "concept": lambda: features("a classifier's answers", classifier),
    "adversary": lambda: FoundOut(SHAPE, pixels=1.0, weight=20.0),
    "vaegan": lambda: FoundOut(SHAPE, pixels=0.0, features=2000.0, weight=2.0, learning_rate=2e-4),
}


def charged(nats: float, cost: Callable[[], Cost]) -> TargetRate:
    """The objective of every model here."""
    return TargetRate(nats, GAMMA, LAMBD, cost())


def evaluate(vae: VAE, texture: float | None) -> dict[str, float]:
    """What is measured of a model, on 2,000 letters that nothing was learnt from; NLL and sharpness on the first."""
    generator, (probe, test) = torch.Generator().manual_seed(0), (letters(s, texture) for s in ("probe", "test"))
    xs = [binarise(data.images, generator) for data in (probe, test)]
    codes = [encode_all(vae, x, generator) for x in xs]
    splits = [Split(x, data.factors["character"]) for x, data in zip(xs, (probe, test), strict=True)]
    found = read_off((codes[0].z, codes[1].z), (probe.factors, test.factors))
    return {
        "information": information_of(codes[1]).lower,
        "rate": float(codes[1].rate.mean()),
        "distortion": float(distortion_per_image(vae, xs[1], codes[1].z).mean()),
        "nll": iwae_nll(vae, xs[1][:100], 200, generator).nats,
        "probe": probe_accuracy(vae, *splits).accuracy,
        "probe_drawn": probe_accuracy(vae, *splits, generator).accuracy,
        "sharpness": sharpness(shown(vae, codes[1].z[:300], generator), test.images),
        "place": (found["row"] + found["column"]) / 2,
        "form": (found["slant"] + found["thickness"] + found["size"]) / 3,
        "lead": found["lead"],
    }


@torch.no_grad()
def shown(vae: VAE, z: Tensor, generator: torch.Generator) -> Tensor:
    """What one would show as the reconstruction: the mean picture where there is one, else a drawing."""
    if isinstance(vae.decoder, FactorisedDecoder):
        return mean_picture(vae.decoder, z.float())
    return vae.decoder.sample(len(z), generator, z.float())


@dataclass(frozen=True)
class Arm:
    """One way to train on glyphs: the model's arguments, the texture, the rate and the cost."""

    model: dict
    texture: float | None = None
    nats: float = 8.0
    cost: str = "pixels"

    def recipe(self) -> Recipe:
        """The recipe of its seed 0."""
        texture = f"black and white, texture {self.texture:g}" if self.texture is not None else "binarised at each step"
        return Recipe(
            purpose="chapter 08",
            **self.model,
            data=f"{SIZES['train']} glyphs, ten letters, {texture}",
            objective_name=f"{self.cost} at a rate of {self.nats:g} nats, lambd {LAMBD:g}",
            objective=partial(charged, self.nats, COSTS[self.cost]),
            plan=PLAN,
            train_images=lambda: letters("train", self.texture).images,
            evaluate=partial(evaluate, texture=self.texture),
        )


DECODERS, TEXTURES, RATES = (
    {"independent": INDEPENDENT, "local": LOCAL},
    {"plain": 0.0, "textured": 1.0},
    (3.0, 6.0, 9.0),
)
COMPARED = {
    f"{decoder}_{texture}_{rate:g}": Arm(DECODERS[decoder], TEXTURES[texture], rate)
    for decoder in DECODERS
    for texture in TEXTURES
    for rate in RATES
}
CHARGED = {cost: Arm(INDEPENDENT, cost=cost) for cost in COSTS}
RECIPES = {f"outstanding/{name}": arm.recipe() for name, arm in (COMPARED | CHARGED).items() if arm.nats in (6.0, 8.0)}
