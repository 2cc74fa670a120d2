# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 02 · How do you look only backwards, fast?
#
# A painter who works from the top left to the bottom right can look at everything already on the canvas, and at
# nothing else. This chapter builds networks that obey the same rule, some by masks and some by memory, and asks of each
# how far it sees, what it remembers, and what it has to wait for.
#
# **You will be able to**
#
# - write the likelihood of a picture as a product over its pixels, and say why each factor must not see its own pixel;
# - build masks A and B, for grey and for colour pictures, and prove by gradient and by perturbation that they hold;
# - compute how far a stack of masked convolutions looks, point at the pixels it can never see, and cure it with two
#   stacks;
# - say what a Row LSTM and a Diagonal BiLSTM see, and which of their steps wait for which;
# - tell why training takes one pass and drawing takes one per pixel, and draw without computing anything twice.
#
# **Minutes**: 75, and 90 more for the exercise.
#
# **Prerequisites**: what a convolution does; what a recurrent network is; the chain rule,
# $p(a, b) = p(a)\,p(b \mid a)$, and cross-entropy (chapter 01).
#
# **Claims and numbers**: "the article" is C. M. Wild's of 2018, in the references, which this course goes through claim
# by claim; here C04 to C08. `confirm` compares a number measured just now with the course's ledger of results, and
# complains when it lies outside a stated band. A ± right after a number of the ledger is the standard deviation over
# three trainings, or three untrained networks, that differ in their seed; the band's ± is how far another run may lie off.

# %%
import itertools
import math
import statistics
import time

import torch
from matplotlib.patches import Rectangle

from course_lib import zoo
from course_lib.data import digits
from course_lib.experiments import chapter_02 as chapter
from course_lib.experiments.chapter_02 import LIVE, PEEK, SEEDS, TITLES, field_of, live_model, measured_field
from course_lib.figures.style import AMBER, BLUE, FAINT, GREEN, INK, PURPLE, VERMILION, figure, image_grid, show
from course_lib.measurement.ledger import ClaimsTable, confirm, result
from course_lib.measurement.receptive_field import field_by_gradient, field_by_perturbation, is_past, plain_stack_field
from course_lib.models.diagonal_lstm import skew
from course_lib.models.masks import MaskedConv2d, causal_mask, raster_mask
from course_lib.models.pixelcnn import PixelCNN
from course_lib.objectives.likelihood import negative_log_likelihood
from course_lib.training.fit import Plan, fit
from course_lib.widgets import Choice, Explorer, IntRange

COLOURS = {"pixelcnn": BLUE, "small": BLUE, "gated": GREEN, "row": VERMILION, "diagonal": AMBER, "wide": PURPLE}
train, _, test = digits(binary=True)
x_train, x_test = train.images, test.images
print(f"{len(x_train)} training digits and {len(x_test)} test digits, {tuple(x_train.shape[1:])}, black or white")

# %% [markdown]
# ## A picture is a sequence
#
# Number the pixels in raster order, row by row from the top left: $x_1, x_2, \dots, x_N$. The chain rule holds for any
# variables, so it holds for pixels:
#
# $$p(x) = \prod_{i=1}^{N} p(x_i \mid x_1, \dots, x_{i-1}), \qquad
# \log p(x) = \sum_{i=1}^{N} \log p(x_i \mid x_{<i}).$$
#
# For black and white pictures each factor is a coin, and a coin needs one number. Let a convolutional network produce
# it: a **logit** $\ell_i$ for every pixel, with $p(x_i = 1 \mid x_{<i}) = \sigma(\ell_i)$. Picture in, logits out, same
# size: convolutions are good at that.
#
# **Before you run the next cell.** We train an ordinary convolutional network, no tricks, to predict each pixel of a
# digit from the digit. Pixels that know nothing of each other cost about 26 nats a digit (the first line will say
# exactly). What will the network's $-\log p(x)$ be: a little lower, half as much, next to nothing? Then it draws: from an
# empty canvas we ask for the first pixel, toss the coin, go on to the next. What will it draw?

# %% tags=["nbval-ignore-output"]
confirm("02.digits.independent", chapter.independent_nll(x_train, x_test))
peeking = chapter.open_the_masks(live_model(seed=0))  # every filter whole: what is otherwise hidden comes further down
fit(peeking, negative_log_likelihood, x_train, PEEK, progress=False)
confirm("02.digits.peeking", chapter.digits_nll(peeking, x_test))
drawn = peeking.sample(8, torch.Generator().manual_seed(0))
fig = image_grid(
    torch.cat([x_test[:8], drawn]),
    columns=8,
    title="The network with the perfect score draws nothing",
    row_labels=["digits", "its drawings"],
)
show(
    fig,
    alt="Two rows. Above, eight test digits. Below, what the unmasked network draws: empty canvases.",
)

# %% [markdown]
# A perfect score, and empty canvases. It has learnt to copy: each output sits on top of the very pixel it is asked about,
# and hands it through; on an empty canvas it copies emptiness. Its score was never a likelihood: a likelihood adds up to
# 1 over all pictures.
#
# That is easy to check where there are few pictures. In a world of 2 x 2 pixels there are 16. We sum $p(x)$ over all of
# them, for a small network with masks (we come to them in a moment), for the same network without, and for the latter
# after some training. **Predict** the three sums.

# %%
every_picture = torch.tensor(list(itertools.product([0.0, 1.0], repeat=4))).double().view(16, 1, 2, 2)
torch.manual_seed(3)
with_masks = PixelCNN((1, 2, 2), width=8, depth=2).double()
total = float(with_masks.log_prob(every_picture).exp().sum().detach())
without = chapter.open_the_masks(with_masks)
untrained = float(without.log_prob(every_picture).exp().sum().detach())
fit(without, negative_log_likelihood, every_picture, Plan(steps=300, batch_size=16, warm_up=10), progress=False)
trained = float(without.log_prob(every_picture).exp().sum().detach())
print(f"sum of p(x) over all 16 pictures: with masks {total:.10f}")
print(f"without masks: {untrained:.3f}, and once it has learnt to copy, {trained:.3f}")
assert abs(total - 1) < 1e-12 and abs(untrained - 1) > 1e-3 and trained > 15.9

