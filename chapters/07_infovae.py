# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 07 · How do you give the code its voice back?
#
# A strong decoder leaves its code alone, and the ELBO sees nothing wrong with that. Suppose you want the code to speak.
# You could make it cheaper. But cheaper for what: for saying something, or for lying where no prior draw will ever find
# it? The ELBO has one price for both. This chapter gives each its own.
#
# **You will be able to**
#
# - derive the InfoVAE objective from the two parts of the rate, and say what alpha and lambda are the price of;
# - write three divergences that compare codes with a prior, and check each against a closed form, and on two samples
#   of one source;
# - see a kernel that is blind, and say why;
# - train a code that speaks, and say what it costs, with an estimator that can be trusted for it;
# - answer the sceptic: why not just lower beta? And say when to leave InfoVAE alone.
#
# **Minutes**: 85, and 80 more for the exercise.
#
# **Prerequisites**: [chapter 04](04_elbo_two_ways.ipynb) for the rate in two parts and the importance-weighted bound;
# [chapter 06](06_autoregressive_decoders.ipynb) for the quiet code.
#
# **Claims and numbers**: here claims C20 (its second half), C21, C22 and C23 of the article. `confirm` compares a
# number measured just now with the course's ledger; a ± right after a number is the standard deviation over three
# seeds.

# %%
import math

import torch
from matplotlib.patches import Ellipse
from torch.nn.functional import softplus

from course_lib.data import digits
from course_lib.experiments.chapter_07 import (
    ALPHAS,
    CLOSED,
    COUNT,
    DIM,
    GENTLE,
    HALF,
    HEAVY,
    LAMBDS,
    MAPPED,
    NAMES,
    OBJECTIVES,
    WIDTHS,
    bill,
    cell,
    drawn_alike,
    exchanged,
    learnt_adversary,
    live_vae,
    missed,
    most_named,
    numbers,
    objective_two_ways,
    readings,
    scaled_codes,
    sight,
)
from course_lib.experiments.headline import DEPTHS
from course_lib.figures.style import AMBER, BLUE, FAINT, GREEN, GREY, INK, SKY, VERMILION, figure, image_grid, show
from course_lib.measurement.ledger import ClaimsTable, confirm, result, results
from course_lib.measurement.worlds import kernels
from course_lib.objectives.infovae import InfoVAE
from course_lib.objectives.mmd import MMD, rbf_kernel
from course_lib.objectives.mmd import mmd_squared as library_mmd
from course_lib.objectives.stein import Stein
from course_lib.widgets import Choice, Explorer, FloatRange
from course_lib.zoo import load, samples
from course_lib.zoo.recipes import headline

torch.set_printoptions(precision=4, sci_mode=False)
x_test, labels = digits(binary=True).test.images, digits(binary=True).test.labels

# %% [markdown]
# ## Two prices (claim C20, second half)
#
# *The claim, in our words: the ELBO's KL is taken picture by picture; the alternative compares the aggregate of all
# codes with the prior.*
#
# Chapter 04 cut the average rate in two, where $q(z) = \mathbb{E}_{\text{data}}\, q(z \mid x)$ is the aggregate:
#
# $$\text{rate} \;=\; \underbrace{I(x; z)}_{\text{information}}
# \;+\; \underbrace{\mathrm{KL}(q(z),\, p(z))}_{\text{aggregate gap}}.$$
#
# The ELBO charges one nat for a nat of either. Now let a nat of information cost $1 - \alpha$ and a nat of gap cost
# $\lambda$. Information has no closed form that could be trained on, but the rate has, so put information $=$ rate
# $-$ gap:
#
# $$\text{distortion} + (1 - \alpha)\, I + \lambda\, \text{gap}
# \;=\; \text{distortion} + (1 - \alpha)\, \text{rate} + (\alpha + \lambda - 1)\, \text{gap}.$$
#
# The right side is the **InfoVAE** loss (Zhao, Song and Ermon, 2019). So $\alpha$ is the refund on information, and
# $\lambda$ the price of missing the prior. (A program calls it `lambd`.) Where a KL cannot be had, another divergence
# $D(q(z), p(z))$ stands in for the gap, and $\lambda$ is then counted in units of $D$.
#
# | prices | what it is |
# |---|---|
# | $\alpha = 0$, $\lambda = 1$ | the ELBO |
# | $\alpha + \lambda = 1$ | a beta-VAE with $\beta = 1 - \alpha$: both are made cheaper together |
# | $\alpha = 1$, $\lambda = 1$, $D$ by an adversary | the adversarial autoencoder (Makhzani et al., 2016) |
# | $\alpha = 1$, $D$ = MMD² | the Wasserstein autoencoder with MMD (Tolstikhin et al., 2018) |
#
# What does the loss ask for? Let $q(x \mid z)$ be the pictures that really go with a code, $q(x, z) / q(z)$. The best
# decoder is $q(x \mid z)$, and then the distortion is the conditional entropy $H(x) - I$. Any other pays a **misfit**
# on top, $\mathbb{E}_{q(z)} \mathrm{KL}(q(x \mid z), p(x \mid z))$. Put $H(x) - I + \text{misfit}$ for the
# distortion:
#
# $$\text{loss} \;=\; H(x) \;+\; \text{misfit} \;+\; \lambda\, \text{gap} \;-\; \alpha\, I(x; z).$$
#
# **Predict**: by this line, what does the ELBO pay for a nat of information, and what does it get?

# %%
by_definition, by_prices = objective_two_ways(seed=0)
print(f"one world of tables, alpha = 0.8, lambda = 3: {by_definition:.6f} = {by_prices:.6f}")
confirm("07.prices", round(max(abs(a - b) for a, b in map(objective_two_ways, range(100))), 9))
for alpha, lambd in [(0.0, 0.5), (1.2, 3.0)]:
    try:
        InfoVAE(alpha, lambd)
    except ValueError as error:
        print(f"\nalpha = {alpha}, lambd = {lambd}: {error}")

# %% [markdown]
# Nothing, and nothing: at $\alpha = 0$ information has dropped out. It is neither wanted nor shunned, and whether a
# code speaks is decided by the misfit alone, by what the decoder cannot do without it. That is the quiet code of
# chapter 06 in one line. For $\alpha > 0$ information is *wanted*, at a reward of $\alpha$ a nat. The reward is
# limited: a data set of $N$ pictures has no more than $\log N$ nats to tell.
#
# The two refusals: a negative weight on the rate, or on $D$, would pay the encoder for making it large. (In the exact
# line a $\lambda$ between 0 and $1 - \alpha$ would do no harm. But a stand-in that is rewarded for being large does not
# stop where the KL would.)
#
# ## Can single codes differ while all together do not? (claim C21)
#
# *The claim, in our words: matching only the aggregate leaves every single code free to be far from the prior.*
#
# The smallest world: a picture is a number $x \sim \mathcal{N}(0, 1)$, its code $q(z \mid x) = \mathcal{N}(s x, w^2)$,
# with a spread $s$ and a width $w$. The aggregate is $\mathcal{N}(0, s^2 + w^2)$, the information
# $\tfrac12 \log(1 + s^2 / w^2)$, and the decoder is the best one, so that there is no misfit.
#
# **Predict**: how large can the information become while the gap stays zero? Then find a setting that InfoVAE likes and
# the ELBO does not mind.


