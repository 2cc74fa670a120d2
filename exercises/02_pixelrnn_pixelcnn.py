# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Exercise 02: from one mask to a sampler
#
# Chapter 02 (`chapters/02_pixelrnn_pixelcnn`) showed how a convolution learns to look only backwards. Here you build
# that machine from its smallest part, and at the end your own code draws pictures.
#
# **After it you can**
#
# - draw the masks A and B, and say why the first layer needs one and all others the other;
# - mask a convolution so that no colour of no pixel sees its own future;
# - compute the log-likelihood of an image from its logits, in nats, without losing a single one to rounding;
# - draw a picture pixel by pixel, reproducibly.
#
# Five tasks, 10 points, 55 minutes. You need chapter 02 and a little torch: indexing, `arange`, `conv2d`.
#
# **How it works.** Each task is a function with a contract. Replace the line that raises `NotImplementedError`, run the
# cell, run the `check` below it: it answers at once, and when something is off it shows the smallest case that fails.
# Stuck? `hint("02.mask_a")` in a new cell opens one hint at a time: a nudge, a formula, a skeleton.

# %%
import math
from collections.abc import Callable

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from course_lib.grading import check, hint, when_solved

# %% [markdown]
# ## 1. Mask A: strictly the past
#
# Difficulty 1 of 5 · 1 point · 5 minutes
#
# A kernel of size $k$ looks at a $k \times k$ window around a pixel. Read the window like a page, row by row.
#
# **Before you write:** of the 9 entries of a 3 × 3 window, how many come before the one in the middle? Of the 25 of a
# 5 × 5 window?


# %% nbgrader={"grade": false, "grade_id": "02-mask_a", "locked": false, "schema_version": 3, "solution": true, "task": false}
def mask_a(kernel_size: int) -> Float[Tensor, "k k"]:
    """The mask that shows the past and hides everything else.

    mask[i, j] = 1 where entry (i, j) comes strictly before the centre in raster order, else 0. The centre of a k x k
    kernel is [k // 2, k // 2], counted from 0. Returns float32, as `torch.zeros` makes it.
    Raises ValueError for an even size, which has no centre.
    """
    raise NotImplementedError("your code here")


# %% nbgrader={"grade": true, "grade_id": "02-mask_a-check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
check("02.mask_a", mask_a)

# %% [markdown]
# ## 2. Mask B: the past and the present
#
# Difficulty 1 of 5 · 1 point · 5 minutes
#
# From the second layer on, the entry in the middle no longer holds the pixel itself. It holds what the first layer made
# of that pixel's past.
#
# **Before you write:** what would a deep network lose if every layer used mask A?


# %% nbgrader={"grade": false, "grade_id": "02-mask_b", "locked": false, "schema_version": 3, "solution": true, "task": false}
def mask_b(kernel_size: int) -> Float[Tensor, "k k"]:
    """The mask that shows the past and the centre.

    As `mask_a`, and 1 at the centre too. Returns float32. Raises ValueError for an even size.
    """
    raise NotImplementedError("your code here")


# %% nbgrader={"grade": true, "grade_id": "02-mask_b-check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
check("02.mask_b", mask_b)

# %% [markdown]
# ## 3. A masked convolution, colours included
#
# Difficulty 3 of 5 · 3 points · 20 minutes
#
# A colour picture is a sequence too: red of the first pixel, then its green, then its blue, then red of the second.
# So at the centre the question is not only *where* but *which colour*: green may see the red of its own pixel, and blue
# may see both. Seeing its own value is what kind A forbids and kind B allows. Of every earlier pixel all colours are
# known.
#
# A layer has many channels, and they are shared out among the colours in **contiguous equal groups**: of $n$ channels,
# channel $j$ belongs to colour $\lfloor j \cdot \text{colours} / n \rfloor$. With `colours=3` and 6 channels,
# channels 0 and 1 are red, 2 and 3 green, 4 and 5 blue.
#
# **Before you write:** a kernel of size 1 with kind A, 3 channels in and 3 out. Which of its 9 weights survive?


# %% nbgrader={"grade": false, "grade_id": "02-masked_conv2d", "locked": false, "schema_version": 3, "solution": true, "task": false}
def masked_conv2d(
    x: Float[Tensor, "batch in height width"],
    weight: Float[Tensor, "out in k k"],
    bias: Float[Tensor, " out"],
    kind: str,
    colours: int,
) -> Float[Tensor, "batch out height width"]:
    """A convolution that looks only backwards, with zeros around the picture so that its size stays.

    Before the centre in raster order every weight counts; after it, none. At the centre, a weight from channel i to
    channel o counts where colour(i) < colour(o) for kind "A", and where colour(i) <= colour(o) for kind "B". Channel j
    of n belongs to colour j * colours // n; one colour is grey, three are red, green and blue. k is odd.
    The arguments are left as they are: `weight` belongs to the optimiser.
    """
    raise NotImplementedError("your code here")


# %% nbgrader={"grade": true, "grade_id": "02-masked_conv2d-check", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check("02.masked_conv2d", masked_conv2d)

