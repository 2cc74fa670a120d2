"""Chapter 05's numbers, measured again, and the statements behind them, by routes of their own."""

import dataclasses
import math

import pytest
import torch

from course_lib.data import digits
from course_lib.experiments import chapter_05
from course_lib.experiments.chapter_05 import (
    EXAMPLES,
    THREE_IMAGES,
    THREE_WEIGHTS,
    characteristic,
    decoder_mismatch,
    excess,
    finite_mixtures,
    finitely_many,
    infinite_mixture,
    information_among,
    kl_to_matched,
    least_price,
    line,
    linear_worlds,
    ppca_of_digits,
    random_lines,
    same_pictures,
    train_linear_vae,
    trained_worlds,
    world_of_codes,
)
from course_lib.measurement.ledger import claims, result, results
from course_lib.measurement.worlds.discrete import DiscreteWorld
from course_lib.measurement.worlds.linear_gaussian import Channel, Gaussian, LinearGaussianWorld
from course_lib.measurement.worlds.mixtures import quadrature_copies, world_of_posteriors
from course_lib.measurement.worlds.quadrature import gaussian_table, gaussian_world, grid
from course_lib.models.gaussian import DiagonalGaussian

NORMAL = Gaussian.standard(1)


def randn(seed, *shape):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def own_data(world):
    """p(x) of a world whose states are all x, exactly normalised."""
    p = world.log_prob().exp()
    return p / p.sum()


@pytest.fixture(scope="module")
def measured():
    """All exact results, measured again."""
    return [entry for run in (finite_mixtures, infinite_mixture, linear_worlds, finitely_many) for entry in run()]


def test_exact_results_are_measured_again_and_agree(measured):
    for entry in measured:
        known = result(entry.key)
        assert entry.value == pytest.approx(known.value, abs=known.band + 1e-6), entry.key
        assert known.claim == entry.claim and known.band <= 0.01


def test_every_number_of_the_closing_table_is_one_that_a_test_measures(measured):
    table = {key for key, entry in results().items() if entry.claim in ("C15", "C16")}
    assert table == {entry.key for entry in measured} | {"C16.trained.gap", "C16.trained.information"}
    assert {"C15", "C16"} <= set(claims())


# C15.


def test_the_numbers_tell_what_the_verdict_on_finite_mixtures_says():
    assert result("C15.wide_and_narrow").value > result("C15.two_apart").value > 1e-3
    assert result("C15.all_agree").value < 1e-9 and result("C15.infinite").value < 1e-9
    assert result("C15.least").value > 1 and result("C15.a_fifth_apart").value > 0.1
    copies = [result(f"C15.copies{count:02d}").value for count in (2, 8, 32)]
    assert copies == sorted(copies, reverse=True) and copies[-1] > 1e-4


@pytest.mark.parametrize("name", ["wide and narrow", "two apart"])
def test_the_kl_is_the_average_log_ratio_over_draws(name):
    m, k = EXAMPLES[name], torch.randint(2, (200_000,), generator=torch.Generator().manual_seed(0))
    x = m.means[k] + m.covs[k, 0].sqrt() * randn(1, 200_000, 1)
    ratio = m.log_prob(x) - m.matched_gaussian().log_prob(x)
    assert abs(ratio.mean() - kl_to_matched(m)) < 4 * ratio.std() / len(x) ** 0.5


def test_characteristic_functions_are_the_fourier_transforms_of_the_densities():
    for m in random_lines(5, seed=3):
        x, t = torch.arange(-25, 25, 0.01, dtype=torch.float64), torch.tensor([0.0, 0.4, 1.7]).double()
        by_sum = (m.log_prob(x[:, None]).exp() * torch.exp(1j * t[:, None] * x)).sum(1) * 0.01
        assert torch.allclose(characteristic(m, t), by_sum, atol=1e-10)


def test_far_out_the_characteristic_function_lies_above_that_of_the_matched_gaussian():
    """The proof's comparison: at some t beyond any, the finite mixture is larger, unless all components agree."""
    for m in random_lines(50, seed=1):
        t = torch.linspace(6, 9, 3000).double()
        excess = characteristic(m, t).abs().log() + float(m.matched_gaussian().cov) * t**2 / 2
        assert excess.max() > 0.5


