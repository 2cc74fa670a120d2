"""Chapter 04: its exact numbers are measured again, and its worlds are held against closed forms and plain sums."""

import functools
import math

import pytest
import torch

from course_lib.experiments.chapter_04 import (
    EXPERIMENTS,
    erratum,
    estimates,
    even,
    log_mean,
    log_terms,
    mixed_posteriors,
    mixture_in_gaussians,
    posterior_gaps,
    posterior_mixtures,
    random_linear,
    random_tables,
    rate_two_ways,
    small_world,
    solved,
    two_ways_in_gaussians,
    two_ways_in_tables,
    whole_gap,
    worst_difference,
)
from course_lib.measurement.ledger import result, results
from course_lib.measurement.worlds.discrete import DiscreteWorld
from course_lib.measurement.worlds.gaussian_pair import factor_model, gaussian_pair, strong_model
from course_lib.measurement.worlds.humps import PICTURES, best_members, elbos, gaussian_family, hump_world
from course_lib.measurement.worlds.linear_gaussian import Channel, Gaussian, LinearGaussianWorld
from course_lib.measurement.worlds.quadrature import gaussian_table, plane, solve, solved_world
from course_lib.models.encoders import ConvEncoder
from course_lib.models.factorised import FactorisedDecoder
from course_lib.models.gaussian import DiagonalGaussian
from course_lib.models.vae import VAE
from course_lib.zoo.recipes import binary_digits

EXACT = [name for name in EXPERIMENTS if name != "04.digits"]


@functools.cache
def measured_again(name):
    return {entry.key: entry.value for entry in EXPERIMENTS[name]()}


@pytest.mark.parametrize("name", EXACT)
def test_exact_results_are_measured_again_and_agree(name):
    found = measured_again(name)
    assert found and {key: result(key).value for key in found} == pytest.approx(found, abs=2e-6)


def test_no_row_of_the_chapter_is_left_over_from_an_older_experiment():
    rows = {key for key in results() if key.split(".")[0] in ("C13", "C14", "C20", "04")}
    digits = {key for key in rows if key.startswith(("04.digits", "C14.digits"))}
    assert rows - digits == {key for name in EXACT for key in measured_again(name)}
    assert len(digits) == 23 and all(result(key).command.endswith("04.digits") for key in digits)


def test_the_ledger_s_entropy_and_mixtures_are_the_written_out_formulas():
    assert result("04.pair.entropy").value == pytest.approx(math.log(2 * math.pi * math.e) + math.log(5), abs=1e-6)
    assert result("04.pair.collapsed").value == pytest.approx(math.log(2 * math.pi * math.e * 13), abs=1e-6)
    assert result("04.pair.least").value == pytest.approx(math.log(5), abs=1e-6)
    p, posterior = torch.tensor([0.5, 0.3, 0.2]).double(), small_world()[0].log_posterior().exp()
    mixed = small_world()[1] @ posterior
    assert result("C14.discrete.data").value == pytest.approx(float((mixed * (mixed / p).log()).sum()), abs=1e-6)


def ledger(name):
    return result(f"04.digits.{name}").value


def test_both_arrangements_and_the_surgery_bind_the_numbers_of_the_digits():
    assert ledger("distortion") + ledger("rate") == pytest.approx(ledger("loss"), abs=3e-6)
    assert ledger("nll") + ledger("posterior_gap") == pytest.approx(ledger("loss"), abs=3e-6)
    assert ledger("information") + ledger("aggregate_gap") == pytest.approx(ledger("rate"), abs=3e-6)


def test_the_estimators_agree_with_the_grid_on_digits():
    assert all(-0.02 < ledger(name) < 0.05 for name in ("iwae", "iwae25", "ais"))
    assert result("04.digits.shortcut").value + result("04.digits.shortcut").band < -0.02
    assert ledger("information_lower") - 0.05 < ledger("information") < ledger("information_upper")


def test_the_encoder_does_worse_on_digits_it_has_not_seen_and_the_family_does_not():
    assert ledger("unseen_more") == pytest.approx(ledger("posterior_gap") - ledger("seen_gap"), abs=3e-6)
    # Of three values none is further from their mean than 2 / sqrt(3) sample standard deviations.
    spread = result("04.digits.unseen_more").spread
    assert 0.02 < ledger("unseen_more") - 2 / math.sqrt(3) * spread <= ledger("unseen_least") < ledger("unseen_more")
    assert abs(ledger("approximation.test") - ledger("approximation.train")) < 0.02
    assert ledger("amortisation.test") > ledger("amortisation.train")
    for whose in ("train", "test"):
        assert ledger(f"amortisation.{whose}") > 2 * ledger(f"approximation.{whose}")