# %% [markdown]
# The copier gives every picture probability one. Sixteen certainties in a world that has room for one.
#
# ## Masks A and B
#
# The rule we need: logit $\ell_i$ may depend on $x_1, \dots, x_{i-1}$ alone. For a convolution that means setting some
# filter taps to zero: all that lie to the right in the same row, and all rows below. Two kinds differ in the centre.
#
# - **Mask A** removes the centre too. The first layer needs it, because there the centre *is* the pixel $x_i$.
# - **Mask B** keeps the centre. Every later layer may use it, because behind a mask-A layer, the feature at place $i$
#   knows only $x_{<i}$.
#
# A colour picture has three numbers at each place. They are ordered as well: red, then green, which may look at red,
# then blue, which may look at both. Away from the centre nothing changes; at the centre the mask becomes a small table:
# which output colour (row) may see which input colour (column)?
#
# **Predict** that table, for both masks. And what would a stack lose that used mask A in every layer? (The next cell
# draws the masks, counts what two layers see either way, and prints the table.)

# %%
fig, axes = figure(1, 2, width=5.5, height=2.7)
for ax, kind in zip(axes, "AB", strict=True):
    mask = raster_mask(kind, 5)
    ax.imshow(mask, cmap="cividis", vmin=0, vmax=1)
    for row, column in itertools.product(range(5), range(5)):
        kept = bool(mask[row, column])
        ax.text(column, row, int(kept), ha="center", va="center", color=INK if kept else "white")
    ax.add_patch(Rectangle((1.5, 1.5), 1, 1, fill=False, edgecolor=VERMILION, linewidth=3))
    ax.set_title(f"Mask {kind} {'hides' if kind == 'A' else 'keeps'} the centre")
    ax.set_xticks(range(5))
    ax.set_yticks(range(5))
    ax.set_xlabel("column of the filter")
axes[0].set_ylabel("row of the filter")
show(
    fig,
    alt="Two 5 by 5 filters, the centre framed. In both, the two rows above and the two taps to the left hold ones, that "
    "is, they are kept. The centre is one in mask B only.",
)

blank = torch.zeros(1, 1, 7, 7).double()
for kinds in ("AB", "AA"):
    torch.manual_seed(0)
    stack = torch.nn.Sequential(MaskedConv2d(kinds[0], 1, 8, 3), MaskedConv2d(kinds[1], 8, 1, 3)).double()
    seen = field_by_gradient(stack, blank, (0, 3, 3))[0] > 0
    print(f"mask {kinds[0]}, then {kinds[1]}: {int(seen.sum())} pixels seen, the left neighbour: {bool(seen[3, 2])}")
for kind in "AB":
    rows = causal_mask(kind, 3, 3, 3, colours=3)[:, :, 1, 1].int().tolist()
    print(f"mask {kind}, centre tap, columns R G B:", *(f"{c} {row}" for c, row in zip("RGB", rows, strict=True)))

# %% [markdown]
# Mask A twice loses two pixels, the left neighbour among them, the one that says most. After the first layer,
# $x_{i-1}$ has been heard of at place $i$ and at places after it, and a second mask A admits none of those.
#
# ## Does it hold? (claim C06)
#
# The article says that a masked convolution conditions each pixel on those before it and on no other. A network that
# peeks trains happily and reports a wonderful likelihood, as you have just seen, and a single tap, the centre, is enough
# to copy with. So we do not trust, we measure, in two ways:
#
# - **gradient**: $\partial \ell_i / \partial x_j$ for all $j$, zero for $j \ge i$;
# - **perturbation**: flip $x_j$ and look whether $\ell_i$ moves. No derivative, so no accident of a flat spot.
#
# Both look at the logits. Samples would not do: they are random, and a leak hides in the noise.
#
# **Predict** two shapes on an 8 x 8 picture: the pixels whose flip changes the logit in the middle, and the logits that
# change when the pixel in the middle is flipped. (Here and in all maps to come, yellow is what is reached, blue what is
# not, and a red dot the pixel in question.)

# %%
torch.manual_seed(0)
model = PixelCNN((1, 8, 8), width=16, depth=3, kernel=5).double()
x = x_test[:1].double()
place = (0, 4, 4)
looks_at = field_by_perturbation(model, x, place)[0]
flipped = x.clone()
flipped[0][place] = 1 - flipped[0][place]
with torch.no_grad():
    moved = (model(flipped) - model(x)).abs()[0, 0]

fig, axes = figure(1, 2, width=6.4, height=3.2)
for ax, change, title in [
    (axes[0], looks_at, "A logit hears the past"),
    (axes[1], moved, "A pixel tells the future"),
]:
    ax.imshow(change > 0, cmap="cividis", vmin=0, vmax=1)
    ax.plot(4, 4, marker="o", color=VERMILION, markersize=8)
    ax.set_title(title)
    ax.set_xlabel("column")
axes[0].set_ylabel("row")
show(
    fig,
    alt="Two 8 by 8 maps with the pixel at row 4, column 4 marked. Left: the pixels whose flip changes its logit lie in "
    "the rows above, and to the left in its row. Right: the logits that change when it is flipped lie to the right in "
    "its row, and in the rows below. One past pixel at the upper "
    "right has no effect, and two future ones at the left of the next row are not affected.",
)

worst_change = worst_gradient = 0.0
for place in itertools.product(range(1), range(8), range(8)):
    hidden = ~is_past((1, 8, 8), place)
    worst_change = max(worst_change, float(field_by_perturbation(model, x, place)[hidden].max()))
    worst_gradient = max(worst_gradient, float(field_by_gradient(model, x, place)[hidden].max()))
confirm("C06.change", worst_change)
confirm("C06.gradient", worst_gradient)

# %% [markdown]
# (In the left picture one past pixel stays dark, at row 3, column 7, and in the right one two future pixels. They will
# be explained.)
#
# Not small: zero, to the last bit, at all 64 places. The masked weights are exactly 0, and 0 times anything is 0. On
# this point the article is right, and the test suite repeats the measurement on random shapes, in colour, and in
# training mode.
#
# One famous way to break it all the same: put batch normalisation into the network. In training mode it averages over
# all places of the picture, future ones included.
#
# ## How far back does it look? (claim C07)
#
# One 3 x 3 mask-A layer sees four pixels. The article says that further layers widen the field until it takes in the
# global structure. Take a 21 x 21 window and stand in the middle: 10 full rows above and 10 pixels to the left, 220
# past pixels in all.
#
# **Predict** how many of the 220 a stack of 1, 2, 4 and 8 layers of 3 x 3 filters reaches. And 20 layers?

