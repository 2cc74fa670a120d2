"""The one look: readable without colour vision, without sight, and in few bytes."""

import itertools

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
from matplotlib.colors import to_rgb

from course_lib.figures import PALETTE, figure, image_grid, png, show

# Machado, Oliveira and Fernandes (2009), severity 1, on linear RGB.
COLOUR_VISION = {
    "usual": np.eye(3),
    "protanopia": np.array([[0.152, 1.053, -0.205], [0.115, 0.786, 0.099], [-0.004, -0.048, 1.052]]),
    "deuteranopia": np.array([[0.367, 0.861, -0.228], [0.280, 0.673, 0.047], [-0.012, 0.043, 0.969]]),
    "tritanopia": np.array([[1.256, -0.077, -0.179], [-0.078, 0.931, 0.148], [0.005, 0.691, 0.304]]),
}
RGB_TO_XYZ = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]])


def lab(colour: str, vision: np.ndarray) -> np.ndarray:
    """CIE L*a*b* (D65) of a colour as seen with this vision."""
    rgb = np.array(to_rgb(colour))
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    xyz = RGB_TO_XYZ @ np.clip(vision @ linear, 0, 1) / np.array([0.9505, 1.0, 1.089])
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.array([116 * f[1] - 16, 500 * (f[0] - f[1]), 200 * (f[1] - f[2])])


@pytest.mark.parametrize("vision", COLOUR_VISION)
def test_colours_differ_for_every_colour_vision(vision):
    pairs = itertools.combinations(PALETTE, 2)
    distances = {pair: np.linalg.norm(np.subtract(*(lab(c, COLOUR_VISION[vision]) for c in pair))) for pair in pairs}
    assert min(distances.values()) > 10, min(distances, key=distances.get)


def sample_figure(fixed=False):
    fig, axes = figure(1, 2, fixed=fixed)
    for ax in axes:
        ax.plot([0, 1, 2], [3, 1, 2], label="loss")
        ax.set(title="The loss falls, then rises", xlabel="step", ylabel="nats per image")
        ax.legend()
    return fig


@pytest.mark.parametrize("fixed", [False, True])
def test_equal_figures_give_equal_bytes_under_60_kB(fixed):
    first, second = png(sample_figure(fixed)), png(sample_figure(fixed))
    plt.close("all")
    assert first == second
    assert b"Software" not in first and b"tIME" not in first
    assert len(first) < 60_000


@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 2), (2, 1), (2, 3)])
def test_fixed_margins_cut_no_label_off(rows, columns):
    fig, axes = figure(rows, columns, fixed=True)
    for ax in np.atleast_1d(axes).flat:
        ax.plot([0, 1], [0.0, 0.8])
        ax.set(title="Title", xlabel="step", ylabel="nats")
        box = ax.get_tightbbox(fig.canvas.get_renderer())
        assert box.x0 >= 0 and box.y0 >= 0
        assert box.x1 <= fig.bbox.x1 and box.y1 <= fig.bbox.y1
    plt.close(fig)


def shown(monkeypatch) -> list[tuple[dict, dict]]:
    """What `show` sends to the notebook from here on: data and metadata."""
    sent = []
    monkeypatch.setattr(
        "course_lib.figures.style.display", lambda data, raw, metadata=None: sent.append((data, metadata))
    )
    return sent


def test_show_sends_one_picture_with_its_description_and_closes_it(monkeypatch):
    sent = shown(monkeypatch)
    fig = sample_figure()
    show(fig, alt="Loss <3.")
    (picture, metadata), (words, _) = sent
    assert picture["text/plain"] == "[figure] Loss <3."
    assert metadata["image/png"]["alt"] == "Loss <3."
    assert words["text/html"] == "<details><summary>The figure in words</summary>Loss &lt;3.</details>"
    assert fig.number not in plt.get_fignums()


def test_show_insists_on_a_description():
    with pytest.raises(ValueError, match="needs a sentence"):
        show(sample_figure(), alt=" ")
    plt.close("all")


def test_image_grid_reads_like_text_and_leaves_missing_pictures_blank():
    images = torch.linspace(0.1, 0.5, 5).reshape(5, 1, 1, 1).expand(5, 1, 4, 6)
    fig = image_grid(images, columns=3, title="Five", row_labels=["data", "model"])
    sheet = fig.axes[0].images[0].get_array()
    assert sheet.shape == (2 * 5 - 1, 3 * 7 - 1)
    assert sheet[1, 15] == pytest.approx(0.3) and sheet[6, 1] == pytest.approx(0.4)
    assert np.ma.getmaskarray(sheet)[6, 15]
    assert [label.get_text() for label in fig.axes[0].get_yticklabels()] == ["data", "model"]
    plt.close(fig)


def test_image_grid_takes_colour_and_existing_axes():
    fig, ax = figure()
    assert image_grid(torch.rand(4, 3, 5, 5, generator=torch.Generator().manual_seed(0)), 2, ax=ax) is fig
    assert ax.images[0].get_array().shape == (11, 11, 3)
    plt.close(fig)


@pytest.mark.parametrize("shape", [(28, 28), (4, 28, 28), (4, 2, 28, 28)])
def test_image_grid_names_the_shape_it_cannot_draw(shape):
    with pytest.raises(ValueError, match=r"wants \[n, 1, h, w\] or \[n, 3, h, w\]"):
        image_grid(torch.zeros(shape))
