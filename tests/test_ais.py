"""Annealed importance sampling, its HMC and its bounds, against quadrature and closed forms."""

import math

import pytest
import torch
from linear_vae import linear_vae, linear_world, sloppy
from torch import nn

from course_lib.data.noise import normal, uniform
from course_lib.measurement.ais import AIS, ais
from course_lib.measurement.annealing import Annealing, find_steps
from course_lib.measurement.bdmc import bdmc
from course_lib.measurement.hmc import gradient_of, leapfrog, transition
from course_lib.measurement.likelihood import iwae_log_prob
from course_lib.measurement.mean import Mean
from course_lib.models.gaussian import DiagonalGaussian
from course_lib.models.vae import VAE, pixelcnn_vae

QUICK = dict(distributions=60, chains=3000, leapfrogs=2)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


class Gaussian(nn.Module):
    """The same q for all images."""

    def __init__(self, code, mu, std):
        super().__init__()
        self.mu = nn.Parameter(torch.full((code,), mu, dtype=torch.float64))
        self.log_var = nn.Parameter(torch.full((code,), 2 * math.log(std), dtype=torch.float64))

    def forward(self, x):
        return DiagonalGaussian(self.mu.expand(len(x), -1), self.log_var.expand(len(x), -1))


class Bowl(nn.Module):
    """Six binary pixels, logit = tilt . z + bend |z|^2 - 1: for bend > tilt the posterior has two modes, or a ring."""

    def __init__(self, code, tilt, bend):
        super().__init__()
        self.tilt = nn.Parameter(tilt * torch.randn(code, 6, generator=seeded(3)).double())
        self.bend = nn.Parameter(bend * torch.rand(6, generator=seeded(4)).double())

    def logits(self, z):
        return z @ self.tilt + (z**2).sum(1, keepdim=True) * self.bend - 1

    def log_prob(self, x, z):
        return -nn.functional.binary_cross_entropy_with_logits(self.logits(z), x, reduction="none").sum(1)

    def sample(self, count, generator, z):
        return (uniform((count, 6), generator, like=z) < self.logits(z).sigmoid()).double()


class Square(nn.Module):
    """x = z^2 and a little noise: the posterior sits at both roots."""

    def log_prob(self, x, z):
        return torch.distributions.Normal(z**2, 0.1).log_prob(x).sum(1)

    def sample(self, count, generator, z):
        return z**2 + 0.1 * normal((count, 1), generator, like=z)


class PositiveRoot(nn.Module):
    """q(z|x) at the positive root alone, as wide as the posterior is there."""

    def __init__(self):
        super().__init__()
        self.noise = nn.Parameter(torch.tensor(0.1).double())

    def forward(self, x):
        root = x.clamp(min=0.04).sqrt()
        return DiagonalGaussian(root, 2 * (self.noise / (2 * root)).log())


class WidthByImage(nn.Module):
    """log N(z; 0, x^2): the image is the width of its posterior."""

    def log_prob(self, x, z):
        return -0.5 * (z / x).square().sum(1)


class Mixture(nn.Module):
    """A prior that is no Gaussian: half N(-1.5, 0.5^2), half N(1, 1), in each dimension."""

    def log_prob(self, z):
        left = torch.distributions.Normal(-1.5, 0.5).log_prob(z)
        return (left.logaddexp(torch.distributions.Normal(1.0, 1.0).log_prob(z)) - math.log(2)).sum(-1)

    def sample(self, count, generator, like):
        left = uniform((count, 2), generator, like) < 0.5
        e = normal((count, 2), generator, like)
        return torch.where(left, -1.5 + 0.5 * e, 1 + e)


WORLDS = {
    "one mode, 1-d": lambda: VAE(Gaussian(1, 0.3, 0.8), Bowl(1, 1.5, 0.0), 1),
    "two modes, 1-d": lambda: VAE(Gaussian(1, 0.4, 1.3), Bowl(1, 0.2, 3.0), 1),
    "ring, 2-d": lambda: VAE(Gaussian(2, -0.3, 1.0), Bowl(2, 0.3, 2.0), 2),
    "mixture prior, 2-d": lambda: VAE(Gaussian(2, 0.2, 1.5), Bowl(2, 1.0, 0.5), 2, Mixture()),
}
IMAGES = torch.tensor([[1, 1, 1, 1, 1, 1], [0, 1, 0, 1, 1, 0], [0, 0, 0, 0, 0, 0]], dtype=torch.float64)


@torch.no_grad()
def quadrature(vae, x):
    """log of the integral of p(x, z) over a grid on [-8, 8]."""
    line = torch.linspace(-8, 8, 321, dtype=torch.float64)
    z = torch.cartesian_prod(*[line] * vae.code_size).view(-1, vae.code_size)
    different, which = x.unique(dim=0, return_inverse=True)
    log_joint = [vae.decoder.log_prob(one.expand(len(z), -1), z) + vae.prior.log_prob(z) for one in different]
    return (torch.stack(log_joint).logsumexp(1) + vae.code_size * math.log(line[1] - line[0]))[which]


