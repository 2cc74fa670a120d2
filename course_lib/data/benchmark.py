"""MNIST, the papers' benchmark."""

from .content import DataFile, Registry
from .idx import parse_idx
from .splits import Split, Splits, from_grey_levels
from .store import read

MNIST = Registry(
    folder="mnist",
    files={
        "train images": DataFile(
            "train-images-idx3-ubyte.gz",
            sha256="ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
            md5="6bbc9ace898e44ae57da46a324031adb",
        ),
        "train labels": DataFile(
            "train-labels-idx1-ubyte.gz",
            sha256="65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
            md5="a25bea736e30d166cdddb491f175f624",
        ),
        "test images": DataFile(
            "t10k-images-idx3-ubyte.gz",
            sha256="0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
            md5="2646ac647ad5339dbf082846283269ea",
        ),
        "test labels": DataFile(
            "t10k-labels-idx1-ubyte.gz",
            sha256="ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
            md5="27ae3e4e09519cfbb04c329615203637",
        ),
    },
    mirrors=(
        "https://ossci-datasets.s3.amazonaws.com/mnist/",
        "https://storage.googleapis.com/cvdf-datasets/mnist/",
        "http://yann.lecun.com/exdb/mnist/",
    ),
)


def mnist(registry: Registry = MNIST, n_validation: int = 10_000) -> Splits:
    """70,000 handwritten digits of 28x28 pixels in 256 grey levels (scaled to [0, 1]).

    50,000 train, 10,000 validation (the last of the 60,000, as is usual) and 10,000 test images;
    `full_train` has all 60,000. Raises a DataError that says what to do when the files cannot be had.
    Source: LeCun, Cortes and Burges, the MNIST database, CC BY-SA 3.0.
    """
    full_train = _labelled(registry, "train")
    return Splits(full_train, _labelled(registry, "test"), n_train=len(full_train) - n_validation)


def _labelled(registry: Registry, part: str) -> Split:
    images, labels = (parse_idx(read(registry, f"{part} {what}"), f"{part} {what}") for what in ("images", "labels"))
    return from_grey_levels(images, 255, labels)
