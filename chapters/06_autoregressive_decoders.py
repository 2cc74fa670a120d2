# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 06 · Why does a strong decoder go quiet?
#
# A decoder that paints pixel by pixel has two sources to ask: the code $z$, and the pixels it has painted already. The
# second is free. So what is left for the first? This chapter puts a price on everything that a code may say, in a world
# of one bit, where all of it can be summed, and on digits.
#
# **You will be able to**
#
# - bring a code into a PixelCNN in two ways, and say what each of them lacks;
# - compute what a code costs and what it saves, in a message that is sent and received;
# - read a rate-distortion plane: which line the ELBO fixes, and what moves a model along it;
# - say under which condition a code is used, and how far that condition reaches;
# - force information into a code by narrowing the decoder's field, and say what a learned prior can save at most;
# - tell a saturated information meter from a full code.
#
# **Minutes**: 75, and 65 more for the exercise.
#
# **Prerequisites**: chapters 02 (masked convolutions and their field) and 04 (both ways to write the ELBO; rate,
# information and aggregate gap). All amounts are in nats per image; a bit is $\log 2 = 0.693$ nats.
#
# **Claims and numbers**: C09, C10, C17 and C18 of "the article", C. M. Wild's of 2018. `confirm` compares a number
# measured just now with the course's ledger; a ± right after a number of the ledger is the standard deviation over
# three seeds, that of the band how far another run may lie off.

# %%
import math
from functools import lru_cache

import torch

from course_lib.data import digits
from course_lib.experiments.chapter_06 import (
    CHAIN_SEEDS,
    COUNTS,
    PIXELS,
    SHARP,
    TRUE_INFORMATION,
    best_account,
    bit_vae,
    chain_account,
    even_code,
    factorised_vae,
    fitted_prior,
    gaussian_codes,
    mean_drawing,
    measured,
    metered,
    plane_numbers,
    rate_under,
    sharp_numbers,
    solved_bit,
    weighed_account,
    with_a_chain,
    zoo_model,
)
from course_lib.experiments.seeds import SEEDS
from course_lib.figures.style import (
    AMBER,
    BLUE,
    FAINT,
    GREEN,
    GREY,
    PURPLE,
    SKY,
    VERMILION,
    figure,
    image_grid,
    show,
)
from course_lib.measurement.information import information_curve
from course_lib.measurement.ledger import ClaimsTable, confirm, results
from course_lib.models.gated import GatedPixelCNN
from course_lib.models.masks import MaskedConv2d
from course_lib.widgets import Explorer, FloatRange, IntRange

x_test = digits(binary=True).test.images
BIT, FIELDS, known = math.log(2), ("0", "1", "2", "4", "full"), results()


def ledger(key):
    """A number of the ledger."""
    return known[key].value


# %% [markdown]
# ## How a code enters a PixelCNN
#
# A gated PixelCNN computes a logit for each pixel from the pixels before it. To condition it on $z$, add something that
# depends on $z$ to what goes into its gates (van den Oord et al., 2016):
#
# - **bias**: a linear function of $z$, one number for each channel, *the same at every pixel*. It says *what*;
# - **maps**: a linear function of $z$ and a constant for each channel *and each pixel*, painted beside the picture. It
#   may say *where*; but each place learns its own weights, so what is learnt at one is unknown at the next, and their
#   number grows with the picture. Keep the constant in mind: it tells a pixel its place, even if the code tells
#   nothing.
#
# A third way is a known mistake: to append the painted maps to the picture as further channels, and to send everything
# through the masked convolution. The mask is there to hide pixels; $z$ is no pixel.
#
# **Predict**: we ask for the gradient of each pixel's logit with respect to $z$, in networks that have not been
# trained. The first two have a field of 0, so that no pixel is seen; the third is one masked layer, and its picture is
# blank. In which of the three pictures are all pixels alike? Does every pixel hear of the code in each?

# %%
torch.manual_seed(0)
z = torch.randn(1, 8)
networks = {
    way: GatedPixelCNN((1, 8, 8), width=8, depth=1, field=0, code_size=8, conditioning=way) for way in ("bias", "maps")
}
paint, masked = torch.nn.Linear(8, 64), MaskedConv2d("A", 2, 1, 3)


def through_the_mask(x, z):
    """The mistake: the code as a second input of a masked convolution."""
    return masked(torch.cat([x, paint(z).view(1, 1, 8, 8)], 1))


blank = torch.zeros(1, 1, 8, 8)
ways = {name: (lambda z, net=net: net(blank, z)) for name, net in networks.items()}
TOLD = {"bias": "all pixels alike", "maps": "each its own", "through the mask": "(0, 0) is told nothing"}
ways["through the mask"] = lambda z: through_the_mask(blank, z)
fig, axes = figure(1, 3, width=7.2, height=2.9)
for ax, (name, logits) in zip(axes, ways.items(), strict=True):
    slope = torch.autograd.functional.jacobian(logits, z).view(8, 8, 8).norm(dim=2)
    ax.imshow(slope / slope.max(), vmin=0, vmax=1)
    ax.set(xticks=[0, 7], yticks=[0, 7], title=f"{name}:\n{TOLD[name]}", xlabel="column")
    print(
        f"{name:17} least {slope.min() / slope.max():.4f} of the most; at pixel (0, 0) {slope[0, 0] / slope.max():.4f}"
    )
axes[0].set_ylabel("row")
show(
    fig,
    alt="Three 8 by 8 maps of how much each pixel's logit depends on the code. Bias: the same everywhere. Maps: "
    "different from pixel to pixel, nowhere zero. Through the mask: zero at the first pixel, in the top left corner.",
)

