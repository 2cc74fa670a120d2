# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 05 · When do Gaussians add up to a Gaussian?
#
# The prior of a VAE is a Gaussian. It is also a mixture: of the posteriors of all pictures that the model can draw. And
# we ask the encoder to answer with these posteriors, in the form of Gaussians. Can all three hold at once, without the
# Gaussians being all the same? The article says no, and concludes that a code which costs nothing says nothing. We take
# the argument apart, keep what holds, and put a price on it. (What is added here are densities. Independent Gaussian
# *numbers* always add up to a Gaussian number.)
#
# **You will be able to**
#
# - compute mean, variance, density and characteristic function of a mixture of Gaussians, and its KL to the Gaussian
#   that comes nearest;
# - prove that finitely many Gaussians add up to a Gaussian only if they agree, and build the infinite sum that does;
# - give a model whose posterior is a Gaussian far from the prior, so that a Gaussian encoder can be exact;
# - say which form of the article's argument is a theorem, and how many nats the theorem is worth.
#
# **Minutes**: 75 with the derivations, and 65 more for the exercise.
#
# **Prerequisites**: chapter 04, above all its two ways of writing the ELBO; variance, and complex exponentials.

# %%
import math
from functools import lru_cache

import torch
from matplotlib.patches import Ellipse

from course_lib.data import digits
from course_lib.experiments.chapter_05 import (
    EXAMPLES,
    THREE_IMAGES,
    THREE_WEIGHTS,
    characteristic,
    excess,
    information_among,
    kl_to_matched,
    least_price,
    line,
    ppca_of_digits,
    random_lines,
    same_pictures,
    train_linear_vae,
    world_of_codes,
)
from course_lib.experiments.seeds import SEEDS
from course_lib.figures.style import AMBER, BLUE, FAINT, GREEN, GREY, INK, PURPLE, SKY, VERMILION, figure, show
from course_lib.measurement.ledger import ClaimsTable, confirm
from course_lib.measurement.worlds.linear_gaussian import Gaussian
from course_lib.measurement.worlds.mixtures import (
    infinite_mixture_log_prob,
    quadrature_copies,
    shifted_copies,
    world_of_posteriors,
)
from course_lib.measurement.worlds.quadrature import gaussian_table, grid
from course_lib.widgets import Choice, Explorer, FloatRange, IntRange, Toggle

NORMAL = Gaussian.standard(1)

# %% [markdown]
# ## How near can a sum of Gaussians come to a Gaussian?
#
# A **mixture** draws first a component $k$, with probability $w_k$, and then $x$ from that component's Gaussian:
#
# $$p(x) = \sum_{k=1}^{K} w_k\, N(x; m_k, s_k^2), \qquad w_k > 0, \quad \sum_k w_k = 1.$$
#
# Its mean is $m = \sum_k w_k m_k$. Its variance comes from two sources: $x$ varies within a component, and the
# components differ.
#
# $$\operatorname{Var} x = \underbrace{\sum_k w_k s_k^2}_{\text{mean of the variances}}
# + \underbrace{\sum_k w_k (m_k - m)^2}_{\text{variance of the means}} .$$
#
# (With vectors it is the same law, with covariances in place of variances.) The Gaussian of this mean and this variance
# is called **moment-matched**, and no Gaussian is nearer to $p$. For any Gaussian $g$,
# $\mathrm{KL}(p, g) = -H(p) - \mathbb{E}_p \log g$, where $H$ is the entropy. The last term asks for no more of $p$
# than its first two moments, for $\log g$ is a parabola; and among all $g$ it is best at those very moments. So
#
# > $p$ is a Gaussian if and only if its KL to the moment-matched Gaussian is zero.
#
# That turns the question into a number. Take three mixtures of two components, each of weight 1/2:
#
# - *wide and narrow*: deviations 1/2 and 3/2, both at mean 0;
# - *two apart*: means -1 and 1, both of deviation 1;
# - *a fifth apart*: means -1/10 and 1/10, both of deviation 1.
#
# **Predict**: which is furthest from a Gaussian, and is one of them a Gaussian? (A fourth, of three components that
# agree, goes along as a check.)

# %%
for name, m in EXAMPLES.items():
    matched = m.matched_gaussian()
    print(f"{name:15s}  variance {float(matched.cov):.4f}   KL to the matched Gaussian {kl_to_matched(m):.10f}")
    assert kl_to_matched(m) > 1e-12 or name == "all agree"


# %% [markdown]
# Never zero, unless they agree; and yet the third is so close that no data set of yours would tell. Keep both in mind:
# they are this chapter's two themes.
#
# ### Try it
#
# One component stands at 0 with deviation 1. (That loses nothing: moving or stretching all of them together changes no
# KL.) You place the second, and may give it a mirror image. The picture shows the mixture, its matched Gaussian, and,
# on the right, what parts them. A second number joins in: the **information** $I(k; x)$, how much $x$ tells of the
# component that it came from, in nats.
#
# $$I(k; x) = \sum_k w_k\, \mathrm{KL}\big(N(m_k, s_k^2),\, p\big).$$
#
# **A game**: reach at least 0.3 nats of information with a KL below 0.001. With two components nobody can, as you will
# see further down. With the mirror image it can be done.


# %%
def placed(place, width, weight, mirrored):
    """One component at 0, of deviation 1; a second, or a pair at -place and place that share its weight."""
    if mirrored:
        return line([weight / 2, 1 - weight, weight / 2], [-place, 0, place], [width, 1, width])
    return line([1 - weight, weight], [0, place], [1, width])


