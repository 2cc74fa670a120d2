# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 08 · What is still open?
#
# The article does not end with a conclusion. It ends with four questions: does it matter for a representation that
# reconstructions are sharp? Would features make a better target than pixels? Must a code be noisy, and must it be
# Gaussian? And what would a judge do, who tells reconstructions from the real thing?
#
# No chapter can close them. But each can be made small enough to be answered, and a small answer with a number is worth
# more than a large one without. The harder part is done before anything runs: to say what would count.
#
# **You will be able to**
#
# - turn an open question into an experiment that can go against you;
# - compare two models at the same information, and see why the same rate is not the same information;
# - measure what a code tells of factors that are known, because you drew the data;
# - say what these experiments found, and what they do not show.
#
# **Minutes**: 60, and 70 more for the exercise.
#
# **Prerequisites**: [chapter 06](06_autoregressive_decoders.ipynb) for decoders that see pixels and for the
# information meter; [chapter 07](07_infovae.ipynb) for divergences between codes and a prior.
#
# **Claims and numbers**: here the open questions C24, C25, C26 and C27. The larger models come from the course's zoo;
# a ± is the standard deviation over three seeds.

# %%
import torch

from course_lib.data import digits
from course_lib.experiments.chapter_08 import (
    CODES,
    MATCHED,
    code_numbers,
    coded,
    name_of,
    summed_nll,
    trapped,
)
from course_lib.figures.style import (
    BLUE,
    FAINT,
    GREY,
    PALETTE,
    VERMILION,
    figure,
    image_grid,
    show,
)
from course_lib.measurement.codes import encode_all
from course_lib.measurement.ledger import ClaimsTable, confirm, results
from course_lib.objectives.reconstruction import mean_picture
from course_lib.widgets import Choice, Explorer, IntRange
from course_lib.zoo import load
from course_lib.zoo.recipes.outstanding import CHARGED, DECODERS, RATES, TEXTURES, letters, shown

known = results()


def table(rows, columns, digits=2):
    """Numbers of the ledger: `rows` maps words to the beginning of a key, `columns` the end of a key to words."""
    print(f"{'':<30}" + "".join(f"{words:>16}" for words in columns.values()))
    for words, begin in rows.items():
        cells = [known[f"{begin}.{end}"] for end in columns]
        print(f"{words:<30}" + "".join(f"{f'{c.value:.{digits}f} ± {c.spread:.{digits}f}':>16}" for c in cells))


# %% [markdown]
# ## What would count?
#
# "Model A has the better code" can mean that its code says more, or that what it says is more useful. Chapter 06 and 07
# were about the first. To ask about the second, both codes should say *equally much*: otherwise the talkative one wins,
# whatever it talks about.
#
# So fix the amount. The rate can be put into the loss as a target $C$ (Burgess et al., 2018), with any cost of
# reconstruction in front:
#
# $$\text{loss} = \text{cost} + \gamma\, \lvert \text{rate} - C \rvert .$$
#
# With $\gamma$ larger than what a nat of code saves in cost, the rate comes to lie at $C$, in whatever unit the cost
# is counted. That is how disentanglement papers set their beta, too. It looks like the fair comparison.
#
# **Predict**: the decoder is a chain of pixels that has little use for a code. We ask for a rate of 4 nats, and get it.
# How much information is in it?

# %%
for lambd in (0.0, 200.0):
    found = trapped(lambd, seed=0)
    print(f"lambd = {lambd:g}")
    for what in found:
        confirm(f"08.trap.{'held' if lambd else 'free'}.{what}", found[what])
    print()

# %% [markdown]
# The rate is information *plus aggregate gap* (chapter 04), and the target does not say which. Where the decoder has
# no use for a nat, the cheapest way to spend it is to move all codes away from the prior together: that says nothing,
# and disturbs nothing. The second run adds $\lambda\, \mathrm{MMD}^2(q(z), p(z))$, as in chapter 07, and the nats have
# to be spent on telling pictures apart.
#
# So here are the rules for this chapter. They were set before the runs that count:
#
# 1. a target for the rate *and* a price on the aggregate, the same for all; the information is measured, not assumed;
# 2. one number that would answer the question, named beforehand; the others are reported beside it;
# 3. the same seeds, steps and pictures for all that is compared; three seeds;
# 4. the probe is asked of *drawn* codes, what a decoder gets, and is tested on pictures that nothing was learnt from.
#
# ## Pictures whose making is known
#
# Of a handwritten digit one knows its name, and nothing else. So the course draws letters itself: ten of them, in six
# fonts, with a slant, a thickness, a size and a place that are drawn independently. A code can then be asked for each
# of these factors. And there is a **texture**: pairs of ink pixels that are left white, shifted by a coin toss from row
# to row. Whoever sees the row above knows nearly all of it; who has only the code would need a coin toss for each row.