# %% [markdown]
# A bias moves all logits alike, so a decoder that sees nothing and has only a bias paints all pixels with one coin.
# With a field, it can say "a seven", and the pixels find out where they are from each other and from the edge. Maps can
# speak to single pixels, and the experiments of this chapter use them. Through the mask, the first pixel is never told
# anything, and those after it only about the places before them.
#
# ## Sharper pictures (claim C09)
#
# *The claim, in our words: with $z$ appended to an autoregressive decoder, reconstructions are sharper and better in
# detail than with independent pixels.*
#
# Chapter 01 taught caution. The picture of *expected values* given $z$ is as grey from a right chain as from right
# coins; what differs are the *drawings*. So we compare drawings with drawings and means with means, and keep the code
# fixed: train a VAE with independent pixels; keep its encoder as it is; then let a gated decoder learn to read the very
# same codes. **Predict**, for one drawn reconstruction of each test digit: which decoder has more *stray dots* (black
# pixels with no black one above, below, left or right)? Whose drawings differ from their digit in fewer pixels? Whose
# mean is sharper? (*Sharpness* is the sum of squared differences of neighbouring pixels, over that of the digits.)

# %% tags=["nbval-ignore-output"]
independent = factorised_vae(seed=0)
chain = with_a_chain(independent, seed=0)
models = {"independent": independent, "chain": chain, "joint": zoo_model("code", None, 0)}
found = {name: sharp_numbers(vae, seed=0) for name, vae in models.items()}
for quantity, (label, unit, _) in SHARP.items():
    print(f"{label}{f', {unit}' if unit else ''}")
    for name in found:
        confirm(f"C09.{name}.{quantity}", found[name][quantity])
for name, numbers in found.items():
    both = ledger(f"C09.{name}.distortion") + ledger(f"C09.{name}.rate")
    print(f"distortion + rate, {name:11}: {numbers['distortion'] + numbers['rate']:.2f} now, {both:.2f} in the ledger")
shown, rows = x_test[[0, 5, 7, 12, 16, 21, 33, 40]], []
for vae in models.values():
    with torch.no_grad():
        codes = vae.encode(shown).sample(torch.Generator().manual_seed(0))
    rows += [vae.decoder.sample(8, torch.Generator().manual_seed(1), codes)]
    rows += [mean_drawing(vae, codes, torch.Generator().manual_seed(2))]
labels = ["digit", "independent", "its mean", "chain, same z", "its mean", "trained together", "its mean"]
fig, ax = figure(width=6.4, height=4.3)
image_grid(torch.cat([shown, *rows]), 8, "Chains draw smoother strokes; but of this digit?", labels, ax)
show(
    fig,
    alt="Eight test digits and below them, for three decoders, one reconstruction drawn from the code of each and the "
    "mean of thirty. Independent pixels leave ragged strokes; the chain with the same codes draws smoother ones, "
    "often of the same digit, and its mean is about as grey; the chain trained with its encoder draws clean "
    "digits that are often another one, and its mean is the greyest.",
)

# %% [markdown]
# The first two share their codes, so the rate is the same to the last digit. Compare them first. The chain pays fewer
# nats for the digits given their codes, and its drawings have fewer stray dots; eight pictures show few of them, but
# strokes that are less ragged: that is the sharpness one sees. The number called sharpness misleads here: notches and
# dots have edges too, so it rates the ragged drawings as sharper than digits. In detail the chain gains nothing: its
# drawings differ from their digits in as many pixels. Nor has the mean picture become sharper. What the code leaves
# open, no decoder can tell; a chain settles it by its own draws, and its pixels agree with each other on *some* digit.
#
# Now train chain and encoder together, as one does. Distortion and rate together become the least of the three (a part
# of that is its longer training, 600 steps for 400); the rate falls, for what the pixels can find out from each other
# is no longer told. The drawings are as clean as before, and further from the digit that they are reconstructions of.
# Clean is not the same as faithful: chapter 00's nearly silent model drew clean digits, too.
#
# ## One bit, on paper
#
# The smallest world in which pixels have something in common (Rui Shu, 2017): two pictures, all zeros and all ones, $n$
# pixels, each picture half of the time. There is one bit to know, and $H(x) = \log 2$ is the least that any model can
# pay. The encoder answers $q(z \mid x) = \mathcal{N}(\pm\mu, s^2)$, the prior is $\mathcal{N}(0, 1)$.
#
# **Independent pixels.** The best coin for a pixel is what $z$ gives away, $p(x_i = 1 \mid z) = q(x = 1 \mid z)$: by
# Bayes' rule, how probable the picture of ones is among the pictures that $q$ answers with this $z$. Then each pixel
# pays what $z$ leaves open, $H(x \mid z) = \log 2 - I(x; z)$, and it pays it again at every pixel. With the cut of
# chapter 04, rate $= I(x;z) + \mathrm{KL}(q(z), p(z))$,
#
# $$-\mathrm{ELBO} = n\, H(x \mid z) + \text{rate}
# = \log 2 + (n - 1)\, H(x \mid z) + \mathrm{KL}\big(q(z),\, p(z)\big).$$
#
# **A chain** whose pixels see their left neighbour. The first pixel pays $H(x \mid z)$; all others copy, at no charge:
#
# $$-\mathrm{ELBO} = H(x \mid z) + \text{rate} = \log 2 + \mathrm{KL}\big(q(z),\, p(z)\big).$$
#
# That is the first formula with $n = 1$, for every $n$. A chain turns any number of pixels into one.
#
# **Predict**: which code is best for the chain? And for independent pixels: at which $n$ does a code begin to pay?

