"""MNIST in black and white once and for all, as the likelihoods in the literature were measured."""

import io
from functools import partial

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from .content import DataFile, Registry
from .splits import Split, Splits
from .store import read

PIXELS = 28 * 28
TEST_CLASSES = (980, 1135, 1032, 1010, 982, 892, 958, 1028, 974, 1009)
"""How many 0s, 1s, ..., 9s the test images are: they stand in this order, sorted by class."""


def as_text(part: str, archive: bytes) -> bytes:
    """One part of the packed archive as the published text file: digits 0 and 1, each followed by a space, a line per
    image. Raises KeyError, TypeError or ValueError when the archive holds something else.
    """
    pixels = np.unpackbits(np.load(io.BytesIO(archive))[part], axis=1, count=PIXELS)
    text = np.full((len(pixels), PIXELS, 2), ord(" "), np.uint8)
    text[:, :, 0] = pixels + ord("0")
    text[:, -1, 1] = ord("\n")
    return text.tobytes()


# Of the text files; TensorFlow Datasets registers the same.
SHA256 = {
    "train": "ad693b29f94c14277b095f5238ddefbbdaaae0939789dd2f4f0205278cee3e4d",
    "valid": "1de3d397c40fe8eeb33dafd4099a1f665ec01e96d9be234aaeeac8a34930e2e2",
    "test": "e6687bfea3f820c174f33b7865140b2a2dd2930ef786f35d45795fc193b5ab2c",
}
ARCHIVE = "binarized_mnist_packed.npz"
STATIC = Registry(
    folder="mnist_static",
    files={
        part: DataFile(f"binarized_mnist_{part}.amat", sha256, archive=ARCHIVE, extract=partial(as_text, part))
        for part, sha256 in SHA256.items()
    },
    mirrors=("http://www.cs.toronto.edu/~larocheh/public/datasets/binarized_mnist/",),
)


def mnist_static(registry: Registry = STATIC) -> Splits:
    """Statically binarised MNIST: 50,000 train, 10,000 validation and 10,000 test images of 28x28 zeros and ones.

    Each pixel was drawn once, with probability equal to its grey level. Train and validation are a shuffle of MNIST's
    60,000 other than `mnist()`'s: never mix the two. They were published without labels, and have -1 here; the test
    images are MNIST's, sorted by class, so theirs are known.
    Raises a DataError that says what to do when the files cannot be had.
    Source: Larochelle and Murray (2011), AISTATS 15; Salakhutdinov and Murray (2008).
    """
    train, validation, test = (parse_text(read(registry, part)) for part in ("train", "valid", "test"))
    unknown = torch.full((len(train) + len(validation),), -1)
    full_train = Split(torch.cat([train, validation]).float(), unknown)
    labels = torch.arange(10).repeat_interleave(torch.tensor(TEST_CLASSES))
    return Splits(full_train, Split(test.float(), labels), n_train=len(train))


def parse_text(content: bytes) -> UInt8[Tensor, "n 1 28 28"]:
    """The images of a verified text file."""
    pixels = np.frombuffer(content, np.uint8).reshape(-1, PIXELS, 2)[:, :, 0] - ord("0")
    return torch.from_numpy(pixels).view(-1, 1, 28, 28)
