"""Chapter 07: closed forms against sampling, exact numbers measured again, and what the trained ones must show."""

import math

import pytest
import torch
from scipy import integrate, stats

from course_lib.experiments import chapter_07
from course_lib.experiments.chapter_07 import (
    ALPHAS,
    CLOSED,
    DIM,
    EXPERIMENTS,
    GENTLE,
    HALF,
    HEAVY,
    LAMBDS,
    MAPPED,
    NAMES,
    OBJECTIVES,
    TOLD,
    begun_gently,
    bill,
    cell,
    drawn_alike,
    exchanged,
    learnt_adversary,
    live_vae,
    mapped,
    misfit_of,
    missed,
    more_numbers,
    most_named,
    numbers,
    objective_two_ways,
    readings,
    scaled_codes,
    sight,
    small_vae,
    summed_nll,
)
from course_lib.measurement.ledger import result, results
from course_lib.measurement.likelihood import iwae_nll
from course_lib.measurement.probe import Probe
from course_lib.measurement.worlds import kernels
from course_lib.measurement.worlds.quadrature import plane, solved_world
from course_lib.models.gaussian import DiagonalGaussian
from course_lib.objectives.mmd import MMD, SCALES, mmd_squared, rbf_kernel
from course_lib.zoo.recipes import binary_digits

QUANTITIES_READ = ("probe", "probe_drawn", "information_upper")
CHEAP = ("07.prices", "C21.exact", "07.bandwidth", "07.narrow")


def told(objective, name):
    return result(f"07.digits.{objective}.{name}")


@pytest.mark.parametrize("name", CHEAP)
def test_exact_results_are_measured_again_and_agree(name):
    found = {entry.key: entry.value for entry in EXPERIMENTS[name]()}
    assert found and {key: result(key).value for key in found} == pytest.approx(found, abs=2e-6)


def test_no_row_of_the_chapter_is_left_over_from_an_older_experiment():
    rows = {key for key in results() if key.split(".")[0] in ("07", "C21", "C22")}
    known = {entry.key for name in CHEAP for entry in EXPERIMENTS[name]()}
    known |= {f"C22.{name}.{what}" for name in (*CLOSED, "adversary") for what in ("exact", "half", "null")}
    known |= {f"{cell(alpha, lambd)}.{name}" for alpha in ALPHAS for lambd in LAMBDS for name in MAPPED}
    known |= {f"07.gently.{what}.{name}" for what in GENTLE for name in MAPPED}
    known |= {f"07.digits.{objective}.{name}" for objective in NAMES for name in TOLD}
    known |= {f"07.seconds.{objective}" for objective in NAMES}
    assert rows == known


@pytest.mark.parametrize("alpha, lambd", [(0.0, 1.0), (0.8, 50.0), (1.0, 0.5), (0.3, 0.7)])
@pytest.mark.parametrize("seed", range(3))
def test_the_objective_has_three_prices_whatever_they_are(seed, alpha, lambd):
    by_definition, by_prices = objective_two_ways(seed, alpha, lambd)
    assert by_definition == pytest.approx(by_prices, abs=1e-9)
    assert abs(objective_two_ways(seed, alpha, lambd)[0] - objective_two_ways(seed, alpha, lambd + 1)[0]) > 0.001


def test_a_misfit_left_out_keeps_the_two_ways_apart(monkeypatch):
    monkeypatch.setattr(chapter_07, "misfit_of", lambda log_likelihood, joint: misfit_of(log_likelihood, joint) / 2)
    by_definition, by_prices = objective_two_ways(0)
    assert abs(by_definition - by_prices) > 0.01


def test_the_best_decoder_has_no_misfit():
    joint = torch.rand(5, 3, generator=torch.Generator().manual_seed(0)).double()
    joint /= joint.sum()
    assert misfit_of((joint / joint.sum(0)).T.log(), joint) == pytest.approx(0, abs=1e-12)
    assert misfit_of(torch.full((3, 5), 0.2).double().log(), joint) > 0.01


@pytest.mark.parametrize("spread, width", [(0.8, 0.6), (1.3, 0.4), (0.0, 1.0)])
def test_the_bill_by_integration(spread, width):
    information, gap = bill(spread, width)
    q_z, x = stats.norm(0, math.hypot(spread, width)), stats.norm()
    single = stats.norm(0, width).entropy()
    assert information == pytest.approx(float(q_z.entropy() - single), abs=1e-9)
    by_sum = integrate.quad(lambda z: q_z.pdf(z) * (q_z.logpdf(z) - x.logpdf(z)), -12, 12)[0]
    assert gap == pytest.approx(by_sum, abs=1e-7)


