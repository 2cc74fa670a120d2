"""A variational autoencoder: any encoder q(z|x), prior p(z), and decoder with log_prob(x, z)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from course_lib.models.autoregressive import Autoregressive
from course_lib.models.gaussian import DiagonalGaussian
from course_lib.models.pixelcnn import PixelCNN
from course_lib.models.priors import Prior, StandardNormal


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
    """An encoder q(z|x), a decoder p(x|z) and a prior p(z) over codes of `code_size` numbers (N(0, I) if left out)."""

    def __init__(self, encoder: nn.Module, decoder: Autoregressive, code_size: int, prior: Prior | None = None):
        super().__init__()
        self.encoder, self.decoder, self.code_size = encoder, decoder, code_size
        self.prior = prior or StandardNormal(code_size)

    def encode(self, x: Float[Tensor, "batch colours height width"]) -> DiagonalGaussian:
        """q(z|x), one Gaussian per image."""
        return self.encoder(x)

    def rate(self, q: DiagonalGaussian, z: Float[Tensor, "batch code"]) -> Float[Tensor, " batch"]:
        """KL(q(z|x), p(z)) in nats per image: the closed form if the prior is N(0, I).

        For any other prior the unbiased estimate log q(z|x) - log p(z), with z drawn from q(z|x).
        """
        if isinstance(self.prior, StandardNormal):
            return q.kl_to_standard_normal()
        return q.log_prob(z) - self.prior.log_prob(z)

    @torch.no_grad()
    def sample(
        self, count: int, generator: torch.Generator, progress: bool = False
    ) -> Float[Tensor, "count colours height width"]:
        """z ~ p(z), then x ~ p(x|z)."""
        z = self.prior.sample(count, generator, like=next(self.parameters()))
        return self.decoder.sample(count, generator, z, progress)


def pixelcnn_vae(image_shape: tuple[int, int, int], code_size: int, hidden: int, **decoder) -> VAE:
    """A VAE with a PixelCNN decoder; `decoder` holds the arguments of PixelCNN."""
    encoder = Encoder(image_shape, code_size, hidden)
    return VAE(encoder, PixelCNN(image_shape, code_size=code_size, **decoder), code_size)
