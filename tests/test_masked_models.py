"""C06 and C07: masked convolutions see the past alone, and a plain stack of them does not see all of it."""

import itertools
import math

import pytest
import torch

from course_lib.measurement.receptive_field import (
    field_by_gradient,
    field_by_perturbation,
    is_past,
    plain_stack_field,
)
from course_lib.models.masks import MaskedConv2d, causal_mask, colour_of_channel, raster_mask
from course_lib.models.pixelcnn import PixelCNN, ResidualBlock


def random_image(shape, seed):
    return torch.randint(0, 2, (1, *shape), generator=torch.Generator().manual_seed(seed)).double()


def random_model(seed, **changes):
    """A float64 PixelCNN of random shape, in training mode."""
    draw = torch.Generator().manual_seed(seed)

    def pick(options):
        return options[int(torch.randint(len(options), (1,), generator=draw))]

    colours = pick([1, 3])
    arguments = dict(
        image_shape=(colours, pick([4, 5, 7]), pick([4, 6])),
        width=colours * pick([2, 4]),
        depth=pick([0, 1, 3]),
        kernel=pick([1, 3, 5]),
        first_kernel=pick([3, 5, 7]),
    )
    torch.manual_seed(seed)
    return PixelCNN(**{**arguments, **changes}).double().train()


@pytest.mark.parametrize("kernel_size", [1, 3, 5, 7, 11])
def test_masks_keep_exactly_the_taps_before_the_centre_in_raster_order(kernel_size):
    before = kernel_size**2 // 2
    for kind, kept in [("A", before), ("B", before + 1)]:
        flat = raster_mask(kind, kernel_size).flatten()
        assert flat.tolist() == [1.0] * kept + [0.0] * (kernel_size**2 - kept)


@pytest.mark.parametrize("kernel_size", [0, 2, -3])
def test_a_mask_without_a_centre_is_refused(kernel_size):
    with pytest.raises(ValueError, match="odd"):
        raster_mask("A", kernel_size)


def test_an_unknown_kind_of_mask_is_refused():
    with pytest.raises(ValueError, match="'A'"):
        raster_mask("C", 3)


@pytest.mark.parametrize(
    "kind, expected", [("A", [[0, 0, 0], [1, 0, 0], [1, 1, 0]]), ("B", [[1, 0, 0], [1, 1, 0], [1, 1, 1]])]
)
def test_at_the_centre_green_sees_red_and_blue_sees_both(kind, expected):
    centre = causal_mask(kind, 6, 6, 3, colours=3)[:, :, 1, 1]
    assert centre[::2, ::2].tolist() == expected
    assert torch.equal(centre[1::2, 1::2], centre[::2, ::2])


def test_channels_that_do_not_split_among_colours_are_refused():
    with pytest.raises(ValueError, match="evenly"):
        colour_of_channel(4, 3)


def test_the_weight_itself_is_left_alone_by_the_mask():
    layer = MaskedConv2d("A", 2, 4, 3)
    before = layer.weight.detach().clone()
    layer(torch.randn(1, 2, 5, 5)).sum().backward()
    assert torch.equal(layer.weight, before)
    assert (before[layer.mask == 0] != 0).any()
    assert (layer.weight.grad[layer.mask == 0] == 0).all()


@pytest.mark.parametrize("shape", [(1, 3, 4), (3, 2, 3)])
def test_the_past_is_what_a_reader_has_read_before_arriving(shape):
    """Walked through row by row, column by column, colour by colour; a place is never part of its own past."""
    colours, height, width = shape
    read = torch.zeros(shape, dtype=torch.bool)
    for row, column, colour in itertools.product(range(height), range(width), range(colours)):
        assert torch.equal(is_past(shape, (colour, row, column)), read)
        read[colour, row, column] = True


def test_a_block_adds_to_what_it_is_given():
    block, h = ResidualBlock(2, 3, 1, 0), torch.randn(1, 4, 3, 3)
    added = block(h, None) - h
    torch.nn.init.zeros_(block.widen.weight)
    assert torch.allclose(block(h, None), h + block.widen.bias[:, None, None]) and added.std() > 0


@pytest.mark.parametrize("seed", range(12))
def test_present_and_future_change_no_logit_to_the_bit(seed):
    model = random_model(seed)
    x, places = random_image(model.image_shape, seed), itertools.product(*map(range, model.image_shape))
    for place in places:
        change = field_by_perturbation(model, x, place)
        assert (change[~is_past(model.image_shape, place)] == 0).all()


@pytest.mark.parametrize("seed", range(12))
def test_gradient_to_present_and_future_is_exactly_zero(seed):
    model = random_model(seed)
    for place in itertools.product(*map(range, model.image_shape)):
        gradient = field_by_gradient(model, random_image(model.image_shape, seed), place)
        assert (gradient[~is_past(model.image_shape, place)] == 0).all()


def test_the_measurement_sees_a_leak_where_there_is_one():
    """Mask B in the first layer lets each pixel see itself, and the two measurements notice."""
    model = random_model(3, image_shape=(1, 5, 5), width=4)
    model.first = MaskedConv2d("B", 1, 8, 3).double()
    x, place = random_image((1, 5, 5), 0), (0, 2, 2)
    assert field_by_perturbation(model, x, place)[place] > 0
    assert field_by_gradient(model, x, place)[place] > 0