@pytest.mark.parametrize("dim, bandwidth, variance", [(1, 1.0, 2.0), (8, 8.0, 1.5), (20, 400.0, 1.0)])
def test_the_mean_of_a_kernel_by_integration_over_the_squared_distance(dim, bandwidth, variance):
    u = stats.chi2(dim, scale=variance)
    exact = kernels.mean_rbf(dim, bandwidth, variance)
    assert exact == pytest.approx(u.expect(lambda u: math.exp(-u / bandwidth)), rel=1e-6)


@pytest.mark.parametrize("dim, v", [(1, 0.5), (8, 0.5), (8, 3.0), (64, 0.7)])
def test_mmd_of_several_widths_by_integration_over_the_squared_distance(dim, v):
    def mean(variance):
        k = lambda u: sum(2 * s * dim / (2 * s * dim + u) for s in SCALES) / len(SCALES)  # noqa: E731
        return stats.chi2(dim, scale=variance).expect(k)

    assert kernels.mmd_imq(dim, v) == pytest.approx(mean(2 * v) + mean(2) - 2 * mean(1 + v), rel=1e-4, abs=1e-8)


@pytest.mark.parametrize("dim, bandwidth", [(2, 2.0), (8, 8.0), (8, 64.0)])
def test_the_null_deviation_is_that_of_many_readings(dim, bandwidth):
    pairs = ((scaled_codes(1.0, 2 * i, 20, dim), scaled_codes(1.0, 2 * i + 1, 20, dim)) for i in range(1500))
    found = torch.stack([mmd_squared(a, b, lambda a, b: rbf_kernel(a, b, bandwidth)) for a, b in pairs])
    assert float(found.std()) == pytest.approx(kernels.null_deviation(dim, bandwidth, 20), rel=0.08)
    assert abs(float(found.mean())) < 4 * float(found.std()) / math.sqrt(1500)


@pytest.mark.parametrize("name", CLOSED)
@pytest.mark.parametrize("v", [HALF, 1.0, 2.0])
def test_a_divergence_reads_its_closed_form_on_average(name, v):
    divergence = CLOSED[name][0]
    exact = {
        "rbf": kernels.mmd_rbf(DIM, v, DIM),
        "imq": kernels.mmd_imq(DIM, v),
        "stein": kernels.stein_rbf(DIM, v, DIM),
    }
    found = readings(divergence, v, 40)
    assert abs(float(found.mean()) - exact[name]) < 4 * float(found.std()) / math.sqrt(40)


@pytest.mark.parametrize("name", CLOSED)
def test_the_rows_of_the_sampled_divergences_are_measured_again(name):
    for what, v in (("half", HALF), ("null", 1.0)):
        row = result(f"C22.{name}.{what}")
        assert float(readings(CLOSED[name][0], v).mean()) == pytest.approx(row.value, abs=1e-5)
        exact = result(f"C22.{name}.exact").value if v == HALF else 0.0
        assert abs(row.value - exact) < 4 * row.spread / 10


def test_a_learnt_adversary_reads_the_kl_and_an_idle_one_nothing():
    row, null, exact = (result(f"C22.adversary.{what}") for what in ("half", "null", "exact"))
    assert exact.value == pytest.approx(DIM / 2 * (0.5 - 1 + math.log(2)), abs=1e-6)
    assert abs(row.value - exact.value) < row.band and abs(null.value) < 0.02
    judge = learnt_adversary(HALF, seed=0, steps=600)
    assert float(readings(judge, HALF, 20).mean()) == pytest.approx(exact.value, abs=0.12)


def test_a_bandwidth_of_dim_squared_is_nearly_blind_and_of_one_reads_nothing_at_all():
    assert sight(20, 400.0) < 2.5 < 50 < sight(20, 20.0)
    assert sight(20, 20.0) == pytest.approx(result("07.bandwidth.dim").value, abs=1e-5)
    assert result("07.bandwidth.one").value < -15


def test_one_draw_misses_the_kl_and_an_equal_q_nothing():
    assert missed(3, 1.0, K=50, repeats=2) == pytest.approx(0, abs=1e-12)
    kl = 3 / 2 * (0.4 - 1 - math.log(0.4))
    assert missed(3, 0.4, K=1, repeats=4000) == pytest.approx(kl, abs=0.06)
    assert missed(10, 0.2) > missed(5, 0.2) > missed(2, 0.2) > missed(2, 0.6) > 0


def test_infovae_says_several_times_as_much_as_the_elbo_at_its_likelihood():
    elbo, mmd = told("elbo", "information"), told("mmd", "information")
    assert mmd.value - 2 * mmd.spread > 2.5 * (elbo.value + 2 * elbo.spread)
    assert abs(told("mmd", "nll").value - told("elbo", "nll").value) < 0.3


def test_the_sceptic_s_code_leaves_the_prior_and_pays_for_it():
    for name in ("mmd", "adversary", "stein"):
        assert told("beta", "nll").value > told(name, "nll").value + 0.5
        assert told("beta", "log_det").value > told(name, "log_det").value + 0.2


