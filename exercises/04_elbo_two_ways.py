# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Exercise 04: one bound, two accounts of it
#
# Chapter 04 (`chapters/04_elbo_two_ways`) wrote the ELBO down in two arrangements, and took the rate apart. Here you
# write each of these numbers yourself, in a world small enough that every one of them is exact. At the end the world is
# one of real digits.
#
# **After it you can**
#
# - turn Bayes' rule into a line of code that survives log-likelihoods in the thousands;
# - compute the ELBO from either side, and say what each side is about;
# - split the rate into what the codes tell about the images and what the prior is missed by;
# - say of a loose bound whether more samples, a wider family or a better encoder would help.
#
# Six tasks, 12 points, 65 minutes. You need chapter 04 and a little torch: broadcasting, sums along an axis, `where`.
#
# **The world.** The code $z$ takes finitely many values, and all there is stands in tables:
#
# | table | shape | what it holds |
# |---|---|---|
# | `log_prior` | `[codes]` | $\log p(z)$ |
# | `log_likelihood` | `[codes, states]` | $\log p(x \mid z)$, an image $x$ ("state") in each column |
# | `q` | `[states, codes]` | $q(z \mid x)$: what an encoder answers, probabilities that sum to 1 in each row |
#
# The states may be some of all possible images: those that the data hold. So a row of the likelihood need not sum to 1.
# Everything is in nats, and every answer in any float dtype is welcome.
#
# **How it works.** Each task is a function with a contract. Replace the line that raises `NotImplementedError`, run the
# cell, run the `check` below it: it answers at once, and when something is off it shows the smallest case that fails.
# Stuck? `hint("04.posterior")` in a new cell opens one hint at a time: a nudge, a formula, a skeleton.

# %%
import math

import torch
from jaxtyping import Float
from torch import Tensor

from course_lib.data import digits
from course_lib.grading import check, hint, when_solved

# %% [markdown]
# ## 1. What the code must have been
#
# Difficulty 2 of 5 · 2 points · 10 minutes
#
# An image is given. Which code made it? Bayes' rule weighs how probable each code is beforehand, $p(z)$, by how well it
# explains the image, $p(x \mid z)$:
#
# $$p(z \mid x) = \frac{p(z)\, p(x \mid z)}{p(x)}, \qquad p(x) = \sum_z p(z)\, p(x \mid z) .$$
#
# **Before you write:** two codes of equal prior give an image the log-likelihoods $-2000$ and $-2001$. What is the
# posterior? And what does `exp(-2000)` say it is?


# %% nbgrader={"grade": false, "grade_id": "04-posterior", "locked": false, "schema_version": 3, "solution": true, "task": false}
def posterior(
    log_prior: Float[Tensor, " codes"], log_likelihood: Float[Tensor, "codes states"]
) -> Float[Tensor, "states codes"]:
    """p(z|x) = p(z) p(x|z) / p(x): for each image a row of probabilities over the codes.

    Exact for log-likelihoods in the minus tens of thousands as well. A logarithm may be minus infinity: that code, or
    that image under that code, has probability 0. Every image is possible under some code.
    """
    raise NotImplementedError("your code here")


# %% nbgrader={"grade": true, "grade_id": "04-posterior-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("04.posterior", posterior)

# %% [markdown]
# <details><summary>Before you write: an answer</summary>
#
# $1 / (1 + e^{-1}) \approx 0.73$ and $0.27$: only the difference of the logarithms counts. `exp(-2000)` is 0 on a
# computer, for both codes, and 0 / 0 is NaN.
#
# </details>

# %% [markdown]
# ## 2. The ELBO, by summing
#
# Difficulty 2 of 5 · 2 points · 10 minutes
#
# A VAE estimates its bound by drawing a code. With finitely many codes no draw is needed, for the mean over $q$ is a
# sum:
#
# $$\mathrm{ELBO}(x) = \sum_z q(z \mid x) \log p(x \mid z) - \mathrm{KL}\big(q(z \mid x), p(z)\big)
#   = \sum_z q(z \mid x) \big[ \log p(x \mid z) + \log p(z) - \log q(z \mid x) \big] .$$
#
# A $q$ may be sure that it is not this code: $q(z \mid x) = 0$. Such a code counts nothing, $0 \log 0 = 0$, whatever
# else stands beside it. A computer sees it otherwise: `0 * log(0)` is NaN.
#
# **Before you write:** $q$ is sure of one code. What is left of the ELBO?


