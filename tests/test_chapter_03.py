"""Chapter 03: every number of its closing table, and the relations its prose rests on."""

import math
from types import SimpleNamespace

import pytest
import torch

from course_lib.data import digits
from course_lib.experiments import chapter_03
from course_lib.experiments.chapter_03 import (
    BETAS,
    SIGMAS,
    WILD,
    beta_with_rate,
    gradient_draws,
    key_of,
    live_vae,
    mean_over_pixels,
    standardised,
    toy_variances,
    trained_vae,
    turned_world,
)
from course_lib.measurement.codes import Codes, encode_all
from course_lib.measurement.information import information_of
from course_lib.measurement.ledger import result, results
from course_lib.measurement.likelihood import distortion_per_image, iwae_nll
from course_lib.measurement.prior_grid import prior_grid, prior_grid_nll
from course_lib.measurement.worlds.linear_gaussian import Channel, ppca
from course_lib.models.encoders import MLPEncoder
from course_lib.models.factorised import FactorisedDecoder
from course_lib.models.gaussian import DiagonalGaussian
from course_lib.models.outputs import Gaussian
from course_lib.models.priors import FlowPrior
from course_lib.models.vae import VAE
from course_lib.objectives.infovae import beta_vae, elbo
from course_lib.training.fit import Plan
from course_lib.zoo.recipes import binary_digits


def small_vae(code_size=2, image_shape=(1, 2, 2), seed=0, output=None):
    torch.manual_seed(seed)
    decoder = FactorisedDecoder(image_shape, code_size, "mlp", hidden=8, output=output)
    return VAE(MLPEncoder(image_shape, code_size, hidden=8), decoder, code_size).double()


def binary(count, shape=(1, 2, 2), seed=0):
    return torch.randint(0, 2, (count, *shape), generator=torch.Generator().manual_seed(seed)).double()


@pytest.mark.parametrize("name", ["C11.identity", "C12.kl", "C19.linear", "03.rotation"])
def test_exact_results_are_measured_again_and_agree(name):
    found = list(chapter_03.EXPERIMENTS[name]())
    assert found
    for entry in found:
        assert entry.value == pytest.approx(result(entry.key).value, abs=2e-6)


def test_a_wrong_formula_would_open_the_gaps_that_stand_at_nothing(monkeypatch):
    kl, log_prob = DiagonalGaussian.kl_to_standard_normal, Gaussian.log_prob
    assert chapter_03.quadrature_gap() == chapter_03.gaussian_gap() == 0
    monkeypatch.setattr(DiagonalGaussian, "kl_to_standard_normal", lambda q: 1.01 * kl(q))
    monkeypatch.setattr(Gaussian, "log_prob", lambda output, mu, x: log_prob(output, mu, x) + 0.01)
    assert chapter_03.quadrature_gap() > 0.01 and chapter_03.gaussian_gap() > 0.5


def test_what_a_code_is_measured_by_hand():
    mu, log_var = torch.tensor([[3.0, 0.0], [-1.0, 0.0]]).double(), torch.tensor([[0.0, -9.0], [2.0, -9.0]]).double()
    q = DiagonalGaussian(mu, log_var)
    found = chapter_03.code_numbers(Codes(q, mu, q.kl_to_standard_normal(), mu.sum(1)))
    variance = (1 + math.exp(2)) / 2
    assert found["mean"] == pytest.approx(math.sqrt(10 / 4))
    assert found["sd"] == pytest.approx(math.sqrt((variance + math.exp(-9)) / 2))
    assert found["log_det"] == pytest.approx(math.log(4 + variance) - 9)
    terms = [(9 + 1 - 1), (math.exp(-9) - 1 + 9), (1 + math.exp(2) - 1 - 2), (math.exp(-9) - 1 + 9)]
    assert found["rate"] == pytest.approx(sum(terms) / 4)


def test_the_vae_of_the_chapter_trained_again_lies_in_every_band():
    vae = live_vae(1.0, 0)
    for quantity, value in chapter_03.vae_numbers(vae, 0).items():
        row = result(key_of("beta1", quantity))
        assert abs(value - row.value) <= row.band, quantity
    x = binary_digits("test")
    rate = float(encode_all(vae, x, torch.Generator().manual_seed(9)).rate.mean())
    assert chapter_03.rate_on_test(vae) == rate and chapter_03.nll_on_test(vae) == prior_grid_nll(vae, x).nats


