"""Sampling that computes only what is new draws, to the pixel, what the naive loop over full images draws."""

import itertools

import pytest
import torch

from course_lib import zoo
from course_lib.models.gated import GatedPixelCNN
from course_lib.models.masks import MaskedConv2d
from course_lib.models.outputs import Bernoulli, Categorical
from course_lib.models.pixelcnn import PixelCNN

MODELS = {"gated": GatedPixelCNN, "plain": PixelCNN}
FIELDS = [0, 1, 2, 3, None]
both = pytest.mark.parametrize("kind", MODELS)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


def random_case(kind, seed, **changes):
    """A float64 model of random shape, kernels and way for the code, its weights enlarged; and how many to draw."""
    draw = seeded(seed)

    def pick(options):
        return options[int(torch.randint(len(options), (1,), generator=draw))]

    colours, code_size = pick([1, 3]), pick([0, 3])
    arguments = dict(
        image_shape=(colours, pick([1, 3, 5]), pick([1, 4, 6])),
        width=colours * pick([2, 4]),
        depth=pick([0, 1, 3]),
        kernel=pick([1, 3, 5]),
        first_kernel=pick([3, 5, 7]),
        code_size=code_size,
        conditioning=pick(["bias", "maps"]),
        output=pick([Bernoulli(), Categorical(3)]),
    )
    return enlarged(kind, seed, **{**arguments, **changes}), pick([1, 2, 5])


def enlarged(kind, seed=0, **arguments):
    """Twice the usual weights, so that pixels depend strongly on one another and on the code."""
    torch.manual_seed(seed)
    model = MODELS[kind](**arguments).double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(2)
    return model


def random_code(model, count, seed=0):
    return torch.randn(count, model.code_size, generator=seeded(seed)).double() if model.code_size else None


def assert_cached_is_naive(model, count, seed=0):
    z = random_code(model, count, seed)
    naive, cached = (model.sample(count, seeded(seed), z, cached=cached) for cached in (False, True))
    assert torch.equal(naive, cached)
    assert_steps_are_the_forward_pass(model, cached, z)


def assert_steps_are_the_forward_pass(model, x, z):
    """The numbers themselves, pixel by pixel, while the image fills up; what is not drawn yet is noise."""
    with torch.no_grad():
        expected = model(x, z)
    canvas, size = torch.full_like(x, 7.0), model.output.size
    step = model.stepper(canvas, z)
    colours, height, width = model.image_shape
    for row, column, colour in itertools.product(range(height), range(width), range(colours)):
        numbers = step(row, column, colour)
        assert not numbers.requires_grad
        torch.testing.assert_close(numbers, expected[:, colour * size : (colour + 1) * size, row, column])
        canvas[:, colour, row, column] = x[:, colour, row, column]


@both
@pytest.mark.parametrize("seed", range(16))
def test_cached_samples_are_the_naive_ones_for_random_shapes(kind, seed):
    model, count = random_case(kind, seed)
    assert_cached_is_naive(model, count, seed)


@both
@pytest.mark.parametrize("colours", [1, 3])
@pytest.mark.parametrize("conditioning", [None, "bias", "maps"])
@pytest.mark.parametrize("field", FIELDS)
def test_cached_samples_are_the_naive_ones_for_every_field_and_way_of_the_code(kind, colours, conditioning, field):
    code = dict(code_size=3, conditioning=conditioning) if conditioning else {}
    shape, kernels = (colours, 5, 4), dict(depth=2, kernel=3, first_kernel=5)
    assert_cached_is_naive(enlarged(kind, image_shape=shape, width=6, field=field, **kernels, **code), count=3)


@both
@pytest.mark.parametrize("count", [0, 1, 7])
def test_any_number_of_samples_can_be_drawn(kind, count):
    model = enlarged(kind, image_shape=(1, 4, 5), width=4, depth=1, code_size=2)
    assert_cached_is_naive(model, count)
    assert model.sample(count, seeded(), random_code(model, count)).shape == (count, 1, 4, 5)


@both
def test_a_28_by_28_model_in_float32_draws_the_same_images_both_ways(kind):
    """Rounding differs between the two ways by about 1e-7 of a probability; none of these 784 draws lies that near."""
    model = enlarged(kind, image_shape=(1, 28, 28), width=4, depth=2, first_kernel=7).float()
    naive, cached = (model.sample(1, seeded(), cached=cached) for cached in (False, True))
    assert torch.equal(naive, cached) and 0.1 < float(cached.mean()) < 0.9


def test_a_trained_model_draws_the_same_digits_both_ways():
    """Weights of the zoo, 8 x 8, conditioned on codes."""
    decoder, z = zoo.load("puzzle_a").decoder, torch.randn(8, 8, generator=seeded())
    assert torch.equal(decoder.sample(8, seeded(), z, cached=False), decoder.sample(8, seeded(), z))


@both
def test_one_stepper_can_be_asked_while_another_is_under_way(kind):
    """Each keeps its own rows: two canvases filled in turns get what each would get alone."""
    model = enlarged(kind, image_shape=(1, 3, 4), width=4, depth=1)
    images = [torch.randint(0, 2, (2, 1, 3, 4), generator=seeded(seed)).double() for seed in (0, 1)]
    steps = [model.stepper(x, None) for x in images]
    for row, column in itertools.product(range(3), range(4)):
        for step, x in zip(steps, images, strict=True):
            torch.testing.assert_close(step(row, column, 0), model(x)[:, :, row, column].detach())


@both
def test_a_stepper_holds_no_graph_even_where_gradients_are_on(kind):
    model = enlarged(kind, image_shape=(1, 3, 3), width=4, depth=1, code_size=2)
    z = torch.ones(1, 2).double().requires_grad_()
    step = model.stepper(torch.zeros(1, 1, 3, 3).double(), z)
    assert not any(step(row, column, 0).requires_grad for row, column in itertools.product(range(3), range(3)))


@both
def test_a_cached_step_costs_what_is_new_and_not_the_whole_image(kind, monkeypatch):
    """Multiply-adds of all convolutions and products while 8 x 8 pixels are drawn: one forward pass, not 64."""
    model = enlarged(kind, image_shape=(1, 8, 8), width=16, depth=3)
    counts = {cached: work(lambda cached=cached: model.sample(1, seeded(), cached=cached)) for cached in (False, True)}
    once = work(lambda: model(torch.zeros(1, 1, 8, 8).double()))
    assert counts[False] == 64 * once
    assert counts[True] < 1.1 * once


def work(run):
    """Floating-point operations of the matrix products and convolutions in run()."""
    from torch.utils.flop_counter import FlopCounterMode

    with FlopCounterMode(display=False) as counter, torch.no_grad():
        run()
    return counter.get_total_flops()


def test_a_network_whose_masks_were_opened_is_run_whole():
    """It looks ahead, so nothing may be kept: both ways are the naive one."""
    model = enlarged("plain", image_shape=(1, 4, 5), width=4, depth=2)
    for layer in model.modules():
        if isinstance(layer, MaskedConv2d):
            layer.mask.fill_(1)
    assert torch.equal(model.sample(4, seeded()), model.sample(4, seeded(), cached=False))


@both
def test_a_missing_code_is_refused_before_the_first_pixel(kind):
    model = MODELS[kind]((1, 4, 4), 4, 1, code_size=2)
    with pytest.raises(ValueError, match="pass z"):
        model.sample(2, seeded())