def draw_placed(place, width, weight, mirrored):
    """Left: components, mixture, matched Gaussian. Right: mixture less Gaussian."""
    m = placed(place, width, weight, mirrored)
    x = torch.linspace(-10, 10, 500).double()
    p, g = m.log_prob(x[:, None]).exp(), m.matched_gaussian().log_prob(x[:, None]).exp()
    fig, (left, right) = figure(1, 2, width=8.0, height=3.1, fixed=True)
    for w, mean, cov in zip(m.weights, m.means, m.covs, strict=True):
        left.fill_between(x, w * Gaussian(mean, cov).log_prob(x[:, None]).exp(), color=SKY, alpha=0.35, lw=0)
    left.plot(x, p, color=BLUE, label="mixture")
    left.plot(x, g, color=VERMILION, ls="--", label="matched Gaussian")
    left.set(xlabel="x", ylabel="density", ylim=(0, 1.4 * float(p.max())), title=f"KL {kl_to_matched(m):.2g} nats")
    left.legend(loc="upper left", fontsize=8.5)
    right.axhline(0, color=GREY, lw=0.8)
    right.fill_between(x, p - g, color=AMBER, alpha=0.6)
    reach = max(0.02, 1.2 * float((p - g).abs().max()))
    won = ": you win" if kl_to_matched(m) < 0.001 and m.information() >= 0.3 else ""
    right.set(xlabel="x", ylabel="mixture less Gaussian", ylim=(-reach, reach))
    right.set_title(f"I(k;x) {m.information():.2f} nats{won}")
    return fig


def words_placed(place, width, weight, mirrored):
    m = placed(place, width, weight, mirrored)
    return (
        f"A mixture of {len(m.weights)} Gaussians over its moment-matched Gaussian, and the difference of the two: "
        f"KL {kl_to_matched(m):.2g} nats, information {m.information():.2f} nats."
    )


Explorer(
    draw_placed,
    alt=words_placed,
    place=FloatRange(0.0, 6.0, start=2.5, step=0.1),
    width=FloatRange(0.3, 3.0, start=1.0, step=0.1),
    weight=FloatRange(0.05, 0.95, start=0.5, step=0.05),
    mirrored=Toggle(label="with mirror image"),
)

# %% [markdown]
# ## Why finitely many never do
#
# A picture convinces of what it shows, and the third mixture above showed a Gaussian. We need a proof. Densities add
# up in ways that are hard to see through; the **characteristic function** makes it easy,
#
# $$\varphi(t) = \mathbb{E}\, e^{itx} = \sum_k w_k\, e^{i m_k t - s_k^2 t^2 / 2},$$
#
# the Fourier transform of the density, which determines it. For one Gaussian $|\varphi(t)| = e^{-s^2 t^2 / 2}$, so that
# $\log |\varphi|$ drawn against $t^2$ is a straight line of slope $-s^2/2$. **Predict**: what does it look like for a
# mixture, near $t = 0$ and far out?

# %%
t = torch.linspace(0, 7, 1400).double()
fig, axes = figure(1, 2, width=8.0, height=3.4, sharey=True)
cases = [("wide and narrow", "Wide and narrow: the narrow one wins", 0.5), ("two apart", "Two apart: waves", 1.0)]
for ax, (name, title, narrowest) in zip(axes, cases, strict=True):
    m = EXAMPLES[name]
    variance = float(m.matched_gaussian().cov)
    ax.plot(t**2, characteristic(m, t).abs().log(), color=BLUE, label="mixture")
    ax.plot(t**2, -variance * t**2 / 2, color=VERMILION, ls="--", label="matched Gaussian")
    ax.plot(t**2, -(narrowest**2) * t**2 / 2, color=GREY, ls=":", label="slope of the narrowest")
    ax.set(xlabel="t squared", xlim=(0, 40), ylim=(-16, 0.5), title=title)
    ax.legend(loc="lower left" if name == "wide and narrow" else "upper right", fontsize=8.5)
axes[0].set_ylabel("log of |characteristic function|")
show(
    fig,
    alt="Two panels of log |phi| against t squared. The matched Gaussians are straight lines. Each mixture starts "
    "along its matched line and then leaves it: the first for a parallel to the line of its narrowest component, the "
    "second comes back again and again to the line of its components' common width.",
)

# %% [markdown]
# Near 0 the moments decide, and there the mixture and its matched Gaussian agree. Far out the **narrowest** component
# decides, for its term falls most slowly. That is the proof; here it is in full.
#
# **Theorem.** If $p = \sum_k w_k N(m_k, s_k^2)$ with finitely many $k$ is a Gaussian $N(m, s^2)$, then all $m_k = m$
# and all $s_k = s$.
#
# *Proof.* Let $v = \min_k s_k^2$. The law of variance above says
# $s^2 = \sum_k w_k s_k^2 + \sum_k w_k (m_k - m)^2 \ge v$, with equality only if all $s_k^2 = v$ and all $m_k = m$. So
# we have to rule out $s^2 > v$. Multiply both characteristic functions by $e^{v t^2 / 2}$:
#
# $$\sum_{k:\, s_k^2 = v} w_k\, e^{i m_k t} \;+\; \sum_{k:\, s_k^2 > v} w_k\, e^{i m_k t - (s_k^2 - v) t^2 / 2}
# \;=\; e^{i m t - (s^2 - v) t^2 / 2}.$$
#
# Let $t$ grow. The right side goes to 0 if $s^2 > v$, and so does the second sum. Then the first sum, a finite number
# of **waves**, would have to go to 0 as well. It cannot: the mean of its squared modulus over $0 \le t \le T$ tends, as
# $T$ grows, to the sum of the squared weights (of waves with equal $m_k$ one adds the weights first), which is
# positive. So $s^2 = v$. $\square$
#
# For vectors with means $m_k$ and covariances $S_k$, apply it along every direction $a$: the numbers $a \cdot x$ are a
# mixture of $N(a \cdot m_k, a^\top S_k a)$, and Gaussian if $x$ is. So $a \cdot m_k$ and $a^\top S_k a$ do not depend
# on $k$, whatever $a$, and then neither do $m_k$ and $S_k$.
#
# The proof used **finitely** at two places: that there is a narrowest component, and that its waves have weights of
# their own. Remember them.
#
# In $x$ itself it is the **widest** component that decides: far out $p(x)$ falls like $w_k N(x; m_k, s_k^2)$ of the
# largest $s_k$. A proof there is less clean, because the matched Gaussian may be narrower than the widest component (in
# the first example) or wider (in the second).
#
# Now by number. First the slope: $-2 \log|\varphi(t)| / t^2$ is the variance of a Gaussian, and far out it must be the
# narrowest one's. Then the mean square of the waves. Then a thousand random mixtures: two to five components, weights
# uniform among all that sum to 1 (Dirichlet), means from $N(0, 1)$, deviations between 1/2 and 2.