# %%
fig, axes = figure(1, 4, width=7.2, height=2.3)
for ax, layers in zip(axes, (1, 2, 4, 8), strict=True):
    seen = measured_field(kernel=3, layers=layers)
    ax.imshow(seen, cmap="cividis", vmin=0, vmax=1)
    ax.plot(10, 10, marker="o", color=VERMILION, markersize=4)
    ax.set_title(f"{layers}: {int(seen.sum())} of 220")
    ax.set_xticks([0, 10, 20])
    ax.set_yticks([0, 10, 20])
    ax.set_xlabel("column")
    confirm(f"C07.kernel3.layers{layers:02d}", float(seen.sum()))
axes[0].set_ylabel("row")
fig.suptitle("More layers see more of the past, but nothing beyond the diagonal", x=0.01, ha="left", fontweight="bold")
show(
    fig,
    alt="Four maps of a 21 by 21 window for stacks of 1, 2, 4 and 8 layers. The field grows with depth to the left and "
    "upwards. To the right it is cut off along a diagonal, so that a triangle at the upper right stays dark.",
)

# %% [markdown]
# The field grows, as the article says. But look at its right edge.
#
# ### The blind spot, derived
#
# Follow a path from a past pixel to the logit, backwards, layer by layer. Within a row a masked filter never moves to
# the right; a layer that does move right climbs at least one row as well, and moves at most $(k-1)/2$ columns. So on a
# path that climbs $d$ rows there are at most $d$ moves to the right, and it ends at most $d\,(k-1)/2$ columns to the
# right, however many layers there are. (The dark pixel of the 8 x 8 picture, with 5 x 5 filters: one row up, three
# columns to the right, and two is the most.) In a window that ends 10 columns to the right, what stays unseen is
#
# $$\text{blind}(k) = \sum_{d=1}^{10} \max\!\left(0,\; 10 - d\,\tfrac{k-1}{2}\right).$$
#
# Depth does not occur in the formula. Move the sliders: does any depth fill the corner? Below them stands the formula,
# beside what the gradient of a 20-layer network finds.


# %%
def draw_field(kernel, layers):
    """The field of a plain stack in a 21 x 21 window: seen, not seen yet, and never to be seen."""
    seen = plain_stack_field(21, kernel, kernel, layers)
    ever = plain_stack_field(21, kernel, kernel, 20)
    past = is_past((1, 21, 21), (0, 10, 10))[0]
    fig, ax = figure(width=5.2, height=3.9, fixed=True)
    ax.set(xlim=(-0.7, 20.7), ylim=(12.7, -0.7), aspect="equal", xticks=range(0, 21, 5), yticks=[0, 5, 10])
    kinds = [(seen, BLUE, "seen"), (past & ever & ~seen, FAINT, "not yet"), (past & ~ever, VERMILION, "never")]
    for mask, colour, label in kinds:
        rows, columns = mask.nonzero(as_tuple=True)
        ax.scatter(columns, rows, marker="s", s=88, color=colour, label=f"{label}: {len(rows)}")
    ax.plot(10, 10, marker="o", color=INK, markersize=8)
    ax.set_title(f"{kernel} x {kernel}, {layers} layers: {int(seen.sum())} of 220 seen")
    ax.set_xlabel("column")
    ax.set_ylabel("row")
    ax.legend(loc="lower center", ncols=3, fontsize=10)
    return fig


Explorer(
    draw_field,
    alt="A 21 by 21 window: past pixels seen, not seen yet, and never seen, for the chosen filter and depth.",
    layers=IntRange(1, 20, start=6),
    kernel=Choice([3, 5, 7]),
)

