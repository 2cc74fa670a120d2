"""What training reaches, held against worlds whose best value is known exactly."""

import math

import pytest
import torch
from torch import nn

from course_lib.data.noise import normal
from course_lib.measurement.worlds.linear_gaussian import (
    Channel,
    Gaussian,
    LinearGaussianWorld,
    active_dimensions,
    ppca,
)
from course_lib.measurement.worlds.one_bit import DATA, best
from course_lib.measurement.worlds.quadrature import grid, solve
from course_lib.models import outputs
from course_lib.models.encoders import MLPEncoder
from course_lib.models.factorised import FactorisedDecoder
from course_lib.models.gaussian import DiagonalGaussian
from course_lib.models.pixelcnn import PixelCNN
from course_lib.models.vae import VAE
from course_lib.objectives.infovae import elbo
from course_lib.training.fit import Plan, fit

PIXELS = (1, 2, 5, 10, 100)


def two_images(pixels):
    """All zeros and all ones."""
    return torch.tensor([0.0, 1.0])[:, None, None, None].expand(2, 1, 1, pixels)


def trained_on_one_bit(decoder, pixels, plan):
    """Many copies of both images fill a batch, so that one step averages over many draws of z."""
    vae = VAE(MLPEncoder((1, 1, pixels), 1, hidden=8), decoder, 1)
    fit(vae, elbo(), two_images(pixels).repeat(plan.batch_size // 2, 1, 1, 1), plan, progress=False)
    world, q = solve(vae.double(), two_images(pixels).double(), grid(step=0.02))
    return world.account(q, DATA)


@pytest.mark.parametrize("pixels", PIXELS)
def test_independent_pixels_train_to_the_best_code_of_one_bit(pixels):
    torch.manual_seed(0)
    decoder = FactorisedDecoder((1, 1, pixels), 1, "mlp", hidden=16)
    # Rare draws of z on the wrong side cost n pixels each: more of them in a batch, and their gradients left whole.
    steps, batch_size = (1000, 1024) if pixels == 100 else (600, 512)
    plan = Plan(steps=steps, batch_size=batch_size, learning_rate=5e-2, clip=1000.0)
    account = trained_on_one_bit(decoder, pixels, plan)
    excess = account.loss - best(pixels).account().loss
    print(f"n = {pixels}: {excess:.5f} nats above the best loss\n{account}")
    assert -1e-6 < excess < 1e-2


@pytest.mark.parametrize("pixels", PIXELS)
def test_an_autoregressive_decoder_trains_to_log_two_with_hardly_a_use_for_the_code(pixels):
    """Whatever z still tells is worth nothing: near the empty code rate and distortion trade one to one."""
    torch.manual_seed(0)
    decoder = PixelCNN((1, 1, pixels), width=16, depth=1, code_size=1)
    account = trained_on_one_bit(decoder, pixels, Plan(steps=400, batch_size=16, learning_rate=5e-2))
    excess = account.loss - math.log(2)
    print(f"n = {pixels}: {excess:.5f} nats above log 2\n{account}")
    assert -1e-6 < excess < 1e-2
    assert account.information < 0.25 and account.aggregate_gap < 2e-3


class LinearEncoder(nn.Module):
    """q(z|x) = N(V x + c, diag(exp(log_var))), the same variance for all x."""

    def __init__(self, pixels, code_size):
        super().__init__()
        self.mu, self.log_var = nn.Linear(pixels, code_size), nn.Parameter(torch.zeros(code_size))

    def forward(self, x):
        mu = self.mu(x.flatten(1))
        return DiagonalGaussian(mu, self.log_var.expand_as(mu))


def images_with(eigenvalues, count, generator):
    """Images whose mean and covariance are exactly those returned, with the given eigenvalues in a random basis."""
    d = len(eigenvalues)
    e = normal((count, d), generator, like=torch.empty(0, dtype=torch.float64))
    white = torch.linalg.qr(e - e.mean(0)).Q * count**0.5
    basis = torch.linalg.qr(normal((d, d), generator, like=e)).Q
    cov = basis @ torch.diag(torch.tensor(eigenvalues).to(e)) @ basis.T
    mean = normal((d,), generator, like=e)
    x = mean + white @ torch.linalg.cholesky(cov).T
    return x.float().view(count, 1, 1, d), Gaussian(mean, cov)


def channel(linear, cov):
    return Channel(linear.weight.detach().double(), linear.bias.detach().double(), cov.detach().double())


SPECTRA = [
    ((4.0, 2.0, 0.5, 0.25), 4, 1.0, 2),
    ((6.0, 3.0, 2.0, 0.4, 0.2), 2, 1.0, 2),
    ((3.0, 1.0, 0.6, 0.1, 0.05, 0.02), 5, 0.3, 3),
    ((0.7, 0.5, 0.3), 2, 1.0, 0),
]


@pytest.mark.parametrize("eigenvalues, code_size, variance, active", SPECTRA)
def test_a_linear_vae_trains_to_ppca_with_a_dimension_for_each_eigenvalue_above_the_noise(
    eigenvalues, code_size, variance, active
):
    torch.manual_seed(0)
    x, data = images_with(eigenvalues, 4096, torch.Generator().manual_seed(0))
    decoder = FactorisedDecoder(x.shape[1:], code_size, "linear", output=outputs.Gaussian(variance**0.5))
    vae = VAE(LinearEncoder(len(eigenvalues), code_size), decoder, code_size)
    fit(vae, elbo(), x, Plan(steps=1000, batch_size=2048, learning_rate=5e-2), progress=False)

    world = LinearGaussianWorld(channel(decoder.network[0], variance * torch.eye(len(eigenvalues))))
    account = world.account(channel(vae.encoder.mu, torch.diag(vae.encoder.log_var.exp())), data)
    exact = float(data.cross_entropy(ppca(data, code_size, variance).marginal()))
    W = world.decoder.A
    print(f"{account.loss - exact:.6f} nats above pPCA; posterior gap {account.posterior_gap:.6f}\n{W.T @ W}")
    assert -1e-9 < account.loss - exact < 1e-3
    assert active_dimensions(world) == active == min(code_size, sum(value > variance for value in eigenvalues))
    off_diagonal = W.T @ W - torch.diag((W.T @ W).diagonal())
    assert off_diagonal.abs().max() < 0.1, "a diagonal q makes the columns of W orthogonal"
