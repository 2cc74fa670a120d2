"""What a pixel may be: every distribution adds up to one, is drawn from exactly, and stays finite."""

import itertools
import math

import pytest
import torch

from course_lib.models.outputs import Bernoulli, Categorical, Gaussian, LogisticMixture
from course_lib.models.pixelcnn import PixelCNN

DISCRETE = [
    Categorical(2),
    Categorical(7),
    Categorical(),
    LogisticMixture(1, 2),
    LogisticMixture(3, 7),
    LogisticMixture(),
]
MIXTURES = [output for output in DISCRETE if isinstance(output, LogisticMixture)]


def name(output):
    return f"{type(output).__name__}-{getattr(output, 'levels', output.size)}"


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def wild(output, seed, count=50, dtype=torch.float64, spread=4.0):
    """Numbers for `count` pixels; every tenth is far out."""
    numbers = spread * torch.randn(count, output.size, generator=seeded(seed), dtype=dtype)
    numbers[::10] *= 30
    return numbers


def at_every_level(output, numbers):
    """log p of each level, for each row of numbers: [count, levels]."""
    values = torch.arange(output.levels).to(numbers) / (output.levels - 1)
    x = values.repeat(len(numbers), 1)[:, None, None, :]
    return output.log_prob(numbers[:, :, None, None].expand(-1, -1, 1, output.levels), x)[:, 0, 0]


def difference_of_sigmoids(output, numbers):
    """The mixture as its definition has it, one component and level at a time, float64: [count, levels]."""
    k, top = output.components, output.levels - 1
    table = torch.zeros(len(numbers), output.levels, dtype=torch.float64)
    for row, level in itertools.product(range(len(numbers)), range(output.levels)):
        weights = numbers[row, :k].softmax(0)
        for w, mu, log_s in zip(weights, numbers[row, k : 2 * k], numbers[row, 2 * k :], strict=True):
            scale, centre = math.exp(log_s), 2 * level / top - 1
            above = torch.sigmoid((centre + 1 / top - mu) / scale) if level < top else 1.0
            below = torch.sigmoid((centre - 1 / top - mu) / scale) if level > 0 else 0.0
            table[row, level] += w * (above - below)
    return table


@pytest.mark.parametrize("output", DISCRETE, ids=name)
@pytest.mark.parametrize("dtype, tolerance", [(torch.float64, 1e-9), (torch.float32, 1e-4)])
def test_probabilities_of_all_levels_add_up_to_one(output, dtype, tolerance):
    for seed in range(5):
        total = at_every_level(output, wild(output, seed, dtype=dtype)).exp().sum(1)
        assert (total - 1).abs().max() < tolerance


@pytest.mark.parametrize("output", MIXTURES, ids=name)
def test_the_mixture_is_the_difference_of_sigmoids_of_its_definition(output):
    numbers = torch.randn(6, output.size, generator=seeded(1), dtype=torch.float64)
    numbers[:, 2 * output.components :] -= 2
    assert (at_every_level(output, numbers).exp() - difference_of_sigmoids(output, numbers)).abs().max() < 1e-12


