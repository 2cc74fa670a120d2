"""Drawn glyphs: each factor does what its name says, all are independent, and the seed decides everything."""

import itertools
import math

import pytest
import torch

from course_lib.data import binarise, glyphs
from course_lib.data.drawn_glyphs import CHARACTERS, FACTORS, FONTS, PERIOD, RANGES, SIDE, draw_glyph, outline, stripes

PLAIN = dict(character="R", font="DejaVuSans", slant=0.0, thickness=0.0, size=14.0, row=0.0, column=0.0)


@pytest.fixture(scope="module")
def many():
    return glyphs(3000, seed=1)


def drawn(**changes):
    return draw_glyph(**PLAIN | changes)


def moments(picture):
    """Area, middle (row, column) and covariance of the ink, in pixels."""
    area, places = picture.double().sum(), torch.arange(SIDE).double() + 0.5
    row, column = (picture.sum(1) * places).sum() / area, (picture.sum(0) * places).sum() / area
    down, right = (places - row)[:, None], (places - column)[None, :]
    around = [float((picture * a * b).sum() / area) for a, b in ((down, down), (right, right), (-down, right))]
    return float(area), (float(row), float(column)), around


def test_pictures_are_ink_in_0_to_1_with_a_value_of_every_factor(many):
    assert many.images.shape == (3000, 1, SIDE, SIDE) and many.images.dtype == torch.float32
    assert many.images.min() == 0 and many.images.max() == 1 and many.images.flatten(1).sum(1).min() > 10
    assert tuple(many.factors) == FACTORS and all(values.shape == (3000,) for values in many.factors.values())
    for name, (low, high) in RANGES.items():
        assert low <= many.factors[name].min() and many.factors[name].max() <= high
    assert 0.5 < float(binarise(many.images, torch.Generator().manual_seed(0)).sum() / many.images.sum()) < 1.5


def test_each_picture_is_what_its_factors_say(many):
    for i in (0, 17, 2999):
        values = {name: values[i].item() for name, values in many.factors.items()}
        named = values | dict(character=CHARACTERS[values["character"]], font=FONTS[values["font"]])
        assert torch.equal(many.images[i, 0], draw_glyph(**named))


@pytest.mark.parametrize("row, column", [(1, 0), (0, 1), (-2, 2)])
def test_a_whole_pixel_of_place_moves_the_picture_down_and_to_the_right_and_changes_nothing(row, column):
    assert torch.equal(drawn(row=row, column=column), drawn().roll((row, column), (0, 1)))


def test_half_a_pixel_of_place_moves_the_middle_by_half_a_pixel():
    before, after = moments(drawn())[1], moments(drawn(row=0.5, column=-0.25))[1]
    assert after[0] - before[0] == pytest.approx(0.5, abs=0.02)
    assert after[1] - before[1] == pytest.approx(-0.25, abs=0.02)


@pytest.mark.parametrize("character, font", [("R", "DejaVuSans"), ("8", "cmr10"), ("W", "STIXGeneral")])
@pytest.mark.parametrize("slant", [-0.3, 0.2])
def test_slant_is_a_shear(character, font, slant):
    """x' = x + s y, so Cov(x', y) = Cov(x, y) + s Var(y), and the area stays."""
    upright, leaning = (moments(drawn(character=character, font=font, slant=s, size=16.0)) for s in (0.0, slant))
    assert leaning[2][2] - upright[2][2] == pytest.approx(slant * upright[2][0], rel=0.03)
    assert leaning[0] == pytest.approx(upright[0], rel=0.01)


@pytest.mark.parametrize("size", [11.0, 13.5, 16.0])
def test_size_is_the_longer_side_and_the_area_grows_with_its_square(size):
    for character, font in [("H", "DejaVuSans"), ("W", "cmr10"), ("8", "cmtt10")]:
        picture = drawn(character=character, font=font, size=size)
        sides = [int((picture.amax(i) > 0).sum()) for i in (0, 1)]
        assert size <= max(sides) < size + 2
        area = [moments(drawn(character=character, font=font, size=s))[0] for s in (size, 12.0)]
        assert area[0] / area[1] == pytest.approx((size / 12) ** 2, rel=0.02)


@pytest.mark.parametrize("thickness", [0.5, 1.0])
def test_thickness_adds_half_of_itself_along_the_whole_outline(thickness):
    """An L: five convex corners with round joints, one concave; outline t / 2 + (5 pi / 4 - 1) (t / 2)^2."""
    corners = torch.from_numpy(outline("L", "DejaVuSans").vertices[:-1]) * 16
    length = float((corners - corners.roll(1, 0)).norm(dim=1).sum())
    thin, bold = (moments(drawn(character="L", size=16.0, thickness=t))[0] for t in (0.0, thickness))
    joints = (5 * math.pi / 4 - 1) * (thickness / 2) ** 2
    assert bold - thin == pytest.approx(length * thickness / 2 + joints, rel=0.04)


def test_every_character_in_every_font_is_another_picture():
    pictures = torch.stack([drawn(character=c, font=f) for c in CHARACTERS for f in FONTS])
    apart = torch.cdist(pictures.flatten(1), pictures.flatten(1), p=1) + 1e9 * torch.eye(len(pictures))
    assert apart.min() > 2


