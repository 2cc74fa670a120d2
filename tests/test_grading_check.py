"""check and hint, as a learner meets them."""

import math
import re
import signal

import pytest
import torch

from course_lib.grading import check, hint, progress, when_solved
from course_lib.grading import notebook as notebook_module
from course_lib.grading.calling import call
from course_lib.grading.comparing import compare
from course_lib.grading.showing import lines
from course_lib.grading.specs import Leaf
from course_lib.grading.task import Case
from course_lib.grading.tasks import find


def right(nats):
    return nats / math.log(2)


def endless(nats):
    while True:
        pass


def test_a_right_answer_gets_one_line(capsys):
    check("00.nats_to_bits", right)
    assert capsys.readouterr().out == "00.nats_to_bits: right on all 4 cases. 1 of 1 points.\n"


def test_a_wrong_answer_is_shown_its_smallest_case_and_its_diagnosis(capsys):
    check("02.raster_mask", lambda kind, k: torch.ones(k, k))
    told = capsys.readouterr().out
    assert "raster_mask(kind='A', kernel_size=3)" in told
    assert "  1 1 1       1 1 1\n  1 0 0       1 1 1\n  0 0 0       1 1 1\n" in told
    check("02.raster_mask", lambda kind, k: torch.tril(torch.ones(k, k)))
    assert "What happened: this is a triangle" in capsys.readouterr().out


def test_a_check_says_the_same_at_every_run(capsys):
    for task_id, answer in (
        ("02.raster_mask", lambda _, k: torch.rand(k, k) * 0),
        ("02.masked_conv2d", lambda *a: a[0]),
    ):
        check(task_id, answer)
        first = capsys.readouterr().out
        check(task_id, answer)
        assert capsys.readouterr().out == first


def test_an_endless_answer_is_stopped(capsys, monkeypatch):
    monkeypatch.setattr(notebook_module, "SECONDS", 0.2)
    check("00.nats_to_bits", endless)
    assert "did not answer within 0.2 s: does a loop never end?" in capsys.readouterr().out
    check("00.nats_to_bits", right)
    assert "right on all" in capsys.readouterr().out


def test_an_endless_answer_is_stopped_where_interrupts_are_ignored(capsys, monkeypatch):
    """As in a process that a script has started in the background."""
    monkeypatch.setattr(notebook_module, "SECONDS", 0.2)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        check("00.nats_to_bits", endless)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)
    assert "did not answer within 0.2 s" in capsys.readouterr().out


def test_an_answer_that_sleeps_is_stopped(capsys, monkeypatch):
    monkeypatch.setattr(notebook_module, "SECONDS", 0.2)
    import time

    check("00.nats_to_bits", lambda nats: time.sleep(100))
    assert "did not answer within 0.2 s" in capsys.readouterr().out


def test_an_interruption_by_the_learner_is_not_swallowed():
    def interrupted(nats):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        check("00.nats_to_bits", interrupted)


def test_an_exception_is_told_with_the_line_that_raised_it(capsys):
    def clumsy(nats):
        return nats.logarithm

    check("00.nats_to_bits", clumsy)
    told = capsys.readouterr().out
    assert "AttributeError: 'float' object has no attribute 'logarithm'" in told
    assert ": return nats.logarithm" in told


def unfinished_mask(*arguments):
    raise NotImplementedError("your code here")


def unfinished_convolution(*arguments):
    return unfinished_mask(*arguments)


def test_an_answer_that_waits_for_another_function_is_told_which(capsys):
    check("02.masked_conv2d", unfinished_convolution)
    assert "02.masked_conv2d: not yet: it calls unfinished_mask, which is not written yet" in capsys.readouterr().out
    check("02.raster_mask", unfinished_mask)
    assert "02.raster_mask: not started yet" in capsys.readouterr().out


def test_what_torch_cannot_compute_is_no_unwritten_answer(capsys):
    def unsupported(kind, k):
        raise NotImplementedError("\"bernoulli\" not implemented for 'Long'")

    check("02.raster_mask", unsupported)
    assert "raised an exception" in capsys.readouterr().out


def test_a_slow_sampler_is_asked_how_it_draws(capsys, monkeypatch):
    monkeypatch.setattr(notebook_module, "SECONDS", 0.2)
    check("02.sample", lambda *arguments: endless(0))
    assert "is a loop endless, or are the images drawn one after another?" in capsys.readouterr().out


