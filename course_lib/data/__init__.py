"""Digits and MNIST: tensors in [0, 1], splits that never overlap."""

from .benchmark import mnist
from .binarisation import binarise, threshold
from .errors import DataError
from .splits import Split, Splits
from .static_mnist import mnist_static
from .uci_digits import digits

__all__ = ["DataError", "Split", "Splits", "binarise", "digits", "mnist", "mnist_static", "threshold"]
