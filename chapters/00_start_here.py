# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 00 · Start here: two models draw equally well, and one has nothing to say
#
# Two VAEs draw equally well. One has an almost empty code. Which, and how would you know?
#
# This course takes that question apart. It follows Cody Marie Wild's article "With Great Power Comes Poor Latent Codes"
# (2018), turns each of its claims into an experiment with a number, and goes on from there.
#
# **You will be able to**
#
# - check that your computer has what the course needs;
# - tell a code that speaks from a code that is ignored: five ways are tried, and two of them fail;
# - use `check` and `hint`, with which the exercises answer you.
#
# **Minutes**: 25.
#
# **Prerequisites**: Python, a little PyTorch, and what an average is. What a VAE is stands below in three sentences.
#
# **How to read it**: press Shift+Enter on each cell, from the top. Where it says **predict**, do, before you run the
# cell. A wrong guess that you wrote down teaches more than a right answer that you read.

# %%
import math
import sys

import torch

from course_lib import zoo
from course_lib.data import digits
from course_lib.figures.style import figure, image_grid, show
from course_lib.grading import check, hint
from course_lib.measurement.information import information
from course_lib.measurement.ledger import ClaimsTable
from course_lib.widgets import Explorer, IntRange

assert sys.version_info >= (3, 11), "the course needs Python 3.11 or newer: start it with python course.py lab"
train, _, test = digits(binary=True)
x_test = test.images
model_a, model_b = zoo.load("puzzle_a"), zoo.load("puzzle_b")
print(f"Data: {len(train)} training digits and {len(test)} test digits, here without a network.")
print("Trained models: read, and their checksums are right. You are ready.")

# %% [markdown]
# ## The puzzle
#
# A **variational autoencoder** has an encoder, which turns a picture $x$ into a short list of numbers, the **code**
# $z$, with some noise; and a decoder, which draws a picture from a code. To draw something new, one takes a random code
# from a standard normal, the **prior**, and hands it to the decoder. What one hopes for is that the code says *what* is
# in the picture, so that it can be searched, compared, and changed.
#
# Here are two of them, A and B. Same data, handwritten digits of 8 x 8 pixels; encoders and decoders built alike; same
# number of training steps. One thing differs, and you will find out which.
#
# **Predict**: one of them hardly uses its code. Which?

# %%
drawings = [model.sample(18, torch.Generator().manual_seed(1)) for model in (model_a, model_b)]
fig, axes = figure(1, 2, width=7.0, height=2.3)
for ax, name, drawn in zip(axes, "AB", drawings, strict=True):
    image_grid(drawn, columns=6, title=f"Drawn by model {name}", ax=ax)
show(
    fig,
    alt="Two panels of eighteen 8 by 8 drawings each, by model A and model B. Most look like small handwritten digits, some like none, in both panels.",
)

# %% [markdown]
# Not easy, is it? Perhaps a number helps. The standard one is the **negative log-likelihood** of test digits, in nats
# per image: how surprised the model is by digits it has not seen. Lower is better. (A nat is to the natural logarithm
# what a bit is to the logarithm of base 2. For a VAE the number has to be estimated; the name of the estimator stands
# behind it, and chapter 04 explains it.)

# %%
for name in ("puzzle_a", "puzzle_b"):
    nll = zoo.card(name)["measurements"]["nll_test"]
    print(
        f"model {name[-1].upper()}: NLL {nll['nats']:.2f} ± {nll['standard_error']:.2f} nats per image ({nll['estimator']})"
    )

# %% [markdown]
# The difference is smaller than the uncertainty. So neither the drawings nor the likelihood tell. These two are what
# people usually look at, and that is how a model with an empty code gets published.
#
# ## Ask the code
#
# The code is for saying which picture it was. So encode a digit, let the decoder draw from the code, several times,
# and look whether it remembers.
#
# **Predict**: what will the drawings from an empty code look like? Blurred? Noise?

# %%
originals = x_test[[0, 5, 7, 12, 16, 21, 33, 40]]
rows = [originals]
for model in (model_a, model_b):
    with torch.no_grad():
        z = model.encode(originals).mu  # the middle of the code's distribution, without its noise
    rows += [model.decoder.sample(8, torch.Generator().manual_seed(seed), z) for seed in (1, 2, 3)]
