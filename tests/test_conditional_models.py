"""The contract of every conditional model p(x | z): it sees the past alone, adds up to one, and draws what it says."""

import importlib
import inspect
import itertools
import math
import pkgutil
from collections.abc import Callable
from typing import NamedTuple

import pytest
import torch

import course_lib.models
from course_lib.models.autoregressive import Autoregressive
from course_lib.models.dense import DenseAutoregressive
from course_lib.models.factorised import FactorisedDecoder
from course_lib.models.gated import GatedPixelCNN
from course_lib.models.outputs import Bernoulli, Categorical, Gaussian, LogisticMixture
from course_lib.models.pixelcnn import PixelCNN
from course_lib.models.pixelrnn import DiagonalBiLSTM, RowLSTM

CODE = 3


class Case(NamedTuple):
    """How a small one is built, how a code can enter (None: not), and whether it looks at past pixels."""

    build: Callable[..., Autoregressive]
    arguments: dict
    ways: tuple = (None, "bias", "maps")
    looks: bool = True


# A new model joins by one line.
CASES = {
    "PixelCNN": Case(PixelCNN, dict(width=12, depth=2)),
    "PixelCNN, field 0": Case(PixelCNN, dict(width=12, depth=1, field=0), looks=False),
    "GatedPixelCNN": Case(GatedPixelCNN, dict(width=12, depth=2)),
    "GatedPixelCNN, field 0": Case(GatedPixelCNN, dict(width=12, depth=1, field=0), looks=False),
    "RowLSTM": Case(RowLSTM, dict(width=12, depth=2, first_kernel=3)),
    "DiagonalBiLSTM": Case(DiagonalBiLSTM, dict(width=12, depth=2, first_kernel=3)),
    "dense": Case(DenseAutoregressive, dict(hidden=40), ways=(None, "only")),
    "factorised, mlp": Case(FactorisedDecoder, dict(network="mlp", hidden=8), ways=("only",), looks=False),
    "factorised, conv": Case(FactorisedDecoder, dict(network="conv", hidden=8), ways=("only",), looks=False),
    "factorised, linear": Case(FactorisedDecoder, dict(network="linear"), ways=("only",), looks=False),
}
MODELS = [pytest.param(name, way, id=f"{name}, z {way}") for name, case in CASES.items() for way in case.ways]
every_model = pytest.mark.parametrize("name, way", MODELS)
every_case = pytest.mark.parametrize("name", CASES)

# Non-square images, one row, one column, one colour and three; every output.
PICTURES = {
    "binary": ((1, 4, 5), Bernoulli()),
    "binary colours": ((3, 3, 2), Bernoulli()),
    "one row of three levels": ((1, 1, 5), Categorical(3)),
    "one column": ((1, 5, 1), Bernoulli()),
    "colours of three levels": ((3, 2, 3), Categorical(3)),
    "mixture colours": ((3, 2, 2), LogisticMixture(2, 4)),
}
every_picture = pytest.mark.parametrize("shape, output", PICTURES.values(), ids=PICTURES)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def random_model(name, way, shape, output=None, seed=0, gain=1.0):
    """A float64 model in training mode; `gain` multiplies its weights, so that its pixels depend more strongly."""
    case = CASES[name]
    code = {} if way is None else dict(code_size=CODE) if way == "only" else dict(code_size=CODE, conditioning=way)
    torch.manual_seed(seed)
    model = case.build(shape, output=output, **case.arguments, **code).double().train()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(gain)
    return model


def random_code(way, count, seed=0):
    return None if way is None else torch.randn(count, CODE, generator=seeded(seed)).double()


def random_images(shape, output, count, seed=0):
    top = getattr(output, "levels", 2) - 1
    return torch.randint(0, top + 1, (count, *shape), generator=seeded(seed)).double() / top


def all_images(shape, levels=2):
    values = [level / (levels - 1) for level in range(levels)]
    return torch.tensor(list(itertools.product(values, repeat=math.prod(shape)))).double().view(-1, *shape)


def reading_order(shape):
    """The turn of each value: by row, then column, then colour; flat in the order of storage."""
    colours, height, width = shape
    return torch.arange(math.prod(shape)).view(height, width, colours).permute(2, 0, 1).flatten()