def test_the_own_q_is_the_narrower_one_and_makes_the_model_look_worse():
    for name in ("mmd", "adversary", "stein"):
        assert told(name, "narrower").value < 0.6 < 0.85 < told("elbo", "narrower").value
        assert told(name, "own").value > told(name, "refitted").value + 0.1
        assert told(name, "refitted").value == pytest.approx(told(name, "nll").value, abs=0.1)
    assert told("elbo", "own").value == pytest.approx(told("elbo", "nll").value, abs=0.1)


def test_what_is_trained_anew_is_within_the_bands():
    found = numbers(live_vae(OBJECTIVES["mmd"](), 0))
    for name in ("information", "nll", "own", "mmd", "log_det"):
        row = told("mmd", name)
        assert abs(found[name] - row.value) <= row.band, name


def test_the_rate_bounds_the_information_in_what_is_measured():
    found = numbers(live_vae(OBJECTIVES["elbo"](), 0, steps=20))
    assert 0 <= found["information"] <= found["at_most"] <= found["rate"] + 1e-9
    assert found["null"] > 0 and found["nll"] > found["distortion"] - 1
    assert MMD().unit == "kernel units"


def test_a_divergence_adds_little_to_a_step():
    assert result("07.seconds.elbo").value == 1
    assert all(0.8 < result(f"07.seconds.{name}").value < 1.6 for name in NAMES)


def test_pictures_that_share_their_noise_differ_by_their_codes_alone():
    vae = live_vae(OBJECTIVES["elbo"](), 0, steps=1)
    z = torch.tensor([[0.5, -1.0], [0.5, -1.0], [2.0, 2.0]])
    drawn = drawn_alike(vae, z, seed=1)
    assert drawn.shape == (3, 1, 8, 8) and torch.equal(drawn[0], drawn[1]) and ((drawn == 0) | (drawn == 1)).all()
    assert torch.equal(drawn[2:], drawn_alike(vae, z[2:], seed=1)) and not torch.equal(drawn, drawn_alike(vae, z, 2))


def test_pictures_with_noise_of_their_own_keep_it_whatever_their_codes_are():
    vae = live_vae(OBJECTIVES["elbo"](), 0, steps=60)
    one, other = torch.tensor([[0.5, -1.0]] * 6), torch.tensor([[0.5, -1.0]] * 3 + [[2.0, 2.0]] * 3)
    drawn, again = (drawn_alike(vae, z, seed=1, apart=True) for z in (one, other))
    assert all(not torch.equal(drawn[0], drawn[i]) for i in range(1, 6))
    assert torch.equal(drawn[:3], again[:3]) and not torch.equal(drawn[3:], again[3:])
    assert not torch.equal(drawn, drawn_alike(vae, one, seed=2, apart=True))
    assert not torch.equal(drawn_alike(vae, other.roll(3, 0), 1, apart=True), again.roll(3, 0))


@pytest.mark.parametrize("width", [0.9, 0.5])
def test_the_gap_of_swapped_codes_by_sums_over_a_grid(width):
    """E log q(x|z) - log q(x|z'), z the picture's and z' another's: x ~ N(0, 1), z ~ N(s x, w^2), q(z) = N(0, 1)."""
    spread, grid = math.sqrt(1 - width**2), torch.linspace(-9, 9, 721, dtype=torch.float64)
    normal = torch.distributions.Normal
    x, z = grid[:, None], grid[None]
    density = normal(0, 1).log_prob(x) + normal(spread * x, width).log_prob(z)
    of_x = normal(0, 1).log_prob(x).exp() * normal(0, 1).log_prob(z).exp()
    log_q = density - normal(0, 1).log_prob(z)
    gap = float(((density.exp() - of_x) * log_q).sum()) * (18 / 720) ** 2
    information = bill(spread, width)[0]
    assert exchanged(information, 1) == pytest.approx(gap, abs=1e-6)
    assert exchanged(3 * information, 3) == pytest.approx(3 * gap, abs=1e-5)


def test_fano_s_limit_is_met_where_all_errors_are_alike_and_only_there():
    for error in (0.05, 0.3, 0.6):
        for classes in (3, 10):
            row = torch.tensor([1 - error] + [error / (classes - 1)] * (classes - 1), dtype=torch.float64)
            information = math.log(classes) + float((row * row.log()).sum())
            assert most_named(information, classes) == pytest.approx(1 - error, abs=1e-9)
    assert most_named(0.0) == pytest.approx(0.1, abs=1e-4) and most_named(2.4) == 1
    assert 0.5 < most_named(1.0, 10) < most_named(1.0, 5)


