"""Train a model of the zoo again: python course.py train NAME. An interrupted run is taken up where it stopped."""

import argparse
import dataclasses
import json
import platform
from pathlib import Path

import torch

from course_lib.data import DataError
from course_lib.training.fit import CheckpointError, Fit
from course_lib.zoo import cards
from course_lib.zoo.recipes import RECIPES, Recipe

RUNS = cards.ROOT / "runs"
GALLERY = 64


def main(argv: list[str]) -> int:
    """Train, measure, and write weights, samples and card. Returns 0, or 1 when the run was interrupted."""
    parser = argparse.ArgumentParser(prog="course.py train", description=__doc__)
    parser.add_argument("name", choices=sorted(RECIPES), help="which model")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--to", type=Path, help="folder for weights and card; runs/zoo if left out, the course's own stay"
    )
    options = parser.parse_args(argv)
    try:
        run = prepare(options.name, options.device)
    except (DataError, CheckpointError) as error:
        print(error)
        return 1
    if not run.run(every=50, save_every=250).finished:
        print(f"to go on from step {run.step}: python course.py train {options.name}")
        return 1
    folder = options.to or RUNS / "zoo"
    about = finish(options.name, run, options.device, folder)
    print(json.dumps(about["measurements"], indent=2))
    print(f"weights and card are in {folder}; load them with zoo.load({options.name!r}, folder)")
    return 0


def prepare(name: str, device: str) -> Fit:
    """The run of a recipe, at the step its checkpoint has reached."""
    recipe = RECIPES[name]
    model = recipe.build().to(device, memory_format=torch.channels_last)
    images = recipe.train_images().to(device)
    about = describe(name, recipe) | {"hardware": hardware(device)}
    return Fit(model, recipe.objective, images, recipe.plan, RUNS / f"{name}.pt", about)


def finish(name: str, run: Fit, device: str, folder: Path) -> dict:
    """Measure the trained model, draw its gallery, and store all of it."""
    recipe, model = RECIPES[name], run.model.to("cpu", memory_format=torch.contiguous_format).eval()
    drawn = model.sample(GALLERY, torch.Generator().manual_seed(recipe.plan.seed))
    about = describe(name, recipe) | {
        "parameters": sum(p.numel() for p in model.parameters()),
        "hardware": hardware(device),
        "seconds": round(run.seconds),
        "torch": torch.__version__,
        "measurements": recipe.evaluate(model),
    }
    return cards.save(name, model, drawn, about, folder)


def describe(name: str, recipe: Recipe) -> dict:
    """What the recipe alone says."""
    return {
        "name": name,
        "purpose": recipe.purpose,
        "builder": recipe.builder,
        "arguments": recipe.arguments,
        "data": recipe.data,
        "objective": recipe.objective_name,
        "plan": dataclasses.asdict(recipe.plan),
        "samples": f"{GALLERY} draws, seed {recipe.plan.seed}",
        "command": f"python course.py train {name}",
    }


def hardware(device: str) -> str:
    """The name of the processor or the card, and the threads used."""
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    return f"{_processor()}, {torch.get_num_threads()} thread(s), {'no GPU' if device == 'cpu' else device}"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    found = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return found[0] if found else platform.machine()
