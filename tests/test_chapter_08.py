"""Chapter 08: what its numbers rest on."""

import itertools
import math

import pytest
import torch

from course_lib import zoo
from course_lib.experiments import chapter_08
from course_lib.experiments.chapter_08 import CODES, apart, at, coded, measured, name_of, summed_nll, trapped
from course_lib.experiments.seeds import SEEDS
from course_lib.measurement.codes import encode_all
from course_lib.measurement.ledger import result, results
from course_lib.measurement.likelihood import distortion_per_image
from course_lib.measurement.prior_grid import prior_grid_nll
from course_lib.models.encoders import MLPEncoder
from course_lib.models.factorised import FactorisedDecoder
from course_lib.models.gaussian import PointCode
from course_lib.models.priors import RingPrior, StandardNormal, UniformPrior
from course_lib.models.vae import VAE
from course_lib.zoo.recipes import outstanding
from course_lib.zoo.recipes.outstanding import CHARGED, COMPARED, DECODERS, RATES, SIZES, TEXTURES, letters

STORED = {name: arm for name, arm in (COMPARED | CHARGED).items() if name_of(name) in zoo.names()}


def small_vae(prior, seed: int = 0) -> VAE:
    """An untrained VAE of 3 x 3 pictures whose decoder is far from flat."""
    torch.manual_seed(seed)
    decoder = FactorisedDecoder((1, 3, 3), 2, "linear")
    torch.nn.init.normal_(decoder.network[0].weight, std=1.5)
    return VAE(MLPEncoder((1, 3, 3), 2), decoder, 2, prior).double()


def all_pictures() -> torch.Tensor:
    """All 512 black and white pictures of 3 x 3."""
    return torch.tensor(list(itertools.product((0.0, 1.0), repeat=9)), dtype=torch.float64).view(-1, 1, 3, 3)


@pytest.mark.parametrize(
    "prior", [StandardNormal(2), UniformPrior(2), RingPrior(10, 0.2)], ids=lambda p: type(p).__name__
)
def test_the_grid_gives_all_pictures_together_the_probability_one(prior):
    """Whatever the prior: sum over x of p(x) = 1, so the NLLs of all pictures are those of a distribution."""
    x, vae = all_pictures(), small_vae(prior)
    log_p = torch.tensor([-summed_nll(vae, x[[i]]) for i in range(0, 512, 1)])
    # The plane of 4 leaves out 1.3e-4 of a normal prior; a cube's edges fall between nodes.
    assert float(log_p.exp().sum()) == pytest.approx(1.0, abs=0.03 if isinstance(prior, UniformPrior) else 5e-4)


def test_the_grid_agrees_with_one_of_equal_weights():
    vae, x = small_vae(StandardNormal(2), seed=1), all_pictures()[::37]
    assert summed_nll(vae, x) == pytest.approx(prior_grid_nll(vae, x, 400).nats, abs=2e-3)


def test_a_quantity_at_some_information_lies_on_the_line_between_its_neighbours():
    curve = [{"information": i, "probe": p} for i, p in ((6.0, 0.9), (2.0, 0.1), (4.0, 0.5))]
    assert at(2.5, curve, "probe") == pytest.approx(0.2)
    assert at(5.0, curve, "probe") == pytest.approx(0.7)
    assert at(4.0, curve, "probe") == pytest.approx(0.5)
    for outside in (1.9, 6.1):
        with pytest.raises(ValueError, match="2.00 to 6.00"):
            at(outside, curve, "probe")


def test_the_distance_from_the_prior_is_near_none_for_codes_that_are_the_priors_and_far_for_others():
    class Fixed(torch.nn.Module):
        """Answers what it is told, whatever it sees."""

        def __init__(self, codes):
            super().__init__()
            self.codes = codes

        def forward(self, x):
            return PointCode(self.codes[: len(x)])

    generator, prior = torch.Generator().manual_seed(3), RingPrior(10, 0.2)
    drawn = prior.sample(250, generator, like=torch.zeros(1))
    for codes, low, high in ((drawn, -4, 4), (drawn * 0.5, 10, math.inf)):
        vae = VAE(Fixed(codes), FactorisedDecoder((1, 8, 8), 2), 2, prior)
        gap, null = apart(vae, torch.Generator().manual_seed(4))
        assert low < gap / null < high


