"""A run's state on disk: whole or not there, and refused by any other run."""

import os
from pathlib import Path

import torch
from torch import Tensor


class CheckpointError(Exception):
    """A checkpoint is damaged or belongs to another run; the message names the file and what to do."""


def write(path: Path, state: dict) -> None:
    """Store the state in one step, so that a process killed at any moment leaves the old state or the new one.

    A state with a NaN in it is not stored: what is there was still sound.
    """
    if not all_finite(state):
        return
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    os.replace(partial, path)


def read(path: Path, about: dict) -> dict:
    """The state of the run that `about` describes. Raises CheckpointError for a damaged file or another run's."""
    remedy = f"delete {path} to start anew"
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(state, dict):
            raise TypeError(f"it holds a {type(state).__name__}")
        found = dict(state["about"])
    except Exception as error:
        raise CheckpointError(f"the checkpoint is damaged or none of ours ({error}): {remedy}") from error
    for name in sorted(about.keys() | found.keys()):
        if about.get(name) != found.get(name):
            told = f"{name} was {found.get(name)}, and is now {about.get(name)}"
            raise CheckpointError(f"the checkpoint belongs to another run ({told}): {remedy}")
    return state


def all_finite(state) -> bool:
    """Whether no number in nested dictionaries and lists of tensors is NaN or infinite."""
    if isinstance(state, Tensor):
        return bool(torch.isfinite(state).all())
    if isinstance(state, dict | list | tuple):
        return all(map(all_finite, state.values() if isinstance(state, dict) else state))
    return True