# %%
def draw_prices(width, spread, alpha, lambd):
    """Nine single codes, the aggregate and the prior on the left; what is charged for them on the right."""
    information, gap = bill(spread, width)
    z, normal = torch.linspace(-4, 4, 401), torch.distributions.Normal
    fig, (left, right) = figure(1, 2, width=7.4, height=3.6, fixed=True)
    for x in torch.special.ndtri((torch.arange(9) + 0.5) / 9):
        left.plot(z, normal(spread * x, width).log_prob(z).exp() / 9, color=SKY, linewidth=1)
    left.plot(z, normal(0.0, 1.0).log_prob(z).exp(), color=GREY, linestyle=":", label="prior p(z)")
    deviation = math.sqrt(spread**2 + width**2)
    left.plot(z, normal(0.0, deviation).log_prob(z).exp(), color=BLUE, label="aggregate q(z)")
    left.set(xlim=(-4, 4), ylim=(0, 0.62), xlabel="code z", ylabel="density (single codes: a ninth)")
    left.set_title("Nine codes, and all together")
    left.legend(loc="upper right", fontsize=8.5)
    for place, price, toll in [(0, 1.0, 1.0), (1, 1 - alpha, lambd)]:
        right.bar(place, price * information, color=SKY, width=0.5)
        right.bar(place, toll * gap, bottom=price * information, color=VERMILION, width=0.5)
        words = f"information {price * information:.2f}\n+ gap {toll * gap:.2f}"
        right.text(place, 3.4, words, ha="center", va="top", fontsize=8.5, backgroundcolor="white")
    right.set(xlim=(-0.6, 1.6), ylim=(0, 3.5), ylabel="nats charged for the code", xticks=[0, 1])
    right.set_xticklabels(["ELBO", "InfoVAE"])
    right.set_title(f"Loss - H(x): {gap:.2f} and {lambd * gap - alpha * information:.2f}")
    return fig


def tell_prices(width, spread, alpha, lambd):
    """The picture in words."""
    information, gap = bill(spread, width)
    return (
        f"Left: nine Gaussian codes of width {width:.2f}, means spread by {spread:.2f}, their aggregate and the prior. "
        f"Right: two stacked bars, what ELBO and InfoVAE charge for {information:.2f} nats of information and "
        f"{gap:.2f} nats of gap."
    )


bills = [bill(math.sqrt(1 - width**2), width) for width in WIDTHS]
for width, (information, gap) in zip(WIDTHS, bills, strict=True):
    print(f"width {width:.2f}: information {information:.4f}, gap {abs(gap):.4f} nats")
confirm("C21.exact.gap", round(max(abs(gap) for _, gap in bills), 9))
confirm("C21.exact.most", max(information for information, _ in bills))

Explorer(
    draw_prices,
    alt=tell_prices,
    width=FloatRange(0.1, 1.2, start=0.6, step=0.1),
    spread=FloatRange(0.0, 1.6, start=1.1, step=0.1),
    alpha=Choice([0.8, 0.0, 0.5, 1.0]),
    lambd=Choice([3.0, 1.0, 10.0]),
)

# %% [markdown]
# As large as you like: with $s^2 + w^2 = 1$ the aggregate is the prior to the last digit, at any width. The claim
# holds, exactly, and the ELBO is indifferent along that line, as the right-hand title says.
#
# With a finite data set it cannot hold exactly: chapter 05 showed that finitely many different Gaussians never add up
# to a Gaussian. Codes of $N$ pictures so narrow that they stand apart have $I = \log N$, all there is to tell. From
# there on every further nat of rate is gap, and the KL charges it. Keep that in mind: a divergence that stands in for
# the KL need not notice.
#
# ## Seeing an aggregate by samples alone (claim C22)
#
# *The claim, in our words: the gap has no closed form, so one needs a divergence that is read off samples, for instance
# by an adversary.*
#
# In training we have a batch of codes, one drawn from each $q(z \mid x)$: a sample of $q(z)$. And we can draw from the
# prior. Three ways to compare, about ten lines each; then we hold each against the library's, and against an aggregate
# for which the answer is known, $\mathcal{N}(0, \tfrac12 I)$ in eight dimensions.
#
# **One: are the codes as far from each other as they are from draws of the prior?** Let $k(a, b)$ be a similarity, 1
# for equal codes and falling with $|a - b|^2$. The **maximum mean discrepancy** (Gretton et al., 2012) is
#
# $$\mathrm{MMD}^2 = \mathbb{E}\, k(z, z') + \mathbb{E}\, k(y, y') - 2\, \mathbb{E}\, k(z, y),
# \qquad z, z' \sim q(z), \quad y, y' \sim p(z).$$
#
# It is zero if the two agree, and for a kernel like this one only then. In a sample, $z$ and $z'$ must be two
# *different* codes: a code is always like itself, and leaving those pairs in reads as a difference that is not there.


# %%
def my_mmd(z, prior, bandwidth):
    """The U-statistic of MMD^2 with the kernel exp(-|a - b|^2 / bandwidth)."""

    def k(a, b):
        return torch.exp(-(torch.cdist(a, b) ** 2) / bandwidth)

    def between_different(a):
        return (k(a, a).sum() - len(a)) / (len(a) * (len(a) - 1))

    return between_different(z) + between_different(prior) - 2 * k(z, prior).mean()


z, prior = scaled_codes(HALF, seed=0), scaled_codes(1.0, seed=1)
print(f"mine {my_mmd(z, prior, DIM):.6f}, the library's {library_mmd(z, prior, rbf_kernel):.6f}")
assert abs(my_mmd(z, prior, DIM) - library_mmd(z, prior, rbf_kernel)) < 1e-6
other = scaled_codes(1.0, seed=2)
biased = rbf_kernel(prior, prior).mean() + rbf_kernel(other, other).mean() - 2 * rbf_kernel(prior, other).mean()
print(f"of the prior from itself: {my_mmd(prior, other, DIM):.4f}; with each code beside itself: {biased:.4f}")
confirm("C22.rbf.exact", kernels.mmd_rbf(DIM, HALF, DIM))
confirm("C22.rbf.half", float(readings(CLOSED["rbf"][0], HALF).mean()))

# %% [markdown]
# The closed form: $a - b$ of two independent Gaussians is Gaussian, and for $a - b \sim \mathcal{N}(0, v I)$ the mean
# of $\exp(-|a - b|^2 / h)$ is $(1 + 2 v / h)^{-d/2}$; put $v = 2 \cdot \tfrac12$, $2$ and $1 + \tfrac12$ for the
# three averages. One reading scatters (that is the ledger's ± here, over readings and not over seeds), the mean of a
# hundred does not.
#
# **Two: can a judge tell them apart?** Let a network $T$ say of a code whether it came from $q(z)$, where $T$ is large,
# or from $p(z)$, by logistic regression: it minimises
# $\mathbb{E}_q \log(1 + e^{-T}) + \mathbb{E}_p \log(1 + e^{T})$. Pointwise in $z$ the best is
# $T(z) = \log q(z) - \log p(z)$ (set the derivative, $-q/(1 + e^{T}) + p\, e^{T}/(1 + e^{T})$, to zero). Then
# $\mathbb{E}_q T$ *is* the KL, and the gap could be had after all (Mescheder et al., 2017). The encoder lowers
# $\mathbb{E}_q T$, the judge learns on: an **adversary**. For our two Gaussians $\log q / p$ is linear in $z^2$, so the
# judge need only be linear.


# %% tags=["nbval-ignore-output"]
def my_judge(z, prior, steps=300):
    """T(z) = w . (z, z^2) + b, learnt by logistic regression to tell z from the prior's draws."""
    linear = torch.nn.Linear(2 * z.shape[1], 1, dtype=z.dtype)

    def T(a):
        return linear(torch.cat([a, a**2], dim=1)).squeeze(1)

    optimiser = torch.optim.Adam(linear.parameters(), lr=0.03)
    for _ in range(steps):
        optimiser.zero_grad()
        (softplus(-T(z)).mean() + softplus(T(prior)).mean()).backward()
        optimiser.step()
    return T


