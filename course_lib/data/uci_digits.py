"""The small real data set that is always there."""

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from .binarisation import threshold
from .splits import Split, Splits, from_grey_levels

HELD_OUT_PER_CLASS = 25
LARGEST_HELD_OUT_GROUP = 3  # one stroke occurs 17 times as a 1: held out, it would be most of its class
SEED = 0
INK_LEVEL = 0.4
"""Above this grey level a pixel is ink: at one half, the strokes of many a 0 and 8 fall apart."""


def digits(binary: bool = False) -> Splits:
    """1,797 handwritten digits of 8x8 pixels in 17 grey levels (0 to 16, scaled to [0, 1]).

    binary: ones where the grey level is above INK_LEVEL and zeros elsewhere, the same at every call.

    1,297 train, 250 validation and 250 test images, 25 of each class in the latter two, always the same.
    Images that look alike in black and white stand in the same part, so nothing leaks there either.
    Needs no network: scikit-learn ships the data.
    Source: Alpaydin and Kaynak 1998, UCI Machine Learning Repository, doi 10.24432/C50P49.
    """
    from sklearn.datasets import load_digits

    levels, labels = load_digits(return_X_y=True)
    whole = from_grey_levels(torch.from_numpy(levels).view(-1, 8, 8), 16, torch.from_numpy(labels))
    train, validation, test = _assign(whole)
    whole = Split(threshold(whole.images, INK_LEVEL), whole.labels) if binary else whole
    full_train = whole[torch.cat([train, validation])]
    return Splits(full_train, whole[test], n_train=len(train))


def _assign(whole: Split) -> tuple[Int[Tensor, " a"], Int[Tensor, " b"], Int[Tensor, " c"]]:
    """Row numbers of train, validation and test, each in the order of the original."""
    twins = _twin_groups(whole)
    # RandomState's stream is frozen by numpy's policy: the split outlives upgrades.
    order = np.random.RandomState(SEED).permutation(twins.max() + 1)
    part = np.zeros(len(whole), dtype=int)
    room = {(digit, held_out): HELD_OUT_PER_CLASS for digit in range(10) for held_out in (2, 1)}
    for group in order:
        members = np.flatnonzero(twins == group)
        digit = int(whole.labels[members[0]])
        for held_out in (2, 1):
            if len(members) <= min(room[digit, held_out], LARGEST_HELD_OUT_GROUP):
                part[members] = held_out
                room[digit, held_out] -= len(members)
                break
    return tuple(torch.from_numpy(np.flatnonzero(part == k)) for k in range(3))


def _twin_groups(whole: Split) -> Int[np.ndarray, " n"]:
    """A number for each image, shared by those whose thresholded pixels are all equal."""
    pixels = threshold(whole.images, INK_LEVEL).flatten(1).numpy()
    return np.unique(pixels, axis=0, return_inverse=True)[1].reshape(-1)
