"""Chapter 07's models on static MNIST and chapter 06's on digits: stored weights measure what the cards say."""

from types import SimpleNamespace

import pytest
import torch

from course_lib import zoo
from course_lib.data import DataError
from course_lib.experiments import headline as experiment
from course_lib.experiments import knob as knob_experiment
from course_lib.measurement.codes import encode_all
from course_lib.measurement.information import information_of
from course_lib.measurement.ledger import result
from course_lib.measurement.probe import Probe
from course_lib.objectives.infovae import InfoVAE
from course_lib.zoo.recipes import RECIPES, headline, knob
from course_lib.zoo.recipes.static_mnist import shuffled_test

NAMES = sorted(headline.RECIPES)


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("headline/") or name.endswith("_0")])
def test_information_on_the_test_images_is_the_cards(name):
    """The same codes from the same seed: what differs is the order of float sums."""
    try:
        images = shuffled_test().images
    except DataError as error:
        pytest.skip(f"MNIST is not here: {str(error).splitlines()[0]}")
    model, known = zoo.load(name), zoo.card(name)["measurements"]
    found = information_of(encode_all(model, images, torch.Generator().manual_seed(0)))
    assert found.lower == pytest.approx(known["information_test"]["lower"], rel=1e-3)
    assert found.rate == pytest.approx(known["rate_test"]["value"], rel=1e-3)


@pytest.mark.parametrize("name", [name for name in NAMES if name.startswith("headline/")])
def test_the_models_own_drawings_cost_about_what_digits_cost(name):
    """Without any data: the rate of the stored samples, 64 of them, is near the rate of the test images.

    Not so at other depths: what a decoder of two layers draws is too little like digits.
    """
    drawn, card = zoo.samples(name), zoo.card(name)
    with torch.no_grad():
        rate = zoo.load(name).encode(drawn).kl_to_standard_normal()
    assert drawn.shape == (64, 1, 28, 28)
    assert float(rate.mean()) == pytest.approx(card["measurements"]["rate_test"]["value"], rel=0.25, abs=0.3)


@pytest.mark.parametrize("name", NAMES)
def test_the_cards_estimators_are_those_that_were_asked_for(name):
    nll = zoo.card(name)["measurements"]["nll_first_100"]
    assert (nll["images"], nll["estimator"], nll["binarisation"]) == (100, "IWAE bound, K = 500", "static binarisation")


def test_all_share_budget_and_data_and_but_for_its_depth_the_decoder():
    recipes = {name: RECIPES[name] for name in NAMES}
    assert sum(name.startswith("headline/") for name in NAMES) == 15 and len(NAMES) == 15 + 18
    for key in ("data", "builder"):
        assert len({getattr(recipe, key) for recipe in recipes.values()}) == 1
    for name, recipe in recipes.items():
        depth = 4 if name.startswith("headline/") else int(name.split("_")[1])
        assert recipe.arguments == recipes["headline/elbo_0"].arguments | dict(depth=depth)
        assert recipe.objective_name == RECIPES[f"headline/{name.split('/')[1].split('_')[0]}_0"].objective_name
        assert recipe.plan.seed == int(name[-1])
    assert {(r.plan.steps, r.plan.batch_size, r.plan.learning_rate) for r in recipes.values()} == {(1200, 64, 2e-3)}


def test_a_recipe_with_an_adversary_makes_a_new_one_for_every_run():
    first, second = (RECIPES["headline/adversary_0"].objective().divergence for _ in range(2))
    assert first is not second


def test_the_beta_vae_has_the_infovaes_price_of_rate_and_no_divergence():
    made = {name: RECIPES[f"headline/{name}_0"].objective() for name in headline.OBJECTIVES}
    assert all(isinstance(objective, InfoVAE) for objective in made.values())
    assert made["beta"].weight == 0 and made["elbo"].weight == 0
    assert {made[name].alpha for name in ("mmd", "adversary", "stein", "beta")} == {0.8}