# %%
m, far = EXAMPLES["wide and narrow"], torch.tensor([0.5, 4.0, 16.0, 64.0]).double()
shown = -2 * characteristic(m, far).abs().log() / far**2
print("wide and narrow, -2 log|phi| / t^2 at t = 0.5, 4, 16, 64:", [round(float(v), 4) for v in shown])
print(f"  matched variance {float(m.matched_gaussian().cov):.4f}, narrowest component's {float(m.covs.min()):.4f}")
waves, many = line([0.5, 0.3, 0.2], [-1.0, 0.4, 2.0], [1e-9] * 3), torch.linspace(0, 20_000, 200_001).double()
print(f"mean |waves|^2 up to t = 20,000: {float(characteristic(waves, many).abs().square().mean()):.4f}", end=", ")
print(f"sum of squared weights: {0.5**2 + 0.3**2 + 0.2**2:.4f}")
for name in ("wide and narrow", "two apart"):
    confirm(f"C15.{name.replace(' ', '_')}", kl_to_matched(EXAMPLES[name]))
confirm("C15.a_fifth_apart", 1e9 * kl_to_matched(EXAMPLES["a fifth apart"]))
confirm("C15.least", 1e9 * min(map(kl_to_matched, random_lines(1000, seed=0))))

# %% [markdown]
# ## Infinitely many: an exact Gaussian
#
# Drop "finitely" and the claim falls. Draw $m \sim N(0, 1 - s^2)$, and then $x \sim N(m, s^2)$. So $x$ is a sum of two
# independent Gaussians, $m$ and a noise, and
#
# $$\int N(x; m, s^2)\, N(m; 0, 1 - s^2)\, dm = N(x; 0, 1) \qquad \text{for every } 0 < s < 1.$$
#
# The integral is the proof; the sum over a grid, further down, only catches a slip.
#
# Every component is narrower than the whole, and no two agree. Where does the proof give way? There is a narrowest
# width, they all have it; but no wave has a weight of its own. A continuum of waves does die down:
# $\mathbb{E}\, e^{imt} = e^{-(1 - s^2) t^2 / 2}$.
#
# ### From few to many
#
# A finite mixture cannot arrive, but it can approach. Two ways to choose $K$ copies of $N(m_k, s^2)$:
#
# - **equal weights**, with $m_k$ at the quantiles of $N(0, 1 - s^2)$;
# - **Gauss-Hermite** (Golub and Welsch, 1969): places and weights chosen so that the first $2K - 1$ moments are exactly
#   those of $N(0, 1)$. With $K = 3$ skewness and kurtosis are a Gaussian's; so no test by moments up to the fourth can
#   replace the proof.
#
# **Predict**: with $s = 0.6$, how many components does each need for a KL to $N(0, 1)$ below 0.001? Then move the
# sliders; a narrower $s$ makes the pieces more distinct, so that they tell more.

# %%
PLACED = {"Gauss-Hermite": quadrature_copies, "equal weights": shifted_copies}
COLOURS, COUNTS = {"Gauss-Hermite": GREEN, "equal weights": PURPLE}, range(1, 17)


@lru_cache
def approach(rule, s):
    """KL to N(0, 1) of 1 to 16 copies; below 1e-12 the sum's own rounding shows, so the curve stops there."""
    kls = [float(PLACED[rule](s, count).kl_to(NORMAL)) for count in COUNTS]
    return [kl if kl > 1e-12 else math.nan for kl in kls]


def draw_copies(count, s, rule):
    """Left: the copies and their sum over N(0, 1). Right: KL against their number."""
    m, x = PLACED[rule](s, count), torch.linspace(-4, 4, 400).double()
    fig, (left, right) = figure(1, 2, width=8.0, height=3.1, fixed=True)
    for w, mean, cov in zip(m.weights, m.means, m.covs, strict=True):
        left.plot(x, w * Gaussian(mean, cov).log_prob(x[:, None]).exp(), color=SKY, lw=1)
    left.plot(x, m.log_prob(x[:, None]).exp(), color=BLUE, label="their sum")
    left.plot(x, NORMAL.log_prob(x[:, None]).exp(), color=VERMILION, ls="--", label="N(0, 1)")
    left.set(xlabel="x", ylabel="density", ylim=(0, 0.75), title=f"I(k;x) {m.information():.3f} nats")
    left.legend(loc="upper left", fontsize=8.5)
    for name in PLACED:
        right.semilogy(COUNTS, approach(name, s), "o-", ms=3, lw=1.2, color=COLOURS[name], label=name)
    right.plot(count, approach(rule, s)[count - 1], "o", ms=9, mfc="none", mec=INK)
    right.set(xlabel="number of components", ylabel="KL to N(0, 1) (nats)", ylim=(1e-13, 3), xticks=range(2, 17, 2))
    kl = float(m.kl_to(NORMAL))
    right.set_title(f"KL {kl:.1e} nats" if kl > 1e-12 else "KL below 1e-12 nats, and not 0")
    right.legend(loc="lower left", fontsize=8.5)
    return fig