def test_waves_have_the_sum_of_their_squared_weights_as_mean_square_and_equal_ones_add_first():
    t = torch.linspace(0, 5000, 100_001).double()
    for weights, means, expected in (
        ([0.5, 0.3, 0.2], [-1.0, 0.4, 2.0], 0.38),
        ([0.5, 0.3, 0.2], [-1.0, -1.0, 2.0], 0.68),
    ):
        waves = characteristic(line(weights, means, [1e-9] * 3), t)
        assert float(waves.abs().square().mean()) == pytest.approx(expected, abs=2e-3)


def test_with_wide_copies_the_next_by_gauss_hermite_divides_the_kl_as_the_chapter_says():
    """(4 K + 2) / (K + 1) / (1 - s^2)^2 near s = 1, and less for narrower ones."""
    for s, low, high in ((0.97, 0.98, 1), (0.6, 0, 0.8)):
        two, three = (float(quadrature_copies(s, count).kl_to(NORMAL)) for count in (2, 3))
        assert low < two / three / (10 / 3 / (1 - s**2) ** 2) < high


def test_the_random_mixtures_differ_and_are_the_same_at_every_call():
    first, again = random_lines(200, seed=0), random_lines(200, seed=0)
    assert all(torch.equal(a.means, b.means) for a, b in zip(first, again, strict=True))
    assert {len(m.weights) for m in first} == {2, 3, 4, 5}
    assert all(0.5 <= m.covs.sqrt().min() and m.covs.sqrt().max() <= 2 for m in first)


def test_the_game_can_be_won_on_the_sliders_with_the_mirror_image_and_not_without():
    won = line([0.25, 0.5, 0.25], [-1.5, 0.0, 1.5], [1.1, 1.0, 1.1])
    assert kl_to_matched(won) < 0.001 and won.information() >= 0.3
    assert least_price(2, 0.3)[0] > 0.005


def test_rows_of_ever_narrower_gaussians_fill_the_bell_and_stay_below_it():
    """Question 2: each row takes more than half of what is left, and leaves a third of it or more at every point.

    Beyond |x| = 9 a row falls faster than the bell, for its Gaussians are narrower and end at |x| = 3.
    """
    x = torch.arange(-9000, 9001).double() / 1000
    bell = NORMAL.log_prob(x[:, None]).exp()
    rest, left = bell, 1.0
    for s, reach in ((0.3, 2.1), (0.06, 2.52), (0.012, 3.0)):
        at = torch.arange(-round(reach / s), round(reach / s) + 1) * round(1000 * s) + 9000
        row = sum(
            0.6 * rest[i] * s * Gaussian(x[i : i + 1], bell.new_tensor([[s**2]])).log_prob(x[:, None]).exp() for i in at
        )
        assert ((rest - row) / rest).min() > 1 / 3 and (rest - row).sum() / 1000 < left / 2
        rest, left = rest - row, float((rest - row).sum()) / 1000
    assert 0 < left < 0.1


def test_the_numbers_that_are_zero_are_the_worst_of_several_worlds(monkeypatch):
    """A zero measured in one place only, or on the wrong images, is no less zero: so the places are watched."""
    widths, shares = [], []
    for name, seen in (("infinite_mixture_log_prob", widths), ("same_pictures", shares)):
        real = getattr(chapter_05, name)
        monkeypatch.setattr(chapter_05, name, lambda of, at, real=real, seen=seen: seen.append(at) or real(of, at))
    list(infinite_mixture()), list(linear_worlds())
    assert min(widths) <= 0.1 and max(widths) >= 0.9 and {0.0, 0.5, 1.0} <= set(shares)
    found, (_, _, held_out) = ppca_of_digits(), digits()
    assert torch.equal(found.test, held_out.images.flatten(1).double())


# C16, (a): linear worlds.


def test_ppca_of_digits_is_stationary_and_has_the_data_as_its_own_moments_along_the_code():
    found = ppca_of_digits()
    eigenvalues = torch.linalg.eigvalsh(found.data.cov).flip(0)
    model = torch.linalg.eigvalsh(found.world.marginal().cov).flip(0)
    assert torch.allclose(model[:6], eigenvalues[:6]) and torch.allclose(model[6:], eigenvalues[6:].mean())
    q = found.world.posterior()
    aggregate = q.output(found.data)
    assert torch.allclose(aggregate.cov, torch.eye(6).double(), atol=1e-12) and aggregate.mean.abs().max() < 1e-12
    assert torch.allclose(q.cov, torch.diag(model[6] / model[:6]), atol=1e-12), "sigma^2 over the eigenvalue"
    by_hand = 0.5 * (eigenvalues[:6] / model[6]).log().sum()
    assert result("C16.ppca.information").value == pytest.approx(float(by_hand), abs=1e-5)


