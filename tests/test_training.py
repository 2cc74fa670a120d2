"""The fit loop: it learns, resumes exactly, keeps what was learnt, and stops at NaN."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from course_lib.models.encoders import MLPEncoder
from course_lib.models.factorised import FactorisedDecoder
from course_lib.models.pixelcnn import PixelCNN
from course_lib.models.vae import VAE, pixelcnn_vae
from course_lib.objectives.adversary import Adversary
from course_lib.objectives.dynamic import DynamicBinarisation
from course_lib.objectives.free_bits import FreeBits
from course_lib.objectives.infovae import InfoVAE, elbo
from course_lib.objectives.likelihood import negative_log_likelihood
from course_lib.objectives.reconstruction import FoundOut
from course_lib.objectives.stein import Stein
from course_lib.objectives.target_rate import TargetRate
from course_lib.objectives.warm_up import KLWarmUp
from course_lib.training.fit import CheckpointError, Fit, NotFinite, Plan, fit
from course_lib.training.placement import Placement

IMAGES = (torch.rand(50, 1, 4, 4, generator=torch.Generator().manual_seed(0)) < 0.2).float()


def small_model(seed=0):
    torch.manual_seed(seed)
    return PixelCNN((1, 4, 4), 4, 1)


def weights(model):
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def test_training_lowers_the_loss():
    history = fit(small_model(), negative_log_likelihood, IMAGES, Plan(200, 16), every=1, progress=False)
    assert sum(history.terms["nll"][-20:]) < 0.9 * sum(history.terms["nll"][:20])
    assert history.finished


def interrupt_at(step):
    """The objective, but Ctrl-C arrives in its call number `step`, counted from 0: that step is still taken."""
    calls = iter(range(10_000))

    def objective(model, x, generator):
        if next(calls) == step:
            signal.raise_signal(signal.SIGINT)
        return negative_log_likelihood(model, x, generator)

    return objective


@pytest.mark.fault("a training is interrupted")
@pytest.mark.parametrize("stop", [0, 7, 18])
def test_an_interrupted_run_resumes_to_the_same_weights(tmp_path, stop, capsys):
    plan, grey = Plan(20, 16, warm_up=5), IMAGES * 0.7
    whole = small_model()
    expected = fit(whole, negative_log_likelihood, grey, plan, every=1, progress=False)
    first = small_model()
    history = fit(first, interrupt_at(stop), grey, plan, checkpoint=tmp_path / "run.pt", every=1, progress=False)
    assert not history.finished and f"step {stop + 1} of 20" in capsys.readouterr().out
    again = small_model(seed=9)
    resumed = fit(again, negative_log_likelihood, grey, plan, checkpoint=tmp_path / "run.pt", every=1, progress=False)
    assert torch.equal(weights(whole), weights(again))
    assert resumed.terms == expected.terms and resumed.steps == list(range(1, 21))


def test_a_finished_run_is_not_trained_further(tmp_path):
    plan = Plan(5, 16)
    first, second = small_model(), small_model(seed=1)
    fit(first, negative_log_likelihood, IMAGES, plan, checkpoint=tmp_path / "run.pt", progress=False)
    fit(second, negative_log_likelihood, IMAGES, plan, checkpoint=tmp_path / "run.pt", progress=False)
    assert torch.equal(weights(first), weights(second))


def test_nan_stops_training_and_names_the_step_and_the_term(tmp_path):
    def objective(model, x, generator):
        terms = negative_log_likelihood(model, x, generator)
        return terms | {"rate": terms["nll"] * (float("nan") if run.step == 3 else 1)}

    run = Fit(small_model(), objective, IMAGES, Plan(10, 16), tmp_path / "run.pt")
    with pytest.raises(NotFinite, match="step 3.*'rate'"):
        run.run(progress=False)
    assert torch.isfinite(weights(run.model)).all()
    assert Fit(small_model(), objective, IMAGES, Plan(10, 16), tmp_path / "run.pt").step == 3


def test_too_few_images_for_a_batch_are_refused():
    with pytest.raises(ValueError, match="50 images"):
        fit(small_model(), negative_log_likelihood, IMAGES, Plan(5, 64), progress=False)


@pytest.mark.parametrize(
    "plan, message",
    [
        (dict(steps=-1), "steps must be a whole number, 0 or more; got -1"),
        (dict(batch_size=0), "batch_size must be a whole number, 1 or more; got 0"),
        (dict(warm_up=-1), "warm_up must"),
        (dict(learning_rate=0.0), "must be positive, got 0.0 and 10.0"),
        (dict(clip=-1.0), "must be positive, got 0.002 and -1.0"),
    ],
)
def test_a_plan_that_no_run_can_follow_is_refused(plan, message):
    with pytest.raises(ValueError, match=message):
        Plan(**{"steps": 5, **plan})


@pytest.mark.parametrize("option", ["every", "save_every"])
def test_never_noting_or_never_saving_is_refused(option):
    with pytest.raises(ValueError, match=f"{option} must be a whole number, 1 or more; got 0"):
        fit(small_model(), negative_log_likelihood, IMAGES, Plan(5, 16), progress=False, **{option: 0})


def test_each_pass_shows_every_image_once_in_a_fresh_order():
    run = Fit(small_model(), negative_log_likelihood, torch.arange(12.0).view(12, 1, 1, 1), Plan(8, 3))
    passes = [torch.cat([run._batch(step)[0].flatten() for step in range(p * 4, p * 4 + 4)]) for p in range(2)]
    assert passes[0].sort().values.tolist() == passes[1].sort().values.tolist() == list(range(12))
    assert passes[0].tolist() != passes[1].tolist()


def test_each_step_has_noise_of_its_own_and_the_same_in_every_run_of_the_plan():
    def noise(step, seed=0):
        run = Fit(small_model(), negative_log_likelihood, IMAGES, Plan(8, 16, seed=seed))
        return torch.rand(3, generator=run._batch(step)[1]).tolist()

    assert noise(5) == noise(5) and len({tuple(noise(step, seed)) for step in range(4) for seed in range(2)}) == 8


def test_learning_rate_rises_then_falls():
    plan = Plan(100, learning_rate=1.0, warm_up=10)
    rates = [plan.rate_at(step) for step in range(100)]
    assert max(rates) == rates[10] == pytest.approx(1.0)
    assert rates[:11] == sorted(rates[:11]) and rates[10:] == sorted(rates[10:], reverse=True)


def test_an_interrupt_without_a_checkpoint_is_passed_on_and_the_handler_is_put_back():
    before = signal.getsignal(signal.SIGINT)
    model = small_model()
    with pytest.raises(KeyboardInterrupt):
        fit(model, interrupt_at(2), IMAGES, Plan(10, 16), progress=False)
    assert not model.training and signal.getsignal(signal.SIGINT) is before


def test_a_gradient_that_is_not_finite_stops_before_the_weights_move(tmp_path):
    def objective(model, x, generator):
        return {"loss": (model.last.bias * 0).sum().abs().sqrt() + negative_log_likelihood(model, x, generator)["nll"]}

    run = Fit(small_model(), objective, IMAGES, Plan(10, 16), tmp_path / "run.pt")
    with pytest.raises(NotFinite, match="'gradient'"):
        run.run(progress=False)
    assert torch.isfinite(weights(run.model)).all()
    saved = torch.load(tmp_path / "run.pt", weights_only=True)["model"]
    assert all(torch.isfinite(value).all() for value in saved.values())


def test_a_checkpoint_of_another_run_or_model_is_refused_by_name(tmp_path):
    path = tmp_path / "run.pt"
    fit(small_model(), negative_log_likelihood, IMAGES, Plan(3, 16), checkpoint=path, progress=False)
    with pytest.raises(CheckpointError, match="plan was .*'seed': 0.*'seed': 7.*delete"):
        Fit(small_model(), negative_log_likelihood, IMAGES, Plan(3, 16, seed=7), path)
    with pytest.raises(CheckpointError, match="objective was None"):
        fit(small_model(), elbo(), IMAGES, Plan(3, 16), checkpoint=path, about={"objective": "ELBO"}, progress=False)
    with pytest.raises(CheckpointError, match="another model"):
        Fit(PixelCNN((1, 4, 4), 8, 1), negative_log_likelihood, IMAGES, Plan(3, 16), path)


@pytest.mark.parametrize("other", [[1, 2], torch.zeros(3), {"about": 3}, {"plan": {}}, None], ids=str)
def test_a_file_of_something_else_is_refused_and_named(tmp_path, other):
    torch.save(other, tmp_path / "run.pt")
    with pytest.raises(CheckpointError, match="run.pt to start anew"):
        Fit(small_model(), negative_log_likelihood, IMAGES, Plan(3, 16), tmp_path / "run.pt")


def test_a_checkpoint_of_another_objective_is_refused_by_name(tmp_path):
    vae, path = small_vae(), tmp_path / "run.pt"
    with_adversary = InfoVAE(0.5, 2.0, Adversary(vae.code_size, seed=1))
    fit(vae, KLWarmUp(with_adversary, 5), IMAGES, Plan(3, 16), checkpoint=path, progress=False)
    for other in (elbo(), KLWarmUp(with_adversary, 6), KLWarmUp(InfoVAE(0.5, 2.0, Adversary(2, seed=2)), 5)):
        with pytest.raises(CheckpointError, match="objective was KLWarmUp.*and is now.*delete"):
            Fit(small_vae(), other, IMAGES, Plan(3, 16), path)
    again = KLWarmUp(InfoVAE(0.5, 2.0, Adversary(vae.code_size, seed=1)), 5)
    assert Fit(small_vae(), again, IMAGES, Plan(3, 16), path).step == 3


def test_no_objective_of_the_library_is_told_by_its_address():
    adversary, stein = InfoVAE(0.5, 2.0, Adversary(2)), InfoVAE(0.5, 2.0, Stein())
    judged = TargetRate(3.0, cost=FoundOut((1, 4, 4)))
    for objective in (elbo(), FreeBits(0.1), DynamicBinarisation(KLWarmUp(adversary, 5)), stein, judged):
        assert " at 0x" not in repr(objective) and type(objective).__name__ in repr(objective)


@pytest.mark.fault("a damaged checkpoint")
@pytest.mark.parametrize("content", [b"", b"not a checkpoint", None])
def test_a_damaged_checkpoint_is_refused_and_named(tmp_path, content):
    path = tmp_path / "run.pt"
    fit(small_model(), negative_log_likelihood, IMAGES, Plan(3, 16), checkpoint=path, progress=False)
    path.write_bytes(path.read_bytes()[:2000] if content is None else content)
    with pytest.raises(CheckpointError, match="run.pt to start anew"):
        Fit(small_model(), negative_log_likelihood, IMAGES, Plan(3, 16), path)


def test_the_loop_applies_what_the_plan_says(tmp_path):
    """Learning rate, bfloat16, checkpoints on the way, training mode on and then off."""
    seen = []

    def objective(model, x, generator):
        assert model.training and torch.is_autocast_enabled("cpu")
        seen.append((run.optimiser.param_groups[0]["lr"], (tmp_path / "run.pt").exists()))
        return negative_log_likelihood(model, x, generator)

    plan = Plan(6, 16, learning_rate=0.5, warm_up=3, bf16=True)
    run = Fit(small_model(), objective, IMAGES, plan, tmp_path / "run.pt")
    run.run(save_every=4, progress=False)
    assert seen == [(plan.rate_at(step), step >= 4) for step in range(6)]
    assert not run.model.training


def test_long_gradients_are_clipped():
    """Adam divides by the gradient's size unless that is far below its epsilon, as after clipping to almost nothing."""
    moved = []
    for clip in (1e-12, 10.0):
        model = small_model()
        before = weights(model)
        fit(model, negative_log_likelihood, IMAGES, Plan(1, 16, clip=clip), progress=False)
        moved.append(float((weights(model) - before).abs().max()))
    assert moved[0] < 0.01 * moved[1]