def test_numbers_that_differ_are_shown_in_enough_digits_to_differ(capsys):
    said = compare(Case(()), torch.tensor([1.0, 2.0]).double() + 1e-6, torch.tensor([1.0, 2.0]).double())
    assert "2.000001 where 2 belongs" in said
    right = find("03.kl_to_prior").reference
    check("03.kl_to_prior", lambda mu, log_var: right(mu, log_var) * (1 + 1e-6))
    told = capsys.readouterr().out
    assert "times what it should be" not in told
    want, got = re.search(r"expected +got\n +(.+?)  +(.+)\n", told).groups()
    assert want != got


def test_runs_that_should_agree_stand_side_by_side_with_their_seeds(capsys):
    def careless(model, shape, generator):
        x = torch.zeros(shape)
        for i in range(shape[2]):
            for j in range(shape[3]):
                x[:, :, i, j] = torch.bernoulli(torch.sigmoid(model(x)[:, :, i, j]))
        return x

    check("02.sample", careless)
    told = capsys.readouterr().out
    assert re.search(r"  run 1, seed (\d+) +run 2, seed \1 +run 3, seed \d+\n", told)
    assert "expected" not in told


def test_a_steady_mistake_is_held_against_the_right_answer_and_an_unsteady_one_against_itself(capsys):
    check("03.reparameterise", lambda mu, log_var, eps: mu - torch.exp(log_var / 2) * eps)
    told = capsys.readouterr().out
    assert "  expected    got\n  7           -5\n" in told
    check("03.reparameterise", lambda mu, log_var, eps: mu + torch.exp(log_var / 2) * torch.randn_like(eps))
    told = capsys.readouterr().out
    assert re.search(r"  run 1 +run 2\n", told)
    assert "expected" not in told


def test_equal_numbers_in_unequal_shapes_are_shown_by_their_shapes(capsys):
    right = find("03.kl_to_prior").reference
    check("03.kl_to_prior", lambda mu, log_var: right(mu, log_var)[:, None])
    told = capsys.readouterr().out
    assert re.search(r"  expected +got\n  tensor \[1\] float64 +tensor \[1, 1\] float64\n", told)
    check("03.kl_to_prior", lambda mu, log_var: 2 * right(mu, log_var)[:, None])
    assert "  expected    got\n  3.40139     6.80278\n" in capsys.readouterr().out


def test_kernels_of_one_weight_are_shown_as_one_table():
    shown = "\n".join(lines(torch.arange(9.0).reshape(3, 3, 1, 1)))
    assert shown == "0 1 2\n3 4 5\n6 7 8"


def test_an_answer_that_leaves_the_program_does_not(capsys):
    check("00.nats_to_bits", lambda nats: exit(0))
    assert "SystemExit" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("output", "told"),
    [
        (None, "is a `return` missing?"),
        (torch.tensor([math.nan, 1.0, 2.0]), "1 of 3 values are NaN"),
        (torch.tensor([-1.0, -2.0, -4.0]), "the opposite sign"),
        (torch.tensor([1.0, 2.0, 4.0]) / 784, "a division by 784: a mean where a sum belongs?"),
        (torch.tensor([1.0, 2.0, 4.0]) / math.log(2), "ln 2 lies between nats and bits"),
        (torch.tensor([1.0, 2.0, 5.0]), "the largest difference is at [2]: 5 where 4 belongs"),
        (torch.ones(4), "the shape should be [3], and it is [4]"),
        (torch.tensor([1, 2, 4]), "the dtype should be float32, and it is int64"),
        ([1.0, 2.0, 4.0], "a torch tensor was expected, and list came back"),
        (torch.tensor([1.0, 2.0, 4.0], requires_grad=True) + 1e-7, None),
    ],
)
def test_an_unknown_mistake_is_described(output, told):
    said = compare(Case(()), output, torch.tensor([1.0, 2.0, 4.0]))
    assert said is None if told is None else told in said


def test_infinities_do_not_excuse_other_values():
    assert compare(Case(()), torch.tensor([-math.inf, 5.0]), torch.tensor([-math.inf, 1.0]))
    assert compare(Case(()), torch.tensor([0.0]), torch.tensor([-math.inf]))
    assert compare(Case(()), torch.tensor([-math.inf, 1.0]), torch.tensor([-math.inf, 1.0])) is None
    assert compare(Case(()), 1e300, math.inf) and compare(Case(()), math.inf, math.inf) is None


