"""The fit loop: it learns, resumes exactly, keeps what was learnt, and stops at NaN."""

import signal

import pytest
import torch

from course_lib.models.pixelcnn import PixelCNN
from course_lib.objectives.likelihood import negative_log_likelihood
from course_lib.training.fit import CheckpointError, Fit, NotFinite, Plan, fit

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


def test_each_pass_shows_every_image_once_in_a_fresh_order():
    run = Fit(small_model(), negative_log_likelihood, torch.arange(12.0).view(12, 1, 1, 1), Plan(8, 3))
    passes = [torch.cat([run._batch(step)[0].flatten() for step in range(p * 4, p * 4 + 4)]) for p in range(2)]
    assert passes[0].sort().values.tolist() == passes[1].sort().values.tolist() == list(range(12))
    assert passes[0].tolist() != passes[1].tolist()


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
        Fit(small_model(), negative_log_likelihood, IMAGES, Plan(3, 16), path, about={"objective": "ELBO"})
    with pytest.raises(CheckpointError, match="another model"):
        Fit(PixelCNN((1, 4, 4), 8, 1), negative_log_likelihood, IMAGES, Plan(3, 16), path)


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
