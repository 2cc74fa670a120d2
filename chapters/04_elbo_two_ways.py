# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 04 · What is the ELBO really asking for?
#
# A VAE is trained to raise one number. Written one way, the number asks for faithful reconstructions and a cheap code.
# Written another way, neither word occurs: it asks that the model find the pictures likely, and that the encoder be
# honest. Both are the same number, to the last digit. So what does it want?
#
# **You will be able to**
#
# - derive both arrangements of the ELBO from one line, and check each term by number;
# - estimate $-\log p(x)$ of a model that cannot be summed over, and say on which side the estimate errs;
# - split what the ELBO loses into the part of the family of $q$ and the part of the encoder;
# - split the rate into what the code says and what the codes look like together;
# - recognise equally good models of the same data, with the same ELBO, whose codes say nothing, or a lot.
#
# **Minutes**: 60, and 65 more for the exercise.
#
# **Prerequisites**: what a VAE is (chapter 03); Bayes' rule; $\mathrm{KL}(a, b) = \mathbb{E}_a[\log a - \log b]$, which
# is never negative, and zero only if $a = b$.
#
# **Claims and numbers**: "the article" is C. M. Wild's of 2018, in the references, which this course goes through claim
# by claim; here C13, C14 and the first half of C20. `confirm` compares a number measured just now with the course's
# ledger, and complains when it lies outside a stated band. A ± right after a number of the ledger is the standard
# deviation over three trainings that differ in their seed; the band's ± is how far another run may lie off.

# %%
import math

import torch
from matplotlib.patches import Ellipse

from course_lib.data import digits
from course_lib.experiments.chapter_04 import (
    SHARES,
    SHORT_AIS,
    TOLD,
    erratum,
    even,
    live_vae,
    log_mean,
    log_terms,
    mixed_posteriors,
    mixture_in_gaussians,
    posterior_gaps,
    posterior_mixtures,
    random_linear,
    random_tables,
    rate_two_ways,
    small_world,
    solved,
    two_ways_in_gaussians,
    two_ways_in_tables,
    whole_gap,
    worst_difference,
)
from course_lib.figures.style import AMBER, BLUE, FAINT, GREEN, GREY, INK, SKY, VERMILION, figure, show
from course_lib.measurement.ais import ais
from course_lib.measurement.codes import encode_all
from course_lib.measurement.information import information_of
from course_lib.measurement.ledger import ClaimsTable, confirm, result
from course_lib.measurement.worlds.discrete import DiscreteWorld, kl
from course_lib.measurement.worlds.gaussian_pair import collapsed_model, factor_model, gaussian_pair, strong_model
from course_lib.measurement.worlds.humps import PICTURES, best_members, hump_world
from course_lib.measurement.worlds.linear_gaussian import Channel, Gaussian, LinearGaussianWorld
from course_lib.measurement.worlds.quadrature import gaussian_table, plane, solve, solved_world
from course_lib.models.gaussian import DiagonalGaussian
from course_lib.widgets import Choice, Explorer, FloatRange

torch.set_printoptions(precision=4, sci_mode=False)
x_test, labels = digits(binary=True).test.images, digits(binary=True).test.labels

# %% [markdown]
# ## One line, read twice (claim C13)
#
# *The claim, in our words: the ELBO is $\log p(x)$ less the KL from the encoder's $q(z \mid x)$ to the true posterior
# $p(z \mid x)$.*
#
# The smallest world that has everything: pictures of two black or white pixels, so four of them, and a code $z$ with
# three values. The model is two tables, the **prior** $p(z)$ and the **likelihood** $p(x \mid z)$. Whatever else one may
# want to know follows by sums: $p(x) = \sum_z p(z)\, p(x \mid z)$, and by Bayes' rule the **posterior**
#
# $$p(z \mid x) = \frac{p(z)\, p(x \mid z)}{p(x)},$$
#
# which code a picture came from. In a world this small nobody needs an encoder: the posterior is right there. (In
# programs the tables hold logarithms, and a sum over $z$ is a `logsumexp`: whole pictures have probabilities too small for
# a float.)

# %%
world, data = small_world()
print("p(z)  ", world.log_prior.exp())
print("p(x)  ", world.log_prob().exp())
print("data  ", data)
for name, row in zip(("00", "01", "10", "11"), world.log_posterior().exp(), strict=True):
    print(f"p(z | {name})", row)

# %% [markdown]
# (The row "data" is how often each picture comes up in a training set; we need it later. The model is not yet there.)
#
# In a world of pictures the sum over $z$ is out of reach, and with it $p(x)$ and the posterior. So an **encoder**
# $q(z \mid x)$ guesses. Take any $z$ that it may answer, and look at one quantity, the **log-weight** of $z$:
#
# $$\log w(z) = \log p(x, z) - \log q(z \mid x).$$
#
# The joint probability $p(x, z)$ can be taken apart by the chain rule in two orders, $p(z)\,p(x \mid z)$ and
# $p(x)\,p(z \mid x)$:
#
# $$\log w(z) \;=\; \log p(x \mid z) - \log \frac{q(z \mid x)}{p(z)} \;=\; \log p(x) - \log \frac{q(z \mid x)}{p(z \mid x)}.$$
#
# Now average over $z \sim q(z \mid x)$. The average of the log-weight is the ELBO, by definition. The logarithms of
# ratios become KL divergences, and $\log p(x)$, in which no $z$ occurs, stays as it is:
#
# $$\mathrm{ELBO}(x) \;=\; \mathbb{E}_q \log p(x \mid z) - \mathrm{KL}\big(q(z \mid x),\, p(z)\big)
# \;=\; \log p(x) - \mathrm{KL}\big(q(z \mid x),\, p(z \mid x)\big).$$
#
# That is all. In the words of this course, with signs that make every term a cost in nats:
#
# $$-\mathrm{ELBO} \;=\; \text{distortion} + \text{rate} \;=\; \text{nll} + \text{posterior gap},$$
#
# where nll is the negative log-likelihood, $-\log p(x)$.
#
# **Predict**: for the picture 01 we try three encoders. One repeats the prior, one answers with the posterior, and one
# is certain of the code that explains the picture best. Which terms stay the same in all three?