def test_the_largest_glyph_in_the_farthest_corner_is_whole():
    """The corners of an outline bound its curves; half the thickness lies outside of it."""
    (slant, thickness, size, *place), room = (RANGES[name][1] for name in RANGES), SIDE / 2
    for character, font in itertools.product(CHARACTERS, FONTS):
        path = outline(character, font)
        x, y = torch.from_numpy(path.vertices[path.codes != path.CLOSEPOLY]).T * size
        for sign in (-1, 1):
            reach = torch.stack([(x + sign * slant * y).abs().max(), y.abs().max()]) + thickness / 2
            assert float(reach.max()) + max(place) <= room, (character, font)


def test_factors_are_uniform_and_independent_of_each_other(many):
    """Kolmogorov-Smirnov for each real factor, chi-square for the two that are counted, correlations for all pairs."""
    n = len(many)
    for name, (low, high) in RANGES.items():
        u = ((many.factors[name] - low) / (high - low)).sort().values
        assert float((u - (torch.arange(n) + 0.5) / n).abs().max()) < 1.95 / math.sqrt(n)
    table = torch.zeros(len(CHARACTERS), len(FONTS)).index_put(
        (many.factors["character"], many.factors["font"]), torch.ones(n), accumulate=True
    )
    expected, freedom = n / table.numel(), table.numel() - 1
    assert float(((table - expected) ** 2 / expected).sum()) < freedom + 4 * math.sqrt(2 * freedom)
    correlation = torch.corrcoef(torch.stack([values.double() for values in many.factors.values()]))
    assert (correlation - torch.eye(len(FACTORS))).abs().max() < 4 / math.sqrt(n)


def test_the_seed_decides_everything_and_more_are_the_same_and_others():
    few, more, other = glyphs(5, seed=3, texture=0.5), glyphs(40, seed=3, texture=0.5), glyphs(40, seed=4, texture=0.5)
    assert torch.equal(few.images, more.images[:5])
    assert all(torch.equal(few.factors[name], more.factors[name][:5]) for name in FACTORS)
    whole = torch.cat([more.images, other.images]).flatten(1)
    assert len(whole.unique(dim=0)) == 80


def test_drawing_leaves_the_global_generator_alone():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    glyphs(3)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("texture", [0.25, 1.0])
def test_texture_pales_pairs_of_pixels_that_wander_and_touches_no_factor(texture):
    even, woven = glyphs(200, seed=2), glyphs(200, seed=2, texture=texture)
    assert all(torch.equal(even.factors[name], woven.factors[name]) for name in FACTORS)
    ink = even.images > 0
    share = (woven.images / even.images)[ink]
    assert ((share - 1).abs() < 1e-6).logical_or((share - (1 - texture)).abs() < 1e-6).all()
    assert float((share < 1 - texture / 2).float().mean()) == pytest.approx(0.5, abs=0.02)


def test_the_stripes_turn_left_or_right_by_a_fair_coin_from_row_to_row():
    pale = stripes(torch.rand(400, SIDE, generator=torch.Generator().manual_seed(0)), 1.0) == 0
    assert (pale.sum(2) == SIDE // 2).all() and torch.equal(pale[..., PERIOD:], pale[..., :-PERIOD])
    above, below = pale[:, :-1], pale[:, 1:]
    right = (below[..., 1:] == above[..., :-1]).all(2)
    left = (below[..., :-1] == above[..., 1:]).all(2)
    assert (left ^ right).all()
    assert float(right.float().mean()) == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(right.numel()))
    starts = torch.stack([pale[:, 0].roll(-k, 1)[:, 0] & pale[:, 0].roll(-k, 1)[:, 1] for k in range(PERIOD)], 1)
    assert torch.allclose(starts.float().mean(0), torch.full((PERIOD,), 0.25), atol=0.09)


def test_some_of_them_can_be_taken_and_labelled():
    made = glyphs(20, characters="7aZ")
    some = made[5:9]
    assert len(some) == 4 and torch.equal(some.factors["slant"], made.factors["slant"][5:9])
    assert some.characters == "7aZ" and set(made.factors["character"].tolist()) <= {0, 1, 2}
    split = made.labelled_by("font")
    assert torch.equal(split.labels, made.factors["font"]) and torch.equal(split.images, made.images)
    assert torch.equal(made.labelled_by().labels, made.factors["character"])
    assert len(glyphs(0)) == 0


@pytest.mark.parametrize(
    "arguments, message",
    [
        (dict(count=-1), "0 or more"),
        (dict(count=2.5), "whole number"),
        (dict(count=2, texture=1.5), "between 0 and 1"),
        (dict(count=2, characters=""), "letters"),
        (dict(count=2, characters="A?"), "letters"),
        (dict(count=2, characters="ABA"), "different"),
        (dict(count=2, characters="é"), "letters"),
    ],
)
def test_what_cannot_be_drawn_is_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        glyphs(**arguments)


def test_a_label_is_a_factor_of_finitely_many_values():
    with pytest.raises(ValueError, match="real number"):
        glyphs(2).labelled_by("slant")
