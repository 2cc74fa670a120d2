"""One report of a trained VAE: what it says, what it refuses to say, and the measurements that only it joins."""

import json
import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from course_lib import zoo
from course_lib.data import Split, digits
from course_lib.data.noise import normal, uniform
from course_lib.measurement.codes import encode_all, rate_per_dimension
from course_lib.measurement.information import Information
from course_lib.measurement.likelihood import distortion_per_image
from course_lib.measurement.mean import Mean
from course_lib.measurement.probe import probe_accuracy
from course_lib.measurement.report import report
from course_lib.measurement.sharpness import gradient_energy, sharpness
from course_lib.measurement.swapping import swapped_code_gap
from course_lib.measurement.undecided import undecided
from course_lib.models.encoders import MLPEncoder
from course_lib.models.factorised import FactorisedDecoder
from course_lib.models.gaussian import DiagonalGaussian
from course_lib.models.outputs import Gaussian
from course_lib.models.pixelcnn import PixelCNN
from course_lib.models.priors import FlowPrior
from course_lib.models.vae import VAE, pixelcnn_vae

LIKE = torch.zeros(())


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def coins(n, seed, size=4):
    return (uniform((n, 1, size, size), seeded(seed), LIKE) < 0.5).float()


def small_vae(deterministic=False, prior=None):
    torch.manual_seed(0)
    encoder = MLPEncoder((1, 4, 4), 3, 16, deterministic=deterministic)
    return VAE(encoder, FactorisedDecoder((1, 4, 4), 3, hidden=16), 3, prior)


class PixelsAsCode(torch.nn.Module):
    """mu = the first `code` pixels."""

    def __init__(self, code):
        super().__init__()
        self.code = code

    def forward(self, x):
        mu = x.flatten(1)[:, : self.code]
        return DiagonalGaussian(mu, torch.full_like(mu, -2.0))


def test_a_report_joins_the_single_measurements():
    vae, x = small_vae(), coins(60, 1)
    found = report(vae, x, seeded(0), samples=5)
    codes = encode_all(vae, x, seeded(0))
    assert found.rate.value == pytest.approx(float(codes.rate.mean()))
    assert found.distortion.value == pytest.approx(float(distortion_per_image(vae, x, codes.z).mean()))
    assert found.information.rate == found.rate.value and found.code_size == 3 and found.images == 60
    low, high = found.aggregate_gap
    assert low == pytest.approx(found.rate.value - found.information.at_most) and low >= -1e-9
    assert high == pytest.approx(found.rate.value - found.information.lower)
    bounded = replace(found, information=Information(lower=2.0, upper=9.0, ceiling=5.0, rate=2.5))
    assert bounded.aggregate_gap == (0.0, 0.5), "the rate is the smaller upper bound"
    assert found.active_by_rate == int((rate_per_dimension(codes) > 0.01).sum()) > 0
    assert found.nll.nats < found.distortion.value + found.rate.value + 1
    assert found.probe is None and "probe" not in str(found)


def test_a_report_is_the_same_twice_and_depends_on_its_generator_alone():
    vae, x = small_vae(), coins(40, 1)
    first, other = report(vae, x, seeded(0), samples=3), report(vae, x, seeded(1), samples=3)
    torch.manual_seed(77)
    assert report(vae, x, seeded(0), samples=3) == first != other


def test_a_report_is_flat_finite_and_fit_for_json():
    split = Split(coins(60, 2), torch.arange(60) % 2)
    found = report(small_vae(), coins(40, 1), seeded(0), torch.arange(40) % 2, split, samples=3).as_dict()
    assert all(isinstance(value, int | float) and math.isfinite(value) for value in found.values())
    assert json.loads(json.dumps(found)) == found
    wanted = {"rate", "distortion", "information_lower", "information_upper", "information_ceiling", "mmd_squared"}
    wanted |= {"aggregate_gap_lower", "aggregate_gap_upper", "log_det_cov", "swapped_code_gap", "nll_nats"}
    assert wanted | {"active_by_mean", "active_by_rate", "probe_accuracy", "mmd_null_mean", "ks"} <= set(found)


def test_a_report_prints_every_unit_and_the_k_of_its_bound():
    text = str(report(small_vae(), coins(40, 1), seeded(0), samples=3, binarisation="coins"))
    for part in ("nats per image", "kernel units", "K = 3", "log N = 3.69", "null band", "of 3 by mean", "coins"):
        assert part in text, part
    assert max(map(len, text.splitlines())) < 170
    assert report(small_vae(), coins(40, 1), seeded(0), samples=3)._repr_html_().count("<tr>") == 8


