"""Splits, binarisation and the IDX format."""

import hashlib
import itertools
import socket
import subprocess
import sys
import time

import numpy as np
import pytest
import torch

from course_lib.data import Split, binarise, digits, mnist, mnist_static, store, threshold
from course_lib.data.benchmark import MNIST
from course_lib.data.errors import DataError, FormatError, OfflineError
from course_lib.data.idx import parse_idx
from course_lib.data.noise import normal


def image_hashes(split: Split) -> set[bytes]:
    return {hashlib.sha256(image.numpy().tobytes()).digest() for image in split.images}


def assert_no_image_is_shared(splits) -> None:
    hashes = [image_hashes(split) for split in splits]
    for (i, one), (j, other) in itertools.combinations(enumerate(hashes), 2):
        assert not one & other, f"parts {i} and {j} share {len(one & other)} images"


def assert_well_formed(split: Split, side: int) -> None:
    assert split.images.shape == (len(split), 1, side, side)
    assert split.images.dtype == torch.float32 and split.labels.dtype == torch.int64
    assert split.images.min() == 0 and split.images.max() == 1
    assert set(split.labels.tolist()) == set(range(10))


# The digits that are always there


def test_digits_sizes_and_ranges():
    splits = digits()
    assert [len(split) for split in splits] == [1297, 250, 250]
    for split in splits:
        assert_well_formed(split, side=8)


def test_digits_grey_levels_are_sixteenths():
    images = torch.cat([split.images for split in digits()])
    assert torch.equal((images * 16).round(), images * 16)
    assert len(images.unique()) == 17


def test_digits_parts_share_no_image():
    assert_no_image_is_shared(digits())


def test_digits_parts_share_no_image_in_black_and_white():
    assert_no_image_is_shared(digits(binary=True))


def test_digits_parts_together_are_the_whole_data_set():
    from sklearn.datasets import load_digits

    levels, labels = load_digits(return_X_y=True)
    ours = [
        (image.mul(16).flatten().tolist(), int(label))
        for split in digits()
        for image, label in zip(split.images, split.labels)
    ]
    assert sorted(ours) == sorted(zip(levels.tolist(), labels.tolist()))


def test_digits_held_out_parts_are_balanced():
    _, validation, test = digits()
    for split in (validation, test):
        assert torch.bincount(split.labels).tolist() == [25] * 10


def test_digits_split_never_moves():
    digest = hashlib.sha256(digits().test.images.numpy().tobytes())
    assert digest.hexdigest() == "ef7d21a6d63f58e949871b585b62ce51a97fda7fddb4089fad690201be0eb9e3"


def test_digits_full_train_is_train_then_validation_without_a_copy():
    splits = digits()
    assert torch.equal(splits.full_train.labels, torch.cat([splits.train.labels, splits.validation.labels]))
    assert splits.full_train.images.data_ptr() == splits.train.images.data_ptr()


