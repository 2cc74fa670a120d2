"""The way from a density that can be drawn from to p(x, z), walked by many chains at once."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm.auto import trange

from course_lib.measurement.hmc import LogDensity, transition
from course_lib.models.gaussian import DiagonalGaussian, PointCode
from course_lib.models.vae import VAE

FIRST_STEP, STEP_LEARNING_RATE, STEEPNESS = 0.5, 0.2, 4.0


@dataclass(frozen=True)
class Annealing:
    """The way from `start`, which is "q" (the encoder's answer) or "prior", to p(x, z).

    `distributions` densities f_b = start^(1-b) p(x, z)^b lie between the two, b on a "linear" schedule, or on a
    "sigmoid" one, slow at both ends. Each is kept invariant by one HMC transition of `leapfrogs` steps, tuned to an
    acceptance of `target`. Raises ValueError for settings that make no sense.
    """

    start: str = "q"
    distributions: int = 1000
    chains: int = 16
    leapfrogs: int = 10
    schedule: str = "linear"
    target: float = 0.65

    def __post_init__(self):
        if self.start not in ("q", "prior") or self.schedule not in ("sigmoid", "linear"):
            raise ValueError(
                "start must be 'q' or 'prior' and schedule 'sigmoid' or 'linear', "
                f"got {self.start!r} and {self.schedule!r}"
            )
        if self.distributions < 0 or self.chains < 1 or self.leapfrogs < 1 or not 0 < self.target < 1:
            raise ValueError(
                f"{self}: distributions must be 0 or more, chains and leapfrogs 1 or more, target between 0 and 1"
            )

    def betas(self) -> list[float]:
        """0 = b_0 < b_1 < ... < b_(distributions + 1) = 1."""
        place = torch.linspace(0, 1, self.distributions + 2, dtype=torch.float64)
        if self.schedule == "sigmoid":
            place = torch.sigmoid(STEEPNESS * (2 * place - 1))
        return ((place - place[0]) / (place[-1] - place[0])).tolist()

    def __str__(self) -> str:
        return (
            f"from the {'encoder' if self.start == 'q' else 'prior'}, {self.distributions} distributions "
            f"({self.schedule}), {self.chains} chains, {self.leapfrogs} leapfrog steps"
        )


@dataclass(frozen=True)
class Bridge:
    """log f_b(z) = log start(z) + b gain(z), with gain = log p(x, z) - log start(z), in nats; one row for each chain.

    `scale` is the spread of the start: HMC steps are in units of it.
    """

    start: LogDensity
    gain: LogDensity
    draw: Callable[[torch.Generator], Tensor]
    scale: Float[Tensor, "rows code"] | float

    def at(self, beta: float) -> LogDensity:
        """z -> log f_beta(z)."""
        return lambda z: self.start(z) + beta * self.gain(z)


def bridge(vae: VAE, x: Float[Tensor, "images colours height width"], start: str, chains: int) -> Bridge:
    """From the prior the gain is log p(x|z); from q it is log p(x|z) + log p(z) - log q(z|x).

    Raises ValueError for start "q" where the encoder is deterministic: a point has no density.
    """
    rows, prior = x.repeat_interleave(chains, 0), vae.prior
    likelihood = partial(vae.decoder.log_prob, rows)
    if start == "prior":
        return Bridge(prior.log_prob, likelihood, partial(prior.sample, len(rows), like=x), 1.0)
    q = vae.encode(x)
    if isinstance(q, PointCode):
        raise ValueError("a deterministic encoder has no density to start from: choose Annealing(start='prior')")
    q = DiagonalGaussian(q.mu.repeat_interleave(chains, 0), q.log_var.repeat_interleave(chains, 0))
    return Bridge(
        q.log_prob, lambda z: likelihood(z) + prior.log_prob(z) - q.log_prob(z), q.sample, (q.log_var / 2).exp()
    )


def walk(
    path: Bridge,
    z: Float[Tensor, "rows code"],
    betas: list[float],
    steps: Float[Tensor, "distributions images"],
    annealing: Annealing,
    generator: torch.Generator,
    learn: bool = False,
    **bar,
) -> tuple[Float[Tensor, "images chains"], Float[Tensor, " images"]]:
    """The log-weights and the mean acceptance along `betas`; where these fall from 1 to 0, the logarithms of 1/w.

        log w = sum_t (b_(t+1) - b_t) gain(z_t),  z_t moved by HMC that leaves f_(b_t) invariant

    With `learn`, each transition sets the step sizes ahead: log step += rate (acceptance - target).
    """
    images = steps.shape[1]
    log_weights, accepted = z.new_zeros(len(z), dtype=torch.float64), z.new_zeros(images)
    for t in trange(len(steps), **bar):
        log_weights += (betas[t + 1] - betas[t]) * path.gain(z)
        step = steps[t].repeat_interleave(len(z) // images)[:, None] * path.scale
        z, acceptance = transition(path.at(betas[t + 1]), z, step, annealing.leapfrogs, generator)
        rate = acceptance.view(images, -1).mean(1)
        accepted += rate / len(steps)
        if learn:
            steps[t + 1 :] = steps[t] * (STEP_LEARNING_RATE * (rate - annealing.target)).exp()
    log_weights += (betas[-1] - betas[-2]) * path.gain(z)
    return log_weights.view(images, -1), accepted


def find_steps(
    vae: VAE,
    x: Float[Tensor, "images colours height width"],
    annealing: Annealing,
    generator: torch.Generator,
    progress: bool,
) -> Float[Tensor, "distributions images"]:
    """A step size for each distribution and image, from a preliminary run with a quarter of the chains.

    The weights need transitions that are fixed before the chains start: steps that followed the acceptance of the
    very chains they move would bias them. So the chains of this run are thrown away, and its steps frozen.
    """
    steps = torch.full((annealing.distributions, len(x)), FIRST_STEP, dtype=x.dtype, device=x.device)
    path = bridge(vae, x, annealing.start, max(1, annealing.chains // 4))
    z, bar = path.draw(generator), dict(desc="step sizes", disable=not progress)
    walk(path, z, annealing.betas(), steps, annealing, generator, learn=True, **bar)
    return steps
