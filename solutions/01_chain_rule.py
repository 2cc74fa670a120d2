# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # Exercise 01: what a picture costs, and what independence adds
#
# Chapter 01 (`chapters/01_chain_rule`) took a world of pictures so small that every one of them stands in a table. Here
# you write the tools that read such a table, and at the end you put them to patches of real handwriting.
#
# **After it you can**
#
# - say in bits what a picture costs under the right model and under a wrong one;
# - read any conditional off a joint table, and turn the table into a chain in any order of the pixels;
# - compute what independent pixels cost, before and after something else is known;
# - show that "each pixel given all others" is not a model.
#
# Six tasks, 10 points, 55 minutes. You need chapter 01 and a little torch: `sum` along axes, `expand`, `stack`.
#
# **How it works.** Each task is a function with a contract. Replace the line that raises `NotImplementedError`, run the
# cell, run the `check` below it: it answers at once, and when something is off it shows the smallest case that fails.
# Stuck? `hint("01.code_length")` in a new cell opens one hint at a time: a nudge, a formula, a skeleton.
#
# **The table.** A picture of $n$ binary pixels is one of $2^n$ states. The table `p` has one axis of length 2 for each
# pixel, so its shape is `[2] * n`: `p[1, 0, 0, 1]` is the probability that pixels 0 and 3 are 1 and pixels 1 and 2 are
# 0. The pixels are numbered in raster order, from 0, and pixel $i$ is axis $i$. To forget pixel $i$ is to sum over its
# axis. The probabilities of a table are never negative and sum to 1; some may be 0.
#
# Chapter 01 writes the same table flat, as 16 numbers in a row, and counts the pixels from 1 in its formulas: its $x_1$
# is pixel 0 here. `p.view(2, 2, 2, 2)` makes this table of a flat one, `p.flatten()` makes the flat one of this.

# %% [markdown] tags=["solution-only"]
# *This is the solution. It is worth more after an honest try at `exercises/01_chain_rule`. Each answer is one of many
# that are right.*

# %%
import math

import torch
from jaxtyping import Float, Int
from torch import Tensor

from course_lib.data import Split, digits
from course_lib.grading import check, hint, when_solved

# %% [markdown]
# ## 1. What does a picture cost?
#
# Difficulty 1 of 5 · 1 point · 5 minutes · in bits
#
# A code built for a model gives a picture of probability $m(x)$ a word of $-\log_2 m(x)$ bits. The pictures come from
# $p$, and the model may be another: then some words are too long and some too short.
#
# **Before you write:** in a world of 16 equally probable pictures, how many bits does one cost? And under a code for a
# model that gives no room to one of them?


# %% nbgrader={"grade": false, "grade_id": "01-code_length", "locked": false, "schema_version": 3, "solution": true, "task": false}
def code_length(p: Float[Tensor, "*pixels"], model: Float[Tensor, "*pixels"]) -> Float[Tensor, ""]:
    """L = -sum_x p(x) log2 model(x): what pictures of p cost on average under a code for `model`, in bits each.

    A state with p(x) = 0 adds 0, whatever the model gives it. Where p(x) > 0 and model(x) = 0, the length is infinite.
    Returns one number, as a float or a tensor.
    """
    ### BEGIN SOLUTION
    return -torch.xlogy(p, model).sum() / math.log(2)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "01-code_length-check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
check("01.code_length", code_length)
### BEGIN HIDDEN TESTS
check("01.code_length", code_length, strict=True)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>Before you write: the answer</summary>
#
# 4 bits. With no room for one of them, infinitely many: that picture has no word, and it does occur.
#
# </details>

# %% [markdown]
# ## 2. What is known of a pixel
#
# Difficulty 3 of 5 · 2 points · 15 minutes · probabilities
#
# $$p(x_i \mid x_G) = \frac{p(x_i, x_G)}{p(x_G)},$$
#
# where $G$ is the set of pixels that are given. All pixels that are neither $i$ nor in $G$ are hidden: their values are
# summed over. The answer is **read off at every state**: at the state $x$ stands the probability that pixel $i$ has the
# value it has in $x$, given that the pixels of $G$ have theirs. So it has the shape of `p`, and two states that differ
# only in hidden pixels hold the same number. In the table `[[0.1, 0.2], [0.3, 0.4]]` pixel 0 is 0 with probability 0.3,
# and `conditional(p, 0, [])` is `[[0.3, 0.3], [0.7, 0.7]]`: pixel 1 is hidden, and along its axis each number stands
# twice.
#
# **Before you write:** three pixels. Which axes are summed over for $p(x_0, x_2)$, and which for $p(x_2)$?


