"""Letters and digits drawn by the library itself, each from factors that are known."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from .noise import uniform
from .splits import Split

SIDE, PERIOD = 28, 4
CHARACTERS = "ABCDEFGHJKLMNPQRSTUVWXYZ0123456789"
"""Without I and O, which some of the fonts draw like 1 and 0."""
FONTS = ("DejaVuSans", "DejaVuSerif", "STIXGeneral", "cmr10", "cmss10", "cmtt10")
RANGES = {
    "slant": (-0.35, 0.35),
    "thickness": (0.0, 1.5),
    "size": (11.0, 16.0),
    "row": (-2.0, 2.0),
    "column": (-2.0, 2.0),
}
"""Of the factors that are real numbers. Even the largest glyph in the farthest corner is whole."""
FACTORS = ("character", "font", *RANGES)


@dataclass(frozen=True, eq=False)
class Glyphs:
    """Drawn characters with the factors that each was drawn from.

    images: float32 in [0, 1], [n, 1, 28, 28]; 0 is paper, 1 is ink.
    factors: by name of FACTORS, [n]: "character" and "font" are int64 numbers into `characters` and FONTS; "slant" is
    how far a point moves to the right for each pixel upwards; "thickness" the pixels added to every stroke; "size" the
    longer side of the upright character in pixels; "row" and "column" how far its middle lies below and to the right
    of the picture's, in pixels.
    """

    images: Float[Tensor, "n 1 28 28"]
    factors: dict[str, Tensor]
    characters: str = CHARACTERS

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, which: slice | Tensor) -> "Glyphs":
        """Some of them: a slice shares memory, an index or mask tensor copies."""
        return Glyphs(
            self.images[which], {name: values[which] for name, values in self.factors.items()}, self.characters
        )

    def labelled_by(self, factor: str = "character") -> Split:
        """The images with one factor of finitely many values as the label. Raises ValueError for another factor."""
        if factor not in ("character", "font"):
            raise ValueError(f'a label is "character" or "font"; {factor!r} is a real number or unknown: see `factors`')
        return Split(self.images, self.factors[factor])


def glyphs(count: int, seed: int = 0, texture: float = 0.0, characters: str = CHARACTERS) -> Glyphs:
    """`count` characters, every factor drawn by itself, uniformly: from FONTS, from `characters`, from RANGES.

    texture: how much paler every other pair of the ink's pixels is, from 0 (even ink) to 1 (they are paper). Where the
    pairs lie wanders by one pixel to the left or right from row to row, by the toss of a coin: a pixel's upper
    neighbours tell nearly all of it, the character nothing.

    The first 10 of 1,000 are the 10 of the same seed. Needs no network: matplotlib ships the fonts.
    Raises ValueError for a negative count, a texture outside [0, 1], and characters that are not ASCII letters or
    digits, or given twice.
    """
    if count < 0 or count != int(count):
        raise ValueError(f"count must be a whole number, 0 or more; got {count}")
    if not 0 <= texture <= 1:
        raise ValueError(f"texture lies between 0 and 1; got {texture}")
    if not (characters.isascii() and characters.isalnum() and len(set(characters)) == len(characters)):
        raise ValueError(f"characters must be different letters from A to z or digits; got {characters!r}")
    chance = torch.Generator().manual_seed(seed)
    # A row of numbers for each glyph, whatever is done with them: so the first do not depend on how many follow.
    u = uniform((count, len(FACTORS) + SIDE), chance, like=torch.empty(0, dtype=torch.float64))
    factors = {"character": (u[:, 0] * len(characters)).long(), "font": (u[:, 1] * len(FONTS)).long()}
    factors |= {name: low + (high - low) * u[:, i + 2] for i, (name, (low, high)) in enumerate(RANGES.items())}
    rows = zip(*(values.tolist() for values in factors.values()), strict=True)
    images = [draw_glyph(characters[character], FONTS[font], *real) for character, font, *real in rows]
    ink = torch.stack(images) if images else torch.empty(0, SIDE, SIDE)
    return Glyphs((ink * stripes(u[:, -SIDE:], texture)).unsqueeze(1), factors, characters)


def stripes(u: Float[Tensor, "n rows"], texture: float) -> Float[Tensor, "n rows 28"]:
    """1 where the ink stays as it is, 1 - texture where it pales: pairs of pixels, one pixel on from row to row."""
    start, turns = (u[:, :1] * PERIOD).long(), 2 * (u[:, 1:] < 0.5).long() - 1
    phase = torch.cat([start, turns], 1).cumsum(1)
    pale = (torch.arange(SIDE) + phase[..., None]) % PERIOD >= PERIOD // 2
    return 1 - texture * pale.float()


def draw_glyph(
    character: str, font: str, slant: float, thickness: float, size: float, row: float, column: float
) -> Float[Tensor, "28 28"]:
    """One character, its edges smoothed: float32 ink in [0, 1]. The factors are those of `Glyphs`."""
    import numpy as np
    from matplotlib.backends.backend_agg import RendererAgg
    from matplotlib.transforms import Affine2D

    renderer = RendererAgg(SIDE, SIDE, dpi=72)  # a point is a pixel
    pen = renderer.new_gc()
    pen.set_linewidth(thickness)
    pen.set_joinstyle("round")
    pen.set_snap(False)
    shear = Affine2D(np.array([[1.0, slant, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]))
    place = Affine2D().scale(size) + shear + Affine2D().translate(SIDE / 2 + column, SIDE / 2 - row)
    renderer.draw_path(pen, outline(character, font), place, (0.0, 0.0, 0.0))
    return torch.from_numpy(np.asarray(renderer.buffer_rgba())[..., 3].astype("float32") / 255)


@cache
def outline(character: str, font: str):
    """The character's outline, its middle at the origin, the longer side of its box 1."""
    import matplotlib
    from matplotlib.font_manager import FontProperties
    from matplotlib.path import Path as Outline
    from matplotlib.textpath import TextPath

    file = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{font}.ttf"
    path = TextPath((0, 0), character, size=100, prop=FontProperties(fname=file))
    box = path.get_extents()
    middle = (box.p0 + box.p1) / 2
    found = Outline((path.vertices - middle) / max(box.width, box.height), path.codes)
    found.should_simplify = False
    return found
