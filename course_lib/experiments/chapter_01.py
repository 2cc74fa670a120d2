"""Chapter 01: a world of four strokes, solved exactly, and what independent pixels cost on digits."""

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from course_lib.data import Split, digits
from course_lib.experiments.seeds import SEEDS, over_seeds
from course_lib.measurement.ledger import Claim, Result
from course_lib.measurement.sharpness import sharpness
from course_lib.measurement.stray_dots import stray_dots
from course_lib.measurement.worlds.images import (
    all_images,
    chain,
    code_length,
    conditional_total_correlation,
    dual_total_correlation,
    entropy,
    factorised,
    full_conditionals,
    marginal,
    random_table,
)
from course_lib.models.autoregressive import Autoregressive
from course_lib.models.factorised import FactorisedDecoder
from course_lib.models.from_the_rest import predict_from_the_rest, pseudo_nll
from course_lib.models.pixelcnn import PixelCNN
from course_lib.objectives.objective import Terms
from course_lib.training.fit import Plan, fit
from course_lib.zoo.train import hardware

CLAIMS = (
    Claim(
        "C01",
        "A joint probability is the probability of one variable times that of the other given the first.",
        "True, for any number of pixels and in any order: all 24 orders of four pixels multiply back to the joint. "
        "The order is free for as long as nothing is forgotten.",
    ),
    Claim(
        "C02",
        "Pixels that are independent given z give blurred pictures, because each plays its expected value.",
        "Each pixel's best coin is its expected value, and the picture of these is a blur wherever z leaves pixels "
        "open. But a right chain with the same z has the same mean; what independence adds is noise in the drawings "
        "and, on the bill, exactly the conditional total correlation: nothing where z settles what the pixels share, "
        "and in our world of strokes more than without z where it settles half. On digits it can only be estimated.",
    ),
    Claim(
        "C03",
        "Generating every pixel from all the others is computationally infeasible.",
        "True of tables, and of a chain of tables too, about n/2 times smaller for n pixels; a network affords either. "
        "True of drawing: no pixel can go first. But what rules it out as a model is another thing: multiplied, all "
        "the conditionals on everything else sum to more than 1 unless the pixels are independent.",
    ),
)
BIT = math.log(2)
STROKES = {
    "top row": (1, 1, 0, 0),
    "bottom row": (0, 0, 1, 1),
    "left column": (1, 0, 1, 0),
    "right column": (0, 1, 0, 1),
}
CHANCES = (0.4, 0.2, 0.3, 0.1)
SLIP = 0.05
CLASSES = 10
PENALTY = 0.003  # the best of 0.001, 0.003 and 0.01 on the validation digits
LIVE = Plan(steps=400, batch_size=64, learning_rate=4e-3, warm_up=20)


def stroke_world() -> Float[Tensor, "strokes states"]:
    """p(z, x): one of four strokes is drawn in 2 x 2 pixels, and each pixel slips with probability 0.05."""
    x = all_images((1, 2, 2)).view(-1, 1, 4)
    meant = x == torch.tensor(list(STROKES.values()))
    p_x_given_z = (SLIP + (1 - 2 * SLIP) * meant.double()).prod(-1)
    return (p_x_given_z * torch.tensor(CHANCES, dtype=torch.float64)).T


def codes() -> dict[str, Float[Tensor, "codes states"]]:
    """p(z, x) for what z may tell of the stroke: nothing, whether it lies or stands, or which it is."""
    joint = stroke_world()
    lies_or_stands = torch.stack([joint[:2].sum(0), joint[2:].sum(0)])
    return {"nothing": joint.sum(0, keepdim=True), "lies or stands": lies_or_stands, "which stroke": joint}


def account(joint: Float[Tensor, "codes states"]) -> tuple[float, float, float]:
    """I(x; z), H(x | z), and what independent pixels given z pay beyond H(x | z); from a table p(z, x), in bits."""
    p_z = joint.sum(1)
    known = (entropy(joint.flatten()) - entropy(p_z)) / BIT
    rows = [(w, row / w) for w, row in zip(p_z, joint, strict=True) if w > 0]
    paid = sum(w * code_length(row, factorised(row)) for w, row in rows)
    terms = (entropy(joint.sum(0)) / BIT - known, known, paid - known)
    return tuple(round(float(bits), 12) + 0.0 for bits in terms)


