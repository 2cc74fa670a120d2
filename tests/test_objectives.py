"""The objectives: their terms and weights, what they refuse, what they do over processes and steps."""

import math

import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as processes
from torch.distributions import Normal, kl_divergence

from course_lib.data.binarisation import binarise
from course_lib.data.noise import Shard, normal, uniform
from course_lib.models.encoders import MLPEncoder
from course_lib.models.factorised import FactorisedDecoder
from course_lib.models.gaussian import DiagonalGaussian
from course_lib.models.pixelcnn import PixelCNN
from course_lib.models.priors import StandardNormal
from course_lib.models.vae import VAE
from course_lib.objectives.adversary import Adversary
from course_lib.objectives.dynamic import DynamicBinarisation
from course_lib.objectives.free_bits import FreeBits
from course_lib.objectives.gather import whole_batch
from course_lib.objectives.infovae import InfoVAE, beta_vae, elbo
from course_lib.objectives.mmd import MMD, mmd_squared
from course_lib.objectives.objective import Objective
from course_lib.objectives.reconstruction import FoundOut
from course_lib.objectives.stein import Stein, score_of
from course_lib.objectives.target_rate import TargetRate
from course_lib.objectives.warm_up import KLWarmUp

SHAPE, CODE = (1, 3, 3), 2


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def small_vae(seed=0, deterministic=False, prior=None):
    torch.manual_seed(seed)
    encoder = MLPEncoder(SHAPE, CODE, hidden=8, deterministic=deterministic)
    return VAE(encoder, PixelCNN(SHAPE, 4, 1, code_size=CODE), CODE, prior).double()


def grey(n, seed=0):
    return uniform((n, *SHAPE), seeded(seed), like=torch.empty(0, dtype=torch.float64))


def black_and_white(n, seed=0):
    return binarise(grey(n, seed), seeded(seed + 1))


def gradient(vae, loss):
    gradients = torch.autograd.grad(loss, list(vae.parameters()), allow_unused=True)
    return torch.cat([g.flatten() for g in gradients if g is not None])


class OtherPrior(torch.nn.Module):
    """N(1, I), which is not of the class StandardNormal."""

    def log_prob(self, z):
        return StandardNormal(CODE).log_prob(z - 1)

    def sample(self, count, generator, like):
        return 1 + normal((count, CODE), generator, like)


class Given:
    """A stand-in for a VAE: the given q(z|x), and images that cost nothing."""

    def __init__(self, q, prior=None):
        self.q, self.prior, self.decoder = q, prior or StandardNormal(q.mu.shape[1]), self

    def encode(self, x):
        return self.q

    def rate(self, q, z):
        return VAE.rate(self, q, z)

    def log_prob(self, x, z):
        return 0.0 * z.sum(1)


# Terms and weights.


def test_distortion_is_a_sum_over_pixels_and_a_mean_over_images():
    """A decoder whose logits are zero pays log 2 for each of nine pixels, whatever the batch."""
    vae = small_vae()
    with torch.no_grad():
        for p in vae.decoder.parameters():
            p.zero_()
    for n in (2, 7):
        terms = elbo()(vae, black_and_white(n), seeded(0))
        assert float(terms["distortion"].detach()) == pytest.approx(9 * math.log(2), abs=1e-12)


def test_rate_is_a_sum_over_dimensions_and_a_mean_over_images():
    """mu = 1, var = 1 costs half a nat a dimension."""
    for n, dim in ((2, 3), (5, 4)):
        q = DiagonalGaussian(torch.ones(n, dim), torch.zeros(n, dim))
        assert float(elbo()(Given(q), None, seeded(0))["rate"]) == pytest.approx(dim / 2)


@pytest.mark.parametrize("beta", [0.0, 0.1, 0.3, 1.0, 4.0, 100.0])
def test_a_beta_vae_pays_beta_for_its_rate_and_compares_nothing(beta):
    terms = beta_vae(beta)(small_vae(), black_and_white(6), seeded(1))
    assert set(terms) == {"loss", "distortion", "rate"}
    assert torch.allclose(terms["loss"], terms["distortion"] + beta * terms["rate"], rtol=1e-12)


