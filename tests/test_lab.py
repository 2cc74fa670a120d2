"""The lab of exercise 07: five models, one of each kind, and the instrument that finds a decoder which looks ahead."""

import pytest
import torch

from course_lib import zoo
from course_lib.grading.tasks import exercise_07
from course_lib.measurement.codes import encode_all
from course_lib.measurement.information import information_of
from course_lib.measurement.receptive_field import causality_leak
from course_lib.zoo.recipes import binary_digits, lab

ARGUMENTS = dict(code_size=2, hidden=4, **lab.DECODER)
X = (torch.rand(1, 1, 8, 8, generator=torch.Generator().manual_seed(0)) > 0.5).float()


def leak_of(vae):
    z = torch.zeros(1, vae.code_size)
    return causality_leak(lambda images: vae.decoder(images, z.expand(len(images), -1)), X)


def test_a_decoder_that_keeps_to_the_past_has_no_leak():
    assert leak_of(lab.gated_vae(**ARGUMENTS)) == 0


def test_the_leaking_one_sees_itself_and_no_later_pixel():
    torch.manual_seed(0)
    vae = lab.leaking_vae(**ARGUMENTS)
    assert leak_of(vae) > 1e-3
    x, z = X.clone().requires_grad_(), torch.zeros(1, vae.code_size)
    (gradient,) = torch.autograd.grad(vae.decoder(x, z)[0, 0, 3, 4], x)
    seen = gradient.flatten().nonzero().flatten()
    assert seen.max() == 3 * 8 + 4


@pytest.mark.parametrize("sign", [-1, 1])
@pytest.mark.parametrize("ahead", [0, 1, 5])
def test_the_leak_is_the_largest_change_of_a_logit_up_or_down(ahead, sign):
    weights = sign * torch.arange(1.0, 65).view(1, 1, 8, 8)
    assert causality_leak(lambda x: (weights * x).flatten(1).roll(-ahead, 1).view(x.shape), X) == 64


def test_only_one_black_and_white_picture_is_flipped():
    for wrong in (X / 2 + 0.25, X.repeat(2, 1, 1, 1), X.repeat(1, 3, 1, 1)):
        with pytest.raises(ValueError, match="one image of zeros and ones"):
            causality_leak(lambda x: x, wrong)


def test_the_lab_holds_one_model_of_each_kind():
    words = [exercise_07.diagnose(measured) for measured in exercise_07.of_the_lab()]
    assert sorted(words) == sorted(exercise_07.WORDS)


def test_another_seed_gives_the_same_diagnosis():
    same = [exercise_07.diagnose(measured) == word for word, measured in exercise_07.OTHER_SEEDS]
    assert len(same) == 5 and all(same)


def test_made_up_measurements_are_what_they_are_called():
    assert all(exercise_07.diagnose(measured) == word for word, measured, _ in exercise_07.MADE_UP)
    for seed in range(20):
        for word in exercise_07.WORDS:
            generator = torch.Generator().manual_seed(seed)
            assert exercise_07.diagnose(exercise_07.some_patient(generator, word)) == word


@pytest.mark.parametrize("letter", "abcde")
def test_the_cards_information_is_measured_again(letter):
    vae, generator = zoo.load(f"lab/{letter}"), torch.Generator().manual_seed(0)
    found = information_of(encode_all(vae, binary_digits("test"), generator))
    measured = zoo.card(f"lab/{letter}")["measurements"]
    assert found.lower == pytest.approx(measured["information"], abs=1e-3)
    assert found.rate == pytest.approx(measured["rate"], abs=1e-3 * (1 + found.rate))
    assert (leak_of(vae) > 0.05) == (measured["leak"] > 0.05) == (letter == "c")