# %%
one = 1
posterior = world.log_posterior().exp()
certain = torch.eye(3).double()[world.log_likelihood.argmax(0)]
print("encoder     distortion + rate   = -ELBO  = nll    + posterior gap   log-weights of the codes")
for name, q in [("prior", world.log_prior.exp().expand(4, 3)), ("posterior", posterior), ("certain", certain)]:
    terms = world.distortion(q), world.rate(q), -world.log_prob(), kl(q, world.log_posterior()).abs()
    distortion, rate, nll, gap = (float(term[one]) for term in terms)
    weights = (world.log_joint() - q.log())[one].tolist()
    print(
        f"{name:<11} {distortion:.4f}     + {rate:.4f} = {distortion + rate:.4f} = {nll:.4f} + {gap:.4f}", end=" " * 10
    )
    print(*(f"{weight:.3f}" if share > 0 else "  --  " for weight, share in zip(weights, q[one], strict=True)))
    assert abs(distortion + rate - nll - gap) < 1e-12

# %% [markdown]
# Only nll stays, and it must: the encoder does not occur in $p(x)$. So of all encoders the posterior has the lowest
# $-\mathrm{ELBO}$, and it has it with *neither* the lowest distortion *nor* the lowest rate. The certain encoder
# reconstructs better, the one that repeats the prior has a cheaper code (it tells nothing), and both pay more in all.
#
# The last column shows why the posterior is special: its log-weights are all equal. Each is $\log p(x)$, whatever the
# code. An encoder that is off gets unequal ones, or misses codes altogether. We shall make use of that.
#
# ### Move an encoder yourself
#
# Here $z$ is a number, $z \sim \mathcal{N}(0, 1)$, and a picture has one grey pixel, $x = 1.5$. Two decoders: in the
# first $x$ is $z$ plus noise, in the second $x$ is $|z|$ plus noise, so that two codes make the same picture. The noise
# is $\mathcal{N}(0, 0.4^2)$ in both. The encoder answers a Gaussian; you choose its centre and its width.
#
# **Predict**, for each decoder: can you bring the posterior gap to zero?


# %%
def draw_two_ways(centre, width, decoder):
    """The prior, the posterior and q on the left; both arrangements as bars on the right."""
    humps = 1 if decoder.startswith("x ≈ z") else 2
    world, z = hump_world(torch.tensor([1.5]).double(), humps)
    q = gaussian_table(DiagonalGaussian(torch.tensor([[centre]]), 2 * torch.tensor([[width]]).log()), z)
    account, cell = world.account(q, even(1)), float(z[1] - z[0])
    fig, (left, right) = figure(1, 2, width=7.4, height=3.6, fixed=True)
    left.plot(z, world.log_prior.exp() / cell, color=GREY, linestyle=":", label="prior p(z)")
    left.fill_between(z, world.log_posterior().exp()[0] / cell, color=AMBER, alpha=0.5, label="posterior p(z | x)")
    left.plot(z, q[0] / cell, color=BLUE, label="encoder q(z | x)")
    left.set(xlim=(-3, 3), ylim=(0, 2.1), xlabel="code z", ylabel="density")
    left.set_title("What q answers for x = 1.5")
    left.legend(loc="upper left", fontsize=9)
    bars = [(0, "distortion", account.distortion, "rate", account.rate, BLUE, SKY)]
    bars += [(1, "nll", account.nll, "posterior gap", abs(account.posterior_gap), GREEN, VERMILION)]
    for place, lower, base, upper, top, dark, light in bars:
        right.bar(place, base, color=dark, width=0.5)
        right.bar(place, top, bottom=base, color=light, width=0.5)
        words = f"{lower} {base:.3f}\n+ {upper} {top:.3f}"
        right.text(place, 7.4, words, ha="center", va="top", fontsize=8.5, backgroundcolor="white")
    right.set(xlim=(-0.6, 1.6), ylim=(0, 7.5), ylabel="nats", xticks=[0, 1])
    right.set_xticklabels(["distortion + rate", "nll + posterior gap"], fontsize=9)
    right.set_title(f"-ELBO = {account.loss:.3f}, both ways{' (cut off)' if account.loss > 6.3 else ''}")
    return fig


def tell_two_ways(centre, width, decoder):
    """The picture in words."""
    return (
        f"Left: prior, posterior of the picture x = 1.5 under the decoder {decoder}, and an encoder with centre "
        f"{centre:.2f} and width {width:.2f}. Right: two stacked bars of equal height, distortion + rate and nll + "
        "posterior gap; the nll is the same wherever the encoder goes. Bars of more than 6.3 nats are cut off."
    )


Explorer(
    draw_two_ways,
    alt=tell_two_ways,
    centre=FloatRange(-1.5, 2.0, start=1.0, step=0.1),
    width=FloatRange(0.2, 1.0, start=0.8, step=0.05),
    decoder=Choice(["x ≈ z", "x ≈ |z|"]),
)

# %% [markdown]
# With one hump you can bring the gap as near to zero as the sliders' steps allow. With two humps you cannot: the best
# that a Gaussian can do is to choose one of them, at a price of very nearly $\log 2 = 0.693$ nats, one bit. It claims to
# know left from right, which the picture does not tell. We come back to that price.
#
# The two bars are equally high wherever you go. In case that is luck: a hundred random worlds of tables, and a hundred
# linear-Gaussian ones ($z \sim \mathcal{N}(0, I)$, $x \mid z \sim \mathcal{N}(Wz + b, \Sigma)$, and a linear encoder that
# knows nothing of $W$), eight pictures in each, every term from its own definition.

# %%
confirm("C13.discrete", worst_difference(two_ways_in_tables))
confirm("C13.linear", worst_difference(two_ways_in_gaussians))

