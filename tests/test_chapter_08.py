"""Chapter 08: what its numbers rest on."""

import itertools
import math
import statistics

import pytest
import torch

from course_lib import zoo
from course_lib.data import digits
from course_lib.experiments import chapter_08
from course_lib.experiments.chapter_08 import (
    CODES,
    apart,
    at,
    code_numbers,
    coded,
    difference,
    measured,
    name_of,
    neighbours,
    own_distortion,
    summed_nll,
    trapped,
)
from course_lib.experiments.seeds import SEEDS
from course_lib.measurement.codes import encode_all
from course_lib.measurement.ledger import Result, result, results
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


@pytest.mark.parametrize("prior", [UniformPrior(2), RingPrior(10, 0.2)], ids=lambda p: type(p).__name__)
def test_the_grid_weighs_codes_by_the_prior_that_is_the_models_own(prior):
    """As the mean of p(x|z) over draws of that prior has it."""
    vae, x = small_vae(prior, seed=2), all_pictures()[[3, 170, 400]]
    z = prior.sample(50_000, torch.Generator().manual_seed(0), like=x)
    with torch.no_grad():
        drawn = [vae.decoder.log_prob(one.expand(len(z), 1, 3, 3), z).exp().mean().log() for one in x]
    assert summed_nll(vae, x) == pytest.approx(-float(torch.stack(drawn).mean()), abs=0.03)


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
    assert 0.15 < free["width"] < 0.4 and 0.85 < held["width"] < 1.1
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


class Looked(torch.nn.Module):
    """An encoder that answers points it looks up: for every picture the codes it was given."""

    def __init__(self, pictures, codes):
        super().__init__()
        self.codes = dict(zip((x.numpy().tobytes() for x in pictures), codes, strict=True))

    def forward(self, x):
        return PointCode(torch.stack([self.codes[picture.numpy().tobytes()] for picture in x]))


def looked_up(train_codes, test_codes) -> VAE:
    split = digits(binary=True)
    pictures = torch.cat([split.test.images, split.train.images])  # where a picture stands in both, train's code counts
    encoder = Looked(pictures, torch.cat([test_codes, train_codes]))
    return VAE(encoder, FactorisedDecoder((1, 8, 8), 2), 2)


def on_a_line(labels) -> torch.Tensor:
    return torch.stack([labels.float(), torch.zeros(len(labels))], 1)


def test_a_digit_is_named_by_the_fifteen_nearest_codes_of_training_digits():
    split, g = digits(binary=True), torch.Generator().manual_seed(0)
    named = looked_up(on_a_line(split.train.labels), on_a_line(split.test.labels))
    assert neighbours(named, g) == 1.0
    shifted = looked_up(on_a_line(split.train.labels), on_a_line((split.test.labels + 1) % 10))
    assert neighbours(shifted, g) < 0.05
    # Fourteen nearest ones of the right digit, and then all the others: the vote of all is that of the commonest.
    assert neighbours(shifted, g, count=len(split.train)) == pytest.approx(
        float((split.test.labels == split.train.labels.bincount().argmax()).float().mean())
    )


def test_the_distortion_is_that_of_pictures_given_their_own_codes_on_the_part_that_is_named():
    torch.manual_seed(0)
    vae, split = (
        VAE(MLPEncoder((1, 8, 8), 2, deterministic=True), FactorisedDecoder((1, 8, 8), 2), 2),
        digits(binary=True),
    )
    for part in ("train", "test"):
        x = getattr(split, part).images
        with torch.no_grad():
            expected = -float(vae.decoder.log_prob(x, vae.encode(x).mu).mean())
        assert own_distortion(vae, part, 0) == pytest.approx(expected, rel=1e-5)
    assert code_numbers(vae, 0)["distortion"] == pytest.approx(own_distortion(vae, "test", 0), rel=1e-5)


def test_a_difference_has_the_error_of_two_groups():
    a, b = (Result("k", "", "q", value, "", spread=spread) for value, spread in ((1.0, 0.3), (3.0, 0.4)))
    assert difference(a, b) == (pytest.approx(-2.0), pytest.approx(0.5 / math.sqrt(3)))


def test_what_is_called_a_hint_lies_between_two_errors_and_three_and_what_is_not_beyond():
    known = results()

    def errors(a, b):
        mean, error = difference(known[a], known[b])
        return mean / error

    assert errors("C24.independent_plain.probe_drawn", "C24.local_plain.probe_drawn") > 3
    for a, b in (
        ("C24.independent_textured.probe_drawn", "C24.local_textured.probe_drawn"),
        ("C27.adversary.probe_drawn", "C25.pixels.probe_drawn"),
        ("C27.adversary.form", "C25.pixels.form"),
        ("C25.pixels.lead", "C25.concept.lead"),
        ("C26.late.elbo.nll", "C26.late.point.nll"),
    ):
        assert 2 < errors(a, b) < 3, a
    for name in ("own", "classifier"):
        assert 0 < errors(f"C25.{name}.probe_drawn", "C25.pixels.probe_drawn") < 2
    assert errors("C25.concept.probe_drawn", "C25.pixels.probe_drawn") > 3
    assert errors("C25.pixels.probe_drawn", "C25.random.probe_drawn") > 3
    assert errors("C26.elbo.nll", "C26.point.nll") > 3 and errors("C26.late.ring.nll", "C26.late.point.nll") > 3


