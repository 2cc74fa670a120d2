# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Exercise 06: does the code speak, and who pays for it?
#
# Chapter 06 (`chapters/06_autoregressive_decoders`) joined a code to a decoder that sees the past, and watched the
# code fall silent. Here you write the joint itself, and the instruments that tell what the code does afterwards. At
# the end they are put to models that are trained on real digits by your own layer.
#
# **After it you can**
#
# - let a code into a masked network so that the first pixel sees it, and no pixel sees its own future;
# - say what a bit costs two decoders, and why one of them has no use for a code;
# - measure information between a lower and an upper bound, and tell a saturated measurement from a true one;
# - read rate, distortion and information off a plane, and say what they decide and what they leave open;
# - account for bits back, and evaluate a prior that is an autoregressive flow.
#
# Six tasks, 12 points, 65 minutes. You need chapter 06 and a little torch: `conv2d`, `logsumexp`, broadcasting,
# `cumsum`. Everything is in nats but for task 5, which is about bits. An answer in any float dtype is welcome.
#
# **How it works.** Each task is a function with a contract. Replace the line that raises `NotImplementedError`, run
# the cell, run the `check` below it: it answers at once, and when something is off it shows the smallest case that
# fails. Stuck? `hint("06.first_layer")` in a new cell opens one hint at a time: a nudge, a formula, a skeleton. What
# to think about before you write is answered below each check, folded.

# %%
import math
from functools import cache

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from course_lib.data import digits
from course_lib.grading import check, hint, when_solved

# %% [markdown]
# ## 1. Past pixels and the whole code
#
# Difficulty 3 of 5 · 2 points · 10 minutes
#
# A code of a few numbers is painted into maps of the image's size, so that it can say different things at different
# places; the maps then stand beside the image as further channels. In the notation of the arguments below,
#
# $$\text{map}_m(\text{row}, \text{column}) = \sum_c z_c\, \text{paint}[c, m, \text{row}, \text{column}] .$$
#
# One convolution looks at all of it, image and maps. The image has a future that must not be seen. Have the maps?
# (Chapter 06's maps have a constant besides, which tells a place without any code. Here a code of 0 paints nothing.)
# (Source of the maps: van den Oord et al. 2016, arXiv 1606.05328, equation 5.)
#
# **Before you write:** suppose mask A is laid over all channels alike. Which pixel sees nothing of the code at all?
# And with a kernel of size 1?


# %% nbgrader={"grade": false, "grade_id": "06-first_layer", "locked": false, "schema_version": 3, "solution": true, "task": false}
def first_layer(
    x: Float[Tensor, "batch 1 height width"],
    z: Float[Tensor, "batch code"],
    weight: Float[Tensor, "out inputs k k"],
    paint: Float[Tensor, "code maps height width"],
) -> Float[Tensor, "batch out height width"]:
    """The first layer of a decoder log p(x|z): a convolution of the grey image and the maps, with zeros around both.

    `weight` has 1 + maps inputs: input 0 is the image, the others are the maps in order. Of the image a pixel sees what
    comes strictly before it in raster order (mask A); of the maps it sees all that the kernel covers. k is odd. The
    arguments are left as they are, and gradients flow to z, weight and paint.
    """
    raise NotImplementedError("your code here")


# %% nbgrader={"grade": true, "grade_id": "06-first_layer-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("06.first_layer", first_layer)

# %% [markdown]
# <details><summary>Before you write: an answer</summary>
#
# Pixel (0, 0): nothing comes before it, so of the maps nothing is left to it. With a kernel of size 1 no pixel sees
# any of the code. Neither raises an error; the code just seems to be of less use than it is.
#
# </details>

