"""Exercise 01: what the checker says besides the diagnosis."""

import torch

from course_lib.grading.judging import direct, judge
from course_lib.grading.notebook import report
from course_lib.grading.tasks import find
from tests.grading_cases.exercise_01 import over_the_whole_table


def test_a_table_divided_by_its_total_is_not_suspected_of_a_mean():
    verdict = judge(find("01.conditional"), direct(over_the_whole_table), torch.Generator().manual_seed(0))
    told = "\n".join(report(verdict))
    assert "0.5 times what it should be" in told
    assert "mean" not in told