# %% nbgrader={"grade": false, "grade_id": "04-elbo", "locked": false, "schema_version": 3, "solution": true, "task": false}
def elbo(
    log_prior: Float[Tensor, " codes"],
    log_likelihood: Float[Tensor, "codes states"],
    q: Float[Tensor, "states codes"],
) -> Float[Tensor, " states"]:
    """sum_z q(z|x) (log p(x|z) + log p(z) - log q(z|x)) for each image, in nats.

    A code with q(z|x) = 0 counts 0, even where log p(x|z) is minus infinity. Where q(z|x) > 0 and log p(x|z) is minus
    infinity the ELBO is minus infinity.
    """
    raise NotImplementedError("your code here")


# %% nbgrader={"grade": true, "grade_id": "04-elbo-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("04.elbo", elbo)

# %% [markdown]
# <details><summary>Before you write: an answer</summary>
#
# $\log p(x, z) = \log p(z) + \log p(x \mid z)$ at that code: its $\log q(z \mid x)$ is $\log 1 = 0$, and no other code
# counts.
#
# </details>

# %% [markdown]
# ## 3. The other arrangement
#
# Difficulty 2 of 5 · 2 points · 10 minutes
#
# The same number, seen from above:
#
# $$\mathrm{ELBO}(x) = \log p(x) - \mathrm{KL}\big(q(z \mid x), p(z \mid x)\big) .$$
#
# The first arrangement compares $q$ with the *prior*; this one compares it with the *posterior*. The KL divergence is
# what the bound misses, its gap. An optimiser that trains the encoder alone can move nothing else.
#
# **Before you write:** the posterior is sure of the first code, and $q$ is a fair coin between the first and the second.
# What is $\mathrm{KL}(q, p)$? And $\mathrm{KL}(p, q)$?


# %% nbgrader={"grade": false, "grade_id": "04-posterior_gap", "locked": false, "schema_version": 3, "solution": true, "task": false}
def posterior_gap(
    log_prior: Float[Tensor, " codes"],
    log_likelihood: Float[Tensor, "codes states"],
    q: Float[Tensor, "states codes"],
) -> Float[Tensor, " states"]:
    """KL(q(z|x), p(z|x)) = log p(x) - ELBO(x) for each image, in nats.

    Finite wherever log p(z), log p(x|z) are, however small p(z|x) is: exp(-1000) counts as 1000 nats and not as
    infinitely many. A code with q(z|x) = 0 counts 0; where q(z|x) > 0 and p(z|x) is truly 0 the gap is infinite. You
    may call your functions from above.
    """
    raise NotImplementedError("your code here")


# %% nbgrader={"grade": true, "grade_id": "04-posterior_gap-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("04.posterior_gap", posterior_gap)

# %% [markdown]
# <details><summary>Before you write: an answer</summary>
#
# $\mathrm{KL}(q, p)$ is infinite, $\mathrm{KL}(p, q) = \log 2$. The first does not forgive probability where the
# posterior has none, so a $q$ of too small a family had better leave out a part of the posterior than reach beyond it:
# fitted through the ELBO, it tends to come out too narrow.
#
# </details>

# %% [markdown]
# ## 4. What the rate pays for
#
# Difficulty 3 of 5 · 2 points · 15 minutes
#
# Now the average over the data. With $q(z) = \sum_x \mathrm{data}(x)\, q(z \mid x)$, what the codes of all images look
# like together, the rate comes apart:
#
# $$\underbrace{\mathbb{E}_x\, \mathrm{KL}\big(q(z \mid x), p(z)\big)}_{\text{rate}}
#   = \underbrace{\mathbb{E}_x\, \mathrm{KL}\big(q(z \mid x), q(z)\big)}_{\text{information } I(x; z)}
#   + \underbrace{\mathrm{KL}\big(q(z), p(z)\big)}_{\text{aggregate gap}} .$$
#
# A penalty on the rate is a penalty on both parts, and one of them is what we wanted. (The aggregate is compared with
# $p(z)$, for both are distributions over codes. $p(x)$ is one over images. Where codes and images both happen to be
# numbers a KL divergence from the one to the other can be computed; but the surgery holds with $p(z)$, and where the
# aggregate is $p(z)$ exactly that other divergence need not be 0. Source: Hoffman and Johnson 2016, "ELBO surgery".)
#
# **Before you write:** $N$ images, shown equally often, and $N$ codes of equal prior. Encoder one gives each image a
# code of its own; encoder two gives all of them the first code. What are the three terms, for each encoder?


