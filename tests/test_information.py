"""The information meter and the importance-weighted bound: between what is known exactly, and honest at a ceiling."""

import math

import pytest
import torch

from course_lib.data.noise import normal, uniform
from course_lib.measurement.codes import Codes, active_units, encode_all, rate_per_dimension
from course_lib.measurement.information import (
    Information,
    information,
    information_curve,
    information_of,
    pairwise_log_prob,
)
from course_lib.measurement.likelihood import iwae_log_prob, iwae_nll, iwae_nll_from_few
from course_lib.models.gaussian import DiagonalGaussian, PointCode
from course_lib.models.priors import FlowPrior
from course_lib.models.vae import VAE, pixelcnn_vae

LIKE = torch.zeros((), dtype=torch.float64)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


class Channel(torch.nn.Module):
    """x ~ N(0, S) is its own mean: q(z|x) = N(x, noise), with S diagonal."""

    def __init__(self, noise):
        super().__init__()
        self.log_var = torch.as_tensor(noise, dtype=torch.float64).log()

    def forward(self, x):
        return DiagonalGaussian(x, self.log_var.expand_as(x))


class Points(torch.nn.Module):
    def forward(self, x):
        return PointCode(x.flatten(1))


def gaussian_channel(dim, nats, n, seed):
    """A VAE and inputs whose information is sum_d 1/2 log(1 + S_d / noise_d) = `nats`, unevenly split over d."""
    share = torch.arange(1, dim + 1, dtype=torch.float64)
    share = nats * share / share.sum()
    scale = 1 + uniform((dim,), seeded(seed), LIKE)
    noise = scale / torch.expm1(2 * share)
    x = scale.sqrt() * normal((n, dim), seeded(100 + seed), LIKE)
    exact = 0.5 * torch.log1p(scale / noise).sum()
    assert float(exact) == pytest.approx(nats)
    return VAE(Channel(noise), None, dim), x


@pytest.mark.parametrize(
    "dim, nats, n", [(1, 0.2, 400), (1, 2, 800), (2, 3, 800), (5, 1, 400), (8, 4, 800), (32, 5, 800)]
)
def test_the_bounds_bracket_the_exact_information_of_a_gaussian_channel(dim, nats, n):
    found = [information(*gaussian_channel(dim, nats, n, seed), seeded(seed)) for seed in range(8)]
    lower, upper = (torch.tensor([getattr(one, side) for one in found]) for side in ("lower", "upper"))
    assert all(one.lower <= one.upper for one in found)
    assert lower.mean() < nats + 3 * lower.std() / 8**0.5
    assert upper.mean() > nats - 3 * upper.std() / 8**0.5
    assert nats - lower.mean() < 0.05 + nats**2 / n**0.5, "the bracket is not only valid but narrow"


@pytest.mark.parametrize("dim, nats", [(1, 0.5), (8, 2), (32, 4)])
def test_what_is_called_resolved_is_within_a_nat_of_the_truth(dim, nats):
    for seed in range(5):
        found = information(*gaussian_channel(dim, nats, 1000, seed), seeded(seed))
        assert found.resolved and "between" in str(found) and "not resolved" not in str(found)
        assert abs(found.lower - nats) < 1 and abs(found.at_most - nats) < 1


@pytest.mark.parametrize("dim, nats", [(2, 4), (8, 4.5), (32, 4.5), (32, 5)])
def test_what_is_called_resolved_near_the_ceiling_is_short_by_a_nat_at_most(dim, nats):
    """The aggregate is N(0, I) and log N = 5.5: the rate is the truth, but for the chance in it."""
    noise, found = math.exp(-2 * nats / dim), []
    for seed in range(12):
        x = math.sqrt(1 - noise) * normal((250, dim), seeded(seed), LIKE)
        found.append(information(VAE(Channel([noise] * dim), None, dim), x, seeded(100 + seed)))
    short = torch.tensor([nats - one.lower for one in found if one.resolved])
    print(f"{len(short)} of 12 resolved, short by {short.min():.2f} to {short.max():.2f} nats")
    assert len(short) > 0 and short.max() < 1.2


