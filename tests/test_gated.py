"""The gated PixelCNN has no blind spot, a model sees the field it is asked for, and every pixel sees the code."""

import itertools
import math

import pytest
import torch

from course_lib import zoo
from course_lib.measurement.receptive_field import field_by_gradient, field_by_perturbation, is_past, plain_stack_field
from course_lib.models.gated import GatedLayer, GatedPixelCNN
from course_lib.models.masks import layer_radii
from course_lib.models.pixelcnn import PixelCNN

MODELS = {"gated": GatedPixelCNN, "plain": PixelCNN}
WINDOW, CENTRE = 21, (0, 10, 10)
both = pytest.mark.parametrize("kind", MODELS)


def random_image(shape, seed, count=1):
    return torch.randint(0, 2, (count, *shape), generator=torch.Generator().manual_seed(seed)).double()


def build(kind, shape, seed=0, **arguments):
    """A float64 model in training mode, the ReLUs of its head held open: a shut one would hide what is seen."""
    torch.manual_seed(seed)
    model = MODELS[kind](shape, **arguments).double().train()
    with torch.no_grad():
        model.hidden.bias += 1
        layer = model.layers[-1].mix if kind == "gated" else model.first
        layer.bias += 1
    return model


def random_model(seed, **changes):
    """A gated model of random shape."""
    draw = torch.Generator().manual_seed(seed)

    def pick(options):
        return options[int(torch.randint(len(options), (1,), generator=draw))]

    colours = pick([1, 3])
    arguments = dict(
        shape=(colours, pick([4, 5, 7]), pick([4, 6])),
        width=colours * pick([2, 4]),
        depth=pick([0, 1, 3]),
        kernel=pick([1, 3, 5]),
        first_kernel=pick([3, 5, 7]),
    )
    return build("gated", seed=seed, **{**arguments, **changes})


def rectangle_half(window, field):
    """The past pixels within `field` rows and columns of the centre of a window x window picture."""
    half, near = window // 2, torch.zeros(window, window, dtype=torch.bool)
    near[half - field : half + 1, half - field : half + field + 1] = True
    return near & is_past((1, window, window), (0, half, half))[0]


