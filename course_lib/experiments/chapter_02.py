"""Chapter 02: what a masked stack sees, what digits cost it, and the pair trained on MNIST."""

import dataclasses
import itertools
from collections.abc import Iterator

import torch
from torch import Tensor

from course_lib.data import binarise, mnist
from course_lib.experiments.seeds import SEEDS, over_seeds
from course_lib.measurement.ledger import Claim, Result
from course_lib.measurement.receptive_field import (
    field_by_gradient,
    field_by_perturbation,
    is_past,
)
from course_lib.models.masks import MaskedConv2d
from course_lib.models.pixelcnn import PixelCNN
from course_lib.objectives.likelihood import negative_log_likelihood
from course_lib.training.fit import Plan, fit
from course_lib.zoo import cards
from course_lib.zoo.recipes import binary_digits
from course_lib.zoo.train import hardware

CLAIMS = (
    Claim(
        "C06",
        "A masked convolution sees only the pixels that come before, in raster order.",
        "True, exactly: the present and the future change no logit, not in the last bit.",
    ),
    Claim(
        "C07",
        "More layers widen the receptive field until it takes in the global structure.",
        "Half true: the field widens with every layer, but a plain stack keeps a blind spot that no depth removes.",
    ),
)
WINDOW, CENTRE = 21, (0, 10, 10)
LIVE = Plan(steps=400, batch_size=64, learning_rate=4e-3, warm_up=20)
PEEK = Plan(steps=100, batch_size=64, learning_rate=4e-3, warm_up=20)


def causality() -> Iterator[Result]:
    """C06: flip every pixel of random images, in front of random networks, and look at every logit."""
    found = [_leaks_of(seed) for seed in range(5)]
    about = dict(claim="C06", unit="", seeds=tuple(range(5)), hardware="any: exact zeros, float64")
    for index, way in enumerate(("change", "gradient")):
        worst = max(leaks[index] for leaks in found)
        yield Result(f"C06.{way}", quantity=f"largest {way} from the present or future", value=worst, **about)


def _leaks_of(seed: int) -> tuple[float, float]:
    shape = (1, 6, 6)
    torch.manual_seed(seed)
    model = PixelCNN(shape, width=8, depth=4, kernel=5).double()
    x = torch.randint(0, 2, (1, *shape), generator=torch.Generator().manual_seed(seed)).double()
    changes, gradients = [], []
    for place in itertools.product(*map(range, shape)):
        hidden = ~is_past(shape, place)
        changes.append(field_by_perturbation(model, x, place)[hidden].max())
        gradients.append(field_by_gradient(model, x, place)[hidden].max())
    return float(torch.stack(changes).max()), float(torch.stack(gradients).max())


def measured_field(kernel: int, layers: int) -> Tensor:
    """The pixels of a 21 x 21 window that move the centre's logit: by gradient, float64, eight random images."""
    torch.manual_seed(0)
    model = PixelCNN((1, WINDOW, WINDOW), width=8, depth=layers - 1, kernel=kernel).double()
    x = torch.randint(0, 2, (8, 1, WINDOW, WINDOW), generator=torch.Generator().manual_seed(0)).double()
    return field_by_gradient(model, x, CENTRE)[0] > 0


def fields() -> Iterator[Result]:
    """C07: how many of the 220 past pixels reach the centre, layer by layer, and when the stack is deep."""
    about = dict(claim="C07", unit="of 220", hardware="any: a count, float64", seeds=(0,))
    for layers in (1, 2, 4, 8):
        found = float(measured_field(3, layers).sum())
        yield Result(f"C07.kernel3.layers{layers:02d}", quantity=f"3 x 3, {layers} layer(s)", value=found, **about)
    for kernel in (3, 5, 7):
        found = float(measured_field(kernel, 20).sum())
        yield Result(f"C07.kernel{kernel}.layers20", quantity=f"{kernel} x {kernel}, 20 layers", value=found, **about)


def live_model(seed: int) -> PixelCNN:
    """The untrained PixelCNN that chapter 02 trains on digits."""
    torch.manual_seed(seed)
    return PixelCNN((1, 8, 8), width=16, depth=4, kernel=3, first_kernel=5)


def open_the_masks(model: PixelCNN) -> PixelCNN:
    """The same network with every tap allowed: it can look at the pixel it is asked to predict."""
    for layer in model.modules():
        if isinstance(layer, MaskedConv2d):
            layer.mask.fill_(1)
    return model


def live_digits() -> Iterator[Result]:
    """Chapter 02's live training, on three seeds: masked, unmasked, and the pixels on their own."""
    train, test = binary_digits("train"), binary_digits("test")
    about = dict(unit="nats per image", hardware=hardware("cpu"))
    masked = [_test_nll(live_model(s), LIVE, s, train, test) for s in SEEDS]
    yield over_seeds("02.digits.nll", "test NLL of the PixelCNN trained in this chapter", masked, 0.6, **about)
    peeking = [_test_nll(open_the_masks(live_model(s)), PEEK, s, train, test) for s in SEEDS]
    yield over_seeds("02.digits.peeking", "what the unmasked network calls its NLL", peeking, 0.2, **about)
    alone = independent_nll(train, test)
    yield Result("02.digits.independent", "", "test NLL of independent pixels", alone, "nats per image", band=0.01)


def _test_nll(model: PixelCNN, plan: Plan, seed: int, train: Tensor, test: Tensor) -> float:
    fit(model, negative_log_likelihood, train, dataclasses.replace(plan, seed=seed), progress=False)
    with torch.no_grad():
        return float(-model.log_prob(test).mean())


def independent_nll(train: Tensor, test: Tensor) -> float:
    """-log p(x) when each pixel is a coin of its own: training frequencies, one more head and tail each."""
    p = ((train.sum(0) + 1) / (len(train) + 2)).double()
    return float(-(test * p.log() + (1 - test) * (1 - p).log()).sum(dim=(1, 2, 3)).mean())


def mnist_pair() -> Iterator[Result]:
    """Chapter 02's two models on MNIST: the NLL that their cards hold, and the ink along the lower edge."""
    for name in ("pixelcnn_mnist_narrow", "pixelcnn_mnist"):
        card = cards.card(name)
        nll = card["measurements"]["nll_test"]["nats"]
        about = dict(claim="C07", hardware=card["hardware"], seeds=(card["plan"]["seed"],))
        width = "narrow" if name.endswith("narrow") else "wide"
        yield Result(
            f"02.{name}.nll", quantity=f"MNIST test NLL, {width} field", value=nll, unit="nats per image", **about
        )
        inked = lower_edge_inked(cards.samples(name))
        quantity = f"share of 64 drawings with ink in the lowest row, {width} field"
        yield Result(f"02.{name}.lower_edge", quantity=quantity, value=inked, unit="", **about)
    digits = binarise(mnist().test.images, torch.Generator().manual_seed(0))
    quantity = "share of MNIST test digits with ink in the lowest row"
    yield Result("02.mnist.lower_edge", "C07", quantity, lower_edge_inked(digits), "", seeds=(0,))


def lower_edge_inked(pictures: Tensor) -> float:
    """The share of pictures [n, 1, height, width] with ink in the lowest row."""
    return round(float(pictures[:, :, -1:].amax(dim=(1, 2, 3)).mean()), 4)


EXPERIMENTS = {"C06": causality, "C07": fields, "02.digits": live_digits, "02.mnist": mnist_pair}
