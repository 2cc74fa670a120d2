"""Chapter 07's headline on static MNIST: what the zoo's cards say, over seeds, and what was measured afterwards."""

from collections.abc import Callable, Iterator

import torch

from course_lib.experiments.seeds import SEEDS, over_seeds
from course_lib.measurement.ais import ais
from course_lib.measurement.annealing import Annealing
from course_lib.measurement.ledger import Result
from course_lib.measurement.probe import probe_accuracy
from course_lib.models.vae import VAE
from course_lib.zoo import cards
from course_lib.zoo.recipes.headline import CURVE, DEPTHS, OBJECTIVES, name_of
from course_lib.zoo.recipes.static_mnist import NLL_IMAGES, halves, shuffled_test
from course_lib.zoo.train import hardware

NATS, KERNEL = "nats per image", "kernel units"
QUANTITIES: dict[str, tuple[str, str, Callable[[dict], float]]] = {
    "information": ("I(x;z), lower bound, N = 10,000", NATS, lambda m: m["information_test"]["lower"]),
    "information_upper": ("I(x;z), upper bound, N = 10,000", NATS, lambda m: m["information_test"]["upper"]),
    "rate": ("rate", NATS, lambda m: m["rate_test"]["value"]),
    "distortion": ("distortion", NATS, lambda m: m["distortion_test"]["value"]),
    "nll": ("NLL, IWAE through its own q, K = 500, 100 images", NATS, lambda m: m["nll_first_100"]["nats"]),
    "probe": ("probe accuracy", "", lambda m: m["probe_test"]["accuracy"]),
    "swap": ("swapped-code gap, 1,000 images", NATS, lambda m: m["swapped_code_gap_first_1000"]["value"]),
    "gap": ("rate - I(x;z), at most", NATS, lambda m: m["rate_test"]["value"] - m["information_test"]["lower"]),
    "mean": ("largest |mean| of q(z) over dimensions", "", lambda m: max(map(abs, m["aggregate_test"]["mean"]))),
    "variance_low": ("smallest variance of q(z)", "", lambda m: min(m["aggregate_test"]["variance"])),
    "variance_high": ("largest variance of q(z)", "", lambda m: max(m["aggregate_test"]["variance"])),
    "log_det": ("log det Cov q(z)", NATS, lambda m: m["aggregate_test"]["log_det_cov"]),
    "mmd": ("MMD^2 of q(z), 1,000 codes", KERNEL, lambda m: m["aggregate_test"]["mmd_squared"]),
    "null": ("sd of MMD^2 if q(z) is p(z)", KERNEL, lambda m: m["aggregate_test"]["null"]["standard_deviation"]),
}
ON_CURVE = ("information", "rate", "nll", "probe", "variance_low", "variance_high", "mmd")
TOLD = ("information", "nll", "probe", "mmd")
SHORT = Annealing(distributions=20, chains=1, leapfrogs=5)


def from_cards() -> Iterator[Result]:
    """Every quantity of QUANTITIES for the five objectives, mean and spread over three seeds."""
    for objective in OBJECTIVES:
        found = [cards.card(name_of(objective, seed)) for seed in SEEDS]
        for name, (quantity, unit, read) in QUANTITIES.items():
            values = [read(card["measurements"]) for card in found]
            label, claim = f"{quantity}: {objective}", "C23" if name in TOLD else ""
            about = dict(claim=claim, unit=unit, hardware=found[0]["hardware"])
            yield over_seeds(f"C23.{objective}.{name}", label, values, band=0.0, **about)


def drawn_probe() -> Iterator[Result]:
    """The probe again, on one code drawn from q(z|x) for each image in place of its mean."""
    learn, test = halves(shuffled_test())
    for objective in OBJECTIVES:
        vaes = [cards.load(name_of(objective, seed)) for seed in SEEDS]
        values = [probe_accuracy(vae, learn, test, torch.Generator().manual_seed(0)).accuracy for vae in vaes]
        about = dict(claim="C23", hardware=hardware("cpu"), unit="")
        label = f"probe accuracy, codes drawn from q(z|x): {objective}"
        yield over_seeds(f"C23.{objective}.probe_drawn", label, values, band=0.0, **about)


def annealed(objective: str) -> Callable[[], Iterator[Result]]:
    """An experiment: -log p(x) by AIS from the encoder's q, on the 100 test images that the cards' IWAE bound takes."""

    def measured() -> Iterator[Result]:
        values = [by_ais(cards.load(name_of(objective, seed)), seed) for seed in SEEDS]
        label = f"NLL, AIS {SHORT}, {NLL_IMAGES} images: {objective}"
        about = dict(claim="C23", unit=NATS, hardware=hardware("cpu"))
        yield over_seeds(f"C23.{objective}.ais", label, values, band=0.0, **about)

    return measured


def by_ais(vae: VAE, seed: int) -> float:
    """-log p(x) by AIS from the encoder's q."""
    return ais(vae, shuffled_test().images[:NLL_IMAGES], torch.Generator().manual_seed(seed), SHORT).nll("").nats


def depth_curve() -> Iterator[Result]:
    """The ELBO and InfoVAE with MMD at four depths of the decoder, from the cards: mean and spread over three seeds.

    A layer more sees a pixel further: fields of 4, 5, 7 and 11 rows above and columns to each side.
    """
    for depth in DEPTHS:
        for objective in CURVE:
            found = [cards.card(name_of(objective, seed, depth)) for seed in SEEDS]
            for name in ON_CURVE:
                quantity, unit, read = QUANTITIES[name]
                about = dict(claim="C10" if name == "information" else "", unit=unit, hardware=found[0]["hardware"])
                values = [read(card["measurements"]) for card in found]
                label = f"{quantity}: {objective}, depth {depth}, static MNIST"
                yield over_seeds(f"C10.mnist.{objective}.depth_{depth:02d}.{name}", label, values, band=0.0, **about)


EXPERIMENTS = {"C23.headline": from_cards, "C23.probe": drawn_probe, "C10.mnist": depth_curve} | {
    f"C23.{name}.ais": annealed(name) for name in OBJECTIVES
}