# %%
plain, textured = letters("test", 0.0), letters("test", 1.0)
fig = image_grid(
    torch.cat([letters("test").images[:12], plain.images[:12], textured.images[:12]]),
    columns=12,
    row_labels=["grey", "black and white", "textured"],
    title="The same twelve letters",
)
show(
    fig,
    alt="Three rows of the same twelve letters in several fonts, slants, thicknesses, sizes and places: smooth grey, "
    "black and white, and black and white with a fine checkered texture.",
)
print("the first letter:", {name: round(float(values[0]), 2) for name, values in plain.factors.items()})

# %% [markdown]
# ## Does sharpness matter? (claim C24)
#
# *The question, in our words: if what we want is a representation, does it matter whether reconstructions are sharp, as
# those of a PixelCNN are, or fuzzy?*
#
# Two decoders: **independent** pixels, whose reconstruction is a fuzzy mean picture, and a **local** chain, which sees
# two pixels in each direction and draws sharp strokes by itself. Rates of 3, 6 and 9 nats; letters plain and textured.
# The number that would answer: how well a linear probe names the letter from drawn codes, *at the same information*.
#
# **Predict**, for plain letters and for textured ones: whose code names the letter better, the fuzzy decoder's or the
# sharp one's?

# %%
ten = slice(12, 22)
rows, words = [], []
for texture, source in (("plain", plain), ("textured", textured)):
    x = source.images[ten]
    rows, words = [*rows, x], [*words, texture]
    for decoder in DECODERS:
        vae = load(name_of(f"{decoder}_{texture}_6"))
        generator = torch.Generator().manual_seed(0)
        rows.append(shown(vae, vae.encode(x).sample(generator), generator))
        words.append(f"{decoder} pixels")
fig = image_grid(torch.cat(rows).detach(), columns=10, row_labels=words, title="Six nats of each letter, two decoders")
show(
    fig,
    alt="Six rows of ten letters. Plain letters; their fuzzy grey reconstructions by independent pixels; crisp strokes "
    "by the local decoder, often of another letter. The same for textured letters, where the fuzzy ones have lost the "
    "texture and the local ones have one.",
)

colours = {"independent": BLUE, "local": VERMILION}
fig, axes = figure(1, 2, width=7.4, height=3.5, sharey=True)
fig.suptitle(
    "At the same information, the fuzzy decoder's code names more", x=0.01, ha="left", fontweight="bold", fontsize=11.5
)
for ax, texture in zip(axes, TEXTURES, strict=True):
    for decoder, colour in colours.items():
        keys = [f"C24.{decoder}_{texture}_{rate:g}" for rate in RATES]
        said, named = ([known[f"{key}.{what}"] for key in keys] for what in ("information", "probe_drawn"))
        xs, ys = [r.value for r in said], [r.value for r in named]
        spread = [r.spread for r in named]
        ax.errorbar(xs, ys, spread, [r.spread for r in said], "o-", color=colour, label=f"{decoder} pixels")
    ax.axvline(MATCHED, color=FAINT, zorder=0)
    ax.axhline(0.1, color=GREY, linestyle=":", linewidth=1)
    ax.set(xlabel="information (nats)", xlim=(0, 8))
    ax.set_title(f"{texture} letters", fontsize=10, fontweight="normal")
axes[0].set_ylabel("letters named by the probe")
axes[0].legend(fontsize=9, loc="upper left")
show(
    fig,
    alt="Share of letters named from drawn codes against information, for independent pixels and a local decoder, "
    "left for plain letters and right for textured ones. Both rise; independent pixels lie above, by more for plain "
    "letters. The dotted line is guessing.",
)
for texture in TEXTURES:
    print(f"{texture} letters, at {MATCHED:g} nats of information")
    columns = {
        "probe_drawn": "letters named",
        "place": "R² of place",
        "form": "R² of form",
        "sharpness": "sharpness",
        "nll": "NLL",
    }
    table({f"{decoder} pixels": f"C24.{decoder}_{texture}" for decoder in DECODERS}, columns)
    print()

