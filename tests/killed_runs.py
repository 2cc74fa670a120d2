"""A run killed at twenty random moments, one process after another; test_training.py reads what became of it.

The processes are forked from one that has PyTorch in memory already, and save after every step.
"""

import json
import os
import random
import signal
import sys
import time
from pathlib import Path

import torch

from course_lib.models.pixelcnn import PixelCNN
from course_lib.objectives.likelihood import negative_log_likelihood
from course_lib.training.fit import Fit, Plan

KILLS, PLAN = 20, Plan(100, 8)
GREY = torch.rand(40, 1, 4, 4, generator=torch.Generator().manual_seed(0))


def run_of(path):
    """The run, at the step that its checkpoint has reached."""
    torch.manual_seed(0)
    return Fit(PixelCNN((1, 4, 4), 4, 1), negative_log_likelihood, GREY, PLAN, path)


def train(run):
    run.run(every=1, save_every=1, progress=False)
    return run


def killed_child(path, delay):
    """Train in a process of its own and kill it after `delay` seconds. Returns whether the kill found it at work."""
    child = os.fork()
    if child == 0:
        train(run_of(path))
        os._exit(0)
    time.sleep(delay)
    os.kill(child, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def main(folder):
    chance, path, kills, reached = random.Random(0), folder / "run.pt", 0, []
    fabric_unasked, whole = "lightning_fabric" in sys.modules, run_of(folder / "whole.pt")
    started = time.perf_counter()
    train(whole)
    seconds = time.perf_counter() - started
    while kills < KILLS:
        if killed_child(path, chance.uniform(0, seconds / 6)):
            kills += 1
        reached.append(run_of(path).step)
        if reached[-1] == PLAN.steps:
            path.unlink()
    resumed = train(run_of(path))
    same = all(map(torch.equal, whole.model.parameters(), resumed.model.parameters()))
    same &= whole.history.terms == resumed.history.terms
    print(json.dumps({"kills": kills, "reached": reached, "same": same, "fabric_unasked": fabric_unasked}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
