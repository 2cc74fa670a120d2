"""Chapter 03: what a code costs, how its gradient is found, and what beta, sigma and a mean over pixels do to it."""

import copy
import math
from collections.abc import Callable, Iterator
from functools import cache, partial

import torch
from jaxtyping import Float
from torch import Tensor

from course_lib.data import digits
from course_lib.experiments.seeds import SEEDS, over_seeds
from course_lib.measurement.aggregate import aggregate_covariance
from course_lib.measurement.codes import Codes, encode_all
from course_lib.measurement.information import information_of
from course_lib.measurement.ledger import Claim, Result
from course_lib.measurement.likelihood import distortion_per_image, iwae_nll
from course_lib.measurement.prior_grid import prior_grid_nll
from course_lib.measurement.refit import refit
from course_lib.measurement.worlds.linear_gaussian import Channel, Gaussian, LinearGaussianWorld, ppca
from course_lib.models import outputs
from course_lib.models.encoders import MLPEncoder
from course_lib.models.factorised import FactorisedDecoder
from course_lib.models.gaussian import DiagonalGaussian
from course_lib.models.vae import VAE
from course_lib.objectives.infovae import beta_vae
from course_lib.objectives.objective import Terms
from course_lib.training.fit import Loss, Plan, fit
from course_lib.zoo import cards
from course_lib.zoo.recipes import binary_digits
from course_lib.zoo.train import hardware

CLAIMS = (
    Claim(
        "C11",
        "For Gaussian outputs the reconstruction term is the squared error.",
        "True up to a scale and a constant, and the scale decides: at sigma = 1 the code of these digits is empty, at "
        "sigma = 0.1 it is rich. A mean over the 64 pixels in place of the sum makes beta 64 times as large.",
    ),
    Claim(
        "C12",
        "The KL term pushes each q(z|x) towards the prior.",
        "True. Each posterior pays for itself, in closed form; with a growing weight its mean goes to 0 and its "
        "standard deviation to 1, whatever the image.",
    ),
    Claim(
        "C19",
        "Too little regularisation explodes the latent space: codes that do not overlap, and poor samples.",
        "Seen, all of it: rate and log det Cov grow, information reaches its ceiling, samples and likelihood suffer. "
        "And the remedy that the article goes on to, holding the aggregate q(z) to the prior, meets the cause: the "
        "same codes brought to mean 0 and variance 1 after training, overlapping as little as before, have a "
        "likelihood as good as those of beta = 1; a judge of single drawings prefers what they draw, and it is of "
        "nearly as many kinds of digit. So where q(z) lies does the damage; on these digits, with codes of two and of "
        "eight numbers, the lack of overlap does none that shows. At a minimum any beta above 0 holds E z^2 at 1: a "
        "small one asks for narrow codes, not for far ones. That such codes are more entangled is not tested here.",
    ),
)
BETAS = (0.0, 0.001, 0.01, 0.1, 0.3, 1.0, 3.0, 10.0)
WILD = 0.001
SIGMAS = (1.0, 0.7, 0.5, 0.3, 0.2, 0.1)
LIVE = Plan(steps=300, learning_rate=4e-3, warm_up=20)
LONG = Plan(steps=3000, learning_rate=4e-3, warm_up=20)
NATS = "nats per image"


def trained_vae(
    objective: Loss,
    images: Float[Tensor, "n 1 8 8"],
    seed: int = 0,
    code_size: int = 2,
    output: outputs.Output | None = None,
    plan: Plan = LIVE,
) -> VAE:
    """The VAE of chapter 03: an encoder of two hidden layers, a convolutional decoder, and pixels apart given z."""
    torch.manual_seed(seed)
    decoder = FactorisedDecoder((1, 8, 8), code_size, "conv", hidden=64, output=output)
    vae = VAE(MLPEncoder((1, 8, 8), code_size), decoder, code_size)
    plan = Plan(plan.steps, plan.batch_size, plan.learning_rate, plan.warm_up, seed)
    fit(vae, objective, images, plan, progress=False)
    return vae


