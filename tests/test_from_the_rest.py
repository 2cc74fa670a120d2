"""Regressions of each pixel on all others: what they see, what they add up to, and whether they are fitted."""

import pytest
import torch

from course_lib.data import digits
from course_lib.models.from_the_rest import predict_from_the_rest, pseudo_nll


@pytest.fixture(scope="module")
def splits():
    return digits(binary=True)


def test_a_regression_on_the_rest_does_not_see_its_own_pixel(splits):
    model = predict_from_the_rest(splits.train.images[:200], 0.003)
    x = splits.test.images[:4].clone()
    before = model(x)
    x[:, 0, 3, 4] = 1 - x[:, 0, 3, 4]
    moved = (model(x) - before).abs().amax(0)
    assert moved[3 * 8 + 4] == 0 and (moved > 0).sum() > 30


def test_the_pseudo_likelihood_adds_up_all_pixels(splits):
    model, x = predict_from_the_rest(splits.train.images[:200], 0.003), splits.test.images[:5]
    p = torch.sigmoid(model(x)).detach()
    by_hand = -torch.where(x.flatten(1) == 1, p, 1 - p).log().sum(1)
    assert torch.allclose(pseudo_nll(model, x).detach(), by_hand, rtol=1e-3)


@pytest.mark.parametrize("penalty", [0.003, 0.3])
def test_the_regressions_are_fitted(splits, penalty):
    model = predict_from_the_rest(splits.train.images, penalty)
    loss = pseudo_nll(model, splits.train.images).mean() + penalty * model.weight.square().sum()
    slopes = torch.autograd.grad(loss, list(model.parameters()))
    assert max(float(slope.abs().max()) for slope in slopes) < 3e-3