def test_no_rounding_error_makes_a_beta_vae_maximise_or_compare():
    settings = [(-k / 100, 1 + k / 100) for k in range(-100, 1000)]
    naive = [alpha + lambd - 1 for alpha, lambd in settings]
    assert min(naive) < 0 < max(naive), "there are such rounding errors"
    assert {InfoVAE(alpha, lambd).weight for alpha, lambd in settings} == {0.0}


def test_the_elbo_is_the_beta_vae_with_beta_one():
    vae, x = small_vae(), black_and_white(6)
    assert torch.equal(elbo()(vae, x, seeded(1))["loss"], beta_vae(1.0)(vae, x, seeded(1))["loss"])
    assert elbo() == InfoVAE() == beta_vae(1.0)


@pytest.mark.parametrize("divergence", [MMD("rbf"), Stein(), Adversary(CODE)], ids=["MMD", "Stein", "adversary"])
def test_infovae_adds_the_divergence_of_the_codes_from_draws_of_the_prior(divergence):
    q = DiagonalGaussian(normal((30, CODE), seeded(0), torch.empty(0)), torch.zeros(30, CODE))
    terms = InfoVAE(0.75, 10.0, divergence)(Given(q), None, seeded(1))
    g = seeded(1)
    z, prior = q.sample(g), StandardNormal(CODE).sample(30, g, q.mu)
    assert torch.allclose(terms["divergence"], divergence(z, prior), rtol=1e-5)
    assert torch.allclose(terms["loss"], 0.25 * terms["rate"] + 9.75 * terms["divergence"])


def test_in_half_precision_the_divergence_is_still_taken_in_single():
    q = DiagonalGaussian(normal((40, 8), seeded(0), torch.empty(0)).bfloat16(), torch.full((40, 8), -2.0).bfloat16())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = InfoVAE(1.0, 1.0)(Given(q), None, seeded(1))["divergence"]
    g = seeded(1)
    expected = mmd_squared(q.sample(g).float(), StandardNormal(8).sample(40, g, torch.empty(0)))
    assert found.dtype == torch.float32 and float(found) == pytest.approx(float(expected), abs=1e-6)


# What is refused.


@pytest.mark.parametrize(
    "make, sentence",
    [
        (lambda: InfoVAE(0.2, 0.5), "divergence would be maximised: choose lambd of at least 0.8"),
        (lambda: beta_vae(-0.5), "beta = 1 - alpha = -0.5 is negative"),
        (lambda: InfoVAE(1.1, 5.0), "rate, which has no upper limit, would be maximised"),
        (lambda: InfoVAE(0.0, math.nan), "choose lambd"),
        (lambda: FreeBits(-0.1), "KL is never negative"),
        (lambda: KLWarmUp(elbo(), 0), "warm-up of 0 steps is none"),
        (lambda: KLWarmUp(Objective(), 10), "Objective has no rate to warm up"),
        (lambda: KLWarmUp(DynamicBinarisation(Objective()), 10), "Objective has no rate to warm up"),
    ],
)
def test_an_impossible_setting_is_refused_with_the_reason(make, sentence):
    with pytest.raises(ValueError, match=sentence):
        make()


def test_stein_refuses_a_prior_whose_score_it_was_not_given():
    vae, x = small_vae(prior=OtherPrior()), black_and_white(6)
    with pytest.raises(ValueError, match="OtherPrior, not N"):
        InfoVAE(0.5, 5.0, Stein())(vae, x, seeded(0))
    terms = InfoVAE(0.5, 5.0, Stein(score=score_of(vae.prior)))(vae, x, seeded(0))
    assert terms["loss"].isfinite()


# Without noise in the encoder, and with alpha = 1.


@pytest.mark.parametrize("objective", [elbo(), InfoVAE(0.9, 5.0), KLWarmUp(elbo(), 10).at(0)])
def test_an_encoder_without_noise_is_refused_while_the_rate_counts(objective):
    with pytest.raises(ValueError, match="alpha = 1"):
        objective(small_vae(deterministic=True), black_and_white(6), seeded(0))


@pytest.mark.parametrize("divergence", [MMD(), Stein(), Adversary(CODE)], ids=["MMD", "Stein", "adversary"])
def test_with_alpha_one_an_encoder_without_noise_trains(divergence):
    """Forty steps of a Wasserstein autoencoder on eight images lower its distortion."""
    vae, x, objective = small_vae(deterministic=True), black_and_white(8), InfoVAE(1.0, 1.0, divergence)
    optimiser, distortions = torch.optim.Adam(vae.parameters(), lr=0.03), []
    for step in range(40):
        terms = objective(vae, x, seeded(step))
        optimiser.zero_grad()
        terms["loss"].backward()
        optimiser.step()
        objective.after_step()
        distortions.append(float(terms["distortion"].detach()))
    assert set(terms) == {"loss", "distortion", "divergence"}
    assert sum(distortions[-5:]) < 0.9 * sum(distortions[:5])