def mean_over_pixels(weight: float) -> Callable[[VAE, Tensor, torch.Generator], Terms]:
    """A loss as it is often written: the mean over pixels and images, plus `weight` times the rate."""

    def loss(vae: VAE, x: Float[Tensor, "batch colours height width"], generator: torch.Generator) -> Terms:
        terms = beta_vae(1.0)(vae, x, generator)
        reconstruction = terms["distortion"] / x[0].numel()
        return terms | {"loss": reconstruction + weight * terms["rate"]}

    return loss


@torch.no_grad()
def standardised(vae: VAE, x: Float[Tensor, "n 1 8 8"]) -> VAE:
    """The same VAE with codes (z - m) / s in place of z: m and s^2 are mean and variance of q(z) on `x`.

    The encoder's last layer and the decoder's first take the change upon themselves, so each picture is decoded as
    before: distortion and information stay, and the rate falls to its least over all m and s.
    """
    vae, codes = copy.deepcopy(vae), encode_all(vae, x, torch.Generator().manual_seed(0))
    m, s = codes.q.mu.mean(0).float(), aggregate_covariance(codes).diagonal().sqrt().float()
    last, first, d = vae.encoder.layers[-1], vae.decoder.network[0], vae.code_size
    last.bias[:d] -= m
    last.weight[:d] /= s[:, None]
    last.bias[:d] /= s
    last.bias[d:] -= 2 * s.log()
    first.bias += first.weight @ m
    first.weight *= s
    return vae


def draws_cost(vae: VAE, seed: int, count: int = 250, samples: int = 20) -> float:
    """-log p(x) of what `vae` draws from the prior, by chapter 00's model B, in nats per image.

    The judge is a PixelCNN with a nearly silent code, trained on the same digits; its NLL is the IWAE bound.
    """
    drawn = vae.sample(count, torch.Generator().manual_seed(seed))
    return iwae_nll(cards.load("puzzle_b"), drawn, samples, torch.Generator().manual_seed(seed)).nats


def kinds_drawn(vae: VAE, seed: int, count: int = 1000) -> float:
    """exp H of the labels that drawings from the prior get from their nearest training digit: 10 if all are equal."""
    train, drawn = digits(binary=True).train, vae.sample(count, torch.Generator().manual_seed(seed)).flatten(1)
    differ = torch.cdist(drawn, train.images.flatten(1), p=1)
    share = train.labels[differ.argmin(1)].bincount(minlength=10) / count
    return float(torch.special.entr(share).sum().exp())


def code_numbers(codes: Codes) -> dict[str, float]:
    """Rate and information in nats, log det Cov q(z), and how far out and how wide a posterior is in one coordinate.

    The last two are roots of mean squares over images and coordinates; a mean's distance from 0 is sqrt(d) times that.
    """
    return {
        "rate": float(codes.rate.mean()),
        "information": information_of(codes).lower,
        "log_det": float(aggregate_covariance(codes).logdet()),
        "mean": float(codes.q.mu.square().mean().sqrt()),
        "sd": float(codes.q.log_var.exp().mean().sqrt()),
    }


def vae_numbers(vae: VAE, seed: int) -> dict[str, float]:
    """All that chapter 03 measures of a VAE of black and white digits, on the test digits and on what it draws."""
    x, generator = binary_digits("test"), torch.Generator().manual_seed(seed)
    codes = encode_all(vae, x, generator)
    found = code_numbers(codes) | {"distortion": float(distortion_per_image(vae, x, codes.z).mean())}
    return found | {"nll": nll_on_test(vae), "draws": draws_cost(vae, seed)}


