"""Chapter 09's models measure what their cards say, and each has a larger sibling for a GPU."""

import dataclasses
import math

import pytest
import torch

from course_lib import zoo
from course_lib.data import DataError
from course_lib.models.autoregressive import Autoregressive
from course_lib.models.vae import VAE
from course_lib.training.fit import Fit
from course_lib.zoo import cards, train
from course_lib.zoo.recipes import GPU, RECIPES, full_scale
from course_lib.zoo.recipes.recipe import BUILDERS

STORED = [name for name in zoo.names() if name in full_scale.RECIPES]
ARCHITECTURES = ["pixelcnn", "row_lstm", "diagonal_bilstm", "vae", "pixelvae", "narrow", "narrow_code", "vlae"]
stored = pytest.mark.parametrize("name", STORED)
architectures = pytest.mark.parametrize("kind", ARCHITECTURES)


# The stored weights


@pytest.fixture(scope="module")
def images():
    """The test images of each binarisation, in the order of the cards."""
    try:
        return {data: source.test().images for data, source in full_scale.DATA.items()}
    except DataError as error:
        pytest.skip(f"MNIST is not here: {str(error).splitlines()[0]}")


@stored
def test_the_stored_weights_measure_what_the_card_says_on_a_fixed_subset(name, images):
    """The same images and the same noise: what differs is float noise."""
    found = full_scale.quick(zoo.load(name), images[name.split("/")[0]])
    assert found == pytest.approx(zoo.card(name)["measurements"]["quick"], rel=0.005)


@stored
def test_the_subset_is_no_stranger_to_the_whole(name):
    """Its mean lies within four standard errors of the NLL, or for a VAE of rate + distortion, of all 10,000 images."""
    measured = zoo.card(name)["measurements"]
    parts = [measured[part] for part in ("rate", "distortion") if part in measured]
    whole = sum(part["value"] for part in parts) if parts else measured["nll"]["nats"]
    error = sum(part["standard_error"] for part in parts) if parts else measured["nll"]["standard_error"]
    images = measured["nll"]["images"]
    assert abs(measured["quick"] - whole) < 4 * error * math.sqrt(images / full_scale.QUICK)
    assert measured["nll"]["nats"] < whole + 4 * measured["nll"]["standard_error"]
    assert images == 10_000


def test_all_stored_weights_together_are_under_forty_megabytes():
    assert sum(path.stat().st_size for path in cards.WEIGHTS.rglob("*") if path.is_file()) < 40_000_000


def test_weights_are_rounded_to_what_is_stored_before_they_are_measured(tmp_path):
    """In half precision: what was measured is what is loaded, number for number, in half the bytes."""
    name, seen = "static/narrow", {}
    recipe = full_scale.RECIPES[name]
    short = dataclasses.replace(
        recipe,
        plan=dataclasses.replace(recipe.plan, steps=1, batch_size=2),
        train_images=lambda: torch.zeros(4, *full_scale.SHAPE),
        evaluate=lambda model: seen.update({k: v.clone() for k, v in model.state_dict().items()}) or {},
    )
    for stored in (torch.float32, torch.float16):
        model = short.build()
        run = Fit(model, short.objective(), short.train_images(), short.plan, None, {"hardware": "any"})
        run.run(progress=False)
        train.finish(name, dataclasses.replace(short, stored=stored), run, tmp_path / str(stored))
        loaded = zoo.load(name, tmp_path / str(stored)).state_dict()
        assert all(torch.equal(loaded[key], value) and value.dtype == torch.float32 for key, value in seen.items())
    sizes = [
        (tmp_path / str(stored) / f"{name}.safetensors").stat().st_size for stored in (torch.float32, torch.float16)
    ]
    assert sizes[1] < 0.6 * sizes[0]


def test_the_quick_number_is_of_the_first_images_alone_exact_or_the_elbos():
    x = torch.cat([torch.zeros(full_scale.QUICK, 1, 28, 28), torch.ones(5, 1, 28, 28)])
    decoder, vae = (full_scale.RECIPES[f"static/{kind}"].build().eval() for kind in ("narrow", "beta_2"))
    with torch.no_grad():
        assert full_scale.quick(decoder, x) == pytest.approx(-float(decoder.log_prob(x[:1])), rel=1e-5)
        q = vae.encode(x[:-5])
        z = q.sample(torch.Generator().manual_seed(1))
        negative_elbo = (q.kl_to_standard_normal() - vae.decoder.log_prob(x[:-5], z)).mean()
    assert full_scale.quick(vae, x) == pytest.approx(float(negative_elbo), rel=0.005)