torch.manual_seed(0)
T = my_judge(scaled_codes(HALF, seed=2, n=4000), scaled_codes(1.0, seed=3, n=4000))
print(f"my judge's E T on new codes: {float(T(scaled_codes(HALF, seed=4, n=4000)).detach().mean()):.3f} nats")
confirm("C22.adversary.exact", kernels.kl_scaled(DIM, HALF))
library_judge = learnt_adversary(HALF, seed=0)
confirm("C22.adversary.half", float(readings(library_judge, HALF, 40).mean()))
new = scaled_codes(HALF, seed=5).float()
assert abs(library_judge.discriminator(new).mean() - library_judge(new, new)) < 1e-6

# %% [markdown]
# **Three: which way should every code move?** Move each code by $\varepsilon\, \phi(z)$, and ask by how much the KL
# falls. A $\phi$ may be any mixture of kernel bumps; its length is measured in the kernel's own norm, so that a
# function with large slopes is long. Among all of one length the fastest is known (Liu and Wang, 2016), and of the
# prior it needs only the **score**, the direction in which the log-density grows, $\nabla \log p(z) = -z$. Up to its
# length:
#
# $$\phi(z_i) = \frac{1}{n - 1} \sum_{j \ne i} \big[\, k(z_j, z_i)\, (-z_j) + \nabla_{z_j} k(z_j, z_i) \,\big].$$
#
# The first part pulls codes towards the middle, on average over their neighbourhood, the second pushes neighbours
# apart. For $q(z) = p(z)$ they cancel. This $\phi$ has the length $\mathrm{KSD}$, the **kernelised Stein discrepancy**;
# at length one the KL would fall at a speed of $\mathrm{KSD}$, so along this one it falls at $\mathrm{KSD}^2$. That is
# the value, $\phi$ is the direction, and no draw from the prior is needed at all.


# %%
def my_direction(z, bandwidth):
    """Stein's direction for the prior N(0, I), with the kernel exp(-|a - b|^2 / bandwidth)."""
    difference = z[:, None] - z[None]  # [j, i] = z_j - z_i
    k = torch.exp(-(difference**2).sum(2) / bandwidth)
    k.fill_diagonal_(0)
    towards_the_middle = k.T @ -z
    apart = (-2 / bandwidth * difference * k[:, :, None]).sum(0)
    return (towards_the_middle + apart) / (len(z) - 1)


value, phi = Stein("rbf").value_and_direction(z)
print(f"largest difference from the library's direction: {(my_direction(z, DIM) - phi).abs().max():.6f}")
assert (my_direction(z, DIM) - phi).abs().max() < 1e-6
print(f"codes are too narrow, and the direction is outwards: mean of phi . z = {(phi * z).sum(1).mean():.4f}")
confirm("C22.stein.exact", kernels.stein_rbf(DIM, HALF, DIM))
confirm("C22.stein.half", float(readings(CLOSED["stein"][0], HALF).mean()))

# %% [markdown]
# Each agrees with its closed form. And where there is no difference? (The library's MMD takes kernels of seven widths
# at once.) A divergence is of use only if we know what it reads when there is nothing to see, its **null band**.
# **Predict** for each: zero on average? Can it be negative?

# %%
fig, axes = figure(1, 3, width=7.4, height=2.8)
idle = learnt_adversary(1.0, seed=0)
panels = [
    ("MMD², the library's", readings(MMD(), HALF), readings(MMD(), 1.0), "imq", "kernel units"),
    ("adversary, E T", readings(library_judge, HALF), readings(idle, 1.0), "adversary", "nats"),
    ("Stein's KSD²", readings(Stein("rbf"), HALF), readings(Stein("rbf"), 1.0), "stein", "nats per unit step"),
]
for ax, (title, half, null, name, unit) in zip(axes, panels, strict=True):
    ax.hist(null, 15, color=GREY, label="the prior itself")
    ax.hist(half, 15, color=BLUE, label="N(0, I/2)")
    ax.axvline(result(f"C22.{name}.exact").value, ymax=0.72, color=VERMILION, linewidth=1.5, label="closed form")
    ax.set(xlabel=unit, ylim=(0, 55))
    ax.set_title(title, fontsize=10)
axes[0].set_ylabel("readings")
axes[0].legend(fontsize=7.5, loc="upper center")
show(
    fig,
    alt="Three histograms of 100 readings. MMD² and Stein's discrepancy of the prior itself lie about zero, to both "
    "sides; this adversary's lie close together, a little above zero. Those of N(0, I/2) lie far to the right, about "
    "the closed form, the adversary's a little below it.",
)
for name in ("rbf", "imq", "stein"):
    print(f"{result(f'C22.{name}.null').quantity}: {result(f'C22.{name}.null')}")
print("\nthree judges that learnt on nothing, each read 100 times, ± of one reading:")
for judge in (idle, *(learnt_adversary(1.0, seed) for seed in (1, 2))):
    found = readings(judge, 1.0)
    print(f"{float(found.mean()):.3f} ± {float(found.std()):.3f} nats")

# %% [markdown]
# MMD² and Stein's discrepancy are zero on average, and negative about half the time. A reading that cannot be negative,
# as the biased MMD² above, has a floor that looks like a finding. The adversary is as good as what it has learnt: one
# judge's readings lie close together, about a value that is off by a hundredth of a nat or so, above zero or below,
# another one's about another. Only over many judges would the mean be near zero.
#
# ## A kernel that sees nothing
#
# How wide should a kernel be? (The library's MMD takes seven widths at once.) Two draws from a $d$-dimensional prior
# are at a squared distance of about $2d$. A well-known program divides by the dimension twice, so that its bandwidth is
# $d^2$. How bad is that? The spread of MMD² under the null has a closed form too, so no sample is needed:
# we count by how many null deviations the mean reading on 200 codes of $\mathcal{N}(0, \tfrac12 I)$ lies out.
#
# **Predict**: at $d^2$, how many times less is seen than at $d$, in 20 dimensions?


# %%
def draw_sight(width, dimensions):
    """The kernel over the distances that occur on the left, what it sees on the right; bandwidth = d^width."""
    d, bandwidth = dimensions, float(dimensions) ** width
    chi = torch.distributions.Chi2(torch.tensor(float(d)))
    u = torch.linspace(0.01, 5 * d, 400)
    fig, (left, right) = figure(1, 2, width=7.4, height=3.6, fixed=True)
    for variance, colour, words in [
        (1, AMBER, "among codes"),
        (1.5, GREEN, "codes to prior"),
        (2, GREY, "among prior's"),
    ]:
        density = chi.log_prob(u / variance).exp() / variance
        left.fill_between(u, density / density[u > d / 4].max() * 0.5, color=colour, alpha=0.45, label=words)
    left.plot(u, torch.exp(-u / bandwidth), color=BLUE, label="kernel")
    left.set(xlim=(0, 5 * d), ylim=(0, 1.32), xlabel="squared distance", ylabel="kernel", yticks=[0, 0.5, 1])
    left.set_title(f"Bandwidth {bandwidth:.3g}")
    left.legend(fontsize=8.5, ncols=2, loc="upper center")
    powers = [0.5 + 0.05 * i for i in range(36)]
    right.plot(powers, [sight(d, float(d) ** p) for p in powers], color=INK)
    right.plot([width], [sight(d, bandwidth)], "o", color=VERMILION, markersize=9)
    right.axhspan(0, 2, color=FAINT)
    right.set(
        xlabel="p, where bandwidth = d^p", ylabel="null deviations", yscale="log", ylim=(1, 6000), xlim=(0.45, 2.3)
    )
    right.set_title(f"Out by {sight(d, bandwidth):.1f}; MMD² = {kernels.mmd_rbf(d, HALF, bandwidth):.2g}")
    return fig