@pytest.mark.parametrize("output", DISCRETE, ids=name)
def test_float32_agrees_with_float64_far_into_the_tails(output):
    """log p down to many thousands of nats below zero, where the difference of two float32 sigmoids is exactly zero."""
    numbers = wild(output, 3, dtype=torch.float32)
    exact = at_every_level(output, numbers.double())
    assert exact.min() < -50
    assert torch.allclose(at_every_level(output, numbers).double(), exact, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("output", [*DISCRETE, Bernoulli(), Gaussian(), Gaussian(0.1)], ids=name)
@pytest.mark.parametrize("factor", [1.0, 100.0])
def test_gradients_are_finite_for_wild_numbers(output, factor):
    numbers = (factor * torch.randn(200, output.size, 1, 1, generator=seeded(2))).clamp(-60, 60).requires_grad_()
    x = torch.randint(0, 2, (200, 1, 1, 1), generator=seeded(3)).float()
    log_p = output.log_prob(numbers, x)
    log_p.sum().backward()
    assert log_p.isfinite().all() and numbers.grad.isfinite().all()


@pytest.mark.parametrize(
    "output", [Categorical(5), LogisticMixture(2, 5), Bernoulli(), Gaussian(), Gaussian(0.3)], ids=name
)
def test_gradients_are_those_of_finite_differences(output):
    numbers = torch.randn(4, 2 * output.size, 1, 2, generator=seeded(4), dtype=torch.float64).requires_grad_()
    x = torch.randint(0, 2, (4, 2, 1, 2), generator=seeded(5)).double()
    assert torch.autograd.gradcheck(lambda n: output.log_prob(n, x), numbers)


@pytest.mark.parametrize("levels", [2, 5, 256])
def test_a_small_scale_puts_nearly_everything_on_the_level_of_the_mean(levels):
    """One component at a level's centre, log s at its bound: 2 sigmoid(h / s) - 1, at the ends sigmoid(h / s)."""
    output, top = LogisticMixture(1, levels), levels - 1
    within = 1 / (1 + math.exp(-1 / top / math.exp(-7)))
    for level in {0, levels // 2, top}:
        p = at_every_level(output, torch.tensor([[0.0, 2 * level / top - 1, -1000.0]]).double()).exp()[0]
        assert float(p[level]) == pytest.approx(within if level in (0, top) else 2 * within - 1, abs=1e-9)
        assert p[level] > 0.95


def test_a_large_scale_leaves_the_outer_levels_a_half_each():
    p = at_every_level(LogisticMixture(1, 256), torch.tensor([[0.0, 0.3, 1000.0]]).double()).exp()[0]
    assert float(p[0]) == pytest.approx(0.5, abs=1e-3) and float(p[-1]) == pytest.approx(0.5, abs=1e-3)
    inside = 1 / 255 / (2 * math.exp(7))
    assert torch.allclose(p[1:-1], torch.full((254,), inside).double(), rtol=1e-5), "the bin's width times 1 / (4 s)"


def test_two_levels_and_one_component_are_a_bernoulli_with_logit_mean_over_scale():
    mu, log_s = torch.randn(2, 9, generator=seeded(0)).double()
    numbers = torch.stack([torch.zeros_like(mu), mu, log_s], 1)[:, :, None, None]
    x = torch.randint(0, 2, (9, 1, 1, 1), generator=seeded(1)).double()
    logit = (mu / log_s.exp())[:, None, None, None]
    assert torch.allclose(LogisticMixture(1, 2).log_prob(numbers, x), Bernoulli().log_prob(logit, x), atol=1e-12)


def test_a_mean_far_outside_gives_the_nearest_level():
    p = at_every_level(LogisticMixture(1, 16), torch.tensor([[0.0, -50.0, 0.0], [0.0, 50.0, 0.0]])).exp()
    assert p[0, 0] == pytest.approx(1) and p[1, -1] == pytest.approx(1)


@pytest.mark.parametrize("output", DISCRETE, ids=name)
def test_draws_over_a_fine_grid_of_u_have_the_probabilities_of_log_prob(output):
    """Each level's values of u form one interval, so its share of the grid is right to one step of it."""
    steps = 20_000
    u = (torch.arange(steps).double() + 0.5) / steps
    for row in wild(output, 7, count=4):
        drawn = output.draw(row.expand(steps, -1), u)
        assert (drawn.diff() >= 0).all(), "the inverse of a cumulative distribution rises"
        output.check(drawn[:, None, None, None])
        share = torch.bincount(output.level_of(drawn), minlength=output.levels) / steps
        assert (share - at_every_level(output, row[None]).exp()[0]).abs().max() <= 1.0001 / steps


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_extremes_of_u_draw_levels_that_are_possible(dtype):
    """The first and the last level have no probability at all: neither u = 0 nor the u closest to 1 may draw them."""
    numbers = torch.randn(500, 9, generator=seeded(0), dtype=dtype)
    numbers[:, [0, -1]] = -math.inf
    for u, level in [(0.0, 1), (1 - torch.finfo(dtype).eps / 2, 7)]:
        drawn = Categorical(9).draw(numbers, torch.full((500,), u, dtype=dtype))
        assert (Categorical(9).level_of(drawn) == level).all()


@pytest.mark.parametrize("output", DISCRETE, ids=name)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_drawn_values_are_the_levels_that_data_have(output, dtype):
    numbers, u = wild(output, 5, dtype=dtype), torch.rand(50, generator=seeded(6), dtype=dtype)
    drawn = output.draw(numbers, u)
    levels = torch.arange(output.levels, dtype=dtype) / (output.levels - 1)
    assert drawn.dtype == dtype and torch.isin(drawn, levels).all()
    output.check(levels[None, None, None])


@pytest.mark.parametrize("levels", [2, 16, 50, 256])
def test_a_value_that_rounding_put_beside_its_level_counts_as_that_level(levels):
    """Data are divided by 255, multiplied by 1 / 255, or one float away from either."""
    output, whole = Categorical(levels), torch.arange(levels)
    for x in (whole / (levels - 1), whole * torch.tensor(1 / (levels - 1))):
        for beside in (x, x.nextafter(x - 1), x.nextafter(x + 1)):
            output.check(beside[None, None, None])
            assert torch.equal(output.level_of(beside), whole)


@pytest.mark.parametrize("output", [Categorical(), Categorical(4), LogisticMixture(2, 4)], ids=name)
@pytest.mark.parametrize("value", [0.5, -1 / 255, 256 / 255, 255.0, math.nan, math.inf])
def test_values_on_no_level_are_refused_with_what_to_do(output, value):
    if output.levels == 256 and value == 0.5:
        value = 0.5 / 255
    with pytest.raises(ValueError, match="divide whole numbers"):
        output.check(torch.tensor([0.0, value])[None, None, None])


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Categorical(1), "two levels"),
        (lambda: LogisticMixture(0, 4), "one component"),
        (lambda: Gaussian(0.0), "positive"),
        (lambda: Gaussian(-1.0), "positive"),
        (lambda: Gaussian(math.nan), "positive"),
    ],
)
def test_impossible_distributions_are_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("sigma", [None, 0.2, 3.0])
def test_the_gaussian_is_that_of_torch_distributions_and_its_draw_the_inverse_cdf(sigma):
    output = Gaussian(sigma)
    numbers = torch.randn(30, 2 * output.size, 2, 3, generator=seeded(0)).double()
    x = torch.randn(30, 2, 2, 3, generator=seeded(1)).double()
    mu = numbers[:, :: output.size]
    scale = torch.full_like(mu, sigma) if sigma else (numbers[:, 1::2] / 2).exp()
    normal = torch.distributions.Normal(mu, scale)
    assert torch.allclose(output.log_prob(numbers, x), normal.log_prob(x), atol=1e-12)
    u = torch.rand(30, generator=seeded(2)).double()
    drawn = output.draw(numbers[:, : output.size, 0, 0], u)
    assert torch.allclose(torch.distributions.Normal(mu[:, 0, 0, 0], scale[:, 0, 0, 0]).cdf(drawn), u, atol=1e-12)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_gaussian_draw_is_finite_at_both_ends_of_u(dtype):
    u = torch.tensor([0.0, 1 - torch.finfo(dtype).eps / 2], dtype=dtype)
    drawn = Gaussian(1.0).draw(torch.zeros(2, 1, dtype=dtype), u)
    assert drawn.isfinite().all() and drawn[0] < -5 and drawn[1] > 5


