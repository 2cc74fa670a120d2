"""Chapter 06: its exact numbers are measured again, its stored models evaluated, its worlds held against other sums."""

import functools
import math

import pytest
import torch

from course_lib import zoo
from course_lib.experiments.chapter_06 import (
    CHAIN_SEEDS,
    COUNTS,
    EXPERIMENTS,
    PIXELS,
    TAUGHT,
    TRUE_INFORMATION,
    Placed,
    best_account,
    bit_vae,
    chain_account,
    even_code,
    factorised_vae,
    fitted_prior,
    gaussian_codes,
    live_step,
    mean_drawing,
    measured,
    metered,
    placed_nll,
    plane_numbers,
    rate_under,
    sharp_numbers,
    solved_bit,
    two_pictures,
    weighed_account,
    with_a_chain,
    zoo_model,
)
from course_lib.experiments.seeds import SEEDS
from course_lib.measurement.information import information
from course_lib.measurement.ledger import result, results
from course_lib.measurement.likelihood import NLL, exact_nll_per_image
from course_lib.measurement.worlds.one_bit import OneBit
from course_lib.models.encoders import ConvEncoder, MLPEncoder
from course_lib.models.factorised import FactorisedDecoder
from course_lib.models.gaussian import DiagonalGaussian
from course_lib.models.priors import StandardNormal
from course_lib.models.vae import VAE
from course_lib.training.fit import Plan
from course_lib.zoo.recipes import binary_digits, vlae

CHEAP = ("C17.bit", "06.meter", "06.steps", "C17.pays", "C10.knob")
HERE = "course_lib.experiments.chapter_06"
BIT = math.log(2)


def ledger(key):
    return result(key).value


@functools.cache
def measured_again(name):
    return {entry.key: entry.value for entry in EXPERIMENTS[name]()}


@pytest.mark.parametrize("name", CHEAP)
def test_cheap_results_are_measured_again_and_agree(name):
    found = measured_again(name)
    assert found and {key: ledger(key) for key in found} == pytest.approx(found, abs=2e-6)


def test_no_row_of_the_chapter_is_left_over_from_an_older_experiment():
    own = [row for row in results().values() if row.command.split()[-1] in EXPERIMENTS]
    of_the_cheap = {row.key for row in own if row.command.split()[-1] in CHEAP}
    assert of_the_cheap == {key for name in CHEAP for key in measured_again(name)}
    rest = {name: sum(row.command.endswith(f" {name}") for row in own) for name in EXPERIMENTS if name not in CHEAP}
    counts = {"06.bit": 8, "06.chain": 12, "C09": 18, "C17.placed": 2, "06.prior": 3, "C18": 9, "06.silent": 2}
    assert rest == counts


def test_one_pixel_and_a_chain_are_best_left_silent_and_the_rest_is_the_formula():
    assert best_account(1).loss == pytest.approx(BIT, abs=1e-9)
    for n in PIXELS[1:]:
        account = best_account(n)
        gap = account.aggregate_gap
        assert account.loss == pytest.approx(BIT + (n - 1) * (BIT - account.information) + gap, abs=1e-9)
        assert BIT < account.loss < n * BIT and account.information > 0.5


@pytest.mark.parametrize("mu", [0.2, 0.5, 0.8])
def test_a_chain_pays_the_aggregate_gap_and_nothing_else(mu):
    account = chain_account(OneBit(7, mu, 0.6))
    assert account.loss - BIT == pytest.approx(account.aggregate_gap, abs=1e-9)
    assert account.distortion == pytest.approx(BIT - account.information, abs=1e-9)


def test_a_chain_is_told_little_for_four_thirds_of_its_fourth_power():
    for mu, close in ((0.1, 0.02), (0.2, 0.1)):
        account = chain_account(even_code(mu))
        assert account.loss - BIT == pytest.approx(4 / 3 * account.information**4, rel=close)


@pytest.mark.parametrize("pixels, beta", [(4, 2.0), (9, 4.5), (3, 1.5)])
def test_only_the_ratio_of_pixels_and_beta_counts(pixels, beta):
    account = weighed_account(pixels, beta)
    assert account.information == pytest.approx(best_account(pixels / beta).information, abs=1e-12)

    def loss(code):
        return code.distortion + beta * code.rate

    around = [OneBit(pixels, mu, s).account() for mu in (0.8, 0.87, 0.95) for s in (0.35, 0.5, 0.7)]
    assert all(loss(account) < loss(other) for other in around)


