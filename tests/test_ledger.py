"""The results ledger: every reported number is there, and the cheap ones are measured again."""

import math
import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from course_lib import zoo
from course_lib.benchmarks.run import BENCHMARKS
from course_lib.experiments import chapter_02, run
from course_lib.experiments.chapter_02 import causality, fields, independent_nll, lower_edge_inked
from course_lib.experiments.run import chapters, experiments, verdicts
from course_lib.experiments.seeds import over_seeds
from course_lib.measurement import ledger
from course_lib.measurement.ledger import ClaimsTable, LedgerError, Result, confirm, record, result, results
from course_lib.zoo.recipes import binary_digits


@pytest.fixture
def copied(tmp_path):
    return shutil.copy(ledger.LEDGER, tmp_path / "ledger.json")


@pytest.mark.parametrize("experiment", [causality, fields], ids=["C06", "C07"])
def test_exact_results_are_measured_again_and_agree_to_the_last_digit(experiment):
    found = list(experiment())
    assert found and all(entry.value == result(entry.key).value for entry in found)


def test_the_cost_of_independent_pixels_is_measured_again():
    found = independent_nll(binary_digits("train"), binary_digits("test"))
    assert found == pytest.approx(result("02.digits.independent").value, abs=0.001)


def test_ink_in_the_lowest_row_is_counted_again_in_the_stored_drawings():
    for name in ("pixelcnn_mnist", "pixelcnn_mnist_narrow"):
        drawn = zoo.samples(name)
        with_ink = sum(bool(picture[0, 27].any()) for picture in drawn)
        assert result(f"02.{name}.lower_edge").value == pytest.approx(with_ink / len(drawn), abs=1e-4)
        assert lower_edge_inked(drawn) == result(f"02.{name}.lower_edge").value


def test_the_nll_in_the_ledger_is_the_cards():
    for name in ("pixelcnn_mnist", "pixelcnn_mnist_narrow"):
        nats = zoo.card(name)["measurements"]["nll_test"]["nats"]
        assert result(f"02.{name}.nll").value == pytest.approx(nats, abs=1e-4)


def test_every_result_names_its_seeds_hardware_and_command():
    for entry in results().values():
        assert math.isfinite(entry.value) and entry.hardware and entry.quantity
        verb, name = entry.command.removeprefix("python course.py ").split()
        assert name in {"measure": experiments(), "bench": BENCHMARKS}[verb]
        once = name.startswith("09.")  # one training each, and the spread is a standard error over test images
        assert len(entry.seeds) >= 3 or entry.spread == 0 or verb == "bench" or once


def test_every_claim_with_a_verdict_has_numbers():
    claimed = {entry.claim for entry in results().values()} - {""}
    assert set(ledger.claims()) == claimed


def test_the_verdicts_in_the_ledger_are_those_that_stand_beside_the_experiments():
    assert ledger.claims() == {claim.id: claim for claim in verdicts()}


def test_a_measurement_writes_down_its_own_chapters_verdicts_alone(monkeypatch, capsys):
    written = []
    monkeypatch.setattr(run, "record", lambda results, claims: written.append((results, claims)))
    assert run.main(["C06"]) == 0
    assert [entry.key for results, _ in written for entry in results] == [entry.key for entry in causality()]
    assert all(claims == list(chapter_02.CLAIMS) for _, claims in written)


def test_no_two_chapters_share_the_name_of_an_experiment_or_a_claim():
    names = [name for chapter in chapters() for name in chapter.EXPERIMENTS]
    ids = [claim.id for claim in verdicts()]
    assert len(set(names)) == len(names) and len(set(ids)) == len(ids)


def test_a_number_outside_the_band_is_refused(capsys):
    known = result("02.digits.nll")
    confirm(known.key, known.value + 0.9 * known.band)
    assert known.quantity in capsys.readouterr().out
    with pytest.raises(LedgerError, match="python course.py measure"):
        confirm(known.key, known.value + 1.1 * known.band)


def test_the_band_of_live_training_tells_the_masked_from_the_unmasked_network():
    masked, peeking = result("02.digits.nll"), result("02.digits.peeking")
    assert masked.value - masked.band > 10 * (peeking.value + peeking.band)
    assert result("02.digits.independent").value > masked.value + masked.band


def test_an_unknown_key_names_the_known_ones():
    with pytest.raises(LedgerError, match="C06.change"):
        result("C99")


def test_recording_replaces_one_row_and_leaves_the_others(copied):
    before = results(copied)
    record([Result("C06.change", "C06", "as a test", 7.0, "nats")], path=copied)
    after = results(copied)
    assert after["C06.change"].value == 7.0
    assert {k: v for k, v in after.items() if k != "C06.change"} == {
        k: v for k, v in before.items() if k != "C06.change"
    }


def test_what_two_runs_record_at_once_is_all_there(copied):
    def run(number):
        for row in range(10):
            record([Result(f"99.{number}.{row}", "", "as a test", 1.0, "nats")], path=Path(copied))

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(run, range(4)))
    assert {f"99.{number}.{row}" for number in range(4) for row in range(10)} <= set(results(Path(copied)))


def test_the_claims_table_shows_claim_verdict_and_every_number():
    table = ClaimsTable("C06", "C07")
    for text in (str(table), table._repr_html_()):
        assert "C07" in text and "blind spot" in text and "208 of 220" in text


def test_nothing_that_is_not_a_number_is_confirmed():
    for key in ("C06.change", "02.digits.nll"):
        with pytest.raises(LedgerError):
            confirm(key, float("nan"))


def test_the_spread_is_the_sample_standard_deviation():
    assert over_seeds("k", "q", [1.0, 2.0, 3.0], 0.0, unit="", hardware="").spread == pytest.approx(1.0)
