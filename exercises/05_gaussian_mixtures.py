# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Exercise 05: when do Gaussians add up to a Gaussian?
#
# Chapter 05 (`chapters/05_gaussian_mixtures`) asked what can come out when Gaussians are mixed. Here you build the
# instruments that answer: four that tell how far a mixture is from a Gaussian, and two for probabilistic PCA, the
# model in which a mixture of Gaussian posteriors *is* a Gaussian. At the end your functions tell whether the codes of
# real digits add up to a Gaussian.
#
# **After it you can**
#
# - compute the mean and the variance of a mixture, and say where each part of the variance comes from;
# - evaluate log-densities where the densities themselves are smaller than any float;
# - measure in nats how far a mixture is from Gaussian, and refuse a grid that cannot tell;
# - say which component decides far out in $x$, and which in the characteristic function;
# - infer the code of an image in probabilistic PCA, and predict the covariance of all codes together.
#
# A *code* is always the vector $z$ of an image here, as in chapter 05; its entries are the *numbers of the code*.
#
# Six tasks, 12 points, 65 minutes. You need chapter 05 and a little torch: broadcasting, `logsumexp`, `torch.linalg`.
#
# Throughout, a mixture of $K$ Gaussians in one dimension is $p(x) = \sum_k w_k\, N(x; m_k, s_k^2)$: first a component
# is picked, number $k$ with probability $w_k$, then $x$ is drawn from it. The weights are positive and sum to 1. All
# functions are given the **variances** $s_k^2$, never their roots. Log-densities and KLs are in nats.
#
# **How it works.** Each task is a function with a contract. Replace the line that raises `NotImplementedError`, run
# the cell, run the `check` below it: it answers at once, and when something is off it shows the smallest case that
# fails. Stuck? `hint("05.moments")` in a new cell opens one hint at a time: a nudge, a formula, a skeleton. What to
# predict before you write is answered below each check, folded.

# %%
import math

import torch
from jaxtyping import Float
from torch import Tensor

from course_lib.data import digits
from course_lib.grading import check, hint, when_solved

# %% [markdown]
# ## 1. Two moments
#
# Difficulty 1 of 5 · 1 point · 5 minutes
#
# An $x$ drawn from a mixture lies away from the mean for two reasons: it lies somewhere within its component, and its
# component lies somewhere among the others. The variance has one part for each.
#
# **Before you write:** of the mixture of $N(-3, 1)$ and $N(3, 1)$ in equal parts, what is the variance? And of
# $(x_1 + x_2)/2$, where $x_1$ is drawn from the first and $x_2$, independently, from the second?


