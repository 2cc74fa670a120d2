"""Chapter 09: every system the article names at the papers' picture size, beside what was published."""

import math
import statistics
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

import torch
from torch import Tensor

from course_lib.data import binarise, mnist
from course_lib.measurement.ledger import Result, results
from course_lib.measurement.likelihood import elbo_and_gain, exact_nll_per_image, summary
from course_lib.measurement.mean import Mean
from course_lib.models.masks import layer_radii
from course_lib.models.vae import VAE
from course_lib.zoo import cards, load
from course_lib.zoo.recipes.full_scale import DATA, FEW, KINDS, SAMPLES, per_image
from course_lib.zoo.recipes.static_mnist import shuffled
from course_lib.zoo.train import hardware

NATS = "nats per image"
COMPARED = 2000
TRAINED_ON = 50_000
REDRAWN = (0, 1, 2, 3)


@dataclass(frozen=True)
class Published:
    """A number of the literature: nats per image, whether it is an upper bound on the NLL, and where it stands."""

    nats: float
    bound: bool
    what: str
    source: str

    def __str__(self) -> str:
        return f"{'at most ' if self.bound else ''}{self.nats:.2f}"


PIXELVAE = "Gulrajani et al. (2017), arXiv 1611.05013, table 1"
PIXELRNN = "van den Oord et al. (2016), arXiv 1601.06759"
VLAE = "Chen et al. (2017), arXiv 1611.02731"
GATED = Published(80.10, False, "gated PixelCNN of 13 layers", PIXELVAE)
LOSSY = Published(79.03, True, "VLAE, a code of 64 numbers", f"{VLAE}, table 1")
PUBLISHED: dict[str, Published] = {
    "static/pixelcnn": GATED,
    "static/pixelcnn_wide": GATED,
    "static/diagonal_bilstm": Published(80.75, False, "Diagonal BiLSTM of one layer", PIXELRNN),
    "static/vae": Published(87.41, True, "convolutional VAE, factorised decoder", PIXELVAE),
    "static/pixelvae": Published(80.08, True, "gated PixelVAE", PIXELVAE),
    "static/vlae": LOSSY,
    "static/vlae_wide": LOSSY,
    "dynamic/narrow": Published(87.55, False, "small PixelCNN alone", f"{VLAE}, appendix D"),
    "dynamic/narrow_code": Published(79.48, True, "the same with a code", f"{VLAE}, appendix D"),
    "dynamic/vlae": Published(78.94, True, "and with a flow prior", f"{VLAE}, appendix D"),
}
SYSTEMS = {
    "gated PixelCNN": (81.3, ("static/pixelcnn", "static/pixelcnn_wide")),
    "PixelVAE": (80.1, ("static/pixelvae",)),
    "VLAE": (80.0, ("static/vlae", "static/vlae_wide")),
    "factorised VAE": (87.4, ("static/vae",)),
}
"""What the course set out to reach with each system, in nats, and the models of its kind."""
BARS = {name: bar for bar, names in SYSTEMS.values() for name in names}
MEASURED = {
    "rate": ("rate", NATS),
    "information": ("I(x;z), lower bound, N = 10,000", NATS),
    "probe": ("probe accuracy, means", ""),
    "probe_drawn": ("probe accuracy, drawn codes", ""),
}


def stored() -> list[str]:
    """The models of full scale that the zoo holds, in the order of KINDS."""
    held = set(cards.names())
    return [name for data in DATA for kind in KINDS if (name := f"{data}/{kind}") in held]


def key_of(name: str, quantity: str) -> str:
    """Where the ledger keeps a number of a model."""
    return f"09.{name.replace('/', '.')}.{quantity}"


def from_cards() -> Iterator[Result]:
    """What the cards say of every stored model: one training each, so the spread is a standard error over images."""
    for name in stored():
        card = cards.card(name)
        found, about = card["measurements"], dict(seeds=(card["plan"]["seed"],), hardware=card["hardware"])
        nll = found["nll"]
        yield Result(
            key_of(name, "nll"),
            "",
            f"NLL, {nll['estimator']}: {name}",
            nll["nats"],
            NATS,
            nll["standard_error"],
            **about,
        )
        for quantity in MEASURED.keys() & found.keys():
            words, unit = MEASURED[quantity]
            value, error = number(found[quantity])
            yield Result(key_of(name, quantity), "", f"{words}: {name}", value, unit, error, **about)
        yield Result(key_of(name, "seconds"), "", f"training: {name}", cards.spent(card)["seconds"], "s", **about)