def test_seconds_add_up_over_interruptions(tmp_path):
    first = Fit(small_model(), interrupt_at(3), IMAGES, Plan(8, 16), tmp_path / "run.pt")
    first.run(progress=False)
    second = Fit(small_model(), negative_log_likelihood, IMAGES, Plan(8, 16), tmp_path / "run.pt")
    assert second.seconds == first.seconds > 0
    second.run(progress=False)
    assert second.seconds > first.seconds


# Every kind of run resumes


def small_vae(seed=0):
    torch.manual_seed(seed)
    return pixelcnn_vae((1, 4, 4), code_size=2, hidden=8, width=4, depth=1)


def factorised_vae(seed=0):
    torch.manual_seed(seed)
    return VAE(MLPEncoder((1, 4, 4), 2, 8), FactorisedDecoder((1, 4, 4), 2, hidden=8), 2)


def judged():
    return TargetRate(3.0, cost=FoundOut((1, 4, 4), features=5.0, hidden=4))


class Scaled:
    """An objective with a schedule and something that learns: the loss is the NLL times a number that it follows."""

    def __init__(self):
        self.number = torch.ones(())

    def at(self, step):
        self.share = step / 10
        return self

    def __call__(self, model, x, generator):
        terms = negative_log_likelihood(model, x, generator)
        self.last = terms["nll"].detach()
        return {"loss": terms["nll"] * self.number * (1 + self.share), "share": torch.tensor(self.share)}

    def after_step(self):
        self.number = 0.9 * self.number + 0.01 * self.last

    def state_dict(self):
        return {"number": self.number}

    def load_state_dict(self, state):
        self.number = state["number"]