labels = ["digit", "A", "A", "A", "B", "B", "B"]
fig = image_grid(
    torch.cat(rows),
    columns=8,
    row_labels=labels,
    title="A remembers roughly. B draws whatever comes to mind",
    width=6.2,
)
show(
    fig,
    alt="Seven rows of eight pictures. First the digits. In the three rows of model A most columns keep something of the "
    "shape of their digit, some lose it. In the three rows of model B the drawings seldom resemble the digit above.",
)

# %%
for name, model in [("A", model_a), ("B", model_b)]:
    with torch.no_grad():
        drawn = model.decoder.sample(len(x_test), torch.Generator().manual_seed(0), model.encode(x_test).mu)
    own, other = ((drawn - x).abs().sum(dim=(1, 2, 3)).mean() for x in (x_test, x_test.roll(1, dims=0)))
    print(f"model {name}: a drawing differs from its own digit in {own:.1f} of 64 pixels, from another in {other:.1f}")

# %% [markdown]
# There it is. A's drawings are closer to their own digit than to a stranger's; for B it makes little difference. And
# B's drawings are not blurred and not noise: they are as good as A's, just not of *this* digit. Both decoders draw each
# pixel after looking at the pixels already drawn. That can be done without being told what to draw.
#
# ### Try other digits
#
# What do many drawings from one code have in common? Below, each model encodes the digit you choose and draws 40 times
# from its code; the picture is the average. Where all drawings agree it is black or white, where they do not it is
# grey.
#
# **Predict**: which average will change as you move through the digits, and which will stay as it is?


# %%
@torch.no_grad()
def average_drawing(model, x, draws=40):
    """The mean of `draws` pictures from the code of one digit, [1, 1, 8, 8], between 0 and 1."""
    z = model.encode(x).mu.repeat(draws, 1)
    return model.decoder.sample(draws, torch.Generator().manual_seed(0), z).mean(0, keepdim=True)


def draw_averages(digit):
    """The digit, and what the drawings from its code have in common, for both models."""
    x = x_test[digit : digit + 1]
    pictures = [x, average_drawing(model_a, x), average_drawing(model_b, x)]
    fig, axes = figure(1, 3, width=6.4, height=2.4, fixed=True)
    for ax, picture, title in zip(axes, pictures, [f"test digit {digit}", "A, average", "B, average"], strict=True):
        image_grid(picture, columns=1, title=title, ax=ax)
    return fig


Explorer(
    draw_averages,
    alt="A test digit beside the average of 40 drawings from its code, by model A and by model B.",
    digit=IntRange(0, len(x_test) - 1, start=40),
)

# %% [markdown]
# A's average moves with the digit, if only roughly. B's hardly moves: the same grey ghost, near the average of all
# digits, whatever you show it.
#
# ## How much does the code say?
#
# Looking convinces, measuring settles. Two measurements; later chapters derive both.
#
# - **Swap the codes.** Ask how well the decoder predicts digit $i$ from its own code, then from the code of another
#   digit. If the code says something, the wrong code must hurt.
# - **Mutual information** $I(x; z)$: how many nats the code tells about its picture. It cannot be measured beyond
#   $\log N$ for $N$ pictures, so that ceiling is printed with it.


# %%
@torch.no_grad()
def swap_cost(model, x, generator):
    """E log p(x|own z) - E log p(x|another's z), in nats per image."""
    z = model.encode(x).sample(generator)
    return float((model.decoder.log_prob(x, z) - model.decoder.log_prob(x, z.roll(1, dims=0))).mean())


for name, model in [("A", model_a), ("B", model_b)]:
    cost = swap_cost(model, x_test, torch.Generator().manual_seed(0))
    print(f"model {name}: a stranger's code costs {cost:.2f} nats")
    print(f"         {information(model, x_test, torch.Generator().manual_seed(0))}")

# %% [markdown]
# A's code speaks, B's is nearly silent, and the likelihood did not notice. What was the one difference? The cards know.

# %%
for name in ("puzzle_a", "puzzle_b"):
    card = zoo.card(name)
    print(
        f"model {name[-1].upper()}: {card['objective']}; {card['plan']['steps']} steps, {card['parameters']:,} parameters"
    )