# %% [markdown]
# ## 4. How likely is this image?
#
# Difficulty 2 of 5 · 2 points · 10 minutes
#
# The network answers with one logit $l_i$ for each pixel: given the past, the pixel is 1 with probability
# $\sigma(l_i) = 1 / (1 + e^{-l_i})$. By the chain rule the probability of the image is the product of its pixels', so
#
# $$\log p(x) = \sum_i \big[\, x_i \log \sigma(l_i) + (1 - x_i) \log (1 - \sigma(l_i)) \,\big] .$$
#
# **Before you write:** a logit of 3000 and a pixel that is 0. What is $\log p$ of that pixel, in nats? And what do
# `sigmoid` and `log`, one after the other, say it is?


# %% nbgrader={"grade": false, "grade_id": "02-log_likelihood", "locked": false, "schema_version": 3, "solution": true, "task": false}
def log_likelihood(
    logits: Float[Tensor, "batch channels height width"],
    x: Float[Tensor, "batch channels height width"],
) -> Float[Tensor, " batch"]:
    """log p(x) of each binary image, in nats: summed over channels and pixels, never over the batch.

    Each x_i is 0 or 1, and is 1 with probability sigmoid(l_i). Exact for logits in the thousands as well. Returns any
    float dtype.
    """
    raise NotImplementedError("your code here")


# %% nbgrader={"grade": true, "grade_id": "02-log_likelihood-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("02.log_likelihood", log_likelihood)

# %% [markdown]
# ## 5. A sampler, pixel by pixel
#
# Difficulty 2 of 5 · 3 points · 15 minutes
#
# Training sees the whole picture at once. Drawing cannot: a pixel is drawn from what has been drawn before it, then put
# into the picture, and only then can the next one be asked for.
#
# **Before you write:** how often is the model called for one picture of 28 × 28? And for 100 pictures at a time?


# %% nbgrader={"grade": false, "grade_id": "02-sample", "locked": false, "schema_version": 3, "solution": true, "task": false}
def sample(
    model: Callable[[Tensor], Tensor], shape: tuple[int, int, int, int], generator: torch.Generator
) -> Float[Tensor, "batch 1 height width"]:
    """Draws binary images: x_i ~ Bernoulli(sigmoid(l_i)), pixel after pixel in raster order.

    `model(x)` gives logits of the shape of x; the logit of a pixel depends on the pixels before it alone. `shape` is
    (batch, 1, height, width), and one call of the model for each pixel is expected to serve the whole batch. All chance
    comes from `generator`: the same seed gives the same images. Returns float32, zeros and ones.
    """
    raise NotImplementedError("your code here")


# %% nbgrader={"grade": true, "grade_id": "02-sample-check", "locked": true, "points": 3, "schema_version": 3, "solution": false, "task": false}
check("02.sample", sample)

# %% [markdown]
# ## What you have built
#
# Put it to work. The cell below calls three of your functions: the masked convolution, with weights chosen by hand, is
# the model; the sampler draws from it; the log-likelihood says how probable each drawing was. By the weights, a pixel
# would like to agree with the one above it and to differ from the one on its left.
#
# **Predict:** what will the pictures look like? And if you change the sign of the first weight?


# %%
def stripes(x: Float[Tensor, "batch 1 height width"]) -> Float[Tensor, "batch 1 height width"]:
    """logit = 2 above - 2 left, where a neighbour counts +1 if it is 1, -1 if it is 0, and 0 outside the picture."""
    weight = torch.zeros(1, 1, 3, 3)
    weight[0, 0, 0, 1], weight[0, 0, 1, 0] = 2.0, -2.0
    return masked_conv2d(2 * x - 1, weight, torch.zeros(1), "A", 1)


def draw(picture: Float[Tensor, "1 height width"]) -> str:
    return "\n".join("".join(".#"[int(pixel)] for pixel in row) for row in picture[0])


with when_solved():
    pictures = sample(stripes, (2, 1, 8, 32), torch.Generator().manual_seed(2))
    for picture, nats in zip(pictures, log_likelihood(stripes(pictures), pictures)):
        print(draw(picture))
        print(f"log p = {nats:.1f} nats; with a fair coin for each pixel, {-8 * 32 * math.log(2):.1f}")

# %% [markdown]
# <details><summary>What the pictures look like, and with the other sign</summary>
#
# Upright stripes, one pixel wide: to agree with the pixel above makes columns, to differ from the pixel on the left
# makes them alternate. Here and there a column begins wrong or changes its mind, for every pixel is drawn by chance;
# still each picture is far more probable than it would be with fair coins. With $-2$ for the pixel above, a pixel would
# like to differ from both its neighbours: a chessboard.
#
# </details>

# %% [markdown]
# Nothing here knew what a stripe is: two weights and a loop were enough. In chapter 02 the weights are learned; how to
# make the loop fast is a later story.
#
# **To go on thinking**
#
# - Your sampler calls the model for the whole picture, and uses one pixel of the answer. What could be kept?
# - `mask_a` in the first layer: what would happen with mask B there? Try it: in `stripes`, make the kind "B" and give
#   the centre a weight, `weight[0, 0, 1, 1] = 2.0`. Which log p do the drawings get, and can you believe it?
# - In what order could one read a picture other than raster order, and which of your five functions would change?