def test_infinite_pixels_are_refused():
    with pytest.raises(ValueError, match="finite"):
        Gaussian(1.0).check(torch.tensor([[[[0.0, math.nan]]]]))


def random_pixelcnn(shape, output, seed):
    torch.manual_seed(seed)
    return PixelCNN(shape, width=2 * shape[0], depth=1, kernel=3, output=output).double()


@pytest.mark.parametrize("output", [Categorical(3), LogisticMixture(2, 3)], ids=name)
@pytest.mark.parametrize("shape", [(1, 2, 3), (3, 1, 2)])
def test_a_pixelcnn_of_three_levels_is_a_distribution_and_draws_from_itself(output, shape):
    """All 729 images of six values: probabilities add up to one, and each value's share of samples is its marginal."""
    model = random_pixelcnn(shape, output, 0)
    every = torch.tensor(list(itertools.product([0.0, 0.5, 1.0], repeat=6))).double().view(-1, *shape)
    with torch.no_grad():
        p = model.log_prob(every).exp()
    assert float(p.sum()) == pytest.approx(1, abs=1e-9)
    count = 4000
    drawn = model.sample(count, seeded(0))
    for value in (0.0, 0.5, 1.0):
        exact, seen = p @ (every == value).double().flatten(1), (drawn == value).double().mean(0).flatten()
        assert (seen - exact).abs().max() < 5 * 0.5 / math.sqrt(count)


@pytest.mark.parametrize("output", [Categorical(3), LogisticMixture(2, 3), Gaussian()], ids=name)
def test_numbers_are_grouped_by_colour_and_a_colour_sees_only_earlier_ones(output):
    """At one pixel, all numbers of red stay as they are when red, green or blue changes, and so on."""
    model, x = random_pixelcnn((3, 2, 2), output, 1), torch.rand(1, 3, 2, 2, generator=seeded(0)).double()
    for colour in range(3):
        changed = x.clone()
        changed[0, colour, 0, 1] += 0.5
        moved = ((model(changed) - model(x))[0, :, 0, 1].view(3, output.size) != 0).any(1)
        assert moved.tolist() == [other > colour for other in range(3)]


def test_green_depends_on_red_through_the_network_although_its_mixture_is_its_own():
    model = random_pixelcnn((3, 1, 1), LogisticMixture(2, 3), 2)
    x = torch.tensor([[0.0, 0.5, 0.5], [1.0, 0.5, 0.5]]).double()[:, :, None, None]
    log_p = model.output.log_prob(model(x), x)[:, :, 0, 0]
    assert log_p[0, 1] != log_p[1, 1]