def test_with_alpha_one_a_rate_is_reported_and_not_paid():
    vae, x = small_vae(), black_and_white(6)
    terms = InfoVAE(1.0, 3.0)(vae, x, seeded(0))
    assert torch.equal(terms["rate"], elbo()(vae, x, seeded(0))["rate"])
    assert torch.allclose(terms["loss"], terms["distortion"] + 3 * terms["divergence"])


def test_a_rate_that_is_not_paid_may_be_infinite():
    q = DiagonalGaussian(torch.zeros(3, 2), torch.full((3, 2), -math.inf))
    assert elbo()(Given(q), None, seeded(0))["rate"] == math.inf
    assert InfoVAE(1.0, 0.0)(Given(q), None, seeded(0))["loss"] == 0


# Free bits.


def random_q(n=6, dim=4, seed=0):
    mu, log_var = normal((2, n, dim), seeded(seed), like=torch.empty(0, dtype=torch.float64)).unbind()
    return DiagonalGaussian(mu, log_var)


def test_the_kl_of_each_dimension_is_that_of_torch_distributions():
    q, zero = random_q(), torch.zeros(1).double()
    expected = kl_divergence(Normal(q.mu, (q.log_var / 2).exp()), Normal(zero, zero + 1))
    assert torch.allclose(q.kl_per_dimension(), expected, atol=1e-12)


def test_free_bits_charge_each_dimension_the_floor_or_its_mean_kl_if_that_is_more():
    q = random_q()
    means = [float(q.kl_per_dimension()[:, d].mean()) for d in range(4)]
    floor = sorted(means)[1] + 1e-3
    terms = FreeBits(floor)(Given(q), None, seeded(0))
    assert float(terms["loss"]) == pytest.approx(sum(max(floor, kl) for kl in means), abs=1e-12)
    assert float(terms["rate"]) == pytest.approx(sum(means), abs=1e-12)


def test_a_dimension_under_the_floor_feels_no_pull():
    q = DiagonalGaussian(torch.tensor([[0.1, 2.0], [0.2, 2.0]], requires_grad=True), torch.zeros(2, 2))
    FreeBits(0.5)(Given(q), None, seeded(0))["loss"].backward()
    assert (q.mu.grad[:, 0] == 0).all() and (q.mu.grad[:, 1] != 0).all()


def test_no_free_bits_are_the_elbo():
    vae, x = small_vae(), black_and_white(6)
    assert torch.allclose(FreeBits(0.0)(vae, x, seeded(1))["loss"], elbo()(vae, x, seeded(1))["loss"], rtol=1e-12)


@pytest.mark.parametrize("vae", [lambda: small_vae(prior=OtherPrior()), lambda: small_vae(deterministic=True)])
def test_free_bits_are_refused_where_no_kl_of_each_dimension_is_known(vae):
    with pytest.raises(ValueError, match="KL of each dimension"):
        FreeBits(0.1)(vae(), black_and_white(4), seeded(0))


# Schedules and wrappers.


@pytest.mark.parametrize("step, share", [(0, 0.0), (25, 0.25), (100, 1.0), (1000, 1.0)])
@pytest.mark.parametrize("inner, whole", [(elbo(), 1.0), (beta_vae(4.0), 4.0), (InfoVAE(0.6, 5.0), 0.4)])
def test_a_warm_up_scales_the_weight_of_the_rate_and_of_nothing_else(inner, whole, step, share):
    terms = KLWarmUp(inner, 100).at(step)(small_vae(), black_and_white(6), seeded(1))
    rest = terms["distortion"] + inner.weight * terms.get("divergence", 0.0)
    assert torch.allclose(terms["loss"], rest + share * whole * terms["rate"], rtol=1e-12)


def test_a_warm_up_scales_free_bits_with_their_floor():
    q = random_q()
    whole, half = FreeBits(1.0), KLWarmUp(FreeBits(1.0), 10).at(5)
    losses = [objective(Given(q), None, seeded(0))["loss"] for objective in (whole, half)]
    assert losses[1] == pytest.approx(losses[0] / 2)