# %% [markdown]
# The fuzzy decoder's. At the same information its code names more of the letters, plain or textured, and tells more of
# their form; the chain's drawings are as sharp as the letters, its likelihood is better by tens of nats, and its code
# is the poorer one. It is the lesson of chapter 06 from another side: what a decoder can find out by itself, the code
# need not say. A chain that sees two pixels carries a stroke on by itself, so its code is spent on where strokes begin.
# Independent pixels must be told the whole shape, and the shape is what a reader of codes wants to know.
#
# The texture was our own idea of a rescue. Nothing in it is worth knowing, the chain draws it unaided, and the fuzzy
# decoder has to code it or do without; so we expected the order to turn round. It did not. The texture costs the fuzzy
# code more than the chain's, but it does without, draws grey, and keeps a lead. A smaller one, of little more than two
# standard errors, and from three seeds that is no proof (the exercise counts how often three seeds see what is not
# there).
#
# So sharpness is no measure of a representation, in neither direction; ask what is left for the code to say.
#
# ## Would features make a better target? (claim C25)
#
# *The question, in our words: would codes be better if disentangling were combined with an objective that reconstructs
# concept-level features, layers of a network, in place of pixels?*
#
# The cost becomes the distance between what a fixed network answers to the picture and to the reconstruction (Hou et
# al., 2017), every answer brought to variance 1. Which network? That is the question behind the question, so there are
# four:
#
# - **untrained** layers, as a control: if they do as well, features as such were not the point;
# - the layers of **an encoder of its own**, learnt from pixels: the article's proposal;
# - the layers of a **classifier** that learnt from labels to name letters; and its **answers**, ten numbers.
#
# All at a rate of 8 nats, which is what a beta-VAE's beta is tuned for; ten numbers in the code; independent pixels.
# The number that would answer is the probe on drawn codes again. Beside it stand the R² of place (row and column) and
# form (slant, thickness, size), and how far the best single dimension is ahead of the next in telling a factor (the SAP
# score of Kumar et al., 2018): the part of the question that says *disentangle*.
#
# **Predict** the order of the five in letters named. And: which target makes the code forget where the letter stands?

# %%
targets = {
    "pixels": "pixels",
    "untrained layers": "random",
    "an encoder's layers": "own",
    "a classifier's layers": "classifier",
    "a classifier's answers": "concept",
}
keys = {words: f"C25.{name}" for words, name in targets.items()}
table(keys, {"information": "information", "probe_drawn": "letters named", "place": "place", "form": "form"})
print()
table(keys, {"lead": "lead", "sharpness": "sharpness", "nll": "NLL"})

source = letters("test")
x = source.images[12:20]
rows, words = [x], ["letters"]
for told, name in targets.items():
    vae = load(name_of(name))
    with torch.no_grad():
        rows.append(mean_picture(vae.decoder, vae.encode(x.round()).mu))
    words.append(told)
fig = image_grid(
    torch.cat(rows), columns=8, width=6.0, row_labels=words, title="Eight nats, five ideas of what matters"
)
show(
    fig,
    alt="Six rows of eight letters: the letters; fuzzy ones from the pixel target; a fine pattern of stripes with a shadow "
    "in the middle from untrained layers; grainy letters from an encoder's layers; darker, clearer ones from a "
    "classifier's layers; and grey noise from a classifier's answers.",
)

# %% [markdown]
# A code of the same length, that says as much, about other things.
#
# **A network that knew the answer gives it.** With a classifier's answers as target, the code names the letter more than
# twice as often as with pixels. It has forgotten where the letter stands, and nothing in the reconstruction would be
# called a letter: ten logits hardly depend on the place, so the code does not speak of it, and whatever noise makes a
# network answer K is as good as a K. That is no discovery. The labels went in at the start, as
# they do in every "perceptual" loss whose network was trained on labelled pictures.
#
# **The article's proposal**, layers of an encoder that learnt from pixels, names a few letters more than pixels do; the
# spread over seeds is larger than that. It pays for it in likelihood. We see no difference, and would not expect a
# large one: what that encoder knows, it learnt from pixels. **Untrained** layers are worse in everything. They care for
# edges at random; the picture that pleases them is a pattern of stripes.
#
# **And disentangling?** The lead of the best dimension over the next is small for all five, and as large as its spread
# over seeds. At a rate that is fixed, no target made dimensions that mean one thing.
#
# So: what a code is about follows what its reconstruction is charged for. The target is where you say what you
# care for, and features say it only as well as the network they come from.
#
# ## Must a code be noisy, must it be normal? (claim C26)
#
# *The question, in our words: how much are stochastic codes worth, and could a price on the aggregate alone free us
# from Gaussian codes, to the good of the representation?*
#
# At $\alpha = 1$ the rate is out of the loss, and the encoder may answer a point (chapter 07; Tolstikhin et al., 2018).
# Only the aggregate is held, by MMD², which asks for nothing but *draws* of the prior. So the prior may be a cube or
# ten blots on a ring.
#
# A point has no density, so no ELBO and no importance weights. With two numbers in the code that is no matter: the
# likelihood is a sum over a grid, of any prior, and nobody asks the encoder. Here are five VAEs of digits with
# independent pixels, trained now. The numbers that would answer: the NLL under the prior, and the share of digits named
# by the fifteen nearest codes.
#
# **Predict**: a decoder that was trained on points has never heard a code between two of them. Is its NLL worse than
# the ELBO's, by a little, or by much?