# %%
print("pixels   silent: n log 2   best code: -ELBO   rate     I(x;z)   chain, silent")
for n in PIXELS:
    best = best_account(n)
    silent = f"{n * BIT:12.4f}"
    print(f"{n:6d}   {silent}      {best.loss:10.4f}    {max(best.rate, 0):8.4f} {best.information:8.4f} {BIT:11.4f}")
    confirm(f"{'C17' if n == 10 else '06'}.bit.loss.n{n}", best.loss)
for mu in (0.2, 0.3, 0.5, 0.7):
    account = chain_account(even_code(mu))
    price, law = account.loss - BIT, 4 / 3 * account.information**4
    print(f"chain, codes at ±{mu:g}: I(x;z) {account.information:.4f}, price {price:.2e}, 4/3 I^4 {law:.2e}", end=" ")
    print(f"({law / price:.2f} of the price)")
confirm("C17.bit.chain.price", chain_account(even_code(0.5)).loss - BIT)

# %% [markdown]
# With a single pixel, and so with a chain, nothing beats silence: $\log 2$ is all there is to pay, and the KL of the
# aggregate is zero only for a code without content. From two pixels on, independent pixels need a code: it costs once
# what it saves $n$ times. Yet no Gaussian code brings them down to $\log 2$. Two humps are not the prior, and the more
# pixels press, the further apart the humps.
#
# But look at the last lines. A chain that *does* speak pays almost nothing for it. Take $s^2 = 1 - \mu^2$, so that the
# aggregate has the prior's mean and variance. The first moment in which it differs is the fourth, by $-2\mu^4$. Close
# to a Gaussian, the KL of a difference in the $k$-th moment alone is its square over $2 \cdot k!$ (from the
# Gram-Charlier series, in Hermite polynomials), so here $\mu^8 / 12$; and $I \approx \mu^2 / 2$. Together:
#
# $$\text{price of } I \text{ nats, told to a chain} \;\approx\; \tfrac{4}{3}\, I^4 \quad \text{for small } I.$$
#
# So the optimum is silent, and around it lies a plain: a fifth of the bit costs a few ten-thousandths of a nat. The
# theory says that nothing is *gained* by speaking. It does not say that speech is dear. (And "small" means small: the
# printed shares come closer to 1 the less is told, and the law asks too much where half the bit is told.)
#
# ### Beta and pixels are one knob
#
# Weigh the rate by $\beta$: $n\,H(x \mid z) + \beta\,(I + \mathrm{KL})$ has the same best code as
# $\tfrac{n}{\beta} H(x \mid z) + I + \mathrm{KL}$. Only the ratio counts. A chain lets one pixel pay in place of $n$.
# **To divide the paying pixels by $n$ and to multiply $\beta$ by $n$ silence the code alike.**
#
# The explorer shows the **rate-distortion plane** (Alemi et al., 2018): rate to the right, distortion upwards. Dotted
# lines join points of equal $-\mathrm{ELBO}$ = distortion + rate; their slope is $-1$. The best code for a given
# $\beta$ is where a line of slope $-\beta$ touches the curve. **Predict** before you move: what does the chain's curve
# do near rate 0? Which $\beta$ silences ten independent pixels?

# %%
RATIOS = (1.0, 1.05, 1.2, 1.5, 2, 3, 5, 10, 30, 100)


@lru_cache(None)
def curve_of_codes():
    """Rate and information of the best codes, from silent to loud."""
    accounts = [best_account(ratio) for ratio in RATIOS]
    return torch.tensor([a.rate for a in accounts]), torch.tensor([a.information for a in accounts])


def draw_plane(pixels, beta):
    """Both decoders' curves, and where a weight of beta on the rate puts independent pixels."""
    rate, information = curve_of_codes()
    fig, ax = figure(width=6.6, height=3.9, fixed=True)
    top, across = max(1.0, pixels * BIT * 1.1), torch.tensor([0.0, 1.6])
    for loss in torch.arange(BIT, top + 1.6, max(0.3, top / 8)).tolist():
        ax.plot(across, loss - across, color=FAINT, linewidth=1, linestyle=":", zorder=0)
    ax.plot(across, BIT - across, color=GREY, linewidth=1.2, linestyle=":", label="-ELBO = log 2", zorder=0)
    ax.plot(rate, pixels * (BIT - information), color=BLUE, label=f"{pixels} independent pixels")
    ax.plot(rate, BIT - information, color=GREEN, label="chain, any number of pixels")
    account = weighed_account(pixels, beta)
    ax.plot(
        across, account.distortion - beta * (across - account.rate), color=AMBER, linewidth=1.2, label="slope -beta"
    )
    ax.plot(account.rate, account.distortion, "o", color=VERMILION, markersize=8, label="best code for beta")
    ax.set(xlim=(-0.03, 1.6), ylim=(-0.05 * top, top), xlabel="rate (nats)", ylabel="distortion (nats)")
    said = f"tells {account.information:.3f} of 0.693 nats" if account.information > 5e-4 else "tells nothing"
    ax.set_title(f"The best code {said}; -ELBO {account.loss:.3f}")
    ax.legend(loc="upper right", fontsize=9)
    return fig