def words_copies(count, s, rule):
    return (
        f"{count} Gaussians of deviation {s:g}, placed by {rule}, their sum and N(0, 1), beside the KL against the "
        "number of components: it falls steadily for equal weights, and exponentially for Gauss-Hermite."
    )


Explorer(
    draw_copies,
    alt=words_copies,
    count=IntRange(1, 16, start=3, label="components"),
    s=FloatRange(0.3, 0.9, start=0.6, step=0.1, label="deviation s"),
    rule=Choice(list(PLACED), label="placed by"),
)

# %% [markdown]
# Equal weights crawl. Gauss-Hermite runs: with $s$ near 1 the KL is $(1 - s^2)^{2K} / \big(2 \binom{2K}{K}\big)$, so
# that the component after the $K$-th divides it by $\frac{4K + 2}{K + 1} / (1 - s^2)^2$. At $s = 0.97$ that is
# hundreds; narrower components gain less, as the factors below show. **The theorem says "never zero". It does not say
# "never small".**

# %%
x = torch.linspace(-6, 6, 241).double()
errors = [infinite_mixture_log_prob(x, s) - NORMAL.log_prob(x[:, None]) for s in (0.1, 0.5, 0.9)]
confirm("C15.infinite", round(float(torch.stack(errors).abs().max()), 9))
for name, copies in PLACED.items():
    enough = next(count for count in range(1, 100) if copies(0.6, count).kl_to(NORMAL) < 0.001)
    print(f"s = 0.6, {name}: {enough} components for a KL below 0.001")
for count in (2, 8, 32):
    confirm(f"C15.copies{count:02d}", float(shifted_copies(0.6, count).kl_to(NORMAL)))
for s in (0.6, 0.8, 0.97):
    two, three = (float(quadrature_copies(s, count).kl_to(NORMAL)) for count in (2, 3))
    formula = 10 / 3 / (1 - s**2) ** 2
    print(f"s = {s}: the third by Gauss-Hermite divides the KL by {two / three:.1f} (formula: {formula:.1f})")

# %% [markdown]
# ## The article's argument, step by step
#
# In the notation of chapter 04, with the model $p(z)\,p(x \mid z)$, the encoder $q(z \mid x)$, and a Gaussian prior:
#
# 1. The ELBO falls short of $\log p(x)$ by the **gap** $\mathrm{KL}(q(z \mid x), p(z \mid x))$.
# 2. The prior is the mixture of the posteriors, $p(z) = \sum_x p(x)\, p(z \mid x)$.
# 3. Gaussians add up to a Gaussian only if all agree.
# 4. So if the gap is zero, then either $q(z \mid x)$ is not Gaussian, or it is $p(z)$ whatever $x$.
# 5. So a model makes $z$ informative only if it cannot model $p(x)$ without.
#
# Steps 1 and 2 are right, and to look for the cause there was the article's good idea. Step 3 holds for finitely many,
# as you now know. Step 5 waits for the end of the chapter. So look at step 4 again. **Predict**: which two assumptions
# must be added before it follows?
#
# <details><summary>After you have written them down</summary>The sum in step 2 runs over all x that the <i>model</i>
# can draw, with the model's own p(x). So (A) there must be finitely many of them, and (B) q must match the posterior at
# every one of them, not only at the data.</details>
#
# Next: a counterexample without the first assumption, the theorem with both, a counterexample without the second.
#
# ### Counterexample 1 drops "finitely many x": probabilistic PCA
#
# Let $x$ be a vector of real numbers, $z \sim N(0, I)$ and $x \mid z \sim N(Wz + b, \sigma^2 I)$: a linear VAE's
# decoder, known as probabilistic PCA (Tipping and Bishop, 1999). Then $(z, x)$ is jointly Gaussian, hence so is the
# posterior:
#
# $$p(z \mid x) = N\big(M^{-1} W^\top (x - b),\; \sigma^2 M^{-1}\big), \qquad M = W^\top W + \sigma^2 I.$$
#
# *Derivation*: as a function of $z$, $\log p(z) + \log p(x \mid z)$ is
# $-\tfrac12 z^\top z - \tfrac{1}{2\sigma^2} |x - b - Wz|^2$, a parabola. Its second derivative is $-M/\sigma^2$, and it
# peaks where $Mz = W^\top(x - b)$.
#
# A linear encoder can be exactly that. We fit the model to real digits in closed form, grey ones, with six numbers in
# $z$. (The account below averages over $x$ from the Gaussian with the digits' mean and covariance, for which all its
# terms have closed forms; the gaps are those of test digits.) **Predict**: how much will the gap be, and will $z$ say
# anything?

# %%
found = ppca_of_digits()
posterior = found.world.posterior()
account = found.world.account(posterior, found.data)
gaps = found.world.marginal().log_prob(found.test) - found.world.elbo(posterior, found.test)
print(f"log p(x) - ELBO, largest of {len(found.test)} test digits: below 1e-9 nats: {bool(gaps.abs().max() < 1e-9)}")
confirm("C16.ppca.information", account.information)
print(
    "standard deviations of p(z|x), where the prior has 1:", [round(float(v), 3) for v in posterior.cov.diag().sqrt()]
)

# %%
labels = digits().test.labels
means = found.test @ posterior.A.T + posterior.b
widths = 2 * posterior.cov.diag().sqrt()
fig, (left, right) = figure(1, 2, width=8.0, height=3.9, width_ratios=[1.25, 1])
for digit, colour in ((0, BLUE), (1, VERMILION), (4, GREEN), (6, PURPLE)):
    for at in means[labels == digit]:
        left.add_patch(Ellipse(at[:2], widths[0], widths[1], fc=colour, ec="none", alpha=0.35))
    left.plot([], [], "o", color=colour, alpha=0.6, label=str(digit))