def test_the_digits_themselves_are_told_less_than_the_gaussian_of_their_moments_and_less_than_their_ceiling():
    """By a sum over the mixture, one digit at a time, with other draws than the ledger's."""
    found, told = ppca_of_digits(), result("C16.ppca.digits")
    q = found.world.posterior()
    mu, s = found.train @ q.A.T + q.b, q.cov.diag().sqrt()
    z = mu + s * randn(7, *mu.shape)
    log_q = torch.stack([-(((of - mu) / s) ** 2).sum(1) / 2 for of in z])
    gains = log_q.diagonal() - (log_q.logsumexp(1) - math.log(len(mu)))
    assert abs(gains.mean() - told.value) < 4 * gains.std() / len(mu) ** 0.5 + told.spread
    assert told.value < math.log(len(mu)) < result("C16.ppca.information").value
    assert information_among(q, found.train, torch.Generator()).rate == pytest.approx(
        found.world.account(q, found.data).rate, abs=1e-9
    ), "a rate asks for mean and covariance alone"


def test_the_information_among_rows_runs_from_nothing_to_the_logarithm_of_their_number():
    x, one = randn(0, 40, 2), torch.eye(2).double()
    told = [information_among(Channel(a * one, x[0], 1e-4 * one), x, torch.Generator()) for a in (0.0, 1.0, 1e3)]
    assert [found.ceiling for found in told] == [math.log(40)] * 3
    assert told[0].lower == pytest.approx(0, abs=1e-9) and told[2].lower == pytest.approx(math.log(40), abs=1e-9)
    assert 0 < told[1].lower <= told[2].lower


def test_correlated_numbers_of_a_code_are_refused():
    q = Channel(torch.eye(2).double(), torch.zeros(2).double(), torch.tensor([[1.0, 0.5], [0.5, 1.0]]).double())
    with pytest.raises(ValueError, match="not diagonal"):
        information_among(q, randn(0, 5, 2), torch.Generator())


def test_a_turned_decoder_has_the_same_pictures_and_a_gap_for_every_diagonal_encoder():
    found = ppca_of_digits()
    W = found.world.decoder.A
    turn = torch.linalg.qr(randn(0, 6, 6)).Q
    turned = LinearGaussianWorld(Channel(W @ turn, found.world.decoder.b, found.world.decoder.cov))
    assert torch.allclose(turned.marginal().cov, found.world.marginal().cov, atol=1e-12)
    exact = turned.posterior()
    precision = exact.cov.inverse()
    floor = float(precision.diag().log().sum() - precision.logdet()) / 2
    best = Channel(exact.A, exact.b, (1 / precision.diag()).diag())
    gap = turned.account(best, found.data).posterior_gap
    assert gap == pytest.approx(floor, abs=1e-9) and floor > 0.1
    wider = dataclasses.replace(best, cov=1.1 * best.cov)
    assert turned.account(wider, found.data).posterior_gap > gap


def test_the_gap_of_other_encoders_is_not_zero():
    found = ppca_of_digits()
    from_elsewhere = same_pictures(found.world, 0.9).posterior()
    gaps = found.world.marginal().log_prob(found.test) - found.world.elbo(from_elsewhere, found.test)
    assert gaps.min() > 0.01


def test_models_of_equal_pictures_tell_from_nothing_to_everything():
    found = ppca_of_digits()
    told = []
    for share in (0.0, 0.3, 0.8, 1.0):
        world = same_pictures(found.world, share)
        account = world.account(world.posterior(), world.marginal())
        assert torch.allclose(world.marginal().cov, found.world.marginal().cov, atol=1e-12)
        assert abs(account.posterior_gap) < 1e-9 and abs(account.aggregate_gap) < 1e-9
        told.append(account.information)
    assert abs(told[0]) < 1e-9 and told == sorted(told) and told[-1] > 7.5