# %% nbgrader={"grade": false, "grade_id": "01-conditional", "locked": false, "schema_version": 3, "solution": true, "task": false}
def conditional(p: Float[Tensor, "*pixels"], pixel: int, given: list[int]) -> Float[Tensor, "*pixels"]:
    """p(x_pixel | x_given), read off at every state: of the shape and dtype of p.

    `given` holds other pixels than `pixel`, each once, in any order, and is left as it is. Where it is empty, the
    answer is p(x_pixel). Where x_given never occurs, nothing can be said, and the answer is nan: 0 / 0 gives that by
    itself.
    """
    ### BEGIN SOLUTION
    hidden = [i for i in range(p.dim()) if i != pixel and i not in given]
    both = p.sum(hidden, keepdim=True) if hidden else p
    return (both / both.sum(pixel, keepdim=True)).expand(p.shape)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "01-conditional-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("01.conditional", conditional)
### BEGIN HIDDEN TESTS
check("01.conditional", conditional, strict=True)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>Before you write: the answer</summary>
#
# Axis 1 for $p(x_0, x_2)$; axes 0 and 1 for $p(x_2)$, or axis 0 of what has been summed already.
#
# </details>

# %% [markdown] tags=["solution-only"]
# *Torch takes an empty list of axes to mean all of them, so the case where nothing is hidden is kept apart.*

# %% [markdown]
# ## 3. One picture, any order
#
# Difficulty 2 of 5 · 2 points · 10 minutes · probabilities
#
# The chain rule takes the pixels in an order $\pi$ and asks for each given those before it:
#
# $$p(x) = \prod_{k=0}^{n-1} p(x_{\pi_k} \mid x_{\pi_0}, \dots, x_{\pi_{k-1}}) .$$
#
# **Before you write:** how many numbers may one choose freely in a table of 4 binary pixels? And in the conditionals of
# a chain: one for the first pixel, one for each value of the first for the second, and so on?


# %% nbgrader={"grade": false, "grade_id": "01-chain", "locked": false, "schema_version": 3, "solution": true, "task": false}
def chain(p: Float[Tensor, "*pixels"], order: list[int]) -> Float[Tensor, " steps *pixels"]:
    """The conditionals of the chain rule, one row for each step; wherever p(x) > 0, the product of the rows is p(x).

    Row k is p(x_order[k] | x_order[0], ..., x_order[k - 1]), read off at every state as `conditional` does, nan
    included. Returns one tensor of the dtype of p, and leaves `order` as it is. Raises ValueError unless `order` names
    every pixel exactly once.
    """
    ### BEGIN SOLUTION
    if sorted(order) != list(range(p.dim())):
        raise ValueError(f"an order names each of the {p.dim()} pixels exactly once, got {order}")
    return torch.stack([conditional(p, pixel, order[:k]) for k, pixel in enumerate(order)])
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "01-chain-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("01.chain", chain)
### BEGIN HIDDEN TESTS
check("01.chain", chain, strict=True)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>Before you write: the answer</summary>
#
# 15 in the table, since 16 numbers sum to 1; and $1 + 2 + 4 + 8 = 15$ in the chain. The chain is the table, told
# differently: nothing is saved yet, and nothing is lost.
#
# </details>

# %% [markdown]
# ## 4. The price of independence
#
# Difficulty 2 of 5 · 2 points · 10 minutes · in nats
#
# A model whose pixels are independent knows only the marginals $p(x_i)$. What it pays beyond the entropy is the **total
# correlation**,
#
# $$\mathrm{TC}(x) = \sum_i H(x_i) - H(x), \qquad H = -\sum p \log p .$$
#
# Task 1 counted in bits. From here on we count in nats, with natural logarithms; one bit is $\ln 2$ nats.
#
# **Before you write:** two pixels, each a fair coin, always equal. What is their total correlation?


# %% nbgrader={"grade": false, "grade_id": "01-total_correlation", "locked": false, "schema_version": 3, "solution": true, "task": false}
def total_correlation(p: Float[Tensor, "*pixels"]) -> Float[Tensor, ""]:
    """TC = sum_i H(x_i) - H(x), in nats per picture; 0 log 0 = 0. Returns one number, as a float or a tensor."""

    ### BEGIN SOLUTION
    def entropy(q: Tensor) -> Tensor:
        return -torch.xlogy(q, q).sum()

    marginals = [p.movedim(i, 0).reshape(2, -1).sum(1) for i in range(p.dim())]
    return sum(entropy(marginal) for marginal in marginals) - entropy(p)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "01-total_correlation-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("01.total_correlation", total_correlation)
### BEGIN HIDDEN TESTS
check("01.total_correlation", total_correlation, strict=True)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>Before you write: the answer</summary>
#
# $\ln 2$ nats, one bit: independent pixels pay for two coins, $2 \ln 2$, and the pair is a single one.
#
# </details>

