"""The rate in three parts: they add up, and they are those of a linear Gaussian model."""

import math

import pytest
import torch

from course_lib.data.noise import normal
from course_lib.measurement.codes import Codes, encode_all
from course_lib.measurement.decomposition import aggregate_log_prob, decomposition, marginal_log_prob
from course_lib.measurement.information import information_of
from course_lib.models.gaussian import DiagonalGaussian, PointCode
from course_lib.models.priors import FlowPrior, standard_normal_log_prob
from course_lib.models.vae import VAE

LIKE = torch.zeros((), dtype=torch.float64)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def linear_codes(mixing, noise, n, seed):
    """mu = mixing x with x ~ N(0, I): the aggregate is N(0, mixing mixing' + noise)."""
    mixing, noise = torch.tensor(mixing).double(), torch.tensor(noise).double()
    mu = normal((n, mixing.shape[1]), seeded(seed), LIKE) @ mixing.T
    q = DiagonalGaussian(mu, noise.log().expand_as(mu))
    z = q.sample(seeded(seed + 1000))
    return Codes(q, z, q.kl_to_standard_normal(), standard_normal_log_prob(z))


def exact_parts(mixing, noise):
    """In closed form: 1/2 log det Cov / noise; 1/2 (sum log diag - log det); sum_d KL(N(0, Cov_dd), N(0, 1))."""
    mixing, noise = torch.tensor(mixing).double(), torch.tensor(noise).double()
    covariance = mixing @ mixing.T + noise.diag()
    diagonal, log_det = covariance.diagonal(), torch.logdet(covariance)
    information = 0.5 * (log_det - noise.log().sum())
    return information, 0.5 * (diagonal.log().sum() - log_det), 0.5 * (diagonal - 1 - diagonal.log()).sum()


@pytest.mark.parametrize("seed", range(4))
def test_the_three_parts_add_up_to_the_sampled_rate(seed):
    g = seeded(seed)
    q = DiagonalGaussian(2 * normal((90, 4), g, LIKE), normal((90, 4), g, LIKE))
    z = q.sample(g)
    codes = Codes(q, z, q.kl_to_standard_normal(), standard_normal_log_prob(z))
    found = decomposition(codes, block=25)
    sampled = (q.log_prob(z) - standard_normal_log_prob(z)).mean()
    assert found.index_code + found.total_correlation + found.dimension_wise == pytest.approx(float(sampled), abs=1e-9)
    assert found.rate == pytest.approx(float(sampled), abs=1e-9)


def test_the_parts_add_up_under_a_prior_that_learns():
    torch.manual_seed(0)
    prior = FlowPrior(3)
    encoder = torch.nn.Module()
    encoder.forward = lambda x: DiagonalGaussian(x, torch.zeros_like(x))
    codes = encode_all(VAE(encoder, None, 3, prior), normal((40, 3), seeded(0), torch.zeros(())), seeded(1))
    assert decomposition(codes).rate == pytest.approx(float(codes.rate.mean()), abs=1e-5)


@pytest.mark.parametrize(
    "mixing, noise",
    [
        ([[1.0, 0.0], [0.8, 0.4]], [0.3, 0.2]),
        ([[0.5, 0.0], [0.0, 1.5]], [0.75, 0.5]),
        ([[1.2, 0.0, 0.0], [-0.6, 0.5, 0.0], [0.3, 0.3, 0.2]], [0.4, 0.5, 0.9]),
    ],
)
def test_the_parts_are_those_of_a_linear_gaussian_model(mixing, noise):
    found = [decomposition(linear_codes(mixing, noise, 1500, seed)) for seed in range(6)]
    for name, exact in zip(
        ("index_code", "total_correlation", "dimension_wise"), exact_parts(mixing, noise), strict=True
    ):
        values = torch.tensor([getattr(one, name) for one in found])
        assert abs(values.mean() - exact) < 4 * values.std() / 6**0.5 + 0.01, name


def test_the_first_part_is_the_lower_bound_of_the_information():
    codes = linear_codes([[1.0, 0.3], [0.2, 1.0]], [0.1, 0.1], 300, 0)
    assert decomposition(codes).index_code == pytest.approx(information_of(codes).lower, abs=1e-10)
    assert decomposition(codes).ceiling == pytest.approx(math.log(300))


def test_the_densities_are_the_written_out_mixtures():
    codes = linear_codes([[1.0, 0.3], [0.2, 1.0]], [0.5, 0.2], 7, 0)
    joint, marginals = aggregate_log_prob(codes.q, codes.z, block=3), marginal_log_prob(codes, block=3)
    assert torch.equal(aggregate_log_prob(codes.q, codes.z[:2]), joint[:2]), "the mixture is of all, whatever is asked"
    deviation = (codes.q.log_var / 2).exp()
    for i in range(7):
        each = torch.distributions.Normal(codes.q.mu, deviation).log_prob(codes.z[i]).exp()
        assert float(joint[i].exp()) == pytest.approx(float(each.prod(1).mean()), rel=1e-10)
        assert marginals[i].exp().tolist() == pytest.approx(each.mean(0).tolist(), rel=1e-10)


def test_independent_dimensions_have_no_total_correlation_and_copies_have_much():
    apart = decomposition(linear_codes([[1.0, 0.0], [0.0, 1.0]], [0.5, 0.5], 1500, 0))
    copies = decomposition(linear_codes([[1.0, 0.0], [1.0, 0.0]], [0.01, 0.01], 1500, 0))
    assert abs(apart.total_correlation) < 0.03 and copies.total_correlation > 1.5
    assert "total correlation" in str(copies) and "ceiling 7.31" in str(copies)


def test_points_have_no_decomposition():
    encoder = torch.nn.Module()
    encoder.forward = PointCode
    codes = encode_all(VAE(encoder, None, 2), normal((10, 2), seeded(0), LIKE), seeded(0))
    with pytest.raises(ValueError, match="no finite value"):
        decomposition(codes)
