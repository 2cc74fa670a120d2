"""The explorer: what it shows with a kernel behind it, without one, and when drawing fails."""

import matplotlib.pyplot as plt
import pytest

from course_lib.figures import figure
from course_lib.widgets import Choice, Explorer, FloatRange, IntRange, Toggle

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def draw_field(depth, kernel):
    """A line whose slope is the kernel; depth 5 cannot be drawn."""
    fig, ax = figure(fixed=True, height=1.5, width=2.0)
    if depth == 5:
        raise ValueError("depth <5> cannot be drawn")
    ax.plot([0, depth], [0, depth * kernel])
    return fig


def explorer(draw=draw_field, alt="A rising line."):
    return Explorer(draw, alt=alt, depth=IntRange(1, 8, start=3), kernel=Choice([3, 5, 7]))


def test_saved_notebook_holds_picture_description_and_values():
    data, metadata = explorer()._repr_mimebundle_()
    assert data["image/png"].startswith(PNG_SIGNATURE)
    assert data["text/plain"] == "Explorer(depth=3, kernel=3)\nA rising line."
    assert metadata["image/png"]["alt"] == "A rising line."
    assert "application/vnd.jupyter.widget-view+json" in data


def test_equal_explorers_give_equal_bytes():
    first, second = explorer()._repr_mimebundle_()[0], explorer()._repr_mimebundle_()[0]
    assert first["image/png"] == second["image/png"]
    assert first["text/plain"] == second["text/plain"]


def test_moving_a_slider_changes_the_picture():
    e = explorer()
    before = e._shown.value
    e.set(depth=8)
    assert e._shown.value != before
    assert e.values == {"depth": 8, "kernel": 3}


def test_sliders_report_only_when_let_go():
    e = Explorer(lambda **_: figure()[0], alt="Empty axes.", n=IntRange(1, 3), x=FloatRange(0.0, 1.0))
    assert not any(control.continuous_update for control in e._controls.values())


def test_every_kind_of_control_hands_its_value_to_draw():
    seen = {}

    def draw(**values):
        seen.update(values)
        return figure()[0]

    controls = {"n": IntRange(1, 3), "x": FloatRange(0, 1, start=0.5), "mask": Choice(["A", "B"], start="B")}
    Explorer(draw, alt="Empty axes.", **controls, gated=Toggle(True))
    assert seen == {"n": 1, "x": 0.5, "mask": "B", "gated": True}


def test_labels_read_as_words():
    e = Explorer(lambda **_: figure()[0], alt="x", kernel_size=IntRange(1, 3), n=IntRange(1, 3, label="layers"))
    assert [control.description for control in e._controls.values()] == ["kernel size", "layers"]


def test_description_follows_the_values_and_names_the_picture():
    e = explorer(alt=lambda depth, kernel: f"Slope <{kernel}>, up to {depth}.")
    e.set(depth=7, kernel=5)
    assert 'alt="Slope &lt;5&gt;, up to 7."' in e._shown.value
    assert e._repr_mimebundle_()[1]["image/png"]["alt"] == "Slope <5>, up to 7."


def test_failing_drawing_is_told_under_the_controls_and_forgotten_afterwards():
    e = explorer()
    e.set(depth=5)
    assert "ValueError: depth &lt;5&gt; cannot be drawn" in e._shown.value
    assert 'role="alert"' in e._shown.value and "<img" not in e._shown.value
    e.set(depth=6)
    assert "<img" in e._shown.value and "alert" not in e._shown.value


def test_failing_first_drawing_raises_in_its_cell():
    with pytest.raises(ValueError, match="cannot be drawn"):
        Explorer(draw_field, alt="x", depth=IntRange(5, 8), kernel=Choice([3]))


def test_draw_must_return_a_figure():
    with pytest.raises(TypeError, match="must return a matplotlib Figure, not NoneType"):
        Explorer(lambda n: None, alt="x", n=IntRange(1, 2))


def test_figures_are_closed_even_when_drawing_fails():
    before = plt.get_fignums()
    e = explorer()
    for depth in (4, 5, 6):
        e.set(depth=depth)
    assert plt.get_fignums() == before


def test_same_values_are_drawn_once_and_memory_is_bounded():
    calls = []

    def draw(n):
        calls.append(n)
        return figure(fixed=True, width=1.5, height=1.0)[0]

    e = Explorer(draw, alt="Empty axes.", n=IntRange(1, 100))
    e.set(n=2)
    e.set(n=1)
    e.set(n=2)
    assert calls == [1, 2]
    assert e._picture.cache_info().maxsize == 64


@pytest.mark.parametrize(
    "control", [IntRange(1, 8, start=9), FloatRange(0.0, 1.0, start=-0.1), Choice([3, 5], start=4)]
)
def test_start_outside_the_range_is_refused(control):
    with pytest.raises(ValueError, match="start"):
        Explorer(lambda n: figure()[0], alt="x", n=control)