class Shows:
    """A model that draws the pictures it was given."""

    def __init__(self, pictures):
        self.pictures = pictures

    def sample(self, count, generator):
        return self.pictures[:count]


def test_a_vae_starts_from_its_seed_and_is_trained_by_the_whole_plan(monkeypatch):
    seen = []
    monkeypatch.setattr(chapter_03, "fit", lambda vae, loss, x, plan, progress: seen.append((loss, x, plan)))
    plan = Plan(steps=77, batch_size=5, learning_rate=0.3, warm_up=3)
    found = [trained_vae("a loss", "digits", seed, code_size=3, plan=plan) for seed in (0, 1, 1)]
    assert seen == [("a loss", "digits", Plan(77, 5, 0.3, 3, seed)) for seed in (0, 1, 1)]
    assert all(vae.code_size == 3 for vae in found)
    starts = [torch.cat([p.detach().flatten() for p in vae.parameters()]) for vae in found]
    assert torch.equal(starts[1], starts[2]) and not torch.equal(starts[0], starts[1])
    assert (chapter_03.LIVE.steps, chapter_03.LONG.steps) == (300, 3000)


class Trained(SimpleNamespace):
    """What a training was asked for, in place of what it makes."""

    def __hash__(self):
        return 0


LONG_TESTS = {
    "C11.reduction": {(2, 300)},
    "C11.sigma": {(2, 300)},
    "C19.sweep": {(2, 300)},
    "03.edge": {(2, 3000)},
    "03.longer": {(2, 3000)},
    "03.eight": {(8, 300)},
    "03.kinds": {(2, 300), (2, 3000), (8, 300)},
    "03.gradients": {(2, 300)},
}


@pytest.mark.parametrize("name", LONG_TESTS)
def test_every_trained_row_is_of_three_seeds_each_trained_and_measured_as_its_own(name, monkeypatch):
    """Each measurement is 100 times the seed of the training: three seeds make 100 in the mean, and 100 in spread."""
    asked = []

    def train(objective, images, seed=0, code_size=2, output=None, plan=chapter_03.LIVE):
        assert len(images) == 1297
        asked.append((code_size, plan.steps))
        return Trained(seed=seed, code_size=code_size, encode=None)

    def of_seed(vae, seed):
        assert vae.seed == seed
        return 100.0 * seed

    def codes(vae, x, generator):
        assert len(x) == 250
        return SimpleNamespace(rate=torch.tensor([100.0 * vae.seed]))

    monkeypatch.setattr(chapter_03, "trained_vae", train)
    monkeypatch.setattr(chapter_03, "live_vae", chapter_03.live_vae.__wrapped__)
    monkeypatch.setattr(chapter_03, "standardised", lambda vae, x: vae)
    monkeypatch.setattr(chapter_03, "encode_all", codes)
    monkeypatch.setattr(chapter_03, "beta_with_rate", lambda rate, known: rate / 100)
    monkeypatch.setattr(chapter_03, "kinds_drawn", of_seed)
    monkeypatch.setattr(chapter_03, "gradient_variances", lambda *a: dict.fromkeys(GRADIENTS, of_seed(*a)))
    monkeypatch.setattr(chapter_03, "vae_numbers", lambda *a: dict.fromkeys(chapter_03.REPAIRED, of_seed(*a)))
    monkeypatch.setattr(chapter_03, "drawing_numbers", lambda *a: {"draws": of_seed(*a)})
    monkeypatch.setattr(chapter_03, "iwae_nll", lambda *a: SimpleNamespace(nats=0.0))
    found = [row for row in chapter_03.EXPERIMENTS[name]() if row.key != "03.judge.test"]
    assert found and set(asked) == LONG_TESTS[name]
    for row in found:
        assert (row.value, row.spread, row.seeds) == (100, 100, (0, 1, 2)), row.key


GRADIENTS = ("path", "score", "baseline", "level", "cost")


def test_the_judge_reads_what_is_drawn_and_finds_noise_dearer_than_digits():
    x = binary_digits("test")
    digits_cost = chapter_03.draws_cost(Shows(x), seed=0)
    assert digits_cost == pytest.approx(result("03.judge.test").value, abs=0.1)
    noise = torch.bernoulli(x.mean(0).expand_as(x), generator=torch.Generator().manual_seed(0))
    assert chapter_03.draws_cost(Shows(noise), seed=0) > digits_cost + 10