def tell_plane(pixels, beta):
    """The picture in words."""
    account = weighed_account(pixels, beta)
    return (
        f"Distortion against rate. The curve of {pixels} independent pixels falls steeply from {pixels * BIT:.2f} "
        "nats, the chain's from 0.69 along the dotted line where -ELBO is log 2, and leaves it slowly. A line of slope "
        f"{-beta:g} touches the first curve at rate {account.rate:.2f}, where the code tells "
        f"{account.information:.2f} nats."
    )


Explorer(
    draw_plane,
    alt=tell_plane,
    pixels=IntRange(1, 20, start=5, label="pixels n"),
    beta=FloatRange(0.25, 12.0, start=1.0, step=0.25, label="weight beta"),
)

# %% [markdown]
# The chain's curve starts *along* an iso-line of the ELBO and leaves it slowly: that is the plain. Independent pixels
# start $n$ times as steeply. At $\beta = n$ the line of slope $-\beta$ is as steep as the curve at its start, and the
# code falls silent: ten pixels, $\beta = 10$. From the best code alone one cannot tell whether the decoder was strong
# or $\beta$ was large.
#
# ## One bit, by training
#
# What does Adam find? A small network for an encoder, the drawn ELBO, 1,000 steps, and afterwards all terms by a sum.
# **Predict**: will the trained chain be silent, whatever the seed?

# %% tags=["nbval-ignore-output"]
for is_chain in (False, True):
    name = "chain" if is_chain else "n10"
    trained = solved_bit(bit_vae(10, is_chain, seed=0))
    for quantity in ("loss", "information"):
        confirm(f"06.bit.trained.{name}.{quantity}", getattr(trained, quantity))
    print(f"of the -ELBO, nll {trained.nll:.4f} and posterior gap {trained.posterior_gap:.4f}\n")
print(f"the chain, seed by seed; log 2 = {BIT:.4f}")
for seed in CHAIN_SEEDS:
    loss, information = (ledger(f"06.chain.seed{seed}.{name}") for name in ("loss", "information"))
    print(f"seed {seed}: -ELBO {loss:.4f}, I(x;z) {information:.4f}")

# %% [markdown]
# Independent pixels find the code of the paper. Their loss stays above the least by the distance that their logits
# still have to grow: ten logits, each of which must reach the optimum's slope by steps of Adam. The chains differ. Most
# are silent. What the one above pays beyond $\log 2$ is nll alone: its copying is not yet perfect, and another has not
# learnt it at all in its 1,000 steps. But one that comes within a thousandth of $\log 2$, like the best of the silent
# ones, tells a sixth of the bit. Chapter 04's plane had models of one ELBO that told anything or nothing. Seen from the
# plain, "the chain does not need the code" is true, and "so it does not use it" does not follow: it holds for most
# seeds, and chance decides.
#
# ## The knob (claim C10)
#
# *The claim, in our words: what pixels used to agree on through $z$, they can agree on by looking at each other.*
#
# On digits the knob is the decoder's **field**: how many rows above and columns to each side a pixel sees. The
# architecture stays, the filters are cut. **Predict** the curve of the information from field 0 to the full field: does
# it fall, where does it fall most, and does it end at zero? (The band in the picture reaches from the meter's lower
# reading to its upper one, which the chapter's last section explains. The NLL is bounded by IWAE, through a $q$ that
# was refitted to the finished decoder.)

# %%
fig, ax = figure(width=6.6, height=3.7)
for objective, colour, words in (("elbo", BLUE, "ELBO"), ("infovae", AMBER, "InfoVAE (chapter 07)")):
    base = f"C10.{objective}.field_"
    told = [known[f"{base}{field}.information_lower"] for field in FIELDS]
    most = [ledger(f"{base}{field}.information_upper") for field in FIELDS]
    values, spreads = [r.value for r in told], [r.spread for r in told]
    ax.errorbar(range(5), values, spreads, color=colour, marker="o", capsize=3, label=words)
    ax.fill_between(range(5), values, most, color=colour, alpha=0.15, linewidth=0)
    for field, r in zip(FIELDS, told, strict=True):
        names = ("information_upper", "rate", "distortion", "nll_refitted_nats")
        others = [ledger(f"{base}{field}.{name}") for name in names]
        print(f"{objective:7} field {field:4} I {r.value:.2f} ± {r.spread:.2f}", end=" ")
        print("to {:5.2f}, rate {:.2f}, distortion {:.2f}, NLL {:.2f}".format(*others))
smaller = [known[f"C10.code.{width}.information"] for width in ("narrow", "full")]
values, spreads = [r.value for r in smaller], [r.spread for r in smaller]
ax.errorbar([1, 4], values, spreads, color=GREEN, marker="s", linestyle="--", capsize=3, label="ELBO, smaller decoder")
for r in smaller:
    print(f"smaller decoder, {r.quantity}: {r}")
print(f"smaller decoder, {known['C17.code.full.nll'].quantity}: {known['C17.code.full.nll']}")
ax.axhline(math.log(len(x_test)), color=GREY, linestyle=":", label=f"ceiling of the lower reading, log {len(x_test)}")
ax.set(xticks=range(5), xlabel="field: rows above, columns to each side", ylabel="I(x;z) (nats)", ylim=(0, 11))
ax.set_xticklabels(FIELDS)
ax.set_title("The less the pixels see, the more the ELBO's code tells")
ax.legend(fontsize=9, loc="upper right")
show(
    fig,
    alt="Information against the decoder's field, a band from the lower to the upper reading for each objective. "
    "Under the ELBO it falls as the field grows, for both decoders, and does not reach zero. Under InfoVAE it is "
    "higher at every field and falls up to a field of 4, not beyond; at small fields its lower reading is close "
    "to the ceiling, a dotted line at 5.5.",
)