def test_points_with_eight_numbers_know_the_training_digits_by_heart():
    known = results()
    train, test = (
        {name: known[f"C26.long.{name}.distortion_{part}"].value for name in ("elbo", "noisy", "point")}
        for part in ("train", "test")
    )
    assert train["point"] < 1 < train["noisy"] < train["elbo"] < test["elbo"]
    assert test["point"] > max(test["elbo"], test["noisy"]) + 3
    assert abs(known["C26.long.point.slower"].value) < 0.1


def test_the_numbers_at_one_information_are_read_off_each_seeds_own_curve(monkeypatch):
    def invented(name, arm, seed):
        """A line of another slope for each seed and decoder, and information that is not the rate."""
        information = arm.nats * 0.7 + 0.3 * seed
        slope = (1 + seed) * (2 if name.startswith("local") else 1) * (10 if arm.texture else 1)
        numbers = dict.fromkeys(chapter_08.QUANTITIES, slope * information**2)
        return numbers | {"information": information}

    monkeypatch.setattr(chapter_08, "measured", invented)
    for texture in TEXTURES:
        found = {row.key: row for row in chapter_08.compared(texture)()}
        for decoder in DECODERS:
            expected = []
            for seed in SEEDS:
                rows = [invented(name := f"{decoder}_{texture}_{r:g}", COMPARED[name], seed) for r in RATES]
                expected.append(at(4.5, rows, "form"))
            row = found[f"C24.{decoder}_{texture}.form"]
            assert row.value == pytest.approx(statistics.mean(expected))
            assert row.spread == pytest.approx(statistics.stdev(expected))
            assert found[f"C24.{decoder}_{texture}_9.nll"].value == pytest.approx(
                statistics.mean(invented(name, COMPARED[name], seed)["nll"] for seed in SEEDS)
            )


def test_an_arm_that_is_not_stored_is_trained_from_the_seed_and_with_the_cost_it_names(monkeypatch):
    seen = []

    class Stop(Exception):
        pass

    def noted(vae, objective, images, plan, progress):
        seen.append((plan.seed, objective.nats, objective.lambd, objective.cost, len(images), plan.steps))
        raise Stop

    monkeypatch.setattr(chapter_08, "fit", noted)
    for seed in (1, 2):
        with pytest.raises(Stop):
            measured("pixels", CHARGED["pixels"], seed)
    with pytest.raises(Stop):
        measured("independent_plain_3", COMPARED["independent_plain_3"], 0)
    assert [row[:3] for row in seen] == [(1, 8.0, 1000.0), (2, 8.0, 1000.0), (0, 3.0, 1000.0)]
    assert all(row[4:] == (8000, 1500) for row in seen)


def test_a_seed_makes_another_model_of_digits_and_the_steps_are_those_asked_for(monkeypatch):
    first, again, other = (coded("elbo", seed, steps=2).decoder for seed in (0, 0, 1))
    weights = [torch.cat([p.flatten() for p in decoder.parameters()]) for decoder in (first, again, other)]
    assert torch.equal(weights[0], weights[1]) and not torch.allclose(weights[0], weights[2])
    plans = []
    monkeypatch.setattr(chapter_08, "fit", lambda vae, objective, x, plan, progress: plans.append((plan, len(x))))
    starts = [coded("point", seed).encoder for seed in (0, 0, 1)]
    weights = [torch.cat([p.flatten() for p in encoder.parameters()]) for encoder in starts]
    assert torch.equal(weights[0], weights[1]) and not torch.allclose(weights[0], weights[2])
    plans.clear()
    coded("ring", 2, steps=7)
    assert (plans[0][0].steps, plans[0][0].seed, plans[0][1]) == (7, 2, len(digits(binary=True).train))


def test_the_distance_from_the_prior_is_told_in_units_of_its_own_scatter():
    """For draws of the prior in the place of codes the number is about as likely above 1 as chance allows."""
    prior, rows = StandardNormal(2), []
    x = digits(binary=True).test.images
    for seed in range(8):
        drawn = prior.sample(len(x), torch.Generator().manual_seed(100 + seed), like=torch.zeros(1))
        vae = VAE(Looked(x, drawn), FactorisedDecoder((1, 8, 8), 2), 2, prior)
        gap, null = apart(vae, torch.Generator().manual_seed(seed))
        rows.append(gap / null)
    assert 0.3 < statistics.stdev(rows) < 2.5 and abs(statistics.mean(rows)) < 1.2