left.add_patch(Ellipse((0, 0), 2, 2, fill=False, ec=INK, ls="--"))
left.text(-0.75, 0.75, "prior", ha="right", va="bottom")
left.set(xlim=(-2.6, 2.9), ylim=(-2.6, 2.6), aspect="equal", xlabel="first number of z", ylabel="second number of z")
left.set_title("Posteriors far narrower than the prior")
left.legend(title="posterior of a", fontsize=8.5, loc="upper right")
shares = torch.linspace(0, 1, 11)
told, losses = [], []
for share in shares:
    world = same_pictures(found.world, float(share))
    own = world.account(world.posterior(), world.marginal())
    told.append(own.information)
    losses.append(own.loss)
right.plot(told, losses, color=BLUE)
right.set(xlabel="I(x;z) (nats per image)", ylabel="-ELBO (nats per image)", ylim=(losses[0] - 1, losses[0] + 1))
right.set_title("Silent or full, one ELBO")
show(
    fig,
    alt="Left: the plane of the first two numbers of z. Small discs, one for each test digit of the classes 0, 1, 4 "
    "and 6, lie in clusters by class; the prior's dashed circle of one standard deviation is several times as wide. "
    "Right: for models of one p(x), the negative ELBO against the information in the code is a horizontal line.",
)
assert max(losses) - min(losses) < 1e-9

# %% [markdown]
# Left, each disc is one test digit's posterior, drawn at one standard deviation, and the dashed ring is the prior,
# drawn likewise. A Gaussian posterior that moves with $x$, informative, and no gap at all. That contradicts step 3 as
# it is worded, but not the theorem, which speaks of finitely many: in each number of $z$ the posterior is $N(m, s^2)$,
# and over the model's $x$ its mean is distributed as $N(0, 1 - s^2)$. It is the infinite mixture, met in the wild. In
# vectors, if $x$ has covariance $S$, and $q(z \mid x) = N(Vx + c, D)$, then by the law of variance
#
# $$\operatorname{Cov} q(z) = \underbrace{D}_{\text{within}} + \underbrace{V S V^\top}_{\text{between}},$$
#
# and for the model's own $S = WW^\top + \sigma^2 I$ that is $I$. Does the ELBO then at least prefer a silent code? The
# right panel says no. It goes through one family of models with one and the same $p(x)$: $W$ shrinks to nothing, and
# the noise takes over what it gave up. Each has its exact Gaussian posterior as encoder. The ELBO does not move. (It
# bounds a log density here, so its sign says nothing.)
#
# **How much does $z$ say of the digits?** The information above is more than the logarithm of the number of training
# digits, and that would tell them all apart. No error: it is that of $x$ from the Gaussian with the digits' mean and
# covariance, which takes infinitely many values. Among the digits themselves it must be less. And the mixture over
# them? At the likeliest $W$ its covariance is $I$ again; but they are finitely many, so by the theorem it cannot be
# $N(0, I)$. **Predict**: does that spoil the zero gap?

# %%
print(f"x from the Gaussian with the digits' mean and covariance:\n{account}\n".replace("-0.0000", "0.0000"))
draws = [information_among(posterior, found.train, torch.Generator().manual_seed(seed)) for seed in SEEDS]
among = sum(draw.lower for draw in draws) / len(draws)
confirm("C16.ppca.digits", among)
print(f"  of at most log {len(found.train)} = {draws[0].ceiling:.4f} nats; rate {draws[0].rate:.4f}", end=", ")
print(f"so the aggregate gap of all six numbers is {draws[0].rate - among:.2f} nats")
V, S = posterior.A, found.data.cov
off = (posterior.cov + V @ S @ V.T - torch.eye(len(V)).to(V)).abs().max()
print(f"  covariance of q(z) over the training digits: off I by less than 1e-12: {bool(off < 1e-12)}")
places, s = (found.train @ V.T + posterior.b)[:, 0], float(posterior.cov[0, 0].sqrt())
first = line([1 / len(places)] * len(places), places.tolist(), [s] * len(places))
print(f"  aggregate gap of the first number alone: {float(first.kl_to(NORMAL)):.4f} nats")

# %% [markdown]
# It does not. The posterior at $x$ is a matter of the model; which $x$ the data hold does not enter. And both aggregate
# gaps are right. With $x$ from the Gaussian, $q(z)$ is a Gaussian, of covariance $I$: it is the prior. With the digits
# in its place, $q(z)$ has the same mean and covariance, and a shape of its own. Rate, distortion and gap ask of $x$ no
# more than mean and covariance, so they agree for both; but the rate divides otherwise into information and aggregate
# gap. The data are not what the model would have drawn, so their mixture need not be the prior (chapter 04).
#
# Closed forms are one thing. Does **training** find it? Here is a linear VAE with random weights, a *diagonal* Gaussian
# encoder, and 500 gradient steps on the ELBO, whose expectation over $z$ is taken in closed form: no noise is sampled.
# (Lucas et al., 2019, show that this ELBO has no local maxima that the likelihood does not have.) The posterior of a
# linear model has a full covariance, in general. **Predict**: can a diagonal encoder close the gap all the same? And
# what will the information be?

# %% tags=["nbval-ignore-output"]
trained, _, accounts = train_linear_vae(found.train, seed=0)
confirm("C16.trained.gap", accounts[-1].posterior_gap)
confirm("C16.trained.information", accounts[-1].information)
precision = trained.posterior().cov.detach().inverse()
floor = float(precision.diag().log().sum() - precision.logdet()) / 2
print(f"the least gap that any diagonal Gaussian leaves at this decoder: {floor:.4f} nats")