QUANTITIES = {
    "rate": ("rate", NATS, 0.3),
    "distortion": ("distortion", NATS, 0.8),
    "information": ("I(x;z), ceiling 5.52", NATS, 0.1),
    "log_det": ("log det Cov q(z)", "", 0.3),
    "nll": ("test NLL (grid)", NATS, 0.6),
    "refitted": ("test NLL (IWAE bound, q refitted)", NATS, 0.6),
    "draws": ("drawings, by the PixelCNN", NATS, 2.0),
    "mean": ("a posterior's mean, root mean square per coordinate", "", 0.06),
    "sd": ("a posterior's standard deviation, root mean square", "", 0.02),
}
REPAIRED = ("rate", "information", "log_det", "nll", "draws")
OF_THE_CLAIM = {
    "C19": [(name, q) for name in ("beta1", "beta0.001", "beta0.001.standardised") for q in REPAIRED]
    + [(f"eight.{name}", q) for name in ("beta1.as_trained", "beta0.001.standardised") for q in ("draws", "refitted")],
    "C12": [(f"beta{b}", q) for b in ("0.001", "1", "10") for q in ("rate", "mean", "sd")],
}


def key_of(name: str, quantity: str) -> str:
    """Where the ledger keeps a quantity of a trained VAE, such as "C19.beta1.nll": under its claim, or under 03."""
    claim = next((c for c, pairs in OF_THE_CLAIM.items() if (name, quantity) in pairs), "03")
    return f"{claim}.{name}.{quantity}"


def band_of(values: list[float], least: float) -> float:
    """Three spreads, or `least` where seeds agree closely: another CPU rounds otherwise, which is like another seed."""
    return float(f"{max(least, 3 * float(torch.tensor(values).std())):.2g}")


def rows(name: str, words: str, found: list[dict[str, float]], keep: tuple[str, ...] = ()) -> Iterator[Result]:
    """One result for each quantity measured, or for those to `keep`, over the seeds."""
    for quantity in keep or found[0]:
        label, unit, least = QUANTITIES[quantity]
        values, key = [row[quantity] for row in found], key_of(name, quantity)
        claim = key.split(".")[0] if key.startswith("C") else ""
        about = dict(claim=claim, unit=unit, hardware=hardware("cpu"))
        yield over_seeds(key, f"{label}, {words}", values, band_of(values, least), **about)


@cache
def live_vae(beta: float, seed: int, plan: Plan = LIVE, code_size: int = 2) -> VAE:
    """The VAE of chapter 03 after 300 steps on black and white digits, or as `plan` has it."""
    return trained_vae(beta_vae(beta), binary_digits("train"), seed, code_size, plan=plan)


def sweep() -> Iterator[Result]:
    """C12, C19: the same VAE at eight weights of the rate, as trained and with its codes standardised."""
    for beta in BETAS:
        vaes, name, words = [live_vae(beta, seed) for seed in SEEDS], f"beta{beta:g}", f"beta = {beta:g}"
        tidied = [standardised(vae, binary_digits("train")) for vae in vaes]
        yield from rows(name, words, list(map(vae_numbers, vaes, SEEDS)))
        measure, keep = (vae_numbers, REPAIRED) if beta == WILD else (drawing_numbers, ())
        yield from rows(f"{name}.standardised", f"{words}, standardised", list(map(measure, tidied, SEEDS)), keep)
    test = iwae_nll(cards.load("puzzle_b"), binary_digits("test"), 20, torch.Generator().manual_seed(0)).nats
    yield Result("03.judge.test", "", "what the PixelCNN says of test digits", test, NATS, band=0.1, seeds=(0,))


def longer() -> Iterator[Result]:
    """Ten times the training: does what was seen of standardised codes hold there?"""
    for beta in (1.0, WILD):
        trained = [live_vae(beta, seed, LONG) for seed in SEEDS]
        yield from _before_and_after(f"long.beta{beta:g}", f"beta = {beta:g}, 3,000 steps", trained)


def eight() -> Iterator[Result]:
    """A code of eight numbers: does what was seen of standardised codes hold there?"""
    for beta in (1.0, WILD):
        trained = [live_vae(beta, seed, code_size=8) for seed in SEEDS]
        yield from _before_and_after(f"eight.beta{beta:g}", f"beta = {beta:g}, code of 8", trained)