RUNS = {
    "bfloat16": (small_model, lambda: negative_log_likelihood, True),
    "VAE": (small_vae, elbo, False),
    "VAE in bfloat16": (small_vae, elbo, True),
    "KL warm-up": (small_vae, lambda: KLWarmUp(elbo(), steps=10), False),
    "stand-in that learns": (small_model, Scaled, False),
    "adversary": (small_vae, lambda: InfoVAE(0.5, 2.0, Adversary(2, hidden=8)), False),
    "adversary, warm-up": (small_vae, lambda: KLWarmUp(InfoVAE(0.5, 2.0, Adversary(2, hidden=8)), 10), False),
    "target rate, found out": (factorised_vae, judged, False),
    "target rate, found out, in bfloat16": (factorised_vae, judged, True),
}


def interrupted_run(build, objective, plan, path, stop):
    """A run in whose step number `stop`, counted from 0, Ctrl-C arrives."""
    run = Fit(build(), objective, IMAGES, plan, path)
    first = getattr(run.model, "encoder", run.model)
    handle = first.register_forward_pre_hook(
        lambda *_: signal.raise_signal(signal.SIGINT) if run.step == stop else None
    )
    run.run(every=1, progress=False)
    handle.remove()
    return run


@pytest.mark.parametrize("name", RUNS)
def test_every_kind_of_run_resumes_to_the_same_weights(tmp_path, name):
    build, objective, bf16 = RUNS[name]
    plan = Plan(12, 16, warm_up=3, bf16=bf16)
    whole = Fit(build(), objective(), IMAGES, plan)
    expected = whole.run(every=1, progress=False)
    assert interrupted_run(build, objective(), plan, tmp_path / "run.pt", stop=5).step == 6
    resumed = Fit(build(seed=9), objective(), IMAGES, plan, tmp_path / "run.pt")
    assert resumed.run(every=1, progress=False).terms == expected.terms
    assert torch.equal(weights(whole.model), weights(resumed.model))


