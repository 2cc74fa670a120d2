"""The flow prior: triangular, invertible, a density that adds up to one, and samples that follow it."""

import math

import pytest
import torch
from torch.func import jacrev

from course_lib.models.made import MADE
from course_lib.models.priors import FlowPrior, StandardNormal, standard_normal_log_prob


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


@pytest.mark.parametrize("prior", [StandardNormal(3), shaken(FlowPrior(3, 8, 2), 6)])
def test_the_score_is_the_slope_of_the_log_density(prior):
    z = codes(4, 3).requires_grad_()
    assert torch.autograd.gradcheck(prior.log_prob, z)
