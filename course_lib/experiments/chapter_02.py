"""Chapter 02: what looks backwards, how far it sees, what carries a bit, what waits for what, and what digits cost."""

import dataclasses
import itertools
import math
import statistics
import time
from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float
from torch import Tensor, nn

from course_lib.data import binarise, mnist
from course_lib.experiments.seeds import SEEDS, over_seeds
from course_lib.measurement.ledger import Claim, Result, result
from course_lib.measurement.receptive_field import (
    field_by_gradient,
    field_by_perturbation,
    is_past,
)
from course_lib.models.autoregressive import Autoregressive
from course_lib.models.gated import GatedPixelCNN
from course_lib.models.masks import MaskedConv2d
from course_lib.models.pixelcnn import PixelCNN
from course_lib.models.pixelrnn import DiagonalBiLSTM, RowLSTM
from course_lib.objectives.likelihood import negative_log_likelihood
from course_lib.training.fit import Plan, fit
from course_lib.zoo import cards
from course_lib.zoo.recipes import binary_digits
from course_lib.zoo.train import hardware

CLAIMS = (
    Claim(
        "C04",
        "An RNN struggles to carry context over long distances, and a PixelCNN does not.",
        "True of the LSTMs, and no less of a PixelCNN of 3 x 3 filters: untrained, from corner to corner, the gradient "
        "of each fades by a nearly constant factor per step, the plain PixelCNN's fastest. Through one wide filter, a "
        "single step, it hardly fades, and straight up, where its cell state goes, a Row LSTM keeps more than any "
        "PixelCNN of 3 x 3 filters. On digits training lifts all, and the LSTMs' end above the PixelCNNs'.",
    ),
    Claim(
        "C05",
        "An RNN cannot be trained in parallel over pixels, since each waits for the state of all before it.",
        "Imprecise: the pixels need not come one by one. In an n x n picture a layer of Row LSTM takes n steps that "
        "wait for one another, of Diagonal BiLSTM 2n, each for many pixels at once. A PixelCNN takes as many as it has "
        "layers, whatever n is.",
    ),
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
    Claim(
        "C08",
        "A PixelCNN trains in parallel because different patches of a picture can go to different workers.",
        "Imprecise: patches are exact where each has a halo as wide as the field, a Row LSTM's too, whose field "
        "reaches the top; nearness says how wide. But nothing needs cutting: all inputs are known in training, so one "
        "pass gives every conditional, and in a PixelCNN no pixel of it waits for a state. Drawing stays sequential.",
    ),
)
WINDOW, CENTRE = 21, (0, 10, 10)
LIVE = Plan(steps=150, batch_size=64, learning_rate=8e-3, warm_up=20)
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


def measured_field(kernel: int, layers: int) -> Bool[Tensor, "21 21"]:
    """The pixels of a 21 x 21 window that move the centre's logit in a plain stack."""
    torch.manual_seed(0)
    return field_of(PixelCNN((1, WINDOW, WINDOW), width=8, depth=layers - 1, kernel=kernel))


def field_of(model: Autoregressive) -> Bool[Tensor, "21 21"]:
    """The pixels of a 21 x 21 window that move the centre's logit: by gradient, float64, eight random images."""
    x = torch.randint(0, 2, (8, 1, WINDOW, WINDOW), generator=torch.Generator().manual_seed(0)).double()
    return field_by_gradient(model.double(), x, CENTRE)[0] > 0


class WithoutBlank(DiagonalBiLSTM):
    """A Diagonal BiLSTM whose picture has no blank column on its right."""

    blank = 0


FIELDS: dict[str, Callable[[], Autoregressive]] = {
    "gated": lambda: GatedPixelCNN((1, WINDOW, WINDOW), width=8, depth=9),
    "row": lambda: RowLSTM((1, WINDOW, WINDOW), width=8, depth=1, first_kernel=3),
    "diagonal": lambda: DiagonalBiLSTM((1, WINDOW, WINDOW), width=8, depth=1, first_kernel=3),
    "no_blank": lambda: WithoutBlank((1, WINDOW, WINDOW), width=8, depth=1, first_kernel=3),
}
FIELD_TITLES = {
    "gated": "two stacks of 3 x 3 filters, 10 layers",
    "row": "one layer of Row LSTM",
    "diagonal": "one layer of Diagonal BiLSTM",
    "no_blank": "one layer of Diagonal BiLSTM without the blank column",
}


