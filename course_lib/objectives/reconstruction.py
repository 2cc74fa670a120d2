"""What a reconstruction is charged for: wrong pixels, wrong features, or being found out."""

import copy

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call

from course_lib.models.autoregressive import Autoregressive
from course_lib.models.encoders import ConvEncoder
from course_lib.models.factorised import FactorisedDecoder
from course_lib.models.outputs import Bernoulli
from course_lib.objectives.gather import whole_batch


class Cost:
    """Called with a decoder, images x, the same in black and white, and codes, it answers one number for each image."""

    def __call__(
        self,
        decoder: Autoregressive,
        x: Float[Tensor, "batch colours height width"],
        seen: Float[Tensor, "batch colours height width"],
        z: Float[Tensor, "batch code"],
    ) -> Float[Tensor, " batch"]:
        """The cost of each reconstruction."""
        raise NotImplementedError

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"

    def after_step(self) -> None:
        """Called after the model's optimiser has stepped."""

    def state_dict(self) -> dict:
        """What a checkpoint must hold."""
        return {}

    def load_state_dict(self, state: dict) -> None:
        """Take up the state that `state_dict` gave."""


class Pixels(Cost):
    """-log p(x|z), the distortion, in nats, of the image in black and white."""

    def __call__(self, decoder, x, seen, z):
        return -decoder.log_prob(seen, z)


class Features(Cost):
    """scale/2 |h(x) - h(x_hat)|^2 / n, with n features h and x_hat, the mean picture, each pixel's probability of ink.

    h is what a fixed `network` answers to 2 x - 1, each number shifted and scaled to mean 0 and variance 1 on
    `images`; numbers that hardly vary there do not count. The decoder must be factorised: any other has no mean picture
    in closed form. Raises ValueError where no number varies. Source: Hou et al. (2017), arXiv 1610.00291, section 3.
    """

    def __init__(self, name: str, network: nn.Module, images: Float[Tensor, "n colours h w"], scale: float = 400.0):
        self.name, self.scale, self.network = name, scale, copy.deepcopy(network).eval().requires_grad_(False)
        answers = self.network(2 * images - 1).flatten(1)
        deviation = answers.std(0)
        if not deviation.max() > 0:
            raise ValueError(f"no feature of {name!r} varies on these {len(images)} images: give other images, or more")
        self.mean, self.weight = answers.mean(0), (deviation > 0.05 * deviation.max()) / deviation.clamp_min(1e-12)

    def __repr__(self) -> str:
        return f"Features({self.name!r}, scale={self.scale:g})"

    def __call__(self, decoder, x, seen, z):
        apart = self._standardised(x) - self._standardised(mean_picture(decoder, z))
        return self.scale / 2 * apart.square().sum(1) / self.weight.count_nonzero()

    def _standardised(self, x: Tensor) -> Float[Tensor, "batch n"]:
        answers = self.network.to(x.device)(2 * x - 1).flatten(1)
        return (answers - self.mean.to(x.device)) * self.weight.to(x.device)


class FoundOut(Cost):
    """pixels * (-log p(x|z)) + features/2 |f(x) - f(x_hat)|^2 / n - weight log sigmoid(T(x_hat)): a VAE-GAN.

    A discriminator, T(x) = the logit of "x is an image, no reconstruction", learns after each step with an Adam of its
    own; f are the n numbers of its last layer but one. Larsen et al. put `pixels` at 0 and compare features in the
    pixels' place; the encoder is not charged for being found out there, and is here.
    Source: Larsen et al. (2016), arXiv 1512.09300, algorithm 1; Goodfellow et al. (2014), arXiv 1406.2661.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        pixels: float = 1.0,
        features: float = 0.0,
        weight: float = 20.0,
        hidden: int = 32,
        seed: int = 0,
        learning_rate: float = 5e-4,
    ):
        self.pixels, self.features, self.weight = pixels, features, weight
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.discriminator = ConvEncoder(image_shape, 1, hidden, deterministic=True).layers
        self.optimiser = torch.optim.Adam(self.discriminator.parameters(), lr=learning_rate, betas=(0.5, 0.999))
        self.settings = f"hidden={hidden}, seed={seed}, learning_rate={learning_rate:g}"
        self._pair: tuple[Tensor, Tensor] | None = None

    def __repr__(self) -> str:
        return f"FoundOut(pixels={self.pixels:g}, features={self.features:g}, weight={self.weight:g}, {self.settings})"

    def __call__(self, decoder, x, seen, z):
        drawn = mean_picture(decoder, z)
        self._pair = whole_batch(x.detach()), whole_batch(drawn.detach())
        self._follow(x.device)
        (true, _), (made, logit) = self._judged(x), self._judged(drawn)
        apart = (true - made).square().mean(1)
        return self.pixels * -decoder.log_prob(seen, z) + self.features / 2 * apart + self.weight * F.softplus(-logit)

    def _follow(self, device: torch.device) -> None:
        """The discriminator to the images' device, and Adam's moments with it."""
        if next(self.discriminator.parameters()).device != device:
            kept = self.optimiser.state_dict()
            self.optimiser = torch.optim.Adam(self.discriminator.to(device).parameters())
            self.optimiser.load_state_dict(kept)

    def _judged(self, x: Tensor) -> tuple[Float[Tensor, "batch n"], Float[Tensor, " batch"]]:
        """f(x) and T(x), by a discriminator whose weights get no gradient."""
        *below, last = self.discriminator
        features = 2 * x - 1
        for layer in below:
            features = functional_call(layer, {name: p.detach() for name, p in layer.named_parameters()}, (features,))
        return features, F.linear(features, last.weight.detach(), last.bias.detach())[:, 0]

    def after_step(self) -> None:
        """One step of the discriminator down its cross-entropy, on the batch that the model has just learnt from."""
        true, drawn = self._pair
        self.optimiser.zero_grad(set_to_none=True)
        logits = [self.discriminator(2 * x - 1)[:, 0] for x in (true, drawn)]
        (F.softplus(-logits[0]).mean() + F.softplus(logits[1]).mean()).backward()
        self.optimiser.step()

    def state_dict(self) -> dict:
        """Discriminator and optimiser."""
        return {"discriminator": self.discriminator.state_dict(), "optimiser": self.optimiser.state_dict()}

    def load_state_dict(self, state: dict) -> None:
        """Take up the state that `state_dict` gave."""
        self.discriminator.load_state_dict(state["discriminator"])
        self.optimiser.load_state_dict(state["optimiser"])


def mean_picture(decoder: Autoregressive, z: Float[Tensor, "batch code"]) -> Float[Tensor, "batch colours h w"]:
    """Each pixel's probability of ink given the code.

    Raises ValueError for a decoder whose pixels see each other, and for pixels that are not black or white.
    """
    if not isinstance(decoder, FactorisedDecoder):
        raise ValueError(
            f"{type(decoder).__name__} has no mean picture in closed form, since its pixels depend on each other: "
            "give the VAE a FactorisedDecoder"
        )
    if not isinstance(decoder.output, Bernoulli):
        kind = type(decoder.output).__name__
        raise ValueError(f"ink is black or white: give the decoder the output Bernoulli, not {kind}")
    return torch.sigmoid(decoder(z.new_empty(len(z), *decoder.image_shape), z))
