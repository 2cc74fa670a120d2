"""Chapter 08: the article's four open questions, each put to an experiment at a rate or a prior chosen beforehand."""

import dataclasses
import itertools
import math
from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from course_lib.data import digits
from course_lib.experiments.seeds import SEEDS, over_seeds
from course_lib.measurement.ais import ais
from course_lib.measurement.annealing import Annealing
from course_lib.measurement.codes import encode_all
from course_lib.measurement.information import information_of
from course_lib.measurement.ledger import Claim, Result
from course_lib.measurement.likelihood import distortion_per_image, iwae_nll, log_prob_table
from course_lib.measurement.probe import probe_accuracy
from course_lib.measurement.refit import refit
from course_lib.measurement.worlds.quadrature import plane
from course_lib.models.dense import DenseAutoregressive
from course_lib.models.encoders import MLPEncoder
from course_lib.models.factorised import FactorisedDecoder
from course_lib.models.priors import Prior, RingPrior, StandardNormal, UniformPrior
from course_lib.models.vae import VAE
from course_lib.objectives.infovae import InfoVAE, elbo
from course_lib.objectives.mmd import mmd_squared
from course_lib.objectives.objective import Objective
from course_lib.objectives.target_rate import TargetRate
from course_lib.training.fit import Plan, fit
from course_lib.zoo import cards
from course_lib.zoo.recipes import binary_digits
from course_lib.zoo.recipes.outstanding import CHARGED, COMPARED, DECODERS, RATES, TEXTURES, Arm
from course_lib.zoo.train import hardware

NATS = "nats per image"
QUANTITIES = {
    "information": ("I(x;z), lower bound, N = 2,000", NATS),
    "rate": ("rate", NATS),
    "distortion": ("distortion", NATS),
    "nll": ("NLL, IWAE, K = 200, 100 letters", NATS),
    "probe": ("probe accuracy, means", ""),
    "probe_drawn": ("probe accuracy, drawn codes", ""),
    "sharpness": ("sharpness of shown reconstructions (letters: 1)", ""),
    "place": ("R^2 of row and column, mean", ""),
    "form": ("R^2 of slant, thickness and size, mean", ""),
    "lead": ("lead of the best dimension in R^2, mean of five factors", ""),
}
CLAIMED = ("information", "nll", "probe_drawn", "sharpness")


def name_of(name: str) -> str:
    """Its name in the zoo, where its seed 0 is stored if anywhere."""
    return f"outstanding/{name}"


def measured(name: str, arm: Arm, seed: int) -> dict[str, float]:
    """What is measured of an arm: read from the card where the zoo holds it, else of a model trained now."""
    if seed == 0 and name_of(name) in cards.names():
        return cards.card(name_of(name))["measurements"]
    recipe = arm.recipe()
    recipe = dataclasses.replace(recipe, plan=dataclasses.replace(recipe.plan, seed=seed))
    vae = recipe.build().to(memory_format=torch.channels_last)  # as the zoo trains: three times as fast for a chain
    fit(vae, recipe.objective(), recipe.train_images(), recipe.plan, progress=False)
    return recipe.evaluate(vae.to(memory_format=torch.contiguous_format))


MATCHED = 4.5


def difference(a: Result, b: Result) -> tuple[float, float]:
    """a - b and its standard error, sqrt((s_a^2 + s_b^2) / n): as of seeds that have nothing in common."""
    return a.value - b.value, math.sqrt((a.spread**2 + b.spread**2) / len(SEEDS))


def over_arms(arms: dict[str, Arm], claim: Callable[[str], str], keep: dict | None = None) -> Iterator[Result]:
    """Every quantity of every arm, three seeds; what was found is put into `keep`."""
    for name, arm in arms.items():
        found = [measured(name, arm, seed) for seed in SEEDS]
        if keep is not None:
            keep[name] = found
        for quantity, (words, unit) in QUANTITIES.items():
            about = dict(claim=claim(name) if quantity in CLAIMED else "", unit=unit, hardware=hardware("cpu"))
            place = claim(name) or "C24"
            values, label = [row[quantity] for row in found], f"{words}: {name.replace('_', ' ')}"
            yield over_seeds(f"{place}.{name}.{quantity}", label, values, band=0.0, **about)


