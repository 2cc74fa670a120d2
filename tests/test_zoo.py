"""The zoo: weights are what their cards say, and damaged ones are refused."""

import dataclasses
import hashlib
import json
import shutil

import pytest
import torch

from course_lib import zoo
from course_lib.data import DataError, binarise, mnist
from course_lib.measurement.information import information
from course_lib.measurement.likelihood import iwae_nll
from course_lib.models.pixelcnn import PixelCNN
from course_lib.zoo import cards, train
from course_lib.zoo.recipes import DIGITS_BINARISATION, RECIPES, binary_digits

MNIST_MODELS = ["pixelcnn_mnist", "pixelcnn_mnist_narrow"]
CARD_FIELDS = {"name", "data", "objective", "plan", "hardware", "seconds", "measurements", "sha256", "command"}


@pytest.fixture
def copied(tmp_path):
    """A copy of the zoo's folder that a test may damage."""
    return shutil.copytree(cards.WEIGHTS, tmp_path / "weights")


def test_every_model_has_a_recipe_and_every_recipe_has_been_trained():
    assert set(zoo.names()) == set(RECIPES)


@pytest.mark.parametrize("name", zoo.names())
def test_the_card_says_what_was_done_and_agrees_with_the_recipe(name):
    card = zoo.card(name)
    assert CARD_FIELDS <= set(card)
    described = json.loads(json.dumps(train.describe(name, RECIPES[name])))
    assert {key: card[key] for key in described} == described
    assert card["seconds"] > 0 and card["plan"]["steps"] > 0


@pytest.mark.parametrize("name", zoo.names())
def test_weights_are_under_five_megabytes_and_match_their_checksum(name):
    content = (cards.WEIGHTS / f"{name}.safetensors").read_bytes()
    assert len(content) < 5_000_000
    assert hashlib.sha256(content).hexdigest() == zoo.card(name)["sha256"][name]
    assert sum(p.numel() for p in zoo.load(name).parameters()) == zoo.card(name)["parameters"]


@pytest.mark.fault("weights with a wrong byte")
@pytest.mark.parametrize("place", [0, 100, -1])
def test_one_wrong_byte_is_refused(copied, place):
    path = copied / "puzzle_a.safetensors"
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)
    with pytest.raises(zoo.ZooError, match="sha256.*restore it"):
        zoo.load("puzzle_a", copied)


@pytest.mark.fault("weights cut short")
def test_truncated_weights_are_refused(copied):
    path = copied / "puzzle_a.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(zoo.ZooError, match="sha256"):
        zoo.load("puzzle_a", copied)


def test_a_wrong_checksum_on_the_card_is_refused(copied):
    path = copied / "puzzle_a.json"
    card = json.loads(path.read_text())
    card["sha256"]["puzzle_a"] = "0" * 64
    path.write_text(json.dumps(card))
    with pytest.raises(zoo.ZooError, match="000000"):
        zoo.load("puzzle_a", copied)


def test_weights_exchanged_for_another_models_are_refused(copied):
    shutil.copy(copied / "puzzle_b.safetensors", copied / "puzzle_a.safetensors")
    with pytest.raises(zoo.ZooError, match="damaged or exchanged"):
        zoo.load("puzzle_a", copied)


@pytest.mark.fault("weights missing, or a damaged card")
def test_missing_weights_and_a_damaged_card_say_what_to_do(copied):
    (copied / "puzzle_a.safetensors").unlink()
    with pytest.raises(zoo.ZooError, match="missing.*restore it"):
        zoo.load("puzzle_a", copied)
    (copied / "puzzle_b.json").write_text('{"name": ')
    with pytest.raises(zoo.ZooError, match="damaged.*restore it"):
        zoo.card("puzzle_b", copied)


def test_an_unknown_model_names_the_known_ones():
    with pytest.raises(zoo.ZooError, match="puzzle_a"):
        zoo.load("puzzle_z")


def test_saved_and_loaded_weights_are_the_same(tmp_path):
    torch.manual_seed(0)
    model = PixelCNN((1, 4, 4), width=4, depth=1)
    about = {"builder": "PixelCNN", "arguments": dict(image_shape=[1, 4, 4], width=4, depth=1)}
    cards.save("small", model, torch.ones(2, 1, 4, 4), about, tmp_path)
    again = zoo.load("small", tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), again.parameters(), strict=True))
    assert torch.equal(zoo.samples("small", tmp_path), torch.ones(2, 1, 4, 4))
    assert not list(tmp_path.glob("*.partial"))


@pytest.mark.parametrize("name", ["puzzle_a", "puzzle_b"])
def test_the_puzzle_models_measure_what_their_cards_say(name):
    measured, x = zoo.card(name)["measurements"], binary_digits("test")
    nll = iwae_nll(zoo.load(name), x, 50, torch.Generator().manual_seed(1), DIGITS_BINARISATION)
    assert nll.nats == pytest.approx(measured["nll_test"]["nats"], rel=0.02)
    found = information(zoo.load(name), x, torch.Generator().manual_seed(1))
    assert found.lower == pytest.approx(measured["information_test"]["lower"], rel=0.1, abs=0.1)


