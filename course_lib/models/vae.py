"""A variational autoencoder: an encoder q(z|x), a standard normal prior p(z), and any decoder with log_prob(x, z)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from course_lib.models.gaussian import DiagonalGaussian
from course_lib.models.pixelcnn import PixelCNN


class Encoder(nn.Module):
    """q(z|x): two hidden layers of `hidden` units, then the mean and log-variance of a diagonal Gaussian."""

    def __init__(self, image_shape: tuple[int, int, int], code_size: int, hidden: int = 128):
        super().__init__()
        pixels = image_shape[0] * image_shape[1] * image_shape[2]
        layers = (nn.Linear(pixels, hidden), nn.ReLU(), nn.Linear(hidden, hidden), nn.ReLU())
        self.layers = nn.Sequential(nn.Flatten(), *layers, nn.Linear(hidden, 2 * code_size))

    def forward(self, x: Float[Tensor, "batch colours height width"]) -> DiagonalGaussian:
        mu, log_var = self.layers(2 * x - 1).chunk(2, dim=-1)
        return DiagonalGaussian(mu, log_var)


class VAE(nn.Module):
    """An encoder and a decoder that share a code z ~ N(0, I) of `code_size` numbers."""

    def __init__(self, encoder: nn.Module, decoder: nn.Module, code_size: int):
        super().__init__()
        self.encoder, self.decoder, self.code_size = encoder, decoder, code_size

    def encode(self, x: Float[Tensor, "batch colours height width"]) -> DiagonalGaussian:
        """q(z|x), one Gaussian per image."""
        return self.encoder(x)

    @torch.no_grad()
    def sample(self, count: int, generator: torch.Generator) -> Float[Tensor, "count colours height width"]:
        """z ~ p(z), then x ~ p(x|z)."""
        z = torch.randn(count, self.code_size, generator=generator)
        return self.decoder.sample(count, generator, z)


def pixelcnn_vae(image_shape: tuple[int, int, int], code_size: int, hidden: int, **decoder) -> VAE:
    """A VAE with a PixelCNN decoder; `decoder` holds the arguments of PixelCNN."""
    encoder = Encoder(image_shape, code_size, hidden)
    return VAE(encoder, PixelCNN(image_shape, code_size=code_size, **decoder), code_size)
