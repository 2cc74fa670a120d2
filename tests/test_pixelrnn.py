"""C05 and C07: Row LSTM and Diagonal BiLSTM, what they see of the past and how long they take."""

import math

import pytest
import torch
import torch.nn.functional as F

from course_lib.measurement.receptive_field import field_by_gradient, field_by_perturbation, is_past
from course_lib.models.diagonal_lstm import DiagonalLayer, skew, unskew
from course_lib.models.line_lstm import LineLSTM
from course_lib.models.pixelrnn import DiagonalBiLSTM, RowLSTM
from course_lib.models.row_lstm import RowLayer

both_models = pytest.mark.parametrize("build", [RowLSTM, DiagonalBiLSTM])
WINDOW, CENTRE = (1, 21, 21), (0, 10, 10)


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def random_images(count, shape, seed=0):
    return torch.randint(0, 2, (count, *shape), generator=seeded(seed)).double()


def random_model(build, shape, seed=0, **arguments):
    torch.manual_seed(seed)
    return build(shape, **{**dict(width=8, depth=1, first_kernel=3), **arguments}).double()


def triangle(window, depth, first_kernel):
    """The field of a Row LSTM from the centre, as its docstring says: row by row, from leftmost to rightmost."""
    seen, centre, reach = torch.zeros(window, window, dtype=torch.bool), window // 2, first_kernel // 2
    for up in range(centre + 1):
        left, right = up + reach + depth, up + reach - 1 if up else -1
        seen[centre - up, max(0, centre - left) : centre + right + 1] = True
    return seen


def scalar_lstm(lstm, inputs, h_before, c_before):
    """Equation 3 at one place, the states before it stacked tap by tap; numbers in and out are vectors."""
    gates = inputs + lstm.state_to_state[0] @ h_before
    o, f, i, g = gates.chunk(4)
    c = f.sigmoid() * c_before + i.sigmoid() * g.tanh()
    return o.sigmoid() * c.tanh(), c


@pytest.mark.parametrize("depth, first_kernel", [(1, 3), (1, 7), (2, 3), (3, 5)])
def test_a_row_lstm_sees_exactly_its_triangle(depth, first_kernel):
    model = random_model(RowLSTM, WINDOW, depth=depth, first_kernel=first_kernel)
    x = random_images(4, WINDOW)
    assert torch.equal(field_by_gradient(model, x, CENTRE)[0] > 0, triangle(21, depth, first_kernel))
    assert torch.equal(field_by_perturbation(model, x[:1], CENTRE)[0] > 0, triangle(21, depth, first_kernel))


def test_more_layers_widen_the_triangle_to_the_left_alone():
    sizes = [int(triangle(21, depth, 3).sum()) for depth in (1, 2, 3, 30)]
    right = [triangle(21, depth, 3)[:, 11:] for depth in (1, 30)]
    assert sizes == [139, 147, 154, 175] and torch.equal(*right)


@pytest.mark.parametrize("depth, first_kernel", [(1, 3), (1, 7), (2, 5)])
def test_a_diagonal_bilstm_sees_all_220_past_pixels(depth, first_kernel):
    model = random_model(DiagonalBiLSTM, WINDOW, depth=depth, first_kernel=first_kernel)
    seen = field_by_gradient(model, random_images(4, WINDOW), CENTRE) > 0
    assert torch.equal(seen, is_past(WINDOW, CENTRE)) and int(seen.sum()) == 220


def test_flipping_each_of_the_220_past_pixels_and_no_other_moves_a_diagonal_bilstm():
    change = field_by_perturbation(random_model(DiagonalBiLSTM, WINDOW), random_images(1, WINDOW), CENTRE)
    assert torch.equal(change > 0, is_past(WINDOW, CENTRE))


@pytest.mark.parametrize("shape, place", [((3, 4, 9), (1, 3, 0)), ((1, 6, 3), (0, 5, 1)), ((1, 1, 6), (0, 0, 5))])
def test_a_diagonal_bilstm_sees_all_the_past_from_the_edges_too(shape, place):
    model = random_model(DiagonalBiLSTM, shape, width=24)
    assert torch.equal(field_by_gradient(model, random_images(16, shape), place) > 0, is_past(shape, place))


@pytest.mark.parametrize("depth", [1, 3])
def test_without_the_blank_column_the_last_pixel_of_the_row_above_is_unseen(depth):
    model = random_model(DiagonalBiLSTM, WINDOW, depth=depth)
    model.blank = 0
    seen = field_by_gradient(model, random_images(4, WINDOW), CENTRE) > 0
    assert (is_past(WINDOW, CENTRE) & ~seen).nonzero().tolist() == [[0, 9, 20]]