def one_pixel_memory(p: Float[Tensor, " states"], order: Sequence[int]) -> Float[Tensor, " states"]:
    """p(x_a) p(x_b | x_a) p(x_c | x_b) ...: a chain in `order` that remembers the last pixel and no other."""
    steps = [marginal(p, pair) / marginal(p, pair[:1]) for pair in itertools.pairwise(order)]
    return torch.stack([marginal(p, order[:1]), *steps]).prod(0)


def tempered_last(p: Float[Tensor, " states"], order: Sequence[int], power: float) -> Float[Tensor, " states"]:
    """The chain of p with its last conditional raised to a power and normalised: 1 is the truth, 0 a fair coin."""
    last = chain(p, order)[-1]
    tempered = last**power / (last**power + (1 - last) ** power)
    return marginal(p, order[:-1]) * tempered


def orders() -> Iterator[Result]:
    """C01: the world of strokes in all 24 orders, with a full memory and with one of a single pixel."""
    p = stroke_world().sum(0)
    every = list(itertools.permutations(range(4)))
    worst = max(float((chain(p, order).prod(0) - p).abs().max()) for order in every)
    yield Result("C01.error", "C01", "largest |product - joint|, 24 orders x 16 pictures", worst, "", band=1e-12)
    bits = float(entropy(p)) / BIT
    about = dict(claim="C01", unit="bits per picture", band=1e-4)
    yield Result("C01.bits", quantity="entropy of the world of strokes, the bill in every order", value=bits, **about)
    paid = [float(code_length(p, one_pixel_memory(p, order))) - bits for order in every]
    for name, pick in (("least", min), ("most", max)):
        quantity = f"a memory of one pixel costs beyond that, at the {name}"
        yield Result(f"C01.memory.{name}", quantity=quantity, value=pick(paid), **about)
    about["claim"] = ""
    for name, power in (("doubt", 0.0), ("overconfidence", 4.0)):
        price = float(code_length(p, tempered_last(p, range(4), power))) - bits
        quantity = f"price of the last conditional raised to the power {power:.0f}"
        yield Result(f"01.price.{name}", quantity=quantity, value=price, **about)


def hints() -> Iterator[Result]:
    """C02: what independent pixels pay for each z, and by how much the two sides of the identity differ."""
    differences = []
    for name, joint in codes().items():
        _, _, paid = account(joint)
        differences.append(abs(paid - float(conditional_total_correlation(joint)) / BIT))
        key, quantity = f"C02.strokes.{name.replace(' ', '_')}", f"price of independence, z tells: {name}"
        yield Result(key, "C02", quantity, paid, "bits per picture", band=1e-4)
    quantity = "largest |price - conditional total correlation|"
    yield Result("C02.strokes.difference", "C02", quantity, max(differences), "bits", band=1e-12)


def named_worlds() -> dict[str, Float[Tensor, " states"]]:
    """Four tables: independent pixels, two pixels that are always equal, an even number of dots, strokes."""
    even = (all_images((1, 2, 2)).sum(dim=(1, 2, 3)) % 2 == 0).double()
    equal = torch.tensor([0.5, 0.0, 0.0, 0.5], dtype=torch.float64)
    strokes = stroke_world().sum(0)
    return {
        "independent pixels": factorised(strokes),
        "two equal pixels": equal,
        "strokes": strokes,
        "an even number of dots": even / 8,
    }


def random_worlds() -> list[Float[Tensor, " states"]]:
    """100 random tables each of two, three and four pixels."""
    generator = torch.Generator().manual_seed(0)
    return [random_table(pixels, generator) for pixels in (2, 3, 4) for _ in range(100)]


def totals() -> Iterator[Result]:
    """C03: how many numbers it takes, and what the conditionals on everything else sum to when multiplied."""
    yield Result("C03.numbers.full", "C03", "tables of four pixels, each given all others", 4 * 2**3, "numbers")
    yield Result("C03.numbers.chain", "C03", "tables of four pixels, each given those before", 2**4 - 1, "numbers")
    quantity = "weights of this chapter's PixelCNN, 64 pixels and a label"
    weights = sum(weight.numel() for weight in labelled_pixelcnn(0).parameters())
    yield Result("C03.numbers.network", "C03", quantity, weights / 1000, "thousand numbers")
    for name, p in named_worlds().items():
        key, total = f"C03.total.{name.replace(' ', '_')}", float(full_conditionals(p).prod(0).sum())
        yield Result(key, "C03", f"sum over all pictures, {name}", total, "", band=1e-4)
    found = [full_conditionals(p).prod(0).sum() / dual_total_correlation(p).exp() for p in random_worlds()]
    quantity = "smallest sum / exp(dual total correlation) - 1, 300 random worlds"
    yield Result("C03.bound", "C03", quantity, float(min(found)) - 1, "", band=1e-6, seeds=(0,))