def fields() -> Iterator[Result]:
    """C07: how many of the 220 past pixels reach the centre, layer by layer, and when the stack is deep."""
    about = dict(claim="C07", unit="of 220", hardware="any: a count, float64", seeds=(0,))
    for layers in (1, 2, 4, 8):
        found = float(measured_field(3, layers).sum())
        yield Result(f"C07.kernel3.layers{layers:02d}", quantity=f"3 x 3, {layers} layer(s)", value=found, **about)
    for kernel in (3, 5, 7):
        found = float(measured_field(kernel, 20).sum())
        yield Result(f"C07.kernel{kernel}.layers20", quantity=f"{kernel} x {kernel}, 20 layers", value=found, **about)
    for name, model in FIELDS.items():
        words, claim = FIELD_TITLES[name], "C07" if name == "gated" else ""
        found = float(field_of(model()).sum())
        yield Result(
            f"02.field.{name}", quantity=f"past pixels seen, {words}", value=found, **about | dict(claim=claim)
        )


LIVE_MODELS: dict[str, Callable[..., Autoregressive]] = {
    "pixelcnn": lambda: PixelCNN((1, 8, 8), width=16, depth=4, first_kernel=7),
    "gated": lambda: GatedPixelCNN((1, 8, 8), width=12, depth=4, first_kernel=7),
    "row": lambda: RowLSTM((1, 8, 8), width=16, depth=1, first_kernel=7),
    "diagonal": lambda: DiagonalBiLSTM((1, 8, 8), width=16, depth=1, first_kernel=7),
}
TITLES = {
    "pixelcnn": "PixelCNN",
    "gated": "Gated PixelCNN",
    "row": "Row LSTM",
    "diagonal": "Diagonal BiLSTM",
    "small": "PixelCNN, 3 x 3 filters",
    "wide": "PixelCNN, one wide filter",
}


def live_model(seed: int, name: str = "pixelcnn") -> Autoregressive:
    """One of the untrained models that chapter 02 trains on digits; each sees the first pixel from the last."""
    torch.manual_seed(seed)
    return LIVE_MODELS[name]()


def open_the_masks(model: PixelCNN) -> PixelCNN:
    """The same network with every tap allowed: it can look at the pixel it is asked to predict."""
    for layer in model.modules():
        if isinstance(layer, MaskedConv2d):
            layer.mask.fill_(1)
    return model


def live_digits() -> Iterator[Result]:
    """Chapter 02's live training, on three seeds: four masked models, one unmasked, and the pixels on their own."""
    train, test = binary_digits("train"), binary_digits("test")
    about = dict(unit="nats per image", hardware=hardware("cpu"))
    peeking = [_fitted(open_the_masks(live_model(s)), PEEK, s, train) for s in SEEDS]
    found = [digits_nll(model, test) for model in peeking]
    yield over_seeds("02.digits.peeking", "what the unmasked network calls its NLL", found, 0.2, **about)
    alone = independent_nll(train, test)
    yield Result("02.digits.independent", "", "test NLL of independent pixels", alone, "nats per image", band=0.01)
    for name in LIVE_MODELS:
        models = [_fitted(live_model(s, name), LIVE, s, train) for s in SEEDS]
        key = "02.digits.nll" if name == "pixelcnn" else f"02.digits.{name}"
        quantity = f"test NLL of the {TITLES[name]} trained in this chapter"
        yield over_seeds(key, quantity, [digits_nll(model, test) for model in models], 0.6, **about)
        yield from _first_to_last(name, models, test)
        if name == "pixelcnn":
            yield from _drawn_at_once(models)


def _fitted(model: Autoregressive, plan: Plan, seed: int, train: Tensor) -> Autoregressive:
    fit(model, negative_log_likelihood, train, dataclasses.replace(plan, seed=seed), progress=False)
    return model


@torch.no_grad()
def digits_nll(model: Autoregressive, test: Float[Tensor, "n 1 8 8"]) -> float:
    """Nats per image, the mean over these digits."""
    return float(-model.log_prob(test).mean())


