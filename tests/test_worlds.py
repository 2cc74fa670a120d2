"""Exactly solvable worlds: every quantity by an identity, and again by a route of its own."""

import itertools
import math

import pytest
import torch
from torch.distributions import Categorical, MixtureSameFamily, MultivariateNormal, Normal, kl_divergence

from course_lib.measurement.likelihood import log_prob_table
from course_lib.measurement.prior_grid import prior_grid_nll
from course_lib.measurement.worlds import images
from course_lib.measurement.worlds.discrete import DiscreteWorld
from course_lib.measurement.worlds.gaussian_pair import collapsed_model, factor_model, gaussian_pair, least_rate
from course_lib.measurement.worlds.linear_gaussian import (
    Channel,
    Gaussian,
    LinearGaussianWorld,
    active_dimensions,
    ppca,
)
from course_lib.measurement.worlds.mixtures import (
    Mixture,
    infinite_mixture_log_prob,
    quadrature_copies,
    shifted_copies,
    world_of_posteriors,
)
from course_lib.measurement.worlds.one_bit import OneBit, best, loss
from course_lib.measurement.worlds.quadrature import gaussian_table, gaussian_world, grid, plane, solve
from course_lib.models import outputs
from course_lib.models.encoders import MLPEncoder
from course_lib.models.factorised import FactorisedDecoder
from course_lib.models.gaussian import DiagonalGaussian
from course_lib.models.pixelcnn import PixelCNN
from course_lib.models.vae import VAE

SEEDS = range(4)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def randn(seed, *shape):
    return torch.randn(*shape, generator=seeded(seed), dtype=torch.float64)


def random_probabilities(seed, *shape):
    return torch.softmax(1.5 * randn(seed, *shape), -1)


def z_score(samples, expected):
    return float((samples.mean() - expected).abs() / (samples.std() / len(samples) ** 0.5))


def assert_books_balance(account, within=1e-9):
    """-ELBO = nll + KL to the posterior, and rate = information + aggregate gap."""
    assert abs(account.loss - account.nll - account.posterior_gap) < within
    assert abs(account.rate - account.information - account.aggregate_gap) < within
    assert min(account.rate, account.information, account.aggregate_gap, account.posterior_gap) > -within


# Binary images.


@pytest.mark.parametrize("seed", SEEDS)
def test_every_order_of_four_pixels_multiplies_back_to_the_joint(seed):
    p = images.random_table(4, seeded(seed))
    orders = list(itertools.permutations(range(4)))
    assert len(orders) == 24
    for order in orders:
        assert (images.chain(p, order).prod(0) - p).abs().max() < 1e-12


@pytest.mark.parametrize("seed", SEEDS)
def test_nine_pixels_in_any_order_multiply_back_to_the_joint(seed):
    p, order = images.random_table(9, seeded(seed)), torch.randperm(9, generator=seeded(seed)).tolist()
    assert (images.chain(p, order).prod(0) - p).abs().max() < 1e-12


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 1, 0, 2), (2, 3, 1, 0)])
def test_each_conditional_is_what_counting_states_gives(order):
    p, x = images.random_table(4, seeded(0)), images.all_images((1, 2, 2)).view(16, 4)
    rows = images.chain(p, order)
    for k, state in itertools.product(range(4), range(16)):
        agree = x == x[state]
        before, upto = agree[:, order[:k]].all(1), agree[:, order[: k + 1]].all(1)
        assert abs(rows[k, state] - p[upto].sum() / p[before].sum()) < 1e-12


def test_states_are_numbered_by_their_binary_digits():
    x = images.all_images((1, 2, 2))
    assert x.shape == (16, 1, 2, 2) and x[5].flatten().tolist() == [0, 1, 0, 1]
    assert len(images.all_images((1, 3, 3)).unique(dim=0)) == 512


def test_random_tables_are_a_flat_dirichlet():
    p = torch.stack([images.random_table(2, seeded(s)) for s in range(4000)])
    assert torch.allclose(p.sum(1), torch.ones(4000).double())
    assert all(z_score(p[:, i], 1 / 4) < 4 and z_score((p[:, i] - 1 / 4) ** 2, 3 / 16 / 5) < 4 for i in range(4))


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("pixels", [4, 9])
def test_the_excess_of_the_best_factorised_model_is_the_total_correlation(seed, pixels):
    p = images.random_table(pixels, seeded(seed))
    model, bits = images.factorised(p), images.entropy(p) / math.log(2)
    assert abs(model.sum() - 1) < 1e-12 and torch.allclose(images.code_length(p, p), bits, atol=1e-12)
    assert torch.allclose(images.entropy(p), Categorical(p).entropy(), atol=1e-12)
    excess = (images.code_length(p, model) - bits) * math.log(2)
    assert torch.allclose(excess, images.total_correlation(p), atol=1e-12) and excess > 1e-3
    assert torch.allclose(excess, kl_divergence(Categorical(p), Categorical(model)), atol=1e-12)


