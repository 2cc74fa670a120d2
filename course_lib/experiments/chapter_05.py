"""Chapter 05: when Gaussians add up to a Gaussian, and what a code then costs."""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from scipy.optimize import minimize
from torch import Tensor

from course_lib.data import digits
from course_lib.experiments.seeds import SEEDS, over_seeds
from course_lib.measurement.codes import Codes
from course_lib.measurement.information import Information, information_of
from course_lib.measurement.ledger import Claim, Result
from course_lib.measurement.worlds.account import Account
from course_lib.measurement.worlds.discrete import DiscreteWorld, kl
from course_lib.measurement.worlds.linear_gaussian import Channel, Gaussian, LinearGaussianWorld, ppca
from course_lib.measurement.worlds.mixtures import (
    Mixture,
    infinite_mixture_log_prob,
    quadrature_copies,
    shifted_copies,
    world_of_posteriors,
)
from course_lib.measurement.worlds.quadrature import gaussian_table, gaussian_world, grid
from course_lib.models.gaussian import DiagonalGaussian
from course_lib.zoo.train import hardware

CLAIMS = (
    Claim(
        "C15",
        "Gaussians add up to a Gaussian only if all have the same mean and variance.",
        "True of finitely many: the chapter proves it. False of infinitely many: the right ones add up to N(0, 1) "
        "exactly. And finitely many, though never there, come as near as one likes.",
    ),
    Claim(
        "C16",
        "For zero KL(q(z|x), p(z|x)) a Gaussian q must be the prior, whatever x; otherwise q must not be Gaussian.",
        "False as it stands: a Gaussian q can tell much and leave no gap if the model's x takes infinitely many values "
        "(probabilistic PCA), or if q is the posterior at the data alone. True if the prior is Gaussian, the model can "
        "draw only finitely many x, and q is the posterior at every one. For the whole ELBO, where x is discrete, the "
        "data finitely many and the prior Gaussian: a Gaussian code that tells anything keeps -ELBO above the entropy "
        "H(x), if only by a hair.",
    ),
)
CODE, STEPS = 6, 500
MATCHED = "x from the Gaussian with the digits' mean and covariance"


def line(weights: list[float], means: list[float], deviations: list[float]) -> Mixture:
    """A mixture of Gaussians of one number: weights w_k, means m_k, standard deviations s_k."""
    w, m, s = (torch.tensor(values, dtype=torch.float64) for values in (weights, means, deviations))
    return Mixture(w, m[:, None], (s**2)[:, None, None])


EXAMPLES = {
    "wide and narrow": line([0.5, 0.5], [0, 0], [0.5, 1.5]),
    "two apart": line([0.5, 0.5], [-1, 1], [1, 1]),
    "a fifth apart": line([0.5, 0.5], [-0.1, 0.1], [1, 1]),
    "all agree": line([0.2, 0.3, 0.5], [1, 1, 1], [1, 1, 1]),
}


def kl_to_matched(m: Mixture) -> float:
    """KL(p, g) in nats, g the Gaussian of the mixture's own mean and variance."""
    return abs(float(m.kl_to(m.matched_gaussian())))


def characteristic(m: Mixture, t: Float[Tensor, " times"]) -> Tensor:
    """phi(t) = sum_k w_k exp(i m_k t - s_k^2 t^2 / 2), complex, for a mixture of one number."""
    return (m.weights * torch.exp(1j * t[:, None] * m.means[:, 0] - t[:, None] ** 2 * m.covs[:, 0, 0] / 2)).sum(1)


def random_lines(count: int, seed: int) -> list[Mixture]:
    """Mixtures of two to five Gaussians: Dirichlet weights, means from N(0, 1), deviations from 0.5 to 2."""
    g = np.random.RandomState(seed)
    sizes = g.randint(2, 6, count)
    return [
        line(g.dirichlet(np.ones(k)).tolist(), g.randn(k).tolist(), (2 ** g.uniform(-1, 1, k)).tolist()) for k in sizes
    ]


def finite_mixtures() -> Iterator[Result]:
    """C15: the KL to the moment-matched Gaussian, of four examples, a thousand others, and copies of one width."""
    nats, billionths = (dict(claim="C15", unit=u, band=b) for u, b in (("nats", 1e-5), ("billionths of a nat", 0.01)))
    for name in ("wide and narrow", "two apart", "all agree"):
        quantity = f"KL to the matched Gaussian, {name}"
        yield Result(f"C15.{name.replace(' ', '_')}", quantity=quantity, value=kl_to_matched(EXAMPLES[name]), **nats)
    near = 1e9 * kl_to_matched(EXAMPLES["a fifth apart"])
    yield Result("C15.a_fifth_apart", quantity="KL to the matched Gaussian, a fifth apart", value=near, **billionths)
    least = 1e9 * min(map(kl_to_matched, random_lines(1000, seed=0)))
    quantity = "KL to the matched Gaussian, least of 1,000 random mixtures"
    yield Result("C15.least", quantity=quantity, value=least, seeds=(0,), **billionths)
    for count in (2, 8, 32):
        found = float(shifted_copies(0.6, count).kl_to(Gaussian.standard(1)))
        quantity = f"KL to N(0, 1), {count} copies of equal weight, s = 0.6"
        yield Result(f"C15.copies{count:02d}", quantity=quantity, value=found, **nats)