def _before_and_after(name: str, words: str, vaes: list[VAE]) -> Iterator[Result]:
    tidied = [standardised(vae, binary_digits("train")) for vae in vaes]
    for stage, said, group in (("as_trained", "", vaes), ("standardised", ", standardised", tidied)):
        yield from rows(f"{name}.{stage}", f"{words}{said}", list(map(drawing_numbers, group, SEEDS)))


def drawing_numbers(vae: VAE, seed: int) -> dict[str, float]:
    """What is drawn, by the judge, and the test NLL: by the grid, or for a long code by `refitted_nll`."""
    likelihood = {"nll": nll_on_test} if vae.code_size <= 2 else {"refitted": refitted_nll}
    return {"draws": draws_cost(vae, seed)} | {name: measure(vae) for name, measure in likelihood.items()}


def nll_on_test(vae: VAE) -> float:
    """-log p(x) of the black and white test digits by the grid of the prior, in nats per image."""
    return prior_grid_nll(vae, binary_digits("test")).nats


def refitted_nll(vae: VAE) -> float:
    """-log p(x) of the test digits by the IWAE bound, K = 500, q learnt anew on training digits for this decoder.

    An upper bound on average. Through the q that beta near 0 leaves behind, the same bound reads several times as much.
    """
    generator = torch.Generator().manual_seed(0)
    fair = refit(vae, binary_digits("train"), generator, steps=1500, learning_rate=2e-3)
    return iwae_nll(fair, binary_digits("test"), 500, generator).nats


def kinds() -> Iterator[Result]:
    """How many kinds of digit are drawn, before and after codes are standardised: early, late, and from a long code."""
    x, about = binary_digits("train"), dict(unit="of 10", hardware=hardware("cpu"))
    for name, plan, code_size in (("steps300", LIVE, 2), ("steps3000", LONG, 2), ("eight", LIVE, 8)):
        for beta in (1.0, WILD):
            vaes = [live_vae(beta, seed, plan, code_size) for seed in SEEDS]
            words = f"beta = {beta:g}, code of {code_size}, {plan.steps:,} steps"
            tidied = [standardised(vae, x) for vae in vaes]
            for stage, said, group in (("as_trained", "", vaes), ("standardised", ", standardised", tidied)):
                values = [kinds_drawn(vae, seed) for vae, seed in zip(group, SEEDS, strict=True)]
                key = f"03.kinds.{name}.beta{beta:g}.{stage}"
                yield over_seeds(key, f"kinds drawn, {words}{said}", values, band_of(values, 0.5), **about)


def reduction() -> Iterator[Result]:
    """C11: a mean over pixels in place of the sum, with the whole KL and with a hundredth of it, and its true beta."""
    about = dict(claim="C11", hardware=hardware("cpu"))
    for weight, words, band in ((1.0, "and the whole KL", 0.02), (0.01, "and 0.01 KL", 0.3)):
        vaes = [trained_vae(mean_over_pixels(weight), binary_digits("train"), seed) for seed in SEEDS]
        rates, quantity = [rate_on_test(vae) for vae in vaes], f"rate, mean over pixels {words}"
        yield over_seeds(f"C11.mean.weight{weight:g}", quantity, rates, band, unit=NATS, **about)
    known = [{beta: rate_on_test(live_vae(beta, seed)) for beta in (0.3, 1.0, 3.0)} for seed in SEEDS]
    factors = [beta_with_rate(rate, summed) / 0.01 for rate, summed in zip(rates, known, strict=True)]
    quantity = "beta of equal rate, over the KL's weight"
    yield over_seeds("C11.mean.factor", quantity, factors, 10.0, unit="(64 pixels)", **about)


def rate_on_test(vae: VAE) -> float:
    """The rate on the black and white test digits, in nats per image."""
    return float(encode_all(vae, binary_digits("test"), torch.Generator().manual_seed(0)).rate.mean())


