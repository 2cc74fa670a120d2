"""Several processes that share a batch do what one process does with the whole of it: real processes, gloo, the CPU.

Run as a program, this file is what the processes carry out; Fabric starts it once more for each further process.
"""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import torch.distributed as dist

from course_lib.data import digits
from course_lib.experiments import shared_batch
from course_lib.models.pixelcnn import PixelCNN
from course_lib.models.vae import pixelcnn_vae
from course_lib.objectives.adversary import Adversary
from course_lib.objectives.infovae import InfoVAE, elbo
from course_lib.objectives.likelihood import negative_log_likelihood
from course_lib.objectives.warm_up import KLWarmUp
from course_lib.training import checkpoint
from course_lib.training.fit import Fit, NotFinite, Plan
from course_lib.training.placement import Placement

PLAN = Plan(12, 16, warm_up=4)


def pixelcnn():
    torch.manual_seed(0)
    return PixelCNN((1, 8, 8), 4, 1)


def vae():
    torch.manual_seed(0)
    return pixelcnn_vae((1, 8, 8), code_size=3, hidden=16, width=4, depth=1)


# The grey digits are binarised afresh at every step, so that the processes' noise counts as well.
CASES = {
    "pixelcnn": (pixelcnn, lambda: negative_log_likelihood, False),
    "elbo": (vae, elbo, True),
    "mmd": (vae, lambda: InfoVAE(alpha=0.5, lambd=50.0), True),
    "adversary": (vae, lambda: KLWarmUp(InfoVAE(0.5, 2.0, Adversary(3, hidden=8)), steps=6), True),
}


def prepared(name, folder, placement, plan=PLAN, objective=None):
    build, make_objective, binary = CASES[name]
    images = digits(binary=binary).train.images[:100]
    return Fit(build(), objective or make_objective(), images, plan, folder / f"{name}.pt", placement=placement)


def state_of(run):
    return torch.cat([p.detach().flatten() for p in run.model.parameters()])


# What the processes do


def carry_out(folder):
    """Every case, then the accidents that one process alone meets; each process writes down what it saw."""
    pair = Placement(devices=2)
    written = count_writes()
    seen = {name: vars(prepared(name, folder, pair).run(every=1, progress=False)) for name in CASES}
    seen["writes"] = len(written)
    seen["interrupted"] = interrupted_in_one(folder, pair)
    seen["nan"] = refused(prepared("pixelcnn", fresh(folder / "nan"), pair, objective=nan_in_the_second))
    try:
        prepared("pixelcnn", fresh(folder / "odd"), pair, Plan(12, 15))
    except ValueError as error:
        seen["odd"] = str(error)
    (folder / f"seen{dist.get_rank()}.json").write_text(json.dumps(seen))


def fresh(folder):
    folder.mkdir(exist_ok=True)
    return folder


def count_writes():
    written, write = [], checkpoint.write
    checkpoint.write = lambda *state: (written.append(1), write(*state))
    return written


def interrupted_in_one(folder, placement):
    """Ctrl-C reaches the second process alone, in step 5; the run is then taken up to its end."""
    run = prepared("adversary", fresh(folder / "interrupted"), placement)
    handle = run.model.decoder.last.register_forward_pre_hook(
        lambda *_: signal.raise_signal(signal.SIGINT) if dist.get_rank() == 1 and run.step == 5 else None
    )
    with contextlib.redirect_stdout(sys.stderr):
        run.run(every=1, progress=False)
    handle.remove()
    dist.barrier()
    again = prepared("adversary", folder / "interrupted", placement)
    again.run(every=1, progress=False)
    return {"step": run.step, "weights": state_of(again).tolist(), "terms": again.history.terms}


def nan_in_the_second(model, x, generator):
    terms = negative_log_likelihood(model, x, generator)
    step = len(calls := nan_in_the_second.__dict__.setdefault("calls", []))
    calls.append(step)
    return terms | {"rate": terms["nll"] * (float("nan") if dist.get_rank() == 1 and step == 3 else 1)}