def test_the_trained_linear_vae_ends_near_the_closed_form_and_starts_far_from_it():
    gap, information = result("C16.trained.gap"), result("C16.trained.information")
    assert 0 < gap.value - gap.band and gap.value + gap.band < 0.01 * information.value
    assert abs(information.value - result("C16.ppca.information").value) < information.band
    _, _, accounts = train_linear_vae(ppca_of_digits().train)
    assert accounts[0].posterior_gap > 1 and accounts[0].information < 1 < accounts[0].loss - accounts[-1].loss
    assert accounts[-1].posterior_gap == pytest.approx(gap.value, abs=gap.band)
    assert accounts[-1].information == pytest.approx(information.value, abs=information.band)


def test_the_recorded_training_sees_every_digit_with_three_seeds_and_reports_its_end(monkeypatch):
    seen, found = [], ppca_of_digits()
    end = found.world.account(found.world.posterior(), found.data)

    def watched(x, seed):
        seen.append((len(x), seed))
        return found.world, None, [None, dataclasses.replace(end, posterior_gap=float(seed), information=10.0 + seed)]

    monkeypatch.setattr(chapter_05, "train_linear_vae", watched)
    gap, information = trained_worlds()
    assert seen == [(len(found.train), seed) for seed in (0, 1, 2)]
    assert (gap.value, gap.spread, information.value, information.spread) == (1, 1, 11, 1)


def test_each_seed_trains_from_weights_of_its_own():
    x = ppca_of_digits().train[:50]
    first, again, other = (train_linear_vae(x, steps=0, seed=seed)[0].decoder.A for seed in (0, 0, 1))
    assert torch.equal(first, again) and (first - other).abs().max() > 0.05


def test_the_last_account_is_that_of_the_model_and_the_encoder_returned():
    x = ppca_of_digits().train[:50]
    world, q, accounts = train_linear_vae(x, steps=20)
    with torch.no_grad():
        returned = world.account(q, Gaussian(x.mean(0), torch.cov(x.T, correction=0)))
    assert len(accounts) == 3 and accounts[-1] == returned


# C16, (b): finitely many pictures.


def symmetric_price(information):
    """KL and I of N(-m, s^2) and N(m, s^2), half each, with m^2 + s^2 = 1, at the m that tells `information`."""
    low, high = 0.0, 0.999
    for _ in range(60):
        m = (low + high) / 2
        pair = line([0.5, 0.5], [-m, m], [math.sqrt(1 - m**2)] * 2)
        low, high = (m, high) if pair.information() < information else (low, m)
    return float(pair.kl_to(NORMAL))


@pytest.mark.parametrize("information", [0.1, 0.3, 0.5])
def test_the_least_price_for_two_is_that_of_the_symmetric_pair(information):
    found, m = least_price(2, information)
    assert found == pytest.approx(symmetric_price(information), rel=1e-4)
    assert float(m.information()) == pytest.approx(information, abs=1e-6)
    assert float(m.weights @ m.means[:, 0]) == pytest.approx(0, abs=1e-9)
    assert float(m.matched_gaussian().cov) == pytest.approx(1, abs=1e-9)


def test_for_little_information_two_pay_four_thirds_of_its_fourth_power():
    for information in (0.01, 0.02):
        assert symmetric_price(information) == pytest.approx(4 / 3 * information**4, rel=0.1)


def test_no_random_mixture_is_cheaper_than_the_least_price_found():
    for m in random_lines(12, seed=5):
        count, told = len(m.weights), float(m.information())
        if count <= 3 and 0.05 < told < 0.6:
            assert kl_to_matched(m) >= least_price(count, told)[0] - 1e-9


def test_more_pictures_pay_less_and_more_information_costs_more():
    prices = {(count, told): least_price(count, told)[0] for count in (2, 3) for told in (0.2, 0.5)}
    assert 0 < prices[3, 0.2] < prices[2, 0.2] < prices[2, 0.5] and prices[3, 0.2] < prices[3, 0.5] < prices[2, 0.5]
    hermite = quadrature_copies(0.7, 3)
    assert least_price(3, float(hermite.information()))[0] <= float(hermite.kl_to(NORMAL))


def test_the_search_starts_elsewhere_for_each_seed_and_ends_at_one_price():
    prices, ways = zip(*(least_price(3, 0.3, seed) for seed in (0, 1, 2)), strict=True)
    assert max(prices) - min(prices) < 1e-7
    assert len({tuple(m.means[:, 0].tolist()) for m in ways}) == 3