def compared(texture: str) -> Callable[[], Iterator[Result]]:
    """C24, for letters of one texture: two decoders, three rates; and both decoders at one and the same information."""

    def measure() -> Iterator[Result]:
        found: dict[str, list[dict[str, float]]] = {}
        arms = {name: arm for name, arm in COMPARED.items() if f"_{texture}_" in name}
        yield from over_arms(arms, lambda name: "", found)
        for decoder in DECODERS:
            curves = [found[f"{decoder}_{texture}_{rate:g}"] for rate in RATES]
            for quantity in ("probe_drawn", "place", "form", "nll", "sharpness"):
                values = [at(MATCHED, [curve[i] for curve in curves], quantity) for i in range(len(SEEDS))]
                words, unit = QUANTITIES[quantity]
                label = f"{words}, at {MATCHED:g} nats of information: {decoder} pixels, {texture} letters"
                claim = "C24" if quantity in ("probe_drawn", "sharpness") else ""
                about = dict(claim=claim, unit=unit, hardware=hardware("cpu"))
                yield over_seeds(f"C24.{decoder}_{texture}.{quantity}", label, values, 0.0, **about)

    return measure


def at(nats: float, curve: list[dict[str, float]], quantity: str) -> float:
    """A quantity at so much information, on the straight line between the two measurements beside it.

    Raises ValueError outside of what was measured.
    """
    points = sorted((row["information"], row[quantity]) for row in curve)
    for (below, low), (above, high) in itertools.pairwise(points):
        if below <= nats <= above:
            return low + (high - low) * (nats - below) / (above - below)
    raise ValueError(f"{nats:g} nats lie outside of the {points[0][0]:.2f} to {points[-1][0]:.2f} that were measured")


def charged() -> Iterator[Result]:
    """C25 and C27: what a reconstruction is charged for."""
    yield from over_arms(CHARGED, lambda name: "C27" if name in ("adversary", "vaegan") else "C25")


# The trap: a rate that is chosen is not yet information.

TRAP = Plan(steps=400, batch_size=128, learning_rate=4e-3, warm_up=20)


def trapped(lambd: float, seed: int, nats: float = 4.0) -> dict[str, float]:
    """Rate and information of a code of two that a chain of pixels has no use for, at a chosen rate; on 250 digits."""
    torch.manual_seed(seed)
    vae = VAE(MLPEncoder((1, 8, 8), 2), DenseAutoregressive((1, 8, 8), 2), 2)
    plan = dataclasses.replace(TRAP, seed=seed)
    fit(vae, TargetRate(nats, lambd=lambd), binary_digits("train"), plan, progress=False)
    codes = encode_all(vae, binary_digits("test"), torch.Generator().manual_seed(seed))
    return {
        "rate": float(codes.rate.mean()),
        "information": information_of(codes).lower,
        "off": float(codes.q.mu.mean(0).norm()),
        "width": float(codes.z.var(0).mean().sqrt()),
    }


def traps() -> Iterator[Result]:
    """With and without a price on the aggregate, three seeds."""
    for name, lambd in (("free", 0.0), ("held", 200.0)):
        found = [trapped(lambd, seed) for seed in SEEDS]
        for quantity, words, unit, band in (
            ("rate", "rate", NATS, 0.3),
            ("information", "I(x;z), lower bound", NATS, 1.2),
            ("off", "distance of the codes' mean from 0", "", 1.6),
            ("width", "standard deviation of all codes", "", 0.25),
        ):
            about = dict(unit=unit, hardware=hardware("cpu"))
            values = [row[quantity] for row in found]
            yield over_seeds(f"08.trap.{name}.{quantity}", f"{words}, lambd = {lambd:g}", values, band, **about)


# C26: digits, and codes of two numbers, whose likelihood under any prior is a sum over a grid.

PLANE, STEP = 4.0, 0.05
LIVE = Plan(steps=1000, batch_size=128)
LATE = 5000
"""Steps, five times as many as a chapter has time for."""


@dataclasses.dataclass(frozen=True)
class Code:
    """A prior, an objective, and whether the encoder is without noise."""

    words: str
    prior: Callable[[], Prior]
    objective: Callable[[], Objective]
    point: bool = False


CODES = {
    "elbo": Code("ELBO", lambda: StandardNormal(2), elbo),
    "noisy": Code("InfoVAE (.8, 50)", lambda: StandardNormal(2), lambda: InfoVAE(0.8, 50.0)),
    "point": Code("points, normal prior", lambda: StandardNormal(2), lambda: InfoVAE(1.0, 100.0), True),
    "cube": Code("points, uniform prior", lambda: UniformPrior(2), lambda: InfoVAE(1.0, 100.0), True),
    "ring": Code("points, ring of ten", lambda: RingPrior(10, 0.2), lambda: InfoVAE(1.0, 100.0), True),
}
LONGER = 8