@pytest.mark.parametrize("code_size", [1, 2])
def test_the_grid_agrees_with_importance_sampling_where_that_is_good(code_size):
    vae, x = small_vae(code_size), binary(5)
    grid = prior_grid_nll(vae, x, side=400)
    sampled = iwae_nll(vae, x, 20_000, torch.Generator().manual_seed(0))
    assert grid.nats == pytest.approx(sampled.nats, abs=5e-3)
    assert grid.images == 5 and "400" in grid.estimator


def test_the_grid_is_the_mean_over_its_nodes_for_each_image():
    vae, x = small_vae(), binary(3)
    z = prior_grid(2, 7)
    with torch.no_grad():
        by_hand = [-vae.decoder.log_prob(image.expand(49, -1, -1, -1), z).logsumexp(0) + math.log(49) for image in x]
    found = prior_grid_nll(vae, x, side=7)
    assert found.nats == pytest.approx(float(torch.stack(by_hand).mean()), abs=1e-12)
    assert found.standard_error == pytest.approx(float(torch.stack(by_hand).std()) / math.sqrt(3), abs=1e-12)


def test_the_grid_in_parts_is_the_grid_at_once(monkeypatch):
    vae, x = small_vae(), binary(3)
    whole = prior_grid_nll(vae, x, side=9).nats
    monkeypatch.setattr("course_lib.measurement.prior_grid.ROWS", 10)
    assert prior_grid_nll(vae, x, side=9).nats == pytest.approx(whole, abs=1e-12)


def test_the_probabilities_of_all_pictures_on_a_grid_sum_to_one():
    every = torch.cartesian_prod(*[torch.tensor([0.0, 1.0])] * 4).double().view(16, 1, 2, 2)
    total = sum(math.exp(-prior_grid_nll(small_vae(), x[None], side=20).nats) for x in every)
    assert total == pytest.approx(1.0, abs=1e-12)


def test_the_nodes_of_the_grid_have_the_priors_moments():
    z = prior_grid(2, 500)
    assert z.shape == (250_000, 2) and z.mean(0).abs().max() < 1e-12
    assert torch.cov(z.T) == pytest.approx(torch.eye(2).double(), abs=5e-3)


def test_a_model_that_no_grid_covers_is_refused():
    flow = small_vae()
    flow.prior = FlowPrior(2)
    for vae, side in ((small_vae(3), 5), (flow, 5), (small_vae(), 0)):
        with pytest.raises(ValueError, match="iwae_nll or ais"):
            prior_grid_nll(vae, binary(2), side)
    with pytest.raises(ValueError, match="0 or 1"):
        prior_grid_nll(small_vae(), binary(2) / 2, 5)


@pytest.mark.parametrize("d, s, delta", [(1, 1.0, 0.0), (1, 0.5, 2.0), (3, 0.7, -1.0), (5, 2.0, 0.3)])
def test_the_variances_of_both_estimators_follow_their_formulas(d, s, delta):
    q = DiagonalGaussian(torch.full((1, d), delta).double(), torch.full((1, d), 2 * math.log(s)).double())
    found = gradient_draws(q, lambda z: 0.5 * (z**2).sum(1), draws=400_000, seed=1)
    path, score = toy_variances(d, s, delta)
    assert float(found["path"].var(0).mean()) == pytest.approx(path, rel=0.01)
    assert float(found["score"].var(0).mean()) == pytest.approx(score, rel=0.05)
    for way, samples in found.items():
        error = samples.std(0) / math.sqrt(len(samples))
        assert ((samples.mean(0) - delta).abs() < 5 * error).all(), way


@pytest.mark.parametrize("k", [0.5, 2.0, 4.0])
def test_the_answer_to_question_one_is_right(k):
    q = DiagonalGaussian(torch.zeros(1, 1).double(), torch.zeros(1, 1).double())
    found = gradient_draws(q, lambda z: torch.cos(k * z).sum(1), draws=400_000, seed=0)
    path, score = k**2 / 2 * (1 - math.exp(-2 * k**2)), (1 + (1 - 4 * k**2) * math.exp(-2 * k**2)) / 2
    assert float(found["path"].var()) == pytest.approx(path, rel=0.02)
    assert float(found["score"].var()) == pytest.approx(score, rel=0.02)
    assert (score < path) == (k >= 2)