# %% [markdown]
# The article's second arrangement is right, exactly, and it holds for every single picture, not only on average.
#
# ## The same on digits
#
# We train a VAE on the 8 x 8 digits, with a factorised decoder and a code of **two** numbers. Two, because then the sum
# over $z$ is still within reach: lay a grid over the plane, and $p(x)$, the posterior and every KL is a sum over its
# 10,201 nodes, on average good to a thousandth of a nat. The trained network becomes one more world of tables, and
# nothing about it has to be estimated. In tables C13 is true by construction, so what we learn here is not whether it
# holds but how large the terms are. (`live_vae` is trained as in chapter 03, by Adam on $-\mathrm{ELBO}$, here for
# 400 steps of 64 digits.)
#
# **Predict**: what share of the whole loss will the posterior gap be? And the rate?

# %% tags=["nbval-ignore-output"]
vae = live_vae(seed=0)
digit_world, q_test = solve(vae, x_test, plane())
account = digit_world.account(q_test, even(len(x_test)))
print(f"-ELBO {account.loss:.4f} = distortion {account.distortion:.4f} + rate {account.rate:.4f}")
print(f"-ELBO {account.loss:.4f} = nll {account.nll:.4f} + posterior gap {account.posterior_gap:.4f}\n")
for name in ("loss", "distortion", "rate", "nll", "posterior_gap"):
    confirm(f"04.digits.{name}", getattr(account, name))

fig, ax = figure(width=6.8, height=2.5)
rows = [(1, account.distortion, account.rate, BLUE, SKY, "distortion", "rate")]
rows += [(0, account.nll, account.posterior_gap, GREEN, VERMILION, "nll", "posterior gap")]
for place, base, rest, dark, light, lower, upper in rows:
    ax.barh(place, base, color=dark, height=0.5)
    ax.barh(place, rest, left=base, color=light, height=0.5)
    ax.text(0.3, place, f"{lower} {base:.2f}", color="white", va="center")
    ax.text(account.loss + 0.3, place, f"+ {upper} {rest:.2f}", va="center")
ax.set(yticks=[], xlabel="nats per image, 250 test digits", xlim=(0, 29))
ax.set_title(f"One -ELBO of {account.loss:.2f}, and two stories about it")
show(
    fig,
    alt="Two horizontal bars of equal length. The upper is mostly distortion with a piece of rate at its end; the lower "
    "is mostly nll with a much smaller piece of posterior gap.",
)

# %% [markdown]
# Read the upper bar, and autoencoding is the business, with a tax on the code. Read the lower bar, and there is no
# reconstruction in it: the model is asked to find the digits likely, and all that the code has to do with it is a small
# penalty for a dishonest encoder. The first bar is how one *computes* the loss. The second is what one *gets*.
#
# ## What if there is no grid?
#
# This section and the next stay with the lower bar: how to measure its two terms where nothing can be summed, and who is
# to blame for the gap. Later chapters measure in this way, and the exercise builds it; the claims do not rest on it. At a
# first reading you may go on with "Is the prior a mixture of posteriors?".
#
# With ten numbers in the code the grid would have $101^{10}$ nodes. The log-weights help. Under $q$ the weight
# $w = p(x, z) / q(z \mid x)$ has, if $q$ leaves no code out, the mean
#
# $$\mathbb{E}_q\, w = \sum_z q(z \mid x)\, \frac{p(x, z)}{q(z \mid x)} = p(x),$$
#
# so the mean of $K$ drawn weights is an unbiased guess at $p(x)$. Its logarithm is not unbiased. As $-\log$ is convex,
# Jensen's inequality says that the nll is on average guessed too high, unless all weights are equal:
#
# $$\mathbb{E}\Big[ -\log \frac{1}{K} \sum_{k=1}^{K} w(z_k) \Big] \;\ge\; -\log p(x), \qquad z_k \sim q(z \mid x).$$
#
# This is the **importance-weighted bound** (Burda et al., 2016). With $K = 1$ it is $-\mathrm{ELBO}$. More draws average
# the weights before the logarithm is taken, so Jensen adds less, and on average the bound never rises with $K$. If $q$
# is the posterior, all weights are equal, and $K = 1$ is as good as a million.
#
# One sees a shortcut in use. It averages only $p(x \mid z_k)$ under the logarithm, and adds the KL, in closed form,
# outside of it:
#
# $$-\log \frac{1}{K} \sum_{k=1}^{K} p(x \mid z_k) + \mathrm{KL}\big(q(z \mid x),\, p(z)\big).$$
#
# With $K = 1$ this, too, is $-\mathrm{ELBO}$ on average. **Predict**: on which side of the true value, which our grid
# knows, does it end up when $K$ grows?
#
# We draw 300 codes for each digit and keep both parts of each log-weight, $\log p(x \mid z)$ and
# $\log q(z \mid x) / p(z)$. For $K = 3$ the draws make a hundred groups, for $K = 300$ one: all count at every $K$.

# %% tags=["nbval-ignore-output"]
log_likelihood, log_ratio = log_terms(vae, x_test, 300, torch.Generator().manual_seed(1))
draws = (1, 3, 10, 30, 100, 300)
bound = [-log_mean(log_likelihood - log_ratio, k) for k in draws]
shortcut = [-log_mean(log_likelihood, k) + account.rate for k in draws]
fig, ax = figure(width=6.6, height=3.2)
ax.axhline(account.nll, color=INK, linestyle="--", label="true value, by the grid")
ax.plot(draws, bound, color=BLUE, marker="o", label="importance-weighted bound")
ax.plot(draws, shortcut, color=VERMILION, marker="s", label="shortcut: -log mean p(x | z) + KL")
ax.set(xscale="log", xlabel="draws of the code, K", ylabel="-log p(x) (nats per image)")
ax.set_title("The bound comes down to the truth, the shortcut falls below it")
ax.legend()
show(
    fig,
    alt="Estimated negative log-likelihood against the number of draws. The importance-weighted bound falls from -ELBO "
    "towards the true value, drawn as a dashed line. The shortcut starts at the same place and falls below the line.",
)
print(f"K = 1: bound {bound[0]:.3f} nats; -ELBO, by the grid, {account.loss:.3f} nats")
confirm("04.digits.iwae", bound[-1] - account.nll)
confirm("04.digits.shortcut", shortcut[-1] - account.nll)