def test_beta_as_large_as_the_pixels_silences_them():
    for pixels, beta in ((5, 5.0), (5, 7.0), (1, 1.0)):
        assert weighed_account(pixels, beta).information == pytest.approx(0, abs=1e-9)
    assert weighed_account(5, 4.5).information > 0.05


def test_the_trained_bits_are_near_their_optimum_and_the_chain_is_below_independent_pixels():
    for n in TAUGHT:
        row = result(f"06.bit.trained.n{n}.loss")
        assert best_account(n).loss - 1e-3 < row.value < best_account(n).loss * 1.13
        assert ledger(f"06.bit.trained.n{n}.information") == pytest.approx(best_account(n).information, abs=0.02)
    assert BIT < ledger("06.bit.trained.chain.loss") < BIT + 0.05
    assert ledger("06.bit.trained.chain.information") < 0.3 < ledger("06.bit.trained.n2.information")


def test_chains_of_other_seeds_are_silent_or_speak_at_the_same_loss():
    loss, told = ([ledger(f"06.chain.seed{seed}.{name}") for seed in CHAIN_SEEDS] for name in ("loss", "information"))
    near = [seed for seed in CHAIN_SEEDS if loss[seed] < BIT + 1e-3]
    assert max(told[seed] for seed in near) > 0.1 > 1e-3 > min(told[seed] for seed in near)
    assert sum(information < 1e-3 for information in told) > len(told) / 2
    assert sum(value > BIT + 0.5 for value in loss) == 1
    assert (loss[0] + loss[1] + loss[2]) / 3 == pytest.approx(ledger("06.bit.trained.chain.loss"), abs=2e-6)


def test_a_trained_bit_repeats_itself_and_another_seed_is_another_one(monkeypatch):
    monkeypatch.setattr(f"{HERE}.BIT_PLAN", Plan(steps=20, batch_size=8, learning_rate=0.05))
    for chain in (False, True):
        one, again, other = (solved_bit(bit_vae(3, chain, seed)).loss for seed in (1, 1, 2))
        assert one == again and abs(one - other) > 1e-4


def test_a_bit_vae_set_to_the_paper_s_code_is_solved_to_the_paper_s_account():
    code = even_code(0.8)
    vae = VAE(MLPEncoder((1, 1, 3), 1, hidden=2), FactorisedDecoder((1, 1, 3), 1, "linear"), 1)
    with torch.no_grad():
        for layer in vae.encoder.layers:
            if hasattr(layer, "weight"):
                layer.weight.zero_(), layer.bias.zero_()
        first, _, second, _, last = list(vae.encoder.layers)[1:]
        first.weight[0, 0], first.weight[1, 0], second.weight[:] = 1, -1, torch.eye(2)
        last.weight[0, 0], last.weight[0, 1], last.bias[1] = code.mu, -code.mu, 2 * math.log(code.s)
        linear = vae.decoder.network[0]
        linear.weight.fill_(2 * code.mu / code.s**2), linear.bias.zero_()
    found, wanted = solved_bit(vae), OneBit(3, code.mu, code.s).account()
    for name in ("nll", "distortion", "rate", "information", "posterior_gap"):
        assert getattr(found, name) == pytest.approx(getattr(wanted, name), abs=1e-5)
    assert two_pictures(3).flatten().tolist() == [0.0] * 3 + [1.0] * 3


def test_the_same_codes_are_read_with_less_distortion_and_fewer_stray_dots_by_a_chain():
    for better, worse in (
        (("chain", "distortion"), ("independent", "distortion")),
        (("chain", "stray"), ("independent", "stray")),
    ):
        one, other = result(f"C09.{better[0]}.{better[1]}"), result(f"C09.{worse[0]}.{worse[1]}")
        assert one.value + 3 * one.spread < other.value - 3 * other.spread
    assert ledger("C09.chain.rate") == ledger("C09.independent.rate")
    assert abs(ledger("C09.chain.mean") - ledger("C09.independent.mean")) < 0.02
    assert abs(ledger("C09.chain.off") - ledger("C09.independent.off")) < 0.3
    sums = [ledger(f"C09.{name}.distortion") + ledger(f"C09.{name}.rate") for name in ("joint", "chain", "independent")]
    assert sums == sorted(sums)
    assert ledger("C09.joint.rate") < ledger("C09.chain.rate") - 1
    assert ledger("C09.joint.off") > ledger("C09.chain.off") + 1