def test_a_deterministic_encoder_gets_words_where_numbers_would_be_infinite():
    found = report(small_vae(deterministic=True), coins(40, 1), seeded(0))
    assert found.rate is found.information is found.nll is found.aggregate_gap is None
    assert str(found).count("no finite value: the encoder is deterministic") == 3
    numbers = found.as_dict()
    assert not {"rate", "information_lower", "nll_nats", "aggregate_gap_lower"} & set(numbers)
    assert {"distortion", "swapped_code_gap", "mmd_squared", "active_by_mean"} <= set(numbers)
    assert all(math.isfinite(value) for value in numbers.values())


def test_at_a_ceiling_neither_the_information_nor_the_gap_stands_as_a_number():
    torch.manual_seed(0)
    decoder = FactorisedDecoder((1, 4, 4), 16, hidden=8)
    encoder = PixelsAsCode(16)
    encoder.forward = lambda x: DiagonalGaussian(100 * x.flatten(1), torch.zeros(len(x), 16))
    text = str(report(VAE(encoder, decoder, 16), coins(40, 1), seeded(0), samples=1))
    assert "not resolved: at least 3.69 nats" in text and "not resolved: at most" in text and "between" not in text


def test_a_prior_that_learns_has_no_rate_by_dimension():
    torch.manual_seed(0)
    found = report(small_vae(prior=FlowPrior(3)), coins(40, 1), seeded(0), samples=2)
    assert found.active_by_rate is None and "by rate" not in str(found) and found.rate is not None


@pytest.mark.parametrize("count", [0, 1])
@pytest.mark.parametrize("deterministic", [False, True])
def test_a_report_on_fewer_than_two_images_is_refused(count, deterministic):
    with pytest.raises(ValueError, match=f"at least two are needed, got {count}"):
        report(small_vae(deterministic), coins(2, 1)[:count], seeded(0))


@pytest.mark.parametrize("prior", [None, FlowPrior(3)])
def test_two_images_are_enough_for_a_report_that_resolves_nothing(prior):
    found = report(small_vae(prior=prior), coins(2, 1), seeded(0), samples=2)
    assert not found.information.resolved and "not resolved" in str(found) and "nan" not in str(found)


@pytest.mark.parametrize("of", ["mu", "log_var"])
def test_an_encoder_that_answers_nan_is_not_reported_on(of):
    vae = small_vae()
    answer = vae.encoder.forward

    def spoiled(x):
        q = answer(x)
        getattr(q, of)[3, 1] = math.nan
        return q

    vae.encoder.forward = spoiled
    with pytest.raises(ValueError, match="answer to 1 of 40 images is not finite"):
        report(vae, coins(40, 1), seeded(0), samples=2)


def test_labels_without_training_images_are_refused():
    with pytest.raises(ValueError, match="both, or neither"):
        report(small_vae(), coins(20, 0), seeded(0), labels=torch.zeros(20, dtype=torch.int64))


def test_the_trained_pair_of_the_zoo_shows_a_code_that_speaks_and_one_that_does_not():
    splits = digits(binary=True)
    x, labels = splits.test.images, splits.test.labels
    a, b = (
        report(zoo.load(f"puzzle_{name}"), x, seeded(0), labels, splits.train, samples=4).as_dict() for name in "ab"
    )
    assert a["information_lower"] > 4 * b["information_upper"]
    assert a["swapped_code_gap"] > 10 > 3 > b["swapped_code_gap"]
    assert a["probe_accuracy"] > b["probe_accuracy"] + 0.1
    assert abs(a["nll_nats"] - b["nll_nats"]) < 1 and a["active_by_mean"] == b["active_by_mean"] == 8


def test_the_gap_is_that_of_other_images_codes_for_a_decoder_solved_by_hand():
    """p(x|z) = N(x; z, 1): the gap of a pair is 1/2 (x - z')^2 - 1/2 (x - z)^2, and no image keeps its code."""
    decoder = FactorisedDecoder((1, 1, 1), 1, "linear", output=Gaussian(1.0))
    with torch.no_grad():
        decoder.network[0].weight.fill_(1.0)
        decoder.network[0].bias.zero_()
    for n in (2, 3, 17):
        x = torch.arange(n).float().view(n, 1, 1, 1) ** 2
        gap = swapped_code_gap(VAE(None, decoder, 1), x, x.flatten(1), seeded(n))
        partner = (2 * gap).sqrt()
        squares = {round(abs(float(a - b)) ** 2, 2) for a in x.flatten() for b in x.flatten() if a != b}
        assert (gap > 0.4).all(), "a code that stayed at home would make a gap of zero"
        assert {round(float(p) ** 2, 2) for p in partner} <= squares