@pytest.mark.parametrize("dim, nats, n", [(1, 9, 200), (4, 12, 300), (32, 40, 500), (8, 6, 200)])
def test_a_saturated_channel_is_called_not_resolved(dim, nats, n):
    found = information(*gaussian_channel(dim, nats, n, 0), seeded(0))
    assert not found.resolved
    assert f"not resolved: at least {found.lower:.2f} nats (ceiling log N = {math.log(n):.2f})" in str(found)
    assert found.lower <= math.log(n) + 1e-9 and found.lower <= nats


@pytest.mark.parametrize(
    "lower, upper, rate, resolved",
    [
        (2.0, 2.5, 9.0, True),
        (2.0, math.inf, 2.5, True),
        (2.0, math.nan, 9.0, False),
        (2.0, math.inf, math.nan, False),
        (2.0, 3.2, 9.0, False),
        (4.3, 4.4, 4.5, False),
        (2.0, 2.1, 1.99, True),
    ],
)
def test_a_number_stands_alone_only_where_both_bounds_support_it(lower, upper, rate, resolved):
    found = Information(lower, upper, math.log(200), rate)
    assert found.resolved == resolved and ("not resolved" in str(found)) != resolved
    assert found.at_most >= found.lower


def test_the_rate_closes_the_bracket_where_leave_one_out_is_loose():
    """A standard normal aggregate: the rate is the information, so the smaller upper bound is at most the rate."""
    dim, nats = 4, 4.0
    noise = math.exp(-2 * nats / dim)
    x = math.sqrt(1 - noise) * normal((800, dim), seeded(0), LIKE)
    found = information(VAE(Channel([noise] * dim), None, dim), x, seeded(1))
    assert found.rate == pytest.approx(nats, abs=0.3)
    assert found.at_most == min(found.rate, found.upper)


def test_the_curve_of_a_saturated_channel_grows_like_log_k_and_a_resolved_one_is_flat():
    for nats, slope in [(60, 1.0), (1, 0.0)]:
        codes = encode_all(*gaussian_channel(16, nats, 900, 0), seeded(0))
        curve = information_curve(codes, seeded(1), sizes=(30, 100, 1000))
        assert list(curve.points) == [30, 100, 900]
        assert curve.slope == pytest.approx(slope, abs=0.15)
        assert f"{curve.slope:.2f}" in str(curve) and "100 images" in str(curve)


def test_a_curve_without_a_smaller_subset_is_refused():
    codes = encode_all(*gaussian_channel(2, 1, 50, 0), seeded(0))
    with pytest.raises(ValueError, match="smaller sizes"):
        information_curve(codes, seeded(0))


def test_the_subsets_of_a_curve_do_not_follow_the_order_of_the_images():
    codes = encode_all(*gaussian_channel(2, 2, 400, 0), seeded(0))
    order = codes.z[:, 0].argsort()
    first = information_curve(codes[order], seeded(0), sizes=(100,)).points[100].lower
    assert first > information_of(codes[order][:100]).lower + 0.1, "neighbours share codes, a random hundred does not"


@pytest.mark.parametrize("seed, deviation", [(0, 1.0), (1, 0.1), (2, 1e-2), (3, 1e-3), (4, 1e-4)])
def test_two_matrix_products_give_the_direct_form_even_for_sharp_posteriors(seed, deviation):
    n, dim = 60, 8
    mu = 5 + 3 * normal((n, dim), seeded(seed), LIKE)
    spread = normal((n, dim), seeded(seed + 10), LIKE)
    q = DiagonalGaussian(mu, 2 * math.log(deviation) + 0.3 * spread)
    z = q.sample(seeded(seed + 20))
    direct = DiagonalGaussian(q.mu[None], q.log_var[None]).log_prob(z[:, None])
    gap = (pairwise_log_prob(q, z) - direct).abs() / direct.abs().clamp_min(1)
    assert gap.max() < 1e-12 / deviation**2 + 1e-12
    assert gap.max() < 1e-5