def test_the_puzzle_is_one():
    """Equal likelihood within the standard error, and several times the information."""
    a, b = (zoo.card(name)["measurements"] for name in ("puzzle_a", "puzzle_b"))
    assert abs(a["nll_test"]["nats"] - b["nll_test"]["nats"]) < a["nll_test"]["standard_error"]
    assert a["information_test"]["lower"] > 4 * b["information_test"]["upper"]
    assert b["information_test"]["upper"] < 1


@pytest.mark.parametrize("name", MNIST_MODELS)
def test_the_mnist_models_reach_their_cards_nll_on_a_fixed_subset(name):
    """500 test images: the difference to their own value on the card's binarisation is float noise."""
    try:
        images = mnist().test.images
    except DataError as error:
        pytest.skip(f"MNIST is not here: {str(error).splitlines()[0]}")
    card, model = zoo.card(name), zoo.load(name)
    x = binarise(images, torch.Generator().manual_seed(0))[:500]
    with torch.no_grad():
        nats = -model.log_prob(x).double()
    assert float(nats.mean()) == pytest.approx(card["measurements"]["nll_test_first_500"]["nats"], rel=0.005)
    assert "dynamic" in card["measurements"]["nll_test"]["binarisation"]


@pytest.mark.parametrize("name", MNIST_MODELS)
def test_the_mnist_models_own_samples_cost_about_what_digits_cost(name):
    """Without any data: the model's entropy, estimated from its stored samples, is near its NLL."""
    card, model, drawn = zoo.card(name), zoo.load(name), zoo.samples(name)
    with torch.no_grad():
        entropy = -model.log_prob(drawn).double()
    assert drawn.shape[1:] == (1, 28, 28)
    assert abs(float(entropy.mean()) - card["measurements"]["nll_test"]["nats"]) < 5 * float(entropy.std()) / 8


def test_training_a_model_of_the_zoo_end_to_end(tmp_path, monkeypatch, capsys):
    """The command, with a plan cut to three steps: weights, samples and card arrive, and load."""
    short = dataclasses.replace(RECIPES["puzzle_a"], plan=dataclasses.replace(RECIPES["puzzle_a"].plan, steps=3))
    monkeypatch.setitem(RECIPES, "puzzle_a", dataclasses.replace(short, evaluate=lambda model: {"checked": True}))
    monkeypatch.setattr(train, "RUNS", tmp_path / "runs")
    assert train.main(["puzzle_a", "--device", "cpu", "--to", str(tmp_path / "zoo")]) == 0
    assert zoo.card("puzzle_a", tmp_path / "zoo")["plan"]["steps"] == 3
    assert zoo.load("puzzle_a", tmp_path / "zoo").code_size == 8
    assert '"checked": true' in capsys.readouterr().out


def test_the_card_is_written_after_the_weights_it_vouches_for(tmp_path, monkeypatch):
    written = []
    monkeypatch.setattr(cards, "_write", lambda path, content: written.append(path.suffix))
    cards.save("small", PixelCNN((1, 4, 4), 4, 0), torch.ones(1, 1, 4, 4), {}, tmp_path)
    assert written == [".safetensors", ".safetensors", ".json"]


def test_a_recipe_builds_the_same_weights_from_the_same_seed_and_others_from_another():
    recipe = RECIPES["puzzle_a"]
    other = dataclasses.replace(recipe, plan=dataclasses.replace(recipe.plan, seed=5))
    first, again, third = (next(r.build().parameters()) for r in (recipe, recipe, other))
    assert torch.equal(first, again) and not torch.equal(first, third)


def test_the_command_that_restores_a_file_names_it_from_the_checkout():
    path = cards.WEIGHTS / "puzzle_a.safetensors"
    assert "git checkout -- course_lib/zoo/weights/puzzle_a.safetensors" in cards._remedy(path)


def test_a_card_without_its_fields_is_damaged(copied):
    for content in (b"{}", b"\xff\xfe"):
        (copied / "puzzle_a.json").write_bytes(content)
        with pytest.raises(zoo.ZooError, match="damaged"):
            zoo.load("puzzle_a", copied)


def test_training_again_leaves_the_courses_own_weights_alone(tmp_path, monkeypatch):
    monkeypatch.setattr(train, "RUNS", tmp_path / "runs")
    short = dataclasses.replace(RECIPES["puzzle_b"], plan=dataclasses.replace(RECIPES["puzzle_b"].plan, steps=1))
    monkeypatch.setitem(RECIPES, "puzzle_b", dataclasses.replace(short, evaluate=lambda model: {}))
    before = (cards.WEIGHTS / "puzzle_b.json").read_bytes()
    assert train.main(["puzzle_b", "--device", "cpu"]) == 0
    assert (cards.WEIGHTS / "puzzle_b.json").read_bytes() == before
    assert zoo.card("puzzle_b", tmp_path / "runs" / "zoo")["plan"]["steps"] == 1
