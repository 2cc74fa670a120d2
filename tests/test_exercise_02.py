"""Exercise 02: what its messages state as exact is exact, and its cases can be followed by hand."""

import pytest
import torch

from course_lib.grading.judging import direct, judge
from course_lib.grading.specs import Generator, Model
from course_lib.grading.task import case
from course_lib.grading.tasks import exercise_02, find


def test_chances_of_independent_pixels_are_their_sigmoids():
    logits = torch.tensor([[[0.0, 2.0, -1.0], [-2.0, 0.5, 3.0]]])
    question = case(Model("constant", {"logits": logits}), (1000, 1, 2, 3), Generator(0))
    assert torch.allclose(exercise_02.chances(question), logits.sigmoid().flatten().double(), atol=1e-6)


@pytest.mark.parametrize("answer", ["sample", "sample_cached"])
def test_chances_are_what_a_sampler_comes_to(answer):
    make = {"sample": exercise_02.sample_cases, "sample_cached": exercise_02.cached_cases}[answer]
    cases = [one for one in make(torch.Generator().manual_seed(1)) if one.kind == "frequencies"]
    for one in cases:
        model, shape, seed = one.calls[0]
        drawn = getattr(exercise_02, answer)(model.build(), (20000, *shape[1:]), seed.build())
        off = drawn.flatten(1).double().mean(0) - exercise_02.chances(one)
        assert off.abs().max() < 0.02 and cases


@pytest.mark.parametrize("seed", range(10))
def test_the_two_layers_of_the_second_case_draw_what_their_words_say(seed):
    one = list(exercise_02.cached_cases(torch.Generator().manual_seed(seed)))[1]
    rules = [said.split("sign(")[1].rstrip(")").split() for said in one.about.split(", ")]
    (older, _, newer, _, bias), (older_1, _, newer_1, _, bias_1) = ([number(word) for word in rule] for rule in rules)
    pixels, features = [0, 0], [0]
    for _ in range(9):
        features.append(1 if older * pixels[-2] + newer * pixels[-1] + bias > 0 else -1)
        pixels.append(int(older_1 * features[-2] + newer_1 * features[-1] + bias_1 > 0))
    model, shape, generator = one.calls[0]
    assert exercise_02.sample_cached(model.build(), shape, generator.build())[0].int().tolist() == pixels[2:]


def number(word):
    try:
        return float(word)
    except ValueError:
        return None


@pytest.mark.parametrize("steepness", [1.25, 0.8])
def test_probabilities_that_are_a_quarter_too_steep_or_flat_are_seen(steepness):
    """Pixel by pixel they lie within the noise of 1,000 pictures; all pixels together do not."""

    def answer(model, shape, generator):
        return find("02.sample").reference(lambda x: steepness * model(x), shape, generator)

    said = [judge(find("02.sample"), direct(answer), torch.Generator().manual_seed(i)) for i in range(5)]
    assert [verdict.status for verdict in said] == ["wrong"] * 5
    assert {"likely pixels" in verdict.detail[0] for verdict in said} <= {True}