@pytest.mark.parametrize("count, information", [(2, 0.7), (3, 1.1), (2, 0.0), (2, -1.0)])
def test_what_the_components_cannot_tell_is_refused(count, information):
    with pytest.raises(ValueError, match="components tell more than 0 and less than"):
        least_price(count, information)


@pytest.mark.parametrize("seed", range(5))
def test_the_gap_on_the_models_own_pictures_is_at_least_the_price(seed):
    z, count = grid(step=0.02), 3
    world = gaussian_world(z, (randn(seed, 1, count) + z[:, None] * randn(seed + 1, 1, count)).log_softmax(1))
    q = DiagonalGaussian(randn(seed + 2, count, 1), 0.5 * randn(seed + 3, count, 1) - 0.5)
    account = world.account(gaussian_table(q, z), own_data(world))
    assert account.posterior_gap >= account.aggregate_gap - 1e-9 and account.aggregate_gap > 1e-4


# C16: the excess, split in two ways.


@pytest.mark.parametrize("seed", range(5))
def test_the_excess_over_the_entropy_is_the_same_sum_either_way(seed):
    z, count = grid(step=0.02), 4
    world = gaussian_world(z, (randn(seed, 1, count) + z[:, None] * randn(seed + 1, 1, count)).log_softmax(1))
    q = gaussian_table(DiagonalGaussian(randn(seed + 2, count, 1), 0.5 * randn(seed + 3, count, 1) - 0.5), z)
    data = torch.softmax(randn(seed + 4, count), 0)
    account, terms = world.account(q, data), excess(world, q, data)
    above = account.loss + float(torch.xlogy(data, data).sum())
    misfit = float((data * (data.log() - world.log_prob())).sum())
    assert list(terms) == ["aggregate", "decoder", "gap", "misfit", "excess"] and min(terms.values()) > 1e-3
    assert terms["aggregate"] + terms["decoder"] == pytest.approx(above, abs=1e-9) == terms["excess"]
    assert (terms["gap"], terms["misfit"]) == pytest.approx((above - misfit, misfit), abs=1e-9)
    assert terms["aggregate"] == pytest.approx(account.aggregate_gap, abs=1e-12)


def test_the_best_decoder_for_a_code_misses_nothing_and_any_other_does():
    z, m = grid(), least_price(3, 0.4)[1]
    world, q = world_of_codes(m, z)
    assert isinstance(world, DiscreteWorld) and torch.allclose(world.log_likelihood.exp().sum(1), torch.ones_like(z))
    assert abs(decoder_mismatch(world, q, m.weights)) < 1e-9
    silent = gaussian_world(z, m.weights.log().expand(len(z), 3))
    assert decoder_mismatch(silent, q, m.weights) == pytest.approx(0.4, abs=1e-6), "all that the code tells"


def test_a_density_on_finitely_many_data_is_not_held_by_their_entropy():
    """The bound asks for a discrete x: pPCA, a density, lies below the entropy of its training digits, far below."""
    found = ppca_of_digits()
    average = -found.world.elbo(found.world.posterior(), found.train).mean()
    assert len(found.train.unique(dim=0)) == len(found.train)
    assert average < math.log(len(found.train)) - 10


def test_the_silent_code_alone_reaches_the_entropy():
    z, w = grid(), torch.tensor([0.2, 0.3, 0.5]).double()
    silent = gaussian_world(z, w.log().expand(len(z), 3))
    prior = silent.log_prior.exp().expand(3, -1)
    entropy = -float((w * w.log()).sum())
    assert silent.account(prior / prior.sum(1, keepdim=True), w).loss == pytest.approx(entropy, abs=1e-9)
    assert result("C16.bit16").value > 1, "one that speaks stays above, if only by a hair"


def test_the_match_on_the_data_pays_in_the_probability_of_the_unseen():
    world = world_of_posteriors(THREE_IMAGES, THREE_WEIGHTS, grid())
    seen = float(world.log_prob().exp()[:3].sum())
    assert result("C16.data.excess").value == pytest.approx(-math.log(seen), abs=1e-5)
    assert result("C16.data.gap").value < 1e-9 < 0.5 < result("C16.data.information").value