def test_a_baseline_takes_the_mean_of_the_other_draws():
    q = DiagonalGaussian(torch.tensor([[0.3, -1.0]]).double(), torch.tensor([[0.0, 0.4]]).double())
    seen = []

    def cost(z):
        seen.append((z**2).sum(1))
        return seen[-1]

    found = gradient_draws(q, cost, draws=4, seed=0)
    f = seen[-1].detach()
    for i in range(4):
        share = 1 - (f.sum() - f[i]) / 3 / f[i]
        torch.testing.assert_close(found["baseline"][i], share * found["score"][i])


def test_in_a_trained_vae_the_score_needs_hundreds_of_draws_for_one():
    path, score, baseline = (result(f"03.gradient.{way}") for way in ("path", "score", "baseline"))
    assert score.value - score.band > 50 * (path.value + path.band)
    assert baseline.value + baseline.band < (score.value - score.band) / 10
    found = chapter_03.gradient_variances(live_vae(1.0, 0), 0)
    for way, value in found.items():
        assert abs(value - result(f"03.gradient.{way}").value) <= result(f"03.gradient.{way}").band


def test_a_constant_cost_gives_the_score_the_variance_of_its_level_and_nothing_else():
    """f = 7 at every code: the path and the baseline see no slope and no change, the score 49 / sigma^2."""
    q = DiagonalGaussian(torch.tensor([[0.3, -1.0]]), torch.tensor([[-1.0, 1.5]]))
    flat = SimpleNamespace(encode=lambda x: q, decoder=SimpleNamespace(log_prob=lambda x, z: 0 * z.sum(1) - 7))
    found = chapter_03.gradient_variances(flat, 0, images=2, draws=20_000)
    assert found["level"] == pytest.approx(49 * (math.exp(1.0) + math.exp(-1.5)) / 2, rel=1e-5)
    assert found["score"] == pytest.approx(found["level"], rel=0.03) and found["cost"] == pytest.approx(7)
    assert found["path"] == 0 and found["baseline"] == pytest.approx(0, abs=1e-6)


def test_the_level_is_nearly_all_of_the_scores_variance():
    score, level, baseline, path = (result(f"03.gradient.{w}").value for w in ("score", "level", "baseline", "path"))
    assert 0.8 * score < level < score and 3 * path < baseline < 0.02 * level


@pytest.mark.parametrize("weight", [0.01, 1.0])
def test_a_mean_over_pixels_is_a_beta_of_pixels_times_weight(weight):
    vae, x = small_vae(image_shape=(1, 3, 5)), binary(6, (1, 3, 5))
    terms = mean_over_pixels(weight)(vae, x, torch.Generator().manual_seed(0))
    summed = beta_vae(15 * weight)(vae, x, torch.Generator().manual_seed(0))
    assert float(15 * terms["loss"].detach()) == pytest.approx(float(summed["loss"].detach()), abs=1e-10)


