"""Chapter 02: its counts and exact numbers are measured again, and the tools it measures with can fail."""

import functools
import itertools
import math
import time

import pytest
import torch
from torch import nn

from course_lib.experiments import chapter_02
from course_lib.experiments.chapter_02 import (
    CARRIED_OVER,
    EXPERIMENTS,
    FIELDS,
    HALO,
    LIVE_MODELS,
    REMEMBERED_OVER,
    SEEDS,
    SIDES,
    TIMED,
    carrier,
    carriers,
    coins,
    draw_in_quarters,
    field_of,
    last_to_first,
    live_model,
    one_at_a_time,
    open_the_masks,
    patched_model,
    patchwise,
    remember,
    straight_up,
)
from course_lib.measurement.ledger import result, results
from course_lib.measurement.receptive_field import field_by_gradient, is_past
from course_lib.models.masks import MaskedConv2d
from course_lib.models.pixelcnn import PixelCNN
from course_lib.models.pixelrnn import RowLSTM
from course_lib.zoo.recipes import binary_digits

EXACT = ["C04", "C05", "C07", "C08"]


@functools.cache
def measured_again(name):
    return {entry.key: entry.value for entry in EXPERIMENTS[name]()}


@pytest.mark.parametrize("name", EXACT)
def test_exact_results_are_measured_again_and_agree(name):
    found = measured_again(name)
    assert found and {key: result(key).value for key in found} == pytest.approx(found, abs=1e-4)


def test_no_row_of_the_chapter_is_left_over_from_an_older_experiment():
    made_by = {key: row.command.split()[-1] for key, row in results().items()}
    mine = {key for key in made_by if key.split(".")[0] in ("C04", "C05", "C06", "C07", "C08", "02")}
    assert {key for key in mine if made_by[key] in EXACT} == {key for name in EXACT for key in measured_again(name)}
    others = {name: sum(made_by[key] == name for key in mine) for name in set(EXPERIMENTS) - set(EXACT)}
    bits, times = len(REMEMBERED_OVER) * len(carriers(4)), len(SIDES) * len(TIMED)
    assert others == {"C06": 2, "C04.bit": bits, "C05.ms": times, "02.digits": 16, "02.race": 2, "02.mnist": 5}
    assert set(made_by[key] for key in mine) == set(EXPERIMENTS)


def test_two_stacks_and_the_blank_column_see_all_and_each_lack_costs_what_is_said():
    past = is_past((1, 21, 21), (0, 10, 10))[0]
    seen = {name: field_of(model()) for name, model in FIELDS.items()}
    assert torch.equal(seen["gated"], past) and torch.equal(seen["diagonal"], past)
    assert (past & ~seen["no_blank"]).nonzero().tolist() == [[9, 20]]
    triangle = torch.zeros(21, 21, dtype=torch.bool)
    for rows_up in range(11):
        triangle[10 - rows_up, max(0, 8 - rows_up) : 10 + rows_up + (rows_up > 0) * 1] = True
    assert torch.equal(seen["row"], triangle & past)


@pytest.mark.parametrize("name", carriers(4))
@pytest.mark.parametrize("side", [3, 4, 6])
def test_the_first_pixel_is_in_reach_of_the_last_in_every_carrier(name, side):
    x = coins(8, side, torch.Generator().manual_seed(0)).double()
    assert last_to_first(carrier(name, side, 0).double(), x) > -20


@pytest.mark.parametrize("name", LIVE_MODELS)
def test_the_first_pixel_is_in_reach_of_the_last_in_every_model_of_digits(name):
    assert last_to_first(live_model(0, name).double(), binary_digits("test")[:4].double()) > -20


def test_one_layer_fewer_puts_the_first_pixel_out_of_reach():
    x = coins(4, 6, torch.Generator().manual_seed(0)).double()
    short = PixelCNN((1, 6, 6), width=8, depth=3, kernel=3).double()
    assert field_by_gradient(short, x, (0, 5, 5))[0, 0, 0] == 0


def start(name, side):
    return result(f"C04.start.{name}.{side:02d}").value


def test_every_long_way_fades_with_the_distance_and_the_short_one_hardly():
    for name, (near, far) in itertools.product(("row", "diagonal", "small", "gated"), itertools.pairwise(CARRIED_OVER)):
        assert start(name, far) < start(name, near) - 0.5 * (far - near)
    assert start("wide", 28) > start("wide", 4) - 1.5