def test_a_pixel_that_is_always_one_costs_nothing_however_its_sum_is_rounded():
    for rest in (images.random_table(3, seeded(seed)) for seed in range(100)):
        p = torch.cat([torch.zeros_like(rest), rest])
        assert torch.allclose(images.total_correlation(p), images.total_correlation(rest), atol=1e-12)


def test_no_other_factorised_model_has_a_shorter_code():
    p, x = images.random_table(4, seeded(1)), images.all_images((1, 2, 2)).view(16, 4)
    shortest, ones = images.code_length(p, images.factorised(p)), p @ x
    for seed in range(50):
        other = torch.sigmoid(torch.logit(ones) + 0.1 * randn(seed, 4))
        assert images.code_length(p, torch.where(x == 1, other, 1 - other).prod(1)) > shortest


def test_independent_pixels_given_z_cost_the_conditional_total_correlation():
    joint = random_probabilities(3, 3 * 16).view(3, 16)
    p_z = joint.sum(1)
    rows = joint / p_z[:, None]
    paid = sum(w * (images.code_length(r, images.factorised(r)) - images.code_length(r, r)) for w, r in zip(p_z, rows))
    assert torch.allclose(images.conditional_total_correlation(joint), paid * math.log(2), atol=1e-12)
    told = torch.diag(joint[0] / joint[0].sum())
    assert images.conditional_total_correlation(told) == 0, "a z that names the image leaves nothing to share"


@pytest.mark.parametrize("shape, code_size", [((1, 2, 2), 0), ((1, 3, 3), 2), ((2, 2, 2), 1)])
def test_a_models_table_sums_to_one_and_its_samples_follow_it(shape, code_size):
    torch.manual_seed(0)
    model = PixelCNN(shape, width=4, depth=1, code_size=code_size).double()
    with torch.no_grad():
        model.last.weight.mul_(8)
    z = randn(0, code_size) if code_size else None
    p = images.table_of(model, z)
    assert abs(p.sum() - 1) < 1e-12 and p.max() > 2 * p.min()
    codes = None if z is None else z.expand(4000, -1)
    x = model.sample(4000, seeded(1), codes).flatten(1)
    states = (x @ 2.0 ** torch.arange(x.shape[1] - 1, -1, -1).double()).long()
    assert z_score(p[states].log(), -images.entropy(p)) < 4
    assert z_score((states == p.argmax()).double(), p.max()) < 4


def test_what_is_no_table_order_or_small_image_is_refused():
    with pytest.raises(ValueError, match="2\\^25 images"):
        images.all_images((1, 5, 5))
    for wrong in (torch.full((5,), 0.2), torch.full((4,), 0.3), torch.tensor([1.5, -0.5])):
        with pytest.raises(ValueError, match="joint table"):
            images.entropy(images.factorised(wrong.double()))
    with pytest.raises(ValueError, match="each of the 2 pixels once"):
        images.chain(torch.full((4,), 0.25).double(), [0, 0])


# Tables.


def random_world(seed, codes=5, states=7):
    prior, likelihood = random_probabilities(seed, codes), random_probabilities(seed + 100, codes, states)
    q, data = random_probabilities(seed + 200, states, codes), random_probabilities(seed + 300, states)
    return DiscreteWorld.from_tables(prior, likelihood), q, data