# %% tags=["nbval-ignore-output"]
steps = range(0, 10 * len(accounts), 10)
fig, (left, right) = figure(1, 2, width=8.0, height=2.9)
left.plot(steps, [a.information for a in accounts], color=BLUE)
left.axhline(account.information, color=GREY, ls="--", label="pPCA, in closed form")
left.set(xlabel="training step", ylabel="I(x;z) (nats per image)", title="The code learns to speak")
left.legend(loc="lower right")
right.semilogy(steps, [a.posterior_gap for a in accounts], color=VERMILION)
right.set(xlabel="training step", ylabel="gap (nats per image)", title="Meanwhile the gap closes")
show(
    fig,
    alt="Two panels against training step. The information rises to the level of the closed form and stays there; the "
    "gap, on a logarithmic axis, falls by more than two orders of magnitude, with jitter on the way.",
)

# %% [markdown]
# The gap is not zero, but on its way there. A turn of $z$, $W \to WR$ with $R$ orthogonal, changes no $p(x)$, and among
# all turns there is one that makes $W$'s columns orthogonal. There $M$ is diagonal, hence so is the posterior, and a
# diagonal encoder can be exact. The likelihood does not mind the turn; the gap does, so the ELBO asks for it. Training
# learns it last: with this decoder not quite turned, even the best diagonal Gaussian leaves the last number printed
# above. The rest is the encoder's lag behind its decoder; and the curve jitters because the size of Adam's steps is
# never lowered.
#
# ### The theorem, with both assumptions
#
# Black and white pictures of 64 pixels are many, but finitely many. Suppose the **model's** $x$ takes finitely many
# values, the prior is Gaussian, and a Gaussian $q(z \mid x)$ equals the posterior at **every** $x$ with $p(x) > 0$.
# Then step 2 reads
#
# $$p(z) = \sum_x p(x)\, q(z \mid x),$$
#
# a finite mixture of Gaussians that is a Gaussian. By the theorem all $q(z \mid x)$ are the same; so they are $p(z)$.
# Then $z$ and $x$ are independent. The article's conclusion stands, under these two assumptions.
#
# How strictly? Take data from the model itself, so that $p(x)$ is the model's own, and any Gaussian $q$. For two joint
# distributions the KL is at least that between their marginals, so the average gap obeys
#
# $$\mathbb{E}\, \mathrm{KL}(q(z \mid x), p(z \mid x)) = \mathrm{KL}\big(p(x)\, q(z \mid x),\; p(z)\, p(x \mid z)\big)
# \;\ge\; \mathrm{KL}(q(z), p(z)), \qquad q(z) = \sum_x p(x)\, q(z \mid x).$$
#
# The right side is the KL of a finite mixture to the prior. So let us look for the **least price** of an informative
# code $z$ of one number: over all weights, places and widths of $K$ Gaussians that tell a given $I(x; z)$, the least KL
# to $N(0, 1)$, by numerical optimisation. (More numbers make it no dearer: those not needed may stay silent.)
# **Predict**: how does it change with the information, and with $K$?

# %%
wanted = {2: [0.05, 0.1, 0.2, 0.35, 0.5, 0.6], 3: [0.2, 0.35, 0.5, 0.7], 4: [0.3, 0.5, 0.7]}
priced = {count: [least_price(count, nats)[0] for nats in values] for count, values in wanted.items()}
for count in wanted:
    confirm(f"C16.finite{count}", priced[count][wanted[count].index(0.5)])
assert min(min(prices) for prices in priced.values()) > 1e-7

# %%
fig, ax = figure(width=8.0, height=3.7)
for count, marker, colour in ((2, "o", BLUE), (3, "s", VERMILION), (4, "^", GREEN)):
    ax.semilogy(wanted[count], priced[count], marker + "-", ms=5, color=colour, label=f"{count} pictures, least found")
for count, style in ((8, "--"), (16, ":")):
    ways = [quadrature_copies(s, count) for s in torch.linspace(0.9, 0.42, 25).tolist()]
    kls = [float(m.kl_to(NORMAL)) for m in ways]
    kept = [i for i, kl in enumerate(kls) if kl > 1e-12]
    told = [float(ways[i].information()) for i in kept]
    ax.semilogy(told, [kls[i] for i in kept], style, color=GREY, label=f"{count}, by Gauss-Hermite")
little = torch.linspace(0.01, 0.25, 50)
ax.semilogy(little, 4 / 3 * little**4, color=FAINT, lw=6, zorder=0, label=r"$\frac{4}{3} I^4$, for 2 pictures")
ax.set(xlabel="information I(x;z) (nats per picture)", ylabel="KL(q(z), p(z)) (nats)", ylim=(1e-12, 1), xlim=(0, 0.9))
ax.set_title("Never free, soon cheap: the price of a code of one number")
ax.legend(fontsize=8.5, loc="center left", bbox_to_anchor=(1, 0.5))
show(
    fig,
    alt="Price in nats, on a logarithmic axis from 1e-12 to 1, against information. Curves for 2, 3 and 4 pictures "
    "rise with the information; each further picture lowers the curve several times over, most where the code tells "
    "least. The curves for 8 and 16 pictures, placed by Gauss-Hermite, lie lower still. All are positive.",
)

# %% [markdown]
# Positive throughout, and vanishing only as the information does. For two pictures and little information $I$ it is
# about $\tfrac43 I^4$: the code that pays it has mean 0 and variance 1 and is symmetric, so that it first parts from
# $N(0,1)$ in its fourth moment.
#
# ### Counterexample 2 drops "at every x": matching on the data alone
#
# In training, the gap is measured on the data, and a model draws much that the data never show. (A model of binary
# 8 x 8 digits has $2^{64}$ pictures to give probability to, the data hold a thousand or two.) Does a zero gap **on the
# data** force anything? Choose three pictures, of weights $w_k$ in the data, and any three Gaussians
# $q(z \mid 1), q(z \mid 2), q(z \mid 3)$, narrower than the prior. Define the decoder by
#
# $$p(x = k \mid z) = c\, \frac{w_k\, q(z \mid k)}{p(z)}, \qquad
# p(\text{anything else} \mid z) = 1 - \sum_k p(k \mid z),$$
#
# with $c$ small enough that nothing is negative. Bayes gives
# $p(z \mid k) \propto p(z)\, p(k \mid z) \propto q(z \mid k)$: the posterior at each of the three **is** the Gaussian
# we chose. It costs nothing in the gap, and $z$ tells which picture it was. The three are no Gaussian together.
# **Predict**: how then can the prior be one?