def neighbours(shape):
    """[i, j]: whether i is at the pixel above j or on its left, or an earlier colour of the same pixel."""
    places = torch.tensor(list(itertools.product(*map(range, shape))))
    back = places[None] - places[:, None]
    up_and_left = back[..., 1:].sum(2)
    same = (back[..., 1:] == 0).all(2) & (back[..., 0] > 0)
    return same | ((up_and_left == 1) & (back[..., 1:] >= 0).all(2))


@torch.no_grad()
def moved(model, x, other, way):
    """[image, place]: whether any number of the place differs, to the bit, between two batches of one size."""
    z = None if way is None else random_code(way, 1).expand(len(x), CODE)
    return (model(x, z) != model(other, z)).unflatten(1, (x.shape[1], -1)).any(2).flatten(1)


def influence(model, images, way):
    """[i, j]: whether changing value i of one of the images moves a number of place j."""
    size = images[0].numel()
    still = images.repeat_interleave(size, 0)
    changed = still.flatten(1).view(len(images), size, size).clone()
    changed.diagonal(dim1=1, dim2=2).copy_(images.flatten(1) == 0)
    return moved(model, still, changed.view_as(still), way).view(len(images), size, size).any(0)


def test_every_conditional_model_of_the_library_is_on_the_list():
    for module in pkgutil.iter_modules(course_lib.models.__path__):
        importlib.import_module(f"course_lib.models.{module.name}")
    found, known = set(), [Autoregressive]
    while known:
        derived = [model for model in known.pop().__subclasses__() if model.__module__.startswith("course_lib.models.")]
        known += derived
        found.update(derived)
    found = {model for model in found if not any(other is not model and issubclass(other, model) for other in found)}
    assert found == {case.build for case in CASES.values()}


@every_picture
@every_model
def test_a_change_moves_no_number_before_it_to_the_bit_but_moves_its_neighbours(name, way, shape, output):
    model, order = random_model(name, way, shape, output), reading_order(shape)
    for training in (True, False):
        seen = influence(model.train(training), random_images(shape, output, 8), way)
        assert not (seen & (order[:, None] >= order[None, :])).any()
        assert seen[neighbours(shape)].all() if CASES[name].looks else not seen.any()


@every_picture
@every_model
def test_another_present_and_future_altogether_moves_no_number_to_the_bit(name, way, shape, output):
    model, order = random_model(name, way, shape, output), reading_order(shape)
    x, other = random_images(shape, output, 1), random_images(shape, output, len(order), seed=1)
    future = (order[None, :] >= order[:, None]).view(-1, *shape)
    before = moved(model, x.expand_as(other), torch.where(future, other, x), way) & (order[None, :] <= order[:, None])
    assert not before.any()


WORLDS = {
    "2x2": ((1, 2, 2), Bernoulli(), 2),
    "3x3": ((1, 3, 3), Bernoulli(), 2),
    "1x2 colours": ((3, 1, 2), Bernoulli(), 2),
    "2x1 colours": ((3, 2, 1), Bernoulli(), 2),
    "1x3 of three levels": ((1, 1, 3), Categorical(3), 3),
    "2x2 of three levels, mixtures": ((1, 2, 2), LogisticMixture(2, 3), 3),
}


@pytest.mark.parametrize("shape, output, levels", WORLDS.values(), ids=WORLDS)
@every_model
def test_probabilities_of_all_images_add_up_to_one_whatever_the_code(name, way, shape, output, levels):
    model, images = random_model(name, way, shape, output, gain=1.5), all_images(shape, levels)
    for seed in range(1 if way is None else 2):
        z = None if way is None else random_code(way, 1, seed).expand(len(images), CODE)
        assert float(model.log_prob(images, z).detach().exp().sum()) == pytest.approx(1, abs=1e-11)


@every_picture
@pytest.mark.parametrize("name, way", [pair for pair in MODELS if pair.values[1]])
def test_every_pixel_the_first_included_sees_its_own_code_and_no_other_images(name, way, shape, output):
    model, x = random_model(name, way, shape, output), random_images(shape, output, 2)
    z = random_code(way, 2).requires_grad_()
    numbers = model(x, z).unflatten(1, (shape[0], -1))
    for row, column, colour in {(0, 0, 0), (0, 0, shape[0] - 1), (shape[1] - 1, shape[2] - 1, 0)}:
        for number in numbers[0, colour, :, row, column]:
            (gradient,) = torch.autograd.grad(number, z, retain_graph=True)
            assert gradient[0].abs().min() > 0 and gradient[1].abs().max() == 0


