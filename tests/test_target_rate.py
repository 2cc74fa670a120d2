"""A rate chosen beforehand: its loss term by term, where it pushes, what it comes to, and what it is not."""

import math

import pytest
import torch

from course_lib.data.binarisation import binarise
from course_lib.data.noise import normal, uniform
from course_lib.measurement.codes import encode_all
from course_lib.measurement.information import information_of
from course_lib.models.encoders import MLPEncoder
from course_lib.models.factorised import FactorisedDecoder
from course_lib.models.gaussian import DiagonalGaussian
from course_lib.models.priors import FlowPrior, RingPrior, StandardNormal
from course_lib.models.vae import VAE
from course_lib.objectives.dynamic import DynamicBinarisation
from course_lib.objectives.mmd import mmd_squared
from course_lib.objectives.reconstruction import Cost, Features, FoundOut, Pixels
from course_lib.objectives.target_rate import TargetRate
from course_lib.objectives.warm_up import KLWarmUp
from course_lib.training.fit import CheckpointError, Fit, Plan, fit

SHAPE, CODE = (1, 4, 4), 2


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def small_vae(seed=0, deterministic=False, prior=None, decoder=FactorisedDecoder):
    torch.manual_seed(seed)
    encoder = MLPEncoder(SHAPE, CODE, hidden=16, deterministic=deterministic)
    return VAE(encoder, decoder(SHAPE, CODE, hidden=16), CODE, prior)


def grey(n, seed=0, dtype=torch.float64):
    return uniform((n, *SHAPE), seeded(seed), like=torch.empty(0, dtype=dtype))


def gradient(vae, loss):
    gradients = torch.autograd.grad(loss, list(vae.parameters()), allow_unused=True, retain_graph=True)
    return torch.cat([(torch.zeros_like(p) if g is None else g).flatten() for p, g in zip(vae.parameters(), gradients)])


def by_hand(vae, x, seed, cost=None):
    """Cost, rate and divergence from the parts that are known, with the same chance."""
    g = seeded(seed)
    b = binarise(x, g)
    q = vae.encode(b)
    z = q.sample(g)
    divergence = mmd_squared(z, vae.prior.sample(len(x), g, like=z))
    return (cost or Pixels())(vae.decoder, x, b, z).mean(), vae.rate(q, z).mean(), divergence


PRIORS = {"normal": lambda: None, "flow": lambda: FlowPrior(CODE, 8, 2), "ring": lambda: RingPrior(5, 0.5)}


@pytest.mark.parametrize("prior", PRIORS)
@pytest.mark.parametrize("nats", [0.0, 30.0], ids=["too much", "too little"])
@pytest.mark.parametrize("gamma, lambd", [(20.0, 200.0), (0.5, 0.0)])
def test_the_loss_is_its_formula_and_its_gradient_drives_the_rate_to_the_target(prior, nats, gamma, lambd):
    """Above the target each nat of rate costs gamma, below it each nat that is missing does."""
    vae, x = small_vae(prior=PRIORS[prior]()).double(), grey(7)
    cost, rate, divergence = by_hand(vae, x, 3)
    terms = TargetRate(nats, gamma, lambd)(vae, x, seeded(3))
    assert list(terms) == ["loss", "cost", "rate", "divergence"]
    for name, expected in dict(cost=cost, rate=rate, divergence=divergence).items():
        assert torch.allclose(terms[name], expected, rtol=1e-12), name
    sign = 1 if nats == 0 else -1
    assert torch.allclose(terms["loss"], cost + gamma * sign * (rate - nats) + lambd * divergence, rtol=1e-12)
    slopes = [gradient(vae, term) for term in (cost, rate, divergence)]
    expected = slopes[0] + gamma * sign * slopes[1] + lambd * slopes[2]
    assert slopes[1].abs().max() > 1e-3 and torch.allclose(gradient(vae, terms["loss"]), expected, atol=1e-10)


class Free(Cost):
    """Nothing to pay."""

    def __call__(self, decoder, x, seen, z):
        return 0 * z.sum(1)


