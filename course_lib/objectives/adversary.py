"""A network that learns to tell codes from draws of the prior, and is as good as the difference between them."""

import math

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.utils import skip_init

from course_lib.data.noise import uniform


class Discriminator(nn.Module):
    """T(z), the logit of "z came from q(z)": linear in z and z^2, plus two hidden layers on them.

    log q(z) / p(z) of two Gaussians with diagonal covariances is linear in z and z^2.
    """

    def __init__(self, code_size: int, hidden: int, generator: torch.Generator):
        super().__init__()
        self.code_size = code_size
        self.linear = seeded_linear(2 * code_size, 1, generator)
        first, second = seeded_linear(2 * code_size, hidden, generator), seeded_linear(hidden, hidden, generator)
        last = seeded_linear(hidden, 1, generator)
        self.layers = nn.Sequential(first, nn.LeakyReLU(0.2), second, nn.LeakyReLU(0.2), last)

    def forward(self, z: Float[Tensor, "n code"]) -> Float[Tensor, " n"]:
        features = torch.cat([z, z**2], dim=1)
        return (self.linear(features) + self.layers(features)).squeeze(1)


def seeded_linear(inputs: int, outputs: int, generator: torch.Generator) -> nn.Linear:
    """A linear layer with weights and biases uniform within 1 / sqrt(inputs), drawn from `generator` alone."""
    layer = skip_init(nn.Linear, inputs, outputs)
    with torch.no_grad():
        for weight in layer.parameters():
            weight.copy_((2 * uniform(weight.shape, generator, like=weight) - 1) / inputs**0.5)
    return layer


class Adversary:
    """E_q[T(z)], an estimate of KL(q(z), p(z)) in nats: exact where T = log q/p, which the best discriminator is.

    A discriminator short of the best makes it an estimate without a side: `jensen_shannon` is the honest bound.
    Its gradient in z is that of KL(q(z), p(z)) where T is the best. The discriminator learns in `learn`, with an
    Adam of its own, `steps` steps on each batch, and its weights get no gradient from the model's loss.
    Raises ValueError for fewer than one step, and for codes of another length than `code_size`.
    Source: Mescheder, Nowozin and Geiger (2017), arXiv 1701.04722; Makhzani et al. (2016), arXiv 1511.05644.
    """

    unit = "nats"

    def __init__(self, code_size: int, hidden: int = 128, seed: int = 0, steps: int = 1, learning_rate: float = 1e-3):
        if steps < 1:
            raise ValueError(f"an adversary that takes {steps} steps on a batch learns nothing: choose at least 1")
        self.steps = steps
        self.settings = f"hidden={hidden}, seed={seed}, steps={steps}, learning_rate={learning_rate}"
        self.discriminator = Discriminator(code_size, hidden, torch.Generator().manual_seed(seed))
        self.optimiser = torch.optim.Adam(self.discriminator.parameters(), lr=learning_rate)

    def __repr__(self) -> str:
        return f"Adversary({self.settings})"

    def __call__(self, z: Float[Tensor, "n code"], prior: Float[Tensor, "m code"]) -> Float[Tensor, ""]:
        """mean_i T(z_i), in nats; the prior's sample is needed for learning only."""
        frozen = {name: p.detach() for name, p in self._placed(z).named_parameters()}
        return functional_call(self.discriminator, frozen, (z.float(),)).mean()

    @torch.no_grad()
    def jensen_shannon(self, z: Float[Tensor, "n code"], prior: Float[Tensor, "m code"]) -> Float[Tensor, ""]:
        """log 2 - cross-entropy, in nats: for samples not learnt from, at most JSD(q(z), p(z)) on average.

        Source: Goodfellow et al. (2014), arXiv 1406.2661, section 4.1.
        """
        return math.log(2) - self._cross_entropy(z, prior)

    def learn(self, z: Float[Tensor, "n code"], prior: Float[Tensor, "m code"]) -> None:
        """`steps` steps down the cross-entropy of telling z from the prior's sample."""
        for _ in range(self.steps):
            self.optimiser.zero_grad(set_to_none=True)
            self._cross_entropy(z.detach(), prior.detach()).backward()
            self.optimiser.step()

    def _cross_entropy(self, z: Tensor, prior: Tensor) -> Tensor:
        """-1/2 E_q log sigmoid(T) - 1/2 E_p log sigmoid(-T)."""
        T = self._placed(z)
        return (F.softplus(-T(z.float())).mean() + F.softplus(T(prior.float())).mean()) / 2

    def _placed(self, z: Tensor) -> Discriminator:
        """The discriminator on the device of z, and Adam's moments with it."""
        if z.shape[1] != self.discriminator.code_size:
            raise ValueError(
                f"this adversary judges codes of {self.discriminator.code_size} numbers, got {z.shape[1]}: "
                f"make it with Adversary({z.shape[1]})"
            )
        if next(self.discriminator.parameters()).device != z.device:
            kept = self.optimiser.state_dict()
            self.optimiser = torch.optim.Adam(self.discriminator.to(z.device).parameters())
            self.optimiser.load_state_dict(kept)
        return self.discriminator

    def state_dict(self) -> dict:
        """Discriminator and optimiser."""
        return {"discriminator": self.discriminator.state_dict(), "optimiser": self.optimiser.state_dict()}

    def load_state_dict(self, state: dict) -> None:
        """Take up the state that `state_dict` gave."""
        self.discriminator.load_state_dict(state["discriminator"])
        self.optimiser.load_state_dict(state["optimiser"])