# %% [markdown]
# From left to right something is taken away from the ELBO's code, and what is taken away the pixels tell each other. At
# field 0 all that two pixels share must go through $z$; the first step, to one row above and one column to each side,
# takes the most: neighbours hold strokes together. The NLL goes the same way: the strong decoder is the better model.
# And at no field is the ELBO's code silent. How much is left at full field depends on the decoder, and again the better
# one leaves less: the smaller decoder, with two layers in place of four and batches half as large, has the lower test
# NLL here, and leaves its code about half.
#
# Chapter 07's objective is drawn beside it for comparison. It tells more at every field, and it falls with the field up
# to 4: the upper reading and the rate by several nats, the lower one by less than a nat, for at small fields it lies
# close under its ceiling (more of that in the last section). From 4 to the full field the lower one stays within its
# spread. Chapter 07 makes the same turn on MNIST, and the rows named so in the table at the end are explained there.
#
# ### One point, measured
#
# From here on the *smaller* decoder is used: two gated layers, a code of 8 numbers, 600 steps of 64 digits. One such
# model from the zoo, with a field of 1, put to the meters now; the other points below come from the ledger.

# %% tags=["nbval-ignore-output"]
point = plane_numbers(zoo_model("code", 1, seed=0), seed=0)
confirm("06.code.narrow.rate", point["rate"])
confirm("06.code.narrow.distortion", point["distortion"])
confirm("C10.code.narrow.information", point["information"])

# %% [markdown]
# ## The plane, on digits (claim C18)
#
# *The claim, in our words: codes are left unused when the regulariser is too strong.*
#
# The smaller decoder with a field of 1 and with the full field (on 8 x 8 pixels: everything before): without a code,
# which puts it at rate 0, and with a code at several weights $\beta$ of the rate. **Predict**: which of these moves run
# *along* a dotted line, so that $-\mathrm{ELBO}$ stays, and which *across*?

# %%
fig, ax = figure(width=6.8, height=4.2)
for loss in range(8, 39, 2):
    ax.plot([0, 17], [loss, loss - 17], color=FAINT, linestyle=":", linewidth=1, zorder=0)
for width, colour, words, betas in (
    ("narrow", BLUE, "field of 1", (4, 1, 0.25)),
    ("full", GREEN, "full field", (1, 0.25)),
):
    places = [(0.0, ledger(f"C17.alone.{width}.nll"), "no code, no maps")]
    ax.plot(0, places[0][1], marker="x", color=colour)
    places.append((0.0, ledger(f"C17.placed.{width}.nll"), "no code"))
    ax.plot(0, places[1][1], marker="s", color=colour, markersize=7, markerfacecolor="none")
    for beta in betas:
        key = f"06.code.{width}" if beta == 1 else f"C18.{width}.beta{beta:g}"
        places.append((ledger(f"{key}.rate"), ledger(f"{key}.distortion"), f"β = {beta:g}"))
    ax.plot(*list(zip(*(p for p in places if p[2][0] == "β"), strict=True))[:2], marker="o", color=colour, label=words)
    for rate, distortion, name in places:
        print(f"{words:11} {name:16} rate {rate:5.2f}  distortion {distortion:5.2f}  -ELBO {rate + distortion:5.2f}")
        if width == "full" and name[0] == "n":
            name = {"no code": "no code, maps or not"}.get(name, "")
        ha, place = ("right", (-7, -4)) if name[:1] == "n" else ("left", (6, 5) if width == "narrow" else (-12, -17))
        ax.annotate(name, (rate, distortion), place, textcoords="offset points", color=colour, ha=ha)
ax.set(xlabel="rate (nats per image)", ylabel="distortion (nats per image)", xlim=(-7.2, 16.5), ylim=(5, 27.5))
for key in ("06.code.full.rate", "C17.placed.narrow.nll", "C17.placed.full.nll", "06.silent.nll", "06.silent.gap"):
    print(f"{known[key].quantity}: {known[key]}")
ax.set_xticks(range(0, 17, 4))
ax.set_title("A weak decoder has to speak; a strong one can choose")
ax.legend()
show(
    fig,
    alt="Distortion against rate for two decoders. With a field of 1 the decoder without a code, a square, lies close "
    "to the silent code of beta 4, near 21 nats; to beta 1 the way falls more steeply than the dotted lines of "
    "slope -1, to beta 1/4 less steeply. With the full field the models without a code, a cross and a square in "
    "one place, and that of beta 1 lie on about one dotted line, beta 1/4 above it. A cross far above all others "
    "is the decoder of field 1 without code and maps.",
)