def tell_sight(width, dimensions):
    """The picture in words."""
    seen = sight(dimensions, float(dimensions) ** width)
    return (
        f"Left: the kernel of bandwidth {dimensions**width:.3g} over the squared distances that occur in {dimensions} "
        "dimensions among codes of N(0, I/2), among draws of the prior and between the two. Right: how far out the "
        f"mean reading lies, in null deviations, falling with the bandwidth; the dot is at {seen:.1f}, where MMD² is "
        f"{kernels.mmd_rbf(dimensions, HALF, float(dimensions) ** width):.2g}."
    )


confirm("07.bandwidth.dim", sight(20, 20.0))
confirm("07.bandwidth.squared", sight(20, 400.0))
dim, squared = (kernels.mmd_rbf(20, HALF, h) for h in (20.0, 400.0))
print(f"\nand at a weight of 50 the loss charges {50 * dim:.2f} or {50 * squared:.2f} for codes of half the variance")
confirm("07.bandwidth.one", math.log10(kernels.mmd_rbf(64, HALF, 1.0)))

print(f"\n64 numbers, 100 readings of {COUNT} codes:")
for h in (1.0, 64.0):
    pairs = [(scaled_codes(HALF, 2 * i, dim=64), scaled_codes(1.0, 2 * i + 1, dim=64)) for i in range(100)]
    found = torch.stack([library_mmd(a, b, lambda a, b, h=h: rbf_kernel(a, b, h)) for a, b in pairs])
    share = float(found.max() / found.sum())
    print(
        f"bandwidth {h:g}: by the formula {kernels.mmd_rbf(64, HALF, h):.1e}, {sight(64, h):.0f} null deviations; "
        f"median reading {float(found.median()):.1e}; the largest makes up {share:.0%} of all"
    )

Explorer(
    draw_sight,
    alt=tell_sight,
    width=FloatRange(0.5, 2.2, start=1.0, step=0.1, label="p, bandwidth = d^p"),
    dimensions=Choice([20, 5, 10, 64]),
)

# %% [markdown]
# Some twenty-five times less, and at the edge of being nothing: on all distances that occur a kernel of bandwidth
# $d^2$ is nearly a straight line, and for a straight line in $|a - b|^2$ only the means of the two count. The codes may
# shrink, and the loss hardly notices.
#
# Then as narrow as can be? The curve rises that way, but now null deviations mislead. At bandwidth 1 in 64 dimensions
# hardly any two codes are alike. The mean reading is of the order of $10^{-16}$, and is many deviations out only
# because the deviation is smaller still. One rare pair of near neighbours carries much of it, so that a single reading
# says little; and a loss would need a weight of that many digits to feel it. Wanted is a kernel that sees, and whose
# reading is a number of common size: take $d$, or several widths about it.
#
# ## Train one
#
# A small world again, on purpose. The decoder is one hidden layer by which every pixel of an 8 x 8 digit sees *all* the
# pixels before it, and the code, of two numbers: strong enough to do without the code, and so small that we can train
# dozens. With two numbers in the code, $-\log p(x)$ is a sum over a grid in the plane: no estimator to argue about.
#
# Three objectives, same start, same batches: the ELBO; InfoVAE with $\alpha = 0.8$, $\lambda = 50$ and MMD²; and what a
# sceptic would do, who just lowers the price of everything: beta-VAE with $\beta = 1 - \alpha = 0.2$ and no divergence.
#
# log det Cov is that of the aggregate: 0 for the prior, above where codes take more room. **Predict**: which one has
# the most information? And the best likelihood?

# %% tags=["nbval-ignore-output"]
trio = {name: live_vae(OBJECTIVES[name](), seed=0) for name in ("elbo", "mmd", "beta")}
found = {name: numbers(vae) for name, vae in trio.items()}
for name, row in found.items():
    print(NAMES[name])
    for quantity in ("information", "nll", "log_det"):
        confirm(f"07.digits.{name}.{quantity}", row[quantity])

fig, axes = figure(1, 3, width=7.4, height=3.0)
for ax, (name, vae) in zip(axes, trio.items(), strict=True):
    with torch.no_grad():
        q = vae.encode(x_test)
    for mu, log_var, label in zip(q.mu.tolist(), q.log_var.tolist(), labels.tolist(), strict=True):
        w, h = (2 * math.exp(v / 2) for v in log_var)
        ax.add_patch(Ellipse(mu, w, h, facecolor=BLUE if label < 5 else AMBER, alpha=0.25, edgecolor="none"))
    for radius in (1, 2):
        ax.add_patch(Ellipse((0, 0), 2 * radius, 2 * radius, fill=False, edgecolor=INK, linestyle=":"))
    ax.plot([], [], "o", color=BLUE, alpha=0.5, label="0 to 4")
    ax.plot([], [], "o", color=AMBER, alpha=0.5, label="5 to 9")
    ax.set(xlim=(-4, 4), ylim=(-4, 4), aspect="equal", xlabel="z, first number")
    ax.set_title(f"{NAMES[name]}: {found[name]['information']:.1f} nats", fontsize=10)
axes[0].set_ylabel("z, second number")
axes[0].legend(fontsize=7.5, loc="upper left")
show(
    fig,
    alt="The codes of 250 test digits as ellipses of one standard deviation in the plane, for three objectives, with "
    "circles of radius one and two. The ELBO's are wide and lie over each other; those of MMD are small and fill "
    "the circles; those of the beta-VAE are small, too, reach further out and lie to one side. Colours part the digits "
    "0 to 4 from 5 to 9.",
)

g = torch.Generator().manual_seed(0)
rows = [x_test[:12]] + [vae.reconstruct(x_test[:12], g) for vae in trio.values()]
rows += [vae.sample(12, g) for vae in trio.values()]
short = ["ELBO", "MMD", "beta"]
words = ["digits", *(f"via code, {s}" for s in short), *(f"drawn, {s}" for s in short)]
fig = image_grid(torch.cat(rows), columns=12, row_labels=words, title="What comes through two numbers")
show(
    fig,
    alt="Seven rows of twelve digits of 8 by 8 pixels: test digits; a drawing from each one's code by ELBO, MMD and "
    "beta-VAE; and drawings from the prior by the three. A few drawings of every model are dark noise and no digits.",
)

# %% [markdown]
# So there it is, in small: about three times the information, at a likelihood a tenth of a nat or so from the ELBO's.
# The most is said by the beta-VAE, MMD comes close, and the best likelihood is the ELBO's, by a hair. And the sceptic
# has an answer: lowering beta makes the code speak as well, but it makes missing the prior cheap too, and the codes
# drift out to where draws from the prior do not fall. The likelihood pays for it. The difference between the last two
# objectives is the divergence, and nothing else.
#
# In the drawings little of that is visible. About four nats pick one of some fifty digits, and not always by its kind;
# the decoder is small, and some of what it draws, for every objective, is no digit at all.
#
# All five of the course's objectives, three seeds each, from the ledger. "MMD², null sds" is how many null deviations
# the MMD² of the aggregate is out, and the probe a linear classifier that reads the digit's class off the mean of its
# code, the share that it gets right:

# %%
print(f"{'':<16}{'information':>20}{'NLL':>20}{'MMD², null sds':>18}{'log det Cov':>18}{'probe':>16}")
for name, words in NAMES.items():
    row = [result(f"07.digits.{name}.{column}") for column in ("information", "nll", "deviations", "log_det", "probe")]
    values = [f"{r.value:.2f} ± {r.spread:.2f}" for r in row]
    print(f"{words:<16}" + "".join(f"{v:>{w}}" for v, w in zip(values, (20, 20, 18, 18, 16), strict=True)))