def number(found: dict) -> tuple[float, float]:
    """The number of a measurement on a card, and its standard error, or 0 where it has none."""
    value = next(found[name] for name in ("value", "lower", "accuracy") if name in found)
    return value, found.get("standard_error", 0.0)


def over(name: str, data: str) -> Result:
    """The exact NLL of a stored model on the test images of one binarisation, its own or the other."""
    nats = exact_nll_per_image(load(name), DATA[data].test().images, seed=0)
    found = summary(nats, "exact", DATA[data].told)
    return Result(
        f"09.binarisation.{name.replace('/', '.')}.on_{data}",
        "",
        f"NLL on {data} test images, exact: {name}",
        found.nats,
        NATS,
        found.standard_error,
        seeds=(0,),
        hardware=hardware("cpu"),
    )


def redrawn(name: str) -> Result:
    """The mean over REDRAWN binarisations of the same grey test pictures, and as spread their standard deviation."""
    model, grey = load(name), shuffled(mnist().test).images
    nats = [
        exact_nll_per_image(model, binarise(grey, torch.Generator().manual_seed(seed)), seed=0).mean().item()
        for seed in REDRAWN
    ]
    return Result(
        f"09.binarisation.{name.replace('/', '.')}.redrawn",
        "",
        f"NLL on {len(REDRAWN)} draws of the dynamic test images, exact: {name}",
        statistics.mean(nats),
        NATS,
        statistics.stdev(nats),
        seeds=REDRAWN,
        hardware=hardware("cpu"),
    )


def binarisations() -> Iterator[Result]:
    """Models that differ in the binarisation they learnt from, each on both."""
    for kind in ("narrow", "pixelcnn"):
        for learnt in DATA:
            for data in DATA:
                yield over(f"{learnt}/{kind}", data)
    yield redrawn("static/narrow")


SEEN = tuple(
    f"static/{kind}" for kind in ("pixelcnn", "pixelcnn_wide", "vae", "pixelvae", "info_mmd", "vlae", "vlae_wide")
)
"""The models that are asked about pictures they were trained on."""
WIDER = {name: f"{name}_wide" for name in ("static/pixelcnn", "static/vlae")}


def seen() -> Iterator[Result]:
    """NLL, or for a VAE the negative ELBO, of COMPARED pictures that were trained on and of as many new ones."""
    source = DATA["static"]
    pictures = {"train": source.train()[:COMPARED], "test": source.test().images[:COMPARED]}
    found = {(name, which): per_image(load(name), x) for name in SEEN for which, x in pictures.items()}
    for (name, which), nats in found.items():
        what = f"NLL, for a VAE -ELBO, {COMPARED:,} {which} pictures: {name}"
        yield of_pictures(f"09.seen.{name.replace('/', '.')}.{which}", what, Mean.of(nats))
    for name, wide in WIDER.items():
        train, test = (Mean.of(found[name, which] - found[wide, which]) for which in pictures)
        yield of_pictures(key_of_lead(name), f"lead on known pictures: {wide} less {name}", lead(train, test))


def lead(train: Mean, test: Mean) -> Mean:
    """By how many nats more a model gains on another, image by image, on pictures trained on than on new ones."""
    return Mean(train.value - test.value, math.hypot(train.standard_error, test.standard_error))


def of_pictures(key: str, what: str, nats: Mean) -> Result:
    """What a mean over pictures says."""
    return Result(key, "", what, nats.value, NATS, nats.standard_error, seeds=(0,), hardware=hardware("cpu"))


def key_of_lead(name: str) -> str:
    """Where the ledger keeps by how much the wide model's lead on known pictures is larger than this one's."""
    return f"09.seen.{name.replace('/', '.')}.wider"


PAIRS = (
    ("static/pixelcnn", "static/pixelvae"),
    *((f"static/{name}", "static/pixelvae") for name in ("info_mmd", "info_adversary", "info_stein", "info_mmd_0.8")),
    ("dynamic/narrow", "dynamic/narrow_code"),
    ("dynamic/narrow_code", "dynamic/vlae"),
    *((f"dynamic/{name}", "dynamic/pixelvae") for name in ("info_mmd", "info_adversary", "info_stein")),
)
"""Models that are compared on the same test images."""