# %% [markdown]
# At $K = 1$ both are $-\mathrm{ELBO}$, by drawing, and agree with the grid, which did not draw. From there the bound
# errs on the safe side: a model is at least as good as it says, up to the noise of the draws. The shortcut does not.
# Suppose that $q$ is the posterior. Then $-\mathrm{ELBO}$ is the true value already, the KL that the shortcut adds stays
# as it is, and its first term falls with $K$ (Jensen once more): so it must end up below the truth. Our encoder is near
# enough to the posterior for the same to happen. A number that flatters is worse than one that is off.
#
# Where $q$ is far from the posterior, as after training with objectives that do not ask it to be near, even many draws
# miss what matters. **Annealed importance sampling** (AIS; Neal, 2001) does not stop at the draw: it walks each code
# towards the posterior, in small steps, and multiplies up the weights on the way. Its result, too, is too high on
# average. The start matters. From $q$ the way is short, but a hump that $q$ leaves out may never be visited; the prior
# leaves none out, and the way is longer. Here $q$ is near, and four walks of 50 steps start from it. On the
# first 25 digits, beside the bound from above on the same 25:

# %% tags=["nbval-ignore-output"]
few = slice(25)
walked = ais(vae, x_test[few], torch.Generator().manual_seed(0), SHORT_AIS)
few_bound = -log_mean((log_likelihood - log_ratio)[:, few], 300)
confirm("04.digits.ais", float((digit_world.log_prob()[few] - walked.log_prob).mean()))
confirm("04.digits.iwae25", few_bound + float(digit_world.log_prob()[few].mean()))

# %% [markdown]
# Both are within a few hundredths of a nat of the grid, which is as much as chance does to 25 digits: too high holds on
# average, not for every draw. Where $q$ is near the posterior the walk gains nothing over plain draws. It is meant for
# where $q$ is not, and there is no grid to tell.
#
# ## Whose fault is the gap?
#
# The posterior gap can have two causes. Perhaps no answer that the encoder is *allowed* to give is the posterior: it may
# only say Gaussians. Or there is a good answer, and the encoder, one network for all pictures, does not find it. The
# allowed answers are the **family**; let $q^*$ be the best of them for this one picture. Then
#
# $$\underbrace{\log p(x) - \mathrm{ELBO}[q]}_{\text{posterior gap}} \;=\;
# \underbrace{\log p(x) - \mathrm{ELBO}[q^*]}_{\text{approximation gap}} \;+\;
# \underbrace{\mathrm{ELBO}[q^*] - \mathrm{ELBO}[q]}_{\text{amortisation gap}},$$
#
# and neither part is negative: the first is a KL, and in the second $q$ is one of those among which $q^*$ is the best
# (Cremer, Li and Duvenaud, 2018).
#
# In the explorer's world all of it is a sum. Five pictures, $x = 0, 0.5, \dots, 2$. The family is a table of Gaussians,
# thousands of centres and widths; $q^*$ is its best row for each picture. The encoder is a straight line,
# $q(z \mid x) = \mathcal{N}(a x, s^2)$, with the best $a$ and the best $s$, the same for all five.
#
# **Predict** for the decoder $x \approx |z|$: where will the family be at fault, and where the line?

# %%
parts, best, line = best_members(humps=2)
fig, (left, right) = figure(1, 2, width=7.4, height=3.3, gridspec_kw={"width_ratios": [1.25, 1]})
fold_world, z = hump_world(PICTURES, humps=2)
for place, picture in enumerate(PICTURES.tolist()):
    shelf, cell = 1.1 * place, float(z[1] - z[0])
    left.fill_between(z, shelf, shelf + fold_world.log_posterior().exp()[place] / cell, color=AMBER, alpha=0.6)
    for q, colour, style, name in [(best, INK, "-", "best Gaussian q*"), (line, BLUE, "--", "encoder")]:
        row = gaussian_table(DiagonalGaussian(q.mu[[place]], q.log_var[[place]]), z)[0]
        left.plot(z, shelf + row / cell, color=colour, linestyle=style, linewidth=1.5, label=None if place else name)
    left.text(-2.9, shelf + 0.15, f"x = {picture:g}", fontsize=9)
left.set(xlim=(-3, 3), ylim=(-0.2, 6.9), yticks=[], xlabel="code z")
left.set_title("From x = 1.5 on, q* chooses a hump")
left.legend(loc="upper left", ncols=2, fontsize=9)
right.bar(PICTURES, parts.approximation, width=0.3, color=GREEN, label="approximation")
right.bar(PICTURES, parts.amortisation, width=0.3, bottom=parts.approximation, color=VERMILION, label="amortisation")
right.axhline(math.log(2), color=GREY, linestyle=":")
right.text(-0.15, math.log(2) + 0.02, "log 2", fontsize=9)
right.set(xlabel="picture x", ylabel="posterior gap (nats)", ylim=(0, 1.15))
right.set_title("Two humps cost log 2")
right.legend(loc="upper left", ncols=1, fontsize=9)
show(
    fig,
    alt="Left: the posteriors of five pictures, one hump for x = 0, two separate ones from x = 1.5 on, each with the "
    "best Gaussian (solid) and that of the straight-line encoder (dashed). Right: stacked bars of both gaps. The "
    "approximation gap rises from nothing at x = 0 to log 2; the amortisation gap is largest at x = 0.5, less at 1, and "
    "hardly there elsewhere.",
)
for humps, gap in ((1, best_members(humps=1)[0]), (2, parts)):
    confirm(f"04.split.approximation.humps{humps}", float(gap.approximation.mean()))
    confirm(f"04.split.amortisation.humps{humps}", float(gap.amortisation.mean()))