def infinite_mixture() -> Iterator[Result]:
    """C15: N(m, s^2) with m ~ N(0, 1 - s^2), against N(0, 1)."""
    x = torch.linspace(-6, 6, 241).double()
    exact = Gaussian.standard(1).log_prob(x[:, None])
    worst = max(float((infinite_mixture_log_prob(x, s) - exact).abs().max()) for s in (0.1, 0.5, 0.9))
    quantity = "largest error of log p(x), infinitely many narrow components against N(0, 1)"
    yield Result("C15.infinite", "C15", quantity, worst, "nats", band=1e-9)


@dataclass(frozen=True)
class Digits:
    """Grey digits as rows of 64 numbers, and pPCA fitted to the training part in closed form.

    data: the Gaussian with the training digits' mean and covariance, of which they are no sample.
    """

    train: Float[Tensor, "n 64"]
    test: Float[Tensor, "m 64"]
    data: Gaussian
    world: LinearGaussianWorld


def ppca_of_digits(code: int = CODE) -> Digits:
    """The likeliest pPCA of the training digits: sigma^2 is the mean of the eigenvalues that get no column.

    Source: Tipping and Bishop (1999), equations 7 and 8.
    """
    train, _, test = digits()
    x = train.images.flatten(1).double()
    data = Gaussian(x.mean(0), torch.cov(x.T, correction=0))
    left_over = torch.linalg.eigvalsh(data.cov)[:-code]
    return Digits(x, test.images.flatten(1).double(), data, ppca(data, code, float(left_over.mean())))


def train_linear_vae(
    x: Float[Tensor, "n pixels"], code: int = CODE, steps: int = STEPS, seed: int = 0
) -> tuple[LinearGaussianWorld, Channel, list[Account]]:
    """A linear VAE by gradient on the ELBO, from random weights: W, b and sigma of the decoder; V, c, D of q(z|x).

    D is diagonal, as it is in a VAE. The expectation over z has a closed form here, so no noise is drawn.
    Returns the model, its encoder, and the account of every tenth step, for x from the Gaussian with the mean and
    covariance of the data.
    """
    g, pixels = torch.Generator().manual_seed(seed), x.shape[1]
    W, V = (0.1 * torch.randn(shape, generator=g).double() for shape in ((pixels, code), (code, pixels)))
    parts = [W, x.mean(0), torch.tensor(-2.0).double(), V, torch.zeros(code).double(), torch.zeros(code).double()]
    parts = [part.clone().requires_grad_() for part in parts]
    optimiser = torch.optim.Adam(parts, lr=0.02)
    data, accounts = Gaussian(x.mean(0), torch.cov(x.T, correction=0)), []
    for step in range(steps + 1):
        W, b, log_variance, V, c, log_D = parts
        world = LinearGaussianWorld(Channel(W, b, log_variance.exp() * torch.eye(pixels).to(W)))
        q = Channel(V, c, log_D.exp().diag())
        if step % 10 == 0:
            with torch.no_grad():
                accounts.append(world.account(q, data))
        if step < steps:
            optimiser.zero_grad()
            (-world.elbo(q, x).mean()).backward()
            optimiser.step()
    return world, q, accounts


def information_among(q: Channel, x: Float[Tensor, "n pixels"], generator: torch.Generator) -> Information:
    """I(x;z) in nats among the rows of x, each equally likely, by one draw of z for each: `lower` estimates it.

    It cannot exceed `ceiling` = log n. Raises ValueError for a q whose covariance is not diagonal.
    """
    variance = q.cov.diag()
    if not torch.allclose(q.cov, variance.diag(), rtol=0, atol=1e-9):
        raise ValueError("the information among rows asks for independent numbers of z: q's covariance is not diagonal")
    mu = x @ q.A.T + q.b
    answers = DiagonalGaussian(mu, variance.log().expand_as(mu))
    z = answers.sample(generator)
    log_prior = Gaussian.standard(len(variance)).log_prob(z)
    return information_of(Codes(answers, z, answers.kl_to_standard_normal(), log_prior))


def same_pictures(world: LinearGaussianWorld, share: float) -> LinearGaussianWorld:
    """A model with the same p(x) whose code tells less: W shrinks to share W, and the noise takes over the rest."""
    W, cov = world.decoder.A, world.decoder.cov
    return LinearGaussianWorld(Channel(share * W, world.decoder.b, cov + (1 - share**2) * W @ W.T))


