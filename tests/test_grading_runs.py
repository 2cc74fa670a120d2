"""Experiments for answers to run: each arm and seed once, the same numbers whoever asks, in any process."""

import pytest
import torch

from course_lib.grading.plain import decode, encode
from course_lib.grading.specs import Model


def numbers(**values):
    return {name: torch.as_tensor(value, dtype=torch.float64) for name, value in values.items()}


def runs(limit=10, shared=1.0, own=0.5):
    return Model("runs", numbers(levels=[0.0, 2.0], shared=shared, own=own, limit=limit))


def coded_runs(limit=10, noise=(0.5, 0.1)):
    sizes = torch.tensor([50, 30, 2])
    return Model("coded runs", numbers(noise=noise, limit=limit) | {"sizes": sizes})


@pytest.mark.parametrize("model", [runs, coded_runs])
def test_a_run_made_twice_is_told_and_so_is_one_too_many(model):
    run = model(limit=2).build()
    run("a", 3), run("b", 3)
    with pytest.raises(RuntimeError, match="run twice"):
        run("a", 3)
    with pytest.raises(RuntimeError, match="one run too many"):
        run("a", 4)


@pytest.mark.parametrize("model", [runs, coded_runs])
def test_an_arm_that_is_none_is_refused(model):
    with pytest.raises(ValueError, match="arms are"):
        model().build()("c", 0)


def test_a_run_gives_the_same_number_after_a_journey_between_processes():
    here, there = runs().build(), decode(encode(runs())).build()
    assert [here(arm, seed) for seed in (5, 0) for arm in "ab"] == [there(arm, s) for s in (5, 0) for arm in "ab"]


def test_two_arms_share_what_the_seed_does_to_both():
    run = runs(limit=400, shared=4.0, own=0.0).build()
    a, b = (torch.tensor([run(arm, seed) for seed in range(200)]) for arm in "ab")
    assert a.std() > 3
    assert torch.equal(b - a, torch.full_like(a, 2.0))


def test_differences_are_exact_on_a_computer():
    run = runs(limit=40, own=0.7).build()
    assert all((16 * run("a", seed)).is_integer() for seed in range(40))


def test_codes_are_for_one_factor_and_an_arm_of_less_noise_lies_nearer_to_it():
    codes = coded_runs(noise=(1.0, 0.1)).build()
    found = {arm: codes(arm, 0) for arm in "ab"}
    for name, count in (("train", 50), ("test", 30)):
        (z_a, factor_a), (z_b, factor_b) = found["a"][name], found["b"][name]
        assert z_a.shape == z_b.shape == (count, 2)
        assert torch.equal(factor_a, factor_b)
        near = [torch.corrcoef(torch.stack([z[:, 0], factor_a]))[0, 1] for z in (z_a, z_b)]
        assert near[0] < near[1]
    assert abs(float(found["a"]["train"][1].mean() - found["a"]["test"][1].mean())) > 0.4