@pytest.mark.parametrize("first_kernel, kernel, layers", [(3, 3, 3), (3, 3, 6), (5, 5, 3), (7, 3, 4), (7, 7, 2)])
def test_measured_field_is_the_field_by_reachability(first_kernel, kernel, layers):
    torch.manual_seed(0)
    model = PixelCNN((1, 21, 21), 8, layers - 1, kernel, first_kernel).double()
    x = torch.cat([random_image((1, 21, 21), seed) for seed in range(8)])
    seen = field_by_gradient(model, x, (0, 10, 10))[0] > 0
    assert torch.equal(seen, plain_stack_field(21, first_kernel, kernel, layers))


@pytest.mark.parametrize("kernel", [3, 5, 7, 9])
def test_blind_spot_of_a_deep_plain_stack_follows_the_formula(kernel):
    """Row -d reaches d (k - 1) / 2 columns to the right, so max(0, 10 - d (k - 1) / 2) of 10 stay unseen."""
    half, radius = kernel // 2, 10
    blind = sum(max(0, radius - d * half) for d in range(1, radius + 1))
    seen = plain_stack_field(21, kernel, kernel, layers=21)
    assert int(seen.sum()) == 220 - blind
    assert not (seen & ~is_past((1, 21, 21), (0, 10, 10))[0]).any()


def test_one_by_one_filters_never_widen_the_field():
    assert plain_stack_field(21, 3, 1, 9).sum() == plain_stack_field(21, 3, 1, 1).sum() == 4


@pytest.mark.parametrize("shape", [(1, 2, 2), (1, 3, 3), (3, 2, 2), (1, 1, 5)])
def test_probabilities_of_all_images_add_up_to_one(shape):
    torch.manual_seed(sum(shape))
    model = PixelCNN(shape, width=6, depth=2, kernel=3).double()
    every = torch.tensor(list(itertools.product([0.0, 1.0], repeat=math.prod(shape)))).double().view(-1, *shape)
    assert float(model.log_prob(every).logsumexp(0).detach()) == pytest.approx(0, abs=1e-9)


def test_probabilities_add_up_to_one_for_every_code():
    torch.manual_seed(0)
    model = PixelCNN((1, 2, 3), width=4, depth=1, kernel=3, code_size=2).double()
    every = torch.tensor(list(itertools.product([0.0, 1.0], repeat=6))).double().view(-1, 1, 2, 3)
    for seed in range(3):
        z = torch.randn(1, 2, generator=torch.Generator().manual_seed(seed)).double().repeat(len(every), 1)
        assert float(model.log_prob(every, z).logsumexp(0).detach()) == pytest.approx(0, abs=1e-9)


def test_the_first_pixel_sees_the_code():
    model = random_model(1, image_shape=(1, 4, 4), width=4, depth=1, code_size=3)
    z = torch.zeros(1, 3).double().requires_grad_()
    (gradient,) = torch.autograd.grad(model(random_image((1, 4, 4), 0), z)[0, 0, 0, 0], z)
    assert gradient.abs().min() > 0


def test_samples_follow_the_model_distribution():
    """All 16 images of a 2 x 2 world: frequencies against exact probabilities, chi-square within five deviations."""
    torch.manual_seed(5)
    model, count = PixelCNN((1, 2, 2), width=8, depth=2, kernel=3), 20_000
    with torch.no_grad():
        for p in model.parameters():
            p.mul_(3)
    drawn = model.sample(count, torch.Generator().manual_seed(0))
    every = torch.tensor(list(itertools.product([0.0, 1.0], repeat=4))).view(-1, 1, 2, 2)
    expected = model.log_prob(every).exp().detach() * count
    index = (drawn.flatten(1) @ torch.tensor([8.0, 4.0, 2.0, 1.0])).long()
    observed = torch.bincount(index, minlength=16)
    chi_square = float(((observed - expected) ** 2 / expected).sum())
    assert expected.min() > 5, "the test needs every image to be expected a few times"
    assert chi_square < 15 + 5 * math.sqrt(30)


def test_sampling_takes_its_chance_from_the_generator_alone():
    model = PixelCNN((3, 3, 3), width=6, depth=1)

    def draw(seed):
        return model.sample(5, torch.Generator().manual_seed(seed))

    torch.manual_seed(1)
    first = draw(7)
    torch.manual_seed(2)
    assert torch.equal(first, draw(7))
    assert not torch.equal(first, draw(8))


def test_grey_images_are_refused_with_what_to_do():
    with pytest.raises(ValueError, match="binarise"):
        PixelCNN((1, 4, 4), 4, 1).log_prob(torch.full((2, 1, 4, 4), 0.5))


def test_images_of_another_shape_are_refused():
    with pytest.raises(ValueError, match="shape"):
        PixelCNN((1, 4, 4), 4, 1).log_prob(torch.zeros(2, 1, 5, 4))


@pytest.mark.parametrize(
    "code_size, z, message", [(2, None, "pass z"), (2, torch.zeros(3, 5), "pass z"), (0, torch.zeros(3, 2), "no code")]
)
def test_a_code_that_does_not_fit_the_model_is_refused(code_size, z, message):
    with pytest.raises(ValueError, match=message):
        PixelCNN((1, 4, 4), 4, 1, code_size=code_size).log_prob(torch.zeros(3, 1, 4, 4), z)


@pytest.mark.parametrize("x", [torch.full((1, 1, 3, 3), 0.5), torch.zeros(2, 1, 3, 3)], ids=["grey", "two images"])
def test_perturbation_refuses_what_it_cannot_flip(x):
    with pytest.raises(ValueError, match="one image of zeros and ones"):
        field_by_perturbation(lambda pictures: pictures, x, (0, 1, 1))
