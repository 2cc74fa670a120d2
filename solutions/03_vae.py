# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Exercise 03: what a code is, and what it costs
#
# Chapter 03 (`chapters/03_vae`) trained an encoder and a decoder together. Here you write every term of what they
# train on, and at the end your own terms train a VAE on handwritten digits: once well, and then with two slips that are
# easily made and hard to see.
#
# **After it you can**
#
# - draw a code so that gradients pass through the draw, and say what the alternative costs;
# - compute what a code costs, in closed form and by sampling, in nats per image;
# - write the distortion of a Gaussian decoder with all its constants;
# - read any program's loss and say which beta it really trains with.
#
# Six tasks, 12 points, 65 minutes. You need chapter 03 and a little torch: broadcasting, `sum(dim=...)`.
#
# **How it works.** Each task is a function with a contract. Replace the line that raises `NotImplementedError`, run the
# cell, run the `check` below it: it answers at once, and when something is off it shows the smallest case that fails.
# Below the check, folded, is the answer to the question that comes before it.
# Stuck? `hint("03.kl_to_prior")` in a new cell opens one hint at a time: a nudge, a formula, a skeleton.
#
# Throughout, the encoder answers an image with the mean $\mu$ and the **logarithm of the variance**, `log_var`
# $= \log \sigma^2$, of a Gaussian $q(z|x) = \mathcal N(\mu, \mathrm{diag}(\sigma^2))$; the prior is
# $p(z) = \mathcal N(0, I)$.

# %% [markdown] tags=["solution-only"]
# *This is the solution. It is worth more after an honest try at `exercises/03_vae`. Each answer is one of many that are
# right.*

# %%
import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from course_lib.data import digits
from course_lib.grading import check, hint, when_solved

# %% [markdown]
# ## 1. A sample that gradients can pass through
#
# Difficulty 1 of 5 · 1 point · 5 minutes
#
# A sampler is a dead end: no gradient passes through a throw of dice. But a Gaussian sample is a plain function of its
# mean and its standard deviation, once the dice are thrown elsewhere (Kingma and Welling, 2014, arXiv 1312.6114). The
# noise comes in as an argument.
#
# **Before you write:** what is $\sigma$ where `log_var` is 0? And where it is $-2$?


# %% nbgrader={"grade": false, "grade_id": "03-reparameterise", "locked": false, "schema_version": 3, "solution": true, "task": false}
def reparameterise(
    mu: Float[Tensor, "batch code"], log_var: Float[Tensor, "batch code"], eps: Float[Tensor, "batch code"]
) -> Float[Tensor, "batch code"]:
    """z = mu + sigma * eps, where log_var = log(sigma^2).

    If eps ~ N(0, I), then z ~ N(mu, diag(sigma^2)). Differentiable in mu and log_var; the check follows the gradient.
    No other noise than eps enters. The arguments are left as they are.
    """
    ### BEGIN SOLUTION
    return mu + torch.exp(log_var / 2) * eps
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "03-reparameterise-check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
check("03.reparameterise", reparameterise)
### BEGIN HIDDEN TESTS
check("03.reparameterise", reparameterise, strict=True)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>What sigma is</summary>
#
# 1, and $e^{-1} \approx 0.37$. The network may answer with any real number, and the variance is positive all the same:
# that is why it is asked for the logarithm.
#
# </details>

# %% [markdown]
# ## 2. The gradient that asks only for f(z)
#
# Difficulty 3 of 5 · 3 points · 15 minutes
#
# There is another way to learn from dice. We want the gradient of $\mathbb E_{q} f(z)$, and suppose $f$ has none of its
# own: it is a cost that a black box charges for $z$. With $\nabla q = q \, \nabla \log q$,
#
# $$\nabla \, \mathbb E_q f(z) = \mathbb E_q \big[ f(z) \, \nabla \log q(z) \big] ,$$
#
# so every sample gives an estimate out of $\nabla \log q(z)$, which is called the score of $z$, and the value $f(z)$
# alone: the score-function estimator, also known as REINFORCE (Williams, 1992). Here $q$ is one Gaussian, of which we
# have several samples; `mu` and `log_var` have one entry for each dimension of the code.
#
# **Before you write:** let $f$ be the same number everywhere. What is the exact gradient? What is a single sample's
# estimate of it?


