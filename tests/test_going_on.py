"""--more goes on from the stored weights: resumed exactly, at half the rate, and no warm-up begins anew."""

import dataclasses
import json
import shutil
import signal

import pytest
import torch

from course_lib import zoo
from course_lib.models.vae import pixelcnn_vae
from course_lib.objectives.adversary import Adversary
from course_lib.objectives.infovae import InfoVAE, elbo
from course_lib.objectives.later import Later
from course_lib.objectives.warm_up import KLWarmUp
from course_lib.training.fit import Fit, Plan
from course_lib.training.placement import Placement
from course_lib.zoo import cards, train
from course_lib.zoo.going_on import going_on
from course_lib.zoo.recipes import RECIPES

NAME = "vlae/warm_narrow_0"  # the ELBO, whose rate's weight grew over 200 of 600 steps
MORE = [NAME, "--device", "cpu", "--more"]


@pytest.fixture
def runs(tmp_path, monkeypatch):
    """Runs in a folder of their own, that measure nothing."""
    monkeypatch.setattr(train, "RUNS", tmp_path)
    monkeypatch.setitem(RECIPES, NAME, dataclasses.replace(RECIPES[NAME], evaluate=lambda model: {}))
    return tmp_path


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def card_of(folder, steps):
    assert train.main([*MORE, str(steps), "--to", str(folder)]) == 0
    return zoo.card(NAME, folder)


def test_it_starts_from_the_stored_weights_at_half_the_rate_with_batches_and_noise_not_seen(runs):
    recipe, before = RECIPES[NAME], zoo.card(NAME)
    on = going_on(NAME, recipe, 7)
    run, plain = (train.prepare(NAME, each, Placement()) for each in (on, recipe))
    assert torch.equal(weights(run.model), weights(zoo.load(NAME)))
    assert run.plan == dataclasses.replace(recipe.plan, steps=7, learning_rate=recipe.plan.learning_rate / 2, seed=600)
    assert not torch.equal(run._batch(0)[0], plain._batch(0)[0])
    assert run._batch(0)[1].initial_seed() > plain._batch(before["plan"]["steps"] - 1)[1].initial_seed()


def test_an_interrupted_run_that_goes_on_resumes_to_the_weights_of_an_uninterrupted_one(runs, monkeypatch, capsys):
    card_of(runs / "whole", 6)
    monkeypatch.setattr(train, "RUNS", runs / "again")
    run = train.prepare(NAME, going_on(NAME, RECIPES[NAME], 6), Placement())
    last = run.model.decoder.last
    last.register_forward_pre_hook(lambda *_: signal.raise_signal(signal.SIGINT) if run.step == 2 else None)
    run.run(progress=False)
    assert run.step == 3 and not torch.equal(weights(run.model), weights(zoo.load(NAME)))
    card_of(runs / "resumed", 6)
    whole, resumed = (weights(zoo.load(NAME, runs / folder)) for folder in ("whole", "resumed"))
    assert torch.equal(whole, resumed) and not torch.equal(whole, weights(zoo.load(NAME)))


@pytest.mark.fault("the measuring after a training is interrupted")
def test_a_training_whose_measuring_is_interrupted_is_measured_by_the_same_command(runs, monkeypatch, capsys):
    def interrupted(model):
        raise KeyboardInterrupt

    measured = RECIPES[NAME]
    monkeypatch.setitem(RECIPES, NAME, dataclasses.replace(measured, evaluate=interrupted))
    assert train.main([*MORE, "3", "--to", str(runs / "on")]) == 1
    assert "the training is kept" in capsys.readouterr().out and not (runs / "on").exists()
    monkeypatch.setitem(RECIPES, NAME, measured)
    card_of(runs / "on", 3)
    assert "taken up at step 3 of 3" in capsys.readouterr().out
    card_of(runs / "other", 3)
    assert torch.equal(*(weights(zoo.load(NAME, runs / folder)) for folder in ("on", "other")))


def test_its_checkpoint_and_the_plain_runs_lie_side_by_side(runs):
    assert train.main([NAME, "--device", "cpu", "--steps", "2"]) == 0
    card_of(runs / "on", 2)
    assert {path.name for path in (runs / "vlae").glob("*.pt")} == {"warm_narrow_0.pt", "warm_narrow_0.after_600.pt"}