# %% [markdown]
# With one hump (the decoder $x \approx z$) both gaps vanish, up to the steps of the table: the posterior is Gaussian,
# its mean is a straight line in $x$, and its width is the same everywhere. With two humps the family is at fault once
# they have parted. The line is at fault in between, where the best answer is still to cover both humps from the middle,
# and the line has left already.
#
# Now the digits. For 60 digits that the encoder was trained on and 60 that it was not, we fit a $q^*$ to each, by
# gradient. **Predict**: which gap is the larger, and which of the two depends on whether the digit was seen in training?

# %% tags=["nbval-ignore-output"]
x_train = digits(binary=True).train.images
gap = posterior_gaps(vae, torch.cat([x_train[:60], x_test[:60]]), seed=0)
for name, part in (("train", slice(60)), ("test", slice(60, None))):
    confirm(f"04.digits.approximation.{name}", float(gap.approximation[part].mean()))
    confirm(f"04.digits.amortisation.{name}", float(gap.amortisation[part].mean()))
seen, unseen = whole_gap(vae, x_train[:500]), kl(q_test, digit_world.log_posterior())
for name, part, whole in (("train", slice(60), seen), ("test", slice(60, None), unseen)):
    both = float((gap.approximation + gap.amortisation)[part].mean())
    print(f"the same 60 {name} digits: the parts add up to {both:.3f} nats, by the grid {float(whole[:60].mean()):.3f}")
print()
measured = {"seen_gap": seen.mean(), "posterior_gap": unseen.mean(), "unseen_more": unseen.mean() - seen.mean()}
for name, value in measured.items():
    confirm(f"04.digits.{name}", float(value))
least = result("04.digits.unseen_least")
print(f"From the ledger, {least.quantity}: {least}")

# %% [markdown]
# The Gaussian family is hardly to blame here: most of the gap is the encoder's. Sixty digits are too few for the second
# question, but the gap as a whole needs no fitting, and the grid can take more of them: 500 digits of the training set
# and all 250 of the test set, in the last four lines. The gap is larger on digits that the encoder has not seen, on each
# of the three seeds: the last line is the least of their differences. Since the family's share is about the same, it
# is the encoder that fails to generalise.
#
# ## Is the prior a mixture of posteriors? (claim C14)
#
# *The claim, in our words: the prior is the mixture of the posteriors $p(z \mid x)$, each weighted by $p(x)$.*
#
# That is what the article says we do know of the posterior. By the chain rule:
#
# $$\sum_x p(x)\, p(z \mid x) = \sum_x p(x, z) = p(z).$$
#
# It is true, and it says *which* weights: $p(x)$, the model's own. A training set has other weights,
# $p_{\text{data}}(x)$, and the sum over $p_{\text{data}}(x)\, p(z \mid x)$ need not be anything in particular.
# **Predict**: two pixels, once with the weights of the model, once with those of the data, both printed at the start.
# The picture 11, whose posterior favours the third code, comes up much more often in the data than in the model. Where
# will the two mixtures lie?

# %%
own, other, misfit = posterior_mixtures(world, data)
print("weights of the pictures: p(x)", world.log_prob().exp())
print("                     the data", data)
print("prior p(z)                   ", world.log_prior.exp())
print("posteriors mixed by p(x)     ", world.log_prob().exp() @ posterior)
print("posteriors mixed by the data ", data @ posterior, "\n")
confirm("C14.discrete.own", own)
confirm("C14.discrete.data", other)
confirm("C14.discrete.misfit", misfit)

# %% [markdown]
# By the model's own weights the prior comes back, to the last digit; by the data's the third code gets too much. Now
# with a line of codes: $z \sim \mathcal{N}(0, 1)$ and $x \mid z \sim \mathcal{N}(2z, 1)$, so the model's own pictures are
# $\mathcal{N}(0, 5)$, and the posterior of a picture is $\mathcal{N}(2x/5, 1/5)$. The other data come from
# $\mathcal{N}(2.5, 1.5^2)$: larger numbers, less far apart. A mixture over a line of pictures is an integral; the
# figure draws it, and nine of its posteriors, half a standard deviation of $x$ apart, each with its share of the weight.
# **Predict** the mean of both mixtures, and which of them is the narrower.

# %%
unit = torch.ones(1, 1).double()
line_world = LinearGaussianWorld(Channel(2 * unit, torch.zeros(1).double(), unit))
others = Gaussian(torch.tensor([2.5]).double(), 2.25 * unit)
z = torch.linspace(-3.5, 3.5, 281).double()
fig, axes = figure(1, 2, width=7.2, height=3.0, sharey=True)
for ax, source, title in [
    (axes[0], line_world.marginal(), "Mixed by p(x): the prior"),
    (axes[1], others, "Mixed by other data: not the prior"),
]:
    spread = float(source.cov) ** 0.5
    for step in range(-4, 5):
        picture = source.mean + spread * step / 2
        weight = 0.5 * math.exp(-(step**2) / 8) / math.sqrt(2 * math.pi)
        hump = weight * line_world.posterior().at(picture).log_prob(z[:, None]).exp()
        ax.plot(z, hump, color=AMBER, linewidth=1, label=None if step else "posteriors, weighted")
    ax.plot(z, line_world.posterior().output(source).log_prob(z[:, None]).exp(), color=BLUE, label="mixture")
    ax.plot(z, line_world.prior.log_prob(z[:, None]).exp(), color=INK, linestyle="--", label="prior")
    ax.set(xlabel="code z", title=title)
axes[0].set_ylabel("density")
axes[1].legend(loc="upper left", fontsize=9)
show(
    fig,
    alt="Two panels for x given z normal about 2 z. Low humps are posteriors of nine pictures. Left, weighted by the "
    "model's own p(x), their mixture lies on the prior's curve. Right, weighted by data that lie higher, the mixture is "
    "narrower than the prior and moved to the right.",
)
confirm("C14.linear.own", worst_difference(mixture_in_gaussians))