@pytest.mark.parametrize("start, schedule", [("q", "linear"), ("prior", "sigmoid")])
@pytest.mark.parametrize("world", WORLDS)
def test_ais_is_the_integral_over_z(world, start, schedule):
    vae = WORLDS[world]()
    found = ais(vae, IMAGES, seeded(0), Annealing(start, schedule=schedule, **QUICK))
    error = found.log_prob - quadrature(vae, IMAGES)
    print(f"{world} from {start}: error {error.abs().max():.4f} nats, {found}")
    assert error.abs().max() < 0.02 and found.standard_error.max() < 0.02
    assert (error.abs() < 4.5 * found.standard_error).all()


def test_the_weights_are_unbiased_however_few_the_distributions():
    """Three, on a schedule that is uneven: no error that vanishes with their number goes unseen."""
    vae, x = WORLDS["one mode, 1-d"](), IMAGES[:1]
    found = ais(vae, x, seeded(0), Annealing("prior", 3, 100_000, 2, "sigmoid"))
    print(f"E[w] / p(x) = exp({float(found.log_prob - quadrature(vae, x)):.4f}) ± {float(found.standard_error):.4f}")
    assert float((found.log_prob - quadrature(vae, x)).abs()) < 4 * float(found.standard_error) < 0.04


@pytest.mark.parametrize("start, schedule", [("q", "linear"), ("prior", "sigmoid")])
def test_ais_is_the_closed_form_of_a_linear_gaussian_model_with_ten_codes(start, schedule):
    world = linear_world(pixels=15, code=10, s=1.0, seed=0)
    x, how = world.marginal().sample(3, seeded(1)), Annealing(start, 120, 600, 3, schedule)
    found = ais(linear_vae(world, sloppy(world)), x, seeded(2), how)
    error = found.log_prob - world.marginal().log_prob(x)
    print(f"from {start}: error {error.abs().max():.4f} nats, {found}")
    assert error.abs().max() < 0.05 and (error.abs() < 4.5 * found.standard_error).all()


@pytest.mark.parametrize("world", ["two modes, 1-d", "ring, 2-d"])
def test_the_two_bounds_bracket_the_integral(world):
    """A crude run, so that both bounds are visibly on their own side."""
    vae = WORLDS[world]()
    found = bdmc(vae, 3000, seeded(0), Annealing("q", 4, chains=2, leapfrogs=2))
    exact = quadrature(vae, found.x)
    print(f"crude, {world}: {found}; the integral is {exact.mean():.3f}")
    for slack in (exact - found.lower, found.upper - exact):
        side = Mean.of(slack)
        assert side.value > 4 * side.standard_error > 0 and side.value > 0.02
    for ratio in ((found.lower - exact).exp(), (exact - found.upper).exp()):
        mean = Mean.of(ratio)
        assert abs(mean.value - 1) < 4 * mean.standard_error < 0.15, "E[w] = p(x) forwards, E[1/w] = 1/p(x) backwards"


@pytest.mark.parametrize("start", ["q", "prior"])
def test_the_gap_of_a_careful_run_is_small_and_holds_the_integral(start):
    vae = WORLDS["ring, 2-d"]()
    found = bdmc(vae, 30, seeded(0), Annealing(start, 40, chains=200, leapfrogs=2))
    exact = quadrature(vae, found.x)
    print(f"careful: {found}; the integral is {exact.mean():.3f}")
    assert float(found.gap.mean()) < 0.03
    assert (exact - found.lower).mean().abs() < 0.02 and (found.upper - exact).mean().abs() < 0.02


def test_a_mode_that_q_has_missed_is_told_by_the_gap_and_not_by_the_spread():
    """AIS from a q on one of two far modes loses log 2 and looks sure of itself; the reverse chains know."""
    vae, how = VAE(PositiveRoot(), Square(), 1), Annealing("q", 40, chains=100, leapfrogs=2)
    x = torch.tensor([[1.0], [2.0]]).double()
    found, both = ais(vae, x, seeded(0), how), bdmc(vae, 60, seeded(0), how)
    lost = quadrature(vae, x) - found.log_prob
    print(f"lost {lost.tolist()} (log 2 = {math.log(2):.3f}), over chains {found.standard_error.tolist()}; {both}")
    assert (lost - math.log(2)).abs().max() < 0.02 and found.standard_error.max() < 0.02
    assert float(both.gap.mean()) > math.log(2)