# %% nbgrader={"grade": false, "grade_id": "03-score_gradient", "locked": false, "schema_version": 3, "solution": true, "task": false}
def score_gradient(
    f_z: Float[Tensor, " samples"],
    z: Float[Tensor, "samples code"],
    mu: Float[Tensor, " code"],
    log_var: Float[Tensor, " code"],
) -> tuple[Float[Tensor, "samples code"], Float[Tensor, "samples code"]]:
    """f(z) * d log q(z) / d mu and f(z) * d log q(z) / d log_var, for each sample and each dimension of the code.

    q = N(mu, diag(exp(log_var))), and row s of z is a sample of it with value f_z[s]. Returns a tuple: the estimates
    with respect to mu, then those with respect to log_var. Neither sums nor averages over samples; no baseline.
    """
    ### BEGIN SOLUTION
    var = torch.exp(log_var)
    weight = f_z[:, None]
    return weight * (z - mu) / var, weight * ((z - mu) ** 2 / var - 1) / 2
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "03-score_gradient-check", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check("03.score_gradient", score_gradient)
### BEGIN HIDDEN TESTS
check("03.score_gradient", score_gradient, strict=True)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>Where the cost is the same everywhere</summary>
#
# The exact gradient of a constant is 0. The estimate of one sample is that constant times its score, which is 0 only on
# average: pure noise, and the more of it the larger the constant. That is what a baseline is for.
#
# </details>

# %% [markdown]
# ## 3. What a code costs, exactly
#
# Difficulty 1 of 5 · 1 point · 10 minutes
#
# By how many nats does $q(z|x)$ know a code better than the prior does? On average over the codes that $q$ draws, by
# $\mathrm{KL}(q(z|x), p(z))$. This is the **rate** of the image, the price of its code. For a Gaussian and a standard
# normal prior it is a short formula; the dimensions are independent under both, so their prices add up.
#
# **Before you write:** which costs more, a mean that is off by 1 (with $\sigma = 1$), or a standard deviation of one
# half (with $\mu = 0$)?


# %% nbgrader={"grade": false, "grade_id": "03-kl_to_prior", "locked": false, "schema_version": 3, "solution": true, "task": false}
def kl_to_prior(mu: Float[Tensor, "batch code"], log_var: Float[Tensor, "batch code"]) -> Float[Tensor, " batch"]:
    """KL(N(mu, diag(exp(log_var))), N(0, I)) of each image, in nats: summed over the code, never over the batch.

    Exact for any log_var, however negative. Differentiable in mu and log_var. The arguments are left as they are.
    """
    ### BEGIN SOLUTION
    return 0.5 * (mu**2 + torch.exp(log_var) - 1 - log_var).sum(dim=1)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "03-kl_to_prior-check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
check("03.kl_to_prior", kl_to_prior)
### BEGIN HIDDEN TESTS
check("03.kl_to_prior", kl_to_prior, strict=True)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>Which costs more</summary>
#
# The mean: $\mu^2 / 2 = 0.5$ nats. Half the standard deviation costs $(1/4 - 1 + \log 4)/2 \approx 0.32$ nats.
#
# </details>

# %% [markdown]
# ## 4. What a code costs, by trying
#
# Difficulty 2 of 5 · 2 points · 10 minutes
#
# Few pairs of distributions have a closed form. But the KL is an expectation under $q$, and we can sample from $q$:
#
# $$\mathrm{KL}(q, p) = \mathbb E_q \big[ \log q(z) - \log p(z) \big]
# \approx \frac 1 S \sum_{s=1}^S \big[ \log q(z_s) - \log p(z_s) \big] .$$
#
# When $p$ is a network too, as in chapter 06, there is usually no other way.
#
# **Before you write:** a KL is never negative. Can this estimate be?


# %% nbgrader={"grade": false, "grade_id": "03-kl_by_sampling", "locked": false, "schema_version": 3, "solution": true, "task": false}
def kl_by_sampling(
    mu: Float[Tensor, "batch code"],
    log_var: Float[Tensor, "batch code"],
    eps: Float[Tensor, "samples batch code"],
) -> Float[Tensor, " batch"]:
    """The mean over samples of log q(z) - log p(z) of each image, in nats, at z = mu + sigma * eps.

    q = N(mu, diag(sigma^2)) with log_var = log(sigma^2), and p = N(0, I); log densities are summed over the code.
    No other noise than eps enters. The arguments are left as they are.
    """
    ### BEGIN SOLUTION
    z = reparameterise(mu, log_var, eps)
    log_q = -0.5 * (eps**2 + log_var + math.log(2 * math.pi)).sum(dim=2)
    log_p = -0.5 * (z**2 + math.log(2 * math.pi)).sum(dim=2)
    return (log_q - log_p).mean(dim=0)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "03-kl_by_sampling-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("03.kl_by_sampling", kl_by_sampling)