def test_only_beta_times_sigma_squared_counts():
    x = torch.rand(6, 1, 3, 5, generator=torch.Generator().manual_seed(0)).double()
    gradients = []
    for beta, sigma in ((1.0, 0.6), (4.0, 0.3)):
        vae = small_vae(image_shape=(1, 3, 5), output=Gaussian(sigma))
        loss = beta_vae(beta)(vae, x, torch.Generator().manual_seed(0))["loss"] * 2 * sigma**2
        gradients.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, list(vae.parameters()))]))
    assert gradients[0].norm() > 0.1
    torch.testing.assert_close(*gradients, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("beta", [0.5, 1.0, 3.0])
def test_beta_is_a_sigma_in_disguise_in_the_linear_world(beta):
    """Of all small changes to W, V and D at pPCA with beta sigma^2, none lowers distortion + beta rate."""
    data, variance, generator = chapter_03.digits_as_gaussian(), 0.3**2, torch.Generator().manual_seed(0)
    best = ppca(data, 2, beta * variance)
    q = best.posterior()

    def loss(W, q):
        world = type(best)(Channel(W, data.mean, variance * torch.eye(64).double()))
        found = world.account(q, data)
        return found.distortion + beta * found.rate

    least = loss(best.decoder.A, q)
    for _ in range(10):
        dW, dV = (1e-3 * torch.randn(A.shape, generator=generator).double() for A in (best.decoder.A, q.A))
        D = q.cov.diagonal() * (1 + 1e-2 * torch.randn(2, generator=generator).double())
        A = q.A + dV
        assert loss(best.decoder.A + dW, Channel(A, q.b - dV @ data.mean, D.diag())) > least


def test_counts_and_rates_agree_about_which_sigma_leaves_nothing():
    data = chapter_03.digits_as_gaussian()
    for sigma in SIGMAS:
        alive = result(f"C11.alive.sigma{sigma:g}").value
        assert (chapter_03.linear_rate(data, 64, sigma**2) > 0) == (alive > 0)
        account = ppca(data, 2, sigma**2).account(ppca(data, 2, sigma**2).posterior(), data)
        assert account.rate == pytest.approx(chapter_03.linear_rate(data, 2, sigma**2), abs=1e-9)
    early, late = result("03.rate.sigma0.7"), result("03.rate.sigma0.7.steps3000")
    assert late.value - late.band > 2 * early.value and late.value > chapter_03.linear_rate(data, 2, 0.7**2)
    silent, rich = result("C11.rate.sigma1"), result("C11.rate.sigma0.1")
    assert silent.value + silent.band < 0.05 < 4 < rich.value - rich.band
    values = [result(f"{'C11' if s in (1.0, 0.1) else '03'}.rate.sigma{s:g}").value for s in SIGMAS]
    assert values == sorted(values)


def test_the_mean_silences_the_code_and_the_factor_is_the_number_of_pixels():
    silent, spoken, factor = (result(f"C11.mean.{key}") for key in ("weight1", "weight0.01", "factor"))
    assert silent.value + silent.band < 0.05 < spoken.value - spoken.band
    assert abs(factor.value - 64) <= factor.band < 64 / 4
    summed = {beta: result(key_of(f"beta{beta:g}", "rate")).value for beta in (0.3, 1.0, 3.0)}
    assert abs(beta_with_rate(spoken.value, summed) / 0.01 - 64) < factor.band


def test_the_beta_of_a_rate_lies_on_a_straight_line_in_log_beta():
    known = {4.0: 1.0, 1.0: 5.0, 16.0: 0.5}
    for rate, beta in ((5.0, 1.0), (1.0, 4.0), (0.5, 16.0), (3.0, 2.0), (4.0, 4.0**0.25), (0.75, 8.0)):
        assert beta_with_rate(rate, known) == pytest.approx(beta)
    for rate in (5.1, 0.4):
        with pytest.raises(ValueError, match="outside the sweep between beta = 1 and 16"):
            beta_with_rate(rate, known)


def swept(quantity, stage=""):
    return [result(key_of(f"beta{beta:g}{stage}", quantity)) for beta in BETAS]


def test_every_row_of_the_ledger_stands_under_the_name_its_chapter_looks_for():
    sweeps = ("C19.sweep", "03.longer", "03.eight")
    found = {key: row for key, row in results().items() if row.command.split()[-1] in sweeps and key != "03.judge.test"}
    assert len(found) > 80
    for key, row in found.items():
        _, name, quantity = key.split(".", 1)[0], *key.split(".", 1)[1].rsplit(".", 1)
        assert key == key_of(name, quantity) and row.claim == (key[:3] if key[0] == "C" else "")


def test_the_band_is_three_spreads_and_no_less_than_the_least():
    assert chapter_03.band_of([1.0, 2.0, 3.0], 0.5) == 3.0
    assert chapter_03.band_of([1.0, 1.01, 0.99], 0.5) == 0.5
    assert chapter_03.band_of([0.0, 4.3, 8.6], 0.5) == 13.0


def test_bands_of_live_training_tell_each_beta_from_the_next():
    """A confirmation that a neighbouring network would pass as well would confirm nothing."""
    for quantity, betas in {
        "rate": ("0.001", "1", "10"),
        "mean": ("0.001", "1", "10"),
        "sd": ("0.001", "1", "10"),
        "information": ("0.001", "1"),
        "log_det": ("0.001", "1"),
        "nll": ("0.001", "1"),
    }.items():
        rows = sorted((result(key_of(f"beta{beta}", quantity)) for beta in betas), key=lambda row: row.value)
        assert all(low.value + low.band < high.value - high.band for low, high in zip(rows, rows[1:], strict=False))
    for quantity in ("rate", "log_det", "nll", "draws"):
        before, after = (result(key_of(f"beta0.001{stage}", quantity)) for stage in ("", ".standardised"))
        assert before.value - after.value > max(before.band, after.band)


def test_the_sweep_says_what_the_claims_table_says():
    rate, information, log_det = (swept(q) for q in ("rate", "information", "log_det"))
    for rows in (rate, information, log_det):
        values = [row.value for row in rows]
        assert values == sorted(values, reverse=True)
    ceiling = math.log(250)
    assert ceiling - 0.1 < information[0].value <= ceiling and information[-1].value < 0.01
    assert log_det[0].value > 3 and abs(log_det[-1].value) < 0.05
    nll, draws = swept("nll"), swept("draws")
    for rows in (nll, draws):
        best = min(row.value for row in rows)
        assert rows[0].value - best > 2 * rows[0].spread and rows[-1].value - best > 2 * rows[-1].spread
    assert min(row.value for row in draws) > result("03.judge.test").value + 5


def test_posteriors_become_the_prior_as_beta_grows():
    means, sds = ([result(f"C12.beta{b}.{q}").value for b in ("0.001", "1", "10")] for q in ("mean", "sd"))
    assert means == sorted(means, reverse=True) and sds == sorted(sds)
    assert means[-1] < 0.05 and sds[-1] == pytest.approx(1, abs=0.01) and result("C12.beta10.rate").value < 0.01


def test_standardised_codes_repair_the_drawings_and_the_likelihood():
    before, after, one = (f"C19.{name}" for name in (f"beta{WILD:g}", f"beta{WILD:g}.standardised", "beta1"))
    for quantity in ("nll", "draws"):
        spoilt, repaired = result(f"{before}.{quantity}"), result(f"{after}.{quantity}")
        assert spoilt.value - repaired.value > 2 * (spoilt.spread + repaired.spread)
    assert result(f"{after}.draws").value < result(f"{one}.draws").value - result(f"{one}.draws").spread
    assert result(f"{after}.information").value == pytest.approx(result(f"{before}.information").value, abs=1e-3)
    assert abs(result(f"{after}.log_det").value) < 0.5


@pytest.mark.parametrize("code_size", [2, 5])
def test_standardising_changes_no_picture_and_no_information(code_size):
    vae = trained_vae(elbo(), binary_digits("train"), 3, code_size, plan=Plan(steps=20, learning_rate=4e-3, warm_up=5))
    x = binary_digits("train")[:200]
    tidy = standardised(vae, x)
    found = [encode_all(model, x, torch.Generator().manual_seed(5)) for model in (vae, tidy)]
    distortions = [distortion_per_image(model, x, c.z) for model, c in zip((vae, tidy), found, strict=True)]
    torch.testing.assert_close(*distortions, rtol=0, atol=1e-4)
    assert information_of(found[0]).lower == pytest.approx(information_of(found[1]).lower, abs=1e-4)
    q = found[1].q
    assert q.mu.mean(0).abs().max() < 1e-5
    torch.testing.assert_close((q.mu**2 + q.log_var.exp()).mean(0), torch.ones(code_size).double(), rtol=0, atol=1e-4)
    assert found[1].rate.mean() < found[0].rate.mean()


def test_standardising_leaves_the_model_it_was_given_alone():
    vae = trained_vae(elbo(), binary_digits("train"), 0, plan=Plan(steps=2))
    before = {name: value.clone() for name, value in vae.state_dict().items()}
    standardised(vae, binary_digits("train")[:50])
    assert all(torch.equal(before[name], value) for name, value in vae.state_dict().items())


@pytest.mark.parametrize("first", [1, 2, 5, 10])
def test_kinds_are_counted(first):
    train = digits(binary=True).train
    one_of_each = torch.cat([train.images[train.labels == kind][:1] for kind in range(first)])
    drawer = Shows(one_of_each.repeat(1000 // first, 1, 1, 1))
    assert chapter_03.kinds_drawn(drawer, seed=0) == pytest.approx(first, rel=1e-5)


def test_exploded_codes_of_two_draw_few_kinds_and_standardised_ones_nearly_as_many_as_the_elbo():
    for case in ("steps300", "steps3000", "eight"):
        few, many = (result(f"03.kinds.{case}.beta0.001.{s}") for s in ("as_trained", "standardised"))
        elbos = result(f"03.kinds.{case}.beta1.standardised")
        assert many.value > elbos.value - 1
        if case == "eight":
            assert few.value > 9 and result(key_of("eight.beta0.001.as_trained", "draws")).value > 40
        else:
            assert many.value - few.value > 2 * few.spread


def test_late_in_training_the_judge_alone_would_be_fooled():
    judged, likely = (
        [result(f"03.long.beta{b}.as_trained.{q}").value for b in ("1", "0.001")] for q in ("draws", "nll")
    )
    assert judged[1] < judged[0] and likely[1] > likely[0] + 3


def test_standardised_no_smaller_beta_has_a_worse_likelihood_and_drawings_get_better():
    nll, draws = (swept(quantity, ".standardised") for quantity in ("nll", "draws"))
    one = BETAS.index(1.0)
    for row in nll[:one]:
        assert row.value < nll[one].value + row.spread
    values = [row.value for row in draws[: one + 1]]
    assert all(low < high + 0.1 for low, high in zip(values, values[1:], strict=False))
    assert draws[one].value - draws[0].value > draws[one].spread
    for quantity in ("nll", "draws"):
        for before, after in zip(swept(quantity)[one + 1 :], swept(quantity, ".standardised")[one + 1 :], strict=True):
            assert abs(before.value - after.value) < before.spread + after.spread


def test_with_eight_numbers_too_standardising_mends_the_likelihood():
    spoilt, mended = (result(key_of(f"eight.beta0.001.{s}", "refitted")) for s in ("as_trained", "standardised"))
    elbo_s = result(key_of("eight.beta1.as_trained", "refitted"))
    assert spoilt.value - mended.value > 2 * (spoilt.spread + mended.spread)
    assert mended.value - elbo_s.value < mended.spread + elbo_s.spread


def test_a_refitted_likelihood_learns_from_training_digits_and_is_read_on_test_digits(monkeypatch):
    monkeypatch.setattr(chapter_03, "refit", lambda vae, x, *_, **__: ("refitted", vae, x))
    monkeypatch.setattr(chapter_03, "iwae_nll", lambda model, x, *_: SimpleNamespace(nats=(model, x)))
    (word, vae, learnt), read = chapter_03.refitted_nll("a VAE")
    assert (word, vae) == ("refitted", "a VAE")
    assert torch.equal(learnt, binary_digits("train")) and torch.equal(read, binary_digits("test"))


def test_standardised_codes_draw_better_than_the_elbos_whatever_the_code_and_the_training():
    for name in ("eight", "long"):
        ours, elbos = (result(key_of(f"{name}.beta{b}.standardised", "draws")) for b in ("0.001", "1"))
        assert elbos.value - ours.value > ours.spread + elbos.spread
    likely = [result(f"03.long.beta{b}.standardised.nll") for b in ("0.001", "1")]
    assert abs(likely[0].value - likely[1].value) < 2 * (likely[0].spread + likely[1].spread)


def test_a_turn_of_the_code_leaves_the_likelihood_and_costs_a_diagonal_q_by_the_formula():
    for variances in ((10.0, 2.0), (6.0, 6.0), (3.0, 1.5)):
        world = turned_world(math.pi / 4, variances)
        assert float(world.marginal().kl(turned_world(0.3, variances).marginal())) == pytest.approx(0, abs=1e-12)
        gap = world.account(chapter_03.best_diagonal(world), world.marginal()).posterior_gap
        mean = sum(variances) / 2
        assert gap == pytest.approx(0.5 * math.log(mean**2 / math.prod(variances)), abs=1e-12)


def test_no_diagonal_encoder_beats_the_best_diagonal():
    world, generator = turned_world(0.5), torch.Generator().manual_seed(0)
    q = chapter_03.best_diagonal(world)
    least = world.account(q, world.marginal()).loss
    for _ in range(20):
        D = (q.cov.diagonal() * (1 + 0.1 * torch.randn(2, generator=generator).double())).diag()
        A = q.A + 0.01 * torch.randn(2, 2, generator=generator).double()
        assert world.account(Channel(A, q.b, D), world.marginal()).loss > least


def test_beta_multiplies_the_price_of_a_turn_and_leaves_the_rest():
    """At the optimum for beta sigma^2 a turned code costs the same gap, so beta times as much in the bill."""
    data = turned_world(0.0).marginal()
    gaps = []
    for beta in (0.5, 1.0, 1.5):
        world, turn = ppca(data, 2, beta), turned_world(math.pi / 4, (2.0, 2.0)).decoder.A
        world = type(world)(Channel(world.decoder.A @ turn, data.mean, world.decoder.cov))
        gaps.append(world.account(chapter_03.best_diagonal(world), data).posterior_gap)
    assert gaps == pytest.approx([result("03.turned.gap").value] * 3, abs=1e-6)