# %%
z, seen = grid(), torch.cat([THREE_WEIGHTS, torch.zeros(1).double()])
partial = world_of_posteriors(THREE_IMAGES, THREE_WEIGHTS, z)
q_seen = partial.log_posterior().exp()
assert torch.allclose(q_seen[:3], gaussian_table(THREE_IMAGES, z), atol=1e-12)
on_data = partial.account(q_seen, seen)
confirm("C16.data.gap", abs(round(on_data.posterior_gap, 9)))
confirm("C16.data.information", on_data.information)
print(f"the three pictures have {float(partial.log_prob().exp()[:3].sum()):.4f} of the model's probability")

fig, ax = figure(width=7.0, height=3.2)
joint = partial.log_joint().exp() / (z[1] - z[0])
names = ["picture 1", "picture 2", "picture 3", "all that the data never show"]
ax.stackplot(z, joint, labels=names, colors=[BLUE, VERMILION, GREEN, FAINT], alpha=0.85)
ax.plot(z, joint.sum(0), color=INK, label="prior p(z)")
ax.set(xlim=(-4, 4), xlabel="z", ylabel="p(x) p(z|x)", title="The unseen pictures fill up the rest of the prior")
ax.legend(fontsize=8.5, loc="upper left")
show(
    fig,
    alt="The prior's bell curve, filled from below by three narrow Gaussians of different places, the shares of the "
    "three pictures, and above them by an irregular rest, the share of all else, which reaches exactly to the bell.",
)

# %% [markdown]
# The three make up about half of the prior, and what the data never show fills up the rest: its posterior has dents
# where the three have bumps, and no Gaussian would fit it. But the encoder is never asked about it.
#
# ## What survives, exactly
#
# Zero gap, an informative Gaussian, three pictures: and yet something was paid. About half of the model's probability
# went to pictures that are not in the data, so $\log p(x)$ suffered. That suggests looking not at the gap alone but at
# the whole ELBO. Let $x$ be discrete, as black and white pictures are, so that $p(x \mid z)$ is a probability and not a
# density. From chapter 04, rate = $I(x; z) + \mathrm{KL}(q(z), p(z))$ (Hoffman and Johnson, 2016). The distortion
# splits likewise. Let $q(x \mid z) \propto p_{\text{data}}(x)\, q(z \mid x)$ be what $z$ tells of $x$, by Bayes' rule,
# if the encoder made $z$ from the data. Then
#
# $$-\mathbb{E}_q \log p(x \mid z) = \underbrace{H(x) - I(x; z)}_{= H(x \mid z)}
# + \mathbb{E}_{q(z)} \mathrm{KL}(q(x \mid z), p(x \mid z)).$$
#
# Add the two. The information drops out:
#
# $$-\text{ELBO} - H(x) \;=\; \underbrace{\mathrm{KL}(q(z), p(z))}_{\text{the aggregate misses the prior}}
# + \underbrace{\mathbb{E}\,\mathrm{KL}(q(x \mid z), p(x \mid z))}_{\text{the decoder misses } q(x \mid z)}
# \;=\; \underbrace{\mathbb{E}\,\mathrm{KL}(q(z \mid x), p(z \mid x))}_{\text{gap}}
# + \underbrace{\mathrm{KL}(p_{\text{data}}(x), p(x))}_{\text{misfit}} .$$
#
# One **excess** over the entropy of the data, split in two ways, and all four terms are KLs: none is below 0. The
# article argues about the gap; the theorem is about the first term of the other split. Look at both splits for the last
# world, and for two that have a picture for each code and the decoder $p(x \mid z) = q(x \mid z)$, so that it misses
# nothing: two pictures at their least price, and sixteen by Gauss-Hermite. (pPCA, in the last row, has densities in
# place of probabilities. With data from its own $p(x)$ both splits hold as they stand.)


# %%
def row(name, told, terms):
    """One line of the table; what rounding leaves of a zero is printed as 0."""
    numbers = "".join(f"{v:10.1e}" if abs(v) > 1e-11 else f"{0:10d}" for v in terms)
    print(f"{name:35s}{told:7.4f}{numbers}")


codes, bit = least_price(2, 0.5)[1], quadrature_copies(0.5, 16)
worlds = {
    "three pictures, match on the data": (partial, q_seen, seen),
    "two pictures, least price": (*world_of_codes(codes, z), codes.weights),
    "16 codes, one bit": (*world_of_codes(bit, z), bit.weights),
}
splits = {name: excess(*world) for name, world in worlds.items()}
print(f"{'':35s}{'I(x;z)':>7s}" + "".join(f"{term:>10s}" for term in splits["16 codes, one bit"]))
for name, (model, *q_and_data) in worlds.items():
    aggregate, missed, gap, misfit, above = splits[name].values()
    row(name, model.account(*q_and_data).information, splits[name].values())
    assert abs(aggregate + missed - above) < 1e-9 and abs(gap + misfit - above) < 1e-9
own_x = found.world.marginal()
own, entropy, q_x_given_z = found.world.account(posterior, own_x), float(own_x.entropy()), posterior.reverse(own_x)
missed = float(q_x_given_z.mean_kl(found.world.decoder, posterior.output(own_x)))
zeros = [own.aggregate_gap, missed, own.posterior_gap, own.nll - entropy, own.loss - entropy]
row("pPCA on its own x", own.information, zeros)
assert max(map(abs, zeros)) < 1e-11
confirm("C16.finite2.gap", splits["two pictures, least price"]["gap"])
confirm("C16.data.excess", splits["three pictures, match on the data"]["excess"])
confirm("C16.bit16", 1e9 * float(bit.kl_to(NORMAL)))
entropy = math.log(len(found.train.unique(dim=0)))  # no digit comes twice
print(f"pPCA on the training digits: -ELBO {account.loss:.4f}, and their entropy H(x) {entropy:.4f}")
assert account.loss < entropy and len(found.train.unique(dim=0)) == len(found.train)