### BEGIN HIDDEN TESTS
check("03.kl_by_sampling", kl_by_sampling, strict=True)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>Whether it can be negative</summary>
#
# Yes: a sample may fall where the prior is denser than $q$. Only the expectation is never negative. Note that
# $(z - \mu) / \sigma = \varepsilon$: the square in $\log q$ is that of the noise which we put in.
#
# </details>

# %% [markdown]
# ## 5. What is left to say
#
# Difficulty 2 of 5 · 2 points · 10 minutes
#
# Who has the code still lacks the image. The decoder answers with a picture $\hat x$ and calls every pixel a Gaussian
# around it, all with the same $\sigma$. What the image costs then is the **distortion**, $-\log p(x|z)$:
#
# $$-\log \mathcal N(x; \hat x, \sigma^2 I), \qquad
# \mathcal N(x_i; \hat x_i, \sigma^2) = \frac 1 {\sqrt{2 \pi} \, \sigma} \, e^{-(x_i - \hat x_i)^2 / 2 \sigma^2} .$$
#
# **Before you write:** a perfect reconstruction of 64 pixels, with $\sigma = 0.1$. How many nats is that? Can it be
# right?


# %% nbgrader={"grade": false, "grade_id": "03-gaussian_distortion", "locked": false, "schema_version": 3, "solution": true, "task": false}
def gaussian_distortion(
    x: Float[Tensor, "batch channels height width"],
    x_hat: Float[Tensor, "batch channels height width"],
    sigma: float,
) -> Float[Tensor, " batch"]:
    """-log N(x; x_hat, sigma^2 I) of each image, in nats: summed over channels and pixels, never over the batch.

    All constants included. sigma > 0 is the standard deviation of every pixel. Differentiable in x_hat.
    The arguments are left as they are. Returns any float dtype.
    """
    ### BEGIN SOLUTION
    per_pixel = (x - x_hat) ** 2 / (2 * sigma**2) + math.log(sigma) + 0.5 * math.log(2 * math.pi)
    return per_pixel.sum(dim=(1, 2, 3))
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "03-gaussian_distortion-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("03.gaussian_distortion", gaussian_distortion)
### BEGIN HIDDEN TESTS
check("03.gaussian_distortion", gaussian_distortion, strict=True)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>How many nats, and whether that can be right</summary>
#
# $64 \, (\log 0.1 + \tfrac 1 2 \log 2 \pi) \approx -88.6$ nats, and yes: a density, unlike a probability, may exceed 1.
# So a distortion of grey levels means something only beside another one of the same $x$ in the same units.
#
# </details>

# %% [markdown]
# ## 6. Which beta is it really?
#
# Difficulty 3 of 5 · 3 points · 15 minutes
#
# Now read somebody else's program. Its last lines are
#
# ```python
# error = (x - x_hat) ** 2                          # [batch, pixels]
# kl = 0.5 * (mu**2 + log_var.exp() - 1 - log_var)  # [batch, code]
# loss = error.mean() + kl_weight * kl.mean()
# ```
#
# or the same with `sum()` in one place or in both. Each reduction runs over everything, the batch included, as torch's
# do. There is no $\sigma$ in it and no $1/2$ before the square. We believe the decoder to be the Gaussian of task 5,
# with a fixed $\sigma$. Then the loss is, up to a positive factor and an added constant,
#
# $$\frac 1 B \sum_{x} \Big[ \text{distortion}(x) + \beta \cdot \text{rate}(x) \Big] ,$$
#
# with the distortion summed over pixels and the rate over the code, for a batch of $B$ images. For which $\beta$?
#
# **Before you write:** take the program as it stands above, with `kl_weight = 1`, pictures of 28 × 28 pixels, a code of
# 20 dimensions and $\sigma = 1$. Guess its $\beta$.


