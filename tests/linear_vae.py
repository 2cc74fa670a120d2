"""A VAE whose decoder, posterior and log p(x) are those of a linear-Gaussian world."""

import torch
from torch import nn

from course_lib.measurement.worlds.linear_gaussian import Channel, LinearGaussianWorld
from course_lib.models.gaussian import DiagonalGaussian
from course_lib.models.vae import VAE


class LinearDecoder(nn.Module):
    """log N(x; W z + b, s^2 I)."""

    def __init__(self, W, b, s):
        super().__init__()
        self.W, self.b, self.s = nn.Parameter(W), nn.Parameter(b), s

    def log_prob(self, x, z):
        return torch.distributions.Normal(z @ self.W.T + self.b, self.s).log_prob(x).sum(1)


class LinearEncoder(nn.Module):
    """q(z|x) = N(V x + c, diag(exp(log_var))), the same variance for all x."""

    def __init__(self, V, c, log_var):
        super().__init__()
        self.V, self.c, self.log_var = nn.Parameter(V), nn.Parameter(c), nn.Parameter(log_var)

    def forward(self, x):
        return DiagonalGaussian(x @ self.V.T + self.c, self.log_var.expand(len(x), -1))

    def channel(self):
        return Channel(self.V.detach(), self.c.detach(), self.log_var.detach().exp().diag())


def linear_world(pixels, code, s, seed):
    g = torch.Generator().manual_seed(seed)
    W, b = torch.randn(pixels, code, generator=g).double() * code**-0.5, torch.randn(pixels, generator=g).double()
    return LinearGaussianWorld(Channel(W, b, s**2 * torch.eye(pixels).double()))


def linear_vae(world, q):
    """The world's decoder, and an encoder that answers with the channel q, of diagonal covariance."""
    decoder = LinearDecoder(world.decoder.A, world.decoder.b, float(world.decoder.cov[0, 0].sqrt()))
    return VAE(LinearEncoder(q.A, q.b, q.cov.diagonal().log()), decoder, q.A.shape[0])


def best_diagonal(world):
    """The diagonal Gaussian of greatest ELBO: the posterior's mean, and the diagonal of its precision."""
    posterior = world.posterior()
    return Channel(posterior.A, posterior.b, posterior.cov.inverse().diagonal().reciprocal().diag())


def sloppy(world, seed=0):
    """The best diagonal Gaussian spoiled: its means off by 0.2 or so, its variances by a factor of 1.5."""
    q, g = best_diagonal(world), torch.Generator().manual_seed(seed)
    return Channel(q.A, q.b + 0.2 * torch.randn(q.b.shape, generator=g).double(), 1.5 * q.cov)