# %%
vaes = {name: coded(name, seed=0) for name in CODES}
split = digits(binary=True)
fig, axes = figure(1, 5, width=7.4, height=2.3, sharex=True, sharey=True)
fig.suptitle("Held to three priors, with noise and without", x=0.01, ha="left", fontweight="bold", fontsize=11.5)
for ax, (name, vae) in zip(axes, vaes.items(), strict=True):
    z = encode_all(vae, split.test.images, torch.Generator().manual_seed(0)).z
    for k in range(10):
        at = z[split.test.labels == k]
        ax.scatter(at[:, 0], at[:, 1], color=PALETTE[k % 7], marker=f"${k}$", s=14, linewidths=0.3)
    ax.set(xlim=(-3, 3), ylim=(-3, 3), xticks=[-2, 0, 2], yticks=[-2, 0, 2])
    ax.set_title(CODES[name].words.replace("s, ", "s,\n"), fontsize=8.5, fontweight="normal")
    ax.set_aspect("equal")
show(
    fig,
    alt="Five scatter plots of the codes of 250 test digits, each drawn as its numeral. Drawn codes of the ELBO mix in "
    "the middle; those of InfoVAE and the three kinds of points lie in patches by class. Points "
    "held to the cube end more sharply than those held to the normal prior; those held to the ring fill a disc, and ten "
    "blots are not to be seen.",
)
for name, vae in vaes.items():
    found = code_numbers(vae, seed=0)
    print(CODES[name].words)
    for what in ("nll", "neighbours"):
        confirm(f"C26.{name}.{what}", found[what])
finer = summed_nll(vaes["point"], split.test.images, step=0.025)
print(f"\npoints on a grid of half the step: {finer:.4f}, was {summed_nll(vaes['point'], split.test.images):.4f}")

# %% [markdown]
# It is *better*: lower in NLL than the ELBO, and more digits have the right neighbours. The likelihood does not mind
# where it came from; it asks what the decoder makes of draws from the prior, and here the codes cover the plane and the
# decoder is smooth between them. (The last line checks the sum on a finer grid.)
#
# A result that surprises deserves a second look before it is told to anyone. Two doubts: the models were trained for a
# minute or less of a laptop's time; and two numbers are few. **Predict** what becomes of the lead with five times as
# many steps, and what with eight numbers in the code.

# %%
two = {"nll": "NLL", "neighbours": "digits named", "distortion": "distortion", "gap": "MMD² / null"}
for told, place in (("as above", "C26"), ("five times as many steps", "C26.late")):
    print(f"two numbers in the code, {told}")
    table({code.words: f"{place}.{name}" for name, code in CODES.items()}, two)
    print()
print("eight numbers, the larger number of steps; both NLLs through a Gaussian posterior learnt afterwards")
table(
    {CODES[name].words: f"C26.long.{name}" for name in ("elbo", "noisy", "point")},
    {"nll": "NLL, IWAE", "ais": "NLL, AIS", "probe": "digits named", "gap": "MMD² / null"},
)