# %% nbgrader={"grade": false, "grade_id": "03-implied_beta", "locked": false, "schema_version": 3, "solution": true, "task": false}
def implied_beta(
    kl_weight: float, sigma: float, error_reduction: str, kl_reduction: str, batch: int, pixels: int, code: int
) -> float:
    """The beta for which the program minimises  mean over the batch of (distortion + beta * rate).

    The program's loss is  R(error) + kl_weight * K(kl)  for error [batch, pixels], the squared errors without 1/2, and
    kl [batch, code], the KL of each dimension in nats. error_reduction names R and kl_reduction names K; both are
    "sum" or "mean", over all entries. The decoder is N(x_hat, sigma^2 I).
    Raises ValueError for any other reduction.
    """
    ### BEGIN SOLUTION
    if not {error_reduction, kl_reduction} <= {"sum", "mean"}:
        raise ValueError(f"a reduction is 'sum' or 'mean', not {error_reduction!r} and {kl_reduction!r}")
    of_errors = 1 if error_reduction == "sum" else 1 / (batch * pixels)
    of_kls = 1 if kl_reduction == "sum" else 1 / (batch * code)
    return kl_weight * of_kls / (2 * sigma**2 * of_errors)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "03-implied_beta-check", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check("03.implied_beta", implied_beta)
### BEGIN HIDDEN TESTS
check("03.implied_beta", implied_beta, strict=True)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>The program's beta</summary>
#
# $784 / (2 \cdot 20) = 19.6$. The program says 1. With $\sigma = 0.1$ it is 1,960.
# And where one term is a sum and the other a mean, the size of the batch is a part of the model.
#
# </details>

# %% [markdown]
# ## What you have built: two ways to a gradient
#
# Both of your estimators are right on average. The cell below asks each for the same number: the gradient of
# $\mathbb E \sum_d (z_d - 2)^2$ with respect to the first entry of $\mu$, at $\mu = 0$, $\sigma = 1$, where it is
# exactly $-4$. The pathwise estimate goes through your `reparameterise` by autograd, the other through your `score_gradient`.
#
# **Predict:** how does the spread of each change as the code gets more dimensions?