@pytest.mark.parametrize("seed", SEEDS)
def test_both_identities_hold_in_the_discrete_world(seed):
    world, q, data = random_world(seed, codes=2 + seed, states=3 + 2 * seed)
    assert_books_balance(world.account(q, data), 1e-12)
    gap = kl_divergence(Categorical(q), Categorical(world.log_posterior().exp()))
    assert torch.allclose(world.elbo(q), world.log_prob() - gap, atol=1e-12)
    assert torch.allclose(world.elbo(q), -world.distortion(q) - world.rate(q), atol=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_discrete_terms_are_the_written_out_sums(seed):
    world, q, data = random_world(seed)
    p_z, p_xz = world.log_prior.exp().tolist(), world.log_likelihood.exp().tolist()
    rows, d = q.tolist(), data.tolist()
    p_x = [sum(p_z[k] * p_xz[k][i] for k in range(5)) for i in range(7)]
    q_z = [sum(d[i] * rows[i][k] for i in range(7)) for k in range(5)]
    pairs = list(itertools.product(range(7), range(5)))
    expected = {
        "nll": -sum(d[i] * math.log(p_x[i]) for i in range(7)),
        "distortion": -sum(d[i] * rows[i][k] * math.log(p_xz[k][i]) for i, k in pairs),
        "rate": sum(d[i] * rows[i][k] * math.log(rows[i][k] / p_z[k]) for i, k in pairs),
        "information": sum(d[i] * rows[i][k] * math.log(rows[i][k] / q_z[k]) for i, k in pairs),
        "aggregate_gap": sum(q_z[k] * math.log(q_z[k] / p_z[k]) for k in range(5)),
        "posterior_gap": sum(d[i] * rows[i][k] * math.log(rows[i][k] * p_x[i] / p_z[k] / p_xz[k][i]) for i, k in pairs),
    }
    found = world.account(q, data)
    assert {name: pytest.approx(value, abs=1e-12) for name, value in expected.items()} == vars(found)
    assert sum(p_x) == pytest.approx(1) and f"rate {found.rate:.4f} = information" in str(found)


def test_the_discrete_elbo_is_the_mean_of_its_samples():
    world, q, _ = random_world(0)
    z = torch.multinomial(q[2], 20_000, True, generator=seeded(0))
    samples = world.log_joint()[2, z] - q[2, z].log()
    assert z_score(samples, world.elbo(q)[2]) < 4


@pytest.mark.parametrize("seed", SEEDS)
def test_the_prior_mixes_the_posteriors_by_the_models_own_images_not_by_the_datas(seed):
    world, _, data = random_world(seed)
    posterior, prior = world.log_posterior().exp(), world.log_prior.exp()
    own = world.log_prob().exp()
    assert torch.allclose(world.aggregate(posterior, own), prior, atol=1e-12)
    assert abs(world.account(posterior, own).aggregate_gap) < 1e-12
    assert (world.aggregate(posterior, data) - prior).abs().max() > 1e-2
    assert world.account(posterior, data).aggregate_gap > 1e-3


def test_matching_the_posterior_on_the_data_alone_forces_nothing():
    world, q, _ = random_world(1)
    data = torch.tensor([0.5, 0.5, 0, 0, 0, 0, 0], dtype=torch.float64)
    q[:2] = world.log_posterior().exp()[:2]
    account = world.account(q, data)
    assert abs(account.posterior_gap) < 1e-12, "the ELBO is tight on everything that the data hold"
    assert account.information > 1e-2 and account.aggregate_gap > 1e-2
    assert_books_balance(account, 1e-12)


def test_impossible_codes_and_images_count_nothing():
    eye = torch.eye(3, dtype=torch.float64)
    prior = torch.tensor([0.2, 0.3, 0.5], dtype=torch.float64)
    account = DiscreteWorld.from_tables(prior, eye).account(eye, prior)
    entropy = float(Categorical(prior).entropy())
    assert vars(account) == pytest.approx(
        {"nll": entropy, "distortion": 0, "rate": entropy, "information": entropy, "aggregate_gap": 0}
        | {"posterior_gap": 0}
    )


def test_an_image_never_shown_counts_nothing_whatever_its_code_would_cost():
    q = torch.tensor([[0, 0, 1], [0.9, 0.1, 0], [0.2, 0.8, 0]]).double()
    data = torch.tensor([0, 0.25, 0.75]).double()
    likelihood = torch.tensor([[0, 0.5, 0.5], [0, 0.2, 0.8], [1, 0, 0]]).double()
    for prior in ([0.5, 0.3, 0.2], [0.6, 0.4, 0.0]):
        world = DiscreteWorld.from_tables(torch.tensor(prior).double(), likelihood)
        shown = DiscreteWorld(world.log_prior, world.log_likelihood[:, 1:])
        assert vars(world.account(q, data)) == pytest.approx(vars(shown.account(q[1:], data[1:])), abs=1e-12)
        assert math.isfinite(shown.account(q[1:], data[1:]).rate)


def test_a_table_that_does_not_sum_to_one_is_refused():
    half = torch.full((2, 2), 0.5).double()
    for prior, likelihood in ((half[0] * 1.1, half), (half[0], half * 0.9), (half[0] * math.nan, half)):
        with pytest.raises(ValueError, match="sum to 1"):
            DiscreteWorld.from_tables(prior, likelihood)
    world = DiscreteWorld.from_tables(half[0], half)
    for q, data in ((half * 1.4, half[0]), (half, half[0] * 1.4), (half, torch.tensor([1.5, -0.5]).double())):
        with pytest.raises(ValueError, match="sum to 1"):
            world.account(q, data)


# The linear-Gaussian world.


def random_covariance(seed, d):
    root = randn(seed, d, d + 2)
    return root @ root.T / d + 0.1 * torch.eye(d).double()


def random_linear_world(seed, pixels=4, code=2):
    decoder = Channel(randn(seed, pixels, code), randn(seed + 1, pixels), random_covariance(seed + 2, pixels))
    q = Channel(randn(seed + 3, code, pixels) / 2, randn(seed + 4, code), random_covariance(seed + 5, code))
    return LinearGaussianWorld(decoder), q, Gaussian(randn(seed + 6, pixels), random_covariance(seed + 7, pixels))


def pair_of(seed, d=3):
    return [Gaussian(randn(seed + i, d), random_covariance(seed + i + 10, d)) for i in range(2)]


@pytest.mark.parametrize("seed", SEEDS)
def test_gaussians_agree_with_torch_distributions(seed):
    p, other = pair_of(seed)
    reference, second = (MultivariateNormal(g.mean, g.cov) for g in (p, other))
    x = p.sample(5, seeded(seed))
    assert torch.allclose(p.log_prob(x), reference.log_prob(x), atol=1e-10)
    assert torch.allclose(p.entropy(), reference.entropy(), atol=1e-10)
    assert torch.allclose(p.kl(other), kl_divergence(reference, second), atol=1e-9)
    assert z_score(-other.log_prob(p.sample(20_000, seeded(seed))), p.cross_entropy(other)) < 4


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("pixels, code", [(4, 2), (3, 3), (2, 4)])
def test_both_identities_hold_in_the_linear_gaussian_world(seed, pixels, code):
    world, q, data = random_linear_world(seed, pixels, code)
    for source in (data, world.marginal()):
        assert_books_balance(world.account(q, source))
        assert_books_balance(world.account(world.posterior(), source))
    x, posterior = data.sample(6, seeded(seed)), world.posterior()
    gap = torch.stack([q.at(row).kl(posterior.at(row)) for row in x])
    assert torch.allclose(world.elbo(q, x), world.marginal().log_prob(x) - gap, atol=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_posterior_is_bayes_rule(seed):
    world, _, data = random_linear_world(seed)
    x, z = data.sample(1, seeded(seed))[0], randn(seed, 2)
    joint = world.prior.log_prob(z[None]) + world.decoder.at(z).log_prob(x[None])
    bayes = joint - world.marginal().log_prob(x[None])
    assert torch.allclose(world.posterior().at(x).log_prob(z[None]), bayes, atol=1e-9)


@pytest.mark.parametrize("orthogonal", [True, False])
def test_the_ppca_posterior_is_the_books_and_diagonal_for_orthogonal_columns(orthogonal):
    W, variance = randn(0, 5, 2), 0.3
    W = torch.linalg.qr(W).Q * torch.tensor([2.0, 0.7]) if orthogonal else W
    world = LinearGaussianWorld(Channel(W, randn(1, 5), variance * torch.eye(5).double()))
    M, posterior = W.T @ W + variance * torch.eye(2).double(), world.posterior()
    assert torch.allclose(posterior.A, torch.linalg.solve(M, W.T), atol=1e-12)
    assert torch.allclose(posterior.cov, variance * M.inverse(), atol=1e-12)
    assert torch.allclose(posterior.b, -posterior.A @ world.decoder.b, atol=1e-12)
    assert (posterior.cov[0, 1].abs() < 1e-12) == orthogonal


def test_log_p_of_x_is_the_integral_over_the_code():
    world, q, data = random_linear_world(5, pixels=3, code=1)
    x, z = data.sample(4, seeded(0)), grid()
    log_likelihood = torch.stack([world.decoder.at(node).log_prob(x) for node in z[::4, None]])
    tables = gaussian_world(z[::4], log_likelihood)
    assert torch.allclose(tables.log_prob(), world.marginal().log_prob(x), atol=1e-10)
    means = x @ q.A.T + q.b
    table = gaussian_table(DiagonalGaussian(means, q.cov.log().expand_as(means)), z[::4])
    assert torch.allclose(tables.elbo(table), world.elbo(q, x), atol=1e-9)


@pytest.mark.parametrize("seed", SEEDS)
def test_every_term_of_the_linear_gaussian_account_is_the_mean_of_its_samples(seed):
    world, q, data = random_linear_world(seed)
    x, count = data.sample(20_000, seeded(seed)), 20_000
    z = x @ q.A.T + q.b + Gaussian(0 * q.b, q.cov).sample(count, seeded(seed + 1))

    def conditional(channel, given, value):
        return Gaussian(0 * channel.b, channel.cov).log_prob(value - given @ channel.A.T - channel.b)

    log_q, log_q_z, log_prior = conditional(q, x, z), q.output(data).log_prob(z), world.prior.log_prob(z)
    account = world.account(q, data)
    assert z_score(-world.marginal().log_prob(x), account.nll) < 4
    assert z_score(-conditional(world.decoder, z, x), account.distortion) < 4
    assert z_score(log_q - log_prior, account.rate) < 4
    assert z_score(log_q - log_q_z, account.information) < 4
    assert z_score(log_q_z - log_prior, account.aggregate_gap) < 4
    assert z_score(log_q - conditional(world.posterior(), x, z), account.posterior_gap) < 4
    assert z_score(-world.elbo(q, x), account.loss) < 4


def spectrum(seed, values):
    turn = torch.linalg.qr(randn(seed, len(values), len(values))).Q
    return Gaussian(randn(seed + 1, len(values)), turn @ torch.diag(torch.tensor(values).double()) @ turn.T)


@pytest.mark.parametrize("code, variance, active", [(1, 1.0, 1), (3, 1.0, 2), (4, 1.0, 2), (4, 0.2, 4), (3, 5.0, 0)])
def test_the_active_dimensions_are_the_eigenvalues_above_the_noise(code, variance, active):
    world = ppca(spectrum(0, [4.0, 2.0, 0.5, 0.3, 0.1]), code, variance)
    assert active_dimensions(world) == active
    turn = torch.linalg.qr(randn(3, code, code)).Q
    turned = Channel(world.decoder.A @ turn, world.decoder.b, world.decoder.cov)
    assert active_dimensions(LinearGaussianWorld(turned)) == active, "turning z changes nothing"


def test_a_negative_variance_and_a_code_longer_than_the_image_are_refused():
    for code, variance in ((2, -1.0), (2, 0.0), (4, 0.5)):
        with pytest.raises(ValueError, match="positive variance and at most 3"):
            ppca(Gaussian.standard(3), code, variance)
    with pytest.raises(ValueError, match="no negative eigenvalue"):
        Gaussian(torch.zeros(2).double(), -torch.eye(2).double())


@pytest.mark.parametrize("code, variance", [(2, 1.0), (4, 0.2), (3, 0.4)])
def test_no_other_weights_are_likelier_than_those_of_ppca(code, variance):
    data = spectrum(1, [4.0, 2.0, 0.5, 0.3, 0.1])
    likeliest = ppca(data, code, variance).decoder
    least = data.cross_entropy(LinearGaussianWorld(likeliest).marginal())
    for seed in range(50):
        A, b = likeliest.A + 0.1 * randn(seed, 5, code), likeliest.b + 0.1 * randn(seed + 1, 5)
        assert data.cross_entropy(LinearGaussianWorld(Channel(A, b, likeliest.cov)).marginal()) > least


def test_ppca_with_all_the_eigenvalues_is_the_data_and_its_gaussian_posterior_informs_at_no_gap():
    data = spectrum(2, [4.0, 2.0, 0.5, 0.5, 0.5])
    world = ppca(data, 2, 0.5)
    assert torch.allclose(world.marginal().cov, data.cov, atol=1e-12)
    account = world.account(world.posterior(), data)
    assert account.loss == pytest.approx(float(data.entropy()), abs=1e-9)
    assert abs(account.aggregate_gap) < 1e-9 and abs(account.posterior_gap) < 1e-9
    assert account.information == pytest.approx(0.5 * math.log(4 / 0.5) + 0.5 * math.log(2 / 0.5), abs=1e-9)


# One bit.

ANCHORS = {1: 0.693, 2: 0.908, 5: 1.067, 10: 1.156, 100: 1.368, 1000: 1.508}


@pytest.mark.parametrize("pixels", ANCHORS)
def test_the_best_code_of_one_bit_is_within_a_hundredth_of_the_anchors(pixels):
    account = best(pixels).account()
    assert ANCHORS[pixels] - 0.01 < account.loss < ANCHORS[pixels] + 0.0005
    assert_books_balance(account)
    print(f"n = {pixels}: loss {account.loss:.4f}, rate {account.rate:.4f}, information {account.information:.4f}")


@pytest.mark.parametrize("pixels, mu, s", [(1, 0.3, 0.9), (2, 0.86, 0.5), (10, 0.5, 0.2), (1000, 1.2, 0.7)])
def test_the_loss_of_one_bit_is_its_distortion_and_rate(pixels, mu, s):
    account = OneBit(pixels, mu, s).account()
    means = torch.tensor([[-mu], [mu]], dtype=torch.float64)
    q = DiagonalGaussian(means, torch.full_like(means, 2 * math.log(s)))
    assert float(loss(pixels, q)) == pytest.approx(account.loss, abs=1e-9)
    assert account.rate == pytest.approx(float(kl_divergence(Normal(mu, s), Normal(0.0, 1.0))), abs=1e-6)
    assert_books_balance(account)
    z = mu + s * randn(0, 200_000)
    open_bit = torch.nn.functional.softplus(-2 * mu * z / s**2)
    assert z_score(open_bit, math.log(2) - account.information) < 4


@pytest.mark.parametrize("pixels", [2, 5, 100])
def test_no_two_gaussians_near_or_far_do_better_than_the_best(pixels):
    found = best(pixels)
    least = found.account().loss
    base = torch.tensor([[-found.mu, found.mu], [2 * math.log(found.s)] * 2]).double()
    for seed, spread in itertools.product(range(25), (0.003, 0.5)):
        mu, log_var = base + spread * randn(seed, 2, 2)
        assert loss(pixels, DiagonalGaussian(mu[:, None], log_var[:, None])) > least


def test_one_pixel_leaves_the_code_empty_and_any_more_do_not():
    assert best(1) == OneBit(1, 0.0, 1.0) and best(1).account().loss == pytest.approx(math.log(2), abs=1e-9)
    for seed in range(20):
        assert loss(1, DiagonalGaussian(randn(seed, 2, 1), randn(seed + 1, 2, 1) / 2)) > math.log(2)
    nearly = best(1.01)
    assert nearly.account().loss < 1.01 * math.log(2) - 1e-4 and nearly.mu > 0.3
    for impossible in (lambda: best(0), lambda: OneBit(0, 0.5, 0.5), lambda: OneBit(2, 0.5, -0.5)):
        with pytest.raises(ValueError, match="at least one pixel and a positive s"):
            impossible()


def test_a_gaussian_that_the_grid_cannot_hold_is_refused():
    for mu, log_var in ((0.0, -14.0), (12.0, 0.0)):
        with pytest.raises(ValueError, match="smaller step or a wider reach"):
            gaussian_table(DiagonalGaussian(torch.tensor([[mu]]), torch.tensor([[log_var]])), grid())
    with pytest.raises(ValueError, match="codes of 1 number"):
        gaussian_table(DiagonalGaussian(torch.zeros(1, 2), torch.zeros(1, 2)), grid())


def test_a_vae_solved_on_a_grid_has_the_elbo_that_its_samples_have():
    torch.manual_seed(0)
    shape = (1, 2, 2)
    vae = VAE(MLPEncoder(shape, 1, hidden=8), PixelCNN(shape, 4, 1, code_size=1), 1).double()
    x = images.all_images(shape)
    world, q = solve(vae, x, grid(step=0.02))
    assert abs(world.log_prob().exp().sum() - 1) < 1e-9
    posterior = vae.encode(x[3].expand(20_000, *shape))
    z = posterior.sample(seeded(0))
    with torch.no_grad():
        samples = vae.decoder.log_prob(x[3].expand(20_000, *shape), z) - vae.rate(posterior, z)
    assert z_score(samples, world.elbo(q)[3]) < 4
    assert_books_balance(world.account(q, images.random_table(4, seeded(0))))


def vae_of_two_pixels_a_side(code_size, decoder):
    torch.manual_seed(0)
    vae = VAE(MLPEncoder((1, 2, 2), code_size, hidden=8), decoder, code_size).double()
    with torch.no_grad():
        for weight in vae.decoder.parameters():
            weight.mul_(2)
    return vae


@pytest.mark.parametrize("code_size, step", [(1, 0.05), (2, 0.2)])
def test_a_factorised_vae_is_solved_as_pair_by_pair_and_its_pictures_sum_to_one(code_size, step):
    vae = vae_of_two_pixels_a_side(code_size, FactorisedDecoder((1, 2, 2), code_size, "mlp", hidden=8))
    x, z = images.all_images((1, 2, 2)), grid(8.0, step) if code_size == 1 else plane(8.0, step)
    world, q = solve(vae, x, z)
    codes = z.view(-1, code_size)
    pairs = torch.stack([vae.decoder.log_prob(one.expand(len(z), 1, 2, 2), codes) for one in x], 1)
    assert torch.allclose(world.log_likelihood, pairs, atol=1e-12)
    assert abs(world.log_prob().exp().sum() - 1) < 1e-9
    assert torch.allclose(world.rate(q), vae.encode(x).kl_to_standard_normal(), atol=1e-9)
    assert torch.allclose(q @ codes, vae.encode(x).mu, atol=1e-9)


def test_a_grid_of_the_prior_asks_an_autoregressive_decoder_about_each_picture():
    vae = vae_of_two_pixels_a_side(2, PixelCNN((1, 2, 2), 4, 1, code_size=2))
    x = images.all_images((1, 2, 2))[[3, 5, 12]]
    exact = solve(vae, x, plane(8.0, 0.2))[0].log_prob()
    assert prior_grid_nll(vae, x, side=60).nats == pytest.approx(-float(exact.mean()), abs=2e-3)
    assert (log_prob_table(vae, x, plane(1.0, 0.5))[:, 0] != log_prob_table(vae, x, plane(1.0, 0.5))[:, 1]).all()


def test_a_table_of_factorised_pixels_refuses_grey_ones_and_believes_another_output():
    z, grey = plane(1.0, 0.5), torch.full((2, 1, 2, 2), 0.5).double()
    with pytest.raises(ValueError, match="0 or 1"):
        log_prob_table(vae_of_two_pixels_a_side(2, FactorisedDecoder((1, 2, 2), 2)), grey, z)
    vae = vae_of_two_pixels_a_side(2, FactorisedDecoder((1, 2, 2), 2, output=outputs.Gaussian(0.5)))
    grey[1] = torch.rand(1, 2, 2, generator=seeded(1), dtype=torch.float64)
    by_hand = vae.decoder.log_prob(grey[1:].expand(len(z), 1, 2, 2), z)
    assert torch.allclose(log_prob_table(vae, grey, z)[:, 1], by_hand, atol=1e-12)


# Two Gaussians in the plane.


def test_the_pair_has_equal_entropy_and_only_the_rotated_one_needs_a_code():
    straight, rotated = gaussian_pair(0.0), gaussian_pair(math.pi / 4)
    assert rotated.cov.flatten().tolist() == pytest.approx([13, 12, 12, 13])
    for data, rate in ((straight, 0.0), (rotated, 0.5 * math.log(25))):
        world = factor_model(data, 0.5)
        account = world.account(world.posterior(), data)
        assert account.loss == pytest.approx(4.4473, abs=5e-5) and account.loss == pytest.approx(float(data.entropy()))
        assert account.rate == pytest.approx(rate, abs=1e-9) == least_rate(data)
        assert_books_balance(account)


def test_collapse_costs_the_correlation_and_nothing_where_there_is_none():
    for data, cost in ((gaussian_pair(0.0), 0.0), (gaussian_pair(math.pi / 4), -0.5 * math.log(1 - (12 / 13) ** 2))):
        world = collapsed_model(data)
        account = world.account(world.posterior(), data)
        assert account.rate == pytest.approx(0, abs=1e-12)
        assert account.loss - float(data.entropy()) == pytest.approx(cost, abs=1e-9)


@pytest.mark.parametrize("angle", [0.3, math.pi / 4, -1.0, 2.5])
def test_exact_models_differ_in_rate_which_is_least_at_the_even_share(angle):
    data, rates = gaussian_pair(angle), {}
    for share in (0.02, 0.3, 0.45, 0.5, 0.55, 0.8, 0.98):
        world = factor_model(data, share)
        assert torch.allclose(world.marginal().cov, data.cov, atol=1e-12)
        rates[share] = world.account(world.posterior(), data).rate
    assert min(rates, key=rates.get) == 0.5 and rates[0.5] == pytest.approx(least_rate(data), abs=1e-9)
    with pytest.raises(ValueError, match="between 0 and 1"):
        factor_model(data, 1.1)


# Mixtures.


def random_mixture(seed, d, count=3):
    covs = torch.stack([random_covariance(seed + k, d) for k in range(count)])
    return Mixture(random_probabilities(seed, count), randn(seed + 9, count, d), covs)


def as_torch(m):
    return MixtureSameFamily(Categorical(m.weights), MultivariateNormal(m.means, m.covs))


def draws(m, count, seed):
    k = torch.multinomial(m.weights, count, True, generator=seeded(seed))
    return m.means[k] + (torch.linalg.cholesky(m.covs)[k] @ randn(seed + 1, count, m.means.shape[1], 1)).squeeze(-1)


@pytest.mark.parametrize("seed, d", [(0, 1), (1, 1), (2, 2), (3, 2)])
def test_mixtures_agree_with_torch_distributions_and_their_samples(seed, d):
    m = random_mixture(seed, d)
    x, matched = draws(m, 40_000, seed), m.matched_gaussian()
    assert torch.allclose(m.log_prob(x[:9]), as_torch(m).log_prob(x[:9]), atol=1e-10)
    assert all(z_score(x[:, i], matched.mean[i]) < 4 for i in range(d))
    off = x - matched.mean
    assert all(z_score(off[:, i] * off[:, j], matched.cov[i, j]) < 4 for i in range(d) for j in range(d))
    assert z_score(m.log_prob(x) - matched.log_prob(x), m.kl_to(matched)) < 4


@pytest.mark.parametrize("seed, d", [(0, 1), (1, 2), (2, 1), (3, 2)])
def test_a_finite_mixture_is_gaussian_only_if_all_components_agree(seed, d):
    m = random_mixture(seed, d)
    assert m.kl_to(m.matched_gaussian()) > 1e-3
    alike = Mixture(m.weights, m.means[:1].expand(3, d), m.covs[:1].expand(3, d, d))
    assert abs(alike.kl_to(alike.matched_gaussian())) < 1e-10
    shifted = Mixture(m.weights, m.means, alike.covs)
    widened = Mixture(m.weights, alike.means, m.covs)
    assert min(other.kl_to(other.matched_gaussian()) for other in (shifted, widened)) > 1e-6


def test_the_kl_to_a_gaussian_is_torchs_for_one_component():
    for seed, d in ((0, 1), (1, 2)):
        p, other = pair_of(seed, d)
        one = Mixture(torch.ones(1).double(), p.mean[None], p.cov[None])
        assert torch.allclose(one.kl_to(other), p.kl(other), atol=1e-10)


@pytest.mark.parametrize("seed, d", [(0, 1), (1, 1), (2, 2)])
def test_what_a_mixture_tells_of_its_component_is_the_average_of_log_ratios_over_draws(seed, d):
    m, x = random_mixture(seed, d), randn(seed + 50, 40_000, d)
    k = torch.multinomial(m.weights, len(x), True, generator=seeded(seed))
    x = m.means[k] + (torch.linalg.cholesky(m.covs)[k] @ x[..., None]).squeeze(-1)
    own = MultivariateNormal(m.means[k], m.covs[k]).log_prob(x)
    assert z_score(own - as_torch(m).log_prob(x), m.information()) < 4
    assert 0.01 < m.information() < -(m.weights * m.weights.log()).sum()


def test_far_apart_the_component_is_told_whole_and_among_equals_not_at_all():
    w, means = random_probabilities(0, 3), torch.tensor([-40.0, 0.0, 40.0]).double()[:, None]
    one = torch.ones(3, 1, 1).double()
    assert float(Mixture(w, means, one).information()) == pytest.approx(float(-(w * w.log()).sum()), abs=1e-12)
    assert abs(Mixture(w, 0 * means, one).information()) < 1e-12


def test_characteristic_functions_fall_like_the_narrowest_component_and_densities_like_the_widest():
    m = Mixture(random_probabilities(3, 3), randn(4, 3, 1), torch.tensor([0.3, 0.9, 2.0]).double().view(3, 1, 1))
    t = torch.linspace(8, 9, 5).double()[:, None]
    phi = (m.weights * torch.exp(1j * t * m.means[:, 0] - t**2 * m.covs[:, 0, 0] / 2)).sum(1)
    assert torch.allclose(phi.abs(), m.weights[0] * torch.exp(-0.15 * t[:, 0] ** 2), rtol=1e-6)
    x = torch.tensor([[-40.0], [40.0]]).double()
    widest = Gaussian(m.means[2], m.covs[2]).log_prob(x) + m.weights[2].log()
    assert torch.allclose(m.log_prob(x), widest, atol=1e-9)


@pytest.mark.parametrize("s", [0.4, 0.7, 0.95])
@pytest.mark.parametrize("count", [1, 2, 3, 5])
def test_quadrature_copies_have_the_normal_moments_up_to_twice_their_number_less_one(s, count):
    m = quadrature_copies(s, count)
    x = torch.arange(-10, 10, 0.01, dtype=torch.float64)
    density = m.log_prob(x[:, None]).exp()
    normal = [0.0 if order % 2 else math.prod(range(1, order, 2)) for order in range(2 * count + 1)]
    moments = [float((density * x**order).sum() * 0.01) for order in range(2 * count + 1)]
    assert moments[:-1] == pytest.approx(normal[:-1], abs=1e-8)
    missing = math.factorial(count) * (1 - s**2) ** count
    assert normal[-1] - moments[-1] == pytest.approx(missing, rel=1e-6), "the next moment is not there"


def test_quadrature_copies_near_a_gaussian_at_the_rate_their_docstring_names():
    for count in (2, 3, 4):
        found = float(quadrature_copies(0.97, count).kl_to(Gaussian.standard(1)))
        assert found == pytest.approx(0.5 * (1 - 0.97**2) ** (2 * count) / math.comb(2 * count, count), rel=0.05)
    with pytest.raises(ValueError, match="narrower than the whole"):
        quadrature_copies(1.0, 3)


def test_far_out_a_mixture_falls_like_its_widest_component():
    w, covs = torch.tensor([0.7, 0.3]).double(), torch.tensor([0.25, 2.0]).double().view(2, 1, 1)
    m, x = Mixture(w, torch.tensor([[1.0], [0.0]]).double(), covs), torch.tensor([[-30.0], [30.0]]).double()
    widest = Gaussian(m.means[1], covs[1]).log_prob(x)
    assert torch.allclose(m.log_prob(x), widest + math.log(0.3), atol=1e-9)
    assert (m.log_prob(x) - m.matched_gaussian().log_prob(x)).min() > 10, "its own moments' Gaussian falls faster"


@pytest.mark.parametrize("s", [0.1, 0.5, 0.9, 0.99])
def test_infinitely_many_narrow_gaussians_add_up_to_a_gaussian(s):
    x = torch.linspace(-6, 6, 25).double()
    assert torch.allclose(infinite_mixture_log_prob(x, s), Normal(0.0, 1.0).log_prob(x), atol=1e-12)


def test_finitely_many_come_nearer_and_never_arrive():
    gaps = [float(shifted_copies(0.6, count).kl_to(Gaussian.standard(1))) for count in (2, 4, 8, 16, 32)]
    assert gaps == sorted(gaps, reverse=True) and 1e-5 < gaps[-1] < 2e-3


@pytest.mark.parametrize("s", [-0.5, 0.0, 1.0, 2.0])
def test_what_is_no_mixture_is_refused(s):
    for build in (lambda: shifted_copies(s, 3), lambda: infinite_mixture_log_prob(torch.zeros(1).double(), s)):
        with pytest.raises(ValueError, match="narrower than the whole"):
            build()
    with pytest.raises(ValueError, match="weights of a mixture"):
        Mixture(torch.tensor([0.5, 0.9]).double(), torch.zeros(2, 1).double(), torch.ones(2, 1, 1).double())


def test_gaussian_posteriors_at_all_the_data_inform_while_the_unseen_image_makes_up_the_prior():
    z, data = grid(), torch.tensor([0.3, 0.7]).double()
    q = DiagonalGaussian(torch.tensor([[-0.8], [0.9]]).double(), torch.tensor([[-1.5], [-1.0]]).double())
    world, table = world_of_posteriors(q, data, z), gaussian_table(q, z)
    assert torch.allclose(world.log_posterior()[:2].exp(), table, atol=1e-12), "the posterior is q, at all the data"
    assert torch.allclose(world.log_likelihood.exp().sum(1), torch.ones_like(z))
    left_over = world.log_likelihood.exp()[:, 2]
    assert abs(left_over.min()) < 1e-12, "no larger share of the prior would do"
    own = world.log_prob().exp()
    assert own[2] > 0.1 and torch.allclose(own[:2] / own[:2].sum(), data)
    full = world.log_posterior().exp()
    seen = torch.cat([data, torch.zeros(1).double()])
    assert world.account(full, seen).information > 0.3 and abs(world.account(full, seen).posterior_gap) < 1e-9
    assert world.account(full, seen).aggregate_gap > 0.1 and abs(world.account(full, own).aggregate_gap) < 1e-9
    with pytest.raises(ValueError, match="narrower than the prior"):
        world_of_posteriors(DiagonalGaussian(q.mu, 0 * q.log_var), data, z)