def test_iwae_stays_below_ais_and_climbs_towards_it():
    vae = VAE(Gaussian(1, -1.2, 0.4), Bowl(1, 1.5, 0.0), 1)
    x, draws = IMAGES[1:2].expand(600, 6), seeded(0)
    found = float(ais(vae, x[:1], seeded(0), Annealing("q", **QUICK)).log_prob)
    assert found == pytest.approx(float(quadrature(vae, x[:1])), abs=0.02)
    bounds = [Mean.of(iwae_log_prob(vae, x, K, draws)) for K in (10, 100, 1000)]
    print(
        f"AIS {found:.3f}; IWAE K = 10, 100, 1000: "
        + ", ".join(f"{b.value:.3f} ± {b.standard_error:.3f}" for b in bounds)
    )
    for bound, better in zip(bounds, [*bounds[1:], Mean.of(torch.full((2,), found))], strict=True):
        assert better.value - bound.value > 4 * math.hypot(bound.standard_error, better.standard_error)


@pytest.mark.parametrize("start", ["q", "prior"])
def test_without_distributions_in_between_it_is_importance_sampling(start):
    vae, chains = WORLDS["ring, 2-d"](), 16
    found = ais(vae, IMAGES, seeded(7), Annealing(start, 0, chains))
    generator, rows = seeded(7), IMAGES.repeat_interleave(chains, 0)
    first, then = IMAGES.repeat_interleave(chains // 4, 0), rows
    if start == "q":
        vae.encode(first).sample(generator)
        z = vae.encode(then).sample(generator)
        log_q = vae.encode(rows).log_prob(z)
    else:
        vae.prior.sample(len(first), generator, like=first)
        z = vae.prior.sample(len(then), generator, like=then)
        log_q = vae.prior.log_prob(z)
    expected = (vae.decoder.log_prob(rows, z) + vae.prior.log_prob(z) - log_q).view(3, chains)
    assert torch.allclose(found.log_weights, expected, atol=1e-12)


def test_the_model_is_only_read():
    torch.manual_seed(0)
    vae = pixelcnn_vae((1, 4, 4), code_size=2, hidden=8, width=4, depth=1).train()
    x = torch.randint(0, 2, (3, 1, 4, 4), generator=seeded(0)).float()
    before = {name: value.clone() for name, value in vae.state_dict().items()}
    found = ais(vae, x, seeded(0), Annealing("q", 5, chains=4, leapfrogs=2))
    assert all(torch.equal(before[name], value) for name, value in vae.state_dict().items())
    assert all(p.grad is None and p.requires_grad for p in vae.parameters()) and vae.training
    assert not found.log_weights.requires_grad
    again = ais(vae, x, seeded(0), Annealing("q", 5, chains=4, leapfrogs=2))
    assert torch.equal(found.log_weights, again.log_weights), "all chance comes from the generator"


def test_blocks_of_images_come_back_in_order():
    vae = WORLDS["one mode, 1-d"]()
    found = ais(vae, IMAGES, seeded(0), Annealing("q", **QUICK), block=2)
    assert (found.log_prob - quadrature(vae, IMAGES)).abs().max() < 0.02
    assert found.acceptance.shape == (3,) and found.log_weights.shape == (3, QUICK["chains"])


@pytest.mark.parametrize("target", [0.5, 0.8])
def test_step_sizes_reach_the_acceptance_asked_for(target):
    """From the prior to a posterior fifty times narrower."""
    world = linear_world(pixels=6, code=3, s=0.02, seed=1)
    vae, x = linear_vae(world, sloppy(world)), world.marginal().sample(3, seeded(0))
    found = ais(vae, x, seeded(1), Annealing("prior", 200, 16, 3, "sigmoid", target))
    assert (found.acceptance - target).abs().max() < 0.1, found


def test_each_image_has_step_sizes_of_its_own():
    """Two images of one model whose posteriors differ a hundredfold in width."""
    vae, x = VAE(Gaussian(1, 0.0, 1.0), WidthByImage(), 1), torch.tensor([[0.01], [1.0]]).double()
    steps = find_steps(vae, x, Annealing("prior", 150, 16, 2, "sigmoid"), seeded(0), progress=False)[-1]
    assert 20 < float(steps[1] / steps[0]) < 500


def test_a_result_prints_its_settings_and_sums_up_as_an_nll():
    log_weights = torch.tensor([[0.0, math.log(3.0)], [-2.0, -2.0]]).double()
    found = AIS(log_weights, torch.tensor([0.6, 0.7]), Annealing("prior", 500, chains=2))
    assert found.log_prob.tolist() == pytest.approx([math.log(2), -2])
    assert found.standard_error.tolist() == pytest.approx([0.5, 0.0]), "std(1, 3) / (2 sqrt 2)"
    nll = found.nll("as given")
    assert nll.nats == pytest.approx(1 - math.log(2) / 2) and nll.images == 2
    for text in (str(found), str(nll)):
        assert "prior" in text and "500 distributions" in text and "2 chains" in text and "10 leapfrog" in text


@pytest.mark.parametrize("schedule", ["linear", "sigmoid"])
def test_a_schedule_climbs_from_zero_to_one(schedule):
    betas = Annealing(distributions=9, schedule=schedule).betas()
    assert betas[0] == 0 and betas[-1] == 1 and len(betas) == 11 and betas == sorted(set(betas))
    assert betas[1] == pytest.approx(0.1) if schedule == "linear" else betas[1] < 0.05


@pytest.mark.parametrize("wrong", [dict(start="posterior"), dict(schedule="cosine"), dict(chains=0), dict(target=1.0)])
def test_settings_that_make_no_sense_are_refused(wrong):
    with pytest.raises(ValueError, match="must be"):
        Annealing(**wrong)


def bent(z):
    """The gradient of -(z1^2 + (z2 - z1^2)^2) / 2."""
    off = z[:, 1] - z[:, 0] ** 2
    return torch.stack([-z[:, 0] + 2 * z[:, 0] * off, -off], 1)


def bent_log_density(z):
    return -(z[:, 0] ** 2 + (z[:, 1] - z[:, 0] ** 2) ** 2) / 2


def test_the_gradient_of_a_density_is_its_derivative():
    z = torch.randn(5, 2, generator=seeded(0)).double()
    assert torch.allclose(gradient_of(bent_log_density)(z), bent(z), atol=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_leapfrog_leads_back_when_the_momentum_is_turned_round(seed):
    z, p = torch.randn(2, 4, 2, generator=seeded(seed)).double()
    step = torch.tensor([[0.1, 0.23]]).double()
    there, momentum = leapfrog(bent, z, p, step, 20)
    back, turned = leapfrog(bent, there, -momentum, step, 20)
    assert (there - z).abs().max() > 0.1
    assert (back - z).abs().max() < 1e-10 and (turned + p).abs().max() < 1e-10


@pytest.mark.parametrize("seed", range(3))
def test_leapfrog_preserves_volume(seed):
    def flow(zp):
        return torch.cat(leapfrog(bent, zp[None, :2], zp[None, 2:], torch.tensor([[0.2, 0.35]]).double(), 7), 1)[0]

    jacobian = torch.autograd.functional.jacobian(flow, torch.randn(4, generator=seeded(seed)).double())
    assert float(torch.linalg.det(jacobian)) == pytest.approx(1, abs=1e-10)
    assert (jacobian - torch.eye(4)).abs().max() > 0.1


def test_the_energy_error_of_leapfrog_shrinks_with_the_square_of_the_step():
    z, p = torch.randn(2, 200, 2, generator=seeded(0)).double()

    def error(leapfrogs):
        z_new, p_new = leapfrog(bent, z, p, torch.full((1, 1), 0.5 / leapfrogs).double(), leapfrogs)
        return float((bent_log_density(z_new) - bent_log_density(z) + (p**2 - p_new**2).sum(1) / 2).abs().mean())

    errors = [error(n) for n in (16, 32, 64, 128)]
    for coarse, fine in zip(errors, errors[1:], strict=False):
        assert coarse / fine == pytest.approx(4, abs=0.1)


def test_hmc_samples_a_correlated_gaussian_from_a_wrong_start():
    cov = torch.tensor([[1.0, 1.2], [1.2, 2.0]]).double()
    precision, n = cov.inverse(), 20_000
    z, accepted = torch.tensor([3.0, -3.0]).double().expand(n, 2), []
    for step in torch.linspace(0.5, 0.95, 40).double():
        log_density = lambda z: -0.5 * (z @ precision * z).sum(1)  # noqa: E731
        z, acceptance = transition(log_density, z, step.expand(n, 1), 3, seeded(int(1000 * step)))
        accepted.append(float(acceptance.mean()))
    assert min(accepted) < 0.75, "steps long enough that the correction matters"
    assert (z.mean(0) / (cov.diagonal() / n).sqrt()).abs().max() < 4
    products = torch.stack([z[:, 0] ** 2, z[:, 0] * z[:, 1], z[:, 1] ** 2], 1)
    off = products.mean(0) - torch.stack([cov[0, 0], cov[0, 1], cov[1, 1]])
    assert (off / (products.std(0) / n**0.5)).abs().max() < 4


def test_a_trajectory_that_diverges_is_refused():
    z = torch.randn(50, 1, generator=seeded(0)).double()
    moved, acceptance = transition(lambda z: -(z**4).sum(1), z, torch.full((50, 1), 30.0).double(), 9, seeded(1))
    assert torch.equal(moved, z) and (acceptance == 0).all()
