"""The priors: densities that add up to one, samples that follow them, and a flow that is triangular and invertible."""

import math

import pytest
import torch
from torch.func import jacrev

from course_lib.models.made import MADE
from course_lib.models.priors import FlowPrior, RingPrior, StandardNormal, UniformPrior, standard_normal_log_prob


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def shaken(module, seed, scale=0.4):
    """The module in float64 with random weights everywhere, the last layers too."""
    with torch.no_grad():
        generator = seeded(seed)
        for p in module.double().parameters():
            p.copy_(scale * torch.randn(p.shape, generator=generator, dtype=p.dtype))
    return module


def codes(count, size, seed=0):
    return 1.5 * torch.randn(count, size, generator=seeded(seed), dtype=torch.float64)


@pytest.mark.parametrize("code_size, hidden", [(1, 4), (2, 3), (5, 16), (8, 5)])
def test_each_number_depends_on_every_earlier_dimension_that_it_can_and_on_no_later_one(code_size, hidden):
    made = shaken(MADE(code_size, hidden), 0)
    for part in range(2):
        seen = jacrev(lambda z, part=part: made(z)[part])(codes(1, code_size)[0]) != 0
        assert not seen.triu().any(), "dimension i looks at itself or a later one"
        if hidden >= code_size - 1:
            assert torch.equal(seen, torch.ones_like(seen).tril(-1)), "dimension i misses an earlier one"


@pytest.mark.parametrize("code_size", [2, 5])
def test_no_hidden_unit_is_cut_off_from_the_outputs(code_size):
    made = MADE(code_size, 13)
    assert made.first.mask.any(1).all() and made.last.mask.any(0).all()


@pytest.mark.parametrize("layers", [1, 2, 4])
def test_the_flow_is_triangular_layer_by_layer(layers):
    """One layer undone by the reversal is lower triangular; each further layer turns the order around."""
    prior, z = shaken(FlowPrior(4, 16, layers), 1), codes(1, 4)[0]
    for layer in prior.layers:
        single = FlowPrior(4, 16, 1).double()
        single.layers[0] = layer
        jacobian = jacrev(lambda v, single=single: single.to_noise(v)[0].flip(-1))(z)
        assert (jacobian.triu(1) == 0).all() and (jacobian.diagonal() > 0).all()
        z = single.to_noise(z)[0]
    assert torch.allclose(z, prior.to_noise(codes(1, 4)[0])[0], atol=1e-14)


@pytest.mark.parametrize("code_size, layers", [(1, 1), (2, 1), (3, 2), (6, 4)])
def test_the_log_determinant_is_that_of_the_full_jacobian(code_size, layers):
    prior = shaken(FlowPrior(code_size, 16, layers), 2)
    for z in codes(5, code_size):
        exact = torch.linalg.slogdet(jacrev(lambda v: prior.to_noise(v)[0])(z)).logabsdet
        assert float(prior.to_noise(z)[1].detach()) == pytest.approx(float(exact.detach()), abs=1e-11)


@pytest.mark.parametrize("code_size, layers", [(1, 2), (2, 3), (7, 4)])
def test_sampling_inverts_the_density_pass(code_size, layers):
    prior, e = shaken(FlowPrior(code_size, 16, layers), 3), codes(50, code_size)
    assert (prior.to_noise(prior.from_noise(e))[0] - e).abs().max() < 1e-10
    assert (prior.from_noise(prior.to_noise(e)[0]) - e).abs().max() < 1e-10
    drawn = prior.sample(50, seeded(4), like=e)
    noise = StandardNormal(code_size).sample(50, seeded(4), like=e)
    assert (prior.to_noise(drawn)[0] - noise).abs().max() < 1e-10 and drawn.dtype == torch.float64


@pytest.mark.parametrize("shape", [(6, 3), (2, 5, 3), (3,)])
def test_a_new_flow_is_the_standard_normal_to_the_bit(shape):
    prior, z = FlowPrior(3), torch.randn(shape, generator=seeded(0))
    assert torch.equal(prior.log_prob(z), standard_normal_log_prob(z))
    assert torch.equal(prior.sample(9, seeded(1), like=z), StandardNormal(3).sample(9, seeded(1), like=z))