@every_picture
@every_model
def test_cached_sampling_draws_the_naive_images_and_leaves_the_generator_alike(name, way, shape, output):
    model, z = random_model(name, way, shape, output, gain=1.5), random_code(way, 4)
    generators = seeded(7), seeded(7)
    cached, naive = (model.sample(4, g, z, cached=c) for g, c in zip(generators, (True, False), strict=True))
    assert torch.equal(cached, naive)
    assert torch.equal(generators[0].get_state(), generators[1].get_state())


@every_picture
@every_model
def test_cached_numbers_are_the_numbers_of_the_whole_network(name, way, shape, output):
    """Read along an image that is given: rounding aside, every number agrees, drawn pixel or not."""
    model, z, x = random_model(name, way, shape, output), random_code(way, 3), random_images(shape, output, 3)
    numbers = model(x, z).detach().unflatten(1, (shape[0], -1))
    blank = torch.zeros_like(x)
    with torch.no_grad():
        step = model.stepper(blank, z)
        for row, column, colour in itertools.product(range(shape[1]), range(shape[2]), range(shape[0])):
            assert torch.allclose(step(row, column, colour), numbers[:, colour, :, row, column], rtol=0, atol=1e-12)
            blank[:, colour, row, column] = x[:, colour, row, column]


@pytest.mark.parametrize("cached", [True, False])
@every_case
def test_a_sample_takes_one_uniform_number_for_each_value_and_image_in_reading_order(name, cached):
    """So two models with the same generator share their noise: the draw is made again by hand, from a known list."""
    way, (colours, height, width) = CASES[name].ways[-1], (3, 2, 3)
    model, z, x = random_model(name, way, (3, 2, 3)), random_code(way, 4), torch.zeros(4, 3, 2, 3).double()
    generator, drawn_by = seeded(3), seeded(3)
    for row, column, colour in itertools.product(range(height), range(width), range(colours)):
        u = torch.rand(4, generator=generator, dtype=torch.float64)
        x[:, colour, row, column] = (u < torch.sigmoid(model(x, z)[:, colour, row, column])).double()
    assert torch.equal(model.sample(4, drawn_by, z, cached=cached), x)
    assert torch.equal(drawn_by.get_state(), generator.get_state())


@every_case
def test_real_numbers_are_drawn_alike_both_ways_and_no_draw_carries_a_gradient(name):
    """A Gaussian's draw is differentiable: without care an image would hold the graphs of all its pixels."""
    way = CASES[name].ways[-1]
    model, z = random_model(name, way, (1, 3, 4), Gaussian()), random_code(way, 3).requires_grad_()
    cached, naive = (model.sample(3, seeded(7), z, cached=cached) for cached in (True, False))
    assert torch.allclose(cached, naive, rtol=0, atol=1e-10) and not (cached.requires_grad or naive.requires_grad)


@every_case
def test_no_sample_at_all_can_be_asked_for_but_less_than_none_is_refused(name):
    way = CASES[name].ways[-1]
    model = random_model(name, way, (1, 3, 4))
    assert model.sample(0, seeded(0), random_code(way, 0)).shape == (0, 1, 3, 4)
    with pytest.raises(ValueError, match="count must be a whole number, 0 or more; got -1"):
        model.sample(-1, seeded(0), random_code(way, 1))


@every_model
def test_samples_come_as_often_as_log_prob_says(name, way):
    """All 16 images of 2 x 2 pixels: chi-square within five deviations of its mean, and far beyond for pixels that
    ignored each other. The code is short, so that it does not settle the image alone."""
    model, images, count = random_model(name, way, (1, 2, 2), gain=3.0), all_images((1, 2, 2)), 20_000
    z = None if way is None else random_code(way, 1).expand(count, CODE) / 5
    p = model.log_prob(images, None if way is None else z[:16]).exp().detach()
    drawn = model.sample(count, seeded(0), z).flatten(1) @ torch.tensor([8.0, 4.0, 2.0, 1.0]).double()
    observed = torch.bincount(drawn.long(), minlength=16)
    limit = 15 + 5 * math.sqrt(30)
    assert chi_square(observed, p * count) < limit
    assert (chi_square(observed, independent(p, images) * count) > 2 * limit) == CASES[name].looks


