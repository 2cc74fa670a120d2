"""Train a model of the zoo again: python course.py train NAME. An interrupted run is taken up where it stopped."""

import argparse
import dataclasses
import json
import platform
from pathlib import Path

import torch

from course_lib.data import DataError
from course_lib.training.fit import CheckpointError, Fit
from course_lib.training.placement import Placement
from course_lib.zoo import cards
from course_lib.zoo.cards import ZooError
from course_lib.zoo.going_on import GoingOn, going_on
from course_lib.zoo.recipes import GPU, RECIPES, Recipe

RUNS = cards.ROOT / "runs"
GALLERY = 64


def main(argv: list[str]) -> int:
    """Train, measure, and write weights, samples and card. Returns 0, or 1 when the run was refused or interrupted.

    Of several processes the first alone measures, writes and speaks.
    """
    options = parser().parse_args(argv)
    try:
        name, recipe = chosen(options)
        placement = Placement(options.accelerator, options.devices, options.compile)
        run = prepare(name, recipe, placement)
    except (DataError, CheckpointError, ZooError, ValueError) as error:
        print(error)
        return 1
    first = run.fabric.global_rank == 0
    if run.step and first:
        print(f"taken up at step {run.step:,} of {run.plan.steps:,}; to begin anew, delete {run.checkpoint}")
    finished, folder = run.run(every=50, save_every=250).finished, options.to or RUNS / "zoo"
    if not first:
        return 0
    if not finished:
        print(f"to go on from step {run.step}, give the same command again")
        return 1
    print("trained; now it is measured, which takes minutes for a model of full size")
    try:
        card = finish(name, recipe, run, folder)
    except KeyboardInterrupt:
        print("interrupted; the training is kept: give the same command again, and it is measured")
        return 1
    print(json.dumps(card["measurements"], indent=2))
    print(f"weights and card are in {folder}; load them with zoo.load({name!r}, folder)")
    return 0


def parser() -> argparse.ArgumentParser:
    """The options of the command; those that are not given are the recipe's."""
    parser = argparse.ArgumentParser(prog="course.py train", description=__doc__)
    parser.add_argument("name", choices=sorted(RECIPES), help="which model")
    parser.add_argument("--accelerator", "--device", default="auto", help="cpu, cuda, or auto: a GPU if there is one")
    parser.add_argument("--devices", type=int, default=1, help="how many, one process each; they share every batch")
    parser.add_argument("--compile", action="store_true", help="translate the networks with torch.compile")
    parser.add_argument("--bf16", action=argparse.BooleanOptionalAction, help="compute in bfloat16")
    parser.add_argument("--steps", type=int, help="another number of steps")
    parser.add_argument("--more", type=int, metavar="STEPS", help="go on from the course's weights, at half the rate")
    parser.add_argument("--preset", choices=("laptop", "gpu"), default="laptop", help="gpu: a larger model and plan")
    parser.add_argument("--to", type=Path, help="folder for weights and card; runs/zoo if left out, the course's stay")
    return parser


def chosen(options: argparse.Namespace) -> tuple[str, Recipe]:
    """The recipe that the options ask for, and the name of what it makes. Raises ValueError where there is none."""
    name = options.name + (".gpu" if options.preset == "gpu" else "")
    if name not in RECIPES | GPU:
        raise ValueError(f"{options.name} has no preset for a GPU; these have one: {', '.join(map(_stem, GPU))}")
    if None not in (options.more, options.steps):
        raise ValueError("--steps trains anew and --more goes on: give one of the two")
    recipe = adjusted((RECIPES | GPU)[name], options.steps, options.bf16)
    return name, recipe if options.more is None else going_on(name, recipe, options.more)


def adjusted(recipe: Recipe, steps: int | None, bf16: bool | None) -> Recipe:
    """The recipe with another number of steps or precision in its plan, where one is given."""
    changes = {name: value for name, value in (("steps", steps), ("bf16", bf16)) if value is not None}
    return dataclasses.replace(recipe, plan=dataclasses.replace(recipe.plan, **changes))


def prepare(name: str, recipe: Recipe, placement: Placement) -> Fit:
    """The run of a recipe, at the step its checkpoint has reached."""
    model = recipe.build().to(memory_format=torch.channels_last)
    about = describe(name, recipe) | {"hardware": hardware(placement.kind, placement.processes)}
    checkpoint = RUNS / f"{name}{_after(recipe)}.pt"
    return Fit(model, recipe.objective(), recipe.train_images(), recipe.plan, checkpoint, about, placement)


def _after(recipe: Recipe) -> str:
    """What tells the checkpoint of a run that goes on from the plain run's, and from a later one's."""
    return f".after_{recipe.went_on_from['steps']}" if isinstance(recipe, GoingOn) else ""


def finish(name: str, recipe: Recipe, run: Fit, folder: Path) -> dict:
    """Measure the trained model, draw its gallery, and store all of it."""
    model = run.model.to("cpu", memory_format=torch.contiguous_format).eval()
    model = model.to(recipe.stored).float()
    drawn = model.sample(GALLERY, torch.Generator().manual_seed(recipe.plan.seed))
    about = describe(name, recipe) | {
        "parameters": sum(p.numel() for p in model.parameters()),
        "hardware": run.about["hardware"],
        "seconds": round(run.seconds),
        "torch": torch.__version__,
        "weights": str(recipe.stored).removeprefix("torch."),
        "measurements": recipe.evaluate(model),
    }
    return cards.save(name, model, drawn, about, folder, recipe.stored)


def describe(name: str, recipe: Recipe) -> dict:
    """What the recipe alone says, and from which weights it goes on, if it does."""
    before = {"went_on_from": recipe.went_on_from} if isinstance(recipe, GoingOn) else {}
    return before | {
        "name": name,
        "purpose": recipe.purpose,
        "builder": recipe.builder,
        "arguments": recipe.arguments,
        "data": recipe.data,
        "objective": recipe.objective_name,
        "plan": dataclasses.asdict(recipe.plan),
        "samples": f"{GALLERY} draws, seed {recipe.plan.seed}",
        "command": f"python course.py train {_stem(name)}{_options(name, recipe)}",
    }


def _options(name: str, recipe: Recipe) -> str:
    """The options that make this plan of the zoo's."""
    usual, plan = (RECIPES | GPU)[name].plan, recipe.plan
    preset = " --preset gpu" if name in GPU else ""
    steps = f" --steps {plan.steps}" if plan.steps != usual.steps else ""
    steps = f" --more {plan.steps}" if isinstance(recipe, GoingOn) else steps
    return preset + steps + (f" --{'' if plan.bf16 else 'no-'}bf16" if plan.bf16 != usual.bf16 else "")


def _stem(name: str) -> str:
    """The name without its preset."""
    return name.removesuffix(".gpu")


def hardware(device: str, count: int = 1) -> str:
    """The name of the processor or the card, and the threads used; `count` of them, where there are several."""
    return f"{count} x {_hardware(device)}" if count > 1 else _hardware(device)


def _hardware(device: str) -> str:
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