def test_digits_opens_no_socket(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    assert len(digits().train) == 1297


def test_import_is_quick_and_leaves_sklearn_and_pooch_alone():
    script = (
        "import sys, time, torch, jaxtyping; start = time.process_time(); import course_lib.data;"
        "print(time.process_time() - start, *({'sklearn', 'pooch', 'requests', 'scipy'} & set(sys.modules)))"
    )
    answer = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout.split()
    assert len(answer) == 1, f"imported as well: {answer[1:]}"
    assert float(answer[0]) < 0.5


# A split


def test_a_split_refuses_labels_of_another_length():
    with pytest.raises(ValueError, match=r"\[3, 1, 2, 2\] and \[4\]"):
        Split(torch.zeros(3, 1, 2, 2), torch.zeros(4, dtype=torch.int64))


def test_a_slice_of_a_split_is_a_view_and_a_mask_picks_rows():
    split = Split(torch.rand(6, 1, 2, 2), torch.arange(6))
    assert split[2:4].images.data_ptr() == split.images[2].data_ptr()
    assert split[split.labels > 3].labels.tolist() == [4, 5]


# MNIST, where it is


def from_this_machine(load):
    """What `load` finds without a download; the test is skipped where there is nothing."""

    def refuse(registry, file):
        raise OfflineError(f"{file.name} is not on this machine")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(store, "download", refuse)
        try:
            return load()
        except OfflineError as absent:
            pytest.skip(f"{load.__name__} is needed: {absent}")


@pytest.fixture(scope="module")
def real_mnist():
    """MNIST from this machine."""
    return from_this_machine(mnist)


def test_mnist_sizes_and_ranges(real_mnist):
    assert [len(split) for split in real_mnist] == [50_000, 10_000, 10_000]
    assert len(real_mnist.full_train) == 60_000
    for split in real_mnist:
        assert_well_formed(split, side=28)


def test_mnist_parts_share_no_image(real_mnist):
    assert_no_image_is_shared(real_mnist)


def test_mnist_is_in_the_published_order(real_mnist):
    assert real_mnist.train.labels[:10].tolist() == [5, 0, 4, 1, 9, 2, 1, 3, 1, 4]
    assert real_mnist.test.labels[:10].tolist() == [7, 2, 1, 0, 4, 1, 4, 9, 5, 9]
    assert torch.bincount(real_mnist.full_train.labels).tolist() == [
        5923, 6742, 5958, 6131, 5842, 5421, 5918, 6265, 5851, 5949,
    ]  # fmt: skip


def test_mnist_holds_the_pixels_once(real_mnist):
    whole, train, validation = (part.images for part in (real_mnist.full_train, *list(real_mnist)[:2]))
    assert train.data_ptr() == whole.data_ptr() and validation.data_ptr() == whole[50_000].data_ptr()
    assert whole.untyped_storage().nbytes() == 60_000 * 28 * 28 * 4


def test_mnist_loads_in_seconds(real_mnist):
    start = time.process_time()
    mnist()
    assert time.process_time() - start < 5


@pytest.mark.parametrize("role", MNIST.files)
def test_mnist_files_have_both_published_checksums(real_mnist, role):
    content, file = store.read(MNIST, role), MNIST.files[role]
    assert hashlib.md5(content).hexdigest() == file.md5
    assert hashlib.sha256(content).hexdigest() == file.sha256


# MNIST in black and white, where it is


@pytest.fixture(scope="module")
def static():
    """Statically binarised MNIST from this machine."""
    return from_this_machine(mnist_static)


def test_static_mnist_has_the_canonical_sizes_and_only_zeros_and_ones(static):
    assert [len(split) for split in static] == [50_000, 10_000, 10_000]
    for split in static:
        assert split.images.shape[1:] == (1, 28, 28) and split.images.dtype == torch.float32
        assert ((split.images == 0) | (split.images == 1)).all()


def test_static_mnist_parts_share_no_image(static):
    assert_no_image_is_shared(static)


def test_each_static_test_image_is_drawn_from_the_grey_image_whose_label_it_has(static, real_mnist):
    order = real_mnist.test.labels.argsort(stable=True)
    black_and_white, grey = static.test.images, real_mnist.test.images[order]
    assert not (black_and_white[grey == 0] == 1).any() and not (black_and_white[grey == 1] == 0).any()
    assert torch.equal(static.test.labels, real_mnist.test.labels[order])


def test_static_mnist_says_which_labels_are_unknown(static):
    assert set(static.train.labels.tolist()) == set(static.validation.labels.tolist()) == {-1}


# Black and white


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_binarise_is_one_as_often_as_the_grey_level_says(dtype):
    grey = torch.linspace(0, 1, 65, dtype=dtype)
    draws = 40_000
    mean = binarise(grey.expand(draws, -1), generator()).mean(0)
    # A right binarise leaves the band with probability under 65 x 6.8e-6 = 4e-4.
    band = 4.5 * (grey * (1 - grey) / draws).sqrt()
    assert ((mean - grey).abs() <= band).all(), (mean - grey).abs().max()


def test_binarise_draws_pixels_independently():
    grey = torch.full((40_000, 2), 0.5)
    both = binarise(grey, generator()).prod(1).mean().item()
    assert abs(both - 0.25) < 4.5 * (0.25 * 0.75 / 40_000) ** 0.5


@pytest.mark.parametrize("dtype", [torch.float16, torch.float32, torch.float64])
def test_binarise_is_exact_at_zero_and_one(dtype):
    # In half precision one draw in 2,048 is exactly 0, so an off-by-one comparison shows.
    ends = torch.tensor([0.0, 1.0], dtype=dtype).expand(200_000, 2)
    assert torch.equal(binarise(ends, generator()), ends)


def test_binarise_gives_zeros_and_ones_of_the_same_shape_and_dtype():
    images = torch.rand(3, 1, 4, 5, dtype=torch.float64, generator=generator(seed=1))
    drawn = binarise(images, generator(seed=2))
    assert drawn.shape == images.shape and drawn.dtype == images.dtype
    assert set(drawn.unique().tolist()) == {0.0, 1.0}


def test_binarise_repeats_with_the_seed_and_differs_with_the_state():
    images = torch.full((10, 1, 8, 8), 0.5)
    one = generator(seed=1)
    first, second = binarise(images, one), binarise(images, one)
    assert torch.equal(first, binarise(images, generator(seed=1)))
    assert not torch.equal(first, second)
    assert not torch.equal(first, binarise(images, generator(seed=2)))


def test_binarise_leaves_its_input_and_the_global_generator_alone():
    images = torch.full((10, 1, 8, 8), 0.5)
    before = torch.get_rng_state()
    binarise(images, generator())
    assert torch.equal(before, torch.get_rng_state())
    assert (images == 0.5).all()


@pytest.mark.parametrize("function", [lambda x: binarise(x, generator()), threshold], ids=["binarise", "threshold"])
@pytest.mark.parametrize("bad", [-0.01, 1.01, 255.0, float("nan"), float("inf")])
def test_grey_levels_outside_the_unit_interval_are_refused(function, bad):
    with pytest.raises(ValueError, match=r"lie in \[0, 1\]"):
        function(torch.tensor([0.5, bad]))


def test_eight_bit_images_are_refused_with_the_remedy():
    with pytest.raises(TypeError, match=r"divide 8-bit images by 255"):
        binarise(torch.ones(4, dtype=torch.uint8), generator())


@pytest.mark.parametrize("draw", [binarise, lambda x, g: normal((4,), g, x)], ids=["binarise", "normal"])
def test_the_global_generator_is_not_used_in_place_of_one_that_is_missing(draw):
    with pytest.raises(TypeError, match="needs a torch.Generator, got NoneType: pass"):
        draw(torch.ones(4), None)


def test_threshold_is_one_strictly_above_the_level():
    assert threshold(torch.tensor([0.0, 0.49, 0.5, 0.51, 1.0])).tolist() == [0, 0, 0, 1, 1]
    assert threshold(torch.tensor([0.0, 0.2, 0.9]), level=0.1).tolist() == [0, 1, 1]


# The IDX format


def idx(array: np.ndarray) -> bytes:
    sizes = b"".join(size.to_bytes(4, "big") for size in array.shape)
    return bytes([0, 0, 8, array.ndim]) + sizes + array.astype(np.uint8).tobytes()


@pytest.mark.parametrize("shape", [(5,), (2, 3, 4), (300, 1, 2), (0, 3)])
def test_idx_round_trip(shape):
    array = np.random.default_rng(0).integers(0, 256, shape)
    parsed = parse_idx(idx(array))
    assert parsed.dtype == torch.uint8 and np.array_equal(parsed.numpy(), array)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "two zero bytes"),
        (b"\0\0", "two zero bytes"),
        (b"<html>", "two zero bytes"),
        (b"\0\0\x0d\x01\0\0\0\0", "type code 13"),
        (idx(np.ones((2, 3)))[:-1], r"shape \[2, 3\], 5 bytes follow"),
        (idx(np.ones((2, 3))) + b"!", r"shape \[2, 3\], 7 bytes follow"),
        (idx(np.ones((2, 3)))[:6], "inside its header"),
    ],
)
def test_idx_says_what_is_wrong(content, message):
    with pytest.raises(FormatError, match=message) as caught:
        parse_idx(content, "some file")
    assert isinstance(caught.value, DataError) and str(caught.value).startswith("some file")