# %% [markdown]
# B was trained with the **ELBO** (the evidence lower bound, the textbooks' objective); A with **InfoVAE**, which
# charges the code less for speaking. (What alpha, lambd and MMD are is for chapter 07.) Nothing went wrong in B's
# training. It did what the ELBO asked for, and the ELBO did not ask for a code. Why that is so takes chapters 01 to 06;
# how to ask for it, and what that costs, is chapter 07.
#
# ## How the exercises answer
#
# Each exercise asks for a function and ends in `check`. It answers at once, on your computer, without a network. Here
# is a warm-up, answered wrongly to begin with. One bit is $\ln 2$ nats.


# %%
def nats_to_bits(nats):
    """Turn a code length in nats into bits."""
    return nats * math.log(2)


check("00.nats_to_bits", nats_to_bits)

# %% [markdown]
# It says which mistake it recognises and shows the smallest case where it matters. When you are stuck, `hint` opens one
# hint at a time: a nudge, then a formula, then a skeleton, and at last where the solution stands.

# %%
hint("00.nats_to_bits")

# %% [markdown]
# Mend the function below until `check` is content. Nothing can break, and nothing is sent anywhere: what you have solved
# is noted on your computer alone, and `python course.py progress` shows it.


# %%
def nats_to_bits(nats):
    """Turn a code length in nats into bits."""
    raise NotImplementedError("your code here")


check("00.nats_to_bits", nats_to_bits)

# %% [markdown]
# <details><summary>Solution</summary>
#
# ```python
# import math
#
# def nats_to_bits(nats):
#     return nats / math.log(2)
# ```
#
# A probability of one half is worth $\ln 2 = 0.693$ nats and 1 bit, so there are more bits than nats.
# </details>
#
# ## The map
#
# | | chapter | the question |
# |---|---|---|
# | 00 | start here | Two VAEs draw equally well. One has an empty code. Which, and how would you know? |
# | 01 | chain rule | How can a picture be a sequence? |
# | 02 | PixelRNN and PixelCNN | How do you look only backwards, fast? |
# | 03 | VAE | What is a code, and what does it cost? |
# | 04 | the ELBO, two ways | What is the ELBO really asking for? |
# | 05 | Gaussian mixtures | When do Gaussians add up to a Gaussian? |
# | 06 | autoregressive decoders | Why does a strong decoder go quiet? |
# | 07 | InfoVAE | How do you give the code its voice back? |
# | 08 | outstanding questions | What is still open? |
# | 09 | full scale | Does it hold at the papers' scale? |
#
# Chapters 01 to 08 have an exercise each. Go on with [chapter 01](01_chain_rule.ipynb).
#
# ## What was claimed, what was found
#
# Each claim of the article has a number; this chapter touches the seventeenth. The measurements come from the course's
# ledger, a file in which every reported number stands with its spread, seeds, hardware and command. First, three
# trainings of each model, from three seeds; then what chapter 06 will add.

# %%
ClaimsTable("C17")

# %% [markdown]
# ## Questions
#
# 1. Could you have found the silent model by looking at reconstructions *once*, with one drawing per digit?
# <details><summary>Answer</summary>Often, but not safely: one good drawing may resemble its digit by chance, and a
# nearly silent code does say a little. Several drawings from one code, or a code swap, tell chance from
# memory.</details>
#
# 2. Suppose A's lower value had come out equal to the ceiling. What would you know, and what would you do?
# <details><summary>Answer</summary>Only that the code says at least that much: the measurement is saturated. Measure
# with more digits; ten times as many raise the ceiling by log 10, which is 2.3 nats.</details>
#
# 3. Is B a bad model?
# <details><summary>Answer</summary>For drawing digits, no: its likelihood is as good as A's. It is useless for whoever
# wants the code: to search, to cluster, to change one thing in a picture.</details>
#
# ## References
#
# - C. M. Wild (2018), With Great Power Comes Poor Latent Codes: Representation Learning in VAEs (Pt. 2), Towards Data
#   Science, 7 May 2018.
# - D. P. Kingma and M. Welling (2014), Auto-Encoding Variational Bayes, arXiv 1312.6114.
# - S. Zhao, J. Song and S. Ermon (2019), InfoVAE: Balancing Learning and Inference in Variational Autoencoders,
#   arXiv 1706.02262.
# - Digits: E. Alpaydin and C. Kaynak (1998), Optical Recognition of Handwritten Digits, UCI repository; the copy that
#   scikit-learn ships.