def test_a_warm_up_keeps_the_schedule_of_what_it_warms():
    class Growing(InfoVAE):
        """An InfoVAE whose lambd is the step."""

        def at(self, step):
            return InfoVAE(self.alpha, float(step), self.divergence)

    now = KLWarmUp(Growing(0.5, 1.0), 10).at(5)
    assert now == InfoVAE(0.5, 5.0, warmth=0.5)


def test_a_warm_up_that_is_not_asked_for_a_step_is_over():
    vae, x = small_vae(), black_and_white(6)
    assert torch.equal(KLWarmUp(elbo(), 10)(vae, x, seeded(1))["loss"], elbo()(vae, x, seeded(1))["loss"])


@pytest.mark.parametrize(
    "objective", [KLWarmUp(DynamicBinarisation(elbo()), 10), DynamicBinarisation(KLWarmUp(elbo(), 10))]
)
def test_binarisation_and_warm_up_may_stand_in_either_order(objective):
    vae, x = small_vae(), grey(6)
    terms = objective.at(5)(vae, x, seeded(1))
    assert torch.allclose(terms["loss"], terms["distortion"] + 0.5 * terms["rate"])
    assert torch.equal(terms["rate"], DynamicBinarisation(elbo())(vae, x, seeded(1))["rate"])


def test_dynamic_binarisation_is_the_objective_on_images_binarised_from_the_same_generator():
    vae, x, g = small_vae(), grey(6), seeded(1)
    expected = elbo()(vae, binarise(x, g), g)["loss"]
    assert torch.equal(DynamicBinarisation(elbo())(vae, x, seeded(1))["loss"], expected)


def test_dynamic_binarisation_is_new_at_each_call():
    seen, g = [], seeded(0)

    class Looks(Objective):
        def __call__(self, model, x, generator):
            seen.append(x)

    for _ in range(2):
        DynamicBinarisation(Looks())(None, grey(6), g)
    assert all(((x == 0) | (x == 1)).all() for x in seen) and not torch.equal(*seen)


# What learns beside the model.


class Notes:
    """A divergence that writes down what it is taught."""

    unit = "none"

    def __init__(self):
        self.lessons = []

    def __call__(self, z, prior):
        return z.mean()

    def learn(self, z, prior):
        self.lessons.append((z, prior))

    def state_dict(self):
        return {"lessons": len(self.lessons)}

    def load_state_dict(self, state):
        self.lessons = [None] * state["lessons"]


WAYS = [lambda o: o, lambda o: KLWarmUp(o, 10), DynamicBinarisation, lambda o: DynamicBinarisation(KLWarmUp(o, 10))]


@pytest.mark.parametrize("wrapped", WAYS)
@pytest.mark.parametrize("told_at_this_step", [True, False])
def test_after_a_step_the_adversary_learns_once_from_that_steps_detached_codes(wrapped, told_at_this_step):
    notes, vae, x = Notes(), small_vae(), black_and_white(6)
    objective = wrapped(InfoVAE(0.5, 2.0, notes))
    now = objective.at(3)
    for seed in (1, 2):
        now(vae, x, seeded(seed))
    for _ in range(2):
        (now if told_at_this_step else objective).after_step()
    ((z, prior),) = notes.lessons
    g = seeded(2)
    b = binarise(x, g) if wrapped in WAYS[2:] else x
    assert torch.equal(z, vae.encode(b).sample(g)) and torch.equal(prior, vae.prior.sample(6, g, z))
    assert not z.requires_grad


@pytest.mark.parametrize("wrapped", WAYS)
def test_a_checkpoint_holds_what_learns_and_nothing_else(wrapped):
    taught, fresh = Notes(), Notes()
    taught.learn(None, None)
    wrapped(InfoVAE(0.5, 2.0, fresh)).load_state_dict(wrapped(InfoVAE(0.5, 2.0, taught)).state_dict())
    assert len(fresh.lessons) == 1
    plain = wrapped(InfoVAE(0.5, 2.0))
    assert plain.state_dict() == {}
    plain.load_state_dict({})


# One batch, several processes.


def test_alone_the_whole_batch_is_ones_own():
    z = torch.zeros(3, 2)
    assert whole_batch(z) is z