# %% [markdown] tags=["solution-only"]
# *The entropy of a pixel has a term for each of its two values; `conditional(p, i, [])` would hold both as well, at
# many states.*

# %% [markdown]
# ## 5. The price of independence once z is known
#
# Difficulty 2 of 5 · 2 points · 10 minutes · in nats
#
# A decoder with independent pixels does not model $x$ alone: it models $x$ given a code $z$. What it pays then is the
# **conditional total correlation**, the price for each $z$ averaged over $z$:
#
# $$\mathrm{TC}(x \mid z) = \sum_z p(z) \, \mathrm{TC}\big(p(x \mid z)\big) .$$
#
# Its table has one axis more. `joint[z]` is a table of the shape `[2] * n` that holds $p(z, x)$, and so it sums to
# $p(z)$.
#
# **Before you write:** can it cost *more* to be independent once z is known? Think of two fair coins, and a z that says
# whether they agree.


# %% nbgrader={"grade": false, "grade_id": "01-conditional_total_correlation", "locked": false, "schema_version": 3, "solution": true, "task": false}
def conditional_total_correlation(joint: Float[Tensor, " codes *pixels"]) -> Float[Tensor, ""]:
    """TC(x | z) = sum_z p(z) TC(p(x | z)) for a table p(z, x) whose first axis is z, in nats per picture.

    There may be any number of codes. A code that never occurs, p(z) = 0, adds 0. Returns one number, as a float or a
    tensor.
    """
    ### BEGIN SOLUTION
    weighed = [(row.sum(), row) for row in joint if row.sum() > 0]
    return sum(p_z * total_correlation(row / p_z) for p_z, row in weighed)
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "01-conditional_total_correlation-check", "locked": true, "points": 2, "schema_version": 3, "solution": false, "task": false}
check("01.conditional_total_correlation", conditional_total_correlation)
### BEGIN HIDDEN TESTS
check("01.conditional_total_correlation", conditional_total_correlation, strict=True)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>Before you write: the answer</summary>
#
# It can. Two fair coins cost nothing to be independent. Told that they agree, or that they do not, one coin decides
# the other, and independence costs $\ln 2$ nats. A code helps where it explains what the pixels have in common; it may
# also bind what was free.
#
# </details>

# %% [markdown]
# ## 6. Everyone looks at everyone
#
# Difficulty 1 of 5 · 1 point · 5 minutes · a sum without a unit
#
# Why an order at all? Let each pixel look at all others, before and after it, and multiply:
#
# $$T = \sum_x \prod_i p(x_i \mid \text{all } x_j, \; j \ne i) .$$
#
# For a model the sum over all pictures is 1.
#
# **Before you write:** two pixels, fair coins, nearly always equal. What is the product at the state (0, 0), and at
# (1, 1)?


# %% nbgrader={"grade": false, "grade_id": "01-pseudo_total", "locked": false, "schema_version": 3, "solution": true, "task": false}
def pseudo_total(p: Float[Tensor, "*pixels"]) -> Float[Tensor, ""]:
    """T = sum over all states x of prod_i p(x_i | all others). Every probability in p is above 0.

    Returns one number, as a float or a tensor.
    """
    ### BEGIN SOLUTION
    everyone = [conditional(p, i, [j for j in range(p.dim()) if j != i]) for i in range(p.dim())]
    return torch.stack(everyone).prod(0).sum()
    ### END SOLUTION


# %% nbgrader={"grade": true, "grade_id": "01-pseudo_total-check", "locked": true, "points": 1, "schema_version": 3, "solution": false, "task": false}
check("01.pseudo_total", pseudo_total)
### BEGIN HIDDEN TESTS
check("01.pseudo_total", pseudo_total, strict=True)
### END HIDDEN TESTS

# %% [markdown]
# <details><summary>Before you write: the answer</summary>
#
# Nearly 1 at both: each pixel, seeing the other, is sure of itself. So the sum is nearly 2, and the product is no
# distribution.
#
# </details>

# %% [markdown]
# ## What you have built
#
# Now real pixels. Below, every patch of 2 × 2 neighbouring pixels is cut from each training digit, black and white: 49
# places in each picture of 8 × 8. Tables are counted, each with another code $z$: the digit that the patch was
# cut from, the place it was cut at, and both. A fourth table has the place and a digit that means nothing: the labels
# of all pictures, dealt out anew by lot.