def test_the_objective_of_the_step_is_asked_and_learns_after_each_step():
    history = fit(small_model(), Scaled(), IMAGES, Plan(12, 16), every=1, progress=False)
    assert history.terms["share"] == pytest.approx([step / 10 for step in range(12)])
    events = []

    class Listening(Scaled):
        def after_step(self):
            events.append(weights(model).clone())

    model = small_model()
    fit(model, Listening(), IMAGES, Plan(3, 16), progress=False)
    assert len(events) == 3 and torch.equal(events[-1], weights(model))


def test_an_adversary_that_has_become_nan_is_not_stored(tmp_path):
    class Breaking(Scaled):
        def after_step(self):
            self.number = self.number * (float("nan") if run.step == 4 else 1)

    run = Fit(small_model(), Breaking(), IMAGES, Plan(10, 16), tmp_path / "run.pt")
    with pytest.raises(NotFinite, match="step 5.*'loss'"):
        run.run(save_every=3, progress=False)
    stored = torch.load(tmp_path / "run.pt", weights_only=True)
    assert stored["step"] == 3 and stored["objective"]["number"] == 1


def test_a_failure_after_the_weights_moved_leaves_the_last_sound_checkpoint(tmp_path):
    class Failing(Scaled):
        def after_step(self):
            if run.step == 4:
                raise RuntimeError("out of memory")

    run = Fit(small_model(), Failing(), IMAGES, Plan(10, 16), tmp_path / "run.pt")
    with pytest.raises(RuntimeError, match="out of memory"):
        run.run(save_every=3, progress=False)
    assert Fit(small_model(), Failing(), IMAGES, Plan(10, 16), tmp_path / "run.pt").step == 3