def test_own_drawings_mix_to_the_prior_and_digits_do_not():
    digits, few, many = (result(f"C14.digits.{name}") for name in ("data", "own250", "own1000"))
    assert digits.value - digits.band > few.value + few.band > few.value > many.value + many.band > 0


def test_a_difference_between_two_ways_is_noticed():
    assert worst_difference(lambda seed: (torch.zeros(2), torch.tensor([0.0, seed])), seeds=3) == 2.0


@pytest.mark.parametrize(
    "owner, term, two_ways",
    [
        (DiscreteWorld, "distortion", two_ways_in_tables),
        (DiscreteWorld, "rate", two_ways_in_tables),
        (DiscreteWorld, "log_posterior", two_ways_in_tables),
        (LinearGaussianWorld, "elbo", two_ways_in_gaussians),
        (Gaussian, "kl", two_ways_in_gaussians),
        (Gaussian, "kl", mixture_in_gaussians),
        (DiscreteWorld, "rate", rate_two_ways(random_tables)),
        (Channel, "information", rate_two_ways(random_linear)),
        (Gaussian, "kl", rate_two_ways(random_linear)),
    ],
)
def test_a_term_that_is_off_keeps_the_two_ways_apart(monkeypatch, owner, term, two_ways):
    true = getattr(owner, term)
    monkeypatch.setattr(owner, term, lambda *inputs: true(*inputs) + 0.1)
    assert worst_difference(two_ways, seeds=2) == pytest.approx(0.1, abs=1e-9)


@pytest.mark.parametrize("two_ways", [two_ways_in_tables, two_ways_in_gaussians])
def test_the_random_worlds_of_the_two_arrangements_are_not_degenerate(two_ways):
    values = torch.cat([two_ways(seed)[0] for seed in range(10)])
    assert values.std() > 0.1 and len(values.unique()) == len(values)


@pytest.mark.parametrize("make", [random_tables, random_linear])
def test_the_encoders_of_the_random_worlds_say_something_and_are_no_posteriors(make):
    for seed in range(5):
        world, q, data = make(seed)
        account = world.account(q, data)
        assert min(account.information, account.aggregate_gap, account.posterior_gap) > 0.01


def test_two_ways_are_the_library_s_elbo():
    world, q, _ = random_tables(3)
    assert torch.allclose(two_ways_in_tables(3)[1], world.elbo(q), atol=1e-12)


@pytest.mark.parametrize("seed", range(5))
def test_the_elbo_of_a_linear_world_is_the_mean_log_weight_of_drawn_codes(seed):
    world, q, data = random_linear(seed)
    x = data.sample(8, torch.Generator().manual_seed(seed))[0]
    z = q.at(x).sample(40_000, torch.Generator().manual_seed(seed + 100))
    noise = Gaussian(world.decoder.b, world.decoder.cov)
    weights = noise.log_prob(x - z @ world.decoder.A.T) + world.prior.log_prob(z) - q.at(x).log_prob(z)
    error = float(weights.std()) / 200
    assert float(weights.mean()) == pytest.approx(float(two_ways_in_gaussians(seed)[1][0]), abs=5 * error)


