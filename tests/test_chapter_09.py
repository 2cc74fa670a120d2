"""Chapter 09: its table says what the cards say, and the README what the table says."""

import dataclasses
import math
from pathlib import Path

import pytest
import torch

from course_lib import zoo
from course_lib.experiments import chapter_09
from course_lib.experiments.chapter_09 import (
    BARS,
    HEAD,
    PAIRS,
    PUBLISHED,
    cells,
    from_cards,
    key_of,
    key_of_lead,
    key_of_pair,
    lead,
    markdown,
    pair,
    reached,
    saving,
    sight,
    stored,
)
from course_lib.measurement.ledger import results
from course_lib.measurement.mean import Mean
from course_lib.zoo.recipes import full_scale
from course_lib.zoo.recipes.full_scale import per_image

README = Path(__file__).parents[1] / "README.md"


def row(name: str, **changes) -> dict[str, str]:
    """A model's row of the table by column, with its NLL in the ledger changed."""
    known = results()
    key = key_of(name, "nll")
    return dict(zip(HEAD, cells(name, known | {key: dataclasses.replace(known[key], **changes)}), strict=True))


def test_the_ledger_holds_what_the_cards_say():
    """After a model was trained again: python course.py measure 09.table."""
    known = results()
    for found in from_cards():
        assert known[found.key].value == pytest.approx(found.value, abs=1e-6), found.key
        assert known[found.key].spread == pytest.approx(found.spread, abs=1e-6), found.key


def test_every_stored_model_of_full_scale_has_its_row_and_its_numbers():
    assert sorted(stored()) == sorted(name for name in zoo.names() if name in full_scale.RECIPES)
    for name in stored():
        measured = zoo.card(name)["measurements"]
        quantities = {"nll", "seconds"} | (chapter_09.MEASURED.keys() & measured.keys())
        assert {key_of(name, quantity) for quantity in quantities} <= results().keys()
        assert ("rate" in measured) == ("code_size" in zoo.card(name)["arguments"])


def test_the_readme_shows_the_table_as_it_is_now():
    text = README.read_text(encoding="utf-8")
    for data in full_scale.DATA:
        table = markdown([name for name in stored() if name.startswith(data)])
        assert table in text, f"README.md has another table. It should be:\n{table}"


@pytest.mark.parametrize("name", [name for name in BARS if name in zoo.names()])
def test_a_bar_is_met_at_the_bar_and_not_above(name):
    bar = BARS[name]
    assert row(name, value=bar)["bar"] == f"{bar:.1f}, met"
    assert row(name, value=bar - 3.0)["bar"] == f"{bar:.1f}, met"
    assert row(name, value=bar + 1.26)["bar"] == f"{bar:.1f}, 1.3 above"


def test_a_lead_is_positive_when_more_is_gained_on_known_pictures_and_agrees_with_the_four_means():
    assert lead(Mean(3.0, 0.3), Mean(1.0, 0.4)) == Mean(2.0, 0.5)
    known = results()
    for name, wide in chapter_09.WIDER.items():
        whole = {
            model: [known[f"09.seen.{model.replace('/', '.')}.{which}"].value for which in ("train", "test")]
            for model in (name, wide)
        }
        ahead = {model: test - train for model, (train, test) in whole.items()}
        assert known[key_of_lead(name)].value == pytest.approx(ahead[wide] - ahead[name], abs=1e-4)


def test_a_system_reaches_its_bar_with_any_of_its_models():
    known = results()
    for system, (bar, names) in chapter_09.SYSTEMS.items():
        above = {key_of(n, "nll"): dataclasses.replace(known[key_of(n, "nll")], value=bar + 0.01) for n in names}
        assert not reached(known | above)[system]
        for name in names:
            met = {key_of(name, "nll"): dataclasses.replace(known[key_of(name, "nll")], value=bar)}
            assert reached(known | above | met)[system]


def test_a_models_sight_is_how_far_a_pixel_reaches():
    """By gradient: the last row's middle pixel moves with the pixel above it at that distance, and with none beyond."""
    for name in ("static/pixelcnn", "static/narrow"):
        model, far = zoo.load(name).double(), sight(name)
        x = torch.full((1, 1, 28, 28), 0.5, dtype=torch.float64, requires_grad=True)
        logits = model(x)
        (gradient,) = torch.autograd.grad(logits[..., 27, 14].sum(), x)
        rows = gradient[0, 0].abs().sum(1)
        assert rows[27 - far] > 0
        assert rows[: 27 - far].sum() == 0


def test_a_bound_is_told_from_an_exact_number():
    for name in stored():
        bounded = "code_size" in zoo.card(name)["arguments"]
        assert row(name)["NLL"].startswith("≤") == bounded
        if name in PUBLISHED:
            assert PUBLISHED[name].bound == bounded
            assert row(name)["published"].startswith("≤") == bounded


def test_a_saving_is_positive_when_the_second_is_better_and_takes_the_gains_off_the_elbos():
    before, after = torch.tensor([90.0, 80, 70]), torch.tensor([86.0, 75, 67])
    whole, part = Mean.of((before - after).double()), Mean.of(torch.tensor([1.0, 2.0]).double())
    found = pair("a", "b", whole, part)
    assert found.value == pytest.approx(4 - 1.5)
    assert found.spread == pytest.approx(math.hypot(1 / math.sqrt(3), 0.5))
    assert saving("a", "b", {found.key: found}) == f"2.50 ± {found.spread:.2f}"


def test_pairs_in_the_ledger_agree_with_the_table_and_know_more():
    """Image by image or as two means: the same difference, with less error where pictures are hard for both."""
    known = results()
    for before, after in PAIRS:
        a, b, found = *(known[key_of(name, "nll")] for name in (before, after)), known[key_of_pair(before, after)]
        apart = math.hypot(a.spread, b.spread)
        assert found.value == pytest.approx(a.value - b.value, abs=3 * apart)
        assert found.spread < apart


def test_what_is_said_of_one_picture_does_not_depend_on_its_neighbours_where_the_likelihood_is_exact():
    model = full_scale.RECIPES["static/narrow"].build().eval()
    x = torch.bernoulli(torch.full((6, 1, 28, 28), 0.2), generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        alone = torch.stack([-model.log_prob(x[[i]])[0] for i in range(len(x))])
    assert torch.allclose(per_image(model, x), alone.double(), rtol=1e-5)