def refused(run):
    try:
        run.run(progress=False)
    except NotFinite as error:
        return {"message": str(error), "step": run.step, "finite": bool(torch.isfinite(state_of(run)).all())}


# What is claimed of them


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """The folder in which two processes have done all this, and what each of them saw."""
    folder = tmp_path_factory.mktemp("pair")
    environment = {key: value for key, value in os.environ.items() if key not in ("LOCAL_RANK", "WORLD_SIZE")}
    environment |= {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1])}
    command = [sys.executable, __file__, folder]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return folder, [json.loads((folder / f"seen{rank}.json").read_text()) for rank in range(2)]


@pytest.mark.parametrize("name", CASES)
def test_two_processes_walk_the_loss_curve_of_one(pair, tmp_path, name):
    """Every named term at every step to 1e-4 nats, and the weights at the end."""
    folder, seen = pair
    alone = prepared(name, tmp_path, Placement())
    expected = alone.run(every=1, progress=False)
    together = torch.load(folder / f"{name}.pt", weights_only=True)
    for own in (seen[0][name], seen[1][name], together):
        assert own["steps"] == expected.steps and own["terms"].keys() == expected.terms.keys()
        for term, values in expected.terms.items():
            assert own["terms"][term] == pytest.approx(values, abs=1e-4), term
    for key, value in alone.model.state_dict().items():
        assert torch.allclose(together["model"][key], value, atol=1e-4), key
    assert torch.std(torch.tensor(expected.terms["loss"])) > 0.1


def test_the_first_process_alone_writes_checkpoints(pair):
    _, seen = pair
    assert seen[0]["writes"] == len(CASES) and seen[1]["writes"] == 0


def test_an_interrupt_in_one_process_stops_all_after_the_same_step(pair):
    _, seen = pair
    assert [own["interrupted"]["step"] for own in seen] == [6, 6]


def test_two_processes_resume_to_the_weights_of_the_uninterrupted_run(pair):
    """Bit for bit, the discriminator of the adversary with them: the later terms depend on it."""
    folder, seen = pair
    whole = torch.load(folder / "adversary.pt", weights_only=True)
    run = prepared("adversary", folder, Placement())
    for own in seen:
        assert torch.equal(torch.tensor(own["interrupted"]["weights"]), state_of(run))
        assert own["interrupted"]["terms"] == whole["terms"]


def test_a_nan_in_one_process_stops_all_before_the_weights_move(pair):
    _, seen = pair
    for own in seen:
        assert own["nan"]["step"] == 3 and own["nan"]["finite"]
        assert "step 3: the term 'rate' is nan" in own["nan"]["message"]


def test_a_batch_that_cannot_be_shared_evenly_is_refused(pair):
    _, seen = pair
    assert [own["odd"] for own in seen] == ["2 processes cannot share a batch of 15 evenly: change one of the two"] * 2


if __name__ == "__main__":
    carry_out(Path(sys.argv[1]))


# Machines, as torchrun starts them


def test_two_machines_of_one_process_each_do_together_what_one_process_does(tmp_path):
    """Two torchruns that meet at a port, as on a cluster, here on one machine."""
    with socket.socket() as any_free:
        any_free.bind(("127.0.0.1", 0))
        port = any_free.getsockname()[1]
    file = tmp_path / "weights.pt"
    meet = ["--nnodes", "2", "--nproc-per-node", "1", "--master-addr", "127.0.0.1", "--master-port", str(port)]
    program = ["-m", "course_lib.experiments.shared_batch", str(file)]
    machines = [
        subprocess.Popen([sys.executable, "-m", "torch.distributed.run", *meet, "--node-rank", rank, *program])
        for rank in ("0", "1")
    ]
    assert [machine.wait(timeout=120) for machine in machines] == [0, 0]
    assert torch.allclose(torch.load(file), shared_batch.trained(Placement()), atol=1e-4)


def test_a_placement_counts_the_processes_of_all_machines_that_torchrun_has_started(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "8")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    monkeypatch.setenv("GROUP_WORLD_SIZE", "2")
    assert (Placement().processes, Placement().nodes) == (8, 2)