@both_models
def test_gradients_to_present_and_future_are_exactly_zero(build):
    shape = (3, 4, 5)
    model = random_model(build, shape, width=6, depth=2).train()
    for place in [(0, 0, 0), (2, 0, 4), (1, 2, 0), (0, 2, 4), (2, 3, 4)]:
        assert (field_by_gradient(model, random_images(2, shape), place)[~is_past(shape, place)] == 0).all()


def test_the_tests_see_what_comes_from_the_right_and_is_not_moved_down(monkeypatch):
    """The LSTM from the right has seen the rest of its row: left where it is, it tells the future."""
    monkeypatch.setattr("course_lib.models.diagonal_lstm.F", unshifted())
    model = random_model(DiagonalBiLSTM, (1, 4, 5))
    leak = field_by_gradient(model, random_images(2, (1, 4, 5)), (0, 2, 1))[~is_past((1, 4, 5), (0, 2, 1))]
    assert (leak > 0).any()


def unshifted():
    class WithoutShift:
        @staticmethod
        def pad(x, margins):
            return x if margins == (0, 0, 0, 0, 1, -1) else F.pad(x, margins)

    return WithoutShift


@pytest.mark.parametrize("height, width", [(1, 1), (1, 4), (5, 1), (3, 4), (6, 2)])
def test_skewing_puts_each_diagonal_in_a_column_and_is_undone(height, width):
    x = torch.arange(1.0, 1 + 2 * height * width * 3).view(2, height, width, 3)
    skewed = skew(x)
    assert skewed.shape == (2, height, height + width - 1, 3) and torch.equal(unskew(skewed), x)
    for row in range(height):
        for column in range(height + width - 1):
            inside = 0 <= column - row < width
            assert torch.equal(skewed[:, row, column], x[:, row, column - row] if inside else torch.zeros(2, 3))


def test_a_row_layer_is_the_lstm_of_equation_3_place_by_place():
    torch.manual_seed(0)
    layer, h, z = RowLayer(3, 1, 2).double(), torch.randn(6, 4, 5, 1).double(), torch.randn(1, 2).double()
    masked, zero = layer.present.weight, torch.zeros(3).double()
    states, cells = {}, {}
    for row in range(4):
        for column in range(5):
            inputs = masked @ h[:, row, column, 0] + layer.present.bias + layer.code(z)[0]
            inputs = inputs + (layer.left.weight @ h[:, row, column - 1, 0] if column else 0)
            before = torch.cat([states.get((row - 1, column + step), zero) for step in (-1, 0, 1)])
            state = scalar_lstm(layer.lstm, inputs, before, cells.get((row - 1, column), zero))
            states[row, column], cells[row, column] = state
    expected = torch.stack([states[r, c] for r in range(4) for c in range(5)], 1).view(3, 4, 5, 1)
    assert torch.allclose(layer(h, z), h + layer.widen(expected), rtol=0, atol=1e-12)