# %% [markdown]
# ## 2. One bit, two decoders
#
# Difficulty 3 of 5 · 2 points · 10 minutes
#
# The world of chapter 06: an image has $n$ pixels, all 0 or all 1, each half of the time. An encoder answers with one
# of finitely many codes. The decoder is the best one possible for this encoder, of its kind:
#
# - **independent pixels**: each pixel is drawn from $p(x_i \mid z) = q(x \mid z)$, without a look at the others;
# - **autoregressive**: the first pixel is drawn from $q(x \mid z)$, and each later one sees those before it.
#
# Here $q(x \mid z)$ is what the code gives away: by Bayes' rule, how probable each of the two images is once $z$ is
# known. The loss is $\text{distortion} + \text{rate}$. (Source: Rui Shu 2017, "Autoencoding a Single Bit".)
#
# **Before you write:** what does the second pixel cost the autoregressive decoder? And which code is the best for it?


# %% nbgrader={"grade": false, "grade_id": "06-one_bit", "locked": false, "schema_version": 3, "solution": true, "task": false}
def one_bit(
    pixels: int, q: Float[Tensor, "2 codes"], prior: Float[Tensor, " codes"], autoregressive: bool
) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
    """(distortion, rate) in nats per image, with the best decoder of its kind.

    q[0] is q(z|x) for the image of zeros, q[1] for the image of ones, each shown half of the time; `prior` is p(z). All
    are probabilities, no logarithms. distortion = -E log p(x|z), summed over the pixels; rate = E KL(q(z|x), p(z)).
    0 log 0 = 0, and a code that no image uses counts nothing. Where an image uses a code that the prior excludes, the
    rate is infinite.
    """
    raise NotImplementedError("your code here")


# %% nbgrader={"grade": true, "grade_id": "06-one_bit-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("06.one_bit", one_bit)

# %% [markdown]
# <details><summary>Before you write: an answer</summary>
#
# Nothing: the first pixel has told all. So that decoder pays $H(x \mid z)$ once, and the independent one $n$ times.
#
# The rate is $I(x; z) + \mathrm{KL}(q(z), p(z))$, and $I(x; z) = \log 2 - H(x \mid z)$. So the independent decoder's
# loss is $\log 2 + (n - 1)\, H(x \mid z) + \mathrm{KL}(q(z), p(z))$, and the autoregressive one's $\log 2 +
# \mathrm{KL}(q(z), p(z))$. What the code tells has dropped out of the latter: any code does whose aggregate is the
# prior, the empty one included. Nothing in that loss asks the code to speak.
#
# </details>

# %% [markdown]
# ## 3. The information meter
#
# Difficulty 3 of 5 · 2 points · 10 minutes
#
# Each of $N$ images has drawn a code from its own posterior, $z_i \sim q(z \mid x_i)$, and a table holds how probable
# each code is under every posterior: $\log q(z_i \mid x_j)$ in row $i$, column $j$. What does a code tell?
#
# $$I(x; z) = \mathbb{E} \big[ \log q(z_i \mid x_i) - \log q(z_i) \big]$$
#
# The aggregate $q(z)$ is a mean over all images there are, and there are $N$ at hand. With the image's own posterior
# in that mean we get a lower bound of the information, without it an upper one, both on average over data sets (Poole
# et al. 2019, arXiv 1905.06922):
#
# $$q(z_i) \approx \frac{1}{N} \sum_{j} q(z_i \mid x_j) \qquad\text{or}\qquad
#   q(z_i) \approx \frac{1}{N-1} \sum_{j \neq i} q(z_i \mid x_j) .$$
#
# The lower one cannot exceed $\log N$, its *ceiling*, whatever the truth. So a careful meter reports three numbers.
#
# **Before you write:** a paper measures the information of four models with batches of 50 images each, and finds 3.91
# nats for all of them. What has been measured?


# %% nbgrader={"grade": false, "grade_id": "06-information", "locked": false, "schema_version": 3, "solution": true, "task": false}
def information(
    log_q: Float[Tensor, "images images"],
) -> tuple[Float[Tensor, ""], Float[Tensor, ""], Float[Tensor, ""]]:
    """(lower, upper, ceiling) of I(x;z) in nats, where log_q[i, j] = log q(z_i|x_j).

    These are log-densities: they may be positive, and a row may lie in the minus tens of thousands. Minus infinity is
    the logarithm of 0: a code that another image cannot send. Where no other image can send a code the upper bound is
    infinite. Raises ValueError for fewer than two images.
    """
    raise NotImplementedError("your code here")