def seen_from_centre(model):
    """By gradient on eight images, and by flipping each pixel of one: two bool pictures."""
    shape = model.image_shape
    place = (0, shape[1] // 2, shape[2] // 2)
    gradient = field_by_gradient(model, random_image(shape, 0, count=8), place)[0] > 0
    return gradient, field_by_perturbation(model, random_image(shape, 1), place)[0] > 0


# No blind spot, no future.


@pytest.mark.parametrize("first_kernel, kernel, depth", [(7, 3, 7), (21, 3, 0), (3, 7, 3)])
def test_two_stack_field_reaches_every_past_pixel(first_kernel, kernel, depth):
    model = build("gated", (1, WINDOW, WINDOW), width=4, depth=depth, kernel=kernel, first_kernel=first_kernel)
    for seen in seen_from_centre(model):
        assert int(seen.sum()) == 220
        assert torch.equal(seen, is_past((1, WINDOW, WINDOW), CENTRE)[0])


@pytest.mark.parametrize("seed", range(6))
def test_present_and_future_change_no_logit_and_have_no_gradient(seed):
    model = random_model(seed)
    x = random_image(model.image_shape, seed)
    for place in itertools.product(*map(range, model.image_shape)):
        hidden = ~is_past(model.image_shape, place)
        assert (field_by_perturbation(model, x, place)[hidden] == 0).all()
        assert (field_by_gradient(model, x, place)[hidden] == 0).all()


@pytest.mark.parametrize("place", [(0, 2, 2), (1, 2, 2), (2, 2, 2), (2, 0, 0), (1, 3, 4), (0, 4, 0)])
def test_red_green_and_blue_see_all_colours_of_the_past_and_the_earlier_ones_of_their_pixel(place):
    shape = (3, 5, 5)
    model = build("gated", shape, width=6, depth=3, first_kernel=5)
    past = is_past(shape, place)
    assert torch.equal(field_by_gradient(model, random_image(shape, 0, count=8), place) > 0, past)
    assert torch.equal(field_by_perturbation(model, random_image(shape, 1), place) > 0, past)


@pytest.mark.parametrize("shape", [(1, 3, 3), (3, 2, 2), (1, 1, 5), (1, 5, 1)])
def test_probabilities_of_all_images_add_up_to_one(shape):
    model = build("gated", shape, width=6, depth=2)
    every = torch.tensor(list(itertools.product([0.0, 1.0], repeat=math.prod(shape)))).double().view(-1, *shape)
    assert float(model.log_prob(every).logsumexp(0).detach()) == pytest.approx(0, abs=1e-9)


def test_the_link_between_the_stacks_is_taken_before_the_gate():
    """With the vertical gates shut (their sigmoids at 0) the rows above still arrive, through the link alone."""
    model = build("gated", (1, 5, 5), width=4, depth=0, first_kernel=5)
    with torch.no_grad():
        model.layers[0].vertical.bias[4:] = -1e3
        model.layers[0].link.weight[:, 4:] = 0
    assert int(seen_from_centre(model)[0].sum()) == 12


@pytest.mark.parametrize("kind, channels", [("A", 1), ("B", 2)])
def test_a_layer_is_its_formula_place_by_place(kind, channels):
    """a from the rows above, b from the own row and from a; then the gates, and h + where there is an h of the past."""
    torch.manual_seed(0)
    layer, context = GatedLayer(kind, channels, 2, 1, 1, 3).double(), torch.rand(1, 8, 1, 1).double()
    v, h = torch.randn(2, 1, channels, 4, 5, generator=torch.Generator().manual_seed(1)).double()
    present, (to_a, to_b) = kind == "B", context.flatten().chunk(2)
    vertical, horizontal = layer.vertical.weight, layer.horizontal.weight[:, :, 0]
    new_v, new_h = layer(v, h, context)
    for i, j in itertools.product(range(4), range(5)):
        rows = range(i - 1, i + 1) if present else range(i - 1, i)
        above = [(r, c) for r in rows for c in range(j - 1, j + 2) if 0 <= r and 0 <= c < 5]
        row = [c for c in range(j - 1, j + present) if c >= 0]
        a = layer.vertical.bias + to_a + sum(vertical[:, :, r - rows[0], c - j + 1] @ v[0, :, r, c] for r, c in above)
        b = layer.link.weight[:, :, 0, 0] @ a + layer.link.bias + to_b
        b = b + sum(horizontal[:, :, c - j + 1] @ h[0, :, i, c] for c in row)
        gate_a, gate_b = (y[:2].tanh() * y[2:].sigmoid() for y in (a, b))
        mixed = layer.mix.weight[:, :, 0, 0] @ gate_b + layer.mix.bias
        assert torch.allclose(new_v[0, :, i, j], gate_a, rtol=0, atol=1e-12)
        assert torch.allclose(new_h[0, :, i, j], h[0, :, i, j] + mixed if present else mixed, rtol=0, atol=1e-12)


def test_only_the_first_layer_leaves_out_the_present():
    """Its own row in the vertical filter, its own pixel in the horizontal one; a second mask A would lose them."""
    model = build("gated", (1, 5, 5), width=4, depth=2)
    for index, layer in enumerate(model.layers):
        h = torch.rand(1, layer.vertical.in_channels, 5, 5).double()
        below, across = (
            field_by_gradient(part, h, (0, 2, 2)).sum(0) > 0 for part in (layer.vertical, layer.horizontal)
        )
        assert across.nonzero().tolist() == [[2, 1]] + [[2, 2]] * (index > 0)
        assert below.sum(1).tolist() == [0, 3, 3 * (index > 0), 0, 0]


# The field as an argument.


@pytest.mark.parametrize("field", [0, 1, 2, 4, None])
def test_a_gated_model_sees_exactly_the_half_rectangle_that_it_is_asked_for(field):
    model = build("gated", (1, WINDOW, WINDOW), width=4, depth=6, first_kernel=7, field=field)
    for seen in seen_from_centre(model):
        assert torch.equal(seen, rectangle_half(WINDOW, 9 if field is None else field))


@pytest.mark.parametrize("field", [0, 1, 2, 4, None])
def test_a_plain_model_sees_no_further_than_asked_and_reaches_it_on_every_side(field):
    model = build("plain", (1, WINDOW, WINDOW), width=4, depth=4, first_kernel=7, field=field)
    reach = 7 if field is None else field
    for seen in seen_from_centre(model):
        assert not (seen & ~rectangle_half(WINDOW, reach)).any()
        rows, columns = seen.nonzero().unbind(1)
        if reach:
            assert (int(rows.min()), int(columns.min()), int(columns.max())) == (10 - reach, 10 - reach, 10 + reach)
        else:
            assert not seen.any()


def test_a_plain_models_field_in_turns_is_the_field_by_reachability():
    """field = 4 with kernels of 3 leaves four layers of radius 1 and turns the others into 1 x 1."""
    model = build("plain", (1, WINDOW, WINDOW), width=4, depth=6, field=4)
    assert torch.equal(seen_from_centre(model)[0], plain_stack_field(WINDOW, 3, 3, layers=4))


@both
@pytest.mark.parametrize("colours", [1, 3])
@pytest.mark.parametrize("conditioning", ["bias", "maps"])
def test_without_a_field_the_logits_do_not_depend_on_the_image(kind, colours, conditioning):
    code = dict(code_size=2, conditioning=conditioning)
    model = build(kind, (colours, 5, 6), width=6, depth=2, field=0, **code)
    z = torch.randn(1, 2, generator=torch.Generator().manual_seed(0)).double().expand(6, -1)
    logits = model(random_image((colours, 5, 6), 0, count=6), z)
    assert torch.equal(logits, logits[:1].expand_as(logits))


@both
@pytest.mark.parametrize("field", [1, 2])
def test_a_limited_field_holds_for_every_colour(kind, field):
    shape, place = (3, 7, 7), (1, 3, 3)
    model = build(kind, shape, width=6, depth=3, first_kernel=5, field=field)
    seen = field_by_gradient(model, random_image(shape, 0, count=8), place) > 0
    near = torch.zeros(7, 7, dtype=torch.bool)
    near[3 - field : 4, 3 - field : 4 + field] = True
    expected = near & is_past(shape, place)
    assert torch.equal(seen & expected, seen)
    assert torch.equal(seen, expected) or kind == "plain"


@both
def test_a_field_does_not_change_the_number_of_layers_or_their_width(kind):
    full, limited = (build(kind, (1, 8, 8), width=4, depth=5, field=field) for field in (None, 2))
    assert [name for name, _ in full.named_parameters()] == [name for name, _ in limited.named_parameters()]
    assert [p.shape[:2] for p in full.parameters()] == [p.shape[:2] for p in limited.parameters()]


@pytest.mark.parametrize("first_kernel, kernel, depth", [(3, 3, 0), (7, 3, 5), (3, 5, 4), (9, 1, 3)])
def test_radii_never_exceed_the_kernels_add_up_to_the_field_and_start_at_the_first_layer(first_kernel, kernel, depth):
    most = [first_kernel // 2] + depth * [kernel // 2]
    assert layer_radii(None, first_kernel, kernel, depth) == layer_radii(sum(most), first_kernel, kernel, depth) == most
    for field in range(sum(most) + 1):
        radii = layer_radii(field, first_kernel, kernel, depth)
        assert sum(radii) == field and all(r <= m for r, m in zip(radii, most, strict=True))
        assert (radii[0] > 0) == (field > 0)


@both
@pytest.mark.parametrize("field", [-1, 4])
def test_a_field_out_of_reach_is_refused_with_what_to_do(kind, field):
    with pytest.raises(ValueError, match="out of reach.*0 to 3.*depth"):
        MODELS[kind]((1, 8, 8), 4, depth=2, field=field)


@both
@pytest.mark.parametrize("kernels", [dict(kernel=4), dict(first_kernel=6), dict(first_kernel=1), dict(kernel=-1)])
def test_kernels_without_a_centre_or_a_first_one_that_sees_nothing_are_refused(kind, kernels):
    with pytest.raises(ValueError, match="odd"):
        MODELS[kind]((1, 8, 8), 4, 2, **kernels)


# Two ways for a code.


@both
@pytest.mark.parametrize("conditioning", ["bias", "maps"])
@pytest.mark.parametrize("colours, field", [(1, None), (3, None), (1, 0), (3, 1)])
def test_every_pixel_and_the_first_one_too_sees_all_of_the_code(kind, conditioning, colours, field):
    shape = (colours, 4, 5)
    model = build(kind, shape, width=6, depth=2, field=field, code_size=3, conditioning=conditioning)
    z, x = torch.zeros(1, 3).double().requires_grad_(), random_image(shape, 0)
    for place in itertools.product(*map(range, shape)):
        (gradient,) = torch.autograd.grad(model(x, z)[0][place], z)
        assert gradient.abs().min() > 0


@both
def test_maps_can_say_where_and_a_bias_cannot(kind):
    """Nothing but z in a model without a field: maps tell pixels apart, a bias gives all of them one logit."""
    for conditioning, apart in (("bias", False), ("maps", True)):
        model = build(kind, (1, 4, 5), width=4, depth=2, field=0, code_size=2, conditioning=conditioning)
        logits = model(torch.zeros(1, 1, 4, 5).double(), torch.ones(1, 2).double()).flatten()
        assert bool(logits.max() - logits.min() > 1e-6) == apart


def test_each_gate_of_both_stacks_has_a_bias_from_the_code():
    model = build("gated", (1, 4, 4), width=4, depth=2, code_size=3)
    z = torch.ones(1, 3).double()
    model(random_image((1, 4, 4), 0), z).sum().backward()
    for layer in model.layers[:-1]:
        assert (layer.code.weight.grad.abs().sum(1) > 0).all() and layer.code.weight.shape == (16, 3)


@both
def test_another_way_for_the_code_is_refused(kind):
    with pytest.raises(ValueError, match="'bias'.*'maps'.*'film'"):
        MODELS[kind]((1, 4, 4), 4, 1, code_size=2, conditioning="film")


@pytest.mark.parametrize("name", zoo.names())
def test_the_stored_weights_still_fit_the_plain_model(name):
    assert zoo.load(name) is not None