def beta_with_rate(rate: float, known: dict[float, float]) -> float:
    """The beta at which the summed loss has this rate, by a straight line in log beta between `known` pairs beta: rate.

    Raises ValueError for a rate between no two of them.
    """
    pairs = sorted(known.items())
    for (low, high_rate), (high, low_rate) in zip(pairs, pairs[1:], strict=False):
        if low_rate <= rate <= high_rate:
            share = (high_rate - rate) / (high_rate - low_rate)
            return low * (high / low) ** share
    raise ValueError(
        f"a rate of {rate:.2f} nats lies outside the sweep between beta = {min(known):g} and {max(known):g}"
    )


def digits_as_gaussian() -> Gaussian:
    """N(m, S) with the mean and covariance of the 1,297 grey training digits, in float64."""
    x = digits().train.images.flatten(1).double()
    return Gaussian(x.mean(0), torch.cov(x.T, correction=0))


def linear_rate(data: Gaussian, code_size: int, variance: float) -> float:
    """1/2 sum_d log(lambda_d / variance) over the leading eigenvalues above `variance`: the rate of pPCA, in nats."""
    leading = torch.linalg.eigvalsh(data.cov).flip(0)[:code_size]
    return float(0.5 * (leading / variance).clamp(min=1).log().sum())


def squared_error() -> Iterator[Result]:
    """C11: -log N against the squared error, and how many directions of the digits a sigma leaves alive."""
    about = dict(claim="C11", seeds=(0,))
    quantity = "-log N minus its formula, to 10 decimals"
    yield Result("C11.identity", quantity=quantity, value=gaussian_gap(), unit="", **about)
    eigenvalues = torch.linalg.eigvalsh(digits_as_gaussian().cov)
    for sigma in SIGMAS:
        alive, quantity = int((eigenvalues > sigma**2).sum()), f"directions a linear decoder uses, sigma = {sigma:g}"
        yield Result(f"C11.alive.sigma{sigma:g}", quantity=quantity, value=alive, unit="of 64", **about)


def gaussian_gap() -> float:
    """The largest |-log N - (|x - mu|^2 / (2 sigma^2) + n/2 log(2 pi sigma^2))| over SIGMAS and random pictures."""
    generator = torch.Generator().manual_seed(0)
    x, mu = torch.randn(2, 50, 1, 8, 8, generator=generator, dtype=torch.float64)
    square, worst = ((x - mu) ** 2).sum(dim=(1, 2, 3)), 0.0
    for sigma in SIGMAS:
        nats = -outputs.Gaussian(sigma).log_prob(mu, x).sum(dim=(1, 2, 3))
        formula = square / (2 * sigma**2) + 32 * math.log(2 * math.pi * sigma**2)
        worst = max(worst, float((nats - formula).abs().max()))
    return round(worst, 10)


def sigma_rate(sigma: float, seed: int, plan: Plan = LIVE) -> float:
    """The rate on test digits of a VAE trained on grey digits with -log N(x; mu(z), sigma^2 I), in nats per image."""
    grey = digits()
    vae = trained_vae(beta_vae(1.0), grey.train.images, seed, output=outputs.Gaussian(sigma), plan=plan)
    return float(encode_all(vae, grey.test.images, torch.Generator().manual_seed(0)).rate.mean())


def sigmas() -> Iterator[Result]:
    """C11: the rate of the trained VAE at each fixed sigma, beside that of the best linear one."""
    for sigma in SIGMAS:
        found, shown = [sigma_rate(sigma, seed) for seed in SEEDS], sigma in (1.0, 0.1)
        about = dict(claim="C11" if shown else "", unit=NATS, hardware=hardware("cpu"))
        key, band = f"{'C11' if shown else '03'}.rate.sigma{sigma:g}", 0.02 if sigma == 1.0 else 0.6
        yield over_seeds(key, f"rate at sigma = {sigma:g}, code of 2", found, band, **about)


def edge() -> Iterator[Result]:
    """Close to the edge of collapse, at sigma = 0.7: is it the network or the length of its training that is silent?"""
    found = [sigma_rate(0.7, seed, LONG) for seed in SEEDS]
    about = dict(unit=NATS, hardware=hardware("cpu"))
    yield over_seeds("03.rate.sigma0.7.steps3000", "rate at sigma = 0.7, 3,000 steps", found, 0.2, **about)