def paired(split: Split) -> Float[Tensor, "n numbers"]:
    """Pixels and one-hot label in one row, so that `fit` hands both to the objective."""
    return torch.cat([split.images.flatten(1), one_hot(split.labels)], dim=1)


def one_hot(labels: Tensor) -> Float[Tensor, "n classes"]:
    """z for a label: a one at its place."""
    return F.one_hot(labels, CLASSES).float()


def nll_given_label(model: Autoregressive, pairs: Float[Tensor, "batch numbers"], generator: torch.Generator) -> Terms:
    """nll = -mean_batch log p(x | label), in nats per image; `pairs` as `paired` makes them."""
    x, z = pairs[:, :-CLASSES].unflatten(1, model.image_shape), pairs[:, -CLASSES:]
    nll = -model.log_prob(x, z).mean()
    return {"loss": nll, "nll": nll}


def labelled_pixelcnn(seed: int) -> PixelCNN:
    """The untrained PixelCNN that chapter 01 trains on digits with their labels."""
    torch.manual_seed(seed)
    shape = dict(width=16, depth=4, kernel=3, first_kernel=5)
    return PixelCNN((1, 8, 8), code_size=CLASSES, conditioning="maps", **shape)


@torch.no_grad()
def labelled_coins(split: Split) -> FactorisedDecoder:
    """The factorised model given the label: p(x_i = 1 | z) is how often it was, one more head and tail each.

    Nothing to train: the best coin for a pixel is its expected value.
    """
    model = FactorisedDecoder((1, 8, 8), CLASSES, network="linear")
    linear = model.network[0]
    groups = [split.images[split.labels == label] for label in range(CLASSES)]
    coins = torch.stack([(x.sum(0) + 1) / (len(x) + 2) for x in groups])
    linear.weight.copy_(torch.logit(coins).flatten(1).T)
    linear.bias.zero_()
    return model


def raw_coins(train: Split, test: Split) -> tuple[int, int]:
    """How many coins never saw their pixel change, and how many test digits they would give probability 0."""
    certain, impossible = 0, 0
    for label in range(CLASSES):
        x, new = train.images[train.labels == label], test.images[test.labels == label]
        constant = (x == x[0]).all(0)
        certain += int(constant.sum())
        impossible += int(((new != x[0]) & constant).flatten(1).any(1).sum())
    return certain, impossible


@torch.no_grad()
def per_pixel(model: Autoregressive, split: Split) -> Float[Tensor, "n height width"]:
    """-log p(x_i | x_<i, label) of every pixel of a split, in nats; the sum over an image is -log p(x | label)."""
    numbers = model(split.images, one_hot(split.labels))
    return -model.output.log_prob(numbers, split.images)[:, 0].double()


@torch.no_grad()
def label_unknown(model: Autoregressive, split: Split) -> Float[Tensor, " n"]:
    """-log p(x) of every image when the label is not told: p(x) = sum_z p(x | z) / 10."""
    every = [one_hot(torch.full_like(split.labels, label)) for label in range(CLASSES)]
    given = torch.stack([model.log_prob(split.images, z) for z in every]).double()
    return math.log(CLASSES) - given.logsumexp(0)


