"""The factorised decoder: pixels that know each other through the code alone."""

import itertools
import math

import pytest
import torch

from course_lib.measurement.likelihood import iwae_log_prob
from course_lib.models.factorised import NETWORKS, FactorisedDecoder
from course_lib.models.gaussian import DiagonalGaussian
from course_lib.models.outputs import Bernoulli, Categorical, Gaussian, LogisticMixture
from course_lib.models.vae import VAE

SHAPES = [(1, 8, 8), (1, 28, 28), (3, 5, 7), (1, 1, 1), (2, 9, 2)]


def seeded(seed):
    return torch.Generator().manual_seed(seed)


def random_decoder(shape, network, output=None, code_size=3, seed=0):
    torch.manual_seed(seed)
    return FactorisedDecoder(shape, code_size, network, 16, output).double()


def random_code(count, code_size=3, seed=0):
    return torch.randn(count, code_size, generator=seeded(seed)).double()


@pytest.mark.parametrize("network", NETWORKS)
@pytest.mark.parametrize("shape", SHAPES)
def test_pixels_of_x_change_nothing_to_the_bit_and_every_number_depends_on_the_code(network, shape):
    model, z = random_decoder(shape, network, Gaussian()), random_code(4)
    x, other = torch.rand(2, 4, *shape, generator=seeded(1)).double()
    numbers = model(x, z)
    assert numbers.shape == (4, 2 * shape[0], *shape[1:])
    assert torch.equal(numbers, model(other, z))
    assert (model(x, random_code(4, seed=1)) != numbers).any(0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_numbers_take_the_dtype_of_the_images(dtype):
    assert random_decoder((1, 4, 4), "mlp")(torch.zeros(2, 1, 4, 4, dtype=dtype), random_code(2)).dtype == dtype


@pytest.mark.parametrize("network", NETWORKS)
def test_probabilities_of_all_images_add_up_to_one_and_factorise(network):
    model, z = random_decoder((1, 2, 3), network), random_code(1)
    every = torch.tensor(list(itertools.product([0.0, 1.0], repeat=6))).double().view(-1, 1, 2, 3)
    p = model.log_prob(every, z.expand(64, 3)).exp().detach()
    assert float(p.sum()) == pytest.approx(1, abs=1e-12)
    ink = p @ every.flatten(1)
    assert torch.allclose(p @ (every.flatten(1)[:, 1] * every.flatten(1)[:, 5]), ink[1] * ink[5], atol=1e-12)


@pytest.mark.parametrize("output", [Bernoulli(), Categorical(4), LogisticMixture(2, 4), Gaussian()])
@pytest.mark.parametrize("network", NETWORKS)
def test_numbers_computed_once_draw_what_the_whole_network_draws_anew(network, output):
    model, z = random_decoder((2, 3, 2), network, output), random_code(5)
    drawn = model.sample(5, seeded(0), z)
    assert torch.equal(drawn, model.sample(5, seeded(0), z, cached=False))
    assert len(drawn.unique()) > 1


def test_the_network_runs_once_for_a_whole_sample():
    model, calls = random_decoder((1, 6, 6), "mlp"), []
    model.network.register_forward_hook(lambda *_: calls.append(1))
    model.sample(3, seeded(0), random_code(3))
    assert len(calls) == 1


def test_a_transposed_convolution_puts_neighbouring_pixels_closer_than_distant_ones():
    """A change in one place of the middle layer stays in one place of the image."""
    model = random_decoder((1, 28, 28), "conv")
    middle = torch.zeros(1, 16, 7, 7).double()
    touched = middle.clone()
    touched[0, :, 3, 3] = 1
    moved = (model.network[3:](touched) - model.network[3:](middle)).abs()[0, 0] > 0
    rows, columns = moved.any(1).nonzero()[:, 0], moved.any(0).nonzero()[:, 0]
    assert rows.min() >= 9 and rows.max() <= 18 and columns.min() >= 9 and columns.max() <= 18
    assert moved.sum() == 100, "4 taps, then 2 * 3 + 4 = 10 pixels a side"


def linear_vae(sigma, seed=0, code_size=2):
    """p(x|z) = N(W z + b, sigma^2 I) with orthogonal columns of W, and the encoder that is its exact posterior."""
    decoder = random_decoder((1, 3, 3), "linear", Gaussian(sigma), code_size, seed)
    w, b = decoder.network[0].weight, decoder.network[0].bias
    with torch.no_grad():
        w.copy_(torch.linalg.qr(w).Q * torch.tensor([2.0, 0.7]))
    precision = 1 + (w**2).sum(0) / sigma**2

    def encoder(x):
        mu = (x.flatten(1) - b) @ w / sigma**2 / precision
        return DiagonalGaussian(mu, (-precision.log()).expand_as(mu))

    return VAE(torch.nn.Identity(), decoder, code_size), encoder


@pytest.mark.parametrize("sigma", [0.3, 1.0])
def test_the_linear_vae_has_the_likelihood_of_probabilistic_pca(sigma):
    """log p(x) = log N(x; b, W W^T + sigma^2 I), met exactly by one importance sample from the exact posterior."""
    vae, posterior = linear_vae(sigma)
    vae.encode = posterior
    x = torch.randn(8, 1, 3, 3, generator=seeded(1)).double()
    w, b = vae.decoder.network[0].weight, vae.decoder.network[0].bias
    covariance = w @ w.T + sigma**2 * torch.eye(9).double()
    exact = torch.distributions.MultivariateNormal(b, covariance).log_prob(x.flatten(1))
    assert torch.allclose(iwae_log_prob(vae, x, 1, seeded(2)), exact, atol=1e-10)


def test_samples_of_the_linear_vae_have_its_mean_and_covariance():
    vae, _ = linear_vae(0.5)
    drawn = vae.sample(20_000, seeded(0)).flatten(1)
    w, b = vae.decoder.network[0].weight.detach(), vae.decoder.network[0].bias.detach()
    covariance = w @ w.T + 0.25 * torch.eye(9).double()
    scale = covariance.diagonal().sqrt()
    error = 5 / math.sqrt(20_000)
    assert ((drawn.mean(0) - b) / scale).abs().max() < error
    assert ((drawn.T.cov() - covariance) / torch.outer(scale, scale)).abs().max() < error * math.sqrt(2)


@pytest.mark.parametrize("arguments, message", [(("mlp", 0), "code_size >= 1"), (("cnn", 2), "one of mlp, conv")])
def test_decoders_that_cannot_be_are_refused(arguments, message):
    network, code_size = arguments
    with pytest.raises(ValueError, match=message):
        FactorisedDecoder((1, 4, 4), code_size, network)


def test_a_missing_code_is_refused():
    with pytest.raises(ValueError, match="pass z"):
        random_decoder((1, 4, 4), "mlp").log_prob(torch.zeros(3, 1, 4, 4))