def test_it_is_the_mean_rate_that_is_held_to_the_target_and_not_each_images():
    """Rates of 0 and 4 nats are 2 on average, which is what was asked for."""
    q = DiagonalGaussian(torch.tensor([[0.0, 0.0], [2.0, 2.0]]), torch.zeros(2, 2))
    vae = small_vae()
    vae.encode = lambda x: q
    terms = TargetRate(2.0, 20.0, 0.0)(vae, grey(2, dtype=torch.float32), seeded(0))
    assert float(terms["rate"]) == pytest.approx(2) and torch.allclose(terms["loss"], terms["cost"])


def test_the_cost_sees_the_grey_image_and_what_was_encoded_of_it_anew_at_each_call():
    seen = []

    class Looks(Free):
        def __call__(self, decoder, x, b, z):
            seen.append((x, b))
            return super().__call__(decoder, x, b, z)

    vae, x, g = small_vae().double(), grey(6), seeded(0)
    encoded = []
    vae.encoder.register_forward_pre_hook(lambda _, given: encoded.append(given[0]))
    for _ in range(2):
        TargetRate(3.0, cost=Looks())(vae, x, g)
    for (kept, b), given in zip(seen, encoded, strict=True):
        assert kept is x and b is given and ((b == 0) | (b == 1)).all()
    assert not torch.equal(*encoded)


def test_in_half_precision_the_divergence_is_still_taken_in_single():
    mu, log_var = normal((40, CODE), seeded(0), torch.empty(0)).bfloat16(), torch.full((40, CODE), -2.0).bfloat16()
    vae, x, q = small_vae(), grey(40, dtype=torch.float32), DiagonalGaussian(mu, log_var)
    vae.encode = lambda x: q
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = TargetRate(3.0, cost=Free())(vae, x, seeded(1))["divergence"]
    g = seeded(1)
    binarise(x, g)
    expected = mmd_squared(q.sample(g).float(), StandardNormal(CODE).sample(40, g, torch.empty(0)))
    assert found.dtype == torch.float32 and float(found) == pytest.approx(float(expected), abs=1e-6)


# What is refused.


@pytest.mark.parametrize(
    "arguments",
    [(-1.0,), (math.nan,), (1.0, 0.0), (1.0, -2.0), (1.0, math.nan), (1.0, 1.0, -0.1), (1.0, 1.0, math.nan)],
)
def test_an_impossible_setting_is_refused_with_the_reason(arguments):
    with pytest.raises(ValueError, match="a rate is 0 nats or more, its weight gamma above 0, and lambd not below"):
        TargetRate(*arguments)


def test_what_has_no_rate_to_hold_is_refused():
    with pytest.raises(ValueError, match="rate KL.* is infinite"):
        TargetRate(3.0)(small_vae(deterministic=True), grey(4, dtype=torch.float32), seeded(0))
    with pytest.raises(ValueError, match="TargetRate has no rate to warm up"):
        KLWarmUp(TargetRate(3.0), 10)


def test_nothing_in_particular_to_pay_for_means_pixels():
    assert isinstance(TargetRate(3.0).cost, Pixels) and TargetRate(0.0, 1e-9, 0.0).nats == 0


# Where training leads.


class Blind(FactorisedDecoder):
    """A decoder that has no use for the code, and pays nothing."""

    def log_prob(self, x, z=None):
        return 0 * z.sum(1)


def trained(objective, steps, seed=0, decoder=FactorisedDecoder, **options):
    vae, x = small_vae(seed, decoder=decoder), (grey(256, dtype=torch.float32) < 0.3).float()
    plan = Plan(steps, 64, learning_rate=5e-3, warm_up=10)
    history = fit(vae, objective, x, plan, every=1, progress=False, **options)
    return vae, encode_all(vae, x, seeded(1)), history


def shift(codes):
    """What the code's mean, |E mu|^2 / 2, has of the rate: it is the same for every image."""
    return float(codes.q.mu.mean(0).square().sum()) / 2


def test_with_a_decoder_that_does_not_look_the_rate_is_paid_and_no_information_bought():
    _, codes, _ = trained(TargetRate(1.5, lambd=0.0), 300, decoder=Blind)
    information, rate = information_of(codes).lower, float(codes.rate.mean())
    print(f"rate {rate:.2f}, of which shift {shift(codes):.2f}; information {information:.2f}")
    assert rate == pytest.approx(1.5, abs=0.1)
    assert information < 0.15 and shift(codes) > 0.6 * rate


