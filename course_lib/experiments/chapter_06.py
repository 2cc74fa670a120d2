"""Chapter 06: where a decoder that sees its own pixels leaves the code, by sums in the one-bit world and on digits."""

import dataclasses
import math
from collections.abc import Iterator
from functools import cache

import torch
from jaxtyping import Float
from torch import Tensor, nn

from course_lib.data.noise import normal
from course_lib.experiments import knob
from course_lib.experiments.seeds import SEEDS, over_seeds
from course_lib.measurement.codes import Codes, encode_all
from course_lib.measurement.information import Information, information_of
from course_lib.measurement.ledger import Claim, Result, result
from course_lib.measurement.likelihood import distortion_per_image, exact_nll_per_image, iwae_nll
from course_lib.measurement.sharpness import sharpness
from course_lib.measurement.stray_dots import stray_dots
from course_lib.measurement.worlds.account import Account
from course_lib.measurement.worlds.one_bit import DATA, OneBit, best
from course_lib.measurement.worlds.quadrature import grid, solve
from course_lib.models.encoders import ConvEncoder, MLPEncoder
from course_lib.models.factorised import FactorisedDecoder
from course_lib.models.gated import GatedPixelCNN
from course_lib.models.gaussian import DiagonalGaussian
from course_lib.models.priors import FlowPrior, Prior
from course_lib.models.vae import VAE
from course_lib.objectives.infovae import beta_vae, elbo
from course_lib.training.fit import Loss, Plan, fit
from course_lib.zoo import cards
from course_lib.zoo.recipes import binary_digits, vlae
from course_lib.zoo.train import hardware

CLAIMS = (
    Claim(
        "C09",
        "With z appended to an autoregressive decoder, reconstructions are sharper and better in detail.",
        "Sharper than what? A chain that reads the same codes as independent pixels leaves a quarter of their stray "
        "dots and pays fewer nats; but its drawings differ from their digits in as many pixels, and its mean "
        "picture is as grey, for what a code leaves open no decoder can tell. Trained together with its encoder it "
        "says less through the code: its drawings are as clean, and further from the digit they are reconstructions "
        "of.",
    ),
    Claim(
        "C10",
        "Coordination through the pixels already drawn takes the place of coordination through z.",
        "Seen on digits, at three seeds: the more the pixels see of each other, the less the ELBO's code tells, and "
        "the better the likelihood. The code grows quiet, not silent: at full field it still tells one to three "
        "nats, depending on the decoder.",
    ),
    Claim(
        "C17",
        "A strong decoder leaves its code unused where p(x) can be modelled without it.",
        "True of the optimum: beside a decoder that alone is as good as the data, a code can save nothing, and "
        "costs the posterior gap. But the gap may be next to nothing: of I nats told to a chain in the one-bit "
        "world about 4/3 I^4 where I is small, and none at all in chapter 04's Gaussian. So silence is cheapest by "
        "a hair, and training ends anywhere near. A decoder that alone is not perfect gets a code that speaks from "
        "the ELBO itself, wherever the code saves more than the gap: on digits more than a nat in all with a field "
        "of 1, compared with a decoder that knows each pixel's place too, and nothing with a full field, where the "
        "code tells about a nat all the same. At equal likelihood the ELBO's code in chapter 00 is nearly silent, "
        "InfoVAE's is not.",
    ),
    Claim(
        "C18",
        "Codes are left unused because the regulariser is too strong.",
        "Half of it. A smaller beta makes codes speak, and so does a weaker decoder: in the one-bit world pixels "
        "over beta are one number, exactly. But at beta = 1 the regulariser is not too strong: the rate is repaid "
        "in distortion, and what speech costs is the posterior gap alone. The ELBO fixes their sum alone: with a "
        "full field no code and a code of a nat or two cost the same within three tenths. A beta of 1/4 tells more "
        "than that and is paid for: -ELBO rises by almost four nats with a field of 1, and by almost five with the "
        "full one.",
    ),
)
NATS = "nats per image"
EXACT = dict(unit=NATS, hardware="any: float64", band=1e-4)
PIXELS = (1, 2, 5, 10, 100, 1000)
TAUGHT = (2, 5, 10)
BIT_PLAN = Plan(steps=1000, batch_size=128, learning_rate=0.05, warm_up=20)