# %% [markdown]
# First the blue cross. Why does a decoder of field 1 without code and maps pay so much more than with a code that
# $\beta = 4$ keeps silent? Because of the maps' constant: it tells each pixel where it is, and a window of three
# columns cannot find out. That is not the code's merit. So the decoder to compare with is the square: no code, but the
# maps of a constant. With the full field, cross and square fall together: a pixel that sees all before it knows its
# place.
#
# The square and $\beta = 4$ are silent both, and half a nat and more apart. A part of that is a posterior gap, printed
# last: the decoder listens to a code that is mere noise, and so a rate of 0 is no gap of 0. The rest is nll: beside
# that noise the decoder has become a worse one. So decoders that were trained apart, even of one kind and both without
# a code, may differ by half a nat.
#
# With a field of 1 the way from no code to $\beta = 1$ leads downwards across the lines: there the code pays. With the
# full field no code at all and a code of a nat or two lie on one line, within three tenths. In both, $\beta = 1/4$ goes
# up again across the lines, by almost four and almost five nats: it tells more than the likelihood asks for.
#
# So where is "too strong a regulariser"? For a given decoder a smaller $\beta$ buys rate, true. But so does a weaker
# decoder at $\beta = 1$, and there the last nat told takes just one nat of distortion off. What the
# ELBO fixes is the sum. Where it is flat, the place on the line is left to the optimiser and to chance, and the spread
# printed for the full field's rate shows it; whoever wants a certain rate has to say so. (The information at
# $\beta = 1/4$, in the table at the end, is the meter's ceiling, and so only says "at least".)
#
# ## What a message costs (claim C17)
#
# *The claim, in our words: $z$ is used only if $p(x)$ cannot be modelled without it.*
#
# Send a picture to someone who has the same model. Without a code it takes $-\log p(x)$ nats. With a code: draw
# $z \sim q(z \mid x)$, send it, then send $x$ given $z$.
#
# | | costs, on average |
# |---|---|
# | the code, by the prior | $-\mathbb{E}_q \log p(z)$ |
# | the picture, given the code | $-\mathbb{E}_q \log p(x \mid z)$ |
# | back again | $+\mathbb{E}_q \log q(z \mid x)$ |
#
# **Back**, because the draw of $z$ was not thrown by dice. The sender takes *other* bits that are to be sent anyway and
# lets them choose $z$; the receiver, who now has $x$ and with it $q(z \mid x)$, reads them off $z$. They travelled free
# of charge: hence **bits back** (Hinton and van Camp, 1993; Townsend et al., 2019, build it). (A precise $z$ costs many
# digits; just as many come back. Only their difference counts.) The sum is $-\mathrm{ELBO}$, and by chapter 04
#
# $$-\mathrm{ELBO} = -\log p(x) + \mathrm{KL}\big(q(z \mid x),\, p(z \mid x)\big):$$
#
# to speak through $z$ costs the posterior gap, *and nothing else*. The rate is no waste: it comes back in distortion.
#
# Now let $\text{nll}_0$ be the best that this kind of decoder reaches without a code, and nll what the model with the
# code gives. Silence costs $\text{nll}_0$, speech costs nll + posterior gap. So
#
# > a code pays if and only if $\;\text{nll}_0 - \text{nll} > $ posterior gap.
#
# If the decoder alone is perfect, $\text{nll}_0 = H(x)$ on average, the left side cannot be positive: silence is
# optimal, however small the gap that speech would cost. If it is *not* perfect, the left side may be positive, and then
# the ELBO itself asks for a code. Perfect or not is about $p(x)$ and the decoder, not about $z$.
#
# **Predict** the two sides for ten independent pixels, for the chain, and for the digits with both fields. (For the
# digits $\text{nll}_0$ is the square's, without a code but with places known, and exact; nll is IWAE's bound with
# $K = 100$. The true nll is somewhat lower, so *saved* and *gap* are both somewhat larger; "the code pays", their
# difference, is $\text{nll}_0 + \mathrm{ELBO}$ and no bound.)

# %%
rows = [
    ("10 independent pixels", 10 * BIT, best_account(10)),
    ("chain, codes at ±0.5", BIT, chain_account(even_code(0.5))),
]
print(f"{'':23}   nll_0      nll  saved by z   posterior gap   the code pays   I(x;z)")
for name, alone, account in rows:
    saved = round(alone - account.nll, 4) + 0.0
    print(f"{name:23} {alone:7.4f}  {account.nll:7.4f}     {saved:7.4f}", end="")
    print(f"         {account.posterior_gap:7.4f}         {alone - account.loss:7.4f}  {account.information:7.4f}")
alone = {width: ledger(f"C17.placed.{width}.nll") for width in ("narrow", "full")}
for width, words in (("narrow", "digits, field of 1"), ("full", "digits, full field")):
    nll, gap = ledger(f"C17.code.{width}.nll"), ledger(f"06.code.{width}.gap")
    saved, told = alone[width] - nll, ledger(f"C10.code.{width}.information")
    print(f"{words:23} {alone[width]:7.2f}  {nll:7.2f}     {saved:7.2f}", end="")
    print(f"         {gap:7.2f}         {saved - gap:7.2f}  {told:7.2f}")
for width in ("narrow", "full"):
    confirm(f"C17.pays.{width}", alone[width] - ledger(f"C17.code.{width}.loss"))

# %% [markdown]
# Read the column "the code pays" from above. Ten independent pixels: the code saves many times its gap. The chain: it
# saves nothing and its gap is a few ten-thousandths of a nat; it should be silent, by a hair. A field of 1: more than
# two nats saved, for half a nat of gap. Full field: the code lowers the nll a little and the gap takes back more, so
# that in all it is worth nothing, give or take the tenths by which trained decoders differ; and the ELBO's code tells
# about one nat all the same.
#
# So the article's sentence holds for the optimum, and it is about the decoder's *imperfection*: what is worth telling
# is what the decoder does not know. (On a continuum of pictures there may be ties. Chapter 04's strong Gaussian decoder
# tells as much as you like at a gap of zero.) It is no law about what training finds: on the flat, codes speak a little
# where they need not. And do not lean on the form of $q$: chapter 05 measured what a Gaussian has to pay for telling
# one bit with sixteen codes, and it was some billionths of a nat.
#
# ## Force it: the variational lossy autoencoder
#
# If a code is used for what the decoder cannot do alone, then *choose* what it cannot do. A decoder with a field of 1
# paints smooth strokes but cannot know what stands three pixels away: so that goes into $z$, and $z$ becomes a lossy
# code that keeps the shape and forgets the texture. That is the variational lossy autoencoder, VLAE (Chen et al.,
# 2017), in its first half.
#
# The second half: replace the prior $\mathcal{N}(0, I)$ by a learned $p(z)$, here an autoregressive **flow**: $z_i$ is
# shifted and scaled by functions of the numbers before it, four times over, until $\mathcal{N}(0, I)$ comes out. What
# can that save? By the cut of chapter 04 the rate is information + aggregate gap. The information does not know the
# prior. So with encoder and decoder kept, **a learned prior saves at most the aggregate gap.**
#
# **Predict** the size of that gap for the field of 1, then see what a flow saves when it learns the codes of the
# *training* digits and is charged on the *test* digits. Then compare whole models, trained with the one prior and the
# other: for them the bound does not hold, since encoder and decoder move, too.