# %% nbgrader={"grade": true, "grade_id": "06-information-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("06.information", information)

# %% [markdown]
# <details><summary>Before you write: an answer</summary>
#
# The size of the batch: $\log 50 = 3.91$. All four codes tell 50 images apart, and so each of them tells 3.91 nats *or
# more*. How much more, 50 images cannot say.
#
# </details>

# %% [markdown]
# ## 4. Reading the rate-distortion plane
#
# Difficulty 2 of 5 · 2 points · 10 minutes
#
# Each model is a point: rate $R$ along one axis, distortion $D$ along the other. The ELBO sees $R + D$ alone, so on a
# line of slope $-1$ all models look alike to it (Alemi et al. 2018, arXiv 1711.00464). With a price $\beta$ on the
# rate the lines have slope $-\beta$, or $-1/\beta$: draw them and see which, with $D$ upwards.
#
# Four things can be read off for any set of models; write them down.
#
# **Before you write:** a model has a rate of 2 nats. Is it collapsed?


# %% nbgrader={"grade": false, "grade_id": "06-read_plane", "locked": false, "schema_version": 3, "solution": true, "task": false}
def read_plane(
    rate: Float[Tensor, " models"],
    distortion: Float[Tensor, " models"],
    information: Float[Tensor, " models"],
    beta: float,
) -> tuple[Tensor, Tensor, Tensor, int]:
    """(bound, aggregate gap, dominated, chosen) of models of one data set, all measured in nats per image.

    bound: what the average NLL, -log p(x), of each model is at most. Aggregate gap: KL(q(z), p(z)), what is left of the rate when
    the information is taken from it. dominated: a boolean tensor, True for a model where some other has no higher rate
    and no higher distortion, and one of the two strictly lower. chosen: the number, from 0, of the model with the
    least distortion + beta rate; no two models tie for it.
    Raises ValueError where the information of a model exceeds its rate by more than 0.1 nats: no encoder does that, so
    one of the two is measured wrongly. Up to 0.1 nats may be chance, among some hundreds of images.
    """
    raise NotImplementedError("your code here")


# %% nbgrader={"grade": true, "grade_id": "06-read_plane-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("06.read_plane", read_plane)

# %% [markdown]
# <details><summary>Before you write: an answer</summary>
#
# The plane does not say. If its aggregate gap is 2 nats as well the code tells nothing: all images get the same codes,
# in another place than the prior has them. A rate of 0 is silence; a rate of 2 is a price, and information is what may
# have been bought for it. (And with $D$ upwards the slope is $-\beta$: a nat of rate is worth $\beta$ of distortion.)
#
# </details>

# %% [markdown]
# ## 5. Bits back
#
# Difficulty 3 of 5 · 2 points · 15 minutes
#
# A sender has a pile of random bits, which the receiver is to get as well, and a chain of images to send. For each
# image in turn the sender
#
# 1. **takes** $-\log_2 q(z \mid x)$ bits off the pile, to choose the code $z$ with;
# 2. **puts** $-\log_2 p(x \mid z)$ and $-\log_2 p(z)$ bits on it: the image, given the code, and the code.
#
# In the end the pile is sent. The receiver undoes it from the last image to the first, finds $x$ and $z$, works out
# which bits $z$ was chosen with, and lays them back. What was taken is not lost. (Codes and images are discrete here,
# so all three are probabilities. Source: Townsend, Bird and Barber 2019, arXiv 1901.04866.)
#
# **Before you write:** what is the average net length of an image, over the codes that $q$ draws? Which number of
# chapter 04 is that, and by how much is it longer than $-\log_2 p(x)$?