def live_digits() -> Iterator[Result]:
    """C02 on digits: coins given the label, a PixelCNN given the label on three seeds, and their drawings."""
    train, _, test = digits(binary=True)
    coins = labelled_coins(train)
    nats = dict(claim="C02", unit="nats per image")
    alone = float(per_pixel(coins, test).sum(dim=(1, 2)).mean())
    yield Result("C02.digits.coins", quantity="test NLL, independent given the label", value=alone, band=0.01, **nats)
    trained = [trained_pixelcnn(seed, train) for seed in SEEDS]
    found = [float(per_pixel(model, test).sum(dim=(1, 2)).mean()) for model in trained]
    gaps = [alone - paid for paid in found]
    about = nats | dict(hardware=hardware("cpu"))
    yield over_seeds("C02.digits.pixelcnn", "test NLL, PixelCNN given the label", found, 0.3, **about)
    yield over_seeds(
        "C02.digits.price", "price of independence given the label, estimated on 250 digits", gaps, 0.3, **about
    )
    unknown = [float(label_unknown(model, test).mean()) for model in trained]
    about["claim"] = ""
    yield over_seeds("01.digits.label_unknown", "test NLL, PixelCNN, label not told", unknown, 0.3, **about)
    yield from _drawings(coins, trained, test)


def trained_pixelcnn(seed: int, train: Split) -> PixelCNN:
    """The PixelCNN of this chapter after its 400 steps on digits with their labels."""
    model = labelled_pixelcnn(seed)
    fit(model, nll_given_label, paired(train), replace(LIVE, seed=seed), progress=False)
    return model


def _drawings(coins: FactorisedDecoder, trained: list[PixelCNN], test: Split) -> Iterator[Result]:
    mean = sharpness(mean_pictures(coins, test), test.images)
    about = dict(claim="C02", unit="x the digits'")
    yield Result("C02.sharpness.mean", quantity="sharpness, coins' mean pictures", value=mean, band=0.01, **about)
    made = {"coins": [drawn(coins, test, seed) for seed in SEEDS]}
    made["pixelcnn"] = [drawn(model, test, seed) for seed, model in zip(SEEDS, trained, strict=True)]
    about["hardware"] = hardware("cpu")
    means = [mean_drawing(model, 400, seed)[test.labels] for seed, model in zip(SEEDS, trained, strict=True)]
    found = [sharpness(images, test.images) for images in means]
    yield over_seeds("C02.sharpness.chain_mean", "sharpness, means of 400 PixelCNN drawings", found, 0.05, **about)
    for name, words in (("coins", "coins' drawings"), ("pixelcnn", "PixelCNN's drawings")):
        found = [sharpness(images, test.images) for images in made[name]]
        yield over_seeds(f"C02.sharpness.{name}", f"sharpness, {words}", found, 0.1, **about)
    about["unit"] = "per picture"
    value = stray_dots(test.images)
    yield Result("C02.stray.digits", quantity="stray dots, test digits", value=value, band=1e-4, **about)
    for name, words, band in (("coins", "coins' drawings", 0.15), ("pixelcnn", "PixelCNN's drawings", 0.1)):
        found = [stray_dots(images) for images in made[name]]
        yield over_seeds(f"C02.stray.{name}", f"stray dots, {words}", found, band, **about)


@torch.no_grad()
def mean_pictures(coins: FactorisedDecoder, split: Split) -> Float[Tensor, "n 1 8 8"]:
    """E[x | label] under the factorised model, for the label of every image."""
    return torch.sigmoid(coins(split.images, one_hot(split.labels)))


def drawn(model: Autoregressive, split: Split, seed: int) -> Float[Tensor, "n 1 8 8"]:
    """One drawing for the label of every image."""
    return model.sample(len(split), torch.Generator().manual_seed(seed), one_hot(split.labels))


def mean_drawing(model: Autoregressive, count: int, seed: int) -> Float[Tensor, "classes 1 8 8"]:
    """The mean of `count` drawings for each label: E[x | label] under the model, to within sqrt(1 / (4 count))."""
    labels = torch.arange(CLASSES).repeat_interleave(count)
    made = model.sample(len(labels), torch.Generator().manual_seed(seed), one_hot(labels))
    return made.unflatten(0, (CLASSES, count)).mean(1)


def pseudo_digits() -> Iterator[Result]:
    """C03 on digits: 64 logistic regressions on everything else undercut every model."""
    train, _, test = digits(binary=True)
    model = predict_from_the_rest(train.images, PENALTY)
    value = float(pseudo_nll(model, test.images).mean().detach())
    quantity = "what 64 logistic regressions on all other pixels call their NLL"
    yield Result("C03.digits.pseudo", "C03", quantity, value, "nats per image", band=0.1, hardware=hardware("cpu"))


EXPERIMENTS = {"C01": orders, "C02": hints, "C03": totals, "01.digits": live_digits, "01.pseudo": pseudo_digits}
