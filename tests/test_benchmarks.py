"""The benchmarks compare in turn, count memory rightly, and keep what they found. No test here depends on speed."""

import json

import numpy as np
import pytest
import torch

from course_lib.benchmarks import ceilings, run, training
from course_lib.benchmarks.ceilings import Ceilings, arithmetic, copy_ceiling, matmul_ceiling
from course_lib.benchmarks.information import meter
from course_lib.benchmarks.objectives import DIVERGENCES, objective_step
from course_lib.benchmarks.recording import ledger_rows
from course_lib.benchmarks.report import Report, ratios, spread
from course_lib.benchmarks.sampling import _row as sampling_row
from course_lib.benchmarks.steps import SHAPE, step_of
from course_lib.benchmarks.timing import Timing, peak_memory, side_by_side
from course_lib.benchmarks.training import ALONE, WITH_CODE, training_step
from course_lib.models.gated import GatedPixelCNN
from course_lib.objectives.likelihood import negative_log_likelihood
from course_lib.objectives.objective import Objective
from course_lib.zoo.train import hardware


def test_ways_take_turns_after_one_warm_up_each():
    log = []
    timings = side_by_side({name: lambda name=name: log.append(name) for name in "ab"}, calls=3)
    assert "".join(log) == "abababab"
    assert all(len(t.seconds) == 3 and min(t.seconds) <= t.median <= max(t.seconds) for t in timings.values())


def test_a_ratio_is_taken_call_by_call():
    """A slow spell in the second round leaves the median of the ratios alone."""
    timings = {"slow": Timing((6.0, 50.0, 6.0)), "quick": Timing((2.0, 10.0, 3.0))}
    slow, quick = ratios(timings, "quick")
    assert (slow["times quick"], slow["times quick, 25%"], slow["times quick, 75%"]) == (3.0, 2.5, 4.0)
    assert quick["times quick"] == 1.0 and slow["seconds"] == 6.0


def test_quartiles_are_those_of_numpy():
    values = (3.0, 1.0, 4.0, 1.5, 9.0, 2.6)
    assert list(spread("s", values).values()) == pytest.approx(np.percentile(values, [50, 25, 75]))


def smallest():
    return GatedPixelCNN(SHAPE, width=4, depth=0)


def allocate(mebibytes):
    """Work that fills, and lets go, a block of memory."""
    return lambda: torch.ones(mebibytes * 2**18).sum()


def test_peak_memory_is_what_the_work_takes():
    assert 280 < peak_memory(allocate, 300) < 360


def test_a_report_is_printed_with_its_machine_and_saved_whole(tmp_path):
    report = Report("name", "which?", "a machine", [{"way": "a", "seconds": 0.123456}], ("a note",))
    assert str(report).splitlines()[:2] == ["name: which?", "a machine"] and "0.1235" in str(report)
    saved = json.loads(report.save(tmp_path / "new").read_text())
    assert saved["rows"] == [{"way": "a", "seconds": 0.123456}] and saved["notes"] == ["a note"]
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["name.json"]


def test_the_verb_runs_what_is_named_and_keeps_it(tmp_path, monkeypatch, capsys):
    def stand_in(device, calls):
        yield Report("stand_in", f"{device} {calls}", "here", [{"way": "a"}])

    monkeypatch.setitem(run.BENCHMARKS, "stand_in", stand_in)
    assert run.main(["stand_in", "--calls", "2", "--device", "cpu", "--to", str(tmp_path)]) == 0
    assert "cpu 2" in capsys.readouterr().out and (tmp_path / "stand_in.json").exists()


def test_what_is_recorded_names_the_device_the_command_and_the_spread_over_the_calls(tmp_path, monkeypatch):
    rows = [{"way": "a net", **spread("images/s", (9.0, 10.0, 11.0, 12.0, 13.0)), "peak MiB": 3.0}]

    def stand_in(device, calls):
        yield Report("stand_in", "how fast?", "NVIDIA H100, 80 GB", rows, recorded=("images/s",))
        yield Report("unrecorded", "how fast?", "here", rows)

    written = []
    monkeypatch.setitem(run.BENCHMARKS, "stand_in", stand_in)
    monkeypatch.setattr(run, "record", written.extend)
    assert run.main(["stand_in", "--to", str(tmp_path)]) == 0 and not written
    assert run.main(["stand_in", "--to", str(tmp_path), "--record"]) == 0
    (entry,) = written
    assert entry.key == "bench.stand_in.nvidia_h100_80_gb.a_net.images_s"
    assert entry.command == "python course.py bench stand_in"
    assert (entry.value, entry.hardware) == (11.0, "NVIDIA H100, 80 GB")
    assert entry.quantity == "how fast?; way a net: images/s" and entry.spread == pytest.approx(2 / 1.349)


def test_every_report_of_speed_names_the_device():
    report = Report(
        "sampling_0", "q", hardware("cpu"), [sampling_row(smallest().eval(), 2, "cpu", 2)], (), ("images/s",)
    )
    (entry,) = ledger_rows(report, "sampling")
    assert entry.hardware == hardware("cpu") and entry.value == report.rows[0]["images/s"] > 0