# %% nbgrader={"grade": false, "grade_id": "06-bits_back", "locked": false, "schema_version": 3, "solution": true, "task": false}
def bits_back(
    log_prior: Float[Tensor, " images"], log_likelihood: Float[Tensor, " images"], log_q: Float[Tensor, " images"]
) -> tuple[Float[Tensor, " images"], Float[Tensor, ""]]:
    """(net length of each image, bits that must be on the pile at the beginning), both in bits.

    Entry t holds log p(z_t), log p(x_t|z_t) and log q(z_t|x_t), in nats, of the t-th image sent and the code that was
    chosen for it; none is positive. The net length is by how much the image makes the pile grow, which may be negative.
    The bits at the beginning are the fewest with which the pile never runs out: each image takes before it puts.
    """
    raise NotImplementedError("your code here")


# %% nbgrader={"grade": true, "grade_id": "06-bits_back-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("06.bits_back", bits_back)

# %% [markdown]
# <details><summary>Before you write: an answer</summary>
#
# It is minus the ELBO, in bits. So by chapter 04 it is longer than $-\log_2 p(x)$ by $\mathrm{KL}(q(z \mid x), p(z
# \mid x))$: a code is free exactly where $q$ is the posterior. A decoder that can do without $z$ may leave it unused:
# then the posterior is the prior, $q$ can be the prior as well, and nothing is lost. One that uses $z$ has a posterior
# which $q$ has to match, and pays for every miss.
#
# </details>

# %% [markdown]
# ## 6. A prior that is an autoregressive flow
#
# Difficulty 2 of 5 · 2 points · 10 minutes
#
# What the aggregate misses the prior by is paid for. One can move the codes to the prior; or the prior to the codes. A
# layer of an affine autoregressive flow lets number $i$ of the code depend on those before it:
#
# $$z_i = b_i(z_{<i}) + e^{s_i(z_{<i})}\, e_i, \qquad e_i \sim N(0, 1) ,$$
#
# with a shift $b_i$ and a log-scale $s_i$. Given $z$, the noise $e$ is found at once, and the change of variables adds
# the logarithm of the determinant of $\partial e / \partial z$, a triangular matrix, to $\log N(e; 0, I)$. Here shift
# and log-scale are linear in the numbers before (Chen et al. 2017, arXiv 1611.02731, has networks there):
#
# $$b_i = \sum_{j < i} B_{ij} z_j + b^0_i, \qquad s_i = \sum_{j < i} S_{ij} z_j + s^0_i .$$
#
# **Before you write:** one number, scale 2. At $z = 0$, is the density higher or lower than that of $N(0, 1)$? What
# does that say about the sign?


# %% nbgrader={"grade": false, "grade_id": "06-flow_log_prob", "locked": false, "schema_version": 3, "solution": true, "task": false}
def flow_log_prob(
    z: Float[Tensor, "batch code"],
    shift_weight: Float[Tensor, "code code"],
    shift_bias: Float[Tensor, " code"],
    scale_weight: Float[Tensor, "code code"],
    scale_bias: Float[Tensor, " code"],
) -> Float[Tensor, " batch"]:
    """log p(z) of each code, in nats: log N(e; 0, I) + log |det de/dz|.

    shift_weight is B, shift_bias b^0, scale_weight S and scale_bias s^0. Both matrices come whole: their entries with
    j >= i take no part. Exact far out as well, and gradients flow to all arguments.
    """
    raise NotImplementedError("your code here")


# %% nbgrader={"grade": true, "grade_id": "06-flow_log_prob-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("06.flow_log_prob", flow_log_prob)

# %% [markdown]
# <details><summary>Before you write: an answer</summary>
#
# Lower, by the factor 2: the same probability is spread over twice the room. So the log-scale is subtracted.
#
# </details>