# %% [markdown]
# Each posterior has its mean at $2x/5$ and the variance $1/5$, so the mixture has the mean $\tfrac25 \mathbb{E}\, x$ and
# the variance $\tfrac{4}{25} \mathrm{Var}\, x + \tfrac15$: that is 0 and 1 for the model's own pictures, 1 and 0.56 for
# the others.
#
# How far off can it be? Once more one joint distribution, taken apart in two orders. Let pictures come from the data
# and their codes from the posterior, $r(x, z) = p_{\text{data}}(x)\, p(z \mid x)$. Then $r(z)$ is the mixture. The
# model is $p(x, z) = p(x)\, p(z \mid x)$. Pictures first, and the posteriors cancel; codes first, and a term remains:
#
# $$\mathrm{KL}\big(p_{\text{data}}(x),\, p(x)\big) \;=\; \mathbb{E}_r \log \frac{r(x, z)}{p(x, z)} \;=\;
# \mathrm{KL}\big(r(z),\, p(z)\big) + \mathbb{E}_{r(z)}\, \mathrm{KL}\big(r(x \mid z),\, p(x \mid z)\big).$$
#
# The last term is never negative. So the mixture is at least as near to the prior as the data are to $p(x)$ (an
# instance of the data-processing inequality): the better the model fits the data, the more nearly the article's sentence
# holds for them as well. The two pixels above show it once, in their last two numbers; the ledger holds it for a hundred
# worlds.
#
# For the digits we know all posteriors, on the grid. We mix those of the 250 test digits, and those of as many pictures
# that the model has drawn by itself; then, as a number only, those of 1,000 drawings.

# %% tags=["nbval-ignore-output"]
drawn = vae.sample(1000, torch.Generator().manual_seed(0))
drawn_world = solved_world(vae, drawn, plane())
few_drawn = DiscreteWorld(drawn_world.log_prior, drawn_world.log_likelihood[:, :250])
mixed_digits, from_digits = mixed_posteriors(digit_world)
mixed_drawings, from_drawings = mixed_posteriors(few_drawn)
confirm("C14.digits.data", from_digits)
confirm("C14.digits.own250", from_drawings)
confirm("C14.digits.own1000", mixed_posteriors(drawn_world)[1])

fig, axes = figure(1, 3, width=7.4, height=2.8, sharey=True)
panels = [
    (digit_world.log_prior.exp(), "The prior,\nto compare with"),
    (mixed_drawings, f"250 own drawings:\n{from_drawings:.2f} nats off"),
    (mixed_digits, f"250 test digits:\n{from_digits:.2f} nats off"),
]
for ax, (mass, title) in zip(axes, panels, strict=True):
    density = mass.view(101, 101).T / 0.1**2
    shown = ax.imshow(density, origin="lower", extent=(-5.05, 5.05, -5.05, 5.05), vmin=0, vmax=0.3)
    ax.set(xlim=(-3.5, 3.5), ylim=(-3.5, 3.5), xlabel="z, first number")
    ax.set_title(title)
axes[0].set_ylabel("z, second number")
fig.colorbar(shown, ax=axes, label="density", shrink=0.85)
show(
    fig,
    alt="Three density maps over the plane of codes. The prior is a round hill. The mixture of the posteriors of 250 of "
    "the model's own drawings is a hill with an uneven top. That of 250 test digits has peaks and empty places.",
)

# %% [markdown]
# The more drawings, the nearer their mixture comes to the prior. For the digits, too, a part of the distance is only that
# 250 are few, about as much as the second number shows. The rest is misfit: this model is not yet the digits.
#
# ## The rate, opened up (claim C20, first half)
#
# *The claim, in our words: the ELBO's KL is taken picture by picture; the alternative compares the aggregate of all
# codes with the prior.*
#
# The mixture that training deals with is not of posteriors but of the encoder's answers, over the data: the
# **aggregate** $q(z) = \mathbb{E}_{\text{data}}\, q(z \mid x)$. Put it into the average rate, once above and once below:
#
# $$\underbrace{\mathbb{E}_{\text{data}}\, \mathbb{E}_q \log \frac{q(z \mid x)}{p(z)}}_{\text{rate}}
# \;=\; \underbrace{\mathbb{E}_{\text{data}}\, \mathbb{E}_q \log \frac{q(z \mid x)}{q(z)}}_{I(x; z),\ \text{information}}
# \;+\; \underbrace{\mathbb{E}_{q(z)} \log \frac{q(z)}{p(z)}}_{\mathrm{KL}(q(z),\, p(z)),\ \text{aggregate gap}}.$$
#
# In the last term only $z$ is left, so its average over the data and $q(z \mid x)$ is an average over $q(z)$. The first
# is the mutual information of picture and code. Hoffman and Johnson (2016) called this cut ELBO surgery. A hundred
# worlds of each kind first:

# %%
for name, make in (("discrete", random_tables), ("linear", random_linear)):
    confirm(f"C20.{name}", worst_difference(rate_two_ways(make)))

# %% [markdown]
# Neither part can be negative. A rate of zero therefore silences the code *and* moves the aggregate to the prior; the
# ELBO charges the same price for a nat of either. That is the article's point about the KL of each single picture.
#
# **Predict** for our digits, whose rate you have seen: how much of it is information?

# %% tags=["nbval-ignore-output"]
for name in ("rate", "information", "aggregate_gap"):
    confirm(f"04.digits.{name}", getattr(account, name))

fig, (left, right) = figure(1, 2, width=7.4, height=3.9, gridspec_kw={"width_ratios": [1.5, 1]})
with torch.no_grad():
    q = vae.encode(x_test[:120])
named = []
for mu, deviation, label in zip(q.mu.tolist(), (q.log_var / 2).exp().tolist(), labels[:120].tolist(), strict=True):
    left.add_patch(Ellipse(mu, 2 * deviation[0], 2 * deviation[1], facecolor=SKY, alpha=0.25, edgecolor="none"))
    if all(math.dist(mu, other) > 0.22 for other in named):
        left.text(*mu, str(label), ha="center", va="center", fontsize=8)
        named.append(mu)