def linear_worlds() -> Iterator[Result]:
    """C16 (a): pPCA of digits. A Gaussian posterior, far from the prior, and a gap of zero."""
    found = ppca_of_digits()
    q, about = found.world.posterior(), dict(claim="C16", unit="nats per image")
    account = found.world.account(q, found.data)
    quantity = f"pPCA of digits: I(x;z), {MATCHED}"
    yield Result("C16.ppca.information", quantity=quantity, value=account.information, band=1e-3, **about)
    among = [information_among(q, found.train, torch.Generator().manual_seed(seed)).lower for seed in SEEDS]
    quantity = f"pPCA of digits: I(x;z) among the {len(found.train):,} training digits themselves"
    yield over_seeds("C16.ppca.digits", quantity, among, 0.01, **about)
    gaps = found.world.marginal().log_prob(found.test) - found.world.elbo(q, found.test)
    worst = float(gaps.abs().max())
    yield Result("C16.ppca.gap", quantity="pPCA: largest gap of 250 test digits", value=worst, band=1e-9, **about)
    losses = [_own_loss(same_pictures(found.world, share)) for share in (0.0, 0.5, 0.9, 1.0)]
    quantity = "equal p(x), codes from empty to full: largest difference in -ELBO"
    yield Result("C16.ppca.tie", quantity=quantity, value=max(losses) - min(losses), band=1e-9, **about)


def trained_worlds() -> Iterator[Result]:
    """C16 (a) again: the linear VAE that chapter 05 trains on digits, on three seeds."""
    about = dict(claim="C16", unit="nats per image", hardware=hardware("cpu"))
    x = ppca_of_digits().train
    last = [train_linear_vae(x, seed=seed)[2][-1] for seed in SEEDS]
    quantity = "linear VAE trained in this chapter: "
    yield over_seeds("C16.trained.gap", quantity + "gap", [a.posterior_gap for a in last], 0.01, **about)
    quantity += f"I(x;z), {MATCHED}"
    yield over_seeds("C16.trained.information", quantity, [a.information for a in last], 0.05, **about)


def _own_loss(world: LinearGaussianWorld) -> float:
    return world.account(world.posterior(), world.marginal()).loss