@pytest.mark.parametrize("n, block", [(2, 500), (5, 2), (6, 3)])
def test_both_bounds_are_the_sums_written_out(n, block):
    codes = encode_all(*gaussian_channel(2, 1.5, n, 0), seeded(0))
    density = torch.distributions.Normal(codes.q.mu[None], (codes.q.log_var / 2).exp()[None])
    p = density.log_prob(codes.z[:, None]).sum(2).exp().tolist()
    gains = torch.tensor([math.log(p[i][i] / (sum(p[i]) / n)) for i in range(n)], dtype=torch.float64)
    lower = float(gains.mean())
    upper = sum(math.log(p[i][i] / ((sum(p[i]) - p[i][i]) / (n - 1))) for i in range(n)) / n
    found = information_of(codes, block)
    assert (found.lower, found.upper) == (pytest.approx(lower, abs=1e-9), pytest.approx(upper, abs=1e-9))
    assert found.standard_error == pytest.approx(float(gains.std()) / n**0.5)


def test_float32_codes_are_measured_in_float64():
    q = DiagonalGaussian(torch.randn(30, 4, generator=seeded(0)), torch.zeros(30, 4))
    assert pairwise_log_prob(q, q.mu).dtype == torch.float64


def test_the_memory_of_the_meter_does_not_grow_with_the_square_of_the_images(monkeypatch):
    """No table of pairs is larger than block x N."""
    import course_lib.measurement.information as module

    shapes = []
    original = module.pairwise_log_prob
    monkeypatch.setattr(module, "pairwise_log_prob", lambda q, z: shapes.append(len(z)) or original(q, z))
    codes = encode_all(*gaussian_channel(2, 1, 350, 0), seeded(0))
    information_of(codes, block=100)
    assert shapes == [100, 100, 100, 50]


def test_images_are_encoded_in_batches_and_the_batches_do_not_change_the_codes():
    vae, x = gaussian_channel(3, 2, 70, 0)
    seen = []
    vae.encoder.register_forward_hook(lambda module, given, answer: seen.append(len(given[0])))
    whole, parts = encode_all(vae, x, seeded(0)), encode_all(vae, x, seeded(0), batch_size=15)
    assert seen == [70, 15, 15, 15, 15, 10]
    assert torch.equal(whole.z, parts.z) and torch.equal(whole.rate, parts.rate)
    assert torch.equal(whole.log_prior, parts.log_prior)


def test_the_rate_of_a_prior_that_learns_is_log_q_minus_log_p_at_the_draw():
    torch.manual_seed(0)
    prior = FlowPrior(3)
    x = normal((20, 3), seeded(0), torch.zeros(()))
    vae = VAE(Channel(0.5), None, 3, prior)
    vae.encoder.log_var = vae.encoder.log_var.float()
    codes = encode_all(vae, x, seeded(1), batch_size=8)
    with torch.no_grad():
        expected = vae.encode(x).log_prob(codes.z.float()) - prior.log_prob(codes.z.float())
    assert torch.allclose(codes.rate.float(), expected, atol=1e-5)


@pytest.mark.parametrize("encoder", [Points(), Channel(0.0), Channel(1e-12)])
def test_a_deterministic_encoder_is_recognised_and_has_no_information(encoder):
    vae, x = VAE(encoder, None, 2), normal((20, 2), seeded(0), LIKE)
    codes = encode_all(vae, x, seeded(0))
    assert codes.deterministic and codes.z.isfinite().all() and codes.log_prior.isfinite().all()
    with pytest.raises(ValueError, match="no finite value"):
        information(vae, x, seeded(0))


def test_the_rate_of_points_is_infinite():
    codes = encode_all(VAE(Points(), None, 2), normal((20, 2), seeded(0), LIKE), seeded(0))
    assert codes.rate.isposinf().all()


def test_active_units_are_those_whose_mean_moves_by_more_than_a_tenth():
    deviations = torch.tensor([0.0, 0.09, 0.11, 1.0], dtype=torch.float64)
    mu = deviations * torch.tensor([1.0, -1.0], dtype=torch.float64).repeat(500)[:, None] + 7
    q = DiagonalGaussian(mu, torch.zeros_like(mu))
    codes = Codes(q, mu, torch.zeros(1000), torch.zeros(1000))
    assert active_units(codes).tolist() == [False, False, True, True]


def test_the_rates_of_the_dimensions_add_up_to_the_rate():
    codes = encode_all(*gaussian_channel(5, 2, 80, 1), seeded(0))
    assert float(rate_per_dimension(codes).sum()) == pytest.approx(float(codes.rate.mean()), abs=1e-12)


