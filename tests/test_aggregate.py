"""q(z) beside the prior: exact moments, and distances that stay in their null bands and leave them when they should."""

import math

import pytest
import torch

from course_lib.data.noise import normal
from course_lib.measurement.aggregate import aggregate, aggregate_covariance, ks_critical
from course_lib.measurement.codes import Codes
from course_lib.models.gaussian import DiagonalGaussian
from course_lib.models.priors import FlowPrior, StandardNormal, standard_normal_log_prob

LIKE = torch.zeros((), dtype=torch.float64)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def codes_of(mu, log_var, seed=0):
    q = DiagonalGaussian(mu, log_var)
    z = q.sample(seeded(seed))
    return Codes(q, z, q.kl_to_standard_normal(), standard_normal_log_prob(z))


def standard_codes(n, dim, seed, noise=0.3):
    """Posteriors of variance `noise` whose aggregate is N(0, I)."""
    mu = math.sqrt(1 - noise) * normal((n, dim), seeded(seed), LIKE)
    return codes_of(mu, torch.full_like(mu, math.log(noise)), seed + 500)


@pytest.mark.parametrize("dim", [1, 2, 5])
def test_the_covariance_is_that_of_many_draws_from_the_mixture(dim):
    mu, log_var = normal((20, dim), seeded(0), LIKE), normal((20, dim), seeded(1), LIKE)
    codes = codes_of(mu, log_var)
    many = DiagonalGaussian(mu.repeat(40_000, 1), log_var.repeat(40_000, 1)).sample(seeded(2))
    assert torch.allclose(aggregate_covariance(codes), torch.cov(many.T).view(dim, dim), atol=0.02)
    found = aggregate(codes, StandardNormal(dim), seeded(3))
    assert found.log_det_cov == pytest.approx(float(torch.logdet(torch.cov(many.T).view(dim, dim))), abs=0.03)
    assert found.mean == pytest.approx(many.mean(0).tolist(), abs=0.02)
    assert found.variance == pytest.approx(many.var(0).tolist(), abs=0.03)


def test_the_moments_of_two_posteriors_are_exact():
    """Means -1 and 3 with variances 1/2 and 3/2: mean 1, variance 4 + 1. No n - 1 anywhere."""
    codes = codes_of(torch.tensor([[-1.0], [3.0]]).double(), torch.tensor([[0.5], [1.5]]).double().log())
    found = aggregate(codes, StandardNormal(1), seeded(0))
    assert found.mean == pytest.approx((1.0,)) and found.variance == pytest.approx((5.0,))
    assert found.log_det_cov == pytest.approx(math.log(5))


def test_an_aggregate_that_is_the_prior_stays_in_its_bands():
    found = [aggregate(standard_codes(300, 3, seed), StandardNormal(3), seeded(7000 + seed)) for seed in range(8)]
    scores = torch.tensor([one.null.z_score(one.mmd_squared) for one in found])
    assert scores.abs().max() < 4 and abs(scores.mean()) < 1.2
    assert sum(max(one.ks) > one.ks_critical for one in found) <= 2
    assert all(one.null.n == 300 and one.null.dim == 3 for one in found)


@pytest.mark.parametrize("change", [lambda mu: mu + 0.5, lambda mu: 0.2 * mu, lambda mu: 2 * mu])
def test_a_shifted_a_shrunken_and_a_stretched_aggregate_are_seen(change):
    codes = standard_codes(400, 3, 0)
    found = aggregate(codes_of(change(codes.q.mu), codes.q.log_var), StandardNormal(3), seeded(7001))
    assert found.null.z_score(found.mmd_squared) > 4 and max(found.ks) > found.ks_critical


def test_codes_in_a_plane_have_a_log_determinant_of_minus_infinity_in_the_limit():
    line = normal((200, 1), seeded(0), LIKE)
    mu = torch.cat([line, line], 1)
    values = [
        aggregate(codes_of(mu, torch.full_like(mu, math.log(v))), StandardNormal(2), seeded(0)).log_det_cov
        for v in (1e-2, 1e-4)
    ]
    assert values[0] - values[1] == pytest.approx(math.log(100), abs=0.05)


def test_the_discrepancy_sees_a_random_part_of_many_codes():
    """Sorted codes: the first hundred alone would look far from the prior."""
    codes = standard_codes(600, 2, 0)
    codes = codes[codes.z[:, 0].argsort()]
    found = aggregate(codes, StandardNormal(2), seeded(0), mmd_samples=100)
    assert found.null.n == 100 and abs(found.null.z_score(found.mmd_squared)) < 4
    assert "100 samples" in str(found)


def test_an_aggregate_is_measured_against_the_prior_it_has():
    torch.manual_seed(0)
    prior = FlowPrior(2)
    with torch.no_grad():
        for p in prior.parameters():
            p.add_(0.1 * normal(tuple(p.shape), seeded(5), p))
        mu = prior.sample(400, seeded(1), torch.zeros(())).double()
    codes = codes_of(mu, torch.full_like(mu, -8.0))
    own, other = (aggregate(codes, p, seeded(2)) for p in (prior, StandardNormal(2)))
    assert abs(own.null.z_score(own.mmd_squared)) < 4 and max(own.ks) < own.ks_critical
    assert other.null.z_score(other.mmd_squared) > 5


def test_the_null_band_is_that_of_the_prior_at_hand():
    """A prior that is one point: both samples of the null are the same, and its band has no width."""

    class OnePoint(torch.nn.Module):
        def sample(self, count, generator, like):
            return torch.zeros(count, 2).to(like)

    found = aggregate(standard_codes(50, 2, 0), OnePoint(), seeded(0))
    assert found.null.standard_deviation < 1e-6 < found.mmd_squared


def test_the_critical_distance_is_exceeded_by_one_in_twenty_null_samples():
    prior, count = StandardNormal(2), 400
    codes = [standard_codes(60, 2, seed) for seed in range(count)]
    exceeded = sum(max(_ks(one, prior, seed)) > ks_critical(60, 600, 2) for seed, one in enumerate(codes))
    assert 0.015 * count < exceeded < 0.075 * count, "Smirnov's limit errs on the safe side for few samples"
    assert ks_critical(100, 100, 1) == pytest.approx(1.3581 * math.sqrt(2 / 100), abs=1e-4)


def _ks(codes, prior, seed):
    from scipy.stats import ks_2samp

    draws = prior.sample(10 * len(codes), seeded(seed + 9000), codes.z)
    return [ks_2samp(codes.z[:, d], draws[:, d]).statistic for d in range(2)]