@pytest.mark.parametrize("argv, said", [(["nonsense"], "nonsense"), (["training", "--calls", "0"], "at least 1")])
def test_what_cannot_be_run_is_refused(argv, said, capsys):
    with pytest.raises(SystemExit):
        run.main(argv)
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("name", [*ALONE, *WITH_CODE])
def test_each_benchmarked_training_step_runs(name):
    training_step(name, batch=2)()


@pytest.mark.parametrize("divergence", [None, *DIVERGENCES])
def test_each_benchmarked_objective_runs(divergence):
    objective_step(divergence, batch=2)()


def test_a_step_that_is_timed_does_all_of_a_training_step():
    """Weights move by Adam, then what plays against the model learns; nothing that costs time is left out."""
    log, model = [], GatedPixelCNN(SHAPE, width=2, depth=0)
    before = model.last.bias.detach().clone()

    class Watched(Objective):
        def __call__(self, model, x, generator):
            log.append(tuple(x.shape))
            return negative_log_likelihood(model, x, generator)

        def after_step(self):
            log.append(bool((model.last.bias != before).all()))

    step_of(model, Watched(), 3, "cpu")()
    assert log == [(3, *SHAPE), True]


def test_sampling_is_reckoned_in_passes_over_the_full_images():
    row = sampling_row(GatedPixelCNN(SHAPE, width=2, depth=0).eval(), 2, "cpu", 1)
    assert row["images"] == 2 and row["naive, s"] == pytest.approx(28 * 28 * row["one pass, s"])
    assert row["naive / cached"] == pytest.approx(row["naive, s"] / row["cached, s"])
    assert row["cached / floor"] == pytest.approx(row["cached, s"] / row["one pass, s"])


def test_the_meter_is_read_on_as_many_codes_as_asked():
    assert meter(50)().ceiling == pytest.approx(torch.tensor(50.0).log().item())


# Arithmetic and its ceiling


class Linear(torch.nn.Module):
    """x W, one number an image."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(28 * 28, 1, bias=False)

    def log_prob(self, x):
        return self.layer(x.flatten(1)).squeeze(1)


@pytest.mark.parametrize("batch", [1, 3])
def test_the_arithmetic_of_one_layer_is_the_closed_form(batch):
    """2 a weight and image forward, and 2 for the weight's gradient; the images need none."""
    assert arithmetic(step_of(Linear(), negative_log_likelihood, batch, "cpu")) == batch * 4 * 28 * 28


def test_the_arithmetic_of_a_gated_layer_is_the_closed_form():
    """Three taps up, two to the left; then 1 x 1: link, mix, hidden, last. No gradient of the image is taken."""
    w, pixels = 4, 28 * 28
    on_image, within = 2 * w * (3 + 2), (2 * w) * (2 * w) + w * w + w * w + w
    expected = 2 * pixels * (2 * on_image + 3 * within)
    for dtype in (torch.float32, torch.bfloat16):
        assert arithmetic(step_of(smallest(), negative_log_likelihood, 5, "cpu", dtype)) == 5 * expected


def test_a_step_in_bfloat16_computes_in_it():
    def objective(model, x, generator):
        seen.append(torch.is_autocast_enabled("cpu"))
        return negative_log_likelihood(model, x, generator)

    seen = []
    for dtype in (torch.float32, torch.bfloat16):
        step_of(smallest(), objective, 1, "cpu", dtype)()
    assert seen == [False, True]


def test_the_ceilings_are_the_best_that_was_seen(monkeypatch):
    """The first call warms up and does not count; of two sizes the faster one is taken."""
    seconds = iter([0.1, 2.0, 1.0, 0.1, 3.0, 4.0, 0.1, 0.5, 0.25])
    monkeypatch.setattr(ceilings, "seconds_of", lambda work, device: (work(), next(seconds))[1])
    assert matmul_ceiling("cpu", torch.float32, 2, sizes=(10, 20)) == max(2 * 10**3 / 1.0, 2 * 20**3 / 3.0)
    assert copy_ceiling("cpu", 2, mebibytes=3) == 2 * 3 * 2**20 / 0.25


def test_the_ceiling_of_products_has_the_precision_of_convolutions_and_puts_it_back(monkeypatch):
    seen, before = [], torch.backends.cuda.matmul.allow_tf32
    monkeypatch.setattr(ceilings, "_best", lambda *_: seen.append(torch.backends.cuda.matmul.allow_tf32) or 1.0)
    matmul_ceiling("cpu", torch.float32, 1, sizes=(1,))
    assert seen == [torch.backends.cudnn.allow_tf32] and torch.backends.cuda.matmul.allow_tf32 == before


def test_the_share_is_the_rate_over_the_ceiling_of_the_same_precision(monkeypatch):
    monkeypatch.setattr(training, "peak_memory", lambda *_, **__: 0.0)
    row = training._row("VAE, factorised", Timing((2.0,)), Timing((1.0,)), "cpu", Ceilings(1e9, 1.0, torch.float32))
    assert row["GFLOP/s"] == pytest.approx(row["GFLOP/image"] * training.BATCH / 2.0)
    assert row["share of the ceiling"] == pytest.approx(row["GFLOP/s"]) and row["images/s"] == training.BATCH / 2.0
    assert "1 GFLOP/s" in str(Ceilings(1e9, 1.0, torch.float32)) and "float32" in str(Ceilings(1.0, 1.0, torch.float32))