# %% nbgrader={"grade": false, "grade_id": "04-surgery", "locked": false, "schema_version": 3, "solution": true, "task": false}
def surgery(
    q: Float[Tensor, "states codes"],
    data: Float[Tensor, " states"],
    prior: Float[Tensor, " codes"],
) -> tuple[Float[Tensor, ""], Float[Tensor, ""], Float[Tensor, ""]]:
    """(rate, information, aggregate gap), each averaged over the data, in nats.

    `data` says how often each image is shown: probabilities that sum to 1. `prior` is p(z) itself, no logarithm.
    0 log 0 = 0 throughout, and an image that is never shown, data(x) = 0, counts 0 whatever its codes are. Where an
    image that is shown uses a code that the prior excludes, rate and aggregate gap are infinite; the information never
    is.
    """
    raise NotImplementedError("your code here")


# %% nbgrader={"grade": true, "grade_id": "04-surgery-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("04.surgery", surgery)

# %% [markdown]
# <details><summary>Before you write: an answer</summary>
#
# In the order rate, information, aggregate gap. Encoder one: $\log N$, $\log N$, 0. Encoder two: $\log N$, 0, $\log N$.
# The ELBO's second term charges both the same; one of them knows every image by name, and the other knows nothing.
#
# </details>

# %% [markdown]
# ## 5. Closer, with more samples
#
# Difficulty 2 of 5 · 1 point · 5 minutes
#
# When the codes cannot be summed over, one draws: $z_1, \dots, z_K \sim q(z \mid x)$, with the weights
# $w_k = p(x, z_k) / q(z_k \mid x)$. If $q$ leaves out no code that can produce the image, each weight is an unbiased
# estimate of $p(x)$; if it does, too small a one on average. Either way the logarithm of their mean is on average a lower
# bound of $\log p(x)$, and with more samples this average never falls:
#
# $$\mathcal{L}_K = \log \frac{1}{K} \sum_{k=1}^{K} w_k .$$
#
# For $K = 1$ its mean is the ELBO. (Burda, Grosse and Salakhutdinov 2016, arXiv 1509.00519.)
#
# **Before you write:** of two samples the log-weights are $-1000$ and $-1000 - \log 3$. What is the bound, and what is
# the mean of the log-weights?


# %% nbgrader={"grade": false, "grade_id": "04-iwae_bound", "locked": false, "schema_version": 3, "solution": true, "task": false}
def iwae_bound(log_weights: Float[Tensor, "samples batch"]) -> Float[Tensor, " batch"]:
    """log of the mean weight over the samples, for each image, in nats.

    Exact for log-weights in the tens of thousands, of either sign. A log-weight may be minus infinity: a sample of
    weight 0, which counts as a sample. Of each image one weight at least is positive.
    """
    raise NotImplementedError("your code here")


# %% nbgrader={"grade": true, "grade_id": "04-iwae_bound-check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
check("04.iwae_bound", iwae_bound)

# %% [markdown]
# <details><summary>Before you write: an answer</summary>
#
# The weights are $w$ and $w / 3$, their mean is $\tfrac{2}{3} w$: the bound is $-1000 + \log \tfrac{2}{3} \approx
# -1000.41$. The mean of the log-weights is $-1000 - \tfrac{1}{2} \log 3 \approx -1000.55$: what the two samples give, on
# average, when each is taken on its own, $K = 1$.
#
# </details>

# %% [markdown]
# ## 6. Whose fault is the gap?
#
# Difficulty 3 of 5 · 3 points · 15 minutes
#
# A bound can be loose for two reasons. The *family* may hold no distribution that is close to the posterior. Or it
# holds one, and the *encoder*, one function for all images, has not found it:
#
# $$\underbrace{\log p(x) - \mathrm{ELBO}(x; q)}_{\text{gap}}
#   = \underbrace{\log p(x) - \mathrm{ELBO}(x; q^*)}_{\text{approximation}}
#   + \underbrace{\mathrm{ELBO}(x; q^*) - \mathrm{ELBO}(x; q)}_{\text{amortisation}} ,$$
#
# where $q^*$ is the best that the family has for this image (Cremer, Li and Duvenaud 2018, arXiv 1801.03558). Here the
# family is a table of candidates, each a distribution over the codes, so $q^*$ is found by trying all of them. Each
# image may take another one.
#
# **Before you write:** the family holds the distributions that are sure of one code, and the posterior of an image is
# 0.7 and 0.3. How large is the approximation gap? The encoder picks the wrong one of the two: how large is the
# amortisation gap?