def test_the_trap_is_where_the_ledger_says():
    """A rate of four nats either way; the information only where the aggregate is held."""
    free, held = trapped(0.0, seed=1), trapped(200.0, seed=1)
    assert free["rate"] == pytest.approx(4.0, abs=0.3) and held["rate"] == pytest.approx(4.0, abs=0.3)
    assert held["information"] > free["information"] + 1.0
    assert free["off"] > held["off"]
    assert free["information"] == pytest.approx(
        result("08.trap.free.information").value, abs=result("08.trap.free.information").band
    )


def test_no_letter_of_one_split_is_in_another():
    seen = [{x.numpy().tobytes() for x in letters(split).images} for split in SIZES]
    assert [len(s) for s in seen] == list(SIZES.values())
    assert all(not (a & b) for a, b in itertools.combinations(seen, 2))


@pytest.mark.parametrize("name", sorted(name for name in STORED if "local" not in name))
def test_the_stored_weights_measure_what_their_cards_say(name):
    card, arm = zoo.card(name_of(name))["measurements"], STORED[name]
    again = outstanding.evaluate(zoo.load(name_of(name)), arm.texture)
    assert set(again) == set(card)
    for quantity, value in again.items():
        assert value == pytest.approx(card[quantity], rel=0.02, abs=0.02), quantity


@pytest.mark.parametrize("name", sorted(name for name in STORED if "local" in name))
def test_the_stored_chains_have_the_distortion_of_their_cards(name):
    """Only that: to draw from a chain and to weigh its codes takes half a minute."""
    card, images = zoo.card(name_of(name))["measurements"], letters("test", STORED[name].texture).images[:300]
    codes = encode_all(zoo.load(name_of(name)), images, torch.Generator().manual_seed(0))
    found = distortion_per_image(zoo.load(name_of(name)), images, codes.z)
    assert float(found.mean()) == pytest.approx(card["distortion"], abs=4 * float(found.std()) / 300**0.5)
    assert float(codes.rate.mean()) == pytest.approx(card["rate"], abs=0.3)


def test_the_rate_is_what_was_asked_for_and_information_no_more():
    known = results()
    for name, arm in (COMPARED | CHARGED).items():
        place = next(p for p in ("C24", "C25", "C27") if f"{p}.{name}.rate" in known)
        rate, said = known[f"{place}.{name}.rate"].value, known[f"{place}.{name}.information"].value
        assert rate == pytest.approx(arm.nats, abs=0.35), name
        assert said <= rate + 0.1, name
        assert known[f"{place}.{name}.rate"].seeds == SEEDS


def test_the_matched_numbers_lie_between_those_they_come_from():
    known = results()
    for decoder, texture in itertools.product(DECODERS, TEXTURES):
        curve = [
            {what: known[f"C24.{decoder}_{texture}_{rate:g}.{what}"].value for what in ("information", "probe_drawn")}
            for rate in RATES
        ]
        by_means = at(chapter_08.MATCHED, curve, "probe_drawn")
        assert known[f"C24.{decoder}_{texture}.probe_drawn"].value == pytest.approx(by_means, abs=0.03)


def test_seed_0_of_a_stored_arm_is_its_card():
    name = "pixels"
    assert measured(name, CHARGED[name], 0) == zoo.card(name_of(name))["measurements"]


def test_points_have_no_width_and_the_others_do():
    x = torch.zeros(2, 1, 8, 8)
    chapter_08_live = chapter_08.LIVE
    try:
        chapter_08.LIVE = type(chapter_08_live)(steps=2, batch_size=128)
        widths = {name: hasattr(coded(name, 0).encode(x), "log_var") for name in CODES}
    finally:
        chapter_08.LIVE = chapter_08_live
    assert widths == {name: not code.point for name, code in CODES.items()}