def test_each_code_is_given_away_once_and_partners_do_not_follow_the_order():
    given = []

    class Listener(torch.nn.Module):
        def log_prob(self, x, z):
            given.append(z)
            return torch.zeros(len(x))

    z = torch.arange(500.0)[:, None]
    swapped_code_gap(VAE(None, Listener(), 1), coins(500, 0), z, seeded(0))
    swapped = torch.cat(given[:2]).flatten()
    assert (swapped.sort().values == z.flatten()).all() and (swapped != z.flatten()).all()
    assert ((swapped - z.flatten()).abs() == 1).float().mean() < 0.05


def test_a_decoder_that_ignores_its_code_has_no_gap():
    torch.manual_seed(0)
    vae = small_vae()
    with torch.no_grad():
        vae.decoder.network[0].weight.zero_()
    assert swapped_code_gap(vae, coins(30, 0), normal((30, 3), seeded(0), LIKE), seeded(1)).abs().max() == 0


def test_one_image_has_no_one_to_swap_with():
    with pytest.raises(ValueError, match="at least two"):
        swapped_code_gap(small_vae(), coins(1, 0), torch.zeros(1, 3), seeded(0))


def labelled(n, seed, size=4):
    images = coins(n, seed, size)
    return Split(images, images[:, 0, 0, 0].long() + 2 * images[:, 0, 0, 1].long())


def test_a_probe_reads_what_is_in_the_code_and_guesses_what_is_not():
    train, test = labelled(300, 0, size=6), labelled(200, 1, size=6)
    knows, half = (probe_accuracy(VAE(PixelsAsCode(c), None, c), train, test) for c in (2, 1))
    assert knows.accuracy == 1 and 0.4 < half.accuracy < 0.6
    assert half.chance == float(test.labels.bincount().max()) / 200


def test_a_probe_is_tested_on_images_it_has_not_learnt_by_heart():
    """36 numbers a code, 25 images to learn random labels from: perfect there, and a guess elsewhere."""
    train, test = (Split(coins(n, s, size=6), (coins(n, s + 50)[:, 0, 0, 0]).long()) for n, s in ((25, 0), (300, 1)))
    assert 0.35 < probe_accuracy(VAE(PixelsAsCode(36), None, 36), train, test).accuracy < 0.65


def test_a_probe_reads_codes_of_any_size():
    class Faint(PixelsAsCode):
        def forward(self, x):
            q = super().forward(x)
            return DiagonalGaussian(1e-4 * q.mu, q.log_var)

    train, test = labelled(300, 0, size=6), labelled(200, 1, size=6)
    assert probe_accuracy(VAE(Faint(2), None, 2), train, test).accuracy == 1


def test_a_probe_of_drawn_codes_reads_only_what_the_noise_lets_through():
    """A mean of 0 or m with noise of deviation 1: the best threshold is right with probability Phi(m / 2)."""

    class Noisy(PixelsAsCode):
        def forward(self, x):
            q = super().forward(x)
            return DiagonalGaussian(2.0 * q.mu, 0.0 * q.log_var)

    train, test = (Split(x, x[:, 0, 0, 0].long()) for x in (coins(4000, 0, size=6), coins(4000, 1, size=6)))
    vae = VAE(Noisy(1), None, 1)
    assert probe_accuracy(vae, train, test).accuracy == 1
    drawn = [probe_accuracy(vae, train, test, seeded(5)) for _ in range(2)]
    assert drawn[0] == drawn[1] and abs(drawn[0].accuracy - 0.5 * (1 + math.erf(math.sqrt(0.5)))) < 0.02


def test_a_probe_is_deterministic_and_does_not_mind_the_scale_of_the_code():
    train, test = labelled(200, 0), labelled(200, 1)
    vae = small_vae()
    first = probe_accuracy(vae, train, test)
    with torch.no_grad():
        for p in (vae.encoder.layers[-1].weight, vae.encoder.layers[-1].bias):
            p[:3] *= torch.tensor([1e3, 1.0, 1e-3]).view(3, *[1] * (p.ndim - 1))
    torch.manual_seed(9)
    assert abs(probe_accuracy(vae, train, test).accuracy - first.accuracy) <= 0.01
    assert probe_accuracy(vae, train, test, batch_size=7) == probe_accuracy(vae, train, test)