for radius in (1, 2):
    left.add_patch(Ellipse((0, 0), 2 * radius, 2 * radius, fill=False, edgecolor=GREY, linestyle=":"))
left.set(xlim=(-3.2, 3.2), ylim=(-3.2, 3.2), aspect="equal", xlabel="z, first number", ylabel="z, second number")
left.set_title("Narrow answers over the prior's range")
right.bar(0, account.rate, color=SKY, width=0.5)
right.bar(1, account.information, color=BLUE, width=0.5)
right.bar(1, account.aggregate_gap, bottom=account.information, color=VERMILION, width=0.5)
right.text(1, account.information / 2, "information", ha="center", color="white", fontsize=9, rotation=90, va="center")
right.text(1, account.rate + 0.06, "aggregate gap", ha="center", fontsize=9)
right.set(xticks=[0, 1], xlim=(-0.5, 1.7), ylim=(0, 1.12 * account.rate), ylabel="nats per image")
right.set_xticklabels(["rate", "its parts"])
right.set_title("Mostly information")
show(
    fig,
    alt="Left: the encoder's answers to 120 test digits as ellipses in the plane of codes, with their labels where there "
    "is room, circles of radius one and two about the origin. The ellipses are small against the cloud, which has holes, "
    "and equal labels often lie together. Right: the rate beside its parts, of which the aggregate gap is a thin slice.",
)

# %% [markdown]
# (A digit is named where the name covers no other.) This is nearly the cloud of the last figure, there made of
# posteriors, here of the encoder's answers, and it is off the prior by about as much. Both are true: the cloud
# covers the prior's range, and it has holes. Beside the information the holes are the thin slice on the right.
#
# With a longer code there is no grid, but the information can be bracketed: draw one $z$ for each picture, and let the
# mixture of all $N$ answers stand for $q(z)$. With the picture's own answer in the mixture the result is too low on
# average, without it too high; the lower one can never exceed $\log N$. The rate has a closed form, and the difference
# is the aggregate gap.

# %% tags=["nbval-ignore-output"]
found = information_of(encode_all(vae, x_test, torch.Generator().manual_seed(0)))
print(found)
print(f"aggregate gap between {found.rate - found.at_most:.2f} and {found.rate - found.lower:.2f} nats\n")
confirm("04.digits.information_lower", found.lower)
confirm("04.digits.information_upper", found.at_most)

# %% [markdown]
# (The bracket is about all digits of their kind. The grid's number is about these 250, and for them alone the lower
# estimate is unbiased.)
#
# ### A slip in the article
#
# The article describes InfoVAE's remedy as bringing the aggregate of the codes near $p(x)$. It must be $p(z)$, as in the
# InfoVAE paper and in the cut above, and the article's own next paragraph says "the prior". So it is a slip of one letter,
# and nothing that the article concludes hangs on it. But what would the sentence ask for, word for word? Take a world
# that is as good as can be: $x \mid z \sim \mathcal{N}(2z, 1)$, the data are the model's own, and the encoder is the
# true posterior. **Predict** the distance of the aggregate to $p(z)$, and to $p(x)$.

# %%
to_prior, to_pictures = erratum()
confirm("C20.erratum.to_prior", to_prior)
confirm("C20.erratum.to_pictures", to_pictures)

# %% [markdown]
# Nothing is left to improve in this world, and matching $p(x)$ would still ask for a change. And that is with one number
# for the picture and one for the code. With 64 pixels and two numbers the comparison has no meaning at all.
#
# ## What it does not ask for
#
# Back to the first question. In $\text{nll} + \text{posterior gap}$ nothing speaks for an informative code, and nothing
# against it. So there should be models with the same ELBO and quite different codes. Here is the simplest case we know.
# A picture is a point $x = (x_1, x_2)$, and the data are $\mathcal{N}(0, S)$, a Gaussian of standard deviations 5 and 1
# along its axes, tilted by 45 degrees:
#
# $$S = \begin{pmatrix} 13 & 12 \\ 12 & 13 \end{pmatrix}.$$
#
# The code is one number, $z \sim \mathcal{N}(0, 1)$, $w$ is a vector of two, and $w'$ its transpose.
#
# - **Independent coordinates given $z$** (a factorised decoder),
#   $x \mid z \sim \mathcal{N}(w z, \mathrm{diag}(d_1, d_2))$. Its $p(x)$ has the covariance
#   $w w' + \mathrm{diag}(d_1, d_2)$, and that is $S$ if $w_1 w_2 = 12$ and $d_i = 13 - w_i^2$. The tilt has to come
#   through $z$, but a whole family of $w$ will do: the more one coordinate takes of the product, the less is left to
#   the other.
# - **A strong decoder**, $x \mid z \sim \mathcal{N}(t\, w z, S - t^2 w w')$, with $w_1 = w_2 = \sqrt{12}$: for every $t$
#   between 0 and 1 it equals the data, and at $t = 0$ the code is not used.
#
# The encoder is the true posterior in each, which is Gaussian, so there is no posterior gap. Nor is there an aggregate
# gap: the data are the model's own, so by C14 the posteriors mix to the prior, and the rate is information to the last
# nat. **Predict** what the plane of rate and distortion looks like: a cloud, a curve, a line?

# %%
tilted = gaussian_pair(math.pi / 4)
families = [
    ("factorised decoder, exact", factor_model, SHARES, BLUE, "o"),
    ("strong decoder, exact", strong_model, TOLD, GREEN, "s"),
]
empty, least = solved(collapsed_model(tilted), tilted), solved(factor_model(tilted, 0.5), tilted).rate
fig, ax = figure(width=6.6, height=3.6)
ax.plot([0, 4], [float(tilted.entropy()), float(tilted.entropy()) - 4], color=FAINT, linewidth=6, zorder=0)
worst = most = 0.0
for name, family, settings, colour, marker in families:
    accounts = [solved(family(tilted, setting), tilted) for setting in settings]
    ax.plot([a.rate for a in accounts], [a.distortion for a in accounts], marker, color=colour, label=name)
    worst = max([worst, *(abs(a.loss - float(tilted.entropy())) for a in accounts)])
    most = max([most, *(a.rate for a in accounts)])