def two_pictures(n: int) -> Float[Tensor, "2 1 1 n"]:
    """The one-bit world's pictures: n pixels in a row, all 0 or all 1."""
    return torch.tensor([0.0, 1.0]).view(2, 1, 1, 1).repeat(1, 1, 1, n)


def told(account: Account) -> dict[str, float]:
    """What the chapter says of a solved world, in nats."""
    return {"loss": account.loss, "information": account.information}


@cache
def best_account(pixels: float) -> Account:
    """All terms of the best Gaussian code for `pixels` independent pixels."""
    return best(pixels).account()


def chain_account(code: OneBit) -> Account:
    """All terms of the same code with a decoder that copies: the first pixel from z, each other one from the first.

    What z leaves open is paid once, so the account is that of a single pixel, for any number of them.
    """
    return dataclasses.replace(code, pixels=1).account()


def weighed_account(pixels: int, beta: float) -> Account:
    """All terms of the best code when the rate counts `beta` times: n H(x|z) + beta (I + KL) depends on n / beta alone.

    Without an optimum that speaks, where n is at most beta, the code is empty.
    """
    code = best(pixels / beta) if pixels > beta else OneBit(1, 0.0, 1.0)
    return dataclasses.replace(code, pixels=pixels).account()


def even_code(mu: float) -> OneBit:
    """The code of means -mu and mu whose aggregate has variance 1: s^2 = 1 - mu^2."""
    return OneBit(1, mu, math.sqrt(1 - mu**2))


def one_bit() -> Iterator[Result]:
    """The one-bit world by sums: independent pixels at their best, and what the copying decoder pays for a code."""
    for n in PIXELS:
        found = told(best_account(n))
        for name, words in (("loss", "least -ELBO"), ("information", "its I(x;z)")):
            key, claim = ("C17", "C17") if n == 10 else ("06", "")
            yield Result(f"{key}.bit.{name}.n{n}", claim, f"{words}, {n} independent pixels", found[name], **EXACT)
    for mu in (0.3, 0.5, 0.7):
        account, key, claim = chain_account(even_code(mu)), f"06.bit.chain.mu{mu:g}", ""
        if mu == 0.5:
            key, claim = "C17.bit.chain", "C17"
        quantity, price = f"chain, codes at ±{mu:g}", account.loss - math.log(2)
        yield Result(f"{key}.information", claim, f"I(x;z), {quantity}", account.information, **EXACT)
        yield Result(f"{key}.price", claim, f"-ELBO above log 2, {quantity}", price, **EXACT | dict(band=1e-6))


