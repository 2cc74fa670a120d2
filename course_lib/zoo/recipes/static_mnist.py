"""What is measured of a VAE trained on static MNIST."""

import torch
from torch import Tensor

from course_lib.data import Split, mnist_static
from course_lib.measurement.aggregate import Aggregate, aggregate
from course_lib.measurement.codes import encode_all
from course_lib.measurement.information import information_of
from course_lib.measurement.likelihood import distortion_per_image, iwae_nll
from course_lib.measurement.mean import Mean
from course_lib.measurement.probe import probe_accuracy
from course_lib.measurement.swapping import swapped_code_gap
from course_lib.models.vae import VAE

SAMPLES, NLL_IMAGES, PROBE_IMAGES = 500, 100, 5000


def train_images() -> Tensor:
    """The 50,000 training images."""
    return mnist_static().train.images


def shuffled_test() -> Split:
    """The 10,000 test images, sorted by class as published, in an order fixed by a seed of its own."""
    return shuffled(mnist_static().test)


def shuffled(images: Split) -> Split:
    """In the order of seed 0."""
    return images[torch.randperm(len(images), generator=torch.Generator().manual_seed(0))]


def evaluate_vae_static_mnist(model: VAE) -> dict:
    """Information, rate, distortion, aggregate, probe on the test images; IWAE-500 on the same 100 for every model."""
    test, generator = shuffled_test(), torch.Generator().manual_seed(0)
    codes = encode_all(model, test.images, generator)
    some = test.images[:1000]
    return {
        "information_test": vars(information_of(codes)),
        "rate_test": vars(Mean.of(codes.rate)),
        "distortion_test": vars(Mean.of(distortion_per_image(model, test.images, codes.z))),
        "swapped_code_gap_first_1000": vars(Mean.of(swapped_code_gap(model, some, codes.z[:1000], generator))),
        "aggregate_test": flat(aggregate(codes, model.prior, generator)),
        "probe_test": vars(probe_accuracy(model, *halves(test))),
        "nll_first_100": vars(iwae_nll(model, test.images[:NLL_IMAGES], SAMPLES, generator, "static binarisation")),
    }


def halves(test: Split) -> tuple[Split, Split]:
    """Where a probe learns and where it is tested: of static MNIST only the test images have labels."""
    return (
        Split(test.images[:PROBE_IMAGES], test.labels[:PROBE_IMAGES]),
        Split(test.images[PROBE_IMAGES:], test.labels[PROBE_IMAGES:]),
    )


def flat(found: Aggregate) -> dict:
    """The aggregate's numbers without its objects."""
    return {**vars(found), "null": vars(found.null)}
