"""The one look: colours, sizes, and a picture that brings its description along."""

import html
import io
import math
from collections.abc import Sequence

import matplotlib.pyplot as plt
import numpy as np
from IPython.display import display
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from torch import Tensor

# Okabe and Ito (2008), "Color Universal Design": readers of any colour vision tell these apart.
BLUE, VERMILION, GREEN, PURPLE = "#0072B2", "#D55E00", "#009E73", "#CC79A7"
SKY, AMBER = "#56B4E9", "#E69F00"
INK, GREY, FAINT = "#222222", "#6B6B6B", "#D9D9D9"
PALETTE = (BLUE, VERMILION, GREEN, PURPLE, SKY, AMBER, GREY)
SEQUENTIAL, SIGNED = "cividis", "PuOr"

WIDTH = 7.0
"""Inches of a full-width figure."""
DPI = 120
CSS_PIXELS_PER_INCH = 96

LOOK = {
    "font.family": "DejaVu Sans",
    "font.size": 10.5,
    "axes.titlesize": 11.5,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": plt.cycler(color=PALETTE),
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "lines.linewidth": 2.0,
    "legend.frameon": False,
    "image.cmap": SEQUENTIAL,
    "image.interpolation": "nearest",
    "figure.facecolor": "white",
}

FIXED_MARGINS_INCHES = {"left": 0.65, "right": 0.15, "bottom": 0.55, "top": 0.4}
FIXED_GAP_INCHES = 0.75


def figure(
    rows: int = 1, columns: int = 1, width: float = WIDTH, height: float | None = None, fixed: bool = False, **kw
) -> tuple[Figure, Axes | np.ndarray]:
    """A figure in the house style, to be handed to `show` or returned from an explorer's `draw`.

    width, height: inches; the height defaults to 3 inches a row.
    fixed: constant margins in place of a layout engine, which halves the drawing time: meant for sliders.
    kw: as for `matplotlib.pyplot.subplots`.
    Returns the figure and its axes, shaped as `subplots` shapes them.
    """
    plt.rcParams.update(LOOK)
    height = height or 3.0 * rows
    fig, axes = plt.subplots(rows, columns, figsize=(width, height), layout=None if fixed else "constrained", **kw)
    if fixed:
        _fix_margins(fig, rows, columns)
    return fig, axes


def _fix_margins(fig: Figure, rows: int, columns: int) -> None:
    """Places the axes by constant inches, so that a slider never makes the frame jump."""
    width, height = fig.get_size_inches()
    left, right, bottom, top = FIXED_MARGINS_INCHES.values()
    panel_width = (width - left - right - (columns - 1) * FIXED_GAP_INCHES) / columns
    panel_height = (height - bottom - top - (rows - 1) * FIXED_GAP_INCHES) / rows
    fig.subplots_adjust(
        left=left / width,
        right=1 - right / width,
        bottom=bottom / height,
        top=1 - top / height,
        wspace=FIXED_GAP_INCHES / panel_width,
        hspace=FIXED_GAP_INCHES / panel_height,
    )


def png(fig: Figure) -> bytes:
    """The figure as PNG, without date or program name: two runs give the same bytes. The figure stays open.

    256 colours halve the file, and notebooks carry many.
    """
    drawn, packed = io.BytesIO(), io.BytesIO()
    fig.savefig(drawn, format="png", dpi=DPI, pil_kwargs={"compress_level": 0})
    with Image.open(drawn) as picture:
        picture.convert("RGB").quantize(256, dither=Image.Dither.NONE).save(packed, "PNG")
    return packed.getvalue()


def picture_metadata(fig_width_inches: float, alt: str) -> dict:
    """What a saved picture says about itself: its description, its size on the page.

    `alt` is honoured by nbconvert and sites made with it, `vscode_altText` by VS Code, `width` by JupyterLab.
    """
    width = round(fig_width_inches * CSS_PIXELS_PER_INCH)
    return {"alt": alt, "vscode_altText": alt, "width": width}


def show(fig: Figure, alt: str) -> None:
    """Shows a figure once, as a PNG with a description, and closes it.

    alt: what the figure shows and what follows from it, for readers who do not see it. JupyterLab gives no
    alternative text to pictures, so the description also stands under the picture, folded.
    Raises ValueError if alt is empty.
    """
    if not alt.strip():
        raise ValueError("show(fig, alt=...) needs a sentence saying what the figure shows.")
    metadata = {"image/png": picture_metadata(fig.get_size_inches()[0], alt)}
    display({"image/png": png(fig), "text/plain": f"[figure] {alt}"}, raw=True, metadata=metadata)
    folded = f"<details><summary>The figure in words</summary>{html.escape(alt)}</details>"
    display({"text/html": folded}, raw=True)
    plt.close(fig)


def image_grid(
    images: Float[Tensor, "batch channels height width"],
    columns: int = 8,
    title: str = "",
    row_labels: Sequence[str] = (),
    ax: Axes | None = None,
    width: float = WIDTH,
    cmap: str = "gray_r",
    vmin: float = 0.0,
    vmax: float = 1.0,
) -> Figure:
    """A batch as rows of pictures, read like text: ink is dark, paper is white, and a faint line stands between.

    images: [n, 1, h, w] in vmin..vmax, or [n, 3, h, w] in 0..1; the last row may be short.
    row_labels: one word for each row, or none.
    ax: where to draw; a new figure of this width if None. Returns the figure.
    Raises ValueError for any other shape.
    """
    if images.ndim != 4 or images.shape[1] not in (1, 3):
        raise ValueError(f"image_grid wants [n, 1, h, w] or [n, 3, h, w], not {list(images.shape)}.")
    sheet = _sheet(images.detach().cpu().float().numpy(), columns)
    if ax is None:
        room = 0.4 if title else 0.1
        _, ax = figure(width=width, height=width * sheet.shape[0] / sheet.shape[1] + room)
    ax.imshow(sheet, cmap=plt.get_cmap(cmap).with_extremes(bad=FAINT), vmin=vmin, vmax=vmax)
    _label_rows(ax, row_labels, images.shape[2] + 1)
    ax.set_title(title)
    return ax.figure


def _sheet(images: np.ndarray, columns: int) -> np.ndarray:
    """[n, c, h, w] -> [height, width] or [height, width, 3], one pixel between pictures: NaN in grey, 1 in colour."""
    n, channels, h, w = images.shape
    rows = math.ceil(n / columns)
    sheet = np.full((channels, rows * (h + 1) - 1, columns * (w + 1) - 1), np.nan if channels == 1 else 1.0)
    for i, image in enumerate(images):
        y, x = (i // columns) * (h + 1), (i % columns) * (w + 1)
        sheet[:, y : y + h, x : x + w] = image
    return sheet[0] if channels == 1 else sheet.transpose(1, 2, 0)


def _label_rows(ax: Axes, labels: Sequence[str], pitch: int) -> None:
    """Words left of the rows, and no frame."""
    ax.set_xticks([])
    ax.set_yticks([(i + 0.5) * pitch - 1 for i in range(len(labels))], labels)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