# %% nbgrader={"grade": false, "grade_id": "04-split_gap", "locked": false, "schema_version": 3, "solution": true, "task": false}
def split_gap(
    log_prior: Float[Tensor, " codes"],
    log_likelihood: Float[Tensor, "codes states"],
    q: Float[Tensor, "states codes"],
    candidates: Float[Tensor, "candidates codes"],
) -> tuple[Float[Tensor, " states"], Float[Tensor, " states"]]:
    """(approximation gap, amortisation gap) for each image, in nats.

    The best candidate of an image is the one of largest ELBO for it. Each row of `q`, the encoder's answer, is one of
    the candidates. 0 log 0 = 0. Some candidate of each image has a finite ELBO; the encoder's may be minus infinity, and
    then the amortisation gap is infinite. You may call your functions from above.
    """
    raise NotImplementedError("your code here")


# %% nbgrader={"grade": true, "grade_id": "04-split_gap-check", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check("04.split_gap", split_gap)

# %% [markdown]
# <details><summary>Before you write: an answer</summary>
#
# $-\log 0.7 \approx 0.357$ nats, and $\log(0.7 / 0.3) \approx 0.847$ nats. For a $q$ that is sure of one code, the gap
# is the posterior's surprise at that code.
#
# </details>

# %% [markdown]
# ## What you have built
#
# Put it to work on real digits of 8 × 8 pixels, black and white. The model: a code is one of twelve; it decides for each
# pixel how probably it is ink; the pixels are then independent. Such a model is fitted by two steps in turn. Your
# `posterior` says which code made each image; then each code's prior and ink become the averages over the images it
# made. (This is the EM algorithm, and no encoder has to be trained.)


# %%
def bernoulli(
    images: Float[Tensor, "states pixels"], ink: Float[Tensor, "codes pixels"]
) -> Float[Tensor, "codes states"]:
    """log p(x|z) = sum_i x_i log ink_i + (1 - x_i) log (1 - ink_i)."""
    return ink.log() @ images.T + (1 - ink).log() @ (1 - images).T


def fit(
    images: Float[Tensor, "states pixels"], codes: int, steps: int = 40
) -> tuple[Float[Tensor, " codes"], Float[Tensor, "codes pixels"]]:
    """log p(z) and the ink of each code, beginning with an image for each; half a count keeps the ink from 0 and 1."""
    first = torch.randperm(len(images), generator=torch.Generator().manual_seed(0))[:codes]
    ink = 0.25 + 0.5 * images[first]
    log_prior = torch.full((codes,), 1 / codes, dtype=images.dtype).log()
    for _ in range(steps):
        q = posterior(log_prior, bernoulli(images, ink))
        log_prior = q.mean(0).log()
        ink = (q.T @ images + 0.5) / (q.sum(0)[:, None] + 1)
    return log_prior, ink


def draw(rows: Float[Tensor, "pictures pixels"]) -> str:
    """Pictures of 8 x 8 side by side, in five shades."""
    pictures = (rows.view(-1, 8, 8) * 4.99).long()
    return "\n".join(
        "  ".join("".join(" .:*#"[shade] for shade in picture[i]) for picture in pictures) for i in range(8)
    )


split = digits(binary=True)
train, test = (part.images.flatten(1).double() for part in (split.train, split.test))
with when_solved():
    log_prior, ink = fit(train, codes=12)
    print(draw(ink[:6]), draw(ink[6:]), sep="\n\n")

# %% [markdown]
# Now 250 images that the fit has not seen. Four ways to answer for their codes:
#
# - the **posterior** itself, which this small world allows;
# - **one code**: too narrow, sure of the code that the posterior likes best;
# - **half seen**: as narrow, and from an encoder that sees only the upper half of each picture;
# - the **prior**, whatever the image.
#
# **Predict:** which of the first two has the lower distortion, and which the higher ELBO? How much of the gap of *half
# seen* is the family's fault?