@pytest.fixture(scope="module")
def killed(tmp_path_factory):
    """What killed_runs.py found, in a process of its own."""
    if not hasattr(os, "fork"):
        pytest.skip("this system cannot fork")
    script = Path(__file__).with_name("killed_runs.py")
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(script.parents[1])}
    command = [sys.executable, script, tmp_path_factory.mktemp("killed")]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.mark.fault("a training is killed")
def test_a_run_killed_at_twenty_random_moments_ends_with_the_weights_of_an_unkilled_one(killed):
    assert killed["kills"] == 20 and killed["same"]
    assert len({step for step in killed["reached"] if 0 < step < 100}) > 3


def test_importing_the_loop_does_not_import_fabric(killed):
    assert not killed["fabric_unasked"]


# Where it runs


@pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="no C++ compiler for torch.compile")
def test_a_compiled_run_gives_the_same_numbers_and_resumes(tmp_path):
    def build():
        torch.manual_seed(0)
        return PixelCNN((1, 4, 4), 2, 0)

    plan, placement = Plan(6, 16), Placement(compile=True)
    plain, compiled = build(), build()
    expected = fit(plain, negative_log_likelihood, IMAGES, plan, every=1, progress=False)
    options = dict(checkpoint=tmp_path / "run.pt", placement=placement, every=1, progress=False)
    interrupted = fit(compiled, interrupt_at(2), IMAGES, plan, **options)
    assert interrupted.steps == [1, 2, 3]
    stored = torch.load(tmp_path / "run.pt", weights_only=True)
    assert stored["model"].keys() == plain.state_dict().keys()
    found = fit(build(), negative_log_likelihood, IMAGES, plan, **options)
    assert found.terms["loss"] == pytest.approx(expected.terms["loss"], abs=1e-4)


def test_compiled_networks_are_called_in_training_and_plain_ones_after_it(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda call, **_: lambda *x: (called.append(1), call(*x))[1])
    called, model = [], small_vae()
    fit(model, elbo(), IMAGES, Plan(3, 16), progress=False, placement=Placement(compile=True))
    assert len(called) == 2 * 3, "encoder and decoder, three times"
    model.encode(IMAGES)
    assert len(called) == 6


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (dict(accelerator="tpu"), "'auto', 'cpu' or 'cuda', not 'tpu'"),
        (dict(devices=0), "at least one device, not 0"),
        (dict(accelerator="cuda", devices=999), "GPUs, not 999"),
    ],
)
def test_hardware_that_is_not_there_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        Placement(**options)