def _first_to_last(name: str, models: list[Autoregressive], test: Tensor) -> Iterator[Result]:
    about = dict(unit="powers of ten", hardware=hardware("cpu"))
    for when, these in (("before", [live_model(s, name) for s in SEEDS]), ("after", models)):
        quantity = f"gradient from the last pixel to the first, 8 x 8 digits, {when} training, {TITLES[name]}"
        found = [last_to_first(model.double(), test[:50].double()) for model in these]
        claim = "C04" if when == "after" else ""
        yield over_seeds(f"C04.digits.{name}.{when}", quantity, found, 1.0, claim=claim, **about)


def _drawn_at_once(models: list[Autoregressive]) -> Iterator[Result]:
    about = dict(claim="C08", unit="nats per image", hardware=hardware("cpu"))
    ways = [
        ("whole", "pixel by pixel", draw_whole, 2.0),
        ("quarters", "as four quarters at once", draw_in_quarters, 5.0),
    ]
    for way, words, draw, band in ways:
        found = [digits_nll(model.float(), draw(model, 250, seed)) for seed, model in zip(SEEDS, models, strict=True)]
        quantity = f"what a trained PixelCNN's own drawings cost it, drawn {words}"
        yield over_seeds(f"C08.{way}", quantity, found, band, **about)


def draw_whole(model: Autoregressive, count: int, seed: int) -> Float[Tensor, "count 1 height width"]:
    """Drawings, each pixel after all that come before."""
    return model.sample(count, torch.Generator().manual_seed(seed))