def coded(name: str, seed: int, code_size: int = 2, steps: int = LIVE.steps) -> VAE:
    """The VAE of one of CODES, with independent pixels, trained on the black and white training digits."""
    code, shape = CODES[name], (1, 8, 8)
    prior = code.prior() if code_size == 2 else StandardNormal(code_size)
    torch.manual_seed(seed)
    encoder = MLPEncoder(shape, code_size, deterministic=code.point)
    vae = VAE(encoder, FactorisedDecoder(shape, code_size), code_size, prior)
    fit(
        vae, code.objective(), binary_digits("train"), dataclasses.replace(LIVE, seed=seed, steps=steps), progress=False
    )
    return vae


@torch.no_grad()
def summed_nll(vae: VAE, x: Float[Tensor, "n 1 height width"], step: float = STEP) -> float:
    """-log p(x) with p(x) = sum over a grid of p(z) p(x|z) step^2, for a code of two numbers and any prior, in nats."""
    nodes = plane(PLANE, step).split(5000)
    parts = [(log_prob_table(vae, x, z) + vae.prior.log_prob(z)[:, None]).logsumexp(0) for z in nodes]
    return -float(torch.stack(parts).logsumexp(0).mean()) - 2 * math.log(step)


def neighbours(vae: VAE, generator: torch.Generator, count: int = 15) -> float:
    """The share of test digits named rightly by their code's nearest codes among the training digits' (drawn codes)."""
    from sklearn.neighbors import KNeighborsClassifier

    split = digits(binary=True)
    train, test = (encode_all(vae, part.images, generator).z for part in (split.train, split.test))
    return float(KNeighborsClassifier(count).fit(train, split.train.labels).score(test, split.test.labels))


@torch.no_grad()
def apart(vae: VAE, generator: torch.Generator) -> tuple[float, float]:
    """MMD^2 between the test digits' codes and draws of the prior; and the same between two sets of draws, its sd."""
    z = encode_all(vae, binary_digits("test"), generator).z.float()
    draw = [vae.prior.sample(len(z), generator, like=z) for _ in range(41)]
    null = torch.stack([mmd_squared(a, b) for a, b in zip(draw[1::2], draw[2::2], strict=True)])
    return float(mmd_squared(z, draw[0])), float(null.std())


def code_numbers(vae: VAE, seed: int) -> dict[str, float]:
    """What is told of one model with a code of two numbers, on the 250 test digits."""
    x, g = binary_digits("test"), torch.Generator().manual_seed(seed)
    gap, null = apart(vae, g)
    distortion = distortion_per_image(vae, x, encode_all(vae, x, g).z).mean()
    return {
        "nll": summed_nll(vae, x),
        "neighbours": neighbours(vae, g),
        "distortion": float(distortion),
        "gap": gap / null,
    }


TOLD = {
    "nll": ("NLL, a sum over all codes", NATS, 0.8),
    "neighbours": ("digits named by 15 neighbours, drawn codes", "", 0.1),
    "distortion": ("distortion", NATS, 1.2),
    "gap": ("MMD^2 from the prior", "sd of its null", 0.0),
}


def points(steps: int = LIVE.steps, place: str = "C26") -> Iterator[Result]:
    """C26 with codes of two numbers: every one of CODES, three seeds."""
    for name, code in CODES.items():
        found = [code_numbers(coded(name, seed, steps=steps), seed) for seed in SEEDS]
        for quantity, (words, unit, band) in TOLD.items():
            claim = "C26" if quantity in ("nll", "neighbours") else ""
            about = dict(claim=claim, unit=unit, hardware=hardware("cpu"))
            values, label = [row[quantity] for row in found], f"{words}, {steps:,} steps: {code.words}"
            yield over_seeds(f"{place}.{name}.{quantity}", label, values, band, **about)


def later() -> Iterator[Result]:
    """The same after five times as many steps."""
    yield from points(LATE, "C26.late")


def long_numbers(name: str, seed: int) -> dict[str, float]:
    """The same with codes of eight: NLL through a Gaussian q fitted afterwards on training digits, and a probe."""
    vae, split, g = coded(name, seed, LONGER, LATE), digits(binary=True), torch.Generator().manual_seed(seed)
    encoder = MLPEncoder((1, 8, 8), LONGER)
    through = refit(vae, split.train.images, g, encoder, steps=3000)
    gap, null = apart(vae, g)
    return {
        "nll": iwae_nll(through, split.test.images[:NLL_IMAGES], 500, g).nats,
        "ais": ais(through, split.test.images[:NLL_IMAGES], g, ANNEALING).nll("").nats,
        "probe": probe_accuracy(vae, split.train, split.test, g).accuracy,
        "gap": gap / null,
    }


NLL_IMAGES, ANNEALING = 100, Annealing(distributions=300, chains=8, leapfrogs=10)
LONG = {
    "nll": ("NLL, IWAE, K = 500, q refitted, codes of 8", NATS),
    "ais": (f"NLL, AIS {ANNEALING}, codes of 8", NATS),
    "probe": ("probe accuracy, drawn codes of 8", ""),
    "gap": ("MMD^2 from the prior, codes of 8", "sd of its null"),
}