def test_with_the_divergence_the_rate_does_not_come_by_a_shift():
    _, codes, _ = trained(TargetRate(1.5, lambd=200.0), 400, decoder=Blind)
    information, rate = information_of(codes).lower, float(codes.rate.mean())
    print(f"rate {rate:.2f}, of which shift {shift(codes):.3f}; information {information:.2f}")
    assert rate == pytest.approx(1.5, abs=0.1)
    assert information > 1.0 and shift(codes) < 0.02


@pytest.mark.parametrize("nats", [1.0, 3.0])
def test_costs_in_units_of_their_own_come_to_the_same_rate(nats):
    """Black and white images are binarised to themselves, so that the rate of the last steps is the code's."""
    torch.manual_seed(1)
    layers = MLPEncoder(SHAPE, CODE, hidden=8).layers[:-1]
    images = grey(100, dtype=torch.float32)
    for cost in (Pixels(), Features("random", layers, images, scale=20.0), FoundOut(SHAPE, hidden=4)):
        _, codes, history = trained(TargetRate(nats, cost=cost), 200)
        assert float(codes.rate.mean()) == pytest.approx(nats, abs=0.15), cost
        first, last = history.terms["cost"][:10], history.terms["cost"][-10:]
        if not isinstance(cost, FoundOut):
            assert sum(last) < sum(first)


# Runs.


def found_out(**options):
    return TargetRate(3.0, cost=FoundOut(SHAPE, hidden=4, **options))


def state_of(vae, objective):
    learnt = [objective.cost.discriminator, vae] if isinstance(objective.cost, FoundOut) else [vae]
    return torch.cat([p.detach().flatten() for part in learnt for p in part.parameters()])


@pytest.mark.parametrize("objective", [found_out, lambda: TargetRate(2.0)], ids=["found out", "pixels"])
def test_two_runs_from_one_seed_are_equal(objective):
    ends = []
    for _ in range(2):
        chosen = objective()
        ends.append(state_of(trained(chosen, 6)[0], chosen))
    assert torch.equal(*ends)


def test_the_discriminator_learns_once_a_step_and_is_in_the_checkpoint(tmp_path):
    objective, fresh = found_out(), found_out()
    vae, _, _ = trained(objective, 5, checkpoint=tmp_path / "run.pt")
    assert {int(state["step"]) for state in objective.cost.optimiser.state.values()} == {5}
    again, _, _ = trained(fresh, 5, checkpoint=tmp_path / "run.pt")
    assert torch.equal(state_of(vae, objective), state_of(again, fresh)), "it is taken up, and not trained further"
    assert TargetRate(3.0).state_dict() == {}


def test_a_wrapper_lets_the_cost_learn():
    objective, vae = found_out(), small_vae()
    before = objective.cost.discriminator[0].weight.detach().clone()
    wrapped = DynamicBinarisation(objective)
    wrapped.at(0)(vae, grey(6, dtype=torch.float32), seeded(0))
    wrapped.after_step()
    assert not torch.equal(objective.cost.discriminator[0].weight, before)


OTHERS = {
    "nats": TargetRate(4.0, cost=FoundOut(SHAPE, hidden=4)),
    "gamma": TargetRate(3.0, 10.0, cost=FoundOut(SHAPE, hidden=4)),
    "lambd": TargetRate(3.0, lambd=5.0, cost=FoundOut(SHAPE, hidden=4)),
    "cost": TargetRate(3.0),
    "the cost's weight": found_out(weight=5.0),
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_checkpoint_of_another_rate_or_cost_is_refused(tmp_path, name):
    x, plan = grey(16, dtype=torch.float32), Plan(1, 16)
    fit(small_vae(), found_out(), x, plan, checkpoint=tmp_path / "run.pt", progress=False)
    with pytest.raises(CheckpointError, match="objective was TargetRate.*and is now TargetRate"):
        Fit(small_vae(), OTHERS[name], x, plan, tmp_path / "run.pt")
    assert Fit(small_vae(), found_out(), x, plan, tmp_path / "run.pt").step == 1