def test_a_narrow_field_makes_the_code_speak_and_pays_for_it():
    assert ledger("C10.code.narrow.information") > 1.5 * ledger("C10.code.full.information")
    without = {"narrow": "C17.placed.narrow.nll", "full": "C17.placed.full.nll"}
    for width, key in without.items():
        assert ledger(f"C17.pays.{width}") == pytest.approx(ledger(key) - ledger(f"C17.code.{width}.loss"), abs=2e-6)
        assert ledger(f"06.code.{width}.rate") + ledger(f"06.code.{width}.distortion") == pytest.approx(
            ledger(f"C17.code.{width}.loss"), abs=2e-6
        )
    pays = result("C17.pays.narrow")
    assert pays.value > 1 > 3 * pays.spread and abs(ledger("C17.pays.full")) < 0.3


def test_most_of_what_separates_a_narrow_decoder_from_one_with_a_code_is_knowing_the_place():
    assert ledger("C17.alone.narrow.nll") - ledger("C17.placed.narrow.nll") > 3
    assert ledger("C17.placed.narrow.nll") < ledger("C18.narrow.beta4.distortion") + ledger("C18.narrow.beta4.rate")
    assert abs(ledger("C17.alone.full.nll") - ledger("C17.placed.full.nll")) < 0.3


def test_a_code_kept_silent_still_has_a_gap_since_its_decoder_listens_to_the_noise():
    gap, nll = result("06.silent.gap"), ledger("06.silent.nll")
    assert ledger("C18.narrow.beta4.rate") < 0.02 and gap.value - 3 * gap.spread > 0
    assert nll + gap.value == pytest.approx(
        ledger("C18.narrow.beta4.rate") + ledger("C18.narrow.beta4.distortion"), abs=0.02
    )
    assert ledger("C17.placed.narrow.nll") < nll


def test_a_rate_of_zero_is_no_gap_of_zero_where_the_decoder_listens():
    z = torch.linspace(-12, 12, 4801, dtype=torch.float64)
    prior = (-(z**2) / 2).exp()
    prior = prior / prior.sum()
    one = (2 * z).sigmoid()
    nll = -(prior @ one).log()
    loss = -(prior @ (one.log() + (1 - one).log())) / 2
    assert nll == pytest.approx(BIT, abs=1e-9) and loss > nll + 0.3


def test_a_placed_decoder_knows_places_and_no_code():
    torch.manual_seed(0)
    model = Placed(0)
    x = binary_digits("test")[:2]
    with torch.no_grad():
        logits = model.decoder(torch.zeros(1, 1, 8, 8), torch.zeros(1, 1)).flatten()
        assert logits.unique().numel() > 32
        wanted = -torch.nn.functional.binary_cross_entropy_with_logits(
            logits.expand(2, 64), x.flatten(1), reduction="none"
        )
        torch.testing.assert_close(model.log_prob(x), wanted.sum(1))


@pytest.mark.parametrize("objective", ["elbo", "infovae"])
def test_the_knob_turns_information_and_nll_down(objective):
    def rows(quantity):
        return [result(f"C10.{objective}.field_{field}.{quantity}") for field in ("0", "1", "2", "4", "full")]

    first, *_, last = rows("rate")
    assert first.value - 2 * first.spread > last.value + 2 * last.spread
    nll = [row.value for row in rows("nll_refitted_nats")]
    assert nll == sorted(nll, reverse=True)
    assert all(row.value > 2 for row in rows("information_lower"))


def test_infovae_tells_more_than_the_elbo_at_every_field_and_reads_near_its_ceiling():
    for field in ("0", "1", "2", "4", "full"):
        elbo, other = (result(f"C10.{name}.field_{field}.information_lower") for name in ("elbo", "infovae"))
        assert other.value - 3 * other.spread > elbo.value + 3 * elbo.spread
        assert other.value < math.log(250) < ledger(f"C10.infovae.field_{field}.information_upper")


def test_beta_moves_both_decoders_along_the_plane():
    for width in ("narrow", "full"):
        assert ledger(f"C18.{width}.beta0.25.rate") > ledger(f"06.code.{width}.rate") + 1
        assert ledger(f"C18.{width}.beta0.25.distortion") < ledger(f"06.code.{width}.distortion") - 0.5
        quarter = ledger(f"C18.{width}.beta0.25.rate") + ledger(f"C18.{width}.beta0.25.distortion")
        assert 3.5 < quarter - ledger(f"C17.code.{width}.loss") < 5
    assert ledger("C18.narrow.beta4.rate") < ledger("06.code.narrow.rate") - 1