def test_a_new_flow_can_learn_every_weight_within_two_steps():
    """Zero outputs hold back the first layer for one step only."""
    prior = FlowPrior(3, 8, 2)
    optimiser = torch.optim.SGD(prior.parameters(), lr=0.1)
    for _ in range(2):
        optimiser.zero_grad()
        (-prior.log_prob(codes(200, 3).float() + 1).mean()).backward()
        optimiser.step()
    assert all((p.grad != 0).any() for p in prior.parameters())


@pytest.mark.parametrize("seed", range(3))
def test_the_density_integrates_to_one_in_one_dimension(seed):
    prior, z = shaken(FlowPrior(1, 4, 2), seed), torch.linspace(-60, 60, 40_001, dtype=torch.float64)[:, None]
    assert float(prior.log_prob(z).exp().sum().detach()) * 120 / 40_000 == pytest.approx(1, abs=1e-9)


def grid(half=14.0, steps=561):
    line = torch.linspace(-half, half, steps, dtype=torch.float64)
    return torch.cartesian_prod(line, line), (2 * half / (steps - 1)) ** 2


@pytest.mark.parametrize("seed", [0, 2, 5])
def test_the_density_integrates_to_one_in_two_dimensions_and_samples_have_its_moments(seed):
    prior, (z, cell) = shaken(FlowPrior(2, 8, 3), seed, 0.3), grid()
    with torch.no_grad():
        mass = prior.log_prob(z).exp() * cell
        drawn = prior.sample(20_000, seeded(0), like=z)
    assert float(mass.sum()) == pytest.approx(1, abs=1e-9)
    for statistic in (lambda v: v, lambda v: v**2, lambda v: v.prod(-1, keepdim=True), lambda v: (v > 0.025).double()):
        exact, seen = mass @ statistic(z), statistic(drawn)
        error = 5 * seen.std(0) / math.sqrt(len(drawn))
        assert ((seen.mean(0) - exact).abs() < error).all()


def test_the_histogram_of_samples_is_the_density():
    """16 boxes, their sides halfway between the grid's points: chi-square within five deviations."""
    prior, (z, cell) = shaken(FlowPrior(2, 8, 3), 2, 0.3), grid()
    with torch.no_grad():
        mass = prior.log_prob(z).exp() * cell
        drawn = prior.sample(20_000, seeded(1), like=z)
    cuts = torch.tensor([-0.975, 0.025, 1.025], dtype=torch.float64)

    def box(v):
        first, second = torch.bucketize(v, cuts).unbind(-1)
        return 4 * first + second

    expected = torch.zeros(16, dtype=torch.float64).index_add(0, box(z), mass) * len(drawn)
    observed = torch.bincount(box(drawn), minlength=16)
    kept = expected > 5
    chi_square = float(((observed - expected) ** 2 / expected)[kept].sum())
    assert kept.sum() > 8 and chi_square < kept.sum() + 5 * math.sqrt(2 * kept.sum())
    normal = standard_normal_log_prob(z).exp() * cell
    assert float((normal - mass).abs().sum()) > 0.3, "the test needs a density that is not the standard normal"


def test_the_gradient_of_a_sample_reaches_the_priors_weights():
    """A divergence between q(z) and p(z) teaches the prior too: against finite differences in one weight."""
    prior = shaken(FlowPrior(3, 4, 2), 5)
    weight = prior.layers[0].last.bias

    def mean_square():
        return prior.sample(7, seeded(0), like=weight).pow(2).mean()

    (gradient,) = torch.autograd.grad(mean_square(), weight)
    with torch.no_grad():
        for i in range(6):
            sides = []
            for step in (1e-6, -2e-6):
                weight[i] += step
                sides.append(float(mean_square()))
            weight[i] += 1e-6
            assert float(gradient[i]) == pytest.approx((sides[0] - sides[1]) / 2e-6, abs=1e-7)


def test_maximum_likelihood_bends_the_flow_into_a_banana():
    """z_2 = z_1^2 / 2 + noise: the fitted flow comes near the exact entropy, where the best Gaussian stays far off."""
    torch.manual_seed(0)
    prior, generator = FlowPrior(2, 32, 2), seeded(0)

    def banana(count):
        e = torch.randn(count, 2, generator=generator)
        return torch.stack([e[:, 0], e[:, 0] ** 2 / 2 + 0.3 * e[:, 1]], 1)

    optimiser = torch.optim.Adam(prior.parameters(), lr=1e-2)
    for _ in range(300):
        optimiser.zero_grad()
        (-prior.log_prob(banana(256)).mean()).backward()
        optimiser.step()
    z = banana(20_000)
    entropy = math.log(2 * math.pi * math.e) + math.log(0.3)
    gaussian = 0.5 * math.log((2 * math.pi * math.e) ** 2 * float(torch.linalg.det(z.T.cov())))
    found = float(-prior.log_prob(z).mean().detach())
    print(f"entropy {entropy:.3f}, flow {found:.3f}, best Gaussian {gaussian:.3f}")
    assert entropy - 0.05 < found < entropy + 0.1 and gaussian > entropy + 0.5