# %% [markdown]
# **More steps**: the lead shrinks to a fraction of a nat, and the neighbours are equal. Most of what we saw was speed:
# without noise one learns faster. **Other priors**: the cube does as well as the normal, the ring a little worse, and
# nothing is gained; its ten blots do not show among the codes, let alone become ten classes, for a batch of 128 shows
# MMD² a ring, and hardly its blots. (MMD² is in units of how much it
# scatters when both samples are draws of the prior.)
#
# **Eight numbers**: the points fall apart. There is no grid, so a Gaussian posterior was learnt afterwards for each
# decoder, and from it AIS starts; both err upwards, and for points the importance weights err by several nats more, so
# believe AIS. By it the points are nats worse than the ELBO, the noisy InfoVAE lies in between, and MMD² finds nothing wrong with either: by draws, all three aggregates are the prior. A plane is covered by
# thirteen hundred codes. In eight dimensions the same codes are far from each other, most draws of the prior fall
# between them, and what the decoder makes of those, nobody asked in training. Noise asks. Every picture has to answer
# for a whole neighbourhood of its code, and the rate sees to it that neighbourhoods are wide. A likelihood under the
# prior counts that volume; a test on draws does not see it.
#
# The probe does not mind: points and InfoVAE's codes are named more often than the ELBO's. If all you want is to read
# codes off pictures, noise is no necessity, and nor is the normal. If you want to draw from the prior, it is.
#
# ## What would a judge do? (claim C27)
#
# *The question, in our words: could an adversarial loss on reconstructions, a discriminator that tells them from the
# input, free us from the pixel loss's eye for detail?*
#
# Two ways. **Pixels and a judge**: the pixel cost stays, and a discriminator that learns alongside adds $-20 \log
# \sigma(T(\hat x))$ for being found out. **VAE-GAN** (Larsen et al., 2016): no pixels; the judge's own inner features
# are compared, with a little of the same. Both at 8 nats, on the grey letters. The numbers that would answer:
# sharpness, NLL, and the probe; all three, for the article hopes for one at the price of another.
#
# **Predict** the sign of each of the three, judge against none.

# %%
judged = {"pixels": "C25.pixels", "pixels and a judge": "C27.adversary", "VAE-GAN": "C27.vaegan"}
table(judged, {"sharpness": "sharpness", "nll": "NLL", "probe_drawn": "letters named", "information": "information"})
print()
table(judged, {"distortion": "distortion", "place": "place", "form": "form", "lead": "lead"})

rows, words = [x], ["letters"]
for told, key in judged.items():
    vae = load(name_of(key.split(".")[1]))
    with torch.no_grad():
        rows.append(mean_picture(vae.decoder, vae.encode(x.round()).mu))
    words.append(told)
fig = image_grid(torch.cat(rows), columns=8, width=6.0, row_labels=words, title="The judge wants edges, and gets them")
show(
    fig,
    alt="Four rows of eight letters: the letters; fuzzy reconstructions from pixels alone; nearly black and white ones "
    "with clear edges from pixels and a judge; and sharp but often broken shapes from VAE-GAN.",
)

# %% [markdown]
# Sharper: by far. Likelihood: worse, by some ten nats with a judge beside the pixels and by a hundred without them. And
# the probe: with the judge and the pixels, better than pixels alone, and so is the R² of form; less than the target
# of labels gave, but nobody told this judge a label. It asks for strokes that look like strokes, and a code that is to
# supply them cannot spend everything on where the ink is.
#
# Mind the price. The likelihood counts *certainty*: a pixel that is black for sure where the letter is white costs far
# more than a grey one, and the judge punishes grey. Whether that matters depends on what the model is for. And mind the
# game: the setting of the VAE-GAN is the third that we tried. With a louder judge and no pixels the code told next to
# nothing.
#
# VAE-GAN proper, where only the judge's features are compared, is as sharp as the letters, and no better in naming them
# than pixels. Its features are those of a network that has seen what the decoder gets wrong so far, and that changes
# from step to step.
#
# ## Look for yourself
#
# A walk along one dimension of a code, everything else held. **Predict** before you move it: which target gave a
# dimension that means one thing?


# %%
def draw_walk(target, dimension, letter):
    """Nine mean pictures, from -2 to 2 along one dimension, around the code of one letter."""
    vae = load(name_of(target))
    with torch.no_grad():
        mu = vae.encode(source.images[letter : letter + 1].round()).mu
        z = mu.repeat(9, 1)
        z[:, dimension] = torch.linspace(-2, 2, 9)
        walk = mean_picture(vae.decoder, z)
    changed = float((walk[0] - walk[-1]).abs().sum())
    title = f"{target}, dimension {dimension}: {changed:.0f} pixels' worth of ink moves"
    return image_grid(torch.cat([source.images[letter : letter + 1], walk]), columns=10, title=title)