def test_a_diagonal_layer_is_two_lstms_of_equation_3_the_one_from_the_right_a_row_down():
    torch.manual_seed(0)
    layer, h = DiagonalLayer(3, 1, 0).double(), torch.randn(6, 4, 5, 1).double()
    gates, zero, found = layer.present(h)[..., 0].chunk(2), torch.zeros(3).double(), []
    for direction, order in ((0, range(5)), (1, range(4, -1, -1))):
        one, states, cells = LineLSTM(3, 2, 1), {}, {}
        one.state_to_state = torch.nn.Parameter(layer.lstm.state_to_state[direction : direction + 1].detach())
        for row in range(4):
            for column in order:
                beside = (row, column - 1 if direction == 0 else column + 1)
                before = torch.cat([states.get((row - 1, column), zero), states.get(beside, zero)])
                state = scalar_lstm(one, gates[direction][:, row, column], before, cells.get(beside, zero))
                states[row, column], cells[row, column] = state
        found.append(states)
    both = [found[0][r, c] + found[1].get((r - 1, c), zero) for r in range(4) for c in range(5)]
    expected = h + layer.widen(torch.stack(both, 1).view(3, 4, 5, 1))
    assert torch.allclose(layer(h, None), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("build, steps", [(RowLSTM, 2 * 4), (DiagonalBiLSTM, 2 * (4 + 6))])
@pytest.mark.parametrize("count", [1, 7])
def test_sequential_steps_are_the_lstm_steps_that_are_taken_whatever_the_batch(build, steps, count, monkeypatch):
    taken, step = [], LineLSTM.step
    monkeypatch.setattr(LineLSTM, "step", staticmethod(lambda *given: taken.append(1) or step(*given)))
    model = random_model(build, (1, 4, 6), depth=2)
    model(random_images(count, (1, 4, 6)))
    assert model.sequential_steps == len(taken) == steps


@pytest.mark.parametrize("build, per_pixel", [(RowLSTM, 1), (DiagonalBiLSTM, 2)])
def test_cached_sampling_takes_each_lstm_step_of_a_pixel_once(build, per_pixel, monkeypatch):
    """The Diagonal BiLSTM also walks the blank column and, from the right, every row: all but the last."""
    taken, step = [], LineLSTM.step
    monkeypatch.setattr(LineLSTM, "step", staticmethod(lambda *given: taken.append(1) or step(*given)))
    model = random_model(build, (1, 5, 4), depth=2)
    model.sample(3, seeded(0))
    pixels = 5 * 4 if per_pixel == 1 else 5 * 4 + 4 + 4 * 5
    assert len(taken) == 2 * pixels


@both_models
@pytest.mark.parametrize("conditioning", ["bias", "maps"])
def test_a_stepper_holds_no_graph_even_where_gradients_are_on(build, conditioning):
    """The states of a picture would keep the graph of every step before."""
    model = random_model(build, (1, 2, 3), code_size=2, conditioning=conditioning)
    step = model.stepper(random_images(2, (1, 2, 3)), torch.ones(2, 2).double().requires_grad_())
    assert not any(step(row, column, 0).requires_grad for row in range(2) for column in range(3))


@both_models
@pytest.mark.parametrize("first_kernel", [5, 9])
def test_the_first_filter_may_be_larger_than_the_picture(build, first_kernel):
    model = random_model(build, (3, 2, 4), width=6, depth=2, first_kernel=first_kernel)
    drawn = [model.sample(5, seeded(0), cached=cached) for cached in (True, False)]
    assert torch.equal(*drawn) and 0 < drawn[0].mean() < 1


@both_models
@pytest.mark.parametrize("conditioning", ["bias", "maps"])
def test_every_weight_learns_in_float_and_under_bfloat16(build, conditioning):
    arguments = dict(width=12, depth=2, first_kernel=3, code_size=2, conditioning=conditioning)
    model = random_model(build, (3, 4, 5), **arguments).float().train()
    x, z = random_images(8, (3, 4, 5)).float(), torch.randn(8, 2, generator=seeded(0))
    model.log_prob(x, z).sum().backward()
    full = {name: parameter.grad.clone() for name, parameter in model.named_parameters()}
    assert all(grad.isfinite().all() and grad.abs().max() > 0 for grad in full.values())
    model.zero_grad()
    with torch.autocast("cpu", torch.bfloat16):
        log_prob = model.log_prob(x, z)
    log_prob.sum().backward()
    assert log_prob.dtype == torch.float32 and torch.allclose(log_prob, model.log_prob(x, z), atol=0.3)
    for name, parameter in model.named_parameters():
        assert F.cosine_similarity(parameter.grad.flatten(), full[name].flatten(), dim=0) > 0.98


@both_models
def test_the_gradient_of_the_likelihood_is_the_slope_of_the_likelihood(build):
    model, x = random_model(build, (1, 3, 4), width=4, depth=2), random_images(3, (1, 3, 4))
    model.log_prob(x).sum().backward()
    for parameter in model.parameters():
        direction, values = torch.randn(parameter.shape, generator=seeded(1)).double(), []
        for move in (1e-5, -2e-5):
            parameter.data += move * direction
            values.append(float(model.log_prob(x).sum().detach()))
        parameter.data += 1e-5 * direction
        slope = (values[0] - values[1]) / 2e-5
        assert slope == pytest.approx(float((parameter.grad * direction).sum()), rel=1e-4, abs=1e-6)


@both_models
def test_a_few_steps_of_training_lower_the_code_length(build):
    """Stripes: after the first row all is known, so far less than 64 ln 2 = 44.4 nats is needed."""
    model = random_model(build, (1, 8, 8), width=8).float()
    x = random_images(64, (1, 1, 8)).float().expand(64, 1, 8, 8)
    optimiser = torch.optim.Adam(model.parameters(), 0.02)
    for _ in range(30):
        optimiser.zero_grad()
        nll = -model.log_prob(x).mean()
        nll.backward()
        optimiser.step()
    assert float(nll.detach()) < 0.5 * 64 * math.log(2)


@both_models
def test_a_pixelrnn_without_a_layer_is_refused(build):
    with pytest.raises(ValueError, match="depth must be a whole number, 1 or more"):
        build((1, 4, 4), depth=0)
