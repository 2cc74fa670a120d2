"""Chapter 04: the ELBO's two arrangements, the prior as a mixture of posteriors, and the rate in two parts."""

import dataclasses
import math
from collections.abc import Callable, Iterator

import torch
from jaxtyping import Float
from torch import Tensor

from course_lib.data.noise import normal
from course_lib.experiments.seeds import SEEDS, over_seeds
from course_lib.measurement.ais import ais
from course_lib.measurement.annealing import Annealing
from course_lib.measurement.codes import encode_all
from course_lib.measurement.gaps import Gaps, gaps
from course_lib.measurement.information import information_of
from course_lib.measurement.ledger import Claim, Result
from course_lib.measurement.likelihood import iwae_log_prob
from course_lib.measurement.worlds.account import Account
from course_lib.measurement.worlds.discrete import DiscreteWorld, kl
from course_lib.measurement.worlds.gaussian_pair import (
    collapsed_model,
    factor_model,
    gaussian_pair,
    least_rate,
    strong_model,
)
from course_lib.measurement.worlds.humps import best_members
from course_lib.measurement.worlds.images import random_table
from course_lib.measurement.worlds.linear_gaussian import Channel, Gaussian, LinearGaussianWorld
from course_lib.measurement.worlds.quadrature import plane, solve, solved_world
from course_lib.models.encoders import ConvEncoder
from course_lib.models.factorised import FactorisedDecoder
from course_lib.models.vae import VAE
from course_lib.objectives.infovae import elbo
from course_lib.training.fit import Plan, fit
from course_lib.zoo.recipes import binary_digits
from course_lib.zoo.train import hardware

CLAIMS = (
    Claim(
        "C13",
        "The ELBO is log p(x) less the KL from q(z|x) to the true posterior p(z|x).",
        "True, exactly, picture by picture: found in random worlds of tables and of Gaussians. For a VAE of digits it "
        "holds by construction, and the numbers say how large each term is.",
    ),
    Claim(
        "C14",
        "The prior is the mixture of the posteriors p(z|x), each weighted by p(x).",
        "True of the model's own p(x). With the weights of the data it need not be: the KL from that mixture to the "
        "prior is at most the KL from the data to p(x).",
    ),
    Claim(
        "C20",
        "The ELBO's KL is taken picture by picture; the alternative compares the aggregate q(z) with the prior.",
        "True: the average KL is I(x;z) + KL(q(z), p(z)), all three measured; the alternative charges for the second "
        "alone. Erratum: one sentence of the article has the aggregate match p(x); it is p(z), as its next paragraph "
        "says.",
    ),
)
WORLDS = 100
LIVE = Plan(steps=400, batch_size=64, learning_rate=4e-3, warm_up=20)
SHORT_AIS = Annealing(distributions=50, chains=4, leapfrogs=5)
EXACT = dict(band=1e-5, hardware="any: float64")