def bit_vae(n: int, chain: bool, seed: int) -> VAE:
    """A VAE trained by its drawn ELBO on the one-bit world: independent pixels, or each sees the one to its left."""
    torch.manual_seed(seed)
    shape = (1, 1, n)
    if chain:
        decoder = GatedPixelCNN(shape, width=4, depth=0, first_kernel=3, code_size=1)
    else:
        decoder = FactorisedDecoder(shape, 1, "linear")
    vae = VAE(MLPEncoder(shape, 1, hidden=8), decoder, 1)
    images = two_pictures(n).repeat(BIT_PLAN.batch_size // 2, 1, 1, 1)
    fit(vae, elbo(), images, dataclasses.replace(BIT_PLAN, seed=seed), progress=False)
    return vae


def solved_bit(vae: VAE) -> Account:
    """All terms of a trained one-bit VAE, by a sum over a grid of its code."""
    world, q = solve(vae, two_pictures(vae.decoder.image_shape[2]), grid())
    return world.account(q, DATA)


def bits_by_training() -> Iterator[Result]:
    """The one-bit world, trained on three seeds: independent pixels, and the chain at ten."""
    about = dict(unit=NATS, hardware=hardware("cpu"))
    for n, chain in [(n, False) for n in TAUGHT] + [(10, True)]:
        accounts = [told(solved_bit(bit_vae(n, chain, seed))) for seed in SEEDS]
        name, words = ("chain", "a chain of 10") if chain else (f"n{n}", f"{n} independent pixels")
        for quantity, band in (("loss", 0.12), ("information", 0.3 if chain else 0.05)):
            values = [row[quantity] for row in accounts]
            label = f"{'-ELBO' if quantity == 'loss' else 'I(x;z)'} after training, {words}"
            yield over_seeds(f"06.bit.trained.{name}.{quantity}", label, values, band, **about)


CHAIN_SEEDS = range(6)


def chains_by_training() -> Iterator[Result]:
    """The chain of ten once more, seed by seed: what a mean over seeds would hide."""
    for seed in CHAIN_SEEDS:
        found = told(solved_bit(bit_vae(10, True, seed)))
        about = dict(claim="", unit=NATS, hardware=hardware("cpu"), seeds=(seed,), band=0.3)
        for quantity, words in (("loss", "-ELBO"), ("information", "I(x;z)")):
            label = f"{words} after training, a chain of 10, seed {seed}"
            yield Result(f"06.chain.seed{seed}.{quantity}", quantity=label, value=found[quantity], **about)


SHARP_PLAN = Plan(steps=400, batch_size=64, learning_rate=4e-3, warm_up=20)
SHAPE, CODE = (1, 8, 8), 8


def factorised_vae(seed: int) -> VAE:
    """A VAE of digits whose pixels are independent given a code of eight numbers."""
    torch.manual_seed(seed)
    vae = VAE(ConvEncoder(SHAPE, CODE, 32), FactorisedDecoder(SHAPE, CODE, "conv", hidden=64), CODE)
    fit(vae, elbo(), binary_digits("train"), dataclasses.replace(SHARP_PLAN, seed=seed), progress=False)
    return vae


def with_a_chain(vae: VAE, seed: int) -> VAE:
    """The same encoder, held fast, and a gated decoder that learns to read its codes."""
    torch.manual_seed(seed)
    chain = VAE(
        vae.encoder.requires_grad_(False), GatedPixelCNN(**vlae.DECODER, code_size=CODE, conditioning="maps"), CODE
    )
    fit(chain, elbo(), binary_digits("train"), dataclasses.replace(SHARP_PLAN, seed=seed), progress=False)
    return chain


@torch.no_grad()
def sharp_numbers(vae: VAE, seed: int) -> dict[str, float]:
    """Distortion and rate of the test digits, and what one drawn reconstruction of each looks like beside the digit."""
    x, generator = binary_digits("test"), torch.Generator().manual_seed(seed)
    codes = encode_all(vae, x, generator)
    drawn = vae.decoder.sample(len(x), generator, codes.z.float())
    return {
        "distortion": float(distortion_per_image(vae, x, codes.z).mean()),
        "rate": float(codes.rate.mean()),
        "sharpness": sharpness(drawn, x),
        "stray": stray_dots(drawn),
        "off": float((drawn - x).abs().sum(dim=(1, 2, 3)).mean()),
        "mean": sharpness(mean_drawing(vae, codes.z.float(), generator), x),
    }


@torch.no_grad()
def mean_drawing(
    vae: VAE, z: Float[Tensor, "n code"], generator: torch.Generator, draws: int = 30
) -> Float[Tensor, "n colours height width"]:
    """The average of `draws` drawings from each code: the picture of all pixels' expected values given z."""
    return vae.decoder.sample(draws * len(z), generator, z.repeat(draws, 1)).unflatten(0, (draws, len(z))).mean(0)


SHARP = {
    "distortion": ("distortion", NATS, 0.9),
    "rate": ("rate", NATS, 0.9),
    "sharpness": ("sharpness of reconstructions (digits: 1)", "", 0.08),
    "stray": ("stray dots in reconstructions (digits: 0.064)", "a picture", 0.12),
    "off": ("pixels in which a reconstruction differs from its digit", "of 64", 1.2),
    "mean": ("sharpness of mean reconstructions", "", 0.08),
}


def sharper() -> Iterator[Result]:
    """C09: independent pixels, a chain that reads the same codes, and a chain trained together with its encoder."""
    independent = [factorised_vae(seed) for seed in SEEDS]
    models = {
        "independent": ("independent pixels", lambda seed: independent[seed]),
        "chain": ("chain, same encoder", lambda seed: with_a_chain(independent[seed], seed)),
        "joint": ("chain and encoder trained together", lambda seed: zoo_model("code", None, seed)),
    }
    for name, (words, make) in models.items():
        found = [sharp_numbers(make(seed), seed) for seed in SEEDS]
        for quantity, (label, unit, band) in SHARP.items():
            values, about = [row[quantity] for row in found], dict(claim="C09", unit=unit, hardware=hardware("cpu"))
            yield over_seeds(f"C09.{name}.{quantity}", f"{label}, {words}", values, band, **about)


def zoo_model(step: str, field: int | None, seed: int) -> VAE:
    """A stored step to the VLAE."""
    return cards.load(vlae.name_of(step, field, seed))


def measured(step: str, field: int | None, seed: int) -> dict[str, float]:
    """What its card says, with the posterior gap in it: distortion + rate - nll, all on the test digits."""
    found = dict(cards.card(vlae.name_of(step, field, seed))["measurements"])
    if step != "alone":
        found["loss"] = found["distortion"] + found["rate"]
        found["gap"] = found["loss"] - found["nll_nats"]
    return found


STORED = {
    "nll_nats": ("test NLL (IWAE, K = 100)", "C17"),
    "loss": ("test -ELBO", "C17"),
    "gap": ("-ELBO less the NLL", ""),
    "information_lower": ("I(x;z), at least", "C10"),
    "rate": ("rate", ""),
    "distortion": ("distortion", ""),
}
WORDS = {"narrow": "field of 1", "full": "full field"}
STEP_WORDS = {
    "alone": "no code, no maps",
    "code": "with a code",
    "warm": "with a code, warm-up",
    "flow": "with a code and a flow prior, warm-up",
}


def steps_to_vlae() -> Iterator[Result]:
    """C10, C17 and the VLAE: the same decoder without a code, with one, and with a flow prior; narrow and full."""
    for step, field in vlae.STEPS:
        found, width = [measured(step, field, seed) for seed in SEEDS], "full" if field is None else "narrow"
        for quantity, (label, claim) in STORED.items():
            if quantity in found[0]:
                values, key = [row[quantity] for row in found], quantity.split("_")[0]
                label = label.replace("(IWAE, K = 100)", "(exact)") if step == "alone" else label
                claim = claim if step in ("alone", "code") else ""
                words = f"{label}, {WORDS[width]}, {STEP_WORDS[step]}"
                about = dict(claim=claim, unit=NATS, hardware=hardware("cpu"))
                yield over_seeds(f"{claim or '06'}.{step}.{width}.{key}", words, values, 0.5, **about)


def fitted_prior(vae: VAE, seed: int, steps: int = 300) -> FlowPrior:
    """A flow that learns q(z) of the training digits, by -log p(z) of drawn codes; encoder and decoder stay."""
    torch.manual_seed(seed)
    prior, generator = FlowPrior(vae.code_size), torch.Generator().manual_seed(seed)
    with torch.no_grad():
        q = vae.encode(binary_digits("train"))
    optimiser = torch.optim.Adam(prior.parameters(), lr=0.01)
    decay = torch.optim.lr_scheduler.LinearLR(optimiser, 1.0, 0.01, steps)
    for _ in range(steps):
        optimiser.zero_grad()
        (-prior.log_prob(q.sample(generator)).mean()).backward()
        optimiser.step()
        decay.step()
    return prior


@torch.no_grad()
def rate_under(vae: VAE, prior: Prior, seed: int, draws: int = 50) -> float:
    """E log q(z|x) - log p(z) on the test digits for any prior, in nats per image, by `draws` codes of each."""
    q, generator = vae.encode(binary_digits("test")), torch.Generator().manual_seed(seed)
    codes = [q.sample(generator) for _ in range(draws)]
    return float(torch.stack([q.log_prob(z) - prior.log_prob(z) for z in codes]).mean())


def priors() -> Iterator[Result]:
    """What a flow in the prior's place saves at most: the codes of the narrow decoder, kept, and the prior refitted."""
    vaes = [zoo_model("code", vlae.NARROW, seed) for seed in SEEDS]
    normal_rates = [rate_under(vae, vae.prior, seed) for vae, seed in zip(vaes, SEEDS, strict=True)]
    flow_rates = [rate_under(vae, fitted_prior(vae, seed), seed) for vae, seed in zip(vaes, SEEDS, strict=True)]
    saved = [one - other for one, other in zip(normal_rates, flow_rates, strict=True)]
    about = dict(unit=NATS, hardware=hardware("cpu"))
    yield over_seeds("06.prior.normal", "rate under N(0, I), field of 1", normal_rates, 0.1, **about)
    yield over_seeds("06.prior.flow", "rate of the same codes under a flow", flow_rates, 0.2, **about)
    yield over_seeds("06.prior.saved", "what the flow saves", saved, 0.15, **about)


class Placed(nn.Module):
    """A decoder whose code is always zero: nothing is left of the maps but their constant, which tells the place."""

    def __init__(self, field: int | None):
        super().__init__()
        self.decoder = GatedPixelCNN(**vlae.DECODER, field=field, code_size=1, conditioning="maps")

    def log_prob(self, x: Float[Tensor, "batch colours height width"]) -> Float[Tensor, " batch"]:
        """log p(x) in nats."""
        return self.decoder.log_prob(x, x.new_zeros(len(x), 1))


def placed_nll(field: int | None, seed: int) -> float:
    """The test NLL of a Placed decoder, trained like the steps to the VLAE, in nats per image."""
    torch.manual_seed(seed)
    recipe, model = vlae.step_to_vlae("alone", field, seed), Placed(field).to(memory_format=torch.channels_last)
    fit(model, recipe.objective(), recipe.train_images(), recipe.plan, progress=False)
    return float(exact_nll_per_image(model, binary_digits("test"), seed=0).mean())


def placed() -> Iterator[Result]:
    """C17: both decoders without a code, told where each of their pixels is."""
    about = dict(claim="C17", unit=NATS, hardware=hardware("cpu"))
    for width, field in (("narrow", vlae.NARROW), ("full", None)):
        words, values = f"test NLL (exact), {WORDS[width]}, no code", [placed_nll(field, seed) for seed in SEEDS]
        yield over_seeds(f"C17.placed.{width}.nll", words, values, 0.5, **about)


def silent() -> Iterator[Result]:
    """What a code that beta = 4 keeps silent costs still: its decoder listens to the noise."""
    vaes = [live_step("code", vlae.NARROW, seed, beta_vae(4.0)) for seed in SEEDS]
    points = [plane_numbers(vae, seed) for vae, seed in zip(vaes, SEEDS, strict=True)]
    generators = [torch.Generator().manual_seed(seed) for seed in SEEDS]
    nll = [iwae_nll(vae, binary_digits("test"), 100, g).nats for vae, g in zip(vaes, generators, strict=True)]
    gap = [point["rate"] + point["distortion"] - nats for point, nats in zip(points, nll, strict=True)]
    about = dict(unit=NATS, hardware=hardware("cpu"))
    words = f"{WORDS['narrow']}, beta = 4"
    yield over_seeds("06.silent.nll", f"test NLL (IWAE, K = 100), {words}", nll, 0.5, **about)
    yield over_seeds("06.silent.gap", f"-ELBO less the NLL, {words}", gap, 0.3, **about)


def pays() -> Iterator[Result]:
    """C17: what a code is worth to a decoder, its price paid: the test NLL without one less -ELBO with one.

    Maps tell a pixel its place even without a code. So the decoder without a code is one that knows its places.
    """
    about = dict(claim="C17", unit=NATS, hardware=hardware("cpu"))
    for width, field in (("narrow", vlae.NARROW), ("full", None)):
        words, without = f"what a code saves in all, {WORDS[width]}", result(f"C17.placed.{width}.nll")
        saved = [without.value - measured("code", field, seed)["loss"] for seed in SEEDS]
        found = over_seeds(f"C17.pays.{width}", words, saved, 0.5, **about)
        yield dataclasses.replace(found, spread=math.hypot(found.spread, without.spread))


SWEPT = ((None, 0.25), (vlae.NARROW, 0.25), (vlae.NARROW, 4.0))


def live_step(step: str, field: int | None, seed: int, objective: Loss | None = None) -> VAE:
    """A step to the VLAE trained anew, or with another objective."""
    recipe = vlae.step_to_vlae(step, field, seed)
    model = recipe.build().to(memory_format=torch.channels_last)
    fit(model, objective or recipe.objective(), recipe.train_images(), recipe.plan, progress=False)
    return model.to(memory_format=torch.contiguous_format)


def plane_numbers(vae: VAE, seed: int) -> dict[str, float]:
    """Rate, distortion and information on the test digits."""
    x = binary_digits("test")
    codes = encode_all(vae, x, torch.Generator().manual_seed(seed))
    distortion = float(distortion_per_image(vae, x, codes.z).mean())
    return {"rate": float(codes.rate.mean()), "distortion": distortion, "information": information_of(codes).lower}


def sweep() -> Iterator[Result]:
    """C18: other weights of the rate at the two fields; those of 1 are the zoo's."""
    for field, beta in SWEPT:
        found = [plane_numbers(live_step("code", field, seed, beta_vae(beta)), seed) for seed in SEEDS]
        width = "full" if field is None else "narrow"
        for quantity, label in (("rate", "rate"), ("distortion", "distortion"), ("information", "I(x;z), at least")):
            values, words = [row[quantity] for row in found], f"{label}, {WORDS[width]}, beta = {beta:g}"
            about = dict(claim="C18", unit=NATS, hardware=hardware("cpu"))
            yield over_seeds(f"C18.{width}.beta{beta:g}.{quantity}", words, values, 1.0, **about)


def gaussian_codes(information: float, count: int, seed: int, d: int = 8) -> Codes:
    """Codes of `count` pictures, of which I(x;z) is known: mu ~ N(0, (1 - s^2) I), z ~ N(mu, s^2 I).

    Then z ~ N(0, I), and I(x;z) = -d log s nats, which is set to `information`.
    """
    s, generator = math.exp(-information / d), torch.Generator().manual_seed(seed)
    mu = normal((count, d), generator, like=torch.empty(0, dtype=torch.float64)) * math.sqrt(1 - s**2)
    q = DiagonalGaussian(mu, torch.full_like(mu, 2 * math.log(s)))
    z = q.sample(generator)
    return Codes(q, z, q.kl_to_standard_normal(), -0.5 * (z**2 + math.log(2 * math.pi)).sum(1))


@cache
def metered(information: float, count: int, seed: int = 0) -> Information:
    """What the meter reads of `gaussian_codes`."""
    return information_of(gaussian_codes(information, count, seed))


TRUE_INFORMATION, COUNTS = (2.0, 5.0, 10.0, 20.0), (50, 2000)


def meter() -> Iterator[Result]:
    """The meter on codes of known information, among 50 pictures and among 2,000."""
    for information in TRUE_INFORMATION:
        for count in COUNTS:
            values = [metered(information, count, seed).lower for seed in SEEDS]
            key, words = (
                f"06.meter.I{information:g}.N{count}",
                f"reading among {count:,} pictures of {information:g} nats",
            )
            yield over_seeds(key, words, values, 0.6, unit="nats", hardware="any: float64")


EXPERIMENTS = {
    "C17.bit": one_bit,
    "06.bit": bits_by_training,
    "06.chain": chains_by_training,
    "C09": sharper,
    "06.steps": steps_to_vlae,
    "C17.placed": placed,
    "C17.pays": pays,
    "06.prior": priors,
    "C18": sweep,
    "06.silent": silent,
    "06.meter": meter,
    **knob.EXPERIMENTS,
}
