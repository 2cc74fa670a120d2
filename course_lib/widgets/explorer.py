"""Sliders above a picture, and the picture alone where sliders cannot run."""

import base64
import html
import traceback
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import ipywidgets
import matplotlib.pyplot as plt
from matplotlib.figure import Figure

from course_lib.figures.style import CSS_PIXELS_PER_INCH, picture_metadata, png

WIDE_LABELS = {"description_width": "9em"}
PICTURES_KEPT = 64


@dataclass(frozen=True)
class IntRange:
    """A slider over the whole numbers low..high, both included."""

    low: int
    high: int
    start: int | None = None
    step: int = 1
    label: str = ""

    def control(self, label: str) -> ipywidgets.ValueWidget:
        """The slider; it reports when let go, not on the way. Raises ValueError if start lies outside."""
        start = _within(self.low, self.high, self.start)
        return ipywidgets.IntSlider(start, self.low, self.high, self.step, **_looks(label))


@dataclass(frozen=True)
class FloatRange:
    """A slider over low, low + step, ..., high."""

    low: float
    high: float
    start: float | None = None
    step: float = 0.1
    label: str = ""

    def control(self, label: str) -> ipywidgets.ValueWidget:
        """The slider; it reports when let go, not on the way. Raises ValueError if start lies outside."""
        start = _within(self.low, self.high, self.start)
        return ipywidgets.FloatSlider(start, min=self.low, max=self.high, step=self.step, **_looks(label))


@dataclass(frozen=True)
class Choice:
    """A drop-down list of hashable options; the first is the start unless told otherwise."""

    options: Sequence[Hashable]
    start: Hashable = None
    label: str = ""

    def control(self, label: str) -> ipywidgets.ValueWidget:
        """The list. Raises ValueError if start is none of the options."""
        start = self.options[0] if self.start is None else self.start
        if start not in self.options:
            raise ValueError(f"The start {start!r} is none of the options {list(self.options)}.")
        options = [(str(option), option) for option in self.options]
        return ipywidgets.Dropdown(options=options, value=start, **_named(label))


@dataclass(frozen=True)
class Toggle:
    """A box to tick: True or False."""

    start: bool = False
    label: str = ""

    def control(self, label: str) -> ipywidgets.ValueWidget:
        """The box."""
        return ipywidgets.Checkbox(self.start, **_named(label))


Control = IntRange | FloatRange | Choice | Toggle


def _within(low: float, high: float, start: float | None) -> float:
    """start, or low where there is none. Raises ValueError outside low..high."""
    start = low if start is None else start
    if not low <= start <= high:
        raise ValueError(f"The start {start} lies outside {low}..{high}.")
    return start


def _named(label: str) -> dict:
    """What all controls share: a label and room for it. Without a tooltip, ipywidgets sets the tooltip "null"."""
    return {"description": label, "tooltip": label, "style": WIDE_LABELS}


def _looks(label: str) -> dict:
    """What all sliders share: their name, some length, and silence while being dragged."""
    layout = ipywidgets.Layout(width="30em", max_width="100%")
    return {**_named(label), "continuous_update": False, "layout": layout}


class Explorer:
    """A picture and the controls that change it; the last line of a cell.

    draw(**values) -> Figure is called with one value for each control, by name; make its figure with
    `figure(..., fixed=True)`. alt describes the picture: a sentence, or a function alt(**values) -> str.

        Explorer(draw, alt="The field grows with depth.", depth=IntRange(1, 8, start=3), kernel=Choice([3, 5, 7]))

    A saved notebook, GitHub and a terminal have no kernel behind them: they show the picture at the start values,
    or its description. An error in the first drawing is raised; a later one is shown in place of the picture.
    """

    def __init__(self, draw: Callable[..., Figure], *, alt: str | Callable[..., str], **controls: Control):
        self._draw, self._alt = draw, alt
        self._controls = {
            name: control.control(control.label or name.replace("_", " ")) for name, control in controls.items()
        }
        self._picture = lru_cache(PICTURES_KEPT)(self._render)
        # ipywidgets.Image knows no alternative text, and fails in the browser when given a tooltip instead.
        self._shown = ipywidgets.HTML(_img(*self._picture(*self.values.values())))
        self._box = ipywidgets.VBox([*self._controls.values(), self._shown])
        for control in self._controls.values():
            control.observe(self._redraw, names="value")

    @property
    def values(self) -> dict:
        """What the controls say now, by name."""
        return {name: control.value for name, control in self._controls.items()}

    def set(self, **values) -> None:
        """Moves the controls, as a hand would. Raises KeyError for a name that is none of theirs."""
        for name, value in values.items():
            self._controls[name].value = value

    def _render(self, *values) -> tuple[bytes, float, float, str]:
        """PNG, width and height in inches, description; what `draw` left open is closed, even if it failed."""
        named = dict(zip(self._controls, values, strict=True))
        others = set(plt.get_fignums())
        try:
            fig = self._draw(**named)
            if not isinstance(fig, Figure):
                raise TypeError(f"draw(...) must return a matplotlib Figure, not {type(fig).__name__}.")
            words = self._alt(**named) if callable(self._alt) else self._alt
            return png(fig), *fig.get_size_inches(), words
        finally:
            for number in set(plt.get_fignums()) - others:
                plt.close(number)

    def _redraw(self, _change) -> None:
        """Shows the picture of the present values, or what went wrong in drawing it."""
        try:
            self._shown.value = _img(*self._picture(*self.values.values()))
        except Exception as error:  # whatever a drawing raises, its author is the one to read it
            self._shown.value = _trouble(error)

    def __repr__(self) -> str:
        return f"Explorer({', '.join(f'{name}={value!r}' for name, value in self.values.items())})"

    def _repr_mimebundle_(self, **_) -> tuple[dict, dict]:
        """The live controls, the picture, the words: the page shows the first of these that it can."""
        png_bytes, inches, _, words = self._picture(*self.values.values())
        data = {**self._box._repr_mimebundle_(), "image/png": png_bytes, "text/plain": f"{self!r}\n{words}"}
        return data, {"image/png": picture_metadata(inches, words)}


def _img(data: bytes, width: float, height: float, words: str) -> str:
    """A PNG as an HTML element with alternative text; its size (inches) is fixed, so that the page does not jump."""
    pixels = f'width="{width * CSS_PIXELS_PER_INCH:.0f}" height="{height * CSS_PIXELS_PER_INCH:.0f}"'
    source = f"data:image/png;base64,{base64.b64encode(data).decode()}"
    return f'<img src="{source}" alt="{html.escape(words)}" {pixels} decoding="sync" style="height: auto">'


def _trouble(error: Exception) -> str:
    """An error as text, with the line that raised it, announced to screen readers."""
    last = traceback.extract_tb(error.__traceback__)[-1]
    text = f"{type(error).__name__}: {error}\nin {last.name}, line {last.lineno}: {last.line}"
    return f'<pre role="alert">{html.escape(text)}</pre>'