@pytest.mark.parametrize("sizes", [dict(code_size=0), dict(hidden=0), dict(layers=0)])
def test_a_flow_without_a_code_a_unit_or_a_layer_is_refused_by_name(sizes):
    with pytest.raises(ValueError, match=f"{next(iter(sizes))} must be a whole number, 1 or more; got 0"):
        FlowPrior(**{"code_size": 2, **sizes})


@pytest.mark.parametrize("prior", [StandardNormal(3), shaken(FlowPrior(3, 8, 2), 6), RingPrior(5, 0.4)])
def test_the_score_is_the_slope_of_the_log_density(prior):
    z = codes(4, prior.code_size).requires_grad_()
    assert torch.autograd.gradcheck(prior.log_prob, z)


# The cube.

HALF = math.sqrt(3)


def midpoints(size, steps):
    """The middles of cells that tile a cube of twice the prior's side, and the volume of a cell."""
    width = 4 * HALF / steps
    line = (torch.arange(steps, dtype=torch.float64) + 0.5) * width - 2 * HALF
    return torch.cartesian_prod(*[line] * size).view(-1, size), width**size


@pytest.mark.parametrize("size, steps", [(1, 4000), (2, 200), (3, 40)])
def test_the_cube_adds_up_to_one_and_has_variance_one_in_each_dimension(size, steps):
    z, cell = midpoints(size, steps)
    mass = UniformPrior(size).log_prob(z).exp() * cell
    assert float(mass.sum()) == pytest.approx(1, abs=1e-12)
    assert torch.allclose(mass @ z, torch.zeros(size).double(), atol=1e-12)
    within_a_cell = (4 * HALF / steps) ** 2 / 12
    covariance = (z * mass[:, None]).T @ z
    assert torch.allclose(covariance, (1 - within_a_cell) * torch.eye(size).double(), atol=1e-12)


@pytest.mark.parametrize("size", [1, 2, 5])
def test_each_side_of_the_cube_ends_where_it_should(size):
    edge = torch.tensor(HALF, dtype=torch.float64)
    for dimension in range(size):
        for sign in (-1, 1):
            z = 0.3 * torch.ones(2, size, dtype=torch.float64)
            z[0, dimension], z[1, dimension] = sign * edge, sign * torch.nextafter(edge, edge + 1)
            inside, outside = UniformPrior(size).log_prob(z).tolist()
            assert inside == pytest.approx(-size * math.log(2 * HALF), abs=1e-12) and outside == -math.inf


@pytest.mark.parametrize("size", [1, 3])
def test_draws_fill_the_cube_evenly_by_kolmogorov_and_smirnov(size):
    """sqrt(n) times the greatest distance exceeds 2.2 in one case of ten thousand."""
    n = 20_000
    z = UniformPrior(size).sample(n, seeded(0), like=torch.empty(0, dtype=torch.float64))
    assert z.shape == (n, size)
    cdf, steps = (z.sort(0).values + HALF) / (2 * HALF), torch.arange(n + 1, dtype=torch.float64)[:, None] / n
    distance = torch.maximum((steps[1:] - cdf).amax(0), (cdf - steps[:-1]).amax(0))
    assert (distance * math.sqrt(n) < 2.2).all()
    assert (torch.cov(z.T).view(size, size) - torch.eye(size)).abs().max() < 5 / math.sqrt(n)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_even_the_outermost_draw_of_the_cube_lies_inside_it(dtype, monkeypatch):
    prior = UniformPrior(3)
    monkeypatch.setattr("course_lib.models.priors.uniform", lambda shape, g, like: like.new_zeros(shape))
    z = prior.sample(1, seeded(0), like=torch.empty(0, dtype=dtype))
    assert (z < -1.73).all() and prior.log_prob(z).isfinite().all()


# The ring.

