"""A variational autoencoder: any encoder q(z|x), prior p(z), and decoder with log_prob(x, z)."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from course_lib.models.autoregressive import Autoregressive
from course_lib.models.encoders import ConvEncoder, MLPEncoder
from course_lib.models.factorised import FactorisedDecoder
from course_lib.models.gated import GatedPixelCNN
from course_lib.models.gaussian import DiagonalGaussian, PointCode
from course_lib.models.pixelcnn import PixelCNN
from course_lib.models.priors import FlowPrior, Prior, StandardNormal


class VAE(nn.Module):
    """An encoder q(z|x), a decoder p(x|z) and a prior p(z) over codes of `code_size` numbers (N(0, I) if left out)."""

    def __init__(self, encoder: nn.Module, decoder: Autoregressive, code_size: int, prior: Prior | None = None):
        super().__init__()
        self.encoder, self.decoder, self.code_size = encoder, decoder, code_size
        self.prior = prior or StandardNormal(code_size)

    def encode(self, x: Float[Tensor, "batch colours height width"]) -> DiagonalGaussian | PointCode:
        """q(z|x), one Gaussian per image, or one point where the encoder is deterministic."""
        return self.encoder(x)

    def rate(self, q: DiagonalGaussian | PointCode, z: Float[Tensor, "batch code"]) -> Float[Tensor, " batch"]:
        """KL(q(z|x), p(z)) in nats per image: the closed form if the prior is N(0, I).

        For any other prior the unbiased estimate log q(z|x) - log p(z), with z drawn from q(z|x).
        Raises ValueError for a deterministic code, whose rate is infinite.
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

    @torch.no_grad()
    def reconstruct(
        self, x: Float[Tensor, "batch colours height width"], generator: torch.Generator, progress: bool = False
    ) -> Float[Tensor, "batch colours height width"]:
        """z ~ q(z|x), then a new image from p(x|z): what of x came through the code."""
        z = self.encode(x).sample(generator)
        return self.decoder.sample(len(x), generator, z, progress)


def pixelcnn_vae(image_shape: tuple[int, int, int], code_size: int, hidden: int, **decoder) -> VAE:
    """A VAE with a PixelCNN decoder; `decoder` holds the arguments of PixelCNN."""
    encoder = MLPEncoder(image_shape, code_size, hidden)
    return VAE(encoder, PixelCNN(image_shape, code_size=code_size, **decoder), code_size)


def gated_vae(image_shape: tuple[int, int, int], code_size: int, hidden: int, **decoder) -> VAE:
    """A VAE with a convolutional encoder and a gated decoder; `decoder` holds the arguments of GatedPixelCNN."""
    encoder = ConvEncoder(image_shape, code_size, hidden)
    return VAE(encoder, GatedPixelCNN(image_shape, code_size=code_size, **decoder), code_size)


def conv_vae(image_shape: tuple[int, int, int], code_size: int, hidden: int) -> VAE:
    """A VAE with a convolutional encoder and a factorised convolutional decoder, both of `hidden` channels."""
    decoder = FactorisedDecoder(image_shape, code_size, "conv", hidden)
    return VAE(ConvEncoder(image_shape, code_size, hidden), decoder, code_size)


def vlae(decoder: Autoregressive, hidden: int = 64, flow_hidden: int = 64, flow_layers: int = 4) -> VAE:
    """The Variational Lossy Autoencoder: a convolutional encoder, a flow prior, and a decoder that sees little.

    What the decoder's field cannot reach, and only that, is left for the code; give it a small one.
    Source: Chen et al. (2017), arXiv 1611.02731, section 3.
    """
    encoder = ConvEncoder(decoder.image_shape, decoder.code_size, hidden)
    prior = FlowPrior(decoder.code_size, flow_hidden, flow_layers)
    return VAE(encoder, decoder, decoder.code_size, prior)


def gated_vlae(
    image_shape: tuple[int, int, int], code_size: int, hidden: int, flow_hidden: int, flow_layers: int, **decoder
) -> VAE:
    """A VLAE with a gated decoder; `decoder` holds the arguments of GatedPixelCNN."""
    return vlae(GatedPixelCNN(image_shape, code_size=code_size, **decoder), hidden, flow_hidden, flow_layers)