def test_a_probe_tested_on_its_own_training_images_is_refused():
    train, test = labelled(50, 0), labelled(50, 1)
    mixed = Split(torch.cat([test.images, train.images[3:5]]), torch.cat([test.labels, train.labels[3:5]]))
    shared = sum(any(torch.equal(a, b) for b in train.images) for a in mixed.images)
    with pytest.raises(ValueError, match=f"{shared} of 52 test images"):
        probe_accuracy(VAE(PixelsAsCode(2), None, 2), train, mixed)


def blurred(images, times):
    """The binomial filter, `times` over, on a margin wide enough to lose nothing."""
    line = torch.tensor([1.0, 2.0, 1.0], dtype=images.dtype) / 4
    kernel = line[:, None] * line
    images = F.pad(images, (8, 8, 8, 8))
    for _ in range(times):
        images = F.conv2d(images, kernel[None, None], padding=1)
    return images


@pytest.mark.parametrize("seed", range(3))
def test_every_further_blur_lowers_the_sharpness(seed):
    images = coins(20, seed, size=6)
    values = [sharpness(blurred(images, times), blurred(images, 0)) for times in range(8)]
    assert values[0] == 1 and all(a > b for a, b in zip(values, values[1:], strict=False))


def test_a_blurred_edge_has_the_height_of_a_sharp_one_and_less_energy():
    """1D steps 0 -> 1 in one pixel and in four: sums of |x_i - x_j| agree, sums of squares are 1 and 4 / 16."""
    sharp, soft = torch.tensor([0.0, 0, 0, 0, 1]), torch.tensor([0.0, 0.25, 0.5, 0.75, 1])
    assert sharp.diff().abs().sum() == soft.diff().abs().sum()
    energies = gradient_energy(torch.stack([sharp, soft])[:, None, None])
    assert energies.tolist() == [1.0, 0.25]


def test_the_energy_counts_both_directions_once():
    x = torch.tensor([[[[1.0, 0.0], [0.0, 0.0]]]])
    assert gradient_energy(x).item() == 2 and gradient_energy(x.transpose(2, 3)).item() == 2


def test_an_average_of_digits_is_blurred_and_other_digits_are_as_sharp():
    splits = digits(binary=True)
    train, test = splits.train, splits.test
    averages = torch.stack([train.images[train.labels == label].mean(0) for label in range(10)])
    assert sharpness(averages, test.images) < 0.5
    assert sharpness(train.images, test.images) == pytest.approx(1, abs=0.1)
    assert sharpness(coins(300, 0, size=8), test.images) > 1.2, "noise looks sharp"


def test_flat_data_are_refused():
    with pytest.raises(ValueError, match="flat"):
        sharpness(coins(3, 0), torch.ones(3, 1, 4, 4))


def test_undecided_is_the_entropy_of_each_pixel_written_out():
    torch.manual_seed(0)
    model, x = PixelCNN((1, 4, 4), 4, 1).double(), coins(6, 0).double()
    with torch.no_grad():
        p = torch.sigmoid(model(x))
    expected = -(p * p.log() + (1 - p) * (1 - p).log()).sum(dim=(1, 2, 3))
    assert torch.allclose(undecided(model, x), expected, atol=1e-10)


def test_undecided_is_log_two_a_pixel_for_an_even_coin_and_zero_for_the_certain():
    vae = pixelcnn_vae((1, 4, 4), code_size=2, hidden=4, width=4, depth=1)
    with torch.no_grad():
        for p in vae.decoder.parameters():
            p.zero_()
    x, z = coins(3, 0), torch.zeros(3, 2)
    assert undecided(vae.decoder, x, z).tolist() == pytest.approx([16 * math.log(2)] * 3, abs=1e-5)
    sure = FactorisedDecoder((1, 4, 4), 2, "linear")
    with torch.no_grad():
        sure.network[0].bias.fill_(500.0)
    assert undecided(sure, x, z).max() == 0


def test_pixels_that_are_not_black_or_white_have_no_such_entropy():
    with pytest.raises(ValueError, match="black and white"):
        undecided(FactorisedDecoder((1, 4, 4), 2, output=Gaussian(1.0)), coins(2, 0), torch.zeros(2, 2))


def test_one_value_has_a_mean_and_no_known_error_and_raises_no_alarm(recwarn):
    found = Mean.of(torch.ones(1))
    assert found.value == 1 and math.isnan(found.standard_error) and not recwarn.list


def test_a_mean_carries_the_standard_error_of_the_mean():
    values = normal((400,), seeded(0), torch.zeros((), dtype=torch.float64))
    found = Mean.of(values)
    assert found.standard_error == pytest.approx(float(values.std()) / 20) and "nats per image" in str(found)