# %% nbgrader={"grade": false, "grade_id": "05-moments", "locked": false, "schema_version": 3, "solution": true, "task": false}
def moments(
    weights: Float[Tensor, " k"], means: Float[Tensor, " k"], variances: Float[Tensor, " k"]
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """The mean and the variance of the mixture sum_k w_k N(m_k, s_k^2), in this order.

    `variances` holds the s_k^2. Given float64, the variance is right to six digits even where the means lie a million
    away from zero. Numbers or tensors without axes.
    """
    raise NotImplementedError("your code here")


# %% nbgrader={"grade": true, "grade_id": "05-moments-check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
check("05.moments", moments)

# %% [markdown]
# <details><summary>Before you write: the answer</summary>
#
# 10, of which 1 lies within the components and 9 between them; and 1/2. To mix is to pick one, to add is to use both:
# the sum of independent Gaussians is always Gaussian, whatever their means, and the mixture is another matter.
#
# </details>

# %% [markdown]
# ## 2. A log-density that holds far out
#
# Difficulty 2 of 5 · 2 points · 10 minutes
#
# $$\log p(x) = \log \sum_k w_k\, \frac{1}{\sqrt{2 \pi s_k^2}}\, e^{-(x - m_k)^2 / (2 s_k^2)}$$
#
# Far from all components every term is smaller than the smallest float, while its logarithm is an ordinary number.
#
# **Before you write:** what is the log-density of $N(0, 1)$ at $x = 40$, and what does a float make of the density?
# And of the mixture of $N(0, 1)$ and $N(0, 4)$ in equal parts: which component decides there?


# %% nbgrader={"grade": false, "grade_id": "05-mixture_log_prob", "locked": false, "schema_version": 3, "solution": true, "task": false}
def mixture_log_prob(
    x: Float[Tensor, " n"],
    weights: Float[Tensor, " k"],
    means: Float[Tensor, " k"],
    variances: Float[Tensor, " k"],
) -> Float[Tensor, " n"]:
    """log sum_k w_k N(x; m_k, s_k^2) at each point, in nats.

    `variances` holds the s_k^2. Finite and exact far out as well, where the density itself is 0 as a float.
    """
    raise NotImplementedError("your code here")


# %% nbgrader={"grade": true, "grade_id": "05-mixture_log_prob-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("05.mixture_log_prob", mixture_log_prob)

# %% [markdown]
# <details><summary>Before you write: the answer</summary>
#
# $-800.9$ nats. The smallest positive float64 is about $e^{-744}$, so a float makes 0 of the density, and of its
# logarithm minus infinity. Of the two components the wide one decides: its exponent is $-200$ against $-800$. Far out
# in $x$ it is always a widest component that decides.
#
# </details>

# %% [markdown]
# ## 3. How far from Gaussian?
#
# Difficulty 2 of 5 · 2 points · 10 minutes
#
# Of all Gaussians, the one with the mixture's own mean and variance is the nearest in $\mathrm{KL}(p, g)$: call it the
# *matched* Gaussian $g$. What is left is how far the mixture $p$ is from being Gaussian at all. On an even grid
# $x_1 < \dots < x_n$ with step $\Delta = x_2 - x_1$,
#
# $$\mathrm{KL}(p, g) \approx \sum_i p(x_i)\, \big[ \log p(x_i) - \log g(x_i) \big]\, \Delta .$$
#
# For mixtures of Gaussians such a sum is exact to many digits, once the grid holds the whole mixture and its step is
# smaller than half the least $s_k$. A grid that is too narrow or too coarse gives a number as well, and nobody would
# know. So yours is to find out.
#
# **Before you write:** two components $N(\pm a, 1)$ in equal parts. What happens to the KL when $a$ grows? Does it
# have a limit?


# %% nbgrader={"grade": false, "grade_id": "05-kl_to_matched", "locked": false, "schema_version": 3, "solution": true, "task": false}
def kl_to_matched(
    weights: Float[Tensor, " k"],
    means: Float[Tensor, " k"],
    variances: Float[Tensor, " k"],
    x: Float[Tensor, " n"],
) -> Float[Tensor, ""]:
    """KL(p, g) in nats, as a sum over the even grid x: p is the mixture, g the Gaussian of its mean and variance.

    Finite on a grid so wide that p is 0 as a float at its ends. Zero, to rounding, where all components agree.
    Raises ValueError where the grid misses part of p, or counts it twice: where sum_i p(x_i) step differs from 1 by
    more than 1e-6. A number or a tensor without axes.
    """
    raise NotImplementedError("your code here")


# %% nbgrader={"grade": true, "grade_id": "05-kl_to_matched-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("05.kl_to_matched", kl_to_matched)

# %% [markdown]
# <details><summary>Before you write: the answer</summary>
#
# It grows without limit, but slowly. Since $g$ has the moments of $p$, the KL is the difference of two entropies, that
# of $g$ less that of $p$. For large $a$ they are $\frac12 \log 2 \pi e (1 + a^2)$ and $\frac12 \log 2 \pi e + \log 2$:
# which leaves $\frac12 \log(1 + a^2) - \log 2$ nats, 1.61 of them for $a = 10$.
#
# </details>

# %% [markdown]
# ## 4. Which component decides?
#
# Difficulty 2 of 5 · 2 points · 10 minutes
#
# The characteristic function of $x$ is the mean of $e^{itx}$, a complex number for every $t$. Like every mean it
# passes through a mixture, so each component adds its own:
#
# $$\varphi(t) = \sum_k w_k\, e^{i m_k t - s_k^2 t^2 / 2} .$$
#
# The proof of chapter 05 rests on it: were the mixture a Gaussian, the two would have one $\varphi$, at every $t$.
#
# **Before you write:** two components, $N(0, 1)$ and $N(0, 4)$. Which of the two decides $\varphi(t)$ at large $t$?
# And how does the matched Gaussian's fall, compared with that one?


# %% nbgrader={"grade": false, "grade_id": "05-characteristic_function", "locked": false, "schema_version": 3, "solution": true, "task": false}
def characteristic_function(
    t: Float[Tensor, " n"],
    weights: Float[Tensor, " k"],
    means: Float[Tensor, " k"],
    variances: Float[Tensor, " k"],
) -> tuple[Float[Tensor, " n"], Float[Tensor, " n"]]:
    """Real and imaginary part of E exp(itx) = sum_k w_k exp(i m_k t - s_k^2 t^2 / 2), each [n].

    `variances` holds the s_k^2. Of a complex number c they are c.real and c.imag, never its size and angle.
    """
    raise NotImplementedError("your code here")


# %% nbgrader={"grade": true, "grade_id": "05-characteristic_function-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("05.characteristic_function", characteristic_function)

# %% [markdown]
# <details><summary>Before you write: the answer</summary>
#
# The narrow one: its size falls as $e^{-t^2/2}$, the other's as $e^{-2 t^2}$. In $t$ the narrowest decides, in $x$ the
# widest. The matched Gaussian's falls faster than the narrow one's. In equal parts its variance is 2.5 here; and always
# it is at least the average of the $s_k^2$, hence at least the smallest of them, and equal to it only if all variances
# and all means agree. So a mixture that is a Gaussian has components that all agree. (Several narrowest ones can cancel
# each other at some $t$; with positive weights they cannot do so at all large ones.)
#
# </details>

# %% [markdown]
# ## 5. What an image says about its code
#
# Difficulty 3 of 5 · 3 points · 20 minutes
#
# Now the model in which Gaussians do add up. In probabilistic PCA (Tipping and Bishop, 1999) a code $z \sim N(0, I)$
# is turned into an image by a linear map, and noise is added:
#
# $$x = W z + b + \sigma e, \qquad e \sim N(0, I) .$$
#
# So $p(x|z) = N(W z + b, \sigma^2 I)$. The posterior $p(z|x)$ is proportional to $p(z)\, p(x|z)$, and the logarithm of
# that is a square in $z$. Complete it.
#
# **Before you write:** how does the covariance of $p(z|x)$ depend on $x$? And to what does the posterior tend when
# $\sigma$ grows without limit?


# %% nbgrader={"grade": false, "grade_id": "05-ppca_posterior", "locked": false, "schema_version": 3, "solution": true, "task": false}
def ppca_posterior(
    W: Float[Tensor, "pixels code"], b: Float[Tensor, " pixels"], sigma: float, x: Float[Tensor, "n pixels"]
) -> tuple[Float[Tensor, "n code"], Float[Tensor, "code code"]]:
    """The posterior p(z|x) = N(mean, covariance) of x = W z + b + sigma e: a mean for each image, one covariance.

    z ~ N(0, I) and e ~ N(0, I), so sigma is the standard deviation of the noise, a number above 0. The images are the
    rows of x, and their means the rows of the first value. The code may be longer than the image, and the columns of W
    need not be orthogonal. Both values have the dtype of the arguments, float32 or float64.
    """
    raise NotImplementedError("your code here")


# %% nbgrader={"grade": true, "grade_id": "05-ppca_posterior-check", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check("05.ppca_posterior", ppca_posterior)

# %% [markdown]
# <details><summary>Before you write: the answer</summary>
#
# Not at all: every image leaves the same uncertainty behind, only the means differ. And when $\sigma$ grows, the image
# says less and less: the posterior tends to the prior, $N(0, I)$. For every finite $\sigma$ it is Gaussian and, unless
# $W$ is zero, informative.
#
# </details>

# %% [markdown]
# ## 6. All codes together
#
# Difficulty 3 of 5 · 2 points · 10 minutes
#
# Let images of covariance $S$ come in, from wherever, and draw for each a code from its posterior. The distribution of
# all these codes together is the *aggregate* $q(z) = \mathbb{E}_x\, p(z|x)$: a mixture of Gaussians, one for each
# image. Its covariance needs no more of the images than $S$.
#
# **Before you write:** if the images are drawn from the model itself, $S = W W^\top + \sigma^2 I$. What must the
# aggregate be then, and what its covariance?


# %% nbgrader={"grade": false, "grade_id": "05-aggregate_covariance", "locked": false, "schema_version": 3, "solution": true, "task": false}
def aggregate_covariance(
    W: Float[Tensor, "pixels code"], sigma: float, data_cov: Float[Tensor, "pixels pixels"]
) -> Float[Tensor, "code code"]:
    """The covariance of z when x is drawn from data of covariance S = `data_cov`, and z from p(z|x) of pPCA.

    The model is that of `ppca_posterior`: x = W z + b + sigma e, sigma being a standard deviation. b and the mean of
    the data make no difference to a covariance. S may be any covariance, zero included; for W W^T + sigma^2 I the
    result is I. It has the dtype of the arguments, float32 or float64.
    """
    raise NotImplementedError("your code here")


# %% nbgrader={"grade": true, "grade_id": "05-aggregate_covariance-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("05.aggregate_covariance", aggregate_covariance)

# %% [markdown]
# <details><summary>Before you write: the answer</summary>
#
# The prior, $N(0, I)$: to draw $x$ from the model and $z$ from its posterior is to draw both from $p(z, x)$, in the
# other order. So where $W$ is not zero, infinitely many Gaussians with different means add up to a Gaussian.
#
# </details>

# %% [markdown]
# ## What you have built
#
# Put it to work on the 1,297 training images of the real 8 × 8 grey digits. The likeliest pPCA has a closed form: with
# the eigenvalues $L$ and eigenvectors $U$ of the data's covariance, $\sigma^2$ is the average of the eigenvalues left
# over, and $W = U (L - \sigma^2 I)^{1/2}$ for the largest, one for each number of the code (Tipping and Bishop, 1999).
# We take codes of four numbers.
#
# Digits are no Gaussian cloud: they come in ten kinds. So the data are not as the model would make them.
#
# **Predict:** which of the three aggregates has the covariance $I$: that of the digits the model was fitted to, that
# of held-out digits, that of all images the model can make? And is the first of them Gaussian?


# %%
def likeliest_ppca(
    x: Float[Tensor, "n pixels"], length: int
) -> tuple[Float[Tensor, "pixels code"], Float[Tensor, " pixels"], float]:
    """W, b and sigma of the likeliest model with codes so long: b the mean, sigma^2 the mean eigenvalue left."""
    L, U = torch.linalg.eigh(covariance_of(x))
    variance = L[:-length].mean()
    return U[:, -length:].flip(1) * (L[-length:].flip(0) - variance).sqrt(), x.mean(0), float(variance.sqrt())


def covariance_of(x: Float[Tensor, "n pixels"]) -> Float[Tensor, "pixels pixels"]:
    """Around the mean, divided by n: the covariance of drawing one of these very images."""
    return torch.cov(x.T, correction=0)


splits = digits()
images, held_out = (part.images.flatten(1).double() for part in (splits.train, splits.test))
length = 4
W, b, sigma = likeliest_ppca(images, length)

with when_solved():
    print("covariance of the aggregate: the variance of each number of z, and how far the whole matrix is from I")
    for name, S in {
        "digits it was fitted to": covariance_of(images),
        "held-out digits": covariance_of(held_out),
        "all the model can make": W @ W.T + sigma**2 * torch.eye(64).double(),
    }.items():
        C = aggregate_covariance(W, sigma, S)
        off = (C - torch.eye(length)).abs().max()
        print(f"  {name:24s}", *(f"{v:.4f}" for v in C.diagonal()), f"  largest difference {off:.4f}")

# %% [markdown]
# One number of the code at a time, the aggregate of $n$ images is a mixture of $n$ Gaussians with equal weights: the
# means are the posterior means of that number, the variances all the same. That is what your first four functions
# take. Beside the digits stand 1,297 images drawn from the model. The last row of the table above was about *all* it
# can make, by their exact covariance; these are a sample. Their aggregate is a finite mixture too, so it is no
# Gaussian either; it shows how near one comes with so many components when nothing is wrong.

# %%
generator = torch.Generator().manual_seed(5)
z, e = (torch.randn(shape, generator=generator, dtype=W.dtype) for shape in ((len(images), length), images.shape))
sources = {"digits": images, "drawn from the model": z @ W.T + b + sigma * e}
grid, t = torch.linspace(-8, 8, 321, dtype=W.dtype), torch.tensor([4.0], dtype=W.dtype)

with when_solved():
    for name, x in sources.items():
        means, C = ppca_posterior(W, b, sigma, x)
        weights = torch.full((len(x),), 1 / len(x)).double()
        mixtures = [(weights, means[:, j], C[j, j].expand(len(x))) for j in range(length)]
        print(f"{name}: {len(x)} posteriors, of variances", *(f"{v:.3f}" for v in C.diagonal()))
        print("  nats from Gaussian, one by one:", *(f"{kl_to_matched(*mixture, grid):.4f}" for mixture in mixtures))
        sizes = [float(torch.hypot(*characteristic_function(t, *mixture))) for mixture in mixtures]
        print(
            "  size of phi(4):                  ", *(f"{size:.4f}" for size in sizes), f"(N(0, 1): {math.exp(-8):.4f})"
        )

# %% [markdown]
# <details><summary>What the numbers say</summary>
#
# **The covariance is $I$ for the digits too**, and to the last digit: though they are not as the model would make
# them. The aggregate sees the data through $W$ alone. Its covariance is $I$ exactly where
# $W^\top S W = W^\top (W W^\top + \sigma^2 I)\, W$, and the fit makes sure of that: it gives $W$ the data's own
# variance in every direction it takes, whatever the training data are. All images that the model can make are such a
# case too. What $S$ is in the directions that $W$ does not take makes no difference. The held-out digits differ in
# those that it takes, by a little.
#
# **And it is no Gaussian.** No finite mixture is, unless all its components agree. But how far is it? For each number
# of the code, the digits' aggregate has the mean 0 and the variance 1, so its matched Gaussian is the prior $N(0, 1)$
# itself, and the nats are its distance from the prior: each time well above what as many images drawn from the model
# leave. In the characteristic function it shows as well: at $t = 4$ all of the digits' sizes stand far above $e^{-8}$,
# and above those of the images drawn, which are not $e^{-8}$ only because their number is finite.
#
# **So what of the article's argument?** That a finite mixture of Gaussians is no Gaussian, unless all its components
# agree, is right, and you have measured it. But each $p(z|x)$ here is Gaussian *and* informative *and* the model's own
# posterior: a $q(z|x)$ of that form matches it with no gap at all. What adds up to the prior is the mixture over all
# images the *model* can make, infinitely many. The mixture over 1,297 digits is another one. Here it shares two
# moments with the prior, and not the rest.
#
# </details>

# %% [markdown]
# **To go on thinking**
#
# - Set `length = 2`, then `length = 16`. The posteriors become wider or narrower; what happens to the nats, and why?
# - Draw 100, 1,000 and 10,000 images from the model. How do their nats fall with the number? Why do they never reach 0?
# - Turn the code: replace `W` by `W @ R` with some rotation `R`. Which of the numbers above may change, which may not?
# - Your `kl_to_matched` looks at one number of the code at a time. Could each of them be Gaussian, and all together
#   not be?
#
# **Reference.** M. E. Tipping and C. M. Bishop, *Probabilistic principal component analysis*, Journal of the Royal
# Statistical Society B 61(3), 1999.