def test_a_learned_prior_saves_no_more_than_the_aggregate_gap():
    gaps = [measured("code", vlae.NARROW, seed)["aggregate_gap_upper"] for seed in SEEDS]
    assert 0.1 < ledger("06.prior.saved") < sum(gaps) / 3
    assert ledger("06.prior.saved") == pytest.approx(ledger("06.prior.normal") - ledger("06.prior.flow"), abs=3e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_the_stored_decoders_without_a_code_have_the_nll_of_their_cards(seed):
    for field in (vlae.NARROW, None):
        nll = exact_nll_per_image(zoo_model("alone", field, seed), binary_digits("test"), seed=0)
        assert float(nll.mean()) == pytest.approx(measured("alone", field, seed)["nll_nats"], rel=1e-3)


@pytest.mark.parametrize("step", ["code", "warm", "flow"])
def test_the_stored_codes_tell_what_their_cards_say(step):
    found = information(zoo_model(step, vlae.NARROW, 0), binary_digits("test"), torch.Generator().manual_seed(1))
    assert found.lower == pytest.approx(measured(step, vlae.NARROW, 0)["information_lower"], abs=0.25)


def test_every_step_to_the_vlae_is_stored():
    assert {name for name in zoo.names() if name.startswith("vlae/")} == set(vlae.RECIPES)


def test_the_meter_s_codes_tell_what_is_said_and_cover_the_prior():
    for true in TRUE_INFORMATION:
        codes = gaussian_codes(true, 20_000, 0)
        assert float(codes.rate.mean()) == pytest.approx(true, abs=0.1)
        assert codes.z.var(0) == pytest.approx(torch.ones(8).double(), abs=0.05)
    assert float(gaussian_codes(2.0, 20_000, 0, d=3).rate.mean()) == pytest.approx(2.0, abs=0.1)
    assert metered(2.0, 2000, 0).lower == pytest.approx(2.0, abs=0.1)


def test_the_meter_reads_one_number_for_ten_and_twenty_nats_among_fifty():
    for true in (10, 20):
        assert ledger(f"06.meter.I{true}.N50") == pytest.approx(math.log(50), abs=0.01)
        assert ledger(f"06.meter.I{true}.N{COUNTS[1]}") > math.log(COUNTS[1]) - 0.4


def test_the_chain_leaves_the_encoder_it_was_given_alone(monkeypatch):
    torch.manual_seed(0)
    vae = VAE(ConvEncoder((1, 8, 8), 8, 32), FactorisedDecoder((1, 8, 8), 8, "conv", hidden=4), 8)
    before = [p.clone() for p in vae.encoder.parameters()]
    short = vlae.step_to_vlae("code", None, 0).plan.__class__(steps=3, batch_size=8)
    monkeypatch.setattr(f"{HERE}.SHARP_PLAN", short)
    chain = with_a_chain(vae, 0)
    assert all(torch.equal(a, b) for a, b in zip(before, chain.encoder.parameters(), strict=True))
    assert chain.encoder is vae.encoder and chain.decoder is not vae.decoder


def test_the_mean_drawing_of_independent_pixels_is_their_probability():
    torch.manual_seed(0)
    vae = VAE(ConvEncoder((1, 8, 8), 8, 32), FactorisedDecoder((1, 8, 8), 8, "conv", hidden=4), 8)
    z = 20 * torch.randn(2, 8)
    with torch.no_grad():
        wanted = vae.decoder(torch.zeros(2, 1, 8, 8), z).sigmoid()
    assert (wanted[0] - wanted[1]).abs().max() > 0.2
    assert (mean_drawing(vae, z, torch.Generator().manual_seed(0), draws=2000) - wanted).abs().max() < 0.06


def test_the_rate_under_the_standard_normal_is_the_closed_form():
    vae = zoo_model("code", vlae.NARROW, 0)
    with torch.no_grad():
        closed = float(vae.encode(binary_digits("test")).kl_to_standard_normal().mean())
    assert rate_under(vae, StandardNormal(8), 0) == pytest.approx(closed, abs=0.05)


def test_a_prior_that_learns_nothing_is_the_standard_normal_still():
    vae = zoo_model("code", vlae.NARROW, 0)
    assert rate_under(vae, fitted_prior(vae, 0, steps=0), 0) == pytest.approx(rate_under(vae, vae.prior, 0), abs=1e-5)


@pytest.mark.parametrize("chain", [False, True])
def test_a_seed_decides_where_a_bit_starts(monkeypatch, chain):
    monkeypatch.setattr(f"{HERE}.BIT_PLAN", Plan(steps=1, batch_size=8, learning_rate=1e-9))
    one, other = (torch.cat([p.flatten() for p in bit_vae(3, chain, seed).parameters()]) for seed in (1, 2))
    assert (one - other).abs().max() > 0.05


def painted_black(code: int = 8) -> VAE:
    """A VAE whose drawings are black all over, at 20 nats for each white pixel."""
    torch.manual_seed(0)
    vae = VAE(ConvEncoder((1, 8, 8), code, 32), FactorisedDecoder((1, 8, 8), code, "linear"), code)
    with torch.no_grad():
        vae.decoder.network[0].weight.zero_(), vae.decoder.network[0].bias.fill_(20)
    return vae


def test_the_sharp_numbers_of_black_drawings_are_counts_of_the_test_digits():
    vae, x = painted_black(), binary_digits("test")
    found, white = sharp_numbers(vae, 0), float((1 - x).sum(dim=(1, 2, 3)).mean())
    with torch.no_grad():
        rate = float(vae.encode(x).kl_to_standard_normal().mean())
    wanted = {"distortion": 20 * white, "rate": rate, "sharpness": 0, "stray": 0, "off": white, "mean": 0}
    assert found == pytest.approx(wanted, abs=1e-4)


def test_a_point_of_the_plane_is_of_the_test_digits_and_reads_from_below():
    vae, x = zoo_model("code", vlae.NARROW, 0), binary_digits("test")
    found, generator = plane_numbers(vae, 0), torch.Generator().manual_seed(0)
    with torch.no_grad():
        assert found["rate"] == pytest.approx(float(vae.encode(x).kl_to_standard_normal().mean()), abs=1e-4)
        assert found["distortion"] == pytest.approx(
            float(-vae.decoder.log_prob(x, vae.encode(x).sample(generator)).mean()), abs=0.4
        )
    assert found["information"] == pytest.approx(information(vae, x, generator).lower, abs=0.15)


@pytest.fixture
def splits(monkeypatch):
    """The splits that an experiment asks for, in order, and no step of training."""
    asked = []
    monkeypatch.setattr(f"{HERE}.binary_digits", lambda split: asked.append(split) or binary_digits(split)[:20])
    monkeypatch.setattr(f"{HERE}.fit", lambda *given, **named: None)
    return asked


@pytest.mark.parametrize(
    "experiment, wanted",
    [
        (lambda: fitted_prior(painted_black(), 0, steps=1), ["train"]),
        (lambda: rate_under(painted_black(), StandardNormal(8), 0, draws=1), ["test"]),
        (lambda: plane_numbers(painted_black(), 0), ["test"]),
        (lambda: sharp_numbers(painted_black(), 0), ["test"]),
        (lambda: placed_nll(0, 0), ["test"]),
        (lambda: factorised_vae(0), ["train"]),
        (lambda: with_a_chain(painted_black(), 0), ["train"]),
    ],
    ids=["prior", "rate", "plane", "sharp", "placed", "factorised", "chain"],
)
def test_models_learn_from_the_training_digits_and_are_measured_on_the_others(splits, experiment, wanted):
    experiment()
    assert splits == wanted


@pytest.mark.parametrize("make", [factorised_vae, lambda seed: with_a_chain(painted_black(), seed).decoder])
def test_a_seed_decides_where_a_model_of_digits_starts_and_in_which_order_it_sees_them(monkeypatch, make):
    seeds = []
    monkeypatch.setattr(f"{HERE}.fit", lambda model, loss, images, plan, progress: seeds.append(plan.seed))
    one, other = (torch.cat([p.flatten() for p in make(seed).parameters()]) for seed in (1, 2))
    assert (one - other).abs().max() > 0.01 and seeds == [1, 2]


def test_a_step_is_trained_with_the_objective_it_is_given_and_else_with_its_own(monkeypatch):
    given = []
    monkeypatch.setattr(f"{HERE}.fit", lambda model, objective, images, plan, progress: given.append((objective, plan)))
    aim = object()
    live_step("code", vlae.NARROW, 2, aim), live_step("code", vlae.NARROW, 1)
    assert given[0][0] is aim and isinstance(given[1][0], type(vlae.objective_of("code")))
    assert [plan.seed for _, plan in given] == [2, 1]


def of_objective(monkeypatch):
    """Models that know only how they were made, and measurements made up from that."""
    monkeypatch.setattr(f"{HERE}.beta_vae", lambda beta: beta)
    monkeypatch.setattr(f"{HERE}.live_step", lambda step, field, seed, beta: (field, beta, seed))
    monkeypatch.setattr(
        f"{HERE}.plane_numbers",
        lambda vae, seed: {"rate": vae[1] + seed, "distortion": 10 * vae[2], "information": vae[0] or 0},
    )


def test_the_sweep_trains_every_weight_at_every_seed(monkeypatch):
    of_objective(monkeypatch)
    found = {row.key: (row.value, row.spread) for row in EXPERIMENTS["C18"]()}
    for width, beta in (("full", 0.25), ("narrow", 0.25), ("narrow", 4)):
        assert found[f"C18.{width}.beta{beta}.rate"] == pytest.approx((beta + 1, 1))
        assert found[f"C18.{width}.beta{beta}.distortion"] == pytest.approx((10, 10))
        assert found[f"C18.{width}.beta{beta}.information"][0] == (width == "narrow")


def test_a_silent_code_s_gap_is_what_its_elbo_lacks_of_its_likelihood(monkeypatch):
    of_objective(monkeypatch)
    asked = []

    def nll(vae, x, samples, generator):
        asked.append((samples, len(x), generator.initial_seed()))
        return NLL(3.0 * vae[2], 0.0, len(x), "", "")

    monkeypatch.setattr(f"{HERE}.iwae_nll", nll)
    found = {row.key: (row.value, row.spread) for row in EXPERIMENTS["06.silent"]()}
    assert found == {"06.silent.nll": pytest.approx((3, 3)), "06.silent.gap": pytest.approx((4 + 8, 8))}
    assert asked == [(100, len(binary_digits("test")), seed) for seed in SEEDS]


def test_chains_and_placed_decoders_are_measured_at_every_seed_and_field(monkeypatch):
    monkeypatch.setattr(f"{HERE}.bit_vae", lambda n, chain, seed: (n, chain, seed))
    monkeypatch.setattr(f"{HERE}.solved_bit", lambda vae: vae)
    monkeypatch.setattr(f"{HERE}.told", lambda vae: {"loss": vae[0] + vae[2], "information": vae[1] * vae[2]})
    found = {row.key: (row.value, row.seeds) for row in EXPERIMENTS["06.chain"]()}
    for seed in CHAIN_SEEDS:
        assert found[f"06.chain.seed{seed}.loss"] == (10 + seed, (seed,))
        assert found[f"06.chain.seed{seed}.information"] == (seed, (seed,))
    monkeypatch.setattr(f"{HERE}.placed_nll", lambda field, seed: (5 if field is None else field) + seed)
    found = {row.key: (row.value, row.spread) for row in EXPERIMENTS["C17.placed"]()}
    assert found == {"C17.placed.narrow.nll": (2, 1), "C17.placed.full.nll": (6, 1)}


class Shifted(torch.nn.Module):
    """The prior N(1, I)."""

    def log_prob(self, z):
        return -0.5 * ((z - 1) ** 2 + math.log(2 * math.pi)).sum(1)


def test_the_rate_is_charged_by_the_prior_that_is_given():
    vae = zoo_model("code", vlae.NARROW, 0)
    with torch.no_grad():
        q = vae.encode(binary_digits("test"))
    closed = q.kl_to_standard_normal() + (0.5 - q.mu).sum(1)
    assert rate_under(vae, Shifted(), 0) == pytest.approx(float(closed.mean()), abs=0.1)


def test_a_fitted_prior_draws_its_codes_by_its_seed(monkeypatch):
    seeds = []
    draw = DiagonalGaussian.sample
    monkeypatch.setattr(
        DiagonalGaussian, "sample", lambda q, generator: seeds.append(generator.initial_seed()) or draw(q, generator)
    )
    for seed in (3, 4):
        fitted_prior(painted_black(), seed, steps=1)
    assert seeds == [3, 4]
