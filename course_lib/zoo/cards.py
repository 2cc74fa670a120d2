"""Weights with their cards: written together, checked against each other, loaded by name."""

import hashlib
import json
import os
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load as parse_weights
from safetensors.torch import save as pack_weights
from torch import Tensor, nn

from course_lib.zoo.recipes import BUILDERS

WEIGHTS = Path(__file__).parent / "weights"
ROOT = Path(__file__).resolve().parents[2]


class ZooError(Exception):
    """A model of the zoo is missing, damaged, or not what its card says. The message says what to do."""


def names(folder: Path = WEIGHTS) -> list[str]:
    """The models that can be loaded."""
    return sorted(path.relative_to(folder).with_suffix("").as_posix() for path in folder.rglob("*.json"))


def card(name: str, folder: Path = WEIGHTS) -> dict:
    """What is known of a model: data, seed, steps, hardware, seconds, measurements, sha256.

    Raises ZooError for an unknown name or an unreadable card.
    """
    path = folder / f"{name}.json"
    if not path.exists():
        raise ZooError(f"there is no model {name!r}; the zoo has: {', '.join(names(folder)) or 'none'}")
    try:
        about = json.loads(path.read_text(encoding="utf-8"))
        about["sha256"][name], about["builder"], about["arguments"]
        return about
    except (ValueError, KeyError, TypeError) as error:
        raise ZooError(f"the card {path.name} is damaged ({error}); {_remedy(path)}") from error


def spent(about: dict) -> dict[str, int]:
    """The steps and the seconds in the weights of a card, from the very first where a training went on from others."""
    earlier = about.get("went_on_from", {"steps": 0, "seconds": 0})
    return {"steps": earlier["steps"] + about["plan"]["steps"], "seconds": earlier["seconds"] + about["seconds"]}


def load(name: str, folder: Path = WEIGHTS) -> nn.Module:
    """The trained model, on the CPU, ready to measure and to sample from.

    Raises ZooError when the weights are missing, or their sha256 is not the one on the card.
    """
    about = card(name, folder)
    content = _weights_of(name, about, folder)
    model = BUILDERS[about["builder"]](**_tuples(about["arguments"]))
    try:
        model.load_state_dict(parse_weights(content))
    except (SafetensorError, RuntimeError) as error:
        raise ZooError(f"the weights of {name!r} do not fit the model on its card: {error}") from error
    return model.eval()


def samples(name: str, folder: Path = WEIGHTS) -> Tensor:
    """Images drawn from the model when it was trained, as its card says: [n, colours, height, width], 0 or 1."""
    about = card(name, folder)
    packed = parse_weights(_weights_of(f"{name}.samples", about, folder))["samples"]
    return packed.float()


def save(
    name: str, model: nn.Module, drawn: Tensor, about: dict, folder: Path = WEIGHTS, dtype: torch.dtype = torch.float32
) -> dict:
    """Write weights in `dtype`, samples and card. The card goes last, so a torn write is caught by its sha256."""
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    state = {key: value.contiguous().cpu().to(dtype) for key, value in model.state_dict().items()}
    contents = {name: pack_weights(state), f"{name}.samples": pack_weights({"samples": drawn.to(torch.uint8).cpu()})}
    about = {**about, "sha256": {key: hashlib.sha256(content).hexdigest() for key, content in contents.items()}}
    for key, content in contents.items():
        _write(folder / f"{key}.safetensors", content)
    _write(folder / f"{name}.json", (json.dumps(about, indent=2) + "\n").encode())
    return about


def _weights_of(stem: str, about: dict, folder: Path) -> bytes:
    path = folder / f"{stem}.safetensors"
    if not path.exists():
        raise ZooError(f"{path.name} is missing; {_remedy(path)}")
    content = path.read_bytes()
    found, expected = hashlib.sha256(content).hexdigest(), about["sha256"].get(stem)
    if found != expected:
        raise ZooError(
            f"{path.name} is not the file its card describes (sha256 {found[:12]}..., the card says "
            f"{str(expected)[:12]}...): it was damaged or exchanged, and is not loaded. "
            f"{_remedy(path)}"
        )
    return content


def _remedy(path: Path) -> str:
    """How to get the file back; in a download without git, by downloading again."""
    inside = path.is_relative_to(ROOT)
    name = path.relative_to(ROOT).as_posix() if inside else path
    return f"restore it with: git checkout -- {name} (or download the course again)"


def _tuples(arguments: dict) -> dict:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in arguments.items()}


def _write(path: Path, content: bytes) -> None:
    partial = path.with_name(path.name + ".partial")
    partial.write_bytes(content)
    os.replace(partial, path)