# %% [markdown]
# ## The map
#
# How much do $\alpha$ and $\lambda$ matter? Twenty places, three seeds each, all from a standing start: random
# weights, the whole loss from the first step on.
#
# **Predict**: where on the map is the code silent: at which $\alpha$, or at which $\lambda$? What happens along
# $\alpha = 1$, where single codes are free of any charge?

# %%
maps = [
    ("information", "Information (nats)", "Blues"),
    ("nll", "NLL (nats)", "Oranges"),
    ("log_det", "log det Cov q(z)", "PuOr"),
]
fig, axes = figure(1, 3, width=7.6, height=3.5)
for ax, (name, title, colours) in zip(axes, maps, strict=True):
    table = torch.tensor([[result(f"{cell(a, b)}.{name}").value for b in LAMBDS] for a in ALPHAS])
    limits = {"information": (0, 6), "nll": (18, 20.5), "log_det": (-4, 4)}[name]
    ax.imshow(table, cmap=colours, vmin=limits[0], vmax=limits[1], origin="lower", aspect="auto")
    for i, row in enumerate(table.tolist()):
        for j, value in enumerate(row):
            dark = (value - limits[0]) / (limits[1] - limits[0])
            strong = dark > 0.65 if name != "log_det" else abs(value) > 2.5
            ax.text(
                j,
                i,
                f"{round(value, 1) + 0.0:.1f}",
                ha="center",
                va="center",
                fontsize=8.5,
                color="white" if strong else INK,
            )
    ax.set_xticks(range(5), ["least", "10", "50", "200", "1000"], fontsize=8.5)
    ax.set_yticks(range(4), [f"{a:g}" for a in ALPHAS])
    ax.set(xlabel="lambda")
    ax.set_title(title, fontsize=10)
    ax.spines[:].set_visible(False)
axes[0].set_ylabel("alpha")
show(
    fig,
    alt="Three tables of numbers with shades, alpha from 0 to 1 upwards and lambda from the least, 1 - alpha, to 1000 "
    "to the right: information, NLL and log det Cov. Information grows with alpha, and is gone for the two largest "
    "lambdas. NLL is high at the left edge for large alpha, where log det Cov is high too.",
)

# %% [markdown]
# Three regions. **On the left** the divergence weighs nothing, and $\alpha$ is one minus the beta of a beta-VAE: the
# code speaks up as it becomes cheaper, drifts off the prior (log det above 0), and the likelihood pays. **At 50**
# information grows with $\alpha$ just as well, the aggregate stays, and up to $\alpha = 0.8$ the NLL moves by a tenth
# of a nat or so. At 10 the hold is looser, and log det climbs with $\alpha$. **On the right** the code is silent, not
# at a low $\alpha$ but at a high $\lambda$, also where information is well rewarded, and the likelihood is as good as
# anywhere.
#
# Nothing in the loss wants that silence. Our reading is that it is made on the way: from a standing start, when the
# code says nothing yet, the shortest way to an aggregate like the prior is to answer the prior every time, and a
# decoder that can do without a code gives no reason to come back. (So, too, at $\alpha = 0$, where the loss is
# indifferent: $\lambda = 50$ already halves what is said.) If so, a gentle start should do. **Predict** which: letting
# the *rate's* weight grow from zero over the first half of the training, the usual warm-up (`KLWarmUp`), or holding the
# *divergence* to a quarter for the first half?

# %%
places = {"from a standing start": cell(HEAVY.alpha, HEAVY.lambd)} | {
    how: f"07.gently.{what}" for what, how in GENTLE.items()
}
print(f"alpha = {HEAVY.alpha:g}, lambda = {HEAVY.lambd:g}, over three seeds\n")
print(f"{'':<42}{'information':>14}{'NLL':>16}{'log det Cov':>16}")
for how, place in places.items():
    row = [result(f"{place}.{name}") for name in MAPPED]
    values = [f"{r.value + 0.0:.2f} ± {r.spread:.2f}" for r in row]
    print(f"{how:<42}" + "".join(f"{v:>{w}}" for v, w in zip(values, (14, 16, 16), strict=True)))

# %% [markdown]
# The divergence. What silences the code is not the rate, which is cheap here from the first step on; setting it free
# changes nothing. Begun at $\lambda = 50$ and ended at 200 the same objective, with as many steps, has a code that
# speaks, an aggregate like the prior and a likelihood as good. Warm up what is heavy.
#
# **Along $\alpha = 1$** single codes are free of charge, and where the code speaks at all the information is at its
# ceiling, $\log 250 = 5.52$ nats: every digit has a code of its own. MMD² does not object. It sees one draw from each
# code, and draws look the same from narrow codes as from wide ones, so that the *widths* have no price. The KL that
# MMD² stands in for would have noticed: when single codes stand apart, every further nat of rate is gap. So keep some
# of the rate: $\alpha$ of 0.5 to 0.9, a $\lambda$ that the scatter of a batch can bear, and a look at the null band.
#
# ## What does it cost, and who says so?
#
# All likelihoods so far came from a grid. With ten numbers in the code there is none, and one takes the
# importance-weighted bound of chapter 04, through the encoder. For an InfoVAE that is a trap. For a given decoder,
# which $q$ minimises $\mathbb{E}_q[-\log p(x \mid z)] + (1 - \alpha)\, \mathrm{KL}(q, p(z))$? As for the ELBO,
# complete the KL:
#
# $$q(z \mid x) \;\propto\; p(z)\; p(x \mid z)^{1 / (1 - \alpha)}.$$
#
# At $\alpha = 0$ that is the posterior. At $\alpha = 0.8$ it is the posterior of someone who has seen the same
# picture five times: near the right place (the prior draws its mean inwards less), and up to five times too small in
# variance. (The divergence pulls on where codes lie; below we measure how little on their width.) As a source of
# importance draws it is among the worst. Count codes from the middle of the posterior and in its widths, so that
# $p(z \mid x) = \mathcal{N}(0, I)$, and let $q(z \mid x) = \mathcal{N}(0, r I)$. The mean square of the weight is, in
# each dimension,
#
# $$\int \frac{p(z \mid x)^2}{q(z \mid x)}\, dz \;\propto\; \int \exp\!\Big({-z^2} + \frac{z^2}{2 r}\Big)\, dz,$$
#
# infinite for $r \le \tfrac12$: most of $p(x)$ sits in rare draws that 500 draws do not contain. The bound then reads
# too high, and more dimensions make it worse.
#
# **Predict**: through a $q$ of a fifth of the posterior's variance, how many nats too high does IWAE with $K = 500$
# read, with two numbers in the code, and with ten?

# %%
ratios = (0.1, 0.15, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0)
fig, ax = figure(width=6.4, height=3.2)
for dimensions, colour in [(2, SKY), (5, BLUE), (10, INK)]:
    ax.plot(ratios, [missed(dimensions, ratio) for ratio in ratios], "o-", color=colour, label=f"{dimensions} numbers")
ax.axvspan(0.05, 0.5, color=FAINT, alpha=0.5, zorder=0)
ax.text(0.49, 2.6, "weights of infinite variance", ha="right", fontsize=9)
ax.set(
    xlabel="variance of q over that of the posterior",
    ylabel="nats too high, K = 500",
    xlim=(0.05, 1.05),
    ylim=(-0.1, 3.9),
)
ax.set_title("A narrow q makes a good model look bad")
ax.legend()
show(
    fig,
    alt="What the importance-weighted bound reads too high against the variance of q over the posterior's, for codes "
    "of 2, 5 and 10 numbers. At 1 it is zero for all; below a half it rises steeply, the more the longer the code.",
)
for name, dimensions, ratio in [("d2.ratio0.2", 2, 0.2), ("d10.ratio0.2", 10, 0.2), ("d10.ratio0.6", 10, 0.6)]:
    confirm(f"07.narrow.{name}", missed(dimensions, ratio))