def test_the_small_world_mixes_to_the_prior_by_its_own_weights_alone():
    world, data = small_world()
    own, other, misfit = posterior_mixtures(world, data)
    assert own == 0 and 0.01 < other < misfit
    assert posterior_mixtures(world, world.log_prob().exp())[1:] == pytest.approx((0, 0), abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_what_the_mixture_gains_on_the_fit_is_the_misfit_of_pictures_given_their_code(seed):
    world, _, data = random_tables(seed)
    joint = data[:, None] * world.log_posterior().exp()
    given_code = joint / joint.sum(0)
    slack = (joint * (given_code.log() - world.log_likelihood.T)).sum()
    _, other, misfit = posterior_mixtures(world, data)
    assert misfit - other == pytest.approx(float(slack), abs=1e-12)
    assert other == pytest.approx(float((joint.sum(0) * (joint.sum(0).log() - world.log_prior)).sum()), abs=1e-12)
    assert misfit == pytest.approx(float((data * (data.log() - world.log_prob())).sum()), abs=1e-12)


def test_the_erratum_s_world_by_hand():
    assert erratum() == pytest.approx((0.0, 0.5 * (math.log(5) + 1 / 5 - 1)), abs=1e-12)


@pytest.mark.parametrize("sigma", [0.4, 0.7])
def test_one_hump_is_the_linear_gaussian_world(sigma):
    world, z = hump_world(PICTURES, 1, sigma)
    variance = 1 + sigma**2
    exact = -0.5 * (PICTURES**2 / variance + math.log(2 * math.pi * variance))
    assert torch.allclose(world.log_prob(), exact, atol=1e-10)
    assert torch.allclose(world.log_posterior().exp() @ z, PICTURES / variance, atol=1e-10)


def test_two_humps_are_mirror_images():
    world, z = hump_world(PICTURES, 2)
    posterior = world.log_posterior().exp()
    assert torch.allclose(posterior, posterior.flip(1), atol=1e-12)
    assert torch.allclose(posterior @ z.abs(), (posterior * (z > 0)) @ z * 2, atol=1e-12)


def test_the_elbos_of_a_family_are_those_of_the_world():
    world, z = hump_world(PICTURES, 2)
    members = gaussian_table(DiagonalGaussian(torch.linspace(-1, 1, 5)[:, None], torch.full((5, 1), -1.0)), z)
    assert torch.allclose(elbos(world, members).diagonal(), world.elbo(members), atol=1e-12)


def test_the_line_is_a_member_of_the_family_so_no_gap_is_negative():
    for humps in (1, 2):
        parts, best, line = best_members(humps)
        assert (parts.approximation > -1e-12).all() and (parts.amortisation > -1e-12).all()
        family = torch.cat([gaussian_family().mu, gaussian_family().log_var], 1)
        for answers in (best, line):
            chosen = torch.cat([answers.mu, answers.log_var], 1)
            assert torch.cdist(chosen, family).min(1).values.max() < 1e-6


def test_a_gaussian_that_takes_one_of_two_humps_is_a_bit_short():
    parts = best_members(2)[0]
    assert parts.approximation[-2:].tolist() == pytest.approx([math.log(2)] * 2, abs=0.01)
    assert parts.amortisation.argmax() == 1 and parts.approximation[0] < 0.002


@pytest.mark.parametrize("told", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("angle", [math.pi / 4, 0.3])
def test_a_strong_decoder_equals_the_data_however_much_it_is_told(told, angle):
    data = gaussian_pair(angle)
    world = strong_model(data, told)
    assert torch.allclose(world.marginal().cov, data.cov, atol=1e-12)
    account = solved(world, data)
    assert account.loss == pytest.approx(float(data.entropy()), abs=1e-9)
    assert account.rate == pytest.approx(account.information, abs=1e-9)
    assert (account.information < 1e-12) == (told == 0)
    w = factor_model(data, 0.5).decoder.A
    reach = told**2 * float((w.T @ torch.linalg.solve(data.cov, w)).squeeze())
    assert account.information == pytest.approx(-0.5 * math.log(1 - reach), abs=1e-9)


def test_fully_told_the_strong_decoder_is_the_factorised_one():
    data = gaussian_pair(math.pi / 4)
    assert torch.allclose(strong_model(data, 1.0).decoder.cov, factor_model(data, 0.5).decoder.cov, atol=1e-12)


@pytest.fixture(scope="module")
def vae():
    torch.manual_seed(0)
    made = VAE(ConvEncoder((1, 8, 8), 2), FactorisedDecoder((1, 8, 8), 2, "conv", hidden=16), 2)
    with torch.no_grad():
        made.decoder.network[-1].weight.mul_(4)
        made.encoder.layers[-1].bias.copy_(torch.tensor([0.5, -0.3, -0.6, -1.2]))
    return made


def test_the_tables_on_the_plane_are_the_decoder_s_likelihood_and_the_encoder_s_rate(vae):
    x, z = binary_digits("test")[:4], plane()
    world, q = solve(vae, x, z)
    assert len(z) == 101**2 and torch.allclose(q.sum(1), torch.ones(4).double(), atol=1e-4)
    with torch.no_grad():
        own = vae.decoder.log_prob(x[:1].expand(len(z), 1, 8, 8), z.float()).double()
        answers = vae.encode(x)
    assert torch.allclose(world.log_likelihood[:, 0], own, atol=1e-3)
    by_hand = (own.exp() * torch.exp(-(z**2).sum(1) / 2)).sum() / (2 * math.pi) * 0.01
    assert float(world.log_prob()[0]) == pytest.approx(math.log(by_hand), abs=1e-4)
    assert torch.allclose(world.rate(q).float(), answers.kl_to_standard_normal(), atol=1e-3)


def test_the_plane_s_log_likelihood_does_not_depend_on_its_step(vae):
    x = binary_digits("test")[:10]
    coarse, fine = (solved_world(vae, x, plane(step=step)).log_prob() for step in (0.1, 0.05))
    assert (coarse - fine).abs().max() < 1e-3


def test_estimates_and_gaps_agree_with_the_plane(vae):
    x = binary_digits("test")[:30]
    found = estimates(vae, x, seed=0)
    assert abs(found["iwae"]) < 0.05 and abs(found["ais"]) < 0.1
    assert found["information_lower"] <= found["information_upper"] < math.log(30)
    world, q = solve(vae, x, plane())
    account, parts = world.account(q, even(30)), posterior_gaps(vae, x, seed=0)
    assert torch.allclose(parts.log_prob, world.log_prob(), atol=1e-6)
    many_draws = world.rate(q) - (q * world.log_likelihood.T.exp()).sum(1).log() + world.log_prob()
    assert found["shortcut"] == pytest.approx(float(many_draws.mean()), abs=0.05)
    assert float((parts.approximation + parts.amortisation).mean()) == pytest.approx(account.posterior_gap, rel=0.05)
    assert parts.approximation.mean() < parts.amortisation.mean()


def test_the_estimate_for_the_first_digits_is_that_of_the_first_twenty_five(vae):
    exactly, more = (estimates(vae, binary_digits("test")[:n], seed=0) for n in (25, 27))
    assert exactly["iwae25"] == exactly["iwae"] and more["iwae25"] != more["iwae"]


def test_the_whole_gap_is_that_of_the_account_for_each_picture_of_every_part(vae):
    x = binary_digits("train")[:251]
    gap = whole_gap(vae, x)
    assert len(gap) == 251
    for part in (slice(20), slice(231, 251)):
        world, q = solve(vae, x[part], plane())
        assert float(gap[part].mean()) == pytest.approx(world.account(q, even(20)).posterior_gap, abs=1e-9)


def test_drawn_log_weights_average_to_the_elbo_and_their_exponentials_to_the_likelihood(vae):
    x = binary_digits("test")[:20]
    world, q = solve(vae, x, plane())
    log_likelihood, log_ratio = log_terms(vae, x, 600, torch.Generator().manual_seed(0))
    assert log_mean(log_likelihood, 1) == pytest.approx(-float(world.distortion(q).mean()), abs=0.05)
    assert float(log_ratio.mean()) == pytest.approx(float(world.rate(q).mean()), abs=0.02)
    assert log_mean(log_likelihood - log_ratio, 600) == pytest.approx(float(world.log_prob().mean()), abs=0.02)
    bounds = [log_mean(log_likelihood - log_ratio, k) for k in (1, 3, 30, 600)]
    assert bounds == sorted(bounds)


def test_a_logarithm_of_means_is_taken_group_by_group():
    logs = torch.tensor([[1.0, 2.0], [3.0, 5.0], [2.0, 4.0], [6.0, 8.0]]).double().log()
    assert log_mean(logs, 2) == pytest.approx((math.log(2) + math.log(3.5) + math.log(4) + math.log(6)) / 4)
    assert log_mean(logs, 1) == pytest.approx(float(logs.mean()))
    with pytest.raises(ValueError, match="take a divisor"):
        log_mean(logs, 3)


def test_posteriors_mix_evenly_and_their_distance_is_the_written_out_sum():
    world, _ = small_world()
    joint = world.log_prior.exp()[:, None] * world.log_likelihood.exp()
    by_hand = (joint / joint.sum(0)).mean(1)
    mixture, gap = mixed_posteriors(world)
    assert torch.allclose(mixture, by_hand, atol=1e-12)
    assert gap == pytest.approx(float((by_hand * (by_hand / world.log_prior.exp()).log()).sum()), abs=1e-12)


def test_mixed_posteriors_of_drawings_near_the_prior(vae):
    drawn = vae.sample(300, torch.Generator().manual_seed(0))
    mixture, gap = mixed_posteriors(solved_world(vae, drawn, plane()))
    assert mixture.sum() == pytest.approx(1, abs=1e-9) and 0 <= gap < 0.05
    assert mixed_posteriors(solved_world(vae, drawn[:1].expand(5, 1, 8, 8), plane()))[1] > gap