def test_several_values_are_told_by_the_gradients_of_each_and_a_number_has_none():
    leaves = Leaf(torch.tensor([2.0])), Leaf(torch.tensor([3.0]))
    outcome = call(lambda a, b: (a * b, b**2, float(a)), leaves)
    assert [gradient.item() for gradient in outcome.value] == [3, 2, 0, 6, 0, 0]
    assert [g.item() for g in call(lambda a, b: ((a * b).detach(), a), leaves).value] == [0, 0, 1, 0]
    assert call(lambda a: (a, 1.5), (torch.tensor([2.0]),)).value == (torch.tensor([2.0]), 1.5)


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (lambda a, b, c: a * c + b * b, [[5.0], [6.0]]),
        (lambda a, b, c: a.detach() * c + b * b, [[0.0], [6.0]]),
        (lambda a, b, c: (a * c + b * b).detach(), [[0.0], [0.0]]),
    ],
)
def test_an_answer_given_leaves_is_told_by_its_gradients(answer, told):
    outcome = call(answer, (Leaf(torch.tensor([2.0])), Leaf(torch.tensor([3.0])), torch.tensor([5.0])))
    assert [gradient.tolist() for gradient in outcome.value] == told
    assert outcome.error is None


def test_an_argument_changed_in_place_is_told(capsys):
    def writes(x, weight, bias, kind, colours):
        x += 1
        return x

    check("02.masked_conv2d", writes)
    assert "wrong" in capsys.readouterr().out


def test_a_list_changed_in_place_is_told(capsys):
    def emptied(p, order):
        rows = find("01.chain").reference(p, list(order))
        order.clear()
        return rows

    check("01.chain", emptied)
    told = capsys.readouterr().out
    assert "the argument order was changed in place" in told and "expected" not in told


def test_one_failing_case_is_no_proof_of_a_mistake_that_would_fail_many(capsys):
    task = find("01.total_correlation")
    check(task.id, lambda p: torch.nan_to_num(task.reference(torch.where(p == 0, torch.nan, p))))
    told = capsys.readouterr().out
    assert "is wrong" in told and "always 0" not in told


def test_an_unknown_task_lists_the_known_ones(capsys):
    check("02.mask", right)
    told = capsys.readouterr().out
    assert "There is no task '02.mask'" in told
    assert "02.raster_mask, 02.masked_conv2d" in told


def test_a_result_instead_of_a_function_is_told(capsys):
    check("02.raster_mask", torch.zeros(3, 3))
    assert 'check("02.raster_mask", raster_mask), without brackets' in capsys.readouterr().out


def test_strict_raises_for_a_wrong_answer_and_is_silent_for_a_right_one(capsys):
    assert check("00.nats_to_bits", right, strict=True) is None
    assert capsys.readouterr().out == ""
    with pytest.raises(AssertionError, match="not yet"):
        check("00.nats_to_bits", lambda nats: nats, strict=True)
    with pytest.raises(AssertionError, match="no task"):
        check("99.nothing", right, strict=True)


def test_hints_open_one_at_a_time(capsys, monkeypatch):
    monkeypatch.setattr(progress, "_here", {})
    monkeypatch.setattr(notebook_module, "_hinted", set())
    for told in (
        "hint 1 of 3 (nudge)",
        "hint 2 of 3 (formula)",
        "hint 3 of 3 (skeleton)",
        "solutions/02",
        "solutions/02",
    ):
        hint("02.raster_mask")
        assert told in capsys.readouterr().out
    hint("02.masked_conv2d")
    assert "hint 1 of 3" in capsys.readouterr().out


def test_a_check_leaves_the_global_generator_alone():
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    check("02.sample", lambda model, shape, generator: torch.bernoulli(torch.full(shape, 0.5)))
    assert torch.equal(torch.rand(3), expected)


def test_a_cell_waits_for_a_function_that_is_not_written(capsys):
    with when_solved():
        raise NotImplementedError
    assert "waiting for a function above" in capsys.readouterr().out
    with pytest.raises(ValueError), when_solved():
        raise ValueError