print(f"\nNLL of digits in nats\n{'':<16}{'grid':>16}{'q learnt anew':>18}{'own q':>18}{'variance, own over anew':>28}")
for name, words in NAMES.items():
    row = [result(f"07.digits.{name}.{column}") for column in ("nll", "refitted", "own", "narrower")]
    values = [f"{r.value:.2f} ± {r.spread:.2f}" for r in row]
    print(f"{words:<16}" + "".join(f"{v:>{w}}" for v, w in zip(values, (16, 18, 18, 28), strict=True)))

# %% [markdown]
# A fifth of a nat, and over one: the longer the code, the worse. The cure is to ask someone else. Leave the decoder as
# it is, and train a new encoder by the ELBO, on *training* pictures: a posterior made for the purpose (`refit`). Or
# anneal (AIS), or, for two numbers, take the grid. The table has all
# but AIS side by side, on digits.
#
# The grid and the new encoder agree to a hundredth of a nat or two, for every objective. The encoder's own $q$ agrees
# for the ELBO, which trained it to be the posterior. For $\alpha = 0.8$ it has about a fifth of the variance, as
# derived, and reads some three tenths of a nat too high, with only two numbers in the code. Most of what looked like
# the price of InfoVAE was the estimator's. (For beta-VAE the price is real.)
#
# ## The headline, on MNIST (claim C23)
#
# The same question at the papers' size: static MNIST, a gated PixelCNN of five layers of 16 channels, a code of ten
# numbers that enters as a bias, 1,200 steps of 64 pictures; five objectives, three seeds each. Same decoder, same
# budget, same start. The models come from the course's zoo, and their numbers were measured on test images. A
# divergence has its own unit, and with a longer code another size, so the weights are not those of the digits; they
# are printed.
#
# First the ELBO, because it does *not* do what the story says: at this depth and length it does not fall silent. It
# whispers. So the question is not silence against speech, but a nat or so against several, and at what price.
#
# Two upper bounds on the NLL stand below, on the same 100 test images: IWAE with $K = 500$ through the model's own $q$,
# which by the last section is unkind to every $\alpha > 0$, and AIS, with the few steps that we could afford. Both err
# upwards on average, so the lower of the two is the nearer, and it is printed.
#
# The probe is asked twice. Usually it reads the *mean* of $q(z \mid x)$. But the decoder never sees a mean, it gets one
# draw. So it is also asked on one **drawn** code for each picture.
#
# **Predict** two things. What does a code four times as rich cost in likelihood? And the ELBO's code says a nat and a
# third, while the names of ten classes, all alike often, take $\log 10 = 2.3$ nats: of how many digits does a linear
# probe tell the class, from means, and from draws?

# %%
known = results()


def told(name, what):
    """A number of the headline, and how far three seeds lie apart."""
    return known[f"C23.{name}.{what}"]


def tabulate(columns):
    """A line for each objective."""
    print(f"{'':<14}" + "".join(f"{title:>17}" for _, title, _ in columns))
    for name, words in NAMES.items():
        rows = [(told(name, key), n) for key, _, n in columns]
        cells = [f"{r.value:.{n}f}" + (f" ± {r.spread:.{n}f}" if r.spread else "") for r, n in rows]
        print(f"{words:<14}" + "".join(f"{c:>17}" for c in cells))


print(*(words for words, _ in headline.OBJECTIVES.values()), sep="; ", end="\n\n")
tabulate([("information", "information", 2), ("probe", "probe, means", 2), ("probe_drawn", "probe, drawn", 2)])
print()
tabulate([("distortion", "distortion", 2), ("nll", "NLL, own q", 2), ("ais", "NLL, AIS", 2)])
print()
lies = [("gap", "gap, at most", 2), ("mmd", "MMD²", 4), ("mean", "largest mean", 2)]
tabulate([*lies, ("variance_low", "least variance", 2), ("variance_high", "largest", 2)])
best = {name: min(told(name, "nll").value, told(name, "ais").value) for name in NAMES}
print("\nthe lower bound of the two: " + ", ".join(f"{NAMES[name]} {value:.2f}" for name, value in best.items()))
print(f"information is read off 10,000 pictures, so that it ends at log 10,000 = {math.log(10_000):.2f} nats")
print(f"over nothing MMD² would scatter by {told('elbo', 'null').value:.5f}")
slowest = max(known[f"07.seconds.{name}"].value for name in NAMES)
print(f"and a step takes at most {slowest:.2f} times as long as the ELBO's")

fig, (left, right) = figure(1, 2, width=7.4, height=3.3)
colours = dict(zip(NAMES, (GREY, BLUE, GREEN, AMBER, VERMILION), strict=True))
for name, words in NAMES.items():
    said, cost, gap = (known[f"C23.{name}.{what}"] for what in ("information", "nll", "gap"))
    left.errorbar(said.value, cost.value, cost.spread, said.spread, "o", color=colours[name], label=words)
    right.errorbar(said.value, gap.value, gap.spread, said.spread, "o", color=colours[name])
left.set(xlabel="information (nats)", ylabel="NLL through own q (nats)", xlim=(0, 8))
left.set_title("Four times the code, much the same NLL", fontsize=10.5)
left.legend(fontsize=8, loc="upper left")
right.set(xlabel="information (nats)", ylabel="aggregate gap, at most (nats)", xlim=(0, 8))
right.set_title("A lower beta pays with the gap", fontsize=10.5)
show(
    fig,
    alt="Left: NLL through the encoder's own q against information, for five objectives with the spread of three "
    "seeds. Right: the aggregate gap, rate minus information, against information. Beta-VAE lies highest in both.",
)

# %% [markdown]
# The columns: "gap, at most" is rate minus information, of which ours is a lower bound. Mean and variances are those of
# the aggregate, in the one of its ten numbers where the mean is furthest from 0, or the variance the least or the
# largest; the prior's are 0 and 1.
#
# Read it in three steps. The InfoVAEs, whatever their divergence, say about four times what the ELBO says. *Distortion
# falls*: what the article calls reconstruction does not suffer, it gains. And the likelihood hardly moves: MMD and
# Stein lie within a few tenths of a nat of the ELBO, the adversary less than a nat above. The beta-VAE at the same $1 -
# \alpha$ says a little more and is several nats worse, by AIS too; its aggregate has shrunk, to less than a third of
# the prior's variance in places, and its gap is the largest by far. The divergence is what keeps the likelihood.
#
# What it is not: a cure for silence, for there was none. Nor is the gap gone. Rate minus information is many times the
# ELBO's for the InfoVAEs too, and by MMD² all five are out by several null deviations: the ELBO's least, Stein's
# furthest among the InfoVAEs, the beta-VAE's by hundreds.
#
# ### A mean is known to every digit
#
# Did the probe on means not say that the ELBO's code holds the digit's name, for seven in ten? A nat and a third cannot
# name ten classes. The class $y$ reaches the code only by way of the picture, so $I(y; z) \le I(x; z)$: no more is said
# of the class than is said at all (the **data-processing inequality**). And what is not said is got wrong: by **Fano's
# inequality** the share $e$ of errors of *any* reader has
#
# $$h(e) + e \log 9 \;\ge\; \log 10 - I(x; z), \qquad h(e) = -e \log e - (1 - e) \log(1 - e).$$
#
# **Predict**: how many can be read off a draw of the ELBO's code at the very best, if all that it says were the name?
# And plainly, in the list under it: which of the things one would like to read in a headline hold here?

# %%
for name, words in NAMES.items():
    limit = most_named(told(name, "information_upper").value)
    drawn, mean = (told(name, key).value for key in ("probe_drawn", "probe"))
    print(
        f"{words:<14} at most {limit:.0%} by Fano; a linear probe reads {drawn:.0%} off a draw, {mean:.0%} off a mean"
    )