RINGS = [(3, 0.9), (3, 0.3), (4, 0.25), (7, 0.6), (10, 0.2)]


@pytest.mark.parametrize("count, width", RINGS)
def test_the_ring_is_a_mixture_of_gaussians_on_a_circle(count, width):
    angle = torch.arange(count, dtype=torch.float64) / count * 2 * math.pi
    centres = math.sqrt(2 - 2 * width**2) * torch.stack([angle.cos(), angle.sin()], 1)
    parts = torch.distributions.Independent(torch.distributions.Normal(centres, width), 1)
    even = torch.distributions.Categorical(torch.ones(count, dtype=torch.float64))
    z = codes(30, 2, seed=count).view(5, 6, 2)
    expected = torch.distributions.MixtureSameFamily(even, parts).log_prob(z)
    # The centres are kept in single precision.
    assert torch.allclose(RingPrior(count, width).log_prob(z), expected, rtol=0, atol=1e-5)


@pytest.mark.parametrize("count, width", RINGS)
def test_the_ring_adds_up_to_one_with_mean_zero_and_variance_one_and_samples_follow_it(count, width):
    prior, (z, cell) = RingPrior(count, width), grid(6.0, 241)
    mass = prior.log_prob(z).exp() * cell
    assert float(mass.sum()) == pytest.approx(1, abs=1e-9)
    assert torch.allclose(mass @ z, torch.zeros(2).double(), atol=1e-6)
    assert torch.allclose((z * mass[:, None]).T @ z, torch.eye(2).double(), atol=1e-6)
    drawn = prior.sample(20_000, seeded(1), like=z)
    for statistic in (lambda v: v, lambda v: v**2, lambda v: v.prod(-1, keepdim=True), lambda v: v**3, lambda v: v**4):
        error = 5 * statistic(drawn).std(0) / math.sqrt(len(drawn))
        assert ((statistic(drawn).mean(0) - mass @ statistic(z)).abs() < error).all()


@pytest.mark.parametrize("count", [3, 5, 10])
def test_every_gaussian_of_the_ring_is_drawn_from_equally_often_and_with_its_width(count):
    prior, n = RingPrior(count, 0.05), 10_000
    drawn = prior.sample(n, seeded(2), like=torch.empty(0, dtype=torch.float64))
    distances, nearest = torch.cdist(drawn, prior.centres.double()).min(1)
    share = torch.bincount(nearest, minlength=count) / n
    assert len(share) == count and ((share - 1 / count).abs() < 5 / math.sqrt(n * count)).all()
    assert float(distances.square().mean()) == pytest.approx(2 * 0.05**2, rel=5 / math.sqrt(n))


@pytest.mark.parametrize("count", [0, 1, 2, 2.5])
def test_a_ring_of_fewer_than_three_is_refused_since_two_lie_on_a_line(count):
    with pytest.raises(ValueError, match=f"count must be a whole number, 3 or more; got {count}"):
        RingPrior(count, 0.3)


@pytest.mark.parametrize("width", [-0.1, 0.0, 1.0, 2.0, math.nan])
def test_a_width_that_leaves_no_circle_of_variance_one_is_refused(width):
    with pytest.raises(ValueError, match=f"circle of variance 1; got {width:g}"):
        RingPrior(5, width)


# All of them.

PRIORS = [StandardNormal(2), FlowPrior(2, 8, 2), UniformPrior(2), RingPrior(7, 0.3)]


@pytest.mark.parametrize("prior", PRIORS, ids=lambda prior: type(prior).__name__)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_draws_depend_on_the_generator_alone_and_have_the_dtype_that_is_asked_for(prior, dtype):
    like, before = torch.empty(0, dtype=dtype), torch.get_rng_state()
    prior = prior.to(dtype)
    first, again, other = (prior.sample(6, seeded(seed), like=like) for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)
    assert torch.equal(torch.get_rng_state(), before)
    assert first.shape == (6, prior.code_size) and first.dtype == dtype
    assert prior.log_prob(first).dtype == dtype and prior.log_prob(first.view(2, 3, -1)).shape == (2, 3)


@pytest.mark.parametrize("prior", PRIORS, ids=lambda prior: type(prior).__name__)
def test_a_checkpoint_holds_of_a_prior_what_it_learns_and_nothing_else(prior):
    assert set(prior.state_dict()) == {name for name, _ in prior.named_parameters()}