def test_no_probe_reads_more_off_a_draw_than_fano_allows_and_the_elbo_s_means_show_three_times_as_much():
    row = {name: {w: result(f"C23.{name}.{w}").value for w in QUANTITIES_READ} for name in NAMES}
    assert all(found["probe_drawn"] < most_named(found["information_upper"]) for found in row.values())
    assert most_named(row["elbo"]["information_upper"]) < 0.85
    assert row["elbo"]["probe"] > 3 * row["elbo"]["probe_drawn"]
    assert all(row[name]["probe"] < 1.5 * row[name]["probe_drawn"] for name in NAMES if name != "elbo")


def test_a_heavy_divergence_begun_gently_leaves_the_code_its_voice_and_a_gentle_rate_does_not():
    silent = result(f"{cell(HEAVY.alpha, HEAVY.lambd)}.information").value
    rate, divergence = (result(f"07.gently.{what}.information") for what in ("rate", "divergence"))
    assert silent < 0.05 and rate.value < 0.05 and divergence.value > 3
    nll = [result(f"{place}.nll").value for place in (cell(HEAVY.alpha, HEAVY.lambd), "07.gently.divergence")]
    assert abs(nll[0] - nll[1]) < 0.3 and abs(result("07.gently.divergence.log_det").value) < 0.2


@pytest.mark.parametrize("what", GENTLE)
def test_a_gentle_beginning_measured_again(what):
    found = mapped(begun_gently(0, what))
    assert all(abs(found[name] - result(f"07.gently.{what}.{name}").value) <= 0.6 for name in MAPPED)


def test_both_gentle_beginnings_end_on_the_whole_objective_after_as_many_steps_as_any(monkeypatch):
    plans = []
    monkeypatch.setattr(chapter_07, "fit", lambda vae, objective, x, plan, **_: plans.append((objective, plan)))
    for what in GENTLE:
        plans.clear()
        begun_gently(1, what)
        objective, plan = plans[-1]
        last = objective.at(plan.steps)
        assert sum(plan.steps for _, plan in plans) == chapter_07.LIVE.steps and {plan.seed for _, plan in plans} == {1}
        assert (last.alpha, last.lambd, getattr(last, "warmth", 1.0)) == (HEAVY.alpha, HEAVY.lambd, 1.0)
        first = plans[0][0].at(1)
        assert first.warmth < 0.01 if what == "rate" else first.lambd == HEAVY.lambd / 4


def test_the_sum_over_the_plane_does_not_depend_on_its_step():
    vae, x = live_vae(OBJECTIVES["mmd"](), 0, steps=60), binary_digits("test")[:20]
    fine = -float(solved_world(vae, x, plane(8.0, 0.1)).log_prob().mean())
    assert summed_nll(vae, x) == pytest.approx(fine, abs=1e-4)


def test_the_map_reads_codes_that_are_points_as_telling_every_image_apart():
    vae = small_vae(0)
    answer = vae.encode
    vae.encode = lambda x: DiagonalGaussian(answer(x).mu, torch.full_like(answer(x).mu, -60.0))
    assert mapped(vae)["information"] == pytest.approx(math.log(len(binary_digits("test"))), abs=0.05)


def test_the_map_s_log_det_is_that_of_codes_and_their_widths():
    vae, x = small_vae(0), binary_digits("test")
    answer = vae.encode
    vae.encode = lambda x: DiagonalGaussian(4 * answer(x).mu, answer(x).log_var)
    with torch.no_grad():
        q = vae.encode(x)
    covariance = torch.cov(q.mu.T, correction=0) + torch.diag(q.log_var.exp().mean(0))
    exact = float(torch.linalg.slogdet(covariance).logabsdet)
    assert abs(exact) > 0.1 and mapped(vae)["log_det"] == pytest.approx(exact, abs=0.02)
    assert numbers(vae)["log_det"] == pytest.approx(exact, abs=0.02)


def test_a_q_learnt_anew_is_learnt_on_training_digits_and_held_against_the_model_s_own(monkeypatch):
    vae, wide, seen = small_vae(0), small_vae(0), []
    answer = wide.encode
    wide.encode = lambda x: DiagonalGaussian(answer(x).mu, answer(x).log_var + math.log(4))
    monkeypatch.setattr(chapter_07, "refit", lambda vae, x, *_, **__: seen.append(x) or wide)
    monkeypatch.setattr(
        chapter_07, "probe_accuracy", lambda vae, train, test: seen.append((train, test)) or Probe(0.3, 0)
    )
    found = more_numbers(vae)
    assert found["narrower"] == pytest.approx(0.25, rel=1e-4) and found["probe"] == 0.3
    assert torch.equal(seen[0], binary_digits("train")) and len(seen[1][0]) > len(seen[1][1])
    anew = [iwae_nll(wide, binary_digits("test"), 100, torch.Generator().manual_seed(9)).nats, found["own"]]
    assert abs(found["refitted"] - anew[0]) < abs(found["refitted"] - anew[1])