def tell_walk(target, dimension, letter):
    """The picture in words."""
    return (
        f"A letter, and nine reconstructions of it as dimension {dimension} of its code goes from -2 to 2 ({target})."
    )


Explorer(
    draw_walk,
    alt=tell_walk,
    target=Choice(["adversary", *(name for name in CHARGED if name != "adversary")]),
    dimension=IntRange(0, 9, start=0),
    letter=IntRange(0, 30, start=14),
)

# %% [markdown]
# ## What these experiments do not show
#
# Ten letters, one size of network, 1,500 steps, three seeds, one rate for two of the four. A finding here is a
# prediction for the next, larger experiment, no more. The commands that made every number are in the ledger
# (`python course.py measure C25`, and so on); the arms are a dictionary in `course_lib/zoo/recipes/outstanding.py`, made
# to be added to.

# %%
ClaimsTable("C24", "C25", "C26", "C27")

# %% [markdown]
# ## Questions
#
# 1. A paper compares a PixelCNN decoder with a factorised one at the same beta, and finds that the factorised one's
#    code names more classes. What do you ask first?
# <details><summary>Answer</summary>How much each code says. At the same beta a decoder that can do without a code gets
# less of one, so that the comparison is between a talkative code and a quiet one. Match the information, by a target
# or by interpolating between several betas, and ask again.</details>
#
# 2. Your target rate is 6 nats, the rate reads 6.0, and the swapped-code gap is zero. What has happened?
# <details><summary>Answer</summary>The rate is all gap: every code lies away from the prior in the same way. Nothing
# about the picture is in it, so exchanging codes changes nothing. Hold the aggregate too, or measure the
# information.</details>
#
# 3. Why is a code's R² for the row of a letter measured on other letters than those the line was fitted on?
# <details><summary>Answer</summary>A line with ten slopes finds something in any sample. On the letters it was fitted
# on, R² is never below 0, even for a code of pure noise; on others it is 0 or below for that code, as it should
# be.</details>
#
# 4. An autoencoder without noise has MMD² within its null band on 10,000 codes. A colleague concludes that its aggregate
#    is the prior, so that draws of the prior will decode well. In which case is that true?
# <details><summary>Answer</summary>In few dimensions, where the codes lie dense. In many, MMD² on draws cannot tell
# 10,000 points from a density, but nearly all of the prior's mass is far from any of them, and the decoder was trained
# at the points alone. Ask for the likelihood, or look at drawings.</details>
#
# 5. With features of a classifier as target the code names far more letters. Why is that no argument for feature
#    targets in unsupervised learning?
# <details><summary>Answer</summary>The labels were used: to train the classifier. The code was asked to keep what
# labels had already picked out. The comparison that bears on the question is with features from a network that never
# saw a label.</details>
#
# ## Where next
#
# In the exercise `exercises/08_outstanding_questions` you build the tools of a fair comparison, write down a prediction,
# and run an experiment of your own. Chapter 09 leaves small pictures behind: does what we found hold at the papers'
# scale?
#
# ## References
#
# - C. M. Wild (2018), With Great Power Comes Poor Latent Codes: Representation Learning in VAEs (Pt. 2), Towards Data
#   Science, 7 May 2018. The four questions are in its last section.
# - C. Burgess et al. (2018), Understanding disentangling in beta-VAE, arXiv 1804.03599. The target for the rate.
# - X. Hou, L. Shen, K. Sun and G. Qiu (2017), Deep Feature Consistent Variational Autoencoder, arXiv 1610.00291.
# - A. Kumar, P. Sattigeri and A. Balakrishnan (2018), Variational Inference of Disentangled Latent Concepts from
#   Unlabeled Observations, arXiv 1711.00848. The lead of the best dimension.
# - F. Locatello et al. (2019), Challenging Common Assumptions in the Unsupervised Learning of Disentangled
#   Representations, arXiv 1811.12359. Why seeds matter more than objectives here.
# - I. Tolstikhin, O. Bousquet, S. Gelly and B. Schölkopf (2018), Wasserstein Auto-Encoders, arXiv 1711.01558.
# - A. Larsen, S. Sønderby, H. Larochelle and O. Winther (2016), Autoencoding beyond pixels using a learned similarity
#   metric, arXiv 1512.09300. VAE-GAN.
# - X. Chen et al. (2017), Variational Lossy Autoencoder, arXiv 1611.02731. Why a local decoder should leave the global
#   to the code.