bars = {
    "at least 5 times the ELBO's information": lambda o: (
        told(o, "information").value / told("elbo", "information").value,
        lambda v: v >= 5,
    ),
    "at least 4 nats of information": lambda o: (told(o, "information").value, lambda v: v >= 4),
    "NLL, own q, over the ELBO's: 1 % more at most": lambda o: (
        100 * (told(o, "nll").value / told("elbo", "nll").value - 1),
        lambda v: v <= 1,
    ),
    "probe of means: 20 points above the ELBO's": lambda o: (
        100 * (told(o, "probe").value - told("elbo", "probe").value),
        lambda v: v >= 20,
    ),
    "probe of draws: 20 points above the ELBO's": lambda o: (
        100 * (told(o, "probe_drawn").value - told("elbo", "probe_drawn").value),
        lambda v: v >= 20,
    ),
    "aggregate: every mean within 0.25 of 0": lambda o: (told(o, "mean").value, lambda v: v <= 0.25),
    "aggregate: least variance 0.8 or more": lambda o: (told(o, "variance_low").value, lambda v: v >= 0.8),
    "aggregate: largest variance 1.25 or less": lambda o: (told(o, "variance_high").value, lambda v: v <= 1.25),
    "aggregate: MMD² within 2 null deviations": lambda o: (
        told(o, "mmd").value / told(o, "null").value,
        lambda v: v <= 2,
    ),
}
print(f"\n{'means over three seeds':<48}" + "".join(f"{NAMES[o]:>17}" for o in ("mmd", "adversary", "stein")))
for words, measure in bars.items():
    cells = [measure(o) for o in ("mmd", "adversary", "stein")]
    print(f"{words:<48}" + "".join(f"{v:8.2f}, {'holds' if holds(v) else 'no':<7}" for v, holds in cells))

# %% [markdown]
# Four in five, if it said nothing else; of what it does say, most is about other things, and the probe on draws finds
# only one in five. On means it finds seven in ten, and there is no contradiction: a mean is a number with all its
# digits, and a classifier can tell means apart that lie much closer together than the noise is wide. The decoder
# cannot, for it is given one draw. **The usual probe of means flatters a whispering code.** Asked of what the decoder
# gets, the codes of the InfoVAEs name the digit about three times as often as the ELBO's.
#
# Four times and not five, because the ELBO whispers and is not silent; and a probe on means that gains ten points or
# so, because it flatters the whisper. The rest holds for MMD and the adversary, but for one thing: near to the prior is
# not the prior, and MMD² sees the difference. Stein's aggregate, at this weight, is too narrow besides.
#
# ### At other depths
#
# One decoder is one point. Here is the curve: one, two, four (the headline's) and eight layers after the first filter,
# each seeing one pixel further, with the same budget and three seeds. **Predict**: where does the ELBO's code say
# least, and where is InfoVAE's lead largest?


# %%
def at_depths(name, what):
    """A quantity of one objective at every depth: mean and spread over seeds."""
    return [known[f"C10.mnist.{name}.depth_{depth:02d}.{what}"] for depth in DEPTHS]


fig, (left, right) = figure(1, 2, width=7.4, height=3.0)
for ax, what in ((left, "information"), (right, "nll")):
    for name in ("elbo", "mmd"):
        rows = at_depths(name, what)
        values, spreads = ([getattr(r, key) for r in rows] for key in ("value", "spread"))
        ax.errorbar(range(len(DEPTHS)), values, spreads, fmt="o-", color=colours[name], label=NAMES[name])
    ax.set_xticks(range(len(DEPTHS)), DEPTHS)
    ax.set_xlabel("layers after the first")
left.set(ylabel="information (nats)", ylim=(0, None))
right.set(ylabel="NLL through own q (nats)")
left.set_title("InfoVAE says more at every depth", fontsize=10.5)
right.set_title("at much the same likelihood", fontsize=10.5)
left.legend(fontsize=8.5)
show(
    fig,
    alt="Information, left, and NLL, right, against the number of layers of the decoder, one to eight, for the ELBO and "
    "InfoVAE with MMD, with the spread of three seeds.",
)
print(f"{'layers after the first':<32}" + "".join(f"{depth:>16}" for depth in DEPTHS))
for what, words in [("information", "information"), ("nll", "NLL, own q"), ("probe", "probe, means")]:
    for name in ("elbo", "mmd"):
        cells = [f"{r.value:.2f} ± {r.spread:.2f}" for r in at_depths(name, what)]
        print(f"{words + ', ' + NAMES[name]:<32}" + "".join(f"{c:>16}" for c in cells))
pairs = zip(at_depths("elbo", "information"), at_depths("mmd", "information"), strict=True)
print(f"{'times the information':<32}" + "".join(f"{said.value / whispered.value:>16.1f}" for whispered, said in pairs))

# %% [markdown]
# At every depth InfoVAE says between three and a half and four times as much, at an NLL within half a nat. And the
# ELBO's code says least with the *shallowest* decoder: with more layers both codes say a little more, within the
# scatter of the seeds. So "collapse" is not what these models show, at any depth, and deeper is not quieter. How much
# an ELBO's code whispers is a matter of what the decoder can see (chapter 06 turned that knob), of how the code enters,
# and of how long both are trained.
#
# ### Look at them
#
# The pictures that go in are drawings of chapter 02's PixelCNN, which belongs to none of the five (and so this page
# needs no data). Every model is given the same ten, and draws from the code that its encoder answers. Then drawings
# from the prior. A model of this size and budget draws strokes, and often no digit, with a code or without.
#
# **Predict**: do you see in the second row from above that the ELBO's code says little?

# %%
stored = samples("pixelcnn_mnist")[:10]
zoo_models = {name: load(f"headline/{name}_0") for name in NAMES}
rows = [stored] + [vae.reconstruct(stored, torch.Generator().manual_seed(0)) for vae in zoo_models.values()]
rows += [samples(f"headline/{name}_0")[10:20] for name in NAMES]
brief = [words.split(",")[0] for words in NAMES.values()]
words = ["goes in", *(f"via code, {name}" for name in brief), *(f"drawn, {name}" for name in brief)]
fig = image_grid(torch.cat(rows), columns=10, row_labels=words, title="The same ten pictures, through five codes")
show(
    fig,
    alt="Eleven rows of ten pictures of 28 by 28 pixels: digits that go in; what comes out via the code of the ELBO, "
    "MMD, adversary, Stein and beta-VAE; and drawings from the prior of the five, many of them no digits.",
)

# %% [markdown]
# No. One drawing varies so much that ten of them do not show which code says more; down a column many begin alike, for
# all five share their random numbers. To see what a code does, hold the noise fixed.
#
# A **walk**: ten codes on the straight line from the code of one picture to that of another, all drawn with the same
# random numbers, so that whatever changes comes from the code. And a **swap**: ten pictures drawn from their own codes,
# each with random numbers of its own, and again with the same random numbers from the code of the picture to the left.
# What differs in a column comes from the code alone. **Predict** what the ELBO's walk looks like.
#
# The **swapped-code gap** measures it on test images: by how many nats a picture is predicted worse from the code of
# another one. **Predict**: can it be more than the information?

# %%
rows, words = [], []
print("of the pixels, how many are another one:")
for name in ("elbo", "mmd"):
    vae = zoo_models[name]
    with torch.no_grad():
        mu = vae.encode(stored).mu
    walk = drawn_alike(vae, torch.stack([torch.lerp(mu[0], mu[1], t) for t in torch.linspace(0, 1, 10)]), seed=3)
    own, swapped = (drawn_alike(vae, z, seed=3, apart=True) for z in (mu, mu.roll(1, 0)))
    rows += [walk, own, swapped]
    words += [f"{NAMES[name]}, {label}" for label in ("walk", "own code", "swapped")]
    again = drawn_alike(vae, mu, seed=4, apart=True)
    changed, other = (float((pictures != own).float().mean()) for pictures in (swapped, again))
    print(f"{NAMES[name]}: {changed:.1%} by another code, {other:.1%} by other random numbers")