# %% [markdown]
# ## What you have built
#
# First the one bit. Codes are now points on a line: $q(z \mid x) = N(\pm \mu, s^2)$ and $p(z) = N(0, 1)$, on a fine
# grid of $z$. For each number of pixels, the best of many pairs $(\mu, s)$ is taken, the empty code $(0, 1)$ among
# them.
#
# **Predict:** for which number of pixels does a code begin to pay, with either decoder?


# %%
GRID = torch.linspace(-8, 8, 401, dtype=torch.float64)


def on_grid(mean: float, sd: float) -> Float[Tensor, " codes"]:
    """N(mean, sd^2) as probabilities of the points of the grid."""
    return (-0.5 * ((GRID - mean) / sd) ** 2).softmax(0)


with when_solved():
    pairs = [(0.0, 1.0), *((m / 20, s / 20) for m in range(8, 34) for s in range(4, 20))]
    tables = [torch.stack([on_grid(-mu, s), on_grid(mu, s)]) for mu, s in pairs]
    rows = []
    for pixels in (1, 2, 10, 100):
        losses = [float(sum(one_bit(pixels, q, on_grid(0, 1), False))) for q in tables]
        together = [float(sum(one_bit(pixels, q, on_grid(0, 1), True))) for q in tables]
        left_open = one_bit(1, tables[losses.index(min(losses))], on_grid(0, 1), False)[0]
        told = abs(math.log(2) - float(left_open))
        rows.append(f"{pixels:6} {min(losses):19.3f} {told:13.3f} {together[0]:24.3f} {min(together):22.3f}")
    print("pixels   independent: loss   information   autoregressive: loss, of the empty code and of the best")
    print("\n".join(rows))

# %% [markdown]
# <details><summary>What the numbers say</summary>
#
# From two pixels on a code pays for independent pixels, and the more pixels there are the more it tells, up to $\log 2
# = 0.693$. Their number plays the part of $1/\beta$. The autoregressive decoder is at $\log 2$ with an empty code
# whatever their number is, and no code on the grid improves on that. (Chapter 06's losses lie a little lower: there the
# best pair is searched for, here it is taken from a grid of pairs.)
#
# </details>

# %% [markdown]
# Now real digits of 8 × 8 pixels, black and white. `first_layer` is the only layer of the decoder that looks around;
# after it come two layers that work on each pixel by itself. So its kernel is the knob: with a kernel of size 1 a
# pixel sees the code alone, with one of size 7 the code and the past within three rows and columns: a field of 0 and
# one of 3, in the words of chapter 06.
#
# **Predict:** what does the larger kernel do to the distortion, the rate and the information? And which of the three
# follows $\beta = 4$, which makes the rate four times as dear?