JOINT = {
    "MMD": InfoVAE(0.5, 20.0),
    "Stein": InfoVAE(0.5, 20.0, Stein()),
    "free bits": FreeBits(0.004),
    "target rate between the halves'": TargetRate(0.0288, 20.0, 0.0),
    "target rate with MMD": TargetRate(0.0, 1.0, 20.0),
}


def judged_twice(rows, generators):
    """The discriminator's weights after two steps on some rows of the batch."""
    torch.manual_seed(0)
    vae = VAE(MLPEncoder(SHAPE, CODE, hidden=8), FactorisedDecoder(SHAPE, CODE, hidden=8), CODE).double()
    objective = TargetRate(1.0, cost=FoundOut(SHAPE, hidden=4))
    objective.cost.discriminator.double()
    for generator in generators:
        objective(vae, grey(8)[rows], generator)
        objective.after_step()
    return torch.cat([p.detach().flatten() for p in objective.cost.discriminator.parameters()])


def one_process(rank, place):
    """Half the batch in one of two processes; the first writes what both make of it together."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{place}/meeting", rank=rank, world_size=2)
    vae, x, found = small_vae(), black_and_white(8)[4 * rank : 4 * rank + 4], {}
    for name, objective in JOINT.items():
        terms = objective(vae, x, Shard(3, rank, 2))
        joint = gradient(vae, terms["loss"])
        dist.all_reduce(joint)
        found[name] = joint / 2, float(terms.get("divergence", 0.0))
    adversary = InfoVAE(1.0, 1.0, Adversary(CODE, hidden=4))
    adversary(vae, x, Shard(3, rank, 2))
    adversary.after_step()
    found["adversary"] = adversary.state_dict()["divergence"]["discriminator"]["linear.weight"]
    found["found out"] = judged_twice(slice(4 * rank, 4 * rank + 4), [Shard(seed, rank, 2) for seed in (3, 4)])
    torch.save(found, f"{place}/{rank}.pt")
    dist.destroy_process_group()


@pytest.fixture(scope="module")
def of_two_processes(tmp_path_factory):
    place = tmp_path_factory.mktemp("two")
    processes.spawn(one_process, (str(place),), nprocs=2)
    return [torch.load(place / f"{rank}.pt") for rank in range(2)]


@pytest.mark.parametrize("name", JOINT)
def test_two_processes_with_half_a_batch_each_follow_the_gradient_of_one_with_the_whole(of_two_processes, name):
    vae = small_vae()
    terms = JOINT[name](vae, black_and_white(8), seeded(3))
    whole = gradient(vae, terms["loss"])
    for joint, divergence in (found[name] for found in of_two_processes):
        assert torch.allclose(joint, whole, rtol=0, atol=1e-12)
        assert divergence == pytest.approx(float(terms.get("divergence", 0.0)), abs=1e-12)


@pytest.mark.parametrize("name", JOINT)
def test_averaging_the_halves_own_statistics_would_give_another_gradient(name):
    vae = small_vae()
    whole = gradient(vae, JOINT[name](vae, black_and_white(8), seeded(3))["loss"])
    halves = [JOINT[name](vae, black_and_white(8)[4 * r : 4 * r + 4], Shard(3, r, 2))["loss"] for r in range(2)]
    assert (gradient(vae, sum(halves) / 2) - whole).abs().max() > 1e-3


def test_two_processes_teach_their_adversaries_the_same_as_one(of_two_processes):
    vae, objective = small_vae(), InfoVAE(1.0, 1.0, Adversary(CODE, hidden=4))
    objective(vae, black_and_white(8), seeded(3))
    objective.after_step()
    expected = objective.state_dict()["divergence"]["discriminator"]["linear.weight"]
    for found in of_two_processes:
        assert torch.allclose(found["adversary"], expected, atol=1e-6)


def test_two_processes_teach_their_discriminators_of_pictures_the_same_as_one(of_two_processes):
    expected = judged_twice(slice(None), [seeded(3), seeded(4)])
    alone = judged_twice(slice(4), [Shard(3, 0, 2), Shard(4, 0, 2)])
    assert (alone - expected).abs().max() > 1e-4, "half of the batch alone would teach something else"
    for found in of_two_processes:
        assert torch.allclose(found["found out"], expected, rtol=0, atol=1e-8)