# The larger ones for a GPU


def test_each_recipe_of_full_scale_has_one_for_a_gpu_with_more_parameters_and_a_longer_plan():
    assert GPU.keys() == {f"{name}.gpu" for name in full_scale.RECIPES}
    for kind in ARCHITECTURES:
        small, large = full_scale.RECIPES[f"static/{kind}"], GPU[f"static/{kind}.gpu"]
        parameters = [sum(p.numel() for p in recipe.build().parameters()) for recipe in (small, large)]
        assert parameters[1] > 1.5 * parameters[0]
        images = [recipe.plan.steps * recipe.plan.batch_size for recipe in (small, large)]
        assert images[1] > 8 * images[0]
        assert large.arguments.get("field") == small.arguments.get("field")


@architectures
def test_the_larger_model_takes_a_step(kind):
    recipe = GPU[f"static/{kind}.gpu"]
    plan = dataclasses.replace(recipe.plan, steps=1, batch_size=2)
    images = (torch.rand(2, *full_scale.SHAPE, generator=torch.Generator().manual_seed(0)) < 0.2).float()
    history = Fit(recipe.build(), recipe.objective(), images, plan).run(every=1, progress=False)
    assert math.isfinite(history.terms["loss"][0])


@architectures
def test_the_larger_model_draws_cached_what_it_draws_naively(kind):
    """On pictures of 8 x 8: the naive loop needs a pass over all of the picture for each pixel."""
    recipe = GPU[f"static/{kind}.gpu"]
    torch.manual_seed(0)
    model = BUILDERS[recipe.builder](**recipe.arguments | {"image_shape": (1, 8, 8)}).eval()
    decoder = model.decoder if isinstance(model, VAE) else model
    assert isinstance(decoder, Autoregressive)
    z = torch.randn(1, decoder.code_size, generator=torch.Generator().manual_seed(1)) if decoder.code_size else None
    drawn = [decoder.sample(1, torch.Generator().manual_seed(2), z, cached=cached) for cached in (True, False)]
    assert torch.equal(*drawn) and 0 < drawn[0].mean() < 1


NAME = "static/narrow"


@pytest.fixture
def short(tmp_path, monkeypatch):
    """Both plans of one recipe cut to two steps on random images, that measure nothing; the model stays narrow."""
    images = (torch.rand(8, *full_scale.SHAPE, generator=torch.Generator().manual_seed(0)) < 0.2).float()
    for recipes, name in ((RECIPES, NAME), (GPU, f"{NAME}.gpu")):
        recipe = full_scale.RECIPES[NAME] if recipes is RECIPES else GPU[name]
        plan = dataclasses.replace(recipe.plan, steps=2, batch_size=2)
        told = dict(plan=plan, train_images=lambda: images, evaluate=lambda model: {})
        monkeypatch.setitem(recipes, name, dataclasses.replace(recipe, **told))
    monkeypatch.setattr(train, "RUNS", tmp_path)
    monkeypatch.setattr(train, "GALLERY", 1)
    return tmp_path


def test_a_run_for_a_gpu_and_the_laptops_lie_side_by_side(short):
    for preset in ("gpu", "laptop"):
        assert train.main([NAME, "--device", "cpu", "--preset", preset]) == 0
    assert {path.name for path in (short / "static").glob("*.pt")} == {"narrow.pt", "narrow.gpu.pt"}
    large, small = (zoo.card(name, short / "zoo") for name in (f"{NAME}.gpu", NAME))
    assert small["command"] == f"python course.py train {NAME}"
    assert large["command"] == f"python course.py train {NAME} --preset gpu"
    assert (large["arguments"]["width"], small["arguments"]["width"]) == (64, 16)
    assert zoo.load(f"{NAME}.gpu", short / "zoo").hidden.out_channels == 64


def test_options_are_added_to_the_command_of_a_run_for_a_gpu(short):
    recipe = train.adjusted(GPU[f"{NAME}.gpu"], 3, False)
    command = train.describe(f"{NAME}.gpu", recipe)["command"]
    assert command == f"python course.py train {NAME} --preset gpu --steps 3 --no-bf16"


def test_a_recipe_without_one_for_a_gpu_and_a_run_for_one_without_weights_are_refused(short, capsys):
    assert train.main(["puzzle_a", "--preset", "gpu"]) == 1
    assert "puzzle_a has no preset for a GPU; these have one: static/pixelcnn, " in capsys.readouterr().out
    assert train.main([NAME, "--preset", "gpu", "--more", "5"]) == 1
    assert f"no stored weights of '{NAME}.gpu'" in capsys.readouterr().out