ax.plot(empty.rate, empty.distortion, "X", color=VERMILION, markersize=10, label="factorised decoder, no code")
ax.set(xlabel="rate = information (nats)", ylabel="distortion (nats)", xlim=(-0.1, 3.1))
ax.set_title("One ELBO, any amount of information")
ax.legend()
show(
    fig,
    alt="Distortion against rate. The exact models of both families lie on one straight line of slope minus one: those of "
    f"the strong decoder from rate 0 to {least:.2f} nats, those of the factorised decoder from there on. The factorised "
    "decoder without a code lies above the line.",
)
confirm("04.pair.entropy", float(tilted.entropy()))
confirm("04.pair.worst", round(worst, 9))
confirm("04.pair.most", most)
confirm("04.pair.least", least)
confirm("04.pair.collapsed", empty.loss)
confirm("04.pair.aligned", solved(collapsed_model(gaussian_pair(0.0)), gaussian_pair(0.0)).loss)

# %% [markdown]
# A line: whatever is paid in rate comes back in distortion, nat for nat. All models on it have the same $p(x)$ and the
# same ELBO, at every rate from zero to as much as you like, and training by ELBO has no reason to prefer one to another.
# (Their posteriors are Gaussian, most of them informative, and every gap is zero. Keep that for chapter 05.)
#
# The factorised decoder has to use the code, because without one it leaves the line (the cross). The least that it has
# to say is where the two families meet. Its rate is half the logarithm of $\det S = 25$ over $d_1 d_2$, and
#
# $$d_1 d_2 = (13 - w_1^2)(13 - w_2^2) = 13^2 + 12^2 - 13\,(w_1^2 + w_2^2).$$
#
# Two squares whose product is given have the smallest sum when they are equal. Then $d_1 d_2 = 1$, and the rate is
# $\tfrac12 \log 25 = \log 5$.
#
# Turn the Gaussian until its axes are the coordinates, and there is nothing left to say through $z$: the last number
# printed above is the loss of a factorised decoder without a code on that one, and it is the entropy.
#
# So here is the answer. The ELBO asks for a good $p(x)$, and for an encoder near the true posterior. A code that says
# something is a means to the first, where the decoder cannot do without. It is never an end. What happens when the
# decoder is strong enough *not* to need it is chapter 06; what happens to the argument that a Gaussian encoder could not
# be honest *and* informative is chapter 05, where the article needs a correction.

# %%
ClaimsTable("C13", "C14", "C20")

# %% [markdown]
# ## Questions
#
# 1. In training the ELBO rises by half a nat. Has the model become better?
# <details><summary>Answer</summary>Not necessarily. By the second arrangement the posterior gap may have shrunk while
# p(x) stayed as it was: the encoder became better. An estimate of log p(x), by the importance-weighted bound or by AIS,
# tells the two apart.</details>
#
# 2. A VAE's code has collapsed: q(z|x) is the prior for every picture, and the decoder ignores z. How large is its
#    posterior gap?
# <details><summary>Answer</summary>Zero. If p(x|z) does not depend on z, the true posterior is the prior, and the encoder
# says just that. Its bound on log p(x) is exact. A tight ELBO is no sign of a useful code.</details>
#
# 3. You repeat the surgery with only ten of the digits. The rate is about the same. What happens to information and
#    aggregate gap?
# <details><summary>Answer</summary>For these ten as a data set, information is at most log 10 = 2.30 nats: to know the
# code is at best to know which of the ten it was. The rest of the rate must be aggregate gap, and it is: ten narrow
# Gaussians are no standard normal. Information and aggregate gap belong to a data set, not to an encoder alone.</details>
#
# 4. Why is it p(z), not q(z), that the rate in the loss compares with, although q(z) would charge for information only?
# <details><summary>Answer</summary>By the first arrangement: only with p(z) does the sum bound -log p(x) of the model that
# is sampled from, which draws its codes from p(z). With q(z) in its place the aggregate could drift anywhere for free, and
# codes drawn from the prior would land where no picture ever was.</details>
#
# 5. All log-weights of a picture agree to many digits. What does that say about q?
# <details><summary>Answer</summary>That where q puts its mass it is proportional to the posterior. If it covers all of it,
# then log w = log p(x) and the gap is zero. It may also sit on one of two humps far apart, where the weights agree as well
# and are all too low: in the explorer's world by log 2. No draw from q can tell; AIS that starts at the
# prior can.</details>
#
# ## Where next
#
# The exercise `exercises/04_elbo_two_ways` has you build the posterior, the ELBO, the surgery, the importance-weighted
# bound and the split of the gap, on tables. Chapter 05 asks when Gaussians add up to a Gaussian; chapter 07 comes back to
# C20 and charges for the aggregate gap alone.
#
# ## References
#
# - C. M. Wild (2018), With Great Power Comes Poor Latent Codes: Representation Learning in VAEs (Pt. 2), Towards Data
#   Science, 7 May 2018.
# - D. P. Kingma and M. Welling (2014), Auto-Encoding Variational Bayes, arXiv 1312.6114. Both arrangements.
# - M. D. Hoffman and M. J. Johnson (2016), ELBO surgery: yet another way to carve up the variational evidence lower bound,
#   NIPS 2016 Workshop on Advances in Approximate Bayesian Inference. The rate in two parts.
# - Y. Burda, R. Grosse and R. Salakhutdinov (2016), Importance Weighted Autoencoders, arXiv 1509.00519.
# - R. M. Neal (2001), Annealed Importance Sampling, arXiv physics/9803008.
# - C. Cremer, X. Li and D. Duvenaud (2018), Inference Suboptimality in Variational Autoencoders, arXiv 1801.03558.
# - S. Zhao, J. Song and S. Ermon (2019), InfoVAE: Balancing Learning and Inference in Variational Autoencoders, arXiv
#   1706.02262.