# %%
def duel(code: int, samples: int = 20_000) -> None:
    """Prints mean and standard deviation, over samples, of two estimates of one gradient."""
    eps = torch.randn(samples, code, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    mu, log_var = torch.zeros_like(eps).requires_grad_(), torch.zeros_like(eps)
    z = reparameterise(mu, log_var, eps)
    f_z = ((z - 2) ** 2).sum(dim=1)
    (path,) = torch.autograd.grad(f_z.sum(), mu)
    score, _ = score_gradient(f_z.detach(), z.detach(), mu[0].detach(), log_var[0])
    for name, estimates in (("pathwise", path[:, 0]), ("score", score[:, 0])):
        error = estimates.std() / samples**0.5
        print(f"{code:4d}  {name:8}  {estimates.mean():6.2f} ± {error:4.2f}  {estimates.std():7.2f}")


with when_solved():
    print("code  estimate  mean ± its error  spread of one sample")
    for code in (1, 10, 100):
        duel(code)

# %% [markdown]
# <details><summary>What became of the spread</summary>
#
# The pathwise estimate is $2 (z_1 - 2)$: it knows which dimension it is about, and its spread stays at 2. The score
# estimate multiplies the first dimension's score by the whole of $f$, and $f$ grows with every dimension that has
# nothing to do with it. Precision grows with the square root of the number of samples: at 100 dimensions the score
# estimate needs tens of thousands of times as many as the pathwise one, the square of the ratio of their spreads.
#
# </details>

# %% [markdown]
# ## What you have built: a VAE
#
# An encoder and a decoder of two layers each, 1,297 handwritten digits, and no other loss than yours. The first program
# minimises distortion + rate. The second was to do the same, and its author wrote `error.mean() + kl.mean()`. That
# holds two slips: the means, and the forgotten $1 / 2 \sigma^2$ before the square. Your `implied_beta` says what each
# of them does to beta; the cells below print it, and train with neither slip, with either, and with both.
#
# **Predict:** which of the two slips does more harm? What will the second program's reconstructions look like?

# %%
SIGMA, CODE, BATCH, PIXELS = 0.15, 8, 128, 64
DATA = digits()


def networks() -> tuple[nn.Module, nn.Module]:
    torch.manual_seed(0)
    encoder = nn.Sequential(nn.Flatten(), nn.Linear(PIXELS, 128), nn.ReLU(), nn.Linear(128, 2 * CODE))
    to_pixels = (nn.Linear(128, PIXELS), nn.Sigmoid(), nn.Unflatten(1, (1, 8, 8)))
    return encoder, nn.Sequential(nn.Linear(CODE, 128), nn.ReLU(), *to_pixels)


def train(beta: float, steps: int = 400) -> tuple[nn.Module, nn.Module]:
    """An encoder and a decoder that minimise the mean of distortion + beta * rate."""
    encoder, decoder = networks()
    optimiser = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=3e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        x = DATA.train.images[torch.randint(len(DATA.train.images), (BATCH,), generator=generator)]
        mu, log_var = encoder(x).chunk(2, dim=1)
        z = reparameterise(mu, log_var, torch.randn(mu.shape, generator=generator))
        loss = (gaussian_distortion(x, decoder(z), SIGMA) + beta * kl_to_prior(mu, log_var)).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return encoder, decoder


def draw(images: Float[Tensor, "images 1 8 8"]) -> str:
    """Images side by side, darker characters for more ink."""
    shades = " .:-=+*#%@"
    rows = (images[:, 0] * 9).round().long().transpose(0, 1).tolist()
    return "\n".join("    ".join("".join(2 * shades[level] for level in part) for part in row).rstrip() for row in rows)


# %%
def real_betas() -> dict[str, float]:
    """What each slip makes of the beta of a program that weighs its KL by 1."""
    sizes, bare = (BATCH, PIXELS, CODE), 0.5**0.5  # at this sigma 2 sigma^2 is 1: nothing is missing before the square
    return {
        "neither slip": implied_beta(1.0, bare, "sum", "sum", *sizes),
        "two means": implied_beta(1.0, bare, "mean", "mean", *sizes),
        "no 1 / 2 sigma^2": implied_beta(1.0, SIGMA, "sum", "sum", *sizes),
        "both": implied_beta(1.0, SIGMA, "mean", "mean", *sizes),
    }


with when_solved():
    for slip, beta in real_betas().items():
        print(f"{slip:16}  beta = {beta:5.1f}")
    _, means, scale, both = real_betas().values()
    print(f"{means:.1f} x {scale:.1f} = {both:.1f}")

# %% tags=["nbval-ignore-output"]
with when_solved(), torch.random.fork_rng(devices=[]):
    x, generator = DATA.test.images, torch.Generator().manual_seed(1)
    print("five digits that no program has seen\n" + draw(x[:5]))
    for slip, beta in real_betas().items():
        encoder, decoder = train(beta)
        with torch.no_grad():
            mu, log_var = encoder(x).chunk(2, dim=1)
            z = reparameterise(mu, log_var, torch.randn(mu.shape, generator=generator))
            distortion = gaussian_distortion(x, decoder(z), SIGMA).mean()
            rate = kl_to_prior(mu, log_var).mean()
            tried = kl_by_sampling(mu, log_var, torch.randn(100, *mu.shape, generator=generator)).mean()
            print(f"\n{slip}, beta = {beta:.1f}: distortion {distortion:.1f} nats, rate {rate:.2f} nats", end=" ")
            print(f"({tried:.2f} by sampling)\n{draw(decoder(mu[:5]))}")

# %% [markdown]
# <details><summary>What happened to the second program</summary>
#
# At its $\beta$ a nat of rate costs more than it saves in distortion, so the rate goes to 0: every code is as good as
# the prior, and every reconstruction looks like the mean of all digits. The two means alone make $\beta$ the number of
# pixels to each dimension of the code, and leave about a quarter of the rate. The forgotten $1 / 2 \sigma^2$ is the
# larger slip of the two, and leaves a fraction of a nat. Together they multiply, and leave nothing.
#
# Nothing in the program looks wrong, its loss goes down, and its author reports $\beta = 1$. A code gone quiet can be a
# matter of two means and a forgotten $1 / 2 \sigma^2$. Later chapters meet codes that go quiet for deeper reasons; this
# one is worth ruling out first.
#
# </details>

# %% [markdown]
# **To go on thinking**
#
# - Give the second program its due: which `kl_weight` makes its $\beta$ equal 1? Train it so, and compare.
# - `SIGMA` is fixed. Try 0.5 and 0.05 with $\beta = 1$: what does the rate do, and why is a smaller sigma like a
#   smaller $\beta$? Of two sigmas, which total of distortion + rate is lower, and may the two be compared?
# - Subtract from $f(z)$ in the duel the mean of the *other* samples. What becomes of the spread at 100 dimensions, and
#   why is its mean still right?
