"""The dense autoregressive decoder: it sees only what is before, all of the code, and its probabilities sum to one."""

import itertools

import pytest
import torch

from course_lib.models.dense import DenseAutoregressive


def made(shape=(1, 3, 4), code_size=2, hidden=17, seed=0):
    torch.manual_seed(seed)
    return DenseAutoregressive(shape, code_size, hidden).double()


@pytest.mark.parametrize("hidden", [1, 5, 40])
def test_a_logit_depends_on_earlier_pixels_alone(hidden):
    decoder = made(hidden=hidden)
    x, z = torch.rand(1, 1, 3, 4).double(), torch.randn(1, 2).double()
    jacobian = torch.autograd.functional.jacobian(lambda picture: decoder(picture, z), x).reshape(12, 12)
    assert (jacobian.triu() == 0).all()


def test_with_enough_units_every_earlier_pixel_counts():
    decoder = made(hidden=40)
    x, z = torch.rand(1, 1, 3, 4).double(), torch.randn(1, 2).double()
    jacobian = torch.autograd.functional.jacobian(lambda picture: decoder(picture, z), x).reshape(12, 12)
    assert (jacobian[torch.ones(12, 12).tril(-1).bool()] != 0).all()


def test_every_pixel_the_first_included_sees_the_whole_code():
    decoder = made()
    x, z = torch.rand(1, 1, 3, 4).double(), torch.randn(1, 2).double()
    jacobian = torch.autograd.functional.jacobian(lambda code: decoder(x, code), z).reshape(12, 2)
    assert (jacobian != 0).all()


@pytest.mark.parametrize("code_size", [0, 3])
def test_the_probabilities_of_all_pictures_sum_to_one(code_size):
    decoder = made((1, 2, 2), code_size, hidden=7)
    x = torch.tensor(list(itertools.product((0.0, 1.0), repeat=4)), dtype=torch.float64).view(16, 1, 2, 2)
    z = torch.randn(1, code_size).double().expand(16, -1) if code_size else None
    assert decoder.log_prob(x, z).exp().sum().item() == pytest.approx(1, abs=1e-12)


def test_one_pixel_is_a_coin():
    decoder = made((1, 1, 1), 0, hidden=3)
    assert decoder(torch.zeros(2, 1, 1, 1).double()).shape == (2, 1, 1, 1)


def test_drawings_have_the_frequencies_of_the_table():
    decoder = made((1, 1, 2), 0, hidden=5)
    with torch.no_grad():
        decoder.last.bias.copy_(torch.tensor([1.0, -0.5]))
        decoder.last.weight.mul_(8)
    x = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]).double().view(4, 1, 1, 2)
    drawn = decoder.sample(20_000, torch.Generator().manual_seed(0)).flatten(1)
    shares = (2 * drawn[:, 0] + drawn[:, 1]).long().bincount(minlength=4) / 20_000
    assert torch.allclose(shares.double(), decoder.log_prob(x).exp().detach(), atol=0.015)


def test_a_size_or_a_code_that_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="hidden"):
        DenseAutoregressive((1, 4, 4), hidden=0)
    with pytest.raises(ValueError, match="conditioned on a code"):
        made()(torch.zeros(1, 1, 3, 4).double())