def chi_square(observed, expected):
    """sum (observed - expected)^2 / expected, images expected less than five times taken together."""
    rare = expected < 5
    observed, expected = (torch.cat([n[~rare], n[rare].sum(0, keepdim=True)]) for n in (observed, expected))
    return float(((observed - expected) ** 2 / expected.clamp(min=1)).sum())


def independent(p, images):
    """The probability of each image if its pixels kept their own frequencies and knew nothing of each other."""
    ink = p @ images.flatten(1)
    return torch.where(images.flatten(1) == 1, ink, 1 - ink).prod(1)


@every_case
def test_a_code_that_does_not_fit_is_refused_with_what_to_do(name):
    x, ways = torch.zeros(3, 1, 4, 4).double(), CASES[name].ways
    for way in filter(None, ways):
        model = random_model(name, way, (1, 4, 4))
        for z in (None, random_code(way, 2), torch.zeros(3, CODE + 1).double(), random_code(way, 3).float()):
            message = "pass z of shape" if z is None or z.dtype == x.dtype else r"pass z.to\(torch.float64\)"
            for ask in (model, model.log_prob, lambda x, z: model.sample(3, seeded(0), z)):
                with pytest.raises(ValueError, match=message):
                    ask(x, z)
    if None in ways:
        for ask in (model := random_model(name, None, (1, 4, 4))), model.log_prob:
            with pytest.raises(ValueError, match="no code"):
                ask(x, random_code("bias", 3))
        with pytest.raises(ValueError, match="no code"):
            model.sample(3, seeded(0), random_code("bias", 3))


@pytest.mark.parametrize("name", [name for name, case in CASES.items() if "maps" in case.ways])
def test_an_unknown_way_for_the_code_is_refused(name):
    with pytest.raises(ValueError, match="'bias'"):
        random_model(name, "mask", (1, 4, 4))


@every_case
def test_images_of_another_shape_or_with_other_values_are_refused(name):
    way = CASES[name].ways[0]
    model, z = random_model(name, way, (1, 4, 4)), random_code(way, 2)
    for shape in [(1, 5, 4), (3, 4, 4)]:
        with pytest.raises(ValueError, match="shape"):
            model.log_prob(torch.zeros(2, *shape).double(), z)
    for dtype in (torch.uint8, torch.int64, torch.bool):
        with pytest.raises(ValueError, match=r"x.float\(\)"):
            model.log_prob(torch.zeros(2, 1, 4, 4, dtype=dtype), z)
    with pytest.raises(ValueError, match="binarise"):
        model.log_prob(torch.full((2, 1, 4, 4), 0.5).double(), z)
    with pytest.raises(ValueError, match="levels"):
        random_model(name, way, (1, 4, 4), Categorical(4)).log_prob(torch.full((2, 1, 4, 4), 0.5).double(), z)


REFUSED = [
    (dict(image_shape=(4, 4)), "colours, height, width"),
    (dict(image_shape=(0, 4, 4)), "colours, height, width"),
    (dict(image_shape=(1, 4.0, 4)), "colours, height, width"),
    (dict(image_shape=4), "colours, height, width"),
    (dict(code_size=-1), "code_size must be a whole number, 0 or more; got -1"),
    (dict(width=0), "width must be a whole number, 1 or more; got 0"),
    (dict(width=-3), "width must be a whole number, 1 or more; got -3"),
    (dict(width=5, image_shape=(3, 4, 4)), "multiple of 3"),
    (dict(depth=-1), "depth must be a whole number, . or more; got -1"),
    (dict(first_kernel=4), "odd"),
    (dict(first_kernel=1), "at least 3"),
    (dict(first_kernel=0), "at least 3"),
    (dict(hidden=0), "hidden must be a whole number, 1 or more; got 0"),
]


@pytest.mark.parametrize(
    "name, changes, message",
    [
        pytest.param(name, changes, message, id=f"{name}, {changes}")
        for name, case in CASES.items()
        for changes, message in REFUSED
        if changes.keys() <= inspect.signature(case.build).parameters.keys()
    ],
)
def test_arguments_that_no_model_can_be_built_from_are_refused_by_name(name, changes, message):
    usual = dict(image_shape=(1, 4, 4), code_size=2) | CASES[name].arguments
    with pytest.raises(ValueError, match=message):
        CASES[name].build(**usual | changes)