# %% tags=["nbval-ignore-output"]
class Model(nn.Module):
    """A small VAE: a code of four numbers, an encoder of two layers, and a decoder with `first_layer` in front."""

    def __init__(self, kernel: int, width: int = 16, maps: int = 4, code: int = 4):
        super().__init__()
        self.encoder = nn.Sequential(nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 2 * code))
        self.weight = nn.Parameter(torch.randn(width, 1 + maps, kernel, kernel) / kernel)
        self.paint = nn.Parameter(torch.randn(code, maps, 8, 8) / 2)
        self.pixelwise = nn.Sequential(nn.ReLU(), nn.Conv2d(width, width, 1), nn.ReLU(), nn.Conv2d(width, 1, 1))

    def encode(self, x: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
        """(z, mu, log_var), each [batch, code]."""
        mu, log_var = self.encoder(2 * x - 1).chunk(2, dim=1)
        return mu + (log_var / 2).exp() * torch.randn(mu.shape, generator=generator), mu, log_var

    def log_prob(self, x: Tensor, z: Tensor) -> Float[Tensor, " batch"]:
        """log p(x|z)"""
        logits = self.pixelwise(first_layer(2 * x - 1, z, self.weight, self.paint))
        return -F.binary_cross_entropy_with_logits(logits, x, reduction="none").sum((1, 2, 3))


def kl_to_normal(mu: Tensor, log_var: Tensor) -> Float[Tensor, " batch"]:
    return 0.5 * (mu**2 + log_var.exp() - 1 - log_var).sum(1)


def fit(images: Float[Tensor, "n 1 8 8"], kernel: int, beta: float, steps: int = 300) -> Model:
    """A model trained for distortion + beta rate."""
    torch.manual_seed(0)
    model, generator = Model(kernel), torch.Generator().manual_seed(0)
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    for _ in range(steps):
        x = images[torch.randint(len(images), (64,), generator=generator)]
        z, mu, log_var = model.encode(x, generator)
        loss = (beta * kl_to_normal(mu, log_var) - model.log_prob(x, z)).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model.requires_grad_(False)


def gaussian(z: Tensor, mu: Tensor | float, log_var: Tensor | float) -> Tensor:
    """log N(z; mu, var), summed over the numbers of the code."""
    log_var = torch.as_tensor(log_var)
    return (-0.5 * ((z - mu) ** 2 / log_var.exp() + log_var + math.log(2 * math.pi))).sum(-1)


SETTINGS = {"kernel 1": (1, 1.0), "kernel 7": (7, 1.0), "kernel 7, beta 4": (7, 4.0)}
split = digits(binary=True)
train, test = split.train.images, split.test.images


@cache
def trained(name: str) -> Model:
    """The model of that setting, trained when it is first asked for."""
    return fit(train, *SETTINGS[name])


def codes_of(name: str, images: Float[Tensor, "n 1 8 8"] = test) -> tuple[Tensor, Tensor, Tensor]:
    """(z, mu, log_var) of some images, one draw of z for each."""
    return trained(name).encode(images, torch.Generator().manual_seed(1))


def measure(name: str) -> tuple[Tensor, ...]:
    """(rate, distortion, lower, upper, ceiling) on the test images."""
    z, mu, log_var = codes_of(name)
    found = information(gaussian(z[:, None], mu, log_var))
    return kl_to_normal(mu, log_var).mean(), -trained(name).log_prob(test, z).mean(), *found


with when_solved():
    rate, distortion, lower, upper, ceiling = torch.tensor([measure(name) for name in SETTINGS]).T
    bound, gap, dominated, _ = read_plane(rate, distortion, lower, 1.0)
    print("nats per image    rate  distortion  bound on the NLL  information (ceiling)  aggregate gap  dominated")
    for i, name in enumerate(SETTINGS):
        print(
            f"{name:<17}{rate[i]:5.2f} {distortion[i]:11.2f} {bound[i]:17.2f}   {lower[i]:.2f} to {upper[i]:.2f} "
            f"({ceiling[i]:.2f}) {gap[i]:15.2f}  {bool(dominated[i])}"
        )
    for beta in (0.1, 1.0, 4.0, 20.0):
        print(f"where a nat of rate costs {beta:4}: {list(SETTINGS)[read_plane(rate, distortion, lower, beta)[3]]}")

# %% [markdown]
# <details><summary>What the numbers say</summary>
#
# With a kernel of 7 a pixel sees the stroke it belongs to, and little has to be told: distortion and rate both fall,
# and *kernel 1* is dominated. Has the code become quieter? By its rate one would say so. By the meter, only a little:
# what has fallen is above all the aggregate gap. One layer that looks around is no strong decoder yet; the deep ones
# of chapter 06 take over more.
#
# With $\beta = 4$ the code is silent: rate and information are 0 up to chance, which may even make the gap come out
# negative. Nobody dominates that model, for none has a lower rate. And its bound on the NLL is better than that of
# *kernel 1*, which speaks: the ELBO adds up rate and distortion, and does not ask who tells the decoder what.
#
# </details>

# %% [markdown]
# How to misread the meter. Take the codes of *kernel 7*, and beside them the same means with posteriors a thousand
# times narrower: nobody has trained those, and each of them names its image. Now show the meter more and more images.
#
# **Predict:** which of the two lower bounds keeps growing, and how fast?

# %% tags=["nbval-ignore-output"]
with when_solved():
    z, mu, log_var = codes_of("kernel 7")
    narrow_z, narrow_log_var = mu + (z - mu) / 1000, log_var - 2 * math.log(1000)
    print("images   log N    as trained      a thousand times narrower")
    for n in (10, 30, 100, 250):
        low, high, top = information(gaussian(z[:n, None], mu[:n], log_var[:n]))
        narrow_low, narrow_high, _ = information(gaussian(narrow_z[:n, None], mu[:n], narrow_log_var[:n]))
        print(f"{n:6} {top:7.2f}    {low:.2f} to {high:.2f}    {narrow_low:.2f} to {narrow_high:,.0f}")

# %% [markdown]
# <details><summary>What the numbers say</summary>
#
# The narrow ones stay at $\log N$, however many images there are: saturated. Their upper bound is far off, and so all
# that is known is that they tell $\log N$ or more. The trained ones bend away from $\log N$, and their bounds close
# in from both sides, the upper one falling: it leaves out the image's own posterior, and among few others hardly any
# comes near. Here the number of images suffices, and the meter has measured something.
#
# </details>

# %% [markdown]
# Codes of four real numbers can be sent as well, once each is rounded to so many binary digits. The probability of a
# rounded code is nearly its density times the size of its cell, under the prior and under $q$ alike.
#
# **Predict:** what do finer cells do to the net length, and to the bits at the beginning? And what can a flow save
# that is fitted to the codes of the training images?

# %% tags=["nbval-ignore-output"]
with when_solved():
    z, mu, log_var = codes_of("kernel 7")
    log_likelihood, log_prior, log_q = (
        trained("kernel 7").log_prob(test, z),
        gaussian(z, 0.0, 0.0),
        gaussian(z, mu, log_var),
    )
    for places in (8, 16):
        cell = -4 * places * math.log(2)
        net, needed = bits_back(log_prior + cell, log_likelihood, log_q + cell)
        print(f"{places:2} binary places: {net.mean():.2f} bits an image, {needed:.1f} bits at the beginning")
    print(f"rate and distortion together: {sum(measure('kernel 7')[:2]) / math.log(2):.2f} bits an image")

# %% tags=["nbval-ignore-output"]
with when_solved():
    flow = [torch.zeros(shape, requires_grad=True) for shape in ((4, 4), (4,), (4, 4), (4,))]
    codes = codes_of("kernel 7", train)[0]
    optimiser = torch.optim.Adam(flow, 0.02)
    for _ in range(300):
        optimiser.zero_grad()
        (-flow_log_prob(codes, *flow).mean()).backward()
        optimiser.step()
    z = codes_of("kernel 7")[0]
    saved = (flow_log_prob(z, *flow) - gaussian(z, 0.0, 0.0)).mean()
    print(f"rate with N(0, I) as prior less that with the flow, test images: {saved:.2f} nats")

# %% [markdown]
# <details><summary>What the numbers say</summary>
#
# Finer cells leave the net length as it is: the code puts more bits on the pile, and takes as many more off it. Up to
# chance, since each code was drawn once, it is rate and distortion together. At the beginning eight more places for
# each of four numbers ask for 32 more bits, once for the whole chain.
#
# The flow moves the prior to the codes and saves a part of the aggregate gap. It is one layer of linear shifts and
# scales; that of chapter 06 has several, with networks in them.
#
# </details>

# %% [markdown]
# **To go on thinking**
#
# - Lay the mask over the maps as well, in a copy of your `first_layer`, and train again. Which kernel suffers more,
#   and would you have noticed without the other model beside it?
# - Train *kernel 7* with $\beta = 0.2$. Where on the plane does it come to lie, and which of the four columns would
#   tell you that its samples from the prior are poor?
# - The meter gave the silent model a little information. How much may be chance? Draw the codes with other seeds.
# - Reverse the numbers of the code before the flow, or put two layers on top of each other with a reversal between.
#   Does it save more?