# %%
print("filter   blind by formula   seen = 220 - blind   measured")
for kernel in (3, 5, 7):
    blind = sum(max(0, 10 - d * (kernel // 2)) for d in range(1, 11))
    measured = int(measured_field(kernel, layers=20).sum())
    print(f"{kernel} x {kernel} {blind:>14} {220 - blind:>20} {measured:>14}")
    assert measured == 220 - blind == result(f"C07.kernel{kernel}.layers20").value

# %% [markdown]
# So C07 is half true. More layers do widen the field, and it does become global towards the left. To the far upper
# right a plain stack stays blind at every depth. Wider filters shrink the blind spot; by the formula it is gone from
# this window at $k = 21$, a filter as wide as the window.
#
# ## Two stacks and a gate
#
# Van den Oord and colleagues noticed the blind spot in their own model a few months later, and cured it. The trouble was
# one set of features that had to obey the strictest rule, that of the pixel's own row. They took two:
#
# - the **vertical stack** $v$ tells of the rows above alone. They are all past, so its filters look to both sides freely,
#   and no path is ever forced to climb in order to move right;
# - the **horizontal stack** $h$ tells of the own row, to the left, and is handed $v$ in every layer. Nothing flows back
#   from $h$ to $v$: $v$ would carry the own row to places on the left that must not know it.
#
# They also changed the unit. In place of a ReLU each layer computes two maps, $a$ and $b$, and puts out
# $\tanh(a) \odot \sigma(b)$, where $\odot$ multiplies entry by entry: the first says *what*, the second opens or closes
# the **gate**. It is borrowed from the LSTM, which we meet next.
#
# **Predict**: how many of the 220 pixels do two stacks of ten 3 x 3 layers reach? More or fewer than one plain stack of
# twenty?

# %%
torch.manual_seed(0)
two_stacks = field_of(chapter.FIELDS["gated"]())
plain = measured_field(kernel=3, layers=20)
confirm("02.field.gated", float(two_stacks.sum()))
fig, axes = figure(1, 2, width=7.0, height=2.9, sharey=True)
past = is_past((1, 21, 21), (0, 10, 10))[0]
for ax, seen, name in [(axes[0], plain, "One stack, 20 layers"), (axes[1], two_stacks, "Two stacks, 10 layers")]:
    ax.imshow(seen, cmap="cividis", vmin=0, vmax=1)
    rows, columns = (past & ~seen).nonzero(as_tuple=True)
    ax.scatter(columns, rows, marker="x", s=24, color=VERMILION)
    ax.plot(10, 10, marker="o", color=VERMILION, markersize=7)
    ax.set(xticks=[0, 10, 20], yticks=[0, 10], ylim=(12.5, -0.5), xlabel="column")
    ax.set_title(f"{name}: {int(seen.sum())} of 220")
axes[0].set_ylabel("row")
show(
    fig,
    alt="The upper part of two 21 by 21 windows, the pixel in the middle marked. Left, one plain stack: a triangle of past pixels at the "
    "upper right is crossed out as never seen. Right, two stacks: all rows above and all pixels to the left are seen.",
)

# %% [markdown]
# Half the depth, and nothing is missed.
#
# ## Memory in place of masks: Row LSTM and Diagonal BiLSTM
#
# A **recurrent** network has another way of looking back: it carries a state. An **LSTM** carries two, $h$ and $c$, and at
# each step computes from the input $u_t$ and the last $h$ three gates and one proposal, by matrices $W$ and $U$:
#
# $$(o, f, i, g) = W u_t + U h_{t-1}, \qquad
# c_t = \sigma(f) \odot c_{t-1} + \sigma(i) \odot \tanh(g), \qquad h_t = \sigma(o) \odot \tanh(c_t).$$
#
# What to keep ($f$), what to write ($i$, $g$), what to show ($o$): these are the LSTM's own names, $i$ is no pixel here
# and $h$ no stack. A layer of it sees, in principle, as far back as its path goes. But which path, in a picture? Three
# answers, all in the first PixelRNN paper or implied by it:
#
# - pixel by pixel, along the raster: everything is past, and there are as many steps as pixels;
# - **Row LSTM**: a step is a row. The state at a place hears of the three states above it, left, middle and right, so the
#   past it knows is a triangle that opens upwards. Its $c$ goes straight down its column;
# - **Diagonal BiLSTM**: a step is a diagonal. The state hears of the pixel to the left and the pixel above, so it knows
#   the whole rectangle up and to the left. Its $c$ goes along the row. A second LSTM comes from the upper right; what it
#   knows of a pixel is handed to the pixel *below*, since in its own row it has seen the future.
#
# In front of either stands a convolution with mask A, so that no LSTM reads the pixel it is to predict; and the Row LSTM
# reads that through a filter with mask B, of two taps. Each of these two filters adds a neighbour on the left.
#
# Diagonals are awkward to cut out of a tensor. The trick is to **skew** the picture: move row $r$ by $r$ places to the
# right, and the diagonals become columns (printed below for 3 x 4 pixels, numbered from 1; 0 is filling).
#
# One pixel falls between the two LSTMs. **Predict** which of the past pixels a Diagonal BiLSTM fails to see, if nobody
# takes care.
#
# <details><summary>A nudge</summary>Where does the LSTM from the right begin, and what has mask A hidden from it
# there?</details>

# %%
print(skew(torch.arange(1, 13).view(3, 4, 1))[..., 0])
fig, axes = figure(1, 3, width=7.4, height=2.6, sharey=True)
titles = {"row": "Row LSTM", "no_blank": "Diagonal, no blank", "diagonal": "Diagonal BiLSTM"}
for ax, (name, title) in zip(axes, titles.items(), strict=True):
    torch.manual_seed(0)
    seen = field_of(chapter.FIELDS[name]())
    confirm(f"02.field.{name}", float(seen.sum()))
    ax.imshow(seen, cmap="cividis", vmin=0, vmax=1)
    if name == "no_blank":
        ax.scatter(*reversed((past & ~seen).nonzero()[0].tolist()), marker="x", color=VERMILION, s=40)
    ax.plot(10, 10, marker="o", color=VERMILION, markersize=6)
    ax.set(xticks=[0, 10, 20], yticks=[0, 10], ylim=(12.5, -0.5), xlabel="column")
    ax.set_title(f"{title}:\n{int(seen.sum())} of 220")
axes[0].set_ylabel("row")
show(
    fig,
    alt="The upper part of three 21 by 21 windows, the pixel in the middle marked. Row LSTM: a triangle that opens "
    "upwards and leans to the left by two pixels. Diagonal "
    "BiLSTM without a blank column: all past pixels but the last one of the row above, which is crossed out. Diagonal "
    "BiLSTM with the blank column: all past pixels.",
)

# %% [markdown]
# The Row LSTM's triangle leans to the left, by the two neighbours that its filters add. One layer, and the Diagonal
# BiLSTM sees everything, except that the LSTM from the right, at the last pixel of a row, has just begun: mask A hides
# that very pixel from it, and there is no place further to the right from which it could have been told. So the picture
# gets a **blank column** on its right, and 219 become 220.
#
# ## What does a digit cost?
#
# Whatever looks backwards gives $N$ conditionals for a known picture, and its negative log-likelihood (NLL) is a sum of
# cross-entropies:
#
# $$-\log p(x) = -\sum_{i=1}^{N} \big( x_i \log \sigma(\ell_i) + (1 - x_i) \log \sigma(-\ell_i) \big)
# \quad \text{nats per image.}$$
#
# A *sum* over pixels. Many programs take the mean, which divides by the number of pixels and goes unnoticed until
# something else, such as the KL term of a VAE, is added to it.
#
# We train four small models for 150 steps each: plain and gated PixelCNN, Row LSTM and Diagonal BiLSTM, each with a first
# filter of 7 x 7, so that the last pixel sees the first in all of them. **Predict**: independent pixels and the peeking
# network gave you two numbers. Where between them will an honest model land? And which of the four will win?

# %% tags=["nbval-ignore-output"]
trained, curves = {}, {}
for name in chapter.LIVE_MODELS:
    trained[name] = live_model(seed=0, name=name)
    curves[name] = fit(trained[name], negative_log_likelihood, x_train, LIVE, every=10, progress=False)
    nll = chapter.digits_nll(trained[name], x_test)
    confirm("02.digits.nll" if name == "pixelcnn" else f"02.digits.{name}", nll)
    print(
        f"    {sum(p.numel() for p in trained[name].parameters()):,} parameters, {nll / math.log(2):.1f} bits per image"
    )

fig, ax = figure(width=6.4, height=3.0)
for name, curve in curves.items():
    style = dict(linewidth=5, alpha=0.4) if name == "pixelcnn" else {}
    ax.plot(curve.steps, curve.terms["nll"], color=COLOURS[name], label=TITLES[name], **style)
ax.axhline(chapter.independent_nll(x_train, x_test), color=INK, linestyle=":", label="independent pixels, test digits")
ax.set(xlabel="training step", ylabel="NLL (nats per image)", ylim=(15, 46))
ax.set_title("Looking back pays, within seconds, by mask or by memory")
ax.legend(title="training batches")
show(
    fig,
    alt="Negative log-likelihood against training step for four models. All four curves fall from above the line of "
    "independent pixels to clearly below it, and end close to one another.",
)

# %% [markdown]
# Four ways of looking back, and at this size they cost nearly the same: half a nat from the Diagonal BiLSTM, the first,
# to the Gated PixelCNN, the last, and the ± says how much of that may be the seed's. Nothing here tells how they would
# rank on large pictures after long training.
#
# ## Does an RNN forget? (claim C04)
#
# The article's first reason to prefer PixelCNN is that a recurrent network has trouble remembering what lies far back.
# It sounds right: the first pixel's influence passes through every state on the way, and each step may shrink it. But a
# convolutional network has a way too, through its layers. Compare them on the longest way there is: from the last pixel
# of an $n$ x $n$ picture back to the first. We measure $|\partial \ell_{\text{last}} / \partial x_{\text{first}}|$ before
# any training, in five networks that all see that far: the two LSTMs, one layer each; a plain and a gated PixelCNN with
# 3 x 3 filters and as many layers as it takes, $n - 1$; and a PixelCNN whose first filter is wide enough to see the first
# pixel at once. A Row LSTM takes $n - 1$ steps from corner to corner, and a Diagonal BiLSTM $2(n - 1)$, since it never
# goes aslant.
#
# **Predict** five curves. Which network's fades fastest? (A sixth needs no network: a PixelCNN with too few layers has a
# gradient of exactly zero.) On the right stand the four models that you have just trained, which have wider first
# filters, before and after.

# %%
fig, (left, right) = figure(1, 2, width=7.4, height=3.5, gridspec_kw={"width_ratios": [1.5, 1]})
x = chapter.coins(8, 8, torch.Generator().manual_seed(0)).double()
for name in chapter.carriers(8):
    found = [chapter.last_to_first(chapter.carrier(name, 8, seed).double(), x) for seed in SEEDS]
    confirm(f"C04.start.{name}.08", statistics.fmean(found))
    rows = [result(f"C04.start.{name}.{side:02d}") for side in chapter.CARRIED_OVER]
    values, spreads = [row.value for row in rows], [row.spread for row in rows]
    style = dict(color=COLOURS[name], marker="o", markersize=4, capsize=3, label=TITLES[name])
    left.errorbar(chapter.CARRIED_OVER, values, spreads, linestyle="--" if name == "small" else "-", **style)
left.set(xlabel="side of the picture, n", ylabel="gradient, powers of ten", xticks=[4, 8, 16, 28])
left.set_title("Untrained: fainter by a factor per row")
left.legend(fontsize=8.5)
for place, name in enumerate(chapter.LIVE_MODELS):
    before, after = (result(f"C04.digits.{name}.{when}").value for when in ("before", "after"))
    right.annotate("", (place, after), (place, before), arrowprops=dict(arrowstyle="->", color=COLOURS[name], lw=2))
right.set(xlim=(-0.5, 3.5), ylim=(-9.5, -1), xticks=range(4), ylabel="gradient, powers of ten")
right.set_xticklabels(["plain\nCNN", "gated\nCNN", "Row\nLSTM", "Diag.\nBiLSTM"], fontsize=9)
right.set_title("8 x 8 digits: training\nlifts it")
show(
    fig,
    alt="Left: gradient from the last pixel to the first, in powers of ten, against the side of the picture. Four lines "
    "fall steadily: plain PixelCNN with 3 by 3 filters fastest, then Row LSTM and gated PixelCNN together, then Diagonal "
    "BiLSTM. The PixelCNN with one wide filter stays almost level. Right: four arrows, one for each model trained on "
    "digits, all pointing up from before training to after it.",
)
print("powers of ten lost, n = 4 to 28    for each row    for each step    for each row, straight up")
for name in ("small", "gated", "row", "diagonal"):
    lost, up = (chapter.lost_per_row(way, name) for way in ("start", "up"))
    print(f"{TITLES[name]:<34} {lost:>12.2f} {lost / (2 if name == 'diagonal' else 1):>16.2f} {up:>27.2f}")

# %% [markdown]
# Nearly straight lines on a logarithmic scale: on a long way each step costs a factor, so that what arrives falls
# exponentially. That holds for the LSTMs, as the article says, and for the convolutional networks with small filters as
# well; the plain one forgets fastest of all. The wide filter has a single step and hardly fades. (It pays in weights,
# about $4 n^2$ for each pair of maps.)
#
# How *large* the factor is depends on the network, and not on whether it is called recurrent. The Diagonal BiLSTM has the
# longest way and loses least. The number of ways will have a part in it: aslant the others have one or a few, up and to
# the left at nearly every step, and along the sides of the squares there is a crowd of them, which add up. And an LSTM's
# long memory is $c$, which goes one way only. The last column looks straight up instead of into the corner: there the
# Row LSTM carries $c$ along, and loses far less than either PixelCNN of small filters. The Diagonal BiLSTM's $c$ goes
# along the rows, and straight up it loses more than the gated PixelCNN.
#
# Training may change all that. On digits it lifts every gradient by powers of ten, and the two LSTMs end *above* the
# two PixelCNNs. (A caution: the last pixel of a digit is nearly always blank, so this says that the way is open,
# not that much travels on it.)
#
# A test with something to carry. Every pixel is a fair coin, but the last repeats the first. Only the last pixel counts
# in the loss, and each network has 300 steps of 32 fresh pictures to find out. A whole bit is missing if it knows nothing
# of the first pixel, none if it has got through. **Predict** from the left picture: whose bit arrives over 4 rows, and
# whose over 8?

# %% tags=["nbval-ignore-output"]
sides = chapter.REMEMBERED_OVER
print("bits missing at the last pixel after training, gradient to the first before it")
print(" " * 25, *(f"{side} x {side}".rjust(22) for side in sides))
for name in chapter.carriers(8):
    cells = []
    for side in sides:
        bit, start = (result(f"C04.{kind}.{name}.{side:02d}") for kind in ("bit", "start"))
        cells.append(f"{bit.value:.2f} ± {bit.spread:.2f}, 10^{start.value:.1f}".rjust(22))
    print(f"{TITLES[name]:<25}", *cells)
for name in ("row", "wide"):
    confirm(f"C04.bit.{name}.08", chapter.remember(chapter.carrier(name, 8, seed=0), seed=0))

# %% [markdown]
# Over 4 rows the bit gets through in the LSTMs and in the gated PixelCNN, and not in the plain one with small filters.
# Over 8 rows the one wide filter has it, in every run, and the others have lost it whole. In between stands one entry
# that is neither: the gated PixelCNN over 6 rows, where one run of the three found the bit and two did not. Where the
# gradient begins as a hundred-thousandth or less, 300 steps do not find it, but for that one run. Longer training moves
# that limit. Digits are kinder than coins: there each pixel on the way is worth predicting too, so that the way may be
# built a step at a time.
#
# So C04 is right that LSTMs forget and wrong about the difference. Long ways are hard for both, and PixelCNN is better
# off only where its filters make the way short. That very thought, a way of one step between any two places, later became
# the argument for attention (Vaswani et al., 2017, table 1).
#
# ## What has to wait for what? (claim C05)
#
# The article's second reason: an RNN cannot be trained in parallel, since every pixel needs the state that comes from
# everything before it. Take that literally, and an $n$ x $n$ picture needs $n^2$ steps, one after another. Now look at
# which states actually wait for which:
#
# - Row LSTM: a state waits for three states in the row above. All states of a row can be computed at the same time: $n$
#   steps.
# - Diagonal BiLSTM: the state at $(r, c)$ waits for $(r, c - 1)$ and $(r - 1, c)$. All with the same $r + c$ are ready
#   together. There are $n + (n + 1) - 1 = 2n$ diagonals, with the blank column, and both directions run side by side.
# - PixelCNN: features wait for the layer below, and for no other pixel of their own layer. As many steps as layers,
#   whatever $n$ is.
#
# The *amount* of work grows like $n^2$ in all three. **Predict** two pictures for sides 8, 16, 32 and 64: the steps that
# wait for one another, and the time of one processor core, which can do a little, but not much, at the same time.
# (Counted are an LSTM's steps and a PixelCNN's layers; the few layers around an LSTM are left out. Times are processor
# time of one thread, measured in turns, model after model, thirty rounds; the least of each is shown.)

# %%
fig, (left, right) = figure(1, 2, width=7.4, height=3.3)
for name, build in chapter.TIMED.items():
    steps = [chapter.waits(build(side)) for side in chapter.SIDES]
    print(f"{TITLES[name]:<16} steps that wait for one another at sides 8, 16, 32, 64: {steps}")
    assert steps == [result(f"C05.steps.{name}.{side:02d}").value for side in chapter.SIDES]
    style = dict(color=COLOURS[name], marker="o", markersize=4)
    left.plot(chapter.SIDES, steps, **style)
    times = [result(f"C05.ms.{name}.{side:02d}").value for side in chapter.SIDES]
    right.plot(chapter.SIDES, times, label=TITLES[name], **style)
left.plot(chapter.SIDES, [side**2 for side in chapter.SIDES], color=INK, linestyle=":")
left.text(20, 700, "pixel by pixel", rotation=33, color=INK, fontsize=9)
left.set(ylabel="steps that wait for one another")
left.set_title("Rows wait, or diagonals, or layers")
right.set_title("LSTMs: time grows like steps")
right.legend()
for ax in (left, right):
    ax.set(xscale="log", yscale="log", xlabel="side of the picture, n", xticks=chapter.SIDES)
    ax.set_xticks([], minor=True)
    ax.set_xticklabels(chapter.SIDES)
right.set(ylabel="ms for a gradient step", yticks=[2, 5, 10, 20, 40], yticklabels=[2, 5, 10, 20, 40])
right.set_yticks([], minor=True)
show(
    fig,
    alt=(
        "Two log-log plots against the side of the picture, 8 to 64. Left, steps that wait for one another: level "
        "for the PixelCNN, rising with the side for Row LSTM, twice that for Diagonal BiLSTM, and with its square for an "
        "LSTM that goes pixel by pixel. Right, milliseconds for one gradient step on one picture: at every side PixelCNN "
        "lowest, then Row LSTM, then Diagonal BiLSTM; the PixelCNN's line is level at first and rises at the end."
    ),
)
print(result("C05.ms.row.08").hardware)

# %% [markdown]
# From side 8 to side 64 there are 64 times as many pixels. The LSTMs' time grows far less, roughly like their steps. The
# PixelCNN's steps do not grow at all, and its time stays level too until the arithmetic begins to tell. (Steps of
# different networks differ in length: at side 8 the PixelCNN has more of them than the Row LSTM, and is the faster.) So
# C05 is right that an RNN waits and that a PixelCNN's pixels do not, and wrong about what waits for what: a row or a
# diagonal, never a pixel at a time.
#
# ## Why training is parallel and drawing is not (claim C08)
#
# The article gives PixelCNN's second advantage a reason: a pixel depends on those directly around it only, so patches of
# one picture can be sent to different workers. Is that why? Ask what a worker needs who computes the logits of a patch.
#
# - *The pixels that its field reaches.* A field of $r$ rows and columns reaches beyond the patch by $r$ pixels above, left
#   and right: the patch needs a **halo**. It can have one, since in training the whole picture is known. Feeding the true
#   past, instead of what the model itself would have drawn, is called **teacher forcing**.
# - *Nothing else.* What a halo's pixels make of themselves, features or states, the worker can compute again on its own.
#
# But is any cutting needed? If all pixels are known, one pass over the whole picture gives all conditionals, on one
# machine.
#
# **Predict**, for a 16 x 16 picture and the largest change of any logit, what is zero: one pass against a pass for each
# pixel on a picture whose future has been wiped out; then the whole picture against patches of 8 x 8, for a PixelCNN with
# a field of 4, another with a field of 8, and a Row LSTM, whose field reaches the top of the picture, with a halo of 4,
# and with one of 8, which here is all there is. And how many pixels does a patch with its halo look at, for each one
# that it answers?
#
# Then the opposite experiment, *drawing* in parallel: the PixelCNN that you have just trained draws the four quarters of
# a digit at the same time, each on a blank canvas of its own, as if it were a picture by itself. We ask it what it thinks
# of the whole, in nats.

# %%
x = chapter.coins(1, 16, torch.Generator().manual_seed(0)).double()
one_by_one = chapter.off_the_whole("pixelcnn", x, lambda model: chapter.one_at_a_time(model, x))
confirm("C08.one_pass", statistics.fmean(one_by_one))
print()
for key, (name, halo) in chapter.PATCHWISE.items():
    confirm(f"C08.{key}", statistics.fmean(chapter.off_by_patches(name, x, halo)))
print()
for key, halo in (("cost", 4), ("cost.full", 8)):
    confirm(f"C08.{key}", chapter.patchwise(chapter.patched_model("pixelcnn", seed=0), x, size=8, halo=halo)[1])

# %% tags=["nbval-ignore-output"]
at_once, in_order = (draw(trained["pixelcnn"], 250, seed=0) for draw in (chapter.draw_in_quarters, chapter.draw_whole))
confirm("C08.whole", chapter.digits_nll(trained["pixelcnn"], in_order))
confirm("C08.quarters", chapter.digits_nll(trained["pixelcnn"], at_once))
fig = image_grid(
    torch.cat([in_order[:10], at_once[:10]]),
    columns=10,
    title="Four quarters drawn at once do not know of each other",
    row_labels=["in order", "at once"],
)
show(
    fig,
    alt="Two rows of ten drawings, 8 by 8. Above, drawn pixel by pixel: digit-like. Below, drawn as four quarters at the "
    "same time: pieces of strokes that do not meet.",
)

# %% [markdown]
# One pass gives every conditional. And patches are exact wherever the halo holds the field, and wrong wherever it does
# not, whatever the network is made of: the PixelCNN that looks 8 rows back fails with a halo of 4 as the Row LSTM does,
# and both are exact once the halo reaches the edge. So the article is right that patches *can* be sent away, and it is
# nearness that decides how wide a halo they need. But the halo has a price, nearly twice the work here, or three times,
# and on a machine that holds the whole picture it buys nothing.
#
# What makes training parallel is something else: **every input is known**, so that one pass answers for all pixels. A
# **state** does not make patches wrong. It makes the field reach the top of the picture, and it makes rows or diagonals
# *wait* within the pass, as you saw under C05; in a PixelCNN nobody waits.
#
# Take the known inputs away, and PixelCNN loses its advantage: drawn at the same time, the quarters together cost about
# twice the nats of its own drawings in order. They do not fit, because the neighbour's pixels were not known; and each
# begins like the upper left corner of a digit, because that is where it took itself to be.
#
# ## Drawing, one pixel at a time
#
# So drawing is a loop with one pass per pixel, and the loop is all there is to it. Below it starts from the upper half of
# a digit rather than from an empty canvas. **Predict**: will the endings agree?

# %% tags=["nbval-ignore-output"]
generator = torch.Generator().manual_seed(4)
canvas = x_test[[3, 11, 20]].repeat_interleave(7, dim=0)
canvas[:, :, 4:] = 0
with torch.no_grad():
    for row, column in itertools.product(range(4, 8), range(8)):
        p = torch.sigmoid(trained["pixelcnn"](canvas)[:, 0, row, column])
        canvas[:, 0, row, column] = torch.bernoulli(p, generator=generator)

rows = torch.cat([torch.cat([x_test[i : i + 1], canvas[7 * k : 7 * k + 7]]) for k, i in enumerate([3, 11, 20])])
fig = image_grid(rows, columns=8, title="One beginning, many endings (first column: the digit itself)")
show(
    fig,
    alt="Three rows of 8 by 8 digits. The first column shows a test digit; the other seven share its upper half "
    "and have lower halves drawn by the network.",
)

# %% [markdown]
# They do not: the same upper half is carried on in different ways, some of them digits.
#
# ### Never compute anything twice
#
# The loop runs the whole network over the whole canvas for every pixel, and throws all answers away but one: with $N$
# pixels and a cost of $w$ for the features of one pixel, $N^2 w$. What can be kept? Causality answers. Behind mask A, every
# feature at place $j$ depends on pixels before $j$ (in the vertical stack: on rows above). Once those are drawn they never
# change again, so neither does the feature. **Each feature has to be computed once**, when its pixel's turn comes:
#
# - a vertical stack, or the rows of a plain filter above its centre: once per row, for the whole row;
# - the own row: one column at a time, from the features to the left, which are stored;
# - an LSTM: its state, which was made for this.
#
# That is $N w$: at best $N$ times as fast, 784 times for an MNIST digit. The price is memory, and bookkeeping for every
# pixel, which weighs the more the smaller the network and the batch. And cached drawing must give the *same* pictures, not
# similar ones: from the same random numbers, equal to the pixel. **Predict** the speed-up for 64 pictures of 8 x 8. (What
# the weights are makes no difference to the time, so the race is run with untrained ones.)

# %% tags=["nbval-ignore-output"]
for name in chapter.LIVE_MODELS:
    model, took, pictures = live_model(0, name), {}, {}
    for cached in (False, True):
        started = time.process_time()
        pictures[cached] = model.sample(64, torch.Generator().manual_seed(1), cached=cached)
        took[cached] = time.process_time() - started
    differ = int((pictures[True] != pictures[False]).sum())
    print(f"{TITLES[name]:<16} naive {took[False]:.2f} s, cached {took[True]:.2f} s of processor time,", end=" ")
    print(f"{took[False] / took[True]:.1f} times as fast; {differ} of {pictures[True].numel()} pixels differ")
    assert differ == result("02.cached.differ").value
print(result("02.cached.speed").quantity, result("02.cached.speed"), sep=": ")

# %% [markdown]
# With 64 pixels a factor of 64 is the most there is to gain, and the bookkeeping eats much of it. With 784 there is more:
# the last line. And not one pixel differs between the naive drawings and the cached ones.
#
# ## At the papers' size
#
# The zoo holds two plain PixelCNNs trained on MNIST, 28 x 28, with the same data, seed and number of steps. The **narrow**
# one has a first filter of 7 x 7, the **wide** one of 27 x 27, and one more of the blocks that follow it (a 3 x 3 layer
# between two of 1 x 1). So the wide one looks further, and it also has more weights. Their cards say on which hardware
# and for how long they were trained, and weights whose checksum is not the card's are refused. The binarisation is
# **dynamic**: each grey pixel is a coin, tossed afresh. That matters when you compare: the fixed binarisation of the same
# digits gives other numbers.
#
# A digit is 20 rows high. **Predict**: what goes wrong in the drawings of a model that forgets what lies more than ten
# rows above, and where in the picture will it show?

# %%
for name in ("pixelcnn_mnist_narrow", "pixelcnn_mnist"):
    card = zoo.card(name)
    shape, found = card["arguments"], card["measurements"]["nll_test"]
    rows_up = shape["first_kernel"] // 2 + shape["depth"] * (shape["kernel"] // 2)
    print(f"{name}: looks {rows_up} rows up, {card['parameters']:,} parameters, {card['plan']['steps']:,} steps")
    print(f"  {card['seconds'] / 60:.0f} minutes on {card['hardware']}")
    print(f"  test NLL {found['nats']:.2f} ± {found['standard_error']:.2f} nats per image", end=" ")
    print(f"= {found['nats'] / 784 / math.log(2):.4f} bits per pixel")
print(f"({found['images']:,} test images, {found['estimator']}, {found['binarisation']})")

fig, axes = figure(2, 1, width=7.0, height=3.5)
for ax, name, title in [
    (axes[0], "pixelcnn_mnist_narrow", "Narrow field: stray strokes along the lower edge"),
    (axes[1], "pixelcnn_mnist", "Wide field: the lower edge stays empty"),
]:
    image_grid(zoo.samples(name)[:24], columns=12, title=title, ax=ax)
show(
    fig,
    alt="Two panels of 24 drawings each. The narrow model's strokes are clean, but many pictures have stray strokes along "
    "the lower edge. The wide model's pictures are mostly readable digits with an empty lower edge.",
)
for name in ("pixelcnn_mnist_narrow", "pixelcnn_mnist"):
    inked = chapter.lower_edge_inked(zoo.samples(name))
    print(f"{name}: {inked:.0%} of {len(zoo.samples(name))} drawings have ink in the lowest row")
    assert inked == result(f"02.{name}.lower_edge").value
print(f"real digits: {result('02.mnist.lower_edge').value:.1%} of 10,000 test images")

# %% [markdown]
# The wide one wins. For orientation: the small PixelCNN without a code in the appendix of the Variational Lossy
# Autoencoder paper (Chen et al., 2017, appendix D) reaches 87.55 nats on dynamically binarised MNIST.
#
# How much of the nats is the field's, and how much the additional weights', this pair cannot say, and each was trained
# once. The lower edge can: ten rows further down the narrow model has nothing left of the digit in sight, and starts
# another. That is claim C07 at work. What a field does not reach, the model cannot keep consistent, and no pixel will
# tell you: each looks fine next to its neighbours.
#
# Nothing in these networks stands for "this is a seven": there is no code. Give such a decoder a code, and it may have
# little use for it. That is the story of chapter 06.

# %%
ClaimsTable("C04", "C05", "C06", "C07", "C08")

# %% [markdown]
# ## Questions
#
# 1. Why does one mask-A layer suffice?
# <details><summary>Answer</summary>After it, the feature at place i is a function of the pixels before i only. A mask-B
# layer combines features at places up to and including i, so it too depends only on pixels before i. A second mask A
# would leak nothing either, but it loses the left neighbour, as you measured.</details>
#
# 2. Your gradient test finds no leak on one blank picture; a colleague's test finds one on others. How can that be?
# <details><summary>Answer</summary>Behind a ReLU that is off, a gradient is zero, leak or no leak; and two paths of
# opposite sign can cancel. Random weights, several random pictures, float64, and a second method that uses no gradient
# make such an accident unlikely.</details>
#
# 3. In the two-stack network, somebody adds a link from the horizontal stack back to the vertical one. What leaks?
# <details><summary>Answer</summary>The present, and then the future. The vertical filters look to both sides. With the
# link, v at the next place to the right contains h of that place, which knows the very pixel that is being asked about;
# one layer later so does v here. That is why h listens to v, and v never to h.</details>
#
# 4. Training takes one pass per picture and drawing takes one per pixel. Is that because training is done on many
#    machines?
# <details><summary>Answer</summary>No. In training all pixels are known, so one pass computes every conditional, on one
# machine, and in a PixelCNN no pixel waits for another in it. In drawing the pixels are not known yet. A cache makes each
# of the passes cheap; it does not make them fewer.</details>
#
# 5. A Row LSTM has few parameters and a cheap step. Why may a PixelCNN with ten times the arithmetic still train faster
#    on a GPU?
# <details><summary>Answer</summary>A GPU does thousands of multiplications at once, if they do not wait for each other.
# The PixelCNN waits as often as it has layers. The Row LSTM waits once per row, in every layer, and in each step there is
# only one row to keep the machine busy with.</details>
#
# ## Where next
#
# The exercise `exercises/02_pixelrnn_pixelcnn` lets you write the main parts of this chapter yourself, and answers at
# once. Then chapter 03: what is a code, and what does it cost?
#
# ## References
#
# - C. M. Wild (2018), With Great Power Comes Poor Latent Codes: Representation Learning in VAEs (Pt. 2), Towards Data
#   Science, 7 May 2018. The article this course follows.
# - A. van den Oord, N. Kalchbrenner and K. Kavukcuoglu (2016), Pixel Recurrent Neural Networks, arXiv 1601.06759. Masks,
#   Row LSTM, Diagonal BiLSTM, skewing.
# - A. van den Oord et al. (2016), Conditional Image Generation with PixelCNN Decoders, arXiv 1606.05328. The blind spot,
#   two stacks, the gate.
# - P. Ramachandran et al. (2017), Fast Generation for Convolutional Autoregressive Models, arXiv 1704.06001. Caching.
# - A. Vaswani et al. (2017), Attention Is All You Need, arXiv 1706.03762. Layers compared by the length of the way.
# - X. Chen et al. (2017), Variational Lossy Autoencoder, arXiv 1611.02731.