# %%
def sure_of(q: Float[Tensor, "states codes"]) -> Float[Tensor, "states codes"]:
    """All probability on the likeliest code of each row."""
    return torch.eye(q.shape[1], dtype=q.dtype)[q.argmax(1)]


def four_answers(
    images: Float[Tensor, "states pixels"], log_prior: Float[Tensor, " codes"], ink: Float[Tensor, "codes pixels"]
) -> dict[str, Float[Tensor, "states codes"]]:
    """q(z|x) of each kind, by name."""
    exact = posterior(log_prior, bernoulli(images, ink))
    upper_half = posterior(log_prior, bernoulli(images[:, :32], ink[:, :32]))
    return {
        "posterior": exact,
        "one code": sure_of(exact),
        "half seen": sure_of(upper_half),
        "prior": log_prior.exp().expand_as(exact),
    }


with when_solved():
    log_prior, ink = fit(train, codes=12)
    log_likelihood, evenly = bernoulli(test, ink), torch.full((len(test),), 1 / len(test), dtype=test.dtype)
    print(f"{'nats per image':<14} distortion    rate    ELBO     gap  log p(x)  information  aggregate gap")
    for name, q in four_answers(test, log_prior, ink).items():
        bound, gap = (f(log_prior, log_likelihood, q).mean() for f in (elbo, posterior_gap))
        rate, information, aggregate_gap = (abs(term) for term in surgery(q, evenly, log_prior.exp()))
        print(
            f"{name:<14} {-bound - rate:10.2f} {rate:7.2f} {bound:7.2f} {abs(gap):7.2f} {bound + gap:9.2f} "
            f"{information:12.2f} {aggregate_gap:14.2f}"
        )

# %%
with when_solved():
    log_prior, ink = fit(train, codes=12)
    log_likelihood, answers = bernoulli(test, ink), four_answers(test, log_prior, ink)
    sure = torch.eye(len(log_prior), dtype=test.dtype)
    for name in ("one code", "half seen"):
        approximation, amortisation = split_gap(log_prior, log_likelihood, answers[name], sure)
        print(f"{name}: approximation gap {approximation.mean():.2f}, amortisation gap {amortisation.mean():.2f} nats")

    q = posterior(log_prior, bernoulli(test[:, :32], ink[:, :32]))
    z = torch.multinomial(q, 1000, replacement=True, generator=torch.Generator().manual_seed(0))
    log_weights = (log_prior + log_likelihood.T - q.log()).gather(1, z).T
    print("codes drawn from the upper half's own posterior:")
    for samples in (1, 10, 100, 1000):
        print(f"  {samples:4} of them: a bound of {iwae_bound(log_weights[:samples]).mean():.2f} nats")

# %% [markdown]
# <details><summary>What the numbers say</summary>
#
# In all four rows ELBO and gap add up to the same $\log p(x)$: the encoder has no say in what the model believes. *One
# code* has a little less distortion than the posterior, and pays more in rate than it saves: its ELBO is lower, by the
# approximation gap. Seen from above, the family of sure answers is nearly good enough for these digits, since twelve
# codes are seldom confused; what costs *half seen* its nats is the encoder, nearly all of it amortisation. A wider
# family would not help there; looking at the whole picture would.
#
# *Half seen* and *one code* tell about equally much about the image, by information. Information says how well the codes
# tell images apart, and not whether they are the right codes: that shows in the distortion. The *prior* has no rate at
# all, and by far the largest gap.
#
# The aggregate gap is next to nothing in every row. In each step of the fit the prior became the mean of the posteriors,
# so on the training images $q(z)$ is $p(z)$ but for the last step, and on other images of the same kind it is not far
# from it.
#
# And samples make up for what the encoder misses: with 1000 of them the bound is close to the exact $\log p(x)$.
#
# </details>

# %% [markdown]
# **To go on thinking**
#
# - *half seen* is sure of one code. The upper half's own posterior, `upper_half`, is not. Add it to the four answers: is
#   its ELBO higher? Ask first what $\mathrm{KL}(q, p)$ does where a doubt is shared with a code that the lower half
#   rules out.
# - Draw the codes for `iwae_bound` from *half seen*, `q = answers["half seen"]`. Why does no number of samples help?
# - In `fit`, the prior is the mean of the posteriors. What becomes of the aggregate gap, and of the rate, with a uniform
#   prior that is never refitted?
# - Fit with one code instead of twelve. Which of your numbers become 0, and is the model better or worse for it?