fig = image_grid(torch.cat(rows), columns=10, row_labels=words, title="What another code changes")
show(
    fig,
    alt="Six rows of ten drawings, three for the ELBO and three for InfoVAE with MMD: a walk between two codes; ten "
    "drawings from their own codes; and the same with the codes handed on by one place and the noise kept.",
)

print()
for name in ("elbo", "mmd", "beta"):
    row, said = told(name, "swap"), told(name, "information").value
    ten, one = exchanged(said, 10), exchanged(said, 1)
    print(f"{NAMES[name]:<14} information {said:.2f}, swapped-code gap {row.value:.2f} ± {row.spread:.2f} nats")
    print(f"  as much in a Gaussian code: gap {ten:.1f} by ten equal numbers, {one:,.0f} by one")

# %% [markdown]
# Not ten times the same picture: a stroke for some steps, then a loop at its end. A decoder that draws pixel by pixel
# makes much out of little, for one pixel that falls otherwise changes all that follow; so even a whisper is visible.
# MMD's code changes more of the walk and of the swapped pictures, and for both the random numbers change more than the
# code does. Ten pictures are no measurement.
#
# The gap: far more. For the best decoder it is two divergences,
#
# $$\underbrace{\mathrm{KL}(q(x, z),\, q(x)\, q(z))}_{\text{information}} \;+\;
# \mathrm{KL}(q(x)\, q(z),\, q(x, z)).$$
#
# The first is what a decoder saves that hears the right code, and at most $\log N$. The second is what it pays that
# believes a wrong one, and that has no limit: a picture can be next to impossible under another's code. In the Gaussian
# world of claim C21, with $d$ equal numbers in the code and the aggregate at the prior, the sum is $d\,(e^{2 I / d} -
# 1)$. So a gap of several nats beside a nat of information is no contradiction. It says that the decoder listens; how
# much there was to hear is said by the information.
#
# ## When to leave it alone
#
# - **If you want the likelihood or the drawings, and no code**: a refund on information buys what you do not use.
#   Without a code at all the same decoder is simpler still.
# - **If the decoder is weak**, its misfit already asks for a code: see chapter 03. A refund on top makes codes
#   narrower, and the rate larger, for little.
# - **If somebody reads the rate as a price**, for compression say: a nat of rate is a nat sent, whatever you charged
#   for it in training. Where $q$ is narrower than the posterior, the message is longer than it need be, by exactly
#   the posterior gap.
# - **If the code is long and the batch small**: all three divergences compare a batch with the prior, and what a
#   batch of 64 shows of an aggregate in a hundred dimensions is little. Look at your null band before you choose
#   $\lambda$.
# - **If the prior is a guess**: to hold $q(z)$ at $\mathcal{N}(0, I)$ is an order, not a discovery. A prior that
#   learns, as in chapter 06, fits itself to the codes instead.

# %%
ClaimsTable("C20", "C21", "C22", "C23")

# %% [markdown]
# ## Questions
#
# 1. An InfoVAE with $\alpha = 1$ and MMD² has an aggregate inside the null band, and a rate of 10 nats on 250 digits.
#    Is its gap zero?
# <details><summary>Answer</summary>No. Information is at most log 250 = 5.52 nats, so at least 4.5 nats of the rate
# are gap, for these digits as a data set. MMD sees one drawn code for each picture, and a draw from a narrow code
# looks like a draw from a wide one. What the widths are is told by the rate alone, and at alpha = 1 nobody asks
# it.</details>
#
# 2. A colleague's loss is distortion + 0.2 rate + 0.5 KL(q(z), p(z)), with the KL estimated well. Which alpha and
#    lambda?
# <details><summary>Answer</summary>1 - alpha = 0.2, so alpha = 0.8; alpha + lambda - 1 = 0.5, so lambda = 0.7: a nat
# of gap costs 0.7, cheaper than in the ELBO. Information is rewarded at 0.8 a nat.</details>
#
# 3. Your MMD² reads 0.02 all through training and does not fall. The batch is 64. What do you check first?
# <details><summary>Answer</summary>What it reads when both samples are from the prior. With each code compared to
# itself as well (the V-statistic) there is a floor of 2/n (1 - mean k), where mean k is that of two draws; with n =
# 64 and a mean k of a third it is 0.02. With the U-statistic the mean is zero, and the question is by how many null
# deviations 0.02 lies out.</details>
#
# 4. Two models of the same build, trained apart. Through its own encoder A's IWAE bound reads 89.0, B's 91.3. Which
#    is better?
# <details><summary>Answer</summary>Not known. Both numbers are upper bounds on their NLL, and how loose each is
# depends on its encoder. Train a new encoder by the ELBO for each decoder, on training pictures, or anneal, and
# compare those.</details>
#
# 5. Why does the adversary's discriminator get no gradient from the model's loss?
# <details><summary>Answer</summary>The model wants E T small. If it could move T, it would say "all codes look like the
# prior" instead of moving codes. T must serve the other aim, to tell the two apart; then E T is an estimate of a
# divergence, and lowering it moves q(z).</details>
#
# ## Where next
#
# The exercise `exercises/07_infovae` has you build the loss from its parts, find the bug in an MMD, read a
# rate-distortion plane, and tell five unnamed models apart by measurement. Chapter 08 asks what the article leaves
# open: whether codes need be stochastic, for one, which at $\alpha = 1$ they need not.
#
# ## References
#
# - C. M. Wild (2018), With Great Power Comes Poor Latent Codes: Representation Learning in VAEs (Pt. 2), Towards Data
#   Science, 7 May 2018.
# - S. Zhao, J. Song and S. Ermon (2019), InfoVAE: Balancing Learning and Inference in Variational Autoencoders, arXiv
#   1706.02262.
# - M. D. Hoffman and M. J. Johnson (2016), ELBO surgery: yet another way to carve up the variational evidence lower
#   bound, NIPS 2016 Workshop on Advances in Approximate Bayesian Inference.
# - A. Makhzani, J. Shlens, N. Jaitly, I. Goodfellow and B. Frey (2016), Adversarial Autoencoders, arXiv 1511.05644.
# - I. Tolstikhin, O. Bousquet, S. Gelly and B. Schölkopf (2018), Wasserstein Auto-Encoders, arXiv 1711.01558.
# - I. Higgins et al. (2017), beta-VAE: Learning Basic Visual Concepts with a Constrained Variational Framework, ICLR.
# - A. Gretton, K. Borgwardt, M. Rasch, B. Schölkopf and A. Smola (2012), A Kernel Two-Sample Test, Journal of Machine
#   Learning Research 13. The U-statistic, and its spread when there is nothing to see.
# - L. Mescheder, S. Nowozin and A. Geiger (2017), Adversarial Variational Bayes, arXiv 1701.04722. The judge's T as a
#   KL.
# - Q. Liu and D. Wang (2016), Stein Variational Gradient Descent, arXiv 1608.04471; Q. Liu, J. Lee and M. Jordan
#   (2016), A Kernelized Stein Discrepancy for Goodness-of-fit Tests, arXiv 1602.03253.
# - Y. Burda, R. Grosse and R. Salakhutdinov (2016), Importance Weighted Autoencoders, arXiv 1509.00519.
# - M. Germain, K. Gregor, I. Murray and H. Larochelle (2015), MADE: Masked Autoencoder for Distribution Estimation,
#   arXiv 1502.03509. The small decoder.