# %% tags=["nbval-ignore-output"]
kept = zoo_model("code", 1, 0)
card = measured("code", 1, 0)
print(f"aggregate gap between {card['aggregate_gap_lower']:.2f} and {card['aggregate_gap_upper']:.2f} nats")
flow = fitted_prior(kept, seed=0)
before, after = rate_under(kept, kept.prior, 0), rate_under(kept, flow, 0)
confirm("06.prior.normal", before)
confirm("06.prior.flow", after)
confirm("06.prior.saved", before - after)

# %%
names = ["no code,\nno maps", "no code", "code,\nN(0, I)", "N(0, I),\nwarm-up", "flow prior,\nwarm-up"]
keys = ["C17.alone.narrow.nll", "C17.placed.narrow.nll"]
keys += [f"{key}.narrow.nll" for key in ("C17.code", "06.warm", "06.flow")]
fig, ax = figure(width=6.6, height=3.2)
for place, (key, colour) in enumerate(zip(keys, (FAINT, GREY, SKY, BLUE, GREEN), strict=True)):
    found = known[key]
    ax.bar(place, found.value, yerr=found.spread, color=colour, width=0.6, capsize=3)
    ax.text(place, found.value + 0.6, f"{found.value:.2f}", ha="center")
    print(f"{found.quantity}: {found}")
for words, loss, rate in (
    ("code", "C17.code", "06.code"),
    ("warm-up", "06.warm", "06.warm"),
    ("flow", "06.flow", "06.flow"),
):
    loss, rate = known[f"{loss}.narrow.loss"], known[f"{rate}.narrow.rate"]
    print(f"{words:8} -ELBO {loss.value:.2f} ± {loss.spread:.2f}, rate {rate.value:.2f} ± {rate.spread:.2f}")
ax.set(xticks=range(5), ylabel="test NLL (nats per image)", ylim=(0, 29))
ax.set_xticklabels(names, fontsize=9)
ax.set_title("What the field cannot see, maps and code have to tell")
show(
    fig,
    alt="Bars of the test NLL of a decoder with a field of 1: about 25.6 nats without code and maps, 20 with the maps "
    "of a constant, 18 with a code; a warm-up and a flow for the prior change it by less than the error bars are long.",
)

# %% [markdown]
# Two things are missing at a field of 1. The first is the place, and the maps' constant tells it. The second is the
# shape, and the code tells that. With both, the narrow decoder comes within a nat and a half of the full field's. The
# prior's part is small. Kept codes, charged by a flow, save three tenths of a nat, between the two readings of their
# aggregate gap and, by the argument above, below the true one; models trained with the flow have an $-\mathrm{ELBO}$
# lower by about as much, a lower rate, and an NLL that is lower by a tenth, which is no more than the spread. (Both
# bars on the right had a *warm-up*, Bowman et al., 2016: the weight of the rate grows from 0 to 1 over the first 200
# steps.) Chen et al. report for small PixelCNNs on MNIST, binarised anew at each step: 87.55 nats alone, 79.48 with a
# Gaussian prior, 78.94 with a flow. Much for the code, little for the prior, and in this order it is the same here.
#
# ## The meter, and how to misread it
#
# All of this rests on measured information. The meter draws one $z_i$ for each of $N$ pictures and asks how much better
# its own $q(z \mid x_i)$ explains it than a mixture does: of all $N$ for the *lower* reading, of the $N - 1$ others for
# the *upper* one,
#
# $$\text{lower} = \frac{1}{N} \sum_i \log \frac{q(z_i \mid x_i)}{\frac{1}{N} \sum_j q(z_i \mid x_j)}, \qquad
# \text{upper} = \frac{1}{N} \sum_i \log \frac{q(z_i \mid x_i)}{\frac{1}{N - 1} \sum_{j \ne i} q(z_i \mid x_j)}.$$
#
# Both are bounds of $I(x; z)$ *on average over data sets*: for a single one either may lie on the wrong side of the
# truth by chance. The lower reading cannot exceed $\log N$: to know the picture exactly is to know which of $N$ it was.
# **Predict** what it reads for four codes that tell 2, 5, 10 and 20 nats, if one measures among the 50 pictures of a
# minibatch, as is often done.

# %%
sizes = (20, 50, 100, 300, 1000, 2000)
fig, ax = figure(width=6.6, height=3.3)
ax.plot(sizes, [math.log(n) for n in sizes], color=GREY, linestyle="--", label="ceiling log N", zorder=5)
for true, colour in zip(TRUE_INFORMATION, (BLUE, GREEN, VERMILION, PURPLE), strict=True):
    ax.plot(sizes, [metered(true, n).lower for n in sizes], marker="o", color=colour, label=f"{true:g} nats in truth")
