"""The benchmarks compare in turn, count memory rightly, and keep what they found. No test here depends on speed."""

import json

import numpy as np
import pytest
import torch

from course_lib.benchmarks import run
from course_lib.benchmarks.information import meter
from course_lib.benchmarks.objectives import DIVERGENCES, objective_step
from course_lib.benchmarks.report import Report, ratios, spread
from course_lib.benchmarks.sampling import _row as sampling_row
from course_lib.benchmarks.steps import SHAPE, step_of
from course_lib.benchmarks.timing import Timing, peak_memory, side_by_side
from course_lib.benchmarks.training import ALONE, WITH_CODE, training_step
from course_lib.models.gated import GatedPixelCNN
from course_lib.objectives.likelihood import negative_log_likelihood
from course_lib.objectives.objective import Objective


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