def linear_sweep() -> Iterator[Result]:
    """C19: beta toward 0 in the linear-Gaussian world, at its optimum, where nothing explodes."""
    data, variance = digits_as_gaussian(), 0.3**2
    for beta in (1.0, 0.001):
        world = ppca(data, 2, beta * variance)
        covariance = world.posterior().output(data).cov
        about, words = dict(claim="C19", unit=""), f"linear world at its optimum, beta = {beta:g}"
        log_det, quantity = round(float(covariance.logdet()), 9) + 0.0, f"log det Cov q(z), to 9 decimals, {words}"
        yield Result(f"C19.linear.beta{beta:g}.log_det", quantity=quantity, value=log_det, **about)
        rate = linear_rate(data, 2, beta * variance)
        yield Result(f"C19.linear.beta{beta:g}.rate", "C19", f"rate, {words}", rate, NATS, band=1e-4)


def kl_check() -> Iterator[Result]:
    """C12: the closed form of KL(N(mu, var), N(0, 1)) against a sum on a fine grid."""
    quantity = "KL by its formula minus KL by a sum on a grid, to 10 decimals"
    yield Result("C12.quadrature", "C12", quantity, quadrature_gap(), "nats", seeds=(0,))


def quadrature_gap() -> float:
    """The largest |closed form - sum on a grid| over 100 Gaussians of one dimension, means and log-variances random."""
    e = torch.randn(2, 100, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    q, z = DiagonalGaussian(2 * e[0], e[1]), torch.arange(-40, 40, 0.002, dtype=torch.float64)
    log_q = -0.5 * ((z - q.mu) ** 2 / q.log_var.exp() + q.log_var + math.log(2 * math.pi))
    log_p = -0.5 * (z**2 + math.log(2 * math.pi))
    by_sum = (log_q.exp() * (log_q - log_p)).sum(1) * 0.002
    return round(float((by_sum - q.kl_to_standard_normal()).abs().max()), 10)


def toy_variances(d: int, s: float, delta: float) -> tuple[float, float]:
    """Variance of one coordinate of the two estimators of grad_mu E |z - a|^2 / 2, z ~ N(mu, s^2 I): path, score.

    With delta = mu - a in every one of the d coordinates and A = d delta^2: s^2, and
    (A^2 + 4 s^2 (A + 2 delta^2) + 2 A s^2 (d + 2) + s^4 (d + 2)(d + 4)) / (4 s^2) - delta^2.
    """
    A = d * delta**2
    fourth = A**2 + 4 * s**2 * (A + 2 * delta**2) + 2 * A * s**2 * (d + 2) + s**4 * (d + 2) * (d + 4)
    return s**2, fourth / (4 * s**2) - delta**2


Cost = Callable[[Float[Tensor, "draws code"]], Float[Tensor, " draws"]]


def gradient_draws(q: DiagonalGaussian, cost: Cost, draws: int, seed: int) -> dict[str, Float[Tensor, "draws code"]]:
    """Single-draw estimates of grad_mu E_q cost(z), for one Gaussian: "path" through z, "score" through log q.

    "baseline" is "score" with the mean cost of the other draws taken off first, which changes no expectation.
    """
    mu = q.mu.expand(draws, -1).clone().requires_grad_()
    many = DiagonalGaussian(mu, q.log_var.expand(draws, -1))
    z = many.sample(torch.Generator().manual_seed(seed))
    path = torch.autograd.grad(cost(z).sum(), mu, retain_graph=True)[0]
    held = z.detach()
    score = torch.autograd.grad(many.log_prob(held).sum(), mu)[0]
    f = cost(held).detach()[:, None]
    others = (f.sum() - f) / (draws - 1)
    return {"path": path, "score": f * score, "baseline": (f - others) * score}


def cost_of(vae: VAE, x: Float[Tensor, "1 1 8 8"], z: Float[Tensor, "draws code"]) -> Float[Tensor, " draws"]:
    """f(z) = -log p(x|z) of one picture, in nats."""
    return -vae.decoder.log_prob(x.expand(len(z), -1, -1, -1), z)


def gradient_variances(vae: VAE, seed: int, images: int = 10, draws: int = 1000) -> dict[str, float]:
    """Variance of the estimators of grad_mu E_q f(z), f = -log p(x|z), over dimensions and the first test digits.

    "level" is the part of "score" that the constant (E f)^2 / sigma^2 would have alone, and "cost" is E f in nats.
    """
    totals = {"path": 0.0, "score": 0.0, "baseline": 0.0, "level": 0.0, "cost": 0.0}
    for x in binary_digits("test")[:images].split(1):
        with torch.no_grad():
            q = vae.encode(x)
        cost = partial(cost_of, vae, x)
        with torch.no_grad():
            many = DiagonalGaussian(q.mu.expand(draws, -1), q.log_var.expand(draws, -1))
            mean = float(cost(many.sample(torch.Generator().manual_seed(seed))).mean())
        totals["cost"] += mean / images
        totals["level"] += mean**2 * float((-q.log_var).exp().mean()) / images
        for way, samples in gradient_draws(q, cost, draws, seed).items():
            totals[way] += float(samples.var(0).mean()) / images
    return totals


def gradients() -> Iterator[Result]:
    """The variance of three estimators of the distortion's gradient in a trained VAE."""
    found = [gradient_variances(live_vae(1.0, seed), seed) for seed in SEEDS]
    ways = {
        "path": ("by the path", 6.0),
        "score": ("by the score", 1500.0),
        "baseline": ("by score and baseline", 35.0),
        "level": ("that the level of the cost alone gives the score", 1400.0),
    }
    for way, (words, band) in ways.items():
        values, about = [row[way] for row in found], dict(unit="", hardware=hardware("cpu"))
        yield over_seeds(f"03.gradient.{way}", f"variance of the gradient {words}", values, band, **about)
    costs, about = [row["cost"] for row in found], dict(unit=NATS, hardware=hardware("cpu"))
    yield over_seeds("03.gradient.cost", "cost of a digit from its own code, ten digits", costs, 3.3, **about)


def turned_world(angle: float, variances: tuple[float, float] = (10.0, 2.0)) -> LinearGaussianWorld:
    """x = W R z + noise of variance 1 in the plane, R the rotation by `angle`; `variances` are those of x."""
    c, s = math.cos(angle), math.sin(angle)
    W = torch.tensor(variances, dtype=torch.float64).sub(1).sqrt().diag()
    turn = torch.tensor([[c, -s], [s, c]], dtype=torch.float64)
    return LinearGaussianWorld(Channel(W @ turn, torch.zeros(2).double(), torch.eye(2).double()))


def best_diagonal(world: LinearGaussianWorld) -> Channel:
    """The encoder with a diagonal covariance and the greatest ELBO: the posterior's means, its precision's diagonal."""
    posterior = world.posterior()
    return Channel(posterior.A, posterior.b, posterior.cov.inverse().diagonal().reciprocal().diag())


def rotation() -> Iterator[Result]:
    """Turning the code by 45 degrees: what the likelihood says, and what a diagonal q says."""
    straight, turned = turned_world(0.0), turned_world(math.pi / 4)
    change = round(float(straight.marginal().kl(turned.marginal())), 9) + 0.0
    yield Result("03.turned.likelihood", "", "KL between straight and turned p(x), to 9 decimals", change, "nats")
    gap = turned.account(best_diagonal(turned), turned.marginal()).posterior_gap
    quantity = "what the turn costs a diagonal q, variances 10 and 2"
    yield Result("03.turned.gap", "", quantity, gap, "nats", band=1e-4)


EXPERIMENTS = {
    "C11.identity": squared_error,
    "C11.reduction": reduction,
    "C11.sigma": sigmas,
    "03.edge": edge,
    "C12.kl": kl_check,
    "C19.sweep": sweep,
    "C19.linear": linear_sweep,
    "03.longer": longer,
    "03.eight": eight,
    "03.kinds": kinds,
    "03.gradients": gradients,
    "03.rotation": rotation,
}