def tiny_vae():
    torch.manual_seed(1)
    vae = pixelcnn_vae((1, 3, 3), code_size=2, hidden=8, width=4, depth=1).double()
    return vae, (uniform((11, 1, 3, 3), seeded(0), LIKE) < 0.5).double()


def written_out_bound(vae, x, samples, generator):
    """One draw of the code after another, the whole batch at once."""
    q, weights = vae.encode(x), []
    for _ in range(samples):
        z = q.sample(generator)
        weights.append(vae.decoder.log_prob(x, z) + vae.prior.log_prob(z) - q.log_prob(z))
    return torch.stack(weights).exp().mean(0).log()


@pytest.mark.parametrize("rows", [11, 25, 40, 1000])
def test_the_bound_in_pieces_is_the_bound_written_out(rows):
    vae, x = tiny_vae()
    with torch.no_grad():
        expected = written_out_bound(vae, x, 7, seeded(3))
    assert torch.allclose(iwae_log_prob(vae, x, 7, seeded(3), rows), expected, atol=1e-10)


def test_the_bound_never_decodes_more_rows_than_asked():
    vae, x = tiny_vae()
    seen = []
    vae.decoder.register_forward_hook(lambda module, given, answer: seen.append(len(given[0])))
    found = iwae_log_prob(vae, x, 5, seeded(0), rows=4)
    assert len(found) == 11 and max(seen) == 4 and sum(seen) == 55
    assert torch.equal(found[:4], iwae_log_prob(vae, x[:4], 5, seeded(0), rows=4))


def test_the_bound_tightens_with_k_and_says_its_k():
    vae, x = tiny_vae()
    nats = [iwae_nll(vae, x, k, seeded(0)).nats for k in (1, 8, 512)]
    spread = [torch.stack([iwae_log_prob(vae, x, k, seeded(s)).mean() for s in range(20)]).mean() for k in (1, 8)]
    assert spread[0] < spread[1] and nats[2] < -float(spread[0])
    assert "K = 8" in str(iwae_nll(vae, x, 8, seeded(0)))


def test_no_draw_at_all_is_refused():
    with pytest.raises(ValueError, match="at least one"):
        iwae_log_prob(*tiny_vae(), 0, seeded(0))


def test_what_a_few_gain_is_taken_off_the_elbo_of_all():
    vae, x = tiny_vae()
    noise, few, k = seeded(5), 4, 60
    elbo, bound = iwae_log_prob(vae, x, 1, noise), iwae_log_prob(vae, x[:few], k, noise)
    gained = [float(bound[i] - elbo[i]) for i in range(few)]
    found = iwae_nll_from_few(vae, x, few, k, seeded(5), "as a test")
    assert found.nats == pytest.approx(-float(elbo.mean()) - sum(gained) / few, abs=1e-12)
    squares = float(elbo.var()) / len(x) + sum((g - sum(gained) / few) ** 2 for g in gained) / (few - 1) / few
    assert found.standard_error == pytest.approx(math.sqrt(squares), abs=1e-12)
    assert (found.images, found.binarisation) == (11, "as a test")
    assert found.estimator == "IWAE bound, K = 60 on 4 images, K = 1 on all"


def test_few_that_are_all_give_the_bound_itself_and_random_few_the_same_on_average():
    vae, x = tiny_vae()
    noise = seeded(6)
    iwae_log_prob(vae, x, 1, noise)
    whole = -float(iwae_log_prob(vae, x, 500, noise).mean())
    assert iwae_nll_from_few(vae, x, 11, 500, seeded(6)).nats == pytest.approx(whole, abs=1e-12)
    orders = [torch.randperm(11, generator=seeded(s)) for s in range(60)]
    some = torch.tensor([iwae_nll_from_few(vae, x[order], 3, 500, seeded(s)).nats for s, order in enumerate(orders)])
    assert abs(float(some.mean()) - whole) < 4 * float(some.std()) / math.sqrt(60)


@pytest.mark.parametrize("few", [1, 12])
def test_fewer_than_two_or_more_than_all_are_refused(few):
    with pytest.raises(ValueError, match="between 2 and the 11 images"):
        iwae_nll_from_few(*tiny_vae(), few, 5, seeded(0))