def test_the_headline_in_numbers():
    """What the three seeds give, from the ledger: several times the information, at an NLL within a hundredth."""
    value = {(o, q): result(f"C23.{o}.{q}").value for o in headline.OBJECTIVES for q in experiment.QUANTITIES}
    assert value["mmd", "information"] > 3 * value["elbo", "information_upper"]
    assert value["mmd", "information"] > 4
    assert value["mmd", "nll"] < 1.01 * value["elbo", "nll"]
    assert value["mmd", "probe"] > value["elbo", "probe"] + 0.05
    assert result("C23.mmd.probe_drawn").value > result("C23.elbo.probe_drawn").value + 0.2
    assert value["mmd", "mean"] < 0.25 and 0.8 < value["mmd", "variance_low"] < value["mmd", "variance_high"] < 1.25
    assert value["beta", "mmd"] > 5 * value["mmd", "mmd"] and value["beta", "variance_high"] < 1
    assert value["beta", "nll"] > value["mmd", "nll"] + 1


@pytest.mark.parametrize("rows", [experiment.from_cards, experiment.depth_curve, knob_experiment.on_digits])
def test_the_ledger_says_what_the_cards_say(rows):
    for row in rows():
        assert result(row.key).value == pytest.approx(row.value, abs=1e-6), row.key
        assert result(row.key).spread == pytest.approx(row.spread, abs=1e-6), row.key


def test_the_knob_turns_one_thing():
    """At every field the same depth, width and budget; the filters are cut, so that the parameters are fewer."""
    recipes = [RECIPES[knob.name_of("elbo", field, 0)] for field in knob.FIELDS]
    without = [{k: v for k, v in recipe.arguments.items() if k != "field"} for recipe in recipes]
    assert all(arguments == without[0] for arguments in without)
    assert len({recipe.plan for recipe in recipes}) == 1


def test_information_falls_with_the_field_under_the_elbo_and_stays_under_infovae():
    found = {
        (objective, knob.field_name(field)): result(
            f"C10.{objective}.field_{knob.field_name(field)}.information_lower"
        ).value
        for objective in knob.OBJECTIVES
        for field in knob.FIELDS
    }
    assert found["elbo", "0"] > 1.4 * found["elbo", "full"]
    assert all(found["infovae", knob.field_name(f)] > 1.5 * found["elbo", "full"] for f in knob.FIELDS)


def test_the_second_probe_is_of_drawn_codes_of_every_seed_s_model(monkeypatch):
    asked = []

    def probe(vae, learn, test, generator=None):
        asked.append((vae, learn, test, generator is not None))
        return Probe(0.1 * int(vae[-1]), 0.1)

    monkeypatch.setattr(experiment, "probe_accuracy", probe)
    monkeypatch.setattr(experiment, "shuffled_test", lambda: None)
    monkeypatch.setattr(experiment, "halves", lambda split: ("first", "second"))
    monkeypatch.setattr(experiment.cards, "load", lambda name: name)
    rows = list(experiment.drawn_probe())
    assert [row.value for row in rows] == pytest.approx([0.1] * 5) and rows[0].spread == pytest.approx(0.1)
    assert {name for name, *_ in asked} == {f"headline/{o}_{seed}" for o in headline.OBJECTIVES for seed in range(3)}
    assert {tuple(rest) for _, *rest in asked} == {("first", "second", True)}


def test_ais_takes_the_hundred_images_of_the_cards_and_every_seed_s_model(monkeypatch):
    asked = []

    def ais(vae, x, generator, annealing):
        asked.append((vae, len(x), generator.initial_seed(), annealing))
        return SimpleNamespace(nll=lambda name: SimpleNamespace(nats=float(len(asked))))

    monkeypatch.setattr(experiment, "ais", ais)
    monkeypatch.setattr(experiment, "shuffled_test", lambda: SimpleNamespace(images=torch.zeros(300, 1, 28, 28)))
    monkeypatch.setattr(experiment.cards, "load", lambda name: name)
    (row,) = experiment.annealed("stein")()
    assert asked == [(f"headline/stein_{seed}", 100, seed, experiment.SHORT) for seed in range(3)]
    assert (row.key, row.value, row.seeds) == ("C23.stein.ais", 2.0, (0, 1, 2))