# %%
def joint_table(pixels: Int[Tensor, "patches pixels"], z: Int[Tensor, " patches"]) -> Float[Tensor, " codes *pixels"]:
    """p(z, x), counted: the share of the patches that have code z and pixels x."""
    shares = torch.zeros(int(z.max()) + 1, *[2] * pixels.shape[1], dtype=torch.float64)
    each = torch.full((len(z),), 1 / len(z), dtype=torch.float64)
    return shares.index_put((z, *pixels.T), each, accumulate=True)


def tables_by_code(split: Split, size: int = 2) -> dict[str, Float[Tensor, " codes *pixels"]]:
    """p(z, x) of all patches of size x size pixels, for four codes z."""
    patches = split.images[:, 0].unfold(1, size, 1).unfold(2, size, 1).flatten(3).flatten(1, 2).long()
    by_lot = torch.randperm(len(patches), generator=torch.Generator().manual_seed(0))
    digit, lot = (labels.repeat_interleave(patches.shape[1]) for labels in (split.labels, split.labels[by_lot]))
    place = torch.arange(patches.shape[1]).repeat(len(patches))
    codes = {"the digit": digit, "the place": place}
    codes |= {f"the place, {name}": z * patches.shape[1] + place for name, z in (("digit", digit), ("lot", lot))}
    return {name: joint_table(patches.flatten(0, 1), z) for name, z in codes.items()}


tables = tables_by_code(digits(binary=True).train)
print({name: list(table.shape) for name, table in tables.items()})

# %% [markdown]
# **Predict:** a patch of four fair coins costs 4 bits. How many does a patch of handwriting cost, and how many more for
# one who takes its pixels to be independent? Which code makes independence cheaper: the digit, or the place? And does
# the digit add anything to the place?

# %%
with when_solved():
    p = tables["the digit"].sum(0)
    independent = torch.stack([conditional(p, i, []) for i in range(4)]).prod(0)
    print("bits per patch")
    print(f"  four fair coins          {code_length(p, torch.full_like(p, 1 / 16)):.4f}")
    print(f"  independent pixels       {code_length(p, independent):.4f}")
    print(f"  the table                {code_length(p, p):.4f}")
    print(f"  a chain, order 2 0 3 1   {code_length(p, chain(p, [2, 0, 3, 1]).prod(0)):.4f}")
    print("of these, the price of independence")
    print(f"  nothing known            {total_correlation(p) / math.log(2):.4f}")
    for name, table in tables.items():
        print(f"  known: {name:<17} {conditional_total_correlation(table) / math.log(2):.4f}")
    print(f"everyone looks at everyone: the products sum to {pseudo_total(p):.4f}")

# %% [markdown]
# <details><summary>What the numbers say</summary>
#
# The chain costs what the table costs, to the last digit, and independent pixels pay the total correlation on top.
#
# Knowing the place takes about half of that price away. At the left and the right edge of the picture there is hardly
# ever ink, in the middle there often is; so two pixels of a patch agree in part only because they are in the same
# place, and that part is explained once the place is known.
#
# Knowing the digit makes independence a little *dearer*. It is the coins of task 5 again, as an identity shows:
#
# $$\mathrm{TC}(x) - \mathrm{TC}(x \mid z) = \sum_i I(x_i; z) - I(x; z) ,$$
#
# where $I$ is the mutual information. The price has risen, so the four pixels together say more about the digit than
# one by one and added up: what tells digits apart is how ink and paper go together in the patch, and that binds the
# pixels once the digit is known. A code that is to serve a decoder with independent pixels has to say what the pixels
# share; that it is true and useful is not enough.
#
# With both known, 490 tables share the patches out among them, and the fewer patches a table has, the more their pixels
# seem to share by chance. That is what the lot is for. It says nothing about a patch, and still the counted price is
# higher with it than with the place alone: all chance. Under the same handicap the true digit brings the price *down*,
# below that of the place alone. The digit, no help by itself, is a help once the place is known. The identity holds at
# each place as well: there, on average, the four pixels say more about the digit one by one and added up than together.
# What they say overlaps, and it is that overlap the digit explains.
#
# These prices are exact for the patches that were counted, and no promise for others.
#
# </details>

# %% [markdown]
# Six short functions, and the whole argument of chapter 01 stands on numbers of handwriting. A picture of 784 pixels
# has no table: there the conditionals are learned by a network, which is chapter 02.
#
# **To go on thinking**
#
# - Of all codes with two values for the 2 × 2 patches, which makes independence cheapest? Try each pixel as the code,
#   then others. How low can the price go with a code that is free to choose, and what does such a code cost?
# - Count patches of the test digits, `digits(binary=True).test`, and code them with the table of the training digits.
#   What changes for patches of 3 × 3, and what would you do about it?
# - For which tables is the sum of task 6 exactly 1? How large can it become for $n$ pixels?