ax.axvline(50, color=FAINT, zorder=0, label="a minibatch of 50")
ax.set(xscale="log", xlabel="pictures N", ylabel="reading (nats)", ylim=(0, 8.2))
ax.set_title("What grows like log N is the ceiling, not the code")
ax.legend(ncols=2, fontsize=9)
show(
    fig,
    alt="The meter's lower reading against the number of pictures, for codes of 2, 5, 10 and 20 nats, with the "
    "ceiling log N dashed. The first is level; the second rises and levels off below five; the other two lie on "
    "the ceiling or close under it.",
)
for true in TRUE_INFORMATION:
    for count in COUNTS:
        confirm(
            f"06.meter.I{true:g}.N{count}", torch.tensor([metered(true, count, s).lower for s in SEEDS]).mean().item()
        )
print(f"log 50 = {math.log(50):.4f}\n")
for true in (5.0, 20.0):
    print(f"{true:g} nats in truth")
    print(information_curve(gaussian_codes(true, 2000, 0), torch.Generator().manual_seed(0), (50, 300)), "\n")

# %% [markdown]
# Among 50 pictures, 10 and 20 nats read alike, both $\log 50 = 3.91$. The cure is the whole evaluation set, the ceiling
# printed beside the reading, and a curve over subsets, whose last line is its slope against $\log N$ (there called
# $K$): a reading that still grows like $\log N$ says "at least". Beyond the ceiling there remain measures that have
# none: the rate, from above, and what a stranger's code costs (chapter 00).
#
# "At most" is the smaller of the upper reading and the rate of these very codes. Compare it with the truth above it:
# several stand a little too low, and 2 nats read a little more than 2 among 300 pictures. That is the chance just
# warned of: it shrinks as $N$ grows, and a ± over seeds or data sets tells how large it is.

# %%
ClaimsTable("C09", "C10", "C17", "C18")

# %% [markdown]
# ## Questions
#
# 1. A colleague trains a VAE with a full-field PixelCNN, finds a rate of 0.01 nats, and raises the size of the code
#    from 8 to 64. What do you expect?
# <details><summary>Answer</summary>Nothing much. The code is not too small: it is not needed. By the bits-back account
# it would be used if the decoder without it were worse by more than the posterior gap. A smaller field, a smaller beta,
# or another objective (chapter 07) changes that; more room does not.</details>
#
# 2. Two models have the same -ELBO. One lies at rate 0, the other at rate 5. Which is the better model of the data?
# <details><summary>Answer</summary>The plane does not say. Both lie on one line of slope -1, and -ELBO = nll +
# posterior gap: the one with the larger gap has the lower nll. At rate 0 the gap is zero if the decoder ignores z, as
# the best one does; one that listens to the noise has a gap even there. Measure -log p(x).</details>
#
# 3. In the one-bit world a chain sees its left neighbour. What if the picture is two rows of n/2 pixels, and a pixel
#    sees its left neighbour only, not the one above?
# <details><summary>Answer</summary>Then two pixels, the first of each row, ask the code, and all others copy. The loss
# is that of n = 2 independent pixels, and the best code tells 0.585 nats. That is VLAE in small: a field that cannot
# cross the rows leaves to z what the rows have in common.</details>
#
# 4. Someone reports I(x;z) = 6.9 nats, measured among 1,000 pictures. What do you ask?
# <details><summary>Answer</summary>For log 1000 = 6.91, and a curve over subsets: this reading is the ceiling. The code
# may tell 7 nats or 70.</details>
#
# 5. How can a code of many nats be free, and one of few nats dear?
# <details><summary>Answer</summary>The posterior gap is not a price of information: KL(q(z|x), p(z|x)) compares what
# the encoder answers with what the decoder implies, and both may be far from the prior. A code of many nats with an
# honest encoder is free; one of few nats with a poor encoder is not.</details>
#
# ## Where next
#
# The exercise `exercises/06_autoregressive_decoders` has you build the conditioning, the one-bit world, the meter, the
# reading of the plane, the bits-back account and the flow. Chapter 07 leaves the decoder as strong as it is and changes
# the objective instead.
#
# ## References
#
# - C. M. Wild (2018), With Great Power Comes Poor Latent Codes: Representation Learning in VAEs (Pt. 2), Towards Data
#   Science, 7 May 2018. The article this course follows.
# - R. Shu (2017), Autoencoding a Single Bit (blog post). The one-bit world.
# - A. van den Oord et al. (2016), Conditional Image Generation with PixelCNN Decoders, arXiv 1606.05328. Both ways in.
# - I. Gulrajani et al. (2017), PixelVAE: A Latent Variable Model for Natural Images, arXiv 1611.05013.
# - X. Chen et al. (2017), Variational Lossy Autoencoder, arXiv 1611.02731. Bits back, narrow fields, flow priors.
# - A. A. Alemi et al. (2018), Fixing a Broken ELBO, arXiv 1711.00464. The rate-distortion plane.
# - S. R. Bowman et al. (2016), Generating Sentences from a Continuous Space, arXiv 1511.06349. The warm-up.
# - G. E. Hinton and D. van Camp (1993), Keeping the Neural Networks Simple by Minimizing the Description Length of the
#   Weights, COLT 1993. Bits back.
# - J. Townsend, T. Bird and D. Barber (2019), Practical Lossless Compression with Latent Variables using Bits Back
#   Coding, arXiv 1901.04866.
# - B. Poole et al. (2019), On Variational Bounds of Mutual Information, arXiv 1905.06922. The meter.
