"""What codes tell of known factors: R^2 against its closed forms, and the lead of one dimension over the next."""

import math

import pytest
import torch

from course_lib.data.drawn_glyphs import RANGES
from course_lib.measurement.factors import one_dimension_lead, r_squared, read_off


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def draws(*shape, seed=0):
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


def both(values, learn):
    """The first `learn` rows, and the others."""
    return values[:learn], values[learn:]


def world(n, m, size, noise, seed):
    """Codes, and y = a z + b + noise * e, for n images to learn from and m to be tested on."""
    z, a = 2 * draws(n + m, size, seed=seed) + 3, draws(size, seed=seed + 1)
    y = z @ a + 5 + noise * draws(n + m, seed=seed + 2)
    return both(z, n), both(y, n), a


@pytest.mark.parametrize("size, seed", [(1, 0), (3, 1), (10, 2)])
def test_a_linear_factor_is_known_wholly(size, seed):
    codes, factor, _ = world(40, 25, size, 0.0, seed)
    assert r_squared(codes, factor) == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("noise", [0.5, 2.0, 6.0])
def test_noise_takes_its_share_of_the_variance(noise):
    """R^2 = |2 a|^2 / (|2 a|^2 + noise^2) for codes of variance 4; its error with n images is 2 / sqrt(n) at most."""
    codes, factor, a = world(20_000, 20_000, 4, noise, 3)
    signal = 4 * float(a.square().sum())
    assert r_squared(codes, factor) == pytest.approx(signal / (signal + noise**2), abs=4 / math.sqrt(20_000))


def test_a_factor_that_has_nothing_to_do_with_the_code_has_none():
    z, y = both(draws(8000, 5), 4000), both(draws(8000, seed=1), 4000)
    assert abs(r_squared(z, y)) < 0.01


def test_a_line_that_misleads_counts_below_zero():
    """y = z where the line is learnt, y = -z where it is tested: |2 y|^2 / |y|^2 = 4, so R^2 = -3 (means are 0)."""
    z = torch.tensor([[-1.0], [1.0], [-2.0], [2.0]]).double()
    assert r_squared((z, z), (z[:, 0], -z[:, 0])) == pytest.approx(-3, abs=1e-12)


def test_what_is_missed_is_held_against_the_spread_of_the_images_tested():
    """A code without use answers the mean learnt, 0; tested on 1 and 3 it misses by 10, their spread is 2: R^2 = -4."""
    codes = torch.zeros(2, 1), torch.zeros(2, 1)
    assert r_squared(codes, (torch.tensor([-1.0, 1.0]), torch.tensor([1.0, 3.0]))) == pytest.approx(-4, abs=1e-12)


@pytest.mark.parametrize("n, m, size, seed", [(30, 20, 2, 0), (50, 7, 6, 5), (12, 40, 9, 9)])
def test_it_is_the_score_of_sklearns_linear_regression(n, m, size, seed):
    from sklearn.linear_model import LinearRegression

    (learn, test), (y, held_out), _ = world(n, m, size, 3.0, seed)
    expected = LinearRegression().fit(learn.numpy(), y.numpy()).score(test.numpy(), held_out.numpy())
    assert r_squared((learn, test), (y, held_out)) == pytest.approx(expected, abs=1e-10)


@pytest.mark.parametrize("size, seed", [(2, 0), (5, 3)])
def test_an_invertible_linear_map_of_the_codes_changes_nothing(size, seed):
    codes, factor, _ = world(60, 50, size, 2.0, seed)
    turn = draws(size, size, seed=seed + 7) + 3 * torch.eye(size)
    mapped = tuple(z @ turn + draws(size, seed=seed + 8) for z in codes)
    assert r_squared(mapped, factor) == pytest.approx(r_squared(codes, factor), abs=1e-9)


def test_constant_and_repeated_dimensions_do_no_harm():
    codes, factor, _ = world(60, 50, 3, 2.0, 4)
    more = tuple(torch.cat([z, torch.full((len(z), 2), 0.7), z[:, :1], torch.zeros(len(z), 1)], 1) for z in codes)
    assert r_squared(more, factor) == pytest.approx(r_squared(codes, factor), abs=1e-9)
    same = tuple(torch.full((len(z), 2), 0.7) for z in codes)
    assert abs(r_squared(same, factor)) < 0.1 and 0 <= one_dimension_lead(same, factor) < 1e-6
    assert math.isfinite(one_dimension_lead(more, factor))


def test_single_precision_codes_are_solved_in_double():
    codes, factor, _ = world(60, 50, 3, 0.0, 4)
    rough = tuple(z.float() for z in codes)
    assert r_squared(rough, factor) == pytest.approx(r_squared(tuple(z.double() for z in rough), factor), abs=0)


# The lead of one dimension.


@pytest.mark.parametrize("place", [0, 2, 4])
def test_a_factor_in_one_dimension_and_none_elsewhere_leads_by_one(place):
    z = both(draws(8000, 5), 4000)
    lead = one_dimension_lead(z, tuple(-3 * part[:, place] + 1 for part in z))
    assert lead == pytest.approx(1, abs=0.01) and lead <= 1


def test_a_factor_spread_evenly_over_two_dimensions_has_no_lead():
    """Each of the two tells half of it, and a third dimension nothing: the lead is over the second, not the third."""
    z = both(draws(20_000, 3), 10_000)
    assert one_dimension_lead(z, tuple(part[:, 0] + part[:, 2] for part in z)) == pytest.approx(0, abs=0.03)


def test_the_lead_is_the_difference_of_the_two_largest_shares():
    """y = 3 z_0 + 2 z_1 + z_2: shares 9/14, 4/14, 1/14, so a lead of 5/14."""
    z = both(draws(40_000, 4), 20_000)
    y = tuple(part @ torch.tensor([3.0, 2.0, 1.0, 0.0]).double() for part in z)
    assert one_dimension_lead(z, y) == pytest.approx(5 / 14, abs=0.03)


def test_a_dimension_that_misleads_counts_as_none():
    """The second dimension's R^2 is -3: the first leads by its own 1, not by 4."""
    z = torch.tensor([-1.0, 1.0, -2.0, 2.0]).double()
    codes = torch.stack([z, z], 1), torch.stack([z, -z], 1)
    assert r_squared((codes[0][:, 1:], codes[1][:, 1:]), (z, z)) == pytest.approx(-3)
    assert one_dimension_lead(codes, (z, z)) == pytest.approx(1, abs=1e-6)


def test_in_a_code_of_one_number_the_lead_is_its_r_squared():
    codes, factor, _ = world(200, 100, 1, 1.0, 6)
    assert one_dimension_lead(codes, factor) == pytest.approx(r_squared(codes, factor), abs=1e-6)


def test_reading_off_names_every_real_factor_and_the_mean_of_their_leads():
    z = both(draws(400, 6), 250)
    factors = [{name: part[:, i] + 0.3 * part[:, 5] for i, name in enumerate(RANGES)} for part in z]
    for side in factors:
        side["character"] = torch.zeros(len(side["slant"])).long()
    found = read_off(z, tuple(factors))
    assert list(found) == [*RANGES, "lead"]
    pairs = {name: (factors[0][name], factors[1][name]) for name in RANGES}
    assert all(found[name] == r_squared(z, pair) for name, pair in pairs.items())
    leads = [one_dimension_lead(z, pair) for pair in pairs.values()]
    assert found["lead"] == pytest.approx(sum(leads) / 5) and 0.5 < found["lead"] < 1