@pytest.mark.parametrize("side", CARRIED_OVER)
def test_untrained_the_plain_stack_forgets_more_than_either_lstm(side):
    assert start("small", side) < min(start("row", side), start("diagonal", side)) - 0.5


@pytest.mark.parametrize("name", ["small", "gated", "row", "diagonal"])
def test_what_is_lost_per_row_is_the_slope_of_the_ledger_s_rows(name):
    for way in ("start", "up"):
        near, far = (result(f"C04.{way}.{name}.{side}").value for side in ("04", "28"))
        assert chapter_02.lost_per_row(way, name) == pytest.approx((near - far) / 24, abs=1e-9)


def test_the_diagonal_has_twice_the_steps_and_loses_least_from_corner_to_corner():
    lost = {name: chapter_02.lost_per_row("start", name) for name in ("small", "gated", "row", "diagonal")}
    assert lost["diagonal"] + 0.2 < min(lost["gated"], lost["row"]) and max(lost, key=lost.get) == "small"


def test_straight_up_the_row_lstm_loses_least_of_the_long_ways_and_the_diagonal_more_than_the_gated():
    lost = {name: chapter_02.lost_per_row("up", name) for name in ("small", "gated", "row", "diagonal")}
    assert lost["row"] + 0.4 < lost["gated"] < lost["diagonal"] - 0.2 < lost["small"]