# %% [markdown]
# So this is what survives of the argument.
#
# > **If $x$ is discrete, the data take finitely many values, and prior and encoder are Gaussian, then**
# > $-\text{ELBO} \ge H(x) + \mathrm{KL}(q(z), p(z))$, **and the last term is zero only if** $q(z \mid x) = p(z)$
# > **for all data.** A code that speaks keeps $-\text{ELBO}$ above $H(x)$, the least it can be, whatever the decoder. A
# > silent code reaches $H(x)$ if the decoder can model the data without $z$. Then every optimum of the ELBO is silent.
#
# It asks nothing of the pictures that the data do not show, so the match on the data is no exception: it has no gap,
# and pays in misfit. Its last two sentences are what holds of the article's step 5. "Discrete" is needed. A density may
# exceed 1, so with one on finitely many data the decoder's term is no KL, and $-\text{ELBO}$ can lie below $H(x)$.
# pPCA's does, on the training digits: the last line above.
#
# | | what it drops | and what follows |
# |---|---|---|
# | Counterexample 1, pPCA | (A) finitely many $x$ | a code that tells much, and an exact Gaussian $q$ |
# | Counterexample 2, the data alone | (B) $q$ exact at *every* $x$ | no gap, a code that tells; the misfit pays |
# | The theorem | neither | $q(z \mid x) = p(z)$ for all $x$ |
#
# And this is what does **not** survive: that the price as such drives codes to silence. It is the KL of a mixture to a
# Gaussian, and a mixture of a few well-placed Gaussians is next to free. Sixteen codes tell one bit, and pay the number
# in billionths of a nat above. The information itself costs nothing: it dropped out. So where strong decoders go quiet
# in practice, look first at the other terms: what the decoder misses of $q(x \mid z)$, what the encoder misses of the
# posterior, and which of them training mends first. Chapter 06 puts strong decoders to the test.

# %%
ClaimsTable("C15", "C16")

# %% [markdown]
# ## Questions
#
# 1. A colleague finds skewness 0 and kurtosis 3 for a mixture of three Gaussians, to all digits, and concludes that it
#    is a Gaussian. What do you answer?
# <details><summary>Answer</summary>Matching moments up to the fourth is possible for three components that differ
# (Gauss-Hermite matches five). By the theorem they make no Gaussian, and the KL tells. Of moments, only all
# together decide.</details>
#
# 2. "Infinitely many": must it be a continuum, or can countably many different Gaussians add up to one?
# <details><summary>Answer</summary>They can. The proof needs a narrowest component; do without. Lay a row of finitely
# many Gaussians under the bell, so narrow and so close that over a long middle stretch their sum follows 3/5 of the
# bell; outside it falls faster than the bell. A rest is left, positive everywhere and as smooth. Do the same to the
# rest, with Gaussians narrower still, over a longer stretch; and so on. Each round takes more than half of what is
# left, so the rest goes to 0, and the sum of all rows is the bell. (A test of this chapter lays the first three.) If a
# narrowest width exists and some component has it, the proof goes through for countably many as well.</details>
#
# 3. The encoder's Gaussians have the identity as their average covariance, and different means. Can the aggregate be
#    the prior N(0, I)?
# <details><summary>Answer</summary>No, not even for infinitely many. Its covariance is the mean of the covariances plus
# the covariance of the means, which is more than I. Whoever wants means apart must pay with width.</details>
#
# 4. You train a VAE with a full-covariance Gaussian encoder on binary images and find a gap of 0.000 nats on the
#    training data, and 5 nats of information. A bug?
# <details><summary>Answer</summary>Not for this reason. The gap on the data may be zero while the model gives
# probability to other images; the second counterexample does that. It would be impossible only if the gap were zero at
# every image that the model can draw.</details>
#
# 5. With a prior that is itself a mixture of Gaussians, what becomes of the theorem?
# <details><summary>Answer</summary>It falls: with the components of the prior as the encoder's Gaussians, and as many
# pictures whose probabilities are the prior's weights, the aggregate is the prior and the code speaks, free of charge.
# Learned priors such as VampPrior (Tomczak and Welling, 2018) go that way.</details>
#
# ## Where next
#
# The exercise `exercises/05_gaussian_mixtures` lets you write the moments, the density, the KL, the characteristic
# function and pPCA's posterior yourself, and answers at once. Chapter 06 makes decoders strong.
#
# ## References
#
# - C. M. Wild (2018), With Great Power Comes Poor Latent Codes: Representation Learning in VAEs (Pt. 2), Towards Data
#   Science, 7 May 2018. The article this course follows.
# - M. E. Tipping and C. M. Bishop (1999), Probabilistic Principal Component Analysis, J. R. Statist. Soc. B 61(3).
# - J. Lucas, G. Tucker, R. Grosse and M. Norouzi (2019), Don't Blame the ELBO! A Linear VAE Perspective on Posterior
#   Collapse, arXiv 1911.02469.
# - M. D. Hoffman and M. J. Johnson (2016), ELBO surgery: yet another way to carve up the variational evidence lower
#   bound, NIPS workshop on Advances in Approximate Bayesian Inference.
# - J. M. Tomczak and M. Welling (2018), VAE with a VampPrior, arXiv 1705.07120.
# - G. H. Golub and J. H. Welsch (1969), Calculation of Gauss Quadrature Rules, Mathematics of Computation 23(106).
