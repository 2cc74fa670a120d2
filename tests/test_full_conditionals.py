"""Each pixel given all others: the conditionals of a table, and the bound on the sum of their product."""

import itertools
import math

import pytest
import torch
from torch.distributions import Categorical, kl_divergence

from course_lib.measurement.worlds import images

SEEDS = range(3)


def random_table(seed, pixels=4):
    return images.random_table(pixels, torch.Generator().manual_seed(seed))


def bits_of(p):
    """Entropy in bits of any tensor of probabilities."""
    return -float(torch.xlogy(p, p).sum()) / math.log(2)


@pytest.mark.parametrize("pixels", [2, 3, 4])
def test_full_conditionals_are_what_counting_states_gives(pixels):
    p, found = random_table(pixels, pixels), images.full_conditionals(random_table(pixels, pixels))
    for i, state in itertools.product(range(pixels), range(2**pixels)):
        other = state ^ (1 << (pixels - 1 - i))
        assert float(found[i, state]) == pytest.approx(float(p[state] / (p[state] + p[other])), abs=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_impossible_pictures_do_not_break_the_bound(seed):
    p = random_table(seed) * (torch.arange(16) % (seed + 2) == 0)
    p = p / p.sum()
    product = images.full_conditionals(p).prod(0)
    assert bool(product.isfinite().all()) and bool((product[p == 0] == 0).all())
    assert product.sum() >= images.dual_total_correlation(p).exp() - 1e-12 > 1


def test_the_gap_in_the_bound_is_the_divergence_from_the_normalised_product():
    p = random_table(7)
    product = images.full_conditionals(p).prod(0)
    gap = kl_divergence(Categorical(p), Categorical(product / product.sum()))
    assert torch.allclose(product.sum().log() - images.dual_total_correlation(p), gap, atol=1e-12)


def test_dual_total_correlation_is_what_all_pixels_know_less_what_each_keeps_to_itself():
    p = random_table(3)
    kept = sum(bits_of(p) - bits_of(p.view(2, 2, 2, 2).sum(i)) for i in range(4))
    assert float(images.dual_total_correlation(p)) == pytest.approx((bits_of(p) - kept) * math.log(2), abs=1e-12)