def per_image_and_gain(name: str) -> tuple[Tensor, Tensor]:
    """-log p(x) or -ELBO of each test image, and what K = SAMPLES gains on the first FEW; nothing where it is exact."""
    model, x = load(name), DATA[name.split("/")[0]].test().images
    if not isinstance(model, VAE):
        return per_image(model, x).double(), torch.zeros(FEW, dtype=torch.float64)
    return elbo_and_gain(model, x, FEW, SAMPLES, torch.Generator().manual_seed(0))


def paired() -> Iterator[Result]:
    """By how many nats the second model's NLL is lower, image by image, so that what is hard for both cancels."""
    found = {name: per_image_and_gain(name) for name in dict.fromkeys(chain(*PAIRS))}
    for before, after in PAIRS:
        (a, more_a), (b, more_b) = found[before], found[after]
        yield pair(before, after, Mean.of(a - b), Mean.of(more_a - more_b))


def pair(before: str, after: str, whole: Mean, part: Mean) -> Result:
    """What all images say, less what the few say of the gains."""
    return Result(
        key_of_pair(before, after),
        "",
        f"NLL of {before} less that of {after}, image by image",
        whole.value - part.value,
        NATS,
        math.hypot(whole.standard_error, part.standard_error),
        seeds=(0,),
        hardware=hardware("cpu"),
    )


def key_of_pair(before: str, after: str) -> str:
    """Where the ledger keeps the difference of two models."""
    return f"09.paired.{before.replace('/', '.')}.less.{after.replace('/', '.')}"


# What is said of the numbers


def saving(before: str, after: str, known: dict[str, Result] | None = None) -> str:
    """By how many nats the second model's NLL is lower, with the error of a paired comparison, in words."""
    found = (known or results())[key_of_pair(before, after)]
    return f"{found.value:.2f} ± {found.spread:.2f}"


def reached(known: dict[str, Result] | None = None) -> dict[str, bool]:
    """Of each system, whether one of its models is at its bar or below."""
    known = known or results()
    return {
        system: any(known[key_of(name, "nll")].value <= bar for name in names)
        for system, (bar, names) in SYSTEMS.items()
    }


def epochs(name: str) -> float:
    """How often a model saw each of the 50,000 training pictures."""
    card = cards.card(name)
    return cards.spent(card)["steps"] * card["plan"]["batch_size"] / TRAINED_ON


def sight(name: str) -> int:
    """How many rows above, and columns to each side, a stored gated decoder sees."""
    made = cards.card(name)["arguments"]
    return sum(layer_radii(made.get("field"), made["first_kernel"], made["kernel"], made["depth"]))


HEAD = ("model", "NLL", "bar", "published", "I(x;z)", "rate", "named", "steps x batch", "parameters", "minutes")


def cells(name: str, known: dict[str, Result]) -> list[str]:
    """A model's row: what it reached, what was published, what it says, and what was spent on it."""
    card, nll, bar = cards.card(name), known[key_of(name, "nll")], BARS.get(name)
    informed, rate, named = (known.get(key_of(name, q)) for q in ("information", "rate", "probe_drawn"))
    plan, spent = card["plan"], cards.spent(card)
    return [
        f"`{name}`",
        f"{'' if 'exact' in nll.quantity else '≤ '}{nll.value:.2f} ± {nll.spread:.2f}",
        "" if bar is None else f"{bar:.1f}, {'met' if nll.value <= bar else f'{nll.value - bar:.1f} above'}",
        str(PUBLISHED.get(name, "")).replace("at most", "≤"),
        "" if informed is None else f"{informed.value:.2f}",
        "" if rate is None else f"{rate.value:.2f}",
        "" if named is None else f"{named.value:.2f}",
        f"{spent['steps']:,} x {plan['batch_size']}",
        f"{card['parameters']:,}",
        f"{spent['seconds'] / 60:.0f}",
    ]


def markdown(names: Sequence[str], known: dict[str, Result] | None = None) -> str:
    """The table of these models, as the chapter and the README show it."""
    known = known or results()
    rows = [HEAD, ["---"] * len(HEAD), *(cells(name, known) for name in names)]
    return "\n".join(f"| {' | '.join(row)} |" for row in rows)


EXPERIMENTS = {"09.table": from_cards, "09.binarisation": binarisations, "09.seen": seen, "09.paired": paired}
CLAIMS = ()