def _standardised(theta: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """w_k, m_k, s_k^2 of a mixture of mean 0 and variance 1, from 3 k free numbers."""
    logits, m, log_s = theta.view(3, -1)
    w, variance = logits.softmax(0), (2 * log_s).exp()
    m = m - w @ m
    whole = w @ (variance + m**2)
    return w, m / whole.sqrt(), variance / whole


def _price_and_information(theta: Tensor, z: Tensor) -> tuple[Tensor, Tensor]:
    """KL(q(z), N(0, 1)) and I(k;z) of the mixture q(z), by sums over a grid; differentiable."""
    w, m, variance = _standardised(theta)
    log_parts = DiagonalGaussian(m[:, None], variance.log()[:, None]).log_prob(z[:, None, None])
    log_q, h = (log_parts + w.log()).logsumexp(1), z[1] - z[0]
    price = (log_q.exp() * (log_q - Gaussian.standard(1).log_prob(z[:, None]))).sum() * h
    return price, (w * log_parts.exp() * (log_parts - log_q[:, None])).sum() * h


def least_price(count: int, information: float, seed: int = 0) -> tuple[float, Mixture]:
    """The least KL(q(z), N(0, 1)) found among mixtures q(z) of `count` Gaussians that tell I(k;z) = `information`.

    Weights, means and widths are free; from a random start, by sequential quadratic programming (SLSQP).
    Returns the KL in nats, and the mixture. Raises ValueError for more than log(count), which `count` cannot tell.
    """
    if not 0 < information < math.log(count):
        raise ValueError(f"{count} components tell more than 0 and less than {math.log(count):.3g} nats")
    g, z = np.random.RandomState(seed), grid(reach=8, step=0.04)
    start = np.concatenate([0.3 * g.randn(count), g.randn(count), 0.2 * g.randn(count) - 0.5])
    missing, slope = _halves(lambda t: 10 * (_price_and_information(t, z)[1] - information))
    told = dict(type="eq", fun=missing, jac=slope)
    price = _with_gradient(lambda t: 1000 * _price_and_information(t, z)[0])
    bounds = [(-6, 6)] * count + [(-5, 5)] * count + [(-2, 1)] * count
    options = dict(maxiter=500, ftol=1e-13)
    best = minimize(price, start, jac=True, method="SLSQP", bounds=bounds, constraints=[told], options=options)
    w, m, variance = _standardised(torch.from_numpy(best.x))
    mixture = Mixture(w, m[:, None], variance[:, None, None])
    return float(mixture.kl_to(Gaussian.standard(1))), mixture


def _with_gradient(f: Callable[[Tensor], Tensor]) -> Callable[[np.ndarray], tuple[float, np.ndarray]]:
    def value_and_gradient(theta: np.ndarray) -> tuple[float, np.ndarray]:
        theta = torch.tensor(theta, requires_grad=True)
        value = f(theta)
        (gradient,) = torch.autograd.grad(value, theta)
        return float(value.detach()), gradient.numpy()

    return value_and_gradient


def _halves(f: Callable[[Tensor], Tensor]) -> tuple[Callable, Callable]:
    both = _with_gradient(f)
    return (lambda theta: both(theta)[0]), (lambda theta: both(theta)[1])


def world_of_codes(m: Mixture, z: Float[Tensor, " nodes"]) -> tuple[DiscreteWorld, Float[Tensor, "states nodes"]]:
    """The best decoder for q(z|x = k) = N(m_k, s_k^2) and data w_k: p(x|z) = q(x|z). With the table of q."""
    q = DiagonalGaussian(m.means, m.covs[:, 0].log())
    log_joint = q.log_prob(z[:, None, None]) + m.weights.log()
    return gaussian_world(z, log_joint.log_softmax(1)), gaussian_table(q, z)


def decoder_mismatch(world: DiscreteWorld, q: Float[Tensor, "states codes"], data: Float[Tensor, " states"]) -> float:
    """E KL(q(x|z), p(x|z)) over z ~ q(z): what the decoder misses of what the code tells, in nats per image."""
    joint = data[:, None] * q
    told = joint / joint.sum(0)
    return float(joint.sum(0) @ kl(told.T, world.log_likelihood))


def excess(world: DiscreteWorld, q: Float[Tensor, "states codes"], data: Float[Tensor, " states"]) -> dict[str, float]:
    """-ELBO - H(x) = aggregate + decoder = gap + misfit, each term from its own definition, in nats per image."""
    account, entropy = world.account(q, data), -float(torch.xlogy(data, data).sum())
    return {
        "aggregate": account.aggregate_gap,
        "decoder": decoder_mismatch(world, q, data),
        "gap": account.posterior_gap,
        "misfit": account.nll - entropy,
        "excess": account.loss - entropy,
    }


THREE_IMAGES = DiagonalGaussian(
    torch.tensor([[-1.1], [0.2], [1.3]]).double(), 2 * torch.tensor([[0.45], [0.6], [0.4]]).double().log()
)
THREE_WEIGHTS = torch.tensor([0.4, 0.35, 0.25]).double()


def finitely_many() -> Iterator[Result]:
    """C16 (b) and (c): the least price of half a nat, a world that reaches it, and one where the data alone match."""
    about = dict(claim="C16", unit="nats")
    for count in (2, 3, 4):
        quantity = f"least KL(q(z), p(z)) found for I(x;z) = 1/2 nat, {count} pictures, z one number"
        yield over_seeds(f"C16.finite{count}", quantity, [least_price(count, 0.5, s)[0] for s in SEEDS], 1e-5, **about)
    best = least_price(2, 0.5)[1]
    world, q = world_of_codes(best, grid())
    gap = world.account(q, best.weights).posterior_gap
    quantity = "gap of the model that pays the least price, 2 pictures"
    yield Result("C16.finite2.gap", quantity=quantity, value=gap, band=1e-5, **about)
    sixteen = quadrature_copies(0.5, 16)
    quantity = "KL(q(z), p(z)) of 16 codes that tell 0.693 nats"
    price = 1e9 * float(sixteen.kl_to(Gaussian.standard(1)))
    yield Result("C16.bit16", quantity=quantity, value=price, **(about | dict(unit="billionths of a nat", band=1e-3)))
    yield from _data_alone()


def _data_alone() -> Iterator[Result]:
    z, unseen = grid(), torch.zeros(1).double()
    world = world_of_posteriors(THREE_IMAGES, THREE_WEIGHTS, z)
    q, data = world.log_posterior().exp(), torch.cat([THREE_WEIGHTS, unseen])
    account = world.account(q, data)
    about, words = dict(claim="C16", unit="nats", band=1e-5), "match on the data alone: "
    yield Result("C16.data.gap", quantity=words + "gap", value=abs(account.posterior_gap), **about)
    yield Result("C16.data.information", quantity=words + "I(x;z)", value=account.information, **about)
    above = excess(world, q, data)["excess"]
    yield Result("C16.data.excess", quantity=words + "-ELBO above H(x)", value=above, **about)


EXPERIMENTS = {
    "C15.finite": finite_mixtures,
    "C15.infinite": infinite_mixture,
    "C16.ppca": linear_worlds,
    "C16.trained": trained_worlds,
    "C16.finite": finitely_many,
}
