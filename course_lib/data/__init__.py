"""Digits, MNIST and drawn glyphs: tensors in [0, 1], splits that never overlap."""

from .benchmark import mnist
from .binarisation import binarise, threshold
from .drawn_glyphs import Glyphs, glyphs
from .errors import DataError
from .splits import Split, Splits
from .static_mnist import mnist_static
from .uci_digits import digits

__all__ = [
    "DataError",
    "Glyphs",
    "Split",
    "Splits",
    "binarise",
    "digits",
    "glyphs",
    "mnist",
    "mnist_static",
    "threshold",
]