def small_world() -> tuple[DiscreteWorld, Float[Tensor, " states"]]:
    """Two pixels, three codes, and the data: pictures 00, 01, 10, 11, each pixel a coin once z is known."""
    ink = torch.tensor([[0.1, 0.2], [0.8, 0.3], [0.7, 0.9]], dtype=torch.float64)
    pictures = torch.tensor([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=torch.float64)
    likelihood = (pictures * ink[:, None] + (1 - pictures) * (1 - ink[:, None])).prod(2)
    prior = torch.tensor([0.5, 0.3, 0.2], dtype=torch.float64)
    return DiscreteWorld.from_tables(prior, likelihood), torch.tensor([0.4, 0.1, 0.1, 0.4], dtype=torch.float64)


def random_tables(seed: int) -> tuple[DiscreteWorld, Float[Tensor, "8 4"], Float[Tensor, " 8"]]:
    """A random world of 4 codes and 8 pictures, an encoder q(z|x) that knows nothing of it, and data."""
    g = torch.Generator().manual_seed(seed)
    world = DiscreteWorld.from_tables(random_table(2, g), torch.stack([random_table(3, g) for _ in range(4)]))
    return world, torch.stack([random_table(2, g) for _ in range(8)]), random_table(3, g)


def random_linear(seed: int) -> tuple[LinearGaussianWorld, Channel, Gaussian]:
    """A random linear-Gaussian world of 2 codes and 5 pixels, an encoder that knows nothing of it, and data."""
    g = torch.Generator().manual_seed(seed)
    cov = _random_covariance
    world = LinearGaussianWorld(Channel(_numbers(g, 5, 2), _numbers(g, 5), cov(g, 5)))
    q = Channel(_numbers(g, 2, 5) / 2, _numbers(g, 2), cov(g, 2))
    return world, q, Gaussian(_numbers(g, 5), cov(g, 5))


def _numbers(g: torch.Generator, *shape: int) -> Tensor:
    return normal(shape, g, like=torch.empty(0, dtype=torch.float64))


def _random_covariance(g: torch.Generator, d: int) -> Float[Tensor, "d d"]:
    L = _numbers(g, d, d)
    return L @ L.T / d + 0.1 * torch.eye(d).to(L)


def two_ways_in_tables(seed: int) -> tuple[Float[Tensor, " 8"], Float[Tensor, " 8"]]:
    """The ELBO of each picture in both arrangements, in a world of tables: what `C13.discrete` compares."""
    world, q, _ = random_tables(seed)
    return -world.distortion(q) - world.rate(q), world.log_prob() - kl(q, world.log_posterior())


def two_ways_in_gaussians(seed: int) -> tuple[Float[Tensor, " 8"], Float[Tensor, " 8"]]:
    """The ELBO of eight pictures in both arrangements, in a linear-Gaussian world: what `C13.linear` compares."""
    world, q, data = random_linear(seed)
    x = data.sample(8, torch.Generator().manual_seed(seed))
    gaps = torch.stack([q.at(picture).kl(world.posterior().at(picture)) for picture in x])
    return world.elbo(q, x), world.marginal().log_prob(x) - gaps


def worst_difference(two_ways: Callable[[int], tuple[Tensor, Tensor]], seeds: int = WORLDS) -> float:
    """The largest difference between two ways to one number, over the worlds 0 ... seeds - 1, to nine digits."""
    pairs = [two_ways(seed) for seed in range(seeds)]
    return round(max(float((one - other).abs().max()) for one, other in pairs), 9)


def arrangements() -> Iterator[Result]:
    """C13: both arrangements of the ELBO, each term by its own definition, in random worlds that are solved."""
    about = dict(claim="C13", unit="nats", seeds=tuple(range(WORLDS)), **EXACT)
    for name, two_ways in (("discrete", two_ways_in_tables), ("linear", two_ways_in_gaussians)):
        quantity = f"largest difference of the two arrangements, {WORLDS} {name} worlds, 8 pictures each"
        yield Result(f"C13.{name}", quantity=quantity, value=worst_difference(two_ways), **about)


def mixtures() -> Iterator[Result]:
    """C14: how far the mixture of the true posteriors is from the prior, weighted by p(x) and by the data."""
    about = dict(claim="C14", unit="nats", **EXACT)
    tables, data = small_world()
    own, other, misfit = posterior_mixtures(tables, data)
    quantity = "KL from the mixture of the posteriors to the prior, two pixels, weighted by"
    yield Result("C14.discrete.own", quantity=f"{quantity} the model's p(x)", value=own, **about)
    yield Result("C14.discrete.data", quantity=f"{quantity} the data", value=other, **about)
    yield Result(
        "C14.discrete.misfit", quantity="KL from the data to the model's p(x), two pixels", value=misfit, **about
    )
    about |= dict(seeds=tuple(range(WORLDS)))
    quantity = f"largest KL from the mixture, weighted by p(x), to the prior, {WORLDS} linear worlds"
    yield Result("C14.linear.own", quantity=quantity, value=worst_difference(mixture_in_gaussians), **about)
    within = sum(other <= misfit for other, misfit in map(_mixture_and_misfit, range(WORLDS)))
    quantity = "worlds of tables in which the posteriors of the data mix to the prior as well as p(x) fits, or better"
    yield Result("C14.bounded", quantity=quantity, value=float(within), **about | dict(unit=f"of {WORLDS}", band=0.0))


def posterior_mixtures(world: DiscreteWorld, data: Float[Tensor, " states"]) -> tuple[float, float, float]:
    """KL(E p(z|x), p(z)) with x from the model's p(x) and with x from the data; and KL(data, p(x)), in nats."""
    posterior, log_p = world.log_posterior().exp(), world.log_prob()
    own, other = (float(kl(world.aggregate(posterior, p), world.log_prior)) for p in (log_p.exp(), data))
    return round(own, 9) + 0.0, other, float(kl(data, log_p))


def _mixture_and_misfit(seed: int) -> tuple[float, float]:
    world, _, data = random_tables(seed)
    return posterior_mixtures(world, data)[1:]


def mixture_in_gaussians(seed: int) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """KL(E p(z|x), p(z)) with x from the model's own p(x), in a random linear world, beside what it should be: 0."""
    world, _, _ = random_linear(seed)
    distance = world.posterior().output(world.marginal()).kl(world.prior)
    return distance, torch.zeros_like(distance)


def surgery() -> Iterator[Result]:
    """C20: rate = information + aggregate gap in random worlds, and what matching p(x) in its place would ask for."""
    about = dict(claim="C20", unit="nats", seeds=tuple(range(WORLDS)), **EXACT)
    for name, make in (("discrete", random_tables), ("linear", random_linear)):
        quantity = f"largest difference of rate and information + aggregate gap, {WORLDS} {name} worlds"
        value = worst_difference(rate_two_ways(make))
        yield Result(f"C20.{name}", quantity=quantity, value=value, **about)
    about |= dict(seeds=())
    to_prior, to_pictures = erratum()
    quantity = "in a solved world with the true posterior as its encoder: KL from q(z) to"
    yield Result("C20.erratum.to_prior", quantity=f"{quantity} p(z)", value=to_prior, **about)
    yield Result("C20.erratum.to_pictures", quantity=f"{quantity} p(x)", value=to_pictures, **about)


def rate_two_ways(make: Callable[[int], tuple]) -> Callable[[int], tuple[Tensor, Tensor]]:
    """The rate, and information + aggregate gap, of the random worlds that `make` makes: what `C20.*` compares."""

    def two_ways(seed: int) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        world, q, data = make(seed)
        account = world.account(q, data)
        parts = account.information + account.aggregate_gap
        return torch.tensor(account.rate, dtype=torch.float64), torch.tensor(parts, dtype=torch.float64)

    return two_ways


def erratum() -> tuple[float, float]:
    """KL(q(z), p(z)) and KL(q(z), p(x)) for x | z ~ N(2 z, 1), its own pictures, and q the true posterior."""
    one = torch.ones(1, 1, dtype=torch.float64)
    world = LinearGaussianWorld(Channel(2 * one, 0 * one[0], one))
    q_z = world.posterior().output(world.marginal())
    return round(float(q_z.kl(world.prior)), 9) + 0.0, float(q_z.kl(world.marginal()))


def split() -> Iterator[Result]:
    """The two parts of the posterior gap where everything is a sum: Gaussians, and a straight line, with two humps."""
    for humps in (1, 2):
        found, about = best_members(humps)[0], dict(claim="", unit="nats", **EXACT)
        where = f"five pictures, posterior with {humps} hump{'s' * (humps - 1)}"
        for name in ("approximation", "amortisation"):
            value = float(getattr(found, name).mean())
            yield Result(f"04.split.{name}.humps{humps}", quantity=f"{name} gap, {where}", value=value, **about)


def solved(world: LinearGaussianWorld, data: Gaussian) -> Account:
    """All terms with the true posterior as the encoder."""
    return world.account(world.posterior(), data)


SHARES = (0.5, 0.4, 0.3, 0.2, 0.1, 0.05, 0.02)
TOLD = (0.0, 0.2, 0.4, 0.6, 0.8, 0.9, 1.0)


def equal_models() -> Iterator[Result]:
    """Models of one Gaussian, all with the same p(x) and the same ELBO, whose codes say little or much."""
    data, about = gaussian_pair(math.pi / 4), dict(claim="", unit="nats", **EXACT)
    same = [solved(factor_model(data, share), data) for share in SHARES]
    same += [solved(strong_model(data, told), data) for told in TOLD]
    entropy = float(data.entropy())
    worst = round(max(abs(account.loss - entropy) for account in same), 9)
    yield Result("04.pair.entropy", quantity="entropy of the tilted Gaussian", value=entropy, **about)
    yield Result(
        "04.pair.worst", quantity=f"largest distance of -ELBO from it, {len(same)} models", value=worst, **about
    )
    rates = [account.rate for account in same]
    yield Result("04.pair.most", quantity="highest rate among these models", value=max(rates), **about)
    yield Result("04.pair.least", quantity="least rate with independent pixels", value=least_rate(data), **about)
    empty = solved(collapsed_model(data), data).loss
    aligned = gaussian_pair(0.0)
    silent = solved(collapsed_model(aligned), aligned).loss
    yield Result(
        "04.pair.aligned", quantity="-ELBO with independent pixels and no code, axis-aligned", value=silent, **about
    )
    yield Result(
        "04.pair.collapsed", quantity="-ELBO with independent pixels and no code, tilted", value=empty, **about
    )


def live_vae(seed: int) -> VAE:
    """The VAE that chapter 04 trains on digits: a code of two numbers, and pixels that are independent given it."""
    torch.manual_seed(seed)
    vae = VAE(ConvEncoder((1, 8, 8), 2), FactorisedDecoder((1, 8, 8), 2, "conv", hidden=64), 2)
    fit(vae, elbo(), binary_digits("train"), dataclasses.replace(LIVE, seed=seed), progress=False)
    return vae


def even(n: int) -> Float[Tensor, " n"]:
    """The data as a distribution: each of n pictures once."""
    return torch.full((n,), 1 / n, dtype=torch.float64)


def mixed_posteriors(world: DiscreteWorld) -> tuple[Float[Tensor, " codes"], float]:
    """1/n sum p(z|x), the true posteriors of the world's n pictures mixed, and its KL to the prior in nats."""
    mixture = world.log_posterior().exp().mean(0)
    return mixture, float(kl(mixture, world.log_prior))


@torch.no_grad()
def log_terms(
    vae: VAE, x: Float[Tensor, "n 1 height width"], draws: int, g: torch.Generator
) -> tuple[Float[Tensor, "draws n"], Float[Tensor, "draws n"]]:
    """log p(x|z) and log q(z|x) - log p(z) of drawn codes z ~ q(z|x): their difference is the log-weight."""
    q = vae.encode(x)
    codes = [q.sample(g) for _ in range(draws)]
    log_likelihood = torch.stack([vae.decoder.log_prob(x, z) for z in codes]).double()
    return log_likelihood, torch.stack([q.log_prob(z) - vae.prior.log_prob(z) for z in codes]).double()


def log_mean(logs: Float[Tensor, "draws n"], K: int) -> float:
    """log 1/K sum_k exp(l_k), averaged over all groups of K draws that follow one another, and over the pictures.

    Raises ValueError where the draws do not fall into groups of K.
    """
    if len(logs) % K:
        raise ValueError(f"{len(logs)} draws do not fall into groups of {K}: take a divisor")
    return float(logs.view(-1, K, logs.shape[1]).logsumexp(1).mean()) - math.log(K)


def estimates(vae: VAE, x: Float[Tensor, "n 1 height width"], seed: int) -> dict[str, float]:
    """What is measured where no grid can be summed: ways to -log p(x), less the grid's, and to the information."""
    g, log_prob = torch.Generator().manual_seed(seed), solved_world(vae, x, plane()).log_prob()
    found = information_of(encode_all(vae, x, g))
    log_likelihood, rate = log_terms(vae, x, 300, g)[0], vae.encode(x).kl_to_standard_normal().detach()
    off = log_prob - iwae_log_prob(vae, x, 300, g)
    return {
        "iwae": float(off.mean()),
        "iwae25": float(off[:25].mean()),
        "shortcut": float((log_prob + rate).mean()) - log_mean(log_likelihood, 300),
        "ais": float((log_prob[:25] - ais(vae, x[:25], g, SHORT_AIS).log_prob).mean()),
        "information_lower": found.lower,
        "information_upper": found.at_most,
    }


def posterior_gaps(vae: VAE, x: Float[Tensor, "n 1 height width"], seed: int) -> Gaps:
    """Approximation and amortisation, with log p(x) summed over the plane and q* found by 100 steps of Adam."""
    log_prob = solved_world(vae, x, plane()).log_prob()
    return gaps(vae, x, torch.Generator().manual_seed(seed), log_prob, steps=100, samples=100)


def whole_gap(vae: VAE, x: Float[Tensor, "n 1 height width"]) -> Float[Tensor, " n"]:
    """KL(q(z|x), p(z|x)) of each picture in nats, by a sum over the plane: approximation and amortisation together."""
    parts = [solve(vae, some, plane()) for some in x.split(250)]
    return torch.cat([kl(q, world.log_posterior()) for world, q in parts])


QUANTITIES = {
    "loss": ("C13", "-ELBO", 0.6),
    "distortion": ("", "distortion", 0.8),
    "nll": ("C13", "-log p(x)", 0.6),
    "posterior_gap": ("C13", "posterior gap", 0.2),
    "rate": ("C20", "rate", 0.3),
    "information": ("C20", "information", 0.3),
    "aggregate_gap": ("C20", "aggregate gap", 0.1),
}


def trained() -> Iterator[Result]:
    """The VAE of chapter 04 on three seeds: every term by a sum over the plane, and by the estimators."""
    x, train = binary_digits("test"), binary_digits("train")
    vaes, about = [live_vae(seed) for seed in SEEDS], dict(unit="nats per image", hardware=hardware("cpu"))
    accounts = []
    for vae in vaes:
        world, q = solve(vae, x, plane())
        accounts.append(world.account(q, even(len(x))))
    for name, (claim, quantity, band) in QUANTITIES.items():
        values = [getattr(account, name) for account in accounts]
        told = f"{quantity}, 250 test digits, code of two numbers, by a grid"
        yield over_seeds(f"04.digits.{name}", told, values, band, claim=claim, **about)
    yield from _estimated(vaes, x, about)
    yield from _gaps_of(vaes, train[:500], x, about)
    yield from _mixed(vaes, x, about)


def _estimated(vaes: list[VAE], x: Tensor, about: dict) -> Iterator[Result]:
    found = [estimates(vae, x, seed) for seed, vae in zip(SEEDS, vaes, strict=True)]
    told = {
        "iwae": ("", "importance-weighted bound on -log p(x), K = 300, less the grid's value, 250 test digits", 0.03),
        "iwae25": ("", "importance-weighted bound, K = 300, less the grid's value, the first 25 test digits", 0.06),
        "shortcut": ("", "-log mean p(x|z) + KL, K = 300, less the grid's -log p(x), 250 test digits", 0.1),
        "ais": ("", "-log p(x) by short annealing less the grid's value, the first 25 test digits", 0.05),
        "information_lower": ("C20", "information, lower bound, 250 test digits", 0.3),
        "information_upper": ("C20", "information, upper bound, 250 test digits", 0.3),
    }
    for name, (claim, quantity, band) in told.items():
        yield over_seeds(f"04.digits.{name}", quantity, [one[name] for one in found], band, claim=claim, **about)


def _gaps_of(vaes: list[VAE], train: Tensor, test: Tensor, about: dict) -> Iterator[Result]:
    seen = [float(whole_gap(vae, train).mean()) for vae in vaes]
    yield over_seeds("04.digits.seen_gap", "posterior gap, the first 500 train digits, by a grid", seen, 0.15, **about)
    more = [float(whole_gap(vae, test).mean()) - gap for vae, gap in zip(vaes, seen, strict=True)]
    quantity = "posterior gap, 250 test digits less 500 train digits"
    yield over_seeds("04.digits.unseen_more", quantity, more, 0.08, **about)
    quantity += ", on the seed of three where it is least"
    yield Result("04.digits.unseen_least", "", quantity, min(more), band=0.08, seeds=SEEDS, **about)
    both = torch.cat([train[:60], test[:60]])
    found = [posterior_gaps(vae, both, seed) for seed, vae in zip(SEEDS, vaes, strict=True)]
    for whose, part in (("train", slice(60)), ("test", slice(60, None))):
        for name, band in (("approximation", 0.03), ("amortisation", 0.12)):
            values = [float(getattr(one, name)[part].mean()) for one in found]
            quantity = f"{name} gap, the first 60 {whose} digits"
            yield over_seeds(f"04.digits.{name}.{whose}", quantity, values, band, **about)


def _mixed(vaes: list[VAE], x: Tensor, about: dict) -> Iterator[Result]:
    drawn = [vae.sample(1000, torch.Generator().manual_seed(seed)) for seed, vae in zip(SEEDS, vaes, strict=True)]
    about = about | dict(unit="nats")
    told = {
        "data": ("the 250 test digits", [x] * 3, 0.06),
        "own250": ("250 of the model's own drawings", [d[:250] for d in drawn], 0.03),
        "own1000": ("1,000 of the model's own drawings", drawn, 0.008),
    }
    for name, (whose, pictures, band) in told.items():
        values = [
            mixed_posteriors(solved_world(vae, some, plane()))[1] for vae, some in zip(vaes, pictures, strict=True)
        ]
        quantity = f"KL from the mixture of the true posteriors of {whose} to the prior"
        yield over_seeds(f"C14.digits.{name}", quantity, values, band, claim="C14", **about)


EXPERIMENTS = {
    "C13": arrangements,
    "C14": mixtures,
    "C20": surgery,
    "04.split": split,
    "04.pair": equal_models,
    "04.digits": trained,
}