@torch.no_grad()
def draw_in_quarters(model: Autoregressive, count: int, seed: int) -> Float[Tensor, "count 1 height width"]:
    """Drawings whose four quarters are drawn at the same time, each as if it were a picture of its own."""
    generator, (_, height, width) = torch.Generator().manual_seed(seed), model.image_shape
    quarters = torch.zeros(4 * count, 1, height // 2, width // 2)
    for row, column in itertools.product(range(height // 2), range(width // 2)):
        p = torch.sigmoid(model(quarters)[:, 0, row, column])
        quarters[:, 0, row, column] = torch.bernoulli(p, generator=generator)
    upper_left, upper_right, lower_left, lower_right = quarters.chunk(4)
    upper, lower = torch.cat([upper_left, upper_right], 3), torch.cat([lower_left, lower_right], 3)
    return torch.cat([upper, lower], 2)


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


def carriers(side: int) -> dict[str, Callable[[], Autoregressive]]:
    """Models whose last logit sees the first pixel of a side x side picture: over many steps, or over one."""
    shape = (1, side, side)
    return {
        "row": lambda: RowLSTM(shape, width=8, depth=1, first_kernel=3),
        "diagonal": lambda: DiagonalBiLSTM(shape, width=8, depth=1, first_kernel=3),
        "small": lambda: PixelCNN(shape, width=8, depth=side - 2, kernel=3),
        "gated": lambda: GatedPixelCNN(shape, width=8, depth=side - 2, kernel=3),
        "wide": lambda: PixelCNN(shape, width=8, depth=1, kernel=3, first_kernel=2 * side - 1),
    }


def carrier(name: str, side: int, seed: int) -> Autoregressive:
    """One of them, untrained."""
    torch.manual_seed(seed)
    return carriers(side)[name]()


def coins(count: int, side: int, generator: torch.Generator) -> Float[Tensor, "count 1 side side"]:
    """Pictures of fair coins; the last pixel repeats the first."""
    x = torch.randint(0, 2, (count, 1, side, side), generator=generator).float()
    x[:, 0, -1, -1] = x[:, 0, 0, 0]
    return x


def last_to_first(model: Autoregressive, x: Float[Tensor, "n 1 side side"]) -> float:
    """log10 of the mean of |d (last logit) / d (first pixel)| over these pictures."""
    last = x.shape[-1] - 1
    return math.log10(float(field_by_gradient(model, x, (0, last, last))[0, 0, 0]) / len(x))


def straight_up(model: Autoregressive, x: Float[Tensor, "n 1 side side"]) -> float:
    """The same from the middle of the last row to the pixel above it in the first row."""
    last, middle = x.shape[-1] - 1, x.shape[-1] // 2
    return math.log10(float(field_by_gradient(model, x, (0, last, middle))[0, 0, middle]) / len(x))


CARRIED_OVER, REMEMBERED_OVER = (4, 6, 8, 16, 28), (4, 6, 8)
BIT_STEPS = 300


def gradients() -> Iterator[Result]:
    """C04: the gradient from the last pixel to the first, and straight up, as the picture grows, before any training.

    The claim's table holds the largest pictures alone.
    """
    about = dict(unit="powers of ten", hardware="any: float64")
    for name, side in itertools.product(carriers(4), CARRIED_OVER):
        x = coins(8, side, torch.Generator().manual_seed(0)).double()
        models = [carrier(name, side, seed).double() for seed in SEEDS]
        claim = "C04" if side == max(CARRIED_OVER) else ""
        found = [last_to_first(model, x) for model in models]
        quantity = f"gradient from the last pixel to the first, untrained, {side} x {side}, {TITLES[name]}"
        yield over_seeds(f"C04.start.{name}.{side:02d}", quantity, found, 0.01, claim=claim, **about)
        if side in (min(CARRIED_OVER), max(CARRIED_OVER)):
            found = [straight_up(model, x) for model in models]
            quantity = (
                f"gradient straight up from the last row to the first, untrained, {side} x {side}, {TITLES[name]}"
            )
            yield over_seeds(f"C04.up.{name}.{side:02d}", quantity, found, 0.01, claim=claim, **about)


def lost_per_row(way: str, name: str) -> float:
    """Powers of ten that the gradient loses for each row more, by the ledger; `way` is "start" or "up"."""
    near, far = min(CARRIED_OVER), max(CARRIED_OVER)
    values = [result(f"C04.{way}.{name}.{side:02d}").value for side in (near, far)]
    return (values[0] - values[1]) / (far - near)


def remember(model: Autoregressive, seed: int) -> float:
    """Trains a model to repeat the first pixel as the last, amid coins; returns the bits by which it falls short.

    1 is to know nothing of the first pixel, 0 to know it; the other pixels do not enter the loss.
    """
    side, generator = model.image_shape[1], torch.Generator().manual_seed(seed)
    optimiser = torch.optim.Adam(model.parameters(), lr=8e-3)
    for _ in range(BIT_STEPS):
        optimiser.zero_grad()
        _missing(model, coins(32, side, generator)).backward()
        nn.utils.clip_grad_norm_(model.parameters(), 10.0)
        optimiser.step()
    with torch.no_grad():
        return float(_missing(model, coins(1000, side, generator))) / math.log(2)


def _missing(model: Autoregressive, x: Tensor) -> Float[Tensor, ""]:
    return F.binary_cross_entropy_with_logits(model(x)[:, 0, -1, -1], x[:, 0, -1, -1])


def bits() -> Iterator[Result]:
    """C04: whether a bit arrives, from the first pixel to the last, after a short training on that alone."""
    about = dict(unit="bits", hardware=hardware("cpu"))
    for side, name in itertools.product(REMEMBERED_OVER, carriers(4)):
        found = [remember(carrier(name, side, seed), seed) for seed in SEEDS]
        quantity = f"bits of the first pixel missing at the last, {side} x {side}, {TITLES[name]}"
        claim = "C04" if side == max(REMEMBERED_OVER) else ""
        yield over_seeds(f"C04.bit.{name}.{side:02d}", quantity, found, 0.2, claim=claim, **about)


SIDES = (8, 16, 32, 64)
TIMED: dict[str, Callable[[int], Autoregressive]] = {
    "row": lambda side: RowLSTM((1, side, side), width=8, depth=1),
    "diagonal": lambda side: DiagonalBiLSTM((1, side, side), width=8, depth=1),
    "pixelcnn": lambda side: PixelCNN((1, side, side), width=8, depth=4, first_kernel=7),
}


def waits(model: Autoregressive) -> int:
    """How many computations wait for one another in one pass: LSTM steps, or in a PixelCNN the layers."""
    if hasattr(model, "sequential_steps"):
        return model.sequential_steps
    return sum(isinstance(layer, nn.Conv2d) for layer in model.modules())


def steps() -> Iterator[Result]:
    """C05: how many computations wait for one another when a picture's likelihood is computed."""
    about = dict(unit="", hardware="any: a count")
    for name, side in itertools.product(TIMED, SIDES):
        what = "layers" if name == "pixelcnn" else "LSTM steps"
        quantity = f"{what} that wait for one another, {side} x {side}, {TITLES[name]}"
        key, found = f"C05.steps.{name}.{side:02d}", waits(TIMED[name](side))
        yield Result(key, quantity=quantity, value=found, claim=_at_the_ends(side), **about)


def seconds() -> Iterator[Result]:
    """C05: the time of a gradient step on one picture, the least of 30, all models and sides in turn."""
    about = dict(unit="ms", hardware=hardware("cpu"))
    work = {pair: _gradient_step(*pair) for pair in itertools.product(TIMED, SIDES)}
    times = in_turn(work, rounds=30)
    for (name, side), found in times.items():
        quantity = f"one thread's time for a gradient step, one picture of {side} x {side}, {TITLES[name]}"
        key, claim = f"C05.ms.{name}.{side:02d}", _at_the_ends(side)
        yield Result(key, quantity=quantity, value=1000 * min(found), claim=claim, **about)


def _at_the_ends(side: int) -> str:
    """The claim that a row is shown with: the table holds the smallest pictures and the largest."""
    return "C05" if side in (SIDES[0], SIDES[-1]) else ""


def _gradient_step(name: str, side: int) -> Callable[[], None]:
    torch.manual_seed(0)
    model, x = TIMED[name](side), coins(1, side, torch.Generator().manual_seed(0))
    return lambda: (-model.log_prob(x).mean()).backward()


def in_turn(work: dict, rounds: int) -> dict:
    """Seconds of each call: all once to warm up, then all in turn, so that a busy machine slows them alike.

    Processor time of one thread: what else runs on the machine counts little, and on an idle core it is the time taken.
    """
    threads, found = torch.get_num_threads(), {name: [] for name in work}
    torch.set_num_threads(1)
    for round_, (name, call) in itertools.product(range(rounds + 1), work.items()):
        started = time.process_time()
        call()
        if round_:
            found[name].append(time.process_time() - started)
    torch.set_num_threads(threads)
    return found


@torch.no_grad()
def patchwise(
    model: Autoregressive, x: Float[Tensor, "n 1 height width"], size: int, halo: int
) -> tuple[Float[Tensor, "n 1 height width"], float]:
    """The logits by patches of size x size, and how many pixels were looked at for each pixel answered.

    Each patch is a picture of its own: the patch, `halo` rows above it, and `halo` columns to both sides.
    """
    logits, looked_at, (height, width) = torch.empty_like(x), 0, x.shape[2:]
    for row, column in itertools.product(range(0, height, size), range(0, width, size)):
        top, left = max(0, row - halo), max(0, column - halo)
        part = x[:, :, top : row + size, left : column + size + halo]
        found = model(part)[:, :, row - top :, column - left : column - left + size]
        logits[:, :, row : row + size, column : column + size] = found
        looked_at += part[0].numel()
    return logits, looked_at / (height * width)


@torch.no_grad()
def one_at_a_time(model: Autoregressive, x: Float[Tensor, "1 1 height width"]) -> Float[Tensor, "1 1 height width"]:
    """The logits by one pass for each pixel, on a picture from which that pixel and the future have been wiped."""
    order = torch.arange(x.numel())
    known = torch.where(order < order[:, None], x.flatten(), torch.zeros(())).view(-1, *x.shape[1:])
    return torch.stack([model(picture[None]).flatten()[i] for i, picture in enumerate(known)]).view(x.shape)


PATCH, HALO = 8, 4
PATCHED: dict[str, Callable[[], Autoregressive]] = {
    "pixelcnn": lambda: PixelCNN((1, 16, 16), width=8, depth=3),
    "far": lambda: PixelCNN((1, 16, 16), width=8, depth=3, first_kernel=11),
    "row": lambda: RowLSTM((1, 16, 16), width=8, depth=1),
}
PATCHED_TITLES = {
    "pixelcnn": "PixelCNN, field of 4",
    "far": "PixelCNN, field of 8",
    "row": "Row LSTM, field to the top",
}


def patched_model(name: str, seed: int) -> Autoregressive:
    """The models that claim C08 cuts up, 16 x 16, float64; the PixelCNNs' fields are HALO and PATCH wide."""
    torch.manual_seed(seed)
    return PATCHED[name]().double()


PATCHWISE = {
    "bare": ("pixelcnn", 0),
    "halo": ("pixelcnn", HALO),
    "far": ("far", HALO),
    "far.full": ("far", PATCH),
    "row": ("row", HALO),
    "row.full": ("row", PATCH),
}


def patches() -> Iterator[Result]:
    """C08: all conditionals from one pass, and by patches; a halo of PATCH reaches the edges of the 16 x 16 picture."""
    about = dict(claim="C08", unit="", hardware="any: float64")
    x = coins(1, 16, torch.Generator().manual_seed(0)).double()
    found = off_the_whole("pixelcnn", x, lambda model: one_at_a_time(model, x))
    quantity = "largest difference of a logit: one pass, and a pass for each pixel with its future wiped, PixelCNN"
    yield over_seeds("C08.one_pass", quantity, found, 1e-9, **about)
    for key, (name, halo) in PATCHWISE.items():
        found = off_by_patches(name, x, halo)
        how = f"a halo of {halo}" if halo else "no halo"
        quantity = f"largest difference of a logit: whole, and by patches with {how}, {PATCHED_TITLES[name]}"
        yield over_seeds(f"C08.{key}", quantity, found, 1e-4 if max(found) else 1e-9, **about)
    for key, halo in (("cost", HALO), ("cost.full", PATCH)):
        cost = patchwise(patched_model("pixelcnn", 0), x, PATCH, halo)[1]
        quantity = f"pixels looked at for each pixel answered, patches of {PATCH} x {PATCH} with a halo of {halo}"
        yield Result(f"C08.{key}", quantity=quantity, value=cost, **about)


def off_by_patches(name: str, x: Float[Tensor, "n 1 16 16"], halo: int) -> list[float]:
    """For each of SEEDS the largest difference of a logit between one pass and patches with this halo."""
    return off_the_whole(name, x, lambda model: patchwise(model, x, PATCH, halo)[0])


@torch.no_grad()
def off_the_whole(name: str, x: Float[Tensor, "n 1 16 16"], logits: Callable[[Autoregressive], Tensor]) -> list[float]:
    """For each of SEEDS the largest difference between these logits and one pass over the picture, to nine digits."""
    models = [patched_model(name, seed) for seed in SEEDS]
    return [round(float((logits(model) - model(x)).abs().max()), 9) for model in models]


def race() -> Iterator[Result]:
    """Cached against naive sampling: the same pictures, and how many times as fast."""
    differ = sum(_differing(live_model(seed, name), seed) for name, seed in itertools.product(LIVE_MODELS, SEEDS))
    quantity = "pixels that differ between cached and naive drawings, four models, 16 drawings each"
    yield Result("02.cached.differ", "", quantity, differ, "of 12288", seeds=SEEDS, hardware=hardware("cpu"))
    torch.manual_seed(0)
    model, x = GatedPixelCNN((1, 28, 28), width=16, depth=6).eval(), torch.zeros(16, 1, 28, 28)
    with torch.inference_mode():
        found = in_turn({"pass": lambda: model(x), "cached": lambda: draw_whole(model, 16, 0)}, rounds=5)
    times = [784 * one / other for one, other in zip(found["pass"], found["cached"], strict=True)]
    quantity = "naive time / cached time, 16 pictures of 28 x 28, Gated PixelCNN of 7 layers, naive as 784 passes"
    yield Result("02.cached.speed", "", quantity, statistics.median(times), "times", hardware=hardware("cpu"))


def _differing(model: Autoregressive, seed: int) -> int:
    cached, naive = (model.sample(16, torch.Generator().manual_seed(seed), cached=way) for way in (True, False))
    return int((cached != naive).sum())


EXPERIMENTS = {
    "C04": gradients,
    "C04.bit": bits,
    "C05": steps,
    "C05.ms": seconds,
    "C06": causality,
    "C07": fields,
    "C08": patches,
    "02.digits": live_digits,
    "02.race": race,
    "02.mnist": mnist_pair,
}