def longer() -> Iterator[Result]:
    """C26 with codes of eight numbers and the normal prior."""
    for name in ("elbo", "noisy", "point"):
        found = [long_numbers(name, seed) for seed in SEEDS]
        for quantity, (words, unit) in LONG.items():
            values = [row[quantity] for row in found]
            about = dict(claim="C26" if quantity in ("ais", "probe") else "", unit=unit, hardware=hardware("cpu"))
            yield over_seeds(f"C26.long.{name}.{quantity}", f"{words}: {CODES[name].words}", values, 0.0, **about)


def by_heart() -> Iterator[Result]:
    """Codes of eight: what the pictures cost, given their own codes, that were learnt from, and those that were not."""
    for name in ("elbo", "noisy", "point"):
        vaes = [coded(name, seed, LONGER, LATE) for seed in SEEDS]
        for part in ("train", "test"):
            values = [own_distortion(vae, part, seed) for vae, seed in zip(vaes, SEEDS, strict=True)]
            label = f"distortion, {part} digits, codes of 8: {CODES[name].words}"
            about = dict(unit=NATS, hardware=hardware("cpu"))
            yield over_seeds(f"C26.long.{name}.distortion_{part}", label, values, 0.0, **about)


def own_distortion(vae: VAE, part: str, seed: int) -> float:
    """-log p(x|z) with z the code of x, on average over a part of the digits."""
    x, generator = binary_digits(part), torch.Generator().manual_seed(seed)
    return float(distortion_per_image(vae, x, encode_all(vae, x, generator).z).mean())


def slower() -> Iterator[Result]:
    """What AIS gains for points with codes of eight by five times as many distributions: on 30 digits, one seed."""
    vae, split, g = coded("point", 0, LONGER, LATE), digits(binary=True), torch.Generator().manual_seed(0)
    through = refit(vae, split.train.images, g, MLPEncoder((1, 8, 8), LONGER), steps=3000)
    more = dataclasses.replace(ANNEALING, distributions=5 * ANNEALING.distributions)
    few, many = (ais(through, split.test.images[:30], g, way).nll("").nats for way in (ANNEALING, more))
    label = f"AIS, fewer NLL by {more.distributions:,} distributions than by {ANNEALING.distributions}, points of 8"
    about = dict(unit=NATS, hardware=hardware("cpu"), seeds=(0,))
    yield Result("C26.long.point.slower", "", label, few - many, **about)


EXPERIMENTS = {
    "08.trap": traps,
    **{f"C24.{texture}": compared(texture) for texture in TEXTURES},
    "C25": charged,
    "C26": points,
    "C26.late": later,
    "C26.long": longer,
    "C26.heart": by_heart,
    "C26.slower": slower,
}
CLAIMS = (
    Claim(
        "C24",
        "Open question: do sharp reconstructions, as a PixelCNN gives, matter for a representation?",
        "Answered for ten letters: no, rather the contrary. At the same information the code of a decoder of "
        "independent pixels, whose pictures are fuzzy, names more letters than that of a chain that draws sharply; "
        "with a texture to distract it the lead is smaller, a hint of two and a half standard errors. The chain's "
        "likelihood is better by tens of nats.",
    ),
    Claim(
        "C25",
        "Open question: would an objective on features, in place of pixels, give better representations?",
        "Answered for ten letters: the target decides what a code is about, and features help as far as their network "
        "was told what matters. Layers that learnt from pixels make no difference that three seeds could show, nor do "
        "a classifier's layers; untrained ones do harm, a classifier's answers more than double the letters named and "
        "lose their place. None disentangles.",
    ),
    Claim(
        "C26",
        "Open question: are stochastic codes needed, and must they be Gaussian, if only the aggregate is held?",
        "Answered for digits: not for reading a code. With two numbers points learn faster than noisy codes and end "
        "as good. With eight they learn the training digits by heart and their likelihood is several nats worse, "
        "which MMD^2 does not see. A cube for the prior does about as well as the normal, a ring a little worse: "
        "nothing is gained.",
    ),
    Claim(
        "C27",
        "Open question: would an adversary on reconstructions lead away from too exact detail?",
        "Answered for ten letters: beside the pixels it makes reconstructions three times as sharp, for some ten nats "
        "of likelihood, and the code seems to tell more of letter and form, at no more information (two and a half "
        "standard errors). Without the pixels (VAE-GAN) it is sharper still, tells no more than pixels do, and costs "
        "a hundred nats.",
    ),
)