def test_the_card_tells_from_which_weights_it_went_on_and_the_next_continuation_counts_them_in(runs, monkeypatch):
    before, after = zoo.card(NAME), card_of(runs / "on", 3)
    assert after["command"] == f"python course.py train {NAME} --more 3"
    told = {"sha256": before["sha256"][NAME], "steps": 600, "seconds": before["seconds"]}
    assert after["went_on_from"] == told and after["sha256"][NAME] != told["sha256"]
    monkeypatch.setattr(cards, "WEIGHTS", runs / "on")
    third = card_of(runs / "further", 4)
    assert third["went_on_from"]["sha256"] == after["sha256"][NAME]
    assert (third["went_on_from"]["steps"], third["plan"]["seed"]) == (603, 603)
    assert cards.spent(third)["steps"] == 607 and cards.spent(before)["steps"] == 600


def test_the_courses_own_weights_stay_as_they_are(runs):
    before = (cards.WEIGHTS / f"{NAME}.safetensors").read_bytes()
    assert train.main([*MORE, "1"]) == 0
    assert (cards.WEIGHTS / f"{NAME}.safetensors").read_bytes() == before
    assert zoo.card(NAME, runs / "zoo")["went_on_from"]["steps"] == 600


@pytest.mark.parametrize("more", [["0"], ["-3"], ["5", "--steps", "5"]])
def test_what_makes_no_sense_is_refused(runs, capsys, more):
    assert train.main([*MORE, *more]) == 1
    assert ("at least 1" in (said := capsys.readouterr().out)) or "give one of the two" in said


def test_without_stored_weights_or_with_anothers_it_is_refused(runs, monkeypatch, capsys):
    monkeypatch.setitem(RECIPES, "vlae/new", RECIPES[NAME])
    assert train.main(["vlae/new", "--more", "5"]) == 1
    assert "no stored weights of 'vlae/new'" in capsys.readouterr().out
    wider = dataclasses.replace(RECIPES[NAME], arguments=RECIPES[NAME].arguments | {"width": 20})
    monkeypatch.setitem(RECIPES, NAME, wider)
    assert train.main([*MORE, "5"]) == 1
    assert "of another architecture" in capsys.readouterr().out


def test_damaged_weights_are_refused(runs, monkeypatch, capsys):
    monkeypatch.setattr(cards, "WEIGHTS", shutil.copytree(cards.WEIGHTS, runs / "weights"))
    path = runs / "weights" / f"{NAME}.safetensors"
    path.write_bytes(path.read_bytes()[:-1])
    assert train.main([*MORE, "5"]) == 1
    assert "restore it" in capsys.readouterr().out


def test_other_weights_than_those_it_began_with_stop_a_run_that_would_resume(runs, monkeypatch, capsys):
    card_of(runs / "on", 2)
    monkeypatch.setattr(cards, "WEIGHTS", shutil.copytree(cards.WEIGHTS, runs / "weights"))
    path = runs / "weights" / f"{NAME}.json"
    path.write_text(json.dumps(zoo.card(NAME) | {"seconds": 10**6}))
    assert train.main([*MORE, "2"]) == 1
    assert "belongs to another run (went_on_from was" in capsys.readouterr().out


# The schedule


def small():
    torch.manual_seed(0)
    return pixelcnn_vae((1, 4, 4), code_size=2, hidden=8, width=4, depth=1), torch.ones(3, 1, 4, 4)


def loss(objective, step=None):
    (model, x), generator = small(), torch.Generator().manual_seed(1)
    return float((objective if step is None else objective.at(step))(model, x, generator)["loss"].detach())


def test_a_warm_up_that_was_over_stays_over(runs):
    """The run's own objective in its first step: the whole ELBO, and not the distortion alone."""
    objective = train.prepare(NAME, going_on(NAME, RECIPES[NAME], 5), Placement()).objective
    assert loss(objective, 0) == loss(elbo()) != loss(RECIPES[NAME].objective(), 0)


@pytest.mark.parametrize("step", [0, 3, 9, 50])
def test_a_warm_up_that_was_not_over_goes_on_where_it_was(step):
    inner = KLWarmUp(elbo(), 10)
    assert loss(Later(inner, 4), step) == loss(inner, 4 + step)
    assert loss(Later(inner, 4)) == loss(elbo())


def test_what_plays_against_the_model_learns_under_a_later_schedule_too():
    (model, x), adversary = small(), Adversary(2, hidden=8)
    before = weights(adversary.discriminator)
    objective = Later(KLWarmUp(InfoVAE(0.5, 2.0, adversary), 10), 4)
    Fit(model, objective, x, Plan(2, 3)).run(progress=False)
    assert not torch.equal(before, weights(adversary.discriminator))
    assert objective.state_dict().keys() == InfoVAE(0.5, 2.0, adversary).state_dict().keys() != set()