class FromAbove(nn.Module):
    """The logit in the middle of the last row is a multiple of the pixel above it in the first; all others are 0."""

    def __init__(self, side):
        super().__init__()
        self.side = side

    def forward(self, x):
        logits = torch.zeros_like(x)
        logits[:, :, -1, self.side // 2] = 1e-3 * x[:, :, 0, self.side // 2]
        return logits


@pytest.mark.parametrize("side", [4, 5])
def test_straight_up_is_from_the_last_row_to_the_first_in_the_middle_column(side):
    assert straight_up(FromAbove(side), torch.rand(3, 1, side, side)) == pytest.approx(-3, abs=1e-6)


def test_the_tables_of_the_claims_hold_the_ends_and_no_row_of_them_is_lost():
    rows = [row for row in results().values() if row.claim in ("C04", "C05")]
    sides = {kind: {row.key[-2:] for row in rows if f".{kind}." in row.key} for kind in ("start", "up", "bit", "ms")}
    assert sides == {"start": {"28"}, "up": {"28"}, "bit": {"08"}, "ms": {"08", "64"}}
    assert {row.key[-5:] for row in rows if "digits" in row.key} == {"after"}


def digits(name, when):
    return result(f"C04.digits.{name}.{when}")


def test_training_lifts_every_gradient_and_the_lstms_most():
    for name in LIVE_MODELS:
        assert digits(name, "after").value > digits(name, "before").value + 1.5
    lstms, cnns = ([digits(name, "after") for name in pair] for pair in (("row", "diagonal"), ("pixelcnn", "gated")))
    assert min(row.value - row.spread for row in lstms) > max(row.value + row.spread for row in cnns)


class FromTheFirst(nn.Module):
    """The last logit is the first pixel, shifted and scaled; all others are 0."""

    def __init__(self, scale, shift=0.0, side=4):
        super().__init__()
        self.scale, self.shift = nn.Parameter(torch.tensor(scale)), shift
        self.image_shape = (1, side, side)

    def forward(self, x):
        last = nn.functional.pad(torch.ones(1, 1), (x.shape[3] - 1, 0, x.shape[2] - 1, 0))
        return self.scale * (x[:, :, :1, :1] + self.shift) * last


def test_the_gradient_of_a_known_slope_is_its_logarithm():
    x = coins(5, 4, torch.Generator().manual_seed(0))
    assert last_to_first(FromTheFirst(0.01), x) == pytest.approx(-2, abs=1e-6)


def test_coins_are_fair_and_the_last_repeats_the_first():
    x = coins(4000, 3, torch.Generator().manual_seed(0))
    assert torch.equal(x[:, 0, 0, 0], x[:, 0, 2, 2])
    assert ((x.mean(0) - 0.5).abs() < 0.04).all()
    flat = x.flatten(1)[:, :-1] - 0.5
    assert ((flat.T @ flat / 4000 - 0.25 * torch.eye(8)).abs() < 0.02).all()


@pytest.mark.parametrize("scale, missing", [(0.0, 1.0), (60.0, 0.0)])
def test_a_bit_is_missing_or_not(monkeypatch, scale, missing):
    monkeypatch.setattr(chapter_02, "BIT_STEPS", 0)
    assert remember(FromTheFirst(scale, shift=-0.5), seed=0) == pytest.approx(missing, abs=1e-6)


def test_what_is_missing_is_the_mean_over_many_pictures_and_follows_the_seed(monkeypatch):
    monkeypatch.setattr(chapter_02, "BIT_STEPS", 0)
    found = [remember(FromTheFirst(3.0), seed) for seed in SEEDS]
    of_black_and_white = (1 + math.log2(1 + math.exp(-3))) / 2
    assert found == pytest.approx([of_black_and_white] * len(SEEDS), abs=0.05) and len(set(found)) == len(SEEDS)


def test_open_masks_hide_nothing_in_any_layer():
    layers = [layer for layer in open_the_masks(live_model(0)).modules() if isinstance(layer, MaskedConv2d)]
    assert len(layers) > 3 and all((layer.mask == 1).all() for layer in layers)


def test_a_wide_filter_learns_to_repeat_the_first_pixel_and_a_short_field_cannot():
    assert remember(carrier("wide", 6, 0), seed=0) < 0.2
    torch.manual_seed(0)
    assert remember(PixelCNN((1, 4, 4), width=4, depth=1, kernel=3), seed=0) > 0.95


def test_over_eight_rows_the_bit_arrives_by_the_wide_filter_alone():
    bit = {name: result(f"C04.bit.{name}.08") for name in carriers(8)}
    assert bit["wide"].value < 0.05
    assert all(bit[name].value > 0.6 for name in ("row", "diagonal", "small"))
    assert result("C04.bit.row.04").value < 0.05 > result("C04.bit.diagonal.04").value
    assert result("C04.bit.small.04").value > 0.95


def test_where_the_gradient_begins_as_a_hundred_thousandth_the_bit_is_lost_but_for_one_run():
    rows = [(name, side) for side in REMEMBERED_OVER for name in carriers(side)]
    missing = {pair: result("C04.bit.{}.{:02d}".format(*pair)) for pair in rows}
    faint = {(name, side): start(name, side) < -5 for name, side in rows}
    assert all(missing[pair].value < 0.05 for pair in rows if not faint[pair])
    lost = {pair for pair in rows if faint[pair]} - {("gated", 6)}
    assert all(missing[pair].value > 0.99 and missing[pair].spread < 0.01 for pair in lost)
    odd = missing["gated", 6]
    assert odd.value == pytest.approx(2 / 3, abs=0.01) and odd.spread == pytest.approx(3**-0.5, abs=0.01)


@pytest.mark.parametrize("side", SIDES)
def test_steps_that_wait_rows_diagonals_and_a_number_of_layers(side):
    waits = {name: result(f"C05.steps.{name}.{side:02d}").value for name in TIMED}
    assert waits == {"row": side, "diagonal": 2 * side, "pixelcnn": 15}


def test_the_layers_that_wait_are_those_that_a_pass_goes_through():
    model, passed = TIMED["pixelcnn"](8), []
    for layer in model.modules():
        if isinstance(layer, nn.Conv2d):
            layer.register_forward_hook(lambda *_: passed.append(1))
    model(torch.zeros(3, 1, 8, 8))
    assert len(passed) == chapter_02.waits(model)


def test_times_grow_least_for_the_pixelcnn_and_are_most_for_the_diagonal():
    ms = {(name, side): result(f"C05.ms.{name}.{side:02d}").value for name in TIMED for side in SIDES}
    growth = {name: ms[name, 32] / ms[name, 8] for name in TIMED}
    assert growth["pixelcnn"] < min(growth["row"], growth["diagonal"])
    assert all(ms["pixelcnn", side] < ms["row", side] < ms["diagonal", side] for side in (16, 32, 64))


def test_timed_work_takes_turns_after_a_warm_up():
    log = []
    found = chapter_02.in_turn({name: lambda name=name: log.append(name) for name in "ab"}, rounds=3)
    assert "".join(log) == "ab" * 4 and all(len(times) == 3 for times in found.values())


def test_waiting_for_others_is_not_counted_as_time():
    assert max(chapter_02.in_turn({"idle": lambda: time.sleep(0.03)}, rounds=2)["idle"]) < 0.015


def random_picture(height, width, seed=0):
    return torch.randint(0, 2, (2, 1, height, width), generator=torch.Generator().manual_seed(seed)).double()


@pytest.mark.parametrize("height, width, size, halo", [(8, 8, 8, 0), (7, 10, 3, 4), (16, 6, 5, 4), (9, 9, 4, 6)])
def test_patches_with_a_halo_as_wide_as_the_field_give_the_whole(height, width, size, halo):
    model, x = patched_model("pixelcnn", 0), random_picture(height, width)
    with torch.no_grad():
        assert torch.allclose(patchwise(model, x, size, halo)[0], model(x), atol=1e-12)


@pytest.mark.parametrize("halo", range(HALO))
def test_a_halo_narrower_than_the_field_does_not(halo):
    model, x = patched_model("pixelcnn", 0), random_picture(16, 16)
    with torch.no_grad():
        assert (patchwise(model, x, 8, halo)[0] - model(x)).abs().max() > 1e-7


def test_patches_are_exact_where_the_halo_holds_the_field_with_a_state_or_without():
    off = {key: result(f"C08.{key}").value for key in chapter_02.PATCHWISE}
    assert off["halo"] == off["far.full"] == off["row.full"] == 0
    assert min(off["bare"], off["far"], off["row"]) > 1e-3


@pytest.mark.parametrize(("name", "field"), [("pixelcnn", 4), ("far", 8)])
def test_the_fields_of_the_patched_models_are_what_they_are_called(name, field):
    x = random_picture(16, 16)
    seen = field_by_gradient(patched_model(name, 0), x, (0, 12, 8))[0] > 0
    rows, columns = seen.nonzero(as_tuple=True)
    assert rows.min() == 12 - field and columns.min() == 8 - field


def test_differences_are_of_one_network_with_itself_and_one_for_each_seed():
    x = random_picture(16, 16)
    assert chapter_02.off_the_whole("far", x, lambda model: model(x)) == [0.0] * len(SEEDS)
    first = chapter_02.off_the_whole("far", x, lambda model: torch.zeros_like(x))
    with torch.no_grad():
        assert first == [pytest.approx(float(patched_model("far", s)(x).abs().max()), abs=1e-8) for s in SEEDS]
    assert chapter_02.off_by_patches("row", x, 4) != chapter_02.off_by_patches("row", x, 0)


def test_a_row_lstm_s_patches_want_all_rows_above():
    model, x = patched_model("row", 0), random_picture(16, 16)
    with torch.no_grad():
        whole = model(x)
        assert all((patchwise(model, x, 8, halo)[0] - whole).abs().max() > 1e-5 for halo in (HALO, 6))
        assert torch.allclose(patchwise(model, x, 8, 16)[0], whole, atol=1e-12)


@pytest.mark.parametrize("size, halo, looked_at", [(8, 0, 1.0), (8, 4, (96 + 96 + 144 + 144) / 256), (16, 4, 1.0)])
def test_what_patches_look_at_is_counted(size, halo, looked_at):
    assert patchwise(nn.Identity(), random_picture(16, 16), size, halo)[1] == looked_at


@pytest.mark.parametrize("model", [PixelCNN((1, 3, 5), width=4, depth=2), RowLSTM((1, 3, 5), width=4, depth=1)])
def test_one_pass_is_a_pass_for_each_pixel_unless_the_model_peeks(model):
    x, model = random_picture(3, 5)[:1], model.double()
    with torch.no_grad():
        assert torch.allclose(one_at_a_time(model, x), model(x), atol=1e-12)
    if isinstance(model, PixelCNN):
        with torch.no_grad():
            assert (one_at_a_time(open_the_masks(model), x) - model(x)).abs().max() > 1e-4


def test_one_at_a_time_wipes_out_the_pixel_itself_and_all_that_follow():
    x = torch.ones(1, 1, 2, 3)
    assert torch.equal(one_at_a_time(nn.Identity(), x), torch.zeros_like(x))
    counted = one_at_a_time(lambda known: known.sum().expand_as(known), x)
    assert torch.equal(counted.flatten(), torch.arange(6.0))


class InkWhere(nn.Module):
    """Certain ink in the first row, or the first column, of whatever picture it is shown."""

    image_shape = (1, 4, 6)

    def __init__(self, row, column):
        super().__init__()
        self.rows, self.columns = row, column

    def forward(self, x):
        logits = torch.full_like(x, -99.0)
        logits[:, :, self.rows, self.columns] = 99.0
        return logits


def test_quarters_are_drawn_apart_and_put_where_they_belong():
    everything, drawn = slice(None), torch.zeros(4, 6)
    drawn[[0, 2]] = 1
    assert torch.equal(draw_in_quarters(InkWhere(0, everything), 3, 0), drawn.expand(3, 1, 4, 6))
    drawn = torch.zeros(4, 6)
    drawn[:, [0, 3]] = 1
    assert torch.equal(draw_in_quarters(InkWhere(everything, 0), 3, 0), drawn.expand(3, 1, 4, 6))


class InkInQuarter(nn.Module):
    """Certain ink in one of four equal parts of the batch."""

    image_shape = (1, 4, 6)

    def __init__(self, quarter):
        super().__init__()
        self.quarter = quarter

    def forward(self, x):
        return torch.cat(
            [torch.full_like(part, 99.0 if i == self.quarter else -99.0) for i, part in enumerate(x.chunk(4))]
        )


@pytest.mark.parametrize(("quarter", "row", "column"), [(0, 0, 0), (1, 0, 3), (2, 2, 0), (3, 2, 3)])
def test_every_quarter_has_its_own_corner(quarter, row, column):
    drawn = torch.zeros(4, 6)
    drawn[row : row + 2, column : column + 3] = 1
    assert torch.equal(draw_in_quarters(InkInQuarter(quarter), 2, 0), drawn.expand(2, 1, 4, 6))


@pytest.mark.parametrize("draw", [draw_in_quarters, chapter_02.draw_whole])
def test_drawings_follow_their_seed(draw):
    model = live_model(0)
    first, again, other = (draw(model, 5, seed) for seed in (3, 3, 4))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_independent_pixels_have_the_training_pictures_frequencies_and_cost_a_sum():
    train, test = torch.ones(4, 1, 1, 2), torch.tensor([[[[1.0, 0.0]]], [[[1.0, 1.0]]]])
    costs = [math.log(6 / 5) + math.log(6), 2 * math.log(6 / 5)]
    assert chapter_02.independent_nll(train, test) == pytest.approx(sum(costs) / 2)


def test_drawings_made_at_once_cost_far_more_than_the_seeds_differ():
    whole, quarters = result("C08.whole"), result("C08.quarters")
    assert quarters.value - quarters.band > 1.5 * (whole.value + whole.band)
    assert quarters.value > result("02.digits.independent").value
    assert abs(whole.value - result("02.digits.nll").value) < 1


def test_all_four_models_beat_independent_pixels_by_more_than_their_bands():
    for key in ("nll", "gated", "row", "diagonal"):
        row = result(f"02.digits.{key}")
        assert row.value + row.band < result("02.digits.independent").value - 4 and row.spread < row.band


def test_the_row_lstm_of_the_chapter_trained_again_lies_in_its_bands():
    model = chapter_02._fitted(live_model(0, "row"), chapter_02.LIVE, 0, binary_digits("train"))
    test = binary_digits("test")
    row = result("02.digits.row")
    assert abs(chapter_02.digits_nll(model, test) - row.value) < row.band
    after = digits("row", "after")
    assert abs(last_to_first(model.double(), test[:50].double()) - after.value) < after.band


@pytest.mark.parametrize("name", LIVE_MODELS)
def test_cached_drawings_are_counted_again_and_a_wrong_cache_is_noticed(monkeypatch, name):
    assert chapter_02._differing(live_model(0, name), 0) == result("02.cached.differ").value == 0
    model = live_model(0, name)
    monkeypatch.setattr(model, "stepper", lambda x, z: lambda *place: torch.full((len(x), 1), 3.0))
    assert chapter_02._differing(model, 0) > 100


def test_keeping_what_is_known_pays_at_the_papers_size():
    assert 5 < result("02.cached.speed").value < 784


def test_the_spreads_of_the_chapter_are_over_three_seeds():
    for key in ("C04.start.row.08", "C04.bit.row.08", "C08.bare", "02.digits.gated"):
        assert result(key).seeds == SEEDS and math.isfinite(result(key).spread) and result(key).spread > 0
