"""Labelled images, and the three parts that a data set is cut into."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor


@dataclass(frozen=True, eq=False)
class Split:
    """Images with their labels.

    images: float32 in [0, 1], shape [n, 1, height, width]; 0 is paper, 1 is ink.
    labels: int64, shape [n].
    Raises ValueError when the shapes do not fit together.
    """

    images: Float[Tensor, "n 1 height width"]
    labels: Int[Tensor, " n"]

    def __post_init__(self) -> None:
        if self.images.ndim != 4 or self.images.shape[1] != 1 or self.labels.shape != self.images.shape[:1]:
            raise ValueError(
                f"expected images [n, 1, height, width] and labels [n], "
                f"got {list(self.images.shape)} and {list(self.labels.shape)}"
            )

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, which: slice | Tensor) -> "Split":
        """Part of the split: a slice shares memory with it, an index or mask tensor copies."""
        return Split(self.images[which], self.labels[which])

    def __repr__(self) -> str:
        _, _, height, width = self.images.shape
        return f"Split({len(self):,} images, {height}x{width})"


@dataclass(frozen=True, eq=False)
class Splits:
    """Train, validation and test parts that share no image; unpacks in that order.

    full_train: train and validation together, for those who need no validation.
    test: held back until the end.
    n_train: the first n_train images of full_train are `train`, the others `validation`. Both are views.
    """

    full_train: Split
    test: Split
    n_train: int

    def __post_init__(self) -> None:
        if not 0 < self.n_train <= len(self.full_train):
            raise ValueError(f"of {len(self.full_train)} images, {self.n_train} cannot be for training")

    @property
    def train(self) -> Split:
        return self.full_train[: self.n_train]

    @property
    def validation(self) -> Split:
        return self.full_train[self.n_train :]

    def __iter__(self) -> Iterator[Split]:
        return iter((self.train, self.validation, self.test))

    def __repr__(self) -> str:
        return f"Splits(train={self.train}, validation={self.validation}, test={self.test})"


def from_grey_levels(levels: Int[Tensor, "n height width"], highest: int, labels: Int[Tensor, " n"]) -> Split:
    """Grey levels 0, ..., highest divided by highest, as a Split."""
    return Split(levels.unsqueeze(1).to(torch.float32).div_(highest), labels.to(torch.int64))
